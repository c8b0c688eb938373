"""Units that a file of emissions states, against the published ones: written in many ways, and often left out."""

from __future__ import annotations

import re
from collections.abc import Set
from pathlib import Path

import xarray as xr

from talik.errors import UnitsError

_SAME = {
    "tonnes": "t",
    "tonne": "t",
    "tons": "t",
    "ton": "t",
    "gridcell": "cell",
    "mo": "month",
    "mon": "month",
    "months": "month",
    "year": "yr",
    "years": "yr",
    "y": "yr",
    "day": "d",
    "days": "d",
    "hour": "h",
    "hours": "h",
    "hr": "h",
    "mole": "mol",
    "moles": "mol",
    "sec": "s",
    "second": "s",
}
_EMPTY = {"per", "grid", "substance", "of"}


def check_units(
    data: xr.DataArray, published: str, needed: Set[str], path: Path, notes: list[str] | None
) -> None:
    """Nothing if the units of `data` are the published ones, in whatever spelling; else UnitsError.

    needed : words that must be among those that are stated (`m2`, `s`: without exponents' signs). What else is left
        out is noted. Units that are missing altogether are taken as published and noted; where `notes` is None they
        are an error, because the published ones are not certain.
    """
    found = str(data.attrs.get("units", "")).strip()
    if not found:
        if notes is None:
            raise UnitsError(
                f"{path}: {data.name!r} states no units; expected {published!r}. Set the attribute units of the file."
            )
        notes.append(f"{path.name}: {data.name} states no units: taken as published, {published}")
        return
    words, known = unit_words(found), unit_words(published)
    if not words <= known or not needed <= words:
        raise UnitsError(
            f"{path}: {data.name!r} has units {found!r}; expected {published!r}. Is this the published file? Correct "
            "its attribute units if you know that they are the published ones."
        )
    if notes is not None and words < known:
        notes.append(f"{path.name}: {data.name} states units {found!r}: taken as published, {published}")


def unit_words(units: str) -> set[str]:
    """Words of units: {'kg', 'co2', 'cell', 'month'} of 'kgCO2/month/cell', {'kg', 'm2', 's'} of 'kg m-2 s-1'."""
    text = re.sub(r"([a-z])(?:\*\*|\^)?\s*[{(]?-?(\d)[})]?", r"\1\2", units.lower())
    text = re.sub(r"\b([pt]?g|kg|t|tonnes?|mol)[\s_.]*(co2|ch4|n2o|[cn](?![a-z0-9]))", r"\1 \2", text)
    words = (re.sub(r"(?<=[a-z])1$", "", word) for word in re.findall(r"[a-z]+\d*[a-z]*", text))
    return {_SAME.get(word, word) for word in words} - _EMPTY
