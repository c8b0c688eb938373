"""The `budget` section of a project file, and its step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from talik.budget.compute import BUILTIN
from talik.budget.settings import BudgetSettings
from talik.errors import ConfigError
from talik.workflow.plan import Cost, Step
from talik.workflow.project import Project, Section
from talik.workflow.unit import Job

_STEP = "-posts"
POSTS_OF = ("inventory", "ensemble", "fusion", "upscaling")
"""Sections of a project that make posts."""


def steps(project: Project, settings: BudgetSettings) -> list[Step]:
    """One unit: the budget as JSON. Posts may be those of other sections of the project, by name."""
    seed = settings.seed if "seed" in settings.model_fields_set else project.base.seed
    settings = settings.model_copy(update={"seed": seed})
    if twice := sorted({name for name in settings.sources if settings.sources.count(name) > 1}):
        raise ConfigError(f"budget.posts: {', '.join(twice)} is named twice. Name each source once.")
    for name in settings.sources:
        if name in POSTS_OF and name not in project.sections:
            raise ConfigError(f"budget.posts: {name}: the project has no section {name}. Add it.")
    files = {
        name: project.resolve(name)
        for name in settings.sources
        if name != BUILTIN and name not in project.sections
    }
    recipes = None if settings.recipes is None else project.resolve(settings.recipes)
    sections = tuple(name for name in settings.sources if name in project.sections)
    return [
        Step(
            name="budget",
            units=("budget",),
            work=partial(write_budget, settings=settings, files=files, recipes=recipes),
            config=settings.model_dump(mode="json"),
            inputs=files
            if settings.recipes is None or recipes is None
            else {**files, settings.recipes: recipes},
            needs=tuple(posts_step(name) for name in sections),
            suffix=".json",
            publish={"budget": "budget.json"},
            cost=Cost(
                seconds=6e-6 * settings.draws, memory_bytes=3e8 + 400.0 * settings.draws, disk_bytes=1e6
            ),
        )
    ]


def posts_step(section: str) -> str:
    """Name of the step in which a section makes its posts file, as the unit `posts`."""
    return f"{section}{_STEP}"


def write_budget(job: Job, settings: BudgetSettings, files: Mapping[str, Path], recipes: Path | None) -> None:
    """Compute the budget and write its JSON. No time is written: equal inputs give equal bytes."""
    from talik.budget.compute import compute, compute_sources
    from talik.budget.result import provenance, to_dict
    from talik.provenance import describe

    made = {step.removesuffix(_STEP): units["posts"] for step, units in job.needs.items()}
    sources: dict[str, str | Path] = {
        name: made.get(name) or files.get(name) or BUILTIN for name in settings.sources
    }
    # as the project file calls them: each by a name of its own, in every folder the same
    inputs = {f"{name}{_STEP}{path.suffix}": path for name, path in made.items()} | dict(files)
    if recipes is not None and settings.recipes is not None:
        inputs[settings.recipes] = recipes
    if recipes is None and len(sources) == 1:
        ((name, source),) = sources.items()
        result = compute(source, settings)
        result = replace(result, name=name) if made else result
    else:
        result = compute_sources(sources, settings, recipes)
    told = describe(inputs, settings.key())
    if BUILTIN in sources:
        told["inputs"] = {**told["inputs"], **provenance(BUILTIN, settings)["inputs"]}
    made_by = {k: v for k, v in told.items() if k in ("code", "config", "inputs")}
    text = json.dumps(to_dict(result, made_by), indent=1, allow_nan=False)
    job.out.write_text(text + "\n", encoding="utf-8", newline="\n")


SECTION = Section("budget", BudgetSettings, steps)
