"""Densities of the classes of one gas, from the sources that a project names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import xarray as xr

from talik.errors import ConfigError, InputError
from talik.flux.io import open_flux
from talik.flux.table import mass_ratio
from talik.inventory.areas import wetland_shares
from talik.inventory.class_sites import Density, of_annual, of_growing_season, of_months, of_whole_years
from talik.inventory.classes import COVER, LAND, WETLANDS, inventory_class
from talik.inventory.density_fluxes import of_fluxes
from talik.inventory.density_table import (
    ELEMENT,
    printed_growing_season,
    published_densities,
    read_densities,
)
from talik.inventory.land_cover import suspect_gas_mass
from talik.inventory.settings import Annual, GrowingSeason, InventorySettings, Months, Source, Table
from talik.inventory.settings_base import Gas, Resolve, period_years
from talik.sources.site_table import MONTHLY, SiteTable, read_sites
from talik.sources.wetland_ch4 import WetlandSites, read_wetland_ch4

MONTHLY_FLUX: Mapping[Gas, str] = {"CO2": "nee", "CH4": "ch4"}
"""Column of a site table for each gas."""
GRAMS_PER_MG = 1e-3


def densities(
    gas: Gas, sources: Sequence[Source], settings: InventorySettings, resolve: Resolve, seed: int
) -> dict[str, Density]:
    """Every class from the first of `sources` that has it; classes that none has are absent.

    Densities that look like mass of the gas where mass of the element is meant are an InputError.
    """
    out: dict[str, Density] = {}
    for source in sources:
        found = of_source(gas, source, settings, resolve, seed)
        if source != "published" and settings.check_gas_mass:
            reference = published_densities(gas, settings.draws, seed)
            if (told := suspect_gas_mass(found, reference)) is not None:
                raise InputError(told)
        out |= {land: density for land, density in found.items() if land not in out}
    return {land: out[land] for land in LAND if land in out}


def of_source(
    gas: Gas, source: Source, settings: InventorySettings, resolve: Resolve, seed: int
) -> dict[str, Density]:
    """Every class that one source has."""
    draws, seasons = settings.draws, settings.seasons_of(gas)
    if source == "published":
        return published_densities(gas, draws, seed)
    if source == "printed growing season":
        return printed_growing_season(gas, seasons, draws, seed)
    if isinstance(source, Table):
        return read_densities(resolve(source.table), gas, seasons, draws, seed)
    if isinstance(source, GrowingSeason):
        if gas != "CH4":
            raise ConfigError(
                f"inventory.densities.{gas}: growing_season is a table of CH4; leave it to CH4."
            )
        return _growing_season(source, settings, resolve, seed)
    if isinstance(source, Months):
        if gas not in MONTHLY_FLUX:
            raise ConfigError(f"inventory.densities.{gas}: site tables have CO2 and CH4. Give a table.")
        years = source.years or period_years(settings.period)
        rows = monthly_rows(read_sites(resolve(source.months)), gas, source, years)
        if source.whole_years:
            months = rows.groupby("site_id")["month"].transform("nunique")
            rows = rows[months == 12]
        make = of_whole_years if source.whole_years else of_months
        # a class with few sites or without some month is left to the next source
        return {
            str(land): make(mine, str(land), gas, draws, seed)
            for land, mine in rows.groupby("land")
            if mine["site_id"].nunique() >= source.fewest_sites and mine["month"].nunique() == 12
        }
    if isinstance(source, Annual):
        if gas != "CH4":
            raise ConfigError(f"inventory.densities.{gas}: annual is a table of CH4; leave it to CH4.")
        annual = annual_rows(read_wetland_ch4(resolve(source.annual)))
        return {
            str(land): of_annual(mine, str(land), gas, draws, seed) for land, mine in annual.groupby("land")
        }
    path = resolve(source.fluxes)
    with open_flux(path) as ds:
        return of_fluxes(ds.load(), gas, draws, seed, settings.areas.rockland, str(path))


def _growing_season(
    source: GrowingSeason, settings: InventorySettings, resolve: Resolve, seed: int
) -> dict[str, Density]:
    rows = season_rows(read_wetland_ch4(resolve(source.growing_season)))
    shares: dict[str, float] | None = None
    if source.pooling == "area":
        if settings.areas.cover is None:
            raise ConfigError(
                "inventory: pooling: area needs the areas of marsh, bog and fen. Give areas.cover."
            )
        shares = wetland_shares(read_cover(settings, resolve))
    seasons = settings.seasons_of("CH4")
    out = {}
    for land, mine in rows.groupby("land"):
        parts = [code for code in WETLANDS if inventory_class(code) == land]
        weights = None if shares is None or len(parts) == 1 else {code: shares[code] for code in parts}
        out[str(land)] = of_growing_season(
            mine, str(land), "CH4", seasons[str(land)], settings.draws, seed, weights
        )
    return out


def _is_yes(value: object) -> bool:
    return str(value).strip().lower() == "yes"


def annual_rows(sites: WetlandSites) -> pd.DataFrame:
    """Annual fluxes as site, land and flux (g CH4-C m-2 yr-1); rows without one are left out."""
    table = sites.table[sites.table["ch4_annual"].notna()]
    return pd.DataFrame(
        {
            "site": table["site_id"] + ", " + table["class"],
            "land": table["class"].map(lambda code: COVER[code].inventory),
            "flux": table["ch4_annual"] * mass_ratio(sites.species, ELEMENT["CH4"]),
        }
    )


def season_rows(sites: WetlandSites) -> pd.DataFrame:
    """Growing-season means as site, cover, land, flux (g CH4-C m-2 d-1) and cell_id; rows without a mean are left out.

    What repeats each other is a place with its class.
    """
    table = sites.table[sites.table["ch4_mean"].notna()]
    return pd.DataFrame(
        {
            "site": table["site_id"] + ", " + table["class"],
            "cover": table["class"],
            "land": table["class"].map(lambda code: COVER[code].inventory),
            "flux": table["ch4_mean"] * GRAMS_PER_MG * mass_ratio(sites.species, ELEMENT["CH4"]),
            "cell_id": table["cell_id"],
        }
    )


def monthly_rows(sites: SiteTable, gas: Gas, wanted: Months, years: tuple[int, int]) -> pd.DataFrame:
    """Monthly fluxes as site_id, land, year, month, flux (g m-2 month-1 of the element, up), lat and frozen (1, 0).

    Left out are rows whose `vegetation` is no class of BAWLD, of other `years`, and of sites that are not `wanted`.
    InputError: no row is left.
    """
    rows, flux, name = sites.rows, MONTHLY_FLUX[gas], wanted.months
    needed = [flux, "vegetation", "lat", *(["permafrost"] if wanted.permafrost else [])]
    if missing := [column for column in needed if column not in rows]:
        raise InputError(
            f"{name}: no column {', '.join(missing)}; expected {flux} ({MONTHLY}), {', '.join(needed[1:])}. Found "
            f"{', '.join(map(str, rows.columns[:12]))}."
        )
    rows = rows[rows["year"].between(*years) & (rows["lat"] >= wanted.south)]
    if wanted.permafrost:
        rows = rows[[_is_yes(value) for value in rows["permafrost"]]]
    by_name = {cover.name: cover for cover in COVER.values()}
    by_name["tundra wetland"] = COVER["WTU"]
    known = rows["vegetation"].astype("string").str.strip().str.lower().map(by_name, na_action="ignore")
    kept = rows[known.notna() & rows[flux].notna() & rows["month"].notna()]
    land = known.loc[kept.index].map(lambda cover: cover.inventory)
    out = pd.DataFrame(
        {
            "site_id": kept["site_id"],
            "land": land,
            "year": kept["year"],
            "month": kept["month"],
            "flux": kept[flux],
            "lat": kept["lat"],
            "frozen": [float(_is_yes(v)) for v in kept["permafrost"]] if "permafrost" in kept else 0.0,
        }
    )
    out = out[out["land"].isin(list(LAND))]
    if out.empty:
        raise InputError(
            f"{name}: no row of {years[0]}-{years[1]} north of {wanted.south:g} N has {flux} and a vegetation of BAWLD "
            f"({', '.join(by_name)}). Widen years or south."
        )
    return out


def read_cover(settings: InventorySettings, resolve: Resolve) -> xr.Dataset:
    """The cover grid of the project; ConfigError if it names none."""
    from talik.sources.bawld import read_bawld

    if settings.areas.cover is None:
        raise ConfigError("inventory.areas.cover: no cover grid is given.")
    return read_bawld(resolve(settings.areas.cover))
