"""MESS by hand and by a slow version of the table of Elith et al. (2010)."""

from __future__ import annotations

import numpy as np
import pytest

from talik.errors import InputError
from talik.upscaling.mess import mess


def slow(v: float, training: np.ndarray) -> float:
    low, high = training.min(), training.max()
    f = 100 * sum(t < v for t in training) / len(training)
    if f == 0:
        return 100 * (v - low) / (high - low)
    if f <= 50:
        return 2 * f
    if f < 100:
        return 2 * (100 - f)
    return 100 * (high - v) / (high - low)


def test_by_hand() -> None:
    training = np.array([[0.0], [1], [2], [3], [10]])
    x = np.array([[-5.0], [0], [1.5], [2.5], [10], [15]])
    similarity, least = mess(x, training)
    np.testing.assert_allclose(similarity, [-50, 0, 80, 80, 40, -50])
    np.testing.assert_array_equal(least, 0)


def test_agrees_with_the_slow_one_and_names_the_least_similar() -> None:
    rng = np.random.default_rng(0)
    training, x = rng.normal(size=(40, 3)).round(1), (2 * rng.normal(size=(200, 3))).round(1)
    wanted = np.array([[slow(x[i, j], training[:, j]) for j in range(3)] for i in range(200)])
    similarity, least = mess(x, training)
    np.testing.assert_allclose(similarity, wanted.min(1))
    np.testing.assert_allclose(wanted[np.arange(200), least], wanted.min(1))
    assert (similarity < 0).any()
    assert (similarity > 0).any()


def test_a_gap_stays_a_gap_and_bad_training_is_refused() -> None:
    training = np.arange(6.0).reshape(3, 2)
    similarity, least = mess([[1.0, np.nan], [1.0, 2.0]], training)
    assert np.isnan(similarity[0])
    assert least[0] == -1
    assert np.isfinite(similarity[1])
    with pytest.raises(InputError, match="must be"):
        mess(np.zeros((2, 3)), training)
    with pytest.raises(InputError, match="missing or infinite"):
        mess(np.zeros((2, 2)), [[np.nan, 1.0]])


def test_a_constant_predictor_is_the_same_or_it_is_not() -> None:
    similarity, _ = mess([[3.0], [3.1], [-50.0]], [[3.0], [3.0]])
    np.testing.assert_array_equal(similarity, [100, -100, -100])
