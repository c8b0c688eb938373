"""Opening a cube: which file has which predictor, on one grid and one calendar, in the units of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from talik.errors import GridError, InputError, UnitsError
from talik.flux.units import as_units, units_of
from talik.regions.axes import grid_of
from talik.regions.grid import Grid
from talik.upscaling.cube.predictors import MONTH, Cube, Field, Int64, open_grid, opened, spatial_dims
from talik.upscaling.site_cells import OUTSIDE
from talik.upscaling.site_months import TimeStep, counted_months, steps_of
from talik.upscaling.training import Feature


def open_cube(
    paths: Sequence[Path],
    features: Sequence[Feature],
    *,
    years: tuple[int, int] | None = None,
    stand_in_years: Mapping[int, int] | None = None,
) -> Cube:
    """Find every feature in the files of a cube and check grid, units and calendar; nothing large is read.

    paths : NetCDF files and Zarr stores. A predictor may be static (rows, columns), annual, monthly, a monthly
    climatology, or uniform (no rows and columns). years : first and last year; else all months of the monthly ones.
    stand_in_years : a year to the year read in its place, for annual predictors.

    Raises:
        InputError: a file or predictor is missing, or a month of the run.
        GridError: the files are on different grids, or on none that talik knows.
        UnitsError: units are missing, or not those of the model.
    """
    found: dict[str, tuple[Path, xr.Dataset]] = {}
    for path in paths:
        dataset = open_grid(path)
        for name in map(str, dataset.data_vars):
            if name in found and name in {f.name for f in features}:
                raise InputError(
                    f"{name} is in {found[name][0]} and in {path}; leave one of the two files out."
                )
            found[name] = (path, dataset)
    lost = [f.name for f in features if f.name not in found and f.name != MONTH]
    if lost:
        have = ", ".join(sorted(found)[:40])
        raise InputError(
            f"{', '.join(map(str, paths))}: no variable {', '.join(lost)}; found {have}. Rename the variables as "
            "the model knows them, or give the file that has them too (another"
            " --grid, in a project file upscaling.grids), or learn from others (--predictors, upscaling.predictors)."
        )
    placed = {f.name: found[f.name] for f in features if f.name in found}
    grid, grid_path = _one_grid(placed)
    months, calendar = _months(placed, years)
    wanted = pd.DataFrame({"year": months // 12, "month": months % 12 + 1})
    fields: list[Field | None] = []
    for feature in features:
        if feature.name not in placed:
            fields.append(None)
            continue
        fields.append(_field(feature, *placed[feature.name], wanted, stand_in_years or {}))
    if not any(f is not None and f.space is not None for f in fields):
        raise GridError(f"{grid_path}: no predictor of the model has rows and columns.")
    return Cube(tuple(fields), tuple(features), grid, months, calendar, tuple(_slow_chunks(fields)))


def _one_grid(placed: Mapping[str, tuple[Path, xr.Dataset]]) -> tuple[Grid, Path]:
    first: tuple[Grid, Path] | None = None
    for name, (path, dataset) in placed.items():
        if spatial_dims(dataset[name]) is None:
            continue
        grid = grid_of(dataset)
        if first is None:
            first = grid, path
        elif grid.key() != first[0].key():
            raise GridError(
                f"{path}: {name} is on {grid}; {first[1]} is on {first[0]}. Regrid one of them "
                "(talik.regions.regrid): all predictors must share their cells."
            )
    if first is None:
        raise GridError(f"{', '.join(str(p) for p, _ in placed.values())}: no variable has rows and columns.")
    return first


def _time_dim(data: xr.DataArray, dataset: xr.Dataset) -> str | None:
    for dim in map(str, data.dims):
        if dim in dataset.variables and (
            dataset[dim].dtype.kind == "M" or hasattr(dataset[dim].values.flat[0], "calendar")
        ):
            return dim
    return None


def _months(
    placed: Mapping[str, tuple[Path, xr.Dataset]], years: tuple[int, int] | None
) -> tuple[Int64, str]:
    spans: dict[str, tuple[int, int]] = {}
    calendar = "standard"
    for name, (path, dataset) in placed.items():
        dim = _time_dim(dataset[name], dataset)
        if dim is None or "climatology" in dataset[dim].attrs:
            continue
        counted, _ = counted_months(dataset, dim)
        if len(counted) and (len(counted) < 2 or np.diff(np.sort(counted)).min() < 11):
            spans[f"{path}: {name}"] = int(counted.min()), int(counted.max())
            calendar = str(dataset[dim].dt.calendar)
    if years is not None:
        first, last = years
        if last < first:
            raise InputError(f"--years {first}-{last}: the last year lies before the first.")
        return np.arange(12 * first, 12 * last + 12), calendar
    if not spans:
        raise InputError("no predictor changes from month to month; say which years with --years FIRST-LAST.")
    if len(set(spans.values())) > 1:
        listed = "; ".join(f"{name} {_ym(a)} to {_ym(b)}" for name, (a, b) in spans.items())
        raise InputError(
            f"the predictors cover different months: {listed}. Choose years that all have: --years FIRST-LAST."
        )
    a, b = next(iter(spans.values()))
    return np.arange(a, b + 1), calendar


def _ym(counted: int) -> str:
    return f"{counted // 12:04d}-{counted % 12 + 1:02d}"


def _field(
    feature: Feature,
    path: Path,
    dataset: xr.Dataset,
    wanted: pd.DataFrame,
    stand_in_years: Mapping[int, int],
) -> Field:
    data = dataset[feature.name]
    space = spatial_dims(data)
    dim = _time_dim(data, dataset)
    single: TimeStep | None = "month" if dim is not None and dataset.sizes[dim] == 1 else None
    steps = steps_of(dataset, data, space or ("", ""), wanted, single, stand_in_years)
    missing = steps.of_row == OUTSIDE
    if missing.any():
        at = wanted[missing]
        shown = [f"{y:04d}-{m:02d}" for y, m in zip(at["year"], at["month"], strict=True)]
        if steps.kind == "year":
            shown = [f"{y:04d}" for y in dict.fromkeys(at["year"])]
        raise InputError(
            f"{path}: {feature.name} has no {', '.join(shown[:6])}{' ...' if len(shown) > 6 else ''} "
            f"({len(shown)} {'years' if steps.kind == 'year' else 'months'} of the run are missing). Add them, choose "
            "other years with --years (in a project file: period, upscaling.years), or let a year stand in with "
            "--stand-in YEAR=YEAR (annual predictors)."
        )
    slope, offset = _conversion(data, feature, path)
    return Field(feature, path, steps.kind, steps.dim, steps.of_row, space, slope, offset)


def _conversion(data: xr.DataArray, feature: Feature, path: Path) -> tuple[float, float]:
    """Factor and offset from the units of the file to those of the model."""
    if feature.levels:
        return 1.0, 0.0
    if not feature.units:
        return 1.0, 0.0  # the training table said nothing to compare with
    try:
        have = units_of(data)
        if have == feature.units:
            return 1.0, 0.0
        probe = as_units(
            xr.DataArray([0.0, 1.0], name=feature.name, attrs={"units": have}), feature.units
        ).values
    except UnitsError as err:
        raise UnitsError(f"{path}: {err}") from err
    return float(probe[1] - probe[0]), float(probe[0])


def _slow_chunks(fields: Sequence[Field | None]) -> list[str]:
    """Variables of which every tile decompresses far more than it needs."""
    notes = []
    for held in fields:
        if held is None or held.space is None:
            continue
        data, _ = opened(held.path, held.feature.name)
        chunks = data.encoding.get("chunksizes") or data.encoding.get("chunks")
        size = int(np.prod(chunks)) if chunks else 0
        if size > 1 << 24:
            notes.append(
                f"{held.path}: {held.feature.name} is stored in chunks of {size / 1e6:.0f} million values; every tile "
                "reads whole chunks. Rechunk it to about the size of a tile to read it once."
            )
    return notes
