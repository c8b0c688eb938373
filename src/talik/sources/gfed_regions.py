"""Annual fire emissions of the regions of GFED4.1s, from the published tables, and the emission factors they imply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd

from talik.errors import InputError, UnitsError
from talik.flux.table import ATOMS, mass_ratio
from talik.sources.gfed_factors import FIRE_TYPES, FIRST_BETA_YEAR, REGIONS, EmissionFactors
from talik.sources.table_file import read_table

ALL = "ALL"
"""Code of all kinds of fire together."""
GLOBAL = "Global"
_TYPE_OF = {name: code for code, name in FIRE_TYPES.items()} | {"All fire types combined": ALL}
_KEYS = ["species", "fire_type", "region", "year"]
FACTOR_TOLERANCE = 0.02
"""How far, as a share, the emission factors of a table may lie from those of GFED4.1s."""


@dataclass(frozen=True, slots=True)
class _Unit:
    """How a species is printed: the text that says its units, and one printed unit in Tg."""

    text: str
    teragrams: float


UNITS: Mapping[str, _Unit] = MappingProxyType(
    {
        "C": _Unit("1E12 g C", 1.0),
        "DM": _Unit("1E12 g DM", 1.0),
        "CO2": _Unit("1E13 g CO2", 10.0),
        "CO": _Unit("1E11 g CO", 0.1),
        "CH4": _Unit("1E10 g CH4", 0.01),
        "N2O": _Unit("1E9 g N2O", 0.001),
    }
)
"""Printed units of the tables; gases are masses of the gas."""


def read_gfed_regions(path: str | Path) -> pd.DataFrame:
    """Annual emissions by species, kind of fire, region and year, from a CSV table (gzipped or not) of GFED4.1s.

    Columns: species (C, DM, CO2, CO, CH4, N2O), fire_type (SAVA, BORF, TEMF, DEFO, PEAT, AGRI, or ALL), region (one of
    the 14, or Global), year, emission_Tg (Tg of the *gas* for gases), unit_Tg (one printed unit), element_Tg (Tg of
    its C or N; NaN of dry matter), beta (years from 2017, preliminary). The published numbers are cut to whole printed
    units: the emission lies between emission_Tg and emission_Tg + unit_Tg, so small regions and kinds are too low.

    The emission factors of global totals must be those of GFED4.1s to 2 %, which tells gas from element mass.

    Raises:
        InputError: columns, species, regions or kinds of fire that are missing or unknown; rows that are missing or
            given twice; negative emissions; kinds of fire, or regions, that do not add up.
        UnitsError: units that are not those of the species; emissions that are element mass where gas is stated.
    """
    path = Path(path)
    table, _ = read_table(path, labels=("species", "source_unit_text", "fire_type", "region"))
    missing = [
        c
        for c in ("species", "source_unit_text", "fire_type", "region", "year", "emission")
        if c not in table
    ]
    if missing:
        raise InputError(
            f"{path}: no column {', '.join(missing)}; found {', '.join(map(str, table.columns))}."
        )
    _known(table, "species", set(UNITS), path)
    _known(table, "fire_type", set(_TYPE_OF), path)
    _known(table, "region", {*REGIONS, GLOBAL}, path)
    out = table[["species", "region"]].copy()
    out.insert(1, "fire_type", table["fire_type"].map(_TYPE_OF))
    for name in ("year", "emission"):
        out[name] = pd.to_numeric(table[name], errors="coerce")
        _require(out, out[name].notna(), path, f"{name} is missing or no number. Correct it.")
    _require(out, out["emission"] >= 0.0, path, "the emission is negative. Correct it.")
    out["year"] = out["year"].astype(int)
    _check_units(table, out, path)
    _check_complete(out, path)
    _check_sums(out, path)
    out["unit_Tg"] = out["species"].map({s: u.teragrams for s, u in UNITS.items()})
    out["emission_Tg"] = out["emission"] * out["unit_Tg"]
    element = {s: mass_ratio(s, ATOMS[s][0]) if s in ATOMS else np.nan for s in UNITS}
    out["element_Tg"] = out["emission_Tg"] * out["species"].map(element)
    out["beta"] = out["year"] >= FIRST_BETA_YEAR
    _check_factors(out, path)
    return out[[*_KEYS, "emission_Tg", "unit_Tg", "element_Tg", "beta"]]


def implied_factors(table: pd.DataFrame, region: str = GLOBAL) -> pd.DataFrame:
    """Emission factors that a table of `read_gfed_regions` implies for a region, over all its years, g kg-1.

    A row a species and kind of fire, with columns low and high: numbers that are cut to whole printed units only bound
    their ratio. high is infinite where no dry matter is printed.
    """
    rows = table[(table["region"] == region) & (table["fire_type"] != ALL)]
    total = rows.groupby(["species", "fire_type"])[["emission_Tg", "unit_Tg"]].sum()
    emitted = total.drop(index="DM", level="species").reset_index()
    dry = total.loc["DM"].reindex(emitted["fire_type"])
    burned, cut = dry["emission_Tg"].to_numpy(), dry["unit_Tg"].to_numpy()
    with np.errstate(divide="ignore"):
        emitted["low"] = 1000.0 * emitted["emission_Tg"] / (burned + cut)
        emitted["high"] = 1000.0 * (emitted["emission_Tg"] + emitted["unit_Tg"]) / burned
    return emitted[["species", "fire_type", "low", "high"]]


def _known(table: pd.DataFrame, column: str, known: set[str], path: Path) -> None:
    unknown = sorted(set(map(str, table[column].unique())) - known)
    if unknown:
        raise InputError(
            f"{path}: {column} {', '.join(map(repr, unknown[:3]))} is unknown; known are {', '.join(sorted(known))}."
        )


def _require(rows: pd.DataFrame, right: pd.Series, path: Path, what: str) -> None:
    """InputError that names the first row that is not right."""
    wrong = np.flatnonzero(~right.to_numpy(bool))
    if wrong.size:
        first = " ".join(str(rows[c].iloc[wrong[0]]) for c in _KEYS if c in rows)
        raise InputError(f"{path}: {wrong.size} of {len(rows)} rows, first {first}: {what}")


def _check_units(table: pd.DataFrame, out: pd.DataFrame, path: Path) -> None:
    """The text of the units, and the converted column if there is one."""
    expected = out["species"].map({s: u.text for s, u in UNITS.items()})
    wrong = np.flatnonzero((table["source_unit_text"].str.strip() != expected).to_numpy(bool))
    if wrong.size:
        i = int(wrong[0])
        raise UnitsError(
            f"{path}: {out['species'].iloc[i]} is in {table['source_unit_text'].iloc[i]!r} in {wrong.size} rows; "
            f"expected {expected.iloc[i]!r}. Convert it."
        )
    if "emission_Tg" in table:
        factor = out["species"].map({s: u.teragrams for s, u in UNITS.items()})
        given = pd.to_numeric(table["emission_Tg"], errors="coerce")
        off = ~np.isclose(given, out["emission"] * factor, rtol=1e-6, atol=1e-9)
        if off.any():
            i = int(np.flatnonzero(off)[0])
            raise UnitsError(
                f"{path}: emission_Tg of {out['species'].iloc[i]} is {given.iloc[i]:g} where "
                f"{out['emission'].iloc[i]:g} x {factor.iloc[i]:g} was expected ({int(off.sum())} rows). Correct "
                "the factor or drop the column."
            )


def _check_complete(out: pd.DataFrame, path: Path) -> None:
    """Each species, kind of fire and region once in every year."""
    twice = out.duplicated(_KEYS)
    _require(out, ~twice, path, "given twice. Remove one.")
    years = out["year"].nunique()
    counts = out.groupby(["species", "fire_type", "region"]).size()
    wanted = len(UNITS) * len(_TYPE_OF) * (len(REGIONS) + 1)
    short = counts[counts < years]
    if len(counts) < wanted or len(short):
        told = " ".join(map(str, short.index[0])) if len(short) else f"{wanted - len(counts)} whole series"
        raise InputError(
            f"{path}: rows are missing ({told}); expected {len(UNITS)} species x {len(_TYPE_OF)} kinds of fire x "
            f"{len(REGIONS) + 1} regions x {years} years = {wanted * years} rows, found {len(out)}."
        )


def _check_sums(out: pd.DataFrame, path: Path) -> None:
    """Kinds of fire add up to all, regions to the globe, but for one printed unit each that cutting may have lost."""
    for column, whole, parts in (("fire_type", ALL, len(FIRE_TYPES)), ("region", GLOBAL, len(REGIONS))):
        others = [k for k in _KEYS if k != column]
        is_whole = out[column] == whole
        total = out[is_whole].set_index(others)["emission"].sort_index()
        added = out[~is_whole].groupby(others)["emission"].sum()
        off = added - total
        off = off[off.abs() > parts]
        if len(off):
            named = " ".join(map(str, np.atleast_1d(np.array(off.index[0], dtype=object))))
            raise InputError(
                f"{path}: {column} does not add up to {whole} in {len(off)} cases, first {named} (off by "
                f"{off.iloc[0]:g} printed units); expected at most {parts}, which cutting to whole units explains."
            )


def _check_factors(out: pd.DataFrame, path: Path) -> None:
    """Emission factors of the globe near those of GFED4.1s."""
    factors = EmissionFactors()
    for row in implied_factors(out).itertuples():
        known = factors.of(str(row.species))[str(row.fire_type)]
        low, high = float(row.low), float(row.high)  # type: ignore[arg-type]
        if low > known * (1.0 + FACTOR_TOLERANCE) or high < known * (1.0 - FACTOR_TOLERANCE):
            raise UnitsError(
                f"{path}: {row.species} of {row.fire_type} is {low:g}..{high:g} g per kg of dry matter; expected "
                f"{known:g} (gas mass). Is it element mass, or in other units?"
            )
