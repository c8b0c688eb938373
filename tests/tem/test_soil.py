"""Decomposition and mineralisation against the rational curve, check values and hand calculation."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talik.tem import soil
from talik.tem.communities import parameters_for

TUNDRA, WET, BOREAL = "alpine_tundra_polar_desert", "wet_tundra", "boreal_forest"


@settings(deadline=None)
@given(st.floats(0.0, 1.0))
def test_moisture_factor_is_the_rational_curve(m: float) -> None:
    low, best, high = soil.MOISTURE_RANGE
    product = (m - low) * (m - high)
    rational = max(0.0, product / (product - (m - best) ** 2))
    assert float(soil.moisture_factor(jnp.array(m))) == pytest.approx(rational, abs=1e-12)


def test_moisture_factor_check_values() -> None:
    found = soil.moisture_factor(jnp.array([0.2, 0.3, 0.43, 0.6, 0.9, 1.2]))
    np.testing.assert_allclose(found, [0.64, 0.84, 0.980, 0.96, 0.36, 0.0], atol=5e-4)


def test_temperature_doubles_decomposition_every_ten_degrees() -> None:
    warm, cold = (float(soil.temperature_factor(jnp.array(t), 0.069)) for t in (5.0, -5.0))
    assert warm / cold == pytest.approx(2.0, rel=0.01)
    assert float(soil.temperature_factor(jnp.array(-30.0), 0.069)) > 0.0


@pytest.mark.parametrize(("community", "rate"), [(TUNDRA, 0.001574), (WET, 0.001377), (BOREAL, 0.002313)])
def test_decomposition_rate(community: str, rate: float) -> None:
    q = parameters_for([community])
    found = soil.decomposition_rate(q, jnp.array([0.55]), q.lcclnc)
    assert float(found[0]) == pytest.approx(rate, abs=5.1e-7)
    poor = soil.decomposition_rate(q, jnp.array([0.55]), 2.0 * q.lcclnc)
    assert float(poor[0] / found[0]) == pytest.approx(2.0**-0.784)


@pytest.mark.parametrize(("community", "capacity"), [(TUNDRA, 19.32), (WET, 31.15), (BOREAL, 31.05)])
def test_immobilisation_capacity(community: str, capacity: float) -> None:
    found = soil.immobilisation_capacity(parameters_for([community]), jnp.array([0.55]))
    assert float(found[0]) / 0.47532 == pytest.approx(capacity, abs=0.006)


@settings(deadline=None)
@given(
    st.floats(0.001, 300.0),
    st.floats(100.0, 2e4),
    st.floats(5.0, 60.0),
    st.floats(0.0, 0.2),
    st.floats(5.0, 40.0),
)
def test_mineralisation_by_hand(rh: float, c_s: float, cn: float, immobilised: float, cn_soil: float) -> None:
    n_s = c_s / cn
    net = (n_s / c_s - immobilised) * rh
    expected = net * (n_s / c_s) * cn_soil if net >= 0 else net * (c_s / n_s) / cn_soil
    found = soil.mineralisation(*(jnp.array(x) for x in (rh, n_s / c_s, immobilised, cn_soil)))
    assert float(found) == pytest.approx(expected, rel=1e-12, abs=1e-300)


def test_nitrogen_in_reach_and_thawed_shares() -> None:
    moisture, depth, available = 0.3, 1130.0, 0.4
    by_hand = available * moisture**3 / (moisture * depth)
    assert float(soil.nitrogen_in_reach(available, jnp.array(moisture), depth)) == pytest.approx(by_hand)
    carbon, nitrogen = soil.thawed_shares(jnp.array([0.0, 0.5, 1.0, 3.0]), jnp.ones(4))
    np.testing.assert_allclose(carbon, [0.0, 2 * 0.5 / 1.5, 1.0, 1.0])
    np.testing.assert_allclose(nitrogen, [0.0, 0.5, 1.0, 1.0])
