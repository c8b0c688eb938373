"""Fire: CO2, CH4 and N2O from dry matter, carbon or CO2 by emission factors, as budget posts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple, get_args

import pandas as pd
import xarray as xr
from pydantic import Field

from talik.config import Frozen
from talik.errors import ConfigError, CoverageError, InputError
from talik.flux.table import Species, mass_ratio
from talik.inventory.grid_totals import Land, Region, mean_of_years, yearly_totals
from talik.inventory.limits import Limited
from talik.posts.post import GASES, Post
from talik.products.annual import Years
from talik.regions.totals import MIN_COVERAGE
from talik.sources import gfed_factors
from talik.sources.gfed_factors import FIRE_TYPES
from talik.sources.gfed_regions import ALL

FireType = Literal["SAVA", "BORF", "TEMF", "DEFO", "PEAT", "AGRI"]
FIRE_PROCESSES = frozenset({"fire", "fire_below_ground"})
_COLUMNS = ("region", "year", "species", "fire_type", "emission_Tg")
OTHER_GASES = {"ch4_c": "fFireCh4", "n2o_n": "fFireN2o"}
"""Variables of the flux table with the CH4 and N2O of fires."""
_SPECIES = {"co2": "CO2", "ch4": "CH4", "n2o": "N2O", "carbon": "C"}
_Positive = Annotated[float, Field(gt=0.0)]


class EmissionFactors(Frozen):
    """What burning 1 kg of dry matter emits, g of each gas; `carbon` is the carbon of all gases and smoke."""

    co2: _Positive
    ch4: _Positive
    n2o: _Positive
    carbon: _Positive

    def of(self, species: Species) -> float:
        """g of a species per kg of dry matter; C is all carbon. ConfigError: another species."""
        found = {"CO2": self.co2, "CH4": self.ch4, "N2O": self.n2o, "C": self.carbon}.get(species)
        if found is None:
            raise ConfigError(f"no emission factor of {species!r}; choose one of: CO2, CH4, N2O, C.")
        return found


def _gfed() -> dict[FireType, EmissionFactors]:
    table = gfed_factors.EmissionFactors()
    by_species = {name: table.of(species) for name, species in _SPECIES.items()}
    return {
        code: EmissionFactors(**{name: by_species[name][code] for name in _SPECIES})
        for code in get_args(FireType)
    }


class FireSettings(Frozen):
    """Numbers behind the fire posts. Factors are those of GFED4.1s (van der Werf et al. 2017, ESSD 9, 697)."""

    factors: dict[FireType, EmissionFactors] = Field(default_factory=_gfed)
    fire_type: FireType = "BORF"
    """Fire type whose factors stand for emissions that are not split by type."""
    uncertainty: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2
    """Half width of the 95 % limits relative to the mean. Chosen here: the printed limits of CO2 are 20 % off."""

    @property
    def untyped(self) -> EmissionFactors:
        """Factors of `fire_type`."""
        return self.factors[self.fire_type]


class Fires(NamedTuple):
    """Mean emissions of fires, Tg yr-1 of the element: CO2-C, CH4-C and N2O-N."""

    co2_c: float
    ch4_c: float
    n2o_n: float


def fires_of_dry_matter(dry_matter_tg: float, factors: EmissionFactors) -> Fires:
    """Element mass of the gases of burnt dry matter (Tg yr-1): dry matter times factor."""
    return Fires(
        dry_matter_tg * factors.co2 * mass_ratio("CO2", "C") / 1e3,
        dry_matter_tg * factors.ch4 * mass_ratio("CH4", "C") / 1e3,
        dry_matter_tg * factors.n2o * mass_ratio("N2O", "N") / 1e3,
    )


def dry_matter(tg: float, species: Species, factors: EmissionFactors) -> float:
    """Dry matter (Tg) whose burning emits `tg` of a species: mass of the gas, or of all carbon for C."""
    return tg / factors.of(species) * 1e3


def fires_of_co2(co2_c_tg: float, factors: EmissionFactors) -> Fires:
    """Element mass of the gases of fires that emit this much CO2-C (Tg yr-1)."""
    return fires_of_dry_matter(dry_matter(co2_c_tg * mass_ratio("C", "CO2"), "CO2", factors), factors)


def fires_of_flux(
    ds: xr.Dataset,
    region: Region,
    *,
    period: Years | None = None,
    settings: FireSettings | None = None,
    carbon: Literal["CO2", "all"] = "CO2",
    land_fraction: Land | None = None,
    min_coverage: float = MIN_COVERAGE,
) -> tuple[Fires, str]:
    """Emissions of a flux dataset with `fFire` over a region, and the years that they are the mean of ('2000-2020').

    carbon : what `fFire` counts, the carbon of CO2 only (the meaning in the flux table) or that of all gases and smoke,
        as the `C` of GFED. CH4 and N2O are those of the dataset where it has `fFireCh4` and `fFireN2o`, which
        know the kind of fire; else they follow by the factors of `settings.fire_type`.
    CoverageError: holes in the region or the period.
    """
    if carbon not in ("CO2", "all"):
        raise ConfigError(f"carbon is {carbon!r}; choose 'CO2' or 'all'.")
    factors = (settings or FireSettings()).untyped

    def mean_of(variable: str) -> tuple[float, str]:
        totals = yearly_totals(ds, variable, region, land_fraction=land_fraction, min_coverage=min_coverage)
        return mean_of_years(totals.total, period)

    mean, label = mean_of("fFire")
    if carbon == "CO2":
        fires = fires_of_co2(mean, factors)
    else:
        fires = fires_of_dry_matter(dry_matter(mean, "C", factors), factors)
    held = {gas: mean_of(name)[0] for gas, name in OTHER_GASES.items() if name in ds.data_vars}
    return fires._replace(**held), label


def fires_of_table(
    table: pd.DataFrame,
    regions: Sequence[str],
    period: Years,
    *,
    settings: FireSettings | None = None,
    basis: Literal["DM", "species"] = "DM",
) -> Fires:
    """Mean emissions of regions of an emission table over a period (both years included), regions added up.

    table : from `talik.sources.gfed_regions.read_gfed_regions`: region, year, species (C, DM, CO2, CH4, N2O), fire_type
        (codes) and emission_Tg, which is mass of the gas for CO2, CH4 and N2O.
    basis : from the dry matter of each fire type and its factors, or from the sums of CO2, CH4 and N2O as they stand.
        Tables are rounded, so that the first is finer for small regions.

    InputError: a column is missing, or a row stands twice. CoverageError: a region, year, species or type is missing.
    """
    if basis not in ("DM", "species"):
        raise ConfigError(f"basis is {basis!r}; choose 'DM' or 'species'.")
    rows = _rows(table)
    if not regions or period[0] > period[1]:
        raise ConfigError(f"expected regions and a first and last year; found {list(regions)}, {period}.")
    rows = rows[rows["region"].isin(regions) & rows["year"].between(*period)]
    species = ("DM",) if basis == "DM" else ("CO2", "CH4", "N2O")
    types = tuple(FIRE_TYPES) if basis == "DM" else (ALL,)
    years = range(period[0], period[1] + 1)
    wanted = pd.MultiIndex.from_product([list(regions), years, species, types])
    held = rows.set_index(["region", "year", "species", "fire_type"])["emission_Tg"]
    known = set(held.dropna().index)
    lacking = [key for key in wanted if key not in known]
    if lacking:
        first = ", ".join(map(str, lacking[0]))
        raise CoverageError(
            f"emission table: {len(lacking)} of {len(wanted)} rows are missing, first {first}; expected every region, "
            "year, species and fire type. Choose other regions or years, or write 0 where nothing burned."
        )
    sums = held.loc[wanted].groupby(level=[2, 3]).sum() / len(years)
    if basis == "species":
        return Fires(
            *(
                float(sums[gas, ALL]) * mass_ratio(gas, element)
                for gas, element in (("CO2", "C"), ("CH4", "C"), ("N2O", "N"))
            )
        )
    factors = (settings or FireSettings()).factors
    parts = [fires_of_dry_matter(float(sums["DM", t]), factors[t]) for t in factors]
    return Fires(*(sum(values) for values in zip(*parts, strict=True)))


def fire_posts(
    fires: Fires,
    *,
    region: str,
    period: str,
    source: str,
    settings: FireSettings | None = None,
    mode: Literal["element", "printed"] = "element",
    id: str = "inventory.fires",
) -> list[Post]:
    """Posts of CO2, CH4 and N2O from fires, with limits of the same relative width (`settings.uncertainty`).

    mode : "element" gives Tg of carbon and nitrogen, as the units of posts say. "printed" gives CH4 and N2O as mass of
        the gas under the same units, as Hugelius et al. (2024) print them (121, 1.8, 0.12), with a note that says so:
        only to compare with that print.
    period : such as '2000-2020'. ConfigError: another mode.
    """
    if mode not in ("element", "printed"):
        raise ConfigError(f"mode is {mode!r}; choose 'element' or 'printed'.")
    share = (settings or FireSettings()).uncertainty
    posts = []
    for gas, element, amount in (
        ("CO2", "C", fires.co2_c),
        ("CH4", "C", fires.ch4_c),
        ("N2O", "N", fires.n2o_n),
    ):
        as_gas = mode == "printed" and gas != "CO2"
        number = Limited(1.0, 1.0 - share, 1.0 + share).times(
            amount * (mass_ratio(element, gas) if as_gas else 1.0)
        )
        note = f"Limits are {100 * share:g} % off the mean, chosen, not computed."
        if as_gas:
            note = f"The number is mass of {gas}, not of {gas}-{element}, as printed by Hugelius et al. (2024). {note}"
        posts.append(
            Post(
                id=id,
                gas=gas,
                mean=number.mean,
                low=number.low,
                high=number.high,
                unit=GASES[gas],
                region=region,
                period=period,
                approach="inventory",
                source=source,
                origin="non-fossil" if gas == "CH4" else None,
                covers=FIRE_PROCESSES,
                note=note,
            )
        )
    return posts


def _rows(table: pd.DataFrame) -> pd.DataFrame:
    """The table with codes of fire types; InputError for what is missing, unknown or there twice."""
    missing = [c for c in _COLUMNS if c not in table.columns]
    if missing:
        raise InputError(
            f"emission table: no column {', '.join(missing)}; expected {', '.join(_COLUMNS)}, found "
            f"{', '.join(map(str, table.columns))}."
        )
    rows = table[list(_COLUMNS)].copy()
    unknown = sorted(set(rows["fire_type"]) - {*FIRE_TYPES, ALL})
    if unknown:
        raise InputError(
            f"emission table: fire type {unknown[0]!r} is unknown; expected {', '.join(FIRE_TYPES)} or {ALL!r}."
        )
    twice = rows.duplicated(list(_COLUMNS[:-1]))
    if twice.any():
        first = ", ".join(map(str, rows.loc[twice, list(_COLUMNS[:-1])].iloc[0]))
        raise InputError(f"emission table: {int(twice.sum())} rows stand twice, first {first}. Remove them.")
    return rows
