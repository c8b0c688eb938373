"""Units at the border: converted once, never guessed; months have their real length."""

from __future__ import annotations

import re
import tokenize
from typing import Any, Literal

import numpy as np
import pint
import xarray as xr
from cf_xarray.units import units as UNITS  # parses 'kg m-2 s-1', which plain pint does not

from talik.errors import UnitsError
from talik.flux.table import MOLAR

# a mass or an amount followed by what it is a mass of; pint reads 'C' as Celsius and 'N' as newton
_MASS = r"[µμmunpkMGTPE]?g|[kMGT]?t|(?:milli|micro|nano|kilo|mega|giga|tera|peta)?grams?|tonnes?"
_MOLE = r"(?:[µμmunpk]|milli|micro|nano)?mol(?:es?)?"
_SPECIES = re.compile(rf"\b(?:{_MASS}|{_MOLE})[ _.*(]*[CN]\b|CO2|CH4|N2O|\bCO\b")
_LONG: dict[Literal["month", "year"], re.Pattern[str]] = {
    "month": re.compile(r"\bmon(?:th)?s?\b"),
    "year": re.compile(r"\b(?:yr|year|a|annum)s?\b"),
}
_DAYS = {"month": (28, 31), "year": (360, 366)}


def as_units(da: xr.DataArray, target: str) -> xr.DataArray:
    """`da` converted to `target`, lazily; missing, unknown or incompatible units are errors.

    Units that name a species ('g C m-2') are refused: 'C' parses as Celsius. A calendar month or year is not a
    unit of time (pint takes 30.44 and 365.25 days); see `rate_from_amount`.
    """
    have = units_of(da)
    for long, pattern in _LONG.items():
        if pattern.search(have) and not pattern.search(target):
            raise UnitsError(
                f"{da.name!r}: {have!r} is an amount per calendar {long}, whose length varies. Use "
                "rate_from_amount(), which takes it from the time bounds or the calendar."
            )
    unit = _parsed(have, da.name)
    try:
        converted = UNITS.Quantity(da.data, unit).to(target)
    except pint.DimensionalityError as err:
        raise UnitsError(
            f"{da.name!r} is in {have!r}, which cannot become {target!r} ({_plain(err)}). "
            "If the variable is right, correct da.attrs['units']; mole fluxes go through mass_from_moles()."
        ) from err
    return da.copy(data=converted.magnitude).assign_attrs(units=target)


def units_of(da: xr.DataArray) -> str:
    """The units attribute, or an error if it is missing or names a species."""
    have = da.attrs.get("units")
    if not isinstance(have, str) or not have.strip():
        raise UnitsError(
            f"{da.name!r} has no units. Set da.attrs['units'], for example to 'kg m-2 s-1'; units are never guessed."
        )
    if names_species(have):
        raise UnitsError(
            f"{da.name!r}: units {have!r} name a species. Write the unit alone ('g m-2 d-1') and say the species "
            "where the variable is described (species='C')."
        )
    return have.strip()


def names_species(units: str) -> bool:
    """Whether a unit string says what it is a mass of: 'g C m-2', 'kgN', 'umol CO2', 'Mg CH4'."""
    return _SPECIES.search(units) is not None


def is_mole(da: xr.DataArray) -> bool:
    """Whether the units of `da` count moles, not mass; an error if it has none, or none that parse."""
    return "[substance]" in _parsed(units_of(da), da.name).dimensionality


def mass_from_moles(da: xr.DataArray, species: str, target: str) -> xr.DataArray:
    """A mole flux ('umol m-2 s-1') of `species` as mass of that species in `target` units.

    With species 'C', 1 umol m-2 s-1 is 1.03775 g m-2 d-1 (molar mass 12.011).
    """
    have = units_of(da)
    if not is_mole(da):
        raise UnitsError(f"{da.name!r}: {have!r} is not a mole flux; use as_units().")
    if species not in MOLAR:
        raise UnitsError(f"{da.name!r}: species {species!r} is unknown; choose one of: {', '.join(MOLAR)}.")
    in_mol = as_units(da, "mol m-2 s-1")
    grams = (in_mol * MOLAR[species]).assign_attrs({**da.attrs, "units": "g m-2 s-1"}).rename(da.name)
    return as_units(grams, target)


