"""One thing that is wrong, doubtful or worth knowing about a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
FIRST = 5
"""How many rows a problem names."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What was found, where, and what to do.

    An ``error`` makes numbers wrong or unusable, a ``warning`` probably does, a ``note`` is good to know. `count` is
    the number of rows, sites or values concerned; `rows` are the first of the rows, counted from 1 below the header.
    """

    severity: Severity
    column: str
    found: str
    remedy: str = ""
    count: int = 0
    rows: tuple[int, ...] = ()

    def sentence(self) -> str:
        """Column, what was found, the rows and what to do, in one line."""
        more = ", ..." if self.count > len(self.rows) else ""
        rows = f" (rows {', '.join(map(str, self.rows))}{more})" if self.rows else ""
        return f"{self.column}: {self.found}{rows}. {self.remedy}".strip()

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values for JSON."""
        return {**asdict(self), "rows": list(self.rows)}


def first_rows(index: Iterable[int]) -> tuple[int, ...]:
    """The first few of 0-based row numbers as the reader of a file counts them, from 1."""
    out = []
    for row in index:
        out.append(int(row) + 1)
        if len(out) == FIRST:
            break
    return tuple(out)


def in_rows(index: Sequence[int]) -> str:
    """``row 3``, or ``rows 3, 4, ...``, of 0-based row numbers as the reader of a file counts them."""
    more = ", ..." if len(index) > FIRST else ""
    return f"row{'s' * (len(index) > 1)} {', '.join(map(str, first_rows(index)))}{more}"


def counted(number: int, noun: str) -> str:
    """A number with its noun: 1 row, 2 rows."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
