"""What a page says first: what all approaches say, whether they agree, whether the truth lies within."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from talik.compare.synthesis import Synthesis
from talik.report.context import cards
from talik.report.estimates import UNIT, Estimate, estimates, headline_region, regions_of, truths
from talik.report.numbers import decimals_for, interval, number, typeset
from talik.report.page_tables import shown
from talik.report.parts.maps import YEAR
from talik.report.parts.regions import synthesis
from talik.report.results import Results, content_of

GAS = {"nee": "CO₂", "fch4": "CH₄"}
_MOST = 6


def part(results: Results) -> dict[str, Any]:
    """Sentences, and cards: of the budget by gas, else of the approaches."""
    found = estimates(results)
    held = cards(results.budget) if results.budget is not None else []
    return {
        "answer": answer(results, found),
        "more": [*_of_what_land(results, found), *_by_region(results), *_told_by_truth(results)],
        "cards": held or _cards(results, found),
    }


def answer(results: Results, found: Sequence[Estimate]) -> list[str]:
    """The answer in one or two sentences, made of numbers."""
    region = headline_region(found)
    here = [e for e in found if e.region == region and e.whole]
    of_totals, means = len({e.approach for e in here}), synthesis(results)
    if len(here) < 2 or (not truths(here) and means is not None and means.mean.shape[1] > of_totals):
        return _from_means(results, means) or _from_budget(results)
    values = [e.mean for e in here]
    digits = decimals_for(max(values) - min(values))
    low, high = number(min(values), digits), number(max(values), digits)
    sides = {s: [e.label for e in here if e.side == s] for s in ("sink", "source", "either")}
    when = f" in {results.years}" if results.years else ""
    said = [
        f"{_count(len(here), 'estimate')} of {len({e.approach for e in here})} approaches put the net "
        f"{GAS[results.variable]} exchange of {_place(region)}{when} between {low} and {high} {UNIT}; {_sides(sides)}."
    ]
    agree = _agree(here, digits)
    truth = truths(here).get(str(region))
    if truth is None:
        return [*said, agree]
    inside = [e for e in here if e.inside]
    return [
        *said,
        f"{agree} The truth, known here, is {number(truth, digits)} {UNIT}: it lies within the limits of "
        f"{len(inside)} of {len(here)}{_but([e.label for e in here if e.inside is False])}.",
    ]


def _place(region: str | None) -> str:
    return "the whole domain" if region == "domain" else str(region)


def _sides(sides: dict[str, list[str]]) -> str:
    words = {"sink": "a sink", "source": "a source", "either": "either sink or source within its limits"}
    told = [(len(names), words[side]) for side, names in sides.items() if names]
    if len(told) == 1:
        return f"all say {told[0][1]}" if told[0][0] > 1 else f"it says {told[0][1]}"
    return ", ".join(f"{n} say{'s' * (n == 1)} {what}" for n, what in told)


def _agree(here: Sequence[Estimate], digits: int) -> str:
    limits = [e.limits for e in here if e.limits is not None]
    if len(limits) < 2:
        return "Limits to compare are not given."
    low, high = max(a for a, _ in limits), min(b for _, b in limits)
    if low <= high:
        return f"All limits share the range {interval(low, high, digits)} {UNIT}."
    apart = sum(a[1] < b[0] or b[1] < a[0] for i, a in enumerate(limits) for b in limits[i + 1 :])
    pairs = len(limits) * (len(limits) - 1) // 2
    return f"No value lies within all limits: {apart} of {pairs} pairs do not overlap."


def _but(names: Sequence[str]) -> str:
    if not names:
        return ""
    some = ", ".join(names[:_MOST]) + (f" and {len(names) - _MOST} more" if len(names) > _MOST else "")
    return f", not of {some}"


def _from_means(results: Results, means: Synthesis | None) -> list[str]:
    """The same from means of regions, where these are of more approaches than totals are."""
    if means is None:
        return []
    unit = YEAR[results.variable]
    table = means.mean
    values = table.to_numpy(float)
    shared = table.index[(np.isfinite(values).sum(axis=1) > 1)]
    same = [r for r in shared if len(set(np.sign(table.loc[r].dropna()))) == 1]
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    when = f" in {results.years}" if results.years else ""
    said = [
        f"{_count(table.shape[1], 'approach', 'es')} give a net {GAS[results.variable]} exchange{when} between "
        f"{shown(low)} and {shown(high)} {unit}, by region."
    ]
    middle = means.regions["median"]
    if len(shared):
        where = f"{len(shared)} region{'s' * (len(shared) > 1)} with several approaches"
        said.append(
            f"In {len(same)} of {where} all agree on sink or source; medians run from {shown(float(middle.min()))} to "
            f"{shown(float(middle.max()))} {unit}."
        )
    return said


def _from_budget(results: Results) -> list[str]:
    """The first gas of the budget, both sides."""
    held = cards(results.budget) if results.budget is not None else []
    return [
        f"{c['gas']}, {c['unit']}: "
        + "; ".join(f"{t['label'].lower()} {t['mean']} {t['range']}" for t in c["totals"])
        + f". {c['sentence']}"
        for c in held[:1]
    ]


def _of_what_land(results: Results, found: Sequence[Estimate]) -> list[str]:
    """How much land the first number of the upscaling is of, and how much of it is unlike the sites."""
    if results.upscaling is None:
        return []
    region = headline_region([e for e in found if e.approach == "upscaling"])
    with content_of("upscaling.json"):
        held = [f for f in results.upscaling["fluxes"].values() if f["variable"] == results.variable]
        row = held[0]["regions"].get(region) if held else None
        if row is None:
            return []
        told = f"Upscaling of {_place(region)}: {row['area_km2'] / 1e6:.1f} million km² of land"
        if (
            held[0]["applicability"] is not None
            and held[0]["applicability"]["regions"].get(region) is not None
        ):
            share = 100 * (1 - held[0]["applicability"]["regions"][region])
            told += f", {share:.0f} % of it (in area and time) unlike all sites"
    whole = (results.answer.get("upscaling") or {}).get("land_fraction") is None
    return [told + ("; cells count whole, for no land_fraction was given." if whole else ".")]


def _by_region(results: Results) -> list[str]:
    """Of how many totals the truth lies within, over the regions that the page shows."""
    every = estimates(results)
    named = regions_of(every)
    found = [e for e in every if e.inside is not None and e.region in named]
    if not found:
        return []
    inside = sum(bool(e.inside) for e in found)
    return [
        f"Over {len({e.region for e in found})} regions the truth lies within {inside} of {len(found)} "
        f"intervals ({100 * inside / len(found):.0f} %)."
    ]


def _told_by_truth(results: Results) -> list[str]:
    if results.truth is None:
        return []
    with content_of("truth.json"):
        return [typeset(str(sentence)) for sentence in results.truth.get("summary", [])]


def _cards(results: Results, found: Sequence[Estimate]) -> list[dict[str, Any]]:
    """A card of the headline region's totals, else of medians over approaches by region."""
    region = headline_region(found)
    here = [e for e in found if e.region == region][:_MOST]
    if here:
        return [
            {
                "gas": e.label,
                "unit": UNIT,
                "totals": [
                    {
                        "label": _place(region),
                        "mean": number(e.mean, _digits(e)),
                        "range": "" if e.limits is None else interval(*e.limits, _digits(e)),
                    }
                ],
                "sentence": "",
            }
            for e in here
        ]
    means = synthesis(results)
    if means is None:
        return []
    return [
        {
            "gas": str(region),
            "unit": YEAR[results.variable],
            "totals": [
                {
                    "label": f"median of {int(row['n'])} approaches",
                    "mean": shown(float(row["median"])),
                    "range": f"({shown(float(row['low']))} to {shown(float(row['high']))})",
                }
            ],
            "sentence": "",
        }
        for region, row in means.regions.iterrows()
        if np.isfinite(row["median"])
    ]


def _digits(e: Estimate) -> int:
    return 0 if e.limits is None else decimals_for(e.limits[1] - e.limits[0])


def _count(n: int, what: str, plural: str = "s") -> str:
    words = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
    return f"{words[n] if n < len(words) else n} {what}{plural if n != 1 else ''}"
