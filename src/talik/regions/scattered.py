"""Cells given one by one, brought to the latitude-longitude grid whose points they are."""

from __future__ import annotations

import pandas as pd
import xarray as xr

from talik.regions.axes import even_axis

SPARSEST = 10
"""A grid that has more points for each cell stays a list of cells."""


def on_axes(ds: xr.Dataset) -> xr.Dataset:
    """`ds` with axes lat and lon instead of ``cell``, NaN between its cells; unchanged where that is not possible.

    lat, lon : coordinates (cell,), degrees. Cells stay a list where they are not points of an even grid, two have one
    place, or the grid has more than `SPARSEST` points for each.
    """
    lat, lon = (even_axis(ds[name].to_numpy()) for name in ("lat", "lon"))
    if lat is None or lon is None or min(lat.size, lon.size) < 3:  # any two are even
        return ds
    if lat.size * lon.size > SPARSEST * ds.sizes["cell"]:
        return ds
    nearest = [
        axis[axis.get_indexer(pd.Index(ds[axis.name].to_numpy()), method="nearest")]
        for axis in (pd.Index(lat, name="lat"), pd.Index(lon, name="lon"))
    ]
    cells = pd.MultiIndex.from_arrays(nearest)
    if cells.has_duplicates:
        return ds
    attrs = {name: ds[name].attrs for name in ("lat", "lon")}
    placed = ds.drop_vars(attrs).assign_coords(xr.Coordinates.from_pandas_multiindex(cells, "cell"))
    spread = placed.unstack("cell").reindex(lat=lat, lon=lon)
    for name, of in attrs.items():
        spread[name].attrs = of
    return spread
