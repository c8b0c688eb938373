"""Runs and gradients of DALEC a second on one core: `taskset -c 0 python -m benchmarks fusion_speed`.

Times are the smallest of several, after one run that compiles. References are of the specification: the public Fortran
code with ACM1 (2.1 us a model-year), and an earlier JAX prototype (27 us a run of 228 steps in a batch of 2048; 40 us a
gradient of 60 steps and 150 us of 228).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.timing import Row

FORTRAN_MODEL_YEARS = 1 / 2.1e-6
GRADIENT_REFERENCE = {60: 40.0, 228: 150.0}
CASES = (
    ("1 pixel", 1, 1),
    ("1 pixel, 96 chains", 1, 96),
    ("8 pixels, 96 chains", 8, 96),
    ("1,000 pixels", 1000, 1),
)


def drivers_of(steps: int, pixels: int) -> Any:
    """Months of a cold continental climate, with latitudes from 50 to 75 N (time, pixel, 1)."""
    from talik.fusion.drivers import Drivers

    days = np.resize([31.0, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], steps)
    ends = np.resize(days[:12].cumsum(), steps)
    latitude = np.linspace(50.0, 75.0, pixels)[:, None]
    warm = -np.cos(2 * np.pi * (np.arange(steps) + 0.3) / 12)[:, None, None] + 0 * latitude
    flat, none = np.ones_like(warm), np.zeros_like(warm)
    return Drivers(
        days[:, None, None] * flat,
        ends[:, None, None] * flat,
        -12 + 20 * warm,
        -2 + 22 * warm,
        9 + 8.5 * warm,
        400 * flat,
        300 + 250 * warm,
        3 * flat,
        none,
        none,
        latitude,
        fires=False,
        losses=False,
    )


def parameters(pixels: int, chains: int) -> np.ndarray:
    """A plausible pixel with 5 % noise (28, pixel, chain)."""
    from talik.fusion.twin import REFERENCE

    noise = np.random.default_rng(0).normal(size=(28, pixels, chains))
    return REFERENCE[:, None, None] * np.exp(0.05 * noise)


def fastest(run: Callable[[], Any], repeats: int = 9) -> float:
    """Smallest seconds of `run`, after one run that compiles."""
    import jax

    jax.block_until_ready(run())
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(run())
        times.append(time.perf_counter() - start)
    return min(times)


def measure(photosynthesis: str, steps: int, pixels: int, chains: int) -> tuple[float, float]:
    """Seconds of a run and of a gradient, whole batch: of a weighted sum of GPP and NEE of all steps."""
    import jax
    import jax.numpy as jnp

    from talik.fusion.dalec import simulate
    from talik.fusion.switches import Switches

    switches = Switches(photosynthesis=photosynthesis)  # type: ignore[arg-type]
    drivers = jax.tree.map(jnp.asarray, drivers_of(steps, pixels))
    theta = jnp.asarray(parameters(pixels, chains))
    weights = jnp.asarray(np.random.default_rng(1).normal(size=(2, steps, 1, 1)))

    def value(theta: Any, drivers: Any) -> Any:
        fluxes = simulate(theta, drivers, switches).fluxes
        return (weights[0] * fluxes.gpp + weights[1] * fluxes.nee).sum()

    forward, gradient = jax.jit(value), jax.jit(jax.grad(value))
    return fastest(lambda: forward(theta, drivers)), fastest(lambda: gradient(theta, drivers))


def bench_fusion_speed() -> list[Row]:
    """Model-years a second of runs, and what a gradient costs, by photosynthesis, length and batch."""
    rows: list[Row] = []
    for photosynthesis in ("acm1", "acm2"):
        for steps in (60, 228):
            for label, pixels, chains in CASES:
                forward, gradient = measure(photosynthesis, steps, pixels, chains)
                members, years = pixels * chains, steps / 12
                speed = members * years / forward
                ratio, prototype = speed / FORTRAN_MODEL_YEARS, GRADIENT_REFERENCE[steps]
                peers = f"; {ratio:.2f} x Fortran, prototype {prototype:.0f} us a gradient"
                run, slope = (seconds * 1e6 / members for seconds in (forward, gradient))
                rows.append(
                    (
                        f"{photosynthesis}, {steps} months, {label}",
                        f"{speed:,.0f} model-years/s",
                        f"run {run:.1f} us, gradient {slope:.1f} us ({slope / run:.1f} runs)"
                        + (peers if photosynthesis == "acm1" else ""),
                    )
                )
    return rows
