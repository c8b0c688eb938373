"""Climate from tables: TEM cell lists, your own CSV with units in the header, and towers of CARDAMOM-FluxVal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from talik.errors import InputError, UnitsError
from talik.regions.sphere import wrap_longitude
from talik.sources.climate_cells import Array, Points, locate
from talik.sources.climate_dataset import assemble
from talik.sources.climate_layouts import (
    ClimateVariable,
    Layout,
    layout_of_table,
    needed,
    spare_note,
    to_model_units,
)
from talik.sources.climate_months import TimeAxis, complete_months, list_months, month_number, month_starts
from talik.sources.site_table import numbers, split_header
from talik.sources.table_file import read_table

NETCDF = (b"\x89HDF", b"CDF")
_TEM_UNITS = {"degc": "degC", "mm": "mm month-1", "pct": "%"}


@dataclass(frozen=True, eq=False, slots=True)
class Column:
    """A column of a table."""

    header: str
    values: pd.Series
    units: str


def is_table(path: Path) -> bool:
    """Whether a file exists and is no NetCDF file, by its first bytes."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return not file.read(4).startswith(NETCDF)


def read_climate_table(
    path: Path,
    layout: Layout,
    wanted: Array | None,
    period: tuple[int, int] | None,
    asked: Sequence[ClimateVariable],
) -> xr.Dataset:
    """The climate dataset of a table, with a coordinate `site` where the table has one.

    Rows are months (columns year and month) or days (column date) of cells that lat and lon tell apart, or site. A
    table of one place may leave out lat and lon; then the one wanted cell is its position.

    Raises:
        InputError: columns, months or days that are missing or twice.
        UnitsError: a column without units, or with units that do not fit.
        GridError: a wanted cell that is not in the table.
    """
    table, notes = read_table(path)
    kind = layout_of_table(table) if layout == "auto" else layout
    columns = _cardamom(table, path, notes) if kind == "cardamom" else _headed(table, path, asked, kind)
    if not columns:
        raise InputError(
            f"{path}: holds {', '.join(map(str, table.columns[:15]))}; expected columns such as tas [degC], "
            "pr [mm month-1] and rsds [W m-2]. Rename them."
        )
    read = needed(asked, set(columns))
    notes += spare_note(read, set(columns))
    month, day = _dates(table, path)
    rows = np.ones(len(table), dtype=bool)
    if period is not None:
        rows = (month >= month_number(period[0], 1)) & (month <= month_number(period[1], 12))
        if not rows.any():
            years = f"{month.min() // 12}..{month.max() // 12}"
            raise InputError(
                f"{path}: no row of {period[0]}..{period[1]}; the table holds {years}. Choose a period inside."
            )
    cells, names, places = _cells(table, path, wanted)
    points = Points(str(path), ("cell",), (len(places),), places[:, 0], places[:, 1])
    chosen = np.arange(len(places)) if wanted is None else locate(points, wanted)
    daily = "date" in table
    parts = [
        _one_cell(
            columns, np.flatnonzero(rows & (cells == k)), month, day if daily else None, f"{path}: {names[k]}"
        )
        for k in chosen
    ]
    months = parts[0][0]
    for k, (held, _) in zip(chosen, parts, strict=True):
        if not np.array_equal(held, months):
            raise InputError(
                f"{path}: {names[k]} has months {list_months(np.setxor1d(held, months))} that {names[chosen[0]]} has "
                "not, or the reverse. Give a period that every cell has."
            )
    arrays: dict[str, xr.DataArray] = {}
    for variable in read:
        column = columns[variable.name]
        data = xr.DataArray(
            np.stack([values[variable.name] for _, values in parts], axis=1),
            dims=("time", "cell"),
            coords={"time": month_starts(months, "standard")},
            name=column.header,
            attrs={"units": column.units},
        )
        try:
            converted = to_model_units(data, variable, daily=daily)
        except UnitsError as err:
            raise UnitsError(f"{path}: {err}") from err
        arrays[variable.name] = converted.assign_coords(time=months).rename(variable.name)
        arrays[variable.name].attrs = variable.attributes(column.header, column.units, path.name)
        if column.units != variable.units:
            notes.append(f"{variable.name}: {column.units} to {variable.units}")
        if daily:
            notes.append(
                f"{variable.name}: daily {'summed' if variable.name == 'pr' else 'averaged'} to months"
            )
    attrs: dict[str, object] = {"source": path.name, "layout": kind, "calendar": "standard", "notes": notes}
    out = assemble(arrays, places[chosen], attrs)
    return out.assign_coords(site=("cell", [names[k] for k in chosen])) if "site" in table else out


