"""A weighted mean of unlike learners, with weights from sites that none of them has seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field
from scipy.optimize import nnls

from talik.errors import ConfigError
from talik.rng import named_rng
from talik.upscaling.boosting import Boosting
from talik.upscaling.forest import ExtraTrees, Forest
from talik.upscaling.gaussian_process import GaussianProcess
from talik.upscaling.learner import Arrays, Data, Fitted, Learner, all_but, no_quantiles
from talik.upscaling.trees import Float32, Float64, Int64


@dataclass(frozen=True, slots=True, eq=False)
class FittedStack:
    """Members and their weights."""

    members: dict[str, Fitted]
    weights: Float64
    """(members,) >= 0, adding up to 1."""

    def predict(self, x: Float32, threads: int = 1) -> Float64:
        """(n,) weighted mean of the members; a member of weight 0 is not asked."""
        out = np.zeros(len(x))
        for member, weight in zip(self.members.values(), self.weights, strict=True):
            if weight > 0:
                out += weight * member.predict(x, threads)
        return out

    def predict_quantiles(self, x: Float32, levels: Sequence[float], threads: int = 1) -> Float64:
        """Raises ConfigError: means only."""
        raise no_quantiles(Stack.name)

    def arrays(self) -> Arrays:
        own: Arrays = {"weights": self.weights}
        for name, member in self.members.items():
            own |= {f"{name}/{k}": v for k, v in member.arrays().items()}
        return own

    def facts(self) -> dict[str, Any]:
        return {name: member.facts() for name, member in self.members.items()}


class Stack(Learner):
    """Convex combination with the smallest squared error over grouped inner folds (Breiman 1996; van der Laan 2007)."""

    name: ClassVar[str] = "stack"
    folds_at_once: ClassVar[int] = 24

    forest: Forest = Forest()
    extra_trees: ExtraTrees = ExtraTrees()
    gaussian_process: GaussianProcess = GaussianProcess()
    boosting: Boosting | None = None
    """A fourth member if set (`boosting={}`); on the ABCflux tables it gets no weight and doubles the time."""
    shrinkage: Annotated[float, Field(ge=0, le=1)] = 0.5
    """0: the weights of smallest error; 1: all members alike; between, the mean of both so weighted. Weights from a
    hundred sites are uncertain, and equal ones are hard to beat (Smith and Wallis 2009)."""
    inner_folds: Annotated[int, Field(ge=2)] = 5
    """Groups of sites left out in turn to find the weights."""
    inner_trees: Annotated[int, Field(ge=1)] = 50
    """Trees of the forests in the inner folds; their mean hardly changes with more."""

    def members(self) -> dict[str, Learner]:
        """The members by name."""
        every = (self.forest, self.extra_trees, self.gaussian_process, self.boosting)
        return {member.name: member for member in every if member is not None}

    def fit(self, data: Data, seed: int, threads: int = 1) -> FittedStack:
        inner = self._inner(data, np.arange(len(data)), seed)
        unseen = np.empty((len(data), len(self.members())))
        for k, (name, member) in enumerate(self._quick().items()):
            parts = member.leave_out(data, inner, _member_seed(seed, name), threads)
            for (_, test), part in zip(inner, parts, strict=True):
                unseen[test, k] = part[:, 0]
        weights = self._shrunk(convex_weights(unseen, data.y, data.weights))
        fitted = {n: m.fit(data, _member_seed(seed, n), threads) for n, m in self.members().items()}
        return FittedStack(fitted, weights)

    def restore(self, arrays: Arrays, facts: Mapping[str, Any]) -> FittedStack:
        fitted = {}
        for name, member in self.members().items():
            own = {k.removeprefix(f"{name}/"): v for k, v in arrays.items() if k.startswith(f"{name}/")}
            fitted[name] = member.restore(own, facts[name])
        return FittedStack(fitted, arrays["weights"])

    def leave_out(
        self,
        data: Data,
        held: Sequence[tuple[Int64, Int64]],
        seed: int,
        threads: int = 1,
        quantiles: Sequence[float] = (),
    ) -> list[Float64]:
        """Fully nested: the weights of a fold never saw the responses of its left-out rows."""
        if quantiles:
            raise no_quantiles(self.name)
        inner = [self._inner(data, train, seed) for train, _ in held]
        pairs = [pair for fold in inner for pair in fold]
        outer, unseen = {}, {}
        for name, member in self.members().items():
            member_seed = _member_seed(seed, name)
            outer[name] = member.leave_out(data, held, member_seed, threads)
            unseen[name] = self._quick()[name].leave_out(data, pairs, member_seed, threads)
        out, at = [], 0
        for k, fold in enumerate(inner):
            rows = np.concatenate([test for _, test in fold])
            parts = [
                np.concatenate([p[:, 0] for p in unseen[n][at : at + len(fold)]]) for n in self.members()
            ]
            weights = self._shrunk(convex_weights(np.column_stack(parts), data.y[rows], data.weights[rows]))
            out.append(np.column_stack([outer[n][k][:, 0] for n in self.members()]) @ weights[:, None])
            at += len(fold)
        return out

    def _inner(self, data: Data, rows: Int64, seed: int) -> list[tuple[Int64, Int64]]:
        groups = np.unique(data.groups[rows])
        if len(groups) < self.inner_folds:
            raise ConfigError(
                f"stack: {len(groups)} sites are too few for {self.inner_folds} inner folds; "
                "set inner_folds lower or choose another learner"
            )
        # dealt over all sites, so that leaving one out moves no other to another fold
        dealt = named_rng(seed, "inner folds").permutation(int(data.groups.max()) + 1) % self.inner_folds
        of_row = dealt[data.groups[rows]]
        left = all_but(len(data), rows)
        pairs = []
        for k in range(self.inner_folds):
            test = rows[of_row == k]
            if not len(test):
                continue
            pairs.append((all_but(len(data), np.concatenate([left, test])), test))
        return pairs

    def _shrunk(self, weights: Float64) -> Float64:
        return (1 - self.shrinkage) * weights + self.shrinkage / len(weights)

    def _quick(self) -> dict[str, Learner]:
        few = {"trees": self.inner_trees}
        return self.members() | {m.name: m.model_copy(update=few) for m in (self.forest, self.extra_trees)}


def convex_weights(predicted: Float64, observed: Float64, row_weights: Float64) -> Float64:
    """(k,) weights >= 0 that add up to 1 and give the smallest weighted squared error of predicted (n, k).

    Non-negative least squares with the sum as a heavily weighted equation (Lawson and Hanson 1974, chapter 23).
    """
    errors = (predicted - observed[:, None]) * np.sqrt(row_weights)[:, None]
    if not errors.any():
        return np.full(predicted.shape[1], 1 / predicted.shape[1])
    # with weights that add up to one, the error of the mean is the mean of the errors
    heavy = 1e4 * float(np.abs(errors).max()) * np.sqrt(len(errors))
    triangle = np.linalg.qr(errors, mode="r")
    system = np.vstack([triangle, np.full((1, predicted.shape[1]), heavy)])
    weights, _ = nnls(system, np.append(np.zeros(len(triangle)), heavy))
    return np.asarray(weights / weights.sum())


def _member_seed(seed: int, name: str) -> int:
    return int(named_rng(seed, f"stack {name}").integers(2**31))
