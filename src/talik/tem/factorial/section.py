"""Steps of `talik tem factorial`: experiments of blocks of cells, and the files of all of them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from talik.errors import ConfigError
from talik.tem import section
from talik.tem.factorial.design import experiments_of
from talik.tem.section import Blocks
from talik.tem.settings import Factorial, Files, TemSettings
from talik.workflow.plan import Cost, Step
from talik.workflow.unit import Job

PUBLISHED = {
    "history": "tem-history.nc",
    "experiments": "tem-experiments.nc",
    "audit": "tem-experiments-audit.json",
}
"""Results of the experiments by name in the output folder."""
SCENARIO_YEARS, HISTORY_YEARS = 86, 165
"""What the plan takes for the length of a scenario and of the years before it, which only the climate says."""
SECONDS_OF_EXPERIMENT = 5e-5
"""Water, carbon, nitrogen and permafrost of a column for a year on one core."""
BYTES_PER_VALUE = 3.0
"""Of a float32 on the disk, compressed; measured 2.5 to 3."""
BYTES_OF_A_WORKER = 1.2e9
"""What a worker takes beside the values it collects; measured 1.1 to 1.2 GB with 256 columns."""


def factorial_steps(settings: TemSettings, files: Files, blocks: Blocks, title: str) -> list[Step]:
    """The steps of the experiments; ConfigError if the section lacks what they need."""
    wanted = settings.factorial
    if wanted is None:
        return []
    if settings.permafrost is None:
        raise ConfigError("tem.factorial: needs the section permafrost, which says what is frozen. Add it.")
    inputs = section.inputs_of(files, "climate", "co2", "land")
    inputs |= {f"{name}: {p}": p for name in files.scenarios for p in files.under(name).paths("climate")}
    if files.restart:
        inputs[files.restart] = Path(files.restart)
    config = {**settings.model_dump(mode="json"), "period": files.period}
    return [
        Step(
            name="tem-factorial-cells",
            units=tuple(blocks.cells),
            work=partial(_run_block, settings=settings, files=files, blocks=blocks),
            config=config,
            inputs=inputs,
            needs=section.needs_of(settings),
            suffix=".nc",
            cost=_cost(blocks.columns, wanted),
        ),
        Step(
            name="tem-factorial",
            units=tuple(PUBLISHED),
            work=partial(_merge, title=title, key=settings.key()),
            config={"title": title},
            needs=("tem-factorial-cells",),
            publish=dict(PUBLISHED),
        ),
    ]


def _cost(columns: int, wanted: Factorial) -> Cost:
    from talik.tem.factorial.annual import VARIABLES

    experiments = experiments_of(wanted.experiments).values()
    climates = len({e.climate_key() for e in experiments})
    years = SCENARIO_YEARS * len(wanted.scenarios)
    soil = section.SECONDS_OF_SOIL * (HISTORY_YEARS + climates * years)
    cycles = SECONDS_OF_EXPERIMENT * (HISTORY_YEARS + len(experiments) * years)
    values = len(wanted.variables or VARIABLES) + 12 * len(wanted.monthly)
    size = BYTES_PER_VALUE * values * len(experiments) * years * columns
    return Cost(section.SECONDS_TO_START + columns * (soil + cycles), BYTES_OF_A_WORKER + 2 * size, 2 * size)


def _run_block(job: Job, settings: TemSettings, files: Files, blocks: Blocks) -> None:
    from talik.tem.factorial.block import run_block

    start = section.start_of(job, files)
    run_block(job.out, settings, files, blocks.of(job.unit), start, job.needs["tem-stock"]["stock"])


def _merge(job: Job, title: str, key: str) -> None:
    from talik.tem.factorial import merge

    parts = [job.needs["tem-factorial-cells"][name] for name in sorted(job.needs["tem-factorial-cells"])]
    if job.unit == "audit":
        merge.write_audit(parts, job.out)
    else:
        merge.write_group(parts, job.unit, job.out, title=title, key=key)
