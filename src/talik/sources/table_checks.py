"""Checks on the rows of a site table in canonical columns and units: each returns every problem it sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from talik.sources.predictors import PREDICTORS
from talik.sources.problem import Problem, Severity, counted, first_rows
from talik.sources.site_table import COLUMNS, FLUXES, GROSS, Column, SiteTable, mostly_negative

Check = Callable[[pd.DataFrame], Iterator[Problem]]
Headed = frozenset[str] | None

WINTER = (11, 12, 1, 2, 3)
SUMMER = (6, 7, 8)
ENOUGH_ROWS = 24
"""Fewer rows than this do not show a sign or a scale."""
CLOSED_WITHIN = 1.0
"""NEE may differ from Reco - GPP by this (g m-2 month-1) plus a twentieth of the larger of the two."""
ICE_POINT = 273.15
NEARLY_ALL = 0.95
ROUNDING = 1e-6
"""Share of the plausible range that a value may lie outside."""
SAME_PLACE_DEGREES = 0.05
SOUTHERN_LIMIT = 45.0
MARKS = (-999.0, -99.0, -6999.0, 999.0, 9999.0, 99999.0, 1e20)
"""Numbers that files use for no value beside -9999."""
SMALL_RATE = 12.0
"""GPP of nearly all months below this looks like a daily or a mole rate, not like g m-2 month-1."""


def check_rows(rows: pd.DataFrame, headed: Headed = frozenset()) -> list[Problem]:
    """Every problem in rows with canonical columns and units, numbers as float64, index 0 .. n-1.

    headed : columns whose header gives their unit; None in formats whose headers give none.
    """
    checks: tuple[Check, ...] = (partial(_ranges, headed=headed), partial(_small, headed=headed), *CHECKS)
    return [problem for check in checks for problem in check(rows)]


def check_sites(sites: SiteTable) -> list[Problem]:
    """The same of a table as read, with the rows of its file."""
    found, source = check_rows(sites.rows, sites.headed), sites.source
    if source is None:
        return found
    return [replace(p, rows=tuple(int(source[row - 1]) + 1 for row in p.rows)) for p in found]


def _numbers(rows: pd.DataFrame) -> Iterator[tuple[Column, pd.Series]]:
    for known in COLUMNS.values():
        if known.name in rows and known.kind != "text" and pd.api.types.is_numeric_dtype(rows[known.name]):
            yield known, rows[known.name].astype(np.float64)


def _ranges(rows: pd.DataFrame, headed: Headed) -> Iterator[Problem]:
    """Infinite and implausible values; a whole column on another scale is one error with a guess at the scale."""
    for known, values in _numbers(rows):
        endless = values[np.isinf(values)]
        if len(endless):
            yield Problem(
                "error",
                known.name,
                "infinite values",
                "Mark missing values as NA.",
                len(endless),
                first_rows(endless.index),
            )
        present = values[np.isfinite(values)]
        slack = ROUNDING * (known.high - known.low)
        outside = present[(present < known.low - slack) | (present > known.high + slack)]
        if known.name in ("lat", "lon") or not len(outside):
            continue
        marks = outside[outside.isin(MARKS)]
        if len(marks):
            told = ", ".join(f"{v:g}" for v in sorted(set(marks)))
            remedy = "If it means no value, write NA or -9999."
            yield Problem("error", known.name, f"holds {told}", remedy, len(marks), first_rows(marks.index))
            outside = outside.drop(marks.index)
        if len(outside):
            yield _implausible(known, present, outside, headed)


def _implausible(known: Column, present: pd.Series, outside: pd.Series, headed: Headed) -> Problem:
    expected = f"{known.low:g} to {known.high:g} {known.units}".strip()
    run = f"they run {outside.min():g} to {outside.max():g}"
    found = f"{len(outside)} of {len(present)} values outside {expected} ({run})"
    most = 2 * len(outside) > len(present)
    hint = _other_unit(outside, known) or (_power_of_ten(present, known) if most else "")
    if not (most or hint):
        remedy = "Look at these rows; correct them or mark them as NA."
        return Problem("warning", known.name, found, remedy, len(outside), first_rows(outside.index))
    remedy = f"They look {hint}: convert them" if hint else "Convert them"
    if most and headed is not None:
        given = "correct the unit that the header gives"
        lacking = f"give their true unit in the header: {known.name} [...]"
        remedy += f", or {given if known.name in headed else lacking}"
    return Problem("error", known.name, found, f"{remedy}.", len(outside), first_rows(outside.index))


def _other_unit(values: pd.Series, known: Column) -> str:
    """The unit in which nearly all of these values would be plausible; empty if there is none."""
    ways: dict[str, tuple[str, pd.Series]] = {
        "K": ("like degC, not K", values + ICE_POINT),
        "degC": ("like K, not degC", values - ICE_POINT),
        "1": ("like percent, not a fraction", values / 100),
        "m3 m-3": ("like percent, not a fraction", values / 100),
    }
    if known.units not in ways:
        return ""
    told, candidate = ways[known.units]
    return told if candidate.between(known.low, known.high).mean() > NEARLY_ALL else ""


def _power_of_ten(values: pd.Series, known: Column) -> str:
    """The power of ten that would make nearly all of these values plausible; empty if none would."""
    for k in (1, 2, 3, 4):
        for told, candidate in (("large", values / 10**k), ("small", values * 10**k)):
            if candidate.between(known.low, known.high).mean() > NEARLY_ALL:
                return f"{10**k} times too {told}"
    return ""


def _fractions(rows: pd.DataFrame) -> Iterator[Problem]:
    """Percentages that never exceed 1."""
    for known, values in _numbers(rows):
        present = values.dropna()
        if known.units == "percent" and len(present) >= ENOUGH_ROWS and 0 < present.max() <= 1:
            found = f"percent expected, but the largest of {len(present)} values is {present.max():g}"
            remedy = f"If these are fractions, write the header as {known.name} [1]; talik converts."
            yield Problem("warning", known.name, found, remedy, len(present))


def _signs(rows: pd.DataFrame) -> Iterator[Problem]:
    """GPP and Reco are magnitudes; NEE is uptake in summer and release in winter."""
    for name in (n for n in GROSS if n in rows):
        values = rows[name].dropna()
        below = values[values < -CLOSED_WITHIN]
        if mostly_negative(values):
            found = f"mostly negative ({(values < 0).sum()} of {len(values)} values); a magnitude is expected"
            remedy = "Multiply the column by -1."
            yield Problem("error", name, found, remedy, int((values < 0).sum()), first_rows(below.index))
        elif len(below) > 0.1 * len(values):
            found = f"{len(below)} of {len(values)} values below {-CLOSED_WITHIN:g}"
            remedy = "Noise of partitioning in winter is usual; more than a tenth is not. Check the sign of these rows."
            yield Problem("warning", name, found, remedy, len(below), first_rows(below.index))
    if "nee" in rows:
        summer = rows.loc[rows["month"].isin(SUMMER), "nee"].dropna()
        winter = rows.loc[rows["month"].isin(WINTER), "nee"].dropna()
        seen = min(len(summer), len(winter)) >= ENOUGH_ROWS / 2
        if seen and summer.median() > 0 > winter.median():
            found = f"median {summer.median():.3g} in summer and {winter.median():.3g} in winter"
            remedy = (
                "NEE is negative for uptake. If this is net ecosystem production (NEP), multiply it by -1."
            )
            yield Problem("error", "nee", found, remedy, len(summer) + len(winter))


def _closure(rows: pd.DataFrame) -> Iterator[Problem]:
    """NEE = Reco - GPP, row by row."""
    if not {"nee", *GROSS} <= set(rows.columns):
        return
    full = rows[["nee", *GROSS]].astype(np.float64).dropna()
    if not len(full):
        return
    limit = CLOSED_WITHIN + 0.05 * full[list(GROSS)].abs().max(axis=1)
    difference = full["reco"] - full["gpp"]
    open_rows = full[(full["nee"] - difference).abs() > limit]
    turned = (full["nee"] + difference).abs() <= limit
    share = len(open_rows) / len(full)
    if share > 0.5 and turned.mean() > 0.5:
        found = f"NEE equals GPP - Reco in {turned.sum()} of {len(full)} rows"
        remedy = "NEE is negative for uptake: multiply it by -1."
        yield Problem("error", "nee", found, remedy, int(turned.sum()), first_rows(full.index[turned]))
    elif len(open_rows):
        found = f"NEE differs from Reco - GPP in {len(open_rows)} of {len(full)} rows ({100 * share:.1f} %)"
        remedy = "Usual for day-time partitioning; otherwise check signs and units of the three columns."
        severity: Severity = "warning" if share > 0.1 else "note"
        yield Problem(
            severity,
            "nee",
            found,
            remedy,
            len(open_rows),
            first_rows(open_rows.index),
        )


def _small(rows: pd.DataFrame, headed: Headed) -> Iterator[Problem]:
    """Fluxes that look like rates for a day or a second."""
    for name in (n for n in GROSS if n in rows):
        summer = rows.loc[rows["month"].isin(SUMMER), name].dropna().abs()
        if len(summer) >= ENOUGH_ROWS and 0 < summer.quantile(0.95) < SMALL_RATE:
            found = f"19 of 20 summer months below {summer.quantile(0.95):.3g} g m-2 month-1"
            if headed is None:
                remedy = "convert them"
            else:
                remedy = (
                    "correct its header" if name in headed else f"say so in the header: {name} [g m-2 d-1]"
                )
            remedy = f"If these are g m-2 d-1 or umol m-2 s-1, {remedy}."
            yield Problem("warning", name, found, remedy, len(summer))


def _duplicates(rows: pd.DataFrame) -> Iterator[Problem]:
    """Several rows of one site and month."""
    keys = ["site_id", "year", "month"]
    dated = rows[rows[keys].notna().all(axis=1)]
    again = dated[dated.duplicated(keys)]
    if len(again):
        site, year, month = again[keys].iloc[0]
        first = f"first {site} {year:.0f}-{month:02.0f}"
        found = f"{counted(len(again), 'row')} with a site and month that another row has ({first})"
        remedy = "They are averaged; keep one if they are no repeated measurements."
        yield Problem("warning", "site_id, year, month", found, remedy, len(again), first_rows(again.index))
    undated = rows[rows[["year", "month"]].isna().any(axis=1)]
    if len(undated):
        found = f"no year or month in {len(undated)} of {len(rows)} rows"
        remedy = "Such rows are left out where a date is needed."
        yield Problem("note", "year, month", found, remedy, len(undated), first_rows(undated.index))


def _coverage(rows: pd.DataFrame) -> Iterator[Problem]:
    """Sites without winter, and gaps between the first and the last month of a site."""
    fluxes = [f for f in FLUXES if f in rows]
    if not fluxes:
        renamed = [f"Rename {c} to {str(c).lower()}." for c in rows.columns if str(c).lower() in FLUXES]
        remedy = " ".join(renamed) or "Give at least one of nee, gpp, reco, ch4."
        yield Problem("error", ", ".join(FLUXES), "no flux column", remedy)
        return
    seen = rows[rows[fluxes].notna().any(axis=1) & rows[["year", "month"]].notna().all(axis=1)]
    if not len(seen):
        return
    winter = seen["month"].isin(WINTER).groupby(seen["site_id"]).any()
    without = list(winter.index[~winter])
    if without:
        found = f"{len(without)} of {len(winter)} sites have no flux from November to March: {_some(without)}"
        remedy = "Winter emission cannot be learnt from them; annual sums of these sites miss it."
        yield Problem("warning", "month", found, remedy, len(without))
    count = (12 * seen["year"] + seen["month"]).groupby(seen["site_id"])
    span, have = count.max() - count.min() + 1, count.nunique()
    gaps = (span - have)[span > have]
    if len(gaps):
        found = (
            f"{len(gaps)} of {len(span)} sites have gaps, {gaps.sum():.0f} months together "
            f"(longest sum {gaps.max():.0f}, {gaps.idxmax()})"
        )
        yield Problem("note", "month", found, "Nothing to do; gaps are not filled.", len(gaps))


def _positions(rows: pd.DataFrame) -> Iterator[Problem]:
    """Impossible, swapped and doubtful coordinates."""
    lost = [c for c in ("lat", "lon") if c not in rows]
    if lost:
        remedy = "Add it (decimal degrees, WGS84) to take predictors from grids or to validate by distance."
        yield Problem("note", ", ".join(lost), "no such column", remedy)
        return
    lat, lon = rows["lat"].astype(np.float64), rows["lon"].astype(np.float64)
    missing = lat.isna() | lon.isna()
    cases: list[tuple[Severity, pd.Series, str, str]] = []
    impossible = (lat.abs() > 90) | (lon < -180) | (lon > 360)
    swapped = lon.between(SOUTHERN_LIMIT, 90) & ~lat.between(SOUTHERN_LIMIT, 90) & ~impossible
    swapped |= (lat.abs() > 90) & lon.between(SOUTHERN_LIMIT, 90)
    nowhere = (lat == 0) & (lon == 0)
    south = (lat < SOUTHERN_LIMIT) & ~nowhere & ~swapped & ~impossible
    cases.append(("error", impossible & ~swapped, "outside -90..90, -180..360", "Correct the position."))
    cases.append(("error", swapped, "lat and lon look swapped", "Exchange the two columns."))
    cases.append(("error", nowhere, "0, 0", "Mark unknown positions as NA."))
    cases.append(("warning", south, "south of 45 N", "Outside the northern permafrost region; is it right?"))
    if "country" in rows:
        west = rows["country"].isin(("USA", "US", "United States", "Canada", "Greenland"))
        cases.append(
            ("error", west & lon.between(0, 170), "east of Greenwich in North America", "West is negative.")
        )
    for severity, bad, found, remedy in cases:
        if bad.any():
            first = rows.loc[bad, "site_id"].iloc[0]
            place = f"first {first}: {lat[bad].iloc[0]:g}, {lon[bad].iloc[0]:g}"
            told = f"{found} ({counted(int(bad.sum()), 'row')}; {place})"
            yield Problem(severity, "lat, lon", told, remedy, int(bad.sum()), first_rows(rows.index[bad]))
    yield from _moving_sites(rows.assign(lat=lat, lon=lon))
    if missing.any():
        found = f"no position in {int(missing.sum())} of {len(rows)} rows"
        remedy = "Such rows are left out where a position is needed."
        yield Problem("note", "lat, lon", found, remedy, int(missing.sum()), first_rows(rows.index[missing]))


def _moving_sites(rows: pd.DataFrame) -> Iterator[Problem]:
    places = rows.groupby("site_id")[["lat", "lon"]]
    spread = places.max() - places.min()
    lon_spread = np.minimum(spread["lon"], 360 - spread["lon"])
    moving = list(spread.index[(spread["lat"] > SAME_PLACE_DEGREES) | (lon_spread > SAME_PLACE_DEGREES)])
    if moving:
        apart = f"places more than {SAME_PLACE_DEGREES:g} degrees apart"
        found = f"{counted(len(moving), 'site')} with {apart}: {_some(moving)}"
        remedy = "Give each place a site_id of its own, or correct the position."
        yield Problem("warning", "lat, lon", found, remedy, len(moving))


def _idle_columns(rows: pd.DataFrame) -> Iterator[Problem]:
    """Columns without any value or with one value only."""
    one_site = rows["site_id"].nunique() == 1
    static = [p.name for p in PREDICTORS.values() if p.kind != "dynamic"]
    own = {"year", "lat", "lon", "disturb_year", *static} if one_site else {"year"}
    for name in rows.columns:
        values = rows[name].dropna()
        if not len(values):
            severity: Severity = "warning" if name in COLUMNS else "note"
            yield Problem(
                severity,
                str(name),
                "no value in any row",
                "Leave the column out, or check how missing values are written.",
                len(rows),
            )
        elif (
            len(rows) >= ENOUGH_ROWS
            and name not in own
            and pd.api.types.is_numeric_dtype(values)
            and values.nunique() == 1
        ):
            found = f"the same in all {len(values)} rows that have a value: {values.iloc[0]:g}"
            yield Problem(
                "note", str(name), found, "It cannot help a model; is it a placeholder?", len(values)
            )


def _vocabulary(rows: pd.DataFrame) -> Iterator[Problem]:
    """Words that filters and groupings do not know."""
    for name, words in (("flux_method", ("EC", "Chamber", "Diffusion")), ("biome", ("Boreal", "Tundra"))):
        if name in rows:
            given = rows[name].astype("string").dropna()
            other = given[~given.isin(words)]
            if len(other):
                found = f"{_some(sorted(set(other)))} in {counted(len(other), 'row')}; known are {', '.join(words)}"
                remedy = "Filters and groups go by the known words; rename them."
                yield Problem("warning", name, found, remedy, len(other), first_rows(other.index))


def _some(names: list[str]) -> str:
    return ", ".join(map(str, names[:3])) + (", ..." if len(names) > 3 else "")


CHECKS: tuple[Check, ...] = (
    _fractions,
    _signs,
    _closure,
    _duplicates,
    _coverage,
    _positions,
    _idle_columns,
    _vocabulary,
)
