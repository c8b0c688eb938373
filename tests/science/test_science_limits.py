"""The published budget's drawn limits against a numerical convolution that draws nothing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import fftconvolve
from scipy.stats import norm

from talik.budget.reccap2 import recipes
from talik.posts.combine import sampled
from talik.posts.distributions import fit
from talik.posts.published import components
from talik.posts.recipe import flatten, order

pytestmark = pytest.mark.science


def density(dist, weight: float, step: float, half: int) -> np.ndarray:
    """Density of weight x (draw - its mean) on a grid of 2 half + 1 points, by differencing the quantile function."""
    z = np.linspace(-9, 9, 400_001)
    x = weight * dist.from_normal(z)
    if weight < 0:
        x, z = x[::-1], -z[::-1]
        probability = norm.cdf(z)
    else:
        probability = norm.cdf(z)
    edges = (np.arange(-half, half + 2) - 0.5) * step
    mass = np.diff(np.interp(edges, x, probability, left=0.0, right=1.0))
    return mass / step


@pytest.mark.parametrize(("gas", "step"), [("CO2", 1.0), ("CH4", 0.02), ("N2O", 0.001)])
def test_independent_limits_of_the_natural_total(gas, step):
    posts = {p.key: p for p in components()}
    weights = flatten(order(recipes(), posts))[("bottom_up.natural", gas)]
    half = 12_000
    total = np.zeros(2 * half + 1)
    total[half] = 1 / step
    shift = 0.0
    for key, weight in weights.items():
        post = posts[key]
        shift += weight * post.mean
        centred = fit(post.mean - post.mean, post.low - post.mean, post.high - post.mean)
        total = fftconvolve(total, density(centred, weight, step, half), mode="same") * step
    grid = np.arange(-half, half + 1) * step
    cumulative = np.cumsum(total) * step
    assert cumulative[-1] == pytest.approx(1, abs=2e-4)
    expected = np.interp([0.025, 0.975], cumulative - total * step / 2, grid) + shift
    limits = sampled({("t", gas): weights}, posts, draws=8_000_000, seed=11)[("t", gas)]
    width = expected[1] - expected[0]
    assert limits.low == pytest.approx(expected[0], abs=5 * limits.error_low + 5e-4 * width)
    assert limits.high == pytest.approx(expected[1], abs=5 * limits.error_high + 5e-4 * width)
