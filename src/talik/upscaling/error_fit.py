"""Fit of the error covariance to held-out residuals: moments of pairs by distance, lag and season.

Fitted are covariances (mean products), not semivariances: sites differ in the size of their errors, and the
semivariance of a class of distances then shows which sites happen to be that far apart, up to twice the sill for the
real tables, while products of unrelated errors average to zero whatever their size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import numba
import numpy as np
import pandas as pd
from pydantic import Field, model_validator
from scipy import optimize

from talik.config import Frozen
from talik.errors import InputError
from talik.upscaling.distances import arc_km, unit_vectors
from talik.upscaling.error_model import FOUR_SEASONS, PARTS, REGIONAL, ErrorModel, Part
from talik.upscaling.evaluate import HeldOut
from talik.upscaling.training import Training
from talik.upscaling.trees import Float64, Int64

COLUMNS = ("site_id", "lat", "lon", "year", "month", "residual")
GRID = (25, 15)
"""Ranges tried in km and in months, on a logarithmic scale, before the best is refined."""
SAME = 1e-9
"""Columns of the design that differ by less cannot be told apart."""
CHI2_95 = 3.84


class ErrorSettings(Frozen):
    """How residuals are paired and fitted."""

    parts: tuple[Part, ...] = PARTS
    """Parts to fit."""
    season: tuple[int, ...] = FOUR_SEASONS
    """Class of January .. December, each with its own bias and standard deviation; `ONE_SEASON` has one."""
    site_power: Annotated[float, Field(ge=0, le=1)] = 0.5
    """A row weighs n_site**-power: 0 rows alike, 1 sites alike."""
    distance_km: tuple[float, ...] = (
        0,
        10,
        25,
        50,
        100,
        200,
        400,
        700,
        1000,
        1500,
        2000,
        3000,
        4500,
        7000,
        2.1e4,
    )
    """Edges of distance classes between places."""
    lag_months: tuple[int, ...] = (0, 1, 2, 3, 4, 6, 9, 12, 13, 19, 25, 37, 61, 121, 10_000)
    """Edges of lag classes, lower edge inside."""
    range_km: tuple[float, float] = (25.0, 5000.0)
    """Bounds of L."""
    range_months: tuple[float, float] = (0.5, 120.0)
    """Bounds of T."""
    least_sites: Annotated[int, Field(ge=1)] = 3
    """Classes of pairs between places with fewer sites are left out."""

    @model_validator(mode="after")
    def _sane(self) -> ErrorSettings:
        if not self.parts or len(set(self.parts)) != len(self.parts):
            raise ValueError(f"parts: expected each part once; found {self.parts}")
        if len(self.season) != 12 or min(self.season) < 0:
            raise ValueError(f"season: expected 12 classes >= 0; found {self.season}")
        for name in ("distance_km", "lag_months", "range_km", "range_months"):
            edges = getattr(self, name)
            if len(edges) < 2 or edges[0] < 0 or not all(a < b for a, b in pairwise(edges)):
                raise ValueError(f"{name}: expected ascending values >= 0; found {edges}")
        if self.distance_km[0] or self.lag_months[0] or not self.range_km[0] or not self.range_months[0]:
            raise ValueError("distance_km and lag_months start at 0, range_km and range_months above 0")
        return self


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

    Raises:
        InputError: a column is missing, not finite, or no pair of rows is there.
    """
    settings = settings or ErrorSettings()
    site, at, month, error = _checked(residuals)
    weight = np.bincount(site)[site].astype(float) ** -settings.site_power
    flags: list[str] = []
    z, seasons, sd = _standardised(error, site, month, weight, settings, flags)
    table = _pairs(z, site, at, month, weight, settings)
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


def _pairs(
    z: Float64, site: Int64, at: Float64, month: Int64, weight: Float64, settings: ErrorSettings
) -> pd.DataFrame:
    """Mean semivariance of every class of pairs that has any."""
    km = np.zeros((len(at), len(at)))
    for k in range(len(at)):
        km[k] = arc_km(np.linalg.norm(at - at[k], axis=1))
    edges, lags = np.asarray(settings.distance_km), np.asarray(settings.lag_months)
    far = np.clip(np.searchsorted(edges, km, side="right"), 1, len(edges) - 1)
    np.fill_diagonal(far, 0)
    of_lag = np.clip(np.searchsorted(lags, np.arange(np.ptp(month) + 1), side="right") - 1, 0, len(lags) - 2)
    order = np.argsort(site, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(site, minlength=len(at)))])
    season = np.asarray(settings.season)[month % 12]
    shape = (len(edges), len(lags) - 1, 2)
    sums, sites = _pair_sums(
        z[order], start, month[order] - month.min(), season[order], weight[order], km, far, of_lag, shape
    )
    d, lag, same = np.nonzero(sums[..., 0] > 0)
    n, w, half, product, distance, months, squared = sums[d, lag, same].T
    pairs = pd.DataFrame(
        {
            "same_place": d == 0,
            "distance_low": np.where(d == 0, 0.0, edges[np.maximum(d - 1, 0)]),
            "distance_high": np.where(d == 0, 0.0, edges[d]),
            "distance": distance / w,
            "lag_low": lags[lag],
            "lag_high": lags[lag + 1] - 1,
            "lag": months / w,
            "same_season": same == 1,
            "same_row": False,
            "n_pairs": n.astype(np.int64),
            "n_sites": sites[d, lag, same].sum(axis=1),
            "n_effective": w**2 / squared,
            "weight": 2 * w,
            "semivariance": half / w,
            "covariance": product / w,
        }
    )
    own = np.bincount(site, weight**2)
    alone = {
        "same_place": True, "distance_low": 0.0, "distance_high": 0.0, "distance": 0.0, "lag_low": 0, "lag_high": 0,
        "lag": 0.0, "same_season": True, "same_row": True, "n_pairs": len(z), "n_sites": len(at),
        "n_effective": own.sum() ** 2 / (own**2).sum(), "weight": own.sum(), "semivariance": 0.0,
        "covariance": float(np.average(z**2, weights=weight**2)),
    }  # fmt: skip
    first = pd.DataFrame([alone])
    table = pd.concat([first, pairs], ignore_index=True) if len(pairs) else first
    return table.assign(used=table["same_place"] | (table["n_sites"] >= settings.least_sites))


