"""What stands behind a "±": spread over cells, over years and over members, never mixed; and NEE against Reco - GPP."""

from __future__ import annotations

import math

import xarray as xr

from talik.errors import CoverageError, FluxError
from talik.products.annual import Years, annual_sums, chosen_years, period_label, period_mean
from talik.products.zonal import RegionalSeries, Zones, budgets, zone_mean
from talik.regions import conform


def annual_statistics(
    series: RegionalSeries,
    *,
    years: Years | None = None,
    mean_map: xr.DataArray | None = None,
    members: RegionalSeries | None = None,
) -> xr.Dataset:
    """Period mean of the annual budget and of the flux per area by region, with three spreads kept apart.

    ``budget`` (Tg year-1) and ``mean`` (g m-2 year-1), each with ``*_sd_interannual`` (n - 1, over the years); with
    `members` (a series with dimension ``member``) also ``*_sd_member`` (n - 1, over the members' period means) and
    ``*_member_mean_minus_central``; with `mean_map` (of the same years) ``mean_sd_spatial``, see `spatial_sd`; and
    ``area``, ``coverage``. The three answer different questions: how unlike the places are, how
    unlike the years are, how sure the mean is.

    CoverageError: no whole year, members that lack years of the central product, or a map of other years.
    """
    yearly = series.budgets().isel(season=0, drop=True)
    held = chosen_years(yearly, years)
    some = yearly.sel(year=held)
    out = xr.Dataset({"area": some["area"].mean("year"), "coverage": some["coverage"].min("year")})
    for name in ("budget", "mean"):
        out[name] = some[name].mean("year", skipna=False).assign_attrs(some[name].attrs)
        sd = some[name].std("year", ddof=1, skipna=False) if len(held) > 1 else out[name] * math.nan
        out[f"{name}_sd_interannual"] = sd.assign_attrs(units=some[name].attrs["units"])
    if mean_map is not None:
        if mean_map.attrs.get("period") != period_label(held):
            raise CoverageError(
                f"mean_map is of {mean_map.attrs.get('period')!r}, the budgets of {period_label(held)!r}; give the "
                "period_mean of the same years."
            )
        out["mean_sd_spatial"] = spatial_sd(mean_map, series.zones)
    if members is not None:
        out = out.assign(_member_spread(members, held, out).data_vars)
    return out.assign_attrs({**yearly.attrs, "period": period_label(held), "n_years": len(held)})


def spatial_sd(mean: xr.DataArray, zones: Zones) -> xr.DataArray:
    """Area-weighted standard deviation over the cells of each region of a map from `period_mean`, in its units.

    The weights are those of the budget; the sum of squares is divided by the whole weight (a population SD).
    """
    mean = conform(mean, zones.grid)
    parts = []
    for number, _ in enumerate(zones.regions):
        one = zones.only(number)
        off = (mean - zone_mean(mean, one).isel(region=0, drop=True)) ** 2
        parts.append(zone_mean(off.assign_attrs(mean.attrs), one) ** 0.5)
    out: xr.DataArray = xr.concat(parts, dim="region")
    return out.assign_attrs(units=mean.attrs.get("units", ""), long_name="SD over cells").rename("sd_spatial")


def nee_consistency(ds: xr.Dataset, zones: Zones, *, years: Years | None = None) -> xr.Dataset:
    """NEE as given beside Reco - GPP: regional budgets by year, and maps of the period means.

    Budgets ``direct``, ``implied``, ``difference`` (implied - direct) in Tg year-1, (year, region), over the cells that
    have all three; maps ``map_direct``, ``map_implied``, ``map_difference`` in g m-2 year-1; ``r``, the area-weighted
    correlation of the two maps over the cells of each region. ``cells_left_out`` (time): cells with NEE that lack one
    of the others.

    FluxError: nee, gpp or reco is not there. CoverageError: as for `budgets`.
    """
    lacking = [v for v in ("nee", "gpp", "reco") if v not in ds.data_vars]
    if lacking:
        raise FluxError(f"nee_consistency: expected nee, gpp and reco; {', '.join(lacking)} missing.")
    nee = ds["nee"]
    use = nee.notnull() & ds["gpp"].notnull() & ds["reco"].notnull()
    alone = ds.drop_vars(["gpp", "reco"])
    pair = [
        alone.assign(nee=field.where(use).assign_attrs(nee.attrs)) for field in (nee, ds["reco"] - ds["gpp"])
    ]
    totals = [budgets(d, "nee", zones).isel(season=0, drop=True) for d in pair]
    held = chosen_years(totals[0], years)
    maps = [
        conform(period_mean(annual_sums(d, "nee"), years), zones.grid).assign_attrs(nee.attrs) for d in pair
    ]
    direct, implied = (t["budget"].sel(year=held) for t in totals)
    out = xr.Dataset(
        {
            "direct": direct,
            "implied": implied,
            "difference": implied - direct,
            "map_direct": maps[0],
            "map_implied": maps[1],
            "map_difference": maps[1] - maps[0],
            "coverage": totals[0]["coverage"].sel(year=held),
            "r": map_correlation(maps[0], maps[1], zones),
            "cells_left_out": (nee.notnull() & ~use).sum([d for d in nee.dims if d != "time"]),
        }
    )
    for name in ("direct", "implied", "difference"):
        out[name].attrs = {"units": "Tg year-1", "species": nee.attrs.get("species", ""), "positive": "up"}
        out[f"map_{name}"].attrs = {**out[name].attrs, "units": "g m-2 year-1"}
    return out.assign_attrs(period=period_label(held), n_years=len(held))


def map_correlation(first: xr.DataArray, second: xr.DataArray, zones: Zones) -> xr.DataArray:
    """Area-weighted Pearson correlation of two maps over the cells of each region that have both, (region)."""
    a, b = (conform(m, zones.grid) for m in (first, second))
    both = a.notnull() & b.notnull()
    a, b = (m.where(both).assign_attrs(first.attrs) for m in (a, b))
    parts = []
    for number, _ in enumerate(zones.regions):
        one = zones.only(number)
        da, db = (m - zone_mean(m, one).isel(region=0, drop=True) for m in (a, b))
        vaa, vbb, vab = (zone_mean(p.assign_attrs(first.attrs), one) for p in (da * da, db * db, da * db))
        scale = (vaa * vbb) ** 0.5
        parts.append(vab / scale.where(scale > 0.0))
    out: xr.DataArray = xr.concat(parts, dim="region")
    return out.assign_attrs(units="1", long_name="area-weighted correlation of two maps").rename("r")


def _member_spread(members: RegionalSeries, held: list[int], central: xr.Dataset) -> xr.Dataset:
    sizes = dict(members.totals.sizes)
    if sizes.get("member", 0) < 2:
        raise CoverageError(
            f"members: expected a dimension 'member' of at least 2; found dimensions {sizes}."
        )
    yearly = members.budgets().isel(season=0, drop=True)
    own = chosen_years(yearly)
    lacking = sorted(set(held) - set(own))
    if lacking:
        raise CoverageError(
            f"members: {period_label(lacking)} missing or incomplete, which the central product has. Give members for "
            "the same years, or choose years that both have."
        )
    out = xr.Dataset()
    for name in ("budget", "mean"):
        each = yearly[name].sel(year=held).mean("year", skipna=False)
        units = central[name].attrs["units"]
        out[f"{name}_sd_member"] = each.std("member", ddof=1, skipna=False).assign_attrs(units=units)
        shift = each.mean("member") - central[name]
        out[f"{name}_member_mean_minus_central"] = shift.assign_attrs(units=units)
    return out
