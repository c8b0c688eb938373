"""One year of carbon, nitrogen and water of many cells: drivers of twelve months in, monthly fluxes and new pools out.

The path: `initial_pools`, `initial_memory`, then `one_year` again and again. A month is a system of ordinary
differential equations with constant drivers (`rates`) that a method of integration (`runge_kutta`) carries through.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import jax
import jax.numpy as jnp

from talik.tem import vegetation, water
from talik.tem.communities import Parameters
from talik.tem.permafrost import layers as permafrost
from talik.tem.permafrost.layers import Below
from talik.tem.pools import (
    Drivers,
    Fluxes,
    Memory,
    MonthlyDrivers,
    Pools,
    Settings,
    by_month,
    initial_memory,
    initial_pools,
    optimum_temperature,
)
from talik.tem.rates import SMALLEST_POOL, Month, Rates, Year, constants_of_month, constants_of_year
from talik.tem.runge_kutta import runge_kutta
from talik.tem.thermal.snow import SNOWFALL_BELOW_C
from talik.tem.water import Site

Array = jax.Array
_Tree = TypeVar("_Tree")
_Carry = tuple[Pools, Memory, permafrost.Permafrost | None]

__all__ = [
    "Drivers",
    "Fluxes",
    "Memory",
    "Pools",
    "Settings",
    "dormant",
    "initial_memory",
    "initial_pools",
    "one_year",
    "year_with",
]

Integrator = Callable[[Pools, Month, Parameters, Site, Year, Settings], tuple[Pools, Rates]]


def dormant(drivers: Drivers) -> Array:
    """True (cell,) where no month reaches -1 degC or no precipitation falls in the year: TEM runs no plants there.

    `one_year` holds such a cell still: all fluxes 0; pools, moisture, and the memory of plants and soil kept. A
    spin-up that follows TEM sets its pools to 0.
    """
    return (jnp.max(drivers.tair, axis=0) < SNOWFALL_BELOW_C) | (jnp.sum(drivers.precip, axis=0) <= 0.0)


@partial(jax.jit, static_argnames=("settings",))
def one_year(
    pools: Pools,
    memory: Memory,
    drivers: Drivers,
    site: Site,
    parameters: Parameters,
    settings: Settings,
    below: Below | None = None,
) -> tuple[Pools, Memory, Fluxes]:
    """Pools and memory at the end of a year, and its monthly fluxes, by the classical Runge-Kutta method.

    below : permafrost, whose nitrogen plants may reach; `Fluxes.permafrost` then has its flows and pools.

    All arrays have cells last; the result has the float type of `pools`. Carbon, nitrogen and water close to
    round-off: the change of each pool is the sum of its fluxes. Source: TEM 4.3 (Raich et al. 1991, McGuire et al.
    1992, 1997, Zhuang et al. 2003), integrated with fixed steps instead of adaptive ones.
    """
    return year_with(runge_kutta, pools, memory, drivers, site, parameters, settings, below)


def year_with(
    integrate: Integrator,
    pools: Pools,
    memory: Memory,
    drivers: Drivers,
    site: Site,
    parameters: Parameters,
    settings: Settings,
    below: Below | None = None,
) -> tuple[Pools, Memory, Fluxes]:
    """`one_year` with another method of integration for the months; not compiled here."""
    kind = pools.C_V.dtype
    memory, drivers = _as(memory, kind), _as(drivers, kind)
    site, parameters = _as(site, kind), _as(parameters, kind)
    below = None if below is None else _as(below, kind)
    constants = constants_of_year(memory, site, parameters, settings)
    rates = permafrost.Rates(constants.decomposition, constants.immobilisation)

    def month(
        carry: _Carry, now: tuple[MonthlyDrivers, permafrost.Soil | None]
    ) -> tuple[_Carry, tuple[Fluxes, permafrost.Month | None]]:
        (before, past, deep), (climate, ground) = carry, now
        supplied, flows = climate, None
        if below is not None and deep is not None and ground is not None:
            moisture = before.W / site.depth_mm + site.wilting_point
            deep, flows = permafrost.one_month(
                deep,
                before.N_A,
                moisture,
                ground,
                rates,
                site,
                parameters,
                below.parameters,
                settings.refreeze_stop,
            )
            # what thaw gives comes over the month: at once, microbes of the active layer would take all of it
            delivered = flows.delivered.sum(axis=0)
            supplied = climate._replace(n_input=climate.n_input + jnp.maximum(delivered, 0.0))
            before = before._replace(N_A=before.N_A + jnp.minimum(delivered, 0.0))
        after, fluxes = _one_month(integrate, before, past, supplied, site, parameters, constants, settings)
        past = past._replace(
            leaf=fluxes.leaf, tair_before=climate.tair, tair_two_before=past.tair_before, co2=climate.co2
        )
        return (after, past, deep), (fluxes._replace(n_input=climate.n_input), flows)

    frozen, soil = (None, None) if below is None else (below.pools, below.soil)
    months = (by_month(drivers), soil)
    (after, past, deep), (fluxes, flows) = jax.lax.scan(month, (pools, memory, frozen), months)
    if deep is not None and flows is not None:
        fluxes = fluxes._replace(permafrost=permafrost.year_of(flows, deep))
    if settings.baseline:
        added = after.C_S / parameters.cnsoil - after.N_S
        after = after._replace(N_S=after.N_S + added)
        fluxes = fluxes._replace(
            n_baseline=fluxes.n_baseline.at[11].set(added),
            pools=fluxes.pools._replace(N_S=fluxes.pools.N_S.at[11].set(after.N_S)),
        )
    past = _remember(past, drivers, fluxes, parameters, settings)
    still = dormant(drivers)
    asleep = memory._replace(tair_before=past.tair_before, tair_two_before=past.tair_two_before, co2=past.co2)
    return (
        _where(still, pools, after),
        _where(still, asleep, past),
        _where(still, _stillness(fluxes, pools, memory, site, frozen), fluxes),
    )


def _one_month(
    integrate: Integrator,
    pools: Pools,
    memory: Memory,
    now: MonthlyDrivers,
    site: Site,
    parameters: Parameters,
    year: Year,
    settings: Settings,
) -> tuple[Pools, Fluxes]:
    pet = water.potential_evapotranspiration(now.tair, now.irradiance, now.days)
    snow = water.snow(pools.SWE, now.tair, memory.tair_before, now.precip, site.elevation)
    month = constants_of_month(snow, pet, memory, now, site, parameters, year, settings)
    after, f = integrate(pools, month, parameters, site, year, settings)
    after = after._replace(SWE=pools.SWE + snow.snowfall - snow.melt)
    drained_rain = month.rain_share * f.percolation
    drained_melt = f.percolation - drained_rain
    return after, Fluxes(
        gpp_potential=f.gpp_potential,
        npp_potential=f.npp_potential,
        gpp=f.npp + f.r_growth + f.r_maintenance,
        npp=f.npp,
        r_maintenance=f.r_maintenance,
        r_growth=f.r_growth,
        litter_c=f.litter_c,
        rh=f.rh,
        nep=f.npp - f.rh,
        litter_n=f.litter_n,
        mineralised=f.mineralised,
        uptake_capacity=f.uptake_capacity,
        uptake=f.uptake,
        uptake_structural=f.uptake_structural,
        uptake_labile=f.uptake - f.uptake_structural,
        mobilised=f.mobilised,
        resorbed=f.resorbed,
        n_input=now.n_input,
        n_loss=f.n_loss,
        n_baseline=jnp.zeros_like(f.npp),
        rain=snow.rain,
        snowfall=snow.snowfall,
        melt=snow.melt,
        pet=pet,
        aet=f.aet,
        percolation_rain=drained_rain,
        percolation_melt=drained_melt,
        runoff_rain=pools.G_r + drained_rain - after.G_r,
        runoff_melt=pools.G_s + drained_melt - after.G_s,
        leaf=vegetation.leaf_phenology(f.aet, memory.aet_max, memory.leaf, parameters),
        moisture=after.W / site.depth_mm + site.wilting_point,
        pools=after,
    )


def _remember(
    memory: Memory, drivers: Drivers, fluxes: Fluxes, parameters: Parameters, settings: Settings
) -> Memory:
    leaf_max = jnp.maximum(jnp.max(fluxes.leaf, axis=0), 0.01)
    litter_n = jnp.sum(fluxes.litter_n, axis=0)
    some = litter_n > SMALLEST_POOL
    ratio = jnp.sum(fluxes.litter_c, axis=0) / jnp.where(some, litter_n, 1.0)
    return memory._replace(
        leaf_max=jnp.minimum(leaf_max, 1.0) if settings.leaf_max_cap else leaf_max,
        aet_max=jnp.maximum(jnp.max(fluxes.aet, axis=0), water.SMALLEST_PET),
        t_opt=optimum_temperature(drivers.tair, fluxes.leaf, parameters),
        litter_cn=jnp.where(some, ratio, memory.litter_cn),
        wetness=jnp.sum(fluxes.aet, axis=0) / jnp.sum(fluxes.pet, axis=0),
    )


def _as(tree: _Tree, kind: jnp.dtype) -> _Tree:
    cast: _Tree = jax.tree.map(lambda x: jnp.asarray(x, kind), tree)
    return cast


def _where(condition: Array, one: _Tree, other: _Tree) -> _Tree:
    chosen: _Tree = jax.tree.map(lambda a, b: jnp.where(condition, a, b), one, other)
    return chosen


def _stillness(
    fluxes: Fluxes, pools: Pools, memory: Memory, site: Site, frozen: permafrost.Permafrost | None
) -> Fluxes:
    """No fluxes for twelve months; pools, moisture and leaves that stay."""

    def stay(value: Array) -> Array:
        return jnp.broadcast_to(value, fluxes.npp.shape)

    nothing: Fluxes = jax.tree.map(jnp.zeros_like, fluxes)
    moisture = stay(pools.W / site.depth_mm + site.wilting_point)
    if frozen is not None and nothing.permafrost is not None:
        nothing = nothing._replace(permafrost=nothing.permafrost._replace(pools=frozen))
    return nothing._replace(leaf=stay(memory.leaf), moisture=moisture, pools=jax.tree.map(stay, pools))
