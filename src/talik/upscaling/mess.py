"""Multivariate environmental similarity (MESS): is a place within the range of the training data, and in what not?"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from talik.errors import InputError
from talik.upscaling.trees import Float64, Int64


def mess(x: npt.ArrayLike, training: npt.ArrayLike) -> tuple[Float64, Int64]:
    """Similarity (n,) and the column (n,) of the least similar predictor (Elith et al. 2010, equations 1-4).

    x : (n, p) continuous predictors of places; training : (m, p) of training rows. 100 at the median of every
    predictor, negative outside the training range of one; a predictor that is constant in training gives 100 where
    it is the same and -100 elsewhere. A place with a missing value has similarity NaN, column -1.

    Raises:
        InputError: numbers of predictors differ, or training rows are missing or not finite.
    """
    x, training = np.asarray(x, np.float64), np.asarray(training, np.float64)
    if x.ndim != 2 or training.ndim != 2 or x.shape[1] != training.shape[1] or not len(training):
        raise InputError(
            f"MESS: places {x.shape} and training rows {training.shape} must be (n, p) and (m, p), m > 0"
        )
    if not np.isfinite(training).all():
        raise InputError("MESS: training rows hold missing or infinite values; use complete rows")
    similarity = np.empty(x.shape)
    for j in range(x.shape[1]):
        similarity[:, j] = _similarity(x[:, j], np.sort(training[:, j]))
    gaps = np.isnan(similarity).any(axis=1)
    least = np.where(gaps, -1, np.argmin(np.where(np.isnan(similarity), np.inf, similarity), axis=1))
    return np.where(gaps, np.nan, np.min(similarity, axis=1)), least.astype(np.int64)


def _similarity(v: Float64, ascending: Float64) -> Float64:
    low, high = ascending[0], ascending[-1]
    if not high > low:
        return np.where(np.isnan(v), np.nan, np.where(v == low, 100.0, -100.0))
    span = high - low
    below = 100 * np.searchsorted(ascending, v, side="left") / len(ascending)
    out = np.where(below <= 50, 2 * below, 2 * (100 - below))
    out = np.where(below == 0, 100 * (v - low) / span, out)
    out = np.where(below == 100, 100 * (high - v) / span, out)
    return np.asarray(np.where(np.isnan(v), np.nan, out))
