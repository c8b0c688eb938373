"""Soil properties, snow and daily temperature against numbers worked out by hand and slow re-computations."""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talik.errors import ConfigError
from talik.tem.calendar import MONTH_DAYS
from talik.tem.thermal import materials, snow
from talik.tem.thermal.column import one_day
from talik.tem.thermal.daily import Month, at_noon, months
from talik.tem.thermal.freezing import Layers, temperature
from talik.tem.thermal.grid import SOIL_THICKNESS_M, bounds, interpolation, midpoints

TUNDRA, FOREST, DESERT, GRASS = "wet_tundra", "boreal_forest", "alpine_tundra_polar_desert", "grassland"


CELLS = 8
"""All columns are made in blocks of this many cells, the given communities over and over."""

layers_of = jax.jit(materials.physical_layers)


def ground(names, sand=40.0, clay=20.0, root=1.0, field=0.5, organic=None) -> materials.Ground:
    full = lambda v: jnp.full(CELLS, v)  # noqa: E731
    names = [names[i % len(names)] for i in range(CELLS)]
    return materials.ground_for(names, full(sand), full(clay), full(root), full(field), organic)


def wet(saturation: float) -> jax.Array:
    return jnp.full(CELLS, saturation)


def by_volume(layers: Layers, thickness: np.ndarray) -> dict[str, np.ndarray]:
    """Capacities, latent heat and conductivities per volume, (layer, cell), back from the areal numbers."""
    dz = thickness[:, None]
    frozen = 0.5 * dz / np.asarray(layers.half_resistance)
    return {
        "c_frozen": 1 / np.asarray(layers.per_heat_frozen) / dz,
        "c_thawed": 1 / np.asarray(layers.per_heat_thawed) / dz,
        "latent": np.asarray(layers.latent) / dz,
        "k_frozen": frozen,
        "k_thawed": frozen * np.exp(np.asarray(layers.log_ratio)),
    }


def by_hand(saturation: float, kind: str, sand: float, clay: float) -> dict[str, float]:
    """Johansen's conductivity and the mixtures, one material at a time, from the formulae."""
    if kind == "mineral":
        pores = 0.489 - 0.00126 * sand
        solid = (8.8 * sand + 2.92 * clay) / (sand + clay)
        c_solid = (2.128 * sand + 2.385 * clay) / (sand + clay) * 1e6
        density = 2700 * (1 - pores)
        dry = (0.135 * density + 64.7) / (2700 - 0.947 * density)
    else:
        pores = {"moss": 0.98, "fibric": 0.95, "humic": 0.80}[kind]
        solid, c_solid = 0.25, 2.5e6
        dry = solid ** (1 - pores) * 0.023**pores
    water = saturation * pores
    kersten = max(0.0, math.log(saturation) / math.log(10) + 1)
    wet = {w: solid ** (1 - pores) * k**pores for w, k in (("thawed", 0.60), ("frozen", 2.29))}
    return {
        "c_frozen": c_solid * (1 - pores) + 2.117e6 * water,
        "c_thawed": c_solid * (1 - pores) + 4.188e6 * water,
        "latent": 3.34e8 * water,
        "k_frozen": saturation * wet["frozen"] + (1 - saturation) * dry,
        "k_thawed": kersten * wet["thawed"] + (1 - kersten) * dry,
    }


@pytest.mark.parametrize("saturation", [0.05, 0.1, 0.5, 0.95])
@pytest.mark.parametrize(("sand", "clay"), [(40.0, 20.0), (90.0, 5.0), (5.0, 60.0)])
def test_materials_by_hand(saturation: float, sand: float, clay: float) -> None:
    soil = layers_of(wet(saturation), ground([FOREST], sand, clay))
    found = by_volume(soil, np.concatenate([[0.020], SOIL_THICKNESS_M]))
    edges = bounds(SOIL_THICKNESS_M)
    for layer, kind in ((0, "moss"), (1, "fibric"), (10, "mineral")):
        for name, value in by_hand(saturation, kind, sand, clay).items():
            assert found[name][layer, 0] == pytest.approx(value, rel=1e-12), (kind, name)
    # 0.1-0.2 m of forest: fibric to 0.049, humic to 0.164, then mineral: capacities by volume, conductivities in series
    assert edges[3] == pytest.approx(0.1)
    humic, mineral = (by_hand(saturation, kind, sand, clay) for kind in ("humic", "mineral"))
    for name in humic:
        if name.startswith("k"):
            mixed = 1 / (0.64 / humic[name] + 0.36 / mineral[name])
        else:
            mixed = 0.64 * humic[name] + 0.36 * mineral[name]
        assert found[name][4, 0] == pytest.approx(mixed, rel=1e-9), name


