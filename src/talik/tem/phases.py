"""The phases of a run: soil heat, equilibrium, spin-up, and the years that are written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from talik.tem import acceleration, biogeochemistry, model
from talik.tem.acceleration import Change, repeat
from talik.tem.inputs import Climate, equilibrium_climate, spin_up_climate
from talik.tem.model import Forcing, Outputs, Parameters, Settings, State
from talik.tem.settings import Equilibrium, TemSettings
from talik.tem.subset import put, still_to_do, take
from talik.tem.thermal.year import Heat, SoilClimate, deep_profile

SOIL_CHUNK = 10
DEEP_RESETS = (3, 6, 9)
"""After so many tens of years the deep soil is set to the conductive profile below 3.6 m, which it nears slowly."""
CHUNK = 50
"""Years of the equilibrium between looks whether it is reached; plain years before and after Newton's method."""
ACCEPTANCE_YEARS = 100
"""Plain years in each of which an accelerated equilibrium must stand still."""
SHORTEST_ACCELERATED = 2 * CHUNK + ACCEPTANCE_YEARS
"""Plain years of an accelerated equilibrium; one that is allowed no more years runs plainly."""
TELL_EVERY = 50
"""Years between signs of life of the phases that run year by year."""

Tell = Callable[[str], None]
"""Takes a line that says how far a run is."""


@dataclass(frozen=True)
class SpinReport:
    """How the spin-up went, each (column,): years of soil heat and whether it stood still; plain years of the
    equilibrium, steps of Newton's method (`acceleration.MAP_YEARS` years each), whether pools stood still, and whether
    the plain equilibrium had to do it after all; years of soil heat in the loop and whether it became periodic."""

    soil_years: np.ndarray
    soil_still: np.ndarray
    equilibrium_years: np.ndarray
    newton_steps: np.ndarray
    equilibrium_still: np.ndarray
    fell_back: np.ndarray
    loop_soil_years: np.ndarray
    loop_soil_still: np.ndarray


class Balance(NamedTuple):
    """An equilibrium: the state, and by column the plain years, the steps of Newton's method, whether pools stand
    still, and whether Newton's method failed."""

    state: State
    years: np.ndarray
    newton_steps: np.ndarray
    still: np.ndarray
    fell_back: np.ndarray


def spin(
    climate: Climate,
    parameters: Parameters,
    wanted: TemSettings,
    settings: Settings,
    tell: Tell = lambda _line: None,
) -> tuple[State, SpinReport]:
    """The state at the end of equilibrium and spin-up, and how they went.

    Each column stops by itself when it stands still, so it does not depend on which others run with it.
    """
    first = equilibrium_climate(wanted, climate).mean()
    forcing = first.forcing(first.first_year)
    state, soil, soil_years, soil_still = settled_soil(forcing, parameters, wanted, settings)
    steady = settings.with_baseline(True)
    tell(f"soil heat: {soil_still.sum()} of {soil_still.size} columns still in {soil_years.max()} years")
    found = equilibrium(state, forcing, soil, parameters, wanted, steady)
    tell(
        f"equilibrium: {found.still.sum()} of {found.still.size} columns still in {found.years.max()} years and "
        f"{found.newton_steps.max()} steps of Newton's method, {found.fell_back.sum()} without it"
    )
    loop = spin_up_climate(wanted, climate)
    state, loop_years, periodic = _loop(found.state, loop, parameters, wanted, settings, tell)
    report = SpinReport(soil_years, soil_still, *found[1:], loop_years, periodic)
    return state, report


def transient(
    state: State,
    climate: Climate,
    parameters: Parameters,
    settings: Settings,
    before: np.ndarray | None = None,
    tell: Tell = lambda _line: None,
    years: range | None = None,
) -> Iterator[tuple[int, State, Outputs]]:
    """Each of the years, or of the climate's, with the state at its end; before : see `Climate.forcing`."""
    for i, year in enumerate(climate.years if years is None else years):
        if i % TELL_EVERY == 0:
            tell(f"year {year} of {climate.years[0]}..{climate.years[-1]}")
        forcing = climate.forcing(year, before)
        state, outputs = model.step(state, forcing, parameters, settings)
        yield year, state, outputs


