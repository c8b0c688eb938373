"""Wall-clock times, and the rows that they fill."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

Row = tuple[str, str, str]
"""What, measured, note."""


def median_seconds(run: Callable[[], object], repeats: int = 5) -> float:
    """Median wall-clock seconds of `run`."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
