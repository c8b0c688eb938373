"""Threads over blocks of rows."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

BLOCK_ROWS = 4096
"""Rows worked on by one thread at a time; results do not depend on it."""


def free_threads() -> int:
    """Threads for the work of a unit: every core in the main process, one in a worker beside others."""
    if multiprocessing.parent_process() is not None:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def over_blocks(n: int, threads: int, work: Callable[[int, int], None], size: int = BLOCK_ROWS) -> None:
    """Call work(a, b) for blocks of rows that cover 0 .. n; `work` must release the interpreter lock to gain."""
    blocks = [(a, min(a + size, n)) for a in range(0, n, size)]
    if threads == 1 or len(blocks) <= 1:
        for a, b in blocks:
            work(a, b)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda ab: work(*ab), blocks))
