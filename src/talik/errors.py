"""What can go wrong, by kind. Every message says where, what was expected, what was found, and what to do."""

from __future__ import annotations


class TalikError(Exception):
    """Base of every error that talik raises on purpose. The command line prints it and exits with code 2."""


class UnitsError(TalikError):
    """Units, species, sign or area basis are missing, unknown or do not fit."""


class UnitsSuspect(UnitsError):
    """The numbers do not fit the units: a global total is far from what is known of the gas."""


class FluxError(TalikError):
    """A dataset is not a valid flux dataset."""


class GridError(TalikError):
    """A grid, mask or polygon cannot be used as given."""


class CoverageError(TalikError):
    """A total was asked for over a hole, or totals that cover different things were compared."""


class ConfigError(TalikError):
    """A project or configuration file is wrong."""


class PostError(TalikError):
    """A budget post or recipe is wrong: limits, units, regions, periods, sub-fluxes."""


class InputError(TalikError):
    """A file cannot be read, or is not what it claims to be."""
