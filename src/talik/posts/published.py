"""The published components of the budget of the northern permafrost region (RECCAP2).

Hugelius et al. 2024, Global Biogeochem. Cycles 38, e2023GB007969: the printed numbers (data/reccap2_posts.csv, one row
per gas, with the table each came from).
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from talik.posts.post import Post
from talik.posts.rows import post_of, read_rows

REGION = "northern permafrost region"
PERIOD = "2000-2020"
FILE = "reccap2_posts.csv"


@cache
def components() -> tuple[Post, ...]:
    """The published components as posts, as printed."""
    text = (files("talik.posts") / "data" / FILE).read_text(encoding="utf-8")
    return tuple(post_of(row, where) for where, row in read_rows(text, "reccap2"))
