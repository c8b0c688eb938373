"""Figures of an ensemble of models: its course by region with the spread of members, and boxes of its classes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from talik.report.style import BLUE, GREEN, GREY, INCHES, INK, ORANGE, RED, look

_SCENARIOS: Mapping[str, str] = {"historical": INK, "ssp126": BLUE, "ssp370": RED}
_MORE = (GREEN, ORANGE, GREY)
CLASS_COLOURS: Mapping[str, str] = {
    "layered": BLUE,
    "bulk": ORANGE,
    "with fire": RED,
    "without fire": GREY,
    "all": GREEN,
}


def series_panels(spread: pd.DataFrame, label: str, *, regions: Sequence[str] | None = None) -> Figure:
    """One panel a region: mean of members by scenario, band from low to high, darker from q1 to q3.

    spread : rows of one variable with columns region, scenario, year, mean, low, high, q1, q3 (`annual_spread`).
    label : what is drawn, with its sign; the units come from the table.
    """
    names = list(regions) if regions is not None else list(dict.fromkeys(spread["region"]))
    columns = min(3, len(names))
    rows = math.ceil(len(names) / columns)
    scenarios = list(dict.fromkeys(spread["scenario"]))
    colours = _colours(scenarios)
    with look():
        figure = Figure(figsize=(INCHES["wide"], 2.5 * rows + 0.5), layout="constrained")
        axes = np.atleast_1d(figure.subplots(rows, columns, sharex=True)).ravel()
        for ax, region in zip(axes, names, strict=False):
            here = spread[spread["region"] == region]
            for scenario in scenarios:
                one = here[here["scenario"] == scenario].sort_values("year")
                if one.empty:
                    continue
                ax.fill_between(
                    one["year"], one["low"], one["high"], color=colours[scenario], alpha=0.12, lw=0
                )
                ax.fill_between(one["year"], one["q1"], one["q3"], color=colours[scenario], alpha=0.25, lw=0)
                ax.plot(one["year"], one["mean"], color=colours[scenario], lw=1.4, label=scenario)
            ax.axhline(0, color=INK, lw=0.8)
            ax.set_title(f"{region.replace('_', ' ')} ({here['n_members'].max():.0f} members)")
            ax.grid(axis="y", color="#e6e9ed", lw=0.8)
            ax.set_axisbelow(True)
        for ax in axes[len(names) :]:
            ax.set_axis_off()
        for ax in axes[len(names) - columns : len(names)]:
            ax.tick_params(labelbottom=True)
        handles, labels = axes[0].get_legend_handles_labels()
        if len(axes) > len(names):
            axes[-1].legend(handles, labels, loc="center", frameon=False)
        else:
            axes[0].legend(handles, labels, frameon=False, fontsize=8)
        figure.supylabel(f"{label}, {spread['units'].iloc[0]}", fontsize=9.5)
    return figure


def class_boxes(
    boxes: pd.DataFrame,
    tests: pd.DataFrame,
    values: pd.DataFrame,
    labels: Mapping[str, str],
    *,
    classes: tuple[str, str] = ("layered", "bulk"),
) -> Figure:
    """One panel a variable: two classes of members side by side as boxes, each member a point, p of their difference.

    boxes, tests, values : `boxes`, `tests` and `members` of an ensemble summary, of one region and scenario. labels :
    variables to draw, with their titles. The panels' units differ.
    """
    columns = min(4, len(labels))
    rows = math.ceil(len(labels) / columns)
    with look():
        figure = Figure(figsize=(INCHES["wide"], 2.5 * rows + 0.2), layout="constrained")
        axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
        for ax, (variable, title) in zip(axes, labels.items(), strict=False):
            mine = boxes[boxes["variable"] == variable]
            for place, name in enumerate(classes):
                one = mine[mine["class"] == name]
                if one.empty:
                    continue
                row = one.iloc[0]
                keys = {
                    "med": "median",
                    "q1": "q1",
                    "q3": "q3",
                    "whislo": "whisker_low",
                    "whishi": "whisker_high",
                }
                drawn = ax.bxp(
                    [{key: float(row[column]) for key, column in keys.items()}],
                    positions=[place],
                    showfliers=False,
                    patch_artist=True,
                    widths=0.5,
                )
                drawn["boxes"][0].set(
                    facecolor=CLASS_COLOURS[name], alpha=0.35, edgecolor=CLASS_COLOURS[name]
                )
                drawn["medians"][0].set(color=INK, lw=1.8)
                points = _of_class(values[values["variable"] == variable], name)
                aside = np.linspace(-0.12, 0.12, len(points)) if len(points) > 1 else np.zeros(1)
                ax.plot(
                    place + aside,
                    points["value"],
                    "o",
                    ms=3.5,
                    color=CLASS_COLOURS[name],
                    mec="white",
                    mew=0.5,
                )
            counts = [_of_class(values[values["variable"] == variable], c).shape[0] for c in classes]
            ax.set_xticks(
                range(len(classes)), [f"{c}\nn = {n}" for c, n in zip(classes, counts, strict=True)]
            )
            ax.set_xlim(-0.6, len(classes) - 0.4)
            found = tests[(tests["variable"] == variable) & (tests["split"].str.startswith(classes[0]))]
            p = found["p"].iloc[0] if len(found) else None
            # no test where one of the classes has no or one member
            told = "" if p is None or np.isnan(p) else f"p = {p:.2g}"
            ax.set_title(f"{title}\n{told}", fontsize=9.5)
            ax.set_ylabel(str(mine["units"].iloc[0]) if len(mine) else "")
            ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
            ax.grid(axis="y", color="#e6e9ed", lw=0.8)
            ax.set_axisbelow(True)
        for ax in axes[len(labels) :]:
            ax.set_axis_off()
    return figure


def _of_class(values: pd.DataFrame, name: str) -> pd.DataFrame:
    column, side = {
        "layered": ("layered", True),
        "bulk": ("layered", False),
        "with fire": ("fire", True),
        "without fire": ("fire", False),
    }[name]
    return values[values[column] == side].sort_values("value")


def _colours(scenarios: Sequence[str]) -> dict[str, str]:
    more = iter(_MORE * len(scenarios))
    return {s: _SCENARIOS.get(s) or next(more) for s in scenarios}
