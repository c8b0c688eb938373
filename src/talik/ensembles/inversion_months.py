"""Monthly totals of inversions over regions, each with the mask on the system's own grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import xarray as xr

from talik.errors import FluxError
from talik.flux.convert import recast
from talik.flux.table import flux_var
from talik.flux.units import period_seconds
from talik.products.steps import steps_of
from talik.regions.axes import conform, grid_of
from talik.regions.named import land_weights
from talik.regions.totals import regional_total

Regions = xr.DataArray | str | Sequence[str]
"""Names of regions (`talik.regions.named.FORMS`), or weights (region, rows, columns) on any grid."""
MIN_COVERAGE = 0.9
"""Least share of a region's land with data. Chosen here: coarse systems have coasts of their own."""
COLUMNS = ("member", "region", "year", "month", "total", "coverage")
_TG = 1e-9


def monthly_totals(
    ds: xr.Dataset, variable: str, regions: Regions, *, name: str = "", min_coverage: float = MIN_COVERAGE
) -> pd.DataFrame:
    """One value a month and region of a system, or of each of its members: Tg month-1 of the element of the table.

    ds : monthly flux dataset with `land_fraction` on its cells, as `talik.sources.inversions.read_inversion` gives, on
        (time, lat, lon), with or without `member`. The regions are brought to its grid as shares of its cells; the
        flux stays where it is. Only land counts: the sea is no part of a region, and the flux of a shore cell is that
        of its land.
    name : of a system without members.

    Columns `member`, `region`, `year`, `month`, `total` (sign of the table: up for nbe, fch4 and fn2o) and `coverage`,
    the share of the region's land with data. A month of a member with less than `min_coverage` has no row: it is
    missing, not 0. Computes once.

    Source: Hugelius et al. (2024, Global Biogeochemical Cycles 38, e2023GB007969), protocol of inversions.
    FluxError: no such variable, no `land_fraction`, or steps that are not calendar months. GridError, ConfigError:
    regions that cannot be had.
    """
    if variable not in ds.data_vars or "land_fraction" not in ds.variables:
        raise FluxError(
            f"{name or 'inversion'}: expected {variable!r} and 'land_fraction'; found "
            f"{', '.join(map(str, ds.data_vars))}. Read it with talik.sources.inversions.read_inversion."
        )
    grid = grid_of(ds)
    land = conform(ds["land_fraction"], grid).fillna(0.0)
    flux = per_cell(conform(ds[variable], grid), variable, land)
    found = regional_total(
        flux,
        land_weights(regions, grid, land),
        grid=grid,
        land_fraction=land,
        min_coverage=min_coverage,
        on_hole="nan",
    ).compute()
    other = [str(d) for d in found[variable].dims if d not in ("member", "time", "region")]
    if other:
        raise FluxError(f"{variable!r} has dimension {other[0]}; select or average it first.")
    steps = steps_of(ds)
    seconds = (steps.end - steps.start).astype(np.float64)
    bounds = ds[str(ds["time"].attrs["bounds"])].transpose("time", ...)
    starts = xr.DataArray(bounds.values[:, 0], dims="time", name="time")
    keys = list(zip(starts.dt.year.values.tolist(), starts.dt.month.values.tolist(), strict=True))
    whole = period_seconds(starts, "month").values
    if not np.allclose(seconds, whole, rtol=1e-6):
        raise FluxError(
            f"{name or 'inversion'}: steps of {seconds.min() / 86400:g}..{seconds.max() / 86400:g} days; expected "
            "calendar months. Average them first."
        )
    if "member" not in found.dims:
        found = found.expand_dims(member=[name])
    rows = []
    for member in found["member"].values:
        one = found.sel(member=member)
        for region in one["region"].values:
            here = one.sel(region=region)
            amount = here[variable].values * seconds * _TG
            rows += [
                (str(member), str(region), *key, value, share)
                for key, value, share in zip(keys, amount, here["coverage"].values, strict=True)
                if np.isfinite(value)
            ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def per_cell(flux: xr.DataArray, variable: str, land: xr.DataArray) -> xr.DataArray:
    """A flux of the table per area of the cell, kg m-2 s-1; `land` is the land share of its cells."""
    var = flux_var(variable)
    return recast(flux, var, replace(var, per="cell", standard_name=None), land)
