"""Environmental clusters: planted ones are found, shares add up, and nothing depends on blocks or threads."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from talik.errors import ConfigError, InputError
from talik.upscaling.environments import (
    Environments,
    find_environments,
    predictor_distributions,
    vegetation_shares,
)

CENTRES = np.array([[0.0, 0, 0], [9, 0, 0], [0, 9, 0], [0, 0, 9], [9, 9, 9]])
SIZES = (900, 700, 500, 300, 100)


def planted() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels in five clusters in units far apart, true cluster, and areas that put the first cluster in third place."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(5), SIZES)
    x = (CENTRES[group] + rng.normal(0, 1, (len(group), 3))) * [1, 1000, 0.01] + [270, 0, 5]
    area = np.where(group == 0, 1.0, 2.0)
    order = rng.permutation(len(group))
    return x[order], group[order], area[order]


@pytest.fixture(scope="module")
def found() -> Environments:
    x, _, area = planted()
    x[:7, 1] = np.nan
    area[7:11] = 0.0
    return find_environments(x, area, seed=1, counts=range(3, 8))


def test_planted_clusters_are_found_and_ordered_by_area(found: Environments) -> None:
    _, group, area = planted()
    assert max(found.silhouettes, key=lambda k: found.silhouettes[k]) == 5
    assert list(found.silhouettes) == [3, 4, 5, 6, 7]
    place = np.array([2, 0, 1, 3, 4])  # 700 and 500 pixels of area 2 are more than 900 of area 1
    assert (found.label[7:] == place[group[7:]]).mean() > 0.999
    assert (found.label[:7] == -1).all()
    area[7:11] = 0.0
    np.testing.assert_allclose(found.area, np.bincount(found.label[7:], weights=area[7:]))
    assert (np.diff(found.area) <= 0).all()
    np.testing.assert_allclose(found.area.sum(), area[7:].sum())


def test_moments_are_weighted_by_area(found: Environments) -> None:
    x, _, area = planted()
    x, area = x[11:], area[11:]
    mean = np.average(x, axis=0, weights=area)
    np.testing.assert_allclose(found.mean, mean)
    np.testing.assert_allclose(found.spread, np.sqrt(np.average((x - mean) ** 2, axis=0, weights=area)))


def test_each_pixel_goes_to_the_nearest_centroid_for_any_block(found: Environments) -> None:
    x, _, _ = planted()
    z = (x - found.mean) / found.spread
    slow = np.array([np.argmin([np.linalg.norm(row - c) for c in found.centroids]) for row in z])
    for block in (1, 50, 10**6):
        np.testing.assert_array_equal(found.assign(x, block), slow)
    np.testing.assert_array_equal(found.assign(np.full((2, 3), np.nan)), [-1, -1])


def test_the_sample_follows_area() -> None:
    """Two crowds of equal number, one with 999 times the area: all but one in a thousand draws are from it."""
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(0, 1, (3000, 1)), rng.normal(1000, 1, (3000, 1))])
    area = np.repeat([999.0, 1.0], 3000)
    centroids = find_environments(x, area, seed=3, counts=[6], sample=2000)
    value = (centroids.centroids * centroids.spread + centroids.mean).ravel()
    assert (value < 500).sum() >= 4
    even = find_environments(x, np.ones(6000), seed=3, counts=[6], sample=2000)
    assert ((even.centroids * even.spread + even.mean).ravel() < 500).sum() == 3


SCRIPT = """
import hashlib, numpy as np
from talik.upscaling.environments import find_environments
x = np.random.default_rng(0).normal(size=(3000, 5))
found = find_environments(x, np.ones(3000), seed=0, counts=[4, 5])
print(hashlib.sha256(found.centroids.tobytes() + found.label.tobytes()).hexdigest())
"""


def test_threads_do_not_change_bytes() -> None:
    results = set()
    for threads in ("1", "2"):
        env = {**os.environ, "OMP_NUM_THREADS": threads, "PYTHONPATH": os.pathsep.join(sys.path)}
        run = subprocess.run(
            [sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, check=True, timeout=100
        )
        results.add(run.stdout)
    assert len(results) == 1
    assert len(results.pop().strip()) == hashlib.sha256().digest_size * 2


def test_shares_add_up() -> None:
    label = np.array([0, 0, 0, 1, 1, -1])
    shares = vegetation_shares(label, [21, 60, 60, 60, 60, 21], [1.0, 1, 2, 3, 3, 50])
    assert shares.columns.to_list() == [21, 60]
    np.testing.assert_allclose(shares.to_numpy(), [[0.25, 0.75], [0.0, 1.0]])


def test_distributions() -> None:
    rng = np.random.default_rng(2)
    label = np.repeat([0, 1, -1], [4000, 11, 20])
    x = np.column_stack([rng.uniform(0, 1, 4031), np.arange(4031.0)])
    table = predictor_distributions(label, x, ["srad", "vpd"], seed=0, size=2000)
    assert table["pixels"].to_list() == [2000, 2000, 11, 11]
    quantiles = table.loc[0, ["q05", "q25", "q50", "q75", "q95"]].to_numpy(float)
    np.testing.assert_allclose(quantiles, [0.05, 0.25, 0.5, 0.75, 0.95], atol=0.04)
    assert table.loc[3, ["mean", "q50", "q25"]].to_list() == [4005.0, 4005.0, 4002.5]


def test_what_cannot_be_used_is_refused() -> None:
    x, area = np.random.default_rng(0).normal(size=(50, 2)), np.ones(50)
    with pytest.raises(InputError, match="area \\(49,\\)"):
        find_environments(x, area[:49], seed=0)
    with pytest.raises(InputError, match="negative or not finite"):
        find_environments(x, -area, seed=0)
    with pytest.raises(InputError, match="no pixel"):
        find_environments(x * np.nan, area, seed=0)
    with pytest.raises(InputError, match="column 1 is 3 everywhere"):
        find_environments(np.column_stack([x[:, 0], np.full(50, 3.0)]), area, seed=0)
    with pytest.raises(InputError, match="different pixels; 12 clusters"):
        find_environments(x[:9], area[:9], seed=0)
    with pytest.raises(ConfigError, match="at least 2"):
        find_environments(x, area, seed=0, counts=[1])
    with pytest.raises(InputError, match="one of each for every pixel"):
        vegetation_shares(np.zeros(3, int), [1, 2], [1.0, 1.0, 1.0])
    with pytest.raises(InputError, match="x has shape"):
        predictor_distributions(np.zeros(3, int), np.zeros((3, 2)), ["srad"], seed=0)
