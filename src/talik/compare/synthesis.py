"""Regions by approaches: one number each, statistics over approaches, and whether regions differ.

Each approach counts once, however many models it has. The tests of Treat et al. (2024) take region x approach for the
unit: 8 regions times 5 approaches less one missing cell give 31 residual degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd
from scipy import stats

from talik.compare.regional import require_columns
from talik.errors import CoverageError, InputError

_Test = TypeVar("_Test")


@dataclass(frozen=True, slots=True)
class Anova:
    """F test that the means of groups are equal; `eta_squared` is the share of the sum of squares between groups."""

    f: float
    df_between: int
    df_within: int
    p: float
    eta_squared: float


@dataclass(frozen=True, slots=True)
class RankTest:
    """Kruskal-Wallis test that groups have one distribution: `h` with `df` degrees of freedom, ties corrected."""

    h: float
    df: int
    p: float


@dataclass(frozen=True, eq=False)
class Synthesis:
    """Region values of all approaches (tables with regions as rows), g m-2 year-1 where rows were.

    `mean`, `sd`, `n_models`, `n_years`, `coverage` : region x approach. `regions` : by region the ``mean``,
    ``median``, ``low``, ``high``, ``range``, ``sd`` (n - 1) and ``n`` over approaches, each with equal weight.
    `anova`, `kruskal` : of region, None with too few values. `without` : both and the region medians again without
    each approach in turn, one row each.
    """

    mean: pd.DataFrame
    sd: pd.DataFrame
    n_models: pd.DataFrame
    n_years: pd.DataFrame
    coverage: pd.DataFrame
    regions: pd.DataFrame
    anova: Anova | None
    kruskal: RankTest | None
    without: pd.DataFrame


def combine(rows: pd.DataFrame, *, regions: Sequence[str] | None = None) -> Synthesis:
    """Rows of `region_means` and `site_region_means` (put together with pandas.concat) as regions by approaches.

    Means of years, then of models, for the mean and the SD alike; rows without a mean are no value. ``n_years`` is the
    mean number of years of a model, ``coverage`` the mean share of the region with data. Models of one ``group`` (a
    column, if there) are averaged first and count once.
    regions : order of the rows, and which; by default as they come. InputError: columns are missing, one approach,
    model, year and region stands twice, or nothing is left.
    """
    keys = ["approach", "model", "year", "region"]
    require_columns(rows, [*keys, "mean", "sd"], "combine")
    twice = rows.duplicated(keys)
    if twice.any():
        row = rows[twice].iloc[0]
        raise InputError(
            f"combine: {row['approach']}, {row['model']}, {row['year']}, {row['region']} stands twice "
            f"({int(twice.sum())} repeats). Give each model of an approach another name."
        )
    held = rows[rows["mean"].notna()]
    if held.empty:
        raise InputError("combine: no row has a mean; the data cover too little of every region.")
    if "coverage" not in held:
        held = held.assign(coverage=np.nan)
    grouped = held.groupby(["approach", "model", "region"], sort=False)
    models = grouped.agg(
        mean=("mean", "mean"), sd=("sd", "mean"), coverage=("coverage", "mean"), years=("year", "count")
    )
    one = (
        _groups_first(models, held)
        .groupby(["approach", "region"], sort=False)
        .agg(
            mean=("mean", "mean"),
            sd=("sd", "mean"),
            coverage=("coverage", "mean"),
            n_years=("years", "mean"),
            n_models=("n", "sum"),
        )
    )
    order = list(regions) if regions is not None else list(dict.fromkeys(rows["region"]))
    columns = list(dict.fromkeys(rows["approach"]))

    def table(name: str) -> pd.DataFrame:
        return one[name].unstack("approach").reindex(index=order, columns=columns)

    matrix = table("mean")
    return Synthesis(
        mean=matrix,
        sd=table("sd"),
        n_models=table("n_models").fillna(0).astype(int),
        n_years=table("n_years").where(lambda t: t > 0),
        coverage=table("coverage"),
        regions=over_approaches(matrix),
        anova=_or_none(matrix, one_way_anova),
        kruskal=_or_none(matrix, kruskal_wallis),
        without=leave_one_out(matrix),
    )


def _groups_first(models: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Values by (approach, group, region): submissions of one group are averaged and count once."""
    if "group" not in rows:
        return models.assign(n=1)
    group = rows.groupby(["approach", "model"])["group"].first()
    names = pd.MultiIndex.from_arrays([models.index.get_level_values(k) for k in ("approach", "model")])
    labelled = models.assign(group=group.reindex(names).to_numpy()).reset_index()
    return labelled.groupby(["approach", "group", "region"], sort=False).agg(
        mean=("mean", "mean"),
        sd=("sd", "mean"),
        coverage=("coverage", "mean"),
        years=("years", "mean"),
        n=("mean", "size"),
    )


