"""The `tem` section of a project file, and the files of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from talik.config import Frozen
from talik.sources.climate_layouts import Layout
from talik.tem.factorial.design import Experiment

Years = tuple[Annotated[int, Field(ge=1, le=9999)], Annotated[int, Field(ge=1, le=9999)]]
LatLon = tuple[Annotated[float, Field(ge=-90, le=90)], Annotated[float, Field(ge=-180, le=360)]]


class ClimateFiles(Frozen):
    """Monthly or daily climate: see the guide on climate for the layouts."""

    files: Annotated[tuple[str, ...], Field(min_length=1)]
    layout: Layout = "auto"
    calendar: Literal["real", "as-is"] = "real"


class Co2Files(Frozen):
    """Carbon dioxide by year."""

    files: Annotated[tuple[str, ...], Field(min_length=1)]
    scenario: str | None = None


class LandFiles(Frozen):
    """Soil texture, elevation and vegetation."""

    files: Annotated[tuple[str, ...], Field(min_length=1)]
    vegetation_types: Annotated[dict[int, int], Field(default_factory=dict)]
    """TEM type of each code of the file, where its codes are others."""
    community: str | None = None
    """One community for every cell, instead of the file's vegetation."""
    elevation_m: float | None = None
    """Elevation where no file holds it; 500 m is where snow begins to melt over two months."""


class Equilibrium(Frozen):
    """The first phase: one climate repeated until carbon and nitrogen stand still."""

    method: Literal["accelerated", "plain"] = "accelerated"
    """Newton's method and 200 plain years, or year after year; columns where Newton's method fails run plainly."""
    years: Annotated[int, Field(ge=1, le=20_000)] = 3000
    """Of the plain method, at most, in fifties; if fewer than 200, nothing is accelerated."""
    newton_steps: Annotated[int, Field(ge=0, le=1000)] = 30
    """At most."""
    climate: Years | None = None
    """Years whose mean months are repeated; the first year of the run if not given."""
    carbon_g_m2: Annotated[float, Field(gt=0)] = 0.1
    """Pools stand still when none changes more in a year, nor the ecosystem gains or loses more."""
    nitrogen_g_m2: Annotated[float, Field(gt=0)] = 0.002


class SpinUp(Frozen):
    """The second phase: some years in a loop, without the reset of soil nitrogen."""

    years: Annotated[int, Field(ge=0, le=20_000)] = 500
    climate: Years | None = None
    """Years of the loop; the first eleven of the run if not given."""
    soil: Literal["periodic", "every-year"] = "periodic"
    """Soil heat until it repeats itself, or in every year; it is nearly all of the cost."""
    soil_drift_k: Annotated[float, Field(gt=0)] = 0.005
    """Soil heat repeats itself when no layer's mean temperature differs more from that of the loop before."""


class SoilHeat(Frozen):
    """The soil column."""

    layers: Literal["physical", "legacy"] = "physical"
    years: Annotated[int, Field(ge=1, le=5000)] = 300
    """At most so many years of the first climate, in tens, until temperatures stand still."""
    drift_k_per_year: Annotated[float, Field(gt=0)] = 0.01
    """Temperatures stand still when no layer's annual mean drifts faster over ten years."""
    geothermal_w_m2: Annotated[float, Field(ge=0, le=1)] = 0.05
    unfrozen_water: bool = False
    """Some water stays liquid below 0 degC, less the colder it is."""
    snow_conductivity: Literal["calonne", "sturm"] = "calonne"
    tolerance: Annotated[float, Field(gt=0, le=1)] = 0.01
    iterations: Annotated[int, Field(ge=1, le=50)] = 12


class SoilCarbonFiles(Frozen):
    """Soil carbon by depth: see the guide on soil carbon."""

    files: tuple[str, ...] = ()
    gaps: Literal["drop", "error"] = "drop"
    """Cells whose profile is known in part: as if nothing were known, or an error."""


