"""Folds of sites whose distances to the training sites look like those met in prediction: kNNDM.

Random folds ask of a model what it never has to do when towers stand in clumps: to predict next to a known tower.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.cluster.hierarchy import cut_tree, linkage
from scipy.spatial.distance import cdist
from scipy.stats import ks_2samp, wasserstein_distance

from talik.errors import ConfigError, InputError
from talik.rng import named_rng
from talik.upscaling.distances import arc_km, nearest, nearest_other, renumbered, unit_vectors
from talik.upscaling.trees import Float64, Int64

Space = Literal["geographic", "feature"]
CANDIDATES = 100
"""Cluster counts that are tried, before equal ones are dropped."""
LARGEST_FOLD = 0.5
"""Share of the sites above which a fold is refused."""
SIGNIFICANCE = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class MatchedFolds:
    """Folds of sites, and how well held-out distances match prediction distances.

    Distances are km in geographic space, and in feature space Euclidean in standard deviations of the sites.
    """

    fold: Int64
    """(S,) fold 0 .. k-1 of each site; no fold is empty."""
    mismatch: float
    """W: area between the distribution functions of `held_out` and `prediction`, in units of distance."""
    clusters: int
    """q: number of clusters that were merged to folds; S for random folds."""
    random: bool
    """Sites are not more clustered than prediction points, so the folds are random."""
    p_value: float
    """Of the test that they are not (one-sided Kolmogorov-Smirnov)."""
    candidates: pd.DataFrame
    """One row for each clustering tried: `clusters`, `mismatch`, `largest_share`, `refused`."""
    held_out: Float64
    """(S,) distance of each site to the nearest site outside its fold."""
    prediction: Float64
    """(P,) distance of each prediction point to its nearest site."""


def knndm_folds(
    sites: npt.ArrayLike, points: npt.ArrayLike, k: int = 10, *, seed: int, space: Space = "geographic"
) -> MatchedFolds:
    """k folds of sites by nearest-neighbour distance matching.

    sites, points : (S, p) sites and (P, p) prediction points, the latter an equal-area sample of the domain. In
        geographic space p = 2: lat and lon in degrees. In feature space predictors, one row for each site; they
        are scaled by the mean and standard deviation over the sites, and constant ones are left out.

    If the distribution function of distances from a site to its nearest other site does not lie significantly above
    that of distances from prediction points to their nearest site, folds are random. Otherwise sites are clustered
    (Ward) to about 100 different numbers of clusters between k and S - 2; clusters of at least S/k sites become
    folds, the others are ordered along the first principal axis of the sites and dealt in turn to the folds that
    are left; clusterings with a fold of more than half of the sites are refused, and of the others the one with
    the smallest W is kept (of equals the one with fewest clusters).

    For a validation design give the folds of the rows to `leave_groups_out`: ``folds.fold[site_of_row]``.

    Source: Linnenbrink, Mila, Ludwig and Meyer (2024), Geoscientific Model Development 17, 5897-5912.

    Raises:
        InputError: shapes do not fit, or values are missing.
        ConfigError: k is not in 2 .. S - 2, `space` is unknown, or every clustering is refused.
    """
    x, to = _coordinates(sites, points, space)
    n = len(x)
    if not 2 <= k <= n - 2:
        raise ConfigError(f"knndm: k is {k} for {n} sites; expected 2 to {n - 2}")
    measure = arc_km if space == "geographic" else np.asarray
    prediction = measure(nearest(to, x))
    p_value = float(
        ks_2samp(measure(nearest_other(x)), prediction, alternative="greater", method="asymp").pvalue
    )
    between = measure(cdist(x, x))
    if p_value >= SIGNIFICANCE:
        counts, folds = [n], [named_rng(seed, "knndm").permutation(np.arange(n) % k)]
    else:
        counts = [int(q) for q in np.unique(np.rint(np.geomspace(k, n - 2, CANDIDATES)))]
        along = (x - x.mean(axis=0)) @ _principal_axis(x)
        cuts = cut_tree(linkage(x, method="ward"), n_clusters=counts)
        folds = [_merged(cuts[:, i], along, k) for i in range(len(counts))]
    held = [_outside_own(between, fold) for fold in folds]
    table = pd.DataFrame(
        {
            "clusters": counts,
            "mismatch": [float(wasserstein_distance(h, prediction)) for h in held],
            "largest_share": [np.bincount(fold).max() / n for fold in folds],
        }
    )
    limit = max(LARGEST_FOLD, -(-n // k) / n)  # what equal folds of an odd number of sites need
    table["refused"] = table["largest_share"] > limit
    if table["refused"].all():
        raise ConfigError(
            f"knndm: for {n} sites and k = {k} every clustering has a fold with more than {limit:.0%} of the sites. "
            "Use more folds, or leave out clusters of sites instead."
        )
    best = int(table["mismatch"].mask(table["refused"]).argmin())
    return MatchedFolds(
        renumbered(folds[best]),
        float(table["mismatch"].iloc[best]),
        counts[best],
        p_value >= SIGNIFICANCE,
        p_value,
        table,
        held[best],
        prediction,
    )


def _coordinates(sites: npt.ArrayLike, points: npt.ArrayLike, space: Space) -> tuple[Float64, Float64]:
    """Sites and prediction points where Euclidean distance orders as the distance of `space` does."""
    x, to = np.asarray(sites, dtype=np.float64), np.asarray(points, dtype=np.float64)
    if x.ndim != 2 or to.ndim != 2 or x.shape[1] != to.shape[1] or 0 in x.shape or 0 in to.shape:
        raise InputError(
            f"knndm: sites have shape {x.shape} and prediction points {to.shape}; expected (rows, columns) with the "
            "same columns"
        )
    if space == "geographic":
        if x.shape[1] != 2:
            raise InputError(
                f"knndm: geographic space needs the columns lat and lon; found {x.shape[1]} columns"
            )
        return unit_vectors(x[:, 0], x[:, 1]), unit_vectors(to[:, 0], to[:, 1])
    if space != "feature":
        raise ConfigError(f"knndm: space {space!r} is unknown; choose one of: geographic, feature")
    for name, values in (("sites", x), ("prediction points", to)):
        if not np.isfinite(values).all():
            raise InputError(f"knndm: {name} have missing or infinite predictors. Give complete rows.")
    varies = np.ptp(x, axis=0) > 0.0
    if not varies.any():
        raise InputError("knndm: every predictor has one value at all sites, so there are no distances")
    x, to = x[:, varies], to[:, varies]
    centre, spread = x.mean(axis=0), x.std(axis=0, ddof=1)
    return (x - centre) / spread, (to - centre) / spread


def _principal_axis(x: Float64) -> Float64:
    """Direction of the largest variance; its largest component is positive."""
    axis = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[2][0]
    return np.asarray(axis * np.sign(axis[np.argmax(np.abs(axis))]))


def _merged(cluster: Int64, along: Float64, k: int) -> Int64:
    """Fold 0 .. k-1 of each site, from at least k clusters 0 .. q-1.

    No fold is empty: there are at most k clusters of S/k sites, and with fewer at least one cluster is left for
    each other fold.
    """
    size = np.bincount(cluster)
    centroid = np.bincount(cluster, weights=along) / size
    large = np.flatnonzero(size * k >= len(cluster))
    small = np.flatnonzero(size * k < len(cluster))
    fold = np.empty(len(size), np.int64)
    fold[large] = np.arange(len(large))
    in_order = small[np.lexsort((small, centroid[small]))]
    fold[in_order] = len(large) + np.arange(len(small)) % max(k - len(large), 1)
    return fold[cluster]


def _outside_own(between: Float64, fold: Int64) -> Float64:
    """Distance of each site to the nearest site of another fold."""
    return np.asarray(np.where(fold[:, None] == fold, np.inf, between).min(axis=1))
