"""The files of a run, each opened once, and what several of them hold together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from talik.errors import InputError
from talik.fusion.axis import Array, Pixels, TimeAxis
from talik.fusion.input_grids import GridFile
from talik.fusion.input_tables import TableFile
from talik.fusion.input_values import Values, on_axis, outside
from talik.sources.climate_months import month_name
from talik.sources.climate_tables import is_table

SourceFile = TableFile | GridFile


def open_source(path: Path) -> SourceFile:
    """A table, or a NetCDF file or Zarr store; InputError if it is none of them."""
    if not path.exists():
        raise InputError(f"{path}: no such file. Check the path.")
    return TableFile.open(path) if is_table(path) else GridFile.open(path)


class SourceFiles:
    """Opens files by name, each once."""

    def __init__(self) -> None:
        self._opened: dict[str, SourceFile] = {}

    def file(self, name: str) -> SourceFile:
        if name not in self._opened:
            self._opened[name] = open_source(Path(name))
        return self._opened[name]

    def holding(self, files: Sequence[str], name: str) -> list[SourceFile]:
        """Those of some files that hold a variable."""
        return [f for file in files if (f := self.file(file)).holds(name)]

    def joined(
        self,
        files: Sequence[str],
        name: str,
        read: Callable[[SourceFile], tuple[Array, Values]],
        pixels: Pixels,
        axis: TimeAxis,
    ) -> tuple[Array, NDArray[np.int64]]:
        """(time, pixel) of all files that hold a variable, and the number of values outside the axis, (pixel,)."""
        out = np.full((len(axis), len(pixels)), np.nan)
        beyond = np.zeros(len(pixels), dtype=np.int64)
        for source in self.holding(files, name):
            data, values = read(source)
            if values.serial is None:
                raise InputError(f"{values.where}: {name} has no time; expected months.")
            part = on_axis(data, values.serial, axis)
            both = np.isfinite(out) & np.isfinite(part)
            if both.any():
                at = int(np.argwhere(both)[0, 1])
                raise InputError(
                    f"{values.where}: {name} of {pixels.names[at]} has months that an earlier file has too. "
                    "Leave one out."
                )
            out = np.where(np.isfinite(part), part, out)
            beyond += outside(data, values.serial, axis)
        return out, beyond


def years_of(spans: Sequence[tuple[int, int]]) -> str:
    """First and last month of (first, last) serial numbers, for a reader."""
    return f"{month_name(min(a for a, _ in spans))}..{month_name(max(b for _, b in spans))}"
