"""What each approach covers, and how much of a difference between two comes from cells and years not in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
import xarray as xr

from talik.compare.regional import (
    Datasets,
    Weights,
    require_without_fire,
    single_models,
    spatial_statistics,
    weights_on,
)
from talik.errors import ConfigError, CoverageError
from talik.products.annual import Years
from talik.products.fire import FIRE_REMOVED
from talik.products.steps import starting_years, steps_of, window
from talik.regions import conform, grid_of
from talik.regions.grid import Grid

Says: TypeAlias = Literal["yes", "no", "partly", "unknown"]
COMPONENTS = ("fire", "inland_waters", "land_use", "disturbance", "lateral")
"""What a net flux may hold beside the undisturbed land."""

DEFAULT_COMPONENTS: Mapping[str, Mapping[str, Says]] = MappingProxyType(
    {
        "insitu": {
            "fire": "no",
            "inland_waters": "no",
            "land_use": "no",
            "disturbance": "partly",
            "lateral": "no",
        },
        "upscaling": {
            "fire": "no",
            "inland_waters": "no",
            "land_use": "no",
            "disturbance": "partly",
            "lateral": "no",
        },
        "inversion": {
            "fire": "yes",
            "inland_waters": "yes",
            "land_use": "yes",
            "disturbance": "yes",
            "lateral": "yes",
        },
        "process": {
            "fire": "no",
            "inland_waters": "no",
            "land_use": "unknown",
            "disturbance": "unknown",
            "lateral": "no",
        },
        "inventory": {
            "fire": "no",
            "inland_waters": "no",
            "land_use": "no",
            "disturbance": "no",
            "lateral": "no",
        },
        "fusion": {
            "fire": "no",
            "inland_waters": "no",
            "land_use": "unknown",
            "disturbance": "partly",
            "lateral": "no",
        },
    }
)
"""What NEE holds, by the `approach` of a flux dataset, where the user says nothing else. Towers and what is made of
them see the burned and cut sites among them; inversions see all that reaches the air, until it is removed."""


def components_of(ds: xr.Dataset, said: Mapping[str, Says] | None = None) -> dict[str, Says]:
    """Component flags of a dataset: those `said`, else the defaults of its approach; fire is "no" once removed.

    ConfigError: an unknown component or answer. Approaches without defaults are "unknown".
    """
    known: dict[str, Says] = dict.fromkeys(COMPONENTS, "unknown")
    known |= DEFAULT_COMPONENTS.get(str(ds.attrs.get("approach")), {})
    if ds.attrs.get(FIRE_REMOVED):
        known["fire"] = "no"
    for name, answer in (said or {}).items():
        if name not in COMPONENTS or answer not in ("yes", "no", "partly", "unknown"):
            raise ConfigError(
                f"component {name}: {answer!r}; expected one of {', '.join(COMPONENTS)} with yes, no, partly or "
                "unknown."
            )
        known[name] = answer
    return known


def coverage_table(
    approaches: Mapping[str, Datasets],
    weights: Weights,
    years: Years,
    *,
    variable: str = "nee",
    components: Mapping[str, Mapping[str, Says]] | None = None,
) -> pd.DataFrame:
    """What each model of each approach covers in each region, one row each.

    ``area_share`` : of the region's land, with data in every step of the period that the model has. ``year_share`` :
    whole years of those `years` has; ``month_share`` : calendar months in them. Then a column for each of
    `COMPONENTS`, see `components_of`; `components` gives answers by approach name.

    Datasets are taken one after the other. FluxError: see `region_means`.
    """
    if years[0] > years[1]:
        raise CoverageError(f"coverage_table: expected first and last year; found {years}.")
    made: dict[str, xr.DataArray] = {}
    rows: list[pd.DataFrame] = []
    for approach, models in approaches.items():
        for name, given in models.items():
            ds = given() if callable(given) else given
            try:
                require_without_fire(ds, variable, f"{approach}, {name}")
                here = weights_on(weights, grid_of(ds), made)
                said = components_of(ds, (components or {}).get(approach))
                fixed = {**_time_shares(ds, years), **said}
                for label, single in single_models(ds, variable, name):
                    share = _area_share(single, variable, here, years)
                    regions = [str(r) for r in share["region"].to_numpy()]
                    part = pd.DataFrame({"region": regions, "area_share": share.to_numpy()})
                    rows.append(part.assign(approach=approach, model=label, **fixed))
            finally:
                if callable(given):
                    ds.close()
    if not rows:
        raise CoverageError("coverage_table: expected at least one dataset; found none.")
    order = ["approach", "model", "region", "area_share", "year_share", "month_share", *COMPONENTS]
    return pd.concat(rows, ignore_index=True)[order]


def _time_shares(ds: xr.Dataset, years: Years) -> dict[str, float]:
    """Whole years and whole months that `ds` has, over those of `years`."""
    steps = steps_of(ds)
    asked = range(years[0], years[1] + 1)
    months = [window(steps, [12 * y + m], y).complete for y in asked for m in range(12)]
    whole = [window(steps, range(12 * y, 12 * y + 12), y).complete for y in asked]
    return {"year_share": float(np.mean(whole)), "month_share": float(np.mean(months))}


def _area_share(ds: xr.Dataset, variable: str, weights: xr.DataArray, years: Years) -> xr.DataArray:
    """Share of each region's land with data in every step within `years`; 0 without a step."""
    grid = grid_of(ds)
    year = starting_years(ds)
    flux = conform(ds[variable], grid).isel(time=np.flatnonzero((year >= years[0]) & (year <= years[1])))
    seen = flux.notnull().all("time") & (flux.sizes["time"] > 0)
    field = xr.ones_like(seen, dtype=np.float64).where(seen)
    field = field.assign_attrs(area_basis=ds[variable].attrs.get("area_basis"))
    return spatial_statistics(field, weights, grid)[2].compute()


