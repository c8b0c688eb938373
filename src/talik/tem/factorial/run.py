"""All experiments of some columns, year by year: those that share a climate share its water and soil heat."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np

from talik.tem import model
from talik.tem.factorial.annual import VARIABLES, annual, by_depth, monthly
from talik.tem.factorial.book import Book
from talik.tem.factorial.design import Experiment, climate_of, experiments_of, reference_of
from talik.tem.inputs import Climate, Columns
from talik.tem.model import Parameters, Settings, State
from talik.tem.output import keep_worst, month_seconds
from talik.tem.permafrost.layers import NO_PERMAFROST_M, Month
from talik.tem.permafrost.setup import freeze, permafrost_parameters, thawed_by
from talik.tem.permafrost.stock import Stock
from talik.tem.phases import TELL_EVERY, Tell
from talik.tem.pools import Fluxes
from talik.tem.settings import Factorial, PermafrostCarbon
from talik.tem.thermal import year as soil_heat
from talik.tem.thermal.year import SoilClimate

Array = jax.Array


@dataclass(frozen=True)
class Plan:
    """What is run: the section's settings, and those of the model that every experiment starts from."""

    factorial: Factorial
    permafrost: PermafrostCarbon
    settings: Settings

    @property
    def experiments(self) -> dict[str, Experiment]:
        """Experiments by name."""
        return experiments_of(self.factorial.experiments)

    def settings_of(self, experiment: Experiment) -> Settings:
        """The model's settings of an experiment."""
        cycles, wanted = self.settings.biogeochemistry, self.permafrost_of(experiment)
        co2_cn = cycles.co2_cn if experiment.co2_changes_cn is None else experiment.co2_changes_cn
        cycles = replace(cycles, refreeze_stop=wanted.refreeze_stop, co2_cn=co2_cn)
        return replace(self.settings, biogeochemistry=cycles)

    def permafrost_of(self, experiment: Experiment) -> PermafrostCarbon:
        """The permafrost settings of an experiment."""
        names = ("attenuation_m", "deep_wetness", "cn", "thawed_years", "nitrogen_in_reach", "refreeze_stop")
        changed = {n: getattr(experiment, n) for n in names if getattr(experiment, n) is not None}
        return self.permafrost.model_copy(update=changed)


@dataclass
class _Run:
    """An experiment on its way: what it runs under, where it stands, and its permafrost flows so far."""

    climate: Climate
    parameters: Parameters
    settings: Settings
    state: State
    sums: Month


Write = Callable[[int, str, np.ndarray, np.ndarray | None], None]
"""Takes year, history key, annual values (name, column) and monthly values (name, 12, column) if wanted."""


