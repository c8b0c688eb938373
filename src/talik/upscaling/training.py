"""From a site table to training data: the feature schema, complete rows, and a count of every row left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from talik.config import Frozen
from talik.errors import ConfigError, InputError
from talik.provenance import hash_bytes
from talik.upscaling.learner import Data, row_weights
from talik.upscaling.trees import MAX_LEVELS, Float32, Int64

ALWAYS_CATEGORICAL = ("month", "vegetation_type")
"""Predictors that are classes though they are numbers."""

SUSPICIOUS_SHARE = 0.5
"""A predictor with more than this share of its values a whole training range outside the range is refused."""


class Feature(Frozen):
    """One predictor as the model knows it."""

    name: str
    units: str | None = None
    """As in the training table; none if the table does not say."""
    levels: tuple[str, ...] = ()
    """Classes of a categorical predictor; none for a continuous one."""
    low: float = 0.0
    """Smallest training value of a continuous predictor."""
    high: float = 0.0
    """Largest training value."""


class Schema(Frozen):
    """What a model wants to be given, in order."""

    target: str
    units: str
    features: tuple[Feature, ...]

    @property
    def names(self) -> list[str]:
        return [f.name for f in self.features]

    @property
    def n_levels(self) -> npt.NDArray[np.int16]:
        return np.array([len(f.levels) for f in self.features], np.int16)

    def encode(
        self, table: pd.DataFrame, where: str = "table", units: Mapping[str, str] | None = None
    ) -> Float32:
        """(n, p) predictors of `table`, found by name; other columns and their order do not matter.

        units : unit of a column, where known; it must be that of the training data.

        Raises:
            InputError: a predictor is missing, has gaps, an unknown class, another unit, or values on another scale.
        """
        lost = [name for name in self.names if name not in table.columns]
        if lost:
            have = ", ".join(map(str, table.columns[:20]))
            raise InputError(
                f"{where}: predictor {', '.join(lost)} missing. The model wants {', '.join(self.names)}; found {have}. "
                "Rename or add the column."
            )
        out = np.empty((len(table), len(self.features)), np.float32)
        for k, feature in enumerate(self.features):
            given = (units or {}).get(feature.name)
            if given and feature.units and given != feature.units:
                raise InputError(
                    f"{where}: {feature.name} is in {given!r}, the model learnt it in {feature.units!r}. Convert it."
                )
            out[:, k] = _encode(table[feature.name], feature, where)
        return out


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """Rows to learn from, and what is known about them."""

    data: Data
    schema: Schema
    sites: tuple[str, ...]
    """Name of each group."""
    rows: pd.DataFrame
    """The same rows with every other column of the table, index 0 .. n-1."""
    dropped: tuple[tuple[str, int], ...]
    """Reason and number of rows left out."""
    key: str
    """Hash of responses, predictors, sites and weights."""
    notes: tuple[str, ...] = ()
    """Assumptions made on reading."""

    @property
    def n_sites(self) -> int:
        return len(self.sites)


def prepare(
    table: pd.DataFrame,
    target: str,
    group: str,
    predictors: Sequence[str],
    *,
    categorical: Sequence[str] = (),
    units: Mapping[str, str] | None = None,
    target_units: str = "g m-2 month-1",
    weights: float = 0.0,
    where: str = "table",
) -> Training:
    """Training data from the complete rows of a table (filter F1: target and all predictors present).

    categorical : predictors that are classes; text columns, `month` and `vegetation_type` always are.
    weights : power of the number of rows of a site that divides the weight of its rows (0 rows alike, 1 sites alike).

    Raises:
        InputError: a column is missing, not numeric, or nothing is left.
        ConfigError: the target or the group is among the predictors, or a predictor is named twice.
    """
    asked = [target, group, *predictors]
    lost = [c for c in asked if c not in table.columns]
    if lost:
        have = ", ".join(map(str, table.columns))
        raise InputError(f"{where}: column {', '.join(lost)} not found; the columns are {have}")
    if not predictors:
        raise ConfigError(f"{where}: no predictors were named")
    twice = {c for c in asked if asked.count(c) > 1}
    if twice:
        raise ConfigError(
            f"{where}: {', '.join(sorted(twice))} is used twice among target, group and predictors; name each once"
        )
    chosen = table.loc[:, asked]
    empty = [c for c in asked if chosen[c].isna().all()]
    if empty:
        raise InputError(f"{where}: column {', '.join(empty)} has no value in any row; leave it out")
    dropped = []
    keep = pd.Series(True, index=table.index)
    for column in asked:
        missing = chosen[column].isna() & keep
        if missing.any():
            dropped.append((f"{column} missing", int(missing.sum())))
            keep &= ~missing
    if not keep.any():
        raise InputError(f"{where}: no row has {target} and all of {', '.join(predictors)}")
    rows = table[keep].reset_index(drop=True)
    y = _numbers(rows[target], where)
    site_names, groups = np.unique(rows[group].astype(str).to_numpy(dtype=str), return_inverse=True)
    features = tuple(_feature(rows[c], c in categorical, units or {}, where) for c in predictors)
    schema = Schema(target=target, units=target_units, features=features)
    x = schema.encode(rows, where)
    data = Data(x, y, groups.astype(np.int64), row_weights(groups.astype(np.int64), weights), schema.n_levels)
    key = hash_bytes(
        b"".join(a.tobytes() for a in (data.x, data.y, data.groups, data.weights))
        + schema.key().encode()
        + "\0".join(site_names).encode()
    )
    return Training(data, schema, tuple(map(str, site_names)), rows, tuple(dropped), key)


def _feature(column: pd.Series[Any], named: bool, units: Mapping[str, str], where: str) -> Feature:
    name = str(column.name)
    if named or name in ALWAYS_CATEGORICAL or not pd.api.types.is_numeric_dtype(column):
        levels = tuple(sorted({_level(v) for v in column}, key=_natural))
        if len(levels) > MAX_LEVELS:
            raise InputError(
                f"{where}: {name} has {len(levels)} classes, more than {MAX_LEVELS}. If it is a number, store it as "
                "one; else merge classes."
            )
        return Feature(name=name, levels=levels)
    values = _numbers(column, where)
    return Feature(name=name, units=units.get(name), low=float(values.min()), high=float(values.max()))


def _encode(column: pd.Series[Any], feature: Feature, where: str) -> npt.NDArray[Any]:
    missing = int(column.isna().sum())
    if missing:
        raise InputError(
            f"{where}: {feature.name} is missing in {missing} of {len(column)} rows. Fill or drop these rows first."
        )
    if feature.levels:
        code = {level: k for k, level in enumerate(feature.levels)}
        given = [_level(v) for v in column]
        unseen = sorted(set(given) - set(code), key=_natural)
        if unseen:
            raise InputError(
                f"{where}: {feature.name} has class {', '.join(unseen[:5])}, which no training row has "
                f"(known: {', '.join(feature.levels)}). Merge it with a known class or leave these rows out."
            )
        return np.array([code[v] for v in given], np.float32)
    values = _numbers(column, where)
    refuse_other_scale(values, feature, where)
    return values.astype(np.float32)


def refuse_other_scale(values: npt.NDArray[np.float64], feature: Feature, where: str) -> None:
    """InputError if most values lie a whole training range outside the training range of a continuous predictor."""
    span = feature.high - feature.low
    margin = span if span > 0 else max(abs(feature.high), 1.0)
    outside = (values < feature.low - margin) | (values > feature.high + margin)
    if len(values) and outside.mean() > SUSPICIOUS_SHARE:
        raise InputError(
            f"{where}: {feature.name} runs {values.min():.6g}..{values.max():.6g}, the model learnt "
            f"{feature.low:.6g}..{feature.high:.6g}{f' {feature.units}' if feature.units else ''}"
            f"{_scale_hint(values, feature)}. Convert it to the scale of the training data."
        )


def _scale_hint(values: npt.NDArray[np.float64], feature: Feature) -> str:
    """Which usual factor or offset would bring the values into the training range."""
    ways: dict[str, npt.NDArray[np.float64]] = {
        "in degrees Celsius instead of kelvin": values + 273.15,
        "in kelvin instead of degrees Celsius": values - 273.15,
    }
    ways |= {f"{10**k:g} times too large": values / 10**k for k in (1, 2, 3, 4)}
    ways |= {f"{10**k:g} times too small": values * 10**k for k in (1, 2, 3, 4)}
    for name, candidate in ways.items():
        if np.mean((candidate >= feature.low) & (candidate <= feature.high)) > 0.9:
            return f"; it looks {name}"
    return ""


def _numbers(column: pd.Series[Any], where: str) -> npt.NDArray[np.float64]:
    try:
        values = column.to_numpy(np.float64)
    except (TypeError, ValueError) as err:
        raise InputError(f"{where}: {column.name} holds text where a number is expected ({err})") from err
    if not np.isfinite(values).all():
        raise InputError(f"{where}: {column.name} holds infinite values; mark missing values as NA")
    return values


def _level(value: Any) -> str:
    """A class as text; 3, 3.0 and '3' are one class."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _natural(level: str) -> tuple[int, float, str]:
    try:
        return (0, float(level), "")
    except ValueError:
        return (1, 0.0, level)


def rows_of_site(groups: Int64) -> list[Int64]:
    """Row numbers of each group, in order of the groups."""
    order = np.argsort(groups, kind="stable")
    return [np.sort(part) for part in np.split(order, np.cumsum(np.bincount(groups))[:-1])]
