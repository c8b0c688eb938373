"""Site tables: one row a site and calendar month, canonical names, units and signs, whatever the format was."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from talik.errors import InputError, UnitsError
from talik.flux.table import mass_ratio
from talik.flux.units import amount_from_rate, as_units, is_mole, mass_from_moles, rate_from_amount
from talik.sources.predictors import PREDICTORS
from talik.sources.problem import counted, in_rows
from talik.sources.table_file import read_table

MONTHLY = "g m-2 month-1"
FLUXES = ("nee", "gpp", "reco", "ch4")
GROSS = ("gpp", "reco")
"""Fluxes that are magnitudes: never negative but for noise."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the generic schema; `low` and `high` bound what is plausible in `units`."""

    name: str
    kind: Literal["text", "whole", "number"]
    meaning: str
    units: str = ""
    low: float = -np.inf
    high: float = np.inf


_COLUMNS = (
    Column("site_id", "text", "one tower or one set of chambers; what is left out in validation"),
    Column("site_name", "text", "name of the place"),
    Column("lat", "number", "latitude, WGS84", "degrees_north", 40, 90),
    Column("lon", "number", "longitude, WGS84", "degrees_east", -180, 180),
    Column("country", "text", "country"),
    Column("biome", "text", "Boreal or Tundra"),
    Column("year", "whole", "calendar year", "", 1950, 2100),
    Column("month", "whole", "calendar month", "", 1, 12),
    Column("nee", "number", "net ecosystem exchange as carbon, negative is uptake", MONTHLY, -400, 400),
    Column("gpp", "number", "gross primary production as carbon, a magnitude", MONTHLY, -30, 700),
    Column("reco", "number", "ecosystem respiration as carbon, a magnitude", MONTHLY, -30, 700),
    Column("ch4", "number", "methane flux as carbon, positive to the atmosphere", MONTHLY, -2, 60),
    Column("flux_method", "text", "EC, Chamber or Diffusion"),
    Column("flux_method_detail", "text", "free text"),
    Column("partition_method", "text", "how GPP and Reco were separated"),
    Column("diurnal_coverage", "text", "Day, or Day and Night"),
    Column("gap_fill_perc", "number", "share of the month that was filled", "percent", 0, 100),
    Column("disturbance", "text", "No, Fire, Harvest, Thermokarst, Drainage, Larval Outbreak"),
    Column("disturb_year", "whole", "year of the disturbance", "", 1600, 2100),
    Column("vegetation", "text", "vegetation as the site reports it"),
    Column("permafrost", "text", "permafrost at the site"),
    Column("tair", "number", "monthly mean air temperature", "degC", -70, 45),
    Column("precip", "number", "precipitation", "mm month-1", 0, 1000),
    Column("tsoil_surface", "number", "soil temperature in the upper 10 cm", "degC", -50, 45),
    *(
        Column(p.name, "number", p.long_name, p.units, p.low, p.high)
        for p in PREDICTORS.values()
        if p.name not in ("month", "vegetation_type")
    ),
    Column("vegetation_type", "text", "class of the gridded vegetation map (predictor)"),
)
COLUMNS: Mapping[str, Column] = MappingProxyType({c.name: c for c in _COLUMNS})
"""The generic schema."""

REQUIRED = ("site_id", "year", "month")
LONG_NAMES: Mapping[str, str] = MappingProxyType({"latitude": "lat", "longitude": "lon"})
"""Other headers of the generic schema that are understood."""

GASES: Mapping[str, str] = MappingProxyType({"nee": "CO2", "gpp": "CO2", "reco": "CO2", "ch4": "CH4"})
"""The gas that carries the carbon of each flux."""

_SPECIES = re.compile(r"\b(?P<quantity>[kmunµMG]?(?:g|mol))[ ._-]?(?P<species>(?:CO2|CH4)-C|CO2|CH4|C)\b")
_CALENDAR = re.compile(r"\b(?:mon(?:th)?s?|yr|years?|a|annum)\b")
_BRACKETS = re.compile(r"^(?P<name>\w+)\s*[\[(](?P<units>[^\])]*)[\])]$")


@dataclass(frozen=True, slots=True)
class SiteTable:
    """Rows in canonical columns and units, how they were read, and what was left out on the way."""

    rows: pd.DataFrame
    format: str
    notes: tuple[str, ...]
    """Every assumption made, once."""
    dropped: tuple[tuple[str, int], ...]
    """Reason and number of rows that were not taken."""
    source: npt.NDArray[np.int64] | None = None
    """(row,) row of the file that each row is, from 0; none if they are the rows of the file in order."""
    headed: frozenset[str] | None = frozenset()
    """Columns whose header gives their unit; None in formats whose headers give none."""


Reader = Callable[[Path, pd.DataFrame], SiteTable]


