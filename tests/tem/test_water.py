"""Soil hydraulics, evapotranspiration and snow against the published numbers and a slow copy of the formulas."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talik.tem import water
from talik.tem.communities import COMMUNITIES, parameters_for

TEXTURES = [0.2, 0.35, 0.55, 0.8, 1.0]


@pytest.mark.parametrize(
    ("community", "depths"),
    [
        ("wet_tundra", [0.933, 1.159, 1.130, 0.564, 0.300]),
        ("alpine_tundra_polar_desert", [0.933, 1.159, 1.130, 0.564, 0.300]),
        ("boreal_forest", [2.480, 2.167, 1.750, 1.228, 0.810]),
    ],
)
def test_rooting_depth_has_the_published_values(community: str, depths: list[float]) -> None:
    found = water.rooting_depth(parameters_for([community] * 5), jnp.array(TEXTURES))
    np.testing.assert_allclose(found, depths, atol=5.1e-4)


def test_site_has_the_hydraulic_constants_and_floors_texture() -> None:
    site = water.site_for(parameters_for(["wet_tundra"] * 2), jnp.array([0.55, 0.0]), jnp.array([10.0, 10.0]))
    assert float(site.p[1]) == 0.01
    assert float(site.porosity[0]) == pytest.approx((28.0 * 0.55 + 33.0) / 100)
    assert float(site.wilting_point[0]) == pytest.approx((24.75 * 0.55 + 3.025) / 100)
    assert float(site.capacity[0]) == pytest.approx(1000 * 1.130425 * 0.13, rel=1e-3)


def test_jensen_haise_by_hand_and_its_floor() -> None:
    by_hand = (0.014 * (1.8 * 10.0 + 32.0) - 0.37) * 0.016742 * 400.0 * 31
    found = water.potential_evapotranspiration(
        jnp.array([10.0, -40.0, 10.0]), jnp.array([400.0, 100.0, 0.0]), 31
    )
    np.testing.assert_allclose(found, [by_hand, 0.001, 0.001], rtol=1e-12)


@pytest.mark.parametrize(
    ("tair", "before", "elevation", "expected"),
    [
        (-1.1, 5.0, 10.0, (0.0, 30.0, 0.0)),
        (-1.0, -5.0, 500.0, (30.0, 0.0, 80.0)),
        (4.0, -5.0, 501.0, (30.0, 0.0, 40.0)),
        (4.0, -0.5, 501.0, (30.0, 0.0, 80.0)),
    ],
)
def test_rain_snow_and_melt(
    tair: float, before: float, elevation: float, expected: tuple[float, ...]
) -> None:
    found = water.snow(*(jnp.array([x]) for x in (80.0, tair, before, 30.0, elevation)))
    assert tuple(float(x[0]) for x in found) == expected


@pytest.mark.parametrize(
    ("tair", "before", "two_before", "elevation", "share"),
    [
        (-2, 3, 3, 0, 0.0),
        (2, -2, -9, 0, 0.1),
        (5, 2, -2, 500, 0.5),
        (5, 2, -2, 501, 0.25),
        (5, 5, 2, 900, 0.5),
    ],
)
def test_release_of_melt_water(
    tair: float, before: float, two_before: float, elevation: float, share: float
) -> None:
    found = water.snow_release(*(jnp.array([float(x)]) for x in (tair, before, two_before, elevation)))
    assert float(found[0]) == share


def slow_aet(w: float, supply: float, pet: float, days: int, capacity: float) -> float:
    """Evapotranspiration from the change of the bucket, scalar, straight from the formulas."""
    g = (1 - math.exp(-5 * w / capacity)) / (1 - math.exp(-5))
    demand = pet / days
    if supply == 0:
        change = -days * demand * g
    else:
        wet = 1 - math.exp(-0.005 * supply)
        storm = supply / (days * wet)
        room = demand + capacity - w
        gain = storm * wet * (g + (1 - g) * math.exp(-demand / storm) - math.exp(-room / storm))
        change = days * (gain - demand * g)
    return min(pet if supply >= pet else min(pet, supply - change), w + supply)


@settings(deadline=None)
@given(
    st.floats(0.0, 1.0),
    st.one_of(st.just(0.0), st.floats(0.01, 500.0)),
    st.floats(0.001, 250.0),
    st.floats(0.3, 2.9),
)
def test_evapotranspiration_is_the_slow_one(full: float, supply: float, pet: float, depth: float) -> None:
    site = water.Site(*(jnp.array([x]) for x in (0.5, 100.0, depth, 0.4, 0.1)))
    w = full * 130.0 * depth
    month = water.bucket(jnp.array([supply]), jnp.array([pet]), jnp.array(30.0), site)
    found = float(water.evapotranspiration(jnp.array([w]), month)[0])
    # a dry month is the limit of rain that goes to zero, where a storm still fills the bucket by less than 1e-5 mm
    assert found == pytest.approx(slow_aet(w, supply, pet, 30, 130.0 * depth), rel=1e-9, abs=1e-5)
    assert 0.0 <= found <= pet
    drained = float(water.percolation(jnp.array([w]), jnp.array([found]), month)[0])
    assert drained == pytest.approx(max(0.0, w + supply - found - 130.0 * depth))


def test_every_community_has_a_rooting_depth_in_every_soil() -> None:
    for p in np.linspace(0.01, 1.0, 23):
        depth = water.rooting_depth(parameters_for(COMMUNITIES), jnp.full(7, p))
        assert float(depth.min()) >= 0.30
        assert float(depth.max()) <= 2.9
