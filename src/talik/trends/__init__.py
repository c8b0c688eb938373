"""Trends of annual series and maps: slope, limits, significance, and what the significance of a whole map is worth."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from talik.trends.field import false_discovery, significant_shares
    from talik.trends.labelled import line, mann_kendall, member_summary, theil_sen, trend
    from talik.trends.overlay import class_shares, overlay_classes

_WHERE = {
    "field": ("false_discovery", "significant_shares"),
    "labelled": ("line", "mann_kendall", "member_summary", "theil_sen", "trend"),
    "overlay": ("class_shares", "overlay_classes"),
}
_HOME = {name: module for module, names in _WHERE.items() for name in names}

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


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"talik.trends.{_HOME[name]}"), name)
    raise AttributeError(f"module 'talik.trends' has no attribute {name!r}")
