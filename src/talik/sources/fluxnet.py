"""FLUXNET: monthly and daily files of FLUXNET2015, AmeriFlux, ICOS and FLUXNET-CH4, and the CARDAMOM collection."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from talik.errors import ConfigError, InputError
from talik.sources.site_table import SiteTable, month_stamps, monthly_carbon, numbers, tidy
from talik.sources.table_file import read_table

SITE = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}-[A-Za-z0-9]{3}(?![A-Za-z0-9])")
MISSING_DAYS = 0.10
"""A month with a larger share of missing days has no total (the rule of ABCflux)."""
LARGEST_RATE = 1000.0
"""A daily mean flux beyond this (umol or nmol m-2 s-1) is an error of the source."""

_MJ_PER_DAY = 1e6 / 86_400.0


def looks_like_file(path: Path) -> bool:
    """Whether the header is that of a FLUXNET data file with a time stamp."""
    try:
        with Path(path).open("rb") as file:
            header = file.readline(65_536).decode("latin-1").lstrip("\ufeff")
    except OSError:
        return False
    names = [n.strip().strip('"') for n in header.split(",")]
    return names[0] in ("TIMESTAMP", "TIMESTAMP_START") and any(
        n.startswith(("NEE", "FCH4", "GPP", "RECO")) for n in names
    )


def read_folder(folder: Path) -> SiteTable:
    """Every monthly file of a folder, and the daily file of sites that have no monthly one.

    Raises:
        InputError: no FLUXNET file in it.
    """
    found = sorted(
        p for p in Path(folder).rglob("*.csv") if looks_like_file(p) and "VARINFO" not in p.name.upper()
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
    other gets that, noted. partition : "NT" night-time (Reichstein) or "DT" day-time (Lasslop). smallest_quality :
    months with a smaller share of measured and well filled records (the _QC columns, 0..1) are dropped.

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
    return SiteTable(tidy(together, paths[0]), "fluxnet", tuple(dict.fromkeys(notes)), tuple(dropped.items()))


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
    return {"site", "year", "month", "tmin", "tmax", "ssrd", "vpd", "nee", "gpp"} <= set(table.columns)


def read_cardamom(path: Path, table: pd.DataFrame) -> SiteTable:
    """CARDAMOM-FluxVal: fluxes in g C m-2 d-1, meteorology of the driver data complete, GPP positive."""
    when = month_stamps(table["year"], table["month"], path)
    rows = table.rename(columns={"site": "site_id", "igbp": "vegetation"}).copy()
    for flux in ("nee", "gpp"):
        rows[flux] = monthly_carbon(numbers(table[flux], path), "g m-2 d-1", when, flux)
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
    return SiteTable(tidy(rows, path), "fluxnet2015-cardamom", notes, ())


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
    stamp = table[table.columns[0]].astype("int64").astype(str)
    table["year"], table["month"] = stamp.str[:4].astype(int), stamp.str[4:6].astype(int)
    fluxes = _flux_columns(table, threshold, partition, site, notes)
    if not fluxes:
        raise InputError(
            f"{path}: none of NEE, GPP, RECO, FCH4 in the columns talik knows ({threshold}, {partition})"
        )
    out = pd.DataFrame({"year": table["year"], "month": table["month"]})
    for name, (column, units) in fluxes.items():
        values = numbers(table[column], path)
        if units != "g m-2 d-1":
            values = values.where(values.abs() <= LARGEST_RATE)
        quality = table.get(f"{column}_QC", table.get(f"{column.rsplit('_', 1)[0]}_QC"))
        if quality is not None and name == "ch4":
            values = values.where(quality != 3)  # 3: a gap of more than two months was filled
        elif quality is not None and smallest_quality > 0:
            _count(
                dropped,
                f"{name}: quality below {smallest_quality:g}",
                (quality < smallest_quality) & values.notna(),
            )
            values = values.where(quality >= smallest_quality)
        when = month_stamps(table["year"], table["month"], path)
        out[name] = monthly_carbon(values, units, when, name)
    for name, (column, factor) in {
        "tair": ("TA_F", 1.0),
        "vpd": ("VPD_F", 0.1),
        "srad": ("SW_IN_F", 1.0),
    }.items():
        if column in table:
            out[name] = numbers(table[column], path) * factor
    if "P_F" in table:
        out["precip"] = (
            numbers(table["P_F"], path)
            * month_stamps(table["year"], table["month"], path).dt.days_in_month.to_numpy()
        )
    if step == "day":
        out = _months(out, dropped)
    out.insert(0, "site_id", site)
    out["flux_method"] = "EC"
    return out


def _flux_columns(
    table: pd.DataFrame, threshold: str, partition: str, site: str, notes: list[str]
) -> dict[str, tuple[str, str]]:
    """Which column and unit each flux is taken from."""
    out: dict[str, tuple[str, str]] = {}
    other = {"VUT": "CUT", "CUT": "VUT", "NT": "DT", "DT": "NT"}
    for name, prefix in (("nee", "NEE"), ("gpp", f"GPP_{partition}"), ("reco", f"RECO_{partition}")):
        for use in (threshold, other[threshold]):
            column = f"{prefix}_{use}_REF"
            if column in table:
                out[name] = (column, "g m-2 d-1")
                if use != threshold:
                    notes.append(f"{site}: {name} has no {threshold} columns; {use} taken")
                break
    if "FCH4_F_ANNOPTLM" in table:
        out["ch4"] = ("FCH4_F_ANNOPTLM", "nmol m-2 s-1")
        for name, column in (
            ("nee", "NEE_F_ANNOPTLM"),
            ("gpp", f"GPP_{partition}"),
            ("reco", f"RECO_{partition}"),
        ):
            if name not in out and column in table:
                out[name] = (column, "umol m-2 s-1")
    return out


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


def _step(path: Path) -> str:
    with Path(path).open("rb") as file:
        names = file.readline(65_536).decode("latin-1").lstrip("\ufeff").split(",")
        first = file.readline(65_536).decode("latin-1").split(",")[0].strip().strip('"')
    if names[0].strip('" \n') == "TIMESTAMP_START":
        return {8: "weekly", 12: "half-hourly"}.get(len(first), "unknown")
    return {4: "yearly", 6: "month", 8: "day"}.get(len(first), "unknown")
