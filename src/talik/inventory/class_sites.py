"""Annual flux densities of land-cover classes from measurements at sites, bootstrapped over sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from talik.errors import InputError
from talik.inventory.limits import Limited, draws_of, of_draws
from talik.inventory.season import ClassSeason, year_of_growing_season
from talik.rng import named_rng

Array = npt.NDArray[np.float64]

MONTHS = tuple(range(1, 13))
MOST_TRIES = 50
"""Times that a bootstrap draw without some month is drawn again."""


@dataclass(frozen=True, eq=False)
class Density:
    """Annual flux density of a land-cover class, g m-2 yr-1 of the element, positive to the atmosphere.

    draws : (draw,) of its distribution. sites, values : what it rests on, 0 where it was given as such.
    """

    land: str
    gas: str
    value: Limited
    draws: Array
    source: str
    sites: int = 0
    values: int = 0
    notes: tuple[str, ...] = ()
    holds_area: bool = False
    """Whether the limits are those of a flux, so that the area's are in them."""


def resampled_means(values: pd.Series, sites: pd.Series, draws: int, rng: np.random.Generator) -> Array:
    """Means (draw,) of values over sites that are drawn with replacement; a site brings all of its values."""
    grouped = values.groupby(sites, sort=True)
    total, count = grouped.sum().to_numpy(), grouped.size().to_numpy(dtype=np.float64)
    times = rng.multinomial(total.size, np.full(total.size, 1.0 / total.size), size=draws)
    return np.asarray((times @ total) / (times @ count))


def of_growing_season(
    rows: pd.DataFrame,
    land: str,
    gas: str,
    season: ClassSeason,
    draws: int,
    seed: int,
    shares: Mapping[str, float] | None = None,
) -> Density:
    """A class from growing-season means of its sites.

    rows : `site`, `cover` (BAWLD code) and `flux`, g m-2 d-1 of the element. The mean is over rows, sites are drawn.
    shares : area of each BAWLD class, any unit; then the class is the area-weighted mean of these, else all rows
    are pooled. InputError: no rows, or a BAWLD class of `shares` without any.
    """
    _require(rows, land, gas)
    rng = named_rng(seed, f"{gas} of {land} in the growing season")
    parts = {str(code): part for code, part in rows.groupby("cover", sort=True)}
    if shares is None:
        daily = resampled_means(rows["flux"], rows["site"], draws, rng)
        mean = float(rows["flux"].mean())
    else:
        if missing := [code for code, area in shares.items() if area > 0.0 and code not in parts]:
            raise InputError(
                f"{gas} of {land}: no measurements in {', '.join(missing)}, which has area. Pool the rows, or add some."
            )
        weight = np.array([shares.get(code, 0.0) for code in parts])
        means = [resampled_means(part["flux"], part["site"], draws, rng) for part in parts.values()]
        daily = np.average(means, axis=0, weights=weight)
        mean = float(np.average([part["flux"].mean() for part in parts.values()], weights=weight))
    annual = year_of_growing_season(daily, season)
    return Density(
        land,
        gas,
        of_draws(annual, float(year_of_growing_season(mean, season))),
        annual,
        "growing-season means of sites",
        int(rows["site"].nunique()),
        len(rows),
        (_told(land, season) + ("" if shares is None else "; BAWLD classes weighted by area"),),
    )


def of_months(rows: pd.DataFrame, land: str, gas: str, draws: int, seed: int) -> Density:
    """A class as the sum of its twelve monthly means, each over sites of their mean of that month.

    rows : `site_id`, `month` and `flux`, g m-2 month-1 of the element. Sites are drawn for all months together. A draw
    without some month is drawn again. InputError: a month without any site (a class needs the whole year).
    """
    _require(rows, land, gas)
    table = rows.groupby(["site_id", "month"])["flux"].mean().unstack("month").reindex(columns=list(MONTHS))
    if lacking := [str(m) for m in MONTHS if table[m].isna().all()]:
        raise InputError(
            f"{gas} of {land}: no site has month {', '.join(lacking)}; a year needs all twelve. Leave the class to "
            "another source."
        )
    held = table.notna().to_numpy(dtype=np.float64)
    flux = table.fillna(0.0).to_numpy()
    rng, sites = named_rng(seed, f"{gas} of {land} by months"), len(table)
    times = rng.multinomial(sites, np.full(sites, 1.0 / sites), size=draws)
    lost = 0
    for _ in range(MOST_TRIES):
        bad = ((times @ held) == 0).any(axis=1)
        if not bad.any():
            break
        lost += int(bad.sum())
        times[bad] = rng.multinomial(sites, np.full(sites, 1.0 / sites), size=int(bad.sum()))
    else:
        raise InputError(
            f"{gas} of {land}: some month is held by so few of {sites} sites that draws of sites rarely have it. Leave "
            "the class to another source."
        )
    annual = ((times @ flux) / (times @ held)).sum(axis=1)
    fewest = int(held.sum(axis=0).min())
    whole = table.dropna()
    notes = [
        f"{land}: at least {fewest} of {sites} {gas} sites in every month; {len(whole)} hold all twelve"
        + (f", whose mean year is {whole.sum(axis=1).mean():.3g} g m-2" if len(whole) else "")
    ]
    if lost:
        notes.append(
            f"{land}: {lost} draws of {gas} sites without some month were drawn again; limits are too narrow"
        )
    return Density(
        land,
        gas,
        of_draws(annual, float((flux.sum(axis=0) / held.sum(axis=0)).sum())),
        annual,
        "monthly means of sites",
        sites,
        int(rows["flux"].notna().sum()),
        tuple(notes),
    )


