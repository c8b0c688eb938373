"""Statistics of a set of members as plain numbers: limits, boxes, two groups against each other, outliers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Rule = Literal["ratio", "robust"]

LOWER, UPPER = 2.5, 97.5
"""Percentiles of the members that are the limits of an ensemble."""
WHISKER = 1.5
"""Whiskers reach to the last member within so many quartile ranges of the box."""
RATIO = 3.0
"""A member outside 1/RATIO..RATIO of the median is flagged (rule ``ratio``)."""
ROBUST = 3.5
"""A member whose modified z-score exceeds it is flagged (rule ``robust``; Iglewicz and Hoaglin 1993)."""
_NORMAL_MAD = 0.6745
"""Median absolute deviation of the standard normal distribution."""
_ROUNDING = 1e-12
"""Members that differ by less, as a share of the largest, are equal: other units would round them otherwise."""
FEWEST = 4
"""With fewer members none can be told to be an outlier."""


@dataclass(frozen=True, slots=True)
class Box:
    """Quartiles (linear, as numpy), whisker ends, and the places of members beyond them."""

    q1: float
    median: float
    q3: float
    low: float
    high: float
    outside: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Contrast:
    """Two-sided Mann-Whitney test of two groups, NaN where one is empty.

    `u` counts pairs in which the first group is larger (ties half). `effect` is the rank-biserial correlation
    2 u/(n m) - 1: 1 where every first is larger, -1 where none is. `shift` is the Hodges-Lehmann estimate, the
    median of all differences first minus second. `least_p` is the smallest p that groups of this size can reach.
    """

    n_first: int
    n_second: int
    u: float
    p: float
    effect: float
    shift: float
    least_p: float
    method: str


def limits(values: Float64) -> tuple[float, float]:
    """The 2.5th and 97.5th percentile of members, interpolated (linear). With fewer than 40 members they lie between
    the outermost two on each side; with one they are that one."""
    low, high = np.percentile(values, [LOWER, UPPER])
    return float(low), float(high)


def box(values: Float64) -> Box:
    """Box statistics of members (n,), n >= 1; whiskers end at the last member within 1.5 quartile ranges of the box."""
    q1, median, q3 = (float(q) for q in np.percentile(values, [25.0, 50.0, 75.0]))
    reach = WHISKER * (q3 - q1)
    within = (values >= q1 - reach) & (values <= q3 + reach)
    inner = values[within]
    return Box(
        q1, median, q3, float(inner.min()), float(inner.max()), tuple(map(int, np.flatnonzero(~within)))
    )


def mann_whitney(first: Float64, second: Float64) -> Contrast:
    """Whether members of one group tend to be larger than those of the other.

    The p-value is exact where no two values tie, else the normal approximation with the variance for ties and
    continuity correction. Source: Mann and Whitney (1947); effect: Kerby (2014).
    """
    from scipy.stats import mannwhitneyu

    n, m = len(first), len(second)
    if not n or not m:
        return Contrast(n, m, math.nan, math.nan, math.nan, math.nan, math.nan, "none: a group is empty")
    both = np.concatenate([first, second])
    method: Literal["exact", "asymptotic"] = "exact" if len(np.unique(both)) == n + m else "asymptotic"
    if np.ptp(both) == 0.0:
        return Contrast(n, m, n * m / 2, 1.0, 0.0, 0.0, 2.0 / math.comb(n + m, n), "all members are equal")
    found = mannwhitneyu(first, second, alternative="two-sided", method=method)
    u = float(found.statistic)
    shift = float(np.median(first[:, None] - second[None, :]))
    least = min(1.0, 2.0 / math.comb(n + m, n))
    return Contrast(n, m, u, float(found.pvalue), 2.0 * u / (n * m) - 1.0, shift, least, method)


def outliers(values: Float64, rule: Rule) -> Float64:
    """How far out each member is, in units of what is allowed: above 1 it is an outlier; NaN below 4 members.

    ``ratio`` : for quantities that are positive by nature; |log(value/median)| / log 3, infinite where value or median
    is not positive. ``robust`` : for quantities of either sign; modified z-score 0.6745 |value - median| / MAD over
    3.5, infinite off a median that more than half of the members share.
    """
    if len(values) < FEWEST:
        return np.full(len(values), np.nan)
    middle = np.median(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        if rule == "ratio":
            if middle <= 0.0:
                return np.where(values == middle, 0.0, np.inf)
            ratio = np.where(values > 0.0, values / middle, 0.0)
            return np.asarray(np.abs(np.log(ratio)) / math.log(RATIO))
        off = np.abs(values - middle)
        off[off <= _ROUNDING * np.abs(values).max()] = 0.0
        spread = np.median(off)
        return np.where(off == 0.0, 0.0, _NORMAL_MAD * off / spread / ROBUST)
