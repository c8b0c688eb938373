"""Irradiance against the closed integral over the day, and the way between cloudiness and irradiance."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talik.tem import radiation
from talik.tem.calendar import MONTH_DAYS


def daily_integral(latitude: float, day: int) -> float:
    """cal cm-2 d-1 from the integral of sin(beta) over hour angle, written from astronomy."""
    declination = np.radians(-23.4856 * np.cos(2 * np.pi * (day + 10) / 365.25))
    r = 1 - 0.016729 * np.cos(np.radians(0.9856 * (day - 4)))
    a, b = (
        np.sin(np.radians(latitude)) * np.sin(declination),
        np.cos(np.radians(latitude)) * np.cos(declination),
    )
    half_day = np.arccos(np.clip(-a / b, -1.0, 1.0))
    return 1368 * 3600 / 41860 / r**2 * 24 / np.pi * (half_day * a + b * np.sin(half_day))


def monthly_integral(latitude: float) -> np.ndarray:
    days = np.array([daily_integral(latitude, d) for d in range(1, 366)])
    return np.array([m.mean() for m in np.split(days, np.cumsum(MONTH_DAYS)[:-1])])


@pytest.mark.parametrize("latitude", [0.0, 35.0, 50.0, 60.0, 65.0, 72.0, 80.0])
def test_irradiance_is_the_integral_over_the_day(latitude: float) -> None:
    found = np.asarray(radiation.gross_irradiance(jnp.array([latitude])))[:, 0]
    expected = monthly_integral(latitude)
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=4.0)
    np.testing.assert_allclose(found.mean(), expected.mean(), rtol=0.01)


def test_the_sum_over_hours_is_exact_where_the_sun_does_not_set() -> None:
    found = np.asarray(radiation.gross_irradiance(jnp.array([80.0])))[5, 0]
    np.testing.assert_allclose(found, monthly_integral(80.0)[5], rtol=1e-12)


def test_the_solar_constant_of_the_specification_and_the_polar_night() -> None:
    assert pytest.approx(117.6493, abs=1e-4) == radiation.SOLAR_CONSTANT
    gross = np.asarray(radiation.gross_irradiance(jnp.array([80.0, -80.0])))
    assert gross[[0, 11], 0].tolist() == [0.0, 0.0]
    assert gross[5, 1] == 0.0
    assert float(radiation.cloudiness_from_irradiance(jnp.zeros(1), jnp.zeros(1))[0]) == 0.0


@settings(deadline=None)
@given(st.floats(1.0, 1000.0), st.floats(0.0, 1.0))
def test_cloudiness_and_irradiance_are_inverses(gross: float, cloudiness: float) -> None:
    light = radiation.irradiance_from_cloudiness(jnp.array([gross]), jnp.array([cloudiness]))
    back = float(radiation.cloudiness_from_irradiance(jnp.array([gross]), light)[0])
    assert back == pytest.approx(cloudiness, abs=1e-12)
    assert 0.45 - 1e-12 <= float(radiation.photosynthetic(light, cloudiness)[0] / light[0]) <= 0.65 + 1e-12


def test_watts_become_calories_and_float32_stays() -> None:
    assert float(radiation.irradiance_from_flux(jnp.array(1.0))) == pytest.approx(2.0636, abs=5e-5)
    assert radiation.gross_irradiance(jnp.array([60.0], jnp.float32)).dtype == jnp.float32
    leap = radiation.gross_irradiance(jnp.array([60.0]), (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31))
    np.testing.assert_allclose(leap, radiation.gross_irradiance(jnp.array([60.0])), rtol=0.04)
