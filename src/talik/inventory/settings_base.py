"""Words that the parts of the inventory's settings share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

Gas = Literal["CO2", "CH4", "N2O"]
Resolve = Callable[[str], Path]
"""From a path as it stands in the project file to the file."""


def period_years(period: str) -> tuple[int, int]:
    """First and last year of a period such as 2000-2020."""
    first, _, last = period.partition("-")
    return int(first), int(last)
