"""Flux datasets on disk: CF NetCDF-4, written whole or not at all, read lazily, checked both ways."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import xarray as xr

from talik.errors import InputError
from talik.flux.dataset import CONVENTIONS, validate
from talik.flux.table import FLUXES
from talik.provenance import add_history, code_version, hash_file, history_line

FILL = 1e20  # the field's missing value; exact in float32 only to 1.00000002e20, so it is stored in the data's type


def write_netcdf(
    ds: xr.Dataset,
    path: Path,
    *,
    step: str = "write",
    config_key: str = "",
    inputs: Mapping[str, Path] | None = None,
) -> Path:
    """Write a valid flux dataset to `path`; readers never see half a file.

    Newest line first in ``history``; ``talik_inputs`` holds the hash of every input file (JSON), ``talik_code`` the
    code version. Data are compressed; NaN is written as 1e20.
    """
    validate(ds)
    hashes = {name: hash_file(Path(p)) for name, p in (inputs or {}).items()}
    out = add_history(ds, history_line(step, config_key)).assign_attrs(
        Conventions=CONVENTIONS, talik_code=code_version(), talik_inputs=json.dumps(hashes, sort_keys=True)
    )
    encoding: dict[str, dict[str, object]] = {}
    for name in (*(n for n in out.data_vars if n in FLUXES), "coverage"):
        dtype = out[name].dtype
        encoding[str(name)] = {"zlib": True, "complevel": 4, "_FillValue": dtype.type(FILL), "dtype": dtype}
    if "time_bnds" in out.variables:
        start = out["time"].dt.year.values.min()
        clock = {
            "units": f"days since {start:04d}-01-01",
            "calendar": out["time"].dt.calendar,
            "dtype": "float64",
        }
        encoding["time"] = {**clock, "_FillValue": None}
        encoding["time_bnds"] = {**clock, "_FillValue": None}
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    try:
        out.to_netcdf(part, engine="netcdf4", format="NETCDF4", encoding=encoding)
        Path(part).replace(path)
    finally:
        Path(part).unlink(missing_ok=True)
    return path


def open_flux(path: Path) -> xr.Dataset:
    """The flux dataset in a NetCDF file, lazily, with `FluxError` if it is not one."""
    if not path.exists():
        raise InputError(f"{path}: no such file. Check the name; the current folder is {Path.cwd()}.")
    try:
        ds = xr.open_dataset(path, engine="netcdf4", decode_timedelta=False)
    except (OSError, ValueError) as err:
        raise InputError(f"{path}: not readable as NetCDF ({err}). Was it written completely?") from err
    if "time_bnds" in ds.variables:
        ds = ds.set_coords("time_bnds")
    try:
        validate(ds)
    except Exception:
        ds.close()
        raise
    return ds
