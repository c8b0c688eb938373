"""A Gaussian process with an effect of the site: smooth where trees are steps, and exact for left-out sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field
from scipy.linalg import cho_factor, cho_solve, cholesky, lapack
from scipy.spatial.distance import cdist

from talik.errors import ConfigError
from talik.upscaling.learner import Arrays, Data, Learner, all_but, no_quantiles
from talik.upscaling.parallel import over_blocks
from talik.upscaling.trees import Float32, Float64, Int64

MAX_ROWS = 20_000
"""Rows it may learn from: time grows with their cube, memory with their square (3.2 GB at 20,000)."""


@dataclass(frozen=True, slots=True, eq=False)
class FittedProcess:
    """Training rows in scaled predictors and their coefficients."""

    rows: Float64
    """(n, d) scaled predictors, categorical ones as dummies."""
    coefficients: Float64
    """(n,)"""
    centre: Float64
    """(p,) subtracted from a continuous predictor."""
    scale: Float64
    """(p,) then divided by; 0: the predictor is constant and does not count."""
    n_levels: Any
    """(p,)"""
    mean: float
    """Mean response."""

    def predict(self, x: Float32, threads: int = 1) -> Float64:
        """(n,) mean; blocks of rows, so that memory stays at 512 x training rows."""
        out = np.empty(len(x))

        def work(a: int, b: int) -> None:
            covariance = np.exp(-cdist(scaled(x[a:b], self.centre, self.scale, self.n_levels), self.rows))
            # summed row by row: a matrix product may take another order of summation for another block
            out[a:b] = self.mean + np.einsum("ij,j->i", covariance, self.coefficients)

        over_blocks(len(x), threads, work, 512)
        return out

    def predict_quantiles(self, x: Float32, levels: Sequence[float], threads: int = 1) -> Float64:
        """Raises ConfigError: its quantiles would assume Gaussian errors, which monthly fluxes do not have."""
        raise no_quantiles(GaussianProcess.name)

    def arrays(self) -> Arrays:
        return {
            "rows": self.rows,
            "coefficients": self.coefficients,
            "centre": self.centre,
            "scale": self.scale,
            "n_levels": self.n_levels,
        }

    def facts(self) -> dict[str, Any]:
        return {"mean": self.mean}


class GaussianProcess(Learner):
    """Covariance exp(-d / length) over scaled predictors, plus a random effect of each site, plus noise.

    Rows of one site share its effect, so a long record does not outvote the others (Rasmussen and Williams 2006,
    chapters 2 and 5). Variances are shares of that of the smooth part. d is Euclidean over predictors in units of
    their standard deviation, divided by the square root of a tenth of their number.
    """

    name: ClassVar[str] = "gaussian-process"
    folds_at_once: ClassVar[int] = 1_000_000  # all from one inverse

    length: Annotated[float, Field(gt=0)] = 4.0
    """Correlation length, in standard deviations of ten predictors."""
    noise: Annotated[float, Field(gt=0)] = 0.3
    """Variance of a single month about site and climate, relative."""
    site: Annotated[float, Field(ge=0)] = 0.1
    """Variance of the sites about what the predictors tell, relative."""

    def fit(self, data: Data, seed: int, threads: int = 1) -> FittedProcess:
        rows, centre, scale = self._scale(data)
        mean = float(np.average(data.y, weights=data.weights))
        solved = cho_solve(cho_factor(self._covariance(rows, data), lower=True), data.y - mean)
        return FittedProcess(rows, solved, centre, scale, data.n_levels, mean)

    def restore(self, arrays: Arrays, facts: Mapping[str, Any]) -> FittedProcess:
        return FittedProcess(**arrays, mean=float(facts["mean"]))

    def leave_out(
        self,
        data: Data,
        held: Sequence[tuple[Int64, Int64]],
        seed: int,
        threads: int = 1,
        quantiles: Sequence[float] = (),
    ) -> list[Float64]:
        """Exactly the predictions of fits without the held rows, from one inverse.

        With A the inverse covariance of all rows and H the rows left out, the prediction is
        y_H - (A_HH)^-1 (A (y - m))_H (Rasmussen and Williams 2006, section 5.4.2). Predictors are scaled and the
        mean m taken over all rows. Rows left out but not asked for are left out all the same.
        """
        if quantiles:
            raise no_quantiles(self.name)
        rows, _, _ = self._scale(data)
        mean = float(np.average(data.y, weights=data.weights))
        factor = cholesky(self._covariance(rows, data), lower=True, overwrite_a=True)
        inverse, failed = lapack.dpotri(factor, lower=1, overwrite_c=True)
        if failed:
            raise ConfigError("gaussian-process: the covariance is singular; raise `noise`")
        lower = np.tril_indices(len(inverse), -1)
        inverse.T[lower] = inverse[lower]
        pulled = inverse @ (data.y - mean)
        out = []
        for train, test in held:
            left = all_but(len(data), train)
            block = cho_factor(inverse[np.ix_(left, left)], lower=True)
            predicted = data.y[left] - cho_solve(block, pulled[left])
            out.append(predicted[np.searchsorted(left, test)][:, None])
        return out

    def _scale(self, data: Data) -> tuple[Float64, Float64, Float64]:
        if len(data) > MAX_ROWS:
            raise ConfigError(f"gaussian-process learns from at most {MAX_ROWS} rows; there are {len(data)}")
        x = data.x.astype(np.float64)
        continuous = data.n_levels == 0
        centre = np.where(continuous, x.mean(0), 0.0)
        spread = np.where(continuous, x.std(0), 1.0)
        scale = spread * self.length * np.sqrt(x.shape[1] / 10)
        return scaled(data.x, centre, scale, data.n_levels), centre, scale

    def _covariance(self, rows: Float64, data: Data) -> Float64:
        covariance = np.exp(-cdist(rows, rows))
        covariance += self.site * (data.groups[:, None] == data.groups[None, :])
        covariance[np.diag_indices(len(rows))] += self.noise / data.weights
        return np.asarray(covariance)


def scaled(x: Float32, centre: Float64, scale: Float64, n_levels: Any) -> Float64:
    """(n, d) predictors in units of the correlation length; a level becomes a dummy of 1/sqrt(2) lengths."""
    parts = []
    for f, levels in enumerate(n_levels):
        column = x[:, f].astype(np.float64)
        if levels:
            parts.append((column[:, None] == np.arange(levels)) / (scale[f] * np.sqrt(2.0)))
        elif scale[f] > 0:
            parts.append(((column - centre[f]) / scale[f])[:, None])
    return np.ascontiguousarray(np.hstack(parts)) if parts else np.zeros((len(x), 1))
