"""Frozen layers that thaw, and the decomposition and nitrogen of what has thawed, month by month."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from talik.tem import soil, vegetation
from talik.tem.communities import Parameters as Plants
from talik.tem.thermal.grid import CARBON_THICKNESS_M, SOIL_THICKNESS_M, bounds, midpoints
from talik.tem.water import Site

Array = jax.Array

LAYERS = CARBON_THICKNESS_M.size
_EDGES = bounds(CARBON_THICKNESS_M)
_TOP, _BOTTOM = _EDGES[:-1, None], _EDGES[1:, None]
_MIDDLE = midpoints(CARBON_THICKNESS_M)[:, None]
_IN_FIRST = int(np.searchsorted(np.cumsum(SOIL_THICKNESS_M), CARBON_THICKNESS_M[0] - 1e-9)) + 1
NO_PERMAFROST_M = 10.0
"""Ground whose active layer reaches this depth is no permafrost (Liu et al. 2024)."""
SMALLEST = 1e-9
"""g m-2. Keeps the ratio of pools finite where nothing has thawed."""


class Permafrost(NamedTuple):
    """Pools below the active layer of the reference year, g m-2 by carbon layer (25, cell), never negative.

    frozen_c, frozen_n : still frozen since the reference year; thawed_c, thawed_n : organic, thawed since;
    mineral_n : inorganic below the roots, out of reach of plants. thawed_from, thawed_to : (cell,) active-layer
    thickness of the reference year and deepest thaw since, m.
    """

    frozen_c: Array
    frozen_n: Array
    thawed_c: Array
    thawed_n: Array
    mineral_n: Array
    thawed_from: Array
    thawed_to: Array


class Parameters(NamedTuple):
    """What is constant in time, each (cell,) unless said otherwise.

    attenuation_m : depth over which decomposition falls to 1/e (Koven et al. 2013); inorganic_share : of nitrogen that
    thaws; porosity (25, cell), m3 m-3; deep_saturation : share of the pores below the roots that is full of water;
    thaws : 1 where thaw exposes what was frozen, 0 where permafrost is held as it is; in_reach : share of the inorganic
    nitrogen above the rooting depth that plants can reach.
    """

    attenuation_m: Array
    inorganic_share: Array
    porosity: Array
    deep_saturation: Array
    thaws: Array
    in_reach: Array


class Soil(NamedTuple):
    """What soil heat gives: tsoil (12, 25, cell), monthly means, degC; thaw_depth (12, cell), the largest of the month,
    and alt (12, cell), that of the whole year in every month, m."""

    tsoil: Array
    thaw_depth: Array
    alt: Array


class Below(NamedTuple):
    """Everything that a year of permafrost starts from."""

    pools: Permafrost
    soil: Soil
    parameters: Parameters


class Rates(NamedTuple):
    """Rates of the active layer that hold below it too, (cell,): decomposition at 0 degC, month-1, and nitrogen that
    microbes take up per carbon respired where there is plenty, g g-1."""

    decomposition: Array
    immobilisation: Array


class Month(NamedTuple):
    """Flows of a month by layer (25, cell), g m-2.

    exposed_c, exposed_n : what thawed; decomposed : carbon respired; mineralised : organic nitrogen that became
    inorganic, net; delivered : inorganic nitrogen that came within reach of plants, negative where microbes took it.
    """

    exposed_c: Array
    exposed_n: Array
    decomposed: Array
    mineralised: Array
    delivered: Array


class Fluxes(NamedTuple):
    """A year of permafrost, g m-2: carbon respired, rh, and nitrogen brought to the roots by month (12, cell); the
    year's sums by layer; and the pools at its end."""

    rh: Array
    delivered: Array
    layers: Month
    pools: Permafrost


def year_of(months: Month, pools: Permafrost) -> Fluxes:
    """`Fluxes` from the flows of twelve months (12, 25, cell) and the pools after them."""
    rh, delivered = months.decomposed.sum(axis=1), months.delivered.sum(axis=1)
    return Fluxes(rh, delivered, Month(*(flow.sum(axis=0) for flow in months)), pools)


def carbon_layers(tsoil: Array) -> Array:
    """Temperature of the carbon layers (..., 25, cell) from that of the thermal layers (..., 42, cell), degC."""
    # several thermal layers make up the first carbon layer, the others are the same
    share = jnp.asarray(SOIL_THICKNESS_M[:_IN_FIRST] / CARBON_THICKNESS_M[0], tsoil.dtype)
    first = jnp.einsum("l,...lc->...c", share, tsoil[..., :_IN_FIRST, :])
    others = tsoil[..., _IN_FIRST : _IN_FIRST + LAYERS - 1, :]
    return jnp.concatenate([first[..., None, :], others], axis=-2)


