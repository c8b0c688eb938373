"""What the pixels of a block share: months, and who the pixels are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from talik.errors import InputError
from talik.sources.climate_months import month_name, month_number, month_stamps

IntArray = NDArray[np.int64]
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TimeAxis:
    """Consecutive calendar months.

    years, months : (time,), months 1-12. InputError if a month is left out, twice, or out of order.
    """

    years: IntArray
    months: IntArray

    def __post_init__(self) -> None:
        steps = np.diff(self.serial)
        if not self.years.size or np.any(steps != 1):
            at = int(np.argmax(steps != 1)) if steps.size else 0
            found = "no months" if not self.years.size else f"a break after {month_name(self.serial[at])}"
            raise InputError(f"time axis: {found}; expected consecutive months. Complete it.")

    @classmethod
    def of_years(cls, first: int, last: int) -> TimeAxis:
        """All months of the years `first` to `last`."""
        serial = np.arange(month_number(first, 1), month_number(last, 12) + 1, dtype=np.int64)
        return cls(serial // 12, serial % 12 + 1)

    @cached_property
    def serial(self) -> IntArray:
        """(time,) months from January of year 0."""
        return 12 * self.years + self.months - 1

    @cached_property
    def bounds(self) -> NDArray[np.datetime64]:
        """(time, 2) first day of each month and of the next one."""
        return np.stack([month_stamps(self.serial), month_stamps(self.serial + 1)], axis=1)

    @cached_property
    def dt(self) -> Array:
        """(time,) days of each month; a February of a leap year has 29."""
        return np.asarray((self.bounds[:, 1] - self.bounds[:, 0]) / np.timedelta64(1, "D"), dtype=np.float64)

    @cached_property
    def doy_end(self) -> Array:
        """(time,) day of year of the last day of each month."""
        last = self.bounds[:, 1].astype("datetime64[D]") - np.timedelta64(1, "D")
        first = last.astype("datetime64[Y]").astype("datetime64[D]")
        return np.asarray((last - first) / np.timedelta64(1, "D") + 1.0, dtype=np.float64)

    def __len__(self) -> int:
        return int(self.years.size)


@dataclass(frozen=True, eq=False)
class Pixels:
    """Who the pixels of a block are.

    names : (pixel,), each of them once.     lat, lon : (pixel,) degrees north and east; NaN where no file says it.
    """

    names: tuple[str, ...]
    lat: Array
    lon: Array

    def take(self, which: NDArray[np.intp] | slice) -> Pixels:
        """Some of the pixels."""
        names = np.array(self.names, dtype=object)[which]
        return Pixels(tuple(str(name) for name in names), self.lat[which], self.lon[which])

    def __len__(self) -> int:
        return len(self.names)