def test_printed_values() -> None:
    """Numbers from a pocket calculator: the Kersten number is a logarithm to base 10 (Johansen 1975)."""
    found = by_volume(layers_of(wet(0.5), ground([DESERT])), np.r_[0.005, SOIL_THICKNESS_M])
    # porosity 0.4386, solid 6.84, saturated 6.84**0.5614 * 0.6**0.4386 = 2.35233,
    # dry (0.135 * 1515.78 + 64.7) / 1264.556 = 0.21298
    assert found["k_thawed"][8, 0] == pytest.approx(0.69897 * 2.35233 + 0.30103 * 0.21298, abs=1e-5)
    assert found["latent"][8, 0] == pytest.approx(0.5 * 0.4386 * 3.34e8, rel=1e-6)


def test_water_above_and_below_the_roots() -> None:
    root, field = 0.75, 0.6
    names = [DESERT, FOREST, TUNDRA]
    found = by_volume(
        layers_of(wet(0.3), ground(names, root=root, field=field)),
        np.r_[0.02, SOIL_THICKNESS_M],
    )
    pores = 0.489 - 0.00126 * 40
    for cell, wetness in enumerate((0.3, 0.5, 1.0)):
        below = wetness * 0.95 + (1 - wetness) * field
        saturation = found["latent"][1:, cell] / 3.34e8 / pores
        mineral = bounds(SOIL_THICKNESS_M)[:-1] > 0.3
        expected = np.where(midpoints(SOIL_THICKNESS_M) < root, 0.3, below)
        np.testing.assert_allclose(saturation[mineral], expected[mineral], rtol=1e-12)


def test_conductivity_rises_with_water_and_capacity_closes() -> None:
    soil = layers_of(jnp.array([0.01, 0.05, 0.1, 0.15, 0.3, 0.6, 0.9, 1.0]), ground([TUNDRA]))
    found = by_volume(soil, np.r_[0.02, SOIL_THICKNESS_M])
    for name in ("k_frozen", "k_thawed", "c_frozen", "c_thawed", "latent"):
        assert (np.diff(found[name][1:5]) >= -1e-12).all(), name
    # what water and ice hold differs by (4188 - 2117) J per kg and K
    water = found["latent"] / 3.34e5
    np.testing.assert_allclose((found["c_thawed"] - found["c_frozen"])[1:], (2071.0 * water)[1:], rtol=1e-9)


def test_communities_and_thickness() -> None:
    g = ground([FOREST, TUNDRA, DESERT])
    organic = np.sum(np.asarray(g.fibric + g.humic) * SOIL_THICKNESS_M[:, None], axis=0)
    np.testing.assert_allclose(organic[:3], [0.049 + 0.115, 0.101 + 0.165, 0.04], rtol=1e-12)
    np.testing.assert_allclose(g.moss_m[:3], [0.020, 0.005, 0.005])
    np.testing.assert_allclose(g.fibric + g.humic + g.mineral, 1.0)
    with pytest.raises(ConfigError, match="'taiga' is unknown; choose one of: alpine_tundra"):
        ground(["taiga"])
    with pytest.raises(ConfigError, match="'swamp' is unknown"):
        materials.legacy_layers(["swamp"])


