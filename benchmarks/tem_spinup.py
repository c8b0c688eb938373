"""The accelerated spin-up against 3000 + 500 plain years, in stratified cells of the permafrost region.

`python -m benchmarks.tem_spinup [CELLS_PER_STRATUM]` with the test data (TALIK_SHARED) prints the tables of the
documentation.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

if TYPE_CHECKING:
    from talik.tem.inputs import Climate, Columns
    from talik.tem.phases import SpinReport

FIRST, LAST = 1901, 1911
CO2_PPM = 296.0
STRATA = (3, 4, 3)
"""Classes of latitude, of mean annual temperature inside them, and of precipitation inside those."""


def stratified_cells(data: Path, each: int, seed: int = 0) -> tuple[Columns, Climate]:
    """Columns and eleven years of climate of `each` cells from every stratum.

    Land with soil from 45 N, colder than 0 degC in the mean of the climatology, without ice. Its months come from the
    BIOME4 climatology, texture from HWSD, communities from Koeppen classes; the anomalies of a random cell of 65-70 N
    make the years.
    """
    from talik.tem import radiation
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
    irradiance, par = (np.asarray(a) for a in radiation.light(lat, None, clouds))
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
    """Of random cells of 65-70 N, (year, 12, cell): temperature and cloudiness less their mean, precipitation by it."""
    table = pd.read_csv(data / "tem-65-70n" / "climate_monthly_cells.csv.gz")
    table = table[table["year"].between(FIRST, LAST)].sort_values(["lat", "lon", "year", "month"])
    shape = (-1, LAST - FIRST + 1, 12)
    fields = {n: table[n].to_numpy().reshape(shape) for n in ("tair_degC", "prec_mm", "clds_pct")}
    at = rng.integers(0, fields["prec_mm"].shape[0], cells)
    out = {n: np.moveaxis(v[at] - v[at].mean(axis=1, keepdims=True), 0, -1) for n, v in fields.items()}
    rain = fields["prec_mm"][at]
    out["prec_mm"] = np.moveaxis(rain / np.maximum(rain.mean(axis=1, keepdims=True), 1.0), 0, -1)
    return out


PLAIN = {"method": "plain", "carbon_g_m2": 1e-300, "nitrogen_g_m2": 1e-300}
"""All 3000 years, whether pools stand still or not."""
POOLS, FLUXES = ("C_V", "C_S", "N_S"), ("gpp", "npp", "rh")


@dataclass(frozen=True)
class Run:
    """A spin-up: pools at its end and fluxes of the year after, g m-2; how it went; seconds of wall and of processor
    by phase."""

    found: dict[str, np.ndarray]
    report: SpinReport
    seconds: dict[str, tuple[float, float]]


def spin_up(columns: Columns, climate: Climate, equilibrium: dict[str, Any], loop: dict[str, Any]) -> Run:
    """One spin-up as a run of the project does it, under the first year and then all of them in a loop."""
    from talik.tem import model, phases
    from talik.tem.inputs import equilibrium_climate, parameters_of, spin_up_climate
    from talik.tem.run import model_settings
    from talik.tem.settings import TemSettings

    none = {"files": ("none",)}
    given = {"climate": none, "co2": none, "land": none, "equilibrium": equilibrium, "spin_up": loop}
    wanted = TemSettings.model_validate(given)
    first = equilibrium_climate(wanted, climate)
    parameters, settings = parameters_of(columns, wanted, first), model_settings(wanted, CO2_PPM)
    told, tell = _clock()
    state, report = phases.spin(climate, parameters, wanted, settings, tell)
    tell("end")
    after = loop["years"]
    if after:
        cycle = spin_up_climate(wanted, climate)
        forcing, steady = cycle.forcing(cycle.years[after % len(cycle.years)], loop=True), settings
    else:
        forcing, steady = first.mean().forcing(FIRST), settings.with_baseline(True)
    _, soil = model.soil_step(state, forcing, parameters, steady)
    _, fluxes = model.biogeochemistry_step(state, forcing, soil, parameters, steady)
    found = {name: np.asarray(getattr(state.pools, name)) for name in POOLS}
    found |= {name: np.asarray(getattr(fluxes, name).sum(axis=0)) for name in FLUXES}
    return Run(found, report, _by_phase(told))


def _clock() -> tuple[list[tuple[str, float, float]], Callable[[str], None]]:
    """What is told, with the time."""
    told = [("start", time.perf_counter(), time.process_time())]

    def tell(line: str) -> None:
        told.append((line.split(":")[0], time.perf_counter(), time.process_time()))

    return told, tell


def _by_phase(told: list[tuple[str, float, float]]) -> dict[str, tuple[float, float]]:
    """Wall and processor seconds of soil heat, equilibrium and loop."""
    at = {name: (wall, cpu) for name, wall, cpu in told}
    names = ("start", "soil heat", "equilibrium", "end")
    return {b: (at[b][0] - at[a][0], at[b][1] - at[a][1]) for a, b in pairwise(names)}


def report(data: Path, each: int) -> None:
    """Run everything and print the tables."""
    columns, climate = stratified_cells(data, each)
    count = {name: columns.community.count(name) for name in sorted(set(columns.community))}
    print(f"{columns.lat.size} columns: {count}")
    references: dict[int, Run] = {}
    for name, equilibrium, loop in (
        ("3000 plain years", PLAIN, {"years": 0}),
        ("3000 plain years", PLAIN, {"years": 500, "soil": "every-year"}),
        ("plain until still", {"method": "plain"}, {"years": 0}),
        ("accelerated", {}, {"years": 0}),
        ("accelerated", {}, {"years": 500, "soil": "every-year"}),
        *(("accelerated", {}, {"years": 500, "soil_drift_k": k}) for k in (0.05, 0.01, 0.005, 0.002)),
    ):
        run = spin_up(columns, climate, equilibrium, loop)
        references.setdefault(loop["years"], run)
        told = run.report
        print(f"\n{name}, loop {loop}")
        print(f"  pools stand still in {told.equilibrium_still.sum()}, fell back in {told.fell_back.sum()}")
        for what in ("equilibrium_years", "newton_steps", "loop_soil_years"):
            spread = np.percentile(getattr(told, what), [0, 50, 90, 100])
            print(f"  {what}: {spread} (least, half, 90 %, most)")
        timed = (f"{k} {w:.1f} s wall {c:.1f} s processor" for k, (w, c) in run.seconds.items())
        print("  " + ", ".join(timed), flush=True)
        if run is not references[loop["years"]]:
            _compare(run, references[loop["years"]], columns)


def _compare(run: Run, reference: Run, columns: Columns) -> None:
    """Print relative differences from all 3000 plain years with soil heat in every year of the loop."""
    for what, values in run.found.items():
        same = values == reference.found[what]  # 0 where nothing grows
        off = np.where(same, 0.0, 100 * np.abs(values / np.where(same, 1.0, reference.found[what]) - 1))
        at = int(np.argmax(off))
        place = f"{columns.community[at]} at {columns.lat[at]:.2f}, {columns.lon[at]:.2f}"
        print(
            f"  {what:4s} off by {np.median(off):.4f} % (median) and {off.max():.4f} % ({place}); "
            f"by more than 0.5 % in {(off > 0.5).sum()}"
        )


if __name__ == "__main__":
    where = Path(os.environ.get("TALIK_SHARED", Path(__file__).parents[2] / "shared")) / "data"
    report(where, int(sys.argv[1]) if len(sys.argv) > 1 else 3)
