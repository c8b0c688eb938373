"""Training data from files: site table, gridded predictors, filters, or any table with named columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from talik.errors import ConfigError, InputError
from talik.sources.filters import apply_rules, average_duplicates
from talik.sources.predictors import PREDICTORS
from talik.sources.problem import counted
from talik.sources.site_table import COLUMNS, FLUXES, MONTHLY, SiteTable, read_sites, require_dates
from talik.sources.table_checks import check_sites
from talik.sources.table_file import read_table
from talik.upscaling.training import Training, prepare

_PLACES = (
    "Designs cluster and knndm need positions, and so do limits of unseen places; add them, or choose the design loso "
    "(in a project file cv: {design: loso}) and limits: {contain: members}."
)
ACCEPTED = "accepted error"
"""How notes of errors that were accepted begin."""
LEAST_SHARE = 0.5
"""A predictor present in a smaller share of the rows with the flux is not chosen by default."""


def read_training(
    path: Path,
    *,
    flux: str | None = None,
    target: str | None = None,
    group: str | None = None,
    predictors: Sequence[str] = (),
    categorical: Sequence[str] = (),
    grids: Sequence[str] = (),
    filters: Sequence[str] = (),
    weights: float = 0.0,
    located: bool = False,
    accept_errors: bool = True,
) -> Training:
    """Training data of a site table (`flux`), or of any table (`target`, `group`, `predictors`).

    grids : "FILE:VAR,VAR" with predictors to take at the sites; rows without a date are then left out. located : rows
    without a position are left out. accept_errors : whether a site table in which `talik check` finds errors is taken.

    Raises:
        ConfigError: neither or both ways of naming what to learn.
        InputError, UnitsError: what is wrong with the files.
    """
    path = Path(path)
    if (flux is None) == (target is None):
        raise ConfigError(
            "name what to learn: --flux nee|gpp|reco|ch4, or --target COLUMN with --group and --predictors"
        )
    dropped: list[tuple[str, int]] = []
    notes: tuple[str, ...] = ()
    if target is not None:
        if not group or not predictors:
            raise ConfigError("--target needs --group COLUMN and --predictors A,B,C")
        rows, how = read_table(path)
        if grids:
            require_dates(rows, path)
        notes = tuple(how)
        units: dict[str, str] = {}
        target_units = "as in the table"
    else:
        sites = read_sites(path)
        rows, lost = average_duplicates(sites.rows)
        dropped += [*sites.dropped, *lost]
        notes = (*sites.notes, *_errors(sites, path, accept=accept_errors))
        target, group, target_units = str(flux), "site_id", MONTHLY
        if target not in rows:
            have = ", ".join(f for f in FLUXES if f in rows)
            raise InputError(f"{path}: no column {target}; the table has {have or 'no flux'}")
        units = {c.name: c.units for c in COLUMNS.values() if c.units and c.name in rows}
    rows, ruled = apply_rules(rows, filters)
    dropped += ruled
    if located:
        rows, nowhere = _located(rows, path)
        dropped += nowhere
    missing = rows[target].isna() if target in rows else pd.Series(False, index=rows.index)
    if missing.any():
        dropped.append((f"{target} missing", int(missing.sum())))
        rows = rows[~missing].reset_index(drop=True)
    if grids:
        rows, undated = _dated(rows)
        dropped += undated
    rows, taken = _with_grids(rows, grids, path)
    units |= taken
    chosen = list(predictors) or _default_predictors(rows, list(taken), path)
    training = prepare(
        rows,
        target,
        group,
        chosen,
        categorical=categorical,
        units=units,
        target_units=target_units,
        weights=weights,
        where=str(path),
    )
    return replace(training, dropped=(*dropped, *training.dropped), notes=notes)


def _errors(sites: SiteTable, path: Path, *, accept: bool) -> list[str]:
    """Errors of a table as `talik check` tells them; InputError unless they are accepted."""
    found = [p.sentence() for p in check_sites(sites) if p.severity == "error"]
    if found and not accept:
        raise InputError(
            f"{path}: {counted(len(found), 'error')} in the table. {' '.join(found)} Correct it, or set accept_errors: "
            "true to learn from it as it is."
        )
    return [f"{ACCEPTED}: {one}" for one in found]


def _located(rows: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, list[tuple[str, int]]]:
    names = {"latitude": "lat", "longitude": "lon"}
    rows = rows.rename(columns={k: v for k, v in names.items() if v not in rows})
    lost = [c for c in ("lat", "lon") if c not in rows]
    if lost:
        raise InputError(f"{path}: column {', '.join(lost)} missing. {_PLACES}")
    known = rows[["lat", "lon"]].notna().all(axis=1)
    if not known.any():
        raise InputError(f"{path}: no row has lat and lon. {_PLACES}")
    if known.all():
        return rows, []
    return rows[known].reset_index(drop=True), [("no position", int((~known).sum()))]


def _dated(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[tuple[str, int]]]:
    """Rows that have a year and a month, as whole numbers."""
    dates = [c for c in ("year", "month") if c in rows]
    known = rows[dates].notna().all(axis=1)
    out = rows[known].reset_index(drop=True).astype(dict.fromkeys(dates, "int64"))
    return out, [] if known.all() else [("no year or month", int((~known).sum()))]


def _with_grids(rows: pd.DataFrame, grids: Sequence[str], path: Path) -> tuple[pd.DataFrame, dict[str, str]]:
    """Rows with the predictors of each grid, and their units."""
    from talik.upscaling.extract import extract

    taken: dict[str, str] = {}
    for item in grids:
        file, sep, names = item.rpartition(":")
        wanted = [n.strip() for n in names.split(",") if n.strip()]
        if not sep or not file or not wanted:
            raise ConfigError(f"--grid {item!r}: expected FILE:VARIABLE,VARIABLE")
        if not {"lat", "lon"} <= set(rows.columns):
            lost = ", ".join(c for c in ("lat", "lon") if c not in rows)
            raise InputError(
                f"{path}: column {lost} missing, so predictors cannot be taken from {file}. Add positions, or leave "
                "out --grid (in a project file upscaling.at_sites) and learn from columns of the table (predictors)."
            )
        found = extract(rows, file, wanted)
        clash = [n for n in found.values.columns if n in rows.columns]
        if clash:
            raise ConfigError(
                f"{file}: {', '.join(clash)} is in the site table already; leave it out of the table, or out of --grid "
                "(in a project file upscaling.at_sites)."
            )
        rows = pd.concat([rows, found.values], axis=1)
        taken |= {k: v for k, v in found.units.items() if v}
        taken |= {n: "" for n in found.values.columns if n not in taken}
    return rows, taken


def _default_predictors(rows: pd.DataFrame, taken: list[str], path: Path) -> list[str]:
    """Those of the 17 that most rows have, and everything taken from grids."""
    known = [n for n in PREDICTORS if n in rows and rows[n].notna().mean() >= LEAST_SHARE]
    chosen = known + [n for n in taken if n not in known]
    if not [n for n in chosen if n != "month"]:
        raise InputError(
            f"{path}: none of the known predictors ({', '.join(n for n in PREDICTORS if n != 'month')}) in the table. "
            "Name columns with --predictors, or take them from grids with --grid (in a project file: predictors, "
            "at_sites)."
        )
    return chosen
