"""A small project with two process models, inversions, an upscaled product and towers, all made here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
import yaml
from inversion_world import carbontracker, gcb
from model_world import NORTH, land_file, trendy

from talik.flux import make_flux_dataset, write_netcdf
from talik.regions import LatLonGrid

YEARS = (2000, 2001)
G_YEAR = 1e-3 / (365.0 * 86_400.0)
"""kg m-2 s-1 of 1 g m-2 in a year of 365 days, the calendar of the models here."""
UPSCALED = LatLonGrid.regular(2.5, lat=(40.0, 90.0))
SEASON = np.array([0.3, 0.3, 0.2, 0.1, -0.5, -2.0, -2.4, -1.2, 0.3, 0.6, 0.4, 0.3])
"""Shape of the year of NEE; its mean is -0.3."""


def write_world(folder: Path, **changes: Any) -> Path:
    """The project file; `changes` replace keys of its sections, as ``compare={"neutral": 1.0}``."""
    folder.mkdir(parents=True, exist_ok=True)
    _models(folder)
    _products(folder)
    (folder / "towers.csv").write_text(towers().to_csv(index=False))
    content: dict[str, Any] = {
        "talik": 1,
        "name": "side by side",
        "title": "Side by side",
        "period": {"first_year": YEARS[0], "last_year": YEARS[1]},
        "ensemble": {
            "regions": ["sectors"],
            "least_coverage": 0.5,
            "fire": "fire.nc",
            "models": {
                name: {
                    "profile": "TRENDY",
                    "files": [f"models/{name}_S3_*.nc"],
                    "land_fraction": "models/land.nc",
                    "project": "TRENDY",
                    "soil_carbon": kind,
                }
                for name, kind in (("ORCHIDEE", "layered"), ("JULES", "bulk"))
            },
            "inversions": {
                "GCB": {"layout": "gcb", "files": [str(gcb(folder))], "check_total": False},
                "CTE": {
                    "layout": "carbontracker-europe",
                    "files": [str(carbontracker(folder, europe=True))],
                    "check_total": False,
                },
            },
        },
        "compare": {
            "regions": ["sectors"],
            "grid_degrees": 5.0,
            "least_coverage": 0.5,
            "draws": 200,
            "approaches": {
                "towers": {"sites": "towers.csv"},
                "upscaling": {"fluxes": {"forest": "upscaled.nc"}},
                "inversions": {"members": ["inversions"]},
                "models": {"members": ["TRENDY"]},
            },
        },
    }
    for section, keys in changes.items():
        content[section] = {**content.get(section, {}), **keys} if isinstance(keys, dict) else keys
    path = folder / "project.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in content.items() if v is not None}, sort_keys=False))
    return path


def _models(folder: Path) -> None:
    """ORCHIDEE takes up 30 g m-2 a year and burns 10, JULES takes up 20 and knows no fire."""
    out = folder / "models"
    out.mkdir(exist_ok=True)
    land_file(out, "land.nc", "landfrac", 1.0, units="1")
    grams = {
        "ORCHIDEE": {"gpp": 500.0, "npp": 250.0, "ra": 250.0, "rh": 220.0, "fFire": 10.0, "nbp": 20.0},
        "JULES": {"gpp": 300.0, "npp": 150.0, "ra": 150.0, "rh": 130.0},
    }
    for model, fluxes in grams.items():
        for name, value in fluxes.items():
            trendy(out, name, value * G_YEAR, model=model)


def _products(folder: Path) -> None:
    time = xr.date_range("2000-01-01", periods=24, freq="MS")
    days = xr.DataArray(time, dims="time").dt.days_in_month.values
    shape = (24, *UPSCALED.shape)
    year_g = -40.0 + 0.5 * (UPSCALED.y[:, None] - 60.0) + 0.0 * UPSCALED.x
    month_g = np.tile(SEASON / SEASON.sum(), 2)[:, None, None] * year_g
    rate = month_g / 1000.0 / (days[:, None, None] * 86_400.0)
    coords = {"time": time, **UPSCALED.coords()}

    def dataset(name: str, values: Any, approach: str, source: str) -> xr.Dataset:
        da = xr.DataArray(
            np.broadcast_to(values, shape).astype("f4"), dims=("time", "lat", "lon"), coords=coords
        )
        return make_flux_dataset(
            {name: da.assign_attrs(units="kg m-2 s-1")}, approach=approach, source=source, coverage=1.0
        )

    write_netcdf(dataset("nee", rate, "upscaling", "forest"), folder / "upscaled.nc")
    fires = 10.0 * G_YEAR
    write_netcdf(dataset("fFire", fires, "inventory", "made fires"), folder / "fire.nc")


def field(folder: Path, name: str, variable: str, grams: float, years: tuple[int, int] = YEARS) -> None:
    """A flux dataset of a constant flux, g m-2 in a year of 365 days."""
    grid = LatLonGrid.regular(5.0, lat=(45.0, 90.0))
    n = 12 * (years[1] - years[0] + 1)
    time = xr.date_range(f"{years[0]}-01-01", periods=n, freq="MS", calendar="noleap", use_cftime=True)
    data = np.full((n, *grid.shape), grams * G_YEAR)
    da = xr.DataArray(data, dims=("time", "lat", "lon"), coords={"time": time, **grid.coords()})
    ds = make_flux_dataset(
        {variable: da.assign_attrs(units="kg m-2 s-1")}, approach="process", source=name, coverage=1.0
    )
    write_netcdf(ds, folder / f"{name}.nc")


def towers() -> pd.DataFrame:
    """Five sites of two whole years, and one that was measured in summer only."""
    places = [
        ("US-A", 65.0, -150.0, "USA"),
        ("US-B", 68.6, -149.0, "USA"),
        ("CA-A", 60.0, -105.0, "Canada"),
        ("FI-A", 67.4, 26.6, "Finland"),
        ("RU-A", 62.0, 129.0, "Russia"),
        ("RU-S", 70.0, 148.0, "Russia"),
    ]
    rows = []
    for number, (site, lat, lon, country) in enumerate(places):
        for year in YEARS:
            for month in range(1, 13):
                if site == "RU-S" and month not in (6, 7, 8):
                    continue
                nee = 8.0 * (1.0 + 0.1 * number) * SEASON[month - 1] + 0.5 * (year - YEARS[0])
                rows.append(
                    {
                        "site_id": site,
                        "lat": lat,
                        "lon": lon,
                        "country": country,
                        "biome": "Tundra" if lat > 66.0 else "Boreal",
                        "year": year,
                        "month": month,
                        "nee [g C m-2 month-1]": nee,
                    }
                )
    return pd.DataFrame(rows)


__all__ = ["NORTH", "YEARS", "towers", "write_world"]
