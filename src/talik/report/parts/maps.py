"""Maps of a page: the mean year of each approach, its months, and where approaches agree."""

from __future__ import annotations

import calendar
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from talik.report.map_images import CMAP, bar, flux_image, layers, limit_of
from talik.report.maps import PolarMap
from talik.report.numbers import number
from talik.report.page_tables import shown
from talik.report.reduce import SOUTH, Array, canvas, mean_of
from talik.report.results import Drawn, Results
from talik.report.style import INCHES, Width, look, wrapped

NAMES = {"nee": "net ecosystem exchange (NEE)", "fch4": "methane"}
YEAR = {"nee": "g C m⁻² yr⁻¹", "fch4": "g CH₄-C m⁻² yr⁻¹"}
MONTH = {"nee": "g C m⁻² month⁻¹", "fch4": "g CH₄-C m⁻² month⁻¹"}
_SHOWN_FIRST = 7


def part(results: Results) -> dict[str, Any] | None:
    """Small multiples of approaches, and twelve frames of months; None without a flux dataset."""
    held = approach_maps(results, "annual")
    notes = [
        f"{', '.join(dict.fromkeys((d.of.approach, d.of.model)))}: {d.note}"
        for d in results.datasets
        if d.note
    ]
    if not held:
        return {"maps": [], "months": None, "notes": notes} if notes else None
    limit = limit_of(*held.values())
    unit = YEAR[results.variable]
    what = NAMES[results.variable]
    return {
        "layers": layers(),
        "what": what,
        "unit": unit,
        "bar": bar(limit, unit, f"mean annual {what}"),
        "maps": [
            {
                "name": name,
                "models": _models(results, name),
                "image": flux_image(field, limit),
                "alt": f"Polar map of the mean annual {what} of {name}. {_told(field, unit)}",
            }
            for name, field in held.items()
        ],
        "months": _months(results),
        "notes": notes,
    }


def approach_maps(results: Results, variable: str) -> dict[str, Array]:
    """By approach the mean of its maps: first over the datasets of a group, then over groups."""
    out: dict[str, Array] = {}
    for approach, drawn in by_approach(results.datasets).items():
        groups: dict[str, list[xr.Dataset]] = {}
        for one in drawn:
            if one.data is not None:
                groups.setdefault(one.of.group or one.of.model, []).append(one.data)
        means = [m for m in (mean_of(group, variable) for group in groups.values()) if m is not None]
        if means:
            mean = mean_of([xr.Dataset({"m": (tuple("abc"[: m.ndim]), m)}) for m in means], "m")
            if mean is not None and np.isfinite(mean).any():
                out[approach] = mean
    return out


def by_approach(datasets: Sequence[Drawn]) -> dict[str, list[Drawn]]:
    """Datasets of each approach, in order."""
    out: dict[str, list[Drawn]] = {}
    for drawn in datasets:
        out.setdefault(drawn.of.approach, []).append(drawn)
    return out


def _models(results: Results, approach: str) -> str:
    names = [d.of.model for d in results.datasets if d.of.approach == approach and d.data is not None]
    if names == [approach]:
        return ""
    return ", ".join(names) if len(names) <= 3 else f"mean of {len(names)}"


def _told(field: Array, unit: str) -> str:
    values = field[np.isfinite(field)]
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
    sinks = 100.0 * float((values < 0).mean())
    return (
        f"Of its cells 90 % lie between {shown(low)} and {shown(high)} {unit}, the median is {shown(middle)}; "
        f"{number(sinks, 0)} % of the land with data takes up."
    )


def _months(results: Results) -> dict[str, Any] | None:
    """A frame of maps for each month; None if no dataset has months."""
    held = approach_maps(results, "month_map")
    if not held:
        return None
    limit = limit_of(*held.values())
    unit, what = MONTH[results.variable], NAMES[results.variable]
    frames = []
    for m in range(12):
        month = calendar.month_name[m + 1]
        maps = [
            {
                "name": name,
                "models": "",
                "image": flux_image(field[m], limit),
                "alt": f"Polar map of the {what} of {name} in {month}. {_mean(field[m], unit)}",
            }
            for name, field in held.items()
        ]
        frames.append({"number": m + 1, "name": month, "short": calendar.month_abbr[m + 1], "maps": maps})
    return {"frames": frames, "first": _SHOWN_FIRST, "bar": bar(limit, unit, f"monthly {what}")}


def _mean(field: Array, unit: str) -> str:
    seen = np.isfinite(field)
    return f"Mean of the map {shown(float(field[seen].mean()))} {unit}." if seen.any() else "No value."


def approach_figure(results: Results, width: Width = "wide") -> Figure | None:
    """The maps of approaches as a figure, in one colour scale; None without any."""
    held = approach_maps(results, "annual")
    if not held:
        return None
    return _panels(held, limit_of(*held.values()), YEAR[results.variable], width)


def season_figure(results: Results, width: Width = "wide") -> Figure | None:
    """Maps of four months (rows) by approach (columns); None without months."""
    held = approach_maps(results, "month_map")
    if not held:
        return None
    maps = {
        f"{name}, {calendar.month_name[m + 1]}": field[m]
        for m in (0, 3, 6, 9)
        for name, field in held.items()
    }
    columns = len(held) if width == "wide" else 2
    return _panels(maps, limit_of(*held.values()), MONTH[results.variable], width, columns)


def _panels(
    maps: dict[str, Array], limit: float, unit: str, width: Width, columns: int | None = None
) -> Figure:
    columns = min(columns or (4 if width == "wide" else 2), len(maps))
    rows = math.ceil(len(maps) / columns)
    edge = INCHES[width] / columns
    grid = canvas()
    with look():
        figure = Figure(figsize=(INCHES[width], rows * (edge + 0.3) + 0.7), dpi=160, layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
        norm = Normalize(-limit, limit)
        for ax, (name, field) in zip(axes.ravel(), maps.items(), strict=False):
            drawn = PolarMap(ax, lat_min=SOUTH)
            drawn.land().set_rasterized(True)  # as outlines each map would be a megabyte of SVG
            data = xr.DataArray(field, dims=grid.dims, coords=grid.coords())
            drawn.field(data, grid=grid, cmap=CMAP, vmin=-limit, vmax=limit)
            drawn.coastlines(width=0.3).set_rasterized(True)
            drawn.graticule(labels=False)
            ax.set_title(wrapped(name, max(10, int(12 * edge))), loc="center", fontsize=9.5)
        for ax in axes.ravel()[len(maps) :]:
            ax.set_axis_off()
        colours = figure.colorbar(
            ScalarMappable(norm, CMAP),
            ax=axes,
            orientation="horizontal",
            shrink=0.6,
            aspect=40,
            extend="both",
        )
        colours.set_label(unit, fontsize=9)
    return figure
