"""The 17 predictors of the flux models: meaning, physical unit, and how each source stores its numbers.

Models only ever see physical units; `to_physical` is the one way there, for training tables and for rasters alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from talik.errors import ConfigError, InputError

Array = npt.NDArray[np.float64]
Kind = Literal["dynamic", "annual", "static"]
INFINITY = float("inf")


@dataclass(frozen=True, slots=True)
class Stored:
    """How one source writes a predictor: physical value = `factor` x stored number + `offset`.

    Stored numbers below `lowest`, above `highest` or equal to one of `fill` are missing.
    """

    factor: float = 1.0
    offset: float = 0.0
    lowest: float = -INFINITY
    highest: float = INFINITY
    fill: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Predictor:
    """One predictor: `low` and `high` bound what is plausible north of 45 N, in physical `units`.

    `stored` names the ways it is stored beside ``"physical"``: ``"training"`` (the authors' site tables, Virkkala et
    al. 2025), ``"raster"`` (their 1 km grids), ``"product"`` (integers of the source product), and the same at 8 km
    where they differ. `columns` gives the names in abcflux-v1-ml and how each of those columns is stored.
    """

    name: str
    long_name: str
    units: str
    low: float
    high: float
    kind: Kind
    source: str
    categorical: bool = False
    stored: Mapping[str, Stored] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)


VEGETATION: Mapping[int, str] = MappingProxyType(
    {
        1: "barren tundra",
        21: "graminoid tundra",
        30: "boreal mosaic vegetation",
        31: "prostrate-shrub tundra",
        33: "low-shrub tundra",
        41: "tundra wetland",
        60: "deciduous broadleaf forest",
        70: "evergreen needleleaf forest",
        80: "deciduous needleleaf forest",
        90: "mixed forest",
        120: "sparse boreal vegetation",
        160: "boreal wetland",
    }
)
"""Classes of the vegetation map: ESA CCI land cover, with the Circumpolar Arctic Vegetation Map in the tundra."""

MERGES: Mapping[int, int | None] = MappingProxyType({1: 31, 90: 30, 41: 160})
"""Classes joined before modelling, on sites and grid alike (Virkkala et al. 2025)."""

NOT_VEGETATION = (0.0, 91.0, 92.0, 93.0, 99.0, 210.0, 220.0)
"""No data; CAVM fresh water, sea, glacier, outside; ESA CCI water, permanent ice. Never valid pixels."""

VCF5KYR_STAND_IN_YEARS: Mapping[int, int] = MappingProxyType({1994: 1993, 2000: 1999})
"""Years that VCF5KYR lacks, and the year that stands in for each (`extract` takes it as ``stand_in_years``)."""

COVERS = ("tree_cover", "non_tree_vegetation", "non_vegetated")


def _percent_cover(name: str, what: str, column: str) -> Predictor:
    """MOD44B marks water as 200 and fill as 253; nothing above 100 is a cover."""
    layer = Stored(lowest=0.0, highest=100.0)
    ways = {"training": layer, "raster": layer, "product": layer}
    source = "MOD44B (8 km: VCF5KYR)"
    return Predictor(name, what, "percent", 0, 100, "annual", source, False, ways, {column: "training"})


_NDVI_FILL = Stored(1e-4, lowest=-10_000.0, highest=10_000.0)
_ALL = (
    Predictor("month", "calendar month", "1", 1, 12, "dynamic", "calendar", True, {}, {"month": "physical"}),
    Predictor(
        "srad",
        "downward shortwave radiation",
        "W m-2",
        0,
        450,
        "dynamic",
        "TerraClimate",
        stored={
            "training": Stored(0.1, lowest=0),
            "raster": Stored(0.01, lowest=0),
            "product": Stored(0.1, lowest=0),
        },
        columns={"srad_terraclimate": "training"},
    ),
    Predictor(
        "vpd",
        "vapour pressure deficit",
        "kPa",
        0,
        4,
        "dynamic",
        "TerraClimate",
        stored={way: Stored(0.01, lowest=0) for way in ("training", "raster", "product")},
        columns={"vpd_terraclimate": "training"},
    ),
    Predictor(
        "co2",
        "carbon dioxide in air",
        "ppm",
        300,
        600,
        "dynamic",
        "NOAA Barrow, the same everywhere",
        stored={"training": Stored(lowest=1), "raster": Stored(1e-3, lowest=1)},
        columns={"co2_barrow": "training"},
    ),
    Predictor(
        "vegetation_type",
        "vegetation class",
        "1",
        1,
        160,
        "static",
        "ESA CCI land cover, CAVM in the tundra",
        categorical=True,
        stored={way: Stored(lowest=0, fill=NOT_VEGETATION) for way in ("training", "raster", "product")},
    ),
    Predictor(
        "snow_cover",
        "snow cover",
        "percent",
        0,
        100,
        "dynamic",
        "ERA5-Land",
        stored={"training": Stored(lowest=0), "raster": Stored(0.01, lowest=0)},
        columns={"snowcover_era5": "training"},
    ),
    Predictor(
        "soil_temperature",
        "soil temperature, 0-7 cm",
        "K",
        220,
        320,
        "dynamic",
        "ERA5-Land",
        stored={"training": Stored(lowest=1), "raster": Stored(0.01, lowest=1)},
        columns={"tsoil_era5_l1": "training"},
    ),
    Predictor(
        "soil_moisture",
        "soil water, 0-7 cm",
        "m3 m-3",
        0,
        1,
        "dynamic",
        "ERA5-Land",
        stored={"training": Stored(lowest=0), "raster": Stored(0.01, lowest=0)},
        columns={"swvl1_era5": "training"},
    ),
    Predictor(
        "ndvi",
        "normalised difference vegetation index",
        "1",
        -0.3,
        1,
        "dynamic",
        "MOD13A1 (8 km: GIMMS3g)",
        stored={
            "training": Stored(lowest=-1, highest=1),
            "raster": _NDVI_FILL,
            "product": Stored(1e-4, lowest=-2000, highest=10_000, fill=(-3000,)),
        },
        columns={"ndvi_modis": "training", "ndvi_gimms3g": "training"},
    ),
    Predictor(
        "surface_temperature",
        "land surface temperature by day (8 km: 2 m air temperature)",
        "K",
        210,
        335,
        "dynamic",
        "MOD11A2 (8 km: ERA5-Land or TerraClimate air temperature)",
        stored={
            "training": Stored(0.02, lowest=7500, highest=65_535),
            "raster": Stored(0.002, lowest=75_000, highest=655_350),
            "product": Stored(0.02, lowest=7500, highest=65_535),
            "training-8km": Stored(0.1, 273.15, lowest=-1000, highest=1000),
            "raster-8km": Stored(0.01, 273.15, lowest=-10_000, highest=10_000),
        },
        columns={"lst_day_modis": "training", "tmean_terraclimate": "training-8km"},
    ),
    Predictor(
        "cti",
        "compound topographic index",
        "1",
        -10,
        40,
        "static",
        "MERIT DEM geomorphometry",
        stored={
            "training": Stored(0.01, lowest=-10_000),
            "raster": Stored(1e-4, lowest=-1e6),
            "product": Stored(0.01, lowest=-10_000),
        },
    ),
    _percent_cover("tree_cover", "tree cover", "treecover_modis"),
    _percent_cover("non_tree_vegetation", "vegetation other than trees", "nontreeveg_modis"),
    _percent_cover("non_vegetated", "ground without vegetation", "nonvegetated_modis"),
    Predictor(
        "soil_ph",
        "soil pH, 0-5 cm",
        "1",
        3,
        10,
        "static",
        "SoilGrids 2017",
        stored={
            "training": Stored(0.1, lowest=1),
            "raster": Stored(1e-3, lowest=1),
            "product": Stored(0.1, lowest=1, highest=140, fill=(255,)),
        },
        columns={"ph_soilgrids_x10": "training"},
    ),
    Predictor(
        "soc_stock",
        "soil organic carbon, 0-2 m",
        "t ha-1",
        1,
        10_000,
        "static",
        "SoilGrids 2017",
        stored={"training": Stored(lowest=1), "raster": Stored(0.01, lowest=1)},
        columns={"soc_stock_soilgrids": "training"},
    ),
    Predictor(
        "permafrost_probability",
        "probability of permafrost, 2000-2016",
        "1",
        0,
        1,
        "static",
        "Obu et al. 2019",
        stored={"training": Stored(lowest=0, highest=1), "raster": Stored(0.01, lowest=0, highest=100)},
        columns={"permafrost_prob_obu": "training"},
    ),
)
PREDICTORS: Mapping[str, Predictor] = MappingProxyType({p.name: p for p in _ALL})
"""All predictors by name, in the order of Virkkala et al. 2025."""


def to_physical(values: npt.ArrayLike, predictor: str, stored_as: str) -> Array:
    """`values` of `predictor` in its physical units (any shape, float64), with fill and impossible codes as NaN.

    `stored_as` is ``"physical"`` or one of ``PREDICTORS[predictor].stored``. ConfigError: unknown predictor or way of
    storing. InputError: more than half of the result is implausible, so that the numbers were stored another way.
    """
    known = _predictor(predictor)
    ways = {"physical": Stored(), **known.stored}
    if stored_as not in ways:
        raise ConfigError(
            f"{predictor}: no way of storing it is called {stored_as!r}; choose one of: {', '.join(ways)}."
        )
    way = ways[stored_as]
    raw = np.asarray(values, dtype=np.float64)
    missing = ~((raw >= way.lowest) & (raw <= way.highest)) | np.isin(raw, way.fill)
    physical = np.where(missing, np.nan, way.factor * raw + way.offset)
    present = physical[np.isfinite(physical)]
    tolerance = 1e-6 * (known.high - known.low)
    implausible = np.count_nonzero((present < known.low - tolerance) | (present > known.high + tolerance))
    if 2 * implausible > present.size:
        raise InputError(
            f"{predictor}: stored as {stored_as!r}, {implausible} of {present.size} values fall outside "
            f"{known.low:g}..{known.high:g} {known.units} (they run {present.min():g}..{present.max():g}). "
            f"Give the way they are stored: {', '.join(ways)}."
        )
    return physical


def merge_vegetation(classes: npt.ArrayLike, merges: Mapping[int, int | None] = MERGES) -> Array:
    """Vegetation classes after `merges` (class to class, or to None for missing); NaN stays NaN, any shape.

    InputError if a class is neither in `VEGETATION` nor in `merges`: a model has no level for it.
    """
    codes = np.asarray(classes, dtype=np.float64)
    merged = codes.copy()
    for old, new in merges.items():
        merged[codes == old] = np.nan if new is None else new
    found = np.unique(merged[~np.isnan(merged)])
    unknown = found[~np.isin(found, np.array(list(VEGETATION), dtype=np.float64))]
    if unknown.size:
        raise InputError(
            f"vegetation_type: classes {', '.join(f'{c:g}' for c in unknown)} are not in the legend "
            f"({', '.join(map(str, VEGETATION))}). Merge each into one of these, or into None, which is missing: "
            f"merge_vegetation(classes, {{**MERGES, {unknown[0]:g}: None}})."
        )
    return merged


def joint_masks(predictors: Mapping[str, npt.ArrayLike]) -> dict[str, Array]:
    """Physical predictors with the values that another predictor shows to be invalid set to NaN.

    Snow cover and soil moisture need a soil temperature, because ERA5-Land writes zeros on water; permafrost needs a
    vegetation class; the three cover layers of a pixel are missing together. Arrays of one rule must broadcast to the
    masked one's shape. A predictor whose partner is not among `predictors` is returned as it is.
    InputError: shapes that do not fit.
    """
    out = {name: np.array(values, dtype=np.float64) for name, values in predictors.items()}
    valid = {name: ~np.isnan(values) for name, values in out.items()}
    rules = [("snow_cover", "soil_temperature"), ("soil_moisture", "soil_temperature")]
    rules += [("permafrost_probability", "vegetation_type")]
    rules += [(one, other) for one in COVERS for other in COVERS if one != other]
    for masked, by in rules:
        if masked in out and by in out:
            try:
                keep = np.broadcast_to(valid[by], out[masked].shape)
            except ValueError as err:
                raise InputError(
                    f"{masked} has shape {out[masked].shape} but {by}, which masks it, {valid[by].shape}. "
                    "Bring both to one grid and one time axis first."
                ) from err
            out[masked][~keep] = np.nan
    return out


def _predictor(name: str) -> Predictor:
    if name not in PREDICTORS:
        raise ConfigError(f"{name!r} is no predictor; choose one of: {', '.join(PREDICTORS)}.")
    return PREDICTORS[name]
