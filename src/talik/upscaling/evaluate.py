"""Validation of a learner: predict what was left out, and say how good that is, where and in which respect."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from talik.errors import ConfigError
from talik.files import whole_file
from talik.provenance import code_version, hash_bytes
from talik.records import json_rows
from talik.upscaling import scores
from talik.upscaling.conformal import LEVELS, measured_coverage, quantile_levels
from talik.upscaling.fast_loso import fast_leave_one_site_out
from talik.upscaling.folds import Folds
from talik.upscaling.forest import Forest
from talik.upscaling.learner import Learner
from talik.upscaling.learners import make_learner
from talik.upscaling.regression_to_mean import quantile_bias
from talik.upscaling.training import Training
from talik.upscaling.trees import Float64

GROUPINGS = (
    "month",
    "biome",
    "vegetation_type",
    "vegetation",
    "country",
    "disturbance",
    "flux_method",
    "flux_method_detail",
)
"""Columns whose classes are scored apart, where the table has them."""

UNDISTURBED = ("No", "no", "None", "none", "NA", "")
"""Entries of `disturbance` that mean none; missing ones are counted with them."""


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Predictions of rows by models that have not learnt from them."""

    rows: npt.NDArray[np.int64]
    """(m,) rows of the training table, ascending."""
    fold: npt.NDArray[np.int64]
    """(m,)"""
    predicted: Float64
    """(m,) mean."""
    raw: Float64
    """(m, 2 levels) lower and upper limit of each level before widening; the mean itself for a learner of means."""

    def table(self, training: Training) -> pd.DataFrame:
        """One row a prediction: row, site_id, fold, what the table says of it, observed, predicted."""
        known = training.rows.iloc[self.rows]
        site = np.array(training.sites, object)[training.data.groups[self.rows]]
        out = pd.DataFrame({"row": self.rows, "site_id": site, "fold": self.fold})
        for column in ("year", "month", "biome", "disturbance", "disturb_year"):
            if column in known:
                out[column] = known[column].to_numpy()
        out["observed"] = training.data.y[self.rows]
        out["predicted"] = self.predicted
        return out


Listen = Callable[[int, int], object]
"""Told the number of folds done and of all folds."""


def hold_out(
    training: Training,
    learner: Learner,
    folds: Folds,
    seed: int,
    threads: int = 1,
    *,
    fast: bool = False,
    keep: Path | None = None,
    listen: Listen = lambda _done, _all: None,
) -> HeldOut:
    """Predictions of every tested row of `folds`.

    fast : leave-one-site-out of a forest by trees that leave out sites of their own (`fast_leave_one_site_out`).
    keep : folder in which finished folds are kept until all are done; the same call after an interruption goes on
    from there, and one with other data, settings, seed or code does not see them.

    Raises:
        ConfigError: `fast` for another learner or another design.
    """
    data = training.data
    if fast:
        if folds.name != "loso" or not isinstance(learner, Forest) or learner.gives_quantiles:
            raise ConfigError(
                "the fast route leaves sites out of learner forest or extra-trees; use it with cv loso"
            )
        mean = fast_leave_one_site_out(learner, data, seed, threads=threads)
        return HeldOut(np.arange(len(data)), data.groups, mean, np.repeat(mean[:, None], 2 * len(LEVELS), 1))
    wanted = quantile_levels() if learner.gives_quantiles else ()
    kept = keep / _key(training, learner, folds, seed) if keep else None
    parts = []
    for a in range(0, len(folds.held), learner.folds_at_once):
        some = folds.held[a : a + learner.folds_at_once]
        parts.append(
            _once(
                kept / f"folds-{a:05d}.npy" if kept else None,
                lambda some=some: np.concatenate(learner.leave_out(data, some, seed, threads, wanted)),  # type: ignore[misc]
            )
        )
        listen(a + len(some), len(folds.held))
    if keep and kept:
        shutil.rmtree(kept)
        if not any(keep.iterdir()):
            keep.rmdir()
    rows = np.concatenate([test for _, test in folds.held])
    fold = np.repeat(np.arange(len(folds.held)), [len(test) for _, test in folds.held])
    columns = np.concatenate(parts)
    order = np.argsort(rows, kind="stable")
    predicted = columns[order, 0]
    raw = columns[order, 1:] if wanted else np.repeat(predicted[:, None], 2 * len(LEVELS), 1)
    return HeldOut(rows[order], fold[order], predicted, raw)


