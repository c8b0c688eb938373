"""The `report` section of a project file, and its steps: flux datasets made small, the page, its figures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from talik.config import Frozen
from talik.errors import ConfigError
from talik.provenance import fingerprint
from talik.workflow.plan import Cost, Step, seconds_to_read
from talik.workflow.project import Project, Section
from talik.workflow.unit import Job

if TYPE_CHECKING:
    from talik.report.results import Results
    from talik.report.sections import Wanted

FLUXES, PAGE, FIGURES = "report-fluxes", "report", "figures"
"""Names of the steps."""
FOLDER = "report-fluxes"
"""Where in the output folder the notebook finds the datasets made small."""
PUBLISHED = {"report.html": "report.html", "report.ipynb": "report.ipynb"}
"""Units of the page, and their names in the output folder."""


class ReportOptions(Frozen):
    """How the page is made."""

    title: str = ""
    """Title of the page; the project's title if empty."""
    figures: bool = True
    """Also write every figure as PNG and SVG."""
    maps: bool = True
    """Also show flux datasets: maps, seasonal cycles, years."""


def steps(project: Project, options: ReportOptions) -> list[Step]:
    """Each flux dataset made small, the page and its notebook, and one unit for each figure file.

    ConfigError: nothing in the project to show.
    """
    from talik.report.page import FIGURE_FILES
    from talik.report.project_page import PROJECT_FIGURES
    from talik.report.sections import wanted

    shown = wanted(project, options.maps)
    if not shown.results and not shown.datasets:
        raise ConfigError(
            "report: the project has no section whose results a page could show. Add one, e.g. budget."
        )
    title = options.title or project.base.title
    answer = {k: v for k, v in project.answer().items() if k != "report"}
    told: dict[str, Any] = {"title": title, "name": project.base.name, "answer": answer}
    budget = any(r.section == "budget" for r in shown.results)
    reading = [_flux_step(shown)] if shown.datasets else []
    needs = (*shown.needs, *(step.name for step in reading))
    page = Step(
        name=PAGE,
        units=tuple(PUBLISHED),
        work=partial(write_page, shown=shown, told=told),
        config=told,
        needs=needs,
        publish=PUBLISHED,
        cost=Cost(seconds=12, memory_bytes=6e8, disk_bytes=4e6),
    )
    names = [*(FIGURE_FILES if budget else ())]
    names += [
        f"{name}.{kind}" for name, of in PROJECT_FIGURES.items() if of.made(shown) for kind in ("png", "svg")
    ]
    figures = Step(
        name=FIGURES,
        units=tuple(names),
        work=partial(write_figure, shown=shown, told=told),
        config=told,
        needs=needs,
        publish={name: f"figures/{name}" for name in names},
        cost=Cost(seconds=1.5, memory_bytes=4e8, disk_bytes=2e5),
    )
    return [*reading, page, figures] if options.figures and names else [*reading, page]


def _flux_step(shown: Wanted) -> Step:
    stores = {name: fingerprint([path]) for name, path in shown.files.items() if path.is_dir()}
    seconds = max((seconds_to_read(path) for path in shown.files.values()), default=2.0)
    return Step(
        name=FLUXES,
        units=tuple(d.unit for d in shown.datasets),
        work=partial(write_fluxes, shown=shown),
        config={
            "datasets": [[d.unit, d.step, d.made, d.path] for d in shown.datasets],
            "variable": shown.variable,
            "regions": list(shown.regions),
            "tundra": shown.tundra,
            "fire": shown.fire,
            "least_coverage": shown.least_coverage,
            "years": shown.years and list(shown.years),
            "stores": stores,
        },
        inputs={n: path / "zarr.json" if path.is_dir() else path for n, path in shown.files.items()},
        needs=shown.flux_needs,
        suffix=".nc",
        publish={d.unit: f"{FOLDER}/{d.unit}.nc" for d in shown.datasets},
        cost=Cost(seconds=seconds, memory_bytes=1.5e9, disk_bytes=1.5e6),
    )


def write_fluxes(job: Job, shown: Wanted) -> None:
    """What the page shows of one flux dataset; where there is nothing to show, a file that says why."""
    from contextlib import closing

    import xarray as xr

    from talik.compare.opening import land_regions, open_source, read_tundra, within
    from talik.errors import InputError, TalikError
    from talik.report.reduce import recorded_inputs, reduced

    of = next(d for d in shown.datasets if d.unit == job.unit)
    path = job.needs[of.step][of.made] if of.step else shown.files[of.path]
    fire = None if shown.fire is None else shown.files[shown.fire]
    tundra = None if shown.tundra is None else read_tundra(shown.tundra, shown.files)
    try:
        with closing(open_source(path, shown.variable, fire)) as ds:
            if "cell" in ds.dims:
                raise InputError(f"holds a list of {ds.sizes['cell']} cells, which makes no map")
            found = reduced(
                ds if shown.years is None else within(ds, shown.years),
                shown.variable,
                of.model,
                years=shown.years,
                weights=land_regions(shown.regions, tundra),
                least_coverage=shown.least_coverage,
            )
            found.attrs = {"inputs": json.dumps(recorded_inputs(ds), sort_keys=True)}
    except TalikError as err:
        # a list of pixels, a flux that this dataset has not: the page says so instead
        found = xr.Dataset(attrs={"note": str(err).replace(str(path), of.file or of.model)})
    found = found.assign_attrs(approach=of.approach, model_name=of.model, group=of.group)
    found.to_netcdf(
        job.out, engine="netcdf4", format="NETCDF4", encoding={n: {"zlib": True} for n in found.data_vars}
    )


def write_page(job: Job, shown: Wanted, told: Mapping[str, Any]) -> None:
    """The page, or the same as a notebook."""
    from talik.report.notebook import notebook
    from talik.report.project_page import render_project

    results = _results(job, shown, told)
    text = notebook(results) if job.unit.endswith(".ipynb") else render_project(results)
    job.out.write_text(text, encoding="utf-8", newline="\n")


def write_figure(job: Job, shown: Wanted, told: Mapping[str, Any]) -> None:
    """One figure file."""
    from talik.report.page import FIGURE_FILES, draw_file
    from talik.report.project_page import draw_project

    results = _results(job, shown, told)
    if job.unit in FIGURE_FILES and results.budget is not None:
        job.out.write_bytes(draw_file(results.budget, job.unit))
    else:
        job.out.write_bytes(draw_project(results, job.unit))


def _results(job: Job, shown: Wanted, told: Mapping[str, Any]) -> Results:
    from talik.provenance import code_version
    from talik.report.results import read_drawn, read_results

    drawn = [read_drawn(job.needs[FLUXES][d.unit], d) for d in shown.datasets]
    return read_results(
        job.needs,
        shown.results,
        drawn,
        title=told["title"],
        name=told["name"],
        answer=told["answer"],
        variable=shown.variable,
        code=code_version(),
    )


SECTION = Section("report", ReportOptions, steps)
