"""Trends of a table of series: rows of id, t and y in any order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from talik.errors import InputError
from talik.trends.method import LONGEST, Float64, Int64, Method, run_ragged

COLUMNS = ("id", "t", "y")
ROW = ("id", "n", "slope", "intercept", "low", "high", "tau", "p", "nruns", "autocor", "converged", "n_valid")
"""Keys of a row of results."""
_SLACK = 1e-6
"""Share of a step by which a time may miss its place."""


@dataclass(frozen=True, slots=True)
class Series:
    """Many series, one after the other, each on every one of its steps."""

    ids: list[str]
    """In order of first appearance."""
    y: Float64
    """Values, NaN for missing."""
    offset: Int64
    """Series k is y[offset[k]:offset[k+1]]."""
    first: Float64
    """t of the first step of each series."""
    step: float
    """Length of a step, in units of t."""
    inserted: int
    """Steps that no row named."""


def read_series(path: Path) -> Series:
    """Series from a CSV, CSV.gz or Parquet file with columns id, t, y; a blank y or NA is a missing value.

    A t that is left out between the first and the last of a series is a missing value too. t is any number with one
    even step in the whole file; the step is the smallest that occurs.

    InputError: a column is missing or holds text, an id or t is missing, an (id, t) occurs twice, t is not evenly
    spaced, y is infinite.
    """
    from talik.sources.table_file import read_table

    table, _ = read_table(path, labels=("id",))
    for name in COLUMNS:
        if name not in table.columns:
            raise InputError(
                f"{path}: no column {name!r}; found {', '.join(map(str, table.columns))}. "
                "Expected columns id, t, y: rename them, or add a constant id for a single series."
            )
    blank = table["id"].isna()
    if blank.any():
        raise InputError(f"{path}: row {_row(blank)}: column id is blank. Name the series of every row.")
    t, y = (_numbers(path, table, name) for name in ("t", "y"))
    if np.isnan(t).any():
        raise InputError(
            f"{path}: row {_row(np.isnan(t))}: column t is blank. Give its time, or remove the row."
        )
    codes, names = pd.factorize(table["id"].astype(str))
    return _on_every_step(path, np.asarray(codes, np.int64), [str(n) for n in names], t, y)


def series_trends(series: Series, method: Method, threads: int = 1) -> list[dict[str, Any]]:
    """One row (keys `ROW`) for each series, in order; None where undefined. Slope and limits are per unit of t."""
    from talik.trends.prewhitening import COLUMNS as FOUND

    found = run_ragged(series.y, series.offset, method, threads)
    column = dict(zip(FOUND, found.T, strict=True))
    for name in ("slope", "low", "high"):
        column[name] = column[name] / series.step
    lengths = np.diff(series.offset)
    return [
        {
            "id": name,
            "n": int(lengths[k]),
            **{key: _number(column[key][k]) for key in ("slope", "intercept", "low", "high", "tau", "p")},
            "nruns": None if math.isnan(column["nruns"][k]) else int(column["nruns"][k]),
            "autocor": _number(column["autocor"][k]),
            "converged": None if math.isnan(column["converged"][k]) else bool(column["converged"][k]),
            "n_valid": int(column["n_valid"][k]),
        }
        for k, name in enumerate(series.ids)
    ]


def write_rows(rows: list[dict[str, Any]], path: Path) -> None:
    """Rows of results as CSV, CSV.gz or Parquet, by the ending of `path`; whole or not at all."""
    from talik.files import whole_file

    table = pd.DataFrame(rows, columns=list(ROW)).astype({"nruns": "Int64", "converged": "boolean"})
    kind = path.name.lower()
    with whole_file(path) as part:
        if kind.endswith((".parquet", ".pq")):
            table.to_parquet(part, index=False)
        elif kind.endswith((".csv", ".csv.gz")):
            zipped = {"method": "gzip", "mtime": 0} if kind.endswith(".gz") else None
            table.to_csv(part, index=False, compression=zipped, lineterminator="\n")
        else:
            raise InputError(f"{path}: a table is written as .csv, .csv.gz or .parquet. Change the ending.")


def _numbers(path: Path, table: pd.DataFrame, name: str) -> Float64:
    column = table[name]
    if column.dtype.kind in "mMb":
        raise InputError(
            f"{path}: column {name} holds {column.dtype}; expected numbers, such as years. Convert it."
        )
    values = np.asarray(pd.to_numeric(column, errors="coerce"), dtype=np.float64)
    wrong = (np.isnan(values) & np.asarray(column.notna())) | np.isinf(values)
    if wrong.any():
        raise InputError(
            f"{path}: row {_row(wrong)}: column {name} holds {str(column[wrong].iloc[0])!r}; expected a number"
            f"{', or blank or NA for a missing value' if name == 'y' else ', such as a year'}."
        )
    return values


def _row(wrong: Any) -> int:
    """Number of the first such row, counted as an editor shows it (the header is row 1)."""
    return int(np.flatnonzero(np.asarray(wrong))[0]) + 2


def _on_every_step(path: Path, codes: Int64, names: list[str], t: Float64, y: Float64) -> Series:
    order = np.lexsort((t, codes))
    codes, t, y = codes[order], t[order], y[order]
    within = codes[1:] == codes[:-1]
    gaps = np.diff(t)
    twice = np.flatnonzero(within & (gaps == 0.0))
    if len(twice):
        k = twice[0]
        raise InputError(
            f"{path}: id {names[codes[k]]!r} has t = {t[k]:.10g} more than once; expected each t once. "
            "Remove or average the rows."
        )
    step = float(gaps[within].min()) if within.any() else 1.0
    starts = np.flatnonzero(np.r_[True, ~within])
    first = t[starts]
    place = (t - first[codes]) / step
    index = np.round(place)
    off = np.flatnonzero(np.abs(place - index) > _SLACK * np.maximum(1.0, index))
    if len(off):
        k = off[0]
        raise InputError(
            f"{path}: id {names[codes[k]]!r}: t = {t[k]:.10g} is no whole number of steps of {step:.10g} after "
            f"its first t = {first[codes[k]]:.10g}; expected even steps. Correct t, or number the steps."
        )
    lengths = index[np.r_[starts[1:] - 1, len(t) - 1]] + 1.0
    if lengths.max() > LONGEST:
        k = int(lengths.argmax())
        raise InputError(
            f"{path}: id {names[k]!r} spans {lengths[k]:.0f} steps of {step:.10g}; expected at most {LONGEST}. "
            "Look for a wrong t."
        )
    offset = np.r_[0, np.cumsum(lengths.astype(np.int64))]
    full = np.full(offset[-1], np.nan)
    full[offset[codes] + index.astype(np.int64)] = y
    return Series(names, full, offset, first, step, int(len(full) - len(t)))


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
