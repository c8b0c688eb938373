"""The climate dataset that every reader hands over: months of cells with their bounds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from talik.errors import InputError
from talik.sources.climate_cells import Array
from talik.sources.climate_months import month_name, month_stamps


def assemble(arrays: Mapping[str, xr.DataArray], places: Array, attrs: Mapping[str, object]) -> xr.Dataset:
    """A climate dataset of arrays (time, cell) whose time counts months from year 0, at places (cell, 2) lat and lon.

    Raises:
        InputError: years that are not whole.
    """
    months = next(iter(arrays.values())).indexes["time"].to_numpy()
    if months[0] % 12 or months[-1] % 12 != 11:
        raise InputError(
            f"{attrs['source']}: months run {month_name(months[0])}..{month_name(months[-1])}; expected whole calendar "
            f"years. Give period=({(months[0] + 11) // 12}, {(months[-1] + 1) // 12 - 1})."
        )
    stamps, ends = month_stamps(months), month_stamps(months + 1)
    out = xr.Dataset({name: a.assign_coords(time=stamps) for name, a in arrays.items()}, attrs=dict(attrs))
    lat = ("cell", places[:, 0], {"standard_name": "latitude", "units": "degrees_north"})
    lon = ("cell", places[:, 1], {"standard_name": "longitude", "units": "degrees_east"})
    out = out.assign_coords(lat=lat, lon=lon, time_bnds=(("time", "bnds"), np.stack([stamps, ends], axis=1)))
    out["time"].attrs.update(standard_name="time", bounds="time_bnds")
    out["time"].encoding.update(units="days since 1850-01-01", calendar="standard")
    return out
