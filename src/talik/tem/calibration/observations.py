"""What towers measured, month by month, as targets of the process model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from talik.config import Frozen
from talik.errors import InputError
from talik.sources.site_table import MONTHLY, SiteTable
from talik.tem.calibration.towers import Tower, Use, rows_of

Variable = Literal["gpp", "reco", "nee", "tsoil", "thaw_depth"]


@dataclass(frozen=True, slots=True)
class Observed:
    """A variable: its units and sign, and the columns of a site table that hold it and its depth."""

    units: str
    meaning: str
    columns: tuple[tuple[str, str | None], ...]
    factor: float = 1.0
    """From the units of the columns."""


VARIABLES: Mapping[str, Observed] = MappingProxyType(
    {
        "gpp": Observed(MONTHLY, "gross primary production as carbon, a magnitude", (("gpp", None),)),
        "reco": Observed(MONTHLY, "ecosystem respiration as carbon, a magnitude", (("reco", None),)),
        "nee": Observed(
            MONTHLY, "net ecosystem exchange as carbon, up: uptake is negative, NEP = -NEE", (("nee", None),)
        ),
        "tsoil": Observed(
            "degC",
            "soil temperature at depth_m, mean of the month",
            (("tsoil_surface", "tsoil_surface_depth"), ("tsoil_deep", "tsoil_deep_depth")),
        ),
        "thaw_depth": Observed("m", "thaw depth", (("thaw_depth", None),), 0.01),
    }
)
"""Targets in the order of `Observations.table`. Fluxes have the signs of talik's flux table and of the model's output,
and are amounts of a calendar month, as inside the model."""
FLUXES: tuple[Variable, ...] = ("gpp", "reco", "nee")
GROUPS: tuple[tuple[Variable, ...], ...] = (FLUXES, ("tsoil",), ("thaw_depth",))
"""Variables that come from one table."""
COLUMNS = ("site_id", "year", "month", "variable", "depth_m", "value", "sigma", "source")
KEYS = ["site_id", "year", "month", "variable", "depth_m"]


class Screening(Frozen):
    """Which measured months are not believed."""

    frozen_below_degc: float | None = -5.0
    """In months with colder air GPP and Reco are left out: plants are dormant, and what partitioning finds is noise of
    the net flux. None keeps them."""
    frozen_uptake_g_m2: Annotated[float, Field(ge=0)] = 5.0
    """In those months a net uptake (g C m-2 month-1) of more than this is left out: an open-path analyser that heats
    itself shows uptake over frozen ground (Burba et al. 2008)."""
    most_filled_percent: Annotated[float, Field(ge=0, le=100)] = 95.0
    """Fluxes of months with a larger share of filled gaps are left out, where the table says so."""
    imbalance_g_m2: Annotated[float, Field(gt=0)] | None = 5.0
    """GPP and Reco are left out where NEE differs from Reco - GPP by more than this and `imbalance_share`; None keeps
    them. NEE, which is measured, stays."""
    imbalance_share: Annotated[float, Field(ge=0)] = 0.25
    """Of the larger of GPP and Reco."""
    contradictions: Literal["error", "leave out"] = "error"
    """Two values of one site, month and variable in a table: an error, or both are left out."""


class Errors(Frozen):
    """Standard errors of monthly observations: the larger of a floor and a share of the value."""

    kind: Literal["measurement", "spread"] = "measurement"
    """`spread`: instead, what gives every stream (a variable at a depth, all sites) the same sum of squares around its
    mean, as with PEST weights (Doherty 2015): its standard deviation times sqrt(n * streams / all observations)."""
    flux_share: Annotated[float, Field(ge=0)] = 0.2
    """The error of an eddy flux grows in proportion to the flux (Richardson et al. 2006); over months, what remains is
    gap filling and partitioning."""
    flux_g_m2: Annotated[float, Field(gt=0)] = 5.0
    """Floor, g C m-2 month-1."""
    tsoil_k: Annotated[float, Field(gt=0)] = 2.0
    """Of soil temperature: one sensor for the ground around a tower, at a depth that is seldom told."""
    thaw_share: Annotated[float, Field(ge=0)] = 0.1
    thaw_m: Annotated[float, Field(gt=0)] = 0.05
    """Floor, m."""


class ObservationSettings(Frozen):
    """What is taken from site tables, and how it is weighed."""

    variables: Annotated[tuple[Variable, ...], Field(min_length=1)] = (
        "gpp",
        "reco",
        "nee",
        "tsoil",
        "thaw_depth",
    )
    screening: Screening = Screening()
    errors: Errors = Errors()
    soil_depth_m: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Depth of soil temperature where the table gives none: the middle of the upper 10 cm that the column means."""
    fewest_months: Annotated[int, Field(ge=1)] = 6
    """A site with fewer months of observations is `short`."""
    short: Literal["error", "note"] = "error"


