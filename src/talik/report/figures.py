"""Figures of a budget. Each takes a budget and a width and returns a Figure, or None if there is nothing to draw."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from talik.budget.compute import Budget
from talik.budget.gwp import PARTS
from talik.posts import COMBINATIONS, Post
from talik.report.flow import component_flow_ch4, component_flow_co2
from talik.report.numbers import gas_name, label, post_quantity, short_label, unit_name
from talik.report.style import (
    ASSUMPTION,
    GAS,
    GREEN,
    GREY,
    INCHES,
    INK,
    PURPLE,
    SIDE,
    Width,
    look,
    quiet,
    wrapped,
    zero_line,
)

BARS = (
    "bottom_up.inventory_land",
    "bottom_up.process_land",
    "bottom_up.vegetated_land",
    "bottom_up.natural",
    "top_down.natural",
    "bottom_up.with_anthropogenic",
    "top_down.with_anthropogenic",
)
TOTALS = (
    "bottom_up.natural",
    "top_down.natural",
    "bottom_up.with_anthropogenic",
    "top_down.with_anthropogenic",
)
DIRECTION = "← uptake by land   |   release to the atmosphere →"
_ALTERNATIVE = {"bottom_up.inventory_land": GREEN, "bottom_up.process_land": PURPLE}

Drawing = Callable[[Budget, Width], Figure | None]


def budget_bars(budget: Budget, width: Width = "wide") -> Figure | None:
    """Mean and limits of the main derived posts, one panel a gas."""
    posts = budget.evaluation.posts
    ids = [i for i in BARS if any((i, g) in posts for g in PARTS)]
    ids = ids or list(dict.fromkeys(p.id for p in budget.evaluation.derived if p.gas in PARTS))[:12]
    gases = [g for g in PARTS if any((i, g) in posts for i in ids)]
    if not gases:
        return None
    fig, axes = _panels(len(gases), len(ids), width)
    for ax, gas in zip(axes, gases, strict=True):
        rows = ids if width == "wide" else [i for i in ids if (i, gas) in posts]
        for y, post_id in enumerate(rows):
            if (post := posts.get((post_id, gas))) is not None:
                _interval(ax, y, post, _colour(post_id))
            else:
                ax.annotate(
                    "not estimated",
                    (0.5, y),
                    xycoords=("axes fraction", "data"),
                    color=GREY,
                    ha="center",
                    va="center",
                    fontsize=9,
                )
        _finish(ax, rows, gas, posts[next((i, gas) for i in ids if (i, gas) in posts)].unit)
    _direction(fig)
    return fig


def limits_by_assumption(budget: Budget, width: Width = "wide") -> Figure | None:
    """Limits of the natural totals under the three assumptions about dependence."""
    e = budget.evaluation
    ids = [i for i in TOTALS[:2] if any((i, g) in e.posts for g in PARTS)]
    ids = ids or list(dict.fromkeys(p.id for p in e.derived if p.gas in PARTS))[:4]
    gases = [g for g in PARTS if any((i, g) in e.posts for i in ids)]
    names = [n for n in COMBINATIONS if n in e.limits]
    if not gases:
        return None
    fig, axes = _panels(len(gases), len(ids) * 1.6, width, extra=0.4)
    for ax, gas in zip(axes, gases, strict=True):
        for y, post_id in enumerate(ids):
            post = e.posts.get((post_id, gas))
            if post is None:
                continue
            for k, name in enumerate(names):
                lim = e.limits[name][post.key]
                at = y + (k - (len(names) - 1) / 2) * 0.25
                ax.plot(
                    [lim.low, lim.high],
                    [at, at],
                    color=ASSUMPTION[name],
                    lw=5,
                    solid_capstyle="butt",
                    zorder=2,
                )
                ax.plot(post.mean, at, "o", ms=4, color="white", mec=INK, zorder=3)
        _finish(ax, ids, gas, e.posts[next((i, gas) for i in ids if (i, gas) in e.posts)].unit)
    handles = [Line2D([], [], color=ASSUMPTION[n], lw=5, label=n) for n in names]
    fig.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return fig


def gwp_stack(budget: Budget, width: Width = "wide") -> Figure | None:
    """CO2-equivalent totals, stacked by gas, with the net and its limits."""
    posts = budget.evaluation.posts
    ids = [i for i in TOTALS if (i, "CO2e") in posts]
    ids = ids or [p.id for p in budget.evaluation.derived if p.gas == "CO2e" and p.part_of is None][:8]
    if not ids:
        return None
    with look():
        fig = Figure(figsize=(INCHES[width], 1.5 + 0.5 * len(ids)), layout="constrained")
        ax = fig.subplots()
        for y, post_id in enumerate(ids):
            ends = {True: 0.0, False: 0.0}
            for gas, part in PARTS.items():
                value = posts[f"{post_id}.{part}", "CO2e"].mean
                up = value >= 0
                ax.barh(y, value, left=ends[up], height=0.56, color=GAS[gas], zorder=2)
                ends[up] += value
            net = posts[post_id, "CO2e"]
            ax.plot([net.low, net.high], [y, y], color=INK, lw=1.4, zorder=4)
            ax.plot(net.mean, y, "D", ms=6, color="white", mec=INK, mew=1.4, zorder=5)
        _finish(ax, ids, "CO2e", posts[ids[0], "CO2e"].unit, title=f"GWP over {budget.metric.horizon} years")
        net_key = Line2D([], [], marker="D", color=INK, mfc="white", lw=1.4, label="net, 95 %")
        handles = [*(Patch(color=GAS[g], label=gas_name(g)) for g in PARTS), net_key]
        fig.legend(
            handles=handles, loc="outside lower center", ncols=4 if width == "wide" else 2, frameon=False
        )
    return fig


def variance_shares(budget: Budget, width: Width = "wide") -> Figure | None:
    """Which inputs make the natural (or first) total uncertain, under each assumption."""
    e = budget.evaluation
    ids = {
        g: next(
            (p for p in e.derived if p.gas == g and p.id in ("bottom_up.natural", "total.inventory")), None
        )
        for g in PARTS
    }
    chosen = {g: p for g, p in ids.items() if p is not None and len(e.weights[p.key]) > 1}
    if not chosen:
        return None
    names = [n for n in COMBINATIONS if n in e.limits]
    tops = {g: _largest(budget, p, names) for g, p in chosen.items()}
    with look():
        tallest = max(len(t) for t in tops.values())
        if width == "wide":
            fig = Figure(figsize=(INCHES[width], 1.5 + 0.5 * tallest), layout="constrained")
            axes = np.atleast_1d(fig.subplots(1, len(chosen)))
        else:
            fig = Figure(
                figsize=(INCHES[width], 0.9 + sum(0.75 + 0.5 * len(t) for t in tops.values())),
                layout="constrained",
            )
            ratios = [0.9 + 0.5 * len(t) for t in tops.values()]
            axes = np.atleast_1d(fig.subplots(len(chosen), 1, height_ratios=ratios))
        for ax, (gas, post) in zip(axes, chosen.items(), strict=True):
            keys = tops[gas]
            for k, name in enumerate(names):
                shares = [e.limits[name][post.key].shares[key] for key in keys]
                at = np.arange(len(keys)) + (k - (len(names) - 1) / 2) * 0.26
                ax.barh(at, np.array(shares) * 100, height=0.24, color=ASSUMPTION[name], zorder=2)
            ax.set_yticks(range(len(keys)), [wrapped(label(i), 21) for i, _ in keys])
            ax.invert_yaxis()
            ax.set_title(gas_name(gas))
            ax.set_xlabel("share of width, %")
            ax.xaxis.set_major_locator(MaxNLocator(4))
            quiet(ax)
        handles = [Patch(color=ASSUMPTION[n], label=n) for n in names]
        fig.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return fig


FIGURES: dict[str, tuple[Drawing, str, str]] = {
    "budget_bars": (
        budget_bars,
        "Budget by gas and approach",
        "Mean (dot) and 95 % limits (bar) of each derived post.",
    ),
    "gwp_stack": (
        gwp_stack,
        "The three gases in one unit",
        "CO2 equivalents by gas; the diamond is the net of the three, its line the 95 % limits.",
    ),
    "component_flow_co2": (
        component_flow_co2,
        "Where natural CO2 comes from",
        "Components (left) and how the recipe adds them. Band width is the size of the contribution.",
    ),
    "component_flow_ch4": (
        component_flow_ch4,
        "Where natural CH4 comes from",
        "Components (left) and how the recipe adds them. Band width is the size of the contribution.",
    ),
    "limits_by_assumption": (
        limits_by_assumption,
        "How sure, under three assumptions",
        "Limits of the natural totals if inputs err together (linear), alone (independent), or partly together "
        "(correlated).",
    ),
    "variance_shares": (
        variance_shares,
        "What drives the width",
        "Share of the bottom-up natural interval (linear) or variance (independent, correlated) by input.",
    ),
}
"""Name of each figure: how to draw it, its title, its caption."""


def _panels(count: int, rows: float, width: Width, extra: float = 0.0) -> tuple[Figure, list[Axes]]:
    with look():
        if width == "wide":
            fig = Figure(figsize=(INCHES[width], 1.35 + extra + 0.36 * rows), layout="constrained")
            axes = fig.subplots(1, count, sharey=True)
        else:
            fig = Figure(figsize=(INCHES[width], extra + count * (1.0 + 0.36 * rows)), layout="constrained")
            axes = fig.subplots(count, 1)
        return fig, list(np.atleast_1d(axes))


def _interval(ax: Axes, y: float, post: Post, colour: str) -> None:
    ax.plot([post.low, post.high], [y, y], color=colour, lw=7, alpha=0.45, solid_capstyle="butt", zorder=2)
    ax.plot(post.mean, y, "o", ms=7, color=colour, mec="white", mew=1, zorder=3)


def _finish(ax: Axes, ids: Sequence[str], gas: str, unit: str, title: str | None = None) -> None:
    with look():
        ax.set_yticks(range(len(ids)), [wrapped(label(i), 24) for i in ids])
        ax.set_ylim(len(ids) - 0.4, -0.6)
        ax.set_title(title or gas_name(gas))
        ax.set_xlabel(unit_name(unit))
        ax.xaxis.set_major_locator(MaxNLocator(4 if ax.get_position().width < 0.5 else 6))
        ax.margins(x=0.08)
        zero_line(ax)
        quiet(ax)


def _direction(fig: Figure) -> None:
    fig.supxlabel(DIRECTION, fontsize=9, color="#4a5763")


def _colour(post_id: str) -> str:
    return _ALTERNATIVE.get(post_id) or SIDE.get(post_id.partition(".")[0], SIDE["bottom_up"])


def _largest(budget: Budget, post: Post, names: Sequence[str], count: int = 6) -> list[tuple[str, str]]:
    limits = [budget.evaluation.limits[n][post.key].shares for n in names]
    keys = sorted(limits[0], key=lambda k: -max(s[k] for s in limits))
    return keys[:count]


def alt_text(name: str, budget: Budget) -> str:
    """What the figure shows, in words and numbers, for readers who cannot see it."""
    title = FIGURES[name][1]
    gases = ("CO2e",) if name == "gwp_stack" else tuple(PARTS)
    told = [
        f"{gas_name(p.gas)} {short_label(p.id).lower()} {p.id.partition('.')[0].replace('_', '-')}: {post_quantity(p)}"
        for p in budget.evaluation.derived
        if p.id in TOTALS[:2] and p.gas in gases
    ]
    return f"{title}. " + "; ".join(told)
