"""The published derived numbers as claims for the audit (data/reccap2_printed.yaml)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from talik.budget.audit import PARTS, Claim, Printed, printed_parts
from talik.budget.fire_mass import per_co2_c
from talik.budget.gwp import Metric
from talik.budget.reccap2 import Reccap2Options
from talik.posts import Term
from talik.posts.published import components
from talik.posts.rows import printed_unit
from talik.yamlio import parse_yaml

FILE = "reccap2_printed.yaml"


@cache
def constants() -> dict[str, float]:
    """The named weights of the claims file."""
    options = Reccap2Options()
    ch4 = Metric(100, 29.8).weight("CH4")
    return {
        "half": 0.5,
        "area kept": 1 - options.overlap_area_mkm2 / options.total_area_mkm2,
        "10 of 21 years": 10 / 21,
        "11 of 21 years": 11 / 21,
        "10 of 18 years": 10 / 18,
        "8 of 18 years": 8 / 18,
        "GWP-100 29.8": ch4,
        "per GWP-100 29.8": 1 / ch4,
        "GWP-100 N2O": Metric(100).weight("N2O"),
        "fire CH4-C per CO2-C": per_co2_c("CH4"),
        "fire N2O-N per CO2-C": per_co2_c("N2O"),
    }


def claims() -> list[Claim]:
    """Every derived number of the published budget, with its inputs."""
    path = files("talik.budget") / "data" / FILE
    numbers = {p.key: printed_parts(p) for p in components()}
    out = []
    for entry in parse_yaml(path.read_text(encoding="utf-8"), FILE):
        gases = entry["gas"] if isinstance(entry["gas"], list) else [entry["gas"]]
        for gas in gases:
            out.append(_claim(entry, gas, numbers))
    return out


def _claim(
    entry: Mapping[str, Any], gas: str, numbers: Mapping[tuple[str, str], Mapping[str, Printed]]
) -> Claim:
    if "any_of" in entry:
        factor = {"gwp20 fossil factor": "fossil", "gwp20 non-fossil factor": "non-fossil"}
        ways = tuple(_gwp20_terms(factor[way]) for way in entry["any_of"])
    else:
        ways = (_terms(entry, gas),) if entry["sum"] else ()
    text = entry.get("sign")
    printed: Mapping[str, Printed]
    if text:
        printed = {"mean": Printed(math.nan, (-math.inf, 0.0) if text == "a sink" else (0.0, math.inf))}
    elif "printed" in entry:
        unit = 0.0 if entry.get("exact") else None
        printed = {
            part: Printed.rounded(float(word), printed_unit(word) if unit is None else unit)
            for part, word in zip(PARTS, entry["printed"].split(), strict=True)
            if word != "-"
        }
    else:
        printed = numbers[entry["id"], gas]
    return Claim(
        id=entry["id"],
        gas=gas,
        printed=printed,
        alternatives=ways,
        where=entry["where"],
        explain=entry.get("explain", ""),
        text=text,
    )


def _terms(entry: Mapping[str, Any], gas: str) -> tuple[Term, ...]:
    weights = entry.get("weights", {})
    out = []
    for word in entry["sum"]:
        post, slash, other = word.partition("/")
        weight = weights.get(word, 1.0)
        out.append(
            Term(post, other if slash else gas, constants()[weight] if isinstance(weight, str) else weight)
        )
    return tuple(out)


def _gwp20_terms(origin: str) -> tuple[Term, ...]:
    """Bottom-up total with anthropogenic emissions over 20 years, one factor for all CH4."""
    metric = Metric(20)
    totals = [
        ("table.natural", "CO2"),
        ("anthropogenic.fossil", "CO2"),
        ("table.natural", "CH4"),
        ("table.anthropogenic", "CH4"),
        ("table.inventory_total", "N2O"),
    ]
    return tuple(Term(post, gas, metric.weight(gas, origin)) for post, gas in totals)
