"""When leaves come and fall: two bell curves on the year, and daily rates as the mean of a step.

Bloom and Williams (2015), eqs. 5-9, with one fitted polynomial for the shift of the peak.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from talik.fusion.parameters import P

Array: TypeAlias = jax.Array | NDArray[np.float64]
Parameters: TypeAlias = Array | Mapping[P, jax.Array]
"""Parameters (28, ...), or some of them by name."""

YEAR = 365.25
"""Days of the phenological year."""
LABILE_LIFE = 1.001
"""Life span of labile carbon, years: all of it is released each season."""
_SCALE = YEAR / np.pi
_SHIFT = (
    2.3599784710e-5,
    3.32730053021e-4,
    9.01865258885e-4,
    -5.437736864888e-3,
    -2.0836027517787e-2,
    0.126972018064287,
    -0.188459767342504,
)
_MOST_DAYS = 31


def offset(life: Array | float, width: jax.Array) -> jax.Array:
    """Days by which a peak is moved so that its season lies around the given day.

    life : life span of the carbon, years, above 1.     width : width of the bell curve, days (see `width_of`).
    """
    x = jnp.log(jnp.asarray(life) - 1.0)
    total: jax.Array = jnp.zeros_like(x)
    for factor in _SHIFT:
        total = total * x + factor
    return width * total


def width_of(period: Array) -> jax.Array:
    """Width of the bell curve, days, of a release or fall that lasts `period` days."""
    return jnp.asarray(period) * math.sqrt(0.5)


class Season(NamedTuple):
    """Bell curve of a daily rate over the year, from the parameters alone (...).

    The rate is 2/sqrt(pi) m/w exp(-(S/w sin((day - peak)/S))^2). sin(a - b) is expanded, so that no sine of
    (time, ...) is computed: the days of a pixel have few sines.
    """

    along: jax.Array
    across: jax.Array
    height: jax.Array

    def rate(self, sine: Array, cosine: Array) -> jax.Array:
        """Share of the pool, d-1, on the day of these `sines`."""
        x = sine * self.along - cosine * self.across
        return self.height * jnp.exp(-x * x)


def sines(day: Array) -> tuple[jax.Array, jax.Array]:
    """Sine and cosine of days of year on the phenological circle."""
    return jnp.sin(day / _SCALE), jnp.cos(day / _SCALE)


def onset(theta: Parameters) -> Season:
    """Release of labile carbon to leaves, from parameters (28, ...)."""
    width = width_of(theta[P.W_ON])
    magnitude = jnp.log(LABILE_LIFE) - jnp.log(LABILE_LIFE - 1.0)
    return _season(theta[P.D_ON] - offset(LABILE_LIFE, width), width, magnitude / 2.0)


def fall(theta: Parameters) -> Season:
    """Fall of leaves, from parameters (28, ...)."""
    width, life = width_of(theta[P.W_OFF]), jnp.asarray(theta[P.L_F])
    magnitude = jnp.log(life) - jnp.log(life - 1.0)
    return _season(theta[P.D_OFF] - offset(life, width), width, magnitude / 2.0)


def _season(peak: jax.Array, width: jax.Array, magnitude: jax.Array) -> Season:
    sharp, (sine, cosine) = _SCALE / width, sines(peak)
    return Season(sharp * cosine, sharp * sine, 2.0 / np.sqrt(np.pi) * magnitude / width)


class Length(NamedTuple):
    """Length of steps, days, and its binary digits, as `step_share` wants them."""

    days: jax.Array
    digits: tuple[jax.Array, ...]


def length_of(dt: Array) -> Length:
    """Whole days, 1 to 31, else the digits are NaN."""
    valid = (dt == jnp.floor(dt)) & (dt >= 1) & (dt <= _MOST_DAYS)
    digits = (jnp.where(valid, jnp.floor(dt / 2**i) % 2, jnp.nan) for i in range(_MOST_DAYS.bit_length()))
    return Length(jnp.asarray(dt), tuple(digits))


@jax.custom_jvp
def step_share(rate: jax.Array, length: Length) -> jax.Array:
    """Share of a pool that a daily rate takes in a step of n days: 1 - (1 - rate)^n.

    Shares of days are joined pairwise (a + b - a b): no logarithm, and no digits are lost where rates are small.
    """
    total = length.digits[0] * rate
    for digit in length.digits[1:]:
        rate = rate * (2.0 - rate)
        part = digit * rate
        total = total + part * (1.0 - total)
    return total


def _slope(
    primals: tuple[jax.Array, Length], tangents: tuple[jax.Array, Length]
) -> tuple[jax.Array, jax.Array]:
    """Slope with the rate, n (1 - rate)^(n - 1); steps are whole days, so none with their length."""
    (rate, length), (moved, _) = primals, tangents
    share = step_share(rate, length)
    return share, length.days * (1.0 - share) / jnp.maximum(1.0 - rate, 1e-300) * moved


step_share.defjvp(_slope)
