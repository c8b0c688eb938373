"""Figures of a validation: Taylor diagram, seasonal course of a tower, soil temperature against observations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from talik.report.style import (
    BLUE,
    GREEN,
    GREY,
    INCHES,
    INK,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    Width,
    look,
)
from talik.report.taylor import taylor_axes, taylor_reach
from talik.tem.calibration.validation import GROUND, INTERVAL, RUNS, USES

NAMES = {
    "gpp": "GPP",
    "reco": "Reco",
    "nep": "NEP",
    "tsoil": "soil temperature",
    "thaw_depth": "thaw depth",
    "active_layer": "active layer",
    "ground_temperature": "ground temperature",
}
"""What variables are called, in the order of tables and figures."""
UNITS = {
    **dict.fromkeys(("gpp", "reco", "nep"), "g C m⁻² month⁻¹"),
    **dict.fromkeys(("tsoil", "ground_temperature"), "°C"),
    **dict.fromkeys(("thaw_depth", "active_layer"), "m"),
}
_COLOURS = dict(zip(NAMES, (GREEN, ORANGE, BLUE, RED, PURPLE, SKY, GREY), strict=True))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_MONTHS = "JFMAMJJASOND"


def taylor(rows: Sequence[Mapping[str, Any]], width: Width = "wide") -> Figure | None:
    """Taylor diagram (Taylor 2001) of the months left out: each tower and variable before (open) and after (filled).

    rows : as from `score_rows`. None if no row has a correlation.
    """
    points = taylor_points(rows)
    if not points:
        return None
    negative = any(p[run][1] < 0.0 for p in points for run in RUNS)
    reach = taylor_reach([p[run][0] for p in points for run in RUNS])
    sites = list(dict.fromkeys(p["site_id"] for p in points))
    with look():
        height = (4.6 if negative else 6.2) if width == "wide" else (4.4 if negative else 5.2)
        figure = Figure(figsize=(INCHES[width], height), layout="constrained")
        ax = taylor_axes(figure, reach, negative=negative)
        for p in points:
            places = [(math.acos(p[run][1]), min(p[run][0], reach)) for run in RUNS]
            colour, marker = _COLOURS[p["variable"]], _MARKERS[sites.index(p["site_id"]) % len(_MARKERS)]
            ax.plot(*zip(*places, strict=True), color=colour, lw=0.8, alpha=0.5, zorder=2)
            for (angle, radius), fill in zip(places, ("white", colour), strict=True):
                ax.plot(
                    angle,
                    radius,
                    marker,
                    ms=7,
                    color=colour,
                    mfc=fill,
                    mew=1.4,
                    zorder=3,
                    clip_on=False,
                )
        used = [name for name in NAMES if any(p["variable"] == name for p in points)]
        handles = [
            *(Line2D([], [], color=_COLOURS[n], marker="o", ls="", label=NAMES[n]) for n in used),
            *(
                Line2D([], [], color=INK, mfc="none", marker=_MARKERS[i % len(_MARKERS)], ls="", label=site)
                for i, site in enumerate(sites)
            ),
            Line2D([], [], color=INK, mfc="white", marker="o", ls="", label="before"),
            Line2D([], [], color=INK, marker="o", ls="", label="after"),
        ]
        columns = 5 if width == "wide" else 3
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=8.5)
    return figure


def taylor_points(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """site_id, variable, and by run the ratio of standard deviations and the correlation, of months left out that have
    both before and after."""
    out = []
    for row in rows:
        if row["use"] != "left_out" or any(row[run]["r2"] is None for run in RUNS):
            continue
        # the slope of model on observation is the correlation times the ratio of standard deviations
        places = {run: (row[run]["sd_ratio"], row[run]["slope"] / row[run]["sd_ratio"]) for run in RUNS}
        held = {run: (ratio, max(-1.0, min(1.0, r))) for run, (ratio, r) in places.items()}
        out.append({"site_id": row["site_id"], "variable": row["variable"], **held})
    return out


def seasons(months: pd.DataFrame, site: str, width: Width = "wide") -> Figure | None:
    """Seasonal course of a tower, fitted and left-out years apart: means of calendar months that were observed.

    Points with bars are observations and their standard deviation between years, the dashed line is the model before,
    the full line after, the band the mean interval. Soil temperature is at the depth with most months.
    """
    mine = months[months["site_id"] == site]
    uses = [use for use in USES if (mine["use"] == use).any()]
    variables = [name for name in NAMES if (mine["variable"] == name).any()]
    if not variables:
        return None
    wide = width == "wide"
    shape = (len(uses), len(variables)) if wide else (len(variables), len(uses))
    size = (INCHES[width], 0.9 + (2.2 if wide else 1.75) * shape[0])
    with look():
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(*shape, squeeze=False, sharex=True, sharey="col" if wide else "row")
        for i, use in enumerate(uses):
            for k, name in enumerate(variables):
                ax = axes[i, k] if wide else axes[k, i]
                rows = mine[(mine["use"] == use) & (mine["variable"] == name)]
                _course(ax, rows)
                title = NAMES[name][:1].upper() + NAMES[name][1:]
                last = i == len(uses) - 1 if wide else k == len(variables) - 1
                ax.set_title(f"{title}, {USES[use]}", fontsize=8.5)
                ax.tick_params(labelbottom=last)
                if wide or i == 0:
                    ax.set_ylabel(UNITS[name], fontsize=8)
        band = set(INTERVAL) <= set(mine) and mine["low"].notna().any()
        handles = [
            Line2D([], [], color=INK, marker="o", ms=4, ls="", label="observed"),
            Line2D([], [], color=RED, ls="--", label="model before"),
            Line2D([], [], color=BLUE, label="model after"),
            *([Patch(color=SKY, alpha=0.35, lw=0, label="90 % interval")] if band else []),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=4 if wide else 2, frameon=False)
    return figure


def season_means(rows: pd.DataFrame) -> pd.DataFrame:
    """By calendar month: n, the mean and standard deviation of `value` (0 of one), means of the model and interval."""
    if rows["depth_m"].notna().any():
        rows = rows[rows["depth_m"] == rows["depth_m"].mode().iloc[0]]
    by_month = rows.groupby("month")
    columns = [name for name in (*RUNS, *INTERVAL) if name in rows]
    out = by_month[["value", *columns]].mean()
    return out.assign(sd=by_month["value"].std().fillna(0.0), n=by_month.size())


def _course(ax: Axes, rows: pd.DataFrame) -> None:
    ax.set(xlim=(0.5, 12.5), xticks=range(1, 13), xticklabels=list(_MONTHS))
    ax.grid(color="#e6e9ed", lw=0.6)
    ax.tick_params(labelsize=8)
    if rows.empty:
        ax.text(6.5, 0.5, "none", color=GREY, ha="center", transform=ax.get_xaxis_transform())
        return
    means = season_means(rows).reindex(range(1, 13))
    if "low" in means:
        ax.fill_between(means.index, means["low"], means["high"], color=SKY, alpha=0.35, lw=0)
    ax.plot(means.index, means["before"], "--", color=RED, lw=1.3, marker=".", ms=3)
    ax.plot(means.index, means["after"], color=BLUE, lw=1.6, marker=".", ms=3)
    ax.errorbar(means.index, means["value"], means["sd"], fmt="o", color=INK, ms=3.6, lw=0.9, zorder=3)


def soil_scatter(months: pd.DataFrame, width: Width = "wide") -> Figure | None:
    """Monthly soil temperature of the model against that observed, fitted and left-out years apart, before open and
    after filled; None without observations."""
    rows = months[(months["variable"] == "tsoil") & (months["use"] != GROUND)]
    if rows.empty:
        return None
    uses = [use for use in USES if (rows["use"] == use).any()]
    sites = list(dict.fromkeys(rows["site_id"]))
    colours = dict(zip(sites, (BLUE, RED, GREEN, ORANGE, PURPLE, SKY, GREY, INK) * len(sites), strict=False))
    both = rows[["value", *RUNS]].to_numpy(float)
    ends = (float(np.nanmin(both)) - 1.0, float(np.nanmax(both)) + 1.0)
    wide = width == "wide"
    with look():
        size = (INCHES[width], 5.0) if wide else (INCHES[width], 0.9 + 3.6 * len(uses))
        figure = Figure(figsize=size, layout="constrained")
        shape = (1, len(uses)) if wide else (len(uses), 1)
        for ax, use in zip(figure.subplots(*shape, squeeze=False).ravel(), uses, strict=True):
            ax.plot(ends, ends, color=INK, lw=0.8, zorder=0)
            for i, site in enumerate(sites):
                part = rows[(rows["use"] == use) & (rows["site_id"] == site)]
                for run, fill in zip(RUNS, ("none", colours[site]), strict=True):
                    ax.plot(
                        part["value"],
                        part[run],
                        _MARKERS[i % len(_MARKERS)],
                        color=colours[site],
                        mfc=fill,
                        ms=4,
                        mew=0.8,
                        alpha=0.8,
                    )
            ax.set(xlim=ends, ylim=ends, aspect="equal", xlabel="observed, °C", ylabel="model, °C")
            ax.set_title(f"Months {USES[use]}")
        handles = [
            *(
                Line2D([], [], color=colours[s], marker=_MARKERS[i % len(_MARKERS)], ls="", label=s)
                for i, s in enumerate(sites)
            ),
            Line2D([], [], color=INK, mfc="none", marker="o", ls="", label="before"),
            Line2D([], [], color=INK, marker="o", ls="", label="after"),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=8 if wide else 3, frameon=False)
    return figure
