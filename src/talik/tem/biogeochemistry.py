"""One year of carbon, nitrogen and water of many cells: drivers of twelve months in, monthly fluxes and new pools out.

The path: `initial_pools`, `initial_memory`, then `one_year` again and again. A month is a system of ordinary
differential equations with constant drivers (`constants_of_month`, `rates`, `tendencies`) that a method of
integration carries through.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from talik.tem import soil, vegetation, water
from talik.tem.communities import Parameters
from talik.tem.water import Bucket, Site

Array = jax.Array
_Tree = TypeVar("_Tree")

SMALLEST_POOL = 1e-6
"""g m-2. Keeps the ratios of pools finite where a pool is empty."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Choices of a run; hashable, static under jit.

    substeps : Runge-Kutta steps a month. co2_reference : carbon dioxide of the spin-up in ppm, at which the C:N of
    production is that of the parameters; co2_cn : let that C:N follow carbon dioxide (McGuire et al. 1997).
    leaf_max_cap : hold last year's largest leaf phenology at 1 or less, as TEM 6 does. baseline : reset soil
    nitrogen to the C:N of soil at the end of each year (spin-up only). thawed_layer : only the thawed share of the
    root zone decomposes and gives nitrogen, as in an early TEM 6; needs `Drivers.thaw_depth`.
    """

    substeps: int = 8
    co2_reference: float = 284.32
    co2_cn: bool = True
    leaf_max_cap: bool = False
    baseline: bool = False
    thawed_layer: bool = False


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
    top soil, 0..1; days : (12,), of each month; co2 : ppm, a number, (cell,) or (12, cell); n_input, n_loss :
    nitrogen that comes and goes with air and water, g m-2 month-1; thaw_depth : m, for `Settings.thawed_layer`.
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


class Fluxes(NamedTuple):
    """Monthly totals (12, cell), g m-2 month-1 or mm month-1, and `pools` at the end of each month.

    Carbon: gpp, npp (to the land), r_maintenance, r_growth, rh (to the air), nep = npp - rh (to the land),
    litter_c; *_potential are without limit by nitrogen. Nitrogen: litter_n, mineralised (soil organic to
    available), uptake = uptake_structural + uptake_labile, uptake_capacity, mobilised (labile to structural),
    resorbed (structural to labile), n_input, n_loss, n_baseline (added to soil organic nitrogen in December by
    `Settings.baseline`, may be negative). Water: rain, snowfall, melt, pet, aet, percolation_rain,
    percolation_melt, runoff_rain, runoff_melt. States: leaf (unnormalised phenology) and moisture (m3 m-3, end of
    month).
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


class _Forcing(NamedTuple):
    """The drivers of one month, each (cell,)."""

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


Rhs = Callable[[Pools], Rates]
Integrator = Callable[[Pools, Month, Parameters, Site, Year, Settings], tuple[Pools, Rates]]


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


def initial_memory(parameters: Parameters, drivers: Drivers) -> Memory:
    """Memory to start a spin-up from, as if the year of `drivers` had gone before with AET equal to PET.

    The optimum temperature is that of the month of largest PET; litter has the C:N at which decomposition was set.
    """
    q = parameters
    pet = water.potential_evapotranspiration(
        drivers.tair, drivers.irradiance, jnp.asarray(drivers.days)[:, None]
    )
    one = jnp.ones_like(drivers.tair[0])
    return Memory(
        leaf=q.unleaf12 * one,
        leaf_max=one,
        aet_max=pet.max(axis=0),
        t_opt=_optimum(drivers.tair, pet, q),
        litter_cn=q.lcclnc * one,
        wetness=one,
        tair_before=drivers.tair[11],
        tair_two_before=drivers.tair[10],
        co2=_monthly(drivers.co2, drivers.tair)[11],
    )


def dormant(drivers: Drivers) -> Array:
    """True (cell,) where no month reaches -1 degC or no precipitation falls in the year: TEM runs no plants there.

    `one_year` holds such a cell still: all fluxes 0, pools and memory kept. A spin-up that follows TEM sets its
    pools to 0.
    """
    return (jnp.max(drivers.tair, axis=0) < water.FREEZING) | (jnp.sum(drivers.precip, axis=0) <= 0.0)


@partial(jax.jit, static_argnames=("settings",))
def one_year(
    pools: Pools,
    memory: Memory,
    drivers: Drivers,
    site: Site,
    parameters: Parameters,
    settings: Settings,
) -> tuple[Pools, Memory, Fluxes]:
    """Pools and memory at the end of a year, and its monthly fluxes, by the classical Runge-Kutta method.

    All arrays have cells last; the result has the float type of `pools`. Carbon, nitrogen and water close to
    round-off: the change of each pool is the sum of its fluxes. Source: TEM 4.3 (Raich et al. 1991, McGuire et al.
    1992, 1997, Zhuang et al. 2003), integrated with fixed steps instead of adaptive ones.
    """
    return year_with(runge_kutta, pools, memory, drivers, site, parameters, settings)


