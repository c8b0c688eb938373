"""Land cover of BAWLD (Olefeldt et al. 2021) and the classes of the inventory that its 19 classes make up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from talik.errors import ConfigError
from talik.sources import bawld_classes
from talik.sources.bawld_classes import CLASSES, CoverClass

Rockland = Literal["exclude", "dry_tundra"]


@dataclass(frozen=True, slots=True)
class Cover(CoverClass):
    """A class of BAWLD and the inventory class it belongs to."""

    inventory: str | None


WATER = "inland_waters"
PARENTS = bawld_classes.PARENTS
"""Columns that are sums of others: never add a parent and its parts."""
LAKES, RIVERS, WETLANDS = PARENTS["LAK"], PARENTS["RIV"], PARENTS["WET"]
_INVENTORY = {
    "TUN": "dry_tundra",
    "BOR": "boreal_forest",
    "PEB": "permafrost_bog",
    "WTU": "tundra_wetland",
    **dict.fromkeys(("MAR", "BOG", "FEN"), "permafrost_free_wetland"),
    **dict.fromkeys((*LAKES, *RIVERS), WATER),
}
COVER: Mapping[str, Cover] = MappingProxyType(
    {c.code: Cover(c.code, c.name, c.parent, _INVENTORY.get(c.code)) for c in CLASSES.values()}
)
"""The 19 classes by code. Large lakes are above 10 km2, small ones below 0.1 km2."""


@dataclass(frozen=True, slots=True)
class LandClass:
    """A land-cover class of the inventory; `group` is the printed sum it belongs to."""

    id: str
    name: str
    group: Literal["uplands", "wetlands"]

    @property
    def post(self) -> str:
        """Id of its budget posts."""
        return f"inventory.{self.id}"


LAND: Mapping[str, LandClass] = MappingProxyType(
    {
        row.id: row
        for row in (
            LandClass("boreal_forest", "boreal forest", "uplands"),
            LandClass("dry_tundra", "dry tundra", "uplands"),
            LandClass("permafrost_free_wetland", "permafrost-free wetland", "wetlands"),
            LandClass("permafrost_bog", "permafrost bog", "wetlands"),
            LandClass("tundra_wetland", "tundra wetland", "wetlands"),
        )
    }
)
"""The five land-cover classes of Hugelius et al. (2024) by id."""


def inventory_class(code: str, rockland: Rockland = "exclude") -> str | None:
    """Inventory class of a BAWLD class, `WATER` for lakes and rivers, None where it is left out.

    The mapping of 19 classes to five is by name; rockland is left out or counted as dry tundra. ConfigError: a code
    that BAWLD does not have (parents WET, LAK and RIV are no classes of their own).
    """
    if code not in COVER:
        hint = f" {code} is the sum of {', '.join(PARENTS[code])}." if code in PARENTS else ""
        raise ConfigError(f"land cover {code!r} is unknown; choose one of: {', '.join(COVER)}.{hint}")
    if code == "ROC" and rockland == "dry_tundra":
        return "dry_tundra"
    return COVER[code].inventory
