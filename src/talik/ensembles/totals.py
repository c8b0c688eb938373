"""Regional totals of one model by calendar year, as rows of the table that ensemble statistics take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from talik.errors import CoverageError, FluxError, GridError, InputError, UnitsError
from talik.flux import FLUXES, as_units, validate
from talik.products.seasons import ANNUAL, windows
from talik.products.steps import Window, steps_of
from talik.regions import fraction_weights, grid_of, regional_total
from talik.regions.grid import Grid
from talik.regions.masks import covers_of
from talik.regions.totals import FLUX_UNITS, MIN_COVERAGE, OnHole

OnGrid = xr.DataArray | Callable[[Grid], xr.DataArray]
"""An array on any grid, or a function of the grid of the model, such as `talik.regions.land_fraction`."""
COLUMNS = ("model", "region", "scenario", "year", "variable", "value", "units", "coverage")
FLUX_TOTAL, STOCK_TOTAL = "Tg year-1", "Tg"
STOCK_UNITS = "kg m-2"
BLOCK_VALUES = 8_000_000
"""Values (steps times cells) of a read: 64 MB as float64, several times that while totals are made."""


def member_totals(
    name: str,
    fluxes: xr.Dataset,
    stocks: xr.Dataset | None,
    weights: OnGrid,
    *,
    scenario: str,
    variables: Sequence[str] | None = None,
    land_fraction: OnGrid | None = None,
    min_coverage: float = MIN_COVERAGE,
    on_hole: OnHole = "nan",
) -> pd.DataFrame:
    """Totals of each flux and stock of one model over each region, by calendar year, in long form.

    fluxes : flux dataset (time and the two dimensions of a grid). stocks : kg m-2 with `species` and `area_basis`, one
        value a year; None if there are none.
    weights : (region, ...) on any grid, brought to that of the model by area, or a function that makes them on a grid
        (``lambda grid: named_weights([...], grid)``). The model is never brought to the grid of the regions.
    scenario : such as "historical"; goes into every row. variables : by default every known flux and every stock.
    land_fraction : land share of each cell, an array on the model's grid or a function of the grid; needed as in
        `talik.regions.regional_total`.
    min_coverage : the least share of a region's area (of its land, for a flux per land) with data, in every step. Below
        it the value is NaN and the row stays, with its coverage (``on_hole="nan"``), or is an error (``"error"``).

    Returns columns `COLUMNS`, sorted by variable, region and year: fluxes in Tg year-1 of the table's species (C; N for
    N2O) with the table's direction, stocks in Tg. coverage is the least of the steps of the year. Years that the steps
    do not fill have no row. Data are read in blocks of whole years.

    FluxError: no flux dataset, or more dimensions. UnitsError: stocks without units, species or area basis.
    InputError: no such variable, stocks with several values a year. CoverageError: no whole year, or a hole.
    """
    validate(fluxes)
    held = [str(v) for v in fluxes.data_vars if v in FLUXES]
    stores = [] if stocks is None else _stocks_in(stocks)
    chosen = _chosen(name, held, stores, variables)
    rows: list[dict[str, Any]] = []
    common = {"model": name, "scenario": scenario}
    for variable in chosen:
        source, rows_of = (
            (fluxes, _flux_rows) if variable in held or stocks is None else (stocks, _stock_rows)
        )
        found = rows_of(source, variable, weights, land_fraction, min_coverage, on_hole)
        rows += [{**common, "variable": variable, **row} for row in found]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.sort_values(["variable", "region", "year"], kind="stable", ignore_index=True)


def _stocks_in(ds: xr.Dataset) -> list[str]:
    """What has a time and is no bounds: cell areas and the like have none."""
    bounds = {v.attrs.get("bounds") for v in ds.variables.values()}
    return [
        str(n)
        for n, v in ds.data_vars.items()
        if "time" in v.dims and v.dtype.kind == "f" and n not in bounds
    ]


def _chosen(name: str, held: Sequence[str], stores: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    known = [*held, *stores]
    twice = sorted(set(held) & set(stores))
    if twice:
        raise InputError(f"model {name!r}: {twice[0]!r} is a flux and a stock. Rename the stock.")
    unknown = [v for v in wanted or () if v not in known]
    if unknown:
        raise InputError(
            f"model {name!r}: no {', '.join(unknown)}; found {', '.join(known)}. Choose among these: what a model "
            "does not give is absent, never 0."
        )
    return list(dict.fromkeys(wanted)) if wanted is not None else known


def _flux_rows(
    ds: xr.Dataset,
    variable: str,
    weights: OnGrid,
    land_fraction: OnGrid | None,
    least: float,
    on_hole: OnHole,
) -> Iterator[dict[str, Any]]:
    flux = ds[variable]
    grid, on_grid, land = _regions(flux, weights, land_fraction)
    extra = set(flux.dims) - {"time", *grid.dims}
    if extra or "time" not in flux.dims:
        raise FluxError(
            f"{variable!r} has dimensions {', '.join(map(str, flux.dims))}; expected time, "
            f"{' and '.join(grid.dims)}. Select or average the others first."
        )
    steps = steps_of(ds)
    every = windows(steps, ANNUAL)
    whole = [w for w in every if w.complete]
    if not whole:
        raise CoverageError(
            f"{variable!r}: no calendar year of {every[0].year}-{every[-1].year} is whole ({every[0].year}: "
            f"{every[0].missing}). Give whole years."
        )
    seconds = steps.seconds.values
    for block in _blocks(whole, grid.size):
        first = int(block[0].index[0])
        part = flux.isel(time=slice(first, int(block[-1].index[-1]) + 1))
        found = regional_total(
            part, on_grid, grid=grid, land_fraction=land, min_coverage=least, on_hole="nan"
        ).compute()
        rate, coverage = (found[k].transpose("time", "region").values for k in (variable, "coverage"))
        for w in block:
            here = w.index - first
            mass = (rate[here] * seconds[w.index][:, None]).sum(axis=0)
            total = as_units(xr.DataArray(mass, dims="region", attrs={"units": "kg"}), "Tg").values
            yield from _rows(
                found, w.year, total, coverage[here].min(axis=0), FLUX_TOTAL, on_hole, least, variable
            )


def _stock_rows(
    ds: xr.Dataset,
    variable: str,
    weights: OnGrid,
    land_fraction: OnGrid | None,
    least: float,
    on_hole: OnHole,
) -> Iterator[dict[str, Any]]:
    stock = ds[variable]
    if stock.attrs.get("species") != "C":
        raise UnitsError(
            f"stock {variable!r}: species is {stock.attrs.get('species')!r}; expected 'C'. State which mass is "
            "counted: attrs['species'] = 'C'."
        )
    if stock["time"].dtype.kind not in "MO":
        raise InputError(
            f"stock {variable!r}: time holds no dates (dtype {stock['time'].dtype}). Decode it: "
            "xarray.open_dataset(decode_times=True)."
        )
    years = stock["time"].dt.year.values
    if np.unique(years).size < years.size:
        raise InputError(
            f"stock {variable!r}: {years.size} values in {np.unique(years).size} years; expected one value a year. "
            "Average the months, or select one."
        )
    grid, on_grid, land = _regions(stock, weights, land_fraction)
    at_once = max(1, BLOCK_VALUES // grid.size)
    for start in range(0, years.size, at_once):
        part = as_units(stock.isel(time=slice(start, start + at_once)), STOCK_UNITS)
        # areas and coverage of a stock are those of a flux; the "per second" goes out again with the total
        found = regional_total(
            part.assign_attrs(units=FLUX_UNITS),
            on_grid,
            grid=grid,
            land_fraction=land,
            min_coverage=least,
            on_hole="nan",
        ).compute()
        mass, coverage = (found[k].transpose("time", "region") for k in (variable, "coverage"))
        total = as_units(mass.assign_attrs(units="kg"), "Tg").values
        for k, year in enumerate(years[start : start + at_once]):
            yield from _rows(
                found, int(year), total[k], coverage.values[k], STOCK_TOTAL, on_hole, least, variable
            )


def _rows(
    found: xr.Dataset,
    year: int,
    total: NDArray[np.float64],
    coverage: NDArray[np.float64],
    units: str,
    on_hole: OnHole,
    least: float,
    variable: str,
) -> Iterator[dict[str, Any]]:
    for region, value, share in zip(found["region"].values, total, coverage, strict=True):
        if on_hole == "error" and np.isnan(value):
            raise CoverageError(
                f"{variable!r} {year}: data cover {100 * share:.2f} % of {region}; expected at least {100 * least:g} "
                "%. Fill the holes, choose another region, lower min_coverage, or ask for on_hole='nan'."
            )
        yield {
            "region": str(region),
            "year": year,
            "value": float(value),
            "units": units,
            "coverage": float(share),
        }


def _regions(
    da: xr.DataArray, weights: OnGrid, land_fraction: OnGrid | None
) -> tuple[Grid, xr.DataArray, xr.DataArray | None]:
    """The grid of the data, and weights and land on it."""
    grid = grid_of(da)
    if callable(weights):
        on_grid = weights(grid)
    elif grid_of(weights) == grid:
        on_grid = weights
    else:
        on_grid = fraction_weights(weights, grid, covers=covers_of(weights))
    land = land_fraction(grid) if callable(land_fraction) else land_fraction
    if land is not None and grid_of(land) != grid:
        raise GridError(
            f"land_fraction stands on {grid_of(land)}, {da.name!r} on {grid}. Give the model's own, or a function "
            "such as talik.regions.land_fraction."
        )
    return grid, on_grid, land


def _blocks(whole: Sequence[Window], cells: int) -> Iterator[list[Window]]:
    """Years that follow each other, as many as fit in a block."""
    block: list[Window] = []
    for w in whole:
        follows = block and w.index[0] == block[-1].index[-1] + 1
        if block and (not follows or (w.index[-1] - block[0].index[0] + 1) * cells > BLOCK_VALUES):
            yield block
            block = []
        block.append(w)
    if block:
        yield block
