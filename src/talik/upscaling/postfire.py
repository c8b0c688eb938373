"""Post-fire bias of predicted NEE: a mixed model of observed minus predicted on years since fire, month by month.

A sensitivity test beside the headline numbers; what is added to a prediction is positive for a weaker sink.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from talik.errors import InputError
from talik.upscaling.mixed import Array, MixedFit, fit_mixed

OLDEST = 18
"""Largest number of years since fire that is fitted and corrected; burned area starts in 2002, the map ends in 2020."""
FIRE = "Fire"
"""The value of column `disturbance` that marks a burned site."""
COLUMNS = ("site_id", "year", "month", "observed", "predicted", "disturbance", "disturb_year")


@dataclass(frozen=True, slots=True)
class MonthBias:
    """The model of one calendar month: b = beta0 + beta1 x years since fire, g C m-2 month-1 and per year.

    fit: None where nothing could be fitted.  used: both coefficients pass the screening.  reason: why the month is not
    used, empty if it is.
    """

    month: int
    rows: int
    sites: int
    fit: MixedFit | None
    used: bool
    reason: str


@dataclass(frozen=True, slots=True)
class PostfireBias:
    """The twelve monthly models, January first."""

    months: tuple[MonthBias, ...]

    def table(self) -> pd.DataFrame:
        """One row per month: counts, coefficients (g C m-2 month-1; slope per year), standard errors, p, last year
        since fire with a positive bias (NaN if the bias never falls to zero or starts below it), and the reason.
        """
        return pd.DataFrame([_row(m) for m in self.months]).set_index("month")


def fit_postfire(
    predictions: pd.DataFrame, *, level: float = 0.05, least_sites: int = 3, oldest: int = OLDEST
) -> PostfireBias:
    """The post-fire bias of every month from held-out predictions of NEE.

    predictions: one row per site and month with columns `COLUMNS`; observed and predicted NEE in g C m-2
    month-1, upward. Rows count where disturbance is "Fire", the burn year is known, and the year is 0 to `oldest`
    years after it. The response is observed minus predicted, opposite to the mean bias error, so that adding it
    corrects the prediction. A month is used if intercept and slope both have p < `level`; with fewer than `least_sites`
    sites, or too few rows to leave one degree of freedom to the slope, it is not fitted and says so.
    InputError: a column is missing, or a site-month occurs twice.
    Source: Virkkala et al. (2025), sensitivity test; model of `talik.upscaling.mixed`.
    """
    rows = burned_rows(predictions, oldest=oldest)
    return PostfireBias(
        tuple(_fit_month(m, rows[rows["month"] == m], level, max(2, least_sites)) for m in range(1, 13))
    )


def burned_rows(predictions: pd.DataFrame, *, oldest: int = OLDEST) -> pd.DataFrame:
    """The rows that `fit_postfire` uses: site_id, month, years_since_fire and bias (observed minus predicted)."""
    missing = [c for c in COLUMNS if c not in predictions.columns]
    if missing:
        raise InputError(
            f"held-out predictions: columns {missing} are missing; found {list(predictions.columns)}. "
            "Join disturbance and disturb_year from the site table by site_id."
        )
    doubled = predictions.duplicated(["site_id", "year", "month"])
    if doubled.any():
        first = predictions[doubled].iloc[0]
        raise InputError(
            f"held-out predictions: {int(doubled.sum())} site-months occur twice, first {first['site_id']} "
            f"{first['year']}-{first['month']:02d}. Keep one held-out prediction per site and month."
        )
    out = pd.DataFrame(
        {
            "site_id": predictions["site_id"],
            "month": predictions["month"],
            "years_since_fire": (predictions["year"] - predictions["disturb_year"]).astype(float),
            "bias": predictions["observed"] - predictions["predicted"],
        }
    )
    recent = out["years_since_fire"].between(0, oldest) & (predictions["disturbance"] == FIRE).fillna(False)
    kept: pd.DataFrame = out[recent & np.isfinite(out["bias"])]
    return kept.reset_index(drop=True)


def burn_exposure(
    fractions: npt.ArrayLike, burn_years: npt.ArrayLike, year: int, *, oldest: int = OLDEST
) -> Array:
    """Sums over burn years of the burned fraction f and of f times years since fire, (2, ...).

    fractions: (burn year, ...) share of each cell burned in each of `burn_years` (ascending), 0 to 1; NaN stays NaN.
    Ground burned again counts at its latest burn, so fractions are counted from `year` backwards until the
    cell is full; burns after `year` or more than `oldest` years before it do not count.
    The result is linear in what follows: weight it by area and sum it over cells to correct a region.
    InputError: shapes or order do not fit, or fractions outside 0..1.
    """
    f, years = np.asarray(fractions, dtype=float), np.asarray(burn_years)
    if years.ndim != 1 or f.ndim == 0 or f.shape[0] != years.size or np.any(np.diff(years) <= 0):
        raise InputError(
            f"burned fractions: the first axis must be the ascending burn years; found shape {f.shape} and years "
            f"{years.tolist()}."
        )
    if np.any((f < 0) | (f > 1)):
        raise InputError(
            f"burned fractions: found values {np.nanmin(f):g} to {np.nanmax(f):g}; expected shares of the cell, "
            "0 to 1. Divide burned area by cell area."
        )
    since = year - years
    recent = (since >= 0) & (since <= oldest)
    latest_first = np.cumsum(f[recent][::-1], axis=0)
    counted = np.diff(np.minimum(latest_first, 1.0), axis=0, prepend=0.0)
    return np.stack([counted.sum(axis=0), np.tensordot(since[recent][::-1].astype(float), counted, axes=1)])


def month_correction(bias: PostfireBias, month: int, exposure: Array) -> tuple[Array, Array]:
    """What to add to predicted NEE of one month, and its standard deviation, both shaped like exposure[0].

    exposure: (2, ...) from `burn_exposure`, or area-weighted sums of it. Units g C m-2 month-1 times those of the
    weights. Population level: random effects are not added. Zero for a month that is not used.
    The deviation propagates the covariance of the two coefficients, which all cells share: a region's deviation
    is that of its summed exposure, never a sum over cells in quadrature.
    """
    found = bias.months[month - 1]
    if found.fit is None or not found.used:
        return np.zeros_like(exposure[0]), np.zeros_like(exposure[0])
    value = np.tensordot(found.fit.beta, exposure, axes=1)
    variance = np.einsum("i...,ij,j...->...", exposure, found.fit.cov_beta, exposure)
    return value, np.sqrt(np.maximum(variance, 0.0))


def annual_correction(bias: PostfireBias, exposure: Array) -> tuple[Array, Array]:
    """The sum of `month_correction` over the used months, per year, and its standard deviation.

    Months are fitted apart and combined as independent. The same sites carry them all, so the deviation is a lower
    limit; the upper one is the plain sum of the months' deviations.
    """
    parts = [month_correction(bias, m.month, exposure) for m in bias.months if m.used]
    total, variance = np.zeros_like(exposure[0]), np.zeros_like(exposure[0])
    for value, deviation in parts:
        total, variance = total + value, variance + deviation**2
    return total, np.sqrt(variance)


def _fit_month(month: int, rows: pd.DataFrame, level: float, least_sites: int) -> MonthBias:
    n, sites = len(rows), int(rows["site_id"].nunique())
    refusal = ""
    if sites < least_sites:
        refusal = f"not fitted: {sites} burned sites, at least {least_sites} are needed"
    elif n - sites - 1 < 1:
        refusal = f"not fitted: {n} rows at {sites} sites leave no degree of freedom for the slope"
    elif rows["years_since_fire"].nunique() < 2:
        refusal = "not fitted: all rows have the same number of years since fire"
    if refusal:
        return MonthBias(month, n, sites, None, False, refusal)
    try:
        fit = fit_mixed(rows["bias"], rows["years_since_fire"], rows["site_id"])
    except InputError as error:
        return MonthBias(month, n, sites, None, False, f"not fitted: {error}")
    if not fit.converged:
        reason = "not used: the fit did not converge"
    elif not bool(np.all(fit.p < level)):
        reason = (
            f"not used: p = {fit.p[0]:.3g} (intercept), {fit.p[1]:.3g} (slope); both must be below {level:g}"
        )
    else:
        reason = ""
    return MonthBias(month, n, sites, fit, not reason, reason)


def _row(m: MonthBias) -> dict[str, object]:
    row: dict[str, object] = {"month": m.month, "rows": m.rows, "sites": m.sites}
    if m.fit is not None:
        errors = np.sqrt(np.diag(m.fit.cov_beta))
        crossing = -m.fit.beta[0] / m.fit.beta[1]
        falls = m.fit.beta[0] > 0 > m.fit.beta[1]
        row |= {
            "intercept": m.fit.beta[0],
            "slope": m.fit.beta[1],
            "intercept_error": errors[0],
            "slope_error": errors[1],
            "intercept_p": m.fit.p[0],
            "slope_p": m.fit.p[1],
            "last_positive_year": np.ceil(crossing) - 1 if falls else np.nan,
            "random_slope": not m.fit.singular,
            "loglik_lost": m.fit.loglik_lost,
        }
    return row | {"used": m.used, "reason": m.reason}
