"""Environmental similarity: by hand, by a slow version of the published table, and where predictors are missing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talik.errors import InputError
from talik.upscaling.mess import mess


def slow(training: np.ndarray, v: float) -> float:
    """Elith et al. (2010): similarity of one value to one predictor."""
    low, high = min(training), max(training)
    f = 100 * sum(t < v for t in training) / len(training)
    if f == 0:
        return 100 * (v - low) / (high - low)
    if f <= 50:
        return 2 * f
    if f < 100:
        return 2 * (100 - f)
    return 100 * (high - v) / (high - low)


def test_by_hand() -> None:
    """Training 0, 1, 2, 3, 10: 2.5 has three values of five below it, so f = 60 and the similarity 80."""
    training = np.array([[0.0], [1], [2], [3], [10]])
    x = np.array([[-5.0], [0], [0.5], [1.5], [2.5], [10], [15]])
    found = mess(training, x)
    np.testing.assert_allclose(found.value, [-50, 0, 40, 80, 80, 40, -50])


@given(
    st.integers(0, 2**32 - 1),
    st.integers(2, 30),
    st.sampled_from([np.float32, np.float64]),
)
def test_agrees_with_the_slow_version(seed: int, n: int, kind: type) -> None:
    rng = np.random.default_rng(seed)
    training = rng.integers(0, 6, (n, 3)) + np.array([[0.25, 0.5, 0.75]])
    training[:2] = [[0, 0, 0], [7, 7, 7]]
    x = rng.choice(np.concatenate([np.unique(training), [-3.0, 0.3, 2.5, 9.0]]), (20, 3)).astype(kind)
    found = mess(training, x)
    single = np.array([[slow(training[:, j], float(row[j])) for j in range(3)] for row in x])
    np.testing.assert_allclose(found.value, single.min(axis=1), atol=1e-12)
    np.testing.assert_array_equal(found.predictor, single.argmin(axis=1))


def test_missing_stays_missing() -> None:
    training = np.array([[0.0, 0.0], [1.0, 10.0], [2.0, 20.0]])
    found = mess(training, np.array([[np.nan, 50.0], [50.0, np.nan], [1.0, 30.0]]))
    assert np.isnan(found.value).tolist() == [True, True, False]
    assert found.predictor.tolist() == [-1, -1, 1]


def test_infinite_values_are_infinitely_far() -> None:
    found = mess([[0.0], [1.0]], [[np.inf], [-np.inf]])
    assert found.value.tolist() == [-np.inf, -np.inf]


def test_what_cannot_be_used_is_refused() -> None:
    with pytest.raises(InputError, match="same predictors"):
        mess(np.zeros((3, 2)), np.zeros((3, 1)))
    with pytest.raises(InputError, match="column 1 has missing"):
        mess([[0.0, 1.0], [1.0, np.nan]], [[0.0, 0.0]])
    with pytest.raises(InputError, match="column 0 is 4 in every row"):
        mess([[4.0], [4.0]], [[4.0]])
