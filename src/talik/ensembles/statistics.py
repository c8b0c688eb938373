"""An ensemble of process models summarised: by region and scenario, as boxes, tested, by family, with trends.

Every number goes through the same steps: annual values of a run and what derives from them (`derived`); mean over the
period, or ratio of sums; mean over the models of a group, so that each group is one member; statistics over members.
Source: Hugelius et al. (2024), process-model ensemble, where limits are percentiles of members because they are skewed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import pandas as pd

from talik.ensembles.derived import RATIOS, Annual, annual, check_table, period_values
from talik.ensembles.members import Member, group_means, members_frame, members_of
from talik.ensembles.series import trend_rows
from talik.ensembles.spread import Rule, box, limits, mann_whitney, outliers
from talik.errors import ConfigError, CoverageError
from talik.records import json_rows

PERIOD: tuple[int, int | None] = (1980, None)
"""1980 to the end of each run."""
ALPHA = 0.01
"""Level of the tests of two groups."""
KEYS = ["region", "scenario", "variable"]
_SPLITS = {
    "layered - bulk": ("layered", True, False),
    "with - without fire": ("fire", True, False),
}
_CLASSES = {
    "all": None,
    "layered": ("layered", True),
    "bulk": ("layered", False),
    "with fire": ("fire", True),
    "without fire": ("fire", False),
}
_POSITIVE = frozenset(
    ("gpp", "npp", "ra", "rh", "reco", "fFire", "cVeg", "cSoil", "cLitter", "cLand", "soil_litter_c")
) | frozenset(RATIOS)
"""Quantities that are positive by nature: an outlier is a matter of their ratio to the median."""


@dataclass(frozen=True, slots=True)
class EnsembleSummary:
    """What `summarise_members` found. Every table has columns region, scenario, variable and units.

    members : one row a member (group): value, models, layered, fire, years, coverage, first_year, last_year.
    by_region : n_models, n_members, n_families, mean, median, low, high (2.5th and 97.5th percentile of members), sd
        (n - 1), family_mean (mean of family means), coverage (least of the members), first_year, last_year.
    boxes : one row a class (all, layered, bulk, with fire, without fire): n, mean, q1, median, q3, whisker_low,
        whisker_high, outside (members beyond the whiskers).
    tests : one row a split: n and median of both groups, u, p, least_p, effect, shift, significant.
    families : one row a family: n_members, mean, mean_without (ensemble without it), change.
    decades : one row a decade: years in it, n_members, mean, median, low, high.
    trends : one row a member and one for the ensemble mean: slope a year, low, high, p, tau, years, significant.
    flagged : members outside the outlier rule, or left out for want of years; dropped says whether they count.
    notes : what was taken for granted.
    """

    members: pd.DataFrame
    by_region: pd.DataFrame
    boxes: pd.DataFrame
    tests: pd.DataFrame
    families: pd.DataFrame
    decades: pd.DataFrame
    trends: pd.DataFrame
    flagged: pd.DataFrame
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: each table as a list of rows, notes as a list; a number that is not defined is None."""
        tables = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "notes"}
        rows = {name: json_rows(table) for name, table in tables.items()}
        return rows | {"notes": list(self.notes)}


def summarise_members(
    table: pd.DataFrame,
    members: pd.DataFrame | Iterable[Member],
    *,
    period: tuple[int, int | None] = PERIOD,
    regions: Sequence[str] | None = None,
    scenarios: Sequence[str] | None = None,
    variables: Sequence[str] | None = None,
    outlier: Literal["keep", "drop"] = "keep",
    min_coverage: float = 1.0,
    alpha: float = ALPHA,
    trend_method: str = "zhang",
) -> EnsembleSummary:
    """Statistics of an ensemble by region, scenario and variable.

    table : member table (model, region, scenario, year, variable, value, units), annual; signs and units are kept, sums
    need one unit. members : one row a model, see `Member`. period : first and last year; None is the end of each
    run. variables : by default all, with nep, nbp_fire, ra, soil_litter_c, cue, mrt where they follow. outlier :
    flagged members are kept, or dropped from every statistic but their own row. min_coverage : a run with a smaller
    share of years of the period is left out and flagged, since a mean over some years is not a mean over all. alpha :
    level of the tests. trend_method : as `talik.trends.trend`.

    CoverageError: nothing left. ConfigError: settings, or a model that is no member. InputError, UnitsError: the table.
    """
    if outlier not in ("keep", "drop"):
        raise ConfigError(f"outlier is {outlier!r}; choose one of: keep, drop.")
    if not 0.0 < min_coverage <= 1.0 or not 0.0 < alpha < 1.0:
        raise ConfigError(
            f"min_coverage is {min_coverage} and alpha {alpha}; expected shares above 0, such as 1.0 and 0.01."
        )
    known = members_of(members)
    check_table(table)
    chosen = _chosen(_chosen(table, "region", regions), "scenario", scenarios)
    data = annual(_of_members(chosen, known), known)
    every = period_values(data, period, variables=variables)
    short = every["coverage"] < min_coverage
    if short.all():
        raise CoverageError(
            f"no run has {min_coverage:.0%} of the years {period[0]}-{period[1] or 'end'}; the best has "
            f"{every['coverage'].max():.0%}. Choose another period, or lower min_coverage."
        )
    values = _grouped(every[~short], known)
    values["out"] = _distance(values)
    flagged = pd.concat([_flag_outliers(values, outlier), _flag_short(every[short])], ignore_index=True)
    used = values[~(values["out"] > 1.0)] if outlier == "drop" else values
    notes = list(data.notes) + _told(data, every, outlier)
    return EnsembleSummary(
        members=values.drop(columns="out"),
        by_region=_by_region(used),
        boxes=_boxes(used),
        tests=_tests(used, alpha),
        families=_families(used),
        decades=_decades(data, known, period, used, min_coverage),
        trends=trend_rows(data, members_frame(known), used, trend_method, alpha),
        flagged=flagged,
        notes=tuple(notes),
    )


