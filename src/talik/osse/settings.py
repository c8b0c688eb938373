"""What a world is made of: one frozen value; everything random in it follows from its seed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from talik.config import Frozen

SPIN_UP_YEARS = 10
"""First years of climate, which the spin-up takes again and again."""
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Spread = Annotated[float, Field(ge=0.0)]


class Grid(Frozen):
    """Cells of the world, degrees."""

    lat_step: Positive = 4.0
    lon_step: Positive = 8.0
    south: Annotated[float, Field(ge=40.0, le=70.0)] = 48.0
    least_land: Share = 0.15
    """Cells with less land are sea."""


class ClimateSettings(Frozen):
    """The parametric climate, and how years differ."""

    warming_k_per_decade: float = 0.6
    """Of the annual mean at 65 N over the years of the world."""
    winter_sd_k: Spread = 2.0
    summer_sd_k: Spread = 0.8
    """Standard deviation of monthly anomalies of air temperature."""
    rain_sd: Spread = 0.25
    """The same of the logarithm of monthly precipitation."""
    cloud_sd: Spread = 0.08
    """The same of the clearness of the sky, as a share."""
    length_km: Positive = 1500.0
    """Distance at which anomalies have a correlation of exp(-1/2)."""


class Towers(Frozen):
    """The network, and what a tower gets wrong."""

    count: Annotated[int, Field(ge=4, le=5000)] = 110
    placement: Literal["accessible", "random"] = "accessible"
    """As the real network is, or by area alone."""
    first_years: tuple[int, int] | None = None
    """Years between which towers begin; all years of the world but the last three by default."""
    mean_years: Positive = 6.0
    """Mean length of a record."""
    winter_gap: Share = 0.18
    summer_gap: Share = 0.12
    """Share of months without data."""
    random_error: Spread = 4.0
    """Standard deviation of monthly NEE, g C m-2 month-1, that does not grow with the flux."""
    relative_error: Spread = 0.08
    """And the part that does, of GPP and Reco."""
    site_sd: Spread = 0.15
    """Standard deviation of what a tower sees relative to its cell, the same in all months."""
    night_bias: Spread = 0.05
    """Standard deviation, over towers, of the share of Reco that goes missing."""
    wetland_gpp: Positive = 0.9
    """GPP of the wetland of a cell over that of its cell, before both parts are scaled to keep the mean of the cell."""
    wetland_reco: Positive = 0.85
    """The same of Reco, which wet ground slows more: a tower on wetland sees more uptake than its cell has."""
    ch4_share: Share = 1 / 3
    """Share of towers that measure methane."""
    ch4_error: Spread = 0.25
    """Standard deviation of monthly methane relative to the flux."""


class Ensemble(Frozen):
    """Process models: the true one with other parameters, on coarser cells, under a climate with errors."""

    models: Annotated[int, Field(ge=2, le=50)] = 4
    parameter_sd: Spread = 0.15
    """Standard deviation of the logarithm of each parameter around its published value; the truth is one such draw."""
    climate_sd_k: Spread = 0.7
    """Standard deviation of the bias of a model's air temperature."""
    lat_step: Positive = 9.0
    lon_step: Positive = 20.0


class Inversions(Frozen):
    """Inversions: the truth as seen through a kernel, a prior where it is not seen, and transport errors."""

    systems: Annotated[int, Field(ge=2, le=50)] = 4
    kernel_km: Positive = 1000.0
    """Width of the smoothing kernel (standard deviation)."""
    prior_weight: Share = 0.35
    """Share of the prior in what an inversion says, where the network of the air is as good as on average."""
    prior_bias: float = 0.0
    """Mean error of all priors, as a share of gross primary production: a prior that is wrong for everyone."""
    prior_sd: Spread = 0.05
    """Standard deviation of the error of each prior, the same share."""
    transport_sd: Spread = 0.15
    """Standard deviation of the error of transport, as a share of the amplitude of the season."""


class Maps(Frozen):
    """Errors of maps and products."""

    ndvi_sd: Spread = 0.03
    """Standard deviation of monthly NDVI, and again of its bias from place to place."""
    soil_carbon_sd: Spread = 0.3
    """Standard deviation of the logarithm of mapped soil carbon, smooth in space."""
    permafrost_sd: Spread = 0.5
    """The same of the odds of permafrost."""
    cover_sd: Spread = 0.15
    """The same of the area of a land-cover class in a cell, half of it common to all cells."""
    fire_sd: Spread = 0.2
    """The same of the emissions of fires, by sector and year."""


class Pixels(Frozen):
    """Pixels for model-data fusion, and the errors of what is observed of them; fluxes have those of towers."""

    communities: Annotated[tuple[str, ...], Field(min_length=1)] = ("boreal_forest", "wet_tundra")
    """One pixel of each; a community may stand twice."""
    years: Annotated[int, Field(ge=2, le=50)] = 5
    """Last years of the world, all that a pixel has."""
    lai_error: Spread = 0.1
    lai_relative: Spread = 0.15
    """Standard deviation of leaf area that does not grow with it, m2 m-2, and the share that does."""
    stock_relative: Positive = 0.2
    """Of the logarithms of biomass and soil carbon."""


class WorldSettings(Frozen):
    """A world."""

    seed: Annotated[int, Field(ge=0)] = 0
    first_year: Annotated[int, Field(ge=1900, le=2090)] = 1991
    """First year of climate; the first ten are the loop of the spin-up."""
    period: tuple[int, int] = (2001, 2015)
    """Years in which anything is observed."""
    grid: Grid = Grid()
    climate: ClimateSettings = ClimateSettings()
    towers: Towers = Towers()
    ensemble: Ensemble = Ensemble()
    inversions: Inversions = Inversions()
    maps: Maps = Maps()
    pixels: Pixels = Pixels()

    @model_validator(mode="after")
    def _years(self) -> WorldSettings:
        if self.period[1] < self.period[0] + 3:
            raise ValueError(f"period {self.period}: expected four years at least")
        if self.pixels.years > self.period[1] - self.period[0]:
            raise ValueError(
                f"pixels.years {self.pixels.years}: expected fewer than the years of {self.period}, since leaves of "
                "a year follow the weather of the one before"
            )
        if self.first_year > self.period[0] - 5:
            raise ValueError(
                f"first_year {self.first_year}: expected five years before {self.period[0]} at least"
            )
        if self.first_year + SPIN_UP_YEARS - 1 > self.period[1]:
            raise ValueError(
                f"first_year {self.first_year}: the spin-up takes the first ten years of climate, which ends in "
                f"{self.period[1]}; expected {self.period[1] - SPIN_UP_YEARS + 1} or earlier"
            )
        return self

    @property
    def years(self) -> tuple[int, int]:
        """First and last year of climate."""
        return self.first_year, self.period[1]

    def nature_key(self) -> str:
        """Short hash of what decides the truth: the same for all ways to observe it."""
        standard = WorldSettings()
        others = {
            name: getattr(standard, name) for name in WorldSettings.model_fields if name not in SIMULATED
        }
        # a copy is not validated: the standard pixels may be longer than a short world
        return self.model_copy(update=others).key()


SIMULATED = ("seed", "first_year", "period", "grid", "climate", "ensemble")
"""Settings that the truth and the models of a world follow; the others are of those who look at it."""