class PermafrostCarbon(Frozen):
    """Carbon and nitrogen that are frozen in the reference year (Liu et al. 2024)."""

    soil_carbon: SoilCarbonFiles = SoilCarbonFiles()
    profiles: Annotated[dict[str, tuple[float, float, float, float]], Field(default_factory=dict)]
    """By community, kg C m-2 of 0-0.3, 0.3-1, 1-2 and 2-3 m, for cells that no file knows; else the mean of those that
    files know."""
    reference_year: Annotated[int, Field(ge=1, le=9999)] = 2015
    thawed_years: Years | None = None
    """What lies above the deepest active layer of these years is not frozen; the reference year if not given."""
    attenuation_m: Annotated[float, Field(gt=0)] = 0.5
    """Decomposition falls to 1/e over this depth (Koven et al. 2013)."""
    deep_wetness: Annotated[float, Field(ge=0, le=1)] | None = None
    """Wetness below the roots as decomposition sees it: 0 field capacity, 1 wet; that of the soil if not given."""
    cn: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (11.0, 8.0)
    """C:N above 2 m and below 3 m, where files hold no nitrogen."""
    inorganic_share: Annotated[float, Field(ge=0, le=1)] = 0.02
    """Of nitrogen that thaws."""
    nitrogen_in_reach: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the inorganic nitrogen of thawed layers above the rooting depth that plants can reach."""
    refreeze_stop: bool = False
    """What lies below the year's active layer does not decompose; else only its temperature slows it."""


class Scenario(Frozen):
    """Climate of the years after those of the section, and the rows of the CO2 table."""

    climate: Annotated[tuple[str, ...], Field(min_length=1)]
    co2: str | None = None


class Factorial(Frozen):
    """Experiments that differ from the reference year on, each under every scenario."""

    scenarios: Annotated[dict[str, Scenario], Field(min_length=1)]
    experiments: str | dict[str, Experiment] = "published"
    """A design by name, or experiments written out."""
    variables: tuple[str, ...] | None = None
    """Annual variables; all if not given."""
    monthly: tuple[str, ...] = ()
    """Variables written by month too."""


class TemSettings(Frozen):
    """A run of the process model."""

    climate: ClimateFiles
    co2: Co2Files
    land: LandFiles
    cells: tuple[LatLon, ...] | None = None
    """Latitude and longitude of the cells; every cell of the land files if not given."""
    period: Years | None = None
    """First and last year; those of the project file, or of the climate, if not given."""
    equilibrium: Equilibrium = Equilibrium()
    spin_up: SpinUp = SpinUp()
    soil_heat: SoilHeat = SoilHeat()
    substeps: Annotated[int, Field(ge=1, le=256)] = 8
    """Integration steps a month of the biogeochemistry."""
    co2_changes_cn: bool = True
    """Carbon dioxide widens the C:N of production."""
    parameters: Annotated[dict[str, dict[str, float]], Field(default_factory=dict)]
    """Values that replace those of the table: community, then parameter."""
    organic_soil: Annotated[dict[str, dict[str, float]], Field(default_factory=dict)]
    """Thickness of moss, fibric and humic soil, and wetness below the roots, that replace those of the table."""
    permafrost: PermafrostCarbon | None = None
    """Frozen carbon and nitrogen below the active layer; none if not given."""
    factorial: Factorial | None = None
    """Experiments of `talik tem factorial`."""
    restart: str | None = None
    """A restart file to go on from, instead of equilibrium and spin-up."""
    block: Annotated[int, Field(ge=1, le=100_000)] = 128
    """Cells that run together; a unit of work."""


class Files(Frozen):
    """The files of a run, with whole paths, and what does not stand in its section."""

    climate: tuple[str, ...]
    co2: tuple[str, ...]
    land: tuple[str, ...]
    restart: str | None
    period: tuple[int, int] | None
    soil_carbon: tuple[str, ...] = ()
    scenarios: Annotated[dict[str, tuple[str, ...]], Field(default_factory=dict)]

    def under(self, scenario: str) -> Files:
        """The same with the climate of a scenario, for all its years."""
        return self.model_copy(update={"climate": self.scenarios[scenario], "period": None})

    def paths(self, kind: str) -> list[Path]:
        """The files of a kind."""
        return [Path(name) for name in getattr(self, kind)]
