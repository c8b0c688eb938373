"""`talik tem forcing`: climate and land for the process model over the permafrost region."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

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


def forcing(
    project: Annotated[
        Path, typer.Argument(metavar="PROJECT.yaml", help="A project file with a section forcing.")
    ],
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    resume: ResumeOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make monthly climate and land files for `talik tem run` from a climatology, patterns and global warming.

    All input is read and checked before anything is written. Writes land.nc, climate-historical.nc, a climate file for
    each scenario and forcing.json into the output folder.
    """
    with bad_input_exits():
        from talik.errors import ConfigError
        from talik.forcing.section import AUDIT, check, files_of
        from talik.forcing.settings import ForcingSettings
        from talik.workflow.project import load_project

        loaded = load_project(project)
        settings = loaded.sections.get("forcing")
        if not isinstance(settings, ForcingSettings):
            raise ConfigError(f"{project}: has no section forcing. Add one; see the guide on forcing.")

        def checked() -> tuple[dict[str, Any], str]:
            told = check(settings, {name: loaded.resolve(name) for name in files_of(settings)})
            return told, f"{checked_text(told)}\n"

        result = plan_and_run(
            loaded,
            ["forcing"],
            workers=workers,
            scheduler=scheduler,
            resume=resume,
            dry_run=dry_run,
            as_json=as_json,
            check=checked,
        )
        if result is None:
            return
        if as_json:
            audit = read_json(loaded.output / AUDIT)
            print_json({**audit, "published": [str(p) for p in result.published]})
        else:
            typer.echo("\n".join(str(p) for p in result.published))


def checked_text(told: dict[str, Any]) -> str:
    """What the forcing will hold, for a reader: cells, areas, warming at the end of each scenario, notes."""
    cells = told["cells"]
    lines = [
        f"{cells['kept']} of {cells['candidates']} permafrost cells, {cells['land_million_km2']:.2f} million km2 of "
        f"land, {cells['permafrost_million_km2']:.2f} of it permafrost"
    ]
    for name, (first, last) in told["years"].items():
        lines.append(f"{name} {first}..{last}: {told['warming_k'][name]:+.2f} K in {last}")
    lines += [f"  note: {note}" for note in told["notes"]]
    return "\n".join(lines)
