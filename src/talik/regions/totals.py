"""Regional totals and means that carry the share of the region that had data, and refuse to total over a hole."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import xarray as xr

from talik.errors import CoverageError, GridError, UnitsError
from talik.regions.axes import conform, grid_of
from talik.regions.grid import Grid
from talik.regions.masks import covers_of

Basis: TypeAlias = Literal["land", "cell"]
OnHole: TypeAlias = Literal["error", "nan"]
MIN_COVERAGE = 0.99
FLUX_UNITS = "kg m-2 s-1"
_TINY = 1e-6
"""Slack on the coverage limit, for polygons drawn with chords."""


def regional_total(
    flux: xr.DataArray,
    weights: xr.DataArray,
    *,
    grid: Grid | None = None,
    area_basis: Basis | None = None,
    land_fraction: xr.DataArray | None = None,
    valid_fraction: xr.DataArray | None = None,
    min_coverage: float = MIN_COVERAGE,
    on_hole: OnHole = "error",
) -> xr.Dataset:
    """Total of a flux over each region in kg s-1, and the share of the region's area that had data.

    flux : kg m-2 s-1, last dimensions those of its grid; NaN is no data. Sign and species are kept.
    weights : ``(region, ...)`` from :mod:`talik.regions.masks`, on the same grid.
    area_basis : ``"land"`` if the flux is per m2 of land, ``"cell"`` if per m2 of cell; by default
        ``flux.attrs["area_basis"]``.
    land_fraction : land share of each cell. Needed for a flux per land over a region that takes in sea, and for a flux
        per cell over a region that covers land only (the flux of a shore cell then belongs to its land); else unused.
    valid_fraction : share of each cell that the value stands for, as :func:`regrid` gives.
    min_coverage : the least share of the region's area (for a land basis: land area) with data, at each time.
    on_hole : what happens below it. ``"error"`` raises CoverageError and computes the coverage of dask data to know;
        ``"nan"`` gives NaN and stays lazy.

    Returns a Dataset with the flux's name (or ``total``) and ``coverage``, dimensions ``(..., region)``. The
    total is the sum over the area that had data: it is not scaled up for what is missing. A region without any data
    is NaN, never 0. A region that reaches beyond the grid has coverage below 1 by the part outside.
    UnitsError: units missing or not kg m-2 s-1; area basis missing.
    """
    return _regional(
        flux, weights, grid, area_basis, land_fraction, valid_fraction, min_coverage, on_hole, want_mean=False
    )


def regional_mean(
    flux: xr.DataArray,
    weights: xr.DataArray,
    *,
    grid: Grid | None = None,
    area_basis: Basis | None = None,
    land_fraction: xr.DataArray | None = None,
    valid_fraction: xr.DataArray | None = None,
    min_coverage: float = MIN_COVERAGE,
    on_hole: OnHole = "error",
) -> xr.Dataset:
    """Mean flux in kg m-2 s-1 over the area of each region that had data; otherwise as :func:`regional_total`.

    The area is the region's land for a flux per land or a region that covers land only, and else its whole area.
    """
    return _regional(
        flux, weights, grid, area_basis, land_fraction, valid_fraction, min_coverage, on_hole, want_mean=True
    )


def _regional(
    flux: xr.DataArray,
    weights: xr.DataArray,
    grid: Grid | None,
    area_basis: Basis | None,
    land_fraction: xr.DataArray | None,
    valid_fraction: xr.DataArray | None,
    min_coverage: float,
    on_hole: OnHole,
    *,
    want_mean: bool,
) -> xr.Dataset:
    if not 0.0 < min_coverage <= 1.0 or on_hole not in ("error", "nan"):
        raise CoverageError(
            f"expected 0 < min_coverage <= 1 and on_hole 'error' or 'nan'; found {min_coverage}, {on_hole!r}."
        )
    basis = _checked(flux, area_basis)
    grid = grid_of(flux) if grid is None else grid
    flux, weights = conform(flux, grid), conform(weights, grid)
    if "region" not in weights.dims:
        raise GridError(
            f"weights {weights.name!r} have no 'region' dimension; use expand_dims(region=['name'])."
        )
    land = None if land_fraction is None else conform(land_fraction, grid)
    area = grid.cell_area()
    scale, reference = _areas(basis, weights, area, land)

    seen = flux.notnull().astype(np.float64)
    if valid_fraction is not None:
        seen = seen * conform(valid_fraction, grid).fillna(0.0)
    dims = list(grid.dims)
    mass = xr.dot(flux.fillna(0.0).astype(np.float64) * seen, scale, dim=dims)
    seen_area = xr.dot(seen, reference, dim=dims)
    whole = reference.sum(dims)
    coverage = (seen_area / whole.where(whole > 0.0)).clip(max=1.0) * _on_grid(weights, area, dims)

    keep = (coverage >= min_coverage - _TINY) & (coverage > 0.0)
    if on_hole == "error":
        _refuse_holes(flux, keep, coverage, min_coverage)
    result = (mass / seen_area.where(seen_area > 0.0)) if want_mean else mass
    name = str(flux.name) if flux.name is not None else ("mean" if want_mean else "total")
    kept = {k: v for k, v in flux.attrs.items() if k in ("species", "positive", "long_name", "standard_name")}
    attrs = {**kept, "units": FLUX_UNITS if want_mean else "kg s-1"}
    out = xr.Dataset({name: result.where(keep), "coverage": coverage})
    out[name].attrs = attrs
    out["coverage"].attrs = {"units": "1", "long_name": "share of the region's area that had data"}
    return out.transpose(..., "region")


def _checked(flux: xr.DataArray, area_basis: Basis | None) -> Basis:
    units = flux.attrs.get("units")
    if units != FLUX_UNITS:
        raise UnitsError(
            f"{flux.name!r}: expected units {FLUX_UNITS!r}; found {units!r}. Convert it, or set da.attrs['units']."
        )
    stated = flux.attrs.get("area_basis")
    if area_basis is not None and stated is not None and area_basis != stated:
        raise UnitsError(
            f"{flux.name!r}: area_basis={area_basis!r} was given, but the variable says {stated!r}."
        )
    basis = area_basis or stated
    if basis == "land":
        return "land"
    if basis == "cell":
        return "cell"
    raise UnitsError(
        f"{flux.name!r}: expected area basis 'land' or 'cell'; found {basis!r}. "
        "Say which area the flux is per: area_basis='land' or 'cell'."
    )


def _areas(
    basis: Basis, weights: xr.DataArray, area: xr.DataArray, land: xr.DataArray | None
) -> tuple[xr.DataArray, xr.DataArray]:
    """Areas in m2 that turn the flux into mass, and that coverage and mean refer to; both (region, rows, columns)."""
    inside = weights.fillna(0.0) * area
    covers = covers_of(weights)
    if (basis == "land") == (covers == "land"):
        return inside, inside
    if land is None:
        raise GridError(
            f"the flux is per {basis} area and the region covers {covers}: give land_fraction, the land share of the "
            "cells (see talik.regions.land_fraction)."
        )
    if basis == "land":
        return inside * land.fillna(0.0), inside * land.fillna(0.0)
    per_land = (weights / land.where(land > 0.0)).fillna(0.0).clip(max=1.0)
    return per_land * area, inside


def _on_grid(weights: xr.DataArray, area: xr.DataArray, dims: list[str]) -> xr.DataArray | float:
    """Share of the regions' true area that lies on the grid, where the true area is known."""
    if "region_area" not in weights.coords:
        return 1.0
    share = (weights * area).sum(dims) / weights["region_area"]
    return share.clip(max=1.0).drop_vars("region_area")


def _refuse_holes(flux: xr.DataArray, keep: xr.DataArray, coverage: xr.DataArray, least: float) -> None:
    holes = ~keep
    if not bool(holes.any()):
        return
    share = coverage.fillna(0.0).where(holes, np.inf).compute()
    index = np.unravel_index(int(np.argmin(share.values)), share.shape)
    at = share[index]
    where = ", ".join(f"{d} {at[d].values!s}" for d in coverage.dims if d in coverage.coords)
    raise CoverageError(
        f"{flux.name!r}: data cover {100 * float(at):.2f} % of {where or 'the region'}; expected at least "
        f"{100 * least:g} % ({int(holes.sum())} totals fall short). Fill the holes, choose a region inside the data, "
        "widen the grid, lower min_coverage, or ask for on_hole='nan'."
    )
