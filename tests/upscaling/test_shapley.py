"""Shapley values of a forest against the definition over all subsets, the shap package and a case done by hand."""

from __future__ import annotations

import itertools
import math
import warnings
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestRegressor

from talik.errors import InputError
from talik.upscaling.shapley import (
    GROUP_OF,
    GROUPS,
    attribute_change,
    dominant,
    tree_shap,
    tree_shap_interactions,
)
from talik.upscaling.trees import Trees, join

Array = npt.NDArray[np.float64]


def random_tree(rng: np.random.Generator, n_levels: list[int], depth: int) -> Trees:
    """A tree with random splits (predictors repeat along paths), covers and values."""
    feature, threshold, levels, left, value, cover = (
        [-1],
        [0.0],
        [0],
        [0],
        [0.0],
        [float(rng.integers(40, 200))],
    )
    queue = [(0, 0)]
    while queue:
        node, level = queue.pop(0)
        value[node] = rng.normal(0.0, 20.0)
        if level == depth or cover[node] < 4 or (level > 1 and rng.random() < 0.2):
            continue
        f = int(rng.integers(len(n_levels)))
        feature[node], left[node] = f, len(feature)
        threshold[node] = float(rng.normal())
        levels[node] = int(rng.integers(1 << n_levels[f])) if n_levels[f] else 0
        on_left = float(rng.integers(1, int(cover[node])))
        for part in (on_left, cover[node] - on_left):
            queue.append((len(feature), level + 1))
            for column, start in ((feature, -1), (threshold, 0.0), (levels, 0), (left, 0), (value, 0.0)):
                column.append(start)  # type: ignore[arg-type]
            cover.append(part)
    return Trees(
        offset=np.array([0, len(feature)], np.int64),
        feature=np.array(feature, np.int16),
        threshold=np.array(threshold, np.float32),
        levels=np.array(levels, np.uint64),
        left=np.array(left, np.int32),
        value=np.array(value),
        cover=np.array(cover),
        n_levels=np.array(n_levels, np.int16),
    )


def random_forest(seed: int, n_trees: int = 3, depth: int = 6) -> tuple[Trees, npt.NDArray[np.float32]]:
    """A forest over four continuous and two categorical predictors, and 12 rows."""
    rng = np.random.default_rng(seed)
    n_levels = [0, 12, 0, 3, 0, 0]
    trees = join([random_tree(rng, n_levels, depth) for _ in range(n_trees)]).check()
    x = np.stack([rng.integers(n, size=12) if n else rng.normal(size=12) for n in n_levels], axis=1)
    return trees, x.astype(np.float32)


def additive_forest() -> tuple[Trees, npt.NDArray[np.float32]]:
    """Two trees that use one predictor each, 0 and 2, so that the forest is a sum of functions; and 50 rows."""
    rng = np.random.default_rng(2)
    parts = []
    for f in (0, 2):
        tree = random_tree(rng, [0, 0, 0], 4)
        parts.append(replace(tree, feature=np.where(tree.feature >= 0, f, -1).astype(np.int16)))
    return join(parts).check(), rng.normal(size=(50, 3)).astype(np.float32)


def worth(trees: Trees, node: int, row: npt.NDArray[np.float32], known: set[int]) -> float:
    """Expected value of one tree below `node` with the predictors `known`, straight from its definition."""
    f = int(trees.feature[node])
    if f < 0:
        return float(trees.value[node])
    a = int(trees.left[node])
    if f in known:
        if trees.n_levels[f]:
            goes_left = bool(int(trees.levels[node]) >> int(row[f]) & 1)
        else:
            goes_left = bool(row[f] <= trees.threshold[node])
        return worth(trees, a if goes_left else a + 1, row, known)
    sides = [trees.cover[c] / trees.cover[node] * worth(trees, c, row, known) for c in (a, a + 1)]
    return float(sum(sides))


def worths(trees: Trees, row: npt.NDArray[np.float32]) -> dict[frozenset[int], float]:
    p = len(trees.n_levels)
    subsets = [frozenset(s) for k in range(p + 1) for s in itertools.combinations(range(p), k)]
    roots = trees.offset[:-1]
    return {s: float(np.mean([worth(trees, int(r), row, set(s)) for r in roots])) for s in subsets}


def shapley_by_definition(v: dict[frozenset[int], float], p: int) -> Array:
    phi = np.zeros(p)
    for i in range(p):
        for s in v:
            if i not in s:
                weight = math.factorial(len(s)) * math.factorial(p - len(s) - 1) / math.factorial(p)
                phi[i] += weight * (v[s | {i}] - v[s])
    return phi


