"""Grids: areas against the closed form and against pyproj, reading from files, refusals."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pyproj
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from talik.errors import GridError
from talik.regions import CELL_1KM_AUTHORS_M, CELL_8KM_AUTHORS_M, EqualAreaGrid, LatLonGrid, conform, grid_of
from talik.regions.axes import even_axis
from talik.regions.ellipsoid import band_area_m2, from_plane, to_plane

GEOD = pyproj.Geod(ellps="WGS84")


def globe_area() -> float:
    """Oblate spheroid in the textbook form, 2 pi a2 (1 + (1 - e2)/e artanh e)."""
    a, f = 6378137.0, 1 / 298.257223563
    e = np.sqrt(f * (2 - f))
    return float(2 * np.pi * a**2 * (1 + (1 - e**2) / e * np.arctanh(e)))


@pytest.mark.parametrize("step", [0.1, 0.5, (0.75, 1.25), 5.0])
def test_cells_sum_to_the_globe(step):
    assert float(LatLonGrid.regular(step).cell_area().sum()) == pytest.approx(globe_area(), rel=1e-12)


@pytest.mark.parametrize("south", [-90.0, -45.5, 0.0, 49.5, 68.0, 89.5])
def test_cell_area_is_that_of_pyproj_with_densified_parallels(south):
    lon = np.linspace(10.0, 10.5, 2001)
    ring_lon, ring_lat = np.r_[lon, lon[::-1]], np.r_[np.full(2001, south), np.full(2001, south + 0.5)]
    oracle, _ = GEOD.polygon_area_perimeter(ring_lon, ring_lat)
    ours = LatLonGrid.regular(0.5, lat=(south, south + 0.5), lon=(10, 10.5)).cell_area()
    assert float(ours.squeeze()) == pytest.approx(oracle, rel=1e-7)


def test_bawld_cell_area():
    """Published area of BAWLD cell 14993 (19.25 E, 68.25 N): 1153571863 m2."""
    cell = LatLonGrid.regular(0.5, lat=(68, 68.5), lon=(19, 19.5)).cell_area()
    assert float(cell.squeeze()) == pytest.approx(1153571863.0, rel=2e-5)


@given(st.floats(-89.9, 89.0), st.floats(1e-6, 1.0))
def test_thin_bands_keep_relative_accuracy(south, height):
    """A band is its parts: adding halves shows the digits that a difference of q would lose."""
    north = min(south + height, 90.0)
    middle = 0.5 * (south + north)
    parts = band_area_m2(south, middle) + band_area_m2(middle, north)
    width = north - south
    np.testing.assert_allclose(parts, band_area_m2(south, north), rtol=1e-13 + 4e-14 / width)


def test_polar_cell_is_exact():
    """Against the ellipsoid's meridional series near the pole, evaluated with 40 digits by decimal arithmetic."""
    from decimal import Decimal, getcontext

    getcontext().prec = 50
    f = 1 / Decimal("298.257223563")
    e2, theta = (
        f * (2 - f),
        Decimal("0.5") * Decimal("3.14159265358979323846264338327950288419716939937510") / 180,
    )
    cos, term, k = Decimal(1), Decimal(1), 0
    while abs(term) > Decimal(10) ** -45:
        k += 2
        term *= -(theta**2) / (k * (k - 1))
        cos += term

    def q(s):
        e = e2.sqrt()
        return (1 - e2) * (s / (1 - e2 * s * s) + ((1 + e * s) / (1 - e * s)).ln() / (2 * e))

    exact = Decimal("6378137") ** 2 / 2 * (q(Decimal(1)) - q(cos))  # per radian of longitude
    assert float(band_area_m2(89.5, 90.0, np.degrees(1.0))) == pytest.approx(float(exact), rel=1e-14)


@given(st.floats(-180, 180), st.floats(-60, 90))
def test_projection_is_pyprojs_and_inverts(lon, lat):
    x, y = to_plane(lon, lat)
    forward = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:6931", always_xy=True)
    np.testing.assert_allclose([x, y], forward.transform(lon, lat), atol=2e-5)
    back_lon, back_lat = from_plane(x, y)
    assert back_lat == pytest.approx(lat, abs=1e-9)
    assert np.cos(np.radians(lat)) * np.sin(np.radians(back_lon - lon) / 2) == pytest.approx(0, abs=1e-10)


def test_default_window_and_nesting():
    eight, one = EqualAreaGrid.epsg6931(8000.0), EqualAreaGrid.epsg6931(1000.0)
    assert eight.shape == (1063, 1250)
    assert one.shape == (8500, 10000)
    assert set(eight.x_edges) <= set(one.x_edges)
    assert eight.cell_area().attrs["units"] == "m2"
    assert float(eight.cell_area().sum()) == 64e6 * eight.size


def test_authors_grids_are_offered():
    assert EqualAreaGrid.epsg6931(CELL_1KM_AUTHORS_M).row_area_m2[0] == pytest.approx(0.999942e6, rel=1e-6)
    assert EqualAreaGrid.epsg6931(CELL_8KM_AUTHORS_M).row_area_m2[0] == pytest.approx(63.925e6, rel=1e-5)