def _headed(
    table: pd.DataFrame, path: Path, asked: Sequence[ClimateVariable], kind: Layout
) -> dict[str, Column]:
    """Columns whose header says what they are: `tas [degC]`, or in TEM tables TAIR_degC, PREC_mm, CLDS_pct."""
    out: dict[str, Column] = {}
    for header in map(str, table.columns):
        name, units = split_header(header)
        stem, _, ending = name.rpartition("_")
        if units is None and kind == "tem-csv" and ending.lower() in _TEM_UNITS:
            name, units = stem, _TEM_UNITS[ending.lower()]
        for variable in asked:
            if name.lower() not in variable.names:
                continue
            if units is None:
                raise UnitsError(
                    f"{path}: column {header} has no units; expected '{header} [{variable.units}]' or other units in "
                    "brackets. Units are never guessed."
                )
            if variable.name in out:
                raise InputError(
                    f"{path}: {variable.name} is given twice, by {out[variable.name].header} and {header}."
                )
            out[variable.name] = Column(header, numbers(table[header], path), units)
    return out


def _cardamom(table: pd.DataFrame, path: Path, notes: list[str]) -> dict[str, Column]:
    """Meteorology of CARDAMOM-FluxVal: degC, mm d-1 and MJ m-2 d-1, as its readme states."""
    held = {n: numbers(table[n], path) for n in ("tmin", "tmax", "precip", "ssrd")}
    notes.append("tas is the mean of tmin and tmax")
    return {
        "tas": Column("tmin, tmax", (held["tmin"] + held["tmax"]) / 2, "degC"),
        "pr": Column("precip", held["precip"], "mm day-1"),
        "rsds": Column("ssrd", held["ssrd"], "MJ m-2 day-1"),
    }


def _dates(table: pd.DataFrame, path: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Month counted from year 0 and day of each row."""
    if "date" in table:
        dates = pd.to_datetime(table["date"], format="%Y-%m-%d", errors="coerce")
        if dates.isna().any():
            row = int(np.argmax(dates.isna()))
            raise InputError(
                f"{path}: date is {table['date'][row]!r} in row {row + 1}; expected YYYY-MM-DD. Correct it."
            )
        months = 12 * dates.dt.year + dates.dt.month - 1
        return months.to_numpy().astype(np.int64), dates.dt.day.to_numpy().astype(np.int64)
    missing = [n for n in ("year", "month") if n not in table]
    if missing:
        raise InputError(
            f"{path}: no column {' and '.join(missing)}; expected year and month, or date. Found "
            f"{', '.join(map(str, table.columns[:15]))}."
        )
    year, month = numbers(table["year"], path), numbers(table["month"], path)
    bad = ~(month.isin(range(1, 13)) & (year % 1 == 0))
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"{path}: row {row + 1} is of year {year[row]:g}, month {month[row]:g}; expected whole years and 1..12."
        )
    numbered = (12 * year + month - 1).to_numpy(np.int64)
    return numbered, np.ones_like(numbered)


def _cells(
    table: pd.DataFrame, path: Path, wanted: Array | None
) -> tuple[npt.NDArray[np.int64], list[str], Array]:
    """The cell of each row (row,), and the name and position (cell, 2) of each cell, in the order of the table."""
    named = {"lat", "lon"} <= set(table.columns)
    if not named:
        if wanted is None or len(wanted) != 1 or "site" in table:
            raise InputError(
                f"{path}: no columns lat and lon; expected them, or one cell that says where the table is."
            )
        return np.zeros(len(table), dtype=np.int64), ["the table"], wanted
    lat, lon = numbers(table["lat"], path), numbers(table["lon"], path)
    bad = ~(lat.abs() <= 90) | ~lon.between(-180, 360)
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"{path}: row {row + 1} lies at lat {lat[row]:g}, lon {lon[row]:g}; expected -90..90 and -180..360. Are "
            "they swapped?"
        )
    keys = pd.MultiIndex.from_arrays([table["site"], lat, lon] if "site" in table else [lat, lon])
    codes, unique = pd.factorize(keys)
    if "site" in table:
        names = [str(key[0]) for key in unique]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise InputError(
                f"{path}: site {twice[0]} has several positions; expected one lat and lon. Correct them."
            )
    else:
        names = [f"cell ({key[0]:g}, {key[1]:g})" for key in unique]
    places = np.array([key[-2:] for key in unique], dtype=np.float64)
    places[:, 1] = wrap_longitude(places[:, 1])
    return codes.astype(np.int64), names, places


def _one_cell(
    columns: Mapping[str, Column],
    rows: npt.NDArray[np.int64],
    month: npt.NDArray[np.int64],
    day: npt.NDArray[np.int64] | None,
    where: str,
) -> tuple[npt.NDArray[np.int64], dict[str, Array]]:
    """Months of one cell and its means in them; rows may stand in any order."""
    if not rows.size:
        raise InputError(f"{where}: no row in the period. Choose a period that it has, or leave it out.")
    order = rows[np.lexsort((day[rows] if day is not None else rows, month[rows]))]
    days = np.ones_like(order) if day is None else day[order]
    months, starts = complete_months(TimeAxis(month[order], days, "standard", day is not None), where)
    counts = np.diff(starts, append=order.size)
    means = {
        name: np.add.reduceat(column.values.to_numpy(np.float64)[order], starts) / counts
        for name, column in columns.items()
    }
    return months, means
