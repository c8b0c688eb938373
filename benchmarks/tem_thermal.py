"""Cost of a year of soil heat by number of cells, threads and precision, and of compiling it."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

Row = tuple[str, str, str]
BLOCK = 128
"""Cells that are computed together; a larger block waits for its slowest cell more often, and is not faster."""


def northern_ground(cells: int, dtype: type = np.float64, seed: int = 0):  # type: ignore[no-untyped-def]
    """Heat, weather and ground of random cells with snow, most of them with permafrost."""
    import jax.numpy as jnp

    from talik.tem.thermal import materials, snow
    from talik.tem.thermal.year import Weather, initial_heat

    rng = np.random.default_rng(seed)
    known = ("wet_tundra", "alpine_tundra_polar_desert", "boreal_forest")
    names = [known[i % 3] for i in range(cells)]
    texture = (rng.uniform(10, 80, cells), rng.uniform(2, 20, cells), rng.uniform(0.3, 1.5, cells))
    ground = materials.ground_for(names, *(jnp.asarray(v, dtype) for v in (*texture, np.full(cells, 0.6))))
    season = -np.cos(2 * np.pi * (np.arange(-1, 13)[:, None] - 0.3) / 12)
    tair = jnp.asarray(rng.uniform(-14, -1, cells) + rng.uniform(10, 20, cells) * season, dtype)
    rain = jnp.asarray(rng.gamma(2.0, 12.0, (12, cells)), dtype)
    wet = jnp.asarray(np.clip(rng.normal(0.6, 0.1, (12, cells)), 0.2, 1.0), dtype)
    windy = jnp.asarray([name in snow.WINDY for name in names])
    density = snow.snow_density(tair[1:-1], rain, windy).astype(dtype)
    weather = Weather(tair, rain, wet, snow.resistance_per_mm(density))
    layers = materials.physical_layers(wet[0], ground)
    return initial_heat(tair[1:-1].mean(0), layers, wet[0]), weather, ground


def bench_tem_thermal() -> list[Row]:
    """Time of a compiled year after ten years of spin-up, cells in blocks of `BLOCK`."""
    import jax

    from talik.tem.thermal import materials
    from talik.tem.thermal.freezing import UnfrozenWater
    from talik.tem.thermal.year import one_year

    def year_for(unfrozen):  # type: ignore[no-untyped-def]
        return jax.jit(
            lambda state, weather, ground: one_year(
                state, weather, lambda s: materials.physical_layers(s, ground), unfrozen=unfrozen
            )
        )

    rows: list[Row] = []
    cases = [(cells, np.float64, None, 1) for cells in (1, 100, 1000, 10_000)]
    cases += [
        (10_000, np.float64, None, 2),
        (1000, np.float32, None, 1),
        (100, np.float64, UnfrozenWater(), 1),
    ]
    for cells, dtype, unfrozen, threads in cases:
        block = min(cells, BLOCK)
        world = northern_ground(block, dtype)
        start = time.perf_counter()
        year = year_for(unfrozen).lower(*world).compile()
        compiling = time.perf_counter() - start
        for _ in range(10):
            world = (year(*world)[0], *world[1:])
        blocks = max(1, round(cells / block))

        def one(_: int, year=year, world=world) -> None:  # type: ignore[no-untyped-def]
            jax.block_until_ready(year(*world))

        def all_blocks(threads=threads, blocks=blocks, one=one) -> None:  # type: ignore[no-untyped-def]
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(one, range(blocks)))

        walls, cpus = [], []
        for _ in range(5 if cells <= 1000 else 2):
            wall, cpu = time.perf_counter(), time.process_time()
            all_blocks()
            walls.append(time.perf_counter() - wall)
            cpus.append(time.process_time() - cpu)
        per_cell = 1e6 / (blocks * block)
        memory = year.memory_analysis()
        held = (
            memory.temp_size_in_bytes + memory.argument_size_in_bytes + memory.output_size_in_bytes
        ) / 2**20
        name = f"TEM soil heat, {cells:,} cells in blocks of {block}, {np.dtype(dtype).name}"
        name += f", {threads} thread{'s' * (threads > 1)}{', unfrozen water' if unfrozen else ''}"
        note = f"CPU {per_cell * statistics.median(cpus):,.0f} us; compiled in {compiling:.1f} s; {held:.1f} MB a block"
        rows.append((name, f"{per_cell * statistics.median(walls):,.0f} us/cell-year", note))
    return rows


if __name__ == "__main__":
    for row in bench_tem_thermal():
        print("| " + " | ".join(row) + " |", flush=True)
