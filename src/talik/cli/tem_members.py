"""`talik tem members`: a run for each of some draws of the calibrated parameters."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from talik.cli.tem_check import checked_input, tem_project
from talik.cli.text import years_of
from talik.files import read_json
from talik.workflow.conventions import (
    DryRunOption,
    JsonOption,
    ResumeOption,
    SchedulerOption,
    WorkersOption,
    bad_input_exits,
    exit_for,
    print_json,
)
from talik.workflow.progress import progress

if TYPE_CHECKING:
    from talik.tem.calibration.members import Member
    from talik.tem.settings import Files, TemSettings
    from talik.workflow.plan import Plan
    from talik.workflow.project import Project
    from talik.workflow.unit import Outcome

SUMS, SUMMARY = "tem-members.nc", "tem-members.json"
"""Results in the output folder."""


def members(
    project: Annotated[
        Path, typer.Argument(metavar="PROJECT.yaml", help="A project file with a section tem.")
    ],
    draws: Annotated[
        Path, typer.Option("--draws", metavar="FILE", help="calibration-draws.csv of talik tem calibrate.")
    ],
    count: Annotated[
        int | None,
        typer.Option("--count", min=1, help="How many members; 20, or all draws if there are fewer."),
    ] = None,
    period: Annotated[
        list[str] | None,
        typer.Option(
            "--period",
            metavar="FIRST-LAST",
            help="Years to summarise; give it again for each. The first ten, the last ten and all by default.",
        ),
    ] = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    resume: ResumeOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run a project with several draws of its calibrated parameters, and sum up what they say.

    Each member is `talik tem run` with the values of a draw, in members/000 and so on in the output folder; one that is
    complete is not run again. Writes tem-members.nc, sums over the cells by member and year, and tem-members.json,
    their median and 5 to 95 % in each period.
    """
    with bad_input_exits():
        from talik.tem.calibration.members import check_periods, default_periods, members_of, read_draws
        from talik.workflow.plan import Plan

        loaded, settings, files = tem_project(project)
        table = read_draws(draws)
        wanted = members_of(table, count, settings.parameters, settings.organic_soil)
        _refuse_restart(project, settings)
        communities = _communities(
            settings, files, {str(name).split(".")[0] for name in table.columns}, draws
        )
        told = checked_input(settings, files, "tem")
        years = list(range(told["years"][0], told["years"][1] + 1))
        periods = (
            [years_of("--period", text, "2091-2100") for text in period] if period else default_periods(years)
        )
        check_periods(periods, years)
        projects = [_project_of(loaded, settings, i, member) for i, member in enumerate(wanted)]
        plans = [_plan_of(of, member, draws) for of, member in zip(projects, wanted, strict=True)]
        Plan(tuple(step for plan in plans for step in plan.steps), loaded.output).check_room()
        rows = [
            {
                "member": i,
                "draw": member.draw,
                "output": str(plan.output),
                "todo": sum(row["todo"] for row in plan.rows()),
                "seconds": sum(row["seconds"] or 0.0 for row in plan.rows()),
            }
            for i, (member, plan) in enumerate(zip(wanted, plans, strict=True))
        ]
        told |= {**communities, "members": rows}
        if not as_json:
            sys.stderr.write(_told_text(told))
        if dry_run:
            if as_json:
                print_json(told)
            return
        failed = _run(projects, plans, workers, scheduler, resume)
        written = [] if failed else _write(loaded, settings, draws, plans, wanted, periods)
        if failed:
            (loaded.output / SUMS).unlink(missing_ok=True)
            (loaded.output / SUMMARY).unlink(missing_ok=True)
        exit_for(failed)
        found = read_json(loaded.output / SUMMARY)
        if as_json:
            print_json({**told, "found": found, "published": [str(path) for path in written]})
        else:
            typer.echo(summary_text(found))
            typer.echo("\n".join(str(path) for path in written))


def _refuse_restart(path: Path, settings: TemSettings) -> None:
    from talik.errors import ConfigError

    if settings.restart is not None:
        raise ConfigError(
            f"{path}: tem.restart is {settings.restart}, but each member begins with the equilibrium of its own "
            "parameters. Leave restart out."
        )


