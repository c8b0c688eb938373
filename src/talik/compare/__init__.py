"""Products side by side on one grid, the same cells and months, with correlations whose significance is honest."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from talik.compare.aggregate import common_cells, common_months, remove_fire, require_same_fire, to_coarse
    from talik.compare.correlation import Correlation, correlate
    from talik.compare.products import Comparison, compare_products, theil_sen_map

_WHERE = {
    "aggregate": ("common_cells", "common_months", "remove_fire", "require_same_fire", "to_coarse"),
    "correlation": ("Correlation", "correlate"),
    "products": ("Comparison", "compare_products", "theil_sen_map"),
}
_HOME = {name: module for module, names in _WHERE.items() for name in names}

__all__ = [
    "Comparison",
    "Correlation",
    "common_cells",
    "common_months",
    "compare_products",
    "correlate",
    "remove_fire",
    "require_same_fire",
    "theil_sen_map",
    "to_coarse",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"talik.compare.{_HOME[name]}"), name)
    raise AttributeError(f"module 'talik.compare' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
