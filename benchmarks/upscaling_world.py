"""A world at real shape whose fluxes are planted: `python -m benchmarks.upscaling_world FOLDER [big] [flat] [cut]`.

The forests are as deep as real ones, and their budgets are known: half of the trees mirrors the other half (the same
splits, leaf values turned about a constant, so that every pair adds up to it), and two trees split on month and class
alone and carry the planted flux. `big` predicts 2,000,000 pixels, 12 months, 3 fluxes once, and compares time, memory
and budgets with the plan and the truth; `flat` the cost of a row from 1e5 rows on; `cut` predicts 100,000 pixels, 24
months, 3 fluxes with 5 bootstrap members with 1 worker, with 2, and killed twice: all bytes must be the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("SOURCE_DATE_EPOCH", "1700000000")

import numpy as np
import pandas as pd
import xarray as xr

from benchmarks.forest_kernel import training
from talik.flux.io import open_store
from talik.products.store import open_sums
from talik.regions import EqualAreaGrid
from talik.upscaling.bootstrap import site_bootstrap
from talik.upscaling.cube.run import verify_store
from talik.upscaling.forest import FittedForest, Forest
from talik.upscaling.learner import Data
from talik.upscaling.model import Model
from talik.upscaling.training import Feature, Schema, Training
from talik.upscaling.trees import Trees, join

CLASSES = (21, 30, 31, 33, 60, 70, 80, 120, 160)
FLUXES = ("nee", "gpp", "reco")
CENTRE = 10.0


def planted(flux: str, month: int, vegetation: int) -> float:
    """The truth, g m-2 month-1."""
    summer = max(0.0, np.sin((month - 4) / 6 * np.pi)) if 4 <= month <= 10 else 0.0
    gpp = (60 + vegetation) * summer
    reco = 12 + (35 + 0.9 * vegetation) * summer
    return {"gpp": gpp, "reco": reco, "nee": reco - gpp}[flux]


def schema(x: np.ndarray, flux: str) -> Schema:
    """Month, class, and the continuous predictors of the table."""
    own = [
        Feature(name=f"p{k}", units="1", low=float(c.min()), high=float(c.max())) for k, c in enumerate(x.T)
    ]
    classes = [
        Feature(name="month", levels=tuple(map(str, range(1, 13)))),
        Feature(name="vegetation_type", levels=tuple(map(str, CLASSES))),
    ]
    return Schema(target=flux, units="g m-2 month-1", features=(*classes, *own))


def planted_tree(flux: str, n_trees: int, n_levels: np.ndarray) -> Trees:
    """A tree on month and class whose two copies lift the mean of n_trees from CENTRE to the planted flux."""
    rest = CENTRE * (n_trees - 2)
    nodes: list[list[float]] = []  # feature, levels, left, value

    def grow(months: list[int], classes: list[int], at: int) -> None:
        if len(months) == len(classes) == 1:
            flow = planted(flux, months[0] + 1, CLASSES[classes[0]])
            nodes[at] = [-1, 0, 0, (flow * n_trees - rest) / 2]
            return
        feature, levels = (0, months) if len(months) > 1 else (1, classes)
        half, left = len(levels) // 2, len(nodes)
        nodes.extend([[], []])
        nodes[at] = [feature, sum(1 << k for k in levels[:half]), left, 0.0]
        for side, part in enumerate((levels[:half], levels[half:])):
            grow(*((part, classes) if feature == 0 else (months, part)), left + side)

    nodes.append([])
    grow(list(range(12)), list(range(len(CLASSES))), 0)
    feature, levels, left, value = zip(*nodes, strict=True)
    n = len(nodes)
    return Trees(
        np.array([0, n]), np.array(feature, np.int16), np.zeros(n, np.float32), np.array(levels, np.uint64),
        np.array(left, np.int32), np.array(value), np.ones(n), n_levels,
    ).check()  # fmt: skip


def make_model(flux: str, path: Path, members: int, trees: int = 500) -> None:
    """A forest whose mean is the planted flux, and members that are ordinary forests."""
    x, y, _ = training()
    rng = np.random.default_rng(FLUXES.index(flux))
    codes = np.column_stack([rng.integers(0, 12, len(x)), rng.integers(0, len(CLASSES), len(x))])
    whole = np.column_stack([codes, x]).astype(np.float32)
    own = schema(x, flux)
    data = Data(whole, y, np.arange(len(x)) // 30, np.ones(len(x)), own.n_levels)
    learner = Forest(trees=trees, mtry=6)
    half = Forest(trees=trees // 2 - 1, mtry=6).fit(data, 448, 2).trees
    mirrored = replace(half, value=2 * CENTRE - half.value)
    lift = planted_tree(flux, trees, own.n_levels)
    grown = join([half, mirrored, lift, lift])
    table = pd.DataFrame({"site_id": data.groups})
    sites = tuple(map(str, range(int(data.groups.max()) + 1)))
    known = Training(data, own, sites, table, (), "made")
    made = tuple(site_bootstrap(known, learner, k, 448, 2) for k in range(members))
    Model(learner, FittedForest(grown, np.zeros(trees, np.uint64)), own, {"sites": []}, members=made).save(
        path
    )
    print(f"{path}: {grown.n_nodes / trees:.0f} nodes a tree, {members} members", flush=True)


def make_cube(path: Path, rows: int, columns: int, pixels: int, years: int) -> None:
    """Predictors on 1-km cells: smooth fields of real site values that change by month, classes, a sea."""
    if path.exists():
        return
    x, _, _ = training()
    grid = EqualAreaGrid.epsg6931(1000.0, x=(-1.0e6, -1.0e6 + 1000 * columns), y=(-5e5, -5e5 + 1000 * rows))
    rng = np.random.default_rng(7)
    land = np.zeros(rows * columns, bool)
    ripple = 30 * np.sin(np.arange(rows) / 60)[:, None] + np.arange(columns)[None, :]
    land[np.argsort(ripple.ravel(), kind="stable")[:pixels]] = True
    land = land.reshape(rows, columns)
    frame = grid.frame()
    months = pd.date_range("2001-01-01", periods=12 * years, freq="MS")
    frame = frame.assign_coords(time=months)
    zones = rng.choice(CLASSES, (rows // 16 + 1, columns // 16 + 1)).repeat(16, 0).repeat(16, 1)
    frame["vegetation_type"] = (grid.dims, np.where(land, zones[:rows, :columns], 210).astype("i2"))
    temporary = path.with_suffix(".part")
    shutil.rmtree(temporary, ignore_errors=True)
    frame.to_zarr(
        temporary, mode="w", consolidated=False, encoding={"vegetation_type": {"chunks": (256, 256)}}
    )
    warmth = np.argsort(np.argsort(x[:, 0]))  # the first predictor orders the rows by season
    for step in range(len(months)):
        season = 0.5 + 0.45 * np.sin((step % 12 - 3) / 6 * np.pi)
        near = np.argsort(np.abs(warmth / len(x) - season))[: len(x) // 6]
        anchors = x[rng.choice(near, (rows // 64 + 2, columns // 64 + 2))]
        for k in range(x.shape[1]):
            field = _blend(anchors[..., k], rows, columns)
            field = field.repeat(1, 0) + rng.normal(0, 0.01 * x[:, k].std(), field.shape)
            values = np.where(land, field, np.nan).astype("f4")[None]
            part = xr.Dataset({f"p{k}": (("time", *grid.dims), values, {"units": "1"})})
            if step == 0:
                shape = xr.Dataset(
                    {f"p{k}": (("time", *grid.dims), _lazy((len(months), rows, columns)), {"units": "1"})}
                )
                shape.to_zarr(
                    temporary, mode="a", compute=False, consolidated=False,
                    encoding={f"p{k}": {"chunks": (1, 256, 256)}},
                )  # fmt: skip
            part.to_zarr(temporary, region={"time": slice(step, step + 1)}, consolidated=False)
    temporary.rename(path)


def _lazy(shape: tuple[int, int, int]) -> object:
    import dask.array as da

    return da.zeros(shape, chunks=(1, 256, 256), dtype="f4")


def _blend(anchors: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Bilinear field between anchors 64 cells apart."""
    j, i = np.arange(rows) / 64, np.arange(columns) / 64
    a, b = j.astype(int), i.astype(int)
    f, g = (j - a)[:, None], (i - b)[None, :]
    return (
        anchors[a][:, b] * (1 - f) * (1 - g)
        + anchors[a + 1][:, b] * f * (1 - g)
        + anchors[a][:, b + 1] * (1 - f) * g
        + anchors[a + 1][:, b + 1] * f * g
    )


