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
_NOISE = 3e-12
"""Overlaps below this share of the smaller cell are rounding, and are dropped."""


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
        return Overlap(
            src, dst, _lat_overlap(src.y_edges, dst.y_edges), _lon_overlap(src.x_edges, dst.x_edges)
        )
    if isinstance(src, EqualAreaGrid) and isinstance(dst, EqualAreaGrid):
        return Overlap(
            src, dst, interval_overlap(src.y_edges, dst.y_edges), interval_overlap(src.x_edges, dst.x_edges)
        )
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
    sectors = _Sectors(
        polar_radius_m(lat_edges[::-1]), np.radians(lon_edges - lon_edges[0]), np.radians(lon_edges[0])
    )
    n_cells = (y_edges.size - 1) * n_x
    blocks = []
    for first in range(0, n_cells, _BLOCK):
        j, i = np.divmod(np.arange(first, min(first + _BLOCK, n_cells)), n_x)
        rect = _Rectangles(x_edges[i], x_edges[i + 1], y_edges[j], y_edges[j + 1])
        target, ring, column, area = _overlap_block(sectors, rect)
        keep = column < n_lon
        source = (n_lat - 1 - ring[keep]) * n_lon + column[keep]
        blocks.append(_csr(area[keep], target[keep], source, (j.size, n_lat * n_lon)))
    return sp.csr_array(sp.vstack(blocks, format="csr"))


@dataclass(frozen=True)
class _Sectors:
    """Circles (ascending radius, m) and meridians (ascending angle from the first, radians)."""

    radii: Array
    angles: Array
    start: float

    @property
    def columns(self) -> int:
        """Columns around the full circle: those between meridians, and one for the gap if they do not close."""
        return self.angles.size - 1 + int(self.angles[-1] < 2 * np.pi - 1e-11)

    def unrolled(self) -> Array:
        """Angles of the meridians over two turns, so that no edge (always < half a turn) meets a seam."""
        once = self.angles if self.columns == self.angles.size else self.angles[:-1]
        return np.concatenate([once, once + 2 * np.pi, once[:1] + 4 * np.pi])

    def angle(self, x: Array, y: Array) -> Array:
        """Longitude of points of the plane measured from the first meridian, radians in 0..2 pi."""
        turned = np.mod(np.arctan2(x, -y) - self.start, 2 * np.pi)
        return np.where(turned >= 2 * np.pi, 0.0, turned)


@dataclass(frozen=True)
class _Rectangles:
    x0: Array
    x1: Array
    y0: Array
    y1: Array

    def take(self, index: Index) -> _Rectangles:
        return _Rectangles(self.x0[index], self.x1[index], self.y0[index], self.y1[index])

    @property
    def area(self) -> Array:
        return (self.x1 - self.x0) * (self.y1 - self.y0)


def _overlap_block(sec: _Sectors, rect: _Rectangles) -> tuple[Index, Index, Index, Array]:
    """Non-zero overlaps: rectangle, ring (counted outward), column, area in m2."""
    near = np.hypot(
        np.maximum(np.maximum(rect.x0, -rect.x1), 0.0), np.maximum(np.maximum(rect.y0, -rect.y1), 0.0)
    )
    far = np.hypot(np.maximum(-rect.x0, rect.x1), np.maximum(-rect.y0, rect.y1))
    inner = np.searchsorted(sec.radii, near, side="right") - 1
    outer = np.searchsorted(sec.radii, far, side="left") - 1
    reached = (inner < sec.radii.size - 1) & (outer >= 0)
    inner, outer = np.maximum(inner, 0), np.minimum(outer, sec.radii.size - 2)

    corners = [sec.angle(x, y) for x in (rect.x0, rect.x1) for y in (rect.y0, rect.y1)]
    spread = np.max(corners, axis=0) - np.min(corners, axis=0)
    columns = [np.searchsorted(sec.angles, c, side="right") - 1 for c in corners]
    whole = (
        reached
        & (inner == outer)
        & (sec.radii[inner] <= near)
        & (sec.radii[outer + 1] >= far)
        & (np.min(columns, axis=0) == np.max(columns, axis=0))
        & (spread < np.pi)
    )
    simple = np.flatnonzero(whole)
    cut = np.flatnonzero(reached & ~whole)
    target, ring, column, area = _cut_rectangles(sec, rect.take(cut), near[cut], inner[cut], outer[cut])
    return (
        np.concatenate([simple, cut[target]]),
        np.concatenate([inner[simple], ring]),
        np.concatenate([np.minimum(columns[0][simple], sec.columns - 1), column]),
        np.concatenate([rect.area[simple], area]),
    )


