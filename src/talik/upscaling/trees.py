"""Regression trees as flat arrays: what a forest is."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from talik.errors import InputError
from talik.upscaling.packed import Packed, leaves, predict_all

MAX_LEVELS = 64
"""Levels of a categorical predictor that fit the bit mask of a split."""

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
        """(n,) mean over trees of the leaf value for x (n, p) float32; the same bytes for any `threads`.

        Trees are added up in their order, in float64.
        """
        return predict_all([Packed.of(self)], x, threads)[:, 0]

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
        return leaves(Packed.of(self), x, threads)


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
