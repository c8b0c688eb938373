"""Laplace approximation, prior, noise: against closed forms, scipy's truncated normal and quadrature."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from talik.errors import ConfigError, InputError
from talik.tem.calibration.laplace import (
    ENOUGH_AGREEMENT,
    agreement,
    interval_of_draws,
    laplace,
    linear_interval,
)
from talik.tem.calibration.posterior import Noise, Posterior, Prior, independent_share, ranks, uniform_ranks

NAMES = ("C_max", "KDB", "N_max")


def normal_prior(reach: float = 40.0) -> Prior:
    mean, sd = np.array([1.0, -2.0, 0.5]), np.array([0.7, 3.0, 0.2])
    return Prior(NAMES, mean - reach * sd, mean + reach * sd, mean, sd)


def linear_model(seed: int = 3, m: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((m, 3)) * [1.0, 0.2, 3.0], rng.standard_normal(m) * 2.0


def exact(prior: Prior, design: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the conjugate posterior, by the gain form (Kalman), not by the information."""
    before = np.diag(prior.sd**2)
    gain = before @ design.T @ np.linalg.inv(design @ before @ design.T + np.eye(len(observed)))
    mean = prior.mean + gain @ (observed - design @ prior.mean)
    return mean, before - gain @ design @ before


@pytest.mark.parametrize("m", [12, 2])
def test_linear_gaussian_posterior_is_exact(m: int) -> None:
    prior, (design, observed) = normal_prior(), linear_model(m=m)
    mean, covariance = exact(prior, design, observed)
    found = laplace(prior, Noise.known(m), mean, observed - design @ mean, -design)
    np.testing.assert_allclose(found.covariance, covariance, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.standard_error, np.sqrt(np.diag(covariance)), rtol=1e-10)
    np.testing.assert_allclose(found.identifiable, 1 - np.diag(covariance) / prior.sd**2, rtol=1e-9)
    deviation = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(found.correlation, covariance / np.outer(deviation, deviation), atol=1e-10)
    assert found.distance < 1e-10
    assert not any("optimum" in note for note in found.notes)


def test_directions_are_those_of_the_generalised_eigenproblem() -> None:
    from scipy.linalg import eigh

    prior, (design, observed) = normal_prior(), linear_model()
    found = laplace(prior, Noise.known(12), prior.mean, observed - design @ prior.mean, -design)
    values, vectors = eigh(design.T @ design, np.diag(prior.sd**-2.0))
    np.testing.assert_allclose(found.eigenvalues, values[::-1], rtol=1e-10)
    overlap = np.abs(np.sum((vectors / prior.sd[:, None])[:, ::-1] * found.eigenvectors, axis=0))
    np.testing.assert_allclose(overlap, 1.0, atol=1e-10)
    along = np.diag(
        found.eigenvectors.T @ (found.covariance / np.outer(prior.sd, prior.sd)) @ found.eigenvectors
    )
    np.testing.assert_allclose(found.identifiable_directions, 1 - along, atol=1e-10)


def test_draws_of_a_linear_model_are_exact_from_any_point() -> None:
    prior, (design, observed) = normal_prior(), linear_model()
    mean, covariance = exact(prior, design, observed)
    elsewhere = mean + 1.5 * np.sqrt(np.diag(covariance))
    found = laplace(prior, Noise.known(12), elsewhere, observed - design @ elsewhere, -design)
    assert found.distance == pytest.approx(
        np.sqrt((elsewhere - mean) @ np.linalg.solve(covariance, elsewhere - mean)), rel=1e-6
    )
    assert any("not an optimum" in note for note in found.notes)
    draws = found.draws(4000, seed=1)
    error = np.sqrt(np.diag(covariance) / 4000)
    assert np.all(np.abs(draws.mean(axis=0) - mean) < 4 * error)
    whitened = np.linalg.solve(np.linalg.cholesky(covariance), (draws - mean).T)
    np.testing.assert_allclose(np.cov(whitened), np.eye(3), atol=4 * np.sqrt(2 / 4000))
    np.testing.assert_array_equal(draws, found.draws(4000, seed=1))
    assert not np.array_equal(draws, found.draws(4000, seed=2))


