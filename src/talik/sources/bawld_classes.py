"""The land-cover classes of BAWLD, the Boreal-Arctic Wetland and Lake Dataset (Olefeldt et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class CoverClass:
    """A class of BAWLD: its code, name, and the parent column that holds it too."""

    code: str
    name: str
    parent: str | None


_ROWS = (
    CoverClass("GLA", "glacier", None),
    CoverClass("ROC", "rockland", None),
    CoverClass("TUN", "dry tundra", None),
    CoverClass("BOR", "boreal forest", None),
    CoverClass("PEB", "permafrost bog", "WET"),
    CoverClass("WTU", "wet tundra", "WET"),
    CoverClass("MAR", "marsh", "WET"),
    CoverClass("BOG", "bog", "WET"),
    CoverClass("FEN", "fen", "WET"),
    CoverClass("LAL", "large lake", "LAK"),
    CoverClass("MPL", "mid-size peatland lake", "LAK"),
    CoverClass("MYL", "mid-size yedoma lake", "LAK"),
    CoverClass("MGL", "mid-size glacial lake", "LAK"),
    CoverClass("SPL", "small peatland lake", "LAK"),
    CoverClass("SYL", "small yedoma lake", "LAK"),
    CoverClass("SGL", "small glacial lake", "LAK"),
    CoverClass("LAR", "large river", "RIV"),
    CoverClass("SRR", "small organic-rich river", "RIV"),
    CoverClass("SRP", "small organic-poor river", "RIV"),
)
CLASSES: Mapping[str, CoverClass] = MappingProxyType({row.code: row for row in _ROWS})
"""The 19 classes by code. Large lakes are above 10 km2, small ones below 0.1 km2."""
PARENTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {p: tuple(r.code for r in _ROWS if r.parent == p) for p in ("WET", "LAK", "RIV")}
)
"""Columns that are sums of others: never add a parent and its parts."""
