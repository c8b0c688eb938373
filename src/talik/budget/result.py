"""A computed budget as JSON and back, so that a page can be made from the result alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from talik.budget import printed
from talik.budget.audit import Audit
from talik.budget.compute import BUILTIN, Budget
from talik.budget.findings import Finding
from talik.budget.gwp import Metric
from talik.budget.reconcile import reconcile_all
from talik.budget.settings import BudgetSettings
from talik.errors import InputError, TalikError
from talik.posts import Accept, Evaluation, Limits, Post, PostKey, Recipe, Term, published
from talik.provenance import describe
from talik.yamlio import read_text

FORMAT = "talik-budget-1"


def provenance(source: str | Path, settings: BudgetSettings) -> dict[str, Any]:
    """Code version, time and the hash of every input file of a budget."""
    if str(source) == BUILTIN:
        data = (("posts", published.FILE), ("budget", printed.FILE))
        inputs = {
            f"talik/{folder}/data/{name}": Path(str(files(f"talik.{folder}") / "data" / name))
            for folder, name in data
        }
    else:
        inputs = {str(source): Path(source)}
    return describe(inputs, settings.key())


def to_dict(budget: Budget, made_by: Mapping[str, Any]) -> dict[str, Any]:
    """The contract of ``talik budget --json``: posts, settings, provenance (and what a page needs beside them)."""
    evaluation = budget.evaluation
    posts = []
    for key, post in evaluation.posts.items():
        entry = post.to_dict()
        if key in evaluation.weights:
            entry["inputs"] = [
                {"post": k[0], "gas": k[1], "weight": w} for k, w in evaluation.weights[key].items()
            ]
            entry["limits"] = {name: _limits(by_key[key]) for name, by_key in evaluation.limits.items()}
        else:
            entry["rounding"] = list(post.rounding)
        posts.append(entry)
    return {
        "posts": posts,
        "settings": {
            **budget.settings.model_dump(mode="json"),
            "gwp": budget.metric.describe(),
            "unavailable": dict(evaluation.unavailable),
        },
        "provenance": dict(made_by),
        "reconciliation": [c.to_dict() for c in budget.comparisons],
        "audit": budget.audit.to_dict(),
        "format": FORMAT,
        "name": budget.name,
    }


def from_dict(data: Any, name: str) -> Budget:
    """The budget that `to_dict` wrote; `name` (a file) stands in errors."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InputError(
            f"{name}: not a talik budget result. Make one with `talik budget reccap2 --json > {name}`."
        )
    try:
        return _from_dict(data)
    except (KeyError, TypeError, ValueError, ValidationError, TalikError) as err:
        raise InputError(
            f"{name}: damaged or edited budget result ({type(err).__name__}: {err}). Make it again with `talik budget`."
        ) from err


def read_result(path: Path) -> tuple[Budget, dict[str, Any]]:
    """The budget in a JSON result file, and its provenance."""
    try:
        data = json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as err:
        raise InputError(f"{path}: not readable as JSON: {err}.") from err
    budget = from_dict(data, str(path))
    return budget, dict(data["provenance"])


def _limits(limits: Limits) -> dict[str, Any]:
    return {
        "low": limits.low,
        "high": limits.high,
        "error_low": limits.error_low,
        "error_high": limits.error_high,
        "shares": [{"post": k[0], "gas": k[1], "share": v} for k, v in limits.shares.items()],
    }


def _from_dict(data: dict[str, Any]) -> Budget:
    fields = set(BudgetSettings.model_fields)
    settings = BudgetSettings.model_validate({k: v for k, v in data["settings"].items() if k in fields})
    posts: dict[PostKey, Post] = {}
    weights: dict[PostKey, dict[PostKey, float]] = {}
    limits: dict[str, dict[PostKey, Limits]] = {}
    accepted: dict[PostKey, tuple[Accept, ...]] = {}
    for entry in data["posts"]:
        post = _post(entry)
        posts[post.key] = post
        if post.recipe is None:
            continue
        weights[post.key] = {(i["post"], i["gas"]): float(i["weight"]) for i in entry["inputs"]}
        if post.recipe.accept:
            accepted[post.key] = post.recipe.accept
        for assumption, lim in entry["limits"].items():
            shares = {(s["post"], s["gas"]): float(s["share"]) for s in lim["shares"]}
            limits.setdefault(assumption, {})[post.key] = Limits(
                low=float(lim["low"]),
                high=float(lim["high"]),
                error_low=float(lim["error_low"]),
                error_high=float(lim["error_high"]),
                shares=shares,
            )
    evaluation = Evaluation(
        posts=posts,
        weights=weights,
        limits=limits,
        combine=settings.combine,
        accepted=accepted,
        unavailable=data["settings"]["unavailable"],
    )
    used = {k for inputs in weights.values() for k in inputs}
    findings = [Finding(**f) for f in data["audit"]["findings"]]
    return Budget(
        name=str(data["name"]),
        evaluation=evaluation,
        comparisons=reconcile_all(evaluation),
        audit=Audit(findings, int(data["audit"]["checked"])),
        settings=settings,
        metric=Metric(settings.horizon, settings.ch4_gwp),
        left_out=[p for p in evaluation.inputs if p.key not in used],
    )


def _post(entry: dict[str, Any]) -> Post:
    plain = ("id", "gas", "mean", "low", "high", "unit", "region", "period", "approach", "source")
    more = ("part_of", "origin", "area_mkm2", "members", "note")
    rounding = entry.get("rounding") or (0.0, 0.0, 0.0)
    return Post(
        **{k: entry[k] for k in (*plain, *more)},
        covers=frozenset(entry["covers"]),
        partly=frozenset(entry["partly"]),
        rounding=(float(rounding[0]), float(rounding[1]), float(rounding[2])),
        recipe=_recipe(entry) if entry["recipe"] else None,
    )


def _recipe(entry: dict[str, Any]) -> Recipe:
    recipe = entry["recipe"]
    like = recipe.get("like")
    return Recipe(
        id=entry["id"],
        gas=entry["gas"],
        op=recipe["op"],
        terms=tuple(Term(t["post"], t["gas"], float(t["weight"]), t["why"]) for t in recipe["terms"]),
        region=entry["region"],
        period=entry["period"],
        accept=tuple(Accept(a["mismatch"], a["post"], a["why"]) for a in recipe["accepted"]),
        part_of=entry["part_of"],
        like=(like[0], like[1]) if like else None,
        note=entry["note"],
    )
