"""Pattern-scaled months of cells, and the climate files that the process model reads."""

from __future__ import annotations

import json
from pathlib import Path

import netCDF4
import numpy as np
import numpy.typing as npt
import xarray as xr

from talik.errors import InputError
from talik.forcing.land import Resolve
from talik.forcing.patterns import Scaled, read_patterns
from talik.forcing.settings import ForcingSettings
from talik.forcing.warming import Series, read_warming
from talik.provenance import code_version, history_line
from talik.sources.climate_months import month_number, month_stamps
from talik.sources.climatology import read_climatology

Array = npt.NDArray[np.float64]

CELLS = 256
"""Cells of a chunk, which holds all its months: what a block of the process model reads."""
DECIMALS = {"tas": 3, "pr": 2, "clt": 3}
"""Decimal digits that are kept; the rest would be noise that does not compress."""
NOTE = (
    "pattern-scaled: no year-to-year variability of its own, the same pattern in every year; cloud cover is that of "
    "the climatology in every year"
)


def scaled_months(scaled: Scaled, warming: Array) -> tuple[Array, Array, int]:
    """tas (degC) and pr (mm month-1), (12 * year, cell), and how many months of pr would have been below zero.

    warming : (year,) global warming (K) relative to the years of the climatology. tas = climatology + pattern x warming
    (Lynch et al. 2017); pr = climatology x (1 + pattern x warming) or climatology + pattern x warming, at least 0.
    """
    change = warming[:, None, None]
    tas = scaled.tas + scaled.tas_per_k * change
    pr = (
        scaled.pr * (1 + scaled.pr_per_k * change)
        if scaled.relative
        else scaled.pr + scaled.pr_per_k * change
    )
    below = int((pr < 0).sum())
    shape = (12 * warming.size, -1)
    return tas.reshape(shape), np.maximum(pr, 0.0).reshape(shape), below


def read_scaled(settings: ForcingSettings, resolve: Resolve, lat: Array, lon: Array) -> Scaled:
    """Climatology and patterns at cells; errors as `read_climatology` and `read_patterns`."""
    tas, pr, clt = read_climatology(resolve(settings.climatology.file), lat, lon)
    files = [resolve(name) for name in settings.patterns.files]
    tas_per_k, pr_per_k, limited = read_patterns(files, settings.patterns, lat, lon)
    relative = settings.patterns.precipitation == "relative"
    return Scaled(tas, pr, clt, tas_per_k, pr_per_k, relative, limited)


def series_of(settings: ForcingSettings, resolve: Resolve) -> dict[str, Series]:
    """Warming relative to the climatology, "historical" and by scenario; errors as `read_warming`."""
    how = settings.warming
    names = [how.historical, *([how.assessed] if how.assessed else []), *how.runs.values()]
    files = {name: resolve(name) for name in names}
    return read_warming(how, files, settings.climatology.period, settings.last_year)


def write_climate(
    out: Path, name: str, settings: ForcingSettings, resolve: Resolve, land: Path, key: str
) -> None:
    """Write the months of "historical" or a scenario for the cells of a land file, some cells at a time.

    The file has tas (degC), pr (mm month-1) and clt (1) by (time, cell), float32, with lat and lon of the cells;
    `talik_audit` (JSON) has the warming by year and the counts.
    """
    with xr.open_dataset(land, engine="netcdf4") as ds:
        lat, lon = ds["lat"].to_numpy(), ds["lon"].to_numpy()
    scaled = read_scaled(settings, resolve, lat, lon)
    series = series_of(settings, resolve)[name]
    first, last = int(series.years[0]), int(series.years[-1])
    clipped = 0
    with netCDF4.Dataset(out, "w") as file:
        _frame(file, lat, lon, first, last)
        for start in range(0, lat.size, CELLS):
            cells = slice(start, min(start + CELLS, lat.size))
            part = scaled.part(cells)
            tas, pr, below = scaled_months(part, series.values)
            if not np.isfinite(tas).all() or not np.isfinite(pr).all():
                raise InputError(
                    f"forcing: cells {cells.start}..{cells.stop - 1} have no value in some month of {name}."
                )
            clipped += below
            file["tas"][:, cells] = tas
            file["pr"][:, cells] = pr
            file["clt"][:, cells] = np.tile(part.clt, (series.values.size, 1))
        told = {
            "warming_k": {
                str(y): round(float(v), 4) for y, v in zip(series.years, series.values, strict=True)
            },
            "precipitation_set_to_zero": clipped,
            "ratios_limited": scaled.limited,
        }
        file.setncatts(
            {
                "Conventions": "CF-1.8",
                "title": f"Pattern-scaled monthly climate, {name}",
                "talik_note": NOTE,
                "talik_audit": json.dumps(told, sort_keys=True),
                "talik_code": code_version(),
                "history": history_line("tem forcing", key),
            }
        )


def _frame(file: netCDF4.Dataset, lat: Array, lon: Array, first: int, last: int) -> None:
    """Dimensions, coordinates and empty variables."""
    months = np.arange(month_number(first, 1), month_number(last, 12) + 2)
    stamps = month_stamps(months).astype("datetime64[D]").astype(np.int64)
    edges = (stamps - np.datetime64("1850-01-01", "D").astype(np.int64)).astype(np.float64)
    file.createDimension("time", months.size - 1)
    file.createDimension("cell", lat.size)
    file.createDimension("bnds", 2)
    time = file.createVariable("time", "f8", ("time",))
    time.setncatts(
        {
            "standard_name": "time",
            "axis": "T",
            "units": "days since 1850-01-01",
            "calendar": "standard",
            "bounds": "time_bnds",
        }
    )
    time[:] = edges[:-1]
    file.createVariable("time_bnds", "f8", ("time", "bnds"))[:] = np.stack([edges[:-1], edges[1:]], axis=1)
    for name, values, standard, units in (
        ("lat", lat, "latitude", "degrees_north"),
        ("lon", lon, "longitude", "degrees_east"),
    ):
        axis = file.createVariable(name, "f8", ("cell",))
        axis.setncatts({"standard_name": standard, "units": units})
        axis[:] = values
    for name, standard, units, method in (
        ("tas", "air_temperature", "degC", "time: mean"),
        ("pr", "lwe_thickness_of_precipitation_amount", "mm month-1", "time: sum"),
        ("clt", "cloud_area_fraction", "1", "time: mean"),
    ):
        variable = file.createVariable(
            name,
            "f4",
            ("time", "cell"),
            zlib=True,
            complevel=1,
            chunksizes=(months.size - 1, min(CELLS, lat.size)),
            least_significant_digit=DECIMALS[name],
            fill_value=np.float32(1e20),
        )
        variable.setncatts(
            {"standard_name": standard, "units": units, "cell_methods": method, "coordinates": "lat lon"}
        )
