"""Polygons on a grid: the share of every cell that lies inside, and true areas."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import shapely.geometry
import xarray as xr
from shapely.geometry.base import BaseGeometry

from talik.errors import GridError, InputError
from talik.regions.coverage import Edges, covered_area
from talik.regions.ellipsoid import Array
from talik.regions.grid import Grid, LatLonGrid
from talik.regions.rings import (
    Pole,
    cylinder_x,
    cylinder_y,
    directed_edges,
    edges_on_cylinder,
    edges_on_plane,
    enclosed_area_m2,
    flatten,
    rings_of,
)

_EXACT = 1e-10
"""Fractions this close to 0 or 1 are rounding of a running sum, and become 0 or 1."""


def polygon_area_m2(geometry: BaseGeometry, *, pole: Pole = "nearest") -> float:
    """Area of polygons on the WGS84 ellipsoid, m2, with edges straight in longitude and latitude.

    Rings may cross the date line or wind around a pole (see :func:`talik.regions.flatten` for the rules).
    """
    return enclosed_area_m2(directed_edges(flatten(rings_of(geometry), pole=pole)))


def polygon_fraction(
    geometry: BaseGeometry, grid: Grid, *, name: str = "fraction", pole: Pole = "nearest"
) -> xr.DataArray:
    """Share of each cell's area inside the polygons, 0..1, on ``grid``.

    Exact on the lat-lon cells and the EPSG:6931 cells for edges straight in longitude and latitude, but for chords
    at most 0.1 m from the edge. Cells wholly inside or outside are exactly 1 or 0.
    """
    flat = flatten(rings_of(geometry), pole=pole)
    return grid.wrap(
        flat_fraction(flat, grid),
        name=name,
        attrs={"units": "1", "long_name": f"share of cell area in {name}"},
    )


def flat_fraction(flat: BaseGeometry, grid: Grid) -> Array:
    """As :func:`polygon_fraction`, for a geometry already flat; plain array of the grid's shape."""
    edges = directed_edges(flat)
    if isinstance(grid, LatLonGrid):
        x_edges, y_edges = cylinder_x(grid.x_edges), cylinder_y(grid.y_edges)
        drawn = edges_on_cylinder(edges)
        turn = float(cylinder_x(360.0))
        turns = [k for k in (-1, 0, 1) if _meets(drawn.x0 + k * turn, x_edges)]
        area = np.zeros(grid.shape)
        for k in turns:
            area += covered_area(
                Edges(drawn.x0 + k * turn, drawn.y0, drawn.x1 + k * turn, drawn.y1), x_edges, y_edges
            )
    else:
        reach = float(np.hypot(np.abs(grid.x_edges).max(), np.abs(grid.y_edges).max()))
        area = covered_area(edges_on_plane(edges, reach), grid.x_edges, grid.y_edges)
    share = area / grid.row_area_m2[:, None]
    share = np.where(np.abs(share) < _EXACT, 0.0, np.where(np.abs(share - 1.0) < _EXACT, 1.0, share))
    clipped: Array = np.clip(share, 0.0, 1.0)
    return clipped


def from_geojson(
    source: str | Path | Mapping[str, Any], *, name: str | None = None, pole: Pole = "nearest"
) -> dict[str, BaseGeometry]:
    """Named flat polygons from a GeoJSON file or object.

    name : property that names each feature; features of the same name are joined. Without it, a file with a single
        geometry gives one region ``"region"`` and several features are numbered.

    Coordinates are longitude and latitude in degrees (RFC 7946). InputError: unreadable, another CRS, features that
    are not polygons, a missing name. A self-intersecting ring is repaired with a warning that names the feature.
    """
    where, content = _read(source)
    crs = content.get("crs")
    label = "" if crs is None else str((crs.get("properties") or {}).get("name", crs))
    if label and not any(ok in label.upper() for ok in ("CRS84", "4326")):
        raise InputError(
            f"{where}: expected longitude and latitude (CRS84, EPSG:4326); found {label}. Reproject it."
        )
    kind = content.get("type")
    features = content.get("features", []) if kind == "FeatureCollection" else [content]
    if not features:
        raise InputError(
            f"{where}: expected a GeoJSON FeatureCollection, Feature or geometry; found {kind!r}."
        )
    found: dict[str, list[BaseGeometry]] = {}
    for number, feature in enumerate(features):
        shape = feature.get("geometry") if feature.get("type") == "Feature" else feature
        label = _label(feature, name, number, len(features), where)
        found.setdefault(label, []).append(_polygon(shape, f"{where}: {label}", pole))
    return {label: shapely.union_all(parts) for label, parts in found.items()}


def _label(feature: Mapping[str, Any], name: str | None, number: int, count: int, where: str) -> str:
    if name is None:
        return "region" if count == 1 else str(number)
    properties = feature.get("properties") or {}
    if properties.get(name) is None:
        raise InputError(f"{where}: feature {number} has no property {name!r}; found {sorted(properties)}.")
    return str(properties[name])


def _polygon(shape: Any, where: str, pole: Pole) -> BaseGeometry:
    kind = shape.get("type") if isinstance(shape, Mapping) else None
    if kind not in ("Polygon", "MultiPolygon"):
        raise InputError(f"{where}: expected a Polygon or MultiPolygon; found {kind!r}.")
    polygons = [shape["coordinates"]] if kind == "Polygon" else shape["coordinates"]
    try:
        rings = [[np.asarray([p[:2] for p in ring], dtype=float) for ring in polygon] for polygon in polygons]
        flat = flatten(rings, pole=pole)
    except (GridError, TypeError, ValueError, IndexError) as err:
        raise InputError(f"{where}: {err}") from err
    if flat.is_empty:
        raise InputError(f"{where}: the polygon has no area.")
    if any(not shapely.LineString(ring).is_simple for polygon in rings for ring in polygon):
        warnings.warn(
            f"{where}: a ring crosses itself and was repaired; check the area.", UserWarning, stacklevel=3
        )
    return flat


def _read(source: str | Path | Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    if isinstance(source, Mapping):
        return "GeoJSON object", source
    path = Path(source)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as err:
        raise InputError(f"{path}: not a readable GeoJSON file ({err}).") from err
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a GeoJSON object; found {type(content).__name__}.")
    return str(path), content


def _meets(x: Array, x_edges: Array) -> bool:
    return bool(x.size and x.max() > x_edges[0] and x.min() < x_edges[-1])


def names_and_fractions(regions: Mapping[str, BaseGeometry], grid: Grid) -> tuple[list[str], Array, Array]:
    """Names, fractions (region, rows, columns) and true areas (region,) in m2 of flat geometries."""
    names = list(regions)
    fractions = np.stack([flat_fraction(regions[n], grid) for n in names])
    return names, fractions, _areas(regions.values())


def _areas(flat: Iterable[BaseGeometry]) -> Array:
    return np.array([enclosed_area_m2(directed_edges(g)) for g in flat])
