"""Values of gridded predictors at flux sites: the cell that contains the tower, in the month of the measurement."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from talik.errors import ConfigError, InputError, UnitsError
from talik.flux.units import as_units
from talik.netcdf import open_netcdf
from talik.upscaling.site_cells import OUTSIDE, Array, Index, Locator, distance_km, locator_of, name_of
from talik.upscaling.site_months import Steps, TimeStep, steps_of

BLOCK = 1 << 25
"""Values held at once while reading."""


@dataclass(frozen=True, slots=True)
class Extracted:
    """Values at the sites' rows, and where they come from.

    `values` has the index of the site table and one column for each variable, in `units`; NaN is missing.
    `provenance` has one row for each position (`site_id`, `lat`, `lon`) and `variable`: `time_step` ("none", "month of
    year", "month", "year"), `cell_lat`, `cell_lon` (centre of the cell used, degrees), `distance_km` (tower to that
    centre), `moved` (it is not the cell that contains the tower), `n_rows`, `n_outside_period` (rows whose month the
    file does not have) and `share_missing` (of all these rows).
    """

    values: pd.DataFrame
    provenance: pd.DataFrame
    units: dict[str, str]


def extract(
    sites: pd.DataFrame,
    grid: xr.Dataset | str | Path,
    variables: Sequence[str],
    *,
    units: Mapping[str, str] | None = None,
    nearest_within_km: float = 0.0,
    time_step: TimeStep | None = None,
    stand_in_years: Mapping[int, int] | None = None,
    crs: str | None = None,
) -> Extracted:
    """Values of `variables` in the grid cell that contains each site, aligned to the rows of `sites`.

    sites : columns site_id, lat, lon (degrees WGS84), and year, month where the grid has a time axis.
    grid : CF dataset or NetCDF file on latitude and longitude (either order, -180..180 or 0..360), on x and y of a
    projection, or on two-dimensional latitude and longitude. Only the cells and steps needed are read.
    units : variable to the unit wanted; others stay as stored. Classes (flag_values) have no unit.
    nearest_within_km : where the cell of a site has no value at any time wanted, take the nearest cell that has one and
    whose centre is this near; the provenance table says so. 0 never moves.
    time_step : says whether steps are months or years, where neither bounds nor spacing do.
    stand_in_years : for annual data, a year to the year read in its place.
    crs : projection of x and y where the file does not name it, e.g. "EPSG:3995".

    A cell holds its southern and western edge; edges come from the bounds, else lie midway between centres. On two-
    dimensional coordinates the cell is the one with the nearest centre. Dated steps match by year and month in the
    file's calendar, a step with bounds by the middle of these; months the file lacks are NaN and counted.
    UnitsError: a variable without units. GridError: no grid that can be located. InputError: site table, file, time.
    """
    if not nearest_within_km >= 0:
        raise ConfigError(f"nearest_within_km is {nearest_within_km}; expected 0 or a distance in km.")
    places, place_of_row = _places(sites)
    wanted = dict(units or {})
    if unknown := sorted(set(wanted) - set(variables)):
        raise ConfigError(
            f"units are given for {', '.join(unknown)}, not among the variables {list(variables)}."
        )
    columns: dict[str, Array] = {}
    tables: list[pd.DataFrame] = []
    stored_units: dict[str, str] = {}
    with _opened(grid) as dataset:
        locators: dict[tuple[Hashable, ...], Locator] = {}
        for name in variables:
            if name not in dataset.data_vars:
                raise InputError(
                    f"{name_of(dataset)}: no variable {name!r}; it has {', '.join(map(str, dataset.data_vars))}."
                )
            data = dataset[name]
            stored_units[name] = wanted.get(name) or _stored_units(data, name_of(dataset))
            if data.dims not in locators:
                locators[data.dims] = locator_of(dataset, data, crs)
            locator = locators[data.dims]
            steps = steps_of(dataset, data, locator.dims, sites, time_step, stand_in_years or {})
            values, table = _at_sites(data, locator, steps, places, place_of_row, nearest_within_km)
            if name in wanted:
                found = xr.DataArray(values, dims="row", name=name, attrs=dict(data.attrs))
                values = np.asarray(as_units(found, wanted[name]).values, dtype=np.float64)
            columns[name] = values
            table.insert(3, "variable", name)
            tables.append(table)
    provenance = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    return Extracted(pd.DataFrame(columns, index=sites.index), provenance, stored_units)


def _at_sites(
    data: xr.DataArray, locator: Locator, steps: Steps, places: pd.DataFrame, place_of_row: Index, km: float
) -> tuple[Array, pd.DataFrame]:
    """Values of one variable by row, and its provenance by site."""
    lat, lon = places["lat"].to_numpy(), places["lon"].to_numpy()
    rows, cols = locator.containing(lat, lon)
    used = np.unique(steps.of_row[steps.of_row != OUTSIDE])
    inside = rows != OUTSIDE
    series = np.full((max(used.size, 1), lat.size), np.nan)
    if used.size:
        series[:, inside] = _read(data, locator.dims, steps.dim, used, rows[inside], cols[inside])
    moved = np.zeros(lat.size, dtype=bool)
    if km > 0 and used.size:
        for site in np.flatnonzero(np.isnan(series).all(axis=0)):
            near_rows, near_cols = locator.within(lat[site], lon[site], km)
            around = _read(data, locator.dims, steps.dim, used, near_rows, near_cols)
            valid = np.flatnonzero(~np.isnan(around).all(axis=0))
            if valid.size:
                first = valid[0]
                rows[site], cols[site], moved[site] = near_rows[first], near_cols[first], True
                series[:, site] = around[:, first]
    has_step = steps.of_row != OUTSIDE
    values = np.where(has_step, series[np.searchsorted(used, steps.of_row) * has_step, place_of_row], np.nan)
    found = rows != OUTSIDE
    centre = np.full((3, lat.size), np.nan)
    centre[:2, found] = locator.centres(rows[found], cols[found])
    centre[2, found] = distance_km(lat[found], lon[found], *centre[:2, found])
    n_rows = np.bincount(place_of_row, minlength=lat.size)
    table = pd.DataFrame(
        {
            "site_id": places["site_id"],
            "lat": lat,
            "lon": lon,
            "time_step": steps.kind,
            "cell_lat": centre[0],
            "cell_lon": centre[1],
            "distance_km": centre[2],
            "moved": moved,
            "n_rows": n_rows,
            "n_outside_period": np.bincount(place_of_row[~has_step], minlength=lat.size),
            "share_missing": np.bincount(place_of_row[np.isnan(values)], minlength=lat.size) / n_rows,
        }
    )
    return values, table


def _read(
    data: xr.DataArray, dims: tuple[str, str], time: str | None, steps: Index, rows: Index, cols: Index
) -> Array:
    """Values (step, cell) of the cells (rows[k], cols[k]); (1, cell) where there is no time.

    Files are read as the block of all these rows and columns, so steps are taken in groups that fit in memory.
    """
    if rows.size == 0:
        return np.empty((max(steps.size, 1), 0))
    cells = {dims[0]: xr.DataArray(rows, dims="cell"), dims[1]: xr.DataArray(cols, dims="cell")}
    single = [d for d in data.dims if d not in (*dims, time)]
    flat = data.squeeze(single, drop=True)
    if time is None:
        return np.asarray(flat.isel(cells).values, dtype=np.float64)[None]
    group = max(1, BLOCK // (np.unique(rows).size * np.unique(cols).size))
    parts = [
        flat.isel({time: steps[k : k + group]}).isel(cells).transpose(time, "cell").values
        for k in range(0, steps.size, group)
    ]
    return np.concatenate(parts).astype(np.float64)


def _places(sites: pd.DataFrame) -> tuple[pd.DataFrame, Index]:
    """One row for each position of a site (site_id, lat, lon), as they first appear, and the place of each row."""
    if missing := [c for c in ("site_id", "lat", "lon") if c not in sites.columns]:
        raise InputError(
            f"site table: no column {', '.join(missing)}; it has {', '.join(map(str, sites.columns))}."
        )
    keys = sites[["site_id", "lat", "lon"]]
    numbers = keys[["lat", "lon"]].to_numpy(dtype=np.float64)
    bad = ~((np.abs(numbers[:, 0]) <= 90) & (numbers[:, 1] >= -180) & (numbers[:, 1] <= 360))
    if bad.any():
        raise InputError(
            f"site table: sites {', '.join(map(str, keys['site_id'][bad].unique()))[:200]} have no position in "
            "lat -90..90, lon -180..360. Correct them or leave these rows out."
        )
    place_of_row = keys.groupby(["site_id", "lat", "lon"], sort=False, dropna=False).ngroup()
    places = keys[~place_of_row.duplicated()].reset_index(drop=True)
    places[["lat", "lon"]] = numbers[~place_of_row.duplicated()]
    return places, np.asarray(place_of_row, dtype=np.int64)


@contextmanager
def _opened(grid: xr.Dataset | str | Path) -> Iterator[xr.Dataset]:
    if isinstance(grid, xr.Dataset):
        yield grid
        return
    path = Path(grid)
    if not path.exists():
        raise InputError(f"{path}: no such file. Check the name; the current folder is {Path.cwd()}.")
    with open_netcdf(path, "Copy the file again.", decode_timedelta=False) as dataset:
        yield dataset


def _stored_units(data: xr.DataArray, where: str) -> str:
    units = data.attrs.get("units")
    if isinstance(units, str) and units.strip():
        return units.strip()
    if "flag_values" in data.attrs:
        return "1"
    raise UnitsError(
        f"{where}: {data.name} has no units. Set dataset[{str(data.name)!r}].attrs['units']; units are never guessed."
    )