def settled_soil(
    forcing: Forcing, parameters: Parameters, wanted: TemSettings, settings: Settings
) -> tuple[State, SoilClimate, np.ndarray, np.ndarray]:
    """A start whose water and soil heat are in balance with a repeated year; the last year's soil climate, the years
    that it took and whether soil heat stands still, each (column,)."""
    state = jax.jit(model.initial_state, static_argnames="settings")(forcing, parameters, settings=settings)
    steady = settings.with_baseline(True)
    state = _settle_water(state, forcing, parameters, steady)
    return _settle_soil(state, forcing, parameters, wanted, steady)


def _settle_water(state: State, forcing: Forcing, parameters: Parameters, steady: Settings) -> State:
    """The state with the soil moisture of a repeated year; everything else as it was."""
    _, soil = model.soil_step(state, forcing, parameters, steady)
    wet, _ = repeat(state, forcing, soil, parameters, steady, CHUNK)
    water = state.pools._replace(W=wet.pools.W, G_r=wet.pools.G_r, G_s=wet.pools.G_s, SWE=wet.pools.SWE)
    return state._replace(pools=water, saturation=wet.saturation)


def _settle_soil(
    state: State, forcing: Forcing, parameters: Parameters, wanted: TemSettings, steady: Settings
) -> tuple[State, SoilClimate, np.ndarray, np.ndarray]:
    """Soil heat in balance with a repeated year, and its last year."""
    cells = state.saturation.shape[-1]
    still, years = np.zeros(cells, bool), np.zeros(cells, int)
    last = None
    state, soil = model.soil_step(state, forcing, parameters, steady)
    for chunk in range(-(-wanted.soil_heat.years // SOIL_CHUNK)):
        at = still_to_do(still)
        some, climate, constants = take((state, forcing, parameters), at, cells)
        for _ in range(SOIL_CHUNK):
            some, now = model.soil_step(some, climate, constants, steady)
        keep = jnp.asarray(still)
        moved = put(state.heat, some.heat, at)
        state = state._replace(heat=jax.tree.map(partial(jnp.where, keep), state.heat, moved))
        soil = jax.tree.map(partial(jnp.where, keep), soil, put(soil, now, at))
        mean = np.asarray(soil.tsoil.mean(axis=0))
        years += np.where(still, 0, SOIL_CHUNK)
        if chunk + 1 in DEEP_RESETS:
            heat = deep_profile(
                state.heat,
                soil,
                model.layers_of(state.heat.saturation, parameters.ground),
                steady.geothermal,
                steady.unfrozen,
            )
            state = state._replace(heat=jax.tree.map(partial(jnp.where, keep), state.heat, heat))
            last = None
            continue
        if last is not None and chunk >= DEEP_RESETS[-1]:
            drift = np.abs(mean - last).max(axis=0) / SOIL_CHUNK
            still = still | (
                drift < wanted.soil_heat.drift_k_per_year
            )  # not in place: JAX may not have read it yet
        last = mean
        if still.all() and chunk >= DEEP_RESETS[-1]:
            break
    return state, soil, years, still


def equilibrium(
    state: State,
    forcing: Forcing,
    soil: SoilClimate,
    parameters: Parameters,
    wanted: TemSettings,
    steady: Settings,
) -> Balance:
    """Pools in balance with a repeated year, with soil nitrogen reset every year."""
    limits = wanted.equilibrium
    nobody = np.zeros(state.saturation.shape[-1], bool)
    if limits.method == "plain" or limits.years < SHORTEST_ACCELERATED:
        return _plain(state, forcing, soil, parameters, wanted, steady, nobody)
    asleep = np.asarray(biogeochemistry.dormant(model.drivers_of(forcing, soil)))
    near, _ = repeat(state, forcing, soil, parameters, steady, CHUNK)
    solved = acceleration.solve(
        near, forcing, soil, parameters, steady, done=asleep, most=limits.newton_steps
    )
    settled, _ = repeat(solved.state, forcing, soil, parameters, steady, CHUNK)
    settled, changes = repeat(settled, forcing, soil, parameters, steady, ACCEPTANCE_YEARS)
    good = solved.converged & _stands_still(changes.largest, limits)
    years = np.full(good.size, SHORTEST_ACCELERATED)
    if good.all():
        return Balance(settled, years, solved.steps, good, nobody)
    begun = jax.tree.map(partial(jnp.where, jnp.asarray(good)), settled, state)
    plain = _plain(begun, forcing, soil, parameters, wanted, steady, good)
    return Balance(plain.state, years + plain.years, solved.steps, plain.still, ~good)


def _plain(
    state: State,
    forcing: Forcing,
    soil: SoilClimate,
    parameters: Parameters,
    wanted: TemSettings,
    steady: Settings,
    done: np.ndarray,
) -> Balance:
    """Year after year until a year changes nothing; columns that are `done` stay as they are."""
    still, years = np.array(done), np.zeros(done.size, int)
    limits = wanted.equilibrium
    for _ in range(-(-limits.years // CHUNK)):
        at = still_to_do(still)
        some = take((state, forcing, soil, parameters), at, done.size)
        moved, changes = repeat(*some, steady, CHUNK)
        after = put(state, moved, at)
        state = jax.tree.map(partial(jnp.where, jnp.asarray(still)), state, after)
        years += np.where(still, 0, CHUNK)
        stopped = np.zeros(done.size, bool)
        stopped[at] = _stands_still(changes.last, limits)
        still = still | stopped  # not in place: JAX may not have read it yet
        if still.all():
            break
    return Balance(state, years, np.zeros(done.size, int), still, np.zeros(done.size, bool))


def _stands_still(change: Change, limits: Equilibrium) -> np.ndarray:
    still: np.ndarray = (np.asarray(change.carbon) < limits.carbon_g_m2) & (
        np.asarray(change.nitrogen) < limits.nitrogen_g_m2
    )
    return still


def _loop(
    state: State, loop: Climate, parameters: Parameters, wanted: TemSettings, settings: Settings, tell: Tell
) -> tuple[State, np.ndarray, np.ndarray]:
    """The state after the years of the loop; years of soil heat, and whether it became periodic, by column.

    Soil heat depends on climate alone, also by the water of the root zone. A column whose soil came back to where it
    was a loop ago takes soil climate and soil heat of that loop from then on; what is kept of one loop is 90 kB a
    column where it has eleven years.
    """
    limits = wanted.spin_up
    forcings = [loop.forcing(year, loop=True) for year in loop.years]
    cells = state.saturation.shape[-1]
    periodic, years = np.zeros(cells, bool), np.zeros(cells, int)
    kept: list[tuple[Heat, SoilClimate]] = []
    last: np.ndarray | None = None
    for i in range(limits.years):
        if i % TELL_EVERY == 0:
            tell(f"spin-up: year {i + 1} of {limits.years}")
        place = i % len(forcings)
        known = kept[place] if i >= len(forcings) else None
        state, now = _loop_year(state, forcings[place], known, periodic, parameters, settings)
        years += ~periodic
        kept[place : place + 1] = [now]
        if place + 1 == len(forcings) and limits.soil == "periodic" and not periodic.all():
            mean = np.mean([np.asarray(soil.tsoil.mean(axis=0)) for _, soil in kept], axis=0)
            if last is not None:
                changed = np.abs(mean - last).max(axis=0)
                periodic = periodic | (
                    changed < limits.soil_drift_k
                )  # not in place: JAX may not have read it yet
            last = mean
    return state, years, periodic


def _loop_year(
    state: State,
    forcing: Forcing,
    known: tuple[Heat, SoilClimate] | None,
    periodic: np.ndarray,
    parameters: Parameters,
    settings: Settings,
) -> tuple[State, tuple[Heat, SoilClimate]]:
    """The state after a year, and its soil heat and soil climate, which are those known where the soil is periodic."""
    if known is None or not periodic.any():
        moved, outputs = model.step(state, forcing, parameters, settings)
        return moved, (moved.heat, outputs.soil)
    heat, soil = known
    if not periodic.all():
        # soil heat of the others, with the moisture that they have reached
        cells, at = periodic.size, still_to_do(periodic)
        some = take((state, forcing, parameters), at, cells)
        warmed, now = model.soil_step(*some, settings)
        choose = partial(jnp.where, jnp.asarray(periodic))
        heat = jax.tree.map(choose, heat, put(heat, warmed.heat, at))
        soil = jax.tree.map(choose, soil, put(soil, now, at))
    moved, _ = model.biogeochemistry_step(state._replace(heat=heat), forcing, soil, parameters, settings)
    return moved, (heat, soil)
