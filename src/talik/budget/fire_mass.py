"""Fires betray mass of a gas that is labelled as mass of its element: their gases stand in a known ratio."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from talik.budget.findings import Finding
from talik.flux.table import mass_ratio
from talik.posts import Post
from talik.sources.gfed_factors import EmissionFactors

FIRE_TYPE = "BORF"
"""Boreal forest fires."""
PROCESSES = frozenset({"fire", "fire_below_ground"})
ELEMENT = {"CH4": "C", "N2O": "N"}


def per_co2_c(gas: str, fire_type: str = FIRE_TYPE, factors: EmissionFactors | None = None) -> float:
    """Mass of the element of `gas` (CH4-C, N2O-N) that fires emit per mass of CO2-C, by the factors of GFED4.1s."""
    table = factors or EmissionFactors()
    co2_c = table.of("CO2")[fire_type] * mass_ratio("CO2", "C")
    return table.of(gas)[fire_type] * mass_ratio(gas, ELEMENT[gas]) / co2_c


def gas_mass_findings(posts: Iterable[Post], known: Iterable[tuple[str, str]] = ()) -> list[Finding]:
    """Fire posts whose CH4 or N2O fits their CO2 as mass of the gas better than as mass of the element.

    It fits if it is nearer to the one than half the way to the other, by ratio.

    Looked at are posts that cover fire and nothing else and have CO2 under the same id. known : keys to pass over.
    """
    by_id: dict[str, dict[str, Post]] = {}
    for post in posts:
        if post.covers and post.covers <= PROCESSES:
            by_id.setdefault(post.id, {})[post.gas] = post
    passed = set(known)
    return [
        finding
        for gases in by_id.values()
        if "CO2" in gases
        for gas in ELEMENT
        if gas in gases and gases[gas].key not in passed
        if (finding := _finding(gases, gas)) is not None
    ]


def _finding(gases: Mapping[str, Post], gas: str) -> Finding | None:
    post, element = gases[gas], ELEMENT[gas]
    expected = per_co2_c(gas) * gases["CO2"].mean
    as_gas = expected * mass_ratio(element, gas)
    half_way = math.sqrt(as_gas / expected)
    if not as_gas / half_way < post.mean < as_gas * half_way:
        return None
    return Finding(
        id=post.id,
        gas=gas,
        part="mean",
        printed=post.mean,
        recomputed_low=expected / half_way,
        recomputed_high=expected * half_way,
        miss=post.mean - expected * half_way,
        where=post.where or post.source,
        explanation=(
            f"With {gases['CO2'].mean:.4g} Tg CO2-C and the emission factors of boreal forest fires (GFED4.1s) {gas} "
            f"is {as_gas:.3g} as mass of {gas}, but {expected:.3g} as {gas}-{element}: {post.mean:g} looks like mass "
            "of the gas under a unit of the element."
        ),
    )
