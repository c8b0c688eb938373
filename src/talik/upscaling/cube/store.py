"""The output store: a Zarr v3 group that is a flux dataset, written tile by tile."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import cftime
import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import BytesCodec, Crc32cCodec, ZstdCodec

from talik.errors import InputError
from talik.files import write_text
from talik.flux.dataset import CONVENTIONS
from talik.flux.io import COMPLETE
from talik.flux.table import FLUXES
from talik.provenance import stamp
from talik.regions.grid import Grid
from talik.upscaling.cube.predictors import Cube, Int64, Tile

TIME_CHUNK = 12
"""Months in a chunk of the store."""
AMOUNT = "g m-2 month-1"
"""Unit of a flux model that becomes a flux dataset."""
PACKED_STEP = 0.02 * 1e-3 / (365.2425 / 12 * 86400)
"""kg m-2 s-1 of one integer step with --dtype int16: 0.02 g m-2 in a month of mean length."""
INT16_FILL = -32768
FLUX_OF = {"nee": "nee", "gpp": "gpp", "reco": "reco", "ch4": "fch4"}
"""Flux variable of a model's target."""


def variable_of(target: str, units: str) -> str:
    """Name of the variable that holds a target: that of the flux table, where it is one of its fluxes."""
    return FLUX_OF.get(target, target) if units == AMOUNT else target


def is_flux(target: str, units: str) -> bool:
    """Whether the target is stored as a flux, in kg m-2 s-1."""
    return units == AMOUNT and target in FLUX_OF


def rates_of(cube: Cube) -> npt.NDArray[np.float64]:
    """(months,) factor from g m-2 month-1 to kg m-2 s-1, by the calendar of the cube."""
    return 1e-3 / month_seconds(cube.months, cube.calendar)


def month_seconds(months: Int64, calendar: str) -> npt.NDArray[np.float64]:
    """Length of months counted since year 0, s."""
    edges = [_first(int(m), calendar) for m in (*months, months[-1] + 1)]
    days = np.array([(b - a).days for a, b in pairwise(edges)], float)
    return days * 86400.0


def time_axis(cube: Cube) -> tuple[list[cftime.datetime], npt.NDArray[Any], dict[str, Any]]:
    """Middle and bounds of the months of a cube, and how they are stored."""
    stamps = [_first(int(m), cube.calendar) for m in (*cube.months, cube.months[-1] + 1)]
    encoding = {
        "units": f"days since {stamps[0].year:04d}-01-01",
        "calendar": cube.calendar,
        "dtype": "float64",
    }
    middle = [a + (b - a) / 2 for a, b in pairwise(stamps)]
    return middle, np.column_stack([stamps[:-1], stamps[1:]]), encoding


def create(
    path: Path,
    cube: Cube,
    targets: Sequence[str],
    units: Sequence[str],
    *,
    tile: int,
    dtype: str,
    members: int,
    land: bool,
    attrs: Mapping[str, str],
    inputs: Mapping[str, Path],
    key: str,
) -> None:
    """Write the empty store: coordinates, areas, and arrays whose chunks the tiles will fill."""
    grid = cube.grid
    frame = grid.frame()
    middle, bounds, encoding = time_axis(cube)
    frame = frame.assign_coords(
        time=("time", middle, {"standard_name": "time", "axis": "T", "bounds": "time_bnds"})
    )
    frame["time_bnds"] = (("time", "bnds"), bounds)
    frame = frame.set_coords(["time_bnds"]).assign_attrs(
        approach="upscaling", Conventions=CONVENTIONS, **attrs
    )
    frame = stamp(frame, "upscale predict", key, inputs).assign_attrs({COMPLETE: "false"})
    plain = {str(n): {"compressors": None, "_FillValue": None} for n in frame.variables}
    for name in ("time", "time_bnds"):
        plain[name] |= encoding
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # consolidated metadata are not in the Zarr v3 specification yet
        frame.to_zarr(path, mode="w", zarr_format=3, consolidated=False, encoding=plain)
    group = zarr.open_group(path, mode="r+", zarr_format=3)
    rows, columns = grid.shape
    _write_areas(group, grid, tile)
    for target, unit in zip(targets, units, strict=True):
        name = variable_of(target, unit)
        described = _attributes(target, unit)
        if dtype == "int16" and is_flux(target, unit):
            described |= {"scale_factor": PACKED_STEP, "add_offset": 0.0, "_FillValue": INT16_FILL}
            fill: float = INT16_FILL
            kind = "int16"
        else:
            kind, fill = "float32", float("nan")
        _array(
            group,
            name,
            (len(cube.months), rows, columns),
            (TIME_CHUNK, tile, tile),
            kind,
            fill,
            ("time", *grid.dims),
            described,
        )
        if members:
            for which, words in (
                ("sd", "standard deviation over bootstrap members"),
                ("mean", "mean over members"),
            ):
                own = {
                    **described,
                    "long_name": f"{words} of the mean annual {described['long_name']}",
                    "cell_methods": "time: mean",
                }
                for packed in ("scale_factor", "add_offset", "_FillValue"):
                    own.pop(packed, None)
                _array(
                    group,
                    f"{name}_member_{which}",
                    (rows, columns),
                    (tile, tile),
                    "float32",
                    float("nan"),
                    grid.dims,
                    own,
                )
    if land:
        told = {"units": "1", "standard_name": "land_area_fraction", "grid_mapping": "crs"}
        _array(
            group, "land_fraction", (rows, columns), (tile, tile), "float32", float("nan"), grid.dims, told
        )
    _array(
        group,
        "coverage",
        (rows, columns),
        (tile, tile),
        "float32",
        0.0,
        grid.dims,
        {"units": "1", "long_name": "share of area and time that had data", "grid_mapping": "crs"},
    )


