"""`talik fuse`: model-data fusion."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from talik.workflow.conventions import (
    EXIT_FAILED_UNITS,
    DryRunOption,
    JsonOption,
    ResumeOption,
    SchedulerOption,
    WorkersOption,
    bad_input_exits,
    plan_and_run,
    print_json,
    show,
    span,
)

if TYPE_CHECKING:
    from rich.console import Console

    from talik.fusion.problems import PixelProblem
    from talik.workflow.plan import Step

app = typer.Typer(no_args_is_help=True, help="Model-data fusion: DALEC inferred pixel by pixel.")

MOST_NAMED = 5
"""Pixels that a warning names."""
MOST_ROWS = 40
"""A longer table of pixels shows those that did not converge first, and is cut."""


@app.command()
def run(
    project: Annotated[
        Path, typer.Argument(metavar="PROJECT.yaml", help="A project file with a section fusion.")
    ],
    sampler: Annotated[
        Literal["hmc", "smc", "nuts", "ap-mcmc", "de"] | None,
        typer.Option("--sampler", help="Instead of the one in the project file."),
    ] = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    resume: ResumeOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Infer parameters, pools and fluxes of pixels from drivers and observations.

    All input is read and judged pixel by pixel before anything is written. Blocks of pixels go by themselves and are
    kept. Writes fusion.nc, fusion-fluxes.nc and fusion-check.json into the output folder.

    Exit codes: 0 every pixel has a result (converged or flagged), 1 some pixels or units failed, 2 bad input: a file,
    or that of every pixel.
    """
    with bad_input_exits():
        from talik.fusion.check import examine, report
        from talik.fusion.run import require_some_good
        from talik.fusion.section import device, files_of, regions_of, settings_of
        from talik.fusion.section import steps as steps_of
        from talik.fusion.works import RESULT
        from talik.workflow.project import load_project

        loaded = load_project(project)
        settings = settings_of(loaded)
        if sampler is not None:
            changed = settings.sampler.model_copy(update={"method": sampler})
            settings = settings.model_copy(update={"sampler": changed})
            loaded = dataclasses.replace(loaded, sections={**loaded.sections, "fusion": settings})
        made = steps_of(loaded, settings)
        found: dict[str, Any] = {}

        def check() -> tuple[dict[str, Any], str]:
            told = examine(settings, files_of(loaded, settings), regions_of(loaded, settings))
            problems: list[PixelProblem] = told.pop("problems")
            require_some_good(problems, told["pixels"])
            found.update(told, device=device(), problems=[p.to_dict() for p in problems])
            return found, input_text(found, problems) + work_text(
                made[0], told["pixels"], workers or loaded.base.run.workers
            )

        stopped = False
        published: tuple[Path, ...] = ()
        try:
            result = plan_and_run(
                loaded,
                [step.name for step in made],
                workers=workers,
                scheduler=scheduler,
                resume=resume,
                dry_run=dry_run,
                as_json=as_json,
                check=check,
            )
            published = () if result is None else result.published
        except typer.Exit:  # a unit failed; what the others say is shown all the same
            stopped = True
            if not (loaded.output / RESULT).is_file():
                raise
        failed = stopped or found["good"] < found["pixels"]
        if not dry_run:
            told = report(loaded.output / RESULT)
            failed = stopped or told["counts"]["failed"] > 0
            if as_json:
                print_json({**told, "published": [str(path) for path in published]})
            else:
                show(lambda console: print_report(told, console, settings.fill))
                typer.echo("\n".join(str(path) for path in published))
        if failed:
            raise typer.Exit(EXIT_FAILED_UNITS)


@app.command()
def check(
    result: Annotated[Path, typer.Argument(metavar="RESULT", help="The fusion.nc of a run, or its folder.")],
    as_json: JsonOption = False,
) -> None:
    """Which pixels converged, and why the others did not.

    Exit codes: 0 every pixel converged, 1 some did not, 2 no such result.
    """
    with bad_input_exits():
        from talik.fusion.check import report
        from talik.fusion.works import RESULT

        told = report(result / RESULT if result.is_dir() else result)
        if as_json:
            print_json(told)
        else:
            show(lambda console: print_report(told, console))
        if told["passed"] < 1.0:
            raise typer.Exit(EXIT_FAILED_UNITS)


def input_text(told: dict[str, Any], problems: list[PixelProblem]) -> str:
    """What a run reads, and what is wrong with it, for a reader."""
    first, last = told["years"]
    lines = [f"{_pixels(told['pixels'])}, {first}..{last}, {told['device']}"]
    for name, count in told["assimilated"].items():
        held = told["held_out"].get(name, 0)
        lines.append(f"  {name}: {count} values" + (f", {held} held out" if held else ""))
    for name in told["without"]:
        lines.append(f"  no {name} is simulated" + (": unknown" if name in told["unknown"] else ""))
    lines += [f"  warning: {text}" for text in told["assumed"]]
    if not told["assimilated"]:
        lines.append("  no observations: the prior with its constraints is sampled")
    lines += _problem_lines(problems)
    if told["good"] < told["pixels"]:
        lines.append(
            f"{told['pixels'] - told['good']} of {_pixels(told['pixels'])} do not run; the others do."
        )
    return "\n".join(lines) + "\n"


