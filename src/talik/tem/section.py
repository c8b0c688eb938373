"""The `tem` section of a project file, and its steps: blocks of cells, then the files of the whole run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from talik.errors import ConfigError
from talik.tem.settings import Files, TemSettings
from talik.workflow.plan import Cost, Step
from talik.workflow.project import Project, Section
from talik.workflow.unit import Job

SECONDS_TO_START = 20.0
"""To compile, on one core; less if the cache of an earlier run holds this number of columns."""
SECONDS_OF_SOIL = 4.4e-4
"""Soil heat of a column for a year on one core."""
SECONDS_OF_CYCLES = 3e-5
"""Water, carbon and nitrogen of a column for a year on one core."""
SECONDS_PER_YEAR = 3e-3
"""What a year takes whatever the number of columns."""
LOOP_SOIL_YEARS = 121
"""Years until soil heat of the loop is periodic in half of the columns, measured; the rest run by themselves."""
BYTES_OF_A_WORKER = 8e8
BYTES_HELD_PER_MONTH = 700.0
"""What a month of a column takes in memory: 28 values, held twice when they are written, and climate."""
BYTES_WRITTEN_PER_MONTH = 390.0
"""What it takes on the disk, compressed, in the block's file and those of the run."""
SPUN = {"restart": "tem-spinup.nc", "audit": "tem-spinup-audit.json"}
"""Results of a spin-up by name in the output folder."""
PUBLISHED = {
    "fluxes": "tem-fluxes.nc",
    "land": "tem-land.nc",
    "annual": "tem-annual.nc",
    "restart": "tem-restart.nc",
    "audit": "tem-audit.json",
}
"""Results of a run by name in the output folder."""


def files_of(project: Project, settings: TemSettings) -> Files:
    """The files that the section names, resolved; the section's period goes before that of the project."""
    stated = project.base.period
    whole = None if stated is None else (stated.first_year, stated.last_year)

    def resolved(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(p) for name in names for p in project.matching(name, "tem"))

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
        soil_carbon=() if settings.permafrost is None else resolved(settings.permafrost.soil_carbon.files),
        scenarios={}
        if settings.factorial is None
        else {name: resolved(of.climate) for name, of in settings.factorial.scenarios.items()},
    )


@dataclass(frozen=True)
class Blocks:
    """Cells that run together, by unit name, and the most columns that any of them has."""

    cells: dict[str, tuple[int, int]]
    columns: int

    def of(self, unit: str) -> range:
        """The cells of a unit."""
        return range(*self.cells[unit])


def blocks_of(settings: TemSettings, files: Files) -> Blocks:
    """The blocks of a run."""
    from talik.tem.inputs import read_columns

    columns = read_columns(settings, files.paths("land"))
    ranges = columns.blocks(settings.block)
    cells = {f"cells-{b.start:06d}-{b.stop - 1:06d}": (b.start, b.stop) for b in ranges}
    return Blocks(cells, max(columns.part(b).cell.size for b in ranges))


def steps(project: Project, settings: TemSettings) -> list[Step]:
    """Spin-up and run in blocks of cells that go by themselves, and the files of all of them."""
    from talik.tem.factorial.section import factorial_steps

    files = files_of(project, settings)
    blocks = blocks_of(settings, files)
    title = project.base.title or project.base.name
    made = [*_spin_steps(settings, files, blocks, title), *_stock_steps(settings, files)]
    made += _run_steps(settings, files, blocks, title)
    if settings.factorial is not None:
        made += factorial_steps(settings, files, blocks, title)
    return made


def inputs_of(files: Files, *kinds: str) -> dict[str, Path]:
    """Input files of some kinds, as a step names them."""
    return {str(p): p for kind in kinds for p in files.paths(kind)}


def _spin_steps(settings: TemSettings, files: Files, blocks: Blocks, title: str) -> list[Step]:
    if settings.restart is not None:
        return []
    config = settings.model_dump(mode="json", exclude={"permafrost", "factorial", "restart"})
    kept = partial(_merge_spin_up, title=title, key=settings.key())
    return [
        Step(
            name="tem-spinup-cells",
            units=tuple(blocks.cells),
            work=partial(_spin_block, settings=settings, files=files, blocks=blocks),
            config={**config, "period": files.period},
            inputs=inputs_of(files, "climate", "co2", "land"),
            suffix=".nc",
            cost=_spin_cost(blocks.columns, settings),
        ),
        Step(
            name="tem-spinup",
            units=tuple(SPUN),
            work=kept,
            config={"title": title},
            needs=("tem-spinup-cells",),
            publish=dict(SPUN),
        ),
    ]


