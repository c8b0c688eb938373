"""Values of a file on their way into the units of the package."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from talik.errors import TalikError, UnitsError
from talik.flux.table import Species, mass_ratio
from talik.flux.units import as_units, is_mole, mass_from_moles, names_species, rate_from_amount, units_of
from talik.fusion.axis import Array, IntArray, TimeAxis
from talik.fusion.quantities import Quantity
from talik.sources.climate_months import month_stamps


@dataclass(frozen=True, eq=False)
class Values:
    """Values (time, pixel) of months `serial`, or (pixel,) where that is None; units as the file says them."""

    data: Array
    serial: IntArray | None
    units: str | None
    where: str


def converted(
    values: Values, of: Quantity, units: str | None, species: Species = "C", positive: str | None = None
) -> Array:
    """The values in the units of `of`, as carbon and with its sign, the same shape.

    units : what the settings say, for files that say nothing, or that spell it in a way that is not understood.
    positive : direction of the values; that of the quantity if None.

    Raises:
        UnitsError: no units, other units than the file's, or units that do not fit.
    """
    if units is not None and values.units is not None and units != values.units and _is_unit(values.units):
        raise UnitsError(
            f"{values.where}: {of.name} is in {values.units!r}, the project file says {units!r}. Leave them out of "
            "the project file, or correct one of them."
        )
    have = values.units if units is None else units
    if have is None:
        raise UnitsError(
            f"{values.where}: {of.name} has no units; expected such as {of.units!r}. State them in the project file "
            f"(units: {{{of.name}: ...}} of drivers, units: ... of a stream)."
        )
    data = xr.DataArray(
        values.data, dims=("time", "pixel")[-values.data.ndim :], name=of.name, attrs={"units": have}
    )
    if values.serial is not None:
        data = data.assign_coords(time=month_stamps(values.serial))
    try:
        out = _carbon(data, of, species) if of.carbon else as_units(data, of.units)
    except TalikError as err:
        why = (
            "names what it counts beside the unit; expected such as"
            if names_species(have)
            else "cannot become"
        )
        raise UnitsError(
            f"{values.where}: {of.name} is in {have!r}, which {why} {of.units!r}. State its units in "
            "the project file where the file spells them otherwise (species: CO2 where it counts CO2), or correct them."
        ) from err
    turned = positive is not None and of.positive is not None and positive != of.positive
    return np.asarray(-out.values if turned else out.values, dtype=np.float64)


def _is_unit(text: str) -> bool:
    """Whether units can be understood as a file spells them."""
    try:
        is_mole(xr.DataArray(0.0, attrs={"units": text}))
    except TalikError:
        return False
    return True


def on_axis(values: Array, serial: IntArray, axis: TimeAxis) -> Array:
    """(time, pixel) on the months of `axis`, NaN where there are none."""
    out = np.full((len(axis), values.shape[1]), np.nan)
    place = serial - axis.serial[0]
    inside = (place >= 0) & (place < len(axis))
    out[place[inside]] = values[inside]
    return out


def outside(values: Array, serial: IntArray, axis: TimeAxis) -> NDArray[np.int64]:
    """(pixel,) number of values in months that `axis` does not have."""
    beyond = (serial < axis.serial[0]) | (serial > axis.serial[-1])
    return np.asarray(np.isfinite(values[beyond]).sum(axis=0), dtype=np.int64)


def _carbon(data: xr.DataArray, of: Quantity, species: Species) -> xr.DataArray:
    """A mass of carbon, from any mass or amount of substance, at a rate or a calendar month's sum."""
    units = units_of(data)
    if "month" in units.split() or "month-1" in units.split():
        return rate_from_amount(data, of.units) * mass_ratio(species, "C")
    if is_mole(data):
        return mass_from_moles(data, "C", of.units)
    return as_units(data, of.units) * mass_ratio(species, "C")
