"""Reading a grid off an xarray object, and bringing data into the order of a grid."""

from __future__ import annotations

from fractions import Fraction
from typing import TypeVar

import numpy as np
import xarray as xr

from talik.errors import GridError
from talik.regions.ellipsoid import Array
from talik.regions.grid import EqualAreaGrid, Grid, LatLonGrid

NAMES = {
    "lat": ("lat", "latitude", "nav_lat"),
    "lon": ("lon", "longitude", "nav_lon"),
    "y": ("y", "yc", "projection_y_coordinate"),
    "x": ("x", "xc", "projection_x_coordinate"),
}
BOUNDS = ("{}_bnds", "{}_bounds", "bounds_{}")
ROW_EDGES = ("lat_south", "lat_north")
"""Coordinates on lat with the edges of uneven rows: a DataArray carries them, while it cannot carry ``lat_bnds``."""
EVEN = 1e-3
"""Largest deviation from even spacing that is taken for rounding in the file, in cells."""
LONGEST = 7200
"""Points of the longest axis that is made for scattered values: the globe at a twentieth of a degree."""

_Data = TypeVar("_Data", xr.DataArray, xr.Dataset)


def grid_of(obj: xr.DataArray | xr.Dataset, *, crs: str | None = None) -> Grid:
    """The grid of ``obj`` from its one-dimensional coordinates: lat and lon, or x and y on EPSG:6931.

    Latitude may descend, longitude may run 0..360, names may be ``latitude``, ``Longitude`` and the like. Cell edges
    come from ``*_bnds`` if present, else from mid-points. Rows of a Gaussian grid are not evenly spaced: their edges
    must be there, as bounds or as the coordinates `ROW_EDGES`. For x and y the projection is read from the CF grid
    mapping; a file that has none needs ``crs="EPSG:6931"`` from the caller.
    GridError: no such coordinates, uneven spacing (rows without edges, columns, curvilinear), or another projection.
    """
    names = _spatial(obj)
    if "lat" in names:
        lat = _edges(obj, names["lat"], "lat")
        lon = _edges(obj, names["lon"], "lon")
        return LatLonGrid(tuple(float(v) for v in lat), tuple(float(v) for v in lon))
    _require_6931(obj, crs)
    x, y = _values(obj, names["x"]), _values(obj, names["y"])
    sx, sy = _step(x, names["x"]), _step(y, names["y"])
    if not np.isclose(sx, sy, rtol=1e-6):
        raise GridError(
            f"{_where(obj)}: cells are {sx:g} m wide but {sy:g} m high; talik's equal-area grids are square."
        )
    west, south = float(x.min()) - sx / 2, float(y.min()) - sx / 2
    i0, j0 = round(west / sx), round(south / sx)
    ox, oy = (_snap(v - k * sx, sx) for v, k in ((west, i0), (south, j0)))
    return EqualAreaGrid(sx, i0, j0, x.size, y.size, ox, oy)


def even_axis(values: Array) -> Array | None:
    """Every coordinate from the smallest to the largest of the even grid that values lie on, degrees or m, ascending.

    None where they lie on none, are one value only, or so far apart that the axis would be longer than `LONGEST`.
    """
    found = np.unique(np.round(values, 6))
    if found.size < 2:
        return None
    apart = np.diff(found)
    # the smallest distance alone has too much of the rounding of float32
    steps = int(np.rint(apart / apart.min()).sum())
    if steps >= LONGEST:
        return None
    step = float(found[-1] - found[0]) / steps
    places = (found - found[0]) / step
    axis: Array = found[0] + step * np.arange(steps + 1)
    return axis if np.abs(places - np.rint(places)).max() <= EVEN else None


def conform(data: _Data, grid: Grid) -> _Data:
    """``data`` with the grid's dimension names last, ascending, on the grid's own coordinate values.

    GridError if the coordinates of ``data`` are not the cell centres of ``grid`` (to a thousandth of a cell; on uneven
    rows, where a centre need not be the mid-point, each must lie in its own cell). Nothing is computed for dask data.
    """
    names = _spatial(data)
    first, second = grid.dims
    if first not in names:
        raise GridError(
            f"{_where(data)}: has dimensions {tuple(data.dims)}, but {grid} needs {first} and {second}."
        )
    for dim, centres, edges in ((first, grid.y, grid.y_edges), (second, grid.x, grid.x_edges)):
        have = _values(data, names[dim])
        if dim == "lon":
            have = edges[0] + np.mod(have - edges[0] + 1e-9, 360.0) - 1e-9
        index = np.argsort(have, kind="stable")
        width = float(np.median(np.diff(edges)))
        if have.size != centres.size or not _same_cells(have[index], centres, edges, width):
            raise GridError(
                f"{_where(data)}: {names[dim]} runs {have.min():.6g}..{have.max():.6g} in {have.size} steps, "
                f"but {grid} has centres {centres[0]:.6g}..{centres[-1]:.6g} in {centres.size}. "
                "Use grid_of(data), or regrid it first."
            )
        if not np.array_equal(index, np.arange(index.size)):
            data = data.isel({names[dim]: index})
    renamed = data.rename({names[d]: d for d in grid.dims if names[d] != d})
    return renamed.assign_coords(grid.coords()).transpose(..., first, second)