def of_whole_years(rows: pd.DataFrame, land: str, gas: str, draws: int, seed: int) -> Density:
    """A class as the mean year of the sites that hold all twelve months (each the mean of its years).

    rows : as for `of_months`. InputError: no such site.
    """
    _require(rows, land, gas)
    table = rows.groupby(["site_id", "month"])["flux"].mean().unstack("month").reindex(columns=list(MONTHS))
    whole = table.dropna().sum(axis=1)
    if whole.empty:
        raise InputError(
            f"{gas} of {land}: no site holds all twelve months. Leave the class to another source."
        )
    sites = pd.Series(whole.index, index=whole.index)
    annual = resampled_means(whole, sites, draws, named_rng(seed, f"{gas} of {land} in whole years"))
    mean = float(whole.mean())
    source = "years of sites that hold all months"
    return Density(land, gas, of_draws(annual, mean), annual, source, len(whole), len(whole))


def of_annual(rows: pd.DataFrame, land: str, gas: str, draws: int, seed: int) -> Density:
    """A class from annual fluxes of its sites. rows : `site` and `flux`, g m-2 yr-1 of the element."""
    _require(rows, land, gas)
    annual = resampled_means(rows["flux"], rows["site"], draws, named_rng(seed, f"annual {gas} of {land}"))
    value = of_draws(annual, float(rows["flux"].mean()))
    return Density(land, gas, value, annual, "annual fluxes of sites", int(rows["site"].nunique()), len(rows))


def of_summary(
    land: str, gas: str, daily: Limited, season: ClassSeason, draws: int, seed: int, source: str
) -> Density:
    """A class from a printed growing-season mean with its 95 % limits, g m-2 d-1 of the element."""
    values = year_of_growing_season(draws_of(daily, draws, seed, f"{gas} of {land}, {source}"), season)
    return Density(
        land,
        gas,
        of_draws(values, float(year_of_growing_season(daily.mean, season))),
        values,
        source,
        notes=(_told(land, season),),
    )


def sampling_bias(
    sites: pd.DataFrame, temperature: Array, weight: Array, lands: Sequence[str]
) -> list[dict[str, float | str | int]]:
    """How the climate of the sites of each class differs from that of its area.

    sites : `site`, `land` and `tair`, degC, mean annual, a row a measurement. temperature : (cell,) degC; weight :
    (class, cell) area of each of `lands`. For each class with sites and area: means over sites and area, their
    difference, and the share of the area that lies within the range of the sites.
    """
    out: list[dict[str, float | str | int]] = []
    by_site = sites.groupby(["land", "site"])["tair"].mean()
    for land, area in zip(lands, weight, strict=True):
        if land not in by_site.index.get_level_values("land") or not area.sum() > 0.0:
            continue
        mine = by_site.loc[land].to_numpy()
        of_area = float(np.average(temperature, weights=area))
        inside = (temperature >= mine.min()) & (temperature <= mine.max())
        out.append(
            {
                "land": land,
                "sites": int(mine.size),
                "sites_degC": float(mine.mean()),
                "area_degC": of_area,
                "difference_K": float(mine.mean()) - of_area,
                "area_within_sites": float(area[inside].sum() / area.sum()),
            }
        )
    return out


def site_places(rows: pd.DataFrame) -> list[dict[str, float | str | int]]:
    """Where the sites of each class are. rows : `site_id`, `land`, `lat` and `frozen` (1 where permafrost is reported).

    For each class: sites, their mean and southernmost latitude, and the share of them that report permafrost.
    """
    sites = rows.groupby(["land", "site_id"])[["lat", "frozen"]].mean().groupby("land")
    return [
        {
            "land": str(land),
            "sites": len(mine),
            "mean_latitude": float(mine["lat"].mean()),
            "southernmost": float(mine["lat"].min()),
            "permafrost_share": float((mine["frozen"] > 0.0).mean()),
        }
        for land, mine in sites
    ]


def _told(land: str, season: ClassSeason) -> str:
    return (
        f"{land}: growing season of {season.days:g} d, {100 * season.outside:g} % of the year's flux outside it; "
        "limits hold no error of the season"
    )


def _require(rows: pd.DataFrame, land: str, gas: str) -> None:
    if rows.empty:
        raise InputError(f"{gas} of {land}: no measurements. Leave the class to another source.")
    if not np.isfinite(rows["flux"]).all():
        raise InputError(
            f"{gas} of {land}: {int((~np.isfinite(rows['flux'])).sum())} of {len(rows)} fluxes are not finite."
        )
