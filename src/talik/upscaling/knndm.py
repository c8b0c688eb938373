"""Folds whose held-out sites are as far from the training sites as the prediction points are (kNNDM)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import cut_tree, linkage
from scipy.stats import ks_2samp, wasserstein_distance

from talik.errors import InputError
from talik.rng import named_rng
from talik.upscaling.distances import arc_km, nearest, nearest_other, nearest_outside, unit_vectors
from talik.upscaling.trees import Float64, Int64

SIGNIFICANCE = 0.05
CANDIDATES = 100
"""Numbers of clusters tried."""
LARGEST_SHARE = 0.5
"""A division with a larger fold is not considered."""


@dataclass(frozen=True, slots=True, eq=False)
class NearestNeighbourFolds:
    """Folds of sites, and how well their distances match those of prediction."""

    fold: Int64
    """(S,) fold of each site, 0 .. k-1."""
    q: int
    """Number of clusters the folds were made from; 0 for random folds."""
    mismatch: float
    """Integral of `|G* - G|` (W of the paper), in the units of the distances."""
    p_clustered: float
    """One-sided p that the sites are no more clustered than the prediction points."""
    tried: tuple[tuple[int, float], ...]
    """Number of clusters and mismatch of every division considered."""

    @property
    def random(self) -> bool:
        return self.q == 0


def geographic_folds(
    site_lat: Float64,
    site_lon: Float64,
    point_lat: Float64,
    point_lon: Float64,
    *,
    k: int = 10,
    seed: int = 448,
) -> NearestNeighbourFolds:
    """Folds by great-circle distance (km) between sites and prediction points, all in degrees."""
    return _folds(
        unit_vectors(site_lat, site_lon), unit_vectors(point_lat, point_lon), k, seed, spherical=True
    )


def feature_folds(sites: Float64, points: Float64, *, k: int = 10, seed: int = 448) -> NearestNeighbourFolds:
    """Folds by Euclidean distance between the predictors of sites (S, d) and of points (n, d).

    Both are divided by the standard deviation over the points; a predictor that is constant there does not count.
    """
    spread = points.std(0)
    used = spread > 0
    return _folds(sites[:, used] / spread[used], points[:, used] / spread[used], k, seed, spherical=False)


def _folds(sites: Float64, points: Float64, k: int, seed: int, *, spherical: bool) -> NearestNeighbourFolds:
    """Source: Linnenbrink et al. 2024.

    An odd number of sites may be halved as evenly as it goes: the largest share is then a little above a half.

    Raises:
        InputError: fewer than max(k, 4) sites or no points, or clustered sites that no division suits.
    """
    n = len(sites)
    if n < max(k, 4) or not len(points):
        raise InputError(
            f"kNNDM: {n} sites and {len(points)} prediction points; it needs at least {max(k, 4)} and 1"
        )
    scale = arc_km if spherical else np.asarray
    wanted = scale(nearest(points, sites))
    p = float(ks_2samp(scale(nearest_other(sites)), wanted, alternative="greater", method="asymp").pvalue)
    random = named_rng(seed, "random folds").permutation(n) % k

    def mismatch(fold: Int64) -> float:
        return float(wasserstein_distance(scale(nearest_outside(sites, fold)), wanted))

    if p >= SIGNIFICANCE:
        return NearestNeighbourFolds(random, 0, mismatch(random), p, ())
    counts = np.unique(np.geomspace(k, max(k, n - 2), CANDIDATES).round().astype(int))
    cut = cut_tree(linkage(sites, method="ward"), n_clusters=counts)
    largest = max(LARGEST_SHARE * n, -(-n // k))
    tried, best = [], (random, 0, np.inf)
    for column, q in enumerate(counts):
        fold = _deal(sites, cut[:, column], k)
        if np.bincount(fold).max() > largest or len(np.unique(fold)) < 2:
            continue
        found = mismatch(fold)
        tried.append((int(q), found))
        if found < best[2]:
            best = (fold, int(q), found)
    if not tried:
        raise InputError(
            f"kNNDM: the {n} sites are clustered, and every division into {k} folds has one with more than half of "
            "them. Use more folds, or leave out clusters of sites."
        )
    fold = np.unique(best[0], return_inverse=True)[1].astype(np.int64)
    return NearestNeighbourFolds(fold, best[1], best[2], p, tuple(tried))


def _deal(sites: Float64, cluster: Int64, k: int) -> Int64:
    """Folds from clusters: large ones alone, the others in turn along the first principal axis of their centres."""
    n_clusters = int(cluster.max()) + 1
    size = np.bincount(cluster)
    large = np.flatnonzero(size >= len(sites) / k)
    fold_of = np.full(n_clusters, -1, np.int64)
    fold_of[large] = np.arange(len(large))
    small = np.flatnonzero(fold_of < 0)
    if len(small):
        centre = np.stack([sites[cluster == c].mean(0) for c in small])
        centred = centre - centre.mean(0)
        axis = np.linalg.svd(centred, full_matrices=False)[2][0]
        axis = axis * np.sign(axis[np.argmax(np.abs(axis))])  # the sign of a principal axis is arbitrary
        along = np.argsort(centred @ axis, kind="stable")
        left = max(1, k - len(large))
        fold_of[small[along]] = len(large) + np.arange(len(small)) % left
    return np.asarray(fold_of[cluster])
