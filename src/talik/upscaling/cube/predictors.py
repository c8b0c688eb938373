"""Predictors of a cube, read a tile and a step at a time, as the models want them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xarray as xr

from talik.errors import GridError, InputError
from talik.regions.axes import NAMES, grid_of
from talik.regions.grid import EqualAreaGrid, Grid, LatLonGrid
from talik.sources.predictors import MERGES, NOT_VEGETATION
from talik.upscaling.training import Feature

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
MONTH = "month"
"""The predictor that is made from the calendar, if the cube does not hold it."""
AT_ONCE = 8
"""All steps of a predictor are read together if they fill at most one of so many parts of what may be kept."""


@dataclass(frozen=True, slots=True)
class Tile:
    """Rows j0..j1-1 and columns i0..i1-1 of the grid in its ascending order."""

    j0: int
    j1: int
    i0: int
    i1: int

    @property
    def name(self) -> str:
        return f"y{self.j0:06d}_x{self.i0:06d}"

    @property
    def shape(self) -> tuple[int, int]:
        return self.j1 - self.j0, self.i1 - self.i0

    def of(self, grid: Grid) -> Grid:
        """The grid of the tile."""
        if isinstance(grid, EqualAreaGrid):
            return grid.tile(slice(self.j0, self.j1), slice(self.i0, self.i1))
        return LatLonGrid(grid.lat_edges[self.j0 : self.j1 + 1], grid.lon_edges[self.i0 : self.i1 + 1])


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """One predictor in its file."""

    feature: Feature
    path: Path
    kind: str
    """none (static), month of year, year or month: what its steps are."""
    dim: str | None
    position: Int64
    """(months,) step of the file for each month of the run."""
    space: tuple[str, str] | None
    """Names of its row and column dimension; none for a predictor that is the same everywhere."""
    slope: float
    offset: float

    def encode(self, values: npt.NDArray[np.float64], where: str) -> Float32:
        """Stored values as the model wants them (float32); NaN is missing."""
        if not self.feature.levels:
            return (values * self.slope + self.offset if self.slope != 1 or self.offset else values).astype(
                np.float32
            )
        code = {level: k for k, level in enumerate(self.feature.levels)}
        is_vegetation = self.feature.name == "vegetation_type"
        out = np.full(values.shape, np.nan, np.float32)
        unknown = []
        for value in np.unique(values[np.isfinite(values)]):
            level = str(int(value)) if float(value).is_integer() else str(value)
            merged = MERGES.get(int(value)) if is_vegetation and level not in code else None
            if is_vegetation and value in NOT_VEGETATION:
                continue
            level = str(merged) if merged is not None else level
            if level in code:
                out[values == value] = code[level]
            else:
                unknown.append(level)
        if unknown:
            raise InputError(
                f"{where}: {self.feature.name} has class {', '.join(unknown[:5])}, which the model has not learnt "
                f"(known: {', '.join(self.feature.levels)}). Merge it with a known class, or mark it missing."
            )
        return out


@dataclass(frozen=True, slots=True, eq=False)
class Cube:
    """All predictors a run needs, in the order of the model's columns."""

    fields: tuple[Field | None, ...]
    """None stands for the calendar month."""
    features: tuple[Feature, ...]
    grid: Grid
    months: Int64
    """(months,) months since year 0, consecutive."""
    calendar: str
    notes: tuple[str, ...] = field(default=())

    @property
    def year(self) -> Int64:
        return self.months // 12

    @property
    def month(self) -> Int64:
        return self.months % 12 + 1

    def read(self, k: int, step: int, tile: Tile) -> Float32:
        """Predictor k at month `step` of the run, encoded: (rows, columns) of the tile, or () where it is uniform.

        Raises:
            InputError: the file cannot be read there.
        """
        held = self.fields[k]
        if held is None:
            levels = self.features[k].levels
            value = str(int(self.month[step]))
            if levels and value not in levels:
                raise InputError(
                    f"month {value} of the run was in no training row; choose months with --years, or train on them."
                )
            return np.asarray(levels.index(value) if levels else self.month[step], np.float32)
        when = f"{self.year[step]:04d}-{self.month[step]:02d}"
        where = f"{held.path}: {held.feature.name}, {when}, tile {tile.name}"
        return self._values(held, int(held.position[step]), tile, where)

    def read_steps(self, k: int, positions: Int64, tile: Tile) -> Float32:
        """Several steps of the file of predictor k at once, encoded: (positions, rows, columns), or (positions,).

        Raises:
            InputError: the file cannot be read there.
        """
        held = self.fields[k]
        if held is None or held.dim is None:
            raise InputError(f"{self.features[k].name} has no steps in time.")
        where = f"{held.path}: {held.feature.name}, {len(positions)} steps, tile {tile.name}"
        return self._values(held, positions, tile, where)

    @staticmethod
    def _values(held: Field, position: int | Int64, tile: Tile, where: str) -> Float32:
        data, order = opened(held.path, held.feature.name)
        if held.dim is not None:
            data = data.isel({held.dim: position})
        if held.space is not None:
            rows, cols = order
            data = data.isel({held.space[0]: rows[tile.j0 : tile.j1], held.space[1]: cols[tile.i0 : tile.i1]})
            data = data.transpose(..., *held.space)
        try:
            values = np.asarray(data.values, dtype=np.float64)
        except Exception as err:  # whatever a codec or a library below raises for damaged bytes
            raise InputError(
                f"{where}: cannot be read ({type(err).__name__}: {err}). The file is damaged there: copy it again, "
                "then run the same command with --same-cube; finished tiles are kept."
            ) from err
        return held.encode(values, where)


