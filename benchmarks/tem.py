"""Cost of a year of the process model by number of cells: soil heat, biogeochemistry, both; one and two processes.

`python -m benchmarks tem`. Cells run in blocks, as `talik tem run` does; wall time of one process, and of two at
once.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

from benchmarks.timing import Row

BLOCK = 128
SIZES = (1, 100, 1000, 10_000)
PUBLIC_MODELS = {"TEM 4.3": 42_000.0, "DVM-DOS-TEM": 20_400.0}
"""Microseconds of the public C++ models for a cell-year on one core of such a machine."""


def bench_tem() -> list[Row]:
    """Microseconds of wall time for a cell-year."""
    rows: list[Row] = []
    for cells in SIZES:
        one = _measured(cells, processes=1)
        rows.append(
            (
                f"TEM, {cells:,} cells, one core",
                f"{one['both']:.0f} us a cell-year",
                f"soil heat {one['soil']:.0f}, biogeochemistry {one['biogeochemistry']:.0f}; {one['memory']:.2f} GB",
            )
        )
    two = _measured(1000, processes=2)
    told = ", ".join(f"{name} {us / two['both']:.0f}" for name, us in PUBLIC_MODELS.items())
    rows.append(
        (
            "TEM, 1,000 cells, two cores",
            f"{two['both']:.0f} us a cell-year",
            f"times faster than (one core): {told}",
        )
    )
    single = _measured(1000, processes=1, kind="float32")
    rows.append(("TEM, 1,000 cells, float32, one core", f"{single['both']:.0f} us a cell-year", ""))
    rows.append(("compile and first year", f"{one['compile']:.1f} s", "without the cache"))
    return rows


def _measured(cells: int, processes: int, kind: str = "float64") -> dict[str, float]:
    """Medians of the times that processes tell; each does its share of the cells at the same time."""
    share = -(-cells // processes)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "benchmarks.tem", str(share), kind]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(processes)
    ]
    told = [dict(line.split("=") for line in p.communicate()[0].split()) for p in running]
    return {
        name: max(float(t[name]) for t in told)
        / (processes if name in ("both", "soil", "biogeochemistry") else 1)
        for name in told[0]
    }


def _one_process(cells: int, kind: str) -> None:
    """Print the times of blocks of random northern cells in this process."""
    import resource

    import jax
    import jax.numpy as jnp

    from benchmarks.tem_world import northern_cells
    from talik.tem import model

    settings = model.Settings()
    width = min(cells, BLOCK)
    blocks = []
    for start in range(0, cells, width):
        forcing, parameters = jax.tree.map(lambda a: jnp.asarray(a, kind), northern_cells(width, seed=start))
        blocks.append((model.initial_state(forcing, parameters, settings), forcing, parameters))
    start_s = time.perf_counter()
    _, outputs = jax.block_until_ready(model.step(*blocks[0], settings))
    compiled = time.perf_counter() - start_s
    blocks = [(model.step(*b, settings)[0], *b[1:]) for b in blocks]
    model.soil_step(*blocks[0], settings)
    model.biogeochemistry_step(*blocks[0][:2], outputs.soil, blocks[0][2], settings)

    def both() -> None:
        for state, forcing, parameters in blocks:
            jax.block_until_ready(model.step(state, forcing, parameters, settings))

    def soil() -> None:
        for state, forcing, parameters in blocks:
            jax.block_until_ready(model.soil_step(state, forcing, parameters, settings))

    def biogeochemistry() -> None:
        for state, forcing, parameters in blocks:
            jax.block_until_ready(
                model.biogeochemistry_step(state, forcing, outputs.soil, parameters, settings)
            )

    repeats = 3 if cells > 2000 else 7
    for run in (both, soil, biogeochemistry):
        times = []
        for _ in range(repeats):
            start_s = time.perf_counter()
            run()
            times.append(time.perf_counter() - start_s)
        print(f"{run.__name__}={statistics.median(times) / (width * len(blocks)) * 1e6:.1f}")
    print(f"compile={compiled:.2f}")
    print(f"memory={resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.3f}")


if __name__ == "__main__":
    _one_process(int(sys.argv[1]), sys.argv[2])
