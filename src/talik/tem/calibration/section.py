"""The `calibration` section of a project file, and its steps: a fit for each community, then the result of all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import yaml

from talik.errors import ConfigError
from talik.tem.calibration.settings import CalibrationSettings
from talik.tem.calibration.towers import PUBLISHED_TOWERS, Tower, read_towers
from talik.workflow.plan import Cost, Step
from talik.workflow.project import Project, Section
from talik.workflow.unit import Job

if TYPE_CHECKING:
    from talik.tem.calibration.site_forcing import SiteFiles

PARAMETERS, RESULT = "calibrated.yaml", "calibration.json"
TABLES = {"months": "calibration-months.csv", "draws": "calibration-draws.csv"}
"""Tables that every community has a part of."""
SECONDS_TO_COMPILE, SECONDS_OF_A_START, SECONDS_OF_A_DRAW = 240.0, 10.0, 0.2
"""Of a stage on one core: compiling, the search from a start, and a draw of the No-U-Turn Sampler in every chain."""
BYTES_OF_A_WORKER = 1.5e9


def steps(project: Project, settings: CalibrationSettings) -> list[Step]:
    """Forcing; each community; parameters, result and months of all."""
    files = {name: project.resolve(name) for name in files_of(settings)}
    towers = towers_of(settings, files)
    communities = communities_of(towers)
    config = {**settings.model_dump(mode="json"), "towers": [t.model_dump(mode="json") for t in towers]}
    common: dict[str, Any] = {"settings": settings, "files": files, "towers": towers}
    inputs = {str(p): p for p in files.values()}
    drawn = settings.method != "gml" and bool(settings.stages)
    tables = {name: file for name, file in TABLES.items() if name != "draws" or drawn}
    return [
        Step(
            name="calibration-fit",
            units=communities,
            work=partial(_fit, **common),
            config=config,
            inputs=inputs,
            suffix=".json",
            cost=Cost(_seconds(settings), BYTES_OF_A_WORKER, 1e6),
        ),
        Step(
            name="calibration",
            units=("parameters", "result", *tables),
            work=_publish,
            config=config,
            needs=("calibration-fit",),
            publish={"parameters": PARAMETERS, "result": RESULT, **tables},
        ),
    ]


def _seconds(settings: CalibrationSettings) -> float:
    """What a community takes."""
    sampler = settings.sampler.warmup + settings.sampler.draws if settings.method == "nuts" else 0
    return sum(
        SECONDS_TO_COMPILE
        + SECONDS_OF_A_START * settings.starts
        + SECONDS_OF_A_DRAW * sampler * stage.sampled
        for stage in settings.stages
    )


def files_of(settings: CalibrationSettings) -> list[str]:
    """Every file that the section names, as it stands there."""
    data = settings.data
    optional = (
        data.air,
        data.climatology,
        data.soil,
        None if settings.towers == "published" else settings.towers,
    )
    return list(dict.fromkeys([data.drivers, *data.tables, *(n for n in optional if n is not None)]))


def towers_of(settings: CalibrationSettings, files: dict[str, Path]) -> tuple[Tower, ...]:
    """The towers that are used; ConfigError for a code that there is none of."""
    towers = PUBLISHED_TOWERS if settings.towers == "published" else read_towers(files[settings.towers])
    if settings.sites is None:
        return towers
    known = {tower.site: tower for tower in towers}
    if unknown := [site for site in settings.sites if site not in known]:
        raise ConfigError(
            f"calibration.sites: no tower {', '.join(unknown)}; choose from: {', '.join(known)}, or give "
            "towers of your own."
        )
    return tuple(known[site] for site in dict.fromkeys(settings.sites))


def communities_of(towers: tuple[Tower, ...]) -> tuple[str, ...]:
    """Communities with towers to calibrate on; ConfigError if there are none."""
    found = tuple(dict.fromkeys(t.community for t in towers if t.years("calibration") is not None))
    if not found:
        raise ConfigError(
            f"calibration.sites: none of {', '.join(t.site for t in towers)} has years to calibrate on. Name one "
            "that has."
        )
    return found


def check(settings: CalibrationSettings, files: dict[str, Path]) -> dict[str, Any]:
    """Read every input and return what will be fitted to what, or raise the error of its reader."""
    from talik.sources.site_table import read_sites
    from talik.tem.calibration.fit import USES
    from talik.tem.calibration.free import free_parameters
    from talik.tem.calibration.observations import read_observations
    from talik.tem.calibration.site_forcing import site_climate, site_co2, site_land
    from talik.tem.calibration.site_model import require_balance

    towers = towers_of(settings, files)
    communities = communities_of(towers)
    data, model = settings.data, settings.model
    drivers = read_sites(files[data.drivers])
    site_climate(
        towers,
        drivers,
        air=None if data.air is None else read_sites(files[data.air]),
        climatology=None if data.climatology is None else files[data.climatology],
        years=data.years,
    )
    site_land(towers, None if data.soil is None else files[data.soil])
    site_co2(drivers, data.years)
    tables = [read_sites(files[name]) for name in data.tables]
    used = [t for t in towers if t.community in communities]
    observed = [
        read_observations(tables, used, use, settings.observations)
        for use in USES
        if any(t.years(use) for t in used)
    ]
    for community in communities:
        for stage in settings.stages:
            free_parameters({community: stage.free}, model.parameters, model.organic_soil)
            require_balance(community, stage.balance)
    fitted = observed[0].table
    named = (fitted["site_id"] + " " + fitted["variable"]).tolist()
    return {
        "towers": [t.site for t in used],
        "communities": list(communities),
        "months": {name: named.count(name) for name in dict.fromkeys(named)},
        "left_out": {reason: count for o in observed for reason, count in o.left_out},
        "notes": list(dict.fromkeys(note for o in observed for note in o.notes)),
    }


def tower_forcing(
    folder: Path, towers: Sequence[Tower], settings: CalibrationSettings, files: dict[str, Path]
) -> SiteFiles:
    """Write the forcing of towers into a folder."""
    from talik.tem.calibration.site_forcing import write_site_forcing

    data = settings.data
    optional = {
        name: files[path]
        for name in ("air", "climatology", "soil")
        if (path := getattr(data, name)) is not None
    }
    return write_site_forcing(folder, towers, files[data.drivers], years=data.years, **optional)


def _fit(job: Job, settings: CalibrationSettings, files: dict[str, Path], towers: tuple[Tower, ...]) -> None:
    """One community: forcing of its towers beside the result, then the fit."""
    import sys
    import tempfile

    from talik.tem.calibration.fit import calibrate

    mine = tuple(t for t in towers if t.community == job.unit)
    with tempfile.TemporaryDirectory() as folder:
        forcing = tower_forcing(Path(folder), mine, settings, files)
        found = calibrate(
            job.unit,
            mine,
            settings,
            [files[name] for name in settings.data.tables],
            forcing,
            partial(print, file=sys.stderr),
        )
    held = {
        "parameters": found.parameters,
        "organic_soil": found.organic_soil,
        "stages": found.stages,
        "notes": list(found.notes),
        "months": _csv(found.months),
        "draws": _csv(found.draws),
    }
    job.out.write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8", newline="\n")


def _csv(table: pd.DataFrame) -> str:
    return table.to_csv(index=False, float_format="%.9g", lineterminator="\n")


def _publish(job: Job) -> None:
    """Parameters as keys of a section tem, everything that was found, or one of `TABLES`."""
    from talik.tem.calibration.validation import scores_by_site

    parts = {unit: json.loads(path.read_text("utf-8")) for unit, path in job.needs["calibration-fit"].items()}
    if job.unit == "parameters":
        keys: dict[str, dict[str, Any]] = {"parameters": {}, "organic_soil": {}}
        for key, held in keys.items():
            for part in parts.values():
                held |= part[key]
        text = yaml.safe_dump(keys, sort_keys=False)
    elif job.unit in TABLES:
        heads = [part[job.unit].split("\n", 1) for part in parts.values()]
        text = heads[0][0] + "\n" + "".join(rows for _, rows in heads)
    else:
        told = {
            unit: {
                **{k: v for k, v in part.items() if k not in TABLES},
                "scores": scores_by_site(part["months"]),
            }
            for unit, part in parts.items()
        }
        text = json.dumps(told, indent=1, allow_nan=False) + "\n"
    job.out.write_text(text, encoding="utf-8", newline="\n")


EXAMPLE = {
    "data": {
        "drivers": "data/site_months.parquet",
        "climatology": "data/climatology.nc",
        "soil": "data/soil.nc",
        "years": [2001, 2016],
        "tables": ["data/site_months.parquet"],
    }
}
SECTION = Section("calibration", CalibrationSettings, steps, EXAMPLE)
"""The `calibration` section of a project file."""
