"""What stands beside land cover in an inventory: waters, fire, abrupt thaw, seeps, coasts, human emissions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from talik.config import Frozen
from talik.errors import InputError
from talik.flux.io import open_flux
from talik.inventory import lateral
from talik.inventory.anthropogenic import anthropogenic_posts
from talik.inventory.areas import M2_PER_MKM2, require_coverage
from talik.inventory.fire import (
    Fires,
    FireSettings,
    fire_posts,
    fires_of_co2,
    fires_of_flux,
    fires_of_table,
)
from talik.inventory.lateral import CoastSegment, ErosionSettings, coastal_erosion, geological_post
from talik.inventory.limits import Limited, ordered
from talik.inventory.settings_base import Gas, Resolve, period_years
from talik.inventory.thaw import posts as thaw_posts
from talik.inventory.thaw import result as thaw
from talik.inventory.thaw.read import read_table
from talik.inventory.water_densities import WaterSettings
from talik.inventory.waters import water_posts, waters
from talik.posts import Post
from talik.regions import land_fraction
from talik.sources.bawld import read_bawld
from talik.sources.emission_grids import read_edgar, read_gridfed, read_methane_prior
from talik.sources.gfed_regions import read_gfed_regions
from talik.sources.table_file import read_table as read_columns


class Waters(Frozen):
    """Lakes and rivers of a BAWLD cover grid with temperatures."""

    cover: str
    gases: Annotated[tuple[Gas, ...], Field(min_length=1)] = ("CH4",)
    """CO2 and N2O need densities of your own under `numbers`."""
    numbers: WaterSettings = WaterSettings()


class Fire(Frozen):
    """Fires, from one of three: a CO2 total, regions of a GFED table, or a flux dataset with `fFire`."""

    co2_c: Annotated[float, Field(gt=0)] | None = None
    """Tg CO2-C yr-1 in the region."""
    table: str | None = None
    """Annual emissions of GFED4.1s by region."""
    regions: tuple[str, ...] = ("BONA", "BOAS")
    """Regions of the table, added up."""
    fluxes: str | None = None
    within: str | None = None
    """Where in the dataset: a named region, such as a GeoJSON file or `bands:60,90`."""
    carbon: Literal["CO2", "all"] = "CO2"
    """What `fFire` of the dataset counts: the carbon of CO2, or of all gases and smoke, as the C of GFED."""
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Of the emissions of the table or dataset, what lies inside the region of the inventory."""
    mode: Literal["element", "printed"] = "element"
    """`printed`: CH4 and N2O as mass of the gas, as Hugelius et al. (2024) print them."""
    numbers: FireSettings = FireSettings()

    @model_validator(mode="after")
    def _one(self) -> Fire:
        if sum(given is not None for given in (self.co2_c, self.table, self.fluxes)) != 1:
            raise ValueError("give one of co2_c, table and fluxes")
        if (self.fluxes is None) != (self.within is None):
            raise ValueError("fluxes and within belong together")
        if self.co2_c is not None and self.share != 1.0:
            raise ValueError("co2_c is that of the region already; share belongs to table and fluxes")
        if not self.regions or len(set(self.regions)) != len(self.regions):
            raise ValueError(f"regions {list(self.regions)}: name each one once, at least one")
        return self


class Thaw(Frozen):
    """The state model of abrupt thaw."""

    scenario: str = "rcp85"
    scope: Literal["terrain", "features"] = "terrain"
    balance: str | None = None
    terrains: str | None = None
    """A table of terrains of your own."""
    draws: Annotated[int, Field(ge=100, le=thaw.MOST_DRAWS)] = 2000


