"""Whether the global total of a flux is what is known of the gas: the check that finds a wrong unit or species."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import xarray as xr

from talik.errors import UnitsSuspect
from talik.flux.table import flux_var, mass_ratio
from talik.flux.units import as_units, period_seconds
from talik.regions.axes import conform, grid_of
from talik.regions.grid import Grid, LatLonGrid

FACTOR = 3.0
"""A total may be this many times larger or smaller than the reference."""
LARGEST_NBE_TG = 15_000.0
"""Largest net CO2 exchange of all land in a year that is believed, Tg C (chosen here: land has exchanged a few Pg)."""
_TG = 1e-9
_MONTHS = 12
_WHOLE_DEGREES = 180.0


@dataclass(frozen=True, slots=True)
class Reference:
    """What is known of a global total, Tg yr-1 of the element of the flux table, and where from."""

    total_tg: float
    source: str


REFERENCES: Mapping[str, Reference] = MappingProxyType(
    {
        "fn2o": Reference(17.0, "17 Tg N yr-1, all sources (Tian et al. 2020, Nature 586, 248)"),
        "fch4": Reference(
            575.0 * mass_ratio("CH4", "C"),
            "575 Tg CH4 yr-1, all sources (Saunois et al. 2020, ESSD 12, 1561)",
        ),
    }
)
WETLANDS = Reference(
    160.0 * mass_ratio("CH4", "C"), "160 Tg CH4 yr-1, wetlands (middle of 120-200, Global Methane Budget)"
)


def is_global(grid: Grid) -> bool:
    """Whether a grid holds all of the Earth; a row that is missing at each pole is allowed for."""
    if not isinstance(grid, LatLonGrid) or not grid.is_global_in_lon:
        return False
    rows = np.diff(grid.y_edges).max()
    return bool(grid.y_edges[-1] - grid.y_edges[0] >= _WHOLE_DEGREES - 2.0 * rows - 1e-6)


def global_totals(flux: xr.DataArray, land_fraction: xr.DataArray | None = None) -> dict[str, float]:
    """Sum over all cells of a monthly flux, Tg yr-1, by member ('' if it has none): mean of the last year with data.

    flux : kg m-2 s-1, (time, lat, lon) or with `member`; NaN counts as nothing. land_fraction : for a flux per land
    area. Reads blocks of twelve steps from the end until every member has data; a member without any is left out.
    """
    grid = grid_of(flux)
    area = (
        grid.cell_area()
        if land_fraction is None
        else grid.cell_area() * conform(land_fraction, grid).fillna(0.0)
    )
    dims = list(grid.dims)
    held = as_units(flux, "kg m-2 s-1")
    names = [str(m) for m in held["member"].values] if "member" in held.dims else [""]
    found: dict[str, float] = {}
    for stop in range(held.sizes["time"], 0, -_MONTHS):
        block = held.isel(time=slice(max(0, stop - _MONTHS), stop))
        there = block.notnull().any(dims)
        total = xr.dot(conform(block.fillna(0.0), grid), area, dim=dims).where(there)
        seconds = period_seconds(block["time"], "year")
        yearly = (total * seconds).mean("time", skipna=True).compute() if bool(there.any()) else None
        for at, name in enumerate(names):
            if yearly is None or name in found:
                continue
            value = float(yearly.isel(member=at) if "member" in yearly.dims else yearly)
            if np.isfinite(value):
                found[name] = value * _TG
        if len(found) == len(names):
            break
    return found


def check_global_totals(
    totals: Mapping[str, float],
    variable: str,
    where: str,
    reference: Reference | None = None,
    *,
    part: bool = False,
) -> None:
    """UnitsSuspect if the total of a member does not fit `reference` (by default that of `REFERENCES`).

    totals : Tg yr-1 of the element, by member. A total outside 1/3 to 3 times the reference is suspect. Of ``nbe``,
    whose sign is open, only a size beyond `LARGEST_NBE_TG` is; a variable without reference passes. part : the totals
    are of some sources only and may be small, even negative: then only a size beyond 3 times is suspect.
    """
    known = reference or REFERENCES.get(variable)
    species = flux_var(variable).species
    for member, total in totals.items():
        name = f"{where}: {variable}" + (f" of {member}" if member else "")
        least = -known.total_tg * FACTOR if part and known else (known.total_tg / FACTOR if known else 0.0)
        if known is not None and not least <= total <= known.total_tg * FACTOR:
            raise UnitsSuspect(
                f"{name}: the global total is {total:.4g} Tg {species} yr-1, {total / known.total_tg:.3g} times the "
                f"{known.total_tg:.4g} expected ({known.source}); expected "
                f"{'at most' if part else '1/3 to'} 3 times. Check mass of the gas or of "
                "the element, and hour, month or year, of the file; never rescale it. Leave the system out if no "
                "unit explains it."
            )
        if known is None and variable == "nbe" and abs(total) > LARGEST_NBE_TG:
            raise UnitsSuspect(
                f"{name}: the global total is {total:.4g} Tg C yr-1; expected within {LARGEST_NBE_TG:g} up or down. "
                "Check CO2 or C, and the time and area of the unit."
            )