def over_approaches(matrix: pd.DataFrame) -> pd.DataFrame:
    """Statistics of each row of a region x approach table over the approaches that have a value, equal weight."""
    low, high = matrix.min(axis=1), matrix.max(axis=1)
    return pd.DataFrame(
        {
            "mean": matrix.mean(axis=1),
            "median": matrix.median(axis=1),
            "low": low,
            "high": high,
            "range": (high - low).where(matrix.notna().sum(axis=1) > 1),
            "sd": matrix.std(axis=1, ddof=1),
            "n": matrix.notna().sum(axis=1),
        }
    )


def one_way_anova(matrix: pd.DataFrame) -> Anova:
    """One-way analysis of variance of the values on the row (region); missing cells are no value.

    CoverageError: fewer than two regions with a value, or no residual degree of freedom.
    """
    groups = _groups(matrix)
    values = np.concatenate(groups) if groups else np.empty(0)
    between_df, within_df = len(groups) - 1, values.size - len(groups)
    if between_df < 1 or within_df < 1:
        raise CoverageError(
            f"one_way_anova: expected two regions and more values than regions; found {len(groups)} regions with "
            f"{values.size} values."
        )
    grand = float(values.mean())
    between = sum(g.size * (float(g.mean()) - grand) ** 2 for g in groups)
    within = sum(float(((g - g.mean()) ** 2).sum()) for g in groups)
    f = (between / between_df) / (within / within_df) if within > 0.0 else np.inf
    whole = between + within
    return Anova(
        f=float(f),
        df_between=between_df,
        df_within=within_df,
        p=float(stats.f.sf(f, between_df, within_df)),
        eta_squared=float(between / whole) if whole > 0.0 else np.nan,
    )


def kruskal_wallis(matrix: pd.DataFrame) -> RankTest:
    """Kruskal-Wallis rank test of the values on the row (region). CoverageError as `one_way_anova`, or all equal."""
    groups = _groups(matrix)
    values = np.concatenate(groups) if groups else np.empty(0)
    if len(groups) < 2 or np.unique(values).size < 2 or values.size <= len(groups):
        raise CoverageError(
            f"kruskal_wallis: expected two regions with values that differ; found {len(groups)} regions with "
            f"{np.unique(values).size} different values."
        )
    found = stats.kruskal(*groups)
    return RankTest(float(found.statistic), len(groups) - 1, float(found.pvalue))


def leave_one_out(matrix: pd.DataFrame) -> pd.DataFrame:
    """Without each approach in turn: ``f``, ``df_within``, ``p``, ``kruskal_p`` and the largest ``shift`` of a median.

    One row an approach that was left out. ``shift`` is in the units of the table, ``shifted`` names the region.
    """
    rows = []
    whole = matrix.median(axis=1)
    for name in matrix.columns if matrix.shape[1] > 1 else []:
        rest = matrix.drop(columns=name)
        anova, ranks = _or_none(rest, one_way_anova), _or_none(rest, kruskal_wallis)
        moved = (rest.median(axis=1) - whole).dropna()
        most = None if moved.empty else int(np.argmax(moved.abs().to_numpy()))
        rows.append(
            {
                "left_out": name,
                "f": anova.f if anova else np.nan,
                "df_within": anova.df_within if anova else 0,
                "p": anova.p if anova else np.nan,
                "kruskal_p": ranks.p if ranks else np.nan,
                "shift": np.nan if most is None else float(moved.iloc[most]),
                "shifted": None if most is None else str(moved.index[most]),
            }
        )
    return pd.DataFrame(rows, columns=["left_out", "f", "df_within", "p", "kruskal_p", "shift", "shifted"])


def coefficients_of_variation(medians: pd.DataFrame) -> pd.DataFrame:
    """CV over data sets by region: columns ``cv`` (SD with n - 1, over the mean), ``mean``, ``sd``, ``n``.

    medians : region x data set, e.g. of CH4 fluxes; any unit. NaN with fewer than two data sets or a mean that is not
    positive. ``attrs["mean_cv"]`` is the mean over regions. Source: Treat et al. 2024.
    """
    n = medians.notna().sum(axis=1)
    mean = medians.mean(axis=1)
    sd = medians.std(axis=1, ddof=1)
    cv = (sd / mean).where((n >= 2) & (mean > 0.0))
    out = pd.DataFrame({"cv": cv, "mean": mean, "sd": sd, "n": n})
    out.attrs["mean_cv"] = float(cv.mean())
    return out


def _groups(matrix: pd.DataFrame) -> list[np.ndarray[tuple[int], np.dtype[np.float64]]]:
    rows = [matrix.iloc[i].dropna().to_numpy(np.float64) for i in range(len(matrix))]
    return [r for r in rows if r.size]


def _or_none(matrix: pd.DataFrame, test: Callable[[pd.DataFrame], _Test]) -> _Test | None:
    try:
        return test(matrix)
    except CoverageError:
        return None
