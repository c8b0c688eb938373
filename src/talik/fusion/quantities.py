"""Drivers and observations by name: their units inside the package, and what no value of theirs can be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Kind = Literal["month", "map"]


@dataclass(frozen=True, slots=True)
class Quantity:
    """A driver or a stream of observations.

    `low` and `high` bound single values in `units`. `largest` bounds the largest value of a pixel's record from below:
    a record that stays under it is in other units. `hint` says which, to the reader of a message.
    """

    name: str
    meaning: str
    units: str
    low: float
    high: float
    largest: float | None = None
    hint: str = ""
    carbon: bool = False
    """Whether it counts a mass of carbon, so that its units may count CO2 or moles instead."""
    positive: Literal["up", "down"] | None = None
    kind: Kind = "month"
    """A value a month, or one for the pixel."""


_DRIVERS = (
    Quantity("tmin", "mean daily minimum of air temperature", "degC", -80, 50, hint="K is 273 more"),
    Quantity("tmax", "mean daily maximum of air temperature", "degC", -80, 50, hint="K is 273 more"),
    # 45 is more than the top of the atmosphere receives in any month; no place stays below 9 in its best month
    Quantity(
        "sw",
        "shortwave radiation",
        "MJ m-2 d-1",
        0,
        45,
        9,
        "1 W m-2 is 0.0864, 1 kWh m-2 d-1 is 3.6 MJ m-2 d-1",
    ),
    Quantity("co2", "mole fraction of CO2", "ppm", 150, 3000, hint="1 mol mol-1 is 1e6 ppm"),
    # monthly means of towers north of 45 N reach 150 to 2600 Pa in their driest month
    Quantity("vpd", "vapour pressure deficit", "Pa", 0, 10000, 80, "1 hPa is 100, 1 kPa is 1000 Pa"),
    Quantity("wind", "wind speed", "m s-1", 0, 40),
    Quantity("burned", "burned share of the pixel in the month", "1", 0, 1, hint="1 % is 0.01"),
    Quantity("loss", "share of the pixel that lost its forest in the month", "1", 0, 1, hint="1 % is 0.01"),
)
_STREAMS = (
    Quantity("lai", "leaf area index", "1", 0, 15),
    Quantity("wood", "carbon in wood, above and below ground", "g m-2", 0, 1e5, carbon=True),
    Quantity("agb", "biomass above ground, dry", "Mg ha-1", 0, 1000),
    Quantity("biomass", "carbon in living plants, above and below ground", "g m-2", 0, 1e5, carbon=True),
    Quantity("nbe", "net biome exchange", "g m-2 d-1", -60, 60, carbon=True, positive="up"),
    Quantity("nee", "net ecosystem exchange", "g m-2 d-1", -60, 60, carbon=True, positive="up"),
    Quantity("gpp", "gross primary production", "g m-2 d-1", -5, 60, carbon=True, positive="down"),
    Quantity("soc", "soil organic carbon", "g m-2", 0, 1e6, carbon=True, kind="map"),
    Quantity("lcma", "leaf carbon per leaf area", "g m-2", 1, 1000, carbon=True, kind="map"),
)
DRIVERS: Mapping[str, Quantity] = MappingProxyType({q.name: q for q in _DRIVERS})
"""Drivers of DALEC."""
STREAMS: Mapping[str, Quantity] = MappingProxyType({q.name: q for q in _STREAMS})
"""Observations that can be assimilated."""
STOCKS = ("wood", "agb", "biomass")
"""Streams that come as a map, of one year."""
DISTURBANCE = ("burned", "loss")
"""Drivers that a run may do without, if it is said."""
ACM2_ONLY = ("vpd", "wind")
"""Drivers that only the photosynthesis of ACM2 uses."""
