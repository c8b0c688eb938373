"""CH4 of wetland classes from site data: class statistics, analysis of variance, pairwise tests and ratios."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field
from scipy import stats

from talik.config import Frozen
from talik.errors import InputError
from talik.inventory.limits import Array, Limited, of_draws
from talik.rng import named_rng

_FEW = 0.9
"""Least share of the resamples in which a class must occur for limits to be given."""


class SynthesisSettings(Frozen):
    """Choices of the synthesis of class fluxes; all chosen here, for the published one does not print them."""

    transform: Literal["log10", "none"] = "log10"
    """What the analysis of variance is made on: log10(flux + offset), or the flux."""
    offset: float = 10.0
    """Added before the logarithm (mg CH4 m-2 d-1)."""
    references: tuple[str, ...] = ("PermBog", "UpTundra")
    """Classes that the others are divided by."""
    resamples: Annotated[int, Field(ge=1000, le=1_000_000)] = 10_000
    seed: Annotated[int, Field(ge=0)] = 0


@dataclass(frozen=True, slots=True)
class Term:
    """A row of the table of variance: F and p are those of the term given the other one (type II)."""

    name: str
    sum_of_squares: float
    df: int
    f: float
    p: float


@dataclass(frozen=True, slots=True)
class Pair:
    """Two classes compared: difference of adjusted means (first minus second, transformed) and Tukey-Kramer p."""

    first: str
    second: str
    difference: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, slots=True)
class Analysis:
    """Two-factor additive analysis of variance, and what follows from it.

    `adjusted` are class means at equal weight of the data sets, on the transformed scale; `adjusted_flux` the same
    turned back to mg CH4 m-2 d-1. `kruskal_h` and `kruskal_p` compare the classes by ranks, data sets pooled.
    """

    values: int
    terms: tuple[Term, ...]
    residual_df: int
    residual_sum_of_squares: float
    adjusted: Mapping[str, float]
    adjusted_flux: Mapping[str, float]
    pairs: tuple[Pair, ...]
    kruskal_h: float
    kruskal_df: int
    kruskal_p: float


@dataclass(frozen=True, slots=True)
class ClassStatistics:
    """Flux of a class, mg CH4 m-2 d-1; limits are 95 %, by resampling sites. None: the class occurs too seldom."""

    rows: int
    sites: int
    mean: float
    mean_limits: Limited | None
    median: float
    median_limits: Limited | None


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times the flux of `reference` that of `name` is, by means and by medians, with limits over sites.

    NaN where the reference is not above 0; limits None where it is not in too many resamples.
    """

    name: str
    reference: str
    of_means: float
    of_means_limits: Limited | None
    of_medians: float
    of_medians_limits: Limited | None


@dataclass(frozen=True, slots=True)
class Part:
    """The synthesis over rows, or over sites with one value for each site, class and data set."""

    unit: Literal["rows", "sites"]
    analysis: Analysis
    classes: Mapping[str, ClassStatistics]
    ratios: tuple[Ratio, ...]


