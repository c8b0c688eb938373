"""Natural Earth 1:50m land and countries, shipped inside the package (see data/NOTICE.txt)."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from talik.errors import InputError
from talik.regions.ellipsoid import Array
from talik.regions.rings import flatten


@dataclass(frozen=True)
class Country:
    """A country's name, ISO 3166-1 numeric code (None for areas without one) and land."""

    name: str
    code: str | None
    geometry: BaseGeometry


def decode_topojson(
    topology: Mapping[str, Any], name: str
) -> Iterator[tuple[Mapping[str, Any], list[list[Array]]]]:
    """Features of object ``name`` of a TopoJSON topology: the raw object, and its polygons as lists of rings.

    Rings are ``(n, 2)`` longitude and latitude in degrees, closed, the outer one first, exactly as stored (they may
    jump at the date line). Geometries that are not polygons are an InputError.
    """
    if topology.get("type") != "Topology" or name not in topology.get("objects", {}):
        held = sorted(topology.get("objects", {}))
        raise InputError(
            f"expected a TopoJSON topology with object {name!r}; found {topology.get('type')!r} with {held}."
        )
    arcs = [_positions(arc, topology.get("transform")) for arc in topology["arcs"]]
    stack = [topology["objects"][name]]
    while stack:
        item = stack.pop()
        kind = item.get("type")
        if kind == "GeometryCollection":
            stack.extend(reversed(item["geometries"]))
            continue
        if kind not in ("Polygon", "MultiPolygon"):
            raise InputError(f"TopoJSON object {name!r}: expected polygons; found {kind!r}.")
        polygons = item["arcs"] if kind == "MultiPolygon" else [item["arcs"]]
        yield item, [[_ring(ring, arcs) for ring in polygon] for polygon in polygons]


@functools.cache
def land() -> BaseGeometry:
    """All land, including Antarctica and its ice and without the Caspian Sea; lakes count as land.

    A valid (multi)polygon in longitude -180..180 and latitude, degrees, cut at the date line.
    """
    ((_, polygons),) = decode_topojson(_load("land-50m.json"), "land")
    return flatten(polygons)


@functools.cache
def countries() -> tuple[Country, ...]:
    """Countries and areas, each as :func:`land`; borders are shared exactly."""
    return tuple(
        Country(item["properties"]["name"], item.get("id"), flatten(polygons))
        for item, polygons in decode_topojson(_load("countries-50m.json"), "countries")
    )


def country(name: str) -> BaseGeometry:
    """Land of the country with this Natural Earth name; InputError lists similar names if there is none."""
    found = [c.geometry for c in countries() if c.name == name]
    if not found:
        near = [c.name for c in countries() if name[:3].lower() in c.name.lower()]
        raise InputError(
            f"no country {name!r} in Natural Earth 1:50m; names that look alike: {near or 'none'}."
        )
    joined: BaseGeometry = shapely.union_all(found)
    return joined


def _load(file: str) -> dict[str, Any]:
    text = resources.files("talik.regions").joinpath("data", file).read_text(encoding="utf-8")
    topology: dict[str, Any] = json.loads(text)
    return topology


def _positions(arc: Sequence[Sequence[float]], transform: Mapping[str, Sequence[float]] | None) -> Array:
    points = np.asarray(arc, dtype=float)[:, :2]
    if transform is None:
        return points
    placed: Array = np.cumsum(points, axis=0) * transform["scale"] + np.asarray(transform["translate"], float)
    return placed


def _ring(indices: Sequence[int], arcs: Sequence[Array]) -> Array:
    """Arcs joined end to start; ``~i`` stands for arc i reversed."""
    parts = [arcs[i] if i >= 0 else arcs[~i][::-1] for i in indices]
    return np.concatenate([parts[0], *(part[1:] for part in parts[1:])])
