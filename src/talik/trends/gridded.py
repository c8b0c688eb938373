"""Trends of gridded files: opened in blocks, written block by block."""

from __future__ import annotations

import math
import shutil
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from talik.errors import InputError
from talik.flux.dataset import CONVENTIONS
from talik.trends.field import ALPHA, aligned, area_sums, discovery_threshold, shares_of
from talik.trends.labelled import trend
from talik.trends.table import ROW

BLOCK_VALUES = 4_000_000
"""Values (years times cells) of a block: 32 MB as float64, and about twice that while it is worked on."""
MOST_ROWS = 10_000
"""Series that are still listed one by one."""
_AREA = ("cell_area", "area", "areacella")


def is_grid(path: Path) -> bool:
    """Whether a path is a Zarr store or a NetCDF file (by content), rather than a table."""
    if path.is_dir():
        return True
    with path.open("rb") as file:
        start = file.read(8)
    return start[:3] == b"CDF" or start == b"\x89HDF\r\n\x1a\n"


def open_variable(path: Path, name: str | None, dim: str) -> tuple[xr.Dataset, xr.DataArray]:
    """The file, and one of its variables in blocks of all years and `BLOCK_VALUES` values at most; nothing is read yet.

    `name` may be left out if one variable has `dim`. InputError: not readable, no such variable or dimension.
    """
    ds = _open(path)
    try:
        da = _chosen(ds, path, name, dim)
        chunks = _blocks(da, dim)
    except BaseException:
        ds.close()
        raise
    return ds, da.chunk(chunks)


def grid_trends(da: xr.DataArray, dim: str, alpha_fdr: float, **settings: Any) -> xr.Dataset:
    """`trend` of a variable, lazily, with the history and Conventions of a CF file."""
    ds = trend(da, dim=dim, **settings)
    return ds.assign_attrs(Conventions=CONVENTIONS, variable=str(da.name), alpha_fdr=alpha_fdr)


def rows(ds: xr.Dataset) -> list[dict[str, Any]]:
    """One row (keys `ROW`) for each series; id is made of its coordinate values. InputError if they are too many."""
    found = ds["slope"]
    if found.size > MOST_ROWS:
        raise InputError(
            f"{found.size} series are too many for --json (at most {MOST_ROWS}). Write a grid: --out FILE.nc."
        )
    ds = ds.compute()
    columns = {key: ds[key].values.reshape(-1) for key in ROW if key in ds}
    out = []
    for k, index in enumerate(np.ndindex(*found.shape)):
        row: dict[str, Any] = {"id": _identity(ds, index), "n": int(ds.attrs["series_length"])}
        for key in ROW[2:]:
            row[key] = _plain(key, columns[key][k])
        out.append(row)
    return out


def summary(ds: xr.Dataset, source: xr.Dataset, alpha_fdr: float) -> dict[str, Any]:
    """Shares of area with significant trends, raw and by false discovery rate, and how the area was known."""
    area, how = _area(ds["slope"], source)
    threshold = discovery_threshold(ds["p"].values, alpha_fdr)
    sums = np.zeros(6)
    for part in _slabs(ds["slope"]):
        weight = area
        if isinstance(area, xr.DataArray):
            weight = area.isel({d: s for d, s in part.items() if d in area.dims})
        s, p, a = aligned(ds["slope"].isel(part), ds["p"].isel(part), weight)
        sums += area_sums(s, p, a, ALPHA, threshold)
    return {**shares_of(sums, ALPHA, alpha_fdr), "area": how, "n_series": int(ds["slope"].size)}


