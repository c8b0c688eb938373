"""No-U-Turn Sampler: moments against closed forms and quadrature; diagnostics against known values and numpyro's."""

from __future__ import annotations

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin
from pydantic import ValidationError
from scipy import stats

from talik.convergence import bulk_ess, rhat, tail_ess
from talik.errors import InputError
from talik.tem.calibration.laplace import laplace
from talik.tem.calibration.nuts import Chains, Settings, sample
from talik.tem.calibration.posterior import Noise, Posterior, Prior

SHORT = Settings(warmup=300, draws=700, seed=5)


def by_loop(x: Any) -> Any:
    """x (start, n), by a loop whose length is not known before, as in the process model; reverse mode cannot do it."""
    return jax.lax.while_loop(
        lambda s: s[0] < s[1], lambda s: (s[0] + 1, s[1], s[2] + x / 8), (0, 8, x * 0.0)
    )[2]


def quadrature(f: Any, density: Any, low: Any, high: Any) -> float:
    """Mean of f(a, b) under a density of two coordinates that need not integrate to 1, by Gauss and Legendre."""
    node, weight = np.polynomial.legendre.leggauss(400)
    a, b = (lo + 0.5 * (hi - lo) * (node + 1) for lo, hi in zip(low, high, strict=True))
    share = weight[:, None] * weight * density(a[:, None], b)
    return float(np.sum(share * f(a[:, None], b)) / share.sum())


def chains_of(draws: np.ndarray, diverging: int = 0, steps: int = 7, **settings: Any) -> Chains:
    """`draws` (chain, draw) as if a sampler had made them."""
    failed = np.arange(draws.size).reshape(draws.shape) < diverging
    like = (np.full(draws.shape, 0.8), np.full(draws.shape, steps))
    return Chains(("a",), draws[..., None], failed, *like, Settings(**settings))


@pytest.mark.science
def test_linear_gaussian_posterior() -> None:
    """Mean and variance within four Monte Carlo errors of the conjugate posterior, errors from the sample sizes."""
    rng = np.random.default_rng(1)
    design, observed = rng.standard_normal((12, 3)) * [1.0, 0.2, 3.0], rng.standard_normal(12) * 2
    mean, sd = np.array([1.0, -2.0, 0.5]), np.array([0.7, 3.0, 0.2])
    prior = Prior(("C_max", "KDB", "N_max"), mean - 40 * sd, mean + 40 * sd, mean, sd)
    precision = design.T @ design + np.diag(sd**-2.0)
    centre = np.linalg.solve(precision, design.T @ observed + mean / sd**2)
    covariance = np.linalg.inv(precision)
    posterior = Posterior(lambda x: observed - by_loop(x) @ design.T, prior, Noise.known(12))
    start = laplace(prior, posterior.noise, centre, observed - design @ centre, -design)
    found = sample(posterior, start, SHORT)
    assert found.draws.shape == (4, 700, 3)
    assert found.verdict().trusted, found.verdict().reasons
    z = (found.together - centre) / np.sqrt(np.diag(covariance))
    ess = np.minimum(found.bulk_ess, found.tail_ess)
    assert np.all(np.abs(z.mean(axis=0)) < 4 / np.sqrt(ess))
    assert np.all(np.abs((z**2).mean(axis=0) - 1) < 4 * np.sqrt(2 / ess))
    correlation = covariance / np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    np.testing.assert_allclose(np.corrcoef(z.T), correlation, atol=4 / np.sqrt(ess.min()))
    summary = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert summary["trusted"]
    assert summary["coordinates"][0]["mean"] == pytest.approx(centre[0], abs=0.3)
    assert summary["gradients"] == found.steps.sum()


