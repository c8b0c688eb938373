"""Drivers and observations from NetCDF and Zarr, on a grid or a list of cells."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cftime
import numpy as np
import xarray as xr

from talik.errors import InputError
from talik.fusion.axis import Array, IntArray, Pixels
from talik.fusion.input_values import Values
from talik.sources.climate_cells import Points, cell_size_km, locate, nearest, points_of, wanted_cells
from talik.sources.climate_grids import HUGE, open_grid, rectangle_of
from talik.sources.climate_months import TimeAxis, complete_months, month_name, month_number, time_axis

HALF_DIAGONAL = 0.708
"""A place farther from a point than so many widths of its cell lies in no corner of it."""


@dataclass(frozen=True, eq=False)
class GridFile:
    """A NetCDF file or Zarr store whose variables have dimensions (time, cell), (time, lat, lon), or no time."""

    path: Path
    dataset: xr.Dataset

    @classmethod
    def open(cls, path: Path) -> GridFile:
        """InputError if it cannot be read."""
        if not path.is_dir():
            return cls(path, open_grid(path))
        try:
            return cls(path, xr.open_zarr(path, decode_times=False, consolidated=False))
        except (OSError, ValueError, KeyError) as err:
            raise InputError(f"{path}: not readable as Zarr ({err}). Copy the store again.") from err

    @cached_property
    def points(self) -> Points:
        """Its points."""
        return points_of(self.dataset, self.path)

    @cached_property
    def time_dim(self) -> str | None:
        """The dimension that holds dates, time or another name (valid_time of ERA5); None without any."""
        others = [str(dim) for dim in self.dataset.dims if dim not in self.points.dims]
        dated = [
            dim
            for dim in others
            if dim in self.dataset.variables and " since " in str(self.dataset[dim].attrs.get("units", ""))
        ]
        return "time" if "time" in others else next(iter(dated), None)

    @cached_property
    def span(self) -> tuple[int, int] | None:
        """First and last month; None without a time axis."""
        return None if self.time_dim is None else self._ends(self._months(self.time_dim).month)

    def span_of(self, name: str) -> tuple[int, int] | None:
        """First and last month of a variable of any steps; None without a time axis."""
        dim = next((str(dim) for dim in self.dataset[name].dims if dim == self.time_dim), None)
        return None if dim is None else self._ends(self._dates(dim))

    @staticmethod
    def _ends(months: IntArray) -> tuple[int, int]:
        return int(months.min()), int(months.max())

    def _months(self, dim: str) -> TimeAxis:
        """The steps of drivers; InputError if they look like the ends of the months they stand for."""
        axis = time_axis(self.dataset, dim, self.path)
        months = axis.month
        ends = (
            not axis.daily and months.size % 12 == 0 and (axis.day == 1).all()
        )  # with bounds a day is the 15th
        if ends and months[0] % 12 == 1 and months[-1] % 12 == 0:
            raise InputError(
                f"{self.path}: {dim} runs from {month_name(months[0])} to {month_name(months[-1])} on first days, "
                "without bounds: the first January is missing and there is one too many at the end, as where stamps "
                "stand at the ends of their months. Add bounds of time, or move the stamps into their months."
            )
        return axis

    @property
    def names(self) -> tuple[str, ...]:
        """Variables with values."""
        return tuple(str(name) for name in self.dataset.data_vars)

    def holds(self, name: str) -> bool:
        """Whether there is such a variable."""
        return name in self.dataset.data_vars

    def units_of(self, name: str) -> str | None:
        """Units that the file says, None if it says none."""
        units = self.dataset[name].attrs.get("units")
        return None if units is None else str(units)

    def pixels(self, name: str, cells: tuple[tuple[float, float], ...] | None) -> Pixels:
        """The points nearest to `cells`, or all where `name` has a value in its first month, named by position.

        Raises:
            GridError: a cell that lies outside the grid.
        """
        if cells is None:
            data = self.dataset[name]
            times = [d for d in data.dims if d not in self.points.dims]
            first = np.asarray(
                data.isel(dict.fromkeys(times, 0)).transpose(*self.points.dims).values, dtype=float
            )
            index = np.flatnonzero(np.isfinite(first.ravel()) & (np.abs(first.ravel()) < HUGE))
        else:
            index = locate(self.points, wanted_cells(cells))
        lat, lon = self.points.lat[index], self.points.lon[index]
        return Pixels(tuple(f"{a:+.3f}{o:+.3f}" for a, o in zip(lat, lon, strict=True)), lat, lon)

    def monthly(self, name: str, pixels: Pixels) -> Values:
        """A monthly variable as (time, pixel); one that has no place is the same everywhere.

        Raises:
            InputError: no time, days instead of months, or months missing or twice.
        """
        data = self._time_first(name)
        axis = self._months(str(data.dims[0]))
        if axis.daily:
            raise InputError(
                f"{self.path}: {name} has daily steps; expected months. Make monthly means of it."
            )
        months, _ = complete_months(axis, f"{self.path}: {name}")
        return Values(self._at(data, pixels), months, self.units_of(name), str(self.path))

    def sparse(self, name: str, pixels: Pixels, *, of_years: bool = False) -> Values:
        """A variable of some months or years as (time, pixel), NaN in the months between.

        of_years : where no year has two dates, each stands in January of its year.
        """
        data = self._time_first(name)
        found = self._dates(str(data.dims[0]))
        if of_years and np.unique(found // 12).size == found.size:
            found = 12 * (found // 12)
        serial = np.arange(found.min(), found.max() + 1, dtype=np.int64)
        out = np.full((serial.size, len(pixels)), np.nan)
        out[found - found.min()] = self._at(data, pixels)
        return Values(out, serial, self.units_of(name), str(self.path))

    def timeless(self, name: str) -> bool:
        """Whether a variable has places alone."""
        return set(self.dataset[name].dims) == set(self.points.dims)

    def static(self, name: str, pixels: Pixels) -> Values:
        """A variable without time as (pixel,)."""
        if not self.timeless(name):
            raise InputError(
                f"{self.path}: {name} has dimensions {self.dataset[name].dims}; expected {', '.join(self.points.dims)}."
            )
        data = self.dataset[name].transpose(*self.points.dims).expand_dims("once")
        return Values(self._at(data, pixels)[0], None, self.units_of(name), str(self.path))

    def _time_first(self, name: str) -> xr.DataArray:
        data = self.dataset[name]
        times = [d for d in data.dims if d not in self.points.dims]
        places = [d for d in self.points.dims if d in data.dims]
        if len(times) != 1 or len(places) not in (0, len(self.points.dims)):
            raise InputError(
                f"{self.path}: {name} has dimensions {data.dims}; expected time and {', '.join(self.points.dims)}. "
                "Select one member or level first; say the year of a map without time."
            )
        return data.transpose(times[0], *places)

    def _dates(self, dim: str) -> IntArray:
        stamps = self.dataset[dim]
        units = str(stamps.attrs.get("units", ""))
        if " since " not in units:
            raise InputError(f"{self.path}: {dim} has units {units!r}; expected 'days since ...'. Set them.")
        dates = cftime.num2date(stamps.values, units, str(stamps.attrs.get("calendar", "standard")))
        found = np.array([month_number(d.year, d.month) for d in np.atleast_1d(dates)], dtype=np.int64)
        if np.unique(found).size != found.size:
            raise InputError(f"{self.path}: {dim} has a month twice; expected each once. Remove one.")
        return found

    def _at(self, data: xr.DataArray, pixels: Pixels) -> Array:
        """(time, pixel) values at the nearest points; NaN outside the grid and for fill values."""
        if data.ndim == 1:
            out = np.repeat(np.asarray(data.values, dtype=np.float64)[:, None], len(pixels), axis=1)
        else:
            index, distance = nearest(self.points, np.nan_to_num(pixels.lat), np.nan_to_num(pixels.lon))
            reach = cell_size_km(self.points, index) * (HALF_DIAGONAL if len(self.points.shape) > 1 else 1.0)
            held = (distance <= reach) & np.isfinite(pixels.lat)
            ranges, flat = rectangle_of(self.points, index)
            part = np.asarray(data.isel(ranges).values, dtype=np.float64)
            out = np.where(held, part.reshape(part.shape[0], -1)[:, flat], np.nan)
        return np.where(np.abs(out) < HUGE, out, np.nan)