@numba.njit(cache=True, nogil=True)
def _pair_sums(z, start, month, season, weight, km, far, of_lag, shape):  # type: ignore[no-untyped-def]
    """Of each class: number, weight, weighted sums of half squares, products, distance and lag, and the sum over pairs
    of sites of their squared weight; and which sites are in it. Rows are sorted by site, site k from start[k]."""
    sums = np.zeros((*shape, 7))
    sites = np.zeros((*shape, len(km)), np.bool_)
    for a in range(len(km)):
        for b in range(a + 1):
            d = far[a, b]
            mine = np.zeros((shape[1], 2))
            for i in range(start[a], start[a + 1]):
                for j in range(start[b], i if a == b else start[b + 1]):
                    lag = abs(month[i] - month[j])
                    t, same = of_lag[lag], 1 if season[i] == season[j] else 0
                    w = weight[i] * weight[j]
                    mine[t, same] += w
                    cell = sums[d, t, same]
                    cell[0] += 1.0
                    cell[1] += w
                    cell[2] += w * 0.5 * (z[i] - z[j]) ** 2
                    cell[3] += w * z[i] * z[j]
                    cell[4] += w * km[a, b]
                    cell[5] += w * lag
            for t in range(shape[1]):
                for same in range(2):
                    if mine[t, same] > 0:
                        sums[d, t, same, 6] += mine[t, same] ** 2
                        sites[d, t, same, a] = True
                        sites[d, t, same, b] = True
    return sums, sites


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


class Solver:
    """Weighted non-negative least squares for given ranges, and the search for the ranges."""

    def __init__(self, table: pd.DataFrame, settings: ErrorSettings) -> None:
        self.table, self.settings = table, settings
        self.used = table["used"].to_numpy()
        self.covariance = table["covariance"].to_numpy()[self.used]
        self.root = np.sqrt(table["n_effective"].to_numpy()[self.used])
        self.km = np.geomspace(*settings.range_km, GRID[0])
        self.months = np.geomspace(*settings.range_months, GRID[1])

    def _columns(self, parts: Sequence[Part], range_km: float, range_months: float) -> Float64:
        return design(self.table, range_km, range_months)[self.used][:, [PARTS.index(p) for p in parts]]

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

    def shares(self, parts: Sequence[Part], range_km: float, range_months: float) -> tuple[Float64, float]:
        """Non-negative shares for given ranges, and the weighted sum of squares left."""
        columns = self._columns(parts, range_km, range_months)
        shares, norm = optimize.nnls(columns * self.root[:, None], self.covariance * self.root)
        return np.asarray(shares), float(norm**2)

    def best(self, parts: Sequence[Part]) -> tuple[float, float]:
        """Ranges with the smallest sum of squares: on the grid, then refined inside the bounds."""
        cost = [(self.shares(parts, a, b)[1], -a, -b) for a in self.km for b in self.months]
        _, a, b = min(cost)
        low, high = np.log([self.km[0], self.months[0]]), np.log([self.km[-1], self.months[-1]])

        def left(v: Float64) -> float:
            return self.shares(parts, float(np.exp(v[0])), float(np.exp(v[1])))[1]

        found = optimize.minimize(
            left,
            np.clip(np.log([-a, -b]), low, high),
            method="Nelder-Mead",
            bounds=list(zip(low.tolist(), high.tolist(), strict=True)),
            options={"xatol": 1e-4, "fatol": 1e-10, "maxiter": 200},
        )
        best = np.exp(found.x) if found.fun < min(cost)[0] else np.array([-a, -b])
        return float(best[0]), float(best[1])

    def intervals(
        self, parts: Sequence[Part], shares: Float64, ranges: tuple[float, float], flags: list[str]
    ) -> tuple[tuple[tuple[float, float], tuple[float, float]], tuple[float, float]]:
        """Ranges that fit nearly as well, and the ranges to use; flags where they are not identified."""
        least = self.shares(parts, *ranges)[1]
        free = max(1, len(self.covariance) - len(parts) - 2)
        limit = least + CHI2_95 * max(least / free, 1e-12)
        cost = np.array([[self.shares(parts, a, b)[1] for b in self.months] for a in self.km])
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
