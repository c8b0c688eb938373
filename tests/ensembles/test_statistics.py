"""Ensemble statistics against scipy, counting by hand and slow re-computation; what is absent stays absent."""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from talik.ensembles.derived import annual, joined, period_values
from talik.ensembles.members import Member, members_of
from talik.ensembles.spread import box, limits, mann_whitney, outliers
from talik.ensembles.statistics import summarise_members
from talik.errors import ConfigError, CoverageError, InputError, UnitsError

FLUXES = {"gpp": 10.0, "npp": 5.0, "rh": 4.0, "nbp": 0.5, "cSoil": 300.0, "cLitter": 20.0}
UNITS = {"cSoil": "Pg", "cLitter": "Pg", "cLand": "Pg", "cVeg": "Pg", "cProduct": "Pg", "tas": "K"}


def rows(model, variable, values, *, first=1980, region="North", scenario="historical", units=None):
    """A run's annual values of one variable as rows of a member table."""
    values = np.atleast_1d(np.asarray(values, float))
    return pd.DataFrame(
        {
            "model": model,
            "region": region,
            "scenario": scenario,
            "year": first + np.arange(len(values)),
            "variable": variable,
            "value": values,
            "units": units or UNITS.get(variable, "Pg year-1"),
        }
    )


def described(models, **columns):
    """A table of members, each its own family and group, bulk and without fire unless said."""
    table = pd.DataFrame({"model": list(models)})
    defaults = {
        "family": table["model"],
        "group": table["model"],
        "project": "made",
        "layered": False,
        "fire": False,
    }
    for name, value in (defaults | columns).items():
        table[name] = list(value) if isinstance(value, (list, tuple, pd.Series)) else value
    return table


def ensemble(n=6, years=20, *, seed=1, scenario="historical", first=1980):
    """n models with every flux and store; returns the table and the values by (model, variable)."""
    rng = np.random.default_rng(seed)
    held = {
        (f"M{k}", name): size * rng.uniform(0.8, 1.2) * (1 + 0.02 * rng.standard_normal(years))
        for k in range(n)
        for name, size in FLUXES.items()
    }
    table = pd.concat(
        [rows(m, v, y, scenario=scenario, first=first) for (m, v), y in held.items()], ignore_index=True
    )
    return table, held


def one(table, **where):
    """The only row that fits."""
    for key, value in where.items():
        table = table[table[key] == value]
    assert len(table) == 1
    return table.iloc[0]


# kernels


def counted_p(first, second):
    """Two-sided p by going through every way to split the values, as Mann and Whitney define it."""
    both = [*first, *second]
    n, m = len(first), len(second)

    def u_of(chosen):
        rest = [v for k, v in enumerate(both) if k not in chosen]
        return sum(both[i] > v for i in chosen for v in rest)

    seen = [u_of(c) for c in itertools.combinations(range(n + m), n)]
    found = u_of(tuple(range(n)))
    far = max(found, n * m - found)
    return min(1.0, 2.0 * sum(u >= far for u in seen) / len(seen))


@pytest.mark.parametrize(
    ("n", "m", "shift"), [(3, 10, 2.0), (3, 10, 0.3), (5, 6, 0.5), (1, 4, 0.0), (4, 4, 9.0)]
)
def test_mann_whitney_is_the_count_over_all_splits(n, m, shift):
    rng = np.random.default_rng(n * 100 + m)
    first, second = rng.standard_normal(n) + shift, rng.standard_normal(m)
    found = mann_whitney(first, second)
    assert found.method == "exact"
    assert found.p == pytest.approx(counted_p(first, second), rel=1e-12)
    pairs = [np.sign(a - b) for a in first for b in second]
    assert found.effect == pytest.approx(np.mean(pairs))
    assert found.shift == pytest.approx(np.median([a - b for a in first for b in second]))


def test_the_smallest_p_is_that_of_groups_wholly_apart():
    apart = mann_whitney(np.array([7.0, 8.0, 9.0]), np.arange(6.0))
    assert apart.p == pytest.approx(apart.least_p)
    assert apart.least_p == pytest.approx(2 / 84)  # 9 choose 3
    assert apart.effect == 1.0


