"""Region means against loops, holes told, fire refused, memory bounded; approaches by regions against statsmodels."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.formula.api import ols

from talik.compare import (
    coefficients_of_variation,
    combine,
    kruskal_wallis,
    one_way_anova,
    region_means,
    site_region_means,
)
from talik.compare.regional import spatial_statistics
from talik.errors import CoverageError, FluxError, InputError, UnitsError
from talik.products import annual_sums

_spec = importlib.util.spec_from_file_location("compare_worlds", Path(__file__).with_name("worlds.py"))
worlds = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(worlds)
annual, halves, COARSE, FINE = worlds.annual, worlds.halves, worlds.COARSE, worlds.FINE


def field(grid, seed, years=2, mean=-20.0):
    return mean + 30.0 * np.random.default_rng(seed).normal(size=(years, *grid.shape))


def by_loop(values, weights, grid):
    """Mean, SD and share with data of each region, cell by cell."""
    out = {}
    areas = grid.row_area_m2
    for r, region in enumerate(weights["region"].values):
        total = held = first = 0.0
        chosen = []
        for j in range(grid.shape[0]):
            for i in range(grid.shape[1]):
                w = float(weights.values[r, j, i]) * areas[j]
                total += w
                if w and np.isfinite(values[j, i]):
                    held += w
                    first += w * values[j, i]
                    chosen.append((w, values[j, i]))
        mean = first / held
        square = sum(w * (v - mean) ** 2 for w, v in chosen) / held
        out[str(region)] = (mean, square**0.5, held / total, held)
    return out


@pytest.mark.parametrize("grid", [COARSE, FINE])
@pytest.mark.parametrize("chunks", [None, {"time": 7}])
def test_means_are_those_of_a_loop(grid, chunks):
    values = field(grid, 1)
    values[:, 2, 5:20] = np.nan
    ds = annual(values, grid, chunks=chunks)
    rows = region_means({"a": ds}, halves(grid), approach="ISIMIP")
    assert rows.attrs == {"units": "g m-2 year-1", "variable": "nee", "species": "C", "positive": "up"}
    assert list(rows["year"]) == [2001, 2001, 2002, 2002]
    for year in (2001, 2002):
        want = by_loop(values[year - 2001], halves(grid), grid)
        got = rows[rows["year"] == year].set_index("region")[["mean", "sd", "coverage", "area_m2"]]
        for region, numbers in want.items():
            np.testing.assert_allclose(got.loc[region].to_numpy(float), numbers, rtol=1e-9)


def test_a_small_spread_on_a_large_mean_keeps_its_digits():
    values = 1e6 + 1e-3 * np.random.default_rng(0).normal(size=(1, *COARSE.shape))
    got = region_means({"a": annual(values)}, halves(COARSE), approach="x")
    want = by_loop(values[0], halves(COARSE), COARSE)
    np.testing.assert_allclose(got["sd"], [want[r][1] for r in got["region"]], rtol=1e-3)


def test_statistics_of_lazy_fields_compute_nothing(computing_nothing):
    values = field(COARSE, 4)
    sums = annual_sums(annual(values, chunks={"time": 5}), "nee")
    with computing_nothing():
        lazy = spatial_statistics(sums, halves(COARSE), COARSE)
    plain = spatial_statistics(annual_sums(annual(values), "nee"), halves(COARSE), COARSE)
    for one, two in zip(lazy, plain, strict=True):
        np.testing.assert_allclose(one.values, two.values, rtol=1e-12)


def test_each_model_stands_on_its_own_grid_and_opens_in_its_turn():
    seen = []
    opened = []

    def weights(grid):
        seen.append(grid)
        return halves(grid)

    def opener(name, ds):
        def call():
            assert not opened, f"{name} was opened while {opened} was open"
            opened.append(name)
            out = ds.copy()
            out.set_close(opened.clear)
            return out

        return call

    models = {"a": annual(-10.0), "b": annual(-20.0, FINE), "c": annual(-30.0)}
    lazy = {n: opener(n, d) for n, d in models.items()}
    rows = region_means(lazy, weights, approach="CMIP6")
    assert seen == [COARSE, FINE]
    np.testing.assert_allclose(rows["mean"], [-10, -10, -20, -20, -30, -30], rtol=1e-9)
    np.testing.assert_allclose(rows["sd"], 0.0, atol=1e-6)
    pd.testing.assert_frame_equal(rows, region_means(models, halves_by_grid, approach="CMIP6"))


def halves_by_grid(grid):
    return halves(grid)


@settings(max_examples=12)
@given(
    south_first=st.booleans(),
    shift=st.integers(0, 71),
    chunk=st.sampled_from([None, 4, 24]),
    single=st.booleans(),
)
def test_storage_of_a_field_changes_no_number(south_first, shift, chunk, single):
    """Latitude order, where longitude starts, chunks and precision."""
    values = field(COARSE, 5)
    ds = annual(values)
    want = region_means({"a": ds}, halves(COARSE), approach="x")
    stored = ds.isel(lat=slice(None, None, 1 if south_first else -1)).roll(lon=shift, roll_coords=True)
    stored = stored.assign_coords(lon=stored["lon"] % 360.0).sortby("lon")
    stored = stored.astype(np.float32) if single else stored
    stored = stored.chunk({"time": chunk}) if chunk else stored
    stored = stored.assign_coords(time_bnds=ds["time_bnds"])
    got = region_means({"a": stored}, halves(COARSE), approach="x")
    pd.testing.assert_frame_equal(got, want, rtol=1e-5 if single else 1e-12)


def test_members_are_models_and_quantiles_are_refused():
    ds = annual([-10.0, -12.0])
    members = xr.concat([ds["nee"], 2.0 * ds["nee"]], dim=pd.Index(["r1", "r2"], name="member"))
    both = ds.assign(nee=members.assign_attrs(ds["nee"].attrs))
    rows = region_means({"m": both}, halves(COARSE), approach="x", years=(2002, 2002))
    assert list(rows["model"]) == ["m/r1", "m/r1", "m/r2", "m/r2"]
    np.testing.assert_allclose(rows["mean"], [-12, -12, -24, -24])
    with pytest.raises(
        FluxError, match="'nee' has dimension quantile; expected time, space, model and member"
    ):
        region_means(
            {"m": both.rename(member="quantile").assign_coords(quantile=[0.1, 0.9])},
            halves(COARSE),
            approach="x",
        )


def test_a_hole_is_no_number_and_years_that_are_absent_no_rows():
    values = field(COARSE, 3)
    values[0][:, COARSE.x < -40] = np.nan  # most of the west, in the first year
    rows = region_means({"a": annual(values)}, halves(COARSE), approach="x", years=(2001, 2010))
    assert sorted(set(rows["year"])) == [2001, 2002]
    west = rows[(rows["region"] == "west") & (rows["year"] == 2001)].iloc[0]
    assert np.isnan(west["mean"])
    assert np.isnan(west["sd"])
    assert west["coverage"] == pytest.approx(40 / 180)
    combined = combine(rows)
    assert combined.n_years.loc["west", "x"] == 1
    assert combined.n_years.loc["east", "x"] == 2
    nothing = region_means({"a": annual(np.full((1, *COARSE.shape), np.nan))}, halves(COARSE), approach="x")
    assert nothing["mean"].isna().all()
    assert (nothing["coverage"] == 0).all()
    with pytest.raises(InputError, match="no row has a mean"):
        combine(nothing)
    with pytest.raises(CoverageError, match=r"a: 'nee' has no whole year of 1990-1995; whole are 2001-2002"):
        region_means({"a": annual(values)}, halves(COARSE), approach="x", years=(1990, 1995))


def test_fire_is_refused():
    net = annual(-30.0, name="nbp", approach="inversion")
    with pytest.raises(FluxError, match=r"'nbp' holds fire and land use; the comparison is of NEE without"):
        region_means({"a": net}, halves(COARSE), approach="x", variable="nbp")
    with pytest.raises(FluxError, match=r"a: expected flux variable 'nee'; found nbp. Take fire out with"):
        region_means({"a": net}, halves(COARSE), approach="x")
    nee = annual(-30.0, approach="inversion")
    with pytest.raises(FluxError, match="NEE of an inversion without the attribute 'fire_removed'"):
        region_means({"a": nee}, halves(COARSE), approach="x")
    rows = region_means({"a": nee.assign_attrs(fire_removed="GFED4.1s")}, halves(COARSE), approach="x")
    np.testing.assert_allclose(rows["mean"], -30.0)


def site_table():
    rows = []
    for site, region, years, value in (
        ("a", "west", (2001, 2002, 2003), -1.0),
        ("b", "west", (2001,), -3.0),
        ("c", "east", (2002,), 1.0),
        ("d", None, (2002,), 5.0),
    ):
        rows += [(site, region, y, m, value * y / 2001) for y in years for m in range(1, 13)]
    rows += [("e", "east", 2001, m, -50.0) for m in (6, 7, 8)]  # summer alone is no year
    return pd.DataFrame(rows, columns=["site_id", "region", "year", "month", "nee"])


def test_sites_are_means_of_years_then_of_sites():
    got = site_region_means(site_table(), units="g m-2 month-1").set_index("region")
    a, b = -12.0 * 2002 / 2001, -36.0
    assert got.loc["west", "mean"] == pytest.approx((a + b) / 2)
    assert got.loc["west", "median"] == pytest.approx((a + b) / 2)
    assert got.loc["west", "sd"] == pytest.approx(abs(a - b) / 2**0.5)
    assert got.loc["west", ["n_sites", "n_site_years"]].tolist() == [2, 4]
    assert got.loc["east", "n_sites"] == 1
    assert np.isnan(got.loc["east", "sd"])
    assert got.attrs["site_years_without_region"] == 1
    only = site_region_means(site_table(), units="g m-2 month-1", years=(2002, 2002)).set_index("region")
    assert only.loc["west", "n_sites"] == 1
    few = site_region_means(site_table(), units="g m-2 month-1", min_sites=2)
    assert few["region"].tolist() == ["west"]
    with pytest.raises(
        InputError, match="no site in a region has twelve months of 'nee' in one year in 1990-"
    ):
        site_region_means(site_table(), units="g m-2 month-1", years=(1990, 1991))
    with pytest.raises(UnitsError, match="expected units 'g m-2 month-1'; found 'umol m-2 s-1'"):
        site_region_means(site_table(), units="umol m-2 s-1")
    with pytest.raises(InputError, match="no column 'region'"):
        site_region_means(site_table().drop(columns="region"), units="g m-2 month-1")


def test_approaches_weigh_alike_however_many_models_and_years():
    a = region_means({"m1": annual([-10.0, -20.0, -60.0]), "m2": annual(-30.0)}, halves(COARSE), approach="A")
    b = region_means({"only": annual(0.0, FINE)}, halves(FINE), approach="B")
    sites = site_region_means(site_table(), units="g m-2 month-1")
    found = combine(pd.concat([a, b, sites]), regions=["east", "west"])
    assert list(found.mean.columns) == ["A", "B", "insitu"]
    assert list(found.mean.index) == ["east", "west"]
    np.testing.assert_allclose(found.mean["A"], (-30.0 - 30.0) / 2)
    assert found.n_models["A"].tolist() == [2, 2]
    assert found.n_years.loc["east", "A"] == 2.0
    assert np.isnan(found.n_years.loc["east", "insitu"])
    east = [-30.0, 0.0, 12.0 * 2002 / 2001]
    row = found.regions.loc["east"]
    np.testing.assert_allclose(
        row[["mean", "median", "low", "high", "range", "sd", "n"]].to_numpy(float),
        [np.mean(east), 0.0, -30.0, east[2], east[2] + 30.0, np.std(east, ddof=1), 3],
        atol=1e-9,
    )
    with pytest.raises(InputError, match="A, m1, 2001, west stands twice"):
        combine(pd.concat([a, a]))
    with pytest.raises(InputError, match="columns region missing"):
        combine(a.drop(columns="region"))


def published_shape(seed):
    """Eight regions, five approaches, one cell missing."""
    values = np.random.default_rng(seed).normal(size=(8, 5)) * 20 - np.arange(8)[:, None] * 6
    values[2, 4] = np.nan
    return pd.DataFrame(values, index=[f"r{i}" for i in range(8)], columns=list("ABCDE"))


@given(seed=st.integers(0, 10_000))
def test_analysis_of_variance_is_that_of_statsmodels_with_the_published_degrees_of_freedom(seed):
    table = published_shape(seed)
    found = one_way_anova(table)
    assert (found.df_between, found.df_within) == (7, 31)  # F(7, 31), inventory.md section 10
    groups = [r.dropna().to_numpy() for _, r in table.iterrows()]
    want = stats.f_oneway(*groups)
    np.testing.assert_allclose([found.f, found.p], [want.statistic, want.pvalue], rtol=1e-8)
    ranks = kruskal_wallis(table)
    want = stats.kruskal(*groups)
    np.testing.assert_allclose([ranks.h, ranks.p, ranks.df], [want.statistic, want.pvalue, 7])


def test_eta_squared_against_statsmodels():
    table = published_shape(1)
    long = table.stack().rename("nee").rename_axis(["region", "approach"]).reset_index()
    anova = sm.stats.anova_lm(ols("nee ~ C(region)", long).fit())
    found = one_way_anova(table)
    assert found.f == pytest.approx(anova["F"].iloc[0], rel=1e-9)
    assert found.eta_squared == pytest.approx(anova["sum_sq"].iloc[0] / anova["sum_sq"].sum(), rel=1e-9)
    assert anova["df"].tolist() == [7, 31]


def test_each_approach_is_left_out_in_turn():
    table = published_shape(2)
    rows = table.stack().rename("mean").rename_axis(["region", "approach"]).reset_index()
    rows = rows.assign(model="m", year=2001, sd=1.0)
    found = combine(rows, regions=list(table.index))
    assert found.without["left_out"].tolist() == list("ABCDE")
    for row in found.without.itertuples():
        rest = table.drop(columns=row.left_out)
        assert row.f == pytest.approx(one_way_anova(rest).f)
        assert row.df_within == (24 if row.left_out == "E" else 23)
        moved = rest.median(axis=1) - table.median(axis=1)
        assert row.shifted == moved.abs().idxmax()
        assert row.shift == pytest.approx(moved[row.shifted])


def test_too_little_for_a_test_is_none_or_an_error():
    one = pd.DataFrame({"A": [1.0, 2.0], "B": [np.nan, np.nan]})
    with pytest.raises(CoverageError, match="found 2 regions with 2 values"):
        one_way_anova(one)
    with pytest.raises(CoverageError, match="found 2 regions with 1 different values"):
        kruskal_wallis(pd.DataFrame({"A": [1.0, 1.0], "B": [1.0, 1.0]}))
    rows = pd.DataFrame(
        {"approach": "A", "model": "m", "year": 1, "region": ["x", "y"], "mean": [1.0, 2.0], "sd": 0.0}
    )
    found = combine(rows)
    assert found.anova is None
    assert found.kruskal is None
    assert found.regions["range"].isna().all()
    assert found.without.empty
    identical = one_way_anova(pd.DataFrame({"A": [1.0, 2.0], "B": [1.0, 2.0]}))
    assert identical.f == np.inf
    assert identical.p == 0.0


def test_coefficient_of_variation_of_methane_data_sets():
    """Two equal data sets and one apart, by hand; a region of one data set has none."""
    table = pd.DataFrame(
        {
            "chambers": [4.0, 10.0, 3.0, -1.0],
            "more chambers": [4.0, 14.0, np.nan, 0.5],
            "towers": [7.0, 12.0, np.nan, 0.0],
        },
        index=list("wxyz"),
    )
    found = coefficients_of_variation(table)
    np.testing.assert_allclose(found.loc["w", ["cv", "sd"]].to_numpy(float), [3**0.5 / 5, 3**0.5])
    np.testing.assert_allclose(found.loc["x", "cv"], 2 / 12)
    assert found.loc["y", "n"] == 1
    assert found.loc[["y", "z"], "cv"].isna().all()
    assert found.attrs["mean_cv"] == pytest.approx((3**0.5 / 5 + 1 / 6) / 2)


def test_a_group_counts_once_however_many_models_it_submits():
    rows = pd.DataFrame(
        {
            "approach": "models",
            "model": ["A", "B1", "B2"],
            "group": ["A", "B", "B"],
            "year": 2001,
            "region": "x",
            "mean": [-30.0, -10.0, -30.0],
            "sd": [1.0, 2.0, 4.0],
        }
    )
    found = combine(rows)
    assert found.mean.loc["x", "models"] == pytest.approx(-25.0)
    assert found.sd.loc["x", "models"] == pytest.approx(2.0)
    assert found.n_models.loc["x", "models"] == 3
    assert combine(rows.drop(columns="group")).mean.loc["x", "models"] == pytest.approx(-70.0 / 3.0)
