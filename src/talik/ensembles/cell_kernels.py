"""Statistics over members in every cell, on plain arrays, in an order of additions that no shape changes.

NumPy sums an axis in an order that depends on shape and layout; every sum over time or members is therefore a loop
here, so that one cell gives the same bytes alone, in a block, or in the whole grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Ints = NDArray[np.int64]


def add_steps(
    values: NDArray[np.floating], factor: Float64, month: Ints, annual: Float64, months: Float64
) -> None:
    """Add rates (time, ...) times `factor` (time,) to the sums `annual` (...) and `months` (12, ...), in place.

    month : 0..11 of each step, -1 for a step longer than a month, -2 for one that does not count. A NaN stays NaN.
    """
    for k, m in enumerate(month):
        if m == -2:
            continue
        amount = values[k].astype(np.float64) * factor[k]
        annual += amount
        if m >= 0:
            months[m] += amount


@dataclass
class Running:
    """Mean and spread of what is pushed, one array at a time (Welford 1962, Technometrics 4, 419).

    `n` (...) counts; `mean`, `squares` (12, ...): mean, and sum of squared deviations from it.
    """

    n: Ints
    mean: Float64
    squares: Float64

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> Running:
        """Nothing pushed yet; shape : (12, ...)."""
        return cls(np.zeros(shape[1:], np.int64), np.zeros(shape), np.zeros(shape))

    def push(self, values: Float64) -> None:
        """Take in one member, (12, ...); a cell with NaN in any month does not count."""
        here = np.ones(values.shape[1:], bool)
        for row in values:
            here &= ~np.isnan(row)
        self.n += here
        count = np.maximum(self.n, 1)
        for k, row in enumerate(values):
            away = np.where(here, row - self.mean[k], 0.0)
            self.mean[k] += away / count
            self.squares[k] += away * np.where(here, row - self.mean[k], 0.0)

    def results(self, least: int) -> tuple[Float64, Float64]:
        """Mean and SD (n - 1), NaN in cells with fewer than `least` members (SD: fewer than 2)."""
        mean = np.where(self.n >= max(least, 1), self.mean, np.nan)
        sd = np.sqrt(self.squares / np.maximum(self.n - 1, 1))
        return mean, np.where(self.n >= max(least, 2), sd, np.nan)


@dataclass(frozen=True)
class Spread:
    """Over members: `n`, `mean`, `sd`, shares `below`, `within` and `above` (...), `quantiles` (quantile, ...)."""

    n: Ints
    mean: Float64
    sd: Float64
    quantiles: Float64
    below: Float64
    within: Float64
    above: Float64


def spread(values: Float64, quantiles: Sequence[float], band: float, least: int) -> Spread:
    """Statistics of (member, ...) over the members that are not NaN; sorts `values` in place.

    SD by n - 1. Quantiles as in Hyndman and Fan 1996 (Am. Stat. 50, 361), type 7: linear between order statistics,
    the default of R and NumPy. `below`, `within`, `above` : share of the members under -band, in -band..band and over
    band. All are NaN where fewer than `least` members have data (SD: fewer than 2); `n` says how many have.
    """
    values.sort(axis=0)  # NaN last
    shape = values.shape[1:]
    n, low, high = (np.zeros(shape, np.int64) for _ in range(3))
    total = np.zeros(shape)
    for row in values:
        n += ~np.isnan(row)
        low += row < -band
        high += row > band
        total += np.where(np.isnan(row), 0.0, row)
    count = np.maximum(n, 1)
    mean = total / count
    squares = np.zeros(shape)
    for row in values:
        squares += np.where(np.isnan(row), 0.0, row - mean) ** 2
    sd = np.sqrt(squares / np.maximum(n - 1, 1))
    enough = n >= max(least, 1)
    found = np.stack([_quantile(values, q, count) for q in quantiles]) if quantiles else np.empty((0, *shape))
    share = {"below": low / count, "within": (n - low - high) / count, "above": high / count}
    return Spread(
        n=n,
        mean=np.where(enough, mean, np.nan),
        sd=np.where(enough & (n >= 2), sd, np.nan),
        quantiles=np.where(enough, found, np.nan),
        **{k: np.where(enough, v, np.nan) for k, v in share.items()},
    )


def _quantile(ordered: Float64, q: float, count: Ints) -> Float64:
    place = q * (count - 1)
    below = np.floor(place).astype(np.int64)
    above = np.minimum(below + 1, count - 1)
    a, b = (np.take_along_axis(ordered, k[None], axis=0)[0] for k in (below, above))
    out: Float64 = a + (b - a) * (place - below)
    return out
