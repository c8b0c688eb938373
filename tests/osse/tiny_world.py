"""A world of some hundred cells whose ecosystem is a formula, so that no process model has to run."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import xarray as xr

from talik.osse.ecosystem import communities_of
from talik.osse.geography import Land, make_land
from talik.osse.nature import Nature, fires, methane, water_carbon
from talik.osse.settings import WorldSettings
from talik.osse.weather import Weather, make_weather
from talik.tem.output import month_seconds

DEPTHS_M = np.array([0.05, 0.15, 0.3])
GRID = {"lat_step": 6.0, "lon_step": 15.0}


def settings(seed: int = 3, **more: Any) -> WorldSettings:
    """Coarse cells and six years."""
    return WorldSettings.model_validate(
        {"seed": seed, "first_year": 1995, "period": (2001, 2006), "grid": GRID} | more
    )


def ecosystem(land: Land, weather: Weather, factor: float = 1.0) -> xr.Dataset:
    """Months (time, cell) as the process model writes them: growth by light and warmth, respiration by warmth."""
    years = weather.years
    seconds = np.concatenate([month_seconds(year) for year in years])[:, None]
    warm = np.clip(weather.tas / 15.0, 0.0, 1.2)
    gpp = factor * 0.11 * warm * weather.rsds / 200.0 * np.exp(0.15 * land.latent) / seconds
    mean = gpp.reshape(-1, 12, land.size).mean(axis=(0, 1))
    season = 1.8 ** (weather.tas / 10.0)
    reco = season / season.mean(axis=0) * mean * 0.93
    soil = weather.tas[:, None, :] * np.array([0.7, 0.6, 0.5])[None, :, None]
    cold = 1.0 / (1.0 + np.exp(weather.tas.reshape(-1, 12, land.size).mean(axis=1) + 3.0))
    flat = np.ones_like(gpp)
    data = {
        "gpp": gpp,
        "reco": reco,
        "nee": reco - gpp,
        "nep": gpp - reco,
        "npp": 0.5 * gpp,
        "ra": 0.5 * gpp,
        "rh": reco - 0.5 * gpp,
        "cVeg": 60.0 * mean * month_seconds(2001).sum() * 0.1 * flat,
        "cSoil": 15.0 * flat,
        "mrso": 250.0 * flat,
        "snw": np.where(weather.tas < 0.0, 60.0, 0.0),
        "thawDepth": flat,
    }
    out = xr.Dataset({name: (("time", "cell"), values) for name, values in data.items()})
    out["tsl"] = (("time", "depth", "cell"), soil)
    out["permafrostFraction"] = (("year", "cell"), cold)
    out["activeLayerThickness"] = (("year", "cell"), np.ones_like(cold))
    time = np.arange(f"{years[0]}-01", f"{years[-1] + 1}-01", dtype="datetime64[M]").astype("datetime64[ns]")
    return out.assign_coords(time=time, year=np.array(years), depth=DEPTHS_M)


def nature(seed: int = 3, **more: Any) -> Nature:
    """The truth of the tiny world."""
    wanted = settings(seed, **more)
    whole = make_land(wanted)
    every = make_weather(wanted, whole).where(~whole.ice)
    land, weather = whole.where(~whole.ice), every.of_years(*wanted.period)
    community = tuple(communities_of(every, land))
    months = ecosystem(land, weather)
    months["fFire"] = (("time", "cell"), fires(wanted, land, weather, community)[0])
    months["fch4"] = (("time", "cell"), methane(wanted, land, months))
    months["water"] = (("time", "cell"), water_carbon(wanted, land, weather))
    return Nature(wanted, land, weather, community, months)


def with_settings(nature: Nature, **sections: dict[str, Any]) -> Nature:
    """The same world, seen with other settings of some sections."""
    held = nature.settings
    changed = {name: getattr(held, name).model_copy(update=keys) for name, keys in sections.items()}
    return dataclasses.replace(nature, settings=held.model_copy(update=changed))


def with_towers(nature: Nature, **changes: Any) -> Nature:
    """The same world seen by other towers."""
    return with_settings(nature, towers=changes)
