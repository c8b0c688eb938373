"""What `talik check` says of a project file: its sections, every file that they read, the plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talik.cli.check_file import examined
from talik.errors import TalikError
from talik.sources.doctor import Examination
from talik.sources.problem import Problem, counted

if TYPE_CHECKING:
    from talik.workflow.chain import Ready
    from talik.workflow.project import Project

READ_WHOLE = ("calibration", "forcing", "fusion", "inventory", "tem")
"""Sections whose own check reads all their files as the run will: the doctor's errors are warnings beside it."""


def examine_project(path: Path) -> dict[str, Examination]:
    """What is wrong with a project and with each of its files, by path; the project itself comes first."""
    from talik.workflow.chain import ready_sections
    from talik.workflow.project import load_project

    try:
        project = load_project(path)
        kind = f"{', '.join(project.sections) or 'empty'} project"
        ready = ready_sections(project)
    except TalikError as err:
        return {str(path): Examination("project", None, None, (Problem("error", "", str(err)),))}
    problems = [Problem("note", name, str(why.error)) for name, why in ready.waiting.items()]
    lost, later, there = _files(project, ready)
    problems += lost
    if not lost:
        problems += _plan_problems(project, ready)
    pixels = None
    for name in project.sections:
        if name in later or name in ready.waiting or any(p.column.split(":")[0] == name for p in lost):
            if name in later:
                what = ", ".join(_short(project, file) for file in later[name])
                problems.append(
                    Problem("note", name, f"reads {what}, which this project makes", "Checked when it runs.")
                )
            continue
        found, count = _section_problems(project, name)
        problems += found
        pixels = count if count is not None else pixels
    problems.sort(key=lambda p: ("error", "warning", "note").index(p.severity))
    out = {str(path): Examination(kind, None, pixels, tuple(problems))}
    taken = _accepted(project)
    for file, sections in there.items():
        if sections == ["budget"]:
            continue
        found_in_file = examined(file)
        own = (
            taken is not None
            and file.is_relative_to(taken)
            and set(sections) <= {*READ_WHOLE, "upscaling", "compare"}
        )
        if own or set(sections) <= {*READ_WHOLE}:
            if found_in_file.format == "unknown":  # no site table, and need be none
                continue
            found_in_file = _as_warnings(found_in_file)
        if found_in_file.problems or found_in_file.n_rows is not None:
            out[str(file)] = found_in_file
    return out


def _accepted(project: Project) -> Path | None:
    """The site table, or its folder, that section upscaling learns from whatever errors it has."""
    settings: Any = project.sections.get("upscaling")
    return project.resolve(settings.sites) if settings is not None and settings.accept_errors else None


def _short(project: Project, file: str) -> str:
    """A file as the project may name it: from its folder, if it lies below it."""
    path = Path(file)
    return path.relative_to(project.folder).as_posix() if path.is_relative_to(project.folder) else file


def _files(
    project: Project, ready: Ready
) -> tuple[list[Problem], dict[str, list[str]], dict[Path, list[str]]]:
    """Files that are not there, those that the project makes itself (by section), and those that are there."""
    from talik.workflow.chain import published_by

    makers = published_by(ready.steps, project.output)
    lost: dict[str, Problem] = {}
    later: dict[str, list[str]] = {}
    there: dict[Path, list[str]] = {}
    for section, steps in ready.sections.items():
        for name, path in ((n, p) for step in steps for n, p in step.inputs.items()):
            if path.resolve() in makers:
                if path.is_file():  # of an earlier run: the section's own check reads it
                    continue
                later.setdefault(section, [])
                later[section] += [name] * (name not in later[section])
            elif not path.is_file():
                said = Problem("error", f"{section}: {name}", f"{path}: no such file", "Correct the path.")
                lost.setdefault(f"{section}: {path}", said)
            elif path.name != "zarr.json":
                there.setdefault(path, [])
                there[path] += [section] * (section not in there[path])
    return list(lost.values()), later, there


def _plan_problems(project: Project, ready: Ready) -> Iterator[Problem]:
    from talik.workflow.conventions import total_text
    from talik.workflow.run import plan_ready

    try:
        plan = plan_ready(project, ready)
        plan.check_room()
    except TalikError as err:
        yield Problem("error", "plan", str(err))
    else:
        yield Problem("note", "plan", total_text(plan.total()))


def _section_problems(project: Project, name: str) -> tuple[list[Problem], int | None]:
    """What a section's own check says; for model-data fusion also how many pixels there are."""
    from talik.workflow.project import section_named

    settings, check = project.sections[name], CHECKS.get(name)
    own = section_named(name).check
    try:
        if name == "fusion":
            return _fusion(project, settings)
        found = [*own(project, settings)] if own is not None else []
        return [*found, *(check(project, settings) if check is not None else ())], None
    except (TalikError, OSError) as err:
        return [Problem("error", name, str(err))], None


