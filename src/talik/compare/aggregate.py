"""Bringing two products to one footing: one grid, one set of cells, the same calendar months, the same fire removed."""

from __future__ import annotations

import numpy as np
import xarray as xr

from talik.errors import CoverageError, FluxError, GridError
from talik.flux import flux_var, make_flux_dataset
from talik.products import fire_on
from talik.products.coarse import bounds_of
from talik.products.fire import FIRE, FIRE_REMOVED
from talik.regions import conform, grid_of


def common_months(first: xr.Dataset, second: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """Both datasets on the calendar months that both have, matched by year and month whatever calendar or stamp.

    Each keeps its own time bounds, so a noleap February keeps its 28 days. CoverageError: no common month. FluxError:
    steps that are not calendar months.
    """
    keys = [months_of(ds) for ds in (first, second)]
    common = sorted(set(keys[0]) & set(keys[1]))
    if not common:
        spans = [f"{min(k)[0]}-{min(k)[1]:02d}..{max(k)[0]}-{max(k)[1]:02d}" for k in keys]
        raise CoverageError(f"no calendar month in common: {spans[0]} against {spans[1]}.")
    picked = [ds.isel(time=[k.index(m) for m in common]) for ds, k in zip((first, second), keys, strict=True)]
    return picked[0], picked[1]


def common_cells(
    first: xr.Dataset, second: xr.Dataset, variable: str = "nee"
) -> tuple[xr.Dataset, xr.Dataset, xr.DataArray]:
    """Both datasets with `variable` on the cells where both have it in every step, and that mask (rows, columns).

    Datasets on one grid (see `to_coarse`), in its order. CoverageError: no such cell. GridError: two grids.
    """
    grid = grid_of(first)
    if grid_of(second) != grid:
        raise GridError(f"common_cells: {grid} and {grid_of(second)} differ. Use to_coarse first.")
    fields = [conform(ds[variable], grid) for ds in (first, second)]
    valid = [f.notnull().all([d for d in f.dims if d not in grid.dims]) for f in fields]
    mask = (valid[0] & valid[1]).rename("common_cells")
    if not bool(mask.any()):
        raise CoverageError(f"{variable!r}: the two products have no cell in common.")
    out = [
        ds.assign({variable: f.where(mask).assign_attrs(ds[variable].attrs)})
        for ds, f in zip((first, second), fields, strict=True)
    ]
    return out[0], out[1], mask


def remove_fire(
    inversion: xr.Dataset,
    fire: xr.Dataset,
    variable: str = "nbp",
    *,
    land_fraction: xr.DataArray | None = None,
) -> xr.Dataset:
    """NEE of an inversion: its land flux (up) minus the emission of `fire`, brought to its grid and months.

    inversion : flux dataset with the whole land flux, ``nbe``, ``nbp`` or ``nee`` (any sign that the table gives it);
        one per area of the cell, such as ``nbe``, also needs `land_fraction` in the dataset, which is handed on.
    fire : flux dataset with ``fFire``, monthly, 0 where nothing burned. land_fraction : land share of its cells.

    The result is a flux dataset with ``nee`` on the common months; its attribute ``fire_removed`` names the fire
    product, and `require_same_fire` refuses comparisons in which another fire product stands on the other side. It
    still holds CO2 of inland waters and lateral effects.

    FluxError: fire was removed already, no such variable, or no `land_fraction`. CoverageError: no common month, or
    no fire data where the inversion has a flux.
    """
    if FIRE_REMOVED in inversion.attrs:
        raise FluxError(
            f"fire was removed already ({inversion.attrs[FIRE_REMOVED]}); removing it twice is a bias."
        )
    if variable not in inversion.data_vars:
        raise FluxError(
            f"remove_fire: expected {variable!r}; found {', '.join(map(str, inversion.data_vars))}. Name the land flux."
        )
    grid = grid_of(inversion)
    moved, share = fire_on(fire, grid, land_fraction=land_fraction)
    flux, burned = common_months(inversion, moved)
    land = conform(flux[variable], grid)
    fire_field = conform(burned[FIRE], grid).assign_coords(time=land["time"])
    per_cell = flux_var(variable).per == "cell"
    if per_cell and "land_fraction" not in inversion.variables:
        raise FluxError(f"remove_fire: {variable} is per area of the cell; add 'land_fraction' of its cells.")
    own = conform(inversion["land_fraction"], grid) if per_cell else xr.ones_like(grid.cell_area())
    if bool((land.notnull() & fire_field.isnull() & (own > 0.0)).any()):
        raise CoverageError(
            "remove_fire: no fire data in some cells and months where the inversion has a flux. Write 0 where nothing "
            "burned; NaN means no data."
        )
    upward = land * flux_var(variable).to_atmosphere
    kept = {}
    if per_cell:
        kept = {"land_fraction": own}
        # a finer product says which share of the cell it stands for; a coarser one has one density for all land in its
        # cells, and its share of land is not that of the cell
        coarser = np.median(grid_of(fire).row_area_m2) > np.median(grid.row_area_m2)
        stands_for = own if share is None or coarser else share
        fire_field = fire_field * stands_for  # per cell too, so that mass is kept on shores
        upward, fire_field = (field / own.where(own > 0.0) for field in (upward, fire_field))
    nee = (upward - fire_field).assign_attrs(units=land.attrs.get("units", ""))
    out = make_flux_dataset(
        {"nee": nee.rename("nee")},
        approach=inversion.attrs.get("approach", ""),
        source=f"{inversion.attrs.get('source', '')}, fire removed",
        coverage=inversion["coverage"] if "time" not in inversion["coverage"].dims else flux["coverage"],
        time_bounds=bounds_of(flux),
    )
    return out.assign(kept).assign_attrs({FIRE_REMOVED: str(fire.attrs.get("source", ""))})


def require_same_fire(inversion: xr.Dataset, fire: xr.Dataset) -> None:
    """FluxError unless the fire that was removed from `inversion` is the product `fire` (by attribute ``source``)."""
    removed, used = inversion.attrs.get(FIRE_REMOVED), fire.attrs.get("source")
    if removed != used:
        raise FluxError(
            f"fire removed from {inversion.attrs.get('source', 'the inversion')!r} is {removed!r}, but the comparison "
            f"adds {used!r}. Use one fire product on both sides, or their difference enters the comparison."
        )


def months_of(ds: xr.Dataset) -> list[tuple[int, int]]:
    """(year, month) of each time step of `ds`; FluxError if a step is not one calendar month."""
    from talik.products.steps import steps_of, window

    steps = steps_of(ds)
    out: list[tuple[int, int]] = []
    for year in steps.years:
        for month in range(1, 13):
            found = window(steps, [12 * year + month - 1], year)
            if found.complete and found.index.size == 1:
                out.append((year, month))
    if len(out) != ds.sizes["time"]:
        raise FluxError(
            f"expected monthly steps; {ds.sizes['time'] - len(out)} of {ds.sizes['time']} steps are no calendar month. "
            "Average or sum to months first."
        )
    return out
