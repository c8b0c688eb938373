"""Tables as JSON rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def json_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """One mapping a row, with plain numbers and text; what is missing or not finite is None."""
    return [{str(k): _plain(v) for k, v in row.items()} for row in table.to_dict("records")]


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return None if str(value) in ("<NA>", "NaT") else value
