"""Cost of a year of the biogeochemistry of TEM, and how near its fixed steps come to a converged solution."""

from __future__ import annotations

import statistics
import time

import numpy as np

Row = tuple[str, str, str]
PUBLIC_CODE = 42_000.0
"""Microseconds a cell-year of the whole public C++ TEM 4.2/4.3 took on such a machine, most of it soil heat."""


def northern_world(cells: int, seed: int = 0):  # type: ignore[no-untyped-def]
    """Pools, memory, drivers, site and parameters of random northern climates, soils and communities."""
    import jax.numpy as jnp

    from talik.tem import biogeochemistry, radiation, water
    from talik.tem.calendar import MONTH_DAYS
    from talik.tem.communities import parameters_for

    rng = np.random.default_rng(seed)
    parameters = parameters_for(rng.integers(0, 7, cells))
    site = water.site_for(
        parameters, jnp.asarray(rng.uniform(0.05, 1, cells)), jnp.asarray(rng.uniform(0, 1500, cells))
    )
    cloud = jnp.asarray(rng.uniform(0.2, 0.9, (12, cells)))
    gross = radiation.gross_irradiance(jnp.asarray(rng.uniform(50, 80, cells)))
    light = radiation.irradiance_from_cloudiness(gross, cloud)
    season = -np.cos(2 * np.pi * (np.arange(12)[:, None] - 0.5) / 12)
    tair = rng.uniform(-15, 5, cells) + rng.uniform(8, 20, cells) * season + rng.normal(0, 1.5, (12, cells))
    drivers = biogeochemistry.Drivers(
        tair=jnp.asarray(tair),
        precip=jnp.asarray(rng.gamma(1.5, 20.0, (12, cells))),
        irradiance=light,
        par=radiation.photosynthetic(light, cloud),
        t20=jnp.asarray(0.6 * np.roll(tair, 1, axis=0) - 1),
        thaw_fraction=jnp.asarray(np.clip((tair + 2) / 6, 0, 1)),
        days=jnp.array(MONTH_DAYS, float),
        co2=350.0,
    )
    pools = biogeochemistry.initial_pools(parameters, site)
    return pools, biogeochemistry.initial_memory(parameters, drivers), drivers, site, parameters


def bench_tem_biogeochemistry() -> list[Row]:
    """CPU time of a compiled year by number of cells and sub-steps, and of compiling it."""
    import jax

    from talik.tem.biogeochemistry import Settings, one_year

    rows: list[Row] = []
    for cells, substeps in ((1, 8), (100, 8), (1000, 8), (10_000, 8), (1000, 16), (1000, 32)):
        world = northern_world(cells)
        start = time.process_time()
        compiled = one_year.lower(*world, Settings(substeps=substeps)).compile()
        compiling = time.process_time() - start
        times = []
        for _ in range(7):
            start = time.process_time()
            jax.block_until_ready(compiled(*world))
            times.append(time.process_time() - start)
        cost = 1e6 * statistics.median(times) / cells
        note = f"compiled in {compiling:.1f} s; 1/{PUBLIC_CODE / cost:,.0f} of the whole public C++ model"
        rows.append(
            (f"TEM biogeochemistry, {cells:,} cells, {substeps} sub-steps", f"{cost:,.1f} us/cell-year", note)
        )
    return rows + bench_sub_steps()


def bench_sub_steps(cells: int = 250) -> list[Row]:
    """Monthly fluxes of random cell-years that miss 1e-4 of themselves and 1e-3 g m-2 or mm of a converged run."""
    from talik.tem.biogeochemistry import Settings, one_year
    from talik.tem.fehlberg import one_year_checked, one_year_fehlberg

    world = northern_world(cells, 3)
    for _ in range(3):
        world = (*one_year(*world, Settings(substeps=32))[:2], *world[2:])
    exact = one_year_fehlberg(*world, Settings(), tolerance=1e-8, absolute=1e-10)[2]
    runs = {f"{n} sub-steps": one_year(*world, Settings(substeps=n))[2] for n in (8, 16, 32, 64, 128)}
    runs["Fehlberg, tolerance 0.01, as TEM"] = one_year_fehlberg(*world, Settings())[2]
    *_, runs["sub-steps doubled where needed"], steps = one_year_checked(*world, Settings())
    rows: list[Row] = []
    for name, fluxes in runs.items():
        pairs = zip(fluxes[:-1], exact[:-1], strict=True)
        over = np.array([np.abs(a - b) / np.maximum(1e-4 * np.abs(b), 1e-3) for a, b in pairs])
        missing = int((over > 1).any(axis=(0, 1)).sum())
        note = f"{missing} of {cells} cell-years; worst {over.max():,.2f} of what is allowed"
        rows.append((f"fluxes that miss 1e-4: {name}", f"{100 * np.mean(over > 1):.3f} %", note))
    counts = ", ".join(f"{n}: {c}" for n, c in zip(*np.unique(steps, return_counts=True), strict=True))
    return [*rows, ("sub-steps that were needed", counts, "cells by number of sub-steps")]


if __name__ == "__main__":
    for row in bench_tem_biogeochemistry():
        print("| " + " | ".join(row) + " |", flush=True)
