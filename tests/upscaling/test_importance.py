"""Permutation importance against its expectation for a linear function, scikit-learn and matplotlib's boxes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.cbook import boxplot_stats
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance as sklearn_importance

from talik.errors import InputError
from talik.upscaling.importance import Importance, held_out, permutation_importance

Array = npt.NDArray[np.float64]
SLOPES = np.array([3.0, -1.0, 0.5, 0.0])
NAMES = ("temperature", "srad", "ndvi", "co2")


def linear(x: Array) -> Array:
    return np.asarray((x * SLOPES).sum(axis=1))


def sample(n: int = 400, noise: float = 2.0) -> tuple[Array, Array]:
    rng = np.random.default_rng(11)
    x = rng.normal(size=(n, 4))
    return x, linear(x) + noise * rng.normal(size=n)


def of_name(result: Importance, name: str) -> Array:
    return result.increase[result.names.index(name)]


def test_expected_increase_of_a_linear_function() -> None:
    """Over all permutations the mean squared error grows by 2 b^2 var(x_j) + 2 b cov(e, x_j), e the residual."""
    x, y = sample()
    got = permutation_importance(linear, x, y, NAMES, seed=1, repeats=400)
    residual = y - linear(x)
    assert got.base == pytest.approx(np.sqrt((residual**2).mean()), rel=1e-12)
    for j, name in enumerate(NAMES[:3]):
        squares = (of_name(got, name) + got.base) ** 2 - got.base**2
        covariance = np.cov(residual, x[:, j], bias=True)[0, 1]
        expected = 2 * SLOPES[j] ** 2 * x[:, j].var() + 2 * SLOPES[j] * covariance
        assert abs(squares.mean() - expected) < 4 * squares.std(ddof=1) / np.sqrt(400)
        assert squares.std(ddof=1) / np.sqrt(400) < 0.05 * expected  # the test can tell a wrong factor


def test_an_unused_column_has_exactly_no_importance() -> None:
    x, y = sample()
    got = permutation_importance(linear, x, y, NAMES, seed=1, repeats=5)
    assert got.names == ("temperature", "srad", "ndvi", "co2")
    assert (of_name(got, "co2") == 0).all()


def test_against_scikit_learn() -> None:
    x, y = sample(250)
    model = RandomForestRegressor(10, random_state=0).fit(x, y)
    got = permutation_importance(model.predict, x, y, NAMES, seed=7, repeats=40)
    expected = sklearn_importance(
        model, x, y, scoring="neg_root_mean_squared_error", n_repeats=40, random_state=0
    )
    for j, name in enumerate(NAMES):
        ours, theirs = of_name(got, name), expected.importances[j]
        error = np.sqrt((ours.var(ddof=1) + theirs.var(ddof=1)) / 40)
        assert abs(ours.mean() - theirs.mean()) < 4 * error
        assert error < 0.06 * theirs.mean() + 0.01


def test_values_depend_on_seed_and_name_alone() -> None:
    x, y = sample(100)
    got = permutation_importance(linear, x, y, NAMES, seed=3, repeats=10)
    assert got.increase.shape == (4, 10)
    swap = [2, 0, 3, 1]
    shuffled = permutation_importance(
        lambda v: linear(v[:, np.argsort(swap)]), x[:, swap], y, [NAMES[j] for j in swap], seed=3, repeats=10
    )
    for name in NAMES:
        np.testing.assert_array_equal(of_name(shuffled, name), of_name(got, name))
    other = permutation_importance(linear, x, y, NAMES, seed=4, repeats=10)
    assert not np.isin(of_name(other, "srad"), of_name(got, "srad")).any()


def test_a_block_is_permuted_as_one() -> None:
    """The model uses a - b of two equal columns: alone each matters, together they cancel under one permutation."""
    x, _ = sample(100)
    x[:, 1] = x[:, 0]

    def difference(v: Array) -> Array:
        return np.asarray(v[:, 0] - v[:, 1] + v[:, 2])

    blocks = {"pair": ["temperature", "srad"], "one": ["ndvi"]}
    got = permutation_importance(difference, x, difference(x), NAMES, seed=2, repeats=20, blocks=blocks)
    assert len(got.names) == 6
    assert np.abs(of_name(got, "pair")).max() < 1e-12
    assert of_name(got, "temperature").min() > 0.5
    assert abs(of_name(got, "one").mean() - of_name(got, "ndvi").mean()) < 0.1
    assert list(got.increase.mean(axis=1)) == sorted(got.increase.mean(axis=1), reverse=True)


def test_boxes_are_those_of_matplotlib() -> None:
    rng = np.random.default_rng(0)
    increase = rng.standard_t(2, size=(3, 100))
    increase[2] = np.repeat([1.0, 2.0], 50)
    boxes = Importance(1.0, ("a", "b", "c"), increase).boxes()
    assert list(boxes.index) == ["a", "b", "c"]
    columns = ["mean", "whisker_low", "hinge_low", "median", "hinge_high", "whisker_high"]
    assert list(boxes.columns) == columns
    for values, box in zip(increase, boxes.to_numpy(), strict=True):
        theirs = boxplot_stats(values, whis=1.5)[0]
        np.testing.assert_allclose(box, [theirs[k] for k in ("mean", "whislo", "q1", "med", "q3", "whishi")])
    assert boxes.loc["a", "whisker_high"] < increase[0].max()  # heavy tails: some values lie outside


def test_held_out_rows_are_predicted_by_their_own_model() -> None:
    x, y = sample(90)
    fold = np.arange(90) % 3
    models = [lambda v, k=k: linear(v) + 10.0 * k for k in range(3)]
    predict = held_out(models, fold)
    np.testing.assert_array_equal(predict(x), linear(x) + 10.0 * fold)
    np.testing.assert_array_equal(predict(np.tile(x, (2, 1))), np.tile(linear(x) + 10.0 * fold, 2))
    got = permutation_importance(predict, x, y, NAMES, seed=1, repeats=6)
    same = permutation_importance(linear, x, y - 10.0 * fold, NAMES, seed=1, repeats=6)
    np.testing.assert_allclose(got.increase, same.increase, atol=1e-12)


def test_errors_say_what_does_not_fit() -> None:
    x, y = sample(20)
    with pytest.raises(InputError, match="there are 3 names"):
        permutation_importance(linear, x, y, NAMES[:3], seed=0)
    with pytest.raises(InputError, match="y holds values that are not finite"):
        permutation_importance(linear, x, np.where(y > 0, y, np.nan), NAMES, seed=0)
    with pytest.raises(InputError, match="repeats is 0"):
        permutation_importance(linear, x, y, NAMES, seed=0, repeats=0)
    with pytest.raises(InputError, match=r"names used twice: \['co2'\]"):
        permutation_importance(linear, x, y, NAMES, seed=0, blocks={"co2": ["ndvi"]})
    with pytest.raises(InputError, match=r"no predictors: \['lai'\]"):
        permutation_importance(linear, x, y, NAMES, seed=0, blocks={"green": ["ndvi", "lai"]})
    with pytest.raises(InputError, match=r"one number in 0\.\.0 per row"):
        held_out([linear], np.array([0, 1]))
    with pytest.raises(InputError, match="copies of the 20 rows"):
        held_out([linear], np.zeros(20, int))(x[:7])
