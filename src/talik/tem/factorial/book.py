"""What the experiments of a block of cells give, collected year by year."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import xarray as xr

from talik.sources.climate_months import month_number, month_stamps
from talik.tem.factorial.annual import BY_DEPTH, INTERVALS_M, MONTHLY, VARIABLES
from talik.tem.inputs import Columns
from talik.tem.permafrost.layers import NO_PERMAFROST_M

Array = npt.NDArray[np.float64]


@dataclass
class Book:
    """Annual (…, year, cell), by month and by depth, float32; not a number where nothing was written.

    leading : dimensions before the year with their labels; none for the years before the experiments.
    """

    columns: Columns
    names: tuple[str, ...]
    months: tuple[str, ...]
    years: range
    leading: Mapping[str, Sequence[str]] = field(default_factory=dict)
    decades: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        shape = [len(labels) for labels in self.leading.values()]
        cells = self.columns.lat.size

        def empty(*more: int) -> npt.NDArray[np.float32]:
            return np.full((*shape, *more, cells), np.nan, np.float32)

        self._annual = {n: empty(len(self.years)) for n in self.names}
        self._monthly = {n: empty(12 * len(self.years)) for n in self.months}
        depths = INTERVALS_M.size - 1
        self._depth = {n: empty(len(self.decades), depths) for n in BY_DEPTH if self.decades}

    def write(self, year: int, values: Array, months: Array | None = None, at: tuple[int, ...] = ()) -> None:
        """A year of an experiment, or of the history: values (name, column), months (name, 12, column)."""
        i = year - self.years[0]
        means = self.columns.mean(values)
        for k, name in enumerate(self.names):
            self._annual[name][(*at, i)] = means[k]
        if "activeLayerThickness" in self.names:
            alt = values[self.names.index("activeLayerThickness")]
            frozen = (alt < NO_PERMAFROST_M).astype(np.float64)
            with np.errstate(invalid="ignore"):
                thickness = self.columns.mean(alt * frozen) / self.columns.mean(frozen)
            self._annual["activeLayerThickness"][(*at, i)] = thickness
        if months is not None:
            for k, name in enumerate(self.months):
                place: tuple[int | slice, ...] = (*at, slice(12 * i, 12 * i + 12))
                self._monthly[name][place] = self.columns.mean(months[k])

    def amend(self, year: int, name: str, values: Array, at: tuple[int, ...]) -> None:
        """One variable (column,) of a year again, if it is wanted."""
        if name in self._annual:
            self._annual[name][(*at, year - self.years[0])] = self.columns.mean(values)

    def write_depths(self, year: int, values: Array, at: tuple[int, ...]) -> None:
        """The sums by depth at the end of a year of `decades`: (variable, interval, column)."""
        for k, name in enumerate(BY_DEPTH):
            self._depth[name][(*at, self.decades.index(year))] = self.columns.mean(values[k])

    def dataset(self) -> xr.Dataset:
        """Everything as one dataset."""
        lead = tuple(self.leading)
        out = xr.Dataset(coords={name: list(labels) for name, labels in self.leading.items()})
        out = out.assign_coords(
            lat=("cell", self.columns.lat, {"units": "degrees_north", "standard_name": "latitude"}),
            lon=("cell", self.columns.lon, {"units": "degrees_east", "standard_name": "longitude"}),
            year=np.array(self.years),
        )
        for name, values in self._annual.items():
            out[name] = ((*lead, "year", "cell"), values, VARIABLES[name].attributes())
        if self._monthly:
            out = out.assign_coords(
                time=month_stamps(month_number(self.years[0], 1) + np.arange(12 * len(self.years)))
            )
            for name, values in self._monthly.items():
                attributes = MONTHLY[name].attributes()
                out[f"{name}Monthly"] = ((*lead, "time", "cell"), values, attributes)
        if self._depth:
            metres = {"units": "m", "positive": "down"}
            out = out.assign_coords(
                decade=list(self.decades),
                top=("depth_interval", INTERVALS_M[:-1], metres),
                bottom=("depth_interval", INTERVALS_M[1:], metres),
            )
            for name, values in self._depth.items():
                dims = (*lead, "decade", "depth_interval", "cell")
                out[name] = (dims, values, BY_DEPTH[name].attributes())
        out["cell_area"] = ("cell", self.columns.area_m2, {"units": "m2", "standard_name": "cell_area"})
        return out