@pytest.mark.parametrize(
    ("low", "high", "mean", "sd"), [(0, 1, 0.9, 0.4), (-3, 8, -3, 2), (0, 1e-5, 0, 1), (5, 6, 5, 9)]
)
def test_prior_is_the_truncated_normal(low: float, high: float, mean: float, sd: float) -> None:
    prior = Prior(("a",), [low], [high], [mean], [sd])  # type: ignore[arg-type]
    oracle = stats.truncnorm((low - mean) / sd, (high - mean) / sd, mean, sd)
    draws = prior.draw(2000, np.random.default_rng(0))[:, 0]
    assert stats.kstest(draws, oracle.cdf).pvalue > 1e-3
    weight = integrate.quad(oracle.pdf, low, high)[0]
    first = integrate.quad(lambda x: x * oracle.pdf(x), low, high)[0] / weight
    second = integrate.quad(lambda x: (x - first) ** 2 * oracle.pdf(x), low, high)[0] / weight
    assert prior.variance[0] == pytest.approx(second, rel=1e-6)
    x = np.linspace(low, high, 5)
    found = np.asarray(prior.log_density(jnp.asarray(x[:, None])))
    np.testing.assert_allclose(found - found[0], oracle.logpdf(x) - oracle.logpdf(x[0]), atol=1e-9)


def test_uniform_prior() -> None:
    prior = Prior.uniform(("a", "b"), [0.0, -1.0], [1.0, 5.0])
    np.testing.assert_allclose(prior.variance, stats.uniform(scale=[1.0, 6.0]).var())
    draws = prior.draw(2000, np.random.default_rng(0))
    assert stats.kstest(draws[:, 1], stats.uniform(-1, 6).cdf).pvalue > 1e-3
    assert np.all(np.asarray(prior.log_density(jnp.asarray(draws))) == 0.0)


@pytest.mark.parametrize(
    ("seen", "x", "sigma"),
    [
        (2.0, 1.0, 0.5),
        (2.0, 0.2, 0.5),
        (2.0, 1.0, 0.03),
        (2.0, 0.0, 5.0),
        (2.0, 0.7, 900.0),
        (-1.0, 0.0, 0.2),
    ],
)
def test_draws_at_a_limit_are_the_truncated_normal(seen: float, x: float, sigma: float) -> None:
    """One parameter with a uniform prior on 0..1, seen outside."""
    prior = Prior.uniform(("a",), [0.0], [1.0])
    found = laplace(prior, Noise.known(1), [x], [(seen - x) / sigma], [[-1 / sigma]])
    oracle = stats.truncnorm(-seen / sigma, (1.0 - seen) / sigma, seen, sigma)
    assert stats.kstest(found.draws(3000, seed=4)[:, 0], oracle.cdf).pvalue > 1e-3
    assert found.at_limit == ({1.0: "high", 0.0: "low"}.get(x, ""),)
    pressed = x == np.clip(seen, 0.0, 1.0)
    assert any("upper limit" in note for note in found.notes) is (x == 1.0)
    assert (found.distance == 0.0) is bool(pressed)


@pytest.mark.parametrize("slope", [6.0, -6.0, 1e-9])
def test_draws_along_a_line_without_curvature_are_exponential(slope: float) -> None:
    found = laplace(Prior.uniform(("a",), [0.0], [1.0]), Noise.known(1), [0.4], [slope * 1e5], [[1e-5]])
    oracle = stats.truncexpon(b=abs(slope), scale=1 / abs(slope))
    draws = found.draws(3000, seed=4)[:, 0]
    assert stats.kstest(draws if slope > 0 else 1 - draws, oracle.cdf).pvalue > 1e-3


