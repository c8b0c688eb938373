"""The plan: every step and unit, its key, what is already there and what the rest will cost, before anything runs."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from talik.errors import ConfigError, InputError
from talik.provenance import code_version, hash_file
from talik.workflow.unit import Work, is_done

RESERVED = "manifest.json"
"""Name of the manifest in the output folder; no result can be published under it."""
_UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+=-]*")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one unit is expected to take; None where nobody knows."""

    seconds: float | None = None
    memory_bytes: float | None = None
    disk_bytes: float | None = None


@dataclass(frozen=True, kw_only=True)
class Step:
    """A named step: units of equal work, independent of each other.

    `config` (JSON values) and the bytes of `inputs` are everything besides the code that changes the result;
    `needs` are steps whose results the work reads. `publish` maps units to file names in the output folder.
    `work` must be importable by name (a module-level function, or functools.partial of one).
    """

    name: str
    units: tuple[str, ...]
    work: Work
    config: Mapping[str, Any]
    inputs: Mapping[str, Path] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    suffix: str = ""
    publish: Mapping[str, str] = field(default_factory=dict)
    cost: Cost = Cost()

    def __post_init__(self) -> None:
        for name in (self.name, *self.units):
            if not _UNIT.fullmatch(name):
                raise ConfigError(f"step or unit name {name!r}: use letters, digits and _ . + = - only.")
        if len(set(self.units)) != len(self.units):
            raise ConfigError(f"step {self.name!r}: two units have the same name.")


@dataclass(frozen=True, slots=True)
class InputState:
    """An input file as the plan saw it."""

    sha256: str
    bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class PlannedStep:
    """A step with its key (configuration, code, input bytes, needed steps) and the folder that the key names."""

    step: Step
    key: str
    folder: Path
    inputs: Mapping[str, InputState]

    def path(self, unit: str) -> Path:
        """Where the result of a unit stands."""
        return self.folder / f"{unit}{self.step.suffix}"

    @property
    def todo(self) -> list[str]:
        """Units whose result is not there yet."""
        return [u for u in self.step.units if not is_done(self.path(u))]

    @property
    def changed_inputs(self) -> list[str]:
        """Names of inputs that are not what they were when the plan was made (by size and time)."""
        return [
            n
            for n, path in self.step.inputs.items()
            if _stat(path) != (self.inputs[n].bytes, self.inputs[n].mtime_ns)
        ]


@dataclass(frozen=True)
class Plan:
    """Steps in the order they run, each with its key; nothing has been run or written."""

    steps: tuple[PlannedStep, ...]
    output: Path

    def __getitem__(self, name: str) -> PlannedStep:
        return next(s for s in self.steps if s.step.name == name)

    def needs(self, planned: PlannedStep) -> dict[str, dict[str, Path]]:
        """Result files of the steps that `planned` builds on."""
        return {n: {u: self[n].path(u) for u in self[n].step.units} for n in planned.step.needs}

    def rows(self) -> list[dict[str, Any]]:
        """One row a step: units, cached, to do, and expected seconds and bytes of what is to do (None: unknown)."""
        rows = []
        for p in self.steps:
            todo, cost = len(p.todo), p.step.cost
            rows.append(
                {
                    "step": p.step.name,
                    "key": p.key,
                    "units": len(p.step.units),
                    "cached": len(p.step.units) - todo,
                    "todo": todo,
                    "seconds": None if cost.seconds is None else todo * cost.seconds,
                    "memory_bytes": cost.memory_bytes,
                    "disk_bytes": None if cost.disk_bytes is None else todo * cost.disk_bytes,
                }
            )
        return rows

    def check_room(self) -> None:
        """Refuse a plan whose results cannot be written to its folder or do not fit on the disk."""
        existing = self.output
        while not existing.exists():
            existing = existing.parent
        if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
            what = "is not a folder" if not existing.is_dir() else "cannot be written to"
            raise ConfigError(f"output {self.output}: {existing} {what}. Choose another output folder.")
        needed = sum(row["disk_bytes"] or 0.0 for row in self.rows())
        free = shutil.disk_usage(existing).free
        if needed > free:
            raise ConfigError(
                f"{self.output}: the run needs {needed / 1e6:,.1f} MB, {free / 1e6:,.1f} MB are free. "
                "Choose another output folder."
            )


