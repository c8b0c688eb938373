"""What does not change in a run of the process model: soil texture, elevation, vegetation and area of cells."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xarray as xr

from talik.errors import ConfigError, InputError, UnitsError
from talik.flux.units import as_units
from talik.provenance import hash_file
from talik.sources.climate_cells import (
    Array,
    Cells,
    IntArray,
    Points,
    cell_size_km,
    distance_between_km,
    locate,
    points_of,
    wanted_cells,
)
from talik.sources.climate_grids import open_grid

BoolArray = npt.NDArray[np.bool_]
TEXTURES = ("sand", "silt", "clay")
TEXTURE_SUM = (99.0, 101.0)
TYPES = (1, 35)
"""Vegetation types of TEM 4.3."""
NAMED = 3


@dataclass(frozen=True, slots=True)
class _Variable:
    """A static variable: its units here, its names in files, and the units of a file that states none (documented)."""

    name: str
    units: str
    long_name: str
    names: Mapping[str, str | None]


_VARIABLES = (
    *(_Variable(n, "%", f"{n} in the soil, by weight", {n: None, f"pct_{n}": "%"}) for n in TEXTURES),
    _Variable("elevation", "m", "height of the surface above sea level", {"elevation": "m"}),
    _Variable("vegetation", "1", "vegetation type of TEM 4.3, 1 to 35", {"temveg": "1", "veg_class": "1"}),
    _Variable("area", "m2", "area of the cell", {"cell_area": None}),
)


def read_static(
    paths: str | Path | Sequence[str | Path],
    *,
    cells: Cells | None = None,
    vegetation_types: Mapping[int, int] | None = None,
) -> xr.Dataset:
    """Static input of cells: `sand`, `silt`, `clay` (%), `elevation` (m), `vegetation` (TEM type 1-35), `area` (m2).

    The Dataset has dimension (cell), coordinates `lat` and `lon` of the grid points of the first file, and the
    variables that the files hold, float64 (vegetation int64). Each variable is taken from the first file that holds it:
    give a better soil map before the file with the rest.

    paths : NetCDF files of TEM static data, HWSD topsoil, or DVM-DOS-TEM (vegetation or run-mask first, then
        soil-texture and topo: the positions in soil-texture are half a cell off).
    cells : (lat, lon) in degrees; the nearest grid point stands for each, in this order. None takes every point that
        has all variables and, if a file holds `run`, is to be run.
    vegetation_types : TEM type of each code of the file; needed for DVM-DOS-TEM, whose community codes are others.

    Raises:
        InputError: values that are missing or cannot be right; texture that does not sum to 100 +- 1 %.
        UnitsError: units that are missing or do not fit.
        GridError: cells outside the grid of a file.
        ConfigError: codes without a TEM type.
    """
    files = [Path(paths)] if isinstance(paths, str | Path) else [Path(p) for p in paths]
    if not files:
        raise ConfigError("no static files given; expected at least one path.")
    wanted = None if cells is None else wanted_cells(cells)
    with open_grid(files[0]) as dataset:
        first = points_of(dataset, files[0])
    index = first.order() if wanted is None else locate(first, wanted)
    found: dict[str, xr.DataArray] = {}
    notes: list[str] = []
    run: Array | None = None
    for path in files:
        with open_grid(path) as dataset:
            points = points_of(dataset, path)
            here = _same_points(first, index, points)
            if "run" in dataset and wanted is None:
                run = _values(dataset["run"], points, path)[here]
            taken = [v for v in _VARIABLES if v.name not in found and any(n in dataset for n in v.names)]
            if not taken and "run" not in dataset:
                names = ", ".join(n for v in _VARIABLES for n in v.names)
                raise InputError(
                    f"{path}: gives nothing new; expected one of {names} that no earlier file holds. Leave it out."
                )
            for variable in taken:
                found[variable.name] = _read(dataset, variable, points, here, path, vegetation_types)
            notes += points.notes
            notes += [str(dataset.attrs["talik_note"])] if "talik_note" in dataset.attrs else []
    if not found:
        raise InputError(
            f"{files[0]}: a mask alone; expected soil texture, elevation or vegetation too. Add files."
        )
    out = xr.Dataset(
        found,
        coords={
            "lat": ("cell", first.lat[index], {"standard_name": "latitude", "units": "degrees_north"}),
            "lon": ("cell", first.lon[index], {"standard_name": "longitude", "units": "degrees_east"}),
        },
    )
    if wanted is None:
        out = _cells_to_run(out, run, notes)
    _check(out)
    if "vegetation" in out:
        attrs = out["vegetation"].attrs
        out["vegetation"] = out["vegetation"].astype(np.int64).assign_attrs(attrs)
    inputs = {f.name: hash_file(f) for f in files}
    return out.assign_attrs(
        source=", ".join(f.name for f in files),
        notes=list(dict.fromkeys(notes)),
        talik_inputs=json.dumps(inputs, sort_keys=True),
    )


def _same_points(first: Points, index: IntArray, points: Points) -> IntArray:
    """The points of a file that stand for the points `index` of the first file.

    Curvilinear grids of one shape are taken point by point, because the positions of DVM-DOS-TEM files differ by part
    of a cell (half a kilometre of one for soil texture); all others by the nearest point.
    """
    if points.dims == first.dims and points.shape == first.shape and not (points.regular or first.regular):
        apart = distance_between_km(first, index, points, index)
        if (apart <= cell_size_km(first, index)).all():
            return index
    return locate(points, np.stack([first.lat[index], first.lon[index]], axis=1))


def _read(
    dataset: xr.Dataset,
    variable: _Variable,
    points: Points,
    index: IntArray,
    path: Path,
    vegetation_types: Mapping[int, int] | None,
) -> xr.DataArray:
    """One variable at some points, (cell,)."""
    held, default = next((n, u) for n, u in variable.names.items() if n in dataset)
    values = _values(dataset[held], points, path)[index]
    if variable.name == "vegetation":
        values = _types(values, held, path, vegetation_types)
    units = dataset[held].attrs.get("units", default)
    data = xr.DataArray(values, dims="cell", name=held, attrs={"units": units} if units else {})
    try:
        out = as_units(data, "percent" if variable.units == "%" else variable.units)
    except UnitsError as err:
        raise UnitsError(f"{path}: {err}") from err
    out.attrs = {
        "units": variable.units,
        "long_name": variable.long_name,
        "source_variable": held,
        "source_files": path.name,
    }
    return out.rename(variable.name)


def _values(data: xr.DataArray, points: Points, path: Path) -> Array:
    """All values of a variable, (point,), missing ones NaN."""
    if set(map(str, data.dims)) != set(points.dims):
        raise InputError(
            f"{path}: {data.name} has dimensions {data.dims}; expected {', '.join(points.dims)}. Select one level."
        )
    return np.asarray(data.transpose(*points.dims).values, dtype=np.float64).ravel()


def _types(values: Array, held: str, path: Path, types: Mapping[int, int] | None) -> Array:
    """TEM types of vegetation codes, (cell,)."""
    if types is None:
        if held == "veg_class":
            codes = ", ".join(f"{c:g}" for c in np.unique(values[np.isfinite(values)]))
            raise ConfigError(
                f"{path}: {held} holds community codes of DVM-DOS-TEM ({codes}), no TEM vegetation types. Give "
                "the TEM type of each, such as vegetation_types={5: 3}."
            )
        return values
    unknown = np.setdiff1d(values[np.isfinite(values)], np.array(list(types), dtype=np.float64))
    if unknown.size:
        raise ConfigError(
            f"{path}: {held} {', '.join(f'{c:g}' for c in unknown)} has no TEM type in vegetation_types; add it."
        )
    out = np.full(values.shape, np.nan)
    for code, kind in types.items():
        out[values == code] = kind
    return out


def _cells_to_run(out: xr.Dataset, run: Array | None, notes: list[str]) -> xr.Dataset:
    """The cells that have every variable and are to be run; a note counts the others."""
    complete = np.all([np.isfinite(v.values) for v in out.data_vars.values()], axis=0)
    if run is not None:
        notes.append(f"{int((run != 1).sum())} of {run.size} cells are not to be run and are left out")
        complete &= run == 1
        out, complete = out.isel(cell=run == 1), complete[run == 1]
    if not complete.any():
        raise InputError(
            f"static files: no cell has all of {', '.join(map(str, out.data_vars))}; expected maps of one region."
        )
    if not complete.all():
        notes.append(f"{int((~complete).sum())} of {complete.size} cells lack a variable and are left out")
    return out.isel(cell=complete)


def _check(out: xr.Dataset) -> None:
    """InputError that lists what cannot be right, with the first cells."""
    faults: list[str] = []

    def fault(name: str, wrong: BoolArray, values: Array, expected: str, remedy: str) -> None:
        cells = np.flatnonzero(wrong)
        if cells.size:
            named = ", ".join(
                f"({float(out['lat'][i]):g}, {float(out['lon'][i]):g}) {values[i]:g}" for i in cells[:NAMED]
            )
            faults.append(
                f"{name}: {cells.size} of {wrong.size} cells, first {named}; expected {expected}. {remedy}"
            )

    for name, data in out.data_vars.items():
        values = np.asarray(data.values, dtype=np.float64)
        label = f"{name} ({data.attrs['source_files']})"
        fault(
            label, ~np.isfinite(values), values, "values in every cell", "Leave these cells out with cells."
        )
        if name in TEXTURES:
            fault(label, (values < 0) | (values > 100), values, "0..100 %", "Check the units and fill value.")
        elif name == "elevation":
            fault(
                label,
                (values < -500) | (values > 9000),
                values,
                "-500..9000 m",
                "Check units and fill value.",
            )
        elif name == "area":
            fault(label, values <= 0, values, "areas above 0", "Check the units and fill value.")
        elif name == "vegetation":
            strange = np.isfinite(values) & ((values % 1 != 0) | (values < TYPES[0]) | (values > TYPES[1]))
            fault(label, strange, values, "TEM types 1..35", "Map the codes with vegetation_types.")
    held = [out[n].values for n in TEXTURES if n in out]
    if 0 < len(held) < len(TEXTURES):
        faults.append(
            "soil texture: some of sand, silt and clay are missing; expected all three. Add their file."
        )
    elif held:
        total = np.sum(held, axis=0)
        wrong = (total < TEXTURE_SUM[0]) | (total > TEXTURE_SUM[1])
        fault(
            "sand + silt + clay",
            wrong,
            total,
            "100 +- 1 %",
            "Correct the soil map, or leave these cells out.",
        )
    if faults:
        raise InputError("static input is wrong:" + "".join(f"\n  {f}" for f in faults))
