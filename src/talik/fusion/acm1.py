"""ACM1: the aggregated canopy model of daily photosynthesis of Williams et al. (1997), as DALEC uses it.

With x = Ca - Ci the diffusion into leaves is the smaller root of x^2 - (Ca - q + p) x + p (Ca - a3) = 0, taken in the
form that loses no digits when p is small. Both limits (light, diffusion) are multiplied out, so that one division
stands in GPP and nothing is 0/0 in the dark or without leaves.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from talik.fusion.drivers import Drivers
from talik.fusion.phenology import Array

_A2, _A3, _A4, _A5, _A6 = 0.0156935, 4.22273, 208.868, 0.0453194, 0.37836
_A7, _A8, _A9, _A10 = 7.19298, 0.011136, 2.1001, 0.789798
_STOP_AT, _STOP_SLOPE, _STOP_WIDTH = -6.991, 0.1408, 0.5


class Sky(NamedTuple):
    """What ACM1 needs of the drivers, each (time, ...)."""

    light: jax.Array
    uptake: jax.Array
    demand: jax.Array
    middle: jax.Array
    spread: jax.Array
    base: jax.Array
    day: jax.Array


def winter_stop(tmin: Array, tmax: Array) -> jax.Array:
    """Factor on metabolism, 1 in summer and 0 below a leaf temperature of -7 degC, smooth over 0.5 K.

    T/(T + 0.1408) with T the degrees above -6.991, as in later public CARDAMOM code, with a softplus for T.
    """
    above = _STOP_WIDTH * jax.nn.softplus((0.75 * tmax + 0.25 * tmin - _STOP_AT) / _STOP_WIDTH)
    return above / (above + _STOP_SLOPE)


def sky(drivers: Drivers, stop: bool) -> Sky:
    """The part of ACM1 that leaves do not change; `stop` switches the winter stop on."""
    tilt = -23.4 * np.pi / 180 * jnp.cos(2 * np.pi * (drivers.mid_day + 10) / 365)
    sun = jnp.clip(jnp.tan(np.pi / 180 * drivers.latitude) * jnp.tan(tilt), -1.0, 1.0)
    hours = 24 / np.pi * jnp.arccos(-sun)
    conductance = 2**_A10 / (_A6 + (drivers.tmax - drivers.tmin) / 2)
    metabolism = jnp.exp(_A8 * drivers.tmax)
    if stop:
        metabolism = metabolism * winter_stop(drivers.tmin, drivers.tmax)
    co2 = jnp.asarray(drivers.co2)
    return Sky(
        light=_A7 * jnp.asarray(drivers.sw),
        uptake=2.0 * metabolism * (co2 - _A3),
        demand=metabolism / conductance,
        middle=co2 - _A3 - _A4,
        spread=4.0 * _A4 * (co2 - _A3),
        base=co2 - _A3 + _A4,
        day=_A2 * hours + _A5,
    )


def gpp(sky: Sky, efficiency: Array, lai: Array) -> jax.Array:
    """GPP, g C m-2 d-1, of leaf area `lai` (m2 m-2) and canopy efficiency (g C m-2 leaf d-1); all broadcast."""
    p = sky.demand * efficiency * lai
    root = sky.base + p + jnp.sqrt((p - sky.middle) ** 2 + sky.spread)
    uptake = sky.uptake * efficiency
    most = sky.light * uptake * lai * lai
    return sky.day * most / (sky.light * lai * root + uptake * (lai * lai + _A9))
