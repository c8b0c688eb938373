"""Forests trained with scikit-learn, as the flat trees every other learner has."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from talik.errors import InputError
from talik.upscaling.trees import Trees


def from_sklearn(forest: Any) -> Trees:
    """The trees of a fitted RandomForestRegressor, ExtraTreesRegressor or DecisionTreeRegressor of scikit-learn.

    scikit-learn compares float32 predictors with float64 thresholds; a threshold becomes the largest float32 not
    above it, which no float32 value can tell apart, so every row goes the same way. A prediction is the mean over
    trees of the same leaf values: equal to scikit-learn's to the last digit of a float32. Where scikit-learn sends
    missing values is not kept: talik predicts complete rows only.

    Raises:
        InputError: not fitted, several outputs, or a classifier.
    """
    members = getattr(forest, "estimators_", [forest])
    if isinstance(members, np.ndarray) or not all(hasattr(m, "tree_") for m in members):
        raise InputError(
            f"{type(forest).__name__}: expected a fitted RandomForestRegressor, ExtraTreesRegressor or "
            "DecisionTreeRegressor of scikit-learn. Fit it first, or train with `talik upscale train`."
        )
    grown = [m.tree_ for m in members]
    first = grown[0]
    if first.n_outputs != 1 or int(first.max_n_classes) != 1:
        raise InputError(
            f"{type(forest).__name__} predicts {first.n_outputs} outputs, or classes; expected one number. "
            "Train one forest for each flux."
        )
    parts = [_flat(t) for t in grown]
    size = [len(p["feature"]) for p in parts]
    offset = np.concatenate([[0], np.cumsum(size)]).astype(np.int64)
    for part, start in zip(parts, offset, strict=False):
        part["left"] = np.where(part["feature"] >= 0, part["left"] + start, 0)
    joined = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    return Trees(
        offset=offset,
        feature=joined["feature"].astype(np.int16),
        threshold=joined["threshold"].astype(np.float32),
        levels=np.zeros(offset[-1], np.uint64),
        left=joined["left"].astype(np.int32),
        value=joined["value"],
        cover=joined["cover"],
        n_levels=np.zeros(int(first.n_features), np.int16),
    ).check()


def round_down(threshold: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """The largest float32 not above each threshold."""
    rounded = threshold.astype(np.float32)
    return np.where(rounded > threshold, np.nextafter(rounded, np.float32(-np.inf)), rounded)


def _flat(tree: Any) -> dict[str, npt.NDArray[Any]]:
    """Nodes in breadth-first order, so that right children follow left ones."""
    left, right = np.asarray(tree.children_left), np.asarray(tree.children_right)
    inner = left >= 0
    order, level = [np.zeros(1, np.int64)], np.zeros(1, np.int64)
    while len(level := level[inner[level]]):
        level = np.column_stack([left[level], right[level]]).ravel()
        order.append(level)
    node = np.concatenate(order)
    place = np.empty(len(node), np.int64)
    place[node] = np.arange(len(node))
    split = inner[node]
    return {
        "feature": np.where(split, tree.feature[node], -1),
        "threshold": np.where(split, round_down(np.asarray(tree.threshold, np.float64)[node]), 0),
        "left": np.where(split, place[np.maximum(left[node], 0)], 0),
        "value": np.asarray(tree.value[node, 0, 0], np.float64),
        "cover": np.asarray(tree.weighted_n_node_samples[node], np.float64),
    }
