"""Published numbers on ensembles and the regional comparison, to print beside ours (data/published_numbers.yaml).

Treat et al. 2024, JGR Biogeosciences 129, e2023JG007638 (without its tables, which were not available), and Hugelius et
al. 2024, Global Biogeochemical Cycles 38, e2023GB007969.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import Field, TypeAdapter, ValidationError

from talik.config import Frozen
from talik.errors import ConfigError
from talik.posts.published import components
from talik.yamlio import parse_yaml

FILE = "published_numbers.yaml"
_PAPERS = {
    "Treat": "Treat et al. 2024, e2023JG007638",
    "Hugelius": "Hugelius et al. 2024, e2023GB007969",
}


class PublishedNumber(Frozen):
    """A printed number: `value`, `low` and `high` as far as they are printed, in `unit`.

    `limits` says what low and high are. `post` is the id/GAS of the budget post that holds the same number. `section`
    is that of the specification from which it was taken. NEE is positive to the atmosphere.
    """

    id: str
    quantity: str
    region: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    limits: str = ""
    unit: str
    source: Literal["Treat", "Hugelius"]
    section: Annotated[int, Field(ge=10, le=12)]
    post: str = ""
    note: str = ""

    @property
    def paper(self) -> str:
        """Authors, year and number of the article."""
        return _PAPERS[self.source]


@cache
def published_numbers() -> tuple[PublishedNumber, ...]:
    """Every published number of the table, in its order; those of budget posts with the values of the posts."""
    posts = {"/".join(p.key): p for p in components()}
    rows = parse_yaml((files("talik.posts") / "data" / FILE).read_text(encoding="utf-8"), FILE)
    entries: list[dict[str, Any]] = []
    for row in rows:
        entry = dict(row)
        if "post" in entry:
            post = posts[entry["post"]]
            entry |= {"value": post.mean, "low": post.low, "high": post.high, "unit": post.unit}
        entries.append(entry)
    try:
        return tuple(TypeAdapter(list[PublishedNumber]).validate_python(entries))
    except ValidationError as err:
        raise ConfigError(f"{FILE}: {err}") from err


def published(name: str) -> PublishedNumber:
    """The published number of that id; ConfigError that lists the ids."""
    found = {n.id: n for n in published_numbers()}
    if name not in found:
        raise ConfigError(f"published number {name!r} is unknown; choose one of: {', '.join(found)}.")
    return found[name]


def published_table() -> pd.DataFrame:
    """The numbers as a table: id, quantity, region, value, low, high, limits, unit, source, section, post, note."""
    rows = [n.model_dump() | {"source": n.paper} for n in published_numbers()]
    table = pd.DataFrame(rows)
    return table.astype(dict.fromkeys(("value", "low", "high"), float))
