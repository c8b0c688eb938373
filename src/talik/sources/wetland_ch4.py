"""Methane fluxes of wetland sites from the table of BAWLD-CH4 (Kuhn et al. 2021, Earth Syst. Sci. Data 13, 5151)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pandas as pd

from talik.errors import InputError
from talik.regions.sphere import wrap_longitude
from talik.sources.table_file import read_table

CLASSES: Mapping[str, str] = MappingProxyType(
    {"Bog": "BOG", "Fen": "FEN", "Marshes": "MAR", "PermBog": "PEB", "PermWet": "WTU"}
)
"""Class names of the table and the codes of the same classes in BAWLD land cover."""
SPECIES = "CH4"
"""What the fluxes are a mass of: the gas, not its carbon."""
ROW_NUMBER = "field_1"
TEXT = ("Database", "Reference", "Site", "SiteID", "Country", "Class", "Years", "Meth")
METHODS: Mapping[str, str] = MappingProxyType({"C": "Chamber", "E": "EC"})
PLACE_DECIMALS = 2
"""Coordinates that agree to 0.01 degrees (about 1 km) are one site."""
YEAR = re.compile(r"\b(?:19|20)\d\d\b")
MIRRORED_DEGREES = 1.0
"""How far from zero longitudes of opposite sign count as mirrored, and how nearly they must be opposite."""


@dataclass(frozen=True, slots=True)
class _Number:
    """A column of numbers: its name here, in the file, its units, and the values that can be."""

    name: str
    column: str
    units: str
    low: float
    high: float


_NUMBERS = (
    _Number("ch4_mean", "CH4Av", "mg m-2 d-1", -100.0, 5000.0),
    _Number("ch4_median", "CH4Md", "mg m-2 d-1", -100.0, 5000.0),
    _Number("ch4_max", "CH4Mx", "mg m-2 d-1", -100.0, 20000.0),
    _Number("ch4_annual", "CH4An", "g m-2 year-1", -10.0, 500.0),
    _Number("season_length", "GrowSL", "d", 1.0, 366.0),
    _Number("water_table", "WTAv", "cm", -500.0, 500.0),
    _Number("soil_temperature", "TSoilA", "degC", -40.0, 45.0),
)
UNITS: Mapping[str, str] = MappingProxyType(
    {n.name: n.units for n in _NUMBERS} | {"lat": "degrees_north", "lon": "degrees_east"}
)
"""Units of the columns; the four fluxes are masses of `SPECIES`, positive to the atmosphere."""


@dataclass(frozen=True, eq=False)
class WetlandSites:
    """Methane fluxes of wetland sites, a row a site, class and period of measurement, and how they were read.

    table : site_id, site, class (BAWLD code), dataset (the synthesis that a row is from), lat, lon, years (as printed),
        first_year, last_year, ch4_mean, ch4_median, ch4_max (of the growing season), ch4_annual, season_length,
        water_table (negative: below the surface), soil_temperature, method (Chamber or EC), cell_id of the BAWLD cell,
        country, reference. NaN or NA where nothing is given; years, first_year, last_year and cell_id are nullable.
    units : units by column. The four fluxes are masses of `species` (the gas); `talik.flux.mass_ratio` gives carbon.
    notes : what is doubtful, sentences.
    """

    table: pd.DataFrame
    units: Mapping[str, str]
    species: str
    notes: tuple[str, ...]


def read_wetland_ch4(path: str | Path) -> WetlandSites:
    """Growing-season and annual CH4 fluxes of wetlands, from a CSV table of BAWLD-CH4 (gzipped or not).

    A site is a place: rows whose coordinates agree to 0.01 degrees, whatever they are called. The column SiteID cannot
    be that, as it holds the first word of the name ("Northern", "Fort") and lumps places up to 47 degrees apart; a few
    places have two names. One site may hold several classes: what repeats each other is `site_id` with `class`.
    `site` is SiteID, for coarser groups. A row is a plot or a period at a site; the table has no column that numbers
    them.

    Raises:
        InputError: a column is missing; a class is unknown; rows that are equal but for their number; no site or
            coordinates; entries that are no numbers or outside what can be; a maximum below the mean.
    """
    path = Path(path)
    rows, read_notes = read_table(path, labels=TEXT)
    notes = [f"{path.name}: {n}" for n in read_notes]
    needed = {*TEXT, "LatDec", "LongDec", "Cell_ID", *(n.column for n in _NUMBERS)}
    missing = sorted(needed - set(map(str, rows.columns)))
    if missing:
        raise InputError(
            f"{path}: no column {', '.join(missing)}; expected those of BAWLD-CH4. Rename or add."
        )
    _check_duplicates(rows, path)
    out = _labels(rows, path)
    for number in _NUMBERS:
        out[number.name] = _numbers(rows, number, path)
    out["cell_id"] = _numbers(rows, _Number("", "Cell_ID", "", 0, np.inf), path).astype("Int64")
    _check_fluxes(out, path, notes)
    _note_mirrored(out, path, notes)
    out["dataset"] = rows["Database"].astype("string").str.strip()
    order = ["site_id", "site", "class", "dataset", "lat", "lon", "years", "first_year", "last_year"]
    order += [n.name for n in _NUMBERS] + ["method", "cell_id", "country", "reference"]
    return WetlandSites(out[order], UNITS, SPECIES, tuple(notes))


def _check_duplicates(rows: pd.DataFrame, path: Path) -> None:
    twice = rows.drop(columns=ROW_NUMBER, errors="ignore").duplicated(keep=False)
    if twice.any():
        first = [int(i) + 1 for i in np.flatnonzero(twice)[:2]]
        raise InputError(
            f"{path}: {int(twice.sum())} rows are equal but for their number, first rows {first[0]} and {first[1]}; "
            "expected each measurement once. Remove the copies."
        )


def _labels(rows: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Site, class, place, years, method and source of each row."""
    text = {c: rows[c].astype("string").str.strip() for c in TEXT}
    for name in ("SiteID", "Class"):
        _fail(
            rows, (text[name].isna() | (text[name] == "")).to_numpy(bool), path, f"{name} is missing. Add it."
        )
    unknown = ~text["Class"].isin(CLASSES)
    named = ", ".join(sorted(set(text["Class"][unknown])))
    _fail(
        rows,
        unknown.to_numpy(bool),
        path,
        f"class {named} is unknown; known are {', '.join(CLASSES)}. Rename.",
    )
    strange = (text["Meth"].notna() & ~text["Meth"].isin(METHODS)).to_numpy(bool)
    _fail(rows, strange, path, "Meth is neither C (chamber) nor E (eddy covariance). Correct it.")
    lat = _numbers(rows, _Number("", "LatDec", "degrees", -90.0, 90.0), path)
    lon = _numbers(rows, _Number("", "LongDec", "degrees", -180.0, 360.0), path)
    _fail(rows, (lat.isna() | lon.isna()).to_numpy(), path, "LatDec or LongDec is missing. Add it.")
    east = pd.Series(wrap_longitude(lon.to_numpy()), index=lon.index)
    places = zip(text["SiteID"], lat.round(PLACE_DECIMALS), east.round(PLACE_DECIMALS), strict=True)
    names: dict[tuple[float, float], str] = {}
    for site, y, x in places:
        names.setdefault((y, x), f"{site} {y:.{PLACE_DECIMALS}f} {x:.{PLACE_DECIMALS}f}")
    keys = zip(lat.round(PLACE_DECIMALS), east.round(PLACE_DECIMALS), strict=True)
    years = [[int(y) for y in YEAR.findall(v)] if isinstance(v, str) else [] for v in text["Years"]]
    undated = text["Years"].notna().to_numpy(bool) & np.array([not y for y in years])
    _fail(rows, undated, path, "Years holds no year. Write it as 1995, or 1995-1996.")
    return pd.DataFrame(
        {
            "site_id": [names[k] for k in keys],
            "site": text["SiteID"],
            "class": text["Class"].map(CLASSES),
            "lat": lat,
            "lon": east,
            "years": text["Years"],
            "first_year": pd.array([min(y) if y else pd.NA for y in years], dtype="Int64"),
            "last_year": pd.array([max(y) if y else pd.NA for y in years], dtype="Int64"),
            "method": text["Meth"].map(METHODS),
            "country": text["Country"],
            "reference": text["Reference"],
        }
    )