def _spatial(obj: xr.DataArray | xr.Dataset) -> dict[str, str]:
    """Standard name to the name found, for the first pair of dimension coordinates present."""
    lower = {str(c).lower(): str(c) for c in obj.coords if obj[c].dims == (c,)}
    for pair in (("lat", "lon"), ("y", "x")):
        found = {axis: next((lower[n] for n in NAMES[axis] if n in lower), None) for axis in pair}
        if all(found.values()):
            return {k: v for k, v in found.items() if v is not None}
    of_places = [{obj[c].dims for c in obj.coords if str(c).lower() in NAMES[a]} for a in ("lat", "lon")]
    for dims in of_places[0] & of_places[1]:
        if len(dims) == 1:
            raise GridError(
                f"{_where(obj)}: {obj.sizes[dims[0]]} places along dimension {dims[0]} are no grid. Put them on "
                "axes lat and lon first."
            )
    raise GridError(
        f"{_where(obj)}: no one-dimensional lat and lon, nor x and y, among the coordinates "
        f"{sorted(map(str, obj.coords))}. Curvilinear and unstructured grids must be regridded first."
    )


def _values(obj: xr.DataArray | xr.Dataset, name: str) -> Array:
    values = np.asarray(obj[name].values, dtype=float)
    if values.size < 2:
        raise GridError(
            f"{_where(obj)}: {name} has {values.size} value; at least two are needed to know the cell size."
        )
    if not np.isfinite(values).all():
        raise GridError(f"{_where(obj)}: {name} holds values that are not finite.")
    return values


def _step(values: Array, name: str) -> float:
    """Even spacing of sorted ``values``, read as a simple fraction where it is one to 1e-5."""
    ordered = np.sort(values)
    step = float(ordered[-1] - ordered[0]) / (ordered.size - 1)
    worst = float(np.abs(ordered - (ordered[0] + step * np.arange(ordered.size))).max())
    if not step > 0 or worst > EVEN * step:
        widths = np.diff(ordered)
        raise GridError(
            f"{name} is not evenly spaced: steps run {widths.min():.6g}..{widths.max():.6g}. Give the bounds of a "
            "Gaussian grid (lat_bnds), regrid other uneven grids first, or select one copy of repeated rows."
        )
    simple = float(Fraction(step).limit_denominator(1000))
    return simple if abs(simple - step) < 1e-5 * step else step


def _same_cells(have: Array, centres: Array, edges: Array, width: float) -> bool:
    """Whether sorted coordinates are those of the cells between ``edges``."""
    if np.abs(np.diff(edges) - width)[1:-1].max(initial=0.0) > EVEN * width:
        return bool(((have > edges[:-1]) & (have < edges[1:])).all())
    return bool(np.abs(have - centres).max() <= 2 * EVEN * width + 1e-6 * width)


def _snap(value: float, step: float) -> float:
    """``value`` moved to the nearest half step where it is within rounding of the file."""
    near = round(2.0 * value / step) * step / 2.0
    return near if abs(near - value) <= EVEN * step else value


def _edges(obj: xr.DataArray | xr.Dataset, name: str, axis: str) -> Array:
    centres = _values(obj, name)
    if axis == "lon":
        centres = _unbroken(centres)
    order = np.argsort(centres)
    if axis == "lat" and (rows := _uneven_rows(obj, name, centres[order])) is not None:
        return rows
    step = _step(centres, name)
    centres = centres[order]
    low, high = _snap(centres[0] - step / 2, step), _snap(centres[-1] + step / 2, step)
    if axis == "lon":
        if abs(high - low - 360.0) < EVEN * step * 2:
            high = low + 360.0
        if high - low > 360.0:
            raise GridError(f"{_where(obj)}: {name} spans {high - low:g} degrees; drop the repeated column.")
    edges = low + (high - low) * np.arange(centres.size + 1) / centres.size
    if axis == "lat":
        edges = np.clip(edges, -90.0, 90.0)  # half cells at the poles of finite-volume models
    bounds = _bounds(obj, name)
    if bounds is not None:
        given = np.concatenate([bounds[order].min(axis=1), bounds[order].max(axis=1)[-1:]])
        if axis == "lon":
            given = edges[0] + (given - given[0])
        if np.abs(given - edges).max() > 10 * EVEN * step:
            raise GridError(
                f"{_where(obj)}: the bounds of {name} are not the mid-points of its evenly spaced centres "
                f"(off by {np.abs(given - edges).max():g}). Check the bounds, or drop them to use mid-points."
            )
    return edges


