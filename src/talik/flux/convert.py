"""From one meaning of a flux to another: species, direction and area basis, through the table only."""

from __future__ import annotations

import numpy as np
import xarray as xr

from talik.errors import GridError, UnitsError
from talik.flux.table import FluxVar, flux_var, mass_ratio
from talik.flux.units import as_units, is_mole, mass_from_moles


def recast(
    da: xr.DataArray, source: FluxVar, target: FluxVar | str, land_fraction: xr.DataArray | None = None
) -> xr.DataArray:
    """`da`, which means `source`, as `target` (a table entry or its name), with the target's attributes.

    `source` says what the file means: FluxVar(name=..., species="CO2", positive="down", per="cell", ...), its
    units those of the file, by mass or by mole ('umol m-2 s-1'). What `da` itself says (units, species, positive,
    area_basis) must not contradict it. `land_fraction` (0..1, share of the cell that is land, on the cells of `da`) is
    needed when the area basis changes, and is read for a check; where it is 0, a flux per land area is undefined
    and becomes NaN. Lazy; mass is conserved: the flux per land times land area equals the flux per cell times cell
    area.

    UnitsError where the description does not fit or would turn C into N, GridError if land_fraction stands on other
    cells.
    """
    wanted = flux_var(target) if isinstance(target, str) else target
    if da.attrs.get("units") and da.attrs["units"] != source.units:
        raise UnitsError(
            f"{da.name!r} says units {da.attrs['units']!r}, the source description {source.units!r}. Correct one."
        )
    for attr, meant in (
        ("species", source.species),
        ("positive", source.positive),
        ("area_basis", source.per),
    ):
        if da.attrs.get(attr, meant) != meant:
            raise UnitsError(
                f"{da.name!r} says {attr} {da.attrs[attr]!r}, the source description {meant!r}. Correct one."
            )
    stated = da.assign_attrs(units=source.units)
    mass = mass_from_moles(stated, source.species, "kg m-2 s-1") if is_mole(stated) else stated
    out = as_units(mass, wanted.units)
    factor = mass_ratio(source.species, wanted.species) * source.to_atmosphere * wanted.to_atmosphere
    out = out * factor if factor != 1 else out
    if source.per != wanted.per:
        out = _change_area(out, source, wanted, land_fraction)
    return describe_variable(out.rename(wanted.name).assign_attrs(da.attrs), wanted)


def describe_variable(da: xr.DataArray, var: FluxVar) -> xr.DataArray:
    """`da` with exactly the attributes the table prescribes for `var` (other attributes are kept)."""
    out = da.copy()
    out.attrs.pop("standard_name", None)
    out.attrs.update(var.attributes)
    return out


def _change_area(
    da: xr.DataArray, source: FluxVar, target: FluxVar, land_fraction: xr.DataArray | None
) -> xr.DataArray:
    if land_fraction is None:
        raise UnitsError(
            f"{da.name!r} is per {source.per} area, {target.name!r} per {target.per} area: give land_fraction "
            "(share of each cell that is land, 0..1)."
        )
    if land_fraction.attrs.get("units") in ("%", "percent"):
        raise UnitsError("land_fraction is in %; divide it by 100 (it must lie in 0..1).")
    try:
        xr.align(da, land_fraction, join="exact", copy=False)
    except ValueError as err:
        raise GridError(
            f"land_fraction does not stand on the cells of {da.name!r} ({err}). Regrid it, or select the same cells."
        ) from err
    if bool(((land_fraction < 0) | (land_fraction > 1 + 1e-6)).any()):
        raise UnitsError(
            f"land_fraction runs {float(land_fraction.min()):g}..{float(land_fraction.max()):g}; expected 0..1. "
            "CMIP6 sftlf is in %: divide it by 100."
        )
    if target.per == "cell":
        return da * land_fraction.where(land_fraction > 0, 0.0).where(np.isfinite(land_fraction))
    return da / land_fraction.where(land_fraction > 0)
