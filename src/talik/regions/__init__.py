"""Grids, true cell areas, conservative regridding, polygons and masks as fractional weights, totals with coverage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from talik.lazy import lazy

if TYPE_CHECKING:
    from talik.regions.axes import conform, grid_of
    from talik.regions.eight import (
        EIGHT,
        UNASSIGNED,
        eight_outlines,
        eight_regions,
        polygon_regions,
        site_regions,
    )
    from talik.regions.grid import CELL_1KM_AUTHORS_M, CELL_8KM_AUTHORS_M, EqualAreaGrid, Grid, LatLonGrid
    from talik.regions.masks import (
        SECTORS,
        class_fractions,
        cross,
        fraction_weights,
        geojson_weights,
        land_fraction,
        latitude_bands,
        region_weights,
        sector_polygons,
        sectors,
    )
    from talik.regions.naturalearth import Country, countries, country, land
    from talik.regions.overlaps import Overlap, overlap
    from talik.regions.polygons import from_geojson, polygon_area_m2, polygon_fraction
    from talik.regions.regridding import regrid
    from talik.regions.rings import flatten
    from talik.regions.totals import regional_mean, regional_total

_WHERE = {
    "axes": ("conform", "grid_of"),
    "eight": ("EIGHT", "UNASSIGNED", "eight_outlines", "eight_regions", "polygon_regions", "site_regions"),
    "grid": ("CELL_1KM_AUTHORS_M", "CELL_8KM_AUTHORS_M", "EqualAreaGrid", "Grid", "LatLonGrid"),
    "masks": (
        "SECTORS",
        "class_fractions",
        "cross",
        "fraction_weights",
        "geojson_weights",
        "land_fraction",
        "latitude_bands",
        "region_weights",
        "sector_polygons",
        "sectors",
    ),
    "naturalearth": ("Country", "countries", "country", "land"),
    "overlaps": ("Overlap", "overlap"),
    "polygons": ("from_geojson", "polygon_area_m2", "polygon_fraction"),
    "regridding": ("regrid",),
    "rings": ("flatten",),
    "totals": ("regional_mean", "regional_total"),
}
__all__ = [
    "CELL_1KM_AUTHORS_M",
    "CELL_8KM_AUTHORS_M",
    "EIGHT",
    "SECTORS",
    "UNASSIGNED",
    "Country",
    "EqualAreaGrid",
    "Grid",
    "LatLonGrid",
    "Overlap",
    "class_fractions",
    "conform",
    "countries",
    "country",
    "cross",
    "eight_outlines",
    "eight_regions",
    "flatten",
    "fraction_weights",
    "from_geojson",
    "geojson_weights",
    "grid_of",
    "land",
    "land_fraction",
    "latitude_bands",
    "overlap",
    "polygon_area_m2",
    "polygon_fraction",
    "polygon_regions",
    "region_weights",
    "regional_mean",
    "regional_total",
    "regrid",
    "sector_polygons",
    "sectors",
    "site_regions",
]

__getattr__, __dir__ = lazy(__name__, _WHERE)
