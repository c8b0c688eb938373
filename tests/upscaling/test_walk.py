"""The prediction kernel against one row after the other, scikit-learn, LightGBM's own trees and JAX."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
from sklearn.tree import DecisionTreeRegressor

from talik.errors import InputError
from talik.upscaling import packed, walk
from talik.upscaling.boosting import Boosting
from talik.upscaling.coherence import coherent_order, coordinates
from talik.upscaling.forest import Forest
from talik.upscaling.imported import from_sklearn, round_down
from talik.upscaling.learner import Data
from talik.upscaling.packed import Packed, predict_all
from talik.upscaling.trees import Trees


def one_after_the_other(trees: Trees, x):
    """Leaf of every row in every tree, and the mean of their values, with nothing clever in it."""
    out, ends = np.zeros(len(x)), np.empty((len(x), trees.n_trees), np.int64)
    for i, row in enumerate(x):
        for t in range(trees.n_trees):
            k = int(trees.offset[t])
            while trees.feature[k] >= 0:
                f = int(trees.feature[k])
                if trees.n_levels[f]:
                    left = bool((int(trees.levels[k]) >> int(row[f])) & 1)
                else:
                    left = not row[f] > trees.threshold[k]
                k = int(trees.left[k]) + (not left)
            ends[i, t] = k
            out[i] += trees.value[k]
    return out / trees.n_trees, ends


def world(n=400, *, seed=3, levels=(0, 0, 12, 0, 5, 1)):
    """Rows with continuous and categorical predictors, values that repeat, and a response."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, len(levels))).astype(np.float32)
    x[:, 1] = np.round(x[:, 1])
    for k, many in enumerate(levels):
        if many:
            x[:, k] = rng.integers(0, many, n)
    y = x[:, 0] * (x[:, 2] > 5) + np.sin(x[:, 3]) + x[:, 4] + 0.1 * rng.normal(size=n)
    return Data(x, y, np.arange(n) // 20, np.ones(n), np.array(levels, np.int16))


@pytest.fixture(scope="module")
def forest() -> tuple[Data, Trees]:
    data = world()
    return data, Forest(trees=40, node_size=1).fit(data, 1).trees


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 130, 1500])
def test_equals_one_row_after_the_other(forest, n) -> None:
    _, trees = forest
    x = world(n, seed=n).x
    mean, ends = one_after_the_other(trees, x)
    assert np.array_equal(trees.predict(x), mean)
    assert np.array_equal(trees.leaves(x), ends)


def test_pruning_slabs_and_threads_change_no_byte(forest, monkeypatch) -> None:
    _, trees = forest
    x = world(3000, seed=9).x
    x[:, 2] = 7  # one month, as in a layer
    whole = trees.predict(x)
    assert np.array_equal(whole, trees.predict(x, threads=3))
    monkeypatch.setattr(packed, "SLAB", 512)
    monkeypatch.setattr(packed, "CHUNK", 128)
    monkeypatch.setattr(packed, "PRUNE_FROM", 1)
    assert np.array_equal(whole, trees.predict(x))
    assert np.array_equal(whole, trees.predict(x, threads=2))
    assert np.array_equal(trees.leaves(x), one_after_the_other(trees, x)[1])


def test_pruning_leaves_the_splits_that_are_needed(forest) -> None:
    _, trees = forest
    x = world(500, seed=4).x
    x[:, 2], x[:, 4] = 3, 1
    ready = Packed.of(trees)
    small = ready.within(x)
    inner = (small.words >> np.uint64(20)) & np.uint64(1023) != walk.LEAF
    assert len(small.words) < 0.7 * len(ready.words)
    used = set(((small.words[inner] >> np.uint64(20)) & np.uint64(1023)).astype(int))
    assert used <= {0, 1, 3}
    assert np.array_equal(small.value, trees.value[small.origin])
    one = ready.within(x[:1])
    assert len(one.words) == trees.n_trees  # a point is told apart from nothing
    assert np.isclose(one.value.mean(), trees.predict(x[:1])[0], rtol=1e-14)


def test_several_forests_at_once(forest) -> None:
    data, trees = forest
    other = Forest(trees=11, mtry=1).fit(data, 5).trees
    x = world(700, seed=8).x
    both = predict_all([Packed.of(trees), Packed.of(other)], x)
    assert np.array_equal(both[:, 0], trees.predict(x))
    assert np.array_equal(both[:, 1], other.predict(x))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 200))
def test_any_small_forest(seed, n_trees, n) -> None:
    rng = np.random.default_rng(seed)
    levels = tuple(rng.choice([0, 0, 2, 9, 64], 3))
    data = world(60, seed=seed, levels=(*levels, 0, 3, 0))
    trees = Forest(trees=n_trees, node_size=int(rng.integers(1, 60))).fit(data, seed % 1000).trees
    x = world(n, seed=seed + 1, levels=(*levels, 0, 3, 0)).x
    assert np.array_equal(trees.predict(x), one_after_the_other(trees, x)[0])


def test_boosted_trees() -> None:
    data = world(600)
    trees = Boosting(rounds=60).fit(data, 1).trees
    x = world(300, seed=2).x
    assert np.array_equal(trees.predict(x), one_after_the_other(trees, x)[0])


