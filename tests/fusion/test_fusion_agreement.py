"""Agreement of samplers, on draws whose distribution is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm, wasserstein_distance

from talik.errors import InputError
from talik.fusion.agreement import LEVELS, excess, quantiles, sliced_wasserstein, spread_ratio

RNG = np.random.default_rng


def chains(seed: int, kept: float = 0.0, shape: tuple[int, int] = (8, 2000)) -> np.ndarray:
    """Standard normal autoregressive chains (chain, draw)."""
    rng = RNG(seed)
    x = np.empty(shape)
    x[:, 0] = rng.standard_normal(shape[0])
    for t in range(1, shape[1]):
        x[:, t] = kept * x[:, t - 1] + np.sqrt(1 - kept**2) * rng.standard_normal(shape[0])
    return x


@pytest.mark.parametrize("kept", [0.0, 0.9])
def test_errors_of_quantiles_are_those_of_repeated_runs(kept: float) -> None:
    found = [quantiles(chains(seed, kept)) for seed in range(40)]
    values = np.array([q.values for q in found])
    told = np.array([q.errors for q in found]).mean(axis=0)
    assert values.mean(axis=0) == pytest.approx(norm.ppf(LEVELS), abs=0.05)
    assert told == pytest.approx(values.std(axis=0), rel=0.5)
    assert np.mean([q.sd for q in found]) == pytest.approx(1.0, abs=0.02)


def test_weights_move_quantiles_and_widen_errors() -> None:
    x = chains(0)
    plain, moved = quantiles(x), quantiles(x, log_weights=x)  # exp(x) moves a normal distribution by 1
    assert moved.values == pytest.approx(norm.ppf(LEVELS, loc=1.0), abs=0.15)
    assert moved.errors[2] > 1.2 * plain.errors[2]


def test_a_constant_weight_changes_nothing() -> None:
    x = chains(3, 0.5)
    one, other = quantiles(x), quantiles(x, log_weights=np.full(x.shape, -700.0))
    assert one.values == pytest.approx(other.values)
    assert one.errors == pytest.approx(other.errors)


def test_chains_that_do_not_move_have_no_error() -> None:
    found = quantiles(np.ones((4, 100)))
    assert np.isinf(found.errors).all()


@pytest.mark.parametrize(("shift", "agrees"), [(0.0, True), (0.5, False)])
def test_agreement_of_quantiles(shift: float, agrees: bool) -> None:
    one, other = quantiles(chains(1, 0.5)), quantiles(chains(2, 0.5) + shift)
    assert (excess(one, other) <= 1.0) is agrees


def test_a_wider_posterior_does_not_agree() -> None:
    assert excess(quantiles(chains(1)), quantiles(1.3 * chains(2))) > 1.0


def test_distance_along_one_axis_is_that_of_scipy() -> None:
    one, other = RNG(0).standard_normal((400, 1)), 1.0 + RNG(1).standard_normal((400, 1))
    spread = np.concatenate([one, other]).std()
    known = wasserstein_distance(one[:, 0] / spread, other[:, 0] / spread)
    assert sliced_wasserstein(one, other) == pytest.approx(known, rel=1e-12)


@pytest.mark.parametrize(("scale", "near"), [(1.0, True), (1.5, False)])
def test_spread_between_samplers_against_replicates(scale: float, near: bool) -> None:
    one = [RNG(k).standard_normal((500, 5)) for k in range(3)]
    other = [scale * RNG(10 + k).standard_normal((500, 5)) for k in range(3)]
    assert (spread_ratio(one, other) < 1.5) is near


def test_refusals() -> None:
    with pytest.raises(InputError, match=r"draws \(10,\)"):
        quantiles(np.zeros(10))
    with pytest.raises(InputError, match="expected one shape"):
        sliced_wasserstein(np.zeros((4, 2)), np.zeros((5, 2)))
    with pytest.raises(InputError, match="column 1 never varies"):
        sliced_wasserstein(np.eye(2) * [1, 0], np.eye(2) * [1, 0])
    with pytest.raises(InputError, match="one replicate"):
        spread_ratio([np.eye(2)], [np.eye(2)])
