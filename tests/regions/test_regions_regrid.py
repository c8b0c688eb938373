"""Overlaps against shapely and closed forms; regridding conserves mass and invents none."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from talik.errors import GridError
from talik.regions import EqualAreaGrid, LatLonGrid, overlap, regrid
from talik.regions.ellipsoid import to_plane

NORTH = LatLonGrid.regular(0.5, lat=(55, 90))


@pytest.fixture(scope="module")
def to_8km():
    """0.5 degree over all of the window's latitudes, to the default 8 km window."""
    return overlap(LatLonGrid.regular(0.5, lat=(25, 90)), EqualAreaGrid.epsg6931(8000.0))


def random_field(grid, seed, holes=0.0, time=2):
    rng = np.random.default_rng(seed)
    values = rng.uniform(1.0, 2.0, size=(time, *grid.shape))
    values[rng.random(values.shape) < holes] = np.nan
    return xr.DataArray(
        values, dims=("time", *grid.dims), coords=grid.coords(), name="nee", attrs={"units": "kg m-2 s-1"}
    )


def mass(values, fraction, grid):
    return float((values.fillna(0.0) * fraction * grid.cell_area()).isel(time=0).sum())


def test_default_grid_rows_and_columns_sum_to_true_areas(to_8km):
    """Every 8 km cell is covered by the source; every half-degree cell inside the window is covered by targets."""
    m = to_8km.matrix()
    np.testing.assert_allclose(m.sum(axis=1), 64e6, rtol=1e-12)
    true = to_8km.src.cell_area().values.ravel()
    got = m.sum(axis=0)
    inside = np.broadcast_to(to_8km.src.y_edges[:-1, None] >= 52.0, to_8km.src.shape).ravel()
    np.testing.assert_allclose(got[inside], true[inside], rtol=1e-11)
    assert (got <= true * (1 + 1e-11)).all()
    assert to_8km.nbytes < 80e6


@pytest.mark.parametrize(
    "origin", [(0.0, 0.0), (30e3, -17e3)], ids=["vertex at the pole", "pole inside a cell"]
)
@pytest.mark.parametrize("lon", [(-180, 180), (-5, 355), (170, 200)], ids=str)
def test_overlaps_are_those_of_shapely_with_dense_arcs(origin, lon):
    src = LatLonGrid.regular(10.0 if lon != (170, 200) else 15.0, lat=(60, 90), lon=lon)
    dst = EqualAreaGrid.epsg6931(400e3, x=(-1.6e6, 2.0e6), y=(-1.2e6, 1.6e6), origin=origin)
    ours = overlap(src, dst).matrix().toarray()
    sectors = []
    for south, north in zip(src.y_edges[:-1], src.y_edges[1:], strict=True):
        for west, east in zip(src.x_edges[:-1], src.x_edges[1:], strict=True):
            arc = np.linspace(west, east, 1500)
            ring = np.r_[np.c_[arc, np.full(1500, south)], np.c_[arc[::-1], np.full(1500, north)]]
            sectors.append(shapely.Polygon(np.column_stack(to_plane(*ring.T))))
    boxes = [
        shapely.box(x0, y0, x1, y1)
        for y0, y1 in zip(dst.y_edges[:-1], dst.y_edges[1:], strict=True)
        for x0, x1 in zip(dst.x_edges[:-1], dst.x_edges[1:], strict=True)
    ]
    oracle = shapely.area(shapely.intersection(np.array(boxes)[:, None], np.array(sectors)[None, :]))
    np.testing.assert_allclose(ours, oracle, atol=3e-7 * 400e3**2)


@settings(max_examples=40, deadline=None)
@given(
    cell=st.sampled_from([90e3, 137e3, 250e3, 1.1e6]),
    shift=st.tuples(st.floats(-4e5, 4e5), st.floats(-4e5, 4e5)),
    step=st.sampled_from([1.0, 3.75, 7.5, 30.0]),
    west=st.sampled_from([-180.0, -177.3, 0.0, 33.3]),
)
def test_overlaps_tile_both_grids(cell, shift, step, west):
    src = LatLonGrid.regular(step, lat=(60, 90), lon=(west, west + 360))
    dst = EqualAreaGrid.epsg6931(cell, x=(-3.6e6, 3.6e6), y=(-3.6e6, 3.6e6), origin=shift)
    m = overlap(src, dst).matrix()
    assert m.data.min() > 0.0
    np.testing.assert_allclose(m.sum(axis=0), src.cell_area().values.ravel(), rtol=2e-10)
    lat = dst.lonlat()[1].values.ravel()
    far = np.hypot(*np.meshgrid(np.abs(dst.x), np.abs(dst.y))).ravel() + cell
    inside = (far < np.hypot(*to_plane(0.0, 60.0))) & np.isfinite(lat)
    np.testing.assert_allclose(m.sum(axis=1)[inside], cell**2, rtol=1e-11)


