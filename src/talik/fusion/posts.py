"""Budget posts of a region from its table of totals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from talik.errors import PostError
from talik.files import write_text
from talik.flux.table import FLUXES
from talik.fusion.dependence import DEFAULT_KERNEL, Kernel
from talik.fusion.regional import column
from talik.fusion.summary import SOURCE
from talik.posts.combine import round_to_error
from talik.posts.distributions import TAIL
from talik.posts.post import GASES, Post
from talik.posts.rows import row_of

REACH = (
    "In worlds that were made up these limits held the truth in 96 % where errors reach as far as assumed, in 88 % "
    "over 3,000 km and in 82 % where half of them is shared beside; NBE of inversions is smooth in space, so where it "
    "constrains the pixels errors reach far."
)
"""What the default kernel is worth if errors reach farther: docs/science/fusion-regional.md."""
_DISTURBANCE = {"burned": "fire", "loss": "forest loss"}
_LAND, _FIRE = frozenset({"vegetation_soil", "winter"}), frozenset({"fire"})
# post, variable of the flux table, what it covers, the post that holds it
_TOTAL, _PARTS = "fusion.nee_fire", ("fusion.nee", "fusion.fire")
_POSTS = (
    (_TOTAL, "nbp", _LAND | _FIRE, None),
    ("fusion.nee", "nee", _LAND, _TOTAL),
    ("fusion.fire", "fFire", _FIRE, _TOTAL),
)


def fusion_posts(
    table: pd.DataFrame,
    region: str,
    *,
    kernel: Kernel = DEFAULT_KERNEL,
    label: str = "",
    area_mkm2: float | None = None,
    members: int | None = None,
    unknown: Sequence[str] = (),
) -> list[Post]:
    """NEE with fire, NEE and fire of a region as posts of CO2 (Tg CO2-C year-1), positive to the atmosphere.

    unknown : disturbance of which nothing is known; without burned the one post is NEE, which covers no fire.

    table : from `talik.fusion.regional.regional_table`, of one period. kernel : the copula that gives the limits; the
    note of each post tells those under every other assumption. label : how the post calls the region, by default its
    name. Means and limits are those of the posterior of the pixels with data; coverage stands in the note.

    The mean of NEE with fire is the sum of the other two, its limits are of the sum itself. PostError: a region,
    variable, period or kernel that the table has not, or a total over a hole.
    """
    held = table[table["region"] == region]
    if held.empty:
        raise PostError(f"fusion: no region {region!r}; the table has {', '.join(table['region'].unique())}.")
    periods = held[["first_year", "last_year"]].drop_duplicates()
    if len(periods) > 1:
        named = ", ".join(f"{a}-{b}" for a, b in periods.itertuples(index=False))
        raise PostError(f"fusion: the table has periods {named}; give the rows of one.")
    period = "-".join(f"{year:04d}" for year in periods.iloc[0])
    posts = []
    for name, variable, covers, parent in _POSTS:
        if "burned" in unknown and "fire" in covers:
            continue
        rows = _upward(held[held["variable"] == variable], variable, region)
        row = _chosen(rows, kernel, f"{region}, {variable}")
        low, high = (round_to_error(float(row[end]), float(row["error"])) for end in ("low", "high"))
        mean = float(row["mean"])
        posts.append(
            Post(
                id=name,
                gas="CO2",
                mean=mean,
                low=min(low, mean),
                high=max(high, mean),
                unit=GASES["CO2"],
                region=label or region,
                period=period,
                approach="fusion",
                source=SOURCE,
                part_of=None if "burned" in unknown else parent,
                covers=covers,
                area_mkm2=area_mkm2,
                members=members,
                note=_note(rows, row, kernel, unknown),
            )
        )
    return posts


def write_posts(posts: Sequence[Post], path: Path) -> Path:
    """Write posts as YAML that `talik budget` and `talik audit` read; numbers keep every digit.

    The audit finds that means add up, and that limits of NEE with fire are not sums of limits: they are of the sum.
    """
    have = {post.id for post in posts}
    rows = [row_of(post) for post in posts]
    for row in rows:
        if row["id"] == _TOTAL and have.issuperset(_PARTS):
            row["sum_of"] = " ".join(_PARTS)
    text = yaml.safe_dump({"posts": rows}, sort_keys=False, allow_unicode=True, width=110)
    return write_text(path, text)


def _upward(rows: pd.DataFrame, variable: str, region: str) -> pd.DataFrame:
    """The rows with `low`, `high` and `mean` positive to the atmosphere."""
    if rows.empty:
        raise PostError(f"fusion: the table of {region!r} has no {variable}; make it with all variables.")
    ends = rows[[column(TAIL), column(1 - TAIL)]] * FLUXES[variable].to_atmosphere
    return rows.assign(
        mean=rows["mean"] * FLUXES[variable].to_atmosphere, low=ends.min(axis=1), high=ends.max(axis=1)
    )


def _chosen(rows: pd.DataFrame, kernel: Kernel, where: str) -> pd.Series:
    """The row of the kernel."""
    of_kernel = (rows["length_km"] == kernel.length_km) & (rows["alpha"] == kernel.alpha)
    if not of_kernel.any():
        raise PostError(
            f"fusion, {where}: no copula of {kernel.length_km:g} km and alpha {kernel.alpha:g} in the table. Add it to "
            "the assumptions."
        )
    row = rows[of_kernel].iloc[0]
    if not np.isfinite(row["mean"]):
        raise PostError(
            f"fusion, {where}: pixels with data cover {100 * row['coverage']:.2f} % of the region. A total over a hole "
            f"is no post; left out: {row['holes'] or 'land without a pixel'}."
        )
    return row


def _note(rows: pd.DataFrame, row: pd.Series, kernel: Kernel, unknown: Sequence[str]) -> str:
    """How the limits came about, what they would be otherwise, and what the total covers."""
    apart = rows[rows["method"] != "kernel copula"]
    others = "; ".join(f"{one['method']} {_interval(one)}" for _, one in apart.iterrows())
    copulas = rows[rows["method"] == "kernel copula"]
    widths = copulas["high"] - copulas["low"]
    narrow, wide = (copulas.iloc[int(at)] for at in (widths.to_numpy().argmin(), widths.to_numpy().argmax()))
    text = (
        f"limits: pixels joined by a copula with correlation {kernel.alpha:g} + {1 - kernel.alpha:g} "
        f"exp(-distance/{kernel.length_km:g} km), which is assumed, not measured. Otherwise: {others}; other copulas "
        f"from {_interval(narrow)} ({narrow['length_km']:g} km, {narrow['alpha']:g}) to {_interval(wide)} "
        f"({wide['length_km']:g} km, {wide['alpha']:g}). {int(row['pixels'])} pixels ({_qualities(row)}), "
        f"{100 * row['coverage']:.1f} % of the land."
    )
    if kernel == DEFAULT_KERNEL:
        text += f" {REACH}"
    if unknown:
        text += f" Nothing is known of {' and '.join(_DISTURBANCE[name] for name in unknown)}: not simulated."
    return f"{text} Left out: {row['holes']}." if row["holes"] else text


def _qualities(row: pd.Series) -> str:
    """The pixels of a total by how far they converged."""
    good, maps = int(row["converged"]), int(row["map_quality"])
    counts = {"converged": good, "for maps only": maps, "unconverged": int(row["pixels"]) - good - maps}
    return ", ".join(f"{n} {name}" for name, n in counts.items() if n)


def _interval(row: pd.Series) -> str:
    if not np.isfinite(row["mean"]):
        return "not to be trusted here"
    return f"({row['low']:.3g}, {row['high']:.3g})"
