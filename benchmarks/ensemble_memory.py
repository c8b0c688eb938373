"""A gridded ensemble larger than memory, summarised: `python -m benchmarks.ensemble_memory [FOLDER] [--members 50]`.

Writes one NetCDF-4 file a member (half-degree, 45-90 N, 240 months, float32; 2.5 degrees with --small), summarises
them in a fresh process, and deletes them. The usual way, xarray.concat and quantile over everything, runs on the
largest part of the ensemble that fits, in a fresh process too, and must give the same numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr

from benchmarks.timing import Row
from talik.flux import make_flux_dataset, open_flux
from talik.regions import LatLonGrid

YEARS, FIRST = 20, 2000
CALENDARS = ("standard", "noleap", "360_day")


def peak_bytes() -> int:
    """Most memory this process has had resident: VmHWM of Linux, which starts anew with the process."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmHWM in /proc/self/status; this benchmark needs Linux")


def read_bytes() -> int:
    """Bytes that read calls of this process have returned, from disk or the system's cache."""
    found = Path("/proc/self/io").read_text(encoding="ascii").split()
    return int(found[found.index("rchar:") + 1])


def write_ensemble(folder: Path, members: int, degrees: float) -> None:
    """One file a member, NEE with a level and a season in each cell; a fifth of the cells is sea, without data."""
    grid = LatLonGrid.regular(degrees, lat=(45, 90))
    sea = np.random.default_rng(1).random(grid.shape) < 0.2
    for k in range(members):
        rng = np.random.default_rng([2, k])
        calendar = CALENDARS[k % len(CALENDARS)]
        time_axis = xr.date_range(
            f"{FIRST}-01-01",
            periods=12 * YEARS,
            freq="MS",
            calendar=calendar,
            use_cftime=calendar != "standard",
        )
        level = rng.normal(-1e-9, 1e-9, grid.shape)
        season = 2e-9 * np.cos(2 * np.pi * np.arange(12 * YEARS) / 12)[:, None, None]
        values = rng.normal(0.0, 1e-10, (12 * YEARS, *grid.shape)).astype(np.float32)
        values += (season + level).astype(np.float32)
        values[:, sea] = np.nan
        nee = xr.DataArray(
            values,
            dims=("time", *grid.dims),
            coords={"time": time_axis, **grid.coords()},
            attrs={"units": "kg m-2 s-1"},
        )
        ds = make_flux_dataset({"nee": nee}, approach="process", source=f"synthetic {k}", coverage=1.0)
        clock = {"units": f"days since {FIRST}-01-01", "dtype": "float64"}
        encoding = {
            "time": clock,
            "time_bnds": clock,
            "nee": {"dtype": "float32", "_FillValue": np.float32(1e20), "chunksizes": (12, *grid.shape)},
        }
        ds.to_netcdf(folder / f"m{k:03d}.nc", engine="netcdf4", encoding=encoding)


def run_talik(folder: Path, members: int, memory_bytes: int, way: str) -> dict[str, float]:
    """`summarise_cells` of the first members: seconds, peak memory, bytes read."""
    from talik.ensembles.gridded import plan_cells, summarise_cells

    empty = peak_bytes()
    start, before = time.perf_counter(), read_bytes()
    paths = sorted(folder.glob("m*.nc"))[:members]
    held = {p.stem: partial(_open_chunked if way == "dask" else open_flux, p) for p in paths}
    plan = plan_cells(held, "nee", memory_bytes=memory_bytes)
    found = summarise_cells(held, "nee", memory_bytes=memory_bytes)
    out = {
        "seconds": time.perf_counter() - start,
        "cpu": time.process_time(),
        "peak": peak_bytes(),
        "libraries": empty,
        "read": read_bytes() - before,
        "planned": plan.peak_bytes,
        "blocks": len(plan.blocks),
    }
    found.drop_attrs(deep=False).to_netcdf(folder / f"summary-{way}.nc")
    return out


def _open_chunked(path: Path) -> xr.Dataset:
    return open_flux(path).chunk(time=12)


def run_naive(folder: Path, members: int) -> dict[str, float]:
    """The same in five lines of xarray with everything in memory: what one writes first."""
    empty = peak_bytes()
    start, before = time.perf_counter(), read_bytes()
    parts = []
    for path in sorted(folder.glob("m*.nc"))[:members]:
        ds = xr.open_dataset(path, decode_timedelta=False)
        seconds = ds["time"].dt.days_in_month * 86_400.0
        amount = (ds["nee"] * 1e3 * seconds).assign_coords(time=np.arange(ds.sizes["time"]))
        parts.append(amount)
    everything = xr.concat(parts, dim="member")
    annual = everything.coarsen(time=12).reduce(np.sum).mean("time")
    by_month = everything.assign_coords(time=np.arange(12 * YEARS) % 12).groupby("time")
    cycle = by_month.mean().rename(time="month").drop_vars("month")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the sea: all-NaN slices
        q = annual.quantile([0.025, 0.25, 0.5, 0.75, 0.975], "member")
    found = xr.Dataset(
        {
            "mean": annual.mean("member"),
            "sd": annual.std("member", ddof=1),
            "quantiles": q,
            "month_mean": cycle.mean("member"),
            "month_sd": cycle.std("member", ddof=1),
        }
    ).load()
    out = {
        "seconds": time.perf_counter() - start,
        "cpu": time.process_time(),
        "peak": peak_bytes(),
        "libraries": empty,
        "read": read_bytes() - before,
    }
    found.to_netcdf(folder / "summary-naive.nc")
    return out


