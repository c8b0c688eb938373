"""Named rules on the rows of a site table; every row they leave out is counted with its reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import pandas as pd

from talik.errors import ConfigError, InputError
from talik.sources.predictors import PREDICTORS

Mask = Callable[[pd.DataFrame], pd.Series]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: why rows are left out, the columns it looks at, and which rows stay."""

    reason: str
    needs: tuple[str, ...]
    keeps: Mask


def _dates(rows: pd.DataFrame) -> pd.Series:
    return rows["year"] * 100 + rows["month"]


def _without(site: str, *months: int, since_year: int = 9999) -> Mask:
    def keeps(rows: pd.DataFrame) -> pd.Series:
        here = rows["site_id"].str.startswith(site)
        return ~(here & (_dates(rows).isin(months) | (rows["year"] >= since_year)))

    return keeps


def _entry(column: str, *words: str) -> Mask:
    return lambda rows: rows[column].astype("string").str.strip().str.lower().isin(words)


def _undisturbed(rows: pd.DataFrame) -> pd.Series:
    return rows["disturbance"].isna() | _entry("disturbance", "no", "none", "na", "")(rows)


def _undisturbed_or(kind: str) -> Mask:
    return lambda rows: _undisturbed(rows) | _entry("disturbance", kind)(rows)


def _not_diffusion(rows: pd.DataFrame) -> pd.Series:
    return ~_entry("flux_method", "diffusion")(rows)


def _complete(rows: pd.DataFrame) -> pd.Series:
    return rows[[name for name in PREDICTORS if name in rows]].notna().all(axis=1)


def _all_fluxes(rows: pd.DataFrame) -> pd.Series:
    return rows[["nee", "gpp", "reco"]].notna().all(axis=1)


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "larval-outbreak": Rule(
            "midday chamber site under a larval outbreak (Lund_Kobbefjord_Ch)",
            ("site_id",),
            lambda rows: ~rows["site_id"].str.contains("Lund_Kobbefjord_Ch", regex=False),
        ),
        "bad-months-ca-ns2": Rule(
            "CA-NS2 2002-01", ("site_id", "year", "month"), _without("Goulden_CA-NS2", 200201)
        ),
        "bad-months-ca-ns3": Rule(
            "CA-NS3 2002-01", ("site_id", "year", "month"), _without("Goulden_CA-NS3", 200201)
        ),
        "bad-months-ca-man": Rule(
            "CA-Man 1997-01, 1997-02 and from 2005",
            ("site_id", "year", "month"),
            _without("McCaughey_CA-Man", 199701, 199702, since_year=2005),
        ),
        "no-diffusion": Rule("snow-diffusion method", ("flux_method",), _not_diffusion),
        "ec": Rule("not eddy covariance", ("flux_method",), _entry("flux_method", "ec")),
        "reichstein": Rule(
            "not Reichstein partitioning", ("partition_method",), _entry("partition_method", "reichstein")
        ),
        "day-and-night": Rule(
            "not day and night", ("diurnal_coverage",), _entry("diurnal_coverage", "day and night")
        ),
        "all-fluxes": Rule("NEE, GPP or Reco missing", ("nee", "gpp", "reco"), _all_fluxes),
        "complete-cases": Rule("a predictor of the table missing", (), _complete),
        "undisturbed": Rule("disturbed", ("disturbance",), _undisturbed),
        **{
            f"undisturbed-or-{kind}": Rule(
                f"disturbed otherwise than by {kind}", ("disturbance",), _undisturbed_or(kind)
            )
            for kind in ("fire", "harvest", "thermokarst")
        },
    }
)
"""Rules by name (Virkkala et al. 2025: bad sites and months, complete cases, and the sensitivity subsets)."""

PUBLISHED = ("larval-outbreak", "bad-months-ca-ns2", "bad-months-ca-ns3", "bad-months-ca-man", "no-diffusion")
"""The rules of Virkkala et al. 2025, together under the name `published`."""


def apply_rules(rows: pd.DataFrame, names: Sequence[str]) -> tuple[pd.DataFrame, tuple[tuple[str, int], ...]]:
    """Rows that every rule keeps, and (reason, number) of those each rule left out, in the order given.

    Raises:
        ConfigError: unknown rule.
        InputError: a rule needs a column that is not there, or nothing is left.
    """
    wanted = [part for name in names for part in (PUBLISHED if name == "published" else (name,))]
    dropped = []
    for name in wanted:
        if name not in RULES:
            raise ConfigError(f"filter {name!r} is unknown; choose one of published, {', '.join(RULES)}")
        rule = RULES[name]
        lost = [c for c in rule.needs if c not in rows]
        if lost:
            raise InputError(f"filter {name} needs column {', '.join(lost)}; the table has none")
        keep = rule.keeps(rows).fillna(False).astype(bool)
        if not keep.all():
            dropped.append((f"{name}: {rule.reason}", int((~keep).sum())))
            rows = rows[keep]
    if not len(rows):
        raise InputError(f"no row is left after {', '.join(wanted)}")
    return rows.reset_index(drop=True), tuple(dropped)


def average_duplicates(rows: pd.DataFrame) -> tuple[pd.DataFrame, tuple[tuple[str, int], ...]]:
    """One row a site, year and month: numbers averaged, the first text kept (F4). Rows without a date stay."""
    keys = ["site_id", "year", "month"]
    dated = rows[keys].notna().all(axis=1)
    twice = rows[dated].duplicated(keys, keep=False)
    if not twice.any():
        return rows, ()
    several = rows[dated][twice]
    numeric = [c for c in several.select_dtypes("number").columns if c not in keys]
    grouped = several.groupby(keys, sort=False)
    merged = grouped.first()
    merged[numeric] = grouped[numeric].mean()
    out = pd.concat([rows.drop(several.index), merged.reset_index()], ignore_index=True)
    return out[rows.columns], (
        ("averaged with another row of the same site and month", len(rows) - len(out)),
    )
