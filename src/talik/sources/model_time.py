"""The steps of model output: calendar months or years in any calendar, none missing and none twice."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cftime
import numpy as np
import numpy.typing as npt
import xarray as xr

from talik.errors import InputError
from talik.regions.axes import BOUNDS
from talik.sources.climate_months import IntArray, month_name, month_number

Step = Literal["month", "year"]
_LONG = re.compile(
    r"^\s*(?P<unit>months?|years?)\s+since\s+(?P<year>\d{1,4})-(?P<month>\d{1,2})", re.IGNORECASE
)
_NEEDED: dict[Step, int] = {"month": 1, "year": 12}
_DAYS: dict[Step, tuple[float, float]] = {"month": (27.0, 32.0), "year": (359.0, 367.0)}
_WORDS: dict[str, Step] = {"monthly": "month", "mon": "month", "annual": "year", "yearly": "year"}
_SAME = {
    "standard": "proleptic_gregorian",
    "gregorian": "proleptic_gregorian",
    "365_day": "noleap",
    "366_day": "all_leap",
}
"""Calendars whose months are as long since 1583 go by one name, so that files of both can be read together."""
_NANOSECOND_YEARS = (1678, 2261)
_TRIED = ("standard", "noleap", "360_day")


@dataclass(frozen=True, eq=False)
class Steps:
    """When the steps of a file are.

    first : (step,) the month each step begins with, counted from January of year 0.     step : what each covers.
    """

    first: IntArray
    step: Step
    calendar: str

    @property
    def months(self) -> int:
        """Months in a step."""
        return _NEEDED[self.step]

    @property
    def after(self) -> int:
        """The month after the last step."""
        return int(self.first[-1]) + self.months

    def span(self) -> str:
        """First and last month, for messages."""
        return f"{month_name(self.first[0])}..{month_name(self.after - 1)}"


def time_dimension(data: xr.DataArray, dataset: xr.Dataset, path: Path) -> str:
    """The dimension of `data` whose coordinate counts time since a date: time, time_counter or any other name.

    InputError if there is none, or more than one.
    """
    found = [
        str(d)
        for d in data.dims
        if d in dataset.variables and " since " in str(dataset[d].attrs.get("units", "")).lower()
    ]
    if len(found) != 1:
        raise InputError(
            f"{path}: {data.name} has dimensions {', '.join(map(str, data.dims))}, of which {len(found)} hold dates; "
            "expected one, with units such as 'days since 1901-01-01'. Set the units of the time axis."
        )
    return found[0]


def read_steps(
    dataset: xr.Dataset,
    dim: str,
    path: Path,
    *,
    calendars: Sequence[str],
    default_calendar: str,
    step_word: str | None,
    span: tuple[str, str] | None,
    notes: list[str],
) -> Steps:
    """The months or years along `dim` of a dataset opened without decoding times.

    A step is that of the middle of its bounds where the file has them, else of its stamp. Axes in "months since" and
    "years since" count calendar months and years. step_word : the step as the file name says it (monthly, annual).
    span : first and last year or month that the file name says (1901, 190112); stamps one step later than that, in a
    file without bounds, stand at the end of their step and are moved, with a note.

    InputError: an unknown calendar or one that the product does not have, days, steps that are missing, twice or not
    in order, or other than the file name says.
    """
    axis = dataset[dim]
    units = str(axis.attrs["units"])
    calendar = str(axis.attrs.get("calendar", "")).lower()
    if not calendar:
        calendar = default_calendar
        notes.append(f"{path.name}: {dim} states no calendar: taken as {calendar}")
    if calendar not in calendars:
        raise InputError(
            f"{path}: the calendar of {dim} is {calendar!r}; files of this product have {', '.join(calendars)}. Is it "
            "another product? If not, add the calendar to a profile of your own."
        )
    values = np.asarray(axis.values, dtype=np.float64)
    if not values.size or not np.isfinite(values).all():
        raise InputError(
            f"{path}: {dim} has {values.size} steps, some without a number. Copy the file again."
        )
    bounds = _bounds(dataset, dim, path)
    said = _WORDS.get((step_word or "").lower()) or _span_step(span, values.size)
    serial, step = _serials(values, bounds, units, calendar, said, dim, path)
    serial = _fitted_to_name(serial, step, span, bounds is not None, path, notes)
    _require_adjacent(serial, step, values, bounds, units, calendar, path)
    return Steps(serial, step, _SAME.get(calendar, calendar))


def stamps(first: IntArray, step: Step, calendar: str) -> tuple[xr.DataArray, xr.DataArray]:
    """Time (time,), each step at its beginning, and bounds (time, bnds).

    datetime64 in the Gregorian calendar where nanoseconds reach, else dates of the calendar (cftime).
    """
    ends = first + _NEEDED[step]
    years = int(first[0]) // 12, int(ends[-1]) // 12
    low, high = _NANOSECOND_YEARS
    edges: npt.NDArray[np.generic]
    if calendar == "proleptic_gregorian" and low <= years[0] and years[1] <= high:
        edges = (np.column_stack([first, ends]) - 12 * 1970).astype("datetime64[M]").astype("datetime64[ns]")
    else:
        edges = np.array(
            [
                [cftime.datetime(int(m) // 12, int(m) % 12 + 1, 1, calendar=calendar) for m in row]
                for row in zip(first, ends, strict=True)
            ]
        )
    time = xr.DataArray(edges[:, 0], dims="time", coords={"time": edges[:, 0]}, name="time")
    return time, xr.DataArray(edges, dims=("time", "bnds"), coords={"time": edges[:, 0]}, name="time_bnds")


def _serials(
    values: npt.NDArray[np.float64],
    bounds: npt.NDArray[np.float64] | None,
    units: str,
    calendar: str,
    said: Step | None,
    dim: str,
    path: Path,
) -> tuple[IntArray, Step]:
    """Month with which each step begins, and the step."""
    long = _LONG.match(units)
    if long is not None:
        scale = 12 if long["unit"].lower().startswith("year") else 1
        origin = month_number(int(long["year"]), int(long["month"]))
        serial = origin + np.floor(scale * values + 1e-6).astype(np.int64)
        apart = np.median(np.diff(serial)) if serial.size > 1 else (scale if said is None else _NEEDED[said])
        step: Step | None = {1: "month", 12: "year"}.get(int(apart))  # type: ignore[assignment]
    else:
        middle = values if bounds is None else bounds.mean(axis=1)
        try:
            dates = cftime.num2date(middle, units, calendar=calendar, only_use_cftime_datetimes=True)
            serial = np.array([month_number(d.year, d.month) for d in dates], dtype=np.int64)
        except (ValueError, OverflowError) as err:
            raise InputError(
                f"{path}: {dim} in {units!r}, calendar {calendar!r}, is not understood ({err}). Correct the file."
            ) from err
        step = _step_of(middle, bounds, units, said)
    if step is None:
        raise InputError(
            f"{path}: the steps of {dim} ({units}, {values.size} of them) are neither months nor years. Give monthly "
            "or annual files; a single step needs time bounds or its length in the file name."
        )
    return (serial - serial % 12 if step == "year" else serial), step


def _step_of(
    middle: npt.NDArray[np.float64], bounds: npt.NDArray[np.float64] | None, units: str, said: Step | None
) -> Step | None:
    per_day = {"d": 1.0, "h": 24.0, "m": 1440.0, "s": 86_400.0}.get(units.strip()[0].lower(), 1.0)
    if bounds is not None:
        apart = float(np.median(bounds[:, 1] - bounds[:, 0])) / per_day
    elif middle.size > 1:
        apart = float(np.median(np.diff(middle))) / per_day
    else:
        return said
    return next((s for s, (low, high) in _DAYS.items() if low < apart < high), None)


def _span_step(span: tuple[str, str] | None, count: int) -> Step | None:
    if span is None:
        return None
    first, last = _named_span(span)
    return {1: "month", 12: "year"}.get((last - first) // count)  # type: ignore[return-value]


def _named_span(span: tuple[str, str]) -> tuple[int, int]:
    """First month and the one after the last, of years or months as they stand in a file name."""
    start, end = (s if len(s) == 6 else f"{s}{m}" for s, m in zip(span, ("01", "12"), strict=True))
    return month_number(int(start[:4]), int(start[4:])), month_number(int(end[:4]), int(end[4:])) + 1


def _fitted_to_name(
    serial: IntArray, step: Step, span: tuple[str, str] | None, bounded: bool, path: Path, notes: list[str]
) -> IntArray:
    if span is None:
        return serial
    first, after = _named_span(span)
    need = _NEEDED[step]
    off = int(serial[0]) - first, int(serial[-1]) + need - after
    if off == (0, 0):
        return serial
    if off == (need, need) and not bounded:
        notes.append(
            f"{path.name}: stamps stand at the end of each {step}, as its name says: moved to the beginning"
        )
        return serial - need
    raise InputError(
        f"{path}: time runs {month_name(serial[0])}..{month_name(serial[-1] + need - 1)}, but the file name says "
        f"{month_name(first)}..{month_name(after - 1)}. Correct the name, or the units or calendar of the time axis."
    )


def _require_adjacent(
    serial: IntArray,
    step: Step,
    values: npt.NDArray[np.float64],
    bounds: npt.NDArray[np.float64] | None,
    units: str,
    calendar: str,
    path: Path,
) -> None:
    apart = np.diff(serial)
    wrong = np.flatnonzero(apart != _NEEDED[step])
    if not wrong.size:
        return
    at = int(wrong[0])
    hint = ""
    for other in _TRIED:
        if other != calendar and not _LONG.match(units):
            again, _ = _serials(values, bounds, units, other, step, "time", path)
            if (np.diff(again) == _NEEDED[step]).all():
                hint = f" With calendar {other} every {step} stands once: is the calendar of the file wrong?"
                break
    raise InputError(
        f"{path}: after {month_name(serial[at])} comes {month_name(serial[at + 1])}; expected each {step} once and in "
        f"order.{hint or ' Get the whole file again.'}"
    )


def _bounds(dataset: xr.Dataset, dim: str, path: Path) -> npt.NDArray[np.float64] | None:
    """Bounds of the steps in the units of the axis, (step, 2), or None."""
    stated = dataset[dim].attrs.get("bounds")
    for name in ([stated] if stated else []) + [pattern.format(dim) for pattern in BOUNDS]:
        if name not in dataset.variables or dataset[name].shape != (dataset.sizes[dim], 2):
            continue
        own = dataset[name].attrs.get("units", dataset[dim].attrs["units"])
        if own != dataset[dim].attrs["units"]:
            raise InputError(
                f"{path}: {name} has units {own!r}, {dim} {dataset[dim].attrs['units']!r}; expected the same. Correct "
                "them."
            )
        found = np.asarray(dataset[name].values, dtype=np.float64)
        if not (found[:, 1] > found[:, 0]).all():
            raise InputError(
                f"{path}: {name} has steps that end before they begin, or NaN. Correct or drop the bounds."
            )
        return found
    return None