def predict(folder: Path, cube: str, out: str, *arguments: str) -> tuple[str, float]:
    """Run the command; what it said, and its seconds."""
    command = [
        sys.executable, "-m", "talik", "upscale", "predict", *(str(folder / f"{f}.model") for f in FLUXES),
        "--grid", str(folder / cube), "--out", str(folder / out), *arguments,
    ]  # fmt: skip
    start = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout + done.stderr, time.perf_counter() - start


def big(folder: Path, workers: int) -> None:
    """2,000,000 pixels, 12 months, 3 fluxes, central forests."""
    make_cube(folder / "big.zarr", 1600, 1500, 2_000_000, 1)
    shutil.rmtree(folder / "big.out.zarr", ignore_errors=True)
    shutil.rmtree(folder / "big.out.zarr.work", ignore_errors=True)
    told, took = predict(
        folder, "big.zarr", "big.out.zarr", "--members", "0", "--workers", str(workers), "--json"
    )
    print(told[told.index("\n}") + 2 :], flush=True)
    facts = json.loads(told[: told.index("\n}") + 2])
    print(json.dumps(facts), flush=True)
    rows = facts["pixels"] * facts["months"]
    print(
        f"{rows:,} rows x 3 forests: {took:.0f} s wall with {workers} workers, {facts['seconds']:.0f} s of work, "
        f"planned {facts['planned_seconds']:.0f} ({100 * (facts['planned_seconds'] / facts['seconds'] - 1):+.0f} %); "
        f"{facts['seconds'] / rows / 3 * 1e6:.2f} us a row and forest; at most {facts['peak_bytes'] / 2**30:.2f} GiB "
        f"a process (planned {facts['planned_bytes'] / 2**30:.2f})"
    )
    classes = xr.open_zarr(folder / "big.zarr", consolidated=False)["vegetation_type"].values
    area = {c: 1e6 * float((classes == c).sum()) for c in CLASSES}
    sums = open_sums(folder / "big.out.zarr")
    worst = 0.0
    for flux in FLUXES:
        truth = sum(planted(flux, m, c) * area[c] for m in range(1, 13) for c in CLASSES)
        seconds = sums["time"].dt.days_in_month * 86400.0
        got = float((sums[flux].sel(region="domain") * seconds).sum()) * 1e3
        stored = open_store(folder / "big.out.zarr")[flux]
        kept = (
            float((stored.astype("f8").sum(("y", "x")) * stored["time"].dt.days_in_month * 86400).sum()) * 1e9
        )
        worst = max(worst, abs(got / truth - 1), abs(kept / truth - 1))
        print(
            f"{flux}: planted {truth / 1e12:.9f} Tg, sums {got / truth - 1:+.1e}, stored maps {kept / truth - 1:+.1e}"
        )
    assert worst < 1e-6


