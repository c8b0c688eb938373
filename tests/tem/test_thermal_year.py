"""A year of soil heat: closure under changing water, gradients, independence of cells, unfrozen water, thaw by hand."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from talik.errors import ConfigError
from talik.tem.thermal import materials, snow
from talik.tem.thermal.column import one_day
from talik.tem.thermal.exact import Material, Neumann
from talik.tem.thermal.freezing import UnfrozenWater, heat_at, layers_from, phase
from talik.tem.thermal.grid import SOIL_THICKNESS_M, bounds
from talik.tem.thermal.year import Heat, Weather, heat_residual, initial_heat, one_year, thaw_depth

CELLS = 48
EVERY = tuple(materials.ORGANIC)
NAMES = [EVERY[i % len(EVERY)] for i in range(CELLS)]
UNFROZEN = UnfrozenWater()


class World(NamedTuple):
    state: Heat
    weather: Weather
    ground: materials.Ground


@partial(jax.jit, static_argnames=("unfrozen", "steps_per_day"))
def one(world: World, unfrozen=None, steps_per_day=1):
    """State and soil climate of the next year."""
    layers_of = lambda s: materials.physical_layers(s, world.ground)  # noqa: E731
    return one_year(world.state, world.weather, layers_of, unfrozen=unfrozen, steps_per_day=steps_per_day)


def run(world: World, unfrozen=None, steps_per_day=1, years=1):
    """State and soil climate of the last of some equal years."""
    world = jax.tree.map(
        lambda a: jnp.asarray(a, a.dtype), world
    )  # no weak types, so each case compiles once
    for _ in range(years):
        state, climate = one(world, unfrozen, steps_per_day)
        world = world._replace(state=state)
    return state, climate


def world(dtype: type = np.float64, cells: int = CELLS) -> World:
    """All communities, textures from sand to clay, saturation 0.01 to 1 and new each month, any climate."""
    rng = np.random.default_rng(7)
    names = NAMES[:cells]
    sand = rng.uniform(0, 100, CELLS)
    sand[:2], clay = (0.0, 100.0), rng.uniform(0, 1, CELLS) * (100 - sand)
    clay[:2] = 0.0  # pure silt, pure sand
    g = materials.ground_for(
        names,
        *(
            jnp.asarray(v[:cells], dtype)
            for v in (sand, clay, rng.uniform(0.3, 2.5, CELLS), rng.uniform(0.2, 0.9, CELLS))
        ),
    )
    mean, swing = rng.uniform(-22, 8, CELLS), rng.uniform(3, 30, CELLS)
    mean[2], swing[2] = -40.0, 5.0  # never thaws
    mean[3], swing[3] = 12.0, 5.0  # never freezes
    phase_ = 2 * np.pi * (np.arange(-1, 13)[:, None] - 0.3) / 12
    tair = mean - swing * np.cos(phase_) + rng.normal(0, 2, (14, CELLS))
    rain = rng.gamma(1.0, 40.0, (12, CELLS))
    rain[:, 4:8] = 0.0
    wet = 10 ** rng.uniform(-2, 0, (12, CELLS))
    wet[:, 8], wet[:, 9] = np.tile([0.01, 1.0], 6), 0.01
    density = rng.uniform(0.1, 0.4, CELLS)
    weather = Weather(
        *(jnp.asarray(v[:, :cells], dtype) for v in (tair, rain, wet)),
        snow.resistance_per_mm(jnp.asarray(density[:cells], dtype)),
    )
    saturation = weather.saturation[-1]
    start = initial_heat(weather.tair[1:-1].mean(0), materials.physical_layers(saturation, g), saturation)
    return World(start, weather, g)


@pytest.mark.parametrize(
    ("dtype", "unfrozen", "median", "worst"),
    [(np.float64, None, 1e-12, 1e-10), (np.float64, UNFROZEN, 1e-12, 1e-10), (np.float32, None, 1e-6, 1e-5)],
)
def test_heat_closes_while_water_changes(dtype, unfrozen, median, worst) -> None:
    """Extreme soils and climates, no rain, and water that is exchanged every month.

    In float32 only heat itself is float64: deep layers hold 1e9 J and gain less than a rounding error a day.
    """
    now = world(dtype)
    water = 0.0
    for _ in range(3):
        after, climate = run(now, unfrozen)
        residual = heat_residual(now.state, after, climate)
        assert climate.tsoil.dtype == dtype
        assert bool(jnp.isfinite(after.heat).all())
        assert float(jnp.abs(residual).max()) < worst
        assert float(jnp.median(jnp.abs(residual))) < median
        water = max(water, float(jnp.abs(climate.water_heat / climate.throughput).max()))
        now = now._replace(state=after)
    assert water > 0.05  # the term matters: without it the books would miss this much


def test_float32_and_float64_give_the_same_year() -> None:
    single, double = (run(world(dtype), years=2)[1] for dtype in (np.float32, np.float64))
    apart = np.abs(np.asarray(single.tsoil, float) - np.asarray(double.tsoil))
    assert np.quantile(apart, 0.99) < 0.02


def test_a_cell_does_not_depend_on_its_neighbours_or_its_block() -> None:
    whole_state, whole = run(world(), years=2)
    cells = 7
    state, part = run(world(cells=cells), years=2)
    for a, b in zip(part, whole, strict=True):
        np.testing.assert_allclose(a, b[..., :cells], rtol=1e-9, atol=1e-9 * float(jnp.abs(b).max()))
    np.testing.assert_allclose(state.heat, whole_state.heat[:, :cells], rtol=1e-9, atol=1e-3)


def test_days_that_do_not_exist_leave_bare_ground_alone() -> None:
    """Grass has no moss and no snow in June, whose 31st day is not there."""
    _, climate = run(world())
    grass = np.array(NAMES) == "grassland"
    assert grass.any()
    assert bool(jnp.isfinite(climate.tsoil[..., grass]).all())


def test_monthly_record_agrees_with_itself() -> None:
    now = world()
    _, climate = run(now)
    assert float(climate.tsoil.max()) <= float(now.weather.tair.max()) + 20.0
    assert bool(((climate.liquid >= 0) & (climate.liquid <= 1)).all())
    assert bool(((climate.thawed_days >= 0) & (climate.thawed_days <= 1 + 1e-12)).all())
    np.testing.assert_allclose(climate.thawed_days[:, 2], 0.0)  # -40 degC all year
    np.testing.assert_allclose(climate.thawed_days[:, 3], 1.0)  # 12 degC all year
    np.testing.assert_allclose(climate.swe[:, 4:8], 0.0)  # no precipitation
    assert float(thaw_depth(climate.liquid.max(0))[2]) == 0.0


def test_snow_water_of_months_by_a_slow_loop() -> None:
    """Snowfall below -1 degC spread over the month, degree-day melt, nothing after two months of thaw."""
    now = world()
    _, climate = run(now)
    tair, rain = np.asarray(now.weather.tair), np.asarray(now.weather.precipitation)
    for cell in (0, 5, 10, 20, 30):
        swe = 0.0
        for m, length in enumerate((31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)):
            t0, t1, t2 = tair[m : m + 3, cell]
            start, end = (t0 + t1) / 2, (t1 + t2) / 2
            middle = 2 * t1 - 15 / length * start - (length - 15) / length * end
            for day in range(length):
                air = float(np.interp(day + 0.5, [0, 15, length], [start, middle, end]))
                fall = rain[m, cell] / length if t1 < -1 else 0.0
                swe = max(0.0, swe + fall - 5.0 * max(air, 0.0))
            if t0 >= -1 and t1 >= -1:
                swe = 0.0
            assert float(climate.swe[m, cell]) == pytest.approx(swe, abs=1e-9), (cell, m)


def test_published_set_runs_and_closes() -> None:
    now = world()
    layers = materials.legacy_layers(NAMES)
    start = initial_heat(now.weather.tair[1:-1].mean(0), layers, now.weather.saturation[-1], 0.04)

    @jax.jit
    def year(state: Heat):
        return one_year(state, now.weather, lambda _: layers, geothermal=0.04)

    for _ in range(2):
        after, climate = year(start)
        assert float(jnp.abs(heat_residual(start, after, climate)).max()) < 1e-10
        np.testing.assert_allclose(climate.water_heat / climate.throughput, 0.0, atol=1e-12)
        start = after
    assert bool(jnp.isfinite(climate.tsoil).all())


def tundra(fibric_m=0.05, density=0.25, conductivity=1.0, cells=CELLS) -> World:
    """Smooth in its arguments: wet cells of cold climates without a thick moss."""
    g = materials.ground_for(
        ["wet_tundra"] * cells,
        *(jnp.full(cells, v) for v in (40.0, 20.0, 1.0, 0.6)),
        organic=materials.OrganicSoil(0.005, fibric_m, 0.05, 1.0),
    )
    g = g._replace(k_solid=g.k_solid * conductivity)
    season = -np.cos(2 * np.pi * (np.arange(-1, 13)[:, None] - 0.3) / 12)
    tair = jnp.asarray(np.linspace(-12.0, -8.0, cells) + np.linspace(20.0, 17.0, cells) * season)
    wet, rain = jnp.full((12, cells), 0.7), jnp.full((12, cells), 22.0)
    weather = Weather(tair, rain, wet, snow.resistance_per_mm(jnp.full(cells, density)))
    start = initial_heat(tair[1:-1].mean(0), materials.physical_layers(wet[0], g), wet[0])
    return World(start, weather, g)


def test_half_days_change_thaw_little() -> None:
    daily, half = (thaw_depth(run(tundra(), steps_per_day=n, years=6)[1].liquid.max(0)) for n in (1, 2))
    assert np.all((daily > 0.2) & (daily < 2.0))
    assert np.abs(half / daily - 1).max() < 0.01, (daily, half)


@jax.jit
def outcome_and_slopes(parameters: jax.Array):
    """Thaw depth (0, 1) and temperature at 1 m (2, 3) of two cells after a year, and their gradients."""

    def outcome(parameters):
        now = tundra(*parameters, cells=2)
        layers_of = lambda s: materials.physical_layers(s, now.ground)  # noqa: E731
        _, climate = one_year(now.state, now.weather, layers_of, tolerance=1e-7)
        return (
            result := jnp.concatenate([thaw_depth(climate.liquid.max(0)), climate.tsoil[:, 12].mean(0)])
        ), result

    slopes, values = jax.jacfwd(outcome, has_aux=True)(parameters)
    return values, slopes


def test_gradients_are_central_differences() -> None:
    """By thickness of fibric soil, snow density, and conductivity of the minerals."""
    at, steps = np.array([0.063, 0.25, 1.0]), np.array([1e-5, 1e-5, 1e-4])
    values, slopes = outcome_and_slopes(at)
    assert np.isfinite(slopes).all()
    assert (np.abs(slopes) > 1e-4).all()
    for column, step in enumerate(steps):
        above, below = (outcome_and_slopes(at + s * step * np.eye(3)[column])[0] for s in (1, -1))
        centred = (above - below) / (2 * step)
        np.testing.assert_allclose(slopes[:, column], centred, rtol=1e-3, atol=1e-4 * np.abs(centred).max())
    assert np.all((values[:2] > 0.2) & (values[:2] < 2.0))


def test_reverse_gradients_are_central_differences() -> None:
    """Through ten days of spring, by the resistance of snow and by the heat at the start."""
    now = tundra(cells=2)
    layers = materials.physical_layers(now.weather.saturation[0], now.ground)

    @jax.jit
    def warmth(at):
        def day(heat, _):
            return one_day(heat, layers, jnp.full(2, 6.0), jnp.full(2, at[0]), iterations=4)[0], None

        heat, _ = jax.lax.scan(day, now.state.heat * at[1], length=10)
        return jnp.sum(heat) * 1e-6

    at = np.array([0.3, 1.0])
    reverse = np.asarray(jax.jit(jax.grad(warmth))(at))
    steps = 1e-6 * np.eye(2)
    centred = [(float(warmth(at + step)) - float(warmth(at - step))) / 2e-6 for step in steps]
    np.testing.assert_allclose(reverse, centred, rtol=1e-5)
    assert (np.abs(reverse) > 0.1).all()


def test_thaw_depth_by_hand() -> None:
    edges = bounds(SOIL_THICKNESS_M)
    liquid = np.zeros((42, 5))
    liquid[:3, 1], liquid[3, 1] = 1.0, 0.25  # 0.1 m and a quarter of the next 0.1 m
    liquid[:, 2] = 1.0  # no permafrost
    liquid[:10, 3], liquid[10, 3], liquid[11:15, 3] = (
        1.0,
        0.5,
        1.0,
    )  # thawed ground below frozen does not count
    liquid[0, 4] = 0.5
    expected = [0.0, 0.125, 50.0, edges[10] + 0.05, 0.01]
    np.testing.assert_allclose(thaw_depth(jnp.asarray(liquid)), expected, rtol=1e-12)


def test_talik_counts_as_active_layer() -> None:
    """Ground that refreezes to 0.5 m only: what stays thawed below it belongs to the depth of the year."""
    winter = np.zeros((42, 1))
    summer = np.ones((42, 1))
    winter[7:20], summer[20:] = 1.0, 0.0
    assert float(thaw_depth(jnp.asarray(winter))[0]) == 0.0
    year = np.maximum(winter, summer)
    assert float(thaw_depth(jnp.asarray(year))[0]) == pytest.approx(bounds(SOIL_THICKNESS_M)[20])


# unfrozen water

phase_of = jax.jit(phase, static_argnums=2)
heat_of = jax.jit(heat_at, static_argnums=3)

SOIL = layers_from(jnp.full((1, 1), 0.1), *(jnp.full((1, 1), v) for v in (1.7e6, 3.1e6, 1.4362e8, 2.1, 1.2)))


@pytest.mark.parametrize("exponent", [0.3, 0.5, 0.8, 1.5, 5.0, 50.0])
def test_temperature_inverts_heat_and_rises_with_it(exponent: float) -> None:
    law = UnfrozenWater(exponent=exponent)
    degrees = jnp.concatenate(
        [
            -jnp.logspace(2, -6, 400),
            jnp.array([-0.0500001, -0.05, -0.0499999, 0.0]),
            jnp.logspace(-6, 1.5, 100),
        ]
    )
    degrees = jnp.sort(degrees)[:, None]
    heat = heat_of(degrees, jnp.zeros_like(degrees), SOIL, law)
    found = phase_of(heat, SOIL, law)
    np.testing.assert_allclose(found.temperature, degrees, rtol=1e-12, atol=2e-13 * 1e3)
    assert (np.diff(heat[:, 0]) > 0).all()
    between = 0.5 * (heat[1:] + heat[:-1])
    width = 1e-6 * (heat[1:] - heat[:-1])
    up, down = (phase_of(between + s * width, SOIL, law).temperature for s in (1, -1))
    slope = phase_of(between, SOIL, law).slope
    smooth = np.asarray(heat[1:] - heat[:-1])[:, 0] > 1e3
    np.testing.assert_allclose(((up - down) / (2 * width))[smooth], slope[smooth], rtol=1e-3)


def test_gradient_through_the_inversion() -> None:
    law = UnfrozenWater()
    soil = lambda latent: SOIL._replace(latent=SOIL.latent * latent, per_latent=SOIL.per_latent / latent)  # noqa: E731
    heat = jnp.full((1, 1), 2e6)
    of = lambda scale: phase_of(heat, soil(scale), law).temperature[0, 0]  # noqa: E731
    centred = (of(1 + 1e-6) - of(1 - 1e-6)) / 2e-6
    assert float(jax.grad(of)(1.0)) == pytest.approx(float(centred), rel=1e-6)
    slope = jax.grad(lambda h: phase_of(jnp.full((1, 1), h), SOIL, law).temperature[0, 0])(2e6)
    assert float(slope) == pytest.approx(float(phase_of(heat, SOIL, law).slope[0, 0]), rel=1e-9)


def test_freezing_curve_by_hand() -> None:
    """430 kg m-3 of water, limit -0.05 degC, exponent 0.5: the share is the root of 0.05 / |T|."""
    shares = {-0.02: 1.0, -0.05: 1.0, -0.2: 0.5, -0.8: 0.25, -5.0: 0.1, -20.0: 0.05}
    for degrees, share in shares.items():
        # MJ m-3: ice and soil, water and soil, latent heat
        heat = 0.1 * ((1.7 * (1 - share) + 3.1 * share) * degrees + 143.62 * share) * 1e6
        found = phase_of(jnp.full((1, 1), heat), SOIL, UNFROZEN)
        assert float(found.liquid[0, 0]) == pytest.approx(share, rel=1e-9)
        assert float(found.temperature[0, 0]) == pytest.approx(degrees, rel=1e-9)


@partial(jax.jit, static_argnames=("law",))
def thawing_front(law):
    """Front after 120 and 365 days at 5 degC over ground at -2 degC, and its temperature at the end."""
    thickness = jnp.asarray(SOIL_THICKNESS_M)[:, None]
    soil = layers_from(thickness, *(jnp.full_like(thickness, v) for v in (1.7e6, 3.1e6, 1.4362e8, 2.1, 1.2)))
    start = heat_at(jnp.full((42, 1), -2.0), jnp.zeros((42, 1)), soil, law)

    def day(heat, _):
        heat, _ = one_day(heat, soil, jnp.array([5.0]), jnp.array([0.0]), geothermal=0.0, unfrozen=law)
        return heat, phase(heat, soil, law)

    _, days = jax.lax.scan(day, start, length=365)
    return thaw_depth(days.liquid)[jnp.array([119, 364]), 0], days.temperature[364, :, 0]


def test_steep_curve_is_the_isothermal_law_and_the_exact_front() -> None:
    """A large exponent and a limit near 0 degC freeze all water at once."""
    plain, steep, gentle = (thawing_front(law) for law in (None, UnfrozenWater(-1e-3, 50.0), UNFROZEN))
    exact = Neumann(Material(), 5.0, -2.0).front([120 * 86400.0, 365 * 86400.0])
    np.testing.assert_allclose(steep[0], exact, rtol=0.02)
    np.testing.assert_allclose(steep[0], plain[0], rtol=0.01)
    np.testing.assert_allclose(steep[1], plain[1], atol=0.03)
    assert np.abs(np.asarray(gentle[1] - plain[1])).max() > 0.1


def test_unfrozen_water_says_what_is_wrong() -> None:
    with pytest.raises(ConfigError, match=r"limit_c 0\.1 and exponent 0\.5; expected limit_c below 0"):
        UnfrozenWater(limit_c=0.1)
    with pytest.raises(ConfigError, match="exponent above 0"):
        UnfrozenWater(exponent=0.0)


def test_layers_share_a_temperature_across_a_change_of_water() -> None:
    """Heat for the new water at the old temperature and liquid share, and back."""
    ground, layers_at = tundra(cells=1).ground, jax.jit(materials.physical_layers)
    for law in (None, UNFROZEN):
        dry, wet = (layers_at(jnp.array([s]), ground) for s in (0.2, 0.9))
        heat = jnp.linspace(-5e6, 8e6, 43)[:, None]
        before = phase_of(heat, dry, law)
        exchanged = phase_of(heat_of(before.temperature, before.liquid, wet, law), wet, law)
        np.testing.assert_allclose(exchanged.temperature, before.temperature, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(exchanged.liquid[1:], before.liquid[1:], rtol=1e-9, atol=1e-12)
