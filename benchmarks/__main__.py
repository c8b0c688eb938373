"""`python -m benchmarks [NAME ...]` runs the benchmarks and prints a Markdown table.

Times are medians of a few runs on whatever machine this is; where a peer is named, both ran in this one process,
one after the other, so that the ratio means something on a noisy machine.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable

import numpy as np

from benchmarks.fusion_speed import bench_fusion_speed
from benchmarks.tem import bench_tem
from benchmarks.tem_biogeochemistry import bench_tem_biogeochemistry
from benchmarks.timing import Row, median_seconds
from benchmarks.trends import bench_trends


def command(*args: str) -> Callable[[], object]:
    """A fresh Python process with these arguments."""
    return lambda: subprocess.run([sys.executable, *args], check=True, capture_output=True)


def bench_import() -> list[Row]:
    """Import and help, against bare Python."""
    bare = median_seconds(command("-c", "pass"))
    rows = []
    for name, args in (
        ("import talik", ("-c", "import talik")),
        ("import talik.flux.table", ("-c", "import talik.flux.table")),
        ("import talik.regions (all names)", ("-c", "from talik.regions import *")),
        ("import talik.budget", ("-c", "import talik.budget")),
        ("talik --help", ("-m", "talik", "--help")),
    ):
        seconds = median_seconds(command(*args))
        rows.append((name, f"{seconds:.2f} s", f"bare Python {bare:.2f} s"))
    return rows


def bench_regrid() -> list[Row]:
    """0.5 degree (40-90 N) to 8 km: weights, and twelve months applied; against point supersampling."""
    import xarray as xr

    from talik.regions import EqualAreaGrid, LatLonGrid, overlap, regrid

    source, target = LatLonGrid.regular(0.5, lat=(40, 90)), EqualAreaGrid.epsg6931(8000.0)
    build = median_seconds(lambda: overlap(source, target), 3)
    weights = overlap(source, target)
    values = np.random.default_rng(0).normal(size=(12, *source.shape))
    data = xr.DataArray(
        values, dims=("time", *source.dims), coords=source.coords(), name="nee", attrs={"units": "kg m-2 s-1"}
    )
    apply = median_seconds(lambda: regrid(data, target, src=source, weights=weights), 3)
    peer = median_seconds(lambda: _supersample(values, source, target), 1)
    memory = weights.nbytes / 1e6
    return [
        (
            "weights 0.5 degree to 8 km, 1063 x 1250 cells",
            f"{build:.2f} s",
            f"{memory:.0f} MB held, exact overlaps",
        ),
        (
            "12 months with these weights",
            f"{apply:.2f} s",
            f"{12 * target.size / apply / 1e6:.1f} million cells/s",
        ),
        (
            "both, against 8 x 8 points a cell (pyproj)",
            f"{peer / (build + apply):.1f} times as fast",
            f"points take {peer:.1f} s and do not conserve mass",
        ),
    ]


def _supersample(values: np.ndarray, source: object, target: object, points: int = 8) -> np.ndarray:
    """The usual stand-in for conservative regridding: the mean of the source at points inside each target cell."""
    from pyproj import Transformer

    to_lonlat = Transformer.from_crs(6931, 4326, always_xy=True)
    step = 8000.0 / points
    offsets = (np.arange(points) + 0.5) * step - 4000.0
    x, y = (np.asarray(a) for a in (target.x, target.y))
    total = np.zeros((values.shape[0], y.size, x.size))
    for dy in offsets:
        for dx in offsets:
            lon, lat = to_lonlat.transform(*np.meshgrid(x + dx, y + dy))
            row = np.clip(((lat - 40.0) / 0.5).astype(int), 0, values.shape[1] - 1)
            column = np.clip(((lon + 180.0) / 0.5).astype(int), 0, values.shape[2] - 1)
            total += values[:, row, column]
    return total / points**2


def bench_monte_carlo() -> list[Row]:
    """A million draws of the built-in budget: one assumption, and the whole command."""
    from talik.budget import BudgetSettings, compute
    from talik.budget.reccap2 import recipes
    from talik.posts.combine import sampled
    from talik.posts.published import components
    from talik.posts.recipe import flatten, order

    posts = {p.key: p for p in components()}
    weights = flatten(order(recipes(), posts))
    inputs = len({k for w in weights.values() for k in w})
    one = median_seconds(lambda: sampled(weights, posts, draws=1_000_000), 3)
    whole = median_seconds(lambda: compute("reccap2", BudgetSettings(draws=1_000_000)), 3)
    return [
        (f"10^6 draws, {inputs} inputs, {len(weights)} derived posts", f"{one:.2f} s", "independent"),
        (
            "compute('reccap2'), three assumptions, 10^6 draws",
            f"{whole:.2f} s",
            "with audit and reconciliation",
        ),
    ]


def bench_demo() -> list[Row]:
    """The demo in an empty folder, and again with everything cached."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        first = median_seconds(command("-m", "talik", "demo", "--out", f"{folder}/demo"), 1)
        again = median_seconds(command("-m", "talik", "demo", "--out", f"{folder}/demo"), 3)
    return [
        ("talik demo", f"{first:.1f} s", ""),
        ("talik demo, again", f"{again:.1f} s", "everything cached"),
    ]


BENCHES = {
    "import": bench_import,
    "regrid": bench_regrid,
    "monte_carlo": bench_monte_carlo,
    "demo": bench_demo,
    "fusion_speed": bench_fusion_speed,
    "tem": bench_tem,
    "tem_biogeochemistry": bench_tem_biogeochemistry,
    "trends": bench_trends,
}


def main(names: list[str]) -> None:
    """Run the named benchmarks (all without names)."""
    unknown = sorted(set(names) - set(BENCHES))
    if unknown:
        sys.exit(f"unknown benchmark {unknown[0]!r}; choose from: {', '.join(BENCHES)}")
    from talik.provenance import code_version

    print(
        f"talik {code_version()}, Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}\n"
    )
    print("| what | measured | note |\n|---|---|---|")
    for name in names or BENCHES:
        for row in BENCHES[name]():
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
