"""Posts from files: YAML with posts and recipes, or CSV with one post a row."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from talik.budget.audit import Claim
from talik.errors import PostError
from talik.posts import GASES, Accept, Post, Recipe, Term
from talik.yamlio import PrintedFloat, parse_yaml, read_text

REQUIRED = ("id", "gas", "mean", "low", "high", "unit", "region", "period", "approach", "source")
OPTIONAL = ("part_of", "origin", "covers", "partly", "area_mkm2", "members", "note", "rounding", "sum_of")
_RECIPE_KEYS = ("id", "gas", "sum", "mean", "region", "period", "part_of", "accept", "note")
_TERM_KEYS = ("post", "gas", "weight", "why")


@dataclass(frozen=True)
class PostsFile:
    """What a posts file holds: input posts, recipes, and printed totals to audit (rows with `sum_of`).

    `builtin` is ``reccap2`` where the file asks for the built-in recipe instead of giving its own.
    """

    posts: list[Post]
    recipes: list[Recipe] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    builtin: str | None = None


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
    reader = csv.DictReader(io.StringIO(text), strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as err:
        raise PostError(f"{name}, line {reader.line_num}: not readable as CSV: {err}.") from err
    header = list(reader.fieldnames or [])
    _check_keys(header, REQUIRED, OPTIONAL, f"{name}, line 1")
    entries = []
    for line, row in rows:
        if None in row or None in row.values():
            raise PostError(
                f"{name}, line {line}: {len(header)} columns expected. Quote cells that contain commas, "
                "and write decimals with a point."
            )
        entries.append((f"{name}, line {line}", {k: v.strip() for k, v in row.items() if v.strip()}))
    return _collect(entries, name)


def parse_posts(data: Any, name: str) -> PostsFile:
    """Posts and recipes from the value of a YAML file."""
    if not isinstance(data, Mapping) or not isinstance(data.get("posts"), list):
        raise PostError(f"{name}: expected a key 'posts' with a list of posts (see `talik budget --help`).")
    _check_keys(list(data), ("posts",), ("recipes",), name)
    entries = []
    for number, item in enumerate(data["posts"], 1):
        where = f"{name}, post {number}"
        if not isinstance(item, Mapping):
            raise PostError(f"{where}: expected keys such as id, gas, mean; found {item!r}.")
        entries.append((where, {k: v for k, v in item.items() if v is not None}))
    content = _collect(entries, name)
    given = data.get("recipes") or []
    if given == "reccap2":
        return PostsFile(content.posts, [], content.claims, builtin="reccap2")
    if not isinstance(given, list):
        raise PostError(f"{name}: recipes must be a list, or the word reccap2; found {given!r}.")
    recipes = [_recipe(item, f"{name}, recipe {number}") for number, item in enumerate(given, 1)]
    return PostsFile(content.posts, recipes, content.claims)


def _collect(entries: list[tuple[str, dict[str, Any]]], name: str) -> PostsFile:
    posts: list[Post] = []
    claims: list[Claim] = []
    for where, raw in entries:
        total_of = raw.get("sum_of")
        post = _post(raw, where)
        if total_of is None:
            posts.append(post)
        else:
            ids = _words(total_of, "sum_of", where)
            terms = tuple(Term(i, post.gas) for i in ids)
            claims.append(Claim.of_post(post, terms, where=where))
    if not entries:
        raise PostError(f"{name}: holds no posts.")
    return PostsFile(posts, claims=claims)


def _post(raw: Mapping[str, Any], where: str) -> Post:
    _check_keys(list(raw), REQUIRED, OPTIONAL, where, unit_hint=True)
    for key in ("id", "gas", "unit", "region", "period", "approach", "source", "part_of", "origin", "note"):
        if key in raw and not isinstance(raw[key], str):
            raise PostError(f"{where}: {key} must be text; found {raw[key]!r}. Put it in quotes.")
    mean, low, high = (_number(raw[key], key, where) for key in ("mean", "low", "high"))
    rounding: tuple[float, float, float]
    if "rounding" in raw:
        unit = _number(raw["rounding"], "rounding", where)
        rounding = (unit, unit, unit)
    else:
        rounding = (printed_unit(raw["mean"]), printed_unit(raw["low"]), printed_unit(raw["high"]))
    members = _number(raw["members"], "members", where) if "members" in raw else None
    return Post(
        id=raw["id"],
        gas=raw["gas"],
        mean=mean,
        low=low,
        high=high,
        unit=raw["unit"],
        region=raw["region"],
        period=raw["period"],
        approach=raw["approach"],
        source=raw["source"],
        part_of=raw.get("part_of"),
        origin=raw.get("origin"),
        covers=frozenset(_words(raw.get("covers", ""), "covers", where)),
        partly=frozenset(_words(raw.get("partly", ""), "partly", where)),
        rounding=rounding,
        area_mkm2=_number(raw["area_mkm2"], "area_mkm2", where) if "area_mkm2" in raw else None,
        members=int(members) if members is not None else None,
        note=raw.get("note", ""),
        where=where,
    )


def _recipe(item: Any, where: str) -> Recipe:
    if not isinstance(item, Mapping):
        raise PostError(f"{where}: expected keys id, gas and sum (or mean); found {item!r}.")
    _check_keys(list(item), ("id", "gas"), _RECIPE_KEYS[2:], where)
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
    _check_keys(list(item), ("post",), _TERM_KEYS[1:], where)
    weight = _number(item.get("weight", 1.0), "weight", where)
    return Term(str(item["post"]), str(item.get("gas", gas)), weight, str(item.get("why", "")))


def _accept(item: Any, where: str) -> Accept:
    if not isinstance(item, Mapping) or set(item) != {"mismatch", "post", "why"}:
        raise PostError(f"{where}: accept needs mismatch (region or period), post and why; found {item!r}.")
    if item["mismatch"] not in ("region", "period"):
        raise PostError(f"{where}: mismatch {item['mismatch']!r}; expected region or period.")
    return Accept(item["mismatch"], str(item["post"]), str(item["why"]))


def _check_keys(
    found: list[Any],
    required: tuple[str, ...],
    optional: tuple[str, ...],
    where: str,
    unit_hint: bool = False,
) -> None:
    for key in found:
        if key not in required + optional:
            raise PostError(f"{where}: unknown key {key!r}; known are {', '.join(required + optional)}.")
    for key in required:
        if key not in found:
            units = f" (one of: {'; '.join(GASES.values())})" if unit_hint and key == "unit" else ""
            raise PostError(f"{where}: {key} is missing{units}.")


def _number(value: Any, key: str, where: str) -> float:
    """A finite or non-finite float from a YAML number or CSV text; text that is no plain number is an error."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise PostError(f"{where}: {key} must be a number; found {value!r}.")
    if isinstance(value, str) and ("_" in value or not value.strip()):
        raise PostError(f"{where}: {key} must be a number; found {value!r}.")
    try:
        return float(value)
    except ValueError as err:
        hint = " Write decimals with a point." if "," in str(value) else ""
        raise PostError(f"{where}: {key} must be a number; found the text {value!r}.{hint}") from err


def printed_unit(value: Any) -> float:
    """Unit of the last printed digit: 1 for ``12``, 0.1 for ``2.9`` or ``25.0``; NaN stays NaN-safe (1)."""
    text = value.text if isinstance(value, PrintedFloat) else str(value)
    mantissa, _, exponent = text.lower().partition("e")
    if not math.isfinite(float(text)):
        return 1.0
    decimals = len(mantissa.partition(".")[2]) - int(exponent or 0)
    return float(f"1e{-decimals}")


def _words(value: Any, key: str, where: str) -> list[str]:
    """A list of words, from a YAML list or text separated by blanks, ``+`` or ``;``."""
    if isinstance(value, str):
        return value.replace("+", " ").replace(";", " ").split()
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        return value
    raise PostError(f"{where}: {key} must be a list of names; found {value!r}.")
