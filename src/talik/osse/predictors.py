"""The predictors of flux models as maps of a world show them: physical units, with the errors that maps have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xarray as xr

from talik.flux.units import as_units
from talik.osse.fields import smooth_fields
from talik.osse.nature import Nature
from talik.osse.netcdf import month_edges, write_dataset
from talik.rng import named_rng
from talik.sources.predictors import PREDICTORS

Array = npt.NDArray[np.float64]

VEGETATION_CLASSES: Mapping[str, int] = {
    "alpine_tundra_polar_desert": 31,
    "wet_tundra": 33,
    "boreal_forest": 70,
    "grassland": 30,
}
"""Class of the vegetation map of each community; cells with more wetland than `MOST_WETLAND` are class 160."""
WETLAND_CLASS, MOST_WETLAND = 160, 0.4
_SNOW_KG_M2 = 20.0
"""Snow that hides the ground: 10 cm of 200 kg m-3."""
_SATURATED, _ROOT_ZONE_M = 0.6, 1.0
"""Water of wetland soil, m3 m-3; the depth to which the water of the root zone is counted here."""
_NDVI_BARE, _NDVI_FULL, _NDVI_SNOW = 0.12, 0.88, 0.02
_LEAF_SCALE = 0.016
"""g C m-2 d-1 of GPP per W m-2 of light where leaves take up 1 - 1/e of the light that they could."""
_LIGHT_FLOOR = 15.0
"""W m-2 added to light, so that dark months have no leaves of their own."""
_SMOOTHED = (0.25, 0.5, 0.25)
"""Weights of the month before, the month and the next: leaves come and go slower than light and frost."""
_SKIN_K_PER_W_M2 = 0.025
"""How much warmer the ground is by day than the air, without snow."""
_TREES = {"boreal_forest": 75.0, "wet_tundra": 3.0, "grassland": 8.0}
_BARE = {"alpine_tundra_polar_desert": 45.0, "wet_tundra": 8.0, "boreal_forest": 3.0, "grassland": 6.0}
_ERROR_KM = 600.0
"""Distance over which errors of maps fall to exp(-1/2)."""


def write_predictors(out: Path, nature: Nature) -> None:
    """A cube of the predictors on the grid of the world, NaN where there is no land; read by `talik upscaling`."""
    land, time = nature.land, nature.months["time"]
    data: dict[str, tuple[tuple[str, ...], npt.NDArray[np.float32], dict[str, str]]] = {}
    for name, values in predictor_values(nature).items():
        known = PREDICTORS[name]
        attrs = {"units": known.units, "long_name": known.long_name}
        if name == "co2":
            data[name] = (("time",), values.astype(np.float32), attrs)
            continue
        dims = ("time", "lat", "lon") if values.ndim == 2 else ("lat", "lon")
        data[name] = (dims, land.on_grid(values).astype(np.float32), attrs)
    ds = xr.Dataset(data, {"time": time.to_numpy(), "lat": land.grid.y, "lon": land.grid.x})
    ds["time_bnds"] = (("time", "bnds"), month_edges(time))
    ds["time"].attrs = {"standard_name": "time", "bounds": "time_bnds"}
    ds["lat"].attrs = {"standard_name": "latitude", "units": "degrees_north"}
    ds["lon"].attrs = {"standard_name": "longitude", "units": "degrees_east"}
    ds.attrs = {"title": "predictors of a made-up world", "Conventions": "CF-1.12"}
    write_dataset(out, ds, since="days since 1900-01-01")


def predictor_values(nature: Nature) -> dict[str, Array]:
    """Predictors by name in the units of `talik.sources.predictors`, within their plausible range.

    (time, cell) for those that change from month to month, (cell,) for the others, (time,) for carbon dioxide, which is
    the same everywhere. The calendar month is left to the reader.
    """
    weather, snow = nature.weather, np.clip(nature.months["snw"].to_numpy() / _SNOW_KG_M2, 0.0, 1.0)
    tsl = nature.months["tsl"].isel(depth=0, drop=True).assign_attrs(units="degC")
    warm = 273.15 + weather.tas + _SKIN_K_PER_W_M2 * weather.rsds * (1.0 - snow)
    found = {
        "srad": weather.rsds,
        "vpd": weather.vpd,
        "co2": _carbon_dioxide(nature),
        "snow_cover": 100.0 * snow,
        "soil_temperature": as_units(tsl, "K").to_numpy(),
        "soil_moisture": _soil_moisture(nature),
        "ndvi": _ndvi(nature, snow),
        "surface_temperature": warm + _noise(nature, "surface_temperature", warm.shape),
        **_covers(nature),
        **_soils(nature),
        "permafrost_probability": _permafrost(nature),
        "vegetation_type": vegetation_classes(nature).astype(np.float64),
        "cti": _topography(nature),
    }
    return {
        name: np.clip(found[name], PREDICTORS[name].low, PREDICTORS[name].high)
        for name in PREDICTORS
        if name in found
    }


def vegetation_classes(nature: Nature) -> npt.NDArray[np.int64]:
    """(cell,) class of the vegetation map."""
    plain = np.array([VEGETATION_CLASSES[name] for name in nature.community])
    return np.where(nature.land.wetland > MOST_WETLAND, WETLAND_CLASS, plain)


def _carbon_dioxide(nature: Nature) -> Array:
    """(time,) the annual means, straight between the middles of years."""
    years = nature.weather.years
    months = np.arange(12 * len(years)) + 0.5
    return np.asarray(np.interp(months, 12.0 * np.arange(len(years)) + 6.0, nature.weather.co2))


def _soil_moisture(nature: Nature) -> Array:
    """Water of the root zone as if it were a metre deep; wetlands are full of water unless it is frozen into them."""
    mineral = nature.months["mrso"].to_numpy() / (1e3 * _ROOT_ZONE_M)
    wet = nature.land.wetland
    return np.clip((1.0 - wet) * mineral + wet * _SATURATED, 0.02, _SATURATED)


def _ndvi(nature: Nature, snow: Array) -> Array:
    """Greenness from how much carbon plants take up of the light there is, which is how many leaves they have.

    Not GPP again: light is divided out, the rest saturates, is drawn out over three months and hidden by snow, and has
    an error of each month and one that stays with the place.
    """
    gpp = nature.months["gpp"].assign_attrs(units="kg m-2 s-1")
    daily = as_units(gpp, "g m-2 d-1").to_numpy()
    leaves = 1.0 - np.exp(-np.clip(daily, 0.0, None) / (nature.weather.rsds + _LIGHT_FLOOR) / _LEAF_SCALE)
    padded = np.concatenate([leaves[:1], leaves, leaves[-1:]])
    leaves = sum(weight * padded[i : i + len(leaves)] for i, weight in enumerate(_SMOOTHED))
    green = _NDVI_BARE + (_NDVI_FULL - _NDVI_BARE) * leaves
    sd = nature.settings.maps.ndvi_sd
    place = sd * _noise(nature, "ndvi/place", (nature.land.size,))
    seen = (1.0 - snow) * (green + place) + snow * _NDVI_SNOW
    return seen + sd * _noise(nature, "ndvi", seen.shape)


def _covers(nature: Nature) -> dict[str, Array]:
    """Trees (by community, wetland and carbon in vegetation), bare ground, and the rest; together 100 %."""
    land = nature.land
    standing = 1.0 - np.exp(-nature.months["cVeg"].to_numpy().mean(axis=0) / 4.0)
    trees = (
        np.array([_TREES.get(name, 0.0) for name in nature.community]) * standing * (1.0 - 0.6 * land.wetland)
    )
    bare = np.array([_BARE[name] for name in nature.community])
    trees = np.clip(trees + 5.0 * _error(nature, "tree_cover") * (trees > 0.0), 0.0, 90.0)
    bare = np.clip(bare * np.exp(0.2 * _error(nature, "non_vegetated")), 0.0, 100.0 - trees)
    return {"tree_cover": trees, "non_tree_vegetation": 100.0 - trees - bare, "non_vegetated": bare}


def _soils(nature: Nature) -> dict[str, Array]:
    """Soil pH from wetland and clay; soil carbon of the process model with the error of a map."""
    land = nature.land
    grass = np.array([name == "grassland" for name in nature.community], float)
    ph = 5.6 - 1.2 * land.wetland + 0.03 * (land.clay - 18.0) + grass + 0.3 * _error(nature, "soil_ph")
    carbon = nature.months["cSoil"].mean("time").assign_attrs(units="kg m-2")
    mapped = np.exp(nature.settings.maps.soil_carbon_sd * _error(nature, "soc_stock"))
    return {"soil_ph": ph, "soc_stock": as_units(carbon, "t ha-1").to_numpy() * mapped}


def _permafrost(nature: Nature) -> Array:
    share = np.clip(nature.months["permafrostFraction"].to_numpy().mean(axis=0), 0.02, 0.98)
    odds = np.log(share / (1.0 - share)) + nature.settings.maps.permafrost_sd * _error(nature, "permafrost")
    return np.asarray(1.0 / (1.0 + np.exp(-odds)))


def _topography(nature: Nature) -> Array:
    land = nature.land
    return 7.0 + 6.0 * land.wetland + 10.0 * land.lake - land.elevation / 600.0 + 0.5 * _error(nature, "cti")


def _error(nature: Nature, name: str) -> Array:
    """(cell,) smooth error of a map, mean 0 and variance 1."""
    land = nature.land
    name = f"predictors/{name}"
    return smooth_fields(nature.settings.seed, (name,), land.lat, land.lon, length_km=_ERROR_KM)[name]


def _noise(nature: Nature, name: str, shape: tuple[int, ...]) -> Array:
    """Independent standard normal errors."""
    return named_rng(nature.settings.seed, f"osse/predictors/{name}").normal(size=shape)