def flat(folder: Path) -> None:
    """Cost of a row against the number of rows, one worker."""
    for edge, months in ((94, 12), (300, 12), (750, 12)):
        name, out = f"flat{edge}.zarr", folder / f"flat{edge}.out.zarr"
        if not (folder / name).exists():
            source = xr.open_zarr(folder / "big.zarr", consolidated=False)
            part = source.isel(y=slice(256, 256 + edge), x=slice(0, edge), time=slice(0, months))
            for v in part.variables.values():
                v.encoding.clear()
            part.chunk({"y": 256, "x": 256, "time": 1}).to_zarr(folder / name, consolidated=False)
        for path in (out, out.with_name(out.name + ".work")):
            shutil.rmtree(path, ignore_errors=True)
        told, _ = predict(folder, name, out.name, "--members", "0", "--json")
        facts = json.loads(told[: told.index("\n}") + 2])
        rows = facts["pixels"] * facts["months"]
        each = facts["seconds"] / rows / 3 * 1e6
        print(
            f"{rows:,} rows x 3 forests: {each:.2f} us a row and forest, planned "
            f"{100 * (facts['planned_seconds'] / facts['seconds'] - 1):+.0f} %",
            flush=True,
        )


def content(out: Path) -> dict[str, str]:
    """Hash of every file of a store and of its sums."""
    found = {
        p.relative_to(out).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(out.rglob("*"))
        if p.is_file()
    }
    with open_sums(out) as sums:
        for name, values in sums.data_vars.items():
            found[str(name)] = hashlib.sha256(np.ascontiguousarray(values.values).tobytes()).hexdigest()
    return found