def _chosen(table: pd.DataFrame, column: str, names: Sequence[str] | None) -> pd.DataFrame:
    if names is None:
        return table
    have = set(map(str, table[column].unique()))
    lacking = [n for n in names if n not in have]
    if lacking:
        raise ConfigError(
            f"{column} {', '.join(lacking)} is not in the member table; found {', '.join(sorted(have))}. "
            "Choose among them."
        )
    return table[table[column].isin(list(names))]


def _of_members(table: pd.DataFrame, members: tuple[Member, ...]) -> pd.DataFrame:
    """The table, if every model in it is described."""
    names = {m.model for m in members}
    unknown = sorted(set(map(str, table["model"].unique())) - names)
    if unknown:
        raise ConfigError(
            f"members: model {', '.join(unknown)} of the table is not described; known are {', '.join(sorted(names))}. "
            "Add a row with its family, group, project, layered and fire, or drop it from the table."
        )
    return table


def _grouped(values: pd.DataFrame, members: tuple[Member, ...]) -> pd.DataFrame:
    """One row a group: mean over its models, with the least coverage and the widest span of years."""
    keys = [*KEYS, "units"]
    out = group_means(values, members, keys)
    group_of = {m.model: m.group for m in members}
    spans = (
        values.assign(group=values["model"].map(group_of))
        .groupby([*keys, "group"])
        .agg(
            first_year=("first_year", "min"),
            last_year=("last_year", "max"),
            years=("years", "min"),
            coverage=("coverage", "min"),
        )
    )
    return out.merge(spans.reset_index(), on=[*keys, "group"], how="left")


def _rule(variable: str) -> Rule:
    return "ratio" if variable in _POSITIVE else "robust"


def _distance(values: pd.DataFrame) -> pd.Series:
    """How far out each member is among those of its region, scenario and variable; above 1 it is flagged."""
    out = pd.Series(np.nan, index=values.index)
    for (_, _, variable), rows in values.groupby(KEYS):
        out[rows.index] = outliers(rows["value"].to_numpy(float), _rule(str(variable)))
    return out


_FLAG_COLUMNS = [*KEYS, "units", "member", "value", "median", "reason", "dropped"]


def _flag_outliers(values: pd.DataFrame, outlier: str) -> pd.DataFrame:
    middle = values.groupby(KEYS)["value"].transform("median")
    rows = values.assign(median=middle, member=values["group"])[values["out"] > 1.0]
    told = {
        "ratio": "outside a third to three times the median",
        "robust": "modified z-score above 3.5",
    }
    reasons = [told[_rule(str(v))] for v in rows["variable"]]
    return rows.assign(reason=reasons, dropped=outlier == "drop")[_FLAG_COLUMNS]


def _flag_short(rows: pd.DataFrame) -> pd.DataFrame:
    reasons = [
        f"{y} years, {c:.0%} of the period" for y, c in zip(rows["years"], rows["coverage"], strict=True)
    ]
    return rows.assign(member=rows["model"], median=np.nan, reason=reasons, dropped=True)[_FLAG_COLUMNS]


def _told(data: Annual, every: pd.DataFrame, outlier: str) -> list[str]:
    told = []
    ends = every.groupby("scenario")["last_year"].unique()
    told += [
        f"runs of {name} end in different years: {', '.join(map(str, sorted(found)))}"
        for name, found in ends.items()
        if len(found) > 1
    ]
    if "nbp_fire" in data.values:
        have = data.values["nbp_fire"].notna().groupby(level="region").any()
        lacking = [str(r) for r in have.index[~have]]
        if lacking:
            told.append(f"nbp_fire is absent where no run gives fFire: {', '.join(lacking)}")
    elif "npp" in data.values:
        told.append("nbp_fire is absent: no run gives fFire")
    told.append(f"members outside the outlier rule are {'dropped' if outlier == 'drop' else 'kept'}")
    return told


