"""Partial dependence: the mean prediction as one or two predictors vary, and how far predictors interact."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from talik.errors import InputError
from talik.rng import named_rng
from talik.upscaling.trees import Float64, Int64

Predict = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
"""Predictors (rows, p) to predictions (rows,); every row must be predicted on its own."""

GRID_POINTS = 51
"""Largest number of grid points of a continuous predictor."""

BATCH_ROWS = 1 << 19
"""Largest number of altered rows that are handed to a model at once (unless one copy of the data has more)."""

NO_EFFECT = (64 * np.finfo(float).eps) ** 2
"""A variance below this share of the mean square of the predictions is rounding: the predictors have no effect."""


@dataclass(frozen=True, slots=True, eq=False)
class PartialDependence:
    """Mean prediction over the rows with one predictor set to each grid value in turn; not centred."""

    grid: Float64
    """(g,) values of the predictor, as the model saw them."""
    mean: Float64
    """(g,) mean prediction, in response unit."""
    curves: Float64 | None
    """(g, rows) the prediction of each row (individual conditional expectation), if asked for."""


@dataclass(frozen=True, slots=True, eq=False)
class PairDependence:
    """Mean prediction over a sample of rows with two predictors set to each pair of grid values; not centred."""

    grids: tuple[Float64, Float64]
    """(ga,) and (gb,) values of the two predictors."""
    mean: Float64
    """(ga, gb) mean prediction, in response unit."""
    rows: Int64
    """(m,) the rows averaged over."""


@dataclass(frozen=True, slots=True, eq=False)
class Interactions:
    """Friedman's H-squared statistics over a sample of rows; matrices are symmetric with a zero diagonal."""

    columns: tuple[int, ...]
    """(c,) the columns compared, in the order of the arrays below."""
    total: Float64
    """(c,) share of the variance of the prediction that is interaction of this predictor with any other."""
    pairs: Float64
    """(c, c) share of the variance of the joint partial dependence of two predictors that is their interaction."""
    departure: Float64
    """(c, c) root mean square of that interaction in response unit: a large share of a weak pair shows here."""
    rows: Int64
    """(m,) the rows used."""


def grid_of(values: npt.NDArray[Any], n_levels: int = 0, points: int = GRID_POINTS) -> npt.NDArray[Any]:
    """Grid of a predictor, in the type of `values`: every level code 0 .. n_levels - 1 of a categorical one; of a
    continuous one (n_levels 0) min(points, distinct values) evenly spaced points from minimum to maximum.

    Raises:
        InputError: no rows, or values that are not finite.
    """
    if values.size == 0 or not np.isfinite(values).all():
        raise InputError(
            f"partial dependence needs finite predictor values; found {values.size} values, "
            f"{np.count_nonzero(~np.isfinite(values))} not finite. Use the complete rows the model was trained on."
        )
    if n_levels:
        return np.arange(n_levels).astype(values.dtype)
    distinct = len(np.unique(values))
    return np.linspace(values.min(), values.max(), min(points, distinct)).astype(values.dtype)


def partial_dependence(
    predict: Predict,
    x: npt.NDArray[Any],
    column: int,
    *,
    n_levels: int = 0,
    points: int = GRID_POINTS,
    individual: bool = False,
) -> PartialDependence:
    """Partial dependence of the prediction on one predictor, over all rows (Friedman 2001, section 8.2).

    x : (rows, p) training rows. n_levels : 0 for a continuous predictor, else its number of levels. The cost is
    grid points x rows predictions. `individual` keeps the curve of every row.

    Where predictors are correlated the mean includes rows that cannot occur (summer light on snow); read it with
    the distribution of the data.

    Raises:
        InputError: column out of range, no rows, values that are not finite.
    """
    _check_columns(x, [column])
    grid = grid_of(x[:, column], n_levels, points)
    curves = altered_predictions(predict, x, [column], grid[:, None, None])
    return PartialDependence(grid.astype(float), curves.mean(axis=1), curves if individual else None)


def pair_dependence(
    predict: Predict,
    x: npt.NDArray[Any],
    columns: tuple[int, int],
    *,
    seed: int,
    n_levels: tuple[int, int] = (0, 0),
    points: int = 21,
    max_rows: int = 500,
) -> PairDependence:
    """Partial dependence of the prediction on two predictors together, over at most `max_rows` rows.

    x : (rows, p) training rows; if there are more than `max_rows`, a random sample of them under `seed` is
    averaged, so that the cost is at most points^2 x max_rows predictions.

    Raises:
        InputError: columns out of range or equal, no rows, values that are not finite.
    """
    _check_columns(x, columns)
    a, b = (grid_of(x[:, c], n, points) for c, n in zip(columns, n_levels, strict=True))
    rows = _sample(len(x), max_rows, seed)
    values = np.stack(np.meshgrid(a, b, indexing="ij"), axis=-1).reshape(-1, 1, 2)
    mean = altered_predictions(predict, x[rows], columns, values).mean(axis=1)
    return PairDependence((a.astype(float), b.astype(float)), mean.reshape(len(a), len(b)), rows)


