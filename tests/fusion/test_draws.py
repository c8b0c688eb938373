"""Verdicts of pixels."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest

from talik.errors import InputError
from talik.fusion.draws import Limits, judge
from talik.fusion.infer import _diagnostics, _judged
from talik.fusion.posterior_draws import NAMES, Seen


def test_verdicts_name_each_fault_and_know_three_levels():
    rng = np.random.default_rng(1)
    values = rng.standard_normal((6, 4, 500, 2))
    values[1, 0, :, 1] += 0.5  # R-hat between 1.01 and 1.05
    values[2, 0, :, 1] += 3.0
    values[3, ..., 1] = 7.0  # known
    values[4, 0, 0, 0] = np.nan
    found = judge(["k_som", "gpp"], values, [0, 0, 0, 0, 0, 0.01])
    assert [v.trust for v in found] == ["converged", "map", "failed", "converged", "failed", "failed"]
    assert found[0].reasons == found[3].reasons == ()
    assert found[0].rhat < 1.01
    assert found[0].tail_ess > 1000
    assert re.fullmatch(r"R-hat 1\.0\d\d \(gpp\) above 1\.01", found[1].reasons[0])
    assert found[4].reasons[0] == "k_som with draws missing or infinite"
    assert found[5].reasons == ("1.00% of the trajectories failed, not below 0.50%",)


def test_few_draws_are_not_enough():
    values = np.random.default_rng(2).standard_normal((1, 4, 60, 1))
    (found,) = judge(["gpp"], values, [0.0], Limits(rhat=1.2, rhat_map=1.3))
    assert found.trust == "map"
    assert any(re.fullmatch(r"bulk ESS \d+ \(gpp\) below 400", r) for r in found.reasons)
    assert any(r.startswith("tail ESS") for r in found.reasons)


def test_a_fault_of_many_values_is_one_clause():
    values = np.random.default_rng(5).standard_normal((1, 4, 500, 30))
    values[0, 0] += np.linspace(1, 3, 30)
    (found,) = judge([f"p{k}" for k in range(30)], values, [0.0])
    assert re.fullmatch(r"R-hat \d\.\d\d\d \(p2\d\) and 29 others above 1.01", found.reasons[0])
    assert len(found.reasons) <= 3


def test_a_map_needs_a_hundred_draws():
    values = np.random.default_rng(2).standard_normal((1, 4, 16, 1))
    (found,) = judge(["gpp"], values, [0.0], Limits(rhat=1.2, rhat_map=1.3))
    assert found.rhat < 1.3
    assert min(found.bulk_ess, found.tail_ess) < 100
    assert found.trust == "failed"


def test_a_map_needs_as_many_draws_after_the_hard_constraints():
    rng = np.random.default_rng(4)
    verdicts = judge(["gpp"], rng.standard_normal((1, 4, 70, 1)), [0.0]) * 3
    assert [v.trust for v in verdicts] == ["map"] * 3
    found = SimpleNamespace(
        alive=np.ones(3, bool),
        verdicts=verdicts,
        kept=np.ones(3),
        kish=np.array([1.0, 0.3, 1.0]),
        pareto_k=np.array([0.2, 0.2, 0.8]),
        rhat_hard=np.ones(3),
        draws=SimpleNamespace(divergent=np.zeros(3)),
    )
    told = _diagnostics(found, np.ones((3, 40)), ["few draws"] * 3)
    assert told["map_quality"].tolist() == [True, False, False]
    assert not told["converged"].any()


def test_no_draw_that_keeps_the_constraints_is_not_a_lost_sampler():
    """Of three pixels the second has no draw that passes, and the third was never reached: each says its own reason."""
    values = np.random.default_rng(6).standard_normal((3, 4, 50, len(NAMES)))
    passes = np.ones((3, 4, 50), bool)
    passes[1:] = False
    seen = Seen(values, passes, np.zeros(passes.shape), np.zeros(passes.shape))
    draws = SimpleNamespace(divergent=np.zeros(3))
    found = _judged(draws, seen, np.array([True, True, False]))
    assert found.alive.tolist() == [True, False, False]
    assert "none of 200 draws keeps the hard constraints" in found.reasons(1)[0]
    assert "did not reach" in found.reasons(2)[0]
    assert not any("none of" in text for text in found.reasons(0))


def test_a_chain_that_never_moves_fails():
    values = np.random.default_rng(3).standard_normal((1, 4, 500, 1))
    values[0, 2] = 0.1
    assert judge(["gpp"], values, [0.0])[0].trust == "failed"
    still = np.broadcast_to(np.arange(4.0)[None, :, None, None], (1, 4, 500, 1))
    assert judge(["gpp"], still, [0.0])[0].trust == "failed"


def test_names_must_fit():
    with pytest.raises(
        InputError, match=r"values have shape \(1, 4, 60, 1\), expected \(pixel, chain, draw, 2\)"
    ):
        judge(["a", "b"], np.zeros((1, 4, 60, 1)), [0.0])
