"""Bottom-up against top-down: do they agree, where could the gap sit, and are they totals over the same things?

Comparing two totals that cover different processes is refused unless asked for; then what is missing is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from talik.errors import CoverageError
from talik.posts import PROCESSES, Evaluation, Post, Recipe, Term

TOTALS = ("natural", "with_anthropogenic")
"""`bottom_up.X` is compared with `top_down.X` for these X; the difference is the post `difference.X`."""


@dataclass(frozen=True, slots=True)
class Closure:
    """What one input post would have to be for the two totals to agree, all others as they are."""

    post: str
    gas: str
    mean: float
    needed: float
    within_limits: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """Bottom-up minus top-down of one gas. `missing` names what each side does not (fully) represent."""

    bottom_up: Post
    top_down: Post
    difference: Post
    overlap: tuple[float, float] | None
    closures: tuple[Closure, ...]
    missing: Mapping[str, tuple[str, ...]]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "gas": self.bottom_up.gas,
            "bottom_up": self.bottom_up.id,
            "top_down": self.top_down.id,
            "unit": self.bottom_up.unit,
            "difference": self.difference.mean,
            "low": self.difference.low,
            "high": self.difference.high,
            "overlap": list(self.overlap) if self.overlap else None,
            "missing": {side: list(names) for side, names in self.missing.items()},
            "to_close_the_gap": [
                {
                    "post": c.post,
                    "gas": c.gas,
                    "mean": c.mean,
                    "needed": c.needed,
                    "within_limits": c.within_limits,
                }
                for c in self.closures
            ],
        }


def missing_processes(bottom_up: Post, top_down: Post) -> dict[str, tuple[str, ...]]:
    """Processes that one side represents and the other does not or only partly, by side; empty if none."""
    out: dict[str, tuple[str, ...]] = {}
    for side, mine, other in (("bottom_up", bottom_up, top_down), ("top_down", top_down, bottom_up)):
        names = []
        for process in PROCESSES:
            if process in (other.covers | other.partly) and process not in mine.covers:
                partly = process in mine.partly
                if partly and process in other.partly:
                    continue
                names.append(PROCESSES[process] + (" (in part)" if partly else ""))
        if names:
            out[side] = tuple(names)
    return out


def difference_recipes(recipes: Iterable[Recipe]) -> list[Recipe]:
    """Recipes of bottom-up minus top-down for every pair of totals that the given recipes make.

    Written as a recipe, the difference gets its limits like every other post: inputs that both sides share
    (anthropogenic emissions) cancel, and the three assumptions about dependence apply.
    """
    made = {r.key for r in recipes}
    out = []
    for total in TOTALS:
        for gas in ("CO2", "CH4", "N2O", "CO2e"):
            sides = (f"bottom_up.{total}", f"top_down.{total}")
            if all((side, gas) in made for side in sides):
                terms = (Term(sides[0], gas), Term(sides[1], gas, -1.0))
                out.append(Recipe(id=f"difference.{total}", gas=gas, op="difference", terms=terms))
    return out


def reconcile(
    evaluation: Evaluation, total: str, gas: str, *, allow_coverage_mismatch: bool = False
) -> Comparison:
    """Compare ``bottom_up.<total>`` with ``top_down.<total>`` of one gas.

    Raises CoverageError if the totals cover different processes, unless `allow_coverage_mismatch`.
    """
    a, b = evaluation.posts[f"bottom_up.{total}", gas], evaluation.posts[f"top_down.{total}", gas]
    missing = missing_processes(a, b)
    if missing and not allow_coverage_mismatch:
        lacks = "; ".join(f"{side} lacks {', '.join(names)}" for side, names in missing.items())
        raise CoverageError(
            f"{a.id} and {b.id} ({gas}) do not cover the same processes: {lacks}. "
            "Complete the totals, or ask for the comparison all the same (allow_coverage_mismatch=True)."
        )
    difference = evaluation.posts[f"difference.{total}", gas]
    overlap = (max(a.low, b.low), min(a.high, b.high))
    return Comparison(
        bottom_up=a,
        top_down=b,
        difference=difference,
        overlap=overlap if overlap[0] <= overlap[1] else None,
        closures=_closures(evaluation, difference),
        missing=missing,
    )


def reconcile_all(evaluation: Evaluation) -> list[Comparison]:
    """Every comparison the budget has, coverage mismatches allowed and named."""
    return [
        reconcile(evaluation, post.id.removeprefix("difference."), post.gas, allow_coverage_mismatch=True)
        for post in evaluation.derived
        if post.id.startswith("difference.")
    ]


def _closures(evaluation: Evaluation, difference: Post) -> tuple[Closure, ...]:
    out = []
    for key, weight in evaluation.weights[difference.key].items():
        if abs(weight) < 1e-12:
            continue
        post = evaluation.posts[key]
        needed = post.mean - difference.mean / weight
        out.append(Closure(*key, post.mean, needed, post.low <= needed <= post.high))
    return tuple(sorted(out, key=lambda c: (not c.within_limits, c.post)))
