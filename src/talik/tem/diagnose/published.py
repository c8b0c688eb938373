"""The published regional results beside those of a run: signs, order of the scenarios, magnitudes.

Source of the published numbers: Liu, Zhuang, Zhao, Wei & Zheng (2024), Earth's Future 12, e2024EF004996. They come from
another forcing, other parameters and observed soil carbon everywhere, so they are a yardstick, not a target.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import xarray as xr

from talik.errors import InputError
from talik.tem.diagnose.diagnostics import Diagnostics
from talik.tem.diagnose.effects import DIMENSION

Grade = Literal["30 %", "factor 2", ""]
LOW, HIGH = "ssp126", "ssp585"


@dataclass(frozen=True)
class Row:
    """One quantity: published values by scenario (NaN: none), and how it is computed here for a scenario."""

    quantity: str
    unit: str
    low: float
    high: float
    compute: Callable[[Diagnostics, str], float]
    definition: str
    grade: Grade = ""

    def published(self, scenario: str) -> float | None:
        """The published value for a scenario; None if there is none."""
        value = {LOW: self.low, HIGH: self.high}.get(scenario, math.nan)
        return None if math.isnan(value) else value


def at(d: Diagnostics, scenario: str, name: str, year: int) -> float:
    """A sum or a permafrost variable of the reference run in a year."""
    values = d.values(name, scenario).sel({DIMENSION: d.design.reference})
    return float(values.sel(year=year))


def _mean_before(d: Diagnostics, scenario: str, name: str) -> float:
    """Mean of the six years that end with the reference year, of those there are."""
    whole = d.reference(name, scenario)
    return float(whole.sel(year=slice(d.reference_year - 5, d.reference_year)).mean())


def _late(d: Diagnostics, scenario: str, name: str) -> float:
    """Mean of the reference run over the ten years before the last."""
    values = d.values(name, scenario).sel({DIMENSION: d.design.reference})
    return float(values.sel(year=_late_years(d)).mean())


def _late_years(d: Diagnostics) -> slice:
    return slice(d.last_year - 10, max(d.reference_year, d.last_year - 1))


def effect_at_end(name: str, run: str = "S_PF", times: float = 1.0) -> Callable[[Diagnostics, str], float]:
    """Effect at the end on a state, or on a flux summed over all years."""
    return lambda d, s: times * float(d.effect_of(run, name, s).sel(year=d.last_year))


def _yearly_effect(d: Diagnostics, scenario: str, name: str) -> xr.DataArray:
    """(year,) effect of permafrost on a flux in each year."""
    if "S_PF" not in d.design.fixed:
        raise InputError("needs the run S_PF")
    values = d.values(name, scenario)
    return values.sel({DIMENSION: d.design.reference}) - values.sel({DIMENSION: "S_PF"})


def layers(d: Diagnostics, scenario: str, name: str = "thawed") -> xr.DataArray:
    """(depth_interval,) Pg C since the reference year, at the last decade, with the top of the intervals, m."""
    if name not in d.depth:
        raise InputError(f"needs {'thawedCarbonByDepth' if name == 'thawed' else 'rhPermafrostByDepth'}")
    at = d.depth[name].sel({"scenario": scenario, DIMENSION: d.design.reference}, drop=True)
    return at.isel(decade=-1)


def _between(values: xr.DataArray, top: float, bottom: float) -> float:
    return float(values.where((values["top"] >= top) & (values["bottom"] <= bottom)).sum())


def _share_between(name: str, top: float, bottom: float) -> Callable[[Diagnostics, str], float]:
    def compute(d: Diagnostics, scenario: str) -> float:
        values = layers(d, scenario, name)
        return _percent(_between(values, top, bottom), float(values.sum()))

    return compute


def _percent(part: float, whole: float) -> float:
    return 100.0 * part / whole if whole != 0.0 else math.nan


def _gain(name: str, times: float = 1.0) -> Callable[[Diagnostics, str], float]:
    return lambda d, s: times * d.gain(name, s)


def _last(name: str, times: float = 1.0) -> Callable[[Diagnostics, str], float]:
    return lambda d, s: times * at(d, s, name, d.last_year)


def _share_of_rise(d: Diagnostics, scenario: str) -> float:
    rise = _late(d, scenario, "rh") - at(d, scenario, "rh", d.reference_year)
    return _percent(_late(d, scenario, "rhPermafrost"), rise)


def _late_effect(name: str) -> Callable[[Diagnostics, str], float]:
    return lambda d, s: float(_yearly_effect(d, s, name).sel(year=_late_years(d)).mean())


def _rise_of_effect(d: Diagnostics, scenario: str) -> float:
    each = _yearly_effect(d, scenario, "rh")
    return float(each.sel(year=d.last_year) - each.sel(year=d.reference_year))


_SUM = "summed from the reference year to the last"
_END = "at the end of the last year"
_LATE = "mean of the ten years before the last"
ROWS: tuple[Row, ...] = (
    Row(
        "permafrost area, 2010-2015",
        "1e6 km2",
        14.4,
        14.4,
        lambda d, s: _mean_before(d, s, "area"),
        "mean of the six years that end with the reference year; all cells",
        "30 %",
    ),
    Row(
        "permafrost area lost",
        "1e6 km2",
        1.45,
        2.57,
        lambda d, s: _mean_before(d, s, "area") - at(d, s, "area", d.last_year),
        "the row above less the last year",
        "30 %",
    ),
    Row(
        "increase of mean active-layer thickness",
        "m",
        1.02,
        3.80,
        lambda d, s: at(d, s, "alt", d.last_year) - at(d, s, "alt", d.reference_year),
        "last year less reference year; permafrost of the reference year, lost ground counts as 10 m",
        "30 %",
    ),
    Row(
        "soil carbon of the active layer, 2015",
        "Pg C",
        563.0,
        563.0,
        lambda d, s: at(d, s, "cSoilActive", d.reference_year),
        "end of the reference year",
    ),
    Row(
        "vegetation carbon, 2015",
        "Pg C",
        98.0,
        98.0,
        lambda d, s: at(d, s, "cVeg", d.reference_year),
        "end of the reference year",
    ),
    Row("thawed carbon, 0-6 m", "Pg C", 119.3, 251.57, _last("thawedCarbon"), _END, "30 %"),
    Row(
        "thawed carbon, 0-3 m",
        "Pg C",
        56.05,
        123.25,
        lambda d, s: _between(layers(d, s), 0.0, 3.0),
        "last decade; the source calls the same share 1-3 m, so it is not graded",
    ),
    Row(
        "share of thawed carbon from 1-3 m",
        "%",
        47.0,
        49.0,
        _share_between("thawed", 1.0, 3.0),
        "last decade",
    ),
    Row(
        "change of permafrost carbon by decomposition",
        "Pg C",
        -5.06,
        -19.66,
        _gain("rhPermafrost", -1.0),
        f"respiration of thawed carbon {_SUM}, negative",
        "factor 2",
    ),
    Row(
        "decomposed share of the thawed carbon",
        "%",
        4.0,
        8.0,
        lambda d, s: _percent(d.gain("rhPermafrost", s), _last("thawedCarbon")(d, s)),
        "the row above over thawed carbon",
    ),
    Row(
        "share of permafrost respiration from 1-2 m",
        "%",
        35.0,
        43.0,
        _share_between("decomposed", 1.0, 2.0),
        "last decade",
    ),
    Row("thawed nitrogen", "Pg N", 10.73, 27.20, _last("thawedNitrogen", 1e-3), _END),
    Row("permafrost effect on RH", "Pg C", 5.55, 20.68, effect_at_end("rh"), _SUM, "factor 2"),
    Row("permafrost effect on NPP", "Pg C", 2.18, 5.34, effect_at_end("npp"), _SUM),
    Row("permafrost effect on ecosystem carbon", "Pg C", -3.37, -15.37, effect_at_end("ecoC"), _END),
    Row("permafrost effect on vegetation carbon", "Pg C", 0.44, 1.63, effect_at_end("cVeg"), _END),
    Row("permafrost effect on vegetation nitrogen", "Tg N", 9.97, 26.17, effect_at_end("nVeg"), _END),
    Row(
        "permafrost effect on RH, rise to 2100",
        "Pg C yr-1",
        0.10,
        0.77,
        _rise_of_effect,
        "effect in the last year less that in the reference year",
    ),
    Row("permafrost effect on NPP, 2090s", "Pg C yr-1", 0.04, 0.15, _late_effect("npp"), _LATE),
    Row("permafrost effect on NEP, 2090s", "Pg C yr-1", -0.07, -0.53, _late_effect("nep"), _LATE),
    Row(
        "share of permafrost respiration in the rise of RH",
        "%",
        18.0,
        31.0,
        _share_of_rise,
        f"permafrost RH over the rise of RH since the reference year; {_LATE}",
    ),
    Row(
        "share of permafrost respiration in RH, 2090s",
        "%",
        math.nan,
        18.0,
        lambda d, s: _percent(_late(d, s, "rhPermafrost"), _late(d, s, "rh")),
        _LATE,
    ),
    Row("NEP, 2090s", "Pg C yr-1", math.nan, 0.26, lambda d, s: _late(d, s, "nep"), _LATE),
    Row(
        "NEP without permafrost respiration, 2090s",
        "Pg C yr-1",
        math.nan,
        0.91,
        lambda d, s: _late(d, s, "nep") + _late(d, s, "rhPermafrost"),
        f"NEP + permafrost RH; {_LATE}",
    ),
    Row(
        "plant uptake of thawed N over net mineralisation",
        "%",
        1.3,
        1.2,
        lambda d, s: _percent(d.gain("fNupThaw", s), d.gain("fNnetmin", s) + d.gain("fNnetminPermafrost", s)),
        f"mineralisation of the active layer and below it, {_SUM}",
    ),
    Row(
        "change of ecosystem carbon",
        "Pg C",
        12.72,
        26.13,
        _gain("ecoC"),
        "since the start of the reference year",
    ),
    Row("CO2 effect on ecosystem carbon", "Pg C", 12.13, 56.50, effect_at_end("ecoC", "S_CO2"), _END),
    Row(
        "permafrost effect on RH of the active layer",
        "Pg C",
        0.49,
        1.02,
        lambda d, s: effect_at_end("rh")(d, s) - effect_at_end("rhPermafrost")(d, s),
        f"RH without permafrost RH, {_SUM}; derived from the published numbers",
    ),
    Row(
        "permafrost effect on litter",
        "Pg C",
        1.74,
        3.71,
        lambda d, s: effect_at_end("npp")(d, s) - effect_at_end("cVeg")(d, s),
        "effect on NPP less that on vegetation carbon; derived from the published numbers",
    ),
    Row(
        "permafrost effect on soil carbon of the active layer",
        "Pg C",
        1.25,
        2.69,
        effect_at_end("cSoilActive"),
        f"{_END}; derived from the published numbers",
    ),
    Row(
        "permafrost effect on all soil carbon",
        "Pg C",
        -3.81,
        -16.97,
        effect_at_end("cSoil"),
        f"{_END}; derived from the published numbers",
    ),
    Row(
        "thawed carbon per permafrost area",
        "kg C m-2",
        8.3,
        17.5,
        lambda d, s: _last("thawedCarbon")(d, s) / _mean_before(d, s, "area"),
        "thawed carbon over the permafrost area of 2010-2015",
        "30 %",
    ),
)
"""The published table. The order is that of the source; the last five rows follow from it."""


def table(d: Diagnostics) -> list[dict[str, str | float | bool | None]]:
    """Every row of `ROWS` for every scenario of the run, beside the published value where there is one.

    `sign` : whether the sign is that of the published value. `order` : whether the published scenario with the larger
    value has the larger one here (None if the published ones are equal or a scenario is missing). `ratio` : this run
    over published. `within` : whether the magnitude is within its `grade` (area, active layer and thawed carbon 30 %,
    permafrost respiration a factor 2); None for rows without one. `missing` : why there is no value.
    """
    out: list[dict[str, str | float | bool | None]] = []
    for row in ROWS:
        values = {scenario: _value(row, d, scenario) for scenario in d.scenarios}
        order = _same_order(row, {s: v for s, (v, _) in values.items()})
        for scenario, (value, missing) in values.items():
            published = row.published(scenario)
            told: dict[str, str | float | bool | None] = {
                "quantity": row.quantity,
                "unit": row.unit,
                "scenario": scenario,
                "published": published,
                "value": value,
                "sign": None,
                "order": order,
                "ratio": None,
                "grade": row.grade,
                "within": None,
                "definition": row.definition,
                "missing": missing,
            }
            if published is not None and value is not None:
                ratio = value / published
                told |= {"sign": ratio > 0.0, "ratio": ratio, "within": _within(row.grade, ratio)}
            out.append(told)
    return out


def table_csv(rows: list[dict[str, str | float | bool | None]]) -> str:
    """Rows of equal keys as CSV text; None is empty."""
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()


def _value(row: Row, d: Diagnostics, scenario: str) -> tuple[float | None, str]:
    try:
        value = row.compute(d, scenario)
    except InputError as err:
        return None, str(err)
    return (value, "") if math.isfinite(value) else (None, "not defined in this run")


def _same_order(row: Row, values: Mapping[str, float | None]) -> bool | None:
    low, high = values.get(LOW), values.get(HIGH)
    if low is None or high is None or math.isnan(row.low) or math.isnan(row.high) or row.low == row.high:
        return None
    return (high > low) == (row.high > row.low) and high != low


def _within(grade: Grade, ratio: float) -> bool | None:
    if grade == "30 %":
        return abs(ratio - 1.0) <= 0.3
    return 0.5 <= ratio <= 2.0 if grade == "factor 2" else None
