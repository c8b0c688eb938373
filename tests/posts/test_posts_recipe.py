"""What may be added to what, and what a post must state."""

from __future__ import annotations

import math

import pytest

from talik.errors import PostError
from talik.posts import Accept, Post, Recipe, Term, evaluate

BASE = {
    "gas": "CH4",
    "mean": 2.0,
    "low": 1.0,
    "high": 3.0,
    "unit": "Tg CH4-C yr-1",
    "region": "R",
    "period": "2000-2020",
    "approach": "inventory",
    "source": "a table",
}


def post(post_id: str, **changes) -> Post:
    return Post(**{"id": post_id, **BASE, **changes})


def total(*terms: str | Term, post_id: str = "total", op="sum", **changes) -> Recipe:
    return Recipe(
        id=post_id,
        gas="CH4",
        op=op,
        terms=tuple(t if isinstance(t, Term) else Term(t, "CH4") for t in terms),
        **changes,
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"low": 3.0, "high": 1.0}, "limits are swapped"),
        ({"mean": 9.0}, "outside its limits"),
        ({"low": math.nan}, "low is nan; a post needs three finite numbers"),
        ({"high": math.inf}, "high is inf"),
        ({"high": 1e300}, "nothing on Earth is beyond"),
        ({"unit": ""}, "unit is missing; expected 'Tg CH4-C yr-1'"),
        ({"unit": "Gt CH4-C yr-1"}, "Multiply mean, low and high by 1000"),
        ({"unit": "Tg CH4 yr-1"}, "mass of the gas"),
        ({"unit": "Tg C yr-1"}, "is not the unit of CH4 posts"),
        ({"gas": "SF6"}, "gas 'SF6' is unknown; choose one of: CO2, CH4"),
        ({"region": " "}, "region is empty"),
        ({"period": "2000s"}, "expected first and last year"),
        ({"period": "2020-2000"}, "expected first and last year"),
        ({"approach": "guess"}, "approach 'guess' is unknown"),
        ({"part_of": "wetlands"}, "part of itself"),
        ({"approach": "anthropogenic"}, "state the origin of anthropogenic CH4"),
        ({"origin": "old"}, "expected fossil or non-fossil"),
        ({"covers": frozenset({"magic"})}, "process 'magic' is unknown"),
    ],
)
def test_a_wrong_post_says_what_is_wrong(changes, message):
    with pytest.raises(PostError, match=message):
        post("wetlands", **changes)


def test_a_sub_flux_is_never_added_to_its_parent():
    posts = [post("inversion"), post("fire", part_of="inversion")]
    with pytest.raises(PostError, match="'fire' is part of 'inversion', which the sum already contains"):
        evaluate(posts, [total("inversion", "fire")], draws=1000)
    with pytest.raises(PostError, match="'fire' is part of 'inversion'"):
        evaluate(posts, [total("fire", "inversion")], draws=1000)


def test_a_sub_flux_hidden_in_a_derived_post_is_found():
    posts = [post("a"), post("b", part_of="a"), post("c", part_of="b"), post("d")]
    inner = total("c", "d", post_id="inner")
    with pytest.raises(PostError, match="'c' is part of 'a'"):
        evaluate(posts, [inner, total("a", "inner")], draws=1000)


def test_a_post_is_never_counted_twice():
    posts = [post("a"), post("b")]
    with pytest.raises(PostError, match="'a' is counted twice"):
        evaluate(posts, [total("a", "b", post_id="ab"), total("ab", "a")], draws=1000)


def test_alternatives_may_share_a_part():
    """A mean of two estimates is no double counting even if both contain the same thing."""
    posts = [post("a"), post("b"), post("c", part_of="a")]
    result = evaluate(posts, [total("b", "c", post_id="bc"), total("a", "bc", op="mean")], draws=1000)
    assert result.posts["total", "CH4"].mean == pytest.approx((2 + 4) / 2)


@pytest.mark.parametrize(("what", "other"), [("region", "Q"), ("period", "2001-2019")])
def test_different_regions_or_periods_are_refused_unless_declared(what, other):
    posts = [post("a"), post("b", **{what: other})]
    with pytest.raises(PostError, match=rf"'b' is for {what} '{other}'.*declare it"):
        evaluate(posts, [total("a", "b")], draws=1000)
    accept = (Accept(what, "b", "close enough"),)
    result = evaluate(posts, [total("a", "b", accept=accept)], draws=1000)
    assert result.posts["total", "CH4"].mean == 4.0
    assert result.accepted["total", "CH4"] == accept


def test_unknown_posts_circles_and_repeats_are_named():
    with pytest.raises(
        PostError, match=r"post 'nothing' for CH4 does not exist; the CH4 posts are: a, total"
    ):
        evaluate([post("a")], [total("nothing")], draws=1000)
    with pytest.raises(PostError, match="needs itself: x -> y"):
        evaluate([post("a")], [total("y", post_id="x"), total("x", post_id="y")], draws=1000)
    with pytest.raises(PostError, match="'a' stands twice for CH4"):
        evaluate([post("a"), post("a")], [total("a")], draws=1000)
    with pytest.raises(PostError, match="stands twice among the terms"):
        total("a", "a")
    with pytest.raises(PostError, match="is part of 'gone', which does not exist"):
        evaluate([post("a", part_of="gone")], [total("a")], draws=1000)
    with pytest.raises(PostError, match="runs in a circle"):
        evaluate([post("a", part_of="b"), post("b", part_of="a"), post("c")], [total("a", "c")], draws=1000)
    with pytest.raises(PostError, match="given as a post and made by a recipe"):
        evaluate([post("a"), post("total")], [total("a")], draws=1000)


def test_a_recipe_can_be_expanded_to_its_inputs():
    posts = [post("a"), post("b"), post("c")]
    half = total("a", Term("b", "CH4", 0.5), post_id="half")
    result = evaluate(posts, [total("half", "c", op="mean"), half], draws=1000)
    assert result.weights["total", "CH4"] == {("a", "CH4"): 0.5, ("b", "CH4"): 0.25, ("c", "CH4"): 0.5}
    assert result.posts["total", "CH4"].mean == pytest.approx(2 * 1.25)


def test_coverage_of_sums_and_means():
    posts = [
        post("a", covers=frozenset({"fire"})),
        post("b", covers=frozenset({"fire", "inland_waters"})),
    ]
    both = evaluate(posts, [total("a", "b"), total("a", "b", post_id="avg", op="mean")], draws=1000)
    assert both.posts["total", "CH4"].covers == {"fire", "inland_waters"}
    assert both.posts["avg", "CH4"].covers == {"fire"}
    assert both.posts["avg", "CH4"].partly == {"inland_waters"}
