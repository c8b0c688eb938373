"""The time steps of a flux dataset, with their true lengths, and how they fill the months of a season."""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from talik.errors import CoverageError, FluxError
from talik.flux import as_units
from talik.flux.dataset import first_of_month
from talik.flux.table import FLUXES

Seconds = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Steps:
    """Start, end and length of each time step, from the time bounds of the dataset.

    `start`, `end` : seconds since the start of the first step, whole seconds, (time,). `time` : the coordinate, which
    knows the calendar.
    """

    time: xr.DataArray
    first: Any
    start: Seconds
    end: Seconds

    @property
    def seconds(self) -> xr.DataArray:
        """Length of each step, s, (time,)."""
        return xr.DataArray(
            (self.end - self.start).astype(np.float64), dims="time", coords={"time": self.time}
        )

    def name(self, number: int) -> str:
        """Year and month in which a step starts, '2001-06': a stamp may lie at its end."""
        serial = self.years[0] * 12
        while self.month_start(serial + 1) <= self.start[number]:
            serial += 1
        return f"{serial // 12}-{serial % 12 + 1:02d}"

    def month_start(self, serial: int) -> int:
        """First moment of month `serial` (12 x year + month - 1), in the seconds of `start`."""
        return int(_seconds(np.array([first_of_month(self.time, serial)]) - self.first)[0])

    @property
    def years(self) -> list[int]:
        """Calendar years from the first step's start to the last moment of the last step."""
        first = int(self.time.dt.year[0])
        last = int(self.time.dt.year[-1])
        # a stamp may lie on either edge of its step: correct by the edges of the year
        while self.month_start(first * 12) > self.start[0]:
            first -= 1
        while self.month_start((first + 1) * 12) <= self.start[0]:
            first += 1
        while self.month_start(last * 12) >= self.end[-1]:
            last -= 1
        while self.month_start((last + 1) * 12) < self.end[-1]:
            last += 1
        return list(range(first, last + 1))


@dataclass(frozen=True, eq=False)
class Window:
    """The steps that lie inside the months of one season of one year, and what is missing, in words ("" if nothing)."""

    year: int
    index: NDArray[np.int64]
    missing: str

    @property
    def complete(self) -> bool:
        """Whether the steps fill the season."""
        return not self.missing


def starting_years(ds: xr.Dataset) -> NDArray[np.int64]:
    """Calendar year in which each step begins, (time,): a stamp may lie at the end of its step, in the next year."""
    bounds = ds[str(ds["time"].attrs.get("bounds", "time_bnds"))].transpose("time", ...)
    first = xr.DataArray(bounds.values[:, 0], dims="time")
    return np.asarray(first.dt.year.values, np.int64)


def steps_of(ds: xr.Dataset) -> Steps:
    """The steps of `ds`, from the bounds that its time names.

    FluxError: no time, no dates, no bounds, or steps that run backwards or overlap.
    """
    if "time" not in ds.dims or "time" not in ds.indexes or ds["time"].dtype.kind not in "MO":
        raise FluxError(
            f"expected a flux dataset with a time coordinate of dates; found dimensions {dict(ds.sizes)}. "
            "Decode it: xarray.open_dataset(decode_times=True)."
        )
    name = ds["time"].attrs.get("bounds", "time_bnds")
    if name not in ds.variables or ds[name].shape != (ds.sizes["time"], 2):
        raise FluxError(
            f"expected time bounds {name!r} (time, bnds), which say how long each step is; found none. Build the "
            "dataset with talik.flux.make_flux_dataset; ds[['nee']] loses them, ds.drop_vars([...]) does not."
        )
    bounds = ds[name].transpose("time", ...).values
    first = bounds[0, 0]
    start, end = (_seconds(bounds[:, k] - first) for k in (0, 1))
    if (end <= start).any() or (start[1:] < end[:-1]).any():
        raise FluxError(
            f"{name}: steps run backwards or overlap; expected each to end before the next starts. Sort by time, "
            "and drop what stands twice."
        )
    return Steps(ds["time"].drop_vars([c for c in ds["time"].coords if c != "time"]), first, start, end)


def rate_in_grams(ds: xr.Dataset, variable: str) -> xr.DataArray:
    """The rate of a flux variable in g m-2 s-1, float64, lazy.

    FluxError: `ds` holds no such variable. UnitsError: units are missing or do not fit.
    """
    if variable not in ds.data_vars:
        held = [str(v) for v in ds.data_vars if v in FLUXES]
        raise FluxError(
            f"expected flux variable {variable!r}; found {', '.join(held) or 'none'}. Choose one."
        )
    return as_units(ds[variable].astype(np.float64), "g m-2 s-1")


