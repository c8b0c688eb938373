"""What must hold for any parameters: carbon closes, batches do not matter, gradients are those of the function."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from talik.errors import InputError
from talik.fusion import acm2, phenology
from talik.fusion.axis import TimeAxis
from talik.fusion.dalec import simulate
from talik.fusion.disturbance import SCENARIOS, burn_shares, burnt_area
from talik.fusion.drivers import Drivers
from talik.fusion.outputs import annual_outputs, period_outputs
from talik.fusion.parameters import P, bounds_of
from talik.fusion.switches import BEST, REPRODUCE, Switches
from talik.fusion.twin import REFERENCE, Climate, climate_drivers

DAYS = np.array([31.0, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
LOW, HIGH = bounds_of("c1")
ACM2 = Switches(photosynthesis="acm2")
COARSE = replace(ACM2, stomata="reference")
run = jax.jit(simulate, static_argnames="switches")


def weather(latitude: float = 66.0, **changed: object) -> Drivers:
    """A year of a cold continental pixel with a fire in July and clearing in March and July."""
    warm = -np.cos(2 * np.pi * (np.arange(12) + 0.3) / 12)
    burned, loss = np.zeros(12), np.zeros(12)
    burned[6], loss[[2, 6]] = 0.3, (0.05, 0.2)
    given = Drivers(
        dt=DAYS,
        doy_end=DAYS.cumsum(),
        tmin=-12 + 20 * warm,
        tmax=-2 + 22 * warm,
        sw=9 + 8.5 * warm,
        co2=np.full(12, 400.0),
        vpd=300 + 250 * warm,
        wind=np.full(12, 3.0),
        burned=burned,
        loss=loss,
        latitude=np.array(latitude),
    )
    return replace(given, **changed)


def parameters(seed: int, count: int) -> np.ndarray:
    """Log-uniform within bounds (28, count)."""
    return np.exp(
        np.random.default_rng(seed).uniform(np.log(LOW)[:, None], np.log(HIGH)[:, None], (28, count))
    )


@given(seed=st.integers(0, 10_000), scenario=st.sampled_from([1, 4]))
@settings(max_examples=10)
def test_carbon_closes_in_every_step(seed: int, scenario: int) -> None:
    drivers = weather(scenario=scenario)
    result = run(parameters(seed, 50), jax.tree.map(lambda a: np.asarray(a)[..., None], drivers), BEST)
    pools, fluxes = np.asarray(result.pools), result.fluxes
    extracted = (fluxes.cut - fluxes.residue).sum(axis=1) + fluxes.som_loss
    gained = np.asarray(fluxes.npp - fluxes.rh - fluxes.fire - extracted) * DAYS[:, None]
    scale = pools.sum(axis=1).max(axis=0)
    np.testing.assert_array_less(np.abs(np.diff(pools.sum(axis=1), axis=0) - gained) / scale, 1e-10)
    assert (np.asarray(fluxes.fire)[6] > 0).all()
    assert (extracted[6] > 0).all()


@pytest.mark.parametrize("switches", [BEST, ACM2], ids=lambda s: s.photosynthesis)
def test_a_batch_of_one_is_a_batch_of_a_thousand(switches: Switches) -> None:
    theta, drivers = parameters(1, 1000), weather()
    together = run(theta, jax.tree.map(lambda a: np.asarray(a)[..., None], drivers), switches)
    for member in (0, 517):
        alone = run(theta[:, member], drivers, switches)
        jax.tree.map(
            lambda one, all_, i=member: np.testing.assert_allclose(one, all_[..., i], rtol=1e-12, atol=1e-12),
            alone,
            together,
        )


def test_pixels_and_chains_broadcast() -> None:
    theta = parameters(2, 6).reshape(28, 2, 3)
    near, far = weather(61.0), weather(70.0)
    both = jax.tree.map(lambda a, b: np.stack([np.asarray(a), np.asarray(b)], axis=-1)[..., None], near, far)
    result = run(theta, both, BEST)
    assert result.pools.shape == (13, 6, 2, 3)
    np.testing.assert_allclose(
        result.fluxes.nbe[:, 1, 2], run(theta[:, 1, 2], far, BEST).fluxes.nbe, rtol=1e-12
    )


def moderate() -> np.ndarray:
    """A plausible pixel, far from every bound."""
    theta = np.sqrt(LOW * HIGH)
    for row, value in (
        (P.L_F, 1.4),
        (P.D_ON, 520.0),
        (P.D_OFF, 630.0),
        (P.C_EFF, 17.0),
        (P.LCMA, 60.0),
        (P.F_A, 0.5),
    ):
        theta[row] = value
    for row, value in (
        (P.C_LAB, 60.0),
        (P.C_FOL, 80.0),
        (P.C_ROO, 130.0),
        (P.C_WOO, 3200.0),
        (P.C_SOM, 16000.0),
    ):
        theta[row] = value
    return theta


@pytest.mark.parametrize(
    ("switches", "disturbed"), [(BEST, True), (BEST, False), (ACM2, True), (COARSE, False)]
)
def test_gradients_are_slopes(switches: Switches, disturbed: bool) -> None:
    drivers = weather(70.0, fires=disturbed, losses=disturbed)
    weights = np.random.default_rng(3).normal(size=(2, 12, 1))

    def value(log_theta: jax.Array) -> tuple[jax.Array, jax.Array]:
        result = simulate(
            jnp.exp(log_theta), jax.tree.map(lambda a: jnp.asarray(a)[..., None], drivers), switches
        )
        fluxes = weights[0] * result.fluxes.gpp + weights[1] * result.fluxes.nee
        each = fluxes.sum(axis=0) + 1e-3 * result.pools[-1].sum(axis=0)
        return each.sum(), each

    at, step, one = np.log(moderate())[:, None], 1e-4, np.eye(28)
    places = at + step * np.concatenate([0 * one[:, :1], one, -one, 2 * one, -2 * one], axis=1)
    gradient, each = jax.jit(jax.grad(value, has_aux=True))(places)
    plus, minus, plus2, minus2 = np.asarray(each)[1:].reshape(4, 28)
    slopes = (8 * (plus - minus) - (plus2 - minus2)) / (12 * step)
    np.testing.assert_allclose(gradient[:, 0], slopes, rtol=1e-5, atol=1e-7 * np.abs(slopes).max())


@pytest.mark.parametrize("switches", [BEST, replace(ACM2, winter_stop=False)])
def test_gradients_exist_in_the_dark_without_leaves_and_without_water(switches: Switches) -> None:
    drivers = weather(78.0, sw=np.maximum(0.0, 9 - 14 * np.cos(2 * np.pi * np.arange(12) / 12)), losses=False)
    bare, rootless = moderate(), moderate()
    bare[[P.C_FOL, P.C_LAB]], rootless[P.C_ROO] = 0.0, 0.0
    theta = np.stack([moderate(), bare, rootless], axis=1)
    batched = jax.tree.map(lambda a: jnp.asarray(a)[..., None], drivers)
    gradient = jax.jit(jax.grad(lambda x: simulate(x, batched, switches).fluxes.nbe.sum()))(theta)
    assert np.isfinite(gradient).all()
    assert np.asarray(run(theta, batched, switches).fluxes.gpp)[0, 1] == 0.0


def test_share_of_a_step_is_that_of_its_days() -> None:
    rate = np.geomspace(1e-9, 0.9, 40)[:, None]
    days = np.arange(1.0, 32.0)
    expected = -np.expm1(days * np.log1p(-rate))
    np.testing.assert_allclose(phenology.step_share(rate, phenology.length_of(days)), expected, rtol=1e-13)
    for wrong in (30.4375, 0.0, 365.0):
        assert np.isnan(phenology.step_share(jnp.asarray(0.1), phenology.length_of(np.array(wrong))))


def test_stomata_are_where_a_slow_search_finds_them() -> None:
    rng = np.random.default_rng(5)
    lai, root, efficiency = rng.uniform(0.3, 6, 30), rng.uniform(20, 500, 30), rng.uniform(10, 100, 30)
    drivers = weather(latitude=np.full(30, 62.0))
    july = jax.tree.map(lambda a: jnp.asarray(a)[6] if np.ndim(a) and len(a) == 12 else a, drivers)
    sky = jax.jit(acm2.sky, static_argnames="stop")(july, stop=True)
    leaves = jax.jit(acm2.canopy)(sky, efficiency, lai, root)
    target = 6.431150e-3 * np.asarray(sky.daylight)
    interior = (leaves.conductance > 1.001 * lai) & (leaves.conductance < 0.999 * leaves.potential)
    assert interior.sum() > 10
    for i in np.flatnonzero(interior):
        gpp = partial(gpp_at, float(lai[i]), float(efficiency[i]), leaves.par[i], leaves.boundary[i], july)

        def surplus(g: float, gpp: object = gpp, i: int = i) -> float:
            return (gpp(g + lai[i]) - gpp(g)) / lai[i] - target[i]

        found = brentq(surplus, lai[i], float(leaves.potential[i]), xtol=1e-12, rtol=1e-12)
        np.testing.assert_allclose(leaves.conductance[i], found, rtol=1e-6)
        np.testing.assert_allclose(leaves.gpp[i], gpp(found), rtol=1e-8)


def gpp_at(lai: float, efficiency: float, par: float, boundary: float, drivers: Drivers, g: float) -> float:
    """ACM2 at a conductance, written again from its equations, with the larger root of the quadratic for Ci."""
    tmin, tmax, co2 = float(drivers.tmin), float(drivers.tmax), float(drivers.co2)
    leaf = 0.75 * tmax + 0.25 * tmin
    best, most = 31.5596, 68.42942
    heat = (most - best) * np.log((most - leaf) / (most - best)) + (best + 1e6) * np.log(
        (leaf + 1e6) / (best + 1e6)
    )
    demand = 83333.33 * lai * efficiency * np.exp(0.1889026 * heat)
    above = 0.5 * np.log1p(np.exp((leaf + 6.991) / 0.5))
    demand *= above / (above + 0.1408)
    light = 3.661204 * float(par)
    mole = 101325 / (8.3144 * (tmax + 273.15))
    kinetics = 310 * np.exp(23.956 * (leaf - 25) / (leaf + 273.15))
    compensation = 36.5 * np.exp(9.46 * (leaf - 25) / (leaf + 273.15))
    resistance = 1 / (142.2368 * g) + 1 / (118368 * mole * float(boundary))
    p, q = demand * resistance, compensation - kinetics
    inside = (co2 + q - p + np.sqrt((co2 + q - p) ** 2 - 4 * (co2 * q - p * compensation))) / 2
    tilt = -np.arcsin(np.sin(np.radians(23.45)) * np.cos(2 * np.pi * (float(drivers.mid_day) + 10) / 365))
    hours = 12 * (1 + 2 / np.pi * np.arcsin(np.clip(np.tan(np.radians(62.0)) * np.tan(tilt), -1, 1)))
    diffusion = 1.2e-5 * hours / 24 * (co2 - inside) / resistance
    return light * diffusion / (light + diffusion)


def test_the_stopped_search_is_near_the_root() -> None:
    theta = moderate()
    exact = run(theta, weather(losses=False, fires=False), ACM2).fluxes.gpp
    stopped = run(theta, weather(losses=False, fires=False), COARSE).fluxes.gpp
    off = np.abs(np.asarray(stopped / exact)[4:9] - 1)
    assert 1e-6 < off.max() < 0.05


@pytest.mark.parametrize("photosynthesis", ["acm1", "acm2"])
def test_winter_stop_ends_winter_and_leaves_summer(photosynthesis: str) -> None:
    drivers = weather(55.0, sw=np.full(12, 8.0), fires=False, losses=False)
    off, on = (
        np.asarray(
            run(moderate(), drivers, Switches(photosynthesis=photosynthesis, winter_stop=stop)).fluxes.gpp
        )
        for stop in (False, True)
    )
    leaf = 0.75 * drivers.tmax + 0.25 * drivers.tmin
    assert (leaf < -13).sum() >= 3
    assert (off[leaf < -13] > 1e-3).all()
    assert (on[leaf < -13] < 1e-4 * off[leaf < -13]).all()
    np.testing.assert_allclose(on[6], off[6], rtol=0.05)


def test_fire_of_fixed_completeness() -> None:
    shares = burn_shares(parameters(4, 3), replace(REPRODUCE, fire="fixed"))
    np.testing.assert_allclose(np.array(shares.emission), [0.1, 0.9, 0.1, 0.1, 0.7, 0.01])
    np.testing.assert_allclose(np.array(shares.mortality), [0.45, 0.05, 0.45, 0.45, 0.27])


def test_only_soil_near_the_surface_burns() -> None:
    theta = parameters(4, 3)
    all_of_it = burn_shares(theta, REPRODUCE).emission
    surface = burn_shares(theta, replace(REPRODUCE, som_burnt="surface", surface_share=0.25)).emission
    np.testing.assert_array_equal(all_of_it[5], theta[P.CC_SOM])
    np.testing.assert_allclose(surface[5], 0.25 * theta[P.CC_SOM])
    np.testing.assert_array_equal(surface[:5], all_of_it[:5])


@pytest.mark.parametrize(
    ("scenario", "switch", "area"),
    [
        (1, "share", [0.0, 0.1, 0.6, 1.0]),
        (1, "pixel", [0.0, 0.1, 1.0, 1.0]),
        (2, "share", [0.0, 0.1, 0.2, 0.9]),
    ],
)
def test_cleared_land_burns(scenario: int, switch: str, area: list[float]) -> None:
    burned, loss = np.array([0.0, 0.1, 0.2, 0.9]), np.array([0.0, 0.0, 0.4, 0.4])
    got = burnt_area(burned, loss, SCENARIOS[scenario], Switches(cleared_burns=switch))
    np.testing.assert_allclose(got, area)


def test_phenology_of_the_last_day_is_that_of_a_calendar_half_a_step_later() -> None:
    drivers = weather(fires=False, losses=False)
    later = replace(drivers, doy_end=drivers.doy_end + DAYS / 2, latitude=np.array(0.0), sw=np.zeros(12))
    dark = replace(drivers, latitude=np.array(0.0), sw=np.zeros(12))
    end = run(moderate(), dark, replace(BEST, phenology_day="end")).fluxes
    np.testing.assert_allclose(end.release, run(moderate(), later, BEST).fluxes.release, rtol=1e-12)


def test_years_of_a_run() -> None:
    drivers = weather(fires=False, losses=False)
    result = run(moderate(), drivers, BEST)
    labels, years = annual_outputs(result, drivers.dt, np.full(12, 2001))
    assert labels.tolist() == [2001]
    gpp = float((np.asarray(result.fluxes.gpp) * DAYS).sum())
    np.testing.assert_allclose(years.gpp, [gpp], rtol=1e-12)
    np.testing.assert_allclose(period_outputs(result, drivers.dt, np.full(12, 2001)).gpp, gpp, rtol=1e-12)
    np.testing.assert_allclose(years.cue, [1 - moderate()[P.F_A]], rtol=1e-12)
    split, halves = annual_outputs(result, drivers.dt, np.repeat([2001, 2002], 6))
    assert split.tolist() == [2001, 2002]
    assert np.isnan(halves.gpp).all()


def test_parameters_that_are_missing_are_an_error() -> None:
    drivers = climate_drivers(TimeAxis.of_years(2001, 2001), [Climate()], 0)
    with pytest.raises(InputError, match=r"theta has shape \(27, 1, 1\); expected 28 rows"):
        simulate(REFERENCE[:27, None, None], drivers, BEST)
    single = simulate(REFERENCE[:, None, None].astype(np.float32), drivers, BEST)
    assert single.pools.dtype == np.float64
