"""Posts from files: YAML with posts and recipes, or CSV with one post a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from talik.budget.audit import Claim
from talik.errors import PostError
from talik.posts import Accept, Post, PostKey, Recipe, Term
from talik.posts.published import components
from talik.posts.rows import a_number, check_keys, post_of, read_rows, words
from talik.yamlio import parse_yaml, read_text

_RECIPE_KEYS = ("id", "gas", "sum", "mean", "region", "period", "part_of", "accept", "note")
_TERM_KEYS = ("post", "gas", "weight", "why")


@dataclass(frozen=True)
class PostsFile:
    """What a posts file holds: input posts, recipes, and printed totals to audit (rows with `sum_of`).

    `builtin` is ``reccap2`` where the file asks for the built-in recipe instead of giving its own. `filled` are the
    posts that were taken as published, because the file says `others: reccap2`.
    """

    posts: list[Post]
    recipes: list[Recipe] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    builtin: str | None = None
    filled: tuple[PostKey, ...] = ()


def read_posts(path: Path) -> PostsFile:
    """Read a .yaml, .yml or .csv posts file. Every problem is a TalikError that names file and post."""
    text = read_text(path)
    if path.suffix.lower() in (".yaml", ".yml"):
        return parse_posts(parse_yaml(text, str(path)), str(path))
    if path.suffix.lower() == ".csv":
        return parse_csv(text, str(path))
    raise PostError(
        f"{path}: a posts file ends in .yaml, .yml or .csv; this one in {path.suffix or 'nothing'!r}."
    )


def parse_csv(text: str, name: str) -> PostsFile:
    """Posts from CSV text with a header line; empty cells are absent values."""
    return _collect(read_rows(text, name), name)


def parse_posts(data: Any, name: str) -> PostsFile:
    """Posts and recipes from the value of a YAML file."""
    if not isinstance(data, Mapping) or not isinstance(data.get("posts"), list):
        raise PostError(f"{name}: expected a key 'posts' with a list of posts (see `talik budget --help`).")
    check_keys(list(data), ("posts",), ("recipes", "others"), name)
    entries = []
    for number, item in enumerate(data["posts"], 1):
        where = f"{name}, post {number}"
        if not isinstance(item, Mapping):
            raise PostError(f"{where}: expected keys such as id, gas, mean; found {item!r}.")
        entries.append((where, {k: v for k, v in item.items() if v is not None}))
    content = _collect(entries, name)
    others = _others(data.get("others"), content.posts, name)
    posts, filled = [*content.posts, *others], tuple(post.key for post in others)
    given = data.get("recipes") or []
    if given == "reccap2":
        return PostsFile(posts, [], content.claims, builtin="reccap2", filled=filled)
    if not isinstance(given, list):
        raise PostError(f"{name}: recipes must be a list, or the word reccap2; found {given!r}.")
    return PostsFile(posts, _recipes(given, name), content.claims, filled=filled)


def read_recipes(path: Path) -> list[Recipe]:
    """Read a YAML file with a list `recipes`, as in a posts file. Every problem is a TalikError that names the file."""
    data = parse_yaml(read_text(path), str(path))
    if not isinstance(data, Mapping) or not isinstance(data.get("recipes"), list):
        raise PostError(f"{path}: expected a key 'recipes' with a list of recipes, as in a posts file.")
    check_keys(list(data), ("recipes",), (), str(path))
    return _recipes(data["recipes"], str(path))


def _recipes(given: list[Any], name: str) -> list[Recipe]:
    return [_recipe(item, f"{name}, recipe {number}") for number, item in enumerate(given, 1)]


def _others(wanted: Any, given: list[Post], name: str) -> list[Post]:
    """The published components that a file does not give itself, where it says `others: reccap2`."""
    if wanted is None:
        return []
    if wanted != "reccap2":
        raise PostError(f"{name}: others is {wanted!r}; expected the word reccap2, or leave it out.")
    have = {post.key for post in given}
    return [post for post in components() if post.key not in have]


def _collect(entries: Sequence[tuple[str, Mapping[str, Any]]], name: str) -> PostsFile:
    posts: list[Post] = []
    claims: list[Claim] = []
    totals: list[Post] = []
    for where, raw in entries:
        total_of = raw.get("sum_of")
        post = post_of(raw, where)
        if total_of is None:
            posts.append(post)
        else:
            ids = words(total_of, "sum_of", where)
            terms = tuple(Term(i, post.gas) for i in ids)
            claims.append(Claim.of_post(post, terms, where=where))
            totals.append(post)
    if not entries:
        raise PostError(f"{name}: holds no posts.")
    parents = {(post.part_of, post.gas) for post in posts}
    return PostsFile([*posts, *(total for total in totals if total.key in parents)], claims=claims)


def _recipe(item: Any, where: str) -> Recipe:
    if not isinstance(item, Mapping):
        raise PostError(f"{where}: expected keys id, gas and sum (or mean); found {item!r}.")
    check_keys(list(item), ("id", "gas"), _RECIPE_KEYS[2:], where)
    if ("sum" in item) == ("mean" in item):
        raise PostError(
            f"{where}: give either sum (posts to add) or mean (alternative estimates to average)."
        )
    op = "sum" if "sum" in item else "mean"
    listed = item[op]
    if not isinstance(listed, list) or not listed:
        raise PostError(f"{where}: {op} must be a list of post ids.")
    accept = item.get("accept") or []
    if not isinstance(accept, list):
        raise PostError(f"{where}: accept must be a list of {{mismatch, post, why}}.")
    return Recipe(
        id=str(item["id"]),
        gas=str(item["gas"]),
        op="sum" if op == "sum" else "mean",
        terms=tuple(_term(t, str(item["gas"]), where) for t in listed),
        region=item.get("region"),
        period=item.get("period"),
        accept=tuple(_accept(a, where) for a in accept),
        part_of=item.get("part_of"),
        note=str(item.get("note", "")),
    )


def _term(item: Any, gas: str, where: str) -> Term:
    if isinstance(item, str):
        return Term(item, gas)
    if not isinstance(item, Mapping):
        raise PostError(f"{where}: a term is a post id or {{post, weight, why}}; found {item!r}.")
    check_keys(list(item), ("post",), _TERM_KEYS[1:], where)
    weight = a_number(item.get("weight", 1.0), "weight", where)
    return Term(str(item["post"]), str(item.get("gas", gas)), weight, str(item.get("why", "")))


def _accept(item: Any, where: str) -> Accept:
    if not isinstance(item, Mapping) or set(item) != {"mismatch", "post", "why"}:
        raise PostError(f"{where}: accept needs mismatch (region or period), post and why; found {item!r}.")
    if item["mismatch"] not in ("region", "period"):
        raise PostError(f"{where}: mismatch {item['mismatch']!r}; expected region or period.")
    return Accept(item["mismatch"], str(item["post"]), str(item["why"]))
