"""The accelerated spin-up against 3000 + 500 plain years, in stratified cells of the permafrost region.

`python -m benchmarks.tem_spinup [CELLS_PER_STRATUM]` with the test data (TALIK_SHARED) prints the tables of the
documentation.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

FIRST, LAST = 1901, 1911
CO2_PPM = 296.0
STRATA = (3, 4, 3)
"""Classes of latitude, of mean annual temperature inside them, and of precipitation inside those."""


def stratified_cells(data: Path, each: int, seed: int = 0):  # type: ignore[no-untyped-def]
    """Columns and eleven years of climate of `each` cells from every stratum.

    Land with soil from 45 N, colder than 0 degC in the mean of the climatology, without ice. Its months come from the
    BIOME4 climatology, texture from HWSD, communities from Koeppen classes; the anomalies of a random cell of 65-70 N
    make the years.
    """
    from talik.tem import model
    from talik.tem.inputs import Climate, Columns

    rng = np.random.default_rng(seed)
    land = _land(data)
    chosen = _stratified(land, each, rng)
    at = land.isel(cell=chosen)
    anomaly = _anomalies(data, chosen.size, rng)
    tair = at["tas"].to_numpy() + anomaly["tair_degC"]
    precip = at["pr"].to_numpy() * anomaly["prec_mm"]
    clouds = np.clip(1.0 - 0.01 * at["sunshine"].to_numpy() + 0.01 * anomaly["clds_pct"], 0.0, 1.0)
    lat = at["lat"].to_numpy()
    irradiance, par = (np.asarray(a) for a in model.light(lat, None, clouds))
    climate = Climate(FIRST, tair, precip, irradiance, par, np.full(LAST - FIRST + 1, CO2_PPM))
    cells = np.arange(chosen.size)
    community = tuple(
        ("wet_tundra" if i % 2 else "alpine_tundra_polar_desert") if tundra else "boreal_forest"
        for i, tundra in enumerate(at["tundra"].to_numpy())
    )
    texture = (at[name].to_numpy().astype(float) for name in ("sand", "silt", "clay"))
    one = np.ones(chosen.size)
    columns = Columns(lat, at["lon"].to_numpy(), one, cells, community, one, *texture, 300.0 * one)
    return columns, climate


def _land(data: Path) -> xr.Dataset:
    """Cells of cold land with soil and plants: monthly climate, texture, and whether it is tundra."""
    climate = xr.open_dataset(data / "climatology-biome4-05deg" / "biome4_climatology_40-90N_0.5deg.nc")
    soil = xr.open_dataset(data / "hwsd-topsoil-05deg" / "hwsd_topsoil_40-90N_0.5deg.nc")
    classes = xr.open_dataset(data / "koeppen-05deg" / "koeppen_40-90N_0.5deg.nc")["koeppen"]
    meaning = dict(zip(classes.attrs["flag_values"], classes.attrs["flag_meanings"].split(), strict=True))
    tundra = [v for v, name in meaning.items() if name == "ET"]
    forest = [v for v, name in meaning.items() if name[0] == "D" and name[-1] in "cd"]
    both = xr.merge([climate[["tas", "pr", "sunshine"]], soil[["sand", "silt", "clay", "land_fraction"]]])
    both["tundra"] = classes.isin(tundra)
    cells = both.stack(cell=("lat", "lon")).reset_index("cell")
    kind = classes.stack(cell=("lat", "lon")).reset_index("cell").isin([*tundra, *forest])
    mean, warmest = cells["tas"].mean("month"), cells["tas"].max("month")
    good = kind & (cells["land_fraction"] > 0.5) & cells["sand"].notnull() & (mean < 0.0) & (warmest > 1.0)
    good &= (
        (cells["lat"] > 45.0) & (cells["pr"].sum("month") > 0.0) & cells["sunshine"].notnull().all("month")
    )
    return cells.isel(cell=np.flatnonzero(good.to_numpy())).transpose("month", "cell")


def _stratified(land: xr.Dataset, each: int, rng: np.random.Generator) -> np.ndarray:
    """Some cells of every class of precipitation in every class of temperature in every class of latitude."""
    keys = (land["lat"].to_numpy(), land["tas"].mean("month").to_numpy(), land["pr"].sum("month").to_numpy())
    groups = [np.arange(land.sizes["cell"])]
    for key, count in zip(keys, STRATA, strict=True):
        groups = [
            part for g in groups for part in np.array_split(g[np.argsort(key[g], kind="stable")], count)
        ]
    return np.concatenate([rng.choice(g, each, replace=False) for g in groups])


def _anomalies(data: Path, cells: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Of random cells of 65-70 N, (year, 12, cell): temperature and cloudiness less their mean, precipitation over it."""
    table = pd.read_csv(data / "tem-65-70n" / "climate_monthly_cells.csv.gz")
    table = table[table["year"].between(FIRST, LAST)].sort_values(["lat", "lon", "year", "month"])
    shape = (-1, LAST - FIRST + 1, 12)
    fields = {n: table[n].to_numpy().reshape(shape) for n in ("tair_degC", "prec_mm", "clds_pct")}
    at = rng.integers(0, fields["prec_mm"].shape[0], cells)
    out = {n: np.moveaxis(v[at] - v[at].mean(axis=1, keepdims=True), 0, -1) for n, v in fields.items()}
    rain = fields["prec_mm"][at]
    out["prec_mm"] = np.moveaxis(rain / np.maximum(rain.mean(axis=1, keepdims=True), 1.0), 0, -1)
    return out
