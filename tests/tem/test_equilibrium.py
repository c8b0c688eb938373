"""Equilibrium: against that of the public C++ TEM, and against the pools that its parameters were calibrated to."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from talik.sources.climate import read_climate
from talik.tem import radiation, water
from talik.tem.biogeochemistry import (
    Drivers,
    Fluxes,
    Pools,
    Settings,
    initial_memory,
    initial_pools,
    one_year,
)
from talik.tem.calendar import MONTH_DAYS
from talik.tem.communities import COMMUNITIES, Parameters, parameters_for
from talik.tem.thermal import materials, snow
from talik.tem.thermal import year as thermal
from talik.tem.thermal.grid import interpolation

CO2 = 286.596
SPIN_UP = Settings(co2_reference=CO2, baseline=True)
YEARS = 600


class Spun(NamedTuple):
    """Pools after `YEARS` years, and fluxes of the last year and of the first."""

    pools: Pools
    fluxes: Fluxes
    first: Fluxes


def spin_up(drivers: Drivers, site: water.Site, parameters: Parameters) -> Spun:
    pools, memory = initial_pools(parameters, site), initial_memory(parameters, drivers)
    pools, memory, first = one_year(pools, memory, drivers, site, parameters, SPIN_UP)
    change = first.pools.N_S[11] - first.pools.N_S[10]
    booked = first.litter_n[11] - first.mineralised[11] + first.n_baseline[11]
    np.testing.assert_allclose(booked, change, rtol=1e-8, atol=1e-10)
    fluxes = first
    for _ in range(YEARS - 1):
        pools, memory, fluxes = one_year(pools, memory, drivers, site, parameters, SPIN_UP)
    np.testing.assert_allclose(pools.N_S * parameters.cnsoil, pools.C_S, rtol=1e-12)
    return Spun(pools, fluxes, first)


def forcing(tair: jax.Array, precip: jax.Array, light: jax.Array, cloud: jax.Array) -> Drivers:
    """Drivers without soil frost, for soil temperature and thaw to be put in."""
    none = jnp.zeros_like(tair)
    par = radiation.photosynthetic(light, cloud)
    days = jnp.array(MONTH_DAYS, float)
    return Drivers(tair, precip, light, par, none, none + 1.0, days, none + CO2, none, none, none)


THEIRS = {
    "C_V": "VEGC",
    "N_VS": "VSTRUCTN",
    "N_VL": "VSTOREN",
    "C_S": "SOILORGC",
    "N_S": "SOILORGN",
    "N_A": "AVAILN",
    "W": "AVAILH2O",
    "G_r": "RGRNDH2O",
    "G_s": "SGRNDH2O",
    "SWE": "SNOWPACK",
}
"""Our name and theirs."""


def test_spin_up_finds_the_equilibrium_of_the_reference(shared: Path) -> None:
    """From the initial pools, in six cells, under the climate and soil temperature of that code's equilibrium year.

    Its thaw fraction is found from its unlimited GPP, which goes with it. The two coldest cells differ most (N_VL by
    5 %): neither has converged there, and that code stopped while soil still lost 0.46 g C m-2 a year.
    """
    folder = shared / "data" / "tem-reference"
    year = pd.read_csv(folder / "tem423_monthly.csv").query("year == 1750")
    climate = pd.read_csv(folder / "forcing_monthly.csv").query("year == 1901")

    def of(name: str, table: pd.DataFrame = year) -> jax.Array:
        return jnp.asarray(table.pivot_table(index="month", columns="lat", values=name).to_numpy())

    parameters = parameters_for([COMMUNITIES[1]] * 2 + [COMMUNITIES[0]] * 4)
    site = water.site_for(parameters, jnp.full(6, 0.55), jnp.array([41.0, 51.0, 301.0, 329.0, 498.0, 379.0]))
    cloud = of("CLDS_pct", climate) / 100.0
    latitudes = jnp.asarray(np.sort(year.lat.unique()))
    light = radiation.irradiance_from_cloudiness(radiation.gross_irradiance(latitudes), cloud)
    drivers = forcing(of("TAIR_degC", climate), of("PREC_mm", climate), light, cloud)
    drivers = drivers._replace(t20=of("TSOIL"), n_loss=of("NGAS"))

    target = Pools(*(of(name)[11] for name in THEIRS.values()))
    memory = initial_memory(parameters, drivers)
    for _ in range(6):  # the memory settles
        _, memory, thawed = one_year(target, memory, drivers, site, parameters, SPIN_UP)
    np.testing.assert_allclose(thawed.aet, of("EET"), atol=1e-5)
    some = thawed.gpp_potential > 1e-6
    share = jnp.where(some, of("VEGINGPP") / jnp.where(some, thawed.gpp_potential, 1.0), 0.0)
    found = spin_up(drivers._replace(thaw_fraction=jnp.clip(share, 0.0, 1.0)), site, parameters)

    for name in ("C_V", "N_VS", "N_VL", "C_S", "N_S", "N_A"):
        ratio = np.asarray(getattr(found.pools, name) / getattr(target, name))
        print(name, ratio.round(3))
        np.testing.assert_allclose(ratio, 1.0, atol=0.06, err_msg=name)
        np.testing.assert_allclose(ratio[:4], 1.0, atol=0.03, err_msg=name)
    np.testing.assert_allclose(found.fluxes.npp.sum(0), of("NPP").sum(0), rtol=0.04)
    line = initial_pools(parameters, site)
    assert float((target.C_V / line.C_V)[0]) == pytest.approx(1.46, abs=0.01)  # theirs, wet tundra


CALIBRATED = {
    "C_V": (450.0, 750.0, 9000.0),
    "N_VS": (6.5, 15.0, 24.0),
    "N_VL": (0.95, 2.0, 0.73),
    "C_S": (6000.0, 12000.0, 11000.0),
    "N_S": (260.0, 733.0, 370.0),
    "npp": (65.0, 120.0, 220.0),
    "uptake": (0.50, 0.80, 2.30),
}
"""Targets of McGuire et al. (1992): alpine and wet tundra at Toolik, boreal forest at Bonanza Creek, p = 0.35."""

SAND, CLAY = 65.0, 10.0


class Place(NamedTuple):
    parameters: Parameters
    site: water.Site
    drivers: Drivers


@pytest.fixture(scope="module")
def places(shared: Path) -> Place:
    """The three communities at their sites, then the same with air 2 degC colder; soil of the thermal column.

    Toolik: mean of 1901 to 1930; Bonanza Creek: climatology of the twentieth century.
    """
    at = shared / "data" / "dvmdostem-toolik-10x10" / "historic-climate.nc"
    toolik = read_climate(at, layout="dvmdostem", period=(1901, 1930)).groupby("time.month").mean("time")
    toolik = toolik.mean("cell")
    folder = shared / "data" / "climatology-biome4-05deg"
    with xr.open_dataset(folder / "biome4_climatology_40-90N_0.5deg.nc") as grid:
        bonanza = grid.sel(lat=64.75, lon=-148.25).load()
    gross = radiation.gross_irradiance(jnp.array([68.65, 64.75]))
    light = radiation.irradiance_from_flux(toolik["rsds"].to_numpy())
    cloud = radiation.cloudiness_from_irradiance(gross[:, 0], light)
    cloud_south = jnp.asarray(1.0 - bonanza["sunshine"].to_numpy() / 100.0)
    light_south = radiation.irradiance_from_cloudiness(gross[:, 1], cloud_south)

    def sites(north: np.ndarray, south: np.ndarray) -> jax.Array:
        return jnp.stack([jnp.asarray(v, float) for v in (north, north, south) * 2], axis=1)

    names = list(COMMUNITIES[:3]) * 2
    parameters = parameters_for(names)
    site = water.site_for(parameters, jnp.full(6, 0.35), jnp.array([767.0, 767.0, 120.0] * 2))
    drivers = forcing(
        sites(toolik["tas"].to_numpy(), bonanza["tas"].to_numpy()) - jnp.repeat(jnp.array([0.0, 2.0]), 3),
        sites(toolik["pr"].to_numpy(), bonanza["pr"].to_numpy()),
        sites(light, light_south),
        sites(cloud, cloud_south),
    )
    t20, thaw = soil_climate(names, drivers, site, parameters)
    return Place(parameters, site, drivers._replace(t20=t20, thaw_fraction=thaw))


def soil_climate(
    names: list[str], drivers: Drivers, site: water.Site, parameters: Parameters
) -> tuple[jax.Array, jax.Array]:
    """Soil temperature at 20 cm and thaw fraction (12, cell) after 150 years of the same weather."""
    pools, memory = initial_pools(parameters, site), initial_memory(parameters, drivers)
    for _ in range(5):
        pools, memory, fluxes = one_year(pools, memory, drivers, site, parameters, SPIN_UP)
    windy = jnp.array([name in snow.WINDY for name in names])

    @jax.jit
    def settled(tair: jax.Array, precip: jax.Array, wet: jax.Array) -> tuple[jax.Array, jax.Array]:
        soil = jnp.full(6, SAND), jnp.full(6, CLAY)
        ground = materials.ground_for(names, *soil, site.rooting_depth, site.field_capacity_share)
        layers_of = partial(materials.physical_layers, ground=ground)
        resistance = snow.resistance_per_mm(snow.snow_density(tair, precip, windy))
        wrapped = jnp.concatenate([tair[-1:], tair, tair[:1]])
        weather = thermal.Weather(wrapped, precip, wet, resistance)

        def year(heat: thermal.Heat, _: None) -> tuple[thermal.Heat, tuple[jax.Array, jax.Array]]:
            heat, climate = thermal.one_year(heat, weather, layers_of)
            return heat, (jnp.tensordot(interpolation(0.2)[0], climate.tsoil, (0, 1)), climate.thawed_days)

        start = thermal.initial_heat(tair.mean(0), layers_of(wet[0]), wet[0])
        t20, thaw = jax.lax.scan(year, start, None, length=150)[1]
        return t20[-1], thaw[-1]

    return settled(drivers.tair, drivers.precip, fluxes.moisture / site.porosity)


def test_equilibrium_is_near_the_pools_of_the_calibration(places: Place) -> None:
    """NPP from the initial pools is within 15 % of the target; at equilibrium only some pools are.

    Vegetation, NPP and uptake come out 1.24 to 1.42 times the targets under the measured climate, as in the public code
    (wet tundra, test above); with air 2 degC colder, 1.06, 1.19 and 0.93. Production goes with the warmth of the months
    of growth, and the climate of the calibration is not known.
    """
    found = spin_up(places.drivers, places.site, places.parameters)
    ratios = {}
    for name, targets in CALIBRATED.items():
        value = getattr(found.pools, name) if name in Pools._fields else getattr(found.fluxes, name).sum(0)
        ratios[name] = np.asarray(value).reshape(2, 3) / targets
        print(name, *ratios[name].round(2))
    first = np.asarray(found.first.npp.sum(0)).reshape(2, 3) / CALIBRATED["npp"]
    print("npp of the first year", first.round(2))
    print("t20", np.asarray(places.drivers.t20.mean(0)).round(1), "thaw", places.drivers.thaw_fraction.sum(0))
    np.testing.assert_allclose(first, 1.0, atol=0.15)
    np.testing.assert_allclose(ratios["C_S"][0, 0], 1.0, atol=0.15)
    for name in ("C_V", "N_VS", "npp", "uptake"):
        np.testing.assert_allclose(ratios[name][0], [1.24, 1.42, 1.28], atol=0.06, err_msg=name)
        np.testing.assert_allclose(ratios[name][1], [1.06, 1.19, 0.93], atol=0.06, err_msg=name)
