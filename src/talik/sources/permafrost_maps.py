"""Observed permafrost: the Permafrost_cci half-degree grid, active layers at sites, ground temperatures at stations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyproj
import xarray as xr

from talik.errors import InputError, UnitsError
from talik.regions.ellipsoid import Array
from talik.regions.sphere import wrap_longitude
from talik.sources.climate_grids import open_grid
from talik.sources.table_file import read_table

LEAST_M, DEEPEST_M = 0.05, 3.0
"""Measured thaw outside these limits is left out: below, a slip of the pen (one site has 0.1 cm); beyond, boreholes in
bedrock and mountains (up to 14.5 m), which no cell of half a degree can stand for."""
BLOCK_M = 13_899.38149707485
_FIRST_M = (-6091089.46286571, -5176378.12338144)
_BLOCKS = (981, 663)
_PROJECTION = "+proj=stere +lat_0=90 +lat_ts=71 +lon_0=0 +datum=WGS84 +units=m"
"""The blocks of Permafrost_cci pixels: width, centre of the first one, number along x and y, projection. They are the
axes of the 13.9 km grid that the half-degree one was made of (Lisovski 2021, Permafrost_cci validation report D4.1)."""
_ALIASES = {
    "code": ("code", "cci_id", "site"),
    "lat": ("lat", "latitude"),
    "lon": ("lon", "longitude"),
    "year": ("year",),
}

Rules = list[tuple[str, "pd.Series[bool]"]]
"""Reasons to leave rows out, and the rows that each applies to."""


@dataclass(frozen=True)
class Sites:
    """Means of sites over a period, or their years one by one.

    table : code, lat, lon, value, years (how many years of the period), a row a site, ordered by code; or code, name,
    lat, lon, year, depth_m (NaN of active layers), value, a row a year and depth, ordered likewise.
    units : of `value`. left_out : reason to the number of rows of the file; read : rows of the file.
    """

    table: pd.DataFrame
    units: str
    read: int
    left_out: dict[str, int]


def read_permafrost_grid(path: Path) -> xr.Dataset:
    """(lat, lon) `permafrostFraction` (0..1 of the cell) and `activeLayerThickness` (m), both axes ascending.

    The file holds the mean fraction of the 13.9 km blocks with permafrost and their number; here blocks without count
    as zero, so that the fraction is that of the whole cell and not too high at the southern margin. NaN where no block
    has permafrost. Source: Permafrost_cci v3 (Obu et al., CEDA), median over years.

    InputError: no such file, a variable or coordinate is missing, or a value is impossible. UnitsError: other units.
    """
    path = Path(path)
    with open_grid(path) as ds:
        ds.load()
    for axis in ("lat", "lon"):
        if axis not in ds.dims or axis not in ds.coords:
            raise InputError(f"{path}: expected axes lat and lon; found {', '.join(map(str, ds.dims))}.")
    fraction = _within(ds, "permafrost_fraction_median", ("percent", "%"), 0.0, 100.0, path) / 100.0
    if "n_permafrost" not in ds:
        raise InputError(
            f"{path}: no variable 'n_permafrost', the number of blocks with permafrost in a cell."
        )
    blocks = blocks_of(ds["lat"].values.astype(float), ds["lon"].values.astype(float))
    fraction = fraction * (ds["n_permafrost"] / np.maximum(blocks, 1)).clip(max=1.0)
    thickness = _within(ds, "active_layer_thickness_median", ("m",), 0.0, 100.0, path)
    out = xr.Dataset(
        {
            "permafrostFraction": fraction.assign_attrs(units="1", long_name="share with permafrost"),
            "activeLayerThickness": thickness.assign_attrs(units="m", long_name="active-layer thickness"),
        }
    )
    return out.sortby(["lat", "lon"]).transpose("lat", "lon")


def blocks_of(lat: Array, lon: Array) -> Array:
    """(lat, lon) number of 13.9 km blocks whose centres fall in each cell of even axes (degrees)."""
    x, y = np.meshgrid(*(first + BLOCK_M * np.arange(n) for first, n in zip(_FIRST_M, _BLOCKS, strict=True)))
    to_degrees = pyproj.Transformer.from_crs(_PROJECTION, "EPSG:4326", always_xy=True).transform
    east, north = to_degrees(x.ravel(), y.ravel())
    row = np.floor((north - lat[0]) / (lat[1] - lat[0]) + 0.5).astype(int)
    width = float(lon[1] - lon[0])
    column = np.floor(np.mod((east - lon[0]) / width + 0.5, 360.0 / abs(width))).astype(int)
    inside = (row >= 0) & (row < lat.size) & (column < lon.size)
    count = np.zeros((lat.size, lon.size))
    np.add.at(count, (row[inside], column[inside]), 1.0)
    return count


def read_active_layers(
    path: Path,
    years: tuple[int, int] = (2006, 2015),
    *,
    least_m: float = LEAST_M,
    deepest_m: float = DEEPEST_M,
) -> Sites:
    """Mean thaw depth of sites over a period (both years included), m, from a table with alt_cm or alt_m.

    Rows are left out and counted, by the first rule that applies: no thickness or place; outside the period; thinner
    than `least_m`; thicker than `deepest_m`. Source of the tables: CALM, Circumpolar Active
    Layer Monitoring (Brown et al. 2000).

    InputError: a column is missing, or no row is left.
    """
    rows, rules = _active_layers(Path(path), years, least_m, deepest_m)
    return _site_means(rows, rules, "m", Path(path))


def read_yearly_active_layers(
    path: Path, years: tuple[int, int], *, least_m: float = LEAST_M, deepest_m: float = DEEPEST_M
) -> Sites:
    """Thaw depth of sites year by year, m; rules, sources and errors are those of `read_active_layers`."""
    rows, rules = _active_layers(Path(path), years, least_m, deepest_m)
    return _site_years(rows, rules, "m", Path(path))


def read_ground_temperatures(
    path: Path, years: tuple[int, int] = (2006, 2015), *, depth_cm: tuple[float, float] = (15.0, 25.0)
) -> Sites:
    """Mean annual ground temperature of stations over a period and a range of depths (both ends included), degC.

    From a table with magt_degC and depth_cm. Rows are left out and counted, by the first rule that applies: no
    temperature or place; outside the period; outside the depths. Sources: GTN-P, Roshydromet, Nordicana-D, NASA ABoVE.

    InputError: a column is missing, or no row is left.
    """
    rows, rules = _ground_temperatures(Path(path), years)
    within = rows["depth"].between(*depth_cm)
    rules.append((f"outside {depth_cm[0]:g}-{depth_cm[1]:g} cm", ~within))
    return _site_means(rows, rules, "degC", Path(path))


def read_yearly_ground_temperatures(path: Path, years: tuple[int, int]) -> Sites:
    """Mean annual ground temperature of stations year by year at every depth, degC; rules, sources and errors are those
    of `read_ground_temperatures`."""
    rows, rules = _ground_temperatures(Path(path), years)
    return _site_years(rows.assign(depth_m=rows["depth"] / 100.0), rules, "degC", Path(path))


def _active_layers(
    path: Path, years: tuple[int, int], least_m: float, deepest_m: float
) -> tuple[pd.DataFrame, Rules]:
    """Thickness (m) by place and year, and what is left out of it."""
    table, _ = read_table(path, labels=("code", "name"))
    rows = _placed(table, path)
    if "alt_cm" in table:
        rows["value"] = _numbers(table["alt_cm"]) / 100.0
    elif "alt_m" in table:
        rows["value"] = _numbers(table["alt_m"])
    else:
        raise InputError(f"{path}: no column alt_cm or alt_m; found {', '.join(map(str, table.columns))}.")
    return rows, [
        ("no thickness or place", rows[["value", "lat", "lon", "year"]].isna().any(axis=1)),
        (f"outside {years[0]}-{years[1]}", ~rows["year"].between(*years)),
        (f"thinner than {100 * least_m:g} cm", rows["value"] < least_m),
        (f"thicker than {100 * deepest_m:g} cm", rows["value"] > deepest_m),
    ]


def _ground_temperatures(path: Path, years: tuple[int, int]) -> tuple[pd.DataFrame, Rules]:
    """Temperature (degC) by place, year and depth (cm), and what is left out of it."""
    table, _ = read_table(path)
    rows = _placed(table, path)
    for name in ("magt_degC", "depth_cm"):
        if name not in table:
            raise InputError(f"{path}: no column {name}; found {', '.join(map(str, table.columns))}.")
    rows["value"], rows["depth"] = _numbers(table["magt_degC"]), _numbers(table["depth_cm"])
    return rows, [
        ("no temperature or place", rows[["value", "lat", "lon", "year", "depth"]].isna().any(axis=1)),
        (f"outside {years[0]}-{years[1]}", ~rows["year"].between(*years)),
    ]


def _within(
    ds: xr.Dataset, name: str, units: tuple[str, ...], low: float, high: float, path: Path
) -> xr.DataArray:
    if name not in ds:
        raise InputError(f"{path}: no variable {name!r}; found {', '.join(map(str, ds.data_vars))}.")
    found = ds[name].attrs.get("units")
    if found not in units:
        raise UnitsError(f"{path}: {name!r} has units {found!r}; expected {units[0]!r}.")
    values = ds[name].astype(np.float64)
    bad = int(((values < low) | (values > high)).sum())
    if bad:
        raise InputError(
            f"{path}: {name!r} lies outside {low:g}..{high:g} {units[0]} in {bad} cells "
            f"({float(values.min()):g}..{float(values.max()):g}). Is a missing value not marked as such?"
        )
    return values


def _placed(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """code, lat, lon, year of a table, whatever they are called there."""
    out = pd.DataFrame(index=table.index)
    for name, aliases in _ALIASES.items():
        column = next((a for a in aliases if a in table), None)
        if column is None:
            raise InputError(
                f"{path}: no column {' or '.join(aliases)}; found {', '.join(map(str, table.columns))}."
            )
        out[name] = table[column].astype(str).str.strip() if name == "code" else _numbers(table[column])
    wrong = int((out["lat"].abs() > 90.0).sum() + (out["lon"].abs() > 360.0).sum())
    if wrong:
        raise InputError(f"{path}: {wrong} rows have a latitude beyond 90 or a longitude beyond 360 degrees.")
    out["lon"] = wrap_longitude(out["lon"].to_numpy())
    out["name"] = table["name"].fillna("").astype(str).str.strip() if "name" in table else ""
    return out


def _numbers(column: pd.Series) -> pd.Series:
    numbers: pd.Series = pd.to_numeric(column, errors="coerce")
    return numbers


def _site_means(rows: pd.DataFrame, rules: Rules, units: str, path: Path) -> Sites:
    """Means by site of the rows that no rule leaves out: a mean for each year, then the mean of the years."""
    kept, left_out = _kept(rows, rules, path)
    yearly = kept.groupby(["code", "year"], as_index=False)[["lat", "lon", "value"]].mean()
    sites = yearly.groupby("code", as_index=False).agg(
        lat=("lat", "mean"), lon=("lon", "mean"), value=("value", "mean"), years=("year", "size")
    )
    return Sites(sites, units, len(rows), left_out)


def _site_years(rows: pd.DataFrame, rules: Rules, units: str, path: Path) -> Sites:
    """Means by site, year and depth of the rows that no rule leaves out."""
    kept, left_out = _kept(rows if "depth_m" in rows else rows.assign(depth_m=np.nan), rules, path)
    yearly = kept.groupby(["code", "year", "depth_m"], as_index=False, dropna=False).agg(
        name=("name", "first"), lat=("lat", "mean"), lon=("lon", "mean"), value=("value", "mean")
    )
    ordered = yearly.astype({"year": int})[["code", "name", "lat", "lon", "year", "depth_m", "value"]]
    return Sites(ordered, units, len(rows), left_out)


def _kept(rows: pd.DataFrame, rules: Rules, path: Path) -> tuple[pd.DataFrame, dict[str, int]]:
    """The rows that no rule leaves out, and how many each rule does; InputError if none is left."""
    left_out: dict[str, int] = {}
    out = pd.Series(False, index=rows.index)
    for reason, applies in rules:
        left_out[reason] = int((applies & ~out).sum())
        out |= applies
    kept = rows[~out]
    if kept.empty:
        told = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
        raise InputError(f"{path}: none of {len(rows)} rows is left: {told}. Choose other years or limits.")
    return kept, left_out
