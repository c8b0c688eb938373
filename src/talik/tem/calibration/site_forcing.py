"""Climate, CO2 and soil of towers as files that the process model reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from talik.errors import ConfigError, InputError
from talik.files import whole_file, write_text
from talik.provenance import stamp
from talik.sources.climate_cells import Points, nearest
from talik.sources.climate_checks import require_climate
from talik.sources.climate_dataset import assemble
from talik.sources.climate_layouts import NOISE, VARIABLES
from talik.sources.climate_months import list_months, month_number
from talik.sources.climatology import read_climatology
from talik.sources.land_static import TEXTURES, read_static
from talik.sources.site_table import SiteTable, read_sites
from talik.tem import radiation
from talik.tem.calibration.towers import Tower, rows_of
from talik.tem.communities import VEGETATION_TYPES

Array = npt.NDArray[np.float64]

DRIVERS = {"tas": "tair", "pr": "precip", "rsds": "srad"}
"""Variables of the process model and their columns in a site table."""
DEFAULT_ELEVATION_M = 100.0
"""Of a tower that does not say; all that matters is whether it is above 500 m."""
FARTHEST_KM = 100.0
"""How far the nearest soil of a map may lie from a tower."""
CELL_DEG = 0.5
"""Size of a cell of the climatology."""


@dataclass(frozen=True)
class SiteFiles:
    """What `write_site_forcing` wrote: `climate` and `land` NetCDF, `co2` CSV."""

    climate: Path
    land: Path
    co2: Path


@dataclass(frozen=True)
class _Driven:
    """Months of one tower, each (year, 12), and how they were made."""

    tas: Array
    pr: Array
    rsds: Array
    told: dict[str, object]
    note: str


def write_site_forcing(
    folder: Path,
    towers: Sequence[Tower],
    drivers: Path,
    *,
    air: Path | None = None,
    climatology: Path | None = None,
    soil: Path | None = None,
    years: tuple[int, int],
) -> SiteFiles:
    """Write the forcing of towers: climate.nc, land.nc and co2.csv in `folder`, for `tem.climate`, `land` and `co2`.

    drivers : site table with climate and co2, such as CARDAMOM-FluxVal. air : site table with air temperature of the
    towers. climatology : for towers without drivers. soil : soil map for towers without texture. years : first and
    last.

    Errors are those of `site_climate`, `site_land` and `site_co2`; nothing is written then.
    """
    table = read_sites(drivers)
    measured = None if air is None else read_sites(air)
    climate = site_climate(towers, table, air=measured, climatology=climatology, years=years)
    land = site_land(towers, soil)
    co2 = site_co2(table, years)
    inputs = {p.name: p for p in (drivers, air, climatology) if p is not None}
    out = SiteFiles(folder / "climate.nc", folder / "land.nc", folder / "co2.csv")
    with whole_file(out.climate) as part:
        stamp(climate, "tem calibrate", inputs=inputs).to_netcdf(part, engine="netcdf4")
    with whole_file(out.land) as part:
        soils = {} if soil is None else {soil.name: soil}
        stamp(land, "tem calibrate", inputs=soils).to_netcdf(part, engine="netcdf4")
    write_text(out.co2, co2.to_csv(index=False, float_format="%.4f", lineterminator="\n"))
    return out


def site_climate(
    towers: Sequence[Tower],
    drivers: SiteTable,
    *,
    air: SiteTable | None = None,
    climatology: Path | None = None,
    years: tuple[int, int],
) -> xr.Dataset:
    """Monthly climate of towers: `tas` (degC), `pr` (mm month-1), `rsds` (W m-2), float64 (time, cell), and `site`.

    A tower with rows in `drivers` has their climate (of CARDAMOM-FluxVal: the mean of tmin and tmax). Any other has, in
    every year, the half-degree cell of `climatology`, its sunshine as short-wave radiation by the line of TEM 4.3.

    Months in which `air` has an air temperature of the tower have that one. The temperature of the others is shifted by
    the mean difference between `air` and the base in the same calendar month, or, where a calendar month was never
    measured, by the mean of the differences of those that were. Precipitation and radiation stay those of the base. So
    the mean of a calendar month over a climatology is that of the tower's own measurements.

    Attributes: `talik_note` says which towers have a climatology and which were shifted; `talik_audit` (JSON) has by
    site the base, the months with measured temperature and the shift (K) of January to December.

    Raises:
        InputError: drivers with missing months or values that no climate has, no drivers and no climatology or air
            temperature, or no land there.
        ConfigError: no towers, two at one place, or years that run backwards.
    """
    _check(towers, years)
    made = [_driven(t, drivers, air, climatology, years) for t in towers]
    months = np.arange(month_number(years[0], 1), month_number(years[1], 12) + 1)
    arrays = {}
    for name, standard in (
        ("tas", "air_temperature"),
        ("pr", "lwe_thickness_of_precipitation_amount"),
        ("rsds", "surface_downwelling_shortwave_flux_in_air"),
    ):
        values = np.stack([getattr(d, name).ravel() for d in made], axis=1)
        if name != "tas":
            values = np.where((values < 0) & (values >= -NOISE), 0.0, values)
        known = VARIABLES[name]
        attrs = {"units": known.units, "standard_name": standard, "cell_methods": known.cell_methods}
        arrays[name] = xr.DataArray(values, dims=("time", "cell"), coords={"time": months}, attrs=attrs)
    places = np.array([(t.lat, t.lon) for t in towers])
    attrs = {
        "Conventions": "CF-1.8",
        "title": "Monthly climate of towers",
        "talik_note": ". ".join(d.note for d in made),
        "talik_audit": json.dumps(
            {t.site: d.told for t, d in zip(towers, made, strict=True)}, sort_keys=True
        ),
    }
    out = assemble(arrays, places, attrs)
    require_climate(out)
    return out.assign_coords(site=("cell", np.array([t.site for t in towers])))


def corrected(base: Array, measured: Array) -> tuple[Array, Array]:
    """Temperature (year, 12) of a tower, and the shift (12,) of the months that were not measured.

    base : (year, 12) complete, degC. measured : the same, NaN where nothing was measured; then `base` is shifted by the
    mean of measured - base in its calendar month, or in a calendar month that never was by the mean of those shifts.
    """
    there = np.isfinite(measured)
    counts = there.sum(axis=0)
    total = np.where(there, measured - base, 0.0).sum(axis=0)
    shift = np.divide(total, counts, out=np.zeros(12), where=counts > 0)
    if counts.any():
        shift = np.where(counts > 0, shift, shift[counts > 0].mean())
    return np.where(there, measured, base + shift), shift


def site_co2(drivers: SiteTable, years: tuple[int, int]) -> pd.DataFrame:
    """CO2 by year: columns year and co2_ppm, the mean of all months and sites of the column co2 of `drivers`.

    Raises:
        InputError: no such column, or a year without all months.
    """
    if "co2" not in drivers.rows:
        raise InputError(
            f"site table ({drivers.format}): no column co2 (ppm). Give a table with it, or a CO2 file of your own."
        )
    rows = drivers.rows.dropna(subset=["co2"])
    of_year = {year: rows[rows["year"] == year] for year in range(years[0], years[1] + 1)}
    short = [year for year, held in of_year.items() if held["month"].nunique() < 12]
    if short:
        raise InputError(
            f"site table ({drivers.format}): co2 has no whole year in {', '.join(map(str, short[:5]))} "
            f"({len(short)} years); expected all of {years[0]}..{years[1]}. Choose years inside."
        )
    return pd.DataFrame(
        {"year": list(of_year), "co2_ppm": [float(held["co2"].mean()) for held in of_year.values()]}
    )


def site_land(towers: Sequence[Tower], soil: Path | None = None) -> xr.Dataset:
    """Soil, vegetation type and elevation of towers, (cell,): sand, silt, clay (percent), temveg (1), elevation (m).

    Texture is that of the tower, else of the nearest cell of the soil map that has soil; `temveg` is the first type of
    TEM 4.3 that is all of the tower's community. `talik_note` says what was taken from where.

    Raises:
        InputError: no texture within 100 km of a tower, and none of its own.
    """
    cells = None if soil is None else read_static([soil])
    notes = []
    texture = np.zeros((len(towers), 3))
    for i, tower in enumerate(towers):
        if tower.texture is not None:
            texture[i] = tower.texture
            notes.append(f"{tower.site}: texture as given")
        else:
            texture[i], note = _texture(tower, cells, soil)
            notes.append(note)
        if tower.elevation_m is None:
            notes.append(f"{tower.site}: elevation taken as {DEFAULT_ELEVATION_M:g} m")
    high = [DEFAULT_ELEVATION_M if t.elevation_m is None else t.elevation_m for t in towers]
    named = {n: ("cell", texture[:, i], {"units": "percent"}) for i, n in enumerate(TEXTURES)}
    return xr.Dataset(
        {
            **named,
            "temveg": ("cell", np.array([_type(t) for t in towers], dtype=np.int16), {"units": "1"}),
            "elevation": ("cell", np.array(high), {"units": "m"}),
        },
        coords={
            "lat": ("cell", np.array([t.lat for t in towers]), {"units": "degrees_north"}),
            "lon": ("cell", np.array([t.lon for t in towers]), {"units": "degrees_east"}),
            "site": ("cell", np.array([t.site for t in towers])),
        },
        attrs={"Conventions": "CF-1.8", "title": "Soil of towers", "talik_note": ". ".join(notes)},
    )


def _check(towers: Sequence[Tower], years: tuple[int, int]) -> None:
    places = [(t.lat, t.lon) for t in towers]
    twice = [t.site for t, place in zip(towers, places, strict=True) if places.count(place) > 1]
    if not towers or twice:
        raise ConfigError(
            f"towers: {'none given' if not towers else ' and '.join(twice) + ' stand at one place'}; expected towers "
            "at places of their own. Correct them."
        )
    if years[0] > years[1]:
        raise ConfigError(f"years {years} run backwards; expected (first year, last year).")


def _driven(
    tower: Tower, drivers: SiteTable, air: SiteTable | None, climatology: Path | None, years: tuple[int, int]
) -> _Driven:
    """The climate of one tower."""
    rows = rows_of(tower, drivers.rows)
    rows = rows[rows["year"].between(*years)]
    own = set(DRIVERS.values()) <= set(rows.columns) and bool(
        rows[list(DRIVERS.values())].notna().any().all()
    )
    measured = None if air is None else rows_of(tower, air.rows)
    seen = np.full((years[1] - years[0] + 1, 12), np.nan)
    if measured is not None and "tair" in measured:
        seen = _months(
            measured, "tair", years, f"{tower.site}: air temperature ({air.format})" if air else ""
        )
    count = int(np.isfinite(seen).sum())
    if own:
        base = [_complete(tower, rows, name, years, drivers.format) for name in DRIVERS.values()]
        source, note = drivers.format, f"{tower.site}: climate of {drivers.format}"
    else:
        if climatology is None or not count:
            lacks = "climatology" if climatology is None else f"air temperature in {years[0]}..{years[1]}"
            raise InputError(
                f"{tower.site}: no {', '.join(DRIVERS.values())} in the site table ({drivers.format}) in {years[0]}.."
                f"{years[1]}, and no {lacks}. Add it, or leave the tower out."
            )
        base = [np.tile(a, (years[1] - years[0] + 1, 1)) for a in _climatology(tower, climatology)]
        source = climatology.name
        note = (
            f"{tower.site}: precipitation and sunshine of the climatology {climatology.name} in every year, without "
            "year-to-year variability"
        )
    tas, shift = corrected(base[0], seen)
    if count:
        note += (
            f", air temperature measured in {count} of {seen.size} months and else shifted by {shift.min():+.1f} to "
            f"{shift.max():+.1f} K"
        )
    told: dict[str, object] = {
        "base": source,
        "measured_months": count,
        "never_measured": [m + 1 for m in range(12) if not np.isfinite(seen[:, m]).any()],
        "shift_k": [round(float(v), 3) for v in shift],
    }
    return _Driven(tas, base[1], base[2], told, note)


def _months(rows: pd.DataFrame, column: str, years: tuple[int, int], where: str) -> Array:
    """A column as (year, 12), NaN where there is none; InputError if a month is there twice."""
    held = rows.dropna(subset=[column])
    held = held[held["year"].between(*years) & held["month"].between(1, 12)]
    twice = held[held.duplicated(["year", "month"])]
    if len(twice):
        raise InputError(
            f"{where}: {column} has {len(twice)} months twice, first {twice['year'].iloc[0]}-"
            f"{twice['month'].iloc[0]:02d}. Keep one row a month."
        )
    out = np.full((years[1] - years[0] + 1, 12), np.nan)
    at = (held["year"].to_numpy(np.int64) - years[0], held["month"].to_numpy(np.int64) - 1)
    out[at] = held[column].to_numpy(np.float64)
    return out


def _complete(tower: Tower, rows: pd.DataFrame, column: str, years: tuple[int, int], table: str) -> Array:
    """A driver as (year, 12) without a gap."""
    out = _months(rows, column, years, f"{tower.site} ({table})")
    missing = np.flatnonzero(~np.isfinite(out.ravel()))
    if missing.size:
        raise InputError(
            f"{tower.site} ({table}): {column} is missing in {list_months(missing + month_number(years[0], 1))}; "
            f"expected every month of {years[0]}..{years[1]}. Choose years inside, or another table."
        )
    return out


def _climatology(tower: Tower, path: Path) -> tuple[Array, Array, Array]:
    """tas (degC), pr (mm month-1) and rsds (W m-2) of the cell of a tower, each (12,)."""
    lat, lon = (np.array([(np.floor(v / CELL_DEG) + 0.5) * CELL_DEG]) for v in (tower.lat, tower.lon))
    tas, pr, clouds = (a[:, 0] for a in read_climatology(path, lat, lon))
    if not np.isfinite(np.concatenate([tas, pr, clouds])).all():
        raise InputError(
            f"{path}: no climate at ({lat[0]:g}, {lon[0]:g}), the cell of {tower.site}. Move the tower to the nearest "
            "cell with land, or give it drivers."
        )
    gross = radiation.gross_irradiance(jnp.asarray([tower.lat]))[:, 0]
    irradiance = np.asarray(radiation.irradiance_from_cloudiness(gross, jnp.asarray(clouds)))
    return tas, pr, irradiance * radiation.CAL_CM2_PER_DAY_IN_W_M2


def _texture(tower: Tower, cells: xr.Dataset | None, soil: Path | None) -> tuple[Array, str]:
    """Sand, silt and clay (%) of the nearest soil, and where that is."""
    if cells is None or soil is None:
        raise InputError(f"{tower.site}: no texture and no soil map. Give one of them.")
    lat, lon = cells["lat"].to_numpy(), cells["lon"].to_numpy()
    points = Points(str(soil), ("cell",), (lat.size,), lat, lon)
    index, distance = nearest(points, np.array([tower.lat]), np.array([tower.lon]))
    k, km = int(index[0]), float(distance[0])
    if km > FARTHEST_KM:
        raise InputError(
            f"{tower.site}: the nearest soil of {soil} lies {km:.0f} km away at ({lat[k]:g}, {lon[k]:g}); expected at "
            f"most {FARTHEST_KM:g} km. Give the tower its texture."
        )
    values = np.array([float(cells[n][k]) for n in TEXTURES])
    return values, f"{tower.site}: texture of {soil.name} at ({lat[k]:g}, {lon[k]:g}), {km:.0f} km away"


def _type(tower: Tower) -> int:
    """The first vegetation type of TEM that is all of one community."""
    return next(t for t, shares in VEGETATION_TYPES.items() if shares == ((tower.community, 1.0),))
