"""The 28 parameters of DALEC2 and their prior bounds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

BoundsName = Literal["c1", "acm2", "b15"]
"""Sets of bounds: Edinburgh with ACM1, Edinburgh with ACM2, and Bloom & Williams (2015)."""


class P(IntEnum):
    """Rows of a parameter array, in the order of the reference (its p1 is row 0)."""

    K_LS = 0
    F_A = 1
    F_F = 2
    F_R = 3
    L_F = 4
    K_W = 5
    K_R = 6
    K_L = 7
    K_S = 8
    THETA = 9
    C_EFF = 10
    D_ON = 11
    F_L = 12
    W_ON = 13
    D_OFF = 14
    W_OFF = 15
    LCMA = 16
    C_LAB = 17
    C_FOL = 18
    C_ROO = 19
    C_WOO = 20
    C_LIT = 21
    C_SOM = 22
    RHO = 23
    CC_FOL = 24
    CC_LIV = 25
    CC_SOM = 26
    CC_LIT = 27


N_PARAMETERS = len(P)
POOLS = ("labile", "foliage", "root", "wood", "litter", "som")
"""Pools in the order of a pool array."""
INITIAL = (P.C_LAB, P.C_FOL, P.C_ROO, P.C_WOO, P.C_LIT, P.C_SOM)
"""The parameter that is each pool at the start."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: name of files and tables, meaning, units, and bounds by set."""

    name: str
    meaning: str
    units: str
    c1: tuple[float, float]
    acm2: tuple[float, float] | None = None
    b15: tuple[float, float] | None = None

    def bounds(self, which: BoundsName) -> tuple[float, float]:
        """Smallest and largest value; sets that say nothing of a parameter take those of c1."""
        return {"c1": None, "acm2": self.acm2, "b15": self.b15}[which] or self.c1


PARAMETERS = (
    Parameter("k_litter_to_som", "litter to SOM at 0 degC", "d-1", (1e-5, 1e-2)),
    Parameter("ra_gpp", "autotrophic respiration as a share of GPP", "1", (0.2, 0.8), b15=(0.3, 0.7)),
    Parameter("npp_to_foliage", "share of NPP to foliage directly", "1", (0.01, 0.5), (0.1, 0.5)),
    Parameter("rest_to_root", "share of the remaining NPP to fine root", "1", (0.1, 0.8), b15=(0.01, 1.0)),
    Parameter("leaf_life", "life span of leaves", "yr", (1.001, 6.0), b15=(1.001, 8.0)),
    Parameter("k_wood", "wood turnover", "d-1", (9e-6, 1e-3), b15=(2.5e-5, 1e-3)),
    Parameter("k_root", "fine-root turnover", "d-1", (1.368925e-3, 0.02), b15=(1e-4, 0.01)),
    Parameter("k_litter", "litter respiration at 0 degC", "d-1", (1.141e-4, 0.02), b15=(1e-4, 0.01)),
    Parameter("k_som", "SOM respiration at 0 degC", "d-1", (1.368925e-6, 9.126169e-5), b15=(1e-7, 1e-3)),
    Parameter("temperature_exponent", "growth of decomposition with temperature", "K-1", (0.019, 0.08)),
    Parameter(
        "canopy_efficiency",
        "photosynthetic efficiency",
        "g m-2 d-1",
        (1.64, 42.0),
        (10.0, 100.0),
        (10.0, 100.0),
    ),
    Parameter("day_onset", "day of the peak of labile release", "d", (365.25, 1461.0)),
    Parameter("npp_to_labile", "share of NPP after foliage to labile", "1", (0.01, 0.5)),
    Parameter("onset_period", "length of labile release", "d", (10.0, 100.0)),
    Parameter("day_fall", "day of the peak of leaf fall", "d", (365.25, 1461.0)),
    Parameter("fall_period", "length of leaf fall", "d", (20.0, 150.0)),
    Parameter("lcma", "leaf carbon per leaf area", "g m-2", (20.0, 180.0), b15=(10.0, 200.0)),
    Parameter("labile_start", "labile carbon at the start", "g m-2", (1.0, 2000.0), b15=(20.0, 2000.0)),
    Parameter("foliage_start", "foliar carbon at the start", "g m-2", (1.0, 2000.0), b15=(20.0, 2000.0)),
    Parameter("root_start", "fine-root carbon at the start", "g m-2", (1.0, 2000.0), b15=(20.0, 2000.0)),
    Parameter("wood_start", "wood carbon at the start", "g m-2", (1.0, 30000.0), b15=(100.0, 1e5)),
    Parameter("litter_start", "litter carbon at the start", "g m-2", (1.0, 2000.0), b15=(20.0, 2000.0)),
    Parameter("som_start", "soil organic carbon at the start", "g m-2", (200.0, 250000.0), b15=(100.0, 2e5)),
    Parameter("fire_resilience", "resilience of unburnt living tissue", "1", (0.1, 1.0), (0.01, 0.99)),
    Parameter("combustion_foliage", "combustion completeness of foliage", "1", (0.01, 0.99)),
    Parameter("combustion_living", "combustion completeness of labile, root, wood", "1", (0.01, 0.99)),
    Parameter("combustion_som", "combustion completeness of SOM", "1", (0.001, 0.1), (0.01, 0.1)),
    Parameter("combustion_litter", "combustion completeness of litter", "1", (0.01, 0.99)),
)
"""Rows of a parameter array; `P` numbers them."""
SHAREABLE = tuple(PARAMETERS[p].name for p in P if p not in (*INITIAL, P.D_ON, P.D_OFF))
"""Parameters that pixels can have from one population: no stock of a place, and no day of a cycle."""


def bounds_of(which: BoundsName) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Smallest and largest value of each parameter (28,), (28,)."""
    low, high = zip(*(p.bounds(which) for p in PARAMETERS), strict=True)
    return np.array(low), np.array(high)
