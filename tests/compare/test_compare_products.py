"""Aggregation keeps carbon, masks and months are those in common, fire is removed once and with one product."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from talik.compare import (
    common_cells,
    common_months,
    compare_products,
    remove_fire,
    require_same_fire,
    theil_sen_map,
)
from talik.errors import CoverageError, FluxError, GridError
from talik.flux import make_flux_dataset
from talik.products import Zones, budgets, to_coarse
from talik.regions import EqualAreaGrid, LatLonGrid, latitude_bands

COARSE = LatLonGrid.regular(10.0, lat=(50, 90))
FINE = EqualAreaGrid.epsg6931(200e3, x=(-4e6, 4e6), y=(-4e6, 4e6))


def product(
    grid, values, first="2001-01-01", calendar="standard", name="nee", source="known", approach="upscaling"
):
    n = len(values)
    index = xr.date_range(first, periods=n, freq="MS", calendar=calendar, use_cftime=calendar != "standard")
    values = np.asarray(values, float)
    if values.ndim == 1:
        values = np.broadcast_to(values[:, None, None], (n, *grid.shape)).copy()
    da = xr.DataArray(values, dims=("time", *grid.dims), coords={"time": index, **grid.coords()})
    return make_flux_dataset(
        {name: da.assign_attrs(units="kg m-2 s-1")}, approach=approach, source=source, coverage=1.0
    )


def noise(n, grid, seed=0):
    return np.random.default_rng(seed).normal(size=(n, *grid.shape)) * 1e-9


def test_aggregation_keeps_carbon_and_asks_for_land():
    values = noise(12, FINE)
    land = FINE.wrap(np.random.default_rng(1).uniform(0.2, 1.0, FINE.shape))
    holes = np.random.default_rng(2).uniform(size=FINE.shape) < 0.2
    holes |= (FINE.lonlat()[1] < 53).values  # what is left lies inside the coarse grid
    values[:, holes] = np.nan
    fine = product(FINE, values)
    every = to_coarse(fine, COARSE, land_fraction=land, min_land=1e-9)
    coarse_mass = (every["nee"] * every["coverage"] * COARSE.cell_area()).sum(COARSE.dims)
    want = np.nansum(values * land.values, axis=(1, 2)) * 200e3**2
    np.testing.assert_allclose(coarse_mass, want, rtol=1e-9, atol=1e-3)
    half = to_coarse(fine, COARSE, land_fraction=land)
    np.testing.assert_array_equal(
        half["nee"].isnull(), np.broadcast_to(every["coverage"] < 0.5, every["nee"].shape)
    )
    xr.testing.assert_allclose(half["nee"], every["nee"].where(every["coverage"] >= 0.5))
    with pytest.raises(GridError, match="is finer than"):
        to_coarse(every, FINE)
    values[3, 20, 20] = 1.0 if holes[20, 20] else np.nan  # near the pole
    with pytest.raises(CoverageError, match="valid cells change with time"):
        to_coarse(product(FINE, values), COARSE)


def test_budget_of_the_aggregate_is_that_of_the_fine_product():
    """A band of whole coarse cells on nested grids: the same Tg on both, with the share of valid land."""
    fine_grid = LatLonGrid.regular(2.5, lat=(50, 90))
    land = fine_grid.wrap(np.random.default_rng(3).uniform(0.6, 1.0, fine_grid.shape))
    fine = product(fine_grid, noise(12, fine_grid))
    coarse = to_coarse(fine, COARSE, land_fraction=land)
    one = budgets(fine, "nee", Zones(weights=latitude_bands(fine_grid, (60, 80)), land_fraction=land))
    two = budgets(
        coarse, "nee", Zones(weights=latitude_bands(COARSE, (60, 80)), land_fraction=coarse["coverage"])
    )
    np.testing.assert_allclose(two["budget"], one["budget"], rtol=1e-9)
    np.testing.assert_allclose(two["area"], one["area"], rtol=1e-9)


def test_months_in_common_across_calendars_and_stamps():
    a = product(COARSE, np.arange(36.0), "2001-01-01")
    b = product(COARSE, np.arange(30.0), "2002-07-01", "noleap")
    one, two = common_months(a, b)
    assert one.sizes["time"] == two.sizes["time"] == 18
    assert float(one["nee"][0, 0, 0]) == 18.0
    assert float(two["nee"][0, 0, 0]) == 0.0
    assert one["time_bnds"].shape == (18, 2)
    with pytest.raises(
        CoverageError, match=r"no calendar month in common: 2001-01\.\.2003-12 against 2010-01"
    ):
        common_months(a, product(COARSE, np.ones(12), "2010-01-01"))
    years = a.isel(time=[0, 12, 24])
    years = years.assign_coords(time_bnds=(("time", "bnds"), years["time_bnds"].values))
    days = years["time_bnds"].values.copy()
    days[:, 1] = days[:, 0] + np.timedelta64(365, "D")
    with pytest.raises(FluxError, match="expected monthly steps; 3 of 3"):
        common_months(years.assign_coords(time_bnds=(("time", "bnds"), days)), a)


def test_cells_in_common():
    first, second = noise(12, COARSE), noise(12, COARSE, 1)
    first[:, 0, 3] = np.nan
    second[5, 1, 1] = np.nan
    a, b, mask = common_cells(product(COARSE, first), product(COARSE, second))
    assert int((~mask).sum()) == 2
    for ds in (a, b):
        np.testing.assert_array_equal(ds["nee"].isnull().any("time"), ~mask)
    with pytest.raises(GridError, match="Use to_coarse first"):
        common_cells(product(COARSE, first), product(FINE, noise(12, FINE)))
    with pytest.raises(CoverageError, match="no cell in common"):
        common_cells(product(COARSE, first), product(COARSE, second * np.nan))


@pytest.mark.parametrize("variable", ["nbp", "nee"])
def test_fire_is_removed_from_an_inversion_once(variable):
    """nee + fire = -nbp: whatever the sign of the file, the NEE underneath comes back."""
    nee, fire = noise(24, COARSE), np.abs(noise(24, COARSE, 1))
    sign = -1 if variable == "nbp" else 1
    inversion = product(COARSE, sign * (nee + fire), name=variable, source="inversion", approach="inversion")
    burned = product(COARSE, fire[6:], "2001-07-01", name="fFire", source="fires A", approach="inventory")
    got = remove_fire(inversion, burned, variable)
    np.testing.assert_allclose(got["nee"], nee[6:], rtol=1e-9, atol=1e-22)
    assert got.attrs["fire_removed"] == "fires A"
    require_same_fire(got, burned)
    other = burned.assign_attrs(source="fires B")
    with pytest.raises(FluxError, match="is 'fires A', but the comparison adds 'fires B'"):
        require_same_fire(got, other)
    with pytest.raises(FluxError, match="fire was removed already"):
        remove_fire(got, burned, "nee")
    holed = burned.assign(fFire=burned["fFire"].where(burned["fFire"].lat < 70))
    with pytest.raises(CoverageError, match="no fire data in some cells"):
        remove_fire(inversion, holed, variable)
    with pytest.raises(FluxError, match="expected 'gpp'"):
        remove_fire(inversion, burned, "gpp")


def test_fire_from_a_finer_grid_keeps_its_mass():
    fine = LatLonGrid.regular(2.5, lat=(50, 90))
    fire = product(fine, np.abs(noise(12, fine)), name="fFire", source="fires")
    inversion = product(COARSE, np.zeros(12), name="nbp", source="inversion")
    got = remove_fire(inversion, fire)
    removed = -(got["nee"] * COARSE.cell_area()).sum(COARSE.dims)
    np.testing.assert_allclose(removed, (fire["fFire"] * fine.cell_area()).sum(fine.dims), rtol=1e-9)


def test_two_products_side_by_side():
    """second = 0.5 first + a constant: r is 1 for means and slopes, budgets differ by what was planted."""
    n = 48
    values = noise(n, COARSE)
    a = product(COARSE, values)
    b = product(COARSE, 0.5 * values[12:] + 2e-10, "2002-01-01", source="other")
    zones = Zones(
        weights=latitude_bands(COARSE, (50, 60, 90)), land_fraction=COARSE.wrap(np.ones(COARSE.shape))
    )
    got = compare_products(a, b, zones)
    assert got.period == "2002-2004"
    for c in (got.mean, got.mean_weighted, got.trend, got.trend_weighted):
        assert c.r == pytest.approx(1.0, rel=1e-9)
        assert c.n == COARSE.size
    seconds = np.array([365, 365, 366]) * 86400.0
    extra = 2e-10 * seconds[:, None] * got.budgets["area"].values * 1e-9
    np.testing.assert_allclose(got.budgets["second"], 0.5 * got.budgets["first"] + extra, rtol=1e-9)
    want = budgets(a, "nee", zones)["budget"].squeeze("season").sel(year=slice(2002, 2004))
    np.testing.assert_allclose(got.budgets["first"], want, rtol=1e-12)
    with pytest.raises(CoverageError, match="2001 not whole in both, common are 2002-2004"):
        compare_products(a, b, zones, years=(2001, 2004))
    short = compare_products(a.isel(time=slice(0, 36)), b, zones)
    assert short.trend is None


def test_slopes_are_theil_sens():
    from scipy.stats import theilslopes

    rng = np.random.default_rng(0)
    values = rng.normal(size=(9, 2, 3))
    values[4, 1, 1] = np.nan
    sums = xr.DataArray(values, dims=("year", "y", "x"), coords={"year": np.arange(2001, 2010)})
    got = theil_sen_map(sums)
    assert np.isnan(got[1, 1])
    assert float(got[0, 2]) == pytest.approx(theilslopes(values[:, 0, 2], np.arange(9))[0], rel=1e-12)
