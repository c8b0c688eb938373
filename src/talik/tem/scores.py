"""Scores of a model against observations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

FEWEST = 3
"""Pairs below which nothing is said about how model and observation go together."""


@dataclass(frozen=True)
class Scores:
    """How a model compares with observations; None where a number has no value.

    n : number of pairs. mean_bias, median_bias : of model less observation. rmse : root of the mean square of that.
    r2 : squared Pearson correlation. slope, intercept : line of least squares of model on observation.
    nash_sutcliffe : 1 less squared errors over squared departures of the observations from their mean (Nash and
    Sutcliffe 1970). sd_ratio : standard deviation of the model over that of the observations.

    Biases and rmse need one pair, all else `FEWEST` pairs and observations that differ; r2 also a model that does.
    """

    n: int
    mean_bias: float | None = None
    median_bias: float | None = None
    rmse: float | None = None
    r2: float | None = None
    slope: float | None = None
    intercept: float | None = None
    nash_sutcliffe: float | None = None
    sd_ratio: float | None = None


def scores(model: Array, observed: Array) -> Scores:
    """Scores of pairs (n,) without NaN."""
    n = int(observed.size)
    if n == 0:
        return Scores(0)
    error = model - observed
    bias, median = float(error.mean()), float(np.median(error))
    rmse = float(np.sqrt((error**2).mean()))
    of_observed, of_model = observed - observed.mean(), model - model.mean()
    spread, other = float((of_observed**2).sum()), float((of_model**2).sum())
    if n < FEWEST or np.ptp(observed) == 0.0 or spread == 0.0:
        return Scores(n, bias, median, rmse)
    product = float((of_observed * of_model).sum())
    slope = product / spread
    varies = np.ptp(model) > 0.0 and other > 0.0
    return Scores(
        n=n,
        mean_bias=bias,
        median_bias=median,
        rmse=rmse,
        r2=min(product**2 / (spread * other), 1.0) if varies else None,
        slope=slope,
        intercept=float(model.mean() - slope * observed.mean()),
        nash_sutcliffe=1.0 - float((error**2).sum()) / spread,
        sd_ratio=float(np.sqrt(other / spread)),
    )
