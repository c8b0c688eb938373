"""The time axis of a trend: one step a year, every year there."""

from __future__ import annotations

import numpy as np
import xarray as xr

from talik.errors import InputError
from talik.trends.method import LONGEST, Int64

_DRIFT = 0.15
"""Share of a year by which the stamps of annual data may differ in their place in the year."""


def on_every_year(da: xr.DataArray, dim: str) -> tuple[xr.DataArray, Int64]:
    """`da` with `dim` ascending and a missing value (NaN) for each year that is left out, and the years. Lazy.

    The coordinate holds dates (datetime64 or cftime), one a year, or whole years. The result has the years as its
    coordinate. InputError: no such dimension or coordinate, a year twice, more than one step a year, dates at different
    times of the year, steps longer than a year throughout.
    """
    if dim not in da.dims:
        raise InputError(
            f"{da.name!r} has dimensions {', '.join(map(str, da.dims)) or 'none'}; expected one named {dim!r}. "
            "Name the time dimension (dim=, --dim)."
        )
    if dim not in da.coords:
        raise InputError(
            f"{da.name!r}: dimension {dim!r} has no coordinate, so the years are not known. "
            f"Set it: da.assign_coords({dim}=range(first_year, last_year + 1))."
        )
    years = _years(da[dim], f"{da.name!r}: {dim}")
    if not len(years):
        raise InputError(f"{da.name!r}: {dim!r} is empty; expected at least one year.")
    order = np.argsort(years, kind="stable")
    if (order != np.arange(len(order))).any():
        da, years = da.isel({dim: order}), years[order]
    every = np.arange(years[0], years[-1] + 1)
    da = da.drop_vars(dim).assign_coords({dim: years})
    if len(every) > LONGEST:
        raise InputError(
            f"{da.name!r}: {dim} runs from {years[0]} to {years[-1]}; expected at most {LONGEST} years. "
            "Look for a wrong date."
        )
    if len(every) > len(years):
        if da.dtype.kind != "f":
            da = da.astype(np.float64)
        da = da.reindex({dim: every})
    return da, every


def _years(time: xr.DataArray, where: str) -> Int64:
    """The year of each stamp, checked to be one a year."""
    dated = time.dtype.kind in "MO"
    years = _dated(time, where) if dated else _whole(time, where)
    _refuse_repeats(years, time, where, dated=dated)
    gaps = np.diff(np.sort(years))
    if len(gaps) and gaps.min() > 1:
        raise InputError(
            f"{where}: no two stamps are a year apart (the smallest step is {gaps.min()} years); expected annual "
            "steps. Number the steps 1, 2, 3, ...; the slope is then per step."
        )
    return years


def _dated(time: xr.DataArray, where: str) -> Int64:
    """Years of dates that lie at about one time of the year; 1 January 2003 among Decembers is the end of 2002."""
    try:
        if bool(time.isnull().any()):
            raise InputError(f"{where} holds a missing date. Remove that step or give it its date.")
        years = np.asarray(time.dt.year.values, np.int64)
        place = (time.dt.dayofyear.values - 1.0) / np.asarray(time.dt.days_in_year.values, float)
    except (AttributeError, TypeError) as err:
        raise InputError(
            f"{where} holds {time.dtype}, not dates. Decode it (xarray.open_dataset), or give whole years."
        ) from err
    turn = np.angle(np.exp(2j * np.pi * (place - place[:1]))) / (2 * np.pi)  # -0.5..0.5
    if len(turn) and np.ptp(turn) <= _DRIFT:
        shifted: Int64 = years + np.round(place - place[:1] - turn).astype(np.int64)
        return shifted
    if len(np.unique(years)) == len(years) > 0:
        late = int(np.argmax(np.abs(turn)))
        raise InputError(
            f"{where}: stamps lie at different times of the year ({_stamp(time, 0)}, {_stamp(time, late)}); expected "
            "one step a year. Aggregate to annual, seasonal or one calendar month first."
        )
    return years


def _whole(time: xr.DataArray, where: str) -> Int64:
    if time.dtype.kind not in "iuf":
        raise InputError(f"{where} holds {time.dtype}; expected dates or whole years.")
    values = np.asarray(time.values, np.float64)
    wrong = ~(np.isfinite(values) & (np.abs(values) < 1e9))
    wrong |= ~wrong & (values != np.round(values))
    if wrong.any():
        raise InputError(
            f"{where} holds {values[wrong][0]:g}, which is no whole year. Aggregate to annual, seasonal or one "
            "calendar month first, or number the years."
        )
    return values.astype(np.int64)


def _refuse_repeats(years: Int64, time: xr.DataArray, where: str, *, dated: bool) -> None:
    if len(np.unique(years)) == len(years):
        return
    stamps = time.values
    if len({str(s) for s in stamps}) < len(stamps):
        seen: set[str] = set()
        twice = next(str(s) for s in stamps if str(s) in seen or seen.add(str(s)))  # type: ignore[func-returns-value]
        raise InputError(
            f"{where}: {twice[:19]} occurs twice; expected each year once. Remove or average one."
        )
    first = int(np.flatnonzero(np.bincount(years - years.min()) > 1)[0] + years.min())
    count = int((years == first).sum())
    raise InputError(
        f"{where}: {count} steps in {first}; expected one a year. "
        "Aggregate to annual, seasonal or one calendar month first."
        if dated
        else f"{where}: {first} occurs {count} times; expected each year once."
    )


def _stamp(time: xr.DataArray, index: int) -> str:
    return str(time.values[index])[:10]
