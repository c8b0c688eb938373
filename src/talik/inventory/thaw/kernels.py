"""Areas of states with rates that are linear in time, and the time integral of areas, for many draws at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

REACH = 0.5
"""Largest length of a step times twice the largest rate at which a state is left."""
REMAINDER = 1e-16
"""Largest share of the area that a step leaves out with the rest of its series."""


class Network(NamedTuple):
    """Transitions, each (transition,): the state that area leaves and the state that it enters."""

    origin: Index
    target: Index


class Plan(NamedTuple):
    """The longest step in years, and the highest power of time in its series."""

    step: float
    order: int


def plan(network: Network, rate: Array, growth: Array, years: float, interval: float) -> Plan:
    """Steps and order with which rounding is the only error.

    rate, growth : (transition, draw), yr-1 and yr-2.     years : for how long the rates grow.     interval : the
    longest time between two dates that are asked for. With `reach` the length of a step times twice the largest rate
    at which a state is left (and no less than for its growth), the rest of the series is about
    reach**(order + 1) / (order + 1)!.
    """
    fastest = 2.0 * _leaving(network, np.maximum(rate, rate + growth * years))
    fastest = max(fastest, 2.0 * math.sqrt(2.0 * _leaving(network, np.abs(growth))))
    step = min(interval, REACH / fastest) if fastest > 0.0 else interval
    reach, order = fastest * step, 2
    rest = reach**3 / 6.0
    while rest > REMAINDER:
        order += 1
        rest *= reach / (order + 1)
    return Plan(step, order)


def _leaving(network: Network, rate: Array) -> float:
    """Largest sum of the rates that leave one state."""
    leaving = np.zeros((int(max(network.origin, default=0)) + 1, rate.shape[1]))
    np.add.at(leaving, network.origin, rate)
    return float(leaving.max(initial=0.0))


def advance(
    area: Array, network: Network, rate: Array, growth: Array, times: Sequence[float], by: Plan
) -> tuple[Array, Array]:
    """Areas (time, state, draw) at `times`, and their integrals between those (time - 1, state, draw).

    area : (state, draw), km2, at the first of `times` (years, ascending).     rate, growth : (transition, draw), yr-1
    and yr-2; the rate at time t is rate + growth t.     Integrals: km2 yr.

    With rates linear in time the solution is an entire function of it, so every step sums its power series about the
    start of the step: (k + 1) x[k+1] = A(t) x[k] + A' x[k-1]. What leaves a state is subtracted there and added
    elsewhere as the same number, so area is conserved to rounding.
    """
    areas = np.empty((len(times), *area.shape))
    integrals = np.zeros((len(times) - 1, *area.shape))
    areas[0] = area
    for number in range(len(times) - 1):
        begin, length = times[number], times[number + 1] - times[number]
        steps = max(1, math.ceil(length / by.step - 1e-9))
        h = length / steps
        x = areas[number]
        for step in range(steps):
            x, integral = _step(x, network, rate + growth * (begin + step * h), growth, h, by.order)
            integrals[number] += integral
        areas[number + 1] = x
    return areas, integrals


def _step(
    area: Array, network: Network, rate: Array, growth: Array, h: float, order: int
) -> tuple[Array, Array]:
    """Area after `h` years and its integral over them; `rate` is that at the start."""
    pairs = list(zip(network.origin.tolist(), network.target.tolist(), strict=True))
    end, integral = area.copy(), area.copy()
    before, term = np.zeros_like(area), area
    for k in range(order):  # term = x[k] h**k
        flow = rate * term[network.origin] + h * growth * before[network.origin]
        flow *= h / (k + 1)
        change = np.zeros_like(area)
        for number, (origin, target) in enumerate(pairs):
            change[origin] -= flow[number]
            change[target] += flow[number]
        before, term = term, change
        end += term
        integral += term / (k + 2)
    integral *= h
    return end, integral
