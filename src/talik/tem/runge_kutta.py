"""A month in equal steps: the classical Runge-Kutta method of order 4 for pools and flows together."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from talik.tem.communities import Parameters
from talik.tem.pools import Pools, Settings
from talik.tem.rates import Month, Rates, Year, rates, tendencies
from talik.tem.water import Site

Array = jax.Array
_Tree = TypeVar("_Tree")


def runge_kutta(
    pools: Pools, month: Month, parameters: Parameters, site: Site, year: Year, settings: Settings
) -> tuple[Pools, Rates]:
    """Pools after a month and its total flows: `settings.substeps` steps of the classical method of order 4.

    The flows are summed with the weights of the pools, so that pools and flows close.
    """
    step = 1.0 / settings.substeps
    kind = pools.C_V.dtype
    reach = jnp.asarray([0.5 * step, 0.5 * step, step, 0.0], kind)
    weight = jnp.asarray([step / 6.0, step / 3.0, step / 3.0, step / 6.0], kind)
    nothing = Rates(*(jnp.zeros_like(pools.C_V) for _ in Rates._fields))

    def stage(carry: _Stage, now: tuple[Array, Array]) -> tuple[_Stage, None]:
        to, share = now
        flow = rates(carry.at, month, parameters, site, year)
        change = tendencies(flow, carry.at, month)
        return carry._replace(
            at=_along(carry.start, change, to),
            after=_along(carry.after, change, share),
            total=_along(carry.total, flow, share),
        ), None

    def advance(_: int, carry: tuple[Pools, Rates]) -> tuple[Pools, Rates]:
        start, total = carry
        end, _none = jax.lax.scan(stage, _Stage(start, start, start, total), (reach, weight))
        return end.after, end.total

    after, total = jax.lax.fori_loop(0, settings.substeps, advance, (pools, nothing))
    return after, total


class _Stage(NamedTuple):
    """Inside a step: the pools at its start, at the stage, and with the weighted changes so far; flows so far."""

    start: Pools
    at: Pools
    after: Pools
    total: Rates


def _along(start: _Tree, change: _Tree, step: Array) -> _Tree:
    moved: _Tree = jax.tree.map(lambda x, d: x + step * d, start, change)
    return moved
