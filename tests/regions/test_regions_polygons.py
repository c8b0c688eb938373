"""Polygons: areas in closed form, at the pole and across the date line; fractions on both grids; files."""

from __future__ import annotations

import json

import numpy as np
import pyproj
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from talik.errors import GridError, InputError
from talik.regions import (
    EqualAreaGrid,
    LatLonGrid,
    countries,
    country,
    flatten,
    from_geojson,
    land,
    polygon_area_m2,
    polygon_fraction,
)
from talik.regions.ellipsoid import band_area_m2
from talik.regions.naturalearth import decode_topojson

GLOBE = LatLonGrid.regular(2.0)
PLANE = EqualAreaGrid.epsg6931(50e3, x=(-5e6, 5e6), y=(-5e6, 5e6))
GRIDS = [GLOBE, LatLonGrid.regular((1.5, 3.0), lon=(-3, 357)), PLANE]
CAP = shapely.Polygon([(lon, 60.0) for lon in range(-175, 180, 10)])
ACROSS = shapely.Polygon([(170, 60), (-160, 60), (-160, 70), (170, 70)])


def total(geometry, grid, **kwargs):
    return float((polygon_fraction(geometry, grid, **kwargs) * grid.cell_area()).sum())


def test_polar_cap_area_is_closed_form():
    assert polygon_area_m2(CAP) == pytest.approx(float(band_area_m2(60, 90)), rel=1e-12)
    assert polygon_area_m2(CAP.reverse()) == pytest.approx(float(band_area_m2(60, 90)), rel=1e-12)
    assert polygon_area_m2(CAP, pole="south") == pytest.approx(float(band_area_m2(-90, 60)), rel=1e-12)
    south = shapely.transform(CAP, lambda p: p * [1, -1])
    assert polygon_area_m2(south) == pytest.approx(float(band_area_m2(-90, -60)), rel=1e-12)


def test_polygon_across_the_date_line_is_closed_form():
    """However it is written: jumping, unwrapped east or west, or already cut in two."""
    want = float(band_area_m2(60, 70, 30.0))
    cut = shapely.MultiPolygon([shapely.box(170, 60, 180, 70), shapely.box(-180, 60, -160, 70)])
    with_corners = shapely.Polygon([(170, 60), (180, 60), (-180, 60), (-160, 60), (-160, 70), (170, 70)])
    for shape in (ACROSS, shapely.box(170, 60, 200, 70), shapely.box(-190, 60, -160, 70), cut, with_corners):
        assert polygon_area_m2(shape) == pytest.approx(want, rel=1e-12)
        assert polygon_fraction(shape, GLOBE).equals(polygon_fraction(ACROSS, GLOBE))


def test_box_and_belt_around_the_globe():
    box = shapely.box(-180, 50, 180, 60)
    belt = shapely.Polygon(
        [(lon, 50.0) for lon in range(-175, 180, 10)], [[(lon, 60.0) for lon in range(-175, 180, 10)]]
    )
    for shape in (box, belt):
        assert polygon_area_m2(shape) == pytest.approx(float(band_area_m2(50, 60)), rel=1e-12)
    straddling = shapely.Polygon(
        [(lon, -10.0) for lon in range(-175, 180, 10)], [[(lon, 20.0) for lon in range(-175, 180, 10)]]
    )
    assert polygon_area_m2(straddling) == pytest.approx(float(band_area_m2(-10, 20)), rel=1e-12)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize(("shape", "area"), [(CAP, band_area_m2(60, 90)), (ACROSS, band_area_m2(60, 70, 30))])
def test_fractions_sum_to_the_area(grid, shape, area):
    assert total(shape, grid) == pytest.approx(float(area), rel=1e-7)
    share = polygon_fraction(shape, grid)
    assert share.min() == 0.0
    assert share.max() == 1.0