@dataclass(frozen=True, slots=True)
class Synthesis:
    """What `synthesis` found: over rows, over sites, and notes for the reader."""

    rows: Part
    sites: Part
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; a number that is not defined is None."""
        return {name: _plain(item) for name, item in asdict(self).items()}


def synthesis(table: pd.DataFrame, settings: SynthesisSettings | None = None) -> Synthesis:
    """Statistics of CH4 flux by wetland class, over the rows of `table` and again with one value a site.

    table : columns `flux` (mg CH4 m-2 d-1, positive to the atmosphere), `class`, `site`, and `dataset` if there is more
    than one. A row without flux is left out and counted; a row without class, site or data set is an error.

    Rows of one site are not independent, so p-values over rows are too small; those over sites are not. Sites with
    several classes give one value to each. Analysis: type II sums of squares of class and data set without interaction,
    Tukey-Kramer on adjusted means (Kramer 1956), Kruskal-Wallis. InputError: columns, values, or factors that cannot be
    told apart. The classes and factors are those of Treat et al. (2024).
    """
    options = settings or SynthesisSettings()
    clean, notes = _checked(table, options)
    keys = ["site", "class", "dataset"]
    one = clean.groupby(keys, sort=True)["flux"].mean().reset_index()
    rows, sites = _part("rows", clean, options), _part("sites", one, options)
    absent = [name for name in options.references if name not in set(clean["class"])]
    if absent:
        notes.append(f"No ratios to {', '.join(absent)}: the table has no such class.")
    notes.append(
        f"{len(clean)} rows of {clean['site'].nunique()} sites; residual degrees of freedom: "
        f"{rows.analysis.residual_df} over rows, {sites.analysis.residual_df} over sites (one value for each class)."
    )
    return Synthesis(rows, sites, tuple(notes))


def _checked(table: pd.DataFrame, options: SynthesisSettings) -> tuple[pd.DataFrame, list[str]]:
    """Rows with a flux: flux, class, site, dataset."""
    for name in ("flux", "class", "site"):
        if name not in table.columns:
            raise InputError(
                f"class fluxes: column {name!r} is missing; found {', '.join(map(str, table.columns))}."
            )
    notes = []
    chosen = table[["flux", "class", "site"]].copy()
    chosen["dataset"] = table["dataset"] if "dataset" in table.columns else "all"
    for name in ("class", "site", "dataset"):
        if chosen[name].isna().any():
            raise InputError(
                f"class fluxes: column {name!r} is empty in {int(chosen[name].isna().sum())} rows; fill or drop them."
            )
        chosen[name] = chosen[name].astype(str)
    try:
        chosen["flux"] = chosen["flux"].astype(float)
    except (TypeError, ValueError) as err:
        raise InputError(f"class fluxes: column 'flux' holds no numbers ({err}).") from err
    without = int(chosen["flux"].isna().sum())
    if without:
        notes.append(f"{without} rows without a flux are left out.")
        chosen = chosen[chosen["flux"].notna()]
    if np.isinf(chosen["flux"]).any():
        raise InputError("class fluxes: column 'flux' holds infinite values.")
    if chosen["class"].nunique() < 2:
        raise InputError(
            f"class fluxes: {chosen['class'].nunique()} classes with a flux; expected at least 2."
        )
    if options.transform == "log10" and (chosen["flux"] + options.offset <= 0).any():
        raise InputError(
            f"class fluxes: the flux falls to {chosen['flux'].min():g}; log10(flux + {options.offset:g}) needs more "
            "than 0. Check the unit (mg CH4 m-2 d-1), raise the offset, or set transform='none'."
        )
    return chosen.sort_values(["site", "class", "dataset", "flux"], ignore_index=True), notes


def _part(unit: Literal["rows", "sites"], table: pd.DataFrame, options: SynthesisSettings) -> Part:
    names = sorted(table["class"].unique())
    which = {name: table[table["class"] == name].sort_values("flux", kind="stable") for name in names}
    weights = _site_weights(table["site"], options, unit)
    resampled = {name: _resampled(rows, weights) for name, rows in which.items()}
    classes = {}
    for name, rows in which.items():
        mean, median = float(rows["flux"].mean()), float(rows["flux"].median())
        means, medians = resampled[name]
        classes[name] = ClassStatistics(
            rows=len(rows),
            sites=int(rows["site"].nunique()),
            mean=mean,
            mean_limits=_limits(means, mean),
            median=median,
            median_limits=_limits(medians, median),
        )
    ratios = tuple(
        _ratio(name, reference, classes, resampled)
        for reference in options.references
        if reference in names
        for name in names
        if name != reference
    )
    return Part(unit, analysis(table, options), classes, ratios)


def analysis(table: pd.DataFrame, options: SynthesisSettings) -> Analysis:
    """Analysis of variance of `flux` on `class` and `dataset` (columns of `table`), with its pairwise comparisons.

    InputError: the two factors cannot be told apart, or no residual degrees of freedom are left.
    """
    flux = table["flux"].to_numpy(float)
    y = np.log10(flux + options.offset) if options.transform == "log10" else flux
    names, of_class = np.unique(table["class"].to_numpy(str), return_inverse=True)
    sets, of_set = np.unique(table["dataset"].to_numpy(str), return_inverse=True)
    groups = np.eye(names.size)[of_class]
    # data sets as deviations that sum to 0: class coefficients are then means at equal weight of the data sets
    deviations = (np.eye(sets.size)[:, :-1] - np.eye(sets.size)[:, [-1]])[of_set]
    design = np.hstack([groups, deviations])
    if np.linalg.matrix_rank(design) < design.shape[1]:
        raise InputError(
            "class fluxes: class and data set cannot be told apart; some data sets share no class with the others. "
            "Leave out the column 'dataset' or those rows."
        )
    df = y.size - design.shape[1]
    if df < 1:
        raise InputError(
            f"class fluxes: {y.size} values for {design.shape[1]} means; no degrees of freedom are left."
        )
    beta, residual = _fitted(design, y)
    ones = np.ones((y.size, 1))
    terms = [_term("class", _fitted(np.hstack([ones, deviations]), y)[1], residual, names.size - 1, df)]
    if sets.size > 1:
        terms.append(_term("dataset", _fitted(groups, y)[1], residual, sets.size - 1, df))
    adjusted = {str(name): float(b) for name, b in zip(names, beta[: names.size], strict=True)}
    rank = stats.kruskal(*(flux[of_class == k] for k in range(names.size)))
    return Analysis(
        values=y.size,
        terms=tuple(terms),
        residual_df=df,
        residual_sum_of_squares=residual,
        adjusted=adjusted,
        adjusted_flux={
            name: 10.0**level - options.offset if options.transform == "log10" else level
            for name, level in adjusted.items()
        },
        pairs=_pairs(list(adjusted), beta, np.linalg.inv(design.T @ design) * residual / df, df),
        kruskal_h=float(rank.statistic),
        kruskal_df=names.size - 1,
        kruskal_p=float(rank.pvalue),
    )


def _fitted(design: Array, y: Array) -> tuple[Array, float]:
    """Least-squares coefficients, and the sum of squares that is left."""
    beta = np.asarray(np.linalg.lstsq(design, y, rcond=None)[0], np.float64)
    return beta, float(np.sum((y - design @ beta) ** 2))


def _term(name: str, without: float, residual: float, df: int, residual_df: int) -> Term:
    """A term from the sum of squares left without it and with it."""
    squares = without - residual
    f = squares / df / (residual / residual_df) if residual > 0 else np.inf
    return Term(name, squares, df, float(f), float(stats.f.sf(f, df, residual_df)))


def _pairs(names: Sequence[str], beta: Array, covariance: Array, df: int) -> tuple[Pair, ...]:
    """Tukey-Kramer comparisons of all pairs, with simultaneous 95 % limits of the differences."""
    count = len(names)
    wide = float(stats.studentized_range.ppf(0.95, count, df)) / np.sqrt(2.0)
    out = []
    for a, b in itertools.combinations(range(count), 2):
        difference = float(beta[a] - beta[b])
        error = float(np.sqrt(covariance[a, a] + covariance[b, b] - 2.0 * covariance[a, b]))
        q = abs(difference) / error * np.sqrt(2.0) if error > 0 else np.inf
        p = float(np.clip(stats.studentized_range.sf(q, count, df), 0.0, 1.0))
        out.append(
            Pair(names[a], names[b], difference, difference - wide * error, difference + wide * error, p)
        )
    return tuple(out)


def _site_weights(sites: pd.Series[str], options: SynthesisSettings, unit: str) -> pd.DataFrame:
    """How often each site (column) stands in each resample (row) of as many sites."""
    names = sorted(sites.unique())
    rng = named_rng(options.seed, f"wetland synthesis {unit}")
    counts = rng.multinomial(len(names), np.full(len(names), 1.0 / len(names)), size=options.resamples)
    return pd.DataFrame(counts, columns=names)


def _resampled(rows: pd.DataFrame, weights: pd.DataFrame) -> tuple[Array, Array]:
    """Mean and median (resample) of rows in ascending order of flux; NaN where no site of the class was drawn."""
    flux = rows["flux"].to_numpy(float)
    count = weights[rows["site"].tolist()].to_numpy()
    upto = np.cumsum(count, axis=1)
    total = upto[:, -1]
    some = np.maximum(total, 1)
    lower = np.argmax(upto > ((some - 1) // 2)[:, None], axis=1)
    upper = np.argmax(upto > (some // 2)[:, None], axis=1)
    empty = total == 0
    mean = np.where(empty, np.nan, count @ flux / some)
    return mean, np.where(empty, np.nan, (flux[lower] + flux[upper]) / 2)


def _limits(draws: Array, value: float) -> Limited | None:
    """Limits of the finite draws, None if fewer than 90 % are."""
    finite = draws[np.isfinite(draws)]
    return of_draws(finite, value) if finite.size >= _FEW * draws.size and np.isfinite(value) else None


def _ratio(
    name: str,
    reference: str,
    classes: Mapping[str, ClassStatistics],
    resampled: Mapping[str, tuple[Array, Array]],
) -> Ratio:
    found: list[tuple[float, Limited | None]] = []
    for kind, above, below in (
        (0, classes[name].mean, classes[reference].mean),
        (1, classes[name].median, classes[reference].median),
    ):
        value = above / below if below > 0 else np.nan
        draws = np.full(resampled[name][kind].shape, np.nan)
        np.divide(
            resampled[name][kind], resampled[reference][kind], out=draws, where=resampled[reference][kind] > 0
        )
        found.append((float(value), _limits(draws, float(value))))
    return Ratio(name, reference, *found[0], *found[1])


def _plain(value: Any) -> Any:
    """Nested tables with NaN as None, and numbers with limits by name."""
    if isinstance(value, Limited):
        return value._asdict()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
