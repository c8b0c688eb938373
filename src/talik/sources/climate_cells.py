"""The points of a grid, and which of them lie nearest to the cells a model wants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.spatial import cKDTree

from talik.errors import ConfigError, GridError
from talik.regions.axes import NAMES
from talik.regions.sphere import arc_km, unit_vectors, wrap_longitude

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Cells = Sequence[tuple[float, float]]
"""Wanted places as (lat, lon) in degrees."""

ALONE_KM = 56.0
"""Reach of a point without neighbours on a grid (a tower, a row of a table): half a degree of latitude."""
SLACK = 1e-3


@dataclass(frozen=True, eq=False)
class Points:
    """Every point of a grid, flattened in the order of its dimensions.

    lat, lon : (point,) degrees, longitude in -180..180.     notes : what was changed on reading, sentences.
    """

    where: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    lat: Array
    lon: Array
    notes: tuple[str, ...] = ()
    regular: bool = False
    """Whether lat and lon are two axes."""

    def same_as(self, other: Points) -> bool:
        """Whether another grid has the same points in the same order."""
        return self.dims == other.dims and bool(
            np.array_equal(self.lat, other.lat) and np.array_equal(self.lon, other.lon)
        )

    def order(self) -> IntArray:
        """The points from south to north and west to east, (point,); in file order where lat and lon are no axes."""
        if self.regular:
            return np.lexsort((self.lon, self.lat)).astype(np.int64)
        return np.arange(self.lat.size, dtype=np.int64)


def points_of(dataset: xr.Dataset, path: Path) -> Points:
    """The points of a dataset: lat and lon as two axes, as fields of a curvilinear grid, or along one dimension.

    Raises:
        GridError: no such coordinates, or values that are no latitudes and longitudes.
    """
    lat, lon = (_coordinate(dataset, axis, path) for axis in ("lat", "lon"))
    lat_values, lon_values = (np.asarray(c.values, dtype=np.float64) for c in (lat, lon))
    notes = []
    if lat.dims == lon.dims:
        dims, shape = lat.dims, lat.shape
    elif lat.ndim == lon.ndim == 1:
        dims, shape = (*lat.dims, *lon.dims), (lat.size, lon.size)
        if lat.size > 1 and lat_values[0] > lat_values[-1]:
            notes.append(f"{lat.name} descends: turned")
        lat_values, lon_values = np.meshgrid(lat_values, lon_values, indexing="ij")
    else:
        raise GridError(
            f"{path}: {lat.name} has dimensions {lat.dims}, {lon.name} {lon.dims}; expected two axes, or both on the "
            "same dimensions."
        )
    for name, values, low, high in ((lat.name, lat_values, -90, 90), (lon.name, lon_values, -180, 360)):
        if not np.isfinite(values).all():
            raise GridError(f"{path}: {name} holds missing values; every cell needs a position.")
        if values.min() < low - SLACK or values.max() > high + SLACK:
            raise GridError(
                f"{path}: {name} runs {values.min():g}..{values.max():g}; expected {low}..{high} degrees. Are lat and "
                "lon swapped, or in metres?"
            )
    if lon_values.max() > 180:
        notes.append(f"{lon.name} 0..360 turned to -180..180")
    return Points(
        str(path),
        tuple(map(str, dims)),
        tuple(shape),
        lat_values.ravel(),
        wrap_longitude(lon_values.ravel()),
        tuple(notes),
        lat.dims != lon.dims,
    )


def wanted_cells(cells: Cells) -> Array:
    """Wanted cells as (cell, 2) latitude and longitude in -180..180.

    Raises:
        ConfigError: not pairs, or latitudes beyond the poles.
    """
    try:
        out = np.array([(float(lat), float(lon)) for lat, lon in cells], dtype=np.float64)
    except (TypeError, ValueError) as err:
        raise ConfigError(f"cells: expected pairs (lat, lon), found {cells!r} ({err}).") from err
    if not out.size:
        raise ConfigError("cells is empty; expected pairs (lat, lon). Leave it out to take every cell.")
    bad = ~(np.abs(out[:, 0]) <= 90) | ~(np.abs(out[:, 1]) <= 360)
    if bad.any():
        raise ConfigError(
            f"cells: {tuple(out[bad][0])} is no (lat, lon): expected -90..90 and -180..360. Are they swapped?"
        )
    out[:, 1] = wrap_longitude(out[:, 1])
    return out


def nearest(points: Points, lat: Array, lon: Array) -> tuple[IntArray, Array]:
    """Index of the point nearest to each place on the sphere, (place,), and its distance in km."""
    chord, index = cKDTree(unit_vectors(points.lat, points.lon)).query(unit_vectors(lat, lon))
    return np.asarray(index, dtype=np.int64), arc_km(chord)


def locate(points: Points, wanted: Array) -> IntArray:
    """Index of the grid point of each wanted cell (cell, 2), (cell,).

    Raises:
        GridError: a cell farther from the nearest point than that point from its neighbours.
    """
    index, distance = nearest(points, wanted[:, 0], wanted[:, 1])
    size = cell_size_km(points, index)
    outside = np.flatnonzero(distance > size)
    if outside.size:
        i = outside[np.argmax(distance[outside])]
        k = index[i]
        swapped = wanted[:, ::-1]
        fits = (np.abs(swapped[:, 0]) <= 90).all() and (
            (other := nearest(points, swapped[:, 0], swapped[:, 1]))[1] <= cell_size_km(points, other[0])
        ).all()
        raise GridError(
            f"{points.where}: {outside.size} of {len(wanted)} cells lie outside the grid; "
            f"(lat, lon) = ({wanted[i, 0]:g}, {wanted[i, 1]:g}) is {distance[i]:.0f} km from the nearest point "
            f"({points.lat[k]:g}, {points.lon[k]:g}), farther than one cell ({size[i]:.0f} km). "
            + (
                "They fit with lat and lon swapped."
                if fits
                else f"The grid covers lat {points.lat.min():g}..{points.lat.max():g}, "
                f"lon {points.lon.min():g}..{points.lon.max():g}; choose cells inside."
            )
        )
    return index


def cell_size_km(points: Points, index: IntArray) -> Array:
    """Largest distance from each point to its neighbours along the dimensions of the grid, km, (index,)."""
    out = np.zeros(index.size)
    for axis, step in ((a, s) for a in range(len(points.shape)) for s in (-1, 1)):
        place = list(np.unravel_index(index, points.shape))
        if len(points.shape) == 1 or points.shape[axis] == 1:
            continue
        moved = place[axis] + step
        inside = (moved >= 0) & (moved < points.shape[axis])
        place[axis] = np.where(inside, moved, place[axis])
        other = np.ravel_multi_index(place, points.shape)
        out = np.maximum(out, distance_between_km(points, index, points, np.asarray(other)))
    return np.where(out > 0, out, ALONE_KM)


def distance_between_km(one: Points, index: IntArray, other: Points, other_index: IntArray) -> Array:
    """Great-circle distance between points of two grids, pair by pair, km, (index,)."""
    ends = unit_vectors(one.lat[index], one.lon[index]) - unit_vectors(
        other.lat[other_index], other.lon[other_index]
    )
    return arc_km(np.linalg.norm(ends, axis=1))


def _coordinate(dataset: xr.Dataset, axis: str, path: Path) -> xr.DataArray:
    lower = {str(n).lower(): str(n) for n in dataset.variables}
    name = next((lower[n] for n in NAMES[axis] if n in lower), None)
    if name is None:
        standard = {"lat": "latitude", "lon": "longitude"}[axis]
        named = (str(n) for n, v in dataset.variables.items() if v.attrs.get("standard_name") == standard)
        name = next(named, None)
    if name is None:
        raise GridError(
            f"{path}: no {axis} among {', '.join(map(str, dataset.variables))}. Name the coordinates lat and lon."
        )
    return dataset[name]
