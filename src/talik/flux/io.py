"""Flux datasets on disk: CF NetCDF-4, written whole or not at all, read lazily, checked both ways."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path

import xarray as xr

from talik.errors import FluxError, InputError
from talik.files import whole_file
from talik.flux.dataset import CONVENTIONS, validate
from talik.provenance import stamp

FILL = 1e20  # stored in the type of the data: in float32 it prints as 1.00000002e20


def write_netcdf(
    ds: xr.Dataset,
    path: str | Path,
    *,
    step: str = "write",
    config_key: str = "",
    inputs: Mapping[str, Path] | None = None,
) -> Path:
    """Write a valid flux dataset to `path` and return it; readers never see half a file.

    The output says where it came from (`talik.provenance.stamp`): ``history``, newest line first, ``talik_inputs``,
    ``talik_code``. Data are compressed, NaN is written as 1e20. The same content, code and SOURCE_DATE_EPOCH give the
    same bytes.
    """
    validate(ds)
    path = Path(path)
    out = stamp(ds, step, config_key, inputs).assign_attrs(Conventions=CONVENTIONS)
    with whole_file(path) as part:
        out.to_netcdf(part, engine="netcdf4", format="NETCDF4", encoding=_encoding(out))
    return path


def open_flux(path: str | Path) -> xr.Dataset:
    """The flux dataset in a NetCDF file, read when used (close it, or use ``with``).

    InputError if the file is missing or unreadable, FluxError with every problem if it is no flux dataset. Only
    coordinates and ``coverage`` are read for the check.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file. Check the name; the current folder is {Path.cwd()}.")
    try:
        ds = xr.open_dataset(path, engine="netcdf4", decode_timedelta=False)
    except (OSError, ValueError) as err:
        raise InputError(f"{path}: not readable as NetCDF ({err}). Was it written completely?") from err
    ds = ds.set_coords(
        [v.attrs["bounds"] for v in ds.coords.values() if v.attrs.get("bounds") in ds.data_vars]
    )
    try:
        validate(ds)
    except FluxError as err:
        ds.close()
        raise FluxError(f"{path}: {err}") from err
    return ds


def _encoding(ds: xr.Dataset) -> dict[Hashable, dict[str, object]]:
    """How each variable is stored; replaces whatever encoding a source file left on it."""
    encoding: dict[Hashable, dict[str, object]] = {
        name: {"_FillValue": None} for name, var in ds.variables.items() if var.dtype.kind == "f"
    }
    for name in ds.data_vars:
        dtype = ds[name].dtype
        if dtype.kind == "f":
            encoding[name] = {"zlib": True, "complevel": 4, "_FillValue": dtype.type(FILL), "dtype": dtype}
    if "time" in ds.indexes:
        time = ds["time"].dt
        first = f"{int(time.year.min()):04d}-01-01"
        clock = {"units": f"{_clock_step(ds)} since {first}", "calendar": time.calendar, "dtype": "float64"}
        for name in ("time", ds["time"].attrs["bounds"]):
            encoding[name] = {**clock, "_FillValue": None}
    return encoding


def _clock_step(ds: xr.Dataset) -> str:
    """'days' where stamps and bounds are whole eighths of a day, which a double holds exactly; else 'seconds'."""
    for name in ("time", ds["time"].attrs["bounds"]):
        clock = ds[name].dt
        if bool(((clock.hour % 3 != 0) | (clock.minute != 0) | (clock.second != 0)).any()):
            return "seconds"
    return "days"
