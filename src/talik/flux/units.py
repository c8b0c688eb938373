"""Units at the border: converted once, never guessed; months have their real length."""

from __future__ import annotations

import re
import tokenize

import numpy as np
import pint
import xarray as xr
from cf_xarray.units import units as UNITS  # parses 'kg m-2 s-1', which plain pint does not

from talik.errors import UnitsError
from talik.flux.table import MOLAR

_SPECIES = re.compile(r"\b(?:[kMGTP]?g|[munp]?mol)[ _]?(?:CO2-C|CH4-C|N2O-N|CO2|CH4|N2O|C|N)\b")
_MOLE = re.compile(r"\b(?:[munp]|k)?mol\b|\bmole\b")
_LONG = {"month": re.compile(r"\bmon(?:th)?s?\b"), "year": re.compile(r"\b(?:yr|year|a|annum)s?\b")}


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
    try:
        factor_free = UNITS.Quantity(da.data, have).to(target)
    except pint.DimensionalityError as err:
        raise UnitsError(
            f"{da.name!r} is in {have!r}, which cannot become {target!r} ({_plain(err)}). "
            "If the variable is right, correct da.attrs['units']; mole fluxes go through mass_from_moles()."
        ) from err
    except (pint.errors.PintError, tokenize.TokenError, ValueError, TypeError, AttributeError) as err:
        raise UnitsError(
            f"{da.name!r}: units {have!r} are not understood ({_plain(err)}). Write them as CF does: 'kg m-2 s-1'."
        ) from err
    return da.copy(data=factor_free.magnitude).assign_attrs(units=target)


def units_of(da: xr.DataArray) -> str:
    """The units attribute, or an error if it is missing or names a species."""
    have = da.attrs.get("units")
    if not isinstance(have, str) or not have.strip():
        raise UnitsError(
            f"{da.name!r} has no units. Set da.attrs['units'], for example to 'kg m-2 s-1'; units are never guessed."
        )
    if _SPECIES.search(have):
        raise UnitsError(
            f"{da.name!r}: units {have!r} name a species. Write the unit alone ('g m-2 d-1') and say the species "
            "where the variable is described (species='C')."
        )
    return have.strip()


def mass_from_moles(da: xr.DataArray, species: str, target: str) -> xr.DataArray:
    """A mole flux ('umol m-2 s-1') of `species` as mass of that species in `target` units.

    With species 'C', 1 umol m-2 s-1 is 1.03775 g m-2 d-1 (molar mass 12.011).
    """
    have = units_of(da)
    if not _MOLE.search(have):
        raise UnitsError(f"{da.name!r}: {have!r} is not a mole flux; use as_units().")
    if species not in MOLAR:
        raise UnitsError(f"{da.name!r}: species {species!r} is unknown; choose one of: {', '.join(MOLAR)}.")
    in_mol = as_units(da, "mol m-2 s-1")
    grams = (in_mol * MOLAR[species]).assign_attrs({**da.attrs, "units": "g m-2 s-1"}).rename(da.name)
    return as_units(grams, target)


def rate_from_amount(da: xr.DataArray, target: str = "kg m-2 s-1", time: str = "time") -> xr.DataArray:
    """An amount per month or year ('g m-2 month-1') as a rate, by the real length of each period.

    The length comes from the calendar of `time` (cftime or datetime64): a 360_day February has 30 days, a noleap
    one 28. The period is read from the units; the time stamps may stand anywhere inside it.
    """
    per = [k for k, p in _LONG.items() if p.search(units_of(da))]
    if len(per) != 1:
        raise UnitsError(
            f"{da.name!r}: {units_of(da)!r} is not an amount per month or per year; use as_units()."
        )
    seconds = period_seconds(da[time], per[0])
    amount = _LONG[per[0]].sub("s", units_of(da))
    return as_units((da / seconds).assign_attrs({**da.attrs, "units": amount}).rename(da.name), target)


def amount_from_rate(da: xr.DataArray, target: str, time: str = "time") -> xr.DataArray:
    """A rate as an amount per month or year ('g m-2 month-1'); the inverse of `rate_from_amount`."""
    per = [k for k, p in _LONG.items() if p.search(target)]
    if len(per) != 1:
        raise UnitsError(
            f"{da.name!r}: target {target!r} is not an amount per month or per year; use as_units()."
        )
    rate = as_units(da, _LONG[per[0]].sub("s", target))
    out = rate * period_seconds(da[time], per[0])
    return out.assign_attrs({**da.attrs, "units": target}).rename(da.name)


def period_seconds(time: xr.DataArray, period: str) -> xr.DataArray:
    """Length in seconds of the calendar month or year that each time stamp lies in, by its calendar."""
    try:
        days = time.dt.days_in_month if period == "month" else time.dt.days_in_year
    except (AttributeError, TypeError) as err:
        raise UnitsError(
            f"{time.name!r} holds no dates (dtype {time.dtype}); decode it (xarray.open_dataset(decode_times=True))."
        ) from err
    return days.astype(np.float64) * 86_400.0


def _plain(err: Exception) -> str:
    return str(err).splitlines()[0].rstrip(".")
