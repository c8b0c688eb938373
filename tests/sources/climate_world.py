"""Small climate files with the odd parts of real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cftime
import netCDF4
import numpy as np

LAT, LON = np.array([65.25, 65.75, 66.25]), np.array([-1.25, -0.75, -0.25, 0.25])


def months(first: int, last: int, calendar: str = "standard") -> list[cftime.datetime]:
    """The fifteenth of every month of some years."""
    return [
        cftime.datetime(y, m, 15, calendar=calendar) for y in range(first, last + 1) for m in range(1, 13)
    ]


def days(first: int, last: int, calendar: str = "standard") -> list[cftime.datetime]:
    """Noon of every day of some years, counted one by one in the calendar."""
    out = []
    for year in range(first, last + 1):
        for month in range(1, 13):
            length = cftime.datetime(year, month, 1, calendar=calendar).daysinmonth
            out += [cftime.datetime(year, month, d, 12, calendar=calendar) for d in range(1, length + 1)]
    return out


def field(name: str, steps: int, seed: int = 0, lat: Any = LAT, lon: Any = LON) -> np.ndarray:
    """Plausible values (step, lat, lon) of a variable in K, kg m-2 s-1, W m-2 or %."""
    low, high = {"tas": (250, 285), "pr": (2e-6, 4e-5), "rsds": (5, 250), "clt": (30, 90)}[name]
    rng = np.random.default_rng([seed, len(name), ord(name[0])])
    return rng.uniform(low, high, (steps, len(lat), len(lon)))


UNITS = {"tas": "K", "pr": "kg m-2 s-1", "rsds": "W m-2", "clt": "%"}


def write(
    path: Path,
    dates: Sequence[cftime.datetime],
    fields: Mapping[str, np.ndarray],
    *,
    units: Mapping[str, str | None] = UNITS,
    lat: Any = LAT,
    lon: Any = LON,
    dtype: str = "f8",
    attrs: Mapping[str, Any] | None = None,
    bounds: Sequence[tuple[cftime.datetime, cftime.datetime]] | None = None,
    since: str = "days since 1850-01-01",
    fill: float | None = None,
) -> Path:
    """A NetCDF file of fields (time, lat, lon)."""
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", len(dates))
        time = file.createVariable("time", "f8", ("time",))
        time.units, time.calendar = since, dates[0].calendar
        time[:] = cftime.date2num(dates, since, calendar=dates[0].calendar)
        if bounds is not None:
            file.createDimension("bnds", 2)
            time.bounds = "time_bnds"
            file.createVariable("time_bnds", "f8", ("time", "bnds"))[:] = [
                [cftime.date2num(d, since, calendar=d.calendar) for d in pair] for pair in bounds
            ]
        for name, values, unit in (("lat", lat, "degrees_north"), ("lon", lon, "degrees_east")):
            file.createDimension(name, len(values))
            axis = file.createVariable(name, "f8", (name,))
            axis.units = unit
            axis[:] = values
        for name, values in fields.items():
            data = file.createVariable(name, dtype, ("time", "lat", "lon"), fill_value=fill, chunksizes=None)
            if units.get(name) is not None:
                data.units = units[name]
            data.setncatts(dict(attrs or {}))
            data[:] = values
    return path


def monthly_file(path: Path, first: int = 2000, last: int = 2001, **options: Any) -> Path:
    """A monthly file with tas, pr and rsds."""
    calendar = options.pop("calendar", "standard")
    names = options.pop("names", ("tas", "pr", "rsds"))
    dates = months(first, last, calendar)
    grid = {k: options[k] for k in ("lat", "lon") if k in options}
    return write(path, dates, {n: field(n, len(dates), **grid) for n in names}, **options)
