"""A trained model: what it predicts, from what, how well, how sure, and where it should keep silent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from talik.errors import ConfigError, InputError
from talik.upscaling.applicability import Applicability, area_of_applicability
from talik.upscaling.bootstrap import KINDS, Member
from talik.upscaling.conformal import LEVELS, Widening, calibrate, classes, quantile_levels, score
from talik.upscaling.evaluate import HeldOut, summarise
from talik.upscaling.importance import permutation_importance
from talik.upscaling.learner import Arrays, Fitted, Learner
from talik.upscaling.learners import make_learner
from talik.upscaling.mess import mess
from talik.upscaling.model_file import read_model, write_model
from talik.upscaling.training import Schema, Training
from talik.upscaling.trees import Float32, Float64, Int64

IMPORTANCE_REPEATS = 5
"""Permutations behind the weights of the area of applicability; their mean is what counts."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The training rows a model carries for explanation and applicability."""

    x: Float32
    y: Float64
    groups: Int64
    held_out: Float64
    """Prediction of each row by models that have not seen its fold; NaN where it was not validated."""
    weights: Float64
    """Row weights of the training."""
    at: Float64 | None = None
    """(n, 3) latitude, longitude (degrees) and months since year 0; NaN where the table does not say. None in model
    files written before talik kept it."""


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A fitted learner with its schema, and everything needed to judge it."""

    learner: Learner
    fitted: Fitted
    schema: Schema
    facts: Mapping[str, Any]
    """seed, hash of the data, numbers of rows and sites, names of sites, metrics (JSON values)."""
    rows: Rows | None = None
    widening: Widening | None = None
    """Calibrated widening of raw intervals; none for a model that was not validated."""
    members: tuple[Member, ...] = field(default=())
    """Bootstrap members."""
    applicability: Applicability | None = None
    """Where the model may speak; none if the training rows were left out."""

    def predict(
        self, table: pd.DataFrame, threads: int = 1, units: Mapping[str, str] | None = None
    ) -> Float64:
        """(n,) conditional mean of the flux, in the units of the schema, for the rows of `table`.

        Raises:
            InputError: a predictor is missing, has gaps, unknown classes, another unit or another scale.
        """
        return self.fitted.predict(self.schema.encode(table, units=units), threads)

    def intervals(self, table: pd.DataFrame, threads: int = 1) -> pd.DataFrame:
        """predicted, and lower and upper limits `low_80`, `high_80` ... that cover at sites never seen.

        Columns `biome` and `month` of the table choose the class of the interval; without them it is that of all rows.
        A limit is infinite where too few sites were there to promise the level.

        Raises:
            ConfigError: the model was trained without validation.
        """
        if self.widening is None:
            raise ConfigError("this model was trained without validation, so it has no calibrated intervals")
        x = self.schema.encode(table)
        out = {"predicted": self.fitted.predict(x, threads)}
        raw = self._raw(x, out["predicted"], threads)
        width = self.widening.of(*classes(table.reset_index(drop=True)))
        for k, level in enumerate(self.widening.levels):
            out[f"low_{100 * level:g}"] = raw[:, 2 * k] - width[:, k]
            out[f"high_{100 * level:g}"] = raw[:, 2 * k + 1] + width[:, k]
        return pd.DataFrame(out, index=table.index)

    def where(self, table: pd.DataFrame) -> pd.DataFrame:
        """How far the model may be trusted at the rows of `table`.

        dissimilarity index, inside (the area of applicability), sites_near (training sites within the threshold), mess
        (negative: outside the training range of a continuous predictor) and mess_predictor (of which).

        Raises:
            ConfigError: the model carries no training rows.
        """
        if self.applicability is None or self.rows is None:
            raise ConfigError(
                "this model carries no training rows, so it cannot say where it applies; train it with them"
            )
        x, area = self.schema.encode(table), self.applicability
        out = pd.DataFrame({"dissimilarity": area.dissimilarity(x)}, index=table.index)
        out["inside"] = out["dissimilarity"] <= area.threshold
        out["sites_near"] = area.local_density(x)
        continuous = np.flatnonzero(self.schema.n_levels == 0)
        if len(continuous):
            out["mess"], least = mess(x[:, continuous], self.rows.x[:, continuous])
            out["mess_predictor"] = np.array(self.schema.names)[continuous][least]
        return out

    def predict_members(self, table: pd.DataFrame, threads: int = 1) -> Float64:
        """(n, members) predictions of the bootstrap members.

        Raises:
            ConfigError: the model has none.
        """
        if not self.members:
            raise ConfigError("this model has no bootstrap members; train it with members")
        x = self.schema.encode(table)
        return np.column_stack([member.predict(x, threads) for member in self.members])

    def _raw(self, x: Float32, mean: Float64, threads: int) -> Float64:
        if self.learner.gives_quantiles:
            return self.fitted.predict_quantiles(x, quantile_levels(), threads)
        return np.repeat(mean[:, None], 2 * len(LEVELS), 1)

    def save(self, path: Path) -> Path:
        """Write the model file; see `talik.upscaling.model_file`."""
        arrays: Arrays = {f"fitted/{k}": v for k, v in self.fitted.arrays().items()}
        if self.rows is not None:
            kept = {f"rows/{f.name}": getattr(self.rows, f.name) for f in fields(Rows)}
            arrays |= {name: values for name, values in kept.items() if values is not None}
        if self.applicability is not None:
            arrays |= {f"applicability/{k}": v for k, v in self.applicability.arrays().items()}
        members = []
        for k, member in enumerate(self.members):
            arrays |= {f"member/{k}/{name}": v for name, v in member.fitted.arrays().items()}
            arrays |= {f"member/{k}/:columns": member.columns, f"member/{k}/:recode": member.recode}
            members.append(member.fitted.facts())
        facts = {
            "learner": self.learner.name,
            "settings": self.learner.model_dump(mode="json"),
            "schema": self.schema.model_dump(mode="json"),
            "fitted": self.fitted.facts(),
            "members": members,
            "facts": dict(self.facts),
            "widening": None
            if self.widening is None
            else {
                "levels": list(self.widening.levels),
                "by_class": {
                    k: [w if np.isfinite(w) else None for w in v] for k, v in self.widening.by_class.items()
                },
            },
        }
        return write_model(path, facts, arrays)

    @classmethod
    def load(cls, path: Path, *, members: bool = True) -> Model:
        """Read a model file; without its bootstrap members if they are not wanted, which saves most of the memory.

        Raises:
            InputError: not a whole model file.
        """
        head, arrays = read_model(path, "" if members else "member/")
        try:
            learner = make_learner(head["learner"], head["settings"])
            schema = Schema.model_validate(head["schema"])
            own = {k.removeprefix("fitted/"): v for k, v in arrays.items() if k.startswith("fitted/")}
            rows = (
                Rows(**{f.name: arrays[f"rows/{f.name}"] for f in fields(Rows) if f"rows/{f.name}" in arrays})
                if "rows/x" in arrays
                else None
            )
            near = {
                k.removeprefix("applicability/"): v
                for k, v in arrays.items()
                if k.startswith("applicability/")
            }
            kept = [
                _member(learner, arrays, k, facts)
                for k, facts in enumerate(head["members"] if members else ())
            ]
            return cls(
                learner,
                learner.restore(own, head["fitted"]),
                schema,
                head["facts"],
                rows,
                _widening(head["widening"]),
                tuple(kept),
                Applicability.restore(near) if near else None,
            )
        except (KeyError, TypeError, ValueError) as err:
            raise InputError(
                f"{path}: the parts of this model do not fit together ({err!r}). Train it again."
            ) from err


def train(
    training: Training,
    learner: Learner,
    *,
    seed: int = 448,
    held: HeldOut | None = None,
    design: str = "",
    bootstrap: str | None = None,
    members: int = 0,
    keep_rows: bool = True,
    threads: int = 1,
    listen: Callable[[str], object] = lambda _: None,
) -> Model:
    """Learn from all rows.

    held : held-out predictions of the same rows and learner (`evaluate`), from which metrics and intervals are taken;
    design : its name. bootstrap "rows" or "sites" with so many `members`. keep_rows False leaves the training rows
    out of the model, which then cannot be explained or say where it applies.
    """
    data = training.data
    fitted = learner.fit(data, seed, threads)
    facts: dict[str, Any] = {
        "seed": seed,
        "data": training.key,
        "n_rows": len(data),
        "n_sites": training.n_sites,
        "dropped": dict(training.dropped),
        "metrics": None,
    }
    widening = None
    unseen = np.full(len(data), np.nan)
    if held is not None:
        unseen[held.rows] = held.predicted
        facts["metrics"] = {"design": design, **summarise(training, held)}
        observed = data.y[held.rows]
        own = [score(observed, held.raw[:, 2 * k], held.raw[:, 2 * k + 1]) for k in range(len(LEVELS))]
        fine, coarse = classes(training.rows.iloc[held.rows].reset_index(drop=True))
        widening = calibrate(np.column_stack(own), data.groups[held.rows], fine, coarse, LEVELS)
    made = []
    if members:
        if bootstrap not in KINDS:
            raise ConfigError(f"bootstrap {bootstrap!r} is unknown; choose one of {', '.join(KINDS)}")
        for k in range(members):
            made.append(KINDS[bootstrap](training, learner, k, seed, threads))
            listen(f"bootstrap member {k + 1} of {members}")
        facts["bootstrap"] = bootstrap
    rows, area = None, None
    if keep_rows:
        rows = Rows(data.x, data.y, data.groups, unseen, data.weights, _at(training.rows))
        facts["sites"] = list(training.sites)
        area = _applicability(training, fitted, held, seed, threads)
    return Model(learner, fitted, training.schema, facts, rows, widening, tuple(made), area)


def _at(rows: pd.DataFrame) -> Float64:
    """(n, 3) latitude, longitude and months since year 0 of the rows; NaN where the table does not say."""
    columns = []
    for names in (("lat", "latitude"), ("lon", "longitude"), ("year",), ("month",)):
        name = next((n for n in names if n in rows), None)
        told = pd.Series(np.nan, rows.index) if name is None else pd.to_numeric(rows[name], errors="coerce")
        columns.append(told.to_numpy(np.float64))
    lat, lon, year, month = columns
    return np.column_stack([lat, lon, 12 * year + month - 1])


def _applicability(
    training: Training, fitted: Fitted, held: HeldOut | None, seed: int, threads: int
) -> Applicability | None:
    """Predictors weighted by their permutation importance; folds of the validation, else sites."""
    data = training.data
    folds = held.fold if held is not None and len(held.rows) == len(data) else data.groups
    found = permutation_importance(
        lambda x: fitted.predict(x, threads),
        data.x,
        data.y,
        training.schema.names,
        seed=seed,
        repeats=IMPORTANCE_REPEATS,
    )
    weight = dict(zip(found.names, found.increase.mean(axis=1), strict=True))
    weights = np.array([weight[n] for n in training.schema.names])
    if len(np.unique(folds)) < 2 or not weights.max() > 0:
        return None
    return area_of_applicability(data.x, weights, folds, data.groups, data.n_levels)


def _member(learner: Learner, arrays: Arrays, k: int, facts: Mapping[str, Any]) -> Member:
    own = {n.removeprefix(f"member/{k}/"): v for n, v in arrays.items() if n.startswith(f"member/{k}/")}
    columns, recode = own.pop(":columns"), own.pop(":recode")
    return Member(learner.restore(own, facts), columns, recode)


def _widening(stored: Mapping[str, Any] | None) -> Widening | None:
    if stored is None:
        return None
    by_class = {k: tuple(np.inf if w is None else w for w in v) for k, v in stored["by_class"].items()}
    return Widening(tuple(stored["levels"]), by_class)
