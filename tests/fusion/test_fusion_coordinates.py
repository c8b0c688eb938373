"""Coordinates of the posterior: back and forth, their Jacobian, and what holds everywhere in them."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest

from talik.fusion.axis import TimeAxis
from talik.fusion.constraints import margins
from talik.fusion.coordinates import (
    BOXES,
    CIRCULAR,
    CYCLE,
    DAYS,
    DISTANCES,
    SPREAD,
    draw_reference,
    from_parameters,
    log_reference,
    mean_year,
    to_parameters,
    wrap,
)
from talik.fusion.dalec import simulate
from talik.fusion.drivers import Drivers
from talik.fusion.observations import Observations
from talik.fusion.parameters import N_PARAMETERS, P
from talik.fusion.phenology import LABILE_LIFE, YEAR, offset
from talik.fusion.posterior import block_data, judge_states, smoothed
from talik.fusion.prior import inside
from talik.fusion.switches import BEST
from talik.fusion.target import pixel_keys
from talik.fusion.twin import Climate, climate_drivers

place = jax.jit(to_parameters, static_argnames="switches")
back = jax.jit(from_parameters, static_argnames="switches")


@pytest.fixture(scope="module")
def drivers() -> Drivers:
    """Three years of two climates."""
    return climate_drivers(TimeAxis.of_years(2001, 2003), [Climate(), Climate(68.0, -9.0, 20.0)], 0)


@pytest.fixture(scope="module")
def year(drivers: Drivers) -> Drivers:
    return mean_year(drivers)


@pytest.fixture(scope="module")
def warmth(drivers: Drivers) -> jax.Array:
    return jnp.asarray(drivers.mean_temperature).mean(axis=0)


@pytest.fixture(scope="module")
def somewhere() -> jax.Array:
    """Draws of the reference, and some far out."""
    u = draw_reference(pixel_keys(0, [3, 4]), 40)
    return u.at[..., 20:].multiply(3.0)


def test_parameters_lead_back_to_their_coordinates(year: Drivers, warmth: jax.Array, somewhere: jax.Array):
    theta = place(somewhere, year, warmth, switches=BEST).theta
    again = back(theta, year, warmth, switches=BEST)
    near = np.abs(np.asarray(somewhere)).max(axis=1) < 8.0  # beyond, a share of 1 - 1e-16 is 1
    assert near.mean() > 0.3
    moved = np.moveaxis(np.asarray(again), 1, 2)[near] - np.moveaxis(np.asarray(somewhere), 1, 2)[near]
    assert np.abs(moved).max() < 1e-8


def test_jacobian_is_that_of_differentiation(year: Drivers, warmth: jax.Array, somewhere: jax.Array):
    """Of ln x, and of days for phenology, against the determinant of all 28 x 28 slopes."""
    one = jax.tree.map(lambda x: x[..., :1, :] if jnp.ndim(x) > 1 else x, (year, warmth))

    def measured(u: jax.Array) -> jax.Array:
        theta = to_parameters(u[None, :, None], *one, BEST).theta[:, 0, 0]
        circular = jnp.isin(jnp.arange(N_PARAMETERS), jnp.array(CIRCULAR))
        return jnp.where(circular, theta / DAYS, jnp.log(theta))

    slopes = jax.jit(jax.vmap(jax.jacfwd(measured)))(somewhere[0, :, :12].T)
    sign, expected = np.linalg.slogdet(np.asarray(slopes))
    found = place(somewhere[:1, :, :12], *one, switches=BEST).log_jacobian[0]
    assert (sign != 0).all()
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-8)


def test_constraints_on_parameters_hold_everywhere(
    drivers: Drivers, year: Drivers, warmth: jax.Array, somewhere: jax.Array
):
    theta = place(somewhere, year, warmth, switches=BEST).theta
    found = margins(
        theta, jax.jit(simulate, static_argnames="switches")(theta, drivers, switches=BEST), drivers, BEST
    )
    assert found.static_names[:2] == ("S1", "S2")
    assert float(found.static.max()) < 1e-9


def test_zero_distance_is_a_cycle_that_repeats_itself(drivers: Drivers, year: Drivers, warmth: jax.Array):
    """Ten years of the mean year bring the fast pools back to where they began, with the leaf area asked for."""
    u = draw_reference(pixel_keys(1, [0, 1]), 30).at[:, np.array(DISTANCES)].set(0.0)
    placed = place(u, year, warmth, switches=BEST)
    repeated = jax.tree.map(
        lambda x: jnp.tile(x, (10,) + (1,) * (x.ndim - 1)) if x.shape[0] == 12 else x, year
    )
    repeated = dataclasses.replace(repeated, latitude=year.latitude)
    run = jax.jit(simulate, static_argnames="switches")(placed.theta, repeated, switches=BEST)
    after, before = np.asarray(run.pools[-1]), np.asarray(run.pools[0])
    change = np.log(after / before)
    fast = change[[0, 1, 2]]
    assert np.median(np.abs(fast)) < 0.05
    lai = np.asarray(run.pools[-12:, 1]) / np.asarray(placed.theta[P.LCMA])
    assert np.median(np.abs(np.log(lai.mean(axis=0)))) < 0.1


def stretch_of_onset(u: np.ndarray) -> np.ndarray:
    """From the bell of the release, 10 to 100 days long: 1 at a width of 20, growing with its square."""
    width = 10.0 * 10.0 ** (1.0 / (1.0 + np.exp(-u[:, P.W_ON]))) / np.sqrt(2.0)
    return (width / 20.0) ** 2 / (1.0 + (width / 40.0) ** 2)


def test_draws_of_the_reference_have_its_entropy():
    """The slope of Möbius' map is Poisson's kernel, whose logarithm has a known mean over the circle."""
    u = draw_reference(pixel_keys(2, [0]), 20_000)
    entropy = (
        2.0 * len(BOXES) + len(DISTANCES) * (0.5 + np.log(SPREAD * np.sqrt(2 * np.pi))) + 2 * np.log(CYCLE)
    )
    stretch = stretch_of_onset(np.asarray(u))
    entropy += np.log(4.0 * stretch / (1.0 + stretch) ** 2).mean()
    found = -np.asarray(log_reference(u))
    assert found.mean() == pytest.approx(entropy, abs=4 * found.std() / np.sqrt(found.size))


def test_days_of_the_reference_are_even_on_the_circle(year: Drivers, warmth: jax.Array):
    u = draw_reference(pixel_keys(2, [0, 1]), 4000)
    theta = np.asarray(place(u, year, warmth, switches=BEST).theta)
    width = np.sqrt(0.5) * theta[P.W_ON]
    peak = theta[P.D_ON] - np.asarray(offset(LABILE_LIFE, width))
    assert kstest(np.mod(peak[0], YEAR) / YEAR, "uniform").pvalue > 0.001
    assert kstest(np.mod(theta[P.D_OFF, 1], YEAR) / YEAR, "uniform").pvalue > 0.001


def test_spring_comes_later_in_the_cold(year: Drivers, warmth: jax.Array, somewhere: jax.Array):
    """At 0 the release peaks at the turn of the first month above 3 degrees: May, and June further north."""
    theta = np.asarray(place(somewhere.at[:, P.D_ON].set(0.0), year, warmth, switches=BEST).theta)
    peak = theta[P.D_ON] - np.asarray(offset(LABILE_LIFE, np.sqrt(0.5) * theta[P.W_ON]))
    np.testing.assert_allclose(peak - YEAR, np.array([151.0, 181.0])[:, None] * np.ones_like(peak))


def test_a_cycle_more_is_the_same_state(drivers: Drivers, somewhere: jax.Array):
    data = block_data(drivers, Observations())
    turned = somewhere.at[:, np.array(CIRCULAR), ::2].add(CYCLE)
    score = jax.jit(smoothed, static_argnames="switches")
    np.testing.assert_allclose(
        score(turned, data, switches=BEST), score(somewhere, data, switches=BEST), rtol=1e-9, atol=1e-6
    )
    wrapped = np.asarray(wrap(turned))[:, list(CIRCULAR)]
    away = (wrapped - np.asarray(somewhere)[:, list(CIRCULAR)]) / CYCLE
    np.testing.assert_allclose(away, np.round(away), atol=1e-9)
    assert np.ptp(wrapped / CYCLE, axis=-1).max() <= 1.0001


def test_a_unit_of_onset_has_days_by_the_squared_width_where_spring_comes(
    year: Drivers, warmth: jax.Array, somewhere: jax.Array
):
    def onset(day: float) -> np.ndarray:
        return np.asarray(place(somewhere.at[:, P.D_ON].set(day), year, warmth, switches=BEST).theta[P.D_ON])

    stretch = stretch_of_onset(np.asarray(somewhere))
    np.testing.assert_allclose((onset(1e-4) - onset(-1e-4)) / 2e-4, DAYS * stretch, rtol=1e-5)
    half = CYCLE / 2
    np.testing.assert_allclose((onset(half) - onset(half - 1e-4)) / 1e-4, DAYS / stretch, rtol=1e-3)


@pytest.mark.science  # most of it is compiling
def test_smoothed_posterior_is_score_softness_and_jacobian(
    drivers: Drivers, year: Drivers, warmth: jax.Array
):
    data = block_data(drivers, Observations())
    u = 0.3 * draw_reference(pixel_keys(5, [0, 1]), 30)
    theta, _, verdicts = jax.jit(judge_states, static_argnames="switches")(u, data, switches=BEST)
    placed = place(u, year, warmth, switches=BEST)
    whole = jax.jit(smoothed, static_argnames="switches")(u, data, switches=BEST)
    np.testing.assert_allclose(theta, placed.theta, rtol=1e-12)
    np.testing.assert_allclose(
        whole, verdicts.score + verdicts.softness + placed.log_jacobian, rtol=1e-6, atol=1e-6
    )
    assert bool(jnp.all(jnp.where(verdicts.passes, inside(theta, BEST), True)))
    assert float(verdicts.softness.max()) <= 0.0


@pytest.mark.science  # most of it is compiling
def test_gradient_of_the_smoothed_posterior(drivers: Drivers):
    data = block_data(drivers, Observations())
    u = 0.2 * draw_reference(pixel_keys(6, [0, 1]), 4)
    value = jax.jit(lambda x: smoothed(x, data, BEST).sum())
    rise = jax.jit(jax.grad(lambda x: smoothed(x, data, BEST).sum()))(u)
    direction = jnp.asarray(np.random.default_rng(0).normal(size=u.shape))
    h = 1e-5
    one, two = (
        value(u + h * direction) - value(u - h * direction),
        value(u + 2 * h * direction) - value(u - 2 * h * direction),
    )
    assert float((rise * direction).sum()) == pytest.approx(float((8 * one - two) / (12 * h)), rel=1e-5)
