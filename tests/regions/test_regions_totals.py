"""Totals of known fields, holes, units, area bases, laziness."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from talik.errors import CoverageError, GridError, UnitsError
from talik.regions import (
    EqualAreaGrid,
    LatLonGrid,
    land_fraction,
    latitude_bands,
    regional_mean,
    regional_total,
    regrid,
    sectors,
)
from talik.regions.ellipsoid import band_area_m2

GRID = LatLonGrid.regular(2.0, lat=(40, 90))
GRIDS = [
    LatLonGrid.regular(1.0),
    LatLonGrid.regular((0.5, 2.5), lat=(40, 90), lon=(0, 360)),
    EqualAreaGrid.epsg6931(40e3, x=(-5e6, 5e6), y=(-5e6, 5e6)),
    EqualAreaGrid.epsg6931(7995.296 * 8, x=(-5e6, 5e6), y=(-5e6, 5e6), origin=(123.0, -456.0)),
]
BANDS = (50.0, 60.0, 90.0)


def flux(grid, value=1.0, basis="cell", time=None):
    da = xr.full_like(grid.cell_area(), value).rename("fch4")
    da.attrs = {"units": "kg m-2 s-1", "area_basis": basis, "species": "CH4", "positive": "up"}
    return da if time is None else da.expand_dims(time=np.arange(time)).copy()


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_constant_field(grid):
    out = regional_total(flux(grid, 3e-9), latitude_bands(grid, BANDS))
    np.testing.assert_allclose(out["fch4"], 3e-9 * band_area_m2(BANDS[:-1], BANDS[1:]), rtol=1e-11)
    np.testing.assert_allclose(out["coverage"], 1.0, rtol=1e-12)
    assert out["fch4"].attrs == {"units": "kg s-1", "species": "CH4", "positive": "up"}
    mean = regional_mean(flux(grid, 3e-9), latitude_bands(grid, BANDS))
    np.testing.assert_allclose(mean["fch4"], 3e-9, rtol=1e-12)


@pytest.mark.parametrize("grid", [g for g in GRIDS if isinstance(g, LatLonGrid)], ids=str)
def test_harmonic_field_on_lat_lon_cells(grid):
    """f = 1 + Q + cos(2 lon), Q the share of the hemisphere south of a latitude: its cap integral is closed.

    Area is linear in Q, so the cell mean of Q is the mean of its edge values; the wave has none over a full turn.
    """

    def share(lat):
        return band_area_m2(0.0, lat) / band_area_m2(0.0, 90.0)

    west, east = np.radians(grid.x_edges[:-1]), np.radians(grid.x_edges[1:])
    zonal = 1.0 + 0.5 * (share(grid.y_edges[:-1]) + share(grid.y_edges[1:]))
    wave = (np.sin(2 * east) - np.sin(2 * west)) / 2 / (east - west)
    field = grid.wrap(np.add.outer(zonal, wave), name="fch4", attrs=flux(grid).attrs)
    exact = band_area_m2(60, 90) * (1.0 + (1.0 + share(60.0)) / 2.0)
    total = regional_total(field, latitude_bands(grid, (60, 90)))["fch4"]
    assert float(total[0]) == pytest.approx(float(exact), rel=1e-10)
    on_plane = GRIDS[2]
    moved = regrid(field, on_plane)
    disc = latitude_bands(
        on_plane, (50, 90)
    )  # inside the window; cells that straddle 50 N blur a linear field
    got = regional_total(moved["fch4"], disc, valid_fraction=moved["valid_fraction"])["fch4"]
    exact = band_area_m2(50, 90) * (1.0 + (1.0 + share(50.0)) / 2.0)
    assert float(got[0]) == pytest.approx(float(exact), rel=1e-4)


@pytest.mark.parametrize("grid", [g for g in GRIDS if not isinstance(g, LatLonGrid)], ids=str)
def test_harmonic_field_on_equal_area_cells(grid):
    """f = Q(90) - Q, which is the squared distance from the pole on the map: a polynomial, integrated by hand."""
    (x0, x1), (y0, y1) = ((e[0], e[-1]) for e in (grid.x_edges, grid.y_edges))
    mean = np.add.outer(grid.y**2, grid.x**2) + grid.cell_m**2 / 6
    scale = 2 * np.pi / band_area_m2(0.0, 90.0) / 2  # rho**2 * scale = Q(90) - Q
    np.testing.assert_allclose(scale * grid.y[-1] ** 2, hemisphere_share_beyond(0.0, grid.y[-1]), rtol=1e-9)
    field = grid.wrap(scale * mean, name="fch4", attrs=flux(grid).attrs)
    everywhere = xr.ones_like(field).drop_attrs().expand_dims(region=["window"]).assign_attrs(covers="all")
    exact = scale * ((x1**3 - x0**3) * (y1 - y0) + (y1**3 - y0**3) * (x1 - x0)) / 3
    got = regional_total(field, everywhere)["fch4"]
    assert float(got[0]) == pytest.approx(float(exact), rel=1e-10)


def hemisphere_share_beyond(x_m, y_m):
    """Share of the hemisphere between a point of the map and the pole, by its latitude from pyproj."""
    _, lat = pyproj.Transformer.from_crs("EPSG:6931", "EPSG:4326", always_xy=True).transform(x_m, y_m)
    return band_area_m2(lat, 90.0) / band_area_m2(0.0, 90.0)


def test_per_land_and_per_cell_give_the_same_mass():
    """One tonne is one tonne: a flux per land, and the same flux spread over cells, over sectors and over bands."""
    land = land_fraction(GRID)
    per_land = flux(GRID, 2e-9, "land")
    per_cell = (per_land * land).rename("fch4").assign_attrs({**per_land.attrs, "area_basis": "cell"})
    shapes = sectors(GRID)
    want = 2e-9 * (shapes * GRID.cell_area()).sum(GRID.dims)
    np.testing.assert_allclose(regional_total(per_land, shapes)["fch4"], want, rtol=1e-12)
    np.testing.assert_allclose(regional_total(per_cell, shapes, land_fraction=land)["fch4"], want, rtol=1e-6)
    mean = regional_mean(per_cell, shapes, land_fraction=land)["fch4"]
    np.testing.assert_allclose(mean, 2e-9, rtol=1e-6)
    bands = latitude_bands(GRID, BANDS)
    a = regional_total(per_land, bands, land_fraction=land)["fch4"]
    np.testing.assert_allclose(a, regional_total(per_cell, bands)["fch4"], rtol=1e-12)
    for field, weights in ((per_cell, shapes), (per_land, bands)):
        with pytest.raises(GridError, match="give land_fraction"):
            regional_total(field, weights)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), split=st.floats(51.0, 89.0))
def test_totals_add_over_regions_and_do_not_mind_rotation(seed, split):
    rng = np.random.default_rng(seed)
    field = flux(GRID) * 0 + GRID.wrap(rng.normal(size=GRID.shape))
    field.attrs, field.name = flux(GRID).attrs, "fch4"
    parts = regional_total(field, latitude_bands(GRID, (50, split, 90)))["fch4"].sum()
    whole = regional_total(field, latitude_bands(GRID, (50, 90)))["fch4"].sum()
    np.testing.assert_allclose(parts, whole, atol=1e-12 * float(band_area_m2(50, 90)))
    odd = field.isel(lat=slice(None, None, -1)).roll(lon=70, roll_coords=True)
    odd = odd.assign_coords(lon=np.mod(odd["lon"], 360.0))
    np.testing.assert_allclose(
        regional_total(odd, latitude_bands(GRID, (50, 90)))["fch4"].sum(), whole, rtol=1e-9, atol=1e-3
    )


def holed(time=3):
    field = flux(GRID, 1e-9, time=time)
    field[1, field.lat.values > 70] = np.nan
    field[2] = np.nan
    return field


def test_no_total_over_a_hole():
    bands = latitude_bands(GRID, BANDS)
    with pytest.raises(
        CoverageError, match=r"'fch4': data cover 0.00 % of time 2, region 50-60N; .*\(3 totals"
    ):
        regional_total(holed(), bands)
    out = regional_total(holed(), bands, on_hole="nan")
    np.testing.assert_array_equal(out["fch4"].isnull(), [[False, False], [False, True], [True, True]])
    want = band_area_m2(60, 70) / band_area_m2(60, 90)
    np.testing.assert_allclose(out["coverage"][1, 1], want, rtol=1e-12)
    accepted = regional_total(holed().isel(time=[0, 1]), bands, min_coverage=0.5)
    np.testing.assert_allclose(accepted["fch4"][1, 1], 1e-9 * band_area_m2(60, 70), rtol=1e-12)


def test_only_missing_is_never_zero():
    out = regional_total(holed(), latitude_bands(GRID, BANDS), min_coverage=1e-9, on_hole="nan")
    assert out["fch4"][2].isnull().all()
    assert regional_mean(holed(), latitude_bands(GRID, BANDS), on_hole="nan")["fch4"][2].isnull().all()


def test_a_region_beyond_the_grid_is_a_hole():
    small = LatLonGrid.regular(1.0, lat=(60, 90))
    with pytest.raises(CoverageError, match="region >50N"):
        regional_total(flux(small), latitude_bands(small, (50, 90)))
    share = regional_total(flux(small), latitude_bands(small, (50, 90)), on_hole="nan")["coverage"]
    np.testing.assert_allclose(share, [band_area_m2(60, 90) / band_area_m2(50, 90)], rtol=1e-12)


def test_valid_fraction_conserves_mass_after_regridding():
    src = flux(GRID, 1e-9).where(lambda f: f.lat > 61)
    dst = EqualAreaGrid.epsg6931(100e3)
    on = regrid(src.assign_attrs(flux(GRID).attrs), dst)
    cap = latitude_bands(dst, (50, 90))
    out = regional_total(
        on["fch4"], cap, valid_fraction=on["valid_fraction"], on_hole="nan", min_coverage=0.3
    )
    want = float((src.fillna(0.0) * GRID.cell_area()).sum())
    assert float(out["fch4"][0]) == pytest.approx(want, rel=1e-10)


def test_dask_is_lazy_and_equal(computing_nothing):
    field, bands = holed(), latitude_bands(GRID, BANDS)
    chunked = field.chunk(time=1, lat=10, lon=45)
    with computing_nothing():
        assert regional_total(chunked, bands, on_hole="nan")["fch4"].chunks is not None
    want = regional_total(field, bands, on_hole="nan")
    xr.testing.assert_allclose(regional_total(chunked, bands, on_hole="nan").compute(), want, rtol=1e-13)
    with pytest.raises(CoverageError, match="time 2"):
        regional_total(chunked, bands)


def test_float32_is_summed_in_float64():
    out = regional_total(flux(GRID, 1.0).astype("f4"), latitude_bands(GRID, (50, 90)))
    assert out["fch4"].dtype == np.float64
    np.testing.assert_allclose(out["fch4"], [band_area_m2(50, 90)], rtol=1e-12)


@pytest.mark.parametrize(
    ("attrs", "kwargs", "error", "message"),
    [
        ({"area_basis": "cell"}, {}, UnitsError, "expected units 'kg m-2 s-1'; found None"),
        ({"units": "g m-2 d-1", "area_basis": "cell"}, {}, UnitsError, "found 'g m-2 d-1'"),
        ({"units": "kg m-2 s-1"}, {}, UnitsError, "area basis 'land' or 'cell'; found None"),
        ({"units": "kg m-2 s-1", "area_basis": "land"}, {"area_basis": "cell"}, UnitsError, "says 'land'"),
        ({"units": "kg m-2 s-1"}, {"area_basis": "cell", "min_coverage": 0.0}, CoverageError, "min_coverage"),
        ({"units": "kg m-2 s-1"}, {"area_basis": "cell", "on_hole": "zero"}, CoverageError, "on_hole"),
    ],
)
def test_what_is_not_said_is_refused(attrs, kwargs, error, message):
    field = flux(GRID)
    field.attrs = attrs
    with pytest.raises(error, match=message):
        regional_total(field, latitude_bands(GRID, BANDS), **kwargs)


def test_weights_must_be_weights():
    bands = latitude_bands(GRID, BANDS)
    with pytest.raises(GridError, match="no 'region' dimension"):
        regional_total(flux(GRID), bands.isel(region=0))
    with pytest.raises(GridError, match=r"attrs\['covers'\]"):
        regional_total(flux(GRID), bands.drop_attrs(deep=False))
    with pytest.raises(GridError, match="but lat-lon grid"):
        regional_total(flux(GRID), latitude_bands(LatLonGrid.regular(1.0), BANDS))
