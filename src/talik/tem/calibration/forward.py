"""What the model predicts at sites for values of its free parameters, with exact derivatives.

The equilibrium is a fixed point, found by Newton's method without derivatives; those come from the implicit function
theorem. Soil heat does not depend on plants: unless the ground is calibrated, it is run once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from talik.tem import acceleration, model, phases
from talik.tem.acceleration import coordinates, repeat, with_coordinates
from talik.tem.calibration.free import FreeParameters, with_values
from talik.tem.inputs import Climate, Columns, equilibrium_climate, organic_of, parameters_of, spin_up_climate
from talik.tem.model import Forcing, Parameters, Settings, State
from talik.tem.run import model_settings
from talik.tem.settings import TemSettings
from talik.tem.thermal.freezing import heat_at, phase
from talik.tem.thermal.materials import OrganicSoil
from talik.tem.thermal.year import Heat, SoilClimate, deep_profile, thaw_depth

Array = jax.Array

PLAIN_YEARS = 20
"""Years before Newton's method, from the equilibrium of the project's own parameters."""
NEWTON_STEPS = 12
"""At most. Of 60 points anywhere within the limits of the five parameters of Liu et al. (2024) 8, 5 and 1 (by site)
balance within 3 steps, 45, 44 and 17 within 6, 55, 57 and 34 within 8; a search stops when all of its columns do."""
MEMORY_YEARS = 2
"""Years that give the memory of litter and leaves that belongs to pools, before the map of these pools."""
AFTER_YEARS = 4
"""Plain years after the last step, in which memory and the pools that turn over fast take part in the derivatives."""

GROUND_YEARS, GROUND_ROUNDS = 10, 3
"""Soil heat settles after a change of the ground in so many rounds of years, each of which ends with the conductive
profile below 3.6 m, and once more years, from the balance of the project's own ground. Measured against soil heat that
settles whole, in the upper 0.1 m: 0.02 K apart on average, up to 0.4 K in single months near 0 degC."""


class Predicted(NamedTuple):
    """What sites give. gpp, reco, nep (year, 12, start, column), g C m-2 month-1 (gpp and reco positive, nep into the
    land); tsoil (year, 12, 42, start, column), monthly mean, degC; thaw_depth (year, 12, start, column), the largest of
    the month, m; pools (pool of `POOLS`, start, column), g m-2, and annual fluxes (of `ANNUAL`, start, column),
    g m-2 yr-1, of the equilibrium; balanced (start, column), whether the equilibrium was found."""

    gpp: Array
    reco: Array
    nep: Array
    tsoil: Array
    thaw_depth: Array
    pools: Array
    annual: Array
    balanced: Array


POOLS = ("C_V", "N_VS", "C_S", "N_S", "N_A", "N_VL")
ANNUAL = ("gpp", "npp", "rh", "uptake")


class Years(NamedTuple):
    """Forcing and soil climate of consecutive years, each with a first axis of years."""

    forcing: Forcing
    soil: SoilClimate


class Fixed(NamedTuple):
    """Arrays that the free parameters do not change, columns last. parameters, organic : of the project; start : their
    equilibrium, with settled soil; first : the repeated year; running : the years of the loop, then those of the
    climate."""

    parameters: Parameters
    organic: OrganicSoil | None
    start: State
    first: Years
    running: Years


@dataclass(frozen=True)
class Sites:
    """Columns of sites, the years of their climate, and how many years of the loop go before them."""

    columns: Columns
    years: range
    settings: Settings
    turns: int
    fixed: Fixed


def prepare(columns: Columns, climate: Climate, wanted: TemSettings) -> Sites:
    """Spin up soil heat and pools with the project's own parameters, and run soil heat through all years once.

    The loop is that of the project (`spin_up.climate`), its length at most `spin_up.years`.
    """
    first = equilibrium_climate(wanted, climate)
    settings = model_settings(wanted, float(first.co2[0]))
    parameters = parameters_of(columns, wanted, first)
    mean = first.mean()
    forcing = _by_column(mean.forcing(mean.first_year))
    state, soil, _, _ = phases.settled_soil(forcing, parameters, wanted, settings)
    balance = phases.equilibrium(state, forcing, soil, parameters, wanted, settings.with_baseline(True))
    loop = spin_up_climate(wanted, climate)
    turns = [_by_column(loop.forcing(y, loop=True)) for y in loop.years][: wanted.spin_up.years]
    settling = _stacked([*turns, *turns])
    settled, _ = jax.jit(_scan_soil, static_argnums=3)(balance.state, settling, parameters, settings)
    running = _stacked([*turns, *(_by_column(climate.forcing(y)) for y in climate.years)])
    _, soils = jax.jit(_scan_soil, static_argnums=3)(settled, running, parameters, settings)
    organic = organic_of(columns, wanted) if wanted.soil_heat.layers == "physical" else None
    fixed = Fixed(parameters, organic, balance.state, Years(forcing, soil), Years(running, soils))
    return Sites(columns, climate.years, settings, len(turns), fixed)


def predict(sites: Sites, free: FreeParameters, fixed: Fixed, x: Array) -> Predicted:
    """What the sites give at coordinates x (start, n); pure and differentiable in forward mode.

    fixed : `sites.fixed`, handed over by itself because it holds too much to be compiled in. Starts go beside each
    other as further columns, over which the model is fastest.
    """
    starts, count = x.shape[0], len(sites.columns.community)
    columns = sites.columns.repeated(starts)
    fixed = jax.tree.map(lambda a: jnp.tile(a, starts), fixed)
    values = jnp.repeat(free.values(x).T, count, axis=1)
    parameters = with_values(free, values, fixed.parameters, columns, fixed.organic)
    if free.ground:
        fixed = _with_ground(sites, fixed, parameters)
    years = fixed.running
    found, balanced = balance(fixed.start, fixed.first, parameters, sites.settings)

    def pass_year(state: State, now: Years) -> tuple[State, tuple[Array, Array, Array]]:
        after, f = model.biogeochemistry_step(state, now.forcing, now.soil, parameters, sites.settings)
        return after, (f.gpp, f.r_maintenance + f.r_growth + f.rh, f.nep)

    _, fluxes = lax.scan(pass_year, found.state, years)
    gpp, reco, nep = (flux[sites.turns :] for flux in fluxes)
    soil = jax.tree.map(lambda a: a[sites.turns :], years.soil)
    thaw = thaw_depth(soil.liquid)
    together = Predicted(gpp, reco, nep, soil.tsoil, thaw, found.pools, found.annual, balanced)
    return Predicted(*(a.reshape(*a.shape[:-1], starts, count) for a in together))


class Balance(NamedTuple):
    """A state in balance with a repeated year; `Predicted.pools` and `annual` of it."""

    state: State
    pools: Array
    annual: Array


def balance(start: State, first: Years, parameters: Parameters, settings: Settings) -> tuple[Balance, Array]:
    """The balance with a repeated year, and whether Newton's method found it (column,).

    Derivatives are those of the fixed point: with x* = Phi(x*, p), dx*/dp = (I - dPhi/dx)^-1 dPhi/dp. Phi is two years
    from pools x, with the memory of litter and leaves of two years that began with x.
    """
    steady = settings.with_baseline(True)
    forcing, soil = first
    held, climate, ground = jax.tree.map(lax.stop_gradient, (parameters, forcing, soil))

    def phi(state: State, x: Array) -> tuple[Array, State]:
        after = _mapped(state, x, climate, ground, held, steady)
        return coordinates(after), after

    def unfinished(carry: _Search) -> Array:
        return (carry.step < NEWTON_STEPS) & ~jnp.all(carry.done)

    def step(carry: _Search) -> _Search:
        years = jnp.where(carry.step == 0, PLAIN_YEARS, acceleration.SETTLE_YEARS)
        settled, _ = repeat(carry.state, climate, ground, held, steady, years)
        settled = jax.tree.map(partial(jnp.where, carry.done), carry.state, settled)
        x = coordinates(settled)
        moved, size, after, jacobian = acceleration.newton_step(partial(phi, settled), x)
        done = carry.done | (size < acceleration.CONVERGED)
        further = with_coordinates(after, x + moved, held)
        state = jax.tree.map(partial(jnp.where, done), settled, further)
        # of a column that was done before this step it is the same one again
        return _Search(state, done, jacobian, carry.step + 1)

    five = coordinates(start)
    nothing = jnp.zeros((five.shape[1], five.shape[0], five.shape[0]), five.dtype)
    begin = jax.tree.map(lax.stop_gradient, start)
    search = lax.while_loop(
        unfinished, step, _Search(begin, jnp.zeros(five.shape[1], bool), nothing, jnp.asarray(0))
    )
    search = jax.tree.map(lax.stop_gradient, search)
    x = coordinates(search.state)
    after = _mapped(search.state, x, forcing, soil, parameters, steady)
    motion = (coordinates(after) - x).T[..., None]
    x = x + jnp.linalg.solve(jnp.eye(x.shape[0]) - search.jacobian, motion)[..., 0].T

    def year(state: State, _: None) -> tuple[State, tuple[Array, Array]]:
        after, f = model.biogeochemistry_step(state, forcing, soil, parameters, steady)
        pools = jnp.stack([getattr(after.pools, name) for name in POOLS])
        return after, (pools, jnp.stack([getattr(f, name).sum(axis=0) for name in ANNUAL]))

    state, (pools, annual) = lax.scan(year, with_coordinates(after, x, parameters), None, length=AFTER_YEARS)
    return Balance(state, pools[-1], annual[-1]), search.done


class _Search(NamedTuple):
    """Newton's method on its way: the Jacobian (column, 5, 5) is that of the last map."""

    state: State
    done: Array
    jacobian: Array
    step: Array