def rate_from_amount(
    da: xr.DataArray, target: str = "kg m-2 s-1", *, bounds: xr.DataArray | None = None
) -> xr.DataArray:
    """An amount per month or year ('g m-2 month-1') as a rate, by the real length of each period.

    The length is that of the time `bounds` (time, 2) if given, else of the calendar month or year that the stamp lies
    in: a 360_day February has 30 days, a noleap one 28. A stamp at the end of its month (1 February for January) lies
    in the next one and needs bounds. Lazy.
    """
    have = units_of(da)
    period = _period_of(have, f"{da.name!r}: {have!r}")
    amount = _LONG[period].sub("s", have)
    rate = (da / period_seconds(da["time"], period, bounds)).assign_attrs({**da.attrs, "units": amount})
    return as_units(rate.rename(da.name), target)


def amount_from_rate(da: xr.DataArray, target: str, *, bounds: xr.DataArray | None = None) -> xr.DataArray:
    """A rate as an amount per month or year ('g m-2 month-1'); the inverse of `rate_from_amount`."""
    period = _period_of(target, f"{da.name!r}: target {target!r}")
    rate = as_units(da, _LONG[period].sub("s", target))
    out = rate * period_seconds(da["time"], period, bounds)
    return out.assign_attrs({**da.attrs, "units": target}).rename(da.name)


def period_seconds(
    time: xr.DataArray, period: Literal["month", "year"], bounds: xr.DataArray | None = None
) -> xr.DataArray:
    """Length in seconds of the month or year of each stamp: of its `bounds` (time, 2) if given, else by calendar.

    UnitsError if `time` holds no dates, or if the bounds stand on other stamps or span no such periods (28..31 days,
    360..366 days).
    """
    if bounds is not None:
        return _spans(time, period, bounds) * 86_400.0
    try:
        days = time.dt.days_in_month if period == "month" else time.dt.days_in_year
    except (AttributeError, TypeError) as err:
        raise UnitsError(
            f"{time.name!r} holds no dates (dtype {time.dtype}); decode it (xarray.open_dataset(decode_times=True))."
        ) from err
    return days.astype(np.float64) * 86_400.0


def _spans(time: xr.DataArray, period: Literal["month", "year"], bounds: xr.DataArray) -> xr.DataArray:
    """Days between the two bounds of each stamp, checked."""
    try:
        xr.align(time, bounds, join="exact", copy=False)
        start, end = bounds.transpose("time", ...).values.T
    except ValueError as err:
        raise UnitsError(
            f"bounds have dimensions {dict(bounds.sizes)}, but the data {time.sizes['time']} stamps, or other stamps "
            f"({err}). Expected (time, 2) on the data's own time."
        ) from err
    days = np.asarray(end - start, dtype="timedelta64[s]") / np.timedelta64(1, "D")
    shortest, longest = _DAYS[period]
    if not ((days >= shortest) & (days <= longest)).all():
        raise UnitsError(
            f"time bounds span {days.min():g}..{days.max():g} days where an amount per {period} needs "
            f"{shortest}..{longest}. Correct the units or the bounds."
        )
    return xr.DataArray(days, dims="time", coords={"time": time})


def _period_of(units: str, where: str) -> Literal["month", "year"]:
    """'month' or 'year', whichever the units are an amount of."""
    per = [k for k, p in _LONG.items() if p.search(units)]
    if len(per) != 1:
        raise UnitsError(f"{where} is not an amount per month or per year; use as_units().")
    return per[0]


def _parsed(units: str, name: object) -> Any:
    try:
        return UNITS.Unit(units)
    except (pint.errors.PintError, tokenize.TokenError, ValueError, TypeError, AttributeError) as err:
        raise UnitsError(
            f"{name!r}: units {units!r} are not understood ({_plain(err)}). Write them as CF does: 'kg m-2 s-1'."
        ) from err


def _plain(err: Exception) -> str:
    return str(err).splitlines()[0].rstrip(".")
