"""Pixels of a world for model-data fusion: their weather, and what is observed of them, each with its error.

The pixels are typical cells of their communities. Their leaf area is that of the process model, which is the truth here
as all else; it counts what it photosynthesises with, so the model that is fitted, another one, can be compared.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from talik.errors import ConfigError
from talik.files import write_text
from talik.flux.units import amount_from_rate, as_units
from talik.rng import named_rng
from talik.tem import vegetation
from talik.tem.communities import parameters_for
from talik.tem.output import month_seconds

if TYPE_CHECKING:
    from talik.osse.nature import Nature

Array = npt.NDArray[np.float64]

DIURNAL_K, DIURNAL_K_PER_W_M2 = 5.0, 0.03
"""Range of the day's temperature in the dark, and how it grows with the sun: 11 K at 200 W m-2."""
FLUX_UNITS, STOCK_UNITS = "g m-2 month-1", "g m-2"
"""Of fluxes and stocks in the table of observations, as carbon."""
KEYS = ("site", "year", "month", "lat", "lon")
"""Columns that say where and when."""


@dataclass(frozen=True, eq=False)
class Pixel:
    """A cell of a world that has a name: its weather and its truth in the last years of the world, months (time,)."""

    name: str
    cell: int
    nature: Nature

    @cached_property
    def months(self) -> xr.Dataset:
        """Its truth (time,), last years alone."""
        return self.nature.months.isel(cell=self.cell, time=self._steps)

    @property
    def place(self) -> tuple[float, float]:
        """Latitude and longitude, degrees."""
        land = self.nature.land
        return float(land.lat[self.cell]), float(land.lon[self.cell])

    def weather(self, name: str) -> Array:
        """tas, rsds or vpd of `Weather` (time,)."""
        of_cell: Array = getattr(self.nature.weather, name)[self._steps, self.cell]
        return of_cell

    @cached_property
    def leaf_area(self) -> Array:
        """Leaf area index of the truth (time,), m2 m-2."""
        return leaf_area(self.nature.months.isel(cell=self.cell), self.nature.community[self.cell])[
            self._steps
        ]

    @property
    def _steps(self) -> slice:
        """The last years."""
        return slice(-12 * self.nature.settings.pixels.years, None)


def pixels_of(nature: Nature) -> list[Pixel]:
    """The pixels of a world, in the order of the settings: cells whose production is typical of their community.

    One pixel of a community is the cell of its median gross production, two are those at a quarter and three quarters,
    and so on. ConfigError: fewer cells than pixels.
    """
    wanted = Counter(nature.settings.pixels.communities)
    production = np.asarray(nature.months["gpp"].mean("time"))
    out = []
    for community, count in wanted.items():
        cells = np.flatnonzero(np.array(nature.community) == community)
        if cells.size < count:
            raise ConfigError(
                f"osse.pixels.communities: the world has {cells.size} cells of {community}, {count} are asked for. "
                f"It has {', '.join(sorted(set(nature.community)))}; choose of these."
            )
        ordered = cells[np.argsort(production[cells], kind="stable")]
        for k in range(count):
            name = community if count == 1 else f"{community}-{k + 1}"
            out.append(Pixel(name, int(ordered[int((k + 0.5) / count * cells.size)]), nature))
    return out


def write_pixel_drivers(out: Path, nature: Nature) -> None:
    """Weather of the pixels as a table of site-months: extremes of the day, radiation, carbon dioxide."""
    _write(out, [_drivers(pixel) for pixel in pixels_of(nature)])


def write_pixel_observations(out: Path, nature: Nature) -> None:
    """What is known of the pixels as a table of site-months, each value with its standard error.

    lai : of a satellite, months above 0 degC.     biomass, soc : one value each, of all living and of soil carbon.
    nee, gpp : of a tower, month by month, without the months that the network's towers miss.
    """
    _write(out, [_observations(pixel) for pixel in pixels_of(nature)])


