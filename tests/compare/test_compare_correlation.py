"""Correlation of maps: against dense matrices and SciPy, and the false-positive rate of unrelated maps."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, pearsonr

from talik.compare.correlation import _Classes, correlate
from talik.errors import CoverageError, InputError
from talik.regions.sphere import arc_km, unit_vectors


def cap(n, seed, south=50.0):
    """n points evenly spread in area north of a parallel."""
    rng = np.random.default_rng(seed)
    lat = np.degrees(np.arcsin(rng.uniform(np.sin(np.radians(south)), 1, n)))
    return lat, rng.uniform(-180, 180, n)


def distance(lat, lon):
    points = unit_vectors(lat, lon)
    return arc_km(np.linalg.norm(points[:, None] - points[None], axis=2))


def rough(lat, lon, length_km):
    """Cholesky factor of an exponential covariance."""
    d = distance(lat, lon)
    return np.linalg.cholesky(np.exp(-d / length_km) + 1e-9 * np.eye(len(lat)))


@pytest.mark.parametrize("weighted", [False, True])
def test_effective_number_is_that_of_the_dense_matrices(weighted):
    """Independent: n x n covariance matrices by class, traces by matrix products (Dutilleul 1993)."""
    n, k = 150, 9
    lat, lon = cap(n, 1)
    rng = np.random.default_rng(2)
    factor = rough(lat, lon, 1500)
    x, y = factor @ rng.normal(size=n), factor @ rng.normal(size=n)
    w = rng.uniform(0.3, 3, n) if weighted else np.ones(n)
    got = correlate(x, y, lat, lon, weights=w if weighted else None, n_classes=k)
    w = w / w.sum()
    classes = _Classes.of(lat, lon, k)
    label = np.minimum((distance(lat, lon) / classes.width_km).astype(int), k - 1)
    x, y = x - w @ x, y - w @ y
    sigma = []
    for v in (x, y):
        s = np.diag(np.full(n, w @ v**2))
        for c in range(k):
            pair = (label == c) & ~np.eye(n, dtype=bool)
            ww = np.outer(w, w)[pair]
            if ww.size:
                s[pair] = (ww * np.outer(v, v)[pair]).sum() / ww.sum()
        sigma.append(s)
    b = np.diag(w) - np.outer(w, w)
    want = 1 + np.trace(b @ sigma[0]) * np.trace(b @ sigma[1]) / np.trace(b @ sigma[0] @ b @ sigma[1])
    assert got.n_effective == pytest.approx(min(want, n), rel=1e-9)
    assert want < n / 2


def test_r_and_naive_p_are_pearsons():
    lat, lon = cap(60, 3)
    rng = np.random.default_rng(4)
    x = rng.normal(size=60)
    y = 0.4 * x + rng.normal(size=60)
    got, want = correlate(x, y, lat, lon), pearsonr(x, y)
    assert got.r == pytest.approx(want.statistic, rel=1e-12)
    assert got.p_naive == pytest.approx(want.pvalue, rel=1e-9)
    w = rng.uniform(1, 2, 60)
    cov = np.cov(x, y, aweights=w)
    assert correlate(x, y, lat, lon, weights=w).r == pytest.approx(cov[0, 1] / np.sqrt(cov[0, 0] * cov[1, 1]))
    holed = np.where(np.arange(60) < 10, np.nan, x)
    assert correlate(holed, y, lat, lon).n == 50
    assert correlate(x, 2 * x + 1, lat, lon).p_naive == 0.0


def test_scale_shift_and_order_change_nothing():
    lat, lon = cap(120, 5)
    rng = np.random.default_rng(6)
    factor = rough(lat, lon, 800)
    x, y = factor @ rng.normal(size=120), factor @ rng.normal(size=120)
    a = correlate(x, y, lat, lon)
    order = rng.permutation(120)
    b = correlate(-3e-9 * x[order], 7 + y[order], lat[order], lon[order] + 360)
    assert b.r == pytest.approx(-a.r, rel=1e-9)
    assert b.n_effective == pytest.approx(a.n_effective, rel=1e-6)


def lat_lon_cells():
    lat, lon = np.meshgrid(np.arange(51.5, 85, 3.0), np.arange(-175.0, 180, 10.0), indexing="ij")
    return lat.ravel(), lon.ravel()


@pytest.mark.parametrize(
    ("cells", "length_km", "weighted", "most"),
    [
        ("even", 500.0, False, 5000),
        ("even", 2000.0, True, 5000),
        ("lat-lon", 500.0, False, 5000),
        ("lat-lon", 1000.0, True, 5000),
        ("lat-lon", 1000.0, True, 250),
    ],
)
def test_false_positives_of_unrelated_maps(cells, length_km, weighted, most):
    """Pairs of independent but smooth maps, tested at 5 %: the naive test is wrong, the modified one is not."""
    trials = 300
    lat, lon = cap(250, 7) if cells == "even" else lat_lon_cells()
    n = lat.size
    factor = rough(lat, lon, length_km)
    rng = np.random.default_rng(8)
    area = np.cos(np.radians(lat)) if weighted else None
    found = [
        correlate(
            factor @ rng.normal(size=n), factor @ rng.normal(size=n), lat, lon, weights=area, max_cells=most
        )
        for _ in range(trials)
    ]
    modified = sum(f.p < 0.05 for f in found)
    naive = sum(f.p_naive < 0.05 for f in found)
    assert binomtest(modified, trials, 0.05).pvalue > 0.01
    assert binomtest(naive, trials, 0.05).pvalue < 1e-9
    if not weighted:
        assert np.median([f.n_effective for f in found]) == pytest.approx(_effective_number(factor), rel=0.6)


def _effective_number(factor):
    n = len(factor)
    b = np.eye(n) / n - np.full((n, n), 1 / n**2)
    s = factor @ factor.T
    return 1 + np.trace(b @ s) ** 2 / np.trace(b @ s @ b @ s)


def test_independent_cells_keep_their_number_and_the_test_has_power():
    lat, lon = cap(300, 9)
    rng = np.random.default_rng(10)
    white = [correlate(rng.normal(size=300), rng.normal(size=300), lat, lon).n_effective for _ in range(20)]
    assert np.median(white) > 270
    factor = rough(lat, lon, 800)
    x = factor @ rng.normal(size=300)
    related = correlate(x, 0.8 * x + 0.6 * factor @ rng.normal(size=300), lat, lon)
    assert related.p < 0.001
    assert related.n_effective < 200


def test_a_random_subset_stands_for_all_cells():
    lat, lon = cap(900, 11)
    rng = np.random.default_rng(12)
    factor = rough(lat, lon, 1500)
    x, y = factor @ rng.normal(size=900), factor @ rng.normal(size=900)
    w = rng.uniform(0.5, 1.5, 900)
    for weights in (None, w):
        whole = correlate(x, y, lat, lon, weights=weights)
        part = correlate(x, y, lat, lon, weights=weights, max_cells=450, seed=1)
        assert (part.r, part.n, part.n_used) == (whole.r, 900, 450)
        assert part.n_effective == pytest.approx(whole.n_effective, rel=0.25)
        assert part == correlate(x, y, lat, lon, weights=weights, max_cells=450, seed=1)
    assert part.n_effective != correlate(x, y, lat, lon, weights=w, max_cells=450, seed=2).n_effective


def test_the_date_line_and_the_pole_are_no_borders():
    classes = _Classes.of(np.array([70.0, 70.0, 89.9, 89.9]), np.array([179.9, -179.9, 0.0, 180.0]), 40)
    assert classes.block(slice(0, 4))[[0, 2], [1, 3]].tolist() == [0, 0]


def test_what_cannot_be_correlated_is_said():
    lat, lon = cap(20, 13)
    x = np.random.default_rng(1).normal(size=20)
    with pytest.raises(InputError, match=r"arrays of one length; found lengths \[19, 20\]"):
        correlate(x[:-1], x, lat, lon)
    with pytest.raises(InputError, match="positive weights"):
        correlate(x, x, lat, lon, weights=np.zeros(20))
    with pytest.raises(CoverageError, match="at least 4 cells with both maps; found 3"):
        correlate(np.where(np.arange(20) < 3, x, np.nan), x, lat, lon)
    with pytest.raises(CoverageError, match="constant"):
        correlate(x, np.full(20, 0.1), lat, lon)
