"""The model as a value: ``state, outputs = step(state, forcing, parameters)``, a year of every cell at once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from talik.tem import biogeochemistry, communities
from talik.tem.biogeochemistry import Drivers, Fluxes, Memory, Pools
from talik.tem.calendar import MONTH_DAYS
from talik.tem.permafrost import layers as permafrost
from talik.tem.thermal import year as soil_heat
from talik.tem.thermal.column import GEOTHERMAL_W_M2
from talik.tem.thermal.freezing import Layers, UnfrozenWater
from talik.tem.thermal.grid import DEPTHS_M, interpolation
from talik.tem.thermal.materials import Ground, physical_layers
from talik.tem.thermal.year import Heat, SoilClimate, Weather
from talik.tem.water import Site

Array = jax.Array

_AT_20_CM = interpolation(0.2)
_AT_DEPTHS = interpolation(DEPTHS_M)


@dataclass(frozen=True, slots=True)
class Settings:
    """Choices of a run; hashable, static under jit.

    biogeochemistry : see there. geothermal : upward heat flux at 50 m, W m-2; unfrozen : water that stays liquid in
    frozen soil; tolerance, iterations, steps_per_day : of the soil column.
    """

    biogeochemistry: biogeochemistry.Settings = field(default_factory=biogeochemistry.Settings)
    geothermal: float = GEOTHERMAL_W_M2
    unfrozen: UnfrozenWater | None = None
    tolerance: float = 0.01
    iterations: int = 12
    steps_per_day: int = 1

    def with_baseline(self, baseline: bool) -> Settings:
        """The same with soil nitrogen reset each year, or not."""
        return replace(self, biogeochemistry=replace(self.biogeochemistry, baseline=baseline))


class Parameters(NamedTuple):
    """Everything that is constant in time, by cell: `plants` of the community, `site` (texture, elevation, hydraulics),
    `ground` (`Ground` of the physical layer set, or fixed `Layers`), snow_resistance (cell,), m2 K W-1 per mm of snow
    water; `permafrost` of the carbon below the active layer, needed where the state has some."""

    plants: communities.Parameters
    site: Site
    ground: Ground | Layers
    snow_resistance: Array
    permafrost: permafrost.Parameters | None = None


class State(NamedTuple):
    """Where a cell stands at the end of a year: soil heat, pools, memory, and the year's root-zone saturation
    (12, cell), which the soil heat of the next year takes for its water; permafrost from its reference year on."""

    heat: Heat
    pools: Pools
    memory: Memory
    saturation: Array
    permafrost: permafrost.Permafrost | None = None


class Forcing(NamedTuple):
    """A year of climate: tair (14, cell), degC, from the December before to the January after; precip (12, cell),
    mm month-1; irradiance, par (12, cell), cal cm-2 d-1; co2, ppm, a number or (cell,)."""

    tair: Array
    precip: Array
    irradiance: Array
    par: Array
    co2: Array | float


class Outputs(NamedTuple):
    """A year's results. `fluxes` and `soil` by month; tsoil (12, 6, cell) at `DEPTHS_M`, degC; thaw_depth (12, cell),
    the largest of the month, alt and talik (cell,), m; residual (4, cell): see `closure`."""

    fluxes: Fluxes
    soil: SoilClimate
    tsoil: Array
    thaw_depth: Array
    alt: Array
    talik: Array
    residual: Array


@partial(jax.jit, static_argnames=("settings",))
def step(state: State, forcing: Forcing, parameters: Parameters, settings: Settings) -> tuple[State, Outputs]:
    """The state a year later, and what happened in between; pure, compiled, differentiable, cells independent.

    `soil_step` runs first, with the root-zone moisture of the year before; then `biogeochemistry_step`, by month. Where
    results have a kink (phase change, limits of uptake, rain or snow) derivatives are one-sided; the share of days with
    frost is piecewise constant, so its derivative is 0.
    """
    warmed, soil = soil_step(state, forcing, parameters, settings)
    after, fluxes = biogeochemistry_step(warmed, forcing, soil, parameters, settings)
    return after, outputs_of(state, after, fluxes, soil)


@partial(jax.jit, static_argnames=("settings",))
def soil_step(
    state: State, forcing: Forcing, parameters: Parameters, settings: Settings
) -> tuple[State, SoilClimate]:
    """A year of soil heat alone; pools, memory and moisture stay."""
    weather = Weather(forcing.tair, forcing.precip, state.saturation, parameters.snow_resistance)
    heat, soil = soil_heat.one_year(
        state.heat,
        weather,
        partial(layers_of, ground=parameters.ground),
        geothermal=settings.geothermal,
        unfrozen=settings.unfrozen,
        tolerance=settings.tolerance,
        iterations=settings.iterations,
        steps_per_day=settings.steps_per_day,
    )
    return state._replace(heat=heat), soil


@partial(jax.jit, static_argnames=("settings",))
def biogeochemistry_step(
    state: State, forcing: Forcing, soil: SoilClimate, parameters: Parameters, settings: Settings
) -> tuple[State, Fluxes]:
    """A year of plants, soil and water under a soil climate that is given; soil heat stays."""
    pools, memory, fluxes = biogeochemistry.one_year(
        state.pools,
        state.memory,
        drivers_of(forcing, soil),
        parameters.site,
        parameters.plants,
        settings.biogeochemistry,
        below(state, soil, parameters),
    )
    moisture = saturation_of(fluxes, parameters.site, state.saturation)
    deep = None if fluxes.permafrost is None else fluxes.permafrost.pools
    return State(state.heat, pools, memory, moisture, deep), fluxes


def below(state: State, soil: SoilClimate, parameters: Parameters) -> permafrost.Below | None:
    """What a year of permafrost starts from, if the state has permafrost."""
    if state.permafrost is None or parameters.permafrost is None:
        return None
    depth = soil_heat.thaw_depth(soil.liquid)
    alt = jnp.broadcast_to(soil_heat.thaw_depth(soil.liquid.max(axis=0)), depth.shape)
    climate = permafrost.Soil(permafrost.carbon_layers(soil.tsoil), depth, alt)
    return permafrost.Below(state.permafrost, climate, parameters.permafrost)


@jax.jit
def outputs_of(before: State, after: State, fluxes: Fluxes, soil: SoilClimate) -> Outputs:
    """A year's results from those of its two halves; before, after : the state at its start and at its end."""
    alt = soil_heat.thaw_depth(soil.liquid.max(axis=0))
    return Outputs(
        fluxes=fluxes,
        soil=soil,
        tsoil=jnp.einsum("dl,mlc->mdc", jnp.asarray(_AT_DEPTHS, soil.tsoil.dtype), soil.tsoil),
        thaw_depth=soil_heat.thaw_depth(soil.liquid),
        alt=alt,
        talik=soil_heat.talik_thickness(soil.tsoil, alt),
        residual=closure(before, after, fluxes, soil),
    )


