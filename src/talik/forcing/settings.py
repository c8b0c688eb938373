"""The `forcing` section of a project file."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from talik.config import Frozen

Year = Annotated[int, Field(ge=1, le=9999)]

STAND_INS = {
    "EF": 1,
    "ET": 3,
    **dict.fromkeys(("Dfc", "Dwc", "Dsc"), 4),
    **dict.fromkeys(("Dfd", "Dwd", "Dsd"), 6),
    **dict.fromkeys(("Dfa", "Dfb", "Dwa", "Dwb", "Dsa", "Dsb", "Cfa", "Cfb", "Cwa"), 8),
    **dict.fromkeys(("Cfc", "Csa", "Csb", "Csc"), 9),
    "BSk": 13,
    "BWk": 15,
}
"""TEM vegetation type that stands in for each Köppen class (Kottek et al. 2006) where no vegetation map says more.

A choice by what the names of types and classes have in common; in 65-70 N, where TEM has a map, 42 % of cells agree."""


class Climatology(Frozen):
    """Present-day months: tas, pr and sunshine (percent of possible) by month, lat, lon."""

    file: str
    period: tuple[Year, Year] = (1961, 1990)
    """The years it stands for; in these the mean of the forcing is the climatology."""

    def model_post_init(self, _context: Any) -> None:
        if self.period[1] < self.period[0]:
            raise ValueError(f"period {list(self.period)} runs backwards")


class Patterns(Frozen):
    """Local change per kelvin of global warming; the mean of the models listed."""

    files: Annotated[tuple[str, ...], Field(min_length=1)]
    precipitation: Literal["relative", "additive"] = "relative"
    """Change as a share of the model's own precipitation, or in mm month-1."""
    largest_ratio: Annotated[float, Field(gt=0, le=10)] = 0.3
    """Largest relative change per kelvin, up or down; shares explode where a model is dry."""


class Warming(Frozen):
    """Global warming by year: of one historical run, then assessed or of scenario runs."""

    historical: str
    """Annual mean tas by time, lat, lon."""
    scenarios: Annotated[tuple[str, ...], Field(min_length=1)]
    assessed: str | None = None
    """Table of warming relative to 1995-2014: scenario, year, gsat_p05, gsat_central, gsat_p95 (K)."""
    runs: Annotated[dict[str, str], Field(default_factory=dict)]
    """Annual mean tas of each scenario, instead of `assessed`."""
    quantile: Literal["low", "central", "high"] = "central"
    """Which column of `assessed`: 5 %, central or 95 %."""
    smoothing_years: Annotated[int, Field(ge=1, le=60)] = 20
    """Width of the running mean: the years of 1995-2014, to which assessed warming refers (IPCC AR6)."""

    def model_post_init(self, _context: Any) -> None:
        if (self.assessed is None) != bool(self.runs):
            raise ValueError("expected one of assessed and runs")
        if len(set(self.scenarios)) < len(self.scenarios):
            raise ValueError("a scenario is listed twice")
        if self.runs and set(self.runs) != set(self.scenarios):
            raise ValueError(f"runs names {sorted(self.runs)}, scenarios {sorted(self.scenarios)}")


class PermafrostCells(Frozen):
    """Which cells have forcing: those of a map of permafrost extent."""

    permafrost: str
    """A file with permafrost_fraction or permafrost_fraction_median by lat, lon; its grid is that of the forcing."""
    smallest_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Cells need more than this."""


class LandMaps(Frozen):
    """Where soil, vegetation and elevation come from, cell by cell."""

    soil: str
    """Texture, and land_fraction: all land of a cell, as cell_area is."""
    koeppen: str
    """Köppen classes, with flag_values and flag_meanings."""
    tem_static: str | None = None
    """Texture, temveg and elevation that come before the others where they are given."""
    vegetation: Annotated[dict[str, int], Field(default_factory=dict)]
    """TEM types that replace those of the table of stand-ins: Köppen class to type."""
    polar_desert_below_degc: float = 5.0
    """Where ET would be wet tundra, it is alpine tundra and polar desert if no month is warmer. The default is
    the mean of July that divides bioclimate subzones B and C of the Arctic (Walker et al. 2005)."""
    alpine_south_of: Annotated[float, Field(ge=0, le=90)] = 55.0
    """Tundra south of this latitude lies on mountains: alpine tundra too. Lowland tundra reaches about as far south
    as the default, at Hudson Bay."""
    elevation_m: Annotated[float, Field(ge=-500, le=9000)] = 400.0
    """Elevation where none is given; above 500 m snow takes two months to melt."""


class Co2Table(Frozen):
    """Carbon dioxide of the scenarios, which the process model reads itself; checked here."""

    file: str


class ForcingSettings(Frozen):
    """Forcing of the process model by pattern scaling."""

    climatology: Climatology
    patterns: Patterns
    warming: Warming
    cells: PermafrostCells
    land: LandMaps
    co2: Co2Table | None = None
    last_year: Annotated[int, Field(ge=1851, le=2300)] = 2100
