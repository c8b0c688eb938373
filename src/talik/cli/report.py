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
    exit_for,
    progress,
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
        from talik.report.sources import page_from_project, page_from_result, source_kind

        if out.suffix.lower() not in (".html", ".htm"):
            raise ConfigError(f"--out {out}: the page is an HTML file; name it like report.html.")
        if source_kind(source) == "project":
            with progress(0) as listen:
                result = page_from_project(
                    source, out, workers=workers, scheduler=scheduler, resume=resume, listen=listen
                )
            exit_for(result.failed)
        else:
            page_from_result(source, out)
        typer.echo(str(out))


def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the results.")] = Path(
        "talik-demo"
    ),
    workers: WorkersOption = None,
) -> None:
    """The published permafrost budget end to end, into DIR/report.html (under a minute, no network)."""
    with bad_input_exits():
        from rich.console import Console

        from talik.report.demo import headline, run_demo

        with progress(0) as listen:
            result = run_demo(out, workers=workers, listen=listen)
        exit_for(result.failed)
        console = Console()
        console.print(headline(out), highlight=False)
        console.print(f"\nOpen {out / 'report.html'} in a browser; {out / 'budget.json'} holds every number.")
