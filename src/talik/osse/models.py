"""Files of the process models of a world, in the format of TRENDY: one variable a file, on the grid of the models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cftime
import numpy as np
import xarray as xr

from talik.errors import ConfigError
from talik.osse.geography import Land
from talik.osse.netcdf import write_dataset
from talik.tem.output import month_seconds

PROFILE = "TRENDY"
"""Format of the files, as `talik ensemble formats` calls it."""
FLUXES: Mapping[str, str] = {"gpp": "gpp", "npp": "npp", "ra": "ra", "rh": "rh", "nbp": "nep"}
"""Variables of a file, and of the run. No model knows fire or land use, so that NBP is NEP, and there is no fFire."""
STOCKS = ("cVeg", "cSoil")
"""At the end of each year."""
LAND_SHARE = "landFrac"
VARIABLES = (*FLUXES, *STOCKS, LAND_SHARE)
_SINCE, _CALENDAR = "days since 1700-01-01", "365_day"


def file_name(name: str, variable: str) -> str:
    """The published name of a file: MODEL_S3_gpp.nc, MODEL_landFrac.nc. ConfigError: an unknown variable."""
    if variable not in VARIABLES:
        raise ConfigError(
            f"model files have no variable {variable!r}; choose one of: {', '.join(VARIABLES)}."
        )
    return f"{name}_{LAND_SHARE}.nc" if variable == LAND_SHARE else f"{name}_S3_{variable}.nc"


def file_names(name: str) -> list[str]:
    """All files of a model."""
    return [file_name(name, variable) for variable in VARIABLES]


def write_model_variable(out: Path, land: Land, run: xr.Dataset, variable: str, name: str) -> None:
    """One variable of a model, per area of the cell as in TRENDY; the land share of the cells is a file of its own.

    run : months (time, cell) of `talik.tem` on the cells of `land`. Fluxes are monthly, kg C m-2 s-1, NBP down; stocks
    are annual, kg C m-2. A month is as long as in the calendar of the file, 365 days a year, and keeps its mass.
    ConfigError: an unknown variable.
    """
    file_name(name, variable)
    attrs = {"long_name": f"{variable} of {name}", "model": name}
    if variable == LAND_SHARE:
        share = np.nan_to_num(land.on_grid(land.land_share))
        ds = _on_axes(land, {variable: (("lat", "lon"), share.astype(np.float32), {**attrs, "units": "1"})})
        write_dataset(out, ds)
        return
    years = sorted(set(run["time"].dt.year.values.tolist()))
    if variable in FLUXES:
        actual = np.concatenate([month_seconds(year) for year in years])
        days = np.tile(_DAYS, len(years))
        values = run[FLUXES[variable]].to_numpy() * (actual / (86_400.0 * days))[:, None]
        edges = [cftime.datetime(y, m, 1, calendar=_CALENDAR) for y in years for m in range(1, 13)]
        edges.append(cftime.datetime(years[-1] + 1, 1, 1, calendar=_CALENDAR))
        units = "kg m-2 s-1"
    else:
        values, units = run[variable].to_numpy()[11::12], "kg m-2"
        edges = [cftime.datetime(y, 1, 1, calendar=_CALENDAR) for y in (*years, years[-1] + 1)]
    per_cell = land.on_grid(values * land.land_share).astype(np.float32)
    ds = _on_axes(
        land, {variable: (("time", "lat", "lon"), per_cell, {**attrs, "units": units, "species": "C"})}
    )
    numbers = np.asarray(cftime.date2num(edges, _SINCE, calendar=_CALENDAR), np.float64)
    clock = {"standard_name": "time", "units": _SINCE, "calendar": _CALENDAR, "bounds": "time_bnds"}
    ds = ds.assign_coords(time=("time", 0.5 * (numbers[1:] + numbers[:-1]), clock))
    ds["time_bnds"] = (("time", "bnds"), np.column_stack([numbers[:-1], numbers[1:]]))
    write_dataset(out, ds)


_DAYS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], float)


def _on_axes(land: Land, data: Mapping[str, tuple[tuple[str, ...], object, Mapping[str, str]]]) -> xr.Dataset:
    ds = xr.Dataset(data, {"lat": land.grid.y, "lon": land.grid.x}, {"Conventions": "CF-1.12"})
    ds["lat"].attrs = {"standard_name": "latitude", "units": "degrees_north"}
    ds["lon"].attrs = {"standard_name": "longitude", "units": "degrees_east"}
    return ds
