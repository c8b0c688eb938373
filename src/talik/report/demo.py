"""The demo: the published permafrost budget as a project of its own."""

from __future__ import annotations

from pathlib import Path

from talik.budget.result import read_result
from talik.report.numbers import label, plain, post_quantity
from talik.workflow import Project, make_project


def demo_project(out: Path) -> Project:
    """A project with the built-in budget and its page, writing into `out`."""
    return make_project(
        {
            "talik": 1,
            "name": "demo",
            "title": "Greenhouse-gas budget of the northern permafrost region, 2000-2020",
            "output": str(out.resolve()),
            "budget": {},
            "report": {},
        },
        Path.cwd(),
    )


def headline(out: Path) -> str:
    """The answer in a few lines of ASCII (a terminal may lose a true minus sign), from the result of the demo."""
    budget, _ = read_result(out / "budget.json")
    lines = [
        "",
        "The northern permafrost region, natural ecosystems, 2000-2020 (release to the atmosphere positive):",
        "",
    ]
    for gas in ("CO2", "CH4", "N2O", "CO2e"):
        for side in ("bottom_up", "top_down"):
            post = budget.evaluation.posts[f"{side}.natural", gas]
            name = label(f"{side}.natural").partition(", ")[2]
            lines.append(f"  {gas:5s} {name:10s} {plain(post_quantity(post)):24s} {post.unit}")
    found = len(budget.audit.findings)
    lines += ["", f"{budget.audit.checked} printed numbers audited, {found} do not follow from their inputs."]
    return "\n".join(lines)
