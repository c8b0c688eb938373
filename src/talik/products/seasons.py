"""Seasons as data: which months, of which year; a user adds one by making a `Season`."""

from __future__ import annotations

import calendar
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import xarray as xr

from talik.errors import ConfigError
from talik.products.steps import Steps, Window, rate_in_grams, steps_of, sum_windows, window


@dataclass(frozen=True, slots=True)
class Season:
    """Months of the year that names the season, and months of the year before (`previous`), 1..12.

    A season that spans the turn of the year carries the year of its end: DJF of 2001 starts in December 2000.
    ConfigError: no months, numbers outside 1..12, or a month given twice.
    """

    name: str
    months: tuple[int, ...]
    previous: tuple[int, ...] = ()
    meaning: str = ""

    def __post_init__(self) -> None:
        every = self.months + self.previous
        if not self.months or any(m not in range(1, 13) for m in every) or len(set(every)) < len(every):
            raise ConfigError(
                f"season {self.name!r}: expected each month once, as 1..12, at least one in the year that names the "
                f"season; found months {self.months}, previous {self.previous}."
            )

    def serials(self, year: int) -> tuple[int, ...]:
        """The months as 12 x year + month - 1, of the season of `year`."""
        return tuple(12 * (year - 1) + m - 1 for m in self.previous) + tuple(
            12 * year + m - 1 for m in self.months
        )


def _month(number: int) -> Season:
    return Season(calendar.month_abbr[number], (number,), meaning=calendar.month_name[number])


ANNUAL = Season("annual", tuple(range(1, 13)), meaning="calendar year")
MONTHS: tuple[Season, ...] = tuple(_month(m) for m in range(1, 13))
_BUILT_IN = (
    ANNUAL,
    Season("JJA", (6, 7, 8), meaning="summer"),
    Season(
        "SepMay", (1, 2, 3, 4, 5, 9, 10, 11, 12), meaning="rest of the calendar year: JJA + SepMay = annual"
    ),
    Season("DJF", (1, 2), (12,), "winter, with December of the year before"),
    Season("MAM", (3, 4, 5), meaning="spring"),
    Season("SON", (9, 10, 11), meaning="autumn"),
    Season("growing", (5, 6, 7, 8, 9), meaning="growing season, May to September"),
    Season("nongrowing", (1, 2, 3, 4), (10, 11, 12), "October to April, from October of the year before"),
    Season("autumn_shoulder", (9, 10, 11), meaning="September to November"),
    Season("spring_shoulder", (4, 5), meaning="April and May"),
    *MONTHS,
)
SEASONS: Mapping[str, Season] = MappingProxyType({s.name: s for s in _BUILT_IN})
"""The seasons that can be asked for by name; the last twelve are the months Jan..Dec."""


def season(which: str | Season) -> Season:
    """The season of that name, or the one given; ConfigError that lists the names."""
    if isinstance(which, Season):
        return which
    if which not in SEASONS:
        raise ConfigError(
            f"season {which!r} is unknown; choose one of: {', '.join(SEASONS)}, or make a Season."
        )
    return SEASONS[which]


def windows(steps: Steps, which: str | Season, years: Sequence[int] | None = None) -> list[Window]:
    """The steps of each season of `years` (by default every calendar year that a step touches)."""
    chosen = season(which)
    return [window(steps, chosen.serials(y), y) for y in (steps.years if years is None else years)]


def seasonal_sums(
    ds: xr.Dataset,
    variable: str,
    which: str | Season = ANNUAL,
    *,
    years: Sequence[int] | None = None,
    incomplete: str = "nan",
) -> xr.DataArray:
    """Amount of a flux in one season of each year, g m-2 year-1 (the season comes once a year), (year, ...).

    ds : flux dataset with any dimensions beside time; the length of each step comes from its bounds, so leap years
        and noleap calendars need nothing. Sign and species stay those of the variable. Lazy.
    incomplete : a season with a gap in time is ``"nan"``, is dropped (``"drop"``) or is an error (``"error"``). The
        coordinate ``complete`` (year) says which are whole. A cell without data in any step is NaN.

    ConfigError: unknown season. CoverageError: incomplete years. FluxError, UnitsError: no such variable, bounds or
    units. Source: Virkkala et al. 2025.
    """
    chosen = season(which)
    rate = rate_in_grams(ds, variable)
    steps = steps_of(ds)
    label = f"{variable!r} {chosen.name}"
    # the lengths are an array without coordinates: bounds and other coordinates of `rate` stay as they are
    amount = rate * steps.seconds.drop_vars("time")
    out = sum_windows(amount, windows(steps, chosen, years), what=label, incomplete=incomplete)
    kept = {
        k: v for k, v in ds[variable].attrs.items() if k in ("species", "positive", "area_basis", "long_name")
    }
    out.attrs = {**kept, "units": "g m-2 year-1", "season": chosen.name, "cell_methods": "time: sum"}
    return out.rename(variable)
