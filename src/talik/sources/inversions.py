"""Files of atmospheric inversions of CO2, CH4 and N2O as flux datasets, by a table of layouts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
import xarray as xr

from talik.errors import GridError, InputError, UnitsError
from talik.flux.convert import recast
from talik.flux.dataset import make_flux_dataset
from talik.flux.table import FluxVar, flux_var
from talik.flux.units import rate_from_amount
from talik.regions.axes import conform, grid_of
from talik.regions.grid import Grid
from talik.regions.masks import land_fraction as natural_earth
from talik.sources.climate_months import TimeAxis, complete_months, month_stamps, month_starts, time_axis
from talik.sources.emission_grids import HUGE
from talik.sources.emission_units import check_units
from talik.sources.inversion_checks import WETLANDS, check_global_totals, global_totals, is_global
from talik.sources.inversion_layouts import (
    INVERSION_LAYOUTS,
    Form,
    InversionLayout,
    Terms,
    describe_layout,
    inversion_layout,
)

__all__ = ["INVERSION_LAYOUTS", "describe_layout", "read_inversion"]

Paths = str | Path | Sequence[str | Path]
AREA_TOLERANCE = 0.02
"""Cell areas of a file may differ this much from the ellipsoid: a sphere of 6371 km differs by up to 0.7 %."""
_GREGORIAN = ("standard", "gregorian", "proleptic_gregorian")
_A_YEAR = {"time": 12}
_GOSAT = re.compile(r"^(?P<system>.+?)_totflux_(?P<case>.*?)(?P<data>SURF|GOSAT)\.nc4?$")
_OBSERVED = {"SURF": "surface", "GOSAT": "satellite"}


def read_inversion(
    paths: Paths,
    layout: str,
    *,
    terms: Mapping[str, Sequence[str]] | None = None,
    land_fraction: xr.DataArray | None = None,
    check_total: bool = True,
) -> xr.Dataset:
    """The fluxes of an inversion as a flux dataset: `nbe` (and `fFire`), `fch4` or `fn2o`, monthly, lazy.

    paths : files of one system, or one package of many, in any order of time; each month once, none missing.
    layout : name in `INVERSION_LAYOUTS`; `describe_layout(name)` says what is read, checked and assumed.
    terms : variable of the flux table to the variables of the file that are added up to it, where a file has other
        names than the layout, such as the sectors of a methane budget: ``{"fch4": ["wetlands", "fresh_waters"]}``.
    land_fraction : land share of the cells, on the grid of the file; Natural Earth by default. Where it is 0 the flux
        is no data, whatever the file holds: the sea is kept out of every mean. The flux of a shore cell is that of its
        land.
    check_total : compare the global total of the last year with data with what is known of the gas. Done on files of
        the whole globe only; it reads that year.

    Variables on (member, time, lat, lon) or (time, lat, lon), axes ascending, longitude in -180..180: kg m-2 s-1 of
    C or N, up, `nbe` per area of the cell, all others per area of land (that is what the flux table says of them).
    NaN is no data, as for a member before it starts. Beside them `<variable>_prior` where the file has it,
    `time_bnds`, `cell_area` (m2, of the WGS84 ellipsoid), `land_fraction` and `coverage`, the share of land with data.
    Attributes: `notes` (what the file left open and was taken as documented), `layout`, `source_file`, `basis`,
    `global_total_tg` of each variable (with sea), `part_of_total` (what `terms` took), and of the methane budget
    `system` and `observations`.
    Time stamps are the beginnings of the months.

    Source of the layouts: public code that reads the real files, which were not seen here. InputError: no such file
    or variable, time without dates, or steps that are not adjacent months. UnitsError: units that are none of the
    layout's, or missing where they are not documented. UnitsSuspect: a global total that does not fit. GridError: a
    land fraction of other cells, or cell areas in the file that are not its cells'. ConfigError: no such layout.
    """
    known = inversion_layout(layout)
    notes: list[str] = []
    files = _files(paths)
    ds, grid, bounds = _joined(files, known)
    ds = _members(ds, known, files[0], notes)
    _check_area(ds, grid, known, files[0], notes)
    land = _land(land_fraction, grid)

    wanted = dict(known.fluxes)
    if terms is not None:
        wanted = {name: tuple((n,) for n in names) for name, names in terms.items()}
    fluxes, totals = {}, {}
    for name, made_of in wanted.items():
        per_cell = _flux(ds, made_of, name, known, files[0], notes)
        if check_total and is_global(grid):
            totals[name] = _checked(ds, per_cell, name, known, files, notes, part=terms is not None)
        fluxes[name] = _on_land(per_cell, name, land)
    priors = {}
    for name, made_of in known.priors.items():
        if name in fluxes and terms is None and all(any(n in ds for n in names) for names in made_of):
            prior = _on_land(_flux(ds, made_of, name, known, files[0], notes), name, land)
            named = prior.assign_attrs(long_name=f"{prior.attrs['long_name']}, prior")
            priors[f"{name}_prior"] = named.variable  # its coordinates would replace those with attributes
    if check_total and not is_global(grid):
        notes.append("not global: the total was not compared with what is known of the gas")
    first = fluxes[next(iter(fluxes))]
    area = grid.cell_area()
    made = make_flux_dataset(
        fluxes,
        approach=known.approach,
        source=known.product if len(files) > 1 else f"{known.product}, {files[0].name}",
        coverage=(first.notnull().drop_attrs() * (area * land)).sum(grid.dims) / float((area * land).sum()),
        time_bounds=bounds,
        inputs={path.name: path for path in files},
    ).assign(priors)
    made["cell_area"] = area.assign_attrs(origin="WGS84 ellipsoid")
    made["land_fraction"] = land
    said = _GOSAT.match(files[0].name)
    if said is not None and known.name == "methane-budget":
        made.attrs.update(system=said["system"], observations=_OBSERVED[said["data"]])
    if terms is not None:
        made.attrs["part_of_total"] = "; ".join(f"{name}: {', '.join(held)}" for name, held in terms.items())
    for name, by_member in totals.items():
        made[name].attrs["global_total_tg"] = [round(v, 6) for v in by_member.values()]
    return made.assign_attrs(
        layout=known.name,
        source_file=", ".join(path.name for path in files),
        basis="cell" if flux_var(next(iter(fluxes))).per == "cell" else "land",
        notes=list(dict.fromkeys(notes)),
    )


def _files(paths: Paths) -> list[Path]:
    files = [Path(paths)] if isinstance(paths, str | Path) else [Path(p) for p in paths]
    if not files:
        raise InputError("no files of an inversion given; expected at least one path.")
    for path in files:
        if not path.is_file():
            raise InputError(f"{path}: no such file. Check the path.")
    return files


def _opened(path: Path) -> xr.Dataset:
    """A file with its fields as Dask arrays, and all that is smaller (names, areas, bounds) in memory.

    Fields come in the chunks of the file, or a year at a time where it has none: one that is stored in one piece can
    be larger than memory.
    """
    try:
        ds = xr.open_dataset(path, engine="netcdf4", decode_times=False)
        held = {
            name: field.chunk(field.encoding.get("preferred_chunks") or _A_YEAR)
            if field.ndim > 2
            else field.load()
            for name, field in ds.data_vars.items()
        }
    except (OSError, ValueError) as err:
        raise InputError(f"{path}: not readable as NetCDF ({err}). Get the published file again.") from err
    return ds.assign(held)


def _joined(files: Sequence[Path], layout: InversionLayout) -> tuple[xr.Dataset, Grid, xr.DataArray]:
    """All files as one, in order of time, on the grid of the first; and the edges of its months, (time, bnds)."""
    parts: list[tuple[Path, xr.Dataset, Grid]] = []
    calendars: list[str] = []
    for path in files:
        ds = _opened(path)
        axis = time_axis(ds, "time", path)
        if axis.daily:
            raise InputError(
                f"{path}: steps are days; expected months ({layout.name}). Average the fluxes to months."
            )
        if layout.stamp == "last day" and (axis.day == 1).all():
            raise InputError(
                f"{path}: every stamp is the first day of a month, where {layout.name} has the last: the first month "
                f"is {axis.span().split('..')[0]} or the one before. Add time_bnds that say which."
            )
        ds = ds.assign_coords(time=axis.month)
        calendars.append(axis.calendar)
        try:
            grid = grid_of(ds)
            ds = conform(ds, grid)
        except GridError as err:
            raise InputError(f"{path}: {err}") from err
        if parts and grid != parts[0][2]:
            raise InputError(
                f"{path}: has {grid}, but {parts[0][0]} has {parts[0][2]}. Read files of one grid."
            )
        parts.append((path, ds, grid))
    parts.sort(key=lambda part: int(part[1]["time"].values[0]))
    joined = parts[0][1]
    if len(parts) > 1:
        joined = xr.concat(
            [part[1] for part in parts],
            dim="time",
            data_vars="minimal",
            coords="minimal",
            compat="override",
            join="override",
            combine_attrs="override",
        )
    held = TimeAxis(joined["time"].values, np.ones_like(joined["time"].values), calendars[0], daily=False)
    months, _ = complete_months(held, str(parts[0][0]))
    edges = [
        month_stamps(m) if calendars[0] in _GREGORIAN else month_starts(m, calendars[0])
        for m in (months, months + 1)
    ]
    bounds = xr.DataArray(np.stack(edges, axis=1), dims=("time", "bnds"), coords={"time": edges[0]})
    return joined.assign_coords(time=bounds["time"]), parts[0][2], bounds


def _members(ds: xr.Dataset, layout: InversionLayout, path: Path, notes: list[str]) -> xr.Dataset:
    """The dataset with dimension `member` named by the file's names, if the layout has members."""
    if layout.member is None or layout.member[0] not in ds.dims:
        return ds
    dim, variable = layout.member
    if variable not in ds.variables:
        notes.append(f"{path.name}: no {variable}; members are numbered")
        names = [str(k + 1) for k in range(ds.sizes[dim])]
    else:
        held = ds[variable]
        if dim not in held.dims or held.ndim > 2 or held.dtype.kind not in "SUOT":
            raise InputError(
                f"{path}: {variable} has dimensions {held.dims} of {held.dtype}; expected characters of one name for "
                f"each {dim}."
            )
        names = [_text(row) for row in held.transpose(dim, ...).values]
        ds = ds.drop_vars(variable)
    if len(set(names)) < len(names) or "" in names:
        raise InputError(
            f"{path}: names of members are {names}; expected each once, and none empty. Correct them."
        )
    return ds.drop_vars(dim, errors="ignore").rename({dim: "member"}).assign_coords(member=names)


