"""The page of a project as a notebook: the same text, and code that opens the published files and draws again."""

from __future__ import annotations

import hashlib
import json
import textwrap
from typing import Any

from talik.report.parts import methods, regions, summary
from talik.report.project_page import lede, title_of
from talik.report.results import Results

Cell = dict[str, Any]
_SETUP = """\
import json
from pathlib import Path

import pandas as pd
import xarray as xr

FOLDER = Path()  # the output folder of the project, where this notebook lies
"""
_FIGURE = """\
from IPython.display import SVG, display

from talik.report.style import svg


def show(figure):
    display(SVG(svg(figure)))
"""
_BUDGET = """\
from talik.budget.result import read_result
from talik.report.figures import FIGURES

budget, made_by = read_result(FOLDER / "budget.json")
for name in {names}:
    figure = FIGURES[name][0](budget, "wide")
    if figure is not None:
        show(figure)
"""
_COMPARE = """\
from talik.compare.figures import region_panels
from talik.compare.result import synthesis_of

compare = json.loads((FOLDER / "compare.json").read_text(encoding="utf-8"))
synthesis = synthesis_of(compare)
show(region_panels(synthesis))
synthesis.mean.round(1)
"""
_AGREEMENT = """\
from talik.compare.figures import agreement_map

with xr.open_dataset(FOLDER / "compare-agreement.nc") as agreement:
    show(agreement_map(agreement.load()))
"""
_FLUX = """\
from talik.flux import open_flux
from talik.products import annual_sums, period_mean
from talik.report.maps import polar_map

with open_flux(FOLDER / {file!r}) as fluxes:
    variable = {variable!r}
    flux = fluxes if "quantile" not in fluxes.dims else fluxes.sel(quantile=0.5, method="nearest")
    mean = period_mean(annual_sums(flux, variable)).load()
    extra = [d for d in mean.dims if d not in ("lat", "lon", "x", "y")]
    mean = mean.mean(extra) if extra else mean
    limit = float(abs(mean).quantile(0.98))
    drawn = polar_map(mean, label={label!r}, cmap="BrBG_r", vmin=-limit, vmax=limit)
    show(drawn.figure)
"""
_JSON = """\
{name} = json.loads((FOLDER / {file!r}).read_text(encoding="utf-8"))
"""
_ROWS = {
    "upscaling": 'pd.DataFrame(upscaling["regions"])',
    "truth": 'pd.DataFrame(truth["approaches"])',
    "trends": 'pd.DataFrame(trends["rows"] if isinstance(trends, dict) else trends)',
    "tem-audit": 'pd.Series(tem_audit["closure"])',
    "fusion-check": 'pd.Series(fusion_check["counts"])',
    "fusion-regions": 'pd.DataFrame(fusion_regions["rows"])',
    "inventory": 'pd.DataFrame(inventory["posts"])',
    "ensemble": 'pd.DataFrame(ensemble["tables"]["regions"])',
}
"""What of each result is shown as a table."""


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
    out = [
        _text(f"# {_plain(title_of(results))}\n\n{_plain(lede(results))}"),
        _text("## In short\n\n" + _sentences([*short["answer"], *short["more"]])),
        _code(_SETUP + "\n" + _FIGURE),
    ]
    fluxes = [
        (d.of.file, d.of.approach, d.of.model) for d in results.datasets if d.data is not None and d.of.file
    ]
    if fluxes and any(file in results.files for file, _, _ in fluxes):
        out.append(_text("## Maps\n\nMean annual flux to the atmosphere, of the files in this folder."))
        for file, approach, model in dict.fromkeys(fluxes):
            if file in results.files:
                label = f"{approach}, {model} (g m⁻² yr⁻¹)"
                out.append(_code(_FLUX.format(file=file, variable=results.variable, label=label)))
    if results.compare is not None:
        out += [_text("## Regions\n\n" + _regions(results)), _code(_COMPARE)]
    if results.agreement is not None:
        out.append(_code(_AGREEMENT))
    for file in results.files:
        stem, _, kind = file.partition(".")
        if kind == "json" and stem in _ROWS:
            name = stem.replace("-", "_")
            out += [
                _text(f"## {stem.replace('-', ' ').capitalize()}"),
                _code(_JSON.format(name=name, file=file) + _ROWS[stem]),
            ]
    if results.budget is not None:
        names = ("budget_bars", "gwp_stack", "component_flow_co2", "limits_by_assumption")
        out += [_text("## Budget"), _code(_BUDGET.format(names=names))]
    out.append(
        _text(
            "## Methods\n\n"
            + "\n\n".join(f"**{_plain(m['name'])}.** {_plain(m['words'])}" for m in methods.methods(results))
        )
    )
    rows = methods.provenance(results)["rows"]
    told = "\n".join(f"- {_plain(k)}: `{v.replace('`', '')}`" for k, v in rows)
    return [*out, _text("## Provenance\n\n" + told)]


def _regions(results: Results) -> str:
    means = regions.synthesis(results)
    if means is None:
        return ""
    return "Means by approach, with the spatial standard deviation and the median of approaches."


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
        "source": textwrap.dedent(source).strip("\n"),
    }


def _numbered(cells: list[Cell]) -> list[Cell]:
    """With ids that follow from place and content, and lines as the format has them."""
    out = []
    for k, cell in enumerate(cells):
        mark = hashlib.sha256(f"{k} {cell['source']}".encode()).hexdigest()[:12]
        out.append({**cell, "id": f"cell-{mark}", "source": cell["source"].splitlines(keepends=True)})
    return out
