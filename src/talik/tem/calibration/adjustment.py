"""Adjustment to a region: one factor on decomposition for its soil carbon, and the depth over which it fades below.

The second stage of a regional calibration, after towers: what towers cannot tell is set by sums over the region.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import xarray as xr

from talik.errors import ConfigError, InputError
from talik.tem import phases
from talik.tem.calibration.free import project_value
from talik.tem.diagnose.effects import DIMENSION
from talik.tem.diagnose.region import STOCKS, FactorialRun, checked, regional_sums, weights
from talik.tem.inputs import Climate, Columns, equilibrium_climate, parameters_of
from talik.tem.model import Forcing, Parameters, Settings, State
from talik.tem.permafrost.layers import NO_PERMAFROST_M
from talik.tem.run import model_settings
from talik.tem.settings import TemSettings
from talik.tem.thermal import year as soil_heat
from talik.tem.thermal.year import SoilClimate

Array = npt.NDArray[np.float64]

LOWEST, HIGHEST = 0.02, 50.0
"""Limits of the factor."""
MOST_TRIALS = 20
"""Values of the factor that are tried."""
RESPIRED = "rhPermafrost"
_FACTOR = "attenuation_m="
_G_TO_KG = 1e-3


@dataclass(frozen=True)
class Settled:
    """A block of columns whose soil heat is in balance with the equilibrium's climate, and all that its pools need.

    permafrost : (column,) whether the column's cell has permafrost; weight : (column,) land of the column, m2.
    """

    community: tuple[str, ...]
    permafrost: npt.NDArray[np.bool_]
    weight: Array
    state: State
    forcing: Forcing
    soil: SoilClimate
    parameters: Parameters
    settings: Settings


def settle(columns: Columns, climate: Climate, wanted: TemSettings) -> Settled:
    """Soil heat of a block of columns under the mean of the equilibrium's climate.

    A cell counts as permafrost if the active layer of one of its columns is thinner than 10 m in that climate, which is
    what counts in a factorial run. InputError: the land has no area.
    """
    if columns.area_m2 is None:
        raise InputError(
            "tem.land.files: no cell_area; expected it for a mean over cells. Add a file with cell_area to them."
        )
    first = equilibrium_climate(wanted, climate)
    settings = model_settings(wanted, float(first.co2[0]))
    parameters = parameters_of(columns, wanted, first)
    forcing = first.mean().forcing(first.first_year)
    state, soil, _, _ = phases.settled_soil(forcing, parameters, wanted, settings)
    frozen = np.asarray(soil_heat.thaw_depth(soil.liquid.max(axis=0))) < NO_PERMAFROST_M
    cells = np.bincount(columns.cell, frozen, minlength=columns.lat.size) > 0
    weight = columns.area_m2[columns.cell] * columns.share
    steady = settings.with_baseline(True)
    return Settled(columns.community, cells[columns.cell], weight, state, forcing, soil, parameters, steady)


def equilibrium_carbon(
    block: Settled, wanted: TemSettings, factor: float
) -> tuple[Array, npt.NDArray[np.bool_]]:
    """(column,) soil carbon of the active layer in equilibrium, kg m-2, with `kdb` times a factor; whether pools of
    the column stand still."""
    plants = block.parameters.plants
    changed = block.parameters._replace(plants=plants._replace(kdb=plants.kdb * jnp.float64(factor)))
    found = phases.equilibrium(block.state, block.forcing, block.soil, changed, wanted, block.settings)
    return np.asarray(found.state.pools.C_S) * _G_TO_KG, np.asarray(found.still)


@dataclass(frozen=True)
class Trial:
    """A factor and what it gives: `mean`, kg m-2, over the permafrost cells; `by_community`, over their columns of
    each; shares of these columns whose pools stand still."""

    factor: float
    mean: float
    by_community: Mapping[str, float]
    still: float


def trial(blocks: Sequence[Settled], wanted: TemSettings, factor: float) -> Trial:
    """Soil carbon of the permafrost cells of all blocks in equilibrium, weighted with land.

    InputError: no cell has permafrost, or soil carbon is no number.
    """
    found = [equilibrium_carbon(block, wanted, factor) for block in blocks]
    inside = np.concatenate([block.permafrost for block in blocks])
    if not inside.any():
        raise InputError(
            f"none of {inside.size} columns lies in a cell with permafrost in the climate of the equilibrium. Choose "
            "cells with permafrost."
        )
    carbon = np.concatenate([values for values, _ in found])[inside]
    still = np.concatenate([stands for _, stands in found])[inside]
    weight = np.concatenate([block.weight for block in blocks])[inside]
    community = np.array([name for block in blocks for name in block.community])[inside]
    mean = float(np.average(carbon, weights=weight))
    if not np.isfinite(mean):
        raise InputError(
            f"soil carbon is no number in {int((~np.isfinite(carbon)).sum())} columns with kdb times {factor:g}. Check "
            "tem.parameters."
        )
    by_community = {
        str(name): float(np.average(carbon[community == name], weights=weight[community == name]))
        for name in dict.fromkeys(community.tolist())
    }
    return Trial(factor, mean, by_community, float(np.average(still, weights=weight)))


def check_target(target: float, within: float) -> None:
    """ConfigError for soil carbon, kg m-2, that is not above 0, or a tolerance that is no share."""
    if not (np.isfinite(target) and target > 0.0 and 0.0 < within < 1.0):
        raise ConfigError(
            f"soil carbon {target:g} kg m-2 within {within:g}; expected a stock above 0 and a share between 0 and 1."
        )


def factor_for(carbon_of: Callable[[float], Trial], target: float, within: float) -> list[Trial]:
    """Trials until the mean soil carbon is the target, within a share of it: the first is of factor 1, the last fits.

    A secant of logarithms, halved where it would leave what is known to hold the answer. Carbon must fall as the factor
    rises. ConfigError: the target is not reached between `LOWEST` and `HIGHEST`, with what was.
    """
    check_target(target, within)
    low, high = float(np.log(LOWEST)), float(np.log(HIGHEST))
    tried = [carbon_of(1.0)]
    points = [(0.0, _excess(tried[0], target))]
    while abs(tried[-1].mean / target - 1.0) > within:
        x, excess = points[-1]
        low, high = (x, high) if excess > 0.0 else (low, x)
        if low >= high or len(tried) == MOST_TRIALS:
            last = tried[-1]
            raise ConfigError(
                f"soil carbon {target:g} kg m-2 is not reached: kdb times {last.factor:.3g} gives {last.mean:.4g} "
                f"kg m-2 after {len(tried)} trials; the factor may be {LOWEST:g} to {HIGHEST:g}. Choose one nearer to "
                f"{tried[0].mean:.4g} kg m-2, which it is without a factor."
            )
        x = _next(points, low, high)
        tried.append(carbon_of(float(np.exp(x))))
        points.append((x, _excess(tried[-1], target)))
    return tried


def _excess(found: Trial, target: float) -> float:
    return float(np.log(found.mean / target))


def _next(points: list[tuple[float, float]], low: float, high: float) -> float:
    """Where to try next, as ln of the factor: where carbon that goes as 1/factor would fit, then where the line through
    the last two trials does; never outside low..high, half way between them if that was tried."""
    x, excess = points[-1]
    slope = -1.0
    if len(points) > 1:
        before, excess_before = points[-2]
        slope = min((excess - excess_before) / (x - before), -1e-3)
    guess = float(np.clip(x - excess / slope, low, high))
    return 0.5 * (low + high) if any(guess == tried for tried, _ in points) else guess


def adjusted_parameters(
    parameters: Mapping[str, Mapping[str, float]], communities: Sequence[str], factor: float
) -> dict[str, dict[str, float]]:
    """The key `parameters` of a project with `kdb` of communities times a factor; other values stay."""
    out = {community: dict(of) for community, of in parameters.items()}
    for community in dict.fromkeys(communities):
        kdb = project_value(community, "kdb", parameters, {}, f"tem.parameters.{community}")
        out.setdefault(community, {})["kdb"] = kdb * factor
    return out


def respired_by_attenuation(run: FactorialRun, attenuation_m: float) -> xr.DataArray:
    """(scenario, attenuation) Pg C that ground frozen in the reference year respires from the year after it to the end.

    Of the experiments that change nothing but `attenuation_m` (m, the coordinate, rising), and of the reference with
    that of the project, over the cells with permafrost in the reference year. InputError: fewer than two of them.
    """
    found = {run.design.reference: attenuation_m}
    for name, held in run.design.fixed.items():
        if len(held) == 1 and (factor := next(iter(held))).startswith(_FACTOR):
            found[name] = float(json.loads(factor.removeprefix(_FACTOR)))
    where = run.experiments.encoding.get("source", "the run")
    if len(set(found.values())) < 2 or len(set(found.values())) < len(found):
        told = ", ".join(f"{name} ({value:g} m)" for name, value in found.items())
        raise InputError(
            f"{where}: experiments by attenuation_m are {told}; expected two or more that differ in nothing else. Run "
            "the design sensitivities."
        )
    checked(run.experiments, RESPIRED, "kg m-2 s-1")
    names = sorted(found, key=lambda name: found[name])
    chosen = run.experiments[[RESPIRED]].sel({DIMENSION: names})
    later = chosen.sel(year=chosen["year"] > run.reference_year)
    area = weights(run).sel(stock=STOCKS[0], drop=True)
    total = regional_sums(later, area)[RESPIRED].sum("year")
    total = total.rename({DIMENSION: "attenuation"}).assign_coords(attenuation=[found[n] for n in names])
    return total.transpose("scenario", "attenuation").assign_attrs(units="Pg", species="C")


def attenuation_for(attenuation: npt.ArrayLike, respired: npt.ArrayLike, target: float, what: str) -> float:
    """The attenuation depth, m, at which as much is respired as `target`, by interpolation of logarithms.

    attenuation, respired : (n,), depths rising, m, and Pg C. what : names the target in errors.

    Raises:
        InputError: respiration that does not rise with the depth.
        ConfigError: a target outside what the experiments give.
    """
    depth, carbon = np.asarray(attenuation, np.float64), np.asarray(respired, np.float64)
    if not (np.diff(carbon) > 0.0).all() or not carbon[0] > 0.0:
        told = ", ".join(f"{c:.4g} Pg at {z:g} m" for z, c in zip(depth, carbon, strict=True))
        raise InputError(f"{what}: respired {told}; expected it to rise with attenuation_m. Check the run.")
    if not carbon[0] <= target <= carbon[-1]:
        raise ConfigError(
            f"{what}: {target:g} Pg; the experiments give {carbon[0]:.4g}..{carbon[-1]:.4g} Pg with attenuation_m "
            f"{depth[0]:g}..{depth[-1]:g} m. Choose a target in this range, or add experiments."
        )
    return float(np.exp(np.interp(np.log(target), np.log(carbon), np.log(depth))))
