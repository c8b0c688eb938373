"""Photosynthesis, plant respiration, litter, nitrogen uptake and how carbon and nitrogen limit production together."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from talik.tem.communities import Parameters

Array = jax.Array

SMALLEST_UPTAKE = 1e-6
"""g N m-2 month-1. Keeps the C:N of unlimited production finite where no nitrogen can be taken up."""


class Growth(NamedTuple):
    """Production and the nitrogen it moves, g m-2 month-1, each (cell,).

    npp : net primary production, g C. uptake : nitrogen taken from the soil; structural : the part of it that goes
    straight into tissue, the rest into the labile store. mobilised : from the labile store into tissue.
    """

    npp: Array
    uptake: Array
    structural: Array
    mobilised: Array


def two_branches(p: Array, cut: Array, low: tuple[Array, Array], fine: tuple[Array, Array]) -> Array:
    """slope * p + offset, with the (slope, offset) of `low` for p <= cut and of `fine` above."""
    return jnp.where(p <= cut, low[0] * p + low[1], fine[0] * p + fine[1])


def maximum_assimilation(parameters: Parameters, p: Array) -> Array:
    """C_max, g C m-2 month-1, of texture p = silt + clay (McGuire et al. 1992)."""
    q = parameters
    return two_branches(p, q.cmax_cut, (q.cmax_slope, q.cmax_offset), (q.cmax_slope_fine, q.cmax_offset_fine))


def maximum_uptake(parameters: Parameters, p: Array) -> Array:
    """N_max, g N m-2 month-1, of texture p = silt + clay (McGuire et al. 1992)."""
    q = parameters
    return two_branches(p, q.nmax_cut, (q.nmax_slope, q.nmax_offset), (q.nmax_slope_fine, q.nmax_offset_fine))


def temperature_factor(tair: Array, t_opt: Array, parameters: Parameters) -> Array:
    """Response of photosynthesis to air temperature (degC), 0..1 (Raich et al. 1991).

    1 between t_opt and t_opt_max; 0 at or beyond t_min and t_max.
    """
    q = parameters
    inside = (tair > q.t_min) & (tair < q.t_max)
    t = jnp.where(inside, tair, t_opt)
    product = (t - q.t_min) * (t - q.t_max)
    off = t - jnp.clip(t, t_opt, q.t_opt_max)
    return jnp.where(inside, product / (product - off * off), 0.0)


def conductance(wetness: Array) -> Array:
    """Relative canopy conductance 0..1 from wetness = AET/PET (0..1); continuous, 0.19 at 0.1 (Raich et al. 1991)."""
    dry = jnp.maximum(0.0, (2.9 - 10.0 * wetness) * wetness)
    return jnp.where(wetness <= 0.1, dry, 0.1 + 0.9 * wetness)


def saturating(value: Array, half: Array) -> Array:
    """value / (half + value): Michaelis and Menten's response to carbon dioxide, light or nitrogen, 0..1."""
    return value / (half + value)


def leaf_phenology(aet: Array, aet_max: Array, before: Array, parameters: Parameters) -> Array:
    """Unnormalised leaf phenology of a month (Raich et al. 1991).

    aet : of this month, and aet_max : of the wettest month of the year before, mm month-1. before : last month's
    value.
    """
    q = parameters
    return jnp.maximum(0.5 * q.leaf_min, q.leaf_a * aet / aet_max + q.leaf_b * before + q.leaf_c)


def foliage(c_v: Array, parameters: Parameters) -> Array:
    """Canopy development 0..1 for vegetation carbon in g C m-2: 1/(1 + m exp(c C_V)), c < 0 (McGuire et al. 1992)."""
    return 1.0 / (1.0 + parameters.foliage_m * jnp.exp(parameters.foliage_c * c_v))


def leaf_area_index(c_v: Array, leaf: Array, parameters: Parameters) -> Array:
    """Leaf area index (m2 m-2) for vegetation carbon (g C m-2) and relative phenology `leaf` (0..1)."""
    return parameters.sla * parameters.leaf_mass_max * foliage(c_v, parameters) * leaf


