"""Newton's method: on maps whose fixed points are known, and in the model against thousands of plain years."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from talik.tem import acceleration, biogeochemistry, communities, model, radiation, water
from talik.tem.model import Forcing, Parameters, Settings, State
from talik.tem.thermal.year import Heat, SoilClimate

STEADY = Settings().with_baseline(True)


class World(NamedTuple):
    """Columns under one climate, and where a short run has brought them."""

    state: State
    forcing: Forcing
    soil: SoilClimate
    parameters: Parameters


def world() -> World:
    """Eight columns of all cold communities, of which the last but one is too cold for plants."""
    names = ["alpine_tundra_polar_desert", "wet_tundra", "boreal_forest", "wet_tundra", "boreal_forest",
             "grassland", "wet_tundra", "boreal_forest"]  # fmt: skip
    mean = np.array([-12.0, -9.0, -6.0, -14.0, -1.0, -3.0, -30.0, -8.0])
    swing = np.array([17.0, 19.0, 22.0, 18.0, 16.0, 18.0, 17.0, 27.0])
    wet = np.array([12.0, 25.0, 35.0, 9.0, 60.0, 28.0, 10.0, 24.0])
    p = jnp.asarray([0.3, 0.5, 0.6, 0.8, 0.4, 0.35, 0.5, 0.2])
    month = np.arange(-1, 13)[:, None]
    season = -np.cos(2 * np.pi * (month - 0.3) / 12)
    tair, precip = jnp.asarray(mean + swing * season), jnp.asarray(wet * (1 + 0.5 * season[1:-1]))
    irradiance, par = radiation.light(
        np.array([72.0, 69, 62, 71, 55, 52, 80, 64]), None, np.full((12, 8), 0.6)
    )
    forcing = Forcing(tair, precip, irradiance, par, jnp.asarray(285.0))
    plants = communities.parameters_for(names)
    site = jax.jit(water.site_for)(plants, p, jnp.full(8, 200.0))
    none = jnp.zeros(8)
    parameters = Parameters(plants, site, None, none)  # no soil heat here
    damped = jnp.broadcast_to((0.6 * tair[1:-1] + 0.4 * tair[1:-1].mean(axis=0))[:, None], (12, 42, 8))
    soil = SoilClimate(
        damped, (damped > 0) * 1.0, (tair[1:-1] > 0) * 1.0, none + jnp.zeros((12, 8)), none, none, none, none
    )
    drivers = model.drivers_of(forcing, soil)
    pools, memory = (
        biogeochemistry.initial_pools(plants, site),
        biogeochemistry.initial_memory(plants, drivers),
    )
    heat = Heat(jnp.zeros((43, 8)), none, none)
    state = State(heat, pools, memory, jnp.full((12, 8), 0.5))
    return World(state, forcing, soil, parameters)


@pytest.fixture(scope="module")
def columns() -> World:
    held = world()
    return held._replace(state=run(held, 50))


@partial(jax.jit, static_argnames="years")
def run(held: World, years: int) -> State:
    """Plain years."""

    def year(_: int, state: State) -> State:
        return model.biogeochemistry_step(state, held.forcing, held.soil, held.parameters, STEADY)[0]

    return jax.lax.fori_loop(0, years, year, held.state)


def solve(held: World, most: int = 30) -> acceleration.Solved:
    asleep = np.asarray(biogeochemistry.dormant(model.drivers_of(held.forcing, held.soil)))
    return acceleration.solve(
        held.state, held.forcing, held.soil, held.parameters, STEADY, done=asleep, most=most
    )


@partial(jax.jit, static_argnames="phi")
def step(phi: Callable[..., jax.Array], x: np.ndarray, *rest: float) -> tuple[jax.Array, jax.Array]:
    """A step, and its size before damping, of a map that the model has no part in."""
    moved, size, _, _ = acceleration.newton_step(lambda x: (phi(x, *rest), None), jnp.asarray(x))
    return moved, size


def test_one_step_solves_a_linear_map() -> None:
    """x = A x + b, another A in every column: the fixed point is (I - A)^-1 b."""
    rng = np.random.default_rng(1)
    a = rng.uniform(-0.2, 0.2, (7, 5, 5)) + 0.1 * np.eye(5)
    b = rng.uniform(-0.1, 0.1, (5, 7))
    want = np.stack([np.linalg.solve(np.eye(5) - a[i], b[:, i]) for i in range(7)], axis=1)
    start = want + rng.uniform(-0.3, 0.3, want.shape)
    moved, size = step(lambda x: jnp.einsum("cij,jc->ic", jnp.asarray(a), x) + jnp.asarray(b), start)
    np.testing.assert_allclose(start + moved, want, atol=1e-12)
    np.testing.assert_allclose(size, np.abs(want - start).max(axis=0), atol=1e-12)


def test_steps_converge_quadratically_on_a_curved_map() -> None:
    """x = a exp(-x), whose fixed point is Lambert's W(a); each error is at most the square of the one before."""
    from scipy.special import lambertw

    a = np.array([[0.5, 1.0, 1.7, 2.2]])
    want = lambertw(a).real
    x, errors = np.full_like(a, 0.6), []

    def phi(x: jax.Array) -> jax.Array:
        return jnp.asarray(a) * jnp.exp(-x)

    for _ in range(4):
        moved, _ = step(phi, x)
        newton = (a * np.exp(-x) - x) / (1 + a * np.exp(-x))
        np.testing.assert_allclose(moved, np.clip(newton, -0.5, 0.5), rtol=1e-12, atol=1e-15)
        x = x + moved
        errors.append(np.abs(x - want))
    for before, after in pairwise(errors):
        assert (after <= before**2 + 1e-15).all()


