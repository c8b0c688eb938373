"""Permutation importance: how much worse the predictions get when a predictor is shuffled between rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from talik.errors import InputError
from talik.rng import named_rng
from talik.upscaling.partial_dependence import Predict, altered_predictions
from talik.upscaling.trees import Float64, Int64

REPEATS = 100


@dataclass(frozen=True, slots=True, eq=False)
class Importance:
    """Increase of the root mean square error by permutation, most important predictor or block first."""

    base: float
    """Root mean square error of the predictions without permutation, in response unit."""
    names: tuple[str, ...]
    """(k,) predictors and blocks by falling mean increase."""
    increase: Float64
    """(k, repeats) increase in every repeat, in response unit; negative if a shuffle happened to help."""

    def boxes(self) -> pd.DataFrame:
        """One row per name: mean, whisker_low, hinge_low, median, hinge_high, whisker_high, in response unit.

        Hinges are the quartiles (linear interpolation), whiskers the outermost values within 1.5 times the distance
        of the hinges beyond them (Tukey 1977); values outside the whiskers are to be drawn as points.
        """
        low, median, high = np.quantile(self.increase, [0.25, 0.5, 0.75], axis=1)
        reach = 1.5 * (high - low)
        inside = (self.increase >= (low - reach)[:, None]) & (self.increase <= (high + reach)[:, None])
        return pd.DataFrame(
            {
                "mean": self.increase.mean(axis=1),
                "whisker_low": np.minimum(low, np.where(inside, self.increase, np.inf).min(axis=1)),
                "hinge_low": low,
                "median": median,
                "hinge_high": high,
                "whisker_high": np.maximum(high, np.where(inside, self.increase, -np.inf).max(axis=1)),
            },
            index=pd.Index(self.names, name="predictor"),
        )


def permutation_importance(
    predict: Predict,
    x: npt.NDArray[Any],
    y: Float64,
    names: Sequence[str],
    *,
    seed: int,
    repeats: int = REPEATS,
    blocks: Mapping[str, Sequence[str]] | None = None,
) -> Importance:
    """Permutation importance of every predictor and block of predictors (Breiman 2001).

    predict : the final model for the importance in training, or `held_out` for that at sites the model has not
    seen. x : (rows, p) predictors, columns `names`. y : (rows,) observations. In each repeat the values of one
    predictor are permuted over all rows, and RMSE(permuted) - RMSE is kept. Predictors of one of the `blocks` (block
    name to predictor names) are in addition permuted together, by the same permutation of rows: correlated
    predictors that stand in for each other show their joint importance only so.

    The permutations of a predictor or block depend on `seed` and its name alone.

    Raises:
        InputError: shapes or names do not fit, or observations that are not finite.
    """
    columns = _columns(x, y, names, blocks or {})
    if repeats < 1:
        raise InputError(
            f"permutation importance: repeats is {repeats}; expected at least 1 (100 by default)."
        )
    base = _rmse(np.asarray(predict(x), dtype=float)[None], y)[0]
    increase = np.empty((len(columns), repeats))
    for k, (name, permuted) in enumerate(columns.items()):
        rng = named_rng(seed, f"permutation importance/{name}")
        rows = np.stack([rng.permutation(len(x)) for _ in range(repeats)])
        values = x[:, permuted][rows]
        increase[k] = _rmse(altered_predictions(predict, x, permuted, values), y) - base
    order = np.argsort(-increase.mean(axis=1), kind="stable")
    ordered = tuple(list(columns)[k] for k in order)
    return Importance(float(base), ordered, increase[order])


def held_out(models: Sequence[Predict], fold: Int64) -> Predict:
    """A predict function in which row i is predicted by models[fold[i]], the model trained without row i's fold.

    fold : (rows,) number of the fold of each row. The function takes the same rows in the same order, or copies of
    them stacked one after the other, as `permutation_importance` does. With one fold per site the importance is
    that for predicting unseen sites; shuffled values still come from all rows.

    Raises:
        InputError: a fold without model, or a number of rows that is not a multiple of len(fold).
    """
    fold = np.asarray(fold)
    if fold.ndim != 1 or len(fold) == 0 or fold.min() < 0 or fold.max() >= len(models):
        raise InputError(
            f"held_out: fold has shape {fold.shape} and {len(models)} models are given; expected one number in "
            f"0..{len(models) - 1} per row."
        )

    def predict(x: npt.NDArray[Any]) -> Float64:
        if len(x) % len(fold):
            raise InputError(
                f"held_out: asked for {len(x)} rows; expected copies of the {len(fold)} rows with a fold."
            )
        stacked = np.tile(fold, len(x) // len(fold))
        out = np.empty(len(x))
        for k in np.unique(fold):
            rows = np.flatnonzero(stacked == k)
            out[rows] = models[k](x[rows])
        return out

    return predict


def _rmse(predictions: Float64, y: Float64) -> Float64:
    """Root mean square error of each row of predictions (copies, rows)."""
    return np.asarray(np.sqrt(np.mean((predictions - y) ** 2, axis=1)))


def _columns(
    x: npt.NDArray[Any], y: Float64, names: Sequence[str], blocks: Mapping[str, Sequence[str]]
) -> dict[str, list[int]]:
    """Columns to permute together, by the name of the predictor or block."""
    names = list(names)
    if x.ndim != 2 or y.shape != (len(x),) or len(x) == 0 or len(names) != x.shape[1]:
        raise InputError(
            f"permutation importance: x has shape {x.shape}, y {y.shape}, and there are {len(names)} names; "
            "expected (rows, p), (rows,) and p names."
        )
    if not np.isfinite(y).all():
        raise InputError("permutation importance: y holds values that are not finite; drop those rows first.")
    repeated = sorted({n for n in [*names, *blocks] if [*names, *blocks].count(n) > 1})
    missing = sorted({n for members in blocks.values() for n in members} - set(names))
    if repeated or missing:
        raise InputError(
            f"permutation importance: names used twice: {repeated}; block members that are no predictors: {missing}. "
            "Every predictor and block needs its own name, and blocks list predictors."
        )
    single = {n: [j] for j, n in enumerate(names)}
    return single | {block: [names.index(n) for n in members] for block, members in blocks.items()}