def interactions(
    predict: Predict,
    x: npt.NDArray[Any],
    *,
    seed: int,
    columns: Sequence[int] | None = None,
    max_rows: int = 100,
) -> Interactions:
    """Friedman's H-squared, pairwise and total, of the given columns (Friedman and Popescu 2008, section 8.1).

    With all functions centred on the rows: H2_jk = sum (PD_jk - PD_j - PD_k)^2 / sum PD_jk^2, and
    H2_j = sum (f - PD_j - PD_rest)^2 / sum f^2, where PD_rest depends on every predictor but j. Both are 0 without
    interaction; H2_j stays below 1 for uncorrelated predictors, but can exceed it for correlated ones. Where the
    predictors have no effect the statistic is 0.

    x : (rows, p) training rows; if there are more than `max_rows`, a random sample of m = max_rows under `seed`
    stands for them. The cost is at most m^2 (c + c (c - 1) / 2) predictions: 1.5 million for 17 columns and 100 rows.

    Raises:
        InputError: columns out of range or repeated, no rows, values that are not finite.
    """
    chosen = tuple(range(x.shape[-1])) if columns is None else tuple(columns)
    _check_columns(x, chosen)
    rows = _sample(len(x), max_rows, seed)
    x = x[rows]
    f = _predicted(predict, x)
    rounding = NO_EFFECT * _mean_square(f)
    f = _centred(f)
    alone = np.empty((len(chosen), len(x)))
    total = np.empty(len(chosen))
    for j, column in enumerate(chosen):
        composite = _composites(predict, x, [column])
        alone[j] = _centred(composite.mean(axis=1))
        rest = _centred(composite.mean(axis=0))
        total[j] = _share(_mean_square(f - alone[j] - rest), _mean_square(f), rounding)
    pairs, departure = np.zeros((2, len(chosen), len(chosen)))
    for j, k in itertools.combinations(range(len(chosen)), 2):
        joint = _centred(_composites(predict, x, [chosen[j], chosen[k]]).mean(axis=1))
        square = _mean_square(joint - alone[j] - alone[k])
        pairs[j, k] = pairs[k, j] = _share(square, _mean_square(joint), rounding)
        departure[j, k] = departure[k, j] = np.sqrt(square)
    return Interactions(chosen, total, pairs, departure, rows)


def altered_predictions(
    predict: Predict, x: npt.NDArray[Any], columns: Sequence[int], values: npt.NDArray[Any]
) -> Float64:
    """Predictions (copies, rows) of copies of x (rows, p) whose `columns` are replaced by `values`.

    values : (copies, rows, columns), or with 1 row for the same values in every row. Copies are stacked, whole and
    in row order, to at most `BATCH_ROWS` rows for one call of `predict`.
    """
    step = max(1, BATCH_ROWS // len(x))
    out = np.empty((len(values), len(x)))
    for a in range(0, len(values), step):
        part = values[a : a + step]
        stacked = np.tile(x, (len(part), 1, 1))
        stacked[:, :, list(columns)] = part
        out[a : a + step] = _predicted(predict, stacked.reshape(-1, x.shape[1])).reshape(len(part), len(x))
    return out


def _predicted(predict: Predict, x: npt.NDArray[Any]) -> Float64:
    y = np.asarray(predict(x), dtype=float)
    if y.shape != (len(x),):
        raise InputError(f"predict returned shape {y.shape} for {len(x)} rows; expected one value per row.")
    return y


def _composites(predict: Predict, x: npt.NDArray[Any], columns: Sequence[int]) -> Float64:
    """(m, m) prediction with `columns` from row i and all else from row k; repeated values are predicted once."""
    values, back = np.unique(x[:, list(columns)], axis=0, return_inverse=True)
    return np.asarray(altered_predictions(predict, x, columns, values[:, None, :])[back.ravel()])


def _mean_square(values: Float64) -> float:
    return float(np.mean(values**2))


def _share(part: float, whole: float, rounding: float) -> float:
    return part / whole if whole > rounding else 0.0


def _centred(values: Float64) -> Float64:
    return np.asarray(values - values.mean())


def _sample(n: int, most: int, seed: int) -> Int64:
    """Sorted rows of a random sample without replacement; all rows if there are not more than `most`."""
    if n <= most:
        return np.arange(n)
    return np.sort(named_rng(seed, "partial dependence/rows").choice(n, most, replace=False))


def _check_columns(x: npt.NDArray[Any], columns: Sequence[int]) -> None:
    if x.ndim != 2 or len(set(columns)) != len(columns) or not all(0 <= c < x.shape[-1] for c in columns):
        raise InputError(
            f"columns {list(columns)} do not fit x of shape {x.shape}; expected distinct columns 0 .. p - 1."
        )
    if len(x) == 0:
        raise InputError("partial dependence needs at least one row of predictors; found none.")
