"""The `ensemble` section of a project file: members with their files, regions, and how members are summarised."""

from __future__ import annotations

import glob
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from talik.config import Frozen
from talik.errors import InputError
from talik.workflow.project import Period

NATURAL_EARTH = "natural-earth"
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.=-]*$", max_length=100)]
Resolve = Callable[[str], Path]
Gas = Literal["CO2", "CH4", "N2O"]


class Model(Frozen):
    """A process model: its files and what the files do not say."""

    profile: str
    """Format of the files: a name that `talik ensemble formats` lists, or one of `profiles`."""
    files: Annotated[tuple[str, ...], Field(min_length=1)]
    """Files, or patterns with * and ?."""
    model: str | None = None
    """Name inside the file names, where the files are of several models."""
    family: str = ""
    """Models with common ancestors; its own name by default."""
    group: str = ""
    """Who submitted it: several submissions of a group are averaged first. Its own name by default."""
    project: str = ""
    """Intercomparison such as ISIMIP3; approaches of a comparison are chosen by it."""
    scenario: str = "historical"
    """The scenario of the run."""
    fire: bool | None = None
    """Whether the run simulates fire; by default, whether its files have fFire."""
    soil_carbon: Literal["layered", "bulk"]
    """Whether soil carbon is resolved with depth, so that there can be permafrost carbon."""
    litter_in_soil: bool = False
    """Whether soil carbon holds all litter, so that an absent litter pool is no hole."""
    land_fraction: str | None = None
    """File with the land share of the cells, where the format keeps it apart; `natural-earth` for that coast."""


class Inversion(Frozen):
    """An atmospheric inversion: its files and what the files do not say."""

    layout: str
    """Format of the files: a name that `talik ensemble formats` lists."""
    files: Annotated[tuple[str, ...], Field(min_length=1)]
    group: str = ""
    """Submissions of one group are averaged first; its own name by default."""
    leave_out: tuple[str, ...] = ()
    """Systems of a package that are not wanted, such as one that is given by itself too."""
    satellite_of: str | None = None
    """The run of the same system with surface data. It is compared with it month by month, and is no member itself."""
    human: tuple[str, ...] = ()
    """Flux datasets of human emissions, taken off totals that hold them (`human_method`)."""
    human_method: Literal["share", "difference"] = "share"
    """The natural share of the prior, or total less human."""
    terms: dict[str, tuple[str, ...]] | None = None
    """Variables of the file that are added up to each flux, where the layout has other names."""
    check_total: bool = True
    """Compare the global total with what is known of the gas."""


class Tables(Frozen):
    """Regional tables that need no cells."""

    reccap2_cmip6: str | None = None
    """Annual regional values of CMIP6 models (RECCAP2; parquet)."""


class EnsembleSettings(Frozen):
    """Members, regions and years."""

    models: dict[Name, Model] = Field(default_factory=dict)
    inversions: dict[Name, Inversion] = Field(default_factory=dict)
    tables: Tables = Tables()
    profiles: str | None = None
    """YAML file with further formats of process models."""
    regions: Annotated[tuple[str, ...], Field(min_length=1)] = ("bands:49,60,90",)
    """Regions as elsewhere (sectors, bands, GeoJSON, classes of a raster)."""
    north_of: Annotated[float, Field(ge=-90.0, le=80.0)] = 45.0
    """Cells south of this latitude are left out of the harmonised datasets, degrees north."""
    first_year: Annotated[int, Field(ge=1, le=9999)] = 1980
    """Years of process models: from this one to the end of each run, unless the project has a period."""
    least_coverage: Annotated[float, Field(gt=0.0, le=1.0)] = 0.9
    """The least share of a region's area with data for a total."""
    fire: str | None = None
    """Flux dataset with fFire: its totals stand beside inversions, and `talik compare` takes it off their NEE."""
    outliers: Literal["keep", "drop"] = "keep"
    """What becomes of process models far off the others, which are told in any case."""
    interval: Literal["t", "spread"] = "t"
    """Limits of an inversion ensemble: t interval of the mean over groups, or 1.96 standard deviations of groups."""
    decades: tuple[Period, ...] = ()
    """Periods of inversions, adjacent; by default those of Hugelius et al. (2024) for the gas."""
    cells: tuple[str, ...] = ()
    """Fluxes to be summarised cell by cell over process models, such as nee."""
    cell_degrees: Annotated[float, Field(gt=0.0, le=10.0)] = 1.0
    """Cells of these maps, degrees, where models are on different grids."""
    budget_region: str | None = None
    """The region whose numbers become budget posts; the first by default."""
    budget_label: str = ""
    """How the posts call it; `northern permafrost region` puts them beside the published ones."""
    keep: bool = False
    """Also put the harmonised flux datasets of members into the output folder."""

    @model_validator(mode="after")
    def _some_members(self) -> EnsembleSettings:
        if not (self.models or self.inversions or self.tables.reccap2_cmip6):
            raise ValueError("names no models, no inversions and no tables; name at least one")
        if abs(360.0 / self.cell_degrees - round(360.0 / self.cell_degrees)) > 1e-6:
            raise ValueError(f"cell_degrees {self.cell_degrees:g} does not divide the circle of 360")
        if twice := sorted(set(self.models) & set(self.inversions)):
            raise ValueError(f"{', '.join(twice)} is both a model and an inversion; rename one")
        for name, one in self.inversions.items():
            if one.satellite_of is not None and one.satellite_of not in self.inversions:
                raise ValueError(
                    f"inversions.{name}.satellite_of is {one.satellite_of!r}, which is none of the inversions"
                )
        return self

    @property
    def members(self) -> Mapping[str, Model | Inversion]:
        """Every member that has cells, by name."""
        return {**self.models, **self.inversions}


def expand(pattern: str, resolve: Resolve, where: str) -> list[Path]:
    """The files that a path, folder or pattern means, sorted; InputError if there are none."""
    path = resolve(pattern)
    if path.is_dir():
        inside = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
        if not inside:
            raise InputError(f"{where}: folder {pattern!r} ({path}) holds no file.")
        return inside
    if not glob.has_magic(pattern) or path.is_file():
        return [path]
    found = [Path(name) for name in sorted(glob.glob(str(path)))]  # noqa: PTH207  (absolute patterns)
    if not found:
        raise InputError(f"{where}: no file fits {pattern!r} ({path}). Check the folder and the pattern.")
    return found