def in_fresh_process(what: str, folder: Path, members: int, memory_bytes: int) -> dict[str, float]:
    """Run one of the ways in a process of its own, so that its peak is its own."""
    command = [sys.executable, "-m", "benchmarks.ensemble_memory", str(folder), "--only", what]
    command += ["--members", str(members), "--memory", str(memory_bytes)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    out: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return out


def largest_difference(one: Path, two: Path) -> float:
    """Largest difference over the largest value, over the variables that both hold; NaN at other places is infinite."""
    worst = 0.0
    with xr.open_dataset(one) as a, xr.open_dataset(two) as b:
        for name in sorted(set(a.data_vars) & set(b.data_vars)):
            x, y = a[name].transpose(*b[name].dims).values, b[name].values
            if not np.array_equal(np.isnan(x), np.isnan(y)):
                return np.inf
            worst = max(worst, float(np.nanmax(np.abs(x - y)) / np.nanmax(np.abs(y))))
    return worst


def bench(folder: Path, members: int, naive: int, degrees: float, memory_bytes: int) -> list[Row]:
    """All rows; the files are in `folder` afterwards."""
    start = time.perf_counter()
    write_ensemble(folder, members, degrees)
    files = sorted(folder.glob("m*.nc"))
    size = sum(p.stat().st_size for p in files)
    rows: list[Row] = [
        (f"write {members} members", f"{time.perf_counter() - start:.0f} s", f"{size / 1e9:.2f} GB on disk")
    ]
    for way, bound in (("numpy", memory_bytes), ("dask", memory_bytes), ("tight", memory_bytes // 8)):
        found = in_fresh_process(way, folder, members, bound)
        rows.append(
            (
                f"summarise_cells, {members} members, {way}, bound {bound / 2**30:g} GiB",
                f"{found['seconds']:.0f} s ({found['cpu']:.0f} s of processor), {found['peak'] / 2**30:.2f} GiB",
                f"planned {found['planned'] / 2**30:.2f} GiB of arrays in {found['blocks']:.0f} blocks, "
                f"libraries {found['libraries'] / 2**30:.2f} GiB, {found['read'] / 1e9:.2f} GB read",
            )
        )
    first, *others = (folder / f"summary-{way}.nc" for way in ("numpy", "dask", "tight"))
    same = all(same_bytes(first, other) for other in others)
    rows.append(("all three", "equal" if same else "DIFFERENT", "every byte of every variable"))
    ours = in_fresh_process("numpy", folder, naive, memory_bytes)
    theirs = in_fresh_process("naive", folder, naive, memory_bytes)
    apart = largest_difference(folder / "summary-numpy.nc", folder / "summary-naive.nc")
    rows += [
        (
            f"concat and quantile, {naive} members",
            f"{theirs['seconds']:.0f} s ({theirs['cpu']:.0f} s of processor), {theirs['peak'] / 2**30:.2f} GiB",
            f"{theirs['read'] / 1e9:.2f} GB read",
        ),
        (
            f"summarise_cells, {naive} members",
            f"{ours['seconds']:.0f} s ({ours['cpu']:.0f} s of processor), {ours['peak'] / 2**30:.2f} GiB",
            f"{theirs['cpu'] / ours['cpu']:.1f} times less processor time with imports, "
            f"{(theirs['peak'] - theirs['libraries']) / (ours['peak'] - ours['libraries']):.1f} times less memory "
            f"beside libraries; results apart by {apart:.0e}",
        ),
    ]
    return rows


def same_bytes(one: Path, two: Path) -> bool:
    """Whether all variables of two files hold the same bytes."""
    with xr.open_dataset(one) as a, xr.open_dataset(two) as b:
        return set(a) == set(b) and all(a[n].values.tobytes() == b[n].values.tobytes() for n in a)


def main() -> None:
    """Run at full size, or small."""
    about = argparse.ArgumentParser(description=__doc__)
    about.add_argument("folder", nargs="?", type=Path, help="where the files are written and deleted")
    about.add_argument("--members", type=int, default=50)
    about.add_argument("--naive", type=int, default=10, help="members that the usual way gets")
    about.add_argument("--memory", type=int, default=2**30, help="memory_bytes of summarise_cells")
    about.add_argument("--small", action="store_true", help="2.5 degrees")
    about.add_argument("--only", choices=("numpy", "dask", "tight", "naive"), help=argparse.SUPPRESS)
    args = about.parse_args()
    if args.only == "naive":
        print(json.dumps(run_naive(args.folder, args.members)))
        return
    if args.only:
        print(json.dumps(run_talik(args.folder, args.members, args.memory, args.only)))
        return
    parent = args.folder or Path(tempfile.gettempdir())
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=parent))
    try:
        print(f"{os.cpu_count()} cores\n\n| what | measured | note |\n|---|---|---|")
        degrees = 2.5 if args.small else 0.5
        for row in bench(folder, args.members, min(args.naive, args.members), degrees, args.memory):
            print("| " + " | ".join(row) + " |", flush=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