def write_months(
    path: Path, name: str, tile: Tile, first: int, values: npt.NDArray[Any], touched: set[Path]
) -> None:
    """Write (months, rows, columns) of a tile, from month number `first` of the run, in kg m-2 s-1 or model units."""
    array = _array_of(path, name)
    if array.dtype == np.int16:
        steps = np.round(values / PACKED_STEP)
        if np.nanmax(np.abs(steps), initial=0) > 32767:
            worst = np.nanmax(np.abs(values))
            raise InputError(
                f"{path}: {name} reaches {worst:.3g} kg m-2 s-1, more than int16 holds; use --dtype float32."
            )
        values = np.where(np.isfinite(steps), steps, INT16_FILL).astype(np.int16)
    array[first : first + len(values), tile.j0 : tile.j1, tile.i0 : tile.i1] = values
    edge = array.chunks[1]
    touched.add(path / name / "c" / str(first // TIME_CHUNK) / str(tile.j0 // edge) / str(tile.i0 // edge))


def write_plane(path: Path, name: str, tile: Tile, values: npt.NDArray[Any], touched: set[Path]) -> None:
    """Write (rows, columns) of a tile."""
    array = _array_of(path, name)
    array[tile.j0 : tile.j1, tile.i0 : tile.i1] = values
    edge = array.chunks[0]
    touched.add(path / name / "c" / str(tile.j0 // edge) / str(tile.i0 // edge))


def settle(touched: set[Path], root: Path) -> str:
    """Flush the chunk files of a tile to disk; returns `hash_chunks` of them."""
    for chunk in touched:
        if chunk.exists():
            with chunk.open("rb") as stream:
                os.fsync(stream.fileno())
    return hash_chunks(touched, root)


def hash_chunks(chunks: set[Path], root: Path) -> str:
    """SHA-256 of the names and bytes of chunk files (a chunk of fill values has no file)."""
    digest = hashlib.sha256()
    for chunk in sorted(chunks):
        if chunk.exists():
            digest.update(chunk.relative_to(root).as_posix().encode() + b"\0" + chunk.read_bytes())
    return digest.hexdigest()


def mark_complete(path: Path) -> None:
    """Say in the store that every tile is there."""
    group = zarr.open_group(path, mode="r+", zarr_format=3)
    group.attrs[COMPLETE] = "true"


def is_store(path: Path) -> bool:
    """Whether a folder holds a Zarr v3 group."""
    return (path / "zarr.json").is_file()


def write_run(folder: Path, facts: Mapping[str, Any]) -> None:
    """Record what a run is, beside the results of its tiles."""
    write_text(folder / "run.json", json.dumps(facts, indent=1, sort_keys=True, allow_nan=False) + "\n")


def _write_areas(group: zarr.Group, grid: Grid, tile: int) -> None:
    """cell_area; where all cells are alike it is a fill value and takes no room."""
    areas = grid.row_area_m2
    alike = bool((areas == areas[0]).all())
    attrs = {"units": "m2", "standard_name": "cell_area", "long_name": "cell area", "grid_mapping": "crs"}
    fill = float(areas[0]) if alike else float("nan")
    _array(group, "cell_area", grid.shape, (tile, tile), "float64", fill, grid.dims, attrs)
    for a in range(0, 0 if alike else grid.shape[0], tile):
        own = areas[a : a + tile, None]
        group["cell_area"][a : a + tile] = np.repeat(own, grid.shape[1], axis=1)  # type: ignore[index]


def _array_of(path: Path, name: str) -> Any:
    return zarr.open_group(path, mode="r+", zarr_format=3)[name]


def _array(
    group: zarr.Group,
    name: str,
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    dtype: str,
    fill: float,
    dims: tuple[str, ...],
    attrs: Mapping[str, Any],
) -> None:
    group.create_array(
        name,
        shape=shape,
        chunks=chunks,
        dtype=dtype,
        fill_value=fill,
        dimension_names=dims,
        compressors=[ZstdCodec(level=3), Crc32cCodec()],
        serializer=BytesCodec(),
        attributes=dict(attrs),
    )


def _attributes(target: str, unit: str) -> dict[str, Any]:
    if not is_flux(target, unit):
        return {"units": unit, "long_name": target, "grid_mapping": "crs"}
    attributes = FLUXES[FLUX_OF[target]].attributes
    return {**attributes, "grid_mapping": "crs", "cell_measures": "area: cell_area"}


def _first(counted: int, calendar: str) -> cftime.datetime:
    year, month = divmod(counted, 12)
    return cftime.datetime(year, month + 1, 1, calendar=calendar)
