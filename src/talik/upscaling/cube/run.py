"""Predict a cube: plan, tiles as restartable units, and the sums of all tiles in the store."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from talik.errors import ConfigError, InputError
from talik.files import remove_stale_parts
from talik.provenance import code_version, fingerprint, hash_bytes, hash_file
from talik.regions.named import files_of, with_absolute_paths
from talik.upscaling.cube import store
from talik.upscaling.cube.budgets import write_budgets
from talik.upscaling.cube.forests import bundle
from talik.upscaling.cube.plan import TILE, PredictionPlan, make_plan, tile_edge
from talik.upscaling.cube.predictors import Cube, Plane, Tile
from talik.upscaling.cube.tile import FAIL, Spec, run_tile
from talik.upscaling.influence import Bags
from talik.upscaling.model import Model
from talik.upscaling.packed import Packed
from talik.workflow.executor import Task, choose_executor
from talik.workflow.unit import Outcome, is_done, remove_result, run_unit

STEP = "predict"


@dataclass(frozen=True, slots=True)
class Prediction:
    """A prepared run: call `run`."""

    spec: Spec
    plan: PredictionPlan
    cube: Cube
    key: str
    resumed: bool

    @property
    def tiles(self) -> Path:
        """Folder of the results of tiles."""
        return self.spec.folder / "tiles"

    def result(self, name: str) -> Path:
        """Result file of a tile."""
        return self.tiles / f"{name}.npz"

    @property
    def done(self) -> list[str]:
        """Tiles that are there."""
        return [t.name for t in self.plan.tiles if is_done(self.result(t.name))]

    def run(
        self,
        workers: int = 1,
        scheduler: str | None = None,
        listen: Callable[[Outcome], None] = lambda _: None,
    ) -> list[Outcome]:
        """Predict the tiles that are not there yet, and complete the store if none failed.

        Outcomes of all tiles. A tile that fails stops no other; the store stays marked as incomplete.
        """
        for name in self.done:
            tile = next(t for t in self.plan.tiles if t.name == name)
            edge = self.spec.tile
            chunk = self.spec.out / "coverage" / "c" / str(tile.j0 // edge) / str(tile.i0 // edge)
            if not chunk.exists() and np.load(self.result(name))["rows"][0]:
                remove_result(self.result(name))  # somebody deleted what it stands for
        todo = [t for t in self.plan.tiles if not is_done(self.result(t.name))]
        remove_stale_parts(self.tiles)
        outcomes = [Outcome(STEP, n, "cached", 0.0) for n in self.done]
        for outcome in outcomes:
            listen(outcome)
        spec, code = self.spec.folder / "spec.json", code_version()
        tasks = [
            Task(
                STEP,
                t.name,
                partial(
                    run_unit,
                    partial(run_tile, spec=spec, tile=t),
                    STEP,
                    t.name,
                    self.result(t.name),
                    {},
                    code,
                ),
            )
            for t in todo
        ]
        for outcome in choose_executor(workers, scheduler).run(tasks) if tasks else ():
            listen(outcome)
            outcomes.append(outcome)
        if not any(o.status == "failed" for o in outcomes):
            self._complete()
        return outcomes

    def facts(self) -> dict[str, Any]:
        """What the tiles tell: rows, pixels dropped, work and the most memory of any process."""
        rows, dropped, seconds, peak = 0, 0, 0.0, 0.0
        for path in sorted((self.spec.folder / "timing").glob("*.json")):
            told = json.loads(path.read_text(encoding="utf-8"))
            rows += told["rows"]
            dropped += told["dropped_pixels"]
            seconds += told["seconds"]
            peak = max(peak, told["peak_bytes"])
        return {
            "store": str(self.spec.out),
            "pixels": rows,
            "months": len(self.cube.months),
            "dropped_pixels": dropped,
            "seconds": seconds,
            "planned_seconds": self.plan.seconds,
            "peak_bytes": peak,
            "planned_bytes": self.plan.worker_bytes + self.plan.shared_bytes,
        }

    def _complete(self) -> None:
        if fingerprint(self.spec.cube) != _recorded(self.spec.folder)["cube"]:
            raise InputError(
                f"{', '.join(map(str, self.spec.cube))} changed while it was read; delete {self.spec.out} and "
                f"{self.spec.folder}, and predict again."
            )
        results = [self.result(t.name) for t in self.plan.tiles]
        write_budgets(self.spec, results)
        store.mark_complete(self.spec.out)


def prepare(
    models: Sequence[Path],
    cube: Sequence[Path],
    out: Path,
    *,
    years: tuple[int, int] | None = None,
    stand_in_years: Sequence[tuple[int, int]] = (),
    regions: Sequence[str] = (),
    members: int | None = None,
    holes: str = FAIL,
    influence: bool = False,
    dtype: str = "float32",
    tile: int | None = None,
    workers: int = 1,
    memory: float = 4 * 2.0**30,
    scheduler: str | None = None,
    resume: bool = False,
    dry_run: bool = False,
    same_cube: bool = False,
    land_fraction: str | None = None,
    device: str = "cpu",
) -> Prediction:
    """Read models and cube, make the plan, and the store if it is not there (not with `dry_run`); predict nothing yet.

    same_cube : files of the cube that changed since an earlier run were repaired or copied, their values are the same.
    land_fraction : FILE:VARIABLE, the share of each cell that is land, by which areas are multiplied (8-km cells).
    device : "cpu", or "gpu" through JAX; results are the same.

    Raises:
        ConfigError: it does not fit, `out` holds something else, or there is nothing to resume.
        InputError, GridError, UnitsError: models or cube do not fit each other.
    """
    ready = bundle(models, members)
    land = None if land_fraction is None else Plane.parse(land_fraction, "--land-fraction")
    folder = out.absolute().with_name(out.name + ".work")
    spec = Spec(
        folder=folder,
        out=out.absolute(),
        models=tuple(p.absolute() for p in models),
        members=ready.n_members,
        cube=tuple(p.absolute() for p in cube),
        years=years,
        stand_in=tuple(stand_in_years),
        regions=tuple(with_absolute_paths(regions)),
        holes=holes,
        influence=influence,
        features=ready.features,
        targets=ready.targets,
        units=ready.units,
        only_forests=all(isinstance(m, Packed) for m in ready.models),
        land=None if land is None else (str(land.path), land.variable),
        tile=TILE,
        device=device,
    )
    opened = spec.open_cube()
    if land is not None:
        land.read(opened.grid, Tile(0, 2, 0, 2))
    edge = tile_edge(opened.grid, tile)
    spec = replace(spec, tile=edge)
    nodes = sum(Bags.of(Model.load(p, members=False)).trees.n_nodes for p in models) if influence else 0
    plan = make_plan(
        opened,
        ready.on_gpu() if device == "gpu" else ready,
        out=out,
        edge=edge,
        workers=workers,
        memory=memory,
        dtype=dtype,
        regions=4 * len(regions),
        influence_nodes=nodes,
        cluster=scheduler is not None,
    )
    identity = {
        "code": code_version(),
        "models": {t: hash_file(p) for t, p in zip(ready.targets, models, strict=True)},
        "cube": fingerprint(spec.cube),
        "settings": {
            "years": years,
            "stand_in_years": list(stand_in_years),
            "regions": list(regions),
            "region_files": [hash_or_print(p) for p in files_of(regions)],
            "members": ready.n_members,
            "holes": holes,
            "influence": influence,
            "dtype": dtype,
            "tile": edge,
            "land_fraction": None if land is None else [land.variable, hash_or_print(land.path)],
        },
    }
    key = hash_bytes(json.dumps(identity, sort_keys=True).encode())[:16]
    resumed = _check_place(out, folder, identity, resume, same_cube)
    if not resumed and not dry_run:
        _start(spec, opened, dtype, identity, key)
        if spec.only_forests:
            ready.save(folder / "forests")
    if not dry_run:
        spec.write()
    return Prediction(spec, plan, opened, key, resumed)


def hash_or_print(path: Path) -> str:
    """Hash of a file's bytes; of a folder, its fingerprint."""
    return hash_file(path) if path.is_file() else fingerprint([path])


