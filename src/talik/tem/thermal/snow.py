"""Snow on the ground as a thermal resistance: class, density, conductivity, and the daily snow water."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp

Array = jax.Array

Conductivity = Literal["calonne", "sturm"]

MELT_MM_PER_C_DAY = 5.0
"""Snow melts by this much for every degree of the day above 0 degC, as in the soil thermal model of TEM (Goodrich 1982,
Zhuang et al. 2001)."""
SNOWFALL_BELOW_C = -1.0
"""Mean air temperature of a month below which precipitation is snow and none melts (Willmott et al. 1985)."""
COVERED_MM = 1.0
"""More snow water than this keeps the surface at 0 degC or below."""

WINDY = frozenset(
    {"alpine_tundra_polar_desert", "wet_tundra", "grassland", "xeric_shrub", "temperate_deciduous"}
)
"""Communities without an evergreen canopy, where wind packs the snow (Sturm et al. 1995)."""


def snow_density(tair: Array, precipitation: Array, windy: Array) -> Array:
    """Density of the snow, g cm-3, by the classes of Sturm et al. (1995), (cell,).

    tair, precipitation : (12, cell) climate, degC and mm month-1. windy : (cell,) whether wind reaches the snow. Cold
    months are counted in degrees below 10 degC; precipitation is that of the months below 10 degC, mm per day.
    """
    cooling = jnp.sum(jnp.maximum(0.0, 10.0 - tair), axis=0)
    cold = tair < 10.0
    days = 365.0 / 12.0
    rate = jnp.sum(jnp.where(cold, precipitation, 0.0), axis=0) / jnp.maximum(
        days * jnp.sum(cold, axis=0), days
    )
    very_cold = jnp.where(windy, 0.28, 0.225)
    middle = jnp.where(rate < 2.0, 0.25, 0.30)
    return jnp.where(cooling > 125.0, very_cold, jnp.where(cooling >= 50.0, middle, 0.35))


def snow_conductivity(density: Array, law: Conductivity = "calonne") -> Array:
    """Conductivity of snow, W m-1 K-1, from its density in g cm-3.

    ``calonne`` : Calonne et al. (2011), from tomography; ``sturm`` : Sturm et al. (1997), from needle probes.
    """
    if law == "sturm":
        return 10.0 ** (2.650 * density - 1.652)
    return 2.5 * density**2 - 0.123 * density + 0.024


def resistance_per_mm(density: Array, law: Conductivity = "calonne") -> Array:
    """Thermal resistance of snow for each mm of its water, m2 K W-1 mm-1."""
    return 1.0 / (1000.0 * density * snow_conductivity(density, law))


def snow_water_after(swe: Array, snowfall: Array, tair: Array, days: float | Array = 1.0) -> Array:
    """Snow water (mm) after a day with this snowfall (mm) and mean air temperature (degC)."""
    melt = MELT_MM_PER_C_DAY * jnp.maximum(tair, 0.0)
    return jnp.maximum(swe + days * (snowfall - melt), 0.0)
