"""The `inventory` section of a project file, and its steps: the inventory, its posts, its table of classes."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from talik.files import read_json, write_json, write_text
from talik.inventory.settings import (
    Annual,
    Fluxes,
    GrowingSeason,
    InventorySettings,
    Months,
    Source,
    Table,
)
from talik.inventory.settings_base import lookup
from talik.posts.published import PERIOD, REGION
from talik.workflow.plan import Cost, Step
from talik.workflow.project import Project, Section
from talik.workflow.unit import Job

RESULT, POSTS, CLASSES = "inventory.json", "inventory-posts.yaml", "inventory-classes.csv"
LAND_FLUXES, WATER_FLUXES = "inventory-fluxes.nc", "inventory-waters.nc"
HILLSLOPES = "inventory.abrupt_thaw_hillslopes"
"""Nothing adds them: they may lie in any class."""
COLUMNS = ("estimate", "gas", "class", "area_mkm2", "density_g_m2_yr", "flux_tg_yr")


def steps(project: Project, settings: InventorySettings) -> list[Step]:
    """The inventory as JSON, and from it the posts file and the table."""
    files = files_in(project, settings)
    needs = ("inventory",)
    grids: dict[str, tuple[str, Any, str]] = {}
    if (land := settings.areas.cover) is not None:
        grids["inventory-fluxes"] = (land, _land_fluxes, LAND_FLUXES)
    if settings.added.waters is not None and "CH4" in settings.added.waters.gases:
        grids["inventory-waters"] = (settings.added.waters.cover, _water_fluxes, WATER_FLUXES)
    return [
        Step(
            name="inventory",
            units=("inventory",),
            work=partial(_run, settings=settings, files=files, seed=project.base.seed),
            config={**settings.model_dump(mode="json"), "seed": project.base.seed},
            inputs=files,
            suffix=".json",
            publish={"inventory": RESULT},
            cost=Cost(seconds=10.0, memory_bytes=5e8, disk_bytes=2e5),
        ),
        Step(
            name="inventory-posts",
            units=("posts",),
            work=_posts,
            config={},
            needs=needs,
            suffix=".yaml",
            publish={"posts": POSTS},
        ),
        Step(
            name="inventory-classes",
            units=("classes",),
            work=_classes,
            config={},
            needs=needs,
            suffix=".csv",
            publish={"classes": CLASSES},
        ),
        *(
            Step(
                name=name,
                units=("fluxes",),
                work=partial(work, settings=settings, cover=files[cover], seed=project.base.seed),
                config={**settings.model_dump(mode="json"), "seed": project.base.seed},
                inputs={cover: files[cover]},
                needs=needs,
                suffix=".nc",
                publish={"fluxes": published},
            )
            for name, (cover, work, published) in grids.items()
        ),
    ]


def files_in(project: Project, settings: InventorySettings) -> dict[str, Path]:
    """Every file by its name in the project, regions that are files among them."""
    places = [name for name in settings.added.places() if project.resolve(name).is_file()]
    return {name: project.resolve(name) for name in (*files_of(settings), *places)}


def files_of(settings: InventorySettings) -> list[str]:
    """Every file that the section names, as it stands there, each one once."""
    named = [settings.areas.cover] if settings.areas.cover else []
    for sources in settings.densities.values():
        named += [name for source in sources if (name := _file(source))]
    for beside in settings.beside.values():
        named += [name for sources in beside.values() for source in sources if (name := _file(source))]
    return list(dict.fromkeys([*named, *settings.added.files()]))


def _file(source: Source) -> str | None:
    match source:
        case GrowingSeason():
            return source.growing_season
        case Annual():
            return source.annual
        case Months():
            return source.months
        case Table():
            return source.table
        case Fluxes():
            return source.fluxes
    return None


def _run(job: Job, settings: InventorySettings, files: Mapping[str, Path], seed: int) -> None:
    from talik.inventory.run import run

    found = run(settings, lookup(files), seed)
    write_json(job.out, found)


def _posts(job: Job) -> None:
    """A posts file for `talik budget`.

    What the inventory does not make is taken as published, if it is of the published region and period; else the sum of
    the inventory is all that can be made.
    """
    found = read_json(job.needs["inventory"]["inventory"])
    content: dict[str, Any] = {"posts": found["posts"]}
    if (found["region"], found["period"]) == (REGION, PERIOD):
        content |= {"others": "reccap2", "recipes": "reccap2"}
    else:
        whole = [row for row in found["posts"] if "part_of" not in row and row["id"] != HILLSLOPES]
        content["posts"] = [_without_absent_parent(row, found["posts"]) for row in found["posts"]]
        gases = dict.fromkeys(row["gas"] for row in whole)
        content["recipes"] = [
            {"id": f"total.{approach}", "gas": gas, "sum": ids}
            for gas in gases
            for approach in dict.fromkeys(row["approach"] for row in whole)
            if (ids := [r["id"] for r in whole if (r["gas"], r["approach"]) == (gas, approach)])
        ]
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
    write_text(job.out, "# Written by talik inventory run; read by talik budget.\n" + text)


def _without_absent_parent(row: dict[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The row; where what it is part of is not in the file, its note says so. It stays out of the sum all the same."""
    parent = row.get("part_of")
    if parent is None or any((other["id"], other["gas"]) == (parent, row["gas"]) for other in rows):
        return row
    note = f"Part of {parent}, which this file does not hold, so in no sum. {row.get('note', '')}".strip()
    return {**{key: value for key, value in row.items() if key != "part_of"}, "note": note}


def _classes(job: Job) -> None:
    found = read_json(job.needs["inventory"]["inventory"])
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    names = [f"{name}_{end}" for name in COLUMNS[3:] for end in ("mean", "low", "high")]
    table.writerow([*COLUMNS[:3], *names, "sites", "values", "source"])
    for gas, held in found["gases"].items():
        for estimate, of in {"project": held, **held.get("beside", {})}.items():
            for row in of["classes"]:
                numbers = [f"{row[name][end]:.6g}" for name in COLUMNS[3:] for end in ("mean", "low", "high")]
                table.writerow(
                    [estimate, gas, row["class"], *numbers, row["sites"], row["values"], row["source"]]
                )
    write_text(job.out, out.getvalue())


def _land_fluxes(job: Job, settings: InventorySettings, cover: Path, seed: int) -> None:
    from talik.flux.io import write_netcdf
    from talik.inventory.gridded import land_fluxes
    from talik.sources.bawld import read_bawld

    found = read_json(job.needs["inventory"]["inventory"])
    densities = {
        gas: {row["class"]: row["density_g_m2_yr"]["mean"] for row in held["classes"]}
        for gas, held in found["gases"].items()
    }
    write_netcdf(land_fluxes(read_bawld(cover), densities, settings.areas.rockland), job.out)


def _water_fluxes(job: Job, settings: InventorySettings, cover: Path, seed: int) -> None:
    from talik.flux.io import write_netcdf
    from talik.inventory.waters import water_flux
    from talik.sources.bawld import read_bawld

    if settings.added.waters is not None:
        options = settings.added.waters.numbers.model_copy(update={"seed": seed})
        write_netcdf(water_flux(read_bawld(cover), options), job.out)


EXAMPLE = {
    "densities": {
        "CO2": [{"months": "data/sites.csv"}, "published"],
        "CH4": [{"growing_season": "data/bawld-ch4.csv"}, "printed growing season"],
        "N2O": ["published"],
    }
}
SECTION = Section("inventory", InventorySettings, steps, EXAMPLE)
