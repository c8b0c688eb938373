"""`talik report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from talik.cli.run import end_for, run_told
from talik.workflow.conventions import (
    ResumeOption,
    SchedulerOption,
    WorkersOption,
    bad_input_exits,
)


def report(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="PROJECT|RESULT", help="A project file (.yaml), a posts file, or a result (.json)."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE.html", help="The page to write.")],
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    resume: ResumeOption = False,
) -> None:
    """Write one self-contained page: headline, figures, every number down to its inputs, audit, provenance.

    A RESULT is what `talik budget ... --json` printed, or the budget.json of a run. Figures are also written
    beside the page, as PNG and SVG.
    """
    with bad_input_exits():
        from talik.errors import ConfigError
        from talik.files import write_text
        from talik.report.sources import page_from_file, report_project, source_kind

        if out.suffix.lower() not in (".html", ".htm"):
            raise ConfigError(f"--out {out}: the page is an HTML file; name it like report.html.")
        if source_kind(source) == "project":
            project = report_project(source)
            found = run_told(project, workers=workers, scheduler=scheduler, resume=resume)
            end_for(found)
            page = next(p for p in found.last.published if p.name == "report.html")
            write_text(out, page.read_text(encoding="utf-8"))
        else:
            page_from_file(source, out)
        typer.echo(str(out))
