"""From what a user names (project file, posts file, result) to a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from talik.budget.compute import compute
from talik.budget.result import provenance, read_result
from talik.budget.settings import BudgetSettings
from talik.errors import ConfigError, InputError
from talik.report.page import write_report
from talik.workflow import Project, load_project
from talik.yamlio import load_yaml

Kind = Literal["project", "posts", "result"]


def source_kind(path: Path) -> Kind:
    """What a file is, by its ending and, for YAML, its top-level keys."""
    suffix = path.suffix.lower()
    if not path.is_file():
        raise InputError(f"{path}: no such file. Give a project file, a posts file, or a result (.json).")
    if suffix == ".json":
        return "result"
    if suffix == ".csv":
        return "posts"
    if suffix in (".yaml", ".yml"):
        data = load_yaml(path)
        keys: Any = data if isinstance(data, dict) else {}
        if "talik" in keys:
            return "project"
        if "posts" in keys:
            return "posts"
        raise ConfigError(f"{path}: neither a project file (key 'talik') nor a posts file (key 'posts').")
    raise ConfigError(f"{path}: expected .yaml, .csv or .json.")


def page_from_file(path: Path, out: Path) -> list[Path]:
    """The page of a result or a posts file, with figures in a folder beside it."""
    if source_kind(path) == "result":
        budget, made_by = read_result(path)
    else:
        settings = BudgetSettings(posts=str(path))
        budget, made_by = compute(path, settings), provenance(path, settings)
    return write_report(budget, out, provenance=made_by, figures=out.with_name(f"{out.stem}-figures"))


def report_project(path: Path) -> Project:
    """A project that makes a report: the file's own, which must have the section `report`."""
    project = load_project(path)
    if "report" not in project.sections:
        raise ConfigError(f"{path}: has no section `report:`. Add one (it may be empty) to get a page.")
    return project
