"""Trends of a flux dataset: of the annual budgets of regions, and of the annual sums of every cell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from talik.errors import CoverageError, FluxError
from talik.flux.io import open_flux
from talik.products.annual import annual_sums
from talik.products.zonal import Zones, regional_series
from talik.regions.axes import grid_of
from talik.regions.masks import land_fraction
from talik.regions.named import DOMAIN, lazy_weights
from talik.trends.gridded import grid_trends
from talik.trends.labelled import trend
from talik.trends.method import Method

_HALF, _SAME = 0.5, 1e-6
_SPACE = {"lat", "lon", "y", "x", "time"}
FOUND = ("slope", "low", "high", "p", "tau", "autocor", "trend_total")
"""Numbers of a trend that are told."""


def open_dataset(path: Path, variables: Sequence[str]) -> xr.Dataset:
    """A gridded flux dataset with these variables; of quantiles the median.

    FluxError: a variable is not there, or the dataset is of members, models or cells.
    """
    ds = open_flux(path)
    held = [str(v) for v in ds.data_vars]
    if lost := [v for v in variables if v not in held]:
        raise FluxError(
            f"{path}: no variable {', '.join(lost)}; found {', '.join(held)}. Name the variables of this dataset."
        )
    if "quantile" in ds.dims:
        levels = ds["quantile"].values
        at = int(np.argmin(np.abs(levels - _HALF)))
        if abs(float(levels[at]) - _HALF) > _SAME:
            raise FluxError(f"{path}: has quantiles {levels.tolist()}; expected 0.5 among them.")
        ds = ds.isel(quantile=at, drop=True)
    for name in variables:
        if extra := [str(d) for d in ds[name].dims if d not in _SPACE]:
            raise FluxError(
                f"{path}: {name} has dimensions {', '.join(extra)} beside time and a grid; a trend here is of one "
                "product. Select one, or take the mean first."
            )
    return ds


def regional_trends(
    ds: xr.Dataset,
    variable: str,
    regions: Sequence[str],
    method: Method,
    *,
    years: tuple[int, int] | None,
    least_coverage: float,
) -> dict[str, Any]:
    """Annual budgets of regions and their trends, JSON values; None where data cover too little of a region.

    The first region is the domain: every cell that has data. Slope and limits are Tg per year and year, of the
    variable's species and sign. years : only whole years in this range count.

    CoverageError: the cells with data change with time, or no year is whole.
    """
    out: dict[str, Any] = {}
    for zones in _zones(ds, variable, regions, least_coverage):
        found = regional_series(ds, variable, zones).budgets().isel(season=0, drop=True)
        keep = found["complete"].values & _within(found["year"].values, years)
        if not keep.any():
            raise CoverageError(
                f"{variable}: no whole year{f' in {years[0]}-{years[1]}' if years else ''}; the data have "
                f"{int(found['year'][0])}-{int(found['year'][-1])}. Choose other years."
            )
        found = found.isel(year=np.flatnonzero(keep)).drop_vars("complete").compute()
        budget = found["budget"].transpose("region", "year")
        fitted = trend(
            budget, method.name, dim="year", preserve=_preserve(method), confidence=method.confidence
        )
        for region in map(str, budget["region"].values):
            one, of = found.sel(region=region), fitted.sel(region=region)
            out[region] = {
                "area_km2": float(one["area"].mean() / 1e6),
                "coverage": float(one["coverage"].fillna(0.0).min()),
                "n_years": int(of["n_valid"]),
                **{name: _number(of[name]) for name in FOUND},
                "converged": None if int(of["converged"]) < 0 else bool(of["converged"]),
                "series": [
                    {"year": int(y), "value": _number(v)}
                    for y, v in zip(one["year"].values, one["budget"].values, strict=True)
                ],
            }
    attrs = ds[variable].attrs
    return {"units": "Tg yr-1", "species": attrs["species"], "positive": attrs["positive"], "regions": out}


def cell_trends(
    ds: xr.Dataset, variable: str, method: Method, alpha_fdr: float, years: tuple[int, int] | None
) -> xr.Dataset:
    """Trend of the annual sums of every cell, g m-2 year-1 per year, with the grid and its cell areas.

    CoverageError: no year is whole.
    """
    grid = grid_of(ds)
    sums = annual_sums(ds, variable)
    keep = sums["complete"].values & _within(sums["year"].values, years)
    if not keep.any():
        raise CoverageError(f"{variable}: no year is whole. Give whole years.")
    sums = sums.isel(year=np.flatnonzero(keep))
    sums = sums.drop_vars([c for c in sums.coords if c not in sums.dims]).transpose("year", *grid.dims)
    sums.attrs = {k: v for k, v in sums.attrs.items() if k in ("species", "positive", "area_basis")} | {
        "units": "g m-2 year-1",
        "long_name": f"annual sum of {variable}",
    }
    found = grid_trends(
        sums.rename(variable),
        "year",
        alpha_fdr,
        method=method.name,
        preserve=_preserve(method),
        confidence=method.confidence,
    )
    frame = grid.to_dataset()
    found = found.assign_coords({d: frame[d] for d in grid.dims}).assign(dict(frame.data_vars))
    found = found.reset_coords([n for n in ("crs", "cell_area") if n in found.coords])
    for name in found.data_vars:
        if set(grid.dims) <= set(found[name].dims):
            found[name].attrs["grid_mapping"] = "crs"
    return found


def _zones(ds: xr.Dataset, variable: str, regions: Sequence[str], least: float) -> list[Zones]:
    """The domain, and each kind of region by itself: one may cover land and another all."""
    grid = grid_of(ds)
    ones = xr.DataArray(np.ones(grid.shape), dims=grid.dims, coords=grid.coords())
    if "land_fraction" in ds.variables:
        land = ds["land_fraction"].reset_coords(drop=True).load().fillna(0.0)
    elif ds.attrs["approach"] == "upscaling":
        land = ones  # a predicted cell without a land share stands for itself, as in its own totals
    else:
        land = land_fraction(grid)
    valid = ds[variable].notnull().any("time").astype(float).reset_coords(drop=True).compute()
    whole = valid.expand_dims(region=[DOMAIN]).assign_attrs(units="1", covers="all")
    made = [Zones(weights=whole, land_fraction=land, min_coverage=1e-9)]
    for name in regions:
        made.append(Zones(weights=lazy_weights([name], grid), land_fraction=land, min_coverage=least))
    return made


def _within(
    years: np.ndarray[Any, Any], wanted: tuple[int, int] | None
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.ones(len(years), bool) if wanted is None else (years >= wanted[0]) & (years <= wanted[1])


def _preserve(method: Method) -> bool | None:
    return method.preserve if method.name in ("zhang", "yue-pilon") else None


def _number(value: Any) -> float | None:
    return None if math.isnan(float(value)) else float(value)
