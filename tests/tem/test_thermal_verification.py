"""The column against exact solutions, its own limit of fine layers and short steps, and the conservation of heat."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from talik.errors import ConfigError
from talik.tem.thermal.column import one_day
from talik.tem.thermal.exact import Material, Neumann, periodic
from talik.tem.thermal.freezing import Layers, heat_at, layers_from, liquid_fraction, temperature
from talik.tem.thermal.grid import SOIL_THICKNESS_M, midpoints
from talik.tem.thermal.year import thaw_depth

DAY = 86400.0
TEST = Material()


def column(thickness: np.ndarray, material: Material = TEST) -> Layers:
    """One column of a material, (layer, 1)."""
    m, dz = material, jnp.asarray(thickness)[:, None]
    return layers_from(
        dz, *(jnp.full_like(dz, v) for v in (m.c_frozen, m.c_thawed, m.latent, m.k_frozen, m.k_thawed))
    )


@partial(jax.jit, static_argnames=("geothermal", "tolerance", "iterations"))
def driven(heat, layers, surface, seconds, geothermal=0.0, tolerance=0.01, iterations=12):
    """Heat after each step, and the flux into the top, under a surface temperature (step, cell)."""

    def step(heat, now):
        heat, flux = one_day(
            heat, layers, now, jnp.zeros_like(now), seconds,
            geothermal=geothermal, tolerance=tolerance, iterations=iterations,
        )  # fmt: skip
        return heat, (heat, flux)

    return lax.scan(step, heat, surface)[1]


def start_at(initial_c, layers: Layers) -> jax.Array:
    """Heat of a uniform temperature; 0 counts as just frozen."""
    c = jnp.broadcast_to(jnp.asarray(initial_c), layers.latent.shape)
    return heat_at(c, (c > 0).astype(float), layers)


def front(share: np.ndarray, thickness: np.ndarray) -> float:
    """Depth of the first layer that has not changed phase throughout, plus its share that has."""
    first = int(np.argmax(share < 1.0))
    return float(thickness[:first].sum() + share[first] * thickness[first])


TABLE = [
    (5.0, -1e-9, 0.228283, {30: 0.4573, 90: 0.7921, 120: 0.9147, 365: 1.5952}),
    (5.0, -2.0, 0.215521, {30: 0.4318, 90: 0.7478, 120: 0.8635, 365: 1.5060}),
    (5.0, -5.0, 0.198074, {30: 0.3968, 90: 0.6873, 120: 0.7936, 365: 1.3841}),
    (10.0, -10.0, 0.258969, {30: 0.5188, 90: 0.8986, 120: 1.0376, 365: 1.8096}),
    (-10.0, 2.0, 0.229021, {30: 0.8196, 120: 1.6392, 365: 2.8589}),
]


@pytest.mark.parametrize(("surface", "initial", "number", "fronts"), TABLE)
def test_neumann_table(surface: float, initial: float, number: float, fronts: dict[int, float]) -> None:
    exact = Neumann(TEST, surface, initial)
    assert exact.front_number == pytest.approx(number, abs=5e-7)
    assert exact.front([d * DAY for d in fronts]) == pytest.approx(list(fronts.values()), abs=6e-5)


def test_stefan_limit() -> None:
    """A small Stefan number and no heat ahead: sqrt(2 k T t / L)."""
    for days, depth in ((30, 0.4654), (120, 0.9307), (365, 1.6233)):
        assert np.sqrt(2 * TEST.k_thawed * 5.0 * days * DAY / TEST.latent) == pytest.approx(depth, abs=6e-5)
    soft = Material(latent=1e11)
    assert Neumann(soft, 5.0, -1e-9).front(3e7) == pytest.approx(
        np.sqrt(2 * 1.2 * 5.0 * 3e7 / 1e11), rel=1e-3
    )


@pytest.mark.parametrize(("surface", "initial", "number", "fronts"), TABLE)
def test_neumann_front_and_temperature(surface, initial, number, fronts) -> None:
    layers = column(SOIL_THICKNESS_M)
    heat, _ = driven(start_at(initial, layers), layers, jnp.full((365, 1), surface), DAY)
    liquid = np.asarray(liquid_fraction(heat, layers))[:, :, 0]
    changed = liquid if surface > 0 else 1.0 - liquid
    for days, depth in fronts.items():
        error = front(changed[days - 1], SOIL_THICKNESS_M) - depth
        assert abs(error) <= max(0.02 * depth, 0.01), (days, error)
    z = midpoints(SOIL_THICKNESS_M)
    exact = Neumann(TEST, surface, initial).temperature(z, 365 * DAY)
    computed = np.asarray(temperature(heat[-1], layers))[:, 0]
    apart = (
        np.abs(z - fronts[365]) > 0.3
    )  # within the layer of the front the temperature is that of the phase change
    assert np.abs(computed - exact)[apart].max() < 0.03 * (abs(surface) + abs(initial))


def test_neumann_error_is_of_first_order() -> None:
    """Halving layers and step halves the error of the front (backward Euler)."""
    exact = Neumann(TEST, 5.0, -1e-9).front(np.arange(91, 366) * DAY)
    errors = []
    for layer, per_day in ((0.08, 1), (0.04, 2), (0.02, 4)):
        thickness = np.full(int(3.2 / layer), layer)
        layers = column(thickness)
        heat, _ = driven(
            start_at(-1e-9, layers), layers, jnp.full((365 * per_day, 1), 5.0), DAY / per_day, 0.0, 1e-8, 40
        )
        liquid = np.asarray(liquid_fraction(heat, layers))[per_day - 1 :: per_day, :, 0]
        fronts = [front(share, thickness) for share in liquid[90:]]
        errors.append(np.sqrt(np.mean((np.array(fronts) - exact) ** 2)))
    order = np.log2(errors[0] / errors[2]) / 2.0
    assert order > 0.8, (errors, order)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_periodic_without_phase_change(sign: float) -> None:
    """Amplitude within 0.5 % of that of the surface, day of the maximum within 3 days, to 8.5 m."""
    layers, year = column(SOIL_THICKNESS_M), 365 * DAY
    mean, amplitude = sign * 15.0, 10.0
    day = np.arange(1, 12 * 365 + 1)
    surface = mean + amplitude * np.sin(2 * np.pi * day / 365)
    heat, _ = driven(start_at(mean, layers), layers, jnp.asarray(surface)[:, None], DAY)
    computed = np.asarray(temperature(heat[-365:], layers))[:, :, 0]
    k, c = (TEST.k_thawed, TEST.c_thawed) if sign > 0 else (TEST.k_frozen, TEST.c_frozen)
    assert np.sqrt(k / c * year / np.pi) == pytest.approx(1.9712 if sign > 0 else 3.521, abs=1e-3)
    z = midpoints(SOIL_THICKNESS_M)
    exact = periodic(z[None, :], day[-365:, None] * DAY, mean, amplitude, year, k / c)
    shallow = z < 8.5
    swing = np.ptp(computed, axis=0) / 2 - np.ptp(exact, axis=0) / 2
    assert np.abs(swing)[shallow].max() < 0.005 * amplitude
    late = (computed.argmax(0) - exact.argmax(0) + 182) % 365 - 182
    assert np.abs(late)[shallow].max() <= 3


ANNUAL = {(-6.0, 15.0): 0.877, (-3.0, 12.0): 1.001, (-10.0, 14.0): 0.420, (-1.0, 10.0): 1.110}


def annual_cycle(steps_per_day: int) -> np.ndarray:
    """ALT of year 12 in the four climates."""
    mean, amplitude = (jnp.asarray(v) for v in zip(*ANNUAL, strict=True))
    one = column(SOIL_THICKNESS_M)
    layers = Layers(*(jnp.broadcast_to(a, (a.shape[0], 4)) for a in one))
    day = (np.arange(365 * steps_per_day) + 1) / steps_per_day
    surface = mean + amplitude * jnp.sin(2 * jnp.pi * (jnp.asarray(day)[:, None] - 105) / 365)
    heat = start_at(jnp.minimum(mean, -0.5), layers)
    for _ in range(12):
        states, _ = driven(heat, layers, surface, DAY / steps_per_day, 0.05)
        heat = states[-1]
    return np.asarray(thaw_depth(liquid_fraction(states, layers).max(0)))


def test_annual_cycle_against_fine_layers_and_half_days() -> None:
    daily, half = annual_cycle(1), annual_cycle(2)
    fine = np.array(list(ANNUAL.values()))
    assert np.abs(daily / fine - 1).max() < 0.03, daily
    assert np.abs(half / daily - 1).max() < 0.01, half


def test_steady_state_is_the_geothermal_line() -> None:
    layers = column(SOIL_THICKNESS_M)
    z = midpoints(SOIL_THICKNESS_M)
    line = -8.0 + 0.05 * z / TEST.k_frozen
    heat = heat_at(jnp.asarray(line)[:, None], jnp.zeros((42, 1)), layers)
    heat, _ = driven(heat, layers, jnp.full((3650, 1), -8.0), DAY, 0.05)
    assert np.abs(np.asarray(temperature(heat[-1], layers))[:, 0] - line).max() < 1e-6
    cold = start_at(-5.0, layers)
    for _ in range(4):  # steps of 10,000 years find it from anywhere
        cold = driven(cold, layers, jnp.full((5, 1), -8.0), 3.15e11, 0.05)[0][-1]
    assert np.abs(np.asarray(temperature(cold, layers))[:, 0] - line).max() < 1e-6


@pytest.mark.parametrize(("dtype", "limit"), [(np.float64, 1e-10), (np.float32, 1e-5)])
def test_heat_closes_every_year(dtype: type, limit: float) -> None:
    rng = np.random.default_rng(3)
    cells = 40
    one = column(SOIL_THICKNESS_M)
    layers = Layers(*(jnp.asarray(np.broadcast_to(a, (42, cells)), dtype) for a in one))
    mean, amplitude = rng.uniform(-15, 6, cells), rng.uniform(5, 25, cells)
    day = np.arange(365)[:, None] + 0.5
    surface = mean + amplitude * np.sin(2 * np.pi * (day - 105) / 365) + rng.normal(0, 4, (365, cells))
    heat = start_at(jnp.asarray(mean, dtype), layers).astype(dtype)
    for _ in range(3):
        states, flux = driven(heat, layers, jnp.asarray(surface, dtype), DAY, 0.05)
        gained = np.asarray(states[-1], np.float64).sum(0) - np.asarray(heat, np.float64).sum(0)
        given_in = (np.asarray(flux, np.float64) + 0.05).sum(0) * DAY
        moved = (np.abs(np.asarray(flux, np.float64)) + 0.05).sum(0) * DAY
        assert states.dtype == dtype
        assert (np.abs(gained - given_in) / moved).max() < limit
        heat = states[-1]


a_day = jax.jit(one_day, static_argnames=("geothermal", "tolerance", "iterations"))
material = st.builds(
    Material,
    k_thawed=st.floats(0.05, 3.0),
    k_frozen=st.floats(0.05, 3.0),
    c_thawed=st.floats(2e5, 4.2e6),
    c_frozen=st.floats(2e5, 2.5e6),
    latent=st.floats(0.0, 3.3e8),
)


@settings(max_examples=25, deadline=None)
@given(material, st.floats(-60, 40), st.floats(-30, 30), st.sampled_from([1, 3, 12]), st.floats(0.0, 20.0))
def test_any_column_conserves_heat_and_stays_between_its_boundaries(
    m, surface, initial, iterations, cover
) -> None:
    layers = column(SOIL_THICKNESS_M, m)
    start = start_at(initial, layers)
    after, flux = a_day(
        start, layers, jnp.array([surface]), jnp.array([cover]), DAY, geothermal=0.0, iterations=iterations
    )
    gained = float(jnp.sum(after - start))
    assert abs(gained - float(flux[0]) * DAY) <= 1e-10 * (float(jnp.sum(jnp.abs(start))) + abs(gained) + 1.0)
    settled = a_day(
        start,
        layers,
        jnp.array([surface]),
        jnp.array([cover]),
        DAY,
        geothermal=0.0,
        iterations=40,
        tolerance=1e-9,
    )
    reached = np.asarray(temperature(settled[0], layers))
    assert reached.min() > min(surface, initial, 0.0) - 1e-6
    assert reached.max() < max(surface, initial, 0.0) + 1e-6


def test_no_time_changes_nothing_and_cells_do_not_touch() -> None:
    layers = Layers(*(jnp.broadcast_to(a, (42, 5)) for a in column(SOIL_THICKNESS_M)))
    heat = start_at(jnp.linspace(-9.0, 3.0, 5), layers)
    surface, cover = jnp.linspace(-20.0, 25.0, 5), jnp.linspace(0.0, 3.0, 5)
    same, _ = a_day(heat, layers, surface, cover, 0.0)
    np.testing.assert_array_equal(same, heat)
    together, _ = a_day(heat, layers, surface, cover, DAY)
    for cell in range(5):
        one = Layers(*(a[:, cell : cell + 1] for a in layers))
        alone, _ = a_day(heat[:, cell : cell + 1], one, surface[cell : cell + 1], cover[cell : cell + 1], DAY)
        np.testing.assert_allclose(alone[:, 0], together[:, cell], rtol=1e-12, atol=1e-3)


def test_snow_is_a_resistance() -> None:
    """In a steady state the flux is the temperature difference over all resistances in series."""
    layers = column(SOIL_THICKNESS_M)
    heat = start_at(-5.0, layers)
    for _ in range(6):
        heat, flux = a_day(heat, layers, jnp.array([-20.0]), jnp.array([2.5]), 1e12, geothermal=0.05)
    assert float(flux[0]) == pytest.approx(-0.05, abs=1e-9)
    top = float(temperature(heat, layers)[0, 0])
    assert top == pytest.approx(-20.0 + 0.05 * (2.5 + 0.01 / TEST.k_frozen), abs=1e-6)


def test_neumann_needs_opposite_signs() -> None:
    with pytest.raises(ConfigError, match="opposite signs"):
        Neumann(TEST, 5.0, 2.0)
