"""Where models agree on sink or source: shares of models by approach, averaged over approaches, on one common grid."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from talik.compare.regional import (
    Datasets,
    require_no_fire_in,
    require_without_fire,
    single_models,
)
from talik.errors import CoverageError, GridError, InputError
from talik.flux import flux_var
from talik.products import annual_sums, period_mean
from talik.products.annual import Years
from talik.products.coarse import MIN_LAND
from talik.products.zonal import Zones, zone_area, zone_mean
from talik.regions import conform, grid_of, land_fraction, regrid
from talik.regions.ellipsoid import band_area_m2
from talik.regions.grid import EqualAreaGrid, Grid
from talik.regions.regridding import VALID

NEUTRAL_BAND = 5.0
"""|NEE| up to this is neutral, g C m-2 year-1; the publication states none, so this is chosen here."""
_TYPICAL = 60.0
SIGNS = ("sink", "neutral", "source")


def sign_agreement(
    approaches: Mapping[str, Datasets],
    grid: Grid,
    *,
    variable: str = "nee",
    years: Years | None = None,
    band: float = NEUTRAL_BAND,
    min_approaches: int = 2,
    min_valid: float = MIN_LAND,
) -> xr.Dataset:
    """Percentage of models that are sink, neutral and source in each cell of `grid`, approaches with equal weight.

    approaches : flux datasets by approach and model, as `region_means` takes them. grid : the common grid, see
        `coarsest_grid`; each model's mean annual flux is brought there conservatively, over cells of which it fills at
        least `min_valid`.
    years : first and last, which every model must have whole; by default the whole years of each.
    band : a mean annual flux within plus or minus `band` g m-2 year-1 is neutral, its edges included.
    min_approaches : with data of fewer, a cell is NaN.

    Returns ``share`` (sign, rows, columns) and ``approach_share`` (approach, sign, rows, columns) in percent of the
    models that have data in the cell, and the counts ``n_approaches`` and ``n_models`` (approach, ...). An approach of
    one model gives 0 or 100. Source: Treat et al. 2024 (inventory.md, section 10, number 4).

    GridError: `grid` is finer than a model's. CoverageError: too few approaches, or years that a model has not.
    FluxError: see `region_means`.
    """
    require_no_fire_in(variable)
    if not 1 <= min_approaches <= len(approaches):
        raise CoverageError(
            f"sign_agreement: min_approaches is {min_approaches} with {len(approaches)} approaches; expected 1..that."
        )
    if not band >= 0.0:
        raise InputError(f"sign_agreement: the neutral band must be 0 or more, g m-2 year-1; found {band}.")
    shares, counts = [], []
    for approach, models in approaches.items():
        votes = np.zeros((len(SIGNS), *grid.shape))
        for name, given in models.items():
            ds = given() if callable(given) else given
            try:
                require_without_fire(ds, variable, f"{approach}, {name}")
                for label, single in single_models(ds, variable, f"{approach}, {name}"):
                    votes += _votes(single, variable, years, grid, band, min_valid, label)
            finally:
                if callable(given):
                    ds.close()
        n = votes.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            shares.append(np.where(n > 0, 100.0 * votes / n, np.nan))
        counts.append(n.astype(np.int64))
    coords = {"approach": list(approaches), "sign": list(SIGNS), **grid.coords()}
    each = xr.DataArray(np.stack(shares), dims=("approach", "sign", *grid.dims), coords=coords)
    n_models = xr.DataArray(
        np.stack(counts),
        dims=("approach", *grid.dims),
        coords={"approach": list(approaches), **grid.coords()},
    )
    held = (n_models > 0).sum("approach")
    out = xr.Dataset(
        {
            "share": each.mean("approach").where(held >= min_approaches),
            "approach_share": each,
            "n_approaches": held,
            "n_models": n_models,
        }
    )
    for name in ("share", "approach_share"):
        out[name].attrs = {"units": "%", "long_name": "share of models, approaches with equal weight"}
    out["approach_share"].attrs["long_name"] = "share of the models of an approach"
    return out.assign_attrs(
        neutral_band=f"{band:g} g m-2 year-1",
        variable=variable,
        min_approaches=min_approaches,
        grid=str(grid),
        period="whole years of each model" if years is None else f"{years[0]}-{years[1]}",
    )


def coarsest_grid(approaches: Mapping[str, Datasets]) -> Grid:
    """The grid with the largest cells (by median area) among all datasets: the one to compare on."""
    grids: list[Grid] = []
    for models in approaches.values():
        for given in models.values():
            ds = given() if callable(given) else given
            grids.append(grid_of(ds))
            if callable(given):
                ds.close()
    if not grids:
        raise InputError("coarsest_grid: expected at least one dataset; found none.")
    return max(grids, key=cell_size)


def agreement_by_region(result: xr.Dataset, weights: xr.DataArray) -> pd.DataFrame:
    """Shares of `sign_agreement` by region, one row each: area means in percent, and shares of the region's land area.

    ``sink``, ``neutral``, ``source`` : area-weighted mean percentage over the cells with a value. ``area_sink``,
    ``area_neutral``, ``area_source`` : share (0..1) of the area with a value where more than half agree on that sign;
    ``area_no_majority`` : the rest. ``coverage`` : share of the region's area with a value, also of the part of the
    region outside the grid where the weights know it.

    weights : (region, ...) on the grid of `result`, covering land.
    """
    zones = Zones(weights=weights)
    share = conform(result["share"], zones.grid).assign_attrs(area_basis="land", units="%")
    means = zone_mean(share, zones).compute()
    valid = share.notnull().all("sign")
    seen = zone_area(valid, zones, like=share).compute()
    whole = weights.coords.get("region_area")
    if whole is None:
        whole = zone_area(xr.ones_like(valid), zones, like=share).compute()
    major = zone_area(share > 50.0, zones, like=share).compute()
    rows = []
    for region in zones.regions:
        area = float(seen.sel(region=region))
        shares = {
            f"area_{s}": float(major.sel(region=region, sign=s)) / area if area else np.nan for s in SIGNS
        }
        rows.append(
            {
                "region": region,
                **{s: float(means.sel(region=region, sign=s)) for s in SIGNS},
                **shares,
                "area_no_majority": 1.0 - sum(shares.values()),
                "coverage": area / land if (land := float(whole.sel(region=region))) > 0.0 else np.nan,
            }
        )
    return pd.DataFrame(rows)


def on_coarser(
    field: xr.DataArray, grid: Grid, *, min_valid: float = MIN_LAND, what: str = "field"
) -> xr.DataArray:
    """A density as means over its valid cells on `grid`, which may not be finer. Lazy.

    A flux per land area is weighted by land, so that a shore cell counts as its land does. NaN where valid cells hold
    less than `min_valid` of the cell's area (per land: of its land).
    """
    src = grid_of(field)
    if src == grid:
        return conform(field, grid)
    if cell_size(grid) < cell_size(src) * (1 - 1e-9):
        raise GridError(
            f"{what}: {grid} is finer than {src}. Compare on the coarser grid, never the finer; coarsest_grid finds it."
        )
    named = field.rename("field")
    if field.attrs.get("area_basis") != "land":
        return regrid(named, grid, src=src, min_valid=min_valid)["field"].assign_attrs(field.attrs)
    moved = regrid(named, grid, src=src, valid=land_fraction(src))
    land = conform(land_fraction(grid), grid)
    held = moved[VALID] / land.where(land > 0.0)
    return moved["field"].where(held >= min_valid).assign_attrs(field.attrs)


def cell_size(grid: Grid) -> float:
    """Area of a typical cell, m2, of latitude-longitude grids at 60 N: which of two grids is coarser."""
    if isinstance(grid, EqualAreaGrid):
        return float(np.median(grid.row_area_m2))
    step = float(np.median(np.diff(grid.y_edges)))
    return float(
        band_area_m2(_TYPICAL - step / 2, _TYPICAL + step / 2) * np.median(np.diff(grid.x_edges)) / 360.0
    )


def _votes(
    ds: xr.Dataset,
    variable: str,
    years: Years | None,
    grid: Grid,
    band: float,
    min_valid: float,
    name: str,
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """1 in the plane of the sign of the mean annual flux to the atmosphere, 0 elsewhere; (sign, rows, columns)."""
    try:
        mean = period_mean(annual_sums(ds, variable), years)
    except CoverageError as err:
        raise CoverageError(f"{name}: {err}") from err
    upward = on_coarser(mean, grid, min_valid=min_valid, what=name) * flux_var(variable).to_atmosphere
    values = np.asarray(upward.transpose(*grid.dims).to_numpy(), np.float64)
    with np.errstate(invalid="ignore"):
        return np.stack([values < -band, np.abs(values) <= band, values > band]).astype(np.float64)
