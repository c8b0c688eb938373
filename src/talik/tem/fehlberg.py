"""Control of the integration error: the adaptive Runge-Kutta-Fehlberg 4(5) of TEM, and doubling of fixed steps."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from talik.tem.biogeochemistry import (
    Drivers,
    Fluxes,
    Memory,
    Month,
    Pools,
    Rates,
    Settings,
    Year,
    one_year,
    rates,
    tendencies,
    year_with,
)
from talik.tem.communities import Parameters
from talik.tem.water import Site

Array = jax.Array
_Tree = TypeVar("_Tree", Pools, Rates)
_Any = TypeVar("_Any")
_Result = tuple[Pools, Memory, Fluxes]

GRID = 2**20
"""Smallest steps in a month."""

PATIENCE = 100
"""Steps of the smallest size, taken although they miss the tolerance, after which a month is given up."""

_STAGES = (
    (),
    (1 / 4,),
    (3 / 32, 9 / 32),
    (1932 / 2197, -7200 / 2197, 7296 / 2197),
    (439 / 216, -8.0, 3680 / 513, -845 / 4104),
    (-8 / 27, 2.0, -3544 / 2565, 1859 / 4104, -11 / 40),
)
_FOURTH = (25 / 216, 0.0, 1408 / 2565, 2197 / 4104, -1 / 5, 0.0)
_FIFTH = (16 / 135, 0.0, 6656 / 12825, 28561 / 56430, -9 / 50, 2 / 55)


class _Walk(NamedTuple):
    """Where each cell stands in its month: pools and flows so far, position and step in smallest steps, misses."""

    pools: Pools
    total: Rates
    position: Array
    step: Array
    misses: Array


@partial(jax.jit, static_argnames=("settings", "tolerance", "absolute"))
def one_year_fehlberg(
    pools: Pools,
    memory: Memory,
    drivers: Drivers,
    site: Site,
    parameters: Parameters,
    settings: Settings,
    tolerance: float = 0.01,
    absolute: float = 0.0,
) -> tuple[Pools, Memory, Fluxes]:
    """`biogeochemistry.one_year` with the step control of TEM 4.3 in every cell by itself (Fehlberg 1969).

    A step is kept when the solutions of order 4 and 5 differ by at most tolerance times the former (plus
    `absolute`, g m-2 or mm) in every pool and in the flows gpp, npp, r_maintenance, uptake, uptake_structural,
    mobilised, percolation and aet; else it is halved. It starts as a month and is doubled after success. A month
    that needs more than 100 smallest steps (2^-20 month) which miss is given up: its flows are NaN, its pools are
    kept. TEM runs with tolerance 0.01.
    """
    integrate = partial(_month, tolerance=tolerance, absolute=absolute)
    return year_with(integrate, pools, memory, drivers, site, parameters, settings)


def _month(
    pools: Pools,
    month: Month,
    parameters: Parameters,
    site: Site,
    year: Year,
    settings: Settings,
    *,
    tolerance: float,
    absolute: float,
) -> tuple[Pools, Rates]:
    month = month._replace(fastest=jnp.full_like(month.fastest, float(GRID)))
    some = jnp.zeros(pools.C_V.shape, jnp.int32)
    nothing = Rates(*(jnp.zeros_like(pools.C_V) for _ in Rates._fields))
    start = _Walk(pools, nothing, some, some + GRID, some)

    def going(walk: _Walk) -> Array:
        return (walk.position < GRID) & (walk.misses <= PATIENCE)

    def advance(walk: _Walk) -> _Walk:
        size = walk.step / GRID
        size = size.astype(pools.C_V.dtype)
        changes: list[Pools] = []
        flows: list[Rates] = []
        for row in _STAGES:
            at = _combine(walk.pools, changes, row, size)
            flows.append(rates(at, month, parameters, site, year))
            changes.append(tendencies(flows[-1], at, month))
        fourth = _combine(walk.pools, changes, _FOURTH, size), _combine(walk.total, flows, _FOURTH, size)
        fifth = _combine(walk.pools, changes, _FIFTH, size), _combine(walk.total, flows, _FIFTH, size)
        fine = jnp.ones(size.shape, bool)
        for a, b in zip(_watched(*fourth), _watched(*fifth), strict=True):
            fine = fine & (jnp.abs(a - b) <= tolerance * jnp.abs(a) + absolute)
        smallest = walk.step == 1
        moves = going(walk) & (fine | smallest)
        position = jnp.where(moves, walk.position + walk.step, walk.position)
        wider = 2 * walk.step
        fits = (position % wider == 0) & (position + wider <= GRID)
        step = jnp.where(fine & fits, wider, jnp.where(fine | smallest, walk.step, walk.step // 2))
        kept, total = jax.tree.map(
            lambda new, old: jnp.where(moves, new, old), fourth, (walk.pools, walk.total)
        )
        return _Walk(kept, total, position, step, walk.misses + (moves & ~fine))

    end = jax.lax.while_loop(lambda walk: jnp.any(going(walk)), advance, start)
    lost = end.position < GRID
    kept = jax.tree.map(lambda old, new: jnp.where(lost, old, new), pools, end.pools)
    return kept, jax.tree.map(lambda x: jnp.where(lost, jnp.nan, x), end.total)


def _combine(start: _Tree, slopes: list[_Tree], weights: tuple[float, ...], size: Array) -> _Tree:
    """start + size * sum of weights * slopes."""
    terms = [(weight, slope) for weight, slope in zip(weights, slopes, strict=True) if weight != 0.0]

    def move(x: Array, *changes: Array) -> Array:
        for (weight, _), change in zip(terms, changes, strict=True):
            x = x + size * (weight * change)
        return x

    moved: _Tree = jax.tree.map(move, start, *(slope for _, slope in terms))
    return moved


def _watched(pools: Pools, total: Rates) -> tuple[Array, ...]:
    gpp = total.npp + total.r_growth + total.r_maintenance
    flows = (total.npp, total.r_maintenance, total.uptake, total.uptake_structural, total.mobilised)
    return (*pools, gpp, *flows, total.percolation, total.aet)


def one_year_checked(
    pools: Pools,
    memory: Memory,
    drivers: Drivers,
    site: Site,
    parameters: Parameters,
    settings: Settings,
    tolerance: float = 1e-4,
    absolute: float = 1e-3,
    most: int = 128,
) -> tuple[Pools, Memory, Fluxes, npt.NDArray[np.int64]]:
    """`biogeochemistry.one_year` with as many sub-steps as each cell needs, and how many that were, (cell,).

    A cell is done when doubling its sub-steps, from `settings.substeps` on, moves no monthly flux by more than half of
    tolerance times the flux and half of `absolute` (g m-2 or mm); or when it has `most` sub-steps, done or not. The
    half is for the corners of the limits, across which doubling does not show the whole error. Cells that are not
    done are run again among themselves, so this is not for use inside a compiled function.
    """
    cells = pools.C_V.shape[-1]
    wide = drivers._replace(
        co2=jnp.broadcast_to(jnp.asarray(drivers.co2), drivers.tair.shape),
        n_input=jnp.broadcast_to(jnp.asarray(drivers.n_input), drivers.tair.shape),
        n_loss=jnp.broadcast_to(jnp.asarray(drivers.n_loss), drivers.tair.shape),
        thaw_depth=jnp.broadcast_to(jnp.asarray(drivers.thaw_depth), drivers.tair.shape),
    )
    steps = np.full(cells, settings.substeps)
    result: _Result = one_year(pools, memory, wide, site, parameters, settings)
    open_cells = np.arange(cells)
    before = _select(result[2], _padded(open_cells))
    while open_cells.size and steps.max() < most:
        count = 2 * int(steps.max())
        index = _padded(open_cells)
        few = _select((pools, memory, wide._replace(days=jnp.zeros(cells)), site, parameters), index)
        some_pools, some_memory, some_drivers, some_site, some_parameters = few
        finer: _Result = one_year(
            some_pools,
            some_memory,
            some_drivers._replace(days=drivers.days),
            some_site,
            some_parameters,
            replace(settings, substeps=count),
        )
        steps[open_cells] = count
        moved = _moved(before, finer[2], 0.5 * tolerance, 0.5 * absolute)
        result = jax.tree.map(lambda whole, part, i=index: whole.at[..., i].set(part), result, finer)
        keep = np.flatnonzero(moved[: open_cells.size])
        before, open_cells = _select(finer[2], _padded(keep)), open_cells[keep]
    return *result, steps


def _padded(index: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """`index` with its last entry repeated up to a power of two, so that few sizes are compiled."""
    if index.size == 0:
        return index
    size = 1 << (index.size - 1).bit_length()
    return np.concatenate([index, np.full(size - index.size, index[-1])])


def _select(tree: _Any, index: npt.NDArray[np.int64]) -> _Any:
    chosen: _Any = jax.tree.map(lambda x: jnp.asarray(x)[..., index], tree)
    return chosen


def _moved(coarse: Fluxes, fine: Fluxes, tolerance: float, absolute: float) -> npt.NDArray[np.bool_]:
    """Whether any monthly flux of a cell differs by more than both limits, (cell,)."""
    beyond = np.zeros(coarse.npp.shape[-1], bool)
    for a, b in zip(coarse[:-1], fine[:-1], strict=True):
        off = np.abs(np.asarray(a) - np.asarray(b))
        beyond |= (off > np.maximum(tolerance * np.abs(np.asarray(b)), absolute)).any(axis=0)
    return beyond