def test_draws_inside_limits_have_the_moments_of_quadrature() -> None:
    """Two parameters, strongly correlated, cut by three limits."""
    prior = Prior.uniform(("a", "b"), [-1.0, -0.5], [1.0, 4.0])
    root = np.array([[2.0, -1.9], [0.0, 0.8]])
    target = np.array([0.5, 0.2])
    x = np.array([0.3, 0.1])
    found = laplace(prior, Noise.known(2), x, root @ (target - x), -root)

    def density(b: float, a: float) -> float:
        return float(np.exp(-0.5 * np.sum((root @ ([a, b] - target)) ** 2)))

    def moment(f: Callable[[float, float], float]) -> float:
        return integrate.dblquad(lambda b, a: f(a, b) * density(b, a), -1.0, 1.0, -0.5, 4.0, epsabs=1e-8)[0]

    weight = moment(lambda a, b: 1.0)
    draws = found.draws(6000, seed=0)
    for f in (lambda a, b: a, lambda a, b: b, lambda a, b: a * b, lambda a, b: b * b):
        values = f(*draws.T)
        assert abs(values.mean() - moment(f) / weight) < 4 * values.std() / np.sqrt(6000)


def test_a_direction_without_information_keeps_its_prior() -> None:
    prior = Prior(("a", "b", "c"), [0, 0, 0], [1, 2, 1], [0, 0, 0.5], [np.inf, np.inf, 0.1])  # type: ignore[arg-type]
    jacobian = np.array([[50.0, 0.0, 0.0], [100.0, 0.0, 0.0]])
    found = laplace(prior, Noise.known(2), [0.5, 0.7, 0.5], [0.0, 0.0], jacobian)
    np.testing.assert_allclose(found.standard_error[1:] ** 2, prior.variance[1:], rtol=1e-12)
    np.testing.assert_allclose(found.identifiable[1:], 0.0, atol=1e-12)
    np.testing.assert_allclose(found.identifiable_directions[1:], 0.0, atol=1e-12)
    assert found.identifiable[0] > 0.99
    assert [n for n in found.notes if "say nothing" in n] == [
        f"the data say nothing about {name} (less than 1 % of its prior variance is gone)"
        for name in ("b", "c")
    ]
    draws = found.draws(2000, seed=0)
    assert stats.kstest(draws[:, 0], stats.norm(0.5, 12500**-0.5).cdf).pvalue > 1e-3
    assert stats.kstest(draws[:, 1], stats.uniform(0, 2).cdf).pvalue > 1e-3
    assert stats.kstest(draws[:, 2], stats.truncnorm(-5, 5, 0.5, 0.1).cdf).pvalue > 1e-3


