"""All of a project, in turns: sections that look into files of others are planned when these files are there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from talik.errors import ConfigError
from talik.workflow.chain import Ready, ready_sections
from talik.workflow.plan import Plan
from talik.workflow.project import Project
from talik.workflow.run import Listener, RunResult, plan_ready, run_plan, tidy
from talik.workflow.unit import Outcome

Announce = Callable[[Plan, tuple[str, ...]], None]
"""Told of the plan of a turn, and of the sections that wait for what it makes."""
Progress = Callable[[Plan], AbstractContextManager[Listener]]
"""Makes what listens to the outcomes of a plan."""


@dataclass(frozen=True)
class WholeRun:
    """What all turns did: the outcome of every unit, the last turn, and sections that could not be planned because what
    they look into was not made."""

    outcomes: tuple[Outcome, ...]
    last: RunResult
    waiting: tuple[str, ...]

    @property
    def failed(self) -> list[Outcome]:
        """Units that failed, or could not run because a step before them failed."""
        return self.last.failed


def plan_turn(project: Project, only: Sequence[str] | None = None) -> tuple[Plan, tuple[str, ...]]:
    """The plan of what can be planned now, and the sections that wait for it.

    ConfigError of the first section that waits if nothing can be planned.
    """
    ready = ready_sections(project)
    steps, waiting = chosen(ready, only)
    if waiting and not ready.steps:
        raise ready.waiting[waiting[0]].error
    return plan_ready(project, ready, steps), waiting


def run_whole(
    project: Project,
    *,
    only: Sequence[str] | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    resume: bool = False,
    announce: Announce = lambda _plan, _waiting: None,
    progress: Progress = lambda _plan: nullcontext(lambda _outcome: None),
) -> WholeRun:
    """Run every section of a project, or what `only` names (sections, steps) with all it needs; see `run_plan`.

    Raises:
        ConfigError: a section waits for a file that a finished turn was to make.
    """
    outcomes: dict[tuple[str, str], Outcome] = {}
    waited: tuple[str, ...] = ()
    while True:
        plan, waiting = plan_turn(project, only)
        if tidy(project, plan, resume=resume):
            plan, waiting = plan_turn(project, only)
        if waiting and waiting == waited:
            raise ready_sections(project).waiting[waiting[0]].error
        announce(plan, waiting)
        with progress(plan) as listen:
            result = run_plan(project, plan, workers=workers, scheduler=scheduler, listen=listen, tidied=True)
        for outcome in result.outcomes:  # what an earlier turn made is not cached, but done by this run
            if outcome.status != "cached" or (outcome.step, outcome.unit) not in outcomes:
                outcomes[outcome.step, outcome.unit] = outcome
        if not waiting or result.failed:
            return WholeRun(tuple(outcomes.values()), result, waiting)
        waited = waiting


def chosen(ready: Ready, only: Sequence[str] | None) -> tuple[list[str] | None, tuple[str, ...]]:
    """Steps to run now (None: all), and sections that come after them, when the files that they look into are there."""
    if not only:
        return None, tuple(ready.waiting)
    steps, waiting = ready.named(only)
    if waiting:
        steps += [name for why in ready.waiting.values() for name in why.makers]
    if not steps and not waiting:
        raise ConfigError(
            f"--only {' '.join(only)}: has no steps. Name a section or step that does something."
        )
    return list(dict.fromkeys(steps)), tuple(waiting)
