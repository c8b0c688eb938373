"""Each learner against a package or a formula we did not write."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.spatial.distance import cdist

from talik.errors import ConfigError
from talik.rng import named_rng
from talik.upscaling.boosting import Boosting
from talik.upscaling.fast_loso import fast_leave_one_site_out
from talik.upscaling.folds import leave_groups_out
from talik.upscaling.forest import ExtraTrees, Forest, QuantileForest
from talik.upscaling.gaussian_process import GaussianProcess
from talik.upscaling.grow import bootstrap_counts
from talik.upscaling.learner import Data, row_weights
from talik.upscaling.learners import learner_types, make_learner
from talik.upscaling.stack import Stack, convex_weights


def friedman(n: int = 400, sites: int = 20, seed: int = 0, categories: bool = False) -> Data:
    """Friedman's first problem with an offset of each site."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(size=(n, 6))
    groups = np.sort(rng.integers(0, sites, n))
    groups = np.unique(groups, return_inverse=True)[1]
    y = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    y = y + rng.normal(0, 1, n) + rng.normal(0, 1, sites)[groups]
    levels = np.zeros(6, np.int16)
    if categories:
        x[:, 5] = rng.integers(0, 5, n)
        y = y + np.array([0, 4, -4, 2, 0])[x[:, 5].astype(int)]
        levels[5] = 5
    return Data(x.astype(np.float32), y, groups, np.ones(n), levels)


def rmse(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(np.mean((a - b) ** 2)))


def test_forest_is_as_good_as_scikit_learns() -> None:
    from sklearn.ensemble import RandomForestRegressor

    train, test = friedman(seed=1), friedman(2000, seed=2)
    ours = Forest(trees=200, node_size=1, mtry=2).fit(train, 0, 2).predict(test.x)
    theirs = RandomForestRegressor(200, max_features=2, random_state=0).fit(train.x, train.y).predict(test.x)
    assert rmse(ours, test.y) == pytest.approx(rmse(theirs, test.y), rel=0.03)


def test_extra_trees_are_as_good_as_scikit_learns_with_bootstrap() -> None:
    from sklearn.ensemble import ExtraTreesRegressor

    train, test = friedman(seed=1), friedman(2000, seed=2)
    ours = ExtraTrees(trees=200, node_size=1, mtry=3).fit(train, 0, 2).predict(test.x)
    theirs = ExtraTreesRegressor(200, max_features=3, bootstrap=True, random_state=0).fit(train.x, train.y)
    assert rmse(ours, test.y) == pytest.approx(rmse(theirs.predict(test.x), test.y), rel=0.03)


def test_mtry() -> None:
    assert Forest().drawn(17) == 5
    assert Forest().drawn(2) == 1
    assert ExtraTrees().drawn(10) == 5
    with pytest.raises(ConfigError, match="at most that"):
        Forest(mtry=7).drawn(6)


def test_quantiles_are_those_of_the_weighted_responses() -> None:
    data = friedman(120, categories=True)
    fitted = QuantileForest(trees=40).fit(data, 7)
    new = friedman(15, seed=9, categories=True).x
    seeds = named_rng(7, "trees").integers(0, 2**64, 40, dtype=np.uint64)
    count = bootstrap_counts(seeds, np.arange(120), 120)
    own, leaf = fitted.trees.leaves(data.x), fitted.trees.leaves(new)
    levels = [0.1, 0.5, 0.9]
    found = fitted.predict_quantiles(new, levels)
    for i in range(15):
        weight = np.zeros(120)
        for t in range(40):
            inside = count[t] * (own[:, t] == leaf[i, t])
            weight += inside / inside.sum() / 40
        assert weight @ data.y == pytest.approx(fitted.predict(new[i : i + 1])[0])
        order = np.argsort(data.y)
        reached = np.cumsum(weight[order])
        wanted = [data.y[order][np.argmax(reached >= q - 1e-12)] for q in levels]
        np.testing.assert_allclose(found[i], wanted)
    with pytest.raises(ConfigError, match="quantile-forest"):
        Forest(trees=5).fit(data, 0).predict_quantiles(new, levels)


def test_boosting_decides_as_lightgbm_does(monkeypatch: pytest.MonkeyPatch) -> None:
    import lightgbm

    kept = []
    train = lightgbm.train
    monkeypatch.setattr(lightgbm, "train", lambda *a, **k: kept.append(train(*a, **k)) or kept[-1])
    data = friedman(500, categories=True)
    ours = Boosting(rounds=60).fit(data, 3)
    new = friedman(3000, seed=5, categories=True).x
    np.testing.assert_allclose(ours.predict(new), kept[0].predict(new.astype(float)), rtol=1e-12, atol=1e-12)
    assert (ours.trees.levels > 0).any()
    again = Boosting(rounds=60).fit(data, 3, threads=2)
    assert again.predict(new, 2).tobytes() == ours.predict(new).tobytes()
    assert (Boosting(rounds=60).fit(data, 4).predict(new) != ours.predict(new)).any()


