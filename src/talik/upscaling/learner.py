"""One interface for every way to learn a flux: settings that fit, something fitted that predicts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from talik.config import Frozen
from talik.errors import ConfigError
from talik.upscaling.trees import Float32, Float64, Int64

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """What a learner sees: plain arrays, rows complete."""

    x: Float32
    """(n, p) predictors; a categorical one holds the codes 0 .. levels-1."""
    y: Float64
    """(n,) response."""
    groups: Int64
    """(n,) site of each row, 0 .. S-1."""
    weights: Float64
    """(n,) > 0."""
    n_levels: npt.NDArray[np.int16]
    """(p,) 0 for a continuous predictor, else its number of levels."""

    def take(self, rows: Int64) -> Data:
        """The same for some rows."""
        return replace(
            self, x=self.x[rows], y=self.y[rows], groups=self.groups[rows], weights=self.weights[rows]
        )

    def __len__(self) -> int:
        return len(self.y)


def all_but(n: int, held: Int64) -> Int64:
    """Rows 0 .. n-1 without `held`."""
    keep = np.ones(n, bool)
    keep[held] = False
    return np.flatnonzero(keep)


class Fitted(Protocol):
    """A fitted learner. `arrays` and `facts` (JSON values) are all there is to it: together they make it again."""

    def predict(self, x: Float32, threads: int = 1) -> Float64:
        """(n,) conditional mean; the same bytes for any number of threads."""

    def predict_quantiles(self, x: Float32, levels: Sequence[float], threads: int = 1) -> Float64:
        """(n, len(levels)) conditional quantiles.

        Raises:
            ConfigError: the learner has none.
        """

    def arrays(self) -> Arrays:
        """Everything numeric, by name."""

    def facts(self) -> dict[str, Any]:
        """Everything else, as JSON values."""


class Learner(Frozen, ABC):
    """Settings of a learner. Subclasses fit; a subclass may know a faster way to leave rows out."""

    name: ClassVar[str]
    gives_quantiles: ClassVar[bool] = False
    folds_at_once: ClassVar[int] = 8
    """Folds left out in one call while validating; between calls progress is shown and kept."""

    @abstractmethod
    def fit(self, data: Data, seed: int, threads: int = 1) -> Fitted:
        """Learn from every row of `data`."""

    @abstractmethod
    def restore(self, arrays: Arrays, facts: Mapping[str, Any]) -> Fitted:
        """The fitted learner from what `arrays()` and `facts()` of it gave."""

    def leave_out(
        self,
        data: Data,
        held: Sequence[tuple[Int64, Int64]],
        seed: int,
        threads: int = 1,
        quantiles: Sequence[float] = (),
    ) -> list[Float64]:
        """Predictions of rows that were not learnt from.

        held : pairs (rows to learn from, rows to predict).
        Returns for each pair an array (rows, 1 + len(quantiles)): the mean, then the quantiles.
        """

        def one(pair: tuple[Int64, Int64]) -> Float64:
            train, test = pair
            return predictions(self.fit(data.take(train), seed), data.x[test], quantiles, 1)

        if threads == 1:
            return [one(pair) for pair in held]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(one, held))


def predictions(fitted: Fitted, x: Float32, quantiles: Sequence[float], threads: int) -> Float64:
    """(n, 1 + len(quantiles)): the mean, then the quantiles."""
    mean = fitted.predict(x, threads)[:, None]
    return np.hstack([mean, fitted.predict_quantiles(x, quantiles, threads)]) if quantiles else mean


def no_quantiles(name: str) -> ConfigError:
    """The error of a learner that predicts means only."""
    return ConfigError(f"learner {name!r} predicts means only; for quantiles use quantile-forest")


def row_weights(groups: Int64, power: float) -> Float64:
    """(n,) n_site**-power, scaled to mean 1: 0 counts rows alike, 1 sites, 0.5 lies between."""
    weights = np.bincount(groups)[groups].astype(float) ** -power
    return np.asarray(weights / weights.mean(), dtype=np.float64)
