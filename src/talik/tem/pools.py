"""What a year of the biogeochemistry takes and gives: settings, drivers, pools, memory, fluxes; and how they start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from talik.tem import water
from talik.tem.communities import Parameters
from talik.tem.permafrost import layers as permafrost
from talik.tem.water import Site

Array = jax.Array


@dataclass(frozen=True, slots=True)
class Settings:
    """Choices of a run; hashable, static under jit.

    substeps : Runge-Kutta steps a month. co2_reference : carbon dioxide of the spin-up in ppm, at which the C:N of
    production is that of the parameters; co2_cn : let that C:N follow carbon dioxide (McGuire et al. 1997).
    leaf_max_cap : hold last year's largest leaf phenology at 1 or less, as TEM 6 does. baseline : reset soil
    nitrogen to the C:N of soil at the end of each year (spin-up only). thawed_layer : only the thawed share of the
    root zone decomposes and gives nitrogen, as in an early TEM 6; needs `Drivers.thaw_depth`. refreeze_stop : thawed
    permafrost that lies below the year's active layer does not decompose.
    """

    substeps: int = 8
    co2_reference: float = 284.32
    co2_cn: bool = True
    leaf_max_cap: bool = False
    baseline: bool = False
    thawed_layer: bool = False
    refreeze_stop: bool = False


class Pools(NamedTuple):
    """What is stored, each (cell,), never negative.

    C_V : vegetation carbon; N_VS, N_VL : structural and labile vegetation nitrogen; C_S, N_S : soil organic carbon
    and nitrogen; N_A : available nitrogen, all g m-2. W : soil water above the wilting point; G_r, G_s : rain and
    melt water on its way to the river; SWE : snow, all mm.
    """

    C_V: Array
    N_VS: Array
    N_VL: Array
    C_S: Array
    N_S: Array
    N_A: Array
    W: Array
    G_r: Array
    G_s: Array
    SWE: Array


class Memory(NamedTuple):
    """What a year must know of the past, each (cell,).

    leaf : unnormalised leaf phenology of last month; leaf_max, aet_max, t_opt : its maximum, the largest monthly
    AET (mm) and the air temperature (degC) of the leafiest month, all of last year; litter_cn : C:N of last year's
    litter; wetness : last year's AET/PET; tair_before, tair_two_before : air temperature of the last two months,
    degC; co2 : of last month, ppm.
    """

    leaf: Array
    leaf_max: Array
    aet_max: Array
    t_opt: Array
    litter_cn: Array
    wetness: Array
    tair_before: Array
    tair_two_before: Array
    co2: Array


class Drivers(NamedTuple):
    """Twelve months of forcing, (12, cell) unless said otherwise.

    tair : air temperature, degC; precip : mm month-1; irradiance, par : at the ground and photosynthetically
    active, cal cm-2 d-1; t20 : soil temperature at 20 cm, degC; thaw_fraction : of the month without frost in the
    top soil, 0..1; days : of each month, (12,) or (12, cell); co2 : ppm, a number, (cell,)
    or (12, cell); n_input, n_loss : nitrogen that comes and goes with air and water, g m-2 month-1; thaw_depth : m,
    for `Settings.thawed_layer`.
    """

    tair: Array
    precip: Array
    irradiance: Array
    par: Array
    t20: Array
    thaw_fraction: Array
    days: Array
    co2: Array | float
    n_input: Array | float = 0.0
    n_loss: Array | float = 0.0
    thaw_depth: Array | float = 0.0


class MonthlyDrivers(NamedTuple):
    """`Drivers` with every month and cell spelled out, (12, cell), or one month of them, (cell,)."""

    tair: Array
    precip: Array
    irradiance: Array
    par: Array
    t20: Array
    thaw_fraction: Array
    days: Array
    co2: Array
    n_input: Array
    n_loss: Array
    thaw_depth: Array


class Fluxes(NamedTuple):
    """Monthly totals (12, cell), g m-2 month-1 or mm month-1, and `pools` at the end of each month.

    Carbon: gpp, npp (to the land), r_maintenance, r_growth, rh (to the air), nep = npp - rh (to the land),
    litter_c; gpp_potential and npp_potential are without limit by nitrogen. Nitrogen: litter_n, mineralised (soil
    organic to available), uptake = uptake_structural + uptake_labile, uptake_capacity, mobilised (labile to
    structural), resorbed (structural to labile), n_input, n_loss, n_baseline (added to soil organic nitrogen in
    December by `Settings.baseline`, may be negative). Water: rain, snowfall, melt, pet, aet, percolation_rain,
    percolation_melt, runoff_rain, runoff_melt. States: leaf (unnormalised phenology) and moisture (m3 m-3, end of
    month). rh, nep and mineralised are those of the active layer; `permafrost` has what comes from below it.
    """

    gpp_potential: Array
    npp_potential: Array
    gpp: Array
    npp: Array
    r_maintenance: Array
    r_growth: Array
    litter_c: Array
    rh: Array
    nep: Array
    litter_n: Array
    mineralised: Array
    uptake_capacity: Array
    uptake: Array
    uptake_structural: Array
    uptake_labile: Array
    mobilised: Array
    resorbed: Array
    n_input: Array
    n_loss: Array
    n_baseline: Array
    rain: Array
    snowfall: Array
    melt: Array
    pet: Array
    aet: Array
    percolation_rain: Array
    percolation_melt: Array
    runoff_rain: Array
    runoff_melt: Array
    leaf: Array
    moisture: Array
    pools: Pools
    permafrost: permafrost.Fluxes | None = None


def by_month(drivers: Drivers) -> MonthlyDrivers:
    """Every driver as (12, cell), in the float type of the air temperature."""
    shape, kind = drivers.tair.shape, drivers.tair.dtype
    days = jnp.reshape(jnp.asarray(drivers.days), (12, -1))
    given = drivers._replace(days=days)
    return MonthlyDrivers(*(jnp.broadcast_to(jnp.asarray(value, kind), shape) for value in given))


@jax.jit
def initial_pools(parameters: Parameters, site: Site) -> Pools:
    """Pools to start a spin-up from: lines in p for each community, soil water at field capacity, no snow.

    Available nitrogen is at least 0.05 g m-2, because some of the lines turn negative in fine soil (TEM 4.3).
    """
    q, p = parameters, site.p
    nothing = jnp.zeros_like(p)
    return Pools(
        C_V=q.c_v_slope * p + q.c_v_offset,
        N_VS=q.n_vs_slope * p + q.n_vs_offset,
        N_VL=q.n_vl_slope * p + q.n_vl_offset,
        C_S=q.c_s_slope * p + q.c_s_offset,
        N_S=q.n_s_slope * p + q.n_s_offset,
        N_A=jnp.maximum(0.05, q.n_a_slope * p + q.n_a_offset),
        W=site.capacity,
        G_r=nothing,
        G_s=nothing,
        SWE=nothing,
    )


@jax.jit
def initial_memory(parameters: Parameters, drivers: Drivers) -> Memory:
    """Memory to start a spin-up from, as if the year of `drivers` had gone before with AET equal to PET.

    The optimum temperature is that of the month of largest PET; litter has the C:N at which decomposition was set.
    """
    q = parameters
    forcing = by_month(drivers)
    pet = water.potential_evapotranspiration(forcing.tair, forcing.irradiance, forcing.days)
    one = jnp.ones_like(drivers.tair[0])
    return Memory(
        leaf=q.unleaf12 * one,
        leaf_max=one,
        aet_max=pet.max(axis=0),
        t_opt=optimum_temperature(drivers.tair, pet, q),
        litter_cn=q.lcclnc * one,
        wetness=one,
        tair_before=drivers.tair[11],
        tair_two_before=drivers.tair[10],
        co2=forcing.co2[11],
    )


def optimum_temperature(tair: Array, by: Array, parameters: Parameters) -> Array:
    """Air temperature (degC) of the month in which `by` is largest, within the limits of the community, (cell,).

    tair, by : (12, cell).
    """
    month = jnp.argmax(by, axis=0)
    found = jnp.take_along_axis(tair, month[None], axis=0)[0]
    return jnp.clip(found, parameters.t_opt_min, parameters.t_opt_max)
