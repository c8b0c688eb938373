"""The `upscaling` section of a project file: sites, learner, validation, cube, regions, limits."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from talik.config import Frozen
from talik.errors import ConfigError
from talik.regions.named import DOMAIN

Flux = Literal["nee", "gpp", "reco", "ch4"]
Year = Annotated[int, Field(ge=1, le=9999)]
Years = tuple[Year, Year]
SPATIAL = ("cluster", "knndm", "loso")
"""Designs that leave places out, from which the error of unseen places can be learnt."""


class Validation(Frozen):
    """What is left out to see how good the learner is where it has not learnt."""

    design: Literal["loso", "cluster", "knndm", "year", "forward", "none"] = "knndm"
    """Sites one by one, clusters of sites, folds as far from the rest as the map is from the sites, blocks of years,
    later years, or nothing."""
    folds: Annotated[int, Field(ge=2)] = 10
    """Of knndm, year and forward."""
    distance_km: Annotated[float, Field(ge=0)] = 50.0
    """Of cluster: sites within this distance go together."""
    points: str | None = None
    """Of knndm: table with lat and lon of the places to predict; by default land north of 49 N."""
    fast: bool = False
    """Of loso with a forest: trees that leave out sites of their own."""


class Limits(Frozen):
    """What the 95 % limits of regional numbers contain."""

    contain: Literal["all", "careful", "members"] = "all"
    """`all`: the spread of the members and the error of unseen places, as fitted to held-out errors. `careful`: the
    same with the largest lasting error shared by whole regions that the held-out errors allow. `members`: the members
    alone, which is too narrow."""
    pixel_km: Annotated[float, Field(gt=0)] | None = None
    """Side of the area that an error of one place stands for; by default the cells of the cube."""
    coarse_km: Annotated[float, Field(ge=10, le=500)] = 100.0
    """Side of the cells over which errors shared by neighbours are summed."""


class UpscalingSettings(Frozen):
    """From a site table and a cube of predictors to monthly fluxes everywhere and regional numbers with limits."""

    sites: str
    """Site table: CSV, CSV.gz or Parquet, or a folder of FLUXNET files."""
    fluxes: Annotated[tuple[Flux, ...], Field(min_length=1)]
    """What to learn."""
    grids: Annotated[tuple[str, ...], Field(min_length=1)]
    """NetCDF files and Zarr stores with the predictors, to predict over."""
    at_sites: tuple[str, ...] = ()
    """Predictors to take from grids at the sites, FILE:VARIABLE,VARIABLE."""
    predictors: tuple[str, ...] = ()
    """Columns to learn from; by default the known ones of the table and those of `at_sites`."""
    categorical: tuple[str, ...] = ()
    """Predictors that are classes; text, month and vegetation_type always are."""
    filters: tuple[str, ...] = ()
    """Named rules on the rows of the table."""
    accept_errors: bool = False
    """Learn from the table although `talik check` finds errors in it; they are noted in the result."""
    weights: Annotated[float, Field(ge=0, le=1)] = 0.0
    """0 counts rows alike, 1 sites alike."""
    learner: str = "forest"
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of the learner, such as `trees: 200`."""
    tune: bool = False
    """Of forests: choose mtry by the validation."""
    cv: Validation = Validation()
    members: Annotated[int, Field(ge=0, le=1000)] = 20
    """Models learnt from resampled sites, for the limits."""
    years: Years | None = None
    """First and last year; by default the period of the project."""
    stand_in: tuple[Years, ...] = ()
    """Of annual predictors: pairs of a year and the year read in its place."""
    holes: Literal["fail", "drop"] = "fail"
    """Cells that have a predictor in some months only."""
    land_fraction: str | None = None
    """Land share of the cells, FILE:VARIABLE."""
    regions: tuple[str, ...] = ()
    """Regions as elsewhere, beside `domain`, which is every cell with all predictors."""
    least_coverage: Annotated[float, Field(gt=0, le=1)] = 0.5
    """The least share of a region's land with predictors for a total; the share is told with every total."""
    limits: Limits = Limits()
    budget_region: str = DOMAIN
    """The region of the posts."""
    budget_label: str | None = None
    """How the posts call it."""
    applicability: bool = True
    """Also say in which months each cell is like the training sites."""
    years_a_unit: Annotated[int, Field(ge=1)] = 5
    """Years predicted together; changes no result."""
    members_a_unit: Annotated[int, Field(ge=1)] = 10
    """Members learnt together; changes no result."""
    seed: Annotated[int, Field(ge=0)] | None = None
    """By default that of the project."""

    @field_validator("fluxes")
    @classmethod
    def _each_once(cls, value: tuple[Flux, ...]) -> tuple[Flux, ...]:
        if len(set(value)) != len(value):
            raise ValueError(f"a flux is named twice: {', '.join(value)}")
        return value

    @field_validator("settings")
    @classmethod
    def _of_the_learner(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        from talik.upscaling.learners import learner_types, make_learner

        name = info.data.get("learner")
        if value and name in learner_types():  # one that is unknown is told when the steps are made
            try:
                make_learner(name, value)
            except ConfigError as err:
                raise ValueError(str(err)) from err
        return value

    @field_validator("at_sites")
    @classmethod
    def _file_and_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for item in value:
            file, _, names = item.rpartition(":")
            if not file or not names.strip():
                raise ValueError(f"{item!r}: expected FILE:VARIABLE,VARIABLE")
        return value

    @field_validator("land_fraction")
    @classmethod
    def _file_and_name(cls, value: str | None) -> str | None:
        if value is not None and not all(value.rpartition(":")[::2]):
            raise ValueError(f"{value!r}: expected FILE:VARIABLE")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> UpscalingSettings:
        if self.years is not None and self.years[1] < self.years[0]:
            raise ValueError(f"years: {self.years[1]} lies before {self.years[0]}")
        if self.members == 1 or (self.limits.contain == "members" and not self.members):
            raise ValueError(f"members: limits need 2 or more; found {self.members}")
        if self.limits.contain != "members" and self.cv.design not in SPATIAL:
            raise ValueError(
                f"cv.design {self.cv.design} leaves no place out, so the error of unseen places is not known; choose "
                f"{', '.join(SPATIAL)}, or limits.contain: members"
            )
        if self.tune and self.cv.design == "none":
            raise ValueError("tune needs a cv.design")
        return self
