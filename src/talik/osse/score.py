"""How far estimates are from a known truth, and whether it lies within their limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from talik.errors import InputError
from talik.posts.post import PROCESSES, Post
from talik.products import annual_sums
from talik.regions import grid_of, land_fraction
from talik.regions.named import DOMAIN, domain_weights, land_weights

UNITS = "Tg year-1"
"""Of the element, release to the atmosphere positive."""
_G_TO_TG = 1e-12
_LEVEL = 0.95
_WHOLE = 0.95
"""Share of the land from which a post is of all of it."""
_TOGETHER = frozenset({"vegetation_soil", "winter"})
"""A flux of the whole year; one alone has no truth of its own."""
_WITH_WATERS = "holds CO2 of inland waters, which NEE has not"
_TOTALS = ("bottom_up.natural", "top_down.natural")
NOTHING_HERE = frozenset({"abrupt_thaw", "geological", "fire_below_ground", "lateral"})
"""Processes that a world does not have: their true flux is zero."""


@dataclass(frozen=True, slots=True)
class Score:
    """An estimate beside the truth; low and high are its 95 % limits, None if it has none, as is then `inside`."""

    approach: str
    name: str
    region: str
    variable: str
    mean: float
    low: float | None
    high: float | None
    truth: float
    note: str = ""

    @property
    def error(self) -> float:
        """Estimate less truth."""
        return self.mean - self.truth

    @property
    def inside(self) -> bool | None:
        """Whether the truth lies within the limits."""
        if self.low is None or self.high is None:
            return None
        return bool(self.low <= self.truth <= self.high)

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {**asdict(self), "error": self.error, "inside": self.inside}


@dataclass(frozen=True, slots=True)
class Region:
    """The true annual mean of a variable in a region: Tg year-1, and the land that it is of, m2."""

    tg: float
    area_m2: float


def true_regions(
    truth: xr.Dataset, variable: str, regions: Sequence[str], years: tuple[int, int]
) -> dict[str, Region]:
    """The truth of the whole world and of regions by name, mean of the years.

    Only cells that the truth has count, with their land: what approaches say of other land has no truth.
    InputError: the truth lacks years.
    """
    grid = grid_of(truth)
    sums = annual_sums(truth, variable)
    if lost := [y for y in range(years[0], years[1] + 1) if y not in sums["year"].values]:
        raise InputError(
            f"truth: {variable} has no year {lost[0]}; found {int(sums['year'][0])}-{int(sums['year'][-1])}. Choose a "
            "period inside."
        )
    mean = sums.sel(year=slice(*years)).mean("year", skipna=False)
    land = land_fraction(grid)
    weights = [domain_weights(grid) * land, *([land_weights(regions, grid, land)] if regions else [])]
    out = {}
    for part in weights:
        for name in part["region"].values:
            area = (part.sel(region=name, drop=True) * grid.cell_area()).where(mean.notnull(), 0.0)
            out[str(name)] = Region(float((mean.fillna(0.0) * area).sum()) * _G_TO_TG, float(area.sum()))
    return out


def large_enough(regions: Mapping[str, Region], least_share: float) -> dict[str, Region]:
    """Without regions that have a smaller share of the land of the domain."""
    least = least_share * regions[DOMAIN].area_m2
    return {name: one for name, one in regions.items() if one.area_m2 >= least * (1 - 1e-9)}


def of_upscaling(found: Mapping[str, Any], truths: Mapping[str, Mapping[str, Region]]) -> list[Score]:
    """Scores of what `upscaling.json` holds; truths : by variable, then by region."""
    out = []
    for flux, held in found["fluxes"].items():
        here = truths.get(str(held["variable"]), {})
        for region, row in held["regions"].items():
            if region in here and row["mean"] is not None:
                numbers = (row["mean"], row["low"], row["high"], here[region].tg)
                note = f"limits contain: {', '.join(held['limits']['contain'])}"
                out.append(Score("upscaling", str(flux), str(region), str(held["variable"]), *numbers, note))
    return out


def of_comparison(found: Mapping[str, Any], truth: Mapping[str, Region]) -> list[Score]:
    """Scores of the approaches of `compare.json`: mean of their models with the t interval over models, or over sites.

    Densities become totals with the land that they are means of, those of sites with the land of the truth. An approach
    with one model has no limits. The NEE of inversions is what they see less fires: it holds the CO2 that lakes and
    rivers emit, which the true NEE lacks; a note says so.
    """
    seen_from_air = {s["approach"] for s in found.get("sources", ()) if s["kind"] == "inversion"}
    rows = pd.DataFrame(found["rows"])
    rows = rows[rows["mean"].notna() & rows["region"].isin(list(truth))]
    sites = {(r["approach"], r["region"]): r for r in found["rows"] if r.get("n_sites")}
    out = []
    for (approach, region), part in rows.groupby(["approach", "region"], sort=False):
        land = truth[str(region)].area_m2
        own = part["area_m2"].astype(float).fillna(land) if "area_m2" in part else land
        totals = part["mean"] * own * _G_TO_TG
        models = totals.groupby(part["model"], sort=False).mean()
        n, sd, note = len(models), float(models.std(ddof=1)) if len(models) > 1 else float("nan"), ""
        if (held := sites.get((approach, region))) is not None:
            n, sd = int(held["n_sites"]), float("nan")
            if held["sd"] is not None:
                sd = float(held["sd"]) * land * _G_TO_TG
            note = f"mean of {n} site{'s' * (n > 1)} times area"
        elif n > 1:
            note = f"{n} models, t interval of their mean"
        if approach in seen_from_air and found["variable"] == "nee":
            note = "; ".join(part for part in (note, _WITH_WATERS) if part)
        half = stats.t.ppf(0.5 + _LEVEL / 2, n - 1) * sd / np.sqrt(n) if n > 1 and np.isfinite(sd) else None
        mean = float(models.mean())
        low, high = (None, None) if half is None else (mean - half, mean + half)
        name = str(models.index[0]) if n == 1 else str(approach)
        out.append(
            Score(
                str(approach),
                name,
                str(region),
                str(found["variable"]),
                mean,
                low,
                high,
                truth[str(region)].tg,
                note,
            )
        )
    return out


def true_post(post: Post, parts: pd.DataFrame, land_mkm2: float, region: str = DOMAIN) -> float | None:
    """The truth of what a post covers, Tg year-1, or None if it covers what has no truth of its own.

    parts : rows of `talik.osse.components.COLUMNS`. The period is that of the post, all of whose years the truth must
    have. A post of a part of the land (its area is less than 95 % of `land_mkm2`), such as a class of vegetation, has
    none.
    """
    if post.partly - NOTHING_HERE or not post.covers or not post.covers <= set(PROCESSES):
        return None
    of_land = post.covers & _TOGETHER
    if of_land and post.area_mkm2 is not None and post.area_mkm2 < _WHOLE * land_mkm2:
        return None
    covers = set(post.covers) - NOTHING_HERE
    if covers & _TOGETHER:
        if not covers >= _TOGETHER:
            return None
        covers -= {"winter"}
    first, last = (int(year) for year in post.period.split("-"))
    here = parts[
        (parts["region"] == region) & (parts["gas"] == post.gas) & parts["year"].between(first, last)
    ]
    years = range(first, last + 1)
    if not set(years) <= set(here["year"]) or not covers <= set(here["process"]):
        return None
    return float(here[here["process"].isin(covers)]["tg"].sum()) / len(years)


def whole_truth(parts: pd.DataFrame, gas: str, period: str, region: str = DOMAIN) -> float:
    """The truth of all processes of a gas, mean of the years of a period, Tg year-1."""
    first, last = (int(year) for year in period.split("-"))
    here = parts[(parts["region"] == region) & (parts["gas"] == gas) & parts["year"].between(first, last)]
    return float(here.groupby("year")["tg"].sum().mean())


def of_post(post: Post, parts: pd.DataFrame, land_mkm2: float) -> dict[str, Any] | None:
    """A post beside the truth of what it covers, and beside that of all natural processes; None if it has no truth."""
    if post.recipe is not None and post.recipe.op == "difference":
        return None  # of two estimates of one flux: what it covers is no flux of its own
    truth = true_post(post, parts, land_mkm2)
    if truth is None:
        return None
    return {
        "post": post.id,
        "gas": post.gas,
        "approach": post.approach,
        "mean": post.mean,
        "low": post.low,
        "high": post.high,
        "truth": truth,
        "whole": whole_truth(parts, post.gas, post.period),
        "error": post.mean - truth,
        "inside": bool(post.low <= truth <= post.high),
        "covers": sorted(post.covers),
    }


def main_region(scores: Sequence[Score], variable: str) -> str:
    """The region in which most approaches have a number: the first of them, or the domain if there are none."""
    count: dict[str, set[str]] = {}
    for s in scores:
        if s.variable == variable:
            count.setdefault(s.region, set()).add(s.approach)
    return max(count, key=lambda name: len(count[name]), default=DOMAIN)


def of_pixels(fused: xr.Dataset, truth: xr.Dataset) -> list[dict[str, Any]]:
    """Annual NEE, GPP and Reco of fused pixels beside the truth of their cells, g C m-2 year-1, mean of the years.

    fused : of `talik fuse run`. The limits are those of all members, whatever their quality, which is told.
    """
    from talik.flux.units import as_units
    from talik.fusion.summary import QUALITY

    out = []
    sums = {name: annual_sums(truth, name) for name in ("nee", "gpp", "reco")}
    years = [int(y) for y in fused["year"].values]
    respired = fused["ra_annual"] + fused["rh_annual"]
    held = {"nee": fused["nee_annual"], "gpp": fused["gpp_annual"], "reco": respired}
    for i in range(fused.sizes["cell"]):
        place = {"lat": float(fused["lat"][i]), "lon": float(fused["lon"][i])}
        quality = QUALITY[int(fused["quality"][i])]
        for name, values in held.items():
            members = values.isel(cell=i).assign_attrs(fused["nee_annual"].attrs)
            draws = as_units(members, "g m-2 year-1").mean("year").to_numpy()
            true = float(sums[name].sel(year=years).mean("year").sel(place, method="nearest"))
            if not np.isfinite(draws).any() or not np.isfinite(true):
                continue
            low, high = (float(q) for q in np.nanquantile(draws, [0.025, 0.975]))
            out.append(
                {
                    "approach": "fusion",
                    "pixel": str(fused["pixel"].values[i]),
                    "quantity": name,
                    "units": "g m-2 year-1",
                    "mean": float(np.nanmean(draws)),
                    "low": low,
                    "high": high,
                    "truth": true,
                    "inside": bool(low <= true <= high),
                    "converged": quality == QUALITY[0],
                    "quality": quality,
                }
            )
    return out


def summary(scores: Sequence[Score], posts: Sequence[Mapping[str, Any]], variable: str) -> list[str]:
    """Where each approach stands against the truth in the main region, a sentence each, then the budget's totals."""
    out, region = [], main_region(scores, variable)
    for s in scores:
        if s.region == region and s.variable == variable:
            limits = "no limits" if s.low is None or s.high is None else f"{_n(s.low)}, {_n(s.high)}"
            held = {True: "lies inside", False: "lies outside", None: "has nothing to lie in"}[s.inside]
            label = s.approach if s.name in (s.approach, s.variable) else f"{s.approach} ({s.name})"
            out.append(
                f"{label}: {_n(s.mean)} ({limits}) Tg C yr-1, {_n(abs(s.error))} {_side(s.error)} the truth of "
                f"{_n(s.truth)}, which {held}."
            )
    for row in [r for r in posts if r["post"].startswith(_TOTALS)]:
        held = "lies inside" if row["inside"] else "lies outside"
        truth, whole = _n(row["truth"]), _n(row["whole"])
        out.append(
            f"{row['post']} {row['gas']}: {_n(row['mean'])} ({_n(row['low'])}, {_n(row['high'])}) Tg yr-1; the truth "
            f"of what it covers, {truth}, {held}{f'; of all processes {whole}' if whole != truth else ''}."
        )
    return out


def _side(error: float) -> str:
    return "above" if error > 0 else "below"


def _n(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.2g}"
