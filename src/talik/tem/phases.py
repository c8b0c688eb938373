"""The phases of a run: soil heat, equilibrium, spin-up, and the years that are written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from talik.tem import model
from talik.tem.inputs import Climate, equilibrium_climate, spin_up_climate
from talik.tem.model import Forcing, Outputs, Parameters, Settings, State
from talik.tem.settings import TemSettings
from talik.tem.thermal.year import SoilClimate, deep_profile

Array = jax.Array

SOIL_CHUNK = 10
DEEP_RESETS = (3, 6, 9)
"""After so many tens of years the deep soil is set to the conductive profile below 3.6 m, which it nears slowly."""
CHUNK = 50
"""Years of the equilibrium between looks whether it is reached."""
TELL_EVERY = 50
"""Years between signs of life of the phases that run year by year."""

Tell = Callable[[str], None]
"""Takes a line that says how far a run is."""


@dataclass(frozen=True)
class SpinReport:
    """How the spin-up went, by column: years of soil heat and of the equilibrium, and whether each stood still."""

    soil_years: np.ndarray
    soil_still: np.ndarray
    equilibrium_years: np.ndarray
    equilibrium_still: np.ndarray


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
    state = jax.jit(model.initial_state, static_argnames="settings")(forcing, parameters, settings=settings)
    steady = settings.with_baseline(True)
    state = _settle_water(state, forcing, parameters, steady)
    state, soil, soil_years, soil_still = _settle_soil(state, forcing, parameters, wanted, steady)
    tell(f"soil heat: {soil_still.sum()} of {soil_still.size} columns still in {soil_years.max()} years")
    state, years, still = _equilibrium(state, forcing, soil, parameters, wanted, steady)
    tell(f"equilibrium: {still.sum()} of {still.size} columns still in {years.max()} years")
    loop = spin_up_climate(wanted, climate)
    for i in range(wanted.spin_up.years):
        if i % TELL_EVERY == 0:
            tell(f"spin-up: year {i + 1} of {wanted.spin_up.years}")
        year = loop.years[i % len(loop.years)]
        state, _ = model.step(state, loop.forcing(year, loop=True), parameters, settings)
    return state, SpinReport(soil_years, soil_still, years, still)


def transient(
    state: State,
    climate: Climate,
    parameters: Parameters,
    settings: Settings,
    before: np.ndarray | None = None,
    tell: Tell = lambda _line: None,
) -> Iterator[tuple[int, State, Outputs]]:
    """Each year of the climate with the state at its end; before : see `Climate.forcing`."""
    for i, year in enumerate(climate.years):
        if i % TELL_EVERY == 0:
            tell(f"year {year} of {climate.years[0]}..{climate.years[-1]}")
        forcing = climate.forcing(year, before)
        state, outputs = model.step(state, forcing, parameters, settings)
        yield year, state, outputs


def _settle_water(state: State, forcing: Forcing, parameters: Parameters, steady: Settings) -> State:
    """The state with the soil moisture of a repeated year; everything else as it was."""
    _, soil = model.soil_step(state, forcing, parameters, steady)
    wet, _ = _years(state, forcing, soil, parameters, steady, CHUNK)
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
        moved = state
        for _ in range(SOIL_CHUNK):
            moved, now = model.soil_step(moved, forcing, parameters, steady)
        mean = np.asarray(now.tsoil.mean(axis=0))
        keep = jnp.asarray(still)
        state = state._replace(heat=jax.tree.map(partial(jnp.where, keep), state.heat, moved.heat))
        soil = jax.tree.map(partial(jnp.where, keep), soil, now)
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
            still |= np.abs(mean - last).max(axis=0) / SOIL_CHUNK < wanted.soil_heat.drift_k_per_year
        last = mean
        if still.all() and chunk >= DEEP_RESETS[-1]:
            break
    return state, soil, years, still


def _equilibrium(
    state: State,
    forcing: Forcing,
    soil: SoilClimate,
    parameters: Parameters,
    wanted: TemSettings,
    steady: Settings,
) -> tuple[State, np.ndarray, np.ndarray]:
    """Pools in balance with a repeated year, with soil nitrogen reset every year."""
    cells = state.saturation.shape[-1]
    still, years = np.zeros(cells, bool), np.zeros(cells, int)
    limits = wanted.equilibrium
    for _ in range(-(-limits.years // CHUNK)):
        moved, changes = _years(state, forcing, soil, parameters, steady, CHUNK)
        state = jax.tree.map(partial(jnp.where, jnp.asarray(still)), state, moved)
        years += np.where(still, 0, CHUNK)
        carbon, nitrogen = (np.asarray(c) for c in changes)
        still |= (carbon < limits.carbon_g_m2) & (nitrogen < limits.nitrogen_g_m2)
        if still.all():
            break
    return state, years, still


@partial(jax.jit, static_argnames=("settings", "years"))
def _years(
    state: State, forcing: Forcing, soil: SoilClimate, parameters: Parameters, settings: Settings, years: int
) -> tuple[State, tuple[Array, Array]]:
    """The state after years of the same forcing, and how much carbon and nitrogen pools changed in the last one."""

    def year(state: State, _: None) -> tuple[State, tuple[Array, Array]]:
        after, _ = model.biogeochemistry_step(state, forcing, soil, parameters, settings)
        p, q = state.pools, after.pools
        carbon = jnp.maximum(jnp.abs(q.C_V - p.C_V), jnp.abs(q.C_S - p.C_S))
        n = [jnp.abs(getattr(q, name) - getattr(p, name)) for name in ("N_VS", "N_VL", "N_S", "N_A")]
        return after, (carbon, jnp.stack(n).max(axis=0))

    state, changes = lax.scan(year, state, length=years)
    return state, jax.tree.map(lambda c: c[-1], changes)
