"""Kinds of fire and what each emits per dry matter burned, as in GFED4.1s (van der Werf et al. 2017)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from talik.errors import ConfigError

FIRE_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "SAVA": "Savanna, grassland, and shrubland fires",
        "BORF": "Boreal forest fires",
        "TEMF": "Temperate forest fires",
        "DEFO": "Tropical deforestation & degradation",
        "PEAT": "Peat fires",
        "AGRI": "Agricultural waste burning",
    }
)
"""The kinds of fire by code, with their names in the regional tables."""
REGIONS: tuple[str, ...] = (
    *("BONA", "TENA", "CEAM", "NHSA", "SHSA", "EURO", "MIDE"),
    *("NHAF", "SHAF", "BOAS", "TEAS", "SEAS", "EQAS", "AUST"),
)
"""The regions of GFED in the order of their codes 1..14 on the grid; 0 is sea."""
FIRST_BETA_YEAR = 2017
"""From this year on GFED4.1s is preliminary: emissions follow active fires, and there is no burned area."""

_G_PER_KG: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "CO2": (1686.0, 1489.0, 1647.0, 1643.0, 1703.0, 1585.0),
        "CO": (63.0, 127.0, 88.0, 93.0, 210.0, 102.0),
        "CH4": (1.94, 5.96, 3.36, 5.07, 20.8, 5.82),
        "N2O": (0.20, 0.41, 0.16, 0.20, 0.20, 0.10),
        "C": (488.273, 464.989, 489.416, 491.751, 570.055, 480.352),
    }
)


def _published() -> Mapping[str, Mapping[str, float]]:
    return {s: dict(zip(FIRE_TYPES, values, strict=True)) for s, values in _G_PER_KG.items()}


@dataclass(frozen=True)
class EmissionFactors:
    """Emission of a species per dry matter burned, g kg-1, by species and kind of fire.

    Gases are masses of the gas (CH4, not its carbon); C is all carbon that is emitted. The default is the table of
    GFED4.1s (van der Werf et al. 2017, Earth Syst. Sci. Data 9, 697-720, after Akagi et al. 2011).

    ConfigError for a kind of fire that is missing or unknown, or a factor outside 0..4000 g kg-1.
    """

    g_per_kg: Mapping[str, Mapping[str, float]] = field(default_factory=_published)

    def __post_init__(self) -> None:
        for species, factors in self.g_per_kg.items():
            if set(factors) != set(FIRE_TYPES):
                raise ConfigError(
                    f"emission factors of {species} are for {', '.join(factors) or 'nothing'}; expected "
                    f"{', '.join(FIRE_TYPES)}."
                )
            wrong = {k: v for k, v in factors.items() if not 0.0 <= v <= 4000.0}
            if wrong:
                raise ConfigError(f"emission factors of {species}: {wrong}; expected 0..4000 g kg-1.")
        frozen = {s: MappingProxyType(dict(f)) for s, f in self.g_per_kg.items()}
        object.__setattr__(self, "g_per_kg", MappingProxyType(frozen))

    def of(self, species: str) -> Mapping[str, float]:
        """Factors of a species by kind of fire, g kg-1; ConfigError if there are none."""
        if species not in self.g_per_kg:
            raise ConfigError(f"no emission factors of {species}; known are {', '.join(self.g_per_kg)}.")
        return self.g_per_kg[species]

    def with_factors(self, species: str, **changes: float) -> EmissionFactors:
        """The same with some factors of a species changed: ``with_factors("CH4", BORF=6.0)``."""
        return EmissionFactors({**self.g_per_kg, species: {**self.of(species), **changes}})
