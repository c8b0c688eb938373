"""What a layer is made of, and how its temperature and liquid water follow from its heat.

The heat of a layer, J m-2, is counted from 0 degC with all water frozen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from talik.errors import ConfigError

Array = jax.Array

_INVERSION = 7
"""Newton steps that find the temperature of a layer with unfrozen water to round-off, for exponents up to 50."""


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


@dataclass(frozen=True, slots=True)
class UnfrozenWater:
    """Water that stays liquid in frozen soil: the share (T / limit_c)^-exponent below `limit_c`, all of it above.

    A power law of the freezing-point depression as fitted by, e.g., Lovell (1957); 0.5 is typical of mineral soil.
    ConfigError unless limit_c < 0 and exponent > 0.
    """

    limit_c: float = -0.05
    exponent: float = 0.5

    def __post_init__(self) -> None:
        if not (self.limit_c < 0.0 and self.exponent > 0.0):
            raise ConfigError(
                f"unfrozen water: limit_c {self.limit_c} and exponent {self.exponent}; expected limit_c below 0 degC "
                "and an exponent above 0."
            )


class Phase(NamedTuple):
    """Temperature, degC, its slope against heat, K m2 J-1, and share of the water that is liquid, 0..1."""

    temperature: Array
    slope: Array
    liquid: Array


def layers_from(
    thickness_m: Array,
    capacity_frozen: Array,
    capacity_thawed: Array,
    latent: Array,
    k_frozen: Array,
    k_thawed: Array,
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


def phase(heat: Array, layers: Layers, unfrozen: UnfrozenWater | None = None) -> Phase:
    """The phase of layers with this heat, all (layer, cell).

    Without `unfrozen` all water freezes at 0 degC, where the temperature stays until it has. With it, ice and water of
    a layer share one temperature T, and the heat is (c_frozen (1 - f) + c_thawed f) T + f latent at the liquid share
    f(T), which rises with T everywhere.
    """
    if unfrozen is not None:
        return _phase_with_unfrozen(heat, layers, unfrozen)
    slope, degrees = tangent(tangent_rows(heat, heat, layers))
    return Phase(degrees, slope, jnp.clip(heat * layers.per_latent, 0.0, 1.0))


def temperature(heat: Array, layers: Layers, unfrozen: UnfrozenWater | None = None) -> Array:
    """Layer temperature, degC."""
    return phase(heat, layers, unfrozen).temperature


def liquid_fraction(heat: Array, layers: Layers, unfrozen: UnfrozenWater | None = None) -> Array:
    """Share of the layer's water that is liquid, 0..1; a layer without water is thawed above 0 degC."""
    return phase(heat, layers, unfrozen).liquid


def heat_at(
    temperature_c: Array, liquid: Array, layers: Layers, unfrozen: UnfrozenWater | None = None
) -> Array:
    """The heat of layers at a temperature (degC) with a liquid share that fits it.

    The share is 0 below and 1 above 0 degC; with `unfrozen` it follows from the temperature, and `liquid` is not used.
    """
    if unfrozen is None:
        per_heat = jnp.where(temperature_c < 0.0, layers.per_heat_frozen, layers.per_heat_thawed)
        return temperature_c / per_heat + liquid * layers.latent
    limit = unfrozen.limit_c
    share = (jnp.minimum(temperature_c, limit) / limit) ** -unfrozen.exponent
    frozen, thawed = 1.0 / layers.per_heat_frozen, 1.0 / layers.per_heat_thawed
    return ((1.0 - share) * frozen + share * thawed) * temperature_c + share * layers.latent


def tangent_rows(
    start: Array, guess: Array, layers: Layers, unfrozen: UnfrozenWater | None = None
) -> tuple[Array, ...]:
    """What a scan over layers hands to `tangent`, each (layer, cell), for heat before a step and the guess after it."""
    if unfrozen is None:
        return start, guess, layers.per_heat_frozen, layers.per_heat_thawed, layers.latent
    around = phase(guess, layers, unfrozen)
    return around.slope, around.temperature + around.slope * (start - guess)


def tangent(row: tuple[Array, ...]) -> tuple[Array, Array]:
    """Slope of the temperature against heat at the guess, K m2 J-1, and where that line puts the start, degC.

    Of one layer, (cell,): inside the scan this costs less than rows of finished numbers.
    """
    if len(row) == 2:
        return row[0], row[1]
    start, guess, per_heat_frozen, per_heat_thawed, latent = row
    frozen = guess < 0.0
    slope = jnp.where(frozen, per_heat_frozen, jnp.where(guess >= latent, per_heat_thawed, 0.0))
    return slope, slope * jnp.where(frozen, start, start - latent)


def _phase_with_unfrozen(heat: Array, layers: Layers, unfrozen: UnfrozenWater) -> Phase:
    """Newton's method on x = ln(T / limit_c) >= 0, in which the heat is a falling sum of exponentials."""
    limit, b, latent = unfrozen.limit_c, unfrozen.exponent, layers.latent
    frozen, thawed = 1.0 / layers.per_heat_frozen, 1.0 / layers.per_heat_thawed
    at_limit = latent + thawed * limit
    cold = heat < at_limit
    wanted = jnp.where(cold, heat, at_limit)

    def at(x: Array) -> tuple[Array, Array, Array, Array]:
        """Temperature, liquid share, heat, and its derivative by x."""
        degrees, share = limit * jnp.exp(x), jnp.exp(-b * x)
        held = frozen * degrees + share * ((thawed - frozen) * degrees + latent)
        falling = frozen * degrees + share * ((1.0 - b) * (thawed - frozen) * degrees - b * latent)
        return degrees, share, held, falling

    without_latent = jnp.log(jnp.maximum(-wanted / (frozen * -limit), 1.0))
    without_sensible = -jnp.log(jnp.maximum((wanted - frozen * limit) * layers.per_latent, 1e-30)) / b
    equal_shares = jnp.log1p(latent / (frozen * -limit)) / (1.0 + b)
    x = jnp.maximum(without_latent, jnp.minimum(without_sensible, equal_shares))
    for _ in range(_INVERSION):
        x = lax.stop_gradient(x)
        _, _, held, falling = at(x)
        x = jnp.maximum(x - (held - wanted) / lax.stop_gradient(falling), 0.0)
    degrees, share, _, falling = at(x)
    return Phase(
        jnp.where(cold, degrees, (heat - latent) * layers.per_heat_thawed),
        jnp.where(cold, degrees / falling, layers.per_heat_thawed),
        jnp.where(cold, share, 1.0),
    )