def _once(path: Path | None, make: Callable[[], Float64]) -> Float64:
    """What `make` gives, from `path` if it is there already."""
    if path is None:
        return make()
    if path.exists():
        return np.asarray(np.load(path, allow_pickle=False))
    made = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part, part.open("wb") as file:
        np.save(file, made)
    return made


def _key(training: Training, learner: Learner, folds: Folds, seed: int) -> str:
    rows = b"".join(part.tobytes() for pair in folds.held for part in pair)
    told = f"{training.key} {learner.name} {learner.key()} {seed} {code_version()} {folds.name}"
    return hash_bytes(told.encode() + rows)[:16]


def summarise(training: Training, held: HeldOut) -> dict[str, Any]:
    """Scores of held-out predictions, JSON values.

    pooled, fold_mean, groups, skill (by kind of difference), coverage, bias_by_prediction (tenths of the predictions,
    lowest first: regression to the mean shows as a trend), and sites (number of rows, RMSE, mean error).
    """
    observed, sites = training.data.y[held.rows], training.data.groups[held.rows]
    rows = training.rows.iloc[held.rows].reset_index(drop=True)
    months = _numeric(rows, "month")
    return {
        "n_rows": len(observed),
        "n_sites": len(np.unique(sites)),
        "pooled": scores.pooled(observed, held.predicted),
        "fold_mean": scores.fold_mean(observed, held.predicted, held.fold),
        "groups": {
            name: scores.by_group(observed, held.predicted, labels)
            for name, labels in _labels(rows, observed, sites, months).items()
        },
        "skill": scores.skill_split(observed, held.predicted, sites, months),
        "coverage": measured_coverage(observed, held.raw, sites, rows),
        "bias_by_prediction": _quantile_bias(observed, held.predicted, sites),
        "sites": _by_site(observed, held.predicted, sites, training.sites),
    }


