"""The design: which drivers and settings each experiment holds or changes, and which of them share a climate."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from talik.config import Frozen
from talik.errors import ConfigError

if TYPE_CHECKING:
    from talik.tem.inputs import Climate

Array = npt.NDArray[np.float64]

REFERENCE = "S_Trans"
"""The experiment of the published design in which everything varies."""
CLIMATE = ("temperature", "precipitation", "radiation")
"""Drivers of water and soil heat."""


class Change(Frozen):
    """What becomes of a driver after the reference year: ``value * scale + add``, of the year `fixed` if given."""

    fixed: int | None = None
    """A year whose twelve months are repeated."""
    scale: Annotated[float, Field(ge=0)] = 1.0
    add: float = 0.0
    """degC, mm month-1, cal cm-2 d-1 or ppm."""


Driver = Literal["fixed"] | Change | None


class Experiment(Frozen):
    """One experiment: drivers that are fixed or changed, and settings other than those of the project.

    A driver that is not named varies. ``fixed`` repeats the reference year.
    """

    temperature: Driver = None
    precipitation: Driver = None
    radiation: Driver = None
    co2: Driver = None
    permafrost: Literal["fixed"] | None = None
    """Thaw exposes nothing; soil temperature and moisture still follow the climate."""
    attenuation_m: Annotated[float, Field(gt=0)] | None = None
    deep_wetness: Annotated[float, Field(ge=0, le=1)] | None = None
    cn: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] | None = None
    thawed_years: tuple[int, int] | None = None
    nitrogen_in_reach: Annotated[float, Field(ge=0, le=1)] | None = None
    refreeze_stop: bool | None = None
    co2_changes_cn: bool | None = None

    def factors(self) -> list[str]:
        """What this experiment changes: names of drivers that are fixed, else name and value."""
        changed = {name: _plain(value) for name, value in self if value is not None}
        return [
            name if value == "fixed" else f"{name}={json.dumps(value)}" for name, value in changed.items()
        ]

    def climate_key(self) -> str:
        """The same for experiments whose water and soil heat are the same."""
        return json.dumps([_plain(getattr(self, name)) for name in CLIMATE])

    def history_key(self) -> str:
        """The same for experiments whose plants and soil are the same up to the reference year."""
        return json.dumps(self.co2_changes_cn)


def _plain(driver: Driver) -> Any:
    return driver.model_dump() if isinstance(driver, Change) else driver


def published() -> dict[str, Experiment]:
    """The ten experiments of Liu et al. (2024): one or two of permafrost, CO2, temperature, precipitation are fixed."""
    names = {"PF": "permafrost", "CO2": "co2", "Temp": "temperature", "Prec": "precipitation"}
    fixed = ("", "PF", "CO2", "Temp", "Prec", "PF&CO2", "PF&Prec", "CO2&Temp", "CO2&Prec", "Temp&Prec")
    out = {}
    for held in fixed:
        drivers = {names[short]: "fixed" for short in held.split("&") if short}
        out[f"S_{held}" if held else REFERENCE] = Experiment.model_validate(drivers)
    return out


def sensitivities() -> dict[str, Experiment]:
    """One change at a time of what is least known about permafrost carbon; everything else varies."""
    changes: dict[str, dict[str, Any]] = {
        "attenuation 0.25 m": {"attenuation_m": 0.25},
        "attenuation 1 m": {"attenuation_m": 1.0},
        "attenuation 2 m": {"attenuation_m": 2.0},
        "dry below roots": {"deep_wetness": 0.0},
        "wet below roots": {"deep_wetness": 1.0},
        "C:N 12 to 22": {"cn": (12.0, 22.0)},
        "largest thaw 2006-2015": {"thawed_years": (2006, 2015)},
        "thaw nitrogen out of reach": {"nitrogen_in_reach": 0.0},
        "refrozen is still": {"refreeze_stop": True},
        "C:N without CO2": {"co2_changes_cn": False},
    }
    return {REFERENCE: Experiment(), **{n: Experiment.model_validate(c) for n, c in changes.items()}}


DESIGNS = {"published": published, "sensitivities": sensitivities}
"""Designs by name."""


def experiments_of(declared: str | Mapping[str, Experiment]) -> dict[str, Experiment]:
    """The experiments of a design's name, or those written out.

    Raises:
        ConfigError: an unknown design, or no experiment without changes to compare the others with.
    """
    if not isinstance(declared, str):
        reference_of(declared)
        return dict(declared)
    if declared not in DESIGNS:
        raise ConfigError(
            f"tem.factorial.experiments: {declared!r} is unknown; choose one of: {', '.join(DESIGNS)}, or write the "
            "experiments out."
        )
    return DESIGNS[declared]()


def reference_of(experiments: Mapping[str, Experiment]) -> str:
    """The first experiment that changes nothing; ConfigError if there is none."""
    for name, experiment in experiments.items():
        if not experiment.factors():
            return name
    raise ConfigError(
        "tem.factorial.experiments: every experiment changes something; expected one that does not, to compare the "
        f"others with. Add `{REFERENCE}: {{}}`."
    )


def climate_of(experiment: Experiment, climate: Climate, reference_year: int) -> Climate:
    """The climate and carbon dioxide under which an experiment runs; unchanged up to the reference year.

    Raises:
        ConfigError: a year to repeat that the climate does not hold.
    """

    def changed(values: Array, driver: Driver, name: str) -> Array:
        if driver is None:
            return values
        rule = Change(fixed=reference_year) if driver == "fixed" else driver
        out = values.copy()
        later = out[reference_year + 1 - climate.first_year :]
        if rule.fixed is not None:
            if rule.fixed not in climate.years:
                raise ConfigError(
                    f"tem.factorial.experiments: {name} fixed at {rule.fixed}; the scenario holds {climate.years[0]}.."
                    f"{climate.years[-1]}. Choose one of these years."
                )
            later[:] = values[rule.fixed - climate.first_year]
        later *= rule.scale
        later += rule.add
        return out

    precip = changed(climate.precip, experiment.precipitation, "precipitation")
    january = climate.january
    if january is not None and experiment.temperature is not None:
        january = None
    return replace(
        climate,
        tair=changed(climate.tair, experiment.temperature, "temperature"),
        precip=np.maximum(precip, 0.0),
        irradiance=np.maximum(changed(climate.irradiance, experiment.radiation, "radiation"), 0.0),
        par=np.maximum(changed(climate.par, experiment.radiation, "radiation"), 0.0),
        co2=changed(climate.co2, experiment.co2, "co2"),
        january=january,
    )
