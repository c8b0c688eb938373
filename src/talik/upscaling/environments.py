"""Environmental clusters: the domain cut into regions with similar predictors, and what each of them holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from talik.errors import ConfigError, InputError
from talik.rng import named_rng
from talik.upscaling.trees import Float64, Int64

COUNTS = tuple(range(4, 13))
SAMPLE = 100_000
"""Pixels that clusters are learnt from."""
JUDGED = 5_000
"""Of these, pixels that the mean silhouette is taken over; its work grows with their square."""
RESTARTS = 25
ITERATIONS = 300
SHOWN = 10_000
"""Pixels of each cluster that its distributions are taken from."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BLOCK = 1 << 22
"""Numbers held at once (32 MB in double precision)."""


@dataclass(frozen=True, slots=True, eq=False)
class Environments:
    """Environmental clusters, numbered from 0 in the order of their areas, largest first."""

    mean: Float64
    """(p,) area-weighted mean of each predictor over the domain, in its unit."""
    spread: Float64
    """(p,) area-weighted standard deviation."""
    centroids: Float64
    """(k, p) in standard deviations from the mean."""
    label: Int64
    """(n,) cluster of each pixel; -1 where a predictor is missing."""
    area: Float64
    """(k,) area of each cluster, in the unit of the pixel areas."""
    silhouettes: dict[int, float]
    """Mean silhouette for each number of clusters that was tried."""

    def assign(self, x: npt.ArrayLike, block: int = BLOCK) -> Int64:
        """(m,) cluster of each row of `x` (m, p), in the units of the pixels: the nearest centroid; -1 with gaps.

        block : numbers held at once; it does not change the result.
        """
        return _assign(np.asarray(x), self.mean, self.spread, self.centroids, block)


def find_environments(
    x: npt.ArrayLike,
    area: npt.ArrayLike,
    *,
    seed: int,
    counts: Sequence[int] = COUNTS,
    sample: int = SAMPLE,
    block: int = BLOCK,
) -> Environments:
    """Clusters of pixels with similar long-term means of the continuous predictors.

    x : (n, p) period means, in any units: they are scaled by their area-weighted mean and standard deviation.
    area : (n,) pixel areas, >= 0; pixels of the sample are drawn in proportion to it.
    counts : numbers of clusters to try; the one with the largest mean silhouette is kept, of equals the smallest.
    sample : largest number of draws; there are never more than complete pixels.
    block : numbers held at once while pixels are assigned; it does not change the result.

    k-means++ with 25 restarts of at most 300 iterations (upscaling.md 3). On one thread, as sums over threads would
    depend on their number.

    Raises:
        InputError: shapes do not fit, an area is negative or not finite, a predictor is constant, or fewer
            different pixels are complete than the silhouette of the largest count needs.
        ConfigError: a count below 2.
    """
    pixels, size = np.asarray(x), np.asarray(area, dtype=np.float64)
    known = _complete(pixels, size)
    tried = sorted(set(counts))
    if not tried or tried[0] < 2:
        raise ConfigError(
            f"find_environments: counts are {list(counts)}; expected whole numbers of at least 2"
        )
    mean, spread = _moments(pixels, size, known)
    cumulated = np.cumsum(size[known])
    draws = named_rng(seed, "environments sample").random(min(sample, len(known))) * cumulated[-1]
    drawn = known[np.searchsorted(cumulated, draws, side="right")]
    z = (pixels[drawn].astype(np.float64) - mean) / spread
    different = len(np.unique(z[:JUDGED], axis=0))
    if different <= tried[-1]:
        raise InputError(
            f"find_environments: the sample holds {different} different pixels; {tried[-1]} clusters need more. "
            "Try fewer clusters."
        )
    silhouettes, centroids = {}, {}
    with threadpool_limits(limits=1):
        for k in tried:
            start = int(named_rng(seed, f"environments {k}").integers(2**31))
            fitted = KMeans(k, n_init=RESTARTS, max_iter=ITERATIONS, random_state=start).fit(z)
            centroids[k] = np.asarray(fitted.cluster_centers_, dtype=np.float64)
            silhouettes[k] = float(silhouette_score(z[:JUDGED], fitted.labels_[:JUDGED]))
    best = max(tried, key=lambda k: silhouettes[k])
    label = _assign(pixels, mean, spread, centroids[best], block)
    held = np.bincount(label[known], weights=size[known], minlength=best).astype(np.float64)
    order = np.lexsort((*centroids[best].T[::-1], -held))
    rank = np.full(best + 1, -1, np.int64)  # the last for pixels without a cluster
    rank[order] = np.arange(best)
    return Environments(mean, spread, centroids[best][order], rank[label], held[order], silhouettes)


