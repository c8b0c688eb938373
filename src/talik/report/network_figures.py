"""Figures of a planned network: where towers stand and would help, and what each more brings."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from talik.regions import EqualAreaGrid, grid_of
from talik.report.maps import polar_map
from talik.report.style import BLUE, GREY, INCHES, INK, ORANGE, RED, look

SHOWN = {"variance": "variance_removed", "dissimilarity": "dissimilarity", "influence": "leaning"}
"""Criterion to the field of the map."""
LABELS = {
    "variance_removed": "share of the budget's variance that a tower here would remove (%)",
    "dissimilarity": "dissimilarity to the nearest tower (1)",
    "leaning": "share of the budget on the towers that this cell leans on (%)",
}
MOST = 0.995
"""Quantile at which the colours end."""


def network_map(maps: xr.Dataset, existing: pd.DataFrame, proposed: pd.DataFrame, criterion: str) -> Figure:
    """Polar map of a criterion before any new tower, with existing towers and the proposed ones by rank.

    maps, existing, proposed : of `talik.upscaling.network.NetworkDesign`.
    """
    name = SHOWN[criterion]
    field = maps[name] * (1.0 if name == "dissimilarity" else 100.0)
    known = field.values[np.isfinite(field.values)]
    top = float(np.quantile(known, MOST)) if known.size else 1.0
    field = xr.DataArray(field.values, dims=maps[name].dims, coords=maps[name].coords, name=name)
    grid = grid_of(maps)
    south = _south(maps[name], grid)
    with look():
        drawn = polar_map(field, lat_min=south, label=LABELS[name], cmap="YlGnBu", vmin=0.0, vmax=top or 1.0)
        old = existing.dropna(subset=["lat", "lon"])
        old = old[old["lat"] >= south]
        x, y = drawn.xy(old["lon"].to_numpy(), old["lat"].to_numpy())
        drawn.axes.scatter(
            x, y, s=13, color=INK, edgecolor="white", linewidth=0.5, zorder=11, label="existing"
        )
        x, y = drawn.xy(proposed["lon"].to_numpy(), proposed["lat"].to_numpy())
        drawn.axes.scatter(
            x, y, s=95, color=RED, edgecolor="white", linewidth=0.8, zorder=12, label="proposed"
        )
        for rank, a, b in zip(proposed["rank"], x, y, strict=True):
            drawn.axes.text(
                a,
                b,
                str(rank),
                ha="center",
                va="center",
                color="white",
                fontsize=7,
                fontweight="bold",
                zorder=13,
            )
        drawn.axes.legend(loc="lower left", frameon=False, fontsize=8.5)
    return drawn.figure


def _south(field: xr.DataArray, grid: object) -> float:
    """Latitude at which the map ends: five degrees south of the field, 45..75."""
    known = np.isfinite(field.values)
    if isinstance(grid, EqualAreaGrid):
        lat = grid.lonlat()[1].values
    else:
        lat = np.broadcast_to(np.asarray(field["lat"].values)[:, None], field.shape)
    return float(np.clip(5 * np.floor(lat[known].min() / 5), 45.0, 75.0)) if known.any() else 45.0


def gain_curve(curve: pd.DataFrame) -> Figure:
    """What is left of the budget's variance and of the dissimilarity, by number of towers, beside random places."""
    with look():
        figure = Figure(figsize=(INCHES["wide"] * 0.62, 3.4), layout="constrained")
        ax = figure.add_subplot()
        towers = curve["towers"]
        if curve["random_mean"].notna().any():
            ax.fill_between(
                towers, 100 * curve["random_low"], 100 * curve["random_high"], color=GREY, alpha=0.22, lw=0
            )
            ax.plot(towers, 100 * curve["random_mean"], color=GREY, lw=1.4, label="variance, random places")
        for name, colour, label in (
            ("variance_left", BLUE, "variance of the budget, proposed"),
            ("dissimilarity_left", ORANGE, "dissimilarity of the region, proposed"),
        ):
            if curve[name].notna().any():
                ax.plot(towers, 100 * curve[name], color=colour, lw=1.8, marker="o", ms=4, label=label)
        ax.set(xlabel="new towers", ylabel="expected to be left (%)", xticks=_ticks(len(curve)))
        ax.set_ylim(top=101)
        ax.grid(axis="y", color="#e6e9ed", lw=0.8)
        ax.set_axisbelow(True)
        ax.legend(frameon=False, fontsize=8.5)
    return figure


def _ticks(n: int) -> list[int]:
    return list(range(0, n, max(1, n // 10)))
