"""A small cold world for runs of the process model: nine points of land, seven years of climate, carbon dioxide."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cftime
import netCDF4
import numpy as np

LAT, LON = np.array([66.25, 66.75, 67.25]), np.array([-150.75, -150.25, -149.75])
TYPES = np.array([[3, 3, 3], [1, 6, 4], [2, 3, 4]])
"""TEM types by (lat, lon): one cell is ice, one is half boreal forest and half wet tundra; 8 cells, 9 columns."""
FIRST, LAST = 2001, 2007
SHORT = {
    "equilibrium": {"years": 50},
    "spin_up": {"years": 2, "climate": [2001, 2002]},
    "soil_heat": {"years": 20},
}
"""Phases that are too short to reach anything."""
FIVE = ("tem-annual.nc", "tem-audit.json", "tem-fluxes.nc", "tem-land.nc", "tem-restart.nc")


def months(calendar: str = "standard", last: int = LAST) -> list[cftime.datetime]:
    """The fifteenth of every month."""
    return [
        cftime.datetime(y, m, 15, calendar=calendar) for y in range(FIRST, last + 1) for m in range(1, 13)
    ]


def fields(steps: int) -> dict[str, np.ndarray]:
    """Climate (step, lat, lon): a cold continental year with some weather, in K, kg m-2 s-1 and W m-2."""
    rng = np.random.default_rng(7)
    summer = -np.cos(2 * np.pi * (np.arange(steps) % 12 - 0.3) / 12)[:, None, None]
    shape = (steps, LAT.size, LON.size)
    north = np.arange(LAT.size)[:, None] * np.ones(LON.size)
    return {
        "tas": 263.15 - north + 19 * summer + rng.normal(0, 1.5, shape),
        "pr": (1.1e-5 + 7e-6 * summer) * rng.uniform(0.6, 1.4, shape),
        "rsds": 115 + 105 * summer + rng.normal(0, 3, shape),
    }


def climate(
    path: Path,
    *,
    dates: Sequence[cftime.datetime] | None = None,
    values: dict[str, np.ndarray] | None = None,
    units: dict[str, str] | None = None,
    lat: np.ndarray = LAT,
    lon: np.ndarray = LON,
) -> Path:
    """A climate file (time, lat, lon)."""
    dates = months() if dates is None else dates
    held = fields(len(dates)) if values is None else values
    named = {"tas": "K", "pr": "kg m-2 s-1", "rsds": "W m-2"} | (units or {})
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", len(dates))
        time = file.createVariable("time", "f8", ("time",))
        time.units, time.calendar = "days since 1990-01-01", dates[0].calendar
        time[:] = cftime.date2num(list(dates), time.units, calendar=time.calendar)
        _axes(file, lat, lon)
        for name, data in held.items():
            variable = file.createVariable(name, "f8", ("time", "lat", "lon"))
            variable.units = named[name]
            variable[:] = data
    return path


def land(
    path: Path,
    *,
    clay: float = 20.0,
    types: np.ndarray = TYPES,
    lat: np.ndarray = LAT,
    lon: np.ndarray = LON,
) -> Path:
    """Soil texture, elevation, area and vegetation (lat, lon)."""
    east = np.arange(LON.size) * np.ones((LAT.size, 1))
    held = {
        "sand": (45.0 + 5 * east, "%"),
        "silt": (35.0 - 5 * east, "%"),
        "clay": (np.full(types.shape, clay), "%"),
        "elevation": (np.full(types.shape, 300.0) + 400 * east, "m"),
        "area": (np.full(types.shape, 1.2e9), "m2"),
        "temveg": (types, "1"),
    }
    with netCDF4.Dataset(path, "w") as file:
        _axes(file, lat, lon)
        for name, (data, units) in held.items():
            variable = file.createVariable("cell_area" if name == "area" else name, "f8", ("lat", "lon"))
            variable.units = units
            variable[:] = data
    return path


def co2(path: Path, last: int = LAST) -> Path:
    """A table of carbon dioxide that rises."""
    rows = [f"{year},{370 + 2.5 * (year - FIRST)}" for year in range(FIRST, last + 1)]
    path.write_text("\n".join(["year,co2_ppm", *rows]) + "\n")
    return path


def files(folder: Path) -> Path:
    """The folder with climate.nc, land.nc and co2.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    climate(folder / "climate.nc")
    land(folder / "land.nc")
    co2(folder / "co2.csv")
    return folder


def project(folder: Path, name: str = "run", *, without: Sequence[str] = (), **tem: Any) -> Path:
    """A project file in the folder with the files; results go to a folder of the project's name."""
    section = {
        "climate": {"files": ["climate.nc"]},
        "co2": {"files": ["co2.csv"]},
        "land": {"files": ["land.nc"]},
        "period": [2001, 2006],
        "block": 3,
        **SHORT,
        **tem,
    }
    kept = {key: value for key, value in section.items() if key not in without}
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps({"talik": 1, "name": "small-world", "output": name, "tem": kept}))
    return path


def _axes(file: netCDF4.Dataset, lat: np.ndarray, lon: np.ndarray) -> None:
    for name, values, units in (("lat", lat, "degrees_north"), ("lon", lon, "degrees_east")):
        file.createDimension(name, values.size)
        axis = file.createVariable(name, "f8", (name,))
        axis.units = units
        axis[:] = values
