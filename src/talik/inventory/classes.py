"""Land cover of BAWLD (Olefeldt et al. 2021) and the classes of the inventory that its 19 classes make up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from talik.errors import ConfigError

Rockland = Literal["exclude", "dry_tundra"]


@dataclass(frozen=True, slots=True)
class Cover:
    """A class of BAWLD: its code, name, the parent column that holds it too, and the inventory class it belongs to."""

    code: str
    name: str
    parent: str | None
    inventory: str | None


_ROWS = (
    Cover("GLA", "glacier", None, None),
    Cover("ROC", "rockland", None, None),
    Cover("TUN", "dry tundra", None, "dry_tundra"),
    Cover("BOR", "boreal forest", None, "boreal_forest"),
    Cover("PEB", "permafrost bog", "WET", "permafrost_bog"),
    Cover("WTU", "wet tundra", "WET", "tundra_wetland"),
    Cover("MAR", "marsh", "WET", "permafrost_free_wetland"),
    Cover("BOG", "bog", "WET", "permafrost_free_wetland"),
    Cover("FEN", "fen", "WET", "permafrost_free_wetland"),
    Cover("LAL", "large lake", "LAK", "inland_waters"),
    Cover("MPL", "mid-size peatland lake", "LAK", "inland_waters"),
    Cover("MYL", "mid-size yedoma lake", "LAK", "inland_waters"),
    Cover("MGL", "mid-size glacial lake", "LAK", "inland_waters"),
    Cover("SPL", "small peatland lake", "LAK", "inland_waters"),
    Cover("SYL", "small yedoma lake", "LAK", "inland_waters"),
    Cover("SGL", "small glacial lake", "LAK", "inland_waters"),
    Cover("LAR", "large river", "RIV", "inland_waters"),
    Cover("SRR", "small organic-rich river", "RIV", "inland_waters"),
    Cover("SRP", "small organic-poor river", "RIV", "inland_waters"),
)
COVER: Mapping[str, Cover] = MappingProxyType({row.code: row for row in _ROWS})
"""The 19 classes by code. Large lakes are above 10 km2, small ones below 0.1 km2."""
PARENTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {p: tuple(r.code for r in _ROWS if r.parent == p) for p in ("WET", "LAK", "RIV")}
)
"""Columns that are sums of others: never add a parent and its parts."""
LAKES, RIVERS, WETLANDS = PARENTS["LAK"], PARENTS["RIV"], PARENTS["WET"]


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
WATER = "inland_waters"


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
