"""Products side by side on one grid, the same cells and months, with correlations whose significance is honest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from talik.lazy import lazy

if TYPE_CHECKING:
    from talik.compare.aggregate import common_cells, common_months, remove_fire, require_same_fire, to_coarse
    from talik.compare.correlation import Correlation, correlate
    from talik.compare.products import Comparison, compare_products, theil_sen_map

_WHERE = {
    "aggregate": ("common_cells", "common_months", "remove_fire", "require_same_fire", "to_coarse"),
    "correlation": ("Correlation", "correlate"),
    "products": ("Comparison", "compare_products", "theil_sen_map"),
}
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

__getattr__, __dir__ = lazy(__name__, _WHERE)
