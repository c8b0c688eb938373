"""The report: one HTML file that opens offline, runs no script and escapes whatever strings it is given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from talik.budget.compute import Budget
from talik.files import write_text
from talik.report.figures import FIGURES
from talik.report.html import provenance_rows, template
from talik.report.maps import region_map
from talik.report.parts.budget import lede, part
from talik.report.style import nothing_to_draw, png, svg

DEFAULT_TITLE = "Greenhouse-gas budget of the northern permafrost region"
FIGURE_FILES = tuple(f"{name}.{kind}" for name in (*FIGURES, "region_map") for kind in ("png", "svg"))
"""Every figure as it is written to disk."""


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
    return template("report.html.j2").render(
        title=title or DEFAULT_TITLE,
        lede=lede(budget),
        **part(budget),
        provenance=provenance,
        provenance_rows=provenance_rows(provenance),
        settings=json.dumps(budget.settings.model_dump(mode="json"), indent=1),
    )
