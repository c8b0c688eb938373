"""A scenario of a terrain: areas of its states by year, and the carbon they exchange, up positive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from talik.errors import ConfigError, InputError
from talik.inventory.thaw.kernels import Array, Network, advance, plan
from talik.inventory.thaw.terrain import SPIN_UP, Flux, Part, Table, Terrain, Varied

Mask = npt.NDArray[np.bool_]
Kind = Literal["co2", "ch4", "balance"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""What is counted: carbon in CO2, carbon in CH4, and all carbon that leaves (CO2, CH4 and dissolved)."""
Scope = Literal["terrain", "features"]
TG_PER_G_M2_KM2 = 1e-6
"""1 g m-2 of 1 km2 is 1e6 g."""

Factors = Mapping[tuple[Varied, str], Array]
"""(draw,) factors of what is varied, by (what, of which rate or state)."""


@dataclass(frozen=True)
class Course:
    """A part of a terrain through time; arrays have (year or interval, state, draw)."""

    years: tuple[int, ...]
    """The years on whose 1 January areas are given."""
    states: tuple[str, ...]
    features: tuple[bool, ...]
    area: Array
    """km2 on 1 January of `years`."""
    held: Array
    """km2 yr between consecutive `years`."""
    carbon: Mapping[Kind, Array]
    """Tg C between consecutive `years`, positive to the atmosphere (`balance`: out of the land)."""

    def counted(self, scope: Scope, states: Sequence[str] = ()) -> Mask:
        """Which states a scope counts, (state,); `states`, where given, restricts it further."""
        return np.array(
            [
                (scope == "terrain" or feature) and (not states or name in states)
                for name, feature in zip(self.states, self.features, strict=True)
            ]
        )

    def amount(self, kind: Kind, first: int, last: int, counted: Mask) -> Array:
        """Tg C of the counted states from 1 January of `first` to that of `last`, (draw,)."""
        span = slice(self.years.index(first), self.years.index(last))
        return np.asarray(self.carbon[kind][span][:, counted].sum(axis=(0, 1)))

    def mean_area(self, first: int, last: int, counted: Mask) -> Array:
        """Mean area in km2 of the counted states from 1 January of `first` to that of `last`, (draw,)."""
        span = slice(self.years.index(first), self.years.index(last))
        return np.asarray(self.held[span][:, counted].sum(axis=(0, 1)) / (last - first))


def density(flux: Flux, kind: Kind, factors: Factors, state: str) -> Array | float:
    """Carbon exchange of a state in g C m-2 yr-1: CO2 and CH4 with their shares of DOC, or NEE + CH4 + DOC.

    A number, or (draw,) where `factors` vary a flux of the state.
    """
    nee = flux.nee * factors.get(("nee", state), 1.0)
    ch4 = flux.ch4 * factors.get(("ch4", state), 1.0)
    doc = flux.doc * (1.0 - flux.doc_reburied) * factors.get(("doc", state), 1.0)
    if kind == "co2":
        return nee + flux.doc_to_co2 * doc
    if kind == "ch4":
        return ch4 + flux.doc_to_ch4 * doc
    return nee + ch4 + doc


def simulate(
    terrain: Terrain,
    table: Table,
    scenario: str,
    years: Sequence[int],
    *,
    factors: Factors | None = None,
    balance: str | None = None,
) -> dict[str, Course]:
    """The parts of a terrain by name, with areas on 1 January of `years` and what passes between those dates.

    `years` ascend from `table.first_year` on and hold it and `table.scenario_year`. `factors` multiply rates, areas
    and fluxes, one value a draw; without them there is one draw. `balance` names another carbon balance of the table,
    for parts that have it. ConfigError: unknown scenario. InputError: a rate that falls below zero.
    """
    check_scenario(table, scenario)
    return {
        name: _course(part, table, scenario, tuple(years), factors or {}, balance, name)
        for name, part in terrain.parts.items()
    }


def check_scenario(table: Table, scenario: str) -> None:
    """ConfigError where a table has no such scenario."""
    if scenario not in table.scenarios:
        raise ConfigError(
            f"scenario {scenario!r} is not in the table of terrains; choose one of: {', '.join(table.scenarios)}."
        )


def check_balance(table: Table, balance: str | None) -> None:
    """ConfigError where no terrain of a table has such a balance."""
    known = {name for t in table.terrains.values() for p in t.parts.values() for name in p.balances}
    if balance is not None and balance not in known:
        raise ConfigError(
            f"balance {balance!r} is in no terrain of the table; found: {', '.join(sorted(known)) or 'none'}."
        )


def _course(
    part: Part,
    table: Table,
    scenario: str,
    years: tuple[int, ...],
    factors: Factors,
    balance: str | None,
    name: str,
) -> Course:
    states = tuple(part.states)
    network = Network(
        np.array([states.index(t.origin) for t in part.transitions], dtype=np.intp),
        np.array([states.index(t.target) for t in part.transitions], dtype=np.intp),
    )
    one = np.ones(next(iter(factors.values())).size if factors else 1)
    start = np.stack(
        [one * state.area_km2 * factors.get(("area", s), one) for s, state in part.states.items()]
    )
    areas, held = [start[None]], []
    carbon: dict[Kind, list[Array]] = {kind: [] for kind in KINDS}
    for phase, first, last in (
        (SPIN_UP, table.first_year, table.scenario_year),
        (scenario, table.scenario_year, years[-1]),
    ):
        times = [y - first for y in years if first <= y <= last]
        rate, growth = _rates(part, phase, factors, one, last - first, f"{name}, {phase}")
        interval = max(np.diff(times), default=1)
        found, sums = advance(
            areas[-1][-1],
            network,
            rate,
            growth,
            times,
            plan(network, rate, growth, last - first, float(interval)),
        )
        areas.append(found[1:])
        held.append(sums)
        for kind in KINDS:
            flux = [
                density(_flux(part, s, phase, balance if kind == "balance" else None), kind, factors, s) * one
                for s in states
            ]
            carbon[kind].append(TG_PER_G_M2_KM2 * np.stack(flux) * sums)
    return Course(
        years=years,
        states=states,
        features=tuple(state.feature for state in part.states.values()),
        area=np.concatenate(areas),
        held=np.concatenate(held),
        carbon={kind: np.concatenate(pieces) for kind, pieces in carbon.items()},
    )


def _flux(part: Part, state: str, phase: str, balance: str | None) -> Flux:
    if balance is not None and balance in part.balances:
        return part.balances[balance][state]
    return part.flux(state, phase)


def _rates(
    part: Part, phase: str, factors: Factors, one: Array, years: int, where: str
) -> tuple[Array, Array]:
    """Rates and their growth by transition, (transition, draw) each."""
    rate, growth = [], []
    for step in part.transitions:
        of = part.rate(step.rate, phase)
        rate.append(step.factor * of.rate * factors.get(("rate", step.rate), one))
        growth.append(step.factor * of.growth * factors.get(("growth", step.rate), one))
        if np.any(rate[-1] + growth[-1] * years < 0.0):
            raise InputError(
                f"{where}: rate {step.rate} starts at {of.rate:g} yr-1, grows by {of.growth:g} yr-2 and is below zero "
                f"after {years} years{' in some draws' if one.size > 1 else ''}; expected zero or more. Raise the "
                "growth, end the run earlier, or do not vary the two."
            )
    shape = (len(part.transitions), one.size)
    return np.reshape(rate, shape), np.reshape(growth, shape)
