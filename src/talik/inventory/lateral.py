"""Lateral fluxes of carbon and nitrogen from land to the sea, and CH4 from geological seeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field

from talik.config import Frozen
from talik.errors import InputError, PostError
from talik.flux.table import mass_ratio
from talik.inventory.limits import Array, Limited, draws_of, of_draws
from talik.posts.post import GASES, Post, check_unique

RIVERINE, COASTAL = "lateral.riverine", "lateral.coastal_erosion"
PRINTED_SUMS: Mapping[str, tuple[Limited, float]] = MappingProxyType(
    {"C": (Limited(94.0, 79.0, 111.0), 1.0), "N": (Limited(2.6, 1.9, 3.6), 0.1)}
)
"""Lateral loss in Hugelius et al. (2024), Tg yr-1, and the unit of its last printed digit."""
EXPECTED_RATIOS: Mapping[str, float] = MappingProxyType({RIVERINE: 80.0, COASTAL: 10.0})
"""C:N by mass of the published posts, rounded to one digit."""
RATIO_TOLERANCE = 0.15
"""Relative, chosen here: N is printed with two digits."""
_KM_KG_IN_TG = 1e-6
GEOLOGICAL_TG_CH4 = Limited(2.0, 1.6, 2.4)
"""Geological seeps around the Arctic, Tg CH4 yr-1 (Walter Anthony et al. 2012, Nat. Geosci. 5, 419)."""


class ErosionSettings(Frozen):
    """How limits of coastal erosion are propagated."""

    draws: Annotated[int, Field(ge=100)] = 10_000
    seed: int = 0
    between_segments: Literal["correlated", "independent"] = "correlated"
    """Whether one segment's rate, height, carbon and C:N are off as the others' are. Chosen here: maps and mean soils
    err in the same direction everywhere, which gives the wider limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoastSegment:
    """A stretch of eroding coast: length, rate of retreat, height of the bluff, and what a m3 of it holds.

    `carbon_kg_m3` counts a m3 of bluff with its ice. `carbon_to_nitrogen` is by mass.
    """

    length_km: float
    retreat_m_yr: Limited
    height_m: Limited
    carbon_kg_m3: Limited
    carbon_to_nitrogen: Limited


class Erosion(NamedTuple):
    """Carbon and nitrogen that coasts lose to the sea, Tg yr-1, positive."""

    carbon: Limited
    nitrogen: Limited


def coastal_erosion(segments: Sequence[CoastSegment], settings: ErosionSettings | None = None) -> Erosion:
    """Loss by erosion: sum over segments of length x retreat x height x carbon density, and of that over C:N.

    The factors of a segment, and 1 / C:N, are drawn independently of each other, so that means are products of the
    means but for the scatter of the draws; limits are those of the draws. A tail below 0 beyond the limits is cut off.
    InputError: no segments, a negative number, or a C:N whose limits are not above 0.
    """
    options = settings or ErosionSettings()
    if not segments:
        raise InputError("coastal_erosion: expected at least one segment; found none.")
    carbon, nitrogen = np.zeros(options.draws), np.zeros(options.draws)
    for i, segment in enumerate(segments):
        _check_segment(segment, i)
        stream = f" {i}" if options.between_segments == "independent" else ""
        lost = np.full(options.draws, segment.length_km * _KM_KG_IN_TG)
        for name in ("retreat_m_yr", "height_m", "carbon_kg_m3"):
            lost *= _draws(getattr(segment, name), f"coast {name}{stream}", options)
        mean, low, high = segment.carbon_to_nitrogen
        share = Limited(1.0 / mean, 1.0 / high, 1.0 / low)
        carbon += lost
        nitrogen += lost * _draws(share, f"coast nitrogen{stream}", options)
    return Erosion(of_draws(carbon), of_draws(nitrogen))


