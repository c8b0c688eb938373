"""The compiled part of Shapley values: products along the paths of trees, at quadrature points, on plain arrays."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from talik.errors import InputError
from talik.upscaling.trees import Float32, Float64, Trees


class PathForest(NamedTuple):
    """The trees and what does not depend on the row; an edge has the number of the node it leads to."""

    offset: npt.NDArray[np.int64]
    feature: npt.NDArray[np.int16]
    threshold: Float32
    levels: npt.NDArray[np.uint64]
    left: npt.NDArray[np.int32]
    value: Float64
    n_levels: npt.NDArray[np.int16]
    parent: npt.NDArray[np.int32]
    """(N,) the node an edge comes from, -1 at a root."""
    above: npt.NDArray[np.int32]
    """(N,) the nearest edge higher up that splits on the same predictor, -1 if none."""
    share: Float64
    """(N,) share of the responses that follow an edge and all edges above it with the same predictor."""
    points: Float64
    """(Q,) quadrature points t in 0..1."""
    weights: Float64
    """(Q,) their weights."""
    slope_off: Float64
    """(Q,) -1 / (1 - t), the derivative of the log of the factor of a predictor that the row does not follow."""


class _Path(NamedTuple):
    """Where one row stands in one tree; rows are nodes counted from the root, columns quadrature points."""

    product: Float64
    """(n, Q) product over the predictors of the path of t known + (1 - t) share; in a leaf times its value."""
    inverse: Float64
    """(n, Q) 1 / (t + (1 - t) share) of the edge to the node."""
    known: npt.NDArray[np.bool_]
    """(n,) whether the row follows the edge to the node and all edges above it with the same predictor."""


def prepared(trees: Trees) -> PathForest:
    """The trees with their edges, and points and weights on 0..1 that integrate the longest path exactly.

    Raises:
        InputError: a node without responses.
    """
    if not (trees.cover > 0).all():
        raise InputError(
            "a node of the trees holds no training response (cover 0); Shapley values need all covers."
        )
    parent, above, share, longest = _edges(trees.feature, trees.left, trees.cover)
    points, weights = np.polynomial.legendre.leggauss(max(1, (longest + 1) // 2))
    points = 0.5 * (points + 1.0)
    t = trees
    known_by_trees = (t.offset, t.feature, t.threshold, t.levels, t.left, t.value, t.n_levels)
    return PathForest(*known_by_trees, parent, above, share, points, 0.5 * weights, -1.0 / (1.0 - points))


@numba.njit(cache=True, nogil=True)
def _edges(feature, left, cover):  # type: ignore[no-untyped-def]
    """parent, above, share of `PathForest`, and the largest number of distinct predictors on a path."""
    n = len(feature)
    parent, above = np.full(n, -1, np.int32), np.full(n, -1, np.int32)
    distinct = np.zeros(n, np.int64)
    share = np.ones(n)
    for node in range(n):
        if feature[node] < 0:
            continue
        at = node
        while parent[at] >= 0 and feature[parent[at]] != feature[node]:
            at = parent[at]
        first = parent[at] < 0
        both = cover[left[node]] + cover[left[node] + 1]
        for child in range(left[node], left[node] + 2):
            parent[child] = node
            above[child] = -1 if first else at
            share[child] = cover[child] / both * (1.0 if first else share[at])
            distinct[child] = distinct[node] + (1 if first else 0)
    return parent, above, share, distinct.max()


@numba.njit(cache=True, nogil=True)
def expected_values(offset, feature, left, value, cover):  # type: ignore[no-untyped-def]
    """(T,) mean leaf value of every tree, each leaf counted by its share of the responses."""
    mean = value.copy()
    for node in range(len(feature) - 1, -1, -1):
        if feature[node] >= 0:
            a, b = left[node], left[node] + 1
            mean[node] = (cover[a] * mean[a] + cover[b] * mean[b]) / (cover[a] + cover[b])
    return mean[offset[:-1]]


@numba.njit(cache=True, nogil=True)
def _empty_path(forest):  # type: ignore[no-untyped-def]
    largest, n_points = np.max(np.diff(forest.offset)), len(forest.points)
    return _Path(np.empty((largest, n_points)), np.empty((largest, n_points)), np.empty(largest, np.bool_))


@numba.njit(cache=True, nogil=True)
def _invert(forest, root, end, path):  # type: ignore[no-untyped-def]
    """Fill path.inverse for one tree."""
    points = forest.points
    for node in range(root, end):
        for q in range(len(points)):
            path.inverse[node - root, q] = 1.0 / (points[q] + (1.0 - points[q]) * forest.share[node])


@numba.njit(cache=True, nogil=True)
def _descend(forest, root, end, row, path):  # type: ignore[no-untyped-def]
    """Fill path.product and path.known for one tree and one row; parents come before their children."""
    points, share = forest.points, forest.share
    product, inverse, known = path.product, path.inverse, path.known
    n_points = len(points)
    product[0, :] = 1.0
    for node in range(root, end):
        here, f = node - root, forest.feature[node]
        if f < 0:
            for q in range(n_points):
                product[here, q] *= forest.value[node]
            continue
        a, before = forest.left[node], forest.above[forest.left[node]]
        if before >= 0 and not known[before - root]:
            known[a - root], known[a - root + 1] = False, False
            to_a, to_b = share[a] / share[before], share[a + 1] / share[before]
            for q in range(n_points):
                product[a - root, q] = product[here, q] * to_a
                product[a - root + 1, q] = product[here, q] * to_b
            continue
        if forest.n_levels[f] == 0:
            goes_left = row[f] <= forest.threshold[node]
        else:
            goes_left = (forest.levels[node] >> np.uint64(row[f])) & np.uint64(1) == np.uint64(1)
        on, off = (a - root, a - root + 1) if goes_left else (a - root + 1, a - root)
        known[on], known[off] = True, False
        share_on, share_off = share[root + on], share[root + off]
        if before < 0:
            for q in range(n_points):
                product[on, q] = product[here, q] * (points[q] + (1.0 - points[q]) * share_on)
                product[off, q] = product[here, q] * ((1.0 - points[q]) * share_off)
        else:
            for q in range(n_points):
                others = product[here, q] * inverse[before - root, q]
                product[on, q] = others * (points[q] + (1.0 - points[q]) * share_on)
                product[off, q] = others * ((1.0 - points[q]) * share_off)


@numba.njit(cache=True, nogil=True)
def _ascend(forest, root, end, path, total, total_off):  # type: ignore[no-untyped-def]
    """Sum leaves upwards and fill total - total_off / (1 - t), the derivative for each predictor at each point.

    The derivative for predictor i is the product times (known - share) / factor at the last edge of i on the path:
    (1 - share) / (t + (1 - t) share) if known, -1 / (1 - t) if not. Below an edge, it changes by the difference to
    the edge above with predictor i; below an unknown edge it no longer changes.
    """
    share, product, inverse = forest.share, path.product, path.inverse
    n_points = len(forest.points)
    total[:] = 0.0
    total_off[:] = 0.0
    for node in range(end - 1, root - 1, -1):
        here, f = node - root, forest.feature[node]
        if f < 0:
            continue
        a, before = forest.left[node] - root, forest.above[forest.left[node]] - root
        if not (path.known[a] or path.known[a + 1]):
            for q in range(n_points):
                product[here, q] = product[a, q] + product[a + 1, q]
            continue
        on, off = (a, a + 1) if path.known[a] else (a + 1, a)
        gain = 1.0 - share[root + on]
        if before + root < 0:
            for q in range(n_points):
                below_on, below_off = product[on, q], product[off, q]
                total[f, q] += below_on * gain * inverse[on, q]
                total_off[f, q] += below_off
                product[here, q] = below_on + below_off
        else:
            gain_before = 1.0 - share[root + before]
            for q in range(n_points):
                below_on, below_off = product[on, q], product[off, q]
                both = below_on + below_off
                total[f, q] += below_on * gain * inverse[on, q] - both * gain_before * inverse[before, q]
                total_off[f, q] += below_off
                product[here, q] = both


@numba.njit(cache=True, nogil=True)
def add_values(forest, x, phi):  # type: ignore[no-untyped-def]
    """Add the Shapley values of the rows x, summed over trees, to phi."""
    points, weights = forest.points, forest.weights
    path = _empty_path(forest)
    total, total_off = np.empty((x.shape[1], len(points))), np.empty((x.shape[1], len(points)))
    for t in range(len(forest.offset) - 1):
        root, end = forest.offset[t], forest.offset[t + 1]
        _invert(forest, root, end, path)
        for i in range(len(x)):
            _descend(forest, root, end, x[i], path)
            _ascend(forest, root, end, path, total, total_off)
            for f in range(x.shape[1]):
                for q in range(len(points)):
                    phi[i, f] += weights[q] * (total[f, q] + total_off[f, q] * forest.slope_off[q])


@numba.njit(cache=True, nogil=True)
def _differentiate_pairs(forest, root, end, path, total):  # type: ignore[no-untyped-def]
    """Add the mixed second derivatives of every pair i < j of predictors at each point to total (p, p, Q)."""
    points, p = forest.points, len(forest.n_levels)
    edges, seen_in = np.empty(p, np.int64), np.full(p, -1, np.int64)
    term = np.empty(len(points))
    for leaf in range(root, end):
        if forest.feature[leaf] >= 0:
            continue
        length, at = 0, leaf
        while forest.parent[at] >= 0:  # the last edge of each predictor on the path
            f = forest.feature[forest.parent[at]]
            if seen_in[f] != leaf:
                seen_in[f] = leaf
                edges[length] = at
                length += 1
            at = forest.parent[at]
        for a in range(1, length):
            f, edge, gain = (
                forest.feature[forest.parent[edges[a]]],
                edges[a] - root,
                1.0 - forest.share[edges[a]],
            )
            for q in range(len(points)):
                slope = gain * path.inverse[edge, q] if path.known[edge] else forest.slope_off[q]
                term[q] = path.product[leaf - root, q] * slope
            for b in range(a):
                g, edge = forest.feature[forest.parent[edges[b]]], edges[b] - root
                low, high = min(f, g), max(f, g)
                if path.known[edge]:
                    gain = 1.0 - forest.share[edges[b]]
                    for q in range(len(points)):
                        total[low, high, q] += term[q] * gain * path.inverse[edge, q]
                else:
                    for q in range(len(points)):
                        total[low, high, q] += term[q] * forest.slope_off[q]


@numba.njit(cache=True, nogil=True)
def add_interactions(forest, x, out):  # type: ignore[no-untyped-def]
    """Add the mixed second derivatives of the rows x, integrated and summed over trees, to out off the diagonal."""
    p = x.shape[1]
    path = _empty_path(forest)
    total = np.zeros((p, p, len(forest.points)))
    for t in range(len(forest.offset) - 1):
        root, end = forest.offset[t], forest.offset[t + 1]
        _invert(forest, root, end, path)
        for i in range(len(x)):
            _descend(forest, root, end, x[i], path)
            total[:] = 0.0
            _differentiate_pairs(forest, root, end, path, total)
            for f in range(p):
                for g in range(f + 1, p):
                    for q in range(len(forest.points)):
                        out[i, f, g] += forest.weights[q] * total[f, g, q]
                    out[i, g, f] = out[i, f, g]
