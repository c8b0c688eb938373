"""CH4 of wetlands and uplands by three ways side by side: site means, a learned model, the published budget.

`python -m benchmarks.inventory_ch4 FOLDER` with the test data (TALIK_SHARED) trains a forest on monthly CH4 with
land-cover class as a predictor, writes its prediction for every class of the 82 BAWLD cells that have sites as a flux
dataset, and runs the inventory on these cells and on the domain.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
import yaml
from rich.console import Console

from talik.cli.inventory import print_inventory
from talik.flux import make_flux_dataset
from talik.flux.io import write_netcdf
from talik.inventory.areas import M2_PER_MKM2
from talik.inventory.run import run
from talik.inventory.settings import InventorySettings
from talik.sources.bawld import read_bawld
from talik.sources.site_table import read_sites
from talik.upscaling.evaluate import hold_out
from talik.upscaling.folds import leave_groups_out
from talik.upscaling.learners import make_learner
from talik.upscaling.model import Model, train
from talik.upscaling.training import prepare

CLASSES = {
    "BOR": "Boreal Forest",
    "TUN": "Dry Tundra",
    "WTU": "Tundra Wetland",
    "PEB": "Permafrost Bog",
    "BOG": "Bog",
    "FEN": "Fen",
    "MAR": "Fen",
}
"""BAWLD classes by their name in the site table, which has no marshes: they are predicted as fens."""
PREDICTORS = ("vegetation", "month", "tair")
MEMBERS, YEAR, SOUTH, SEED = 100, 2010, 55.0, 448


def learned(sites: Path) -> Model:
    """A forest of monthly CH4 (g C m-2 month-1) with land-cover class, month and air temperature as predictors."""
    rows = read_sites(sites).rows
    rows = rows[(rows["lat"] >= SOUTH) & rows["vegetation"].isin(list(CLASSES.values()))]
    training = prepare(rows, "ch4", "site_id", PREDICTORS, weights=1.0)
    learner = make_learner("forest")
    held = hold_out(training, learner, leave_groups_out(training.data.groups), SEED, fast=True)
    return train(training, learner, seed=SEED, held=held, design="loso", bootstrap="sites", members=MEMBERS)


def predicted(model: Model, cover: xr.Dataset) -> xr.Dataset:
    """fch4 of every class on every cell that has it, a flux dataset with members; places know class and area."""
    area = (cover["fraction"] * cover["cell_area"]).sel(cover=list(CLASSES))
    known = cover["tair"].notnull().all("month")
    cells, codes = np.nonzero((area > 0.0).to_numpy() & known.to_numpy()[:, None])
    months = np.arange(1, 13)
    table = pd.DataFrame(
        {
            "vegetation": np.repeat([CLASSES[str(area["cover"].to_numpy()[k])] for k in codes], 12),
            "month": np.tile(months, cells.size),
            "tair": cover["tair"].to_numpy()[cells].ravel(),
        }
    )
    members = model.predict_members(table).T.reshape(-1, cells.size, 12)
    time = pd.to_datetime([f"{YEAR}-{m:02d}-15" for m in months])
    seconds = pd.to_datetime([f"{YEAR}-{m:02d}-01" for m in months]).days_in_month.to_numpy() * 86_400.0
    rate = members.transpose(0, 2, 1) * 1e-3 / seconds[:, None]
    data = xr.DataArray(
        rate, dims=("member", "time", "cell"), coords={"time": time}, attrs={"units": "kg m-2 s-1"}
    )
    ds = make_flux_dataset(
        {"fch4": data},
        approach="upscaling",
        source="forest of monthly CH4 with land-cover class, month and air temperature",
        coverage=1.0,
    )
    return ds.assign_coords(
        land_cover=("cell", area["cover"].to_numpy()[codes]),
        cell_area=("cell", area.to_numpy()[cells, codes], {"units": "m2"}),
    )


def main() -> None:
    """Train, predict, and print both tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inventory_ch4", description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    data = Path(os.environ["TALIK_SHARED"]) / "data"
    months = data / "abcflux-v2-apr2024" / "site_months_mean.parquet"
    table = data / "bawld-ch4-wetlands" / "bawld_ch4_wetland_flux_and_cell_cover.csv.gz"
    model = learned(months)
    metrics = model.facts["metrics"]
    print(
        f"{model.facts['n_rows']} months of {model.facts['n_sites']} sites; left-out sites: {metrics['pooled']}"
    )
    write_netcdf(predicted(model, read_bawld(table)), folder / "model.nc")
    estimates = {
        "learned": [{"fluxes": str(folder / "model.nc")}],
        "published": ["published"],
    }
    sites = {"growing_season": str(table)}
    wanted = {"CH4": [sites, "printed growing season"]}
    for name, areas in (("cells", {"cover": str(table)}), ("domain", {})):
        given: dict[str, Any] = {"densities": wanted, "beside": {"CH4": estimates}, "areas": areas}
        if name == "cells":
            area = float(read_bawld(table)["cell_area"].sum()) / M2_PER_MKM2
            given |= {"region": "the 82 cells with wetland sites", "area_mkm2": area}
        (folder / f"{name}.yaml").write_text(
            yaml.safe_dump({"talik": 1, "name": name, "output": name, "inventory": given}, sort_keys=False)
        )
        print_inventory(run(InventorySettings.model_validate(given), Path, 0), Console(width=150))


if __name__ == "__main__":
    main()
