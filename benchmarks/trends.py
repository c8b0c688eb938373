"""Series a second of each trend method, and of pymannkendall in the same run: `python -m benchmarks trends`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.timing import Row, median_seconds

YEARS, SERIES, PEER_SERIES = 20, 60_000, 150


def simulated(count: int, years: int = YEARS, seed: int = 0) -> np.ndarray:
    """(count, years) AR(1) with coefficients 0..0.8 and unit innovations, and trends of 0.1 a year (one sigma)."""
    rng = np.random.default_rng(seed)
    rho, slope = rng.uniform(0, 0.8, count), rng.normal(0, 0.1, count)
    y = np.zeros((count, years + 50))
    for k in range(1, years + 50):
        y[:, k] = rho * y[:, k - 1] + rng.normal(size=count)
    return y[:, 50:] + slope[:, None] * np.arange(years)


def seconds(run: Callable[[], object]) -> float:
    """Median of three runs, after one that compiles."""
    run()
    return median_seconds(run, 3)


def bench_trends() -> list[Row]:
    """Each method on one core; the share of zhang that runs to 500; pymannkendall on a part of the same series."""
    from talik.trends.method import METHODS, Method, run_array
    from talik.trends.prewhitening import COLUMNS

    y = simulated(SERIES)
    rate: dict[str, float] = {}
    rows: list[Row] = []
    for name in METHODS:
        method = Method.of(name)
        rate[name] = SERIES / seconds(lambda m=method: run_array(y, m))  # type: ignore[misc]
        found = dict(zip(COLUMNS, run_array(y, method).T, strict=True))
        note = "one core"
        if name == "zhang":
            capped = 100 * np.mean(found["converged"] == 0)
            note += f"; {capped:.1f} % run to 500, mean {found['nruns'].mean():.1f} fits"
        rows.append((f"trend, {name}, {YEARS} years", f"{rate[name]:,.0f} series/s", note))
    try:
        import pymannkendall
    except ImportError:
        return [*rows, ("pymannkendall", "-", "not installed")]
    part = y[:PEER_SERIES]
    peer = PEER_SERIES / seconds(lambda: [pymannkendall.original_test(v) for v in part])
    prewhitened = PEER_SERIES / seconds(
        lambda: [pymannkendall.trend_free_pre_whitening_modification_test(v) for v in part]
    )
    return [
        *rows,
        (
            "pymannkendall, original_test",
            f"{peer:,.0f} series/s",
            f"none is {rate['none'] / peer:,.0f} times as fast",
        ),
        (
            "pymannkendall, trend-free prewhitening",
            f"{prewhitened:,.0f} series/s",
            f"yue-pilon is {rate['yue-pilon'] / prewhitened:,.0f} times as fast",
        ),
    ]


def error_rates(count: int = 20_000, years: int = YEARS) -> list[str]:
    """Markdown rows: false alarms at p < 0.05, coverage of 95 % limits, error of the slope, in AR(1) noise."""
    from talik.trends.method import METHODS, Method, run_array

    rng = np.random.default_rng(1)
    out = []
    for rho in (-0.3, 0.0, 0.2, 0.4, 0.6):
        y = np.zeros((count, years + 50))
        for k in range(1, years + 50):
            y[:, k] = rho * y[:, k - 1] + rng.normal(size=count)
        noise = y[:, 50:] * np.sqrt(1 - rho**2)
        cells = []
        for name in METHODS:
            found = run_array(noise, Method.of(name))
            slope, low, high, p = (found[:, k] for k in (0, 2, 3, 5))
            covered = np.mean((low <= 0) & (high >= 0))
            error = np.sqrt(np.nanmean(slope**2))
            cells.append(f"{100 * np.mean(p < 0.05):.1f} %, {100 * covered:.0f} %, {error:.3f}")
        out.append(f"| {rho:g} | " + " | ".join(cells) + " |")
    return out


if __name__ == "__main__":
    from talik.trends.method import METHODS

    print(f"| rho | {' | '.join(METHODS)} |", "|---" * (len(METHODS) + 1) + "|", *error_rates(), sep="\n")
