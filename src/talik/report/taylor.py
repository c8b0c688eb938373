"""The axes of a Taylor diagram, for models against observations."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes

from talik.report.style import GREY, INK

FARTHEST = 3.0
"""Ratio of standard deviations at which the diagram ends; what lies beyond is drawn on its rim."""


def taylor_reach(ratios: Iterable[float]) -> float:
    """Ratio of standard deviations at which the axes end, so that all `ratios` are seen, 1.5 to `FARTHEST`."""
    return min(FARTHEST, max([1.5, *(0.25 * math.ceil(4.2 * r) for r in ratios)]))


def taylor_axes(figure: Figure, reach: float, *, negative: bool) -> PolarAxes:
    """Empty axes of a Taylor diagram: correlation around, standard deviation outward, dotted circles of centred error.

    A point stands at the angle arccos(r) and the radius of its ratio of standard deviations. `negative` opens the
    half with negative correlations. Source: Taylor 2001 (J. Geophys. Res. 106, 7183).
    """
    ax = figure.add_subplot(projection="polar")
    if not isinstance(ax, PolarAxes):
        raise TypeError("polar projection without polar axes")
    correlations = [0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99, 1.0]
    if negative:
        correlations = [-c for c in correlations[:0:-1] if c not in (0.2, 0.6)] + correlations
    ax.set_thetamin(0.0)
    ax.set_thetamax(180.0 if negative else 90.0)
    ax.set_rlim(0.0, reach)
    ax.set_thetagrids(
        [math.degrees(math.acos(c)) for c in correlations], [f"{c:g}".replace("-", "−") for c in correlations]
    )
    ax.set_rgrids(np.arange(0.5, reach + 0.01, 0.5).tolist(), angle=0.0)
    ax.grid(color="#e6e9ed", lw=0.8)
    around = np.linspace(0.0, np.pi, 200)
    ax.plot(around, np.ones_like(around), color=INK, lw=0.9, ls="--", zorder=1)
    for error in np.arange(0.5, reach + 1.0, 0.5):
        x, y = 1.0 + error * np.cos(around), error * np.sin(around)
        angle, radius = np.arctan2(y, x), np.hypot(x, y)
        inside = radius <= reach
        ax.plot(angle[inside], radius[inside], color=GREY, lw=0.6, ls=":", zorder=1)
    ax.plot(0.0, 1.0, "*", ms=12, color=INK, zorder=4, clip_on=False)
    ax.annotate("observed", (0.0, 1.0), xytext=(0, -24), textcoords="offset points", ha="center", fontsize=9)
    ax.set_xlabel(
        "angle: correlation\ndistance: standard deviation over that observed", labelpad=26, fontsize=9
    )
    return ax
