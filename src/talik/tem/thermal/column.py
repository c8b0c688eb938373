"""Conduction of heat with freezing and thawing: one implicit day of many columns.

The state is the heat of a layer per area, J m-2, counted from 0 degC with all water frozen. Cells are the last axis.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array

GEOTHERMAL_W_M2 = 0.05
"""Upward heat flux at the bottom of the column, W m-2."""


class Layers(NamedTuple):
    """What a layer is made of, each (layer, cell).

    per_heat_frozen, per_heat_thawed : K m2 J-1, warming by 1 J m-2; latent, per_latent : J m-2, to melt all water of
    the layer, and its inverse;
    half_resistance : m2 K W-1, of half the layer when frozen; log_ratio : ln(k_thawed / k_frozen).
    """

    per_heat_frozen: Array
    per_heat_thawed: Array
    latent: Array
    per_latent: Array
    half_resistance: Array
    log_ratio: Array


def layers_from(
    thickness_m: Array, capacity_frozen: Array, capacity_thawed: Array, latent: Array, k_frozen: Array, k_thawed: Array
) -> Layers:
    """`Layers` from volumetric properties, all of shape (layer, cell) or broadcast to it.

    capacity : J m-3 K-1; latent : J m-3; k : W m-1 K-1; thickness_m : m.
    """
    made = (
        1.0 / (capacity_frozen * thickness_m),
        1.0 / (capacity_thawed * thickness_m),
        latent * thickness_m,
        1.0 / jnp.maximum(latent * thickness_m, 1.0),
        0.5 * thickness_m / k_frozen,
        jnp.log(k_thawed / k_frozen),
    )
    return Layers(*jnp.broadcast_arrays(*made))


def temperature(heat: Array, layers: Layers) -> Array:
    """Layer temperature, degC: 0 while ice and water are both there."""
    frozen = heat * layers.per_heat_frozen
    thawed = (heat - layers.latent) * layers.per_heat_thawed
    return jnp.where(heat < 0.0, frozen, jnp.where(heat > layers.latent, thawed, 0.0))


def liquid_fraction(heat: Array, layers: Layers) -> Array:
    """Share of the layer's water that is liquid, 0..1; a layer without water is thawed above 0 degC."""
    return jnp.clip(heat * layers.per_latent, 0.0, 1.0)


def heat_at(temperature_c: Array, liquid: Array, layers: Layers) -> Array:
    """The heat of layers at a temperature (degC) with a liquid share that fits it (0 below, 1 above 0 degC)."""
    sensible = temperature_c / jnp.where(temperature_c < 0.0, layers.per_heat_frozen, layers.per_heat_thawed)
    return sensible + liquid * layers.latent


def one_day(
    heat: Array,
    layers: Layers,
    surface_c: Array,
    cover_resistance: Array,
    seconds: float | Array = 86400.0,
    *,
    geothermal: float | Array = GEOTHERMAL_W_M2,
    tolerance: float = 0.01,
    iterations: int = 12,
) -> tuple[Array, Array]:
    """The heat after one backward-Euler step, and the mean heat flux into the top of the column, W m-2.

    heat : (layer, cell), J m-2. surface_c : (cell,) temperature above the cover, degC; cover_resistance : (cell,)
    of snow (and of moss too thin to be a layer), m2 K W-1. geothermal : upward flux at the bottom, W m-2.

    Newton steps on the piecewise linear temperature of heat, the conductivity renewed in each, until the liquid
    share of no layer of the cell changes by more than `tolerance`, or `iterations` are done. Heat is changed by the
    fluxes of a linear solution, so it is conserved to round-off however early that is. A step of 0 seconds changes
    nothing. Each cell stops by itself: its result does not depend on its neighbours.
    """

    def newton(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        guess, flux, active = state
        liquid = liquid_fraction(guess, layers)
        half = layers.half_resistance * _exp(-layers.log_ratio * liquid)
        resistance = half + jnp.concatenate([cover_resistance[None], half[:-1]])
        after, into = _solve(heat, guess, resistance, layers, surface_c, seconds, geothermal)
        change = jnp.max(jnp.abs(liquid_fraction(after, layers) - liquid), axis=0)
        return jnp.where(active, after, guess), jnp.where(active, into, flux), active & (change > tolerance)

    def again(state: tuple[Array, Array, Array], _: None) -> tuple[tuple[Array, Array, Array], None]:
        return lax.cond(jnp.any(state[2]), newton, lambda s: s, state), None

    state = newton((heat, jnp.zeros_like(surface_c), jnp.ones(surface_c.shape, bool)))
    (after, flux, _), _ = lax.scan(again, state, length=iterations - 1)
    return after, flux


def _exp(x: Array) -> Array:
    """exp(x) for abs(x) < 3 to 1e-8, by the series at x / 8: a quarter of the cost of XLA's own, which takes all x."""
    small = 0.125 * x
    series = 1.0 / 5040.0
    for coefficient in (1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0):
        series = series * small + coefficient
    return jnp.square(jnp.square(jnp.square(series)))


def _solve(
    heat: Array,
    guess: Array,
    resistance: Array,
    layers: Layers,
    surface_c: Array,
    seconds: float | Array,
    geothermal: float | Array,
) -> tuple[Array, Array]:
    """Heat after a step whose temperatures are linear in heat around `guess`, and the flux into the top.

    From the bottom up, the flux into layer j is eliminated to ``conductance T(j-1) - source``; from the top down,
    fluxes and heat follow.
    """

    def upward(below: tuple[Array, Array], layer: tuple[Array, ...]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        conductance, source = below
        start, around, per_frozen, per_thawed, latent, r = layer
        frozen = around < 0.0
        slope = jnp.where(frozen, per_frozen, jnp.where(around > latent, per_thawed, 0.0))
        before = slope * jnp.where(frozen, start, start - latent)
        warming = slope * seconds
        stiff = 1.0 + warming * conductance
        divided = 1.0 / (r * stiff + warming)
        return (stiff * divided, (before + warming * source) * divided), below

    def downward(above: tuple[Array, Array], layer: tuple[Array, ...]) -> tuple[tuple[Array, Array], Array]:
        temperature_c, flux = above
        conductance, source, start, r = layer
        own = temperature_c - flux * r
        out = conductance * own - source
        return (own, out), start + seconds * (flux - out)

    zero = jnp.zeros_like(heat[0])
    rows = (heat, guess, layers.per_heat_frozen, layers.per_heat_thawed, layers.latent, resistance)
    (conductance, source), below = lax.scan(upward, (zero, zero + geothermal), rows, reverse=True)
    top = conductance * surface_c - source
    _, after = lax.scan(downward, (surface_c, top), (*below, heat, resistance))
    return after, top