def evaluate(
    training: Training,
    learner: Learner,
    folds: Folds,
    *,
    seed: int = 448,
    threads: int = 1,
    fast: bool = False,
    keep: Path | None = None,
    listen: Listen = lambda _done, _all: None,
) -> tuple[dict[str, Any], HeldOut]:
    """Validate `learner` by `folds`: the summary (JSON values) and the held-out predictions behind it.

    fast, keep, listen : as in `hold_out`.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    held = hold_out(training, learner, folds, seed, threads, fast=fast, keep=keep, listen=listen)
    summary = summarise(training, held)
    return {
        **summary,
        "design": folds.name + (" (fast route)" if fast else ""),
        "design_note": folds.note,
        "learner": learner.name,
        "settings": learner.model_dump(mode="json"),
        "seed": seed,
        "data": training.key,
        "dropped": dict(training.dropped),
        "notes": list(training.notes),
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
    }, held


def choose_learner(
    training: Training,
    name: str,
    settings: Mapping[str, Any],
    folds: Folds | None,
    *,
    tune: bool = False,
    seed: int = 448,
    threads: int = 1,
    fast: bool = False,
) -> tuple[Learner, list[dict[str, float]]]:
    """The learner `name`, checked against the predictors; with `tune` with the best mtry, and what was tried.

    Raises:
        ConfigError: settings it does not have, or nothing to tune by or on.
    """
    chosen = make_learner(name, settings)
    if isinstance(chosen, Forest):
        chosen.drawn(training.data.x.shape[1])
    if not tune:
        return chosen, []
    if not isinstance(chosen, Forest):
        raise ConfigError("--mtry tune is for forest, extra-trees and quantile-forest")
    if folds is None:
        raise ConfigError("--mtry tune needs a validation design; choose --cv loso or another")
    return tune_mtry(training, chosen, folds, seed=seed, threads=threads, fast=fast)


def tune_mtry(
    training: Training,
    learner: Forest,
    folds: Folds,
    *,
    criterion: str = "fold_mean",
    seed: int = 448,
    threads: int = 1,
    fast: bool = False,
) -> tuple[Forest, list[dict[str, float]]]:
    """The forest with the mtry of the smallest RMSE, and the RMSE of every mtry tried.

    Tried are caret's three: 2, all, and half way. criterion "fold_mean" is caret's mean of fold
    RMSE; "pooled" the RMSE of all rows.
    """
    tried = []
    p = training.data.x.shape[1]
    for mtry in sorted({int(m) for m in np.floor(np.linspace(min(2, p), p, 3))}):
        candidate = learner.model_copy(update={"mtry": mtry})
        held = hold_out(training, candidate, folds, seed, threads, fast=fast)
        observed = training.data.y[held.rows]
        tried.append(
            {
                "mtry": mtry,
                "fold_mean": float(scores.fold_mean(observed, held.predicted, held.fold)["rmse"] or 0.0),
                "pooled": float(scores.pooled(observed, held.predicted)["rmse"] or 0.0),
            }
        )
    best = min(tried, key=lambda row: row[criterion])
    return learner.model_copy(update={"mtry": int(best["mtry"])}), tried


def _labels(
    rows: pd.DataFrame, observed: Float64, sites: npt.NDArray[np.int64], months: Float64 | None
) -> Mapping[str, pd.Series[Any]]:
    out = {}
    for name in GROUPINGS:
        if name in rows and rows[name].notna().any():
            labels = rows[name]
            if name == "disturbance":
                labels = labels.astype(object).where(labels.notna() & ~labels.isin(UNDISTURBED), "none")
            out[name] = labels
    if months is not None and np.isfinite(months).any():
        out["departure"] = _departures(observed, sites, months)
    return out


def _departures(observed: Float64, sites: npt.NDArray[np.int64], months: Float64) -> pd.Series[Any]:
    """Class of an observation's departure from the mean of its site and calendar month, in SD of all departures."""
    table = pd.DataFrame({"y": observed, "site": sites, "month": months})
    departure = table.y - table.groupby(["site", "month"]).y.transform("mean")
    edges = [-np.inf, -1.0, -0.25, 0.25, 1.0, np.inf]
    names = ["1 SD and more below", "below", "near its mean", "above", "1 SD and more above"]
    spread = float(departure.std())
    if not spread > 0:
        return pd.Series("near its mean", index=departure.index)
    return pd.cut(departure / spread, edges, labels=names).astype(object)


def _quantile_bias(
    observed: Float64, predicted: Float64, sites: npt.NDArray[np.int64]
) -> list[dict[str, Any]]:
    table = quantile_bias(observed, predicted, sites, by="predicted")
    return json_rows(table)


def _by_site(
    observed: Float64, predicted: Float64, sites: npt.NDArray[np.int64], names: tuple[str, ...]
) -> dict[str, dict[str, float]]:
    error = predicted - observed
    return {
        names[site]: {
            "n": int((sites == site).sum()),
            "rmse": float(np.sqrt(np.mean(error[sites == site] ** 2))),
            "mbe": float(np.mean(error[sites == site])),
        }
        for site in np.unique(sites)
    }


def _numeric(rows: pd.DataFrame, column: str) -> Float64 | None:
    if column not in rows:
        return None
    return pd.to_numeric(rows[column], errors="coerce").to_numpy(np.float64)
