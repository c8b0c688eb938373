"""The work of one tile: read, pack the valid pixels, predict month by month, write, and keep the sums."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from talik.errors import InputError
from talik.files import write_text
from talik.regions.named import domain_weights, named_weights
from talik.upscaling.cube import store
from talik.upscaling.cube.forests import Bundle, bundle
from talik.upscaling.cube.opening import open_cube
from talik.upscaling.cube.plan import KEEP_BYTES, TOGETHER_ROWS
from talik.upscaling.cube.predictors import Cube, Plane, Tile, TileReader
from talik.upscaling.influence import Bags, row_weights_of, visits, without_a_site
from talik.upscaling.model import Model
from talik.upscaling.packed import Packed
from talik.upscaling.training import Feature
from talik.upscaling.trees import Float32, Float64, Int64
from talik.workflow.unit import Job

FAIL, DROP = "fail", "drop"


@dataclass(frozen=True)
class Spec:
    """All that the work on a tile depends on, as it stands in the folder of the run."""

    folder: Path
    """Where the models' arrays and the results of tiles are."""
    out: Path
    models: tuple[Path, ...]
    members: int
    cube: tuple[Path, ...]
    years: tuple[int, int] | None
    stand_in: tuple[tuple[int, int], ...]
    regions: tuple[str, ...]
    holes: str
    influence: bool
    features: tuple[Feature, ...]
    targets: tuple[str, ...]
    units: tuple[str, ...]
    only_forests: bool
    land: tuple[str, str] | None = None
    """File and variable of the land share of the cells."""
    tile: int = 512
    device: str = "cpu"

    def write(self) -> Path:
        """Keep it where the workers find it."""
        facts = asdict(self) | {"features": [f.model_dump(mode="json") for f in self.features]}
        return write_text(self.folder / "spec.json", json.dumps(facts, default=str))

    @classmethod
    def read(cls, path: Path) -> Spec:
        """Read it back."""
        facts = json.loads(path.read_text(encoding="utf-8"))
        facts["features"] = tuple(Feature.model_validate(f) for f in facts["features"])
        for name in ("models", "cube"):
            facts[name] = tuple(Path(p) for p in facts[name])
        for name in ("regions", "targets", "units"):
            facts[name] = tuple(facts[name])
        facts["stand_in"] = tuple((int(a), int(b)) for a, b in facts["stand_in"])
        for name in ("years", "land"):
            facts[name] = tuple(facts[name]) if facts[name] else None
        return cls(**{**facts, "folder": Path(facts["folder"]), "out": Path(facts["out"])})

    def open_cube(self) -> Cube:
        """The predictors."""
        return open_cube(self.cube, self.features, years=self.years, stand_in_years=dict(self.stand_in))

    def load(self, on: str | None = None) -> Bundle:
        """The models: mapped into memory where they are forests, or on the GPU."""
        if self.only_forests:
            described = Bundle(self.features, self.targets, self.units, self.members, ())
            held = described.mapped(self.folder / "forests")
        else:
            held = bundle(self.models, self.members)
        return held.on_gpu() if (on or self.device) == "gpu" else held


def run_tile(job: Job, *, spec: Path, tile: Tile) -> None:
    """Predict a tile into the store; the result of the unit is its sums."""
    plan, cube, models, bags = _ready(spec, spec.stat().st_mtime_ns)
    started = time.perf_counter()
    reader = TileReader(cube, tile, KEEP_BYTES)
    rows, dropped = valid_rows(reader, plan.holes)
    found = predict_rows(plan, reader, models, bags, rows)
    facts = {
        "tile": asdict(tile),
        "rows": len(rows),
        "dropped_pixels": dropped,
        "seconds": time.perf_counter() - started,
        "peak_bytes": peak_bytes(),
    }
    with job.out.open("wb") as stream:
        # np.savez writes the same bytes for the same arrays; what differs between runs goes to the log
        np.savez(stream, **found)  # type: ignore[arg-type]
    timing = plan.folder / "timing"
    timing.mkdir(exist_ok=True)
    (timing / f"{tile.name}.json").write_text(json.dumps(facts), encoding="utf-8")


