"""`talik tem`: the process model."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from talik.workflow.conventions import (
    JsonOption,
    ResumeOption,
    SchedulerOption,
    WorkersOption,
    bad_input_exits,
    exit_for,
    plan_text,
    print_json,
    progress,
)

app = typer.Typer(no_args_is_help=True, help="The process model: soil heat, water, carbon and nitrogen.")


@app.callback()
def tem() -> None:
    """The process model: soil heat, water, carbon and nitrogen of cells from climate, soil and vegetation."""


@app.command()
def run(
    project: Annotated[
        Path, typer.Argument(metavar="PROJECT.yaml", help="A project file with a section tem.")
    ],
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    resume: ResumeOption = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, show the plan, run nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run cells or a grid through equilibrium, spin-up and all years of the climate.

    All input is read and checked before anything is written. Writes tem-fluxes.nc, tem-land.nc, tem-annual.nc,
    tem-restart.nc and tem-audit.json into the output folder, and prints the audit.
    """
    with bad_input_exits():
        from talik.errors import ConfigError
        from talik.tem.inputs import check_run, read_columns
        from talik.tem.run import open_restart
        from talik.tem.section import PUBLISHED, files_of
        from talik.tem.settings import TemSettings
        from talik.workflow.project import load_project
        from talik.workflow.run import plan_project, run_plan

        loaded = load_project(project)
        settings = loaded.sections.get("tem")
        if not isinstance(settings, TemSettings):
            raise ConfigError(f"{project}: has no section tem. Add one; see the guide on the process model.")
        plan = plan_project(loaded, ["tem"])
        files = files_of(loaded, settings)
        columns = read_columns(settings, files.paths("land"))
        climate = check_run(settings, files, columns)
        if files.restart is not None:
            open_restart(Path(files.restart), columns, climate)
        told = {
            "cells": int(columns.lat.size),
            "columns": int(columns.cell.size),
            "years": [climate.years[0], climate.years[-1]],
            "notes": list(climate.notes),
            "plan": plan.rows(),
        }
        if not as_json or not dry_run:
            _say(told, plan_text(plan))
        if dry_run:
            if as_json:
                print_json(told)
            return
        with progress(sum(len(p.step.units) for p in plan.steps)) as listen:
            result = run_plan(
                loaded, plan, workers=workers, scheduler=scheduler, resume=resume, listen=listen
            )
        exit_for(result.failed)
        audit = json.loads((plan.output / PUBLISHED["audit"]).read_text(encoding="utf-8"))
        if as_json:
            print_json({**told, "audit": audit, "published": [str(p) for p in result.published]})
        else:
            typer.echo(audit_text(audit))
            typer.echo("\n".join(str(p) for p in result.published))


def _say(told: dict[str, Any], plan: str) -> None:
    first, last = told["years"]
    sys.stderr.write(f"{told['cells']} cells in {told['columns']} columns, {first}..{last}\n{plan}")
    for note in told["notes"]:
        sys.stderr.write(f"  note: {note}\n")


def audit_text(audit: dict[str, Any]) -> str:
    """What the run says of itself: closure of the budgets, and whether the spin-up stood still."""
    lines = ["conservation, worst cell and year, relative:"]
    lines += [f"  {name:9s} {value:.1e}" for name, value in audit["closure"].items()]
    if spun := audit.get("spin_up"):
        total = audit["columns"]
        lines.append(
            f"soil heat stood still in {spun['soil_still']} of {total} columns, after up to {spun['soil_years']} years"
        )
        lines.append(
            f"pools stood still in {spun['equilibrium_still']} of {total} columns, after up to "
            f"{spun['equilibrium_years']} years"
        )
        if spun["newton_steps"]:
            away = spun["fell_back"]
            lines.append(
                f"  and up to {spun['newton_steps']} steps of Newton's method, of 2 years each (published: 3000 years)"
            )
            lines.append(f"  Newton's method failed in {len(away)} columns, which ran plainly")
            lines += [f"    {place}" for place in away[:5]] + ["    ..."] * (len(away) > 5)
        lines.append(
            f"soil heat of the loop was periodic in {spun['loop_soil_still']} of {total} columns, after up to "
            f"{spun['loop_soil_years']} years"
        )
    return "\n".join(lines)
