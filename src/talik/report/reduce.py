"""A flux dataset of any approach as the few numbers that a page shows: map, months, seasonal cycle and years."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pyproj
import xarray as xr
from numpy.typing import NDArray

from talik.compare.regional import single_models, spatial_statistics
from talik.errors import CoverageError
from talik.flux import flux_var
from talik.products import annual_sums
from talik.products.annual import Years
from talik.products.seasons import MONTHS, seasonal_sums
from talik.regions import grid_of, land_fraction
from talik.regions.axes import conform
from talik.regions.grid import EqualAreaGrid, Grid, LatLonGrid

Array = NDArray[np.float64]
SOUTH = 45.0
"""Where maps end, degrees north."""
PIXEL_M = 50_000.0
"""Edge of a pixel of a map on EPSG:6931."""
_REACH_M = 4_950_000.0
_KM_OF_A_DEGREE = 111_000.0
_STEPS_OF_A_YEAR = 12


def canvas() -> EqualAreaGrid:
    """The pixels of every map: EPSG:6931 from the pole to `SOUTH`, 198 by 198."""
    return EqualAreaGrid.epsg6931(PIXEL_M, x=(-_REACH_M, _REACH_M), y=(-_REACH_M, _REACH_M))


def reduced(
    ds: xr.Dataset,
    variable: str,
    name: str,
    *,
    years: Years | None,
    weights: Callable[[Grid], xr.DataArray],
    least_coverage: float,
) -> xr.Dataset:
    """What a page shows of a flux dataset, all of it to the atmosphere.

    ds : flux dataset (time, rows, columns), also with a dimension model or member. years : first and last; whole years
        within them count, by default all. weights : land of regions on any grid. least_coverage : with data over a
        smaller share of a region's land its numbers are NaN.

    Returns ``annual`` (y, x) g m-2 year-1, mean of years and models; ``month_map`` (month, y, x) g m-2 month-1 and
    ``season`` (model, region, month) g m-2 month-1 where the steps are months or shorter; ``yearly``
    (model, region, year) g m-2 year-1. Maps are on `canvas`: each pixel shows the cell at its centre (of cells that are
    smaller than half a pixel a mean), and none where there is no land.

    CoverageError: no whole year.
    """
    sign = flux_var(variable).to_atmosphere
    grid = grid_of(ds)
    inside = weights(grid)
    labels, yearly, season, annual, months = [], [], [], [], []
    for label, single in single_models(ds, variable, name):
        sums = _whole(annual_sums(single, variable), years)
        if sums is None:
            continue
        labels.append(label)
        yearly.append(sign * spatial_statistics(sums, inside, grid, least_coverage)[0].compute())
        annual.append(sign * on_canvas(sums.mean("year")))
        if _monthly(single):
            cycle = _cycle(single, variable, [int(y) for y in sums["year"].values])
            season.append(sign * spatial_statistics(cycle, inside, grid, least_coverage)[0].compute())
            months.append(sign * np.stack([on_canvas(cycle.isel(month=m)) for m in range(12)]))
    if not labels:
        span = "" if years is None else f" within {years[0]}-{years[1]}"
        raise CoverageError(f"{name}: no whole year of {variable!r}{span}. Choose another period.")
    return _dataset(labels, yearly, season, annual, months)


def on_canvas(field: xr.DataArray) -> Array:
    """(y, x) of `canvas`: the value of the cell at the centre of each pixel, NaN beyond the grid and on the sea."""
    field = _blocks(field)
    grid = grid_of(field)
    values = np.asarray(conform(field, grid).to_numpy(), np.float64)
    lat, lon, x, y = _centres()
    if isinstance(grid, LatLonGrid):
        rows, columns = lat, grid.x_edges[0] + (lon - grid.x_edges[0]) % 360.0
    else:
        rows, columns = y, x
    j, i = (
        np.searchsorted(edges, at, side="right") - 1
        for edges, at in ((np.asarray(grid.y_edges), rows), (np.asarray(grid.x_edges), columns))
    )
    seen = (j >= 0) & (j < grid.shape[0]) & (i >= 0) & (i < grid.shape[1]) & _land()
    found = np.full(lat.shape, np.nan)
    found[seen] = values[j[seen], i[seen]]
    return found


def mean_of(paths: Sequence[xr.Dataset], variable: str) -> Array | None:
    """Mean of maps over datasets, each with equal weight, by pixel over those that have a value; None without any."""
    held = [ds[variable].to_numpy().astype(np.float64) for ds in paths if variable in ds]
    if not held:
        return None
    stack = np.stack(held)
    count = np.isfinite(stack).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(count > 0, np.nansum(stack, axis=0) / count, np.nan), np.float64)


def _whole(sums: xr.DataArray, years: Years | None) -> xr.DataArray | None:
    """The whole years with any data; None without one."""
    held = [
        int(y)
        for y, ok in zip(sums["year"].values, sums["complete"].values, strict=True)
        if ok and (years is None or years[0] <= y <= years[1])
    ]
    chosen = sums.sel(year=held).drop_vars("complete").load()
    some = chosen.notnull().any([d for d in chosen.dims if d != "year"]).to_numpy()
    chosen = chosen.isel(year=np.flatnonzero(some))
    return chosen.assign_attrs(sums.attrs) if chosen.sizes["year"] else None


def _monthly(ds: xr.Dataset) -> bool:
    counts = np.unique(ds["time"].dt.year.to_numpy(), return_counts=True)[1]
    return bool(counts.max() >= _STEPS_OF_A_YEAR)


def _cycle(ds: xr.Dataset, variable: str, years: list[int]) -> xr.DataArray:
    """(month, rows, columns) g m-2 month-1, mean of years."""
    parts = [seasonal_sums(ds, variable, month, years=years) for month in MONTHS]
    means = [
        part.drop_vars("complete").mean("year").assign_coords(month=m + 1) for m, part in enumerate(parts)
    ]
    return xr.concat(means, dim="month").assign_attrs(parts[0].attrs).load()


def _blocks(field: xr.DataArray) -> xr.DataArray:
    """Means of blocks of cells where cells are smaller than half a pixel."""
    grid = grid_of(field)
    edge = (
        grid.cell_m if isinstance(grid, EqualAreaGrid) else float(np.diff(grid.y_edges)[0]) * _KM_OF_A_DEGREE
    )
    n = int(PIXEL_M // edge)
    if n < 2:
        return field
    dims = [str(d) for d in field.dims]
    mean: xr.DataArray = (
        field.drop_vars([c for c in field.coords if c not in dims])
        .coarsen(dict.fromkeys(dims, n), boundary="trim")
        .mean()
    )
    return mean.assign_attrs(field.attrs)


@cache
def _centres() -> tuple[Array, Array, Array, Array]:
    """lat, lon (degrees), x, y (m) of the pixels."""
    grid = canvas()
    x, y = np.meshgrid(np.asarray(grid.x), np.asarray(grid.y))
    lon, lat = pyproj.Transformer.from_crs("EPSG:6931", "EPSG:4326", always_xy=True).transform(x, y)
    return np.asarray(lat), np.asarray(lon), x, y


@cache
def _land() -> NDArray[np.bool_]:
    grid = canvas()
    lat = _centres()[0]
    return np.asarray(conform(land_fraction(grid), grid).to_numpy() > 0.0) & (lat >= SOUTH)


def _dataset(labels: list[str], yearly: Any, season: Any, annual: Any, months: Any) -> xr.Dataset:
    grid = canvas()
    dims = grid.dims
    of_models = xr.concat(
        [one.transpose("region", "year") for one in yearly], dim="model", join="outer", coords="minimal",
        compat="override",
    )  # fmt: skip
    out = xr.Dataset(
        {
            "annual": (dims, np.float32(_nanmean(np.stack(annual)))),
            "yearly": _plain(of_models).assign_attrs(units="g m-2 year-1"),
        },
        coords={"model": labels, **grid.coords()},
    )
    out["annual"].attrs = {"units": "g m-2 year-1"}
    if len(season) == len(labels):
        joined = xr.concat([one.transpose("region", "month") for one in season], dim="model", coords="minimal",
                           compat="override")  # fmt: skip
        out["season"] = _plain(joined).assign_attrs(units="g m-2 month-1")
        out["month_map"] = (("month", *dims), np.float32(_nanmean(np.stack(months))))
        out["month_map"].attrs = {"units": "g m-2 month-1"}
    return out


def _plain(table: xr.DataArray) -> xr.DataArray:
    return table.drop_vars([c for c in table.coords if c not in table.dims])


def _nanmean(stack: Array) -> Array:
    count = np.isfinite(stack).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(count > 0, np.nansum(stack, axis=0) / count, np.nan))


def recorded_inputs(ds: xr.Dataset) -> dict[str, str]:
    """Hash of each file that a dataset says it was made from."""
    told = json.loads(ds.attrs.get("talik_inputs", "{}"))
    return {str(name): str(value) for name, value in told.items()}
