"""Regional budgets against NumPy over known areas; the moving mask, holes, classes, land fraction, dask."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from talik.errors import CoverageError, GridError
from talik.products import (
    Zones,
    annual_statistics,
    annual_sums,
    budgets,
    cells_lacking,
    join_regions,
    map_correlation,
    nee_consistency,
    period_mean,
    regional_series,
    spatial_sd,
    zone_area,
)
from talik.regions import EqualAreaGrid, class_fractions, cross, land_fraction, latitude_bands, sectors


def numpy_budget(world, values, years, weights, leap=True):
    """(season sums of) months x cells x area, Tg, done by hand: (years, 12, regions)."""
    lengths = world.seconds(years, leap)
    area = world.GRID.cell_area().values
    mass = values.reshape(len(years), 12, *world.GRID.shape) * lengths[:, :, None, None]
    return np.einsum("ymij,rij->ymr", np.nan_to_num(mass), weights * area) * 1e-9


@pytest.fixture
def zones(world):
    return Zones(weights=world.halves())


def test_budgets_are_the_sums_over_known_areas(world, zones):
    years = range(2003, 2006)
    time = world.months("2003-01-01", 36)
    values = world.noisy(time)
    got = budgets(world.dataset(time, nee=values), "nee", zones, ["annual", "JJA", "SepMay", "DJF"])
    want = numpy_budget(world, values, years, zones.weights.values)
    np.testing.assert_allclose(got["budget"].sel(season="annual"), want.sum(1), rtol=1e-9)
    np.testing.assert_allclose(got["budget"].sel(season="JJA"), want[:, 5:8].sum(1), rtol=1e-9)
    np.testing.assert_allclose(
        got["budget"].sel(season="JJA") + got["budget"].sel(season="SepMay"), want.sum(1), rtol=1e-9
    )
    winter = want[1:, :2].sum(1) + want[:-1, 11]
    np.testing.assert_allclose(got["budget"].sel(season="DJF")[1:], winter, rtol=1e-9)
    assert got["budget"].sel(season="DJF", year=2003).isnull().all()
    area = (zones.weights.values * world.GRID.cell_area().values).sum((1, 2))
    np.testing.assert_allclose(got["area"].sel(season="annual"), np.tile(area, (3, 1)), rtol=1e-12)
    np.testing.assert_allclose(got["mean"].sel(season="annual"), want.sum(1) / area * 1e12, rtol=1e-9)
    np.testing.assert_allclose(got["coverage"].sel(season="annual"), 1.0)
    assert got["budget"].attrs["units"] == "Tg year-1"
    assert got.attrs["species"] == "C"
    assert got.attrs["cells_lacking"] == 0
    assert "C" not in got["budget"].attrs["units"]


def test_two_seasons_with_equal_numbers_are_two(world, zones):
    time = world.months("2001-01-01", 12)
    got = budgets(world.dataset(time, nee=np.zeros(12)), "nee", zones, ["JJA", "SON"])
    assert got["budget"].dims == ("season", "year", "region")
    assert got["complete"].dims == ("season", "year")


def test_noleap_calendar(world, zones):
    time = world.months("2003-01-01", 24, "noleap")
    values = world.noisy(time)
    got = budgets(world.dataset(time, nee=values), "nee", zones)["budget"].squeeze("season")
    want = numpy_budget(world, values, range(2003, 2005), zones.weights.values, leap=False)
    np.testing.assert_allclose(got, want.sum(1), rtol=1e-9)


def test_members_and_dask(world, zones):
    time = world.months("2001-01-01", 24)
    values = world.noisy(time)
    ds = world.dataset(time, nee=values)
    two = xr.concat([ds[["nee"]], 2 * ds[["nee"]]], dim="member").assign_coords(member=[0, 1])
    two = ds.drop_vars("nee").assign(nee=two["nee"].assign_attrs(ds["nee"].attrs))
    got = budgets(two.chunk(time=5), "nee", zones)["budget"]
    assert set(got.dims) == {"season", "year", "member", "region"}
    np.testing.assert_allclose(got.sel(member=1), 2 * budgets(ds, "nee", zones)["budget"], rtol=1e-10)


def test_dask_stays_lazy_where_nothing_is_judged(world, computing_nothing):
    time = world.months("2001-01-01", 24)
    ds = world.dataset(time, nee=world.noisy(time))
    lazy_flux = ds.assign(nee=ds["nee"].chunk(time=6))
    for mask in ("flag", "common"):
        zones = Zones(weights=world.halves(), mask=mask)
        with computing_nothing():
            assert budgets(lazy_flux, "nee", zones)["budget"].chunks is not None
        lazy = budgets(ds.chunk(time=5), "nee", zones, ["annual", "DJF"])
        now = budgets(ds, "nee", zones, ["annual", "DJF"])
        xr.testing.assert_allclose(lazy["budget"].compute(), now["budget"], rtol=1e-10)


def test_a_moving_mask_is_named_with_its_months(world, zones):
    """One cell lost in one month, another in two: the count of valid cells alone would miss the exchange."""
    time = world.months("2001-01-01", 24)
    values = world.noisy(time)
    values[2:] = np.where(np.arange(values.shape[2]) == 5, np.nan, values[2:])
    values[:2, :, 9] = np.nan
    ds = world.dataset(time, nee=values)
    rows = world.GRID.shape[0]
    lacking = cells_lacking(ds["nee"], zones.weights)
    np.testing.assert_array_equal(lacking, [rows] * 24)
    with pytest.raises(
        CoverageError,
        match=r"valid cells change with time; data are missing in 24 steps, first 2001-01 \(8 cells\), 2001-02",
    ):
        budgets(ds, "nee", zones)
    late = ds.assign_coords(time=ds["time_bnds"][:, 1].values)
    late["time"].attrs = ds["time"].attrs
    late = late.assign_coords(time_bnds=(("time", "bnds"), ds["time_bnds"].values))
    with pytest.raises(CoverageError, match=r"24 steps, first 2001-01 \(8 cells\)"):
        budgets(late, "nee", zones)
    flagged = budgets(ds, "nee", Zones(weights=zones.weights, mask="flag"))
    assert flagged.attrs["cells_lacking"] == rows
    common = budgets(ds, "nee", Zones(weights=zones.weights, mask="common"))
    both = np.isnan(values).any(0)
    want = numpy_budget(world, np.where(both, np.nan, values), range(2001, 2003), zones.weights.values).sum(1)
    np.testing.assert_allclose(common["budget"].squeeze("season"), want, rtol=1e-9)
    assert common.attrs["cells_lacking"] == 0
    assert float(common["coverage"].min()) < 1


def test_a_mask_that_moves_outside_the_regions_does_not_matter(world):
    time = world.months("2001-01-01", 12)
    values = world.noisy(time)
    values[3, :, world.GRID.x < 0] = np.nan
    only_east = Zones(weights=world.halves().sel(region=["east"]))
    budgets(world.dataset(time, nee=values), "nee", only_east)


def test_a_static_hole_is_outside_the_domain_and_shows_in_coverage(world, zones):
    time = world.months("2001-01-01", 12)
    values = world.noisy(time)
    west = world.GRID.x < 0
    values[:, :3, :] = np.nan
    ds = world.dataset(time, nee=values)
    low = world.GRID.row_area_m2[:3].sum() / world.GRID.row_area_m2.sum()
    with pytest.raises(CoverageError, match=r"data cover too little of west \(\d+\.\d %\), east"):
        budgets(ds, "nee", Zones(weights=zones.weights, min_coverage=0.9, on_hole="error"))
    assert budgets(ds, "nee", Zones(weights=zones.weights, min_coverage=0.9))["budget"].isnull().all()
    got = budgets(ds, "nee", Zones(weights=zones.weights, min_coverage=0.4))
    np.testing.assert_allclose(got["coverage"], 1 - low, rtol=1e-12)
    np.testing.assert_allclose(
        got["budget"].squeeze("season"),
        numpy_budget(world, values, [2001], zones.weights.values).sum(1),
        rtol=1e-9,
    )
    values[:, :, west] = np.nan
    none = budgets(world.dataset(time, nee=values), "nee", Zones(weights=zones.weights, min_coverage=1e-6))
    assert none["budget"].isnull().values.squeeze().tolist() == [True, False]


def test_pixel_classes_sectors_and_their_crossing_add_up(world):
    time = world.months("2001-01-01", 12)
    ds = world.dataset(time, nee=world.noisy(time))
    land = land_fraction(world.GRID)
    classes = world.GRID.wrap(np.where(world.GRID.y[:, None] > 66, 11, 6) + np.zeros(world.GRID.shape))
    biomes = class_fractions(classes, world.GRID, {"boreal": [6], "tundra": [11]}, covers="all")
    places = sectors(world.GRID, with_rest=True)
    pairs = cross(places, biomes)
    by_pair = budgets(ds, "nee", Zones(weights=pairs, land_fraction=land))["budget"].squeeze()
    by_place = budgets(ds, "nee", Zones(weights=places, min_coverage=1e-6))["budget"].squeeze()
    for name in ("alaska", "canada", "europe", "siberia"):
        two = float(by_pair.sel(region=f"{name}/boreal")) + float(by_pair.sel(region=f"{name}/tundra"))
        assert two == pytest.approx(float(by_place.sel(region=name)), rel=1e-9)
    everything = budgets(ds, "nee", Zones(weights=biomes, land_fraction=land))["budget"].sum()
    assert float(everything) == pytest.approx(
        float(
            (ds["nee"] * land * world.GRID.cell_area()).sum(["lat", "lon"]).values
            @ world.seconds([2001])[0]
            * 1e-9
        ),
        rel=1e-9,
    )
    joined = join_regions(places, pairs)
    assert joined.sizes["region"] == places.sizes["region"] + pairs.sizes["region"]
    with pytest.raises(GridError, match="each name once"):
        join_regions(places, places)
    with pytest.raises(GridError, match="all cover 'land' or all cover 'all'"):
        join_regions(places, biomes)


def test_land_fraction_of_coarse_cells_multiplies_the_flux(world):
    """8-km rule: flux x f x cell area, f valid land cells over all cells."""
    grid = EqualAreaGrid.epsg6931(500e3, x=(-2e6, 2e6), y=(-2e6, 2e6))
    time = world.months("2001-01-01", 12)
    ds = world.dataset(time, grid, nee=np.random.default_rng(3).normal(size=(12, *grid.shape)) * 1e-9)
    f = grid.wrap(np.random.default_rng(4).uniform(0.1, 1, grid.shape))
    all_of_it = grid.wrap(np.ones(grid.shape)).expand_dims(region=["all"]).assign_attrs(covers="all")
    got = budgets(ds, "nee", Zones(weights=all_of_it, land_fraction=f))
    want = (ds["nee"].values * f.values * 500e3**2).sum((1, 2)) @ world.seconds([2001])[0] * 1e-9
    assert float(got["budget"].squeeze()) == pytest.approx(want, rel=1e-9)
    assert float(got["area"].squeeze()) == pytest.approx(float(f.sum()) * 500e3**2, rel=1e-12)
    with pytest.raises(GridError, match="give land_fraction"):
        budgets(ds, "nee", Zones(weights=all_of_it))


def test_area_of_cells_that_meet_a_condition(world, zones):
    time = world.months("2001-01-01", 12)
    ds = world.dataset(time, nee=world.noisy(time))
    north = (ds["nee"].isel(time=0, drop=True) * 0 + ds["lat"]) > 70
    got = zone_area(north, zones, like=ds["nee"])
    want = world.GRID.row_area_m2[world.GRID.y > 70].sum() * 36
    np.testing.assert_allclose(got, [want, want], rtol=1e-12)


def test_three_spreads_are_three_numbers(world, zones):
    time = world.months("2001-01-01", 48)
    values = world.noisy(time)
    ds = world.dataset(time, nee=values)
    factors = np.array([0.8, 1.0, 1.3])
    members = ds.drop_vars("nee").assign(
        nee=(ds["nee"] * xr.DataArray(factors, dims="member")).assign_attrs(ds["nee"].attrs)
    )
    mean_map = period_mean(annual_sums(ds, "nee"))
    got = annual_statistics(
        regional_series(ds, "nee", zones), mean_map=mean_map, members=regional_series(members, "nee", zones)
    )
    yearly = numpy_budget(world, values, range(2001, 2005), zones.weights.values).sum(1)
    np.testing.assert_allclose(got["budget"], yearly.mean(0), rtol=1e-9)
    np.testing.assert_allclose(got["budget_sd_interannual"], yearly.std(0, ddof=1), rtol=1e-9)
    np.testing.assert_allclose(got["budget_sd_member"], abs(yearly.mean(0)) * factors.std(ddof=1), rtol=1e-9)
    shift = got["budget_member_mean_minus_central"]
    np.testing.assert_allclose(shift, yearly.mean(0) * (factors.mean() - 1), rtol=1e-9)
    w = zones.weights.values * world.GRID.cell_area().values
    for k in range(2):
        mean = np.average(mean_map, weights=w[k])
        sd = np.sqrt(np.average((mean_map.values - mean) ** 2, weights=w[k]))
        assert float(got["mean_sd_spatial"][k]) == pytest.approx(sd, rel=1e-9)
    xr.testing.assert_allclose(spatial_sd(mean_map, zones), got["mean_sd_spatial"])
    with pytest.raises(CoverageError, match="mean_map is of '2001-2002'"):
        annual_statistics(
            regional_series(ds, "nee", zones), mean_map=period_mean(annual_sums(ds, "nee"), (2001, 2002))
        )
    with pytest.raises(CoverageError, match="members: 2004 missing or incomplete"):
        annual_statistics(
            regional_series(ds, "nee", zones),
            members=regional_series(members.isel(time=slice(0, 40)), "nee", zones),
        )


def test_nee_beside_reco_minus_gpp(world, zones):
    time = world.months("2001-01-01", 24)
    nee, gpp = world.noisy(time), world.noisy(time, 2)
    off = 0.25e-9
    got = nee_consistency(world.dataset(time, nee=nee, gpp=gpp, reco=nee + gpp + off), zones)
    area = (zones.weights.values * world.GRID.cell_area().values).sum((1, 2))
    want = off * area * 365 * 86400 * 1e-9
    np.testing.assert_allclose(got["difference"], np.tile(want, (2, 1)), rtol=1e-9)
    np.testing.assert_allclose(got["map_difference"], off * 365 * 86400e3, rtol=1e-9)
    np.testing.assert_allclose(got["r"], 1.0, rtol=1e-12)
    assert int(got["cells_left_out"].sum()) == 0
    gpp[:, 0, 0] = np.nan
    got = nee_consistency(world.dataset(time, nee=nee, gpp=gpp, reco=nee + gpp), zones)
    assert got["cells_left_out"].values.tolist() == [1] * 24
    np.testing.assert_allclose(got["difference"], 0, atol=1e-9)


def test_map_correlation_is_the_weighted_one(world, zones):
    rng = np.random.default_rng(0)
    a, b = (
        world.GRID.wrap(rng.normal(size=world.GRID.shape), attrs={"area_basis": "land"}) for _ in range(2)
    )
    got = map_correlation(a, b, zones)
    w = zones.weights.values * world.GRID.cell_area().values
    for k in range(2):
        cov = np.cov(np.stack([a.values.ravel(), b.values.ravel()]), aweights=w[k].ravel())
        assert float(got[k]) == pytest.approx(cov[0, 1] / np.sqrt(cov[0, 0] * cov[1, 1]), rel=1e-9)


def test_what_is_not_said_is_refused(world):
    with pytest.raises(GridError, match="no 'region' dimension"):
        Zones(weights=world.halves().isel(region=0))
    with pytest.raises(CoverageError, match="expected mask error, flag, common"):
        Zones(weights=world.halves(), mask="ignore")
    with pytest.raises(CoverageError, match="min_coverage"):
        Zones(weights=world.halves(), min_coverage=0.0)
    bands = latitude_bands(EqualAreaGrid.epsg6931(500e3), (60, 90))
    time = world.months("2001-01-01", 12)
    with pytest.raises(GridError, match="needs y and x"):
        budgets(world.dataset(time, nee=np.ones(12)), "nee", Zones(weights=bands))
