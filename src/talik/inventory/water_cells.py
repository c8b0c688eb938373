"""Water area, temperature and ice-free days of the cells of a land-cover Dataset, checked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from talik.errors import CoverageError, InputError
from talik.flux.units import as_units
from talik.inventory.classes import LAKES, RIVERS, inventory_class
from talik.inventory.water_densities import Array, WaterSettings, ice_free_days

WATERS = (*LAKES, *RIVERS)
_SMALL = ("SPL", "SYL", "SGL")
_SLACK = 0.01
"""By how much the water of a cell may exceed 1: areas are printed with two digits."""


@dataclass(frozen=True, slots=True)
class WaterCells:
    """Cells with water: `area` (limit, class, cell) in m2 as given, low and high, classes in the order of `WATERS`.

    `tair` (cell) is the annual mean in degC, `days` (cell) free of ice, `lake_area` (class, cell) in m2, NaN where
    unknown; `known` (cell) says which cells can be computed, and `coverage` is their share of the water area. Where a
    cell is not known, `area` is 0 and `tair` and `days` are numbers without meaning.
    """

    area: Array
    tair: Array
    days: Array
    lake_area: Array
    known: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
    coverage: float
    notes: tuple[str, ...]


def water_cells(cover: xr.Dataset, settings: WaterSettings, *, thermal: bool) -> WaterCells:
    """Water of a land-cover Dataset, with temperature where `thermal` (fluxes that depend on it).

    InputError: a variable or class is missing, or areas cannot be. UnitsError: units are missing or do not fit.
    CoverageError: a cell with water has no temperature and the settings do not leave it out.
    """
    notes: list[str] = []
    size = _variable(cover, "cell_area", "m2", ("cell",))
    _within(size, "cell_area", 0.0, np.inf)
    area = _fractions(cover, notes) * size
    if settings.held_by_wetlands:
        rows = [WATERS.index(code) for code in _SMALL]
        area[:, rows] *= 1.0 - settings.held_by_wetlands
    notes.append(
        f"{100 * settings.held_by_wetlands:g} % of small lakes ({', '.join(_SMALL)}) are taken to be in wetland "
        "fluxes already and are left out"
        + ("." if settings.held_by_wetlands else "; ponds that wetland sites hold would count twice.")
    )
    cells = size.size
    tair = days = np.zeros(cells)
    known = np.ones(cells, bool)
    if thermal:
        tair, days = _season(cover, settings, notes)
        known = np.isfinite(tair) & np.isfinite(days)
    water = area[0].sum(axis=0)
    lost = (water > 0) & ~known
    coverage = 1.0 if water.sum() == 0 else float(1.0 - water[lost].sum() / water.sum())
    if lost.any():
        where = (
            cover["cell"].values[lost][:5].tolist() if "cell" in cover.coords else np.flatnonzero(lost)[:5]
        )
        text = f"{int(lost.sum())} of {cells} cells with water have no temperature (cells {', '.join(map(str, where))})"
        if settings.missing == "error":
            raise CoverageError(
                f"land cover: {text}. Fill tair or tair_annual, or set missing='leave_out' to go on without them."
            )
        notes.append(f"{text}; {100 * (1 - coverage):.3g} % of the water area is left out, not filled.")
    lake = np.full((len(WATERS), cells), np.nan)
    if "lake_area" in cover:
        sizes = cover[["lake_area"]].reindex(cover=list(WATERS))
        lake = _variable(sizes, "lake_area", "m2", ("cover", "cell"), holes=True)
        _within(lake[np.isfinite(lake)], "lake_area", 1.0, np.inf)
    return WaterCells(
        area=np.where(known, area, 0.0),
        tair=np.where(known, tair, 0.0),
        days=np.where(known, days, 0.0),
        lake_area=lake,
        known=known,
        coverage=coverage,
        notes=tuple(notes),
    )


def _fractions(cover: xr.Dataset, notes: list[str]) -> Array:
    """(limit, class, cell) fractions of the cell: as given, low, high."""
    if "cover" not in cover.coords:
        raise InputError("land cover: coordinate 'cover' is missing; expected the codes of BAWLD classes.")
    for code in cover["cover"].values:
        inventory_class(str(code))
    absent = [code for code in WATERS if code not in cover["cover"].values]
    if absent:
        raise InputError(
            f"land cover: water classes {', '.join(absent)} are missing. Write fraction 0 where there are none."
        )
    chosen = cover.sel(cover=list(WATERS))
    given = _variable(chosen, "fraction", "1", ("cover", "cell"))
    if given.size and given.max() > 1.0 + _SLACK:
        raise InputError(
            f"land cover: fraction reaches {given.max():g}; expected 0 to 1. Divide percentages by 100."
        )
    _within(given, "fraction", 0.0, 1.0 + _SLACK)
    if given.size and given.sum(axis=0).max() > 1.0 + _SLACK:
        worst = int(given.sum(axis=0).argmax())
        raise InputError(
            f"land cover: waters fill {given.sum(axis=0).max():g} of cell number {worst}; expected at most 1. "
            "Leave out the parents LAK and RIV."
        )
    if "fraction_low" not in cover or "fraction_high" not in cover:
        notes.append("Areas have no limits in the data and are taken as exact.")
        return np.stack([given, given, given])
    low, high = (_variable(chosen, f"fraction_{end}", "1", ("cover", "cell")) for end in ("low", "high"))
    _within(low, "fraction_low", 0.0, 1.0 + _SLACK)
    wrong = (low > given + 1e-9) | (high < given - 1e-9)
    if wrong.any():
        row, cell = (int(k[0]) for k in np.nonzero(wrong))
        raise InputError(
            f"land cover: {WATERS[row]} in cell number {cell} has fraction {given[row, cell]:g} outside its limits "
            f"({low[row, cell]:g}, {high[row, cell]:g}); check fraction_low and fraction_high."
        )
    return np.stack([given, low, high])


def _season(cover: xr.Dataset, settings: WaterSettings, notes: list[str]) -> tuple[Array, Array]:
    """Annual mean temperature (cell) and ice-free days (cell)."""
    monthly = None
    if "tair" in cover:
        monthly = _variable(cover, "tair", "degC", ("cell", "month"), holes=True)
        if monthly.shape[1] != 12:
            raise InputError(f"land cover: tair has {monthly.shape[1]} months; expected 12, January first.")
    if "ice_free_days" in cover:
        days = _variable(cover, "ice_free_days", "d", ("cell",), holes=True)
        _within(days[np.isfinite(days)], "ice_free_days", 0.0, 366.0)
        notes.append("Ice-free days are those of the data.")
    elif monthly is not None:
        days = ice_free_days(monthly, settings.thaw_temperature)
        notes.append(
            f"Ice-free days are the days with air above {settings.thaw_temperature:g} degC, from monthly means."
        )
    else:
        raise InputError("land cover: give tair (cell, month) or ice_free_days (cell); neither is there.")
    if "tair_annual" in cover:
        annual = _variable(cover, "tair_annual", "degC", ("cell",), holes=True)
    elif monthly is not None:
        annual = monthly.mean(axis=1)
    else:
        raise InputError("land cover: give tair_annual (cell) or tair (cell, month); neither is there.")
    _within(annual[np.isfinite(annual)], "tair_annual", -50.0, 40.0)
    if monthly is not None:
        _within(monthly[np.isfinite(monthly)], "tair", -80.0, 60.0)
    return annual, days


def _variable(
    cover: xr.Dataset, name: str, units: str, dims: tuple[str, ...], *, holes: bool = False
) -> Array:
    """A variable as float64 in `units`, dimensions in this order."""
    if name not in cover:
        raise InputError(
            f"land cover: variable {name!r} is missing; expected {name} ({', '.join(dims)}) in {units!r}."
        )
    found = cover[name]
    if set(found.dims) != set(dims):
        raise InputError(
            f"land cover: {name} has dimensions ({', '.join(map(str, found.dims))}); expected ({', '.join(dims)})."
        )
    values = np.asarray(as_units(found, units).transpose(*dims).values, np.float64)
    if not holes and np.isnan(values).any():
        raise InputError(
            f"land cover: {name} is NaN in {int(np.isnan(values).sum())} places; write 0 where there is none."
        )
    return values


def _within(values: Array, name: str, low: float, high: float) -> None:
    if values.size and not (values.min() >= low and values.max() <= high):
        raise InputError(
            f"land cover: {name} runs from {values.min():g} to {values.max():g}; expected {low:g} to {high:g}."
        )
