"""The truth by region, gas and process: what a budget of the world should say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from talik.files import write_text
from talik.osse.nature import Nature, methane_densities
from talik.regions import sectors
from talik.regions.named import DOMAIN
from talik.tem.output import month_seconds

COLUMNS = ("region", "gas", "process", "year", "tg")
"""`tg` is Tg of the element a year, release to the atmosphere positive."""
_KG_TO_TG = 1e-9
_FLUXES = (
    ("CO2", "vegetation_soil", "nee"),
    ("CO2", "fire", "fFire"),
    ("CO2", "inland_waters", "water"),
    ("CH4", "vegetation_soil", "fch4"),
    ("CH4", "inland_waters", "lakes"),
)
"""Gas, process of `talik.posts.post.PROCESSES`, and variable of `Nature.months`; `fch4` less that of `lakes`."""


def components(nature: Nature) -> pd.DataFrame:
    """Rows of `COLUMNS` for the whole world (`domain`) and its sectors."""
    land = nature.land
    shares = sectors(land.grid).to_numpy()[:, land.row, land.column]
    names = [str(name) for name in sectors(land.grid)["region"].values]
    # shares are of the whole cell: its land lies in them already
    cell_area = land.land_area_m2 / land.land_share
    areas = {DOMAIN: land.land_area_m2, **dict(zip(names, shares * cell_area, strict=True))}
    years = list(nature.weather.years)
    seconds = np.concatenate([month_seconds(year) for year in years])
    rows = []
    lakes = land.lake * methane_densities(nature.settings, land, nature.months)["lake"]
    for gas, process, name in _FLUXES:
        flux = lakes if name == "lakes" else nature.months[name].to_numpy()
        if name == "fch4":
            flux = flux - lakes
        for region, area in areas.items():
            months = (flux * area).sum(axis=1) * seconds * _KG_TO_TG
            rows += [
                (region, gas, process, year, float(tg))
                for year, tg in zip(years, months.reshape(-1, 12).sum(axis=1), strict=True)
            ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def write_components(out: Path, nature: Nature) -> None:
    """`components` as CSV."""
    write_text(out, components(nature).to_csv(index=False, float_format="%.9g", lineterminator="\n"))
