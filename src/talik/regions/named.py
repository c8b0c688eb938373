"""Regions as a user names them on the command line: sectors, latitude bands, a GeoJSON file, classes of a raster."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from talik.errors import ConfigError, GridError, InputError
from talik.regions.axes import conform, grid_of
from talik.regions.classes import classes_of
from talik.regions.grid import EqualAreaGrid, Grid
from talik.regions.masks import (
    class_fractions,
    covers_of,
    fraction_weights,
    geojson_weights,
    land_fraction,
    latitude_bands,
    sectors,
)

FORMS = "sectors, bands, bands:49,60,90, FILE.geojson, FILE.geojson:PROPERTY or FILE.nc:VARIABLE"
DOMAIN = "domain"
"""The region that holds every valid pixel."""


def domain_weights(grid: Grid) -> xr.DataArray:
    """One region that is the whole grid."""
    return xr.DataArray(
        np.ones((1, *grid.shape)),
        dims=("region", *grid.dims),
        coords={"region": [DOMAIN], **grid.coords()},
        name="region_weight",
        attrs={"units": "1", "covers": "land"},
    )


def named_weights(names: Sequence[str], grid: Grid) -> xr.DataArray:
    """(region, rows, columns) weights of all regions that `names` mean (see `FORMS`), on `grid`.

    Where some regions are land only (sectors) and others hold the sea too (bands, files), all become land.

    Raises:
        ConfigError: a name in no known form, or two regions of one name.
        InputError: a file is missing, or a variable says nothing about its classes.
    """
    parts = [_one(name, grid) for name in names]
    if len({covers_of(part) for part in parts}) > 1:
        # one array says one thing of what its weights cover
        land = land_fraction(grid)
        parts = [land_weights(part, grid, land) for part in parts]
    found = [str(r) for part in parts for r in part["region"].values]
    twice = sorted({r for r in found if found.count(r) > 1})
    if twice:
        raise ConfigError(f"--regions: {', '.join(twice)} is named twice; rename or leave one out.")
    return xr.concat(parts, dim="region", coords="minimal", compat="override", combine_attrs="override")


def weights_on(regions: xr.DataArray | str | Sequence[str], grid: Grid) -> xr.DataArray:
    """(region, rows, columns) weights on `grid` of regions given by name (see `FORMS`) or as weights on any grid.

    Weights of another grid are brought to this one by area, with their attribute `covers`; a flux is never brought to
    theirs. GridError: weights that do not say what they cover.
    """
    if isinstance(regions, str):
        return named_weights([regions], grid)
    if not isinstance(regions, xr.DataArray):
        return named_weights(regions, grid)
    if grid_of(regions) == grid:
        return regions
    return fraction_weights(regions, grid, covers=covers_of(regions))


def land_weights(regions: xr.DataArray | str | Sequence[str], grid: Grid, land: xr.DataArray) -> xr.DataArray:
    """Weights of the land of regions on a grid; what lies outside the grid still counts as missing."""
    weights = weights_on(regions, grid)
    if covers_of(weights) == "land":
        return weights
    out: xr.DataArray = conform(weights, grid).fillna(0.0) * land
    if "region_area" in weights.coords:
        area = grid.cell_area()
        inside = (conform(weights, grid).fillna(0.0) * area).sum(grid.dims)
        share = inside / weights["region_area"]
        out = out.assign_coords(
            region_area=("region", ((out * area).sum(grid.dims) / share.clip(max=1.0)).values)
        )
    return out.assign_attrs({**weights.attrs, "covers": "land"})


def lazy_weights(names: Sequence[str], grid: Grid, edge: int = 512, at_once: int = 4_000_000) -> xr.DataArray:
    """The same as `named_weights`; on a grid of more than `at_once` cells as Dask, made tile by tile when used."""
    if grid.size <= at_once or not isinstance(grid, EqualAreaGrid):
        return named_weights(names, grid)
    import dask.array as da
    from dask.delayed import delayed

    rows, columns = grid.shape
    first = named_weights(names, grid.tile(slice(0, 2), slice(0, 2)))
    make = delayed(_tile_weights, pure=True)
    blocks = []
    for j in range(0, rows, edge):
        line = []
        for i in range(0, columns, edge):
            tile = grid.tile(slice(j, min(j + edge, rows)), slice(i, min(i + edge, columns)))
            shape = (len(first), *tile.shape)
            line.append(da.from_delayed(make(list(names), tile), shape, np.float64))  # type: ignore[no-untyped-call]
        blocks.append(line)
    return xr.DataArray(
        da.block(blocks),  # type: ignore[no-untyped-call]
        dims=("region", *grid.dims),
        coords={"region": first["region"].values, **grid.coords()},
        name="region_weight",
        attrs=first.attrs,
    )


def _tile_weights(names: Sequence[str], grid: Grid) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray(named_weights(names, grid).values, dtype=np.float64)


def files_of(names: Sequence[str]) -> list[Path]:
    """The files that `names` read."""
    return [path for name in names if (path := _split(name)[0]) is not None]


def with_absolute_paths(names: Sequence[str], folder: Path | None = None) -> list[str]:
    """The same names, good in any working folder; relative ones are of `folder`, by default the present one."""
    out = []
    for name in names:
        path, rest = _split(name, folder)
        where = None if path is None else (folder or Path.cwd()) / path.expanduser()
        out.append(name if where is None else f"{where.absolute()}{':' + rest if rest else ''}")
    return out


def require_known(names: Sequence[str]) -> None:
    """InputError for a name that is no form of `FORMS` and no file."""
    for name in names:
        path, _ = _split(name)
        if path is not None and not path.exists():
            raise InputError(f"region {name!r}: no file {path}. Give one of: {FORMS}.")


def _split(name: str, folder: Path | None = None) -> tuple[Path | None, str]:
    """File and what stands behind the colon; no file for the forms without one."""
    kind = name.partition(":")[0]
    if kind in ("sectors", "bands"):
        return None, name.partition(":")[2]
    head, sep, tail = name.rpartition(":")
    if sep and head and not ((folder or Path()) / name).exists():
        return Path(head), tail
    return Path(name), ""


def _one(name: str, grid: Grid) -> xr.DataArray:
    path, rest = _split(name)
    if path is None:
        if name.startswith("sectors"):
            return sectors(grid)
        try:
            edges = [float(v) for v in rest.split(",")] if rest else [49.0, 60.0, 90.0]
        except ValueError as err:
            raise ConfigError(
                f"--regions {name!r}: expected numbers after the colon, as in bands:49,60,90"
            ) from err
        return latitude_bands(grid, edges)
    if not path.exists():
        raise InputError(f"--regions {name!r}: no file {path}. Give one of: {FORMS}.")
    if path.suffix.lower() in (".geojson", ".json"):
        return geojson_weights(path, grid, covers="all", name=rest or None)
    return _classes(path, rest, grid)


def _classes(path: Path, variable: str, grid: Grid) -> xr.DataArray:
    if not variable:
        raise ConfigError(
            f"--regions {path}: name the variable that holds the classes, as in {path.name}:biome"
        )
    opened = xr.open_zarr(path, chunks=None) if path.is_dir() else xr.open_dataset(path, engine="netcdf4")
    with opened as dataset:
        if variable not in dataset:
            have = ", ".join(map(str, dataset.data_vars))
            raise InputError(f"{path}: no variable {variable!r}; it has {have}.")
        data = dataset[variable]
        data.attrs.setdefault("source", str(path))
        src = grid_of(dataset)
        groups = {label: [number] for number, label in classes_of(data).items()}
        window = _around(data, src, grid)
        try:
            src = grid_of(window.to_dataset(name=variable).assign(_mapping(dataset)))
        except GridError:
            window, src = data, src
        return class_fractions(window.load(), grid, groups, covers="all", src=src)


def _mapping(dataset: xr.Dataset) -> dict[str, xr.DataArray]:
    return {n: dataset[n] for n in ("crs", "spatial_ref") if n in dataset.variables}


def _around(data: xr.DataArray, src: Grid, grid: Grid) -> xr.DataArray:
    """The part of a raster of the same kind of grid that touches `grid`, with two cells around it."""
    if src.dims != grid.dims:
        return data
    for dim, edges, step in (
        (grid.dims[0], grid.y_edges, np.diff(src.y_edges).max()),
        (grid.dims[1], grid.x_edges, np.diff(src.x_edges).max()),
    ):
        if dim not in data.dims:
            return data
        values = np.asarray(data[dim].values, float)
        inside = np.flatnonzero((values > edges[0] - 2 * step) & (values < edges[-1] + 2 * step))
        if len(inside) < 2:
            return data
        data = data.isel({dim: slice(inside[0], inside[-1] + 1)})
    return data