def test_ties_take_the_normal_approximation_with_their_variance():
    first, second = np.array([1.0, 2.0, 2.0, 5.0]), np.array([2.0, 3.0, 3.0, 4.0, 4.0])
    n, m = 4, 5
    ranks = stats.rankdata([*first, *second])
    u = ranks[:n].sum() - n * (n + 1) / 2
    ties = sum(t**3 - t for t in np.unique(ranks, return_counts=True)[1])
    sd = np.sqrt(n * m / 12 * (n + m + 1 - ties / ((n + m) * (n + m - 1))))
    expected = 2 * stats.norm.sf((abs(u - n * m / 2) - 0.5) / sd)
    found = mann_whitney(first, second)
    assert found.method == "asymptotic"
    assert found.p == pytest.approx(expected)


def test_an_empty_group_and_equal_members_decide_nothing():
    empty = mann_whitney(np.array([]), np.array([1.0, 2.0]))
    assert np.isnan(empty.p)
    assert empty.n_second == 2
    same = mann_whitney(np.full(3, 2.0), np.full(4, 2.0))
    assert (same.p, same.effect) == (1.0, 0.0)


def slow_quantile(values, q):
    ordered = sorted(values)
    place = q * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


@settings(max_examples=60)
@given(arrays(float, st.integers(1, 30), elements=st.floats(-1e3, 1e3)))
def test_box_and_limits_by_sorting(values):
    found = box(values)
    q1, q2, q3 = (slow_quantile(values, q) for q in (0.25, 0.5, 0.75))
    np.testing.assert_allclose([found.q1, found.median, found.q3], [q1, q2, q3], atol=1e-9)
    np.testing.assert_allclose(limits(values), [slow_quantile(values, q) for q in (0.025, 0.975)], atol=1e-9)
    inside = [v for v in values if found.low <= v <= found.high]
    assert len(inside) + len(found.outside) == len(values)
    reach = 1.5 * (found.q3 - found.q1)
    assert all(values[k] < found.q1 - reach or values[k] > found.q3 + reach for k in found.outside)


def test_outliers_of_positive_quantities_are_a_matter_of_ratio():
    values = np.array([10.0, 10.0, 10.0, 29.0, 31.0, 3.4, 3.2, -1.0])
    assert list(outliers(values, "ratio") > 1) == [False] * 4 + [True, False, True, True]


def test_outliers_of_either_sign_are_a_matter_of_the_median_deviation():
    values = np.array([-0.1, 0.0, 0.1, 0.2, 3.0])
    off = np.abs(values - 0.1)
    z = 0.6745 * off / np.median(off)
    np.testing.assert_array_equal(outliers(values, "robust") > 1, z > 3.5)
    assert (outliers(values, "robust") > 1).sum() == 1
    assert np.isnan(outliers(values[:3], "robust")).all()


@settings(max_examples=40)
@given(
    arrays(float, st.integers(4, 20), elements=st.floats(0.1, 100.0)),
    st.floats(0.01, 100.0),
    st.randoms(use_true_random=False),
)
def test_outliers_do_not_depend_on_units_or_order(values, factor, random):
    for rule in ("ratio", "robust"):
        first = outliers(values, rule)
        scaled = outliers(values * factor, rule)
        np.testing.assert_allclose(scaled, first, rtol=1e-6, atol=1e-6)
        order = list(range(len(values)))
        random.shuffle(order)
        np.testing.assert_allclose(outliers(values[order], rule), first[order], rtol=1e-12)


# derived quantities


def test_derived_fluxes_year_by_year():
    table, held = ensemble(2)
    table = pd.concat([table, rows("M0", "fFire", np.full(20, 0.3))])
    found = annual(table, members_of(described(["M0", "M1"], fire=[True, False]))).values
    npp, rh, gpp = held["M0", "npp"], held["M0", "rh"], held["M0", "gpp"]
    np.testing.assert_allclose(found.loc["M0", "nep"], npp - rh)
    np.testing.assert_allclose(found.loc["M0", "nbp_fire"], npp - rh - 0.3)
    np.testing.assert_allclose(found.loc["M0", "ra"], gpp - npp)
    np.testing.assert_allclose(found.loc["M0", "soil_litter_c"], held["M0", "cSoil"] + held["M0", "cLitter"])
    assert found.loc["M1", "nbp_fire"].isna().all()  # no fire simulated: absent, not NPP - SHR


