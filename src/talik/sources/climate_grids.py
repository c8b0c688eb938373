"""Climate variables on the grid of a NetCDF file as months of wanted cells, read in blocks of whole months."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import dask.array
import numpy as np
import xarray as xr

from talik.errors import InputError, UnitsError
from talik.netcdf import open_netcdf
from talik.sources.climate_cells import Array, IntArray, Points, points_of
from talik.sources.climate_layouts import (
    ClimateVariable,
    FileName,
    Layout,
    find_variable,
    layout_of_grid,
    parse_name,
    to_model_units,
)
from talik.sources.climate_months import TimeAxis, complete_months, month_starts, time_axis

HUGE = 1e19
"""Values beyond this are a fill value, declared or not (1e20 in float32 is not 1e20)."""
BLOCK = 4_000_000
"""Values of the source that one block reads at most, unless one month holds more."""


@dataclass(frozen=True, eq=False)
class Piece:
    """One variable of one file: not read yet, but for its coordinates."""

    path: Path
    variable: ClimateVariable
    data: xr.DataArray
    """(time, *dims of points), in the units of the file."""
    axis: TimeAxis
    points: Points
    layout: Layout
    name: FileName | None
    close: Callable[[], None]
    """Gives back the memory the file holds; it opens again when it is read."""

    @property
    def units(self) -> str:
        """Units in the file."""
        return str(self.data.attrs.get("units"))

    def within(self, first: int, last: int) -> Piece | None:
        """The steps in the months `first` to `last` (both counted), None if there are none."""
        steps = np.flatnonzero((self.axis.month >= first) & (self.axis.month <= last))
        if not steps.size:
            return None
        part = slice(int(steps[0]), int(steps[-1]) + 1)
        axis = replace(self.axis, month=self.axis.month[part], day=self.axis.day[part])
        return replace(self, data=self.data[part], axis=axis)

    def where(self) -> str:
        """File and variable, for messages."""
        return f"{self.path}: {self.data.name}"


def open_grid(path: Path) -> xr.Dataset:
    """A NetCDF file opened lazily, its times as numbers.

    Raises:
        InputError: no such file, or not NetCDF.
    """
    if not path.is_file():
        raise InputError(
            f"{path}: no such file. Check the path; folders are not read, give the files in them."
        )
    with warnings.catch_warnings():
        # two fill values, or one of another type: both are masked
        warnings.simplefilter("ignore", xr.SerializationWarning)
        return open_netcdf(path, "Copy the file again.", decode_times=False)


def pieces_of(
    dataset: xr.Dataset, path: Path, layout: Layout, wanted: Sequence[ClimateVariable], grids: list[Points]
) -> list[Piece]:
    """The `wanted` variables that a file holds. Files of one grid share its points: `grids` collects them.

    Raises:
        InputError: none of them, no dates, other dimensions than time and place, or a name that does not fit.
        GridError: no coordinates.
    """
    kind = layout_of_grid(path, dataset) if layout == "auto" else layout
    name = parse_name(path, kind)
    found = [(v, n) for v in wanted if (n := find_variable(dataset, v, path)) is not None]
    if not found:
        have = ", ".join(map(str, dataset.data_vars)) or "nothing"
        names = ", ".join(n for v in wanted for n in v.names)
        raise InputError(
            f"{path}: holds {have}; expected one of {names}. Leave the file out, or rename the variable."
        )
    points = points_of(dataset, path)
    shared = next((g for g in grids if g.same_as(points)), None)
    if shared is None:
        grids.append(points)
    points = shared or points
    pieces = []
    for variable, held in found:
        data = dataset[held].squeeze(
            [d for d in dataset[held].dims if dataset.sizes[d] == 1 and d not in (*points.dims, "time")],
            drop=True,
        )
        times = [str(d) for d in data.dims if d not in points.dims]
        if len(times) != 1 or not set(points.dims) <= set(data.dims):
            raise InputError(
                f"{path}: {held} has dimensions {dataset[held].dims}; expected time and {', '.join(points.dims)}. "
                "Select one member or level first."
            )
        axis = time_axis(dataset, times[0], path)
        if name is not None:
            name.require(axis, path)
        pieces.append(
            Piece(
                path,
                variable,
                data.transpose(times[0], *points.dims),
                axis,
                points,
                kind,
                name,
                dataset.close,
            )
        )
    return pieces


def monthly(piece: Piece, index: IntArray) -> xr.DataArray:
    """Months of the points `index` in the units of the model, float64 (time, cell), on dask: nothing is read.

    `time` are whole months counted from year 0. Only the smallest rectangle around the points is read, and days become
    the mean (or for precipitation the sum) of their month, whose length is that of the file's calendar.

    Raises:
        InputError: missing, repeated or incomplete months.
        UnitsError: units that do not fit.
    """
    months, starts = complete_months(piece.axis, piece.where())
    rectangle, flat = rectangle_of(piece.points, index)
    data = piece.data.isel(rectangle)
    blocks = _blocks(starts, data.shape[0], int(np.prod(data.shape[1:])))
    sizes = tuple(end - start for start, end in blocks.steps)
    source = data.chunk({data.dims[0]: sizes, **dict.fromkeys(data.dims[1:], -1)}).data
    starts_by_block = [starts[a:b] - starts[a] for a, b in blocks.months]
    values = dask.array.map_blocks(  # type: ignore[no-untyped-call]
        partial(_block_means, flat=flat, starts=starts_by_block),
        source,
        dtype=np.float64,
        drop_axis=list(range(1, source.ndim)),
        new_axis=[1],
        chunks=(tuple(b - a for a, b in blocks.months), (index.size,)),
        meta=np.empty((0, 0), dtype=np.float64),
    )
    means = xr.DataArray(
        values,
        dims=("time", "cell"),
        coords={"time": month_starts(months, piece.axis.calendar)},
        name=piece.data.name,
        attrs=piece.data.attrs,
    )
    try:
        out = to_model_units(means, piece.variable, daily=piece.axis.daily)
    except UnitsError as err:
        raise UnitsError(f"{piece.path}: {err}") from err
    return out.assign_coords(time=months).rename(piece.variable.name)


def first_values(piece: Piece) -> Array:
    """The first step of a piece at every point, (point,), NaN where there is no value."""
    step = np.asarray(piece.data[0].values, dtype=np.float64).ravel()
    return np.where(np.abs(step) < HUGE, step, np.nan)


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Half-open ranges of months, and of steps, that are read together."""

    months: tuple[tuple[int, int], ...]
    steps: tuple[tuple[int, int], ...]


