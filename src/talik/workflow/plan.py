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
from talik.workflow.chain import Made, chained_inputs
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


def seconds_to_read(path: Path) -> float:
    """Expected for a unit that opens a flux dataset (a file or a zarr store), brings it to months and sums it."""
    files = [path] if path.is_file() else path.rglob("*")
    return 2.0 + 5e-8 * sum(one.stat().st_size for one in files if one.is_file())


@dataclass(frozen=True, kw_only=True)
class Step:
    """A named step: units of equal work, independent of each other.

    `config` (JSON values) and the bytes of `inputs` are everything besides the code that changes the result;
    `needs` are steps whose results the work reads. `publish` maps units to file names in the output folder. An input
    that another step publishes makes this step run after that one.
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
    """A step with its key (configuration, code, input bytes, needed steps) and the folder that the key names.

    `chained` are the inputs that another step of the plan publishes. Their state is not in `inputs` before that step
    is done.
    """

    step: Step
    key: str
    folder: Path
    inputs: Mapping[str, InputState]
    chained: Mapping[str, Made] = field(default_factory=dict)

    def path(self, unit: str) -> Path:
        """Where the result of a unit stands."""
        return self.folder / f"{unit}{self.step.suffix}"

    @property
    def todo(self) -> list[str]:
        """Units whose result is not there yet."""
        return [u for u in self.step.units if not is_done(self.path(u))]

    @property
    def published(self) -> list[tuple[str, str]]:
        """Units that are done and have a name in the output folder, each with it."""
        return [(unit, name) for unit, name in self.step.publish.items() if is_done(self.path(unit))]

    @property
    def changed_inputs(self) -> list[str]:
        """Names of inputs that are not what they were when they were hashed (by size and time)."""
        return [n for n, seen in self.inputs.items() if not self._is_still(n, seen)]

    def _is_still(self, name: str, seen: InputState) -> bool:
        path = self.step.inputs[name]
        if (now := _stat(path)) == (seen.bytes, seen.mtime_ns):
            return True
        # another run of the same project may have published the same bytes again
        return name in self.chained and now is not None and read_input(path).sha256 == seen.sha256


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

    def stages(self) -> list[list[PlannedStep]]:
        """The steps in groups, one after the other, each of steps that need nothing of each other."""
        stage: dict[str, int] = {}
        out: list[list[PlannedStep]] = []
        for planned in self.steps:
            before = {*planned.step.needs, *(maker.step for maker in planned.chained.values())}
            at = max((stage[name] + 1 for name in before), default=0)
            stage[planned.step.name] = at
            out += [[] for _ in range(at + 1 - len(out))]
            out[at].append(planned)
        return out

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

    def total(self) -> dict[str, Any]:
        """The sum of `rows`: seconds and bytes of what is to do where they are known, memory of the largest unit."""
        rows = self.rows()
        left = [row for row in rows if row["todo"]]
        return {
            "steps": len(rows),
            **{name: sum(row[name] for row in rows) for name in ("units", "cached", "todo")},
            "seconds": sum(row["seconds"] or 0.0 for row in left),
            "steps_of_unknown_time": sum(row["seconds"] is None for row in left),
            "memory_bytes": max((row["memory_bytes"] or 0.0 for row in left), default=0.0),
            "disk_bytes": sum(row["disk_bytes"] or 0.0 for row in left),
        }

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

    An input that one of the steps publishes into `output` is a need: its maker comes before, and the key builds on the
    maker's key, never on the bytes that happen to lie there.

    Raises ConfigError for unknown or circular needs and InputError for missing input files, all of them at once.
    """
    by_name = {s.name: s for s in steps}
    if len(by_name) != len(steps):
        raise ConfigError("two steps have the same name.")
    wanted = list(only) if only else list(by_name)
    chained = chained_inputs(steps, output)
    ordered: list[Step] = []

    def visit(name: str, trail: tuple[str, ...]) -> None:
        if name in trail:
            raise ConfigError(f"steps need each other in a circle: {' -> '.join((*trail, name))}.")
        if name not in by_name:
            raise ConfigError(f"step {name!r} does not exist; the steps are: {', '.join(by_name)}.")
        if by_name[name] in ordered:
            return
        made = dict.fromkeys(maker.step for maker in chained[name].values())
        for needed in dict.fromkeys((*by_name[name].needs, *made)):
            visit(needed, (*trail, name))
        ordered.append(by_name[name])

    for name in wanted:
        visit(name, ())
    _check_inputs(ordered, chained, output)
    _check_published(ordered)
    planned: dict[str, PlannedStep] = {}
    seen: dict[Path, InputState] = {}
    for step in ordered:
        made = chained[step.name]
        files = {name: path for name, path in step.inputs.items() if name not in made}
        for path in files.values():
            if path not in seen:
                seen[path] = read_input(path)
        inputs = {name: seen[path] for name, path in files.items()}
        marks = {name: state.sha256 for name, state in inputs.items()}
        marks |= {name: maker.mark(planned[maker.step].key) for name, maker in made.items()}
        # a step reads every unit of those it needs: another number of members is another result
        key = step_key(step, marks, [" ".join((planned[n].key, *planned[n].step.units)) for n in step.needs])
        planned[step.name] = PlannedStep(step, key, output / "work" / f"{step.name}-{key}", inputs, made)
    return Plan(tuple(planned.values()), output)


def step_key(step: Step, input_hashes: Mapping[str, str], needed_keys: Sequence[str]) -> str:
    """Hash of everything that changes a step's results: configuration, code, input bytes, steps before it.

    `input_hashes` holds the hash of each input, or of one that a step makes the mark of that (`Made.mark`);
    `needed_keys` the key of each needed step with its units.
    """
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


def read_input(path: Path) -> InputState:
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


def _check_inputs(steps: Sequence[Step], chained: Mapping[str, Mapping[str, Made]], output: Path) -> None:
    def told(path: Path) -> str:
        inside = path.resolve().is_relative_to(output.resolve())
        return " (in the output folder, where no step of this project publishes it)" if inside else ""

    missing = [
        f"{s.name}: {name} = {path}{told(path)}"
        for s in steps
        for name, path in s.inputs.items()
        if name not in chained[s.name] and not path.is_file()
    ]
    if missing:
        lines = "\n".join(f"  - {m}" for m in missing)
        raise InputError(
            f"{len(missing)} input file{'s' * (len(missing) > 1)} of the plan not found:\n{lines}\n"
            "Correct the paths in the project file (they are relative to it; an input is a file, no folder)."
        )