def interactions_by_definition(v: dict[frozenset[int], float], p: int) -> Array:
    out = np.zeros((p, p))
    for i, j in itertools.permutations(range(p), 2):
        for s in v:
            if i not in s and j not in s:
                weight = math.factorial(len(s)) * math.factorial(p - len(s) - 2) / (2 * math.factorial(p - 1))
                out[i, j] += weight * (v[s | {i, j}] - v[s | {i}] - v[s | {j}] + v[s])
    out[np.diag_indices(p)] = shapley_by_definition(v, p) - out.sum(axis=1)
    return out


def from_sklearn(forest: RandomForestRegressor, p: int) -> Trees:
    """A scikit-learn forest as flat arrays; nodes are put in breadth-first order so that children are neighbours."""
    parts = []
    for one in forest.estimators_:
        t = one.tree_
        order = [0]
        for node in order:
            if t.children_left[node] >= 0:
                order += [int(t.children_left[node]), int(t.children_right[node])]
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        inner = t.children_left[order] >= 0
        threshold = t.threshold[order].astype(
            np.float32
        )  # the largest float32 not above the float64 threshold
        threshold = np.where(
            threshold > t.threshold[order], np.nextafter(threshold, np.float32(-np.inf)), threshold
        )
        parts.append(
            Trees(
                offset=np.array([0, len(order)], np.int64),
                feature=np.where(inner, t.feature[order], -1).astype(np.int16),
                threshold=threshold.astype(np.float32),
                levels=np.zeros(len(order), np.uint64),
                left=np.where(inner, place[t.children_left[order]], 0).astype(np.int32),
                value=t.value[order, 0, 0],
                cover=t.weighted_n_node_samples[order],
                n_levels=np.zeros(p, np.int16),
            )
        )
    return join(parts).check()


@pytest.fixture(scope="module")
def fitted() -> tuple[RandomForestRegressor, Trees, npt.NDArray[np.float32]]:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(300, 17)).astype(np.float32)
    y = 20 * x[:, 0] * x[:, 1] - 10 * np.abs(x[:, 2]) + x[:, 3:] @ rng.normal(size=14) + rng.normal(size=300)
    forest = RandomForestRegressor(8, min_samples_split=6, max_features=6, random_state=1).fit(x, y)
    return forest, from_sklearn(forest, 17), x


def test_one_split_by_hand() -> None:
    # 3 of 4 responses go left to 2, one right to 10: base 4, a row on the right is moved by 6, all by predictor 1
    one = Trees(
        offset=np.array([0, 3], np.int64),
        feature=np.array([1, -1, -1], np.int16),
        threshold=np.array([0.5, 0, 0], np.float32),
        levels=np.zeros(3, np.uint64),
        left=np.array([1, 0, 0], np.int32),
        value=np.array([4.0, 2.0, 10.0]),
        cover=np.array([4.0, 3.0, 1.0]),
        n_levels=np.zeros(2, np.int16),
    )
    phi, base = tree_shap(one, np.array([[9, 0.5], [9, 0.6]], np.float32))
    assert base == 4.0
    np.testing.assert_allclose(phi, [[0, -2], [0, 6]], atol=1e-14)


def test_a_forest_of_leaves_moves_nothing() -> None:
    trees, x = random_forest(0, n_trees=2, depth=0)
    phi, base = tree_shap(trees, x)
    assert base == pytest.approx(trees.value.mean())
    assert not phi.any()


@pytest.mark.parametrize("seed", range(6))
def test_values_are_those_of_the_definition(seed: int) -> None:
    trees, x = random_forest(seed)
    phi, base = tree_shap(trees, x[:3])
    interactions = tree_shap_interactions(trees, x[:3])
    for i in range(3):
        v = worths(trees, x[i])
        assert base == pytest.approx(v[frozenset()], abs=1e-12)
        np.testing.assert_allclose(phi[i], shapley_by_definition(v, 6), atol=1e-12)
        np.testing.assert_allclose(interactions[i], interactions_by_definition(v, 6), atol=1e-12)


