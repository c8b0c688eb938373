"""CH4 from lakes and rivers per area of water: diffusion by class and temperature, ebullition, the ice-free season."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationInfo, field_validator

from talik.config import Frozen
from talik.inventory.classes import LAKES, RIVERS
from talik.inventory.limits import Limited

Array = npt.NDArray[np.float64]
Values: TypeAlias = Array | float
DAYS = 365.25
_MONTHS = np.array([31, 28.25, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_GROUPS: Mapping[str, tuple[str, ...]] = {"lakes": LAKES, "rivers": RIVERS}


class Shore(NamedTuple):
    """Lakes of a class: `area` of one (m2); `shape`, its shore over that of a circle of the same area (1 or more)."""

    area: float
    shape: float


_OFFSETS = {
    "LAL": Limited(0.0, 0.0, 0.0),
    "MGL": Limited(0.38, -0.13, 0.86),
    "MPL": Limited(0.98, 0.39, 1.51),
    "MYL": Limited(0.38, -0.13, 1.06),
    "SGL": Limited(0.06, -0.13, 0.56),
    "SPL": Limited(1.13, 0.62, 1.59),
    "SYL": Limited(1.34, 0.75, 1.95),
}
_BUBBLES = {"LAL": 0.62, "MGL": 0.62, "MPL": 0.62, "MYL": 0.80, "SGL": 0.62, "SPL": 0.62, "SYL": 0.80}
_RIVERS = {
    "LAR": Limited(99.2, 46.1, 152.3),
    "SRR": Limited(148.8, 60.8, 236.8),
    "SRP": Limited(99.2, 46.1, 152.3),
}
_SHORES = {"LAL": Shore(1.3e8, 2.0), "MGL": Shore(6.5e5, 2.0)}


class WaterSettings(Frozen):
    """Numbers and choices of the inland-water inventory; limits are 95 %.

    The numbers for CH4 are those of the public scaling scripts of Kuhn et al. (github, bawldCH4_scaling); rivers from
    Stanley et al. (2016). A class that is left out of a table keeps its default.
    """

    intercept: Limited = Limited(0.64, 0.20, 1.13)
    """log10 of the diffusive flux (mg CH4 m-2 d-1) of large lakes where the mean annual air temperature is 0 degC."""
    slope: Limited = Limited(0.042, 0.027, 0.06)
    """Rise of that log10 per degC; limits at most 0.1 apart."""
    offset: Mapping[str, Limited] = Field(default=_OFFSETS, validate_default=True)
    """What each lake class adds to the intercept."""
    ebullition: Mapping[str, Annotated[float, Field(ge=0, lt=1)]] = Field(
        default=_BUBBLES, validate_default=True
    )
    """Share of the total flux (diffusion and ebullition) that rises in bubbles."""
    shores: Mapping[str, Shore] = _SHORES
    """Classes with ebullition along the shore only, and the size of their lakes where the data hold none (chosen here).

    The sizes are those of lakes that hold equal area in each tenfold of size, 0.1-10 and 10-10,000 km2.
    """
    shore_width: Annotated[float, Field(ge=0)] = 3.0
    """Width of the strip along the shore (m)."""
    diel: Annotated[float, Field(gt=0)] = 0.85
    """Factor on the annual lake flux, for sampling by day."""
    ice_out: Annotated[float, Field(gt=0)] = 1.3
    """Factor on the annual lake flux, for what leaves at ice break-up."""
    rivers: Mapping[str, Limited] = Field(default=_RIVERS, validate_default=True)
    """Flux of river classes, mg CH4 m-2 d-1. Classes with equal numbers share one estimate, and its draws."""
    thaw_temperature: Annotated[float, Field(ge=-10, le=10)] = 0.0
    """Water is free of ice while the air is warmer (degC; chosen here)."""
    densities: Mapping[Literal["CO2", "CH4", "N2O"], Mapping[str, Limited]] = {}
    """Your annual densities by gas and class, g of C or N per m2 of water; ``lakes`` and ``rivers`` name all at once.

    CO2 and N2O have no built-in number. Densities of CH4 replace the built-in ones.
    """
    held_by_wetlands: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the small lakes (SPL, SYL, SGL) that wetland fluxes hold already; left out of areas and fluxes."""
    class_area_correlation: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Correlation of the area errors of two classes. Errors of one class are the same in all cells."""
    best: Literal["mean", "central"] = "mean"
    """The value given: mean over draws of the coefficients, or the flux at their central values (lower)."""
    missing: Literal["error", "leave_out"] = "error"
    """What happens to cells with water but without temperature; what is left out lowers the coverage."""
    draws: Annotated[int, Field(ge=1000, le=1_000_000)] = 10_000
    seed: Annotated[int, Field(ge=0)] = 0

    @field_validator("offset", "ebullition", "rivers", mode="before")
    @classmethod
    def _complete(cls, given: Any, info: ValidationInfo) -> Any:
        """The default table with the given rows in place of its own."""
        tables: dict[str | None, Mapping[str, Any]] = {
            "offset": _OFFSETS,
            "ebullition": _BUBBLES,
            "rivers": _RIVERS,
        }
        default = tables[info.field_name]
        if not isinstance(given, Mapping):
            return given
        unknown = sorted(set(given) - set(default))
        if unknown:
            raise ValueError(f"class {unknown[0]!r} is unknown; choose from: {', '.join(default)}")
        return {**default, **given}

    @field_validator("shores")
    @classmethod
    def _shores(cls, given: Mapping[str, Shore]) -> Mapping[str, Shore]:
        for code, shore in given.items():
            if code not in LAKES:
                raise ValueError(f"class {code!r} is unknown; choose from: {', '.join(LAKES)}")
            if not (shore.area > 0 and shore.shape >= 1):
                raise ValueError(
                    f"{code}: expected an area above 0 and a shape of 1 or more, found {tuple(shore)}"
                )
        return given

    @field_validator("intercept", "slope", "offset", "rivers", "densities")
    @classmethod
    def _ordered(cls, given: Any) -> Any:
        for where, number in _numbers(given, ""):
            if not number.low <= number.mean <= number.high:
                raise ValueError(
                    f"{where}expected (mean, low, high) with the mean between, found {tuple(number)}"
                )
        return given

    @field_validator("slope")
    @classmethod
    def _narrow(cls, given: Limited) -> Limited:
        if given.high - given.low > 0.1:
            raise ValueError(f"limits {given.low:g} and {given.high:g} per degC are more than 0.1 apart")
        return given

    @field_validator("densities")
    @classmethod
    def _expanded(cls, given: Mapping[str, Mapping[str, Limited]]) -> Mapping[str, Mapping[str, Limited]]:
        known = (*_GROUPS, *LAKES, *RIVERS)
        for gas, table in given.items():
            for name in table:
                if name not in known:
                    raise ValueError(f"{gas}: class {name!r} is unknown; choose from: {', '.join(known)}")
        return given


def _numbers(given: Any, where: str) -> list[tuple[str, Limited]]:
    """Every Limited in nested tables, with the names that lead to it."""
    if isinstance(given, Limited):
        return [(where, given)]
    return [found for name, item in given.items() for found in _numbers(item, f"{where}{name}: ")]


def density_of(table: Mapping[str, Limited], code: str) -> tuple[str, Limited] | None:
    """Name and number of the row of `table` for a class: its own, or that of all lakes or rivers; None if neither."""
    group = "lakes" if code in LAKES else "rivers"
    for name in (code, group):
        if name in table:
            return name, table[name]
    return None


def lake_diffusion(tair: Values, offset: Values, intercept: Values, slope: Values) -> Array:
    """Diffusive CH4 flux of lakes, mg CH4 m-2 d-1 of open water, for mean annual air temperature in degC (any shape).

    ``10^(intercept + slope T + offset)``, which is never negative (scaling scripts of Kuhn et al.).
    """
    return np.power(10.0, np.asarray(intercept + slope * np.asarray(tair, np.float64) + offset))


def with_ebullition(share: float, where: Values = 1.0) -> Array:
    """Diffusion and ebullition over diffusion, for bubbles with a `share` (below 1) of the total.

    `where` is the share of the water area that bubbles.
    """
    return np.asarray(1.0 + np.asarray(where, float) * share / (1.0 - share))


def shore_share(area: Values, shape: float, width: float) -> Array:
    """Share of a lake of `area` (m2) that lies within `width` (m) of its shore, at most 1.

    `shape` is the length of the shore over that of a circle of the same area. The strip is as long as the shore.
    """
    size = np.asarray(area, np.float64)
    return np.asarray(np.minimum(1.0, width * shape * 2.0 * np.sqrt(math.pi / size)))


def ice_free_days(tair: Array, threshold: float = 0.0) -> Array:
    """Days a year with air warmer than `threshold`, from monthly means ``(..., 12)`` in degC, January first.

    The means stand at the middle of their months and are joined by straight lines, December to January too. The year
    has 365.25 days. NaN in any month gives NaN. Chosen here: ice on large lakes melts and forms later than that.
    """
    middle = np.cumsum(_MONTHS) - _MONTHS / 2
    length = np.diff(middle, append=middle[0] + DAYS)
    first = np.asarray(tair, float) - threshold
    second = np.roll(first, -1, axis=-1)
    high, low = np.maximum(first, second), np.minimum(first, second)
    span = np.where(high > low, high - low, 1.0)
    above = np.where(high > low, np.clip(high, 0, None) / span - np.clip(low, 0, None) / span, high > 0)
    return np.asarray(np.where(np.isnan(first), np.nan, above) @ length)