def _text(name: object) -> str:
    """A name stored as characters, bytes or text."""
    if isinstance(name, str):
        return name.strip(" \0")
    return np.asarray(name, dtype="S").tobytes().decode("utf-8", "replace").strip(" \0")


def _check_area(ds: xr.Dataset, grid: Grid, layout: InversionLayout, path: Path, notes: list[str]) -> None:
    """GridError if the file's areas of cells are not those of its cells."""
    if layout.area is None:
        return
    if layout.area not in ds.variables:
        notes.append(f"{path.name}: no {layout.area}; areas are those of the ellipsoid")
        return
    held = ds[layout.area]
    off = float(np.abs(held / grid.cell_area() - 1.0).max())
    if not off <= AREA_TOLERANCE:
        raise GridError(
            f"{path}: {layout.area} is off by up to {off:.1%} from the area of the cells; expected m2 of each cell of "
            f"{grid}, to {AREA_TOLERANCE:.0%}. Correct lat, lon or {layout.area}, or drop {layout.area}."
        )
    if off > 1e-4:
        notes.append(
            f"{path.name}: {layout.area} differs by up to {off:.2%} from the ellipsoid, which is used"
        )


def _land(given: xr.DataArray | None, grid: Grid) -> xr.DataArray:
    if given is None:
        return natural_earth(grid).assign_attrs(origin="Natural Earth 1:50m")
    return conform(given, grid).fillna(0.0).assign_attrs(units="1", origin="given")


