"""What one dataset, or one site table, brings to a comparison: means of regions, coverage, skill at towers, its map."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from talik.compare.agreement import cell_size, on_coarser
from talik.compare.coverage import coverage_table
from talik.compare.regional import region_means, single_models, site_region_means
from talik.compare.skill import pair_months, site_skill, spatial_skill
from talik.errors import CoverageError, GridError, InputError
from talik.flux import flux_var, make_flux_dataset, rate_from_amount
from talik.products import annual_sums
from talik.products.annual import chosen_years
from talik.products.fire import FIRE_REMOVED
from talik.products.insitu import MONTHLY, site_years
from talik.records import json_rows
from talik.regions import conform, grid_of, land_fraction
from talik.regions.eight import site_regions
from talik.regions.grid import Grid, LatLonGrid, northern_grid
from talik.regions.named import named_weights
from talik.sources.site_table import SiteTable

Years = tuple[int, int]
SITE_COLUMN = {"nee": "nee", "fch4": "ch4"}
"""Column of a site table by flux variable."""
PEAK = {"nee": "min", "fch4": "max"}
"""Which extreme of the year is the peak of the season."""
_SITE_DEGREES = 0.25
_MOSTLY = 0.5
_PLACE_DECIMALS = 4
_COARSEST = 30.0
_EVEN = 1e-6


def of_dataset(
    ds: xr.Dataset,
    name: str,
    approach: str,
    *,
    variable: str,
    years: Years,
    weights: Callable[[Grid], xr.DataArray],
    least_coverage: float,
    towers: SiteTable | None,
) -> dict[str, Any]:
    """Rows of `region_means` and `coverage_table`, and by model the skill at towers, as JSON values."""
    datasets = {name: ds}
    rows = region_means(
        datasets, weights, approach=approach, variable=variable, years=years, min_coverage=least_coverage
    )
    covered = coverage_table({approach: datasets}, weights, years, variable=variable)
    skill: dict[str, Any] = {}
    notes: list[str] = []
    if towers is not None:
        for label, single in single_models(ds, variable, name):
            try:
                skill[label] = _skill(single, towers, variable)
            except CoverageError as err:
                notes.append(f"{label}: no score at towers. {err}")
    return {
        "rows": json_rows(rows),
        "coverage": json_rows(covered),
        "skill": skill,
        "kind": str(ds.attrs.get("approach", "")),
        "source": str(ds.attrs.get("source", "")),
        "inputs": json.loads(ds.attrs.get("talik_inputs", "{}")),
        "notes": [*_notes(ds), *notes],
    }


def _skill(ds: xr.Dataset, towers: SiteTable, variable: str) -> dict[str, Any]:
    pairs = pair_months(ds, towers.rows, variable=variable, value=SITE_COLUMN[variable], units=MONTHLY)
    sites = site_skill(pairs, peak=PEAK[variable])
    space = spatial_skill(sites)
    return {
        "sites": json_rows(sites),
        "places": json_rows(pairs.sites),
        "months": pairs.rows.to_dict("list"),
        "spatial": json_rows(pd.DataFrame([asdict(space)]))[0],
    }


def _notes(ds: xr.Dataset) -> list[str]:
    told = ds.attrs.get("notes", [])
    lines = told.split("\n") if isinstance(told, str) else [str(line) for line in np.atleast_1d(told)]
    return [line for line in lines if line.strip()]


def of_sites(
    table: SiteTable,
    approach: str,
    *,
    variable: str,
    years: Years,
    regions: Sequence[str],
    eight: bool,
) -> dict[str, Any]:
    """Rows of `site_region_means`, as JSON values, and which sites count in which region."""
    column = SITE_COLUMN[variable]
    if column not in table.rows.columns:
        raise InputError(
            f"approach {approach}: the site table has no column {column!r}. Give a table with it, or compare another "
            "variable."
        )
    if unplaced := [c for c in ("lat", "lon") if c not in table.rows.columns]:
        raise InputError(
            f"approach {approach}: the site table has no column {', '.join(unplaced)}, so its sites lie in no region. "
            "Add positions (decimal degrees), or leave the table out."
        )
    parts, notes = [], list(table.notes)
    inside = sites_inside(table.rows, regions, eight)
    outside = ~pd.concat(list(inside.values()), axis=1).any(axis=1)
    whole = site_years(table.rows, column, units=MONTHLY)
    whole = whole[whole["year"].between(*years)]
    lost = set(table.rows.loc[outside, "site_id"]) & set(whole["site_id"])
    if lost:
        notes.append(f"{len(lost)} sites with whole years lie in no region.")
    notes += _same_place(table.rows, whole)
    for region, mask in inside.items():
        rows = table.rows[mask].assign(region=region)
        try:
            parts.append(site_region_means(rows, value=column, units=MONTHLY, years=years, approach=approach))
        except InputError:
            notes.append(f"{region}: no site with a whole year in {years[0]}-{years[1]}.")
    if not parts:
        raise CoverageError(
            f"approach {approach}: no site in a region has twelve measured months of {column} in a year of "
            f"{years[0]}-{years[1]}. Choose other years or regions."
        )
    return {
        "rows": json_rows(pd.concat(parts, ignore_index=True)),
        "coverage": [],
        "skill": {},
        "kind": "insitu",
        "source": f"site table ({table.format})",
        "inputs": {},
        "notes": notes,
    }


def _same_place(rows: pd.DataFrame, whole: pd.DataFrame) -> list[str]:
    """Sites of one place with the same years: probably one tower under two names, and each counts."""
    places = rows.groupby("site_id")[["lat", "lon"]].first().round(_PLACE_DECIMALS)
    held = whole.merge(places, left_on="site_id", right_index=True)
    out = []
    for (lat, lon), sites in held.groupby(["lat", "lon"]):
        years = sites.groupby("site_id")["year"].agg(frozenset)
        twice = years[years.duplicated(keep=False)]
        if len(twice):
            out.append(
                f"{' and '.join(map(str, twice.index))} stand at {lat:g} N, {lon:g} E with the same years; each counts."
            )
    return out


def sites_inside(rows: pd.DataFrame, regions: Sequence[str], eight: bool) -> dict[str, pd.Series]:
    """By region, which rows of a site table lie in it.

    The eight regions go by country, biome and longitude. Otherwise a site is in a region that fills at least half of
    the land (region with sea: of the area) of its cell of a quarter of a degree.
    """
    if eight:
        found = site_regions(rows)["region"]
        return {str(name): found == name for name in dict.fromkeys(found.dropna())}
    placed = rows[["lat", "lon"]].astype(float)
    known = placed.notna().all(axis=1).to_numpy()
    lat, lon = placed["lat"].to_numpy(), placed["lon"].to_numpy()
    south = float(np.floor(np.nanmin(lat))) if known.any() else 45.0
    grid = LatLonGrid.regular(_SITE_DEGREES, lat=(south, 90.0))
    weights = conform(named_weights(regions, grid), grid)
    whole = conform(land_fraction(grid), grid) if weights.attrs.get("covers") == "land" else None
    share = weights if whole is None else weights / whole.where(whole > 0.0)
    y = np.clip(np.searchsorted(grid.y_edges, lat[known], side="right") - 1, 0, grid.shape[0] - 1)
    x = np.clip(np.searchsorted(grid.x_edges, lon[known], side="right") - 1, 0, grid.shape[1] - 1)
    out = {}
    for name in share["region"].values:
        mask = np.zeros(len(rows), dtype=bool)
        mask[known] = np.nan_to_num(share.sel(region=name).values[y, x]) >= _MOSTLY
        out[str(name)] = pd.Series(mask, index=rows.index)
    return out


def annual_map(ds: xr.Dataset, name: str, variable: str, years: Years, grids: Sequence[Grid]) -> xr.Dataset:
    """Flux of each whole year as a flux dataset of annual steps, with a `model` for each of its models.

    The grid is the first of `grids` (`comparison_grids`) that is not finer than the dataset.
    CoverageError: no whole year.
    """
    target = next((g for g in grids if cell_size(g) >= cell_size(grid_of(ds)) * (1 - 1e-9)), None)
    if target is None:
        raise GridError(f"{name}: {grid_of(ds)} is coarser than any grid of the comparison.")
    parts = []
    for label, single in single_models(ds, variable, name):
        sums = annual_sums(single, variable)
        held = [y for y in chosen_years(sums) if years[0] <= y <= years[1]]
        if not held:
            raise CoverageError(f"{label}: no whole year of {variable} in {years[0]}-{years[1]}.")
        moved = on_coarser(sums.sel(year=held), target, what=label).drop_vars("complete", errors="ignore")
        parts.append(moved.expand_dims(model=[label]))
    joined = xr.concat(parts, dim="model", join="outer", combine_attrs="override")
    bounds = year_bounds(joined["year"].values)
    amounts = joined.rename(year="time").assign_coords(time=bounds["time"])
    rate = rate_from_amount(amounts.assign_attrs(units="g m-2 year-1")).assign_attrs(
        flux_var(variable).attributes
    )
    seen = rate.notnull().mean([d for d in rate.dims if d not in ("model", "time")])
    return make_flux_dataset(
        {variable: rate.rename(variable)},
        approach=str(ds.attrs.get("approach", "")),
        source=str(ds.attrs.get("source", "")),
        coverage=seen,
        time_bounds=bounds,
    ).assign_attrs({k: ds.attrs[k] for k in (FIRE_REMOVED,) if k in ds.attrs})


def comparison_grids(degrees: float, south: float) -> list[Grid]:
    """Regular grids of `degrees` and of its multiples that divide the circle, from the pole to `south` or beyond."""
    steps = [degrees * k for k in range(1, int(_COARSEST / degrees) + 1)]
    return [northern_grid(s, south) for s in steps if abs(360.0 / s - round(360.0 / s)) < _EVEN]


def year_bounds(years: Iterable[int]) -> xr.DataArray:
    """(time, bnds) edges of calendar years, stamped at their beginnings."""
    edges = np.array([[f"{int(y) + k}-01-01" for k in (0, 1)] for y in years], dtype="datetime64[ns]")
    return xr.DataArray(edges, dims=("time", "bnds"), coords={"time": edges[:, 0]})