def year_with(
    integrate: Integrator,
    pools: Pools,
    memory: Memory,
    drivers: Drivers,
    site: Site,
    parameters: Parameters,
    settings: Settings,
) -> tuple[Pools, Memory, Fluxes]:
    """`one_year` with another method of integration for the months; not compiled here."""
    kind = pools.C_V.dtype
    memory, drivers = _as(memory, kind), _as(drivers, kind)
    site, parameters = _as(site, kind), _as(parameters, kind)
    constants = constants_of_year(memory, site, parameters, settings)
    forcing = _Forcing(*(_monthly(v, drivers.tair) for v in drivers._replace(days=drivers.days[:, None])))

    def month(carry: tuple[Pools, Memory], now: _Forcing) -> tuple[tuple[Pools, Memory], Fluxes]:
        before, past = carry
        after, fluxes = _one_month(integrate, before, past, now, site, parameters, constants, settings)
        past = past._replace(
            leaf=fluxes.leaf, tair_before=now.tair, tair_two_before=past.tair_before, co2=now.co2
        )
        return (after, past), fluxes

    (after, past), fluxes = jax.lax.scan(month, (pools, memory), forcing)
    if settings.baseline:
        added = after.C_S / parameters.cnsoil - after.N_S
        after = after._replace(N_S=after.N_S + added)
        fluxes = fluxes._replace(
            n_baseline=fluxes.n_baseline.at[11].set(added),
            pools=fluxes.pools._replace(N_S=fluxes.pools.N_S.at[11].set(after.N_S)),
        )
    past = _remember(past, drivers, fluxes, parameters, settings)
    still = dormant(drivers)
    return (
        _where(still, pools, after),
        _where(still, memory, past),
        _where(still, _nothing(fluxes, pools), fluxes),
    )


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
    now: _Forcing,
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


def runge_kutta(
    pools: Pools, month: Month, parameters: Parameters, site: Site, year: Year, settings: Settings
) -> tuple[Pools, Rates]:
    """Pools after a month and its total flows: `settings.substeps` steps of the classical method of order 4.

    The flows are summed with the weights of the pools, so that pools and flows close.
    """
    step = 1.0 / settings.substeps
    kind = pools.C_V.dtype
    reach = jnp.asarray([0.5 * step, 0.5 * step, step, 0.0], kind)
    weight = jnp.asarray([step / 6.0, step / 3.0, step / 3.0, step / 6.0], kind)
    nothing = Rates(*(jnp.zeros_like(pools.C_V) for _ in Rates._fields))

    def stage(carry: _Stage, now: tuple[Array, Array]) -> tuple[_Stage, None]:
        to, share = now
        flow = rates(carry.at, month, parameters, site, year)
        change = tendencies(flow, carry.at, month)
        return carry._replace(
            at=_along(carry.start, change, to),
            after=_along(carry.after, change, share),
            total=_along(carry.total, flow, share),
        ), None

    def advance(_: int, carry: tuple[Pools, Rates]) -> tuple[Pools, Rates]:
        start, total = carry
        end, _none = jax.lax.scan(stage, _Stage(start, start, start, total), (reach, weight))
        return end.after, end.total

    after, total = jax.lax.fori_loop(0, settings.substeps, advance, (pools, nothing))
    return after, total


class _Stage(NamedTuple):
    """Inside a step: the pools at its start, at the stage, and with the weighted changes so far; flows so far."""

    start: Pools
    at: Pools
    after: Pools
    total: Rates


def _along(start: _Tree, change: _Tree, step: Array) -> _Tree:
    moved: _Tree = jax.tree.map(lambda x, d: x + step * d, start, change)
    return moved


def _one_month(
    integrate: Integrator,
    pools: Pools,
    memory: Memory,
    now: _Forcing,
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
        t_opt=_optimum(drivers.tair, fluxes.leaf, parameters),
        litter_cn=jnp.where(some, ratio, memory.litter_cn),
        wetness=jnp.sum(fluxes.aet, axis=0) / jnp.sum(fluxes.pet, axis=0),
    )


def _optimum(tair: Array, by: Array, parameters: Parameters) -> Array:
    """Air temperature of the month in which `by` is largest, within the limits of the community."""
    month = jnp.argmax(by, axis=0)
    found = jnp.take_along_axis(tair, month[None], axis=0)[0]
    return jnp.clip(found, parameters.t_opt_min, parameters.t_opt_max)


def _monthly(value: Array | float, like: Array) -> Array:
    """A number, (cell,), (12,) for days, or (12, cell) as (12, cell)."""
    value = jnp.asarray(value, like.dtype)
    return jnp.broadcast_to(value, like.shape)


def _as(tree: _Tree, kind: jnp.dtype) -> _Tree:
    cast: _Tree = jax.tree.map(lambda x: jnp.asarray(x, kind), tree)
    return cast


def _where(condition: Array, one: _Tree, other: _Tree) -> _Tree:
    chosen: _Tree = jax.tree.map(lambda a, b: jnp.where(condition, a, b), one, other)
    return chosen


def _nothing(fluxes: Fluxes, pools: Pools) -> Fluxes:
    """No fluxes for twelve months, and pools that stay."""
    still = jax.tree.map(lambda f, p: jnp.broadcast_to(p, f.shape), fluxes.pools, pools)
    return jax.tree.map(jnp.zeros_like, fluxes)._replace(pools=still)  # type: ignore[no-any-return]
