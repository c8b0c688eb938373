"""Sums over pixels whose posteriors were inferred one by one, under stated assumptions on how their errors go together.

The margins of the pixels say nothing of it. Three assumptions stand side by side: all pixels at the same quantile,
pixels independent of each other, and ranks that follow a Gaussian field in space (a copula). To add members of the same
number is none of them: the order of members means nothing, so it is independence by accident.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.special import ndtr

from talik.errors import InputError
from talik.regions.sphere import arc_km, unit_vectors

Array = NDArray[np.float64]

LENGTHS_KM = (300.0, 1000.0, 3000.0)
ALPHAS = (0.0, 0.25, 0.5)
MOST_EXACT = 4000
"""Pixels up to which the field is exact: 128 MB and a few seconds."""
INDUCING = 2000
"""Places that carry the field of more pixels."""
DRAWS = 4000
_BLOCK_VALUES = 2_000_000
_JITTER = 1e-10


@dataclass(frozen=True, slots=True)
class Kernel:
    """Correlation alpha + (1 - alpha) exp(-distance / length_km) of the normal scores of two pixels."""

    length_km: float
    alpha: float

    def __post_init__(self) -> None:
        if not (self.length_km > 0 and 0 <= self.alpha < 1):
            raise InputError(
                f"kernel: length {self.length_km:g} km, alpha {self.alpha:g}; expected a length above 0 and alpha "
                "from 0 to below 1."
            )


DEFAULT_KERNEL = Kernel(1000.0, 0.25)
"""The middle of the lengths and shares that are reported; nothing published measures either."""


@dataclass(frozen=True, eq=False)
class LocalField:
    """A Gaussian field of unit variance with correlation exp(-distance / length_km) at places on the sphere.

    It is `root` (place, m) times m independent scores, plus independent scores times `rest` (place,), which is 0 where
    the field is exact. The exponential of the great-circle distance is a correlation for every length (Gneiting 2013,
    Bernoulli 19, 1327).
    """

    points: Array
    length_km: float
    root: Array
    rest: Array

    @property
    def exact(self) -> bool:
        """Whether the correlations are those of the kernel."""
        return not self.rest.any()

    def scores(self, rng: np.random.Generator, draws: int) -> Array:
        """Standard normal scores (place, draw)."""
        out = self.root @ rng.standard_normal((self.root.shape[1], draws))
        if not self.exact:
            out += self.rest[:, None] * rng.standard_normal(out.shape)
        return np.asarray(out)

    def sd_error(self, weights: Array) -> float:
        """Relative error of the standard deviation of the weighted sum of scores; weights : (place,), not all 0.

        The exact one is summed over all pairs, so this measures what the inducing places cost. Of local scores alone:
        a shared part (alpha) is always exact and makes the error smaller.
        """
        exact = 0.0
        rows = max(1, _BLOCK_VALUES // weights.size)
        for start in range(0, weights.size, rows):
            at = slice(start, start + rows)
            exact += float(weights[at] @ _correlation(self.points[at], self.points, self.length_km) @ weights)
        held = float(np.sum((weights @ self.root) ** 2) + np.sum((weights * self.rest) ** 2))
        return float(np.sqrt(held / exact)) - 1.0


def local_field(
    lat: Array, lon: Array, length_km: float, *, most: int = MOST_EXACT, inducing: int = INDUCING
) -> LocalField:
    """The field at places (n,) in degrees: exact by Cholesky up to `most` places, else by `inducing` ones.

    With inducing places, chosen each as far as possible from those before (Gonzalez 1985), a place takes the expected
    field given them, and independent noise for the variance this leaves (Snelson and Ghahramani 2006).
    InputError: a place that is no place, or a length that is not above 0.
    """
    Kernel(length_km, 0.0)
    points = unit_vectors(lat, lon)
    n = len(points)
    if n <= most:
        matrix = _correlation(points, points, length_km)
        matrix[np.diag_indices(n)] += _JITTER
        return LocalField(points, length_km, np.asarray(cholesky(matrix, lower=True)), np.zeros(n))
    chosen = points[_spread_out(points, inducing)]
    matrix = _correlation(chosen, chosen, length_km)
    matrix[np.diag_indices(len(chosen))] += _JITTER
    lower = cholesky(matrix, lower=True)
    root = solve_triangular(lower, _correlation(chosen, points, length_km), lower=True).T
    rest = np.sqrt(np.maximum(1.0 - np.sum(root**2, axis=1), 0.0))
    return LocalField(points, length_km, np.ascontiguousarray(root), rest)


def common_quantile(members: Array, weights: Array, levels: Sequence[float]) -> Array:
    """Weighted sums over pixels of their quantiles (variable, region, level): every pixel at the same rank at once.

    members : (variable, pixel, member).     weights : (region, pixel). The widest of all, an envelope.
    """
    _require_finite(members, weights)
    found = np.quantile(members, np.asarray(levels, float), axis=2)
    return np.asarray(np.einsum("qvp,rp->vrq", found, weights))


def independent_sums(members: Array, weights: Array, rng: np.random.Generator, draws: int = DRAWS) -> Array:
    """Draws of weighted sums (variable, region, draw) with a member of each pixel drawn at random.

    members : (variable, pixel, member).     weights : (region, pixel).
    """
    _require_finite(members, weights)
    variables, pixels, count = members.shape
    out = np.empty((variables, weights.shape[0], draws))
    for at in _blocks(pixels, draws):
        chosen = rng.integers(0, count, (pixels, at.stop - at.start))
        for v in range(variables):
            out[v, :, at] = weights @ np.take_along_axis(members[v], chosen, axis=1)
    return out


def copula_sums(
    members: Array,
    weights: Array,
    field: LocalField,
    alphas: Sequence[float],
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> Array:
    """Draws of weighted sums (alpha, variable, region, draw) with ranks that follow a field in space.

    members : (variable, pixel, member).     weights : (region, pixel).     field : at the pixels. The score of a pixel
    is sqrt(alpha) times one that all share plus sqrt(1 - alpha) times that of the field; its rank picks the member of
    that rank, so each pixel keeps its margin exactly. Every variable is ranked by itself: sums of NPP and Rh are not
    draws of one state. The same scores serve all alphas and variables.
    """
    _require_finite(members, weights)
    variables, pixels, count = members.shape
    if len(field.points) != pixels:
        raise InputError(f"copula: field at {len(field.points)} places, members of {pixels} pixels.")
    for alpha in alphas:
        Kernel(field.length_km, alpha)
    ordered = np.sort(members, axis=2)
    out = np.empty((len(alphas), variables, weights.shape[0], draws))
    for at in _blocks(pixels, draws):
        size = at.stop - at.start
        local, shared = field.scores(rng, size), rng.standard_normal(size)
        for a, alpha in enumerate(alphas):
            rank = ndtr(np.sqrt(1.0 - alpha) * local + np.sqrt(alpha) * shared)
            chosen = np.minimum((rank * count).astype(np.intp), count - 1)
            for v in range(variables):
                out[a, v, :, at] = weights @ np.take_along_axis(ordered[v], chosen, axis=1)
    return out


def chosen_sums(members: Array, weights: Array, chosen: NDArray[np.unsignedinteger]) -> Array:
    """Draws of weighted sums (variable, region, draw) of the members that each pixel has in each draw.

    members : (variable, pixel, member).     weights : (region, pixel).     chosen : (pixel, draw).
    """
    _require_finite(members, weights)
    out = np.empty((len(members), weights.shape[0], chosen.shape[1]))
    for at in _blocks(*chosen.shape):
        for v, of in enumerate(members):
            out[v, :, at] = weights @ np.take_along_axis(of, chosen[:, at].astype(np.intp), axis=1)
    return out


def _correlation(one: Array, other: Array, length_km: float) -> Array:
    """exp(-distance / length) of points on the unit sphere, (one, other)."""
    chord = np.sqrt(np.maximum(2.0 - 2.0 * (one @ other.T), 0.0))
    return np.asarray(np.exp(arc_km(chord) / -length_km))


def _spread_out(points: Array, count: int) -> NDArray[np.intp]:
    """Places of `count` points that lie as far from each other as a greedy choice gets them."""
    chosen = np.zeros(count, np.intp)
    closeness = points @ points[0]
    for k in range(1, count):
        chosen[k] = np.argmin(closeness)
        np.maximum(closeness, points @ points[chosen[k]], out=closeness)
    return chosen


def _blocks(pixels: int, draws: int) -> list[slice]:
    step = max(1, _BLOCK_VALUES // pixels)
    return [slice(start, min(start + step, draws)) for start in range(0, draws, step)]


def _require_finite(members: Array, weights: Array) -> None:
    if members.ndim != 3 or weights.ndim != 2 or members.shape[1] != weights.shape[1]:
        raise InputError(
            f"regional sums: members {members.shape}, weights {weights.shape}; expected (variable, pixel, member) and "
            "(region, pixel)."
        )
    if not (np.isfinite(members).all() and np.isfinite(weights).all()):
        raise InputError(
            "regional sums: members or weights that are not finite. Leave pixels without members out, and say so in "
            "the coverage."
        )
