"""Fire beside NEE: per region and year, over the years that both have, and burned ground counted once."""

from __future__ import annotations

import xarray as xr

from talik.errors import CoverageError, FluxError
from talik.products.annual import Years, chosen_years, period_label
from talik.products.zonal import RegionalSeries, Zones, regional_series, zone_mean
from talik.regions import conform, grid_of, regrid
from talik.regions.grid import Grid
from talik.regions.regridding import VALID

FIRE = "fFire"
FIRE_REMOVED = "fire_removed"
"""Attribute that names the fire product that was subtracted from a dataset."""


def fire_on(
    fire: xr.Dataset, grid: Grid, *, land_fraction: xr.DataArray | None = None
) -> tuple[xr.Dataset, xr.DataArray | None]:
    """A fire dataset on another grid by area, and the share of each cell that its values stand for.

    fire : flux dataset with ``fFire``; a place without fire must hold 0, NaN means no data. land_fraction : land share
        of its cells, which keeps the mass of a flux per land area on shore cells. The share is None if the grid is the
        same already. Lazy. FluxError: no ``fFire``.
    """
    if FIRE not in fire.data_vars:
        raise FluxError(
            f"expected a fire dataset with {FIRE!r}; found {', '.join(map(str, fire.data_vars))}."
        )
    src = grid_of(fire)
    field = conform(fire[FIRE], src)
    if src == grid:
        share = None if land_fraction is None else conform(land_fraction, grid)
    else:
        moved = regrid(field, grid, src=src, valid=land_fraction)
        field, share = moved[FIRE], moved[VALID]
        share = share.isel(time=0, drop=True) if "time" in share.dims else share
    bounds = fire["time"].attrs.get("bounds", "time_bnds")
    times = {bounds: fire[bounds]} if bounds in fire.variables else {}
    return xr.Dataset({FIRE: field}, attrs=fire.attrs).assign_coords(times), share


def fire_series(
    fire: xr.Dataset, domain: xr.DataArray, zones: Zones, *, land_fraction: xr.DataArray | None = None
) -> RegionalSeries:
    """Fire over the regions, on the cells of `domain` only (true where the product has data), for `with_fire`.

    The fire dataset is brought to the grid of the zones by area. Its value per area is taken for the whole of each
    cell of the domain, as the product's is.
    """
    grid = zones.grid
    moved, _ = fire_on(fire, grid, land_fraction=land_fraction)
    inside = conform(domain, grid)
    field = moved[FIRE].where(inside).assign_attrs(fire[FIRE].attrs)
    return regional_series(moved.assign({FIRE: field}), FIRE, zones)


def domain_of(ds: xr.Dataset, variable: str) -> xr.DataArray:
    """Cells that have data in any step, and in all members, models and quantiles: the domain of a product."""
    valid = ds[variable].notnull().any("time")
    other = [d for d in valid.dims if d in ("member", "model", "quantile")]
    return valid.all(other) if other else valid


