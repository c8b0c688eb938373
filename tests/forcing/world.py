"""A small world with known answers: twelve cells around Greenwich, linear warming, patterns linear in latitude."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

LAT, LON = np.array([60.25, 60.75, 61.25]), np.array([-0.75, -0.25, 0.25, 0.75])
SHAPE = (LAT.size, LON.size)
SLOPES = {"ssp126": 0.02, "ssp585": 0.04}
"""Warming (K per year from 2005) of the assessed table; the historical run warms by 0.01 K a year."""
SEASONAL = {"DJF": 4.0, "MAM": 2.0, "JJA": -2.0, "SON": 8.0}
"""Change of precipitation, mm month-1 K-1, of a model with 40 mm month-1."""
SUNSHINE = 30.0


def climatology_tas() -> np.ndarray:
    """(month, lat, lon) degC; the northern row has its warmest month at 4.5 degC, the others at 15."""
    summer = -np.cos(2 * np.pi * np.arange(12) / 12)
    peak = np.where(LAT > 61, 4.5, 15.0)
    return np.round(peak[None, :, None] + 20 * (summer[:, None, None] - 1) + np.zeros((12, *SHAPE)), 1)


def climatology_pr() -> np.ndarray:
    """(month, lat, lon) mm month-1."""
    return 20.0 + np.arange(12)[:, None, None] + np.zeros((12, *SHAPE))


def pattern(month: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """K K-1 of months 0..11 at latitudes."""
    return 1.0 + 0.1 * month + 0.02 * (lat - 60.0)


def warming(year: int, scenario: str) -> float:
    """Relative to 1995-2014, by the rules: a running mean of 20 years to 2005, a line to 2010, then the table."""
    mean = float(np.mean(list(SLOPES.values())))
    if year <= 2005:
        first, last = max(1850, year - 10), year + 9
        return 0.01 * (0.5 * (first + last) - 2004.5)
    return (mean if year <= 2014 else SLOPES[scenario]) * (year - 2005)


def relative_to_climatology(year: int, scenario: str) -> float:
    """K since 1961-1990."""
    return warming(year, scenario) - 0.01 * (1975.5 - 2005)


def files(folder: Path) -> Path:
    """The folder with every input."""
    folder.mkdir(parents=True, exist_ok=True)
    write_climatology(folder / "climatology.nc")
    write_patterns(folder / "patterns.nc")
    write_run(folder / "historical.nc", 1850, 2014, 0.01)
    write_table(folder / "gsat.csv")
    land(folder)
    years = range(1850, 2101)
    rows = [f"{s},{y},{300 + i + 0.5 * (y - 1850)}" for i, s in enumerate(SLOPES) for y in years]
    (folder / "co2.csv").write_text("\n".join(["scenario,year,co2_ppm", *rows]) + "\n")
    return folder


def write_climatology(path: Path, units: Mapping[str, str | None] | None = None, months: int = 12) -> None:
    """tas, pr and sunshine; the cell at 60.25 N, 0.75 E has none."""
    named: dict[str, str | None] = {"tas": "degC", "pr": "mm month-1", "sunshine": "percent", **(units or {})}
    held = {
        "tas": climatology_tas(),
        "pr": climatology_pr(),
        "sunshine": np.full((12, *SHAPE), SUNSHINE),
    }
    ds = xr.Dataset(coords={"month": np.arange(1, 13), "lat": LAT, "lon": LON})
    for name, values in held.items():
        values[:, 0, 3] = np.nan
        ds[name] = (("month", "lat", "lon"), values, {"units": named[name]} if named[name] else {})
    ds.isel(month=slice(months)).to_netcdf(path)


def write_patterns(path: Path, *, scale: float = 1.0, units: str = "K K-1", months: int = 12) -> None:
    """On another grid: 2.5 degree from 1.25 E, 2 degree latitude from 57 N."""
    lat, lon = np.arange(57.0, 90.0, 2.0), np.arange(1.25, 360.0, 2.5)
    whole = np.ones((1, lat.size, lon.size))
    seasonal = np.array(list(SEASONAL.values()))[:, None, None]
    xr.Dataset(
        {
            "tas_pattern": (
                ("month", "lat", "lon"),
                scale * pattern(np.arange(12)[:, None, None], lat[None, :, None]) * whole,
                {"units": units},
            ),
            "pr_clim": (("month", "lat", "lon"), 40.0 * np.ones((12, 1, 1)) * whole, {"units": "mm month-1"}),
            "pr_pattern_season": (
                ("season", "lat", "lon"),
                scale * seasonal * whole,
                {"units": "mm month-1 K-1"},
            ),
        },
        {"month": np.arange(1, 13), "season": list(SEASONAL), "lat": lat, "lon": lon},
    ).isel(month=slice(months)).to_netcdf(path)


def write_run(path: Path, first: int, last: int, slope: float, start: float = 280.0) -> None:
    """Annual global tas (K) that rises by `slope` a year; colder towards the poles."""
    lat, lon = np.arange(-67.5, 90.0, 45.0), np.arange(0.0, 360.0, 90.0)
    years = np.arange(first, last + 1)
    values = (
        start
        + slope * (years - first)[:, None, None]
        - 0.3 * np.abs(lat)[None, :, None]
        + np.zeros((1, 1, 4))
    )
    time = [np.datetime64(f"{y}-07-01") for y in years]
    xr.Dataset(
        {"tas": (("time", "lat", "lon"), values, {"units": "K"})},
        {"time": np.array(time, "datetime64[ns]"), "lat": lat, "lon": lon},
    ).to_netcdf(path)


def write_table(path: Path, last: int = 2091) -> None:
    """Assessed warming from 2010."""
    rows = [
        f"{s},{y},{0.5 * k * (y - 2005)},{k * (y - 2005)},{2 * k * (y - 2005)}"
        for s, k in SLOPES.items()
        for y in range(2010, last + 1)
    ]
    path.write_text("\n".join(["scenario,year,gsat_p05,gsat_central,gsat_p95", *rows]) + "\n")


def land(folder: Path) -> None:
    """Permafrost (one cell without), soil (one without texture, one without land), Köppen (Af in the cell without
    permafrost), TEM in the north row."""
    axes = {"lat": LAT, "lon": LON}

    def flat(value: float, units: str) -> tuple[tuple[str, str], np.ndarray, dict[str, str]]:
        return ("lat", "lon"), np.full(SHAPE, value), {"units": units}

    permafrost = xr.Dataset({"permafrost_fraction_median": flat(80.0, "percent")}, axes)
    permafrost["permafrost_fraction_median"][0, 0] = np.nan
    permafrost["permafrost_fraction_median"][1, 0] = 15.0
    permafrost.to_netcdf(folder / "permafrost.nc")
    soil = xr.Dataset(
        {
            "sand": flat(50.0, "percent"),
            "silt": flat(30.0, "percent"),
            "clay": flat(20.0, "percent"),
            "land_fraction": flat(0.5, "1"),
        },
        axes,
    )
    for name in ("sand", "silt", "clay"):
        soil[name][0, 1] = np.nan
    soil["land_fraction"][0, 2] = 0.0
    soil.to_netcdf(folder / "soil.nc")
    codes = np.array([[5, 4, 4, 4], [1, 2, 3, 0], [2, 2, 2, 2]], dtype=np.int8)
    flags = {
        "_FillValue": np.int8(0),
        "flag_values": np.arange(1, 6, dtype=np.int8),
        "flag_meanings": "EF ET Dfd Dfc Af",
    }
    xr.Dataset({"koeppen": (("lat", "lon"), codes, flags)}, axes).to_netcdf(folder / "koeppen.nc")
    tem = xr.Dataset(
        {
            "sand": flat(20.0, "percent"),
            "silt": flat(60.0, "percent"),
            "clay": flat(20.0, "percent"),
            "temveg": flat(7.0, "1"),
            "elevation": flat(600.0, "m"),
        },
        axes,
    )
    tem["temveg"][2, 3] = np.nan
    tem.isel(lat=[2]).to_netcdf(folder / "tem.nc")


def section(**changes: Any) -> dict[str, Any]:
    """The section forcing, with parts replaced."""
    return {
        "climatology": {"file": "climatology.nc"},
        "patterns": {"files": ["patterns.nc"]},
        "warming": {"historical": "historical.nc", "assessed": "gsat.csv", "scenarios": ["ssp126", "ssp585"]},
        "cells": {"permafrost": "permafrost.nc"},
        "land": {"soil": "soil.nc", "koeppen": "koeppen.nc", "tem_static": "tem.nc"},
        "co2": {"file": "co2.csv"},
        **changes,
    }


def project(folder: Path, name: str = "forcing", **changes: Any) -> Path:
    """A project file in the folder; results go to a folder of its name."""
    path = folder / f"{name}.yaml"
    path.write_text(
        json.dumps({"talik": 1, "name": "small-world", "output": name, "forcing": section(**changes)})
    )
    return path