def test_reported_ra_stands_and_reported_nep_does_not():
    table, held = ensemble(2)
    given = pd.concat([table, rows("M0", "ra", np.full(20, 3.0)), rows("M0", "nep", np.full(20, 9.0))])
    found = annual(given, members_of(described(["M0", "M1"])))
    assert (found.values.loc["M0", "ra"] == 3.0).all()
    np.testing.assert_allclose(found.values.loc["M1", "ra"], held["M1", "gpp"] - held["M1", "npp"])
    np.testing.assert_allclose(found.values.loc["M0", "nep"], held["M0", "npp"] - held["M0", "rh"])
    assert any(note.endswith("not given: M1") for note in found.notes)
    assert any(note.startswith("nep is npp - rh") for note in found.notes)


def test_fire_that_a_run_does_not_give_is_a_hole_not_zero():
    table, _ = ensemble(2)
    burned = rows("M0", "fFire", np.full(10, 0.3))  # ten of twenty years
    members = described(["M0", "M1"], fire=True)
    found = annual(pd.concat([table, burned]), members_of(members))
    assert found.values["nbp_fire"].groupby(level="model").count().to_dict() == {"M0": 10, "M1": 0}
    summary = summarise_members(
        pd.concat([table, burned]), members, variables=["nbp_fire", "npp"], min_coverage=0.4
    )
    assert one(summary.by_region, variable="nbp_fire")["n_members"] == 1
    with pytest.raises(ConfigError, match="M0 is said to have no fire but has fFire"):
        annual(pd.concat([table, burned]), members_of(described(["M0", "M1"])))


def test_litter_inside_the_soil_pool_is_no_hole():
    table, held = ensemble(2)
    table = table[~((table["model"] == "M1") & (table["variable"] == "cLitter"))]
    apart = annual(table, members_of(described(["M0", "M1"]))).values
    assert apart.loc["M1", "soil_litter_c"].isna().all()
    inside = annual(table, members_of(described(["M0", "M1"], litter_in_soil=[False, True])))
    np.testing.assert_allclose(inside.values.loc["M1", "soil_litter_c"], held["M1", "cSoil"])
    assert any("M1" in note for note in inside.notes)


def test_ratios_are_sums_over_sums():
    table, held = ensemble(3)
    found = period_values(annual(table, members_of(described(["M0", "M1", "M2"]))), (1985, 1994))
    years = slice(5, 15)
    npp, gpp, rh = (held["M1", v][years].sum() for v in ("npp", "gpp", "rh"))
    store = (held["M1", "cSoil"] + held["M1", "cLitter"])[years].sum()
    assert one(found, model="M1", variable="cue")["value"] == pytest.approx(npp / gpp)
    assert one(found, model="M1", variable="mrt")["value"] == pytest.approx(store / rh)
    mean_of_ratios = np.mean(held["M1", "npp"][years] / held["M1", "gpp"][years])
    assert one(found, model="M1", variable="cue")["value"] != pytest.approx(mean_of_ratios, rel=1e-12)


def test_units_that_cannot_be_summed_are_refused():
    table, _ = ensemble(1)
    members = members_of(described(["M0"], fire=True))
    density = pd.concat([table, rows("M0", "fFire", np.full(20, 1e-9), units="kg m-2 s-1")])
    with pytest.raises(UnitsError, match=r"fFire in kg m-2 s-1.*to_totals"):
        annual(density, members)
    two = table.copy()
    two.loc[two.index[0], "units"] = "Tg year-1"
    with pytest.raises(UnitsError, match="expected one unit"):
        annual(two, members)
    monthly = table.assign(units=table["units"].replace({"Pg": "Tg"}))
    with pytest.raises(UnitsError, match="mrt needs rh in 'Tg year-1'"):
        annual(monthly, members)


def test_rows_that_are_wrong_are_named():
    table, _ = ensemble(1)
    members = members_of(described(["M0"]))
    with pytest.raises(InputError, match="given twice, first M0 North historical 1980"):
        annual(pd.concat([table, table.iloc[:1]]), members)
    with pytest.raises(InputError, match="no column units"):
        annual(table.drop(columns="units"), members)
    with pytest.raises(InputError, match="infinite"):
        annual(table.assign(value=np.inf), members)


# periods and coverage


