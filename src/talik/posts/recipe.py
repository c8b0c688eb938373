"""How a post is made from others: weighted sums and means of alternatives, checked before anything is added.

Every recipe of a budget is linear, so a derived post can be written as one weighted list of the posts that
came in (`flatten`). Limits are computed on that list, which is why a post used twice is never counted as two
independent ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from talik.errors import PostError
from talik.posts.post import GASES, Post, PostKey, ancestors

Weights = dict[PostKey, float]


@dataclass(frozen=True, slots=True)
class Term:
    """`weight` times a post; `why` says where a weight other than 1 comes from."""

    post: str
    gas: str
    weight: float = 1.0
    why: str = ""

    @property
    def key(self) -> PostKey:
        """(id, gas) of the post."""
        return self.post, self.gas

    def __str__(self) -> str:
        return self.post if self.weight == 1.0 else f"{self.weight:.6g} x {self.post}"


@dataclass(frozen=True, slots=True)
class Accept:
    """A mismatch the recipe knows of and lives with; the report prints it."""

    mismatch: Literal["region", "period"]
    post: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The derived post (`id`, `gas`) as a sum of terms, or as the plain mean of alternative estimates.

    `op` is ``sum`` (terms must not contain one another), ``mean`` (alternatives for the same flux, weights
    are divided by their sum), ``difference`` (first minus second term, which may share inputs) or ``convert``
    (the inputs of the post `like` in another unit, such as CO2 equivalents; region, period and coverage are
    those of that post).
    """

    id: str
    gas: str
    op: Literal["sum", "mean", "difference", "convert"]
    terms: tuple[Term, ...]
    region: str | None = None
    period: str | None = None
    accept: tuple[Accept, ...] = ()
    part_of: str | None = None
    like: PostKey | None = None
    note: str = ""

    def __post_init__(self) -> None:
        name = f"recipe of {self.id!r} ({self.gas})"
        if self.gas not in GASES:
            raise PostError(f"{name}: gas {self.gas!r} is unknown; choose one of: {', '.join(GASES)}.")
        if not self.terms:
            raise PostError(f"{name}: has no terms.")
        if (self.op == "convert") != (self.like is not None):
            raise PostError(f"{name}: 'like' belongs to convert, and convert needs it.")
        for term in self.terms:
            if not math.isfinite(term.weight):
                raise PostError(
                    f"{name}: the weight of {term.post!r} is {term.weight}; expected a finite number."
                )
        keys = [term.key for term in self.terms]
        for key in keys:
            if keys.count(key) > 1:
                raise PostError(f"{name}: {key[0]!r} ({key[1]}) stands twice among the terms; remove one.")

    @property
    def key(self) -> PostKey:
        """(id, gas) of the post this recipe makes."""
        return self.id, self.gas

    def direct_weights(self) -> Weights:
        """Weight of each term; for a mean the weights sum to 1."""
        total = sum(t.weight for t in self.terms) if self.op == "mean" else 1.0
        return {t.key: t.weight / total for t in self.terms}

    def __str__(self) -> str:
        if self.op == "mean":
            equal = len({t.weight for t in self.terms}) == 1
            return f"mean of {', '.join(t.post if equal else str(t) for t in self.terms)}"
        if self.op == "difference":
            return " - ".join(t.post for t in self.terms)
        return " + ".join(str(t) for t in self.terms)

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain JSON values."""
        return {
            "op": self.op,
            "text": str(self),
            "terms": [
                {"post": t.post, "gas": t.gas, "weight": w, "why": t.why}
                for t, w in zip(self.terms, self.direct_weights().values(), strict=True)
            ],
            "accepted": [{"mismatch": a.mismatch, "post": a.post, "why": a.why} for a in self.accept],
            "like": list(self.like) if self.like else None,
        }


def order(recipes: Iterable[Recipe], posts: Mapping[PostKey, Post]) -> list[Recipe]:
    """Recipes sorted so that each comes after those it needs. Unknown posts and circles are errors."""
    todo = {r.key: r for r in recipes}
    for key in todo:
        if key in posts:
            raise PostError(f"{key[0]!r} ({key[1]}) is given as a post and made by a recipe; keep one.")
    done: list[Recipe] = []
    finished: set[PostKey] = set()

    def visit(key: PostKey, trail: tuple[PostKey, ...]) -> None:
        if key in finished or key in posts:
            return
        if key in trail:
            raise PostError(
                f"recipe of {key[0]!r} ({key[1]}) needs itself: {' -> '.join(k[0] for k in trail)}."
            )
        if key not in todo:
            user = trail[-1]
            known = sorted(k[0] for k in (*posts, *todo) if k[1] == key[1])
            raise PostError(
                f"recipe of {user[0]!r} ({user[1]}): post {key[0]!r} for {key[1]} does not exist; "
                f"the {key[1]} posts are: {', '.join(known) or 'none'}."
            )
        for term in todo[key].terms:
            visit(term.key, (*trail, key))
        if (like := todo[key].like) is not None:
            visit(like, (*trail, key))
        finished.add(key)
        done.append(todo[key])

    for key in todo:
        visit(key, ())
    return done


def flatten(ordered: Iterable[Recipe]) -> dict[PostKey, Weights]:
    """Each derived post as weights of input posts (recipes as `order` returns them)."""
    flat: dict[PostKey, Weights] = {}
    for recipe in ordered:
        weights: Weights = {}
        for key, weight in recipe.direct_weights().items():
            for source, inner in flat.get(key, {key: 1.0}).items():
                weights[source] = weights.get(source, 0.0) + weight * inner
        flat[recipe.key] = weights
    return flat


def check_sum(recipe: Recipe, members: Mapping[PostKey, Post], flat: Mapping[PostKey, Weights]) -> None:
    """Refuse a sum in which one term already contains another, by `part_of` or by a shared input."""
    if recipe.op != "sum":
        return
    posts = dict(members)
    content: list[tuple[Term, set[PostKey]]] = []
    for term in recipe.terms:
        inside = {term.key, *flat.get(term.key, {})}
        for other, mine in content:
            for a in inside:
                for b in mine:
                    if a == b:
                        raise PostError(
                            f"recipe of {recipe.id!r} ({recipe.gas}): {a[0]!r} is counted twice, in {term.post!r} "
                            f"and in {other.post!r}. Remove one of the two terms."
                        )
                    child, parent = (a, b) if b in ancestors(a, posts) else (b, a)
                    if parent in ancestors(child, posts):
                        raise PostError(
                            f"recipe of {recipe.id!r} ({recipe.gas}): {child[0]!r} is part of {parent[0]!r}, which "
                            "the sum already contains. Remove the sub-flux from the sum, or clear its part_of "
                            "if it is in truth a separate flux."
                        )
        content.append((term, inside))


def derive(recipe: Recipe, members: Mapping[PostKey, Post]) -> Post:
    """The post a recipe makes from `members`, with limits added in step (the ``linear`` assumption).

    Regions and periods of the terms must agree with the target (the recipe's own, else the first term's)
    unless the recipe accepts the mismatch by name.
    """
    terms = [members[t.key] for t in recipe.terms]
    model = members[recipe.like] if recipe.like else terms[0]
    region = recipe.region or model.region
    period = recipe.period or model.period
    accepted = {(a.mismatch, a.post) for a in recipe.accept}
    for what, target in (("region", region), ("period", period)):
        for post in terms if recipe.op != "convert" else []:
            found = getattr(post, what)
            if found != target and (what, post.id) not in accepted:
                raise PostError(
                    f"recipe of {recipe.id!r} ({recipe.gas}): {post.id!r} is for {what} {found!r}, the total for "
                    f"{target!r}. Bring them to one {what}, or declare it in the recipe: "
                    f"accept: [{{mismatch: {what}, post: {post.id}, why: ...}}]."
                )
    mean, low, high = linear_limits(recipe.direct_weights(), members)
    covers, partly = (model.covers, model.partly) if recipe.like else _coverage(recipe, terms)
    return Post(
        id=recipe.id,
        gas=recipe.gas,
        mean=mean,
        low=low,
        high=high,
        unit=GASES[recipe.gas],
        region=region,
        period=period,
        approach="derived",
        source="recipe",
        part_of=recipe.part_of,
        covers=covers,
        partly=partly,
        recipe=recipe,
        note=recipe.note,
    )


def linear_limits(
    weights: Mapping[PostKey, float], posts: Mapping[PostKey, Post]
) -> tuple[float, float, float]:
    """(mean, low, high) with limits combined by interval arithmetic (`linear`)."""
    mean = math.fsum(w * posts[k].mean for k, w in weights.items())
    low = math.fsum(w * (posts[k].low if w >= 0 else posts[k].high) for k, w in weights.items())
    high = math.fsum(w * (posts[k].high if w >= 0 else posts[k].low) for k, w in weights.items())
    return mean, low, high


def _coverage(recipe: Recipe, terms: list[Post]) -> tuple[frozenset[str], frozenset[str]]:
    """Processes covered fully and partly.

    A sum covers what any term covers, a mean or difference what all terms cover. A total over gases (CO2e) covers a
    process only in part if one gas does.
    """
    covers = [t.covers for t in terms]
    partly = frozenset[str]().union(*(t.partly for t in terms))
    touched = partly.union(*covers)
    if recipe.op in ("mean", "difference"):
        full = frozenset.intersection(*covers)
    elif recipe.gas == "CO2e":
        full = touched - partly
    else:
        full = frozenset[str]().union(*covers)
    return full, touched - full
