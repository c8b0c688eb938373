"""Sums over years and seasons: true month lengths, calendars, gaps, identities, laziness."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from talik.errors import ConfigError, CoverageError, FluxError, UnitsError
from talik.flux import make_flux_dataset
from talik.products import SEASONS, Season, annual_sums, period_mean, seasonal_sums, step_amounts

SUM_TO_ONE = ("JJA", "SepMay")


@pytest.mark.parametrize(("calendar", "leap"), [("standard", True), ("noleap", False)])
def test_annual_sum_uses_true_month_lengths(world, calendar, leap):
    time = world.months("2003-01-01", 36, calendar)
    values = world.noisy(time)
    got = annual_sums(world.dataset(time, nee=values), "nee")
    lengths = world.seconds(range(2003, 2006), leap)
    want = (values.reshape(3, 12, *world.GRID.shape) * lengths[:, :, None, None]).sum(1) * 1e3
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-15)
    assert got["year"].values.tolist() == [2003, 2004, 2005]
    assert got["complete"].all()
    assert got.attrs["units"] == "g m-2 year-1"
    assert got.attrs["species"] == "C"
    one = annual_sums(world.dataset(time, nee=np.full(36, 1e-9)), "nee")[:, 0, 0]
    np.testing.assert_allclose(one / 86400e-6, [365, 366 if leap else 365, 365], rtol=1e-12)


def test_every_calendar_has_its_own_year(world):
    time = world.months("2004-01-01", 12, "360_day")
    got = annual_sums(world.dataset(time, nee=np.full(12, 1e-9)), "nee")
    np.testing.assert_allclose(got / 86400e-6, 360, rtol=1e-12)


@given(st.integers(1, 10**6), st.integers(0, 11), st.integers(12, 40))
@settings(max_examples=12, deadline=None)
def test_seasons_tile_the_year(world, seed, start, n):
    time = world.months(f"2003-{start + 1:02d}-01", n)
    ds = world.dataset(time, nee=world.noisy(time, seed))
    annual = annual_sums(ds, "nee")
    parts = [seasonal_sums(ds, "nee", s) for s in SUM_TO_ONE]
    np.testing.assert_allclose(parts[0].values + parts[1].values, annual, rtol=1e-12, atol=1e-12)
    months = sum(seasonal_sums(ds, "nee", m).values for m in list(SEASONS)[-12:])
    np.testing.assert_allclose(months, annual, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(annual.isnull().all(["lat", "lon"]), ~annual["complete"])


@pytest.mark.parametrize(
    ("name", "first", "months"),
    [
        ("DJF", (2002, 12), 3),
        ("MAM", (2003, 3), 3),
        ("SON", (2003, 9), 3),
        ("growing", (2003, 5), 5),
        ("nongrowing", (2002, 10), 7),
        ("autumn_shoulder", (2003, 9), 3),
        ("spring_shoulder", (2003, 4), 2),
        ("JJA", (2003, 6), 3),
    ],
)
def test_seasons_are_the_right_months_of_the_right_year(world, name, first, months):
    """The flux is the number of the month since 2002: a sum says which months went in."""
    time = world.months("2002-01-01", 36)
    number = np.arange(36.0)
    got = seasonal_sums(world.dataset(time, nee=number * 1e-9), "nee", name).sel(year=2003)[0, 0]
    at = (first[0] - 2002) * 12 + first[1] - 1
    lengths = world.seconds(range(2002, 2005)).ravel()
    want = (number * lengths)[at : at + months].sum() * 1e-6
    assert float(got) == pytest.approx(want, rel=1e-12)


def test_first_winter_is_not_whole(world):
    ds = world.dataset(world.months("2001-01-01", 36), nee=np.ones(36) * 1e-9)
    winter = seasonal_sums(ds, "nee", "DJF")
    assert winter["complete"].values.tolist() == [False, True, True]
    assert winter.isel(year=0).isnull().all()
    assert seasonal_sums(ds, "nee", "DJF", incomplete="drop")["year"].values.tolist() == [2002, 2003]
    with pytest.raises(CoverageError, match=r"'nee' DJF 2001: no data for Dec 2000"):
        seasonal_sums(ds, "nee", "DJF", incomplete="error")
    mean = period_mean(winter)
    assert (mean.attrs["period"], mean.attrs["n_years"]) == ("2002-2003", 2)
    with pytest.raises(CoverageError, match=r"every year of 2001-2003; 2001 missing or incomplete"):
        period_mean(winter, (2001, 2003))


def test_a_gap_in_time_is_named_and_never_filled(world):
    time = world.months("2001-01-01", 24)
    whole = world.dataset(time, nee=np.ones(24) * 1e-9)
    gap = whole.isel(time=[k for k in range(24) if k not in (3, 17)])
    assert annual_sums(gap, "nee").isnull().all()
    with pytest.raises(CoverageError, match=r"2001: no data for Apr 2001 \(2 of 2 years"):
        annual_sums(gap, "nee", incomplete="error")
    with pytest.raises(CoverageError, match="none of the 2 years is complete"):
        annual_sums(gap, "nee", incomplete="drop")


def test_a_hole_in_one_step_is_a_hole_in_the_sum(world):
    time = world.months("2001-01-01", 24)
    values = world.noisy(time)
    values[5, 2, 3] = np.nan
    got = annual_sums(world.dataset(time, nee=values), "nee")
    assert int(got.isnull().sum()) == 1
    assert np.isnan(got[0, 2, 3])
    assert np.isnan(period_mean(got)[2, 3])


def test_daily_annual_and_crossing_steps(world):
    days = xr.date_range("2004-01-01", periods=366, freq="D")
    rate = xr.DataArray(np.ones(366) * 1e-9, dims="time", coords={"time": days}, attrs=world.UNITS)
    edges = np.stack([days.values, days.values + np.timedelta64(1, "D")], axis=1)
    bounds = xr.DataArray(edges, dims=("time", "bnds"), coords={"time": days})
    made = {"approach": "process", "source": "days", "coverage": 1.0}
    ds = make_flux_dataset({"nee": rate.expand_dims(site=["a"])}, time_bounds=bounds, **made)
    np.testing.assert_allclose(annual_sums(ds, "nee") / 86400e-6, 366, rtol=1e-12)
    np.testing.assert_allclose(seasonal_sums(ds, "nee", "JJA") / 86400e-6, 92, rtol=1e-12)
    years = xr.date_range("2003-07-01", periods=3, freq="12MS")
    rate = xr.DataArray(np.ones(3) * 1e-9, dims="time", coords={"time": years}, attrs=world.UNITS)
    ds = make_flux_dataset({"nee": rate.expand_dims(site=["a"])}, **made)
    np.testing.assert_allclose(annual_sums(ds, "nee").squeeze() / 86400e-6, [365, 366, 365], rtol=1e-12)
    assert seasonal_sums(ds, "nee", "JJA").isnull().all()
    with pytest.raises(CoverageError, match="steps cross its edges"):
        seasonal_sums(ds, "nee", "JJA", incomplete="error")


def test_stamps_may_lie_at_the_end_of_their_step(world):
    time = world.months("2001-01-01", 24)
    ds = world.dataset(time, nee=world.noisy(time))
    late = ds.assign_coords(time=ds["time_bnds"][:, 1].values)
    late["time"].attrs = ds["time"].attrs
    late = late.assign_coords(time_bnds=(("time", "bnds"), ds["time_bnds"].values))
    xr.testing.assert_identical(annual_sums(ds, "nee"), annual_sums(late, "nee"))


def test_dask_stays_lazy_and_agrees(world, computing_nothing):
    time = world.months("2001-01-01", 30)
    ds = world.dataset(time, nee=world.noisy(time))
    lazy_flux = ds.assign(nee=ds["nee"].chunk(time=5, lat=4, lon=9))
    for make in (annual_sums, lambda d, v: period_mean(annual_sums(d, v)), step_amounts):
        with computing_nothing():
            assert make(lazy_flux, "nee").chunks is not None
        got, want = make(ds.chunk(time=7, lat=3), "nee"), make(ds, "nee")
        xr.testing.assert_allclose(got.compute(), want, rtol=1e-13)


def test_float32_is_summed_in_float64(world):
    ds = world.dataset(world.months("2001-01-01", 12), nee=np.ones(12) * 1e-9)
    got = annual_sums(ds.assign(nee=ds["nee"].astype("f4")), "nee")
    assert got.dtype == np.float64


def test_a_season_of_your_own():
    mine = Season("snow", (1, 2, 3, 4, 5), (11, 12))
    assert len(mine.serials(2001)) == 7
    for months, previous in (((), (12,)), ((13,), ()), ((1, 1), ()), ((1,), (1,))):
        with pytest.raises(ConfigError, match="expected each month once"):
            Season("bad", months, previous)


def test_what_is_wrong_is_said(world):
    ds = world.dataset(world.months("2001-01-01", 12), nee=np.ones(12) * 1e-9)
    with pytest.raises(ConfigError, match="season 'summer' is unknown; choose one of: annual, JJA"):
        seasonal_sums(ds, "nee", "summer")
    with pytest.raises(FluxError, match="expected flux variable 'gpp'; found nee"):
        annual_sums(ds, "gpp")
    with pytest.raises(UnitsError, match="has no units"):
        annual_sums(ds.assign(nee=ds["nee"].drop_attrs()), "nee")
    with pytest.raises(FluxError, match="expected time bounds"):
        annual_sums(ds.drop_vars("time_bnds"), "nee")
    with pytest.raises(CoverageError, match="incomplete 'nan', 'drop' or 'error'"):
        annual_sums(ds, "nee", incomplete="fill")
    assert step_amounts(ds, "nee").attrs["units"] == "g m-2"
