"""CO2 equivalents: factors, units, origin of CH4."""

from __future__ import annotations

import pytest

from talik.budget import BudgetSettings, Metric, compute
from talik.errors import ConfigError


@pytest.mark.parametrize(
    ("horizon", "fossil", "other", "n2o"),
    [(20, 82.5, 79.7, 273), (100, 29.8, 27.0, 273), (500, 10.0, 7.2, 130)],
)
def test_ar6_table_7_15(horizon, fossil, other, n2o):
    metric = Metric(horizon)
    assert metric.factor("CH4", "fossil") == fossil
    assert metric.factor("CH4", "non-fossil") == metric.factor("CH4") == other
    assert metric.factor("N2O") == n2o
    assert metric.factor("CO2") == 1


def test_weights_follow_the_formula_with_the_papers_masses():
    """The formula of Hugelius et al. (2024), with their rounded molar masses."""
    assert Metric(100, 29.8).weight("CH4") == pytest.approx(16.04 / 12.01 * 29.8 * 12.01 / 44.01, rel=5e-4)
    assert Metric(100).weight("N2O") == pytest.approx(44.01 / 28.01 * 273 * 12.01 / 44.01, rel=5e-4)
    assert Metric(100).weight("CO2") == 1.0


def test_each_post_is_converted_by_its_own_origin():
    budget = compute("reccap2", BudgetSettings(draws=1000))
    posts, metric = budget.evaluation.posts, budget.metric
    extra = (
        posts["bottom_up.with_anthropogenic.from_ch4", "CO2e"].mean
        - posts["bottom_up.natural.from_ch4", "CO2e"].mean
    )
    expected = 4.9 * metric.weight("CH4", "fossil") + 0.54 * metric.weight("CH4", "non-fossil")
    assert extra == pytest.approx(expected)


def test_total_is_the_sum_of_its_gases_and_needs_all_three():
    posts = compute("reccap2", BudgetSettings(draws=1000)).evaluation.posts
    parts = [posts[f"top_down.natural.from_{g}", "CO2e"].mean for g in ("co2", "ch4", "n2o")]
    assert posts["top_down.natural", "CO2e"].mean == pytest.approx(sum(parts))
    assert ("bottom_up.process_land", "CO2e") not in posts  # no process model gives N2O


def test_unknown_horizons_and_factors_are_refused():
    with pytest.raises(ConfigError, match="choose one of: 20, 100, 500"):
        Metric(50)
    with pytest.raises(ConfigError, match=r"expected a factor such as 29\.8"):
        Metric(100, -3)
