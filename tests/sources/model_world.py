"""Files of process models, written exactly to the documented formats, with the odd parts that real ones have."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import cftime
import numpy as np
import xarray as xr

from talik.regions import LatLonGrid

CO2, CH4 = 44.009 / 12.011, 16.043 / 12.011
NORTH = LatLonGrid.regular((5.0, 10.0), lat=(40.0, 90.0))
GLOBE = LatLonGrid.regular((15.0, 20.0))
SECONDS = 86_400.0


def month_days(year: int, calendar: str) -> np.ndarray:
    """(12,) days of the months."""
    return np.array([cftime.datetime(year, m, 1, calendar=calendar).daysinmonth for m in range(1, 13)])


def time_axis(
    first: int,
    last: int,
    *,
    calendar: str = "standard",
    step: str = "month",
    since: str = "days since 1850-01-01",
) -> tuple[np.ndarray, np.ndarray]:
    """Middles and bounds of the months or years, in `since`."""
    stride = 1 if step == "month" else 12
    serials = np.arange(12 * first, 12 * (last + 1) + 1, stride)
    if since.startswith(("months", "years")):
        scale = 1 if since.startswith("months") else 12
        origin = int(since.split()[2].split("-")[0]) * 12
        edges = (serials - origin) / scale
    else:
        dates = [cftime.datetime(int(s) // 12, int(s) % 12 + 1, 1, calendar=calendar) for s in serials]
        edges = np.asarray(cftime.date2num(dates, since, calendar=calendar), float)
    bounds = np.column_stack([edges[:-1], edges[1:]])
    return bounds.mean(axis=1), bounds


def fresh(folder: Path) -> Path:
    """An empty folder: a file that is read lazily cannot be written again."""
    return Path(tempfile.mkdtemp(dir=folder))


def write(
    folder: Path,
    name: str,
    variable: str,
    values: Any,
    *,
    years: tuple[int, int] = (2000, 2001),
    grid: LatLonGrid = NORTH,
    units: str | None = "kg m-2 s-1",
    calendar: str = "standard",
    state_calendar: bool = True,
    step: str = "month",
    since: str = "days since 1850-01-01",
    bounds: bool = False,
    dim: str = "time",
    how: str = "",
    fill: float | None = None,
    declared: bool = True,
    chunk: int | None = None,
    layers: np.ndarray | None = None,
    rows: tuple[np.ndarray, np.ndarray] | None = None,
    stamp: str = "middle",
    **attrs: Any,
) -> Path:
    """A file of one variable in float32.

    values : a number, or (time, [layer,] lat, lon) or what broadcasts to it, on the ascending grid; NaN is written as
    `fill` (1e20), declared or not. how : flip (latitude descends), roll (0..360). rows : centres and edges of uneven
    rows. stamp : middle, start or end of the step.
    """
    middle, edges = time_axis(*years, calendar=calendar, step=step, since=since)
    lat = grid.y if rows is None else rows[0]
    shape = (middle.size, *(() if layers is None else (len(layers) - 1,)), lat.size, grid.x.size)
    held = np.broadcast_to(np.asarray(values, float), shape).astype("f4").copy()
    mark = np.float32(1e20 if fill is None else fill)
    missing = np.isnan(held)
    held[missing] = mark
    dims = (dim, *(() if layers is None else ("depth",)), "lat", "lon")
    said = {k: v for k, v in attrs.items() if v is not None}
    if units is not None:
        said["units"] = units
    at = {"middle": middle, "start": edges[:, 0], "end": edges[:, 1]}[stamp]
    ds = xr.Dataset({variable: (dims, held, said)}, {dim: at, "lat": lat, "lon": grid.x})
    ds[dim].attrs = {"units": since, **({"calendar": calendar} if state_calendar else {})}
    if bounds:
        ds[f"{dim}_bnds"] = ((dim, "bnds"), edges)
        ds[dim].attrs["bounds"] = f"{dim}_bnds"
    if rows is not None:
        ds["lat_bnds"] = (("lat", "bnds"), np.column_stack([rows[1][:-1], rows[1][1:]]))
        ds["lat"].attrs["bounds"] = "lat_bnds"
    if layers is not None:
        ds = ds.assign_coords(
            depth=("depth", 0.5 * (layers[1:] + layers[:-1]), {"units": "m", "bounds": "depth_bnds"})
        )
        ds["depth_bnds"] = (("depth", "bnds"), np.column_stack([layers[:-1], layers[1:]]))
    if "flip" in how:
        ds = ds.isel(lat=slice(None, None, -1))
    if "roll" in how:
        ds = ds.assign_coords(lon=ds["lon"] % 360.0).sortby("lon")
    encoding: dict[str, Any] = {v: {"_FillValue": None} for v in ds.variables}
    if declared:
        encoding[variable] = {"_FillValue": mark}
    if chunk is not None:
        encoding[variable]["chunksizes"] = (chunk, *held.shape[1:])
    path = folder / name
    ds.to_netcdf(path, encoding=encoding)
    return path


def cmip6(
    folder: Path, variable: str, values: Any, *, table: str = "Lmon", model: str = "UKESM1-0-LL", **more: Any
) -> Path:
    """A CMIP6 file; its name says the months."""
    a, b = more.get("years", (2000, 2001))
    run = more.pop("run", "historical_r1i1p1f2_gn")
    name = f"{variable}_{table}_{model}_{run}_{a}01-{b}12.nc"
    more.setdefault("cell_methods", "area: mean where land time: mean")
    return write(folder, name, more.pop("inside", variable), values, **{"bounds": True, **more})


def isimip3a(folder: Path, variable: str, values: Any, *, word: str = "monthly", **more: Any) -> Path:
    """An ISIMIP3a file: latitude descends, stamps count from 1901."""
    a, b = more.get("years", (2000, 2001))
    name = f"jules-vn6p3_gswp3-w5e5_obsclim_histsoc_default_{variable}_global_{word}_{a}_{b}.nc"
    defaults = {"how": "flip", "since": "days since 1901-01-01"}
    return write(folder, name, more.pop("inside", variable), values, **{**defaults, **more})


def isimip3b(folder: Path, variable: str, values: Any, **more: Any) -> Path:
    """An ISIMIP3b file: one word more in the name, stamps from 1601."""
    a, b = more.get("years", (2000, 2001))
    name = f"jsbach_ukesm1-0-ll_w5e5_historical_histsoc_default_{variable}_global_monthly_{a}_{b}.nc"
    defaults = {"how": "flip", "since": "days since 1601-01-01", "calendar": "365_day"}
    return write(folder, name, variable, values, **{**defaults, **more})


def isimip2(folder: Path, variable: str, values: Any, **more: Any) -> Path:
    """An ISIMIP2 file: months since 1661."""
    a, b = more.get("years", (2000, 2001))
    name = f"orchidee_gswp3_nobc_hist_pressoc_co2_{variable}_global_monthly_{a}_{b}.nc4"
    return write(folder, name, variable, values, **{"how": "flip", "since": "months since 1661-1-1", **more})


def trendy(
    folder: Path, variable: str, values: Any, *, model: str = "ORCHIDEE", word: str = "", **more: Any
) -> Path:
    """A TRENDY file; ORCHIDEE's time is called time_counter and counts seconds."""
    defaults = {"dim": "time_counter", "since": "seconds since 1700-01-01", "calendar": "noleap"}
    name = f"{model}_S3_{variable}{word}.nc"
    return write(folder, name, more.pop("inside", variable), values, **{**defaults, **more})


def pcn(folder: Path, variable: str, values: Any, **more: Any) -> Path:
    """A file without a format of its own: g C m-2 month-1."""
    return write(folder, f"CLM4.5_{variable}.nc", variable, values, **{"units": "g C m-2 month-1", **more})


def land_file(
    folder: Path,
    name: str,
    variable: str,
    share: Any,
    *,
    grid: LatLonGrid = NORTH,
    how: str = "",
    **attrs: Any,
) -> Path:
    """A land fraction (or area) file."""
    data = np.broadcast_to(np.asarray(share, "f4"), grid.shape)
    ds = xr.Dataset({variable: (("lat", "lon"), data, attrs)}, {"lat": grid.y, "lon": grid.x})
    if "flip" in how:
        ds = ds.isel(lat=slice(None, None, -1))
    if "roll" in how:
        ds = ds.assign_coords(lon=ds["lon"] % 360.0).sortby("lon")
    path = folder / name
    ds.to_netcdf(path)
    return path
