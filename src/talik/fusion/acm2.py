"""ACM2 (ACM-GPP-ET) of Smallman and Williams (2019) at field capacity: photosynthesis with stomata that weigh water.

As in ACM1 the diffusion into leaves is taken in the form that loses no digits, and both limits are multiplied out, so
that GPP(g) = k P / (P R + k) with one square root in R. The displacement height cancels from the wind in the canopy.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.ad_checkpoint import checkpoint_name as _named

from talik.fusion.acm1 import winter_stop
from talik.fusion.drivers import Drivers
from talik.fusion.phenology import Array

_HEIGHT, _DRAG = 9.0, 0.3
_WATER_POTENTIAL = 1.808224 - 0.009807 * _HEIGHT
_EMISSION = 5.443584e-8
_GAIN = 6.431150e-3
"""Least gain of GPP, g C m-2 d-1, for one more mmol m-2 s-1 of conductance a leaf area of 1, by daylight share."""
FOUND = "stomata"
"""Name of what the stomatal search found, for checkpoint policies: do not search again for a gradient."""
_CALMEST = 0.1
_TOP_SOIL = 0.3
_NEWTON, _REFERENCE_HALVINGS, _REFERENCE_TOLERANCE = 12, 8, 10.0


class Sky(NamedTuple):
    """What ACM2 needs of the drivers, each (time, ...); K, Pa, m, s and J where not said otherwise."""

    lit: jax.Array
    daylight: jax.Array
    light: jax.Array
    mole: jax.Array
    latent: jax.Array
    psychrometric: jax.Array
    slope: jax.Array
    dryness: jax.Array
    boundary: jax.Array
    sky_heat: jax.Array
    leaf_heat: jax.Array
    metabolism: jax.Array
    kinetics: jax.Array
    usable: jax.Array
    thawed: jax.Array


class Leaves(NamedTuple):
    """State of the canopy in a step, for one value of leaf area: see `canopy`."""

    gpp: jax.Array
    conductance: jax.Array
    potential: jax.Array
    boundary: jax.Array
    supply: jax.Array
    par: jax.Array
    shortwave: jax.Array
    longwave: jax.Array


def sky(drivers: Drivers, stop: bool) -> Sky:
    """The part of ACM2 that leaves and roots do not change; `stop` switches the winter stop on."""
    tmin, tmax, mean = (jnp.asarray(t) for t in (drivers.tmin, drivers.tmax, drivers.mean_temperature))
    tilt = -jnp.arcsin(np.sin(np.radians(23.45)) * jnp.cos(2 * np.pi * (drivers.mid_day + 10) / 365))
    sun = jnp.clip(jnp.tan(np.pi / 180 * drivers.latitude) * jnp.tan(tilt), -1.0, 1.0)
    hours = 12 * (1 + 2 / np.pi * jnp.arcsin(sun))
    lit = hours > 0
    hours = jnp.where(lit, hours, 1.0)
    kelvin = tmax + 273.15
    density = 353 / kelvin
    vapour = 2.42e-5 * (kelvin / 293.15) ** 1.75
    viscosity = 1.4963e-6 * kelvin**1.5 / ((kelvin + 120) * density)
    wind = _DRAG * jnp.maximum(drivers.wind, _CALMEST) / 0.41 * (0.123 + 0.19314718)
    leaf = 0.75 * tmax + 0.25 * tmin
    best, most, least = 31.5596, 68.42942, 1e6
    speed = jnp.exp(
        0.1889026
        * (
            (most - best) * jnp.log((most - leaf) / (most - best))
            + (best + least) * jnp.log((leaf + least) / (best + least))
        )
    )
    if stop:
        speed = speed * winter_stop(tmin, tmax)
    half = 310 * jnp.exp(23.956 * (leaf - 25) / (leaf + 273.15))
    compensation = 36.5 * jnp.exp(9.46 * (leaf - 25) / (leaf + 273.15))
    return Sky(
        lit=lit,
        daylight=hours / 24,
        light=jnp.asarray(drivers.sw) / 2,
        mole=101325 / (8.3144 * kelvin),
        latent=2.501e6 - 2364 * tmax,
        psychrometric=0.0646 * jnp.exp(0.00097 * tmax),
        slope=2502.935945 * jnp.exp(17.269 * tmax / (tmax + 237.3)) / (tmax + 237.3) ** 2,
        dryness=1004.6 * density * (jnp.asarray(drivers.vpd) / 1000),
        boundary=vapour * 1.018537 * 25 * jnp.sqrt(0.02 * wind / viscosity),
        sky_heat=_EMISSION * (tmax + 253.15) ** 4,
        leaf_heat=_EMISSION * (mean + 273.15) ** 4,
        metabolism=83333.33 * speed,
        kinetics=half,
        usable=jnp.asarray(drivers.co2) - compensation,
        thawed=mean >= 1.0,
    )


class _Diffusion(NamedTuple):
    """GPP as a function of conductance: k P / (P R(p) + k), p = demand (1/(142.2368 g) + rb)."""

    scale: jax.Array
    light: jax.Array
    demand: jax.Array
    resistance: jax.Array
    base: jax.Array
    middle: jax.Array
    spread: jax.Array

    def gpp(self, u: jax.Array) -> tuple[jax.Array, jax.Array]:
        """GPP and its slope with u, the inverse of conductance."""
        p = self.demand * (u * (1 / 142.2368) + self.resistance)
        off = p - self.middle
        root = jnp.sqrt(off * off + self.spread)
        below = 1.0 / (self.light * (self.base + p + root) + self.scale)
        value = self.scale * self.light * below
        slope = -value * below * self.light * (1.0 + off / root) * self.demand * (1 / 142.2368)
        return value, slope

    def gain(self, u: jax.Array, lai: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Gain of GPP for `lai` more conductance, by conductance, and its slope with u."""
        more = u / (1.0 + lai * u)
        (above, above_slope), (here, here_slope) = self.gpp(more), self.gpp(u)
        stretch = 1.0 / (1.0 + lai * u) ** 2
        return (above - here) / lai, (above_slope * stretch - here_slope) / lai


