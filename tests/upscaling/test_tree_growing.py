"""Growing and walking trees against a recursive CART and a slow walk written here from Breiman's rules."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talik.errors import InputError
from talik.upscaling.grow import Sorted, bootstrap_counts, grow
from talik.upscaling.trees import MAX_LEVELS, Trees, join

SEEDS = np.arange(1, 6, dtype=np.uint64) * 1_000_003


def sse(y: np.ndarray, w: np.ndarray) -> float:
    return float(w @ (y - w @ y / w.sum()) ** 2) if w.sum() > 0 else 0.0


def slow_tree(x, y, w, count, n_levels, node_size):  # type: ignore[no-untyped-def]
    """(rule, left, right) or the mean; every threshold and every subset of levels is tried."""
    if count.sum() <= node_size:
        return w @ y / w.sum()
    best = None
    for f in range(x.shape[1]):
        values = np.unique(x[:, f])
        if n_levels[f]:
            sides = [np.isin(x[:, f], s) for k in range(1, len(values)) for s in combinations(values, k)]
        else:
            sides = [x[:, f] <= v for v in values[:-1]]
        for left in sides:
            left_over = sse(y[left], w[left]) + sse(y[~left], w[~left])
            if best is None or left_over < best[0] - 1e-9:
                best = (left_over, left)
    if best is None or sse(y, w) - best[0] < 1e-9 * max(sse(y, w), 1e-300):
        return w @ y / w.sum()
    left = best[1]
    return tuple(slow_tree(x[s], y[s], w[s], count[s], n_levels, node_size) for s in (left, ~left))


def leaves_of(tree) -> list[float]:  # type: ignore[no-untyped-def]
    return [v for part in tree for v in leaves_of(part)] if isinstance(tree, tuple) else [float(tree)]


def grown_leaves(trees: Trees) -> np.ndarray:
    return trees.value[trees.feature < 0]


def plant(
    x, y, n_levels=None, *, weights=None, seeds=SEEDS, mtry=None, node_size=5, threads=1, **kw
) -> Trees:  # type: ignore[no-untyped-def]
    x = np.asarray(x, np.float32)
    levels = np.zeros(x.shape[1], np.int16) if n_levels is None else np.asarray(n_levels, np.int16)
    w = np.ones(len(y)) if weights is None else np.asarray(weights, float)
    rows = [np.arange(len(y))]
    mtry = x.shape[1] if mtry is None else mtry
    return grow(Sorted.of(x, levels), np.asarray(y, float), w, rows, seeds, mtry=mtry, node_size=node_size,
                threads=threads, **kw)  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("node_size", [1, 5])
def test_same_leaves_as_the_recursive_tree(seed: int, node_size: int) -> None:
    rng = np.random.default_rng(seed)
    n, n_levels = 40, np.array([0, 0, 4])
    x = np.column_stack([rng.normal(size=n), rng.normal(size=n).round(1), rng.integers(0, 4, n)]).astype(
        np.float32
    )
    y = x[:, 0] * 3 + np.array([0, 5, -5, 1.0])[x[:, 2].astype(int)] + rng.normal(size=n)
    weights = rng.uniform(0.5, 2, n)
    trees = plant(x, y, n_levels, weights=weights, node_size=node_size)
    counts = bootstrap_counts(SEEDS, np.arange(n), n)
    for t in range(5):
        bag = counts[t] > 0
        slow = slow_tree(x[bag], y[bag], (weights * counts[t])[bag], counts[t][bag], n_levels, node_size)
        np.testing.assert_allclose(np.sort(grown_leaves(trees.only(t))), np.sort(leaves_of(slow)), rtol=1e-9)


def test_the_bag_is_a_bootstrap() -> None:
    seeds = np.arange(4000, dtype=np.uint64) * 977
    counts = bootstrap_counts(seeds, np.array([1, 3, 4, 8]), 10)
    assert (counts.sum(1) == 4).all()
    assert counts[:, [0, 2, 5, 6, 7, 9]].sum() == 0
    drawn = counts[:, [1, 3, 4, 8]]
    np.testing.assert_allclose(drawn.mean(0), 1, atol=0.06)
    np.testing.assert_allclose((drawn == 0).mean(0), 0.75**4, atol=0.03)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 7))
def test_a_categorical_split_is_the_best_of_all_subsets(seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, levels, (30, 1)).astype(np.float32)
    y, w = rng.normal(size=30), rng.uniform(0.2, 3, 30)
    tree = plant(x, y, [levels], weights=w, seeds=SEEDS[:1], node_size=29)
    count = bootstrap_counts(SEEDS[:1], np.arange(30), 30)[0]
    ww = w * count
    present = np.unique(x[count > 0])
    if tree.n_nodes == 1:
        assert len(present) == 1
        return
    best = min(
        sse(y[i], ww[i]) + sse(y[~i], ww[~i])
        for k in range(1, len(present))
        for s in combinations(present, k)
        for i in [np.isin(x[:, 0], s)]
    )
    left = (int(tree.levels[0]) >> x[:, 0].astype(int)) & 1 == 1
    assert sse(y[left], ww[left]) + sse(y[~left], ww[~left]) == pytest.approx(best)
    absent = [k for k in range(levels) if k not in present]
    larger_left = 2 * count[left].sum() >= count.sum()
    assert all(((int(tree.levels[0]) >> k) & 1 == 1) == larger_left for k in absent)


def test_prediction_equals_a_slow_walk_also_with_64_levels() -> None:
    rng = np.random.default_rng(3)
    x = np.column_stack([rng.normal(size=400), rng.integers(0, MAX_LEVELS, 400)]).astype(np.float32)
    y = x[:, 0] + np.sin(x[:, 1])
    trees = plant(x, y, [0, MAX_LEVELS])
    assert trees.levels.max() >= 2**63  # level 63 decides somewhere

    def walk(row: np.ndarray) -> float:
        total = 0.0
        for t in range(trees.n_trees):
            node = int(trees.offset[t])
            while trees.feature[node] >= 0:
                f = trees.feature[node]
                if trees.n_levels[f]:
                    goes_left = (int(trees.levels[node]) >> int(row[f])) & 1 == 1
                else:
                    goes_left = row[f] <= trees.threshold[node]
                node = int(trees.left[node]) + (0 if goes_left else 1)
            total += trees.value[node]
        return total / trees.n_trees

    np.testing.assert_allclose(trees.predict(x[:50]), [walk(r) for r in x[:50]], rtol=1e-12)
    leaf = trees.leaves(x[:50])
    np.testing.assert_allclose(trees.value[leaf].mean(1), trees.predict(x[:50]), rtol=1e-12)


def test_threads_change_nothing() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 4)), rng.normal(size=300)
    one, three = plant(x, y, threads=1, mtry=2), plant(x, y, threads=3, mtry=2)
    for name, array in one.arrays().items():
        np.testing.assert_array_equal(array, three.arrays()[name])
    big = np.tile(x, (40, 1)).astype(np.float32)
    assert one.predict(big, 1).tobytes() == one.predict(big, 3).tobytes()


def test_neighbouring_float32_values_are_told_apart() -> None:
    a = np.float32(1.0)
    b = np.nextafter(a, np.float32(2))
    x = np.array([[a], [b]] * 20, np.float32)
    y = np.array([0.0, 1.0] * 20)
    trees = plant(x, y, node_size=1)
    np.testing.assert_array_equal(trees.predict(x), y)


@pytest.mark.parametrize("random_splits", [False, True])
def test_nothing_to_split_is_one_leaf(random_splits: bool) -> None:
    rng = np.random.default_rng(0)
    assert (
        np.diff(plant(np.ones((30, 2)), rng.normal(size=30), random_splits=random_splits).offset) == 1
    ).all()
    flat = plant(rng.normal(size=(30, 2)), np.full(30, 0.1), random_splits=random_splits)
    assert (np.diff(flat.offset) == 1).all()
    np.testing.assert_allclose(flat.value, 0.1)
    assert plant([[1.0]], [3.0]).predict(np.array([[9.0]], np.float32)) == pytest.approx(3.0)


def test_random_thresholds_lie_inside_and_fit_less() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(500, 3))
    y = x[:, 0] + rng.normal(0, 0.1, 500)
    best, random = plant(x, y), plant(x, y, random_splits=True)
    inner = random.feature >= 0
    assert (random.threshold[inner] >= 0).all()
    assert (random.threshold[inner] <= 1).all()
    x32 = x.astype(np.float32)
    assert np.mean((random.predict(x32) - y) ** 2) >= np.mean((best.predict(x32) - y) ** 2)


def test_a_weight_of_two_counts_like_two_rows_in_the_sums() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(60, 2)), rng.normal(size=60)
    single, double = plant(x, y, node_size=50), plant(x, y, node_size=50, weights=np.full(60, 2.0))
    np.testing.assert_allclose(single.value, double.value)
    np.testing.assert_allclose(2 * single.cover, double.cover)


def test_joined_trees_predict_the_mean_and_damage_is_found() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(80, 2)).astype(np.float32), rng.normal(size=80)
    trees = plant(x, y)
    again = join([trees.only(t) for t in range(trees.n_trees)])
    np.testing.assert_array_equal(again.predict(x), trees.predict(x))
    for name, bad in (("left", 10**6), ("feature", 9), ("offset", -1)):
        arrays = {k: v.copy() for k, v in trees.arrays().items()}
        arrays[name][0] = bad
        with pytest.raises(InputError, match="damaged"):
            Trees(**arrays).check()
