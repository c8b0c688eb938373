"""All flows of carbon, nitrogen and water at one moment, and the change of the pools that they make."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from talik.tem import soil, vegetation, water
from talik.tem.communities import Parameters
from talik.tem.pools import Memory, MonthlyDrivers, Pools, Settings
from talik.tem.water import Bucket, Site

Array = jax.Array

SMALLEST_POOL = 1e-6
"""g m-2. Keeps the ratios of pools finite where a pool is empty."""


class Rates(NamedTuple):
    """Flows inside a month, each (cell,), g m-2 month-1 or mm month-1; summed over a month they are its totals."""

    gpp_potential: Array
    npp_potential: Array
    npp: Array
    r_maintenance: Array
    r_growth: Array
    litter_c: Array
    litter_n: Array
    rh: Array
    mineralised: Array
    uptake_capacity: Array
    uptake: Array
    uptake_structural: Array
    mobilised: Array
    resorbed: Array
    n_loss: Array
    aet: Array
    percolation: Array


class Year(NamedTuple):
    """Rates that hold for a year, each (cell,): see `constants_of_year`."""

    cmax: Array
    nmax: Array
    decomposition: Array
    immobilisation: Array
    cn_even: Array
    cn_res: Array


class Month(NamedTuple):
    """What is constant while a month is integrated, each (cell,): see `constants_of_month`."""

    assimilation: Array
    co2: Array
    leaf_slope: Array
    leaf_offset: Array
    leaf_floor: Array
    log_maintenance: Array
    uptake: Array
    decomposition: Array
    available_share: Array
    n_input: Array
    n_loss: Array
    rain_share: Array
    release: Array
    fastest: Array
    pet_inverse: Array
    bucket: Bucket


def constants_of_year(memory: Memory, site: Site, parameters: Parameters, settings: Settings) -> Year:
    """Rates that hold for a year, from texture and from the litter, moisture and carbon dioxide of the year before.

    C:N of production and resorption grow with carbon dioxide (McGuire et al. 1997).
    """
    q = parameters
    change = 1.0 + q.cn_per_co2 * (memory.co2 - settings.co2_reference) if settings.co2_cn else 1.0
    return Year(
        cmax=vegetation.maximum_assimilation(q, site.p),
        nmax=vegetation.maximum_uptake(q, site.p),
        decomposition=soil.decomposition_rate(q, site.p, memory.litter_cn),
        immobilisation=soil.immobilisation_capacity(q, site.p),
        cn_even=change * q.cneven,
        cn_res=change * jnp.maximum(q.c2nmin, q.vegc2nb + q.vegc2na * memory.wetness),
    )


def constants_of_month(
    snow: water.Snow,
    pet: Array,
    memory: Memory,
    now: MonthlyDrivers,
    site: Site,
    parameters: Parameters,
    year: Year,
    settings: Settings,
) -> Month:
    """Everything that does not change inside a month, so that `rates` has little left to do."""
    q = parameters
    log_factor = vegetation.log_respiration_factor(now.tair)
    share_c, share_n = jnp.ones_like(now.tair), jnp.ones_like(now.tair)
    if settings.thawed_layer:
        share_c, share_n = soil.thawed_shares(now.thaw_depth, site.rooting_depth)
    light = vegetation.saturating(now.par, q.k_i)
    supply = snow.rain + snow.melt
    leaf_floor = jnp.maximum(q.leaf_min, 0.5 * q.leaf_min / memory.leaf_max)
    return Month(
        assimilation=year.cmax
        * light
        * vegetation.temperature_factor(now.tair, memory.t_opt, q)
        * now.thaw_fraction,
        co2=now.co2,
        leaf_slope=q.leaf_a / (memory.aet_max * memory.leaf_max),
        leaf_offset=(q.leaf_b * memory.leaf + q.leaf_c) / memory.leaf_max,
        leaf_floor=jnp.minimum(leaf_floor, 1.0),
        log_maintenance=q.krb + log_factor,
        uptake=year.nmax * jnp.exp(log_factor),
        decomposition=year.decomposition * soil.temperature_factor(now.t20, q.log_rhq10) * share_c,
        available_share=share_n,
        n_input=now.n_input,
        n_loss=now.n_loss,
        rain_share=snow.rain / jnp.maximum(supply, water.SMALLEST_SUPPLY),
        release=water.snow_release(now.tair, memory.tair_before, memory.tair_two_before, site.elevation),
        fastest=jnp.full_like(now.tair, settings.substeps),
        pet_inverse=1.0 / pet,
        bucket=water.bucket(supply, pet, now.days, site),
    )


def rates(pools: Pools, month: Month, parameters: Parameters, site: Site, year: Year) -> Rates:
    """All flows for the pools of this moment, with the limits that keep every pool from becoming negative.

    Immobilisation takes the available nitrogen at most `month.fastest` times a month (the number of sub-steps),
    which keeps a step from taking more than there is; it acts only where the pool turns over faster than that.
    """
    q = parameters
    c_v, labile, available = (jnp.maximum(x, 0.0) for x in (pools.C_V, pools.N_VL, pools.N_A))
    n_per_c = pools.N_VS / jnp.maximum(c_v, SMALLEST_POOL)
    w = jnp.maximum(pools.W, 0.0)
    aet = water.evapotranspiration(w, month.bucket)

    leaf = jnp.clip(month.leaf_slope * aet + month.leaf_offset, month.leaf_floor, 1.0)
    leafiness = vegetation.foliage(c_v, q)
    inside = month.co2 * vegetation.conductance(aet * month.pet_inverse)
    gpp_potential = month.assimilation * leafiness * leaf * vegetation.saturating(inside, q.k_c)
    r_maintenance = c_v * jnp.exp(q.kra * c_v + month.log_maintenance)
    npp_potential = vegetation.net_of_respiration(gpp_potential, r_maintenance)
    litter_c = q.cfall * c_v
    litter_n = vegetation.nitrogen_litter(pools.N_VS, litter_c, q.nfall, year.cn_even)
    resorbed = vegetation.resorption(litter_c, litter_n, n_per_c, year.cn_even, year.cn_res)

    moisture = jnp.clip(w / site.depth_mm + site.wilting_point, 0.001, 1.0)
    reach = soil.nitrogen_in_reach(available * month.available_share, moisture, site.depth_mm)
    saturation = vegetation.saturating(reach, q.k_n)
    rh = month.decomposition * pools.C_S * soil.moisture_factor(moisture)
    soil_n_per_c = jnp.maximum(pools.N_S, SMALLEST_POOL) / jnp.maximum(pools.C_S, SMALLEST_POOL)
    mineralised = soil.mineralisation(rh, soil_n_per_c, year.immobilisation * saturation, q.cnsoil)
    mineralised = jnp.maximum(mineralised, -month.fastest * available)

    capacity = jnp.clip(
        month.uptake * leafiness * saturation, 0.0, jnp.maximum(0.0, available + month.n_input + mineralised)
    )
    growth = vegetation.grow(npp_potential, capacity, labile, n_per_c, (year.cn_even, year.cn_res, q.cnmin))
    stored = vegetation.labile_uptake(growth, labile, pools.N_VS - litter_n, resorbed, q.labncon)
    return Rates(
        gpp_potential=gpp_potential,
        npp_potential=npp_potential,
        npp=growth.npp,
        r_maintenance=r_maintenance,
        r_growth=vegetation.growth_respiration(growth.npp),
        litter_c=litter_c,
        litter_n=litter_n,
        rh=rh,
        mineralised=mineralised,
        uptake_capacity=capacity,
        uptake=growth.structural + stored,
        uptake_structural=growth.structural,
        mobilised=growth.mobilised,
        resorbed=resorbed,
        n_loss=jnp.minimum(month.n_loss, available),
        aet=aet,
        percolation=water.percolation(w, aet, month.bucket),
    )


def tendencies(flows: Rates, pools: Pools, month: Month) -> Pools:
    """Change of every pool per month for these flows; snow has none, because a month changes it in one step."""
    f = flows
    drained_rain = month.rain_share * f.percolation
    drained_melt = f.percolation - drained_rain
    return Pools(
        C_V=f.npp - f.litter_c,
        N_VS=f.uptake_structural - f.litter_n - f.resorbed + f.mobilised,
        N_VL=f.uptake - f.uptake_structural + f.resorbed - f.mobilised,
        C_S=f.litter_c - f.rh,
        N_S=f.litter_n - f.mineralised,
        N_A=month.n_input - f.n_loss + f.mineralised - f.uptake,
        W=month.bucket.supply - f.aet - f.percolation,
        G_r=drained_rain - 0.5 * (pools.G_r + drained_rain),
        G_s=drained_melt - month.release * (pools.G_s + drained_melt),
        SWE=jnp.zeros_like(pools.SWE),
    )
