"""Sunlight by month: above the air from latitude, at the ground from cloudiness and back, and for leaves."""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from talik.tem.calendar import MONTH_DAYS

Array = jax.Array

SOLAR_CONSTANT = 1368.0 * 3600.0 / 41860.0
"""1368 W m-2 in cal cm-2 h-1, with the calorie of TEM."""

CAL_CM2_PER_DAY_IN_W_M2 = 41868.0 / 86400.0
"""1 cal cm-2 d-1 in W m-2, with the international calorie."""

_CLEAR, _PER_CLEAR_SKY = 0.251, 0.509


@partial(jax.jit, static_argnames=("days",))
def gross_irradiance(latitude: Array, days: tuple[int, ...] = MONTH_DAYS) -> Array:
    """Mean irradiance of a level surface above the air, (12, cell), cal cm-2 d-1, 0 in the polar night.

    latitude : (cell,), degrees north. days : days of each month. The day is a sum over 24 clock hours with the sun
    above the horizon (TEM 4.3), so it differs from the integral over the day by about a percent where the sun
    rises and sets.
    """
    latitude = jnp.asarray(latitude)
    day = np.arange(1, sum(days) + 1)
    declination = np.radians(-23.4856 * np.cos(2.0 * math.pi * (day + 10.0) / 365.25))
    distance = 1.0 - 0.016729 * np.cos(np.radians(0.9856 * (day - 4.0)))
    phi = jnp.radians(latitude)
    kind = latitude.dtype
    level = jnp.asarray(np.sin(declination), kind)[:, None] * jnp.sin(phi)
    swing = jnp.asarray(np.cos(declination), kind)[:, None] * jnp.cos(phi)
    total = jnp.zeros_like(level)
    for hour in range(1, 25):
        total = total + jnp.maximum(0.0, level + swing * math.cos(math.radians(15.0 * (hour - 12))))
    daily = total * jnp.asarray(SOLAR_CONSTANT / distance**2, kind)[:, None]
    month = np.repeat(np.arange(12), days)
    weights = (month == np.arange(12)[:, None]) / np.asarray(days, dtype=float)[:, None]
    return jnp.asarray(weights, kind) @ daily


def irradiance_from_flux(shortwave: Array) -> Array:
    """Irradiance at the ground in cal cm-2 d-1 from incident short-wave radiation in W m-2, same shape."""
    return jnp.asarray(shortwave) * (1.0 / CAL_CM2_PER_DAY_IN_W_M2)


def irradiance_from_cloudiness(gross: Array, cloudiness: Array) -> Array:
    """Irradiance at the ground (cal cm-2 d-1) from that above the air and cloudiness 0..1 (TEM 4.3)."""
    return gross * (_CLEAR + _PER_CLEAR_SKY * (1.0 - cloudiness))


def cloudiness_from_irradiance(gross: Array, irradiance: Array) -> Array:
    """Cloudiness 0..1 from irradiance above the air and at the ground: the inverse of the line of the other function.

    Clipped to 0..1; 0 in the polar night. TEM 4.3 inverts with other constants than it uses forward; here both are
    one.
    """
    day = gross > 0.0
    through = irradiance / jnp.where(day, gross, 1.0)
    return jnp.where(day, jnp.clip(1.0 - (through - _CLEAR) / _PER_CLEAR_SKY, 0.0, 1.0), 0.0)


def photosynthetic(irradiance: Array, cloudiness: Array) -> Array:
    """Photosynthetically active radiation (cal cm-2 d-1): 45 % of the irradiance under clear sky, 65 % under cloud."""
    return irradiance * (0.45 + 0.20 * cloudiness)


def light(
    latitude: np.ndarray, shortwave: np.ndarray | None, cloudiness: np.ndarray | None
) -> tuple[Array, Array]:
    """Irradiance and photosynthetically active radiation (..., 12, cell), cal cm-2 d-1.

    latitude : (cell,). shortwave : (..., 12, cell) W m-2, preferred; else cloudiness, 0..1.
    """
    gross = gross_irradiance(jnp.asarray(latitude))
    if shortwave is not None:
        irradiance = irradiance_from_flux(jnp.asarray(shortwave))
        clouds = cloudiness_from_irradiance(gross, irradiance)
    else:
        clouds = jnp.asarray(cloudiness)
        irradiance = irradiance_from_cloudiness(gross, clouds)
    return irradiance, photosynthetic(irradiance, clouds)
