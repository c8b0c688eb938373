"""The `truth` section of a project file: every approach of the project beside a truth that is known."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from talik.config import Frozen
from talik.errors import ConfigError
from talik.files import read_json, write_json
from talik.workflow.plan import Cost, Step
from talik.workflow.project import Project, Section
from talik.workflow.unit import Job

RESULT = "truth.json"
FORMAT = "talik-truth-1"
POSTS_OF = ("upscaling", "inventory", "ensemble", "fusion")
"""Sections with a step of posts."""
_READ = ("upscaling", "compare", "budget")
"""Steps that have one JSON file of their own name."""
FUSED = "fusion"
"""The step with the members of fused pixels."""


class TruthSettings(Frozen):
    """Where the truth stands."""

    fluxes: str
    """Flux dataset of the truth, such as the truth.nc of a world."""
    components: str
    """Its table by region, gas, process and year (columns region, gas, process, year, tg), such as truth.csv."""
    label: str | None = None
    """How budget posts call the whole domain: only posts of this region are judged. All of them if not given."""
    regions: tuple[str, ...] = ("sectors",)
    """Regions in which approaches are judged, beside the whole domain; as those of the other sections are named."""
    variable: Literal["nee"] = "nee"
    """The flux that the summary is about."""
    least_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """Regions with a smaller share of the land of the domain are left out."""


def steps(project: Project, settings: TruthSettings) -> list[Step]:
    """One unit: all scores."""
    period = project.base.period
    if period is None:
        raise ConfigError("truth: the truth of which years? Give the project a period.")
    files = {name: project.resolve(name) for name in (settings.fluxes, settings.components)}
    held = set(project.sections)
    needs = [name for name in _READ if name in held]
    needs += [FUSED] if FUSED in held else []
    needs += [f"{name}-posts" for name in POSTS_OF if name in held and name != "fusion"]
    if not needs:
        raise ConfigError(
            f"truth: nothing to judge. Give the project a section of {', '.join((*_READ, *POSTS_OF))}."
        )
    return [
        Step(
            name="truth",
            units=("truth",),
            work=partial(_score, settings=settings, files=files, years=(period.first_year, period.last_year)),
            config={**settings.model_dump(mode="json"), "years": [period.first_year, period.last_year]},
            inputs=files,
            needs=tuple(needs),
            suffix=".json",
            publish={"truth": RESULT},
            cost=Cost(seconds=3.0, memory_bytes=5e8, disk_bytes=1e5),
        )
    ]


def _score(job: Job, settings: TruthSettings, files: Mapping[str, Path], years: tuple[int, int]) -> None:
    import pandas as pd

    from talik.budget.files import read_posts
    from talik.budget.result import read_result
    from talik.flux import open_flux
    from talik.netcdf import open_netcdf
    from talik.osse import score
    from talik.regions.named import DOMAIN

    parts = pd.read_csv(files[settings.components])

    def truths_of(span: tuple[int, int]) -> dict[str, dict[str, score.Region]]:
        with open_flux(files[settings.fluxes]) as truth:
            return {
                name: score.large_enough(
                    score.true_regions(truth, name, settings.regions, span), settings.least_share
                )
                for name in ("nee", "gpp", "reco", "fch4")
            }

    truths = truths_of(years)
    found: list[score.Score] = []
    if "upscaling" in job.needs:
        upscaled = read_json(job.needs["upscaling"]["upscaling"])
        own = (int(upscaled["period"][0]), int(upscaled["period"][1]))
        found += score.of_upscaling(upscaled, truths if own == years else truths_of(own))
    if "compare" in job.needs:
        compared = read_json(job.needs["compare"]["compare"])
        known = {(s.approach, s.region) for s in found if s.variable == compared["variable"]}
        found += [
            s
            for s in score.of_comparison(compared, truths[compared["variable"]])
            if (s.approach, s.region) not in known
        ]
    land = truths[settings.variable][DOMAIN].area_m2 / 1e12
    posts = [
        row
        for step, units in job.needs.items()
        if step.endswith("-posts")
        for post in read_posts(units["posts"]).posts
        if settings.label in (None, post.region) and (row := score.of_post(post, parts, land)) is not None
    ]
    pixels = []
    if FUSED in job.needs:
        with (
            open_flux(files[settings.fluxes]) as truth,
            open_netcdf(job.needs[FUSED]["result"], "Run `talik fuse run` again.") as fused,
        ):
            pixels = score.of_pixels(fused, truth)
    budget = []
    if "budget" in job.needs:
        result, _ = read_result(job.needs["budget"]["budget"])
        budget = [
            row
            for post in result.evaluation.derived
            if settings.label in (None, post.region) and (row := score.of_post(post, parts, land)) is not None
        ]
    told = {
        "format": FORMAT,
        "variable": settings.variable,
        "units": score.UNITS,
        "period": list(years),
        "regions": list(truths[settings.variable]),
        "main_region": score.main_region(found, settings.variable),
        "approaches": [s.to_dict() for s in found],
        "posts": posts,
        "budget": budget,
        "pixels": pixels,
        "summary": score.summary(found, budget, settings.variable),
    }
    write_json(job.out, told)


EXAMPLE = {"fluxes": "world/truth.nc", "components": "world/truth.csv"}
SECTION = Section("truth", TruthSettings, steps, EXAMPLE)
