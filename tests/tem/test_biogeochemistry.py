"""The year as a whole: closure, extremes, gradients, and other integrators."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from talik.tem import radiation, water
from talik.tem.biogeochemistry import (
    Drivers,
    Fluxes,
    Memory,
    Pools,
    Settings,
    dormant,
    initial_memory,
    initial_pools,
    one_year,
)
from talik.tem.calendar import MONTH_DAYS
from talik.tem.communities import Parameters, parameters_for
from talik.tem.fehlberg import one_year_checked, one_year_fehlberg
from talik.tem.pools import by_month
from talik.tem.rates import constants_of_month, constants_of_year, rates, tendencies
from talik.tem.runge_kutta import runge_kutta

CELLS = 6
SETTINGS = Settings(co2_reference=286.596)

PLAIN = {"xla_backend_optimization_level": 0}
"""For code that runs a few times only: optimising it takes longer than running it."""

plain_year = jax.jit(one_year, static_argnames=("settings",), compiler_options=PLAIN)


class World(NamedTuple):
    pools: Pools
    memory: Memory
    drivers: Drivers
    site: water.Site
    parameters: Parameters


def world(
    seed: int, *, warm: float = 0.0, wet: float = 1.0, soils: tuple[float, ...] = (0.01, 0.2, 0.5, 0.8, 1.0)
) -> World:
    """Random northern climate, soils, communities; `warm` adds to air temperature, `wet` multiplies precipitation."""
    rng = np.random.default_rng(seed)
    parameters = parameters_for(rng.integers(0, 7, CELLS))
    p = rng.choice(soils, CELLS)
    site = water.site_for(parameters, jnp.asarray(p), jnp.asarray(rng.uniform(0, 1500, CELLS)))
    cloud = jnp.asarray(rng.uniform(0.2, 0.9, (12, CELLS)))
    light = radiation.irradiance_from_cloudiness(
        radiation.gross_irradiance(jnp.asarray(rng.uniform(50, 80, CELLS))), cloud
    )
    season = -np.cos(2 * np.pi * (np.arange(12)[:, None] - 0.5) / 12)
    tair = (
        rng.uniform(-15, 5, CELLS)
        + rng.uniform(8, 20, CELLS) * season
        + rng.normal(0, 1.5, (12, CELLS))
        + warm
    )
    drivers = Drivers(
        tair=jnp.asarray(tair),
        precip=jnp.asarray(wet * rng.gamma(1.5, 20.0, (12, CELLS)) * (rng.random((12, CELLS)) > 0.2)),
        irradiance=light,
        par=radiation.photosynthetic(light, cloud),
        t20=jnp.asarray(0.6 * np.roll(tair, 1, axis=0)),
        thaw_fraction=jnp.asarray(np.clip((tair + 2) / 6, 0, 1)),
        days=jnp.array(MONTH_DAYS, float),
        co2=jnp.full((12, CELLS), 350.0),
        n_input=jnp.asarray(rng.choice([0.0, 0.05], (12, CELLS))),
        n_loss=jnp.asarray(rng.choice([0.0, 0.02], (12, CELLS))),
        thaw_depth=jnp.full((12, CELLS), 0.4),
    )
    return World(
        initial_pools(parameters, site),
        initial_memory(parameters, drivers),
        drivers,
        site,
        parameters,
    )


def assert_closed(before: Pools, fluxes: Fluxes) -> None:
    """Every monthly change of every pool is the sum of its fluxes."""
    f, after = fluxes, fluxes.pools
    flows = {
        "C_V": (f.gpp, -f.r_maintenance, -f.r_growth, -f.litter_c),
        "N_VS": (f.uptake_structural, -f.litter_n, -f.resorbed, f.mobilised),
        "N_VL": (f.uptake_labile, f.resorbed, -f.mobilised),
        "C_S": (f.litter_c, -f.rh),
        "N_S": (f.litter_n, -f.mineralised, f.n_baseline),
        "N_A": (f.n_input, -f.n_loss, f.mineralised, -f.uptake),
        "W": (f.rain, f.melt, -f.aet, -f.percolation_rain, -f.percolation_melt),
        "G_r": (f.percolation_rain, -f.runoff_rain),
        "G_s": (f.percolation_melt, -f.runoff_melt),
        "SWE": (f.snowfall, -f.melt),
    }
    for name, parts in flows.items():
        end = np.asarray(getattr(after, name))
        start = np.concatenate([np.asarray(getattr(before, name))[None], end[:-1]])
        scale = np.maximum(start, end) + sum(np.abs(np.asarray(p)) for p in parts)
        residual = np.abs(end - start - sum(np.asarray(p) for p in parts))
        assert (residual <= 1e-11 * scale + 1e-300).all(), name


@settings(deadline=None, max_examples=15)
@given(
    st.integers(0, 2**31),
    st.sampled_from([-30.0, 0.0, 25.0]),
    st.sampled_from([0.0, 0.05, 1.0, 8.0]),
    st.booleans(),
)
def test_everything_closes_and_nothing_is_negative(seed: int, warm: float, wet: float, night: bool) -> None:
    pools, memory, drivers, site, parameters = world(seed, warm=warm, wet=wet)
    if night:
        drivers = drivers._replace(irradiance=0.0 * drivers.irradiance, par=0.0 * drivers.par)
    for _ in range(3):
        before = pools
        pools, memory, fluxes = one_year(pools, memory, drivers, site, parameters, SETTINGS)
        assert all(np.isfinite(x).all() for x in jax.tree.leaves((pools, memory, fluxes)))
        assert min(float(x.min()) for x in jax.tree.leaves(fluxes.pools)) >= 0.0
        still = np.asarray(dormant(drivers))
        flows = fluxes._replace(leaf=fluxes.npp, moisture=fluxes.npp)[:-2]
        assert all((np.asarray(x)[:, still] == 0.0).all() for x in flows)
        awake = np.flatnonzero(~still)
        assert_closed(*jax.tree.map(lambda x, i=awake: np.asarray(x)[..., i], (before, fluxes)))


def test_frozen_and_rainless_cells_are_held_still() -> None:
    pools, memory, drivers, site, parameters = world(3)
    tair = drivers.tair.at[:, 0].set(-1.5)
    precip = drivers.precip.at[:, 1].set(0.0)
    drivers = drivers._replace(tair=tair, precip=precip)
    assert np.asarray(dormant(drivers))[:3].tolist() == [True, True, False]
    drivers = drivers._replace(co2=drivers.co2.at[:].set(400.0))
    after, past, fluxes = one_year(pools, memory, drivers, site, parameters, SETTINGS)
    assert [float(x) for x in after.C_V[:2]] == [float(x) for x in pools.C_V[:2]]
    assert float(fluxes.rh[:, :2].max()) == 0.0
    assert float(fluxes.rh[:, 2].min()) > 0.0
    np.testing.assert_allclose(
        fluxes.moisture[:, :2].T, (0.13 + site.wilting_point[:2])[:, None] + jnp.zeros(12)
    )
    np.testing.assert_array_equal(past.tair_before, tair[11])
    np.testing.assert_array_equal(past.co2, 400.0)
    np.testing.assert_array_equal(past.t_opt[:2], memory.t_opt[:2])


def test_cells_do_not_know_each_other() -> None:
    given_world = world(5)
    order = np.array([3, 1, 5, 0, 2, 4])
    shuffled = World(*(_cells(part, order) for part in given_world))
    whole, other = one_year(*given_world, SETTINGS), one_year(*shuffled, SETTINGS)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(np.asarray(a)[..., order], b)


def _cells(part: tuple, index: np.ndarray) -> tuple:
    chosen = jax.tree.map(lambda x: x[..., index] if x.shape[-1] == CELLS else x, part)
    assert type(chosen) is type(part)
    return chosen


def test_carbon_dioxide_raises_production_and_its_effect_on_nitrogen_can_be_switched() -> None:
    pools, memory, drivers, site, parameters = world(11)
    potential = []
    for co2 in (250.0, 350.0, 700.0):
        rich = drivers._replace(co2=jnp.full((12, CELLS), co2))
        potential.append(
            np.asarray(one_year(pools, memory, rich, site, parameters, SETTINGS)[2].gpp_potential.sum(0))
        )
    assert (np.diff(potential, axis=0) > 0).all()
    year = constants_of_year(memory._replace(co2=jnp.full(CELLS, 386.596)), site, parameters, SETTINGS)
    np.testing.assert_allclose(year.cn_even, (1 + 0.000519 * 100) * parameters.cneven)
    off = Settings(co2_reference=286.596, co2_cn=False)
    np.testing.assert_allclose(constants_of_year(memory, site, parameters, off).cn_even, parameters.cneven)


PERTURBED = (
    *("cmax_offset", "cfall", "kra", "krb", "kdb", "nmax_offset", "nfall", "nupb", "cneven", "c2nmin"),
    *("cnsoil", "leaf_a", "foliage_c", "k_c", "k_i", "k_n", "lcclnc"),
)


def score(perturbed: dict[str, jax.Array], drivers: Drivers, pools: Pools, rest: World) -> jax.Array:
    """A number that many flows and pools of a year go into."""
    parameters = rest.parameters._replace(**perturbed)
    after, _, fluxes = one_year(pools, rest.memory, drivers, rest.site, parameters, SETTINGS)
    carbon = fluxes.npp.sum() + fluxes.rh.sum()
    return carbon + 10.0 * fluxes.uptake.sum() + fluxes.aet.sum() + after.N_A.sum()


gradient_of_score = jax.jit(jax.grad(score, argnums=(0, 1, 2)), compiler_options=PLAIN)


def perturbed_in(parameters: Parameters) -> dict[str, jax.Array]:
    return {name: getattr(parameters, name) for name in PERTURBED}


def test_gradients_are_central_differences() -> None:
    given_world = world(20)
    values = perturbed_in(given_world.parameters)
    gradient = gradient_of_score(values, given_world.drivers, given_world.pools, given_world)[0]
    agreed = 0
    for name, value in values.items():
        up, down = (
            score(values | {name: value * (1.0 + s)}, given_world.drivers, given_world.pools, given_world)
            for s in (1e-6, -1e-6)
        )
        numeric = float(up - down) / 2e-6
        exact = float((gradient[name] * value).sum())
        assert exact == pytest.approx(numeric, rel=1e-5, abs=1e-5), name
        agreed += exact != 0.0
    assert agreed >= 10


def test_gradients_are_finite_at_the_edges() -> None:
    given_world = world(21)
    pools, drivers = given_world.pools, given_world.drivers
    night = drivers._replace(
        irradiance=drivers.irradiance.at[:, 0].set(0.0),
        par=drivers.par.at[:, 0].set(0.0),
        precip=drivers.precip.at[:, 1].set(0.0).at[4:9, 2].set(0.0),
        tair=drivers.tair.at[:, 3].set(-20.0),
    )
    empty = pools._replace(N_VL=0.0 * pools.N_VL, W=0.0 * pools.W, N_A=pools.N_A.at[4].set(0.0))
    gradient = gradient_of_score(perturbed_in(given_world.parameters), night, empty, given_world)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradient))


def test_one_month_is_the_one_of_scipy() -> None:
    pools, memory, drivers, site, parameters = world(20, soils=(0.35, 0.55, 0.8))
    year = constants_of_year(memory, site, parameters, SETTINGS)
    now = jax.tree.map(lambda x: x[7], by_month(drivers))
    pet = water.potential_evapotranspiration(now.tair, now.irradiance, now.days)
    snow = water.snow(pools.SWE, now.tair, drivers.tair[6], now.precip, site.elevation)
    past = memory._replace(tair_before=drivers.tair[6], tair_two_before=drivers.tair[5])
    fine = Settings(substeps=256)
    month = constants_of_month(snow, pet, past, now, site, parameters, year, fine)

    @partial(jax.jit, compiler_options=PLAIN)
    def slope(y: jax.Array) -> jax.Array:
        at = Pools(*y.reshape(len(Pools._fields), CELLS))
        flows = rates(at, month, parameters, site, year)
        return jnp.stack(tendencies(flows, at, month)).ravel()

    start = np.stack([np.asarray(x) for x in pools]).ravel()
    solved = solve_ivp(lambda _, y: np.asarray(slope(y)), (0, 1), start, method="RK45", rtol=1e-9, atol=1e-10)
    ours, _ = jax.jit(partial(runge_kutta, settings=fine), compiler_options=PLAIN)(
        pools, month, parameters, site, year
    )
    np.testing.assert_allclose(np.stack(ours).ravel(), solved.y[:, -1], rtol=3e-5, atol=1e-5)


def flux_errors(ours: Fluxes, exact: Fluxes) -> np.ndarray:
    """Error of each monthly flux in units of what is allowed: 1e-4 of it, or 1e-3 g m-2 or mm."""
    pairs = zip(ours[:-2], exact[:-2], strict=True)
    errors = [np.abs(np.asarray(a) - b) / np.maximum(1e-4 * np.abs(np.asarray(b)), 1e-3) for a, b in pairs]
    return np.array(errors)


def test_fixed_steps_agree_with_the_adaptive_ones_and_doubling_meets_the_tolerance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("talik.tem.fehlberg.one_year", plain_year)
    given_world = world(20, soils=(0.35, 0.55, 0.8))
    adaptive = partial(one_year_fehlberg, settings=SETTINGS, tolerance=1e-6, absolute=1e-7)
    exact = jax.jit(adaptive, compiler_options=PLAIN)(*given_world)
    assert np.isfinite(exact[2].gpp).all()
    assert_closed(given_world.pools, exact[2])
    plain = flux_errors(one_year(*given_world, SETTINGS)[2], exact[2])
    assert np.mean(plain > 1.0) < 0.1
    *checked, steps = one_year_checked(*given_world, SETTINGS, most=32)
    assert set(steps) <= {16, 32}
    assert flux_errors(checked[2], exact[2])[..., steps < 32].max() <= 1.0
    assert flux_errors(checked[2], exact[2]).mean() < plain.mean()


def test_a_thawed_share_of_the_soil_decomposes_more_slowly_also_in_float32() -> None:
    given_world = world(13)
    small = World(*(jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), part) for part in given_world))
    whole = one_year(*given_world, SETTINGS)[2]
    switched = Settings(co2_reference=286.596, thawed_layer=True, leaf_max_cap=True)
    result = plain_year(*small, switched)
    assert {x.dtype for x in jax.tree.leaves(result)} == {jnp.dtype("float32")}
    shares = np.minimum(0.4 / np.asarray(given_world.site.rooting_depth), 1.0)
    expected = np.where(shares < 1, 2 * shares / (1 + shares), 1.0)
    _, memory, part = result
    np.testing.assert_allclose(part.rh[0] / whole.rh[0], expected, rtol=0.02)
    np.testing.assert_allclose(part.aet, whole.aet, rtol=1e-4, atol=1e-4)
    assert float(memory.leaf_max.max()) <= 1.0
