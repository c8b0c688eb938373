"""Sums over pixels under each assumption: known answers for normal margins, and whether limits hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from tests.fusion.worlds import LIMITS, arctic, coverage_of_truth, haversine_km

from talik.errors import InputError
from talik.fusion.dependence import (
    Kernel,
    common_quantile,
    copula_sums,
    independent_sums,
    local_field,
)


def normal_members(mean: np.ndarray, sd: np.ndarray, count: int) -> np.ndarray:
    """Members at evenly spaced ranks, (1, pixel, member)."""
    return mean[None, :, None] + sd[None, :, None] * norm.ppf((np.arange(count) + 0.5) / count)


def test_limits_of_the_kernel_copula_hold_the_truth_and_those_of_independence_do_not():
    found = coverage_of_truth(1000.0, 0.25)
    assert 90 <= found["copula"] <= 99
    assert found["common"] >= 99
    assert found["independent"] < 50


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_long_correlation_is_as_bad_for_independence(alpha: float):
    found = coverage_of_truth(3000.0, alpha, replicates=150)
    assert 90 <= found["copula"] <= 99
    assert found["independent"] < 50


@pytest.mark.parametrize(("length_km", "alpha"), [(300.0, 0.0), (1000.0, 0.25), (3000.0, 0.5)])
def test_spread_of_a_sum_of_normal_pixels_is_that_of_the_kernel(length_km: float, alpha: float):
    """Var = a' K a for normal margins; the draws' share of error is 1 / sqrt(2 n)."""
    rng = np.random.default_rng(3)
    lat, lon = arctic(80)
    sd, area = 0.2 + rng.random(80), 0.2 + rng.random((2, 80))
    kernel = alpha + (1 - alpha) * np.exp(-haversine_km(lat, lon) / length_km)
    members = normal_members(np.zeros(80), sd, 2000)
    found = copula_sums(members, area, local_field(lat, lon, length_km), [alpha], rng, 8000)[0, 0]
    expected = np.sqrt(np.einsum("rp,pq,rq->r", area * sd, kernel, area * sd))
    np.testing.assert_allclose(found.std(axis=1), expected, rtol=0.03)


def test_independent_pixels_add_their_variances_and_equal_quantiles_their_deviations():
    rng = np.random.default_rng(4)
    sd, area = 0.2 + rng.random(60), np.ones((1, 60))
    members = normal_members(np.arange(60.0), sd, 4000)
    found = independent_sums(members, area, rng, 8000)[0, 0]
    assert found.std() == pytest.approx(np.sqrt((sd**2).sum()), rel=0.03)
    low, high = common_quantile(members, area, LIMITS)[0, 0]
    assert high - low == pytest.approx(2 * 1.959964 * sd.sum(), rel=2e-3)


def test_margins_stay_what_they_were():
    """One pixel of skewed members: its draws are its members, each as often."""
    rng = np.random.default_rng(5)
    members = np.sort(rng.lognormal(0, 1, (1, 1, 20)))
    found = copula_sums(members, np.ones((1, 1)), local_field([70.0], [20.0], 500.0), [0.5], rng, 20_000)
    values, counts = np.unique(found, return_counts=True)
    np.testing.assert_array_equal(values, members.ravel())
    assert abs(counts / 20_000 - 0.05).max() < 0.007


def test_pixels_at_one_place_go_together():
    lat, lon = np.array([65.0, 65.0]), np.array([120.0, 120.0])
    scores = local_field(lat, lon, 800.0).scores(np.random.default_rng(1), 500)
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-4)


def test_many_pixels_stand_on_inducing_places_and_the_cost_is_measured():
    lat, lon = arctic(1200, seed=2)
    rng = np.random.default_rng(6)
    area = 0.5 + rng.random(1200)
    whole = local_field(lat, lon, 1000.0)
    part = local_field(lat, lon, 1000.0, most=600, inducing=300)
    assert whole.exact
    assert not part.exact
    assert abs(whole.sd_error(area)) < 1e-8
    measured = part.sd_error(area)
    exact = np.sqrt(area @ np.exp(-haversine_km(lat, lon) / 1000.0) @ area)
    held = np.sqrt(np.sum((area @ part.root) ** 2) + np.sum((area * part.rest) ** 2))
    assert measured == pytest.approx(held / exact - 1, abs=1e-6)
    assert abs(measured) < 0.005
    np.testing.assert_allclose((part.root**2).sum(axis=1) + part.rest**2, 1.0, rtol=1e-9)
    draws = area @ part.scores(rng, 4000)
    assert draws.std() == pytest.approx(exact, rel=0.04)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1),
    pixels=st.integers(1, 12),
    length_km=st.floats(50, 5000),
    alpha=st.floats(0, 0.95),
)
def test_sums_lie_within_those_of_all_least_and_all_largest_members(
    seed: int, pixels: int, length_km: float, alpha: float
):
    rng = np.random.default_rng(seed)
    lat, lon = arctic(pixels, seed)
    members, area = rng.standard_normal((2, pixels, 7)), rng.random((3, pixels))
    ends = common_quantile(members, area, (0.0, 1.0))
    drawn = copula_sums(members, area, local_field(lat, lon, length_km), [alpha], rng, 50)[0]
    assert (drawn >= ends[..., :1] - 1e-9).all()
    assert (drawn <= ends[..., 1:] + 1e-9).all()
    apart = independent_sums(members, area, rng, 50)
    assert (apart >= ends[..., :1] - 1e-9).all()
    assert (apart <= ends[..., 1:] + 1e-9).all()


def test_what_cannot_be_summed_is_named():
    members, area = np.zeros((1, 3, 4)), np.ones((1, 3))
    lat, lon = arctic(3)
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="alpha 1; expected a length above 0"):
        copula_sums(members, area, local_field(lat, lon, 100.0), [1.0], rng)
    with pytest.raises(InputError, match="length 0 km"):
        Kernel(0.0, 0.5)
    with pytest.raises(InputError, match="field at 2 places, members of 3 pixels"):
        copula_sums(members, area, local_field(lat[:2], lon[:2], 100.0), [0.5], rng)
    members[0, 1, 2] = np.nan
    with pytest.raises(InputError, match=r"not finite\. Leave pixels without members out"):
        independent_sums(members, area, rng)
    with pytest.raises(InputError, match=r"members \(1, 3, 4\), weights \(1, 2\)"):
        common_quantile(members, area[:, :2], LIMITS)
