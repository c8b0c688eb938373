"""Permafrost of the model where the map has less than half: what the run of the region leaves out.

`python -m benchmarks.tem_margin FOLDER [--workers N] [--every K]` with the test data (TALIK_SHARED) makes the forcing
of all cells with any permafrost in Permafrost_cci, runs `talik tem run` to 2014 on each K-th of those below half, and
prints areas.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import xarray as xr

from benchmarks.tem_region import CO2, SCENARIOS, forcing_project, talik, written
from talik.tem.permafrost.layers import NO_PERMAFROST_M

BELOW = 0.5
CLASSES = (0.0, 0.2, 0.35, BELOW)
YEARS = slice(2006, 2014)


def margin_project(data: Path, folder: Path, some: xr.Dataset) -> Path:
    """The project file of a run of some cells of the forcing."""
    section = {
        "climate": {"files": ["forcing/climate-historical.nc"]},
        "co2": {"files": [str(data / CO2)], "scenario": SCENARIOS[0]},
        "land": {"files": ["forcing/land.nc"]},
        "block": 256,
        "cells": [[float(a), float(o)] for a, o in zip(some["lat"], some["lon"], strict=True)],
    }
    title = "Cells with less than half permafrost"
    return written(
        folder / "margin.yaml", {"name": "margin", "title": title, "output": "margin", "tem": section}
    )


def report(annual: xr.Dataset, land: xr.Dataset, every: int) -> None:
    """Print permafrost of the map and of the model by fraction on the map, million km2, each cell for `every`."""
    place = land.assign_coords(name=("cell", _names(land))).set_index(cell="name")
    of = place.sel(cell=_names(annual))
    means = annual.sel(year=YEARS)
    frozen = (
        means["permafrostFraction"].where(means["activeLayerThickness"] < NO_PERMAFROST_M, 0.0).mean("year")
    )
    area = 1e-12 * every * of["cell_area"].to_numpy()
    fraction = of["permafrost_fraction"].to_numpy()
    print("fraction on the map, cells run, land, permafrost on the map, in the model")
    for low, high in zip((*CLASSES[:-1], 0.0), (*CLASSES[1:], BELOW), strict=True):
        here = (fraction >= low) & (fraction < high)
        sums = [(area * v)[here].sum() for v in (1.0, fraction, frozen.to_numpy())]
        print(f"{low:g} to {high:g}", int(here.sum()), *(f"{v:.2f}" for v in sums))


def _names(ds: xr.Dataset) -> list[str]:
    return [f"{a:.3f} {o:.3f}" for a, o in np.stack([ds["lat"], ds["lon"]], axis=1)]


def main() -> None:
    """Everything."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--every", type=int, default=8)
    given = parser.parse_args()
    data = Path(os.environ.get("TALIK_SHARED", "../shared")).resolve() / "data"
    folder = given.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    talik("tem", "forcing", str(forcing_project(data, folder, 0.0, 400.0)))
    with xr.open_dataset(folder / "forcing" / "land.nc") as land:
        few = land.isel(cell=(land["permafrost_fraction"] < BELOW).to_numpy())
        some = few.isel(cell=slice(None, None, given.every)).load()
    talik("tem", "run", str(margin_project(data, folder, some)), "--workers", str(given.workers))
    with xr.open_dataset(folder / "margin" / "tem-annual.nc") as annual:
        report(annual.load(), some, given.every)


if __name__ == "__main__":
    main()
