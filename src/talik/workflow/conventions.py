"""One convention for every command: options, exit codes, messages, progress."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from talik.errors import TalikError

if TYPE_CHECKING:
    from rich.console import Console

    from talik.workflow.plan import Plan
    from talik.workflow.project import Project
    from talik.workflow.run import RunResult
    from talik.workflow.unit import Outcome

EXIT_OK = 0
EXIT_FAILED_UNITS = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130
"""What shells expect after Ctrl-C."""

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else on standard output.")]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, help="Local processes; results do not depend on it.")
]
SchedulerOption = Annotated[
    str | None, typer.Option("--scheduler", metavar="ADDR", help="An existing Dask cluster, tcp://host:port.")
]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Continue an earlier run; refuse to start a new one.")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Check everything, show the plan, write nothing.")
]


@contextmanager
def bad_input_exits() -> Iterator[None]:
    """Turn an error of talik or of the file system into one message on standard error and exit code 2.

    TALIK_DEBUG=1 shows the traceback instead.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="replace"
            )  # a user's text may hold letters that this terminal cannot show
    debug = os.environ.get("TALIK_DEBUG") == "1"
    try:
        yield
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.stderr.write("talik: interrupted. Finished units are kept; run again to go on.\n")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except BrokenPipeError:  # the reader (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(EXIT_OK) from None
    except TalikError as err:
        if debug:
            raise
        sys.stderr.write(f"talik: {err}\n")
        raise typer.Exit(EXIT_BAD_INPUT) from err
    except OSError as err:
        if debug or err.filename is None:
            raise
        sys.stderr.write(f"talik: {err.filename}: {err.strerror}. Check the path and its permissions.\n")
        raise typer.Exit(EXIT_BAD_INPUT) from err


def show(draw: Callable[[Console], None], width: int | None = None) -> None:
    """Print what `draw` puts on a rich console: styled on a terminal, plain text in a pipe."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    text = io.StringIO()
    console = Console(file=text, width=width or (None if terminal else 130), force_terminal=terminal)
    draw(console)
    sys.stdout.write(text.getvalue())


def print_json(value: Any) -> None:
    """Print what `--json` promises: one JSON document, without NaN or infinity, and nothing else."""
    typer.echo(json.dumps(value, indent=1, allow_nan=False))


def exit_for(failed: list[Outcome]) -> None:
    """Report failed units on standard error and exit with code 1 if there are any."""
    if not failed:
        return
    for outcome in failed:
        log = f" (traceback: {outcome.log})" if outcome.log else ""
        sys.stderr.write(f"talik: failed {outcome.step}/{outcome.unit}: {outcome.error}{log}\n")
    sys.stderr.write(f"talik: {len(failed)} units failed. The others are kept; run again to retry these.\n")
    raise typer.Exit(EXIT_FAILED_UNITS)


def run_shown(
    project: Project, *, workers: int | None = None, scheduler: str | None = None, resume: bool = False
) -> RunResult:
    """Run a project with its plan and progress on standard error; exit with code 1 if a unit fails."""
    from talik.workflow.run import plan_project

    plan = plan_project(project)
    sys.stderr.write(plan_text(plan))
    return run_planned(project, plan, workers=workers, scheduler=scheduler, resume=resume)


def plan_and_run(
    project: Project,
    steps: list[str],
    *,
    workers: int | None,
    scheduler: str | None,
    resume: bool,
    dry_run: bool,
    as_json: bool,
    check: Callable[[], tuple[dict[str, Any], str]] = lambda: ({}, ""),
) -> RunResult | None:
    """Plan these steps, check the input, show the plan and run it; None after a dry run.

    `check` says what the input holds, for the JSON of a dry run and as text above the plan; it is called when the plan
    was made, so that missing files are named all at once.
    """
    from talik.workflow.run import plan_project

    plan = plan_project(project, steps)
    told, text = check()
    if not as_json:
        sys.stderr.write(f"{text}{plan_text(plan)}")
    if dry_run:
        if as_json:
            print_json({**told, "plan": plan.rows()})
        return None
    return run_planned(project, plan, workers=workers, scheduler=scheduler, resume=resume)


def run_planned(
    project: Project, plan: Plan, *, workers: int | None, scheduler: str | None, resume: bool
) -> RunResult:
    """Run a plan with progress on standard error; exit with code 1 if a unit fails."""
    from talik.workflow.run import run_plan

    with progress(sum(len(p.step.units) for p in plan.steps)) as listen:
        result = run_plan(project, plan, workers=workers, scheduler=scheduler, resume=resume, listen=listen)
    exit_for(result.failed)
    return result


def plan_text(plan: Plan) -> str:
    """The plan, a line a step: what is there, what is to do, and about how long and large that is."""
    lines = [f"output {plan.output}"]
    for row in plan.rows():
        told = [f"{row['units']} units", f"{row['cached']} done"]
        if row["todo"] and row["seconds"] is not None:
            told.append(f"about {row['seconds']:.0f} s of work")
        if row["todo"] and row["memory_bytes"] is not None:
            told.append(f"{row['memory_bytes'] / 1e9:.1f} GB memory a worker")
        if row["todo"] and row["disk_bytes"] is not None:
            told.append(f"{row['disk_bytes'] / 1e6:.1f} MB to write")
        lines.append(f"  {row['step']}: {', '.join(told)}")
    return "\n".join(lines) + "\n"


@contextmanager
def progress(total: int) -> Iterator[Callable[[Outcome], None]]:
    """A progress display on standard error that takes outcomes: a bar on a terminal, else a line a step."""
    if not sys.stderr.isatty():
        yield _plain_progress(total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)

        def advance(outcome: Outcome) -> None:
            bar.update(task, advance=1, description=f"{outcome.step}/{outcome.unit} {outcome.status}")

        yield advance


def _plain_progress(total: int) -> Callable[[Outcome], None]:
    seen = 0

    def advance(outcome: Outcome) -> None:
        nonlocal seen
        seen += 1
        if total <= 20 or seen % max(1, total // 20) == 0 or seen == total:
            sys.stderr.write(
                f"[{seen}/{total}] {outcome.step}/{outcome.unit} {outcome.status} {outcome.seconds:.1f} s\n"
            )

    return advance
