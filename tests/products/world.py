"""Worlds whose budgets are known: f(time, cell) is given, areas are those of the grid, sums are redone in NumPy."""

from __future__ import annotations

import numpy as np
import xarray as xr

from talik.flux import make_flux_dataset
from talik.regions import LatLonGrid

GRID = LatLonGrid.regular(5.0, lat=(50, 90))
UNITS = {"units": "kg m-2 s-1"}
DAYS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


def months(first: str, n: int, calendar: str = "standard") -> xr.DataArray:
    """n monthly stamps at the start of months."""
    index = xr.date_range(first, periods=n, freq="MS", calendar=calendar, use_cftime=calendar != "standard")
    return xr.DataArray(index, dims="time", coords={"time": index})


def field(values: np.ndarray, time: xr.DataArray, grid=GRID) -> xr.DataArray:
    """(time, rows, columns) values in kg m-2 s-1 on the grid; a (time,) array is the same in each cell."""
    values = np.asarray(values, float)
    if values.ndim == 1:
        values = np.broadcast_to(values[:, None, None], (values.size, *grid.shape)).copy()
    coords = {"time": time.values, **grid.coords()}
    return xr.DataArray(values, dims=("time", *grid.dims), coords=coords, attrs=UNITS)


def dataset(time: xr.DataArray, grid=GRID, **fluxes: np.ndarray) -> xr.Dataset:
    """A flux dataset of these fluxes."""
    made = {name: field(v, time, grid) for name, v in fluxes.items()}
    return make_flux_dataset(made, approach="upscaling", source="a world of known numbers", coverage=1.0)


def halves(grid=GRID) -> xr.DataArray:
    """Two regions, west and east, whole cells, sea and all; their true area is that on the grid."""
    west = grid.wrap(np.broadcast_to(grid.x[None, :] < 0, grid.shape).astype(float))
    both = xr.concat([west, 1 - west], dim="region").assign_coords(region=["west", "east"])
    return both.rename("region_weight").assign_attrs(units="1", covers="land")


def noisy(time: xr.DataArray, seed: int = 1, grid=GRID) -> np.ndarray:
    """(time, rows, columns) without any structure, kg m-2 s-1, of the size of real fluxes."""
    return np.random.default_rng(seed).normal(size=(time.size, *grid.shape)) * 1e-9


def seconds(years: range, leap: bool = True) -> np.ndarray:
    """(years, 12) length of the months, s."""
    out = np.tile(DAYS * 86400.0, (len(years), 1))
    for k, y in enumerate(years):
        if leap and (y % 4 == 0 and (y % 100 != 0 or y % 400 == 0)):
            out[k, 1] += 86400.0
    return out
