"""Totals of a gridded flux over one region, by calendar year, and their mean over a period."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from talik.errors import ConfigError, CoverageError, FluxError
from talik.flux.units import period_seconds
from talik.products.annual import Years
from talik.regions.axes import grid_of
from talik.regions.grid import Grid
from talik.regions.named import FORMS, weights_on
from talik.regions.totals import MIN_COVERAGE, regional_total

Region = xr.DataArray | str
"""Weights of one region, (region=1, rows, columns) on any grid, or a name such as 'bands:60,90' or a GeoJSON file."""
Land = Callable[[Grid], xr.DataArray]
"""Gives the land share of the cells of a grid, such as `talik.regions.land_fraction`."""
_TG = 1e-9
_WHOLE = 1e-6


class YearlyTotals(NamedTuple):
    """Totals of complete years, Tg yr-1 by year; the least share of the region with data in any step; the region."""

    total: pd.Series
    coverage: float
    region: str


def yearly_totals(
    ds: xr.Dataset,
    variable: str,
    region: Region,
    *,
    land_fraction: Land | None = None,
    min_coverage: float = MIN_COVERAGE,
) -> YearlyTotals:
    """Total of a flux over a region in each complete calendar year, Tg of its element; sign and species are kept.

    Weights on another grid are brought to that of the flux by area, never the flux to theirs. land_fraction,
    min_coverage : as for `talik.regions.regional_total`; the first is called with the grid of the flux. A year is
    complete if its steps fill it. What is missing in the region is not scaled up.

    FluxError: no such variable, or no time bounds. ConfigError: not exactly one region. CoverageError: holes, or no
    complete year.
    """
    if variable not in ds.data_vars:
        raise FluxError(
            f"expected a flux dataset with {variable!r}; found {', '.join(map(str, ds.data_vars))}."
        )
    flux = ds[variable]
    bounds = ds.get(str(ds["time"].attrs.get("bounds", "time_bnds"))) if "time" in flux.dims else None
    if bounds is None:
        raise FluxError(
            f"{variable!r} has no time bounds; make the dataset with talik.flux.make_flux_dataset."
        )
    grid = grid_of(flux)
    weights = _weights(region, grid)
    land = land_fraction(grid) if land_fraction else None
    found = regional_total(flux, weights, grid=grid, land_fraction=land, min_coverage=min_coverage)
    found = found.isel(region=0, drop=True).compute()
    extra = [d for d in found[variable].dims if d != "time"]
    if extra:
        raise FluxError(f"{variable!r} has dimension {extra[0]}; select or average it first.")
    start, end = bounds.transpose("time", ...).values.T
    seconds = np.asarray(end - start, dtype="timedelta64[s]").astype(np.float64)
    years = xr.DataArray(start, dims="time").dt.year.values
    length = period_seconds(xr.DataArray(start, dims="time", name="time"), "year").values
    rows = pd.DataFrame({"total": found[variable].values * seconds * _TG, "share": seconds / length})
    summed = rows.groupby(years).sum()
    whole = summed.index[np.abs(summed["share"] - 1.0) <= _WHOLE]
    if not whole.size:
        raise CoverageError(
            f"{variable!r}: no calendar year of {years.min()}-{years.max()} is complete. Give whole years."
        )
    total = summed.loc[whole, "total"].rename_axis("year").rename(variable)
    return YearlyTotals(total, float(found["coverage"].min()), str(weights["region"].values[0]))


def mean_of_years(total: pd.Series, period: Years | None = None) -> tuple[float, str]:
    """Mean of yearly totals (index: year) over a period, and its label such as '2000-2020'.

    period : each of its years must be there; by default all years, which then must be adjacent. CoverageError if not.
    """
    held = sorted(int(y) for y in total.index)
    first, last = period or (held[0], held[-1])
    lacking = [y for y in range(first, last + 1) if y not in held]
    if lacking or first > last:
        raise CoverageError(
            f"{total.name!r}: expected every year of {first}-{last}; {', '.join(map(str, lacking)) or 'none'} missing "
            f"or incomplete, complete are {', '.join(map(str, held))}. Choose another period."
        )
    return float(total.loc[first:last].mean()), f"{first}-{last}"


def _weights(region: Region, grid: Grid) -> xr.DataArray:
    """Weights of one region on a grid."""
    weights = weights_on(region, grid)
    if "region" not in weights.dims or weights.sizes["region"] != 1:
        names = (
            ", ".join(map(str, np.atleast_1d(weights["region"].values))) if "region" in weights.coords else ""
        )
        raise ConfigError(
            f"expected one region; found {names or 'weights without a region'}. Select one: "
            f"weights.sel(region=[NAME]), or name one of the forms {FORMS} that means one region."
        )
    return weights
