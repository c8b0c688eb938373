"""Share of each grid cell inside polygons, exact for polygons in the plane (kernel).

Each directed edge adds the area between itself and the right side of its own cell, and raises everything farther
right in its row by the height it climbs; a running sum along the rows then gives every cell's area inside. The cost
follows the length of the boundary plus one pass over the grid; holes, islands and shared borders need no special care.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from talik.regions.ellipsoid import Array


class Edges(NamedTuple):
    """Directed straight edges of rings: outer rings counter-clockwise, holes clockwise; all shape (n,)."""

    x0: Array
    y0: Array
    x1: Array
    y1: Array


def covered_area(edges: Edges, x_edges: Array, y_edges: Array) -> Array:
    """Area of the polygons inside each cell, (rows, columns), in the square of the coordinates' unit.

    Parts outside the grid are ignored. x_edges, y_edges : ascending.
    """
    rows, cols = y_edges.size - 1, x_edges.size - 1
    x0, y0, x1, y1 = _split(edges.x0, edges.y0, edges.x1, edges.y1, y_edges)
    inside = (np.maximum(y0, y1) > y_edges[0]) & (np.minimum(y0, y1) < y_edges[-1]) & (y0 != y1)
    inside &= np.minimum(x0, x1) < x_edges[-1]
    y0, x0, y1, x1 = _split(y0[inside], x0[inside], y1[inside], x1[inside], x_edges)
    # What lies left of the grid still raises every cell to its right.
    x0, x1 = np.maximum(x0, x_edges[0]), np.maximum(x1, x_edges[0])
    mid_x, mid_y = 0.5 * (x0 + x1), 0.5 * (y0 + y1)
    keep = (mid_x < x_edges[-1]) & (mid_y > y_edges[0]) & (mid_y < y_edges[-1])
    mid_x, mid_y, climb = mid_x[keep], mid_y[keep], (y0 - y1)[keep]
    row = np.clip(np.searchsorted(y_edges, mid_y, side="right") - 1, 0, rows - 1)
    col = np.clip(np.searchsorted(x_edges, mid_x, side="right") - 1, 0, cols - 1)
    cell = row * cols + col
    own = np.bincount(cell, weights=climb * (x_edges[col + 1] - mid_x), minlength=rows * cols)
    raised = np.bincount(cell, weights=climb, minlength=rows * cols).reshape(rows, cols)
    before = np.zeros((rows, cols))
    np.cumsum(raised[:, :-1], axis=1, out=before[:, 1:])
    area: Array = own.reshape(rows, cols) + before * np.diff(x_edges)
    return area


def _split(u0: Array, v0: Array, u1: Array, v1: Array, lines: Array) -> tuple[Array, Array, Array, Array]:
    """Cut edges where their second coordinate v crosses ``lines`` (ascending); pieces keep their direction."""
    low, high = np.minimum(v0, v1), np.maximum(v0, v1)
    first = np.searchsorted(lines, low, side="right")
    count = np.maximum(np.searchsorted(lines, high, side="left") - first, 0) + 1
    edge = np.repeat(np.arange(count.size), count)
    step = np.arange(edge.size) - np.repeat(np.cumsum(count) - count, count)
    begin, end = step == 0, step == count[edge] - 1
    up = (v1 >= v0)[edge]
    last_line = (first + count - 2)[edge]
    into = np.clip(np.where(up, first[edge] + step - 1, last_line - step + 1), 0, lines.size - 1)
    out_of = np.clip(np.where(up, first[edge] + step, last_line - step), 0, lines.size - 1)
    va, vb = np.where(begin, v0[edge], lines[into]), np.where(end, v1[edge], lines[out_of])
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = np.where(v1 != v0, (u1 - u0) / (v1 - v0), 0.0)[edge]
    ua = np.where(begin, u0[edge], u0[edge] + slope * (va - v0[edge]))
    ub = np.where(end, u1[edge], u0[edge] + slope * (vb - v0[edge]))
    return ua, va, ub, vb