def gpp(
    sky: Sky, efficiency: Array, lai: Array, root: Array, stomata: Literal["exact", "reference"]
) -> jax.Array:
    """GPP, g C m-2 d-1, of leaf area (m2 m-2), canopy efficiency and fine root (g C m-2); all broadcast."""
    return canopy(sky, efficiency, lai, root, stomata).gpp


def canopy(
    sky: Sky, efficiency: Array, lai: Array, root: Array, stomata: Literal["exact", "reference"] = "exact"
) -> Leaves:
    """Photosynthesis and what leads to it.

    gpp g C m-2 d-1; conductance, potential mmol m-2 s-1 of stomata; boundary m s-1; supply of water mmol m-2 s-1;
    par, shortwave absorbed MJ m-2 d-1; longwave W m-2 net gain. Only gpp is meaningful where nothing grows.
    """
    leafy = lai > 0
    lai = jnp.where(leafy, lai, 1.0)
    supply = _supply(sky, lai, root)
    active = leafy & sky.lit & (supply > 0)
    watered = jnp.where(supply > 0, supply, 1.0)
    least_lai = jnp.maximum(0.1, lai)
    eighth = jnp.exp(-lai / 8)
    par, shortwave = _absorbed(sky.light, eighth)
    longwave = _net_longwave(sky, lai, eighth, shortwave)
    boundary = sky.boundary * lai * jnp.exp(-_DRAG * 0.25 * _HEIGHT / (16 * _DRAG**3 * _HEIGHT) * least_lai)
    seconds = 86400 * sky.daylight
    energy = sky.slope * (shortwave * 1e6 / seconds + longwave) + sky.dryness * boundary
    excess = energy * seconds / (sky.latent * watered * (86400 * 1.8e-5)) - sky.slope
    demand = 1000 * sky.mole * sky.psychrometric * boundary
    limited = excess * 2000 * lai > demand
    potential = jnp.where(limited, demand / jnp.where(limited, excess, 1.0), 2000 * lai)

    metabolism = sky.metabolism * efficiency * lai
    diffusion = _Diffusion(
        scale=2.4e-5 * sky.daylight * metabolism * sky.usable,
        light=3.661204 * par,
        demand=metabolism,
        resistance=1 / (118368 * sky.mole * boundary),
        base=sky.usable + sky.kinetics,
        middle=sky.usable - sky.kinetics,
        spread=4 * sky.usable * sky.kinetics,
    )
    wanted = _GAIN * sky.daylight
    find = _exact if stomata == "exact" else _as_reference
    conductance = find(diffusion, lai, jnp.minimum(lai, potential), potential, wanted)
    value = jnp.where(active, diffusion.gpp(1.0 / conductance)[0], 0.0)
    return Leaves(value, conductance, potential, boundary, supply, par, shortwave, longwave)


def _supply(sky: Sky, lai: jax.Array, root: Array) -> jax.Array:
    """Water that roots can deliver from two layers of soil at field capacity, mmol m-2 s-1."""
    biomass = jnp.maximum(5.0, 2.0 * root)
    depth = 2.0 * biomass / (100.0 + biomass)
    top = _above(_TOP_SOIL / depth)
    deep = _above(jnp.maximum(_TOP_SOIL + 0.03, depth) / depth)
    inner = _HEIGHT / (4.0 * jnp.maximum(0.1, lai))

    def flow(mass: jax.Array, thickness: jax.Array) -> jax.Array:
        mass = mass * jnp.minimum(depth, thickness)
        return _WATER_POTENTIAL * mass / (inner * mass + 25.0)

    first = flow(biomass * (1.0 - top), jnp.asarray(_TOP_SOIL))
    second = flow(biomass * (top - deep), jnp.maximum(0.03, depth - _TOP_SOIL))
    return jnp.where(sky.thawed, first, 0.0) + second


