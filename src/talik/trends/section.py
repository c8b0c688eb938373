"""The `trends` section of a project file, and its steps: regions and cells of each dataset, the result, the table."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from talik.files import read_json, write_json, write_text
from talik.provenance import store_marks
from talik.regions.named import files_of, require_known, with_absolute_paths
from talik.trends.settings import TrendsSettings
from talik.workflow.plan import Cost, Step
from talik.workflow.project import Project, Section
from talik.workflow.unit import Job

REGIONS, MAPS, RESULT, TABLE = "trends-regions", "trends-maps", "trends", "trends-table"
"""Names of the steps."""
RESULT_FILE, TABLE_FILE = "trends.json", "trends.csv"
COLUMNS = (
    "dataset",
    "variable",
    "region",
    "first_year",
    "last_year",
    "n_years",
    "mean",
    "slope",
    "low",
    "high",
)
MORE = ("p", "p_adjusted", "significant", "tau", "units", "species", "positive", "coverage", "area_km2")


def steps(project: Project, settings: TrendsSettings) -> list[Step]:
    """Regional trends of each dataset, a map of trends for each variable of it, then the result and its table."""
    files = {name: project.resolve(of.file) for name, of in settings.datasets.items()}
    regions = tuple(with_absolute_paths(settings.regions, project.folder))
    beside = {str(p): p for p in files_of(regions)}
    require_known([r for r in regions if not any(p.is_relative_to(project.output) for p in files_of([r]))])
    period = project.base.period
    years = settings.years or (None if period is None else (period.first_year, period.last_year))
    inputs = {str(p): p / "zarr.json" if p.is_dir() else p for p in files.values()}
    stores = store_marks(project.folder, files.values())
    how = settings.model_dump(
        mode="json", include={"fluxes", "variables", "method", "preserve", "confidence"}
    )
    how |= {"years": years and list(years), "stores": stores}
    out = [
        Step(
            name=REGIONS,
            units=tuple(files),
            work=partial(_regions, settings=settings, files=files, regions=regions, years=years),
            config={**how, "regions": list(regions), "least_coverage": settings.least_coverage},
            inputs={**inputs, **beside},
            suffix=".json",
            cost=Cost(seconds=4.0, memory_bytes=1e9, disk_bytes=1e5),
        )
    ]
    maps = {f"{name}-{v}": (name, v) for name, of in settings.datasets.items() for v in of.variables}
    if settings.maps:
        out.append(
            Step(
                name=MAPS,
                units=tuple(maps),
                work=partial(_map, settings=settings, files=files, maps=maps, years=years),
                config={**how, "false_discovery_rate": settings.false_discovery_rate},
                inputs=inputs,
                suffix=".nc",
                publish={unit: f"trends-{unit}.nc" for unit in maps},
                cost=Cost(seconds=4.0, memory_bytes=1e9, disk_bytes=1e6),
            )
        )
    out.append(
        Step(
            name=RESULT,
            units=("trends",),
            work=partial(_result, settings=settings, maps=maps),
            config={"false_discovery_rate": settings.false_discovery_rate},
            needs=(REGIONS, MAPS) if settings.maps else (REGIONS,),
            suffix=".json",
            publish={"trends": RESULT_FILE},
        )
    )
    out.append(
        Step(
            name=TABLE,
            units=("trends",),
            work=_table,
            config={},
            needs=(RESULT,),
            suffix=".csv",
            publish={"trends": TABLE_FILE},
        )
    )
    return out


def _regions(
    job: Job,
    settings: TrendsSettings,
    files: Mapping[str, Path],
    regions: tuple[str, ...],
    years: tuple[int, int] | None,
) -> None:
    from talik.trends.regional import open_dataset, regional_trends

    variables = settings.datasets[job.unit].variables
    with open_dataset(files[job.unit], variables) as ds:
        found = {
            v: regional_trends(
                ds, v, regions, settings.chosen, years=years, least_coverage=settings.least_coverage
            )
            for v in variables
        }
        told = {"approach": str(ds.attrs["approach"]), "source": str(ds.attrs["source"])}
    write_json(job.out, {**told, "variables": found})


def _map(
    job: Job,
    settings: TrendsSettings,
    files: Mapping[str, Path],
    maps: Mapping[str, tuple[str, str]],
    years: tuple[int, int] | None,
) -> None:
    from talik.trends.gridded import write_part
    from talik.trends.regional import cell_trends, open_dataset

    name, variable = maps[job.unit]
    alpha = settings.false_discovery_rate
    with open_dataset(files[name], [variable]) as ds:
        write_part(cell_trends(ds, variable, settings.chosen, alpha, years), job.out, alpha)


def _result(job: Job, settings: TrendsSettings, maps: Mapping[str, tuple[str, str]]) -> None:
    from talik.trends.field import false_discovery

    alpha = settings.false_discovery_rate
    datasets = {name: read_json(path) for name, path in job.needs[REGIONS].items()}
    rows = [
        row
        for name in settings.fluxes
        for v in datasets[name]["variables"].values()
        for row in v["regions"].values()
    ]
    p = np.array([np.nan if row["p"] is None else row["p"] for row in rows])
    holds, adjusted = false_discovery(p, alpha)
    for row, ok, value in zip(rows, holds, adjusted, strict=True):
        row |= {"p_adjusted": None if np.isnan(value) else float(value), "significant": bool(ok)}
    for unit, path in job.needs.get(MAPS, {}).items():
        name, variable = maps[unit]
        datasets[name]["variables"][variable]["map"] = _summary(path, alpha)
    result = {
        "talik_trends": 1,
        "method": settings.chosen.told,
        "confidence": settings.confidence,
        "false_discovery_rate": alpha,
        "slope_units": "Tg yr-1 per year",
        "datasets": {name: datasets[name] for name in settings.fluxes},
    }
    write_json(job.out, result)


def _summary(path: Path, alpha: float) -> dict[str, Any]:
    """Shares of area whose trend is significant."""
    import xarray as xr

    from talik.trends.gridded import summary

    with xr.open_dataset(path, engine="netcdf4") as ds:
        told = summary(ds[["slope", "p"]].load(), ds, alpha)
        span = {key: int(ds.attrs[key]) for key in ("first_year", "last_year")}
    missing = {k: None for k, v in told.items() if isinstance(v, float) and np.isnan(v)}
    return {**told, **missing, **span}


def _table(job: Job) -> None:
    result = read_json(job.needs[RESULT]["trends"])
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow([*COLUMNS, *MORE])
    for name, held in result["datasets"].items():
        for variable, of in held["variables"].items():
            for region, row in of["regions"].items():
                values = [s["value"] for s in row["series"]]
                whole = None if None in values else sum(values) / len(values)
                told = dict(row, dataset=name, variable=variable, region=region, mean=whole)
                told |= {"first_year": row["series"][0]["year"], "last_year": row["series"][-1]["year"]}
                told |= {key: of[key] for key in ("units", "species", "positive")}
                table.writerow([_cell(told[key]) for key in (*COLUMNS, *MORE)])
    write_text(job.out, out.getvalue())


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.10g}" if isinstance(value, float) else str(value)


EXAMPLE = {"fluxes": {"forest": "data/upscaled.nc"}, "variables": ["nee"], "regions": ["sectors"]}
SECTION = Section("trends", TrendsSettings, steps, EXAMPLE)
