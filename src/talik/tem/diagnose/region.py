"""The files of a factorial run, and sums and means of them over the permafrost region.

The region is every cell with permafrost in the reference year of the reference run, the same cells throughout, whatever
thaws later; a scenario has its own. Sums take whole cells: a file holds cell means, in which columns without permafrost
are mixed, and permafrost carbon counts only where there is some.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from talik.errors import GridError, InputError, UnitsError
from talik.netcdf import open_netcdf
from talik.tem.diagnose.effects import DIMENSION, Design, design_of

HISTORY_FILE = "tem-history.nc"
EXPERIMENTS_FILE = "tem-experiments.nc"
DEEPEST_M = 10.0
"""Ground without permafrost above this depth counts as having none (Liu et al. 2024)."""
STOCKS = ("all", "observed", "fallback")
"""Whole cells, and their shares whose soil carbon is observed or comes from a fallback profile."""
_SECONDS_PER_DAY = 86_400.0


class Quantity(NamedTuple):
    """How a variable is summed: its units in the file, those of the sum, and what makes the latter of kg."""

    units: str
    total: str
    per_kg: float
    species: str


_FLUX, _POOL = "kg m-2 s-1", "kg m-2"
_CARBON_FLUX = Quantity(_FLUX, "Pg yr-1", 1e-12, "C")
_CARBON_POOL = Quantity(_POOL, "Pg", 1e-12, "C")
_NITROGEN_FLUX = Quantity(_FLUX, "Tg yr-1", 1e-9, "N")
_NITROGEN_POOL = Quantity(_POOL, "Tg", 1e-9, "N")
_WATER_FLUX = Quantity(_FLUX, "Pg yr-1", 1e-12, "H2O")
SUMMED: Mapping[str, Quantity] = {
    **dict.fromkeys(("gpp", "npp", "ra", "rh", "rhPermafrost", "nep"), _CARBON_FLUX),
    **dict.fromkeys(("cVeg", "cSoilActive", "cSoilPermafrost", "thawedCarbon"), _CARBON_POOL),
    **dict.fromkeys(("fNup", "fNnetmin", "fNnetminPermafrost", "fNupThaw"), _NITROGEN_FLUX),
    **dict.fromkeys(("nVeg", "nSoil", "nMineral", "thawedNitrogen"), _NITROGEN_POOL),
    **dict.fromkeys(("evspsbl", "mrro"), _WATER_FLUX),
}
"""Variables that are summed over the region. Sums of other variables have no meaning."""
BY_DEPTH = ("thawedCarbonByDepth", "rhPermafrostByDepth")


@dataclass(frozen=True)
class FactorialRun:
    """A factorial run, opened lazily. `history` : (year, cell) or None; `experiments` : (scenario, experiment, ...)."""

    experiments: xr.Dataset
    history: xr.Dataset | None
    design: Design
    reference_year: int

    @property
    def missing(self) -> tuple[str, ...]:
        """Variables of the full output that are not in the file."""
        wanted = (*SUMMED, "activeLayerThickness", "permafrostFraction", *BY_DEPTH)
        return tuple(name for name in wanted if name not in self.experiments)

    def reference_fraction(self) -> xr.DataArray:
        """(scenario, cell) share of each cell with permafrost in the reference year of the reference run.

        Without permafrostFraction a cell with an active-layer thickness counts whole. InputError: neither is there.
        """
        when = {DIMENSION: self.design.reference, "year": self.reference_year}
        if "permafrostFraction" not in self.experiments and "activeLayerThickness" in self.experiments:
            thickness = checked(self.experiments, "activeLayerThickness", "m").sel(when, drop=True)
            return thickness.notnull().astype(np.float64).compute()
        fraction = checked(self.experiments, "permafrostFraction", "1").sel(when, drop=True)
        return fraction.astype(np.float64).fillna(0.0).compute()

    def area(self) -> xr.DataArray:
        """(cell,) land area, m2."""
        return checked(self.experiments, "cell_area", "m2").astype(np.float64).compute()


@contextmanager
def open_run(folder: Path) -> Iterator[FactorialRun]:
    """The factorial run in an output folder, open for the length of the block.

    InputError: no such file, or not one of a factorial run. GridError: the two files hold different cells. The history
    may be missing.
    """
    paths = {name: Path(folder) / name for name in (HISTORY_FILE, EXPERIMENTS_FILE)}
    if not paths[EXPERIMENTS_FILE].is_file():
        raise InputError(
            f"{paths[EXPERIMENTS_FILE]}: no such file. Run the experiments first: talik tem factorial PROJECT.yaml"
        )
    with ExitStack() as stack:
        chunks = {"scenario": 1, DIMENSION: 1}
        experiments = stack.enter_context(_opened(paths[EXPERIMENTS_FILE], chunks))
        history = None
        if paths[HISTORY_FILE].is_file():
            history = stack.enter_context(_opened(paths[HISTORY_FILE], {}))
            _same_cells(experiments, history)
        yield factorial_run(experiments, history)


def factorial_run(experiments: xr.Dataset, history: xr.Dataset | None = None) -> FactorialRun:
    """A factorial run from its datasets; InputError if a dimension, coordinate or attribute is missing."""
    where = experiments.encoding.get("source", EXPERIMENTS_FILE)
    for name in ("scenario", "year", "cell"):
        if name not in experiments.dims:
            raise InputError(
                f"{where}: expected a dimension {name!r}; found {', '.join(map(str, experiments.dims))}."
            )
    for name in ("lat", "lon", "cell_area"):
        if name not in experiments.variables:
            raise InputError(f"{where}: no variable {name!r}, which every output of talik has.")
    years = [int(y) for y in experiments["year"].values]
    year = int(experiments.attrs.get("reference_year", years[0]))
    if year not in years:
        raise InputError(
            f"{where}: the reference year {year} is not among its years {years[0]}..{years[-1]}."
        )
    return FactorialRun(experiments, history, design_of(experiments), year)


def checked(ds: xr.Dataset, name: str, units: str) -> xr.DataArray:
    """A variable with the units it must have. InputError: it is not there. UnitsError: other units."""
    where = ds.encoding.get("source", "the output")
    if name not in ds:
        raise InputError(f"{where}: no variable {name!r}. Name it in the project file and run again.")
    found = ds[name].attrs.get("units")
    if found != units:
        raise UnitsError(f"{where}: {name!r} has units {found!r}; expected {units!r}.")
    return ds[name]


def weights(run: FactorialRun) -> xr.DataArray:
    """(stock, scenario, cell) m2 of land in the region: all, and with observed and with fallback soil carbon.

    Without `observed_share` in the file there is only ``all``.
    """
    inside = run.area() * (run.reference_fraction() > 0.0)
    if "observed_share" not in run.experiments:
        return inside.expand_dims(stock=[STOCKS[0]])
    share = checked(run.experiments, "observed_share", "1").astype(np.float64).compute()
    if bool(((share < 0.0) | (share > 1.0) | share.isnull()).any()):
        raise InputError(
            f"{run.experiments.encoding.get('source', EXPERIMENTS_FILE)}: 'observed_share' must lie in 0..1; found "
            f"{float(share.min()):g}..{float(share.max()):g} and {int(share.isnull().sum())} missing."
        )
    parts = [inside, inside * share, inside * (1.0 - share)]
    out: xr.DataArray = xr.concat(parts, dim="stock", coords="minimal", compat="override")
    return out.assign_coords(stock=list(STOCKS)).transpose("stock", "scenario", "cell")


def regional_sums(ds: xr.Dataset, area: xr.DataArray) -> xr.Dataset:
    """Sums of every variable of `SUMMED` in a dataset over (..., scenario, cell) areas in m2; years stay.

    Fluxes are means of calendar years and become Pg or Tg yr-1, pools Pg (carbon) or Tg (nitrogen); attribute `species`
    says of what. A missing value counts as zero, and the variable's attribute `coverage` is the least share of the area
    that had a value in any run, scenario and year. Dask data are computed a variable at a time.
    """
    out = {}
    for name, quantity in SUMMED.items():
        if name not in ds:
            continue
        values = checked(ds, name, quantity.units)
        there = xr.dot(values.notnull().astype(np.float64), area, dim="cell")
        total = xr.dot(values.fillna(0.0).astype(np.float64), area, dim="cell") * quantity.per_kg
        both = xr.Dataset({"there": there, "total": total}).compute()
        if quantity.units == _FLUX:
            both["total"] = both["total"] * seconds_of(ds["year"])
        whole = area.sum("cell")
        coverage = float((both["there"] / whole.where(whole > 0.0)).min())
        attributes = {"units": quantity.total, "species": quantity.species, "coverage": coverage}
        out[name] = _ordered(both["total"]).assign_attrs(attributes)
    return xr.Dataset(out)


def permafrost(ds: xr.Dataset, run: FactorialRun) -> xr.Dataset:
    """Permafrost area and mean active-layer thickness by year, of the experiments or the history of a run.

    area : 10^6 km2, land area times permafrost fraction, over all cells.
    area_observed : the same times the observed permafrost fraction, where the file has one.
    alt : m, mean over the permafrost of the reference year, weighted by its area. What is lost since counts as
        10 m, and no cell counts as more.
    alt_remaining : m, mean over that part of it which still has permafrost; it falls when deep cells drop out.
    A part is in the output only if its variables are in the input.
    """
    out: dict[str, xr.DataArray] = {}
    if "permafrostFraction" not in ds:
        return xr.Dataset(out)
    fraction = checked(ds, "permafrostFraction", "1").astype(np.float64).fillna(0.0)
    area, first = run.area(), run.reference_fraction()
    million_km2 = {"units": "1e6 km2"}
    out["area"] = (xr.dot(fraction, area, dim="cell") * 1e-12).assign_attrs(million_km2)
    if "permafrost_fraction_observed" in run.experiments:
        observed = checked(run.experiments, "permafrost_fraction_observed", "1").fillna(0.0)
        out["area_observed"] = (xr.dot(fraction, area * observed, dim="cell") * 1e-12).assign_attrs(
            million_km2
        )
    if "activeLayerThickness" in ds:
        thickness = checked(ds, "activeLayerThickness", "m").astype(np.float64)
        left = fraction.where(fraction < first, first).where(thickness.notnull(), 0.0)
        depth = thickness.fillna(0.0)
        capped = xr.dot(left * depth.clip(max=DEEPEST_M) + (first - left) * DEEPEST_M, area, dim="cell")
        remaining = xr.dot(left, area, dim="cell")
        whole = xr.dot(first, area, dim="cell")
        out["alt"] = (capped / whole.where(whole > 0.0)).assign_attrs(units="m")
        of_left = xr.dot(left * depth, area, dim="cell") / remaining.where(remaining > 0.0)
        out["alt_remaining"] = of_left.assign_attrs(units="m")
    computed = xr.Dataset(out).compute()
    return xr.Dataset({name: _ordered(values) for name, values in computed.items()})


def by_depth(run: FactorialRun) -> xr.Dataset:
    """(scenario, experiment, decade, depth_interval) Pg C thawed and decomposed since the reference year.

    `fraction` is decomposed / thawed, NaN where nothing thawed. Empty if the file has no layers.
    """
    area = weights(run).sel(stock=STOCKS[0], drop=True)
    names = dict(zip(BY_DEPTH, ("thawed", "decomposed"), strict=True))
    out = xr.Dataset()
    for name, short in names.items():
        if name in run.experiments:
            values = checked(run.experiments, name, _POOL).fillna(0.0).astype(np.float64)
            out[short] = (
                (xr.dot(values, area, dim="cell") * 1e-12).compute().assign_attrs(units="Pg", species="C")
            )
    if len(out) == len(names):
        out["fraction"] = (out["decomposed"] / out["thawed"].where(out["thawed"] > 0.0)).assign_attrs(
            units="1"
        )
    return out


def coverage_of(run: FactorialRun) -> list[dict[str, float | int | str]]:
    """By scenario: cells of the file, cells and area (10^6 km2) in the region, and the share with observed carbon."""
    areas = weights(run).sum("cell") * 1e-12
    cells = (run.reference_fraction() > 0.0).sum("cell")
    rows: list[dict[str, float | int | str]] = []
    for scenario in run.experiments["scenario"].values:
        area = areas.sel(scenario=scenario)
        row: dict[str, float | int | str] = {
            "scenario": str(scenario),
            "cells": int(run.experiments.sizes["cell"]),
            "cells_in_region": int(cells.sel(scenario=scenario)),
            "area_million_km2": float(area.sel(stock="all")),
        }
        if "observed" in area["stock"].values:
            row["observed_million_km2"] = float(area.sel(stock="observed"))
            row["fallback_million_km2"] = float(area.sel(stock="fallback"))
        rows.append(row)
    return rows


def seconds_of(year: xr.DataArray) -> xr.DataArray:
    """Length of calendar years, s."""
    days = [365.0 + calendar.isleap(int(y)) for y in year.values]
    return xr.DataArray(np.array(days) * _SECONDS_PER_DAY, dims="year", coords={"year": year.values})


def _ordered(values: xr.DataArray) -> xr.DataArray:
    return values.transpose("stock", "scenario", DIMENSION, "year", missing_dims="ignore")


def _opened(path: Path, chunks: dict[str, int]) -> xr.Dataset:
    again = "Run the experiments again."
    with open_netcdf(path, again) as probe:
        fitting = {dim: size for dim, size in chunks.items() if dim in probe.dims}
    return open_netcdf(path, again, chunks=fitting)


def _same_cells(experiments: xr.Dataset, history: xr.Dataset) -> None:
    for name in ("lat", "lon"):
        if name not in experiments or name not in history:
            raise InputError(f"{EXPERIMENTS_FILE} and {HISTORY_FILE}: expected coordinate {name!r} in both.")
        one, other = experiments[name].values, history[name].values
        if one.shape != other.shape or not np.allclose(one, other):
            raise GridError(
                f"{HISTORY_FILE} holds {other.size} cells and {EXPERIMENTS_FILE} {one.size}, or at other places "
                f"({name}). Both must come from one run; run it again."
            )
