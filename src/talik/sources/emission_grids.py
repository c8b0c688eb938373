"""Gridded human emissions of GCP-GridFED, EDGAR and the Global Methane Budget as flux datasets."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import xarray as xr

from talik.errors import GridError, InputError
from talik.flux.convert import recast
from talik.flux.dataset import calendar_bounds, make_flux_dataset
from talik.flux.table import FluxVar, Species, flux_var, mass_ratio
from talik.regions.axes import conform, grid_of
from talik.regions.grid import Grid
from talik.sources.emission_units import check_units

Paths = str | Path | Sequence[str | Path]
HUGE = 1e19
"""Values beyond this are a fill value, declared or not (1e20 in float32 is not 1e20)."""
EDGAR_VARIABLE: Mapping[str, str] = MappingProxyType(
    {"CO2": "fFossil", "CH4": "fAnthropogenicCh4", "N2O": "fAnthropogenicN2o"}
)
"""What the emissions of a gas in EDGAR are taken for, unless the reader is told otherwise."""
_GRIDFED = re.compile(r"_(\d{4})(?:\.short)?\.nc4?$")
_EDGAR = re.compile(
    r"_(CO2|CH4|N2O)_(?:excl_short-cycle_org_C_)?(\d{4})_([A-Za-z0-9_]+?)(?:_(?:flx|emi)|\.0\.1x0\.1)\.nc$"
)
_MONTHS = 12
_SLACK_DAYS = 1.5
"""A stamp may lie this far outside its month: some files count days from 0, some from 1."""


@dataclass(frozen=True, slots=True)
class _Part:
    """The fluxes of one file, (time, lat, lon), in units of mass of the gas per m2 and s (or d), and their steps."""

    path: Path
    flux: xr.DataArray
    bounds: xr.DataArray
    grid: Grid


def read_gridfed(paths: Paths, sector: str = "TOTAL") -> xr.Dataset:
    """Fossil CO2 emissions of GCP-GridFED (Jones et al. 2021, Sci. Data 8, 2) as a flux dataset with `fFossil`.

    paths : files of one year each, as published (`GCP-GridFEDv2022.2_2010.nc`): root `lat`, `lon`, `time`, and the
        group `CO2` with a variable for each sector, kg of CO2 in each cell and month.
    sector : TOTAL, COAL, OIL, GAS, CEMENT or BUNKER; `.short.nc` files hold the total only.

    One variable on (time, lat, lon), both axes ascending: monthly emissions in kg m-2 s-1 of carbon, up, per area of
    the cell, lazy, with attributes `species`, `positive`, `area_basis` and `sector`; NaN is no data. An amount per cell
    is divided by the true area of its cell and never interpolated, so that sums over cells are kept. Beside it
    `time_bnds`, `cell_area` (m2, of the WGS84 ellipsoid) and `coverage` (time), the share of the grid with data. The
    attributes `source_file` and `notes` of the dataset say where it is from, and what a file did not state and was
    taken as published. The year is that of the file name; the time axis must fit it.

    InputError: no such file, group, sector or year; other than 12 months; the same year twice. UnitsError: other units.
    """
    notes: list[str] = []
    parts = [_gridfed_year(path, sector, notes) for path in _files(paths)]
    return _dataset(parts, "fFossil", ("CO2", "kg m-2 s-1"), sector, "GCP-GridFED", notes)


def read_edgar(paths: Paths, variable: str | None = None) -> xr.Dataset:
    """Annual emissions of EDGAR v8 or v6 (Crippa et al., JRC) of one gas and sector as a flux dataset.

    paths : files of one year each, as published, whose name says gas, year and sector:
        `v8.0_FT2022_GHG_CH4_2010_TOTALS_flx.nc` with `fluxes` (kg m-2 s-1, which the file must say), `..._emi.nc` with
        `emissions` (tonnes in each cell and year), or `v6.0_CH4_2010_TOTALS.0.1x0.1.nc` with `emi_ch4`. All are mass
        of the gas.
    variable : name in the flux table. By default `fFossil`, `fAnthropogenicCh4` or `fAnthropogenicN2o`; say
        `fFossilCh4` or `fAgriWasteCh4` for sectors that are only that.

    Emissions in kg m-2 s-1 of carbon or nitrogen, up, per area of the cell, lazy; see `human_dataset`. Those in tonnes
    are divided by the true area of the cell and the length of the calendar year. CO2 of the short carbon cycle
    (`CO2bio`) is refused: it is no fossil emission.

    InputError: no such file or variable; a name that does not say gas, year and sector; files of several gases or
    sectors; the same year twice. UnitsError: other units, or a variable of another element.
    """
    notes: list[str] = []
    parts, said = [], []
    for path in _files(paths):
        name = _EDGAR.search(path.name)
        if name is None:
            raise InputError(
                f"{path}: the name does not say CO2, CH4 or N2O, a year and a sector as in "
                "v8.0_FT2022_GHG_CH4_2010_TOTALS_flx.nc. Keep the published name."
            )
        gas, year, sector = name.groups()
        said.append((gas, sector))
        parts.append(_edgar_year(path, gas, int(year), notes))
    if len(set(said)) > 1:
        found = ", ".join(f"{gas} {sector}" for gas, sector in dict.fromkeys(said))
        raise InputError(f"expected EDGAR files of one gas and sector; found {found}. Read them one by one.")
    gas, sector = said[0]
    species: Species = {"CO2": "CO2", "CH4": "CH4", "N2O": "N2O"}[gas]  # type: ignore[assignment]
    return _dataset(parts, variable or EDGAR_VARIABLE[gas], (species, "kg m-2 s-1"), sector, "EDGAR", notes)


def read_methane_prior(paths: Paths, variable: str) -> xr.Dataset:
    """Prior CH4 emissions of one category of the Global Methane Budget (Saunois et al. 2020) as a flux dataset.

    paths : files of the category with `flux` (time, lev, lat, lon), g of CH4 per m2 and day, monthly or annual.
    variable : what the category is in the flux table, such as `fFossilCh4` or `fAgriWasteCh4`. Files do not say it in
        one way; the attribute `sector` has the names of the files.

    Emissions in kg m-2 s-1 of carbon, up, per area of the cell, lazy; see `human_dataset`. `lev` must have size 1.

    InputError: no such file or variable, several levels, steps that are neither months nor years and have no bounds,
    or one step twice. UnitsError: other units, or a variable of another element.
    """
    notes: list[str] = []
    files = _files(paths)
    parts = [_prior(path, notes) for path in files]
    sector = ", ".join(path.stem for path in files)
    return _dataset(
        parts, variable, ("CH4", "g m-2 d-1"), sector, "Global Methane Budget, prior emissions", notes
    )


def _dataset(
    parts: Sequence[_Part],
    variable: str,
    means: tuple[Species, str],
    sector: str,
    product: str,
    notes: Sequence[str],
) -> xr.Dataset:
    """Parts in order of time as one flux dataset, with what their gas and units are."""
    species, units = means
    wanted = flux_var(variable)
    mass_ratio(species, wanted.species)
    parts = sorted(parts, key=lambda part: part.bounds.values[0, 0])
    for a, b in itertools.pairwise(parts):
        if a.grid != b.grid:
            raise InputError(f"{b.path}: has {b.grid}, but {a.path} has {a.grid}. Read files of one grid.")
        if b.bounds.values[0, 0] < a.bounds.values[-1, 1]:
            raise InputError(
                f"{b.path} begins at {b.bounds.values[0, 0]}, before {a.path} ends. Give each year once."
            )
    flux = xr.concat([part.flux for part in parts], dim="time", combine_attrs="drop")
    bounds = xr.concat([part.bounds for part in parts], dim="time")
    described = FluxVar(
        name=product, species=species, positive="up", per=wanted.per, long_name=product, units=units
    )
    flux = recast(flux.rename(product), described, wanted).assign_attrs(sector=sector)
    area = parts[0].grid.cell_area()
    dims = list(parts[0].grid.dims)
    coverage = (flux.notnull().drop_attrs() * area).sum(dims) / float(area.sum())
    ds = make_flux_dataset(
        {variable: flux},
        approach="anthropogenic",
        source=f"{product}, {sector}",
        coverage=coverage,
        time_bounds=bounds,
        inputs={part.path.name: part.path for part in parts},
    )
    return ds.assign(
        cell_area=area.assign_attrs(long_name="true area of the cell on the WGS84 ellipsoid")
    ).assign_attrs(source_file=", ".join(part.path.name for part in parts), notes=list(dict.fromkeys(notes)))


def _files(paths: Paths) -> list[Path]:
    """Paths that exist, at least one."""
    files = [Path(paths)] if isinstance(paths, str | Path) else [Path(p) for p in paths]
    if not files:
        raise InputError("no emission files given; expected at least one path.")
    for path in files:
        if not path.is_file():
            raise InputError(f"{path}: no such file. Check the path.")
    return files


def _gridfed_year(path: Path, sector: str, notes: list[str]) -> _Part:
    name = _GRIDFED.search(path.name)
    if name is None:
        raise InputError(
            f"{path}: the name does not end in a year, as in GCP-GridFEDv2022.2_2010.nc. Keep the published name."
        )
    root, group = _opened(path, decode=False), _opened(path, group="CO2", decode=False)
    data = _variable(group, sector, path)
    data = data.assign_coords({c: root[c] for c in ("lat", "lon") if c in root.variables})
    time = root["time"] if "time" in root.variables else group.get("time")
    if "time" not in data.dims or data.sizes["time"] != _MONTHS or time is None:
        raise InputError(f"{path}: {sector} has dimensions {dict(data.sizes)}; expected 12 months on time.")
    year = int(name[1])
    bounds = _edges([np.datetime64(f"{year}-01", "M") + k for k in range(_MONTHS + 1)])
    _check_days(time, bounds, year, path)
    check_units(data, "kg CO2 cell-1 month-1", {"kg"}, path, notes)
    return _amounts(path, data, bounds)


def _check_days(time: xr.DataArray, bounds: xr.DataArray, year: int, path: Path) -> None:
    """InputError unless twelve stamps lie in the months of the year, as days of the year or as dates."""
    days = np.asarray(time.values, dtype=np.float64)
    first = bounds.values[0, 0]
    edges = (bounds.values - first) / np.timedelta64(1, "D")
    tried = [days]
    since = re.match(r"days? since (\d{4}-\d{2}-\d{2})", str(time.attrs.get("units", "")))
    if since:
        tried.append(days - float((first - np.datetime64(since[1], "ns")) / np.timedelta64(1, "D")))
    if not any(((t >= edges[:, 0] - _SLACK_DAYS) & (t <= edges[:, 1] + _SLACK_DAYS)).all() for t in tried):
        raise InputError(
            f"{path}: time runs {days.min():g}..{days.max():g} ({time.attrs.get('units', 'no units')}); expected one "
            f"day in each month of {year}, counted from its beginning. Is the year in the file name right?"
        )


def _edgar_year(path: Path, gas: str, year: int, notes: list[str]) -> _Part:
    ds = _opened(path)
    names = ("fluxes", "emissions", f"emi_{gas.lower()}")
    found = [n for n in names if n in ds]
    if len(found) != 1:
        raise InputError(
            f"{path}: expected one of {', '.join(names)}; found {', '.join(map(str, ds.data_vars))}. "
            "Read NetCDF files of EDGAR v8 or v6."
        )
    data = _variable(ds, found[0], path)
    if data.sizes.get("time", 1) != 1:
        raise InputError(
            f"{path}: {found[0]} has {data.sizes['time']} steps; expected one year. Use annual files."
        )
    data = data.squeeze("time", drop=True) if "time" in data.dims else data
    bounds = _edges([np.datetime64(f"{year + k}-01", "M") for k in (0, 1)])
    data = data.expand_dims(time=1)
    if found[0] == "emissions":
        check_units(data, f"t {gas} cell-1 yr-1", {"t"}, path, notes)
        return _amounts(path, data * 1e3, bounds)
    check_units(data, f"kg {gas} m-2 s-1", {"kg", "m2", "s"}, path, None)
    return _part(path, data, bounds)


def _prior(path: Path, notes: list[str]) -> _Part:
    data = _variable(ds := _opened(path), "flux", path)
    for dim in [d for d in ("lev", "level") if d in data.dims]:
        if data.sizes[dim] != 1:
            raise InputError(
                f"{path}: flux has {data.sizes[dim]} levels; expected one, at the ground. Select it, or sum the levels."
            )
        data = data.squeeze(dim, drop=True)
    time = data.coords.get("time")
    if time is None or time.dims != ("time",) or time.dtype.kind not in "MO":
        raise InputError(
            f"{path}: flux has no time with dates; expected 'days since ...' or 'hours since ...'."
        )
    stated = str(time.attrs.get("bounds", "time_bnds"))
    bounds = ds[stated].load() if stated in ds.variables else calendar_bounds(time)
    if bounds is None:
        raise InputError(
            f"{path}: {time.size} steps that are neither months nor years in order, and no time_bnds. Add bounds."
        )
    bounds = bounds.rename({str(d): "bnds" for d in bounds.dims if d != "time"}).reset_coords(drop=True)
    check_units(data, "g CH4 m-2 d-1", {"g", "m2", "d"}, path, notes)
    return _part(path, data, bounds.assign_coords(time=time.drop_attrs()))


def _amounts(path: Path, data: xr.DataArray, bounds: xr.DataArray) -> _Part:
    """Amounts in each cell and step as fluxes."""
    part = _part(path, data, bounds)
    seconds = (bounds[:, 1] - bounds[:, 0]).dt.total_seconds()
    return _Part(path, part.flux / part.grid.cell_area() / seconds, bounds, part.grid)


def _part(path: Path, data: xr.DataArray, bounds: xr.DataArray) -> _Part:
    try:
        grid = grid_of(data)
        data = conform(data, grid)
    except GridError as err:
        raise InputError(f"{path}: {err}") from err
    if set(data.dims) != {"time", *grid.dims}:
        raise InputError(f"{path}: {data.name} has dimensions {data.dims}; expected time, lat and lon.")
    held = data.drop_attrs().astype(np.float64)
    held = held.where(np.abs(held) < HUGE).assign_coords(time=bounds["time"])
    return _Part(path, held.transpose("time", *grid.dims), bounds, grid)


def _edges(months: Sequence[np.datetime64]) -> xr.DataArray:
    """(time, bnds) of steps between dates, each stamped at its beginning."""
    dates: npt.NDArray[np.datetime64] = np.array(months).astype("datetime64[ns]")
    return xr.DataArray(
        np.column_stack([dates[:-1], dates[1:]]), dims=("time", "bnds"), coords={"time": dates[:-1]}
    )


def _opened(path: Path, group: str | None = None, *, decode: bool = True) -> xr.Dataset:
    """A NetCDF file, lazily."""
    try:
        return xr.open_dataset(path, engine="netcdf4", group=group, chunks={}, decode_times=decode)
    except (OSError, ValueError, KeyError) as err:
        what = f"group {group!r}" if group else "NetCDF file"
        raise InputError(f"{path}: cannot be read as {what} ({err}). Get the published file again.") from err


def _variable(ds: xr.Dataset, name: str, path: Path) -> xr.DataArray:
    if name not in ds.data_vars:
        raise InputError(f"{path}: no variable {name!r}; found {', '.join(map(str, ds.data_vars))}.")
    return ds[name]
