"""The lasting error of a map as a Gaussian field over geography and predictors, from held-out residuals.

`talik.upscaling.error_fit` says how errors of one place fade with time; this says how far in kilometres and in
predictor space what lasts is shared. Fitted are the mean annual errors of sites by restricted likelihood (Patterson and
Thompson 1971) with weak priors: their covariance is smooth exp(-d/L - D/l) between sites, plus own + noise of the site
on the diagonal, with one unknown mean, as an error that is the same everywhere is the bias.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field
from scipy import optimize
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from talik.config import Frozen
from talik.errors import InputError
from talik.upscaling.error_fit import fit_error_model
from talik.upscaling.error_model import ErrorModel
from talik.upscaling.error_pairs import ErrorSettings
from talik.upscaling.network_gain import Covariance, Places, dissimilarity, distance_km, field_covariance
from talik.upscaling.trees import Float64

LEAST_SITES = 10
FADES = (0.5, 12.0)
"""Bounds of the range in time, months. What fades more slowly cannot be told from what lasts in records of a few years,
and counts as lasting."""
RANGE_KM = 500.0
"""Middle of the prior of L; that of l is given, or the median dissimilarity of two sites."""
RANGE_SPREAD = 3.0
"""The priors of both ranges are log-normal; one standard deviation is this factor."""
SHARE_SPREAD = 1.5
"""The prior of the smooth share of the lasting variance is normal in its log odds, with this standard deviation about
an even share: 0.18 to 0.82 within one."""
STEPS = (1 / 9, 1 / 3, 1.0, 3.0, 9.0)
"""Ranges tried before the best is refined, in units of the middle of their priors."""
SHARES = (0.05, 0.2, 0.5, 0.8, 0.95)
SIZES = (0.25, 0.5, 1.0, 2.0)
"""Lasting variance tried, in units of the variance of the site means."""
CLEAR = 1.92
"""Log likelihood of a smooth error above that of none, below which it is flagged as hardly seen."""


class LastingError(Frozen):
    """Error of the mean annual flux of a place that does not fade with time."""

    smooth: Annotated[float, Field(gt=0)]
    """Variance of what places share, (g m-2 yr-1)**2 for fluxes in g m-2 month-1."""
    own: Annotated[float, Field(ge=0)]
    """Variance of what a place has for itself: what its predictors do not say, and a lasting error of its tower."""
    noise: Annotated[float, Field(ge=0)]
    """Variance of the mean annual error seen in a record of one year, beside both: months and years that differ."""
    range_km: Annotated[float, Field(gt=0)]
    """L."""
    range_predictors: Annotated[float, Field(gt=0)]
    """l, in units of the dissimilarity: mean distance of two training rows."""

    def covariance(self, a: Places, b: Places) -> Float64:
        """(n, m) covariance of the smooth part."""
        return field_covariance(
            a, b, variance=self.smooth, range_km=self.range_km, range_predictors=self.range_predictors
        )

    @property
    def kernel(self) -> Covariance:
        """The same as a function."""
        return self.covariance

    def seen(self, years: float, instrument_sd: float = 0.0) -> float:
        """Variance of what a tower of so many years sees beside the smooth part."""
        return self.own + self.noise / years + instrument_sd**2


@dataclass(frozen=True, slots=True, eq=False)
class FieldFit:
    """A fitted field, and what it was fitted to."""

    field: LastingError
    sites: pd.DataFrame
    """One row a site: site_id, error (mean annual, g m-2 yr-1, predicted minus observed, bias of its months taken off),
    noise (variance of its finite record), months."""
    bias: float
    """Error common to all sites; no tower is planned against it."""
    n_sites: int
    gain: float
    """Log likelihood above that of no smooth error at all; below 1.92 it is flagged."""
    flags: tuple[str, ...]


def site_errors(residuals: pd.DataFrame, model: ErrorModel) -> pd.DataFrame:
    """Mean annual error of every site and the variance that its finite record leaves in it.

    residuals : as for `fit_error_model`. Errors are divided by the standard deviation of their month, averaged by
    calendar month, then over months with weights of the standard deviations; the bias of a class of months is taken
    off. Months that a site lacks are taken to be like those it has.
    """
    rows = residuals.groupby(["site_id", "year", "month"], as_index=False)["residual"].mean()
    calendar = rows["month"].to_numpy(np.int64) - 1
    season, sd = np.asarray(model.season), np.asarray(model.sd)
    error = rows["residual"].to_numpy(np.float64)
    mean = pd.Series(error).groupby(season[calendar]).transform("mean").to_numpy()
    z = (error - mean) / np.where(sd > 0, sd, 1.0)[calendar]
    counted = 12 * rows["year"].to_numpy(np.int64) + calendar
    out, size = [], float(sd.sum())
    for site, own in rows.groupby("site_id", sort=True).indices.items():
        month = calendar[own]
        weight = (sd / np.maximum(np.bincount(month, minlength=12), 1))[month]
        weight = weight / weight.sum() if weight.sum() > 0 else np.full(len(own), 1 / len(own))
        told = model.temporal(counted[own][:, None], counted[own][None])
        fading = sum(
            share * told[part]
            for part, share in model.shares.items()
            if part in ("region_time", "place_time", "nugget")
        )
        noise = float(weight @ (fading + np.zeros((len(own), len(own)))) @ weight)
        out.append((str(site), size * float(weight @ z[own]), size**2 * noise, len(own)))
    return pd.DataFrame(out, columns=["site_id", "error", "noise", "months"])


def fit_field(
    residuals: pd.DataFrame, places: Places, sites: list[str], *, middle: float | None = None
) -> FieldFit:
    """The lasting error whose posterior, given the mean annual errors of sites, is largest.

    residuals : columns of `fit_error_model`. places, sites : where the sites are; residuals of others are used for the
    fading in time only. Some dozen sites tell the share and the ranges badly, so they have weak priors (`RANGE_KM`,
    `RANGE_SPREAD`, `SHARE_SPREAD`); no random numbers. middle : middle of the prior of l; not given: the median
    dissimilarity of two of the places.

    Raises:
        InputError: fewer than `LEAST_SITES` sites, or errors that are all alike.
    """
    once = residuals.groupby(["site_id", "year", "month"], as_index=False)[["lat", "lon", "residual"]].mean()
    in_time = fit_error_model(once, ErrorSettings(range_months=FADES))
    table = site_errors(once, in_time.model)
    number = {name: k for k, name in enumerate(sites)}
    table = table[table["site_id"].isin(number)].reset_index(drop=True)
    if len(table) < LEAST_SITES:
        raise InputError(
            f"residuals: {len(table)} sites with held-out errors on the grid; expected {LEAST_SITES} or more to tell "
            "how far errors are shared. Use criterion dissimilarity, or a model validated on more sites."
        )
    own = places.take(np.array([number[s] for s in table["site_id"]]))
    likelihood = Likelihood(
        table["error"].to_numpy(),
        table["noise"].to_numpy(),
        distance_km(own, own),
        dissimilarity(own, own),
        middle,
    )
    smooth, local, range_km, range_predictors = likelihood.best()
    gain = likelihood.of(smooth, local, range_km, range_predictors) - likelihood.none()
    flags: list[str] = []
    if gain < CLEAR:
        flags.append(
            f"the error that places share is hardly seen in {len(table)} sites: it adds {gain:.1f} to the log "
            "likelihood, so its share and ranges are mostly those of the prior"
        )
    year = np.arange(12)
    times = in_time.model.over_time(year, np.ones((1, 12)))
    field = LastingError(
        smooth=smooth,
        own=local,
        noise=float(sum(times[p][0, 0] for p in ("region_time", "place_time", "nugget"))),
        range_km=range_km,
        range_predictors=range_predictors,
    )
    return FieldFit(field, table, 12 * in_time.bias, len(table), float(gain), tuple(flags))


class Likelihood:
    """Restricted log likelihood of site errors."""

    def __init__(
        self, error: Float64, noise: Float64, km: Float64, unlike: Float64, middle: float | None = None
    ) -> None:
        self.error, self.noise, self.km, self.unlike = error, noise, km, unlike
        pairs = unlike[np.triu_indices(len(unlike), 1)]
        typical = float(np.median(pairs)) if middle is None else middle
        self.middle = np.log([RANGE_KM, max(typical, 1e-6)])
        """(2,) log of the middle of the priors of the ranges."""
        self.size = float(np.var(error))
        if not self.size > 0:
            raise InputError(
                f"residuals: the mean errors of all {len(error)} sites are alike; nothing to fit."
            )

    def of(self, smooth: float, local: float, range_km: float, range_predictors: float) -> float:
        """Restricted log likelihood, less a constant; -inf where the covariance is singular."""
        c = smooth * np.exp(-self.km / range_km - self.unlike / range_predictors)
        c[np.diag_indices(len(c))] += local + self.noise + 1e-9 * self.size
        try:
            factor = cho_factor(c, lower=True)
        except LinAlgError:
            return -np.inf
        ones = np.ones(len(c))
        solved, flat = cho_solve(factor, self.error), cho_solve(factor, ones)
        information = float(ones @ flat)
        mean = float(ones @ solved) / information
        quadratic = float(self.error @ solved) - mean**2 * information
        logs = 2 * float(np.log(np.diag(factor[0])).sum()) + np.log(information)
        return float(-0.5 * (logs + quadratic))

    def posterior(self, v: Float64) -> float:
        """Log posterior of (log of the lasting variance, log odds of the smooth share, log L, log l)."""
        size, share = float(np.exp(v[0])), float(1 / (1 + np.exp(-v[1])))
        away = (np.array([v[1], *(v[2:] - self.middle)])) / self.spread
        found = self.of(share * size, (1 - share) * size, float(np.exp(v[2])), float(np.exp(v[3])))
        return found - 0.5 * float(away @ away)

    @property
    def spread(self) -> Float64:
        """(3,) standard deviations of the priors of the log odds of the share and of the logs of the ranges."""
        return np.array([SHARE_SPREAD, np.log(RANGE_SPREAD), np.log(RANGE_SPREAD)])

    def best(self) -> tuple[float, float, float, float]:
        """smooth, own, L, l of the largest posterior: on a grid, then refined."""
        tried: list[Float64] = [
            np.array([np.log(size * self.size), np.log(share / (1 - share)), *(self.middle + np.log([a, b]))])
            for size in SIZES
            for share in SHARES
            for a in STEPS
            for b in STEPS
        ]
        start = max(tried, key=self.posterior)

        def left(v: Float64) -> float:
            return -self.posterior(v)

        refined = optimize.minimize(
            left,
            start,
            method="Nelder-Mead",
            options={"xatol": 1e-3, "fatol": 1e-6, "maxiter": 400},
        )
        v = refined.x if -refined.fun > self.posterior(start) else start
        size, share = float(np.exp(v[0])), float(1 / (1 + np.exp(-v[1])))
        return share * size, (1 - share) * size, float(np.exp(v[2])), float(np.exp(v[3]))

    def none(self) -> float:
        """The largest log likelihood without a smooth error."""
        found = optimize.minimize_scalar(
            lambda v: -self.of(0.0, float(np.exp(v)), 1.0, 1.0),
            bounds=(np.log(1e-6 * self.size), np.log(20 * self.size)),
            method="bounded",
            options={"xatol": 1e-4},
        )
        return -float(found.fun)