def log_respiration_factor(tair: Array) -> Array:
    """ln of the response of plant respiration to air temperature (degC), 0 at 0 degC (TEM 4.3).

    The factor is q(T)^(T/10) with a cubic q(T) fitted to measured Q10; q is held at its value of -50 and 50 degC
    beyond them, because the cubic turns negative above 56 degC.
    """
    t = jnp.clip(tair, -50.0, 50.0)
    q10 = 2.35665 + t * (-0.053077 + t * (0.0023842 - 0.0000411 * t))
    return 0.1 * tair * jnp.log(q10)


def net_of_respiration(gpp: Array, maintenance: Array) -> Array:
    """Net production (g C m-2 month-1) of gross production: growth costs a fifth of what maintenance leaves."""
    left = gpp - maintenance
    return jnp.where(left > 0.0, 0.8 * left, left)


def growth_respiration(npp: Array) -> Array:
    """Growth respiration, g C m-2 month-1: a quarter of net production, which is a fifth of what maintenance left."""
    return 0.25 * jnp.maximum(npp, 0.0)


def nitrogen_litter(n_vs: Array, litter_c: Array, nfall: Array, cn_even: Array) -> Array:
    """Nitrogen in litter, g N m-2 month-1: nfall * n_vs, but not more than litter carbon at the C:N of production."""
    return jnp.minimum(nfall * n_vs, litter_c / cn_even)


def resorption(litter_c: Array, litter_n: Array, n_per_c: Array, cn_even: Array, cn_res: Array) -> Array:
    """Nitrogen drawn back from tissue before it falls, g N m-2 month-1.

    n_per_c : N_VS / C_V. cn_even, cn_res : C:N of production and of vegetation at which resorption is complete.
    """
    return jnp.maximum(0.0, litter_c / cn_even - litter_n) * n_per_c * cn_res


def grow(
    npp_potential: Array,
    capacity: Array,
    labile: Array,
    n_per_c: Array,
    cn: tuple[Array, Array, Array],
) -> Growth:
    """Production and nitrogen use under the limits of carbon and nitrogen (Raich et al. 1991, McGuire et al. 1992).

    npp_potential : net production without nitrogen limit, g C m-2 month-1. capacity : uptake capacity, g N m-2
    month-1. labile : N_VL, g N m-2. n_per_c : N_VS / C_V. cn : C:N of production, of vegetation (resorption), and
    the smallest one, g g-1. Labile nitrogen is not yet capped here: `labile_uptake`. Where more carbon is at hand
    than nitrogen at the C:N of production, nitrogen sets production and all of it is used; else carbon does, and
    uptake is down-regulated along a parabola that is 1 at that C:N and 0 at the smallest.
    """
    cn_even, cn_res, cn_min = cn
    offered = npp_potential / (jnp.maximum(capacity, SMALLEST_UPTAKE) + labile)
    limited = offered > cn_even
    npp = jnp.where(limited, cn_even * (capacity + labile), npp_potential)
    ratio = jnp.minimum(offered, cn_even)
    parabola = (ratio - cn_min) * (2.0 * cn_even - cn_min - ratio) / (cn_even - cn_min) ** 2
    uptake = capacity * jnp.maximum(0.0, parabola)
    need = npp / cn_even
    mobilised = jnp.where(npp < 0.0, need * n_per_c * cn_res, jnp.minimum(labile, need))
    structural = jnp.clip(need - labile, 0.0, uptake)
    return Growth(npp, uptake, structural, mobilised)


def labile_uptake(growth: Growth, labile: Array, tissue: Array, resorbed: Array, room: Array) -> Array:
    """Uptake into the labile store, g N m-2 month-1: what is left of `growth.uptake` as far as the store has room.

    labile, tissue : N_VL and N_VS after the month's other flows but without resorption and mobilisation, g N m-2;
    resorbed : g N m-2 month-1. room : largest labile nitrogen per nitrogen in tissue.
    """
    moved = resorbed - growth.mobilised
    full = room * (tissue + growth.structural - moved) - (labile + moved)
    return jnp.clip(full, 0.0, growth.uptake - growth.structural)