def test_a_pool_that_only_falls_goes_on_falling() -> None:
    """A pool that loses as much every year has a derivative above 1 in its logarithm; Newton's method would flee."""
    moved, size = step(lambda x: jnp.log(jnp.exp(x) - 0.2), np.array([[2.0, 0.5]]))
    np.testing.assert_allclose(moved, -0.5)
    np.testing.assert_allclose(size, 1.0, rtol=0.2)


def test_a_map_without_a_fixed_point_is_followed() -> None:
    moved, _ = step(lambda x: x + jnp.asarray([[0.1], [-0.3]]), np.zeros((2, 3)))
    np.testing.assert_allclose(moved, [[0.1] * 3, [-0.3] * 3])


def wavy(x: jax.Array, slope: float) -> jax.Array:
    return slope * x + 0.1 * jnp.sin(x[::-1])


@hypothesis.given(st.lists(st.floats(-50, 50), min_size=5, max_size=5), st.floats(-0.95, 0.95))
@hypothesis.settings(deadline=None, max_examples=50)
def test_no_step_is_longer_than_half_and_neighbours_do_not_matter(start: list[float], slope: float) -> None:
    x = np.zeros((5, 3))
    x[:, 1] = start
    moved, size = step(wavy, x, slope)
    assert np.abs(moved).max() <= acceleration.LARGEST_STEP
    assert size[0] == size[2]  # twice the same column
    x[:, 0], x[:, 2] = 7.0, np.nan
    np.testing.assert_array_equal(step(wavy, x, slope)[0][:, 1], moved[:, 1])


def test_pools_come_back_from_their_coordinates(columns: World) -> None:
    state = columns.state
    x = acceleration.coordinates(state)
    assert x.shape == (5, 8)
    np.testing.assert_allclose(x[2], np.log(state.pools.C_S))
    back = acceleration.with_coordinates(state, x, columns.parameters)
    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=1e-12),
        back.pools._replace(N_S=0),
        state.pools._replace(N_S=0),
    )
    np.testing.assert_allclose(back.pools.N_S * columns.parameters.plants.cnsoil, state.pools.C_S, rtol=1e-12)
    assert (back.memory.litter_cn == state.memory.litter_cn).all()


def test_newton_finds_what_plain_years_lead_to(columns: World) -> None:
    """Within 0.5 % after 3000 years, and still there after fifty more."""
    found = solve(columns)
    assert found.converged.all()
    assert found.steps.max() < 15
    plain = run(columns, 3000)
    after = run(columns._replace(state=found.state), 1)
    for name in ("C_V", "N_VS", "N_VL", "C_S", "N_S", "N_A"):
        np.testing.assert_allclose(
            getattr(found.state.pools, name), getattr(plain.pools, name), rtol=5e-3, err_msg=name
        )
        change = np.abs(getattr(after.pools, name) - getattr(found.state.pools, name))
        assert change.max() < (0.1 if name.startswith("C") else 0.002), name
    fluxes = [
        model.biogeochemistry_step(state, columns.forcing, columns.soil, columns.parameters, STEADY)[1]
        for state in (found.state, plain)
    ]
    for name in ("gpp", "npp", "rh", "uptake", "mineralised"):
        one, other = (np.asarray(getattr(f, name).sum(axis=0)) for f in fluxes)
        np.testing.assert_allclose(one, other, rtol=5e-3, atol=1e-6, err_msg=name)
    assert float(fluxes[0].npp.sum(axis=0)[2]) > 20.0  # a forest grows


def test_a_column_does_not_see_its_neighbours(columns: World) -> None:
    """Bit for bit with other neighbours, who need other numbers of steps; and a column without plants stays."""
    found = solve(columns)
    assert found.steps[6] == 0
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[..., 6], b[..., 6]), found.state, columns.state)
    order = np.array([4, 4, 2, 0, 4, 5, 6, 2])  # columns 2, 4, 5 and 6 stand where they stood

    def moved(a: jax.Array) -> jax.Array:
        return a[..., order] if a.ndim and a.shape[-1] == 8 else a

    other = solve(jax.tree.map(moved, columns))
    same = [2, 4, 5, 6]
    jax.tree.map(
        lambda a, b: np.testing.assert_array_equal(a[..., same], b[..., same]), other.state, found.state
    )
    np.testing.assert_array_equal(other.steps, found.steps[order])


def test_steps_are_bounded_and_what_is_not_reached_is_told(columns: World) -> None:
    none = solve(columns, most=0)
    assert none.converged.tolist() == [False] * 6 + [True, False]
    assert none.state is columns.state
    two = solve(columns, most=2)
    assert two.steps.tolist() == [2] * 6 + [0, 2]
    assert not two.converged[:6].all()