def layers_of(saturation: Array, ground: Ground | Layers) -> Layers:
    """The layers at a root-zone saturation (cell,); layers of fixed water stay as they are."""
    return ground if isinstance(ground, Layers) else physical_layers(saturation, ground)


def drivers_of(forcing: Forcing, soil: SoilClimate) -> Drivers:
    """What the biogeochemistry needs of climate and soil."""
    kind = forcing.tair.dtype
    at_20_cm = jnp.einsum("dl,mlc->mc", jnp.asarray(_AT_20_CM, kind), soil.tsoil)
    return Drivers(
        tair=forcing.tair[1:-1],
        precip=forcing.precip,
        irradiance=forcing.irradiance,
        par=forcing.par,
        t20=at_20_cm,
        thaw_fraction=soil.thawed_days,
        days=jnp.asarray(MONTH_DAYS, kind),
        co2=forcing.co2,
        thaw_depth=soil_heat.thaw_depth(soil.liquid),
    )


def saturation_of(fluxes: Fluxes, site: Site, before: Array) -> Array:
    """Share of the root zone's pores that is full of water at the end of each month, (12, cell).

    A cell that lies dormant all year has no water balance; it keeps what it had. The lower limit of 0.05 keeps latent
    heat in every layer if a site is not from `water.site_for`, whose wilting points fill at least 0.10 of the pores.
    """
    share = jnp.clip(fluxes.moisture / site.porosity, 0.05, 1.0)
    return jnp.where(jnp.any(fluxes.moisture > 0.0, axis=0), share, before)


