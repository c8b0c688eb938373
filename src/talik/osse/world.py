"""The `world` section of a project file: a made-up Arctic, its truth, and files of what is observed and modelled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from talik.osse.settings import SIMULATED, WorldSettings
from talik.workflow.plan import Cost, Step
from talik.workflow.project import Project, Section
from talik.workflow.unit import Job

CELLS, NATURE, FILES, MODELS = "world-cells", "world-nature", "world-files", "world-models"
"""Names of the steps, beside one for each group of `files_of_nature`."""
Writer = Callable[[Path, Any], None]
"""Writes a file of a world from its truth (`talik.osse.nature.Nature`)."""
FOLDER = "world"
"""Where the files lie in the output folder."""


def steps(project: Project, settings: WorldSettings) -> list[Step]:
    """The process model in blocks, the truth, and a unit for each file."""
    from talik.osse.nature import block_names

    if "seed" not in settings.model_fields_set:
        settings = settings.model_copy(update={"seed": project.base.seed})
    config = settings.model_dump(mode="json")
    simulated = {key: config[key] for key in SIMULATED}
    given = files_of_settings()
    models = model_files(settings)
    return [
        Step(
            name=CELLS,
            units=block_names(settings),
            work=partial(_cells, settings=settings),
            config=simulated,
            suffix=".nc",
            cost=Cost(seconds=12.0, memory_bytes=1.2e9, disk_bytes=4e6),
        ),
        Step(
            name=NATURE,
            units=("nature",),
            work=partial(_nature, settings=settings),
            config=simulated,
            needs=(CELLS,),
            suffix=".nc",
            cost=Cost(seconds=3.0, memory_bytes=6e8, disk_bytes=6e6),
        ),
        Step(
            name=FILES,
            units=tuple(given),
            work=partial(_given, settings=settings),
            config=simulated,
            publish={unit: f"{FOLDER}/{unit}" for unit in given},
            cost=Cost(seconds=2.0, memory_bytes=5e8, disk_bytes=2e6),
        ),
        *(
            Step(
                name=f"world-{group}",
                units=tuple(files),
                work=partial(_observed, settings=settings, group=group),
                config=simulated | {key: config[key] for key in keys},
                needs=(NATURE,),
                publish={unit: f"{FOLDER}/{unit}" for unit in files},
                cost=Cost(seconds=3.0, memory_bytes=6e8, disk_bytes=2e6),
            )
            for group, (keys, files) in files_of_nature().items()
        ),
        Step(
            name=MODELS,
            units=tuple(models),
            work=partial(_model, settings=settings),
            config=simulated,
            needs=(CELLS,),
            publish={unit: f"{FOLDER}/models/{unit}" for unit in models},
            cost=Cost(seconds=2.0, memory_bytes=5e8, disk_bytes=2e5),
        ),
    ]


def files_of_settings() -> Mapping[str, Callable[[Path, WorldSettings], None]]:
    """Files that need no truth, by name."""
    from talik.osse import products

    return {
        "climate.nc": products.write_climate,
        "land.nc": products.write_land,
        "co2.csv": products.write_co2,
    }


def files_of_nature() -> Mapping[str, tuple[tuple[str, ...], Mapping[str, Writer]]]:
    """The truth, and what is observed of it: by group the settings that it follows, and its files by name."""
    from talik.osse import components, cover, inversions, nature, pixels, predictors, towers

    return {
        "truth": ((), {"truth.nc": nature.write_truth, "truth.csv": components.write_components}),
        "maps": (
            ("maps",),
            {
                "predictors.nc": predictors.write_predictors,
                "cover.csv.gz": cover.write_cover,
                "fire.nc": cover.write_fire,
            },
        ),
        "towers": (("maps", "towers"), {"sites.csv": towers.write_towers}),
        "inversions": (("inversions",), {"inversions.nc": inversions.write_inversions}),
        "pixels": (
            ("pixels", "towers"),
            {
                "pixels.csv": pixels.write_pixel_drivers,
                "pixel-observations.csv": pixels.write_pixel_observations,
            },
        ),
    }


def model_files(settings: WorldSettings) -> Mapping[str, tuple[str, str]]:
    """Model and variable of each file of the process models, by name."""
    from talik.osse.models import VARIABLES, file_name
    from talik.osse.nature import model_names

    return {
        file_name(name, variable): (name, variable)
        for name in model_names(settings)
        for variable in VARIABLES
    }


def _cells(job: Job, settings: WorldSettings) -> None:
    from talik.osse.nature import write_block

    write_block(job.out, settings, job.unit)


def _nature(job: Job, settings: WorldSettings) -> None:
    from talik.osse.nature import block_names, write_nature

    write_nature(job.out, settings, [job.needs[CELLS][unit] for unit in block_names(settings)])


def _given(job: Job, settings: WorldSettings) -> None:
    files_of_settings()[job.unit](job.out, settings)


def _observed(job: Job, settings: WorldSettings, group: str) -> None:
    from talik.osse.nature import read_nature

    _, files = files_of_nature()[group]
    files[job.unit](job.out, read_nature(job.needs[NATURE]["nature"], settings))


def _model(job: Job, settings: WorldSettings) -> None:
    from talik.osse.models import write_model_variable
    from talik.osse.nature import block_names, joined, model_land

    name, variable = model_files(settings)[job.unit]
    run = joined([job.needs[CELLS][unit] for unit in block_names(settings)], name)
    write_model_variable(job.out, model_land(settings), run, variable, name)


SECTION = Section("world", WorldSettings, steps)
