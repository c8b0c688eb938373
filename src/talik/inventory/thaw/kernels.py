"""Areas of states with rates that are linear in time, and the time integral of areas, for many draws at once."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

REACH = 0.5
"""Largest length of a step times twice the largest share of a state that leaves it in a year."""
REMAINDER = 1e-16
"""Largest share of the area that a step leaves out with the rest of its series."""


class Network(NamedTuple):
    """Transitions, each (transition,): the state that area leaves and the state that it enters."""

    origin: Index
    target: Index


class Plan(NamedTuple):
    """Steps a year, and the highest power of time in the series of a step."""

    steps: int
    order: int


def plan(network: Network, rate: Array, growth: Array, years: float) -> Plan:
    """Steps and order with which rounding is the only error, for rates (transition, draw) over `years`.

    With `reach` the length of a step times twice the largest rate at which a state is left (and no less than for its
    growth), the rest of the series is about reach**(order + 1) / (order + 1)!.
    """
    fastest = 2.0 * _leaving(network, np.maximum(rate, rate + growth * years))
    fastest = max(fastest, 2.0 * math.sqrt(2.0 * _leaving(network, np.abs(growth))))
    steps = max(1, math.ceil(fastest / REACH))
    reach, order = fastest / steps, 2
    rest = reach**3 / 6.0
    while rest > REMAINDER:
        order += 1
        rest *= reach / (order + 1)
    return Plan(steps, order)


def _leaving(network: Network, rate: Array) -> float:
    """Largest sum of the rates that leave one state."""
    leaving = np.zeros((int(max(network.origin, default=0)) + 1, rate.shape[1]))
    np.add.at(leaving, network.origin, rate)
    return float(leaving.max(initial=0.0))


def advance(
    area: Array, network: Network, rate: Array, growth: Array, years: int, by: Plan
) -> tuple[Array, Array]:
    """Areas (year + 1, state, draw) at the ends of whole years, the first given, and their integrals over each year.

    area : (state, draw), km2, at time 0.     rate, growth : (transition, draw), yr-1 and yr-2; the rate at time t (yr)
    is rate + growth t.     Integrals: (year, state, draw), km2 yr.

    With rates linear in time the solution is an entire function of it, so every step sums its power series about the
    start of the step: (k + 1) x[k+1] = A(t) x[k] + A' x[k-1]. What leaves a state is subtracted there and added
    elsewhere as the same number, so area is conserved to rounding.
    """
    h = 1.0 / by.steps
    areas = np.empty((years + 1, *area.shape))
    integrals = np.zeros((years, *area.shape))
    areas[0] = area
    pairs = list(zip(network.origin.tolist(), network.target.tolist(), strict=True))
    growing = h * growth if np.any(growth) else None
    for year in range(years):
        x = areas[year]
        for step in range(by.steps):
            now = rate + growth * (year + step * h)
            before, term = None, x
            total, integral = x.copy(), x.copy()
            for k in range(by.order):
                flow = now * term[network.origin]
                if before is not None and growing is not None:
                    flow += growing * before[network.origin]
                flow *= h / (k + 1)
                change = np.zeros_like(x)
                for number, (origin, target) in enumerate(pairs):
                    change[origin] -= flow[number]
                    change[target] += flow[number]
                before, term = term, change
                total += term
                integral += term / (k + 2)
            x = total
            integrals[year] += h * integral
        areas[year + 1] = x
    return areas, integrals
