"""Posts of human emissions: totals of gridded emissions over a region, with limits from relative uncertainties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd
import xarray as xr

from talik.errors import PostError
from talik.flux.table import FLUXES
from talik.inventory.grid_totals import Land, Region, mean_of_years, yearly_totals
from talik.inventory.limits import Limited
from talik.posts.post import GASES, Post
from talik.products.annual import Years
from talik.regions.totals import MIN_COVERAGE

TOTALS = ("TOTAL", "TOTALS")
"""Sectors that hold all others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanPost:
    """How a post of human emissions is made: from which variable of the flux table and which sectors.

    sectors : names it takes, all of them added up; none means any. share : mean 1 and the 95 % limits relative to it.
    """

    id: str
    gas: str
    variable: str
    share: Limited
    sectors: tuple[str, ...] = ()
    part_of: str | None = None
    origin: str | None = None
    covers: frozenset[str] = frozenset({"fossil_industrial"})


def relative(mean: float, low: float, high: float) -> Limited:
    """Limits relative to a mean, for `HumanPost.share`: (1, low / mean, high / mean). PostError unless 0 < mean and
    low <= mean <= high."""
    if not (mean > 0.0 and low <= mean <= high):
        raise PostError(f"expected 0 < mean and low <= mean <= high; found {mean:g} ({low:g}, {high:g}).")
    return Limited(1.0, low / mean, high / mean)


HUMAN_POSTS: tuple[HumanPost, ...] = (
    HumanPost(
        id="anthropogenic.fossil",
        gas="CO2",
        variable="fFossil",
        share=relative(73.0, 56.0, 89.0),
        sectors=TOTALS,
    ),
    HumanPost(
        id="anthropogenic.gas",
        gas="CO2",
        variable="fFossil",
        share=relative(26.0, 19.0, 34.0),
        sectors=("GAS",),
        part_of="anthropogenic.fossil",
    ),
    HumanPost(
        id="anthropogenic.oil",
        gas="CO2",
        variable="fFossil",
        share=relative(32.0, 27.0, 36.0),
        sectors=("OIL",),
        part_of="anthropogenic.fossil",
    ),
    HumanPost(
        id="anthropogenic.fossil",
        gas="CH4",
        variable="fFossilCh4",
        share=relative(4.9, 3.3, 6.5),
        origin="fossil",
    ),
    HumanPost(
        id="anthropogenic.agriculture_waste",
        gas="CH4",
        variable="fAgriWasteCh4",
        share=relative(0.54, 0.43, 0.64),
        origin="non-fossil",
        covers=frozenset({"agriculture_waste"}),
    ),
)
"""The posts of Hugelius et al. (2024). How they made limits is not published; here limits keep the printed ratio to
the mean (chosen here). CH4 stands twice in print: in the text 4.7 (3.4, 6.0) fossil and 0.54 (0.43, 0.64) agriculture
and waste, in the table 4.9 (3.3, 6.5) and 0.54 (0.44, 0.64) Tg CH4-C yr-1. Fossil has the ratio of the table, which the
budget uses, agriculture and waste that of the text, whose limits differ in the last digit."""


class _Source(NamedTuple):
    ds: xr.Dataset
    sector: str


