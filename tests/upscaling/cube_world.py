"""A small world whose fluxes are known: models trained on it, and a cube of predictors in the layouts users have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from talik.regions import EqualAreaGrid, Grid, LatLonGrid
from talik.upscaling.learners import make_learner
from talik.upscaling.model import Model, train
from talik.upscaling.training import prepare

PREDICTORS = ["month", "soil_temperature", "srad", "co2", "vegetation_type", "soc_stock", "tree_cover"]
UNITS = {
    "soil_temperature": "K",
    "srad": "W m-2",
    "co2": "ppm",
    "soc_stock": "t ha-1",
    "tree_cover": "percent",
}
CLASSES = (31, 60, 70, 160)


def training_table(n_sites: int = 24, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = []
    for s in range(n_sites):
        soc, tree, vegetation = rng.uniform(50, 900), rng.uniform(0, 80), rng.choice(CLASSES)
        for year in (2001, 2002):
            for month in range(1, 13):
                warm = 262 + 22 * np.sin((month - 4) / 12 * 2 * np.pi) + rng.normal(0, 2)
                sun = 140 + 130 * np.sin((month - 3) / 12 * 2 * np.pi)
                gpp = max(0.0, (warm - 265) * 6) * (0.4 + tree / 100)
                reco = 8 + 4.5 * max(0.0, warm - 262)
                co2 = 371 + year - 2001 + month / 12
                rows.append((f"S{s:02d}", year, month, warm, sun, co2, vegetation, soc, tree))
                rows[-1] += (gpp, reco, reco - gpp)
    names = ["site_id", "year", *PREDICTORS, "gpp", "reco", "nee"]
    return pd.DataFrame(rows, columns=names)


def make_model(flux: str, path: Path, *, members: int = 0, trees: int = 25, learner: str = "forest") -> Model:
    training = prepare(training_table(), flux, "site_id", PREDICTORS, units=UNITS)
    settings = {"trees": trees} if learner == "forest" else {}
    model = train(training, make_learner(learner, settings), members=members, bootstrap="sites")
    model.save(path)
    return model


def cube(
    grid: Grid | None = None, *, years: tuple[int, int] = (2001, 2002), seed: int = 5, holes: bool = False
) -> xr.Dataset:
    """Predictors on a grid: monthly, annual, uniform, static and classes; a sea of missing values in one corner."""
    grid = grid or EqualAreaGrid.epsg6931(50_000.0, x=(-1.5e6, 1.0e6), y=(-1.2e6, 0.9e6))
    rng = np.random.default_rng(seed)
    first, second = grid.dims
    months = pd.date_range(f"{years[0]}-01-01", f"{years[1]}-12-01", freq="MS")
    ny, nx = grid.shape
    smooth = np.add.outer(np.sin(np.arange(ny) / 7), np.cos(np.arange(nx) / 9))
    land = np.ones((ny, nx), bool)
    land[: ny // 4, : nx // 3] = False
    wave = np.sin((months.month.values - 4) / 12 * 2 * np.pi)
    warm = 262 + 22 * wave[:, None, None] + 3 * smooth + rng.normal(0, 0.5, (len(months), ny, nx))
    sun = 140 + 130 * np.sin((months.month.values - 3) / 12 * 2 * np.pi)[:, None, None] + smooth
    year = np.arange(years[0], years[1] + 1)
    tree = 40 + 20 * smooth + np.arange(len(year))[:, None, None]
    ds = xr.Dataset(
        {
            "soil_temperature": (("time", first, second), np.where(land, warm, np.nan).astype("f4")),
            "srad": (("time", first, second), np.where(land, sun, np.nan).astype("f4")),
            "co2": (("time",), 371 + (months.year - 2001) + months.month / 12.0),
            "tree_cover": (("year", first, second), np.where(land, tree, np.nan).astype("f4")),
            "vegetation_type": (
                (first, second),
                np.where(land, rng.choice([1, *CLASSES], (ny, nx)), 210).astype("i2"),
            ),
            "soc_stock": (
                (first, second),
                np.where(land, rng.uniform(50, 900, (ny, nx)), np.nan).astype("f4"),
            ),
        },
        coords={**grid.coords(), "time": months, "year": year},
    )
    for name, unit in UNITS.items():
        ds[name].attrs["units"] = unit
    frame = grid.to_dataset()
    ds["crs"] = frame["crs"]
    for name in ("soil_temperature", "srad", "tree_cover", "vegetation_type", "soc_stock"):
        ds[name].attrs["grid_mapping"] = "crs"
    if holes:
        ds["srad"][5, ny - 3 :, nx - 4 :] = np.nan
    return ds


def small_grid() -> LatLonGrid:
    return LatLonGrid.regular((2.0, 4.0), lat=(50.0, 80.0), lon=(-180.0, 180.0))


def slow_prediction(model: Model, ds: xr.Dataset, step: int) -> np.ndarray:
    """Prediction of one month through `Model.predict` and a table, (rows, columns); NaN outside the domain."""
    first, second = ds["soc_stock"].dims
    when = pd.Timestamp(ds["time"].values[step])
    shape = ds["soc_stock"].shape
    layer = {
        "month": np.full(shape, when.month),
        "soil_temperature": ds["soil_temperature"].values[step],
        "srad": ds["srad"].values[step],
        "co2": np.full(shape, float(ds["co2"][step])),
        "vegetation_type": ds["vegetation_type"].values,
        "soc_stock": ds["soc_stock"].values,
        "tree_cover": ds["tree_cover"].sel(year=when.year).values,
    }
    table = pd.DataFrame({k: np.asarray(v).ravel() for k, v in layer.items()})
    table["vegetation_type"] = table["vegetation_type"].replace({1: 31})
    valid = table.notna().all(axis=1) & (table["vegetation_type"] != 210)
    out = np.full(len(table), np.nan)
    out[valid.to_numpy()] = model.predict(table[valid])
    assert (first, second) == ds["srad"].dims[1:]
    return out.reshape(shape)
