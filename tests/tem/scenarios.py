"""The small world with two scenarios that follow its first three years, and observed soil carbon."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

_spec = importlib.util.spec_from_file_location("tem_world", Path(__file__).with_name("world.py"))
world = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(world)

HISTORY, LAST, REFERENCE = 2003, 2010, 2005
"""Last year before the scenarios, last year of the scenarios, and reference year of permafrost."""
EDGES_M = np.array([0.0, 0.3, 1.0, 2.0, 3.0])
GAP = (0, 2)
"""Row and column of the cell whose soil carbon is not known between 1 and 2 m."""
DESIGN: dict[str, Any] = {
    "S_Trans": {},
    "the same": {},
    "S_PF": {"permafrost": "fixed"},
    "S_CO2": {"co2": "fixed"},
    "S_Temp": {"temperature": "fixed"},
    "S_CO2&Temp": {"co2": "fixed", "temperature": "fixed"},
    "attenuation 2 m": {"attenuation_m": 2.0},
    "refrozen is still": {"refreeze_stop": True},
    "out of reach": {"nitrogen_in_reach": 0.0},
    "largest thaw": {"thawed_years": [2002, 2005]},
    "wide C:N": {"cn": [12.0, 22.0]},
    "dry below roots": {"deep_wetness": 0.0},
    "C:N without CO2": {"co2_changes_cn": False},
}


def files(folder: Path) -> Path:
    """The folder with climate of the history, of a warm and a mild scenario, and of history and warm scenario in one;
    land, carbon dioxide and soil carbon."""
    folder.mkdir(parents=True, exist_ok=True)
    climate(folder / "history.nc", 2001, HISTORY)
    climate(folder / "warm.nc", HISTORY + 1, LAST, warming=0.7)
    climate(folder / "mild.nc", HISTORY + 1, LAST, warming=0.1)
    climate(folder / "joined.nc", 2001, LAST, warming=0.7)
    world.land(folder / "land.nc")
    co2(folder / "co2.csv")
    soil_carbon(folder / "carbon.nc")
    return folder


def climate(
    path: Path, first: int, last: int, *, warming: float = 0.0, without: tuple[int, ...] = ()
) -> Path:
    """Some years of one long climate, warmer by so many K a year from 2005 on."""
    dates = world.months(last=last)
    years = np.array([d.year for d in dates])
    chosen = (years >= first) & ~np.isin(years, without)
    values = {name: of[: years.size] for name, of in world.fields(12 * 40).items()}
    values["tas"] = values["tas"] + warming * np.maximum(years - 2004, 0)[:, None, None]
    held = [d for d, here in zip(dates, chosen, strict=True) if here]
    return world.climate(path, dates=held, values={name: of[chosen] for name, of in values.items()})


def co2(path: Path, last: dict[str, int] | None = None) -> Path:
    """A table of two scenarios that differ after 2003."""
    rows = [
        f"{year},{name},{370 + slope * (year - 2001)}"
        for name, slope in (("high", 4.0), ("low", 2.5))
        for year in range(2001, (last or {}).get(name, LAST) + 1)
    ]
    path.write_text("\n".join(["year,scenario,co2_ppm", *rows]) + "\n")
    return path


def soil_carbon(path: Path, *, gap: bool = True, negative: bool = False) -> Path:
    """Soil carbon in kg m-2 by layer, more of it from cell to cell."""
    held = np.array([12.0, 20.0, 18.0, 14.0])[:, None, None] * (1 + 0.1 * np.arange(9).reshape(3, 3))
    if gap:
        held[2, GAP[0], GAP[1]] = np.nan
    if negative:
        held[1, 2, 0] = -3.0
    with netCDF4.Dataset(path, "w") as file:
        for name, values, units in (
            ("lat", world.LAT, "degrees_north"),
            ("lon", world.LON, "degrees_east"),
            ("depth", (EDGES_M[1:] + EDGES_M[:-1]) / 2, "m"),
        ):
            file.createDimension(name, values.size)
            axis = file.createVariable(name, "f8", (name,))
            axis.units = units
            axis[:] = values
        file["depth"].bounds = "depth_bnds"
        file.createDimension("bnds", 2)
        file.createVariable("depth_bnds", "f8", ("depth", "bnds"))[:] = np.stack(
            [EDGES_M[:-1], EDGES_M[1:]], 1
        )
        data = file.createVariable("soil_carbon", "f8", ("depth", "lat", "lon"), fill_value=-9999.0)
        data.units = "kg m-2"
        data[:] = np.ma.masked_invalid(held)
    return path


def section(**changes: Any) -> dict[str, Any]:
    """The section tem of the experiments, without what `world.project` gives itself."""
    return {
        "climate": {"files": ["history.nc"]},
        "co2": {"files": ["co2.csv"], "scenario": "high"},
        "period": None,
        "soil_heat": {"years": 10},
        "permafrost": {"reference_year": REFERENCE, "soil_carbon": {"files": ["carbon.nc"]}},
        "factorial": factorial(),
        **changes,
    }


def factorial(**changes: Any) -> dict[str, Any]:
    """The section factorial."""
    scenarios = {
        "warm": {"climate": ["warm.nc"], "co2": "high"},
        "mild": {"climate": ["mild.nc"], "co2": "low"},
    }
    return {"scenarios": scenarios, "experiments": DESIGN, **changes}


def project(folder: Path, name: str, **changes: Any) -> Path:
    """A project file of the experiments in the folder with the files."""
    path: Path = world.project(folder, name, **section(**changes))
    return path
