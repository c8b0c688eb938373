"""How the files of atmospheric inversions are laid out, product by product, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from talik.errors import ConfigError
from talik.flux.table import Species
from talik.sources.emission_units import unit_words

Names = tuple[str, ...]
"""Names under which one term of a flux may stand in a file; the first is the usual one."""
Terms = tuple[Names, ...]
"""What is added up to one flux."""
Mark = Literal["V", "M", "I"]
"""Where a fact is from: V checked in public code or metadata, M from memory, I inferred."""


@dataclass(frozen=True, slots=True)
class Form:
    """Units as a file may write them, with the species whose mass (or moles) they count.

    written : words of the units, in any order and spelling of powers. units : the same without the species. needed :
    words that a file must state; if it is None, a file that states no units is taken at `written`.
    """

    written: str
    species: Species
    units: str
    needed: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InversionLayout:
    """One kind of file: which variables make which flux, in what units, with what stamp.

    fluxes : variable of the flux table, and the terms that are added up to it. priors : the same before the inversion.
    elsewhere : terms that belong to the global total but not to land, such as the ocean. forms : units by which the
    fluxes may be given, the documented ones first. stamp : where in its month a time stamp lies. member : dimension
    and names of members. area : variable of the file that holds the area of its cells. facts : what is known of the
    layout, and how surely.
    """

    name: str
    product: str
    files: str
    fluxes: Mapping[str, Terms]
    forms: tuple[Form, ...]
    facts: tuple[tuple[Mark, str], ...]
    priors: Mapping[str, Terms] = field(default_factory=dict)
    elsewhere: Terms = ()
    stamp: Literal["inside", "last day"] = "inside"
    member: tuple[str, str] | None = None
    area: str | None = None
    approach: str = "inversion"


def _declared(*forms: tuple[str, Species, str]) -> tuple[Form, ...]:
    """Forms that count only if the file states all of them, the species included."""
    return tuple(Form(w, s, u, frozenset(unit_words(w))) for w, s, u in forms)


_CO2 = _declared(
    ("kg C m-2 s-1", "C", "kg m-2 s-1"),
    ("kg CO2 m-2 s-1", "CO2", "kg m-2 s-1"),
    ("g C m-2 month-1", "C", "g m-2 month-1"),
    ("g C m-2 d-1", "C", "g m-2 d-1"),
    ("g C m-2 yr-1", "C", "g m-2 yr-1"),
    ("Pg C m-2 yr-1", "C", "Pg m-2 yr-1"),
    ("mol m-2 s-1", "CO2", "mol m-2 s-1"),
    ("mol CO2 m-2 s-1", "CO2", "mol m-2 s-1"),
)
_CH4 = _declared(
    ("g CH4 m-2 month-1", "CH4", "g m-2 month-1"),
    ("kg CH4 m-2 s-1", "CH4", "kg m-2 s-1"),
    ("g CH4 m-2 d-1", "CH4", "g m-2 d-1"),
    ("kg C m-2 s-1", "C", "kg m-2 s-1"),
    ("g C m-2 month-1", "C", "g m-2 month-1"),
    ("mol m-2 s-1", "CH4", "mol m-2 s-1"),
    ("mol CH4 m-2 s-1", "CH4", "mol m-2 s-1"),
)
_N2O = _declared(
    *(
        (f"{mass} {species} m-2 {per}", species, f"{mass} m-2 {per}")
        for mass in ("kg", "g")
        for species in ("N", "N2O")
        for per in ("s-1", "h-1", "month-1", "yr-1")
    )
)
_MOLES = Form("mol m-2 s-1", "CO2", "mol m-2 s-1")
_N2O_POST = {"fn2o": (("post",),)}
_SEA: tuple[Mark, str] = (
    "I",
    "sea cells hold 0 or NaN: cells without land are set to no data, whatever the file holds there",
)
_NITROGEN: tuple[Mark, str] = (
    "V",
    "files of this family mix N and N2O, and month, hour and year: the global total is checked against 17 Tg N yr-1",
)

_ALL: tuple[InversionLayout, ...] = (
    InversionLayout(
        name="gcb",
        product="Global Carbon Budget, CO2 inversions",
        files="GCP<yyyy>_inversions_1x1_version<..>_<date>.nc",
        fluxes={"nbe": (("land_flux_only_fossil_cement_adjusted",),)},
        priors={"nbe": (("prior_flux_land",),)},
        forms=(Form("Pg C m-2 yr-1", "C", "Pg m-2 yr-1"), *_CO2),
        member=("ensemble_member", "ensemble_member_name"),
        facts=(
            ("V", "land flux adjusted for common fossil and cement emissions, up positive, Pg C m-2 yr-1"),
            ("V", "it holds fire and what rivers outgas, not fossil fuel"),
            ("V", "a member is NaN before it starts; its name is a character array"),
            ("I", "latitude ascends (either order is read)"),
            _SEA,
        ),
    ),
    InversionLayout(
        name="carbontracker-europe",
        product="CarbonTracker Europe",
        files="one file with time x 180 x 360",
        fluxes={
            "nbe": (("biosphere_flux_optimized",), ("fire_flux_imposed",)),
            "fFire": (("fire_flux_imposed",),),
        },
        priors={"nbe": (("biosphere_flux_prior",), ("fire_flux_imposed",))},
        forms=(_MOLES, *_CO2),
        area="cell_area",
        facts=(
            ("V", "mol m-2 s-1 of CO2; the flux of land is biosphere + fire"),
            ("V", "fire is imposed, not optimised, and is handed on as fFire"),
            _SEA,
        ),
    ),
    InversionLayout(
        name="carbontracker",
        product="CarbonTracker",
        files="monthly fluxes of one release",
        fluxes={
            "nbe": (("bio_flux_opt", "bio_flux_optimized"), ("fire_flux_imp", "fire_flux_imposed")),
            "fFire": (("fire_flux_imp", "fire_flux_imposed"),),
        },
        forms=(_MOLES, *_CO2),
        facts=(
            ("V", "mol m-2 s-1 of CO2, time in days since 2000-01-01"),
            ("V", "old files mark missing values with -1e34 and may not declare it"),
            _SEA,
        ),
    ),
    InversionLayout(
        name="reccap2-co2",
        product="RECCAP2 portal, CO2 inversion",
        files="one file of one system (MACTM)",
        fluxes={"nbe": (("flux_apos_land",),)},
        forms=_CO2,
        facts=(
            (
                "V",
                "flux_apos_land, flux_apos_ocean, flux_apri_fossil; the ocean and fossil fuel are left out",
            ),
            ("I", "units are not documented: the file must state them, with the species"),
            ("I", "the time base is not documented: stamps must decode to dates, one a calendar month"),
            _SEA,
        ),
    ),
    InversionLayout(
        name="methane-budget",
        product="Global Methane Budget, inversions",
        files="<SYSTEM>_totflux_<CASE>SURF.nc or <SYSTEM>_totflux_<CASE>GOSAT.nc",
        fluxes={"fch4": (("fch4_post",),)},
        priors={"fch4": (("fch4_prior",),)},
        forms=(Form("g CH4 m-2 month-1", "CH4", "g m-2 month-1"), *_CH4),
        stamp="last day",
        area="carea",
        facts=(
            ("V", "g CH4 m-2 month-1, mass of the gas; hours since 1970-01-01, at the last day of the month"),
            ("V", "carea(lat) is the area of a cell, m2: it must be that of the cells to 2 %"),
            ("V", "files of sectors add names per category: say which ones with terms"),
            ("I", "other submissions use kg or mol: read only if units and species are stated"),
            ("I", "the emission of the ocean in a shore cell cannot be told from that of its land"),
        ),
    ),
    InversionLayout(
        name="methane-wetlands",
        product="Global Methane Budget, wetland models",
        files="<MODEL>_totflux_CRU_diagnostic.nc",
        fluxes={"fch4": (("fch4",),)},
        forms=_CH4,
        approach="process",
        facts=(
            ("V", "0.5 degree, 2000-2020, models with prescribed wetland extent: no inversion"),
            (
                "I",
                "name and units of the variable are not documented: say the name with terms; units must be stated",
            ),
            ("I", "about 120-200 Tg CH4 yr-1 on the whole globe: outside 1/3-3 times 160 it is refused"),
        ),
    ),
    InversionLayout(
        name="n2o-tomcat",
        product="TOMCAT-INVICAT, N2O inversion",
        files="one file of one system",
        fluxes=_N2O_POST,
        forms=(Form("kg N m-2 yr-1", "N", "kg m-2 yr-1"), *_N2O),
        facts=(("V", "post, kg N m-2 yr-1; land and ocean in one field"), _NITROGEN),
    ),
    InversionLayout(
        name="n2o-pyvar",
        product="PyVAR-CAMS, N2O inversion",
        files="one file of one system",
        fluxes=_N2O_POST,
        forms=(Form("kg N m-2 h-1", "N", "kg m-2 h-1"), *_N2O),
        facts=(("V", "post, kg N m-2 h-1; land and ocean in one field"), _NITROGEN),
    ),
    InversionLayout(
        name="n2o-mactm-r84",
        product="MACTM-r84, N2O inversion",
        files="one file of one system",
        fluxes={"fn2o": (("flux_apos_land",), ("flux_apri_fossil",))},
        elsewhere=(("flux_apos_ocean",),),
        forms=(Form("kg N2O m-2 month-1", "N2O", "kg m-2 month-1"), *_N2O),
        facts=(
            ("V", "land + ocean + fossil prior, taken as kg N2O m-2 month-1"),
            ("V", "the one public reader rescaled it globally without saying why: expect it to be refused"),
            ("I", "the ocean counts in the global total and is kept out of the flux of land"),
            _NITROGEN,
        ),
    ),
    InversionLayout(
        name="n2o-miroc4",
        product="MIROC4-ACTM, N2O inversion",
        files="one file of one system",
        fluxes={"fn2o": (("flux_apos_land",),)},
        elsewhere=(("flux_apos_ocean",),),
        forms=(Form("kg N m-2 month-1", "N", "kg m-2 month-1"), *_N2O),
        facts=(
            ("V", "flux_apos_land and flux_apos_ocean, kg N m-2 month-1"),
            ("I", "the ocean counts in the global total and is kept out of the flux of land"),
            _NITROGEN,
        ),
    ),
)
INVERSION_LAYOUTS: Mapping[str, InversionLayout] = MappingProxyType({layout.name: layout for layout in _ALL})
"""Every layout that can be read, by name."""


def inversion_layout(name: str) -> InversionLayout:
    """The layout of a name; ConfigError that lists the names."""
    if name not in INVERSION_LAYOUTS:
        raise ConfigError(
            f"inversion layout {name!r} is unknown; choose one of: {', '.join(INVERSION_LAYOUTS)}."
        )
    return INVERSION_LAYOUTS[name]


def describe_layout(name: str) -> str:
    """What a layout is taken to be, in words: variables, units, stamp, and each fact with how surely it is known.

    V : checked in public code or metadata; M : from memory; I : inferred. ConfigError: an unknown name.
    """
    layout = inversion_layout(name)

    def sums(fluxes: Mapping[str, Terms]) -> list[str]:
        return [
            f"{variable} = {' + '.join(' or '.join(names) for names in terms)}"
            for variable, terms in fluxes.items()
        ]

    first, *others = layout.forms
    units = (
        f"{first.written}; a file that states none is taken at this, and notes say so"
        if first.needed is None
        else "must be stated"
    )
    lines = [
        f"{layout.name}: {layout.product}",
        f"  files: {layout.files}",
        *(f"  {line}" for line in sums(layout.fluxes)),
        *(f"  prior {line}" for line in sums(layout.priors)),
        f"  units: {units}",
        f"  also, if stated in full: {', '.join(dict.fromkeys(f.written for f in others if f.needed))}",
        f"  stamp: {'the last day of the month' if layout.stamp == 'last day' else 'anywhere in the month'}",
    ]
    if layout.member:
        lines.append(f"  members: dimension {layout.member[0]}, names in {layout.member[1]}")
    lines += [f"  [{mark}] {fact}" for mark, fact in layout.facts]
    return "\n".join(lines)
