"""The `trends` section of a project file: flux datasets, variables, regions, method."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from talik.config import Frozen
from talik.flux.table import FLUXES
from talik.trends.method import Method, MethodName

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.=-]*$", max_length=100)]


def _known(value: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [v for v in value if v not in FLUXES]
    if unknown or len(set(value)) != len(value):
        raise ValueError(f"expected fluxes of the table, each once: {', '.join(FLUXES)}")
    return value


Variables = Annotated[tuple[str, ...], AfterValidator(_known)]


class Dataset(Frozen):
    """A flux dataset and the fluxes whose trends are wanted."""

    file: str
    variables: Annotated[Variables, Field(min_length=1)]


class TrendsSettings(Frozen):
    """Trends of annual regional budgets and of every cell, for one dataset or several."""

    fluxes: Annotated[dict[Name, str | Dataset], Field(min_length=1)]
    """Flux datasets (NetCDF files or Zarr stores) by name: a file, or a file and its own variables."""
    variables: Variables = ()
    """Fluxes of the table, such as nee or fch4, of every dataset that names none of its own."""
    regions: tuple[str, ...] = ()
    """Regions as elsewhere, beside `domain`, which is every cell that has data."""
    years: tuple[int, int] | None = None
    """First and last year; by default the period of the project, else all whole years."""
    method: MethodName = "zhang"
    """How serial correlation is met."""
    preserve: bool | None = None
    """Re-inflate in the first prewhitening; by default off for zhang and on for yue-pilon."""
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Level of the limits of a slope."""
    false_discovery_rate: Annotated[float, Field(gt=0, lt=1)] = 0.10
    """For the cells of a map, and for all regional series together."""
    least_coverage: Annotated[float, Field(gt=0, le=1)] = 0.5
    """The least share of a region's land with data for a total."""
    maps: bool = True
    """Also the trend of every cell."""

    @property
    def datasets(self) -> dict[str, Dataset]:
        """Every dataset with its variables."""
        return {
            name: Dataset(file=of, variables=self.variables) if isinstance(of, str) else of
            for name, of in self.fluxes.items()
        }

    @model_validator(mode="after")
    def _consistent(self) -> TrendsSettings:
        if not self.variables and any(isinstance(of, str) for of in self.fluxes.values()):
            raise ValueError("variables: is missing; which fluxes of the datasets, such as [nee]?")
        if self.years is not None and self.years[1] < self.years[0]:
            raise ValueError(f"years: {self.years[1]} lies before {self.years[0]}")
        if self.preserve is not None and self.method not in ("zhang", "yue-pilon"):
            raise ValueError(f"preserve is for zhang and yue-pilon; method is {self.method}")
        return self

    @property
    def chosen(self) -> Method:
        """The method with its defaults."""
        return Method.of(self.method, self.preserve, self.confidence)
