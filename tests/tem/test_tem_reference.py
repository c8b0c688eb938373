"""Sixty-six years of six cells against a run of the public C++ TEM 4.2/4.3."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from talik.tem import radiation
from talik.tem.biogeochemistry import Drivers, Fluxes, Memory, Pools, Settings, one_year
from talik.tem.calendar import MONTH_DAYS
from talik.tem.communities import COMMUNITIES, parameters_for
from talik.tem.water import site_for

YEARS = range(1901, 1967)
SETTINGS = Settings(co2_reference=286.596)

LEAST_R2 = {
    ("pet", "PET"): 1 - 1e-12,
    ("SWE", "SNOWPACK"): 1 - 1e-12,
    ("aet", "EET"): 0.99999,
    ("leaf", "UNRMLEAF"): 0.99999,
    ("gpp_potential", "VEGINGPP"): 0.99999,
    ("gpp", "GPP"): 0.9999,
    ("npp", "NPP"): 0.9999,
    ("rh", "RH"): 0.9999,
    ("uptake", "VEGNUP"): 0.9993,
    ("mineralised", "NETNMIN"): 0.998,
    ("N_A", "AVAILN"): 0.97,
}
"""Our name and theirs, and the least squared correlation of monthly values in every cell."""


class Comparison(NamedTuple):
    """Ours and theirs by their name, (month, cell)."""

    ours: dict[str, np.ndarray]
    theirs: dict[str, np.ndarray]


def by_month(table: pd.DataFrame, year: str, column: str) -> np.ndarray:
    return table.pivot_table(index=[year, "month"], columns="lat", values=column).to_numpy()


@pytest.fixture(scope="module")
def comparison(shared: Path) -> Comparison:
    folder = shared / "data" / "tem-reference"
    cells = sorted(
        json.loads((folder / "bgc_test_initial_1900.json").read_text()).items(), key=lambda c: float(c[0])
    )
    forcing = pd.read_csv(folder / "bgc_test_drivers_1901_1966.csv")
    theirs = pd.read_csv(folder / "tem423_monthly.csv")
    theirs = theirs[theirs.year.isin(YEARS)]
    fluxes = run(cells, forcing)
    ours = {b: np.asarray(getattr(fluxes if a in Fluxes._fields else fluxes.pools, a)) for a, b in LEAST_R2}
    ours |= {"SOILORGC": np.asarray(fluxes.pools.C_S), "VEGC": np.asarray(fluxes.pools.C_V)}
    return Comparison(ours, {name: by_month(theirs, "year", name) for name in ours})


def run(cells: list[tuple[str, dict]], forcing: pd.DataFrame) -> Fluxes:
    facts = [facts for _, facts in cells]
    state = {k: jnp.array([f["state_dec1900"][k] for f in facts]) for k in facts[0]["state_dec1900"]}
    past = {k: jnp.array([float(f["memory"][k]) for f in facts]) for k in facts[0]["memory"]}
    parameters = parameters_for([COMMUNITIES[f["veg"] - 2] for f in facts])
    site = site_for(
        parameters,
        jnp.array([f["p_silt_clay"] for f in facts]),
        jnp.array([float(f["elev_m"]) for f in facts]),
    )
    pools = Pools(*(state[name] for name in Pools._fields))
    memory = Memory(
        leaf=state["leaf_unnorm"],
        leaf_max=past["leaf_mx"],
        aet_max=past["E_mx"],
        t_opt=past["T_opt"],
        litter_cn=past["sum_LC_1900"] / past["sum_LN_1900"],
        wetness=jnp.ones(len(facts)),
        tair_before=past["tair_dec_1900"],
        tair_two_before=past["tair_nov_1900"],
        co2=past["co2_dec_1900"],
    )
    monthly = {c: by_month(forcing, "year_label", c).reshape(len(YEARS), 12, -1) for c in forcing.columns[4:]}
    gross = radiation.gross_irradiance(jnp.array([float(lat) for lat, _ in cells]))
    years = []
    for i in range(len(YEARS)):
        now = {name: jnp.asarray(values[i]) for name, values in monthly.items()}
        light = radiation.irradiance_from_cloudiness(gross, now["clds_pct"] / 100)
        drivers = Drivers(
            tair=now["tair_degC"],
            precip=now["prec_mm"],
            irradiance=light,
            par=radiation.photosynthetic(light, now["clds_pct"] / 100),
            t20=now["tsoil20_degC"],
            thaw_fraction=now["thaw_fraction"],
            days=jnp.array(MONTH_DAYS, float),
            co2=now["co2_ppm"],
            n_input=jnp.zeros_like(now["co2_ppm"]),
            n_loss=now["n_gas_loss_gN_m2"],
            thaw_depth=jnp.zeros_like(now["co2_ppm"]),
        )
        pools, memory, fluxes = one_year(pools, memory, drivers, site, parameters, SETTINGS)
        years.append(fluxes)
    return jax.tree.map(lambda *parts: np.concatenate(parts), *years)


@pytest.mark.parametrize(("name", "least"), [(theirs, least) for (_, theirs), least in LEAST_R2.items()])
def test_monthly_values_follow_the_reference_in_every_cell(
    comparison: Comparison, name: str, least: float
) -> None:
    ours, theirs = comparison.ours[name], comparison.theirs[name]
    r2 = np.array([np.corrcoef(ours[:, i], theirs[:, i])[0, 1] ** 2 for i in range(ours.shape[1])])
    rmse = np.sqrt(((ours - theirs) ** 2).mean(axis=0))
    print(f"{name}: 1 - R2", *(f"{1 - r:.1e}" for r in r2), "| rmse", *(f"{e:.1e}" for e in rmse))
    assert (r2 >= least).all()
    if name in ("PET", "SNOWPACK"):
        assert rmse.max() < 2e-7


def test_carbon_pools_stay_with_the_reference(comparison: Comparison) -> None:
    for name, share in (("SOILORGC", 0.003), ("VEGC", 0.01)):
        off = np.abs(comparison.ours[name] / comparison.theirs[name] - 1)
        assert off.max() <= share, name
