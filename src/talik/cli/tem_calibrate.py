"""`talik tem calibrate`: parameters of the process model from towers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from talik.files import read_json
from talik.workflow.conventions import (
    DryRunOption,
    JsonOption,
    ResumeOption,
    SchedulerOption,
    WorkersOption,
    bad_input_exits,
    plan_and_run,
    print_json,
)


def calibrate(
    project: Annotated[
        Path, typer.Argument(metavar="PROJECT.yaml", help="A project file with a section calibration.")
    ],
    sites: Annotated[
        list[str] | None,
        typer.Option("--sites", metavar="CODES", help="Towers to use, with commas between them."),
    ] = None,
    method: Annotated[
        Literal["gml", "laplace", "nuts"] | None,
        typer.Option("--method", help="What is said beside the best values."),
    ] = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    resume: ResumeOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Calibrate the process model on flux towers, a community at a time.

    All input is read and checked before anything runs. Writes calibrated.yaml, whose keys go into a section tem,
    calibration.json and calibration-months.csv into the output folder.
    """
    with bad_input_exits():
        from talik.errors import ConfigError
        from talik.tem.calibration.section import RESULT, check, files_of
        from talik.tem.calibration.settings import CalibrationSettings
        from talik.workflow.project import load_project

        loaded = load_project(project)
        settings = loaded.sections.get("calibration")
        if not isinstance(settings, CalibrationSettings):
            raise ConfigError(
                f"{project}: has no section calibration. Add one; see the guide on calibration."
            )
        codes = tuple(code.strip() for given in sites or () for code in given.split(",") if code.strip())
        asked: dict[str, Any] = {"sites": codes or None, "method": method}
        settings = settings.model_copy(update={k: v for k, v in asked.items() if v is not None})
        loaded = dataclasses.replace(loaded, sections={**loaded.sections, "calibration": settings})
        told = check(settings, {name: loaded.resolve(name) for name in files_of(settings)})
        result = plan_and_run(
            loaded,
            ["calibration"],
            workers=workers,
            scheduler=scheduler,
            resume=resume,
            dry_run=dry_run,
            as_json=as_json,
            check=lambda: (told, f"{checked_text(told)}\n"),
        )
        if result is None:
            return
        found = read_json(loaded.output / RESULT)
        if as_json:
            print_json({**told, "found": found, "published": [str(p) for p in result.published]})
        else:
            typer.echo(found_text(found))
            typer.echo("\n".join(str(p) for p in result.published))


def checked_text(told: dict[str, Any]) -> str:
    """What will be fitted to what, for a reader."""
    lines = [f"{', '.join(told['towers'])}: {', '.join(told['communities'])}"]
    lines += [f"  {name}: {count} months" for name, count in told["months"].items()]
    lines += [f"  left out: {count} of {reason}" for reason, count in told["left_out"].items()]
    lines += [f"  note: {note}" for note in told["notes"]]
    return "\n".join(lines)


def found_text(found: dict[str, Any]) -> str:
    """Values of the parameters and scores, for a reader."""
    lines = []
    for community, of in found.items():
        lines.append(community)
        for stage in of["stages"]:
            lines.append(f"  {stage['name']}: {stage['told']}")
            for name, value in stage["found"].items():
                side = {-1: ", at its lower limit", 1: ", at its upper limit"}.get(
                    stage["at_limit"][name], ""
                )
                lines.append(
                    f"    {name.split('.')[1]:10s} {stage['start'][name]:10.5g} -> {value:10.5g}{side}"
                )
        for row in of["scores"]:
            before, after = row["before"], row["after"]
            if after["r2"] is None:
                continue
            was = "-" if before["r2"] is None else f"{before['r2']:.2f}"
            lines.append(
                f"  {row['site_id']:8s} {row['variable']:10s} {row['use'].replace('_', ' '):12s} n {after['n']:3d}  R2 "
                f"{was} -> {after['r2']:.2f}  RMSE {before['rmse']:.3g} -> {after['rmse']:.3g}"
            )
    return "\n".join(lines)
