"""Two products side by side: budgets on the common cells and months, correlation of means and of trends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from talik.compare.aggregate import common_cells, common_months
from talik.compare.correlation import MAX_CELLS, Correlation, correlate
from talik.errors import CoverageError
from talik.products import Zones, annual_sums, budgets, period_mean
from talik.products.annual import Years, chosen_years, period_label
from talik.regions import conform, grid_of
from talik.regions.ellipsoid import Array
from talik.regions.grid import EqualAreaGrid, Grid


@dataclass(frozen=True, eq=False)
class Comparison:
    """What two products say about the same cells and years.

    `budgets` : ``first``, ``second`` (year, region) in Tg year-1, with ``area`` and ``coverage``. `maps` : ``first``,
    ``second`` and their ``*_slope``, period means in g m-2 year-1 and Theil-Sen slopes in g m-2 year-1 per year.
    `mean`, `mean_weighted` : correlation over cells of the period means, by cell and by area; `trend`,
    `trend_weighted` : of the slopes (None with fewer than 3 years).
    """

    budgets: xr.Dataset
    maps: xr.Dataset
    mean: Correlation
    mean_weighted: Correlation
    trend: Correlation | None
    trend_weighted: Correlation | None
    period: str


def compare_products(
    first: xr.Dataset,
    second: xr.Dataset,
    zones: Zones,
    *,
    variable: str = "nee",
    years: Years | None = None,
    max_cells: int = MAX_CELLS,
    seed: int = 0,
) -> Comparison:
    """Compare two flux datasets on one grid (see `to_coarse`), on the cells and calendar months that both have.

    zones : regions on that grid. years : by default all that are whole in both. Each product keeps its own month
    lengths. CoverageError: nothing in common.
    """
    a, b = common_months(first, second)
    a, b, mask = common_cells(a, b, variable)
    grid = grid_of(a)
    sums = [conform(annual_sums(ds, variable), grid) for ds in (a, b)]
    held = sorted(set(chosen_years(sums[0])) & set(chosen_years(sums[1])))
    if years is not None:
        lacking = [y for y in range(years[0], years[1] + 1) if y not in held]
        if lacking:
            raise CoverageError(
                f"compare: expected {years[0]}-{years[1]}; {period_label(lacking)} not whole in both, common are "
                f"{period_label(held) if held else 'none'}."
            )
        held = list(range(years[0], years[1] + 1))
    if not held:
        raise CoverageError("compare: no year is whole in both products.")
    sums = [s.sel(year=held).compute() for s in sums]
    maps = xr.Dataset(
        {name: period_mean(s).drop_attrs() for name, s in zip(("first", "second"), sums, strict=True)}
        | {f"{name}_slope": theil_sen_map(s) for name, s in zip(("first", "second"), sums, strict=True)}
    )
    for name in ("first", "second"):
        maps[name].attrs = {"units": "g m-2 year-1"}
    lat, lon = centres(grid)
    inside = mask.values
    where = {"lat": lat[inside], "lon": lon[inside]}
    area = np.broadcast_to(grid.row_area_m2[:, None], grid.shape)[inside]

    def over_cells(one: str, two: str, weights: Array | None) -> Correlation:
        x, y = (maps[n].transpose(*grid.dims).values[inside] for n in (one, two))
        return correlate(x, y, **where, weights=weights, max_cells=max_cells, seed=seed)

    trends = len(held) >= 3
    return Comparison(
        budgets=_budgets(a, b, variable, zones, held),
        maps=maps,
        mean=over_cells("first", "second", None),
        mean_weighted=over_cells("first", "second", area),
        trend=over_cells("first_slope", "second_slope", None) if trends else None,
        trend_weighted=over_cells("first_slope", "second_slope", area) if trends else None,
        period=period_label(held),
    )


def theil_sen_map(sums: xr.DataArray) -> xr.DataArray:
    """Theil-Sen slope of each cell over the years of (year, ...) sums, per year; NaN where a year is NaN.

    Plain median of pairwise slopes, without prewhitening: `talik.trends` tests trends, this only ranks cells.
    """
    years = sums["year"].values.astype(float)
    values = sums.transpose("year", ...).values.reshape(years.size, -1)
    i, j = np.triu_indices(years.size, 1)
    slopes = np.full(values.shape[1], np.nan)
    block = max(1, 20_000_000 // max(i.size, 1))
    for start in range(0, values.shape[1] if i.size else 0, block):
        part = values[:, start : start + block]
        pairs = (part[j] - part[i]) / (years[j] - years[i])[:, None]
        slopes[start : start + block] = np.median(pairs, axis=0)
    out = sums.isel(year=0, drop=True).transpose(*[d for d in sums.dims if d != "year"])
    out = out.copy(data=slopes.reshape(out.shape)).drop_vars("complete", errors="ignore")
    out.attrs = {"units": "g m-2 year-2", "long_name": "Theil-Sen slope of annual sums"}
    return out


def centres(grid: Grid) -> tuple[Array, Array]:
    """Latitude and longitude of the cell centres, degrees, each of the grid's shape."""
    if isinstance(grid, EqualAreaGrid):
        lon, lat = grid.lonlat()
        return lat.values, lon.values
    lat_2d, lon_2d = np.meshgrid(grid.y, grid.x, indexing="ij")
    return lat_2d, lon_2d


def _budgets(a: xr.Dataset, b: xr.Dataset, variable: str, zones: Zones, held: list[int]) -> xr.Dataset:
    one, two = (budgets(ds, variable, zones).isel(season=0, drop=True).sel(year=held) for ds in (a, b))
    out = xr.Dataset(
        {
            "first": one["budget"],
            "second": two["budget"],
            "area": one["area"],
            "coverage": one["coverage"],
        }
    )
    return out.assign_attrs(period=period_label(held), n_years=len(held), variable=variable)
