"""NetCDF files that are opened, or said not to be readable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import xarray as xr

from talik.errors import InputError


def open_netcdf(path: Path, cure: str, **options: Any) -> xr.Dataset:
    """A NetCDF-4 file, lazily; `options` are those of `xarray.open_dataset`, `cure` says what to do if it fails.

    Raises:
        InputError: absent, cut off, or of another format.
    """
    try:
        return xr.open_dataset(path, engine="netcdf4", **options)
    except (OSError, ValueError) as err:
        raise InputError(f"{path}: not readable as NetCDF ({err}). {cure}") from err
