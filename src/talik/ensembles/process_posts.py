"""Budget posts of an ensemble of process models, under the names of the published budget."""

from __future__ import annotations

import pandas as pd

from talik.ensembles.spread import limits
from talik.ensembles.statistics import EnsembleSummary
from talik.posts import Post
from talik.posts.post import GASES

_LAND = frozenset({"vegetation_soil", "winter"})
_FIRE = frozenset({"fire"})
# post, variable of the summary, whether release is positive there, what it covers, whether layered models only
_POSTS: tuple[tuple[str, str, bool, frozenset[str], bool], ...] = (
    ("process.nee", "nep", False, _LAND, False),
    ("process.nee_layered", "nep", False, _LAND, True),
    ("process.nee_fire", "nbp_fire", False, _LAND | _FIRE, False),
    ("process.nee_fire_layered", "nbp_fire", False, _LAND | _FIRE, True),
    ("process.fire", "fFire", True, _FIRE, False),
    ("process.wetland_ch4", "fch4", True, frozenset(), False),
)
_FEWEST = 2
_TO_TG = {"Tg year-1": 1.0, "Pg year-1": 1000.0}


def process_posts(summary: EnsembleSummary, region: str, notes: list[str], *, label: str = "") -> list[Post]:
    """Posts of one region: NEE, NEE with fire, both of layered models alone, fire, and wetland CH4, release positive.

    Mean and 2.5 and 97.5 % of members, as in the published budget. A post needs two members; `notes` says what is
    missing. Of several scenarios the first is taken, and a note says which. label : how the posts call the region.
    """
    held = summary.members[summary.members["region"] == region]
    if held.empty:
        notes.append(f"no posts of process models: they have no region {region!r}.")
        return []
    scenarios = list(dict.fromkeys(held["scenario"]))
    if len(scenarios) > 1:
        notes.append(f"posts of process models are of {scenarios[0]}; others are {', '.join(scenarios[1:])}.")
    held = held[held["scenario"] == scenarios[0]]
    flagged = summary.flagged
    # runs that lack years are flagged too, by model: they never came into a group
    if len(flagged):
        flagged = flagged[flagged["dropped"].astype(bool) & flagged["median"].notna()]
    posts = []
    for name, variable, upward, covers, layered in _POSTS:
        rows = held[held["variable"] == variable]
        if len(flagged):
            out = flagged[
                (flagged["region"] == region)
                & (flagged["variable"] == variable)
                & (flagged["scenario"] == scenarios[0])
            ]
            rows = rows[~rows["group"].isin(set(out["member"]))]
        if layered:
            rows = rows[rows["layered"].astype(bool)]
        if len(rows) < _FEWEST:
            if len(held[held["variable"] == variable]):
                notes.append(f"no post {name}: {len(rows)} member, which has no limits.")
            continue
        posts.append(_post(name, rows, upward, covers, label or region, layered))
    return posts


def _post(
    name: str, rows: pd.DataFrame, upward: bool, covers: frozenset[str], region: str, layered: bool
) -> Post:
    values = rows["value"].to_numpy(float) * _TO_TG[str(rows["units"].iloc[0])] * (1.0 if upward else -1.0)
    low, high = limits(values)
    mean = float(values.mean())
    wetland = name.endswith("ch4")
    return Post(
        id=name,
        gas="CH4" if wetland else "CO2",
        mean=mean,
        low=min(low, mean),
        high=max(high, mean),
        unit=GASES["CH4" if wetland else "CO2"],
        region=region,
        period=f"{int(rows['first_year'].min())}-{int(rows['last_year'].max())}",
        approach="process",
        source=f"{len(rows)} process models{' with layered soil carbon' if layered else ''}",
        part_of="process.nee_fire" if name == "process.fire" else None,
        origin="non-fossil" if wetland else None,
        covers=covers,
        partly=_LAND if wetland else frozenset(),
        members=len(rows),
        note="limits are 2.5 and 97.5 % of members",
    )
