"""Figures of the comparison with observed permafrost: scatter by region, and a map of differences."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from talik.report.style import BLUE, GREEN, GREY, INCHES, INK, ORANGE, PURPLE, RED, SKY, look
from talik.tem.diagnose.figures import limits, on_grid
from talik.tem.diagnose.observed import ALL, OTHER, REGIONS, Observed, Pairs, region_of

_COLOURS = dict(zip((*REGIONS, OTHER), (PURPLE, ORANGE, SKY, GREEN, RED, BLUE, GREY), strict=True))
_UNITS = {"m": "m", "degC": "°C"}


def scatter(observed: Observed) -> Figure | None:
    """Model against observation, a panel a comparison, coloured by region; None if nothing was compared."""
    shown = {name: pairs for name, pairs in observed.pairs.items() if pairs.model.size}
    if not shown:
        return None
    with look():
        figure = Figure(figsize=(INCHES["wide"], 5.6 if len(shown) < 3 else 4.1), layout="constrained")
        axes = np.atleast_1d(figure.subplots(1, len(shown)))
        for ax, (name, pairs) in zip(axes, shown.items(), strict=True):
            _panel(ax, name, pairs)
        used = {str(n) for pairs in shown.values() for n in region_of(pairs.lat, pairs.lon)}
        handles = [
            Line2D([], [], color=colour, marker="o", ls="", ms=5, label=name)
            for name, colour in _COLOURS.items()
            if name in used
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    return figure


def difference_map(observed: Observed) -> Figure | None:
    """Active layer of the model less that of the grid, on EPSG:6931; None without a grid."""
    from talik.report.maps import polar_map

    pairs = observed.pairs.get("active layer, grid")
    if pairs is None or pairs.model.size < 2:
        return None
    place = {"lat": ("cell", pairs.lat), "lon": ("cell", pairs.lon)}
    field = on_grid(xr.DataArray(pairs.model - pairs.observed, dims="cell", coords=place))
    if field is None:
        return None
    low, high = limits(field.values, centred=True)
    with look():
        figure = Figure(figsize=(5.6, 6.4), layout="constrained")
        ax = figure.add_subplot()
        lat_min = max(20.0, 5.0 * math.floor(float(pairs.lat.min()) / 5.0))
        label = f"m, means of {observed.years[0]}–{observed.years[1]}"
        polar_map(field, axes=ax, lat_min=lat_min, label=label, cmap="RdBu_r", vmin=low, vmax=high)
        ax.set_title("Active layer, model less Permafrost_cci", loc="center", pad=12)
    return figure


def _panel(ax: Axes, name: str, pairs: Pairs) -> None:
    names = region_of(pairs.lat, pairs.lon)
    size, alpha = (4.0, 0.35) if pairs.model.size > 1000 else (14.0, 0.8)
    for region, colour in _COLOURS.items():
        inside = names == region
        ax.scatter(
            pairs.observed[inside],
            pairs.model[inside],
            s=size,
            alpha=alpha,
            color=colour,
            lw=0,
            rasterized=True,
        )
    both = np.concatenate([pairs.observed, pairs.model])
    low, high = float(both.min()), float(both.max() if both.size < 1000 else np.quantile(both, 0.999))
    low = min(0.0, low) if pairs.units == "m" else low
    margin = 0.04 * (high - low) or 0.5
    ends = (low - margin, high + margin)
    ax.plot(ends, ends, color=INK, lw=0.8, zorder=0)
    ax.set(xlim=ends, ylim=ends, aspect="equal")
    units = _UNITS.get(pairs.units, pairs.units)
    ax.set_xlabel(f"observed, {units}")
    ax.set_ylabel(f"model, {units}")
    ax.set_title(f"{name[:1].upper()}{name[1:]}", pad=30)
    told = pairs.by_region()[ALL]
    lines = [f"n = {told.n:,}"]
    if told.r2 is not None:
        lines[0] += f", R² = {told.r2:.2f}"
    if told.median_bias is not None:
        lines.append(f"median bias {told.median_bias:+.2f} {units}".replace("-", "−"))
    ax.text(0.0, 1.02, "\n".join(lines), transform=ax.transAxes, fontsize=8.5)
