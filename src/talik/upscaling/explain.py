"""What a model has learnt, in numbers: importance, dependence, Shapley values, interactions."""

from __future__ import annotations

from typing import Any

import numpy as np

from talik.errors import ConfigError
from talik.rng import named_rng
from talik.upscaling.importance import Importance, permutation_importance
from talik.upscaling.model import Model, Rows
from talik.upscaling.partial_dependence import PartialDependence, interactions, partial_dependence
from talik.upscaling.regression_to_mean import calibration_line
from talik.upscaling.shapley import tree_shap
from talik.upscaling.trees import Float64, Trees


def require_rows(model: Model) -> Rows:
    """The training rows of a model; ConfigError if it was written without them."""
    if model.rows is None:
        raise ConfigError(
            "this model was written without its training rows; train it without --without-rows to explain it"
        )
    return model.rows


def importance(model: Model, *, repeats: int = 100, threads: int = 1) -> Importance:
    """Permutation importance of every predictor on the training rows (Breiman 2001)."""
    rows = require_rows(model)
    seed = int(model.facts["seed"])
    return permutation_importance(
        lambda x: model.fitted.predict(x, threads),
        rows.x,
        rows.y,
        model.schema.names,
        seed=seed,
        repeats=repeats,
    )


def dependence(model: Model, name: str, *, threads: int = 1) -> PartialDependence:
    """Partial dependence on one predictor."""
    column = model.schema.names.index(name)
    n_levels = len(model.schema.features[column].levels)
    return partial_dependence(
        lambda x: model.fitted.predict(x, threads), require_rows(model).x, column, n_levels=n_levels
    )


def shapley(model: Model, *, sample: int = 300, threads: int = 1) -> tuple[Float64, Float64, float] | None:
    """Predictors (m, p), Shapley values (m, p) and base of a sample of training rows; None for other than trees."""
    rows = require_rows(model)
    trees = getattr(model.fitted, "trees", None)
    if not isinstance(trees, Trees):
        return None
    rng = named_rng(int(model.facts["seed"]), "shapley sample")
    drawn = np.sort(rng.choice(len(rows.x), min(sample, len(rows.x)), replace=False))
    phi, base = tree_shap(trees, rows.x[drawn], threads)
    return rows.x[drawn].astype(np.float64), phi, base


def explain(
    model: Model, *, repeats: int = 100, sample: int = 300, top: int = 6, threads: int = 1
) -> dict[str, Any]:
    """Everything as JSON values.

    importance of every predictor (increase of RMSE), mean absolute Shapley value, partial dependence of the `top`
    predictors, Friedman's H-squared of their pairs, slope of observed on held-out predictions, and threshold and
    weights of the area of applicability.
    """
    rows, names = require_rows(model), model.schema.names
    found = importance(model, repeats=repeats, threads=threads)
    leading = list(found.names[:top])
    boxes = found.boxes()
    curves = {}
    for name in leading:
        curve = dependence(model, name, threads=threads)
        levels = model.schema.features[names.index(name)].levels
        curves[name] = {
            "at": list(levels) if levels else [float(v) for v in curve.grid],
            "mean": [float(v) for v in curve.mean],
        }
    columns = [names.index(n) for n in leading]
    pairs = interactions(
        lambda x: model.fitted.predict(x, threads), rows.x, seed=int(model.facts["seed"]), columns=columns
    )
    values = shapley(model, sample=sample, threads=threads)
    validated = np.isfinite(rows.held_out)
    line = None
    if validated.any() and np.ptp(rows.held_out[validated]) > 0:
        line = calibration_line(rows.y[validated], rows.held_out[validated], rows.groups[validated])
    area = model.applicability
    return {
        "learner": model.learner.name,
        "target": model.schema.target,
        "units": model.schema.units,
        "n_rows": len(rows.y),
        "n_sites": int(model.facts["n_sites"]),
        "rmse_in_training": found.base,
        "importance": boxes.to_dict("index"),
        "partial_dependence": curves,
        "interactions": [
            {
                "pair": [leading[i], leading[j]],
                "h2": float(pairs.pairs[i, j]),
                "departure": float(pairs.departure[i, j]),
            }
            for i in range(len(leading))
            for j in range(i + 1, len(leading))
        ],
        "shapley_mean_abs": None
        if values is None
        else {n: float(v) for n, v in zip(names, np.abs(values[1]).mean(0), strict=True)},
        "calibration": None
        if line is None
        else {
            "slope": line.slope,
            "slope_se": float(np.sqrt(line.covariance[1, 1])),
            "intercept": line.intercept,
            "p_slope_is_1": line.p_slope,
        },
        "applicability": None
        if area is None
        else {"threshold": area.threshold, "mean_distance": area.mean_distance, "points": len(area.points)},
    }
