"""Training data and held-out predictions as Parquet files, for steps that build on each other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from talik.errors import InputError
from talik.upscaling.conformal import LEVELS
from talik.upscaling.evaluate import HeldOut
from talik.upscaling.training import Training, prepare
from talik.upscaling.trees import Float64

FORM = "talik_training"
_RAW = tuple(f"raw_{k}" for k in range(2 * len(LEVELS)))


def write_training(training: Training, path: Path, *, group: str = "site_id", weights: float = 0.0) -> None:
    """Write training data as the table that `read_training_file` makes them of again."""
    schema = training.schema
    told = {
        "target": schema.target,
        "target_units": schema.units,
        "group": group,
        "predictors": schema.names,
        "categorical": [f.name for f in schema.features if f.levels],
        "units": {f.name: f.units for f in schema.features if f.units},
        "weights": weights,
        "dropped": [list(pair) for pair in training.dropped],
        "notes": list(training.notes),
        "key": training.key,
    }
    rows = training.rows.copy()
    for name in [c for c in rows.columns if pd.api.types.is_object_dtype(rows[c])]:
        rows[name] = rows[name].map(str, na_action="ignore")  # Parquet wants one type in a column
    rows.attrs = {FORM: told}
    rows.to_parquet(path)


def read_training_file(path: Path) -> Training:
    """Training data from `write_training`.

    Raises:
        InputError: no such file, or its rows are not those that were written.
    """
    rows = pd.read_parquet(path)
    told: dict[str, Any] | None = rows.attrs.pop(FORM, None)
    if told is None:
        raise InputError(f"{path}: not training data of talik; they are made by section upscaling.")
    made = prepare(
        rows,
        told["target"],
        told["group"],
        told["predictors"],
        categorical=told["categorical"],
        units=told["units"],
        target_units=told["target_units"],
        weights=told["weights"],
        where=str(path),
    )
    if made.key != told["key"]:
        raise InputError(
            f"{path}: its rows are not those that were written; make it again (remove the file and run the project)."
        )
    dropped = tuple((str(why), int(n)) for why, n in told["dropped"])
    return replace(made, dropped=dropped, notes=tuple(told["notes"]))


def write_held_out(
    training: Training, held: HeldOut, path: Path, *, design: str, note: str, **told: Any
) -> None:
    """Write held-out predictions of rows with site, fold, position and date, observed, predicted, and raw limits."""
    table = held.table(training)
    for name in ("lon", "lat"):
        if name in training.rows:
            table.insert(2, name, training.rows[name].to_numpy()[held.rows])
    for k, name in enumerate(_RAW):
        table[name] = held.raw[:, k]
    facts: dict[Any, Any] = {"design": design, "note": note, **told}
    table.attrs = facts
    table.to_parquet(path)


def read_held_out(path: Path) -> tuple[HeldOut, dict[str, Any]]:
    """Held-out predictions from `write_held_out`, and what was told with them."""
    table = pd.read_parquet(path)
    raw: Float64 = np.ascontiguousarray(table[list(_RAW)].to_numpy(np.float64))
    held = HeldOut(
        table["row"].to_numpy(np.int64),
        table["fold"].to_numpy(np.int64),
        table["predicted"].to_numpy(np.float64),
        raw,
    )
    return held, {str(k): v for k, v in table.attrs.items()}