def initial_state(forcing: Forcing, parameters: Parameters, settings: Settings) -> State:
    """A start for the spin-up: initial pools, half-full pores, soil 2 degC warmer than the year's air."""
    half = jnp.full_like(forcing.precip, 0.5)
    layers = layers_of(half[-1], parameters.ground)
    heat = soil_heat.initial_heat(
        forcing.tair[1:-1].mean(axis=0), layers, half[-1], settings.geothermal, settings.unfrozen
    )
    zero = jnp.zeros_like(forcing.precip)
    drivers = Drivers(
        tair=forcing.tair[1:-1],
        precip=forcing.precip,
        irradiance=forcing.irradiance,
        par=forcing.par,
        t20=zero,
        thaw_fraction=zero,
        days=jnp.asarray(MONTH_DAYS, forcing.tair.dtype),
        co2=forcing.co2,
    )
    pools = biogeochemistry.initial_pools(parameters.plants, parameters.site)
    memory = biogeochemistry.initial_memory(parameters.plants, drivers)
    kind = forcing.tair.dtype
    pools, memory = jax.tree.map(lambda a: jnp.asarray(a, kind), (pools, memory))
    return State(heat, pools, memory, half)


CLOSURES = ("carbon", "nitrogen", "water", "heat")
"""What `closure` closes."""


def closure(before: State, after: State, fluxes: Fluxes, soil: SoilClimate) -> Array:
    """What a year's fluxes do not explain of the change of carbon, nitrogen, water and heat, (4, cell).

    Relative to pools plus throughput (to the heat moved through the boundaries); round-off is all there should be.
    """
    p, q = before.pools, after.pools
    in_c, out_c = fluxes.gpp, fluxes.r_maintenance + fluxes.r_growth + fluxes.rh
    in_n, out_n = fluxes.n_input + fluxes.n_baseline, fluxes.n_loss
    in_w, out_w = fluxes.rain + fluxes.snowfall, fluxes.aet + fluxes.runoff_rain + fluxes.runoff_melt
    deep_c, deep_n = _deep(before.permafrost)
    deeper_c, deeper_n = _deep(after.permafrost)
    if fluxes.permafrost is not None:
        out_c = out_c + fluxes.permafrost.rh
    carbon = _residual([p.C_V, p.C_S, deep_c], [q.C_V, q.C_S, deeper_c], in_c, out_c)
    nitrogen = _residual(
        [p.N_VS, p.N_VL, p.N_S, p.N_A, deep_n], [q.N_VS, q.N_VL, q.N_S, q.N_A, deeper_n], in_n, out_n
    )
    water = _residual([p.W, p.G_r, p.G_s, p.SWE], [q.W, q.G_r, q.G_s, q.SWE], in_w, out_w)
    return jnp.stack([carbon, nitrogen, water, soil_heat.heat_residual(before.heat, after.heat, soil)])


def _deep(held: permafrost.Permafrost | None) -> tuple[Array | float, Array | float]:
    """Carbon and nitrogen of the permafrost, g m-2 (cell,)."""
    if held is None:
        return 0.0, 0.0
    return (held.frozen_c + held.thawed_c).sum(axis=0), (held.frozen_n + held.thawed_n + held.mineral_n).sum(
        axis=0
    )


def _residual(
    before: list[Array | float], after: list[Array | float], inflow: Array, outflow: Array
) -> Array:
    start, end = sum(before), sum(after)
    unexplained = end - start - jnp.sum(inflow - outflow, axis=0)
    scale = jnp.abs(start) + jnp.abs(end) + jnp.sum(jnp.abs(inflow) + jnp.abs(outflow), axis=0)
    return unexplained / jnp.maximum(scale, 1e-30)
