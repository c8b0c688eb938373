"""What a block is inferred from: drivers and observations of its pixels, on one time axis and in one set of units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talik.errors import ConfigError, UnitsError
from talik.fusion.axis import Array, Pixels, TimeAxis
from talik.fusion.doubts import place_problems, stream_doubts
from talik.fusion.drivers import Drivers
from talik.fusion.input_files import SourceFile, SourceFiles, years_of
from talik.fusion.input_grids import GridFile
from talik.fusion.input_streams import StreamReader
from talik.fusion.input_tables import TableFile
from talik.fusion.input_values import Values, converted
from talik.fusion.problems import Observed, PixelProblem, broken, driver_problems, stream_problems
from talik.fusion.quantities import ACM2_ONLY, DISTURBANCE, DRIVERS, STREAMS, Quantity
from talik.fusion.settings import Files, FusionSettings
from talik.sources.co2 import read_co2


@dataclass(frozen=True, eq=False)
class Inputs:
    """Input of some pixels: drivers by name (time, pixel) in the units of `quantities`, streams, and what is wrong."""

    axis: TimeAxis
    pixels: Pixels
    drivers: dict[str, Array]
    streams: dict[str, Observed]
    scenario: int
    problems: tuple[PixelProblem, ...]

    @property
    def good(self) -> NDArray[np.intp]:
        """Pixels without errors."""
        bad = broken(self.problems)
        return np.array([k for k, name in enumerate(self.pixels.names) if name not in bad], dtype=np.intp)

    def drivers_of(self, which: NDArray[np.intp]) -> Drivers:
        """Drivers of some pixels, (time, pixel, 1), the last axis for chains.

        Wind and vapour pressure deficit are NaN where ACM1 does without them.
        """

        def of(name: str) -> Array:
            values = self.drivers.get(name)
            if values is None and name in ACM2_ONLY:
                return np.full((len(self.axis), which.size, 1), np.nan)
            if values is None:
                return np.zeros((len(self.axis), which.size, 1))
            return values[:, which, None]

        burned, loss = of("burned"), of("loss")
        return Drivers(
            dt=self.axis.dt[:, None, None],
            doy_end=self.axis.doy_end[:, None, None],
            tmin=of("tmin"),
            tmax=of("tmax"),
            sw=of("sw"),
            co2=of("co2"),
            vpd=of("vpd"),
            wind=of("wind"),
            burned=burned,
            loss=loss,
            latitude=self.pixels.lat[which, None],
            scenario=self.scenario,
            fires="burned" in self.drivers,
            losses="loss" in self.drivers,
        )


class Reader:
    """Reads the files of a run; each is opened once."""

    def __init__(self, settings: FusionSettings, files: Files) -> None:
        self.settings, self.files = settings, files
        self._sources = SourceFiles()
        self._check_drivers()
        self._check_streams()
        self._check_units()

    def axis(self) -> TimeAxis:
        """All months of the period, or of the years that the drivers have."""
        if self.files.period is not None:
            return TimeAxis.of_years(*self.files.period)
        spans = [span for name in self.files.drivers if (span := self._sources.file(name).span) is not None]
        if not spans:
            raise ConfigError(
                f"{', '.join(self.files.drivers)}: no months in them; expected monthly drivers."
            )
        return TimeAxis.of_years(min(s[0] for s in spans) // 12, max(s[1] for s in spans) // 12)

    def pixels(self) -> Pixels:
        """The pixels of the run, in the order of the settings or of the files.

        Raises:
            ConfigError: names that there are not, cells of a table, or no pixel at all.
        """
        tables = [f for name in self.files.drivers if isinstance(f := self._sources.file(name), TableFile)]
        if tables:
            found = self._sites(tables)
        else:
            found = self._grid_with_drivers().pixels(self._name(self.settings.needed[0]), self.settings.cells)
            if self.settings.pixels is not None:
                found = _named(found, self.settings.pixels, self.files.drivers[0])
        if self.settings.north_of is not None:
            found = found.take(np.flatnonzero(~(found.lat < self.settings.north_of)))
        if twice := [name for name, count in Counter(found.names).items() if count > 1]:
            raise ConfigError(f"fusion.cells: {', '.join(twice)} is nearest to two of them; leave one out.")
        if not len(found):
            raise ConfigError(
                f"{', '.join(self.files.drivers)}: no pixel is left. Check pixels and north_of."
            )
        return found

    def read(self, pixels: Pixels) -> Inputs:
        """Everything that some pixels need, and all that is wrong with each."""
        axis = self.axis()
        drivers = {name: self._driver(DRIVERS[name], pixels, axis) for name in self.settings.needed}
        if self.settings.drivers.co2 is not None:
            drivers["co2"] = self._co2(pixels, axis)
        reader = StreamReader(self._sources, self.files.streams, self.settings.observations)
        streams = {
            n: reader.read(STREAMS[n], of, pixels, axis)
            for n, of in self.settings.observations.streams.items()
        }
        given = self.settings.observations.streams
        required = [n for n, of in given.items() if of.required]
        lognormal = [n for n, of in given.items() if of.error.error == "lognormal"]
        problems = driver_problems(drivers, axis, pixels, list(drivers))
        problems += place_problems(pixels, drivers, axis)
        spans = {name: self._span(name) for name in streams}
        problems += stream_problems(
            streams, axis, pixels, required=required, lognormal=lognormal, spans=spans
        )
        problems += stream_doubts(streams, drivers, axis, pixels)
        # round-off below zero would be a negative light or a negative burned area to the model
        drivers = {n: v if DRIVERS[n].low < 0 else np.where(v < 0, 0.0, v) for n, v in drivers.items()}
        return Inputs(axis, pixels, drivers, streams, self.settings.drivers.scenario, tuple(problems))

    def _name(self, driver: str) -> str:
        return self.settings.drivers.variables.get(driver, driver)

    def _check_drivers(self) -> None:
        """Every driver that is needed is in some file."""
        lacking = [
            name
            for name in self.settings.needed
            if not any(self._sources.file(f).holds(self._name(name)) for f in self.files.drivers)
        ]
        if lacking:
            told = "; ".join(_how_to(name, self._name(name)) for name in lacking)
            held = list(dict.fromkeys(n for f in self.files.drivers for n in self._sources.file(f).names))
            raise ConfigError(
                f"{', '.join(self.files.drivers)}: no {', '.join(lacking)} in them. {told}. They hold "
                f"{', '.join(held[:20])}."
            )

    def _check_streams(self) -> None:
        """Every stream and its error are in some of its files; tells of all that are not at once."""
        lacking = []
        for name, of in self.settings.observations.streams.items():
            sources = [self._sources.file(file) for file in self.files.streams[name]]
            wanted = {f"observations.{name}.variable": of.variable or name}
            if isinstance(of.sd, str):
                wanted[f"observations.{name}.sd"] = of.sd
            held = dict.fromkeys(held for source in sources for held in source.names)
            lacking += [
                f"no {variable} in {', '.join(self.files.streams[name])}, which {key} names; it holds "
                f"{', '.join(list(held)[:20])}"
                for key, variable in wanted.items()
                if variable not in held
            ]
        if lacking:
            raise ConfigError(f"fusion: {'; '.join(lacking)}. State variable, sd or files.")

    def _check_units(self) -> None:
        """Everything has units, in its file or in the project; tells of all that has none at once."""
        given = self.settings.drivers.units
        lacking = [
            f"{name} (drivers.units: {{{name}: {DRIVERS[name].units}}})"
            for name in self.settings.needed
            if name not in given and self._unitless(self.files.drivers, self._name(name))
        ]
        lacking += [
            f"{name} (observations.{name}.units: {STREAMS[name].units})"
            for name, of in self.settings.observations.streams.items()
            if of.units is None and self._unitless(self.files.streams[name], of.variable or name)
        ]
        if lacking:
            raise UnitsError(
                f"fusion: no units, neither in the files nor in the project, of {', '.join(lacking)}. State those that "
                "the values are in; the ones here are examples."
            )

    def _unitless(self, files: Sequence[str], name: str) -> bool:
        held = self._sources.holding(files, name)
        return any(f.units_of(name) is None for f in held)

    def _sites(self, tables: Sequence[TableFile]) -> Pixels:
        if self.settings.cells is not None:
            raise ConfigError(
                "fusion.cells chooses from a grid, but the drivers are a table. Name sites as pixels."
            )
        parts = [table.pixels() for table in tables]
        first: dict[str, tuple[float, float]] = {}
        for part in parts:
            for name, lat, lon in zip(part.names, part.lat, part.lon, strict=True):
                if not np.isfinite(first.get(name, (np.nan, np.nan))).any():
                    first[name] = (float(lat), float(lon))
        places = np.array(list(first.values()), dtype=np.float64)
        found = Pixels(tuple(first), places[:, 0], places[:, 1])
        return (
            found
            if self.settings.pixels is None
            else _named(found, self.settings.pixels, str(tables[0].path))
        )

    def _grid_with_drivers(self) -> GridFile:
        wanted = self._name(self.settings.needed[0])
        held = self._sources.holding(self.files.drivers, wanted)
        return next(f for f in held if isinstance(f, GridFile))

    def _driver(self, of: Quantity, pixels: Pixels, axis: TimeAxis) -> Array:
        units = self.settings.drivers.units.get(of.name)

        def read(source: SourceFile) -> tuple[Array, Values]:
            values = source.monthly(self._name(of.name), pixels)
            return converted(values, of, units), values

        name = self._name(of.name)
        held = self._sources.holding(self.files.drivers, name)
        spans = [span for source in held if (span := source.span) is not None]
        first, last = int(axis.serial[0]), int(axis.serial[-1])
        if spans and not any(a <= last and b >= first for a, b in spans):
            raise ConfigError(
                f"{', '.join(str(f.path) for f in held)}: {name} has the months {years_of(spans)}, the period is "
                f"{first // 12}..{last // 12}. Correct fusion.period, or give other files."
            )
        out, _ = self._sources.joined(self.files.drivers, name, read, pixels, axis)
        return out

    def _span(self, stream: str) -> str:
        """First and last month of the files of a stream, for a reader; nothing where they have no time."""
        of = self.settings.observations.streams[stream]
        name = of.variable or stream
        held = self._sources.holding(self.files.streams[stream], name)
        spans = [span for source in held if (span := source.span_of(name)) is not None]
        return years_of(spans) if spans else ""

    def _co2(self, pixels: Pixels, axis: TimeAxis) -> Array:
        """Annual means, the same in every month and pixel."""
        given = self.settings.drivers.co2
        years = int(axis.years[0]), int(axis.years[-1])
        annual = read_co2(list(self.files.co2), years=years, scenario=given.scenario if given else None)
        monthly = annual.values[axis.years - years[0]]
        return np.repeat(monthly[:, None], len(pixels), axis=1)


def _named(found: Pixels, names: Sequence[str], where: str) -> Pixels:
    place = {name: k for k, name in enumerate(found.names)}
    if unknown := [name for name in names if name not in place]:
        some = ", ".join(found.names[:10]) + (", ..." if len(found) > 10 else "")
        raise ConfigError(
            f"fusion.pixels: no {', '.join(unknown)} in {where}; it holds {some}. Correct the names."
        )
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ConfigError(f"fusion.pixels: {', '.join(twice)} is named twice. Name each pixel once.")
    return found.take(np.array([place[name] for name in names], dtype=np.intp))


def _how_to(driver: str, name: str) -> str:
    if driver in DISTURBANCE:
        return f"Add {name}, or say without: [{driver}] if it is unknown, none: [{driver}] if there is none"
    if driver == "co2":
        return "Add co2, or give drivers.co2.files"
    if driver in ACM2_ONLY:
        return f"Add {name}, which ACM2 needs, or take photosynthesis: acm1"
    return f"Add {name}, or state its name in drivers.variables: {{{driver}: its name}}"
