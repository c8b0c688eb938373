"""Environmental clusters: planted ones are found, areas add up, blocks do not matter."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from talik.errors import InputError
from talik.upscaling import environments
from talik.upscaling.environments import area_shares, examples, find_environments


@pytest.fixture(scope="module")
def planted() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(5), [900, 700, 500, 300, 100])
    centre = np.array([[0, 0, 0], [9, 0, 0], [0, 9, 0], [0, 0, 9], [9, 9, 9]], float)
    return (
        centre[group] * [1, 100, 0.01] + rng.normal(0, 1, (2500, 3)) * [1, 100, 0.01],
        group,
        np.full(2500, 2.0),
    )


def test_planted_clusters_are_found_largest_first(planted: tuple[np.ndarray, ...]) -> None:
    x, group, area = planted
    found = find_environments(x, area, seed=1, most=7)
    assert max(found.silhouette, key=lambda k: found.silhouette[k]) == 5
    label = found.assign(x)
    np.testing.assert_array_equal(np.bincount(label), [900, 700, 500, 300, 100])
    assert (label == group).mean() > 0.99


def test_blocks_and_repeats_change_nothing(
    planted: tuple[np.ndarray, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, _, area = planted
    found = find_environments(x, area, seed=1, most=6)
    again = find_environments(x, area, seed=1, most=6)
    np.testing.assert_array_equal(found.centre, again.centre)
    whole = found.assign(x)
    monkeypatch.setattr(environments, "_BLOCK", 7)
    np.testing.assert_array_equal(found.assign(x), whole)


BYTES = """
import hashlib, numpy as np
from talik.upscaling.environments import find_environments
x = np.random.default_rng(0).normal(size=(3000, 5))
print(hashlib.sha256(find_environments(x, np.ones(3000), seed=0, least=4, most=5).centre.tobytes()).hexdigest())
"""


def test_number_of_threads_changes_no_byte() -> None:
    made = set()
    for threads in ("1", "2"):
        env = {
            **os.environ,
            "OMP_NUM_THREADS": threads,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        run = subprocess.run(
            [sys.executable, "-c", BYTES], env=env, capture_output=True, text=True, check=True
        )
        made.add(run.stdout.strip())
    assert len(made) == 1
    assert len(made.pop()) == 64


def test_a_gap_belongs_to_no_cluster(planted: tuple[np.ndarray, ...]) -> None:
    x, _, area = planted
    found = find_environments(x, area, seed=1, most=5)
    label = found.assign(np.concatenate([x[:2], [[np.nan, 0.0, 0.0], [0.0, 0.0, np.nan]]]))
    assert label.tolist() == [*found.assign(x[:2]), -1, -1]
    assert list(area_shares(label, np.ones(4), np.array(["a", "b", "b", "b"]))) == [int(label[0])]


def test_area_shares_add_up(planted: tuple[np.ndarray, ...]) -> None:
    _, group, _ = planted
    area = np.linspace(1, 2, 2500)
    classes = np.where(np.arange(2500) % 3 == 0, "forest", "tundra")
    shares = area_shares(group, area, classes)
    for k in range(5):
        assert sum(shares[k].values()) == pytest.approx(1)
    own = group == 1
    assert shares[1]["forest"] == pytest.approx(area[own & (classes == "forest")].sum() / area[own].sum())


def test_examples_are_of_the_cluster() -> None:
    cluster = np.repeat([0, 1], [5000, 100])
    drawn = examples(cluster, 0, seed=0, count=50)
    assert len(np.unique(drawn)) == 50
    assert (cluster[drawn] == 0).all()
    np.testing.assert_array_equal(examples(cluster, 1, seed=0, count=500), np.arange(5000, 5100))


def test_too_little_to_cluster() -> None:
    with pytest.raises(InputError, match="distinct pixels"):
        find_environments(np.zeros((50, 2)), np.ones(50), seed=0)
    with pytest.raises(InputError, match="missing values"):
        find_environments(np.full((50, 2), np.nan), np.ones(50), seed=0)
    with pytest.raises(InputError, match="not above 0"):
        find_environments(np.zeros((50, 2)), np.repeat([0.0, 1.0], 25), seed=0)
