"""Every choice about the model and its posterior that is made before a run, in one hashable value.

Each field that has a "reference" side keeps a habit of the public CARDAMOM code reachable, so that its results can be
repeated and the effect of leaving the habit can be measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from talik.fusion.parameters import BoundsName, P, bounds_of

SURFACE_SHARES = {"0-1 m": 217 / 472, "0-3 m": 217 / 1035}
"""Share of soil carbon to a depth that lies in the upper 0.3 m of the northern region (Hugelius et al. 2014)."""
SURFACE_COMBUSTION = (0.001, 0.2)
"""Bounds of the combustion completeness of SOM where it is that of the upper 0.3 m alone."""


@dataclass(frozen=True, slots=True)
class Switches:
    """Static choices; `jax.jit(..., static_argnames="switches")` takes it.

    photosynthesis : ACM1 of Williams et al. (1997) or ACM2 of Smallman and Williams (2019) at field capacity.
    winter_stop : photosynthesis ends below a leaf temperature of -7 degC.
    stomata : ACM2 conductance as the exact root, or as the coarse search of the reference leaves it.
    phenology_day : day of year that a step stands for in phenology.
    cleared_burns : what burns after clearing (scenario 1), the cleared share or the whole pixel.
    fire : combustion completeness and resilience from the parameters, or fixed (Bloom et al. 2016).
    som_burnt, surface_share : combustion completeness of SOM applies to all of it, or to this share near the surface,
    with bounds of its own and no Gaussian.
    bounds : set of prior bounds.     ra_gpp : mean and sd of the Gaussian on Ra:GPP, or None.
    constraints : set of ecological constraints.     balance : inputs and outputs of a pool differ by a factor of 2
    at most.     steady, steady_tolerance : form and width of the constraint on how this ratio changes.
    nbe : error model of net biome exchange.     wood_error : sd of biomass through the allometry as if it were
    biomass, or by the delta method.
    """

    photosynthesis: Literal["acm1", "acm2"] = "acm1"
    winter_stop: bool = True
    stomata: Literal["exact", "reference"] = "exact"
    phenology_day: Literal["middle", "end"] = "middle"
    cleared_burns: Literal["share", "pixel"] = "share"
    fire: Literal["fitted", "fixed"] = "fitted"
    som_burnt: Literal["profile", "surface"] = "surface"
    surface_share: float = SURFACE_SHARES["0-1 m"]
    bounds: BoundsName = "c1"
    ra_gpp: tuple[float, float] | None = (0.54, 0.12)
    constraints: Literal["edinburgh", "jpl", "b15", "none"] = "edinburgh"
    balance: bool = True
    steady: Literal["difference", "absolute", "ratio2022", "none"] = "difference"
    steady_tolerance: float = 0.05
    nbe: Literal["reference", "plain", "two-scale"] = "two-scale"
    wood_error: Literal["biomass", "delta"] = "delta"


BEST = Switches()
"""What we hold to be right."""

REPRODUCE = Switches(
    winter_stop=False, som_burnt="profile", ra_gpp=(0.46, 0.12), steady="absolute", nbe="reference"
)
"""What the published budget column most likely did (Hugelius et al. 2024), wherever this differs in kind from `BEST`.

Plain errors of the reference (stomata, cleared_burns, phenology_day, wood_error) are off here too; each has its switch.
"""


def bounds(switches: Switches) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Smallest and largest value of each parameter (28,), (28,) under these choices."""
    low, high = bounds_of(switches.bounds)
    if switches.som_burnt == "surface":
        low[P.CC_SOM], high[P.CC_SOM] = SURFACE_COMBUSTION
    return low, high
