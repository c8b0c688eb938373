"""The ecosystem of a world: the process model, once as the truth and once as each model that tries to be it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import xarray as xr

from talik.jax64 import keep_compiled
from talik.osse.geography import Land
from talik.osse.settings import SPIN_UP_YEARS
from talik.osse.weather import Weather
from talik.tem import phases, radiation
from talik.tem.communities import Parameters as Plants
from talik.tem.inputs import Climate, Columns, equilibrium_climate, parameters_of
from talik.tem.output import Collected, month_seconds
from talik.tem.run import model_settings
from talik.tem.settings import TemSettings

Array = npt.NDArray[np.float64]

VEGETATION_TYPES = {"alpine_tundra_polar_desert": 2, "wet_tundra": 3, "boreal_forest": 4, "grassland": 12}
"""TEM type of the communities that a world has."""
PERTURBED = ("cmax", "krb", "kd", "cfall", "log_rhq10")
"""What differs between the truth and the models: productivity, maintenance respiration, decomposition, litterfall, and
how decomposition follows temperature."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Cells of one run of the process model: land without ice, its weather, and factors of `PERTURBED` (cell,)."""

    land: Land
    weather: Weather
    factors: dict[str, Array]


def short_settings(first_year: int) -> TemSettings:
    """Settings of all runs: phases as short as a world of some hundred cells needs."""
    loop = [first_year, first_year + SPIN_UP_YEARS - 1]
    return TemSettings.model_validate(
        {
            "climate": {"files": ("world",)},
            "co2": {"files": ("world",)},
            "land": {"files": ("world",)},
            "equilibrium": {"climate": loop, "years": 300, "newton_steps": 12},
            "spin_up": {"years": 40, "climate": loop, "soil_drift_k": 0.05},
            "soil_heat": {"years": 50, "drift_k_per_year": 0.05},
        }
    )


def communities_of(weather: Weather, land: Land) -> list[str]:
    """The community of each cell: tundra where July is below 10.5 degC, polar desert below 5, grass where it is dry."""
    months = weather.tas.reshape(-1, 12, land.size).mean(axis=0)
    july, rain = months[6], weather.pr.reshape(-1, 12, land.size).mean(axis=0).sum(axis=0)
    tundra = np.where(july < 5.0, "alpine_tundra_polar_desert", "wet_tundra")
    south = np.where((july > 17.0) & (rain < 430.0), "grassland", "boreal_forest")
    return [str(name) for name in np.where(july < 10.5, tundra, south)]


def simulate(runs: Sequence[Run]) -> list[xr.Dataset]:
    """Months of each run by (time, cell), as `talik.tem.output.Collected` writes them; all runs go side by side."""
    keep_compiled()
    columns, climate = _columns(runs), _climate(runs)
    wanted = short_settings(climate.first_year)
    parameters = parameters_of(columns, wanted, equilibrium_climate(wanted, climate))
    parameters = parameters._replace(plants=_perturbed(parameters.plants, runs))
    settings = model_settings(wanted, float(climate.co2[0]))
    state, _ = phases.spin(climate, parameters, wanted, settings)
    collected = Collected(columns)
    wilting = np.asarray(parameters.site.wilting_point * parameters.site.depth_mm)
    for year, _, outputs in phases.transient(state, climate, parameters, settings):
        collected.add(year, outputs, wilting, month_seconds(year))
    whole, out, start = collected.dataset(), [], 0
    for run in runs:
        out.append(whole.isel(cell=slice(start, start + run.land.size)))
        start += run.land.size
    return out


def _columns(runs: Sequence[Run]) -> Columns:
    lands = [run.land for run in runs]

    def joined(name: str) -> Array:
        return np.concatenate([getattr(land, name) for land in lands])

    size = sum(land.size for land in lands)
    return Columns(
        joined("lat"),
        joined("lon"),
        joined("land_area_m2"),
        np.arange(size),
        tuple(name for run in runs for name in communities_of(run.weather, run.land)),
        np.ones(size),
        joined("sand"),
        joined("silt"),
        joined("clay"),
        joined("elevation"),
    )


def _climate(runs: Sequence[Run]) -> Climate:
    first = runs[0].weather
    years = len(first.years)

    def joined(name: str) -> Array:
        return np.concatenate([getattr(run.weather, name) for run in runs], axis=1).reshape(years, 12, -1)

    lat = np.concatenate([run.land.lat for run in runs])
    irradiance, par = (np.asarray(a) for a in radiation.light(lat, joined("rsds"), None))
    return Climate(first.first_year, joined("tas"), joined("pr"), irradiance, par, first.co2)


def _perturbed(plants: Plants, runs: Sequence[Run]) -> Plants:
    factor = {name: jnp.asarray(np.concatenate([run.factors[name] for run in runs])) for name in PERTURBED}
    reach = {
        "cmax": ("cmax_slope", "cmax_offset", "cmax_slope_fine", "cmax_offset_fine"),
        "kd": ("kda", "kdb"),
        "cfall": ("cfall",),
        "log_rhq10": ("log_rhq10",),
    }
    changed = {n: getattr(plants, n) * factor[of] for of, names in reach.items() for n in names}
    # krb is the logarithm of a rate
    return plants._replace(**changed, krb=plants.krb + jnp.log(factor["krb"]))
