"""What an experiment gives for each year: annual means, pools at its end, permafrost by depth."""

from __future__ import annotations

from functools import partial
from types import MappingProxyType

import jax
import jax.numpy as jnp
import numpy as np

from talik.flux.table import FLUXES
from talik.tem import model
from talik.tem.model import State
from talik.tem.output import Variable
from talik.tem.permafrost.layers import NO_PERMAFROST_M, Month
from talik.tem.pools import Fluxes
from talik.tem.thermal import year as soil_heat
from talik.tem.thermal.grid import CARBON_THICKNESS_M, bounds, interpolation
from talik.tem.thermal.year import SoilClimate

Array = jax.Array

_FLUXES = {n: Variable(FLUXES[n].units, FLUXES[n].long_name) for n in ("gpp", "npp", "ra", "rh", "nep")}
_RATE = "kg m-2 s-1"
VARIABLES = MappingProxyType(
    {
        **_FLUXES,
        "rhPermafrost": Variable(
            _RATE, "carbon respired in ground that was frozen in the reference year; part of rh"
        ),
        "cVeg": Variable("kg m-2", "carbon in vegetation, end of year", "vegetation_carbon_content"),
        "cSoilActive": Variable("kg m-2", "soil carbon of the reference year's active layer, end of year"),
        "cSoilPermafrost": Variable("kg m-2", "soil carbon below it, to 6 m, frozen or thawed, end of year"),
        "thawedCarbon": Variable("kg m-2", "carbon thawed since the reference year, decomposed or not"),
        "nVeg": Variable(
            "kg m-2", "nitrogen in vegetation, end of year", "vegetation_mass_content_of_nitrogen"
        ),
        "nSoil": Variable("kg m-2", "organic nitrogen of the reference year's active layer, end of year"),
        "nMineral": Variable("kg m-2", "inorganic nitrogen in reach of plants, end of year"),
        "thawedNitrogen": Variable("kg m-2", "nitrogen thawed since the reference year"),
        "fNup": Variable(_RATE, "nitrogen taken up by plants"),
        "fNnetmin": Variable(_RATE, "net nitrogen mineralisation of the reference year's active layer"),
        "fNnetminPermafrost": Variable(_RATE, "net nitrogen mineralisation below it"),
        "fNupThaw": Variable(_RATE, "nitrogen taken up by plants that came from thawed ground"),
        "activeLayerThickness": Variable(
            "m", "active-layer thickness of the part of the cell with permafrost"
        ),
        "permafrostFraction": Variable("1", "share of the cell whose active layer is thinner than 10 m"),
        "tsl20": Variable("degC", "annual mean soil temperature at 20 cm"),
        "evspsbl": Variable(_RATE, "evapotranspiration", "water_evapotranspiration_flux"),
        "mrro": Variable(_RATE, "runoff", "runoff_flux"),
    }
)
"""Annual variables of an experiment."""

_BOTH = ("gpp", "npp", "ra", "rh", "rhPermafrost", "nep", "fNup", "evspsbl", "mrro")
MONTHLY = MappingProxyType(
    {
        **{name: VARIABLES[name] for name in _BOTH},
        "thawDepth": Variable("m", "largest thaw depth of the month"),
        "tsl20": Variable("degC", "mean soil temperature at 20 cm"),
    }
)
"""Variables that can be had by month."""

INTERVALS_M = np.arange(7.0)
"""Edges of the depth intervals for which permafrost is summed."""
BY_DEPTH = MappingProxyType(
    {
        "thawedCarbonByDepth": Variable("kg m-2", "carbon thawed since the reference year"),
        "rhPermafrostByDepth": Variable("kg m-2", "of that, carbon respired"),
        "thawedNitrogenByDepth": Variable("kg m-2", "nitrogen thawed since the reference year"),
        "nToRootsByDepth": Variable("kg m-2", "inorganic nitrogen brought to roots since the reference year"),
    }
)
"""Sums since the reference year by depth interval."""

_AT_20_CM = interpolation(0.2)[0]
_G_TO_KG = 1e-3


@partial(jax.jit, static_argnames=("names",))
def monthly(fluxes: Fluxes, soil: SoilClimate, seconds: Array, names: tuple[str, ...]) -> Array:
    """(name, 12, cell): variables by month; seconds : (12,) of the months."""
    f = fluxes
    rate = _G_TO_KG / seconds[:, None]
    deep = jnp.zeros_like(f.rh) if f.permafrost is None else f.permafrost.rh
    found = {
        "gpp": f.gpp * rate,
        "npp": f.npp * rate,
        "ra": (f.r_maintenance + f.r_growth) * rate,
        "rh": (f.rh + deep) * rate,
        "rhPermafrost": deep * rate,
        "nep": (f.nep - deep) * rate,
        "fNup": f.uptake * rate,
        "evspsbl": f.aet / seconds[:, None],
        "mrro": (f.runoff_rain + f.runoff_melt) / seconds[:, None],
        "thawDepth": soil_heat.thaw_depth(soil.liquid),
        "tsl20": jnp.einsum("l,mlc->mc", jnp.asarray(_AT_20_CM, f.rh.dtype), soil.tsoil),
    }
    return jnp.stack([found[name] for name in names])


