"""The eight regions of the circumpolar comparison of Treat et al. (2024): country times biome, on a grid and for sites.

The outlines of the publication are in a supplement that is not public here; these are the rules of
``inventory.md`` section 10, and polygons of a file take their place. Alaska is the whole of Alaska, other regions are
the tundra or boreal part of a country, cut at 90 W, 60 E and 90 E. Land of the two biomes that no rule names is in
no region and is kept by name: see `UNASSIGNED`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import shapely
import xarray as xr
from shapely.geometry.base import BaseGeometry

from talik.errors import GridError, InputError
from talik.regions.axes import conform, grid_of
from talik.regions.grid import Grid
from talik.regions.masks import clip, land_fraction, region_weights
from talik.regions.naturalearth import country, land
from talik.regions.polygons import from_geojson, polygon_area_m2
from talik.regions.regridding import regrid

EIGHT = (
    "Alaska",
    "Canadian tundra",
    "Western Canada",
    "Eastern Canada",
    "Western Eurasia",
    "Western Siberia",
    "Eastern Siberia",
    "Siberian tundra",
)
"""Names of the regions, west to east around the pole."""
UNASSIGNED = (
    "Greenland",
    "Iceland",
    "Svalbard and Jan Mayen",
    "United States without Alaska",
    "Asia outside Russia, east of 60 E",
)
"""Land north of `SOUTH` in no region."""
SOUTH = 45.0
"""Regions and unassigned land end here: no tundra or boreal lowland lies farther south."""
WEST_EAST_CANADA = -90.0
WEST_EAST_EURASIA = 60.0
WEST_EAST_SIBERIA = 90.0
_AMERICA = -30.0
"""Old World land west of this longitude is Chukotka, beyond the date line."""
_ISLANDS_LAT, _ISLANDS_LON = 74.0, 0.0
"""Norway north or west of these is Svalbard, Bear Island or Jan Mayen."""
_ALASKA_LAT, _ALASKA_LON = 50.0, -129.0

_BIOMES = ("tundra", "boreal")
# (outline, which biomes of it) of each region
_RULES: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        "Alaska": ("alaska", ()),
        "Canadian tundra": ("canada", ("tundra",)),
        "Western Canada": ("canada_west", ("boreal",)),
        "Eastern Canada": ("canada_east", ("boreal",)),
        "Western Eurasia": ("eurasia_west", _BIOMES),
        "Western Siberia": ("russia_60_90", ("boreal",)),
        "Eastern Siberia": ("russia_90", ("boreal",)),
        "Siberian tundra": ("russia_60", ("tundra",)),
        **{name: (name, _BIOMES) for name in UNASSIGNED},
    }
)

_COUNTRIES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("usa", "us", "united states", "united states of america", "alaska"), "usa"),
        "canada": "canada",
        **dict.fromkeys(("russia", "russian federation"), "russia"),
        **dict.fromkeys(("norway", "svalbard"), "norway"),
        **dict.fromkeys(
            (
                "austria",
                "belarus",
                "belgium",
                "czech republic",
                "czechia",
                "denmark",
                "estonia",
                "finland",
                "france",
                "germany",
                "hungary",
                "ireland",
                "latvia",
                "lithuania",
                "netherlands",
                "poland",
                "romania",
                "scotland",
                "slovakia",
                "southwest sweden",
                "sweden",
                "switzerland",
                "uk",
                "ukraine",
                "united kingdom",
            ),
            "europe",
        ),
        "greenland": "greenland",
        "iceland": "iceland",
        **dict.fromkeys(("mongolia", "china", "kazakhstan", "japan"), "asia"),
    }
)


def eight_regions(
    grid: Grid,
    tundra: xr.DataArray,
    boreal: xr.DataArray | None = None,
    *,
    with_unassigned: bool = False,
) -> xr.DataArray:
    """Weights (region, rows, columns) of the eight regions: share of each cell's area that is land of the region.

    tundra, boreal : share of each cell's *land* in the biome, 0..1; NaN is neither. Without `boreal` all other land
        where `tundra` is given is boreal. On any grid that holds the regions whole, e.g. 1, 0 and NaN of a raster of
        classes; they are brought to `grid` by land area. Thirteen arrays of their grid are held in memory: average a
        1-km raster first. Within a cell, country and biome are taken as independent.
    with_unassigned : adds the regions `UNASSIGNED`, so that land of the biomes that is in no region can be reported.

    Alaska needs no biome. Borders of countries and the meridians 90 W, 60 E and 90 E are cut exactly on `grid`; all
    regions end at 45 N. ``region_area`` is that of the whole region on the grid of the biomes, so that a total on a
    smaller grid says what it lacks. GridError: shares outside 0..1 or more than 1 together (looked for where the data
    are in memory), or two grids. Source: Treat et al. 2024 with the outlines of inventory.md, section 10.
    """
    src = grid_of(tundra)
    biomes = {"tundra": _share(tundra, src, "tundra")}
    biomes["boreal"] = (
        (1.0 - conform(tundra, src)).fillna(0.0) if boreal is None else _share(boreal, src, "boreal")
    )
    both = biomes["tundra"] + biomes["boreal"]
    if both.chunks is None and float(both.max()) > 1.0 + 1e-6:
        raise GridError(
            f"eight_regions: tundra and boreal shares add to {float(both.max()):.3f} in a cell; expected at most 1. "
            "Both are shares of the cell's land."
        )
    names = [*EIGHT, *UNASSIGNED] if with_unassigned else list(EIGHT)
    whole = _cut(names, _drawn(src), biomes)
    area = (whole * src.cell_area()).sum(list(src.dims))
    if "Alaska" in names:
        area = area.where(area["region"] != "Alaska", polygon_area_m2(eight_outlines()["alaska"]))
    if src == grid:
        out = whole
    else:
        on_land = land_fraction(src)
        moved = {
            k: regrid(b.rename(k), grid, src=src, valid=on_land)[k].fillna(0.0).drop_attrs()
            for k, b in biomes.items()
        }
        out = _cut(names, _drawn(grid), moved)
    return out.assign_coords(region_area=area.assign_attrs(units="m2"))


def _cut(names: Sequence[str], drawn: xr.DataArray, biomes: Mapping[str, xr.DataArray]) -> xr.DataArray:
    """Outlines on a grid times the shares of land in their biomes on that grid, as regions `names`."""
    parts = []
    for name in names:
        outline, wanted = _RULES[name]
        part = drawn.sel(region=outline, drop=True)
        if wanted:
            part = part * sum((biomes[b] for b in wanted[1:]), biomes[wanted[0]])
        parts.append(part)
    out = xr.concat(parts, dim=pd.Index(names, name="region"), coords="minimal", compat="override")
    return out.transpose("region", *drawn.dims[1:]).rename("region_weight").assign_attrs(drawn.attrs)


@functools.lru_cache(maxsize=3)
def _drawn(grid: Grid) -> xr.DataArray:
    """Land weights of all outlines on a grid."""
    return region_weights(eight_outlines(), grid, covers="land").drop_vars("region_area")


def polygon_regions(source: str | Path | Mapping[str, Any], grid: Grid, *, name: str) -> xr.DataArray:
    """Land weights of the regions of a GeoJSON file, to take the place of `eight_regions`; `name` is the property.

    Sea inside the polygons is left out. InputError: see `talik.regions.from_geojson`.
    """
    shapes = {k: shapely.intersection(g, land()) for k, g in from_geojson(source, name=name).items()}
    return region_weights(shapes, grid, covers="land")


@functools.cache
def eight_outlines() -> Mapping[str, BaseGeometry]:
    """Flat polygons (degrees) of the pieces of countries that the rules name, before they are cut by biome."""
    north = shapely.box(-180.0, SOUTH, 180.0, 90.0)
    usa, canada, russia, norway, greenland, iceland = (
        shapely.intersection(country(n), north)
        for n in ("United States of America", "Canada", "Russia", "Norway", "Greenland", "Iceland")
    )
    alaska = shapely.intersection(usa, shapely.box(-180.0, _ALASKA_LAT, 180.0, 90.0))
    islands = shapely.union(
        _between(norway, -180.0, _ISLANDS_LON), _between(norway, -180.0, 180.0, _ISLANDS_LAT)
    )
    named = shapely.union_all([usa, canada, greenland, iceland, islands])
    old_world = shapely.difference(shapely.intersection(land(), north), named)
    eurasia = shapely.union(_between(old_world, _AMERICA, 180.0), _between(russia, -180.0, _AMERICA))
    east = _between(russia, -180.0, _AMERICA)
    return MappingProxyType(
        {
            "alaska": alaska,
            "canada": canada,
            "canada_west": _between(canada, -180.0, WEST_EAST_CANADA),
            "canada_east": _between(canada, WEST_EAST_CANADA, 180.0),
            "eurasia_west": _between(eurasia, _AMERICA, WEST_EAST_EURASIA),
            "russia_60": shapely.union(_between(russia, WEST_EAST_EURASIA, 180.0), east),
            "russia_60_90": _between(russia, WEST_EAST_EURASIA, WEST_EAST_SIBERIA),
            "russia_90": shapely.union(_between(russia, WEST_EAST_SIBERIA, 180.0), east),
            "Greenland": greenland,
            "Iceland": iceland,
            "Svalbard and Jan Mayen": islands,
            "United States without Alaska": shapely.difference(usa, alaska),
            "Asia outside Russia, east of 60 E": shapely.difference(
                _between(eurasia, WEST_EAST_EURASIA, 180.0), russia
            ),
        }
    )


def site_regions(
    sites: pd.DataFrame,
    *,
    country: str = "country",
    biome: str = "biome",
    lat: str = "lat",
    lon: str = "lon",
    polygons: str | Path | Mapping[str, Any] | None = None,
    name: str = "region",
) -> pd.DataFrame:
    """Region of each row of a table of sites: columns ``region`` (None where none) and ``why_none`` ("" where found).

    sites : columns for country, biome (Boreal or Tundra), latitude and longitude in degrees. A site on 60 E or 90 E is
        in Western Siberia (tundra: Siberian tundra), one on 90 W in Eastern Canada. Countries are matched without case.
    polygons, name : GeoJSON regions in place of the rules; country and biome are then not read. A site on a border
        belongs to the first region that touches it.

    The result has the index of `sites`. InputError: columns are missing.
    """
    wanted = [lat, lon] if polygons is not None else [country, biome, lat, lon]
    if lacking := [c for c in wanted if c not in sites.columns]:
        raise InputError(
            f"site_regions: columns {', '.join(lacking)} missing; found {', '.join(map(str, sites.columns[:12]))}. "
            "Name yours with country=, biome=, lat=, lon=."
        )
    if polygons is not None:
        found = _inside(sites[lon].to_numpy(float), sites[lat].to_numpy(float), polygons, name)
    else:
        found = [
            _rule(c, b, float(y), float(x))
            for c, b, y, x in zip(sites[country], sites[biome], sites[lat], sites[lon], strict=True)
        ]
    return pd.DataFrame(
        {
            "region": pd.Series([f[0] for f in found], index=sites.index, dtype=object),
            "why_none": pd.Series([f[1] for f in found], index=sites.index, dtype=object),
        }
    )


def _rule(country: object, biome: object, lat: float, lon: float) -> tuple[str | None, str]:
    """Region of one site, or None and the reason."""
    lon = (lon + 180.0) % 360.0 - 180.0
    where = _COUNTRIES.get(str(country).strip().lower())
    kind = str(biome).strip().lower()
    if where is None:
        return None, f"country {country!s} has no rule"
    if not np.isfinite(lat) or not np.isfinite(lon):
        return None, "no coordinates"
    if where == "usa":
        inside = lat >= _ALASKA_LAT and (lon <= _ALASKA_LON or lon > 0.0)
        return ("Alaska", "") if inside else (None, "United States without Alaska")
    if where == "norway" and (lat >= _ISLANDS_LAT or lon < _ISLANDS_LON):
        return None, "Svalbard and Jan Mayen"
    if where in ("greenland", "iceland"):
        return None, where.capitalize()
    if kind not in _BIOMES:
        return None, "biome is neither Boreal nor Tundra"
    if where == "canada":
        east = "Eastern Canada" if lon >= WEST_EAST_CANADA else "Western Canada"
        return ("Canadian tundra" if kind == "tundra" else east), ""
    if _AMERICA <= lon < WEST_EAST_EURASIA:
        return "Western Eurasia", ""
    if where != "russia":
        return None, "Asia outside Russia, east of 60 E"
    if kind == "tundra":
        return "Siberian tundra", ""
    return ("Western Siberia" if 0.0 < lon <= WEST_EAST_SIBERIA else "Eastern Siberia"), ""


def _inside(
    lon: np.ndarray[Any, np.dtype[np.float64]],
    lat: np.ndarray[Any, np.dtype[np.float64]],
    polygons: str | Path | Mapping[str, Any],
    name: str,
) -> list[tuple[str | None, str]]:
    shapes = from_geojson(polygons, name=name)
    points = shapely.points((lon + 180.0) % 360.0 - 180.0, lat)
    out: list[tuple[str | None, str]] = [(None, "in no polygon")] * lon.size
    for label, shape in reversed(shapes.items()):
        for i in np.flatnonzero(shapely.intersects(shape, points)):
            out[i] = (label, "")
    return out


def _share(share: xr.DataArray, grid: Grid, name: str) -> xr.DataArray:
    found = conform(share, grid).fillna(0.0)
    if found.chunks is None:
        low, high = float(found.min()), float(found.max())
        if low < 0.0 or high > 1.0 + 1e-9:
            raise GridError(
                f"eight_regions: {name} shares run {low:g}..{high:g}; expected 0..1. Divide percentages by 100, and "
                "set fill values to NaN."
            )
    return found


def _between(geometry: BaseGeometry, west: float, east: float, south: float = SOUTH) -> BaseGeometry:
    return clip(geometry, west, south, east)