def test_tile_and_lonlat():
    grid = EqualAreaGrid.epsg6931(100e3)
    tile = grid.tile(slice(3, 5), slice(0, 7))
    np.testing.assert_array_equal(tile.lonlat()[1], grid.lonlat()[1][3:5, :7])
    with pytest.raises(GridError, match="non-empty"):
        grid.tile(slice(0, 0), slice(0, 2))


@pytest.mark.parametrize("grid", [LatLonGrid.regular(2.5), EqualAreaGrid.epsg6931(100e3)], ids=str)
def test_dataset_is_cf_and_read_back(grid, tmp_path):
    ds = grid.to_dataset()
    assert ds["cell_area"].attrs["grid_mapping"] == "crs"
    if isinstance(grid, EqualAreaGrid):
        crs = pyproj.CRS.from_cf({k: v for k, v in ds["crs"].attrs.items() if k != "spatial_ref"})
        a, b = pyproj.CRS("EPSG:6931").to_cf(), crs.to_cf()
        for name in ("grid_mapping_name", "latitude_of_projection_origin", "inverse_flattening"):
            assert a[name] == b[name]
    ds.to_netcdf(tmp_path / "g.nc")
    with xr.open_dataset(tmp_path / "g.nc") as read:
        assert grid_of(read) == grid
        assert grid_of(read["cell_area"]) == grid


def test_key_is_stable_across_processes():
    code = "from talik.regions import LatLonGrid; print(LatLonGrid.regular(0.5, lat=(40, 90)).key())"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert out == LatLonGrid.regular(0.5, lat=(40, 90)).key()
    assert out != LatLonGrid.regular(0.5).key() != EqualAreaGrid.epsg6931().key()


def field(lat, lon, names=("lat", "lon")):
    values = np.add.outer(np.asarray(lat, float) * 1000, np.mod(np.asarray(lon, float), 360))
    return xr.DataArray(values, dims=names, coords={names[0]: lat, names[1]: lon}, name="f")


def test_0_to_360_descending_and_other_names_are_the_same_grid():
    lat, lon = np.arange(89.75, -90, -0.5), np.arange(0.25, 360, 0.5)
    odd = field(lat.astype("f4"), lon.astype("f4"), ("latitude", "Longitude"))
    grid = grid_of(odd)
    assert grid == LatLonGrid.regular(0.5)
    np.testing.assert_allclose(conform(odd, grid), field(grid.y, grid.x), atol=1e-2)
    assert conform(odd, grid).dims == ("lat", "lon")


def test_models_with_half_rows_at_the_poles_and_columns_on_the_date_line():
    fv = field(np.linspace(-90, 90, 192), np.arange(0, 360, 1.25))
    grid = grid_of(fv)
    assert (grid.y[0], grid.y[-1]) == (-90.0, 90.0)
    assert grid.x_edges[0] == -180.625
    assert float(grid.cell_area().sum()) == pytest.approx(globe_area(), rel=1e-12)
    assert conform(fv, grid).shape == grid.shape


def test_partial_domain_across_the_date_line():
    east, west = np.arange(170.5, 180), np.arange(-179.5, -169)
    grid = grid_of(field([60.5, 61.5], np.r_[east, west]))
    assert grid.x_edges[[0, -1]].tolist() == [170.0, 191.0]
    assert grid == grid_of(field([60.5, 61.5], np.r_[east, west + 360]))


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        (
            field(np.degrees(np.arcsin(np.linspace(-0.9, 0.9, 20))), np.arange(0.5, 360)),
            "lat is not evenly spaced",
        ),
        (field([1.0, 2.0], np.arange(0, 361.0)), "lon is not evenly spaced|repeated"),
        (xr.DataArray(np.zeros((2, 2)), dims=("j", "i"), name="f"), "no one-dimensional lat and lon"),
        (
            xr.DataArray(
                np.zeros(2), {"lat": ("pixel", [60.0, 70.0]), "lon": ("pixel", [0.0, 9.0])}, "pixel"
            ),
            "2 places along dimension pixel are no grid",
        ),
        (field([1.0, np.nan], [1.0, 2.0]), "not finite"),
        (field([1.0], [1.0, 2.0]), "at least two"),
        (field([1e5, 2e5], [1e5, 2e5], ("y", "x")), "does not name its projection"),
        (field([1e5, 2e5], [1e5, 3e5], ("y", "x")).assign_attrs(crs="EPSG:6931"), "square"),
    ],
)
def test_what_is_not_a_known_grid_is_refused(obj, message):
    with pytest.raises(GridError, match=message):
        grid_of(obj)