def test_published_layer_set() -> None:
    """Moss, organic and mineral numbers of the public files: dry density 1000 kg m-3."""
    names = [FOREST, TUNDRA, DESERT, GRASS]
    thickness = np.r_[1.0, SOIL_THICKNESS_M]
    found = by_volume(materials.legacy_layers(names), thickness)
    organic = {"k_thawed": (0.5, 0.7, 0.2, 0.2), "k_frozen": (1.0, 1.5, 1.25, 1.6)}
    organic |= {"latent": tuple(w * 3.34e8 for w in (0.20, 0.10, 0.45, 0.65))}
    organic |= {"c_thawed": (2.6e6, 1.3e6, 1.7e6, 2.6e6), "c_frozen": (2.4e6, 1.2e6, 1.5e6, 2.4e6)}
    mineral = {
        "k_thawed": 1.2,
        "k_frozen": 2.1,
        "latent": 0.43 * 3.34e8,
        "c_thawed": 3.1e6,
        "c_frozen": 1.7e6,
    }
    for name in organic:
        np.testing.assert_allclose(found[name][2], organic[name], rtol=1e-12)
        np.testing.assert_allclose(found[name][-1], mineral[name], rtol=1e-12)
    resistance = 2 * np.asarray(materials.legacy_layers(names).half_resistance)[0]
    np.testing.assert_allclose(resistance, [0.20 / 0.15, 0.20 / 0.56, 0.22 / 1.20, 0.05 / 0.201], rtol=1e-12)


long_step = jax.jit(partial(one_day, seconds=1e12, geothermal=0.4))


@pytest.mark.parametrize("moss", [0.0, 0.004, 0.01])
def test_thin_moss_is_a_resistance_added_by_hand(moss: float) -> None:
    """Steady flux through thin moss and snow is the temperature difference over the sum of the resistances."""
    organic = materials.OrganicSoil(moss, 0.02, 0.02, 0.3)
    soil = layers_of(wet(0.6), ground([GRASS], organic=organic))
    heat, snow_cover = jnp.zeros((43, CELLS)) - 1.0, 0.8
    for _ in range(8):
        heat, flux = long_step(heat, soil, jnp.full(CELLS, -15.0), jnp.full(CELLS, snow_cover))
    moss_k, fibric_k = by_hand(0.6, "moss", 40, 20)["k_thawed"], by_hand(0.6, "fibric", 40, 20)["k_frozen"]
    assert float(flux[0]) == pytest.approx(-0.4, rel=1e-9)
    expected = -15.0 + 0.4 * (snow_cover + moss / moss_k + 0.01 / fibric_k)
    assert float(temperature(heat, soil)[1, 0]) == pytest.approx(expected, abs=1e-6)


def test_the_factor_of_organic_soil_is_one_on_its_conductivity_alone() -> None:
    given = materials.OrganicSoil(0.02, 0.05, 0.10, 0.5)
    one, other = (
        by_volume(layers_of(wet(0.6), ground([FOREST], organic=o)), np.r_[0.02, SOIL_THICKNESS_M])
        for o in (given, given._replace(conductivity=1.5))
    )
    for name in ("k_frozen", "k_thawed"):
        np.testing.assert_allclose(other[name][:3, 0], 1.5 * one[name][:3, 0], rtol=1e-12)
        np.testing.assert_allclose(other[name][5:, 0], one[name][5:, 0], rtol=1e-12)
    for name in ("c_frozen", "c_thawed", "latent"):
        np.testing.assert_array_equal(other[name], one[name])


def test_moss_thicker_than_a_centimetre_holds_heat() -> None:
    thin, thick = (
        materials.physical_layers(
            jnp.array([0.5]), ground([FOREST], organic=materials.OrganicSoil(m, 0.05, 0.1, 0.5))
        )
        for m in (0.0100, 0.0101)
    )
    assert float(thin.latent[0, 0]) == 0.0
    assert float(thick.latent[0, 0]) == pytest.approx(3.34e8 * 0.5 * 0.98 * 0.0101)


# climates with the sum of max(0, 10 - T) given, and the class that Sturm et al. (1995) give them
@pytest.mark.parametrize(
    ("months_c", "rain", "windy", "density"),
    [
        ([-10.0] * 7 + [12.0] * 5, 20.0, True, 0.28),
        ([-10.0] * 7 + [12.0] * 5, 20.0, False, 0.225),
        ([0.0] * 6 + [15.0] * 6, 59.0, True, 0.25),
        ([0.0] * 6 + [15.0] * 6, 59.0, False, 0.25),
        ([0.0] * 6 + [15.0] * 6, 62.0, False, 0.30),
        ([5.0] * 5 + [15.0] * 7, 20.0, True, 0.35),
        ([20.0] * 12, 0.0, True, 0.35),
        ([0.0] * 12, 100.0, True, 0.30),
        ([-0.5] * 12, 100.0, False, 0.225),
    ],
)
def test_snow_classes(months_c: list[float], rain: float, windy: bool, density: float) -> None:
    tair, rainfall = jnp.asarray(months_c)[:, None], jnp.full((12, 1), rain)
    assert float(snow.snow_density(tair, rainfall, jnp.array([windy]))[0]) == density


