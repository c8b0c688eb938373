"""Area of applicability: where predictors resemble the training data enough for the validation error to hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from sklearn.isotonic import isotonic_regression

from talik.errors import ConfigError, InputError
from talik.upscaling.learner import Arrays
from talik.upscaling.trees import Float64, Int64

BLOCK = 1 << 22
"""Numbers held at once (32 MB in double precision)."""
WHISKER = 1.5
BINS = 20


@dataclass(frozen=True, slots=True, eq=False)
class AreaOfApplicability:
    """Dissimilarity of new points to the training data, and the largest at which validation still speaks for them.

    Predictors are scaled by their training mean and standard deviation and multiplied by their importance; a factor
    becomes one 0/1 column for each level, scaled in the same way. Distances are Euclidean. A constant predictor and
    one without importance take no part, so that gaps and new values in it go unnoticed.

    Source: Meyer and Pebesma (2021), Methods in Ecology and Evolution 12, 1620-1633; density of training data:
    Schumacher et al. (2025), Geoscientific Model Development 18, 10185-10202.
    """

    source: Int64
    """(c,) predictor that each column of the scaled space is made of."""
    level: Int64
    """(c,) factor level that the column marks; -1 for a continuous predictor."""
    centre: Float64
    """(c,) training mean."""
    scale: Float64
    """(c,) importance divided by training standard deviation."""
    points: Float64
    """(m, c) distinct training points in scaled space."""
    point: Int64
    """(n,) index into `points` of each training row."""
    mean_distance: float
    """Mean distance between training rows, in scaled space."""
    training: Float64
    """(n,) dissimilarity of each training row to the nearest row outside its own fold."""
    threshold: float
    """Largest `training` that does not exceed the upper quartile by more than 1.5 interquartile ranges."""

    @classmethod
    def fit(
        cls,
        x: npt.ArrayLike,
        importance: npt.ArrayLike,
        folds: npt.ArrayLike,
        categorical: Mapping[int, int] | None = None,
    ) -> AreaOfApplicability:
        """The area of applicability of a model.

        x : (n, p) training rows; a factor holds codes 0 .. levels-1.
        importance : (p,) in any unit, of the final model; negative values count as 0.
        folds : (n,) what was left out together in validation: sites, clusters or kNNDM folds.
        categorical : number of levels of each column that is a factor.

        Work grows with the square of n; memory does not.

        Raises:
            InputError: shapes do not fit, values are missing, a code is no level, all rows are in one fold, or
                no predictor is left.
        """
        rows = np.asarray(x, dtype=np.float64)
        weight = np.asarray(importance, dtype=np.float64)
        fold = np.unique(np.asarray(folds), return_inverse=True)[1].astype(np.int64)
        _check(rows, weight, fold)
        source, level = _columns(rows, categorical or {})
        expanded = _expand(rows, source, level)
        spread = np.where(np.ptp(expanded, axis=0) > 0.0, expanded.std(axis=0, ddof=1), 0.0)
        used = (spread > 0.0) & (weight[source] > 0.0)
        if not used.any():
            raise InputError(
                "area of applicability: no predictor both varies and has an importance above 0. "
                "Check that importance and predictors are in the same order."
            )
        source, level, centre = source[used], level[used], expanded[:, used].mean(axis=0)
        scale = weight[source] / spread[used]
        points, point = np.unique((expanded[:, used] - centre) * scale, axis=0, return_inverse=True)
        point = point.astype(np.int64).ravel()
        mean_distance, outside = _training_distances(points[point], fold)
        training = outside / mean_distance
        return cls(
            source, level, centre, scale, points, point, mean_distance, training, _upper_whisker(training)
        )

    def dissimilarity(self, x: npt.ArrayLike, threads: int = 1) -> Float64:
        """(m,) distance of each row of `x` (m, p) to the nearest training row, over `mean_distance`.

        0 on a training row; NaN where a predictor that takes part is missing. A class unknown in training differs
        from every training row in this factor.
        """
        tree = cKDTree(self.points)
        rows = self._rows(x)
        out = np.full(len(rows), np.nan)
        step = max(BLOCK // max(len(self.source), 1), 1)
        for start in range(0, len(rows), step):
            scaled, known = self._scaled(rows[start : start + step])
            out[start : start + step][known] = tree.query(scaled, workers=threads)[0] / self.mean_distance
        return out

    def inside(self, x: npt.ArrayLike, threads: int = 1) -> npt.NDArray[np.bool_]:
        """(m,) whether each row of `x` (m, p) is in the area of applicability; rows with a gap are not."""
        return np.asarray(self.dissimilarity(x, threads) <= self.threshold)

    def local_point_density(self, x: npt.ArrayLike, sites: npt.ArrayLike | None = None) -> Int64:
        """(m,) number of training rows, or of different `sites`, that are less dissimilar than the threshold.

        sites : (n,) site of each training row, in the order of `fit`. Twenty years of one tower are one witness, so
            counts of sites say more. Where a predictor is missing the count is -1.
        """
        n = len(self.point)
        site = np.arange(n) if sites is None else np.unique(np.asarray(sites), return_inverse=True)[1].ravel()
        if site.shape != (n,):
            raise InputError(
                f"area of applicability: {len(site)} sites for {n} training rows; expected one for each"
            )
        at = csr_array(
            (np.ones(n, np.int64), (self.point, site)), shape=(len(self.points), int(site.max()) + 1)
        )
        rows = self._rows(x)
        out = np.full(len(rows), -1, np.int64)
        step = max(BLOCK // max(at.shape), 1)
        for start in range(0, len(rows), step):
            scaled, known = self._scaled(rows[start : start + step])
            near = cdist(scaled, self.points) / self.mean_distance < self.threshold
            out[start : start + step][known] = (csr_array(near.astype(np.int64)) @ at > 0).sum(axis=1)
        return out

    def to_arrays(self) -> Arrays:
        """All there is to it, as plain arrays for a model file."""
        return {f.name: np.asarray(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> AreaOfApplicability:
        """The same again from `to_arrays`.

        Raises:
            InputError: an array is missing.
        """
        lost = [f.name for f in fields(cls) if f.name not in arrays]
        if lost:
            raise InputError(
                f"area of applicability: array {', '.join(lost)} missing; found {', '.join(arrays)}. "
                "Fit it again, or check the file."
            )
        given: dict[str, Any] = {f.name: arrays[f.name] for f in fields(cls)}
        return cls(**(given | {name: float(given[name]) for name in ("mean_distance", "threshold")}))

    def _rows(self, x: npt.ArrayLike) -> npt.NDArray[np.generic]:
        rows = np.asarray(x)
        if rows.ndim != 2 or rows.shape[1] <= self.source.max():
            raise InputError(
                f"area of applicability: x has shape {rows.shape}; expected (rows, predictors) with the predictors of "
                "the training data"
            )
        return rows

    def _scaled(self, rows: npt.NDArray[np.generic]) -> tuple[Float64, npt.NDArray[np.bool_]]:
        """Complete rows in scaled space, and which rows these are."""
        values = rows.astype(np.float64)
        known = np.asarray(np.isfinite(values[:, self.source]).all(axis=1))
        return (_expand(values[known], self.source, self.level) - self.centre) * self.scale, known


@dataclass(frozen=True, slots=True, eq=False)
class ErrorCurve:
    """Root-mean-square error expected at a dissimilarity; it never falls as dissimilarity grows."""

    dissimilarity: Float64
    """(b,) ascending."""
    rmse: Float64
    """(b,) in units of the errors."""

    def at(self, dissimilarity: npt.ArrayLike) -> Float64:
        """Expected error, same shape: linear between the points of the curve, constant beyond them, NaN for NaN.

        Beyond the last point nothing was validated, so the value there is a lower bound.
        """
        return np.asarray(
            np.interp(np.asarray(dissimilarity, dtype=np.float64), self.dissimilarity, self.rmse)
        )

    def to_arrays(self) -> Arrays:
        """The curve as plain arrays for a model file."""
        return {"dissimilarity": self.dissimilarity, "rmse": self.rmse}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> ErrorCurve:
        """The same again from `to_arrays`."""
        return cls(arrays["dissimilarity"], arrays["rmse"])


def error_by_dissimilarity(
    dissimilarity: npt.ArrayLike, errors: npt.ArrayLike, bins: int = BINS
) -> ErrorCurve:
    """Root-mean-square error as a non-decreasing function of dissimilarity, from validation.

    dissimilarity : (n,) of training rows to the rows they were predicted from (`AreaOfApplicability.training`).
    errors : (n,) predicted minus observed in the same validation, any unit.
    bins : about as many groups of equal numbers of rows; rows of equal dissimilarity stay together.

    Mean squared errors of the groups are made monotone by isotonic regression weighted with their numbers of rows,
    which keeps the mean squared error of all rows. Groups keep single large errors from making steps.

    Source: after Meyer and Pebesma (2021), section 2.5 (moving windows and a monotone smooth).

    Raises:
        InputError: lengths differ, no rows, or values that are not finite.
        ConfigError: `bins` is below 1.
    """
    di = np.asarray(dissimilarity, dtype=np.float64)
    error = np.asarray(errors, dtype=np.float64)
    if di.ndim != 1 or di.shape != error.shape or not di.size:
        raise InputError(
            f"error_by_dissimilarity: dissimilarity has shape {di.shape}, errors {error.shape}; expected (n,) twice"
        )
    if not (np.isfinite(di).all() and np.isfinite(error).all()):
        raise InputError(
            "error_by_dissimilarity: values are missing or infinite. Give rows that were predicted."
        )
    if bins < 1:
        raise ConfigError(f"error_by_dissimilarity: bins is {bins}; expected at least 1")
    edges = np.unique(np.quantile(di, np.arange(1, bins) / bins, method="inverted_cdf"))
    group = np.unique(np.searchsorted(edges, di, side="left"), return_inverse=True)[1]
    count = np.bincount(group).astype(np.float64)
    squared = np.bincount(group, weights=error**2) / count
    middle = np.bincount(group, weights=di) / count
    return ErrorCurve(middle, np.sqrt(isotonic_regression(squared, sample_weight=count)))


def _check(rows: Float64, weight: Float64, fold: Int64) -> None:
    where = "area of applicability"
    if rows.ndim != 2 or weight.shape != rows.shape[1:] or fold.shape != rows.shape[:1]:
        raise InputError(
            f"{where}: predictors have shape {rows.shape}, importance {weight.shape}, folds {fold.shape}; expected "
            "(n, p), (p,) and (n,)"
        )
    if not (np.isfinite(rows).all() and np.isfinite(weight).all()):
        raise InputError(
            f"{where}: predictors or importance have missing or infinite values. Give complete rows."
        )
    if not fold.any():
        raise InputError(
            f"{where}: all {len(fold)} rows are in one fold, so none has a neighbour outside. Check the folds."
        )


def _columns(rows: Float64, categorical: Mapping[int, int]) -> tuple[Int64, Int64]:
    """Predictor and level of each column once factors are spread out."""
    source, level = [], []
    for j in range(rows.shape[1]):
        levels = categorical.get(j, 0)
        if levels and not np.isin(rows[:, j], np.arange(levels)).all():
            odd = rows[~np.isin(rows[:, j], np.arange(levels)), j][0]
            raise InputError(
                f"area of applicability: factor in column {j} has code {odd:g}; expected 0 .. {levels - 1}. "
                "Encode it as for the model."
            )
        source += [j] * max(levels, 1)
        level += list(range(levels)) if levels else [-1]
    return np.array(source, np.int64), np.array(level, np.int64)


def _expand(rows: Float64, source: Int64, level: Int64) -> Float64:
    """Columns of continuous values, and 0/1 columns of factor levels."""
    picked = rows[:, source]
    return np.where(level >= 0, picked == level, picked)


def _training_distances(scaled: Float64, fold: Int64) -> tuple[float, Float64]:
    """Mean distance between different rows, and each row's distance to the nearest row of another fold."""
    n = len(scaled)
    total = 0.0
    outside = np.empty(n)
    step = max(BLOCK // n, 1)
    for start in range(0, n, step):
        block = slice(start, start + step)
        between = cdist(scaled[block], scaled)
        total += float(between.sum())
        between[fold[block, None] == fold] = np.inf
        outside[block] = between.min(axis=1)
    return total / (n * (n - 1.0)), outside


def _upper_whisker(values: Float64) -> float:
    """Largest value that is not above the upper quartile by more than `WHISKER` interquartile ranges."""
    low, high = np.quantile(values, [0.25, 0.75])
    return float(values[values <= high + WHISKER * (high - low)].max())