@pytest.mark.science
def test_limits_are_kept_and_the_density_inside_is_right() -> None:
    """A uniform coordinate pushed to its upper limit, one that data say nothing about, and an unknown scale."""
    rng = np.random.default_rng(2)
    observed = 1.1 + 0.2 * rng.standard_normal(20)
    prior = Prior.uniform(("a", "free"), [0.0, -2.0], [1.0, 3.0])
    noise = Noise(("nee",), np.zeros(20, int), np.ones(1), ("nee",), spread=1.5)
    posterior = Posterior(lambda x: (observed - x[:, :1]) / 0.1, prior, noise)
    jacobian = np.tile([-10.0, 0.0], (20, 1))
    start = laplace(prior, noise, [1.0, 0.5], (observed - 1.0) / 0.1, jacobian)
    found = sample(posterior, start, SHORT)
    assert found.verdict().trusted, found.verdict().reasons
    a, free, ln_s = found.together.T
    assert a.max() <= 1.0
    assert found.names == ("a", "free", "ln scale of nee")

    def density(a: Any, ln_s: Any) -> Any:
        square = np.sum(observed**2) - 2 * a * observed.sum() + 20 * a * a
        return np.exp(30 - 20 * ln_s - 50 * square * np.exp(-2 * ln_s) - 0.5 * (ln_s / 1.5) ** 2)

    def expected(f: Any) -> float:
        return quadrature(f, density, [0.5, -0.5], [1.0, 3.0])

    error = 4 / np.sqrt(np.minimum(found.bulk_ess, found.tail_ess))
    centre = expected(lambda a, ln_s: ln_s)
    assert abs(a.mean() - expected(lambda a, ln_s: a)) < error[0] * a.std()
    assert abs(ln_s.mean() - centre) < error[2] * ln_s.std()
    deviation = np.sqrt(expected(lambda a, ln_s: (ln_s - centre) ** 2))
    assert ln_s.std() == pytest.approx(deviation, rel=error[2])
    thin = free[:: int(np.ceil(free.size / found.bulk_ess[1])) * 2]
    assert stats.kstest(thin, stats.uniform(-2, 5).cdf).pvalue > 1e-3


@pytest.mark.science
def test_banana_has_the_moments_of_quadrature() -> None:
    """Rosenbrock's valley, a ~ N(0.5, 1), b - a^2 ~ N(0, 0.5), in limits that cut it."""
    prior = Prior.uniform(("a", "b"), [-2.0, -2.0], [3.0, 4.0])

    def residual(x: Any) -> Any:
        return jnp.stack([x[:, 0] - 0.5, (x[:, 1] - x[:, 0] ** 2) / 0.5], axis=1)

    noise = Noise.known(2)
    start = laplace(prior, noise, [0.5, 0.25], [0.0, 0.0], [[1.0, 0.0], [-2.0, 2.0]])
    found = sample(
        Posterior(residual, prior, noise), start, Settings(draws=2000, target_acceptance=0.95, seed=1)
    )
    assert found.verdict().trusted, found.verdict().reasons

    def density(a: Any, b: Any) -> Any:
        return np.exp(-0.5 * ((a - 0.5) ** 2 + ((b - a * a) / 0.5) ** 2))

    def expected(f: Any) -> float:
        return quadrature(f, density, [-2.0, -2.0], [3.0, 4.0])

    for f in (lambda a, b: a, lambda a, b: b, lambda a, b: a * a, lambda a, b: a * b, lambda a, b: b * b):
        values = f(*found.draws.transpose(2, 0, 1))[..., None]
        error = 4 * values.std() / np.sqrt(min(bulk_ess(values)[0], tail_ess(values)[0]))
        assert abs(values.mean() - expected(f)) < error
    linear = start.draws(4000, seed=0)
    assert abs((linear[:, 1] ** 2).mean() - expected(lambda a, b: b * b)) > error


def test_a_failing_model_is_named_before_sampling() -> None:
    prior = Prior.uniform(("a",), [0.0], [1.0])
    posterior = Posterior(lambda x: jnp.where(x > 0.02, jnp.nan, x), prior, Noise.known(1))
    start = laplace(prior, posterior.noise, [0.01], [0.01], [[1.0]])
    with pytest.raises(InputError, match=r"finite at \d of 40 points .* 4 chains need a start each"):
        sample(posterior, start, Settings())
    other = laplace(Prior.uniform(("b",), [0.0], [1.0]), posterior.noise, [0.01], [0.01], [[1.0]])
    with pytest.raises(InputError, match="is of b but the posterior of a"):
        sample(posterior, other, Settings())


def test_one_chain_where_half_of_the_range_fails() -> None:
    """The model fails in half of the range; the sampler stays in the other half, and says what happened."""
    prior = Prior.uniform(("a",), [-1.0], [1.0])
    posterior = Posterior(lambda x: jnp.where(x > 0.0, jnp.nan, x), prior, Noise.known(1))
    start = laplace(prior, posterior.noise, [-0.1], [-0.1], [[1.0]])
    short = Settings(chains=1, warmup=100, draws=200, seed=3)
    found = sample(posterior, start, short)
    np.testing.assert_array_equal(found.draws, sample(posterior, start, short).draws)
    assert found.draws.shape == (1, 200, 1)
    assert found.draws.max() <= 0.0
    assert found.diverging.any()
    assert not found.verdict().trusted
    assert any("diverged" in reason for reason in found.verdict().reasons)