def _flux(
    ds: xr.Dataset,
    made_of: Terms,
    name: str,
    layout: InversionLayout,
    path: Path,
    notes: list[str],
) -> xr.DataArray:
    """The sum of terms, kg m-2 s-1 of the element of `name`, per area of the cell, with sea; NaN where one is NaN."""
    return reduce(add, (_term(ds, names, name, layout, path, notes) for names in made_of)).assign_attrs(
        units="kg m-2 s-1"
    )


def _term(
    ds: xr.Dataset,
    names: Sequence[str],
    name: str,
    layout: InversionLayout,
    path: Path,
    notes: list[str],
) -> xr.DataArray:
    found = next((n for n in names if n in ds.data_vars), None)
    if found is None:
        have = ", ".join(str(n) for n, v in ds.data_vars.items() if "time" in v.dims) or "none"
        raise InputError(
            f"{path}: expected {' or '.join(names)} for {name} ({layout.name}); variables in time are {have}. Say "
            f"which are added up with terms={{{name!r}: [...]}}."
        )
    data = ds[found]
    dims = {"time", "lat", "lon"} | ({"member"} if layout.member else set())
    for level in [d for d in ("lev", "level") if d in data.dims and data.sizes[d] == 1]:
        data = data.squeeze(level, drop=True)
    if not set(data.dims) <= dims or "time" not in data.dims:
        raise InputError(
            f"{path}: {found} has dimensions {data.dims}; expected time, lat and lon. Select or sum them."
        )
    form = _form(data, layout, path, notes)
    wanted = flux_var(name)
    stated = data.drop_attrs().astype(np.float64)
    stated = stated.where(np.abs(stated) < HUGE).assign_attrs(units=form.units)
    if form.units.endswith(("month-1", "yr-1")):
        stated = rate_from_amount(stated)
    meant = FluxVar(
        name=found,
        species=form.species,
        positive="up",
        per="cell",
        long_name=found,
        units=str(stated.attrs["units"]),
    )
    element = FluxVar(
        name=name, species=wanted.species, positive="up", per="cell", long_name=wanted.long_name
    )
    spatial = [d for d in ("member", "time", "lat", "lon") if d in stated.dims]
    return recast(stated, meant, element).transpose(*spatial).drop_attrs().rename(name)


