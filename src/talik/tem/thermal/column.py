"""Conduction of heat with freezing and thawing: one implicit day of many columns.

The state is the heat of a layer per area, J m-2, counted from 0 degC with all water frozen. Cells are the last axis.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from talik.tem.thermal.freezing import Layers, UnfrozenWater, liquid_fraction, tangent, tangent_rows

Array = jax.Array

GEOTHERMAL_W_M2 = 0.05
"""Upward heat flux at the bottom of the column, W m-2; the soil thermal model of TEM (Zhuang et al. 2001) has 0.04."""

_BEYOND = 0.05
"""Shares of latent heat so far below 0 or above 1 count as change: else a layer that is all but frozen would be let
far past 0 degC by a solution that held it there."""
ITERATED = 23
"""Layers from the top (moss and soil to 3 m) that Newton's method iterates on."""


def one_day(
    heat: Array,
    layers: Layers,
    surface_c: Array,
    cover_resistance: Array,
    seconds: float | Array = 86400.0,
    *,
    geothermal: float | Array = GEOTHERMAL_W_M2,
    unfrozen: UnfrozenWater | None = None,
    tolerance: float = 0.01,
    iterations: int = 12,
) -> tuple[Array, Array]:
    """The heat after one backward-Euler step, and the mean heat flux into the top of the column, W m-2.

    heat : (layer, cell), J m-2. surface_c : (cell,) temperature above the cover, degC; cover_resistance : (cell,)
    of snow (and of moss too thin to be a layer), m2 K W-1. geothermal : upward flux at the bottom, W m-2. unfrozen :
    water that stays liquid in frozen soil; None freezes all of it at 0 degC. The arithmetic is that of `layers`: with
    float32 layers, float64 heat still keeps what a deep layer gains in a day, and float32 heat loses it to rounding.

    Newton steps on the temperature as a function of heat, the conductivity renewed in each, until the heat of no layer
    of the cell moves by more than `tolerance` of its latent heat, or `iterations` are done. Layers below the first
    `ITERATED` are solved with them but linearised once: a day's heat moves their fronts by less than a millimetre.
    Heat is changed by the fluxes of a linear solution, so it is conserved to round-off however early that is. Each cell
    stops by itself: its result does not depend on its neighbours.
    """
    given, heat = heat, heat.astype(layers.latent.dtype)
    half = _half_resistance(heat, layers, unfrozen)
    upper, lower = Layers(*(a[:ITERATED] for a in layers)), Layers(*(a[ITERATED:] for a in layers))
    zero = jnp.zeros_like(heat[0])
    deep_resistance = half[ITERATED:] + half[ITERATED - 1 : -1]
    start, deep = heat[:ITERATED], heat[ITERATED:]
    line = tangent_rows(deep, deep, lower, unfrozen)
    boundary, deep_below = _eliminate(line, deep_resistance, seconds, (zero, zero + geothermal))

    def newton(state: _Newton, half: Array) -> _Newton:
        resistance = half + jnp.concatenate([cover_resistance[None], half[:-1]])
        line = tangent_rows(start, start + state.gain, upper, unfrozen)
        (conductance, source), below = _eliminate(line, resistance, seconds, boundary)
        into = conductance * surface_c - source

        def settle(
            above: tuple[Array, Array, Array], layer: tuple[Array, ...]
        ) -> tuple[tuple[Array, Array, Array], Array]:
            temperature_c, flux, change = above
            conductance, source, start, guess, per_latent, r = layer
            own = temperature_c - flux * r
            out = conductance * own - source
            gain = seconds * (flux - out)
            share, guessed = (
                jnp.clip((start + g) * per_latent, -_BEYOND, 1.0 + _BEYOND) for g in (gain, guess)
            )
            kept = jnp.where(state.active, gain, guess)
            return (own, out, jnp.maximum(change, jnp.abs(share - guessed))), kept

        rows: tuple[Array, ...] = (*below, start, state.gain, upper.per_latent, resistance)
        (own, out, change), gain = lax.scan(settle, (surface_c, into, zero), rows)
        into, own, out = (
            jnp.where(state.active, new, old)
            for new, old in ((into, state.into), (own, state.own), (out, state.out))
        )
        return _Newton(gain, into, own, out, state.active & (change > tolerance))

    def again(state: _Newton, _: None) -> tuple[_Newton, None]:
        renewed = lambda s: newton(s, _half_resistance(start + s.gain, upper, unfrozen))  # noqa: E731
        return lax.cond(jnp.any(state.active), renewed, lambda s: s, state), None

    first = _Newton(jnp.zeros_like(start), zero, zero, zero, jnp.ones(surface_c.shape, bool))
    last, _ = lax.scan(again, newton(first, half[:ITERATED]), length=iterations - 1)
    gain = _substitute(last.own, last.out, deep_resistance, deep_below, seconds)
    return given + jnp.concatenate([last.gain, gain]), last.into


class _Newton(NamedTuple):
    """Heat gained by the upper layers, fluxes into the top and out of their bottom, temperature of the last, and which
    cells still change."""

    gain: Array
    into: Array
    own: Array
    out: Array
    active: Array


def _half_resistance(heat: Array, layers: Layers, unfrozen: UnfrozenWater | None) -> Array:
    """Half the layer's resistance at k_frozen^(1 - liquid) k_thawed^liquid, m2 K W-1."""
    return layers.half_resistance * _exp(-layers.log_ratio * liquid_fraction(heat, layers, unfrozen))


def _exp(x: Array) -> Array:
    """exp(x) for abs(x) < 3 to 1e-8, by the series at x / 8: a quarter of the cost of XLA's own, which takes all x."""
    small = 0.125 * x
    series = jnp.full_like(small, 1.0 / 5040.0)
    for coefficient in (1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0):
        series = series * small + coefficient
    return jnp.square(jnp.square(jnp.square(series)))


def _eliminate(
    line: tuple[Array, ...], resistance: Array, seconds: float | Array, below: tuple[Array, Array]
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """From the bottom up: the flux into a layer as ``conductance T(layer above) - source``, for `tangent_rows`.

    Returns conductance and source of the top layer, and of the layer below each, (layer, cell).
    """

    def upward(
        below: tuple[Array, Array], layer: tuple[tuple[Array, ...], Array]
    ) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        conductance, source = below
        slope, before = tangent(layer[0])
        r, warming = layer[1], slope * seconds
        stiff = 1.0 + warming * conductance
        divided = 1.0 / (r * stiff + warming)
        return (stiff * divided, (before + warming * source) * divided), below

    return lax.scan(upward, below, (line, resistance), reverse=True)


def _substitute(
    temperature_c: Array,
    flux: Array,
    resistance: Array,
    below: tuple[Array, Array],
    seconds: float | Array,
) -> Array:
    """From the top down: heat that layers gain, from the temperature above and the flux into the first of them."""

    def downward(above: tuple[Array, Array], layer: tuple[Array, ...]) -> tuple[tuple[Array, Array], Array]:
        temperature_c, flux = above
        conductance, source, r = layer
        own = temperature_c - flux * r
        out = conductance * own - source
        return (own, out), seconds * (flux - out)

    _, gain = lax.scan(downward, (temperature_c, flux), (*below, resistance))
    return gain
