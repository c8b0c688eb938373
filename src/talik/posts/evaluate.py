"""From posts and recipes to derived posts with limits: order, check, derive, combine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from talik.errors import PostError
from talik.posts.combine import COMBINATIONS, DRAWS, Correlation, Limits, linear, sampled
from talik.posts.post import Post, PostKey, check_unique
from talik.posts.recipe import Accept, Recipe, Weights, check_sum, derive, flatten, order


@dataclass(frozen=True)
class Evaluation:
    """Derived posts with their limits.

    `posts` are inputs and derived posts together; `weights` expands each derived post to its inputs; `limits`
    holds each assumption's limits by name (an assumption that cannot be used is missing, with the reason in
    `unavailable`); `combine` names the assumption whose limits stand in the posts.
    """

    posts: Mapping[PostKey, Post]
    weights: Mapping[PostKey, Weights]
    limits: Mapping[str, Mapping[PostKey, Limits]]
    combine: str
    accepted: Mapping[PostKey, tuple[Accept, ...]]
    unavailable: Mapping[str, str]

    @property
    def derived(self) -> list[Post]:
        """The derived posts, in the order they were made."""
        return [self.posts[k] for k in self.weights]

    @property
    def inputs(self) -> list[Post]:
        """The posts that came in, in file order."""
        return [p for k, p in self.posts.items() if k not in self.weights]


def evaluate(
    posts: Iterable[Post],
    recipes: Iterable[Recipe],
    *,
    combine: str = "linear",
    seed: int = 0,
    draws: int = DRAWS,
    correlation: Correlation | None = None,
) -> Evaluation:
    """Make every derived post, with limits under all three assumptions and `combine` as the headline.

    Raises PostError for anything that must not be added: unknown posts, a sub-flux added to its parent, a
    post counted twice, regions or periods that differ without being declared, a post that cannot be drawn
    when `combine` needs draws.
    """
    if combine not in COMBINATIONS:
        raise PostError(f"combine {combine!r} is unknown; choose one of: {', '.join(COMBINATIONS)}.")
    members: dict[PostKey, Post] = check_unique(list(posts))
    recipes = list(recipes)
    seen: set[PostKey] = set()
    for recipe in recipes:
        if recipe.key in seen:
            raise PostError(f"two recipes make {recipe.id!r} ({recipe.gas}); rename or remove one.")
        seen.add(recipe.key)
    _check_parents(members, seen)
    ordered = order(recipes, members)
    weights = flatten(ordered)
    inputs = dict(members)
    for recipe in ordered:
        check_sum(recipe, members, weights)
        members[recipe.key] = derive(recipe, members)

    limits: dict[str, Mapping[PostKey, Limits]] = {"linear": linear(weights, inputs)}
    unavailable: dict[str, str] = {}
    for name, corr in (("independent", None), ("correlated", correlation or Correlation())):
        try:
            limits[name] = sampled(weights, inputs, seed=seed, draws=draws, correlation=corr)
        except PostError as err:
            if combine == name:
                raise
            unavailable[name] = str(err)
    for key, lim in limits[combine].items():
        members[key] = replace(members[key], low=lim.low, high=lim.high)
    return Evaluation(
        posts=members,
        weights=weights,
        limits=limits,
        combine=combine,
        accepted={r.key: r.accept for r in ordered if r.accept},
        unavailable=unavailable,
    )


def _check_parents(posts: Mapping[PostKey, Post], derived: set[PostKey]) -> None:
    for post in posts.values():
        parent = (post.part_of or "", post.gas)
        if post.part_of is not None and parent not in posts and parent not in derived:
            raise PostError(
                f"{post.where or 'posts'}: post {post.id!r} ({post.gas}) is part of {post.part_of!r}, "
                f"which does not exist for {post.gas}. Name an existing post or clear part_of."
            )
