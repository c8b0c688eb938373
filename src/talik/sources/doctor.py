"""What is wrong with an input file: every problem at once, before any work is done with it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from talik.errors import TalikError
from talik.sources import fluxnet
from talik.sources.abcflux import CANONICAL, METHODS, V1_TO_V2
from talik.sources.problem import Problem, counted, first_rows
from talik.sources.site_table import (
    COLUMNS,
    GROSS,
    REQUIRED,
    Reader,
    SiteTable,
    in_schema_units,
    month_stamps,
    mostly_negative,
    read_generic,
    reader_of,
    split_header,
)
from talik.sources.table_checks import check_sites
from talik.sources.table_file import read_table

GRID_MAGIC = (b"CDF", b"\x89HDF")
YAML_ENDINGS = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Examination:
    """What a file is and what was found in it; counts are None where the file could not be read as rows."""

    format: str
    n_rows: int | None
    n_sites: int | None
    problems: tuple[Problem, ...]

    @property
    def usable(self) -> bool:
        """Whether there is no error among the problems."""
        return not any(p.severity == "error" for p in self.problems)

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values for JSON."""
        return {
            "format": self.format,
            "n_rows": self.n_rows,
            "n_sites": self.n_sites,
            "problems": [p.to_dict() for p in self.problems],
        }


def examine(path: Path) -> list[Problem]:
    """Every problem of a site table, a folder of FLUXNET files or a NetCDF grid, worst first; never raises."""
    return list(diagnose(path).problems)


def diagnose(path: Path) -> Examination:
    """The same with what the file is, and how many rows and sites it has."""
    path = Path(path)
    if path.is_dir() or fluxnet.looks_like_file(path):
        return _fluxnet(path)
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as err:
        return _unreadable(f"cannot be opened ({err.strerror})", "Check the path and its permissions.")
    if magic.startswith(GRID_MAGIC):
        from talik.sources.grid_checks import check_grid

        return Examination("grid", None, None, _sorted(check_grid(path)))
    if path.suffix.lower() in YAML_ENDINGS:
        note = Problem(
            "note", "", "a YAML file (project, posts or recipes)", "talik check does not look into it."
        )
        return Examination("yaml", None, None, (note,))
    return _table(path)


def _fluxnet(path: Path) -> Examination:
    try:
        sites = fluxnet.read_folder(path) if path.is_dir() else fluxnet.read_files([path])
    except TalikError as err:
        return _unreadable(str(err), "", "fluxnet")
    return _of_rows(sites, [])


def _table(path: Path) -> Examination:
    try:
        table, notes = read_table(path)
    except TalikError as err:
        return _unreadable(str(err), "")
    problems = [Problem("note", "", note) for note in notes]
    try:
        read = reader_of(path, table)
    except TalikError:
        problems += _lost_columns(table)
        return Examination("unknown", len(table), None, _sorted(problems))
    table = _without_units_problems(path, table, problems) if read is read_generic else table
    table = _repaired(table, read, problems)
    try:
        sites = read(path, table)
    except TalikError as err:
        problems.append(Problem("error", "", str(err), "The rows could not be checked further."))
        return Examination("unknown", len(table), None, _sorted(problems))
    return _of_rows(sites, problems, len(table))


def _of_rows(sites: SiteTable, problems: list[Problem], n_read: int | None = None) -> Examination:
    """The examination of rows as read; `n_read` rows are in the file, None if it is not of rows."""

    def lost(count: int) -> str:
        return counted(count, "row") if n_read is None else f"{count} of {n_read} rows"

    problems = [
        *problems,
        *(Problem("note", "", note) for note in sites.notes),
        *(Problem("note", "", f"{lost(n)} not taken: {reason}", count=n) for reason, n in sites.dropped),
        *check_sites(sites),
    ]
    return Examination(sites.format, len(sites.rows), int(sites.rows["site_id"].nunique()), _sorted(problems))


def _sorted(problems: list[Problem]) -> tuple[Problem, ...]:
    order = {"error": 0, "warning": 1, "note": 2}
    return tuple(sorted(problems, key=lambda p: order[p.severity]))


def _unreadable(found: str, remedy: str, kind: str = "unreadable") -> Examination:
    return Examination(kind, None, None, (Problem("error", "", found, remedy),))


def _lost_columns(table: pd.DataFrame) -> list[Problem]:
    """What a table lacks to be one of the known formats, with the nearest of its names."""
    have = {split_header(c)[0].lower(): str(c) for c in table.columns}
    out = []
    for name in REQUIRED:
        if name not in map(str, table.columns):
            near = difflib.get_close_matches(name, list(have), 1, 0.7)
            remedy = f"Rename {have[near[0]]!r} to {name}." if near else f"Add a column {name}."
            out.append(Problem("error", name, "no such column, and the table is in no known format", remedy))
    if not any(split_header(c)[0] in ("nee", "gpp", "reco", "ch4") for c in table.columns):
        other = [(h, split_header(h)[0].lower()) for h in map(str, table.columns)]
        renamed = [f"Rename {h!r} to {low}." for h, low in other if low in ("nee", "gpp", "reco", "ch4")]
        remedy = " ".join(renamed) or "Name the fluxes so."
        out.append(Problem("error", "nee, gpp, reco, ch4", "no flux column", remedy))
    return out


