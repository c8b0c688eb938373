"""Real flux towers of the north: half of their NEE and GPP assimilated, the other half kept to judge the result.

`python -m benchmarks.fusion_towers run FOLDER [CASE ...]` samples the cases (all if none is named) through `talik fuse
run`, one result a case, skipped when it is there; `... summary FOLDER [FIGURES]` prints the tables of
docs/science/fusion-towers.md from the cases that are done, says how many are, and draws its figures. It needs the test
data (TALIK_SHARED): the collection fluxnet2015-cardamom.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

SITES = (
    "RU-Cok",
    "US-Atq",
    "RU-Che",
    "US-Ivo",
    "FI-Lom",
    "FI-Sod",
    "FI-Hyy",
    "RU-Fyo",
    "CA-NS3",
    "CA-NS5",
    "CA-Man",
    "DK-Sor",
)
"""Sites north of 55 degrees with biomass and both halves of the fluxes in the period: all kinds of land cover there
are, tundra first."""
PERIOD = (2002, 2009)
BIOMASS_YEAR = 2009
"""The map carries the date 2015-12, which no run for these fluxes reaches: its value counts in the last January."""
CASES: dict[str, float | None] = {"factor-1": 1.0, "factor-0.5": 0.5, "factor-2": 2.0, "data-free": None}
"""Multiplier of the tower error, None without any observation."""
BLOCK = 4
"""Pixels that wait for each other: few, since towers differ much in how long they take."""
SAMPLER = {"chains": 16, "draws": 250, "rounds": 4, "members": 1000}


def project(
    shared: Path, folder: Path, case: str, sites: tuple[str, ...] = SITES, **sampler: int
) -> dict[str, Any]:
    """The project file of a case, as a mapping."""
    factor = CASES[case]
    observations = {
        "lai": {"units": "1"},
        "biomass": {"variable": "abgb", "units": "g m-2", "year": BIOMASS_YEAR},
        "nee": {"units": "g m-2 d-1"},
        "gpp": {"units": "g m-2 d-1"},
        "assimilate": "calibration",
        "tower_error": {"factor": factor},
    }
    return {
        "talik": 1,
        "name": f"northern towers {case}",
        "seed": 1,
        "output": str(folder / case),
        "fusion": {
            "drivers": {
                "files": [str(shared / "data" / "fluxnet2015-cardamom" / "site_months.parquet")],
                "variables": {"sw": "ssrd"},
                "units": {"tmin": "degC", "tmax": "degC", "sw": "MJ m-2 d-1", "co2": "ppm"},
                "without": ["burned", "loss"],
            },
            **({} if factor is None else {"observations": observations}),
            "pixels": list(sites),
            "period": list(PERIOD),
            "block": BLOCK,
            "sampler": SAMPLER | sampler,
        },
    }


def run(shared: Path, folder: Path, cases: list[str]) -> None:
    """Each case through the command line of the package; its own files say what is done already."""
    folder.mkdir(parents=True, exist_ok=True)
    for case in cases:
        path = folder / f"{case}.yaml"
        path.write_text(yaml.safe_dump(project(shared, folder, case), sort_keys=False), encoding="utf-8")
        done = subprocess.run([sys.executable, "-m", "talik", "fuse", "run", str(path)], check=False)
        print(f"{case}: exit code {done.returncode}", flush=True)


def main() -> None:
    shared, folder = Path(os.environ["TALIK_SHARED"]), Path(sys.argv[2])
    match sys.argv[1]:
        case "run":
            run(shared, folder, sys.argv[3:] or list(CASES))
        case "summary":
            from benchmarks.fusion_towers_told import summary

            summary(folder, list(CASES), Path(sys.argv[3]) if sys.argv[3:] else None)
        case other:
            sys.exit(f"{other}: expected run or summary")


if __name__ == "__main__":
    main()
