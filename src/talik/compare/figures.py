"""Figures of an intercomparison: panels and matrix of regions, agreement map, Taylor diagram, ranking."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from talik.compare.agreement import SIGNS
from talik.compare.scores import Taylor
from talik.compare.synthesis import Synthesis
from talik.errors import InputError
from talik.report.style import (
    BLUE,
    GREY,
    INCHES,
    INK,
    MARKERS,
    SERIES,
    Width,
    look,
    quiet,
    wrapped,
    zero_line,
)
from talik.report.taylor import taylor_axes, taylor_reach

NEE_UNITS = "g C m⁻² yr⁻¹"
DIRECTION = "← uptake by land   |   release to the atmosphere →"


def region_panels(
    synthesis: Synthesis,
    width: Width = "wide",
    *,
    units: str = NEE_UNITS,
    direction: str = DIRECTION,
) -> Figure:
    """One panel a region: the mean of each approach, a bar of its spatial (sites: between sites) SD, and the median.

    All panels have one scale. An approach without a value in a region is written "no value".
    """
    mean, sd = synthesis.mean, synthesis.sd
    columns = 2 if width == "wide" else 1
    rows = math.ceil(len(mean) / columns)
    each = 0.24 * mean.shape[1] + 0.55
    with look():
        figure = Figure(figsize=(INCHES[width], each * rows + 0.9), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True)
        for k, ax in enumerate(axes.ravel()):
            if k >= len(mean):
                ax.set_axis_off()
                continue
            region = mean.index[k]
            _panel(ax, mean.loc[region], sd.loc[region], str(region))
            middle = synthesis.regions.loc[region, "median"]
            if np.isfinite(middle):
                ax.axvline(middle, color=INK, lw=1.0, ls=":", zorder=1)
            if k % columns:
                ax.tick_params(labelleft=False)
        figure.supxlabel(f"{units}\n{direction}" if direction else units, fontsize=9)
        handle = Line2D([], [], color=INK, lw=1.0, ls=":", label="median of approaches")
        figure.legend(handles=[handle], loc="outside upper right", frameon=False, fontsize=8.5)
    return figure


def _panel(ax: Axes, mean: pd.Series, sd: pd.Series, title: str) -> None:
    for y, name in enumerate(mean.index):
        colour = SERIES[y % len(SERIES)]
        if not np.isfinite(mean[name]):
            ax.text(
                0.5,
                y,
                "no value",
                color=GREY,
                ha="center",
                va="center",
                transform=ax.get_yaxis_transform(),
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
            )
            continue
        half = sd[name] if np.isfinite(sd[name]) else 0.0
        ax.plot([mean[name] - half, mean[name] + half], [y, y], color=colour, lw=2.0, alpha=0.55, zorder=2)
        ax.plot(mean[name], y, MARKERS[y % len(MARKERS)], color=colour, ms=6.5, zorder=3)
    ax.set(yticks=range(len(mean)), yticklabels=[str(n) for n in mean.index], ylim=(len(mean) - 0.4, -0.6))
    ax.set_title(title)
    quiet(ax)
    zero_line(ax)


def matrix(
    synthesis: Synthesis, width: Width = "wide", *, units: str = NEE_UNITS, decimals: int = 0
) -> Figure:
    """Heat map of approach (rows) by region (columns) with numbers; the last row is the median of approaches.

    Colours end at the 90th percentile of the absolute values, so that one outlier does not bleach the rest.
    """
    table = synthesis.mean.T
    table.loc["median"] = synthesis.regions["median"]
    values = table.to_numpy(float)
    if not np.isfinite(values).any():
        raise InputError("matrix: no approach has a value in any region.")
    limit = float(np.nanquantile(np.abs(values), 0.9)) or float(np.nanmax(np.abs(values))) or 1.0
    wide = width == "wide"
    shown = values if wide else values.T
    across, down = (
        (list(table.columns), list(table.index)) if wide else (list(table.index), list(table.columns))
    )
    with look():
        figure = Figure(figsize=(INCHES[width], 1.5 + 0.42 * len(down)), layout="constrained")
        ax = figure.subplots()
        image = ax.imshow(
            np.ma.masked_invalid(shown), cmap="BrBG_r", norm=TwoSlopeNorm(0.0, -limit, limit), aspect="auto"
        )
        for (i, k), value in np.ndenumerate(shown):
            text = (
                f"{round(value, decimals) + 0.0:.{decimals}f}".replace("-", "−")
                if np.isfinite(value)
                else "–"
            )
            light = np.isfinite(value) and abs(value) > 0.62 * limit
            ax.text(
                k,
                i,
                text,
                ha="center",
                va="center",
                fontsize=9 if wide else 7.5,
                color="white" if light else INK,
            )
        ax.set_xticks(
            range(len(across)),
            [wrapped(str(n), 10) for n in across],
            rotation=0 if wide else 55,
            ha="center" if wide else "right",
            rotation_mode="anchor" if not wide else None,
        )
        ax.set_yticks(range(len(down)), [str(n) for n in down])
        ax.tick_params(length=0, labelsize=8.5)
        for side in ax.spines.values():
            side.set_visible(False)
        (ax.axhline if wide else ax.axvline)(len(table) - 1.5, color=INK, lw=1.0)
        figure.colorbar(image, ax=ax, extend="both", shrink=0.8 if wide else 0.6, pad=0.02).set_label(
            units, fontsize=8.5
        )
    return figure


def agreement_map(result: xr.Dataset, *, lat_min: float = 45.0, width: Width = "wide") -> Figure:
    """Polar maps of the percentage of models that are sink and source, and of the sign that most agree on.

    result : from `talik.compare.sign_agreement`. The colour of the third map is the percentage of source less that of
    sink.
    """
    from talik.report.maps import PolarMap

    share = result["share"].transpose("sign", ...)
    sink, source = (share.sel(sign=s, drop=True) for s in (SIGNS[0], SIGNS[2]))
    drawings = (
        ("Sink", sink, "BuGn", 0.0, 100.0, "% of models"),
        ("Source", source, "YlOrBr", 0.0, 100.0, "% of models"),
        ("Source less sink", source - sink, "BrBG_r", -100.0, 100.0, "% of models"),
    )
    with look():
        room = ConstrainedLayoutEngine(rect=(0.0, 0.0, 1.0, 0.95))  # the maps' own axes leave titles none
        wide = width == "wide"
        size = (INCHES["wide"] * 1.25, 4.7) if wide else (INCHES["narrow"], 12.5)
        figure = Figure(figsize=size, layout=room)
        axes = figure.subplots(1, 3) if wide else figure.subplots(3, 1)
        for ax, (title, field, cmap, low, high, label) in zip(axes, drawings, strict=True):
            drawn = PolarMap(ax, lat_min=lat_min)
            drawn.land()
            drawn.field(field.compute(), cmap=cmap, vmin=low, vmax=high, colourbar=label)
            drawn.coastlines()
            drawn.graticule(labels=False)
            ax.set_title(title, loc="center")
        band = result.attrs["neutral_band"]
        told = f"mean annual flux within ±{band} is neutral; approaches with equal weight"
        figure.supxlabel(told if wide else wrapped(told, 45), fontsize=8.5)
    return figure


def taylor_diagram(points: Mapping[str, Taylor], width: Width = "wide") -> Figure | None:
    """Taylor diagram of models (e.g. `spatial_skill` by model); None if no model has a correlation.

    A model beyond three times the observed standard deviation stands on the rim and is marked so in the legend.
    """
    held = {n: t for n, t in points.items() if np.isfinite(t.r) and np.isfinite(t.sd_ratio)}
    if not held:
        return None
    reach = taylor_reach([t.sd_ratio for t in held.values()])
    negative = any(t.r < 0.0 for t in held.values())
    with look():
        figure = Figure(figsize=(INCHES[width], 6.0 if width == "wide" else 5.2), layout="constrained")
        ax = taylor_axes(figure, reach, negative=negative)
        handles = []
        for i, (name, t) in enumerate(held.items()):
            colour = SERIES[i % len(SERIES)]
            marker = MARKERS[(i // len(SERIES) + i) % len(MARKERS)]
            angle, radius = math.acos(max(-1.0, min(1.0, t.r))), min(t.sd_ratio, reach)
            ax.plot(angle, radius, marker, color=colour, ms=8, zorder=3, clip_on=False)
            label = name if t.sd_ratio <= reach else f"{name} (ratio {t.sd_ratio:.1f}, on the rim)"
            handles.append(Line2D([], [], color=colour, marker=marker, ls="", label=label))
        figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=_columns([h.get_label() for h in handles], width),
            frameon=False,
            fontsize=8.5,
        )
    return figure


def _columns(labels: Sequence[object], width: Width) -> int:
    """Columns of a legend that its longest name leaves room for."""
    letters = 100 if width == "wide" else 42
    return max(1, min(4, letters // (max(len(str(name)) for name in labels) + 6)))


def ranking(ranks: pd.DataFrame, width: Width = "wide") -> Figure:
    """Overall scores of `rank_models` with their limits over resampled sites, best on top."""
    with look():
        figure = Figure(figsize=(INCHES[width], 1.1 + 0.34 * len(ranks)), layout="constrained")
        ax = figure.subplots()
        numbers = ranks[["low", "high", "overall", "first"]].to_numpy(float)
        for y, (low, high, score, first) in enumerate(numbers):
            ax.plot([low, high], [y, y], color=BLUE, lw=3.0, alpha=0.5, solid_capstyle="butt")
            ax.plot(score, y, "o", color=BLUE, ms=6)
            ax.annotate(
                f"best in {100 * first:.0f} %",
                (1.0, y),
                xycoords=("axes fraction", "data"),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                color=GREY,
            )
        ax.set(
            yticks=range(len(ranks)),
            yticklabels=_names(ranks["model"]),
            ylim=(len(ranks) - 0.5, -0.5),
            xlabel="overall score, 0 to 1",
        )
        quiet(ax)
    return figure


def _names(column: Sequence[str] | pd.Series) -> list[str]:
    return [wrapped(str(n), 24) for n in column]