def with_fire(nee: RegionalSeries, fire: RegionalSeries, *, years: Years | None = None) -> xr.Dataset:
    """NEE, fire and their sum by region and year, Tg year-1, for the years that both have.

    ``nee``, ``fire``, ``nee_fire`` (year, ..., region) with ``area`` and both coverages. ``attrs["period"]`` states the
    years; their mean is the mean of the sum over the right years, which is not the sum of two means over different
    years. All emitted carbon counts as CO2-C.

    CoverageError: no common complete year, `years` not held by both, or fire data for less of a region than NEE.
    """
    a, b = (s.budgets().isel(season=0, drop=True) for s in (nee, fire))
    common = sorted(set(chosen_years(a)) & set(chosen_years(b)))
    if not common:
        raise CoverageError(
            f"NEE has {period_label(chosen_years(a))}, fire {period_label(chosen_years(b))}: no year in common."
        )
    if years is not None:
        wanted = list(range(years[0], years[1] + 1))
        if lacking := sorted(set(wanted) - set(common)):
            raise CoverageError(
                f"NEE + fire: expected {years[0]}-{years[1]}; {period_label(lacking)} not in both, common are "
                f"{period_label(common)}. Choose another period."
            )
        common = wanted
    a, b = a.sel(year=common), b.sel(year=common)
    short = (b["coverage"] < 0.99 * a["coverage"]) & a["budget"].notnull()
    other = [d for d in short.dims if d != "region"]
    if bool(short.any()):
        where = [r for r, s in zip(nee.zones.regions, short.any(other).values, strict=True) if s]
        raise CoverageError(
            f"fire data are missing where NEE has data in {', '.join(where)}: coverage down to "
            f"{float(b['coverage'].min()):.3f}, of NEE {float(a['coverage'].min()):.3f}. "
            "Write 0 where nothing burned; NaN means no data."
        )
    out = xr.Dataset(
        {
            "nee": a["budget"],
            "fire": b["budget"],
            "nee_fire": a["budget"] + b["budget"],
            "area": a["area"],
            "coverage": a["coverage"],
            "fire_coverage": b["coverage"],
        }
    )
    out["nee_fire"].attrs = {**a["budget"].attrs, "long_name": "net ecosystem exchange with fire emissions"}
    return out.assign_attrs(
        period=period_label(common),
        n_years=len(common),
        nee_years=period_label(chosen_years(nee.budgets().isel(season=0, drop=True))),
        fire_years=period_label(chosen_years(fire.budgets().isel(season=0, drop=True))),
    )


def fire_shares(both: xr.Dataset, reco: RegionalSeries | None = None) -> xr.Dataset:
    """Fire over net uptake (-NEE), and over Reco, by region, from sums over the same years as `both`.

    both : from `with_fire`. ``of_uptake`` is NaN where the region is a source. Shares, not percent.
    """
    fire, nee = both["fire"].sum("year", skipna=False), both["nee"].sum("year", skipna=False)
    out = xr.Dataset({"of_uptake": (fire / -nee.where(nee < 0.0)).assign_attrs(units="1")})
    if reco is not None:
        yearly = reco.budgets()["budget"].isel(season=0, drop=True)
        lacking = sorted(set(both["year"].values.tolist()) - set(chosen_years(yearly)))
        if lacking:
            raise CoverageError(f"reco lacks {period_label(lacking)}, for which there are NEE and fire.")
        whole = yearly.sel(year=both["year"].values).sum("year", skipna=False)
        out["of_reco"] = (fire / whole.where(whole > 0.0)).assign_attrs(units="1")
    return out.assign_attrs(period=both.attrs["period"], n_years=both.attrs["n_years"])


def burned_share(burned: xr.DataArray, zones: Zones) -> xr.Dataset:
    """Share of each region's area that burned at least once, 0..1, and the share if every repeat is on the same ground.

    burned : fraction of each cell burned in each step, 0..1, (time, ...); NaN is no data. A fraction does not say
        which part of the cell burned. ``once`` takes fires on new ground until the cell is used up, min(1, sum), the
        most it can be; ``least`` takes the largest single step, all others inside it. Fires before the first step are
        not seen.
    CoverageError: values outside 0..1.
    """
    burned = conform(burned, zones.grid)
    if burned.chunks is None and bool(((burned < 0.0) | (burned > 1.0 + 1e-6)).any()):
        raise CoverageError(
            f"burned: expected fractions of the cell in 0..1; found {float(burned.min()):g}..{float(burned.max()):g}. "
            "Divide a percentage by 100, an area by the cell area."
        )
    basis = burned.attrs.get("area_basis", "cell" if zones.weights.attrs.get("covers") == "all" else "land")
    out = xr.Dataset(
        {"once": burned.sum("time", skipna=False).clip(max=1.0), "least": burned.max("time", skipna=False)}
    )
    return out.map(lambda v: zone_mean(v.assign_attrs(area_basis=basis, units="1"), zones))
