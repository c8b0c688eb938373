"""The `fusion` section of a project file, and its steps: blocks of pixels, their result, its fluxes and regions."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from talik.errors import ConfigError
from talik.fusion import works
from talik.fusion.settings import Files, FusionSettings, InferOptions, Regions
from talik.fusion.validation import MODELLED
from talik.fusion.works import (
    BLOCKS,
    CHECK,
    CHECK_FILE,
    FIGURES,
    FLUX_FILE,
    FLUXES,
    MERGED,
    POSTS,
    POSTS_FILE,
    RESULT,
    SCORES,
    SCORES_FILE,
    TABLE,
    TABLE_FILE,
    TOTALS,
    TOTALS_FILE,
)
from talik.provenance import named_from, store_marks
from talik.regions.named import files_of as region_files
from talik.regions.named import require_known, with_absolute_paths
from talik.workflow.plan import Cost, Step
from talik.workflow.project import Project, Section

if TYPE_CHECKING:
    from talik.fusion.inputs import Reader
    from talik.fusion.run import Infer

CPU_BLOCK, GPU_BLOCK = 16, 512
"""Pixels sampled together: on a core more do not make a pixel cheaper, a GPU idles with few."""
SECONDS_TO_COMPILE = 60.0
LEAPFROGS, GRADIENTS_OF_A_PARTICLE = 50, 600
"""Gradients of a draw (hmc) with steps that failures made half as long, and of a particle of both tempered starts."""
SECONDS_OF_A_GRADIENT = 36e-6 / 60
"""For each month, on one core: 16 chains of 2400 draws took 40 s a pixel with 60 months, other work beside."""
BYTES_OF_A_WORKER = 1.0e9
VALUES_OF_A_STEP = 60
"""Numbers that a gradient keeps of each step of a chain."""
VALUES_OF_A_MEMBER = 18
"""And the result of each month of a member before it is summarised: pools, fluxes, copies."""


def files_of(project: Project, settings: FusionSettings) -> Files:
    """The files of a project; the section's period goes before that of the project."""
    stated = project.base.period
    whole = None if stated is None else (stated.first_year, stated.last_year)

    def resolved(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(path) for name in names for path in project.matching(name, "fusion"))

    drivers = resolved(settings.drivers.files)
    return Files(
        drivers=drivers,
        co2=() if settings.drivers.co2 is None else resolved(settings.drivers.co2.files),
        streams={
            name: drivers if of.files is None else resolved(of.files)
            for name, of in settings.observations.streams.items()
        },
        period=settings.period or whole,
    )


def regions_of(project: Project, settings: FusionSettings) -> tuple[str, ...]:
    """Named regions of the totals with whole paths; ConfigError for one that there is not."""
    if settings.regions is None or settings.regions.names is None:
        return ()
    found = with_absolute_paths(settings.regions.names, project.folder)
    require_known(found)
    return tuple(found)


@dataclass(frozen=True)
class Blocks:
    """Pixels that are sampled together, by unit name."""

    ranges: dict[str, tuple[int, int]]
    months: int

    @property
    def largest(self) -> int:
        """Pixels of the largest block."""
        return max(stop - start for start, stop in self.ranges.values())


