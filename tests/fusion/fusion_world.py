"""Small worlds for model-data fusion: drivers and observations that are made up, and a sampler that only looks at them.

Importable by worker processes through PYTHONPATH.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from talik.fusion.axis import Pixels, TimeAxis
from talik.fusion.drivers import Drivers
from talik.fusion.ensemble import (
    DIAGNOSTICS,
    Ensemble,
    carbon_use_efficiency,
    derived_fluxes,
    residence_time,
)
from talik.fusion.observations import Observations
from talik.fusion.settings import InferOptions
from talik.fusion.switches import bounds
from talik.rng import named_rng

UNITS = {"tmin": "degC", "tmax": "degC", "sw": "MJ m-2 d-1", "co2": "ppm"}
SLOW = "slow"
"""A pixel of this name does not converge."""


def site_months(
    sites: tuple[str, ...] = ("one", "two", "three"), years: tuple[int, int] = (2003, 2004)
) -> pd.DataFrame:
    """Drivers, LAI, NEE and GPP of sites by month; the roles of rows alternate."""
    rows = []
    for k, site in enumerate(sites):
        for number in range(12 * (years[1] - years[0] + 1)):
            year, month = years[0] + number // 12, number % 12 + 1
            season = np.cos(2 * np.pi * (month - 7) / 12)
            rows.append(
                {
                    "site": site,
                    "lat": 60.0 + k,
                    "lon": 25.0 + k,
                    "year": year,
                    "month": month,
                    "tmin": 12 * season - 5 - k,
                    "tmax": 12 * season + 3 - k,
                    "sw": 9.5 + 9 * season,
                    "co2": 376.0 + number / 6,
                    "vpd": 400 + 300 * season,
                    "wind": 3.0,
                    "lai": 1.5 + season if month in (5, 6, 7, 8) else np.nan,
                    "nee": -2 * season if month != 2 else np.nan,
                    "gpp": 3 + 2.9 * season if month != 2 else np.nan,
                    "role": ("calibration", "validation")[number % 2] if month != 2 else "none",
                }
            )
    return pd.DataFrame(rows)


def grid(years: tuple[int, int] = (2003, 2004)) -> xr.Dataset:
    """The drivers of the first site on 3 x 4 cells of 0.5 degrees, other units, the north-eastern cell without land."""
    one = site_months(("one",), years)
    lat, lon = np.array([60.25, 60.75, 61.25]), np.array([25.25, 25.75, 26.25, 26.75])
    land = np.ones((3, 4))
    land[2, 3] = np.nan

    def field(values: np.ndarray, units: str) -> xr.DataArray:
        cube = values[:, None, None] * land + np.arange(3)[None, :, None] * 1e-3 * abs(values).max()
        return xr.DataArray(cube, dims=("time", "lat", "lon"), attrs={"units": units})

    stamps = np.arange(len(one))
    return xr.Dataset(
        {
            "tasmin": field(one["tmin"].to_numpy() + 273.15, "K"),
            "tasmax": field(one["tmax"].to_numpy() + 274.15, "K"),
            "rsds": field(one["sw"].to_numpy() / 0.0864, "W m-2"),
            "vpd": field(one["vpd"].to_numpy() / 100, "hPa"),
            "burnt": field(np.where(one["month"] == 7, 2.0, 0.0), "%"),
        },
        coords={
            "time": ("time", stamps, {"units": f"months since {years[0]}-01-01", "calendar": "standard"}),
            "lat": ("lat", lat, {"units": "degrees_north"}),
            "lon": ("lon", lon, {"units": "degrees_east"}),
        },
    )


def look(
    drivers: Drivers,
    observations: Observations,
    axis: TimeAxis,
    pixels: Pixels,
    options: InferOptions,
    tell: object,
) -> Ensemble:
    """In the place of `infer_block`: members drawn by pixel name, whose GPP follows the light of the drivers."""
    members, time, count = options.sampler.members, len(axis), len(pixels)
    assert drivers.tmin.shape == (time, count, 1)
    low, high = bounds(options.switches)
    draws = [named_rng(options.seed, name) for name in pixels.names]
    parameters = np.stack([np.exp(r.uniform(np.log(low), np.log(high), (members, 28))) for r in draws])
    level = np.stack([r.lognormal(0, 0.2, members) for r in draws])
    gpp = 0.3 * np.asarray(drivers.sw) * level
    fluxes = derived_fluxes(gpp, 0.5 * gpp, 0.4 * gpp + 0.1, np.asarray(drivers.burned) * np.ones_like(gpp))
    pools = np.broadcast_to(1000.0 * level, (time + 1, 6, count, members)).copy()
    slow = np.array([SLOW in name for name in pixels.names])
    diagnostics = {name: np.where(slow, 1.2, 1.001) for name in DIAGNOSTICS}
    diagnostics |= {"converged": ~slow, "map_quality": ~slow, "pareto_k": np.full(count, 0.3)}
    return Ensemble(
        names=pixels.names,
        lat=pixels.lat,
        lon=pixels.lon,
        years=axis.years,
        months=axis.months,
        parameters=parameters,
        pools=pools,
        fluxes=fluxes,
        mrt=residence_time(pools, fluxes["rh"], axis.dt),
        cue=carbon_use_efficiency(fluxes["npp"], fluxes["gpp"], axis.dt),
        diagnostics=diagnostics,
        rhat=np.full((count, 28), 1.001),
        rhat_outputs={name: np.full(count, 1.001) for name in ("gpp", "nee")},
        reason=tuple("R-hat of leaf_life is 1.200" if s else "" for s in slow),
    )
