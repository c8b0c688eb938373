"""Courses of a page: the seasonal cycle of each approach by region, and its years with their trends."""

from __future__ import annotations

import calendar
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from talik.report.html import picture
from talik.report.page_tables import shown, table
from talik.report.parts.maps import MONTH, NAMES, YEAR, by_approach
from talik.report.parts.regions import order_of, rows_of
from talik.report.results import Results, content_of
from talik.report.sections import TRUTH
from talik.report.style import INCHES, INK, MARKERS, SERIES, Width, look, wrapped

Array = NDArray[np.float64]
Lines = Mapping[str, Mapping[str, tuple[Sequence[float], Array]]]
"""By region and approach: x and y."""


def seasons(results: Results) -> dict[str, Any] | None:
    """The seasonal cycle; None if no dataset has months."""
    lines = cycles(results)
    if not lines:
        return None
    unit = MONTH[results.variable]
    words = "; ".join(
        f"{region}, {name}: lowest in {_month(y, np.nanargmin)}, highest in {_month(y, np.nanargmax)}"
        for region, held in lines.items()
        for name, (_, y) in held.items()
    )
    return {
        "picture": picture(
            "seasonal_cycle",
            "Seasonal cycle",
            f"{unit}, means of years and of the models of an approach, over the land with data.",
            f"Seasonal cycle of {NAMES[results.variable]} by region and approach. {words}.",
            lambda w: course_panels(lines, unit, w, order=order_of(results), months=True),
        )
    }


def years(results: Results) -> dict[str, Any] | None:
    """Annual series by region, and what the section trends found; None with neither."""
    lines = series(results)
    found = _trends(results)
    if not lines and found is None:
        return None
    unit = YEAR[results.variable]
    words = "; ".join(
        f"{region}, {name}: {shown(float(np.nanmean(y)))} on average, {shown(float(np.nanmin(y)))} to "
        f"{shown(float(np.nanmax(y)))}"
        for region, held in lines.items()
        for name, (_, y) in held.items()
    )
    return {
        "picture": picture(
            "annual_series",
            "Year by year",
            f"{unit}, means over the land with data and over the models of an approach.",
            f"Annual {NAMES[results.variable]} by region and approach, {unit}. {words}.",
            lambda w: course_panels(lines, unit, w, order=order_of(results)),
        )
        if lines
        else None,
        "trends": found,
    }


def cycles(results: Results) -> Lines:
    """Monthly means by region and approach, groups first."""
    out: dict[str, dict[str, tuple[Sequence[float], Array]]] = {}
    for approach, drawn in by_approach(results.datasets).items():
        groups: dict[str, list[Any]] = {}
        for one in drawn:
            if one.data is not None and "season" in one.data:
                groups.setdefault(one.of.group or one.of.model, []).append(one.data["season"].mean("model"))
        if not groups:
            continue
        first = next(iter(groups.values()))[0]
        for region in first["region"].values:
            means = [
                np.mean([s.sel(region=region).to_numpy() for s in group], axis=0) for group in groups.values()
            ]
            y = _mean(np.asarray(means, np.float64))
            if np.isfinite(y).any():
                out.setdefault(str(region), {})[approach] = (list(range(1, 13)), y)
    return out


def series(results: Results) -> Lines:
    """Annual means by region and approach, groups first; of towers none, which have no years of a region."""
    if results.compare is not None:
        with content_of("compare.json"):
            rows = pd.DataFrame(results.compare["rows"])
            rows = rows[rows["year"].notna()]
    else:
        rows = rows_of(results)
    out: dict[str, dict[str, tuple[Sequence[float], Array]]] = {}
    held = rows[rows["mean"].notna()] if len(rows) else rows
    if held.empty:
        return out
    grouped = held.groupby(["region", "approach", "group", "year"], sort=False)["mean"].mean()
    mean = grouped.groupby(["region", "approach", "year"], sort=False).mean().reset_index()
    for (region, approach), one in mean.groupby(["region", "approach"], sort=False):
        one = one.sort_values("year")
        out.setdefault(str(region), {})[str(approach)] = (
            one["year"].astype(int).tolist(),
            one["mean"].to_numpy(np.float64),
        )
    for known in (d.data for d in results.datasets if d.of.approach == TRUTH and d.data is not None):
        yearly = known["yearly"].mean("model")
        for region, lines in out.items():
            if region in yearly["region"].values:
                y = yearly.sel(region=region).to_numpy()
                lines[TRUTH] = ([int(year) for year in yearly["year"].values], np.asarray(y, np.float64))
    return out


