"""Amounts from rates by the true length of each step, annual sums, and their means over a period."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from talik.errors import CoverageError
from talik.products.seasons import ANNUAL, seasonal_sums
from talik.products.steps import rate_in_grams, steps_of

Years = tuple[int, int]
"""First and last year, both included."""


def step_amounts(ds: xr.Dataset, variable: str) -> xr.DataArray:
    """Amount of a flux in each time step, g m-2, by the length between its time bounds; lazy, dimensions kept.

    FluxError: no such variable or no bounds. UnitsError: units are missing or do not fit.
    """
    rate = rate_in_grams(ds, variable)
    out = rate * steps_of(ds).seconds.drop_vars("time")
    return out.assign_attrs({**ds[variable].attrs, "units": "g m-2", "cell_methods": "time: sum"}).rename(
        variable
    )


def annual_sums(
    ds: xr.Dataset, variable: str, *, years: Sequence[int] | None = None, incomplete: str = "nan"
) -> xr.DataArray:
    """Annual flux of each calendar year, g m-2 year-1, (year, ...); see `seasonal_sums`.

    A year counts only if its steps fill all of it: twelve months, or every day, or one annual step.
    """
    return seasonal_sums(ds, variable, ANNUAL, years=years, incomplete=incomplete)


def period_mean(sums: xr.DataArray, years: Years | None = None) -> xr.DataArray:
    """Mean over years of seasonal or annual sums (year, ...), same units; `attrs["period"]` says which years.

    years : first and last, each of which must be there and complete; by default all complete years. A cell without
        data in one of them is NaN.
    CoverageError: years that are absent or incomplete, or none at all.
    """
    held = chosen_years(sums, years)
    out = sums.sel(year=held).mean("year", skipna=False)
    return out.assign_attrs({**sums.attrs, "period": period_label(held), "n_years": len(held)})


def chosen_years(sums: xr.DataArray | xr.Dataset, years: Years | None = None) -> list[int]:
    """The complete years, within `years` if given, where each must be there and complete; else CoverageError."""
    whole = sums["complete"].values if "complete" in sums.coords else np.ones(sums.sizes["year"], bool)
    held = [int(y) for y, ok in zip(sums["year"].values, whole, strict=True) if ok]
    name = getattr(sums, "name", None) or "sums"
    if years is None:
        if not held:
            raise CoverageError(f"{name!r}: no year is complete, so there is no mean. Give whole years.")
        return held
    wanted = list(range(years[0], years[1] + 1))
    lacking = [y for y in wanted if y not in held]
    if lacking or not wanted:
        raise CoverageError(
            f"{name!r}: expected every year of {years[0]}-{years[1]}; {', '.join(map(str, lacking)) or 'none'} "
            f"missing or incomplete, complete are {period_label(held) if held else 'none'}. Choose another period."
        )
    return wanted


def period_label(years: Sequence[int]) -> str:
    """'2001-2020' for adjacent years, else '2001-2005, 2007'."""
    runs: list[list[int]] = []
    for year in sorted(years):
        if runs and year == runs[-1][-1] + 1:
            runs[-1].append(year)
        else:
            runs.append([year])
    return ", ".join(f"{r[0]}-{r[-1]}" if len(r) > 1 else str(r[0]) for r in runs)
