"""Do proposed towers help in the made-up Arctic? `python -m benchmarks.osse_design run WORLDS OUT [SEEDS]`, then
`... summary OUT`.

WORLDS is the folder of `benchmarks.osse_worlds`, whose truths are used. `TOWERS` towers stand as the real network does;
`talik design` proposes five towers more, which report for three years with the errors of `talik.osse.towers`; a forest
learns again with them, or with as many at places taken at random by area (`benchmarks.network_design`).
"""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pandas as pd
import xarray as xr

from benchmarks.network_design import World, one_world, run, show
from talik.flux.units import amount_from_rate
from talik.osse.nature import Nature, read_nature
from talik.osse.predictors import write_predictors
from talik.osse.towers import place_at, place_towers, sample
from talik.workflow import load_project

TOWERS = 40
RECORD = 36
"""Months that a new tower reports."""
YEAR = "2012"
"""The year whose flux is asked for."""
PREDICTORS = ("srad", "vpd", "snow_cover", "soil_temperature", "soil_moisture", "ndvi", "surface_temperature",
              "tree_cover", "soc_stock", "permafrost_probability")  # fmt: skip
"""Those of the demo."""


def nature_of(worlds: Path, seed: int) -> Nature:
    """The truth of a world that `benchmarks.osse_worlds` made."""
    folder = worlds / f"world-{seed:02d}"
    project = load_project(folder / "project.yaml")
    settings = project.sections["world"].model_copy(update={"seed": project.base.seed})  # type: ignore[attr-defined]
    (path,) = folder.glob("work/world-nature-*/nature.nc")
    return read_nature(path, settings)


def osse_world(worlds: Path, seed: int) -> World:
    """A made-up Arctic as `one_world` takes it."""
    nature = nature_of(worlds, seed)
    land = nature.land
    with tempfile.TemporaryDirectory() as folder:
        write_predictors(Path(folder) / "predictors.nc", nature)
        with xr.open_dataset(Path(folder) / "predictors.nc", decode_timedelta=False) as held:
            cube = held[list(PREDICTORS)].sel(time=YEAR).load()
    flux = nature.months["nee"].assign_attrs(units="kg m-2 s-1")
    nee = amount_from_rate(flux, "g m-2 month-1").sel(time=YEAR).to_numpy()
    centres = {"lat": land.grid.y, "lon": land.grid.x}
    truth = xr.DataArray(land.on_grid(nee), dims=("month", "lat", "lon"), coords=centres, name="nee")
    share = cube[PREDICTORS[0]].isel(time=0, drop=True).copy(data=land.on_grid(land.land_share)).fillna(0.0)
    share.attrs = {"units": "1"}
    standing = {place.site_id: place for place in place_towers(nature, TOWERS)}

    def report(places: pd.DataFrame) -> pd.DataFrame:
        found = []
        for at in places.itertuples():
            place = standing.get(at.site_id)
            if place is None:
                new = place_at(nature, str(at.site_id), float(at.lat), float(at.lon))
                place = dataclasses.replace(new, start=12, months=RECORD)
            found.append(place)
        return sample(nature, found)

    network = pd.DataFrame([{"site_id": p.site_id, "lat": p.lat, "lon": p.lon} for p in standing.values()])
    units = {name: str(cube[name].attrs["units"]) for name in PREDICTORS}
    return World(cube, truth, report, network, ["month", *PREDICTORS], units, share)


def job(seed: int, worlds: Path) -> dict[str, Any]:
    return one_world(partial(osse_world, worlds), seed)


def main() -> None:
    if sys.argv[1] == "run":
        worlds, out = Path(sys.argv[2]), Path(sys.argv[3])
        seeds = int(sys.argv[4]) if len(sys.argv) > 4 else 20
        run(out, seeds, int(os.environ.get("WORKERS", "1")), partial(job, worlds=worlds))
    elif sys.argv[1] == "summary":
        show(Path(sys.argv[2]))
    else:
        sys.exit("expected run WORLDS OUT [SEEDS] or summary OUT")


if __name__ == "__main__":
    main()