def vegetation_shares(label: Int64, vegetation: npt.ArrayLike, area: npt.ArrayLike) -> pd.DataFrame:
    """Share of each cluster's area that each vegetation class covers: one row a cluster, one column a class.

    label : (n,) cluster of each pixel, -1 for none.     vegetation : (n,) class.     area : (n,) pixel areas.
    Rows sum to 1.
    """
    classes, code = np.unique(np.asarray(vegetation), return_inverse=True)
    size = np.asarray(area, dtype=np.float64)
    if not label.shape == code.shape == size.shape:
        raise InputError(
            f"vegetation_shares: shapes are label {label.shape}, vegetation {code.shape}, area {size.shape}; "
            "expected one of each for every pixel"
        )
    inside = label >= 0
    clusters = int(label.max()) + 1
    cell = label[inside] * len(classes) + code[inside]
    held = np.bincount(cell, weights=size[inside], minlength=clusters * len(classes)).reshape(clusters, -1)
    shares = held / held.sum(axis=1, keepdims=True)
    return pd.DataFrame(shares, columns=classes).rename_axis(index="cluster", columns="vegetation_type")


def predictor_distributions(
    label: Int64, x: npt.ArrayLike, names: Sequence[str], *, seed: int, size: int = SHOWN
) -> pd.DataFrame:
    """Distribution of each predictor in each cluster, from `size` random pixels of it (all, if it has fewer).

    label : (n,) cluster of each pixel, -1 for none.     x : (n, p) predictors named in `names`, any units.
    Returns one row for each cluster and predictor: `cluster`, `predictor`, `pixels` (number used), `mean`, and the
    quantiles `q05`, `q25`, `q50`, `q75`, `q95`, in the predictor's unit.
    """
    pixels = np.asarray(x)
    if pixels.shape != (len(label), len(names)):
        raise InputError(
            f"predictor_distributions: x has shape {pixels.shape}; expected {(len(label), len(names))}, one row for "
            "each label and one column for each name"
        )
    tables = []
    for cluster in range(int(label.max()) + 1):
        inside = np.flatnonzero(label == cluster)
        rng = named_rng(seed, f"environments shown {cluster}")
        values = pixels[rng.choice(inside, min(size, len(inside)), replace=False)].astype(np.float64)
        table = pd.DataFrame({"cluster": cluster, "predictor": list(names), "pixels": len(values)})
        table["mean"] = values.mean(axis=0)
        for quantile, row in zip(QUANTILES, np.quantile(values, QUANTILES, axis=0), strict=True):
            table[f"q{100 * quantile:02.0f}"] = row
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _complete(pixels: npt.NDArray[np.generic], size: Float64) -> Int64:
    """Pixels with every predictor and an area above 0."""
    if pixels.ndim != 2 or size.shape != pixels.shape[:1]:
        raise InputError(
            f"find_environments: x has shape {pixels.shape} and area {size.shape}; expected (pixels, predictors) and "
            "(pixels,)"
        )
    if not np.isfinite(size).all() or (size < 0.0).any():
        raise InputError("find_environments: an area is negative or not finite. Give pixel areas, 0 outside.")
    known = size > 0.0
    for j in range(pixels.shape[1]):
        known &= np.isfinite(pixels[:, j])
    if not known.any():
        raise InputError("find_environments: no pixel with an area has every predictor.")
    return np.flatnonzero(known)


def _moments(pixels: npt.NDArray[np.generic], size: Float64, known: Int64) -> tuple[Float64, Float64]:
    """Area-weighted mean and standard deviation of each predictor."""
    weight = size[known] / size[known].sum()
    mean, spread = np.empty((2, pixels.shape[1]))
    for j in range(pixels.shape[1]):
        values = pixels[known, j].astype(np.float64)
        if values.min() == values.max():
            raise InputError(
                f"find_environments: predictor in column {j} is {values[0]:g} everywhere. Leave it out."
            )
        mean[j] = (weight * values).sum()
        spread[j] = np.sqrt((weight * (values - mean[j]) ** 2).sum())
    return mean, spread


def _assign(
    pixels: npt.NDArray[np.generic], mean: Float64, spread: Float64, centroids: Float64, block: int
) -> Int64:
    """Nearest centroid of each pixel, of equals the first; -1 with gaps."""
    out = np.full(len(pixels), -1, np.int64)
    step = max(block // max(centroids.shape), 1)
    for start in range(0, len(pixels), step):
        z = (pixels[start : start + step].astype(np.float64) - mean) / spread
        known = np.isfinite(z).all(axis=1)
        out[start : start + step][known] = cdist(z[known], centroids, "sqeuclidean").argmin(axis=1)
    return out