def _uneven_rows(obj: xr.DataArray | xr.Dataset, name: str, centres: Array) -> Array | None:
    """Edges of rows that are not evenly spaced, from their bounds; None if they are even, or have no bounds."""
    even = centres[0] + (centres[-1] - centres[0]) * np.arange(centres.size) / (centres.size - 1)
    if np.abs(centres - even).max() <= EVEN * (even[1] - even[0]):
        return None
    bounds = _bounds(obj, name)
    if bounds is None and all(c in obj.coords and obj[c].dims == (name,) for c in ROW_EDGES):
        bounds = np.column_stack([np.asarray(obj[c].values, dtype=float) for c in ROW_EDGES])
    if bounds is None:
        return None
    bounds = np.clip(bounds[np.argsort(bounds.mean(axis=1))], -90.0, 90.0)
    low, high = bounds.min(axis=1), bounds.max(axis=1)
    slack = EVEN * float(np.median(high - low))
    wrong = (centres <= low) | (centres >= high) | (np.append(low[1:], high[-1]) - high > slack)
    wrong |= high - np.append(low[1:], high[-1]) > slack
    if wrong.any():
        at = int(np.argmax(wrong))
        raise GridError(
            f"{_where(obj)}: the row at {name} {centres[at]:.6g} has bounds {low[at]:.6g}..{high[at]:.6g}; expected "
            "rows that hold their centres and follow each other without gaps. Correct the bounds."
        )
    return np.append(low, high[-1])


def _bounds(obj: xr.DataArray | xr.Dataset, name: str) -> Array | None:
    stated = obj[name].attrs.get("bounds")
    candidates = [stated] if stated else []
    candidates += [pattern.format(name) for pattern in BOUNDS]
    held = set(obj.variables) if isinstance(obj, xr.Dataset) else set(obj.coords)
    for candidate in candidates:
        if candidate in held:
            values = np.asarray(obj[candidate].values, dtype=float)
            if values.shape == (obj[name].size, 2):
                return values
    return None


def _unbroken(lon: Array) -> Array:
    """Longitudes as one run without a jump, starting in -180..180: the start is after the widest gap on the circle."""
    wrapped = np.mod(lon + 180.0, 360.0) - 180.0
    ordered = np.sort(wrapped)
    gaps = np.diff(ordered, append=ordered[0] + 360.0)
    widest = int(np.argmax(gaps))
    if widest == gaps.size - 1 or gaps[widest] < 1.5 * np.median(gaps):
        return wrapped
    start = ordered[widest + 1]
    return np.where(wrapped < start - 1e-9, wrapped + 360.0, wrapped)


def _require_6931(obj: xr.DataArray | xr.Dataset, crs: str | None) -> None:
    attrs = dict(obj.attrs)
    mapping = attrs.get("grid_mapping")
    named = ("crs", "spatial_ref", mapping, "x")
    holders = [obj[n].attrs for n in named if n is not None and _has(obj, n)]
    for held in holders:
        attrs.update(held)
    if crs is None and "grid_mapping_name" in attrs:
        origin = (
            float(attrs.get("latitude_of_projection_origin", np.nan)),
            float(attrs.get("longitude_of_projection_origin", np.nan)),
        )
        if attrs["grid_mapping_name"] == "lambert_azimuthal_equal_area" and origin == (90.0, 0.0):
            return
        raise GridError(
            f"{_where(obj)}: expected EPSG:6931 (lambert_azimuthal_equal_area, origin 90, 0); found "
            f"{attrs['grid_mapping_name']} with origin {origin}. Warp the file to EPSG:6931 first."
        )
    if crs is not None and crs.upper() != "EPSG:6931":
        raise GridError(f"crs={crs!r}: equal-area grids are EPSG:6931 only. Warp the file first.")
    if crs is None and "EPSG:6931" not in str(attrs.get("crs", "")):
        raise GridError(
            f"{_where(obj)}: has x and y but does not name its projection; pass crs='EPSG:6931' if you know it is that."
        )


def _has(obj: xr.DataArray | xr.Dataset, name: str) -> bool:
    return name in obj.coords or (isinstance(obj, xr.Dataset) and name in obj.variables)


def _where(obj: xr.DataArray | xr.Dataset) -> str:
    source = obj.encoding.get("source")
    label = obj.name if isinstance(obj, xr.DataArray) and obj.name is not None else type(obj).__name__
    return f"{source}: {label}" if source else str(label)
