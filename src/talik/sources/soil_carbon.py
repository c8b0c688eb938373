"""Observed soil carbon and nitrogen of cells, in four intervals to 3 m, from maps as they are published."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

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
    locate,
    nearest,
    points_of,
    wanted_cells,
)
from talik.sources.climate_grids import HUGE, open_grid

BoolArray = npt.NDArray[np.bool_]
EDGES_M = (0.0, 0.3, 1.0, 2.0, 3.0)
"""Depths between which stocks are given."""
NAMES = {"carbon": ("soil_carbon", "permafrost_c"), "nitrogen": ("soil_nitrogen", "permafrost_n")}
"""Variables of files with layers. The second name is that of TEM static data, where zero in all layers is no data."""
NCSCD = "NCSCDv2"
NCSCD_UNITS = "hg m-2"
"""Units of NCSCD maps that state none (Hugelius et al. 2013)."""
NCSCD_LAYERS = (30, 100, 200, 300)
"""Depths in the names of NCSCD files, cm: the lower edge of 0-30, 0-100, 100-200 and 200-300 cm."""
NO_DATA = (1e-3, -32768.0)
"""NCSCD values nearer to zero than the first (hg m-2), or equal to the second, are no data: the maps hold zero where
nothing is mapped; -32768 is the fill value of 16-bit integers, for files that do not declare it."""
DENSEST = 300.0
"""Denser soil carbon than this, kg m-3, does not exist: it is several times that of peat."""
ROUND_OFF = 1e-6
"""Share of the first metre by which its upper part may exceed it: what float32 maps cannot resolve."""
NAMED = 3
"""Cells that a message names."""


@dataclass(frozen=True, eq=False)
class _Profile:
    """Stocks of consecutive layers, kg m-2, (layer, cell), between the depths `edges`, m; NaN where there is none."""

    stocks: Array
    edges: Array
    variable: str
    files: str


def read_soil_carbon(
    paths: str | Path | Sequence[str | Path],
    *,
    cells: Cells,
    gaps: Literal["drop", "error"] = "drop",
    outside: Literal["drop", "error"] = "error",
) -> xr.Dataset:
    """Soil carbon of cells at 0-0.3, 0.3-1, 1-2 and 2-3 m, and nitrogen if the files hold it.

    The Dataset has `carbon` and `nitrogen` (interval, cell), kg m-2, float64, NaN where nothing is observed;
    coordinates `top` and `bottom` (interval) in m, `lat` and `lon` (cell). A profile is observed as a whole or not at
    all.

    paths : the four files SOCC30, SOCC100, SOCC200, SOCC300 of NCSCDv2 (Hugelius et al. 2013); TEM static data; or CF
        files with `soil_carbon` or `soil_nitrogen` by depth, in kg m-2 or kg m-3. The first file that holds carbon, or
        nitrogen, gives it.
    cells : (lat, lon) in degrees; the nearest grid point stands for each, in this order.
    gaps : what is done with profiles that lack some intervals: 'drop' takes them for not observed and notes how many,
        'error' stops.
    outside : what is done with cells that a file does not cover: 'drop' takes them for not observed there and notes how
        many, 'error' stops.

    Raises:
        InputError: layers from which the intervals cannot be made; stocks that are negative or denser than 300 kg m-3;
            0-0.3 m with more carbon than 0-1 m; gaps.
        UnitsError: units that are missing or do not fit. NCSCD files may state none.
        GridError: cells outside the grid of a file.
        ConfigError: no files, no cells, or another word for `gaps` or `outside`.
    """
    files = [Path(paths)] if isinstance(paths, str | Path) else [Path(p) for p in paths]
    if not files:
        raise ConfigError("no soil-carbon files given; expected at least one path.")
    for name, word in (("gaps", gaps), ("outside", outside)):
        if word not in ("drop", "error"):
            raise ConfigError(f"{name} is {word!r}; choose 'drop' or 'error'.")
    wanted = wanted_cells(cells)
    notes: list[str] = []
    profiles: dict[str, _Profile] = {}
    ncscd: dict[int, tuple[Path, Array]] = {}
    for path in files:
        with open_grid(path) as dataset:
            points = points_of(dataset, path)
            index = _located(points, wanted, outside, path, notes)
            notes += points.notes
            if NCSCD in dataset:
                _add_ncscd(ncscd, dataset[NCSCD], points, index, path, notes)
            else:
                _add_layers(profiles, dataset, points, index, path, notes)
    if ncscd:
        if "carbon" in profiles:
            raise InputError(
                f"{profiles['carbon'].files}: holds carbon, and so do the NCSCD files. Give one of them."
            )
        profiles["carbon"] = _ncscd_profile(ncscd, wanted)
    observed = {}
    for name, profile in profiles.items():
        _check(profile, wanted)
        observed[name] = _intervals(profile, wanted, gaps, notes)
    return _dataset(observed, profiles, wanted).assign_attrs(
        source=", ".join(f.name for f in files),
        notes=list(dict.fromkeys(notes)),
        talik_inputs=json.dumps({f.name: hash_file(f) for f in files}, sort_keys=True),
    )


def _located(
    points: Points, wanted: Array, outside: Literal["drop", "error"], path: Path, notes: list[str]
) -> IntArray:
    """Index of the grid point of each cell; -1 for those outside the grid if they may be."""
    if outside == "error":
        return locate(points, wanted)
    index, distance = nearest(points, wanted[:, 0], wanted[:, 1])
    away = distance > cell_size_km(points, index)
    if away.any():
        notes.append(f"{path.name}: {int(away.sum())} of {away.size} cells lie outside its grid: no data")
    return np.where(away, -1, index)


def _add_ncscd(
    found: dict[int, tuple[Path, Array]],
    data: xr.DataArray,
    points: Points,
    index: IntArray,
    path: Path,
    notes: list[str],
) -> None:
    """One NCSCD map at some points, by the number in its name."""
    code = re.search(r"SOCC(\d+)", path.name)
    if code is None or int(code[1]) not in NCSCD_LAYERS:
        raise InputError(
            f"{path}: the name of an NCSCD file says its depth; expected SOCC30, SOCC100, SOCC200 or SOCC300 in it. "
            "Keep the published name."
        )
    if int(code[1]) in found:
        raise InputError(
            f"{path}: {code[0]} is given twice, also by {found[int(code[1])][0]}. Leave one out."
        )
    units = re.sub(r"\s*C\b", "", str(data.attrs.get("units", ""))).strip()
    if not units:
        notes.append(f"{path.name} states no units: taken as published, {NCSCD_UNITS} of carbon")
    values = _at(data, points, index, path, None)
    values = np.where((np.abs(values) < NO_DATA[0]) | (values == NO_DATA[1]), np.nan, values)
    held = xr.DataArray(values, dims="cell", name=NCSCD, attrs={"units": units or NCSCD_UNITS})
    found[int(code[1])] = (path, _converted(held, "kg m-2", path))


def _ncscd_profile(found: dict[int, tuple[Path, Array]], wanted: Array) -> _Profile:
    """Four intervals of four NCSCD maps; 0-0.3 m lies inside 0-1 m."""
    missing = [f"SOCC{n}" for n in NCSCD_LAYERS if n not in found]
    if missing:
        raise InputError(
            f"{', '.join(str(p) for p, _ in found.values())}: NCSCD without {', '.join(missing)}; expected all four "
            "maps of 30, 100, 200 and 300 cm. Add the files."
        )
    upper, metre, second, third = (found[n][1] for n in NCSCD_LAYERS)
    below = metre - upper
    below = np.where(np.abs(below) <= ROUND_OFF * metre, 0.0, below)
    wrong = np.flatnonzero(below < 0.0)
    if wrong.size:
        named = ", ".join(
            f"{_place(wanted, i)} {upper[i]:g} and {metre[i]:g}" for i in wrong[:NAMED].tolist()
        )
        raise InputError(
            f"{found[30][0]}: 0-0.3 m has more carbon than 0-1 m in {found[100][0].name} in {wrong.size} of "
            f"{below.size} cells, first {named} kg m-2; expected less, because it lies inside. Are the files swapped?"
        )
    files = f"{found[NCSCD_LAYERS[0]][0].name} and {', '.join(f'SOCC{n}' for n in NCSCD_LAYERS[1:])}"
    return _Profile(np.stack([upper, below, second, third]), np.array(EDGES_M), NCSCD, files)


def _add_layers(
    profiles: dict[str, _Profile],
    dataset: xr.Dataset,
    points: Points,
    index: IntArray,
    path: Path,
    notes: list[str],
) -> None:
    """Carbon and nitrogen by layer of one file, where no earlier file holds them."""
    taken = {
        kind: held
        for kind, names in NAMES.items()
        if kind not in profiles and (held := next((n for n in names if n in dataset), None))
    }
    if not taken:
        names = ", ".join(n for both in NAMES.values() for n in both)
        raise InputError(
            f"{path}: gives nothing new; expected {NCSCD} or one of {names} that no earlier file holds. Leave it out."
        )
    for kind, held in taken.items():
        profile = _layers(dataset, held, points, index, path)
        if held == NAMES[kind][1]:
            nothing = (profile.stocks == 0.0).all(axis=0)
            profile = replace(profile, stocks=np.where(nothing, np.nan, profile.stocks))
            if nothing.any():
                count = f"{int(nothing.sum())} of {nothing.size} cells"
                notes.append(f"{path.name}: {count} hold zero {held} at every depth: no data")
        profiles[kind] = profile


def _layers(dataset: xr.Dataset, held: str, points: Points, index: IntArray, path: Path) -> _Profile:
    """One variable by layer, to 3 m, at some points."""
    data = dataset[held]
    extra = [str(d) for d in data.dims if str(d) not in points.dims]
    if len(extra) != 1:
        raise InputError(
            f"{path}: {held} has dimensions {data.dims}; expected depth, {', '.join(points.dims)}."
        )
    top, bottom = _layer_bounds(dataset, extra[0], path)
    order = np.argsort(top)
    order = order[top[order] < EDGES_M[-1]]
    edges = _edges(top[order], bottom[order], held, path)
    layers = xr.DataArray(
        _at(data, points, index, path, extra[0])[order],
        dims=("layer", "cell"),
        name=held,
        attrs={k: v for k, v in data.attrs.items() if k == "units"},
    )
    return _Profile(_stocks(layers, np.diff(edges), path), edges, held, path.name)


def _layer_bounds(dataset: xr.Dataset, depth: str, path: Path) -> tuple[Array, Array]:
    """Top and bottom of the layers along a dimension, m."""
    attrs = dataset[depth].attrs if depth in dataset.variables else {}
    name = str(attrs.get("bounds", f"{depth}_bnds"))
    if name not in dataset:
        raise InputError(
            f"{path}: no {name}; expected top and bottom of every layer. Add {name} ({depth}, 2) in m, and name it in "
            f"the attribute bounds of {depth}."
        )
    bounds = dataset[name]
    if bounds.ndim != 2 or bounds.dims[0] != depth or bounds.shape[1] != 2:
        raise InputError(f"{path}: {name} has dimensions {dict(bounds.sizes)}; expected ({depth}, 2).")
    units = bounds.attrs.get("units", attrs.get("units"))
    held = xr.DataArray(
        np.asarray(bounds.values, dtype=np.float64),
        dims=("layer", "bound"),
        name=name,
        attrs={"units": units} if units else {},
    )
    metres = np.round(_converted(held, "m", path), 6)
    return metres.min(axis=1), metres.max(axis=1)


def _edges(top: Array, bottom: Array, held: str, path: Path) -> Array:
    """Edges of layers that join without gaps and hold those of the intervals, m, (layer + 1,)."""
    apart = np.flatnonzero(bottom[:-1] != top[1:])
    if apart.size:
        i = int(apart[0])
        raise InputError(
            f"{path}: layers {top[i]:g}-{bottom[i]:g} and {top[i + 1]:g}-{bottom[i + 1]:g} m of {held} do not join; "
            "expected layers without gaps or overlap from 0 to 3 m. Correct the bounds."
        )
    edges = np.concatenate([top, bottom[-1:]])
    missing = np.setdiff1d(EDGES_M, edges)
    if missing.size:
        raise InputError(
            f"{path}: layers of {held} with edges {', '.join(f'{e:g}' for e in edges)} m lack an edge at "
            f"{', '.join(f'{e:g}' for e in missing)} m; expected 0, 0.3, 1, 2 and 3 m among them, so that the stocks "
            "between are exact. Resample the profiles to such layers."
        )
    return edges


def _stocks(layers: xr.DataArray, thickness: Array, path: Path) -> Array:
    """Stocks of layers, kg m-2, of stocks or of densities."""
    try:
        return np.asarray(as_units(layers, "kg m-3").values) * thickness[:, None]
    except UnitsError:
        return _converted(layers, "kg m-2", path, " (a stock) or kg m-3 (a density)")


def _converted(data: xr.DataArray, units: str, path: Path, meant: str = "") -> Array:
    """Values in some units; errors name the file."""
    try:
        return np.asarray(as_units(data, units).values, dtype=np.float64)
    except UnitsError as err:
        raise UnitsError(f"{path}: {err} Expected {units}{meant}.") from err


def _at(data: xr.DataArray, points: Points, index: IntArray, path: Path, depth: str | None) -> Array:
    """Values at some points, (cell,) or (layer, cell), NaN where they are missing or the index is -1. Only what is near
    them is read."""
    if {str(d) for d in data.dims} != {*points.dims} | ({depth} if depth else set()):
        raise InputError(
            f"{path}: {data.name} has dimensions {data.dims}; expected {', '.join(points.dims)}."
        )
    places = zip(points.dims, np.unravel_index(np.maximum(index, 0), points.shape), strict=True)
    picked = data.drop_vars(list(data.coords)).isel({d: xr.DataArray(i, dims="cell") for d, i in places})
    order = (depth, "cell") if depth else ("cell",)
    values = np.asarray(picked.transpose(*order).values, dtype=np.float64)
    return np.where((np.abs(values) < HUGE) & (index >= 0), values, np.nan)


def _check(profile: _Profile, wanted: Array) -> None:
    """InputError for stocks that cannot be right, with the first cells."""
    density = profile.stocks / np.diff(profile.edges)[:, None]
    for wrong, values, units, expected in (
        (profile.stocks < 0.0, profile.stocks, "kg m-2", "0 or more; missing values need a _FillValue"),
        (density > DENSEST, density, "kg m-3", f"at most {DENSEST:g} kg m-3. Check the units"),
    ):
        layer, cell = np.nonzero(wrong)
        if cell.size:
            named = ", ".join(
                f"{_place(wanted, i)} {profile.edges[k]:g}-{profile.edges[k + 1]:g} m {values[k, i]:g}"
                for k, i in list(zip(layer.tolist(), cell.tolist(), strict=True))[:NAMED]
            )
            raise InputError(
                f"{profile.files}: {profile.variable}: {len(set(cell.tolist()))} of {wrong.shape[1]} cells, first "
                f"{named} {units}; expected {expected}."
            )


def _intervals(profile: _Profile, wanted: Array, gaps: Literal["drop", "error"], notes: list[str]) -> Array:
    """Stocks of the four intervals, (4, cell), NaN where a layer is missing."""
    seen = np.isfinite(profile.stocks)
    partly = np.flatnonzero(seen.any(axis=0) & ~seen.all(axis=0))
    if partly.size:
        named = ", ".join(_place(wanted, i) for i in partly[:NAMED].tolist())
        found = (
            f"{profile.files}: {profile.variable} lacks some depths in {partly.size} of {seen.shape[1]} cells, "
            f"first {named}"
        )
        if gaps == "error":
            raise InputError(f"{found}; expected all of 0-3 m. Fill them, or set gaps='drop'.")
        notes.append(f"{found}: taken as not observed")
    if not seen.all(axis=0).any():
        notes.append(f"{profile.files}: {profile.variable} is observed in none of {seen.shape[1]} cells")
    elif (nothing := int((~seen).all(axis=0).sum())) > 0:
        notes.append(
            f"{profile.files}: {profile.variable} is not observed in {nothing} of {seen.shape[1]} cells"
        )
    starts = np.searchsorted(profile.edges, EDGES_M[:-1])
    stocks = np.add.reduceat(profile.stocks, starts, axis=0)
    return np.where(seen.all(axis=0), stocks, np.nan)


def _dataset(observed: dict[str, Array], profiles: dict[str, _Profile], wanted: Array) -> xr.Dataset:
    """Stocks with their coordinates."""
    out = xr.Dataset(
        coords={
            "top": (
                "interval",
                np.array(EDGES_M[:-1]),
                {"units": "m", "long_name": "upper edge, below ground"},
            ),
            "bottom": (
                "interval",
                np.array(EDGES_M[1:]),
                {"units": "m", "long_name": "lower edge, below ground"},
            ),
            "lat": ("cell", wanted[:, 0], {"standard_name": "latitude", "units": "degrees_north"}),
            "lon": ("cell", wanted[:, 1], {"standard_name": "longitude", "units": "degrees_east"}),
        }
    )
    for name in (n for n in NAMES if n in observed):
        out[name] = (
            ("interval", "cell"),
            observed[name],
            {
                "units": "kg m-2",
                "long_name": f"organic {name} in the soil between top and bottom",
                "source_variable": profiles[name].variable,
                "source_files": profiles[name].files,
            },
        )
    return out


def _place(wanted: Array, i: int) -> str:
    return f"({wanted[i, 0]:g}, {wanted[i, 1]:g})"
