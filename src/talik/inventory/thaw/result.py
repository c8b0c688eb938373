"""A run over all terrains: spans, totals by terrain, and their limits from a Monte Carlo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from talik.config import Frozen
from talik.errors import ConfigError
from talik.inventory.limits import Limited, of_draws
from talik.inventory.thaw.kernels import Array
from talik.inventory.thaw.simulate import (
    KINDS,
    Course,
    Factors,
    Kind,
    Scope,
    check_balance,
    check_scenario,
    simulate,
)
from talik.inventory.thaw.terrain import Leading, Table, Terrain
from talik.rng import named_rng

Span = tuple[int, int]
"""From 1 January of the first year to 1 January of the last."""
RECENT_YEARS, CENTURY_YEARS = 20, 100
LAST_YEAR = 3000
FEWEST_DRAWS, MOST_DRAWS = 100, 100_000
"""With fewer draws the 2.5 % limit is the smallest draw or the one above."""


class Settings(Frozen):
    """How a table of terrains is run."""

    scenario: str = "rcp85"
    to: int = 2300
    """The run ends on 1 January of this year."""
    scope: Scope = "terrain"
    """`terrain` counts every state, `features` only those made by abrupt thaw."""
    balance: str | None = None
    """Another carbon balance of the table, such as `without_reburial`."""
    draws: int = 2000
    seed: int = 0
    spans: tuple[Span, ...] = ()
    """More spans over which means and limits are given."""


@dataclass(frozen=True)
class TerrainRun:
    """A terrain: its parts by year, its means by (kind, span) with limits, and what the limits come from."""

    courses: Mapping[str, Course]
    """By part, one draw, every year."""
    draws: Mapping[str, Course]
    """By part, at the ends of spans."""
    means: Mapping[tuple[Kind, Span], Limited]
    """Tg C yr-1, positive to the atmosphere (`balance`: out of the land)."""
    influence: Mapping[tuple[Kind, Span], Mapping[str, float]]
    """Squared rank correlation of each varied number with the mean: about its share of the variance."""


@dataclass(frozen=True)
class Run:
    """All terrains of a table under one scenario."""

    table: Table
    settings: Settings
    terrains: Mapping[str, TerrainRun]
    totals: Mapping[tuple[Kind, Span], Limited]
    """Means of all terrains together, terrains independent; Tg C yr-1, positive to the atmosphere."""
    notes: tuple[str, ...]

    @property
    def spans(self) -> tuple[Span, ...]:
        """Twenty years and a century from the start of scenarios, and the whole scenario."""
        return spans_of(self.table, self.settings)


def spans_of(table: Table, settings: Settings) -> tuple[Span, ...]:
    """The spans over which means are given.

    ConfigError: a span of the settings that does not lie in the run.
    """
    begin = table.scenario_year
    ends = [begin + RECENT_YEARS, begin + CENTURY_YEARS, settings.to]
    for first, last in settings.spans:
        if not table.first_year <= first < last <= settings.to:
            raise ConfigError(
                f"abrupt thaw: {first}-{last} is no span of the run, {table.first_year}-{settings.to}."
            )
    built_in = [(begin, end) for end in sorted(set(ends)) if end <= settings.to]
    return tuple(dict.fromkeys([*built_in, *settings.spans]))


def run(table: Table, settings: Settings | None = None) -> Run:
    """Run every terrain of a table: one course with the numbers as given, and draws around it.

    ConfigError: unknown scenario or balance, too short or too long a run, too few draws. The same table, settings and
    seed give the same numbers, and a terrain has the same draws whichever others stand beside it.
    """
    s = settings or Settings()
    check_scenario(table, s.scenario)
    check_balance(table, s.balance)
    least = table.scenario_year + RECENT_YEARS
    if not least <= s.to <= LAST_YEAR:
        raise ConfigError(f"the run ends in {s.to}; expected a year from {least} to {LAST_YEAR}.")
    if not FEWEST_DRAWS <= s.draws <= MOST_DRAWS:
        raise ConfigError(
            f"{s.draws} draws are too few or too many; expected {FEWEST_DRAWS} to {MOST_DRAWS}."
        )
    pieces = {key: _terrain(key, terrain, table, s) for key, terrain in table.terrains.items()}
    totals = {}
    for kind in KINDS:
        for span in spans_of(table, s):
            middle = sum(float(total(t.courses, kind, span, s.scope)[0]) for t in pieces.values())
            drawn = sum((total(t.draws, kind, span, s.scope) for t in pieces.values()), np.zeros(1))
            totals[kind, span] = of_draws(drawn, middle)
    return Run(table, s, pieces, totals, _notes(table, s))


def total(
    courses: Mapping[str, Course], kind: Kind, span: Span, scope: Scope, states: tuple[str, ...] = ()
) -> Array:
    """Mean flux of a terrain over a span in Tg C yr-1, (draw,), positive to the atmosphere; `states` empty for all."""
    amounts = [c.amount(kind, *span, c.counted(scope, states)) for c in courses.values()]
    return np.asarray(np.sum(amounts, axis=0) / (span[1] - span[0]))


def factors_of(leading: tuple[Leading, ...], key: str, draws: int, seed: int) -> Factors:
    """Independent factors (draw,), uniform in 1 -/+ range, evenly spaced in random order that `key` and `seed` give."""
    ranks = (np.arange(draws) + 0.5) / draws
    return {
        (p.vary, p.of): 1.0
        + p.range * (2.0 * named_rng(seed, f"thaw.{key}.{p.name}").permutation(ranks) - 1.0)
        for p in leading
    }


def _terrain(key: str, terrain: Terrain, table: Table, s: Settings) -> TerrainRun:
    spans = spans_of(table, s)
    every = range(table.first_year, s.to + 1)
    courses = simulate(terrain, table, s.scenario, every, balance=s.balance)
    factors = factors_of(terrain.leading, key, s.draws, s.seed)
    ends = sorted({table.first_year, *(year for span in spans for year in span)})
    drawn = simulate(terrain, table, s.scenario, ends, factors=factors, balance=s.balance)
    means, influence = {}, {}
    for kind in KINDS:
        for span in spans:
            found = np.broadcast_to(total(drawn, kind, span, s.scope), (s.draws,))
            means[kind, span] = of_draws(found, float(total(courses, kind, span, s.scope)[0]))
            influence[kind, span] = _influence(found, terrain.leading, factors)
    return TerrainRun(courses, drawn, means, influence)


def _influence(found: Array, leading: tuple[Leading, ...], factors: Factors) -> dict[str, float]:
    """Squared rank correlation (Spearman) of each factor with a result, largest first; zero where it is constant."""
    if np.ptp(found) <= 1e-12 * np.abs(found).max():
        return {p.name: 0.0 for p in leading}
    ranks = rankdata(found)
    shares = {p.name: float(np.corrcoef(ranks, rankdata(factors[p.vary, p.of]))[0, 1]) ** 2 for p in leading}
    return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))


def _notes(table: Table, s: Settings) -> tuple[str, ...]:
    notes = [f"{t.label}: {t.notes[s.scenario]}" for t in table.terrains.values() if s.scenario in t.notes]
    if s.balance is not None:
        having = [
            t.label
            for t in table.terrains.values()
            if any(s.balance in part.balances for part in t.parts.values())
        ]
        notes.append(f"balance {s.balance} in {', '.join(having)}; it changes the balance, not CO2 and CH4.")
    return tuple(notes)
