"""Annual fluxes of any approach by region: one row a model, year and region, and one row a region of sites.

NEE is without fire on every side (Treat et al. 2024; inventory.md, section 10). Cells are averaged by their area at
the dataset's own resolution; a mean never stands without the share of the region that had data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import xarray as xr

from talik.errors import CoverageError, FluxError, InputError
from talik.flux import flux_var
from talik.flux.table import FLUXES
from talik.products import annual_sums
from talik.products.annual import Years, period_label
from talik.products.fire import FIRE_REMOVED
from talik.products.insitu import site_means, site_years
from talik.products.zonal import MIN_COVERAGE, RATE
from talik.regions import conform, grid_of, regional_mean
from talik.regions.grid import Grid

Datasets: TypeAlias = Mapping[str, "xr.Dataset | Callable[[], xr.Dataset]"]
"""Flux datasets by model; a function is called when its turn comes, and what it opened is closed after it."""
Weights: TypeAlias = "xr.DataArray | Callable[[Grid], xr.DataArray]"
"""Region weights on the grid of all datasets, or a function that makes them on a grid, such as `eight_regions`."""

UNITS = "g m-2 year-1"
COLUMNS = ("approach", "model", "year", "region", "mean", "sd", "coverage", "area_m2")
INSITU = "insitu"
SITES = "sites"
ENSEMBLE_DIMS = ("model", "member")


def region_means(
    datasets: Datasets,
    weights: Weights,
    *,
    approach: str,
    variable: str = "nee",
    years: Years | None = None,
    min_coverage: float = MIN_COVERAGE,
) -> pd.DataFrame:
    """Area-weighted mean annual flux of each model, year and region, one row each (`COLUMNS`).

    datasets : flux datasets by model name. One that has a dimension `model` or `member` gives one model for each of
        its labels, named ``name/label``. They are taken one after the other; functions bound memory to one.
    weights : regions at each dataset's own resolution, see `Weights`.
    approach : the name under which the models stand in the comparison, e.g. ``"ISIMIP"``.
    years : first and last; by default every whole year. Years that a model has not are no rows.
    min_coverage : with data over a smaller share of the region's land the mean and SD are NaN.

    ``mean`` and ``sd`` are g m-2 year-1 of the species and sign of the table (NEE: C, up); ``sd`` is the area-weighted
    standard deviation over the cells of the region (population form). ``coverage`` is the share of the region's land
    with data, ``area_m2`` that land. ``attrs`` hold units, species and sign.

    FluxError: `variable` holds fire (nbp), is absent, or NEE of an inversion from which fire was not removed.
    CoverageError: a model has no whole year of those asked for. Source: Treat et al. 2024.
    """
    require_no_fire_in(variable)
    made: dict[str, xr.DataArray] = {}
    rows: list[pd.DataFrame] = []
    for name, given in datasets.items():
        ds = given() if callable(given) else given
        try:
            require_without_fire(ds, variable, name)
            grid = grid_of(ds)
            here = weights_on(weights, grid, made)
            for label, single in single_models(ds, variable, name):
                sums = _annual(single, variable, years, label)
                rows.append(_rows(sums, here, grid, approach, label, min_coverage))
        finally:
            if callable(given):
                ds.close()
    if not rows:
        raise InputError("region_means: expected at least one dataset; found none.")
    out = pd.concat(rows, ignore_index=True)
    entry = flux_var(variable)
    out.attrs = {
        "units": UNITS,
        "variable": variable,
        "species": entry.species,
        "positive": entry.positive,
    }
    return out


def site_region_means(
    table: pd.DataFrame,
    region: str = "region",
    *,
    value: str = "nee",
    units: str,
    years: Years | None = None,
    approach: str = INSITU,
    site: str = "site_id",
    min_sites: int = 1,
) -> pd.DataFrame:
    """Annual flux of the sites of each region: means of site-years (twelve measured months), then of sites.

    table : site-months as `talik.sources.site_table.read_sites` gives, with a column `region` (see `site_regions`;
        rows without a region are left out and counted in ``attrs["site_years_without_region"]``).
    units : of `value`; 'g m-2 month-1' only.

    Returns the columns of `region_means` with one row a region, ``year`` missing and ``model`` "sites": ``mean`` and
    ``sd`` (n - 1) over sites, each site once; no share of area, so ``coverage`` and ``area_m2`` are NaN. Also
    ``median``, ``n_sites`` and ``n_site_years``. InputError: columns are missing, or no site-year is whole.
    """
    if region not in table.columns:
        raise InputError(
            f"site_region_means: no column {region!r}; found {', '.join(map(str, table.columns[:12]))}. Add it with "
            "talik.regions.site_regions."
        )
    annual = site_years(table, value, units=units, site=site, keep=[region])
    if years is not None:
        annual = annual[annual["year"].between(*years)]
    placed = annual[annual[region].notna()]
    if placed.empty:
        span = f" in {years[0]}-{years[1]}" if years else ""
        raise InputError(
            f"site_region_means: no site in a region has twelve months of {value!r} in one year{span}."
        )
    rows = []
    for name, part in site_means(placed, value, site=site).groupby(region, sort=True):
        if len(part) < min_sites:
            continue
        rows.append(
            {
                "approach": approach,
                "model": SITES,
                "year": pd.NA,
                "region": str(name),
                "mean": float(part[value].mean()),
                "sd": float(part[value].std(ddof=1)),
                "coverage": np.nan,
                "area_m2": np.nan,
                "median": float(part[value].median()),
                "n_sites": len(part),
                "n_site_years": int(part["n_years"].sum()),
            }
        )
    out = pd.DataFrame(rows)
    out.attrs = {"units": UNITS, "site_years_without_region": int(annual[region].isna().sum())}
    return out


def require_no_fire_in(variable: str) -> None:
    """FluxError if `variable` holds fire, so that it cannot be compared with NEE; UnitsError if it is unknown."""
    flux_var(variable)
    if FLUXES["fFire"].part_of == variable:
        raise FluxError(
            f"{variable!r} holds fire and land use; the comparison is of NEE without fire. Take fire out with "
            "talik.compare.remove_fire and compare 'nee'."
        )


def require_without_fire(ds: xr.Dataset, variable: str, name: str) -> None:
    """FluxError unless `ds` has `variable` and, for NEE of an inversion, says which fire product was removed."""
    held = [str(v) for v in ds.data_vars if v in FLUXES]
    if variable not in held:
        whole = FLUXES["fFire"].part_of
        hint = " Take fire out with talik.compare.remove_fire." if whole in held else ""
        raise FluxError(
            f"{name}: expected flux variable {variable!r}; found {', '.join(held) or 'none'}.{hint}"
        )
    if variable == "nee" and ds.attrs.get("approach") == "inversion" and not ds.attrs.get(FIRE_REMOVED):
        raise FluxError(
            f"{name}: NEE of an inversion without the attribute {FIRE_REMOVED!r}; an inversion sees fire, and the "
            "comparison is without. Use talik.compare.remove_fire."
        )


def single_models(ds: xr.Dataset, variable: str, name: str) -> Iterator[tuple[str, xr.Dataset]]:
    """(label, dataset with time and space only), one for each label of a dimension `model` or `member`.

    FluxError: other dimensions, which must be reduced or selected first.
    """
    extra = [str(d) for d in ds[variable].dims if d not in ("time", *grid_of(ds).dims)]
    if wrong := [d for d in extra if d not in ENSEMBLE_DIMS]:
        raise FluxError(
            f"{name}: {variable!r} has dimension {', '.join(wrong)}; expected time, space, model and member. Select "
            "or average first."
        )
    if not extra:
        yield name, ds
        return
    dim = extra[0]
    labels = [str(v) for v in ds[dim].values] if dim in ds.coords else list(map(str, range(ds.sizes[dim])))
    for i, label in enumerate(labels):
        part = ds.isel({dim: i}).drop_vars(dim, errors="ignore")
        yield from single_models(part, variable, f"{name}/{label}")


def weights_on(weights: Weights, grid: Grid, made: dict[str, xr.DataArray] | None = None) -> xr.DataArray:
    """The weights on `grid`: those given, or made by the function once for each grid (kept in `made`)."""
    if not callable(weights):
        return weights
    if made is None:
        return weights(grid)
    if grid.key() not in made:
        made[grid.key()] = weights(grid)
    return made[grid.key()]


def _annual(ds: xr.Dataset, variable: str, years: Years | None, name: str) -> xr.DataArray:
    """Sums of the whole years within `years`, (year, rows, columns), g m-2 year-1; CoverageError if there are none."""
    sums = annual_sums(ds, variable)
    whole = [int(y) for y, ok in zip(sums["year"].values, sums["complete"].values, strict=True) if ok]
    held = [y for y in whole if years is None or years[0] <= y <= years[1]]
    if not held:
        wanted = "any" if years is None else f"{years[0]}-{years[1]}"
        raise CoverageError(
            f"{name}: {variable!r} has no whole year of {wanted}; whole are {period_label(whole) or 'none'}."
        )
    return sums.sel(year=held)


def _rows(
    sums: xr.DataArray, weights: xr.DataArray, grid: Grid, approach: str, model: str, min_coverage: float
) -> pd.DataFrame:
    mean, sd, coverage, area = spatial_statistics(sums, weights, grid, min_coverage)
    whole = xr.Dataset({"mean": mean, "sd": sd, "coverage": coverage, "area_m2": area}).compute()
    frame = whole.transpose("year", "region").to_dataframe().reset_index()
    frame = frame.assign(approach=approach, model=model)
    return frame[list(COLUMNS)].astype({"year": "Int64"})


def spatial_statistics(
    field: xr.DataArray, weights: xr.DataArray, grid: Grid, min_coverage: float = MIN_COVERAGE
) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray, xr.DataArray]:
    """Mean, SD over cells (both by area, units of `field`), share of the region with data and that area in m2.

    field : (..., rows, columns), a density whose ``attrs["area_basis"]`` says which area counts. Each (..., region).
    Lazy. The SD is about the mean of the region; squares are taken about a number near it, so that a small spread on
    a large mean keeps its digits.
    """
    field = conform(field, grid)
    near = field.mean(list(grid.dims))
    apart = (field - near).assign_attrs(units=RATE, area_basis=field.attrs.get("area_basis"))
    options: dict[str, Any] = {"grid": grid, "min_coverage": 1e-9, "on_hole": "nan"}
    first = regional_mean(apart.rename("apart"), weights, **options)
    square = regional_mean(
        (apart**2).assign_attrs(apart.attrs).rename("square"),
        weights,
        **options,
    )
    seen = first["coverage"]
    keep = (seen >= min_coverage - 1e-6) & (seen > 0.0)
    mean = (first["apart"] + near).where(keep)
    variance = (square["square"] - first["apart"] ** 2).clip(min=0.0)
    sd = (variance**0.5).where(keep)
    whole = weights.coords.get("region_area")
    if whole is None:
        whole = (weights.fillna(0.0) * grid.cell_area()).sum(list(grid.dims))
    area = (seen.fillna(0.0) * whole).drop_vars("region_area", errors="ignore")
    return mean, sd, seen.fillna(0.0), area


def require_columns(rows: pd.DataFrame, wanted: Sequence[str], what: str) -> None:
    """InputError that names the missing columns."""
    if lacking := [c for c in wanted if c not in rows.columns]:
        raise InputError(
            f"{what}: columns {', '.join(lacking)} missing; found {', '.join(map(str, rows.columns[:12]))}. Give rows "
            "of region_means and site_region_means."
        )
