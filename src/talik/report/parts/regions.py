"""Regions of a page: totals of approaches with limits, the truth where it is known, and means over the land."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from talik.compare.figures import DIRECTION, region_panels
from talik.compare.result import synthesis_of
from talik.compare.synthesis import Synthesis, combine
from talik.errors import InputError
from talik.report.estimates import UNIT, Estimate, estimates, regions_of, truths
from talik.report.html import picture
from talik.report.numbers import quantity
from talik.report.page_tables import shown, table
from talik.report.parts.maps import NAMES, YEAR, by_approach
from talik.report.results import Results, content_of
from talik.report.sections import TRUTH
from talik.report.style import GREY, INCHES, MARKERS, RED, SERIES, Width, look, quiet, wrapped, zero_line


def part(results: Results) -> dict[str, Any] | None:
    """Totals, if an approach gives any, and means; None where there is neither."""
    found = estimates(results)
    means = synthesis(results)
    if not found and means is None:
        return None
    return {
        "totals": _totals(found, order_of(results)),
        "means": None if means is None else _means(results, means),
    }


def synthesis(results: Results) -> Synthesis | None:
    """Means of regions by approach: of section compare, else of the flux datasets; None without any."""
    if results.compare is not None:
        with content_of("compare.json"):
            return synthesis_of(results.compare)
    rows = rows_of(results)
    if rows.empty or rows["mean"].isna().all():
        return None
    try:
        return combine(rows)
    except InputError:
        return None


def order_of(results: Results) -> list[str]:
    """Approaches in the order of their colours: those of the comparison, towers among them, then the others."""
    means = synthesis(results)
    compared = [] if means is None else [str(a) for a in means.mean.columns]
    return list(dict.fromkeys(n for n in (*compared, *by_approach(results.datasets)) if n != TRUTH))


def rows_of(results: Results) -> pd.DataFrame:
    """A row for each dataset, model, region and year: mean, g m-2 year-1."""
    rows = []
    for drawn in results.datasets:
        if drawn.data is None or drawn.of.approach == TRUTH:
            continue
        yearly = drawn.data["yearly"]
        one = len(yearly["model"]) == 1
        for model in yearly["model"].values:
            for region in yearly["region"].values:
                for year in yearly["year"].values:
                    rows.append(
                        {
                            "approach": drawn.of.approach,
                            "model": drawn.of.model if one else str(model),
                            "group": drawn.of.group or (drawn.of.model if one else str(model)),
                            "region": str(region),
                            "year": int(year),
                            "mean": float(yearly.sel(model=model, region=region, year=year)),
                            "sd": math.nan,
                        }
                    )
    columns = ["approach", "model", "group", "region", "year", "mean", "sd"]
    return pd.DataFrame(rows, columns=columns)


def _totals(found: Sequence[Estimate], order: Sequence[str]) -> dict[str, Any] | None:
    if not found:
        return None
    known = truths(found)
    words = "; ".join(
        f"{region}: "
        + ", ".join(f"{e.label} {_number(e)}" for e in found if e.region == region)
        + (f", truth {shown(known[region])}" if region in known else "")
        for region in regions_of(found)
    )
    columns = ["Region", "Approach", f"#{UNIT}, 95 % limits"]
    columns += ["#Truth", "Inside"] if known else []
    rows = []
    for region in regions_of(found):
        for e in (e for e in found if e.region == region):
            row = [region, e.label, _number(e)]
            if known:
                row += [shown(e.truth), "–" if e.inside is None else "yes" if e.inside else "no"]
            rows.append([*row, e.kind])
    return {
        "picture": picture(
            "region_totals",
            "Totals of regions",
            f"{UNIT}, release to the atmosphere is positive. Dots are means, bars 95 % limits as each approach gives "
            "them" + ("; the line is the truth of this made world." if known else "."),
            f"Totals of regions by approach, {UNIT}. {words}.",
            lambda w: totals_figure(found, w, order),
        ),
        "table": table("Totals of regions", [*columns, "Limits are"], rows),
    }


def _number(e: Estimate) -> str:
    return shown(e.mean) if e.limits is None else quantity(e.mean, *e.limits)


def _means(results: Results, means: Synthesis) -> dict[str, Any]:
    unit = YEAR[results.variable]
    held = means.mean
    words = "; ".join(
        f"{region}: {', '.join(f'{a} {shown(float(held.loc[region, a]))}' for a in held.columns)}"
        for region in held.index
    )
    spread = (
        "Bars are one spatial standard deviation to either side; the"
        if means.sd.notna().any(axis=None)
        else "The"
    )
    return {
        "picture": picture(
            "region_means",
            "Means of regions",
            f"{unit}, means over the land with data. {spread} dotted line is the median of approaches.",
            f"Mean {NAMES[results.variable]} of regions by approach, {unit}. {words}.",
            lambda w: region_panels(means, w, units=unit),
        ),
        "table": table(
            "Means of regions by approach",
            ["Region", *(f"#{a}" for a in held.columns), "#Median", "#Range"],
            [
                [
                    str(region),
                    *(shown(float(held.loc[region, a])) for a in held.columns),
                    *(shown(float(means.regions.loc[region, k])) for k in ("median", "range")),
                ]
                for region in held.index
            ],
            f"{unit}, negative is uptake.",
        ),
    }


def totals_figure(
    found: Sequence[Estimate], width: Width = "wide", order: Sequence[str] = ()
) -> Figure | None:
    """One panel a region: each approach a dot with its limits, the truth a line; None without any.

    order : of colours, approaches first.
    """
    if not found:
        return None
    regions = regions_of(found)
    labels = list(dict.fromkeys(e.label for e in found))
    approaches = list(dict.fromkeys([*order, *(e.approach for e in found)]))
    known = truths(found)
    columns = 1 if width == "narrow" or len(regions) == 1 else 2
    rows = math.ceil(len(regions) / columns)
    each = 0.3 * len(labels) + 0.75
    with look():
        figure = Figure(figsize=(INCHES[width], each * rows + 0.9), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
        for k, ax in enumerate(axes.ravel()):
            if k >= len(regions):
                ax.set_axis_off()
                continue
            here = [e for e in found if e.region == regions[k]]
            _panel(ax, here, labels, approaches, known.get(regions[k]), width)
            ax.set_title(wrapped(regions[k], 36))
            if k % columns:
                ax.tick_params(labelleft=False)
        if known:
            handle = Line2D([], [], color=RED, lw=1.6, label="truth")
            figure.legend(handles=[handle], loc="outside upper right", frameon=False)
        figure.supxlabel(f"{UNIT}\n{DIRECTION}", fontsize=9)
    return figure


def _panel(
    ax: Axes,
    here: Sequence[Estimate],
    labels: Sequence[str],
    approaches: Sequence[str],
    truth: float | None,
    width: Width,
) -> None:
    for e in here:
        y = labels.index(e.label)
        k = approaches.index(e.approach)
        colour, marker = SERIES[k % len(SERIES)], MARKERS[k % len(MARKERS)]
        if e.limits is not None:
            ax.plot(e.limits, [y, y], color=colour, lw=5, alpha=0.4, solid_capstyle="butt", zorder=2)
        ax.plot(e.mean, y, marker, color=colour, ms=6.5, mec="white", mew=0.8, zorder=3)
    held = {e.label for e in here}
    for y, name in enumerate(labels):
        if name not in held:
            place = ax.get_yaxis_transform()
            ax.text(0.5, y, "not given", color=GREY, ha="center", va="center", transform=place)
    if truth is not None:
        ax.axvline(truth, color=RED, lw=1.6, zorder=1)
    names = [wrapped(name, 22 if width == "wide" else 16) for name in labels]
    ax.set(yticks=range(len(labels)), yticklabels=names, ylim=(len(labels) - 0.4, -0.6))
    ax.margins(x=0.08)
    quiet(ax)
    zero_line(ax)
    if np.ptp(ax.get_xlim()) == 0:
        ax.set_xlim(-1, 1)
