"""Fit of the error covariance to held-out residuals: moments of pairs by distance, lag and season.

Fitted are covariances (mean products), not semivariances: sites differ in the size of their errors, and the
semivariance of a class of distances then shows which sites happen to be that far apart, up to twice the sill for the
real tables, while products of unrelated errors average to zero whatever their size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import optimize

from talik.errors import InputError
from talik.upscaling.distances import unit_vectors
from talik.upscaling.error_model import PARTS, REGIONAL, ErrorModel, Part, with_shares
from talik.upscaling.error_pairs import ErrorSettings, pair_moments
from talik.upscaling.evaluate import HeldOut
from talik.upscaling.training import Training
from talik.upscaling.trees import Float64, Int64

COLUMNS = ("site_id", "lat", "lon", "year", "month", "residual")
GRID = (25, 15)
"""Ranges tried in km and in months, on a logarithmic scale, before the best is refined."""
SAME = 1e-9
"""Columns of the design that differ by less cannot be told apart."""
CHI2_95 = 3.84


@dataclass(frozen=True, slots=True, eq=False)
class ErrorFit:
    """A fitted error covariance and what it was fitted to."""

    model: ErrorModel
    bias: float
    """Mean error, g m-2 month-1 (predicted minus observed); not part of the covariance, and not removed from it."""
    seasons: pd.DataFrame
    """One row a class of months: season, months, n_rows, n_sites, bias, sd (g m-2 month-1)."""
    table: pd.DataFrame
    """One row a class of pairs: same_place, distance_low, distance_high, distance (mean, km), lag_low, lag_high, lag
    (mean, months), same_season, same_row, n_pairs (each once), n_sites, n_effective (pairs of sites, or sites), weight,
    semivariance (not fitted), covariance, fitted (all in sd**2) and used."""
    range_km_interval: tuple[float, float]
    """Ranges whose weighted sum of squares is within 3.84 residual variances of the smallest. Classes share sites, so
    this is the least uncertainty, not a confidence interval."""
    range_months_interval: tuple[float, float]
    flags: tuple[str, ...]
    """What the data could not tell."""
    n_rows: int
    n_sites: int


def residuals_of(training: Training, held: HeldOut) -> pd.DataFrame:
    """Held-out errors (predicted minus observed) of rows with position and date, in the columns of `fit_error_model`.

    Raises:
        InputError: the table has no lat, lon, year or month.
    """
    rows = training.rows.iloc[held.rows].reset_index(drop=True)
    lost = [c for c in ("lat", "lon", "year", "month") if c not in rows]
    if lost:
        have = ", ".join(map(str, rows.columns[:20]))
        raise InputError(
            f"residuals: column {', '.join(lost)} missing; found {have}. Read the table with located=True, or join "
            "positions and dates by site."
        )
    out = pd.DataFrame({c: pd.to_numeric(rows[c], errors="coerce") for c in ("lat", "lon", "year", "month")})
    out.insert(0, "site_id", np.array(training.sites, object)[training.data.groups[held.rows]])
    out["residual"] = held.predicted - training.data.y[held.rows]
    return out.dropna().reset_index(drop=True)


def fit_error_model(residuals: pd.DataFrame, settings: ErrorSettings | None = None) -> ErrorFit:
    """The error covariance whose semivariances fit those of all pairs of rows best.

    residuals : columns site_id, lat, lon (degrees), year, month, residual (predicted minus observed, g m-2 month-1),
    one row a site-month. In each class of months the mean is taken off and the rest divided by its standard deviation.
    The product of two rows is averaged by distance, lag and whether both are of one class of months. What taking off
    the means does to it is part of the fit: the model's mean over all pairs (of one class, and of two) is taken off
    too. The shares are non-negative least squares weighted with the effective number of pairs of sites, and the two
    ranges minimise what is left. No random numbers.

    An error that is the same everywhere and always cannot be seen: it is the bias.

    An error that neighbours share is seen only where no neighbour was learnt from: residuals of leave-one-site-out
    give the covariance near sites, those of clusters of sites left out that far from them.

    Raises:
        InputError: a column is missing, not finite, or no pair of rows is there.
    """
    settings = settings or ErrorSettings()
    site, at, month, error = _checked(residuals)
    weight = np.bincount(site)[site].astype(float) ** -settings.site_power
    flags: list[str] = []
    z, seasons, sd = _standardised(error, site, month, weight, settings, flags)
    table = pair_moments(z, site, at, month, weight, settings)
    if table["used"].sum() < 2:
        raise InputError(
            f"residuals: {len(error)} rows at {len(at)} sites make no usable class of pairs; expected two rows of one "
            f"site, or {settings.least_sites} sites. Add sites or months, or lower least_sites."
        )
    solver = Solver(table, settings)
    parts = solver.identified(flags, n_places=len(at))
    ranges = solver.best(parts)
    shares = solver.shares(parts, *ranges)[0]
    intervals, ranges = solver.intervals(parts, shares, ranges, flags)
    shares = solver.shares(parts, *ranges)[0]
    model = ErrorModel.model_validate(
        {p: float(v) for p, v in zip(parts, shares, strict=True)}
        | {"range_km": ranges[0], "range_months": ranges[1], "sd": tuple(sd), "season": settings.season}
    )
    fitted = design(table, *ranges)[:, [PARTS.index(p) for p in parts]] @ shares
    return ErrorFit(
        model=model,
        bias=float(np.average(error, weights=weight)),
        seasons=seasons,
        table=table.assign(fitted=fitted),
        range_km_interval=intervals[0],
        range_months_interval=intervals[1],
        flags=tuple(flags),
        n_rows=len(error),
        n_sites=len(at),
    )


def _checked(residuals: pd.DataFrame) -> tuple[Int64, Float64, Int64, Float64]:
    """Site of each row, (site, 3) positions on the unit sphere, month count and error of each row."""
    lost = [c for c in COLUMNS if c not in residuals]
    if lost:
        raise InputError(
            f"residuals: column {', '.join(lost)} missing; expected {', '.join(COLUMNS)}, found "
            f"{', '.join(map(str, residuals.columns))}. Rename or add it."
        )
    try:
        numbers = residuals[list(COLUMNS[1:])].to_numpy(np.float64)
    except (TypeError, ValueError) as err:
        raise InputError(f"residuals: text where numbers are expected ({err}). Convert the columns.") from err
    bad = np.flatnonzero(~np.isfinite(numbers).all(axis=1) | residuals["site_id"].isna().to_numpy())
    if len(bad) or not len(numbers):
        raise InputError(
            f"residuals: {len(bad)} of {len(numbers)} rows have missing or infinite values; expected at least one row, "
            "all finite. Drop these rows first."
        )
    calendar = numbers[:, 3]
    if not (np.isin(calendar, np.arange(1, 13)).all() and (numbers[:, 2] == np.floor(numbers[:, 2])).all()):
        raise InputError(
            "residuals: year and month: expected whole years and months 1..12. Correct the dates."
        )
    codes, _ = pd.factorize(residuals["site_id"], sort=True)
    twice = int(residuals.duplicated(["site_id", "year", "month"]).sum())
    if twice:
        raise InputError(
            f"residuals: {twice} rows repeat a site and month; expected one row a site-month. Average them first."
        )
    position = pd.DataFrame(unit_vectors(numbers[:, 0], numbers[:, 1])).groupby(codes).mean().to_numpy()
    position = position / np.linalg.norm(position, axis=1, keepdims=True)
    return (
        codes.astype(np.int64),
        position,
        (numbers[:, 2] * 12 + calendar - 1).astype(np.int64),
        numbers[:, 4],
    )


def _standardised(
    error: Float64, site: Int64, month: Int64, weight: Float64, settings: ErrorSettings, flags: list[str]
) -> tuple[Float64, pd.DataFrame, Float64]:
    """Errors less the mean of their class of months over its SD, the table of classes, SD of each calendar month."""
    season = np.asarray(settings.season)
    of_row, z, rows = season[month % 12], np.zeros_like(error), []
    overall = _spread(error, weight)
    sd = np.full(12, overall)
    if not overall > 0:
        raise InputError(
            f"residuals: all {len(error)} are {error[0]:g}; expected values that differ. Check that they are predicted "
            "minus observed and held out."
        )
    for k in np.unique(season):
        own = of_row == k
        months = " ".join(str(m + 1) for m in np.flatnonzero(season == k))
        spread = _spread(error[own], weight[own]) if own.sum() > 1 else 0.0
        if not spread > 0:
            flags.append(f"months {months}: {own.sum()} rows; the SD of all months is taken")
            spread = overall
        mean = float(np.average(error[own], weights=weight[own])) if own.any() else np.nan
        z[own] = (error[own] - mean) / spread
        sd[season == k] = spread
        rows.append((int(k), months, int(own.sum()), len(np.unique(site[own])), mean, spread))
    return z, pd.DataFrame(rows, columns=["season", "months", "n_rows", "n_sites", "bias", "sd"]), sd


def _spread(values: Float64, weight: Float64) -> float:
    return float(np.sqrt(np.average((values - np.average(values, weights=weight)) ** 2, weights=weight)))


def design(table: pd.DataFrame, range_km: float, range_months: float) -> Float64:
    """(classes, 7) covariance of each part with share 1, less its mean over all pairs of one season, or of two."""
    place, row = table["same_place"].to_numpy(float), table["same_row"].to_numpy(float)
    near = np.where(place > 0, 1.0, np.exp(-table["distance"].to_numpy() / range_km))
    same, fading = table["same_season"].to_numpy(float), np.exp(-table["lag"].to_numpy() / range_months)
    full = np.column_stack([near, near * same, near * fading, place, place * same, place * fading, row])
    weight = table["weight"].to_numpy()[:, None]
    for kind in (same > 0, same == 0):
        if kind.any():
            full[kind] -= (full[kind] * weight[kind]).sum(axis=0) / weight[kind].sum()
    return full


def largest_share(
    fit: ErrorFit, part: Part, range_km: float, settings: ErrorSettings | None = None
) -> tuple[float, ErrorModel]:
    """The largest share of `part` that fits nearly as well as the best, with this range, and the model that has it.

    Nearly: the weighted sum of squares is 3.84 residual variances above the smallest with this range, the other shares
    being fitted anew. A regional share too small to be seen can still rule a budget, so a fit that finds none should
    be told with this. Classes share sites, so it is a scale, not a confidence limit.
    """
    solver = Solver(fit.table, settings or ErrorSettings())
    parts: list[Part] = [p for p in solver.settings.parts if p != part]
    months = fit.model.range_months
    best, least = solver.shares([part, *parts], range_km, months)
    limit = least * (1 + CHI2_95 / max(1, len(solver.covariance) - len(parts) - 3))
    low, high = float(best[0]), float(best[0]) + 1.0
    for _ in range(40):
        middle = 0.5 * (low + high)
        if solver.shares(parts, range_km, months, fixed={part: middle})[1] <= limit:
            low = middle
        else:
            high = middle
    others, _ = solver.shares(parts, range_km, months, fixed={part: low})
    shares = {**dict(zip(parts, map(float, others), strict=True)), part: low}
    model = with_shares(fit.model, shares).model_copy(update={"range_km": range_km})
    return low, model


class Solver:
    """Weighted non-negative least squares for given ranges, and the search for the ranges."""

    def __init__(self, table: pd.DataFrame, settings: ErrorSettings) -> None:
        self.table, self.settings = table, settings
        self.used = table["used"].to_numpy()
        self.covariance = table["covariance"].to_numpy()[self.used]
        self.root = np.sqrt(table["n_effective"].to_numpy()[self.used])
        self.km = np.geomspace(*settings.range_km, GRID[0])
        self.months = np.geomspace(*settings.range_months, GRID[1])
        self._costs: dict[tuple[Part, ...], Float64] = {}

    def _columns(self, parts: Sequence[Part], range_km: float, range_months: float) -> Float64:
        own = [PARTS.index(p) for p in parts]
        return np.asarray(design(self.table, range_km, range_months)[self.used][:, own], np.float64)

    def identified(self, flags: list[str], n_places: int) -> list[Part]:
        """The parts to fit: those with a column of their own, the earlier of two that are equal."""
        columns = self._columns(
            PARTS, float(np.sqrt(self.km[0] * self.km[-1])), float(np.median(self.months))
        )
        kept: list[Part] = []
        for part in [p for p in PARTS if p in self.settings.parts]:
            column = columns[:, PARTS.index(part)]
            twin = next((k for k in kept if np.abs(columns[:, PARTS.index(k)] - column).max() < SAME), None)
            if np.abs(column).max() < SAME:
                flags.append(f"{part}: no pair of rows shows it; it is part of the bias")
            elif twin:
                flags.append(f"{part}: cannot be told from {twin}, which is kept")
            else:
                kept.append(part)
        if n_places == 1:
            flags.append("one site: its errors are taken as regional, with the largest range allowed")
        if not kept:
            raise InputError(
                f"residuals: no pair of rows shows any of {', '.join(self.settings.parts)}. Add months or sites, or "
                "fit the nugget too."
            )
        return kept

    def shares(
        self,
        parts: Sequence[Part],
        range_km: float,
        range_months: float,
        fixed: Mapping[Part, float] | None = None,
    ) -> tuple[Float64, float]:
        """Non-negative shares for given ranges and some given shares, and the weighted sum of squares left."""
        columns, left = self._columns(parts, range_km, range_months), self.covariance
        if fixed:
            left = left - self._columns(list(fixed), range_km, range_months) @ np.array(list(fixed.values()))
        shares, norm = optimize.nnls(columns * self.root[:, None], left * self.root)
        return np.asarray(shares, np.float64), float(norm**2)

    def _cost(self, parts: Sequence[Part]) -> Float64:
        """(ranges in km, ranges in months) sums of squares left on the grid."""
        key = tuple(parts)
        if key not in self._costs:
            cost = [[self.shares(parts, a, b)[1] for b in self.months] for a in self.km]
            self._costs[key] = np.array(cost)
        return self._costs[key]

    def best(self, parts: Sequence[Part]) -> tuple[float, float]:
        """Ranges with the smallest sum of squares: on the grid, then refined inside the bounds."""
        cost = self._cost(parts)[::-1, ::-1]  # of equals the largest ranges
        i, j = np.unravel_index(int(cost.argmin()), cost.shape)
        start, smallest = (float(self.km[::-1][i]), float(self.months[::-1][j])), float(cost.min())
        low, high = np.log([self.km[0], self.months[0]]), np.log([self.km[-1], self.months[-1]])

        def left(v: Float64) -> float:
            return self.shares(parts, float(np.exp(v[0])), float(np.exp(v[1])))[1]

        found = optimize.minimize(
            left,
            np.clip(np.log(start), low, high),
            method="Nelder-Mead",
            bounds=list(zip(low.tolist(), high.tolist(), strict=True)),
            options={"xatol": 1e-4, "fatol": 1e-10, "maxiter": 200},
        )
        if found.fun >= smallest:
            return start
        return float(np.exp(found.x[0])), float(np.exp(found.x[1]))

    def intervals(
        self, parts: Sequence[Part], shares: Float64, ranges: tuple[float, float], flags: list[str]
    ) -> tuple[tuple[tuple[float, float], tuple[float, float]], tuple[float, float]]:
        """Ranges that fit nearly as well, and the ranges to use; flags where they are not identified."""
        least = self.shares(parts, *ranges)[1]
        free = max(1, len(self.covariance) - len(parts) - 2)
        limit = least + CHI2_95 * max(least / free, 1e-12)
        cost = self._cost(parts)
        out, used = [], list(ranges)
        told = dict(zip(parts, shares, strict=True))
        for k, (name, tried, best) in enumerate(
            (("range_km", self.km, cost.min(axis=1)), ("range_months", self.months, cost.min(axis=0)))
        ):
            good = tried[best <= limit]
            low, high = float(min([*good, ranges[k]])), float(max([*good, ranges[k]]))
            mine = [p for p in told if (p in REGIONAL if k == 0 else p.endswith("_time"))]
            if not any(told[p] > 0 for p in mine):
                flags.append(f"{name}: no error of this kind was found, so the range has no meaning")
            elif len(good) == len(tried):
                flags.append(f"{name}: any value fits; the largest allowed is taken")
                used[k] = float(tried[-1])
            elif high >= tried[-1] * (1 - 1e-9) or low <= tried[0] * (1 + 1e-9):
                flags.append(f"{name}: not bounded by the data, {low:.3g}..{high:.3g} fit nearly as well")
            out.append((low, high))
        return (out[0], out[1]), (used[0], used[1])