def make_plan(steps: Sequence[Step], output: Path, only: Sequence[str] | None = None) -> Plan:
    """Order the steps, hash their inputs, and say what there is to do; `only` keeps these and what they need.

    Raises ConfigError for unknown or circular needs and InputError for missing input files, all of them at once.
    """
    by_name = {s.name: s for s in steps}
    if len(by_name) != len(steps):
        raise ConfigError("two steps have the same name.")
    wanted = list(only) if only else list(by_name)
    ordered: list[Step] = []

    def visit(name: str, trail: tuple[str, ...]) -> None:
        if name in trail:
            raise ConfigError(f"steps need each other in a circle: {' -> '.join((*trail, name))}.")
        if name not in by_name:
            raise ConfigError(f"step {name!r} does not exist; the steps are: {', '.join(by_name)}.")
        if by_name[name] in ordered:
            return
        for needed in by_name[name].needs:
            visit(needed, (*trail, name))
        ordered.append(by_name[name])

    for name in wanted:
        visit(name, ())
    _check_inputs(ordered)
    _check_published(ordered)
    planned: dict[str, PlannedStep] = {}
    seen: dict[Path, InputState] = {}
    for step in ordered:
        for path in step.inputs.values():
            if path not in seen:
                seen[path] = _read_input(path)
        inputs = {name: seen[path] for name, path in step.inputs.items()}
        hashes = {name: state.sha256 for name, state in inputs.items()}
        key = step_key(step, hashes, [planned[n].key for n in step.needs])
        planned[step.name] = PlannedStep(step, key, output / "work" / f"{step.name}-{key}", inputs)
    return Plan(tuple(planned.values()), output)


def step_key(step: Step, input_hashes: Mapping[str, str], needed_keys: Sequence[str]) -> str:
    """Hash of everything that changes a step's results: configuration, code, input bytes, steps before it."""
    content = {
        "step": step.name,
        "config": step.config,
        "code": code_version(),
        "inputs": dict(sorted(input_hashes.items())),
        "needs": list(needed_keys),
    }
    try:
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as err:
        raise ConfigError(f"step {step.name!r}: its configuration is not plain JSON ({err}).") from err
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _read_input(path: Path) -> InputState:
    """Hash a file; its size and time are taken before, so that a change from then on is seen."""
    try:
        before = path.stat()
        return InputState(hash_file(path), before.st_size, before.st_mtime_ns)
    except OSError as err:
        raise InputError(f"input file {path} cannot be read: {err.strerror}.") from err


def _stat(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _check_published(steps: Sequence[Step]) -> None:
    owners = {RESERVED: "the manifest"}
    for step in steps:
        for unit, name in step.publish.items():
            parts = PurePosixPath(name).parts
            if unit not in step.units or not parts or parts[0] in ("/", "work") or ".." in parts:
                raise ConfigError(
                    f"step {step.name!r} publishes {unit!r} as {name!r}; expected one of its units and a path inside "
                    "the output folder, outside work/."
                )
            if (place := "/".join(parts)) in owners:
                raise ConfigError(f"step {step.name!r} publishes {name!r}, which belongs to {owners[place]}.")
            owners[place] = f"step {step.name!r}"


def _check_inputs(steps: Sequence[Step]) -> None:
    missing = [
        f"{s.name}: {name} = {path}" for s in steps for name, path in s.inputs.items() if not path.is_file()
    ]
    if missing:
        lines = "\n".join(f"  - {m}" for m in missing)
        raise InputError(
            f"{len(missing)} input file{'s' * (len(missing) > 1)} of the plan not found:\n{lines}\n"
            "Correct the paths in the project file (they are relative to it; an input is a file, no folder)."
        )
