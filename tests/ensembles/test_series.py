"""Spread by year against counting by hand, and figures that show what the tables hold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from talik.ensembles.series import annual_spread
from talik.ensembles.statistics import summarise_members
from talik.report.member_figures import class_boxes, series_panels


def rows(model, variable, values, first=2000, region="North"):
    return pd.DataFrame(
        {
            "model": model,
            "region": region,
            "scenario": "historical",
            "year": first + np.arange(len(values)),
            "variable": variable,
            "value": values,
            "units": "Pg year-1",
        }
    )


@pytest.fixture
def members():
    return pd.DataFrame(
        {
            "model": ["A1", "A2", "B", "C", "D"],
            "family": ["A", "A", "B", "C", "D"],
            "group": ["A", "A", "B", "C", "D"],
            "project": "made",
            "layered": [True, True, False, False, True],
            "fire": False,
        }
    )


@pytest.fixture
def values():
    rng = np.random.default_rng(0)
    return {m: rng.uniform(1.0, 9.0, 12) for m in ("A1", "A2", "B", "C", "D")}


def test_spread_over_groups_of_each_year(members, values):
    table = pd.concat([rows(m, "npp", v) for m, v in values.items()])
    found = annual_spread(table, members, ["npp"]).set_index("year")
    for k, year in enumerate(range(2000, 2012)):
        groups = [(values["A1"][k] + values["A2"][k]) / 2, *(values[m][k] for m in "BCD")]
        row = found.loc[year]
        assert row["mean"] == pytest.approx(np.mean(groups))
        np.testing.assert_allclose(
            row[["low", "q1", "median", "q3", "high"]].to_numpy(float),
            np.percentile(groups, [2.5, 25, 50, 75, 97.5]),
        )
    assert set(found["n_members"]) == {4}


def test_a_run_that_ends_early_makes_no_step(members, values):
    table = pd.concat([rows(m, "npp", v[:9] if m == "C" else v) for m, v in values.items()])
    found = annual_spread(table, members, ["npp"])
    assert set(found["n_members"]) == {3}
    assert len(found) == 12


def test_ratios_are_those_of_the_year(members, values):
    table = pd.concat(
        [rows(m, "npp", v) for m, v in values.items()] + [rows(m, "gpp", 2 * v) for m, v in values.items()]
    )
    found = annual_spread(table, members, ["cue"])
    np.testing.assert_allclose(found[["low", "mean", "high"]], 0.5)
    assert set(found["units"]) == {"1"}


def test_series_panels_draw_mean_and_spread(members, values):
    north = pd.concat([rows(m, "npp", v) for m, v in values.items()])
    table = pd.concat([north, north.assign(region="South_Land", value=north["value"] + 1)])
    spread = annual_spread(table, members, ["npp"])
    figure = series_panels(spread, "NPP", regions=["South_Land", "North"])
    south = figure.axes[0]
    assert south.get_title(loc="left") == "South Land (4 members)"
    drawn = next(line for line in south.lines if line.get_label() == "historical")
    expected = spread[spread["region"] == "South_Land"]["mean"]
    np.testing.assert_allclose(drawn.get_ydata(), expected)
    assert figure.get_supylabel() == "NPP, Pg year-1"


def test_class_boxes_draw_every_member_and_its_test(members, values):
    table = pd.concat([rows(m, "npp", v) for m, v in values.items()])
    found = summarise_members(table, members)
    figure = class_boxes(found.boxes, found.tests, found.members, {"npp": "NPP"})
    ax = figure.axes[0]
    p = found.tests.set_index("split").loc["layered - bulk", "p"]
    assert ax.get_title(loc="left") == f"NPP\np = {p:.2g}"
    points = np.concatenate([line.get_ydata() for line in ax.lines if line.get_marker() == "o"])
    np.testing.assert_allclose(sorted(points), sorted(found.members["value"]))
    assert [t.get_text() for t in ax.get_xticklabels()] == ["layered\nn = 2", "bulk\nn = 2"]


def test_class_boxes_of_one_class_alone_have_no_test(members, values):
    table = pd.concat([rows(m, "npp", v) for m, v in values.items()])
    found = summarise_members(table, members.assign(layered=False))
    # as JSON gives it back
    tests = found.tests.assign(p=None)
    figure = class_boxes(found.boxes, tests, found.members, {"npp": "NPP"})
    assert figure.axes[0].get_title(loc="left") == "NPP\n"
