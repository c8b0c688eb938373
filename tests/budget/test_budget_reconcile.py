"""Bottom-up against top-down."""

from __future__ import annotations

import pytest

from talik.budget import BudgetSettings, compute
from talik.budget.reconcile import missing_processes, reconcile
from talik.errors import CoverageError


@pytest.fixture(scope="module")
def budget():
    return compute("reccap2", BudgetSettings(draws=20_000))


def test_totals_over_different_processes_are_not_differenced_by_default(budget):
    with pytest.raises(
        CoverageError, match=r"do not cover the same processes: bottom_up lacks .*geological seeps"
    ):
        reconcile(budget.evaluation, "natural", "CH4")
    told = reconcile(budget.evaluation, "natural", "CH4", allow_coverage_mismatch=True)
    assert told.missing["bottom_up"][-1] == "geological seeps"


def test_equal_coverage_needs_no_asking(budget):
    assert reconcile(budget.evaluation, "natural", "N2O").missing == {}


def test_shared_inputs_cancel_in_the_difference(budget):
    """Anthropogenic emissions are the same on both sides, so they widen neither the gap nor its interval."""
    p = budget.evaluation.posts
    for gas in ("CO2", "CH4"):
        natural, human = p["difference.natural", gas], p["difference.with_anthropogenic", gas]
        assert (natural.mean, natural.low, natural.high) == pytest.approx((human.mean, human.low, human.high))


def test_difference_and_overlap(budget):
    c = reconcile(budget.evaluation, "natural", "CO2", allow_coverage_mismatch=True)
    assert c.difference.mean == pytest.approx(-29.34 + 587, abs=0.01)
    assert c.difference.low == pytest.approx(c.bottom_up.low - c.top_down.high)
    assert c.overlap == pytest.approx((c.bottom_up.low, c.top_down.high))
    methane = reconcile(budget.evaluation, "natural", "CH4", allow_coverage_mismatch=True)
    assert methane.overlap is None  # 22.7 lies above 18


def test_each_closure_really_closes_the_gap(budget):
    for c in budget.comparisons:
        weights = budget.evaluation.weights[c.difference.key]
        for closure in c.closures:
            key = (closure.post, closure.gas)
            moved = c.difference.mean + weights[key] * (closure.needed - closure.mean)
            assert moved == pytest.approx(0, abs=1e-9 * max(1, abs(c.difference.mean)))
            post = budget.evaluation.posts[key]
            assert closure.within_limits == (post.low <= closure.needed <= post.high)


def test_partial_coverage_on_both_sides_is_no_difference(budget):
    a, b = (budget.evaluation.posts[f"{side}.natural", "N2O"] for side in ("bottom_up", "top_down"))
    assert missing_processes(a, b) == {}
