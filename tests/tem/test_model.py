"""The whole model: closure of every budget, cells that do not touch, both float types, derivatives."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from talik.tem import communities, model, radiation, water
from talik.tem.model import Forcing, Parameters, Settings, State
from talik.tem.thermal import materials, snow

CELLS = 48
SETTINGS = Settings()
SHARP = Settings(tolerance=1e-9, iterations=30)
"""Newton's method to the end: the number of its steps then does not show in the result."""


def world(seed: int = 0, cells: int = CELLS) -> tuple[Forcing, Parameters]:
    """Random northern cells with the extremes among them: polar night, no precipitation, clay, sand, heat, cold."""
    rng = np.random.default_rng(seed)
    names = [communities.COMMUNITIES[i] for i in np.arange(cells) % 7]
    plants = communities.parameters_for(names)
    p = jnp.asarray(
        np.where(np.arange(cells) % 5 == 0, rng.choice([0.01, 1.0], cells), rng.uniform(0.05, 1, cells))
    )
    sand, clay = 100.0 * (1.0 - p), 100.0 * p * rng.uniform(0, 1, cells)
    site = water.site_for(plants, p, jnp.asarray(rng.uniform(0, 1500, cells)))
    latitude = np.where(np.arange(cells) % 4 == 0, 82.0, rng.uniform(45, 75, cells))
    month = np.arange(-1, 13)[:, None]
    tair = rng.uniform(-22, 6, cells) - rng.uniform(4, 26, cells) * np.cos(2 * np.pi * (month - 0.3) / 12)
    tair += rng.normal(0, 2, (14, cells))
    tair[:, 3] = -12.0
    rain = rng.gamma(1.5, 20.0, (12, cells))
    rain[:, 5] = 0.0
    rain[:, 6] *= 20.0
    irradiance, par = radiation.light(latitude, None, rng.uniform(0.0, 1.0, (12, cells)))
    ground = materials.ground_for(names, sand, clay, site.rooting_depth, site.field_capacity_share)
    windy = jnp.asarray([name in snow.WINDY for name in names])
    density = snow.snow_density(jnp.asarray(tair[1:-1]), jnp.asarray(rain), windy)
    parameters = Parameters(plants, site, ground, snow.resistance_per_mm(density))
    return Forcing(jnp.asarray(tair), jnp.asarray(rain), irradiance, par, jnp.asarray(340.0)), parameters


def as_kind(tree, kind):
    return jax.tree.map(lambda a: jnp.asarray(a, kind), tree)


@pytest.mark.parametrize(("kind", "limit"), [(np.float64, 1e-10), (np.float32, 1e-5)])
def test_carbon_nitrogen_water_and_heat_close_every_cell_and_year(kind, limit) -> None:
    forcing, parameters = as_kind(world(), kind)
    state = model.initial_state(forcing, parameters, SETTINGS)
    for year in range(4):
        warmer = forcing._replace(tair=forcing.tair + 0.5 * year)
        state, outputs = model.step(state, warmer, parameters, SETTINGS)
        worst = np.abs(np.asarray(outputs.residual)).max(axis=1)
        assert worst.shape == (4,)
        assert (worst < limit).all(), dict(zip(model.CLOSURES, worst, strict=True))
    for leaf in jax.tree.leaves((state, outputs)):
        assert np.isfinite(leaf).all()
    assert {outputs.tsoil.dtype, outputs.fluxes.gpp.dtype, state.pools.C_S.dtype} == {np.dtype(kind)}
    assert min(float(pool.min()) for pool in state.pools) >= 0.0


def test_closure_sees_what_is_missing() -> None:
    """The residual is no identity: what is taken out of a pool shows."""
    forcing, parameters = world()
    before = model.initial_state(forcing, parameters, SETTINGS)
    after, outputs = model.step(before, forcing, parameters, SETTINGS)
    for pool, row in (("C_S", 0), ("N_A", 1), ("W", 2)):
        robbed = after._replace(pools=after.pools._replace(**{pool: getattr(after.pools, pool) + 0.1}))
        residual = model.closure(before, robbed, outputs.fluxes, outputs.soil)
        assert (np.abs(np.asarray(residual[row])) > 1e-7).all()
    hot = after._replace(heat=after.heat._replace(heat=after.heat.heat + 1e3))
    assert (np.abs(np.asarray(model.closure(before, hot, outputs.fluxes, outputs.soil)[3])) > 1e-7).all()