class Human(Frozen):
    """Gridded human emissions, summed over a named region."""

    within: str
    """A named region, such as a GeoJSON file or `bands:60,90`."""
    gridfed: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Files of GCP-GridFED by sector: TOTAL, GAS, OIL."""
    edgar: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Files of EDGAR by what they are: fFossilCh4 or fAgriWasteCh4."""
    methane_priors: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Files of the Global Methane Budget by what they are."""
    land_only: bool = True
    """Whether the region covers land only, so that emissions of a shore cell belong to its land."""


class Added(Frozen):
    """Parts that an inventory may have; those that are absent are taken as published by the posts file."""

    waters: Waters | None = None
    fire: Fire | None = None
    thaw: Thaw | None = None
    geological_tg_ch4: tuple[float, float, float] | None = None
    """CH4 of geological seeps as mass of the gas, with limits: 2, 1.6, 2.4 of Walter Anthony et al. (2012)."""
    coast: str | None = None
    """A table of eroding coasts."""
    human: Human | None = None

    @model_validator(mode="after")
    def _seeps(self) -> Added:
        if (given := self.geological_tg_ch4) is not None:
            mean, low, high = given
            if not 0.0 <= low <= mean <= high:
                raise ValueError(
                    f"geological_tg_ch4 {list(given)}: expected mean, low, high with 0 <= low <= mean <= high"
                )
        return self

    def files(self) -> list[str]:
        """Every file that it names, as it stands there."""
        named = [self.coast]
        named += [self.waters.cover] if self.waters else []
        named += [self.fire.table, self.fire.fluxes] if self.fire else []
        named += [self.thaw.terrains] if self.thaw else []
        if self.human:
            for held in (self.human.gridfed, self.human.edgar, self.human.methane_priors):
                named += [name for files in held.values() for name in files]
        return [name for name in named if name is not None]

    def places(self) -> list[str]:
        """Regions that it names, which may be files."""
        return [
            part.within for part in (self.fire, self.human) if part is not None and part.within is not None
        ]


COAST = ("length_km", "retreat_m_yr", "height_m", "carbon_kg_m3", "carbon_to_nitrogen")
"""Columns of a table of coasts; all but the first with limits in `_low` and `_high`."""


LONGEST_KM = 1e6
"""Chosen here: a guard against metres taken for kilometres."""


def added_posts(
    added: Added, region: str, period: str, area_mkm2: float, resolve: Resolve, seed: int
) -> tuple[list[Post], dict[str, Any]]:
    """Posts of every part that is wanted, and what else each part says, JSON values.

    CoverageError: a cover grid of waters that is less than `LEAST_SHARE` of `area_mkm2`, the area of the region.
    """
    posts: list[Post] = []
    told: dict[str, Any] = {}
    if added.waters is not None:
        options = added.waters.numbers.model_copy(update={"seed": seed})
        cover = read_bawld(resolve(added.waters.cover))
        require_coverage(float(cover["cell_area"].sum()) / M2_PER_MKM2, area_mkm2, added.waters.cover)
        totals = [waters(cover, options, gas) for gas in added.waters.gases]
        posts += water_posts(totals, region=region, period=period)
        told["waters"] = [found.to_dict() for found in totals]
    if added.fire is not None:
        posts += _fire(added.fire, region, period, resolve)
    if added.thaw is not None:
        posts += _thaw(added.thaw, region, period, resolve, seed)
    if added.geological_tg_ch4 is not None:
        seeps = Limited(*added.geological_tg_ch4)
        printed = seeps == lateral.GEOLOGICAL_TG_CH4
        source = "Walter Anthony et al. 2012" if printed else "given in the project"
        posts.append(geological_post(seeps, region=region, period=period, source=source))
    if added.coast is not None:
        posts += _coast(added.coast, region, period, resolve, seed)
    if added.human is not None:
        posts += _human(added.human, region, period, resolve)
    return posts, told


def _fire(wanted: Fire, region: str, period: str, resolve: Resolve) -> list[Post]:
    years = period_years(period)
    if wanted.co2_c is not None:
        fires = fires_of_co2(wanted.co2_c, wanted.numbers.untyped)
        source = f"{wanted.co2_c:g} Tg CO2-C yr-1 and emission factors of GFED4.1s"
    elif wanted.table is not None:
        table = read_gfed_regions(resolve(wanted.table))
        fires = fires_of_table(table, wanted.regions, years, settings=wanted.numbers)
        source = f"GFED4.1s, {' and '.join(wanted.regions)}"
    else:
        with open_flux(resolve(str(wanted.fluxes))) as ds:
            fires, _ = fires_of_flux(
                ds,
                _region(str(wanted.within), resolve),
                period=years,
                settings=wanted.numbers,
                carbon=wanted.carbon,
                land_fraction=land_fraction,
            )
            source = f"{ds.attrs['source']}, within {wanted.within}"
    if wanted.share != 1.0:
        source += f", {100 * wanted.share:g} % of it"
    inside = Fires(*(wanted.share * amount for amount in fires))
    return fire_posts(
        inside, region=region, period=period, source=source, settings=wanted.numbers, mode=wanted.mode
    )


def _thaw(wanted: Thaw, region: str, period: str, resolve: Resolve, seed: int) -> list[Post]:
    """Means over all years of the period."""
    table = read_table(None if wanted.terrains is None else resolve(wanted.terrains))
    first, last = period_years(period)
    span = (first, last + 1)
    settings = thaw.Settings(
        scenario=wanted.scenario,
        to=max(span[1], table.scenario_year + thaw.RECENT_YEARS),
        scope=wanted.scope,
        balance=wanted.balance,
        draws=wanted.draws,
        seed=seed,
        spans=(span,),
    )
    done = thaw.run(table, settings)
    return [replace(post, region=region, period=period) for post in thaw_posts.posts(done, span)]


def _coast(name: str, region: str, period: str, resolve: Resolve, seed: int) -> list[Post]:
    path = resolve(name)
    rows, _ = read_columns(path)
    needed = [COAST[0], *(f"{column}{end}" for column in COAST[1:] for end in ("", "_low", "_high"))]
    if missing := [column for column in needed if column not in rows]:
        raise InputError(f"{path}: no column {', '.join(missing)}; expected {', '.join(needed)}.")
    numbers = rows[needed].apply(pd.to_numeric, errors="coerce")
    bad = ~np.isfinite(numbers.to_numpy(dtype=np.float64))
    if bad.any():
        row, column = (int(k[0]) for k in np.nonzero(bad))
        raise InputError(
            f"{path}: {needed[column]} in row {row + 1} is {rows[needed[column]].iloc[row]}; expected a finite number "
            f"({int(bad.sum())} such entries)."
        )
    if numbers[COAST[0]].sum() > LONGEST_KM:
        raise InputError(
            f"{path}: {numbers[COAST[0]].sum():g} km of coast; expected less than {LONGEST_KM:g}. Check units."
        )
    segments = [
        CoastSegment(
            length_km=float(row[COAST[0]]),
            **{
                c: ordered(
                    Limited(*(float(row[f"{c}{end}"]) for end in ("", "_low", "_high"))),
                    f"{path}, row {i + 1}: {c}",
                )
                for c in COAST[1:]
            },
        )
        for i, (_, row) in enumerate(numbers.iterrows())
    ]
    lost = coastal_erosion(segments, ErosionSettings(seed=seed))
    return lateral.lateral_posts(
        {lateral.COASTAL: {"C": lost.carbon, "N": lost.nitrogen}},
        region={lateral.COASTAL: region},
        source={lateral.COASTAL: f"{name}, {len(segments)} stretches of coast"},
        period=period,
    )


def _human(wanted: Human, region: str, period: str, resolve: Resolve) -> list[Post]:
    def paths(names: Sequence[str]) -> list[Any]:
        return [resolve(name) for name in names]

    grids = [read_gridfed(paths(files), sector) for sector, files in wanted.gridfed.items()]
    grids += [read_edgar(paths(files), variable) for variable, files in wanted.edgar.items()]
    grids += [read_methane_prior(paths(files), variable) for variable, files in wanted.methane_priors.items()]
    if not grids:
        raise InputError("inventory.added.human: names no files. Give gridfed, edgar or methane_priors.")
    made = anthropogenic_posts(
        grids,
        _region(wanted.within, resolve),
        period=period_years(period),
        land_fraction=land_fraction if wanted.land_only else None,
    )
    return [
        replace(post, region=region, note=f"Within {wanted.within}. {post.note}".strip()) for post in made
    ]


def _region(name: str, resolve: Resolve) -> str:
    """A named region with its file, if it is one, relative to the project."""
    path = resolve(name)
    return str(path) if path.is_file() else name
