"""The `compare` section of a project file, and its steps: each dataset, its map, agreement, the result, the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr

from talik.compare.opening import Source, land_regions, open_source, read_tundra, within
from talik.compare.settings import EIGHT, CompareSettings
from talik.errors import ConfigError
from talik.files import read_json, write_json, write_text
from talik.provenance import fingerprint, hash_file
from talik.regions.grid import Grid
from talik.regions.named import files_of, require_known, with_absolute_paths
from talik.workflow.plan import Cost, Step, seconds_to_read
from talik.workflow.project import Project, Section
from talik.workflow.unit import Job

FIGURE_NAMES = ("matrix", "regions", "agreement", "taylor", "ranking")
ENSEMBLE, MEMBERS = "ensemble", "ensemble-members"
"""The section whose members can be compared, and the step that makes them."""
SOURCES, MAPS, AGREEMENT, RESULT, PAGE, FIGURES = (
    "compare-sources",
    "compare-maps",
    "compare-agreement",
    "compare",
    "compare-page",
    "compare-figures",
)
"""Names of the steps."""
FIGURE_FILES = tuple(f"{name}.{kind}" for name in FIGURE_NAMES for kind in ("png", "svg"))
FILES = {
    RESULT: "compare.json",
    AGREEMENT: "compare-agreement.nc",
    PAGE: "compare.html",
}
"""What is put into the output folder."""
SITES = "sites"
"""The model of an approach that is a site table."""


@dataclass(frozen=True)
class Inputs:
    """Everything that the units of a comparison read, by the names of the project file."""

    sources: tuple[Source, ...]
    files: Mapping[str, Path]
    years: tuple[int, int]
    regions: tuple[str, ...]
    fire: str | None
    towers: str | None


def inputs_of(project: Project, settings: CompareSettings) -> Inputs:
    """Sources and files of a comparison; ConfigError if the project lacks what it names."""
    period = project.base.period
    if period is None:
        raise ConfigError("compare: approaches are compared over the same years. Give the project a period.")
    ensemble = project.sections.get(ENSEMBLE)
    sources: list[Source] = []
    for approach, held in settings.approaches.items():
        if held.sites is not None:
            sources.append(Source(approach, SITES, path=held.sites))
        sources += [Source(approach, name, path=path) for name, path in held.fluxes.items()]
        sources += [
            Source(approach, name, member=name, group=group)
            for name, group in _members(approach, held.members, ensemble).items()
        ]
    units = [source.unit for source in sources]
    if twice := sorted({u for u in units if units.count(u) > 1}):
        raise ConfigError(
            f"compare: {', '.join(twice)} is named twice. Give each dataset of an approach one name."
        )
    fire = getattr(ensemble, "fire", None)
    towers = settings.towers or next((s.path for s in sources if s.model == SITES), None)
    named = [s.path for s in sources if s.path] + [n for n in (fire, towers) if n]
    files = {name: project.resolve(name) for name in named}
    for name, path in files.items():
        if path.is_dir() and not (path / "zarr.json").is_file():
            raise ConfigError(
                f"compare: {name} is a folder without zarr.json; give a NetCDF file or a Zarr v3 store."
            )
    if settings.tundra is not None:
        if ":" not in settings.tundra:
            raise ConfigError(
                f"compare.tundra: {settings.tundra!r}; name file and variable, as in biomes.nc:tundra."
            )
        files[settings.tundra] = project.resolve(settings.tundra.rpartition(":")[0])
    regions = settings.regions
    if EIGHT not in regions:
        regions = tuple(with_absolute_paths(regions, project.folder))
        require_known(regions)
    return Inputs(tuple(sources), files, (period.first_year, period.last_year), regions, fire, towers)


def _members(approach: str, wanted: Sequence[str], ensemble: Any) -> dict[str, str]:
    """Members of the ensemble section and their groups: by name, by project, or all models or inversions."""
    if not wanted:
        return {}
    if ensemble is None:
        raise ConfigError(
            f"compare.approaches.{approach}: members are of a section ensemble; the project has none."
        )
    out: list[str] = []
    for one in wanted:
        projects = [name for name, m in ensemble.models.items() if m.project == one]
        if one in ensemble.members:
            out.append(one)
        elif one == "models":
            out += list(ensemble.models)
        elif one == "inversions":
            # a run with satellite data is the same system once more
            out += [name for name, m in ensemble.inversions.items() if m.satellite_of is None]
        elif projects:
            out += projects
        else:
            known = dict.fromkeys(m.project for m in ensemble.models.values() if m.project)
            raise ConfigError(
                f"compare.approaches.{approach}: {one!r} is no member and no project of section ensemble; known are "
                f"{', '.join([*ensemble.members, *known, 'models', 'inversions'])}."
            )
    if twice := sorted({name for name in out if out.count(name) > 1}):
        raise ConfigError(
            f"compare.approaches.{approach}: {', '.join(twice)} is named twice. Name each member once."
        )
    return {name: ensemble.members[name].group for name in out}


def require_grids(inputs: Inputs) -> None:
    """ConfigError for a flux dataset that holds a list of cells: regions and maps are made of grids."""
    for source in inputs.sources:
        path = inputs.files.get(source.path) if source.path and source.model != SITES else None
        if path is None or not path.is_file():
            continue
        with xr.open_dataset(path, decode_times=False) as ds:
            if "cell" in ds.dims and not {"lat", "lon"} & set(ds.dims):
                raise ConfigError(
                    f"compare: {source.path} ({source.approach}) holds a list of {ds.sizes['cell']} cells, as of "
                    "towers or of a few pixels; expected axes lat and lon. Give pixels of an even grid of 3 rows and "
                    "columns or more, or towers as sites."
                )


def steps(project: Project, settings: CompareSettings) -> list[Step]:
    """A unit for each dataset, twice: its numbers and its map; then agreement, result, page and figures."""
    inputs = inputs_of(project, settings)
    gridded = [source for source in inputs.sources if source.model != SITES]
    # each step by what changes its result: another neutral band reads no dataset again
    chosen = settings.model_dump(mode="json")
    read = {
        "approaches": chosen["approaches"],
        "variable": settings.variable,
        "years": list(inputs.years),
        "stores": {name: fingerprint([path]) for name, path in inputs.files.items() if path.is_dir()},
    }
    placed = {**read, **{k: chosen[k] for k in ("regions", "tundra", "towers", "least_coverage")}}
    mapped = {**read, **{k: chosen[k] for k in ("grid_degrees", "map_south")}}
    agreed = {**mapped, "neutral": settings.neutral_band, "fewest_approaches": settings.fewest_approaches}
    whole = {**placed, **agreed, "draws": settings.draws, "seed": project.base.seed}
    files = {n: path / "zarr.json" if path.is_dir() else path for n, path in inputs.files.items()}
    files |= {
        name: path for path in files_of([r for r in inputs.regions if r != EIGHT]) if (name := str(path))
    }
    seconds = max((seconds_to_read(path) for path in inputs.files.values()), default=2.0)
    needs = (MEMBERS,) if any(source.member for source in inputs.sources) else ()
    common: dict[str, Any] = {"inputs": files, "needs": needs}
    sources = Step(
        name=SOURCES,
        units=tuple(source.unit for source in inputs.sources),
        work=partial(_source, settings=settings, inputs=inputs),
        suffix=".json",
        cost=Cost(seconds=seconds, memory_bytes=1.5e9, disk_bytes=2e5),
        config=placed,
        **common,
    )
    result = Step(
        name=RESULT,
        units=("compare",),
        work=partial(_result, settings=settings, inputs=inputs, seed=project.base.seed),
        config=whole,
        inputs=files,
        needs=(SOURCES, MAPS, AGREEMENT) if gridded else (SOURCES,),
        suffix=".json",
        publish={"compare": FILES[RESULT]},
        cost=Cost(seconds=10.0, memory_bytes=5e8, disk_bytes=1e6),
    )
    out = [sources]
    if gridded:
        out.append(
            Step(
                name=MAPS,
                units=tuple(source.unit for source in gridded),
                work=partial(_map, settings=settings, inputs=inputs),
                suffix=".nc",
                cost=Cost(seconds=seconds, memory_bytes=1.5e9, disk_bytes=2e6),
                config=mapped,
                **common,
            )
        )
        out.append(
            Step(
                name=AGREEMENT,
                units=("agreement",),
                work=partial(_agreement, settings=settings, inputs=inputs),
                config=agreed,
                needs=(MAPS,),
                suffix=".nc",
                publish={"agreement": FILES[AGREEMENT]},
                cost=Cost(seconds=3.0, memory_bytes=1e9, disk_bytes=2e6),
            )
        )
    page = Step(
        name=PAGE,
        units=("page",),
        work=partial(_page, title=project.base.title or project.base.name),
        config={"title": project.base.title or project.base.name},
        needs=(RESULT, AGREEMENT) if gridded else (RESULT,),
        suffix=".html",
        publish={"page": FILES[PAGE]},
        cost=Cost(seconds=6.0, memory_bytes=5e8, disk_bytes=2e6),
    )
    drawn = Step(
        name=FIGURES,
        units=FIGURE_FILES,
        work=_figure,
        config={},
        needs=page.needs,
        publish={name: f"compare-figures/{name}" for name in FIGURE_FILES},
        cost=Cost(seconds=3.0, memory_bytes=4e8, disk_bytes=2e5),
    )
    return [*out, result, page, drawn] if settings.figures else [*out, result, page]


def _opened(source: Source, inputs: Inputs, job: Job, variable: str) -> xr.Dataset:
    path = job.needs[MEMBERS][source.member] if source.member else inputs.files[source.path]
    fire = None if inputs.fire is None else inputs.files[inputs.fire]
    return within(open_source(path, variable, fire), inputs.years)


def _regions(settings: CompareSettings, inputs: Inputs) -> Callable[[Grid], xr.DataArray]:
    tundra = None if settings.tundra is None else read_tundra(settings.tundra, inputs.files)
    return land_regions(inputs.regions, tundra)


def _source(job: Job, settings: CompareSettings, inputs: Inputs) -> None:
    from talik.compare.contribution import of_dataset, of_sites
    from talik.sources.site_table import read_sites

    source = next(s for s in inputs.sources if s.unit == job.unit)
    if source.model == SITES:
        found = of_sites(
            read_sites(inputs.files[source.path]),
            source.approach,
            variable=settings.variable,
            years=inputs.years,
            regions=inputs.regions,
            eight=EIGHT in inputs.regions,
        )
        table = inputs.files[source.path]
        found["inputs"] = {source.path: hash_file(table) if table.is_file() else fingerprint([table])}
    else:
        with closing(_opened(source, inputs, job, settings.variable)) as ds:
            found = of_dataset(
                ds,
                source.model,
                source.approach,
                variable=settings.variable,
                years=inputs.years,
                weights=_regions(settings, inputs),
                least_coverage=settings.least_coverage,
                towers=None if inputs.towers is None else read_sites(inputs.files[inputs.towers]),
            )
    write_json(job.out, found)


def _map(job: Job, settings: CompareSettings, inputs: Inputs) -> None:
    from talik.compare.contribution import annual_map, comparison_grids
    from talik.flux import write_netcdf

    source = next(s for s in inputs.sources if s.unit == job.unit)
    grids = comparison_grids(settings.grid_degrees, settings.map_south)
    with closing(_opened(source, inputs, job, settings.variable)) as ds:
        write_netcdf(annual_map(ds, source.model, settings.variable, inputs.years, grids), job.out)


def _agreement(job: Job, settings: CompareSettings, inputs: Inputs) -> None:
    from talik.compare.result import agreement_of

    maps = {s: job.needs[MAPS][s.unit] for s in inputs.sources if s.model != SITES}
    found = agreement_of(maps, settings)
    found.to_netcdf(job.out, engine="netcdf4", format="NETCDF4")


def _result(job: Job, settings: CompareSettings, inputs: Inputs, seed: int) -> None:
    from talik.compare.result import result_of

    parts = {s: read_json(job.needs[SOURCES][s.unit]) for s in inputs.sources}
    maps = {s: job.needs[MAPS][s.unit] for s in inputs.sources if s.model != SITES}
    regions = _regions(settings, inputs)
    found = result_of(parts, maps, _agreed(job), settings, inputs.years, regions, seed, inputs.towers)
    write_json(job.out, found)


def _page(job: Job, title: str) -> None:
    from talik.compare.page import render
    from talik.provenance import describe

    path = job.needs[RESULT]["compare"]
    told = describe({FILES[RESULT]: path}, "")
    made_by = {k: v for k, v in told.items() if k in ("code", "inputs")}
    write_text(job.out, render(read_json(path), _agreed(job), title, made_by))


def _figure(job: Job) -> None:
    from talik.compare.page import figures
    from talik.report.style import nothing_to_draw, png, svg

    name, _, kind = job.unit.partition(".")
    found = figures(read_json(job.needs[RESULT]["compare"]), _agreed(job)).get(name)
    figure = found() if found is not None else None
    figure = figure or nothing_to_draw(name, "this comparison has nothing to draw here")
    job.out.write_bytes(png(figure) if kind == "png" else svg(figure).encode())


def _agreed(job: Job) -> Path | None:
    return job.needs.get(AGREEMENT, {}).get("agreement")


EXAMPLE = {
    "approaches": {
        "towers": {"sites": "data/sites.csv"},
        "upscaling": {"fluxes": {"forest": "data/upscaled.nc"}},
    },
    "regions": ["sectors"],
}
SECTION = Section("compare", CompareSettings, steps, EXAMPLE)
