"""What the page says, as plain values for the template."""

from __future__ import annotations

from typing import Any

from talik.budget.audit import Audit
from talik.budget.compute import Budget
from talik.budget.gwp import PARTS
from talik.posts import Post
from talik.report.numbers import decimals_for, gas_name, interval, label, number, post_quantity, unit_name
from talik.report.tables import shown_posts

_HEADLINE = ("bottom_up.natural", "top_down.natural")


def cards(budget: Budget) -> list[dict[str, Any]]:
    """Headline numbers: for each gas the natural totals of both sides, or whatever totals there are."""
    posts = budget.evaluation.posts
    out = []
    for gas in (*PARTS, "CO2e"):
        pair = [posts[i, gas] for i in _HEADLINE if (i, gas) in posts]
        shown = pair or [p for p in budget.evaluation.derived if p.gas == gas and p.part_of is None][:3]
        if not shown:
            continue
        totals = []
        for post in shown:
            digits = decimals_for(post.high - post.low)
            totals.append(
                {
                    "label": label(post.id),
                    "mean": number(post.mean, digits),
                    "range": interval(post.low, post.high, digits),
                }
            )
        out.append(
            {
                "gas": gas_name(gas),
                "unit": unit_name(shown[0].unit),
                "totals": totals,
                "sentence": _sentence(pair) if len(pair) == 2 else "",
            }
        )
    return out


def derived_rows(budget: Budget) -> list[dict[str, Any]]:
    """The table of derived posts, by gas."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for post in shown_posts(budget):
        digits = decimals_for(post.high - post.low)
        limits = []
        for by_key in budget.evaluation.limits.values():
            lim = by_key[post.key]
            limits.append(interval(lim.low, lim.high, digits))
        row = {
            "label": label(post.id),
            "mean": number(post.mean, digits),
            "limits": limits,
            "unit": unit_name(post.unit),
        }
        groups.setdefault(gas_name(post.gas), []).append(row)
    return [{"gas": gas, "rows": rows} for gas, rows in groups.items()]


def gwp_rows(budget: Budget) -> list[dict[str, Any]]:
    """Warming potentials in use, each with its source."""
    told = {k: v for k, v in budget.metric.describe().items() if isinstance(v, dict)}
    return [
        {"gas": unit_name(name), "value": f"{v['value']:g}", "source": v["source"]}
        for name, v in told.items()
    ]


def expanded_posts(budget: Budget) -> list[dict[str, Any]]:
    """Every derived post with its recipe and all the inputs it comes to."""
    e = budget.evaluation
    out = []
    for post in sorted(e.derived, key=lambda p: p.id):
        shares = e.limits[e.combine][post.key].shares
        rows = []
        for key, weight in e.weights[post.key].items():
            source = e.posts[key]
            rows.append(
                {
                    "label": f"{label(source.id)} ({gas_name(source.gas)})",
                    "weight": number(weight, 3),
                    "value": post_quantity(source),
                    "share": f"{100 * shares[key]:.0f} %",
                    "source": _source(source),
                }
            )
        out.append(
            {
                "anchor": f"{post.id}-{post.gas}",
                "id": post.id,
                "label": label(post.id),
                "gas": gas_name(post.gas),
                "value": post_quantity(post),
                "unit": unit_name(post.unit),
                "recipe": str(post.recipe),
                "region": post.region,
                "period": post.period,
                "note": post.note,
                "accepted": post.recipe.accept if post.recipe else (),
                "inputs": rows,
            }
        )
    return out


def input_rows(budget: Budget) -> list[dict[str, Any]]:
    """The posts that came in."""
    return [
        {
            "label": label(p.id),
            "gas": gas_name(p.gas),
            "value": post_quantity(p),
            "unit": unit_name(p.unit),
            "where": f"{p.region}, {p.period}",
            "source": _source(p),
            "part_of": p.part_of,
            "note": p.note,
        }
        for p in budget.evaluation.inputs
    ]


def audit_groups(audit: Audit) -> list[dict[str, Any]]:
    """Findings that share place and explanation, together."""
    groups: dict[tuple[str, str], list[dict[str, str]]] = {}
    for f in audit.findings:
        printed = f.printed if isinstance(f.printed, str) else _short(f.printed)
        groups.setdefault((f.where, f.explanation), []).append(
            {
                "number": f"{f.id} {gas_name(f.gas)}, {f.part}",
                "printed": printed,
                "recomputed": f"{_short(f.recomputed_low)} to {_short(f.recomputed_high)}",
                "miss": _short(f.miss),
            }
        )
    return [{"where": w, "explanation": e, "rows": rows} for (w, e), rows in groups.items()]


def _sentence(pair: list[Post]) -> str:
    up, down = pair
    if up.low <= down.high and down.low <= up.high:
        agree = "The two intervals overlap"
    else:
        agree = "The two intervals do not overlap"
    signs = [_direction(p) for p in pair]
    if signs[0] == signs[1]:
        return f"{agree}; each {signs[0]}."
    return f"{agree}; bottom-up {signs[0]}, top-down {signs[1]}."


def _direction(post: Post) -> str:
    if post.low > 0:
        return "is a source"
    if post.high < 0:
        return "is a sink"
    return "may be source or sink"


def _source(post: Post) -> str:
    ensemble = f" n = {post.members}." if post.members else ""
    return f"{post.source}.{ensemble}"


def _short(value: float) -> str:
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")
