"""The budget on a page: its figures, tables, reconciliation, every number down to its inputs, its audit."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import cache
from typing import Any

from talik.budget.compute import Budget
from talik.budget.reconcile import Comparison
from talik.posts import PROCESSES, Post
from talik.report.context import audit_groups, cards, derived_rows, expanded_posts, gwp_rows, input_rows
from talik.report.figures import FIGURES, alt_text
from talik.report.html import picture
from talik.report.maps import region_map
from talik.report.numbers import gas_name, label, number, post_quantity, quantity, sentence, unit_name
from talik.report.style import png

_FLOWS = ("component_flow_co2", "component_flow_ch4")
_MAP = {
    "name": "region_map",
    "title": "Where this is",
    "caption": "The four continental sectors of the northern land; polar equal-area projection (EPSG:6931).",
    "alt": "Polar map of northern land in four sectors: Alaska, Canada, Europe with Greenland, Siberia.",
}


def part(budget: Budget) -> dict[str, Any]:
    """Values of the template budget.html.j2."""
    s, e = budget.settings, budget.evaluation
    pictures = {n: _picture(n, budget) for n in FIGURES}
    return {
        "cards": cards(budget),
        "combine": s.combine,
        "assumptions": list(e.limits),
        "derived": derived_rows(budget),
        "unavailable": e.unavailable,
        "figures": pictures,
        "flows": [pictures[n] for n in _FLOWS if pictures[n]],
        "region": _region_picture(),
        "gwp": gwp_rows(budget),
        "horizon": s.horizon,
        "has_co2e": any(p.gas == "CO2e" for p in e.derived),
        "comparisons": [_comparison(c) for c in budget.comparisons],
        "coverage": _coverage(budget.comparisons),
        "expanded": expanded_posts(budget),
        "inputs": input_rows(budget),
        "audit": {
            "checked": budget.audit.checked,
            "count": len(budget.audit.findings),
            "groups": audit_groups(budget.audit),
        },
        "draws": f"{s.draws:,}",
        "seed": s.seed,
        "within": s.within_group_correlation,
        "ch4_gwp": s.ch4_gwp,
        "mc_error": _largest_error(budget),
    }


def _picture(name: str, budget: Budget) -> dict[str, str] | None:
    draw, title, caption = FIGURES[name]
    return picture(name, title, caption, alt_text(name, budget), lambda width: draw(budget, width))


@cache
def _region_picture() -> dict[str, str]:
    uri = "data:image/png;base64," + base64.b64encode(png(region_map(), dpi=110)).decode()
    return {**_MAP, "wide": uri, "narrow": uri}


def lede(budget: Budget) -> str:
    """What the budget is of, in one sentence."""
    regions = list(dict.fromkeys(p.region for p in budget.evaluation.derived))
    periods = list(dict.fromkeys(p.period for p in budget.evaluation.derived))
    inputs, derived = len(budget.evaluation.inputs), len(budget.evaluation.derived)
    return (
        f"{sentence('; '.join(regions))}, {'; '.join(periods)}. {inputs} input posts, {derived} derived "
        "ones, each of which can be opened down to the inputs it came from."
    )


def _comparison(c: Comparison) -> dict[str, Any]:
    told = {"bottom_up": "Bottom-up lacks", "top_down": "Top-down lacks"}
    d = c.difference
    return {
        "total": label(d.id.replace("difference.", "")),
        "gas": gas_name(d.gas),
        "bottom_up": post_quantity(c.bottom_up),
        "top_down": post_quantity(c.top_down),
        "difference": post_quantity(d),
        "overlap": _overlap(c),
        "missing": "; ".join(f"{told[side]} {', '.join(names)}" for side, names in c.missing.items()),
        "closures": [
            {
                "label": f"{label(x.post)} ({gas_name(x.gas)})",
                "mean": number(x.mean, 2 if abs(x.mean) < 20 else 0),
                "needed": number(x.needed, 2 if abs(x.needed) < 20 else 0),
                "within": x.within_limits,
            }
            for x in c.closures
        ],
    }


def _overlap(c: Comparison) -> str:
    if c.overlap is None:
        return ""
    low, high = c.overlap
    return quantity(low, low, high).partition(" ")[2]


def _coverage(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Process by total: what each natural total represents (yes, in part, no)."""
    natural = [
        c for c in comparisons if c.difference.id == "difference.natural" and c.difference.gas != "CO2e"
    ]
    posts: list[Post] = [p for c in natural for p in (c.bottom_up, c.top_down)]
    rows = []
    for process, words in PROCESSES.items():
        cells = ["yes" if process in p.covers else "in part" if process in p.partly else "no" for p in posts]
        if any(c != "no" for c in cells):
            rows.append({"process": words, "cells": cells})
    columns = [f"{gas_name(p.gas)} {p.id.partition('.')[0].replace('_', '-')}" for p in posts]
    return {"columns": columns, "rows": rows}


def _largest_error(budget: Budget) -> str:
    drawn = [name for name in budget.evaluation.limits if name != "linear"]
    errors = []
    for post in budget.evaluation.derived:
        if post.id in ("bottom_up.natural", "top_down.natural") or post.id.startswith("total."):
            for name in drawn:
                lim = budget.evaluation.limits[name][post.key]
                errors.append(
                    (max(lim.error_low, lim.error_high) / max(post.high - post.low, 1e-300), post, lim)
                )
    if not errors:
        return "none (nothing was drawn)"
    share, post, lim = max(errors, key=lambda item: item[0])
    return f"{max(lim.error_low, lim.error_high):.2g} {unit_name(post.unit)} ({100 * share:.2g} % of the interval)"
