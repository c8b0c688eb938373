"""The inventory of a project, end to end: areas, densities, fluxes, other estimates beside, budget posts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from talik.errors import InputError
from talik.inventory.added import added_posts
from talik.inventory.areas import checked_areas, class_weight, cover_areas, published_areas
from talik.inventory.class_sites import Density, sampling_bias, site_places
from talik.inventory.classes import LAND
from talik.inventory.estimates import densities, monthly_rows, read_cover, season_rows
from talik.inventory.land_cover import ClassFlux, class_flux, posts
from talik.inventory.limits import Limited
from talik.inventory.season import YEAR_DAYS
from talik.inventory.settings import GrowingSeason, InventorySettings, Months
from talik.inventory.settings_base import Gas, Resolve, period_years
from talik.inventory.synthesis import SynthesisSettings, synthesis
from talik.posts import COMBINATIONS, Post, Recipe, Term, evaluate
from talik.posts.rows import row_of
from talik.sources.site_table import read_sites
from talik.sources.wetland_ch4 import read_wetland_ch4

TOTAL = "inventory.land_cover"
DRAWS, CHECK_DRAWS = 100_000, 1_000
"""Of the limits of sums of classes; of densities when input is only checked."""


def run(settings: InventorySettings, resolve: Resolve, seed: int) -> dict[str, Any]:
    """Everything that the inventory of a project says, as JSON values; `posts` are rows of a posts file.

    Every wrong input is a TalikError that names it; nothing is written.
    """
    areas = class_areas(settings, resolve)
    by_gas: dict[str, Any] = {}
    made: list[Post] = []
    for gas, sources in settings.densities.items():
        fluxes = _fluxes(gas, densities(gas, sources, settings, resolve, seed), areas, seed)
        mine = posts(fluxes, settings.region, settings.period)
        made += mine
        by_gas[gas] = {
            "classes": [flux.to_dict() for flux in fluxes],
            "total": _total(mine, gas, seed),
        }
        for name, others in settings.beside.get(gas, {}).items():
            other = _fluxes(gas, densities(gas, others, settings, resolve, seed), areas, seed)
            by_gas[gas].setdefault("beside", {})[name] = {
                "classes": [flux.to_dict() for flux in other],
                "total": _total(posts(other, settings.region, settings.period), gas, seed),
            }
    beside_land, told = added_posts(
        settings.added, settings.region, settings.period, settings.area_mkm2, resolve, seed
    )
    return {
        "region": settings.region,
        "period": settings.period,
        "area_mkm2": settings.area_mkm2,
        "area_share": sum(area.mean for area in areas.values()) / settings.area_mkm2,
        "areas_mkm2": {name: area._asdict() for name, area in areas.items()},
        "gases": by_gas,
        "sampling": _sampling(settings, resolve),
        "synthesis": _synthesis(settings, resolve, seed),
        "added": {"posts": [row_of(post) for post in beside_land], **told},
        "posts": [_row(post) for post in (*made, *beside_land)],
    }


def _row(post: Post) -> dict[str, Any]:
    """The post as a row; uplands and wetlands are audited as the sums of their classes."""
    parts = [land.post for land in LAND.values() if post.id == f"inventory.{land.group}"]
    return {**row_of(post), **({"sum_of": parts} if parts else {})}


def check(settings: InventorySettings, resolve: Resolve, seed: int) -> None:
    """Read every input and compute with few draws, or raise the error of what is wrong."""
    run(settings.model_copy(update={"draws": CHECK_DRAWS}), resolve, seed)


def class_areas(settings: InventorySettings, resolve: Resolve) -> dict[str, Limited]:
    """Areas of the classes, million km2, checked against the domain."""
    given = settings.areas
    if given.classes is not None:
        areas, where = {name: Limited(*limits) for name, limits in given.classes.items()}, "areas.classes"
    elif given.cover is not None:
        areas, where = cover_areas(read_cover(settings, resolve), given.rockland), given.cover
    else:
        areas, where = published_areas(given.wetland_limits), "published areas"
    checked = checked_areas(areas, settings.area_mkm2, where)
    if missing := [name for name in LAND if name not in checked]:
        raise InputError(f"{where}: no area of {', '.join(missing)}; give 0 for a class that is not there.")
    return checked


def _fluxes(
    gas: Gas, found: Mapping[str, Density], areas: Mapping[str, Limited], seed: int
) -> list[ClassFlux]:
    if missing := [LAND[name].name for name in LAND if name not in found and areas[name].high > 0.0]:
        raise InputError(
            f"inventory.densities.{gas}: no source has {', '.join(missing)}. Add one that has, for example "
            "published. (A class with fewer than fewest_sites sites, or without some month, is left to the next.)"
        )
    nothing = Limited(0.0, 0.0, 0.0)
    size = next(iter(found.values())).draws.size
    empty = {name: Density(name, gas, nothing, np.zeros(size), "no area") for name in LAND}
    return [class_flux(areas[name], found.get(name, empty[name]), seed) for name in LAND]


def _total(mine: Sequence[Post], gas: Gas, seed: int) -> dict[str, Any]:
    """Sum of the classes, Tg yr-1, with limits under each assumption of dependence that can be used."""
    classes = [post for post in mine if post.id in {land.post for land in LAND.values()}]
    terms = tuple(Term(post.id, gas) for post in classes)
    done = evaluate(mine, [Recipe(id=TOTAL, gas=gas, op="sum", terms=terms)], seed=seed, draws=DRAWS)
    limits = {
        name: [done.limits[name][TOTAL, gas].low, done.limits[name][TOTAL, gas].high]
        for name in COMBINATIONS
        if name in done.limits
    }
    return {
        "mean": done.posts[TOTAL, gas].mean,
        "unit": done.posts[TOTAL, gas].unit,
        **limits,
        **({"unavailable": dict(done.unavailable)} if done.unavailable else {}),
    }


def _synthesis(settings: InventorySettings, resolve: Resolve, seed: int) -> dict[str, Any] | None:
    """Statistics of the CH4 of wetland classes by season and year; None without a table of growing-season means."""
    source = _ch4_sites(settings)
    if source is None:
        return None
    sites = read_wetland_ch4(resolve(source.growing_season)).table
    sites = sites.assign(site=sites["site_id"], ch4_annual=sites["ch4_annual"] * (1e3 / YEAR_DAYS))
    wanted = SynthesisSettings(references=("PEB",), resamples=max(settings.draws, 1000), seed=seed)
    return {
        name: synthesis(
            sites.dropna(subset=[column]).rename(columns={column: "flux"})[
                ["flux", "class", "site", "dataset"]
            ],
            wanted,
        ).to_dict()
        for name, column in (("growing_season", "ch4_mean"), ("annual", "ch4_annual"))
    }


def _ch4_sites(settings: InventorySettings) -> GrowingSeason | None:
    return next((s for s in settings.densities.get("CH4", ()) if isinstance(s, GrowingSeason)), None)


def _sampling(settings: InventorySettings, resolve: Resolve) -> dict[str, list[dict[str, Any]]]:
    """Where the sites of each class are: latitude and permafrost of CO2 sites; climate of CH4 sites against that of the
    class's area, with a cover grid that has temperatures."""
    out: dict[str, list[dict[str, Any]]] = {}
    for gas, sources in settings.densities.items():
        for source in sources:
            if isinstance(source, Months):
                years = source.years or period_years(settings.period)
                rows = monthly_rows(read_sites(resolve(source.months)), gas, source, years)
                out.setdefault(gas, []).extend(site_places(rows))
    wetlands = _ch4_sites(settings)
    if wetlands is None or settings.areas.cover is None:
        return out
    cover = read_cover(settings, resolve)
    if "tair_annual" not in cover:
        return out
    rows = season_rows(read_wetland_ch4(resolve(wetlands.growing_season)))
    by_cell = cover["tair_annual"].to_series().set_axis(cover["cell_id"].to_numpy())
    rows = rows.assign(tair=rows["cell_id"].map(by_cell).astype(np.float64)).dropna(subset=["tair"])
    known = cover["tair_annual"].notnull().to_numpy()
    weight = np.stack([class_weight(cover, name, settings.areas.rockland)[known] for name in LAND])
    return out | {"climate": sampling_bias(rows, cover["tair_annual"].to_numpy()[known], weight, list(LAND))}
