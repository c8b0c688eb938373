"""What one more tower would do: exact updates of a Gaussian error field, and of distances in predictor space (kernels).

The lasting error of the map is a Gaussian field u over places with covariance s exp(-d/L) exp(-D/l): d is the
great-circle distance, D the dissimilarity of two places in predictor space. Both factors are positive definite, so the
product is. A tower at place j sees u_j + v_j; v_j, of variance t_j, is what its pixel has of its own, its finite record
and its instrument. With c_j the covariance of a regional sum with u_j and q_j the variance of u_j, both given the
towers so far, tower j takes c_j**2 / (q_j + t_j) off the variance of the sum (Rasmussen and Williams 2006, chapter 2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.linalg import cholesky, solve_triangular

from talik.errors import InputError
from talik.upscaling.distances import arc_km
from talik.upscaling.trees import Float64, Int64

BLOCK = 512
"""Places whose covariances with all others are held at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Places on the sphere and in predictor space."""

    at: Float64
    """(n, 3) unit vectors."""
    predictors: Float64
    """(n, d) coordinates whose Euclidean distance is the dissimilarity of two places."""

    def take(self, which: Int64 | slice) -> Places:
        """Some of them."""
        return Places(self.at[which], self.predictors[which])

    def __len__(self) -> int:
        return len(self.at)


def chords(a: Places, b: Places) -> Float64:
    """(n, m) straight distance on the unit sphere."""
    return _distances(a.at, b.at)


def dissimilarity(a: Places, b: Places) -> Float64:
    """(n, m) distance in predictor space."""
    return _distances(a.predictors, b.predictors)


def _distances(a: Float64, b: Float64) -> Float64:
    centre = a.mean(axis=0) if len(a) else 0.0  # smaller numbers, smaller round-off of the difference below
    a, b = a - centre, b - centre
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * a @ b.T
    # round-off of equal points: exactly 0, as an exponential has a kink there
    small = 1e-13 * ((a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None])
    return np.asarray(np.sqrt(np.where(squares > small, squares, 0.0)))


def field_covariance(
    a: Places, b: Places, *, variance: float, range_km: float, range_predictors: float
) -> Float64:
    """(n, m) covariance of the smooth error at two sets of places, in the units of `variance`."""
    near = np.exp(-arc_km(chords(a, b)) / range_km - dissimilarity(a, b) / range_predictors)
    return np.asarray(variance * near)


Covariance = Callable[[Places, Places], Float64]


@dataclass(frozen=True, slots=True, eq=False)
class Conditioned:
    """Sums of a Gaussian field and candidate places, given what towers see; a value: `with_tower` makes the next."""

    covariance: Covariance
    candidates: Places
    with_sums: Float64
    """(m, R) covariance of the field at each candidate with each sum, given the towers."""
    variance: Float64
    """(m,) variance of the field at each candidate, given the towers."""
    sums: Float64
    """(R, R) covariance of the sums, given the towers."""
    white: Float64
    """(towers, m) whitened covariance of what the towers see with the field at the candidates."""

    def removed(self, noise: npt.ArrayLike) -> Float64:
        """(m, R) variance that a tower at each candidate would take off each sum; noise : scalar or (m,), > 0."""
        return np.asarray(self.with_sums**2 / (self.variance + np.asarray(noise))[:, None])

    def with_tower(self, j: int, noise: float) -> Conditioned:
        """The same with one more tower, at candidate j; exact, one row of the matrix."""
        root = np.sqrt(self.variance[j] + noise)
        prior = self.covariance(self.candidates.take(slice(j, j + 1)), self.candidates)[0]
        row = (prior - self.white[:, j] @ self.white) / root
        told = self.with_sums[j] / root
        return replace(
            self,
            with_sums=self.with_sums - np.outer(row, told),
            variance=np.maximum(self.variance - row**2, 0.0),
            sums=self.sums - np.outer(told, told),
            white=np.vstack([self.white, row]),
        )


def condition(
    covariance: Covariance,
    cells: Places,
    area: Float64,
    towers: Places,
    noise: Float64,
    candidates: Places,
) -> Conditioned:
    """Sums over cells of area times field, and the field at candidates, given towers.

    area : (R, n), one row a sum. noise : (towers,) > 0, variance of what a tower sees beside the field.

    Raises:
        InputError: a noise that is not above 0.
    """
    if not (np.asarray(noise) > 0).all():
        raise InputError(f"towers: expected noise variances above 0; found {np.min(noise):g}.")
    n_sums = len(area)
    sums, with_sums = np.zeros((n_sums, n_sums)), np.zeros((len(candidates), n_sums))
    of_towers = np.zeros((len(towers), n_sums))
    for k in range(0, len(cells), BLOCK):
        some = cells.take(slice(k, k + BLOCK))
        own = area[:, k : k + BLOCK].T
        with_sums += covariance(candidates, some) @ own
        of_towers += covariance(towers, some) @ own
        sums += area @ covariance(cells, some) @ own
    sums = 0.5 * (sums + sums.T)
    start = covariance(candidates.take(slice(1)), candidates.take(slice(1)))[0, 0] if len(candidates) else 0.0
    variance = np.full(len(candidates), start)
    if not len(towers):
        return Conditioned(covariance, candidates, with_sums, variance, sums, np.zeros((0, len(candidates))))
    lower = cholesky(covariance(towers, towers) + np.diag(noise), lower=True)
    white = solve_triangular(lower, covariance(towers, candidates), lower=True)
    told = solve_triangular(lower, of_towers, lower=True)
    return Conditioned(
        covariance,
        candidates,
        with_sums - white.T @ told,
        np.maximum(variance - (white**2).sum(axis=0), 0.0),
        sums - told.T @ told,
        white,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Coverage:
    """How unlike the network the cells are; a value: `with_tower` makes the next."""

    nearest: Float64
    """(n,) dissimilarity of each cell to the tower most like it."""
    between: npt.NDArray[np.float32]
    """(m, n) dissimilarity of each candidate to each cell."""
    weight: Float64
    """(n,) area."""

    def removed(self) -> Float64:
        """(m,) area-weighted dissimilarity that a tower at each candidate would remove."""
        out = np.empty(len(self.between))
        for k in range(0, len(out), BLOCK):
            less = self.nearest[None] - self.between[k : k + BLOCK]
            out[k : k + BLOCK] = np.maximum(less, 0.0) @ self.weight
        return out

    def total(self) -> float:
        """Area-weighted sum of the dissimilarity."""
        return float(self.nearest @ self.weight)

    def with_tower(self, j: int) -> Coverage:
        """The same with one more tower, at candidate j."""
        return replace(self, nearest=np.minimum(self.nearest, self.between[j].astype(np.float64)))


def cover(cells: Places, weight: Float64, towers: Places, candidates: Places) -> Coverage:
    """Dissimilarity of cells to towers, and of candidates to cells.

    Raises:
        InputError: no tower.
    """
    if not len(towers):
        raise InputError("dissimilarity: expected at least one tower on the grid; found none.")
    nearest = np.empty(len(cells))
    for k in range(0, len(cells), BLOCK):
        nearest[k : k + BLOCK] = dissimilarity(cells.take(slice(k, k + BLOCK)), towers).min(axis=1)
    between = np.empty((len(candidates), len(cells)), np.float32)
    for k in range(0, len(candidates), BLOCK):
        between[k : k + BLOCK] = dissimilarity(candidates.take(slice(k, k + BLOCK)), cells)
    return Coverage(nearest, between, weight)


def best(score: Float64, taken: list[int]) -> int:
    """The candidate with the largest score that is not taken; of equals the first.

    Raises:
        InputError: all are taken.
    """
    left = score.copy()
    left[np.asarray(taken, np.int64)] = -np.inf
    if not len(left) or np.isneginf(left).all():
        raise InputError(
            f"candidates: {len(score)}, of which {len(taken)} are taken; expected more places than towers."
        )
    return int(np.argmax(left))


def distance_km(a: Places, b: Places) -> Float64:
    """(n, m) great-circle distance."""
    return arc_km(chords(a, b))