def _fusion(project: Project, settings: Any) -> tuple[list[Problem], int]:
    from talik.fusion.check import examine, problems_of
    from talik.fusion.section import files_of, regions_of

    told = examine(settings, files_of(project, settings), regions_of(project, settings))
    return problems_of(told), told["pixels"]


def _tem(project: Project, settings: Any) -> Iterator[Problem]:
    from talik.cli.tem_check import checked_input
    from talik.tem.section import files_of

    files = files_of(project, settings)
    steps = ["tem", *(["tem-factorial"] if settings.factorial is not None else [])]
    notes = [note for step in steps for note in checked_input(settings, files, step)["notes"]]
    yield from _notes("tem", notes)


def _forcing(project: Project, settings: Any) -> Iterator[Problem]:
    from talik.forcing.section import check, files_of

    told = check(settings, {name: project.resolve(name) for name in files_of(settings)})
    yield from _notes("forcing", told["notes"])


def _calibration(project: Project, settings: Any) -> Iterator[Problem]:
    from talik.tem.calibration.section import check, files_of

    told = check(settings, {name: project.resolve(name) for name in files_of(settings)})
    yield from _notes("calibration", told["notes"])


def _inventory(project: Project, settings: Any) -> Iterable[Problem]:
    from talik.inventory.run import check
    from talik.inventory.section import files_in
    from talik.inventory.settings_base import lookup

    check(settings, lookup(files_in(project, settings)), project.base.seed)
    return ()


def _upscaling(project: Project, settings: Any) -> Iterator[Problem]:
    """The rows of each flux are read as the run reads them; the cube is opened with the predictors that they have."""
    from talik.upscaling.cube.predictors import Plane, Tile
    from talik.upscaling.inputs import ACCEPTED
    from talik.upscaling.learning import training_of
    from talik.upscaling.section import found_files

    found = found_files(project, settings)
    wrong: dict[str, list[str]] = {}
    accepted: dict[str, None] = {}
    for flux in settings.fluxes:
        try:
            training = training_of(flux, settings, found.sites)
            cube = found.cube.open(training.schema.features)
            if found.cube.land is not None:
                Plane(Path(found.cube.land[0]), found.cube.land[1]).read(cube.grid, Tile(0, 1, 0, 1))
        except TalikError as err:
            wrong.setdefault(str(err), []).append(flux)
        else:
            accepted |= {note: None for note in training.notes if note.startswith(ACCEPTED)}
    for told, fluxes in wrong.items():
        yield Problem("error", f"upscaling: {', '.join(fluxes)}", told)
    if accepted:
        found_in = f"{counted(len(accepted), 'error')} in {settings.sites}, see below"
        yield Problem("note", "upscaling", found_in, "Accepted by accept_errors; the result tells them.")


def _compare(project: Project, settings: Any) -> Iterator[Problem]:
    from talik.compare.opening import open_source
    from talik.compare.section import SITES, inputs_of, require_grids

    inputs = inputs_of(project, settings)
    require_grids(inputs)
    fire = None if inputs.fire is None else inputs.files[inputs.fire]
    for source in inputs.sources:
        if source.path and source.model != SITES:
            try:
                open_source(inputs.files[source.path], settings.variable, fire).close()
            except TalikError as err:
                yield Problem("error", f"compare: {source.path}", str(err))


def _budget(project: Project, settings: Any) -> Iterable[Problem]:
    """Posts and recipes as the run reads them; all of the budget, with few draws, if no section makes posts for it."""
    from talik.budget.compute import BUILTIN, compute_sources, load
    from talik.budget.files import read_recipes

    files = {
        n: n if n == BUILTIN else project.resolve(n) for n in settings.sources if n not in project.sections
    }
    recipes = None if settings.recipes is None else project.resolve(settings.recipes)
    if len(files) == len(settings.sources):
        compute_sources(files, settings.model_copy(update={"draws": 1000}), recipes)
    else:
        for file in files.values():
            load(file)
        if recipes is not None:
            read_recipes(recipes)
    return ()


CHECKS: Mapping[str, Callable[[Project, Any], Iterable[Problem]]] = {
    "budget": _budget,
    "calibration": _calibration,
    "compare": _compare,
    "forcing": _forcing,
    "inventory": _inventory,
    "tem": _tem,
    "upscaling": _upscaling,
}
"""Checks of sections that bring none themselves."""


def _notes(section: str, notes: Iterable[str]) -> Iterator[Problem]:
    for note in dict.fromkeys(notes):
        yield Problem("note", section, note)


def _as_warnings(found: Examination) -> Examination:
    """Errors as warnings, for the section reads the file in its own way."""
    softer = (replace(p, severity="warning") if p.severity == "error" else p for p in found.problems)
    return replace(found, problems=tuple(softer))
