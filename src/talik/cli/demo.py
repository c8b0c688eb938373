"""`talik demo`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from talik.cli.run import end_for, run_told
from talik.workflow.conventions import WorkersOption, bad_input_exits

MOST_WORKERS = 4
"""More do not make the demo quicker."""


def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the results.")] = Path(
        "talik-demo"
    ),
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed, another world.")] = 0,
    published: Annotated[
        bool, typer.Option("--published", help="The published permafrost budget and its audit instead.")
    ] = False,
    workers: WorkersOption = None,
) -> None:
    """A whole project on a made-up Arctic whose fluxes are known, into DIR/report.html (three minutes, no network).

    DIR/project.yaml is a project file like any other: change it and run it again with `talik run`. The end says where
    each approach stands against the truth, and whether the truth lies within its limits.
    """
    with bad_input_exits():
        if published:
            from talik.report.demo import demo_project, headline

            end_for(run_told(demo_project(out), workers=workers))
            typer.echo(headline(out))
            typer.echo(
                f"\nOpen {out / 'report.html'} in a browser; {out / 'budget.json'} holds every number."
            )
            return
        from talik.osse.demo import told, write_project
        from talik.workflow import load_project

        project = load_project(write_project(out, seed))
        end_for(run_told(project, workers=workers or min(os.cpu_count() or 1, MOST_WORKERS)))
        typer.echo(told(out))
        typer.echo(f"\nOpen {out / 'report.html'} in a browser. The project file is {out / 'project.yaml'}.")
