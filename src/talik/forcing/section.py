"""The `forcing` section of a project file, and its steps: land, climate of the past and scenarios, audit."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr

from talik.forcing.settings import ForcingSettings
from talik.forcing.warming import HISTORICAL
from talik.sources.co2 import read_co2
from talik.workflow.plan import Cost, Step
from talik.workflow.project import Project, Section
from talik.workflow.unit import Job

LAND, AUDIT = "land.nc", "forcing.json"
SECONDS_PER_CLIMATE, BYTES_OF_A_WORKER, BYTES_PER_CLIMATE = 12.0, 7e8, 2.2e8
"""What a climate file of 20,000 cells takes at most, in the work folder and published."""


def climate_file(name: str) -> str:
    """Name of the climate file of "historical" or a scenario."""
    return f"climate-{name}.nc"


def steps(project: Project, settings: ForcingSettings) -> list[Step]:
    """Land and its cells; climate files; what was done. CO2 is checked here, for it is not copied."""
    names = (HISTORICAL, *settings.warming.scenarios)
    files = {name: project.resolve(name) for name in files_of(settings)}
    config = settings.model_dump(mode="json")
    common: dict[str, Any] = {"settings": settings, "files": files}
    key = settings.key()
    return [
        Step(
            name="forcing-land",
            units=("land",),
            work=partial(_land, **common, key=key),
            config=config,
            inputs={str(p): p for p in files.values()},
            suffix=".nc",
            publish={"land": LAND},
        ),
        Step(
            name="forcing-climate",
            units=names,
            work=partial(_climate, **common, key=key),
            config=config,
            inputs={str(p): p for p in files.values()},
            needs=("forcing-land",),
            suffix=".nc",
            publish={name: climate_file(name) for name in names},
            cost=Cost(SECONDS_PER_CLIMATE, BYTES_OF_A_WORKER, BYTES_PER_CLIMATE),
        ),
        Step(
            name="forcing",
            units=("audit",),
            work=partial(_audit, **common),
            config=config,
            needs=("forcing-land", "forcing-climate"),
            publish={"audit": AUDIT},
        ),
    ]


def files_of(settings: ForcingSettings) -> list[str]:
    """Every file that the section names, as it stands there."""
    warming, land = settings.warming, settings.land
    optional = (warming.assessed, land.tem_static, settings.co2.file if settings.co2 else None)
    return [
        settings.climatology.file,
        *settings.patterns.files,
        warming.historical,
        *warming.runs.values(),
        settings.cells.permafrost,
        land.soil,
        land.koeppen,
        *(name for name in optional if name is not None),
    ]


def check(settings: ForcingSettings, files: dict[str, Path]) -> dict[str, Any]:
    """Read every input and return what the forcing will hold, or raise the error of its reader."""
    from talik.forcing.climate import read_scaled, series_of
    from talik.forcing.land import read_land

    land = read_land(settings, files.__getitem__)
    series = series_of(settings, files.__getitem__)
    read_scaled(settings, files.__getitem__, land["lat"].to_numpy(), land["lon"].to_numpy())
    past = series[HISTORICAL].years
    return {
        "cells": json.loads(land.attrs["talik_audit"]),
        "years": {name: [int(s.years[0]), int(s.years[-1])] for name, s in series.items()},
        "warming_k": {name: round(float(s.values[-1]), 3) for name, s in series.items()},
        "co2_ppm": _co2(settings, files, int(past[0]), int(past[-1])),
        "notes": [str(land.attrs["talik_note"])],
    }


def _land(job: Job, settings: ForcingSettings, files: dict[str, Path], key: str) -> None:
    from talik.forcing.land import write_land

    write_land(job.out, settings, files.__getitem__, key)


def _climate(job: Job, settings: ForcingSettings, files: dict[str, Path], key: str) -> None:
    from talik.forcing.climate import write_climate

    write_climate(job.out, job.unit, settings, files.__getitem__, job.needs["forcing-land"]["land"], key)


def _audit(job: Job, settings: ForcingSettings, files: dict[str, Path]) -> None:
    """What was done, as JSON: cells by source, warming by year, counts of limited precipitation, CO2, notes."""
    with xr.open_dataset(job.needs["forcing-land"]["land"], engine="netcdf4") as land:
        cells, notes = json.loads(land.attrs["talik_audit"]), [str(land.attrs["talik_note"])]
    climates = {}
    for name in (HISTORICAL, *settings.warming.scenarios):
        with xr.open_dataset(job.needs["forcing-climate"][name], engine="netcdf4") as ds:
            climates[name] = json.loads(ds.attrs["talik_audit"])
            notes.append(str(ds.attrs["talik_note"]))
    past = [int(year) for year in climates[HISTORICAL]["warming_k"]]
    told = {
        "cells": cells,
        "climatology": list(settings.climatology.period),
        "climate": climates,
        "co2_ppm": _co2(settings, files, min(past), max(past)),
        "notes": list(dict.fromkeys(notes)),
    }
    job.out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8", newline="\n")


def _co2(
    settings: ForcingSettings, files: dict[str, Path], first: int, split: int
) -> dict[str, dict[str, float]]:
    """CO2 (ppm) of each scenario at the ends of the historical run and in the last year.

    All years between must be there: the process model reads the same table for the years of the climate files.
    """
    if settings.co2 is None:
        return {}
    out = {}
    for name in settings.warming.scenarios:
        series = read_co2(files[settings.co2.file], years=(first, settings.last_year), scenario=name)
        out[name] = {str(y): round(float(series.sel(year=y)), 1) for y in (first, split, settings.last_year)}
    return out


EXAMPLE = {
    "climatology": {"file": "data/climatology.nc", "period": [1961, 1990]},
    "patterns": {"files": ["data/patterns.nc"], "precipitation": "relative"},
    "warming": {
        "historical": "data/tas_ann_historical.nc",
        "assessed": "data/assessed_gsat.csv",
        "scenarios": ["ssp126", "ssp585"],
    },
    "cells": {"permafrost": "data/permafrost.nc", "smallest_fraction": 0.0},
    "land": {"soil": "data/soil.nc", "koeppen": "data/koeppen.nc"},
}
SECTION = Section("forcing", ForcingSettings, steps, EXAMPLE)
