"""What a search asks of a model, and a model with derivatives by finite differences, as PEST takes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from talik.errors import ConfigError

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


class Model(Protocol):
    """Residuals (observation - model) / sigma of many points at once; pure, and a point knows nothing of its batch.

    Points that a search no longer moves are passed along unchanged, so that the batch keeps its size; what comes back
    for them is ignored. A point at which the model cannot run has residuals that are not finite; it is no exception.
    """

    def residuals(self, x: Array) -> Array:
        """(start, m) residuals at the points x (start, n)."""

    def with_jacobian(self, x: Array) -> tuple[Array, Array]:
        """(start, m) residuals and (start, m, n) their derivatives with respect to x, at the points x (start, n)."""


@dataclass(frozen=True, slots=True, eq=False)
class FiniteDifferences:
    """A `Model` made of a residual function only; see `finite_differences`."""

    residuals_of: Callable[[Array], Array]
    low: Array
    """(n,) lower limits, in coordinates."""
    high: Array
    logarithmic: Flags
    """(n,) whether the coordinate is the logarithm of a parameter."""
    increment: float
    """Share of the parameter by which it is moved."""
    floor: Array
    """(n,) least increment of a coordinate."""

    def residuals(self, x: Array) -> Array:
        """(start, m) residuals at the points x (start, n): one run for each."""
        return np.asarray(self.residuals_of(x), dtype=float)

    def with_jacobian(self, x: Array) -> tuple[Array, Array]:
        """(start, m) residuals and (start, m, n) forward differences: 1 + n runs for each point."""
        found = self.residuals(x)
        return found, self.jacobian(x, found, np.zeros(len(x), bool))

    def jacobian(self, x: Array, residuals: Array, central: Flags) -> Array:
        """(start, m, n) derivatives at points x (start, n) whose `residuals` (start, m) are known.

        central : (start,) False for two points (n runs), True for the parabola through three (2 n runs). The points
        lie on both sides of x, or all on the inner side of a limit that is nearer than the increment.
        One call of the residual function moves every coordinate of every start; a second one is made if a start is
        central. Both have the batch (start * n, n), whatever the starts ask.
        """
        step = self._steps(x)
        outside = x + step > self.high
        inward = np.where(outside, -step, step)
        slope, first = self._slopes(x, residuals, inward)
        if central.any():
            beyond = np.where(outside | (x - step < self.low), 2.0 * inward, -inward)
            other, second = self._slopes(x, residuals, beyond)
            with np.errstate(all="ignore"):
                parabola = (slope * second - other * first) / (second - first)
            slope = np.where(central[:, None, None], parabola, slope)
        return slope

    def _steps(self, x: Array) -> Array:
        """(start, n) increments of the coordinates, > 0; at most a quarter of the range: two fit on one side."""
        relative = np.where(self.logarithmic, np.log1p(self.increment), self.increment * np.abs(x))
        return np.minimum(np.maximum(relative, self.floor), 0.25 * (self.high - self.low))

    def _slopes(self, x: Array, residuals: Array, step: Array) -> tuple[Array, Array]:
        """(start, m, n) slopes from x to x + step, and (start, 1, n) the steps as rounding left them."""
        starts, n = x.shape
        points = np.repeat(x[:, None, :], n, axis=1)
        index = np.arange(n)
        points[:, index, index] = np.clip(x + step, self.low, self.high)
        taken = (points[:, index, index] - x)[:, None, :]
        moved = self.residuals(points.reshape(starts * n, n)).reshape(starts, n, -1)
        with np.errstate(all="ignore"):  # a run that fails leaves a slope that is not finite, and no warning
            return (np.swapaxes(moved, 1, 2) - residuals[:, :, None]) / taken, taken


def finite_differences(
    residuals: Callable[[Array], Array],
    low: Array,
    high: Array,
    logarithmic: Flags,
    increment: float = 0.01,
    floor: Array | None = None,
) -> FiniteDifferences:
    """A `Model` whose Jacobian comes from runs with one parameter moved at a time, as in PEST.

    residuals : (points, n) -> (points, m).   low, high : (n,) limits, in coordinates.
    logarithmic : (n,) whether the coordinate is the logarithm of a parameter.
    increment : share of the parameter by which it is moved (0.01: 1 %), also on a logarithmic scale.
    floor : (n,) least increment, in coordinates; without it a thousandth of the range between the limits.
    A search begins with forward differences and changes to central ones where it no longer gains much.

    Raises:
        ConfigError: limits are crossed or not finite, or an increment is not above 0.
    Source: Doherty (2015), derivatives by finite differences in PEST.
    """
    low, high, logarithmic = checked_limits(low, high, logarithmic)
    least = 1e-3 * (high - low) if floor is None else np.broadcast_to(np.asarray(floor, float), low.shape)
    if not (increment > 0 and np.isfinite(increment)) or not (np.isfinite(least) & (least > 0)).all():
        raise ConfigError(
            f"increments of finite differences: found increment {increment:g} and floor {least.tolist()}; "
            "expected numbers above 0. Use 0.01 and about a thousandth of each range."
        )
    return FiniteDifferences(residuals, low, high, logarithmic, increment, least)


def checked_limits(low: Array, high: Array, logarithmic: Flags) -> tuple[Array, Array, Flags]:
    """The same three as float and bool arrays of one shape (n,).

    Raises:
        ConfigError: shapes differ, a limit is not finite, or a lower limit is not below the upper one.
    """
    low, high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    logarithmic = np.asarray(logarithmic, dtype=bool)
    if low.ndim != 1 or low.size == 0 or low.shape != high.shape or low.shape != logarithmic.shape:
        raise ConfigError(
            f"limits of the parameters: low has shape {low.shape}, high {high.shape}, logarithmic "
            f"{logarithmic.shape}; expected three times (n,) with n parameters, at least one."
        )
    wrong = np.flatnonzero(~(np.isfinite(low) & np.isfinite(high) & (low < high)))
    if wrong.size:
        i = int(wrong[0])
        raise ConfigError(
            f"limits of the parameters: coordinate {i} has low {low[i]:g} and high {high[i]:g}; expected finite "
            "limits with low < high. Leave a parameter that shall not move out of the search."
        )
    return low, high, logarithmic
