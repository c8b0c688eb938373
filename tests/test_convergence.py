"""R-hat, effective sizes and tails of weights against laws whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from talik.convergence import bulk_ess, kish_share, pareto_k, rhat, tail_ess


def walk_of(correlation: float, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Stationary AR(1) of unit variance along the last axis of `shape`."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    walk = noise.copy()
    for t in range(1, shape[-1]):
        walk[..., t] = correlation * walk[..., t - 1] + np.sqrt(1 - correlation**2) * noise[..., t]
    return walk


def test_pixels_are_judged_each_by_itself():
    """AR(1) counts (1 - r)/(1 + r), and a pixel with a chain elsewhere does not touch the others."""
    draws = np.stack([walk_of(r, (4, 4000), 8) for r in (0.0, 0.5, 0.9)])[..., None] * [1.0, 1e6]
    expected = 16_000 * np.array([1.0, 0.5 / 1.5, 0.1 / 1.9])
    assert np.all(np.abs(bulk_ess(draws) / expected[:, None] - 1) < 0.15)
    assert np.all(np.abs(rhat(draws) - 1) < 0.01)
    apart = draws.copy()
    apart[1, 3, :, 0] += 3.0
    np.testing.assert_array_equal(rhat(apart)[[0, 2]], rhat(draws)[[0, 2]])
    assert rhat(apart)[1, 0] > 1.3
    for of in (rhat, bulk_ess, tail_ess):
        np.testing.assert_array_equal(of(draws)[2], of(draws[2]))


@pytest.mark.parametrize("shape", [0.2, 0.5, 0.7, 1.0])
def test_pareto_k_of_known_tails(shape: float):
    """The mean over forty sets of 4,000 lies at the shape, the prior's pull towards 0.5 with weight 10 of 200 in it."""
    weights = stats.genpareto(c=shape).rvs((40, 4000), random_state=np.random.default_rng(1))
    found = pareto_k(np.log(weights))
    tail = np.ceil(3 * np.sqrt(4000))
    expected = (shape * tail + 5) / (tail + 10)
    assert found.mean() == pytest.approx(expected, abs=4 * found.std() / np.sqrt(40) + 0.01)
    np.testing.assert_allclose(pareto_k(np.log(weights[0]) + 1000), found[0])


def test_weights_without_a_tail():
    bounded = np.log(np.random.default_rng(2).uniform(size=4000))
    assert pareto_k(bounded) < 0
    assert pareto_k(np.zeros(100)) == -np.inf
    assert np.isnan(pareto_k(np.full(100, -np.inf)))
    assert np.isnan(pareto_k(np.zeros(10)))


def test_kish_share():
    """Of log-normal weights it is exp(-variance)."""
    assert kish_share(np.zeros((2, 5))).tolist() == [1.0, 1.0]
    assert kish_share([0.0, -np.inf, -np.inf, 0.0]) == 0.5
    assert np.isnan(kish_share([-np.inf, -np.inf]))
    logs = 0.5 * np.random.default_rng(3).standard_normal(200_000) - 900
    assert kish_share(logs) == pytest.approx(np.exp(-0.25), rel=0.01)
