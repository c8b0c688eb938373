"""Tables of pages: plain values for the macro of table.html.j2, and how their numbers are written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from talik.report.numbers import number

Table = dict[str, Any]


def table(label: str, columns: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> Table:
    """A table of the template; a column that starts with # holds numbers."""
    heads = [{"name": c.removeprefix("#"), "number": c.startswith("#")} for c in columns]
    return {"label": label, "caption": caption, "columns": heads, "rows": rows}


def shown(value: float | None, decimals: int = 1) -> str:
    """A number or a dash; with one decimal asked for, none from 10 on."""
    if value is None or value != value:
        return "–"
    return number(value, 0 if decimals == 1 and abs(value) >= 10.0 else decimals)


def percent(share: float | None) -> str:
    """A share (0..1) in percent, or a dash."""
    return "–" if share is None or share != share else f"{100 * share:.0f} %"
