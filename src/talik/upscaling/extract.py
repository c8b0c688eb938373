"""Values of gridded predictors at flux sites: the cell that contains the tower, in the month of the measurement.

Read `extract` first; below it, where a site lies on each kind of grid, then which time step a row belongs to.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from pyproj import CRS, Geod, Transformer
from pyproj.exceptions import CRSError
from scipy.spatial import cKDTree

from talik.errors import ConfigError, GridError, InputError, UnitsError
from talik.flux.units import as_units
from talik.regions.axes import BOUNDS, NAMES

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
TimeStep = Literal["month", "year"]
GEOD = Geod(ellps="WGS84")
EARTH_RADIUS_KM = 6371.0088
OUTSIDE = -1
EDGE = 1e-6
"""Widening of the upper edge of a cell, in cells: bounds stored in single precision leave gaps."""
HALF_CELL = 0.51
"""Half a cell, widened for the curvature of two-dimensional coordinates."""
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
        locators: dict[tuple[Hashable, ...], _Locator] = {}
        for name in variables:
            if name not in dataset.data_vars:
                raise InputError(
                    f"{_where(dataset)}: no variable {name!r}; it has {', '.join(map(str, dataset.data_vars))}."
                )
            data = dataset[name]
            stored_units[name] = wanted.get(name) or _stored_units(data, _where(dataset))
            if data.dims not in locators:
                locators[data.dims] = _locator(dataset, data, crs)
            locator = locators[data.dims]
            steps = _steps(dataset, data, locator.dims, sites, time_step, stand_in_years or {})
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
    data: xr.DataArray, locator: _Locator, steps: _Steps, places: pd.DataFrame, place_of_row: Index, km: float
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
    centre[2, found] = _distance_km(lat[found], lon[found], *centre[:2, found])
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


# ---- Where a site lies


class _Locator(Protocol):
    """A grid whose cells are found by latitude and longitude; `dims` are the row and column dimension."""

    @property
    def dims(self) -> tuple[str, str]: ...

    def containing(self, lat: Array, lon: Array) -> tuple[Index, Index]:
        """Row and column of the cell of each point, or OUTSIDE for both."""

    def centres(self, rows: Index, cols: Index) -> tuple[Array, Array]:
        """Latitude and longitude (-180..180) of cell centres."""

    def within(self, lat: float, lon: float, km: float) -> tuple[Index, Index]:
        """Cells whose centres are within `km`, nearest first."""


@dataclass(frozen=True, slots=True)
class _Axis:
    """Cells along one dimension in any order: centres and edges; `circle` is 360 for longitude, else 0."""

    centres: Array
    low: Array
    high: Array
    circle: float

    def index(self, positions: Array) -> Index:
        order = np.argsort(self.low, kind="stable")
        low, high = self.low[order], self.high[order]
        at = low[0] + np.mod(positions - low[0], self.circle) if self.circle else positions
        k = np.searchsorted(low, at, side="right") - 1
        found = (k >= 0) & (at <= high[k] + EDGE * (high[k] - low[k]))
        return np.where(found, order[k], OUTSIDE)

    def between(self, start: float, stop: float) -> Index:
        """Cells whose centres lie in the range, or within a cell of it."""
        margin = float((self.high - self.low).max())
        middle = 0.5 * (start + stop)
        away = _half_circle(self.centres - middle) if self.circle else self.centres - middle
        return np.flatnonzero(np.abs(away) <= 0.5 * (stop - start) + margin)


@dataclass(frozen=True, slots=True)
class _Rectangular:
    """One-dimensional axes; `project` takes (lon, lat) to (x, y) and is None on latitude and longitude."""

    dims: tuple[str, str]
    y: _Axis
    x: _Axis
    project: Transformer | None

    def _plane(self, lat: Array, lon: Array) -> tuple[Array, Array]:
        if self.project is None:
            return lon, lat
        x, y = self.project.transform(lon, lat)
        return np.asarray(x), np.asarray(y)

    def containing(self, lat: Array, lon: Array) -> tuple[Index, Index]:
        x, y = self._plane(lat, lon)
        rows, cols = self.y.index(y), self.x.index(x)
        inside = (rows != OUTSIDE) & (cols != OUTSIDE)
        return np.where(inside, rows, OUTSIDE), np.where(inside, cols, OUTSIDE)

    def centres(self, rows: Index, cols: Index) -> tuple[Array, Array]:
        x, y = self.x.centres[cols], self.y.centres[rows]
        lon, lat = (x, y) if self.project is None else self.project.transform(x, y, direction="INVERSE")
        return np.asarray(lat), _half_circle(np.asarray(lon))

    def within(self, lat: float, lon: float, km: float) -> tuple[Index, Index]:
        azimuth = np.arange(0.0, 360.0, 5.0)
        same = np.ones_like(azimuth)
        ring_lon, ring_lat, _ = GEOD.fwd(lon * same, lat * same, azimuth, 1000.0 * km * same)
        x, y = self._plane(np.append(ring_lat, lat), np.append(lon + _half_circle(ring_lon - lon), lon))
        start, stop = [float(x.min()), float(y.min())], [float(x.max()), float(y.max())]
        if self.project is None:
            for pole in (-90.0, 90.0):
                if _distance_km(np.array([lat]), np.array([lon]), np.array([pole]), np.array([lon]))[0] <= km:
                    start, stop = [-180.0, min(start[1], pole)], [180.0, max(stop[1], pole)]
        rows, cols = self.y.between(start[1], stop[1]), self.x.between(start[0], stop[0])
        grid_rows, grid_cols = (a.ravel() for a in np.meshgrid(rows, cols, indexing="ij"))
        return _nearest_first(self, grid_rows, grid_cols, lat, lon, km)


@dataclass(frozen=True, slots=True)
class _Curvilinear:
    """Two-dimensional latitude and longitude of the centres; a k-d tree of points on the sphere."""

    dims: tuple[str, str]
    lat: Array
    lon: Array
    tree: cKDTree
    cells: Index

    def containing(self, lat: Array, lon: Array) -> tuple[Index, Index]:
        """The cell with the nearest centre; at the border, only if the point is within half a cell of it each way."""
        points = _unit_vectors(lat, lon)
        rows, cols = np.divmod(self.cells[self.tree.query(points)[1]], self.lat.shape[1])
        away = points - self._points(rows, cols)
        down, at_row_border = self._step(rows, cols, 1, 0)
        right, at_column_border = self._step(rows, cols, 0, 1)
        dd, dr, rr = (down * down).sum(-1), (down * right).sum(-1), (right * right).sum(-1)
        ad, ar = (away * down).sum(-1), (away * right).sum(-1)
        half = HALF_CELL * np.abs(
            dd * rr - dr * dr
        )  # away = i * down + j * right, with i and j by Cramer's rule
        beside = (np.abs(ad * rr - ar * dr) <= half) & (np.abs(ar * dd - ad * dr) <= half)
        inside = ~(at_row_border | at_column_border) | (beside & (half > 0))
        return np.where(inside, rows, OUTSIDE), np.where(inside, cols, OUTSIDE)

    def _points(self, rows: Index, cols: Index) -> Array:
        return _unit_vectors(self.lat[rows, cols], self.lon[rows, cols])

    def _step(self, rows: Index, cols: Index, down: int, right: int) -> tuple[Array, npt.NDArray[np.bool_]]:
        """Vector from a cell to the next in one direction, and whether it lacks a neighbour on either side."""
        here = self._points(rows, cols)
        step, neighbours = np.zeros_like(here), np.zeros(rows.size)
        for side in (-1, 1):
            r, c = rows + side * down, cols + side * right
            exists = (r >= 0) & (r < self.lat.shape[0]) & (c >= 0) & (c < self.lat.shape[1])
            there = self._points(np.where(exists, r, rows), np.where(exists, c, cols))
            exists &= np.isfinite(there).all(axis=-1)
            step += np.where(exists[:, None], side * (there - here), 0.0)
            neighbours += exists
        return step / np.maximum(neighbours, 1)[:, None], neighbours < 2

    def centres(self, rows: Index, cols: Index) -> tuple[Array, Array]:
        return self.lat[rows, cols], _half_circle(self.lon[rows, cols])

    def within(self, lat: float, lon: float, km: float) -> tuple[Index, Index]:
        angle = min(1.01 * km / EARTH_RADIUS_KM, np.pi)  # ellipsoid and sphere differ by less than 1 %
        point = _unit_vectors(np.array([lat]), np.array([lon]))[0]
        found = self.cells[
            np.asarray(self.tree.query_ball_point(point, 2 * np.sin(angle / 2)), dtype=np.int64)
        ]
        rows, cols = np.divmod(found, self.lat.shape[1])
        return _nearest_first(self, rows, cols, lat, lon, km)


def _nearest_first(
    locator: _Locator, rows: Index, cols: Index, lat: float, lon: float, km: float
) -> tuple[Index, Index]:
    centre_lat, centre_lon = locator.centres(rows, cols)
    distance = _distance_km(np.full(rows.size, lat), np.full(rows.size, lon), centre_lat, centre_lon)
    order = np.argsort(distance, kind="stable")
    order = order[distance[order] <= km]
    return rows[order], cols[order]


def _locator(dataset: xr.Dataset, data: xr.DataArray, crs: str | None) -> _Locator:
    """How to find cells of `data`: by latitude and longitude, by its projection, or by two-dimensional coordinates."""
    where = f"{_where(dataset)}: {data.name}"
    axes = {axis: _named(dataset, axis, [str(d) for d in data.dims]) for axis in NAMES}
    if axes["lat"] and axes["lon"]:
        y, x = _axis(dataset, axes["lat"], False, where), _axis(dataset, axes["lon"], True, where)
        return _Rectangular((axes["lat"], axes["lon"]), y, x, None)
    if axes["y"] and axes["x"]:
        projection = _projection(dataset, data, axes["x"], crs, where)
        if projection is not None:
            y, x = _axis(dataset, axes["y"], False, where), _axis(dataset, axes["x"], False, where)
            to_plane = Transformer.from_crs("EPSG:4326", projection, always_xy=True)
            return _Rectangular((axes["y"], axes["x"]), y, x, to_plane)
    for lat_name in map(str, dataset.variables):
        dims = tuple(map(str, dataset[lat_name].dims))
        if len(dims) == 2 and set(dims) <= set(data.dims) and _is(dataset, lat_name, "lat"):
            for lon_name in map(str, dataset.variables):
                if tuple(dataset[lon_name].dims) == dims and _is(dataset, lon_name, "lon"):
                    lat, lon = (np.asarray(dataset[n].values, dtype=np.float64) for n in (lat_name, lon_name))
                    cells = np.flatnonzero(np.isfinite(lat) & np.isfinite(lon))
                    tree = cKDTree(_unit_vectors(lat.ravel()[cells], lon.ravel()[cells]))
                    return _Curvilinear((dims[0], dims[1]), lat, lon, tree, cells)
    raise GridError(
        f"{where} has dimensions {tuple(data.dims)}, and no latitude and longitude, x and y with a named projection, "
        "or two-dimensional latitude and longitude for them. If it has x and y, pass crs='EPSG:...'."
    )


def _named(dataset: xr.Dataset, axis: str, dims: list[str]) -> str:
    """The dimension that is this axis ('' if none), with a coordinate variable of its own."""
    held = (d for d in dims if d in dataset.variables and dataset[d].dims == (d,))
    return next((d for d in held if _is(dataset, d, axis)), "")


def _is(dataset: xr.Dataset, name: str, axis: str) -> bool:
    standard = {"lat": "latitude", "lon": "longitude"}.get(axis, f"projection_{axis}_coordinate")
    return name.lower() in NAMES[axis] or dataset[name].attrs.get("standard_name") == standard


def _projection(dataset: xr.Dataset, data: xr.DataArray, x: str, crs: str | None, where: str) -> CRS | None:
    mapping = data.attrs.get("grid_mapping") or data.encoding.get("grid_mapping") or ""
    holders = [str(mapping).split(":")[0].strip(), "crs", "spatial_ref", x]
    try:
        if crs is not None:
            return CRS.from_user_input(crs)
        for attrs in (dataset[name].attrs for name in holders if name in dataset.variables):
            if "crs_wkt" in attrs or "spatial_ref" in attrs or "grid_mapping_name" in attrs:
                return CRS.from_cf(dict(attrs))
            if "proj4" in attrs or "crs" in attrs:
                return CRS.from_user_input(attrs.get("proj4", attrs.get("crs")))
    except (CRSError, KeyError) as err:
        raise GridError(f"{where}: the projection is not understood ({err}). Pass crs='EPSG:...'.") from err
    return None


def _axis(dataset: xr.Dataset, name: str, is_longitude: bool, where: str) -> _Axis:
    coordinate = dataset[name]
    units = str(coordinate.attrs.get("units", "")).lower()
    metres = 1000.0 if units in ("km", "kilometer", "kilometre", "kilometers", "kilometres") else 1.0
    centres = np.asarray(coordinate.values, dtype=np.float64) * metres
    if not np.isfinite(centres).all():
        raise GridError(f"{where}: {name} holds values that are not finite.")
    bounds = _bounds_of(dataset, name)
    order = np.argsort(centres, kind="stable")
    if is_longitude:
        order, centres = _unbroken(centres)
    low, high = np.empty_like(centres), np.empty_like(centres)
    if bounds is not None:
        away = np.asarray(bounds.values, dtype=np.float64) * metres - centres[:, None]
        away = _half_circle(away) if is_longitude else away
        low, high = centres + away.min(axis=1), centres + away.max(axis=1)
    elif centres.size < 2:
        raise GridError(
            f"{where}: {name} has one value and no bounds, so its cell has no known size. Add bounds."
        )
    else:
        ordered = centres[order]
        middle = 0.5 * (ordered[1:] + ordered[:-1])
        first, last = 2 * ordered[0] - middle[0], 2 * ordered[-1] - middle[-1]
        if is_longitude and abs(last - first - 360.0) < 0.5 * (middle[0] - first):
            first = last = 0.5 * (first + last - 360.0)
            last += 360.0
        low[order], high[order] = np.append(first, middle), np.append(middle, last)
        if not is_longitude and _is(dataset, name, "lat"):
            low, high = np.maximum(low, -90.0), np.minimum(high, 90.0)
    if not (high > low).all() or (centres.size > 1 and not (np.diff(centres[order]) > 0).all()):
        raise GridError(
            f"{where}: {name} repeats a value, or its bounds enclose nothing. Drop the repeated cells."
        )
    return _Axis(centres, low, high, 360.0 if is_longitude else 0.0)


def _unbroken(lon: Array) -> tuple[Index, Array]:
    """Order from west to east and the longitudes as one run, which starts after the widest gap on the circle."""
    turned = np.mod(lon, 360.0)
    order = np.argsort(turned, kind="stable")
    gaps = np.diff(turned[order], append=turned[order[0]] + 360.0)
    widest = int(np.argmax(gaps))
    if gaps[widest] >= 1.5 * np.median(gaps):
        start = turned[order[(widest + 1) % order.size]]
        turned = np.where(turned < start, turned + 360.0, turned)
        order = np.argsort(turned, kind="stable")
    return order, turned


def _bounds_of(dataset: xr.Dataset, name: str) -> xr.DataArray | None:
    stated = dataset[name].attrs.get("bounds") or dataset[name].encoding.get("bounds")
    for candidate in ([stated] if stated else []) + [pattern.format(name) for pattern in BOUNDS]:
        if candidate in dataset.variables and dataset[candidate].shape == (dataset[name].size, 2):
            return dataset[str(candidate)]
    return None


def _half_circle(degrees: Array) -> Array:
    """Angles as -180..180."""
    turned: Array = np.mod(degrees + 180.0, 360.0) - 180.0
    return turned


def _unit_vectors(lat: Array, lon: Array) -> Array:
    phi, theta = np.radians(lat), np.radians(lon)
    return np.stack([np.cos(phi) * np.cos(theta), np.cos(phi) * np.sin(theta), np.sin(phi)], axis=-1)


def _distance_km(lat: Array, lon: Array, other_lat: Array, other_lon: Array) -> Array:
    """Length of the geodesic on the WGS84 ellipsoid."""
    return np.asarray(GEOD.inv(lon, lat, other_lon, other_lat)[2], dtype=np.float64) / 1000.0


# ---- Which time step a row belongs to


@dataclass(frozen=True, slots=True)
class _Steps:
    """Time dimension (None if there is none) and the step of each row, OUTSIDE where the file has none."""

    dim: str | None
    kind: str
    of_row: Index


def _steps(
    dataset: xr.Dataset,
    data: xr.DataArray,
    spatial: tuple[str, str],
    sites: pd.DataFrame,
    time_step: TimeStep | None,
    stand_in_years: Mapping[int, int],
) -> _Steps:
    where = f"{_where(dataset)}: {data.name}"
    dated = [str(d) for d in data.dims if _is_dated(dataset, str(d))]
    named = [str(d) for d in data.dims if str(d).lower() in ("month", "year") and str(d) not in dated]
    others = [d for d in data.dims if d not in (*spatial, *dated, *named) and data.sizes[d] > 1]
    if len(dated) + len(named) > 1 or others:
        raise GridError(
            f"{where} has dimensions {tuple(data.dims)}; beside {spatial} only one time axis is allowed, of dates "
            "(decode them), 'month' or 'year'. Choose along the others first, e.g. .isel(depth=0)."
        )
    if not dated and not named:
        return _Steps(None, "none", np.zeros(len(sites), dtype=np.int64))
    dim = (dated + named)[0]
    years, months = _calendar_columns(sites)
    instead = np.array([stand_in_years.get(int(y), int(y)) for y in years], dtype=np.int64)
    if named:
        numbers = dataset[dim].values if dim in dataset.variables else np.arange(1, data.sizes[dim] + 1)
        if dim.lower() == "month":
            return _Steps(dim, "month of year", _match(numbers, months, "month", where))
        return _Steps(dim, "year", _match(numbers, instead, "year", where))
    counted, span = _counted_months(dataset, dim)
    if "climatology" in dataset[dim].attrs:
        return _Steps(dim, "month of year", _match(counted % 12 + 1, months, "month", where))
    if (time_step or _length(counted, span, where)) == "year":
        return _Steps(dim, "year", _match(counted // 12, instead, "year", where))
    return _Steps(dim, "month", _match(counted, 12 * years + months - 1, "month", where))


def _is_dated(dataset: xr.Dataset, dim: str) -> bool:
    if dim not in dataset.variables or dataset[dim].dims != (dim,):
        return False
    first = dataset[dim].values[:1]
    return first.dtype.kind == "M" or (first.size > 0 and hasattr(first[0], "calendar"))


def _counted_months(dataset: xr.Dataset, dim: str) -> tuple[Index, Index | None]:
    """Months since year 0 of each step, from the middle of its bounds if there are any, and months between these."""

    def count(dates: npt.NDArray[np.generic]) -> Index:
        clock = xr.DataArray(dates, dims=dim).dt
        return np.asarray(12 * clock.year + clock.month - 1, dtype=np.int64)

    bounds = _bounds_of(dataset, dim)
    if bounds is None or "climatology" in dataset[dim].attrs:
        return count(dataset[dim].values), None
    start, end = bounds.values.T
    return count(start + (end - start) / 2), count(end) - count(start)


def _length(counted: Index, span: Index | None, where: str) -> TimeStep:
    """Whether steps are months or years, by their bounds, else by the shortest spacing."""
    if span is None and counted.size < 2:
        raise InputError(
            f"{where} has one time step without bounds. Pass time_step='month' or time_step='year'."
        )
    months = int(np.median(span)) if span is not None else int(np.diff(np.sort(counted)).min())
    if months <= 1:  # 0: bounds that end on the last day; or two steps in a month, which _match refuses
        return "month"
    if months >= 11:
        return "year"
    raise InputError(
        f"{where}: time steps are {months} months long or apart; expected months or years. Average to months first, "
        "or pass time_step='month' if each step stands for the month of its date only."
    )


def _match(keys: npt.NDArray[np.generic], wanted: Index, period: str, where: str) -> Index:
    """Position of each wanted key, OUTSIDE where there is none."""
    index = pd.Index(keys)
    if not index.is_unique:
        raise InputError(
            f"{where}: two of its {len(index)} time steps fall in the same {period}. Average to {period}s first "
            "(talik.upscaling.gapfill.monthly_means)."
        )
    return np.asarray(index.get_indexer(pd.Index(wanted)), dtype=np.int64)


# ---- Site table and file


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


def _calendar_columns(sites: pd.DataFrame) -> tuple[Index, Index]:
    if missing := [c for c in ("year", "month") if c not in sites.columns]:
        raise InputError(f"site table: no column {', '.join(missing)}, but the grid changes with time.")
    years, months = (sites[c].to_numpy() for c in ("year", "month"))
    if (
        years.dtype.kind not in "iu"
        or months.dtype.kind not in "iu"
        or not np.isin(months, np.arange(1, 13)).all()
    ):
        raise InputError("site table: year and month must be whole numbers, month 1..12.")
    return years.astype(np.int64), months.astype(np.int64)


@contextmanager
def _opened(grid: xr.Dataset | str | Path) -> Iterator[xr.Dataset]:
    if isinstance(grid, xr.Dataset):
        yield grid
        return
    path = Path(grid)
    if not path.exists():
        raise InputError(f"{path}: no such file. Check the name; the current folder is {Path.cwd()}.")
    try:
        dataset = xr.open_dataset(path, engine="netcdf4", decode_timedelta=False)
    except (OSError, ValueError) as err:
        raise InputError(f"{path}: not readable as NetCDF ({err}).") from err
    with dataset:
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


def _where(dataset: xr.Dataset) -> str:
    return str(dataset.encoding.get("source") or "grid")