def _communities(
    settings: TemSettings, files: Files, of_draws: set[str], draws: Path
) -> dict[str, list[str]]:
    """Communities of the run that are drawn, and those that keep the project's values; InputError if none is drawn, or
    the land has no area."""
    from talik.errors import InputError
    from talik.tem.inputs import read_columns

    columns = read_columns(settings, files.paths("land"))
    if columns.area_m2 is None:
        raise InputError(
            "tem.land.files: no cell_area; expected it for sums over the cells. Add a file with cell_area to them."
        )
    here = list(dict.fromkeys(columns.community))
    drawn = [name for name in here if name in of_draws]
    if not drawn:
        raise InputError(
            f"{draws}: parameters of {', '.join(sorted(of_draws))}; the run has {', '.join(here)}. Give draws of a "
            "community of the run."
        )
    return {"drawn": drawn, "not_drawn": [name for name in here if name not in drawn]}


def _project_of(loaded: Project, settings: TemSettings, number: int, member: Member) -> Project:
    """The project of a member."""
    changed = settings.model_copy(
        update={"parameters": member.parameters, "organic_soil": member.organic_soil, "factorial": None}
    )
    base = loaded.base.model_copy(update={"output": str(loaded.output / "members" / f"{number:03d}")})
    return dataclasses.replace(loaded, base=base, sections={**loaded.sections, "tem": changed})


def _plan_of(project: Project, member: Member, draws: Path) -> Plan:
    from talik.errors import ConfigError
    from talik.workflow.run import plan_project

    try:
        return plan_project(project, ["tem"])
    except ConfigError as err:
        raise ConfigError(f"{draws}: draw {member.draw}: {err}") from err


def _run(
    projects: list[Project], plans: list[Plan], workers: int | None, scheduler: str | None, resume: bool
) -> list[Outcome]:
    """Run member after member; units that failed. The others run nevertheless."""
    from talik.workflow.run import run_plan

    failed: list[Outcome] = []
    for i, (project, plan) in enumerate(zip(projects, plans, strict=True)):
        sys.stderr.write(f"member {i:03d}\n")
        with progress(sum(len(p.step.units) for p in plan.steps)) as listen:
            result = run_plan(
                project,
                plan,
                workers=workers,
                scheduler=scheduler,
                resume=resume and i == 0,  # members run in order: if any was begun, the first was
                listen=listen,
            )
        failed += result.failed
    return failed


def _write(
    loaded: Project,
    settings: TemSettings,
    draws: Path,
    plans: list[Plan],
    wanted: list[Member],
    periods: list[tuple[int, int]],
) -> list[Path]:
    from talik.files import whole_file, write_json
    from talik.provenance import hash_file, stamp
    from talik.tem.calibration.members import joined, summary, sums_of_run
    from talik.tem.merge import SOURCE

    sums = joined((sums_of_run(plan.output) for plan in plans), wanted)
    title = loaded.base.title or loaded.base.name
    sums = sums.assign_attrs(Conventions="CF-1.12", title=f"{title}: members", source=SOURCE)
    with whole_file(loaded.output / SUMS) as part:
        stamp(sums, "tem-members", settings.key(), {draws.name: draws}).to_netcdf(part, engine="netcdf4")
    found = {
        "draws": {"file": draws.name, "sha256": hash_file(draws)},
        "members": [member.draw for member in wanted],
        **summary(sums, periods),
    }
    return [loaded.output / SUMS, write_json(loaded.output / SUMMARY, found)]


def _told_text(told: dict[str, Any]) -> str:
    first, last = told["years"]
    left = [row for row in told["members"] if row["todo"]]
    lines = [
        f"{told['cells']} cells in {told['columns']} columns, {first}..{last}",
        f"{len(told['members'])} members, {len(told['members']) - len(left)} complete, about "
        f"{sum(row['seconds'] for row in left):.0f} s of work",
        f"parameters of {', '.join(told['drawn'])} are drawn",
    ]
    if told["not_drawn"]:
        lines.append(f"  note: {', '.join(told['not_drawn'])} keep the values of the project in every member")
    lines += [f"  note: {note}" for note in told["notes"]]
    return "\n".join(lines) + "\n"


def summary_text(found: dict[str, Any]) -> str:
    """Median and 5 to 95 % of every sum in each period, and of the change, for a reader."""
    first, last = found["change"]
    lines = [f"{len(found['members'])} members: median (5 % to 95 %)"]
    for name, of in found["sums"].items():
        lines.append(f"{name}, {of['units']} of {of['species']}, {100 * of['coverage']:.0f} % of the area")
        spreads = {**of["periods"], f"{first} to {last}": of["change"]}
        for what, spread in spreads.items():
            if spread is not None:
                lines.append(f"  {what:24s} {_text(spread)}")
    return "\n".join(lines)


def _text(spread: dict[str, float]) -> str:
    return f"{spread['median']:9.4g} ({spread['p05']:.4g} to {spread['p95']:.4g})"
