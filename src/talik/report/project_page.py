"""The page of a whole project: one HTML file that opens offline and runs no script, and its figures as files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import xarray as xr
from matplotlib.figure import Figure

from talik.compare.figures import agreement_map, region_panels
from talik.report.estimates import estimates
from talik.report.html import raster_picture, template
from talik.report.numbers import sentence
from talik.report.page import DEFAULT_TITLE
from talik.report.parts import budget, courses, maps, methods, regions, summary, truth, validation
from talik.report.results import Results, content_of
from talik.report.sections import Wanted
from talik.report.style import Width, nothing_to_draw, png, svg


@dataclass(frozen=True)
class Drawing:
    """A figure that stands beside the page: what draws it, its title, and when a project has it."""

    draw: Callable[[Results, Width], Figure | None]
    title: str
    made: Callable[[Wanted], bool]


def render_project(results: Results) -> str:
    """The HTML text of the page; the same results give the same text.

    InputError: a result without what it should hold.
    """
    held = results.budget
    values: dict[str, Any] = {} if held is None else budget.part(held)
    return template("project.html.j2").render(
        title=title_of(results),
        lede=lede(results),
        in_short=summary.part(results),
        with_budget=held is not None,
        **values,
        map_part=maps.part(results),
        agreed=_agreement(results),
        region_part=regions.part(results),
        season_part=courses.seasons(results),
        year_part=courses.years(results),
        truth_part=truth.part(results),
        checks=validation.part(results),
        methods=methods.methods(results),
        origin=methods.provenance(results),
        provenance=results.made_by,
    )


def title_of(results: Results) -> str:
    """The title; the project's name without one, and what the budget is of for a budget alone."""
    return results.title or (DEFAULT_TITLE if results.sections == ["budget"] else results.name)


def lede(results: Results) -> str:
    """Where, when, and of what."""
    if results.sections == ["budget"] and results.budget is not None:
        return budget.lede(results.budget)
    names = list(dict.fromkeys(str(n) for n in _regions(results)))
    where = f"{len(names)} regions ({', '.join(names[:6])}{' …' if len(names) > 6 else ''})" if names else ""
    approaches = regions.order_of(results)
    several = "es" * (len(approaches) != 1)
    what = f"{len(approaches)} approach{several}: {', '.join(approaches)}" if approaches else ""
    said = "; ".join(part for part in (where, results.years, what) if part)
    if results.budget is not None:
        own = budget.lede(results.budget)
        return f"{sentence(said)}. Budget: {own}" if said else own
    return f"{sentence(said)}." if said else ""


def _regions(results: Results) -> list[str]:
    if results.compare is not None:
        with content_of("compare.json"):
            return list(results.compare["regions"])
    for drawn in results.datasets:
        if drawn.data is not None:
            return [str(r) for r in drawn.data["region"].values]
    return list(dict.fromkeys(e.region for e in estimates(results)))


def _agreement(results: Results) -> dict[str, str] | None:
    """Where approaches agree on sink and source; None without the map or with one gridded approach."""
    if results.agreement is None or results.compare is None:
        return None
    with content_of("compare.json"):
        kinds = {s["approach"] for s in results.compare["sources"] if s["kind"] != "insitu"}
        if len(kinds) < 2:
            return None
        told = "; ".join(
            f"{row['region']}: sink {row['sink']:.0f} %, source {row['source']:.0f} %"
            for row in results.compare["agreement"]
            if row["sink"] is not None
        )
    return raster_picture(
        "agreement_map",
        "Sink or source",
        "Share of models, approaches with equal weight.",
        f"Polar maps of the share of models that are sink and source. {told}.",
        lambda width: _agreement_figure(results, width),
    )


def _agreement_figure(results: Results, width: Width) -> Figure | None:
    if results.agreement is None:
        return None
    with xr.open_dataset(results.agreement, engine="netcdf4") as ds:
        return agreement_map(ds.load(), width=width)


def _means_figure(results: Results, width: Width) -> Figure | None:
    means = regions.synthesis(results)
    return None if means is None else region_panels(means, width, units=maps.YEAR[results.variable])


def _with_data(shown: Wanted) -> bool:
    return bool(shown.datasets)


def _with_totals(shown: Wanted) -> bool:
    return bool({"upscaling", "fusion", "ensemble", "truth"} & {r.section for r in shown.results})


PROJECT_FIGURES: dict[str, Drawing] = {
    "approach_maps": Drawing(maps.approach_figure, "Mean annual flux by approach", _with_data),
    "season_maps": Drawing(maps.season_figure, "Four months by approach", _with_data),
    "region_totals": Drawing(
        lambda r, w: regions.totals_figure(estimates(r), w, regions.order_of(r)),
        "Totals of regions",
        _with_totals,
    ),
    "region_means": Drawing(_means_figure, "Means of regions", _with_data),
    "seasonal_cycle": Drawing(
        lambda r, w: courses.course_panels(
            courses.cycles(r), maps.MONTH[r.variable], w, order=regions.order_of(r), months=True
        ),
        "Seasonal cycle",
        _with_data,
    ),
    "annual_series": Drawing(
        lambda r, w: courses.course_panels(
            courses.series(r), maps.YEAR[r.variable], w, order=regions.order_of(r)
        ),
        "Year by year",
        _with_data,
    ),
    "agreement_map": Drawing(
        _agreement_figure,
        "Sink or source",
        lambda s: any(r.file == "compare-agreement.nc" for r in s.results),
    ),
}
"""Figures of a project by name, beside those of its budget."""


def draw_project(results: Results, name: str) -> bytes:
    """The bytes of a figure file of `PROJECT_FIGURES`, NAME.png or NAME.svg; one that says so if nothing is to draw."""
    stem, _, kind = name.partition(".")
    of = PROJECT_FIGURES[stem]
    figure = of.draw(results, "wide") or nothing_to_draw(of.title, "this project has nothing to draw here")
    return png(figure) if kind == "png" else svg(figure).encode()
