"""From project settings to arrays: which columns run, under which climate, with which parameters."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import xarray as xr

from talik.errors import ConfigError, InputError
from talik.sources.climate import read_climate
from talik.sources.co2 import read_co2
from talik.sources.land_static import read_static
from talik.tem import communities, radiation, water
from talik.tem.model import Forcing, Parameters
from talik.tem.settings import Files, TemSettings
from talik.tem.thermal import materials, snow
from talik.tem.thermal.freezing import Layers
from talik.tem.thermal.materials import Ground, OrganicSoil
from talik.tem.water import Site

Array = npt.NDArray[np.float64]
CHECKED_TOGETHER = 2000
"""Cells whose climate is read at once when all of it is checked."""


@dataclass(frozen=True)
class Columns:
    """What runs: each cell has one column for each community that shares it.

    lat, lon, area_m2 of the whole cell if known (cell,); cell (rising), community (names), share, sand, silt, clay (%),
    elevation (m) (column,); notes of the reader.
    """

    lat: Array
    lon: Array
    area_m2: Array | None
    cell: npt.NDArray[np.int64]
    community: tuple[str, ...]
    share: Array
    sand: Array
    silt: Array
    clay: Array
    elevation: Array
    notes: tuple[str, ...] = ()

    def blocks(self, size: int) -> list[range]:
        """Ranges of cells with at most about `size` columns together."""
        per_cell = np.bincount(self.cell, minlength=self.lat.size)
        out, start, held = [], 0, 0
        for cell, columns in enumerate(per_cell):
            if held and held + columns > size:
                out.append(range(start, cell))
                start, held = cell, 0
            held += int(columns)
        return [*out, range(start, self.lat.size)]

    def repeated(self, times: int) -> Columns:
        """All columns so many times, one set after the other, in cells of their own."""
        cells = self.lat.size
        return Columns(
            np.tile(self.lat, times),
            np.tile(self.lon, times),
            None if self.area_m2 is None else np.tile(self.area_m2, times),
            np.concatenate([self.cell + i * cells for i in range(times)]),
            self.community * times,
            np.tile(self.share, times),
            np.tile(self.sand, times),
            np.tile(self.silt, times),
            np.tile(self.clay, times),
            np.tile(self.elevation, times),
            self.notes,
        )

    def part(self, cells: range) -> Columns:
        """The columns of some cells."""
        inside = (self.cell >= cells.start) & (self.cell < cells.stop)
        chosen = np.flatnonzero(inside)
        at = slice(cells.start, cells.stop)
        return Columns(
            self.lat[at],
            self.lon[at],
            None if self.area_m2 is None else self.area_m2[at],
            self.cell[chosen] - cells.start,
            tuple(self.community[i] for i in chosen),
            self.share[chosen],
            self.sand[chosen],
            self.silt[chosen],
            self.clay[chosen],
            self.elevation[chosen],
            self.notes,
        )

    def mean(self, values: Array) -> Array:
        """Cell means (..., cell) of column values (..., column), by share."""
        starts = np.searchsorted(self.cell, np.arange(self.lat.size))
        mean: Array = np.add.reduceat(values * self.share, starts, axis=-1)
        return mean


def read_columns(settings: TemSettings, files: Sequence[Path]) -> Columns:
    """The columns of the project; ice has none.

    Raises:
        InputError: land files do not say what is needed.
        ConfigError: communities or parameters that do not exist.
    """
    _check_names(settings)
    names = ", ".join(p.name for p in files)
    types = settings.land.vegetation_types or None
    try:
        land = read_static(files, cells=settings.cells, vegetation_types=types)
    except InputError as err:
        raise InputError(f"tem.land.files ({names}): {err}") from err
    for needed in ("sand", "silt", "clay"):
        if needed not in land:
            raise InputError(f"{names}: no {needed}; expected soil texture. Add a soil file to land.files.")
    elevation = _elevation(land, settings, names)
    shares = _shares(land, settings, names)
    kept = [i for i, of in enumerate(shares) if of]
    if not kept:
        raise InputError(
            f"{names}: no cell has plants (all are ice). Check the vegetation types or the cells."
        )
    notes = [str(n) for n in land.attrs["notes"]]
    if len(kept) < len(shares):
        notes.append(f"{len(shares) - len(kept)} of {len(shares)} cells are ice and are left out")
    rows = [(new, old, name, share) for new, old in enumerate(kept) for name, share in shares[old]]
    at = np.array([old for _, old, _, _ in rows])
    return Columns(
        land["lat"].to_numpy()[kept],
        land["lon"].to_numpy()[kept],
        land["area"].to_numpy()[kept] if "area" in land else None,
        np.array([new for new, _, _, _ in rows]),
        tuple(name for _, _, name, _ in rows),
        np.array([share for _, _, _, share in rows]),
        land["sand"].to_numpy()[at],
        land["silt"].to_numpy()[at],
        land["clay"].to_numpy()[at],
        elevation[at],
        tuple(notes),
    )


def _elevation(land: xr.Dataset, settings: TemSettings, names: str) -> Array:
    if "elevation" in land:
        return land["elevation"].to_numpy()
    if settings.land.elevation_m is None:
        raise InputError(
            f"{names}: no elevation, which decides how fast snow melts. Add a file with it to land.files, or set "
            "land.elevation_m for all cells."
        )
    return np.full(land.sizes["cell"], settings.land.elevation_m)


def _shares(land: xr.Dataset, settings: TemSettings, names: str) -> list[tuple[tuple[str, float], ...]]:
    if settings.land.community is not None:
        return [((settings.land.community, 1.0),)] * land.sizes["cell"]
    if "vegetation" not in land:
        raise InputError(f"{names}: no vegetation. Add a file with it to land.files, or set land.community.")
    return [communities.communities_of(int(v)) for v in land["vegetation"].to_numpy()]


def parameters_of(columns: Columns, settings: TemSettings, first_climate: Climate) -> Parameters:
    """Parameters of columns, with those values that the project changes; snow is classed by `first_climate`."""
    plants = communities.parameters_for(columns.community)
    for community, changes in settings.parameters.items():
        here = jnp.asarray([name == community for name in columns.community])
        plants = plants._replace(**{n: jnp.where(here, v, getattr(plants, n)) for n, v in changes.items()})
    p = jnp.asarray(np.maximum((columns.silt + columns.clay) / 100.0, 0.01))
    site = jax.jit(water.site_for)(plants, p, jnp.asarray(columns.elevation))
    windy = jnp.asarray([name in snow.WINDY for name in columns.community])
    density = jax.jit(snow.snow_density)(
        jnp.asarray(first_climate.tair.mean(axis=0)), jnp.asarray(first_climate.precip.mean(axis=0)), windy
    )
    resistance = snow.resistance_per_mm(density, settings.soil_heat.snow_conductivity)
    if settings.soil_heat.layers == "legacy":
        ground: Ground | Layers = materials.legacy_layers(columns.community)
    else:
        organic = organic_of(columns, settings)
        ground = ground_of(columns, site, organic)
        resistance = resistance * organic.snow_insulation
    # of a stated type, as that of a restart file: what was compiled for one serves the other
    return Parameters(plants, site, ground, jnp.asarray(resistance, jnp.float64))


def organic_of(columns: Columns, settings: TemSettings) -> OrganicSoil:
    """Organic soil of columns (column,), with those values that the project changes."""
    soils = materials.organic_for(columns.community)
    for community, changes in settings.organic_soil.items():
        here = jnp.asarray([name == community for name in columns.community])
        soils = soils._replace(**{n: jnp.where(here, v, getattr(soils, n)) for n, v in changes.items()})
    return soils


def ground_of(columns: Columns, site: Site, organic: OrganicSoil) -> Ground:
    """The ground of columns under organic soil (column,)."""
    return materials.ground_for(
        columns.community,
        jnp.asarray(columns.sand),
        jnp.asarray(columns.clay),
        site.rooting_depth,
        site.field_capacity_share,
        organic,
    )


def _check_names(settings: TemSettings) -> None:
    """ConfigError for communities and parameters that do not exist, and soil layers that nothing would read."""
    if settings.land.community is not None:
        _require_known("land.community", settings.land.community, communities.COMMUNITIES)
    changes = (
        ("parameters", settings.parameters, communities.Parameters._fields),
        ("organic_soil", settings.organic_soil, materials.OrganicSoil._fields),
    )
    for key, by_community, known in changes:
        for community, values in by_community.items():
            _require_known(key, community, communities.COMMUNITIES)
            for name in values:
                _require_known(f"{key}.{community}", name, known)
    for community, values in settings.organic_soil.items():
        wrong = [
            name
            for name, value in values.items()
            if value < 0
            or (name == "wetness" and value > 1)
            or (name in ("conductivity", "snow_insulation") and value == 0)
        ]
        if wrong:
            raise ConfigError(
                f"tem.organic_soil.{community}.{wrong[0]} is {values[wrong[0]]:g}; expected a thickness of 0 or more "
                "in m, a wetness of 0..1, and factors above 0."
            )
    if settings.organic_soil and settings.soil_heat.layers == "legacy":
        raise ConfigError(
            "tem.organic_soil: legacy layers have thicknesses of their own. Leave it out, or set soil_heat.layers to "
            "physical."
        )


def _require_known(key: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"choose one of: {', '.join(known)}."
        raise ConfigError(f"tem.{key}: {name!r} is unknown; {hint}")


@dataclass(frozen=True)
class Climate:
    """Climate of columns: tair (degC), precip (mm month-1), irradiance, par (cal cm-2 d-1), all (year, 12, column).

    co2 : (year,) ppm. january : (column,) air temperature of the month after the last year, degC, where files hold it.
    notes, inputs : of the reader; inputs are sha256 by file name.
    """

    first_year: int
    tair: Array
    precip: Array
    irradiance: Array
    par: Array
    co2: Array
    january: Array | None = None
    notes: tuple[str, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)

    @property
    def years(self) -> range:
        """Every year."""
        return range(self.first_year, self.first_year + self.tair.shape[0])

    def window(self, years: tuple[int, int], what: str) -> Climate:
        """Some of the years; ConfigError if the climate does not hold them."""
        if years[0] > years[1] or years[0] not in self.years or years[1] not in self.years:
            raise ConfigError(
                f"tem.{what}: years {years[0]}..{years[1]}; the climate holds {self.years[0]}..{self.years[-1]}."
            )
        at = slice(years[0] - self.first_year, years[1] - self.first_year + 1)
        return Climate(
            years[0],
            self.tair[at],
            self.precip[at],
            self.irradiance[at],
            self.par[at],
            self.co2[at],
        )

    def mean(self) -> Climate:
        """One year of the mean months, under the first year's carbon dioxide."""
        tair, precip, irradiance, par = (
            a.mean(axis=0, keepdims=True) for a in (self.tair, self.precip, self.irradiance, self.par)
        )
        return Climate(self.first_year, tair, precip, irradiance, par, self.co2[:1])

    def forcing(self, year: int, before: Array | None = None, loop: bool = False) -> Forcing:
        """The forcing of a year. before : (column,) air temperature of the December before the first year.

        In a loop the first year follows the last; else the first and last year border on themselves where nothing
        else is known.
        """
        i, last = year - self.first_year, self.tair.shape[0] - 1
        first, after = (last, 0) if loop else (0, last)
        december = self.tair[first if i == 0 else i - 1, 11]
        if i == 0 and not loop and before is not None:
            december = before
        january = self.tair[after if i == last else i + 1, 0]
        if i == last and not loop and self.january is not None:
            january = self.january
        tair = np.concatenate([december[None], self.tair[i], january[None]])
        return Forcing(
            jnp.asarray(tair),
            jnp.asarray(self.precip[i]),
            jnp.asarray(self.irradiance[i]),
            jnp.asarray(self.par[i]),
            jnp.asarray(self.co2[i]),
        )


