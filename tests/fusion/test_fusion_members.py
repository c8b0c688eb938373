"""Members are chosen in proportion to the weights of the draws of all chains."""

from __future__ import annotations

import numpy as np
import pytest

from talik.fusion.infer import members_of


@pytest.mark.parametrize("shape", [(600,), (4, 150)])
def test_members_are_in_proportion_to_weights(shape: tuple[int, ...]) -> None:
    logs = np.random.default_rng(1).normal(0.0, 1.0, shape)
    logs.flat[::3] = -np.inf
    chosen = members_of(logs, 5000, np.random.default_rng(0))
    counts = np.bincount(chosen, minlength=logs.size)
    expected = 5000 * np.exp(logs.ravel()) / np.exp(logs).sum()
    assert np.abs(counts - expected).max() < 1.0  # systematic: never more than one away


def test_without_any_weight_all_draws_are_alike() -> None:
    chosen = members_of(np.full((3, 50), -np.inf), 150, np.random.default_rng(0))
    assert sorted(chosen) == list(range(150))
