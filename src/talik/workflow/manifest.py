"""The manifest of a run: what was made, from what, by which code, so that every result can be traced and checked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from talik.errors import InputError
from talik.files import write_text
from talik.provenance import code_version, describe, hash_file
from talik.workflow.plan import Plan
from talik.workflow.project import Project
from talik.workflow.unit import Outcome
from talik.yamlio import read_text

NAME = "manifest.json"
FORMAT = "talik-manifest-1"
_PACKAGES = ("numpy", "scipy", "xarray", "dask", "pyproj", "shapely", "netCDF4", "matplotlib")


def write_manifest(project: Project, plan: Plan, outcomes: Sequence[Outcome]) -> Path:
    """Write ``manifest.json`` into the output folder, atomically. Equal runs differ in times only."""
    by_unit = {(o.step, o.unit): o for o in outcomes}
    steps = []
    for p in plan.steps:
        units = []
        for unit in p.step.units:
            path = p.path(unit)
            entry: dict[str, Any] = {"unit": unit, "status": _status(by_unit.get((p.step.name, unit)), path)}
            if path.exists():
                entry |= {"path": path.relative_to(plan.output).as_posix(), "sha256": hash_file(path)}
            elif (outcome := by_unit.get((p.step.name, unit))) is not None:
                entry["error"] = outcome.error
            units.append(entry)
        steps.append(
            {
                "step": p.step.name,
                "key": p.key,
                "needs": list(p.step.needs),
                "config": dict(p.step.config),
                "inputs": {
                    name: {"path": str(path), "sha256": p.input_hashes[name], "bytes": path.stat().st_size}
                    for name, path in p.step.inputs.items()
                },
                "units": units,
            }
        )
    made_by = describe({}, project.key())
    content = {
        "format": FORMAT,
        "project": {"name": project.base.name, "title": project.base.title, "key": project.key()},
        "config": project.answer(),
        "code": code_version(),
        "python": made_by["python"],
        "platform": made_by["platform"],
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "written": made_by["created"],
        "steps": steps,
    }
    return write_text(plan.output / NAME, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_manifest(output: Path) -> dict[str, Any]:
    """The manifest of an output folder."""
    path = output / NAME
    try:
        content = json.loads(read_text(path))
    except json.JSONDecodeError as err:
        raise InputError(
            f"{path}: not readable as JSON ({err}). Run the project again to write a new one."
        ) from err
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path}: is not a manifest of this version ({FORMAT}).")
    return content


def verify(output: Path) -> list[str]:
    """Results that are missing or whose bytes changed since the manifest was written (empty: all as written)."""
    wrong = []
    for step in read_manifest(output)["steps"]:
        for unit in step["units"]:
            if "path" not in unit:
                continue
            path = output / unit["path"]
            if not path.is_file():
                wrong.append(f"{unit['path']}: is missing")
            elif hash_file(path) != unit["sha256"]:
                wrong.append(f"{unit['path']}: its bytes changed since the run")
    return wrong


def _status(outcome: Outcome | None, path: Path) -> str:
    if outcome is not None:
        return outcome.status
    return "cached" if path.exists() else "not run"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
