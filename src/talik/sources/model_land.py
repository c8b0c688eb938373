"""The land share of a model's cells, from its own file, the caller, or the true coast."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
import xarray as xr

from talik.errors import GridError, InputError, UnitsError
from talik.flux.units import as_units
from talik.netcdf import open_netcdf
from talik.regions.axes import conform
from talik.regions.grid import LatLonGrid
from talik.regions.masks import land_fraction
from talik.sources.emission_grids import HUGE
from talik.sources.model_files import ModelFile, open_variable
from talik.sources.model_profiles import ModelProfile

Land: TypeAlias = str | Path | xr.DataArray
NATURAL_EARTH = "natural-earth"
_AREA_PERCENT = 2.0
_TOO_MUCH = 1.01
"""A share above it is in per cent."""


@lru_cache(maxsize=8)
def true_land(grid: LatLonGrid) -> xr.DataArray:
    """Land share of each cell by the true coast (Natural Earth; lakes and ice sheets count as land)."""
    return land_fraction(grid).assign_attrs(origin="Natural Earth 1:50m")


def land_share(
    given: Land | None,
    files: list[ModelFile],
    profile: ModelProfile,
    grid: LatLonGrid,
    notes: list[str],
) -> xr.DataArray | None:
    """Land share of each cell, 0..1 on (lat, lon), 0 where the file has none; None if nobody gives it.

    given : array, NetCDF file with one of the profile's names, or ``natural-earth`` for the true coast; by default the
    file of the model among `files`. Per cent and shares are told by their values, and a unit that contradicts them is
    noted. attrs["origin"] says where it is from.

    InputError: no such file or variable. UnitsError: values that are no shares. GridError: other cells.
    """
    if isinstance(given, str) and given == NATURAL_EARTH:
        return true_land(grid)
    if isinstance(given, xr.DataArray):
        return _shares(given, str(given.name or "land_fraction"), "land_fraction", grid, notes)
    if given is not None:
        path = Path(given)
        data = _variable(path, profile)
    elif files:
        path = files[0].path
        data = open_variable(files[0], profile)[1]
    else:
        return None
    return _shares(data, f"{data.name} of {path.name}", str(path), grid, notes)


def check_areas(file: ModelFile, profile: ModelProfile, grid: LatLonGrid, notes: list[str]) -> None:
    """GridError if the areas in a file are not those of the cells; a note on how far they differ.

    Models know a sphere: 0.7 % at 68 N (and other radii). Totals in talik use the ellipsoid.
    """
    data = open_variable(file, profile)[1]
    extra = [d for d in data.dims if data.sizes[d] == 1]
    held = as_units(conform(data.squeeze(extra, drop=True).reset_coords(drop=True), grid).load(), "m2")
    true = grid.cell_area().where(np.abs(held) < HUGE)
    off = 100.0 * float(np.abs(held - true).sum() / true.sum())
    if not off <= _AREA_PERCENT:
        raise GridError(
            f"{file.path}: {data.name} differ from WGS84 by {off:.3g} % on the mean; expected less than "
            f"{_AREA_PERCENT:g} %. Is it the area file of this grid, in the units it says?"
        )
    notes.append(f"{file.path.name}: areas differ from WGS84 by {off:.2g} %: cell_area is that of WGS84")


def _variable(path: Path, profile: ModelProfile) -> xr.DataArray:
    ds = open_netcdf(path, "Give the land fraction of the model.", decode_times=False)
    names = {n.lower() for n in (*profile.land_fraction, "land_fraction")}
    found = [str(n) for n in ds.data_vars if str(n).lower() in names]
    if len(found) != 1:
        raise InputError(
            f"{path}: expected one of the variables {', '.join(sorted(names))}; found "
            f"{', '.join(map(str, ds.data_vars))}. Give the array itself as land_fraction=."
        )
    return ds[found[0]]


def _shares(data: xr.DataArray, origin: str, where: str, grid: LatLonGrid, notes: list[str]) -> xr.DataArray:
    extra = [d for d in data.dims if data.sizes[d] == 1]
    try:
        held = conform(data.squeeze(extra, drop=True).reset_coords(drop=True), grid).load().astype(np.float64)
    except GridError as err:
        raise GridError(f"{where}: {err}") from err
    held = held.where((np.abs(held) < HUGE) & (held > -1.0), 0.0)
    high, stated = float(held.max()), str(data.attrs.get("units", "")).strip()
    percent = high > _TOO_MUCH
    if (stated in ("%", "percent") and not percent) or (stated in ("1", "fraction") and percent):
        notes.append(
            f"{origin}: states units {stated!r}, but its values reach {high:g}: taken as what they are"
        )
    out = held / 100.0 if percent else held
    if float(out.min()) < 0.0 or float(out.max()) > _TOO_MUCH or set(held.dims) != {"lat", "lon"}:
        raise UnitsError(
            f"{where}: {data.name} on {data.dims} runs {float(held.min()):g}..{high:g}; expected shares of land on "
            "(lat, lon), 0..1 or 0..100 %. Is it the land fraction?"
        )
    return (
        out.clip(max=1.0)
        .rename("land_fraction")
        .drop_attrs()
        .assign_attrs(
            units="1", standard_name="land_area_fraction", long_name="land share of cell area", origin=origin
        )
    )