def test_fractions_are_those_of_shapely_on_straight_cells():
    """A polygon with edges along meridians and parallels cuts lat-lon cells in rectangles: area ratios by hand."""
    grid = LatLonGrid.regular(10.0, lat=(50, 80), lon=(0, 40))
    share = polygon_fraction(shapely.box(5, 55, 25, 75), grid).values
    low, high = band_area_m2(55, 60) / band_area_m2(50, 60), band_area_m2(70, 75) / band_area_m2(70, 80)
    np.testing.assert_allclose(
        share, np.outer([low, 1.0, high], [0.5, 1.0, 0.5, 0.0]), rtol=1e-10, atol=1e-14
    )


@settings(max_examples=30, deadline=None)
@given(
    centre=st.tuples(st.floats(-180, 180), st.floats(52, 82)),
    corners=st.lists(st.floats(1.0, 5.0), min_size=4, max_size=9),
    start=st.integers(0, 8),
)
def test_random_polygons_keep_their_area_and_do_not_mind_order(centre, corners, start):
    """Star-shaped polygons anywhere, the date line included: sums on each grid, and pyproj as an oracle."""
    angle = np.linspace(0, 2 * np.pi, len(corners), endpoint=False)
    lon = centre[0] + 2 * np.array(corners) * np.cos(angle)
    lat = centre[1] + np.array(corners) * np.sin(angle)
    dense = shapely.segmentize(shapely.Polygon(np.c_[lon, lat]), 0.005)  # pyproj joins by geodesics
    oracle = abs(pyproj.Geod(ellps="WGS84").geometry_area_perimeter(dense)[0])
    wrapped = np.c_[np.mod(lon + 180, 360) - 180, lat]
    shape = shapely.Polygon(wrapped)
    turned = shapely.Polygon(np.roll(wrapped, start, axis=0)[::-1])
    area = polygon_area_m2(shape)
    assert area == pytest.approx(oracle, rel=1e-6)
    for grid in (GLOBE, PLANE):
        assert total(shape, grid) == pytest.approx(area, rel=3e-6)
        np.testing.assert_allclose(polygon_fraction(shape, grid), polygon_fraction(turned, grid), atol=1e-9)


def test_a_window_sees_only_its_part():
    """A small window inside, beside or around a polygon gives the same cells as the whole plane."""
    whole = polygon_fraction(country("Canada"), PLANE)
    part = PLANE.tile(slice(60, 90), slice(10, 40))
    np.testing.assert_allclose(polygon_fraction(country("Canada"), part), whole[60:90, 10:40], atol=1e-9)


def test_shipped_land_area():
    """pyproj agrees to 1e-6. Natural Earth has 146.74e6 km2, 1.45 % less than the usual 148.94, which counts the
    Antarctic ice shelves (Antarctica 13.96 with them, 12.36 here); without Antarctica it agrees within 1 %."""
    area = polygon_area_m2(land()) / 1e12
    geod = pyproj.Geod(ellps="WGS84")
    parts = [shapely.geometry.polygon.orient(p) for p in shapely.get_parts(land())]
    assert area == pytest.approx(sum(geod.geometry_area_perimeter(p)[0] for p in parts) / 1e12, rel=1e-6)
    assert area == pytest.approx(146.7375, abs=1e-3)
    assert area - polygon_area_m2(country("Antarctica")) / 1e12 == pytest.approx(148.94 - 13.96, rel=0.01)


def test_countries_tile_the_land():
    shapes = [c.geometry for c in countries()]
    assert sum(polygon_area_m2(s) for s in shapes) == pytest.approx(polygon_area_m2(land()), rel=1e-5)
    assert polygon_area_m2(country("Greenland")) == pytest.approx(2.166e12, rel=0.01)
    assert shapely.intersects_xy(country("Russia"), [179.5, -175.0, 60.0], [68.0, 66.5, 56.0]).all()
    with pytest.raises(InputError, match=r"no country 'Canda'.*Canada"):
        country("Canda")


