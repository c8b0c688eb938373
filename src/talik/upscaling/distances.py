"""Distances on the sphere and in predictor space, and clusters of towers that stand close together."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial import cKDTree

from talik.errors import ConfigError, InputError
from talik.upscaling.trees import Float64, Int64

EARTH_RADIUS_KM = 6371.0088
"""Mean radius of the WGS84 ellipsoid; distances differ from geodesics by less than 0.6 %."""


def unit_vectors(lat: npt.ArrayLike, lon: npt.ArrayLike) -> Float64:
    """(n, 3) points of the unit sphere for (n,) `lat` and `lon` in degrees; longitudes may run past 180.

    Raises:
        InputError: a latitude outside -90..90, a coordinate that is not finite, or unequal lengths.
    """
    phi = np.asarray(lat, dtype=np.float64)
    theta = np.asarray(lon, dtype=np.float64)
    if phi.ndim != 1 or phi.shape != theta.shape:
        raise InputError(
            f"coordinates: lat has shape {phi.shape} and lon {theta.shape}; expected one of each for every point"
        )
    bad = ~(np.isfinite(phi) & np.isfinite(theta) & (np.abs(phi) <= 90.0))
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        raise InputError(
            f"coordinates: point {i} has lat {phi[i]:g}, lon {theta[i]:g} ({int(bad.sum())} such points); expected "
            "finite degrees with lat in -90..90. Drop the point, or check that lat and lon are not exchanged."
        )
    phi, theta = np.radians(phi), np.radians(theta)
    return np.column_stack([np.cos(phi) * np.cos(theta), np.cos(phi) * np.sin(theta), np.sin(phi)])


def arc_km(chord: Float64) -> Float64:
    """Great-circle distance in km on a sphere of `EARTH_RADIUS_KM`, for straight distances of unit vectors (0..2)."""
    return 2.0 * EARTH_RADIUS_KM * np.arcsin(np.minimum(0.5 * chord, 1.0))


def nearest(points: Float64, others: Float64) -> Float64:
    """(n,) Euclidean distance from each of `points` (n, p) to the nearest of `others` (m, p)."""
    return np.asarray(cKDTree(others).query(points)[0], dtype=np.float64)


def nearest_other(points: Float64) -> Float64:
    """(n,) Euclidean distance from each of `points` (n >= 2, p) to its nearest other point; 0 for a repeated one."""
    return np.asarray(cKDTree(points).query(points, k=[2])[0], dtype=np.float64)[:, 0]


def nearest_km(
    lat: npt.ArrayLike, lon: npt.ArrayLike, site_lat: npt.ArrayLike, site_lon: npt.ArrayLike
) -> Float64:
    """(n,) great-circle distance in km from each point to the nearest site; all coordinates in degrees."""
    return arc_km(nearest(unit_vectors(lat, lon), unit_vectors(site_lat, site_lon)))


def site_clusters(lat: npt.ArrayLike, lon: npt.ArrayLike, d_km: float) -> Int64:
    """(n,) label 0, 1, ... of each tower's cluster; no two towers of a cluster are more than `d_km` apart.

    Complete linkage of great-circle distances, cut at `d_km`. Labels are numbered by the first tower of each
    cluster. Towers of one cluster leave the training data together (upscaling.md 12.1 a).

    Raises:
        ConfigError: `d_km` is negative or not finite.
    """
    if not (np.isfinite(d_km) and d_km >= 0.0):
        raise ConfigError(f"site_clusters: d_km is {d_km}; expected a distance in km of at least 0")
    points = unit_vectors(lat, lon)
    if len(points) < 2:
        return np.zeros(len(points), np.int64)
    tree = linkage(points, method="complete")
    height = 2.0 * np.sin(min(0.5 * d_km / EARTH_RADIUS_KM, 0.5 * np.pi))
    return renumbered(fcluster(tree, height, criterion="distance"))


def renumbered(labels: npt.NDArray[np.integer]) -> Int64:
    """Labels 0, 1, ... in the order in which they first occur."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]
