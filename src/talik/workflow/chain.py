"""Chained files: what one step publishes into the output folder, another step of the same project may read."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talik.errors import ConfigError, InputError, TalikError

if TYPE_CHECKING:
    from talik.workflow.plan import Step
    from talik.workflow.project import Project

_SIGNS = "*?"
"""Of a pattern."""


@dataclass(frozen=True, slots=True)
class Made:
    """Where a published file comes from."""

    step: str
    unit: str

    def mark(self, key: str) -> str:
        """What stands for the file's bytes in a key before they are there; `key` is the step's."""
        return f"result of {self.step}-{key}: {self.unit}"


def published_by(steps: Iterable[Step], output: Path) -> dict[Path, Made]:
    """The step and unit that makes each published file, by its resolved path."""
    found: dict[Path, Made] = {}
    for step in steps:
        for unit, name in step.publish.items():
            found.setdefault((output / name).resolve(), Made(step.name, unit))
    return found


def chained_inputs(steps: Sequence[Step], output: Path) -> dict[str, dict[str, Made]]:
    """Of each step, by name, the inputs that a step of these publishes."""
    makers = published_by(steps, output)
    resolved: dict[Path, Path] = {}
    out: dict[str, dict[str, Made]] = {}
    for step in steps:
        held = out[step.name] = {}
        for name, path in step.inputs.items() if makers else ():
            if path not in resolved:
                resolved[path] = path.resolve()
            if (made := makers.get(resolved[path])) is not None:
                held[name] = made
    return out


@dataclass(frozen=True)
class Waiting:
    """Why a section cannot be planned yet, and the steps that make what it waits for."""

    error: TalikError
    makers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ready:
    """Steps of the sections that can be planned now, and of the others why they must wait."""

    sections: Mapping[str, tuple[Step, ...]]
    waiting: Mapping[str, Waiting]

    @property
    def steps(self) -> list[Step]:
        """The steps of all sections that can be planned."""
        return [step for steps in self.sections.values() for step in steps]

    def named(self, names: Sequence[str]) -> tuple[list[str], list[str]]:
        """Steps that names of sections and steps mean, and the sections of them that must wait.

        A name of both means the section: all steps of it. ConfigError for a name of neither.
        """
        known = [step.name for step in self.steps]
        steps: list[str] = []
        waiting: list[str] = []
        for name in names:
            if name in self.sections:
                steps += [step.name for step in self.sections[name]]
            elif name in known:
                steps.append(name)
            elif name in self.waiting:
                waiting.append(name)
            elif self.waiting:  # it may be a step of a section that waits
                waiting += self.waiting
            else:
                sections = list(self.sections)
                close = difflib.get_close_matches(name, [*sections, *known], n=1)
                hint = f" Did you mean {close[0]!r}?" if close else ""
                raise ConfigError(
                    f"--only {name}: the project has no such section or step.{hint} Sections: {', '.join(sections)}; "
                    f"steps: {', '.join(known)}."
                )
        return list(dict.fromkeys(steps)), list(dict.fromkeys(waiting))


def ready_sections(project: Project) -> Ready:
    """The steps of each section. One that must look into a file to be planned, which another makes, waits for it.

    Every other error of a section is raised.
    """
    made: dict[str, tuple[Step, ...]] = {}
    failed: dict[str, TalikError] = {}
    for name in project.sections:
        try:
            made[name] = tuple(project.steps_of(name))
        except TalikError as err:
            failed[name] = err
        except OSError as err:
            failed[name] = InputError(f"section {name}: {err}.")
    waiting: dict[str, Waiting] = {}
    makers = published_by([s for steps in made.values() for s in steps], project.output)
    for name in failed:
        lacking = {
            path: maker
            for text in _texts(project.sections[name].model_dump(mode="json"))
            for path, maker in _meant(project, text, makers)
            if not path.exists()
        }
        if lacking:
            waiting[name] = _not_yet(project, name, lacking)
    for name in [n for n in made if n not in waiting]:
        # a pattern would find some of its files and leave out what is not there yet
        own = {step.name for step in made[name]}
        lacking = {
            path: maker
            for text in _texts(project.sections[name].model_dump(mode="json"))
            if any(sign in text for sign in _SIGNS)
            for path, maker in _meant(project, text, makers)
            if maker.step not in own and not path.exists()
        }
        if lacking:
            del made[name]
            waiting[name] = _not_yet(project, name, lacking)
            failed[name] = waiting[name].error
    while later := _later(project, made, [*failed]):
        for name, why in later.items():
            del made[name]
            waiting[name] = why
        failed |= {name: why.error for name, why in later.items()}
    for name, error in failed.items():
        if name in waiting:
            continue
        # a section that waits may be what makes the file; if not, the error comes back when that one is done
        if not waiting or not _reads_output(project, name):
            raise error
        waiting[name] = Waiting(error)
    return Ready(made, waiting)


def _not_yet(project: Project, section: str, lacking: Mapping[Path, Made]) -> Waiting:
    names = ", ".join(_shown(path, project.output) for path in lacking)
    makers = tuple(dict.fromkeys(maker.step for maker in lacking.values()))
    error = InputError(
        f"section {section} cannot be planned yet: it looks into {names}, which step{'s' * (len(makers) > 1)} "
        f"{', '.join(makers)} of this project will make. `talik run` does that first by itself; before another "
        f"command, run `talik run PROJECT.yaml {' '.join(f'--only {step}' for step in makers)}`."
    )
    return Waiting(error, makers)


def _later(
    project: Project, made: Mapping[str, tuple[Step, ...]], others: Sequence[str]
) -> dict[str, Waiting]:
    """While others wait: sections that need their steps, or read a file in the output folder that nobody makes yet."""
    if not others:
        return {}
    steps = [s for held in made.values() for s in held]
    known, makers, output = {s.name for s in steps}, published_by(steps, project.output), project.output
    before = published_before(output)
    out: dict[str, Waiting] = {}
    for section, held in made.items():
        needed = [n for s in held for n in s.needs if n not in known]
        files = [
            path
            for s in held
            for path in s.inputs.values()
            if (where := path.resolve()).is_relative_to(output)
            and where not in makers
            and (where in before or not where.exists())
        ]
        if needed or files:
            what = f"step {needed[0]}" if needed else _shown(files[0], output)
            out[section] = Waiting(
                InputError(
                    f"section {section} waits for {what}, which is not planned yet, as {', '.join(others)} must wait."
                )
            )
    return out


def published_before(output: Path) -> set[Path]:
    """Files that the last run published."""
    from talik.workflow.manifest import read_manifest

    try:
        steps = read_manifest(output)["steps"]
    except TalikError:
        return set()
    return {(output / u["published"]).resolve() for s in steps for u in s["units"] if "published" in u}


def _reads_output(project: Project, section: str) -> bool:
    """Whether a section names something in the output folder."""
    texts = _texts(project.sections[section].model_dump(mode="json"))
    return any((path := _path(project, text)) and path.is_relative_to(project.output) for text in texts)


def _texts(value: Any) -> Iterator[str]:
    """Every text in JSON values, keys of mappings left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


def _path(project: Project, text: str) -> Path | None:
    """What a text of a section means as a path; None for what can be none."""
    if not text or "\n" in text or "\0" in text or len(text) > 1000:
        return None
    try:
        return project.resolve(text)
    except (TalikError, OSError):
        return None


def _meant(project: Project, text: str, makers: Mapping[Path, Made]) -> Iterator[tuple[Path, Made]]:
    """Published files that a text of a section names, as a path or a pattern."""
    if (path := _path(project, text)) is None:
        return
    for target, maker in makers.items():
        if target == path or (
            any(sign in path.name for sign in _SIGNS)
            and target.parent == path.parent
            and fnmatchcase(target.name, path.name)
        ):
            yield target, maker


def _shown(path: Path, output: Path) -> str:
    return f"{output.name}/{path.relative_to(output)}" if path.is_relative_to(output) else str(path)
