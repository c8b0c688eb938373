"""Log-likelihood of the observations of a block of pixels, by stream.

Gaussian, independent between streams, without normalising constants, as in the Edinburgh branch of CARDAMOM
(Smallman et al. 2021). Batch axes are (pixel, chain).
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp

from talik.fusion.observations import NbeStream, Observations, Stream
from talik.fusion.parameters import P
from talik.fusion.trajectory import Trajectory

Array = jax.Array
Scaling = Literal["none", "n", "root", "log"]
"""Divisor of each stream's sum of squares: 1, n, sqrt(n), 1 + ln(n). All but "none" temper; for warm-up only."""

STREAMS = ("lai", "wood", "biomass", "nbe", "nee", "gpp")


def equivalents(theta: Array, trajectory: Trajectory) -> dict[str, Array]:
    """What the model says of each stream (time, ...), in the units and signs of `Observations`.

    LAI, wood and biomass (labile, foliage, root and wood together) are means of the start and the end of a step.
    """
    pools, flux = trajectory.pools, trajectory.fluxes
    middle = (pools[:-1] + pools[1:]) / 2
    return {
        "lai": middle[:, 1] / theta[P.LCMA],
        "wood": middle[:, 3],
        "biomass": middle[:, :4].sum(axis=1),
        "nbe": flux.nbe,
        "nee": flux.nee,
        "gpp": flux.gpp,
    }


def log_likelihoods(
    theta: Array, trajectory: Trajectory, observations: Observations, scaling: Scaling = "none"
) -> dict[str, Array]:
    """Log-likelihood (pixel, chain) of each stream that there is; 0 for a pixel without observations of it.

    theta : (28, pixel, chain).
    """
    modelled = equivalents(theta, trajectory)
    out = {}
    for name in STREAMS:
        observed: Stream | NbeStream | None = getattr(observations, name)
        if observed is None:
            continue
        if isinstance(observed, NbeStream):
            squares, n = _nbe_squares(modelled[name], observed), jnp.asarray(observed.n)
        else:
            squares, n = squared_misfits(modelled[name], observed).sum(axis=0), observed.seen.sum(axis=0)
        out[name] = -0.5 * squares / _divisor(n, scaling)[:, None]
    return out


def squared_misfits(modelled: Array, observed: Stream) -> Array:
    """Squared misfits in units of their sd, 0 where nothing was observed; a chain axis is added to the stream."""
    value, sd = jnp.asarray(observed.value)[..., None], jnp.asarray(observed.sd)[..., None]
    misfit = jnp.log(modelled) - jnp.log(value) if observed.log else modelled - value
    return jnp.where(jnp.asarray(observed.seen)[..., None], misfit / sd, 0.0) ** 2


def _nbe_squares(modelled: Array, observed: NbeStream) -> Array:
    """Sum over years of |whitening r|^2 (pixel, chain)."""
    n_years = observed.value.shape[0]
    after = 12 * n_years - observed.before - modelled.shape[0]
    padded = jnp.pad(modelled, ((observed.before, after), (0, 0), (0, 0)))
    residual = padded.reshape(n_years, 12, *modelled.shape[1:]) - jnp.asarray(observed.value)[..., None]
    white = jnp.einsum("yijp,yjpc->yipc", jnp.asarray(observed.whitening), residual)
    return (white**2).sum(axis=(0, 1))


def _divisor(n: Array, scaling: Scaling) -> Array:
    count = jnp.maximum(n, 1).astype(float)
    match scaling:
        case "none":
            return jnp.ones_like(count)
        case "n":
            return count
        case "root":
            return jnp.sqrt(count)
        case "log":
            return 1 + jnp.log(count)
