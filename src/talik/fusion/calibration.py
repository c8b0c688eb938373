"""Simulation-based calibration: ranks of true values among posterior draws, and the band they ought to stay in."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, kstwo

from talik.errors import InputError
from talik.rng import named_rng

Array = NDArray[np.float64]

SIMULATIONS = 10_000
POINTS = 100


def ranks(truth: Array, draws: Array, seed: int = 0) -> Array:
    """Share of draws below the truth (...), spread evenly over ties; draws : (..., draw).

    If the truth and the draws come from one distribution the result is uniform on 0..1 whatever the number of draws: it
    is placed at random within its step (Talts et al. 2018, with the step filled).
    """
    if truth.shape != draws.shape[:-1]:
        raise InputError(
            f"ranks: truth {truth.shape}, draws {draws.shape}; expected the draws along a last axis."
        )
    if not (np.isfinite(truth).all() and np.isfinite(draws).all()):
        raise InputError(
            "ranks: truth or draws that are not finite. Leave failed replicates out, and count them."
        )
    below = (draws < truth[..., None]).sum(axis=-1)
    ties = (draws == truth[..., None]).sum(axis=-1)
    place = named_rng(seed, "ranks").random(truth.shape)
    return np.asarray((below + place * (ties + 1)) / (draws.shape[-1] + 1))


def ecdf(values: Array, points: Array) -> Array:
    """Share of values (n,) at or below each point."""
    return np.searchsorted(np.sort(values), points, side="right") / values.size


@lru_cache(maxsize=16)
def ecdf_band(
    n: int, *, probability: float = 0.95, points: int = POINTS, simulations: int = SIMULATIONS
) -> tuple[Array, Array, Array]:
    """Points in 0..1, and the lower and upper end of the band that holds the whole ECDF of n uniform values.

    The band takes, at every point, the same central probability of the binomial count, made as small as it can be with
    the whole curve inside in `probability` of simulated samples (Säilynoja, Bürkner and Vehtari 2022, Stat. Comput. 32,
    32). The result does not depend on a seed.
    """
    if n < 2 or not 0 < probability < 1:
        raise InputError(
            f"ECDF band: {n} values, probability {probability:g}; expected two or more, and 0..1."
        )
    at = np.arange(1, points) / points
    rng = named_rng(0, "ecdf band")
    worst = np.empty(simulations)
    tails = np.minimum(
        binom.cdf(np.arange(n + 1)[:, None], n, at), binom.sf(np.arange(n + 1)[:, None] - 1, n, at)
    )
    for i in range(simulations):
        counts = np.searchsorted(np.sort(rng.random(n)), at, side="right")
        worst[i] = tails[counts, np.arange(at.size)].min()
    tail = float(np.quantile(worst, 1.0 - probability))
    low = binom.ppf(tail, n, at) / n
    high = binom.isf(tail, n, at) / n
    band = at, np.asarray(low), np.asarray(high)
    for ends in band:
        ends.setflags(write=False)  # all callers share them
    return band


def inside_band(values: Array, *, probability: float = 0.95) -> bool:
    """Whether the ECDF of ranks (n,) stays within the simultaneous band."""
    at, low, high = ecdf_band(values.size, probability=probability)
    found = ecdf(values, at)
    return bool(((found >= low - 1e-12) & (found <= high + 1e-12)).all())


def same(
    x: Array, weights: Array, worth: float, other: Array, other_weights: Array, other_worth: float
) -> float:
    """p of Kolmogorov's and Smirnov's test that two weighted samples (n,), (m,) are of one distribution.

    worth, other_worth : independent draws that each is worth.
    """
    at = np.sort(np.concatenate([x[weights > 0], other[other_weights > 0]]))

    def share(values: Array, weights: Array) -> Array:
        order = np.argsort(values)
        total = np.concatenate([[0.0], np.cumsum(weights[order])]) / weights.sum()
        return np.asarray(total[np.searchsorted(values[order], at, side="right")])

    away = np.abs(share(x, weights) - share(other, other_weights)).max()
    return float(kstwo.sf(away, max(1, round(worth * other_worth / (worth + other_worth)))))