def read_sites(path: Path) -> SiteTable:
    """A site table in any format talik knows, found by its columns; a folder holds FLUXNET files.

    Fluxes come out in g m-2 month-1 of carbon, NEE and CH4 positive to the atmosphere, GPP and Reco as magnitudes.

    Raises:
        InputError: not a site table, or values that cannot be right.
        UnitsError: units that are unknown or do not fit.
    """
    from talik.sources import fluxnet

    path = Path(path)
    if path.is_dir():
        return fluxnet.read_folder(path)
    if fluxnet.looks_like_file(path):
        return fluxnet.read_files([path])
    table, notes = read_table(path)
    sites = reader_of(path, table)(path, table)
    return replace(sites, notes=(*notes, *sites.notes))


def reader_of(path: Path, table: pd.DataFrame) -> Reader:
    """The reader of a table, by its columns; InputError if it is no site table talik knows."""
    from talik.sources import abcflux, fluxnet

    readers: tuple[tuple[Callable[[pd.DataFrame], bool], Reader], ...] = (
        (abcflux.is_training_table, abcflux.read_training_table),
        (abcflux.is_v2, abcflux.read_v2),
        (abcflux.is_v1, abcflux.read_v1),
        (fluxnet.is_cardamom, fluxnet.read_cardamom),
        (_is_generic, read_generic),
    )
    for recognises, read in readers:
        if recognises(table):
            return read
    have = ", ".join(map(str, table.columns[:15]))
    raise InputError(
        f"{path}: not a site table talik knows. The generic schema needs {', '.join(REQUIRED)}; found {have}. "
        "Rename the columns, or name yours with --target, --group and --predictors."
    )


def _is_generic(table: pd.DataFrame) -> bool:
    names = {split_header(c)[0] for c in table.columns}
    return set(REQUIRED) <= names


def read_generic(path: Path, table: pd.DataFrame) -> SiteTable:
    """A table in the generic schema; a header may carry units in brackets: `nee [umol m-2 s-1]`.

    Without brackets a column is in the unit of the schema. A flux counts carbon unless its unit names the gas
    (`g CO2 m-2 d-1`); moles count the gas, one carbon atom a molecule.

    Raises:
        InputError: text in a number column, a column given twice, or GPP or Reco mostly negative.
        UnitsError: unknown or unfitting units.
    """
    notes, out, assumed = [], {}, []
    when = month_stamps(table[_named(table, "year")], table[_named(table, "month")], path)
    for header in table.columns:
        name, units = split_header(header)
        name = LONG_NAMES.get(name, name)
        known = COLUMNS.get(name)
        if name in out:
            raise InputError(f"{path}: column {name} is given twice. Remove one.")
        if known is None or known.kind == "text":
            out[name] = table[header]
            continue
        values = numbers(table[header], path)
        if units is None:
            out[name] = values
            if known.units and known.kind == "number":
                assumed.append(f"{name} {known.units}")
        else:
            out[name] = in_schema_units(values, units, known, when, path)
            if units != known.units:
                notes.append(f"{name}: {units} to {known.units}{' of carbon' if name in FLUXES else ''}")
    if assumed:
        notes.append("no units in the header, read as the schema says: " + ", ".join(assumed))
    rows = pd.DataFrame(out)
    for name in GROSS:
        if name in rows and mostly_negative(rows[name]):
            raise InputError(
                f"{path}: {name} is mostly negative ({(rows[name] < 0).sum()} of {rows[name].notna().sum()} rows); "
                "the schema wants a magnitude. Multiply the column by -1."
            )
    headed = frozenset(
        LONG_NAMES.get(n, n) for n, units in map(split_header, table.columns) if units is not None
    )
    return SiteTable(tidy(rows, path), "generic", tuple(notes), (), headed=headed)


def mostly_negative(values: pd.Series) -> bool:
    """Whether more than half of the values that are not zero are negative."""
    return 2 * int((values < 0).sum()) > int((values.notna() & (values != 0)).sum())


def tidy(rows: pd.DataFrame, path: Path, source: npt.NDArray[np.int64] | None = None) -> pd.DataFrame:
    """Canonical types: text ids, longitudes in -180..180, years and months int64 unless some are missing.

    source : (row,) row of the file that each row is, from 0, for errors.

    Raises:
        InputError: a year that is not whole, a month outside 1..12 or no site name.
    """
    rows = rows.reset_index(drop=True).copy()
    for name in ("year", "month"):
        rows[name] = numbers(rows[name], path)
    require_dates(rows, path, source)
    whole = [n for n in ("year", "month") if (rows[n] % 1 == 0).all()]
    rows = rows.astype(dict.fromkeys(whole, np.int64))
    if rows["site_id"].isna().any():
        raise InputError(
            f"{path}: site_id is missing in {rows['site_id'].isna().sum()} rows. Name every site."
        )
    rows["site_id"] = rows["site_id"].astype(str)
    if "lon" in rows:
        lon = numbers(rows["lon"], path)
        rows["lon"] = lon.where(lon.between(-180, 180), (lon + 180) % 360 - 180)
    return rows