def anthropogenic_posts(
    grids: Sequence[xr.Dataset],
    region: Region,
    *,
    period: Years | None = None,
    rows: Sequence[HumanPost] = HUMAN_POSTS,
    land_fraction: Land | None = None,
    min_coverage: float = MIN_COVERAGE,
) -> list[Post]:
    """Posts of human emissions over one region, Tg of the element a year, mean over the years of a period.

    grids : flux datasets of `talik.sources.emission_grids`, one a sector. Which post each goes to follows from its
        variable and the attribute `sector`; several sectors of one post are added up.
    region : weights of one region on any grid, or a name (see `talik.inventory.grid_totals.Region`).
    period : first and last year; by default all complete years of each post.
    rows : the posts that can be made, and their relative limits. To use others:
        ``dataclasses.replace(row, share=relative(10, 8, 12))``.
    land_fraction : needed for a region that covers land only, such as `talik.regions.land_fraction`: emissions of a
        shore cell then belong to its land.

    The posts stand in the order of `rows`. A part whose whole was not made is not said to be part of it.
    PostError: a dataset that no row takes, a total added to a sector, one sector twice, or a negative total.
    CoverageError: holes in the region or the period.
    """
    sources = [_source(ds) for ds in grids]
    taken = {id(s.ds) for row in rows for s in _matching(row, sources)}
    for source in sources:
        if id(source.ds) not in taken:
            known = "; ".join(f"{r.variable} {' '.join(r.sectors) or '(any sector)'}" for r in rows)
            raise PostError(
                f"no post takes {_name(source)}; known are: {known}. Leave it out, or add a HumanPost to rows."
            )
    made = [(row, found) for row in rows if (found := _matching(row, sources))]
    there = {(row.id, row.gas) for row, _ in made}
    posts = []
    for row, found in made:
        _check_sectors(row, found)
        totals = [
            yearly_totals(s.ds, row.variable, region, land_fraction=land_fraction, min_coverage=min_coverage)
            for s in found
        ]
        together = pd.concat([t.total for t in totals], axis=1, join="inner").sum(axis=1)
        mean, label = mean_of_years(together.rename(row.variable), period)
        if mean < 0.0:
            raise PostError(
                f"{row.id} ({row.gas}): the total is {mean:g} Tg yr-1; emissions are not negative."
            )
        number = row.share.times(mean)
        coverage = min(t.coverage for t in totals)
        posts.append(
            Post(
                id=row.id,
                gas=row.gas,
                mean=number.mean,
                low=number.low,
                high=number.high,
                unit=GASES[row.gas],
                region=totals[0].region,
                period=label,
                approach="anthropogenic",
                source="; ".join(dict.fromkeys(str(s.ds.attrs["source"]) for s in found)),
                part_of=row.part_of if (row.part_of, row.gas) in there else None,
                origin=row.origin,
                covers=row.covers,
                note=f"Limits are {100 * row.share.low:.0f} and {100 * row.share.high:.0f} % of the mean, chosen, not "
                f"computed. Data cover {100 * coverage:.1f} % of the region.",
            )
        )
    return posts


def _source(ds: xr.Dataset) -> _Source:
    """The dataset with its one sector."""
    names = [str(n) for n in ds.data_vars if n in FLUXES]
    if len(names) != 1 or "sector" not in ds[names[0]].attrs:
        raise PostError(
            f"expected a dataset with one flux and its attribute 'sector', as talik.sources.emission_grids reads "
            f"them; found {', '.join(names) or 'no flux'}."
        )
    return _Source(ds, str(ds[names[0]].attrs["sector"]))


def _matching(row: HumanPost, sources: Sequence[_Source]) -> list[_Source]:
    return [s for s in sources if row.variable in s.ds and (not row.sectors or s.sector in row.sectors)]


def _check_sectors(row: HumanPost, found: Sequence[_Source]) -> None:
    """PostError if adding would count something twice."""
    sectors = [s.sector for s in found]
    twice = sorted({s for s in sectors if sectors.count(s) > 1})
    if twice:
        raise PostError(f"{row.id} ({row.gas}): sector {twice[0]} is given twice; leave one out.")
    whole = [s for s in sectors if s in TOTALS]
    if whole and len(sectors) > 1:
        raise PostError(
            f"{row.id} ({row.gas}): {whole[0]} holds all sectors, so {', '.join(s for s in sectors if s != whole[0])} "
            "would be counted twice. Give the total or its parts."
        )


def _name(source: _Source) -> str:
    return f"{next(str(n) for n in source.ds.data_vars if n in FLUXES)} {source.sector}"
