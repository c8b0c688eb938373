"""Polygons on the globe made flat: rings across the date line and around a pole as plain lon-lat polygons.

Edges are straight in longitude and latitude (RFC 7946), so that a border along a parallel follows the parallel.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

import numpy as np
import shapely
import shapely.affinity
from numpy.typing import ArrayLike, NDArray
from shapely.geometry.base import BaseGeometry

from talik.errors import GridError
from talik.regions.coverage import Edges
from talik.regions.ellipsoid import A_M, Array, band_q, latitude_from_radius, polar_radius_m, to_plane

Counts: TypeAlias = NDArray[np.int64]
Pole: TypeAlias = Literal["nearest", "north", "south"]
SAGITTA_M = 0.1
"""Straight lon-lat edges are cut so finely that no piece is farther than this from its chord on the map."""


def flatten(polygons: Iterable[Sequence[Array]], *, pole: Pole = "nearest") -> BaseGeometry:
    """Polygons given as rings of (lon, lat) vertices, as one valid geometry in -180..180 by -90..90.

    polygons : each a sequence of closed rings ``(n, 2)`` in degrees, the outer one first. Longitudes may be any
        multiple of 360 away; a step of more than 180 degrees is a crossing of the date line.
    pole : the pole that a ring winding once around the globe encloses. ``"nearest"`` takes the pole of the hemisphere
        in which the ring's mean latitude lies. A polygon between two such rings is the belt between them.

    A step of exactly 360 degrees is ambiguous: it is a crossing if the ring then closes around some area without
    winding, and otherwise an edge all the way around, as in a box from -180 to 180. Self-intersections are repaired;
    overlapping polygons count once. GridError: fewer than three corners, latitudes beyond 90, or a ring that winds
    more than once.
    """
    flat = [
        _flat_polygon([np.asarray(ring, dtype=float)[:, :2] for ring in rings], pole) for rings in polygons
    ]
    joined: BaseGeometry = _only_polygons(shapely.union_all(flat))
    return joined


def rings_of(geometry: BaseGeometry) -> list[list[Array]]:
    """The polygons of a shapely geometry as rings for :func:`flatten`; GridError for points and lines."""
    parts = shapely.get_parts(shapely.get_parts(np.atleast_1d(np.asarray(geometry, dtype=object))))
    if any(part.geom_type != "Polygon" for part in parts):
        kinds = sorted({part.geom_type for part in parts})
        raise GridError(f"a region must be made of polygons; found {kinds}.")
    return [[shapely.get_coordinates(ring) for ring in shapely.get_rings(part)] for part in parts]


def directed_edges(flat: BaseGeometry) -> Edges:
    """Edges of a flat geometry in degrees: outer rings counter-clockwise, holes clockwise."""
    parts = shapely.get_parts(flat)
    rings, owner = shapely.get_rings(parts, return_index=True)
    if rings.size == 0:
        return Edges(*(np.empty(0),) * 4)
    outer = np.diff(owner, prepend=-1) > 0
    reverse = shapely.is_ccw(rings) != outer
    points, ring = shapely.get_coordinates(rings, return_index=True)
    same = ring[1:] == ring[:-1]
    a, b = points[:-1][same], points[1:][same]
    back = reverse[ring[:-1][same]][:, None]
    start, end = np.where(back, b, a), np.where(back, a, b)
    return Edges(start[:, 0], start[:, 1], end[:, 0], end[:, 1])


def edges_on_plane(edges: Edges, reach_m: float) -> Edges:
    """Edges in degrees as edges in m on EPSG:6931, true to :data:`SAGITTA_M` within ``reach_m`` of the pole.

    What lies farther away is pushed onto a circle outside the reach: it encloses the same part of the reach.
    """
    floor = float(latitude_from_radius(min(1.1 * reach_m, 2 * A_M * 0.99)))
    beyond = np.maximum(edges.y0, edges.y1) < floor
    lon0, lat0, lon1, lat1 = edges
    counts = _pieces(edges)
    counts = np.where(beyond, np.ceil(np.abs(lon1 - lon0) / 20.0).astype(int), counts)
    lon0, lat0, lon1, lat1 = _subdivide(Edges(lon0, lat0, lon1, lat1), np.maximum(counts, 1))
    x0, y0 = to_plane(lon0, np.maximum(lat0, floor))
    x1, y1 = to_plane(lon1, np.maximum(lat1, floor))
    return Edges(x0, y0, x1, y1)


def edges_on_cylinder(edges: Edges) -> Edges:
    """Edges in degrees as edges in the equal-area plane x = a**2 / 2 * lon, y = q(lat) - q(90); areas are in m2."""
    lon0, lat0, lon1, lat1 = _subdivide(edges, _pieces(edges))
    return Edges(cylinder_x(lon0), cylinder_y(lat0), cylinder_x(lon1), cylinder_y(lat1))


def cylinder_x(lon: ArrayLike) -> Array:
    """x of the equal-area cylinder for degrees, m2."""
    out: Array = 0.5 * A_M**2 * np.radians(np.asarray(lon, float))
    return out


def cylinder_y(lat: ArrayLike) -> Array:
    """y of the equal-area cylinder for degrees, 0 at the North Pole and negative elsewhere."""
    return -band_q(lat, 90.0)


def enclosed_area_m2(edges: Edges) -> float:
    """Area on the ellipsoid inside directed edges in degrees, m2, exact for edges straight in lon and lat."""
    counts = np.maximum(np.ceil(np.abs(edges.y1 - edges.y0) / 2.0).astype(int), 1)
    lon0, lat0, lon1, lat1 = _subdivide(edges, counts)
    nodes, weights = np.polynomial.legendre.leggauss(6)
    lat = lat0[:, None] + (lat1 - lat0)[:, None] * (0.5 + 0.5 * nodes)
    below_pole = band_q(lat, 90.0) @ (0.5 * weights)
    return float(0.5 * A_M**2 * np.sum(below_pole * np.radians(lon1 - lon0)))


def _flat_polygon(rings: Sequence[Array], pole: Pole) -> BaseGeometry:
    """Outer ring less its holes; rings around a pole all close over the same one, whatever their order."""
    unrolled = [_unroll(ring) for ring in rings]
    around = [ring for ring in unrolled if ring[0, 0] != ring[-1, 0]]
    if around and pole == "nearest":
        pole = "north" if _mean_latitude(around[0]) >= 0.0 else "south"
    flat = [
        _within_one_turn(shapely.Polygon(_close(ring, 90.0 if pole == "north" else -90.0)))
        for ring in unrolled
    ]
    outer, *holes = flat
    for hole, ring in zip(holes, unrolled[1:], strict=True):
        belt = len(around) > 1 and ring[0, 0] != ring[-1, 0]
        outer = shapely.symmetric_difference(outer, hole) if belt else shapely.difference(outer, hole)
    return outer


def _unroll(ring: Array) -> Array:
    """Closed ring with continuous longitude; it ends 360 degrees from its start if it winds around a pole."""
    if ring.shape[0] < 4 or not np.isfinite(ring).all():
        raise GridError(
            f"a ring needs at least three corners and finite numbers; found {ring.shape[0]} points."
        )
    if np.abs(ring[:, 1]).max() > 90.0 + 1e-9:
        raise GridError(
            f"latitudes must lie in -90..90; found {ring[:, 1].min():g}..{ring[:, 1].max():g}. "
            "Are the coordinates in metres, or in the order latitude, longitude?"
        )
    if not np.array_equal(ring[0], ring[-1]):
        ring = np.vstack([ring, ring[:1]])
    step = np.diff(ring[:, 0])
    short = np.where(np.abs(step) > 180.0, step - 360.0 * np.round(step / 360.0), step)
    if (np.abs(step) == 360.0).any():
        crossing = np.column_stack([np.concatenate([[0.0], np.cumsum(short)]), ring[:, 1]])
        if round(short.sum() / 360.0) or shapely.Polygon(crossing).area == 0.0:
            short = step
    turns = round(float(short.sum()) / 360.0)
    if abs(turns) > 1:
        raise GridError(
            f"a ring winds {abs(turns)} times around the pole; expected once at most. Split the polygon."
        )
    lon = ring[0, 0] + np.concatenate([[0.0], np.cumsum(short)])
    lon[-1] = lon[0] + 360.0 * turns
    return np.column_stack([lon, ring[:, 1]])


def _close(ring: Array, cap: float) -> Array:
    """A ring around a pole closed over the parallel ``cap``; other rings as they are."""
    if ring[0, 0] == ring[-1, 0]:
        return ring
    return np.vstack([ring, [ring[-1, 0], cap], [ring[0, 0], cap], ring[:1]])


def _mean_latitude(points: Array) -> float:
    width = np.abs(np.diff(points[:, 0]))
    middle = 0.5 * (points[1:, 1] + points[:-1, 1])
    return float(np.average(middle, weights=width))


def _within_one_turn(polygon: BaseGeometry) -> BaseGeometry:
    """Cut at the date line; every part moved into -180..180."""
    if not polygon.is_valid:
        polygon = _only_polygons(shapely.make_valid(polygon))
    if polygon.is_empty:
        return polygon
    west, _, east, _ = polygon.bounds
    parts = []
    for turn in range(int(np.floor((west + 180.0) / 360.0)), int(np.ceil((east - 180.0) / 360.0)) + 1):
        moved = shapely.affinity.translate(polygon, xoff=-360.0 * turn)
        inside = moved.bounds[0] >= -180.0 and moved.bounds[2] <= 180.0
        parts.append(
            moved if inside else shapely.intersection(moved, shapely.box(-180.0, -90.0, 180.0, 90.0))
        )
    joined: BaseGeometry = _only_polygons(shapely.union_all(parts) if len(parts) > 1 else parts[0])
    return joined


def _only_polygons(geometry: BaseGeometry) -> BaseGeometry:
    """Without the points and lines that repairing and cutting can leave behind."""
    parts = shapely.get_parts(shapely.get_parts(geometry))
    kept = [part for part in parts if part.geom_type == "Polygon"]
    return kept[0] if len(kept) == 1 else shapely.MultiPolygon(kept)


def _pieces(edges: Edges) -> Counts:
    """Number of pieces per edge that keeps each within SAGITTA_M of its chord on the polar or cylindrical plane."""
    dlon, dlat = np.radians(np.abs(edges.x1 - edges.x0)), np.radians(np.abs(edges.y1 - edges.y0))
    radius = polar_radius_m(np.minimum(edges.y0, edges.y1)) / A_M
    bend = A_M / 8.0 * (dlat**2 + 2.0 * dlat * dlon + radius * dlon**2)
    counts: Counts = np.maximum(np.ceil(np.sqrt(bend / SAGITTA_M)), 1.0).astype(np.int64)
    return counts


def _subdivide(edges: Edges, counts: Counts) -> Edges:
    edge = np.repeat(np.arange(counts.size), counts)
    step = np.arange(edge.size) - np.repeat(np.cumsum(counts) - counts, counts)
    n = counts[edge]
    x0, y0, x1, y1 = (v[edge] for v in edges)

    def at(k: Counts) -> tuple[Array, Array]:
        share = k / n
        last = k == n
        return np.where(last, x1, x0 + (x1 - x0) * share), np.where(last, y1, y0 + (y1 - y0) * share)

    (xa, ya), (xb, yb) = at(step), at(step + 1)
    return Edges(xa, ya, xb, yb)
