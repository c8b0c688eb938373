"""CMIP6 carbon cycle by RECCAP2 region: annual values of 17 models as one tidy table, units proven from the data.

The table is the Parquet file that accompanies Jones et al. (2023, AGU Advances, doi:10.1029/2023AV001024). Its large
terms are totals of a region (Pg of carbon a year), its small ones (fFire, fLuc, fHarvest, ...) are region means in
kg m-2 s-1, whatever the note beside it says: netAtmosLandCO2Flux and nbp are one quantity in these two units, and
their ratio is the area of the region, the same in every year (`implied_areas`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from talik.errors import CoverageError, GridError, InputError, UnitsError
from talik.flux import amount_from_rate, as_units, flux_var
from talik.flux.table import Direction
from talik.netcdf import open_netcdf
from talik.sources.table_file import read_table

COLUMNS = ("model", "region", "scenario", "year", "variable", "value", "units")
"""Columns of a member table: one row a model, region, scenario, year and variable."""
_IN_FILE = ("region", "experiment", "model", "member", "variable", "year", "value")
TOTAL, STORE, DENSITY = "Pg year-1", "Pg", "kg m-2 s-1"
LARGEST = {TOTAL: 1e3, STORE: 1e5, DENSITY: 1e-5}
"""No region of the Earth has more: global GPP is near 1e2 Pg year-1, and 1e-5 kg m-2 s-1 is 300 kg m-2 a year."""
_LEAST_TOTAL = 1e-6
"""A total (Pg year-1) or store (Pg) whose largest value is smaller was never one."""
REGION_NUMBERS: Mapping[str, int] = {"North_America": 1, "Europe": 3, "North_Asia": 6}
"""Numbers in the 1-degree map of RECCAP2 regions; the permafrost region is not in it."""


@dataclass(frozen=True, slots=True)
class _Variable:
    units: str
    positive: Direction | None
    """None for what is no flux."""


def _flux(name: str, units: str) -> _Variable:
    return _Variable(units, flux_var(name).positive)


VARIABLES: Mapping[str, _Variable] = {
    **{name: _flux(name, TOTAL) for name in ("gpp", "npp", "rh", "nbp")},
    "fgco2": _Variable(TOTAL, "down"),
    **dict.fromkeys(("cVeg", "cSoil", "cLitter", "cLand", "cProduct"), _Variable(STORE, None)),
    "fFire": _flux("fFire", DENSITY),
    **dict.fromkeys(
        ("fFireNat", "fLuc", "fHarvest", "fGrazing", "fProductDecomp", "fAnthDisturb"),
        _Variable(DENSITY, "up"),
    ),
    "netAtmosLandCO2Flux": _Variable(DENSITY, "down"),
    "tas": _Variable("K", None),
    "pr": _Variable("mm day-1", None),
    "lai": _Variable("1", None),
}
"""What each variable of the file is: its units and, of a flux, which way is positive (to the atmosphere: up)."""

_MODELS = (
    # model, family (land model), group, layered soil carbon, fire, litter counted in cSoil
    ("ACCESS-ESM1-5", "CABLE", "CSIRO", False, False, False),
    ("CESM2-WACCM", "CLM", "NCAR", True, True, False),
    ("CMCC-CM2-SR5", "CLM", "CMCC", True, True, False),
    ("CMCC-ESM2", "CLM", "CMCC", True, True, False),
    ("CNRM-ESM2-1", "ISBA-CTRIP", "CNRM", False, True, False),
    ("CanESM5", "CLASS-CTEM", "CCCma", False, False, False),
    ("EC-Earth3-Veg", "LPJ-GUESS", "EC-Earth", False, True, False),
    ("GFDL-ESM4", "LM", "GFDL", False, True, False),
    ("INM-CM4-8", "INM", "INM", False, False, False),
    ("INM-CM5-0", "INM", "INM", False, False, False),
    ("IPSL-CM6A-LR", "ORCHIDEE", "IPSL", False, False, False),
    ("MIROC-ES2L", "VISIT", "MIROC", False, False, False),
    ("MPI-ESM1-2-LR", "JSBACH", "MPI-M", False, True, False),
    ("NorESM2-LM", "CLM", "NCC", True, True, False),
    ("NorESM2-MM", "CLM", "NCC", True, True, False),
    ("TaiESM1", "CLM", "AS-RCEC", False, True, False),
    ("UKESM1-0-LL", "JULES", "MOHC", False, False, True),
)


def cmip6_members() -> pd.DataFrame:
    """The models of the file: model, family (land model), group (institute), project, layered, fire, litter_in_soil.

    layered : soil carbon resolved over depth, as CLM4.5 and CLM5 with BGC do (CTSM user's guide) and the others of this
    file do not. fire : the model publishes fFire or fFireNat here, or (CMCC) has the fire module of CLM4.5.
    litter_in_soil : cLand is cVeg + cSoil + cProduct to rounding, so that cSoil holds all litter. Land models and
    institutes are from memory of the CMIP6 documentation; a table of your own goes wherever this one does.
    """
    names = ["model", "family", "group", "layered", "fire", "litter_in_soil"]
    table = pd.DataFrame(_MODELS, columns=names)
    table.insert(3, "project", "CMIP6")
    return table


def read_reccap2_cmip6(path: Path) -> pd.DataFrame:
    """The file as a member table (columns `COLUMNS`), in the units the values have; what is absent stays absent.

    scenario is historical (1850-2014), ssp126 or ssp370 (2015-2100). gpp, npp, rh, nbp, fgco2 in Pg year-1 and cVeg,
    cSoil, cLitter, cLand, cProduct in Pg (of carbon, totals of the region); small terms in kg m-2 s-1 (carbon, mean of
    the region; see `to_totals`); tas K, pr mm day-1, lai 1. gpp, npp, nbp, netAtmosLandCO2Flux, fgco2 are positive
    down, the others up; attribute ``positive`` of the table says so, ``notes`` what was taken for granted.

    InputError: columns or variables that are missing or unknown, a row given twice, several realisations of a model.
    UnitsError: values too large or too small for their units, or a sign of nbp that netAtmosLandCO2Flux contradicts.
    """
    path = Path(path)
    raw, notes = read_table(path, labels=("region", "experiment", "model", "member", "variable"))
    lacking = [c for c in _IN_FILE if c not in raw]
    if lacking:
        raise InputError(
            f"{path}: no column {', '.join(lacking)}; found {', '.join(map(str, raw.columns))}. Expected the Parquet "
            "file of RECCAP2Future_2023 with one row a value."
        )
    unknown = sorted(set(map(str, raw["variable"].unique())) - set(VARIABLES))
    if unknown:
        raise InputError(
            f"{path}: variable {', '.join(map(repr, unknown[:3]))} is unknown, so are its units; known are "
            f"{', '.join(VARIABLES)}. Remove its rows."
        )
    runs = raw.groupby("model")["member"].nunique()
    if (runs > 1).any():
        raise InputError(
            f"{path}: {runs.idxmax()} has {runs.max()} realisations; expected one. Keep one, or give each its own "
            "model name and one group."
        )
    out = raw.rename(columns={"experiment": "scenario"})
    out["value"] = pd.to_numeric(out["value"], errors="coerce").astype(float)
    out["units"] = out["variable"].map({k: v.units for k, v in VARIABLES.items()})
    keys = ["model", "region", "scenario", "year", "variable"]
    twice = out.duplicated(keys)
    if twice.any():
        first = " ".join(map(str, out.loc[twice, keys].iloc[0]))
        raise InputError(
            f"{path}: {int(twice.sum())} rows are given twice, first {first}. Remove one of each."
        )
    out = out.dropna(subset="value").reindex(columns=list(COLUMNS)).reset_index(drop=True)
    _check_sizes(out, path)
    _check_sign(out, path)
    out["year"] = out["year"].astype(int)
    out.attrs["positive"] = {k: v.positive for k, v in VARIABLES.items() if v.positive is not None}
    out.attrs["source_file"] = path.name
    out.attrs["notes"] = (
        *notes,
        "units are not in the file: documented for totals and stores, found from the data for small terms (kg m-2 s-1)",
    )
    return out


def implied_areas(table: pd.DataFrame) -> pd.DataFrame:
    """Area of each region, m2, that makes nbp (Pg year-1) of netAtmosLandCO2Flux (kg m-2 s-1), by model.

    Columns model, region, area_m2 (median over years), spread (quartile range over median), n_years. A spread near zero
    over centuries of changing fluxes proves that the two are one quantity in different units, and a positive area
    that they have one sign. Models that lack either are not in the table.
    """
    pair = table[table["variable"].isin(["nbp", "netAtmosLandCO2Flux"])]
    keys = ["model", "region", "scenario", "year"]
    wide = pair.pivot(index=keys, columns="variable", values="value").reindex(
        columns=["nbp", "netAtmosLandCO2Flux"]
    )
    wide = wide.dropna().reset_index()
    wide = wide[wide["netAtmosLandCO2Flux"] != 0.0]
    per_area = _total(wide["netAtmosLandCO2Flux"].to_numpy(), wide["year"].to_numpy())
    wide["area"] = wide["nbp"] / per_area
    groups = wide.groupby(["model", "region"])["area"]
    middle = groups.median()
    spread = (groups.quantile(0.75) - groups.quantile(0.25)) / middle.abs()
    out = pd.DataFrame({"area_m2": middle, "spread": spread, "n_years": groups.size()})
    return out.reset_index()


def map_areas(path: Path) -> pd.Series:
    """Area of the regions in the 1-degree RECCAP2 map, m2 on the WGS84 ellipsoid: North_America, Europe, North_Asia.

    InputError: not that map. GridError: its cells are not those of a 1-degree grid.
    """
    from talik.regions.ellipsoid import band_area_m2

    path = Path(path)
    with open_netcdf(path, "Check the path.") as opened:
        ds = opened.load()
    if "Region_Map" not in ds:
        raise InputError(
            f"{path}: no variable Region_Map; found {', '.join(map(str, ds.data_vars))}. Expected the map of RECCAP2 "
            "region numbers."
        )
    numbers = ds["Region_Map"]
    if numbers.sizes.get("lat") != 180 or numbers.sizes.get("lon") != 360:
        raise GridError(
            f"{path}: Region_Map has {dict(numbers.sizes)}; expected lat 180, lon 360 (1 degree). Regrid the map."
        )
    lat = numbers["lat"].to_numpy()
    area = band_area_m2(lat - 0.5, lat + 0.5, 1.0)
    found = {k: float((numbers == n).sum("lon").to_numpy() @ area) for k, n in REGION_NUMBERS.items()}
    return pd.Series(found, name="area_m2")


def to_totals(table: pd.DataFrame, areas: Mapping[str, float] | pd.Series | None = None) -> pd.DataFrame:
    """The table with its kg m-2 s-1 rows as totals, Pg year-1; other rows stay.

    areas : area of each region, m2; by default the median over models of `implied_areas`, which is the area that the
    file's own totals were made with. The real length of each calendar year counts. CoverageError: a region without an
    area.
    """
    rows = table["units"] == DENSITY
    if areas is None:
        areas = implied_areas(table).groupby("region")["area_m2"].median()
    sizes = dict(areas.items())
    lacking = sorted(set(map(str, table.loc[rows, "region"].unique())) - set(map(str, sizes)))
    if lacking:
        raise CoverageError(
            f"to_totals: no area for region {', '.join(lacking)}; known are {', '.join(map(str, sizes)) or 'none'}. "
            "Give its area in m2, or remove its rows in kg m-2 s-1."
        )
    out = table.copy()
    per_area = _total(out.loc[rows, "value"].to_numpy(float), out.loc[rows, "year"].to_numpy(int))
    out.loc[rows, "value"] = per_area * out.loc[rows, "region"].map(sizes).to_numpy(float)
    out.loc[rows, "units"] = TOTAL
    told = f"{int(rows.sum())} rows in {DENSITY} were multiplied by the area of their region"
    out.attrs = {**table.attrs, "notes": (*table.attrs.get("notes", ()), told)}
    return out


def _total(density: np.ndarray, year: np.ndarray) -> np.ndarray:
    """kg m-2 s-1 in Pg m-2 year-1."""
    stamps = np.array([f"{y:04d}-07-01" for y in year], dtype="datetime64[ns]")
    rate = xr.DataArray(density, dims="time", coords={"time": stamps}, name="flux", attrs={"units": DENSITY})
    amount = amount_from_rate(rate, "kg m-2 year-1").assign_attrs(units="kg m-2")
    return np.asarray(as_units(amount, "Pg m-2"))


def _check_sizes(table: pd.DataFrame, path: Path) -> None:
    largest = table["value"].abs().groupby(table["variable"]).max()
    for name, value in largest.items():
        units = VARIABLES[str(name)].units
        if value > LARGEST.get(units, np.inf):
            raise UnitsError(
                f"{path}: {name} reaches {value:.3g}, which cannot be {units} (expected below {LARGEST[units]:g}). "
                "The values are in other units than those of this file: convert them."
            )
        if units in (TOTAL, STORE) and value < _LEAST_TOTAL:
            raise UnitsError(
                f"{path}: {name} never exceeds {value:.3g}, which cannot be {units}; it looks like kg m-2 s-1. "
                "Multiply by the area of the region (to_totals)."
            )


def _check_sign(table: pd.DataFrame, path: Path) -> None:
    areas = implied_areas(table)
    wrong = areas[(areas["area_m2"] <= 0.0) & (areas["spread"] < 0.5)]
    if len(wrong):
        one = wrong.iloc[0]
        raise UnitsError(
            f"{path}: nbp and netAtmosLandCO2Flux of {one['model']} in {one['region']} have opposite signs; both are "
            "positive down. Turn the one that is wrong."
        )
