"""How much each site counts in a regional budget: a forest budget is linear in what the sites measured.

The budget of a region is B = sum_p a_p f(x_p), with area a_p of pixel-month p. Written by leaves, B is the sum over
training rows i of W_i y_i with W_i = (1/T) sum_t A_t(leaf of i) m_it w_i / cover(leaf of i). A_t(leaf) is the area of
the pixel-months that end in a leaf of tree t, m_it how often row i is in the bag of the tree, w_i its weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from talik.errors import ConfigError
from talik.upscaling.forest import FittedForest
from talik.upscaling.grow import bootstrap_counts
from talik.upscaling.model import Model
from talik.upscaling.packed import Packed, chunks_of
from talik.upscaling.trees import Float32, Float64, Int64, Trees

ROUND_OFF = 1e-9
"""Share of a node's weight below which nothing is left of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Bags:
    """The training rows in the leaves of a forest."""

    trees: Trees
    leaf: npt.NDArray[np.int32]
    """(T, n) leaf of each training row in each tree."""
    weight: Float64
    """(T, n) its weight there: how often it was drawn, times its row weight; 0 out of the bag."""
    y: Float64
    groups: Int64
    sites: tuple[str, ...]
    forest: Packed
    """The same trees made ready to predict, on the columns of the rows that will be counted."""

    @classmethod
    def of(cls, model: Model) -> Bags:
        """Put the training rows of a forest back into its leaves.

        Raises:
            ConfigError: the model is no forest, or carries no training rows.
        """
        if not isinstance(model.fitted, FittedForest):
            raise ConfigError(
                f"the influence of sites is known for forests only; the model of {model.schema.target} is a "
                f"{model.learner.name}. Train with --learner forest or extra-trees."
            )
        if model.rows is None:
            raise ConfigError(
                f"the model of {model.schema.target} carries no training rows; train it without --without-rows."
            )
        trees, rows = model.fitted.trees, model.rows
        n = len(rows.y)
        counts = bootstrap_counts(model.fitted.seeds, np.arange(n), n)
        return cls(
            trees,
            trees.leaves(rows.x).T.copy(),
            counts * rows.weights,
            rows.y,
            rows.groups,
            tuple(model.facts["sites"]),
            Packed.of(trees),
        )


def visits(forest: Packed, x: Float32, area: Float64, n_nodes: int) -> Float64:
    """(N, R) area of the rows of x that end in each leaf; area : (n, R) for R regions."""
    out = np.zeros((n_nodes, area.shape[1]))
    for pruned, chunk in chunks_of(forest, x):
        _add(chunk.leaves_of(pruned), np.ascontiguousarray(area[chunk.rows]), out)
    return out


def row_weights_of(bags: Bags, visited: Float64) -> Float64:
    """(n, R) weight W_i of each training row in the sum of each region, in the units of the visited areas."""
    out = np.zeros((len(bags.y), visited.shape[1]))
    _weigh(bags.leaf, bags.weight, bags.trees.cover, visited, out)
    return np.asarray(out / bags.trees.n_trees)


def without_a_site(bags: Bags, visited: Float64) -> Float64:
    """(sites, R) change of each region's sum if a site's rows are taken out of the leaves of the same trees.

    A leaf that held nothing else takes the mean of the nearest node above that does.
    """
    out = np.zeros((len(bags.sites), visited.shape[1]))
    trees = bags.trees
    parent = np.full(trees.n_nodes, -1, np.int64)
    inner = np.flatnonzero(trees.feature >= 0)
    parent[trees.left[inner]] = inner
    parent[trees.left[inner] + 1] = inner
    order = np.argsort(bags.groups, kind="stable")
    start = np.searchsorted(bags.groups[order], np.arange(len(bags.sites) + 1))
    _take_out(bags.leaf, bags.weight, bags.y, order, start, parent, trees.cover, trees.value, visited, out)
    return out / trees.n_trees


@dataclass(frozen=True, slots=True, eq=False)
class Influence:
    """The share of every site in the budgets of regions."""

    sites: tuple[str, ...]
    weight: Float64
    """(sites, R) sum of W over the rows of a site: the area-months that speak with its voice."""
    contribution: Float64
    """(sites, R) sum of W y: its part of the budget."""
    without: Float64
    """(sites, R) change of the budget without it, trees unchanged."""

    @property
    def effective_sites(self) -> Float64:
        """(R,) (sum_g W_g)^2 / sum_g W_g^2."""
        squares = (self.weight**2).sum(axis=0)
        return np.asarray(self.weight.sum(axis=0) ** 2 / np.where(squares > 0, squares, np.nan))

    @property
    def jackknife_sd(self) -> Float64:
        """(R,) standard deviation of the budget by the jackknife over sites, at fixed trees."""
        n = len(self.sites)
        away = self.without - self.without.mean(axis=0)
        return np.asarray(np.sqrt((n - 1) / n * (away**2).sum(axis=0)))


def by_site(bags: Bags, row_weights: Float64, without: Float64) -> Influence:
    """Sum the weights of rows (n, R) over sites."""
    n_sites = len(bags.sites)
    weight, contribution = (
        np.zeros((n_sites, row_weights.shape[1])),
        np.zeros((n_sites, row_weights.shape[1])),
    )
    np.add.at(weight, bags.groups, row_weights)
    np.add.at(contribution, bags.groups, row_weights * bags.y[:, None])
    return Influence(bags.sites, weight, contribution, without)


@numba.njit(cache=True, nogil=True)
def _add(leaf, area, out):  # type: ignore[no-untyped-def]
    for t in range(leaf.shape[0]):
        for i in range(leaf.shape[1]):
            for r in range(area.shape[1]):
                out[leaf[t, i], r] += area[i, r]


@numba.njit(cache=True, nogil=True)
def _weigh(leaf, weight, cover, visited, out):  # type: ignore[no-untyped-def]
    for t in range(leaf.shape[0]):
        for i in range(leaf.shape[1]):
            if weight[t, i] > 0:
                node = leaf[t, i]
                for r in range(visited.shape[1]):
                    out[i, r] += visited[node, r] * weight[t, i] / cover[node]


@numba.njit(cache=True, nogil=True)
def _take_out(leaf, weight, y, order, start, parent, cover, value, visited, out):  # type: ignore[no-untyped-def]
    own, own_sum = np.zeros(len(parent)), np.zeros(len(parent))
    for t in range(leaf.shape[0]):
        for g in range(len(start) - 1):
            members = order[start[g] : start[g + 1]]
            for i in members:  # what the site holds of every node above its leaves
                node = np.int64(leaf[t, i])
                while weight[t, i] > 0 and node >= 0:
                    own[node] += weight[t, i]
                    own_sum[node] += weight[t, i] * y[i]
                    node = parent[node]
            for i in members:
                first = np.int64(leaf[t, i])
                if weight[t, i] == 0 or own[first] <= 0:
                    continue
                node = first
                while parent[node] >= 0 and cover[node] - own[node] <= ROUND_OFF * cover[node]:
                    node = parent[node]
                rest = cover[node] - own[node]
                if rest > ROUND_OFF * cover[node]:
                    change = (cover[node] * value[node] - own_sum[node]) / rest - value[first]
                    for r in range(visited.shape[1]):
                        out[g, r] += visited[first, r] * change
                own[first] = -own[first]  # this leaf is done
            for i in members:
                node = np.int64(leaf[t, i])
                while weight[t, i] > 0 and node >= 0:
                    own[node] = 0.0
                    own_sum[node] = 0.0
                    node = parent[node]