@dataclass(frozen=True)
class Observations:
    """Targets and what became of the rest.

    table : site_id, year, month, variable, depth_m (NaN but for tsoil), value, sigma, source; one row a target, sorted.
    notes : what was assumed. left_out : reason and number of values.
    """

    table: pd.DataFrame
    notes: tuple[str, ...]
    left_out: tuple[tuple[str, int], ...]

    def counts(self) -> pd.DataFrame:
        """Number of targets by site and variable (rows) and calendar month 1..12 (columns), and `all`."""
        counted = (
            self.table.groupby(["site_id", "variable", "month"], sort=False)
            .size()
            .unstack("month", fill_value=0)
        )
        counted = counted.reindex(columns=range(1, 13), fill_value=0)
        return counted.assign(all=counted.sum(axis=1))


def read_observations(
    tables: Sequence[SiteTable],
    towers: Sequence[Tower],
    use: Use,
    settings: ObservationSettings = ObservationSettings(),  # noqa: B008  (frozen)
) -> Observations:
    """Targets of the towers that have years for `use`, in those years.

    tables : as `read_sites` returns them, best first. Fluxes of a tower are all of the first table that holds any in
    its years, soil temperature and thaw depth of the first that holds each: sources are not mixed. Where a later table
    holds other values of the same months, a note says how many and how much they differ. Months without data are
    absent.

    Raises:
        InputError: no tower with such years, a tower without data in its years or with fewer months than
            `fewest_months`, or a table that contradicts itself (each case is named).
    """
    chosen = [(t, years) for t in towers if (years := t.years(use)) is not None]
    if not chosen:
        raise InputError(
            f"none of {len(towers)} towers has years for {use.replace('_', '-')}. Give one some, or choose another use."
        )
    notes: list[str] = []
    left_out: dict[str, int] = {}
    parts = []
    for tower, years in chosen:
        held = [
            part
            for group in GROUPS
            if (part := _group(tower, years, tables, group, settings, notes, left_out)) is not None
        ]
        if not held:
            raise InputError(
                f"{tower.site}: no {', '.join(settings.variables)} in {years[0]}..{years[1]} in any of {len(tables)} "
                f"site tables ({', '.join(t.format for t in tables)}). Choose other years, or leave the tower out."
            )
        one = pd.concat(held)
        _require_enough(tower, years, one, settings, notes)
        parts.append(one)
    table = pd.concat(parts, ignore_index=True)
    table["sigma"] = sigmas(table, settings.errors)
    return Observations(
        table[list(COLUMNS)], tuple(dict.fromkeys(notes)), tuple((r, n) for r, n in left_out.items() if n)
    )


def sigmas(table: pd.DataFrame, errors: Errors) -> pd.Series:
    """Standard errors (row,) of targets in the units of their values.

    Raises:
        InputError: with `spread`, a stream of equal values or of one alone.
    """
    if errors.kind == "spread":
        return _spread(table)
    size, variable = table["value"].abs(), table["variable"]
    out = pd.Series(errors.tsoil_k, index=table.index, name="sigma")
    out = out.mask(variable.isin(FLUXES), (errors.flux_share * size).clip(lower=errors.flux_g_m2))
    return out.mask(variable == "thaw_depth", (errors.thaw_share * size).clip(lower=errors.thaw_m))


