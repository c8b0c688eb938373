"""Calendar months of a file's time axis: any calendar, daily or monthly steps, nothing missing and nothing twice."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import cftime
import numpy as np
import numpy.typing as npt
import xarray as xr

from talik.errors import InputError
from talik.regions.axes import BOUNDS

IntArray = npt.NDArray[np.int64]

NAMED = 3
"""How many months or days a message names."""
_LONG_STEP = re.compile(r"^(?P<unit>months?|years?)\s+since\s+(?P<year>-?\d{1,4})-(?P<month>\d{1,2})")
_DAILY = (0.5, 1.5)
_MONTHLY = (27.0, 32.0)


@dataclass(frozen=True, eq=False)
class TimeAxis:
    """When the steps of a file are, in the calendar of the file.

    month : (step,) calendar months counted from January of year 0.     day : (step,) day of the month, from 1.
    """

    month: IntArray
    day: IntArray
    calendar: str
    daily: bool

    def span(self) -> str:
        """First and last month, for messages."""
        return f"{month_name(self.month.min())}..{month_name(self.month.max())}"


def month_number(year: int, month: int) -> int:
    """Months from January of year 0 to a month (1..12) of a year."""
    return 12 * year + month - 1


def month_name(number: int | np.int64) -> str:
    """A month as it is written in messages: 2001-03."""
    return f"{int(number) // 12:04d}-{int(number) % 12 + 1:02d}"


def days_in_months(months: IntArray, calendar: str) -> IntArray:
    """Length in days of each month in a CF calendar, (month,)."""
    return np.array(
        [cftime.datetime(int(m) // 12, int(m) % 12 + 1, 1, calendar=calendar).daysinmonth for m in months],
        dtype=np.int64,
    )


def month_starts(months: IntArray, calendar: str) -> npt.NDArray[np.object_]:
    """The first day of each month as dates of a CF calendar, (month,)."""
    dates = [cftime.datetime(int(m) // 12, int(m) % 12 + 1, 1, calendar=calendar) for m in months]
    return np.array(dates, dtype=object)


def month_stamps(months: IntArray) -> npt.NDArray[np.datetime64]:
    """The first day of each month as datetime64, (month,); years may lie outside those of nanoseconds."""
    return (months - 12 * 1970).astype("datetime64[M]").astype("datetime64[s]")


def time_axis(dataset: xr.Dataset, dim: str, path: Path) -> TimeAxis:
    """The steps along `dim` of a dataset opened without decoding times.

    A step belongs to the month of the middle of its bounds where the file has them, else to that of its stamp. Axes in
    "months since" and "years since" count calendar months, not days.

    Raises:
        InputError: no dates, an unknown calendar, or steps that are neither days nor months.
    """
    if dim not in dataset.variables or " since " not in str(dataset[dim].attrs.get("units", "")):
        raise InputError(
            f"{path}: {dim} holds no dates (units {dataset.get(dim, xr.DataArray()).attrs.get('units')!r}); expected "
            "'days since ...'. A climatology without years cannot drive the model; set the units of the axis."
        )
    axis = dataset[dim]
    units, calendar = str(axis.attrs["units"]), str(axis.attrs.get("calendar", "standard")).lower()
    values = np.asarray(axis.values, dtype=np.float64)
    if not values.size or not np.isfinite(values).all():
        raise InputError(f"{path}: {dim} has {values.size} steps, some of them missing. Copy the file again.")
    long = _LONG_STEP.match(units)
    if long is not None:
        scale = 12 if long["unit"].startswith("year") else 1
        months = month_number(int(long["year"]), int(long["month"])) + np.floor(scale * values + 1e-6).astype(
            np.int64
        )
        if scale == 12 and values.size > 1 and np.median(np.diff(values)) > 0.5:
            raise InputError(
                f"{path}: steps of {dim} are years; expected days or months. Give monthly or daily files."
            )
        return TimeAxis(months, np.ones_like(months), calendar, daily=False)
    bounds = _bounds(dataset, dim)
    step = _step_days(values, bounds, units)
    middle = values if bounds is None else bounds.mean(axis=1)
    try:
        dates = cftime.num2date(middle, units, calendar=calendar, only_use_cftime_datetimes=True)
    except ValueError as err:
        raise InputError(
            f"{path}: {dim} in {units!r}, calendar {calendar!r}, is not understood ({err}). Correct the file."
        ) from err
    daily = _DAILY[0] < step < _DAILY[1]
    if not daily and not _MONTHLY[0] < step < _MONTHLY[1]:
        raise InputError(
            f"{path}: steps of {dim} are {step:g} days apart; expected days or months. Give daily or monthly files."
        )
    month = np.array([month_number(d.year, d.month) for d in dates], dtype=np.int64)
    return TimeAxis(month, np.array([d.day for d in dates], dtype=np.int64), calendar, daily)


def complete_months(axis: TimeAxis, where: str) -> tuple[IntArray, IntArray]:
    """Months that an axis covers, (month,), and the first step of each.

    Raises:
        InputError: a month or day missing or given twice, or a month without all its days; each is named.
    """
    months, days = axis.month, axis.day
    starts = np.flatnonzero(np.diff(months, prepend=months[0] - 1))
    if not axis.daily:
        _consecutive(months, where)
        return months, np.arange(months.size, dtype=np.int64)
    found = months[starts]
    _consecutive(found, where)
    expected = days_in_months(found, axis.calendar)
    first_days = np.concatenate([np.arange(1, n + 1) for n in expected])
    if days.size != first_days.size or (days != first_days).any():
        counts = np.diff(starts, append=months.size)
        wrong = np.flatnonzero(counts != expected)
        if not wrong.size:
            wrong = np.flatnonzero(np.add.reduceat((days != first_days).astype(int), starts))
        named = ", ".join(
            f"{month_name(found[i])} ({counts[i]} of {expected[i]} days)" for i in wrong[:NAMED]
        )
        raise InputError(
            f"{where}: {len(wrong)} incomplete months in calendar {axis.calendar!r}: {named}. A month needs each of "
            "its days once and in order; complete the file, or leave these years out with period."
        )
    return found, starts.astype(np.int64)


def list_months(months: IntArray) -> str:
    """Months for a message: the first few by name, and how many there are."""
    named = ", ".join(month_name(m) for m in months[:NAMED])
    return named if months.size <= NAMED else f"{named} and {months.size - NAMED} more"


def _consecutive(months: IntArray, where: str) -> None:
    """Every month once and in order, else an error that names the months."""
    if (np.diff(months) == 1).all():
        return
    unique, counts = np.unique(months, return_counts=True)
    missing = np.setdiff1d(np.arange(unique[0], unique[-1] + 1), unique)
    faults = []
    if missing.size:
        faults.append(f"{list_months(missing)} missing")
    if (counts > 1).any():
        faults.append(f"{list_months(unique[counts > 1])} given twice")
    raise InputError(
        f"{where}: {'; '.join(faults) or 'months out of order'}. Expected every month once and in order from "
        f"{month_name(unique[0])} to {month_name(unique[-1])}; correct the time axis or complete the file."
    )


def _bounds(dataset: xr.Dataset, dim: str) -> npt.NDArray[np.float64] | None:
    stated = dataset[dim].attrs.get("bounds")
    for name in [stated] if stated else [form.format(dim) for form in BOUNDS]:
        if name in dataset.variables and dataset[name].shape == (dataset.sizes[dim], 2):
            return np.asarray(dataset[name].values, dtype=np.float64)
    return None


def _step_days(values: npt.NDArray[np.float64], bounds: npt.NDArray[np.float64] | None, units: str) -> float:
    """Median length of a step in days; a single step without bounds is taken for a month."""
    if values.size > 1:
        step = float(np.median(np.abs(np.diff(values))))
    elif bounds is not None:
        step = float(bounds[0, 1] - bounds[0, 0])
    else:
        return 30.0
    unit = units.split()[0].lower().rstrip("s")
    return step / {"hour": 24.0, "hr": 24.0, "h": 24.0, "minute": 1440.0, "min": 1440.0}.get(
        unit, 86_400.0 if unit.startswith("sec") or unit == "" else 1.0
    )
