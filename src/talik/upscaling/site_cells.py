"""Where a site lies: the cell of a grid that contains a point, on any kind of CF grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import xarray as xr
from pyproj import CRS, Geod, Transformer
from pyproj.exceptions import CRSError
from scipy.spatial import cKDTree

from talik.errors import GridError
from talik.regions.axes import BOUNDS, NAMES
from talik.regions.sphere import RADIUS_KM, on_unit_sphere

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
GEOD = Geod(ellps="WGS84")
OUTSIDE = -1
EDGE = 1e-6
"""Widening of the upper edge of a cell, in cells: bounds stored in single precision leave gaps."""
HALF_CELL = 0.51
"""Half a cell, widened for the curvature of two-dimensional coordinates."""


class Locator(Protocol):
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
        away = half_circle(self.centres - middle) if self.circle else self.centres - middle
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
        return np.asarray(lat), half_circle(np.asarray(lon))

    def within(self, lat: float, lon: float, km: float) -> tuple[Index, Index]:
        azimuth = np.arange(0.0, 360.0, 5.0)
        same = np.ones_like(azimuth)
        ring_lon, ring_lat, _ = GEOD.fwd(lon * same, lat * same, azimuth, 1000.0 * km * same)
        x, y = self._plane(np.append(ring_lat, lat), np.append(lon + half_circle(ring_lon - lon), lon))
        start, stop = [float(x.min()), float(y.min())], [float(x.max()), float(y.max())]
        if self.project is None:
            for pole in (-90.0, 90.0):
                if distance_km(np.array([lat]), np.array([lon]), np.array([pole]), np.array([lon]))[0] <= km:
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
        points = on_unit_sphere(lat, lon)
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
        return on_unit_sphere(self.lat[rows, cols], self.lon[rows, cols])

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
        return self.lat[rows, cols], half_circle(self.lon[rows, cols])

    def within(self, lat: float, lon: float, km: float) -> tuple[Index, Index]:
        angle = min(1.01 * km / RADIUS_KM, np.pi)  # ellipsoid and sphere differ by less than 1 %
        point = on_unit_sphere(np.array([lat]), np.array([lon]))[0]
        found = self.cells[
            np.asarray(self.tree.query_ball_point(point, 2 * np.sin(angle / 2)), dtype=np.int64)
        ]
        rows, cols = np.divmod(found, self.lat.shape[1])
        return _nearest_first(self, rows, cols, lat, lon, km)


def _nearest_first(
    locator: Locator, rows: Index, cols: Index, lat: float, lon: float, km: float
) -> tuple[Index, Index]:
    centre_lat, centre_lon = locator.centres(rows, cols)
    distance = distance_km(np.full(rows.size, lat), np.full(rows.size, lon), centre_lat, centre_lon)
    order = np.argsort(distance, kind="stable")
    order = order[distance[order] <= km]
    return rows[order], cols[order]


def locator_of(dataset: xr.Dataset, data: xr.DataArray, crs: str | None) -> Locator:
    """How to find cells of `data`: by latitude and longitude, by its projection, or by two-dimensional coordinates."""
    where = f"{name_of(dataset)}: {data.name}"
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
                    tree = cKDTree(on_unit_sphere(lat.ravel()[cells], lon.ravel()[cells]))
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
    bounds = bounds_of(dataset, name)
    order = np.argsort(centres, kind="stable")
    if is_longitude:
        order, centres = _unbroken(centres)
    low, high = np.empty_like(centres), np.empty_like(centres)
    if bounds is not None:
        away = np.asarray(bounds.values, dtype=np.float64) * metres - centres[:, None]
        away = half_circle(away) if is_longitude else away
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


def bounds_of(dataset: xr.Dataset, name: str) -> xr.DataArray | None:
    """(n, 2) bounds of a coordinate: those it names, else those of a usual name; None if there are none."""
    stated = dataset[name].attrs.get("bounds") or dataset[name].encoding.get("bounds")
    for candidate in ([stated] if stated else []) + [pattern.format(name) for pattern in BOUNDS]:
        if candidate in dataset.variables and dataset[candidate].shape == (dataset[name].size, 2):
            return dataset[str(candidate)]
    return None


def half_circle(degrees: Array) -> Array:
    """Angles as -180..180."""
    turned: Array = np.mod(degrees + 180.0, 360.0) - 180.0
    return turned


def distance_km(lat: Array, lon: Array, other_lat: Array, other_lon: Array) -> Array:
    """Length of the geodesic on the WGS84 ellipsoid."""
    return np.asarray(GEOD.inv(lon, lat, other_lon, other_lat)[2], dtype=np.float64) / 1000.0


def name_of(dataset: xr.Dataset) -> str:
    """The file that a dataset was read from, for messages; "grid" for one made in memory."""
    return str(dataset.encoding.get("source") or "grid")
