"""The published findings on signs and rankings, each asked of a run: does it hold here?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from talik.errors import InputError
from talik.tem.diagnose.diagnostics import Diagnostics
from talik.tem.diagnose.published import HIGH, at, effect_at_end, layers

SINGLES = ("S_PF", "S_CO2", "S_Temp", "S_Prec")
PAIRS: Mapping[str, tuple[str, str]] = {
    "S_PF&CO2": ("S_PF", "S_CO2"),
    "S_PF&Prec": ("S_PF", "S_Prec"),
    "S_CO2&Temp": ("S_CO2", "S_Temp"),
    "S_CO2&Prec": ("S_CO2", "S_Prec"),
    "S_Temp&Prec": ("S_Temp", "S_Prec"),
}
"""The published pair runs and the runs of their two factors."""

TURNING_YEAR = 2060
"""After it, the published run of SSP585 loses soil carbon, and permafrost faster."""


@dataclass(frozen=True)
class Statement:
    """A published finding about signs or rankings, and whether it holds in a scenario of a run."""

    text: str
    holds: Callable[[Diagnostics, str], bool]
    only: str = ""
    """The scenario it is about; all if empty."""


def _ends(d: Diagnostics, scenario: str, name: str) -> dict[str, float]:
    return {run: effect_at_end(name, run)(d, scenario) for run in (*SINGLES, *PAIRS)}


def _pairs_exceed(d: Diagnostics, scenario: str, name: str, but: str = "") -> bool:
    found = _ends(d, scenario, name)
    return all(found[pair] > max(found[a], found[b]) for pair, (a, b) in PAIRS.items() if pair != but)


def _npp_pairs(d: Diagnostics, scenario: str) -> bool:
    if scenario != HIGH:
        return _pairs_exceed(d, scenario, "npp")
    found = _ends(d, scenario, "npp")
    return _pairs_exceed(d, scenario, "npp", but="S_CO2&Temp") and found["S_CO2&Temp"] < found["S_CO2"]


def _largest_rh(d: Diagnostics, scenario: str) -> bool:
    found = _ends(d, scenario, "rh")
    return sorted(found, key=lambda run: -found[run])[:2] == ["S_Temp&Prec", "S_CO2&Temp"]


def _only_co2_raises(d: Diagnostics, scenario: str) -> bool:
    return all((effect_at_end("cSoil", run)(d, scenario) > 0.0) == (run == "S_CO2") for run in SINGLES)


def _falls_late(d: Diagnostics, scenario: str) -> bool:
    return at(d, scenario, "cSoil", d.last_year) < at(d, scenario, "cSoil", _turning_year(d))


def _fast_loss(d: Diagnostics, scenario: str) -> bool:
    turn = _turning_year(d)
    first, middle, last = (at(d, scenario, "area", y) for y in (d.reference_year, turn, d.last_year))
    return (middle - last) / (d.last_year - turn) > (first - middle) / (turn - d.reference_year)


def _turning_year(d: Diagnostics) -> int:
    if not d.reference_year < TURNING_YEAR < d.last_year:
        raise InputError(f"needs years before and after {TURNING_YEAR}")
    return TURNING_YEAR


def _falls_with_depth(values: xr.DataArray) -> bool:
    return bool((np.diff(values.sortby("top").values) < 0.0).all())


def _thawed_falls(d: Diagnostics, scenario: str) -> bool:
    values = layers(d, scenario)
    return _falls_with_depth(values.where(values["top"] >= 1.0, drop=True))


def _fraction_falls(d: Diagnostics, scenario: str) -> bool:
    thawed = layers(d, scenario)
    return _falls_with_depth((layers(d, scenario, "decomposed") / thawed).where(thawed > 0.0, drop=True))


STATEMENTS: tuple[Statement, ...] = (
    Statement(
        "two factors together raise RH by more than either alone", lambda d, s: _pairs_exceed(d, s, "rh")
    ),
    Statement(
        "two factors together raise NPP by more than either alone; under SSP585 CO2 with temperature stays below CO2",
        _npp_pairs,
    ),
    Statement(
        "temperature with precipitation has the largest effect on RH, CO2 with temperature the second",
        _largest_rh,
    ),
    Statement("CO2 is the only factor that raises soil carbon", _only_co2_raises),
    Statement("soil carbon falls after 2060", _falls_late, HIGH),
    Statement("permafrost is lost faster after 2060 than before", _fast_loss, HIGH),
    Statement("below 1 m, less carbon thaws in each deeper metre", _thawed_falls),
    Statement("the decomposed share of thawed carbon falls with depth", _fraction_falls),
)
"""The published findings that a run is checked against, in our words."""


def statements(d: Diagnostics) -> list[dict[str, str | bool | None]]:
    """Every statement for every scenario it is about: `holds` is None where `missing` says what it needs."""
    out: list[dict[str, str | bool | None]] = []
    for statement in STATEMENTS:
        for scenario in d.scenarios:
            if statement.only in ("", scenario):
                told: dict[str, str | bool | None] = {"statement": statement.text, "scenario": scenario}
                try:
                    told |= {"holds": statement.holds(d, scenario), "missing": ""}
                except InputError as err:
                    told |= {"holds": None, "missing": str(err)}
                out.append(told)
    return out
