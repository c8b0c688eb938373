"""The `compare` section of a project file: approaches with their datasets, regions, towers, and choices."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from talik.config import Frozen

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.=-]*$", max_length=100)]
EIGHT = "eight"
"""Name that stands for the eight regions of Treat et al. (2024)."""


NEUTRAL = {"nee": 5.0, "fch4": 0.0}


class Approach(Frozen):
    """One way to estimate the flux: towers, or the datasets that count as its models, each with equal weight."""

    sites: str | None = None
    """Site table: means of sites, by region."""
    fluxes: dict[Name, str] = Field(default_factory=dict)
    """Flux datasets by the name of the model."""
    members: tuple[str, ...] = ()
    """Members of section `ensemble`: names, projects such as ISIMIP3, or `models` or `inversions` for all of them."""

    @model_validator(mode="after")
    def _one_kind(self) -> Approach:
        if (self.sites is not None) == bool(self.fluxes or self.members):
            raise ValueError("give either sites, or fluxes and members")
        return self


class CompareSettings(Frozen):
    """What stands side by side, and how."""

    approaches: Annotated[dict[Name, Approach], Field(min_length=2)]
    variable: Literal["nee", "fch4"] = "nee"
    """The flux: net ecosystem exchange without fire, or methane."""
    regions: Annotated[tuple[str, ...], Field(min_length=1)] = ("sectors",)
    """Regions as elsewhere (sectors, bands, GeoJSON, classes of a raster), or `eight` alone."""
    tundra: str | None = None
    """Share of tundra (0..1) of a grid, FILE.nc:VARIABLE; the eight regions divide land by it."""
    towers: str | None = None
    """Site table that gridded approaches are judged against; that of the in-situ approach by default."""
    least_coverage: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """The least share of a region's area with data for a mean."""
    neutral: Annotated[float, Field(ge=0.0)] | None = None
    """A cell is neither sink nor source within this of zero, g m-2 yr-1; by default 5 for NEE, 0 for CH4."""
    grid_degrees: Annotated[float, Field(gt=0.0, le=10.0)] = 1.0
    """Cells of the agreement map, degrees."""
    map_south: Annotated[float, Field(ge=-90.0, le=80.0)] = 45.0
    """Where the agreement map ends, degrees north."""
    fewest_approaches: Annotated[int, Field(ge=1)] = 2
    """A cell of the agreement map needs this many approaches."""
    draws: Annotated[int, Field(ge=100, le=1_000_000)] = 2000
    """Bootstrap draws of towers for the ranking."""

    figures: bool = True
    """Also write every figure as PNG and SVG."""

    @property
    def neutral_band(self) -> float:
        """Half width of the neutral band, g m-2 yr-1."""
        return self.neutral if self.neutral is not None else NEUTRAL[self.variable]

    @model_validator(mode="after")
    def _consistent(self) -> CompareSettings:
        if abs(360.0 / self.grid_degrees - round(360.0 / self.grid_degrees)) > 1e-6:
            raise ValueError(f"grid_degrees {self.grid_degrees:g} does not divide the circle of 360")
        if EIGHT in self.regions and len(self.regions) > 1:
            raise ValueError("regions: eight stands alone; the eight regions fill the land")
        if (EIGHT in self.regions) != (self.tundra is not None):
            raise ValueError("tundra and the region eight go together: give both or neither")
        return self