def work_text(blocks: Step, pixels: int, workers: int) -> str:
    """Blocks and how long they take at most, and a warning where the machine has not the memory."""
    count, cost = len(blocks.units), blocks.cost
    lines = [f"{count} block{'s' * (count > 1)} of {_pixels(-(-pixels // count))} at most"]
    if cost.seconds is not None:
        at_once = max(1, min(workers, count))
        whole = cost.seconds * count
        lines[0] += (
            f", up to {span(whole)} of work, {span(cost.seconds * -(-count // at_once))} with {workers} workers"
        )
    else:
        lines[0] += "; how long this sampler takes is not known"
    memory = memory_of_machine()
    if cost.memory_bytes and memory and (needed := cost.memory_bytes * min(workers, count)) > memory:
        lines.append(
            f"  warning: the workers need {needed / 1e9:.1f} GB of memory, this machine has {memory / 1e9:.1f} GB. "
            "Take fewer workers, a smaller block, or fewer rounds of draws."
        )
    return "\n".join(lines) + "\n"


def memory_of_machine() -> float | None:
    """Bytes of memory of this machine; None where the system does not say."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _pixels(count: int) -> str:
    return "1 pixel" if count == 1 else f"{count} pixels"


def _problem_lines(problems: list[PixelProblem]) -> list[str]:
    """Errors one by one, once for variables that share one; a warning that pixels share once, with what each has."""
    of_one: dict[PixelProblem, list[str]] = {}
    for p in problems:
        of_one.setdefault(dataclasses.replace(p, variable=""), []).append(p.variable)
    alike: dict[tuple[str, ...], list[PixelProblem]] = {}
    for k, p in enumerate(dataclasses.replace(p, variable=", ".join(names)) for p, names in of_one.items()):
        own = (str(k),) if p.severity == "error" else ()
        alike.setdefault((p.severity, p.variable, p.expected, p.fix, *own), []).append(p)
    lines = []
    for of in alike.values():
        if len(of) == 1:
            lines.append(f"  {of[0].severity}: {of[0]}")
            continue
        found = "; ".join(f"{p.pixel} {p.found}" for p in of[:MOST_NAMED])
        more = f"; and {len(of) - MOST_NAMED} more pixels" if len(of) > MOST_NAMED else ""
        first = of[0]
        lines.append(
            f"  {first.severity}: {first.variable}: {found}{more}; expected {first.expected}. {first.fix}"
        )
    return lines


def print_report(told: dict[str, Any], console: Console, fill: str = "none") -> None:
    """Pixels with their diagnostics, what was wrong with their input, and the share that converged."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    order = {"failed": 0, "unconverged": 1, "map_quality": 2, "converged": 3}
    rows = sorted(told["pixels"], key=lambda row: order[row["quality"]])
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    heads = ("pixel", "quality", "R-hat", "of outputs", "ESS", "tail", "divergent", "kept", "Pareto k", "why")
    for k, name in enumerate(heads):
        table.add_column(name, justify="left" if k in (0, 1, 9) else "right", overflow="fold")
    for row in rows[:MOST_ROWS]:
        table.add_row(
            escape(row["pixel"]),
            row["quality"].replace("_", " "),
            _number(row["rhat_parameters"], ".3f"),
            _number(row["rhat_outputs"], ".3f"),
            _number(row["ess_bulk"], ".0f"),
            _number(row["ess_tail"], ".0f"),
            _number(row["divergences"], ".2%"),
            _number(row["kept"], ".0%"),
            _number(row["pareto_k"], ".2f"),
            escape(row["reason"] or ""),
        )
    console.print(table)
    if len(rows) > MOST_ROWS:
        console.print(f"  and {len(rows) - MOST_ROWS} more pixels; --json has all", style="dim")
    ran = {row["pixel"] for row in rows if row["quality"] != "failed"}
    for problem in told["problems"]:
        if problem["pixel"] in ran:
            console.print(
                f"  {escape(problem['pixel'])}: {escape(problem['variable'])}: {escape(problem['found'])}",
                highlight=False,
                soft_wrap=True,
                style="dim",
            )
    counts = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in told["counts"].items() if n)
    console.print(f"{_pixels(len(rows))}: {counts}. {told['passed']:.0%} pass.", highlight=False)
    if told["counts"]["unconverged"]:
        usable = told["counts"]["converged"] + told["counts"]["map_quality"]
        empty = "" if usable or fill == "flagged" else "None is handed on: fluxes and totals are empty. "
        console.print(
            f"  {empty}Take more rounds or draws (sampler: {{rounds: 30}}), or hand on what has not converged with "
            "fill: flagged in the section fusion.",
            highlight=False,
            soft_wrap=True,
        )
    if told["doubtful"]:
        console.print(
            f"  weights of a heavy tail (Pareto k > 0.7): {escape(', '.join(told['doubtful'][:10]))}",
            highlight=False,
            soft_wrap=True,
        )


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
