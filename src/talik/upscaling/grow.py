"""Growing Breiman's regression trees: exact splits, predictors sorted once for all trees and folds.

The rules are those of R's randomForest (Breiman 2001): at each node `mtry` predictors are drawn
without replacement; the split with the largest decrease of the sum of squares wins; a node with at most `node_size`
in-bag rows (counted with multiplicity) or without a split among the drawn predictors is a leaf.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from talik.upscaling.trees import Float32, Float64, Int64, Trees, join

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True, eq=False)
class Sorted:
    """Predictors laid out for growing: columns contiguous, rows of every column sorted once."""

    columns: Float32
    """(p, n) predictor values, columns contiguous."""
    order: npt.NDArray[np.uint32]
    """(p, n) rows by ascending value."""
    n_levels: npt.NDArray[np.int16]
    """(p,) 0 for a continuous predictor, else its number of levels."""

    @classmethod
    def of(cls, x: Float32, n_levels: npt.NDArray[np.int16]) -> Sorted:
        columns = np.ascontiguousarray(x.T)
        order = np.argsort(columns, axis=1, kind="stable").astype(np.uint32)
        return cls(columns, order, n_levels)


def bootstrap_counts(seeds: npt.NDArray[np.uint64], rows: Int64, n: int) -> npt.NDArray[np.int32]:
    """(T, n) how often each of n rows is in the bag of each tree: len(rows) draws with replacement from `rows`.

    The first numbers of a tree's own stream, so a stored seed gives its bag back.
    """
    counts = np.zeros((len(seeds), n), np.int32)
    for t, seed in enumerate(seeds):
        _draw_bag(np.array([seed], np.uint64), rows, counts[t])
    return counts


def grow(
    data: Sorted,
    y: Float64,
    weights: Float64,
    pools: list[Int64],
    seeds: npt.NDArray[np.uint64],
    *,
    mtry: int,
    node_size: int,
    random_splits: bool = False,
    threads: int = 1,
) -> Trees:
    """len(seeds) trees; tree t is grown on a bootstrap of the rows `pools[t % len(pools)]`.

    y, weights : (n,) response and row weight (> 0; node size counts rows, not weights). `random_splits` tries one
    random threshold a drawn predictor instead of all (extremely randomised trees). Trees depend on their own seed
    and pool alone, so the result is the same for any number of `threads`.
    """
    mtry = min(mtry, len(data.columns))

    def one(t: int) -> Trees:
        pool = pools[t % len(pools)]
        settings = (seeds[t], mtry, node_size, random_splits)
        parts = _grow_tree(data.columns, data.order, data.n_levels, y, weights, pool, *settings)
        feature, threshold, levels, left, value, cover = parts
        offset = np.array([0, len(feature)], np.int64)
        return Trees(offset, feature, threshold, levels, left, value, cover, data.n_levels)

    if threads == 1:
        return join([one(t) for t in range(len(seeds))])
    with ThreadPoolExecutor(threads) as workers:
        return join(list(workers.map(one, range(len(seeds)))))


@numba.njit(cache=True, nogil=True, inline="always")
def _next(state):  # type: ignore[no-untyped-def]
    """SplitMix64 (Steele, Lea and Flood 2014)."""
    state[0] += _GOLDEN
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@numba.njit(cache=True, nogil=True, inline="always")
def _below(state, n):  # type: ignore[no-untyped-def]
    """A whole number in 0 .. n-1; the bias of the multiply-shift is below n / 2**32."""
    return np.int64(((_next(state) >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))


@numba.njit(cache=True, nogil=True)
def _draw_bag(state, rows, counts):  # type: ignore[no-untyped-def]
    for _ in range(len(rows)):
        counts[rows[_below(state, len(rows))]] += 1


@numba.njit(cache=True, nogil=True)
def _between(a, b):  # type: ignore[no-untyped-def]
    """A float32 threshold t with a <= t < b."""
    t = np.float32(0.5 * (np.float64(a) + np.float64(b)))
    return t if t < b else a


@numba.njit(cache=True, nogil=True, inline="always")
def _best_threshold(column, rows, sums, total_wy, total_w):  # type: ignore[no-untyped-def]
    """Best split of rows sorted by `column`: its gain as a fraction (numerator, denominator), and its threshold.

    With wy and w summed over the left side and T, W over both, the decrease of the sum of squares is
    (wy W - T w)^2 / (w (W - w)) / W; fractions are compared without dividing.
    """
    gain_above, gain_below, at = 0.0, 1.0, -1
    wy, w = 0.0, 0.0
    x = column[rows[0]]
    for k in range(len(rows) - 1):
        r = rows[k]
        wy += sums[r, 0]
        w += sums[r, 1]
        x_next = column[rows[k + 1]]
        if x_next > x:
            d = wy * total_w - total_wy * w
            above, below = d * d, w * (total_w - w)
            if above * gain_below > gain_above * below:
                gain_above, gain_below, at = above, below, k
        x = x_next
    if at < 0:
        return 0.0, 1.0, np.float32(0)
    return gain_above, gain_below, _between(column[rows[at]], column[rows[at + 1]])


@numba.njit(cache=True, nogil=True, inline="always")
def _random_threshold(column, rows, sums, total_wy, total_w, state):  # type: ignore[no-untyped-def]
    """The same for one threshold drawn between the smallest and the largest value (Geurts et al. 2006)."""
    low, high = column[rows[0]], column[rows[len(rows) - 1]]
    if not low < high:
        return 0.0, 1.0, np.float32(0)
    share = np.float64(_next(state) >> np.uint64(11)) / 2.0**53
    at = np.float32(np.float64(low) + share * (np.float64(high) - np.float64(low)))
    at = at if at < high else low
    wy, w = 0.0, 0.0
    for r in rows:
        if column[r] > at:
            break
        wy += sums[r, 0]
        w += sums[r, 1]
    d = wy * total_w - total_wy * w
    return d * d, w * (total_w - w), at


@numba.njit(cache=True, nogil=True)
def _best_levels(column, n_levels, rows, sums, count, total_wy, total_w):  # type: ignore[no-untyped-def]
    """The same for a categorical predictor: levels in order of their mean response (exact for squared error).

    Levels absent from the node go with the larger child.
    """
    level_wy, level_w, level_count = np.zeros(n_levels), np.zeros(n_levels), np.zeros(n_levels)
    for r in rows:
        level = np.int64(column[r])
        level_wy[level] += sums[r, 0]
        level_w[level] += sums[r, 1]
        level_count[level] += count[r]
    mean = np.full(n_levels, np.inf)
    present = 0
    for level in range(n_levels):
        if level_w[level] > 0:
            mean[level] = level_wy[level] / level_w[level]
            present += 1
    by_mean = np.argsort(mean, kind="mergesort")
    gain_above, gain_below, n_left = 0.0, 1.0, 0
    wy, w = 0.0, 0.0
    for k in range(present - 1):
        wy += level_wy[by_mean[k]]
        w += level_w[by_mean[k]]
        d = wy * total_w - total_wy * w
        above, below = d * d, w * (total_w - w)
        if above * gain_below > gain_above * below:
            gain_above, gain_below, n_left = above, below, k + 1
    mask, left_count = np.uint64(0), 0.0
    for k in range(n_left):
        mask |= np.uint64(1) << np.uint64(by_mean[k])
        left_count += level_count[by_mean[k]]
    if 2 * left_count >= level_count.sum():
        for k in range(present, n_levels):
            mask |= np.uint64(1) << np.uint64(by_mean[k])
    return gain_above, gain_below, mask


@numba.njit(cache=True, nogil=True, inline="always")
def _partition(order, a, b, n_left, goes_left, out):  # type: ignore[no-untyped-def]
    """Stable partition of order[a:b] into out[a:b], rows that go left first.

    Without branches, which the processor would guess wrong half of the time.
    """
    left, right = np.uint64(a), np.uint64(a + n_left)
    for k in range(a, b):
        r = order[k]
        goes = np.uint64(goes_left[r])
        out[left if goes else right] = r
        left += goes
        right += np.uint64(1) - goes


@numba.njit(cache=True, nogil=True)
def _bag(all_columns, all_order, y, weights, count):  # type: ignore[no-untyped-def]
    """The rows in the bag, numbered anew: columns, order, (sum of w y, sum of w), multiplicity."""
    p, n = all_columns.shape
    bag = np.flatnonzero(count)
    n_bag = len(bag)
    number = np.zeros(n, np.uint32)
    sums, times = np.empty((n_bag, 2)), np.empty(n_bag, np.int32)
    for k in range(n_bag):
        r = bag[k]
        w = weights[r] * count[r]
        number[r], sums[k, 0], sums[k, 1], times[k] = k, w * y[r], w, count[r]
    columns, order = np.empty((p, n_bag), np.float32), np.empty((p, n_bag + 1), np.uint32)
    for f in range(p):
        for k in range(n_bag):
            columns[f, k] = all_columns[f, bag[k]]
        k = np.uint64(0)
        for i in range(n):
            r = all_order[f, i]
            order[f, k] = number[r]
            k += np.uint64(count[r] > 0)
    return columns, order, sums, times


@numba.njit(cache=True, nogil=True)
def _grow_tree(  # type: ignore[no-untyped-def]
    all_columns, all_order, n_levels, y, weights, pool, seed, mtry, node_size, random_splits
):
    state = np.array([seed], np.uint64)
    bag = np.zeros(len(y), np.int32)
    _draw_bag(state, pool, bag)
    columns, order, sums, count = _bag(all_columns, all_order, y, weights, bag)
    p, n_bag = columns.shape

    size = 2 * n_bag  # a binary tree with n_bag leaves at most
    feature, left = np.full(size, -1, np.int16), np.zeros(size, np.int32)
    threshold, levels = np.zeros(size, np.float32), np.zeros(size, np.uint64)
    value, cover = np.zeros(size), np.zeros(size)  # sums of w y and of w while growing
    start, stop, rows_in = np.zeros(size, np.int32), np.zeros(size, np.int32), np.zeros(size, np.int64)
    goes_left = np.zeros(n_bag, np.uint8)
    orders, side = (
        (order, np.empty_like(order)),
        np.zeros(size, np.uint8),
    )  # a node's rows lie in orders[side]
    drawn = np.arange(p)
    waiting = np.zeros(n_bag + 1, np.int32)  # depth first: a small node stays in the processor's cache

    stop[0], rows_in[0] = n_bag, len(pool)
    value[0], cover[0] = sums[:, 0].sum(), sums[:, 1].sum()
    n_nodes, n_waiting = 1, int(len(pool) > node_size)
    while n_waiting > 0:
        n_waiting -= 1
        node = waiting[n_waiting]
        a, b = start[node], stop[node]
        order, spare = orders if side[node] == 0 else (orders[1], orders[0])
        total_wy, total_w = value[node], cover[node]
        gain_above, gain_below = 0.0, 1.0
        best_f, best_t, best_mask = -1, np.float32(0), np.uint64(0)
        for k in range(mtry):
            other = k + _below(state, p - k)
            f = drawn[other]
            drawn[other] = drawn[k]
            drawn[k] = f
            t, mask = np.float32(0), np.uint64(0)
            if n_levels[f] == 0 and random_splits:
                above, below, t = _random_threshold(columns[f], order[f, a:b], sums, total_wy, total_w, state)
            elif n_levels[f] == 0:
                above, below, t = _best_threshold(columns[f], order[f, a:b], sums, total_wy, total_w)
            else:
                above, below, mask = _best_levels(
                    columns[f], n_levels[f], order[f, a:b], sums, count, total_wy, total_w
                )
            if above * gain_below > gain_above * below:
                gain_above, gain_below, best_f, best_t, best_mask = above, below, f, t, mask
        # equal responses leave a gain of round-off, (1e-12 of wy W) squared at most
        if best_f < 0 or gain_above <= 1e-24 * (total_wy * total_w) ** 2:
            continue
        n_left, left_rows, left_wy, left_w = 0, 0, 0.0, 0.0
        for k in range(a, b):
            r = order[best_f, k]
            x = columns[best_f, r]
            goes = x <= best_t
            if n_levels[best_f] > 0:
                goes = (best_mask >> np.uint64(x)) & np.uint64(1) == np.uint64(1)
            goes_left[r] = goes
            if goes:
                n_left += 1
                left_rows += count[r]
                left_wy += sums[r, 0]
                left_w += sums[r, 1]
        child = n_nodes
        n_nodes += 2
        feature[node], threshold[node], levels[node], left[node] = best_f, best_t, best_mask, child
        start[child], stop[child], rows_in[child] = a, a + n_left, left_rows
        start[child + 1], stop[child + 1], rows_in[child + 1] = a + n_left, b, rows_in[node] - left_rows
        value[child], cover[child] = left_wy, left_w
        value[child + 1], cover[child + 1] = total_wy - left_wy, total_w - left_w
        splittable = 0
        for c in (child + 1, child):
            if rows_in[c] > node_size and stop[c] - start[c] > 1:
                waiting[n_waiting] = c
                n_waiting += 1
                splittable += 1
        if splittable > 0:
            side[child] = side[child + 1] = 1 - side[node]
            for f in range(p):
                _partition(order[f], a, b, n_left, goes_left, spare[f])

    for k in range(n_nodes):
        value[k] /= cover[k]
    return (
        feature[:n_nodes].copy(),
        threshold[:n_nodes].copy(),
        levels[:n_nodes].copy(),
        left[:n_nodes].copy(),
        value[:n_nodes].copy(),
        cover[:n_nodes].copy(),
    )
