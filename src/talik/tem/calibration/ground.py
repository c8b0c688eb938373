"""Active layers and ground temperatures that were measured near towers, beside the model at the towers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from talik.errors import InputError
from talik.jax64 import keep_compiled
from talik.sources.climate_cells import Points, nearest
from talik.sources.permafrost_maps import read_yearly_active_layers, read_yearly_ground_temperatures
from talik.tem.calibration.forward import Predicted
from talik.tem.calibration.settings import CalibrationSettings
from talik.tem.calibration.site_forcing import SiteFiles
from talik.tem.calibration.tower_run import TowerRun
from talik.tem.calibration.towers import Tower
from talik.tem.calibration.validation import GROUND, RUNS, Calibration
from talik.tem.diagnose.observed import FILES
from talik.tem.thermal.grid import SOIL_THICKNESS_M, interpolation

Array = npt.NDArray[np.float64]

WITHIN_KM = 25.0
"""How far a station may be from a tower."""
ACTIVE_LAYER, TEMPERATURE = "active_layer", "ground_temperature"
COLUMNS = (
    *("site_id", "station", "distance_km", "variable", "depth_m", "year"),
    *("value", *RUNS, "source"),
)
"""Of ground.csv: what was measured (m, degC) at a station in a year, and the model at the tower."""


def ground_near(
    folder: Path, towers: Sequence[Tower], years: tuple[int, int], within_km: float = WITHIN_KM
) -> tuple[pd.DataFrame, list[str]]:
    """Yearly observations near towers, `COLUMNS` without the model's, and notes of what is not there.

    folder : holds CALM and borehole tables under the names of `talik.tem.diagnose.observed.FILES`. A station near two
    towers is beside both.

    InputError: the folder holds neither table.
    """
    wanted = {
        "active layers": (ACTIVE_LAYER, read_yearly_active_layers),
        "ground temperatures": (TEMPERATURE, read_yearly_ground_temperatures),
    }
    files = files_in(folder)
    if not files:
        raise InputError(
            f"{folder}: holds neither {' nor '.join(FILES[kind] for kind in wanted)}. Name the folder with the "
            "observations."
        )
    parts, notes = [], []
    for kind, (name, read) in wanted.items():
        path = files.get(kind)
        if path is None:
            notes.append(f"No {kind} ({FILES[kind]}) in the folder of observations.")
            continue
        stations = read(path, years).table
        near = pd.concat([_near(tower, stations, within_km) for tower in towers])
        if near.empty:
            notes.append(f"No {kind} within {within_km:g} km of a tower in {years[0]}-{years[1]}.")
        parts.append(near.assign(variable=name, source=path.name))
    table = pd.concat(parts, ignore_index=True)
    return table[[c for c in COLUMNS if c not in RUNS]], notes


def files_in(folder: Path) -> dict[str, Path]:
    """The tables of a folder of observations: active layers, ground temperatures."""
    found = {kind: sorted(folder.glob(FILES[kind])) for kind in ("active layers", "ground temperatures")}
    return {kind: paths[0] for kind, paths in found.items() if paths}


def _near(tower: Tower, table: pd.DataFrame, within_km: float) -> pd.DataFrame:
    """The rows of stations near a tower. A station whose rows have several names is called by its code."""
    here = Points(tower.site, ("cell",), (1,), np.array([tower.lat]), np.array([tower.lon]))
    _, distance = nearest(here, table["lat"].to_numpy(float), table["lon"].to_numpy(float))
    near = table.assign(site_id=tower.site, distance_km=np.round(distance, 1))[distance <= within_km]
    name = near["name"].where(near.groupby("code")["name"].transform("nunique") == 1, "")
    return near.assign(station=(near["code"] + " " + name).str.strip())


def beside_model(
    rows: pd.DataFrame, predicted: Predicted, place: Mapping[str, int], first_year: int
) -> Array:
    """What the model has for rows of `ground_near`, (row,): the largest thaw depth of the year (m), the mean of the
    twelve months at the depth (degC). NaN where it has no permafrost: its thaw depth is the bottom of the ground.

    place : column of each site_id. first_year : of `predicted`, whose years must hold those of the rows. Of several
    starts the first counts.
    """
    year = rows["year"].to_numpy(int) - first_year
    column = rows["site_id"].map(place).to_numpy(int)
    thickest = np.asarray(predicted.thaw_depth, dtype=np.float64)[:, :, 0].max(axis=1)
    thickest = np.where(thickest >= SOIL_THICKNESS_M.sum() * (1.0 - 1e-6), np.nan, thickest)
    annual = np.asarray(predicted.tsoil, dtype=np.float64)[:, :, :, 0].mean(axis=1)
    depth = rows["depth_m"].fillna(0.0).to_numpy(float)
    at_depth = np.einsum("rl,rl->r", annual[year, :, column], interpolation(depth))
    is_thickness = (rows["variable"] == ACTIVE_LAYER).to_numpy()
    out: Array = np.where(is_thickness, thickest[year, column], at_depth)
    return out


def with_model(
    rows: pd.DataFrame,
    found: Calibration,
    towers: Sequence[Tower],
    settings: CalibrationSettings,
    forcing: SiteFiles,
) -> pd.DataFrame:
    """The rows with the model before and after calibration: `COLUMNS`. Runs each community twice.

    InputError: a tower whose equilibrium is not found.
    """
    keep_compiled()
    parts = []
    for community, held in found.communities.items():
        mine = [t for t in towers if t.community == community and t.site in set(rows["site_id"])]
        if not mine:
            continue
        part = rows[rows["site_id"].isin([t.site for t in mine])].copy()
        own = {"parameters": settings.model.parameters, "organic_soil": settings.model.organic_soil}
        for name, keys in zip(RUNS, (own, held), strict=True):
            run = TowerRun(mine, settings, forcing, keys["parameters"], keys["organic_soil"])
            part[name] = beside_model(part, run.predicted, run.place, settings.data.years[0])
        parts.append(part)
    if not parts:
        return pd.DataFrame(columns=list(COLUMNS))
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)]


def for_scores(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that both runs have a value for, with the columns that `score_rows` wants."""
    return table.dropna(subset=list(RUNS)).assign(use=GROUND)


def without_permafrost(table: pd.DataFrame) -> list[str]:
    """A note for each tower and run in which the model has no permafrost where an active layer was measured."""
    thickness = table[table["variable"] == ACTIVE_LAYER]
    return [
        f"{site}: no permafrost in the model {run} calibration in {int(rows[run].isna().sum())} of {len(rows)} "
        "measured active layers, which have no score."
        for site, rows in thickness.groupby("site_id", sort=False)
        for run in RUNS
        if rows[run].isna().any()
    ]
