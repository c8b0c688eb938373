"""Moments of pairs of held-out residuals by distance, lag and class of months."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import numba
import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from talik.config import Frozen
from talik.upscaling.distances import arc_km
from talik.upscaling.error_model import FOUR_SEASONS, PARTS, Part
from talik.upscaling.trees import Float64, Int64


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


def pair_moments(
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