class Experiments:
    """The experiments of some columns. `run` gives the books; `worst` (4,) is the largest residual of each budget, and
    `without_permafrost` the number of columns that have none in the reference year, by scenario."""

    def __init__(
        self,
        plan: Plan,
        columns: Columns,
        parameters: Parameters,
        stock: Stock,
        tell: Tell = lambda _line: None,
    ) -> None:
        self.plan, self.columns, self.tell = plan, columns, tell
        self.parameters, self.stock = parameters, stock
        self.names = plan.factorial.variables or tuple(VARIABLES)
        self.months = plan.factorial.monthly
        self.designed = plan.experiments
        self.worst = np.zeros(len(model.CLOSURES))
        self.without_permafrost: dict[str, int] = {}

    def run(
        self,
        start: State,
        history: Climate,
        scenarios: Mapping[str, Climate],
        before: np.ndarray | None = None,
    ) -> tuple[Book, Book]:
        """The years before the experiments, and the experiments under every scenario.

        The history ends with the year before the scenarios. Up to the reference year all experiments are one; from then
        on what is frozen under the active layer of that year is exposed by deeper thaw. before : (column,) air
        temperature of the December before the history, where it is known.
        """
        first = next(iter(scenarios.values()))
        reference_year = self.plan.permafrost.reference_year
        past = Book(self.columns, self.names, self.months, history.years)
        decades = tuple(y for y in first.years if y % 10 == 0 and y > reference_year)
        lead = {"scenario": tuple(scenarios), "experiment": tuple(self.designed)}
        book = Book(self.columns, self.names, self.months, first.years, lead, decades)
        # the January after the history is that of a scenario, and one must stand for all
        history = replace(history, january=first.tair[0, 0])
        reference = self.designed[reference_of(self.designed)].history_key()

        def keep(year: int, key: str, values: np.ndarray, months: np.ndarray | None) -> None:
            if key == reference:
                past.write(year, values, months)

        states = dict.fromkeys((e.history_key() for e in self.designed.values()), start)
        states, alt = self._together(states, history, history.years, before, keep)
        for s, (name, climate) in enumerate(scenarios.items()):

            def keep_all(
                year: int, key: str, values: np.ndarray, months: np.ndarray | None, s: int = s
            ) -> None:
                for e, experiment in enumerate(self.designed.values()):
                    if experiment.history_key() == key:
                        book.write(year, values, months, (s, e))

            december = history.tair[-1, 11]
            shared = range(climate.first_year, reference_year + 1)
            reached, later = self._together(states, climate, shared, december, keep_all)
            self.without_permafrost[name] = int((later[reference_year] >= NO_PERMAFROST_M).sum())
            runs = self._branch(reached, alt | later, climate, book, s)
            for i, year in enumerate(range(reference_year + 1, climate.years[-1] + 1)):
                if i % TELL_EVERY == 0:
                    self.tell(f"{name}: year {year} of {climate.years[-1]}, {len(runs)} experiments")
                self._apart(runs, year, book, s)
        return past, book

    def _together(
        self,
        states: dict[str, State],
        climate: Climate,
        years: range,
        december: np.ndarray | None,
        write: Write,
    ) -> tuple[dict[str, State], dict[int, np.ndarray]]:
        """Years that all experiments share: the states at their end by history key, and the active layer by year."""
        settings = {e.history_key(): self.plan.settings_of(e) for e in self.designed.values()}
        states, alt = dict(states), {}
        for i, year in enumerate(years):
            if i % TELL_EVERY == 0:
                self.tell(f"year {year} of {years[0]}..{years[-1]}")
            forcing = climate.forcing(year, december)
            some = next(iter(states.values()))
            warmed, soil = model.soil_step(some, forcing, self.parameters, self.plan.settings)
            for key, before in states.items():
                states[key], fluxes = model.biogeochemistry_step(
                    before._replace(heat=warmed.heat), forcing, soil, self.parameters, settings[key]
                )
                values, months = self._values(year, before, states[key], fluxes, soil, None)
                write(year, key, values, months)
            alt[year] = np.asarray(soil_heat.thaw_depth(soil.liquid.max(axis=0)))
        return states, alt

    def _branch(
        self,
        states: dict[str, State],
        alt: Mapping[int, np.ndarray],
        climate: Climate,
        book: Book,
        scenario: int,
    ) -> list[_Run]:
        """The experiments at the end of the reference year, with what is frozen then."""
        runs = []
        reference_year = self.plan.permafrost.reference_year
        for e, (name, experiment) in enumerate(self.designed.items()):
            wanted = self.plan.permafrost_of(experiment)
            thawed = thawed_by(wanted, alt, f"tem.factorial.experiments.{name}")
            permafrost = freeze(self.stock, thawed, experiment.cn)
            ground = permafrost_parameters(
                self.columns.community, self.parameters, wanted, thaws=experiment.permafrost is None
            )
            nothing = Month(*(jnp.zeros_like(permafrost.frozen_c) for _ in Month._fields))
            runs.append(
                _Run(
                    climate_of(experiment, climate, reference_year),
                    self.parameters._replace(permafrost=ground),
                    self.plan.settings_of(experiment),
                    states[experiment.history_key()]._replace(permafrost=permafrost),
                    nothing,
                )
            )
            stock = 1e-3 * np.asarray(permafrost.frozen_c.sum(axis=0))
            for year in range(climate.first_year, reference_year + 1):
                book.amend(year, "cSoilPermafrost", stock, (scenario, e))
        return runs

    def _apart(self, runs: list[_Run], year: int, book: Book, scenario: int) -> None:
        """A year of every experiment; those that share a climate share its water and soil heat."""
        keys = [e.climate_key() for e in self.designed.values()]
        done: dict[str, tuple[State, SoilClimate]] = {}
        for e, (key, run) in enumerate(zip(keys, runs, strict=True)):
            forcing, before = run.climate.forcing(year), run.state
            if key not in done:
                done[key] = model.soil_step(before, forcing, run.parameters, run.settings)
            warmed, soil = done[key]
            run.state, fluxes = model.biogeochemistry_step(
                before._replace(heat=warmed.heat), forcing, soil, run.parameters, run.settings
            )
            if fluxes.permafrost is not None:
                run.sums = jax.tree.map(jnp.add, run.sums, fluxes.permafrost.layers)
            values, months = self._values(year, before, run.state, fluxes, soil, run.sums)
            book.write(year, values, months, (scenario, e))
            if year in book.decades:
                book.write_depths(year, np.asarray(by_depth(run.sums)), (scenario, e))

    def _values(
        self, year: int, before: State, after: State, fluxes: Fluxes, soil: SoilClimate, sums: Month | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        seconds = jnp.asarray(month_seconds(year))
        values, residual = annual(before, after, fluxes, soil, sums, seconds, self.names)
        keep_worst(self.worst, np.abs(np.asarray(residual)), self.columns, year)
        if not self.months:
            return np.asarray(values), None
        return np.asarray(values), np.asarray(monthly(fluxes, soil, seconds, self.months))
