"""The `budget` section of a project file, and its step."""

from __future__ import annotations

import json
from functools import partial

from talik.budget.compute import BUILTIN
from talik.budget.settings import BudgetSettings
from talik.workflow.plan import Cost, Step
from talik.workflow.project import Project, Section
from talik.workflow.unit import Job


def steps(project: Project, settings: BudgetSettings) -> list[Step]:
    """One unit: the budget as JSON."""
    seed = settings.seed if "seed" in settings.model_fields_set else project.base.seed
    settings = settings.model_copy(update={"seed": seed})
    path = None if settings.posts == BUILTIN else project.resolve(settings.posts)
    return [
        Step(
            name="budget",
            units=("budget",),
            work=partial(write_budget, settings=settings, source=str(path or BUILTIN)),
            config=settings.model_dump(mode="json"),
            inputs={} if path is None else {settings.posts: path},
            suffix=".json",
            publish={"budget": "budget.json"},
            cost=Cost(
                seconds=6e-6 * settings.draws, memory_bytes=3e8 + 400.0 * settings.draws, disk_bytes=1e6
            ),
        )
    ]


def write_budget(job: Job, settings: BudgetSettings, source: str) -> None:
    """Compute the budget and write its JSON. No time is written: equal inputs give equal bytes."""
    from talik.budget.compute import compute
    from talik.budget.result import provenance, to_dict

    result = compute(source, settings)
    made_by = {k: v for k, v in provenance(source, settings).items() if k in ("code", "config", "inputs")}
    text = json.dumps(to_dict(result, made_by), indent=1, allow_nan=False)
    job.out.write_text(text + "\n", encoding="utf-8", newline="\n")


SECTION = Section("budget", BudgetSettings, steps)
