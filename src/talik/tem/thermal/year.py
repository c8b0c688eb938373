"""A year of soil heat under snow, day by day, with moisture that changes from month to month."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from talik.tem.calendar import MONTH_DAYS
from talik.tem.thermal import snow
from talik.tem.thermal.column import GEOTHERMAL_W_M2, one_day
from talik.tem.thermal.daily import MAX_DAYS, at_noon, months
from talik.tem.thermal.freezing import Layers, UnfrozenWater, heat_at, liquid_fraction, phase, temperature
from talik.tem.thermal.grid import SOIL_THICKNESS_M, bounds, interpolation, midpoints

Array = jax.Array

DAY_S = 86400.0
_SURFACE = interpolation(0.05)[0]
_NEAR = [int(i) for i in np.flatnonzero(_SURFACE)]


class Heat(NamedTuple):
    """State of the column: heat (43, cell) of moss and soil, J m-2, in float64 to close the books even if all else is
    float32; snow water (cell,), mm; saturation (cell,) of the root zone that `heat` was counted with."""

    heat: Array
    swe: Array
    saturation: Array


class Weather(NamedTuple):
    """What drives a year: air temperature (14, cell), degC, from the December before to the January after;
    precipitation (12, cell), mm month-1; saturation (12, cell) of the root zone; snow_resistance (cell,) for each mm of
    snow water, m2 K W-1 mm-1."""

    tair: Array
    precipitation: Array
    saturation: Array
    snow_resistance: Array


class SoilClimate(NamedTuple):
    """A year of the soil. tsoil (12, 42, cell) monthly mean, degC; liquid (12, 42, cell) largest liquid share of the
    month; thawed_days (12, cell) share of days with more than 0 degC at 5 cm; swe (12, cell) snow water at the end of
    the month, mm; surface_heat, bottom_heat, water_heat (cell,) heat that came in by the surface, by the bottom, and
    with water that changed, J m-2 in the year; throughput (cell,) sum of the daily heat moved, J m-2. Heat is booked in
    float64 whatever the rest is."""

    tsoil: Array
    liquid: Array
    thawed_days: Array
    swe: Array
    surface_heat: Array
    bottom_heat: Array
    water_heat: Array
    throughput: Array


class _Sums(NamedTuple):
    """What the days of a month add up to: temperature, most heat, time thawed, heat through the surface and moved."""

    temperature: Array
    warmest: Array
    thawed: Array
    surface: Array
    moved: Array


_Carry = tuple[Array, Array, _Sums]


def one_year(
    state: Heat,
    weather: Weather,
    layers_of: Callable[[Array], Layers],
    *,
    geothermal: float = GEOTHERMAL_W_M2,
    unfrozen: UnfrozenWater | None = None,
    tolerance: float = 0.01,
    iterations: int = 12,
    steps_per_day: int = 1,
) -> tuple[Heat, SoilClimate]:
    """The state after a year of 365 days, and the year's soil climate.

    layers_of : `Layers` (43, cell) for a root-zone saturation (cell,). At the start of a month every layer keeps its
    temperature and liquid share while its water changes; the heat that this takes is booked as `water_heat`. Snowfall
    is spread over its month and melts by degree-days; what is left after two months at -1 degC or above goes.
    geothermal, unfrozen, tolerance, iterations : as for `one_day`.
    """
    knots = months(weather.tair)
    snowfall = jnp.where(weather.tair[1:-1] < snow.SNOWFALL_BELOW_C, weather.precipitation, 0.0)
    thawing = weather.tair >= snow.SNOWFALL_BELOW_C
    second_thaw = thawing[:-2] & thawing[1:-1]
    days = jnp.asarray(MONTH_DAYS, weather.tair.dtype)
    step = 1.0 / steps_per_day

    def month(
        carried: tuple[Heat, Layers], now: tuple[Any, ...]
    ) -> tuple[tuple[Heat, Layers], tuple[Array, ...]]:
        knot, snowing, saturation, snow_goes, length = now
        state, before = carried
        layers = layers_of(saturation)
        held = phase(state.heat, before, unfrozen)
        start = heat_at(held.temperature, held.liquid, layers, unfrozen)
        water_heat = jnp.sum(start - state.heat, axis=0)

        def pass_time(carry: _Carry, begins: Array) -> _Carry:
            heat, swe, sums = carry
            tair = at_noon(knot, begins + 0.5 * step - 0.5, length)
            swe = snow.snow_water_after(swe, snowing / length, tair, step)
            surface = jnp.where(swe > snow.COVERED_MM, jnp.minimum(tair, 0.0), tair)
            heat, flux = one_day(
                heat,
                layers,
                surface,
                swe * weather.snow_resistance,
                DAY_S * step,
                geothermal=geothermal,
                unfrozen=unfrozen,
                tolerance=tolerance,
                iterations=iterations,
            )
            return heat, swe, _add(sums, heat, layers, flux, unfrozen)

        def day(carry: _Carry, begins: Array) -> tuple[_Carry, None]:
            return lax.cond(begins < length, pass_time, lambda carry, _: carry, carry, begins), None

        carry = (start, state.swe, _no_sums(state.heat, days.dtype))
        starts = jnp.arange(MAX_DAYS * steps_per_day, dtype=days.dtype) * step
        (heat, swe, sums), _ = lax.scan(day, carry, starts)
        swe = jnp.where(snow_goes, 0.0, swe)
        soil = Layers(*(a[1:] for a in layers))
        steps, seconds = length * steps_per_day, DAY_S * step
        out = (
            sums.temperature / steps,
            liquid_fraction(sums.warmest, soil, unfrozen),
            sums.thawed / steps,
            swe,
            sums.surface * seconds,
            water_heat,
            sums.moved * seconds,
        )
        return (Heat(heat, swe, saturation), layers), out

    (state, _), (tsoil, liquid, thawed, swe, surface, water, moved) = lax.scan(
        month, (state, layers_of(state.saturation)), (knots, snowfall, weather.saturation, second_thaw, days)
    )
    bottom = jnp.full_like(state.swe, geothermal * DAY_S * sum(MONTH_DAYS))
    return state, SoilClimate(
        tsoil, liquid, thawed, swe, surface.sum(0), bottom, water.sum(0), moved.sum(0) + jnp.abs(bottom)
    )


def _no_sums(heat: Array, dtype: jnp.dtype) -> _Sums:
    soil, cell = jnp.zeros(heat[1:].shape, dtype), jnp.zeros(heat[0].shape, dtype)
    book = jnp.zeros_like(heat[0])
    return _Sums(soil, jnp.full_like(soil, -jnp.inf), cell, book, book)


def _add(sums: _Sums, heat: Array, layers: Layers, flux: Array, unfrozen: UnfrozenWater | None) -> _Sums:
    soil = Layers(*(a[1:] for a in layers))
    heat = heat[1:].astype(sums.warmest.dtype)
    tsoil = temperature(heat, soil, unfrozen)
    near = sum(float(_SURFACE[i]) * tsoil[i] for i in _NEAR)
    return _Sums(
        sums.temperature + tsoil,
        jnp.maximum(sums.warmest, heat),
        sums.thawed + (near > 0.0),
        sums.surface + flux,
        sums.moved + jnp.abs(flux),
    )


def heat_residual(before: Heat, after: Heat, year: SoilClimate) -> Array:
    """(cell,) heat that a year's books do not explain, as a share of the heat moved through the boundaries."""
    gained = jnp.sum(after.heat - before.heat, axis=0)
    explained = year.surface_heat + year.bottom_heat + year.water_heat
    return (gained - explained) / (year.throughput + jnp.abs(year.water_heat))


