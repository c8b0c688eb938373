"""Numbers from a flux dataset of any approach: sums over years, seasons and regions, indicators, fire, site means.

Start with `Zones` and `summarise`; the parts are there to be used alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from talik.lazy import lazy

if TYPE_CHECKING:
    from talik.products.annual import annual_sums, period_mean, step_amounts
    from talik.products.coarse import to_coarse
    from talik.products.fire import burned_share, domain_of, fire_on, fire_series, fire_shares, with_fire
    from talik.products.indicators import (
        amplitude_change,
        decadal_shift,
        monthly_means,
        source_fraction,
        uptake_ratio,
    )
    from talik.products.insitu import site_means, site_years, summary_by_group, trend_sites
    from talik.products.seasons import ANNUAL, MONTHS, SEASONS, Season, season, seasonal_sums
    from talik.products.spread import annual_statistics, map_correlation, nee_consistency, spatial_sd
    from talik.products.summary import Summary, summarise
    from talik.products.zonal import (
        RegionalSeries,
        Zones,
        budgets,
        cells_lacking,
        join_regions,
        regional_series,
        zone_area,
        zone_mean,
    )

_WHERE = {
    "annual": ("annual_sums", "period_mean", "step_amounts"),
    "coarse": ("to_coarse",),
    "fire": ("burned_share", "domain_of", "fire_on", "fire_series", "fire_shares", "with_fire"),
    "indicators": ("amplitude_change", "decadal_shift", "monthly_means", "source_fraction", "uptake_ratio"),
    "insitu": ("site_means", "site_years", "summary_by_group", "trend_sites"),
    "seasons": ("ANNUAL", "MONTHS", "SEASONS", "Season", "season", "seasonal_sums"),
    "spread": ("annual_statistics", "map_correlation", "nee_consistency", "spatial_sd"),
    "summary": ("Summary", "summarise"),
    "zonal": (
        "RegionalSeries",
        "Zones",
        "budgets",
        "cells_lacking",
        "join_regions",
        "regional_series",
        "zone_area",
        "zone_mean",
    ),
}
__all__ = [
    "ANNUAL",
    "MONTHS",
    "SEASONS",
    "RegionalSeries",
    "Season",
    "Summary",
    "Zones",
    "amplitude_change",
    "annual_statistics",
    "annual_sums",
    "budgets",
    "burned_share",
    "cells_lacking",
    "decadal_shift",
    "domain_of",
    "fire_on",
    "fire_series",
    "fire_shares",
    "join_regions",
    "map_correlation",
    "monthly_means",
    "nee_consistency",
    "period_mean",
    "regional_series",
    "season",
    "seasonal_sums",
    "site_means",
    "site_years",
    "source_fraction",
    "spatial_sd",
    "step_amounts",
    "summarise",
    "summary_by_group",
    "to_coarse",
    "trend_sites",
    "uptake_ratio",
    "with_fire",
    "zone_area",
    "zone_mean",
]

__getattr__, __dir__ = lazy(__name__, _WHERE)