def test_cells_do_not_touch() -> None:
    forcing, parameters = world()
    turned = jax.tree.map(lambda a: a[..., ::-1] if a.ndim else a, (forcing, parameters))
    one = model.step(model.initial_state(forcing, parameters, SETTINGS), forcing, parameters, SETTINGS)
    other = model.step(model.initial_state(*turned, SETTINGS), *turned, SETTINGS)
    for a, b in zip(jax.tree.leaves(one[0]), jax.tree.leaves(other[0]), strict=True):
        np.testing.assert_allclose(a, b[..., ::-1], rtol=1e-9, atol=1e-6)


def test_more_carbon_dioxide_more_production() -> None:
    forcing, parameters = world()
    state = model.initial_state(forcing, parameters, SETTINGS)
    potential = [
        model.step(state, forcing._replace(co2=jnp.asarray(ppm)), parameters, SETTINGS)[
            1
        ].fluxes.gpp_potential.sum(0)
        for ppm in (280.0, 400.0, 800.0)
    ]
    grows = np.asarray(potential[0]) > 1.0
    assert grows.sum() > CELLS / 2
    assert (np.diff(np.asarray(potential), axis=0)[:, grows] > 0.0).all()


# the leaf parameters are not among them: under a repeated climate the month of most leaf stands exactly on the kink
# of its clip to last year's maximum, where only one-sided derivatives exist
FACTORS = (
    "cmax_offset", "cfall", "krb", "kdb", "kra", "nmax_offset", "nfall", "nupb", "cneven", "lcclnc", "k_c", "k_i",
    "foliage_c", "log_rhq10",
)  # fmt: skip
SOIL = ("snow_resistance", "k_solid", "porosity")


def scaled(parameters: Parameters, factors: jax.Array) -> Parameters:
    """Parameters multiplied by factors, in the order of `FACTORS` and `SOIL`."""
    named = dict(zip((*FACTORS, *SOIL), factors, strict=True))
    plants = parameters.plants._replace(**{n: getattr(parameters.plants, n) * named[n] for n in FACTORS})
    ground = parameters.ground._replace(
        **{n: getattr(parameters.ground, n) * named[n] for n in ("k_solid", "porosity")}
    )
    resistance = parameters.snow_resistance * named["snow_resistance"]
    return parameters._replace(plants=plants, ground=ground, snow_resistance=resistance)


GROWING = slice(8, 12)


@pytest.fixture(scope="module")
def grown() -> tuple[State, Forcing, Parameters]:
    """Four cells after three years."""
    forcing, parameters = (
        jax.tree.map(lambda a: a[..., GROWING] if a.ndim else a, part) for part in world(5)
    )
    state = model.initial_state(forcing, parameters, SHARP)
    for _ in range(3):
        state, outputs = model.step(state, forcing, parameters, SHARP)
    assert (outputs.fluxes.gpp.sum(axis=0) > 20.0).all()
    return state, forcing, parameters


@pytest.fixture(scope="module")
def nep(grown):
    """Sum of NEP over years of one climate by cell, and its derivative in a direction, of factors on parameters."""
    start, forcing, parameters = grown

    def of(factors: jax.Array, years: int) -> jax.Array:
        here = scaled(parameters, factors)

        def year(_: int, now: tuple[State, jax.Array]) -> tuple[State, jax.Array]:
            state, outputs = model.step(now[0], forcing, here, SHARP)
            return state, now[1] + outputs.fluxes.nep.sum(axis=0)

        return lax.fori_loop(0, years, year, (start, jnp.zeros(4)))[1]

    def slope(factors: jax.Array, direction: jax.Array, years: int) -> jax.Array:
        return jax.jvp(lambda f: of(f, years), (factors,), (direction,))[1]

    return jax.jit(of), jax.jit(slope)


ONE = jnp.ones(len(FACTORS) + len(SOIL))


def test_derivatives_of_nep_equal_central_differences(nep) -> None:
    """17 parameters of plants, soil and snow, two years, to 1e-5 of the largest derivative of the cell."""
    of, slope = nep
    size = 1e-6
    exact = np.stack([slope(ONE, unit, 2) for unit in jnp.eye(ONE.size)])
    central = np.stack([(of(ONE + s, 2) - of(ONE - s, 2)) / (2 * size) for s in size * jnp.eye(ONE.size)])
    scale = np.abs(central).max(axis=0)
    assert (np.abs(exact - central) < 1e-5 * scale).all(), (exact, central)
    assert ((np.abs(exact) > 1e-6 * scale).sum(axis=0) >= 10).all()


def test_derivatives_through_fifty_years_stay_finite(nep) -> None:
    """In three directions that mix all parameters."""
    _, slope = nep
    directions = np.random.default_rng(0).normal(size=(3, ONE.size))
    exact = np.stack([slope(ONE, jnp.asarray(d), 50) for d in directions])
    assert np.isfinite(exact).all()
    assert (np.abs(exact) > 1.0).all()