def read_run(settings: TemSettings, files: Files, columns: Columns) -> Climate:
    """The climate of columns over the period of `files`; what is wrong with it is an error that lists everything."""
    ds, january = _read_period(settings, files, columns)
    period = files.period
    first, last = int(ds["time"].dt.year[0]), int(ds["time"].dt.year[-1])
    if period not in (None, (first, last)):
        raise InputError(
            f"{ds.attrs['source']}: holds {first}..{last} of the period {period[0]}..{period[1]}. Choose a period "
            "inside, or add files."
        )
    co2 = read_co2(files.paths("co2"), years=(first, last), scenario=settings.co2.scenario).to_numpy()
    shape = (last - first + 1, 12, -1)
    of_column = {n: ds[n].to_numpy().reshape(shape)[..., columns.cell] for n in ("tas", "pr")}
    lat = columns.lat[columns.cell]
    sun, clouds = (
        ds[n].to_numpy().reshape(shape)[..., columns.cell] if n in ds else None for n in ("rsds", "clt")
    )
    if sun is None and clouds is None:
        raise InputError(
            f"{ds.attrs['source']}: neither rsds nor clt, but plants need light. Add a file of one to climate.files."
        )
    irradiance, par = (np.asarray(a) for a in jax.jit(radiation.light)(lat, sun, clouds))
    return Climate(
        first,
        of_column["tas"],
        of_column["pr"],
        irradiance,
        par,
        co2,
        None if january is None else january[columns.cell],
        tuple(str(n) for n in ds.attrs["notes"]),
        json.loads(ds.attrs["talik_inputs"]),
    )


