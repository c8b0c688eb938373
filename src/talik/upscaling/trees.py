"""Regression trees as flat arrays: what a forest is, and how a row walks through it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any, cast

import numba
import numpy as np
import numpy.typing as npt

from talik.errors import InputError

MAX_LEVELS = 64
"""Levels of a categorical predictor that fit the bit mask of a split."""

BLOCK_ROWS = 4096
"""Rows walked by one thread at a time; results do not depend on it."""

_TOGETHER = 32  # rows that go down a tree together: their places fit the first cache
_NODE = np.dtype(
    [("threshold", np.float32), ("left", np.uint32), ("feature", np.uint16), ("kind", np.uint16)]
)

Float64 = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """T regression trees with N nodes in all, as flat arrays.

    A continuous predictor sends a row left if ``x <= threshold`` (float32); a categorical one if the bit of its
    level is set in ``levels``. The right child follows the left one. ``value`` is the weighted mean of the in-bag
    responses in a node (inner nodes too), ``cover`` the weight of these responses with multiplicity.
    """

    offset: Int64
    """(T+1,) nodes of tree t are offset[t] .. offset[t+1]-1."""
    feature: npt.NDArray[np.int16]
    """(N,) column of the predictor split on, -1 in a leaf."""
    threshold: Float32
    """(N,)"""
    levels: npt.NDArray[np.uint64]
    """(N,) bit k set: level k goes left."""
    left: npt.NDArray[np.int32]
    """(N,) left child, counted over all trees; 0 in a leaf."""
    value: Float64
    """(N,)"""
    cover: Float64
    """(N,)"""
    n_levels: npt.NDArray[np.int16]
    """(p,) 0 for a continuous predictor, else its number of levels, coded 0 .. n-1 in X."""

    @property
    def n_trees(self) -> int:
        return len(self.offset) - 1

    @property
    def n_nodes(self) -> int:
        return len(self.feature)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays by name, as a model file holds them."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def check(self) -> Trees:
        """Refuse arrays that would send a row outside them (a damaged file).

        Raises:
            InputError: shapes, child indices or predictor columns do not fit.
        """
        n = self.n_nodes
        inner = self.feature >= 0
        tree = np.repeat(np.arange(self.n_trees), np.diff(self.offset))
        sound = (
            len(self.offset) >= 2
            and self.offset[0] == 0
            and self.offset[-1] == n
            and bool(np.all(np.diff(self.offset) > 0))
            and all(len(a) == n for a in (self.threshold, self.levels, self.left, self.value, self.cover))
            and bool(np.all(self.feature < len(self.n_levels)))
            and bool(np.all(self.left[inner] > np.flatnonzero(inner)))
            and bool(np.all(self.left[inner] + 1 < self.offset[tree[inner] + 1]))
            and bool(np.all((self.n_levels >= 0) & (self.n_levels <= MAX_LEVELS)))
        )
        if not sound:
            raise InputError(
                "the trees of this model do not fit together; the file is damaged. Train it again."
            )
        return self

    def predict(self, x: Float32, threads: int = 1) -> Float64:
        """(n,) mean over trees of the leaf value for x (n, p) float32; the same bytes for any `threads`."""
        out, nodes, walk = np.empty(len(x)), self._nodes(), cast(Any, _sum_leaves)
        over_blocks(
            len(x), threads, lambda a, b: walk(self.offset, nodes, self.levels, self.value, x[a:b], out[a:b])
        )
        return out

    def only(self, tree: int) -> Trees:
        """One tree of them."""
        a, b = self.offset[tree], self.offset[tree + 1]
        nodes = {
            f.name: getattr(self, f.name)[a:b] for f in fields(self) if f.name not in ("offset", "n_levels")
        }
        nodes["left"] = np.where(nodes["feature"] >= 0, nodes["left"] - a, 0).astype(np.int32)
        return Trees(offset=np.array([0, b - a]), n_levels=self.n_levels, **nodes)

    def leaves(self, x: Float32, threads: int = 1) -> npt.NDArray[np.int32]:
        """(n, T) leaf of every row in every tree, counted over all trees."""
        out, nodes, walk = np.empty((len(x), self.n_trees), np.int32), self._nodes(), cast(Any, _find_leaves)
        over_blocks(len(x), threads, lambda a, b: walk(self.offset, nodes, self.levels, x[a:b], out[a:b]))
        return out

    def _nodes(self) -> npt.NDArray[Any]:
        """(N,) what a walk reads of a node, side by side in memory.

        A leaf leads to itself: NaN is not above its threshold. `kind` is 1 where `levels` decides.
        """
        inner = self.feature >= 0
        nodes = np.zeros(self.n_nodes, _NODE)
        nodes["feature"] = np.where(inner, self.feature, 0)
        nodes["threshold"] = np.where(inner, self.threshold, np.float32(np.inf))
        nodes["left"] = np.where(inner, self.left, np.arange(self.n_nodes))
        nodes["kind"] = inner & (self.n_levels[np.maximum(self.feature, 0)] > 0)
        return nodes


def join(parts: list[Trees]) -> Trees:
    """The trees of `parts` one after the other."""
    shifts = np.cumsum([0] + [p.n_nodes for p in parts])
    left = [
        np.where(p.feature >= 0, p.left + s, 0).astype(np.int32) for p, s in zip(parts, shifts, strict=False)
    ]
    offset = [np.zeros(1, np.int64)] + [p.offset[1:] + s for p, s in zip(parts, shifts, strict=False)]
    whole = {
        f.name: np.concatenate([getattr(p, f.name) for p in parts])
        for f in fields(Trees)
        if f.name not in ("offset", "left", "n_levels")
    }
    return Trees(
        offset=np.concatenate(offset), left=np.concatenate(left), n_levels=parts[0].n_levels, **whole
    )


def over_blocks(n: int, threads: int, work: Callable[[int, int], None], size: int = BLOCK_ROWS) -> None:
    """Call work(a, b) for blocks of rows that cover 0 .. n; `work` must release the interpreter lock to gain."""
    blocks = [(a, min(a + size, n)) for a in range(0, n, size)]
    if threads == 1 or len(blocks) == 1:
        for a, b in blocks:
            work(a, b)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda ab: work(*ab), blocks))


@numba.njit(cache=True, nogil=True)
def _walk(root, nodes, levels, x, at):  # type: ignore[no-untyped-def]
    """Leaf of each row of x in the tree at `root`: all rows go down together, one level at a time.

    The rows do not wait for each other's memory, which makes this several times as fast as one row after the other.
    """
    at[:] = root
    moved = True
    while moved:
        moved = False
        for i in range(len(x)):
            node = nodes[at[i]]
            value = x[i, node.feature]
            right = value > node.threshold
            if node.kind:
                right = (levels[at[i]] >> np.uint64(value)) & np.uint64(1) == np.uint64(0)
            below = node.left + np.uint32(right)
            moved |= below != at[i]
            at[i] = below


@numba.njit(cache=True, nogil=True)
def _sum_leaves(offset, nodes, levels, value, x, out):  # type: ignore[no-untyped-def]
    n_trees = len(offset) - 1
    at = np.empty(_TOGETHER, np.uint32)
    out[:] = 0.0
    for t in range(n_trees):
        for a in range(0, len(x), _TOGETHER):
            b = min(a + _TOGETHER, len(x))
            _walk(offset[t], nodes, levels, x[a:b], at[: b - a])
            for i in range(a, b):
                out[i] += value[at[i - a]]
    out /= n_trees


@numba.njit(cache=True, nogil=True)
def _find_leaves(offset, nodes, levels, x, out):  # type: ignore[no-untyped-def]
    at = np.empty(_TOGETHER, np.uint32)
    for t in range(len(offset) - 1):
        for a in range(0, len(x), _TOGETHER):
            b = min(a + _TOGETHER, len(x))
            _walk(offset[t], nodes, levels, x[a:b], at[: b - a])
            for i in range(a, b):
                out[i, t] = at[i - a]