@pytest.mark.parametrize("kind", [RandomForestRegressor, ExtraTreesRegressor])
@pytest.mark.parametrize("node", [1, 5])
def test_scikit_learn_forests_predict_the_same(kind, node) -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(280, 20, (900, 7)).astype(np.float32)
    x[:, 3] = np.round(x[:, 3], 1)
    y = x[:, 0] - x[:, 1] * (x[:, 2] > 280)
    made = kind(60, min_samples_leaf=node, max_features=3, random_state=1).fit(x, y)
    trees = from_sklearn(made)
    # rows on, just above and just below thresholds, where a rounded threshold would decide otherwise
    tests = rng.normal(280, 20, (2000, 7)).astype(np.float32)
    at = rng.integers(0, trees.n_nodes, 1500)
    at = at[trees.feature[at] >= 0]
    for k, node_at in enumerate(at):
        near = trees.threshold[node_at]
        beside = (near, np.nextafter(near, np.float32(1e9)), np.nextafter(near, np.float32(-1e9)))
        tests[k, trees.feature[node_at]] = beside[k % 3]
    wanted = made.predict(tests)
    ours = trees.predict(tests)
    assert np.array_equal(ours.astype(np.float32), wanted.astype(np.float32))
    assert np.allclose(ours, wanted, rtol=1e-14)
    own = np.stack([m.apply(tests) for m in made.estimators_], 1)
    ends = trees.leaves(tests)
    for t in range(trees.n_trees):  # the same rows share leaves
        assert len(np.unique(np.stack([own[:, t], ends[:, t]]), axis=1).T) == len(np.unique(own[:, t]))


def test_what_is_no_regression_forest_is_refused() -> None:
    x = np.random.default_rng(1).normal(size=(50, 2))
    with pytest.raises(InputError, match="outputs"):
        from_sklearn(DecisionTreeRegressor().fit(x, x))
    with pytest.raises(InputError, match="fitted"):
        from_sklearn(RandomForestRegressor())


@given(st.floats(-1e30, 1e30))
def test_rounding_down_decides_every_float32_alike(threshold) -> None:
    low = round_down(np.array([threshold]))[0]
    for value in (low, np.nextafter(low, np.float32(np.inf)), np.nextafter(low, np.float32(-np.inf))):
        assert (float(value) <= threshold) == bool(value <= low)


def test_trees_too_large_for_a_word_are_refused(forest, monkeypatch) -> None:
    monkeypatch.setattr(walk, "MAX_NODES", 10)
    with pytest.raises(InputError, match="at most 10"):
        Packed.of(forest[1])


def test_deep_trees() -> None:
    """A chain of 5,000 splits: far deeper than any queue of a balanced tree."""
    depth = 5000
    feature = np.tile(np.array([0, -1], np.int16), depth)
    feature = np.concatenate([[0], np.tile([-1, 0], depth - 1), [-1, -1]]).astype(np.int16)
    n = len(feature)
    inner = np.flatnonzero(feature == 0)
    left = np.zeros(n, np.int32)
    left[inner] = 1 + 2 * np.arange(len(inner))
    threshold = np.zeros(n, np.float32)
    threshold[inner] = np.arange(len(inner))
    trees = Trees(
        np.array([0, n]), feature, threshold, np.zeros(n, np.uint64), left,
        np.arange(n, dtype=float), np.ones(n), np.zeros(1, np.int16),
    ).check()  # fmt: skip
    x = np.linspace(-3, depth + 3, 777, dtype=np.float32)[:, None]
    assert np.array_equal(trees.predict(x), one_after_the_other(trees, x)[0])


def test_order_is_a_permutation_that_keeps_like_rows_together(forest) -> None:
    _, trees = forest
    edges, length = coordinates(trees.feature, trees.threshold, trees.cover, trees.n_levels)
    assert np.isclose(length.sum(), 1)
    assert (np.diff(edges[:4], axis=1) >= 0).all()
    x = world(5000, seed=6).x
    order = coherent_order(x, edges, length)
    assert np.array_equal(np.sort(order), np.arange(len(x)))
    leaves = one_after_the_other(trees, x[:2000])[1]
    order = coherent_order(x[:2000], edges, length)

    def distinct(rows):
        return np.mean([len(np.unique(leaves[rows[a : a + 64], 0])) for a in range(0, 1984, 64)])

    assert distinct(order) < 0.75 * distinct(np.arange(2000))


def test_constant_predictors_and_forests_without_splits() -> None:
    data = replace(world(100), y=np.full(100, 2.5))
    trees = Forest(trees=5).fit(data, 1).trees
    assert np.array_equal(trees.predict(data.x), np.full(100, 2.5))
    assert np.array_equal(trees.leaves(data.x), np.tile(trees.offset[:-1], (100, 1)))


def test_jax_gives_the_same_bits(forest) -> None:
    from talik.upscaling.jax_trees import DeviceForest

    _, trees = forest
    x = world(500, seed=12).x
    assert np.array_equal(DeviceForest(Packed.of(trees)).predict(x, rows=200), trees.predict(x))
    continuous = world(300, levels=(0, 0, 0, 0, 0, 0))
    plain = Forest(trees=9).fit(continuous, 2).trees
    assert np.array_equal(DeviceForest(Packed.of(plain)).predict(continuous.x), plain.predict(continuous.x))
