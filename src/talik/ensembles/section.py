"""The `ensemble` section of a project file, and its steps: harmonised members, totals, summary, posts, tables, maps."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from talik.ensembles.settings import NATURAL_EARTH, EnsembleSettings, Resolve, expand
from talik.errors import ConfigError
from talik.files import read_json, write_json, write_text
from talik.flux.table import flux_var
from talik.posts.published import REGION
from talik.provenance import fingerprint
from talik.regions.named import files_of, require_known, with_absolute_paths
from talik.sources.inversion_layouts import inversion_layout
from talik.sources.model_profiles import model_profile
from talik.workflow.plan import Cost, Step
from talik.workflow.project import Project, Section
from talik.workflow.unit import Job

MEMBERS, TOTALS, SUMMARY, POSTS, TABLES, CELLS = (
    "ensemble-members",
    "ensemble-totals",
    "ensemble",
    "ensemble-posts",
    "ensemble-tables",
    "ensemble-cells",
)
FIGURES = "ensemble-figures"
"""Names of the steps."""
FIGURE_FILES = tuple(f"{name}.{kind}" for name in ("series", "boxes") for kind in ("png", "svg"))
RESULT, POSTS_FILE = "ensemble.json", "ensemble-posts.yaml"
WHOLE = {
    "process": ("process.nee_fire", "process.nee", "process.wetland_ch4"),
    "inversion": ("inversion.natural", "inversion.total"),
}
"""Of each approach, posts that are all of it; the first that there is counts."""
LABELS = {"family", "group", "project", "scenario", "soil_carbon", "litter_in_soil", "fire", "satellite_of"}
"""What is said of a member and changes nothing in its dataset: a new family does not read gigabytes again."""
TABLE_NAMES = ("regions", "members", "yearly")


@dataclass(frozen=True)
class Found:
    """Files of a project that the ensemble reads, and its regions, good in any working folder."""

    members: Mapping[str, tuple[Path, ...]]
    """Files of each member."""
    named: Mapping[str, Path]
    """Every other file, by its name in the project."""
    regions: tuple[str, ...]
    years: tuple[int, int] | None

    def inputs(
        self, names: Iterable[str | None], *, members: bool = True, regions: bool = True
    ) -> dict[str, Path]:
        """Files that a step reads: of members, of regions, and those named."""
        out = {str(path): path for paths in self.members.values() for path in paths} if members else {}
        held = {name: self.named[name] for name in names if name is not None and name in self.named}
        out |= {name: path / "zarr.json" if path.is_dir() else path for name, path in held.items()}
        return {**out, **{str(p): p for p in files_of(self.regions)}} if regions else out

    @property
    def stores(self) -> dict[str, str]:
        """What tells that a store (a folder) has changed."""
        return {name: fingerprint([path]) for name, path in self.named.items() if path.is_dir()}

    def inputs_of(self, member: str) -> dict[str, Path]:
        """The files of a member, by name."""
        paths = self.members[member]
        names = [path.name for path in paths]
        return {str(p) if names.count(p.name) > 1 else p.name: p for p in paths}


def files_found(project: Project, settings: EnsembleSettings) -> Found:
    """The files of a project; InputError if a pattern fits none."""
    resolve: Resolve = project.resolve
    members = {
        name: tuple(
            path for pattern in member.files for path in expand(pattern, resolve, f"ensemble member {name}")
        )
        for name, member in settings.members.items()
    }
    beside = [settings.profiles, settings.fire, settings.tables.reccap2_cmip6]
    beside += [model.land_fraction for model in settings.models.values()]
    beside += [name for inversion in settings.inversions.values() for name in inversion.human]
    named = {name: resolve(name) for name in beside if name and name != NATURAL_EARTH}
    for name in (model.profile for model in settings.models.values()):
        model_profile(name, None if settings.profiles is None else named[settings.profiles])
    for name in (inversion.layout for inversion in settings.inversions.values()):
        inversion_layout(name)
    for name in settings.cells:
        flux_var(name)
    regions = tuple(with_absolute_paths(settings.regions, project.folder))
    require_known(regions)
    period = project.base.period
    return Found(
        members,
        named,
        regions,
        None if period is None else (period.first_year, period.last_year),
    )


def steps(project: Project, settings: EnsembleSettings) -> list[Step]:
    """A harmonised dataset and a table of totals for each member, then the summary, its posts and its tables."""
    found = files_found(project, settings)
    reading = {
        "models": {n: m.model_dump(mode="json", exclude=LABELS) for n, m in settings.models.items()},
        "inversions": {n: m.model_dump(mode="json", exclude=LABELS) for n, m in settings.inversions.items()},
        "profiles": settings.profiles,
        "north_of": settings.north_of,
        "stores": found.stores,
    }
    beside = [settings.profiles, *(m.land_fraction for m in settings.models.values())]
    beside += [name for m in settings.inversions.values() for name in m.human]
    totalling = {
        **reading,
        "regions": list(found.regions),
        "least_coverage": settings.least_coverage,
        "scenarios": {name: model.scenario for name, model in settings.models.items()},
    }
    whole = {
        **settings.model_dump(mode="json", exclude={"keep"}),
        "years": found.years and list(found.years),
        "stores": found.stores,
    }
    out = []
    if found.members:
        units = tuple(found.members)
        sizes = [sum(p.stat().st_size for p in paths if p.is_file()) for paths in found.members.values()]
        out.append(
            Step(
                name=MEMBERS,
                units=units,
                work=partial(_member, settings=settings, found=found),
                suffix=".nc",
                publish={name: f"ensemble/{name}.nc" for name in units} if settings.keep else {},
                cost=Cost(seconds=2.0 + 5e-8 * max(sizes), memory_bytes=1e9, disk_bytes=float(max(sizes))),
                config=reading,
                inputs=found.inputs(beside, regions=False),
            )
        )
        out.append(
            Step(
                name=TOTALS,
                units=units,
                work=partial(_totals, settings=settings, found=found),
                needs=(MEMBERS,),
                suffix=".json",
                cost=Cost(seconds=2.0 + 5e-8 * max(sizes), memory_bytes=1e9, disk_bytes=1e6),
                config=totalling,
                inputs=found.inputs(beside),
            )
        )
    if settings.cells and settings.models:
        out.append(
            Step(
                name=CELLS,
                units=settings.cells,
                work=partial(_cells, settings=settings, found=found),
                needs=(MEMBERS,),
                suffix=".nc",
                publish={name: f"ensemble-cells-{name}.nc" for name in settings.cells},
                cost=Cost(seconds=60.0, memory_bytes=1.6e9, disk_bytes=5e7),
                config=whole,
            )
        )
    out.append(
        Step(
            name=SUMMARY,
            units=("ensemble",),
            work=partial(_summary, settings=settings, found=found),
            needs=(MEMBERS, TOTALS) if found.members else (),
            suffix=".json",
            publish={"ensemble": RESULT},
            cost=Cost(seconds=8.0, memory_bytes=8e8, disk_bytes=2e6),
            config=whole,
            inputs=found.inputs(
                [n for n in (settings.fire, settings.tables.reccap2_cmip6) if n], members=False
            ),
        )
    )
    out.append(
        Step(
            name=POSTS,
            units=("posts",),
            work=_posts,
            config={},
            needs=(SUMMARY,),
            suffix=".yaml",
            publish={"posts": POSTS_FILE},
        )
    )
    tables = TABLE_NAMES if settings.models else TABLE_NAMES[:2]
    out.append(
        Step(
            name=TABLES,
            units=tables,
            work=_table,
            config={},
            needs=(SUMMARY,),
            suffix=".csv",
            publish={name: f"ensemble-{name}.csv" for name in tables},
        )
    )
    out.append(
        Step(
            name=FIGURES,
            units=FIGURE_FILES,
            work=_figure,
            config={},
            needs=(SUMMARY,),
            publish={name: f"ensemble-figures/{name}" for name in FIGURE_FILES},
            cost=Cost(seconds=2.0, memory_bytes=3e8, disk_bytes=2e5),
        )
    )
    return out


def _member(job: Job, settings: EnsembleSettings, found: Found) -> None:
    from talik.ensembles.harmonise import harmonised
    from talik.flux import write_netcdf

    ds = harmonised(job.unit, settings, found.members[job.unit], found.named)
    write_netcdf(ds, job.out, step=f"harmonise {job.unit}", inputs=found.inputs_of(job.unit))


def _totals(job: Job, settings: EnsembleSettings, found: Found) -> None:
    from talik.ensembles.harmonise import regional_rows

    rows = regional_rows(
        job.unit, settings, job.needs[MEMBERS][job.unit], found.members[job.unit], found.named, found.regions
    )
    write_text(job.out, json.dumps(rows, allow_nan=False) + "\n")


def _cells(job: Job, settings: EnsembleSettings, found: Found) -> None:
    from talik.ensembles.run import cells_of

    paths = {name: job.needs[MEMBERS][name] for name in settings.models}
    cells_of(paths, job.unit, settings, found.years).to_netcdf(job.out, engine="netcdf4", format="NETCDF4")


def _summary(job: Job, settings: EnsembleSettings, found: Found) -> None:
    from talik.ensembles.run import summarise

    totals = {name: read_json(path) for name, path in job.needs.get(TOTALS, {}).items()}
    result = summarise(settings, totals, job.needs.get(MEMBERS, {}), found)
    write_json(job.out, result)


def _posts(job: Job) -> None:
    """A posts file for `talik budget`: beside the published posts if it is of their region, else with its own sums."""
    rows = read_json(job.needs[SUMMARY]["ensemble"])["posts"]
    content: dict[str, Any] = {"posts": rows}
    if rows and rows[0]["region"] == REGION:
        content |= {"others": "reccap2", "recipes": "reccap2"}
    elif rows:
        held = {(row["id"], row["gas"]) for row in rows}
        content["recipes"] = [
            {"id": f"total.{approach}", "gas": gas, "sum": [name]}
            for approach, names in WHOLE.items()
            for gas in dict.fromkeys(row["gas"] for row in rows)
            for name in [next((n for n in names if (n, gas) in held), None)]
            if name is not None
        ]
    write_text(job.out, yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120))


def _table(job: Job) -> None:
    found = read_json(job.needs[SUMMARY]["ensemble"])
    rows = found["tables"][job.unit]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(k for row in rows for k in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(job.out, out.getvalue())


def _figure(job: Job) -> None:
    from talik.ensembles.figures import draw
    from talik.report.style import nothing_to_draw, png, svg

    name, _, kind = job.unit.partition(".")
    figure = draw(name, read_json(job.needs[SUMMARY]["ensemble"]))
    figure = figure or nothing_to_draw(name, "there are no process models with what it shows")
    job.out.write_bytes(png(figure) if kind == "png" else svg(figure).encode())


def settings_of(project: Project) -> EnsembleSettings:
    """The section of a project; ConfigError if there is none."""
    settings = project.sections.get("ensemble")
    if not isinstance(settings, EnsembleSettings):
        raise ConfigError(
            f"project {project.base.name}: has no section ensemble. Add one; see the guide on ensembles."
        )
    return settings


EXAMPLE = {
    "regions": ["sectors"],
    "models": {
        "CLM5.0": {"profile": "TRENDY", "files": ["data/trendy/CLM5.0_S3_*.nc"], "soil_carbon": "layered"}
    },
    "inversions": {"GCB": {"layout": "gcb", "files": ["data/inversions.nc"]}},
}
SECTION = Section("ensemble", EnsembleSettings, steps, EXAMPLE)
