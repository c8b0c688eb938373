"""The `budget` section of a project file, and its step."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

from talik.budget.compute import BUILTIN
from talik.budget.settings import BudgetSettings
from talik.errors import ConfigError
from talik.workflow.plan import Cost, Step
from talik.workflow.project import Project, Section
from talik.workflow.unit import Job

POSTS_OF = ("inventory", "ensemble", "fusion", "upscaling")
"""Sections of a project that make posts."""


def steps(project: Project, settings: BudgetSettings) -> list[Step]:
    """One unit: the budget as JSON. Posts may be those of another section of the project, by its name."""
    seed = settings.seed if "seed" in settings.model_fields_set else project.base.seed
    settings = settings.model_copy(update={"seed": seed})
    made = settings.posts in project.sections
    if settings.posts in POSTS_OF and not made:
        raise ConfigError(
            f"budget.posts: {settings.posts}: the project has no section {settings.posts}. Add it."
        )
    path = None if made or settings.posts == BUILTIN else project.resolve(settings.posts)
    return [
        Step(
            name="budget",
            units=("budget",),
            work=partial(
                write_budget, settings=settings, source=settings.posts if made else str(path or BUILTIN)
            ),
            config=settings.model_dump(mode="json"),
            inputs={} if path is None else {settings.posts: path},
            needs=(posts_step(settings.posts),) if made else (),
            suffix=".json",
            publish={"budget": "budget.json"},
            cost=Cost(
                seconds=6e-6 * settings.draws, memory_bytes=3e8 + 400.0 * settings.draws, disk_bytes=1e6
            ),
        )
    ]


def posts_step(section: str) -> str:
    """Name of the step in which a section makes its posts file, as the unit `posts`."""
    return f"{section}-posts"


def write_budget(job: Job, settings: BudgetSettings, source: str) -> None:
    """Compute the budget and write its JSON. No time is written: equal inputs give equal bytes."""
    from talik.budget.compute import compute
    from talik.budget.result import provenance, to_dict
    from talik.provenance import describe

    if job.needs:
        path = job.needs[posts_step(source)]["posts"]
        result = replace(compute(path, settings), name=source)
        told = describe({path.name: path}, settings.key())
    else:
        result = compute(source, settings)
        told = provenance(source, settings)
    made_by = {k: v for k, v in told.items() if k in ("code", "config", "inputs")}
    text = json.dumps(to_dict(result, made_by), indent=1, allow_nan=False)
    job.out.write_text(text + "\n", encoding="utf-8", newline="\n")


SECTION = Section("budget", BudgetSettings, steps)
