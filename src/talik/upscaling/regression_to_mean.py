"""How far held-out predictions shrink to the mean, and whether a recalibration is worth having."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from sklearn.isotonic import IsotonicRegression

from talik.errors import InputError

Array = npt.NDArray[np.float64]
Kind = Literal["linear", "monotone"]
KINDS = ("linear", "monotone")


@dataclass(frozen=True, slots=True)
class CalibrationLine:
    """observed = intercept + slope x predicted, with covariance that allows for errors shared within a site.

    covariance: (2, 2) of (intercept, slope).  p_slope: two-sided probability of slope = 1, t with sites - 1 degrees of
    freedom. A slope above 1 says that predictions are too close to their mean.
    """

    intercept: float
    slope: float
    covariance: Array
    p_slope: float
    rows: int
    sites: int


@dataclass(frozen=True, slots=True)
class Recalibration:
    """A map from prediction to recalibrated prediction: straight through two points, or straight between many.

    predicted, value: (point,) ascending.  A linear map continues beyond its points, a monotone one is constant there.
    """

    kind: Kind
    predicted: Array
    value: Array

    def __call__(self, predicted: npt.ArrayLike) -> Array:
        """The recalibrated predictions, any shape; NaN stays NaN."""
        p = np.asarray(predicted, dtype=float)
        if self.kind == "monotone":
            return np.asarray(np.interp(p, self.predicted, self.value))
        slope = (self.value[1] - self.value[0]) / (self.predicted[1] - self.predicted[0])
        return np.asarray(self.value[0] + slope * (p - self.predicted[0]))


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Held-out predictions of one cross-validation: observed, predicted (row,), and the fold each row was left out in.

    A fold holds whole sites: the site itself for leave-one-site-out, the kNNDM fold for kNNDM.
    """

    observed: npt.ArrayLike
    predicted: npt.ArrayLike
    fold: npt.ArrayLike


@dataclass(frozen=True, slots=True)
class Judgement:
    """Pooled held-out root mean square error by scheme, before and after recalibration; adopt if it falls in all."""

    kind: Kind
    before: dict[str, float]
    after: dict[str, float]
    adopt: bool


def calibration_line(
    observed: npt.ArrayLike, predicted: npt.ArrayLike, site: npt.ArrayLike
) -> CalibrationLine:
    """The least-squares line of observed on predicted, all (row,), with site-clustered covariance.

    Covariance: (X'X)^-1 sum_s (X_s' e_s)(X_s' e_s)' (X'X)^-1, times S/(S-1) (n-1)/(n-2) for S sites and n rows.
    InputError: unequal lengths, missing values, fewer than two sites, constant predictions.
    Source: Liang & Zeger (1986); small-sample factor as in Cameron & Miller (2015), eq. 11.
    """
    y, p, codes, sites = _checked(observed, predicted, site)
    if not np.ptp(p) > 0:
        raise InputError(f"calibration: every prediction is {p[0]:g}; a slope needs two values.")
    x = np.column_stack([np.ones_like(p), p - p.mean()])  # centred, so that X'X is diagonal
    inverse = np.diag(1 / np.einsum("ri,ri->i", x, x))
    at_mean, slope = inverse @ np.einsum("ri,r->i", x, y)
    residual = y - x @ np.array([at_mean, slope])
    by_site = np.stack([np.bincount(codes, weights=x[:, i] * residual, minlength=sites) for i in range(2)])
    factor = sites / (sites - 1) * (y.size - 1) / (y.size - 2)
    centred = factor * inverse @ by_site @ by_site.T @ inverse
    back = np.array([[1.0, -p.mean()], [0.0, 1.0]])
    covariance = back @ centred @ back.T
    error = float(np.sqrt(covariance[1, 1]))
    distance = abs(slope - 1) / error if error > 0 else np.inf
    return CalibrationLine(
        intercept=float(at_mean - slope * p.mean()),
        slope=float(slope),
        covariance=covariance,
        p_slope=float(2 * stats.t.sf(distance, sites - 1)),
        rows=y.size,
        sites=sites,
    )