def test_effective_sizes_that_are_known() -> None:
    """Independent draws of twenty sizes are worth themselves; a normal AR(1) count (1 - r)/(1 + r), r = 0.7."""
    rng, r = np.random.default_rng(3), 0.7
    draws = rng.standard_normal((4, 1000, 20)) * 10.0 ** np.arange(20)
    assert np.all(np.abs(rhat(draws) - 1) < 0.01)
    assert bulk_ess(draws).mean() == pytest.approx(4000, rel=0.08)
    assert tail_ess(draws).mean() == pytest.approx(4000, rel=0.1)
    assert chains_of(draws[..., 0]).verdict().trusted
    walk = rng.standard_normal((4, 5000, 1))
    walk[:, 0] /= np.sqrt(1 - r * r)
    for t in range(1, 5000):
        walk[:, t] += r * walk[:, t - 1]
    assert bulk_ess(walk)[0] == pytest.approx(20_000 * 0.3 / 1.7, rel=0.1)


def test_ranks_change_little_where_draws_are_normal_and_nothing_under_a_monotone_map() -> None:
    rng = np.random.default_rng(4)
    draws = (rng.standard_normal((4, 500)).cumsum(axis=1) * 0.02 + rng.standard_normal((4, 500)))[..., None]
    halves = np.concatenate([draws[:, :250], draws[:, 250:]])
    assert bulk_ess(draws)[0] == pytest.approx(effective_sample_size(halves)[0], rel=0.05)
    assert rhat(draws)[0] == pytest.approx(split_gelman_rubin(draws)[0], abs=0.01)
    np.testing.assert_allclose(bulk_ess(np.exp(5 * draws)), bulk_ess(draws))
    np.testing.assert_allclose(tail_ess(np.exp(5 * draws)), tail_ess(draws))


def test_rhat_sees_what_the_classical_one_misses() -> None:
    """Chains of one mean but different spread, and of infinite variance but different places (Vehtari et al., 2021)."""
    rng = np.random.default_rng(5)
    spread = rng.standard_normal((4, 1000, 1)) * np.array([1.0, 1.0, 1.0, 3.0])[:, None, None]
    cauchy = rng.standard_cauchy((4, 1000, 1)) + np.array([0.0, 0.0, 0.0, 2.0])[:, None, None]
    for draws in (spread, cauchy):
        assert split_gelman_rubin(draws)[0] < 1.01 < 1.05 < rhat(draws)[0]


def test_a_stuck_chain_is_not_trusted() -> None:
    draws = np.random.default_rng(6).standard_normal((4, 1000))
    draws[3] = 0.5
    assert any("R-hat" in reason for reason in chains_of(draws).verdict().reasons)
    for still in (draws, np.zeros((4, 1000)), np.zeros((4, 1000)) + np.arange(4)[:, None]):
        found = chains_of(still)
        assert not found.verdict().trusted
        json.dumps(found.to_dict(), allow_nan=False)


def test_verdict_names_each_fault() -> None:
    draws = np.random.default_rng(7).standard_normal((4, 80))
    few = chains_of(draws, rhat_below=1.1).verdict()
    assert not few.trusted
    assert "independent ones, not more than 400" in few.reasons[0]
    assert chains_of(draws, rhat_below=1.1, ess_above=100).verdict().trusted
    failed = chains_of(draws, diverging=3, rhat_below=1.1, ess_above=100).verdict()
    assert not failed.trusted
    assert failed.reasons[0].startswith("3 of 320 transitions diverged")
    deep = chains_of(draws, steps=255, rhat_below=1.1, ess_above=100)
    assert np.all(deep.tree_depth == 8)
    assert deep.verdict().trusted
    assert "cut short at max_tree_depth" in deep.verdict().advice[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chains": 0}, "greater than or equal to 1"),
        ({"warmup": 0}, "greater than or equal to 1"),
        ({"draws": 3}, "greater than or equal to 4"),
        ({"target_acceptance": 1.0}, "less than 1"),
        ({"max_tree_depth": 0}, "greater than or equal to 1"),
        ({"rhat_below": 1.0}, "greater than 1"),
        ({"thinning": 2}, "Extra inputs are not permitted"),
    ],
)
def test_wrong_settings(change: dict[str, Any], message: str) -> None:
    (name,) = change
    with pytest.raises(ValidationError, match=rf"{name}\n  .*{message}"):
        Settings(**change)
