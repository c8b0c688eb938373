"""Distributions keep a post's mean and limits; checked by quadrature, scipy and their closed forms."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from talik.errors import PostError
from talik.posts.distributions import Metalog, Normal, TwoPieceNormal, fit

Z = stats.norm.ppf(0.975)


def mean_by_quadrature(dist) -> float:
    """E[X] = integral of X(z) phi(z) dz, split at 0 so that the kink of a two-piece normal is seen."""

    def integrand(z: float) -> float:
        return float(dist.from_normal(np.array([z]))[0]) * stats.norm.pdf(z)

    points = [-8.3, -4, -2, -1, 0, 1, 2, 4, 8.3]
    pieces = itertools.pairwise(points)
    return sum(integrate.quad(integrand, a, b, limit=200)[0] for a, b in pieces)


@given(
    ratio=st.floats(0.225, 0.775),
    low=st.floats(-1e3, 1e3),
    width=st.floats(1e-3, 1e4),
)
def test_mean_and_both_limits_are_kept(ratio, low, width):
    high = low + width
    mean = low + ratio * (high - low)
    dist = fit(mean, low, high)
    np.testing.assert_allclose(
        dist.from_normal(np.array([-Z, Z])), [low, high], atol=1e-8 * width, rtol=1e-12
    )
    assert mean_by_quadrature(dist) == pytest.approx(mean, abs=2e-4 * width)


@pytest.mark.parametrize(
    ("mean", "low", "high", "family"),
    [
        (0.09, -0.19, 0.37, Normal),
        (231, 132, 360, TwoPieceNormal),
        (-350, -1040, -150, Metalog),
        (5, 5, 5, Normal),
    ],
)
def test_the_simplest_family_that_fits_is_used(mean, low, high, family):
    assert isinstance(fit(mean, low, high), family)


@given(st.floats(0.225, 0.775))
def test_quantile_functions_rise(ratio):
    x = fit(ratio, 0.0, 1.0).from_normal(np.linspace(-6, 6, 4001))
    assert np.all(np.diff(x) > 0)


def test_two_piece_normal_is_the_one_of_wallis():
    """CDF written from the density 2 / (s1 + s2) phi((x - mode) / s_i), an independent form."""
    dist = TwoPieceNormal(mode=1.0, left=2.0, right=0.5)
    z = np.linspace(-4, 4, 41)
    x = dist.from_normal(z)
    below = 2 * 2.0 / 2.5 * stats.norm.cdf((x - 1.0) / 2.0)
    above = 1 - 2 * 0.5 / 2.5 * stats.norm.sf((x - 1.0) / 0.5)
    np.testing.assert_allclose(np.where(x < 1.0, below, above), stats.norm.cdf(z), rtol=1e-10)


@pytest.mark.parametrize(("mean", "low", "high"), [(50, 50, 100), (0.99, 0, 1), (1, 0, 100)])
def test_a_median_in_place_of_a_mean_is_refused(mean, low, high):
    with pytest.raises(PostError, match=r"burned: no distribution .* probably a median"):
        fit(mean, low, high, "burned")
