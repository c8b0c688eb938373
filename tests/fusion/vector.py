"""The test vector of the specification as inputs and numbers; batch axes (pixel, chain) of 1."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from talik.fusion.drivers import Drivers
from talik.fusion.switches import Switches

POOL_NAMES = ("C_lab", "C_fol", "C_root", "C_wood", "C_lit", "C_som")
AS_REFERENCE = Switches(winter_stop=False, som_burnt="profile", steady="absolute", nbe="reference")
YEARS, MONTHS = np.repeat([2001, 2002], 12), np.tile(np.arange(1, 13), 2)


def read(shared: Path) -> pd.Series:
    """Value as text by case, group, name and step."""
    rows = pd.read_csv(shared / "spec" / "fusion_testvector.csv", dtype={"value": str})
    return rows.set_index(["case", "group", "name", "step"]).sort_index()["value"]


def column(table: pd.Series, case: str, group: str, name: str) -> np.ndarray:
    return table.loc[(case, group, name)].sort_index().to_numpy(float)


def by_pool(table: pd.Series, case: str, group: str) -> np.ndarray:
    return np.array([float(table.loc[(case, group, name)].iloc[0]) for name in POOL_NAMES])


def theta_of(table: pd.Series) -> np.ndarray:
    return table.loc[("ALL", "param")].to_numpy(float)[:, None, None]


def drivers_of(table: pd.Series, case: str) -> Drivers:
    names = ("dt", "doy_end", "tmin", "tmax", "sw", "co2", "vpd", "wind")
    burned, loss = (column(table, case, "driver", name)[:, None, None] for name in ("burn", "loss"))
    return Drivers(
        **{name: column(table, "ALL", "driver", name)[:, None, None] for name in names},
        burned=burned,
        loss=loss,
        latitude=np.array([[float(table[("ALL", "site", "latitude", 0)])]]),
        scenario=int(table[("ALL", "site", "harvest_scenario", 0)]),
        fires=bool(burned.any()),
        losses=bool(loss.any()),
    )


def switches_of(case: str) -> Switches:
    return replace(AS_REFERENCE, photosynthesis="acm2" if case == "C" else "acm1")
