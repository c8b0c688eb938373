"""Budget posts of an ensemble of inversions: its periods, the whole, fire."""

from __future__ import annotations

import math

from talik.ensembles.inversions import FEWEST, FIRES, PERIODS, RECIPES, InversionEnsemble
from talik.errors import PostError
from talik.flux.table import flux_var
from talik.posts.post import GASES, Post

_FIRE = frozenset({"fire", "fire_below_ground"})
_LAND = frozenset({"vegetation_soil", "winter", "abrupt_thaw", "inland_waters"}) | _FIRE
_HUMAN = frozenset({"fossil_industrial", "agriculture_waste"})


def inversion_posts(ensemble: InversionEnsemble, region: str, *, label: str = "") -> list[Post]:
    """Budget posts of one region: each period and the whole, Tg of the element a year, up positive.

    The decades of `PERIODS` are called as in the published budget, ``inversion.first_decade`` and
    ``inversion.second_decade``, other periods ``inversion.2000-2004``; the whole is ``inversion.natural``, or
    ``inversion.total`` if human emissions are in it. Fire makes one post, ``inversion.fire``, part of
    ``inversion.natural``. label : how the posts call the region.

    PostError: no such region, or no limits because there is one group.
    """
    rows = ensemble.summary[ensemble.summary["region"] == region]
    if rows.empty:
        known = ", ".join(dict.fromkeys(ensemble.summary["region"]))
        raise PostError(f"no region {region!r} in the ensemble; choose one of: {known}.")
    fire = ensemble.variable in FIRES
    upward = flux_var(ensemble.variable).to_atmosphere
    whole = "inversion.fire" if fire else "inversion.natural" if ensemble.natural else "inversion.total"
    covers = _FIRE if fire else _LAND - _FIRE if ensemble.variable == "nee" else _LAND
    if ensemble.gas == "CH4" and not fire:
        covers = covers | {"geological"}
    if not ensemble.natural:
        covers = covers | _HUMAN
    published = ensemble.periods == PERIODS[ensemble.gas]
    posts = []
    for at, row in enumerate(rows.to_dict("records")):
        last = at == len(rows) - 1
        if fire and not last:
            continue
        if not (math.isfinite(row["low"]) and math.isfinite(row["high"])):
            raise PostError(
                f"{region}, {row['period']}: {row['n']} group, so there are no limits. Give more systems, or make the "
                "post from the summary with limits of your own."
            )
        decade = row["period"] if last or not published else ("first_decade", "second_decade")[at]
        low, high = sorted((upward * row["low"], upward * row["high"]))
        posts.append(
            Post(
                id=whole if last else f"inversion.{decade}",
                gas=ensemble.gas,
                mean=upward * row["mean"],
                low=low,
                high=high,
                unit=GASES[ensemble.gas],
                region=label or region,
                period=row["period"],
                approach="inversion",
                source=ensemble.sources,
                part_of="inversion.natural" if fire else None,
                origin="non-fossil" if ensemble.gas == "CH4" and ensemble.natural else None,
                covers=covers,
                members=int(row["n"]),
                note=f"{RECIPES[ensemble.recipe]}, n = {row['n']}"
                + ("; fewer than 4 groups" if row["n"] < FEWEST else ""),
            )
        )
    return posts