def test_snow_conductivity_as_published() -> None:
    calonne = [float(snow.snow_conductivity(jnp.array(d))) for d in (0.28, 0.225, 0.25)]
    assert calonne == pytest.approx([0.186, 0.123, 0.149], abs=6e-4)
    sturm = [float(snow.snow_conductivity(jnp.array(d), "sturm")) for d in (0.28, 0.225, 0.25, 0.30, 0.35)]
    assert sturm == pytest.approx([0.123, 0.088, 0.102, 0.139, 0.189], abs=6e-4)
    assert float(snow.resistance_per_mm(jnp.array(0.28))) == pytest.approx(1 / 280 / 0.18556, rel=1e-4)
    assert {TUNDRA, DESERT, GRASS} <= snow.WINDY
    assert FOREST not in snow.WINDY


def test_snow_water_by_hand() -> None:
    assert float(snow.snow_water_after(10.0, 2.0, jnp.array(-5.0))) == 12.0
    assert float(snow.snow_water_after(10.0, 0.0, jnp.array(1.5))) == 2.5
    assert float(snow.snow_water_after(10.0, 1.0, jnp.array(3.0))) == 0.0
    assert float(snow.snow_water_after(10.0, 2.0, jnp.array(1.0), 0.5)) == 8.5


noon = jax.jit(at_noon)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-60, 40), min_size=14, max_size=14), st.sampled_from([1, 2, 4]))
def test_daily_temperature_keeps_monthly_means_and_is_continuous(tair: list[float], per_day: int) -> None:
    """Sampled in the middle of steps; months begin and end at the mean of two months, and day 15 has no jump."""
    knots = [np.asarray(k) for k in months(jnp.asarray(tair)[:, None])]
    begins = np.arange(31 * per_day) / per_day
    # `at_noon` takes a day and adds a half
    wanted = np.concatenate([begins + 0.5 / per_day, [0.0, 15.0 - 1e-9, 15.0 + 1e-9]]) - 0.5
    for m, length in enumerate(MONTH_DAYS):
        knot = Month(*(k[m] for k in knots))
        hours = np.concatenate([wanted, [length - 0.5]])
        *sampled, first, before, after, last = np.asarray(noon(knot, jnp.asarray(hours), float(length)))
        assert abs(np.mean(sampled[: length * per_day]) - tair[m + 1]) < 1e-11
        assert first == pytest.approx(0.5 * (tair[m] + tair[m + 1]), abs=1e-11)
        assert last == pytest.approx(0.5 * (tair[m + 1] + tair[m + 2]), abs=1e-11)
        assert abs(after - before) < 1e-6


def test_depths_of_layers() -> None:
    assert bounds(SOIL_THICKNESS_M)[[0, 26, 27, -1]] == pytest.approx([0.0, 5.0, 6.0, 50.0])
    z = midpoints(SOIL_THICKNESS_M)
    np.testing.assert_allclose(interpolation((0.05, 0.2, 1.0)) @ (3.0 - 2.0 * z), [2.9, 2.6, 1.0], atol=1e-12)


def test_gradient_by_organic_thickness_is_finite() -> None:
    @jax.jit
    def resistance(fibric_m: jax.Array) -> jax.Array:
        g = ground([FOREST], organic=materials.OrganicSoil(0.005, fibric_m, 0.1, 0.5))
        return jnp.sum(materials.physical_layers(wet(0.5), g).half_resistance[:, 0])

    at, step = 0.063, 1e-6
    slope = float(jax.grad(resistance)(at))
    centred = (float(resistance(at + step)) - float(resistance(at - step))) / (2 * step)
    assert slope == pytest.approx(centred, rel=1e-6)
    assert slope > 0.0
