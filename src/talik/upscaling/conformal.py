"""Prediction intervals that cover as they promise at sites never seen, in each biome and season."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from talik.upscaling.trees import Float64, Int64

LEVELS = (0.5, 0.8, 0.95)
"""Coverage reported."""

SEASONS = {"cold": (11, 12, 1, 2, 3), "spring": (4, 5), "summer": (6, 7, 8), "autumn": (9, 10)}
"""Months that share an interval; the cold season ends when fluxes start to rise."""

Labels = npt.NDArray[np.object_]


def quantile_levels(levels: Sequence[float] = LEVELS) -> tuple[float, ...]:
    """The quantiles (lower, upper of each level, in turn) that raw intervals are made of."""
    return tuple(q for level in levels for q in ((1 - level) / 2, (1 + level) / 2))


def site_quantile(scores: Float64, sites: Int64, level: float) -> float:
    """Smallest score that holds for a new site with probability `level`, sites being exchangeable.

    Each row weighs 1 / (n_site (S + 1)); the missing 1 / (S + 1) sits at infinity, so the
    result is infinite for fewer than level / (1 - level) sites.
    """
    if not len(scores):
        return np.inf
    count = np.bincount(sites)
    weight = 1 / (count[sites] * ((count > 0).sum() + 1))
    order = np.argsort(scores, kind="stable")
    reached = np.cumsum(weight[order])
    at = int(np.searchsorted(reached, level - 1e-12))
    return float(scores[order[at]]) if at < len(scores) else np.inf


def score(observed: Float64, low: Float64, high: Float64) -> Float64:
    """(n,) how far an observation lies outside its raw interval, negative inside (Romano et al. 2019, CQR)."""
    return np.asarray(np.maximum(low - observed, observed - high))


def classes(rows: pd.DataFrame) -> tuple[Labels, Labels]:
    """The class of each row, and the coarser one used where the first has too few sites.

    Biome and season where the table has `biome` and `month`; without a month the biome alone, without both "all".
    """
    biome = np.full(len(rows), "all", object)
    if "biome" in rows:
        biome = rows["biome"].astype(object).where(rows["biome"].notna(), "all").to_numpy(object)
    season_of = {month: name for name, months in SEASONS.items() for month in months}
    season = pd.Series(np.full(len(rows), np.nan, object))
    if "month" in rows:
        season = pd.to_numeric(rows["month"], errors="coerce").map(season_of)
    fine = [f"{b}, {s}" if isinstance(s, str) else str(b) for b, s in zip(biome, season, strict=True)]
    return np.array(fine, object), biome


@dataclass(frozen=True, slots=True)
class Widening:
    """How much to widen raw intervals: for every level and class the score that covers a new site."""

    levels: tuple[float, ...]
    by_class: Mapping[str, tuple[float, ...]]
    """Class -> widening in the units of the flux, one for each level; `all` is the class of unknown rows."""

    def of(self, fine: Labels, coarse: Labels) -> Float64:
        """(n, levels) widening of each row: of its class, else of its coarser class, else of all rows."""
        out = np.empty((len(fine), len(self.levels)))
        for i, names in enumerate(zip(fine, coarse, strict=True)):
            known = [self.by_class[n] for n in (*names, "all") if n in self.by_class]
            for k in range(len(self.levels)):
                out[i, k] = next((w[k] for w in known if np.isfinite(w[k])), np.inf)
        return out


def calibrate(
    scores: Float64, sites: Int64, fine: Labels, coarse: Labels, levels: Sequence[float]
) -> Widening:
    """Widening from the scores (n, levels) of left-out rows, by class, coarser class and over all rows."""
    by_class: dict[str, tuple[float, ...]] = {}
    everything = np.full(len(fine), "all", object)
    for labels in (fine, coarse, everything):
        for name in sorted(set(map(str, labels))):
            rows = np.flatnonzero(labels == name)
            widths = [site_quantile(scores[rows, k], sites[rows], level) for k, level in enumerate(levels)]
            by_class.setdefault(name, tuple(widths))
    return Widening(tuple(levels), by_class)


def measured_coverage(
    observed: Float64, raw: Float64, sites: Int64, rows: pd.DataFrame, levels: Sequence[float] = LEVELS
) -> dict[str, Any]:
    """Coverage at each site of intervals calibrated on all other sites.

    raw : (n, 2 * levels) lower and upper raw limits of each level in turn, of rows left out.
    Returns level -> biome (and "all") -> rows and sites covered (share), n_rows, n_sites, mean width, interval score
    (Gneiting and Raftery 2007), and the number of rows whose interval is infinite (too few sites to promise it).
    Shares of sites weigh each site alike: they are what the intervals promise.
    """
    fine, coarse = classes(rows)
    scores = np.column_stack([score(observed, raw[:, 2 * k], raw[:, 2 * k + 1]) for k in range(len(levels))])
    widening = np.empty_like(scores)
    for site in np.unique(sites):
        own = sites == site
        others = ~own
        if not others.any():
            widening[own] = np.inf
            continue
        fitted = calibrate(scores[others], sites[others], fine[others], coarse[others], levels)
        widening[own] = fitted.of(fine[own], coarse[own])
    out = {}
    for k, level in enumerate(levels):
        low, high = raw[:, 2 * k] - widening[:, k], raw[:, 2 * k + 1] + widening[:, k]
        by_biome = {}
        for name in ["all", *sorted({str(b) for b in coarse} - {"all"})]:
            inside = np.ones(len(observed), bool) if name == "all" else coarse == name
            by_biome[name] = _coverage(observed[inside], low[inside], high[inside], sites[inside], level)
        out[f"{level:g}"] = by_biome
    return out


def _coverage(observed: Float64, low: Float64, high: Float64, sites: Int64, level: float) -> dict[str, Any]:
    covered = (observed >= low) & (observed <= high)
    by_site = pd.Series(covered.astype(float)).groupby(sites).mean()
    finite = np.isfinite(low) & np.isfinite(high)
    width = (high - low)[finite]
    missed = 2 / (1 - level) * (np.maximum(low - observed, 0) + np.maximum(observed - high, 0))[finite]
    return {
        "rows": float(covered.mean()),
        "sites": float(by_site.mean()),
        "n_rows": len(observed),
        "n_sites": len(by_site),
        "width": float(width.mean()) if len(width) else None,
        "interval_score": float((width + missed).mean()) if len(width) else None,
        "n_infinite": int((~finite).sum()),
    }
