"""Distances on the sphere between sites and points, and groups of near sites."""

from __future__ import annotations

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist

from talik.regions.sphere import RADIUS_KM, arc_km, unit_vectors
from talik.upscaling.trees import Float64, Int64

__all__ = [
    "RADIUS_KM",
    "arc_km",
    "nearest",
    "nearest_other",
    "nearest_outside",
    "site_clusters",
    "unit_vectors",
]


def nearest(points: Float64, sites: Float64) -> Float64:
    """(n,) Euclidean distance from each of points (n, d) to the nearest of sites (m, d)."""
    return np.asarray(cKDTree(sites).query(points)[0])


def nearest_other(sites: Float64) -> Float64:
    """(m,) Euclidean distance from each of sites (m, d) to the nearest other one; 0 for two at one place."""
    distance, _ = cKDTree(sites).query(sites, k=2)
    return np.asarray(distance)[:, 1]


def nearest_outside(sites: Float64, fold: Int64) -> Float64:
    """(m,) Euclidean distance from each of sites (m, d) to the nearest site of another fold."""
    out = np.empty(len(sites))
    for f in np.unique(fold):
        own = fold == f
        out[own] = nearest(sites[own], sites[~own])
    return out


def site_clusters(lat: Float64, lon: Float64, distance_km: float) -> Int64:
    """(m,) label 0, 1, ... of groups of sites no two of which are farther apart than `distance_km`.

    Complete linkage on great-circle distances: with 0 km only sites at one position go together.
    """
    if len(lat) < 2:
        return np.zeros(len(lat), np.int64)
    tree = linkage(arc_km(pdist(unit_vectors(lat, lon))), method="complete")
    labels = fcluster(tree, max(distance_km, 1e-6), criterion="distance")
    _, first, back = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    return np.asarray(rank[back], np.int64)
