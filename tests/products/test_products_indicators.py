"""Ratio, shares, shift, amplitude, fire and the summary in worlds where they are known; in-situ means."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import theilslopes

from talik.errors import CoverageError, FluxError, InputError, UnitsError
from talik.flux import make_flux_dataset
from talik.products import (
    Zones,
    amplitude_change,
    annual_sums,
    burned_share,
    decadal_shift,
    domain_of,
    fire_series,
    fire_shares,
    period_mean,
    regional_series,
    site_means,
    site_years,
    source_fraction,
    summarise,
    summary_by_group,
    trend_sites,
    uptake_ratio,
    with_fire,
)
from talik.regions import LatLonGrid

SUMMER = np.isin(np.arange(12), (5, 6, 7))


@pytest.fixture
def zones(world):
    return Zones(weights=world.halves())


def amounts(world, grams: np.ndarray, years: range) -> np.ndarray:
    """Rates in kg m-2 s-1 whose monthly amounts are `grams` (years x 12), g m-2."""
    return (grams / world.seconds(years) * 1e-3).ravel()


def cycle(world, years, uptake, emission):
    """JJA takes up `uptake` a year, the rest emits `emission`, g m-2 year-1."""
    grams = np.where(SUMMER, -uptake / 3, emission / 9) * np.ones((len(years), 1))
    return amounts(world, grams, years)


def test_ratio_of_uptake_to_emission(world, zones):
    years = range(2001, 2005)
    ds = world.dataset(world.months("2001-01-01", 48), nee=cycle(world, years, 140.0, 100.0))
    got = uptake_ratio(regional_series(ds, "nee", zones))
    np.testing.assert_allclose(got["ratio"], 1.4, rtol=1e-12)
    area = (zones.weights * world.GRID.cell_area()).sum(["lat", "lon"])
    np.testing.assert_allclose(got["uptake"], 140 * area * 1e-12, rtol=1e-12)
    assert got.attrs["period"] == "2001-2004"
    other = world.dataset(world.months("2001-01-01", 48), nee=cycle(world, years, -5.0, 100.0))
    assert uptake_ratio(regional_series(other, "nee", zones))["ratio"].isnull().all()
    gross = world.dataset(world.months("2001-01-01", 48), gpp=cycle(world, years, 140.0, 100.0))
    with pytest.raises(FluxError, match="'gpp' is positive into the land"):
        uptake_ratio(regional_series(gross, "gpp", zones))


def test_share_of_sources_is_exact(world, zones):
    years = range(2001, 2003)
    time = world.months("2001-01-01", 24)
    sign = np.where(np.arange(world.GRID.shape[1]) % 4 == 0, 1.0, -1.0)
    values = np.broadcast_to(np.ones((24, *world.GRID.shape)) * 1e-9 * sign, (24, *world.GRID.shape))
    ds = world.dataset(time, nee=values)
    mean = period_mean(annual_sums(ds, "nee"))
    got = source_fraction(mean, zones)
    np.testing.assert_allclose(got["source_fraction"], 0.25, rtol=1e-12)
    year = world.seconds(years).sum() / 2 * 1e-6
    np.testing.assert_allclose(got["largest"], year, rtol=1e-9)
    np.testing.assert_allclose(got["smallest"], -year, rtol=1e-9)
    holed = mean.where(world.GRID.wrap(np.broadcast_to(sign > 0, world.GRID.shape)))
    np.testing.assert_allclose(source_fraction(holed.assign_attrs(mean.attrs), zones)["source_fraction"], 1.0)


def test_decadal_shift_by_month(world, zones):
    years = range(2001, 2021)
    grams = np.zeros((20, 12))
    grams[10:, 6] = -5.0
    grams[10:, 0] = 0.5
    ds = world.dataset(world.months("2001-01-01", 240), nee=amounts(world, grams, years))
    got = decadal_shift(regional_series(ds, "nee", zones))
    want = np.zeros(12)
    want[6], want[0] = -5.0, 0.5
    np.testing.assert_allclose(got, np.repeat(want[:, None], 2, axis=1), rtol=1e-9, atol=1e-12)
    assert got.attrs["units"] == "g m-2 month-1"
    with pytest.raises(CoverageError, match=r"expected every year of 2011-2020; 2016, .* missing"):
        decadal_shift(regional_series(ds.isel(time=slice(0, 180)), "nee", zones))


def test_amplitude_change_of_a_straight_and_of_a_noisy_line(world, zones):
    years = range(2001, 2021)
    grams = np.where(SUMMER, -1.0, 0.0) * (40.0 + 10.0 * np.arange(20) / 19)[:, None]
    ds = world.dataset(world.months("2001-01-01", 240), nee=amounts(world, grams, years))
    got = amplitude_change(regional_series(ds, "nee", zones))
    np.testing.assert_allclose(got["change"], 25.0, rtol=1e-9)
    np.testing.assert_allclose(got["fitted_first"], 40.0, rtol=1e-9)
    noise = np.random.default_rng(1).normal(size=20)
    ds = world.dataset(
        world.months("2001-01-01", 240), nee=amounts(world, grams + SUMMER * noise[:, None], years)
    )
    got = amplitude_change(regional_series(ds, "nee", zones))
    amplitude = got["amplitude"].values[:, 0]
    line = theilslopes(amplitude, np.arange(20.0), method="joint")
    assert float(got["change"][0]) == pytest.approx(100 * line[0] * 19 / line[1], rel=1e-9)
    with pytest.raises(CoverageError, match="at least 3 complete years; found 2"):
        amplitude_change(regional_series(ds.isel(time=slice(0, 24)), "nee", zones))


def fires(world, grid, first="2002-01-01", n=36, value=2e-10):
    time = world.months(first, n)
    rate = np.broadcast_to(np.linspace(0.5, 1.5, n)[:, None, None] * value, (n, *grid.shape))
    data = world.field(rate, time, grid)
    return make_flux_dataset({"fFire": data}, approach="inventory", source="fires", coverage=1.0)


@pytest.mark.parametrize("step", [5.0, 2.5, 10.0])
def test_nee_and_fire_are_averaged_over_the_years_both_have(world, zones, step):
    """Fire starts a year later; the mean of the sum is over the common years, not -a + b over different ones."""
    grid = LatLonGrid.regular(step, lat=(50, 90))
    ds = world.dataset(world.months("2001-01-01", 48), nee=world.noisy(world.months("2001-01-01", 48)))
    fire = fires(world, grid)
    nee, burned = regional_series(ds, "nee", zones), fire_series(fire, domain_of(ds, "nee"), zones)
    both = with_fire(nee, burned)
    assert (both.attrs["period"], both.attrs["nee_years"], both.attrs["fire_years"]) == (
        "2002-2004",
        "2001-2004",
        "2002-2004",
    )
    area = (zones.weights * world.GRID.cell_area()).sum(["lat", "lon"]).values
    rate = np.linspace(0.5, 1.5, 36).reshape(3, 12) * 2e-10
    want = (rate * world.seconds(range(2002, 2005))).sum(1)[:, None] * area * 1e-9
    np.testing.assert_allclose(both["fire"], want, rtol=1e-9)
    np.testing.assert_allclose(both["nee_fire"], both["nee"] + both["fire"], rtol=1e-12)
    alone = nee.budgets()["budget"].squeeze("season")
    np.testing.assert_allclose(both["nee"], alone.sel(year=slice(2002, None)), rtol=1e-12)
    assert not np.allclose(both["nee_fire"].mean("year"), alone.mean("year") + both["fire"].mean("year"))
    with pytest.raises(CoverageError, match="2001 not in both, common are 2002-2004"):
        with_fire(nee, burned, years=(2001, 2004))


def test_fire_outside_the_domain_of_nee_does_not_count(world, zones):
    time = world.months("2002-01-01", 12)
    values = world.noisy(time)
    values[:, :, 40:] = np.nan
    ds = world.dataset(time, nee=values)
    zones = Zones(weights=zones.weights, min_coverage=0.05)
    nee = regional_series(ds, "nee", zones)
    got = with_fire(nee, fire_series(fires(world, world.GRID, n=12), domain_of(ds, "nee"), zones))
    np.testing.assert_allclose(got["coverage"], got["fire_coverage"], rtol=1e-12)
    fire = fires(world, world.GRID, n=12)
    fire = fire.assign(fFire=fire["fFire"].where(fire["fFire"].lat < 70))
    with pytest.raises(CoverageError, match="fire data are missing where NEE has data in west, east"):
        with_fire(nee, fire_series(fire, domain_of(ds, "nee"), zones))
    late = fire_series(fires(world, world.GRID, "2010-01-01", 12), domain_of(ds, "nee"), zones)
    with pytest.raises(CoverageError, match="no year in common"):
        with_fire(nee, late)
    with pytest.raises(FluxError, match="expected a fire dataset with 'fFire'"):
        fire_series(ds, domain_of(ds, "nee"), zones)


def test_mass_of_fire_is_kept_on_the_way_to_another_grid(world):
    """Uneven fires on a fine grid; zones that hold whole cells of both grids: the mass is that of the fine grid."""
    fine = LatLonGrid.regular(2.5, lat=(50, 90))
    time = world.months("2002-01-01", 12)
    rate = np.random.default_rng(5).uniform(0, 1e-9, (12, *fine.shape))
    fire = make_flux_dataset(
        {"fFire": world.field(rate, time, fine)}, approach="inventory", source="fires", coverage=1.0
    )
    ds = world.dataset(time, nee=world.noisy(time))
    zones = Zones(weights=world.halves())
    got = fire_series(fire, domain_of(ds, "nee"), zones).budgets()["budget"].squeeze()
    mass = np.einsum("tij,ij->tj", rate, fine.cell_area().values) * 1e-9
    mass = (mass * world.seconds([2002])[0][:, None]).sum(0)
    np.testing.assert_allclose(got, [mass[fine.x < 0].sum(), mass[fine.x > 0].sum()], rtol=1e-9)


def test_fire_shares(world, zones):
    years = range(2002, 2004)
    time = world.months("2002-01-01", 24)
    ds = world.dataset(time, nee=np.full(24, -4e-10), reco=np.full(24, 8e-9))
    fire = fires(world, world.GRID, n=24)
    fire = fire.assign(fFire=(fire["fFire"] * 0 + 1e-10).assign_attrs(fire["fFire"].attrs))
    nee = regional_series(ds, "nee", zones)
    both = with_fire(nee, fire_series(fire, domain_of(ds, "nee"), zones))
    got = fire_shares(both, regional_series(ds, "reco", zones))
    np.testing.assert_allclose(got["of_uptake"], 0.25, rtol=1e-9)
    np.testing.assert_allclose(got["of_reco"], 1 / 80, rtol=1e-9)
    assert len(years) == got.attrs["n_years"]


def test_burned_ground_counts_once(world, zones):
    time = world.months("2001-01-01", 3)
    values = np.zeros((3, *world.GRID.shape))
    values[:, :, :36] = np.array([0.5, 0.4, 0.3])[:, None, None]
    values[1, :, 36:] = 0.1
    burned = world.field(values, time).assign_attrs(units="1", area_basis="land")
    got = burned_share(burned, zones)
    np.testing.assert_allclose(got["once"], [1.0, 0.1], rtol=1e-12)
    np.testing.assert_allclose(got["least"], [0.5, 0.1], rtol=1e-12)
    with pytest.raises(CoverageError, match=r"fractions of the cell in 0\.\.1; found 0\.\.50"):
        burned_share(burned * 100, zones)


def test_summary_holds_every_number_and_writes_json(world, zones):
    years = range(2001, 2021)
    time = world.months("2001-01-01", 240)
    nee = cycle(world, years, 140.0, 100.0)
    ds = world.dataset(time, nee=nee, gpp=np.full(240, 2e-8), reco=np.full(240, 2e-8) + nee)
    members = ds.drop_vars(["gpp", "reco"]).assign(
        nee=(ds["nee"] * xr.DataArray([0.9, 1.1], dims="member")).assign_attrs(ds["nee"].attrs)
    )
    got = summarise(ds, zones, fire=fires(world, world.GRID), members=members)
    area = float((zones.weights * world.GRID.cell_area()).sum(["lat", "lon"])[0])
    assert got.value("budget", "west", variable="nee", season="annual") == pytest.approx(
        -40 * area * 1e-12, rel=1e-9
    )
    assert got.value("mean_flux", "east", variable="nee", season="JJA") == pytest.approx(-140, rel=1e-9)
    assert got.value("uptake_ratio", "west") == pytest.approx(1.4, rel=1e-9)
    assert got.value("implied_nee", "west") == pytest.approx(-40 * area * 1e-12, rel=1e-6)
    assert got.value("source_fraction", "west") == 0.0
    assert got.value("amplitude_change", "west") == pytest.approx(0.0, abs=1e-6)
    assert got.value("decadal_shift", "west", season="Jul") == pytest.approx(0.0, abs=1e-9)
    table = got.table
    fire = table[table.quantity == "nee_plus_fire"]
    assert set(fire.period) == {"2002-2004"}
    annual = table[(table.quantity == "budget") & (table.variable == "nee") & (table.season == "annual")]
    assert annual.sd_member.iloc[0] == pytest.approx(40 * area * 1e-12 * np.std([0.9, 1.1], ddof=1), rel=1e-9)
    assert set(table[table.season == "DJF"].period) == {"2002-2020"}
    total = table[
        (table.variable == "gpp") & table.season.isin(["JJA", "SepMay"]) & (table.quantity == "budget")
    ]
    assert total.groupby("region").value.sum().iloc[0] == pytest.approx(
        got.value("budget", "east", variable="gpp", season="annual"), rel=1e-9
    )
    assert table[table.quantity.isin(["budget", "uptake_ratio", "source_fraction"])].coverage.notna().all()
    text = json.dumps(got.as_dict(), allow_nan=False)
    assert json.loads(text)["rows"][0]["quantity"] == "budget"
    assert got.notes == ()
    with pytest.raises(CoverageError, match="expected one row; found"):
        got.value("budget", "west")


def test_summary_says_what_it_left_out(world):
    ds = world.dataset(world.months("2001-01-01", 24), nee=world.noisy(world.months("2001-01-01", 24)))
    got = summarise(ds, world.halves())
    assert any(
        n.startswith("decadal_shift left out: 'nee': expected every year of 2001-2010") for n in got.notes
    )
    assert any(n.startswith("amplitude_change left out") for n in got.notes)
    assert "decadal_shift" not in set(got.table.quantity)
    with pytest.raises(FluxError, match="expected a flux dataset"):
        summarise(ds.drop_vars("nee"), world.halves())
    two = ds.expand_dims(model=["a", "b"])
    two["time_bnds"] = ds["time_bnds"]
    with pytest.raises(FluxError, match="summary is of one product"):
        summarise(two, world.halves())


# ---- sites


def towers():
    rows = [
        {"site_id": s, "year": y, "month": m, "nee": v, "biome": b}
        for s, b, values in (
            ("a", "Boreal", {2001: -2.0, 2002: -4.0}),
            ("b", "Boreal", {2001: 1.0}),
            ("c", "Tundra", {2001: -1.0}),
        )
        for y, v in values.items()
        for m in range(1, 13)
    ]
    return pd.DataFrame(rows)


def test_only_whole_years_count():
    table = towers()
    annual = site_years(table, units="g m-2 month-1", keep=["biome"])
    assert annual[["site_id", "year", "nee"]].values.tolist() == [
        ["a", 2001, -24.0],
        ["a", 2002, -48.0],
        ["b", 2001, 12.0],
        ["c", 2001, -12.0],
    ]
    means = site_means(annual)
    assert means["nee"].tolist() == [-36.0, 12.0, -12.0]
    got = summary_by_group(means, by="biome").set_index("group")
    assert got.loc["all", "mean"] == -12.0
    assert got.loc["all", "sd"] == pytest.approx(24.0)
    assert got.loc["all", "n_site_years"] == 4
    assert got.loc["Boreal", "source_share"] == 0.5
    assert got.loc["Boreal", "share_of_sources"] == 1.0
    assert np.isnan(got.loc["Tundra", "sd"])
    table.loc[3, "nee"] = np.nan
    assert len(site_years(table, units="g m-2 month-1")) == 3
    assert trend_sites(annual, more_than=1)["site_id"].tolist() == ["a"]
    assert trend_sites(annual).empty


def test_site_tables_that_cannot_be_summed():
    table = towers()
    with pytest.raises(UnitsError, match="found 'g m-2 d-1'"):
        site_years(table, units="g m-2 d-1")
    with pytest.raises(InputError, match="a has two rows for 2001-01"):
        site_years(pd.concat([table, table.head(1)]), units="g m-2 month-1")
    with pytest.raises(InputError, match="columns gpp missing"):
        site_years(table, "gpp", units="g m-2 month-1")
    with pytest.raises(InputError, match=r"expected months 1..12; found \[13\]"):
        site_years(table.assign(month=table["month"] + 1), units="g m-2 month-1")
    with pytest.raises(InputError, match=r"Pass keep=\['biome'\]"):
        summary_by_group(site_means(site_years(table, units="g m-2 month-1")), by="biome")