def _mapped(
    state: State, x: Array, forcing: Forcing, soil: SoilClimate, parameters: Parameters, steady: Settings
) -> State:
    """The state some years after pools x, which memory of litter and leaves answers to."""

    def year(i: Array, state: State) -> State:
        begin = with_coordinates(state, x, parameters)
        again = (i == 0) | (i == MEMORY_YEARS)
        state = jax.tree.map(partial(jnp.where, again), begin, state)
        after: State = model.biogeochemistry_step(state, forcing, soil, parameters, steady)[0]
        return after

    done: State = lax.fori_loop(0, MEMORY_YEARS + acceleration.MAP_YEARS, year, state)
    return done


def _with_ground(sites: Sites, fixed: Fixed, parameters: Parameters) -> Fixed:
    """The same with soil heat that has settled on another ground, and the soil climates of all years."""
    settings, forcings = sites.settings, fixed.running.forcing
    heat = _moved(fixed.start.heat, fixed.parameters, parameters, settings)

    def again(state: State, _: None) -> tuple[State, SoilClimate]:
        warmed, soil = model.soil_step(state, fixed.first.forcing, parameters, settings)
        return warmed, soil

    def round_of_years(state: State, _: None) -> tuple[State, None]:
        after, soils = lax.scan(again, state, None, length=GROUND_YEARS)
        layers = model.layers_of(after.heat.saturation, parameters.ground)
        last = jax.tree.map(lambda a: a[-1], soils)
        deep = deep_profile(after.heat, last, layers, settings.geothermal, settings.unfrozen)
        return after._replace(heat=deep), None

    state, _ = lax.scan(round_of_years, fixed.start._replace(heat=heat), None, length=GROUND_ROUNDS)
    state, soils = lax.scan(again, state, None, length=GROUND_YEARS)
    first = fixed.first._replace(soil=jax.tree.map(lambda a: a[-1], soils))
    twice = jax.tree.map(lambda a: jnp.concatenate([a[: sites.turns], a]), forcings)
    _, running = _scan_soil(state, twice, parameters, settings)
    soils = jax.tree.map(lambda a: a[sites.turns :], running)
    return fixed._replace(start=state, first=first, running=Years(forcings, soils))


def _moved(heat: Heat, before: Parameters, after: Parameters, settings: Settings) -> Heat:
    """Heat of another ground at the same temperatures and liquid shares."""
    was, now = (model.layers_of(heat.saturation, p.ground) for p in (before, after))
    held = phase(heat.heat, was, settings.unfrozen)
    return heat._replace(heat=heat_at(held.temperature, held.liquid, now, settings.unfrozen))


def _scan_soil(
    state: State, forcing: Forcing, parameters: Parameters, settings: Settings
) -> tuple[State, SoilClimate]:
    """Soil heat and water through years (year, ...)."""

    def year(state: State, now: Forcing) -> tuple[State, SoilClimate]:
        warmed, soil = model.soil_step(state, now, parameters, settings)
        after, _ = model.biogeochemistry_step(warmed, now, soil, parameters, settings)
        return after, soil

    done, soils = lax.scan(year, state, forcing)
    return done, soils


def _by_column(forcing: Forcing) -> Forcing:
    """The same with CO2 of each column."""
    return forcing._replace(co2=jnp.broadcast_to(jnp.asarray(forcing.co2), forcing.tair.shape[-1:]))


def _stacked(trees: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(v) for v in leaves]), *trees)