@partial(jax.jit, static_argnames=("names",))
def annual(
    before: State,
    after: State,
    fluxes: Fluxes,
    soil: SoilClimate,
    sums: Month | None,
    seconds: Array,
    names: tuple[str, ...],
) -> tuple[Array, Array]:
    """(name, cell) annual variables, those without permafrost as 0, and the residuals (4, cell) of `model.closure`.

    sums : flows by layer since the reference year; seconds : (12,) of the year's months. Where there is no permafrost
    activeLayerThickness is that of the thawed column, which the caller leaves out.
    """
    f, pools = fluxes, after.pools
    rate = _G_TO_KG / jnp.sum(seconds)
    none = jnp.zeros_like(pools.C_V)
    deep_rh = deep_mineralised = from_thaw = deep_c = thawed_c = thawed_n = none
    if f.permafrost is not None and after.permafrost is not None and sums is not None:
        p = f.permafrost
        deep_rh, deep_mineralised = p.rh.sum(axis=0), p.layers.mineralised.sum(axis=0)
        delivered = jnp.maximum(p.layers.delivered, 0.0).sum(axis=0)
        near = jnp.maximum(f.mineralised, 0.0).sum(axis=0)
        some = delivered + near > 0.0
        from_thaw = f.uptake.sum(axis=0) * jnp.where(
            some, delivered / jnp.where(some, delivered + near, 1.0), 0.0
        )
        deep_c = (after.permafrost.frozen_c + after.permafrost.thawed_c).sum(axis=0)
        thawed_c, thawed_n = sums.exposed_c.sum(axis=0), sums.exposed_n.sum(axis=0)
    alt = soil_heat.thaw_depth(soil.liquid.max(axis=0))
    rh = f.rh.sum(axis=0) + deep_rh
    mean_20_cm = jnp.einsum("l,lc->c", jnp.asarray(_AT_20_CM, none.dtype), soil.tsoil.mean(axis=0))
    found = {
        "gpp": f.gpp.sum(axis=0) * rate,
        "npp": f.npp.sum(axis=0) * rate,
        "ra": (f.r_maintenance + f.r_growth).sum(axis=0) * rate,
        "rh": rh * rate,
        "nep": (f.npp.sum(axis=0) - rh) * rate,
        "rhPermafrost": deep_rh * rate,
        "cVeg": pools.C_V * _G_TO_KG,
        "cSoilActive": pools.C_S * _G_TO_KG,
        "cSoilPermafrost": deep_c * _G_TO_KG,
        "thawedCarbon": thawed_c * _G_TO_KG,
        "nVeg": (pools.N_VS + pools.N_VL) * _G_TO_KG,
        "nSoil": pools.N_S * _G_TO_KG,
        "nMineral": pools.N_A * _G_TO_KG,
        "thawedNitrogen": thawed_n * _G_TO_KG,
        "fNup": f.uptake.sum(axis=0) * rate,
        "fNnetmin": f.mineralised.sum(axis=0) * rate,
        "fNnetminPermafrost": deep_mineralised * rate,
        "fNupThaw": from_thaw * rate,
        "activeLayerThickness": alt,
        "permafrostFraction": (alt < NO_PERMAFROST_M).astype(alt.dtype),
        "tsl20": mean_20_cm,
        "evspsbl": f.aet.sum(axis=0) / jnp.sum(seconds),
        "mrro": (f.runoff_rain + f.runoff_melt).sum(axis=0) / jnp.sum(seconds),
    }
    return jnp.stack([found[name] for name in names]), model.closure(before, after, fluxes, soil)


@jax.jit
def by_depth(sums: Month) -> Array:
    """(variable of `BY_DEPTH`, interval, cell), kg m-2, from flows by layer."""
    inside = jnp.asarray(_in_intervals())[..., None]
    flows = (sums.exposed_c, sums.decomposed, sums.exposed_n, sums.delivered)
    # no matrix product: the order of its sums depends on how many cells there are
    return jnp.stack([_G_TO_KG * jnp.sum(inside * flow, axis=1) for flow in flows])


def _in_intervals() -> np.ndarray:
    """(6, 25), 1 where a layer lies in an interval: every edge of an interval is one of the layers."""
    top = np.round(bounds(CARBON_THICKNESS_M)[:-1], 9)
    return ((top >= INTERVALS_M[:-1, None]) & (top < INTERVALS_M[1:, None])).astype(float)
