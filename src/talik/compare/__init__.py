"""Products, models and approaches side by side: common grids, regions, agreement, skill, and honest significance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from talik.lazy import lazy

if TYPE_CHECKING:
    from talik.compare.aggregate import common_cells, common_months, remove_fire, require_same_fire
    from talik.compare.agreement import agreement_by_region, coarsest_grid, sign_agreement
    from talik.compare.correlation import Correlation, correlate
    from talik.compare.coverage import components_of, coverage_table, explain_differences
    from talik.compare.products import Comparison, compare_products, theil_sen_map
    from talik.compare.regional import region_means, site_region_means
    from talik.compare.scores import Taylor, taylor
    from talik.compare.skill import Pairs, pair_months, rank_models, site_skill, spatial_skill
    from talik.compare.synthesis import (
        Anova,
        RankTest,
        Synthesis,
        coefficients_of_variation,
        combine,
        kruskal_wallis,
        one_way_anova,
    )

_WHERE = {
    "aggregate": ("common_cells", "common_months", "remove_fire", "require_same_fire"),
    "agreement": ("agreement_by_region", "coarsest_grid", "sign_agreement"),
    "correlation": ("Correlation", "correlate"),
    "coverage": ("components_of", "coverage_table", "explain_differences"),
    "products": ("Comparison", "compare_products", "theil_sen_map"),
    "regional": ("region_means", "site_region_means"),
    "scores": ("Taylor", "taylor"),
    "skill": ("Pairs", "pair_months", "rank_models", "site_skill", "spatial_skill"),
    "synthesis": (
        "Anova",
        "RankTest",
        "Synthesis",
        "coefficients_of_variation",
        "combine",
        "kruskal_wallis",
        "one_way_anova",
    ),
}
__all__ = [
    "Anova",
    "Comparison",
    "Correlation",
    "Pairs",
    "RankTest",
    "Synthesis",
    "Taylor",
    "agreement_by_region",
    "coarsest_grid",
    "coefficients_of_variation",
    "combine",
    "common_cells",
    "common_months",
    "compare_products",
    "components_of",
    "correlate",
    "coverage_table",
    "explain_differences",
    "kruskal_wallis",
    "one_way_anova",
    "pair_months",
    "rank_models",
    "region_means",
    "remove_fire",
    "require_same_fire",
    "sign_agreement",
    "site_region_means",
    "site_skill",
    "spatial_skill",
    "taylor",
    "theil_sen_map",
]

__getattr__, __dir__ = lazy(__name__, _WHERE)