def _spread(table: pd.DataFrame) -> pd.Series:
    grouped = table.groupby(["variable", "depth_m"], dropna=False)["value"]
    deviation, number = grouped.transform(lambda v: v.std(ddof=0)), grouped.transform("size")
    bad = table[~(deviation > 0)]
    if len(bad):
        raise InputError(
            f"{bad['variable'].iloc[0]} at {bad['site_id'].iloc[0]} has {number[bad.index[0]]} values without spread; "
            "errors of kind 'spread' need some. Take 'measurement', or leave the variable out."
        )
    weighed: pd.Series = deviation * np.sqrt(number * grouped.ngroups / len(table))
    return weighed.rename("sigma")


def _group(
    tower: Tower,
    years: tuple[int, int],
    tables: Sequence[SiteTable],
    group: tuple[Variable, ...],
    settings: ObservationSettings,
    notes: list[str],
    left_out: dict[str, int],
) -> pd.DataFrame | None:
    """The targets of variables of one group, all of the first table that has any, without sigma; None if none has."""
    asked = [name for name in group if name in settings.variables]
    taken: pd.DataFrame | None = None
    for table in tables:
        told: list[str] = []
        dropped: dict[str, int] = {}
        rows = rows_of(tower, table.rows)
        rows = rows[rows["year"].between(*years) & rows["month"].notna()]
        if group == FLUXES:
            where = f"{tower.site}, {table.format}"
            rows = _screened(rows.copy(), where, asked, settings.screening, dropped)
        parts = [_values_of(rows, tower, table, name, settings, told) for name in asked]
        if not any(len(p) for p in parts):
            continue
        values = pd.concat([p for p in parts if len(p)], ignore_index=True)
        if taken is None:
            taken = _one_a_month(values, tower, settings.screening, told, dropped)
            notes += told
            left_out |= dropped
        else:
            _tell_difference(tower, taken, values.drop_duplicates(KEYS), notes)
    return taken


def _values_of(
    rows: pd.DataFrame,
    tower: Tower,
    table: SiteTable,
    name: Variable,
    settings: ObservationSettings,
    notes: list[str],
) -> pd.DataFrame:
    """Every value of a variable in rows of a tower, without sigma."""
    out = []
    for column, depth_column in VARIABLES[name].columns:
        if column not in rows:
            continue
        held = rows[rows[column].notna()]
        depth = pd.Series(np.nan, index=held.index)
        if depth_column is not None:
            depth = _depths(held, depth_column)
            unknown = int(depth.isna().sum())
            if unknown and column == "tsoil_surface":
                depth = depth.fillna(settings.soil_depth_m)
                notes.append(
                    f"{tower.site}: {unknown} {column} values of {table.format} have no depth; taken as "
                    f"{settings.soil_depth_m:g} m"
                )
            elif unknown:
                held, depth = held[depth.notna()], depth.dropna()
                notes.append(
                    f"{tower.site}: {unknown} {column} values of {table.format} have no depth; not taken"
                )
        out.append(
            pd.DataFrame(
                {
                    "site_id": tower.site,
                    "year": held["year"].astype(np.int64),
                    "month": held["month"].astype(np.int64),
                    "variable": name,
                    "depth_m": depth,
                    "value": held[column].astype(np.float64) * VARIABLES[name].factor,
                    "source": table.format,
                }
            )
        )
    return pd.concat(out) if out else pd.DataFrame()


def _screened(
    rows: pd.DataFrame,
    where: str,
    asked: Sequence[Variable],
    screening: Screening,
    left_out: dict[str, int],
) -> pd.DataFrame:
    """Rows with fluxes that are not believed set to missing, those of `asked` counted in `left_out`."""

    def drop(names: Sequence[Variable], bad: pd.Series, reason: str) -> None:
        for name in (n for n in names if n in rows):
            if name in asked:
                left_out[f"{where}: {name} {reason}"] = int((bad & rows[name].notna()).sum())
            rows[name] = rows[name].mask(bad)

    if "gap_fill_perc" in rows:
        filled = rows["gap_fill_perc"] > screening.most_filled_percent
        drop(FLUXES, filled, f"with more than {screening.most_filled_percent:g} % filled gaps")
    if screening.imbalance_g_m2 is not None and set(FLUXES) <= set(rows.columns):
        gap = (rows["nee"] - (rows["reco"] - rows["gpp"])).abs()
        larger = rows[["gpp", "reco"]].abs().max(axis=1)
        drop(
            ("gpp", "reco"),
            (gap > screening.imbalance_g_m2) & (gap > screening.imbalance_share * larger),
            "contradicts NEE of the same row",
        )
    if screening.frozen_below_degc is not None and "tair" in rows:
        frozen = rows["tair"] < screening.frozen_below_degc
        drop(("gpp", "reco"), frozen, f"in a month below {screening.frozen_below_degc:g} degC")
        if "nee" in rows:
            uptake = frozen & (rows["nee"] < -screening.frozen_uptake_g_m2)
            drop(("nee",), uptake, f"is uptake in a month below {screening.frozen_below_degc:g} degC")
    return rows


