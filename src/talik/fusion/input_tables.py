"""Drivers and observations from tables with one row a site and month."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from talik.errors import InputError
from talik.fusion.axis import Array, IntArray, Pixels
from talik.fusion.input_values import Values
from talik.sources.climate_months import month_name
from talik.sources.site_table import month_stamps, numbers, split_header
from talik.sources.table_file import read_table

_KEYS: Mapping[str, tuple[str, ...]] = {
    "site": ("site", "site_id", "cell", "pixel"),
    "year": ("year",),
    "month": ("month",),
    "lat": ("lat", "latitude"),
    "lon": ("lon", "longitude"),
}
"""Columns that say where and when, as they may be called, in any case of letters."""
ROLES = ("calibration", "validation", "none", "")
"""Words of a column that says what a row is for."""
SAME_PLACE = 0.01
"""Positions of a site may differ by so many degrees."""


@dataclass(frozen=True, eq=False)
class TableFile:
    """A table of site-months: columns site (or site_id), year, month, lat, lon, and values with or without units in
    brackets after their names."""

    path: Path
    table: pd.DataFrame
    units: dict[str, str]
    """Units of the columns that say them."""

    @classmethod
    def open(cls, path: Path) -> TableFile:
        """InputError: no site, year or month among the columns, or a site that has a month twice."""
        table, _ = read_table(path)
        heads = {header: split_header(header) for header in table.columns}
        names = [name for name, _ in heads.values()]
        names = _keys_renamed(names)
        if not {"site", "year", "month"} <= set(names):
            raise InputError(
                f"{path}: holds {', '.join(names[:15])}; expected site, year and month among the columns. Rename them."
            )
        table = table.set_axis(names, axis="columns")
        units = {name: units for name, (_, units) in zip(names, heads.values(), strict=True) if units}
        opened = cls(path, table, units)
        twice = pd.DataFrame({"site": opened.sites, "month": opened.serial}).duplicated()
        if twice.any():
            row = int(np.argmax(twice))
            raise InputError(
                f"{path}: {opened.sites[row]} has {month_name(opened.serial[row])} twice ({int(twice.sum())} such "
                "rows); expected one row a site and month. Remove the others."
            )
        return opened

    @cached_property
    def sites(self) -> NDArray[np.object_]:
        """(row,) site of each row."""
        return self.table["site"].astype(str).to_numpy(dtype=object)

    @cached_property
    def serial(self) -> IntArray:
        """(row,) months from January of year 0."""
        stamps = month_stamps(self.table["year"], self.table["month"], self.path).values
        if np.isnat(stamps).any():
            row = int(np.argmax(np.isnat(stamps)))
            raise InputError(
                f"{self.path}: row {row + 1} has no date: year {self.table['year'].iloc[row]}, month "
                f"{self.table['month'].iloc[row]}; expected a year and 1..12."
            )
        return np.asarray(stamps.astype("datetime64[M]").astype(np.int64) + 12 * 1970)

    @cached_property
    def span(self) -> tuple[int, int]:
        """First and last month."""
        return int(self.serial.min()), int(self.serial.max())

    def span_of(self, name: str) -> tuple[int, int] | None:
        """First and last month with a value of a column; None if it has none."""
        known = self.serial[np.isfinite(numbers(self.table[name], self.path).to_numpy())]
        return (int(known.min()), int(known.max())) if known.size else None

    @property
    def names(self) -> tuple[str, ...]:
        """Columns with values."""
        return tuple(str(name) for name in self.table.columns if name not in _KEYS)

    def holds(self, name: str) -> bool:
        """Whether there is such a column."""
        return name in self.table

    def units_of(self, name: str) -> str | None:
        """Units that the header says, None if it says none."""
        return self.units.get(name)

    def pixels(self) -> Pixels:
        """The sites in the order of their first rows, where the table says they lie."""
        names = tuple(dict.fromkeys(self.sites.tolist()))
        lat, lon = (self._position(axis, names) for axis in ("lat", "lon"))
        return Pixels(names, lat, lon)

    def _position(self, axis: str, names: tuple[str, ...]) -> Array:
        """(pixel,) degrees of each site, NaN where no row says them; InputError if a site has several."""
        out = np.full(len(names), np.nan)
        if axis not in self.table:
            return out
        stated = pd.Series(numbers(self.table[axis], self.path).to_numpy()).groupby(self.sites)
        for k, (site, low, high) in enumerate(
            zip(names, stated.min()[list(names)], stated.max()[list(names)], strict=True)
        ):
            if high - low > SAME_PLACE:
                raise InputError(
                    f"{self.path}: {axis} of {site} runs from {low:g} to {high:g}; expected one position for a site. "
                    "Correct it, or give the places names of their own."
                )
            out[k] = low
        return np.where(np.isfinite(out), stated.first()[list(names)].to_numpy(), np.nan)

    def monthly(self, name: str, pixels: Pixels) -> Values:
        """A column as (time, pixel) over the months of the table, NaN where there is no row."""
        return self._spread(numbers(self.table[name], self.path).to_numpy(), pixels, self.units.get(name))

    def marked(self, name: str, word: str, pixels: Pixels) -> Values:
        """1 where a column of words holds `word`, as (time, pixel); NaN where there is no row.

        InputError: no such column, or words that are no roles.
        """
        if name not in self.table:
            raise InputError(
                f"{self.path}: has no column {name}, by which values are assimilated or held out. State its name as "
                "observations.role, or assimilate all."
            )
        words = self.table[name].astype("string").str.strip().str.lower().fillna("")
        if unknown := sorted(set(words) - set(ROLES)):
            some = ", ".join(repr(one) for one in unknown[:5])
            raise InputError(
                f"{self.path}: {name} of {int(words.isin(unknown).sum())} rows is {some}; expected calibration, "
                "validation, or none for rows that are not used. Correct them, or assimilate all."
            )
        is_word = words == word
        return self._spread(np.asarray(is_word, dtype=np.float64), pixels, "1")

    def static(self, name: str, pixels: Pixels) -> Values:
        """One value for each pixel (pixel,), NaN where there is none; InputError if a site has several."""
        values = numbers(self.table[name], self.path).to_numpy()
        out = np.full(len(pixels), np.nan)
        for k, site in enumerate(pixels.names):
            held = np.unique(values[(self.sites == site) & np.isfinite(values)])
            if held.size > 1:
                raise InputError(
                    f"{self.path}: {name} of {site} has {held.size} values; expected one for the site. Give it once."
                )
            out[k] = held[0] if held.size else np.nan
        return Values(out, None, self.units.get(name), str(self.path))

    def _spread(self, values: Array, pixels: Pixels, units: str | None) -> Values:
        first, last = self.span
        column = {site: k for k, site in enumerate(pixels.names)}
        at = np.array([column.get(site, -1) for site in self.sites])
        ours = at >= 0
        out = np.full((last - first + 1, len(pixels)), np.nan)
        out[self.serial[ours] - first, at[ours]] = values[ours]
        return Values(out, np.arange(first, last + 1, dtype=np.int64), units, str(self.path))


def _keys_renamed(names: list[str]) -> list[str]:
    """Columns with the names of site, year, month, lat and lon as this module has them."""
    out = list(names)
    for key, others in _KEYS.items():
        if key not in out:
            at = next((k for other in others for k, name in enumerate(out) if name.lower() == other), None)
            if at is not None:
                out[at] = key
    return out
