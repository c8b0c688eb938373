"""A parametric climate of the north: seasons, continentality, warming, and years that differ. All of it is made up.

The formulas give what an atlas shows to a few degrees: July near 10 degC at the treeline, January below -35 degC in
eastern Siberia, mild winters in Norway, little rain in the far north. They are no model of the atmosphere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from talik.osse.fields import smooth_series
from talik.osse.geography import Land
from talik.osse.settings import WorldSettings
from talik.tem.radiation import CAL_CM2_PER_DAY_IN_W_M2, gross_irradiance

Array = npt.NDArray[np.float64]

_MONTH = np.arange(12)
_SUMMER = -np.cos(2 * np.pi * (_MONTH - 0.3) / 12)
"""-1 in the second week of January, 1 in July."""
_PERSISTENCE = 0.35
"""Of monthly anomalies from month to month."""


@dataclass(frozen=True, slots=True, eq=False)
class Weather:
    """Months of cells (12 * year, cell): air temperature (degC), precipitation (mm month-1), short-wave radiation
    (W m-2), vapour pressure deficit (kPa); carbon dioxide (year,), ppm; the first year."""

    first_year: int
    tas: Array
    pr: Array
    rsds: Array
    vpd: Array
    co2: Array

    @property
    def years(self) -> range:
        """Every year."""
        return range(self.first_year, self.first_year + self.co2.size)

    def where(self, keep: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Weather:
        """Some of the cells."""
        tas, pr, rsds, vpd = (x[:, keep] for x in (self.tas, self.pr, self.rsds, self.vpd))
        return Weather(self.first_year, tas, pr, rsds, vpd, self.co2)

    def of_years(self, first: int, last: int) -> Weather:
        """The same for some of the years."""
        start, stop = 12 * (first - self.first_year), 12 * (last - self.first_year + 1)
        tas, pr, rsds, vpd = (x[start:stop] for x in (self.tas, self.pr, self.rsds, self.vpd))
        return Weather(first, tas, pr, rsds, vpd, self.co2[start // 12 : stop // 12])


def make_weather(settings: WorldSettings, land: Land) -> Weather:
    """The climate of cells, first to last year of the world; a place has the same weather on every grid."""
    first, last = settings.years
    years, how = last - first + 1, settings.climate
    months, year = 12 * years, np.repeat(np.arange(years), 12)
    arctic = np.clip(1.0 + (land.lat - 65.0) / 30.0, 0.4, 1.8)
    winter = 0.5 * (1.0 - _SUMMER[:, None])
    trend = how.warming_k_per_decade / 10.0 * (year - 0.5 * years)[:, None] * arctic
    trend = trend * np.tile(0.7 + 0.6 * winter, (years, 1))

    def anomaly(name: str) -> Array:
        return persistent(
            smooth_series(settings.seed, name, land.lat, land.lon, steps=months, length_km=how.length_km)
        )

    spread = how.summer_sd_k + (how.winter_sd_k - how.summer_sd_k) * np.tile(winter, (years, 1))
    warm = anomaly("air temperature") * spread
    tas = np.tile(normal_temperature(land), (years, 1)) + trend + warm
    rain = np.exp(how.rain_sd * anomaly("precipitation") - 0.5 * how.rain_sd**2)
    pr = np.tile(normal_precipitation(land), (years, 1)) * rain
    clear = np.clip(1.0 + how.cloud_sd * anomaly("clearness"), 0.5, 1.4)
    rsds = np.tile(normal_radiation(land), (years, 1)) * clear
    humidity = np.clip(0.72 - 0.10 * np.tile(_SUMMER[:, None] * land.continentality, (years, 1)), 0.3, 0.95)
    humidity = np.clip(humidity - 0.12 * (clear - 1.0), 0.3, 0.97)
    at = first + np.arange(years)
    return Weather(first, tas, pr, rsds, saturation_kpa(tas) * (1.0 - humidity), carbon_dioxide(at))


def normal_temperature(land: Land) -> Array:
    """(12, cell) degC in the middle of the years: latitude, the warm Atlantic, distance from the sea, height."""
    atlantic = np.exp(-(((land.lon - 12.0) / 35.0) ** 2))
    mean = 6.3 - 0.72 * (land.lat - 50.0) + 8.0 * atlantic * np.clip((land.lat - 48.0) / 12.0, 0.0, 1.0)
    mean = mean - 3.5 * land.continentality
    swing = 9.0 + 17.0 * land.continentality * np.clip((land.lat - 35.0) / 27.0, 0.0, 1.1)
    flat = mean + swing * _SUMMER[:, None]
    # the Arctic summer is short of sun and of heat, not of length alone
    cool = np.clip(land.lat - 70.0, 0.0, None) * 0.18 * (0.5 + 0.5 * _SUMMER[:, None])
    return flat - cool - 5.0e-3 * (land.elevation - 150.0)


def normal_precipitation(land: Land) -> Array:
    """(12, cell) mm month-1: less to the north and inland, more in summer inland."""
    year = (220.0 + 640.0 * np.exp(-np.clip(land.lat - 50.0, 0.0, None) / 16.0)) * (
        1.0 - 0.55 * land.continentality
    )
    season = 1.0 + (0.15 + 0.55 * land.continentality) * _SUMMER[:, None]
    return year / 12.0 * season


def normal_radiation(land: Land) -> Array:
    """(12, cell) W m-2: the sun above the air as the process model has it, through a sky that is clearer inland."""
    above = np.asarray(gross_irradiance(land.lat)) * CAL_CM2_PER_DAY_IN_W_M2
    return np.asarray(above * (0.42 + 0.10 * land.continentality))


def saturation_kpa(celsius: Array) -> Array:
    """Vapour pressure over water (above 0 degC) or ice, kPa (Magnus form; Alduchov and Eskridge 1996)."""
    water = 0.61094 * np.exp(17.625 * celsius / (celsius + 243.04))
    ice = 0.61121 * np.exp(22.587 * celsius / (celsius + 273.86))
    return np.where(celsius >= 0.0, water, ice)


def carbon_dioxide(year: npt.ArrayLike) -> Array:
    """ppm in a year: 355.5 in 1991, 2.6 ppm a year faster and faster to 425 in 2025, as observed to 1 ppm."""
    t = np.asarray(year, float) - 1991.0
    return np.asarray(355.5 + 1.45 * t + 0.0175 * t**2)


def persistent(steps: Array) -> Array:
    """First-order autoregressive series of unit variance from independent normal steps (step, ...)."""
    out = np.empty_like(steps)
    out[0] = steps[0]
    scale = np.sqrt(1.0 - _PERSISTENCE**2)
    for i in range(1, len(steps)):
        out[i] = _PERSISTENCE * out[i - 1] + scale * steps[i]
    return out
