"""The manifest of a run: what was made, from what, by which code, so that every result can be traced and checked."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from talik.errors import InputError
from talik.files import write_text
from talik.provenance import code_version, describe, hash_file
from talik.workflow.plan import RESERVED, Plan, PlannedStep
from talik.workflow.project import Project
from talik.workflow.unit import Outcome, is_done, recorded_hash
from talik.yamlio import read_text

NAME = RESERVED
FORMAT = "talik-manifest-1"
_PACKAGES = ("jax", "numpy", "scipy", "xarray", "dask", "pyproj", "shapely", "netCDF4", "matplotlib")


def write_manifest(project: Project, plan: Plan, outcomes: Sequence[Outcome], started: dt.datetime) -> Path:
    """Write ``manifest.json`` into the output folder, atomically.

    Equal runs differ in ``started``, ``ended`` and the units' ``seconds`` only; a unit that was there already is as
    done as the others, without ``seconds``. An input that a step of the run publishes says which one. The hash of a
    result is the one taken when it was made, so a result that changed since does not pass `verify` after another run.
    """
    by_unit = {(o.step, o.unit): o for o in outcomes}
    made_by = describe({}, project.key())
    content = {
        "format": FORMAT,
        "project": {"name": project.base.name, "title": project.base.title, "key": project.key()},
        "config": project.answer(),
        "code": code_version(),
        "python": made_by["python"],
        "platform": made_by["platform"],
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "started": started.isoformat(),
        "ended": made_by["created"],
        "steps": [
            {
                "step": p.step.name,
                "key": p.key,
                "needs": list(p.step.needs),
                "config": dict(p.step.config),
                "inputs": {name: _input(plan, p, name) for name in p.step.inputs},
                "units": [_unit(plan, p, u, by_unit.get((p.step.name, u))) for u in p.step.units],
            }
            for p in plan.steps
        ],
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


def is_of_others(output: Path) -> bool:
    """Whether the file where the manifest goes is a JSON file of something else, such as that of a web page."""
    try:
        content = json.loads((output / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none, or one that is broken
        return False
    of = content.get("format") if isinstance(content, dict) else None
    return not str(of).startswith(FORMAT.rstrip("0123456789"))


def verify(output: Path) -> list[str]:
    """Results that are missing or whose bytes changed since they were made (empty: all as they were).

    Looks at the results under ``work`` and at their published copies.
    """
    wrong = []
    for step in read_manifest(output)["steps"]:
        for unit in step["units"]:
            for name in (unit.get("path"), unit.get("published")):
                if name is None or "sha256" not in unit:
                    continue
                if not (output / name).is_file():
                    wrong.append(f"{name}: is missing")
                elif hash_file(output / name) != unit["sha256"]:
                    wrong.append(f"{name}: its bytes changed since it was made")
    return wrong


def _input(plan: Plan, planned: PlannedStep, name: str) -> dict[str, Any]:
    told: dict[str, Any] = {"path": str(planned.step.inputs[name])}
    if (maker := planned.chained.get(name)) is None:
        return {**told, "sha256": planned.inputs[name].sha256, "bytes": planned.inputs[name].bytes}
    told["made_by"] = {"step": maker.step, "unit": maker.unit}
    source = plan[maker.step].path(maker.unit)
    return (
        {**told, "sha256": recorded_hash(source), "bytes": source.stat().st_size} if is_done(source) else told
    )


def _unit(plan: Plan, planned: PlannedStep, unit: str, outcome: Outcome | None) -> dict[str, Any]:
    path = planned.path(unit)
    there = is_done(path)
    status = "done" if there else outcome.status if outcome else "not run"
    entry: dict[str, Any] = {"unit": unit, "status": status}
    if outcome and outcome.status != "cached":
        entry["seconds"] = round(outcome.seconds, 3)
    if there:
        entry |= {"path": path.relative_to(plan.output).as_posix(), "sha256": recorded_hash(path)}
        if (name := planned.step.publish.get(unit)) and (plan.output / name).is_file():
            entry["published"] = name
    elif outcome:
        entry["error"] = outcome.error
    return entry


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
