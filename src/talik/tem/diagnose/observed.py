"""Observed permafrost beside that of a run: area, active layer against a grid and against sites, soil temperature."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from talik.errors import InputError
from talik.regions.axes import grid_of
from talik.regions.masks import land_fraction
from talik.sources.climate_cells import Points, nearest
from talik.sources.permafrost_maps import (
    Sites,
    read_active_layers,
    read_ground_temperatures,
    read_permafrost_grid,
)
from talik.tem.diagnose.effects import DIMENSION
from talik.tem.diagnose.region import FactorialRun, checked
from talik.tem.scores import Scores, scores

Array = npt.NDArray[np.float64]
YEARS = (2006, 2015)
"""The ten years that end with the reference year of the published experiments."""
AREA_YEARS = (2010, 2015)
"""The years of the published permafrost area (Liu et al. 2024). The grid is a median over its own years."""
FILES = {
    "grid": "permafrost_cci_grid_0.5deg.nc",
    "active layers": "alt_insitu*.csv*",
    "ground temperatures": "magt_insitu*.parquet",
}
"""What is looked for in the folder of observations."""
FARTHEST_KM = 60.0
"""A site farther from the centre of every cell than this is in none of them. The corner of a half-degree cell is 40 km
away at most; the rest is for sites on shores whose own cell is not in the run."""
LEAST_SHARE = 0.5
"""A cell with at least this share of permafrost is one of permafrost: continuous and discontinuous zones (Brown et al.
1997)."""


class Box(NamedTuple):
    """A named box of degrees; a name may have several."""

    name: str
    south: float
    north: float
    west: float
    east: float


BOXES = (
    Box("Central Asia", 25.0, 52.0, 65.0, 125.0),
    Box("Alaska", 51.0, 72.0, -169.0, -141.0),
    Box("Canada", 41.0, 84.0, -141.0, -73.0),
    Box("Canada", 41.0, 70.0, -73.0, -57.0),
    Box("Greenland, Svalbard, northern Europe", 55.0, 84.0, -73.0, 60.0),
    Box("West Siberia", 52.0, 82.0, 60.0, 90.0),
    Box("East Siberia", 45.0, 82.0, 90.0, 180.0),
    Box("East Siberia", 45.0, 82.0, -180.0, -169.0),
)
"""Regions of the comparison; a point belongs to the first box it lies in, else to `OTHER`."""
REGIONS = tuple(dict.fromkeys(box.name for box in BOXES))
OTHER = "elsewhere"
ALL = "all"


@dataclass(frozen=True)
class Pairs:
    """Model and observation at the same places. left_out : reason to count of sites or cells."""

    lat: Array
    lon: Array
    model: Array
    observed: Array
    units: str
    left_out: dict[str, int]

    def by_region(self) -> dict[str, Scores]:
        """Scores of all pairs, and of each region that has any."""
        names = region_of(self.lat, self.lon)
        out = {ALL: scores(self.model, self.observed)}
        for name in (*REGIONS, OTHER):
            inside = names == name
            if inside.any():
                out[name] = scores(self.model[inside], self.observed[inside])
        return out


@dataclass(frozen=True)
class Observed:
    """Areas (10^6 km2) over `AREA_YEARS`, pairs over `years` by what is compared, notes on what could not be."""

    area: dict[str, float]
    pairs: dict[str, Pairs]
    years: tuple[int, int]
    notes: tuple[str, ...]

    def told(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {
            "years": list(self.years),
            "area_years": list(AREA_YEARS),
            "area_million_km2": self.area,
            "comparisons": {
                name: {
                    "units": p.units,
                    "left_out": p.left_out,
                    "scores": {region: asdict(s) for region, s in p.by_region().items()},
                }
                for name, p in self.pairs.items()
            },
            "boxes": [list(box) for box in BOXES],
            "notes": list(self.notes),
        }


def compare(run: FactorialRun, folder: Path, years: tuple[int, int] = YEARS) -> Observed:
    """Permafrost of the reference run beside the observations in a folder (see `FILES`).

    Areas are of the mean share of `AREA_YEARS`, everything else of means over `years`.

    Years from the reference year on are those of the first scenario. What is not in the folder or the run is noted.
    InputError: the folder holds none of the files.
    """
    folder = Path(folder)
    found = {kind: sorted(folder.glob(pattern)) for kind, pattern in FILES.items()}
    if not any(found.values()):
        raise InputError(f"{folder}: holds none of {', '.join(FILES.values())}.")
    notes = [f"no {kind} ({FILES[kind]}) in the folder" for kind, paths in found.items() if not paths]
    area: dict[str, float] = {}
    pairs: dict[str, Pairs] = {}
    lat, lon = (run.experiments[name].values.astype(float) for name in ("lat", "lon"))
    thickness = _mean_of(run, "activeLayerThickness", years, "m", notes)
    if found["grid"]:
        observed = read_permafrost_grid(found["grid"][0])
        share = _mean_of(run, "permafrostFraction", AREA_YEARS, "1", notes)
        area = areas(observed, share, run.area().values, lat, lon)
        if thickness is not None:
            pairs["active layer, grid"] = grid_pairs(observed["activeLayerThickness"], thickness, lat, lon)
    if found["active layers"] and thickness is not None:
        sites = read_active_layers(found["active layers"][0], years)
        pairs["active layer, sites"] = site_pairs(sites, thickness, lat, lon)
    if found["ground temperatures"]:
        soil = _mean_of(run, "tsl20", years, "degC", notes)
        if soil is not None:
            stations = read_ground_temperatures(found["ground temperatures"][0], years)
            pairs["soil at 20 cm, stations"] = site_pairs(stations, soil, lat, lon)
    return Observed(area, pairs, years, tuple(notes))


def areas(
    observed: xr.Dataset, share: Array | None, area_m2: Array, lat: Array, lon: Array
) -> dict[str, float]:
    """Permafrost areas, 10^6 km2: of the grid, and of a run where its `share` (cell,) with permafrost is given.

    `_cells` : land of the cells at least half of which has permafrost; `_weighted` : permafrost of all cells, which is
    share times land in the run, and of the grid the fraction of the whole cell, but no more than its land: blocks of
    13.9 km on a shore count as if they had no sea. Land of the grid is that of Natural Earth, of a run its own.
    `both`, `model_only` and `observed_only` : land of the run's cells with at least half in both, or in one of them.
    """
    fraction = observed["permafrostFraction"].fillna(0.0)
    grid = grid_of(observed)
    cell, ground = grid.cell_area() * 1e-12, land_fraction(grid)
    out = {
        "observed_cells": float((cell * ground * (fraction >= LEAST_SHARE)).sum()),
        "observed_weighted": float((cell * np.minimum(fraction, ground)).sum()),
    }
    if share is None:
        return out
    land = area_m2 * 1e-12
    here = np.nan_to_num(at_cells(fraction, lat, lon)) >= LEAST_SHARE
    frozen = np.nan_to_num(share) >= LEAST_SHARE
    return out | {
        "model_cells": float(land[frozen].sum()),
        "model_weighted": float((land * np.nan_to_num(share)).sum()),
        "both": float(land[frozen & here].sum()),
        "model_only": float(land[frozen & ~here].sum()),
        "observed_only": float(land[~frozen & here].sum()),
    }


def grid_pairs(observed: xr.DataArray, model: Array, lat: Array, lon: Array) -> Pairs:
    """Pairs of the cells (lat, lon, model) with the grid cells they lie in."""
    there = at_cells(observed, lat, lon)
    kept = np.isfinite(there) & np.isfinite(model)
    left_out = {
        "cells without observation": int((np.isfinite(model) & ~np.isfinite(there)).sum()),
        "cells without permafrost in the model": int((np.isfinite(there) & ~np.isfinite(model)).sum()),
    }
    units = str(observed.attrs.get("units", ""))
    return Pairs(lat[kept], lon[kept], model[kept], there[kept], units, left_out)


def site_pairs(sites: Sites, model: Array, lat: Array, lon: Array) -> Pairs:
    """Pairs of sites with the nearest cell (lat, lon, model); sites far from all cells or in one of NaN are counted."""
    table = sites.table
    north, east = table["lat"].to_numpy(float), table["lon"].to_numpy(float)
    index, distance = nearest(Points("the run", ("cell",), lat.shape, lat, lon), north, east)
    far = distance > FARTHEST_KM
    empty = ~far & ~np.isfinite(model[index])
    kept = ~far & ~empty
    left_out = {
        **sites.left_out,
        f"sites farther than {FARTHEST_KM:g} km from every cell": int(far.sum()),
        "sites in cells without a value in the model": int(empty.sum()),
    }
    values = table["value"].to_numpy(float)
    return Pairs(north[kept], east[kept], model[index][kept], values[kept], sites.units, left_out)


def region_of(lat: Array, lon: Array) -> npt.NDArray[np.str_]:
    """The name of the first of `BOXES` that each point (degrees, longitude -180..180) lies in, else ``elsewhere``."""
    out = np.full(lat.shape, OTHER, dtype=f"<U{max(map(len, (*REGIONS, OTHER)))}")
    for box in reversed(BOXES):
        inside = (lat >= box.south) & (lat <= box.north) & (lon >= box.west) & (lon <= box.east)
        out[inside] = box.name
    return out


def at_cells(field: xr.DataArray, lat: Array, lon: Array) -> Array:
    """Values of a (lat, lon) field of even axes at points: of the cell that each lies in, NaN outside the field."""
    places = []
    for name, wanted in (("lat", lat), ("lon", lon)):
        axis = field[name].to_index()
        half = 0.5 * abs(axis[1] - axis[0])
        places.append(axis.get_indexer(pd.Index(wanted), method="nearest", tolerance=half))
    row, column = places
    values: Array = field.transpose("lat", "lon").values[row, column]
    return np.where((row >= 0) & (column >= 0), values, np.nan)


def _mean_of(
    run: FactorialRun, name: str, years: tuple[int, int], units: str, notes: list[str]
) -> Array | None:
    """(cell,) mean of the reference run over years with a value; None, and a note, if the run has none of it."""
    chosen = {DIMENSION: run.design.reference, "scenario": run.experiments["scenario"].values[0]}
    parts = []
    if name in run.experiments:
        parts.append(checked(run.experiments, name, units).sel(chosen, drop=True))
    if run.history is not None and name in run.history:
        before = checked(run.history, name, units)
        parts.insert(0, before.sel(year=before["year"] < run.experiments["year"].values[0]))
    within = [p.sel(year=slice(*years)).transpose("year", "cell").values.astype(float) for p in parts]
    stacked = np.concatenate(within) if within else np.empty((0, 0))
    if not stacked.shape[0]:
        notes.append(f"the run has no {name} in {years[0]}-{years[1]}; not compared")
        return None
    if stacked.shape[0] < years[1] - years[0] + 1:
        notes.append(f"{name}: {stacked.shape[0]} of the {years[1] - years[0] + 1} years are in the run")
    there = np.isfinite(stacked)
    count = there.sum(axis=0)
    total: Array = np.where(there, stacked, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