@given(seed=st.integers(0, 10_000), depth=st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_base_and_values_add_up_to_the_prediction(seed: int, depth: int) -> None:
    trees, x = random_forest(seed, depth=depth)
    phi, base = tree_shap(trees, x)
    np.testing.assert_allclose(base + phi.sum(axis=1), trees.predict(x), atol=1e-9)
    unused = sorted(set(range(6)) - set(trees.feature.tolist()))
    assert not phi[:, unused].any()


def test_against_the_shap_package(
    fitted: tuple[RandomForestRegressor, Trees, npt.NDArray[np.float32]],
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shap = pytest.importorskip("shap")
        forest, trees, x = fitted
        explainer = shap.TreeExplainer(forest, feature_perturbation="tree_path_dependent")
        expected = explainer.shap_values(x[:40], check_additivity=False)
        expected_pairs = explainer.shap_interaction_values(x[:5])
    np.testing.assert_allclose(trees.predict(x), forest.predict(x), atol=1e-10)
    phi, base = tree_shap(trees, x[:40])
    assert base == pytest.approx(float(np.ravel(explainer.expected_value)[0]), abs=1e-9)
    np.testing.assert_allclose(phi, expected, atol=1e-9)
    np.testing.assert_allclose(tree_shap_interactions(trees, x[:5]), expected_pairs, atol=1e-9)


def test_predictors_that_only_add_up_do_not_interact() -> None:
    trees, x = additive_forest()
    pairs = tree_shap_interactions(trees, x)
    phi, _ = tree_shap(trees, x)
    np.testing.assert_allclose(pairs, np.eye(3) * phi[:, None, :], atol=1e-12)
    assert np.abs(phi[:, [0, 2]]).max() > 1


def test_the_same_bytes_for_any_number_of_threads(
    fitted: tuple[RandomForestRegressor, Trees, npt.NDArray[np.float32]],
) -> None:
    _, trees, x = fitted
    phi, _ = tree_shap(trees, x)
    assert phi.tobytes() == tree_shap(trees, x, threads=3)[0].tobytes()
    assert phi[70:71].tobytes() == tree_shap(trees, x[70:71])[0].tobytes()
    pairs = tree_shap_interactions(trees, x[:130])
    assert pairs.tobytes() == tree_shap_interactions(trees, x[:130], threads=3).tobytes()


def test_parts_of_a_change_sum_to_the_change_of_the_budget(
    fitted: tuple[RandomForestRegressor, Trees, npt.NDArray[np.float32]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, trees, x = fitted
    now = x.copy()
    now[:, 0] += 0.7
    area = np.linspace(1e6, 9e7, len(x))
    parts = attribute_change(trees, x, now, area)
    change = area @ trees.predict(now) - area @ trees.predict(x)
    assert parts.sum() == pytest.approx(change, rel=1e-9)
    assert abs(parts[0]) > np.abs(parts[1:]).max()
    monkeypatch.setattr("talik.upscaling.shapley.CHUNK_ROWS", 101)
    np.testing.assert_allclose(attribute_change(trees, x, now, area, threads=2), parts, rtol=1e-9)


def test_a_change_in_an_additive_model_goes_to_the_predictor_that_changed() -> None:
    trees, then = additive_forest()
    now = then.copy()
    now[:, 2] += 1.0
    area = np.linspace(1, 2, len(then))
    change = attribute_change(trees, then, now, area)
    np.testing.assert_allclose(change[:2], 0.0, atol=1e-11)
    assert change[2] == pytest.approx(area @ (trees.predict(now) - trees.predict(then)), rel=1e-9)
    assert abs(change[2]) > 1


def test_dominant_takes_the_largest_absolute_value_and_its_group() -> None:
    phi = np.array([[1.0, -3.0, 2.0], [0.5, 0.5, -0.1], [-9.0, 0.0, 8.0]])
    got = dominant(phi, ["climate", "vegetation", "other"])
    assert got.first.tolist() == [1, 0, 0]
    assert got.second.tolist() == [2, 1, 2]
    assert [GROUPS[g] for g in got.first_group] == ["vegetation", "climate", "climate"]
    assert [GROUPS[g] for g in got.second_group] == ["other", "vegetation", "other"]


def test_every_predictor_of_the_model_has_a_group() -> None:
    assert len(GROUP_OF) == 17
    assert set(GROUP_OF.values()) == set(GROUPS)


def test_errors_say_what_does_not_fit() -> None:
    trees, x = random_forest(1)
    bad = x.copy()
    bad[3, 1] = 12
    with pytest.raises(InputError, match=r"column 1 is categorical with levels coded 0\.\.11"):
        tree_shap(trees, bad)
    bad[3, 1] = np.nan
    with pytest.raises(InputError, match="not finite"):
        tree_shap_interactions(trees, bad)
    with pytest.raises(InputError, match=r"shape \(12, 5\); the trees need \(rows, 6\)"):
        tree_shap(trees, x[:, :5])
    with pytest.raises(InputError, match="cover 0"):
        tree_shap(replace(trees, cover=np.where(trees.feature < 0, 0.0, trees.cover)), x)
    with pytest.raises(InputError, match="same pixel-months"):
        attribute_change(trees, x, x[:5], np.ones(5))
    with pytest.raises(InputError, match="area_weights holds values that are not finite"):
        attribute_change(trees, x, x, np.full(12, np.nan))
    with pytest.raises(InputError, match="unknown groups"):
        dominant(np.ones((2, 2)), ["climate", "soil"])
    with pytest.raises(InputError, match="one group for each"):
        dominant(np.ones((2, 2)), ["climate"])
    with pytest.raises(InputError, match="dominant: phi holds values"):
        dominant(np.full((2, 2), np.nan), ["climate", "other"])
