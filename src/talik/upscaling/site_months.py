"""Which time step of a grid a row of a site table belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from talik.errors import GridError, InputError
from talik.sources.problem import in_rows
from talik.upscaling.site_cells import Index, bounds_of, name_of

TimeStep = Literal["month", "year"]


@dataclass(frozen=True, slots=True)
class Steps:
    """Time dimension (None if there is none) and the step of each row, OUTSIDE where the file has none."""

    dim: str | None
    kind: str
    of_row: Index


def steps_of(
    dataset: xr.Dataset,
    data: xr.DataArray,
    spatial: tuple[str, str],
    sites: pd.DataFrame,
    time_step: TimeStep | None,
    stand_in_years: Mapping[int, int],
) -> Steps:
    """Which time step of a grid each row of a site table is read from, by date, month of the year or year.

    spatial : the two dimensions of its cells. stand_in_years : a year to the year read in its place, for annual data.

    Raises:
        GridError: more than one time axis, or one that is neither months, years nor dates of either.
    """
    where = f"{name_of(dataset)}: {data.name}"
    dated = [str(d) for d in data.dims if _is_dated(dataset, str(d))]
    named = [str(d) for d in data.dims if str(d).lower() in ("month", "year") and str(d) not in dated]
    others = [d for d in data.dims if d not in (*spatial, *dated, *named) and data.sizes[d] > 1]
    if len(dated) + len(named) > 1 or others:
        raise GridError(
            f"{where} has dimensions {tuple(data.dims)}; beside {spatial} only one time axis is allowed, of dates "
            "(decode them), 'month' or 'year'. Choose along the others first, e.g. .isel(depth=0)."
        )
    if not dated and not named:
        return Steps(None, "none", np.zeros(len(sites), dtype=np.int64))
    dim = (dated + named)[0]
    years, months = _calendar_columns(sites)
    instead = np.array([stand_in_years.get(int(y), int(y)) for y in years], dtype=np.int64)
    if named:
        numbers = dataset[dim].values if dim in dataset.variables else np.arange(1, data.sizes[dim] + 1)
        if dim.lower() == "month":
            return Steps(dim, "month of year", _match(numbers, months, "month", where))
        return Steps(dim, "year", _match(numbers, instead, "year", where))
    counted, span = counted_months(dataset, dim)
    if "climatology" in dataset[dim].attrs:
        return Steps(dim, "month of year", _match(counted % 12 + 1, months, "month", where))
    if (time_step or _length(counted, span, where)) == "year":
        return Steps(dim, "year", _match(counted // 12, instead, "year", where))
    return Steps(dim, "month", _match(counted, 12 * years + months - 1, "month", where))


def _is_dated(dataset: xr.Dataset, dim: str) -> bool:
    if dim not in dataset.variables or dataset[dim].dims != (dim,):
        return False
    first = dataset[dim].values[:1]
    return first.dtype.kind == "M" or (first.size > 0 and hasattr(first[0], "calendar"))


def counted_months(dataset: xr.Dataset, dim: str) -> tuple[Index, Index | None]:
    """Months since year 0 of each step, from the middle of its bounds if there are any, and months between these."""

    def count(dates: npt.NDArray[np.generic]) -> Index:
        clock = xr.DataArray(dates, dims=dim).dt
        return np.asarray(12 * clock.year + clock.month - 1, dtype=np.int64)

    bounds = bounds_of(dataset, dim)
    if bounds is None or "climatology" in dataset[dim].attrs:
        return count(dataset[dim].values), None
    start, end = bounds.values.T
    return count(start + (end - start) / 2), count(end) - count(start)


def _length(counted: Index, span: Index | None, where: str) -> TimeStep:
    """Whether steps are months or years, by their bounds, else by the shortest spacing."""
    if span is None and counted.size < 2:
        raise InputError(
            f"{where} has one time step without bounds. Pass time_step='month' or time_step='year'."
        )
    months = int(np.median(span)) if span is not None else int(np.diff(np.sort(counted)).min())
    if months <= 1:  # 0: bounds that end on the last day; or two steps in a month, which _match refuses
        return "month"
    if months >= 11:
        return "year"
    raise InputError(
        f"{where}: time steps are {months} months long or apart; expected months or years. Average to months first, "
        "or pass time_step='month' if each step stands for the month of its date only."
    )


def _match(keys: npt.NDArray[np.generic], wanted: Index, period: str, where: str) -> Index:
    """Position of each wanted key, OUTSIDE where there is none."""
    index = pd.Index(keys)
    if not index.is_unique:
        raise InputError(
            f"{where}: two of its {len(index)} time steps fall in the same {period}. Average to {period}s first "
            "(talik.upscaling.gapfill.monthly_means)."
        )
    return np.asarray(index.get_indexer(pd.Index(wanted)), dtype=np.int64)


def _calendar_columns(sites: pd.DataFrame) -> tuple[Index, Index]:
    if missing := [c for c in ("year", "month") if c not in sites.columns]:
        raise InputError(f"site table: no column {', '.join(missing)}, but the grid changes with time.")
    years, months = (sites[c].to_numpy() for c in ("year", "month"))
    whole = [
        pd.to_numeric(sites[c], errors="coerce").to_numpy(np.float64) % 1 == 0 for c in ("year", "month")
    ]
    bad = np.flatnonzero(~(whole[0] & whole[1] & np.isin(months, np.arange(1, 13))))
    if bad.size:
        raise InputError(
            "site table: year and month must be whole numbers, month 1..12; found "
            f"{years[bad[0]]}, {months[bad[0]]} in {in_rows(bad.tolist())}. Correct them, or leave them out."
        )
    return years.astype(np.int64), months.astype(np.int64)
