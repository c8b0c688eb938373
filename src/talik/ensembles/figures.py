"""Figures of a project's process models: the course by region with its spread, and boxes of layered against bulk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from talik.report.member_figures import class_boxes, series_panels

NAMES = ("series", "boxes")
SERIES: Mapping[str, str] = {
    "nep": "NEP (uptake positive)",
    "nbp": "NBP as reported (uptake positive)",
    "fch4": "CH4 (release positive)",
}
"""What is drawn as a course, by preference."""
_BOXES = {
    "npp": "NPP",
    "gpp": "GPP",
    "rh": "Heterotrophic respiration",
    "nep": "NEP",
    "nbp_fire": "NBP with fire",
    "soil_litter_c": "Soil and litter carbon",
    "cue": "Carbon use efficiency",
    "mrt": "Residence time",
}


def draw(name: str, found: Mapping[str, Any]) -> Figure | None:
    """One of `NAMES` from the result of a project; None where there is nothing to draw.

    The first ensemble counts. Boxes are of the budget region and the first scenario.
    """
    if not found["ensembles"]:
        return None
    held = next(iter(found["ensembles"].values()))
    if name == "series":
        spread = pd.DataFrame(held["spread"])
        variable = next((v for v in SERIES if len(spread) and v in set(spread["variable"])), None)
        return (
            None
            if variable is None
            else series_panels(spread[spread["variable"] == variable], SERIES[variable])
        )
    tables = {key: pd.DataFrame(held[key]) for key in ("boxes", "tests", "members")}
    if any(table.empty for table in tables.values()):
        return None
    region, scenario = found["budget_region"], tables["members"]["scenario"].iloc[0]
    here = {k: t[(t["region"] == region) & (t["scenario"] == scenario)] for k, t in tables.items()}
    labels = {v: title for v, title in _BOXES.items() if v in set(here["boxes"]["variable"])}
    return class_boxes(here["boxes"], here["tests"], here["members"], labels) if labels else None
