"""Trends of annual series and maps: slope, limits, significance, and what the significance of a whole map is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from talik.lazy import lazy

if TYPE_CHECKING:
    from talik.trends.field import false_discovery, significant_shares
    from talik.trends.labelled import line, mann_kendall, member_summary, theil_sen, trend
    from talik.trends.overlay import class_shares, overlay_classes

_WHERE = {
    "field": ("false_discovery", "significant_shares"),
    "labelled": ("line", "mann_kendall", "member_summary", "theil_sen", "trend"),
    "overlay": ("class_shares", "overlay_classes"),
}
__all__ = [
    "class_shares",
    "false_discovery",
    "line",
    "mann_kendall",
    "member_summary",
    "overlay_classes",
    "significant_shares",
    "theil_sen",
    "trend",
]

__getattr__, __dir__ = lazy(__name__, _WHERE)
