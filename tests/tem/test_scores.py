"""Scores against scipy and scikit-learn, and pairs that have none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import linregress
from sklearn.metrics import mean_squared_error, r2_score

from talik.tem.scores import Scores, scores

RELATION = ("r2", "slope", "intercept", "nash_sutcliffe", "sd_ratio")


@settings(deadline=None)
@given(st.integers(0, 2**31), st.integers(3, 60), st.floats(-2.0, 2.0))
def test_scores_are_those_of_scipy_and_scikit_learn(seed: int, n: int, steep: float) -> None:
    rng = np.random.default_rng(seed)
    observed = rng.normal(10.0, 4.0, n)
    model = steep * observed + rng.normal(2.0, 2.0, n)
    found, line = scores(model, observed), linregress(observed, model)
    assert found.n == n
    assert found.slope == pytest.approx(line.slope, abs=1e-9)
    assert found.intercept == pytest.approx(line.intercept, abs=1e-8)
    assert found.r2 == pytest.approx(line.rvalue**2, abs=1e-9)
    assert found.nash_sutcliffe == pytest.approx(r2_score(observed, model), abs=1e-9)
    assert found.rmse == pytest.approx(mean_squared_error(observed, model) ** 0.5)
    assert found.mean_bias == pytest.approx(model.mean() - observed.mean(), abs=1e-9)
    assert found.median_bias == pytest.approx(np.median(model - observed))
    assert found.sd_ratio == pytest.approx(np.std(model) / np.std(observed))


def test_biases_are_model_less_observation() -> None:
    found = scores(np.array([3.0, 4.0, 8.0]), np.array([1.0, 2.0, 3.0]))
    assert (found.mean_bias, found.median_bias) == (3.0, 2.0)


@settings(deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=20, unique=True))
def test_a_perfect_model_has_perfect_scores(values: list[float]) -> None:
    observed = np.round(np.array(values), 3)
    if np.ptp(observed) == 0.0:
        return
    found = scores(observed, observed)
    assert (found.rmse, found.mean_bias, found.nash_sutcliffe) == (0.0, 0.0, 1.0)
    assert (found.r2, found.slope, found.sd_ratio) == (
        pytest.approx(1.0),
        pytest.approx(1.0),
        pytest.approx(1.0),
    )


def test_without_pairs_nothing_has_a_value() -> None:
    assert scores(np.array([]), np.array([])) == Scores(0)


def test_two_pairs_have_biases_and_no_relation() -> None:
    found = scores(np.array([1.0, 4.0]), np.array([1.0, 2.0]))
    assert (found.n, found.mean_bias, found.median_bias, found.rmse) == (2, 1.0, 1.0, pytest.approx(2**0.5))
    assert [getattr(found, name) for name in RELATION] == [None] * 5


def test_observations_that_do_not_differ_have_no_relation() -> None:
    # a mean of three times 0.1 is not 0.1 in binary
    found = scores(np.array([1.0, 2.0, 3.0]), np.array([0.1, 0.1, 0.1]))
    assert [getattr(found, name) for name in RELATION] == [None] * 5
    assert found.mean_bias == pytest.approx(1.9)


def test_a_model_that_does_not_differ_has_a_slope_of_zero_and_no_correlation() -> None:
    found = scores(np.array([0.1, 0.1, 0.1]), np.array([1.0, 2.0, 3.0]))
    assert (found.r2, found.slope, found.sd_ratio) == (None, pytest.approx(0.0), pytest.approx(0.0))
