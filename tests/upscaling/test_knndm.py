"""Distances, clusters of towers, and folds by nearest-neighbour distance matching."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod
from scipy.stats import ks_2samp

from talik.errors import ConfigError, InputError
from talik.upscaling.distances import (
    EARTH_RADIUS_KM,
    arc_km,
    nearest_km,
    nearest_other,
    site_clusters,
    unit_vectors,
)
from talik.upscaling.knndm import MatchedFolds, knndm_folds


def haversine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, m) km between (n, 2) and (m, 2) of lat and lon in degrees."""
    (p, q), (r, s) = np.radians(a.T[:, :, None]), np.radians(b.T[:, None, :])
    h = np.sin((p - r) / 2) ** 2 + np.cos(p) * np.cos(r) * np.sin((q - s) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.minimum(h, 1)))


def on_sphere(rng: np.random.Generator, n: int, south: float = 50.0) -> np.ndarray:
    """(n, 2) lat and lon of points spread evenly over the cap north of `south`."""
    sine = rng.uniform(np.sin(np.radians(south)), 1, n)
    return np.column_stack([np.degrees(np.arcsin(sine)), rng.uniform(-180, 180, n)])


def clumps(rng: np.random.Generator, centres: list[tuple[float, float]], size: int) -> np.ndarray:
    return np.concatenate([rng.normal(c, 0.05, (size, 2)) for c in centres])


def area_between(a: np.ndarray, b: np.ndarray) -> float:
    """Integral of |F - G| of two samples, from the definition."""
    at = np.sort(np.concatenate([a, b]))
    f = (a <= at[:-1, None]).mean(axis=1)
    g = (b <= at[:-1, None]).mean(axis=1)
    return float(np.sum(np.abs(f - g) * np.diff(at)))


def test_distances_are_those_of_the_sphere_and_close_to_the_ellipsoid() -> None:
    rng = np.random.default_rng(1)
    sites, points = on_sphere(rng, 40), on_sphere(rng, 300)
    found = nearest_km(points[:, 0], points[:, 1] + 360.0, sites[:, 0], sites[:, 1])
    between = haversine(points, sites)
    np.testing.assert_allclose(found, between.min(axis=1), rtol=1e-9)
    at = between.argmin(axis=1)
    geodesic = Geod(ellps="WGS84").inv(points[:, 1], points[:, 0], sites[at, 1], sites[at, 0])[2]
    np.testing.assert_allclose(found, np.asarray(geodesic) / 1000, rtol=6e-3)


def test_known_distances() -> None:
    chord = np.linalg.norm(unit_vectors([90, 0], [0, 0]) - unit_vectors([-90, 0], [77, 90]), axis=1)
    np.testing.assert_allclose(arc_km(chord), EARTH_RADIUS_KM * np.pi * np.array([1, 0.5]))
    assert nearest_other(unit_vectors([60, 60, 70], [10, 10, 10]))[:2].tolist() == [0, 0]


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1.0, 50.0, 200.0, 3000.0]))
@settings(max_examples=30, deadline=None)
def test_no_two_towers_of_a_cluster_are_too_far_apart(seed: int, d_km: float) -> None:
    rng = np.random.default_rng(seed)
    sites = np.concatenate([on_sphere(rng, 8), clumps(rng, [(68.0, 179.98), (68.0, -179.9)], 4)])
    sites = np.concatenate([sites, sites[:2]])
    label = site_clusters(sites[:, 0], sites[:, 1], d_km)
    between = haversine(sites, sites)
    assert between[label[:, None] == label].max() <= d_km * (1 + 1e-9) + 1e-6
    assert label[-2:].tolist() == label[:2].tolist()
    assert [int(np.flatnonzero(label == c)[0]) for c in range(label.max() + 1)] == sorted(
        {int(np.flatnonzero(label == c)[0]) for c in label}
    )
    # complete linkage stops only when no two clusters fit into one
    for a in range(label.max() + 1):
        for b in range(a):
            assert between[np.ix_(label == a, label == b)].max() > d_km


def test_towers_across_the_date_line_are_neighbours() -> None:
    assert site_clusters([68, 68, 68], [179.99, -179.99, 170], 5).tolist() == [0, 0, 1]
    assert site_clusters([68], [0], 5).tolist() == [0]
    with pytest.raises(ConfigError, match="d_km is -1"):
        site_clusters([68, 69], [0, 0], -1)
    with pytest.raises(InputError, match="point 1 has lat 120"):
        site_clusters([68, 120], [0, 0], 1)


def check(found: MatchedFolds, sites: np.ndarray, points: np.ndarray, k: int) -> None:
    """Everything that can be told from great-circle distances and the folds alone."""
    between = haversine(sites, sites)
    held = np.where(found.fold[:, None] == found.fold, np.inf, between).min(axis=1)
    np.testing.assert_allclose(found.held_out, held, atol=1e-6)
    domain = haversine(points, sites).min(axis=1)
    np.testing.assert_allclose(found.prediction, domain, rtol=1e-8)
    np.testing.assert_allclose(found.mismatch, area_between(held, domain), rtol=1e-6)
    other = np.where(np.eye(len(sites), dtype=bool), np.inf, between).min(axis=1)
    expected = ks_2samp(other, domain, alternative="greater", method="asymp").pvalue
    np.testing.assert_allclose(found.p_value, expected, rtol=1e-6)
    assert found.random == (expected >= 0.05)
    size = np.bincount(found.fold, minlength=k)
    assert size.min() > 0
    assert (len(size), size.sum()) == (k, len(sites))
    kept = found.candidates[~found.candidates["refused"]]
    assert found.mismatch == kept["mismatch"].min()
    assert found.clusters in kept["clusters"].to_list()
    assert size.max() / len(sites) <= 0.5


