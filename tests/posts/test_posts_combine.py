"""The three ways limits combine, against interval arithmetic, closed forms and scipy."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from talik.errors import PostError
from talik.posts import Correlation, Post, Recipe, Term, evaluate
from talik.posts.combine import linear, quantiles_with_error, round_to_error, sampled

KEY = ("total", "CO2")


def post(name: str, mean: float, low: float, high: float, approach: str = "inventory") -> Post:
    return Post(
        id=name,
        gas="CO2",
        mean=mean,
        low=low,
        high=high,
        unit="Tg CO2-C yr-1",
        region="R",
        period="2000-2020",
        approach=approach,
        source="test",
    )


def by_key(*posts: Post) -> dict:
    return {p.key: p for p in posts}


triples = st.lists(
    st.tuples(*[st.integers(-2000, 2000)] * 3, st.integers(-4, 4).filter(bool)), min_size=1, max_size=8
)


@given(triples)
def test_linear_is_interval_arithmetic_exactly(items):
    """Against exact rational interval arithmetic; halves and quarters are exact in binary too."""
    posts, weights = {}, {}
    low = high = mean = Fraction(0)
    for i, (a, b, c, quarter) in enumerate(items):
        lo, mid, hi = sorted((a, b, c))
        key = (f"p{i}", "CO2")
        posts[key] = post(f"p{i}", mid / 4, lo / 4, hi / 4)
        weights[key] = quarter / 4
        w = Fraction(quarter, 4)
        ends = sorted((w * Fraction(lo, 4), w * Fraction(hi, 4)))
        low, high, mean = low + ends[0], high + ends[1], mean + w * Fraction(mid, 4)
    limits = linear({KEY: weights}, posts)[KEY]
    assert (Fraction(limits.low), Fraction(limits.high)) == (low, high)


def test_independent_normals_add_in_quadrature():
    posts = by_key(post("a", 10, 4, 16), post("b", -5, -13, 3))
    weights = {KEY: {("a", "CO2"): 1.0, ("b", "CO2"): 1.0}}
    limits = sampled(weights, posts, draws=1_000_000)[KEY]
    assert limits.low == pytest.approx(5 - 10, abs=4 * limits.error_low)
    assert limits.high == pytest.approx(5 + 10, abs=4 * limits.error_high)
    assert limits.shares["a", "CO2"] == pytest.approx(36 / 100, abs=0.005)


@pytest.mark.parametrize("rho", [0.3, 0.8, 1.0])
def test_correlated_normals_follow_the_closed_form(rho):
    posts = by_key(post("a", 0, -6, 6), post("b", 0, -8, 8))
    weights = {KEY: {("a", "CO2"): 1.0, ("b", "CO2"): 1.0}}
    limits = sampled(weights, posts, draws=400_000, correlation=Correlation(rho))[KEY]
    pearson = 2 * np.sin(np.pi * rho / 6)
    assert limits.high == pytest.approx(np.sqrt(36 + 64 + 2 * pearson * 48), abs=4 * limits.error_high)


def test_rank_correlation_is_the_one_stated():
    """Spearman correlation of the draws, by scipy, for skewed posts; taken from the totals of single posts."""
    posts = by_key(post("a", -350, -1040, -150), post("b", 231, 132, 360))
    draws = 200_000
    spread = {}
    for sign in (1.0, -1.0):
        weights = {KEY: {("a", "CO2"): 1.0, ("b", "CO2"): sign}}
        spread[sign] = sampled(weights, posts, draws=draws, correlation=Correlation(0.6))[KEY]
    z = np.random.default_rng(1).multivariate_normal(
        [0, 0], [[1, r := 2 * np.sin(np.pi / 10)], [r, 1]], draws
    )
    assert stats.spearmanr(z)[0] == pytest.approx(0.6, abs=0.01)
    from talik.posts.distributions import fit

    x = np.column_stack(
        [fit(-350, -1040, -150).from_normal(z[:, 0]), fit(231, 132, 360).from_normal(z[:, 1])]
    )
    for sign, limits in spread.items():
        expected = np.quantile(x[:, 0] + sign * x[:, 1], [0.025, 0.975])
        assert limits.low == pytest.approx(expected[0], abs=6 * limits.error_low)
        assert limits.high == pytest.approx(expected[1], abs=6 * limits.error_high)


def test_stated_error_is_the_real_one():
    """Spread of a limit over repeated runs against the error each run states and the asymptotic formula."""
    rng = np.random.default_rng(5)
    runs = [quantiles_with_error(rng.standard_normal(4000), (0.025,))[0] for _ in range(300)]
    real = np.std([q for q, _ in runs])
    stated = np.mean([e for _, e in runs])
    theory = np.sqrt(0.025 * 0.975 / 4000) / stats.norm.pdf(stats.norm.ppf(0.025))
    assert stated == pytest.approx(theory, rel=0.05)
    assert real == pytest.approx(theory, rel=0.15)


def test_monte_carlo_error_falls_with_the_square_root_of_the_draws():
    rng = np.random.default_rng(6)
    sizes = np.array([1000, 4000, 16_000, 64_000])
    errors = [
        np.mean([quantiles_with_error(rng.gamma(3, size=n), (0.975,))[0][1] for _ in range(60)])
        for n in sizes
    ]
    slope = np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.05)


def test_limits_are_given_to_supported_digits_only():
    assert round_to_error(-411.37, 0.71) == -411.0
    assert round_to_error(-411.37, 1.3) == -410.0
    assert round_to_error(0.6712, 0.0004) == 0.671
    assert round_to_error(3.14159, 0.0) == 3.14159


def test_adding_a_post_changes_no_other_number():
    a, b = post("a", 12, 8.6, 16), post("b", 231, 132, 360)
    alone = sampled({KEY: {a.key: 1.0}}, by_key(a), draws=5000, seed=3)[KEY]
    both = sampled({KEY: {a.key: 1.0}, ("other", "CO2"): {b.key: 1.0}}, by_key(a, b), draws=5000, seed=3)[KEY]
    assert (alone.low, alone.high) == (both.low, both.high)
    other_seed = sampled({KEY: {a.key: 1.0}}, by_key(a), draws=5000, seed=4)[KEY]
    assert other_seed.error_low != alone.error_low


def test_a_shared_input_is_one_quantity_not_two():
    """a in two branches of a mean must not average away its own spread."""
    posts = [post("a", 0, -10, 10), post("b", 0, -1, 1), post("c", 0, -1, 1)]
    recipes = [
        Recipe(id="x", gas="CO2", op="sum", terms=(Term("a", "CO2"), Term("b", "CO2"))),
        Recipe(id="y", gas="CO2", op="sum", terms=(Term("a", "CO2"), Term("c", "CO2"))),
        Recipe(id="total", gas="CO2", op="mean", terms=(Term("x", "CO2"), Term("y", "CO2"))),
    ]
    limits = evaluate(posts, recipes, draws=200_000).limits["independent"][KEY]
    assert limits.high == pytest.approx(np.sqrt(100 + 2 * 0.25), abs=5 * limits.error_high)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.floats(-500, 500), st.floats(0.1, 300)), min_size=2, max_size=5))
def test_independent_is_never_wider_than_linear(items):
    posts = [post(f"p{i}", m, m - s, m + s) for i, (m, s) in enumerate(items)]
    recipe = Recipe(id="total", gas="CO2", op="sum", terms=tuple(Term(p.id, "CO2") for p in posts))
    limits = evaluate(posts, [recipe], draws=20_000).limits
    lin, ind, cor = (limits[k][KEY] for k in ("linear", "independent", "correlated"))
    slack = 6 * max(ind.error_low, ind.error_high, cor.error_high) + 1e-9
    assert ind.high - ind.low <= lin.high - lin.low + slack
    assert ind.high - ind.low <= cor.high - cor.low + 2 * slack
    for one in (lin, ind, cor):
        assert sum(one.shares.values()) == pytest.approx(1)


def test_contradicting_correlations_are_refused():
    posts = [post("a", 0, -1, 1), post("b", 0, -1, 1), post("c", 0, -1, 1)]
    pairs = [
        (posts[0].key, posts[1].key, 0.9),
        (posts[1].key, posts[2].key, 0.9),
        (posts[0].key, posts[2].key, -0.9),
    ]
    with pytest.raises(PostError, match="no set of posts can have this rank-correlation matrix"):
        sampled(
            {KEY: {p.key: 1.0 for p in posts}},
            by_key(*posts),
            draws=1000,
            correlation=Correlation(0, None, pairs),
        )


def test_what_cannot_be_drawn_stops_only_the_assumptions_that_draw():
    posts = [post("a", 50, 50, 100), post("b", 0, -1, 1)]
    recipe = Recipe(id="total", gas="CO2", op="sum", terms=(Term("a", "CO2"), Term("b", "CO2")))
    result = evaluate(posts, [recipe], draws=1000)
    assert result.posts[KEY].high == 101
    assert set(result.limits) == {"linear"}
    assert "probably a median" in result.unavailable["independent"]
    with pytest.raises(PostError, match="post 'a'"):
        evaluate(posts, [recipe], combine="independent", draws=1000)
