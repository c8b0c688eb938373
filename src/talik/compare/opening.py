"""Opening what a comparison names: flux datasets with the flux that is compared, and regions on any grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from talik.compare.aggregate import remove_fire
from talik.compare.settings import EIGHT
from talik.errors import ConfigError, FluxError, GridError, InputError
from talik.flux import open_flux
from talik.products.steps import starting_years
from talik.regions import grid_of, land_fraction
from talik.regions.eight import eight_regions
from talik.regions.grid import Grid
from talik.regions.named import land_weights

LAND_FLUX = "nbe"
"""The land flux of an inversion, fire in it."""
MOST_CELLS = 4_000_000
"""A grid with more cells is to be made coarser first: region weights of all of it stand in memory."""
_HALF, _SAME = 0.5, 1e-6


@dataclass(frozen=True, slots=True)
class Source:
    """A dataset of an approach: `path` of a file or store, or the unit of a step that made it."""

    approach: str
    model: str
    path: str = ""
    member: str = ""
    group: str = ""
    """Datasets of one group are averaged before they count; its own without one."""

    @property
    def unit(self) -> str:
        """The name of its unit of work."""
        return f"{self.approach}+{self.model}"


def open_source(path: Path, variable: str, fire: Path | None) -> xr.Dataset:
    """A flux dataset with `variable`, time in one chunk a variable; NEE of an inversion without fire.

    FluxError: the variable is not there and cannot be made. GridError: more than `MOST_CELLS` cells.
    """
    ds = open_flux(path)
    if "pixel" in ds.dims:
        raise GridError(
            f"{path}: holds a list of {ds.sizes['pixel']} pixels, which makes no map and no region."
        )
    grid = grid_of(ds)
    if grid.size > MOST_CELLS:
        raise GridError(
            f"{path}: {grid} has {grid.size:,} cells, more than {MOST_CELLS:,}. Make it coarser first: "
            "talik.products.to_coarse keeps the mass."
        )
    if "quantile" in ds.dims:
        ds = _median(ds, path)
    if variable in ds.data_vars:
        _require_natural(ds, variable, path)
        return ds
    if variable == "nee" and LAND_FLUX in ds.data_vars:
        return without_fire(ds, fire, path)
    held = ", ".join(str(n) for n in ds.data_vars)
    raise FluxError(
        f"{path}: expected {variable!r}; found {held}. Choose another dataset, or another variable."
    )


def _require_natural(ds: xr.Dataset, variable: str, path: Path) -> None:
    """ConfigError for CH4 of an inversion with human emissions in it: nothing it is compared with has them."""
    apart = ds.attrs.get("human_emissions_removed") or ds.attrs.get("part_of_total")
    if variable == "fch4" and ds.attrs.get("approach") == "inversion" and not apart:
        raise ConfigError(
            f"{path}: CH4 of an inversion with human emissions in it. Take them off (`human` of the inversion), read "
            "natural sectors only (`terms`), or leave it out."
        )


def _median(ds: xr.Dataset, path: Path) -> xr.Dataset:
    """The quantile 0.5 of a dataset, by value."""
    levels = ds["quantile"].values
    at = int(np.argmin(np.abs(levels - _HALF)))
    if abs(float(levels[at]) - _HALF) > _SAME:
        raise FluxError(
            f"{path}: has quantiles {', '.join(f'{v:g}' for v in levels)}; expected 0.5 among them."
        )
    return ds.isel(quantile=at, drop=True)


def without_fire(ds: xr.Dataset, fire: Path | None, path: Path) -> xr.Dataset:
    """NEE of an inversion: its land flux per land area, less the fires of a flux dataset."""
    if fire is None:
        raise ConfigError(
            f"{path}: is the land flux of an inversion, which holds fire. Name a flux dataset with fFire as fire."
        )
    if "land_fraction" not in ds.variables:
        ds = ds.assign(land_fraction=land_fraction(grid_of(ds)))
    burned = open_flux(fire)
    return remove_fire(ds, burned, LAND_FLUX, land_fraction=land_fraction(grid_of(burned)))


def within(ds: xr.Dataset, years: tuple[int, int]) -> xr.Dataset:
    """The steps that begin in the years from first to last."""
    year = starting_years(ds)
    return ds.isel(time=np.flatnonzero((year >= years[0]) & (year <= years[1])))


def land_regions(names: Sequence[str], tundra: xr.DataArray | None) -> Callable[[Grid], xr.DataArray]:
    """A function that makes region weights of land on any grid; regions that hold sea keep their land only.

    names : forms of `talik.regions.named`, or `eight`, which `tundra` (share of land, any grid) divides. Weights of
    each grid are made once.
    """

    made: dict[str, xr.DataArray] = {}

    def weights(grid: Grid) -> xr.DataArray:
        if grid.key() not in made:
            if EIGHT not in names:
                made[grid.key()] = land_weights(list(names), grid, land_fraction(grid))
            elif tundra is None:
                raise ConfigError("regions: eight needs tundra, the share of tundra of a grid.")
            else:
                made[grid.key()] = eight_regions(grid, tundra)
        return made[grid.key()]

    return weights


def read_tundra(name: str, files: Mapping[str, Path]) -> xr.DataArray:
    """The share field that FILE.nc:VARIABLE means; InputError if it is not there or not a share."""
    variable = name.rpartition(":")[2]
    path = files[name]
    with xr.open_dataset(path, engine="netcdf4") as ds:
        if variable not in ds.data_vars:
            raise InputError(f"{path}: no variable {variable!r}; found {', '.join(map(str, ds.data_vars))}.")
        share = ds[variable].load()
    low, high = float(share.min()), float(share.max())
    if not 0.0 <= low <= high <= 1.0:
        raise InputError(
            f"{path}: {variable} runs {low:g}..{high:g}; expected the share of land that is tundra, 0..1. "
            "Divide percent by 100, and write NaN where there is no land."
        )
    return share
