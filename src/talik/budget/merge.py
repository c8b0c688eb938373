"""Posts and recipes of several sources as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from talik.budget.files import PostsFile
from talik.errors import ConfigError
from talik.posts import Post, PostKey, Recipe
from talik.posts.published import components


def merged(sources: Mapping[str, PostsFile], recipes: Mapping[str, Sequence[Recipe]]) -> PostsFile:
    """One set of posts, recipes and printed totals from several, by the names that errors use.

    Published posts (a source ``reccap2``, or `others` of a file) fill what no source gives itself. `recipes` are added
    to those of the sources; the recipes of ``reccap2`` are asked for if any source does.

    ConfigError for a post (id and gas) that two sources give, and for two different recipes of one post.
    """
    owner: dict[PostKey, str] = {}
    posts: list[Post] = []
    for name, content in sources.items():
        filled = set(content.filled)
        for post in content.posts:
            if post.key in filled:
                continue
            if owner.setdefault(post.key, name) != name:
                raise ConfigError(
                    f"budget.posts: post {post.id!r} ({post.gas}) stands in {owner[post.key]} and in {name}. Rename "
                    "it in one of them, or leave one source out."
                )
            posts.append(post)
    if any(content.filled for content in sources.values()):
        wanted = {key for content in sources.values() for key in content.filled}
        posts += [post for post in components() if post.key in wanted and post.key not in owner]
    given = {name: content.recipes for name, content in sources.items()}
    return PostsFile(
        posts,
        _unique({**given, **recipes}),
        [claim for content in sources.values() for claim in content.claims],
        builtin=next((c.builtin for c in sources.values() if c.builtin), None),
    )


def _unique(recipes: Mapping[str, Sequence[Recipe]]) -> list[Recipe]:
    """Recipes of all, once if two say the same; ConfigError if they differ."""
    found: dict[PostKey, tuple[Recipe, str]] = {}
    for name, of in recipes.items():
        for recipe in of:
            held, owner = found.setdefault((recipe.id, recipe.gas), (recipe, name))
            if held != recipe:
                raise ConfigError(
                    f"budget: recipe of {recipe.id!r} ({recipe.gas}) stands in {owner} and, with other terms, in "
                    f"{name}. Rename it in one of them; a file without recipes may be given its own."
                )
    return [recipe for recipe, _ in found.values()]
