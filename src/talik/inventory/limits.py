"""A number with its 95 % limits, and draws of it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from talik.errors import InputError
from talik.posts.distributions import TAIL, fit
from talik.rng import named_rng

Array = npt.NDArray[np.float64]


class Limited(NamedTuple):
    """A mean with its 2.5 % and 97.5 % limits, in the units of what it stands for."""

    mean: float
    low: float
    high: float

    def times(self, factor: float) -> Limited:
        """The same in other units, or of another sign."""
        ends = sorted((self.low * factor, self.high * factor))
        return Limited(self.mean * factor, *ends)


def ordered(number: Limited, where: str) -> Limited:
    """The same number, or InputError if it is not finite or its limits are not around it, the lower one first."""
    if not all(map(math.isfinite, number)) or not number.low <= number.mean <= number.high:
        raise InputError(
            f"{where} is {number.mean:g} ({number.low:g}, {number.high:g}); expected a mean between its limits: low is "
            "the 2.5 % limit, high the 97.5 % limit."
        )
    return number


def of_draws(draws: Array, mean: float | None = None) -> Limited:
    """Limits of draws (draw,), with their mean or the `mean` that is given, which the limits then hold.

    InputError: a draw that is not finite.
    """
    if not np.isfinite(draws).all():
        raise InputError(f"{int((~np.isfinite(draws)).sum())} of {draws.size} draws are not finite.")
    low, high = (float(q) for q in np.quantile(draws, [TAIL, 1.0 - TAIL]))
    middle = float(draws.mean()) if mean is None else mean
    return Limited(middle, min(low, middle), max(high, middle))


def draws_of(number: Limited, count: int, seed: int, name: str) -> Array:
    """Draws (count,) of a distribution with this mean and these limits; `name` is that of the random stream.

    Scores are evenly spaced quantiles in random order, so that few draws keep mean and limits. PostError where no
    distribution holds all three.
    """
    ranks = (np.arange(count) + 0.5) / count
    scores = named_rng(seed, name).permutation(ndtri(ranks))
    return fit(*number, name).from_normal(scores)
