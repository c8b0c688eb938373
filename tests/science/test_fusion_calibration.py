"""Whether posteriors are calibrated (T3), find their twins (T4), and are the prior where nothing is known (T9)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.science.commands import printed_json

pytestmark = pytest.mark.science


@pytest.fixture(scope="module")
def found() -> Mapping[str, Any]:
    """What the benchmark prints at the size of a test."""
    return printed_json("benchmarks.fusion_calibration_small")


def test_ranks_of_truths_are_uniform(found: Mapping[str, Any]) -> None:
    assert found["right"]["recovery"]["twins"] == 40
    assert found["right"]["recovery"]["lost"] == 0
    assert found["right"]["verdict"]["uniform"], found["right"]


def test_errors_taken_for_half_of_what_they_are_do_not_pass(found: Mapping[str, Any]) -> None:
    assert not found["wrong"]["verdict"]["uniform"], found["wrong"]


def test_twins_are_inside_their_intervals(found: Mapping[str, Any]) -> None:
    told = found["right"]["recovery"]
    assert 0.35 < told["inside 50 %"] < 0.65
    assert 0.80 < told["inside 90 %"] < 0.98
    # short chains are worth some 40 draws, whose highest score is a 98 % quantile: 6 of 40 by chance in 1 of 2,000 runs
    assert told["truth scores above the 99.9 % quantile of draws"] <= 5


@pytest.mark.parametrize("rank", range(10))
def test_the_posterior_of_nothing_is_the_prior(found: Mapping[str, Any], rank: int) -> None:
    """Ten marginals, by Kolmogorov and Smirnov; the worst of ten at 0.01 / 10."""
    told = sorted(found["nothing"]["p"].items(), key=lambda pair: pair[1])
    assert len(told) == 10
    assert found["nothing"]["prior"] > 25
    name, p = told[rank]
    assert p > 0.001 * (rank + 1), f"{name}: {p:.2g}"
