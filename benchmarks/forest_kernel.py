"""Throughput of forest prediction against scikit-learn and R: `python -m benchmarks.forest_kernel [--r] [--rows N]`.

One run, one core, CPU seconds, medians of three. Trees are as deep as those of R's randomForest on the NEE table
(3,005 nodes; the real table if it is there, else one made like it). "Scattered" rows are blends of training rows in
random order, the hardest case; "map" rows are a smooth field of them, as in a layer of a grid.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from talik.upscaling.imported import from_sklearn
from talik.upscaling.jax_trees import DeviceForest, gpu
from talik.upscaling.packed import Chunk, Packed, predict_all
from talik.upscaling.trees import Trees

R_EARLIER = 27_600
"""Rows a CPU-second of R's randomForest with 500 trees and 10 predictors, measured before on a core of this kind."""


def training() -> tuple[np.ndarray, np.ndarray, str]:
    """Predictors and response of the NEE table."""
    from benchmarks.upscaling import shared, v1_table

    if (shared() / "abcflux-v1-ml").is_dir():
        data = v1_table("nee", located=False).data
        return data.x, data.y, "NEE table of abcflux-v1-ml"
    rng = np.random.default_rng(1)
    season = rng.uniform(0, 2 * np.pi, 4467)
    x = np.column_stack([np.sin(season) * a + rng.normal(0, 0.5, 4467) for a in np.linspace(0.2, 3, 10)])
    return x.astype(np.float32), np.sin(season) * 30 + rng.normal(0, 20, 4467), "made table"


def scattered(x: np.ndarray, n: int) -> np.ndarray:
    """Rows near training rows, in random order."""
    rng = np.random.default_rng(2)
    one, other = rng.integers(0, len(x), (2, n))
    share = rng.uniform(0, 0.2, (n, 1)).astype(np.float32)
    return (x[one] * (1 - share) + x[other] * share).astype(np.float32)


