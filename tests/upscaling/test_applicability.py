"""Area of applicability against a slow version of its formulas, and the error curve."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talik.errors import ConfigError, InputError
from talik.upscaling import applicability
from talik.upscaling.applicability import AreaOfApplicability, ErrorCurve, error_by_dissimilarity


class Slow:
    """Meyer and Pebesma (2021), one pair of points at a time."""

    def __init__(
        self, x: np.ndarray, importance: np.ndarray, folds: np.ndarray, levels: dict[int, int]
    ) -> None:
        self.levels, self.weight = levels, []
        dummies = self.dummies(x)
        for j in range(x.shape[1]):
            self.weight += [max(importance[j], 0.0)] * max(levels.get(j, 1), 1)
        self.mean = [np.mean(c) for c in dummies]
        self.sd = [np.std(c, ddof=1) for c in dummies]
        self.points = self.scaled(x)
        n = len(x)
        d = [[np.sqrt(sum((a - b) ** 2)) for b in self.points] for a in self.points]
        self.mean_distance = np.mean([sum(d[i]) / (n - 1) for i in range(n)])
        self.training = [
            min(d[i][j] for j in range(n) if folds[j] != folds[i]) / self.mean_distance for i in range(n)
        ]
        q25, q75 = np.percentile(self.training, [25, 75])
        self.threshold = max(t for t in self.training if t <= q75 + 1.5 * (q75 - q25))

    def dummies(self, x: np.ndarray) -> list[np.ndarray]:
        out = []
        for j in range(x.shape[1]):
            if j in self.levels:
                out += [(x[:, j] == level).astype(float) for level in range(self.levels[j])]
            else:
                out.append(x[:, j])
        return out

    def scaled(self, x: np.ndarray) -> np.ndarray:
        parts = zip(self.dummies(x), self.mean, self.sd, self.weight, strict=True)
        return np.array([(c - m) / s * w for c, m, s, w in parts if s > 0]).T

    def distances(self, x: np.ndarray) -> np.ndarray:
        return (
            np.array([[np.sqrt(sum((a - b) ** 2)) for b in self.points] for a in self.scaled(x)])
            / self.mean_distance
        )


def example(seed: int, n: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training rows (two factors, one constant), importance with a zero and a negative one, folds, sites."""
    rng = np.random.default_rng(seed)
    x = np.column_stack(
        [
            rng.normal(280, 10, n),
            rng.lognormal(size=n),
            rng.integers(0, 3, n),
            np.full(n, 0.1),
            rng.normal(size=n),
            rng.integers(0, 4, n),
        ]
    )
    x[-4:] = x[:4]  # rows that occur twice, in different folds
    importance = np.array([3.0, 0.5, 1.0, 2.0, 0.0, -0.3])
    site = np.arange(n) // 4
    return x, importance, site % 5, site


