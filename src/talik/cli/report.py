"""`talik report` and `talik demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from talik.workflow.conventions import (
    ResumeOption,
    SchedulerOption,
    WorkersOption,
    bad_input_exits,
    run_shown,
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
        from talik.cli.run import require_comparable
        from talik.errors import ConfigError
        from talik.files import write_text
        from talik.report.sources import page_from_file, report_project, source_kind

        if out.suffix.lower() not in (".html", ".htm"):
            raise ConfigError(f"--out {out}: the page is an HTML file; name it like report.html.")
        if source_kind(source) == "project":
            project = report_project(source)
            require_comparable(project)
            result = run_shown(project, workers=workers, scheduler=scheduler, resume=resume)
            page = next(p for p in result.published if p.name == "report.html")
            write_text(out, page.read_text(encoding="utf-8"))
        else:
            page_from_file(source, out)
        typer.echo(str(out))


def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the results.")] = Path(
        "talik-demo"
    ),
    workers: WorkersOption = None,
) -> None:
    """The published permafrost budget end to end, into DIR/report.html (under a minute, no network)."""
    with bad_input_exits():
        from talik.report.demo import demo_project, headline

        run_shown(demo_project(out), workers=workers)
        typer.echo(headline(out))
        typer.echo(f"\nOpen {out / 'report.html'} in a browser; {out / 'budget.json'} holds every number.")