def _without_units_problems(path: Path, table: pd.DataFrame, problems: list[Problem]) -> pd.DataFrame:
    """The table without the columns whose units or name cannot be used, each reported."""
    when = None
    seen: set[str] = set()
    drop: list[object] = []
    for header in table.columns:
        name, units = split_header(header)
        known = COLUMNS.get(name)
        if name in seen:
            problems.append(
                Problem("error", name, f"the column is given twice, again as {header!r}", "Remove one.")
            )
            drop.append(header)
            continue
        seen.add(name)
        if units is None or known is None or known.kind == "text":
            continue
        if when is None:
            january = pd.Series([1.0])
            when = month_stamps(january + 2000, january, path)
        try:
            in_schema_units(pd.Series([1.0]), units, known, when, Path(path.name))
        except TalikError as err:
            problems.append(
                Problem("error", name, str(err), "Correct the brackets; the column was not checked further.")
            )
            drop.append(header)
    return table.drop(columns=drop)


def _repaired(table: pd.DataFrame, read: Reader, problems: list[Problem]) -> pd.DataFrame:
    """The table with every entry that would stop the reader reported and made harmless."""
    out = table.copy()
    for header in table.columns:
        name = _canonical(header)
        known = COLUMNS.get(name)
        number = known is not None and known.kind != "text"
        if not pd.api.types.is_numeric_dtype(table[header]):
            out[header] = _as_numbers(table[header], name, number, read is read_generic, problems)
        if name in ("year", "month"):
            out[header] = _dates(out[header], name, problems)
        if name == "site_id" and table[header].isna().any():
            bad = table.index[table[header].isna()]
            problems.append(
                Problem("error", name, "no site in some rows", "Name every site.", len(bad), first_rows(bad))
            )
            out[header] = table[header].astype(object).where(table[header].notna(), "?")
        if name == "flux_method" and read is not read_generic:
            out[header] = _known_methods(table[header], problems)
        if name in GROSS and read is read_generic:
            values = pd.to_numeric(out[header], errors="coerce")
            if mostly_negative(values):
                negative = values.index[values < 0]
                found = f"mostly negative ({len(negative)} of {values.notna().sum()} values); expected a magnitude"
                remedy = "Multiply the column by -1. The other checks take it so."
                problems.append(Problem("error", name, found, remedy, len(negative), first_rows(negative)))
                out[header] = -values
    return out


def _canonical(header: object) -> str:
    name = split_header(header)[0].lower()
    name = V1_TO_V2.get(name, name)
    return CANONICAL.get(name, name).removesuffix("_obs")


def _as_numbers(
    column: pd.Series, name: str, number: bool, generic: bool, problems: list[Problem]
) -> pd.Series:
    """A text column as numbers if that is what it should be, with the entries that are none reported."""
    text = column.astype("string").str.strip()
    if not generic:
        text = text.str.removesuffix("%").str.removesuffix("cm").str.strip()
    values = pd.to_numeric(text, errors="coerce").astype(np.float64)
    present = column.notna()
    share = values.notna().sum() / max(int(present.sum()), 1)
    if not present.any() or share == 1 or not (number or share > 0.5):
        return column
    bad = column[values.isna() & present]
    found = f"text in {counted(len(bad), 'row')}, first {str(bad.iloc[0])!r}"
    remedy = "Numbers only, a point as the decimal sign, and NA for missing values."
    problems.append(
        Problem("error" if number else "note", name, found, remedy, len(bad), first_rows(bad.index))
    )
    return values if number else column


def _dates(column: pd.Series, name: str, problems: list[Problem]) -> pd.Series:
    values = pd.to_numeric(column, errors="coerce").astype(np.float64)
    known = COLUMNS[name]
    bad = values.notna() & ~(values.between(known.low, known.high) & (values % 1 == 0))
    if bad.any():
        expected = f"a whole number from {known.low:g} to {known.high:g}"
        found = f"{values[bad].iloc[0]:g} in {counted(int(bad.sum()), 'row')}; expected {expected}"
        remedy = "Correct it; these rows have no date."
        problems.append(Problem("error", name, found, remedy, int(bad.sum()), first_rows(values.index[bad])))
    return values.mask(bad)


def _known_methods(column: pd.Series, problems: list[Problem]) -> pd.Series:
    words = column.astype("string").str.strip().str.lower()
    bad = words.notna() & ~words.isin(list(METHODS))
    if bad.any():
        told = ", ".join(sorted(set(column[bad].astype(str)))[:3])
        remedy = f"Write one of {', '.join(METHODS)}."
        problems.append(
            Problem(
                "error",
                "flux_method",
                f"unknown: {told}",
                remedy,
                int(bad.sum()),
                first_rows(column.index[bad]),
            )
        )
    return column.astype(object).where(~bad, None)
