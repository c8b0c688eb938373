"""Files in the published layouts of inversions, each holding one constant flux, with the odd parts of the real ones."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr

from talik.regions import LatLonGrid

C, CO2, CH4, N2O, N2 = 12.011, 44.009, 16.043, 44.013, 28.014
NORTH = LatLonGrid.regular(10.0, lat=(30.0, 90.0))
GLOBE = LatLonGrid.regular(10.0)
YEARS = (1999, 2000, 2001)
NAMES = ["CAMS", "CarboScope", "CTE"]


def months(first: int = YEARS[0], last: int = YEARS[-1], calendar: str = "standard") -> xr.DataArray:
    """Calendar months, stamped on the 15th."""
    n = 12 * (last - first + 1)
    time = xr.date_range(f"{first}-01-01", periods=n, freq="MS", calendar=calendar, use_cftime=True)
    return xr.DataArray([t.replace(day=15) for t in time], dims="time", name="time")


def per_month(time: xr.DataArray, grams_a_year: float) -> np.ndarray:
    """Amount of each month of a constant rate that makes `grams_a_year` in each calendar year, g."""
    return (grams_a_year * time.dt.days_in_month / time.dt.days_in_year).values


def per_second(time: xr.DataArray, grams_a_year: float) -> np.ndarray:
    """The rate itself, g s-1: it is another one in leap years."""
    return (grams_a_year / (time.dt.days_in_year * 86400.0)).values


def turned(ds: xr.Dataset, how: str) -> xr.Dataset:
    """The same field stored in another way."""
    lat, lon = ("latitude", "longitude") if "latitude" in ds.dims else ("lat", "lon")
    if "flip" in how:
        ds = ds.isel({lat: slice(None, None, -1)})
    if "roll" in how:
        ds = ds.assign_coords({lon: ds[lon] % 360.0}).sortby(lon)
    if "latitude" in how:
        ds = ds.rename({lat: "latitude", lon: "longitude"})
    return ds


def saved(ds: xr.Dataset, folder: Path, name: str, how: str = "", encoding: dict | None = None) -> Path:
    path = Path(tempfile.mkdtemp(dir=folder)) / name
    ds = turned(ds, how)
    chunks = {}
    if "chunked" in how:
        chunks = {
            v: {"chunksizes": tuple(min(5, n) for n in ds[v].shape)} for v in ds.data_vars if ds[v].ndim > 2
        }
    ds.to_netcdf(path, encoding={**chunks, **(encoding or {})})
    return path


def field(
    series: np.ndarray,
    grid: LatLonGrid,
    units: str | None,
    sea: float | None = None,
    land: np.ndarray | None = None,
) -> tuple:
    """A constant field in float64, the value `sea` where there is no land."""
    values = np.broadcast_to(series[:, None, None], (series.size, *grid.shape)).copy()
    if sea is not None and land is not None:
        values[:, land <= 0.0] = sea
    return ("time", "lat", "lon"), values, {} if units is None else {"units": units}


def gcb(
    folder: Path, *, grid=NORTH, how="", units="Pg C m-2 yr-1", grams=1.0, calendar="standard", **more
) -> Path:
    """1 g C m-2 a year in every member; the second begins a year late, the last has no data at all."""
    time = months(calendar=calendar)
    n = time.size
    values = np.full((3, n, *grid.shape), grams * 1e-15)
    values[1, :12] = np.nan
    values[2] = np.nan
    if "land" in more:
        values[..., more["land"] <= 0.0] = more["sea"]
    names = np.array([list(f" {name}".ljust(14)) for name in more.get("names", NAMES)], "S1")
    ds = xr.Dataset(
        {
            "land_flux_only_fossil_cement_adjusted": (("ensemble_member", "time", "lat", "lon"), values),
            "prior_flux_land": (("ensemble_member", "time", "lat", "lon"), 2.0 * values),
            "ensemble_member_name": (("ensemble_member", "string14"), names),
        },
        {"time": time, "lat": grid.y, "lon": grid.x},
    )
    for name in ("land_flux_only_fossil_cement_adjusted", "prior_flux_land"):
        if units is not None:
            ds[name].attrs["units"] = units
    return saved(ds, folder, "GCP2023_inversions_1x1_version1.2_20231019.nc", how)


def carbontracker(
    folder: Path, *, europe: bool, grid=NORTH, how="", grams=1.0, calendar="standard", **more
) -> Path:
    """0.75 g C of the biosphere and 0.25 of fire, mol m-2 s-1."""
    time = months(calendar=calendar)
    rate = per_second(time, grams) / C
    bio, fire = (
        ("biosphere_flux_optimized", "fire_flux_imposed") if europe else ("bio_flux_opt", "fire_flux_imp")
    )
    units = more.get("units", "mol m-2 s-1")
    data = {
        bio: field(0.75 * rate, grid, units),
        fire: field(0.25 * rate, grid, units),
        "ocean_flux_optimized" if europe else "ocn_flux_opt": field(9.0 * rate, grid, units),
    }
    ds = xr.Dataset(data, {"time": time, "lat": grid.y, "lon": grid.x})
    if europe:
        ds["biosphere_flux_prior"] = 2.0 * ds[bio]
        ds["biosphere_flux_prior"].attrs = ds[bio].attrs
        ds["cell_area"] = grid.cell_area() * more.get("area", 1.0)
    if "gaps" in more:
        ds[bio] = ds[bio].copy(data=np.where(more["gaps"], -1e34, ds[bio].values)).assign_attrs(ds[bio].attrs)
    return saved(ds, folder, "CTE.nc" if europe else "CT2022.nc", how)


def reccap2(folder: Path, *, grid=NORTH, how="", grams=1.0, calendar="standard", units="kgC/m2/s") -> Path:
    time = months(calendar=calendar)
    kg = 1e-3 * per_second(time, grams)
    data = {"flux_apos_land": field(kg, grid, units), "flux_apos_ocean": field(9 * kg, grid, units)}
    return saved(xr.Dataset(data, {"time": time, "lat": grid.y, "lon": grid.x}), folder, "MACTM.nc", how)


def methane(
    folder: Path,
    *,
    grid=NORTH,
    how="",
    grams=1.0,
    calendar="standard",
    units="g CH4 m-2 month-1",
    stamp="last",
    data="SURF",
    fill=None,
    **more,
) -> Path:
    """1 g C m-2 a year as g CH4 a month, at the last day of the month."""
    time = months(calendar=calendar)
    values = per_month(time, grams * CH4 / C)
    days = time.dt.days_in_month.values
    first = stamp == "first"
    held = [t.replace(day=1 if first else int(d)) for t, d in zip(time.values, days, strict=True)]
    ds = xr.Dataset(
        {
            "fch4_post": field(values, grid, units),
            "fch4_prior": field(2.0 * values, grid, units),
            "wetlands": field(0.5 * values, grid, units),
            "fresh_waters": field(0.125 * values, grid, units),
            "carea": ("lat", grid.row_area_m2 * more.get("area", 1.0)),
        },
        {"time": held, "lat": grid.y, "lon": grid.x},
    )
    if fill is not None:
        ds["fch4_post"].values[0] = fill
    clock = {"units": "hours since 1970-01-01 00:00:00", "calendar": calendar, "dtype": "float64"}
    return saved(ds, folder, f"SYSTEM-4D_totflux_R1{data}.nc", how, {"time": clock})


def nitrous(folder: Path, layout: str, *, grid=NORTH, how="", grams=1.0, calendar="standard", **more) -> Path:
    """`grams` g N m-2 a year in the units of each reader."""
    time = months(calendar=calendar)
    kg = 1e-3 * grams
    series, units = {
        "n2o-tomcat": (np.full(time.size, kg), "kg N m-2 yr-1"),
        "n2o-pyvar": (3600e-3 * per_second(time, grams), "kg N m-2 h-1"),
        "n2o-mactm-r84": (1e-3 * per_month(time, grams * N2O / N2), "kg N2O m-2 month-1"),
        "n2o-miroc4": (1e-3 * per_month(time, grams), "kg N m-2 month-1"),
    }[layout]
    units = more.get("units", units)
    series = series * more.get("wrong", 1.0)
    if layout in ("n2o-tomcat", "n2o-pyvar"):
        data = {"post": field(series, grid, units)}
    elif layout == "n2o-miroc4":
        data = {
            "flux_apos_land": field(series, grid, units),
            "flux_apos_ocean": field(0 * series, grid, units),
        }
    else:
        data = {
            "flux_apos_land": field(0.75 * series, grid, units),
            "flux_apos_ocean": field(0.0 * series, grid, units),
            "flux_apri_fossil": field(0.25 * series, grid, units),
        }
    return saved(xr.Dataset(data, {"time": time, "lat": grid.y, "lon": grid.x}), folder, "N2O.nc", how)


WRITERS: dict[str, Callable[..., Path]] = {
    "gcb": gcb,
    "carbontracker-europe": lambda f, **k: carbontracker(f, europe=True, **k),
    "carbontracker": lambda f, **k: carbontracker(f, europe=False, **k),
    "reccap2-co2": reccap2,
    "methane-budget": methane,
    "methane-wetlands": lambda f, **k: methane(f, **k),
    "n2o-tomcat": lambda f, **k: nitrous(f, "n2o-tomcat", **k),
    "n2o-pyvar": lambda f, **k: nitrous(f, "n2o-pyvar", **k),
    "n2o-mactm-r84": lambda f, **k: nitrous(f, "n2o-mactm-r84", **k),
    "n2o-miroc4": lambda f, **k: nitrous(f, "n2o-miroc4", **k),
}
