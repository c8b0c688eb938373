"""Climatologies: twelve months of climate on a latitude-longitude map, at the cells of that map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from talik.errors import InputError, UnitsError
from talik.flux.units import as_units
from talik.regions.sphere import wrap_longitude
from talik.sources.climate_cells import Array, IntArray
from talik.sources.climate_grids import open_grid

SAME_DEG = 0.01
"""How far the centres of a cell on two maps may lie apart, degrees."""


def read_climatology(path: Path, lat: Array, lon: Array) -> tuple[Array, Array, Array]:
    """tas (degC), pr (mm month-1) and clt (0..1), each (month, cell); NaN where the climatology has no land.

    clt is one minus the share of possible sunshine.

    Raises:
        InputError: variables or months missing.
        UnitsError: units that are missing or do not fit.
    """
    with open_grid(path) as dataset:
        held = []
        for name, units in (("tas", "degC"), ("pr", "mm month-1"), ("sunshine", "percent")):
            data = monthly_field(dataset, name, path)
            try:
                held.append(on_map(as_units(data, units), lat, lon))
            except UnitsError as err:
                raise UnitsError(f"{path}: {err}") from err
    tas, pr, sunshine = held
    return tas, pr, np.clip(1.0 - sunshine / 100.0, 0.0, 1.0)


def monthly_field(dataset: xr.Dataset, name: str, path: Path) -> xr.DataArray:
    """A variable (month, lat, lon) with months 1 to 12 in order; InputError if it is not that."""
    if name not in dataset or set(dataset[name].dims) != {"month", "lat", "lon"}:
        found = dataset[name].dims if name in dataset else ", ".join(map(str, dataset.data_vars))
        raise InputError(f"{path}: expected {name} by month, lat and lon; found {found}.")
    months = sorted(dataset["month"].values.tolist())
    if months != list(range(1, 13)):
        raise InputError(f"{path}: {name} has months {months}; expected 1..12, each once. Complete the file.")
    return dataset[name].sortby("month").transpose("month", "lat", "lon").load()


def on_map(data: xr.DataArray, lat: Array, lon: Array) -> Array:
    """Values (..., place) of a map at places that are its cell centres, NaN elsewhere."""
    data = data.transpose(..., "lat", "lon")
    rows = _rows(np.asarray(data["lat"].values, dtype=np.float64), lat)
    columns = _rows(wrap_longitude(np.asarray(data["lon"].values, dtype=np.float64)), wrap_longitude(lon))
    values = np.asarray(data.values, dtype=np.float64)[..., rows, columns]
    out: Array = np.where((rows >= 0) & (columns >= 0), values, np.nan)
    return out


def _rows(axis: Array, wanted: Array) -> IntArray:
    """Index of the coordinate at each wanted one, -1 where there is none."""
    order = np.argsort(axis)
    held = axis[order]
    at = np.clip(np.searchsorted(held, wanted - SAME_DEG), 0, held.size - 1)
    return np.where(np.abs(held[at] - wanted) <= SAME_DEG, order[at], -1)
