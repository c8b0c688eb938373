"""Does every derived number follow from its own inputs?

Interval arithmetic over plus or minus half a unit in the last printed digit, of the inputs and of the result. A
number is a finding when the two ranges do not meet: then rounding cannot explain it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from talik.budget.findings import Finding
from talik.budget.fire_mass import gas_mass_findings
from talik.errors import PostError
from talik.posts.post import Post, PostKey
from talik.posts.recipe import Term

PARTS = ("mean", "low", "high")


@dataclass(frozen=True, slots=True)
class Printed:
    """A number as it stands in print, and the range of numbers that are printed this way."""

    value: float
    range: tuple[float, float]

    @classmethod
    def rounded(cls, value: float, unit: float) -> Printed:
        """`value` known to half a `unit` of its last printed digit either side (0: exact)."""
        return cls(value, (value - unit / 2, value + unit / 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A printed number (`printed`: part to number) that ought to follow from others.

    `alternatives` are the ways it could have been made, each a weighted sum of posts or other claims; the
    number must fit the range they span. `text` stands in for a number where the print is a word.
    """

    id: str
    gas: str
    printed: Mapping[str, Printed]
    alternatives: tuple[tuple[Term, ...], ...]
    where: str
    explain: str = ""
    text: str | None = None

    @classmethod
    def of_post(cls, post: Post, terms: tuple[Term, ...], where: str = "", explain: str = "") -> Claim:
        """The claim that a printed post is the sum of `terms`."""
        return cls(
            id=post.id,
            gas=post.gas,
            printed=printed_parts(post),
            alternatives=(terms,),
            where=where or post.source,
            explain=explain,
        )


@dataclass(frozen=True)
class Audit:
    """`findings`, and how many printed numbers were `checked` to get them."""

    findings: list[Finding]
    checked: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"findings": [f.to_dict() for f in self.findings], "checked": self.checked}


def printed_parts(post: Post) -> dict[str, Printed]:
    """Mean, low and high of a post with the rounding it was printed with."""
    values = (post.mean, post.low, post.high)
    return {part: Printed.rounded(v, u) for part, v, u in zip(PARTS, values, post.rounding, strict=True)}


def audit(posts: Iterable[Post], claims: Iterable[Claim]) -> Audit:
    """Recompute every claim from the posts and claims it names; return what rounding cannot explain.

    Posts of fires without a claim are looked at for mass of the gas instead of the element.
    """
    posts, claims = list(posts), list(claims)
    numbers: dict[PostKey, Mapping[str, Printed]] = {p.key: printed_parts(p) for p in posts}
    for claim in claims:
        numbers.setdefault((claim.id, claim.gas), claim.printed)
    findings = []
    checked = 0
    for claim in claims:
        for part, number in claim.printed.items():
            spans = [s for terms in claim.alternatives if (s := _recompute(claim, terms, part, numbers))]
            if not spans:
                continue
            checked += 1
            low, high = min(s[0] for s in spans), max(s[1] for s in spans)
            below, above = number.range
            miss = max(0.0, low - above, below - high)
            if miss > 1e-9 * max(1.0, abs(low), abs(high)):
                findings.append(_finding(claim, part, number, low, high, miss))
    findings += gas_mass_findings(posts, [(claim.id, claim.gas) for claim in claims])
    return Audit(findings, checked)


def _recompute(
    claim: Claim, terms: tuple[Term, ...], part: str, numbers: Mapping[PostKey, Mapping[str, Printed]]
) -> tuple[float, float] | None:
    """Range of one part from its terms, or None where an input does not print that part."""
    low: list[float] = []
    high: list[float] = []
    mirror = {"mean": "mean", "low": "high", "high": "low"}
    for term in terms:
        if term.key not in numbers:
            raise PostError(
                f"{claim.where}: total {claim.id!r} ({claim.gas}) names {term.post!r} ({term.gas}), "
                "which is neither a post nor another printed total. Correct sum_of."
            )
        source = numbers[term.key].get(part if term.weight >= 0 else mirror[part])
        if source is None:
            return None
        ends = sorted(term.weight * end for end in source.range)
        low.append(ends[0])
        high.append(ends[1])
    return math.fsum(low), math.fsum(high)


def _finding(claim: Claim, part: str, number: Printed, low: float, high: float, miss: float) -> Finding:
    explanation = claim.explain or (
        f"{claim.gas} {part} of {claim.id} is printed as {number.value:g}; its terms give {low:.4g} to {high:.4g} "
        "when every printed digit is taken at its limits."
    )
    return Finding(
        id=claim.id,
        gas=claim.gas,
        part=part,
        printed=claim.text if claim.text is not None else number.value,
        recomputed_low=low,
        recomputed_high=high,
        miss=miss,
        where=claim.where,
        explanation=explanation,
    )