def test_gaussian_process_is_scikit_learns() -> None:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Matern, WhiteKernel

    data, new = friedman(150), friedman(40, seed=3).x
    ours = GaussianProcess(length=3.0, noise=0.2, site=0.0).fit(data, 0).predict(new)
    x = data.x.astype(float)
    scale = x.std(0) * np.sqrt(0.6)
    theirs = GaussianProcessRegressor(Matern(3.0, nu=0.5) + WhiteKernel(0.2), optimizer=None, alpha=0)
    theirs.fit((x - x.mean(0)) / scale, data.y - data.y.mean())
    np.testing.assert_allclose(
        ours - data.y.mean(), theirs.predict((new - x.mean(0)) / scale), rtol=1e-7, atol=1e-7
    )


def test_left_out_predictions_of_the_process_are_those_of_a_refit() -> None:
    data = friedman(160, categories=True)
    learner = GaussianProcess(site=0.4)
    rows, _, _ = learner._scale(data)
    covariance = np.exp(-cdist(rows, rows)) + 0.4 * (data.groups[:, None] == data.groups[None])
    covariance += 0.3 * np.eye(160)
    held = leave_groups_out(data.groups).held
    for (train, test), found in zip(held, learner.leave_out(data, held, 0), strict=True):
        weights = np.linalg.solve(covariance[np.ix_(train, train)], data.y[train] - data.y.mean())
        wanted = data.y.mean() + covariance[np.ix_(test, train)] @ weights
        np.testing.assert_allclose(found[:, 0], wanted, rtol=1e-8, atol=1e-8)


def test_convex_weights_are_optimal() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=300)
    predicted = y[:, None] + rng.normal(size=(300, 4)) * [1.0, 1.5, 3.0, 9.0] + [0, 0.5, 0, 0]
    w = rng.uniform(0.5, 2, 300)
    found = convex_weights(predicted, y, w)
    loss = lambda v: w @ (predicted @ v - y) ** 2  # noqa: E731
    best = minimize(
        loss, np.full(4, 0.25), bounds=[(0, 1)] * 4, constraints={"type": "eq", "fun": lambda v: v.sum() - 1}
    )
    assert found.sum() == pytest.approx(1, abs=1e-9)
    assert (found >= 0).all()
    assert loss(found) <= best.fun * (1 + 1e-6)


QUICK_STACK = {"forest": {"trees": 20}, "extra_trees": {"trees": 20}, "inner_trees": 10}


@pytest.mark.parametrize("name", sorted(learner_types()))
def test_a_left_out_site_has_no_say_in_its_own_prediction(name: str) -> None:
    settings = QUICK_STACK if name == "stack" else {"trees": 20} if "tree" in name or "forest" in name else {}
    learner = make_learner(name, settings)
    data = friedman(150, sites=10)
    held = leave_groups_out(data.groups).held[:3]
    before = learner.leave_out(data, held, 1)
    changed = data.y.copy()
    own = held[0][1]
    changed[own] = changed[own][::-1]  # the same sum: the process takes its mean over all rows
    after = learner.leave_out(Data(data.x, changed, data.groups, data.weights, data.n_levels), held, 1)
    np.testing.assert_allclose(after[0], before[0], rtol=1e-9)
    assert not np.allclose(after[1], before[1], rtol=1e-9)


def test_fast_leave_one_site_out() -> None:
    data = friedman(400, sites=25)
    learner = Forest(trees=150)
    brute = np.empty(400)
    folds = leave_groups_out(data.groups).held
    for (_, test), found in zip(folds, learner.leave_out(data, folds, 1, 2), strict=True):
        brute[test] = found[:, 0]
    fast = fast_leave_one_site_out(learner, data, 1, parts=25, trees=100)
    assert rmse(fast, data.y) == pytest.approx(rmse(brute, data.y), rel=0.03)
    own = data.groups == 4
    changed = np.where(own, data.y + 500, data.y)
    moved = Data(data.x, changed, data.groups, data.weights, data.n_levels)
    again = fast_leave_one_site_out(learner, moved, 1, parts=25, trees=100)
    np.testing.assert_array_equal(again[own], fast[own])


def test_row_weights_make_sites_alike() -> None:
    groups = np.array([0] * 9 + [1] * 3)
    weights = row_weights(groups, 1.0)
    assert weights.mean() == pytest.approx(1)
    assert weights[:9].sum() == pytest.approx(weights[9:].sum())
    np.testing.assert_array_equal(row_weights(groups, 0.0), 1)


def test_names_and_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="choose one of forest, extra-trees"):
        make_learner("tabular")
    with pytest.raises(ConfigError, match="It has trees, mtry, node_size"):
        make_learner("forest", {"tress": 5})
    with pytest.raises(ConfigError, match="too few for 5 inner folds"):
        Stack().fit(friedman(40, sites=3), 0)
