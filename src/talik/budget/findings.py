"""What an audit finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A printed number outside the range its inputs allow; `miss` is the gap, in the unit of the number."""

    id: str
    gas: str
    part: str
    printed: float | str
    recomputed_low: float
    recomputed_high: float
    miss: float
    where: str
    explanation: str

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "id": self.id,
            "gas": self.gas,
            "part": self.part,
            "printed": self.printed,
            "recomputed_low": self.recomputed_low,
            "recomputed_high": self.recomputed_high,
            "miss": self.miss,
            "where": self.where,
            "explanation": self.explanation,
        }
