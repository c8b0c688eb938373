"""How much of each source cell lies in each target cell: exact overlap areas in m2 as sparse matrices (kernels).

Grids of one kind overlap as products of one-dimensional overlaps. Between longitude-latitude cells and polar
equal-area cells the overlap is in closed form too: on the EPSG:6931 plane a longitude-latitude cell is a sector of
an annulus around the origin, and by Green's theorem the area of {inside the target, nearer to the pole than R,
between two meridians} is ``1/2 * integral of min(r, R)**2 dlambda`` along the target's edges between the meridians,
where r is the distance of the edge from the pole. Along a straight edge this integral is a triangle plus arcs.
No polygon is built, no parallel is replaced by chords. All targets that share an edge use identical numbers for it
with opposite sign, so overlaps sum to the cells they tile to round-off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from talik.regions.ellipsoid import A_M, Array, band_q, polar_radius_m
from talik.regions.grid import EqualAreaGrid, Grid, LatLonGrid

Index = NDArray[np.int64]
_BLOCK = 200_000
"""Target cells handled at once; bounds working memory to about 300 MB."""


@dataclass(frozen=True, eq=False)
class Overlap:
    """Overlap areas in m2 between the cells of ``src`` and ``dst``.

    Held either as one matrix ``(dst cells, src cells)`` (``right`` is None), or, between grids of one kind, as two
    small factors whose product it is: rows ``left`` (dst rows, src rows) and columns ``right``.
    """

    src: Grid
    dst: Grid
    left: sp.csr_array
    right: sp.csr_array | None = None

    def matrix(self) -> sp.csr_array:
        """The overlap areas as one sparse matrix, m2, (dst cells, src cells), cells in C order."""
        if self.right is None:
            return self.left
        return sp.csr_array(sp.kron(self.left, self.right, format="csr"))

    def transfer(self, values: Array) -> Array:
        """Sum over source cells of overlap area x value: ``(..., *src.shape)`` to ``(..., *dst.shape)``."""
        lead = values.shape[:-2]
        if self.right is None:
            flat = values.reshape(-1, self.src.size)
            return np.ascontiguousarray((self.left @ flat.T).T).reshape(*lead, *self.dst.shape)
        (rows, cols), (src_rows, src_cols) = self.dst.shape, self.src.shape
        half = self.right @ values.reshape(-1, src_cols).T  # (dst cols, lead * src rows)
        half = half.reshape(cols, -1, src_rows).transpose(2, 1, 0).reshape(src_rows, -1)
        full = (self.left @ half).reshape(rows, -1, cols).transpose(1, 0, 2)
        return np.ascontiguousarray(full).reshape(*lead, rows, cols)

    def reverse(self) -> Overlap:
        """The same overlaps seen from the other side (source and target exchanged)."""
        right = None if self.right is None else sp.csr_array(self.right.T)
        return Overlap(self.dst, self.src, sp.csr_array(self.left.T), right)

    @property
    def nbytes(self) -> int:
        """Memory held by the weights, bytes."""
        held = [self.left] if self.right is None else [self.left, self.right]
        return sum(m.data.nbytes + m.indices.nbytes + m.indptr.nbytes for m in held)


def overlap(src: Grid, dst: Grid) -> Overlap:
    """Overlap areas of every pair of cells, exact on the WGS84 ellipsoid.

    Cells that do not meet the other grid get empty rows or columns; longitudes match modulo 360.
    """
    if isinstance(src, LatLonGrid) and isinstance(dst, LatLonGrid):
        return Overlap(src, dst, _lat_overlap(src.y_edges, dst.y_edges), _lon_overlap(src.x_edges, dst.x_edges))
    if isinstance(src, EqualAreaGrid) and isinstance(dst, EqualAreaGrid):
        return Overlap(src, dst, interval_overlap(src.y_edges, dst.y_edges), interval_overlap(src.x_edges, dst.x_edges))
    if isinstance(src, LatLonGrid) and isinstance(dst, EqualAreaGrid):
        return Overlap(src, dst, sector_overlap(src.y_edges, src.x_edges, dst.y_edges, dst.x_edges))
    return overlap(dst, src).reverse()


def interval_overlap(src: Array, dst: Array) -> sp.csr_array:
    """Lengths of overlap of the intervals between ascending edges, (dst intervals, src intervals)."""
    rows, cols, low, high = _pairs(src, dst)
    return _csr(high - low, rows, cols, (dst.size - 1, src.size - 1))


def _lat_overlap(src: Array, dst: Array) -> sp.csr_array:
    rows, cols, low, high = _pairs(src, dst)
    return _csr(0.5 * A_M**2 * band_q(low, high), rows, cols, (dst.size - 1, src.size - 1))


def _lon_overlap(src: Array, dst: Array) -> sp.csr_array:
    """Radians; a source column that meets a target on both sides of the seam counts twice, as it should."""
    total = sp.csr_array((dst.size - 1, src.size - 1))
    for turn in (-360.0, 0.0, 360.0):
        total = total + interval_overlap(np.radians(src + turn), np.radians(dst))
    return sp.csr_array(total)


def _pairs(src: Array, dst: Array) -> tuple[Index, Index, Array, Array]:
    """Overlapping pairs of intervals: target index, source index, and the ends of the common part."""
    nodes = np.union1d(src, dst)
    low, high = nodes[:-1], nodes[1:]
    mid = 0.5 * (low + high)
    cols = np.searchsorted(src, mid) - 1
    rows = np.searchsorted(dst, mid) - 1
    inside = (cols >= 0) & (cols < src.size - 1) & (rows >= 0) & (rows < dst.size - 1)
    return rows[inside], cols[inside], low[inside], high[inside]


def sector_overlap(lat_edges: Array, lon_edges: Array, y_edges: Array, x_edges: Array) -> sp.csr_array:
    """Areas in m2 shared by longitude-latitude cells and rectangles of the EPSG:6931 plane.

    lat_edges, lon_edges : ascending, degrees, any spacing.   y_edges, x_edges : ascending, m.
    Returns (rectangles, longitude-latitude cells), both in C order, row first.
    """
    n_lat, n_lon, n_x = lat_edges.size - 1, lon_edges.size - 1, x_edges.size - 1
    sectors = _Sectors(polar_radius_m(lat_edges[::-1]), np.radians(lon_edges - lon_edges[0]))
    start = np.radians(lon_edges[0])
    parts: list[tuple[Index, Index, Array]] = []
    n_cells = (y_edges.size - 1) * n_x
    for first in range(0, n_cells, _BLOCK):
        cell = np.arange(first, min(first + _BLOCK, n_cells))
        j, i = np.divmod(cell, n_x)
        target, ring, column, area = _rectangles(
            sectors, start, x_edges[i], x_edges[i + 1], y_edges[j], y_edges[j + 1]
        )
        keep = (column < n_lon) & (area > 0.0)
        source = (n_lat - 1 - ring[keep]) * n_lon + column[keep]
        block = _csr(area[keep], target[keep], source, (cell.size, n_lat * n_lon))
        parts.append(block)
    return sp.csr_array(sp.vstack(parts, format="csr"))


@dataclass(frozen=True)
class _Sectors:
    """Circles (ascending radius, m) and meridians (ascending angle from the first, radians)."""

    radii: Array
    angles: Array

    @property
    def columns(self) -> int:
        """Columns around the full circle: those between meridians, and one for the gap if they do not close."""
        return self.angles.size - 1 + int(self.angles[-1] < 2 * np.pi - 1e-11)

    def unrolled(self) -> Array:
        """Angles of the meridians over two turns, so that no edge (always < half a turn) meets a seam."""
        once = self.angles if self.columns == self.angles.size else self.angles[:-1]
        return np.concatenate([once, once + 2 * np.pi, once[:1] + 4 * np.pi])
