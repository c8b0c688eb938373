"""NEE and NBP of a model from the fluxes that they are made of, never one from the other."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr

from talik.errors import FluxError
from talik.flux.convert import describe_variable
from talik.flux.table import FLUXES, flux_var

_NEE = (("ra", "rh", "gpp"), ("rh", "npp"))
_NBP = (("npp", "rh", "fFire"),)


def net_ecosystem_exchange(fluxes: xr.Dataset) -> xr.DataArray:
    """NEE of a flux dataset, kg m-2 s-1 of C, up: Ra + Rh - GPP, or Rh - NPP where those are not all there; lazy.

    attrs["derivation"] says which. It is never made of NBP, which holds fire and land use, nor of NEP, which means
    NPP - Rh in some models only. FluxError if neither set of fluxes is there.
    """
    return _sum_of_parts(fluxes, "nee", _NEE)


def net_biome_production(fluxes: xr.Dataset) -> xr.DataArray:
    """NPP - Rh - fFire of a flux dataset, kg m-2 s-1 of C, down (Hugelius et al. 2024); lazy.

    attrs["derivation"] says so. FluxError if one is absent: a model without fire has no such NBP, and its missing fire
    is not 0.
    """
    return _sum_of_parts(fluxes, "nbp", _NBP)


def _sum_of_parts(fluxes: xr.Dataset, name: str, recipes: Sequence[Sequence[str]]) -> xr.DataArray:
    parts = next((r for r in recipes if set(r) <= set(fluxes.data_vars)), None)
    if parts is None:
        have = [str(n) for n in fluxes.data_vars if n in FLUXES]
        needed = " or ".join(" + ".join(r) for r in recipes)
        raise FluxError(
            f"{fluxes.attrs.get('source', 'dataset')}: {name} needs {needed}; found {', '.join(have) or 'no flux'}. "
            "What a model does not give is absent, never 0: leave the model out, or read the variable."
        )
    wanted = flux_var(name)
    terms, words = [], []
    for part in parts:
        ahead = flux_var(part).to_atmosphere * wanted.to_atmosphere
        terms.append(fluxes[part] * ahead)
        words.append(f"{'+' if ahead > 0 else '-'} {part}")
    out = terms[0]
    for term in terms[1:]:
        out = out + term
    made = " ".join(words).removeprefix("+ ")
    return describe_variable(out.rename(name).drop_attrs(deep=False), wanted).assign_attrs(derivation=made)
