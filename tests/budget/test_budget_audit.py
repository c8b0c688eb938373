"""The audit finds what does not follow and is silent where rounding explains it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talik.budget.audit import Claim, audit
from talik.budget.printed import claims
from talik.errors import PostError
from talik.posts import Post, Term
from talik.posts.published import components

# known print errors of the published tables; by id, gas and part
EXPECTED = {
    ("inventory.fires", "CH4", "mean"),
    ("inventory.fires", "CH4", "low"),
    ("inventory.fires", "CH4", "high"),
    ("inventory.fires", "N2O", "mean"),
    ("inventory.fires", "N2O", "low"),
    ("inventory.fires", "N2O", "high"),
    ("gwp.fires", "CO2", "mean"),
    ("gwp.fires", "CH4", "mean"),
    ("gwp.fires", "N2O", "mean"),
    ("table.stock_change_gas.bottom_up", "C", "low"),
    ("table.stock_change_gas.bottom_up", "C", "high"),
    ("table.stock_change_gas.top_down", "C", "low"),
    ("table.stock_change_gas.top_down", "C", "high"),
    ("table.stock_change.bottom_up", "C", "high"),
    ("conclusions.stock_change.bottom_up", "C", "mean"),
    ("conclusions.stock_change.bottom_up", "C", "low"),
    ("conclusions.stock_change.bottom_up", "C", "high"),
    ("text.natural", "CH4", "mean"),
    ("text.cardamom_fire", "CO2", "mean"),
    ("text.layered_models", "", "mean"),
    ("text.n2o_sign", "N2O", "mean"),
    ("text.anthropogenic_fossil", "CH4", "mean"),
    ("text.anthropogenic_fossil", "CH4", "high"),
    ("text.anthropogenic", "CH4", "high"),
    ("text.gwp20", "CO2e", "mean"),
    ("conclusions.gwp20", "CO2e", "mean"),
    ("conclusions.gwp20", "CO2e", "low"),
    ("conclusions.gwp20", "CO2e", "high"),
}


def test_the_published_misprints_are_found_and_nothing_else():
    result = audit(components(), claims())
    assert {(f.id, f.gas, f.part) for f in result.findings} == EXPECTED
    assert result.checked > 100
    for f in result.findings:
        assert f.miss > 0
        assert f.explanation.endswith((".", ")"))
        assert f.where


def test_the_fire_finding_carries_the_element_mass():
    found = {(f.id, f.gas, f.part): f for f in audit(components(), claims()).findings}
    ch4 = found["inventory.fires", "CH4", "mean"]
    assert ch4.recomputed_low < 1.33 < ch4.recomputed_high
    n2o = found["inventory.fires", "N2O", "mean"]
    assert n2o.recomputed_low - 1e-3 < 0.078 < n2o.recomputed_high + 1e-3


def numbered(post_id: str, mean: float, low: float, high: float, unit: float) -> Post:
    return Post(
        id=post_id,
        gas="CO2",
        mean=mean,
        low=low,
        high=high,
        unit="Tg CO2-C yr-1",
        region="R",
        period="2000-2020",
        approach="inventory",
        source="table",
        rounding=(unit, unit, unit),
    )


def rounded(value: float, decimals: int) -> float:
    return round(value, decimals)


budgets = st.lists(
    st.tuples(st.floats(-2000, 2000), st.floats(0, 900), st.floats(0, 900), st.integers(-1, 3)),
    min_size=1,
    max_size=9,
)


@given(budgets, st.integers(-1, 2))
def test_a_consistent_budget_however_rounded_gives_no_finding(items, total_decimals):
    posts = []
    true = [0.0, 0.0, 0.0]
    for i, (mean, down, up, decimals) in enumerate(items):
        numbers = (mean, mean - down, mean + up)
        true = [t + n for t, n in zip(true, numbers, strict=True)]
        m, lo, hi = (rounded(n, decimals) for n in numbers)
        posts.append(numbered(f"p{i}", m, lo, hi, 10.0**-decimals))
    m, lo, hi = (rounded(t, total_decimals) for t in true)
    total = numbered("total", m, lo, hi, 10.0**-total_decimals)
    claim = Claim.of_post(total, tuple(Term(p.id, "CO2") for p in posts))
    assert audit([*posts], [claim]).findings == []


@given(budgets, st.floats(0.02, 50), st.sampled_from(["mean", "low", "high"]), st.booleans())
def test_an_error_larger_than_rounding_is_found_with_its_size(items, extra, part, upward):
    """Shift one printed number by the most that rounding could do plus `extra`; the miss is `extra`."""
    posts = [
        numbered(f"p{i}", mean, mean - down, mean + up, 10.0**-decimals)
        for i, (mean, down, up, decimals) in enumerate(items)
    ]
    slack = (sum(p.rounding[0] for p in posts) + 0.1) / 2
    numbers = {k: sum(getattr(p, k) for p in posts) for k in ("mean", "low", "high")}
    numbers[part] += (slack + extra) * (1 if upward else -1)
    claim = Claim(
        id="total",
        gas="CO2",
        printed={k: _printed(v) for k, v in numbers.items()},
        alternatives=(tuple(Term(p.id, "CO2") for p in posts),),
        where="table",
    )
    findings = audit(posts, [claim]).findings
    assert [f.part for f in findings] == [part]
    assert findings[0].miss == pytest.approx(extra, abs=1e-6)


def _printed(value: float):
    from talik.budget.audit import Printed

    return Printed.rounded(value, 0.1)


def test_negative_weights_swap_the_limits():
    a, b = numbered("a", 10, 8, 12, 0), numbered("b", 4, 1, 5, 0)
    total = numbered("d", 6, 3, 11, 0)
    claim = Claim.of_post(total, (Term("a", "CO2"), Term("b", "CO2", -1.0)))
    assert audit([a, b], [claim]).findings == []


def test_a_total_of_unknown_posts_is_an_error():
    claim = Claim.of_post(numbered("total", 1, 0, 2, 1), (Term("gone", "CO2"),), where="posts.csv, line 4")
    with pytest.raises(PostError, match=r"posts.csv, line 4: total 'total' \(CO2\) names 'gone'"):
        audit([], [claim])
