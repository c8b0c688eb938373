"""A fine product on a coarse grid: means over its valid land, carbon kept."""

from __future__ import annotations

import numpy as np
import xarray as xr

from talik.errors import CoverageError, GridError
from talik.flux import make_flux_dataset
from talik.flux.table import FLUXES
from talik.products.fire import FIRE_REMOVED
from talik.regions import grid_of, overlap, regrid
from talik.regions.grid import Grid
from talik.regions.regridding import VALID

MIN_LAND = 0.5
"""A coarse cell is compared if at least this share of it is land on which the fine product has data."""


def to_coarse(
    fine: xr.Dataset,
    grid: Grid,
    *,
    land_fraction: xr.DataArray | None = None,
    min_land: float = MIN_LAND,
    variables: list[str] | None = None,
) -> xr.Dataset:
    """A fine product as means over the cells of a coarse grid: over its valid land only, never the reverse.

    fine : flux dataset on a finer grid, with the same valid cells in every step. land_fraction : share of each fine
        cell that is valid land (1 where there is data, by default). min_land : coarse cells with a smaller share of
        valid land are NaN. Carbon is kept: value x valid land area of the coarse cell is the sum over the fine ones.

    Returns a flux dataset on `grid`; ``coverage`` is the share of each cell that is valid land: give it as the
    ``land_fraction`` of zones that cover everything, and budgets are those of the fine product on the same cells.

    GridError: the target is finer. CoverageError: valid cells change with time (see `talik.products.cells_lacking`).
    """
    src = grid_of(fine)
    if np.median(grid.cell_area()) < np.median(src.cell_area()) * (1 - 1e-9):
        raise GridError(
            f"to_coarse: {grid} is finer than {src}. Aggregate the finer product to the coarser grid, never the "
            "reverse."
        )
    if not 0.0 < min_land <= 1.0:
        raise GridError(f"to_coarse: min_land must lie in 0..1, above 0; found {min_land}.")
    held = [v for v in FLUXES if v in fine.data_vars] if variables is None else variables
    weights = overlap(src, grid)
    made: dict[str, xr.DataArray] = {}
    shares: list[xr.DataArray] = []
    for name in held:
        moved = regrid(fine[name], grid, src=src, valid=land_fraction, weights=weights, min_valid=min_land)
        share = moved[VALID]
        if "time" in share.dims:
            low, high = share.min("time"), share.max("time")
            if bool((high - low > 1e-9).any()):
                raise CoverageError(
                    f"{name!r}: valid cells change with time (up to {float((high - low).max()):.3f} of a coarse cell). "
                    "Fill the gaps, or keep the cells that always have data: da.where(da.notnull().all('time'))."
                )
            share = low
        shares.append(share.min([d for d in share.dims if d not in grid.dims]))
        made[name] = moved[name]
    least = shares[0]
    for share in shares[1:]:
        least = xr.where(least < share, least, share)  # type: ignore[no-untyped-call]
    return make_flux_dataset(
        made,
        approach=fine.attrs.get("approach", ""),
        source=fine.attrs.get("source", ""),
        coverage=least.clip(0.0, 1.0),
        time_bounds=bounds_of(fine),
        title=fine.attrs.get("title", ""),
    ).assign_attrs({k: fine.attrs[k] for k in (FIRE_REMOVED,) if k in fine.attrs})


def bounds_of(ds: xr.Dataset) -> xr.DataArray | None:
    """Time bounds of a dataset, if it has any."""
    name = ds["time"].attrs.get("bounds", "time_bnds") if "time" in ds.coords else ""
    return ds[name] if name in ds.variables else None
