"""Patterns of change with global warming at the places of cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xarray as xr

from talik.errors import GridError, InputError, UnitsError
from talik.flux.units import as_units
from talik.forcing.settings import Patterns
from talik.sources.climate_grids import open_grid
from talik.sources.climatology import monthly_field

Array = npt.NDArray[np.float64]

SEASONS = ("DJF", "MAM", "JJA", "SON")
SEASON_OF_MONTH = np.array([0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 0])
"""Index into SEASONS of January to December."""


@dataclass(frozen=True)
class Scaled:
    """What scales with global warming, all (month, cell).

    tas (degC), pr (mm month-1) and clt (0..1) of the climatology; tas_per_k (K K-1); pr_per_k, in K-1 if `relative`,
    else mm month-1 K-1; limited: how many cell-seasons of all models had a larger ratio than allowed.
    """

    tas: Array
    pr: Array
    clt: Array
    tas_per_k: Array
    pr_per_k: Array
    relative: bool
    limited: int

    def part(self, cells: slice) -> Scaled:
        """Some of the cells."""
        return Scaled(
            self.tas[:, cells],
            self.pr[:, cells],
            self.clt[:, cells],
            self.tas_per_k[:, cells],
            self.pr_per_k[:, cells],
            self.relative,
            self.limited,
        )


def bilinear(lat: Array, lon: Array, field: Array, at_lat: Array, at_lon: Array) -> Array:
    """Values (..., place) of a field (..., lat, lon) at places, bilinear in degrees and periodic in longitude.

    lat rises, lon rises over the whole circle. A row of its northernmost mean is added at the pole, and places less
    than one row south of the first are given the first row.

    Raises:
        GridError: places farther outside, or longitudes that are not the whole circle.
    """
    step = float(np.diff(lat).max())
    gap = lon[0] + 360.0 - lon[-1]
    if gap > 1.5 * np.diff(lon).max() or gap <= 0:
        raise GridError(
            f"longitudes run {lon[0]:g}..{lon[-1]:g}; expected the whole circle once, rising. Give a global field."
        )
    if at_lat.min() < lat[0] - step or lat[-1] < 90.0 - 2 * step:
        raise GridError(
            f"latitudes run {lat[0]:g}..{lat[-1]:g}, cells reach {at_lat.min():g}; expected a field up to the pole "
            "that holds them. Choose cells inside."
        )
    if lat[-1] < 90.0:
        pole = np.broadcast_to(field[..., -1:, :].mean(axis=-1, keepdims=True), field[..., -1:, :].shape)
        lat, field = np.append(lat, 90.0), np.concatenate([field, pole], axis=-2)
    lon, field = np.append(lon, lon[0] + 360.0), np.concatenate([field, field[..., :1]], axis=-1)
    x = lon[0] + np.mod(at_lon - lon[0], 360.0)
    y = np.maximum(at_lat, lat[0])
    i = np.clip(np.searchsorted(lat, y, side="right") - 1, 0, lat.size - 2)
    j = np.clip(np.searchsorted(lon, x, side="right") - 1, 0, lon.size - 2)
    u, v = (y - lat[i]) / (lat[i + 1] - lat[i]), (x - lon[j]) / (lon[j + 1] - lon[j])
    south = field[..., i, j] * (1 - v) + field[..., i, j + 1] * v
    north = field[..., i + 1, j] * (1 - v) + field[..., i + 1, j + 1] * v
    out: Array = south * (1 - u) + north * u
    return out


def read_patterns(
    files: Sequence[Path], settings: Patterns, lat: Array, lon: Array
) -> tuple[Array, Array, int]:
    """Change of tas (K K-1) and pr per kelvin of global warming, (month, cell), mean of models; and how many limited.

    Change of pr is that of its season, in K-1 or in mm month-1 K-1. Relative changes are those of the interpolated
    pattern over the interpolated precipitation of the model, limited to `largest_ratio`; the third value counts the
    cell-seasons where that mattered. Patterns after Lynch et al. (2017).

    Raises:
        InputError: variables, months or seasons missing.
        UnitsError: units that are missing or do not fit.
        GridError: patterns that do not cover the cells.
    """
    tas, pr, limited = [], [], 0
    for path in files:
        with open_grid(path) as dataset:
            change = _at(monthly_field(dataset, "tas_pattern", path), "K K-1", path, lat, lon)
            seasonal = _at(_seasons(dataset, path), "mm month-1 K-1", path, lat, lon)
            present = _at(monthly_field(dataset, "pr_clim", path), "mm month-1", path, lat, lon)
        tas.append(change)
        if settings.precipitation == "relative":
            means = np.stack([present[s == SEASON_OF_MONTH].mean(axis=0) for s in range(len(SEASONS))])
            largest = settings.largest_ratio
            limited += int((np.abs(seasonal) > largest * means).sum())
            bounded = np.clip(seasonal, -largest * means, largest * means)
            seasonal = np.divide(bounded, means, out=np.zeros_like(means), where=means > 0)
        pr.append(seasonal[SEASON_OF_MONTH])
    return np.mean(tas, axis=0), np.mean(pr, axis=0), limited


def _seasons(dataset: xr.Dataset, path: Path) -> xr.DataArray:
    name = "pr_pattern_season"
    if name not in dataset or set(dataset[name].dims) != {"season", "lat", "lon"}:
        raise InputError(f"{path}: expected {name} by season, lat and lon.")
    held = [str(s) for s in dataset["season"].values]
    if sorted(held) != sorted(SEASONS):
        raise InputError(f"{path}: {name} has seasons {held}; expected {', '.join(SEASONS)}.")
    return dataset[name].isel(season=[held.index(s) for s in SEASONS]).load()


def _at(data: xr.DataArray, units: str, path: Path, lat: Array, lon: Array) -> Array:
    """A field (step, cell) at cells, in some units."""
    try:
        data = as_units(data, units).sortby("lat").sortby("lon")
    except UnitsError as err:
        raise UnitsError(f"{path}: {err}") from err
    if not np.isfinite(data.values).all():
        raise InputError(f"{path}: {data.name} has missing values; expected a whole field. Fill them.")
    rows, columns = (np.asarray(data[n].values, dtype=np.float64) for n in ("lat", "lon"))
    values = np.asarray(data.transpose(..., "lat", "lon").values, dtype=np.float64)
    try:
        return bilinear(rows, columns, values, lat, lon)
    except GridError as err:
        raise GridError(f"{path}: {err}") from err
