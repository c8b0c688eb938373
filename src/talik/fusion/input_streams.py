"""Observations of some pixels: streams with a time and maps, their errors, and what is kept for validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talik.errors import ConfigError
from talik.fusion.axis import Array, IntArray, Pixels, TimeAxis
from talik.fusion.input_files import SourceFile, SourceFiles
from talik.fusion.input_tables import TableFile
from talik.fusion.input_values import Values, converted, on_axis
from talik.fusion.problems import Observed
from talik.fusion.quantities import STOCKS, Quantity
from talik.fusion.settings import Observations, Stream
from talik.sources.climate_months import month_number

HELD_IN = "calibration"
"""What the role of a value is called that is assimilated."""
HELD_OUT = "validation"
"""And of one that is not."""
SAME_YEAR = 0.88
"""Least over largest of twelve values that are one: as rates, a month's sum differs by the months' lengths."""


@dataclass(frozen=True)
class StreamReader:
    """Reads streams. names : of the files of each stream."""

    files: SourceFiles
    names: Mapping[str, Sequence[str]]
    observations: Observations

    def read(self, of: Quantity, stream: Stream, pixels: Pixels, axis: TimeAxis) -> Observed:
        files = self.names[of.name]
        name = stream.variable or of.name
        if of.kind == "map":
            value, sd = self._map(of, stream, name, files, pixels)
            held_out, beyond = np.full(value.shape, np.nan), np.zeros(len(pixels), dtype=np.int64)
            return Observed(value, sd, held_out, beyond, stream.sd is not None)
        value, beyond = self._series(of, stream, name, files, pixels, axis)
        sd = np.full(value.shape, np.nan)
        if isinstance(stream.sd, str):
            unsigned = stream.model_copy(update={"positive": None})
            sd, _ = self._series(of, unsigned, stream.sd, files, pixels, axis)
        elif stream.sd is not None:
            sd = self._one_number(of, stream, name, files, value, axis.serial)
        held_out = np.full(value.shape, np.nan)
        given = self.observations
        if given.assimilate == HELD_IN and of.name in given.split:
            is_in = self._role(HELD_IN, files, name, pixels, axis)
            is_out = self._role(HELD_OUT, files, name, pixels, axis)
            held_out = np.where(is_out, value, np.nan)
            value = np.where(is_in, value, np.nan)
        known = np.isfinite(value) | np.isfinite(held_out)
        annual_sd = None
        if stream.annual_sd is not None:
            annual_sd = self._annual_sd(of, stream, name, files, pixels, axis)
        return Observed(
            value, np.where(known, sd, np.nan), held_out, beyond, stream.sd is not None, annual_sd
        )

    def _annual_sd(
        self,
        of: Quantity,
        stream: Stream,
        name: str,
        files: Sequence[str],
        pixels: Pixels,
        axis: TimeAxis,
    ) -> Array:
        """(year, pixel) error of annual means, NaN in a year with none or with several."""
        like = stream.model_copy(update={"positive": None, "sd": stream.annual_sd})
        if isinstance(like.sd, str):
            months, _ = self._series(of, like, like.sd, files, pixels, axis)
        else:
            months = self._one_number(of, like, name, files, np.ones((len(axis), len(pixels))), axis.serial)
        of_year = months.reshape(-1, 12, len(pixels))
        known = np.isfinite(of_year)
        low, high = (f(np.where(known, of_year, e), axis=1) for f, e in ((np.min, np.inf), (np.max, -np.inf)))
        mean = np.where(known, of_year, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        return np.where(known.any(axis=1) & (low >= SAME_YEAR * high), mean, np.nan)

    def _series(
        self,
        of: Quantity,
        stream: Stream,
        name: str,
        files: Sequence[str],
        pixels: Pixels,
        axis: TimeAxis,
    ) -> tuple[Array, NDArray[np.int64]]:
        def read(source: SourceFile) -> tuple[Array, Values]:
            values = _of_stream(source, name, pixels, stream.year, stock=of.name in STOCKS)
            return converted(values, of, stream.units, stream.species, stream.positive), values

        return self.files.joined(files, name, read, pixels, axis)

    def _map(
        self, of: Quantity, stream: Stream, name: str, files: Sequence[str], pixels: Pixels
    ) -> tuple[Array, Array]:
        """Value and error (pixel,) of a stream that has no time."""
        source = self.files.holding(files, name)[0]
        value = converted(source.static(name, pixels), of, stream.units, stream.species)
        if isinstance(stream.sd, str):
            its = self.files.holding(files, stream.sd)[0]
            sd = converted(its.static(stream.sd, pixels), of, stream.units, stream.species)
        elif stream.sd is not None:
            sd = self._one_number(of, stream, name, files, value)
        else:
            sd = np.full(value.shape, np.nan)
        return value, np.where(np.isfinite(value), sd, np.nan)

    def _one_number(
        self,
        of: Quantity,
        stream: Stream,
        name: str,
        files: Sequence[str],
        like: Array,
        serial: IntArray | None = None,
    ) -> Array:
        """The error that the settings state as a number in the units of the values, at each value."""
        source = self.files.holding(files, name)[0]
        shape = (1,) if serial is None else (serial.size, 1)
        stated = (
            np.full(shape, float(stream.sd)) if isinstance(stream.sd, float | int) else np.full(shape, np.nan)
        )
        values = Values(stated, serial, source.units_of(name), str(source.path))
        return np.where(np.isfinite(like), converted(values, of, stream.units, stream.species), np.nan)

    def _role(
        self, word: str, files: Sequence[str], name: str, pixels: Pixels, axis: TimeAxis
    ) -> NDArray[np.bool_]:
        """(time, pixel) whether a value has this role."""
        out = np.zeros((len(axis), len(pixels)), dtype=bool)
        for source in self.files.holding(files, name):
            if not isinstance(source, TableFile):
                raise ConfigError(
                    f"{source.path}: a grid has no roles, but observations.assimilate is calibration. Assimilate "
                    f"all, or take {name} out of observations.split."
                )
            marked = source.marked(self.observations.role, word, pixels)
            if marked.serial is not None:
                out |= on_axis(marked.data, marked.serial, axis) == 1.0
        return out


def _of_stream(source: SourceFile, name: str, pixels: Pixels, year: int | None, *, stock: bool) -> Values:
    """A stream that has a time, or a map put into January of its year; of a table, the one value of each site.

    stock : maps of one year each count in January too, whatever day of the year stands at them.
    """
    if isinstance(source, TableFile):
        if year is None:
            return source.monthly(name, pixels)
    elif not source.timeless(name):
        return source.sparse(name, pixels, of_years=stock)
    elif year is None:
        raise ConfigError(f"{source.path}: {name} has no time. State the year of the map (year: 2017).")
    once = source.static(name, pixels)
    return Values(once.data[None], np.array([month_number(year, 1)]), once.units, once.where)