def _numbers(rows: pd.DataFrame, number: _Number, path: Path) -> pd.Series:
    """One column as float64, checked."""
    values: pd.Series = pd.to_numeric(rows[number.column], errors="coerce").astype(np.float64)
    text = rows[number.column][values.isna() & rows[number.column].notna()]
    if len(text):
        raise InputError(
            f"{path}: column {number.column} holds {text.iloc[0]!r} in row {int(text.index[0]) + 1} "
            f"({len(text)} such rows); expected numbers. Correct it, or mark missing values as NA."
        )
    outside = values.notna() & ~values.between(number.low, number.high)
    told = (
        f"{number.column} lies outside {number.low:g}..{number.high:g} {number.units}. Check units and marks."
    )
    _fail(rows, outside.to_numpy(), path, told)
    return values


def _fail(rows: pd.DataFrame, wrong: npt.NDArray[np.bool_], path: Path, what: str) -> None:
    """InputError that says how many rows are wrong and which is the first, counted from 1 below the header."""
    bad = np.flatnonzero(wrong)
    if bad.size:
        raise InputError(f"{path}: {bad.size} of {len(rows)} rows, first row {bad[0] + 1}: {what}")


def _check_fluxes(table: pd.DataFrame, path: Path, notes: list[str]) -> None:
    below = (table["ch4_max"] < table[["ch4_mean", "ch4_median"]].min(axis=1)).to_numpy()
    _fail(table, below, path, "CH4Mx is below CH4Av and CH4Md. Are columns exchanged?")
    silent = table["ch4_mean"].isna()
    if silent.any():
        notes.append(f"{path.name}: {int(silent.sum())} of {len(table)} rows have no growing-season mean")
    homeless = int(table["cell_id"].isna().sum())
    if homeless:
        notes.append(f"{path.name}: {homeless} of {len(table)} rows have no BAWLD cell")


def _note_mirrored(table: pd.DataFrame, path: Path, notes: list[str]) -> None:
    """Places of one name and latitude on opposite longitudes: a lost sign."""
    for (site, lat), rows in table.groupby(["site", table["lat"].round(PLACE_DECIMALS)]):
        lon = rows["lon"].to_numpy()
        east, west = lon[lon > MIRRORED_DEGREES], lon[lon < -MIRRORED_DEGREES]
        if east.size and west.size and abs(east.max() + west.min()) < MIRRORED_DEGREES:
            notes.append(
                f"{path.name}: site {site} at latitude {lat:g} has {east.size} rows at longitude {east.max():g} and "
                f"{west.size} at {west.min():g}: a sign may be lost; the rows are kept as they are"
            )