LEVELS = {2: 4, 5: 4}  # level 3 of column 2 does not occur


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_the_slow_version(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x, importance, folds, site = example(seed)
    slow = Slow(x, importance, folds, LEVELS)
    new = np.concatenate([example(seed + 100)[0], x[:3] + np.eye(6)[0] * 30.0])
    new[5, 2] = 3  # a class unknown in training
    for block in (applicability.BLOCK, 100):
        monkeypatch.setattr(applicability, "BLOCK", block)
        fast = AreaOfApplicability.fit(x, importance, folds, LEVELS)
        np.testing.assert_allclose(fast.mean_distance, slow.mean_distance, rtol=1e-12)
        np.testing.assert_allclose(fast.training, slow.training, atol=1e-12)
        np.testing.assert_allclose(fast.threshold, slow.threshold, rtol=1e-12)
        distances = slow.distances(new)
        np.testing.assert_allclose(fast.dissimilarity(new), distances.min(axis=1), atol=1e-12)
        inside = fast.inside(new)
        np.testing.assert_array_equal(inside, distances.min(axis=1) <= slow.threshold + 1e-12)
        assert 0 < inside.sum() < len(new)
        near = distances < slow.threshold - 1e-12
        np.testing.assert_array_equal(fast.local_point_density(new), near.sum(axis=1))
        by_site = [len(set(site[row])) for row in near]
        np.testing.assert_array_equal(fast.local_point_density(new, site), by_site)


def test_threads_do_not_change_bytes() -> None:
    x, importance, folds, _ = example(1)
    fast = AreaOfApplicability.fit(x, importance, folds, LEVELS)
    new = example(7)[0]
    np.testing.assert_array_equal(fast.dissimilarity(new), fast.dissimilarity(new, threads=2))


@given(
    st.integers(0, 2**32 - 1), st.lists(st.floats(1e-3, 1e3), min_size=3, max_size=3), st.floats(0.01, 100)
)
@settings(max_examples=30, deadline=None)
def test_units_do_not_matter(seed: int, scale: list[float], weight_unit: float) -> None:
    rng = np.random.default_rng(seed)
    x, new = rng.normal(size=(30, 3)), rng.normal(size=(20, 3))
    importance, folds = rng.uniform(0.1, 1, 3), np.arange(30) % 4
    shift = np.array([5.0, -2.0, 0.0]) * scale
    one = AreaOfApplicability.fit(x, importance, folds)
    other = AreaOfApplicability.fit(x * scale + shift, importance * weight_unit, folds)
    np.testing.assert_allclose(other.dissimilarity(new * scale + shift), one.dissimilarity(new), rtol=1e-8)
    np.testing.assert_allclose(other.threshold, one.threshold, rtol=1e-8)


@given(st.integers(0, 2**32 - 1), st.integers(2, 4))
@settings(max_examples=20, deadline=None)
def test_repeated_training_rows_only_bring_rows_closer_on_average(seed: int, times: int) -> None:
    """Repeating every row r times leaves nearest distances alone; of r n - 1 others r - 1 are at distance 0, and
    standard deviations over r n rows shrink by the same factor in every predictor."""
    rng = np.random.default_rng(seed)
    x, new, folds = rng.normal(size=(25, 3)), rng.normal(size=(10, 3)), np.arange(25) % 3
    once = AreaOfApplicability.fit(x, np.ones(3), folds)
    often = AreaOfApplicability.fit(np.tile(x, (times, 1)), np.ones(3), np.tile(folds, times))
    assert len(often.points) == 25
    ratio = (25 * times - 1) / (times * 24)
    np.testing.assert_allclose(often.dissimilarity(new), ratio * once.dissimilarity(new), rtol=1e-9)


def test_training_rows_are_at_zero_and_gaps_stay() -> None:
    x, importance, folds, site = example(3)
    fast = AreaOfApplicability.fit(x.astype(np.float32), importance, folds, LEVELS)
    assert (fast.dissimilarity(x.astype(np.float32)) == 0.0).all()
    new = x[:5].copy()
    new[0, 0], new[1, 2] = np.nan, np.nan
    new[2, 3], new[3, 4] = np.nan, 1e9  # a constant predictor, and one of no importance
    assert np.isnan(fast.dissimilarity(new)).tolist() == [True, True, False, False, False]
    assert fast.inside(new).tolist() == [False, False, True, True, True]
    assert (fast.local_point_density(new, site) == -1).tolist() == [True, True, False, False, False]


def test_survives_plain_arrays(tmp_path: Path) -> None:
    x, importance, folds, site = example(4)
    fast = AreaOfApplicability.fit(x, importance, folds, LEVELS)
    np.savez(f"{tmp_path}/a.npz", **fast.to_arrays())
    with np.load(f"{tmp_path}/a.npz", allow_pickle=False) as stored:
        again = AreaOfApplicability.from_arrays(dict(stored))
    new = example(5)[0]
    np.testing.assert_array_equal(again.dissimilarity(new), fast.dissimilarity(new))
    np.testing.assert_array_equal(again.local_point_density(new, site), fast.local_point_density(new, site))
    assert again.threshold == fast.threshold
    with pytest.raises(InputError, match="array threshold missing"):
        AreaOfApplicability.from_arrays({k: v for k, v in fast.to_arrays().items() if k != "threshold"})


def test_what_cannot_be_used_is_refused() -> None:
    x, importance, folds, site = example(6)
    with pytest.raises(InputError, match="importance \\(5,\\)"):
        AreaOfApplicability.fit(x, importance[:5], folds)
    with pytest.raises(InputError, match="missing or infinite"):
        AreaOfApplicability.fit(np.where(x > 290, np.nan, x), importance, folds)
    with pytest.raises(InputError, match="all 40 rows are in one fold"):
        AreaOfApplicability.fit(x, importance, np.zeros(40))
    with pytest.raises(InputError, match="no predictor both varies"):
        AreaOfApplicability.fit(x, np.array([0.0, 0, 0, 1, 0, -1]), folds)
    with pytest.raises(InputError, match=r"factor in column 5 has code 3; expected 0 \.\. 2"):
        AreaOfApplicability.fit(x, importance, folds, {5: 3})
    fast = AreaOfApplicability.fit(x, importance, folds, LEVELS)
    with pytest.raises(InputError, match="x has shape \\(40, 2\\)"):
        fast.dissimilarity(x[:, :2])
    with pytest.raises(InputError, match="39 sites for 40 training rows"):
        fast.local_point_density(x, site[:39])


def test_error_curve_by_hand() -> None:
    """Mean squares 4, 1, 9 of groups of two: the first two are pooled to 2.5."""
    di = np.array([0.1, 0.3, 0.5, 0.7, 0.9, 1.1])
    curve = error_by_dissimilarity(di, np.array([2.0, -2.0, 1.0, -1.0, 3.0, 3.0]), bins=3)
    np.testing.assert_allclose(curve.dissimilarity, [0.2, 0.6, 1.0])
    np.testing.assert_allclose(curve.rmse, np.sqrt([2.5, 2.5, 9.0]))
    found = curve.at([0.0, 0.8, 5.0, np.nan])
    np.testing.assert_allclose(found, [np.sqrt(2.5), (np.sqrt(2.5) + 3) / 2, 3.0, np.nan])


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 30))
def test_error_curve_rises_and_keeps_the_mean_square(seed: int, n: int, bins: int) -> None:
    rng = np.random.default_rng(seed)
    di, errors = rng.choice([0.0, 0.0, 0.1, 0.25, 1.5], n) * rng.choice([1.0, 2.0], n), rng.normal(size=n)
    curve = error_by_dissimilarity(di, errors, bins)
    assert (np.diff(curve.rmse) >= 0).all()
    assert (np.diff(curve.dissimilarity) > 0).all()
    if bins == 1:
        np.testing.assert_allclose(curve.rmse, [np.sqrt(np.mean(errors**2))])
    again = ErrorCurve.from_arrays(curve.to_arrays())
    np.testing.assert_array_equal(again.at(di), curve.at(di))


def test_error_curve_finds_a_known_law() -> None:
    rng = np.random.default_rng(8)
    di = rng.uniform(0, 1, 40_000)
    curve = error_by_dissimilarity(di, rng.normal(size=di.size) * (1 + 2 * di))
    at = np.linspace(0.1, 0.9, 9)
    np.testing.assert_allclose(curve.at(at), 1 + 2 * at, rtol=0.05)


def test_error_curve_refuses() -> None:
    with pytest.raises(InputError, match="expected \\(n,\\) twice"):
        error_by_dissimilarity([1.0, 2.0], [1.0])
    with pytest.raises(InputError, match="missing or infinite"):
        error_by_dissimilarity([1.0, np.nan], [1.0, 1.0])
    with pytest.raises(ConfigError, match="bins is 0"):
        error_by_dissimilarity([1.0], [1.0], 0)
