"""Which cells have forcing, and their soil, vegetation, elevation and area, each with its source."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xarray as xr

from talik.errors import ConfigError, GridError, InputError, UnitsError
from talik.flux.units import as_units
from talik.forcing.settings import STAND_INS, ForcingSettings, LandMaps
from talik.provenance import stamp
from talik.regions.axes import conform, grid_of
from talik.regions.classes import classes_of
from talik.regions.sphere import wrap_longitude
from talik.sources.climate_cells import Points, nearest
from talik.sources.climate_checks import DRIEST
from talik.sources.climate_grids import open_grid
from talik.sources.climatology import on_map, read_climatology

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Resolve = Callable[[str], Path]

FRACTIONS = ("permafrost_fraction", "permafrost_fraction_median")
TEXTURES = ("sand", "silt", "clay")
DRY_MM = 20.0
"""Annual precipitation that is too little for any permafrost land: such cells are counted."""
NEARBY_KM = 100.0
"""How far the nearest cell with a Köppen class may lie: coasts differ between maps."""
LAND_AREA = "area of all land in the cell, with ice, rock and inland water"
"""What HWSD counts as land; it is more than what carries soil."""
TEXTURE_SOURCES = ("tem_static", "soil")
VEGETATION_SOURCES = ("tem_static", "koeppen", "koeppen_nearby")
ELEVATION_SOURCES = ("tem_static", "elevation_m")
_POLAR, _WET = 2, 3


def read_land(settings: ForcingSettings, resolve: Resolve) -> xr.Dataset:
    """Static input of every cell that has forcing, as `read_static` reads it, from south to north.

    Dimension (cell): sand, silt, clay (percent), temveg (TEM type), elevation (m), cell_area (m2, all land in the cell:
    with HWSD also ice, rock and lakes), permafrost_fraction (1), and texture_source, vegetation_source,
    elevation_source (flags). The attribute `talik_audit` (JSON) counts cells by source, and those left out by the first
    reason that holds: no climate, no precipitation in a year (some maps have none near the pole), no land, no texture,
    no vegetation. `talik_note` says the same in words.

    Raises:
        InputError: files without the variables, or no cell left.
        UnitsError: units that are missing or do not fit.
        GridError: permafrost on no even grid.
        ConfigError: stand-ins that are no TEM types or no Köppen classes.
    """
    lat, lon, fraction, whole = permafrost_cells(
        resolve(settings.cells.permafrost), settings.cells.smallest_fraction
    )
    tas, pr, clt = read_climatology(resolve(settings.climatology.file), lat, lon)
    land = settings.land
    soil = _maps(resolve(land.soil), (*TEXTURES, "land_fraction"), lat, lon)
    tem = _tem_static(land, resolve, lat, lon)
    texture, texture_source = _first(
        np.stack([tem[n] for n in TEXTURES]), np.stack([soil[n] for n in TEXTURES])
    )
    types, type_source = vegetation(land, resolve(land.koeppen), lat, lon, tem["temveg"], _warmest(tas))
    elevation, elevation_source = _first(tem["elevation"], np.full(lat.size, land.elevation_m))
    share = np.nan_to_num(soil["land_fraction"])
    has: dict[str, BoolArray] = {
        "climate": np.isfinite(np.concatenate([tas, pr, clt])).all(axis=0),
        "precipitation": np.nan_to_num(pr).sum(axis=0) >= DRIEST,
        "land": np.asarray(share > 0),
        "texture": np.isfinite(texture.sum(axis=0)),
        "vegetation": np.isfinite(types),
    }
    kept, dropped = _kept(has)
    if not kept.any():
        raise InputError(
            f"forcing: none of {lat.size} permafrost cells has climate, land, texture and vegetation (first missing: "
            f"{dropped}). Expected maps of one region with the same cell centres."
        )
    area = whole * share
    out = xr.Dataset(
        {
            **{
                n: ("cell", t[kept], _named(f"{n} in the soil, by weight", "percent"))
                for n, t in zip(TEXTURES, texture, strict=True)
            },
            "temveg": ("cell", types[kept].astype(np.int16), _named("vegetation type of TEM 4.3", "1")),
            "elevation": ("cell", elevation[kept], _named("height of the surface above sea level", "m")),
            "cell_area": ("cell", area[kept], _named(LAND_AREA, "m2")),
            "permafrost_fraction": ("cell", fraction[kept], _named("share of the land with permafrost", "1")),
            "texture_source": _flags(texture_source[kept], TEXTURE_SOURCES, "where soil texture comes from"),
            "vegetation_source": _flags(
                type_source[kept], VEGETATION_SOURCES, "where the vegetation type comes from"
            ),
            "elevation_source": _flags(
                elevation_source[kept], ELEVATION_SOURCES, "where elevation comes from"
            ),
        },
        coords={
            "lat": ("cell", lat[kept], {"standard_name": "latitude", "units": "degrees_north"}),
            "lon": ("cell", lon[kept], {"standard_name": "longitude", "units": "degrees_east"}),
        },
    )
    dry = int((pr.sum(axis=0)[kept] < DRY_MM).sum())
    told = audit(out, int(lat.size), dropped, dry)
    return out.assign_attrs(
        Conventions="CF-1.8",
        title="Soil, vegetation, elevation and area of permafrost cells",
        talik_audit=json.dumps(told, sort_keys=True),
        talik_note=_note(out, int(lat.size), dropped, dry),
    )


def write_land(out: Path, settings: ForcingSettings, resolve: Resolve, key: str) -> None:
    """Write what `read_land` returns."""
    land = read_land(settings, resolve)
    encoding = {n: {"zlib": True, "complevel": 4} for n in land.data_vars}
    stamp(land, "tem forcing", key).to_netcdf(out, engine="netcdf4", encoding=encoding)


def permafrost_cells(path: Path, smallest: float) -> tuple[Array, Array, Array, Array]:
    """Latitude, longitude (-180..180), permafrost fraction (0..1) and area (m2, land and water) of cells, (cell,).

    Cells are those with a fraction above `smallest`, from south to north and west to east.

    Raises:
        InputError: no fraction of permafrost by lat and lon, or no cell above `smallest`.
        UnitsError: units that are missing or no share.
        GridError: coordinates that are not evenly spaced, or a single row or column.
    """
    with open_grid(path) as dataset:
        name = next((n for n in FRACTIONS if n in dataset), None)
        if name is None or set(dataset[name].dims) != {"lat", "lon"}:
            raise InputError(
                f"{path}: expected {' or '.join(FRACTIONS)} by lat and lon; found {', '.join(map(str, dataset))}."
            )
        try:
            data = as_units(dataset[name].load(), "1")
            grid = grid_of(data)
        except (UnitsError, GridError) as err:
            raise type(err)(f"{path}: {err}") from err
    data = conform(data, grid)
    low, high = float(data.min()), float(data.max())
    if high > 1 + 1e-6 or low < 0:
        raise InputError(f"{path}: {name} runs {low:g}..{high:g} of 1; expected 0..1. Correct its units.")
    fraction = np.nan_to_num(np.asarray(data.values, dtype=np.float64))
    row, column = np.nonzero(fraction > smallest)
    if not row.size:
        raise InputError(f"{path}: no cell has a {name} above {smallest:g}. Lower cells.smallest_fraction.")
    lat, lon = grid.y[row], wrap_longitude(grid.x[column])
    order = np.lexsort((lon, lat))
    return lat[order], lon[order], fraction[row, column][order], grid.row_area_m2[row][order]


def vegetation(
    settings: LandMaps, koeppen: Path, lat: Array, lon: Array, known: Array, warmest: Array
) -> tuple[Array, IntArray]:
    """TEM type of each cell, NaN where nothing says, and the index of its source in VEGETATION_SOURCES.

    known : (cell,) types of a vegetation map, NaN where it has none; these come first. Else the stand-in of the Köppen
    class of the cell, or of the nearest cell within 100 km. Tundra is alpine tundra and polar desert where the
    `warmest` month (degC) is cold, or so far south that it lies on mountains.
    """
    data, classes = _koeppen(koeppen)
    at = on_map(data, lat, lon)
    source = np.where(np.isfinite(known), 0, np.where(np.isfinite(at), 1, 2))
    lost = np.flatnonzero(source == 2)
    if lost.size:
        known_at = data.stack(cell=("lat", "lon")).dropna("cell")
        place_lat, place_lon = (known_at[n].to_numpy() for n in ("lat", "lon"))
        points = Points(str(koeppen), ("cell",), (place_lat.size,), place_lat, wrap_longitude(place_lon))
        index, distance = nearest(points, lat[lost], lon[lost])
        at[lost] = np.where(distance <= NEARBY_KM, known_at.to_numpy()[index], np.nan)
    here = {code: name for code, name in classes.items() if (at == code).any()}
    table = _stand_ins(settings, set(classes.values()), set(here.values()), koeppen)
    types = np.full(lat.size, np.nan)
    for code, name in here.items():
        types[at == code] = table[name]
    cold = (warmest < settings.polar_desert_below_degc) | (lat < settings.alpine_south_of)
    types[(types == _WET) & cold] = _POLAR
    return np.where(np.isfinite(known), known, types), source


def audit(land: xr.Dataset, candidates: int, dropped: Mapping[str, int], dry: int) -> dict[str, object]:
    """Counts of cells by source and type, those left out by reason, dry ones, and areas in million km2."""
    area = land["cell_area"].to_numpy() / 1e12
    fraction = land["permafrost_fraction"].to_numpy()
    types, counts = np.unique(land["temveg"].to_numpy(), return_counts=True)
    return {
        "candidates": candidates,
        "kept": int(land.sizes["cell"]),
        "left_out": dict(dropped),
        "drier_than_20_mm": dry,
        "sources": {
            what: {
                name: int((land[f"{what}_source"].to_numpy() == i).sum())
                for i, name in enumerate(land[f"{what}_source"].attrs["flag_meanings"].split())
            }
            for what in ("texture", "vegetation", "elevation")
        },
        "temveg": {str(t): int(n) for t, n in zip(types, counts, strict=True)},
        "land_million_km2": round(float(area.sum()), 4),
        "permafrost_million_km2": round(float((area * fraction).sum()), 4),
    }


def _koeppen(path: Path) -> tuple[xr.DataArray, dict[int, str]]:
    """Class codes (lat, lon), NaN where there is none, and their names."""
    with open_grid(path) as dataset:
        if "koeppen" not in dataset or set(dataset["koeppen"].dims) != {"lat", "lon"}:
            raise InputError(
                f"{path}: expected koeppen by lat and lon; found {', '.join(map(str, dataset))}."
            )
        data = dataset["koeppen"].load()
    classes = classes_of(data)
    return data.where(data.isin(list(classes))), classes


def _stand_ins(settings: LandMaps, classes: set[str], here: set[str], path: Path) -> dict[str, int]:
    """Type of each class; ConfigError if one that cells have (`here`) has none, or a setting names none of the map."""
    from talik.tem.communities import VEGETATION_TYPES  # with JAX, which nothing else here needs

    unknown = sorted(set(settings.vegetation) - classes - set(STAND_INS))
    if unknown:
        raise ConfigError(
            f"forcing.land.vegetation: {', '.join(unknown)} are no classes of {path}; choose among "
            f"{', '.join(sorted(classes))}."
        )
    table = {**STAND_INS, **settings.vegetation}
    for name in sorted(here | set(settings.vegetation)):
        if table.get(name) not in VEGETATION_TYPES:
            raise ConfigError(
                f"forcing.land.vegetation: Köppen class {name} stands for type {table.get(name)}; expected one of "
                f"{sorted(VEGETATION_TYPES)}, the types of TEM with parameters here. Give it a type."
            )
    return table


def _tem_static(settings: LandMaps, resolve: Resolve, lat: Array, lon: Array) -> dict[str, Array]:
    """Texture, temveg and elevation of the TEM file, NaN where it has none or is not given."""
    names = (*TEXTURES, "temveg", "elevation")
    if settings.tem_static is None:
        return {n: np.full(lat.size, np.nan) for n in names}
    return _maps(resolve(settings.tem_static), names, lat, lon)


_UNITS = {**dict.fromkeys(TEXTURES, "percent"), "land_fraction": "1", "elevation": "m"}


def _maps(path: Path, names: Sequence[str], lat: Array, lon: Array) -> dict[str, Array]:
    """Variables of a file at cells, (cell,), NaN where it has none."""
    with open_grid(path) as dataset:
        missing = [n for n in names if n not in dataset or set(dataset[n].dims) != {"lat", "lon"}]
        if missing:
            raise InputError(
                f"{path}: expected {', '.join(missing)} by lat and lon. Add them, or give another file."
            )
        try:
            held = {
                n: as_units(dataset[n].load(), u) if (u := _UNITS.get(n)) else dataset[n].load()
                for n in names
            }
        except UnitsError as err:
            raise UnitsError(f"{path}: {err}") from err
        return {n: on_map(data, lat, lon) for n, data in held.items()}


def _first(one: Array, other: Array) -> tuple[Array, IntArray]:
    """Values (..., cell) of `one` where all of a cell are there, else of `other`; and which, 0 or 1, (cell,)."""
    there = np.isfinite(one) if one.ndim == 1 else np.isfinite(one).all(axis=0)
    return np.where(there, one, other), np.where(there, 0, 1)


def _warmest(tas: Array) -> Array:
    """The warmest month (degC) of each cell, (cell,); infinite where months are missing."""
    return np.where(np.isfinite(tas).all(axis=0), tas.max(axis=0), np.inf)


def _kept(has: Mapping[str, BoolArray]) -> tuple[BoolArray, dict[str, int]]:
    """Cells that have everything, and how many lack each thing first."""
    kept = np.ones_like(next(iter(has.values())))
    dropped = {}
    for reason, there in has.items():
        dropped[f"no {reason}"] = int((kept & ~there).sum())
        kept &= there
    return kept, dropped


def _note(land: xr.Dataset, candidates: int, dropped: Mapping[str, int], dry: int) -> str:
    reasons = ", ".join(f"{n} with {reason}" for reason, n in dropped.items() if n) or "none"
    stand_ins, elevations = (int((land[f"{n}_source"] > 0).sum()) for n in ("vegetation", "elevation"))
    note = (
        f"{land.sizes['cell']} of {candidates} permafrost cells have forcing; left out: {reasons}. Vegetation is a "
        f"stand-in from Köppen classes in {stand_ins} cells, elevation one value in {elevations}"
    )
    return f"{note}. {dry} cells have less than {DRY_MM:g} mm of precipitation a year" if dry else note


def _named(long_name: str, units: str) -> dict[str, str]:
    return {"long_name": long_name, "units": units}


def _flags(
    values: IntArray, meanings: Sequence[str], long_name: str
) -> tuple[str, npt.NDArray[np.int8], dict[str, object]]:
    attrs: dict[str, object] = {
        "long_name": long_name,
        "flag_values": np.arange(len(meanings), dtype=np.int8),
        "flag_meanings": " ".join(meanings),
    }
    return "cell", values.astype(np.int8), attrs
