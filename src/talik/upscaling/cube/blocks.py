"""Prediction of a cube in pieces that are files: the valid cells, years of all fluxes, members of one flux."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from talik.errors import InputError
from talik.regions.axes import conform
from talik.regions.grid import Grid
from talik.regions.masks import covers_of, land_fraction
from talik.regions.named import DOMAIN, named_weights
from talik.upscaling.bootstrap import site_bootstrap
from talik.upscaling.cube import store
from talik.upscaling.cube.forests import Bundle, bundle, member_of
from talik.upscaling.cube.opening import open_cube
from talik.upscaling.cube.plan import KEEP_BYTES, tile_edge
from talik.upscaling.cube.predictors import Cube, Plane, Tile, TileReader
from talik.upscaling.cube.tile import add_products, by_month, fill, land_share, region_areas, valid_rows
from talik.upscaling.model import Model
from talik.upscaling.training import Feature, Training, refuse_other_scale
from talik.upscaling.trees import Float32, Float64, Int64

SCALE_MONTHS = 12
"""Months, spread over the run, in which predictors are compared with the range that was learnt."""


@dataclass(frozen=True)
class CubeFiles:
    """What to predict over."""

    grids: tuple[Path, ...]
    years: tuple[int, int]
    stand_in: tuple[tuple[int, int], ...] = ()
    regions: tuple[str, ...] = ()
    land: tuple[str, str] | None = None
    """File and variable of the land share of the cells."""
    holes: str = "fail"

    def open(self, features: Sequence[Feature], years: tuple[int, int] | None = None) -> Cube:
        """The predictors in all years, or in some."""
        return open_cube(self.grids, features, years=years or self.years, stand_in_years=dict(self.stand_in))


@dataclass(frozen=True, eq=False)
class Domain:
    """The cells that have every predictor in every month, in tiles of the grid, and their area in the regions."""

    tiles: tuple[Tile, ...]
    count: Int64
    """(tiles,) valid cells of each."""
    rows: Int64
    """(n,) row-major number of each valid cell in its tile, tile after tile."""
    land: Float64
    """(n,) land share."""
    areas: Float64
    """(n, R) land area of each cell inside each region, m2; the first region is the domain."""
    regions: tuple[str, ...]
    coverage: Float64
    """(R,) share of the region's land that has predictors."""
    dropped: int
    """Cells left out for holes."""

    @cached_property
    def start(self) -> Int64:
        """(tiles + 1,) where the cells of each tile begin."""
        return np.concatenate([[0], np.cumsum(self.count)])

    def parts(self) -> Iterator[tuple[Tile, slice]]:
        """Each tile with its cells, as a slice of all."""
        for k, tile in enumerate(self.tiles):
            yield tile, slice(int(self.start[k]), int(self.start[k + 1]))

    def on_grid(self, values: npt.NDArray[Any], grid: Grid) -> npt.NDArray[Any]:
        """(..., rows, columns) of values (..., n) of the cells; NaN elsewhere."""
        out = np.full((*values.shape[:-1], *grid.shape), np.nan, values.dtype)
        for tile, part in self.parts():
            j, i = np.divmod(self.rows[part], tile.shape[1])
            out[..., tile.j0 + j, tile.i0 + i] = values[..., part]
        return out

    def save(self, path: Path) -> None:
        """Write it; equal domains give equal bytes."""
        tiles = np.array([(t.j0, t.j1, t.i0, t.i1) for t in self.tiles])
        save_arrays(
            path,
            tiles=tiles,
            count=self.count,
            rows=self.rows,
            land=self.land,
            areas=self.areas,
            regions=np.array(self.regions),
            coverage=self.coverage,
            dropped=np.array(self.dropped),
        )

    @classmethod
    def load(cls, path: Path) -> Domain:
        """Read it back."""
        held = load_arrays(path)
        return cls(
            tuple(Tile(*map(int, t)) for t in held["tiles"]),
            held["count"],
            held["rows"],
            held["land"],
            held["areas"],
            tuple(map(str, held["regions"])),
            held["coverage"],
            int(held["dropped"]),
        )


