"""Blocks of cells in one file: no value made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from talik.tem.merge import write_annual
from talik.tem.output import ANNUAL


def test_an_area_that_is_not_known_is_not_written(tmp_path: Path) -> None:
    values = {name: (("year", "cell"), np.ones((1, 2))) for name in ANNUAL}
    place = {"lat": ("cell", [60.0, 61.0]), "lon": ("cell", [10.0, 11.0]), "year": [2001]}
    block = xr.Dataset(values, place, {"talik_inputs": "{}"})
    for name, area in (("with", {"cell_area": ("cell", [1.0, 2.0])}), ("without", {})):
        block.assign(area).to_netcdf(tmp_path / "block.nc")
        write_annual([tmp_path / "block.nc"], tmp_path / f"{name}.nc", title="x", key="k" * 12, grid=True)
        with xr.open_dataset(tmp_path / f"{name}.nc") as ds:
            assert ("cell_area" in ds) == (name == "with")