def _cut_rectangles(
    sec: _Sectors, rect: _Rectangles, near: Array, inner: Index, outer: Index
) -> tuple[Index, Index, Index, Array]:
    """Overlaps of rectangles that meet more than one cell, by the boundary integral of the module's docstring."""
    n = near.size
    owner = np.tile(np.arange(n), 4)
    fixed = np.concatenate([rect.y0, rect.x1, rect.y1, rect.x0])
    low = np.concatenate([rect.x0, rect.y0, rect.x0, rect.y0])
    high = np.concatenate([rect.x1, rect.y1, rect.x1, rect.y1])
    flat = np.repeat([True, False, True, False], n)
    forward = np.repeat([-1.0, 1.0, 1.0, -1.0], n)
    on = fixed != 0.0  # an edge on a line through the pole sweeps no area
    owner, fixed, low, high, flat, forward = (v[on] for v in (owner, fixed, low, high, flat, forward))

    # Along each edge t grows with longitude, from the foot of the perpendicular from the pole (length d).
    d = np.abs(fixed)
    sign = forward * np.sign(fixed)
    turned = flat == (fixed > 0)
    t0, t1 = np.where(turned, -high, low), np.where(turned, -low, high)
    v0, v1 = np.where(turned, high, low), np.where(turned, low, high)
    a0 = sec.angle(np.where(flat, v0, fixed), np.where(flat, fixed, v0))
    a1 = sec.angle(np.where(flat, v1, fixed), np.where(flat, fixed, v1))
    a1 = np.where(a1 < a0, a1 + 2 * np.pi, a1)
    foot = sec.angle(np.where(flat, 0.0, fixed), np.where(flat, fixed, 0.0))

    # Cut the edges at the meridians.
    nodes = sec.unrolled()
    first = np.searchsorted(nodes, a0, side="right") - 1
    last = np.maximum(np.searchsorted(nodes, a1, side="left") - 1, first)
    edge, step = _expand(last - first + 1)
    node = first[edge] + step
    ends = []
    for cut_at, own, angle_end, t_end in (
        (node, step == 0, a0, t0),
        (node + 1, node == last[edge], a1, t1),
    ):
        meridian = nodes[cut_at]
        with np.errstate(over="ignore", invalid="ignore"):
            t = d[edge] * np.tan(np.mod(meridian - foot[edge] + np.pi, 2 * np.pi) - np.pi)
        ends.append((np.where(own, angle_end[edge], meridian), np.where(own, t_end[edge], t)))
    (from_angle, from_t), (to_angle, to_t) = ends

    # Integrate over every circle that the rectangle meets. A circle at or inside the nearest point adds nothing.
    inside = inner + (sec.radii[inner] <= near)
    piece, step = _expand((outer + 2 - inside)[owner[edge]])
    of_edge = edge[piece]
    of_rect = owner[of_edge]
    circle = inside[of_rect] + step
    swept = sign[of_edge] * _swept(
        d[of_edge], from_t[piece], to_t[piece], from_angle[piece], to_angle[piece], sec.radii[circle]
    )
    column = (node % sec.columns)[piece]

    adds, subtracts = circle > inner[of_rect], circle <= outer[of_rect]
    n_rings = sec.radii.size - 1
    total = _csr(
        np.concatenate([swept[adds], -swept[subtracts]]),
        np.concatenate([of_rect[adds], of_rect[subtracts]]),
        np.concatenate(
            [
                (circle[adds] - 1) * sec.columns + column[adds],
                circle[subtracts] * sec.columns + column[subtracts],
            ]
        ),
        (n, n_rings * sec.columns),
    ).tocoo()
    ring, column = np.divmod(total.col.astype(np.int64), sec.columns)
    sector = np.diff(sec.radii**2)[ring] * np.diff(sec.unrolled())[column] / 2
    keep = total.data > _NOISE * np.minimum(rect.area[total.row], sector)
    # Sweeps from the pole leave up to 3e-3 m2 of rounding in a single overlap, but none in a rectangle's sum.
    row, area = total.row[keep].astype(np.int64), total.data[keep]
    sums, kept = (np.bincount(r, weights=v, minlength=n) for r, v in ((total.row, total.data), (row, area)))
    scale = np.divide(sums, kept, out=np.ones(n), where=kept > 0.0)
    return row, ring[keep], column[keep], area * scale[row]


def _swept(d: Array, t0: Array, t1: Array, a0: Array, a1: Array, radius: Array) -> Array:
    """Area in m2 swept by the radius vector, cut off at ``radius``, along a straight piece at distance ``d``.

    t0 < t1 : position along the line from the foot of the perpendicular, m.   a0 < a1 : the same ends as angles.
    """
    half = np.sqrt(np.maximum(radius**2 - d**2, 0.0))
    enter, leave = np.clip(t0, -half, half), np.clip(t1, -half, half)
    straight = np.where((enter == t0) & (leave == t1), a1 - a0, np.arctan2(leave, d) - np.arctan2(enter, d))
    return 0.5 * (d * (leave - enter) + radius**2 * ((a1 - a0) - straight))


def _expand(counts: Index) -> tuple[Index, Index]:
    """Repeat each index ``counts`` times; also the running number within each group."""
    index = np.repeat(np.arange(counts.size), counts)
    return index, np.arange(index.size) - np.repeat(np.cumsum(counts) - counts, counts)


def _csr(values: Array, rows: Index, cols: Index, shape: tuple[int, int]) -> sp.csr_array:
    """Sparse matrix with duplicates added up."""
    return sp.csr_array(sp.coo_array((values, (rows, cols)), shape=shape).tocsr())
