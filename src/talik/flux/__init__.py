"""The currency: what a flux variable means, and the dataset every approach hands over.

`FluxVar`, `FLUXES` and `mass_ratio` cost nothing to import; the rest loads xarray and pint when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from talik.flux.table import FLUXES, FluxVar, flux_var, mass_ratio, register_flux

if TYPE_CHECKING:
    from talik.flux.convert import recast
    from talik.flux.dataset import Problem, make_flux_dataset, problems, validate
    from talik.flux.io import open_flux, write_netcdf
    from talik.flux.units import amount_from_rate, as_units, mass_from_moles, rate_from_amount

_LAZY = {
    "recast": "convert",
    "Problem": "dataset",
    "make_flux_dataset": "dataset",
    "problems": "dataset",
    "validate": "dataset",
    "open_flux": "io",
    "write_netcdf": "io",
    "amount_from_rate": "units",
    "as_units": "units",
    "mass_from_moles": "units",
    "rate_from_amount": "units",
}

__all__ = [
    "FLUXES",
    "FluxVar",
    "Problem",
    "amount_from_rate",
    "as_units",
    "flux_var",
    "make_flux_dataset",
    "mass_from_moles",
    "mass_ratio",
    "open_flux",
    "problems",
    "rate_from_amount",
    "recast",
    "register_flux",
    "validate",
    "write_netcdf",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"talik.flux.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'talik.flux' has no attribute {name!r}")
