"""FLUXNET: monthly and daily files of FLUXNET2015, AmeriFlux, ICOS and FLUXNET-CH4, and the CARDAMOM collection."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from talik.errors import ConfigError, InputError
from talik.sources.site_table import GROSS, SiteTable, month_stamps, monthly_carbon, numbers, tidy
from talik.sources.table_file import first_lines, read_table

SITE = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}-[A-Za-z0-9]{3}(?![A-Za-z0-9])")
MISSING_DAYS = 0.10
"""A month with a larger share of missing days has no total (the rule of ABCflux)."""
LARGEST_RATE = 1000.0
"""A daily mean flux beyond this (umol or nmol m-2 s-1) is an error of the source."""

METHOD = {"NT": "Reichstein", "DT": "Lasslop"}
"""Name of each partitioning in `partition_method`."""

_MASS = "g m-2 d-1"
_MJ_PER_DAY = 1e6 / 86_400.0
_METEOROLOGY = {"tair": ("TA_F", 1.0), "vpd": ("VPD_F", 0.1), "srad": ("SW_IN_F", 1.0)}
"""Columns and the factor to the units of the schema (hPa to kPa)."""


def looks_like_file(path: Path) -> bool:
    """Whether the header is that of a FLUXNET data file with a time stamp."""
    header = first_lines(path, 1)
    names = _names(header[0]) if header else [""]
    return names[0] in ("TIMESTAMP", "TIMESTAMP_START") and any(
        n.startswith(("NEE", "FCH4", "GPP", "RECO")) for n in names
    )


def read_folder(folder: Path) -> SiteTable:
    """Every monthly file of a folder, and the daily file of sites that have no monthly one.

    Raises:
        InputError: no FLUXNET file in it.
    """
    found = sorted(
        p
        for pattern in ("*.csv", "*.csv.gz")
        for p in Path(folder).rglob(pattern)
        if "VARINFO" not in p.name.upper() and looks_like_file(p)
    )
    steps = {p: _step(p) for p in found}
    monthly = {site_code(p) for p, s in steps.items() if s == "month"}
    chosen = [p for p, s in steps.items() if s == "month" or (s == "day" and site_code(p) not in monthly)]
    if not chosen:
        raise InputError(
            f"{folder}: no monthly or daily FLUXNET file (TIMESTAMP and NEE, GPP, RECO or FCH4 columns)"
        )
    return read_files(chosen)


def read_files(
    paths: list[Path], *, threshold: str = "VUT", partition: str = "NT", smallest_quality: float = 0.0
) -> SiteTable:
    """Monthly totals from monthly (MM) or daily (DD) files.

    threshold : "VUT" (friction-velocity threshold by year) or "CUT" (one for all years); a site that has only the
    other gets that, noted. partition : "NT" night-time (Reichstein) or "DT" day-time (Lasslop), with the same
    fall-back; GPP and Reco are always of one partitioning. smallest_quality : months or days with a smaller share of
    measured and well filled records (0..1, the _QC column of NEE, which GPP and Reco are made of) are dropped.

    Raises:
        InputError: a file without fluxes, or half-hourly data.
        ConfigError: unknown threshold or partition.
    """
    if threshold not in ("VUT", "CUT") or partition not in ("NT", "DT"):
        raise ConfigError(f"threshold {threshold!r} must be VUT or CUT, partition {partition!r} NT or DT")
    parts: list[pd.DataFrame] = []
    notes: list[str] = []
    dropped: dict[str, int] = {}
    for path in paths:
        rows = _read_file(Path(path), threshold, partition, smallest_quality, notes, dropped)
        parts.append(rows)
    together = pd.concat(parts, ignore_index=True)
    notes.append("the files hold no positions (lat, lon); add them from the site list")
    return SiteTable(
        tidy(together, paths[0]), "fluxnet", tuple(dict.fromkeys(notes)), tuple(dropped.items()), headed=None
    )


def site_code(path: Path) -> str:
    """The site code in a file name, such as FI-Hyy; InputError if there is none."""
    match = SITE.search(Path(path).name.replace("_", " "))
    if not match:
        raise InputError(
            f"{path}: no site code such as FI-Hyy in the file name; FLUXNET names its files by site"
        )
    return match[0]


def is_cardamom(table: pd.DataFrame) -> bool:
    """The monthly FLUXNET2015 collection of CARDAMOM-FluxVal."""
    return {"site", "year", "month", "tmin", "tmax", "ssrd", "vpd", "precip", "nee", "gpp"} <= set(
        table.columns
    )


def read_cardamom(path: Path, table: pd.DataFrame) -> SiteTable:
    """CARDAMOM-FluxVal: fluxes in g C m-2 d-1, meteorology of the driver data complete, GPP positive."""
    when = month_stamps(table["year"], table["month"], path)
    rows = table.rename(columns={"site": "site_id", "igbp": "vegetation"}).copy()
    for flux in ("nee", "gpp"):
        rows[flux] = monthly_carbon(numbers(table[flux], path), _MASS, when, flux)
    for name in ("tmin", "tmax", "ssrd", "vpd", "precip"):
        rows[name] = numbers(table[name], path)
    rows["reco"] = rows["nee"] + rows["gpp"]
    rows["tair"] = (rows["tmin"] + rows["tmax"]) / 2
    rows["srad"] = rows.pop("ssrd") * _MJ_PER_DAY
    rows["vpd"] = rows["vpd"] / 10
    rows["precip"] = rows["precip"] * when.dt.days_in_month.to_numpy()
    rows["flux_method"] = "EC"
    notes = (
        "fluxes g m-2 d-1 of carbon, times the days of the month",
        "reco is NEE + GPP of the same row",
        "ssrd MJ m-2 d-1 to srad W m-2; vpd hPa to kPa; precip mm d-1 to mm month-1; tair is the mean of tmin and tmax",
    )
    return SiteTable(tidy(rows, path), "fluxnet2015-cardamom", notes, (), headed=None)


def _read_file(
    path: Path,
    threshold: str,
    partition: str,
    smallest_quality: float,
    notes: list[str],
    dropped: dict[str, int],
) -> pd.DataFrame:
    table, how = read_table(path)
    notes += how
    site, step = site_code(path), _step(path)
    if step not in ("month", "day"):
        raise InputError(f"{path}: {step} data; talik reads the monthly (MM) and daily (DD) files of FLUXNET")
    out = _dates(table[table.columns[0]], path)
    when = month_stamps(out["year"], out["month"], path)
    fluxes, method = _flux_columns(table, threshold, partition, site, notes)
    if not fluxes:
        raise InputError(
            f"{path}: none of NEE, GPP, RECO, FCH4 in the columns talik knows ({threshold}, {partition})"
        )
    for name, (column, units) in fluxes.items():
        values = numbers(table[column], path)
        if units != _MASS:
            wild = values.abs() > LARGEST_RATE
            _count(dropped, f"{name}: rate beyond {LARGEST_RATE:g} {units}", wild)
            values = values.mask(wild)
        values = _good(table, name, column, values, smallest_quality, dropped)
        out[name] = monthly_carbon(values, units, when, name)
        notes.append(f"{name}: {units} of carbon, times the days of the month")
    for name, (column, factor) in _METEOROLOGY.items():
        if column in table:
            out[name] = numbers(table[column], path) * factor
    if "P_F" in table:
        out["precip"] = numbers(table["P_F"], path) * when.dt.days_in_month.to_numpy()
    if step == "day":
        out = _months(out, dropped)
        notes.append("daily files: the mean of the days there are, times the days of the month")
    out.insert(0, "site_id", site)
    out["flux_method"] = "EC"
    if method is not None:
        out["partition_method"] = method
    return out


def _dates(stamps: pd.Series, path: Path) -> pd.DataFrame:
    """Year and month of stamps YYYYMM or YYYYMMDD."""
    text = numbers(stamps, path).map(lambda v: f"{v:.0f}")
    known = text.str.fullmatch(r"(19|20)\d\d(0[1-9]|1[0-2])(\d\d)?")
    if not known.all():
        bad = text[~known]
        raise InputError(
            f"{path}: {stamps.name} is {bad.iloc[0]} in row {bad.index[0] + 1} ({len(bad)} rows); "
            "expected YYYYMM or YYYYMMDD. Take the file from the archive again."
        )
    return pd.DataFrame({"year": text.str[:4].astype(int), "month": text.str[4:6].astype(int)})


def _good(
    table: pd.DataFrame,
    name: str,
    column: str,
    values: pd.Series,
    smallest_quality: float,
    dropped: dict[str, int],
) -> pd.Series:
    """Values whose quality flag allows them."""
    if name == "ch4":
        flag = table.get(f"{column}_QC")
        bad = flag == 3 if flag is not None else pd.Series(False, index=values.index)
        reason = "filled in a gap longer than two months"
    else:
        source = f"NEE_{column.split('_', 2)[2]}" if name in GROSS and column.endswith("_REF") else column
        share = table.get(f"{source}_QC")
        bad = share < smallest_quality if share is not None else pd.Series(False, index=values.index)
        reason = f"quality below {smallest_quality:g}"
    _count(dropped, f"{name}: {reason}", bad & values.notna())
    return values.mask(bad)


def _flux_columns(
    table: pd.DataFrame, threshold: str, partition: str, site: str, notes: list[str]
) -> tuple[dict[str, tuple[str, str]], str | None]:
    """Which column and unit each flux is taken from, and the name of the partitioning."""
    thresholds = (threshold, "CUT" if threshold == "VUT" else "VUT")
    partitions = (partition, "DT" if partition == "NT" else "NT")
    out: dict[str, tuple[str, str]] = {}
    for use in thresholds:
        if f"NEE_{use}_REF" in table:
            out["nee"] = (f"NEE_{use}_REF", _MASS)
            if use != threshold:
                notes.append(f"{site}: nee has no {threshold} columns; {use} taken")
            break
    if "FCH4_F_ANNOPTLM" in table:
        out["ch4"] = ("FCH4_F_ANNOPTLM", "nmol m-2 s-1")
    if "nee" not in out and "NEE_F_ANNOPTLM" in table:
        out["nee"] = ("NEE_F_ANNOPTLM", "umol m-2 s-1")
    ways = [(part, f"_{use}_REF", _MASS) for part in partitions for use in thresholds]
    ways += [(part, "", "umol m-2 s-1") for part in partitions]
    for part, ending, units in ways:
        columns = {name: f"{name.upper()}_{part}{ending}" for name in GROSS}
        present = {name: (column, units) for name, column in columns.items() if column in table}
        if present:
            if part != partition:
                notes.append(f"{site}: gpp and reco have no {partition} columns; {part} taken")
            if ending and ending != f"_{threshold}_REF":
                notes.append(f"{site}: gpp and reco have no {threshold} columns; {ending[1:4]} taken")
            return {**out, **present}, METHOD[part]
    return out, None


def _months(days: pd.DataFrame, dropped: dict[str, int]) -> pd.DataFrame:
    """Monthly totals from daily rates already scaled to the month: the mean of the days, if enough are there."""
    grouped = days.groupby(["year", "month"])
    mean, count = grouped.mean(), grouped.count()
    first = pd.to_datetime(mean.reset_index()[["year", "month"]].assign(day=1))
    length = first.dt.days_in_month.to_numpy()[:, None]
    short = count < (1 - MISSING_DAYS) * length
    for name in mean.columns:
        _count(
            dropped,
            f"{name}: more than {100 * MISSING_DAYS:.0f} % of the days missing",
            short[name] & (count[name] > 0),
        )
    return mean.mask(short).reset_index()


def _count(dropped: dict[str, int], reason: str, rows: pd.Series) -> None:
    if int(rows.sum()):
        dropped[reason] = dropped.get(reason, 0) + int(rows.sum())


def _names(header: str) -> list[str]:
    return [name.strip().strip('"') for name in header.split(",")]


def _step(path: Path) -> str:
    lines = first_lines(path, 2)
    first = _names(lines[1])[0] if len(lines) > 1 else ""
    if _names(lines[0])[0] == "TIMESTAMP_START":
        return {8: "weekly", 12: "half-hourly"}.get(len(first), "unknown")
    return {4: "yearly", 6: "month", 8: "day"}.get(len(first), "unknown")
