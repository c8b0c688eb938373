"""An approach of chained files for the workflow tests: each link reads files and publishes two."""

from __future__ import annotations

import hashlib
import os
import signal
from functools import partial
from pathlib import Path

from talik.config import Frozen
from talik.errors import InputError
from talik.workflow import Job, Section, Step


class Link(Frozen):
    """A step that reads files."""

    reads: tuple[str, ...] = ()
    word: str = ""
    units: int = 2
    bad: tuple[str, ...] = ()
    """Units that fail."""
    peek: bool = False
    """Open the files to make the steps: a unit for each of their lines."""


class RelayOptions(Frozen):
    """Settings of the relay."""

    links: dict[str, Link] = {}  # noqa: RUF012  (pydantic copies defaults)


def steps(project, options: RelayOptions) -> list[Step]:
    return [_step(project, name, link) for name, link in options.links.items()]


def _step(project, name: str, link: Link) -> Step:
    found = [path for text in link.reads for path in project.matching(text, "relay")]
    names = {project.resolve(text): text for text in link.reads}
    files = {names.get(path, str(path)): path for path in found}
    count = link.units
    if link.peek:
        if lost := [text for text, path in files.items() if not path.is_file()]:
            raise InputError(f"{lost[0]}: no such file.")
        count = sum(len(path.read_text().splitlines()) for path in files.values())
    units = tuple(f"u{i}" for i in range(count))
    return Step(
        name=f"relay-{name}",
        units=units,
        work=partial(hand_on, word=link.word, paths=tuple(files.values()), bad=link.bad),
        config=link.model_dump(mode="json", exclude={"bad"}),
        inputs=files,
        suffix=".txt",
        publish={unit: f"{name}/{unit}.txt" for unit in units},
    )


def hand_on(job: Job, word: str, paths: tuple[Path, ...], bad: tuple[str, ...] = ()) -> None:
    """Two lines: the word, and the hash of all that was read."""
    if job.unit in bad:
        raise ValueError("bad unit")
    read = hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
    job.out.write_text(f"{job.unit} {word}\n{read}\n")


SECTION = Section("relay", RelayOptions, steps)


def _second(project, options: RelayOptions) -> list[Step]:
    return [_step(project, f"more-{name}", link) for name, link in options.links.items()]


MORE = Section("more", RelayOptions, _second)
"""The same again as another section."""


def _die_at(when: str, name: str) -> None:
    """Kill this process when a step has ended: before its results are published, or after."""
    from talik.workflow import run

    run_stage, publish, ended = run._run_stage, run.publish, []

    def stage_then_die(plan, together, *others):
        outcomes = run_stage(plan, together, *others)
        ended.extend(planned.step.name for planned in together)
        if when == "before" and name in ended:
            os.kill(os.getpid(), signal.SIGKILL)
        return outcomes

    def publish_then_die(plan, planned):
        changed = publish(plan, planned)
        if when == "after" and name in ended and planned.step.name == name:
            os.kill(os.getpid(), signal.SIGKILL)
        return changed

    run._run_stage, run.publish = stage_then_die, publish_then_die


if at := os.environ.get("TOY_DIE_AT"):
    _die_at(*at.split(":"))