def _blocks(starts: IntArray, steps: int, width: int) -> _Blocks:
    ends = np.append(starts[1:], steps)
    per_block = max(1, BLOCK // max(width, 1))
    months: list[tuple[int, int]] = []
    first = 0
    for i in range(starts.size):
        if i + 1 == starts.size or ends[i + 1] - starts[first] > per_block:
            months.append((first, i + 1))
            first = i + 1
    return _Blocks(tuple(months), tuple((int(starts[a]), int(ends[b - 1])) for a, b in months))


def rectangle_of(points: Points, index: IntArray) -> tuple[dict[str, slice], IntArray]:
    """The smallest range of each dimension that holds the points, and their flat index inside it."""
    places = np.unravel_index(index, points.shape)
    ranges = [(int(p.min()), int(p.max()) + 1) for p in places]
    inside = tuple(p - low for p, (low, _) in zip(places, ranges, strict=True))
    flat = np.ravel_multi_index(inside, tuple(high - low for low, high in ranges))
    return {d: slice(*r) for d, r in zip(points.dims, ranges, strict=True)}, np.asarray(flat, dtype=np.int64)


def _block_means(
    values: Array, flat: IntArray, starts: list[IntArray], block_id: tuple[int, ...] | None = None
) -> Array:
    """Means of the steps of each month at some points, (month, cell), of values (step, *dims)."""
    picked = np.asarray(values.reshape(values.shape[0], -1)[:, flat], dtype=np.float64)
    picked = np.where(np.abs(picked) < HUGE, picked, np.nan)
    begin = starts[block_id[0] if block_id else 0]
    if begin.size == picked.shape[0]:
        return picked
    counts = np.diff(begin, append=picked.shape[0])
    means: Array = np.add.reduceat(picked, begin, axis=0) / counts[:, None]
    return means