def _stock_steps(settings: TemSettings, files: Files) -> list[Step]:
    if settings.permafrost is None:
        return []
    wanted = settings.permafrost
    own = wanted.model_dump(mode="json", include={"soil_carbon", "profiles", "cn"})
    land = {"land": settings.land.model_dump(mode="json"), "cells": settings.cells}
    return [
        Step(
            name="tem-stock",
            units=("stock",),
            work=partial(_stock, settings=settings, files=files),
            config={**own, **land},
            inputs=inputs_of(files, "land", "soil_carbon"),
            suffix=".nc",
        )
    ]


def _run_steps(settings: TemSettings, files: Files, blocks: Blocks, title: str) -> list[Step]:
    inputs = inputs_of(files, "climate", "co2", "land")
    if files.restart:
        inputs[files.restart] = Path(files.restart)
    key = settings.model_copy(update={"period": files.period, "factorial": None}).key()
    return [
        Step(
            name="tem-cells",
            units=tuple(blocks.cells),
            work=partial(_run_block, settings=settings, files=files, blocks=blocks),
            config={**settings.model_dump(mode="json", exclude={"factorial"}), "period": files.period},
            inputs=inputs,
            needs=needs_of(settings),
            suffix=".nc",
            cost=_run_cost(blocks.columns, settings, files),
        ),
        Step(
            name="tem",
            units=tuple(PUBLISHED),
            work=partial(_merge, title=title, key=key, grid=settings.cells is None),
            config={"title": title},
            needs=("tem-cells",),
            publish=dict(PUBLISHED),
        ),
    ]


def needs_of(settings: TemSettings) -> tuple[str, ...]:
    """The steps that a run starts from."""
    spun = () if settings.restart else ("tem-spinup-cells",)
    return spun if settings.permafrost is None else (*spun, "tem-stock")


def start_of(job: Job, files: Files) -> Path:
    """The file from which the cells of a unit start."""
    return job.needs["tem-spinup-cells"][job.unit] if files.restart is None else Path(files.restart)


def _spin_cost(columns: int, settings: TemSettings) -> Cost:
    """What the spin-up of a block takes, if each phase takes the years it may."""
    loop = LOOP_SOIL_YEARS if settings.spin_up.soil == "periodic" else settings.spin_up.years
    soil = (settings.soil_heat.years + loop) * SECONDS_OF_SOIL
    cycles = (settings.equilibrium.years + settings.spin_up.years) * SECONDS_OF_CYCLES
    return Cost(SECONDS_TO_START + columns * (soil + cycles), BYTES_OF_A_WORKER, 1e4 * columns)


def _run_cost(columns: int, settings: TemSettings, files: Files) -> Cost:
    years = _years_of(settings, files)
    a_year = SECONDS_PER_YEAR + (SECONDS_OF_SOIL + SECONDS_OF_CYCLES) * columns
    months = columns * years * 12
    return Cost(
        seconds=SECONDS_TO_START + a_year * years,
        memory_bytes=BYTES_OF_A_WORKER + BYTES_HELD_PER_MONTH * months,
        disk_bytes=BYTES_WRITTEN_PER_MONTH * months,
    )


def _years_of(settings: TemSettings, files: Files) -> int:
    """How many years are written, or a guess where only the climate says so."""
    return 150 if files.period is None else files.period[1] - files.period[0] + 1


def _spin_block(job: Job, settings: TemSettings, files: Files, blocks: Blocks) -> None:
    from talik.tem.run import spin_block

    spin_block(job.out, settings, files, blocks.of(job.unit))


def _stock(job: Job, settings: TemSettings, files: Files) -> None:
    from talik.tem.permafrost.setup import write_stock

    write_stock(job.out, settings, files)


def _run_block(job: Job, settings: TemSettings, files: Files, blocks: Blocks) -> None:
    from talik.tem.run import run_block

    start = start_of(job, files)
    stock = job.needs["tem-stock"]["stock"] if "tem-stock" in job.needs else None
    run_block(job.out, settings, files, blocks.of(job.unit), start, stock)


def _merge_spin_up(job: Job, title: str, key: str) -> None:
    from talik.tem import merge

    parts = [job.needs["tem-spinup-cells"][name] for name in sorted(job.needs["tem-spinup-cells"])]
    if job.unit == "audit":
        _write_json(merge.spin_audit(parts), job.out)
    else:
        merge.write_restart(parts, job.out, title=title, key=key, group=None)


def _write_json(told: dict[str, Any], out: Path) -> None:
    out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8", newline="\n")


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
        _write_json(merge.audit(parts), job.out)
    else:
        writers[job.unit](parts, job.out)


EXAMPLE = {
    "climate": {"files": ["data/climate-*.nc"]},
    "co2": {"files": ["data/co2.csv"]},
    "land": {"files": ["data/land.nc"]},
}
SECTION = Section("tem", TemSettings, steps, EXAMPLE)
