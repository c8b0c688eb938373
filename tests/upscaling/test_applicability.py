"""The area of applicability against an independent slow implementation of Meyer and Pebesma (2021)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talik.errors import InputError
from talik.upscaling.applicability import Applicability, area_of_applicability, error_by_dissimilarity


def slow(x, weights, folds, sites, n_levels, new):  # type: ignore[no-untyped-def]
    """Dissimilarity of new rows, of training rows, threshold and site density, by loops from the paper's formulas."""
    columns = []
    for j, levels in enumerate(n_levels):
        w = max(weights[j], 0.0)
        if levels:
            for level in range(levels):
                columns.append((lambda v, j=j, level=level, w=w: w * (v[:, j] == level) / np.sqrt(2)))
        else:
            sd, mean = x[:, j].std(), x[:, j].mean()
            columns.append(
                (lambda v, j=j, sd=sd, mean=mean, w=w: (v[:, j] - mean) / sd * w if sd > 0 else 0 * v[:, j])
            )
    a, b = np.column_stack([c(x) for c in columns]), np.column_stack([c(new) for c in columns])
    n = len(a)
    mean_distance = np.mean(
        [np.mean([np.sqrt(((a[i] - a[k]) ** 2).sum()) for k in range(n) if k != i]) for i in range(n)]
    )
    own = np.array(
        [min(np.sqrt(((a[i] - a[k]) ** 2).sum()) for k in range(n) if folds[k] != folds[i]) for i in range(n)]
    )
    own /= mean_distance
    q1, q3 = np.quantile(own, [0.25, 0.75])
    threshold = max(d for d in own if d <= q3 + 1.5 * (q3 - q1))
    distance = np.array([[np.sqrt(((p - q) ** 2).sum()) for q in a] for p in b]) / mean_distance
    density = [len({sites[k] for k in range(n) if row[k] <= threshold}) for row in distance]
    return distance.min(1), own, threshold, np.array(density)


def world(seed: int = 0, n: int = 60) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    sites = np.sort(rng.integers(0, 12, n))
    x = np.column_stack(
        [rng.normal(10, 3, n), rng.normal(0, 0.01, n), rng.integers(0, 3, n), np.full(n, 4.0)]
    )
    new = np.column_stack(
        [rng.normal(10, 9, 25), rng.normal(0, 0.02, 25), rng.integers(0, 3, 25), np.full(25, 4.0)]
    )
    return x.astype(np.float32), sites, new.astype(np.float32), np.array([0, 0, 3, 0], np.int16)


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_the_slow_one(seed: int) -> None:
    x, sites, new, n_levels = world(seed)
    weights = np.array([2.0, 0.5, 1.0, 3.0])
    area = area_of_applicability(x, weights, sites // 3, sites, n_levels)
    wanted, training, threshold, density = slow(
        x.astype(float), weights, sites // 3, sites, n_levels, new.astype(float)
    )
    np.testing.assert_allclose(area.dissimilarity(new), wanted, rtol=1e-6)
    np.testing.assert_allclose(area.training, training, rtol=1e-6)
    assert area.threshold == pytest.approx(threshold, rel=1e-6)
    np.testing.assert_array_equal(area.local_density(new), density)
    np.testing.assert_array_equal(area.inside(new), wanted <= threshold * (1 + 1e-9))
    assert area.inside(new).any()
    assert not area.inside(new).all()


@settings(max_examples=25, deadline=None)
@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-100, 100))
def test_units_of_a_predictor_do_not_matter(scale: float, shift: float) -> None:
    x, sites, new, n_levels = world(1)
    weights = np.array([1.0, 1.0, 0.5, 0.0])
    a = area_of_applicability(x, weights, sites, sites, n_levels).dissimilarity(new)
    change = lambda v: np.column_stack([v[:, 0] * np.float32(scale) + np.float32(shift), v[:, 1:]])  # noqa: E731
    b = area_of_applicability(change(x), weights, sites, sites, n_levels).dissimilarity(change(new))
    np.testing.assert_allclose(a, b, rtol=2e-2, atol=1e-3 * (1 + abs(shift) / scale))


def test_a_training_row_is_at_home_and_weightless_predictors_do_not_count() -> None:
    x, sites, new, n_levels = world(2)
    area = area_of_applicability(x, np.array([1.0, -5.0, 1.0, 1.0]), sites, sites, n_levels)
    np.testing.assert_allclose(area.dissimilarity(x), 0, atol=1e-12)
    moved = new.copy()
    moved[:, 1] += 1e6
    np.testing.assert_allclose(area.dissimilarity(moved), area.dissimilarity(new))


def test_survives_storage() -> None:
    x, sites, new, n_levels = world(3)
    area = area_of_applicability(x, np.ones(4), sites, sites, n_levels)
    again = Applicability.restore(area.arrays())
    np.testing.assert_array_equal(again.dissimilarity(new), area.dissimilarity(new))
    assert again.threshold == area.threshold


def test_nothing_to_tell_apart_is_an_error() -> None:
    x, sites, _, n_levels = world()
    with pytest.raises(InputError, match="all training rows are alike"):
        area_of_applicability(x, np.array([0.0, 0, 0, 1]), sites, sites, n_levels)
    with pytest.raises(InputError, match="two validation folds"):
        area_of_applicability(x, np.ones(4), np.zeros(len(x), int), sites, n_levels)


def test_expected_error_grows_with_dissimilarity() -> None:
    rng = np.random.default_rng(0)
    dissimilarity = rng.uniform(0, 2, 5000)
    error = rng.normal(0, 1 + 3 * dissimilarity)
    at = np.linspace(0.1, 1.9, 19)
    found = error_by_dissimilarity(dissimilarity, error, at)
    assert (np.diff(found) >= 0).all()
    np.testing.assert_allclose(found, 1 + 3 * at, rtol=0.2)
