"""Standard deviations that the fusion uses, from values and errors of products.

All arrays are (time, pixel) or (pixel,), NaN where there is no value, in units of DALEC: g C m-2, g C m-2 d-1,
m2 m-2. Error models of the Edinburgh branch of CARDAMOM unless said otherwise.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from talik.config import Frozen

Floats = NDArray[np.float64]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0)]

_CARBON = 48.0
"""g C m-2 of 1 Mg ha-1 of dry matter: 0.48 carbon, 100 g m-2 per Mg ha-1."""
_BGB, _BGB_POWER = 0.489, 0.89
_LEAST_AGB = 0.1
"""Mg ha-1 below which the slope of belowground on aboveground biomass is not followed to infinity."""


class StreamError(Frozen):
    """How a misfit is measured."""

    error: Literal["normal", "lognormal"] = "normal"
    """`lognormal`: the misfit is ln(model / observation), its sd that of `factor`."""
    factor: Annotated[float, Field(gt=1)] | None = None
    """Of a lognormal error: its sd is ln(factor); without it sd / observation."""


class NbeError(Frozen):
    """Errors of monthly net biome exchange of an inversion, when years and months have errors of their own."""

    annual_floor: Positive = 0.1
    """Least sd of an annual mean, g C m-2 d-1 (36.5 g C m-2 a year)."""
    rho: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Correlation of the errors of one month and the next, within a year."""


class TowerError(Frozen):
    """Errors of monthly NEE and GPP of a tower: a floor and a share of the value, added in squares."""

    nee_floor: Positive = 0.2
    """g C m-2 d-1."""
    nee_share: Share = 0.2
    gpp_floor: Positive = 0.3
    """g C m-2 d-1."""
    gpp_share: Share = 0.15
    factor: Positive = 1.0
    """Multiplies both, to see what the choice does."""

    def nee_sd(self, nee: Floats) -> Floats:
        """Sd of monthly NEE, g C m-2 d-1."""
        return self.factor * np.hypot(self.nee_floor, self.nee_share * nee)

    def gpp_sd(self, gpp: Floats) -> Floats:
        """Sd of monthly GPP, g C m-2 d-1."""
        return self.factor * np.hypot(self.gpp_floor, self.gpp_share * gpp)


def lai_sd(lai: Floats, sd: Floats) -> Floats:
    """Sd of LAI (time, pixel): that of the product and a tenth of the pixel's mean in squares; at least 0.25."""
    return np.maximum(0.25, np.hypot(sd, 0.1 * pixel_mean(lai)))


def wood_from_agb(agb: Floats, sd: Floats, error: Literal["biomass", "delta"]) -> tuple[Floats, Floats]:
    """Wood carbon with coarse roots and its sd, g C m-2, from aboveground biomass and its sd, Mg ha-1 dry.

    Belowground biomass is 0.489 AGB^0.89, carbon 0.48 of both. error : "biomass" puts the sd through the allometry as
    if it were a biomass (the reference); "delta" multiplies it by the slope at AGB (at 0.1 Mg ha-1 below that).
    """

    def carbon(biomass: Floats) -> Floats:
        return _CARBON * (biomass + _BGB * biomass**_BGB_POWER)

    if error == "biomass":
        return carbon(agb), carbon(sd)
    slope = 1 + _BGB * _BGB_POWER * np.maximum(agb, _LEAST_AGB) ** (_BGB_POWER - 1)
    return carbon(agb), _CARBON * slope * sd


def wood_sd(wood: Floats, sd: Floats) -> Floats:
    """Sd of carbon in wood or whole plants (time, pixel), g C m-2: its own and a tenth of the pixel's mean in
    squares; at least 100."""
    return np.maximum(100.0, np.hypot(sd, 0.1 * pixel_mean(wood)))


def nbe_sd(sd: Floats) -> Floats:
    """Sd of a month of NBE, g C m-2 d-1: that of the inversion and 1 in squares."""
    return np.hypot(sd, 1.0)


def soc_sd(carbon: Floats, depth_m: Literal[1, 3]) -> Floats:
    """Sd of soil organic carbon to 1 or 3 m, g C m-2: 0.235 or 0.47 of it; at least 1000."""
    return np.where(np.isnan(carbon), np.nan, np.maximum(1000.0, {1: 0.235, 3: 0.47}[depth_m] * carbon))


def pixel_mean(values: Floats) -> Floats:
    """Mean over time of what was observed of each pixel (pixel,); NaN where nothing was."""
    seen = np.isfinite(values)
    n = seen.sum(axis=0)
    return np.where(n > 0, np.where(seen, values, 0.0).sum(axis=0) / np.maximum(n, 1), np.nan)
