"""An order of rows in which neighbours take the same way through the trees (kernels).

A predictor is measured in splits: how many nodes of the forest, weighted by the training rows that pass them, lie
between two of its values. In these coordinates rows are cut in two at the median of the widest predictor, again and
again, until 64 are left.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from talik.upscaling.walk import BLOCK

STEPS = 256
ENOUGH = 1 << 16
"""Nodes from which coordinates are made; more would only cost time."""
SAMPLE = 128
"""Rows of a part that say which predictor is widest in it."""

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]


def coordinates(
    feature: npt.NDArray[np.int16], threshold: Float32, cover: Float64, n_levels: npt.NDArray[np.int16]
) -> tuple[Float32, Float64]:
    """(p, 255) ascending edges of the steps of each predictor, and (p,) its length in splits."""
    p, every = len(n_levels), max(len(feature) // ENOUGH, 1)
    feature, threshold, cover = feature[::every], threshold[::every], cover[::every]
    edges, length = np.full((p, STEPS - 1), np.inf, np.float32), np.zeros(p)
    for f in range(p):
        chosen = feature == f
        weights = cover[chosen]
        length[f] = weights.sum()
        if n_levels[f]:
            n = int(n_levels[f])
            edges[f] = (
                np.floor(np.arange(1, STEPS) * n / STEPS) - 0.5
            )  # each level takes its share of the steps
        elif len(weights):
            values = threshold[chosen]
            order = np.argsort(values, kind="stable")
            share = np.cumsum(weights[order]) / length[f]
            edges[f] = values[order][np.searchsorted(share, np.arange(1, STEPS) / STEPS - 1e-9)]
    return edges, length / max(length.sum(), 1.0)


def coherent_order(x: Float32, edges: Float32, length: Float64) -> npt.NDArray[np.int64]:
    """(n,) order of the rows of x (n, p); it depends on nothing but the values."""
    order = np.arange(len(x))
    if len(x) > BLOCK:
        used = np.flatnonzero(length > 0)
        steps = np.empty((len(x), len(used)), np.uint8)
        _to_steps(x, used, edges, steps)
        _cut(steps, length[used], order)
    return order


@numba.njit(cache=True, nogil=True)
def _to_steps(x, used, edges, steps):  # type: ignore[no-untyped-def]
    for k in range(len(used)):
        f = used[k]
        own = edges[f]
        for i in range(len(x)):
            value, low = x[i, f], 0
            for width in (128, 64, 32, 16, 8, 4, 2, 1):
                if value > own[low + width - 1]:
                    low += width
            steps[i, k] = low


@numba.njit(cache=True, nogil=True)
def _cut(steps, length, order):  # type: ignore[no-untyped-def]
    spare = np.empty_like(order)
    count = np.empty(STEPS, np.int64)
    begin, end = np.empty(64, np.int64), np.empty(64, np.int64)
    begin[0], end[0], parts = 0, len(order), 1
    while parts:
        parts -= 1
        a, b = begin[parts], end[parts]
        if b - a <= BLOCK:
            continue
        f = _widest(steps, length, order, a, b)
        half = max((b - a) // 2 // BLOCK, 1) * BLOCK
        count[:] = 0
        for i in range(a, b):
            count[steps[order[i], f]] += 1
        middle, below = 0, 0
        while below + count[middle] <= half:
            below += count[middle]
            middle += 1
        # rows in the middle step fill the left part up; all keep their order
        fill = half - below
        left, right = a, a + half
        for i in range(a, b):
            row = order[i]
            step = steps[row, f]
            if step < middle or (step == middle and fill > 0):
                fill -= step == middle
                spare[left] = row
                left += 1
            else:
                spare[right] = row
                right += 1
        order[a:b] = spare[a:b]
        begin[parts], end[parts] = a + half, b
        begin[parts + 1], end[parts + 1] = a, a + half
        parts += 2


@numba.njit(nogil=True)
def _widest(steps, length, order, a, b):  # type: ignore[no-untyped-def]
    stride = max((b - a) // SAMPLE, 1)
    best, widest = 0, -1.0
    for f in range(steps.shape[1]):
        total, squares, n = 0.0, 0.0, 0
        for i in range(a, b, stride):
            step = float(steps[order[i], f])
            total += step
            squares += step * step
            n += 1
        spread = (squares / n - (total / n) ** 2) * length[f] ** 2
        if spread > widest:
            best, widest = f, spread
    return best
