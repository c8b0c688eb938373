"""The budget, end to end: posts, recipes, CO2 equivalents, limits, reconciliation, audit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from talik.budget import printed, reccap2
from talik.budget.audit import Audit, audit
from talik.budget.files import PostsFile, read_posts, read_recipes
from talik.budget.gwp import PARTS, Metric, co2e_recipes
from talik.budget.merge import merged
from talik.budget.reconcile import Comparison, difference_recipes, reconcile_all
from talik.budget.settings import BudgetSettings
from talik.errors import ConfigError
from talik.posts import Correlation, Evaluation, Post, PostKey, Recipe, Term, evaluate
from talik.posts.post import check_unique
from talik.posts.published import components

BUILTIN = "reccap2"


@dataclass(frozen=True)
class Budget:
    """A computed budget: `evaluation` holds every post and limit, the rest is what a reader asks next."""

    name: str
    evaluation: Evaluation
    comparisons: list[Comparison]
    audit: Audit
    settings: BudgetSettings
    metric: Metric
    left_out: list[Post]
    """Input posts that enter no derived post (sub-fluxes, alternatives)."""


def load(source: str | Path) -> PostsFile:
    """The posts of ``reccap2`` or of a posts file."""
    if str(source) == BUILTIN:
        return PostsFile(list(components()), claims=printed.claims(), builtin=BUILTIN)
    return read_posts(Path(source))


def compute(source: str | Path, settings: BudgetSettings | None = None) -> Budget:
    """Compute the budget of ``reccap2`` or of a posts file. Every refusal is a TalikError."""
    return compute_posts(load(source), settings or BudgetSettings(), str(source))


def compute_sources(
    sources: Mapping[str, str | Path], settings: BudgetSettings, recipes: Path | None = None
) -> Budget:
    """Compute the budget of several sources together, each ``reccap2`` or a posts file, by name.

    recipes : a file of recipes that is added to those of the sources. See `talik.budget.merge.merged`.
    """
    contents: dict[str, PostsFile] = {}
    without: dict[str, list[Post]] = {}
    for name, source in sources.items():
        content = load(source)
        if (
            content.builtin == BUILTIN and str(source) == BUILTIN
        ):  # published posts are those that nobody else gives
            content = replace(content, filled=tuple(post.key for post in content.posts))
        elif not content.recipes and content.builtin is None:
            without[name] = content.posts
        contents[name] = content
    added = {} if recipes is None else {recipes.name: read_recipes(recipes)}
    if without:
        once = {post.key: post for posts in without.values() for post in posts}
        added[f"the totals of {', '.join(without)}"] = plain_totals(once.values())
    return compute_posts(merged(contents, added), settings, " + ".join(sources))


def compute_posts(content: PostsFile, s: BudgetSettings, name: str) -> Budget:
    """Compute the budget of posts and recipes. Every refusal is a TalikError."""
    metric = Metric(s.horizon, s.ch4_gwp)
    by_key = check_unique(content.posts)
    recipes = list(content.recipes)
    if content.builtin == BUILTIN:
        recipes += reccap2.recipes(s.reccap2)
    elif not recipes:
        recipes = plain_totals(content.posts)
    recipes = [*recipes, *co2e_recipes(recipes, by_key, metric)]
    evaluation = evaluate(
        content.posts,
        [*recipes, *difference_recipes(recipes)],
        combine=s.combine,
        seed=s.seed,
        draws=s.draws,
        correlation=Correlation(s.within_group_correlation, pairs=_pairs(s, by_key)),
    )
    used = {k for inputs in evaluation.weights.values() for k in inputs}
    return Budget(
        name=name,
        evaluation=evaluation,
        comparisons=reconcile_all(evaluation),
        audit=audit(content.posts, content.claims),
        settings=s,
        metric=metric,
        left_out=[p for p in content.posts if p.key not in used],
    )


def _pairs(settings: BudgetSettings, posts: Mapping[PostKey, Post]) -> list[tuple[PostKey, PostKey, float]]:
    """The stated rank correlations by post key; a name that is no post is an error."""
    out = []
    for pair in settings.rank_correlations:
        keys = []
        for name in pair.posts:
            post_id, _, gas = name.partition("/")
            if (post_id, gas) not in posts:
                raise ConfigError(
                    f"rank_correlations: {name!r} is no input post; write id/GAS, as in lakes/CH4."
                )
            keys.append((post_id, gas))
        out.append((keys[0], keys[1], pair.rank))
    return out


def plain_totals(posts: Iterable[Post]) -> list[Recipe]:
    """Where a file gives no recipes: `total.<approach>` of each gas, sub-fluxes left to their parents."""
    groups: dict[tuple[str, str], list[Post]] = {}
    for post in posts:
        if post.part_of is None and post.gas in (*PARTS, "C", "N"):
            groups.setdefault((post.approach, post.gas), []).append(post)
    return [
        Recipe(id=f"total.{approach}", gas=gas, op="sum", terms=tuple(Term(p.id, gas) for p in members))
        for (approach, gas), members in groups.items()
    ]