class TileReader:
    """The predictors of one tile; what fits in `keep_bytes` is read once, however often it is asked for."""

    def __init__(self, cube: Cube, tile: Tile, keep_bytes: float) -> None:
        self.cube, self.tile = cube, tile
        self._room = keep_bytes
        self._at_once = keep_bytes / AT_ONCE
        self._kept: dict[tuple[int, int], Float32] = {}
        self._tried: set[int] = set()

    def read(self, k: int, step: int) -> Float32:
        """Predictor k at month `step`; see `Cube.read`."""
        held = self.cube.fields[k]
        if held is None:
            return self.cube.read(k, step, self.tile)
        key = k, int(held.position[step])
        if key in self._kept:
            return self._kept[key]
        self._read_all(k, held)
        if key in self._kept:
            return self._kept[key]
        values = self.cube.read(k, step, self.tile)
        if values.nbytes <= self._room:
            self._room -= values.nbytes
            self._kept[key] = values
        return values

    def _read_all(self, k: int, held: Field) -> None:
        """Keep all steps of a predictor from one reading, if they are small: many small readings take far longer."""
        if held.dim is None or k in self._tried:
            return
        self._tried.add(k)
        positions = np.unique(held.position)
        size = 4.0 * len(positions) * (self.tile.shape[0] * self.tile.shape[1] if held.space else 1)
        if size > min(self._at_once, self._room):
            return
        try:
            values = self.cube.read_steps(k, positions, self.tile)
        except InputError:
            return  # read one by one, the error says which step it is
        self._room -= values.nbytes
        self._kept |= {(k, int(p)): values[i] for i, p in enumerate(positions)}


@dataclass(frozen=True, slots=True)
class Plane:
    """A static field beside the predictors, such as the land share of the cells."""

    path: Path
    variable: str

    @classmethod
    def parse(cls, text: str, what: str) -> Plane:
        """FILE:VARIABLE."""
        file, sep, variable = text.rpartition(":")
        if not sep or not file or not variable:
            raise InputError(f"{what} {text!r}: expected FILE:VARIABLE")
        return cls(Path(file).absolute(), variable)

    def read(self, grid: Grid, tile: Tile) -> npt.NDArray[np.float64]:
        """(rows, columns) of a tile.

        Raises:
            InputError: no such variable. GridError: it is on another grid.
        """
        dataset = open_grid(self.path)
        if self.variable not in dataset:
            have = ", ".join(map(str, dataset.data_vars))
            raise InputError(f"{self.path}: no variable {self.variable!r}; it has {have}.")
        if (own := grid_of(dataset)).key() != grid.key():
            raise GridError(
                f"{self.path}: {self.variable} is on {own}, the predictors are on {grid}. Regrid it."
            )
        data, (rows, columns) = opened(self.path, self.variable)
        space = spatial_dims(data)
        if space is None or data.ndim != 2:
            raise GridError(
                f"{self.path}: {self.variable} has dimensions {data.dims}; expected rows and columns."
            )
        part = data.isel({space[0]: rows[tile.j0 : tile.j1], space[1]: columns[tile.i0 : tile.i1]})
        return np.asarray(part.transpose(*space).values, dtype=np.float64)


def open_grid(path: Path) -> xr.Dataset:
    """A NetCDF file or Zarr store, lazily."""
    if not path.exists():
        raise InputError(f"{path}: no such file. Check the name; the current folder is {Path.cwd()}.")
    try:
        if path.is_dir() or path.suffix == ".zip":
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Failed to open Zarr store with consolidated metadata")
                opened: xr.Dataset = xr.open_zarr(path, chunks=None, decode_timedelta=False)
            return opened
        return xr.open_dataset(path, engine="netcdf4", decode_timedelta=False)
    except (OSError, ValueError, KeyError) as err:
        raise InputError(f"{path}: not readable as NetCDF or Zarr ({err}).") from err


def spatial_dims(data: xr.DataArray) -> tuple[str, str] | None:
    """Names of the row and column dimension of a variable, or None."""
    for pair in (("lat", "lon"), ("y", "x")):
        held = [next((str(d) for d in data.dims if str(d).lower() in NAMES[axis]), None) for axis in pair]
        if held[0] and held[1]:
            return held[0], held[1]
    return None


def opened(path: Path, name: str) -> tuple[xr.DataArray, tuple[Int64, Int64]]:
    """A variable, and the order that makes its rows and columns ascend; kept open by each process."""
    return _kept_open(path, name, path.stat().st_mtime_ns)


@lru_cache(maxsize=256)
def _kept_open(path: Path, name: str, _changed: int) -> tuple[xr.DataArray, tuple[Int64, Int64]]:
    dataset = open_grid(path)
    data = dataset[name]
    space = spatial_dims(data)
    if space is None:
        return data, (np.zeros(0, np.int64), np.zeros(0, np.int64))
    grid = grid_of(dataset)
    rows = np.argsort(np.asarray(dataset[space[0]].values, float), kind="stable")
    across = np.asarray(dataset[space[1]].values, float)
    if isinstance(grid, LatLonGrid):
        across = grid.x_edges[0] + np.mod(across - grid.x_edges[0] + 1e-9, 360.0)
    return data, (rows, np.argsort(across, kind="stable"))
