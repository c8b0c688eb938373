"""The `report` section of a project file, and its steps: figures and the page."""

from __future__ import annotations

from functools import partial

from talik.config import Frozen
from talik.workflow.plan import Cost, Step
from talik.workflow.project import Project, Section
from talik.workflow.unit import Job


class ReportOptions(Frozen):
    """How the page is made."""

    title: str = ""
    """Title of the page; the project's title if empty."""
    figures: bool = True
    """Also write every figure as PNG and SVG."""


def steps(project: Project, options: ReportOptions) -> list[Step]:
    """The page, and one unit for each figure file."""
    title = options.title or project.base.title
    page = Step(
        name="report",
        units=("report",),
        work=partial(write_page, title=title),
        config={"title": title},
        needs=("budget",),
        suffix=".html",
        publish={"report": "report.html"},
        cost=Cost(seconds=8, memory_bytes=4e8, disk_bytes=1.5e6),
    )
    from talik.report.page import FIGURE_FILES

    figures = Step(
        name="figures",
        units=FIGURE_FILES,
        work=write_figure,
        config={},
        needs=("budget",),
        publish={name: f"figures/{name}" for name in FIGURE_FILES},
        cost=Cost(seconds=0.6, memory_bytes=3e8, disk_bytes=1e5),
    )
    return [page, figures] if options.figures else [page]


def write_page(job: Job, title: str) -> None:
    """The page of the budget this step builds on."""
    from talik.budget.result import read_result
    from talik.report.page import render

    budget, made_by = read_result(job.needs["budget"]["budget"])
    job.out.write_text(render(budget, made_by, title), encoding="utf-8", newline="\n")


def write_figure(job: Job) -> None:
    """One figure file."""
    from talik.budget.result import read_result
    from talik.report.page import draw_file

    budget, _ = read_result(job.needs["budget"]["budget"])
    job.out.write_bytes(draw_file(budget, job.unit))


SECTION = Section("report", ReportOptions, steps)
