"""What is left out, and what may be learnt from meanwhile: the ladder of validation designs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from talik.errors import InputError
from talik.upscaling.trees import Float64, Int64


@dataclass(frozen=True, slots=True, eq=False)
class Folds:
    """A validation design: for each fold the rows to learn from and the rows to predict."""

    name: str
    held: tuple[tuple[Int64, Int64], ...]
    note: str = ""
    """What the user should know about it (rows that take no part, how folds were made)."""

    @property
    def tested(self) -> Int64:
        """Rows that are predicted, ascending."""
        return np.unique(np.concatenate([test for _, test in self.held]))


def leave_groups_out(groups: Int64, name: str = "loso", note: str = "") -> Folds:
    """Each group left out once: sites (leave-one-site-out), clusters of sites, or kNNDM folds."""
    held = []
    for group in np.unique(groups):
        inside = groups == group
        held.append((np.flatnonzero(~inside), np.flatnonzero(inside)))
    if len(held) < 2:
        raise InputError(
            f"{name}: all rows belong to one group, so nothing can be left out. Check the group column."
        )
    return Folds(name, tuple(held), note)


def year_blocks(years: Float64, blocks: int) -> Folds:
    """Blocks of years of about equal numbers of rows, each left out once: skill in time at known sites.

    Rows without a year take no part.
    """
    of_year, known = _blocks(years, blocks)
    held = []
    for b in range(of_year.max() + 1):
        held.append((np.flatnonzero((of_year >= 0) & (of_year != b)), np.flatnonzero(of_year == b)))
    return Folds("year", tuple(held), _year_note(years, known, of_year))


def forward_chain(years: Float64, blocks: int) -> Folds:
    """Each block of years predicted from the earlier ones; the first block is never predicted."""
    of_year, known = _blocks(years, blocks)
    held = []
    for b in range(1, of_year.max() + 1):
        held.append((np.flatnonzero((of_year >= 0) & (of_year < b)), np.flatnonzero(of_year == b)))
    return Folds("forward", tuple(held), _year_note(years, known, of_year))


def _blocks(years: Float64, blocks: int) -> tuple[Int64, Int64]:
    """Block of each row (-1: no year) and the rows with a year; a year is never cut."""
    known = np.flatnonzero(np.isfinite(years))
    distinct, count = np.unique(years[known], return_counts=True)
    if len(distinct) < 2:
        raise InputError(f"the rows cover {len(distinct)} years; validation in time needs at least two")
    middle = np.cumsum(count) - count / 2
    block = np.minimum((middle / count.sum() * blocks).astype(np.int64), blocks - 1)
    block = np.unique(block, return_inverse=True)[1]
    out = np.full(len(years), -1, np.int64)
    out[known] = block[np.searchsorted(distinct, years[known])]
    return out, known


def _year_note(years: Float64, known: Int64, of_year: Int64) -> str:
    spans = []
    for b in range(of_year.max() + 1):
        inside = years[of_year == b]
        spans.append(f"{inside.min():.0f}-{inside.max():.0f}")
    lost = len(years) - len(known)
    return "blocks " + ", ".join(spans) + (f"; {lost} rows without a year take no part" if lost else "")
