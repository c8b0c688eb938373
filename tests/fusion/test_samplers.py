"""Samplers on densities whose moments, quantiles and integrals are known."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from talik.convergence import bulk_ess, rhat, tail_ess
from talik.errors import ConfigError
from talik.fusion.de import DeSettings, de
from talik.fusion.draws import of_rounds
from talik.fusion.hmc import HmcSettings, HmcState, Round, draw_round, slower, starts, warm_up
from talik.fusion.leapfrog import scattered
from talik.fusion.nuts import NutsSettings, nuts
from talik.fusion.smc import SmcSettings, smc
from talik.fusion.target import Target, at, normals

WIDE = 4.0
"""Standard deviation of the reference."""


def wide(u: Any, _data: Any) -> Any:
    return stats_normal(u / WIDE).sum(axis=1) - u.shape[1] * np.log(WIDE)


def stats_normal(x: Any) -> Any:
    return -0.5 * x**2 - 0.5 * np.log(2 * np.pi)


def target_of(n: int, log_density: Any) -> Target:
    return Target(n, log_density, wide, lambda keys, _data, chains: WIDE * normals(keys, n, chains))


def gaussian(u: Any, data: Any) -> Any:
    mean, precision = data
    away = u - mean[..., None]
    return -0.5 * jnp.einsum("pic,pij,pjc->pc", away, precision, away)


def banana(u: Any, bend: Any) -> Any:
    return stats_normal(u[:, 0]) + stats_normal(u[:, 1] - bend[:, None] * (u[:, 0] ** 2 - 1))


def two_hills(u: Any, share: Any) -> Any:
    low = jnp.log(share)[:, None] + stats_normal((u[:, 0] + 4) / 0.5) - jnp.log(0.5)
    high = jnp.log1p(-share)[:, None] + stats_normal(u[:, 0] - 4)
    return jnp.logaddexp(low, high) + stats_normal(u[:, 1]) + 2.5


def walls(u: Any, scale: Any) -> Any:
    s = scale[:, None, None]
    return jnp.sum(-0.5 * u**2 + jax.nn.log_sigmoid((u + 0.5) / s) + jax.nn.log_sigmoid((1 - u) / s), axis=1)


def gallery(u: Any, data: Any) -> Any:
    """Another density in each pixel: 0 banana, 1 walls, 2 two hills; with one number of it."""
    kind, number = data
    return jnp.select(
        [kind[:, None] == i for i in range(3)],
        [banana(u, number), walls(u, number), two_hills(u, jnp.clip(number, 0, 0.9))],
    )


GAUSSIAN, GALLERY = target_of(4, gaussian), target_of(2, gallery)
KINDS = (jnp.array([0, 1, 1, 2]), jnp.array([0.8, 0.05, 0.2, 0.3]))
PIXELS = [7, 3, 4, 90]
SMALL = SmcSettings(particles=192, shrinkage=0.01, moves=3)
SHORT = HmcSettings(chains=8, warmup=200, draws=400)


def gaussians() -> tuple[np.ndarray, np.ndarray]:
    """Means (3, 4) and covariances (3, 4, 4) with condition number 1e6 and axes askew."""
    rng = np.random.default_rng(0)
    axes = [np.linalg.qr(rng.standard_normal((4, 4)))[0] for _ in range(3)]
    return rng.standard_normal((3, 4)), np.array([q @ np.diag([1e-6, 1e-3, 0.1, 1]) @ q.T for q in axes])


@pytest.fixture(scope="module")
def shown() -> Any:
    """Particles of the gallery, starts and draws of HMC."""
    particles = smc(GALLERY, KINDS, PIXELS, 4, SMALL)
    first = starts(particles, SHORT.chains, 4, PIXELS)
    state, spent = warm_up(GALLERY, KINDS, PIXELS, 4, first, particles.factor, particles.step, SHORT)
    return particles, first, of_rounds([draw_round(GALLERY, KINDS, PIXELS, 4, state, SHORT)[1]], 1.0, spent)


@pytest.fixture(scope="module")
def askew() -> Any:
    means, covariances = gaussians()
    data = (jnp.asarray(means), jnp.linalg.inv(covariances))
    particles = smc(GAUSSIAN, data, [11, 5, 8], 1, SMALL)
    first = starts(particles, SHORT.chains, 1, [11, 5, 8])
    state, spent = warm_up(GAUSSIAN, data, [11, 5, 8], 1, first, particles.factor, particles.step, SHORT)
    return data, means, covariances, particles, state, spent


def assert_quantiles(values: np.ndarray, exact: Any, levels: tuple[float, ...] = (0.1, 0.5, 0.9)) -> None:
    """Shares of draws (chain, draw) below the exact quantiles, within four Monte Carlo errors."""
    for level, edge in zip(levels, exact, strict=True):
        below = (values < edge).astype(float)[..., None]
        error = np.sqrt(level * (1 - level) / min(bulk_ess(below)[0], values.size))
        assert abs(below.mean() - level) < 4 * error, (level, below.mean(), error)


def test_gradients_of_all_chains_in_one_pass():
    """Against one chain at a time; a chain where the density ends is impossible and harms no other."""

    def edge(u: Any, data: Any) -> Any:
        return jnp.where(u[:, 0] > 2, jnp.nan, banana(u, data))

    target, bend, beta = target_of(2, edge), jnp.array([0.3, 0.6]), jnp.array([0.2, 0.7])
    u = jnp.asarray(np.random.default_rng(1).standard_normal((2, 2, 3)))
    u = u.at[0, 0, 1].set(3.0)

    def one(x: Any, p: int) -> Any:
        place = (x[None, :, None], bend[p : p + 1])
        return (1 - beta[p]) * wide(*place)[0, 0] + beta[p] * banana(*place)[0, 0]

    found = at(target, u, bend, beta)
    assert found.value[0, 1] == -jnp.inf
    assert np.all(found.gradient[0, :, 1] == 0)
    for p, c in [(0, 0), (0, 2), (1, 0), (1, 1), (1, 2)]:
        value, gradient = jax.value_and_grad(partial(one, p=p))(u[p, :, c])
        assert found.value[p, c] == pytest.approx(float(value), rel=1e-12)
        np.testing.assert_allclose(found.gradient[p, :, c], gradient, rtol=1e-10)


def test_evidence_and_moments_of_particles(askew: Any):
    """log((2 pi)^2 sqrt(det)) of each pixel; 192 particles err by about 0.3."""
    _data, means, covariances, particles, _state, _spent = askew
    exact = 2 * np.log(2 * np.pi) + 0.5 * np.linalg.slogdet(covariances)[1]
    assert particles.reached.all()
    np.testing.assert_allclose(particles.log_evidence, exact, atol=1.0)
    sd = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    assert np.all(np.abs(particles.u.mean(axis=-1) - means) < 0.4 * sd)


def test_hmc_on_a_gaussian_of_condition_a_million(askew: Any):
    data, means, covariances, _particles, state, spent = askew
    _, made = draw_round(GAUSSIAN, data, [11, 5, 8], 1, state, SHORT)
    draws = of_rounds([made], 1.0, spent)
    assert rhat(draws.u).max() < 1.02
    assert np.all(draws.divergent == 0)
    assert np.all(np.abs(draws.acceptance - SHORT.acceptance) < 0.12)
    assert np.all(draws.gradients == spent + 8 * made.gradients)
    # whitened by the exact factor, every direction is standard normal
    for p in range(3):
        white = np.linalg.solve(np.linalg.cholesky(covariances[p]), (draws.u[p] - means[p]).reshape(-1, 4).T)
        each = white.T.reshape(8, 400, 4)
        assert bulk_ess(each).min() > 400
        assert np.all(np.abs(each.mean(axis=(0, 1))) < 4 / np.sqrt(bulk_ess(each)))
        assert np.all(np.abs(each.var(axis=(0, 1)) - 1) < 4 * np.sqrt(2 / bulk_ess(each**2)))


def test_resumed_rounds_have_the_same_bytes(askew: Any, tmp_path: Path):
    data, *_, state, _spent = askew
    between, _ = draw_round(GAUSSIAN, data, [11, 5, 8], 1, state, SHORT)
    _, straight = draw_round(GAUSSIAN, data, [11, 5, 8], 1, between, SHORT)
    np.savez(tmp_path / "state.npz", **between._asdict())
    with np.load(tmp_path / "state.npz") as saved:
        resumed = HmcState(**{key: jnp.asarray(saved[key]) for key in saved})
    _, again = draw_round(GAUSSIAN, data, [11, 5, 8], 1, resumed, SHORT)
    assert np.asarray(again.u).tobytes() == np.asarray(straight.u).tobytes()


def test_neighbours_do_not_matter_and_one_bad_pixel_harms_none(askew: Any):
    """Other data beside it, even impossible ones, and another place in the block: the same particles up to rounding."""
    data, _, _, particles, *_ = askew
    mean, precision = data
    beside = (mean[jnp.array([1, 1, 2])].at[1].set(jnp.nan), precision[jnp.array([1, 0, 2])])
    other = smc(GAUSSIAN, beside, [5, 99, 8], 1, SMALL)
    assert other.alive.tolist() == [True, False, True]
    assert other.reached.tolist() == [True, False, True]
    np.testing.assert_allclose(other.u[0], particles.u[1], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(other.u[2], particles.u[2], rtol=1e-5, atol=1e-5)


def test_too_few_stages_are_flagged(askew: Any):
    data, *_ = askew
    short = smc(GAUSSIAN, data, [11, 5, 8], 1, SMALL.model_copy(update={"stages": 2}))
    assert short.alive.all()
    assert not short.reached.any()
    assert short.stages.tolist() == [2, 2, 2]


def test_smc_weighs_two_hills(shown: Any):
    """Share and evidence of hills that no chain would cross, and the evidence of the banana, whose integral is 1."""
    particles, *_ = shown
    low = np.mean(np.asarray(particles.u[3, 0]) < 0)
    assert low == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / 100))
    np.testing.assert_allclose(particles.log_evidence[jnp.array([0, 3])], [0.0, 2.5], atol=0.5)


def test_hmc_between_soft_walls(shown: Any):
    """Quantiles against quadrature, for hard and soft walls side by side."""
    *_, draws = shown
    x = np.linspace(-4, 4, 40_001)
    for p in (1, 2):
        s = float(KINDS[1][p])
        density = np.exp(-0.5 * x**2 - np.logaddexp(0, -(x + 0.5) / s) - np.logaddexp(0, -(1 - x) / s))
        below = integrate.cumulative_trapezoid(density, x, initial=0)
        exact = np.interp([0.1, 0.5, 0.9], below / below[-1], x)
        for i in range(2):
            assert_quantiles(draws.u[p, :, :, i], exact)


def banana_quantiles(bend: float) -> np.ndarray:
    """Of the bent coordinate: z + bend (x^2 - 1), x and z standard normal, by Gauss and Hermite."""
    node, weight = np.polynomial.hermite_e.hermegauss(200)
    edge = np.linspace(-12, 40, 20_001)
    below = stats.norm.cdf(edge[:, None] - bend * (node**2 - 1)) @ weight / weight.sum()
    return np.interp([0.1, 0.5, 0.9], below, edge)


def assert_banana(u: np.ndarray) -> None:
    assert rhat(u).max() < 1.05
    assert tail_ess(u).min() > 150
    assert_quantiles(u[..., 0], stats.norm.ppf([0.1, 0.5, 0.9]))
    assert_quantiles(u[..., 1], banana_quantiles(0.8))


def test_hmc_and_nuts_on_a_banana(shown: Any):
    particles, first, ours = shown
    assert_banana(ours.u[0])
    one = tuple(a[:1] for a in KINDS)
    theirs = nuts(
        GALLERY,
        one,
        first[:1, :, :4],
        particles.factor[:1],
        3,
        NutsSettings(warmup=200, draws=500, tree_depth=6),
    )
    assert theirs.u.shape == (1, 4, 500, 2)
    assert len(theirs.acceptance) == len(theirs.divergent) == len(theirs.gradients) == 1
    np.testing.assert_allclose(theirs.log_density[0, 0, :3], gallery(theirs.u[0, 0, :3, :, None], one)[:, 0])
    assert_banana(theirs.u[0])


def test_de_crosses_between_hills_by_its_rungs():
    """And bends with the banana; rung 0 is the reference, which sees both hills."""
    want = DeSettings(walkers=24, generations=3000, thin=10, burn_in=0.3, archive=2000, rungs=(1.0, 0.3, 0.0))
    draws = de(GALLERY, KINDS, PIXELS, 1, want.model_copy(update={"jumps": 0.0}))
    assert draws.u.shape == (4, 24, 210, 2)
    assert np.all((draws.acceptance > 0.05) & (draws.acceptance < 0.6))
    assert np.all(draws.gradients == 3001 * 24 * 3)
    np.testing.assert_allclose(
        draws.log_density[:, 0, -1], gallery(draws.u[:, 0, -1, :, None], KINDS)[:, 0], rtol=1e-12
    )
    assert_banana(draws.u[0])
    low = (draws.u[3, ..., 0] < 0).astype(float)[..., None]
    assert low.mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / bulk_ess(low)[0]))


def test_rungs_must_fall_from_one():
    with pytest.raises(ConfigError, match=r"rungs are \(1.0, 1.0\); expected exponents that fall from 1"):
        de(GALLERY, KINDS, PIXELS, 1, DeSettings(rungs=(1.0, 1.0)))


def test_lengths_are_scattered_evenly():
    found = np.sort([float(scattered(i)) for i in range(16)])
    np.testing.assert_allclose(found, np.arange(1, 17) / 16)


ROUND_YEAR = 18.0


def test_steps_shrink_where_trajectories_failed_down_to_half_of_the_tuned():
    n = 2
    tuned = jnp.array([0.1, 0.1, 0.1])
    state = HmcState(jnp.zeros((3, n, 4)), jnp.broadcast_to(jnp.eye(n), (3, n, n)), tuned, jnp.int32(0))
    steps, none = [], jnp.zeros((3, 4, 1, n))
    for share in ([0.0, 0.01, 0.004], [0.002, 0.01, 0.001], [0.0, 0.01, 0.0]):
        failed = 1000 * jnp.array(share)
        state = slower(state, tuned, Round(none, none[..., 0], tuned, failed, 1000, 0))
        steps.append(np.asarray(state.step))
    np.testing.assert_allclose(steps, [[0.1, 0.07, 0.07], [0.1, 0.05, 0.07], [0.1, 0.05, 0.07]])


def circle(u: Any, sharpness: Any) -> Any:
    """A day on a circle, which matters little, or not at all, and a rate that ripples with it."""
    angle = u[:, 0] * (2 * np.pi / ROUND_YEAR)
    return sharpness[:, None] * jnp.cos(angle) + stats_normal(u[:, 1] - jnp.sin(4 * angle))


def on_circle(keys: Any, _data: Any, chains: int) -> Any:
    drawn = normals(keys, 2, chains)
    return drawn.at[:, 0].set(ROUND_YEAR * (jax.scipy.special.ndtr(drawn[:, 0]) - 0.5))


def round_reference(u: Any, _data: Any) -> Any:
    return stats_normal(u[:, 1]) - np.log(ROUND_YEAR)


CIRCLE = Target(
    2,
    circle,
    round_reference,
    on_circle,
    lambda u, _data: u.at[:, 0].set(jnp.mod(u[:, 0] + ROUND_YEAR / 2, ROUND_YEAR) - ROUND_YEAR / 2),
    (1.0, float("inf")),
)


def test_chains_go_round_a_circle_with_a_metric_that_is_not_as_wide():
    """A uniform day has a standard deviation of 18 / sqrt(12) = 5.2, and 1 is the most that the metric holds."""
    sharpness, pixels = jnp.array([0.0, 0.7]), [1, 2]
    particles = smc(CIRCLE, sharpness, pixels, 6, SMALL)
    first = starts(particles, SHORT.chains, 6, pixels)
    state, spent = warm_up(CIRCLE, sharpness, pixels, 6, first, particles.factor, particles.step, SHORT)
    assert np.abs(np.asarray(state.u[:, 0])).max() < 1.5 * ROUND_YEAR
    widths = np.linalg.norm(np.asarray(state.factor), axis=2)
    np.testing.assert_allclose(widths[:, 0], 1.0, rtol=1e-3)
    assert np.all(widths[:, 1] > 0.9)
    draws = of_rounds([draw_round(CIRCLE, sharpness, pixels, 6, state, SHORT)[1]], 1.0, spent)
    for p, kappa in enumerate(np.asarray(sharpness)):
        angle = (2 * np.pi / ROUND_YEAR) * draws.u[p, ..., 0]
        away = np.mod(angle + np.pi, 2 * np.pi) - np.pi
        edges = stats.vonmises(kappa).ppf((0.1, 0.5, 0.9)) if kappa else np.pi * np.array([-0.8, 0.0, 0.8])
        assert_quantiles(away, edges)
        assert_quantiles(draws.u[p, ..., 1] - np.sin(4 * angle), stats.norm.ppf((0.1, 0.5, 0.9)))


def test_a_metric_held_narrow_keeps_its_correlations():
    covariance = np.array([[[25.0, 3.0], [3.0, 4.0]], [[0.25, 0.3], [0.3, 4.0]]])
    held = np.asarray(CIRCLE.within_widest(jnp.asarray(covariance)))
    np.testing.assert_allclose(held[0], [[1.0, 0.6], [0.6, 4.0]])
    np.testing.assert_allclose(held[1], covariance[1])