def test_topojson_arcs_forward_reversed_and_quantised():
    topology = {
        "type": "Topology",
        "transform": {"scale": [0.5, 2.0], "translate": [10.0, 20.0]},
        "arcs": [[[0, 0], [4, 0], [0, 1]], [[4, 1], [-4, 0], [0, -1]], [[4, 0], [4, 0], [0, 1], [-4, 0]]],
        "objects": {"two": {"type": "GeometryCollection", "geometries": [
            {"type": "Polygon", "arcs": [[0, 1]], "id": "a"},
            {"type": "MultiPolygon", "arcs": [[[~0, ~1]]], "id": "b"},
        ]}},
    }  # fmt: skip
    (first, ((ring,),)), (second, ((back,),)) = decode_topojson(topology, "two")
    assert (first["id"], second["id"]) == ("a", "b")
    np.testing.assert_array_equal(ring, [[10, 20], [12, 20], [12, 22], [10, 22], [10, 20]])
    assert shapely.Polygon(back).equals(shapely.Polygon(ring)) or len(back) == 5
    with pytest.raises(InputError, match=r"object 'three'.*\['two'\]"):
        list(decode_topojson(topology, "three"))
    topology["objects"]["two"] = {"type": "Point"}
    with pytest.raises(InputError, match="expected polygons"):
        list(decode_topojson(topology, "two"))


def feature(coordinates, **properties):
    return {
        "type": "Feature",
        "properties": properties,
        "geometry": {"type": "Polygon", "coordinates": coordinates},
    }


SQUARE = [[[0, 60], [10, 60], [10, 70], [0, 70], [0, 60]]]


def test_geojson_file_with_names(tmp_path):
    path = tmp_path / "r.geojson"
    content = {
        "type": "FeatureCollection",
        "features": [feature(SQUARE, zone="a"), feature(SQUARE, zone="a")],
    }
    path.write_text(json.dumps(content))
    regions = from_geojson(path, name="zone")
    assert list(regions) == ["a"]
    assert polygon_area_m2(regions["a"]) == pytest.approx(float(band_area_m2(60, 70, 10)), rel=1e-12)
    assert list(from_geojson(feature(SQUARE))) == ["region"]
    assert list(from_geojson(content)) == ["0", "1"]


def test_self_intersection_is_repaired_and_said():
    bow = [[[0, 60], [10, 70], [10, 60], [0, 70], [0, 60]]]
    with pytest.warns(UserWarning, match="region: a ring crosses itself"):
        shape = from_geojson(feature(bow))["region"]
    assert shape.is_valid
    assert shape.area == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({**feature(SQUARE), "crs": {"properties": {"name": "urn:ogc:def:crs:EPSG::3995"}}}, "found .*3995"),
        (feature([[[0, 6e6], [1e6, 6e6], [1e6, 7e6], [0, 6e6]]]), "latitudes must lie in"),
        ({"type": "Point", "coordinates": [0, 1]}, "expected a Polygon or MultiPolygon; found 'Point'"),
        ({"type": "FeatureCollection", "features": []}, "expected a GeoJSON"),
        (feature([[[0, 60], [1, 60]]]), "at least three corners"),
        (feature([[[0, 60], [1, 60], [2, 60], [0, 60]]]), "no area"),
        (feature([["x"]]), "region"),
    ],
)
def test_geojson_that_cannot_be_used(content, message):
    with pytest.raises(InputError, match=message):
        from_geojson(content)


def test_geojson_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="not a readable GeoJSON"):
        from_geojson(tmp_path / "absent.json")
    (tmp_path / "x.json").write_text("[1]")
    with pytest.raises(InputError, match="expected a GeoJSON object; found list"):
        from_geojson(tmp_path / "x.json")
    with pytest.raises(InputError, match=r"no property 'zone'; found \['name'\]"):
        from_geojson(feature(SQUARE, name="a"), name="zone")


def test_lines_and_double_windings_are_refused():
    with pytest.raises(GridError, match="must be made of polygons"):
        polygon_area_m2(shapely.LineString([(0, 0), (1, 1)]))
    twice = np.array(
        [((lon + 180) % 360 - 180, 60.0 + lon / 100) for lon in range(0, 720, 20)] + [(0, 60.0)], float
    )
    with pytest.raises(GridError, match="winds 2 times"):
        flatten([[twice]])