def test_the_window_ends_with_each_run():
    long, _ = ensemble(1, years=40, first=1970)
    short = long.assign(model="S")[long["year"] < 2000]
    table = pd.concat([long, short])
    found = period_values(annual(table, members_of(described(["M0", "S"]))), (1980, None), variables=["gpp"])
    assert found.set_index("model")["years"].to_dict() == {"M0": 30, "S": 20}
    assert (found["coverage"] == 1.0).all()
    fixed = period_values(annual(table, members_of(described(["M0", "S"]))), (1980, 2009), variables=["gpp"])
    assert fixed.set_index("model")["coverage"].to_dict() == {"M0": 1.0, "S": pytest.approx(2 / 3)}


def test_a_member_with_holes_is_left_out_and_told():
    table, held = ensemble(5)
    hole = (table["model"] == "M2") & (table["variable"] == "gpp") & (table["year"] == 1990)
    members = described([f"M{k}" for k in range(5)])
    found = summarise_members(table[~hole], members, variables=["gpp", "npp"])
    row = one(found.by_region, variable="gpp")
    others = [held[f"M{k}", "gpp"].mean() for k in (0, 1, 3, 4)]
    assert (row["n_members"], row["mean"]) == (4, pytest.approx(np.mean(others)))
    assert one(found.by_region, variable="npp")["n_members"] == 5
    told = one(found.flagged, member="M2", variable="gpp")
    assert told["dropped"]
    assert "19 years" in told["reason"]
    with pytest.raises(CoverageError, match="no run has 100% of the years 1900-1999"):
        summarise_members(table, members, period=(1900, 1999))
    with pytest.raises(CoverageError, match="no year of 2050-end"):
        summarise_members(table, members, period=(2050, None))


def test_a_scenario_follows_the_historical_run():
    past, held = ensemble(2, years=35)
    future, later = ensemble(2, years=10, seed=2, scenario="ssp126", first=2015)
    lone = rows("M9", "gpp", np.ones(35))
    found = joined(pd.concat([past, future, lone]), "ssp126")
    assert set(found["scenario"]) == {"ssp126"}
    assert set(found["model"]) == {"M0", "M1"}
    gpp = found[(found["model"] == "M1") & (found["variable"] == "gpp")].sort_values("year")
    np.testing.assert_array_equal(gpp["value"], [*held["M1", "gpp"], *later["M1", "gpp"]])
    with pytest.raises(InputError, match="overlap"):
        joined(pd.concat([past, future.assign(year=future["year"] - 5)]), "ssp126")
    with pytest.raises(InputError, match="no scenario 'ssp585'"):
        joined(past, "ssp585")


# members


def test_a_group_is_one_member_and_a_family_can_be_left_out():
    table, held = ensemble(5)
    members = described(
        ["M0", "M1", "M2", "M3", "M4"], group=["A", "A", "B", "C", "D"], family=["F", "F", "F", "G", "H"]
    )
    found = summarise_members(table, members, variables=["gpp"])
    means = {k: held[f"M{k}", "gpp"].mean() for k in range(5)}
    groups = [(means[0] + means[1]) / 2, means[2], means[3], means[4]]
    row = one(found.by_region, variable="gpp")
    assert (row["n_models"], row["n_members"], row["n_families"]) == (5, 4, 3)
    assert row["mean"] == pytest.approx(np.mean(groups))
    assert row["family_mean"] == pytest.approx(np.mean([np.mean(groups[:2]), groups[2], groups[3]]))
    np.testing.assert_allclose([row["low"], row["high"]], np.percentile(groups, [2.5, 97.5]))
    left = one(found.families, family="F")
    assert left["mean_without"] == pytest.approx(np.mean(groups[2:]))
    assert left["change"] == pytest.approx(np.mean(groups[2:]) - np.mean(groups))
    assert one(found.members, group="A")["models"] == "M0, M1"


def test_a_copy_of_a_model_in_its_group_changes_nothing():
    table, _ = ensemble(4)
    copy = table[table["model"] == "M0"].assign(model="M0 (other project)")
    names = ["M0", "M1", "M2", "M3"]
    alone = summarise_members(table, described(names)).by_region
    both = summarise_members(
        pd.concat([table, copy]),
        described([*names, "M0 (other project)"], group=[*names, "M0"], family=[*names, "M0"]),
    ).by_region
    pd.testing.assert_frame_equal(
        alone.drop(columns="n_models"), both.drop(columns="n_models"), check_exact=False, rtol=1e-12
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"group": "A", "layered": [True, False]}, "group A differ in layered"),
        ({"group": "A", "family": "F", "fire": [True, False]}, "group A differ in fire"),
        ({"layered": ["yes", "no"]}, "layered of M0 is 'yes'"),
        ({"project": ["made", None]}, "project of M1 is"),
    ],
)
def test_members_that_cannot_be(change, told):
    with pytest.raises(ConfigError, match=told):
        members_of(described(["M0", "M1"], family="F", **{k: v for k, v in change.items() if k != "family"}))


