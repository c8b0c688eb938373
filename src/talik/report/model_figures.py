"""Figures of a flux model: what matters, and how."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from talik.report.style import BLUE, GREY, INCHES, ORANGE, look, quiet, zero_line


def importance_boxes(found: dict[str, Any]) -> Figure:
    """Increase of RMSE by permutation of each predictor: median, quartiles and whiskers, largest on top."""
    boxes = found["importance"]
    names = list(boxes)
    with look():
        figure = Figure(figsize=(INCHES["wide"] * 0.8, 1.1 + 0.3 * len(names)), layout="constrained")
        ax = figure.add_subplot()
        stats = [
            {
                "med": b["median"],
                "q1": b["hinge_low"],
                "q3": b["hinge_high"],
                "whislo": b["whisker_low"],
                "whishi": b["whisker_high"],
            }
            for b in boxes.values()
        ]
        drawn = ax.bxp(
            stats,
            positions=range(len(names)),
            orientation="horizontal",
            showfliers=False,
            patch_artist=True,
            widths=0.6,
        )
        for box in drawn["boxes"]:
            box.set(facecolor=BLUE, alpha=0.5, edgecolor=BLUE)
        for line in drawn["medians"]:
            line.set(color=ORANGE, lw=2)
        ax.set_yticks(range(len(names)), names)
        ax.invert_yaxis()
        ax.set_xlabel(f"increase of RMSE when shuffled, {found['units']}")
        ax.set_title(f"What {found['target']} depends on")
        zero_line(ax)
        quiet(ax)
    return figure


def dependence_panels(found: dict[str, Any]) -> Figure:
    """Partial dependence of the leading predictors; categorical ones as points."""
    curves = found["partial_dependence"]
    columns = min(3, len(curves))
    rows = math.ceil(len(curves) / columns)
    with look():
        figure = Figure(figsize=(INCHES["wide"], 2.4 * rows + 0.4), layout="constrained")
        axes = np.atleast_1d(figure.subplots(rows, columns, sharey=True)).ravel()
        for ax, (name, curve) in zip(axes, curves.items(), strict=False):
            classes = isinstance(curve["at"][0], str)
            ax.plot(curve["at"], curve["mean"], "o" if classes else "-", color=BLUE, lw=2, ms=5)
            ax.axhline(0, color=GREY, lw=0.8)
            ax.set_xlabel(name)
        for ax in axes[len(curves) :]:
            ax.set_visible(False)
        figure.supylabel(f"mean prediction, {found['units']}", fontsize=9.5)
    return figure


def model_figures(found: dict[str, Any]) -> list[tuple[str, Figure | None]]:
    """Both figures of an explanation, by name."""
    return [("importance", importance_boxes(found)), ("partial_dependence", dependence_panels(found))]
