"""The currency: what a flux variable means, and the dataset every approach hands over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from talik.lazy import lazy

if TYPE_CHECKING:
    from talik.flux.convert import recast
    from talik.flux.dataset import Problem, make_flux_dataset, problems, validate
    from talik.flux.io import open_flux, write_netcdf
    from talik.flux.table import FLUXES, FluxVar, flux_var, mass_ratio, register_flux
    from talik.flux.units import amount_from_rate, as_units, mass_from_moles, rate_from_amount

_WHERE = {
    "convert": ("recast",),
    "dataset": ("Problem", "make_flux_dataset", "problems", "validate"),
    "io": ("open_flux", "write_netcdf"),
    "table": ("FLUXES", "FluxVar", "flux_var", "mass_ratio", "register_flux"),
    "units": ("amount_from_rate", "as_units", "mass_from_moles", "rate_from_amount"),
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

__getattr__, __dir__ = lazy(__name__, _WHERE)
