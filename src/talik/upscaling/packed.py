"""A forest made ready to predict: one 64-bit word a node, rows in coherent order, the same bytes for any threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from talik.errors import InputError
from talik.upscaling import walk
from talik.upscaling.coherence import coherent_order, coordinates
from talik.upscaling.parallel import over_blocks

if TYPE_CHECKING:
    from talik.upscaling.trees import Trees

SLAB = 1 << 18
"""Rows put in order, and for which a forest is pruned, at a time."""
CHUNK = 4096
"""Rows that go through all trees together: they and a tree fit the second cache."""
AT_ONCE = 8
"""Forests that a chunk goes through before the next chunk; this bounds what pruned forests take."""
PRUNE_FROM = 1 << 13
"""Rows from which pruning a forest to their box pays."""

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """T trees with N nodes as words (see `talik.upscaling.walk.pack_words`), values, and what puts rows in order."""

    offset: Int64
    words: Words
    sets: Words
    """Distinct sets of levels that go left."""
    value: Float64
    """(N,)"""
    origin: Int64
    """(N,) node of the `Trees` this was made of; empty if they are the same."""
    categorical: npt.NDArray[np.int16]
    """(p,) number of a categorical predictor among its like, -1 for a continuous one."""
    n_levels: npt.NDArray[np.int16]
    depth: int
    edges: Float32
    length: Float64

    @classmethod
    def of(cls, trees: Trees) -> Packed:
        """Pack trees.

        Raises:
            InputError: a tree with more than 2**20 nodes, or more than 1,022 predictors.
        """
        largest, p = int(np.diff(trees.offset).max(initial=0)), len(trees.n_levels)
        if largest > walk.MAX_NODES or p >= walk.LEAF:
            raise InputError(
                f"a tree has {largest} nodes and there are {p} predictors; at most {walk.MAX_NODES} and "
                f"{walk.LEAF - 1} can be predicted with. Grow smaller trees (node_size) or choose predictors."
            )
        is_categorical = trees.n_levels > 0
        categorical = np.where(is_categorical, np.cumsum(is_categorical) - 1, -1).astype(np.int16)
        sets, set_of = np.unique(trees.levels, return_inverse=True)
        words = np.empty(trees.n_nodes, np.uint64)
        depth = walk.pack_words(
            trees.offset,
            trees.feature,
            np.ascontiguousarray(trees.threshold),
            trees.left,
            categorical,
            set_of.astype(np.uint32),
            words,
        )
        edges, length = coordinates(trees.feature, trees.threshold, trees.cover, trees.n_levels)
        same = np.empty(0, np.int64)
        return cls(
            trees.offset, words, sets, trees.value, same, categorical, trees.n_levels, depth, edges, length
        )

    @property
    def n_trees(self) -> int:
        return len(self.offset) - 1

    @property
    def nbytes(self) -> int:
        """Memory of the arrays, bytes."""
        return sum(int(getattr(self, f.name).nbytes) for f in fields(self) if f.name != "depth")

    def order(self, x: Float32) -> Int64:
        """(n,) order in which rows of x (n, p) go through quickly."""
        return coherent_order(x, self.edges, self.length)

    def within(self, x: Float32) -> Packed:
        """The forest without the splits that all rows of x decide alike; it predicts the same for them."""
        low, high = x.min(axis=0), x.max(axis=0)
        present = np.zeros(max(int((self.categorical >= 0).sum()), 1), np.uint64)
        for f in np.flatnonzero(self.categorical >= 0):
            for level in np.unique(x[:, f]):
                present[self.categorical[f]] |= np.uint64(1) << np.uint64(level)
        offset, words = np.empty_like(self.offset), np.empty_like(self.words)
        origin = np.empty(len(self.words), np.int64)
        n = walk.prune(
            self.offset, self.words, self.sets, self.categorical, low, high, present, offset, words, origin
        )
        origin = origin[:n].copy()
        return Packed(
            offset,
            words[:n].copy(),
            self.sets,
            self.value[origin],
            self.origin[origin] if len(self.origin) else origin,
            self.categorical,
            self.n_levels,
            self.depth,
            self.edges,
            self.length,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Rows that go through trees together."""

    rows: Int64
    """(n,) their numbers."""
    blocks: Float32
    """(n / 64, p, 64), the last block filled up with its last row."""
    levels: Words
    """(n / 64, categorical predictors, 64) the rows that have a level, as bits."""

    @classmethod
    def of(cls, x: Float32, rows: Int64, categorical: npt.NDArray[np.int16]) -> Chunk:
        """Gather x[rows]."""
        n_blocks, n_categorical = -(-len(rows) // walk.BLOCK), int((categorical >= 0).sum())
        blocks = np.empty((n_blocks, x.shape[1], walk.BLOCK), np.float32)
        walk.gather(x, rows, blocks)
        levels = np.zeros((n_blocks if n_categorical else 0, max(n_categorical, 1), 64), np.uint64)
        if n_categorical:
            walk.mark_levels(blocks, categorical, levels)
        return cls(rows, blocks, levels)

    def sum_of(self, forest: Packed) -> Float64:
        """(n,) sum over trees of the leaf value, added up in the order of the trees."""
        out = np.zeros(self.blocks.shape[0] * walk.BLOCK)
        walk.add_leaf_values(*_tree(forest), forest.value, self.blocks, self.levels, forest.depth, out)
        return out[: len(self.rows)]

    def leaves_of(self, forest: Packed) -> npt.NDArray[np.int32]:
        """(T, n) node of the `Trees` each row ends in."""
        out = np.empty((forest.n_trees, self.blocks.shape[0] * walk.BLOCK), np.int32)
        walk.write_leaves(*_tree(forest), forest.origin, self.blocks, self.levels, forest.depth, out)
        return out[:, : len(self.rows)]


def _tree(forest: Packed) -> tuple[Int64, Words, Words, npt.NDArray[np.int16], npt.NDArray[np.int16]]:
    return forest.offset, forest.words, forest.sets, forest.categorical, forest.n_levels


def predict_all(forests: Sequence[Packed], x: Float32, threads: int = 1) -> Float64:
    """(n, forests) mean over trees of each forest for rows of x (n, p); the same bytes for any `threads`.

    All forests have the same predictors. A chunk of rows goes through AT_ONCE forests while it is in the cache.
    """
    x = np.ascontiguousarray(x)
    out = np.empty((len(x), len(forests)))
    for part, chunks in _slabs(forests[0], x):
        for first in range(0, len(forests), AT_ONCE):
            group = _pruned(forests[first : first + AT_ONCE], part)

            def work(
                a: int,
                b: int,
                group: list[Packed] = group,
                chunks: list[Int64] = chunks,
                first: int = first,
            ) -> None:
                for rows in chunks[a:b]:
                    chunk = Chunk.of(x, rows, group[0].categorical)
                    for k, forest in enumerate(group):
                        out[rows, first + k] = chunk.sum_of(forest) / forest.n_trees

            over_blocks(len(chunks), threads, work, 1)
    return out


def leaves(forest: Packed, x: Float32, threads: int = 1) -> npt.NDArray[np.int32]:
    """(n, T) node of the trees in which each row of x (n, p) ends."""
    x = np.ascontiguousarray(x)
    out = np.empty((len(x), forest.n_trees), np.int32)
    for part, chunks in _slabs(forest, x):
        pruned = _pruned([forest], part)[0]

        def work(a: int, b: int, pruned: Packed = pruned, chunks: list[Int64] = chunks) -> None:
            for rows in chunks[a:b]:
                out[rows] = Chunk.of(x, rows, pruned.categorical).leaves_of(pruned).T

        over_blocks(len(chunks), threads, work, 1)
    return out


def chunks_of(forest: Packed, x: Float32) -> Iterator[tuple[Packed, Chunk]]:
    """Rows of x (n, p) in coherent chunks, each with the forest pruned to the slab it is part of."""
    for part, chunks in _slabs(forest, x):
        pruned = _pruned([forest], part)[0]
        for rows in chunks:
            yield pruned, Chunk.of(x, rows, pruned.categorical)


def _slabs(forest: Packed, x: Float32) -> Iterator[tuple[Float32, list[Int64]]]:
    """A slab of rows after the other, and the rows of its chunks."""
    for a in range(0, len(x), SLAB):
        part = x[a : a + SLAB]
        order = forest.order(part) + a
        yield part, [order[k : k + CHUNK] for k in range(0, len(order), CHUNK)]


def _pruned(forests: Sequence[Packed], part: Float32) -> list[Packed]:
    return [f.within(part) for f in forests] if len(part) >= PRUNE_FROM else list(forests)