def layer(x: np.ndarray, n: int) -> np.ndarray:
    """A square map: training rows at anchors 64 cells apart, blended between, with a little noise."""
    rng = np.random.default_rng(3)
    edge = int(np.sqrt(n))
    anchors = x[rng.integers(0, len(x), (edge // 64 + 2, edge // 64 + 2))]
    at = np.arange(edge) / 64
    k, f = at.astype(int), (at - at.astype(int)).astype(np.float32)
    rows = anchors[k] * (1 - f)[:, None, None] + anchors[k + 1] * f[:, None, None]
    field = rows[:, k] * (1 - f)[None, :, None] + rows[:, k + 1] * f[None, :, None]
    noise = rng.normal(0, 0.01, field.shape) * x.std(0)
    return (field + noise).reshape(-1, x.shape[1]).astype(np.float32)


def cpu_rate(run: object, rows: int, repeats: int = 3) -> float:
    """Rows a CPU-second, median."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        run()  # type: ignore[operator]
        times.append(time.process_time() - start)
    return rows / float(np.median(times))


def path_length(trees: Trees, x: np.ndarray) -> float:
    """Nodes visited by a row in a tree, mean."""
    depth = np.zeros(trees.n_nodes)
    for k in np.flatnonzero(trees.feature >= 0):
        depth[trees.left[k]] = depth[trees.left[k] + 1] = depth[k] + 1
    return float(depth[trees.leaves(x[:4096])].mean())


def in_r(x: np.ndarray, y: np.ndarray, tests: np.ndarray) -> tuple[float, float]:
    """Rows a CPU-second of R's randomForest in the same run, and its nodes a tree."""
    script = """
library(randomForest)
a <- commandArgs(TRUE); d <- read.csv(a[1]); t <- read.csv(a[2]); set.seed(448)
m <- randomForest(d[, -1], d[, 1], ntree = 500, mtry = 6)
p <- c(); for (i in 1:3) { b <- proc.time(); r <- predict(m, t); e <- proc.time(); p <- c(p, sum((e - b)[1:2])) }
cat(nrow(t) / median(p), mean(m$forest$ndbigtree))
"""
    with tempfile.TemporaryDirectory() as folder:
        a, b, s = (Path(folder) / n for n in ("a.csv", "b.csv", "s.R"))
        names = ",".join(f"v{k}" for k in range(x.shape[1]))
        np.savetxt(a, np.column_stack([y, x]), delimiter=",", header=f"y,{names}", comments="")
        np.savetxt(b, tests, delimiter=",", header=names, comments="")
        s.write_text(script)
        done = subprocess.run(["Rscript", s, a, b], check=True, capture_output=True, text=True)
    rate, nodes = done.stdout.split()
    return float(rate), float(nodes)


def main() -> None:
    from sklearn.ensemble import RandomForestRegressor

    n = int(sys.argv[sys.argv.index("--rows") + 1]) if "--rows" in sys.argv else 262_144
    x, y, name = training()
    print(f"{name}: {x.shape[0]} rows, {x.shape[1]} predictors; {n} rows predicted; 500 trees")
    peer = RandomForestRegressor(500, min_samples_split=4, max_features=6, random_state=448, n_jobs=1)
    peer.fit(x, y)
    trees = from_sklearn(peer)
    print(f"nodes a tree {trees.n_nodes / trees.n_trees:.0f}, depth {Packed.of(trees).depth}")
    ready = Packed.of(trees)
    predict_all([ready], x[:100])
    for kind, rows in (("scattered", scattered(x, n)), ("map", layer(x, n))):
        few = rows[: min(len(rows), 40_000)]
        assert np.array_equal(trees.predict(few).astype("f4"), peer.predict(few).astype("f4"))
        theirs = cpu_rate(lambda few=few: peer.predict(few), len(few))
        ours = cpu_rate(lambda rows=rows: predict_all([ready], rows), len(rows))
        order = cpu_rate(lambda rows=rows: ready.order(rows), len(rows))
        visits = path_length(trees, rows)
        print(
            f"{kind}: talik {ours:,.0f} rows/CPU-s, scikit-learn {theirs:,.0f}, ratio {ours / theirs:.1f}; against R "
            f"as measured before {ours / R_EARLIER:.1f}; ordering rows takes {100 * ours / order:.0f} % of the time"
        )
        put = ready.order(rows)
        chunks = [
            Chunk.of(rows, put[a : a + 4096], ready.categorical)
            for a in range(0, min(len(put), 16 * 4096), 4096)
        ]
        walk = cpu_rate(
            lambda chunks=chunks: [c.sum_of(ready) for c in chunks], sum(len(c.rows) for c in chunks)
        )
        small = ready.within(rows)
        less = cpu_rate(lambda c=chunks, s=small: [k.sum_of(s) for k in c], sum(len(c.rows) for c in chunks))
        distinct = blocks_nodes(trees, rows, put)
        print(
            f"  a row visits {visits:.1f} nodes a tree = {500 * visits:.0f}; 64 rows in order touch {distinct:.0f} "
            f"distinct nodes a tree, {distinct / 64:.2f} a row, {64 * visits / distinct:.1f} visits a comparison; "
            f"{500 * distinct / 64 * (8 + 256):.0f} bytes of nodes and predictors read a row; "
            f"walk alone {walk:,.0f}, pruned to the box {less:,.0f} rows/CPU-s"
        )
        if "--r" in sys.argv:
            rate, nodes = in_r(x, y, few)
            print(
                f"  R randomForest in this run: {rate:,.0f} rows/CPU-s ({nodes:.0f} nodes), ratio {ours / rate:.1f}"
            )
        device = gpu()
        if device is not None:
            on_device = DeviceForest(ready, device)
            on_device.predict(rows)
            start = time.perf_counter()
            got = on_device.predict(rows)
            took = time.perf_counter() - start
            print(
                f"  JAX on {device}: {len(rows) / took:,.0f} rows/s, equal {np.array_equal(got, trees.predict(rows))}"
            )


def blocks_nodes(trees: Trees, x: np.ndarray, order: np.ndarray) -> float:
    """Distinct inner nodes that a block of 64 rows passes in a tree, mean over some blocks and trees."""
    parent = np.full(trees.n_nodes, -1, np.int64)
    inner = np.flatnonzero(trees.feature >= 0)
    parent[trees.left[inner]] = parent[trees.left[inner] + 1] = inner
    rng, count, many = np.random.default_rng(4), 0, 0
    for start in rng.choice(len(order) // 64, 40, replace=False) * 64:
        ends = trees.leaves(x[order[start : start + 64]])
        for t in range(0, trees.n_trees, 25):
            seen: set[int] = set()
            for leaf in np.unique(ends[:, t]):
                node = int(parent[leaf])
                while node >= 0 and node not in seen:
                    seen.add(node)
                    node = int(parent[node])
            count += len(seen)
            many += 1
    return count / many


if __name__ == "__main__":
    main()