def thaw_depth(liquid: Array) -> Array:
    """Depth to the first layer that is not all thawed, m, from liquid shares (..., 42, cell) without the moss.

    The front stands inside that layer at its liquid share. With the largest liquid share of each layer in a year it is
    the active-layer thickness, which holds taliks; 50 m, the bottom, is no permafrost.
    """
    thickness = jnp.asarray(SOIL_THICKNESS_M[:, None], liquid.dtype)
    thawed_above = jnp.cumprod(
        jnp.concatenate([jnp.ones_like(liquid[..., :1, :]), liquid[..., :-1, :] >= 1.0], axis=-2), axis=-2
    )
    return jnp.sum(thawed_above * thickness * liquid, axis=-2)


def initial_heat(
    tair: Array,
    layers: Layers,
    saturation: Array,
    geothermal: float = GEOTHERMAL_W_M2,
    unfrozen: UnfrozenWater | None = None,
) -> Heat:
    """A start for the spin-up: mean annual surface temperature (cell,) + 2 degC and the geothermal gradient below."""
    heat = _conductive(tair + 2.0, False, layers, geothermal, unfrozen)
    return Heat(heat.astype(jnp.float64), jnp.zeros_like(tair), saturation)


def deep_profile(
    state: Heat,
    year: SoilClimate,
    layers: Layers,
    geothermal: float = GEOTHERMAL_W_M2,
    unfrozen: UnfrozenWater | None = None,
) -> Heat:
    """The heat with the soil below 3.6 m on the conductive profile that hangs on the year's mean there.

    The deep soil nears it in thousands of years; set to it, a spin-up needs a hundred.
    """
    start = int(np.searchsorted(midpoints(SOIL_THICKNESS_M), 3.6))
    mean = year.tsoil.mean(axis=0)[start]
    deep = Layers(*(a[start + 1 :] for a in layers))
    heat = _conductive(mean, True, deep, geothermal, unfrozen)
    return state._replace(heat=state.heat.at[start + 1 :].set(heat))


def _conductive(
    known_c: Array, at_centre: bool, layers: Layers, geothermal: float, unfrozen: UnfrozenWater | None
) -> Array:
    """Heat of layers through which `geothermal` flows up and no more, J m-2, (layer, cell).

    known_c : (cell,) temperature at the top of the first layer, or at its centre, degC. Every layer conducts as in the
    phase that `known_c` is in.
    """
    half = layers.half_resistance * jnp.where(known_c > 0.0, jnp.exp(-layers.log_ratio), 1.0)
    to_centre = jnp.cumsum(2.0 * half, axis=0) - half
    below = to_centre - half[0] if at_centre else to_centre
    profile = known_c + geothermal * below
    return heat_at(profile, (profile > 0.0).astype(profile.dtype), layers, unfrozen)


def talik_thickness(tsoil: Array, alt: Array) -> Array:
    """Ground above the permafrost table that stays above 0 degC in every month, m, (cell,).

    tsoil : (12, 42, cell) monthly means, degC; alt : (cell,) active-layer thickness, m.
    """
    top = jnp.asarray(bounds(SOIL_THICKNESS_M)[:-1, None], tsoil.dtype)
    thickness = jnp.asarray(SOIL_THICKNESS_M[:, None], tsoil.dtype)
    above = jnp.clip(alt - top, 0.0, thickness)
    return jnp.sum(jnp.where(tsoil.min(axis=0) > 0.0, above, 0.0), axis=0)