def find_domain(files: CubeFiles, models: Sequence[Path]) -> Domain:
    """The valid cells of a cube for all models together.

    Raises:
        InputError: holes, predictors on another scale, or no valid cell. UnitsError, GridError: files that do not fit.
    """
    ready = bundle(models, 0)
    cube = files.open(ready.features)
    tiles, rows, land, areas, dropped = [], [], [], [], 0
    names: list[str] = [DOMAIN]
    for tile in _tiles(cube.grid):
        reader = TileReader(cube, tile, KEEP_BYTES)
        valid, lost = valid_rows(reader, files.holes)
        dropped += lost
        if not len(valid):
            continue
        _check_scale(cube, reader, valid)
        grid = tile.of(cube.grid)
        own = land_share(files.land, cube, tile, valid)
        area = np.repeat(grid.row_area_m2, tile.shape[1])[valid]
        inside, names = region_areas(files.regions, grid, valid, area, own)
        tiles.append(tile)
        rows.append(valid)
        land.append(own)
        areas.append(inside)
    if not tiles:
        told = ", ".join(f.name for f in ready.features)
        raise InputError(
            f"{', '.join(map(str, files.grids))}: no cell has all of {told} in every month. Is the fill value right, "
            "and do the files overlap?"
        )
    found = Domain(
        tuple(tiles), np.array([len(r) for r in rows]), np.concatenate(rows), np.concatenate(land),
        np.concatenate(areas), tuple(names), np.ones(len(names)), dropped,
    )  # fmt: skip
    return Domain(**{**found.__dict__, "coverage": _coverage(files, found, cube)})


@dataclass(frozen=True, eq=False)
class YearsPart:
    """Predictions of some years."""

    months: Int64
    """(m,) months since year 0."""
    seconds: Float64
    """(m,) their length."""
    fluxes: Float32
    """(fluxes, m, n) kg m-2 s-1."""
    sums: Float64
    """(fluxes, m, R) summed over the land of the regions, kg s-1."""
    inside: Int64
    """(fluxes, n) months in which the cell is like the training sites; -1 where that is not known."""

    def save(self, path: Path) -> None:
        save_arrays(path, **self.__dict__)

    @classmethod
    def load(cls, path: Path) -> YearsPart:
        return cls(**load_arrays(path))


def predict_years(
    files: CubeFiles,
    models: Sequence[Path],
    domain: Domain,
    years: tuple[int, int],
    *,
    applicability: bool,
    threads: int = 1,
) -> YearsPart:
    """Best estimates of all fluxes in some years."""
    ready = bundle(models, 0)
    cube = files.open(ready.features, years)
    seconds = store.month_seconds(cube.months, cube.calendar)
    n, m = len(domain.rows), len(cube.months)
    out = np.empty((len(models), m, n), np.float32)
    sums = np.zeros((len(models), m, domain.areas.shape[1]))
    for part, step, predicted in _months(cube, ready, domain, threads):
        rates = predicted * (1e-3 / seconds[step])
        out[:, step, part] = rates.T
        add_products(domain.areas[part], rates, sums[:, step])
    inside = np.full((len(models), n), -1, np.int64)
    if applicability:
        for f, path in enumerate(models):
            inside[f] = _inside(cube, Model.load(path, members=False), ready, domain)
    return YearsPart(cube.months, seconds, out, sums, inside)


@dataclass(frozen=True, eq=False)
class MembersPart:
    """Predictions of some members of a flux."""

    sums: Float64
    """(members, months, R) summed over the land of the regions, kg s-1."""
    mean: Float64
    """(members, n) mean of all months, kg m-2 s-1."""

    def save(self, path: Path) -> None:
        save_arrays(path, **self.__dict__)

    @classmethod
    def load(cls, path: Path) -> MembersPart:
        return cls(**load_arrays(path))


def predict_members(
    files: CubeFiles,
    training: Training,
    model: Model,
    domain: Domain,
    members: range,
    seed: int,
    threads: int = 1,
) -> MembersPart:
    """Learn members of the bootstrap of sites and predict all years with them; they are not kept."""
    made = [site_bootstrap(training, model.learner, k, seed, threads) for k in members]
    schema = model.schema
    columns, levels = np.arange(len(schema.features)), schema.n_levels
    forests = tuple(member_of(m, columns, levels) for m in made)
    ready = Bundle(schema.features, (schema.target,), (schema.units,), len(made), forests)
    cube = files.open(ready.features)
    seconds = store.month_seconds(cube.months, cube.calendar)
    sums = np.zeros((len(made), len(cube.months), domain.areas.shape[1]))
    mean = np.zeros((len(made), len(domain.rows)))
    for part, step, predicted in _months(cube, ready, domain, threads):
        rates = predicted * (1e-3 / seconds[step])
        mean[:, part] += rates.T * seconds[step]
        add_products(domain.areas[part], rates, sums[:, step])
    return MembersPart(sums, mean / seconds.sum())


