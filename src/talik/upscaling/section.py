"""The `upscaling` section of a project file, and its steps: learn, find the valid cells, predict, sum up."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from talik.errors import ConfigError
from talik.files import read_json, write_json, write_text
from talik.provenance import file_hashes, named_from, store_marks
from talik.regions.named import files_of, require_known, with_absolute_paths
from talik.upscaling.settings import UpscalingSettings
from talik.workflow.plan import Cost, Step
from talik.workflow.project import Project, Section
from talik.workflow.unit import Job

if TYPE_CHECKING:
    from talik.upscaling.cube.blocks import CubeFiles
    from talik.upscaling.learning import SiteFiles

TRAINING, HELD_OUT, MODELS = "upscaling-training", "upscaling-held-out", "upscaling-models"
DOMAIN, YEARS, MEMBERS = "upscaling-domain", "upscaling-years", "upscaling-members"
FLUXES, RESULT, BUDGETS, POSTS = "upscaling-fluxes", "upscaling", "upscaling-budgets", "upscaling-posts"
"""Names of the steps."""
FLUX_FILE, RESULT_FILE, BUDGETS_FILE, POSTS_FILE = (
    "upscaling-fluxes.nc",
    "upscaling.json",
    "upscaling-budgets.csv",
    "upscaling-posts.yaml",
)
IN_POSTS = ("nee", "ch4")
COLUMNS = ("flux", "region", "period", "value", "low", "high", "units", "positive", "coverage", "area_km2")


@dataclass(frozen=True)
class Found:
    """What the section reads, resolved; nothing of it is opened for the plan."""

    sites: SiteFiles
    cube: CubeFiles
    site_inputs: Mapping[str, Path]
    cube_inputs: Mapping[str, Path]
    folders: Mapping[str, str]
    """What tells that a folder (a store, FLUXNET files) has changed."""


def found_files(project: Project, settings: UpscalingSettings) -> Found:
    """The files of a project; ConfigError if it has no years."""
    from talik.upscaling.cube.blocks import CubeFiles
    from talik.upscaling.learning import SiteFiles

    period = project.base.period
    years = settings.years or (None if period is None else (period.first_year, period.last_year))
    if years is None:
        raise ConfigError("upscaling: which years? Give upscaling.years, or the project a period.")

    def placed(item: str) -> tuple[Path, str]:
        file, _, rest = item.rpartition(":")
        return project.resolve(file), rest

    at_sites = [placed(item) for item in settings.at_sites]
    land = None if settings.land_fraction is None else placed(settings.land_fraction)
    grids = tuple(path for name in settings.grids for path in project.matching(name, "upscaling.grids"))
    regions = tuple(with_absolute_paths(settings.regions, project.folder))
    require_known([name for name in regions if not _made_here(name, project)])
    points = None if settings.cv.points is None else project.resolve(settings.cv.points)
    sites = project.resolve(settings.sites)
    of_sites = [sites, *(path for path, _ in at_sites), *([points] if points else [])]
    of_cube = [*grids, *([land[0]] if land else []), *files_of(regions)]
    return Found(
        SiteFiles(sites, tuple(f"{path}:{rest}" for path, rest in at_sites), points),
        CubeFiles(
            grids,
            years,
            settings.stand_in,
            regions,
            None if land is None else (str(land[0]), land[1]),
            settings.holes,
        ),
        _inputs(of_sites),
        _inputs(of_cube),
        store_marks(project.folder, [*of_sites, *of_cube]),
    )


def steps(project: Project, settings: UpscalingSettings) -> list[Step]:
    """Everything from the site table to the posts."""
    from talik.upscaling import learning
    from talik.upscaling.learners import make_learner

    make_learner(
        settings.learner, settings.settings
    )  # refuses a setting that it has not before anything runs
    found = found_files(project, settings)
    seed = project.base.seed if settings.seed is None else settings.seed
    title = project.base.title or project.base.name
    learnt = settings.model_dump(
        mode="json",
        include={
            "sites",
            "at_sites",
            "predictors",
            "categorical",
            "filters",
            "accept_errors",
            "weights",
            "learner",
            "settings",
        }
        | {"tune", "cv"},
    )
    # which rows are taken depends on the limits: those of unseen places need positions
    learnt |= {"places": settings.limits.contain != "members", "seed": seed, "folders": dict(found.folders)}
    cube = settings.model_dump(
        mode="json", include={"grids", "stand_in", "holes", "land_fraction", "regions"}
    ) | {"years": list(found.cube.years), "folders": dict(found.folders)}
    validated = settings.cv.design != "none"
    first, last = found.cube.years
    blocks = {
        f"years-{a:04d}-{b:04d}": (a, b)
        for a in range(first, last + 1, settings.years_a_unit)
        for b in [min(a + settings.years_a_unit - 1, last)]
    }
    groups = [
        range(a, min(a + settings.members_a_unit, settings.members))
        for a in range(0, settings.members, settings.members_a_unit)
    ]
    members = {
        f"{flux}-{g.start:04d}-{g.stop - 1:04d}": (flux, g) for flux in settings.fluxes for g in groups
    }
    out = [
        Step(
            name=TRAINING,
            units=settings.fluxes,
            work=partial(learning.training_unit, settings=settings, files=found.sites),
            config=learnt,
            inputs=found.site_inputs,
            suffix=".parquet",
            cost=Cost(seconds=2.0, memory_bytes=5e8, disk_bytes=1e6),
        )
    ]
    if validated:
        out.append(
            Step(
                name=HELD_OUT,
                units=settings.fluxes,
                work=partial(learning.held_out_unit, settings=settings, files=found.sites, seed=seed),
                config=learnt,
                inputs={str(found.sites.points): found.sites.points} if found.sites.points else {},
                needs=(TRAINING,),
                suffix=".parquet",
                publish={flux: f"upscaling-held-out/{flux}.parquet" for flux in settings.fluxes},
                cost=Cost(seconds=5.0, memory_bytes=7e8, disk_bytes=1e6),
            )
        )
    out += [
        Step(
            name=MODELS,
            units=settings.fluxes,
            work=partial(learning.model_unit, settings=settings, seed=seed),
            config=learnt,
            needs=(TRAINING, HELD_OUT) if validated else (TRAINING,),
            suffix=".talik",
            publish={flux: f"upscaling-models/{flux}.talik" for flux in settings.fluxes},
            cost=Cost(seconds=5.0, memory_bytes=7e8, disk_bytes=1e7),
        ),
        Step(
            name=DOMAIN,
            units=("domain",),
            work=partial(_domain, files=found.cube),
            config=cube,
            inputs=found.cube_inputs,
            needs=(MODELS,),
            suffix=".npz",
            cost=Cost(seconds=5.0, memory_bytes=1e9, disk_bytes=1e6),
        ),
        Step(
            name=YEARS,
            units=tuple(blocks),
            work=partial(_years, files=found.cube, blocks=blocks, applicability=settings.applicability),
            config={**cube, "applicability": settings.applicability},
            inputs=found.cube_inputs,
            needs=(MODELS, DOMAIN),
            suffix=".npz",
            cost=Cost(seconds=5.0, memory_bytes=1e9, disk_bytes=2e6),
        ),
    ]
    if members:
        out.append(
            Step(
                name=MEMBERS,
                units=tuple(members),
                work=partial(_members, files=found.cube, members=members, seed=seed),
                config={**cube, "seed": seed},
                inputs=found.cube_inputs,
                needs=(TRAINING, MODELS, DOMAIN),
                suffix=".npz",
                cost=Cost(seconds=5.0, memory_bytes=1e9, disk_bytes=1e6),
            )
        )
    predicted = (MODELS, DOMAIN, YEARS, MEMBERS) if members else (MODELS, DOMAIN, YEARS)
    out += [
        Step(
            name=FLUXES,
            units=("fluxes",),
            work=partial(
                _fluxes,
                fluxes=settings.fluxes,
                files=found.cube,
                members=members,
                title=title,
            ),
            config={**cube, "title": title},
            inputs=found.cube_inputs,
            needs=predicted,
            suffix=".nc",
            publish={"fluxes": FLUX_FILE},
            cost=Cost(seconds=3.0, memory_bytes=1e9, disk_bytes=1e7),
        ),
        Step(
            name=RESULT,
            units=("upscaling",),
            work=partial(
                _result,
                settings=settings,
                files=found.cube,
                members=members,
                made_from=named_from(project.folder, {**found.site_inputs, **found.cube_inputs}),
            ),
            config={**cube, **settings.model_dump(mode="json", include={"limits", "least_coverage"})},
            inputs=found.cube_inputs,
            needs=(TRAINING, HELD_OUT, *predicted) if validated else (TRAINING, *predicted),
            suffix=".json",
            publish={"upscaling": RESULT_FILE},
            cost=Cost(seconds=5.0, memory_bytes=1e9, disk_bytes=3e5),
        ),
        Step(
            name=BUDGETS,
            units=("budgets",),
            work=_budgets,
            config={},
            needs=(RESULT,),
            suffix=".csv",
            publish={"budgets": BUDGETS_FILE},
        ),
    ]
    if set(settings.fluxes) & set(IN_POSTS):
        region = settings.budget_region
        out.append(
            Step(
                name=POSTS,
                units=("posts",),
                work=partial(_posts, region=region, label=settings.budget_label or region),
                config={"region": region, "label": settings.budget_label or region},
                needs=(RESULT,),
                suffix=".yaml",
                publish={"posts": POSTS_FILE},
            )
        )
    return out


def _inputs(paths: list[Path]) -> dict[str, Path]:
    """Files as a step names them: of a Zarr store its head, of another folder all files in it."""
    out: dict[str, Path] = {}
    for path in paths:
        if not path.is_dir():
            out[str(path)] = path
        elif (path / "zarr.json").is_file() or (path / ".zgroup").is_file():
            head = next(path / n for n in ("zarr.json", ".zgroup") if (path / n).is_file())
            out[str(path)] = head
        else:
            out |= {str(p): p for p in sorted(path.rglob("*")) if p.is_file()}
    return out


def _made_here(region: str, project: Project) -> bool:
    """Whether a region is of a file in the output folder, which may be made before it is needed."""
    return any(path.resolve().is_relative_to(project.output) for path in files_of([region]))


def _domain(job: Job, files: CubeFiles) -> None:
    from talik.upscaling.cube.blocks import find_domain

    find_domain(files, list(job.needs[MODELS].values())).save(job.out)


def _years(job: Job, files: CubeFiles, blocks: Mapping[str, tuple[int, int]], applicability: bool) -> None:
    from talik.upscaling.cube.blocks import Domain, predict_years
    from talik.upscaling.parallel import free_threads

    models, domain = list(job.needs[MODELS].values()), Domain.load(job.needs[DOMAIN]["domain"])
    predict_years(
        files, models, domain, blocks[job.unit], applicability=applicability, threads=free_threads()
    ).save(job.out)


def _members(job: Job, files: CubeFiles, members: Mapping[str, tuple[str, range]], seed: int) -> None:
    from talik.upscaling.cube.blocks import Domain, predict_members
    from talik.upscaling.model import Model
    from talik.upscaling.parallel import free_threads
    from talik.upscaling.training_file import read_training_file

    flux, which = members[job.unit]
    training = read_training_file(job.needs[TRAINING][flux])
    model, domain = (
        Model.load(job.needs[MODELS][flux], members=False),
        Domain.load(job.needs[DOMAIN]["domain"]),
    )
    predict_members(files, training, model, domain, which, seed, free_threads()).save(job.out)


def _member_files(job: Job, members: Mapping[str, tuple[str, range]], flux: str) -> list[Path]:
    return [job.needs[MEMBERS][unit] for unit, (of, _) in members.items() if of == flux]


def _fluxes(
    job: Job,
    fluxes: tuple[str, ...],
    files: CubeFiles,
    members: Mapping[str, tuple[str, range]],
    title: str,
) -> None:
    from talik.flux.io import write_netcdf
    from talik.upscaling.cube.blocks import Domain
    from talik.upscaling.cube.merge import flux_dataset, joined_members, joined_years

    made = flux_dataset(
        files,
        {flux: job.needs[MODELS][flux] for flux in fluxes},
        Domain.load(job.needs[DOMAIN]["domain"]),
        joined_years([job.needs[YEARS][unit] for unit in sorted(job.needs[YEARS])]),
        {f: held for f in fluxes if (held := joined_members(_member_files(job, members, f))) is not None},
        title=title,
    )
    write_netcdf(made, job.out, step="upscaling")


def _result(
    job: Job,
    settings: UpscalingSettings,
    files: CubeFiles,
    members: Mapping[str, tuple[str, range]],
    made_from: Mapping[str, Path],
) -> None:
    from talik.upscaling.cube.blocks import Domain
    from talik.upscaling.cube.merge import joined_members, joined_years
    from talik.upscaling.result import result_of

    found = result_of(
        settings,
        files,
        models=job.needs[MODELS],
        training=job.needs[TRAINING],
        held_out=job.needs.get(HELD_OUT, {}),
        domain=Domain.load(job.needs[DOMAIN]["domain"]),
        years=joined_years([job.needs[YEARS][unit] for unit in sorted(job.needs[YEARS])]),
        members={f: joined_members(_member_files(job, members, f)) for f in settings.fluxes},
    )
    write_json(job.out, {**found, "inputs": file_hashes(made_from)})


def _budgets(job: Job) -> None:
    result = read_json(job.needs[RESULT]["upscaling"])
    first, last = result["period"]
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(COLUMNS)
    for flux, held in result["fluxes"].items():
        for region, of in held["regions"].items():
            rows = [(f"{first}-{last}", of["mean"], of["low"], of["high"])]
            rows += [(str(a["year"]), a["value"], a["low"], a["high"]) for a in of["annual"]]
            for period, *values in rows:
                shown = ["" if v is None else f"{v:.10g}" for v in (*values,)]
                more = [held["units"], held["positive"], f"{of['coverage']:.6g}", f"{of['area_km2']:.10g}"]
                table.writerow([flux, region, period, *shown, *more])
    write_text(job.out, out.getvalue())


def _posts(job: Job, region: str, label: str) -> None:
    from talik.upscaling.posts import posts_file

    content = posts_file(read_json(job.needs[RESULT]["upscaling"]), region, label)
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
    write_text(job.out, "# Written by section upscaling; read by talik budget.\n" + text)


EXAMPLE = {
    "sites": "data/sites.csv",
    "fluxes": ["nee"],
    "at_sites": ["data/predictors.nc:srad,soil_temperature,soc_stock"],
    "grids": ["data/predictors.nc"],
    "regions": ["sectors"],
}
SECTION = Section("upscaling", UpscalingSettings, steps, EXAMPLE)
