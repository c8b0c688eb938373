"""The table of flux variables: the only place where a molar mass, an atom count or a direction stands.

Importing this module loads neither xarray nor pint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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

STORED_UNITS = "kg m-2 s-1"

APPROACHES = (
    "inventory",
    "process",
    "inversion",
    "fusion",
    "upscaling",
    "insitu",
    "anthropogenic",
    "lateral",
)
"""How a flux was estimated; every dataset and every budget post says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FluxVar:
    """What a flux variable means: which mass is counted, which way is positive, per which area.

    `positive` is ``up`` (to the atmosphere) or ``down``; `per` is the area the density refers to, the ``land``
    of a cell or the whole ``cell``. `standard_name` is the CF name where one means exactly this. `part_of` names
    the flux that already holds this one: adding the two would count it twice.
    """

    name: str
    species: Species
    positive: Direction
    long_name: str
    per: Area = "land"
    units: str = STORED_UNITS
    standard_name: str | None = None
    part_of: str | None = None

    def __post_init__(self) -> None:
        if self.species not in MOLAR:
            raise UnitsError(
                f"{self.name}: species {self.species!r} is unknown; choose one of: {', '.join(MOLAR)}."
            )
        if self.positive not in ("up", "down"):
            raise UnitsError(
                f"{self.name}: positive is {self.positive!r}; say 'up' (to the atmosphere) or 'down' (into the land)."
            )
        if self.per not in ("land", "cell"):
            raise UnitsError(f"{self.name}: per is {self.per!r}; say 'land' or 'cell' (area of the density).")

    @property
    def to_atmosphere(self) -> int:
        """+1 where positive is up, -1 where it is down."""
        return 1 if self.positive == "up" else -1

    @property
    def attributes(self) -> dict[str, str]:
        """The CF and talik attributes of a stored array of this variable."""
        found = {
            "units": self.units,
            "long_name": self.long_name,
            "species": self.species,
            "positive": self.positive,
            "area_basis": self.per,
            "cell_methods": "area: mean where land time: mean" if self.per == "land" else "area: time: mean",
        }
        if self.standard_name:
            found["standard_name"] = self.standard_name
        return found


def mass_ratio(source: str, target: str) -> float:
    """kg of `target` that hold as many C (or N) atoms as 1 kg of `source`; C to N is refused."""
    for species in (source, target):
        if species not in MOLAR:
            raise UnitsError(f"species {species!r} is unknown; choose one of: {', '.join(MOLAR)}.")
    (element, atoms), (other, others) = ATOMS[source], ATOMS[target]
    if element != other:
        raise UnitsError(f"{source} cannot become {target}: one carries {element}, the other {other}.")
    return (MOLAR[target] / others) / (MOLAR[source] / atoms)


_CO2_AS_C = "surface_upward_mass_flux_of_carbon_dioxide_expressed_as_carbon_due_to"

