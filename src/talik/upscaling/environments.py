"""Environmental clusters: places with like predictors, what grows there and how large they are."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from talik.errors import InputError
from talik.rng import named_rng
from talik.upscaling.trees import Float64, Int64

SAMPLE = 100_000
"""Pixels the clusters are made from (Virkkala et al. 2025 do not say)."""
SHOWN = 10_000
"""Pixels of each cluster whose predictors are shown (Virkkala et al. 2025)."""
_SCORED = 4_000
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class Environments:
    """Cluster centres in z-scored predictors, largest cluster (by area) first."""

    centre: Float64
    """(k, p) in units of `spread` about `mean`."""
    mean: Float64
    spread: Float64
    silhouette: dict[int, float]
    """Mean silhouette of every number of clusters tried."""

    def assign(self, x: npt.NDArray[np.floating]) -> Int64:
        """(n,) nearest cluster of each pixel (n, p), in blocks; -1 where a predictor is missing."""
        out = np.empty(len(x), np.int64)
        for a in range(0, len(x), _BLOCK):
            z = (x[a : a + _BLOCK] - self.mean) / self.spread
            near = ((z[:, None] - self.centre[None]) ** 2).sum(-1).argmin(1)
            out[a : a + _BLOCK] = np.where(np.isfinite(z).all(axis=1), near, -1)
        return out


def find_environments(
    x: npt.NDArray[np.floating], area: Float64, *, seed: int, least: int = 4, most: int = 12
) -> Environments:
    """k-means++ (25 starts, at most 300 steps) of z-scored predictors, k by the largest mean silhouette.

    x : (n, p) period means of continuous predictors of pixels; area : (n,) m2. Scaled and clustered is a random
    sample of at most 100,000 pixels, drawn in proportion to area; the silhouette is that of 4,000 of them.
    On one thread, because sums over threads depend on their number.

    Raises:
        InputError: missing values, areas that are not above 0, or fewer distinct pixels than clusters.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    x = np.asarray(x, float)
    if not np.isfinite(x).all():
        raise InputError("environments: predictors hold missing values; use valid pixels")
    if not (np.isfinite(area).all() and (area > 0).all()):
        raise InputError("environments: an area is missing or not above 0; use valid pixels")
    rng = named_rng(seed, "environments")
    drawn = x[np.sort(rng.choice(len(x), min(SAMPLE, len(x)), replace=False, p=area / area.sum()))]
    if len(np.unique(drawn, axis=0)) <= most:
        raise InputError(
            f"environments: {len(np.unique(drawn, axis=0))} distinct pixels for up to {most} clusters"
        )
    mean, spread = drawn.mean(0), drawn.std(0)
    spread = np.where(spread > 0, spread, 1.0)
    z = (drawn - mean) / spread
    scored = np.sort(rng.choice(len(z), min(_SCORED, len(z)), replace=False))
    silhouette, best = {}, None
    for k in range(least, most + 1):
        with warnings.catch_warnings(), threadpool_limits(limits=1):
            warnings.simplefilter("ignore")  # scikit-learn warns of memory on machines with MKL
            made = KMeans(k, n_init=25, max_iter=300, random_state=seed).fit(z)
            silhouette[k] = float(silhouette_score(z[scored], made.labels_[scored]))
        if best is None or silhouette[k] > silhouette[best.n_clusters]:
            best = made
    if best is None:
        raise InputError(f"environments: no number of clusters between {least} and {most}")
    found = Environments(best.cluster_centers_, mean, spread, silhouette)
    size = np.bincount(found.assign(x), area, minlength=len(found.centre))
    return Environments(found.centre[np.argsort(-size, kind="stable")], mean, spread, silhouette)


def area_shares(
    cluster: Int64, area: Float64, classes: npt.NDArray[np.generic]
) -> dict[int, dict[str, float]]:
    """Cluster -> class (of vegetation) -> share of the cluster's area; pixels of cluster -1 are left out."""
    out: dict[int, dict[str, float]] = {}
    for k in np.unique(cluster[cluster >= 0]):
        own = cluster == k
        names, code = np.unique(classes[own], return_inverse=True)
        share = np.bincount(code, area[own]) / area[own].sum()
        out[int(k)] = {str(n): float(s) for n, s in zip(names, share, strict=True)}
    return out


def examples(cluster: Int64, k: int, *, seed: int, count: int = SHOWN) -> Int64:
    """Rows of at most `count` random pixels of cluster k, for distributions of predictors."""
    own = np.flatnonzero(cluster == k)
    if len(own) <= count:
        return own
    return np.sort(named_rng(seed, f"environments/examples/{k}").choice(own, count, replace=False))
