"""DALEC2 (CDEA): six carbon pools of a pixel, step by step (Bloom and Williams 2015; Smallman and Williams 2019).

A gradient is limited by memory, not by arithmetic: what depends on parameters alone or on drivers alone is made
before the loop over time, the rest inside it and again on the way back, where only pools (and the stomata of ACM2,
which are a search) are kept of each step.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from talik.errors import InputError
from talik.fusion import acm1, acm2, phenology
from talik.fusion.disturbance import SCENARIOS, Burn, Pools, burn, burn_shares, burnt_area, cut_forest
from talik.fusion.drivers import Drivers
from talik.fusion.parameters import INITIAL, N_PARAMETERS, P
from talik.fusion.phenology import Array, Length, Season, step_share
from talik.fusion.switches import Switches
from talik.fusion.trajectory import Fluxes, Trajectory


class Allocation(NamedTuple):
    """Share of GPP by destination (...); together 1."""

    ra: Array
    foliage: Array
    labile: Array
    root: Array
    wood: Array


class _Plant(NamedTuple):
    """What a step needs of the parameters (...)."""

    part: Allocation
    onset: Season
    fall: Season
    wood: Array
    root: Array
    rh_litter: Array
    litter_to_som: Array
    rh_som: Array
    warming: Array
    efficiency: Array
    thinness: Array
    burns: Burn


class _Moment(NamedTuple):
    """What a step needs of the drivers (time, ...)."""

    sky: Any
    sine: jax.Array
    cosine: jax.Array
    temperature: Array
    length: Length
    loss: Array
    area: Array


def allocation(theta: Array) -> Allocation:
    """Ra, then foliage, labile and root of what is left after each, and wood the rest, from parameters (28, ...)."""
    ra = theta[P.F_A]
    foliage = (1.0 - ra) * theta[P.F_F]
    labile = (1.0 - ra - foliage) * theta[P.F_L]
    root = (1.0 - ra - foliage - labile) * theta[P.F_R]
    return Allocation(ra, foliage, labile, root, 1.0 - ra - foliage - labile - root)


def simulate(theta: Array, drivers: Drivers, switches: Switches) -> Trajectory:
    """Pools and fluxes of every step, differentiable in `theta`.

    theta : parameters (28, ...) in the order of `P`.     drivers : (time, ...), steps of whole days (1-31; else
    NaN comes back).     switches : static.     Batch axes broadcast. Biology comes first in a step, then forest loss,
    then fire, each on the pools that the one before left (Bloom and Williams 2015; Smallman et al. 2021).
    InputError: theta has another number of rows.
    """
    theta = jnp.asarray(theta, float)
    if theta.shape[:1] != (N_PARAMETERS,):  # JAX would take the last row for those that are missing
        raise InputError(
            f"simulate: theta has shape {theta.shape}; expected {N_PARAMETERS} rows, those of "
            "talik.fusion.parameters.P in order, then batch axes."
        )
    scenario = SCENARIOS[drivers.scenario]
    day = drivers.mid_day if switches.phenology_day == "middle" else drivers.doy_end
    moments = _Moment(
        (acm1 if switches.photosynthesis == "acm1" else acm2).sky(drivers, switches.winter_stop),
        *phenology.sines(day),
        drivers.mean_temperature,
        phenology.length_of(drivers.dt),
        drivers.loss,
        burnt_area(drivers.burned, drivers.loss, scenario, switches),
    )
    step = partial(
        _step,
        _plant(theta, switches),
        switches=switches,
        scenario=drivers.scenario,
        losses=drivers.losses,
        fires=drivers.fires or (drivers.losses and scenario.burns),
    )
    kept = jax.checkpoint_policies.save_only_these_names(acm2.FOUND)
    shape = jnp.broadcast_shapes(theta.shape[1:], jnp.shape(drivers.latitude))
    start = Pools(*(jnp.broadcast_to(theta[row], shape) for row in INITIAL))
    end, (pools, fluxes) = jax.lax.scan(jax.checkpoint(step, prevent_cse=False, policy=kept), start, moments)
    every = [jnp.concatenate([pool, last[None]]) for pool, last in zip(pools, end, strict=True)]
    by_pool = (jnp.stack(flux, axis=1) if isinstance(flux, tuple) else flux for flux in fluxes)
    return Trajectory(jnp.stack(every, axis=1), Fluxes(*by_pool))


def _plant(theta: jax.Array, switches: Switches) -> _Plant:
    return _Plant(
        part=allocation(theta),
        onset=phenology.onset(theta),
        fall=phenology.fall(theta),
        wood=theta[P.K_W],
        root=theta[P.K_R],
        rh_litter=theta[P.K_L],
        litter_to_som=theta[P.K_LS],
        rh_som=theta[P.K_S],
        warming=theta[P.THETA],
        efficiency=theta[P.C_EFF],
        thinness=1.0 / theta[P.LCMA],
        burns=burn_shares(theta, switches),
    )


def _step(
    plant: _Plant, pools: Pools, now: _Moment, *, switches: Switches, scenario: int, losses: bool, fires: bool
) -> tuple[Pools, tuple[Pools, Fluxes]]:
    """Pools at the end of a step; its pools at the start and its fluxes."""
    lai = pools.foliage * plant.thinness
    if switches.photosynthesis == "acm1":
        gpp = acm1.gpp(now.sky, plant.efficiency, lai)
    else:
        gpp = acm2.gpp(now.sky, plant.efficiency, lai, pools.root, switches.stomata)
    days, part = now.length.days, plant.part
    to_foliage, to_labile, to_root, to_wood = (gpp * share for share in part[1:])

    def leaving(pool: jax.Array, rate: Array) -> jax.Array:
        return pool * step_share(rate, now.length)

    warmth = jnp.exp(plant.warming * now.temperature)
    release = leaving(pools.labile, plant.onset.rate(now.sine, now.cosine))
    fall = leaving(pools.foliage, plant.fall.rate(now.sine, now.cosine))
    wood, root = leaving(pools.wood, plant.wood), leaving(pools.root, plant.root)
    rh_litter = leaving(pools.litter, plant.rh_litter * warmth)
    litter_to_som = leaving(pools.litter, plant.litter_to_som * warmth)
    rh_som = leaving(pools.som, plant.rh_som * warmth)
    left = Pools(
        pools.labile + to_labile * days - release,
        pools.foliage + to_foliage * days + release - fall,
        pools.root + to_root * days - root,
        pools.wood + to_wood * days - wood,
        pools.litter + fall + root - rh_litter - litter_to_som,
        pools.som + wood + litter_to_som - rh_som,
    )
    emission: Any = None
    mortality = cut = residue = som_loss = emission
    if losses:
        left, felled = cut_forest(left, now.loss, SCENARIOS[scenario])
        cut, residue, som_loss = jax.tree.map(lambda carbon: carbon / days, felled)
    if fires:
        left, burnt, dead = burn(left, now.area, plant.burns)
        emission, mortality = jax.tree.map(lambda carbon: carbon / days, (burnt, dead))
    fluxes = Fluxes(
        gpp=gpp,
        ra=gpp * part.ra,
        to_foliage=to_foliage,
        to_labile=to_labile,
        to_root=to_root,
        to_wood=to_wood,
        release=release / days,
        fall=fall / days,
        wood_turnover=wood / days,
        root_turnover=root / days,
        rh_litter=rh_litter / days,
        litter_to_som=litter_to_som / days,
        rh_som=rh_som / days,
        emission=emission,
        mortality=mortality,
        cut=cut,
        residue=residue,
        som_loss=som_loss,
    )
    return left, (pools, fluxes)
