"""What a validation says, in sentences and in the cells of tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from scipy.stats import norm

from talik.tem.calibration.figures import NAMES
from talik.tem.calibration.validation import RUNS

Row = Mapping[str, Any]
ARROW = "→"
Z90 = float(norm.ppf(0.95))
"""Standard deviations from the middle of a normal distribution to the ends of its central 90 %."""
SHOWN = ("nep", "tsoil", "gpp", "reco", "thaw_depth")
"""Variables that a sentence may name, in this order; it names the first two of a tower."""
PERIODS = {"calibration": "fitted years", "left_out": "years left out"}


def words(community: str) -> str:
    """The name of a community as words."""
    return community.replace("_", " ")


def number(value: float | None, form: str = ".2f") -> str:
    """A number with a true minus sign, a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    told = format(value, form)
    return (told.lstrip("-") if float(told) == 0.0 else told).replace("-", "−")


def change(row: Row, name: str, form: str = ".2f") -> str:
    """A score before and after."""
    return f"{number(row['before'][name], form)} {ARROW} {number(row['after'][name], form)}"


def share_inside(rows: Sequence[Row]) -> tuple[float, int] | None:
    """Share of the observations of rows inside the interval, and how many there are; None without intervals."""
    held = [(row["inside_interval"], row["after"]["n"]) for row in rows if "inside_interval" in row]
    count = sum(n for _, n in held)
    return (sum(share * n for share, n in held) / count, count) if count else None


def sentences(rows: Sequence[Row], levels: Sequence[Row], community_of: Mapping[str, str]) -> list[str]:
    """The validation in a few sentences: all towers, the levels of Liu et al. (2024), then a sentence a tower."""
    return [*_overall(rows), *_of_levels(levels), *_of_sites(rows, community_of)]


def _overall(rows: Sequence[Row]) -> list[str]:
    """How many scores got better, of each use of the years, and how many observations lie in the interval."""
    out = []
    for use, period in PERIODS.items():
        mine = [
            r for r in rows if r["use"] == use and all(r[run]["nash_sutcliffe"] is not None for run in RUNS)
        ]
        if not mine:
            continue
        smaller = sum(r["after"]["rmse"] < r["before"]["rmse"] for r in mine)
        told = f"In {period} the error (RMSE) is smaller after calibration in {smaller} of {len(mine)} "
        told += f"{'comparison' if len(mine) == 1 else 'comparisons'} of a tower and a variable"
        if (inside := share_inside(mine)) is not None:
            told += f"; {100 * inside[0]:.0f} % of {inside[1]} observations lie inside the 90 % interval"
        out.append(told + ".")
    return out


def _of_levels(levels: Sequence[Row]) -> list[str]:
    judged = [row for row in levels if row["reached"] is not None]
    if not judged:
        return ["None of the levels of Liu et al. (2024) can be judged."]
    reached = sum(row["reached"] for row in judged)
    return [
        f"Of {len(judged)} levels of R² that Liu et al. (2024) report and that can be judged here, {reached} "
        f"{'is' if reached == 1 else 'are'} reached after calibration."
    ]


def _of_sites(rows: Sequence[Row], community_of: Mapping[str, str]) -> list[str]:
    """R2 of net exchange and soil temperature of each tower in each use of its years."""
    out = []
    for site, community in community_of.items():
        held = {(r["use"], r["variable"]): r for r in rows if r["site_id"] == site}
        parts = []
        for name in [n for n in SHOWN if any((use, n) in held for use in PERIODS)][:2]:
            told = [
                f"{change(held[use, name], 'r2')} in {period}"
                for use, period in PERIODS.items()
                if (use, name) in held
            ]
            parts.append(f"R² of {NAMES[name]} {', '.join(told)}")
        if parts:
            out.append(f"{site} ({words(community)}): {'; '.join(parts)}.")
    return out


def parameter_rows(community: str, stages: Sequence[Row]) -> list[dict[str, Any]]:
    """A row for each free parameter of each stage: stage, name, start, found, limit (text), low and high of the
    central 90 % of the posterior, identifiable (0: as before the data, 1: set by them), rhat and ess of the sampler;
    None for what the method did not give."""
    out = []
    for stage in stages:
        laplace = {c["name"]: c for c in stage.get("laplace", {}).get("coordinates", ())}
        nuts = {c["name"]: c for c in stage.get("nuts", {}).get("coordinates", ())}
        for name, value in stage["found"].items():
            near, drawn = laplace.get(name), nuts.get(name)
            low, high = _interval(stage["scale"][name], near, drawn)
            side = {-1: "lower limit", 1: "upper limit"}.get(stage["at_limit"][name], "")
            out.append(
                {
                    "stage": stage["name"],
                    "name": name.removeprefix(f"{community}."),
                    "start": stage["start"][name],
                    "found": value,
                    "limit": side,
                    "low": low,
                    "high": high,
                    "identifiable": None if near is None else near["identifiable"],
                    "rhat": None if drawn is None else drawn["rhat"],
                    "ess": None if drawn is None else _smaller(drawn["bulk_ess"], drawn["tail_ess"]),
                }
            )
    return out


def _interval(scale: str, near: Row | None, drawn: Row | None) -> tuple[float | None, float | None]:
    """Ends of the central 90 % in the parameter's own units: of draws if there are any, else of the normal."""
    if near is None:
        return None, None
    if drawn is not None:
        ends = [drawn["q05"], drawn["q95"]]
    else:
        half = Z90 * near["standard_error"]
        ends = [max(near["optimum"] - half, near["low"]), min(near["optimum"] + half, near["high"])]
    low, high = (math.exp(end) if scale == "log" else end for end in ends)
    return low, high


def _smaller(one: float | None, other: float | None) -> float | None:
    held = [v for v in (one, other) if v is not None]
    return min(held) if held else None