def _form(data: xr.DataArray, layout: InversionLayout, path: Path, notes: list[str]) -> Form:
    """The form of units that a variable of a file has; UnitsError if it is none of the layout's."""
    stated = bool(str(data.attrs.get("units", "")).strip())
    for form in layout.forms:
        if form.needed is None or stated:
            said: list[str] = []
            needed = form.needed if form.needed is not None else frozenset({"m2"})
            try:
                check_units(data, form.written, needed, path, said)
            except UnitsError:
                continue
            notes.extend(said)
            return form
    written = ", ".join(repr(w) for w in dict.fromkeys(form.written for form in layout.forms))
    raise UnitsError(
        f"{path}: {data.name!r} has units {data.attrs.get('units', '')!r}; expected one of {written}. Set the "
        "attribute units of the file if you know them; they are never guessed."
    )


def _checked(
    ds: xr.Dataset,
    flux: xr.DataArray,
    name: str,
    layout: InversionLayout,
    files: Sequence[Path],
    notes: list[str],
    *,
    part: bool,
) -> dict[str, float]:
    """Global totals of a flux and what belongs to it elsewhere, Tg yr-1 by member; UnitsSuspect if one does not fit."""
    whole = flux
    if layout.elsewhere and all(any(n in ds for n in names) for names in layout.elsewhere):
        whole = flux.fillna(0.0) + _flux(ds, layout.elsewhere, name, layout, files[0], notes).fillna(0.0)
        whole = whole.where(flux.notnull().any(("lat", "lon"))).assign_attrs(flux.attrs)
    elif layout.elsewhere:
        notes.append(f"{files[0].name}: the global total lacks {', '.join(n[0] for n in layout.elsewhere)}")
    totals = global_totals(whole)
    silent = [str(m) for m in flux["member"].values if str(m) not in totals] if "member" in flux.dims else []
    if silent or not totals:
        notes.append(f"no data at all: {', '.join(silent) or files[0].name}")
    reference = WETLANDS if layout.name == "methane-wetlands" else None
    check_global_totals(totals, name, files[0].name, reference, part=part and reference is None)
    return totals


def _on_land(flux: xr.DataArray, name: str, land: xr.DataArray) -> xr.DataArray:
    """A flux per cell as the flux table has it, no data where there is no land."""
    wanted = flux_var(name)
    meant = FluxVar(name=name, species=wanted.species, positive="up", per="cell", long_name=wanted.long_name)
    return recast(flux.where(land > 0.0).assign_attrs(units=meant.units), meant, wanted, land)
