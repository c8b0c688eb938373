"""Control of the integration error: the adaptive Runge-Kutta-Fehlberg 4(5) of TEM, and doubling of fixed steps."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from talik.tem.biogeochemistry import one_year, year_with
from talik.tem.communities import Parameters
from talik.tem.pools import Drivers, Fluxes, Memory, Pools, Settings, by_month
from talik.tem.rates import Month, Rates, Year, rates, tendencies
from talik.tem.water import Site

Array = jax.Array
_Tree = TypeVar("_Tree", Pools, Rates)
_Any = TypeVar("_Any")
_Result = tuple[Pools, Memory, Fluxes]

GRID = 2**20
"""Smallest steps in a month."""

PATIENCE = 100
"""Steps of the smallest size, taken although they miss the tolerance, after which a month is given up."""

_STAGES = np.array(
    [
        [0, 0, 0, 0, 0, 0],
        [1 / 4, 0, 0, 0, 0, 0],
        [3 / 32, 9 / 32, 0, 0, 0, 0],
        [1932 / 2197, -7200 / 2197, 7296 / 2197, 0, 0, 0],
        [439 / 216, -8, 3680 / 513, -845 / 4104, 0, 0],
        [-8 / 27, 2, -3544 / 2565, 1859 / 4104, -11 / 40, 0],
    ]
)
_FOURTH = np.array([25 / 216, 0, 1408 / 2565, 2197 / 4104, -1 / 5, 0])
_FIFTH = np.array([16 / 135, 0, 6656 / 12825, 28561 / 56430, -9 / 50, 2 / 55])


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
    kind = pools.C_V.dtype
    some = jnp.zeros(pools.C_V.shape, jnp.int32)
    nothing = Rates(*(jnp.zeros_like(pools.C_V) for _ in Rates._fields))
    start = _Walk(pools, nothing, some, some + GRID, some)

    def going(walk: _Walk) -> Array:
        return (walk.position < GRID) & (walk.misses <= PATIENCE)

    def advance(walk: _Walk) -> _Walk:
        size = (walk.step / GRID).astype(kind)

        def stage(changes: Pools, now: tuple[Array, Array]) -> tuple[Pools, Rates]:
            weights, number = now
            at = _combine(walk.pools, changes, weights, size)
            flow = rates(at, month, parameters, site, year)
            change = tendencies(flow, at, month)
            changes = jax.tree.map(lambda held, new: held.at[number].set(new), changes, change)
            return changes, flow

        none_yet = jax.tree.map(lambda x: jnp.zeros((len(_STAGES), *x.shape), kind), pools)
        numbers = jnp.arange(len(_STAGES))
        changes, flows = jax.lax.scan(stage, none_yet, (jnp.asarray(_STAGES, kind), numbers))
        fourth, fifth = (
            (_combine(walk.pools, changes, weights, size), _combine(walk.total, flows, weights, size))
            for weights in (jnp.asarray(_FOURTH, kind), jnp.asarray(_FIFTH, kind))
        )
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


def _combine(start: _Tree, slopes: _Tree, weights: Array, size: Array) -> _Tree:
    """start + size * sum of weights * slopes, which have the stages first."""
    moved: _Tree = jax.tree.map(lambda x, d: x + size * jnp.tensordot(weights, d, 1), start, slopes)
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
    steps = np.full(cells, settings.substeps)
    result: _Result = one_year(pools, memory, drivers, site, parameters, settings)
    wide, open_cells = Drivers(*by_month(drivers)), np.arange(cells)
    before = _select(result[2], _padded(open_cells))
    while open_cells.size and steps.max() < most:
        count = 2 * int(steps.max())
        index = _padded(open_cells)
        few = _select((pools, memory, wide, site, parameters), index)
        finer: _Result = one_year(*few, replace(settings, substeps=count))
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
    for a, b in zip(coarse[:-2], fine[:-2], strict=True):
        off = np.abs(np.asarray(a) - np.asarray(b))
        beyond |= (off > np.maximum(tolerance * np.abs(np.asarray(b)), absolute)).any(axis=0)
    return beyond