_BUILT_IN = (
    FluxVar(
        name="nee",
        species="C",
        positive="up",
        long_name="net ecosystem exchange of CO2, without fire",
        part_of="nbp",
    ),
    FluxVar(
        name="gpp",
        species="C",
        positive="down",
        long_name="gross primary production",
        standard_name="gross_primary_productivity_of_biomass_expressed_as_carbon",
        part_of="nee",
    ),
    FluxVar(name="reco", species="C", positive="up", long_name="ecosystem respiration", part_of="nee"),
    FluxVar(
        name="ra",
        species="C",
        positive="up",
        long_name="autotrophic respiration",
        standard_name=f"{_CO2_AS_C}_plant_respiration",
        part_of="reco",
    ),
    FluxVar(
        name="rh",
        species="C",
        positive="up",
        long_name="heterotrophic respiration",
        standard_name=f"{_CO2_AS_C}_heterotrophic_respiration",
        part_of="reco",
    ),
    FluxVar(
        name="npp",
        species="C",
        positive="down",
        long_name="net primary production",
        standard_name="net_primary_productivity_of_biomass_expressed_as_carbon",
        part_of="nep",
    ),
    FluxVar(
        name="nep",
        species="C",
        positive="down",
        long_name="net ecosystem production, without fire",
        part_of="nbp",
    ),
    FluxVar(
        name="nbp",
        species="C",
        positive="down",
        long_name="net biome production, with fire and land use",
        standard_name=(
            "surface_net_downward_mass_flux_of_carbon_dioxide_expressed_as_carbon_due_to_all_land_processes"
        ),
    ),
    FluxVar(
        name="fFire",
        species="C",
        positive="up",
        long_name="CO2 emission from fires",
        standard_name=f"{_CO2_AS_C}_emission_from_fires",
        part_of="nbp",
    ),
    FluxVar(
        name="nbe",
        species="C",
        positive="up",
        long_name="net CO2 exchange of land with fire, land use and inland waters, without fossil fuel",
        per="cell",
    ),
    FluxVar(
        name="fLuc",
        species="C",
        positive="up",
        long_name="net CO2 emission from land-use change",
        part_of="nbp",
    ),
    FluxVar(
        name="fHarvest",
        species="C",
        positive="up",
        long_name="CO2 emission from crop harvesting",
        part_of="nbp",
    ),
    FluxVar(
        name="fGrazing", species="C", positive="up", long_name="CO2 emission from grazing", part_of="nbp"
    ),
    FluxVar(name="fch4", species="C", positive="up", long_name="net CH4 exchange"),
    FluxVar(name="fn2o", species="N", positive="up", long_name="net N2O exchange"),
    FluxVar(name="fFireCh4", species="C", positive="up", long_name="CH4 emission from fires"),
    FluxVar(name="fFireN2o", species="N", positive="up", long_name="N2O emission from fires"),
    FluxVar(
        name="fFossil",
        species="C",
        positive="up",
        long_name="CO2 emission from fossil fuel and industry",
        per="cell",
    ),
    FluxVar(
        name="fAnthropogenicCh4",
        species="C",
        positive="up",
        long_name="CH4 emission from all human sources",
        per="cell",
    ),
    FluxVar(
        name="fFossilCh4",
        species="C",
        positive="up",
        long_name="CH4 emission from fossil fuel and industry",
        per="cell",
        part_of="fAnthropogenicCh4",
    ),
    FluxVar(
        name="fAgriWasteCh4",
        species="C",
        positive="up",
        long_name="CH4 emission from agriculture and waste",
        per="cell",
        part_of="fAnthropogenicCh4",
    ),
    FluxVar(
        name="fAnthropogenicN2o",
        species="N",
        positive="up",
        long_name="N2O emission from all human sources",
        per="cell",
    ),
)
_registry: dict[str, FluxVar] = {v.name: v for v in _BUILT_IN}
FLUXES: Mapping[str, FluxVar] = MappingProxyType(_registry)
"""Every known flux variable by name, in the units, species and direction in which it is stored."""


def register_flux(var: FluxVar) -> None:
    """Add a variable to the table (for packages that bring an approach). A name keeps its one meaning.

    UnitsError if the name is taken with another meaning, the units are not those the table stores, or `part_of` is
    unknown or carries another element. Registering the same entry again does nothing.
    """
    if _registry.get(var.name, var) != var:
        raise UnitsError(
            f"flux {var.name!r} is already in the table with another meaning; choose another name."
        )
    if var.units != STORED_UNITS:
        raise UnitsError(f"flux {var.name!r}: units {var.units!r}; the table stores {STORED_UNITS!r}.")
    if var.part_of is not None:
        mass_ratio(var.species, flux_var(var.part_of).species)
    _registry[var.name] = var


def flux_var(name: str) -> FluxVar:
    """The table's entry, or an error that lists the names."""
    if name not in FLUXES:
        raise UnitsError(f"flux {name!r} is not in the table; known are: {', '.join(FLUXES)}.")
    return FLUXES[name]
