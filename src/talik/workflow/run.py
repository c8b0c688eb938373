"""Run a project: plan, check, execute step by step, publish, write the manifest."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from talik.errors import ConfigError
from talik.files import remove_stale_parts, whole_file
from talik.provenance import code_version, hash_file, now
from talik.workflow.chain import Ready, published_before, ready_sections
from talik.workflow.executor import Executor, Task, choose_executor
from talik.workflow.manifest import NAME, is_of_others, read_manifest, write_manifest
from talik.workflow.plan import Plan, PlannedStep, make_plan, read_input
from talik.workflow.project import Project
from talik.workflow.unit import (
    NOT_COMPLETE,
    Outcome,
    is_done,
    recorded_hash,
    recorded_hashes,
    remove_result,
    run_unit,
)

Listener = Callable[[Outcome], None]
"""Called for each unit as it ends."""


@dataclass(frozen=True)
class RunResult:
    """What a run did: an outcome for every unit, the published files, the manifest, and the plan that was run."""

    outcomes: tuple[Outcome, ...]
    published: tuple[Path, ...]
    manifest: Path
    plan: Plan

    @property
    def failed(self) -> list[Outcome]:
        """Units that failed, or could not run because a step before them failed."""
        return [o for o in self.outcomes if o.status == "failed"]


def plan_project(project: Project, only: Sequence[str] | None = None) -> Plan:
    """The plan of a project; `only` keeps these steps and what they need.

    A project without any approach is an error, as is a section that looks into a file which another section has not
    made yet (unless `only` leaves it out).
    """
    ready = ready_sections(project)
    if ready.waiting and not only:
        raise next(iter(ready.waiting.values())).error
    return plan_ready(project, ready, only)


def plan_ready(project: Project, ready: Ready, only: Sequence[str] | None = None) -> Plan:
    """The plan of the sections that can be planned now."""
    if not ready.steps and not ready.waiting:
        raise ConfigError(
            "the project file has no section that does anything; add one, for example `budget:`."
        )
    known = {step.name for step in ready.steps}
    if ready.waiting and not known.issuperset(only or ()):
        raise next(iter(ready.waiting.values())).error
    return make_plan(ready.steps, project.output, only)


def run_project(
    project: Project,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    resume: bool = False,
    only: Sequence[str] | None = None,
    listen: Listener = lambda _outcome: None,
) -> RunResult:
    """Plan a project and run the plan; see `run_plan`. `only` keeps these steps and what they need."""
    plan = plan_project(project, only)
    return run_plan(project, plan, workers=workers, scheduler=scheduler, resume=resume, listen=listen)


def run_plan(
    project: Project,
    plan: Plan,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    resume: bool = False,
    listen: Listener = lambda _outcome: None,
    tidied: bool = False,
) -> RunResult:
    """Run what is not there yet and return every outcome; a failed unit does not stop the others of its step.

    Finished units are always skipped: their files are named by the key of all they depend on. `resume` asks for
    the continuation of an earlier run of this very project and refuses to start a new one. `workers` and
    `scheduler` override the project file and change no result.

    The output folder agrees with the plan from the start: what is done is published, a copy of anything else goes
    (`tidied`: `tidy` has seen to that).
    Steps that need nothing of each other run side by side. Each step's results are published as soon as all of
    these have ended, so that later steps can read them.
    """
    if not tidied and tidy(project, plan, resume=resume):
        # what it looked into was of another run: its steps are made again from the right file, or it has to wait
        plan = plan_project(project, [p.step.name for p in plan.steps])
    run = project.base.run
    executor = choose_executor(run.workers if workers is None else workers, scheduler or run.scheduler)
    started = now()
    outcomes: list[Outcome] = []
    try:
        for together in plan.stages():
            failed = {o.step for o in outcomes if o.status == "failed"}
            outcomes += _run_stage(plan, together, executor, listen, failed)
            for planned in together:
                publish(plan, planned)
        published = tuple(plan.output / name for p in plan.steps for _, name in p.published)
    finally:
        executor.close()
        manifest = write_manifest(project, plan, outcomes, started)
    return RunResult(tuple(outcomes), published, manifest, plan)


def _run_stage(
    plan: Plan,
    together: Sequence[PlannedStep],
    executor: Executor,
    listen: Listener,
    failed_steps: set[str],
) -> list[Outcome]:
    """The outcomes of steps that need nothing of each other, step by step."""
    outcomes: dict[str, list[Outcome]] = {}
    started: dict[str, PlannedStep] = {}
    tasks: list[Task] = []
    for step in together:
        planned, known, units = _prepared(plan, step, failed_steps)
        outcomes[planned.step.name] = known
        for outcome in known:
            listen(outcome)
        if units:
            started[planned.step.name] = planned
            tasks += _tasks(plan, planned, units)
    for outcome in executor.run(tasks) if tasks else ():
        checked = _seen_here(started[outcome.step], outcome)
        listen(checked)
        outcomes[outcome.step].append(checked)
    for name, planned in started.items():
        if planned.changed_inputs:
            outcomes[name] = [_withdrawn(planned, o) for o in outcomes[name]]
    return [outcome for of_step in outcomes.values() for outcome in of_step]


def _prepared(
    plan: Plan, planned: PlannedStep, failed_steps: set[str]
) -> tuple[PlannedStep, list[Outcome], list[str]]:
    """A step with the state of all its inputs, the outcomes that are known before it runs, and the units to run."""
    step = planned.step
    if planned.folder.exists():
        remove_stale_parts(planned.folder)
    todo = set(planned.todo)
    outcomes = [Outcome(step.name, u, "cached", 0.0) for u in step.units if u not in todo]
    why = ""
    if todo:
        planned, why = _with_chained(plan, planned)
    if todo and (why := why or _obstacle(planned, failed_steps)):
        outcomes += [Outcome(step.name, u, "failed", 0.0, why) for u in step.units if u in todo]
        todo = set()
    return planned, outcomes, [u for u in step.units if u in todo]


def _tasks(plan: Plan, planned: PlannedStep, units: Sequence[str]) -> list[Task]:
    """The units of a step, ready to run."""
    step, needs, code = planned.step, plan.needs(planned), code_version()
    return [
        Task(step.name, u, partial(run_unit, step.work, step.name, u, planned.path(u), needs, code))
        for u in units
    ]


def _obstacle(planned: PlannedStep, failed_steps: set[str]) -> str:
    """Why a step cannot run; empty if it can."""
    broken = [n for n in planned.step.needs if n in failed_steps]
    if broken:
        return f"step {broken[0]} {NOT_COMPLETE}"
    if planned.changed_inputs:
        return f"input {planned.changed_inputs[0]} changed after the run was planned; run again"
    return ""


def _seen_here(planned: PlannedStep, outcome: Outcome) -> Outcome:
    """The outcome, or a failure if its result is not on this machine's file system."""
    path = planned.path(outcome.unit)
    if outcome.status == "failed" or is_done(path):
        return outcome
    return replace(
        outcome,
        status="failed",
        error=f"the worker wrote {path}, which is not there on this machine; workers must share its file system",
    )


