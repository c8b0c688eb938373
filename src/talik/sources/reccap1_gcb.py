"""RECCAP-1 regional budgets of the 2000s, and the Global Carbon Budget with the land sink of each model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from talik.errors import InputError, UnitsError
from talik.sources.reccap2_cmip6 import COLUMNS, TOTAL
from talik.sources.table_file import read_table

_RECCAP1 = ("Region", "Name", "Period", "Mean", "Uncert", "Type")
_LATERAL = "lateral"
_SUMMARIES = ("GCB", "Terrestrial-Sink", "Multi-model mean", "MMM (multi-model mean)", "Model Spread (sd)")
"""Columns of a land-sink table that are no model."""
_MEANS = ("Multi-model mean", "MMM (multi-model mean)")
_MEAN_OFF = 2e-3
"""By how much, Pg year-1, the printed mean may differ from ours: three decimals are printed."""
_TERMS = {
    "fossil emissions excluding carbonation": "up",
    "land-use change emissions": "up",
    "atmospheric growth": "into the atmosphere",
    "ocean sink": "down",
    "land sink": "down",
    "cement carbonation sink": "down",
}
_IMBALANCE = "budget imbalance"


def read_reccap1(path: Path) -> pd.DataFrame:
    """Regional budgets of the 2000s, one row a region and term.

    Columns region (ten and Globe), term (NEE, NPP, Fire emissions ...), period (as printed), value and uncertainty in
    `units` (Tg year-1 of carbon), positive, stated, comment. positive is ``up`` for exchange with the atmosphere (NPP
    is negative) and for the stock change, which the table writes as its effect on the atmosphere (negative where land
    gained); ``out of the region`` for lateral terms. stated is the table's own word (sink, source, gain, loss,
    lateral); where it contradicts the sign of the value, attribute ``notes`` says so and the value stands.

    InputError: columns, or numbers, that cannot be read. Source: GlobalCarbonAtlas/reccap v3.15.2.
    """
    path = Path(path)
    raw, notes = read_table(path, labels=("Mean", "Uncert", "Period"))
    _require(raw, _RECCAP1, path)
    out = pd.DataFrame(
        {
            "region": raw["Region"].str.strip(),
            "term": raw["Name"].str.strip().str.replace("∆", "Δ").str.replace("Δ", "change of "),
            "period": raw["Period"].str.strip(),
            "value": _numbers(raw, "Mean", path),
            "uncertainty": _numbers(raw, "Uncert", path),
            "units": "Tg year-1",
            "positive": np.where(raw["Type"] == _LATERAL, "out of the region", "up"),
            "stated": raw["Type"],
            "comment": raw.get("Comments", ""),
        }
    )
    told = list(notes)
    sinks, sources = out["stated"].isin(["sink", "gain"]), out["stated"].isin(["source", "loss"])
    odd = out[(sinks & (out["value"] > 0)) | (sources & (out["value"] < 0))]
    told += [f"{r}: {t} is called {s} but is {v:g}" for r, t, s, v in _rows(odd)]
    out.attrs["notes"] = tuple(told)
    return out


def read_gcb_land_sink(path: Path) -> pd.DataFrame:
    """Global land sink of each vegetation model as a member table, variable ``land_sink``, Pg year-1 of carbon.

    Positive down. It is the sink without emissions of land-use change (S_LAND of the Global Carbon Budget), so it is
    not the nbp of a model that simulates land use. region is Global, scenario ``gcb``. Columns that summarise (GCB,
    mean, spread) are no members and are left out; the printed mean must be the mean of the models.

    InputError: no year, or no model. UnitsError: the printed mean is not the mean of the models.
    """
    path = Path(path)
    raw, notes = read_table(path)
    raw = raw.rename(columns={"Year": "year"})
    models = [c for c in raw.columns if c != "year" and c not in _SUMMARIES]
    if "year" not in raw or not models:
        raise InputError(
            f"{path}: columns {', '.join(map(str, raw.columns))}; expected year and one column a model. Is it a "
            "land-sink table of the Global Carbon Budget?"
        )
    for name in (c for c in _MEANS if c in raw):
        off = (raw[models].mean(axis=1) - raw[name]).abs()
        if off.max() > _MEAN_OFF:
            year = _year_of_largest(raw, off)
            raise UnitsError(
                f"{path}: in {year} the models' mean differs from column {name!r} by {off.max():.3g} Pg; expected at "
                f"most {_MEAN_OFF:g}. A model is missing or in other units: compare with the workbook."
            )
    out = raw.melt("year", models, "model", "value").dropna(subset="value")
    out = out.assign(region="Global", scenario="gcb", variable="land_sink", units=TOTAL)
    out = out[list(COLUMNS)].reset_index(drop=True)
    out.attrs.update(positive={"land_sink": "down"}, source_file=path.name, notes=tuple(notes))
    return out


def read_gcb_budget(path: Path) -> pd.DataFrame:
    """The Global Carbon Budget by year and term: columns year, term, value, units (Pg year-1 of carbon), positive.

    Emissions are positive up, sinks down, growth into the atmosphere. Emissions less growth less sinks must be the
    printed imbalance. InputError: columns. UnitsError: a year that does not add up.
    """
    path = Path(path)
    raw, notes = read_table(path)
    _require(raw, ("year", *_TERMS, _IMBALANCE), path)
    sources = [t for t, way in _TERMS.items() if way == "up"]
    left = raw[sources].sum(axis=1) - raw[[t for t in _TERMS if t not in sources]].sum(axis=1)
    off = (left - raw[_IMBALANCE]).abs()
    if not off.max() < _MEAN_OFF:
        year = _year_of_largest(raw, off)
        raise UnitsError(
            f"{path}: in {year} emissions less growth and sinks differ from the printed imbalance by {off.max():.3g} "
            f"Pg; expected less than {_MEAN_OFF:g}. A column has another sign or unit: compare with the workbook."
        )
    out = raw.melt("year", [*_TERMS, _IMBALANCE], "term", "value")
    out["units"] = TOTAL
    out["positive"] = out["term"].map({**_TERMS, _IMBALANCE: "emissions exceed growth and sinks"})
    out.attrs["notes"] = tuple(notes)
    return out


def _year_of_largest(table: pd.DataFrame, off: pd.Series) -> int:
    return int(table["year"].iloc[int(np.argmax(off.to_numpy(float)))])


def _rows(odd: pd.DataFrame) -> list[tuple[str, str, str, float]]:
    return list(odd[["region", "term", "stated", "value"]].itertuples(index=False, name=None))


def _require(table: pd.DataFrame, columns: tuple[str, ...], path: Path) -> None:
    lacking = [c for c in columns if c not in table]
    if lacking:
        raise InputError(
            f"{path}: no column {', '.join(lacking)}; found {', '.join(map(str, table.columns))}. Is it another table?"
        )


def _numbers(table: pd.DataFrame, column: str, path: Path) -> pd.Series:
    """Numbers with a decimal point or comma."""
    text = table[column].str.strip()
    values = pd.to_numeric(text.str.replace(",", ".", regex=False), errors="coerce")
    wrong = np.flatnonzero((values.isna() & text.notna()).to_numpy())
    if wrong.size:
        raise InputError(
            f"{path}: row {int(wrong[0]) + 2}: {column} is {text.iloc[wrong[0]]!r}; expected a number. Correct it."
        )
    return values
