"""Distributions that reproduce a mean and both 95 % limits, for drawing a post.

A post gives three numbers, so a family needs three free parameters; none of them may be bent to fit a simpler
shape, for that silently shifts the mean. In order of preference:

* normal, where the limits are symmetric about the mean;
* two-piece normal (Wallis 2014, Statist. Sci. 29, 106): two half-normals with a common mode;
* three-term metalog (Keelin 2016, Decision Analysis 13, 243) for stronger skew.

With r = (mean - low) / (high - low), the two-piece normal reaches 0.348 <= r <= 0.652 and the metalog
0.218 <= r <= 0.782. Beyond that the "mean" is almost certainly a median or a misprint, and drawing is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr, ndtri

from talik.errors import PostError

Array = npt.NDArray[np.float64]

TAIL = 0.025
Z = float(ndtri(1 - TAIL))
LOGIT = math.log((1 - TAIL) / TAIL)
_METALOG_LIMIT = (
    1.66711  # |a3| / a2 above which the three-term metalog's density turns negative (Keelin 2016)
)


class Distribution(Protocol):
    """A univariate distribution given by its transform of a standard normal variate."""

    @property
    def family(self) -> str:
        """Name for reports."""

    def from_normal(self, z: Array) -> Array:
        """Values at standard normal scores `z` (any shape); monotone, so ranks are kept."""


@dataclass(frozen=True, slots=True)
class Normal:
    """Normal with `mean` and standard deviation `sd` (0 for an exactly known number)."""

    mean: float
    sd: float
    family: str = "normal"

    def from_normal(self, z: Array) -> Array:
        """See Distribution."""
        return self.mean + self.sd * z


@dataclass(frozen=True, slots=True)
class TwoPieceNormal:
    """Half-normals of scale `left` and `right` joined at `mode`; mean = mode + sqrt(2/pi) (right - left)."""

    mode: float
    left: float
    right: float
    family: str = "two-piece normal"

    def from_normal(self, z: Array) -> Array:
        """See Distribution. The mode has probability left / (left + right)."""
        total = self.left + self.right
        is_left = z <= ndtri(self.left / total)
        side = np.where(is_left, self.left, self.right)
        # each side from its own tail, so that both tails keep full precision
        tail = ndtr(np.where(is_left, z, -z)) * (total / (2 * side))
        scores = ndtri(np.minimum(tail, 0.5))
        return np.asarray(self.mode + np.where(is_left, side, -side) * scores)


@dataclass(frozen=True, slots=True)
class Metalog:
    """M(p) = a1 + a2 logit(p) + a3 (p - 1/2) logit(p); mean = a1 + a3 / 2."""

    a1: float
    a2: float
    a3: float
    family: str = "metalog"

    def from_normal(self, z: Array) -> Array:
        """See Distribution."""
        logit = log_ndtr(z) - log_ndtr(-z)
        return self.a1 + (self.a2 + self.a3 * (ndtr(z) - 0.5)) * logit


def fit(mean: float, low: float, high: float, name: str = "post") -> Distribution:
    """The distribution with this mean and these 2.5 % and 97.5 % quantiles.

    Raises PostError where no family can hold all three (`name` stands in the message).
    """
    width = high - low
    if width == 0:
        return Normal(mean, 0.0)
    ratio = (mean - low) / width
    if abs(ratio - 0.5) < 1e-9:
        return Normal(mean, width / (2 * Z))
    share = _solve_share(ratio)
    if share is not None:
        q_low, q_high, centre = _unit_two_piece(share)
        scale = width / (q_high - q_low)
        left, right = (1 - share) * scale, share * scale
        return TwoPieceNormal(mean - centre * scale, left, right)
    a2 = width / (2 * LOGIT)
    # limits: a1 -/+ a2 LOGIT + (0.5 - TAIL) LOGIT a3;  mean: a1 + a3 / 2
    a3 = ((low + high) / 2 - mean) / ((0.5 - TAIL) * LOGIT - 0.5)
    if abs(a3) < _METALOG_LIMIT * a2:
        return Metalog(mean - a3 / 2, a2, a3)
    raise PostError(
        f"{name}: no distribution used here has mean {mean:g} and 95 % limits ({low:g}, {high:g}): the mean sits "
        f"at {100 * ratio:.0f} % of the interval (21.8-78.2 % can be drawn). It is probably a median or a "
        "misprint; use the linear combination, or give the mean."
    )


def _unit_two_piece(share: float) -> tuple[float, float, float]:
    """2.5 % and 97.5 % quantiles and mean of the two-piece normal with mode 0, left 1 - share, right share."""
    dist = TwoPieceNormal(0.0, 1 - share, share)
    low, high = dist.from_normal(np.array([-Z, Z]))
    return float(low), float(high), math.sqrt(2 / math.pi) * (2 * share - 1)


def _solve_share(ratio: float) -> float | None:
    """right / (left + right) of the two-piece normal whose mean sits at `ratio` of the 95 % interval."""

    def miss(share: float) -> float:
        low, high, mean = _unit_two_piece(share)
        return (mean - low) / (high - low) - ratio

    edge = 1e-6
    if miss(edge) * miss(1 - edge) > 0:
        return None
    solver: Callable[..., float] = brentq
    return solver(miss, edge, 1 - edge, xtol=1e-15, rtol=1e-14)
