"""`talik tem`: the process model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from talik.cli.forcing import forcing
from talik.cli.tem_adjust import adjust
from talik.cli.tem_calibrate import calibrate
from talik.cli.tem_check import checked_input, tem_project
from talik.cli.tem_diagnose import diagnose
from talik.cli.tem_members import members
from talik.cli.tem_validate import validate
from talik.files import read_json
from talik.workflow.conventions import (
    DryRunOption,
    JsonOption,
    ResumeOption,
    SchedulerOption,
    WorkersOption,
    bad_input_exits,
    plan_text,
    print_json,
    run_planned,
)

app = typer.Typer(no_args_is_help=True, help="The process model: soil heat, water, carbon and nitrogen.")


@app.callback()
def tem() -> None:
    """The process model: soil heat, water, carbon and nitrogen of cells from climate, soil and vegetation."""


app.command()(forcing)
app.command()(diagnose)
app.command()(calibrate)
app.command()(validate)
app.command()(members)
app.command()(adjust)

ProjectArgument = Annotated[
    Path, typer.Argument(metavar="PROJECT.yaml", help="A project file with a section tem.")
]


@app.command()
def spinup(
    project: ProjectArgument,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    resume: ResumeOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Bring cells into balance with the first climate: soil heat, equilibrium, spin-up.

    Writes tem-spinup.nc, which a run may take as `tem.restart`, and tem-spinup-audit.json. `talik tem run` and
    `talik tem factorial` of the same project go on from it.
    """
    with bad_input_exits():
        from talik.tem.section import SPUN

        _Command(project, "tem-spinup", SPUN["audit"]).go(workers, scheduler, resume, dry_run, as_json)


@app.command()
def run(
    project: ProjectArgument,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    resume: ResumeOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run cells or a grid through equilibrium, spin-up and all years of the climate.

    All input is read and checked before anything is written. Writes tem-fluxes.nc, tem-land.nc, tem-annual.nc,
    tem-restart.nc and tem-audit.json into the output folder, and prints the audit.
    """
    with bad_input_exits():
        from talik.tem.section import PUBLISHED

        _Command(project, "tem", PUBLISHED["audit"]).go(workers, scheduler, resume, dry_run, as_json)


@app.command()
def factorial(
    project: ProjectArgument,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    resume: ResumeOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run every experiment of `tem.factorial` under every scenario, after equilibrium, spin-up and the years before.

    Experiments that share a climate share its water and soil heat. Writes tem-history.nc, tem-experiments.nc and
    tem-experiments-audit.json into the output folder; `talik tem diagnose` makes tables and figures of them.
    """
    with bad_input_exits():
        from talik.errors import ConfigError
        from talik.tem.factorial.section import PUBLISHED

        command = _Command(project, "tem-factorial", PUBLISHED["audit"])
        if command.settings.factorial is None:
            raise ConfigError(
                f"{project}: the section tem has no factorial. Add scenarios and experiments; see the guide on them."
            )
        command.go(workers, scheduler, resume, dry_run, as_json)


class _Command:
    """A command on a project: its plan, the check of all its input, the run."""

    def __init__(self, project: Path, step: str, audit: str) -> None:
        self.step, self.audit = step, audit
        self.project, self.settings, self.files = tem_project(project)

    def go(
        self, workers: int | None, scheduler: str | None, resume: bool, dry_run: bool, as_json: bool
    ) -> None:
        """Check, show the plan, run, and print the audit."""
        from talik.workflow.run import plan_project

        plan = plan_project(self.project, [self.step])
        told = {**checked_input(self.settings, self.files, self.step), "plan": plan.rows()}
        if not as_json or not dry_run:
            _say(told, plan_text(plan))
        if dry_run:
            if as_json:
                print_json(told)
            return
        result = run_planned(self.project, plan, workers=workers, scheduler=scheduler, resume=resume)
        audit = read_json(plan.output / self.audit)
        if as_json:
            print_json({**told, "audit": audit, "published": [str(p) for p in result.published]})
        else:
            typer.echo(audit_text(audit))
            typer.echo("\n".join(str(p) for p in result.published))


def _say(told: dict[str, Any], plan: str) -> None:
    first, last = told["years"]
    sys.stderr.write(f"{told['cells']} cells in {told['columns']} columns, {first}..{last}\n")
    if "experiments" in told:
        sys.stderr.write(
            f"{len(told['experiments'])} experiments of {told['climates']} climates under "
            f"{', '.join(told['scenarios'])}, to {told['last_year']}\n"
        )
    sys.stderr.write(plan)
    for note in told["notes"]:
        sys.stderr.write(f"  note: {note}\n")


def audit_text(audit: dict[str, Any]) -> str:
    """What the run says of itself: closure of the budgets, columns without permafrost, how the spin-up ended."""
    lines = []
    if closure := audit.get("closure"):
        lines.append("conservation, worst cell and year, relative:")
        lines += [f"  {name:9s} {value:.1e}" for name, value in closure.items()]
    for scenario, count in audit.get("without_permafrost", {}).items():
        lines.append(
            f"no permafrost in the reference year, so no frozen carbon, in {count} of {audit['columns']} columns "
            f"({scenario})"
        )
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
                f"  and up to {spun['newton_steps']} steps of Newton's method of 2 years; published are 3000 years"
            )
            lines.append(f"  Newton's method failed in {len(away)} columns, which ran plainly")
            lines += [f"    {place}" for place in away[:5]] + ["    ..."] * (len(away) > 5)
        lines.append(
            f"soil heat of the loop was periodic in {spun['loop_soil_still']} of {total} columns, after up to "
            f"{spun['loop_soil_years']} years"
        )
    return "\n".join(lines)