def blocks_of(settings: FusionSettings, reader: Reader) -> Blocks:
    """The blocks of a run, of sizes that differ by one at most: each size is compiled by itself."""
    pixels, size = len(reader.pixels()), settings.block or (GPU_BLOCK if on_gpu() else CPU_BLOCK)
    count = math.ceil(pixels / size)
    edges = [pixels * i // count for i in range(count + 1)]
    ranges = {f"pixels-{a:06d}-{b - 1:06d}": (a, b) for a, b in pairwise(edges)}
    return Blocks(ranges, len(reader.axis()))


def on_gpu() -> bool:
    """Whether JAX computes on something else than a CPU here."""
    import jax

    from talik.fusion.run import one_core

    one_core()
    return jax.default_backend() != "cpu"


def device() -> str:
    """On what a run computes here, for a reader."""
    import jax

    return f"on {jax.devices()[0].device_kind}" if on_gpu() else "on one core a worker"


def steps(project: Project, settings: FusionSettings, infer: Infer | None = None) -> list[Step]:
    """Blocks of pixels that go by themselves, then the result of all. `infer` samples a block; DALEC's posterior if
    not given."""
    from talik.fusion.inputs import Reader

    files = files_of(project, settings)
    regions = regions_of(project, settings)
    blocks = blocks_of(settings, Reader(settings, files))
    title = project.base.title or project.base.name
    options = InferOptions(settings.sampler, settings.chosen_switches(), project.base.seed)
    sampled = settings.model_dump(mode="json", exclude={"regions", "fill", "figures"})
    read = {str(path): path / "zarr.json" if path.is_dir() else path for path in files.all()}
    inputs = named_from(project.folder, read)
    made = [
        Step(
            name=BLOCKS,
            units=tuple(blocks.ranges),
            work=partial(
                works.write_block,
                settings=settings,
                files=files,
                ranges=blocks.ranges,
                options=options,
                infer=infer,
            ),
            config={
                **sampled,
                "period": files.period,
                "seed": project.base.seed,
                "stores": store_marks(project.folder, files.all()),
            },
            inputs=inputs,
            suffix=".nc",
            cost=_cost(settings, blocks),
        ),
        Step(
            name=MERGED,
            units=("result",),
            work=partial(
                works.write_result,
                title=title,
                key=settings.key(),
                inputs=inputs,
                made=made_with(settings, options, files),
            ),
            config={"title": title, "made": made_with(settings, options, files)},
            needs=(BLOCKS,),
            suffix=".nc",
            publish={"result": RESULT},
        ),
        Step(
            name=CHECK,
            units=("check",),
            work=works.write_check,
            config={},
            needs=(MERGED,),
            suffix=".json",
            publish={"check": CHECK_FILE},
        ),
        Step(
            name=FLUXES,
            units=("fluxes",),
            work=partial(works.write_fluxes, fill=settings.fill, title=title, key=settings.key()),
            config={"fill": settings.fill, "title": title},
            needs=(MERGED,),
            suffix=".nc",
            publish={"fluxes": FLUX_FILE},
        ),
    ]
    made += _comparison_steps(settings)
    if settings.regions is not None:
        made += _region_steps(project, settings, settings.regions, regions)
    return made


def made_with(settings: FusionSettings, options: InferOptions, files: Files) -> dict[str, Any]:
    """How a result is made, for its attributes: sampler, seed, model, disturbance that is left out, period."""
    return {
        "sampler": options.sampler.model_dump(mode="json"),
        "seed": options.seed,
        "preset": settings.preset,
        "switches": asdict(options.switches),
        "not_simulated": list(settings.undisturbed),
        "period": files.period,
        "observations": sorted(settings.observations.streams),
    }


def _comparison_steps(settings: FusionSettings) -> list[Step]:
    """Results beside the observations: a table for streams by month, figures of the pixels that were named."""
    figures = {f"{name}.{kind}": name for name in settings.figures for kind in ("png", "svg")}
    table = Step(
        name=SCORES,
        units=("scores",),
        work=works.write_scores,
        config={},
        needs=(MERGED,),
        suffix=".csv",
        publish={"scores": SCORES_FILE},
    )
    drawn = Step(
        name=FIGURES,
        units=tuple(figures),
        work=partial(works.write_figure, pixels=figures),
        config={},
        needs=(MERGED,),
        publish={unit: f"fusion-figures/{unit}" for unit in figures},
    )
    observed = set(settings.observations.streams) & set(MODELLED)
    return [step for step, wanted in ((table, observed), (drawn, figures)) if wanted]


def _region_steps(
    project: Project, settings: FusionSettings, wanted: Regions, regions: tuple[str, ...]
) -> list[Step]:
    """Totals under every assumption, and what is made of them."""
    return [
        Step(
            name=TOTALS,
            units=("totals",),
            work=partial(
                works.write_totals,
                wanted=wanted,
                regions=regions,
                fill=settings.fill,
                seed=project.base.seed,
                switches=settings.chosen_switches(),
            ),
            config={
                **wanted.model_dump(mode="json", exclude={"budget_region", "budget_label"}),
                "fill": settings.fill,
                "seed": project.base.seed,
            },
            inputs={str(path): path for path in region_files(regions)},
            needs=(MERGED,),
            suffix=".json",
            publish={"totals": TOTALS_FILE},
            cost=Cost(seconds=60.0, memory_bytes=2e9, disk_bytes=1e6),
        ),
        Step(
            name=POSTS,
            units=("posts",),
            work=partial(works.write_posts_file, region=wanted.budget_region, label=wanted.budget_label),
            config={"region": wanted.budget_region, "label": wanted.budget_label},
            needs=(TOTALS,),
            suffix=".yaml",
            publish={"posts": POSTS_FILE},
        ),
        Step(
            name=TABLE,
            units=("table",),
            work=works.write_table,
            config={},
            needs=(TOTALS,),
            suffix=".csv",
            publish={"table": TABLE_FILE},
        ),
    ]


def _cost(settings: FusionSettings, blocks: Blocks) -> Cost:
    """What a block takes at most, with all its rounds; the time is known of hmc alone."""
    sampler, pixels, months = settings.sampler, blocks.largest, blocks.months
    walkers = pixels * max(sampler.chains, sampler.particles)
    draws = pixels * sampler.chains * sampler.draws * sampler.rounds
    numbers = walkers * months * VALUES_OF_A_STEP + 2 * draws * 28
    numbers += pixels * sampler.members * months * VALUES_OF_A_MEMBER
    annual = pixels * sampler.members * 7 * months / 12
    drawn = sampler.chains * (sampler.warmup + sampler.draws * sampler.rounds * sampler.thin)
    gradients = drawn * LEAPFROGS + sampler.particles * GRADIENTS_OF_A_PARTICLE
    return Cost(
        seconds=SECONDS_TO_COMPILE + pixels * gradients * SECONDS_OF_A_GRADIENT * months
        if sampler.method == "hmc"
        else None,
        memory_bytes=BYTES_OF_A_WORKER + 8.0 * numbers,
        disk_bytes=2.0 * (8.0 * (annual + 28 * pixels * sampler.members) + 4.0 * 7 * 15 * months * pixels),
    )


def settings_of(project: Project) -> FusionSettings:
    """The section of a project; ConfigError if there is none."""
    settings = project.sections.get("fusion")
    if not isinstance(settings, FusionSettings):
        raise ConfigError(
            f"project {project.base.name}: has no section fusion. Add one; see the guide on model-data fusion."
        )
    return settings


EXAMPLE = {
    "drivers": {"files": ["data/site_months.parquet"], "without": ["burned", "loss"]},
    "observations": {
        "lai": {"units": "1"},
        "nee": {"units": "g m-2 d-1"},
        "gpp": {"units": "g m-2 d-1"},
        "assimilate": "calibration",
    },
    "pixels": ["FI-Hyy", "FI-Sod"],
}
SECTION = Section("fusion", FusionSettings, steps, EXAMPLE)
