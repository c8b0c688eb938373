"""On whom a place leans: the share of a regional budget that rests on the towers which speak for the place.

A forest predicts a place as a weighted mean of what towers measured (`talik.upscaling.influence`). With w_g(p) the
weight of tower g at place p and W_g its share of the budget, the leaning of p is sum_g w_g(p) W_g. Its area mean is
sum_g W_g**2, one over the effective number of sites; a tower where it is large relieves those that carry most.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from talik.upscaling.influence import Bags, row_weights_of, visits
from talik.upscaling.model import Model
from talik.upscaling.trees import Float32, Float64


@dataclass(frozen=True, slots=True, eq=False)
class Leaning:
    """A forest's towers and the cells of a budget; a value: `with_tower` makes the next."""

    bags: Bags
    x: Float32
    """(12, n, p) predictors of the cells in every month."""
    visited: Float64
    """(nodes, 1) area that ends in each leaf."""

    @classmethod
    def of(cls, model: Model, x: Float32, area: Float64) -> Leaning:
        """From a trained model, predictors (12, n, p) and areas (n,).

        Raises:
            ConfigError: the model is no forest, or carries no training rows.
        """
        bags = Bags.of(model)
        rows = x.reshape(-1, x.shape[-1])
        each = np.tile(area / len(x), len(x))[:, None]
        return cls(bags, x, visits(bags.forest, rows, each, bags.trees.n_nodes))

    def shares(self) -> Float64:
        """(sites,) share of the budget's area and time that speaks with the voice of each tower; sums to 1."""
        weight = row_weights_of(self.bags, self.visited)[:, 0]
        found = np.bincount(self.bags.groups, weight, len(self.bags.sites))
        return np.asarray(found / found.sum())

    def of_cells(self) -> Float64:
        """(n,) sum over towers of their weight in the cell times their share of the budget, 0..1."""
        bags, share = self.bags, self.shares()
        held = np.zeros(bags.trees.n_nodes)
        told = share[bags.groups]
        for leaf, weight in zip(bags.leaf, bags.weight, strict=True):
            np.add.at(held, leaf, weight * told)
        spoken = replace(bags.trees, value=held / np.where(bags.trees.cover > 0, bags.trees.cover, 1.0))
        rows = self.x.reshape(-1, self.x.shape[-1])
        return np.asarray(spoken.predict(rows).reshape(len(self.x), -1).mean(axis=0))

    def with_tower(self, cell: int, years: float) -> Leaning:
        """The same with a tower of so many years in a cell; the trees keep their splits.

        Its months join the leaves that the cell falls in, each with the mean weight of a training row.
        """
        bags = self.bags
        leaf = bags.trees.leaves(np.ascontiguousarray(self.x[:, cell])).T.astype(np.int32)
        weight = np.full(leaf.shape, years * float(bags.weight.mean()))
        cover = bags.trees.cover.copy()
        np.add.at(cover, leaf.ravel(), weight.ravel())
        n = len(bags.sites)
        more = replace(
            bags,
            trees=replace(bags.trees, cover=cover),
            leaf=np.ascontiguousarray(np.hstack([bags.leaf, leaf])),
            weight=np.ascontiguousarray(np.hstack([bags.weight, weight])),
            y=np.concatenate([bags.y, np.zeros(leaf.shape[1])]),
            groups=np.concatenate([bags.groups, np.full(leaf.shape[1], n)]),
            sites=(*bags.sites, f"new {n}"),
        )
        return replace(self, bags=more)
