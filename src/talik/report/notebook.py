"""The page of a project as a notebook: the same text, and code that opens the published files and draws again."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from talik.report.estimates import estimates
from talik.report.parts import methods, regions, summary
from talik.report.project_page import lede, title_of
from talik.report.results import Results

Cell = dict[str, Any]
_SETUP = """\
import json
from pathlib import Path

import pandas as pd
import xarray as xr
from IPython.display import SVG, display

from talik.report.results import results_in
from talik.report.style import svg

FOLDER = Path()  # the output folder of the project, where this notebook lies
FILES = {files}

results = results_in(FOLDER, FILES, variable={variable!r})


def show(figure):
    if figure is not None:
        display(SVG(svg(figure)))
"""
_MAPS = """\
from talik.report.parts.maps import approach_figure, season_figure

show(approach_figure(results))
show(season_figure(results))
"""
_OPEN = """\
with xr.open_dataset(FOLDER / {file!r}) as fluxes:
    display(fluxes)
"""
_TOTALS = """\
from talik.report.estimates import estimates
from talik.report.parts.regions import totals_figure

found = estimates(results)
show(totals_figure(found))
pd.DataFrame(found)
"""
_MEANS = """\
from talik.compare.figures import region_panels
from talik.report.parts.maps import YEAR
from talik.report.parts.regions import synthesis

means = synthesis(results)
show(region_panels(means, units=YEAR[results.variable]))
means.mean.round(1)
"""
_COURSES = """\
from talik.report.parts.courses import course_panels, cycles, order_of, series
from talik.report.parts.maps import MONTH, YEAR

show(course_panels(cycles(results), MONTH[results.variable], order=order_of(results), months=True))
show(course_panels(series(results), YEAR[results.variable], order=order_of(results)))
"""
_AGREEMENT = """\
from talik.compare.figures import agreement_map

with xr.open_dataset(FOLDER / "compare-agreement.nc") as agreement:
    show(agreement_map(agreement.load()))
"""
_BUDGET = """\
from talik.report.figures import FIGURES

for name in {names}:
    show(FIGURES[name][0](results.budget, "wide"))
"""
_JSON = """\
{name} = json.loads((FOLDER / {file!r}).read_text(encoding="utf-8"))
"""
_ROWS = {
    "upscaling": 'pd.concat({f: pd.DataFrame(v["regions"]).T for f, v in upscaling["fluxes"].items()})',
    "truth": 'pd.DataFrame(truth["approaches"])',
    "trends": 'pd.concat({n: pd.DataFrame(v["regions"]).T for n, d in trends["datasets"].items() '
    'for v in d["variables"].values()})',
    "tem-audit": 'pd.Series(tem_audit["closure"])',
    "fusion-check": 'pd.Series(fusion_check["counts"])',
    "fusion-regions": 'pd.DataFrame(fusion_regions["rows"])',
    "inventory": 'pd.DataFrame(inventory["posts"])',
    "ensemble": 'pd.DataFrame(ensemble["tables"]["regions"])',
}
"""What of each result is shown as a table."""
_FIGURES = ("budget_bars", "gwp_stack", "component_flow_co2", "component_flow_ch4", "limits_by_assumption")


def notebook(results: Results) -> str:
    """The JSON text of the notebook (nbformat 4.5); the same results give the same text.

    InputError: a result without what it should hold.
    """
    content = {
        "cells": _numbered(_cells(results)),
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _cells(results: Results) -> list[Cell]:
    short = summary.part(results)
    listed = json.dumps([*results.files, *results.small], indent=4, ensure_ascii=False).replace("\n]", ",\n]")
    said = [
        *short["answer"],
        *(f"{c['gas']}: {c['sentence']}" for c in short["cards"] if c["sentence"]),
        *short["more"],
    ]
    out = [
        _text(f"# {_plain(title_of(results))}\n\n{_plain(lede(results))}"),
        _text("## In short\n\n" + _sentences(list(dict.fromkeys(said)))),
        _code(_SETUP.format(files=listed, variable=results.variable)),
    ]
    drawn = [d for d in results.datasets if d.data is not None]
    fluxes = [d.of.file for d in drawn if d.of.file in results.files]
    if drawn:
        out += [
            _text("## Maps\n\nMean annual flux to the atmosphere by approach, and four months."),
            _code(_MAPS),
        ]
    if results.agreement is not None:
        out += [_text("Share of models that are sink and source."), _code(_AGREEMENT)]
    found, means = estimates(results), regions.synthesis(results)
    if found or means is not None:
        out.append(
            _text("## Regions\n\nTotals with the limits that each approach gives, and means over the land.")
        )
        out += [*([_code(_TOTALS)] if found else []), *([_code(_MEANS)] if means is not None else [])]
    if drawn:
        out += [_text("## Seasons and years"), _code(_COURSES)]
    if results.budget is not None:
        out += [_text("## Budget"), _code(_BUDGET.format(names=_FIGURES))]
    for file in results.files:
        stem, _, kind = file.partition(".")
        if kind == "json" and stem in _ROWS:
            name = stem.replace("-", "_")
            source = _JSON.format(name=name, file=file) + _ROWS[stem]
            out += [_text(f"## {stem.replace('-', ' ').capitalize()}"), _code(source)]
    if fluxes:
        out.append(_text("## Flux datasets\n\nCF files; units, sign and species stand at each variable."))
        out += [_code(_OPEN.format(file=file)) for file in dict.fromkeys(fluxes)]
    told = "\n\n".join(f"**{_plain(m['name'])}.** {_plain(m['words'])}" for m in methods.methods(results))
    rows = methods.provenance(results)["rows"]
    origin = "\n".join(f"- {_plain(k)}: `{v.replace('`', '')}`" for k, v in rows)
    return [*out, _text("## Methods\n\n" + told), _text("## Provenance\n\n" + origin)]


def _sentences(said: list[str]) -> str:
    return "\n".join(f"- {_plain(s)}" for s in said) or "The results stand below."


def _plain(text: str) -> str:
    """Text that Markdown shows as it is: a user's names may hold its signs, or HTML."""
    special = {c: f"\\{c}" for c in "\\`*_[]#|$"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
    return "".join(special.get(c, c) for c in text)


def _text(source: str) -> Cell:
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def _code(source: str) -> Cell:
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {},
        "outputs": [],
        "source": source.strip("\n"),
    }


def _numbered(cells: list[Cell]) -> list[Cell]:
    """With ids that follow from place and content, and lines as the format has them."""
    out = []
    for k, cell in enumerate(cells):
        mark = hashlib.sha256(f"{k} {cell['source']}".encode()).hexdigest()[:12]
        out.append({**cell, "id": f"cell-{mark}", "source": cell["source"].splitlines(keepends=True)})
    return out
