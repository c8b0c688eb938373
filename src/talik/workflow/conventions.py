"""One convention for every command: options, exit codes, messages, progress."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
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
    from talik.workflow.unit import NOT_COMPLETE

    waited = [o for o in failed if o.error.endswith(NOT_COMPLETE)]
    for outcome in failed:
        if outcome not in waited or len(waited) == len(failed):
            log = f" (traceback: {outcome.log})" if outcome.log else ""
            sys.stderr.write(f"talik: failed {outcome.step}/{outcome.unit}: {outcome.error}{log}\n")
    if waited and len(waited) < len(failed):
        steps = ", ".join(dict.fromkeys(o.step for o in waited))
        sys.stderr.write(f"talik: not run, as they need these: {steps}\n")
    sys.stderr.write(f"talik: {len(failed)} units failed. The others are kept; run again to retry these.\n")
    raise typer.Exit(EXIT_FAILED_UNITS)


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
    from talik.workflow.progress import plan_progress
    from talik.workflow.run import run_plan

    with plan_progress(plan, workers or project.base.run.workers) as listen:
        result = run_plan(project, plan, workers=workers, scheduler=scheduler, resume=resume, listen=listen)
    exit_for(result.failed)
    return result


def plan_text(plan: Plan) -> str:
    """The plan, a line a step and one for all: what is there, what is to do, and about how long and large that is."""
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
    lines.append(f"total: {total_text(plan.total())}")
    return "\n".join(lines) + "\n"


def total_text(total: Mapping[str, Any]) -> str:
    """All of a plan in a line."""
    told = [f"{total['steps']} steps", f"{total['units']} units", f"{total['cached']} done"]
    if not total["todo"]:
        return ", ".join([*told, "nothing to do"])
    if total["seconds"]:
        told.append(f"about {span(total['seconds'])} of work")
    if unknown := total["steps_of_unknown_time"]:
        told.append(f"{unknown} step{'s' * (unknown > 1)} of unknown time")
    if total["memory_bytes"]:
        told.append(f"{total['memory_bytes'] / 1e9:.1f} GB memory a worker at most")
    if total["disk_bytes"]:
        told.append(f"{total['disk_bytes'] / 1e6:.1f} MB to write")
    return ", ".join(told)


def span(seconds: float) -> str:
    """A duration for a reader: 34 s, 12 min, 3.4 h, 5.2 d."""
    if seconds < 100.0:
        return f"{seconds:.0f} s"
    if seconds < 6000.0:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800.0 else f"{seconds / 86_400:.1f} d"


def size_text(size: float) -> str:
    """A file size for a reader: 812 B, 1.2 kB, 34 MB, 2.0 GB."""
    for factor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= factor:
            return f"{size / factor:.{1 if size < 10 * factor else 0}f} {unit}"
    return f"{size:.0f} B"
