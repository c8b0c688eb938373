"""Multivariate environmental similarity: how far a pixel lies outside the range of the training data, and in what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from talik.errors import InputError
from talik.upscaling.trees import Float64, Int64


@dataclass(frozen=True, slots=True, eq=False)
class Similarity:
    """Similarity of pixels to the training data.

    `value` (m,) in percent: 100 at the median of every predictor, negative outside the training range of at least
    one. `predictor` (m,) is the column with the lowest similarity, the first of equals. Where a predictor is missing
    they are NaN and -1.
    """

    value: Float64
    predictor: Int64


def mess(training: npt.ArrayLike, x: npt.ArrayLike) -> Similarity:
    """Environmental similarity of `x` (m, p) to `training` (n, p), continuous predictors in the same columns and units.

    With f the percentage of training values below v, and the training range m..M, a predictor's similarity is
    100 (v - m)/(M - m) for f = 0, 2 f up to 50, 2 (100 - f) below 100, and 100 (M - v)/(M - m) for f = 100; the
    lowest of all predictors counts. On the lowest training value it is 0, as f is 0.

    Source: Elith, Kearney and Phillips (2010), Methods in Ecology and Evolution 1, 330-342, appendix.

    Raises:
        InputError: columns do not agree, or a training column has gaps or a single value.
    """
    known = np.asarray(training, dtype=np.float64)
    asked = np.asarray(x)
    if known.ndim != 2 or asked.ndim != 2 or known.shape[1] != asked.shape[1] or 0 in known.shape:
        raise InputError(
            f"mess: training has shape {known.shape} and x {asked.shape}; expected (rows, predictors) with the same "
            "predictors"
        )
    value = np.full(len(asked), np.inf)
    predictor = np.zeros(len(asked), np.int64)
    for j in range(known.shape[1]):
        similarity = _similarity(known[:, j], asked[:, j].astype(np.float64), j)
        lower = similarity < value
        predictor[lower] = j
        value = np.minimum(value, similarity)  # NaN stays NaN
    predictor[np.isnan(value)] = -1
    return Similarity(value, predictor)


def _similarity(training: Float64, v: Float64, column: int) -> Float64:
    """Similarity to one predictor, in percent; NaN where `v` is NaN."""
    ordered = np.sort(training)
    low, high = ordered[0], ordered[-1]
    if not np.isfinite(training).all():
        raise InputError(
            f"mess: training column {column} has missing or infinite values. Give complete rows."
        )
    if low == high:
        raise InputError(
            f"mess: training column {column} is {low:g} in every row, so it has no range. Leave it out on both sides."
        )
    below = 100.0 * np.searchsorted(ordered, v, side="left") / len(ordered)
    inside = np.where(below <= 50.0, 2.0 * below, 2.0 * (100.0 - below))
    outside = 100.0 * np.where(below == 0.0, v - low, high - v) / (high - low)
    out = np.where((below == 0.0) | (below == 100.0), outside, inside)
    out[np.isnan(v)] = np.nan
    return out
