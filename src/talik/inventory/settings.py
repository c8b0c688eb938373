"""The `inventory` section of a project file."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Field, model_validator

from talik.config import Frozen
from talik.inventory.added import Added
from talik.inventory.areas import DOMAIN_MKM2, WETLAND_LIMITS
from talik.inventory.classes import LAND, Rockland
from talik.inventory.season import CH4_SEASONS, N2O_SEASONS, ClassSeason
from talik.inventory.settings_base import Gas, period_years
from talik.posts.published import PERIOD, REGION

GASES: tuple[Gas, ...] = ("CO2", "CH4", "N2O")


class GrowingSeason(Frozen):
    """Growing-season means of CH4 at sites."""

    growing_season: str
    """A table of BAWLD-CH4."""
    pooling: Literal["rows", "area"] = "rows"
    """Marsh, bog and fen in one pool, or each with its area (needs a cover grid)."""


class Months(Frozen):
    """Monthly CO2 or CH4 at sites."""

    months: str
    """A site table (ABCflux, FLUXNET, or talik's own schema with `vegetation`)."""
    years: tuple[int, int] | None = None
    """First and last year that count; those of the inventory's period if not given."""
    south: Annotated[float, Field(ge=-90, le=90)] = 55.0
    """Sites south of this latitude are left out: most of them lie outside the permafrost region."""
    permafrost: bool = False
    """Only sites that report permafrost."""
    fewest_sites: Annotated[int, Field(ge=2)] = 5
    """A class with fewer sites is left to the next source: a bootstrap of so few is far too narrow."""
    whole_years: bool = False
    """Only sites that hold all twelve months; a year is then the mean of theirs."""

    @model_validator(mode="after")
    def _years(self) -> Months:
        if self.years is not None and self.years[0] > self.years[1]:
            raise ValueError(f"years {self.years[0]}, {self.years[1]}: the last is before the first")
        return self


class Annual(Frozen):
    """Annual CH4 at sites."""

    annual: str
    """A table of BAWLD-CH4."""


class Table(Frozen):
    """Densities as they are."""

    table: str
    """A CSV file with class, gas, season, mean, low, high, units, source."""


class Fluxes(Frozen):
    """A flux dataset whose places have `land_cover` and `cell_area`."""

    fluxes: str


Source = GrowingSeason | Annual | Months | Table | Fluxes | Literal["published", "printed growing season"]
"""Where densities come from: `published` is printed total over printed area of Hugelius et al. (2024), `printed growing
season` are means of uplands by Kuhn et al."""
Sources = Annotated[tuple[Source, ...], Field(min_length=1)]
PUBLISHED: Mapping[Gas, Sources] = dict.fromkeys(GASES, ("published",))


class Areas(Frozen):
    """Areas of classes; as published if neither is given."""

    cover: str | None = None
    """A BAWLD cover grid."""
    classes: dict[str, tuple[float, float, float]] | None = None
    """Mean, lower and upper limit of each class, million km2."""
    rockland: Rockland = "exclude"
    wetland_limits: tuple[float, float] = WETLAND_LIMITS
    """Relative limits of published wetland areas, which are printed without any."""

    @model_validator(mode="after")
    def _one(self) -> Areas:
        if self.cover is not None and self.classes is not None:
            raise ValueError("give cover or classes, not both")
        return self


class InventorySettings(Frozen):
    """The land-cover inventory and what is added to it."""

    region: Annotated[str, Field(min_length=1)] = REGION
    period: Annotated[str, Field(pattern=r"^\d{4}-\d{4}$")] = PERIOD
    area_mkm2: Annotated[float, Field(gt=0)] = DOMAIN_MKM2
    """Of the domain, million km2; classes must fit into it."""
    areas: Areas = Areas()
    densities: Mapping[Gas, Sources] = Field(default_factory=lambda: dict(PUBLISHED), min_length=1)
    """For each gas, sources in order: a class is taken from the first that has it."""
    beside: Mapping[Gas, Mapping[str, Sources]] = Field(default_factory=dict)
    """Other estimates by name, shown beside; they enter no post."""
    seasons: Mapping[Gas, Mapping[str, ClassSeason]] = Field(default_factory=dict)
    """Growing seasons of classes that replace the built-in ones (CH4 and N2O)."""
    check_gas_mass: bool = True
    """Refuse densities that are the published ones times mass of the gas over mass of its element, in all classes."""
    added: Added = Added()
    """Waters, fire, abrupt thaw, seeps, coasts, human emissions."""
    draws: Annotated[int, Field(ge=1000, le=1_000_000)] = 10_000
    """Bootstrap draws of sites and of areas."""

    @model_validator(mode="after")
    def _whole(self) -> InventorySettings:
        first, last = period_years(self.period)
        if first > last:
            raise ValueError(f"period {self.period} ends before it begins")
        if self.region != REGION:
            if self.areas.cover is None and self.areas.classes is None:
                raise ValueError(
                    f"the published areas are those of the {REGION}; give areas of {self.region}"
                )
            if self.added.thaw is not None and self.added.thaw.terrains is None:
                raise ValueError(
                    f"the published terrains of abrupt thaw are not those of {self.region}; give terrains"
                )
        return self

    @model_validator(mode="after")
    def _known_classes(self) -> InventorySettings:
        for gas, of in self.seasons.items():
            if bad := [name for name in of if name not in LAND]:
                raise ValueError(f"seasons.{gas}: class {bad[0]!r} is unknown; choose from {', '.join(LAND)}")
        return self

    def seasons_of(self, gas: Gas) -> Mapping[str, ClassSeason]:
        """Growing season of each class for a gas; empty for CO2 unless given."""
        built_in: Mapping[Gas, Mapping[str, ClassSeason]] = {"CH4": CH4_SEASONS, "N2O": N2O_SEASONS}
        return MappingProxyType({**built_in.get(gas, {}), **self.seasons.get(gas, {})})
