"""What drives DALEC: monthly meteorology and disturbance of the pixels of a block, on one time axis."""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import numpy as np
from numpy.typing import NDArray

Array = jax.Array | NDArray[np.float64]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Drivers:
    """One value a step. Shapes (time, ...); batch axes of 1 are broadcast against those of the parameters.

    dt : days of the step.     doy_end : day of year of its last day.     tmin, tmax : degC, means of the daily
    extremes.     sw : MJ m-2 d-1.     co2 : ppm.     vpd : Pa.     wind : m s-1.     burned, loss : share of the pixel
    that burns, and that loses its forest, in the step (0-1).     latitude : (...), degrees north.
    `scenario` (1-5) is what is done with lost forest; `fires` and `losses` say whether there are any, so that a run
    without them does not pay for them. vpd and wind are used by ACM2 only.
    """

    dt: Array
    doy_end: Array
    tmin: Array
    tmax: Array
    sw: Array
    co2: Array
    vpd: Array
    wind: Array
    burned: Array
    loss: Array
    latitude: Array
    scenario: int = field(default=2, metadata={"static": True})
    fires: bool = field(default=True, metadata={"static": True})
    losses: bool = field(default=True, metadata={"static": True})

    @property
    def mean_temperature(self) -> Array:
        """Mean of tmin and tmax, degC (time, ...)."""
        return (self.tmin + self.tmax) / 2

    @property
    def mid_day(self) -> Array:
        """Day of year in the middle of each step (time, ...)."""
        return self.doy_end - self.dt / 2
