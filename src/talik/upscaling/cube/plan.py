"""The plan of a prediction: tiles, rows, time, memory and output, known before anything is predicted."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talik.errors import ConfigError, InputError
from talik.regions.grid import Grid
from talik.upscaling.cube import store
from talik.upscaling.cube.forests import Bundle
from talik.upscaling.cube.predictors import Cube, Tile
from talik.upscaling.packed import AT_ONCE, Packed
from talik.upscaling.training import refuse_other_scale
from talik.upscaling.trees import Int64

TILE = 512
"""Edge of a tile in cells, where the grid is large enough."""
LEAST_TILES, LEAST_TILE = 4, 128
"""On smaller grids tiles are halved until there are so many, but not below this edge: each tile has fixed costs."""
KEEP_BYTES = 2.0**28
"""Predictors of a tile that are kept from the first pass over them to the second."""
BASE_BYTES = 550e6
"""Memory of a process with its libraries loaded, before it does anything."""
TOGETHER_ROWS = 1 << 16
"""Rows of several months that are predicted in one go, where a tile has few pixels."""
TRIAL_MONTHS = (2, 6)
"""Least and most months that are tried to tell the time a run will take."""


@dataclass(frozen=True, slots=True)
class PredictionPlan:
    """What a run will take; `text` says it to a person."""

    tiles: tuple[Tile, ...]
    pixels: Int64
    """(tiles,) pixels of each tile that may be valid."""
    months: int
    models: int
    trees: int
    workers: int
    seconds: float
    """Work of all tiles on one worker."""
    worker_bytes: float
    shared_bytes: float
    """Forests, mapped by all workers of a machine together."""
    memory: float
    disk_bytes: float
    notes: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Pixel-months."""
        return int(self.pixels.sum()) * self.months

    @property
    def bytes(self) -> float:
        """Memory of the whole run on this machine."""
        return self.workers * self.worker_bytes + self.shared_bytes

    def text(self, done: Sequence[str] = ()) -> str:
        """The plan in a few lines; `done` : names of tiles that are there."""
        ready = np.isin([t.name for t in self.tiles], list(done))
        left = float(self.pixels[~ready].sum() / self.pixels.sum())
        lines = [
            f"{len(self.tiles)} tiles, {self.pixels.sum():,} pixels, {self.months} months: {self.rows:,} rows through "
            f"{self.models} models ({self.trees:,} trees)",
            f"about {duration(left * self.seconds / self.workers)} with {self.workers} "
            f"{'worker' if self.workers == 1 else 'workers'}; memory {self.bytes / 2**30:.1f} of "
            f"{self.memory / 2**30:.1f} GiB; output up to {self.disk_bytes / 1e9:.2f} GB",
        ]
        if done:
            lines.append(f"{len(done)} of {len(self.tiles)} tiles are done already")
        return "\n".join([*lines, *(f"note: {n}" for n in self.notes)]) + "\n"


def duration(seconds: float) -> str:
    """A time a person can read."""
    for size, name in ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.0f} seconds"


