"""The report: one HTML file that opens offline, runs no script and escapes whatever strings it is given."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from talik.budget.compute import Budget
from talik.budget.reconcile import Comparison
from talik.files import write_text
from talik.posts import PROCESSES, Post
from talik.report.context import audit_groups, cards, derived_rows, expanded_posts, gwp_rows, input_rows
from talik.report.figures import FIGURES, alt_text
from talik.report.html import data_uri, provenance_rows, template
from talik.report.maps import region_map
from talik.report.numbers import gas_name, label, number, post_quantity, quantity, sentence, unit_name
from talik.report.style import Width, nothing_to_draw, png, svg

DEFAULT_TITLE = "Greenhouse-gas budget of the northern permafrost region"
FIGURE_FILES = tuple(f"{name}.{kind}" for name in (*FIGURES, "region_map") for kind in ("png", "svg"))
"""Every figure as it is written to disk."""
_FLOWS = ("component_flow_co2", "component_flow_ch4")
_MAP = {
    "name": "region_map",
    "title": "Where this is",
    "caption": "The four continental sectors of the northern land; polar equal-area projection (EPSG:6931).",
    "alt": "Polar map of northern land in four sectors: Alaska, Canada, Europe with Greenland, Siberia.",
}


def write_report(
    budget: Budget, out: Path, *, provenance: Mapping[str, Any], title: str = "", figures: Path | None = None
) -> list[Path]:
    """Write the page of a budget to `out`, and every figure as PNG and SVG into the folder `figures` if given.

    `provenance` is what `talik.provenance.describe` returns (at least code, config, inputs). Returns the files
    written, the page first. The same budget gives the same bytes.
    """
    written = [write_text(out, render(budget, provenance, title))]
    if figures is not None:
        figures.mkdir(parents=True, exist_ok=True)
        for name in FIGURE_FILES:
            path = figures / name
            path.write_bytes(draw_file(budget, name))
            written.append(path)
    return written


def draw_file(budget: Budget, name: str) -> bytes:
    """The bytes of one of `FIGURE_FILES`; where the budget has nothing to draw, a figure that says so."""
    stem, _, kind = name.partition(".")
    figure = region_map() if stem == "region_map" else FIGURES[stem][0](budget, "wide")
    figure = figure or nothing_to_draw(FIGURES[stem][1], "this budget has nothing to draw here")
    return png(figure) if kind == "png" else svg(figure).encode()


def render(budget: Budget, provenance: Mapping[str, Any], title: str = "") -> str:
    """The HTML text of the page."""
    s, e = budget.settings, budget.evaluation
    pictures = {n: _picture(n, budget) for n in FIGURES}
    return template("report.html.j2").render(
        title=title or DEFAULT_TITLE,
        lede=_lede(budget),
        cards=cards(budget),
        combine=s.combine,
        assumptions=list(e.limits),
        derived=derived_rows(budget),
        unavailable=e.unavailable,
        figures=pictures,
        flows=[pictures[n] for n in _FLOWS if pictures[n]],
        region=_region_picture(),
        gwp=gwp_rows(budget),
        horizon=s.horizon,
        has_co2e=any(p.gas == "CO2e" for p in e.derived),
        comparisons=[_comparison(c) for c in budget.comparisons],
        coverage=_coverage(budget.comparisons),
        expanded=expanded_posts(budget),
        inputs=input_rows(budget),
        audit={
            "checked": budget.audit.checked,
            "count": len(budget.audit.findings),
            "groups": audit_groups(budget.audit),
        },
        draws=f"{s.draws:,}",
        seed=s.seed,
        within=s.within_group_correlation,
        ch4_gwp=s.ch4_gwp,
        mc_error=_largest_error(budget),
        provenance=provenance,
        provenance_rows=provenance_rows(provenance),
        settings=json.dumps(s.model_dump(mode="json"), indent=1),
    )


def _picture(name: str, budget: Budget) -> dict[str, str] | None:
    draw, title, caption = FIGURES[name]
    drawn: dict[Width, Figure | None] = {"wide": draw(budget, "wide"), "narrow": draw(budget, "narrow")}
    if drawn["wide"] is None or drawn["narrow"] is None:
        return None
    return {
        "name": name,
        "title": title,
        "caption": caption,
        "alt": alt_text(name, budget),
        "wide": data_uri(svg(drawn["wide"])),
        "narrow": data_uri(svg(drawn["narrow"])),
    }


@cache
def _region_picture() -> dict[str, str]:
    uri = "data:image/png;base64," + base64.b64encode(png(region_map(), dpi=110)).decode()
    return {**_MAP, "wide": uri, "narrow": uri}


def _lede(budget: Budget) -> str:
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
