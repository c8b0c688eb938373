"""The permafrost region from forcing to figures: every cell with half or more permafrost, twenty experiments.

`python -m benchmarks.tem_region FOLDER [--workers N] [--every K] [--design published|sensitivities] [--elevation M]`
with the test data (TALIK_SHARED) writes project files into FOLDER, runs `talik tem forcing`, `factorial` and
`diagnose`, and prints what it took. A run that was interrupted goes on. --every takes each K-th cell; --elevation is
that of cells without one; --parameters is a file with keys of the section `tem`, such as the calibrated.yaml of `talik
tem calibrate`, and --name goes into that of the run.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import xarray as xr
import yaml

SCENARIOS = ("ssp126", "ssp585")
CO2 = "ssp-concentrations/ssp_concentrations_annual.csv"


def forcing_project(data: Path, folder: Path, smallest: float, elevation: float) -> Path:
    """The project file of the forcing."""
    gfdl = data / "cmip5-patterns" / "patterns_GFDL-ESM2M_40-90N.nc"
    ipsl = data / "ipsl-cm6a-lr-coarse" / "tas_ann_IPSL-CM6A-LR_historical_r1i1p1f1_r20x20.nc"
    climatology = data / "climatology-biome4-05deg" / "biome4_climatology_40-90N_0.5deg.nc"
    section = {
        "climatology": {"file": str(climatology), "period": [1961, 1990]},
        "patterns": {"files": [str(gfdl)], "precipitation": "relative"},
        "warming": {
            "historical": str(ipsl),
            "assessed": str(data / "ssp-concentrations" / "ar6_ch4_assessed_gsat.csv"),
            "scenarios": list(SCENARIOS),
        },
        "cells": {
            "permafrost": str(data / "permafrost-cci-validation" / "permafrost_cci_grid_0.5deg.nc"),
            "smallest_fraction": smallest,
        },
        "land": {
            "soil": str(data / "hwsd-topsoil-05deg" / "hwsd_topsoil_40-90N_0.5deg.nc"),
            "koeppen": str(data / "koeppen-05deg" / "koeppen_40-90N_0.5deg.nc"),
            "tem_static": str(data / "tem-65-70n" / "tem_static_65-70N_0.5deg.nc"),
            "elevation_m": elevation,
        },
        "co2": {"file": str(data / CO2)},
    }
    return written(folder / "forcing.yaml", {"name": "forcing", "output": "forcing", "forcing": section})


def experiments_project(
    data: Path, folder: Path, design: str, every: int, parameters: Path | None, label: str
) -> Path:
    """The project file of the experiments, on each `every`-th cell of the forcing, with other parameters if given."""
    carbon = data / "tem-65-70n" / "tem_static_65-70N_0.5deg.nc"
    section = {
        "climate": {"files": ["forcing/climate-historical.nc"]},
        "co2": {"files": [str(data / CO2)], "scenario": SCENARIOS[0]},
        "land": {"files": ["forcing/land.nc"]},
        "block": 256,
        "permafrost": {"soil_carbon": {"files": [str(carbon)]}},
        "factorial": {
            "scenarios": {n: {"climate": [f"forcing/climate-{n}.nc"], "co2": n} for n in SCENARIOS},
            "experiments": design,
        },
    }
    if every > 1:
        with xr.open_dataset(folder / "forcing" / "land.nc") as land:
            some = land.isel(cell=slice(None, None, every))
            section["cells"] = [[float(a), float(o)] for a, o in zip(some.lat, some.lon, strict=True)]
    if parameters is not None:
        section |= yaml.safe_load(parameters.read_text(encoding="utf-8"))
    title = "Permafrost region, pattern-scaled climate"
    name = "-".join([design, str(every), *([label] if label else [])])
    return written(folder / f"{name}.yaml", {"name": name, "title": title, "output": name, "tem": section})


def written(path: Path, content: dict[str, object]) -> Path:
    """The path, where a project file of this content is now."""
    path.write_text(yaml.safe_dump({"talik": 1, **content}, sort_keys=False), encoding="utf-8")
    return path


def talik(*arguments: str) -> float:
    """Run a command; wall time in s."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-m", "talik", *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def report(folder: Path, wall: float) -> None:
    """Print what the experiments took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    audit = json.loads((folder / "tem-experiments-audit.json").read_text(encoding="utf-8"))
    with (
        xr.open_dataset(folder / "tem-experiments.nc") as ds,
        xr.open_dataset(folder / "tem-history.nc") as past,
    ):
        experiments = ds.sizes["scenario"] * ds.sizes["experiment"]
        simulated = past.sizes["year"] + experiments * ds.sizes["year"]
        cells = ds.sizes["cell"]
    columns = audit["columns"]
    processor = used.ru_utime + used.ru_stime
    size = sum(p.stat().st_size for p in folder.glob("tem-*.nc"))
    print(f"{cells} cells, {columns} columns, {experiments} experiments, {simulated} years of each column")
    print(f"wall {wall / 60:.0f} min, processor {processor / 60:.0f} min in this call")
    print(f"processor time per cell-year {1e6 * processor / (cells * simulated):.0f} us")
    print(f"largest process {used.ru_maxrss / 1024**2:.2f} GiB, results {size / 1e9:.2f} GB")
    print("closure", audit["closure"])


def main() -> None:
    """Everything."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--design", default="published")
    parser.add_argument("--smallest-fraction", type=float, default=0.5)
    parser.add_argument("--elevation", type=float, default=400.0)
    parser.add_argument("--parameters", type=Path)
    parser.add_argument("--name", default="")
    given = parser.parse_args()
    data = Path(os.environ.get("TALIK_SHARED", "../shared")).resolve() / "data"
    folder = given.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    forcing = forcing_project(data, folder, given.smallest_fraction, given.elevation)
    talik("tem", "forcing", str(forcing))
    project = experiments_project(data, folder, given.design, given.every, given.parameters, given.name)
    wall = talik("tem", "factorial", str(project), "--workers", str(given.workers))
    report(folder / project.stem, wall)
    observed = data / "permafrost-cci-validation"
    talik("tem", "diagnose", str(project), "--observed", str(observed))


if __name__ == "__main__":
    main()
