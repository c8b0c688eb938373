"""Output of process models as flux datasets and stocks: ISIMIP, CMIP6, TRENDY and what a user describes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import reduce
from typing import Literal, NamedTuple

import numpy as np
import xarray as xr

from talik.errors import GridError, InputError, UnitsError
from talik.flux.dataset import calendar_bounds, make_flux_dataset
from talik.flux.table import STORED_UNITS
from talik.regions.axes import ROW_EDGES, grid_of
from talik.regions.grid import LatLonGrid
from talik.sources.model_checks import Sample, marks, wrong_with
from talik.sources.model_files import Meaning, ModelFile, Paths, find_files
from talik.sources.model_land import Land, check_areas, land_share, true_land
from talik.sources.model_profiles import ModelProfile, Profiles, model_profile
from talik.sources.model_series import (
    Series,
    flux_series,
    join_files,
    middle_year,
    model_grid,
    on_common_steps,
    open_values,
)
from talik.sources.model_stocks import annual, layer_bounds, sum_of_layers
from talik.sources.model_time import Steps, stamps
from talik.sources.model_values import LEAST_STOCK, LIMIT, MOST_STOCK, STOCK_UNITS, as_stock, stated_basis

ALL_LAND = (-55.0, 80.0)
"""A grid that reaches beyond these latitudes has all land that carries fluxes."""
_YEAR = 12


class ModelOutput(NamedTuple):
    """Fluxes of a model (a flux dataset), and its stocks of carbon or None."""

    fluxes: xr.Dataset
    stocks: xr.Dataset | None


def read_model(
    paths: Paths,
    profile: str,
    *,
    model: str | None = None,
    variables: Sequence[str] | None = None,
    land_fraction: Land | None = None,
    profiles: Profiles | None = None,
    implausible: Literal["error", "note"] = "error",
) -> ModelOutput:
    """One run of one process model, lazily, in the variables, units, species and signs of the flux table.

    paths : files, or folders of them, with their published names. profile : what the files mean, by name: ISIMIP3a,
        ISIMIP3b, ISIMIP2, CMIP6, TRENDY, PCN or a block of `profiles` (YAML file or mapping, see `model_profile`);
        `describe_format` prints it. model : the one to read where files of several are given. variables : names in
        talik; all that the profile knows by default.
    land_fraction : land share of the cells, as an array, a file, or ``"natural-earth"``; by default the file of the
        model (sftlf, landfrac, contfrac) among `paths`. Fluxes per area of the cell need it.
    implausible : what happens if signs, the balance of GPP, NPP and Ra, or sums over the globe cannot be (see
        `talik.sources.model_checks`): an error, or a sentence in `notes`.

    ModelOutput.fluxes is a flux dataset on (time, lat, lon), approach "process": kg m-2 s-1 of carbon per land area,
    lat and lon ascending, each month or year stamped at its beginning with `time_bnds`, in the calendar of the files
    (datetime64 if Gregorian); rows of a Gaussian grid keep their edges in `lat_south` and `lat_north`. Beside the
    fluxes `coverage` (time), the share of land with data in every variable, `cell_area` (m2, WGS84) and
    `land_fraction`. Attributes: `model`, `profile`, `basis` (land), `stored_basis`, `source_file`, `notes` (every
    default that was taken and what could not be checked). ModelOutput.stocks has kg m-2 of carbon per
    land area, one value a year (the mean of months where files are monthly), on its own time.

    The checks read one year from the middle, and nothing else is computed.

    InputError: files that do not belong together, overlap, have a gap or other names; monthly and annual fluxes at
    once. UnitsError: units, species, sign or area that are not known or cannot be. GridError: curvilinear grids, or
    uneven rows without bounds. ConfigError: no such profile.
    """
    facts = model_profile(profile, profiles)
    notes: list[str] = []
    files = find_files(paths, facts, variables, model, notes)
    groups: dict[Meaning, list[ModelFile]] = {}
    for file in files:
        groups.setdefault(file.meaning, []).append(file)
    if not any(m.kind == "flux" for m in groups):
        raise InputError(
            f"{files[0].path}: found {', '.join(m.name for m in groups)} but no flux; expected one of "
            f"{', '.join(facts.fluxes)}. Read stocks together with a flux of the same run."
        )
    first = next(f for f in files if f.meaning.kind == "flux")
    grid = model_grid(first, facts)
    lands = [f for f in files if f.meaning.kind == "land"]
    land = land_share(land_fraction, lands, facts, grid, notes)
    for file in (f for f in files if f.meaning.kind == "area"):
        check_areas(file, facts, grid, notes)
    fluxes, stocks = {}, {}
    for meaning, members in groups.items():
        if meaning.kind == "flux":
            fluxes[meaning.name] = flux_series(members, facts, grid, land, notes)
        elif meaning.kind == "stock":
            stocks[meaning.name] = members
    held = on_common_steps(fluxes, notes)
    share = land if land is not None else true_land(grid)
    if land is None:
        notes.append("no land fraction given: coverage and sums over the globe use the true coast")
    area = grid.cell_area()
    source = f"{profile} {first.model}"
    _check(held, grid, area * share, source, implausible, notes)
    ds = _flux_dataset(held, source, files, area, share)
    ds = _with_rows(ds.assign(cell_area=area.assign_attrs(origin="WGS84 ellipsoid")), grid)
    if land is not None:
        ds = ds.assign(land_fraction=land)
    bases = {series.basis for series in fluxes.values()}
    about = {
        "model": first.model,
        "profile": profile,
        "basis": "land",
        "stored_basis": ", ".join(sorted(bases)),
        "source_file": ", ".join(f.path.name for f in files),
        **dict(first.run),
    }
    held_stocks = _stocks(stocks, facts, grid, land, source, notes)
    about_all = {**about, "notes": list(dict.fromkeys(notes))}
    if held_stocks is not None:
        held_stocks = _with_rows(held_stocks, grid).assign_attrs({**about_all, "source": source})
    return ModelOutput(ds.assign_attrs(about_all), held_stocks)


def _check(
    held: dict[str, Series],
    grid: LatLonGrid,
    land_area: xr.DataArray,
    source: str,
    implausible: str,
    notes: list[str],
) -> None:
    """UnitsError (or a note) if a year of the fluxes cannot be what the format says."""
    if implausible not in ("error", "note"):
        raise InputError(f"implausible is {implausible!r}; expected 'error' or 'note'.")
    steps = next(iter(held.values())).steps
    chosen = middle_year(steps)
    _, bounds = stamps(steps.first[chosen], steps.step, steps.calendar)
    year = xr.Dataset({n: s.data.isel(time=chosen) for n, s in held.items()}).compute()
    wrong: list[str] = []
    fluxes = {}
    for name in held:
        values = year[name].values
        problem, remark = marks(values, -LIMIT, LIMIT, STORED_UNITS)
        if problem:
            raise UnitsError(
                f"{source}: {name} {problem} Correct the units in the file, or in a profile of your own."
            )
        notes += [f"{name} {remark}"] if remark else []
        fluxes[name] = np.where(np.abs(values) <= LIMIT, values, np.nan)
    seconds = (bounds[:, 1] - bounds[:, 0]).dt.total_seconds().values.astype(np.float64)
    south, north = grid.y_edges[0], grid.y_edges[-1]
    sample = Sample(
        fluxes,
        seconds,
        land_area.values,
        grid.is_global_in_lon and bool(south <= ALL_LAND[0] and north >= ALL_LAND[1]),
        steps.step == "year" or seconds.size == _YEAR,
    )
    found, told = wrong_with(sample)
    wrong += found
    notes += told
    if wrong and implausible == "error":
        named = f"{bounds.values[0, 0]}"[:10]
        raise UnitsError(
            f"{source}, year from {named}: {'; '.join(wrong)}. Correct the profile or the file, or read it with "
            "implausible='note' if you know that it is right."
        )
    notes += [f"implausible: {w}" for w in wrong]


def _flux_dataset(
    held: dict[str, Series], source: str, files: Sequence[ModelFile], area: xr.DataArray, land: xr.DataArray
) -> xr.Dataset:
    steps = next(iter(held.values())).steps
    _, bounds = stamps(steps.first, steps.step, steps.calendar)
    weight = area * land
    fluxes = {n: s.data.where(np.abs(s.data) <= LIMIT) for n, s in held.items()}
    seen = [xr.dot(f.notnull().astype(np.float64), weight, dim=["lat", "lon"]) for f in fluxes.values()]
    coverage = (reduce(np.minimum, seen) / float(weight.sum())).clip(max=1.0)
    return make_flux_dataset(
        fluxes,
        approach="process",
        source=source,
        coverage=coverage,
        time_bounds=bounds,
        inputs={f.path.name: f.path for f in files},
    )


def _check_stock(data: xr.DataArray, name: str, steps: Steps, source: str, notes: list[str]) -> None:
    """UnitsError if a year of a stock holds what no land does."""
    year = data.isel(time=middle_year(steps)).compute().values
    problem, remark = marks(year, LEAST_STOCK, MOST_STOCK, STOCK_UNITS)
    notes += [f"{name} {remark}"] if remark else []
    if problem:
        raise UnitsError(
            f"{source}: {name} {problem} Correct the units in the file, or in a profile of your own."
        )


def _stocks(
    groups: dict[str, list[ModelFile]],
    facts: ModelProfile,
    grid: LatLonGrid,
    land: xr.DataArray | None,
    source: str,
    notes: list[str],
) -> xr.Dataset | None:
    """Stocks of carbon on the years that any of them has."""
    held: dict[str, xr.DataArray] = {}
    for name, members in groups.items():
        entry = facts.stocks[name]
        parts, layers = [], None
        for file in members:
            data, steps, ds = open_values(file, facts, grid, notes)
            extra = [str(d) for d in data.dims if d not in ("time", "lat", "lon")]
            if len(extra) != int(entry.layered):
                raise InputError(
                    f"{file.path}: {data.name} has dimensions {', '.join(map(str, data.dims))}; expected time, lat, lon"
                    f"{' and one of layers' if entry.layered else ''}. Give the file of that variable."
                )
            layers = layer_bounds(ds, extra[0], file.path) if extra else None
            basis = stated_basis(data, facts.basis, file.path, notes)
            thickness = None if layers is None else layers.thickness(extra[0])
            stock = as_stock(
                data, entry, basis=basis, land=land, thickness=thickness, path=file.path, notes=notes
            )
            parts.append((file, steps, stock))
        data, steps = join_files(parts)
        _check_stock(data, name, steps, source, notes)
        data = data.where((data > LEAST_STOCK) & (data < MOST_STOCK))
        data = data.where(land > 0.0) if land is not None else data
        if entry.layered:
            dim = next(str(d) for d in data.dims if d not in ("time", "lat", "lon"))
            target = "cSoil" if "cSoil" not in groups else name
            for key, summed in sum_of_layers(data, dim, layers, target, set(groups)).items():
                held[key] = annual(summed, steps, name, notes)
        else:
            held[name] = annual(data, steps, name, notes)
    if not held:
        return None
    out: xr.Dataset = xr.merge(
        [da.rename(n) for n, da in held.items()], join="outer", compat="override", combine_attrs="override"
    )
    bounds = calendar_bounds(out["time"])
    return out if bounds is None else out.assign_coords(time_bnds=bounds)


def _with_rows(ds: xr.Dataset, grid: LatLonGrid) -> xr.Dataset:
    """`ds` with the edges of its rows, where they are uneven and cannot be told from the centres."""
    with suppress(GridError):
        if grid_of(ds) == grid:
            return ds
    south, north = ROW_EDGES
    return ds.assign_coords(
        {
            south: ("lat", grid.y_edges[:-1].copy(), {"units": "degrees_north"}),
            north: ("lat", grid.y_edges[1:].copy(), {"units": "degrees_north"}),
        }
    )
