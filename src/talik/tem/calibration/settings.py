"""The `calibration` section of a project file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from talik.config import Frozen
from talik.tem.calibration import gml, nuts
from talik.tem.calibration.free import Free
from talik.tem.calibration.observations import ObservationSettings, Variable
from talik.tem.calibration.towers import Year
from talik.tem.settings import Equilibrium, SoilHeat, SpinUp

Share = Annotated[float, Field(gt=0)]


class SiteData(Frozen):
    """Where climate and observations of the towers come from."""

    drivers: str
    """Site table with climate and CO2 of the towers."""
    air: str | None = None
    """Site table with measured air temperature."""
    climatology: str | None = None
    """Monthly climatology, for towers without drivers."""
    soil: str | None = None
    """Soil map, for towers without texture."""
    years: tuple[Year, Year]
    """First and last year of the forcing."""
    tables: Annotated[tuple[str, ...], Field(min_length=1)]
    """Site tables with observations, best first."""


class ModelSettings(Frozen):
    """How the model is spun up at the towers, and the values to start from; keys as in the section `tem`."""

    equilibrium: Equilibrium = Equilibrium()
    """Its climate is the mean of all years of the forcing if not given."""
    spin_up: SpinUp = SpinUp(years=16)
    """Its climate is all years of the forcing if not given."""
    soil_heat: SoilHeat = SoilHeat()
    substeps: Annotated[int, Field(ge=1, le=256)] = 8
    parameters: Annotated[dict[str, dict[str, float]], Field(default_factory=dict)]
    organic_soil: Annotated[dict[str, dict[str, float]], Field(default_factory=dict)]


class Stage(Frozen):
    """A search: what is free, what it is compared with. Later stages start from what earlier ones found."""

    name: str
    free: Annotated[dict[str, Free], Field(min_length=1)]
    """Parameters by name, the same in every community that has towers to calibrate on."""
    variables: tuple[Variable, ...] = ()
    """Monthly observations."""
    balance: Annotated[dict[str, Share], Field(default_factory=dict)]
    """Pools and fluxes of the equilibrium (McGuire et al. 1992), and their error as a share of the value."""
    sampled: bool = True
    """Whether method `nuts` samples it; else its posterior is the Laplace approximation."""

    @model_validator(mode="after")
    def _aims(self) -> Stage:
        if not self.variables and not self.balance:
            raise ValueError("compares with nothing; expected variables, or balance")
        return self


GROUND = Stage(
    name="ground",
    free={name: Free() for name in ("fibric_m", "humic_m", "wetness", "conductivity", "snow_insulation")},
    variables=("tsoil", "thaw_depth"),
    balance={},
    sampled=False,
)
"""Soil temperature answers to none of the parameters of plants and soil, so the ground goes first. Its gradient takes
seconds, too long for a sampler."""
PLANTS = Stage(
    name="plants",
    free={name: Free() for name in ("cmax", "kdb", "krb", "nmax", "nupb")},
    variables=("gpp", "reco", "nee"),
    balance={"C_V": 0.5, "C_S": 0.5, "N_VS": 0.5, "uptake": 0.5},
)
"""The five of Liu et al. (2024). Fluxes do not fix how much carbon there is; pools of the equilibrium do, loosely."""


class CalibrationSettings(Frozen):
    """Calibration of the process model on towers, a community at a time."""

    data: SiteData
    towers: str = "published"
    """`published`, or a YAML file with towers."""
    sites: tuple[str, ...] | None = None
    """Codes of the towers to use; all if not given."""
    observations: ObservationSettings = ObservationSettings(short="note")
    model: ModelSettings = ModelSettings(parameters={}, organic_soil={})
    stages: tuple[Stage, ...] = (GROUND, PLANTS)
    """None: the towers are only compared with the model as it is."""
    starts: Annotated[int, Field(ge=1, le=1000)] = 20
    """Starting points of each search: the project's values, then a Latin hypercube inside the limits."""
    seed: Annotated[int, Field(ge=0)] = 1
    search: gml.Settings = gml.Settings()
    method: Literal["gml", "laplace", "nuts"] = "laplace"
    """What is said beside the best values: nothing, the Laplace approximation, draws of the No-U-Turn Sampler too."""
    sampler: nuts.Settings = nuts.Settings()
    draws: Annotated[int, Field(ge=10)] = 200
    """Of the posterior, for intervals of predictions."""