def explain_differences(
    annual: Mapping[str, Sequence[xr.DataArray]], weights: Weights, grid: Grid
) -> tuple[pd.DataFrame, list[str]]:
    """For each pair of approaches, what of their difference goes on common years and cells; and pairs without any.

    annual : by approach, annual fluxes (year, rows, columns) of each of its models on `grid`, g m-2 year-1. An approach
    is the mean over its models, each over its own years and cells.

    Columns ``first``, ``second``, ``region``, ``own`` (difference on this grid), ``by_years`` (what goes when every
    model is averaged over the years that all models of both have), ``by_cells`` (what goes when also only cells that
    all have are taken), ``common`` (what is left; the three add up to ``own``), ``years`` (how many are common) and
    ``share_common`` (of the region's land).
    """
    here = weights_on(weights, grid)

    def of_regions(
        models: Sequence[xr.DataArray], years: Sequence[int] | None, cells: xr.DataArray | None
    ) -> xr.DataArray:
        found = []
        for model in models:
            mean = (model if years is None else model.sel(year=list(years))).mean("year", skipna=False)
            field = mean if cells is None else mean.where(cells)
            found.append(
                spatial_statistics(field.assign_attrs(model.attrs), here, grid, min_coverage=1e-9)[0]
            )
        out: xr.DataArray = xr.concat(found, dim="model").mean("model")
        return out

    own = {name: of_regions(models, None, None) for name, models in annual.items()}
    rows: list[dict[str, object]] = []
    without: list[str] = []
    for first, second in combinations(annual, 2):
        both = [*annual[first], *annual[second]]
        years = sorted(set.intersection(*(set(map(int, m["year"].values)) for m in both)))
        if not years:
            without.append(f"{first} and {second} have no whole year that all their models share")
            continue
        cells = both[0].sel(year=years).notnull().all("year")
        for model in both[1:]:
            cells = cells & model.sel(year=years).notnull().all("year")
        seen = xr.ones_like(cells, dtype=np.float64).where(cells).assign_attrs(both[0].attrs)
        share = spatial_statistics(seen, here, grid, min_coverage=1e-9)[2]
        differences = [
            of_regions(annual[first], *on) - of_regions(annual[second], *on)
            for on in ((years, None), (years, cells))
        ]
        whole = own[first] - own[second]
        for region in map(str, whole["region"].values):
            a, b, c = (float(d.sel(region=region)) for d in (whole, *differences))
            rows.append(
                {
                    "first": first,
                    "second": second,
                    "region": region,
                    "own": a,
                    "by_years": a - b,
                    "by_cells": b - c,
                    "common": c,
                    "years": len(years),
                    "share_common": float(share.sel(region=region)),
                }
            )
    return pd.DataFrame(rows), without
