"""Covariance of the error of predicted monthly fluxes: far places, one place, seasons and months.

The error e(x, t) of a predicted flux at place x in month t is the sum of independent parts, each a product of a
correlation in space and one in time, and

    C = sd(t) sd(t') [ exp(-d/L) (region + region_season S + region_time exp(-abs(t - t')/T))
                       + 1{same place} (place + place_season S + place_time exp(-abs(t - t')/T)
                                          + nugget 1{same month}) ]

with S = 1{both months in the same class of months} and sd the error's standard deviation in the class. Every factor is
positive definite (the exponential of the great-circle distance is one on the sphere for any L: Gneiting 2013,
Bernoulli 19, 1327), products and sums with weights >= 0 are, and scaling by sd keeps it. So no variance of any sum of
errors is negative. Fitting is in `talik.upscaling.error_fit`, regional sums in `talik.upscaling.error_budget`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, get_args

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from talik.config import Frozen
from talik.errors import ConfigError, InputError
from talik.upscaling.conformal import SEASONS
from talik.upscaling.distances import arc_km, unit_vectors
from talik.upscaling.trees import Float64, Int64

Part = Literal["region", "region_season", "region_time", "place", "place_season", "place_time", "nugget"]
PARTS: tuple[Part, ...] = get_args(Part)
"""The parts in the order of how much they add to a regional budget: where data cannot tell two apart, the earlier one
is kept."""
REGIONAL: tuple[Part, ...] = PARTS[:3]
"""Parts shared by places near each other; the others are a place's own."""

FOUR_SEASONS = tuple(
    next(k for k, months in enumerate(SEASONS.values()) if month in months) for month in range(1, 13)
)
"""Class of January .. December: the seasons of `talik.upscaling.conformal`."""
ONE_SEASON = (0,) * 12
"""All months alike."""

Share = Annotated[float, Field(ge=0)]


class ErrorModel(Frozen):
    """The error covariance of a flux; the seven shares multiply sd**2 and sum to about 1."""

    region: Share = 0.0
    """Persistent, alike at places within `range_km`."""
    region_season: Share = 0.0
    """As `region`, but every class of months has its own."""
    region_time: Share = 0.0
    """As `region`, fading over `range_months`."""
    place: Share = 0.0
    """Persistent at one place and of no other: what the predictors do not say of a place."""
    place_season: Share = 0.0
    """As `place`, but every class of months has its own."""
    place_time: Share = 0.0
    """As `place`, fading over `range_months`."""
    nugget: Share = 0.0
    """Of one place and month, the observation's own error included."""
    range_km: Annotated[float, Field(gt=0)] = 500.0
    """L."""
    range_months: Annotated[float, Field(gt=0)] = 6.0
    """T."""
    sd: tuple[float, ...] = (1.0,) * 12
    """Standard deviation in January .. December, g m-2 month-1."""
    season: tuple[int, ...] = FOUR_SEASONS
    """Class of January .. December."""

    @field_validator("sd", "season")
    @classmethod
    def _twelve(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if len(value) != 12 or min(value) < 0:
            raise ValueError(f"expected 12 values >= 0, January to December; found {value}")
        return value

    @property
    def shares(self) -> dict[Part, float]:
        """The seven shares by name."""
        return {part: float(getattr(self, part)) for part in PARTS}

    @property
    def sill(self) -> float:
        """Sum of the shares: variance of the error of one place and month, in units of sd**2."""
        return sum(self.shares.values())

    def spatial(self, chord: npt.ArrayLike) -> Float64:
        """exp(-d/L) for points `chord` apart on the unit sphere."""
        return np.asarray(np.exp(-arc_km(chord) / self.range_km))

    def temporal(self, month: npt.ArrayLike, other: npt.ArrayLike) -> dict[Part, Float64]:
        """Correlation in time of each part, for months counted from January of year 0 (broadcast)."""
        a, b = np.asarray(month, np.int64), np.asarray(other, np.int64)
        season = np.asarray(self.season)
        ones = np.ones(np.broadcast_shapes(a.shape, b.shape))
        same = (season[a % 12] == season[b % 12]).astype(float)
        fading = np.exp(-np.abs(a - b) / self.range_months)
        by_end = {"": ones, "season": same, "time": fading, "nugget": (a == b).astype(float)}
        return {part: by_end[part if part == "nugget" else part.partition("_")[2]] for part in PARTS}

    def covariance(
        self, lat: npt.ArrayLike, lon: npt.ArrayLike, place: npt.ArrayLike, month: npt.ArrayLike
    ) -> Float64:
        """(n, n) covariance of the errors of n rows, (g m-2 month-1)**2.

        lat, lon : (n,) degrees. place : (n,) labels. month : (n,) year * 12 + month - 1; two rows of one place and
        month count as one observation. For a few thousand rows; budgets go through `error_budget`.
        """
        at = unit_vectors(lat, lon)
        m, label = np.asarray(month, np.int64), np.asarray(place)
        near = self.spatial(np.linalg.norm(at[:, None] - at[None], axis=-1))
        own = (label[:, None] == label[None]).astype(float)
        sd = np.asarray(self.sd)[m % 12]
        times = self.temporal(m[:, None], m[None])
        total = sum(v * times[p] * (near if p in REGIONAL else own) for p, v in self.shares.items())
        return np.asarray(sd[:, None] * sd[None] * total)

    def over_time(self, months: npt.ArrayLike, weights: npt.ArrayLike) -> dict[Part, Float64]:
        """Share of each part times its exact double sum over months, for sums over months with weights.

        months : (m,) year * 12 + month - 1, each once. weights : (k, m), one row a sum, e.g. 1 for the months of a
        year and 0 elsewhere. Returns (k, k) matrices, (g m-2)**2 for weights without unit.

        Raises:
            InputError: shapes do not fit, or a month is there twice.
        """
        m, w = np.asarray(months, np.int64), np.atleast_2d(np.asarray(weights, float))
        if m.ndim != 1 or w.shape[1] != len(m) or len(np.unique(m)) != len(m):
            raise InputError(
                f"months and weights: expected (m,) distinct months and (k, m) weights; found {m.shape} with "
                f"{len(np.unique(m))} distinct, and {w.shape}."
            )
        scaled = w * np.asarray(self.sd)[m % 12]
        times = self.temporal(m[:, None], m[None])
        return {part: share * (scaled @ times[part] @ scaled.T) for part, share in self.shares.items()}


def years_months(first_year: int, last_year: int) -> tuple[Int64, Float64]:
    """Months (12 n,) of the years, and the weights (n, 12 n) of their annual sums, for `ErrorModel.over_time`.

    Raises:
        ConfigError: the last year is before the first.
    """
    if last_year < first_year:
        raise ConfigError(f"years: expected first <= last; found {first_year}..{last_year}. Exchange them.")
    n = last_year - first_year + 1
    months = np.arange(first_year * 12, (last_year + 1) * 12, dtype=np.int64)
    return months, np.repeat(np.eye(n), 12, axis=1)


def with_shares(model: ErrorModel, shares: Mapping[Part, float]) -> ErrorModel:
    """The model with other shares; those not named are 0."""
    return ErrorModel.model_validate({**model.model_dump(), **dict.fromkeys(PARTS, 0.0), **shares})