def test_members_must_be_complete():
    table, _ = ensemble(2)
    with pytest.raises(ConfigError, match="model M1 of the table is not described"):
        summarise_members(table, described(["M0"]))
    with pytest.raises(ConfigError, match="M0 has two rows"):
        members_of(described(["M0", "M0"]))
    with pytest.raises(ConfigError, match="no column fire"):
        members_of(described(["M0"]).drop(columns="fire"))
    with pytest.raises(ConfigError, match="empty"):
        members_of([])
    lone = Member(model="M0", family="F", group="G", project="P", layered=True, fire=False)
    assert members_of([lone]) == (lone,)


# the summary


def test_boxes_and_tests_of_the_classes():
    table, held = ensemble(8)
    layered = [True] * 3 + [False] * 5
    found = summarise_members(
        table, described([f"M{k}" for k in range(8)], layered=layered), variables=["mrt", "gpp"]
    )
    mean = [held[f"M{k}", "gpp"].mean() for k in range(8)]
    row = one(found.boxes, variable="gpp", **{"class": "layered"})
    np.testing.assert_allclose([row["q1"], row["median"], row["q3"]], np.percentile(mean[:3], [25, 50, 75]))
    test = one(found.tests, variable="gpp", split="layered - bulk")
    assert test["p"] == pytest.approx(counted_p(mean[:3], mean[3:]))
    assert not test["significant"]
    assert (test["n_first"], test["n_second"]) == (3, 5)
    nobody = one(found.tests, variable="gpp", split="with - without fire")
    assert np.isnan(nobody["p"])
    assert not nobody["significant"]
    assert set(found.boxes["class"]) == {"all", "layered", "bulk", "without fire"}


def test_an_outlier_is_kept_unless_dropped():
    table, held = ensemble(6)
    far = (table["model"] == "M3") & (table["variable"] == "gpp")
    table.loc[far, "value"] *= 5.0
    members = described([f"M{k}" for k in range(6)])
    mean = [held[f"M{k}", "gpp"].mean() * (5 if k == 3 else 1) for k in range(6)]
    kept = summarise_members(table, members, variables=["gpp", "npp"])
    row = one(kept.flagged, member="M3")
    assert not row["dropped"]
    assert row["value"] == pytest.approx(mean[3])
    assert one(kept.by_region, variable="gpp")["mean"] == pytest.approx(np.mean(mean))
    dropped = summarise_members(table, members, variables=["gpp", "npp"], outlier="drop")
    assert one(dropped.flagged, member="M3")["dropped"]
    rest = [m for k, m in enumerate(mean) if k != 3]
    assert one(dropped.by_region, variable="gpp")["mean"] == pytest.approx(np.mean(rest))
    assert one(dropped.by_region, variable="npp")["n_members"] == 6
    assert len(dropped.members[dropped.members["variable"] == "gpp"]) == 6  # its own row stays
    with pytest.raises(ConfigError, match="outlier is 'remove'"):
        summarise_members(table, members, outlier="remove")


def test_decades_by_hand():
    table, held = ensemble(3, years=25)
    found = summarise_members(table, described(["M0", "M1", "M2"]), variables=["gpp", "cue"]).decades
    gpp = found[found["variable"] == "gpp"]
    assert list(gpp["decade"]) == [1980, 1990, 2000]
    assert list(gpp["years"]) == [10, 10, 5]
    last = [held[f"M{k}", "gpp"][20:].mean() for k in range(3)]
    assert gpp["mean"].iloc[2] == pytest.approx(np.mean(last))
    ratios = [held[f"M{k}", "npp"][:10].sum() / held[f"M{k}", "gpp"][:10].sum() for k in range(3)]
    assert found[found["variable"] == "cue"]["median"].iloc[0] == pytest.approx(np.median(ratios))


