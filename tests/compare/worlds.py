"""Small gridded models made from numbers, for the tests of the intercomparison."""

from __future__ import annotations

import numpy as np
import xarray as xr

from talik.flux import make_flux_dataset
from talik.regions import LatLonGrid

COARSE = LatLonGrid.regular(5.0, lat=(50, 80))
FINE = LatLonGrid.regular(2.5, lat=(50, 80))


def annual(values, grid=COARSE, first=2001, approach="process", name="nee", source="made", chunks=None):
    """Monthly dataset whose annual sums are `values` (year, rows, columns), or numbers; g m-2 year-1."""
    values = np.asarray(values, float)
    if values.ndim < 2:
        values = np.broadcast_to(np.atleast_1d(values)[:, None, None], (values.size, *grid.shape))
    time = xr.date_range(f"{first}-01-01", periods=12 * len(values), freq="MS")
    days = xr.DataArray(time, dims="time").dt.days_in_year.values
    rate = np.repeat(values, 12, axis=0) / 1000.0 / (days[:, None, None] * 86400.0)
    return monthly(rate, grid, time, approach, name, source, chunks)


def monthly(rate, grid, time, approach="process", name="nee", source="made", chunks=None):
    """Flux dataset of rates (time, rows, columns) in kg m-2 s-1."""
    da = xr.DataArray(rate, dims=("time", *grid.dims), coords={"time": time, **grid.coords()})
    if chunks:
        da = da.chunk(chunks)
    return make_flux_dataset(
        {name: da.assign_attrs(units="kg m-2 s-1")}, approach=approach, source=source, coverage=1.0
    )


def halves(grid):
    """Two regions, west and east of 0, each half a share of its cells: weights that cover land."""
    west = np.broadcast_to(np.where(grid.x < 0, 0.5, 0.0), grid.shape)
    east = np.broadcast_to(np.where(grid.x > 0, 0.5, 0.0), grid.shape)
    return xr.DataArray(
        np.stack([west, east]),
        dims=("region", *grid.dims),
        coords={"region": ["west", "east"], **grid.coords()},
        name="region_weight",
        attrs={"units": "1", "covers": "land"},
    )
