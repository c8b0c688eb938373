"""What a user of a world needs beside its observations: climate, carbon dioxide and land for a process model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from talik.files import write_text
from talik.osse.ecosystem import VEGETATION_TYPES, communities_of
from talik.osse.fields import smooth_fields
from talik.osse.geography import make_land
from talik.osse.settings import WorldSettings
from talik.osse.weather import carbon_dioxide, make_weather
from talik.sources.climate_months import month_number, month_stamps

_AIR_BIAS_K, _RAIN_BIAS, _SUN_BIAS = 0.4, 0.08, 0.03
"""Standard deviations, over places, of what a climate product gets wrong in all months: K, and shares."""
_BIAS_KM = 800.0
_ICE = 1
"""Vegetation type of ice."""


def write_climate(out: Path, settings: WorldSettings) -> None:
    """Air temperature, precipitation and short-wave radiation by month, all years, with a climate product's errors."""
    land = make_land(settings)
    weather = make_weather(settings, land)
    names = ("air temperature error", "precipitation error", "radiation error")
    wrong = smooth_fields(settings.seed, names, land.lat, land.lon, length_km=_BIAS_KM)
    first, last = settings.years
    months = month_number(first, 1) + np.arange(12 * (last - first + 1))
    values = {
        "tas": (weather.tas + _AIR_BIAS_K * wrong[names[0]], "degC", "near-surface air temperature"),
        "pr": (weather.pr * np.exp(_RAIN_BIAS * wrong[names[1]]), "mm month-1", "precipitation"),
        "rsds": (
            weather.rsds * np.exp(_SUN_BIAS * wrong[names[2]]),
            "W m-2",
            "surface downwelling shortwave radiation",
        ),
    }
    ds = xr.Dataset(
        {
            name: (
                ("time", "lat", "lon"),
                land.on_grid(held).astype(np.float32),
                {"units": units, "long_name": told},
            )
            for name, (held, units, told) in values.items()
        },
        {"time": month_stamps(months), **land.grid.coords()},
        {"Conventions": "CF-1.12", "title": f"climate of a made-up world, seed {settings.seed}"},
    )
    ds.to_netcdf(out, engine="netcdf4", encoding={name: {"zlib": True, "complevel": 1} for name in values})


def write_land(out: Path, settings: WorldSettings) -> None:
    """Soil texture, elevation, area of the land in a cell, and vegetation, as the process model reads them."""
    land = make_land(settings)
    community = communities_of(make_weather(settings, land), land)
    codes = np.where(land.ice, _ICE, [VEGETATION_TYPES[name] for name in community])
    values = {
        "sand": (land.sand, "%"),
        "silt": (land.silt, "%"),
        "clay": (land.clay, "%"),
        "elevation": (land.elevation, "m"),
        "cell_area": (land.land_area_m2, "m2"),
        "temveg": (codes.astype(float), "1"),
        "land_fraction": (land.land_share, "1"),
    }
    ds = xr.Dataset(
        {
            name: (("lat", "lon"), land.on_grid(held), {"units": units})
            for name, (held, units) in values.items()
        },
        land.grid.coords(),
        {"Conventions": "CF-1.12", "title": f"land of a made-up world, seed {settings.seed}"},
    )
    ds["cell_area"].attrs["long_name"] = "area of the land in the cell"
    ds.to_netcdf(out, engine="netcdf4")


def write_co2(out: Path, settings: WorldSettings) -> None:
    """Carbon dioxide by year, ppm."""
    first, last = settings.years
    years = np.arange(first, last + 1)
    rows = [f"{year},{value:.3f}" for year, value in zip(years, carbon_dioxide(years), strict=True)]
    write_text(out, "\n".join(["year,co2_ppm", *rows]) + "\n")