def _statistics(values: np.ndarray) -> dict[str, float]:
    low, high = limits(values)
    return {"mean": float(values.mean()), "median": float(np.median(values)), "low": low, "high": high}


def _by_region(values: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for key, one in values.groupby([*KEYS, "units"]):
        v = one["value"].to_numpy(float)
        rows.append(
            dict(zip([*KEYS, "units"], key, strict=True))
            | {
                "n_models": int(one["n_models"].sum()),
                "n_members": len(one),
                "n_families": one["family"].nunique(),
            }
            | _statistics(v)
            | {
                "sd": float(v.std(ddof=1)) if len(v) > 1 else np.nan,
                "family_mean": float(one.groupby("family")["value"].mean().mean()),
                "coverage": float(one["coverage"].min()),
                "first_year": int(one["first_year"].min()),
                "last_year": int(one["last_year"].max()),
            }
        )
    return pd.DataFrame(rows)


def _boxes(values: pd.DataFrame) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for key, one in values.groupby([*KEYS, "units"]):
        for name, chosen in _CLASSES.items():
            some = one if chosen is None else one[one[chosen[0]] == chosen[1]]
            if some.empty:
                continue
            v = some["value"].to_numpy(float)
            found = box(v)
            rows.append(
                dict(zip([*KEYS, "units"], key, strict=True))
                | {
                    "class": name,
                    "n": len(v),
                    "mean": float(v.mean()),
                    "q1": found.q1,
                    "median": found.median,
                    "q3": found.q3,
                    "whisker_low": found.low,
                    "whisker_high": found.high,
                    "outside": ", ".join(str(some["group"].iloc[k]) for k in found.outside),
                }
            )
    return pd.DataFrame(rows)


def _tests(values: pd.DataFrame, alpha: float) -> pd.DataFrame:
    rows = []
    for key, one in values.groupby([*KEYS, "units"]):
        for name, (column, *sides) in _SPLITS.items():
            first, second = (one.loc[one[column] == side, "value"].to_numpy(float) for side in sides)
            found = mann_whitney(first, second)
            rows.append(
                dict(zip([*KEYS, "units"], key, strict=True))
                | {
                    "split": name,
                    "n_first": found.n_first,
                    "n_second": found.n_second,
                    "median_first": float(np.median(first)) if len(first) else np.nan,
                    "median_second": float(np.median(second)) if len(second) else np.nan,
                    "u": found.u,
                    "p": found.p,
                    "least_p": found.least_p,
                    "effect": found.effect,
                    "shift": found.shift,
                    "method": found.method,
                    "significant": bool(found.p < alpha),
                }
            )
    return pd.DataFrame(rows)


def _families(values: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for key, one in values.groupby([*KEYS, "units"]):
        mean = float(one["value"].mean())
        for family, some in one.groupby("family"):
            rest = one.loc[one["family"] != family, "value"]
            without = float(rest.mean()) if len(rest) else np.nan
            rows.append(
                dict(zip([*KEYS, "units"], key, strict=True))
                | {
                    "family": family,
                    "n_members": len(some),
                    "mean": float(some["value"].mean()),
                    "mean_without": without,
                    "change": without - mean,
                }
            )
    return pd.DataFrame(rows)


def _decades(
    data: Annual,
    members: tuple[Member, ...],
    period: tuple[int, int | None],
    used: pd.DataFrame,
    min_coverage: float,
) -> pd.DataFrame:
    """Statistics by decade over the members that count; the first and last may be shorter."""
    year = data.values.index.get_level_values("year")
    first, last = int(max(year.min(), period[0])), int(period[1] if period[1] is not None else year.max())
    variables = list(dict.fromkeys(used["variable"]))
    counted = used[[*KEYS, "group"]]
    parts = []
    for start in range(first - first % 10, last + 1, 10):
        window = (max(start, first), min(start + 9, last))
        if not ((year >= window[0]) & (year <= window[1])).any():
            continue
        inside = Annual(data.values[(year >= window[0]) & (year <= window[1])], data.units, ())
        some = period_values(inside, (window[0], None), variables=variables)
        some = group_means(some[some["coverage"] >= min_coverage], members, [*KEYS, "units"]).merge(
            counted, on=[*KEYS, "group"]
        )
        spans = inside.values.reset_index("year").groupby(level=["region", "scenario"])["year"]
        length = spans.nunique().to_dict()
        for key, one in some.groupby([*KEYS, "units"]):
            parts.append(
                dict(zip([*KEYS, "units"], key, strict=True))
                | {"decade": start, "years": length[key[0], key[1]], "n_members": len(one)}
                | _statistics(one["value"].to_numpy(float))
            )
    columns = [*KEYS, "units", "decade", "years", "n_members", "mean", "median", "low", "high"]
    return pd.DataFrame(parts, columns=columns).sort_values([*KEYS, "decade"], ignore_index=True)
