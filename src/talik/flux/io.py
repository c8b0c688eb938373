"""Flux datasets on disk: CF NetCDF-4, written whole or not at all, and Zarr stores; read lazily, checked both ways."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path

import xarray as xr

from talik.errors import FluxError, InputError
from talik.files import whole_file
from talik.flux.dataset import CONVENTIONS, validate
from talik.netcdf import open_netcdf
from talik.provenance import stamp

COMPLETE = "talik_complete"
"""Attribute of a store: \"false\" until every part of it is written."""
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
    """The flux dataset in a NetCDF file or Zarr store, read when used (close it, or use ``with``).

    InputError if it is missing, unreadable, or a store that is not complete; FluxError with every problem if it is no
    flux dataset. Only coordinates and ``coverage`` are read for the check.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file. Check the name; the current folder is {Path.cwd()}.")
    ds = open_store(path) if path.is_dir() else _open_netcdf(path)
    try:
        validate(ds)
    except FluxError as err:
        ds.close()
        raise FluxError(f"{path}: {err}") from err
    return ds


def open_store(path: Path, *, partial_too: bool = False) -> xr.Dataset:
    """The dataset in a Zarr v3 store, lazily (Dask, in the chunks of the store).

    InputError: no store, or one that says it is not complete (unless `partial_too`).
    """
    if not (path / "zarr.json").is_file():
        raise InputError(f"{path}: no Zarr v3 store there (no zarr.json).")
    ds: xr.Dataset = xr.open_zarr(path, consolidated=False, decode_timedelta=False)
    if ds.attrs.get(COMPLETE, "true") != "true" and not partial_too:
        raise InputError(
            f"{path}: is not complete. Run the command that writes it again; it goes on where it stopped."
        )
    ds = _with_bounds(ds)
    return ds.set_coords([n for n in ("crs", "cell_area") if n in ds.data_vars])


def sums_path(store: Path) -> Path:
    """The file of regional sums beside a store."""
    return store.with_name(f"{store.stem}.budgets.nc")


def _open_netcdf(path: Path) -> xr.Dataset:
    return _with_bounds(open_netcdf(path, "Was it written completely?", decode_timedelta=False))


def _with_bounds(ds: xr.Dataset) -> xr.Dataset:
    return ds.set_coords(
        [v.attrs["bounds"] for v in ds.coords.values() if v.attrs.get("bounds") in ds.data_vars]
    )


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
