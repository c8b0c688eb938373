"""From what was measured in a season to a year."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from talik.config import Frozen

Array = npt.NDArray[np.float64]

YEAR_DAYS = 365.25


class ClassSeason(Frozen):
    """The growing season of a land-cover class."""

    days: Annotated[float, Field(gt=0, le=YEAR_DAYS)]
    """Length, d."""
    outside: Annotated[float, Field(ge=0, le=0.9)] = 0.0
    """Share of the annual flux that is emitted outside the growing season, 0-0.9."""


CH4_SEASONS: Mapping[str, ClassSeason] = MappingProxyType(
    {
        "permafrost_free_wetland": ClassSeason(days=150, outside=0.32),
        "tundra_wetland": ClassSeason(days=90, outside=0.35),
        "permafrost_bog": ClassSeason(days=90, outside=0.35),
        "dry_tundra": ClassSeason(days=90, outside=0.40),
        "boreal_forest": ClassSeason(days=150, outside=0.0),
    }
)
"""Chosen here: the recipe of Ramage et al. (2024) is not public. With site means of BAWLD-CH4 these return the
published densities to 5 %; only days/(1 - outside) is constrained by that. Measured shares of northern CH4 are 13 to
47 %."""
N2O_SEASONS: Mapping[str, ClassSeason] = MappingProxyType(
    {name: ClassSeason(days=season.days) for name, season in CH4_SEASONS.items()}
)
"""Nothing outside the growing season, for which there are too few measurements: a lower bound."""


def year_of_growing_season(daily: npt.ArrayLike, season: ClassSeason) -> Array:
    """Annual flux (per m2 and year) from the mean daily flux of the growing season, any shape.

    f L/(1 - outside). A net sink has no share outside the season: f L.
    """
    growing = np.asarray(daily, dtype=np.float64)
    return growing * season.days / np.where(growing < 0.0, 1.0, 1.0 - season.outside)


def year_of_two_seasons(growing: npt.ArrayLike, cold: npt.ArrayLike, days: float) -> Array:
    """Annual flux from mean daily fluxes of the growing season of `days` and of the rest of the year, any shape."""
    return np.asarray(growing) * days + np.asarray(cold) * (YEAR_DAYS - days)
