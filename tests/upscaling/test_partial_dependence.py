"""Partial dependence and H-squared against scikit-learn and functions whose answer is known in closed form."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import partial_dependence as sklearn_partial_dependence

from talik.errors import InputError
from talik.upscaling import partial_dependence as module
from talik.upscaling.partial_dependence import grid_of, interactions, pair_dependence, partial_dependence

Array = npt.NDArray[np.float64]


def product_and_sum(x: Array) -> Array:
    """x1 x2 + x3, and nothing of x4."""
    return np.asarray(x[:, 0] * x[:, 1] + x[:, 2])


def correlated(n: int = 60) -> Array:
    rng = np.random.default_rng(3)
    z = rng.normal(size=(n, 4))
    return z + 0.5 * z[:, [1, 0, 0, 2]] + 1.0


@pytest.fixture(scope="module")
def forest() -> tuple[RandomForestRegressor, Array]:
    x = correlated(200)
    x[:, 3] = np.round(2 * x[:, 3])
    y = product_and_sum(x) + x[:, 3]
    return RandomForestRegressor(10, random_state=0).fit(x, y), x


def test_grid_has_51_even_points_or_fewer_distinct_values_or_every_level() -> None:
    many = np.random.default_rng(0).uniform(-3, 9, 200).astype(np.float32)
    grid = grid_of(many)
    assert len(grid) == 51
    assert (grid[0], grid[-1]) == (many.min(), many.max())
    np.testing.assert_allclose(np.diff(grid), np.ptp(many) / 50, rtol=1e-5)
    assert grid_of(np.array([4.0, 1.0, 1.0, 2.0])).tolist() == [1.0, 2.5, 4.0]
    assert grid_of(np.array([1.0, 3.0]), n_levels=5).tolist() == [0, 1, 2, 3, 4]
    assert grid_of(np.array([7.0, 7.0])).tolist() == [7.0]


def test_one_way_in_closed_form() -> None:
    x = correlated()
    got = partial_dependence(product_and_sum, x, 0, individual=True)
    np.testing.assert_allclose(got.mean, got.grid * x[:, 1].mean() + x[:, 2].mean(), rtol=1e-12)
    assert got.curves is not None
    np.testing.assert_allclose(got.curves, np.outer(got.grid, x[:, 1]) + x[:, 2], rtol=1e-12)
    assert partial_dependence(product_and_sum, x, 0).curves is None
    flat = partial_dependence(product_and_sum, x, 3).mean
    np.testing.assert_allclose(flat, product_and_sum(x).mean(), rtol=1e-12)


@pytest.mark.parametrize("column", [0, 3])
def test_one_way_against_scikit_learn(forest: tuple[RandomForestRegressor, Array], column: int) -> None:
    model, x = forest
    got = partial_dependence(model.predict, x, column, individual=True)
    expected = sklearn_partial_dependence(
        model, x, [column], method="brute", kind="both", custom_values={column: got.grid}
    )
    np.testing.assert_allclose(got.mean, expected["average"][0], rtol=1e-10)
    np.testing.assert_allclose(got.curves, expected["individual"][0].T, rtol=1e-10)


def test_two_way_against_scikit_learn(forest: tuple[RandomForestRegressor, Array]) -> None:
    model, x = forest
    got = pair_dependence(model.predict, x, (2, 0), seed=1, points=7, max_rows=len(x))
    expected = sklearn_partial_dependence(
        model, x, [2, 0], method="brute", custom_values={2: got.grids[0], 0: got.grids[1]}
    )
    np.testing.assert_allclose(got.mean, expected["average"][0], rtol=1e-10)


def test_two_way_averages_the_sampled_rows() -> None:
    x = correlated()
    got = pair_dependence(product_and_sum, x, (0, 2), seed=4, points=5, max_rows=20)
    assert len(np.unique(got.rows)) == 20
    a, c = got.grids
    assert (c[0], c[-1]) == (x[:, 2].min(), x[:, 2].max())  # the grid spans all rows, not the sample
    np.testing.assert_allclose(got.mean, a[:, None] * x[got.rows, 1].mean() + c, rtol=1e-12)
    levels = pair_dependence(product_and_sum, x, (0, 2), seed=4, n_levels=(3, 0), points=5)
    assert levels.mean.shape == (3, 5)


def test_h_squared_in_closed_form() -> None:
    """For f = x1 x2 + x3, centred on the rows, every partial dependence follows from sample moments."""
    x = correlated()
    a, b, c = (x[:, j] - x[:, j].mean() for j in range(3))
    mean_a, mean_b = x[:, 0].mean(), x[:, 1].mean()
    own = a * b - (a * b).mean()
    joint = own + mean_b * a + mean_a * b
    f = joint + c
    got = interactions(product_and_sum, x, seed=0)
    pairs = np.zeros((4, 4))
    pairs[0, 1] = pairs[1, 0] = (own**2).sum() / (joint**2).sum()
    np.testing.assert_allclose(got.pairs, pairs, atol=1e-12)
    # f - PD_1 - PD_rest, with PD_rest = mean(x1) x2 + x3, leaves a (x2 - mean) centred: the same `own` for 1 and 2
    np.testing.assert_allclose(got.total, np.array([1, 1, 0, 0]) * (own**2).sum() / (f**2).sum(), atol=1e-12)
    assert got.departure[0, 1] == pytest.approx(np.sqrt((own**2).mean()), rel=1e-10)
    assert got.departure[2, 3] < 1e-12


def test_h_squared_of_chosen_columns_and_rows(forest: tuple[RandomForestRegressor, Array]) -> None:
    model, x = forest
    got = interactions(model.predict, x, seed=2, columns=[3, 0, 1], max_rows=30)
    assert got.columns == (3, 0, 1)
    assert len(np.unique(got.rows)) == 30
    everything = interactions(model.predict, x[got.rows], seed=9)
    np.testing.assert_allclose(got.pairs, everything.pairs[np.ix_([3, 0, 1], [3, 0, 1])], rtol=1e-9)
    np.testing.assert_allclose(got.total, everything.total[[3, 0, 1]], rtol=1e-9)
    other = interactions(model.predict, x, seed=3, columns=[3, 0, 1], max_rows=30)
    assert other.rows.tolist() != got.rows.tolist()


def test_no_effect_is_no_interaction() -> None:
    got = interactions(lambda x: 1e9 + 0.1 * x[:, 0], correlated(), seed=0)
    np.testing.assert_array_less(got.pairs, 1e-9)
    assert (interactions(lambda x: np.full(len(x), 0.1), correlated(), seed=0).total == 0).all()


def test_the_batch_size_changes_nothing(
    forest: tuple[RandomForestRegressor, Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = forest
    before = partial_dependence(model.predict, x, 1).mean
    monkeypatch.setattr(module, "BATCH_ROWS", 450)
    np.testing.assert_array_equal(partial_dependence(model.predict, x, 1).mean, before)


def test_errors_say_what_does_not_fit() -> None:
    x = correlated()
    with pytest.raises(InputError, match=r"columns \[4\] do not fit"):
        partial_dependence(product_and_sum, x, 4)
    with pytest.raises(InputError, match=r"columns \[1, 1\]"):
        pair_dependence(product_and_sum, x, (1, 1), seed=0)
    with pytest.raises(InputError, match="found none"):
        interactions(product_and_sum, x[:0], seed=0)
    with pytest.raises(InputError, match="1 not finite"):
        grid_of(np.array([1.0, np.nan]))
    with pytest.raises(InputError, match=r"predict returned shape \(3060, 1\) for 3060 rows"):
        partial_dependence(lambda a: a[:, :1], x, 0)
