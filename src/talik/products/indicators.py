"""Numbers that sum up a product: uptake over emission, share of sources, decadal shift, seasonal amplitude."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import theilslopes

from talik.errors import CoverageError, FluxError
from talik.flux.table import flux_var
from talik.products.annual import Years, chosen_years, period_label
from talik.products.seasons import MONTHS
from talik.products.zonal import RegionalSeries, Zones, zone_area
from talik.regions import conform

EARLY: Years = (2001, 2010)
LATE: Years = (2011, 2020)


def uptake_ratio(series: RegionalSeries, *, years: Years | None = None) -> xr.Dataset:
    """Summer uptake over the emission of the other months, R = -sum NEE(JJA) / sum NEE(Sep-May), by region.

    Also ``uptake`` (-NEE of JJA) and ``emission`` (NEE of the rest), means over the years in Tg year-1. R above 1 is an
    annual sink. R is NaN where it means nothing: no uptake in JJA, or no emission in the rest. Years as in
    `period_mean`; the sums run over the calendar year, so that both together are the annual budget.

    FluxError: a variable that is not positive to the atmosphere. Source: Virkkala et al. 2025.
    """
    if flux_var(series.variable).positive != "up":
        raise FluxError(
            f"uptake_ratio: {series.variable!r} is positive into the land; expected one like nee, positive up."
        )
    both = series.budgets(["JJA", "SepMay"])
    held = chosen_years(both.assign_coords(complete=both["complete"].all("season")), years)
    mean = both["budget"].sel(year=held).mean("year", skipna=False)
    uptake, emission = -mean.sel(season="JJA", drop=True), mean.sel(season="SepMay", drop=True)
    ratio = (uptake / emission.where(emission > 0.0)).where(uptake > 0.0)
    out = xr.Dataset(
        {
            "ratio": ratio.assign_attrs(
                units="1", long_name="uptake in JJA over emission from September to May"
            ),
            "uptake": uptake.assign_attrs(units="Tg year-1", long_name="net uptake in JJA"),
            "emission": emission.assign_attrs(
                units="Tg year-1", long_name="net emission from September to May"
            ),
            "coverage": both["coverage"].sel(year=held).min(["season", "year"]),
        }
    )
    return out.assign_attrs(variable=series.variable, period=period_label(held), n_years=len(held))


def source_fraction(mean: xr.DataArray, zones: Zones) -> xr.Dataset:
    """Share of each region's area with data where the mean annual flux is above zero, 0..1.

    mean : map from `period_mean`, g m-2 year-1. Also ``area`` (m2 with data), and the ``largest`` and ``smallest``
    value among the cells of the region.
    """
    mean = conform(mean, zones.grid)
    area = zone_area(mean.notnull(), zones, like=mean)
    share = zone_area(mean > 0.0, zones, like=mean) / area.where(area > 0.0)
    inside = mean.where(conform(zones.weights, zones.grid).reset_coords(drop=True) > 0.0)
    space = list(zones.grid.dims)
    out = xr.Dataset(
        {
            "source_fraction": share.assign_attrs(units="1", long_name="area share of sources"),
            "area": area,
            "largest": inside.max(space).assign_attrs(units=mean.attrs["units"]),
            "smallest": inside.min(space).assign_attrs(units=mean.attrs["units"]),
        }
    )
    return out.assign_attrs({k: mean.attrs[k] for k in ("period", "n_years") if k in mean.attrs})


def monthly_means(series: RegionalSeries) -> xr.DataArray:
    """Mean flux over each region in each month, g m-2 month-1, (month, year, ..., region).

    A month counts if the steps of the dataset fill it.
    """
    out = series.budgets(MONTHS)["mean"].rename(season="month", complete="complete_month")
    out = out.assign_coords(month=np.arange(1, 13))
    whole = out["complete_month"].all("month").rename("complete")
    out = out.assign_coords(complete=("year", whole.values))
    return out.assign_attrs({**out.attrs, "units": "g m-2 month-1"}).rename(series.variable)


def decadal_shift(series: RegionalSeries, *, early: Years = EARLY, late: Years = LATE) -> xr.DataArray:
    """Mean flux of each region and month in `late` minus that in `early`, g m-2 month-1, (month, ..., region).

    CoverageError: a year of either period is absent or incomplete.
    """
    monthly = monthly_means(series)
    before, after = (
        monthly.sel(year=chosen_years(monthly, p)).mean("year", skipna=False) for p in (early, late)
    )
    label = f"{early[0]}-{early[1]} to {late[0]}-{late[1]}"
    return (
        (after - before).assign_attrs({**monthly.attrs, "period": label}).rename(f"{series.variable}_shift")
    )


def amplitude_change(series: RegionalSeries, *, years: Years | None = None) -> xr.Dataset:
    """Change of the seasonal amplitude of each region's mean flux over the period, percent, by Theil-Sen.

    A_y is the largest minus the smallest of the twelve monthly means of year y (g m-2 month-1, as amounts of the
    calendar month). Change is 100 x slope x (last - first year) / fitted value at the first year; the fitted line is
    median(A - slope x year) + slope x year. Returns ``amplitude`` (year, region), ``slope``, ``fitted_first``,
    ``change`` (region). NaN where a region has no data.

    CoverageError: fewer than 3 complete years. Source: Virkkala et al. 2025, who leave the definition open.
    """
    monthly = monthly_means(series)
    held = chosen_years(monthly, years)
    if len(held) < 3:
        raise CoverageError(
            f"amplitude_change: expected at least 3 complete years; found {len(held)} ({period_label(held)})."
        )
    some = monthly.sel(year=held)
    amplitude = some.max("month", skipna=False) - some.min("month", skipna=False)
    x = np.asarray(held, float)
    slope, first = xr.apply_ufunc(
        _theil_sen_line,
        amplitude,
        kwargs={"x": x},
        input_core_dims=[["year"]],
        output_core_dims=[[], []],
        vectorize=True,
        dask="parallelized",
        output_dtypes=[np.float64, np.float64],
        dask_gufunc_kwargs={"allow_rechunk": True},
    )
    change = 100.0 * slope * (held[-1] - held[0]) / first.where(first != 0.0)
    out = xr.Dataset(
        {
            "amplitude": amplitude.assign_attrs(units="g m-2 month-1", long_name="seasonal amplitude"),
            "slope": slope.assign_attrs(units="g m-2 month-1 year-1"),
            "fitted_first": first.assign_attrs(units="g m-2 month-1"),
            "change": change.assign_attrs(units="percent", long_name="change of the seasonal amplitude"),
        }
    )
    return out.assign_attrs(variable=series.variable, period=period_label(held), n_years=len(held))


def _theil_sen_line(y: NDArray[np.float64], x: NDArray[np.float64]) -> tuple[float, float]:
    """Slope, and the fitted value at the first x; NaN if any value is."""
    if not np.isfinite(y).all():
        return np.nan, np.nan
    slope = float(theilslopes(y, x)[0])
    return slope, float(np.median(y - slope * (x - x[0])))