def require_dates(rows: pd.DataFrame, path: Path, source: npt.NDArray[np.int64] | None = None) -> None:
    """Years that are whole and months 1..12, where `rows` (index 0 .. n-1) have them; `source` as for `tidy`.

    Raises:
        InputError: a date that is none.
    """
    for name, expected in (("year", "a whole number"), ("month", "1..12")):
        if name not in rows:
            continue
        values = numbers(rows[name], path)
        right = values % 1 == 0 if name == "year" else values.isin(range(1, 13))
        bad = values[values.notna() & ~right]
        if len(bad):
            at = bad.index.to_numpy() if source is None else source[bad.index]
            where = f"{in_rows(at.tolist())} ({counted(len(bad), 'row')})"
            raise InputError(
                f"{path}: {name} is {bad.iloc[0]:g} in {where}; expected {expected}. "
                "Correct it, or mark it as NA: rows without a date are left out where one is needed."
            )


def month_stamps(years: pd.Series, months: pd.Series, path: Path) -> xr.DataArray:
    """(row,) time stamps of calendar months; NaT where the date is missing or impossible."""
    year, month = numbers(years, path), numbers(months, path)
    known = year.between(1678, 2261) & month.between(1, 12)
    text = [f"{int(y):04d}-{int(m):02d}" if k else "NaT" for y, m, k in zip(year, month, known, strict=True)]
    return xr.DataArray(np.array(text, "datetime64[M]").astype("datetime64[ns]"), dims="time", name="time")


def monthly_carbon(values: pd.Series, units: str, when: xr.DataArray, name: str) -> pd.Series:
    """A flux (row,) in `units` as g m-2 month-1 of carbon, by the real length of each month and year.

    `units` may be a mass of carbon, or name what it counts: C, CO2 or CH4, the last two as the flux `name` allows.
    Moles count the gas.

    Raises:
        UnitsError: not a flux, or another gas than that of the flux.
    """
    plain, factor = _species_apart(units, name)
    data = xr.DataArray(values.to_numpy(np.float64), dims="time", coords={"time": when}, name=name)
    data = data.assign_attrs(units=plain)
    if plain == MONTHLY:
        out = data
    elif _CALENDAR.search(plain):
        out = amount_from_rate(rate_from_amount(data, "g m-2 s-1"), MONTHLY)
    elif is_mole(data):
        out = amount_from_rate(mass_from_moles(data, "C", "g m-2 s-1"), MONTHLY)
    else:
        out = amount_from_rate(data, MONTHLY)
    return pd.Series(factor * out.to_numpy(), index=values.index, name=name)


def _species_apart(units: str, name: str) -> tuple[str, float]:
    """Units without the species they name, and the factor to carbon: "mg CO2 m-2 d-1" is "mg m-2 d-1", 0.273."""
    found = _SPECIES.search(units)
    if found is None:
        return units, 1.0
    species, quantity = found["species"], found["quantity"]
    gas = GASES[name]
    if species.removesuffix("-C") not in (gas, "C"):
        raise UnitsError(f"{name!r}: {units!r} counts {species}; this flux is {gas} or its carbon.")
    plain = units[: found.start()] + quantity + units[found.end() :]
    return plain, mass_ratio(gas, "C") if species == gas and quantity.endswith("g") else 1.0


def in_schema_units(
    values: pd.Series, units: str, known: Column, when: xr.DataArray, path: Path
) -> pd.Series:
    """Values of a schema column (row,) from the `units` of its header to those of the schema.

    Raises:
        UnitsError: units that are unknown or do not fit.
    """
    if known.kind != "number" or not known.units:
        raise UnitsError(f"{path}: {known.name} has no units; found [{units}]. Remove the brackets.")
    if units == known.units:
        return values
    try:
        if known.name in FLUXES:
            return monthly_carbon(values, units, when, known.name)
        data = xr.DataArray(values.to_numpy(np.float64), dims="time", coords={"time": when}, name=known.name)
        data = data.assign_attrs(units=units)
        convert = amount_from_rate if _CALENDAR.search(known.units) else as_units
        out = convert(data, known.units)
        return pd.Series(out.to_numpy(), index=values.index, name=known.name)
    except UnitsError as err:
        reason = str(err).split(". ")[0].rstrip(".")
        wanted = f"{known.units!r}{' of carbon' if known.name in FLUXES else ''}"
        raise UnitsError(
            f"{path}: header {known.name} [{units}] does not become {wanted}: {reason}. Write units as CF does, such "
            "as [umol m-2 s-1] or [degC]."
        ) from err


def numbers(column: pd.Series, path: Path) -> pd.Series:
    """A column as float64.

    Raises:
        InputError: text where a number is expected.
    """
    found = pd.to_numeric(column, errors="coerce")
    bad = column[found.isna() & column.notna()]
    if len(bad):
        raise InputError(
            f"{path}: {column.name} holds text in {len(bad)} rows, first {bad.iloc[0]!r} in row {bad.index[0] + 1}; "
            "expected numbers, and NA for missing values"
        )
    return found.astype(np.float64)


def split_header(header: object) -> tuple[str, str | None]:
    """Name and units of a header: "nee [umol m-2 s-1]"; None where it has no brackets."""
    match = _BRACKETS.match(str(header).strip())
    return (match["name"], match["units"].strip()) if match else (str(header).strip(), None)


def _named(table: pd.DataFrame, name: str) -> str:
    return next(str(c) for c in table.columns if split_header(c)[0] == name)
