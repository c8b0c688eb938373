"""The files that a validation leaves: a page, scores, observations of the ground, figures."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from talik.errors import ConfigError, InputError
from talik.files import write_json, write_text
from talik.provenance import describe
from talik.report.style import write_figures
from talik.tem.calibration import ground
from talik.tem.calibration.figures import seasons, soil_scatter, taylor
from talik.tem.calibration.page import Validation, render
from talik.tem.calibration.section import PARAMETERS, RESULT, TABLES, files_of, tower_forcing, towers_of
from talik.tem.calibration.settings import CalibrationSettings
from talik.tem.calibration.site_forcing import SiteFiles
from talik.tem.calibration.towers import Tower
from talik.tem.calibration.validation import (
    Calibration,
    levels_reached,
    read_calibration,
    score_rows,
    scores_table,
)
from talik.workflow.project import Project

MONTHS = TABLES["months"]
PAGE, SCORES, RESULTS, GROUND = "validation.html", "scores.csv", "validation.json", "ground.csv"


def write_validation(
    project: Project, out: Path, observed: Path | None = None, within_km: float = ground.WITHIN_KM
) -> dict[str, Any]:
    """Validate what `talik tem calibrate` published for a project, into folder `out`; returns what validation.json has.

    Writes validation.html, scores.csv, validation.json and figures/; with a folder of observed permafrost also
    ground.csv, with stations within `within_km` of a tower. `written` of the result lists the files.

    Raises:
        ConfigError: the project has no section calibration.
        InputError: nothing was calibrated yet, or by other towers; input that cannot be read.
    """
    settings = project.sections.get("calibration")
    if not isinstance(settings, CalibrationSettings):
        raise ConfigError(
            f"project {project.base.name}: has no section calibration. Add one; see the guide on calibration."
        )
    found = read_calibration(project.output)
    files = {name: project.resolve(name) for name in files_of(settings)}
    towers = _used(towers_of(settings, files), found, project.output)
    beside: pd.DataFrame | None = None
    ground_notes: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        forcing = tower_forcing(Path(folder), towers, settings, files)
        if observed is not None:
            near, ground_notes = ground.ground_near(observed, towers, settings.data.years, within_km)
            beside = ground.with_model(near, found, towers, settings, forcing)
            ground_notes += ground.without_permafrost(beside)
        notes = _notes(forcing, found, [t.site for t in towers])
    rows = score_rows(found.months)
    if beside is not None:
        rows += score_rows(ground.for_scores(beside))
    validation = Validation(found, rows, levels_reached(rows), beside, ground_notes, notes)
    inputs = {name: project.output / name for name in (RESULT, MONTHS, PARAMETERS)}
    inputs |= {} if observed is None else {path.name: path for path in ground.files_in(observed).values()}
    provenance = describe(inputs, project.key())
    title = f"Validation of the calibration: {project.base.title or project.base.name}"
    written = [write_text(out / PAGE, render(validation, title, provenance))]
    table = scores_table(rows, found.community_of())
    written.append(write_text(out / SCORES, _csv(table)))
    if beside is not None:
        written.append(write_text(out / GROUND, _csv(beside)))
    written += write_figures(_figures(validation), out / "figures")
    told = {
        "summary": validation.sentences,
        "levels": validation.levels,
        "scores": rows,
        "ground": None if beside is None else {"rows": len(beside), "notes": ground_notes},
        "notes": notes,
        "provenance": provenance,
    }
    first = write_json(out / RESULTS, told)
    return {**told, "written": [str(path) for path in (first, *written)]}


def _used(towers: Sequence[Tower], found: Calibration, output: Path) -> tuple[Tower, ...]:
    """The towers that have months."""
    known = {tower.site: tower for tower in towers}
    sites = list(dict.fromkeys(found.months["site_id"]))
    if missing := [site for site in sites if site not in known]:
        raise InputError(
            f"{output / MONTHS}: has months of {', '.join(missing)}, which the project does not name. Run `talik tem "
            "calibrate` again."
        )
    return tuple(known[site] for site in sites)


def _notes(forcing: SiteFiles, found: Calibration, sites: Sequence[str]) -> dict[str, list[str]]:
    """What was substituted or assumed, by tower; what belongs to none by community."""
    said: list[tuple[str, str]] = []
    next_tower = re.compile(rf"\. (?=(?:{'|'.join(map(re.escape, sites))}): )")
    for path in (forcing.climate, forcing.land):
        with xr.open_dataset(path) as ds:
            said += [("forcing", note) for note in next_tower.split(str(ds.attrs["talik_note"]))]
    said += [(name, note) for name, held in found.communities.items() for note in held["notes"]]
    out: dict[str, list[str]] = {site: [] for site in sites}
    for name, note in said:
        site, _, text = note.partition(": ")
        of, told = (site, text) if site in sites else (name, note)
        out.setdefault(of, []).append(told)
    return out


def _figures(v: Validation) -> Iterator[tuple[str, Figure | None]]:
    """One figure at a time, so that none waits in memory."""
    yield "taylor", taylor(v.rows)
    for site in v.found.community_of():
        yield f"season-{site}", seasons(v.found.months, site)
    yield "soil-temperature", soil_scatter(v.found.months)


def _csv(table: pd.DataFrame) -> str:
    return str(table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
