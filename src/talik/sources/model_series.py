"""A variable of model output over all its files: opened lazily, on one grid, on steps without holes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from talik.errors import GridError, InputError, UnitsError
from talik.flux.table import Area
from talik.regions.axes import conform, grid_of
from talik.regions.grid import LatLonGrid
from talik.sources.model_files import ModelFile, open_variable
from talik.sources.model_profiles import ModelProfile
from talik.sources.model_time import Steps, read_steps, stamps, time_dimension
from talik.sources.model_values import as_flux, stated_basis, without_fill

CHUNK_BYTES = 32e6
"""Size of a chunk in memory, all of the grid and as many steps as fit."""
SEA_SHARE = 0.01
"""Refused: a larger share of a flux in cells without land."""
_YEAR = 12


@dataclass(frozen=True, eq=False)
class Series:
    """One variable over all its files: (time, lat, lon) without time labels, and when its steps are."""

    data: xr.DataArray
    steps: Steps
    basis: Area


def model_grid(file: ModelFile, facts: ModelProfile) -> LatLonGrid:
    ds, data = open_variable(file, facts)
    held = ds.drop_vars(
        [n for n in ds.data_vars if n != data.name and "bnds" not in str(n) and "bounds" not in str(n)]
    )
    try:
        grid = grid_of(held)
    except GridError as err:
        raise GridError(f"{file.path}: {err}") from err
    if not isinstance(grid, LatLonGrid):
        raise GridError(f"{file.path}: has x and y; expected lat and lon. Regrid it first.")
    return grid


def open_values(
    file: ModelFile, facts: ModelProfile, grid: LatLonGrid, notes: list[str]
) -> tuple[xr.DataArray, Steps, xr.Dataset]:
    """Values without fill, (time, [layers,] lat, lon), lazily, with their steps."""
    ds, data = open_variable(file, facts)
    dim = time_dimension(data, ds, file.path)
    steps = read_steps(
        ds,
        dim,
        file.path,
        calendars=facts.calendars,
        default_calendar=facts.default_calendar,
        step_word=file.step,
        span=file.span,
        notes=notes,
    )
    attrs = data.attrs
    stored = data.encoding.get("chunksizes")
    step = int(stored[data.dims.index(dim)]) if stored else 1
    per_step = 8 * data.size // data.sizes[dim]
    many = max(1, int(CHUNK_BYTES // per_step) // step) * step
    data = data.drop_vars([c for c in data.coords if c == dim]).rename({dim: "time"})
    data = data.squeeze([d for d in data.dims if data.sizes[d] == 1 and d != "time"], drop=True)
    data = data.chunk({**dict.fromkeys(data.dims, -1), "time": min(many, data.sizes["time"])})
    try:
        data = conform(data, grid)
    except GridError as err:
        raise GridError(f"{file.path}: {err}") from err
    data = data.drop_vars([c for c in data.coords if c not in data.dims])
    return without_fill(data, facts.sentinels).assign_attrs(attrs), steps, ds


def flux_series(
    members: Sequence[ModelFile],
    facts: ModelProfile,
    grid: LatLonGrid,
    land: xr.DataArray | None,
    notes: list[str],
) -> Series:
    """A flux over all its files."""
    parts: list[tuple[ModelFile, Steps, xr.DataArray]] = []
    basis: Area = "land"
    for file in members:
        data, steps, _ = open_values(file, facts, grid, notes)
        extra = [str(d) for d in data.dims if d not in ("time", "lat", "lon")]
        if extra:
            raise InputError(
                f"{file.path}: {data.name} has the dimension {', '.join(extra)}; expected time, lat and lon. Give "
                "totals over plant types and layers."
            )
        time, bounds = stamps(steps.first, steps.step, steps.calendar)
        basis = stated_basis(data, facts.basis, file.path, notes)
        if basis == "cell" and land is None:
            raise UnitsError(
                f"{file.path}: {data.name} is per area of the cell and no land fraction was given. Add the "
                f"file ({', '.join(facts.land_fraction) or 'land_fraction'}) of the model, or pass land_fraction= (an "
                "array, a file, or 'natural-earth' for the true coast)."
            )
        if basis == "cell" and land is not None:
            _refuse_sea(data, land, grid, file, steps)
        data = data.assign_coords(time=time)
        flux = as_flux(
            data,
            file.meaning.name,
            facts.fluxes[file.meaning.name],
            basis=basis,
            land=land,
            bounds=bounds,
            path=file.path,
            notes=notes,
        )
        flux = flux.assign_attrs(stored_name=str(data.name))
        if note := facts.fluxes[file.meaning.name].note:
            flux = flux.assign_attrs(comment=note)
        if basis == "land" and land is not None:
            flux = flux.where(land > 0.0)
        parts.append((file, steps, flux.drop_vars("time")))
    joined, steps = join_files(parts)
    return Series(joined, steps, basis)


def join_files(parts: list[tuple[ModelFile, Steps, xr.DataArray]]) -> tuple[xr.DataArray, Steps]:
    """Files in order of time; InputError if they overlap, leave a gap or count differently."""
    parts = sorted(parts, key=lambda p: int(p[1].first[0]))
    for (a, before, _), (b, after, _) in itertools.pairwise(parts):
        if (before.step, before.calendar) != (after.step, after.calendar):
            raise InputError(
                f"{b.path}: {after.step}s in calendar {after.calendar}, but {a.path.name} has {before.step}s in "
                f"{before.calendar}. Read files of one kind."
            )
        if int(after.first[0]) != before.after:
            how = "overlaps" if int(after.first[0]) < before.after else "leaves a gap after"
            raise InputError(
                f"{b.path} ({after.span()}) {how} {a.path.name} ({before.span()}). Give every step once: "
                f"{'leave one file out' if how == 'overlaps' else 'add the file between them'}."
            )
    steps = parts[0][1]
    whole = Steps(np.concatenate([s.first for _, s, _ in parts]), steps.step, steps.calendar)
    if len(parts) == 1:
        return parts[0][2], whole
    return xr.concat([p[2] for p in parts], dim="time", combine_attrs="override"), whole


def on_common_steps(series: dict[str, Series], notes: list[str]) -> dict[str, Series]:
    """The fluxes on the steps that all of them have."""
    kinds = {(s.steps.step, s.steps.calendar): name for name, s in series.items()}
    if len(kinds) > 1:
        told = "; ".join(f"{name}: {step}s in {calendar}" for (step, calendar), name in kinds.items())
        raise InputError(
            f"fluxes of one run have different steps or calendars ({told}). Read them apart, with variables=."
        )
    first = max(int(s.steps.first[0]) for s in series.values())
    after = min(s.steps.after for s in series.values())
    if first >= after:
        told = "; ".join(f"{name} {s.steps.span()}" for name, s in series.items())
        raise InputError(f"the fluxes have no step in common: {told}. Give files of one period.")
    out = {}
    for name, s in series.items():
        inside = np.flatnonzero((s.steps.first >= first) & (s.steps.first < after))
        if inside.size < s.steps.first.size:
            notes.append(f"{name} has {s.steps.span()}: cut to the steps that all variables have")
        steps = Steps(s.steps.first[inside], s.steps.step, s.steps.calendar)
        time, _ = stamps(steps.first, steps.step, steps.calendar)
        cut = s.data.isel(time=slice(int(inside[0]), int(inside[-1]) + 1)).assign_coords(time=time)
        out[name] = Series(cut, steps, s.basis)
    return out


def middle_year(steps: Steps) -> slice:
    """The steps of the whole calendar year next to the middle; a step, or what there is of the first year, if none."""
    if steps.step == "year":
        return slice(steps.first.size // 2, steps.first.size // 2 + 1)
    starts = np.flatnonzero(steps.first % _YEAR == 0)
    starts = starts[starts + _YEAR <= steps.first.size]
    if not starts.size:
        return slice(0, min(_YEAR, steps.first.size))
    at = int(starts[starts.size // 2])
    return slice(at, at + _YEAR)


def _refuse_sea(
    data: xr.DataArray, land: xr.DataArray, grid: LatLonGrid, file: ModelFile, steps: Steps
) -> None:
    """UnitsError if fluxes per cell stand where the land fraction has no land: it is not the mask of the model."""
    year = data.isel(time=middle_year(steps)).mean("time")
    one = year.where(year > 0.0, -year) * grid.cell_area()
    lost, all_of_it = float(one.where(land <= 0.0).sum()), float(one.sum())
    if lost > SEA_SHARE * all_of_it:
        raise UnitsError(
            f"{file.path}: {100 * lost / all_of_it:.3g} % of {data.name} lies in cells without land by the land "
            f"fraction ({land.attrs.get('origin')}); expected less than 1 %. Give the land fraction of this model."
        )
