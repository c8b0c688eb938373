"""One budget post: a quantity of one gas with limits, and everything needed to know what it stands for."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from talik.errors import PostError
from talik.flux.table import APPROACHES as FLUX_APPROACHES

if TYPE_CHECKING:
    from talik.posts.recipe import Recipe

GASES: dict[str, str] = {
    "CO2": "Tg CO2-C yr-1",
    "CH4": "Tg CH4-C yr-1",
    "N2O": "Tg N2O-N yr-1",
    "C": "Tg C yr-1",
    "N": "Tg N yr-1",
    "CO2e": "Tg CO2-C eq yr-1",
}
"""The unit of a post, by gas. Mass of the element (or of CO2-C equivalents), 1e12 g a year."""

APPROACHES = (*FLUX_APPROACHES, "derived")

PROCESSES: dict[str, str] = {
    "vegetation_soil": "vegetation and soil",
    "winter": "winter and shoulder seasons",
    "fire": "fire above ground",
    "fire_below_ground": "fire below ground",
    "abrupt_thaw": "abrupt thaw",
    "inland_waters": "lakes and rivers",
    "geological": "geological seeps",
    "fossil_industrial": "fossil fuel and industry",
    "agriculture_waste": "agriculture and waste",
    "lateral": "lateral export",
}
"""What a post can represent; a total is comparable only with a total over the same processes."""

ORIGINS = ("fossil", "non-fossil")

LARGEST = 1e9
"""No post is larger than this (Tg yr-1; a thousand times all carbon in soils and plants)."""

_ID = re.compile(r"[A-Za-z][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*")
_PERIOD = re.compile(r"(\d{4})-(\d{4})")

PostKey = tuple[str, str]
"""(id, gas): the name of a post. The same id may stand once for each gas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A flux to the atmosphere (positive) or from it (negative), `mean` with its 2.5 % and 97.5 % limits.

    Stock changes (gas ``C`` or ``N``) are positive for a loss from land. `part_of` names the post this one is
    already contained in. `origin` (``fossil`` or ``non-fossil``) decides the warming potential of CH4. `covers`
    and `partly` list the processes (`PROCESSES`) that are represented fully and in part. `rounding` is the unit
    of the last printed digit of mean, low and high (0 for a number that was not rounded). `area_mkm2` (1e6 km2)
    and `members` (of an ensemble) are for the reader.
    """

    id: str
    gas: str
    mean: float
    low: float
    high: float
    unit: str
    region: str
    period: str
    approach: str
    source: str
    part_of: str | None = None
    origin: str | None = None
    covers: frozenset[str] = frozenset()
    partly: frozenset[str] = frozenset()
    rounding: tuple[float, float, float] = (0.0, 0.0, 0.0)
    area_mkm2: float | None = None
    members: int | None = None
    recipe: Recipe | None = None
    note: str = ""
    where: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        at = f"{self.where}: " if self.where else ""
        name = f"{at}post {self.id!r} ({self.gas})"
        if not isinstance(self.id, str) or not _ID.fullmatch(self.id):
            raise PostError(
                f"{at}post id {self.id!r}: expected letters, digits, _ and - in parts joined by dots, "
                "such as inventory.boreal_forest."
            )
        if self.gas not in GASES:
            raise PostError(f"{name}: gas {self.gas!r} is unknown; choose one of: {', '.join(GASES)}.")
        _check_unit(self.unit, self.gas, name)
        for label in ("mean", "low", "high"):
            value = getattr(self, label)
            if not math.isfinite(value):
                raise PostError(
                    f"{name}: {label} is {value}; a post needs three finite numbers. Leave the post out of the "
                    "file if it was not estimated: a missing number is not zero and not unlimited."
                )
            if abs(value) > LARGEST:
                raise PostError(
                    f"{name}: {label} is {value:g} {self.unit}; nothing on Earth is beyond {LARGEST:g}. "
                    "Check the unit and the exponent."
                )
        if self.low > self.high:
            raise PostError(
                f"{name}: low {self.low:g} is above high {self.high:g}; the limits are swapped. "
                "low is the 2.5 % limit (for a sink the most negative number), high the 97.5 % limit."
            )
        if not self.low <= self.mean <= self.high:
            raise PostError(
                f"{name}: mean {self.mean:g} lies outside its limits ({self.low:g}, {self.high:g}). "
                "Check the signs: uptake by land is negative in all three."
            )
        for label in ("region", "source"):
            if not str(getattr(self, label)).strip():
                raise PostError(
                    f"{name}: {label} is empty. State it: a number without it cannot be compared."
                )
        years = _PERIOD.fullmatch(self.period)
        if not years or years[1] > years[2]:
            raise PostError(
                f"{name}: period {self.period!r}; expected first and last year, such as 2000-2020."
            )
        if self.approach not in APPROACHES:
            raise PostError(
                f"{name}: approach {self.approach!r} is unknown; choose one of: {', '.join(APPROACHES)}."
            )
        if self.origin is not None and self.origin not in ORIGINS:
            raise PostError(f"{name}: origin {self.origin!r}; expected fossil or non-fossil.")
        if self.origin is None and self.gas == "CH4" and self.approach == "anthropogenic":
            raise PostError(
                f"{name}: state the origin of anthropogenic CH4 (fossil or non-fossil); "
                "its warming potential depends on it."
            )
        if self.part_of == self.id:
            raise PostError(f"{name}: is said to be part of itself; clear part_of or name the parent.")
        unknown = sorted((self.covers | self.partly) - set(PROCESSES))
        if unknown:
            raise PostError(
                f"{name}: process {unknown[0]!r} is unknown; choose from: {', '.join(PROCESSES)}."
            )

    @property
    def key(self) -> PostKey:
        """(id, gas)."""
        return self.id, self.gas

    def to_dict(self) -> dict[str, Any]:
        """The post as plain JSON values (the contract of ``--json``)."""
        return {
            "id": self.id,
            "gas": self.gas,
            "mean": self.mean,
            "low": self.low,
            "high": self.high,
            "unit": self.unit,
            "region": self.region,
            "period": self.period,
            "approach": self.approach,
            "part_of": self.part_of,
            "recipe": self.recipe.to_dict() if self.recipe else None,
            "source": self.source,
            "origin": self.origin,
            "covers": sorted(self.covers),
            "partly": sorted(self.partly),
            "area_mkm2": self.area_mkm2,
            "members": self.members,
            "note": self.note,
        }


def _check_unit(unit: str, gas: str, name: str) -> None:
    """Accept exactly the unit of the gas; say how to get there from the ones people write instead."""
    expected = GASES[gas]
    if unit == expected:
        return
    text = str(unit or "").strip()
    if not text:
        raise PostError(f"{name}: unit is missing; expected {expected!r}. Units are never guessed.")
    hint = f"Convert the numbers and write {expected!r}."
    if re.match(r"(?:Gt|Pg)\b", text):
        hint = f"Multiply mean, low and high by 1000 and write {expected!r}."
    elif re.match(r"Mt\b", text):
        hint = f"1 Mt is 1 Tg: check the species and write {expected!r}."
    elif gas in ("CO2", "CH4", "N2O") and re.match(rf"Tg {gas} ", text + " "):
        hint = f"That is mass of the gas; convert it to mass of the element and write {expected!r}."
    raise PostError(f"{name}: unit {text!r} is not the unit of {gas} posts; expected {expected!r}. {hint}")


def check_unique(posts: list[Post]) -> dict[PostKey, Post]:
    """Posts by key; a repeated (id, gas) or a `part_of` that names nothing is an error."""
    by_key: dict[PostKey, Post] = {}
    for post in posts:
        if post.key in by_key:
            raise PostError(
                f"{post.where or 'posts'}: post {post.id!r} stands twice for {post.gas}; rename or remove one."
            )
        by_key[post.key] = post
    return by_key


def ancestors(key: PostKey, posts: dict[PostKey, Post]) -> list[PostKey]:
    """The posts that `key` is contained in by `part_of`, nearest first. A circle is an error."""
    chain: list[PostKey] = []
    post = posts.get(key)
    while post is not None and post.part_of is not None:
        parent = (post.part_of, post.gas)
        if parent in chain or parent == key:
            raise PostError(f"post {key[0]!r} ({key[1]}): part_of runs in a circle through {parent[0]!r}.")
        chain.append(parent)
        post = posts.get(parent)
    return chain
