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

    from talik.workflow.chain import Ready
    from talik.workflow.plan import Plan
    from talik.workflow.project import Project
    from talik.workflow.unit import Outcome

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
        from talik.workflow.chain import ready_sections
        from talik.workflow.progress import plan_progress
        from talik.workflow.project import load_project
        from talik.workflow.run import plan_ready, run_plan

        loaded, started = load_project(project), time.monotonic()
        outcomes: dict[tuple[str, str], Outcome] = {}
        waited: tuple[str, ...] = ()
        while True:
            ready = ready_sections(loaded)
            steps, waiting = chosen(ready, only)
            if waiting and (waiting == waited or not ready.steps):
                raise ready.waiting[waiting[0]].error
            plan = plan_ready(loaded, ready, steps)
            require_comparable(loaded)
            if not as_json:
                sys.stderr.write(plan_text(plan) + waiting_text(waiting))
            if dry_run:
                if as_json:
                    print_json(
                        {**_told(loaded), "plan": plan.rows(), "total": plan.total(), "waiting": [*waiting]}
                    )
                return
            with plan_progress(plan, workers or loaded.base.run.workers) as listen:
                result = run_plan(
                    loaded, plan, workers=workers, scheduler=scheduler, resume=resume, listen=listen
                )
            for outcome in result.outcomes:  # what an earlier turn made is not cached, but done by this run
                if outcome.status != "cached" or (outcome.step, outcome.unit) not in outcomes:
                    outcomes[outcome.step, outcome.unit] = outcome
            if not waiting or result.failed:
                break
            waited = waiting
        seconds = time.monotonic() - started
        if as_json:
            print_json(
                {
                    **_told(loaded),
                    "outcomes": [asdict(o) for o in outcomes.values()],
                    "not_planned": [*waiting],
                    "published": published_files(result.plan),
                    "manifest": str(result.manifest),
                    "seconds": round(seconds, 3),
                }
            )
        else:
            typer.echo(end_text(published_files(result.plan), seconds, result.manifest))
        if waiting:
            sys.stderr.write(f"talik: not run, as a file they need was not made: {', '.join(waiting)}.\n")
        exit_for(result.failed)


def chosen(ready: Ready, only: Sequence[str] | None) -> tuple[list[str] | None, tuple[str, ...]]:
    """Steps to run now (None: all), and sections that come after them, when the files that they look into are there."""
    if not only:
        return None, tuple(ready.waiting)
    steps, waiting = ready.named(only)
    if waiting:
        steps += [name for why in ready.waiting.values() for name in why.makers]
    if not steps and not waiting:
        from talik.errors import ConfigError

        raise ConfigError(
            f"--only {' '.join(only)}: has no steps. Name a section or step that does something."
        )
    return list(dict.fromkeys(steps)), tuple(waiting)


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
