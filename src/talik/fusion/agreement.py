"""Whether two samplers found one posterior: quantiles with Monte Carlo errors, distances of draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from talik.convergence import bulk_ess, kish_share
from talik.errors import InputError
from talik.rng import named_rng

Array = NDArray[np.float64]

LEVELS = (0.025, 0.25, 0.5, 0.75, 0.975)
TOLERATED = 0.1
"""Difference of two quantiles that is accepted beside Monte Carlo error, in standard deviations of the posterior."""
ERRORS = 3.0
"""Monte Carlo errors of the difference that are accepted."""


class Quantiles(NamedTuple):
    """Quantiles (level,) of one quantity, their Monte Carlo standard errors, and the sd of the draws."""

    values: Array
    errors: Array
    sd: float


def quantiles(draws: Array, levels: Sequence[float] = LEVELS, log_weights: Array | None = None) -> Quantiles:
    """Quantiles of chains (chain, draw), weighted with exp(log_weights) of the same shape if given.

    The error is half the span of the quantiles one binomial standard deviation either side, with the effective number
    of draws of being below the quantile (Vehtari et al. 2021), times the Kish share of the weights. Infinite where the
    chains never cross the quantile.
    """
    logs = np.zeros(draws.shape) if log_weights is None else log_weights
    if logs.shape != draws.shape or draws.ndim != 2:
        raise InputError(
            f"quantiles: draws {draws.shape}, log weights {logs.shape}; expected (chain, draw) of both."
        )
    flat, weights = draws.ravel(), np.exp(logs.ravel() - logs.max())
    order = np.argsort(flat)
    ranked, share = flat[order], np.cumsum(weights[order]) / weights.sum()
    kish = float(kish_share(logs.ravel()))

    def at(levels: Array) -> Array:
        where = np.searchsorted(share, np.clip(levels, 0.0, 1.0))
        return np.asarray(ranked[np.minimum(where, ranked.size - 1)])

    wanted = np.asarray(levels, float)
    values = at(wanted)
    below = (draws[..., None] <= values).astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        size = bulk_ess(below) * kish
        step = np.sqrt(wanted * (1.0 - wanted) / size)
    known = np.isfinite(step)
    step = np.where(known, step, 0.0)
    errors = np.where(known, (at(wanted + step) - at(wanted - step)) / 2.0, np.inf)
    mean = np.average(flat, weights=weights)
    return Quantiles(values, errors, float(np.sqrt(np.average((flat - mean) ** 2, weights=weights))))


def excess(one: Quantiles, other: Quantiles) -> float:
    """Largest difference of quantiles over what is accepted: `TOLERATED` sd of `one` and `ERRORS` of both.

    1 or less: they agree.
    """
    allowed = TOLERATED * one.sd + ERRORS * np.hypot(one.errors, other.errors)
    gap = np.abs(one.values - other.values)
    with np.errstate(invalid="ignore"):
        return float(np.max(np.where(gap > 0, gap / allowed, 0.0)))


def sliced_wasserstein(one: Array, other: Array, directions: int = 128, seed: int = 0) -> float:
    """Mean first Wasserstein distance of two clouds (draw, n), of one size, along random directions.

    Both are divided by the standard deviations of all draws together first (Bonneel et al. 2015).
    """
    if one.shape != other.shape or one.ndim != 2:
        raise InputError(f"sliced Wasserstein: clouds {one.shape} and {other.shape}; expected one shape.")
    spread = np.concatenate([one, other]).std(axis=0)
    if not (spread > 0).all():
        raise InputError(
            f"sliced Wasserstein: column {int(np.argmin(spread > 0))} never varies. Leave it out."
        )
    drawn = named_rng(seed, "directions").standard_normal((one.shape[1], directions))
    drawn /= np.linalg.norm(drawn, axis=0)
    along = [np.sort(cloud / spread @ drawn, axis=0) for cloud in (one, other)]
    return float(np.abs(along[0] - along[1]).mean())


def spread_ratio(one: Sequence[Array], other: Sequence[Array], seed: int = 0) -> float:
    """Mean sliced Wasserstein distance between replicates of two samplers, over that within them.

    one, other : clouds (draw, n) of each replicate, two or more. What is within is the mean over both samplers.
    """
    if min(len(one), len(other)) < 2:
        raise InputError("spread ratio: one replicate of a sampler; expected two or more of each.")
    between = [sliced_wasserstein(a, b, seed=seed) for a in one for b in other]
    within = [
        np.mean([sliced_wasserstein(a, b, seed=seed) for i, a in enumerate(of) for b in of[:i]])
        for of in (one, other)
    ]
    return float(np.mean(between) / np.mean(within))
