"""Flux towers that calibrate the process model: where they stand, what grows there, which years are for what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
from pydantic import Field, ValidationError, field_validator, model_validator

from talik.config import Frozen
from talik.errors import ConfigError, InputError
from talik.sources.fluxnet import SITE
from talik.sources.land_static import TEXTURE_SUM
from talik.tem.communities import COMMUNITIES
from talik.yamlio import load_yaml

Use = Literal["calibration", "left_out"]
"""What years are for: parameters are fitted to the first and judged on the second."""
Year = Annotated[int, Field(ge=1950, le=2100)]
Years = tuple[Year, Year]
Percent = Annotated[float, Field(ge=0, le=100)]


class Tower(Frozen):
    """A tower and its years."""

    site: Annotated[str, Field(min_length=1)]
    """Its code, such as US-Atq."""
    name: str = ""
    lat: Annotated[float, Field(ge=-90, le=90)]
    lon: Annotated[float, Field(ge=-180, le=180)]
    community: str
    """A community of the process model."""
    elevation_m: float | None = None
    """100 m if not given; snow melts over two months above 500 m."""
    texture: tuple[Percent, Percent, Percent] | None = None
    """Sand, silt and clay (%); those of the nearest cell of a soil map if not given."""
    calibration: Years | None = None
    """First and last year."""
    left_out: Years | None = None
    """First and last year."""
    ids: tuple[str, ...] = ()
    """Its names in site tables, where they do not hold its code."""
    source: str = ""
    """Where these facts come from."""

    @field_validator("community")
    @classmethod
    def _known(cls, community: str) -> str:
        if community not in COMMUNITIES:
            raise ValueError(f"expected one of {', '.join(COMMUNITIES)}")
        return community

    @field_validator("texture")
    @classmethod
    def _whole(cls, texture: tuple[float, float, float] | None) -> tuple[float, float, float] | None:
        if texture is not None and not TEXTURE_SUM[0] <= sum(texture) <= TEXTURE_SUM[1]:
            raise ValueError(f"sand, silt and clay sum to {sum(texture):g}; expected 100 +- 1 %")
        return texture

    @model_validator(mode="after")
    def _apart(self) -> Tower:
        spans = [s for s in (self.calibration, self.left_out) if s is not None]
        if any(first > last for first, last in spans):
            raise ValueError("years run backwards; expected (first, last)")
        if len(spans) == 2 and spans[0][0] <= spans[1][1] and spans[1][0] <= spans[0][1]:
            raise ValueError("calibration and left_out share years; a year serves one of them")
        return self

    def years(self, use: Use) -> Years | None:
        """The years of a use, None if it has none."""
        return self.calibration if use == "calibration" else self.left_out


_PUBLISHED = "type, position and calibration years: Liu et al. (2024, table 1)"

PUBLISHED_TOWERS: tuple[Tower, ...] = (
    Tower(
        site="US-Prr",
        name="Poker Flat Research Range black spruce forest",
        lat=65.124,
        lon=-147.488,
        community="boreal_forest",
        elevation_m=210.0,
        calibration=(2011, 2012),
        left_out=(2013, 2014),
        source=f"{_PUBLISHED}, which has no other years of this tower; elevation: AmeriFlux",
    ),
    Tower(
        site="US-Atq",
        name="Atqasuk",
        lat=70.470,
        lon=-157.409,
        community="wet_tundra",
        elevation_m=15.0,
        calibration=(2004, 2006),
        left_out=(2007, 2008),
        source=f"{_PUBLISHED}; elevation: AmeriFlux",
    ),
    Tower(
        site="GL-ZaH",
        name="Zackenberg Heath",
        lat=74.473,
        lon=-20.550,
        community="alpine_tundra_polar_desert",
        elevation_m=38.0,
        calibration=(2006, 2008),
        left_out=(2009, 2011),
        source=f"{_PUBLISHED}; elevation: FLUXNET2015 (Pastorello et al. 2020)",
    ),
    Tower(
        site="RU-SkP",
        name="Yakutsk Spasskaya Pad larch",
        lat=62.255,
        lon=129.168,
        community="boreal_forest",
        elevation_m=246.0,
        left_out=(2005, 2010),
        source=(
            "position: ABCflux; Liu et al. (2024) use 2014, which public tables do not hold, so that these are the "
            "summers of 2005-2010; larch taken as boreal forest; elevation: FLUXNET2015"
        ),
    ),
    Tower(
        site="US-Ivo",
        name="Ivotuk",
        lat=68.487,
        lon=-155.750,
        community="wet_tundra",
        elevation_m=568.0,
        left_out=(2004, 2007),
        source="Liu et al. (2024, table 1); elevation: AmeriFlux",
    ),
    Tower(
        site="CN-Dan",
        name="Damxung",
        lat=30.498,
        lon=91.066,
        community="alpine_tundra_polar_desert",
        elevation_m=4330.0,
        texture=(65.0, 20.0, 15.0),
        left_out=(2004, 2005),
        source=(
            "type and position: Liu et al. (2024, table 1, where latitude and longitude are swapped); they use "
            "2007-2010, which public tables do not hold; elevation: ChinaFLUX; texture: a sandy loam, assumed"
        ),
    ),
)
"""The towers of Liu et al. (2024), with years that public tables hold."""


def read_towers(path: Path) -> tuple[Tower, ...]:
    """Towers of a YAML file: a list under the key `towers`, each with the fields of `Tower`.

    Raises:
        InputError: a file that cannot be read.
        ConfigError: no such list, fields that are missing, unknown or wrong, or a tower given twice; all are listed.
    """
    content = load_yaml(path)
    listed = content.get("towers") if isinstance(content, dict) else None
    if not isinstance(listed, list) or not listed or set(content) != {"towers"}:
        raise ConfigError(f"{path}: expected one key `towers` with a list of towers below it. Write it so.")
    towers: list[Tower] = []
    found: list[str] = []
    for number, entry in enumerate(listed, 1):
        try:
            towers.append(Tower.model_validate_json(json.dumps(entry), strict=True))
        except TypeError as err:
            found.append(f"tower {number}: expected text, numbers and lists ({err})")
        except ValidationError as err:
            for problem in err.errors():
                place = ".".join([f"tower {number}", *map(str, problem["loc"])])
                found.append(f"{place}: {problem['msg']}; found {problem['input']!r:.80}")
    sites = [t.site for t in towers]
    found += [
        f"{site}: given {sites.count(site)} times" for site in dict.fromkeys(sites) if sites.count(site) > 1
    ]
    if found:
        raise ConfigError(
            f"{path}: {len(found)} problems; correct them:\n" + "\n".join(f"  - {f}" for f in found)
        )
    return tuple(towers)


def rows_of(tower: Tower, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of a site table that are this tower's: those of its `ids`, else those whose site_id holds its code.

    Raises:
        InputError: several sites of the table hold the code.
    """
    names = rows["site_id"].unique()
    mine = [n for n in names if n in tower.ids] if tower.ids else [n for n in names if _holds(n, tower.site)]
    if len(mine) > 1 and not tower.ids:
        raise InputError(
            f"{tower.site}: the table has {len(mine)} sites of this code: {', '.join(mine)}. Name those that are the "
            "tower in `ids`."
        )
    return rows[rows["site_id"].isin(mine)]


def _holds(name: str, site: str) -> bool:
    """Whether a name of a table is a site code or holds it."""
    return name == site or site in SITE.findall(name)
