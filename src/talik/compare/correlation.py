"""Pearson correlation of two maps with honest significance: neighbouring cells are not independent.

Dutilleul's (1993) modified t-test, with the covariances estimated by distance class as Clifford, Richardson and Hémon
(1989) do: with Sx and Sy the covariance matrices of the two maps and B the centring matrix, the variance of r of two
unrelated maps is s2 = tr(B Sx B Sy) / (tr(B Sx) tr(B Sy)), the effective number of cells is n_eff = 1 + 1 / s2, and
r sqrt((n_eff - 2) / (1 - r2)) is compared with Student's t with n_eff - 2 degrees of freedom. Here B is written with
cell weights, so the same test holds for the area-weighted r; with equal weights it is Dutilleul's.

The matrices hold one value for each distance class, so all traces are sums over classes of counts, which are made in
blocks of rows: memory grows with n x classes, never with n x n.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree
from scipy.special import stdtr

from talik.errors import CoverageError, InputError
from talik.regions.ellipsoid import Array
from talik.regions.sphere import RADIUS_KM, arc_km, unit_vectors
from talik.rng import named_rng

MAX_CELLS = 5_000
"""With more cells the distance classes are counted on a random subset of this size."""
_BLOCK = 400
_FEW, _MANY = 20, 80


@dataclass(frozen=True, slots=True)
class Correlation:
    """Correlation of two maps. p-values are two-sided; `p_naive` takes the cells for independent, and is for contrast.

    `n` cells; `n_effective` as many independent cells would say as much; `n_used` cells were used to find it. p is NaN
    where `n_effective` is 2 or less: then the maps say nothing about being related.
    """

    r: float
    n: int
    p_naive: float
    n_effective: float
    p: float
    weighted: bool
    n_classes: int
    n_used: int


def correlate(
    first: ArrayLike,
    second: ArrayLike,
    lat: ArrayLike,
    lon: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    n_classes: int | None = None,
    max_cells: int = MAX_CELLS,
    seed: int = 0,
) -> Correlation:
    """Pearson r of two maps given as values of cells (n,), naive p, effective number of cells and modified p.

    lat, lon : of the cell centres, degrees, (n,); distances are great-circle ones. Cells where either map is NaN are
        left out. weights : positive, e.g. cell areas, for the area-weighted r; equal by default.
    n_classes : distance classes of equal width up to the largest distance; by default as many as make a class as wide
        as the typical distance to the nearest cell, within 20..80. Few wide classes hide the correlation of
        neighbours, and the test then finds too much.
    max_cells : beyond it, classes and covariances are estimated on a random subset (drawn by `seed`, reproducible), and
        taken to hold for all cells; r itself always uses every cell.

    InputError: arrays of different length, or weights that are not positive. CoverageError: fewer than 4 cells, or a
    constant map. Source: Dutilleul 1993 (Biometrics 49, 305-314), Clifford et al. 1989 (Biometrics 45, 123-134).
    """
    x, y, north, east = (np.asarray(v, float).ravel() for v in (first, second, lat, lon))
    w = np.ones(x.size) if weights is None else np.asarray(weights, float).ravel()
    sizes = {v.size for v in (x, y, north, east, w)}
    if len(sizes) > 1:
        raise InputError(f"correlate: expected arrays of one length; found lengths {sorted(sizes)}.")
    keep = np.isfinite(x) & np.isfinite(y)
    x, y, north, east, w = (v[keep] for v in (x, y, north, east, w))
    if not (np.isfinite(w) & (w > 0)).all():
        raise InputError(
            "correlate: expected positive weights for all cells with data; some are zero, negative or NaN."
        )
    if x.size < 4:
        raise CoverageError(f"correlate: expected at least 4 cells with both maps; found {x.size}.")
    for v in (x, y):
        if np.ptp(v) <= 1e-12 * np.abs(v).max():
            raise CoverageError(
                "correlate: expected two maps that vary; one is constant over the common cells."
            )
    w = w / w.sum()
    x, y = x - w @ x, y - w @ y
    x, y = x / np.abs(x).max(), y / np.abs(y).max()  # r does not mind, and tiny fluxes squared stay numbers
    sx, sy = float(w @ x**2), float(w @ y**2)
    r = float(np.clip((w @ (x * y)) / math.sqrt(sx * sy), -1.0, 1.0))

    n = x.size
    used = _subset(n, max_cells, seed)
    classes = _Classes.of(north, east, n_classes).take(used)
    n_effective = _effective(x[used], y[used], w, used, (sx, sy), classes)
    return Correlation(
        r=r,
        n=n,
        p_naive=_p(r, n),
        n_effective=n_effective,
        p=_p(r, n_effective),
        weighted=weights is not None,
        n_classes=classes.count,
        n_used=used.size,
    )


@dataclass(frozen=True, slots=True)
class _Classes:
    """Points on the unit sphere, and distance classes of equal width (km) that hold every pair."""

    points: Array
    width_km: float
    count: int

    @classmethod
    def of(cls, lat: Array, lon: Array, n_classes: int | None) -> _Classes:
        points = unit_vectors(lat, lon)
        # the largest distance is at most twice that from the mean point, and at most half the way round
        centre = points.mean(axis=0)
        length = float(np.linalg.norm(centre))
        reach = math.pi * RADIUS_KM
        if length > 1e-6:
            from_centre = np.linalg.norm(points - centre / length, axis=1).max()
            reach = min(reach, 2 * float(arc_km(from_centre)))
        if n_classes is None:
            near = np.asarray(cKDTree(points).query(points, k=2)[0])[:, 1]
            typical = float(np.median(arc_km(near)))
            n_classes = _MANY if typical == 0 else int(np.clip(math.ceil(reach / typical), _FEW, _MANY))
        return cls(points, max(reach, 1e-9) * (1 + 1e-9) / n_classes, n_classes)

    def take(self, used: NDArray[np.int64]) -> _Classes:
        """The same classes for some of the points."""
        return replace(self, points=self.points[used])

    def block(self, rows: slice) -> NDArray[np.int64]:
        """Class of each pair (rows, all points); a point with itself is in class 0 as any other near pair."""
        dot = np.clip(self.points[rows] @ self.points.T, -1.0, 1.0)
        apart = np.arccos(dot) * (RADIUS_KM / self.width_km)
        return np.minimum(apart.astype(np.int64), self.count - 1)


def _subset(n: int, most: int, seed: int) -> NDArray[np.int64]:
    if n <= most:
        return np.arange(n)
    return np.sort(named_rng(seed, "compare.correlation").choice(n, size=most, replace=False))


def _effective(
    x: Array,
    y: Array,
    w_all: Array,
    used: NDArray[np.int64],
    variance: tuple[float, float],
    classes: _Classes,
) -> float:
    """n_eff = 1 + tr(B Sx) tr(B Sy) / tr(B Sx B Sy), B = diag(w) - w w', from counts by distance class.

    x, y : centred maps on the subset.   w_all : weights of all cells (sum 1).   variance : of x and y over all cells.
    """
    self_weight = w_all[used] ** 2
    diagonal = float((w_all**2).sum())
    cubes = float((w_all**3).sum())
    w = w_all[used]
    # a subset stands for all cells: its pairs get the weight that all pairs of different cells have
    pairs_all = 1.0 - diagonal
    pairs_used = float(w.sum() ** 2 - self_weight.sum())
    k, n = classes.count, w.size
    near = np.empty((n, k))  # sum over other cells of their weight, by class
    cross = np.zeros((2, k))  # sum over pairs of w w x x, and of w w y y
    stacked = np.stack([w, w * x, w * y])
    for start in range(0, n, _BLOCK):
        rows = slice(start, min(start + _BLOCK, n))
        size = rows.stop - rows.start
        flat = classes.block(rows)
        flat += np.arange(size)[:, None] * k
        sums = [
            np.bincount(
                flat.ravel(), weights=np.broadcast_to(v, (size, n)).ravel(), minlength=size * k
            ).reshape(size, k)
            for v in stacked
        ]
        near[rows] = sums[0]
        near[rows, 0] -= w[rows]
        for which, (values, found) in enumerate(((x, sums[1]), (y, sums[2]))):
            cross[which] += (w[rows] * values[rows]) @ found
            cross[which, 0] -= float((self_weight[rows] * values[rows] ** 2).sum())
    mass = w @ near
    with np.errstate(invalid="ignore", divide="ignore"):
        cov = np.where(mass > 1e-15, cross / mass, 0.0)  # covariance by class, of different cells
    near *= pairs_all / pairs_used * (w.sum())
    mass = mass * (pairs_all / pairs_used)
    cx, cy = cov
    vx, vy = variance
    smooth_x, smooth_y = near @ cx, near @ cy  # (S w) without the cell itself
    share = w / w.sum()
    both = float(share @ (smooth_x * smooth_y))
    # (S w)_i = w_i v + smooth_i; the terms with w_i are small but make white noise exact
    own = float((share * w) @ (vx * smooth_y + vy * smooth_x)) + vx * vy * cubes
    total_x, total_y = vx * diagonal + float(mass @ cx), vy * diagonal + float(mass @ cy)
    trace = vx * vy * diagonal + float(mass @ (cx * cy)) - 2.0 * (both + own) + total_x * total_y
    free = (vx - total_x) * (vy - total_y)
    if trace <= 0.0:
        return float(w_all.size)
    # anti-correlated neighbours can give more than there are cells; we do not claim more
    return float(min(1.0 + free / trace, w_all.size))


def _p(r: float, n: float) -> float:
    """Two-sided p of r with n - 2 degrees of freedom; NaN if there are none."""
    if not n > 2.0:
        return math.nan
    if abs(r) >= 1.0:
        return 0.0
    t = abs(r) * math.sqrt((n - 2.0) / (1.0 - r * r))
    return float(2.0 * stdtr(n - 2.0, -t))
