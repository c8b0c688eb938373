"""Potential evapotranspiration, snow, soil hydraulics and the bucket of plant-available water."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from talik.tem.communities import Parameters
from talik.tem.thermal.snow import SNOWFALL_BELOW_C

Array = jax.Array

LOWLAND = 500.0
"""Elevation (m) up to which all snow melts in the first month of thaw (Vörösmarty et al. 1989)."""

AVAILABLE = 0.13
"""Volume fraction of water between wilting point and field capacity, in every soil (TEM 4.3)."""

SMALLEST_PET = 0.001
"""mm month-1. Keeps AET/PET finite in the polar night."""

SMALLEST_SUPPLY = 1e-6
"""mm month-1. Less rain than this has the storm size of this much, which is the limit of no rain to nine digits."""


class Site(NamedTuple):
    """What does not change in time, each (cell,): texture, elevation, and the hydraulic constants of `site_for`."""

    p: Array
    elevation: Array
    rooting_depth: Array
    porosity: Array
    wilting_point: Array

    @property
    def depth_mm(self) -> Array:
        """Rooting depth in mm: converts a volume fraction into mm of water."""
        return 1000.0 * self.rooting_depth

    @property
    def capacity(self) -> Array:
        """Water between wilting point and field capacity of the root zone, mm."""
        return 1000.0 * AVAILABLE * self.rooting_depth

    @property
    def field_capacity_share(self) -> Array:
        """Share of the pores that is full of water at field capacity."""
        return (self.wilting_point + AVAILABLE) / self.porosity


class Snow(NamedTuple):
    """Water that arrives in a month, mm, each (cell,): rain, snowfall, and melt of snow lying at its start."""

    rain: Array
    snowfall: Array
    melt: Array


class Bucket(NamedTuple):
    """The part of the bucket that is constant over a month, each (cell,); mm and mm month-1."""

    supply: Array
    pet: Array
    capacity: Array
    wet: Array
    drying: Array
    storm: Array
    dryness: Array


def rooting_depth(parameters: Parameters, p: Array) -> Array:
    """Rooting depth in m, (cell,): a parabola in p with a floor (TEM 4.3)."""
    q = parameters
    return jnp.maximum(q.root_min, (q.root_a * p + q.root_b) * p + q.root_c)


def site_for(parameters: Parameters, p: Array, elevation: Array) -> Site:
    """The site of every cell from silt + clay as a fraction (floored at 0.01) and elevation in m, both (cell,).

    Porosity (28 p + 33) %, wilting point (24.75 p + 3.025) % (TEM 4.3).
    """
    p = jnp.maximum(jnp.asarray(p), 0.01)
    return Site(
        p=p,
        elevation=jnp.asarray(elevation),
        rooting_depth=rooting_depth(parameters, p),
        porosity=0.28 * p + 0.33,
        wilting_point=0.2475 * p + 0.03025,
    )


def potential_evapotranspiration(tair: Array, irradiance: Array, days: Array) -> Array:
    """Potential evapotranspiration in mm month-1, at least `SMALLEST_PET` (Jensen and Haise 1963).

    tair : degC. irradiance : at the ground, cal cm-2 d-1. days : days of the month.
    """
    per_light = 0.014 * (1.8 * tair + 32.0) - 0.37
    return jnp.maximum(SMALLEST_PET, per_light * 0.016742 * irradiance * days)


def snow(swe: Array, tair: Array, tair_before: Array, precip: Array, elevation: Array) -> Snow:
    """Rain, snowfall and melt of a month, mm (Willmott et al. 1985, Vörösmarty et al. 1989).

    swe : snow at the start of the month, mm. tair, tair_before : this month and the one before, degC. precip : mm.
    Below -1 degC all is snow and none melts; else everything melts, but above 500 m half of it is kept through the
    first month of thaw.
    """
    cold = tair < SNOWFALL_BELOW_C
    kept = (elevation > LOWLAND) & (tair_before < SNOWFALL_BELOW_C)
    return Snow(
        rain=jnp.where(cold, 0.0, precip),
        snowfall=jnp.where(cold, precip, 0.0),
        melt=jnp.where(cold, 0.0, jnp.where(kept, 0.5 * swe, swe)),
    )


def snow_release(tair: Array, tair_before: Array, tair_two_before: Array, elevation: Array) -> Array:
    """Share of the melt-water storage that runs off per month (Vörösmarty et al. 1989): 0, 0.1, 0.25 or 0.5.

    Nothing below -1 degC, a tenth in the first month of thaw, a quarter in the second above 500 m, half otherwise.
    """
    first = tair_before < SNOWFALL_BELOW_C
    second = tair_two_before < SNOWFALL_BELOW_C
    late = jnp.where(second & (elevation > LOWLAND), 0.25, 0.5)
    return jnp.where(tair < SNOWFALL_BELOW_C, 0.0, jnp.where(first, 0.1, late))


def bucket(supply: Array, pet: Array, days: Array, site: Site) -> Bucket:
    """What `evapotranspiration` needs of a month: supply (rain + melt) and pet in mm month-1, days of the month.

    Storms are drawn from an exponential distribution: with supply X, a share 1 - exp(-0.005 X) of the days is wet
    and brings X / (days * share) mm each (Vörösmarty et al. 1989). Without supply the size of a storm does not
    matter.
    """
    safe = jnp.maximum(supply, SMALLEST_SUPPLY)
    storm = safe / (-jnp.expm1(-0.005 * safe) * days)
    demand = pet / days
    return Bucket(
        supply=supply,
        pet=pet,
        capacity=site.capacity,
        wet=supply >= pet,
        drying=-jnp.expm1(-demand / storm),
        storm=1.0 / storm,
        dryness=(demand + site.capacity) / storm,
    )


def evapotranspiration(water: Array, month: Bucket) -> Array:
    """Actual evapotranspiration in mm month-1 for `water` mm above the wilting point (Vörösmarty et al. 1989).

    Equal to PET when the supply covers it; never more than PET, nor than what is there.
    """
    g = -jnp.expm1(-5.0 * water / month.capacity) / 0.9932620530009145
    taken = (
        month.supply * ((1.0 - g) * month.drying + jnp.exp(water * month.storm - month.dryness))
        + month.pet * g
    )
    some = jnp.minimum(month.pet, taken)
    return jnp.minimum(jnp.where(month.wet, month.pet, some), water + month.supply)


def percolation(water: Array, evaporated: Array, month: Bucket) -> Array:
    """Water that leaves the root zone downward, mm month-1: what would lie above field capacity after a month."""
    return jnp.maximum(0.0, water + month.supply - evaporated - month.capacity)