def valid_rows(reader: TileReader, holes: str) -> tuple[Int64, int]:
    """Pixels of a tile (row-major numbers) that have every predictor in every month, and how many were dropped.

    A pixel that never has some predictor is outside the domain. One that has it in some months only is a hole: an
    error, or with holes="drop" left out of all months, because a mask that changes makes false trends.

    Raises:
        InputError: holes, with the predictor, the months and the number of pixels.
    """
    cube, tile = reader.cube, reader.tile
    size = tile.shape[0] * tile.shape[1]
    always, ever = np.ones(size, bool), np.ones(size, bool)
    partly: list[tuple[str, Int64, npt.NDArray[np.bool_]]] = []
    last: dict[int, int] = {}
    for k, held in enumerate(cube.fields):
        if held is None:
            continue
        every, some = np.ones(size, bool), np.zeros(size, bool)
        count = np.zeros(len(cube.months), np.int64)
        for step in range(len(cube.months)):
            if last.get(k) == held.position[step]:
                count[step] = count[step - 1]
                continue
            last[k] = int(held.position[step])
            present = np.isfinite(np.broadcast_to(reader.read(k, step), tile.shape)).ravel()
            every &= present
            some |= present
            count[step] = present.sum()
        always &= every
        ever &= some
        if (some & ~every).any():
            partly.append((held.feature.name, count, some & ~every))
    hole = ever & ~always
    if hole.any() and holes == FAIL:
        told = []
        for name, count, where in partly:
            if not (where & ever).any():
                continue
            worst = np.flatnonzero(count < count.max())
            when = ", ".join(f"{cube.year[s]:04d}-{cube.month[s]:02d}" for s in worst[:4])
            told.append(
                f"{name} in {int((where & ever).sum())} pixels ({when}{' ...' if len(worst) > 4 else ''})"
            )
        raise InputError(
            f"tile {tile.name}: {int(hole.sum())} of {int(ever.sum())} pixels have predictors in some months only: "
            f"{'; '.join(told)}. Fill the gaps (talik.upscaling.gapfill), or use --holes drop to leave these "
            "pixels out of every month."
        )
    return np.flatnonzero(always), int(hole.sum())


def predict_rows(
    plan: Spec, reader: TileReader, models: Bundle, bags: tuple[Bags, ...], rows: Int64
) -> dict[str, npt.NDArray[Any]]:
    """Predict, write and sum the valid pixels `rows` of a tile; the arrays of its result."""
    cube, tile = reader.cube, reader.tile
    n_months, n_models = len(cube.months), len(models.models)
    per_flux = 1 + plan.members
    grid = tile.of(cube.grid)
    area = np.repeat(grid.row_area_m2, tile.shape[1])[rows]
    land = _land(plan, cube, tile, rows)
    weights, region_names = region_areas(plan.regions, grid, rows, area, land)
    rates, seconds = store.rates_of(cube), store.month_seconds(cube.months, cube.calendar)
    factor = np.array(
        [
            rates if store.is_flux(t, u) else np.ones(n_months)
            for t, u in zip(plan.targets, plan.units, strict=True)
        ]
    )
    sums = np.zeros((n_models, n_months, weights.shape[1]))
    total = np.zeros((len(rows), n_models)) if plan.members else np.zeros((0, n_models))
    visited = [np.zeros((b.trees.n_nodes, weights.shape[1])) for b in bags]
    touched: set[Path] = set()
    x = np.zeros((len(rows), len(cube.features)), np.float32)
    at: dict[int, int] = {}
    names = [store.variable_of(t, u) for t, u in zip(plan.targets, plan.units, strict=True)]
    for first in range(0, n_months, store.TIME_CHUNK):
        steps = range(first, min(first + store.TIME_CHUNK, n_months))
        planes = np.full((len(names), len(steps), tile.shape[0] * tile.shape[1]), np.nan, np.float32)
        for step, predicted in _by_month(models, reader, rows, steps, x, at):
            for f in range(len(names)):
                own = slice(f * per_flux, (f + 1) * per_flux)
                predicted[:, own] *= factor[f, step]
                planes[f, step - first, rows] = predicted[:, own.start]
            add_products(weights, predicted, sums[:, step])
            if plan.members:
                total += predicted * seconds[step]
            for b, bag in enumerate(bags):
                _fill(x, reader, rows, step, at)
                scaled = weights * (factor[b, step] * seconds[step])
                visited[b] += visits(bag.forest, x, scaled, bag.trees.n_nodes)
        for f, name in enumerate(names):
            store.write_months(plan.out, name, tile, first, planes[f].reshape(-1, *tile.shape), touched)
    _write_planes(plan, tile, rows, land, total / seconds.sum(), names, touched)
    arrays: dict[str, npt.NDArray[Any]] = {
        "sums": sums,
        "area": weights.sum(axis=0),
        "rows": np.array([len(rows)]),
        "regions": np.array(region_names),
        "chunks": np.frombuffer(store.settle(touched, plan.out).encode(), np.uint8),
    }
    for b, bag in enumerate(bags):
        arrays[f"influence_{b}"] = row_weights_of(bag, visited[b])
        arrays[f"without_{b}"] = without_a_site(bag, visited[b])
    return arrays


