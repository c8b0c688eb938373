"""Whether the fluxes of a model can be what its files say: signs, the balance of NPP, sums over the globe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from talik.flux.table import Species, flux_var, mass_ratio

Array = npt.NDArray[np.float64]


class GlobalRange(NamedTuple):
    """What all land emits or takes up in a year, Pg of a species, if the numbers mean what the format says."""

    low: float
    high: float
    species: Species


GLOBAL: Mapping[str, GlobalRange] = MappingProxyType(
    {
        "gpp": GlobalRange(80.0, 200.0, "C"),
        "npp": GlobalRange(30.0, 110.0, "C"),
        "rh": GlobalRange(25.0, 110.0, "C"),
        "fch4": GlobalRange(0.1, 0.25, "CH4"),
    }
)
"""Bands that are wide enough for any model and catch another time or species. Those of NPP and Rh are ours: chosen so
that a model within the band of GPP stays inside, and CO2 in place of C does not."""
POSITIVE = ("gpp", "npp", "ra", "rh", "fFire")
UNBALANCED = 0.5
"""Refused: |GPP - NPP - Ra| as a share of GPP."""
NOTED = 0.05
OPPOSITE = -0.5
"""Refused: correlation of NBP or NEP with NPP - Rh (- fire) over cells and steps."""
FEW_MARKS = 3
"""Impossible values of at most so many kinds are marks of missing data, more are fluxes in other units."""
_PG = 1e-12
_LEAST_CELLS = 20


@dataclass(frozen=True, eq=False)
class Sample:
    """One year of a model in memory.

    fluxes : name to (step, lat, lon), kg m-2 s-1 per land area, NaN without data.     seconds : (step,) length.
    land_area : (lat, lon) m2 of land.     covers_globe : whether all land lies on the grid.     whole_year : whether
    the steps are one.
    """

    fluxes: Mapping[str, Array]
    seconds: Array
    land_area: Array
    covers_globe: bool
    whole_year: bool


def wrong_with(sample: Sample) -> tuple[list[str], list[str]]:
    """What cannot be, and what should be known: two lists of sentences without a full stop."""
    wrong: list[str] = []
    told: list[str] = []
    totals = {name: _total(values, sample) for name, values in sample.fluxes.items()}
    for name, total in totals.items():
        if not np.isfinite(sample.fluxes[name]).any():
            wrong.append(f"{name} has no data in the year that was looked at")
        elif name in POSITIVE and total < 0.0:
            wrong.append(
                f"{name} is negative on the whole, where {flux_var(name).positive} is positive: the other sign?"
            )
        elif name == "fFire" and total == 0.0:
            wrong.append("fFire is 0 everywhere: a model without fire has no fFire, it is absent and never 0")
    wrong_balance, told_balance = _balance(sample.fluxes, totals)
    wrong_sign, told_sign = _direction(sample.fluxes)
    wrong += wrong_balance + wrong_sign + _global_sums(totals, sample)
    told += told_balance + told_sign
    if not (sample.covers_globe and sample.whole_year) and set(totals) & set(GLOBAL):
        told.append("the grid or the period is not whole: sums over the globe were not checked")
    return wrong, told


def marks(values: Array, low: float, high: float, units: str) -> tuple[str, str]:
    """What the values outside `low` to `high` are: a problem, or a remark (each may be empty)."""
    beyond = (values < low) | (values > high)
    if not beyond.any():
        return "", ""
    kinds = np.unique(values[beyond])
    named = ", ".join(f"{v:.6g}" for v in kinds[:FEW_MARKS])
    if kinds.size > FEW_MARKS or (kinds > 0).any():
        return (
            f"reaches {kinds[np.argmax(np.abs(kinds))]:.4g} {units}, which no land does: other units?",
            "",
        )
    return "", f"holds {named} {units}, no declared fill: taken as no data"


def _total(values: Array, sample: Sample) -> float:
    """kg over the steps."""
    return float(np.nansum(values * sample.seconds[:, None, None] * sample.land_area))


def _balance(fluxes: Mapping[str, Array], totals: Mapping[str, float]) -> tuple[list[str], list[str]]:
    if not {"gpp", "npp", "ra"} <= set(fluxes):
        return [], ["GPP, NPP and Ra are not all there: their balance was not checked"]
    off = (totals["gpp"] - totals["npp"] - totals["ra"]) / totals["gpp"] if totals["gpp"] else np.inf
    text = f"GPP - NPP - Ra is {100 * off:.3g} % of GPP"
    if not abs(off) <= UNBALANCED:
        return [f"{text}: one of them has other units, species or sign"], []
    return [], [text] if abs(off) > NOTED else []


def _direction(fluxes: Mapping[str, Array]) -> tuple[list[str], list[str]]:
    """NBP and NEP against NPP - Rh, less fire for NBP."""
    wrong, told = [], []
    for name in ("nbp", "nep"):
        if name not in fluxes:
            continue
        if not {"npp", "rh"} <= set(fluxes):
            told.append(f"the sign of {name} was not checked: it needs NPP and Rh")
            continue
        expected = fluxes["npp"] - fluxes["rh"]
        if name == "nbp" and "fFire" in fluxes:
            expected = expected - fluxes["fFire"]
        both = np.isfinite(expected) & np.isfinite(fluxes[name])
        a, b = expected[both], fluxes[name][both]
        if a.size < _LEAST_CELLS or _flat(a) or _flat(b):
            told.append(f"the sign of {name} was not checked: too few cells, or all are equal")
            continue
        r = float(np.corrcoef(a, b)[0, 1])
        if r < OPPOSITE:
            wrong.append(
                f"{name} goes against NPP - Rh (correlation {r:.2f}): it has the sign of NEE, up; positive is down"
            )
        elif r < -OPPOSITE:
            told.append(f"the sign of {name} is not certain: its correlation with NPP - Rh is {r:.2f}")
    return wrong, told


def _flat(values: Array) -> bool:
    return float(values.std()) <= 1e-9 * float(np.abs(values).max(initial=0.0))


def _global_sums(totals: Mapping[str, float], sample: Sample) -> list[str]:
    if not (sample.covers_globe and sample.whole_year):
        return []
    out = []
    for name, (low, high, species) in GLOBAL.items():
        if name not in totals:
            continue
        found = totals[name] * _PG * mass_ratio(flux_var(name).species, species)
        if not low <= found <= high:
            out.append(
                f"{name} is {found:.4g} Pg {species} in the year over all land, expected {low:g} to {high:g}: per "
                f"month or year in place of second, another species (CO2 for C is a factor "
                f"{mass_ratio('C', 'CO2'):.2f}), or another area"
            )
    return out