def cut(folder: Path) -> None:
    """100,000 pixels, 24 months, 5 bootstrap members: 1 worker, 2 workers, killed twice."""
    make_cube(folder / "cut.zarr", 360, 320, 100_000, 2)
    for name in ("one", "two", "killed"):
        for ending in ("", ".work"):
            shutil.rmtree(folder / f"{name}.zarr{ending}", ignore_errors=True)
    for name, workers in (("one", "1"), ("two", "2")):
        told, took = predict(
            folder, "cut.zarr", f"{name}.zarr", "--workers", workers, "--regions", "sectors", "--tile", "64"
        )
        print(f"{workers} workers: {took:.0f} s; {re.findall(r'planned [^)]*', told)}", flush=True)
    out = folder / "killed.zarr"
    for wanted in (3, 8):
        models = [str(folder / f"{f}.model") for f in FLUXES]
        command = [
            "upscale",
            "predict",
            *models,
            "--grid",
            str(folder / "cut.zarr"),
            "--out",
            str(out),
            "--tile",
            "64",
        ]
        process = subprocess.Popen(
            [sys.executable, "-m", "talik", *command, "--workers", "2", "--regions", "sectors"],
            start_new_session=True,
            stderr=subprocess.DEVNULL,
        )
        results = folder / "killed.zarr.work" / "tiles"
        while len(list(results.glob("*.npz"))) < wanted and process.poll() is None:
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        print(f"killed with {len(list(results.glob('*.npz')))} tiles done", flush=True)
    predict(
        folder,
        "cut.zarr",
        "killed.zarr",
        "--workers",
        "2",
        "--regions",
        "sectors",
        "--tile",
        "64",
        "--resume",
    )
    one, two, killed = (content(folder / f"{n}.zarr") for n in ("one", "two", "killed"))
    print(
        f"{len(one)} files and sums; 1 and 2 workers equal: {one == two}; killed twice equal: {one == killed}"
    )
    print(f"damaged tiles: {verify_store(out)}")
    assert one == two == killed


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    wanted = sys.argv[2:] or ["big", "flat", "cut"]
    for flux in FLUXES:
        if not (folder / f"{flux}.model").exists():
            make_model(flux, folder / f"{flux}.model", members=5)
    for name in wanted:
        print(f"## {name}", flush=True)
        {"big": lambda: big(folder, 2), "flat": lambda: flat(folder), "cut": lambda: cut(folder)}[name]()


if __name__ == "__main__":
    main()
