"""kNNDM on cases with known answers, and each of its parts against scipy or brute force."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp

from talik.errors import InputError
from talik.upscaling.distances import unit_vectors
from talik.upscaling.knndm import feature_folds, geographic_folds

RADIUS = 6371.0088


def great_circle(lat: np.ndarray, lon: np.ndarray, lat2: np.ndarray, lon2: np.ndarray) -> np.ndarray:
    """(n, m) km by the haversine formula."""
    a, b = np.radians(lat)[:, None], np.radians(lat2)[None]
    d = np.radians(lon2)[None] - np.radians(lon)[:, None]
    h = np.sin((b - a) / 2) ** 2 + np.cos(a) * np.cos(b) * np.sin(d / 2) ** 2
    return 2 * RADIUS * np.arcsin(np.sqrt(h))


def slow_mismatch(fold: np.ndarray, between: np.ndarray, wanted: np.ndarray) -> float:
    """Integral of |G* - G| on a fine grid of distances."""
    held = np.array([between[i][fold != fold[i]].min() for i in range(len(fold))])
    grid = np.sort(np.concatenate([held, wanted]))
    steps = np.searchsorted(np.sort(held), grid, "right") / len(held)
    other = np.searchsorted(np.sort(wanted), grid, "right") / len(wanted)
    return float(np.sum(np.abs(steps - other)[:-1] * np.diff(grid)))


@pytest.fixture
def clustered() -> tuple[np.ndarray, ...]:
    """Sites in five tight groups, points everywhere."""
    rng = np.random.default_rng(1)
    centre = np.array([[65, -150], [68, 20], [70, 130], [60, -100], [62, 70]], float)
    sites = np.repeat(centre, 20, axis=0) + rng.normal(0, 0.3, (100, 2))
    points = np.column_stack([rng.uniform(55, 75, 2000), rng.uniform(-180, 180, 2000)])
    return sites[:, 0], sites[:, 1], points[:, 0], points[:, 1]


def test_sites_spread_like_the_points_get_random_folds() -> None:
    rng = np.random.default_rng(0)
    lat, lon = rng.uniform(55, 75, 80), rng.uniform(-180, 180, 80)
    point_lat, point_lon = rng.uniform(55, 75, 3000), rng.uniform(-180, 180, 3000)
    made = geographic_folds(lat, lon, point_lat, point_lon, k=8)
    assert made.random
    assert made.p_clustered >= 0.05
    assert sorted(np.bincount(made.fold)) == [10] * 8


def test_far_points_make_whole_clusters_the_folds(clustered: tuple[np.ndarray, ...]) -> None:
    south = -np.abs(clustered[2])
    made = geographic_folds(clustered[0], clustered[1], south, clustered[3], k=5)
    group = np.repeat(np.arange(5), 20)
    assert made.q == 5
    # a fold that cuts a group leaves a neighbour next door, while every point is a hemisphere away
    assert len(np.unique(np.stack([made.fold, group]), axis=1).T) == 5


def test_mismatch_and_test_are_what_the_paper_says(clustered: tuple[np.ndarray, ...]) -> None:
    made = geographic_folds(*clustered, k=5)
    lat, lon, point_lat, point_lon = clustered
    between = great_circle(lat, lon, lat, lon)
    np.fill_diagonal(between, np.inf)
    wanted = great_circle(point_lat, point_lon, lat, lon).min(1)
    assert made.mismatch == pytest.approx(slow_mismatch(made.fold, between, wanted), rel=1e-6)
    assert made.p_clustered == pytest.approx(
        ks_2samp(between.min(1), wanted, alternative="greater", method="asymp").pvalue, rel=1e-6
    )
    assert made.mismatch == min(w for _, w in made.tried)
    random = np.random.default_rng(0).permutation(100) % 5
    assert made.mismatch < slow_mismatch(random, between, wanted)


@pytest.mark.parametrize("k", [3, 7, 10])
def test_every_site_is_in_one_fold_and_no_fold_holds_more_than_half(
    clustered: tuple[np.ndarray, ...], k: int
) -> None:
    fold = geographic_folds(*clustered, k=k).fold
    size = np.bincount(fold)
    assert len(fold) == 100
    assert (size > 0).all()
    assert len(size) <= k
    assert size.max() <= 50


def test_same_seed_same_folds_and_order_of_points_does_not_matter(clustered: tuple[np.ndarray, ...]) -> None:
    lat, lon, point_lat, point_lon = clustered
    one = geographic_folds(lat, lon, point_lat, point_lon, k=5, seed=3)
    two = geographic_folds(lat, lon, point_lat[::-1], point_lon[::-1], k=5, seed=3)
    np.testing.assert_array_equal(one.fold, two.fold)


def test_features_ignore_units_and_constants(clustered: tuple[np.ndarray, ...]) -> None:
    sites = np.column_stack([unit_vectors(clustered[0], clustered[1]), np.ones(100)])
    points = np.column_stack([unit_vectors(clustered[2], clustered[3]), np.ones(2000)])
    one = feature_folds(sites, points, k=5)
    two = feature_folds(sites * [1000, 1, 0.01, 5], points * [1000, 1, 0.01, 5], k=5)
    np.testing.assert_array_equal(one.fold, two.fold)
    assert one.mismatch == pytest.approx(two.mismatch)


def test_merging_by_hand() -> None:
    """Ten sites, k = 4: a clump of five is a fold; the others, west to east, are dealt to the three folds left."""
    lon = np.array([0, 0.01, 0.02, 0.03, 0.04, 10, 20, 30, 40, 50])
    point_lon = np.linspace(0, 60, 60)
    made = geographic_folds(np.zeros(10), lon, np.ones(60), point_lon, k=4)
    between = great_circle(np.zeros(10), lon, np.zeros(10), lon)
    wanted = great_circle(np.ones(60), point_lon, np.zeros(10), lon).min(1)
    fold = np.array([0, 0, 0, 0, 0, 1, 2, 3, 1, 2])
    assert dict(made.tried)[6] == pytest.approx(slow_mismatch(fold, between, wanted), rel=1e-6)


def test_an_odd_number_of_clustered_sites_is_halved_not_shuffled() -> None:
    rng = np.random.default_rng(4)
    lat = np.concatenate([rng.normal(65, 0.1, 100), rng.normal(68, 0.1, 101)])
    lon = np.concatenate([rng.normal(20, 0.1, 100), rng.normal(-150, 0.1, 101)])
    # 201 and 9001 have no small common multiple: the exact test cannot be had
    made = geographic_folds(lat, lon, rng.uniform(-75, -50, 9001), rng.uniform(-180, 180, 9001), k=2)
    assert not made.random
    assert made.q == 2
    assert sorted(np.bincount(made.fold)) == [100, 101]
    assert len(set(made.fold[:100])) == 1


def test_positions_that_are_none() -> None:
    lat, lon = np.linspace(50, 70, 20), np.linspace(0, 100, 20)
    with pytest.raises(InputError, match="point 3 has lat nan"):
        geographic_folds(lat, lon, np.where(np.arange(20) == 3, np.nan, lat), lon, k=4)
    with pytest.raises(InputError, match="not exchanged"):
        geographic_folds(lon, lat, lat, lon, k=4)


def test_clustered_sites_that_no_division_suits() -> None:
    """Three of five sites at one place are one of three clusters, and more than half."""
    lat, lon = np.array([60.0, 60, 60, 65, 70]), np.array([10.0, 10, 10, 60, 120])
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="every division into 3 folds"):
        geographic_folds(lat, lon, rng.uniform(50, 80, 500), rng.uniform(-180, 180, 500), k=3)


def test_too_few_sites() -> None:
    few = np.array([60.0, 61, 62])
    with pytest.raises(InputError, match="3 sites"):
        geographic_folds(few, few, few, few, k=2)