def lateral_posts(
    losses: Mapping[str, Mapping[Literal["C", "N"], Limited]],
    *,
    region: Mapping[str, str],
    source: Mapping[str, str],
    period: str = "2000-2020",
) -> list[Post]:
    """Posts of lateral loss of carbon and nitrogen, Tg yr-1, positive for a loss from land.

    losses : post id (`RIVERINE`, `COASTAL` or another) to C and N. region, source : by post id. The domains differ:
    rivers are estimated for all land north of 60 N, coasts for the permafrost region.
    PostError: a region or source is missing.
    """
    posts = []
    for name, both in losses.items():
        if name not in region or name not in source:
            raise PostError(f"lateral_posts: {name!r} has no region or no source; state both.")
        for gas, number in both.items():
            posts.append(
                Post(
                    id=name,
                    gas=gas,
                    mean=number.mean,
                    low=number.low,
                    high=number.high,
                    unit=GASES[gas],
                    region=region[name],
                    period=period,
                    approach="lateral",
                    source=source[name],
                    covers=frozenset({"lateral"}),
                )
            )
    return posts


class LateralCheck(NamedTuple):
    """One number of lateral posts against print: what it is, what the posts give, what is printed, and agreement."""

    what: str
    found: float
    printed: float
    agrees: bool


def check_lateral(
    posts: Iterable[Post],
    sums: Mapping[str, tuple[Limited, float]] = PRINTED_SUMS,
    ratios: Mapping[str, float] = EXPECTED_RATIOS,
    ratio_tolerance: float = RATIO_TOLERANCE,
) -> list[LateralCheck]:
    """C:N of each post, and sums of means, lower and upper limits over all posts, against what is printed.

    A sum agrees if it is off by no more than rounding can explain: half a unit of the last digit of each post
    (`Post.rounding`) and of the print. PostError: C or N of a post is missing.
    """
    known = check_unique([p for p in posts if p.approach == "lateral" and p.gas in sums])
    names = list(dict.fromkeys(name for name, _ in known))
    for name in names or ratios:
        for gas in ("C", "N"):
            if (name, gas) not in known:
                raise PostError(f"check_lateral: no post {name!r} of {gas}; expected C and N of each.")
    checks = []
    for name in (n for n in names if n in ratios):
        ratio = known[name, "C"].mean / known[name, "N"].mean
        agrees = abs(ratio - ratios[name]) <= ratio_tolerance * ratios[name]
        checks.append(LateralCheck(f"{name} C:N", ratio, ratios[name], agrees))
    for gas, (printed, unit) in sums.items():
        for k, which in enumerate(("mean", "low", "high")):
            parts = [known[name, gas] for name in names]
            found = sum(getattr(p, which) for p in parts)
            slack = 0.5 * (unit + sum(p.rounding[k] for p in parts))
            agrees = abs(found - printed[k]) <= slack * (1.0 + 1e-9)
            checks.append(LateralCheck(f"sum of {gas}, {which}", found, printed[k], agrees))
    return checks


def geological_post(
    gas_mass: Limited = GEOLOGICAL_TG_CH4,
    *,
    region: str = "northern permafrost region",
    period: str = "2000-2020",
    source: str = "Walter Anthony et al. 2012",
) -> Post:
    """Post of CH4 from geological seeps, from Tg of CH4 a year: by default 2 (1.6, 2.4), which is 1.5 (1.2, 1.8) Tg
    CH4-C. Its carbon is fossil. Seeps of CO2 and N2O are not known."""
    number = gas_mass.times(mass_ratio("CH4", "C"))
    return Post(
        id="inventory.geological",
        gas="CH4",
        mean=number.mean,
        low=number.low,
        high=number.high,
        unit=GASES["CH4"],
        region=region,
        period=period,
        approach="inventory",
        source=source,
        origin="fossil",
        covers=frozenset({"geological"}),
    )


def _check_segment(segment: CoastSegment, index: int) -> None:
    least = {
        "length_km": segment.length_km,
        "retreat_m_yr": segment.retreat_m_yr.low,
        "height_m": segment.height_m.low,
        "carbon_kg_m3": segment.carbon_kg_m3.low,
        "carbon_to_nitrogen": segment.carbon_to_nitrogen.low,
    }
    wrong = [f"{name} {value:g}" for name, value in least.items() if not value >= 0.0]
    if wrong or not least["carbon_to_nitrogen"] > 0.0:
        found = ", ".join(wrong) or f"carbon_to_nitrogen {least['carbon_to_nitrogen']:g}"
        raise InputError(
            f"coast segment {index}: {found} (lower limits); expected numbers of 0 or more, and C:N above 0."
        )


def _draws(number: Limited, name: str, options: ErosionSettings) -> Array:
    """Draws, none below 0."""
    return np.maximum(draws_of(number, options.draws, options.seed, name), 0.0)
