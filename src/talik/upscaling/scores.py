"""How well predictions fit what was left out: pooled, by fold, by group, and by what kind of difference."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from talik.upscaling.trees import Float64, Int64

Scores = dict[str, float | int | None]


def pooled(observed: Float64, predicted: Float64) -> Scores:
    """Scores over all rows at once.

    r2_cor squared Pearson correlation, nse 1 - SSE/SST, rmse, mae, mbe mean(predicted - observed), and slope and
    intercept of observed on predicted. What is not defined (a single row, no variance) is None.
    """
    error = predicted - observed
    sse, sst = float(error @ error), float(((observed - observed.mean()) ** 2).sum())
    centred = predicted - predicted.mean()
    spp = float(centred @ centred)
    slope = float(centred @ observed) / spp if _varies(predicted) else None
    return {
        "n": len(observed),
        "r2_cor": correlation_squared(observed, predicted),
        "nse": 1 - sse / sst if _varies(observed) else None,
        "rmse": float(np.sqrt(np.mean(error**2))),
        "mae": float(np.mean(np.abs(error))),
        "mbe": float(np.mean(error)),
        "slope": slope,
        "intercept": None if slope is None else float(observed.mean() - slope * predicted.mean()),
    }


def correlation_squared(a: Float64, b: Float64) -> float | None:
    """Squared Pearson correlation; None where one of the two does not vary."""
    if not (_varies(a) and _varies(b)):
        return None
    return float(np.corrcoef(a, b)[0, 1] ** 2)


def fold_mean(observed: Float64, predicted: Float64, folds: Int64) -> Scores:
    """Unweighted means over folds of the fold's own RMSE and squared correlation, as caret reports them.

    n_folds counts all folds, n_r2 those where the correlation is defined.
    """
    parts = pd.Series(np.arange(len(observed))).groupby(folds).indices.values()
    rmse = [np.sqrt(np.mean((predicted[i] - observed[i]) ** 2)) for i in parts]
    r2 = [r for i in parts if (r := correlation_squared(observed[i], predicted[i])) is not None]
    return {
        "n_folds": len(rmse),
        "rmse": float(np.mean(rmse)),
        "r2_cor": float(np.mean(r2)) if r2 else None,
        "n_r2": len(r2),
    }


def by_group(observed: Float64, predicted: Float64, labels: pd.Series[Any]) -> dict[str, Scores]:
    """Pooled scores of every class of `labels`; rows without a label are the class "unknown"."""
    text = labels.astype(object).where(labels.notna(), "unknown").map(_label)
    out = {}
    for label in sorted(text.unique(), key=lambda v: (v == "unknown", len(v) if v.isdigit() else 0, v)):
        rows = np.flatnonzero(text == label)
        out[label] = pooled(observed[rows], predicted[rows])
    return out


def skill_split(
    observed: Float64, predicted: Float64, sites: Int64, months: npt.NDArray[np.float64] | None
) -> dict[str, Scores]:
    """Skill between sites, in the mean season of a site, and in its departures from that season.

    A value is its site's mean, plus the mean of its site and calendar month less the site's mean, plus the rest. The
    three parts are orthogonal, so their sums of squares add up to those of all rows: `share` is a part's share of
    the variance of the observations, `error_share` of the squared error, `nse` its own 1 - SSE/SST. The mean error
    is counted between sites. Rows without a month are left out of all parts.
    """
    if months is None:
        return {}
    known = np.isfinite(months)
    o, p, site = observed[known], predicted[known], sites[known]
    if not len(o):
        return {}
    season = np.unique(np.stack([site, months[known].astype(np.int64)], 1), axis=0, return_inverse=True)[
        1
    ].ravel()

    def parts(v: Float64) -> dict[str, Float64]:
        by_site, by_season = _means(v, site), _means(v, season)
        return {
            "between_sites": by_site - v.mean(),
            "mean_season": by_season - by_site,
            "interannual": v - by_season,
        }

    op, pp = parts(o), parts(p)
    total, total_error = float(((o - o.mean()) ** 2).sum()), float(((p - o) ** 2).sum())
    out: dict[str, Scores] = {}
    for name, part in op.items():
        error = pp[name] - part
        sse, sst = float(error @ error), float(part @ part)
        if name == "between_sites":
            sse += len(o) * float(p.mean() - o.mean()) ** 2
        varies = sst > 1e-12 * max(total, np.finfo(float).tiny)
        out[name] = {
            "n": len(o),
            "share": sst / total if total > 0 else None,
            "error_share": sse / total_error if total_error > 0 else None,
            "nse": 1 - sse / sst if varies else None,
            "r2_cor": correlation_squared(part, pp[name]) if varies else None,
        }
    return out


def paired_by_site(
    observed: Float64,
    better: Float64,
    reference: Float64,
    sites: Int64,
    *,
    draws: int,
    rng: np.random.Generator,
) -> dict[str, float | int]:
    """Is one prediction better than another? Sites, not rows, are the sample.

    Ratio of the pooled RMSE, its 90 % interval from a bootstrap of sites, the share of draws in which `better` is
    not better, the share of sites where it is, and the two-sided p of Wilcoxon's signed-rank test on site RMSE.
    """
    from scipy.stats import wilcoxon

    n = int(sites.max()) + 1
    count = np.bincount(sites, minlength=n).astype(float)
    sse = [np.bincount(sites, (p - observed) ** 2, minlength=n) for p in (better, reference)]
    site_rmse = [np.sqrt(s[count > 0] / count[count > 0]) for s in sse]
    picks = rng.integers(0, n, (draws, n))
    drawn = [s[picks].sum(1) for s in sse]
    ratio = np.sqrt(drawn[0] / drawn[1])
    low, high = np.quantile(ratio, [0.05, 0.95])
    return {
        "rmse_ratio": float(np.sqrt(sse[0].sum() / sse[1].sum())),
        "rmse_ratio_5": float(low),
        "rmse_ratio_95": float(high),
        "share_not_better": float(np.mean(ratio >= 1)),
        "share_of_sites_better": float(np.mean(site_rmse[0] < site_rmse[1])),
        "wilcoxon_p": float(wilcoxon(*site_rmse).pvalue) if (site_rmse[0] != site_rmse[1]).any() else 1.0,
        "n_sites": len(site_rmse[0]),
    }


def _varies(v: Float64) -> bool:
    return len(v) > 1 and bool(np.ptp(v) > 1e-12 * np.max(np.abs(v)))


def _means(v: Float64, group: Int64) -> Float64:
    return np.asarray((np.bincount(group, v) / np.maximum(np.bincount(group), 1))[group])


def _label(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
