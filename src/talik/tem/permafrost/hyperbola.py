"""A hyperbola through the soil carbon of four depth intervals, which carries it below 3 m; on NumPy arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

INTERVAL_EDGES_M: Array = np.array([0.0, 0.3, 1.0, 2.0, 3.0])
"""Edges of the four intervals in which soil carbon is observed (Hugelius et al. 2013)."""
B_RANGE_M = (0.01, 50.0)
"""Values of b that are tried; at the upper end the profile is flat for all that 3 m can tell."""

_LOG_B: Array = np.log(np.geomspace(B_RANGE_M[0], B_RANGE_M[1], 200))
_STEP = float(_LOG_B[1] - _LOG_B[0])
_WEIGHTS: Array = 1.0 / np.diff(INTERVAL_EDGES_M)[:, None]
"""Squared errors of the mean density count by thickness: those of the stock by its inverse."""
_PIECE = 4096
"""Cells that are fitted at once: 200 values of b for each take 7 MB."""


class Hyperbola(NamedTuple):
    """Carbon density a / (z + b) in kg m-3 at depth z in m, or a constant; each (cell,).

    a : kg m-2, at least 0.     b : m, in `B_RANGE_M`.
    flat : kg m-3 at every depth of a cell whose b ran to the upper limit, NaN where the hyperbola holds.
    """

    a: Array
    b: Array
    flat: Array

    def stock(self, edges_m: Array) -> Array:
        """Carbon between consecutive depths (layer + 1,), kg m-2, (layer, cell)."""
        constant = self.flat * np.diff(edges_m)[:, None]
        return np.where(np.isnan(self.flat), self.a * _shape(edges_m, self.b), constant)


def fit_hyperbola(stocks: Array) -> Hyperbola:
    """The hyperbola nearest to observed stocks, for each cell.

    stocks : (4, cell) carbon in the intervals of `INTERVAL_EDGES_M`, kg m-2, at least 0; NaN gives NaN.

    Least squares of the mean density of the intervals, weighted by their thickness: a in closed form for each of 200
    values of b that are evenly spaced in ln b, then parabolas through ever closer values around the best. A profile
    that does not fall with depth has its best b at the upper limit; it is taken to be constant, with the density of
    2-3 m or the mean of 0-3 m, whichever is less. Liu et al. (2024) extend carbon below 3 m by a hyperbola; weights,
    limits and the constant are choices made here, because the paper does not print them.
    """
    cells = stocks.shape[1]
    log_b = np.empty(cells)
    last = np.empty(cells, dtype=np.bool_)
    for start in range(0, cells, _PIECE):
        piece = slice(start, start + _PIECE)
        best = _best_of_grid(stocks[:, piece])
        log_b[piece] = _refined(stocks[:, piece], _LOG_B[best])
        last[piece] = best == _LOG_B.size - 1
    b = np.exp(log_b)
    thickness = np.diff(INTERVAL_EDGES_M)
    constant = np.minimum(stocks[3] / thickness[3], stocks.sum(axis=0) / thickness.sum())
    return Hyperbola(_scale(stocks, b), b, np.where(last, constant, np.nan))


def _best_of_grid(stocks: Array) -> npt.NDArray[np.int64]:
    """Index into the grid of b with the least squared error, (cell,)."""
    shapes = _shape(INTERVAL_EDGES_M, np.exp(_LOG_B))
    explained = ((shapes * _WEIGHTS).T @ stocks) ** 2 / (_WEIGHTS * shapes**2).sum(axis=0)[:, None]
    return np.asarray(explained.argmax(axis=0), dtype=np.int64)


def _refined(stocks: Array, log_b: Array) -> Array:
    """ln b at the bottom of parabolas through the error at three values, (cell,)."""
    for step in (_STEP, _STEP / 16.0, _STEP / 256.0):
        below, here, above = (_error(stocks, np.exp(log_b + k * step)) for k in (-1, 0, 1))
        curvature = below - 2.0 * here + above
        bent = curvature > 0.0
        shift = 0.5 * (below - above) / np.where(bent, curvature, 1.0)
        moved = np.clip(log_b + np.where(bent, np.clip(shift, -1.0, 1.0), 0.0) * step, *np.log(B_RANGE_M))
        log_b = np.where(_error(stocks, np.exp(moved)) < here, moved, log_b)
    return log_b


def _error(stocks: Array, b: Array) -> Array:
    """Weighted squared error of the best hyperbola with given b, kg2 m-5, (cell,)."""
    misfit = stocks - _scale(stocks, b) * _shape(INTERVAL_EDGES_M, b)
    error: Array = (_WEIGHTS * misfit**2).sum(axis=0)
    return error


def _scale(stocks: Array, b: Array) -> Array:
    """The best a for given b, kg m-2, (cell,)."""
    shape = _shape(INTERVAL_EDGES_M, b)
    scale: Array = (_WEIGHTS * stocks * shape).sum(axis=0) / (_WEIGHTS * shape**2).sum(axis=0)
    return scale


def _shape(edges_m: Array, b: Array) -> Array:
    """Integral of 1 / (z + b) between consecutive depths, (layer, b)."""
    return np.log1p(np.diff(edges_m)[:, None] / (edges_m[:-1, None] + b))
