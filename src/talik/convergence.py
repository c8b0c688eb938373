"""Whether draws can be trusted: R-hat and effective sample sizes of chains, tails of importance weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin  # type: ignore[import-untyped]
from scipy.special import ndtri
from scipy.stats import rankdata

Array = NDArray[np.float64]

SMALLEST_TAIL = 5
"""A generalised Pareto distribution is not fitted to fewer weights."""
TRUSTED_K = 0.7
"""Weighted means fail beyond this Pareto shape of the weights (Vehtari et al. 2024)."""


def rhat(draws: ArrayLike) -> Array:
    """Rank-normalised split R-hat (..., n) of draws (..., chain, draw, n): the larger of bulk and folded.

    1 where chains agree; NaN or infinite where a coordinate never moves within its chains. Vehtari et al. (2021).
    """
    return _each(_rhat, draws)


def bulk_ess(draws: ArrayLike) -> Array:
    """Effective sample size (..., n) of the ranks of draws (..., chain, draw, n), chains split.

    NaN if nothing moves. Vehtari et al. (2021).
    """
    return _each(lambda one: _ess(_normal_scores(one)), draws)


def tail_ess(draws: ArrayLike) -> Array:
    """The smaller of the effective sample sizes of being below the 5 % and the 95 % quantile (..., n).

    Draws are (..., chain, draw, n). Vehtari et al. (2021).
    """
    return _each(_tail_ess, draws)


def kish_share(log_weights: ArrayLike) -> Array:
    """Effective share 0-1 of weights exp(log_weights) (..., member): (sum w)^2 / (members sum w^2) (Kish, 1965).

    NaN where all weights are 0 or one is NaN.
    """
    logs = np.asarray(log_weights, np.float64)
    highest = logs.max(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        weights = np.exp(logs - highest)
    return np.asarray(weights.sum(axis=-1) ** 2 / np.square(weights).sum(axis=-1) / logs.shape[-1])


def pareto_k(log_weights: ArrayLike) -> Array:
    """Shape of the tail of importance weights exp(log_weights) (..., member); weighted means fail above
    `TRUSTED_K`.

    The generalised Pareto distribution is fitted to the largest min(members/5, 3 sqrt(members)) weights as Zhang and
    Stephens (2009) say, with the weak prior of Vehtari et al. (2024) that draws k to 0.5. Minus infinity where these
    weights are all equal: there is no tail. NaN where a weight is NaN, all are 0, there is none, or the tail has under
    `SMALLEST_TAIL` weights.
    """
    logs = np.asarray(log_weights, np.float64)
    if not logs.shape[-1]:
        return np.full(logs.shape[:-1], np.nan)
    found = [_pareto_k(one) for one in logs.reshape(-1, logs.shape[-1])]
    return np.array(found).reshape(logs.shape[:-1])


def _each(of_one: Callable[[Array], Array], draws: ArrayLike) -> Array:
    """`of_one`, (chain, draw, n) to (n,), of each item of the batch in turn: ranks need several copies in memory."""
    found = np.asarray(draws, np.float64)
    batch = found.shape[:-3]
    each = [of_one(one) for one in found.reshape(-1, *found.shape[-3:])]
    return np.array(each).reshape(*batch, found.shape[-1])


def _rhat(draws: Array) -> Array:
    folded = np.abs(draws - np.median(draws, axis=(0, 1)))
    with np.errstate(invalid="ignore", divide="ignore"):
        bulk, spread = (
            np.asarray(split_gelman_rubin(_normal_scores(a)), np.float64) for a in (draws, folded)
        )
    return np.asarray(np.fmax(bulk, spread))


def _tail_ess(draws: Array) -> Array:
    ends = np.quantile(draws, [0.05, 0.95], axis=(0, 1))
    return np.minimum(*(_ess((draws <= end).astype(np.float64)) for end in ends))


def _ess(draws: Array) -> Array:
    """By Geyer's initial monotone sequence over the halves of all chains (chain, draw, n)."""
    half = draws.shape[1] // 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(effective_sample_size(np.concatenate([draws[:, :half], draws[:, -half:]])))


def _normal_scores(draws: Array) -> Array:
    """Draws (chain, draw, n) replaced by the normal quantiles of their ranks (Blom, 1958)."""
    flat = np.ascontiguousarray(draws.reshape(-1, draws.shape[-1]).T)
    score = ndtri((rankdata(flat, axis=1) - 0.375) / (flat.shape[1] + 0.25))
    return np.asarray(score.T.reshape(draws.shape))


def _pareto_k(logs: Array) -> float:
    tail = int(min(0.2 * len(logs), np.ceil(3 * np.sqrt(len(logs)))))
    highest = logs.max()
    if tail < SMALLEST_TAIL or not np.isfinite(highest):
        return float("nan")
    weights = np.sort(np.exp(logs - highest))
    beyond = weights[-tail:] - weights[-tail - 1]
    if np.ptp(weights[-tail:]) == 0:
        return float("-inf")
    beyond = beyond[beyond > 0]
    shape = _zhang_stephens(beyond)
    return float((shape * len(beyond) + 5) / (len(beyond) + 10))


def _zhang_stephens(beyond: Array) -> float:
    """Shape k of a generalised Pareto distribution from sorted positive excesses, (1 + k x/s)^(-1/k) left at x.

    The posterior mean of b = -k/s under a prior that the data set, over a grid of 30 + sqrt(n) points.
    """
    n = len(beyond)
    points = 30 + int(np.sqrt(n))
    quartile = beyond[int(n / 4 + 0.5) - 1]
    b = 1 / beyond[-1] + (1 - np.sqrt(points / (np.arange(points) + 0.5))) / (3 * quartile)
    k = np.mean(np.log1p(-b[:, None] * beyond), axis=1)
    profile = n * (np.log(-b / k) - k - 1)
    weight = np.exp(profile - profile.max())
    best = np.sum(b * weight) / weight.sum()
    return float(np.mean(np.log1p(-best * beyond)))
