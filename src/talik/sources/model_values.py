"""What the numbers of a model's file mean: fill, units, species, sign and area, brought to the flux table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import xarray as xr

from talik.errors import UnitsError
from talik.flux.convert import recast
from talik.flux.table import STORED_UNITS, Area, FluxVar, Species, flux_var
from talik.flux.units import as_units, rate_from_amount
from talik.sources.emission_grids import HUGE
from talik.sources.model_profiles import FluxFacts, StockFacts

LIMIT = 1e-4
"""kg m-2 s-1: more than 3000 kg m-2 a year, which no flux of land is over a month. Beyond it stands a fill value."""
MOST_STOCK = 5e3
"""kg m-2: more carbon than any column of soil holds."""
LEAST_STOCK = -1.0
"""kg m-2: below it is no rounding of an empty stock."""
STOCK_UNITS = "kg m-2"
_MASS_OF = re.compile(
    r"(?P<mass>(?:[kKMGTPmu]?g|grams?|(?:u|m|µ)?mol))[\s_.*]*[(\[{]?\s*(?P<species>CO2|CH4|C)\s*[)\]}]?(?![A-Za-z0-9])"
)


def plain_units(text: str) -> tuple[str, str | None]:
    """Units without the species they name, and that species: 'kg C m-2 s-1' gives ('kg m-2 s-1', 'C').

    UnitsError if they name two.
    """
    species = [m["species"] for m in _MASS_OF.finditer(text)]
    if len(set(species)) > 1:
        raise UnitsError(f"units {text!r} name {' and '.join(species)}; expected one species. Correct them.")
    plain = re.sub(r"\s+", " ", _MASS_OF.sub(r"\g<mass> ", text)).replace(" /", "/").strip()
    return plain, (species[0] if species else None)


def without_fill(data: xr.DataArray, sentinels: Sequence[float]) -> xr.DataArray:
    """`data` as float64 with NaN where it holds a fill value, declared or not; lazy."""
    held = data.astype(np.float64)
    good = np.abs(held) < HUGE
    for mark in sentinels:
        good &= np.abs(held - mark) > 1e-6 * abs(mark)
    return held.where(good)


def stated_basis(data: xr.DataArray, documented: Area | None, path: Path, notes: list[str]) -> Area:
    """The area that a density is per: what the file's `cell_methods` say, else the format.

    UnitsError if neither says it, or the file says all of the cell where the format has land only.
    """
    methods = str(data.attrs.get("cell_methods", ""))
    if re.search(r"area:\s*\w+\s+where\s+land", methods):
        if documented != "land":
            notes.append(f"{path.name}: cell_methods say 'where land': {data.name} is per land area")
        return "land"
    if documented == "land" and re.search(r"area:\s*mean(?!\s+where)", methods):
        raise UnitsError(
            f"{path}: {data.name} has cell_methods {methods!r}, a mean over the whole cell, where the format has land "
            "only (area: mean where land). If it is right, say basis: cell in a profile of your own."
        )
    if documented is None:
        raise UnitsError(
            f"{path}: neither the file (cell_methods) nor the profile says which area {data.name} is per. Say basis: "
            "land or basis: cell in a profile that extends this one."
        )
    return documented


def as_flux(
    data: xr.DataArray,
    name: str,
    facts: FluxFacts,
    *,
    basis: Area,
    land: xr.DataArray | None,
    bounds: xr.DataArray,
    path: Path,
    notes: list[str],
) -> xr.DataArray:
    """`data`, (time, lat, lon) without fill values, as the flux `name` of the table; lazy.

    What the file states in units (and with them a species), and in `positive`, must fit the format: another unit of
    the same kind is converted, amounts per month or year by the length of the time `bounds`.

    UnitsError: units or species neither in the file nor in the format, another direction, units of something else.
    """
    units, species = _units(data, facts.units, facts.species, path, notes)
    direction = str(data.attrs.get("positive", facts.positive)).strip().lower() or facts.positive
    if direction != facts.positive:
        raise UnitsError(
            f"{path}: {data.name} says positive {direction!r}; the format has {facts.positive!r}. If the file is "
            "right, say it in a profile of your own."
        )
    stated = data.drop_attrs().assign_attrs(units=units).rename(str(data.name))
    try:
        if re.search(r"\b(mon(th)?s?|yr|years?|a|annum)\b", units):
            stated = rate_from_amount(stated, STORED_UNITS, bounds=bounds)
        means = FluxVar(
            name=str(data.name),
            species=cast(Species, species),
            positive=facts.positive,
            per=basis,
            long_name=str(data.name),
            units=stated.attrs["units"],
        )
        return recast(stated, means, flux_var(name), land)
    except UnitsError as err:
        raise UnitsError(f"{path}: {err}") from err


def as_stock(
    data: xr.DataArray,
    facts: StockFacts,
    *,
    basis: Area,
    land: xr.DataArray | None,
    thickness: xr.DataArray | None,
    path: Path,
    notes: list[str],
) -> xr.DataArray:
    """`data` as kg m-2 of carbon per land area; lazy. thickness : of the layers, m, for densities in kg m-3.

    UnitsError: no units in file or format, another species, or layers by volume without bounds.
    """
    units, species = _units(data, facts.units, "C", path, notes)
    if species != "C":
        raise UnitsError(
            f"{path}: {data.name} counts {species}; a stock is mass of carbon. Convert the file."
        )
    stated = data.drop_attrs().assign_attrs(units=units).rename(str(data.name))
    try:
        if re.search(r"m(?:\^|\*\*)?-?3\b", units):
            if thickness is None:
                raise UnitsError(
                    f"{data.name!r} is per volume ({units}) and its layers have no bounds. Add them."
                )
            stated = (as_units(stated, "kg m-3") * thickness).assign_attrs(units=STOCK_UNITS)
        out = as_units(stated, STOCK_UNITS)
    except UnitsError as err:
        raise UnitsError(f"{path}: {err}") from err
    if basis == "cell":
        out = out / per_land(land, str(data.name), path)
    return (
        out.rename(str(data.name))
        .drop_attrs()
        .assign_attrs(units=STOCK_UNITS, species="C", area_basis="land", cell_methods="area: mean where land")
    )


def per_land(land: xr.DataArray | None, name: str, path: Path) -> xr.DataArray:
    """The land fraction where there is land, else NaN; UnitsError if it was not given."""
    if land is None:
        raise UnitsError(
            f"{path}: {name} is per area of the cell and no land fraction was given. Pass land_fraction= (a file or "
            "array of this model; 'natural-earth' for the true coast)."
        )
    return land.where(land > 0.0)


def _units(
    data: xr.DataArray, documented: str | None, species: str | None, path: Path, notes: list[str]
) -> tuple[str, str]:
    """Units of the data without species, and the species."""
    found = str(data.attrs.get("units", "")).strip()
    if not found and documented is None:
        raise UnitsError(
            f"{path}: {data.name} states no units, and its format has none. Set the attribute units of the file, or "
            "units in a profile of your own."
        )
    if not found:
        notes.append(f"{path.name}: {data.name} states no units: taken as published, {documented}")
    units, named = plain_units(found or str(documented))
    counted = named or species
    if counted is None:
        raise UnitsError(
            f"{path}: {data.name} in {units!r} does not say which mass it counts, and its format does not either. Say "
            f"species: C, CO2 or CH4 in a profile of your own, or leave it out with variables=."
        )
    if named is not None and species is not None and named != species:
        notes.append(f"{path.name}: {data.name} counts {named} ({found}), not {species}: converted")
    return units, counted
