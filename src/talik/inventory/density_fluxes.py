"""Densities of classes from a flux dataset whose places know their land cover, whatever approach made it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr

from talik.errors import CoverageError, InputError
from talik.inventory.class_sites import Density
from talik.inventory.classes import COVER, LAND, Rockland, inventory_class
from talik.inventory.limits import Limited, of_draws
from talik.inventory.season import YEAR_DAYS
from talik.rng import named_rng

Array = npt.NDArray[np.float64]

VARIABLES = {"CO2": "nee", "CH4": "fch4", "N2O": "fn2o"}
GRAMS_PER_KG, SECONDS_PER_DAY = 1e3, 86_400.0
PLACES = ("cell", "site")


def of_fluxes(
    ds: xr.Dataset,
    gas: str,
    draws: int,
    seed: int,
    rockland: Rockland = "exclude",
    name: str = "flux dataset",
) -> dict[str, Density]:
    """Annual densities of classes: means over whole years and over the places of a class, weighted by area.

    ds : flux dataset with nee, fch4 or fn2o over `cell` or `site` and `time`, a coordinate `land_cover` there (BAWLD
    code or class of the inventory) and `cell_area` (m2 of that class). `member` makes the distribution; without it
    limits are those of the mean, which a note says. Classes without a place are left to other sources.

    InputError: no such variable, coordinate or known class; CoverageError: steps that do not make whole years, or a
    hole.
    """
    variable = VARIABLES[gas]
    if variable not in ds:
        raise InputError(
            f"{name}: no variable {variable} for {gas}; found {', '.join(map(str, ds.data_vars))}."
        )
    place = next((dim for dim in PLACES if dim in ds[variable].dims), None)
    if place is None or "land_cover" not in ds or "cell_area" not in ds:
        raise InputError(
            f"{name}: expected {variable} over cell or site, with land_cover and cell_area (m2) of each place; found "
            f"{variable} {tuple(map(str, ds[variable].dims))} and {', '.join(map(str, ds.variables))}."
        )
    land = [_class_of(str(code), rockland, name) for code in ds["land_cover"].to_numpy()]
    annual = _annual(ds, variable, name)
    extra = [str(dim) for dim in annual.dims if dim not in (place, "member")]
    if extra:
        raise InputError(f"{name}: {variable} has dimension {extra[0]}; select one of it first.")
    values = annual.transpose(..., place).to_numpy().reshape(-1, len(land))
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).any(axis=0).sum())
        raise CoverageError(f"{name}: {variable} is missing at {bad} of {len(land)} places. Leave them out.")
    area = np.asarray(ds["cell_area"].to_numpy(), dtype=np.float64)
    out = {}
    for one in LAND:
        here = np.array([other == one for other in land])
        if area[here].sum() > 0.0:
            out[one] = _density(values[:, here], area[here], one, gas, draws, seed, str(ds.attrs["source"]))
    return out


def _density(values: Array, area: Array, land: str, gas: str, draws: int, seed: int, source: str) -> Density:
    """values : (member, place) g m-2 yr-1."""
    members = np.average(values, axis=1, weights=area)
    mean = float(members.mean())
    notes: tuple[str, ...] = ()
    if members.size == 1:
        drawn = np.full(draws, mean)
        value = Limited(mean, mean, mean)
        notes = (f"{land}: one member, so {gas} of it has no limits",)
    else:
        drawn = named_rng(seed, f"members of {gas} of {land}").choice(members, draws)
        value = of_draws(members, mean)
        notes = (f"{land}: {gas} limits are those of {members.size} members",)
    return Density(land, gas, value, drawn, source, notes=notes)


def _annual(ds: xr.Dataset, variable: str, name: str) -> xr.DataArray:
    """g m-2 yr-1 of the element, over the whole time axis, whose steps must fill whole years."""
    bounds = ds[ds["time"].attrs.get("bounds", "time_bnds")]
    start, end = bounds.isel({bounds.dims[1]: 0}), bounds.isel({bounds.dims[1]: 1})
    months = np.concatenate([start.dt.month.to_numpy()[:1], end.dt.month.to_numpy()[-1:]])
    if (months != 1).any() or (start.to_numpy()[1:] != end.to_numpy()[:-1]).any():
        raise CoverageError(
            f"{name}: {ds.sizes['time']} steps from {start.to_numpy()[0]} to {end.to_numpy()[-1]}; expected whole "
            "years without a gap, from January to January."
        )
    seconds = (end - start) / np.timedelta64(1, "s")
    mean = (ds[variable] * seconds).sum("time", skipna=False) / seconds.sum()
    annual: xr.DataArray = mean * GRAMS_PER_KG * SECONDS_PER_DAY * YEAR_DAYS
    return annual


def _class_of(code: str, rockland: Rockland, name: str) -> str | None:
    if code in LAND:
        return code
    if code in COVER:
        return inventory_class(code, rockland)
    raise InputError(
        f"{name}: land_cover {code!r} is unknown; expected a BAWLD code ({', '.join(COVER)}) or one of "
        f"{', '.join(LAND)}."
    )