def _slabs(da: xr.DataArray) -> list[dict[Hashable, slice]]:
    """Slices along the first dimension that hold about `BLOCK_VALUES` / 4 cells each."""
    if not da.ndim:
        return [{}]
    first = da.dims[0]
    rows = max(1, BLOCK_VALUES // 4 // max(1, da.size // max(1, da.sizes[first])))
    return [{first: slice(k, k + rows)} for k in range(0, da.sizes[first], rows)]


def write_grid(ds: xr.Dataset, path: Path, alpha_fdr: float) -> xr.Dataset:
    """Write trends as NetCDF (CF) or a Zarr store by the ending of `path`, whole or not at all; returns it reopened.

    The trends are computed and written block by block: memory is a few blocks, whatever the size of the grid. A second
    pass over the p-values alone adds `significant_fdr`.
    """
    ending = path.suffix.lower()
    if ending not in (".nc", ".nc4", ".zarr"):
        raise InputError(f"{path}: trends of a grid are written as .nc (NetCDF) or .zarr. Change the ending.")
    if ending == ".zarr":
        _write_zarr(ds, path, alpha_fdr)
        zarr: xr.Dataset = xr.open_zarr(path, consolidated=False)
        return zarr
    from talik.files import whole_file

    with whole_file(path) as part:
        write_part(ds, part, alpha_fdr)
    return xr.open_dataset(path, engine="netcdf4")


def write_part(ds: xr.Dataset, part: Path, alpha_fdr: float) -> None:
    """Write trends as NetCDF to a file that is not there yet, whatever its name."""
    with _small_chunk_cache():
        ds.to_netcdf(part, engine="netcdf4", encoding=_encoding(ds))
        with xr.open_dataset(part, engine="netcdf4") as back:
            flags = _holds(back, alpha_fdr)
        flags.to_netcdf(part, mode="a", engine="netcdf4", encoding=_encoding(flags))


@contextmanager
def _small_chunk_cache() -> Iterator[None]:
    """The netCDF library keeps up to 64 MB for each variable of a file; blocks are whole chunks and need none of it."""
    import netCDF4

    before = netCDF4.get_chunk_cache()
    netCDF4.set_chunk_cache(4 * 2**20, before[1], before[2])
    try:
        yield
    finally:
        netCDF4.set_chunk_cache(*before)


def _open(path: Path) -> xr.Dataset:
    try:
        if path.is_dir():
            zarr: xr.Dataset = xr.open_zarr(path, chunks=None, consolidated=False)
            return zarr
        return xr.open_dataset(path, engine="netcdf4", decode_timedelta=False)
    except (OSError, ValueError, KeyError) as err:
        kind = "a Zarr store" if path.is_dir() else "NetCDF"
        raise InputError(
            f"{path}: not readable as {kind} ({_first_line(err)}). Was it written completely?"
        ) from err


def _chosen(ds: xr.Dataset, path: Path, name: str | None, dim: str) -> xr.DataArray:
    bounds = {v.attrs.get("bounds") for v in ds.variables.values()}
    fit = [
        str(n) for n, v in ds.data_vars.items() if dim in v.dims and v.dtype.kind in "fiu" and n not in bounds
    ]
    if name is not None:
        if name not in ds.variables:
            known = ", ".join(fit) or "none with a trend"
            raise InputError(f"{path}: no variable {name!r}; found {known}. Choose one with --var.")
        da = ds[name]
        if dim not in da.dims:
            raise InputError(
                f"{path}: {name} has dimensions {', '.join(map(str, da.dims)) or 'none'}; expected one named {dim!r}. "
                "Name the time dimension with --dim."
            )
        return da
    if not fit:
        raise InputError(
            f"{path}: no variable has a dimension {dim!r}; found dimensions {', '.join(map(str, ds.dims)) or 'none'}. "
            "Name the time dimension with --dim."
        )
    if len(fit) > 1:
        raise InputError(
            f"{path}: {len(fit)} variables have {dim!r}: {', '.join(fit)}. Choose one with --var."
        )
    return ds[fit[0]]


def _blocks(da: xr.DataArray, dim: str) -> dict[Hashable, int]:
    """Block lengths: all of `dim`, and as much of the last dimensions as fits; multiples of the stored chunks."""
    room = max(1, BLOCK_VALUES // max(1, da.sizes[dim]))
    stored = dict(
        zip(da.dims, da.encoding.get("chunksizes") or da.encoding.get("chunks") or (), strict=False)
    )
    out: dict[Hashable, int] = {dim: -1}
    for d in reversed([d for d in da.dims if d != dim]):
        length = max(1, min(da.sizes[d], room))
        unit = stored.get(d) or 1
        if unit < length < da.sizes[d]:
            length -= length % unit
        out[d] = length
        room = max(1, room // length)
    return out


def _area(slope: xr.DataArray, source: xr.Dataset) -> tuple[xr.DataArray | float, str]:
    for name in _AREA:
        if name in source.variables and set(source[name].dims) <= set(slope.dims) and source[name].ndim:
            return source[name].drop_vars([c for c in source[name].coords if c not in slope.coords]), name
    for name in ("lat", "latitude"):
        if name in slope.dims and name in slope.coords:
            cosine: xr.DataArray = xr.apply_ufunc(np.cos, np.deg2rad(slope[name]))
            return cosine.clip(min=0.0), f"cosine of {name}"
    return 1.0, "cells alike"


def _holds(ds: xr.Dataset, alpha_fdr: float) -> xr.Dataset:
    """Which p-values of a written file hold at this false discovery rate."""
    p = ds["p"].load()
    flags = {"flag_values": np.array([0, 1], np.int8), "flag_meanings": "not_significant significant"}
    about = f"trend is significant at a false discovery rate of {alpha_fdr:g} (Benjamini-Hochberg)"
    found = (p.variable <= discovery_threshold(p.values, alpha_fdr)).astype(np.int8)
    found.attrs = {"long_name": about, "units": "1", **flags}
    return xr.Dataset({"significant_fdr": found})


def _encoding(ds: xr.Dataset) -> dict[Hashable, dict[str, Any]]:
    out: dict[Hashable, dict[str, Any]] = {}
    for name, var in ds.variables.items():
        if var.dtype.kind == "f":
            out[name] = {"_FillValue": np.nan if name in ds.data_vars else None}
        if name in ds.data_vars and var.ndim:
            out.setdefault(name, {}).update(zlib=True, complevel=1, shuffle=True)
            if var.chunks is not None:
                out[name]["chunksizes"] = tuple(min(c[0], 512) for c in var.chunks)
    return out


def _write_zarr(ds: xr.Dataset, path: Path, alpha_fdr: float) -> None:
    if path.exists() and not any((path / name).exists() for name in ("zarr.json", ".zgroup")):
        raise InputError(f"{path} exists and is no Zarr store. Remove it, or choose another name.")
    part = path.with_name(f".{path.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        for var in ds.variables.values():
            var.encoding.clear()
        ds.to_zarr(part, mode="w", consolidated=False)
        with xr.open_zarr(part, consolidated=False) as back:
            _holds(back, alpha_fdr).to_zarr(part, mode="a", consolidated=False)
        if path.exists():
            shutil.rmtree(path)
        part.replace(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _identity(ds: xr.Dataset, index: tuple[int, ...]) -> str:
    parts = []
    for d, i in zip(ds["slope"].dims, index, strict=True):
        parts.append(str(ds[d].values[i]) if d in ds.coords else str(i))
    return ",".join(parts) or str(ds.attrs.get("variable", ""))


def _plain(key: str, value: Any) -> Any:
    if key == "converged":
        return None if value < 0 else bool(value)
    if math.isnan(value):
        return None
    return int(value) if key in ("nruns", "n_valid") else float(value)


def _first_line(err: Exception) -> str:
    return (str(err).splitlines() or [type(err).__name__])[0]
