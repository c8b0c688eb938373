"""Permafrost of a run: parameters of columns, and what is frozen in the reference year."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from talik.tem.permafrost.layers import Parameters, Permafrost, begin, carbon_layers
from talik.tem.permafrost.stock import Stock, carbon_to_nitrogen
from talik.tem.settings import PermafrostCarbon
from talik.tem.thermal.freezing import Layers
from talik.tem.thermal.grid import CARBON_THICKNESS_M
from talik.tem.thermal.materials import Ground, organic_for
from talik.tem.water import Site

Array = jax.Array


def permafrost_parameters(
    communities: Sequence[str], site: Site, ground: Ground | Layers, wanted: PermafrostCarbon, thaws: bool
) -> Parameters:
    """Parameters of columns, fields as `Parameters` says; thaws : whether thaw exposes what is frozen."""
    full = jnp.ones_like(site.porosity)
    capacity = (site.wilting_point + 0.13) / site.porosity
    if isinstance(ground, Layers):  # legacy layers state no pores: those of the root zone stand for them
        porosity = jnp.broadcast_to(site.porosity, (CARBON_THICKNESS_M.size, *site.porosity.shape))
        wetness = organic_for(communities).wetness
        deep = wetness * 0.95 + (1.0 - wetness) * capacity
    else:
        porosity = carbon_layers(
            ground.fibric * 0.95 + ground.humic * 0.80 + ground.mineral * ground.porosity
        )
        deep = ground.deep_saturation
    if wanted.deep_wetness is not None:
        deep = wanted.deep_wetness * 0.95 + (1.0 - wanted.deep_wetness) * capacity
    return Parameters(
        attenuation_m=wanted.attenuation_m * full,
        inorganic_share=wanted.inorganic_share * full,
        porosity=porosity,
        deep_saturation=deep,
        thaws=float(thaws) * full,
    )


def freeze(stock: Stock, alt: np.ndarray, cn: tuple[float, float] | None = None) -> Permafrost:
    """What is frozen under an active layer `alt` (column,), m; cn : instead of the nitrogen of the stock."""
    nitrogen = stock.nitrogen if cn is None else stock.carbon / carbon_to_nitrogen(cn)[:, None]
    begun: Permafrost = jax.jit(begin)(
        jnp.asarray(stock.carbon), jnp.asarray(nitrogen), jnp.asarray(alt, jnp.float64)
    )
    return begun