def _withdrawn(planned: PlannedStep, outcome: Outcome) -> Outcome:
    """What a unit did under a key that no longer describes its inputs is taken back."""
    if outcome.status != "done":
        return outcome
    remove_result(planned.path(outcome.unit))
    why = f"input {planned.changed_inputs[0]} changed during the run; run again"
    return replace(outcome, status="failed", error=why)


def _with_chained(plan: Plan, planned: PlannedStep) -> tuple[PlannedStep, str]:
    """The step with the state of the inputs that other steps published, and why one cannot be read (or nothing).

    A published file that is not the recorded result, for somebody edited it, is published again, not believed.
    """
    states = {}
    for name, maker in planned.chained.items():
        source, target = plan[maker.step].path(maker.unit), planned.step.inputs[name]
        if not is_done(source):
            return planned, f"{maker.step}/{maker.unit}, which makes {name}, {NOT_COMPLETE}"
        publish_file(source, target)
        states[name] = read_input(target)
        if states[name].sha256 != recorded_hash(source):
            return planned, (
                f"{name} is a copy of {source}, whose bytes changed since it was made; remove that and run again"
            )
    return replace(planned, inputs={**planned.inputs, **states}), ""


def publish(plan: Plan, planned: PlannedStep) -> list[str]:
    """Copy a step's results that have a name in the output folder there, each whole or not at all.

    Where the step has no result, an earlier run's copy goes, so that nobody takes it for this one's. Returns the
    names of files that were written or removed.
    """
    changed = []
    for folder in {(plan.output / name).parent for name in planned.step.publish.values()}:
        remove_stale_parts(folder)
    for unit, name in planned.step.publish.items():
        source, target = planned.path(unit), plan.output / name
        if is_done(source):
            if publish_file(source, target):
                changed.append(name)
        elif target.exists():
            target.unlink()
            changed.append(name)
    return changed


def publish_file(source: Path, target: Path) -> bool:
    """Make `target` a copy of a result; False, and nothing is written, if it holds the recorded bytes already."""
    if target.is_file() and hash_file(target) == recorded_hash(source):
        return False
    with whole_file(target) as part:
        shutil.copyfile(source, part)
    return True


def tidy(project: Project, plan: Plan, *, resume: bool = False) -> bool:
    """Publish what is done and remove copies of what is not; whether the plan has to be made anew.

    A section may have looked into a published file to make its steps (a grid, a list of cells). If the file that it
    saw was of another run, so are its steps.

    ConfigError: nothing to resume, no room, or a file of somebody else lies where a result would be published.
    """
    if resume:
        _check_resumable(project, plan)
    plan.check_room()
    _check_own(plan)
    changed = {(plan.output / name).resolve() for p in plan.steps for name in publish(plan, p)}
    read = {p.step.inputs[name].resolve() for p in plan.steps for name in p.chained}
    return bool(changed & read)


def _check_own(plan: Plan) -> None:
    """Refuse to replace or remove a file that no run published: the output folder may be one with a user's files."""
    names = dict.fromkeys(name for p in plan.steps for name in p.step.publish.values())
    known = published_before(plan.output)
    unknown = [n for n in names if (plan.output / n).exists() and (plan.output / n).resolve() not in known]
    # the manifest may be of some steps only, or a run was killed before it wrote one
    made = set(recorded_hashes(plan.output / "work")) if unknown else set()
    foreign = [
        n for n in unknown if not (plan.output / n).is_file() or hash_file(plan.output / n) not in made
    ]
    if is_of_others(plan.output):
        foreign.append(NAME)
    if foreign:
        raise ConfigError(
            f"output {plan.output}: {', '.join(foreign)} {'lies' if len(foreign) == 1 else 'lie'} there already, and "
            "no run of talik is known to have made that. The run would write over it: move it away, or choose another "
            "output folder."
        )


def _check_resumable(project: Project, plan: Plan) -> None:
    if not any(p.folder.exists() for p in plan.steps):
        earlier = ""
        if (project.output / NAME).exists():
            made = read_manifest(project.output)["project"]["key"]
            same = (
                "the code or an input file changed" if made == project.key() else "the project file changed"
            )
            earlier = f" An earlier run there was of something else: {same}."
        raise ConfigError(
            f"--resume: {project.output} holds no run of this project to continue.{earlier} "
            "Leave --resume out to start one; finished units are skipped either way."
        )