def test_trends_of_members_and_mean_against_scipy():
    years = np.arange(30)
    rng = np.random.default_rng(5)
    series = {f"M{k}": 10 + 0.05 * (k + 1) * years + 0.1 * rng.standard_normal(30) for k in range(3)}
    table = pd.concat([rows(m, "gpp", y) for m, y in series.items()])
    found = summarise_members(table, described(series), trend_method="none").trends
    for name, y in {**series, "ensemble mean": np.mean(list(series.values()), axis=0)}.items():
        row = one(found, member=name)
        slope, _, low, high = stats.theilslopes(y, years)
        assert row["slope"] == pytest.approx(slope, rel=1e-9)
        np.testing.assert_allclose([row["low"], row["high"]], [low, high], rtol=0.05)
        assert row["p"] < 1e-6
        assert row["significant"]
        assert (row["first_year"], row["last_year"], row["years"]) == (1980, 2009, 30)


def test_a_group_has_the_trend_of_its_mean():
    years = np.arange(30)
    rng = np.random.default_rng(6)
    series = {
        f"M{k}": 5 + slope * years + 0.1 * rng.standard_normal(30) for k, slope in enumerate((0.1, -0.3, 0.2))
    }
    series["M1"][4] = np.nan  # that year has no mean of the group
    table = pd.concat([rows(m, "gpp", y) for m, y in series.items()])
    members = described(series, group=["A", "A", "B"], family="F")
    found = summarise_members(table, members, trend_method="none", min_coverage=0.9).trends
    both = (series["M0"] + series["M1"]) / 2
    there = np.isfinite(both)
    row = one(found, member="A")
    assert row["years"] == 29
    assert row["slope"] == pytest.approx(stats.theilslopes(both[there], years[there])[0], rel=1e-9)
    every = ((both + series["M2"]) / 2)[there]
    assert one(found, member="ensemble mean")["slope"] == pytest.approx(
        stats.theilslopes(every, years[there])[0], rel=1e-9
    )


def test_regions_and_scenarios_stay_apart():
    a, held = ensemble(3)
    b = a.assign(region="South", value=a["value"] * 2)
    members = described(["M0", "M1", "M2"])
    found = summarise_members(pd.concat([a, b]), members, variables=["gpp"]).by_region
    north, south = (one(found, region=r)["mean"] for r in ("North", "South"))
    assert south == pytest.approx(2 * north)
    assert north == pytest.approx(np.mean([held[f"M{k}", "gpp"].mean() for k in range(3)]))
    only = summarise_members(pd.concat([a, b]), members, variables=["gpp"], regions=["South"])
    assert set(only.by_region["region"]) == {"South"}
    with pytest.raises(ConfigError, match="region East is not in the member table"):
        summarise_members(a, members, regions=["East"])
    with pytest.raises(ConfigError, match="variable lai is neither"):
        summarise_members(a, members, variables=["lai"])


def test_a_summary_as_json_says_what_the_tables_say():
    table, _ = ensemble(5)
    found = summarise_members(table, described([f"M{k}" for k in range(5)]), variables=["gpp"])
    read = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert set(read) == {f.name for f in dataclasses.fields(found)}
    assert read["by_region"][0]["mean"] == one(found.by_region, variable="gpp")["mean"]
    assert read["tests"][0]["p"] is None  # no layered member
    assert read["notes"] == list(found.notes)


@settings(max_examples=8)
@given(st.randoms(use_true_random=False), st.floats(0.01, 1000.0))
def test_order_of_rows_and_units_change_nothing(random, factor):
    table, _ = ensemble(5)
    members = described([f"M{k}" for k in range(5)], layered=[True, True, False, False, False])
    order = list(range(len(table)))
    random.shuffle(order)
    shuffled = table.iloc[order].assign(value=lambda t: t["value"] * factor)
    wanted = ["gpp", "nep", "cue", "mrt"]
    first = summarise_members(table, members, variables=wanted, period=(1990, None))
    second = summarise_members(shuffled, members, variables=wanted, period=(1990, None))
    scale = np.where(first.by_region["variable"].isin(["cue", "mrt"]), 1.0, factor)
    np.testing.assert_allclose(second.by_region["mean"], first.by_region["mean"] * scale, rtol=1e-9)
    np.testing.assert_allclose(second.tests["p"], first.tests["p"], rtol=1e-9)
