"""`talik run`: all of a project file, from its data to its report."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from talik.workflow.conventions import (
    DryRunOption,
    JsonOption,
    ResumeOption,
    SchedulerOption,
    WorkersOption,
    bad_input_exits,
    exit_for,
    plan_text,
    print_json,
    size_text,
    span,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from talik.workflow.plan import Plan
    from talik.workflow.project import Project
    from talik.workflow.whole import WholeRun

OnlyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--only", metavar="NAME", help="A section or a step, with all it needs; may be given several times."
    ),
]


def run(
    project: Annotated[Path, typer.Argument(metavar="PROJECT.yaml", help="A project file.")],
    only: OnlyOption = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    resume: ResumeOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run a project: every section of the file, in the order in which one needs the other.

    The plan comes first: steps, what is there already, time, memory and disk of the rest. Finished units are never run
    again. `talik check PROJECT.yaml` examines all its data before.
    """
    with bad_input_exits():
        from talik.workflow.project import load_project
        from talik.workflow.whole import plan_turn

        loaded, started = load_project(project), time.monotonic()
        if dry_run:
            plan, waiting = plan_turn(loaded, only)
            require_comparable(loaded)
            if as_json:
                told = {"plan": plan.rows(), "total": plan.total(), "waiting": [*waiting]}
                print_json({**_told(loaded), **told})
            else:
                sys.stderr.write(plan_text(plan) + waiting_text(waiting))
            return
        found = run_told(loaded, only, workers=workers, scheduler=scheduler, resume=resume, quiet=as_json)
        seconds = time.monotonic() - started
        if as_json:
            print_json(
                {
                    **_told(loaded),
                    "outcomes": [asdict(o) for o in found.outcomes],
                    "not_planned": [*found.waiting],
                    "published": published_files(found.last.plan),
                    "manifest": str(found.last.manifest),
                    "seconds": round(seconds, 3),
                }
            )
        else:
            typer.echo(end_text(published_files(found.last.plan), seconds, found.last.manifest))
        end_for(found)


def run_told(
    project: Project,
    only: Sequence[str] | None = None,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    resume: bool = False,
    quiet: bool = False,
) -> WholeRun:
    """Run a project with its plans and progress on standard error; quiet : without the plans."""
    from talik.workflow.progress import plan_progress
    from talik.workflow.whole import run_whole

    def announce(plan: Plan, waiting: tuple[str, ...]) -> None:
        require_comparable(project)
        if not quiet:
            sys.stderr.write(plan_text(plan) + waiting_text(waiting))

    return run_whole(
        project,
        only=only,
        workers=workers,
        scheduler=scheduler,
        resume=resume,
        announce=announce,
        progress=lambda plan: plan_progress(plan, workers or project.base.run.workers),
    )


def end_for(found: WholeRun) -> None:
    """Say on standard error what failed and what was not run, and exit with code 1 if anything did."""
    if found.waiting:
        sys.stderr.write(f"talik: not run, as a file they need was not made: {', '.join(found.waiting)}.\n")
    exit_for(found.failed)


def require_comparable(project: Project) -> None:
    """ConfigError if a comparison names a dataset that is no grid: it would stop after all other work."""
    if "compare" not in project.sections:
        return
    from talik.compare.section import inputs_of, require_grids
    from talik.compare.settings import CompareSettings

    settings = project.sections["compare"]
    if isinstance(settings, CompareSettings):
        require_grids(inputs_of(project, settings))


def waiting_text(waiting: Sequence[str]) -> str:
    """Which sections are planned later."""
    if not waiting:
        return ""
    return f"then: {', '.join(waiting)} (planned when the files that they look into are made)\n"


def published_files(plan: Plan) -> list[dict[str, Any]]:
    """What is in the output folder now, in the order of the plan: step, unit, path, bytes."""
    found = []
    for planned in plan.steps:
        for unit, name in planned.published:
            path = plan.output / name
            found.append(
                {
                    "step": planned.step.name,
                    "unit": unit,
                    "path": str(path),
                    "bytes": path.stat().st_size,
                }
            )
    return found


def end_text(published: Sequence[Mapping[str, Any]], seconds: float, manifest: Path) -> str:
    """A line for each published file (what, path, size), then all of it, the time taken, and the manifest."""
    wide = max((len(row["step"]) for row in published), default=0)
    long = max((len(row["path"]) for row in published), default=0)
    lines = [
        f"{row['step']:{wide}}  {row['path']:{long}}  {size_text(row['bytes']):>7}".rstrip()
        for row in published
    ]
    several, total = "s" * (len(published) != 1), sum(row["bytes"] for row in published)
    lines.append(f"{len(published)} file{several}, {size_text(total)}, in {span(seconds)}")
    lines.append(f"manifest: {manifest}")
    return "\n".join(lines)


def _told(project: Project) -> dict[str, Any]:
    return {"project": project.base.name, "key": project.key(), "output": str(project.output)}