def _depths(held: pd.DataFrame, column: str) -> pd.Series:
    """Depth (m) of each row from a column in cm, NaN where it has none; a range such as 0-5cm is its middle."""
    if column not in held:
        return pd.Series(np.nan, index=held.index)
    text = held[column].astype(object).map(lambda v: "" if pd.isna(v) else str(v))
    limits = text.str.extract(r"^\s*(\d+(?:\.\d+)?)(?:\s*-\s*(\d+(?:\.\d+)?))?\s*(?:cm)?\s*$").astype(
        np.float64
    )
    middle: pd.Series = (limits[0] + limits[1].fillna(limits[0])) / 200.0
    return middle


def _one_a_month(
    values: pd.DataFrame, tower: Tower, screening: Screening, notes: list[str], left_out: dict[str, int]
) -> pd.DataFrame:
    """One row a target: repeated values once, contradictory ones an error or left out."""
    once = values.drop_duplicates([*KEYS, "value"])
    source = once["source"].iloc[0]
    if len(once) < len(values):
        notes.append(f"{tower.site}: {len(values) - len(once)} values of {source} are repeated; taken once")
    bad = once.duplicated(KEYS, keep=False)
    if bad.any():
        cases = [
            f"{name} in {year}-{month:02d}: {' and '.join(f'{v:.4g}' for v in group)}"
            for (year, month, name), group in once[bad].groupby(["year", "month", "variable"])["value"]
        ]
        if screening.contradictions == "error":
            more = f" and {len(cases) - 5} more" if len(cases) > 5 else ""
            raise InputError(
                f"{tower.site}: {source} contradicts itself: {'; '.join(cases[:5])}{more}. Keep one value of each, or "
                "set screening.contradictions to 'leave out'."
            )
        for name in once[bad]["variable"].unique():
            own = [case for case in cases if case.startswith(f"{name} ")]
            reason = f"{tower.site}, {source}: {name} contradictory ({'; '.join(own)})"
            left_out[reason] = int((bad & (once["variable"] == name)).sum())
    order = {name: i for i, name in enumerate(VARIABLES)}
    kept = once[~bad].assign(_order=once["variable"].map(order))
    return kept.sort_values(["_order", "depth_m", "year", "month"]).drop(columns="_order")


def _tell_difference(tower: Tower, taken: pd.DataFrame, other: pd.DataFrame, notes: list[str]) -> None:
    both = taken.merge(other, on=KEYS, suffixes=("", "_other"))
    for name in both["variable"].unique():
        rows = both[both["variable"] == name]
        apart = (rows["value"] - rows["value_other"]).abs()
        differ = apart > (0.01 * rows["value"].abs()).clip(lower=1e-6)
        if differ.any():
            worst = rows.iloc[int(apart.argmax())]
            notes.append(
                f"{tower.site}: {name} of {worst['source']} taken; {worst['source_other']} differs in "
                f"{int(differ.sum())} of {len(rows)} common months, most in {worst['year']}-{worst['month']:02d} "
                f"({worst['value']:.4g} and {worst['value_other']:.4g} {VARIABLES[name].units})"
            )


def _require_enough(
    tower: Tower, years: tuple[int, int], one: pd.DataFrame, settings: ObservationSettings, notes: list[str]
) -> None:
    months = len(one.drop_duplicates(["year", "month"]))
    if months >= settings.fewest_months:
        return
    text = (
        f"{tower.site}: {months} months of observations in {years[0]}..{years[1]}, fewer than "
        f"{settings.fewest_months}"
    )
    if settings.short == "error":
        raise InputError(
            f"{text}. Leave the tower out, choose other years, lower fewest_months, or set short to 'note'."
        )
    notes.append(text)
