"""The table of flux variables: the only place where a molar mass, an atom count or a direction stands.

Importing this module loads neither xarray nor pint.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from talik.errors import UnitsError

Species = Literal["C", "CO2", "CH4", "CO", "N", "N2O"]
Direction = Literal["up", "down"]
Area = Literal["land", "cell"]

# g mol-1: IUPAC abridged standard atomic weights 2021 (C 12.011, N 14.007, O 15.999, H 1.008)
MOLAR: Mapping[str, float] = MappingProxyType(
    {"C": 12.011, "CO2": 44.009, "CH4": 16.043, "CO": 28.010, "N": 14.007, "N2O": 44.013}
)
# the element that is conserved, and how many of its atoms a molecule holds
ATOMS: Mapping[str, tuple[str, int]] = MappingProxyType(
    {"C": ("C", 1), "CO2": ("C", 1), "CH4": ("C", 1), "CO": ("C", 1), "N": ("N", 1), "N2O": ("N", 2)}
)


def mass_ratio(source: str, target: str) -> float:
    """kg of `target` that hold as many C (or N) atoms as 1 kg of `source`; C to N is refused."""
    for species in (source, target):
        if species not in MOLAR:
            raise UnitsError(f"species {species!r} is unknown; choose one of: {', '.join(MOLAR)}.")
    (element, atoms), (other, others) = ATOMS[source], ATOMS[target]
    if element != other:
        raise UnitsError(f"{source} cannot become {target}: one carries {element}, the other {other}.")
    return (MOLAR[target] / others) / (MOLAR[source] / atoms)
