"""What commands of the process model read and check before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from talik.tem.settings import Files, TemSettings
    from talik.workflow.project import Project


def tem_project(path: Path) -> tuple[Project, TemSettings, Files]:
    """A project file with a section `tem`, the section, and its files; ConfigError if it has none."""
    from talik.errors import ConfigError
    from talik.tem.section import files_of
    from talik.tem.settings import TemSettings
    from talik.workflow.project import load_project

    project = load_project(path)
    settings = project.sections.get("tem")
    if not isinstance(settings, TemSettings):
        raise ConfigError(f"{path}: has no section tem. Add one; see the guide on the process model.")
    return project, settings, files_of(project, settings)


def checked_input(settings: TemSettings, files: Files, step: str) -> dict[str, Any]:
    """What a step runs on; errors of all its input come now, not in the middle of the run."""
    from talik.tem.factorial.check import check_experiments
    from talik.tem.inputs import check_run, read_columns
    from talik.tem.permafrost.setup import stock_of
    from talik.tem.run import check_reference_year, open_restart

    columns = read_columns(settings, files.paths("land"))
    climate = check_run(settings, files, columns)
    held = None
    if files.restart is not None:
        held = open_restart(Path(files.restart), columns, climate)
    notes = list(climate.notes)
    if step == "tem":
        notes += check_reference_year(settings, climate, held)
        if settings.permafrost is not None:
            soil_carbon = files.paths("soil_carbon")
            notes += stock_of(columns, settings.permafrost, soil_carbon).notes
    told: dict[str, Any] = {
        "cells": int(columns.lat.size),
        "columns": int(columns.cell.size),
        "years": [climate.years[0], climate.years[-1]],
    }
    if step == "tem-factorial":
        told |= check_experiments(settings, files, columns)
        notes += told["notes"]
    return {**told, "notes": list(dict.fromkeys(notes))}