def _above(share: jax.Array) -> jax.Array:
    """Share of roots below this share of the rooting depth."""
    x = jnp.exp(-13.81551 * share)
    return x / (1.0 + x) + x / 2.0


def _absorbed(light: jax.Array, eighth: jax.Array) -> tuple[jax.Array, jax.Array]:
    """PAR and all shortwave that leaves absorb, MJ m-2 d-1; `eighth` is exp(-LAI/8)."""
    spread = eighth * eighth
    passed = spread * spread
    bands = []
    for transmits, reflects in ((0.1628077, 0.1629133), (0.2793660, 0.4284365)):
        through = spread * transmits
        keeps = 1.0 - through - spread * reflects
        caught = light * (1.0 - passed)
        ground = light * passed + caught * through
        bands.append(caught * keeps + ground * (1.0 - 0.9989852) * (1.0 - passed) * keeps)
    return bands[0], bands[0] + bands[1]


def _net_longwave(sky: Sky, lai: jax.Array, eighth: jax.Array, shortwave: jax.Array) -> jax.Array:
    """Net longwave gain of leaves, W m-2."""
    spread = eighth * eighth
    passed = spread * spread
    leak = 0.02 * spread
    caught = sky.sky_heat * (1.0 - passed)
    floor = sky.sky_heat * passed + leak * caught
    lost = 4.0 * (1.0 - eighth) * (1.0 - 0.9516639 * lai / (lai + 4.693329))
    gained = (1.0 - 2.0 * leak) * (caught + (1.0 - passed) * (sky.leaf_heat + 0.04 * floor))
    correction = 2.455582 * lai + 0.01480105 * shortwave * (1e6 / 86400) + 0.003753067
    return gained - 2.0 * sky.leaf_heat * lost + correction


def _exact(
    diffusion: _Diffusion, lai: jax.Array, low: jax.Array, high: jax.Array, wanted: jax.Array
) -> jax.Array:
    """Conductance in [low, high] whose gain is `wanted`, or the end that is nearest to it.

    Newton on the square root of the gain, nearly linear in the inverse of conductance, inside a shrinking bracket;
    the derivative is that of the root (implicit function), from one more Newton step.
    """
    fixed, size, aim = lax.stop_gradient((diffusion, lai, wanted))
    first, last = lax.stop_gradient((1.0 / high, 1.0 / low))
    closed = fixed.gain(first, size)[0] >= aim
    opened = fixed.gain(last, size)[0] <= aim

    def halve(_: int, state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        u, low_u, high_u, last_move = state
        gain, slope = fixed.gain(u, size)
        low_u, high_u = jnp.where(gain < aim, u, low_u), jnp.where(gain < aim, high_u, u)
        slope = jnp.where(slope > 0, slope, 1e-300)
        new = u - 2.0 * (gain - jnp.sqrt(jnp.maximum(gain, 0.0) * aim)) / slope
        move = jnp.abs(new - u)
        trusted = ((new > low_u) & (new < high_u) & (move < 0.5 * last_move)) | (move < 1e-9 * u)
        new = jnp.where(trusted, new, jnp.sqrt(low_u * high_u))
        return new, low_u, high_u, jnp.abs(new - u)

    u = lax.fori_loop(0, _NEWTON, halve, (jnp.sqrt(first * last), first, last, last))[0]
    u = _named(u, FOUND)  # type: ignore[no-untyped-call]
    gain, slope = diffusion.gain(u, lai)
    slope = lax.stop_gradient(jnp.where(slope > 0, slope, 1.0))
    inner = 1.0 / (u - (gain - wanted) / slope)
    return jnp.where(closed, high, jnp.where(opened, low, inner))


def _as_reference(
    diffusion: _Diffusion, lai: jax.Array, low: jax.Array, high: jax.Array, wanted: jax.Array
) -> jax.Array:
    """The search stopped early: halving of [low, high], at most 8 times and until it is 10 x LAI wide."""
    fixed, size, aim, start, end = lax.stop_gradient((diffusion, lai, wanted, low, high))
    closed = fixed.gain(1.0 / end, size)[0] >= aim
    opened = fixed.gain(1.0 / start, size)[0] <= aim
    share, width = 0.5 * jnp.ones_like(start), jnp.ones_like(start)
    for _ in range(_REFERENCE_HALVINGS):
        wide = width * (end - start) > _REFERENCE_TOLERANCE * size
        width = jnp.where(wide, width / 2, width)
        more = fixed.gain(1.0 / (start + share * (end - start)), size)[0] > aim
        share = jnp.where(wide, share + jnp.where(more, 0.5, -0.5) * width, share)
    share = _named(share, FOUND)  # type: ignore[no-untyped-call]
    return jnp.where(closed, high, jnp.where(opened, low, low + share * (high - low)))