def course_panels(
    lines: Lines, unit: str, width: Width = "wide", *, order: Sequence[str] = (), months: bool = False
) -> Figure | None:
    """One panel a region with a line for each approach; None without any. order : of colours, approaches first."""
    if not lines:
        return None
    drawn = list(dict.fromkeys(n for held in lines.values() for n in held))
    names = list(dict.fromkeys([*order, *drawn]))
    columns = 1 if width == "narrow" or len(lines) == 1 else 2
    rows = math.ceil(len(lines) / columns)
    with look():
        figure = Figure(figsize=(INCHES[width], 2.2 * rows + 0.9), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for ax, (region, held) in zip(axes.ravel(), lines.items(), strict=False):
            for name, (x, y) in held.items():
                ax.plot(x, y, ms=4, lw=1.6, **_look_of(name, names))
            _axes(ax, region, months)
        for ax in axes.ravel()[len(lines) :]:
            ax.set_axis_off()
        handles = [
            Line2D([], [], ms=5, label=name, **_look_of(name, names)) for name in names if name in drawn
        ]
        figure.legend(
            handles=handles, loc="outside lower center", ncols=4 if width == "wide" else 2, frameon=False
        )
        figure.supylabel(unit, fontsize=9.5)
    return figure


def _look_of(name: str, names: Sequence[str]) -> dict[str, Any]:
    """Colour and marker of an approach; the truth is a dashed line of ink."""
    if name == TRUTH:
        return {"color": INK, "linestyle": (0, (4, 2)), "zorder": 4}
    k = names.index(name)
    return {"color": SERIES[k % len(SERIES)], "marker": MARKERS[k % len(MARKERS)]}


def _axes(ax: Axes, region: str, months: bool) -> None:
    ax.axhline(0, color=INK, lw=0.8)
    ax.set_title(wrapped(region, 36))
    ax.grid(axis="y", color="#e6e9ed", lw=0.8)
    ax.set_axisbelow(True)
    if months:
        ax.set_xticks(range(1, 13), [calendar.month_abbr[m][0] for m in range(1, 13)])
    else:
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def _trends(results: Results) -> dict[str, Any] | None:
    """The regional trends of the section; None without it."""
    if results.trends is None:
        return None
    with content_of("trends.json"):
        held = results.trends
        body = [
            [
                str(name),
                str(variable),
                str(region),
                *(shown(row[k], 2) for k in ("slope", "low", "high")),
                shown(row["p"], 3),
                "yes" if row["significant"] else "no",
                str(of["units"]).replace("yr-1", "yr⁻²"),
            ]
            for name, dataset in held["datasets"].items()
            for variable, of in dataset["variables"].items()
            for region, row in of["regions"].items()
        ]
        method, rate = str(held["method"]), float(held["false_discovery_rate"])
    heads = ["Dataset", "Flux", "Region", "#Slope", "#Low", "#High", "#p", "Significant", "Units"]
    told = f"{method}. Significant: at a false discovery rate of {100 * rate:g} % over all series here."
    return table("Trends", heads, body, told) if body else None


def _month(y: Array, pick: Callable[[Array], Any]) -> str:
    return calendar.month_name[int(pick(y)) + 1]


def _mean(stack: Array) -> Array:
    count = np.isfinite(stack).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(count > 0, np.nansum(stack, axis=0) / count, np.nan))