def one_month(
    pools: Permafrost,
    available: Array,
    moisture: Array,
    now: Soil,
    rates: Rates,
    site: Site,
    plants: Plants,
    parameters: Parameters,
    refreeze_stop: bool = False,
) -> tuple[Permafrost, Month]:
    """The pools after a month of exposure, then decomposition; and what flowed (Liu et al. 2024, Eq. 1).

    available : inorganic nitrogen of the root zone, g m-2 (cell,), which immobilisation does not exceed. moisture : of
    the root zone, m3 m-3. now : `Soil` of one month, without its first axis. refreeze_stop : what lies below this
    year's active layer does not decompose; else only its temperature slows it.
    """
    pools, exposed_c, exposed_n = _expose(pools, now.thaw_depth, parameters)
    upper = jnp.clip(pools.thawed_from, _TOP, _BOTTOM)
    lower = jnp.clip(pools.thawed_to, _TOP, _BOTTOM)
    rooted = parameters.in_reach * _share_above(site.rooting_depth, upper, lower)
    wet = layer_moisture(moisture, site, parameters)
    rate = rates.decomposition * soil.moisture_factor(wet)
    rate = rate * soil.temperature_factor(now.tsoil, plants.log_rhq10)
    rate = rate * jnp.exp(-_MIDDLE / parameters.attenuation_m)
    if refreeze_stop:
        rate = rate * _share_above(now.alt, upper, lower)
    decomposed = -pools.thawed_c * jnp.expm1(-rate)

    inorganic = parameters.inorganic_share * exposed_n
    organic = pools.thawed_n + exposed_n - inorganic
    in_roots = soil.nitrogen_in_reach(available, moisture, site.depth_mm)
    below = soil.nitrogen_in_reach(pools.mineral_n, wet, jnp.asarray(1000.0 * (_BOTTOM - _TOP)))
    reach = jnp.where(site.rooting_depth > _MIDDLE, in_roots, below)
    taken = rates.immobilisation * vegetation.saturating(reach, plants.k_n)
    some = pools.thawed_c > SMALLEST
    n_per_c = jnp.where(some, organic / jnp.where(some, pools.thawed_c, 1.0), 1.0 / plants.cnsoil)
    net = soil.mineralisation(decomposed, jnp.maximum(n_per_c, SMALLEST), taken, plants.cnsoil)
    net = jnp.where(some, jnp.minimum(net, organic), 0.0)
    to_roots, deep = net * rooted, net * (1.0 - rooted)
    deep = jnp.maximum(deep, -pools.mineral_n)
    wanted = jnp.sum(jnp.maximum(-to_roots, 0.0), axis=0)
    enough = jnp.minimum(1.0, available / jnp.maximum(wanted, SMALLEST))
    to_roots = jnp.where(to_roots < 0.0, to_roots * enough, to_roots)
    delivered = to_roots + inorganic * rooted
    after = pools._replace(
        thawed_c=pools.thawed_c - decomposed,
        thawed_n=organic - to_roots - deep,
        mineral_n=pools.mineral_n + deep + inorganic * (1.0 - rooted),
    )
    return after, Month(exposed_c, exposed_n, decomposed, to_roots + deep, delivered)


def layer_moisture(moisture: Array, site: Site, parameters: Parameters) -> Array:
    """Water, liquid and frozen, of the carbon layers, m3 m-3 (25, cell), from that of the root zone (cell,).

    The pores of layers whose centre lies above the rooting depth are as full as those of the root zone; below it they
    are at `deep_saturation`.
    """
    full = jnp.clip(moisture / site.porosity, 0.0, 1.0)
    return parameters.porosity * jnp.where(site.rooting_depth > _MIDDLE, full, parameters.deep_saturation)


def _expose(pools: Permafrost, thaw_depth: Array, parameters: Parameters) -> tuple[Permafrost, Array, Array]:
    """Pools with what lies above the deepest thaw moved out of the frozen ones; its carbon is added to the thawed pool,
    its nitrogen is left to the caller. And both, (25, cell)."""
    deeper = jnp.where(parameters.thaws > 0.0, jnp.maximum(pools.thawed_to, thaw_depth), pools.thawed_to)
    was, left = _below(pools.thawed_to), _below(deeper)
    share = jnp.where(was > left, (was - left) / jnp.where(was > 0.0, was, 1.0), 0.0)
    carbon, nitrogen = pools.frozen_c * share, pools.frozen_n * share
    moved = pools._replace(
        frozen_c=pools.frozen_c - carbon,
        frozen_n=pools.frozen_n - nitrogen,
        thawed_c=pools.thawed_c + carbon,
        thawed_to=deeper,
    )
    return moved, carbon, nitrogen


def _below(depth: Array) -> Array:
    """Thickness of the part of each layer that lies below a depth (cell,), m (25, cell)."""
    return jnp.clip(_BOTTOM - jnp.maximum(depth, _TOP), 0.0, None)


def _share_above(depth: Array, upper: Array, lower: Array) -> Array:
    """Share of the ground between `upper` and `lower` (25, cell) above a depth (cell,); 1 if there is none."""
    whole = lower - upper
    above = jnp.clip(jnp.minimum(lower, depth) - upper, 0.0, None)
    return jnp.where(whole > 0.0, above / jnp.where(whole > 0.0, whole, 1.0), 1.0)