def window(steps: Steps, serials: Iterable[int], year: int) -> Window:
    """The steps inside the months `serials` (12 x year + month - 1) and what they leave open.

    A step belongs if it lies inside one run of adjacent months, so monthly, daily and (for twelve months) annual
    steps do. One that crosses the edge of a run does not, and leaves the season incomplete.
    """
    months = sorted(serials)
    inside = np.zeros(steps.start.size, bool)
    open_months: list[str] = []
    covered = whole = 0
    for run in _runs(months):
        low, high = steps.month_start(run[0]), steps.month_start(run[-1] + 1)
        here = (steps.start >= low) & (steps.end <= high)
        inside |= here
        covered += int((steps.end - steps.start)[here].sum())
        whole += high - low
        for serial in run:
            a, b = steps.month_start(serial), steps.month_start(serial + 1)
            held = np.minimum(steps.end, b) - np.maximum(steps.start, a)
            if int(held[held > 0].sum()) < b - a:
                open_months.append(f"{calendar.month_abbr[serial % 12 + 1]} {serial // 12}")
    missing = ""
    if covered < whole:
        missing = f"no data for {named(open_months)}" if open_months else "steps cross its edges"
    return Window(year, np.flatnonzero(inside), missing)


def sum_windows(
    amount: xr.DataArray,
    windows: Sequence[Window],
    *,
    what: str,
    incomplete: str = "nan",
    how: Literal["sum", "min"] = "sum",
) -> xr.DataArray:
    """Sum (or least) of `amount` (time, ...) over the steps of each window, (year, ...), with ``complete`` (year).

    A NaN in any step makes the sum NaN. `incomplete` says what becomes of a year whose steps leave a gap: ``"nan"``,
    ``"drop"`` or ``"error"`` (CoverageError that names the first year and the months). Lazy.
    """
    if incomplete not in ("nan", "drop", "error"):
        raise CoverageError(f"expected incomplete 'nan', 'drop' or 'error'; found {incomplete!r}.")
    gaps = [w for w in windows if not w.complete]
    if gaps and incomplete == "error":
        raise CoverageError(
            f"{what} {gaps[0].year}: {gaps[0].missing} ({len(gaps)} of {len(windows)} years are incomplete). Choose "
            "years that are whole, or ask for incomplete='nan' or 'drop'."
        )
    chosen = [w for w in windows if w.complete or incomplete == "nan"]
    if not chosen:
        raise CoverageError(
            f"{what}: none of the {len(windows)} years is complete; {windows[0].year}: {windows[0].missing}."
        )
    amount = amount.transpose("time", ...)
    hole = xr.full_like(amount.isel(time=0, drop=True), np.nan)
    if amount.chunks is None:  # indexing numpy is a hundred times cheaper than indexing labelled data
        values, reduce = amount.values, np.sum if how == "sum" else np.min
        sums = [reduce(values[w.index], axis=0) if w.complete else hole.values for w in chosen]
        out = hole.expand_dims(year=len(chosen)).copy(data=np.stack(sums))
    else:
        parts = [
            getattr(amount.isel(time=w.index), how)("time", skipna=False) if w.complete else hole
            for w in chosen
        ]
        out = xr.concat(parts, dim="year", coords="minimal", compat="override", join="override")
    out = out.assign_coords(
        year=("year", [w.year for w in chosen], {"long_name": "calendar year; of its end if it spans two"}),
        complete=("year", [w.complete for w in chosen], {"long_name": "the steps fill the whole season"}),
    )
    return out.transpose("year", ...)


def named(words: Sequence[str], most: int = 6) -> str:
    """Words with commas, the rest counted."""
    rest = len(words) - most
    return ", ".join(words[:most]) + (f" and {rest} more" if rest > 0 else "")


def _runs(months: Sequence[int]) -> list[list[int]]:
    runs: list[list[int]] = []
    for serial in months:
        if runs and serial == runs[-1][-1] + 1:
            runs[-1].append(serial)
        else:
            runs.append([serial])
    return runs


def _seconds(difference: NDArray[Any]) -> Seconds:
    return np.asarray(difference, dtype="timedelta64[s]").astype(np.int64)
