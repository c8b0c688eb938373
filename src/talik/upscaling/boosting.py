"""Histogram gradient boosting: grown by LightGBM, kept as the flat trees every other learner has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from talik.rng import named_rng
from talik.upscaling.imported import round_down
from talik.upscaling.learner import Arrays, Data, Learner, no_quantiles
from talik.upscaling.trees import Float32, Float64, Trees


@dataclass(frozen=True, slots=True, eq=False)
class FittedBoosting:
    """Boosted trees whose leaf values are scaled so that their mean over trees is the prediction."""

    trees: Trees

    def predict(self, x: Float32, threads: int = 1) -> Float64:
        """(n,) sum of the boosted trees."""
        return self.trees.predict(x, threads)

    def predict_quantiles(self, x: Float32, levels: Sequence[float], threads: int = 1) -> Float64:
        """Raises ConfigError: means only."""
        raise no_quantiles(Boosting.name)

    def arrays(self) -> Arrays:
        return self.trees.arrays()

    def facts(self) -> dict[str, Any]:
        return {}


class Boosting(Learner):
    """Gradient boosting of squared error with LightGBM (Ke et al. 2017); fixed settings, no early stopping."""

    name: ClassVar[str] = "boosting"

    rounds: Annotated[int, Field(ge=1)] = 400
    """Boosting rounds."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.03
    leaves: Annotated[int, Field(ge=2)] = 15
    """Leaves a tree at most."""
    rows_in_leaf: Annotated[int, Field(ge=1)] = 20
    """Rows a leaf at least."""
    row_share: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Share of the rows drawn for each round."""
    predictor_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the predictors drawn for each tree."""
    l2: Annotated[float, Field(ge=0)] = 1.0

    def fit(self, data: Data, seed: int, threads: int = 1) -> FittedBoosting:
        import lightgbm

        settings = {
            "objective": "regression",
            "learning_rate": self.learning_rate,
            "num_leaves": self.leaves,
            "min_data_in_leaf": self.rows_in_leaf,
            "bagging_fraction": self.row_share,
            "bagging_freq": 1,
            "feature_fraction": self.predictor_share,
            "lambda_l2": self.l2,
            "seed": int(named_rng(seed, "boosting").integers(2**31)),
            "num_threads": 1,  # sums in another order would change the last digits
            "deterministic": True,
            "force_col_wise": True,
            "feature_pre_filter": False,
            "use_missing": False,
            "max_cat_to_onehot": 1,
            "verbose": -1,
        }
        categorical = [int(f) for f in np.flatnonzero(data.n_levels)]
        table = lightgbm.Dataset(
            data.x.astype(np.float64),
            data.y,
            weight=data.weights,
            categorical_feature=categorical,
            params={"verbose": -1, "feature_pre_filter": False, "max_cat_to_onehot": 1, "use_missing": False},
        )
        booster = lightgbm.train(settings, table, self.rounds)
        return FittedBoosting(from_lightgbm(booster.dump_model(), data))

    def restore(self, arrays: Arrays, facts: Mapping[str, Any]) -> FittedBoosting:
        return FittedBoosting(Trees(**arrays).check())


def from_lightgbm(dump: Mapping[str, Any], data: Data) -> Trees:
    """LightGBM's trees as flat arrays that decide every float32 row alike.

    A float64 threshold becomes the largest float32 not above it, which no float32 value can tell apart. Leaf values
    are multiplied by the number of trees, so that the mean over trees is LightGBM's sum.
    """
    infos = dump["tree_info"]
    columns: dict[str, list[Any]] = {
        k: [] for k in ("feature", "threshold", "levels", "left", "value", "cover")
    }
    offset = [0]
    for info in infos:
        root = info["tree_structure"]
        first = offset[-1]
        queue, size = [root], 1
        for node in queue:
            inner = "split_feature" in node
            columns["feature"].append(node["split_feature"] if inner else -1)
            columns["left"].append(first + size if inner else 0)
            columns["value"].append(node["internal_value"] if inner else node["leaf_value"])
            columns["cover"].append(node["internal_count"] if inner else node.get("leaf_count", len(data)))
            threshold, mask = 0.0, 0
            if inner and node["decision_type"] == "==":
                mask = sum(1 << int(level) for level in str(node["threshold"]).split("||"))
            elif inner:
                threshold = node["threshold"]
            columns["threshold"].append(threshold)
            columns["levels"].append(mask)
            if inner:
                queue += [node["left_child"], node["right_child"]]
                size += 2
        offset.append(first + size)
    return Trees(
        offset=np.array(offset, np.int64),
        feature=np.array(columns["feature"], np.int16),
        threshold=round_down(np.array(columns["threshold"], np.float64)),
        levels=np.array(columns["levels"], np.uint64),
        left=np.array(columns["left"], np.int32),
        value=np.array(columns["value"], np.float64) * len(infos),
        cover=np.array(columns["cover"], np.float64),
        n_levels=data.n_levels,
    )
