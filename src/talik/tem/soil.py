"""Decomposition of soil organic matter, and what it gives to or takes from the available nitrogen."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from talik.tem.communities import Parameters

Array = jax.Array

MOISTURE_RANGE = (0.0, 0.5, 1.0)
"""Volumetric moisture at which decomposition stops, is fastest, and stops again (TEM 4.3)."""


def moisture_factor(moisture: Array) -> Array:
    """Response of decomposition to volumetric moisture (m3 m-3), 0..1, floored at 0.

    The curve of TEM 4.3, (M-M0)(M-M1) / [(M-M0)(M-M1) - (M-Mopt)^2], is this parabola when the optimum lies
    half way between its ends; `MOISTURE_RANGE`.
    """
    return jnp.maximum(0.0, 4.0 * moisture * (1.0 - moisture))


def temperature_factor(t20: Array, log_rhq10: Array) -> Array:
    """Response of decomposition to the monthly soil temperature at 20 cm (degC); 1 at 0 degC, no cut-off below it."""
    return jnp.exp(log_rhq10 * t20)


def decomposition_rate(parameters: Parameters, p: Array, litter_cn: Array) -> Array:
    """Decomposition rate at 0 degC in month-1 (McGuire et al. 1997).

    p : silt + clay, > 0. litter_cn : C:N of last year's litter, g g-1, > 0; at `lcclnc` it has no effect.
    """
    q = parameters
    return (q.kda / p + q.kdb) * (litter_cn / q.lcclnc) ** -0.784


def immobilisation_capacity(parameters: Parameters, p: Array) -> Array:
    """Nitrogen that microbes immobilise per carbon respired when nitrogen is plenty, g N (g C)-1.

    NUPA/p + NUPB times the polynomial in the share of fresh carbon that becomes soil organic matter (TEM 4.3).
    """
    s = parameters.propftos
    fresh = 0.26299 + 1.14757 * s - 0.42956 * s * s
    return (parameters.nupa / p + parameters.nupb) * fresh


def nitrogen_in_reach(available: Array, moisture: Array, depth_mm: Array) -> Array:
    """Nitrogen that reaches a root or microbe by diffusion, g mm-1: N_A K_s / SM, with K_s = M^3 and SM = M depth.

    available : g N m-2. moisture : M, volumetric, taken as at most 1. depth_mm : root zone in mm.
    """
    return available * moisture * moisture / depth_mm


def mineralisation(rh: Array, n_per_c: Array, immobilised: Array, cn_soil: Array) -> Array:
    """Net nitrogen mineralisation in g N m-2 month-1, negative where microbes take more than they give (TEM 4.3).

    rh : decomposition, g C m-2 month-1. n_per_c : N_S / C_S, > 0. immobilised : nitrogen per carbon respired that
    microbes take, g g-1. cn_soil : C:N of soil organic matter to which the net flow drives the soil.
    """
    net = (n_per_c - immobilised) * rh
    richness = n_per_c * cn_soil
    return net * jnp.where(net >= 0.0, richness, 1.0 / richness)


def thawed_shares(thaw_depth: Array, rooting_depth: Array) -> tuple[Array, Array]:
    """Shares of soil organic matter and of available nitrogen that are thawed, 0..1, as an early TEM 6 took them.

    With r = thaw depth / rooting depth (m) up to 1: 2 r / (1 + r) and r.
    """
    r = jnp.minimum(thaw_depth / rooting_depth, 1.0)
    return 2.0 * r / (1.0 + r), r
