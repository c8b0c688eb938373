"""Named regions: partition of land, bands in closed form, masks from rasters."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from talik.errors import GridError
from talik.regions import (
    SECTORS,
    EqualAreaGrid,
    LatLonGrid,
    class_fractions,
    cross,
    fraction_weights,
    geojson_weights,
    land,
    land_fraction,
    latitude_bands,
    polygon_area_m2,
    region_weights,
    sector_polygons,
    sectors,
)
from talik.regions.named import named_weights

DEGREE = LatLonGrid.regular(1.0, lat=(40, 90))
PLANE = EqualAreaGrid.epsg6931(50e3)
GRIDS = [DEGREE, PLANE]


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_sectors_and_rest_partition_land(grid):
    parts, land = sectors(grid, with_rest=True), land_fraction(grid)
    assert parts["region"].values.tolist() == [*SECTORS, "rest"]
    np.testing.assert_allclose(parts.sum("region"), land, atol=1e-6)
    assert float(parts.min()) == 0.0
    assert float(parts.max()) == 1.0


def test_sector_areas_are_known_and_add_up():
    areas = {name: polygon_area_m2(shape) / 1e12 for name, shape in sector_polygons().items()}
    assert areas["alaska"] == pytest.approx(
        1.50, rel=0.02
    )  # state of Alaska: 1.481 land, 1.518 with inland water
    assert sum(areas.values()) == pytest.approx(polygon_area_m2(land()) / 1e12, rel=1e-9)
    weights = sectors(LatLonGrid.regular(1.0, lat=(40, 90)))
    np.testing.assert_allclose(weights["region_area"] / 1e12, [areas[s] for s in SECTORS], rtol=1e-12)


@pytest.mark.parametrize(
    ("lon", "lat", "sector"),
    [
        (-150, 65, "alaska"),
        (-176.65, 51.85, "alaska"),  # Adak
        (173.1, 52.9, "alaska"),  # Attu, beyond the date line
        (-135, 60.7, "canada"),
        (-40, 72, "europe"),  # Greenland
        (-19, 65, "europe"),  # Iceland
        (17, 78.8, "europe"),  # Svalbard
        (56, 65, "europe"),
        (66, 67, "siberia"),
        (-175, 66.5, "siberia"),  # Chukotka
        (99, 50, "siberia"),  # Mongolia north of 49 N
        (99, 47, "rest"),
        (-100, 47, "rest"),
    ],
)
def test_places_are_in_their_sector(lon, lat, sector):
    grid = LatLonGrid.regular(0.02, lat=(lat - 0.02, lat + 0.02), lon=(lon - 0.02, lon + 0.02))
    share = sectors(grid, with_rest=True).mean(grid.dims)
    assert str(share["region"].values[int(np.argmax(share.values))]) == sector
    assert float(share.max()) > 0.6


def test_the_ural_line_is_a_setting():
    moved = sectors(DEGREE, siberia_from_lon=66.0).sel(region="siberia")
    assert float(moved.sel(lat=65.5, lon=62.5)) == 0.0
    with pytest.raises(GridError, match="south must lie in"):
        sectors(DEGREE, south=30.0)
    with pytest.raises(GridError, match="siberia_from_lon"):
        sectors(DEGREE, siberia_from_lon=-10.0)


@pytest.mark.parametrize(
    "grid", [DEGREE, EqualAreaGrid.epsg6931(70e3, x=(-6e6, 6e6), y=(-6e6, 6e6))], ids=str
)
def test_bands_are_exact(grid):
    bands = latitude_bands(grid, (49.3, 60.0, 90.0))
    assert bands["region"].values.tolist() == ["49.3-60N", ">60N"]
    got = (bands * grid.cell_area()).sum(grid.dims)
    np.testing.assert_allclose(got, bands["region_area"], rtol=1e-12)
    assert latitude_bands(LatLonGrid.regular(10), (-20, -10, 10))["region"].values.tolist() == [
        "20-10S",
        "10S-10N",
    ]


def test_class_raster_becomes_fractions():
    """64 fine cells a coarse one: fractions are counts, and missing pixels belong nowhere."""
    fine, coarse = (EqualAreaGrid.epsg6931(c, x=(-8e4, 8e4), y=(-8e4, 8e4)) for c in (1e3, 8e3))
    values = np.random.default_rng(0).integers(1, 5, fine.shape).astype(float)
    values[:20] = np.nan
    raster = fine.wrap(values).isel(y=slice(None, None, -1))
    weights = class_fractions(raster, coarse, {"boreal": [1, 2], "tundra": [4]}, covers="land")
    for name, numbers in (("boreal", [1, 2]), ("tundra", [4])):
        count = np.isin(values, numbers).reshape(20, 8, 20, 8).sum(axis=(1, 3))
        np.testing.assert_allclose(weights.sel(region=name), count / 64, atol=1e-13)
    np.testing.assert_allclose(weights["region_area"][1], 1e6 * (values == 4).sum())
    with pytest.raises(GridError, match=r"each class in one region; found \[2\]"):
        class_fractions(raster, coarse, {"a": [1, 2], "b": [2]}, covers="land")


def test_fraction_raster_on_lat_lon_to_plane_keeps_its_area():
    src = LatLonGrid.regular(2.0, lat=(70, 90))
    values = src.wrap(np.random.default_rng(1).random(src.shape))
    weights = fraction_weights(values, PLANE, covers="all", name="permafrost")
    assert weights["region"].values.tolist() == ["permafrost"]
    got = float((weights * PLANE.cell_area()).sum())
    assert got == pytest.approx(float((values * src.cell_area()).sum()), rel=1e-12)
    assert float(weights["region_area"][0]) == pytest.approx(got, rel=1e-12)
    with pytest.raises(GridError, match=r"fractions in 0..1; found .*percentages"):
        fraction_weights(values * 100, PLANE, covers="all")


def test_cross_of_land_sectors_and_bands():
    land = land_fraction(DEGREE)
    by_band = cross(sectors(DEGREE), latitude_bands(DEGREE, (49, 60, 90)))
    assert by_band.attrs["covers"] == "land"
    assert "canada/>60N" in by_band["region"].values
    np.testing.assert_allclose(by_band.sum("region"), sectors(DEGREE).sum("region"), atol=1e-12)
    every = region_weights({"land": sector_polygons()["canada"]}, DEGREE, covers="land")
    both = cross(every, every, land_fraction=land)
    assert float(both.max()) <= 1.0
    np.testing.assert_allclose(both[0].where(land == every[0]), every[0].where(land == every[0]), atol=1e-6)
    with pytest.raises(GridError, match="give land_fraction"):
        cross(every, every)


def test_geojson_weights_and_refusals():
    square = {"type": "Polygon", "coordinates": [[[0, 60], [10, 60], [10, 70], [0, 70], [0, 60]]]}
    weights = geojson_weights(square, DEGREE, covers="all")
    assert float(weights.sum()) == pytest.approx(100.0)
    with pytest.raises(GridError, match="at least one region"):
        region_weights({}, DEGREE, covers="all")
    with pytest.raises(GridError, match=r"attrs\['covers'\]"):
        cross(xr.zeros_like(weights).drop_attrs(), weights)


def test_sectors_beside_bands_leave_the_sea_out_of_both():
    grid = LatLonGrid.regular((6.0, 15.0), lat=(48.0, 84.0))
    mixed = named_weights(["sectors", "bands:48,60,84"], grid)
    assert mixed.attrs["covers"] == "land"
    area, land = grid.cell_area(), land_fraction(grid)
    held = (mixed.sel(region=["48-60N", "60-84N"]) * area).sum()
    np.testing.assert_allclose(held, (land * area).sum(), rtol=1e-12)
    for name in ("sectors", "bands:48,60,84"):
        alone = named_weights([name], grid)
        expected = alone if name == "sectors" else alone * land
        np.testing.assert_allclose(mixed.sel(region=alone["region"]), expected, atol=1e-12)