def peak_bytes() -> int:
    """Most memory this process held; 0 where the system does not say (Windows)."""
    try:
        # ru_maxrss of Linux remembers the process that started this one
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _write_planes(
    plan: Spec, tile: Tile, rows: Int64, land: Float64, mean: Float64, names: list[str], touched: set[Path]
) -> None:
    """Coverage, land share, and what the bootstrap members say of the mean flux of each pixel."""
    size = tile.shape[0] * tile.shape[1]
    coverage = np.zeros(size, np.float32)
    coverage[rows] = 1.0
    store.write_plane(plan.out, "coverage", tile, coverage.reshape(tile.shape), touched)
    if plan.land is not None:
        share = np.full(size, np.nan, np.float32)
        share[rows] = land
        store.write_plane(plan.out, "land_fraction", tile, share.reshape(tile.shape), touched)
    for f, name in enumerate(names if plan.members else []):
        own = mean[:, f * (1 + plan.members) + 1 : (f + 1) * (1 + plan.members)]
        spread = own.std(axis=1, ddof=1) if plan.members > 1 else np.full(len(rows), np.nan)
        for which, values in (("sd", spread), ("mean", own.mean(axis=1))):
            plane = np.full(size, np.nan, np.float32)
            plane[rows] = values
            store.write_plane(plan.out, f"{name}_member_{which}", tile, plane.reshape(tile.shape), touched)


def _by_month(
    models: Bundle, reader: TileReader, rows: Int64, steps: range, x: Float32, at: dict[int, int]
) -> Iterator[tuple[int, Float64]]:
    """Predictions (n, models) of each month; months of a small tile are predicted together, which is quicker."""
    n = len(rows)
    together = max(1, TOGETHER_ROWS // max(n, 1))
    for first in range(steps.start, steps.stop, together):
        part = range(first, min(first + together, steps.stop))
        stacked = x if len(part) == 1 else np.empty((len(part) * n, x.shape[1]), np.float32)
        for k, step in enumerate(part):
            _fill(x, reader, rows, step, at)
            if stacked is not x:
                stacked[k * n : (k + 1) * n] = x
        predicted = models.predict(stacked)
        for k, step in enumerate(part):
            yield step, predicted[k * n : (k + 1) * n]


def _fill(x: Float32, reader: TileReader, rows: Int64, step: int, at: dict[int, int]) -> None:
    """Bring the columns of x to a month; a predictor that has not changed since the last one is not read again."""
    cube = reader.cube
    for k, held in enumerate(cube.fields):
        position = -1 - int(cube.month[step]) if held is None else int(held.position[step])
        if at.get(k) == position:
            continue
        values = reader.read(k, step)
        x[:, k] = values.ravel()[rows] if values.ndim else values
        at[k] = position


def _land(plan: Spec, cube: Cube, tile: Tile, rows: Int64) -> Float64:
    """(n,) land share of the pixels; 1 where nothing is said.

    Raises:
        InputError: a valid pixel without one, or one outside 0..1.
    """
    if plan.land is None:
        return np.ones(len(rows))
    share = Plane(Path(plan.land[0]), plan.land[1]).read(cube.grid, tile).ravel()[rows]
    bad = ~((share >= 0) & (share <= 1 + 1e-6))
    if bad.any():
        raise InputError(
            f"{plan.land[0]}: {plan.land[1]} is missing or outside 0..1 in {int(bad.sum())} valid pixels of tile "
            f"{tile.name}. Fill it there, and divide percentages by 100."
        )
    return share


def region_areas(
    regions: tuple[str, ...], grid: Any, rows: Int64, area: Float64, land: Float64
) -> tuple[Float64, list[str]]:
    """(n, R) land area of each pixel inside each region, m2; the first region is the domain.

    A region that covers land only holds the land share of its pixels already.
    """
    weights = domain_weights(grid).values.reshape(1, -1)[:, rows] * land
    names = ["domain"]
    for name in regions:
        more = named_weights([name], grid)
        names += [str(r) for r in more["region"].values]
        inside = more.values.reshape(len(more), -1)[:, rows]
        weights = np.concatenate([weights, inside if more.attrs["covers"] == "land" else inside * land])
    return np.ascontiguousarray((weights * area).T), names


@numba.njit(cache=True, nogil=True)
def add_products(weights, values, out):  # type: ignore[no-untyped-def]
    """out (K, R) += values' (K, n) weights (n, R), row after row: a library's order of sums may change with threads."""
    for i in range(weights.shape[0]):
        for k in range(values.shape[1]):
            for r in range(weights.shape[1]):
                out[k, r] += values[i, k] * weights[i, r]


@lru_cache(maxsize=1)
def _ready(spec: Path, _written: int) -> tuple[Spec, Cube, Bundle, tuple[Bags, ...]]:
    """What every tile of a run needs, once a process and run."""
    plan = Spec.read(spec)
    models = plan.load()
    bags = tuple(Bags.of(Model.load(p, members=False)) for p in plan.models) if plan.influence else ()
    per_flux = 1 + plan.members
    packed = [m for m in plan.load(on="cpu").models if isinstance(m, Packed)] if bags else []
    bags = tuple(replace(b, forest=packed[k * per_flux]) for k, b in enumerate(bags))
    return plan, plan.open_cube(), models, bags
