"""Named regions as fractional weights: land, latitude bands, continental sectors, and masks from user files.

Region weights are DataArrays ``(region, rows, columns)``: the share of each cell's *whole* area inside the region,
0..1. ``attrs["covers"]`` says what lies inside: ``"land"`` if the region is land only (its shore cells have weights
below 1), ``"all"`` if it also takes in the sea. The coordinate ``region_area`` is the true area of the region in
m2, which may be more than the grid shows; :func:`talik.regions.regional_total` counts the rest as missing.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import shapely
import xarray as xr
from shapely.geometry.base import BaseGeometry

from talik.errors import GridError
from talik.regions.axes import conform, grid_of
from talik.regions.ellipsoid import Array, band_area_m2
from talik.regions.grid import Grid, LatLonGrid
from talik.regions.naturalearth import countries, land
from talik.regions.overlaps import overlap
from talik.regions.polygons import from_geojson, names_and_fractions

Covers: TypeAlias = Literal["land", "all"]
SECTORS = ("alaska", "canada", "europe", "siberia")
_SIBERIA_ACROSS_DATE_LINE = -100.0
"""Eurasian land west of this longitude is Chukotka, beyond the date line."""


_LAND_KEPT = 4
"""Grids whose land is kept: readers, regions and maps of one dataset all ask for it."""
_land_of: dict[str, xr.DataArray] = {}


def land_fraction(grid: Grid) -> xr.DataArray:
    """Share of each cell that is land (Natural Earth 1:50m; lakes and ice sheets count as land), without a region."""
    key = grid.key()
    if key not in _land_of:
        weights = region_weights({"land": land()}, grid, covers="land").isel(region=0, drop=True)
        _land_of[key] = weights.rename("land_fraction").assign_attrs(
            standard_name="land_area_fraction", long_name="land share of cell area"
        )
        while len(_land_of) > _LAND_KEPT:
            _land_of.pop(next(iter(_land_of)), None)
    return _land_of[key].copy()


def region_weights(regions: Mapping[str, BaseGeometry], grid: Grid, *, covers: Covers) -> xr.DataArray:
    """Weights of named flat polygons (from :func:`from_geojson`, :func:`flatten` or :func:`sector_polygons`)."""
    if not regions:
        raise GridError("region_weights: expected at least one region; found none.")
    names, fractions, areas = names_and_fractions(regions, grid)
    return _label(names, fractions, grid, covers, areas)


def geojson_weights(
    source: str | Path | Mapping[str, Any], grid: Grid, *, covers: Covers, name: str | None = None
) -> xr.DataArray:
    """Weights of the polygons of a GeoJSON file; ``name`` is the property that names the regions."""
    return region_weights(from_geojson(source, name=name), grid, covers=covers)


def latitude_bands(grid: Grid, edges: Sequence[float] = (49.0, 60.0, 90.0)) -> xr.DataArray:
    """Weights of the bands between ascending ``edges`` (degrees), sea included; exact on both kinds of grid.

    Bands are named like ``49-60N``, ``>60N`` (up to the pole) and ``10S-10N``.
    """
    bands = LatLonGrid(tuple(float(e) for e in edges), (-180.0, 180.0))
    matrix = overlap(bands, grid).matrix()
    area = np.broadcast_to(grid.row_area_m2[:, None], grid.shape)
    shares = np.clip(matrix.toarray().T.reshape(-1, *grid.shape) / area, 0.0, 1.0)
    lows, highs = np.asarray(edges[:-1], float), np.asarray(edges[1:], float)
    names = [_band_name(low, high) for low, high in zip(lows, highs, strict=True)]
    return _label(names, shares, grid, "all", band_area_m2(lows, highs))


def sectors(
    grid: Grid, *, siberia_from_lon: float = 60.0, south: float = 49.0, with_rest: bool = False
) -> xr.DataArray:
    """Land weights of Alaska, Canada, Europe (with Greenland, Iceland, Svalbard) and Siberia north of ``south``.

    with_rest : adds ``rest``, all other land, so that the regions sum to :func:`land_fraction`.
    The rules are those of :func:`sector_polygons`.
    """
    polygons = sector_polygons(siberia_from_lon, south)
    chosen = [*SECTORS, "rest"] if with_rest else SECTORS
    return region_weights({name: polygons[name] for name in chosen}, grid, covers="land")


@functools.lru_cache(maxsize=4)
def sector_polygons(siberia_from_lon: float = 60.0, south: float = 49.0) -> Mapping[str, BaseGeometry]:
    """The continental sectors and ``rest`` as flat polygons that share borders and together are :func:`land`.

    Alaska is the United States north of 50 N, with the Aleutians on both sides of the date line. Siberia is the land
    outside North America and Greenland that lies east of ``siberia_from_lon``, Chukotka and a part of Mongolia
    included; Europe is the land west of it, with Greenland, Iceland and Svalbard. All four end at ``south``: GridError
    below 40, where the rest of the Old World would no longer be Europe or Siberia.
    """
    if not 40.0 <= south < 90.0:
        raise GridError(f"sectors: south must lie in 40..90 degrees; found {south}.")
    if not 0.0 < siberia_from_lon < 180.0:
        raise GridError(f"sectors: siberia_from_lon must lie in 0..180 degrees; found {siberia_from_lon}.")
    northern = clip(land(), -180.0, south, 180.0)
    shapes = {
        name: clip(_named(name), -180.0, south, 180.0) for name in ("United States of America", "Canada")
    }
    greenland = clip(_named("Greenland"), -180.0, south, 180.0)
    usa, canada = (shapely.intersection(g, northern) for g in shapes.values())
    alaska = clip(usa, -180.0, max(50.0, south), 180.0)
    old_world = shapely.difference(northern, shapely.union_all([usa, canada, greenland]))
    siberia = shapely.union(
        clip(old_world, siberia_from_lon, south, 180.0),
        clip(old_world, -180.0, south, _SIBERIA_ACROSS_DATE_LINE),
    )
    europe = shapely.difference(northern, shapely.union_all([usa, canada, siberia]))
    named = {"alaska": alaska, "canada": canada, "europe": europe, "siberia": siberia}
    named["rest"] = shapely.difference(land(), shapely.union_all(list(named.values())))
    return named


def class_fractions(
    classes: xr.DataArray,
    grid: Grid,
    regions: Mapping[str, Sequence[int]],
    *,
    covers: Covers,
    src: Grid | None = None,
) -> xr.DataArray:
    """Weights of groups of classes of a raster: the share of each cell covered by pixels of those classes.

    classes : class numbers on any supported grid, two-dimensional; NaN is outside every region. ``src`` is its grid,
        read from the coordinates by default.
    regions : region name to the class numbers it joins, e.g. ``{"boreal": [6], "tundra": [11]}``.
    GridError if a class number is in two regions.
    """
    listed = [number for numbers in regions.values() for number in numbers]
    twice = sorted({number for number in listed if listed.count(number) > 1})
    if twice or not regions:
        raise GridError(f"class_fractions: expected each class in one region; found {twice or 'no regions'}.")
    stack = xr.concat(
        [classes.isin(list(numbers)).astype(float) for numbers in regions.values()], dim="region"
    )
    return fraction_weights(stack.assign_coords(region=list(regions)), grid, covers=covers, src=src)


def fraction_weights(
    fractions: xr.DataArray, grid: Grid, *, covers: Covers, src: Grid | None = None, name: str = "region"
) -> xr.DataArray:
    """Weights from a raster of fractions 0..1 (a permafrost map, a mask of 0 and 1), regridded by area.

    fractions : on any supported grid, with or without a ``region`` dimension (one region called ``name`` if without).
        NaN counts as outside. GridError for values outside 0..1: divide a percentage by 100 first.
    """
    src = grid_of(fractions) if src is None else src
    if "region" not in fractions.dims:
        fractions = fractions.expand_dims(region=[name])
    ordered = conform(fractions, src).transpose("region", *src.dims)
    values = np.nan_to_num(np.asarray(ordered.values, dtype=float), nan=0.0)
    if values.min() < 0.0 or values.max() > 1.0:
        raise GridError(
            f"fraction_weights: expected fractions in 0..1; found {values.min():g}..{values.max():g}. "
            "Divide percentages by 100, and set fill values to NaN."
        )
    held = overlap(src, grid).transfer(values)
    areas = (values * src.row_area_m2[:, None]).sum(axis=(1, 2))
    shares = np.clip(held / grid.row_area_m2[:, None], 0.0, 1.0)
    return _label([str(r) for r in ordered["region"].values], shares, grid, covers, areas)


def cross(
    first: xr.DataArray, second: xr.DataArray, *, land_fraction: xr.DataArray | None = None
) -> xr.DataArray:
    """Weights of every pair of regions, e.g. sector x biome, named ``first/second``.

    Exact where either region fills the cell, or its land, or none of it; elsewhere the two are taken as independent
    inside the cell. Two weights that cover land need ``land_fraction``. The true area is unknown, so coverage of a
    total refers to the part on the grid.
    """
    covers = [covers_of(w) for w in (first, second)]
    product = first.rename(region="_a") * second.rename(region="_b")
    if covers == ["land", "land"]:
        if land_fraction is None:
            raise GridError(
                "cross: both regions cover land only; give land_fraction, or land would be counted twice."
            )
        product = (product / land_fraction.where(land_fraction > 0.0)).fillna(0.0)
        product = product.clip(max=1.0)
    names = [f"{a}/{b}" for a in first["region"].values for b in second["region"].values]
    out = product.stack(region=("_a", "_b"), create_index=False).transpose("region", ...)
    out = out.drop_vars([c for c in out.coords if c not in first.dims]).assign_coords(region=names)
    return out.rename("region_weight").assign_attrs(
        {**first.attrs, "covers": "land" if "land" in covers else "all"}
    )


def covers_of(weights: xr.DataArray) -> Covers:
    """What region weights cover, as their attributes say: ``"land"`` or ``"all"``; GridError if they do not."""
    covers = weights.attrs.get("covers")
    if covers == "land":
        return "land"
    if covers == "all":
        return "all"
    raise GridError(
        f"region weights {weights.name!r}: attrs['covers'] must be 'land' (sea left out) or 'all'; found {covers!r}."
    )


def _label(names: Sequence[str], shares: Array, grid: Grid, covers: Covers, areas: Array) -> xr.DataArray:
    area = xr.Variable(
        "region", areas, {"units": "m2", "long_name": "true area of the region, on the grid or not"}
    )
    return xr.DataArray(
        shares,
        dims=("region", *grid.dims),
        coords={"region": list(names), **grid.coords(), "region_area": area},
        name="region_weight",
        attrs={"units": "1", "long_name": "share of cell area inside the region", "covers": covers},
    )


def _named(name: str) -> BaseGeometry:
    return next(c.geometry for c in countries() if c.name == name)


def clip(geometry: BaseGeometry, west: float, south: float, east: float) -> BaseGeometry:
    """The part of a geometry (degrees) between two meridians, from a parallel to the pole."""
    return shapely.intersection(geometry, shapely.box(west, south, east, 90.0))


def _band_name(low: float, high: float) -> str:
    if high == 90.0:
        return f">{low:g}N" if low >= 0 else f">{-low:g}S"
    sides = [f"{abs(v):g}{'S' if v < 0 else 'N'}" for v in (low, high)]
    if sides[0][-1] == sides[1][-1]:
        sides[0] = sides[0][:-1]
    return "-".join(sides)