def gaussian(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres and edges of the rows of a Gaussian grid: Gauss-Legendre nodes, edges from their weights."""
    nodes, weights = np.polynomial.legendre.leggauss(n)
    sines = np.clip(np.r_[-1.0, -1.0 + np.cumsum(weights)], -1.0, 1.0)
    return np.degrees(np.arcsin(nodes)), np.degrees(np.arcsin(sines))


@pytest.mark.parametrize(("rows", "step"), [(32, 1), (96, -1), (256, 1)])
def test_rows_of_a_gaussian_grid_come_from_their_bounds(rows, step):
    lat, edges = gaussian(rows)
    ds = field(lat, np.arange(0, 360, 5.625)).isel(lat=slice(None, None, step)).to_dataset()
    ds["lat_bnds"] = (("lat", "bnds"), np.column_stack([edges[:-1], edges[1:]])[::step])
    grid = grid_of(ds)
    np.testing.assert_allclose(grid.y_edges, edges, atol=1e-9)
    assert conform(ds, grid)["lat"].values.tolist() == grid.y.tolist()
    carried = ds["f"].assign_coords(
        lat_south=("lat", edges[:-1][::step]), lat_north=("lat", edges[1:][::step])
    )
    assert grid_of(carried) == grid
    assert grid_of(conform(carried, grid)) == grid  # a second time, on the centres of the grid
    north = carried.isel(lat=carried["lat"].values > 40)
    np.testing.assert_allclose(grid_of(north).y_edges, np.append(edges[:-1][lat > 40], 90.0), atol=1e-9)
    with pytest.raises(GridError, match="has centres"):
        conform(carried.assign_coords(lat=carried["lat"] + 3.0), grid)


def test_bounds_of_uneven_rows_must_hold_them():
    lat, edges = gaussian(32)
    ds = field(lat, np.arange(0, 360, 5.625)).to_dataset()
    bounds = np.column_stack([edges[:-1], edges[1:]])
    bounds[5, 1] -= 1.0
    with pytest.raises(GridError, match="follow each other without gaps"):
        grid_of(ds.assign(lat_bnds=(("lat", "bnds"), bounds)))


def test_other_projections_are_refused():
    ds = field([1e5, 2e5], [1e5, 2e5], ("y", "x")).to_dataset()
    ds["crs"] = xr.DataArray(0, attrs=pyproj.CRS("EPSG:3571").to_cf())
    with pytest.raises(
        GridError, match=r"expected EPSG:6931 .* found lambert_azimuthal_equal_area with origin \(90"
    ):
        grid_of(ds)
    with pytest.raises(GridError, match="EPSG:6931 only"):
        grid_of(ds, crs="EPSG:3995")


def test_bounds_that_disagree_are_refused():
    ds = field([60.5, 61.5, 62.5], [0.5, 1.5]).to_dataset()
    ds["lat_bnds"] = (("lat", "b"), [[60.0, 61.0], [61.0, 62.0], [62.0, 63.0]])
    assert grid_of(ds).lat_edges == (60.0, 61.0, 62.0, 63.0)
    ds["lat_bnds"] = (("lat", "b"), [[60.0, 61.0], [61.0, 62.4], [62.4, 63.0]])
    with pytest.raises(GridError, match="bounds of lat"):
        grid_of(ds)


def test_data_that_are_not_on_the_grid_are_refused():
    with pytest.raises(GridError, match="but lat-lon grid"):
        conform(
            field(np.arange(0.5, 10), np.arange(0.5, 10)), LatLonGrid.regular(1, lat=(1, 11), lon=(0, 10))
        )
    with pytest.raises(GridError, match=r"has dimensions .* needs y and x"):
        conform(field([0.5, 1.5], [0.5, 1.5]), EqualAreaGrid.epsg6931())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LatLonGrid.regular(0.7), "does not divide"),
        (lambda: LatLonGrid.regular(-1), "does not divide"),
        (lambda: LatLonGrid((0.0, 95.0), (0.0, 1.0)), "-90..90"),
        (lambda: LatLonGrid((1.0, 0.0), (0.0, 1.0)), "ascending"),
        (lambda: LatLonGrid.regular(1, lon=(0, 400)), "more than 360"),
        (lambda: LatLonGrid((0.0, 1.0), (0.0, 1.0, 3.0)), "not evenly spaced"),
        (lambda: EqualAreaGrid.epsg6931(0), "cell_m > 0"),
        (lambda: EqualAreaGrid(1e3, 0, 0, 0, 1), "at least one row"),
        (lambda: LatLonGrid.regular(1).wrap(np.zeros((2, 2))), "values have shape"),
    ],
)
def test_impossible_grids_are_refused(make, message):
    with pytest.raises(GridError, match=message):
        make()


@given(
    st.floats(-180, 180),
    st.sampled_from([0.05, 0.1, 0.25, 0.5, 1.0, 2.8125]),
    st.sets(st.integers(0, 700), min_size=1),
)
def test_an_even_axis_has_all_points_between_those_of_some_cells(start, step, chosen):
    places = np.array(sorted({*chosen, min(chosen) + 1}))
    axis = even_axis(np.float32(start + step * places)[::-1].astype(float))
    expected = start + step * np.arange(places[0], places[-1] + 1)
    np.testing.assert_allclose(axis, expected, atol=2e-5)  # float32 keeps 8e-6 degrees, the axis 1e-6


def test_no_axis_for_one_value_uneven_values_and_values_far_apart():
    assert even_axis(np.array([61.25, 61.25])) is None
    assert even_axis(np.array([60.0, 60.5, 61.2])) is None
    assert even_axis(np.array([0.0, 0.01, 90.0])) is None