def tile_edge(grid: Grid, asked: int | None) -> int:
    """Edge of the tiles: a property of the grid alone, so that results do not depend on the workers."""
    if asked is not None:
        return asked
    edge = TILE
    while edge > LEAST_TILE and -(-grid.shape[0] // edge) * -(-grid.shape[1] // edge) < LEAST_TILES:
        edge //= 2
    return edge


def make_plan(
    cube: Cube,
    models: Bundle,
    *,
    out: Path,
    edge: int,
    workers: int,
    memory: float,
    dtype: str = "float32",
    regions: int = 0,
    influence_nodes: int = 0,
    cluster: bool = False,
) -> PredictionPlan:
    """Count pixels, time a trial, and see whether it fits.

    Raises:
        ConfigError: more memory or disk than there is, even with one worker.
        InputError: no valid pixel, or predictors that the models cannot take.
    """
    tiles, pixels = count_pixels(cube, edge)
    largest = int(pixels.max())
    one = worker_bytes(cube, models, largest, edge, regions + 1, influence_nodes)
    notes = list(cube.notes)
    fits = int((memory - models.nbytes) // one)
    if fits < 1 and not cluster:
        raise ConfigError(
            f"one worker needs {one / 2**30:.1f} GiB for tiles of {edge} x {edge} cells and {len(models.models)} "
            f"models take {models.nbytes / 2**30:.1f} GiB, but --memory is {memory / 2**30:.1f} GiB. Give more, take "
            f"smaller tiles (--tile {edge // 2}), or fewer members (--members)."
        )
    if fits < workers and not cluster:
        notes.append(f"{workers} workers do not fit in {memory / 2**30:.1f} GiB; {fits} will run")
        workers = fits
    row, read = _trial(cube, models, tiles[int(np.argmax(pixels))])
    if influence_nodes:
        row += row * len(models.targets) / len(models.models) * 1.6
    months = len(cube.months)
    seconds = float(pixels.sum()) * months * row + read * float((pixels > 0).sum()) * months
    kinds = [2.0 if dtype == "int16" else 4.0] * len(models.targets)
    disk = float(pixels.sum()) * months * sum(kinds)
    free = shutil.disk_usage(_existing(out)).free
    if disk > free:
        raise ConfigError(
            f"{out}: the output takes up to {disk / 1e9:.2f} GB, {free / 1e9:.2f} GB are free. Choose another --out, "
            "fewer years, or --dtype int16."
        )
    return PredictionPlan(
        tiles, pixels, months, len(models.models), models.n_trees, workers, seconds, one,
        float(models.nbytes), memory, disk, tuple(notes),
    )  # fmt: skip


def count_pixels(cube: Cube, edge: int) -> tuple[tuple[Tile, ...], Int64]:
    """Tiles with at least one pixel that has every static predictor (or, without any, those of the first month)."""
    static = [k for k, f in enumerate(cube.fields) if f is not None and f.space and f.kind == "none"]
    looked = static or [k for k, f in enumerate(cube.fields) if f is not None and f.space]
    rows, columns = cube.grid.shape
    tiles, pixels = [], []
    for j in range(0, rows, edge):
        for i in range(0, columns, edge):
            tile = Tile(j, min(j + edge, rows), i, min(i + edge, columns))
            present = np.ones(tile.shape, bool)
            for k in looked:
                present &= np.isfinite(cube.read(k, 0, tile))
                if not present.any():
                    break
            if present.any():
                tiles.append(tile)
                pixels.append(int(present.sum()))
    if not tiles:
        names = ", ".join(cube.features[k].name for k in looked)
        raise InputError(
            f"no pixel of the cube has all of {names}: is the fill value right, and do the files overlap?"
        )
    return tuple(tiles), np.array(pixels)


def worker_bytes(
    cube: Cube, models: Bundle, rows: int, edge: int, regions: int, influence_nodes: int
) -> float:
    """Memory of a worker beside the mapped forests, bytes: an upper bound for a tile with `rows` valid pixels."""
    cells, k = edge * edge, len(models.models)
    rows = max(rows, TOGETHER_ROWS)
    forests = [m.nbytes for m in models.models if isinstance(m, Packed)]
    work = rows * (len(cube.features) * 4 * 2 + k * 8 * (3 if models.n_members else 2) + regions * 8 * 2 + 64)
    planes = cells * (len(models.targets) * store.TIME_CHUNK * 4 * 2 + 8 * 4)
    pruned = AT_ONCE * 1.5 * max(forests, default=0)
    return BASE_BYTES + KEEP_BYTES + work + planes + pruned + influence_nodes * regions * 8 * 2


def _trial(cube: Cube, models: Bundle, tile: Tile) -> tuple[float, float]:
    """Seconds a row and seconds a tile-month of reading, from some months of the fullest tile."""
    size, months = tile.shape[0] * tile.shape[1], len(cube.months)
    wanted = min(months, int(np.clip(TOGETHER_ROWS // size, *TRIAL_MONTHS)))
    steps = np.unique(np.linspace(months // 4, months - 1 - months // 4, wanted).astype(int))
    parts, start = [], time.perf_counter()
    for step in map(int, steps):
        planes = [np.broadcast_to(cube.read(k, step, tile), tile.shape) for k in range(len(cube.features))]
        x = np.stack([p.ravel() for p in planes], 1)
        parts.append(x[np.isfinite(x).all(axis=1)])
        where = f"{cube.year[step]:04d}-{cube.month[step]:02d}, tile {tile.name}"
        for k, feature in enumerate(cube.features):
            if not feature.levels and len(parts[-1]):
                refuse_other_scale(parts[-1][:, k].astype(float), feature, where)
    read = (time.perf_counter() - start) / len(steps)
    rows = np.concatenate(parts)
    if not len(rows):
        shown = ", ".join(f"{cube.year[s]:04d}-{cube.month[s]:02d}" for s in steps)
        raise InputError(f"tile {tile.name} has no pixel with all predictors in {shown}")
    models.predict(rows[:256])  # compile, or load what was compiled
    start = time.perf_counter()
    models.predict(rows)
    predict = (time.perf_counter() - start) / len(rows)
    dynamic = sum(f is not None and f.kind != "none" for f in cube.fields) / max(len(cube.fields), 1)
    return predict, 1.5 * dynamic * read


def _existing(path: Path) -> Path:
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def parse_memory(text: str) -> float:
    """Bytes of '4GiB', '500 MB' or '2e9'."""
    sizes = {"": 1.0, "b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
             "kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30, "tib": 2.0**40}  # fmt: skip
    number = text.strip().rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
    unit = text.strip()[len(number) :].strip().lower()
    try:
        value = float(number) * sizes[unit]
    except (KeyError, ValueError) as err:
        raise ConfigError(f"--memory {text!r}: expected a size such as 4GiB or 500MB") from err
    if not value > 0:
        raise ConfigError(f"--memory {text!r}: expected more than nothing")
    return value
