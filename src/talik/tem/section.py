"""The `tem` section of a project file, and its steps: blocks of cells, then the files of the whole run."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

from talik.errors import ConfigError
from talik.tem.settings import Files, TemSettings
from talik.workflow.plan import Cost, Step
from talik.workflow.project import Project, Section
from talik.workflow.unit import Job

SECONDS_TO_START = 15.0
"""To compile, on one core; less if the cache of an earlier run holds this number of columns."""
SECONDS_PER_COLUMN_YEAR = 4.7e-4
"""Soil heat and biogeochemistry of a column for a year on one core."""
SECONDS_PER_YEAR = 3e-3
"""What a year takes whatever the number of columns."""
SHARE_OF_EQUILIBRIUM = 0.05
"""What a year of the equilibrium, without soil heat, takes of a whole one."""
BYTES_OF_A_WORKER = 8e8
BYTES_HELD_PER_MONTH = 700.0
"""What a month of a column takes in memory: 28 values, held twice when they are written, and climate."""
BYTES_WRITTEN_PER_MONTH = 390.0
"""What it takes on the disk, compressed, in the block's file and those of the run."""
PUBLISHED = {
    "fluxes": "tem-fluxes.nc",
    "land": "tem-land.nc",
    "annual": "tem-annual.nc",
    "restart": "tem-restart.nc",
    "audit": "tem-audit.json",
}
"""Results of a run by name in the output folder."""


def files_of(project: Project, settings: TemSettings) -> Files:
    """The files that the section names, resolved; ConfigError if the periods of project and section differ."""
    stated = project.base.period
    whole = None if stated is None else (stated.first_year, stated.last_year)
    if whole and settings.period and whole != settings.period:
        raise ConfigError(
            f"tem.period is {settings.period}, the project's period is {whole}. State one of them."
        )

    def resolved(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(p) for name in names for p in _expanded(project, name))

    restart = None if settings.restart is None else project.resolve(settings.restart)
    if restart == project.output / PUBLISHED["restart"]:
        raise ConfigError(
            f"tem.restart: {restart} is the file that this run writes. Set output to another folder, or copy the file."
        )
    return Files(
        climate=resolved(settings.climate.files),
        co2=resolved(settings.co2.files),
        land=resolved(settings.land.files),
        restart=None if restart is None else str(restart),
        period=settings.period or whole,
    )


def _expanded(project: Project, name: str) -> list[Path]:
    """A path, or all files that a pattern with * or ? stands for, in order."""
    path = project.resolve(name)
    if not any(sign in path.name for sign in "*?"):
        return [path]
    found = sorted(path.parent.glob(path.name))
    if not found:
        raise ConfigError(f"tem: no file fits {name!r} in {path.parent}. Correct the pattern.")
    return found


def steps(project: Project, settings: TemSettings) -> list[Step]:
    """Blocks of cells that run by themselves, and the files of all of them."""
    from talik.tem.inputs import read_columns

    files = files_of(project, settings)
    inputs = {str(p): p for kind in ("climate", "co2", "land") for p in files.paths(kind)}
    if files.restart:
        inputs[files.restart] = Path(files.restart)
    columns = read_columns(settings, files.paths("land"))
    blocks = columns.blocks(settings.block)
    names = tuple(f"cells-{b.start:06d}-{b.stop - 1:06d}" for b in blocks)
    largest = max(columns.part(b).cell.size for b in blocks)
    title = project.base.title or project.base.name
    config = {**settings.model_dump(mode="json"), "period": files.period}
    return [
        Step(
            name="tem-cells",
            units=names,
            work=partial(
                _run_block,
                settings=settings,
                files=files,
                blocks={name: (b.start, b.stop) for name, b in zip(names, blocks, strict=True)},
            ),
            config=config,
            inputs=inputs,
            suffix=".nc",
            cost=_cost(largest, settings, files),
        ),
        Step(
            name="tem",
            units=tuple(PUBLISHED),
            work=partial(
                _merge,
                title=title,
                key=settings.model_copy(update={"period": files.period}).key(),
                grid=settings.cells is None,
            ),
            config={"title": title},
            needs=("tem-cells",),
            publish=dict(PUBLISHED),
        ),
    ]


def _cost(columns: int, settings: TemSettings, files: Files) -> Cost:
    """What a block of columns takes, if each phase takes the years it may."""
    years = _years_of(settings, files)
    spin = (
        settings.soil_heat.years + settings.spin_up.years + SHARE_OF_EQUILIBRIUM * settings.equilibrium.years
    )
    a_year = SECONDS_PER_YEAR + SECONDS_PER_COLUMN_YEAR * columns
    months = columns * years * 12
    return Cost(
        seconds=SECONDS_TO_START + a_year * (years + (0 if settings.restart else spin)),
        memory_bytes=BYTES_OF_A_WORKER + BYTES_HELD_PER_MONTH * months,
        disk_bytes=BYTES_WRITTEN_PER_MONTH * months,
    )


def _years_of(settings: TemSettings, files: Files) -> int:
    """How many years are written, or a guess where only the climate says so."""
    return 150 if files.period is None else files.period[1] - files.period[0] + 1


def _run_block(job: Job, settings: TemSettings, files: Files, blocks: dict[str, tuple[int, int]]) -> None:
    from talik.tem.run import run_block

    run_block(job.out, settings, files, range(*blocks[job.unit]))


def _merge(job: Job, title: str, key: str, grid: bool) -> None:
    from talik.tem import merge

    parts = [job.needs["tem-cells"][name] for name in sorted(job.needs["tem-cells"])]
    writers: dict[str, Callable[[list[Path], Path], None]] = {
        "fluxes": partial(merge.write_fluxes, title=title, key=key, grid=grid),
        "land": partial(merge.write_land, title=title, key=key, grid=grid),
        "annual": partial(merge.write_annual, title=title, key=key, grid=grid),
        "restart": partial(merge.write_restart, title=title, key=key),
    }
    if job.unit == "audit":
        job.out.write_text(json.dumps(merge.audit(parts), indent=1) + "\n", encoding="utf-8", newline="\n")
    else:
        writers[job.unit](parts, job.out)


SECTION = Section("tem", TemSettings, steps)
