"""Greenhouse-gas exchange of the northern permafrost region.

Start with :mod:`talik.flux` (the currency every approach hands over), :mod:`talik.regions` (grids, masks,
totals) and :mod:`talik.budget` (posts, recipes, reconciliation, audit). Importing ``talik`` itself is cheap:
the rooms are imported when they are first used.
"""

from __future__ import annotations

import importlib
from types import ModuleType

__version__ = "0.1.0"

_ROOMS = (
    "budget",
    "compare",
    "errors",
    "flux",
    "posts",
    "products",
    "provenance",
    "regions",
    "report",
    "sources",
    "trends",
    "upscaling",
    "workflow",
)

__all__ = ["__version__", *_ROOMS]


def __getattr__(name: str) -> ModuleType:
    if name in _ROOMS:
        return importlib.import_module(f"talik.{name}")
    raise AttributeError(f"module 'talik' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
