"""The eight regions: areas by another library, exact meridians, every country and biome to its region, none unseen."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyproj
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from talik.errors import GridError, InputError
from talik.regions import (
    EIGHT,
    UNASSIGNED,
    EqualAreaGrid,
    LatLonGrid,
    eight_outlines,
    eight_regions,
    land_fraction,
    polygon_regions,
    regional_mean,
    site_regions,
)

GRID = LatLonGrid.regular(5.0, lat=(45, 90))
GEOD = pyproj.Geod(ellps="WGS84")


def share(grid, value=1.0):
    return grid.wrap(np.full(grid.shape, float(value)))


def area(weights, grid):
    return (weights * grid.cell_area()).sum(list(grid.dims)).to_series()


def geodesic_area(geometry):
    return sum(
        abs(GEOD.geometry_area_perimeter(shapely.geometry.polygon.orient(p))[0])
        for p in shapely.get_parts(geometry)
    )


def test_areas_are_those_of_pyproj():
    """No region here ends at 45 N, where a geodesic would leave the parallel; long borders differ by less than 1e-4."""
    outlines = eight_outlines()
    all_tundra, all_boreal = (area(eight_regions(GRID, share(GRID, v)), GRID) for v in (1.0, 0.0))
    for name, found, outline in (
        ("Alaska", all_tundra, "alaska"),
        ("Alaska", all_boreal, "alaska"),
        ("Siberian tundra", all_tundra, "russia_60"),
        ("Western Siberia", all_boreal, "russia_60_90"),
        ("Eastern Siberia", all_boreal, "russia_90"),
    ):
        assert found[name] == pytest.approx(geodesic_area(outlines[outline]), rel=1e-4)
    assert all_boreal["Canadian tundra"] == all_boreal["Siberian tundra"] == 0.0
    assert all_tundra["Western Canada"] == all_tundra["Eastern Siberia"] == 0.0


def test_all_land_is_in_one_region_or_reported():
    """On both kinds of grid; islands of no country and strips where coast and countries differ are the tolerance."""
    for grid in (GRID, EqualAreaGrid.epsg6931(250e3, x=(-4e6, 4e6), y=(-4e6, 4e6))):
        weights = eight_regions(grid, share(grid, 0.4), with_unassigned=True)
        assert list(weights["region"].values) == [*EIGHT, *UNASSIGNED]
        north = xr_north(grid)
        apart = (weights.sum("region") - land_fraction(grid)).where(north, 0.0)
        assert float(np.abs(apart).max()) < 2e-3
        lost = float((apart * grid.cell_area()).sum() / (land_fraction(grid) * grid.cell_area()).sum())
        assert abs(lost) < 1e-5


def xr_north(grid):
    if isinstance(grid, LatLonGrid):
        return grid.wrap(np.ones(grid.shape)) > 0
    return grid.lonlat()[1] > 49.0


def test_meridians_are_exact():
    grid = LatLonGrid.regular(1.0, lat=(45, 90))
    boreal = eight_regions(grid, share(grid, 0.0))
    lon = boreal["lon"]

    def inside(name):
        return (boreal.sel(region=name) > 0).any("lat")

    assert set(lon.values[inside("Western Siberia")]) == set(np.arange(60.5, 90))
    assert float(lon.values[inside("Eastern Siberia") & (lon > 0)].min()) == 90.5
    assert bool(inside("Eastern Siberia").sel(lon=-175.5))  # Chukotka beyond the date line
    assert float(lon.values[inside("Western Canada")].max()) == -90.5
    assert float(lon.values[inside("Eastern Canada")].min()) == -89.5
    assert float(lon.values[inside("Western Eurasia")].max()) == 59.5
    halves = LatLonGrid(tuple(np.arange(45.0, 91.0)), tuple(np.arange(-180.5, 180.0)))
    cut = eight_regions(halves, share(halves, 0.0)).sel(lat=60.5, lon=90.0)
    assert float(cut.sel(region="Western Siberia")) == pytest.approx(0.5, abs=1e-9)
    assert float(cut.sel(region="Eastern Siberia")) == pytest.approx(0.5, abs=1e-9)


def test_biomes_on_another_grid_keep_the_area_and_say_what_a_small_grid_lacks():
    fine = LatLonGrid.regular(1.0, lat=(45, 90))
    tundra = fine.wrap(np.random.default_rng(0).uniform(size=fine.shape))
    here = eight_regions(fine, tundra)
    coarse = eight_regions(GRID, tundra)
    np.testing.assert_allclose(area(coarse, GRID).sum(), area(here, fine).sum(), rtol=1e-9)
    np.testing.assert_allclose(area(coarse, GRID), area(here, fine), rtol=0.02)
    np.testing.assert_allclose(coarse["region_area"], area(here, fine), rtol=1e-8)
    south = LatLonGrid.regular(5.0, lat=(45, 65))
    weights = eight_regions(south, tundra)
    flux = share(south, 1e-9).assign_attrs(units="kg m-2 s-1", area_basis="land")
    seen = regional_mean(flux, weights, on_hole="nan")["coverage"].to_series()
    assert seen["Siberian tundra"] < 0.7
    np.testing.assert_allclose(seen, area(weights, south) / area(here, fine), rtol=0.02)


def test_shares_of_land_are_averaged_by_land():
    """Tundra only where a cell is part sea: by cell area its land would count too much."""
    fine = LatLonGrid.regular(1.0, lat=(45, 90))
    land = land_fraction(fine)
    coast = ((land > 0) & (land < 1)) * 1.0
    here, there = (area(eight_regions(g, coast), g)["Siberian tundra"] for g in (fine, GRID))
    assert there == pytest.approx(here, rel=1e-3)  # by cell area: 8e-3


def test_shares_that_cannot_be_are_refused():
    with pytest.raises(GridError, match=r"tundra shares run 50\.\.50; expected 0\.\.1. Divide percentages"):
        eight_regions(GRID, share(GRID, 50.0))
    with pytest.raises(GridError, match=r"add to 1\.200 in a cell"):
        eight_regions(GRID, share(GRID, 0.6), share(GRID, 0.6))
    none = eight_regions(GRID, share(GRID, np.nan))
    assert list(none["region"].values[area(none, GRID) > 0]) == ["Alaska"]


SITES = [
    ("USA", "Tundra", 70.0, -150.0, "Alaska", ""),
    ("US", None, 62.0, 173.0, "Alaska", ""),
    ("USA", "Boreal", 47.0, -92.0, None, "United States without Alaska"),
    ("Canada", "Tundra", 69.0, -80.0, "Canadian tundra", ""),
    ("Canada", "Boreal", 54.0, -90.001, "Western Canada", ""),
    ("Canada", "Boreal", 54.0, -90.0, "Eastern Canada", ""),
    ("Finland", "Boreal", 62.0, 24.0, "Western Eurasia", ""),
    ("Russia", "Tundra", 68.0, 59.99, "Western Eurasia", ""),
    ("Russia", "Tundra", 68.0, 60.0, "Siberian tundra", ""),
    ("Russia", "Boreal", 60.0, 60.0, "Western Siberia", ""),
    ("Russia", "Boreal", 60.0, 90.0, "Western Siberia", ""),
    ("russia ", "boreal", 60.0, 90.001, "Eastern Siberia", ""),
    ("Russia", "Boreal", 65.0, -175.0, "Eastern Siberia", ""),
    ("Russia", "Boreal", 65.0, 185.0, "Eastern Siberia", ""),
    ("Russia", "Tundra", 67.0, -175.0, "Siberian tundra", ""),
    ("Norway", "Tundra", 78.9, 11.9, None, "Svalbard and Jan Mayen"),
    ("Norway", "Tundra", 69.0, 20.0, "Western Eurasia", ""),
    ("Greenland", "Tundra", 74.5, -20.5, None, "Greenland"),
    ("Iceland", "Boreal", 64.0, -20.0, None, "Iceland"),
    ("Mongolia", "Boreal", 48.0, 107.0, None, "Asia outside Russia, east of 60 E"),
    ("Canada", "Temperate", 46.0, -80.0, None, "biome is neither Boreal nor Tundra"),
    ("Atlantis", "Tundra", 70.0, 0.0, None, "country Atlantis has no rule"),
    ("Canada", "Tundra", np.nan, -80.0, None, "no coordinates"),
]


def test_sites_by_country_biome_and_longitude():
    table = pd.DataFrame([s[:4] for s in SITES], columns=["country", "biome", "lat", "lon"]).iloc[::-1]
    found = site_regions(table)
    assert list(found.index) == list(table.index)
    for i, site in enumerate(SITES):
        assert (found.loc[i, "region"], found.loc[i, "why_none"]) == site[4:], site
    with pytest.raises(InputError, match="columns biome missing; found country, lat, lon"):
        site_regions(table[["country", "lat", "lon"]])


OUTLINE = {
    "Western Siberia": "russia_60_90",
    "Eastern Siberia": "russia_90",
    "Western Canada": "canada_west",
    "Eastern Canada": "canada_east",
    "Western Eurasia": "eurasia_west",
    "Alaska": "alaska",
}


@given(lat=st.floats(50, 75), lon=st.floats(-170, 180))
def test_a_boreal_site_is_in_the_outline_of_its_region(lat, lon):
    """The rule for sites and the polygons say the same wherever a point lies inside a country."""
    point = shapely.Point(lon, lat)
    inside = [n for n, o in OUTLINE.items() if shapely.contains(eight_outlines()[o], point)]
    country = next(
        (c for n in inside for c in ("USA", "Canada", "Russia", "Finland") if c == COUNTRY[n]), None
    )
    if country is None:
        return
    row = pd.DataFrame({"country": [country], "biome": ["Boreal"], "lat": [lat], "lon": [lon]})
    assert site_regions(row)["region"].tolist() == inside


COUNTRY = {
    "Western Siberia": "Russia",
    "Eastern Siberia": "Russia",
    "Western Canada": "Canada",
    "Eastern Canada": "Canada",
    "Western Eurasia": "Finland",
    "Alaska": "USA",
}


def test_a_polygon_file_takes_the_place_of_the_rules(tmp_path):
    box = [[100.0, 60.0], [110.0, 60.0], [110.0, 70.0], [100.0, 70.0], [100.0, 60.0]]
    feature = {
        "type": "Feature",
        "properties": {"who": "Evenkia"},
        "geometry": {"type": "Polygon", "coordinates": [box]},
    }
    path = tmp_path / "mine.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    weights = polygon_regions(path, GRID, name="who")
    assert weights.attrs["covers"] == "land"
    inland = geodesic_area(shapely.segmentize(shapely.Polygon(box), 0.01))
    assert area(weights, GRID)["Evenkia"] == pytest.approx(inland, rel=1e-6)
    sites = pd.DataFrame({"lat": [65.0, 50.0], "lon": [465.0, 105.0]})
    found = site_regions(sites, polygons=path, name="who")
    assert found["region"].tolist() == ["Evenkia", None]
    assert found["why_none"].tolist() == ["", "in no polygon"]