@pytest.mark.parametrize(
    ("src", "dst"),
    [
        (LatLonGrid.regular(0.5), LatLonGrid.regular((1.25, 1.875), lon=(-180.9375, 179.0625))),
        (LatLonGrid.regular(1.0), LatLonGrid.regular(1.5, lat=(-90, 90), lon=(0, 360))),
        (EqualAreaGrid.epsg6931(50e3), EqualAreaGrid.epsg6931(37e3, x=(-6e6, 6e6), y=(-6e6, 6e6))),
    ],
    ids=["shifted", "0-360", "equal-area"],
)
def test_grids_of_one_kind_tile_each_other(src, dst):
    w = overlap(src, dst)
    np.testing.assert_allclose(w.transfer(np.ones(src.shape)).sum(), src.cell_area().sum(), rtol=1e-12)
    np.testing.assert_allclose(w.reverse().transfer(np.ones(dst.shape)), src.cell_area(), rtol=1e-12)
    values = np.random.default_rng(1).normal(size=(2, *src.shape))
    slow = (w.matrix() @ values.reshape(2, -1).T).T.reshape(2, *dst.shape)
    np.testing.assert_allclose(w.transfer(values), slow, rtol=1e-9, atol=1e-9 * np.abs(slow).max())


def test_nesting_is_exact():
    one, eight = (EqualAreaGrid.epsg6931(c, x=(-8e4, 8e4), y=(-8e4, 16e4)) for c in (1e3, 8e3))
    field = random_field(one, 3, time=1)
    mean = field.coarsen(y=8, x=8).mean()
    np.testing.assert_allclose(regrid(field, eight)["nee"], mean, rtol=1e-14)


@pytest.mark.parametrize("holes", [0.0, 0.3])
def test_mass_survives_half_degree_to_8km_and_back(to_8km, holes):
    """Data north of 55 N, holes or not: the same mass on all three grids, although cells at the edge are cut."""
    field = random_field(to_8km.src, 5, holes).where(lambda f: f.lat > 55.0)
    there = regrid(field, to_8km.dst, weights=to_8km)
    back = regrid(there["nee"], to_8km.src, valid=there["valid_fraction"], weights=to_8km.reverse())
    before = mass(field, 1.0, to_8km.src)
    assert mass(there["nee"], there["valid_fraction"], to_8km.dst) == pytest.approx(before, rel=1e-10)
    assert mass(back["nee"], back["valid_fraction"], to_8km.src) == pytest.approx(before, rel=1e-10)
    assert back["valid_fraction"].max() <= 1.0
    assert there["nee"].attrs["units"] == "kg m-2 s-1"


def test_no_mass_is_invented_outside_the_data(to_8km):
    field = random_field(to_8km.src, 7).where(lambda f: (f.lat > 60) & (f.lon > 0))
    out = regrid(field, to_8km.dst, weights=to_8km).isel(time=0)
    lon, lat = to_8km.dst.lonlat()
    outside = (lat < 59.8) | (lon < -1.0)
    assert out["nee"].where(outside, drop=False).isnull().where(outside, True).all()
    assert float(out["valid_fraction"].where(outside).max()) == 0.0
    assert 1.0 <= float(out["nee"].min()) <= float(out["nee"].max()) <= 2.0


def test_constant_stays_constant_and_min_valid_masks():
    src, dst = LatLonGrid.regular(1.0, lat=(60, 90)), EqualAreaGrid.epsg6931(100e3)
    one = xr.ones_like(src.cell_area()).rename("c")
    loose, strict = regrid(one, dst), regrid(one, dst, min_valid=0.999)
    np.testing.assert_allclose(loose["c"].values[loose["c"].notnull()], 1.0, rtol=1e-13)
    assert int(strict["c"].notnull().sum()) < int(loose["c"].notnull().sum())
    xr.testing.assert_identical(strict["valid_fraction"], loose["valid_fraction"])


def test_dask_is_lazy_and_equal(computing_nothing):
    src, dst = LatLonGrid.regular(5.0, lat=(50, 90)), EqualAreaGrid.epsg6931(400e3)
    field = random_field(src, 9, 0.2, time=4)
    with computing_nothing():
        assert regrid(field.chunk(time=1), dst)["nee"].chunks[0] == (1, 1, 1, 1)
    xr.testing.assert_allclose(regrid(field.chunk(time=2), dst).compute(), regrid(field, dst), rtol=1e-15)


def test_float32_and_rotated_input_give_the_same_in_float64():
    src, dst = LatLonGrid.regular(2.0, lat=(50, 90)), EqualAreaGrid.epsg6931(400e3)
    field = random_field(src, 11, 0.1)
    odd = (
        field.isel(lat=slice(None, None, -1))
        .roll(lon=90, roll_coords=True)
        .assign_coords(lon=lambda d: np.mod(d.lon, 360.0))
    )
    want = regrid(field, dst)
    xr.testing.assert_allclose(regrid(odd, dst), want, rtol=1e-14)
    got = regrid(odd.astype("f4"), dst)
    assert got["nee"].dtype == np.float64
    xr.testing.assert_allclose(got, want, rtol=1e-6)


def test_misfits_are_refused():
    src, dst = LatLonGrid.regular(5.0), LatLonGrid.regular(10.0)
    field = random_field(src, 13)
    with pytest.raises(GridError, match="min_valid must lie"):
        regrid(field, dst, min_valid=2.0)
    with pytest.raises(GridError, match="weights map"):
        regrid(field, dst, weights=overlap(dst, src))
    with pytest.raises(GridError, match="but lat-lon grid"):
        regrid(field, dst, valid=random_field(dst, 1))
    assert float(overlap(NORTH, LatLonGrid.regular(1, lat=(-10, 10))).matrix().sum()) == 0.0