def test_sites_spread_like_the_domain_get_random_folds() -> None:
    rng = np.random.default_rng(2)
    sites, points = on_sphere(rng, 120), on_sphere(rng, 2000)
    found = knndm_folds(sites, points, 10, seed=1)
    assert found.random
    assert np.bincount(found.fold).tolist() == [12] * 10
    check(found, sites, points, 10)
    again = knndm_folds(sites, points, 10, seed=1)
    np.testing.assert_array_equal(found.fold, again.fold)
    assert (found.fold != knndm_folds(sites, points, 10, seed=2).fold).any()


def test_far_clusters_become_the_folds() -> None:
    """Half of the sites near one place, half near another, predictions far from both: a fold is a cluster."""
    rng = np.random.default_rng(3)
    sites = clumps(rng, [(65.0, 20.0), (68.0, -150.0)], 15)
    points = on_sphere(rng, 500) * [-1, 1]
    found = knndm_folds(sites, points, 2, seed=1)
    assert not found.random
    assert found.clusters == 2
    assert found.fold.tolist() == [0] * 15 + [1] * 15
    check(found, sites, points, 2)


@pytest.mark.parametrize(("k", "seed"), [(3, 0), (5, 1), (10, 2)])
def test_clustered_sites(k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    centres = [(68.0, 19.0), (65.0, -148.0), (62.0, 129.0), (55.9, -98.5)]
    sites = np.concatenate([clumps(rng, centres, 12), on_sphere(rng, 25)])
    points = on_sphere(rng, 3000)
    found = knndm_folds(sites, points, k, seed=1)
    assert not found.random
    check(found, sites, points, k)
    mixed = knndm_folds(sites, points, k, seed=2)
    np.testing.assert_array_equal(found.fold, mixed.fold)  # nothing is drawn when sites are clustered
    shuffled = np.random.default_rng(9).permutation(len(sites)) % k
    held = np.where(shuffled[:, None] == shuffled, np.inf, haversine(sites, sites)).min(axis=1)
    assert found.mismatch < 0.7 * area_between(held, found.prediction)


def test_merging_by_hand() -> None:
    """Ten sites, k = 4: a clump of five is a fold; the others, west to east, are dealt to the three folds left."""
    sites = np.array([[0, x] for x in (0, 0.01, 0.02, 0.03, 0.04, 10, 20, 30, 40, 50)], float)
    points = np.column_stack([np.full(60, 1.0), np.linspace(0, 60, 60)])
    found = knndm_folds(sites, points, 4, seed=0)
    six = found.candidates.loc[found.candidates["clusters"] == 6]
    fold = np.array([0, 0, 0, 0, 0, 1, 2, 3, 1, 2])
    held = np.where(fold[:, None] == fold, np.inf, haversine(sites, sites)).min(axis=1)
    assert six["largest_share"].item() == 0.5
    np.testing.assert_allclose(six["mismatch"].item(), area_between(held, found.prediction), rtol=1e-6)


def test_an_odd_number_of_sites_can_be_halved() -> None:
    rng = np.random.default_rng(4)
    sites = np.concatenate([clumps(rng, [(65.0, 20.0)], 10), clumps(rng, [(68.0, -150.0)], 11)])
    found = knndm_folds(sites, on_sphere(rng, 500) * [-1, 1], 2, seed=1)
    assert sorted(np.bincount(found.fold)) == [10, 11]


def test_feature_space_does_not_know_units() -> None:
    rng = np.random.default_rng(5)
    sites = np.concatenate([rng.normal(c, 0.01, (15, 3)) for c in (0.0, 1.0, 3.0)])
    points = rng.uniform(-1, 4, (400, 3))
    found = knndm_folds(sites, points, 3, seed=1, space="feature")
    scale, shift = np.array([1000.0, 1.0, 0.01]), np.array([5.0, -3.0, 0.2])
    other = knndm_folds(
        np.column_stack([sites * scale + shift, np.full(45, 7.0)]),
        np.column_stack([points * scale + shift, rng.normal(size=400)]),
        3,
        seed=1,
        space="feature",
    )
    np.testing.assert_array_equal(found.fold, other.fold)
    np.testing.assert_allclose(found.prediction, other.prediction, rtol=1e-9)
    z = (sites - sites.mean(axis=0)) / sites.std(axis=0, ddof=1)
    held = np.linalg.norm(z[:, None] - z, axis=2)
    held = np.where(found.fold[:, None] == found.fold, np.inf, held).min(axis=1)
    np.testing.assert_allclose(found.held_out, held, rtol=1e-12)


def test_what_cannot_be_used_is_refused() -> None:
    rng = np.random.default_rng(6)
    sites, points = on_sphere(rng, 12), on_sphere(rng, 50)
    with pytest.raises(ConfigError, match="k is 11 for 12 sites; expected 2 to 10"):
        knndm_folds(sites, points, 11, seed=0)
    with pytest.raises(ConfigError, match="'geo' is unknown; choose one of: geographic, feature"):
        knndm_folds(sites, points, 3, seed=0, space="geo")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="needs the columns lat and lon"):
        knndm_folds(sites[:, :1], points[:, :1], 3, seed=0)
    with pytest.raises(InputError, match="prediction points have missing"):
        knndm_folds(sites, np.where(points > 170, np.nan, points), 3, seed=0, space="feature")
    with pytest.raises(InputError, match="one value at all sites"):
        knndm_folds(np.ones((12, 2)), points, 3, seed=0, space="feature")
    with pytest.raises(InputError, match="same columns"):
        knndm_folds(sites, points[:, :1], 3, seed=0)
