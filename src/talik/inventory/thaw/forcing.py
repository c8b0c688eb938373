"""Radiative forcing of the fluxes of a scenario, by impulse responses."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from talik.config import Frozen
from talik.flux.table import mass_ratio
from talik.inventory.thaw.kernels import Array
from talik.inventory.thaw.result import Run
from talik.inventory.thaw.simulate import Kind

KG_PER_TG = 1e9


class ForcingSettings(Frozen):
    """Impulse responses as in Turetsky et al. (2020); pulses of CO2 decay in pools of fixed share.

    The five shares sum to 1.001, as in the source. Efficiencies are per kg of the gas.
    """

    ch4_years: Annotated[float, Field(gt=0)] = 12.0
    ch4_w_m2_kg: Annotated[float, Field(gt=0)] = 1.3e-13
    ch4_indirect: Annotated[float, Field(gt=0)] = 1.3
    """Factor for effects of CH4 on other gases."""
    co2_shares: tuple[Annotated[float, Field(ge=0, le=1)], ...] = (0.176, 0.138, 0.186, 0.242, 0.259)
    co2_years: tuple[Annotated[float, Field(gt=0)], ...] = (1e8, 421.0, 70.6, 21.4, 3.42)
    co2_w_m2_kg: Annotated[float, Field(gt=0)] = 1.98e-15


def left_in_air(emission: Array, shares: tuple[float, ...], years: tuple[float, ...]) -> Array:
    """What is left at the end of each year, in the units of `emission` (..., year), which is spread over its year.

    A share of every emission decays with each time scale; nothing was there before the first year. Exact for
    emissions that are constant within a year.
    """
    held = np.zeros((len(shares), *emission.shape))
    for pool, (share, scale) in enumerate(zip(shares, years, strict=True)):
        keep, add = np.exp(-1.0 / scale), -scale * np.expm1(-1.0 / scale)
        now = np.zeros(emission.shape[:-1])
        for year in range(emission.shape[-1]):
            now = now * keep + share * add * emission[..., year]
            held[pool, ..., year] = now
    return np.asarray(held.sum(axis=0))


def radiative_forcing(run: Run, settings: ForcingSettings | None = None) -> dict[Kind, Array]:
    """Forcing (terrain, year) in W m-2 at the end of each year, from all that was exchanged since scenarios began.

    Of the counted states, CO2 and CH4 apart, positive for warming; against no exchange, so a state that takes up carbon
    as it always did counts as cooling. The numbers as given, without draws.
    """
    s = settings or ForcingSettings()
    begin = run.table.scenario_year
    found: dict[Kind, Array] = {}
    for kind in ("co2", "ch4"):
        rows = []
        for terrain in run.terrains.values():
            amounts = [
                course.carbon[kind][course.years.index(begin) :, course.counted(run.settings.scope), 0].sum(
                    axis=1
                )
                for course in terrain.courses.values()
            ]
            rows.append(np.sum(amounts, axis=0))
        kg_of_carbon = KG_PER_TG * np.array(rows)
        if kind == "co2":
            left = left_in_air(kg_of_carbon * mass_ratio("C", "CO2"), s.co2_shares, s.co2_years)
            found[kind] = s.co2_w_m2_kg * left
        else:
            left = left_in_air(kg_of_carbon * mass_ratio("C", "CH4"), (1.0,), (s.ch4_years,))
            found[kind] = s.ch4_w_m2_kg * s.ch4_indirect * left
    return found