def leaf_area(months: xr.Dataset, community: str) -> Array:
    """Leaf area index (time,) of the process model from its evapotranspiration and vegetation carbon.

    months : of one cell, `evspsbl` and `cVeg` (time,), whole years.     The first year does not know the one before and
    takes its own largest evapotranspiration.
    """
    plant = parameters_for([community])
    years = months["time"].dt.year.to_numpy()[::12]
    seconds = np.concatenate([month_seconds(int(year)) for year in years])
    water = np.asarray(months["evspsbl"], float) * seconds
    carbon = np.asarray(as_units(months["cVeg"], STOCK_UNITS))
    least, leaf = float(plant.leaf_min[0]), float(plant.unleaf12[0])
    most, largest = jnp.asarray(water[:12].max()), 1.0
    relative = np.empty(water.size)
    for year in range(years.size):
        steps = range(12 * year, 12 * year + 12)
        held = []
        for step in steps:
            leaf = float(
                vegetation.leaf_phenology(jnp.asarray(water[step]), most, jnp.asarray(leaf), plant)[0]
            )
            held.append(leaf)
            relative[step] = np.clip(leaf / largest, max(least, 0.5 * least / largest), 1.0)
        most, largest = jnp.asarray(max(water[steps].max(), 1e-3)), max(max(held), 0.01)
    return np.asarray(vegetation.leaf_area_index(jnp.asarray(carbon), jnp.asarray(relative), plant))


def _drivers(pixel: Pixel) -> pd.DataFrame:
    air, sun = pixel.weather("tas"), pixel.weather("rsds")
    half = 0.5 * (DIURNAL_K + DIURNAL_K_PER_W_M2 * sun)
    co2 = pixel.nature.weather.co2[-pixel.nature.settings.pixels.years :]
    return _rows(pixel).assign(
        **{
            "tmin [degC]": air - half,
            "tmax [degC]": air + half,
            "sw [W m-2]": sun,
            "co2 [ppm]": np.repeat(co2, 12),
        }
    )


def _observations(pixel: Pixel) -> pd.DataFrame:
    want, towers, months = pixel.nature.settings.pixels, pixel.nature.settings.towers, pixel.months
    rows = _rows(pixel)
    area, growing = pixel.leaf_area, pixel.weather("tas") > 0.0
    lai_sd = np.hypot(want.lai_error, want.lai_relative * area)
    rows["lai [1]"] = np.where(growing, area + lai_sd * _normal(pixel, "lai", area.size), np.nan).clip(0.0)
    rows["lai_sd [1]"] = np.where(growing, lai_sd, np.nan)
    middle = rows.index[rows["month"] == 7][want.years // 2]
    for name, of in (("biomass", "cVeg"), ("soc", "cSoil")):
        stock = as_units(months[of], STOCK_UNITS).to_numpy()
        seen = float(stock[middle] * np.exp(want.stock_relative * _normal(pixel, name, 1)[0]))
        rows.loc[middle, f"{name} [{STOCK_UNITS}]"] = seen
        rows.loc[middle, f"{name}_sd [{STOCK_UNITS}]"] = want.stock_relative * seen
    gone = _missing(pixel)
    for name in ("nee", "gpp"):
        true = amount_from_rate(months[name], FLUX_UNITS).to_numpy()
        sd = np.hypot(towers.random_error, towers.relative_error * true)
        rows[f"{name} [{FLUX_UNITS}]"] = np.where(gone, np.nan, true + sd * _normal(pixel, name, true.size))
    return rows


def _missing(pixel: Pixel) -> npt.NDArray[np.bool_]:
    """(time,), months that a tower has no data of; more of them where it freezes."""
    towers, air = pixel.nature.settings.towers, pixel.weather("tas")
    chance = np.where(air < 0.0, towers.winter_gap, towers.summer_gap)
    lost: npt.NDArray[np.bool_] = _rng(pixel, "gaps").random(air.size) < chance
    return lost


def _rows(pixel: Pixel) -> pd.DataFrame:
    """Place and date of each month."""
    time, (lat, lon) = pixel.months["time"].dt, pixel.place
    values = (pixel.name, time.year.to_numpy(), time.month.to_numpy(), lat, lon)
    return pd.DataFrame(dict(zip(KEYS, values, strict=True)))


def _rng(pixel: Pixel, what: str) -> np.random.Generator:
    return named_rng(pixel.nature.settings.seed, f"osse/pixels/{pixel.name}/{what}")


def _normal(pixel: Pixel, what: str, size: int) -> Array:
    return _rng(pixel, what).standard_normal(size)


def _write(out: Path, tables: list[pd.DataFrame]) -> None:
    whole = pd.concat(tables, ignore_index=True)
    write_text(out, whole.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