def test_only_the_difference_of_two_parameters_is_seen() -> None:
    prior = Prior.uniform(("a", "b"), [0.0, 0.0], [1.0, 1.0])
    found = laplace(prior, Noise.known(1), [0.5, 0.5], [0.0], [[100.0, -100.0]])
    np.testing.assert_allclose(np.abs(found.eigenvectors[:, 1]), 0.5**0.5)
    assert found.identifiable_directions[1] < 1e-12
    assert found.identifiable_directions[0] > 0.999
    assert found.correlation[0, 1] > 0.99
    draws = found.draws(3000, seed=2)
    assert stats.kstest(draws[:, 0] - draws[:, 1], stats.norm(0, 0.01).cdf).pvalue > 1e-3
    assert stats.kstest(draws[:, 0], stats.uniform.cdf).pvalue > 1e-3


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_data_never_add_uncertainty_and_draws_keep_limits(seed: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    prior = Prior.uniform(NAMES, -rng.uniform(0.1, 5, 3), rng.uniform(0.1, 5, 3))
    jacobian = rng.standard_normal((m, 3)) * 10.0 ** rng.uniform(-4, 3, (m, 1))
    found = laplace(prior, Noise.known(m), prior.draw(1, rng)[0], rng.standard_normal(m), jacobian)
    assert np.all((found.identifiable >= -1e-12) & (found.identifiable <= 1.0))
    assert np.linalg.eigvalsh(found.covariance).min() > 0
    draws = found.draws(20, seed)
    assert np.all((draws >= prior.low) & (draws <= prior.high))
    more = laplace(
        prior,
        Noise.known(m + 1),
        found.optimum,
        np.zeros(m + 1),
        np.vstack([jacobian, rng.standard_normal(3)]),
    )
    assert np.all(more.standard_error <= found.standard_error * (1 + 1e-9))


def test_unknown_scale_is_the_most_probable_and_widens_the_errors() -> None:
    rng = np.random.default_rng(0)
    noise = Noise(("nee", "tsl"), np.repeat([0, 1], [40, 30]), np.array([0.5, 1.0]), ("nee",), spread=2.0)
    residual = rng.standard_normal(70) * np.repeat([3.0, 1.0], [40, 30])
    jacobian = rng.standard_normal((70, 1))
    found = laplace(Prior.uniform(("a",), [-9], [9]), noise, [0.0], residual, jacobian)
    assert found.coordinates.names == ("a", "ln scale of nee")
    grid = np.linspace(-2, 4, 600_001)
    squares = np.sum(residual[:40] ** 2)
    ln_density = 0.5 * (-40 * grid - 0.5 * squares * np.exp(-2 * grid)) + stats.norm(0, 2).logpdf(grid)
    assert found.optimum[1] == pytest.approx(grid[np.argmax(ln_density)], abs=2e-5)
    s = np.exp(found.optimum[1])
    information = 0.5 * np.sum(jacobian[:40] ** 2) / s**2 + np.sum(jacobian[40:] ** 2)
    assert found.standard_error[0] == pytest.approx((information + 12 / 18**2) ** -0.5, rel=1e-9)
    assert found.standard_error[1] == pytest.approx(
        (2 * 0.5 * 40 + 1 / found.coordinates.variance[1]) ** -0.5
    )


@pytest.mark.parametrize(("size", "limit"), [(0.0, -5.0), (1e9, 5.0)])
def test_a_scale_stays_inside_its_limits(size: float, limit: float) -> None:
    noise = Noise(("nee",), np.zeros(4000, int), np.ones(1), ("nee",))
    found = laplace(Prior.uniform(("a",), [0], [1]), noise, [0.5], np.full(4000, size), np.ones((4000, 1)))
    assert found.optimum[1] == limit
    assert any("ln scale of nee lies at" in note for note in found.notes)


def test_log_density_of_the_posterior_is_the_sum_of_normal_densities() -> None:
    noise = Noise(("nee", "tsl"), np.array([0, 0, 1, 1, 1]), np.array([1.0, 0.4]), ("tsl",), spread=0.5)
    prior = Prior(("a",), [-3], [3], [1], [0.5])  # type: ignore[arg-type]
    observed = np.array([0.1, 0.4, -1.0, 2.0, 0.0])
    posterior = Posterior(lambda x: observed - x, prior, noise)
    z = np.array([[0.3, 0.2], [-1.0, 1.0], [2.0, -0.7]])
    want = [
        stats.norm(1, 0.5).logpdf(a)
        + stats.norm(0, 0.5).logpdf(ln_s)
        + stats.norm(a).logpdf(observed[:2]).sum()
        + 0.4 * stats.norm(a, np.exp(ln_s)).logpdf(observed[2:]).sum()
        for a, ln_s in z
    ]
    found = np.asarray(posterior.log_density(jnp.asarray(z)))
    np.testing.assert_allclose(np.diff(found), np.diff(want), rtol=1e-12)


def test_agreement_is_one_for_a_linear_model() -> None:
    prior, (design, observed) = normal_prior(reach=1.5), linear_model()
    posterior = Posterior(lambda x: observed - x @ design.T, prior, Noise.known(12))
    x = prior.mean + 0.3 * prior.sd
    found = laplace(prior, posterior.noise, x, observed - design @ x, -design)
    draws = found.draws(200, seed=0)
    density = np.asarray(posterior.log_density(jnp.asarray(draws)))
    assert agreement(found, draws, density) == pytest.approx(1.0, abs=1e-9)
    failing = np.where(np.arange(200) < 50, np.nan, density)
    assert agreement(found, draws, failing) == pytest.approx(0.75, abs=1e-9)
    assert agreement(found, draws, np.full(200, np.nan)) == 0.0


def test_a_banana_is_told_from_a_linear_model() -> None:
    prior = Prior.uniform(("a", "b"), [-4.0, -3.0], [4.0, 16.0])

    def residual(x: Any) -> Any:
        return jnp.stack([x[:, 0], (x[:, 1] - x[:, 0] ** 2) / 0.1], axis=1)

    found = laplace(prior, Noise.known(2), [0.0, 0.0], [0.0, 0.0], [[1.0, 0.0], [0.0, 10.0]])
    draws = found.draws(1000, seed=0)
    density = Posterior(residual, prior, Noise.known(2)).log_density(jnp.asarray(draws))
    assert agreement(found, draws, density) < 0.25 < ENOUGH_AGREEMENT


def test_predictive_intervals_of_a_linear_model() -> None:
    prior, (design, observed) = normal_prior(), linear_model()
    mean, covariance = exact(prior, design, observed)
    found = laplace(prior, Noise.known(12), mean, observed - design @ mean, -design)
    g = np.array([[1.0, 0.5, -2.0], [0.0, 1.0, 0.0]])
    noise_sd = np.array([0.3, 0.0])
    by_line = linear_interval(found, g @ mean, g, level=0.8, noise_sd=noise_sd)
    oracle = stats.norm(g @ mean, np.sqrt(np.diag(g @ covariance @ g.T) + noise_sd**2))
    np.testing.assert_allclose(by_line.low, oracle.ppf(0.1), rtol=1e-9)
    np.testing.assert_allclose(by_line.high, oracle.ppf(0.9), rtol=1e-9)
    by_draws = interval_of_draws(found.draws(8000, seed=0) @ g.T, level=0.8, noise_sd=noise_sd, seed=1)
    error = 4 * np.sqrt(0.1 * 0.9 / 8000) / oracle.pdf(oracle.ppf(0.1))
    assert np.all(np.abs(by_draws.low - oracle.ppf(0.1)) < error)
    assert np.all(np.abs(by_draws.high - oracle.ppf(0.9)) < error)
    assert np.all(np.abs(by_draws.middle - oracle.median()) < error)
    assert json.loads(json.dumps(by_draws.to_dict()))["level"] == 0.8


def test_to_dict_is_json_and_complete() -> None:
    prior, (design, observed) = normal_prior(), linear_model()
    found = laplace(prior, Noise.known(12), prior.mean, observed, -design).to_dict()
    again = json.loads(json.dumps(found, allow_nan=False))
    assert [c["name"] for c in again["coordinates"]] == list(NAMES)
    assert len(again["directions"]) == len(again["correlation"]) == 3
    assert set(again["directions"][0]["components"]) == set(NAMES)


def test_independent_share_of_autoregressive_noise() -> None:
    """Two sites of an AR(1) with r = 0.6 in one stream, white noise in another: (1-r)/(1+r) = 0.25, and about 1."""
    rng = np.random.default_rng(8)
    count, r = 20_000, 0.6
    walk = np.zeros((2, count))
    for t in range(1, count):
        walk[:, t] = r * walk[:, t - 1] + rng.standard_normal(2)
    residual = np.concatenate([walk.ravel(), rng.standard_normal(count)])
    series, month = np.repeat([0, 1, 2], count), np.tile(np.arange(count), 3)
    stream = np.repeat([0, 0, 1], count)
    share = independent_share(residual, stream, series, month, 2)
    assert share[0] == pytest.approx(0.25, abs=0.02)
    assert share[1] > 0.97
    kept = rng.uniform(size=3 * count) < 0.5
    gaps = independent_share(*(a[kept] for a in (residual, stream, series, month)), 2)
    assert gaps[0] == pytest.approx(0.25, abs=0.03)
    order = rng.permutation(3 * count)
    np.testing.assert_allclose(
        independent_share(*(a[order] for a in (residual, stream, series, month)), 2), share
    )


def test_independent_share_where_little_can_be_said() -> None:
    months = np.array([0, 1, 2, 4, 6, 8, 10])
    zeros = np.zeros(7, int)
    assert independent_share(np.ones(7), zeros, zeros, months, 2).tolist() == [1.0, 1.0]  # two pairs; no data
    assert independent_share(np.ones(7), zeros, zeros, np.arange(7), 1)[0] == pytest.approx(1 / 7)
    assert independent_share(np.zeros(7), zeros, zeros, np.arange(7), 1)[0] == 1.0
    alternating = np.array([1.0, -1, 1, -1, 1, -1, 1])
    assert independent_share(alternating, zeros, zeros, np.arange(7), 1)[0] == 1.0


def conjugate(sigma: float) -> Callable[[np.ndarray, np.random.Generator], np.ndarray]:
    """Draws of the mean of four normal observations by `laplace`, which takes their sigma to be `sigma`."""
    prior = Prior(("mean",), [-400], [400], [0], [10])  # type: ignore[arg-type]

    def sampler(data: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        found = laplace(prior, Noise.known(4), [0.0], data / sigma, np.full((4, 1), -1 / sigma))
        return found.draws(19, seed=int(rng.integers(2**31)))

    return sampler


def test_simulation_based_calibration() -> None:
    prior = Prior(("mean",), [-400], [400], [0], [10])  # type: ignore[arg-type]

    def simulate(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return x + 2.0 * rng.standard_normal(4)

    right = ranks(simulate, conjugate(2.0), prior, 300, seed=1)
    assert right.shape == (300, 1)
    assert set(np.unique(right)) == set(range(20))
    assert uniform_ranks(right, 19)[0] > 0.01
    assert uniform_ranks(ranks(simulate, conjugate(1.0), prior, 300, seed=1), 19)[0] < 1e-6
    assert uniform_ranks(ranks(simulate, conjugate(4.0), prior, 300, seed=1), 19)[0] < 1e-3


def test_uniform_ranks_is_the_chi_square_test() -> None:
    rank = np.random.default_rng(0).integers(0, 20, (200, 2))
    want = [stats.chisquare(np.bincount(column // 2, minlength=10)).pvalue for column in rank.T]
    np.testing.assert_allclose(uniform_ranks(rank, 19), want)
    with pytest.raises(InputError, match=r"4\.0 ranks expected in one, at least 5"):
        uniform_ranks(rank[:40], 19)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 0], [1], [0, 0], [1, 1]), "high has shape"),
        (([0, 2], [1, 1], [0, 0], [1, 1]), "prior of b: limits are 2 and 1"),
        (([0, 0], [1, np.inf], [0, 0], [1, 1]), "prior of b: limits are 0 and inf"),
        (([0, 0], [1, 1], [0, 0], [1, 0]), "prior of b: sd is 0"),
        (([0, 0], [1, 1], [0, 3], [1, 1]), "mean 3 lies outside the limits 0 to 1"),
    ],
)
def test_wrong_priors(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Prior(("a", "b"), *arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stream": [0, 2]}, "numbered 0 to 2 but 2 are named"),
        ({"weight": [1.0]}, "give each of the 2 streams one"),
        ({"weight": [1.0, 1.5]}, "at most 1"),
        ({"unknown": ("gpp",)}, r"no stream \['gpp'\]; streams are nee, tsl"),
        ({"spread": 0.0}, "spread is 0"),
    ],
)
def test_wrong_noise(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Noise(**({"streams": ("nee", "tsl"), "stream": [0, 1], "weight": [1.0, 1.0]} | change))


def test_wrong_input() -> None:
    prior, two = Prior.uniform(("a",), [0], [1]), Noise.known(2)
    for x, residual, message in (
        (0.5, [0.0], r"residual has shape \(1,\), expected \(2,\)"),
        (0.5, [0.0, np.nan], "residual has 1 values that are not finite"),
        (1.5, [0.0, 0.0], "a is 1.5, outside its limits 0 to 1"),
    ):
        with pytest.raises(InputError, match=message):
            laplace(prior, two, [x], residual, np.ones((2, 1)))
    with pytest.raises(InputError, match="1 of 3 draws"):
        interval_of_draws([[1.0], [np.inf], [2.0]])
    with pytest.raises(ConfigError, match="level is 90"):
        interval_of_draws([[1.0], [2.0]], level=90)
    with pytest.raises(InputError, match=r"residuals of shape \(1, 1\) but the noise is for 2"):
        Posterior(lambda x: x, prior, two).log_density(jnp.zeros((1, 1)))
