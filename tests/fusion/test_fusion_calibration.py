"""Ranks and the simultaneous band: the band holds as many uniform samples as it says, and no wrong posterior."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp, kstest

from talik.errors import InputError
from talik.fusion.calibration import ecdf, ecdf_band, inside_band, ranks, same


def test_the_band_holds_as_many_uniform_samples_as_it_says():
    rng = np.random.default_rng(11)
    at, low, high = ecdf_band(40)
    held = 0
    for _ in range(2000):
        sample = rng.random(40)
        curve = (sample[:, None] <= at).mean(axis=0)
        held += ((curve >= low - 1e-9) & (curve <= high + 1e-9)).all()
    assert 0.935 < held / 2000 < 0.98  # counts are whole numbers, so the band is a little wide
    assert (low <= at).all()
    assert (high >= at).all()


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_ranks_of_a_right_posterior_are_uniform_and_of_a_narrow_one_are_not(scale: float):
    """Normal mean with known variance; `scale` is the sd that the wrong posterior believes."""
    rng = np.random.default_rng(12)
    truth = rng.standard_normal(400)
    seen = truth + rng.standard_normal(400)
    draws = 0.5 * seen[:, None] + scale * np.sqrt(0.5) * rng.standard_normal((400, 99))
    found = ranks(truth, draws)
    assert inside_band(found) == (scale == 1.0)
    assert (kstest(found, "uniform").pvalue > 0.01) == (scale == 1.0)


def test_ties_are_spread_over_their_step():
    found = ranks(np.zeros(5000), np.zeros((5000, 9)))
    assert kstest(found, "uniform").pvalue > 0.01
    ordered = ranks(np.array([2.5]), np.array([[1.0, 2.0, 3.0]]))
    assert 0.5 <= ordered[0] <= 0.75
    np.testing.assert_array_equal(ecdf(np.array([0.2, 0.2, 0.9]), np.array([0.1, 0.2, 1.0])), [0, 2 / 3, 1])


def test_missing_replicates_are_not_ranked():
    with pytest.raises(InputError, match="Leave failed replicates out"):
        ranks(np.array([np.nan]), np.zeros((1, 3)))
    with pytest.raises(InputError, match=r"truth \(2,\), draws \(1, 3\)"):
        ranks(np.zeros(2), np.zeros((1, 3)))
    with pytest.raises(InputError, match="1 values"):
        ecdf_band(1)


def test_weighted_samples_of_one_distribution_are_the_same():
    """Weights 1 give the ordinary test; weights that turn one distribution into another give what they should."""
    rng = np.random.default_rng(13)
    x, y = rng.standard_normal(300), rng.standard_normal(500) + 0.2
    ours = same(x, np.ones(300), 300, y, np.ones(500), 500)
    np.testing.assert_allclose(ours, ks_2samp(x, y, method="asymp").pvalue, rtol=0.05)
    wide, x = 1.5 * rng.standard_normal(20_000), rng.standard_normal(1000)
    weights = np.exp(-0.5 * wide**2 + 0.5 * (wide / 1.5) ** 2)
    worth = weights.sum() ** 2 / np.square(weights).sum()
    assert same(wide, weights, worth, x, np.ones(1000), 1000) > 0.01
    assert same(wide, np.ones(20_000), 20_000, x, np.ones(1000), 1000) < 1e-3
