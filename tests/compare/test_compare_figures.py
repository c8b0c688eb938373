"""Figures show the numbers they are given: read back from the drawing."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from talik.compare import Taylor, combine, sign_agreement
from talik.compare.figures import agreement_map, matrix, ranking, region_panels, taylor_diagram
from talik.errors import InputError
from talik.report.style import svg
from talik.report.taylor import taylor_reach

_spec = importlib.util.spec_from_file_location("compare_worlds", Path(__file__).with_name("worlds.py"))
worlds = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(worlds)


def synthesis():
    rows = pd.DataFrame(
        [
            ("A", "m", 1, "Alaska", -12.4, 3.0),
            ("B", "m", 1, "Alaska", 20.0, np.nan),
            ("A", "m", 1, "Western Canada", -52.0, 8.0),
        ],
        columns=["approach", "model", "year", "region", "mean", "sd"],
    )
    return combine(rows)


@pytest.mark.parametrize("width", ["wide", "narrow"])
def test_panels_hold_means_bars_and_what_is_missing(width):
    figure = region_panels(synthesis(), width)
    first, second = figure.axes[:2]
    points = [line.get_xydata().tolist() for line in first.lines if line.get_marker() in ("o", "s")]
    assert points == [[[-12.4, 0.0]], [[20.0, 1.0]]]
    bars = [line.get_xdata().tolist() for line in first.lines if line.get_linewidth() == 2.0]
    assert bars == [pytest.approx([-15.4, -9.4]), [20.0, 20.0]]
    assert [t.get_text() for t in second.texts] == ["no value"]
    assert (first.get_title(loc="left"), second.get_title(loc="left")) == ("Alaska", "Western Canada")
    assert svg(figure) == svg(region_panels(synthesis(), width))


@pytest.mark.parametrize("width", ["wide", "narrow"])
def test_matrix_prints_every_number(width):
    texts = sorted(t.get_text() for t in matrix(synthesis(), width).axes[0].texts)
    assert texts == sorted(["−12", "20", "−52", "–", "4", "−52"])
    empty = synthesis()
    empty.mean.loc[:] = np.nan
    empty.regions["median"] = np.nan
    with pytest.raises(InputError, match="no approach has a value"):
        matrix(empty)


def test_taylor_points_stand_at_angle_and_ratio_and_on_the_rim():
    points = {
        "x": Taylor(0.8, 0.5, 0.9, 9),
        "y": Taylor(7.0, 0.1, 7.0, 9),
        "none": Taylor(np.nan, np.nan, np.nan, 1),
    }
    figure = taylor_diagram(points)
    drawn = [line.get_xydata()[0] for line in figure.axes[0].lines if line.get_markersize() == 8]
    np.testing.assert_allclose(drawn, [[np.pi / 3, 0.8], [np.arccos(0.1), 3.0]])
    labels = [t.get_text() for t in figure.legends[0].get_texts()]
    assert labels == ["x", "y (ratio 7.0, on the rim)"]
    assert figure.axes[0].get_thetamax() == 90.0
    negative = taylor_diagram({"x": Taylor(0.8, -0.5, 1.6, 9)})
    assert negative.axes[0].get_thetamax() == 180.0
    assert taylor_diagram({"none": points["none"]}) is None
    assert taylor_reach([]) == 1.5
    assert taylor_reach([2.0]) == 2.25


def test_agreement_map_and_ranking():
    models = {"A": {"m": worlds.annual(-20.0)}, "B": {"n": worlds.annual(20.0)}}
    figure = agreement_map(sign_agreement(models, worlds.COARSE))
    assert [a.get_title() for a in figure.axes[:3]] == ["Sink", "Source", "Source less sink"]
    assert figure.get_supxlabel().startswith("mean annual flux within ±5 g m-2 year-1 is neutral")
    values = [np.ma.compressed(a.collections[1].get_array()) for a in figure.axes[:3]]
    assert [set(v.tolist()) for v in values] == [{50.0}, {50.0}, {0.0}]
    ranks = pd.DataFrame(
        {
            "model": ["a", "b"],
            "overall": [0.7, 0.6],
            "low": [0.65, 0.5],
            "high": [0.75, 0.7],
            "first": [0.9, 0.1],
        }
    )
    ax = ranking(ranks).axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b"]
    assert [t.get_text() for t in ax.texts] == ["best in 90 %", "best in 10 %"]
