"""NetCDF files of a world: the same content gives the same bytes, and no file says when it was made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from talik.files import whole_file


def write_dataset(out: Path, ds: xr.Dataset, *, since: str | None = None, calendar: str = "standard") -> None:
    """Write a dataset, compressed, floating-point variables with NaN as 1e20; whole or not at all.

    since : reference date of `time` if it holds dates, such as ``days since 1700-01-01``; `calendar` goes with it.
    """
    encoding: dict[str, dict[str, object]] = {}
    for name, variable in ds.variables.items():
        if name in ds.data_vars and variable.dtype.kind == "f" and variable.ndim > 1:
            fill = variable.dtype.type(1e20)
            encoding[str(name)] = {"zlib": True, "complevel": 4, "_FillValue": fill}
        elif variable.dtype.kind == "f":
            encoding[str(name)] = {"_FillValue": None}
    if since is not None:
        clock: dict[str, object] = {
            "units": since,
            "calendar": calendar,
            "dtype": "float64",
            "_FillValue": None,
        }
        encoding |= {name: clock for name in ("time", "time_bnds") if name in ds.variables}
    with whole_file(out) as part:
        ds.to_netcdf(part, engine="netcdf4", format="NETCDF4", encoding=encoding)


def month_edges(time: xr.DataArray) -> np.ndarray[tuple[int, int], np.dtype[np.datetime64]]:
    """(time, 2) first day of each calendar month and of the next, for stamps anywhere in the month."""
    first = time.to_numpy().astype("datetime64[M]")
    return np.stack([first, first + 1], axis=1).astype("datetime64[ns]")
