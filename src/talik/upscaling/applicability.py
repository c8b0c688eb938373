"""Where a model may speak: how unlike its training data a place is, and how many of them are like it.

Meyer and Pebesma (2021); local point density after Schumacher et al. (2025).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from talik.errors import InputError
from talik.upscaling.learner import Arrays
from talik.upscaling.trees import Float32, Float64, Int64

WHISKER = 1.5
"""Reach of the upper whisker beyond the third quartile, in quartile distances."""
_BLOCK = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Applicability:
    """Training points in weighted predictor space, and how far from them is too far."""

    points: Float64
    """(m, d) distinct training points, scaled and weighted."""
    site: Int64
    """(m,) a site that has the point."""
    centre: Float64
    """(p,) mean over the training rows; 0 for a categorical predictor."""
    factor: Float64
    """(p,) weight over standard deviation; 0 for a predictor that is constant or has no weight."""
    n_levels: npt.NDArray[np.int16]
    """(p,) 0 for a continuous predictor; a categorical one becomes a dummy for each level."""
    mean_distance: float
    """Mean distance between training rows."""
    threshold: float
    """Dissimilarity beyond which the model does not apply."""
    training: Float64
    """(n,) dissimilarity of each training row to the nearest row of another fold."""

    def dissimilarity(self, x: Float32) -> Float64:
        """(n,) dissimilarity index: distance to the nearest training point over the mean distance."""
        tree, out = cKDTree(self.points), np.empty(len(x))
        for a in range(0, len(x), _BLOCK):
            out[a : a + _BLOCK] = tree.query(self._place(x[a : a + _BLOCK]))[0]
        return out / self.mean_distance

    def inside(self, x: Float32) -> npt.NDArray[np.bool_]:
        """(n,) whether the model applies: dissimilarity at most the threshold."""
        return np.asarray(self.dissimilarity(x) <= self.threshold)

    def local_density(self, x: Float32) -> Int64:
        """(n,) number of training sites within the threshold; 0 outside the area of applicability."""
        tree, out = cKDTree(self.points), np.empty(len(x), np.int64)
        for a in range(0, len(x), _BLOCK):
            near = tree.query_ball_point(self._place(x[a : a + _BLOCK]), self.threshold * self.mean_distance)
            out[a : a + _BLOCK] = [len(np.unique(self.site[found])) for found in near]
        return out

    def _place(self, x: Float32) -> Float64:
        return placed(x, self.centre, self.factor, self.n_levels)

    def arrays(self) -> Arrays:
        """Everything in it, by name."""
        return {
            "points": self.points,
            "site": self.site,
            "centre": self.centre,
            "factor": self.factor,
            "n_levels": self.n_levels,
            "numbers": np.array([self.mean_distance, self.threshold]),
            "training": self.training,
        }

    @classmethod
    def restore(cls, arrays: Arrays) -> Applicability:
        """The same from `arrays`."""
        own = dict(arrays)
        mean_distance, threshold = (float(v) for v in own.pop("numbers"))
        return cls(**own, mean_distance=mean_distance, threshold=threshold)


def area_of_applicability(
    x: Float32, weights: Float64, folds: Int64, sites: Int64, n_levels: npt.NDArray[np.int16]
) -> Applicability:
    """Fit to training rows.

    x : (n, p) predictors, codes for categorical ones. weights : (p,) importance; negative ones count as 0. folds :
    (n,) validation fold of each row, whose own rows do not count as its neighbours. sites : (n,).
    Predictors are scaled by the mean and SD of the rows; the dummies of a categorical predictor are not (a change of
    class is a distance of its weight).

    Raises:
        InputError: one fold only, or all training rows alike.
    """
    values = x.astype(np.float64)
    continuous = n_levels == 0
    spread = values.std(0)
    weight = np.maximum(np.asarray(weights, float), 0.0)
    centre = np.where(continuous, values.mean(0), 0.0)
    factor = np.where(
        continuous, np.divide(weight, spread, out=np.zeros_like(weight), where=spread > 0), weight
    )
    place = placed(x, centre, factor, n_levels)
    mean_distance = _mean_distance(place)
    if not mean_distance > 0:
        raise InputError("area of applicability: all training rows are alike in the predictors that count")
    if len(np.unique(folds)) < 2:
        raise InputError("area of applicability: needs at least two validation folds")
    training = np.empty(len(x))
    for fold in np.unique(folds):
        own = folds == fold
        training[own] = cKDTree(place[~own]).query(place[own])[0]
    training /= mean_distance
    low, high = np.quantile(training, [0.25, 0.75])
    threshold = float(training[training <= high + WHISKER * (high - low)].max())
    keyed = np.column_stack([place, sites])
    first = np.sort(np.unique(keyed, axis=0, return_index=True)[1])
    return Applicability(
        place[first], sites[first], centre, factor, n_levels, mean_distance, threshold, training
    )


def error_by_dissimilarity(
    dissimilarity: Float64, error: Float64, at: Float64, *, window: int = 200
) -> Float64:
    """(m,) RMSE expected at dissimilarities `at`, never falling as they grow.

    From held-out errors (n,) of rows with known dissimilarity: mean squares in running windows of rows sorted by
    dissimilarity (as many as `window`, at most a fifth of the rows), made monotone by isotonic regression.
    """
    from sklearn.isotonic import IsotonicRegression

    order = np.argsort(dissimilarity, kind="stable")
    width = max(1, min(window, len(order) // 5))
    sums = np.concatenate([[0.0], np.cumsum(error[order] ** 2)])
    squares = (sums[width:] - sums[:-width]) / width
    middle = np.convolve(dissimilarity[order], np.full(width, 1 / width), "valid")
    fit = IsotonicRegression(increasing=True, out_of_bounds="clip").fit(middle, squares)
    return np.asarray(np.sqrt(fit.predict(at)))


def placed(x: Float32, centre: Float64, factor: Float64, n_levels: npt.NDArray[np.int16]) -> Float64:
    """(n, d) rows in weighted predictor space; a level is a dummy of 1/sqrt(2) weights."""
    parts = []
    for f, levels in enumerate(n_levels):
        if levels:
            parts.append((x[:, f, None] == np.arange(levels)) * (factor[f] / np.sqrt(2.0)))
        else:
            parts.append(((x[:, f].astype(np.float64) - centre[f]) * factor[f])[:, None])
    return np.ascontiguousarray(np.hstack(parts))


def _mean_distance(place: Float64) -> float:
    """Mean over rows of the mean distance to the other rows; exact, in blocks of bounded memory."""
    block = max(1, 8_000_000 // len(place))
    total = sum(float(cdist(place[a : a + block], place).sum()) for a in range(0, len(place), block))
    return total / (len(place) * max(1, len(place) - 1))
