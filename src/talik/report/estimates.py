"""Regional totals of every approach with their limits, side by side, and the truth where it is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from talik.regions.named import DOMAIN
from talik.report.results import Results, content_of

UNIT = "Tg C yr⁻¹"
_SAME = 1e-9
COMMON = "common quantile"
"""How errors of pixels go together in the total of the fusion that is shown: all alike, the widest limits."""


@dataclass(frozen=True)
class Estimate:
    """A total of a region, Tg C year-1 to the atmosphere, with 95 % limits (None: the approach gives none)."""

    approach: str
    name: str
    region: str
    mean: float
    low: float | None
    high: float | None
    kind: str
    """What the limits are."""
    truth: float | None = None
    inside: bool | None = None
    note: str = ""
    whole: bool = True
    """Whether it holds what the others hold; False with fire in it."""

    @property
    def label(self) -> str:
        """Approach and name, once if they are the same."""
        return self.approach if self.name in ("", self.approach) else f"{self.approach}, {self.name}"

    @property
    def limits(self) -> tuple[float, float] | None:
        """Lower and upper limit; None without, or if both are the mean but for rounding."""
        if self.low is None or self.high is None or self.high - self.low <= _SAME * abs(self.mean):
            return None
        return self.low, self.high

    @property
    def side(self) -> str:
        """sink, source, or either where the limits hold zero."""
        low, high = self.limits or (self.mean, self.mean)
        return "source" if low > 0 else "sink" if high < 0 else "either"


def estimates(results: Results) -> list[Estimate]:
    """The totals of the project's variable; those of truth.json where the truth is known, else those of the approaches.

    InputError: a result without what it should hold.
    """
    if results.truth is not None:
        return _with_truth(results)
    found = [*_of_upscaling(results), *_of_fusion(results), *_of_models(results), *_of_inversions(results)]
    return [e for e in found if results.variable == "nee"]


def truths(found: Sequence[Estimate]) -> dict[str, float]:
    """The true total of each region, where it is known."""
    return {e.region: e.truth for e in found if e.truth is not None}


def regions_of(found: Sequence[Estimate]) -> list[str]:
    """The domain first, then in the order they come; without those of one approach where others have several."""
    count = {e.region: len({o.approach for o in found if o.region == e.region}) for e in found}
    fewest = min(2, max(count.values(), default=0))
    names = [name for name in count if count[name] >= fewest]
    return sorted(names, key=lambda n: (n != DOMAIN, names.index(n)))


def headline_region(found: Sequence[Estimate]) -> str | None:
    """The region that speaks for the whole: the domain, or the one with the most approaches."""
    names = regions_of(found)
    if not names:
        return None
    counts = {n: len({e.approach for e in found if e.region == n}) for n in names}
    if counts.get(DOMAIN, 0) > 1 or len(names) == 1:
        return names[0] if DOMAIN not in names else DOMAIN
    return max(names, key=lambda n: counts[n])


def _with_truth(results: Results) -> list[Estimate]:
    with content_of("truth.json"):
        return [
            Estimate(
                str(row["approach"]),
                str(row["name"]),
                str(row["region"]),
                float(row["mean"]),
                None if row["low"] is None else float(row["low"]),
                None if row["high"] is None else float(row["high"]),
                str(row.get("note") or "as the approach gives them"),
                None if row["truth"] is None else float(row["truth"]),
                row["inside"],
                str(row.get("note") or ""),
            )
            for row in results.truth["approaches"]
            if row["variable"] == results.variable
        ]


def _of_upscaling(results: Results) -> list[Estimate]:
    if results.upscaling is None:
        return []
    out = []
    with content_of("upscaling.json"):
        for flux in results.upscaling["fluxes"].values():
            if flux["variable"] != results.variable:
                continue
            up = 1.0 if flux["positive"] == "up" else -1.0
            kind = ", ".join(flux["limits"]["contain"])
            for region, row in flux["regions"].items():
                if row["mean"] is not None:
                    low, high = sorted((up * row["low"], up * row["high"]))
                    out.append(Estimate("upscaling", "", str(region), up * row["mean"], low, high, kind))
    return out


def _of_fusion(results: Results) -> list[Estimate]:
    if results.fusion_regions is None:
        return []
    with content_of("fusion-regions.json"):
        rows = [
            row
            for row in results.fusion_regions["rows"]
            if row["variable"] == results.variable and row["method"] == COMMON and row["mean"] is not None
        ]
        first = {(r["first_year"], r["last_year"]) for r in rows[:1]}
        return [
            Estimate("fusion", "", str(r["region"]), float(r["mean"]), r["q2.5"], r["q97.5"],
                     "posterior; errors of all pixels go together")
            for r in rows
            if (r["first_year"], r["last_year"]) in first
        ]  # fmt: skip


def _of_models(results: Results) -> list[Estimate]:
    if results.ensemble is None:
        return []
    with content_of("ensemble.json"):
        return [
            Estimate("process models", name if name != "process models" else "", str(row["region"]),
                     float(row["mean"]), row["low"], row["high"], f"spread of {row['n_members']:.0f} models")
            for name, one in results.ensemble["ensembles"].items()
            for row in one["by_region"]
            if row["variable"] == "nee" and row["mean"] is not None
        ]  # fmt: skip


def _of_inversions(results: Results) -> list[Estimate]:
    if results.ensemble is None:
        return []
    with content_of("ensemble.json"):
        held = results.ensemble["inversions"].get("nbe", {}).get("summary", [])
        last = held[-1]["period"] if held else ""
        return [
            Estimate("inversions", "with fire", str(row["region"]), float(row["mean"]), row["low"], row["high"],
                     f"{row['n']:.0f} groups", note="fire is in it", whole=False)
            for row in held
            if row["period"] == last and row["mean"] is not None
        ]  # fmt: skip