def _read_period(settings: TemSettings, files: Files, columns: Columns) -> tuple[xr.Dataset, Array | None]:
    """The climate dataset of a period, and the air temperature (cell,) of the January after it if files hold it."""
    period = files.period
    places = list(zip(columns.lat.tolist(), columns.lon.tolist(), strict=True))

    def read(years: tuple[int, int] | None) -> xr.Dataset:
        how = settings.climate
        return read_climate(
            files.paths("climate"), layout=how.layout, cells=places, period=years, calendar=how.calendar
        )

    if period is None:
        return read(None), None
    try:
        longer = read((period[0], period[1] + 1))
    except InputError:  # no such year, or a bad one: the period itself decides
        return read(period), None
    within = longer["time"].dt.year <= period[1]
    after = longer["tas"].isel(time=~within.to_numpy())
    return longer.isel(time=within.to_numpy()), after[0].to_numpy() if after.sizes["time"] else None


def check_run(settings: TemSettings, files: Files, columns: Columns) -> Climate:
    """Read all climate once, some cells at a time, so that a run starts only if all of it is good.

    Returns the climate of the last cells read, for its years, with the notes of all.
    """
    notes = dict.fromkeys(columns.notes)
    for start in range(0, columns.lat.size, CHECKED_TOGETHER):
        cells = range(start, min(start + CHECKED_TOGETHER, columns.lat.size))
        climate = read_run(settings, files, columns.part(cells))
        notes.update(dict.fromkeys(climate.notes))
    if settings.restart is None:
        equilibrium_climate(settings, climate)
        spin_up_climate(settings, climate)
    return replace(climate, notes=tuple(notes))


def equilibrium_climate(settings: TemSettings, climate: Climate) -> Climate:
    """The years whose mean months are repeated until pools stand still; ConfigError if the climate lacks them."""
    first = climate.first_year
    return climate.window(settings.equilibrium.climate or (first, first), "equilibrium.climate")


def spin_up_climate(settings: TemSettings, climate: Climate) -> Climate:
    """The years of the spin-up's loop; ConfigError if the climate lacks them."""
    first = climate.first_year
    years = settings.spin_up.climate or (first, min(first + 10, climate.years[-1]))
    return climate.window(years, "spin_up.climate")
