"""Words that the parts of the inventory's settings share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

Gas = Literal["CO2", "CH4", "N2O"]
Resolve = Callable[[str], Path]
"""From a path as it stands in the project file to the file."""


def lookup(files: Mapping[str, Path]) -> Resolve:
    """The file of a name, or the name itself where it is none of them (such as a region by name)."""
    return lambda name: files.get(name, Path(name))


def period_years(period: str) -> tuple[int, int]:
    """First and last year of a period such as 2000-2020."""
    first, _, last = period.partition("-")
    return int(first), int(last)
