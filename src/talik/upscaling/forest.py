"""The reference random forest, and quantiles from the same trees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numba
import numpy as np
import numpy.typing as npt
from pydantic import Field

from talik.errors import ConfigError, InputError
from talik.rng import named_rng
from talik.upscaling.grow import Sorted, bootstrap_counts, grow
from talik.upscaling.learner import Arrays, Data, Learner, no_quantiles, predictions
from talik.upscaling.parallel import BLOCK_ROWS, over_blocks
from talik.upscaling.trees import Float32, Float64, Int64, Trees

Seeds = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class Bag:
    """Which responses lie in each leaf, in CSR form: the forest as weights on the rows it was grown from."""

    start: Int64
    """(N+1,) the rows of node k are row[start[k]:start[k+1]]; inner nodes have none."""
    row: npt.NDArray[np.int32]
    """(E,) rows in order of their response."""
    weight: Float64
    """(E,) share of the leaf's in-bag weight; adds up to 1 in every leaf."""
    response: Float64
    """(n,) responses, ascending."""


@dataclass(frozen=True, slots=True, eq=False)
class FittedForest:
    """Trees, and what is needed to put the training rows back into their leaves."""

    trees: Trees
    seeds: Seeds
    bag: Bag | None = field(default=None)

    def predict(self, x: Float32, threads: int = 1) -> Float64:
        """(n,) mean over trees."""
        return self.trees.predict(x, threads)

    def predict_quantiles(self, x: Float32, levels: Sequence[float], threads: int = 1) -> Float64:
        """(n, len(levels)) smallest response y with F(y) >= level; F weights the in-bag rows of the leaves x falls in.

        Meinshausen (2006), with in-bag rows and their multiplicity, so that the mean of F is the prediction.
        """
        if self.bag is None:
            raise no_quantiles("forest")
        bag, out = self.bag, np.empty((len(x), len(levels)))
        wanted = np.asarray(levels, float)

        def work(a: int, b: int) -> None:
            leaves = self.trees.leaves(x[a:b])
            _quantiles(leaves, bag.start, bag.row, bag.weight, bag.response, wanted, out[a:b])

        over_blocks(len(x), threads, work, BLOCK_ROWS // 8)
        return out

    def arrays(self) -> Arrays:
        own: Arrays = {"seeds": self.seeds, **self.trees.arrays()}
        if self.bag is not None:
            own |= {f"bag_{k}": getattr(self.bag, k) for k in ("start", "row", "weight", "response")}
        return own

    def facts(self) -> dict[str, Any]:
        return {}


class Forest(Learner):
    """Breiman's random forest with the settings of R's randomForest (Virkkala et al. 2025)."""

    name: ClassVar[str] = "forest"

    random_splits: ClassVar[bool] = False

    trees: Annotated[int, Field(ge=1, le=100_000)] = 500
    """Number of trees."""
    mtry: Annotated[int, Field(ge=1)] | None = None
    """Predictors drawn at each node; not set: a third of them (extra trees: half), at least one."""
    node_size: Annotated[int, Field(ge=1)] = 5
    """A node with at most this many in-bag rows (with multiplicity) is a leaf."""

    def fit(self, data: Data, seed: int, threads: int = 1) -> FittedForest:
        return self._grow(Sorted.of(data.x, data.n_levels), data, np.arange(len(data)), seed, threads)

    def leave_out(
        self,
        data: Data,
        held: Sequence[tuple[Int64, Int64]],
        seed: int,
        threads: int = 1,
        quantiles: Sequence[float] = (),
    ) -> list[Float64]:
        shared = Sorted.of(data.x, data.n_levels)  # sorting once for all folds is what makes this quick
        out = []
        for train, test in held:
            fitted = self._grow(shared, data, train, seed, threads)
            out.append(predictions(fitted, data.x[test], quantiles, threads))
        return out

    def restore(self, arrays: Arrays, facts: Mapping[str, Any]) -> FittedForest:
        own = dict(arrays)
        bag = (
            Bag(*(own.pop(f"bag_{k}") for k in ("start", "row", "weight", "response")))
            if "bag_row" in own
            else None
        )
        seeds = own.pop("seeds")
        trees = Trees(**own).check()
        if bag is not None:
            _check_bag(bag, trees)
        return FittedForest(trees, seeds, bag)

    def drawn(self, n_predictors: int) -> int:
        """The mtry in force for so many predictors.

        Raises:
            ConfigError: mtry is larger.
        """
        if self.mtry is None:
            return max(1, n_predictors // (2 if self.random_splits else 3))
        if self.mtry > n_predictors:
            raise ConfigError(
                f"mtry is {self.mtry} but there are {n_predictors} predictors; choose at most that"
            )
        return self.mtry

    def _grow(self, shared: Sorted, data: Data, rows: Int64, seed: int, threads: int) -> FittedForest:
        seeds = named_rng(seed, "trees").integers(0, 2**64, self.trees, dtype=np.uint64)
        mtry = self.drawn(data.x.shape[1])
        trees = grow(
            shared,
            data.y,
            data.weights,
            [rows],
            seeds,
            mtry=mtry,
            node_size=self.node_size,
            random_splits=self.random_splits,
            threads=threads,
        )
        return FittedForest(trees, seeds, self._bag(trees, data, rows, seeds, threads))

    def _bag(self, trees: Trees, data: Data, rows: Int64, seeds: Seeds, threads: int) -> Bag | None:
        return None


class ExtraTrees(Forest):
    """The same with one random threshold for each drawn predictor (Geurts et al. 2006), on bootstraps.

    Smoother than the best-split forest; half of the predictors are drawn, and larger leaves suit it.
    """

    name: ClassVar[str] = "extra-trees"
    random_splits: ClassVar[bool] = True

    node_size: Annotated[int, Field(ge=1)] = 8
    """A node with at most this many in-bag rows (with multiplicity) is a leaf."""


class QuantileForest(Forest):
    """The same forest with the conditional distribution of its leaves; its prediction stays the mean."""

    name: ClassVar[str] = "quantile-forest"
    gives_quantiles: ClassVar[bool] = True

    def _bag(self, trees: Trees, data: Data, rows: Int64, seeds: Seeds, threads: int) -> Bag | None:
        by_response = rows[np.argsort(data.y[rows], kind="stable")]
        count = bootstrap_counts(seeds, rows, len(data))[:, by_response].T
        leaves = trees.leaves(data.x[by_response], threads)
        row, tree = np.nonzero(count)
        leaf = leaves[row, tree]
        weight = count[row, tree] * data.weights[by_response[row]] / trees.cover[leaf]
        order = np.argsort(leaf, kind="stable")
        start = np.searchsorted(leaf[order], np.arange(trees.n_nodes + 1))
        return Bag(start.astype(np.int64), row[order].astype(np.int32), weight[order], data.y[by_response])


def _check_bag(bag: Bag, trees: Trees) -> None:
    """Refuse leaves that point outside the rows (a damaged file)."""
    sound = (
        len(bag.start) == trees.n_nodes + 1
        and bag.start[0] == 0
        and bag.start[-1] == len(bag.row) == len(bag.weight)
        and bool(np.all(np.diff(bag.start) >= 0))
        and bool(np.all((bag.row >= 0) & (bag.row < len(bag.response))))
    )
    if not sound:
        raise InputError("the leaves of this model do not fit its rows; the file is damaged. Train it again.")


@numba.njit(cache=True, nogil=True)
def _quantiles(leaves, start, row, weight, response, levels, out):  # type: ignore[no-untyped-def]
    n_trees = leaves.shape[1]
    share = np.zeros(len(response))
    for i in range(len(leaves)):
        share[:] = 0.0
        for t in range(n_trees):
            leaf = leaves[i, t]
            for k in range(start[leaf], start[leaf + 1]):
                share[row[k]] += weight[k]
        for q in range(len(levels)):
            below, k, last = 0.0, 0, 0
            target = levels[q] * n_trees * (1 - 1e-12)  # shares add up to n_trees but for round-off
            for k in range(len(response)):
                if share[k] > 0:
                    below += share[k]
                    last = k
                    if below >= target:
                        break
            out[i, q] = response[last]
