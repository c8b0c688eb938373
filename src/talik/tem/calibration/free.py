"""Free parameters: their names, scales and limits, and the model's parameters for values of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from talik.config import Frozen
from talik.errors import ConfigError
from talik.tem import communities, model
from talik.tem.inputs import Columns, ground_of
from talik.tem.thermal import materials
from talik.tem.thermal.materials import OrganicSoil

Array = jax.Array

AT_P = 0.35
"""Silt + clay (fraction) at which values of `LINES` are given: the soil of the sites that TEM's equilibria are of."""
LINES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        name: tuple(f"{name}_{part}" for part in ("slope", "offset", "slope_fine", "offset_fine"))
        for name in ("cmax", "nmax")
    }
)
"""Parameters that are lines in silt + clay: one value scales slope and offset alike."""
_ROOTS = tuple(name for name in communities.Parameters._fields if name.startswith("root_"))


class Free(Frozen):
    """A parameter that calibration may change. Without limits or scale those of `SUGGESTED` hold."""

    limits: tuple[float, float] | None = None
    scale: Literal["log", "linear"] | None = None
    start: float | None = None
    """Where the first search starts; the value of the project if not given."""


@dataclass(frozen=True)
class Suggestion:
    """Scale and limits of a parameter; `around` : limits are distances from the project's value."""

    scale: Literal["log", "linear"]
    low: float
    high: float
    around: bool = False


SUGGESTED: Mapping[str, Suggestion] = MappingProxyType(
    {
        "cmax": Suggestion("log", 100.0, 1500.0),
        "kdb": Suggestion("log", 2e-4, 7e-3),
        "krb": Suggestion("linear", -1.5, 1.5, around=True),
        "nmax": Suggestion("log", 5.0, 600.0),
        "nupb": Suggestion("log", 2.0, 80.0),
        "moss_m": Suggestion("linear", 0.0, 0.15),
        "fibric_m": Suggestion("linear", 0.0, 0.5),
        "humic_m": Suggestion("linear", 0.0, 0.8),
        "wetness": Suggestion("linear", 0.0, 1.0),
        "conductivity": Suggestion("log", 0.5, 2.0),
        "snow_insulation": Suggestion("log", 0.3, 3.0),
    }
)
"""Limits wide enough for towers: the five of Liu et al. (2024), and those of the ground. Moss, fibric and humic
soil in m; `conductivity` of organic soil and `snow_insulation` are factors; others in the units of the table of
communities. Snow of 0.20 and 0.35 g cm-3 has 2.6 and 0.5 times the resistance of 0.28 (Calonne et al. 2011)."""