def quantile_bias(
    observed: npt.ArrayLike,
    predicted: npt.ArrayLike,
    site: npt.ArrayLike,
    *,
    by: Literal["observed", "predicted"] = "observed",
    bins: int = 10,
) -> pd.DataFrame:
    """Mean bias (predicted minus observed) in equal-count classes of `by`, lowest class first.

    One row per class: low and high edge, rows, sites, mean observed and predicted, bias and its standard error
    clustered by site (NaN for a class with one site). Classes of observed values show the shrinkage of the tails, but
    any unbiased prediction has it; classes of predicted values are free of it for a calibrated one. Equal
    values are never split, so ties can leave fewer classes than asked for.
    InputError: as `calibration_line`, or fewer than two bins.
    """
    y, p, codes, _ = _checked(observed, predicted, site)
    if bins < 2:
        raise InputError(f"quantile_bias: bins is {bins}; at least 2 are needed.")
    if by not in ("observed", "predicted"):
        raise InputError(f"quantile_bias: by is {by!r}; choose 'observed' or 'predicted'.")
    value = y if by == "observed" else p
    edges = np.unique(np.quantile(value, np.linspace(0, 1, bins + 1)))
    where = np.searchsorted(edges[1:-1], value, side="right")
    frame = pd.DataFrame({"bin": where, "site": codes, "observed": y, "predicted": p, "value": value})
    frame["bias"] = frame["predicted"] - frame["observed"]
    grouped = frame.groupby("bin")
    out = grouped.agg(
        low=("value", "min"),
        high=("value", "max"),
        rows=("bias", "size"),
        sites=("site", "nunique"),
        observed=("observed", "mean"),
        predicted=("predicted", "mean"),
        bias=("bias", "mean"),
    )
    frame["deviation"] = frame["bias"] - grouped["bias"].transform("mean")
    totals = frame.groupby(["bin", "site"])["deviation"].sum()
    squares = (totals**2).groupby("bin").sum()
    # the clustered covariance of a mean, with the factor S/(S-1) (n-1)/(n-1)
    several = out["sites"].where(out["sites"] > 1)
    return out.assign(bias_error=np.sqrt(squares * several / (several - 1)) / out["rows"]).reset_index(
        drop=True
    )


def recalibrate(observed: npt.ArrayLike, predicted: npt.ArrayLike, *, kind: Kind = "linear") -> Recalibration:
    """The map fitted to held-out (never to fitted) predictions: least squares, linear or monotone increasing.

    InputError: another kind, missing values, fewer than three rows, constant predictions.
    Source of the monotone map: isotonic regression (Barlow et al. 1972), as in scikit-learn.
    """
    if kind not in KINDS:
        raise InputError(f"recalibrate: kind is {kind!r}; choose one of: {', '.join(KINDS)}.")
    y, p, _, _ = _checked(observed, predicted, np.arange(np.size(predicted)))
    if not np.ptp(p) > 0:
        raise InputError(f"recalibrate: every prediction is {p[0]:g}; a map needs two values.")
    if kind == "monotone":
        fitted = IsotonicRegression().fit(p, y)
        return Recalibration(kind, np.asarray(fitted.X_thresholds_), np.asarray(fitted.y_thresholds_))
    deviation = p - p.mean()
    slope = float((deviation * y).sum() / (deviation**2).sum())
    ends = np.array([p.min(), p.max()])
    return Recalibration(kind, ends, y.mean() + slope * (ends - p.mean()))


def judge_recalibration(schemes: Mapping[str, HeldOut], *, kind: Kind = "linear") -> Judgement:
    """Root mean square error without and with recalibration, in every scheme (for example LOSO and kNNDM).

    Each fold is recalibrated by the map fitted to the held-out predictions of all other folds, so no row corrects
    itself or its own site. Adopted only if the error falls in every scheme. The forests behind the other folds
    did see the sites of this fold; that second-order leak is common to stacking on held-out predictions.
    InputError: no scheme, fewer than two folds, missing values.
    """
    if not schemes:
        raise InputError("judge_recalibration: no scheme given; expected at least one of LOSO and kNNDM.")
    before, after = {}, {}
    for name, held in schemes.items():
        y, p, codes, folds = _checked(held.observed, held.predicted, held.fold)
        corrected = np.empty_like(p)
        for fold in range(folds):
            inside = codes == fold
            corrected[inside] = recalibrate(y[~inside], p[~inside], kind=kind)(p[inside])
        before[name], after[name] = (float(np.sqrt(np.mean((v - y) ** 2))) for v in (p, corrected))
    return Judgement(kind, before, after, all(after[n] < before[n] for n in schemes))


def _checked(
    observed: npt.ArrayLike, predicted: npt.ArrayLike, group: npt.ArrayLike
) -> tuple[Array, Array, npt.NDArray[Any], int]:
    y, p = np.asarray(observed, dtype=float), np.asarray(predicted, dtype=float)
    codes, labels = pd.factorize(np.asarray(group), sort=True)
    if not (y.ndim == 1 and y.shape == p.shape == codes.shape):
        raise InputError(
            "observed, predicted and site or fold must be vectors of one length; found "
            f"{y.shape}, {p.shape}, {codes.shape}."
        )
    if not (np.isfinite(y).all() and np.isfinite(p).all() and (codes >= 0).all()):
        raise InputError("observed, predicted or the site (fold) has missing values. Drop these rows first.")
    if labels.size < 2 or y.size < 3:
        raise InputError(
            f"{y.size} rows in {labels.size} sites or folds; at least 3 rows in 2 of them are needed."
        )
    return y, p, codes, labels.size
