"""Monthly fire emissions on the grid of GFED4.1s (van der Werf et al. 2017) as a flux dataset."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import netCDF4
import numpy as np
import numpy.typing as npt
import xarray as xr

from talik.errors import ConfigError, GridError, InputError, UnitsError
from talik.flux.convert import recast
from talik.flux.dataset import make_flux_dataset
from talik.flux.table import FluxVar, Species
from talik.flux.units import rate_from_amount
from talik.regions import conform, grid_of
from talik.sources.climate_months import month_number, month_stamps
from talik.sources.gfed_factors import FIRE_TYPES, FIRST_BETA_YEAR, REGIONS, EmissionFactors

Array = npt.NDArray[np.float64]
Carbon = Literal["co2", "all"]

FILE_NAME = re.compile(r"^GFED4\.1s_(?P<year>(?:19|20)\d\d)(?P<beta>_beta)?\.hdf5$")
MONTHS = range(1, 13)
AREA_TOLERANCE = 0.01
"""How far, as a share, cell areas of the file may lie from those of the ellipsoid: those of a sphere do by 0.7 %."""
PARTITION_TOLERANCE = 1e-3
"""Share of the dry matter of a month that the kinds of fire may leave out."""
CARBON_TOLERANCE = 0.02
"""How far, as a share, carbon may lie from dry matter times its emission factor."""
_FLUXES: tuple[tuple[str, Species, str], ...] = (
    ("fFire", "CO2", "CO2 of fires"),
    ("fFireCh4", "CH4", "CH4 of fires"),
    ("fFireN2o", "N2O", "N2O of fires"),
)


@dataclass(frozen=True, eq=False)
class _Map:
    """The cells of a file that are wanted: rows of the file, their grid, area (m2) and region, south first."""

    rows: slice
    turned: bool
    lat: Array
    lon: Array
    area: Array
    region: npt.NDArray[np.int16]

    def same_as(self, other: _Map) -> bool:
        """Whether another file has the same cells."""
        return self.lat.shape == other.lat.shape and all(
            np.allclose(a, b, rtol=1e-5)
            for a, b in ((self.lat, other.lat), (self.lon, other.lon), (self.area, other.area))
        )


@dataclass(frozen=True, eq=False)
class _Year:
    """One file: emissions (month, lat, lon) in kg m-2 month-1 of the species of `_FLUXES`; burned share of the cell."""

    year: int
    emissions: dict[str, npt.NDArray[np.float32]]
    burned: npt.NDArray[np.float32] | None


def read_gfed(
    paths: str | Path | Sequence[str | Path],
    *,
    factors: EmissionFactors | None = None,
    carbon: Carbon = "co2",
    south: float = -90.0,
    land_fraction: xr.DataArray | None = None,
) -> xr.Dataset:
    """Fire emissions of GFED4.1s as a monthly flux dataset (time, lat, lon), both axes ascending, longitude -180..180.

    fFire, fFireCh4 : kg C m-2 s-1; fFireN2o : kg N m-2 s-1; all upward, per land area. Emission = dry matter x sum over
    the kinds of fire of (share x emission factor), per month of real length.
    burned_fraction : share of the cell burned in the month; absent where no file has it, NaN in preliminary years.
    cell_area (m2, of the file), basis_region (1..14, 0 sea; names in the attribute regions), land_fraction, coverage.
    Zero in the sea of GFED is no data here: NaN, coverage 0. On land zero is no fire.

    paths : files GFED4.1s_<year>.hdf5, from 2017 GFED4.1s_<year>_beta.hdf5, one a year, in any order.
    factors : emission factors; those of GFED4.1s unless told.
    carbon : what fFire is, said in its attributes: 'co2' the carbon of CO2, by emission factor; 'all' the carbon that
        the files state, which also holds that of CO, CH4 and others, so that fFireCh4 must not be added to it.
    south : cells whose centre lies south of this are not read, degrees.
    land_fraction : land share of the cells, on their grid. GFED has none: by default each of its land cells counts as
        land as a whole, so that totals with this `land_fraction` are those of GFED. Emissions where it is 0 are lost
        and noted in the attribute notes.

    The format is as users of the data describe it; it was not tested on a published file.

    Raises:
        InputError: no such file, another name, a year twice, a group that is missing, values that are negative or not
            finite, kinds of fire that do not add up to one.
        GridError: no regular grid, areas that are not those of its cells, or files or land_fraction on other grids.
        UnitsError: carbon that does not fit the dry matter.
        ConfigError: no files, or another word for `carbon`.
    """
    used = factors or EmissionFactors()
    if carbon not in ("co2", "all"):
        raise ConfigError(f"carbon is {carbon!r}; choose 'co2' or 'all'.")
    files = _files(paths)
    notes: list[str] = []
    years: list[_Year] = []
    cells: _Map | None = None
    for number, path in files.items():
        with _opened(path) as file:
            here = _map_of(file, south, path)
            if cells is not None and not cells.same_as(here):
                raise GridError(
                    f"{path}: other cells than {next(iter(files.values()))}; give files of one grid."
                )
            cells = cells or here
            years.append(_read_year(file, here, number, used, carbon, path, notes))
    if cells is None:
        raise ConfigError("no GFED files given; expected at least one path.")
    return _dataset(years, cells, list(files.values()), carbon, land_fraction, notes)


def species_per_dry_matter(shares: Array, factors: Array) -> Array:
    """kg of a species per kg of dry matter (...), from shares (kind, ...) and factors (kind,) in g kg-1."""
    out: Array = np.tensordot(factors, shares, axes=1) / 1000.0
    return out


def _files(paths: str | Path | Sequence[str | Path]) -> dict[int, Path]:
    """Files by year, in order."""
    given = [Path(paths)] if isinstance(paths, str | Path) else [Path(p) for p in paths]
    found: dict[int, Path] = {}
    for path in given:
        name = FILE_NAME.match(path.name)
        if name is None:
            raise InputError(
                f"{path}: the name says no year; expected GFED4.1s_<year>.hdf5 or GFED4.1s_<year>_beta.hdf5. Keep the "
                "published name."
            )
        year = int(name["year"])
        if year in found:
            raise InputError(f"{path}: year {year} is given twice, also by {found[year]}. Leave one out.")
        found[year] = path
    return dict(sorted(found.items()))


def _opened(path: Path) -> netCDF4.Dataset:
    if not path.is_file():
        raise InputError(f"{path}: no such file. Check the path.")
    try:
        file = netCDF4.Dataset(path)
    except OSError as err:
        raise InputError(f"{path}: not readable as HDF5 ({err}). Copy the file again.") from err
    file.set_auto_maskandscale(False)
    return file


def _values(file: netCDF4.Dataset, name: str, path: Path, rows: slice = slice(None)) -> Array:
    """Some rows of a variable by its path in the file, (lat, lon)."""
    try:
        variable = file[name]
    except (IndexError, KeyError) as err:
        raise InputError(
            f"{path}: no {name}; expected the layout of GFED4.1s (lat, lon, ancill, emissions/01..12). Is it complete?"
        ) from err
    if variable.ndim != 2:
        raise InputError(f"{path}: {name} has {variable.ndim} dimensions; expected rows and columns.")
    return np.asarray(variable[rows], dtype=np.float64)


def _map_of(file: netCDF4.Dataset, south: float, path: Path) -> _Map:
    lat, lon = _values(file, "lat", path), _values(file, "lon", path)
    if np.ptp(lat, axis=1).max() > 1e-4 or np.ptp(lon, axis=0).max() > 1e-4 or min(lat.shape) < 2:
        raise GridError(
            f"{path}: lat and lon are no regular grid; expected rows of one latitude. Correct the file."
        )
    kept = np.flatnonzero(lat[:, 0] >= south)
    if kept.size < 2:
        raise ConfigError(f"{path}: fewer than two rows lie north of south={south:g}; choose a lower value.")
    rows = slice(int(kept[0]), int(kept[-1]) + 1)
    turned = bool(lat[0, 0] > lat[-1, 0])
    axes = {"lat": lat[rows, 0][:: -1 if turned else 1], "lon": lon[0]}
    grid = grid_of(xr.Dataset(coords=axes))
    area, region = (
        _south_first(_values(file, f"ancill/{n}", path, rows), turned)
        for n in ("grid_cell_area", "basis_regions")
    )
    off = np.abs(area / grid.row_area_m2[:, None] - 1.0).max()
    if off > AREA_TOLERANCE:
        raise GridError(
            f"{path}: ancill/grid_cell_area is off by up to {off:.2%} from the area of the cells; expected m2, and lat "
            "and lon of the centres. Correct the file."
        )
    if not np.isin(region, np.arange(len(REGIONS) + 1)).all():
        raise InputError(
            f"{path}: ancill/basis_regions has codes outside 0..{len(REGIONS)}. Copy the file again."
        )
    return _Map(rows, turned, axes["lat"], axes["lon"], area, region.astype(np.int16))


def _south_first(values: Array, turned: bool) -> Array:
    return values[::-1] if turned else values


def _read_year(
    file: netCDF4.Dataset,
    cells: _Map,
    year: int,
    factors: EmissionFactors,
    carbon: Carbon,
    path: Path,
    notes: list[str],
) -> _Year:
    """Emissions and burned area of the twelve months of a file."""
    emissions: dict[str, list[npt.NDArray[np.float32]]] = {name: [] for name, _, _ in _FLUXES}
    stated = expected = 0.0
    by_kind = {s: np.array([factors.of(s)[k] for k in FIRE_TYPES]) for s in ("C", "CO2", "CH4", "N2O")}
    for month in MONTHS:
        group = f"emissions/{month:02d}"
        dry, all_carbon, *shares = (
            _south_first(_amounts(file, f"{group}/{name}", cells, path), cells.turned)
            for name in ("DM", "C", *(f"partitioning/DM_{k}" for k in FIRE_TYPES))
        )
        partition = np.stack(shares)
        lost = float((dry * np.abs(partition.sum(axis=0) - 1.0) * cells.area).sum())
        if lost > PARTITION_TOLERANCE * float((dry * cells.area).sum()):
            raise InputError(
                f"{path}: {group}/partitioning: the shares DM_{', DM_'.join(FIRE_TYPES)} do not add up to 1 where "
                f"something burns ({lost / float((dry * cells.area).sum()):.1%} of the dry matter). Copy it again."
            )
        emitted = {s: dry * species_per_dry_matter(partition, f) for s, f in by_kind.items()}
        stated += float((all_carbon / 1000.0 * cells.area).sum())
        expected += float((emitted["C"] * cells.area).sum())
        if carbon == "all":
            emitted["CO2"] = all_carbon / 1000.0
        for name, species, _ in _FLUXES:
            emissions[name].append(emitted[species].astype(np.float32))
    if abs(stated - expected) > CARBON_TOLERANCE * max(stated, expected):
        raise UnitsError(
            f"{path}: emissions/C holds {stated / 1e9:.4g} Tg, but DM times its factors {expected / 1e9:.4g} Tg; "
            "expected C in g m-2 month-1 and DM in kg m-2 month-1. Check units and emission factors."
        )
    burned = None
    if "burned_area" in file.groups:
        months = (_amounts(file, f"burned_area/{m:02d}/burned_fraction", cells, path) for m in MONTHS)
        burned = np.stack([_south_first(m, cells.turned).astype(np.float32) for m in months])
        if burned.max() > 1.0 + 1e-6:
            raise UnitsError(
                f"{path}: burned_fraction reaches {burned.max():g}; expected shares 0..1, not percent."
            )
    if year >= FIRST_BETA_YEAR:
        notes.append(f"{path.name}: preliminary (beta), emissions by active fires")
    elif burned is None:
        notes.append(f"{path.name}: no burned_area")
    return _Year(year, {name: np.stack(m) for name, m in emissions.items()}, burned)


def _amounts(file: netCDF4.Dataset, name: str, cells: _Map, path: Path) -> Array:
    """Values that cannot be negative, in rows as in the file."""
    values = _values(file, name, path, cells.rows)
    if values.shape != cells.area.shape:
        raise GridError(
            f"{path}: {name} has shape {values.shape}; expected that of lat and lon, {cells.area.shape}."
        )
    wrong = ~(np.isfinite(values) & (values >= 0.0))
    if wrong.any():
        raise InputError(
            f"{path}: {name} is negative or not finite in {int(wrong.sum())} cells; expected 0 or more. Copy it again."
        )
    return values


def _dataset(
    years: list[_Year],
    cells: _Map,
    files: list[Path],
    carbon: Carbon,
    land_fraction: xr.DataArray | None,
    notes: list[str],
) -> xr.Dataset:
    months = np.array([month_number(y.year, m) for y in years for m in MONTHS], dtype=np.int64)
    coords = {"time": month_stamps(months), "lat": cells.lat, "lon": cells.lon}
    grid = grid_of(xr.Dataset(coords={"lat": cells.lat, "lon": cells.lon}))
    bounds = xr.DataArray(
        np.stack([month_stamps(months), month_stamps(months + 1)], axis=1),
        dims=("time", "bnds"),
        coords={"time": coords["time"]},
    )
    amounts = {
        name: xr.DataArray(
            np.concatenate([y.emissions[name] for y in years]),
            dims=("time", "lat", "lon"),
            coords=coords,
            name=name,
            attrs={"units": "kg m-2 month-1"},
        )
        for name, _, _ in _FLUXES
    }
    land = xr.DataArray(cells.region > 0, dims=("lat", "lon"), coords={k: coords[k] for k in ("lat", "lon")})
    burning = sum((a > 0.0).any("time") for a in amounts.values()) > 0
    at_sea = int((burning & ~land).sum())
    if at_sea:
        notes.append(f"{at_sea} cells burn that basis_regions calls sea; they are kept as land")
    seen = land | burning
    share = seen.astype(np.float64) if land_fraction is None else conform(land_fraction, grid)
    origin = "cells of GFED's regions, as a whole" if land_fraction is None else "given"
    if lost := int((burning & ~(share > 0.0)).sum()):
        notes.append(f"{lost} cells burn that land_fraction calls sea; their emissions are left out")
    fluxes = {}
    for name, species, long_name in _FLUXES:
        held: Species = "C" if name == "fFire" and carbon == "all" else species
        meant = FluxVar(name=name, species=held, positive="up", long_name=long_name, per="cell")
        rate = rate_from_amount(amounts[name], bounds=bounds).where(seen)
        fluxes[name] = recast(rate, meant, name, share.where(seen, 0.0))
    fluxes["fFire"].attrs["comment"] = (
        "carbon of CO2, by emission factor"
        if carbon == "co2"
        else "all carbon emitted, with that of CO, CH4 and others: fFireCh4 lies inside"
    )
    ds = make_flux_dataset(
        fluxes,
        approach="inventory",
        source="GFED4.1s fire emissions (van der Werf et al. 2017)",
        coverage=(seen & (share > 0.0)).astype(np.float64),
        time_bounds=bounds,
        inputs={p.name: p for p in files},
    )
    area = {"units": "m2", "standard_name": "cell_area", "origin": "ancill/grid_cell_area"}
    ds["cell_area"] = (("lat", "lon"), cells.area, area)
    ds["basis_region"] = (
        ("lat", "lon"),
        cells.region,
        {"units": "1", "long_name": "region of GFED, 0 sea", "regions": " ".join(REGIONS)},
    )
    ds["land_fraction"] = share.assign_attrs(units="1", long_name="land share of the cell", origin=origin)
    if any(y.burned is not None for y in years):
        nothing = np.full((12, *cells.area.shape), np.nan, dtype=np.float32)
        burned = np.concatenate([nothing if y.burned is None else y.burned for y in years])
        attrs = {"units": "1", "long_name": "share of the cell burned in the month"}
        ds["burned_fraction"] = (("time", "lat", "lon"), burned, attrs)
        ds["burned_fraction"] = ds["burned_fraction"].where(seen).assign_attrs(attrs)
    return ds.assign_attrs(basis="land", source_file=", ".join(p.name for p in files), notes=notes)