@dataclass(frozen=True)
class FreeParameters:
    """The free parameters of one or more communities, in order: coordinates are ln of those on a log scale.

    names : 'community.parameter'; low, high, start : (n,) in coordinates; ground : whether any changes soil heat.
    """

    names: tuple[str, ...]
    log: npt.NDArray[np.bool_]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    start: npt.NDArray[np.float64]

    @cached_property
    def ground(self) -> bool:
        """Whether any of them changes soil heat."""
        return any(_kind(name.split(".")[1]) == "ground" for name in self.names)

    def values(self, x: Array) -> Array:
        """Values (..., n) of coordinates (..., n)."""
        return jnp.where(self.log, jnp.exp(jnp.where(self.log, x, 0.0)), x)

    def coordinates(self, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Coordinates (..., n) of values (..., n)."""
        given = np.asarray(values, dtype=np.float64)
        return np.where(self.log, np.log(np.where(self.log, given, 1.0)), given)


NOTHING = FreeParameters((), np.zeros(0, bool), np.zeros(0), np.zeros(0), np.zeros(0))
"""No parameter is free."""


def together(parts: Sequence[FreeParameters]) -> FreeParameters:
    """The free parameters of several searches, each one once: where two have it, that of the later."""
    last = {name: (part, i) for part in parts for i, name in enumerate(part.names)}
    arrays = (
        np.array([getattr(part, field)[i] for part, i in last.values()])
        for field in ("log", "low", "high", "start")
    )
    return FreeParameters(tuple(last), *arrays)


def free_parameters(
    wanted: Mapping[str, Mapping[str, Free]],
    parameters: Mapping[str, Mapping[str, float]],
    organic_soil: Mapping[str, Mapping[str, float]],
) -> FreeParameters:
    """The free parameters of communities, with limits and starts.

    wanted : community, then parameter; parameters, organic_soil : values of the project that replace the table's.

    Raises:
        ConfigError: unknown names, limits that do not fit the scale, a start outside the limits.
    """
    names, rows = [], []
    for community, of in wanted.items():
        if community not in communities.COMMUNITIES:
            raise ConfigError(
                f"tem.calibration.free: {community!r} is unknown; choose one of: {', '.join(communities.COMMUNITIES)}."
            )
        for name, free in of.items():
            where = f"tem.calibration.free.{community}.{name}"
            value = project_value(community, name, parameters, organic_soil, where)
            names.append(f"{community}.{name}")
            rows.append(_checked(free, name, value, where))
    if not names:
        raise ConfigError("tem.calibration.free: names no parameter. Name one at least.")
    log = np.array([scale == "log" for scale, *_ in rows])
    numbers = np.array([limits for _, *limits in rows])
    low, high, start = np.where(log[:, None], np.log(np.where(log[:, None], numbers, 1.0)), numbers).T
    return FreeParameters(tuple(names), log, low, high, start)


def _checked(free: Free, name: str, value: float, where: str) -> tuple[str, float, float, float]:
    suggested = SUGGESTED.get(name)
    scale = free.scale or (suggested.scale if suggested else ("log" if value > 0.0 else "linear"))
    if free.limits is not None:
        low, high = free.limits
    elif suggested is not None:
        low, high = suggested.low, suggested.high
        if suggested.around:
            low, high = value + low, value + high
    else:
        raise ConfigError(f"{where}: no limits, and none are suggested for it. Give limits: [low, high].")
    start = value if free.start is None else free.start
    if not low < high:
        raise ConfigError(f"{where}: limits {low:g}..{high:g}; expected the lower one first.")
    if scale == "log" and low <= 0.0:
        raise ConfigError(
            f"{where}: lower limit {low:g} on a log scale; expected one above 0, or scale: linear."
        )
    if not low <= start <= high:
        raise ConfigError(
            f"{where}: starts at {start:g}, outside its limits {low:g}..{high:g}. Widen them, or give a start."
        )
    return scale, low, high, start


def project_value(
    community: str,
    name: str,
    parameters: Mapping[str, Mapping[str, float]],
    organic_soil: Mapping[str, Mapping[str, float]],
    where: str,
) -> float:
    """The value of a parameter in a project, its own or the table's; ConfigError for a name that there is none of."""
    kind = _kind(name)
    if kind == "ground":
        own = organic_soil.get(community, {})
        return float(own.get(name, getattr(materials.ORGANIC[community], name)))
    if kind == "unknown":
        known = (*LINES, *communities.Parameters._fields, *OrganicSoil._fields)
        raise ConfigError(f"{where}: no such parameter; choose one of: {', '.join(known)}.")
    if kind == "roots":
        raise ConfigError(
            f"{where}: rooting depth changes water and soil heat together and is not calibrated."
        )
    held = dict(parameters.get(community, {}))
    column = communities.COMMUNITIES.index(community)
    table = {row.name: row.values[column] for row in communities.TABLE}
    if kind == "line":
        slope, offset, slope_fine, offset_fine = (held.get(n, table[n]) for n in LINES[name])
        fine = held.get(f"{name}_cut", table[f"{name}_cut"]) < AT_P
        return float(slope_fine * AT_P + offset_fine if fine else slope * AT_P + offset)
    return float(held.get(name, table[name]))


def _kind(name: str) -> Literal["ground", "line", "plants", "roots", "unknown"]:
    if name in OrganicSoil._fields:
        return "ground"
    if name in LINES:
        return "line"
    if name in _ROOTS:
        return "roots"
    return "plants" if name in communities.Parameters._fields else "unknown"


def with_values(
    free: FreeParameters, values: Array, base: model.Parameters, columns: Columns, organic: OrganicSoil | None
) -> model.Parameters:
    """The model's parameters with values (n,) or (n, column) of the free ones; differentiable.

    organic : (column,) organic soil of the project, needed where parameters of the ground are free.
    """
    plants, soils = base.plants, organic
    for i, name in enumerate(free.names):
        community, parameter = name.split(".")
        here = jnp.asarray([c == community for c in columns.community])
        kind = _kind(parameter)
        if kind == "ground":
            if soils is None:
                raise ConfigError(
                    f"tem.calibration.free.{name}: legacy layers have no organic soil of their own."
                )
            soils = soils._replace(**{parameter: jnp.where(here, values[i], getattr(soils, parameter))})
        elif kind == "line":
            at = AT_P * getattr(plants, f"{parameter}_slope") + getattr(plants, f"{parameter}_offset")
            fine = AT_P * getattr(plants, f"{parameter}_slope_fine") + getattr(
                plants, f"{parameter}_offset_fine"
            )
            factor = values[i] / jnp.where(getattr(plants, f"{parameter}_cut") < AT_P, fine, at)
            changed = {
                n: jnp.where(here, getattr(plants, n) * factor, getattr(plants, n)) for n in LINES[parameter]
            }
            plants = plants._replace(**changed)
        else:
            plants = plants._replace(**{parameter: jnp.where(here, values[i], getattr(plants, parameter))})
    if soils is None or organic is None or not free.ground:
        return base._replace(plants=plants)
    resistance = base.snow_resistance * soils.snow_insulation / organic.snow_insulation
    return base._replace(
        plants=plants, ground=ground_of(columns, base.site, soils), snow_resistance=resistance
    )


def as_project(
    free: FreeParameters,
    values: npt.ArrayLike,
    parameters: Mapping[str, Mapping[str, float]],
    organic_soil: Mapping[str, Mapping[str, float]],
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """The keys `parameters` and `organic_soil` of a project with values (n,) of the free parameters in them."""
    plants = {community: dict(of) for community, of in parameters.items()}
    soils = {community: dict(of) for community, of in organic_soil.items()}
    for name, value in zip(free.names, np.asarray(values, dtype=np.float64).tolist(), strict=True):
        community, parameter = name.split(".")
        kind = _kind(parameter)
        if kind == "ground":
            soils.setdefault(community, {})[parameter] = value
        elif kind == "line":
            now = project_value(community, parameter, plants, soils, name)
            held = plants.setdefault(community, {})
            for part in LINES[parameter]:
                held[part] = project_value(community, part, plants, soils, name) * value / now
        else:
            plants.setdefault(community, {})[parameter] = value
    return plants, soils