def verify_store(path: Path) -> list[str]:
    """Tiles whose chunk files are not the bytes that were written (empty: all are)."""
    folder = path.with_name(path.name + ".work")
    spec = Spec.read(folder / "spec.json")
    names = [store.variable_of(t, u) for t, u in zip(spec.targets, spec.units, strict=True)]
    planes = [
        "coverage",
        *(["land_fraction"] if spec.land else []),
        *(f"{n}_member_{w}" for n in names if spec.members for w in ("sd", "mean")),
    ]
    with xr.open_zarr(path, consolidated=False, chunks=None) as whole:
        chunks = -(-whole.sizes["time"] // store.TIME_CHUNK)
    damaged = []
    for result in sorted((folder / "tiles").glob("*.npz")):
        j0, i0 = (int(part[1:]) for part in result.stem.split("_"))
        at = Path(str(j0 // spec.tile)) / str(i0 // spec.tile)
        written = {path / n / "c" / str(k) / at for n in names for k in range(chunks)}
        written |= {path / n / "c" / at for n in planes}
        with np.load(result) as held:
            if bytes(held["chunks"]).decode() != store.hash_chunks(written, path):
                damaged.append(result.stem)
    return damaged


def _check_place(out: Path, folder: Path, identity: dict[str, Any], resume: bool, same_cube: bool) -> bool:
    """Whether an earlier run of the very same thing is there."""
    recorded = _recorded(folder) if (folder / "run.json").exists() else None
    if recorded is None or not store.is_store(out):
        if resume:
            raise ConfigError(f"--resume: {out} holds no earlier run. Leave --resume out to start one.")
        if out.exists() and any(out.iterdir() if out.is_dir() else [out]):
            raise ConfigError(f"{out} exists and is no run that could go on; choose another --out.")
        return False
    if recorded == json.loads(json.dumps(identity)):
        return True
    now = json.loads(json.dumps(identity))
    changed = [k for k in ("code", "models", "cube", "settings") if recorded.get(k) != now[k]]
    if changed == ["cube"]:
        if same_cube:
            store.write_run(folder, identity)
            return True
        raise ConfigError(
            f"files of the cube changed since {out} was begun. If they were repaired or copied and hold the same "
            f"values, say --same-cube; else choose another --out, or delete {out} and {folder}."
        )
    detail = ""
    if "settings" in changed:
        old, new = recorded["settings"], now["settings"]
        detail = (
            " (" + ", ".join(f"{k}: {old.get(k)} -> {v}" for k, v in new.items() if v != old.get(k)) + ")"
        )
    raise ConfigError(
        f"{out} was begun with other {', '.join(changed)}{detail}. Choose another --out, or delete {out} and {folder}."
    )


def _recorded(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return content


def _start(
    spec: Spec,
    cube: Cube,
    dtype: str,
    identity: dict[str, Any],
    key: str,
) -> None:
    """Make the empty store whole or not at all, then the record of the run."""
    if spec.folder.exists():
        shutil.rmtree(spec.folder)
    (spec.folder / "tiles").mkdir(parents=True)
    began = spec.folder / "store"
    described = {
        t: Model.load(p, members=False).learner.name for t, p in zip(spec.targets, spec.models, strict=True)
    }
    attrs = {
        "title": "upscaled fluxes",
        "source": "talik upscaling: " + ", ".join(f"{t} by {n}" for t, n in described.items()),
        "talik_models": json.dumps(identity["models"], sort_keys=True),
        "talik_settings": json.dumps(identity["settings"], sort_keys=True),
    }
    inputs = {f"model {t}": p for t, p in zip(spec.targets, spec.models, strict=True)}
    store.create(
        began,
        cube,
        spec.targets,
        spec.units,
        tile=spec.tile,
        dtype=dtype,
        members=spec.members,
        land=spec.land is not None,
        attrs=attrs,
        inputs=inputs,
        key=key,
    )
    if spec.out.exists():
        spec.out.rmdir()
    spec.out.parent.mkdir(parents=True, exist_ok=True)
    began.rename(spec.out)
    store.write_run(spec.folder, identity)
