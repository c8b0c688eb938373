"""Time and memory of reading and summarising a file as large as the CO2 package of the Global Carbon Budget.

`python -m benchmarks.inversions FOLDER` writes 436 MiB of random numbers to FOLDER first; the numbers are those of
docs/science/inversions.md.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import netCDF4
import numpy as np

from talik.ensembles.inversions import summarise_inversions
from talik.sources.inversions import read_inversion

MEMBERS, YEARS = 7, 21
MEAN, SPREAD = -1e-14, 1e-14
"""Pg C m-2 yr-1."""


def write(path: Path) -> None:
    """The file, stored in one piece."""
    rng = np.random.default_rng(0)
    with netCDF4.Dataset(path, "w") as file:
        sizes = {
            "ensemble_member": MEMBERS,
            "time": 12 * YEARS,
            "latitude": 180,
            "longitude": 360,
            "letters": 20,
        }
        for name, size in sizes.items():
            file.createDimension(name, size)
        stamps = file.createVariable("time", "f8", ("time",))
        stamps.units = "months since 2000-01-01"
        stamps[:] = np.arange(12 * YEARS)
        file.createVariable("latitude", "f8", ("latitude",))[:] = np.arange(-89.5, 90.0)
        file.createVariable("longitude", "f8", ("longitude",))[:] = np.arange(-179.5, 180.0)
        names = file.createVariable("ensemble_member_name", "S1", ("ensemble_member", "letters"))
        names[:] = netCDF4.stringtochar(np.array([f"SYSTEM{k}".ljust(20) for k in range(MEMBERS)], "S20"))
        dims = ("ensemble_member", "time", "latitude", "longitude")
        flux = file.createVariable("land_flux_only_fossil_cement_adjusted", "f4", dims)
        flux.units = "Pg C m-2 yr-1"
        for member in range(MEMBERS):
            for year in range(YEARS):
                flux[member, 12 * year : 12 * (year + 1)] = rng.normal(MEAN, SPREAD, (12, 180, 360))


def main(folder: Path) -> None:
    """Write the file if it is not there, read it, summarise it, print seconds and memory."""
    path = folder / "GCP2023_inversions_1x1_made.nc"
    if not path.is_file():
        write(path)
    start = time.perf_counter()
    ds = read_inversion(path, "gcb")
    read = time.perf_counter()
    found = summarise_inversions({"gcb": ds}, "nbe", ["sectors"])
    done = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(found.summary.to_string(index=False))
    print(f"read {read - start:.1f} s, summarise {done - read:.1f} s, {peak:.2f} GiB at most")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