def save_arrays(path: Path, **arrays: npt.NDArray[Any]) -> None:
    """Write arrays by name; equal arrays give equal bytes."""
    with path.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]


def load_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Arrays by name."""
    with np.load(path, allow_pickle=False) as held:
        return {name: held[name] for name in held.files}


def _tiles(grid: Grid) -> Iterator[Tile]:
    edge, (rows, columns) = tile_edge(grid, None), grid.shape
    for j in range(0, rows, edge):
        for i in range(0, columns, edge):
            yield Tile(j, min(j + edge, rows), i, min(i + edge, columns))


def _months(cube: Cube, models: Bundle, domain: Domain, threads: int) -> Iterator[tuple[slice, int, Float64]]:
    """Predictions (cells, models) of each tile and month, in the model's unit."""
    for tile, part in domain.parts():
        reader, rows = TileReader(cube, tile, KEEP_BYTES), domain.rows[part]
        x = np.zeros((len(rows), len(cube.features)), np.float32)
        at: dict[int, int] = {}
        for step, predicted in by_month(models, reader, rows, range(len(cube.months)), x, at, threads):
            yield part, step, predicted


def _inside(cube: Cube, model: Model, ready: Bundle, domain: Domain) -> Int64:
    """(n,) months in which each cell is inside the area of applicability; -1 if the model knows none."""
    out = np.zeros(len(domain.rows), np.int64)
    if model.applicability is None:
        return out - 1
    names = [(f.name, f.units, f.levels) for f in ready.features]
    columns = [names.index((f.name, f.units, f.levels)) for f in model.schema.features]
    for tile, part in domain.parts():
        reader, rows = TileReader(cube, tile, KEEP_BYTES), domain.rows[part]
        x = np.zeros((len(rows), len(cube.features)), np.float32)
        at: dict[int, int] = {}
        for step in range(len(cube.months)):
            fill(x, reader, rows, step, at)
            out[part] += model.applicability.inside(np.ascontiguousarray(x[:, columns]))
    return out


def _check_scale(cube: Cube, reader: TileReader, rows: Int64) -> None:
    """Refuse a continuous predictor that is on another scale than the training data."""
    x, at = np.zeros((len(rows), len(cube.features)), np.float32), dict[int, int]()
    months = len(cube.months)
    steps = np.unique(np.linspace(0, months - 1, min(months, SCALE_MONTHS)).astype(int))
    parts = []
    for step in map(int, steps):
        fill(x, reader, rows, step, at)
        parts.append(x.copy())
    values = np.concatenate(parts)
    for k, feature in enumerate(cube.features):
        if not feature.levels:
            refuse_other_scale(values[:, k].astype(float), feature, f"cube, tile {reader.tile.name}")


def _coverage(files: CubeFiles, domain: Domain, cube: Cube) -> Float64:
    """(R,) share of the land of each region that the valid cells are; of the domain 1."""
    out, grid = np.ones(len(domain.regions)), cube.grid
    if not files.regions:
        return out
    valid = np.nan_to_num(domain.on_grid(np.ones(len(domain.rows)), grid))
    if files.land is None:
        land = conform(land_fraction(grid), grid).values
    else:
        whole = Tile(0, grid.shape[0], 0, grid.shape[1])
        land = np.nan_to_num(Plane(Path(files.land[0]), files.land[1]).read(grid, whole))
    area = np.broadcast_to(grid.row_area_m2[:, None], grid.shape)
    at = 1
    for name in files.regions:
        weights = named_weights([name], grid)
        for k in range(len(weights)):
            one = weights.isel(region=k)
            inside = np.nan_to_num(one.values) * area
            reference = inside if covers_of(one) == "land" else inside * land
            if not reference.sum() > 0:
                reference = inside  # a region at sea, or of a world that is not the Earth
            share = float((reference * valid).sum() / reference.sum()) if reference.sum() > 0 else 0.0
            if "region_area" in one.coords:
                share *= min(1.0, float(inside.sum() / one["region_area"]))
            out[at] = share
            at += 1
    return out
