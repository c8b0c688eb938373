"""Figures of model-data fusion. Each takes numbers and a width and returns a Figure, or None if there is none to draw.

`alt_...` says in words what a figure shows.
"""

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

from talik.fusion.calibration import Array, ecdf, ecdf_band
from talik.fusion.parameters import PARAMETERS
from talik.fusion.switches import BEST, Switches, bounds
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
    quiet,
    zero_line,
)

NAMES: Mapping[str, str] = {
    "gpp": "GPP",
    "npp": "NPP",
    "ra": "autotrophic respiration",
    "rh": "heterotrophic respiration",
    "nee": "NEE",
    "fFire": "fire",
    "fire": "fire",
    "nbp": "NBP",
    "nbe": "NBE",
    "lai": "LAI",
    "cWood": "wood",
    "cSoil": "soil carbon",
    "cue": "carbon use efficiency",
    "mrt": "residence time",
}
"""What variables are called in figures; others by their own name."""
USES: Mapping[str, tuple[str, str]] = {"assimilated": (INK, "assimilated"), "left_out": (RED, "left out")}
_SAMPLERS = (BLUE, ORANGE, GREEN, PURPLE, RED, SKY)
_INNER, _OUTER = ("q25", "q75"), ("q2.5", "q97.5")
_LEAST_PANEL = 1.75


def pixel_series(months: pd.DataFrame, width: Width = "wide") -> Figure | None:
    """Monthly course of the variables of one pixel with 50 and 95 % limits, against observations.

    months : columns variable, time (dates), q2.5, q25, q50, q75, q97.5, units, and observed, sd, use ("assimilated" or
    "left_out"), empty where nothing was observed. A panel for each variable, in the order of the rows.
    """
    variables = list(dict.fromkeys(months["variable"]))
    if not variables:
        return None
    with look():
        figure = Figure(figsize=(INCHES[width], 0.7 + _LEAST_PANEL * len(variables)), layout="constrained")
        axes = figure.subplots(len(variables), 1, squeeze=False, sharex=True)[:, 0]
        for ax, name in zip(axes, variables, strict=True):
            rows = months[months["variable"] == name].sort_values("time")
            for (low, high), alpha in ((_OUTER, 0.22), (_INNER, 0.45)):
                ax.fill_between(rows["time"], rows[low], rows[high], color=BLUE, alpha=alpha, lw=0)
            ax.plot(rows["time"], rows["q50"], color=BLUE, lw=1.1)
            for use, (colour, _) in USES.items():
                seen = rows[(rows["use"] == use) & rows["observed"].notna()]
                ax.errorbar(
                    seen["time"],
                    seen["observed"],
                    seen["sd"],
                    fmt="o",
                    color=colour,
                    ms=2.6,
                    lw=0.6,
                    zorder=3,
                )
            ax.set_title(NAMES.get(name, name), fontsize=9.5)
            ax.set_ylabel(_units(rows), fontsize=8.5)
            ax.grid(color="#e6e9ed", lw=0.6)
            if rows["q2.5"].min() < 0 < rows["q97.5"].max():
                ax.axhline(0, color=INK, lw=0.7)
        used = [use for use in USES if ((months["use"] == use) & months["observed"].notna()).any()]
        handles: list[Any] = [
            Line2D([], [], color=BLUE, label="median"),
            Patch(color=BLUE, alpha=0.55, lw=0, label="50 %"),
            Patch(color=BLUE, alpha=0.22, lw=0, label="95 %"),
            *(Line2D([], [], color=USES[u][0], marker="o", ls="", ms=4, label=USES[u][1]) for u in used),
        ]
        _legend(figure, handles, width)
    return figure


def alt_pixel_series(months: pd.DataFrame, site: str) -> str:
    """The figure of `pixel_series` in words: how many observations lie within the limits."""
    told = []
    for use, (_, name) in USES.items():
        seen = months[(months["use"] == use) & months["observed"].notna()]
        if len(seen):
            held = ((seen["observed"] >= seen["q2.5"]) & (seen["observed"] <= seen["q97.5"])).mean()
            told.append(f"{100 * held:.0f} % of {len(seen)} values {name}")
    variables = ", ".join(NAMES.get(v, v) for v in dict.fromkeys(months["variable"]))
    inside = f" Within the 95 % limits of the model: {'; '.join(told)}." if told else ""
    return f"Monthly course at {site} with 50 and 95 % limits: {variables}.{inside}"


def parameter_widths(
    prior: Array,
    posterior: Array,
    *,
    truth: Array | None = None,
    switches: Switches = BEST,
    width: Width = "wide",
) -> Figure | None:
    """What the data say of each of the 28 parameters: 95 % of the prior and of the posterior within the bounds.

    prior, posterior : (draw, 28) values; the prior with its constraints, best from a run without data. truth :
    (28,), of a twin. The axis runs from the lower to the upper bound, in logarithms, the measure of the prior. Beside
    each name stands the width of the posterior as a share of that of the prior.
    """
    if not np.isfinite(posterior).all() or not posterior.size:
        return None
    low, high = bounds(switches)
    scaled = [np.log(v / low) / np.log(high / low) for v in (prior, posterior)]
    ends = [np.quantile(v, (0.025, 0.25, 0.5, 0.75, 0.975), axis=0) for v in scaled]
    share = (ends[1][4] - ends[1][0]) / (ends[0][4] - ends[0][0])
    names = [f"{p.name.replace('_', ' ')}  {100 * s:.0f} %" for p, s in zip(PARAMETERS, share, strict=True)]
    rows = np.arange(len(PARAMETERS))
    with look():
        figure = Figure(figsize=(INCHES[width], 7.4), layout="constrained")
        ax = figure.subplots()
        quiet(ax)
        ax.hlines(rows, ends[0][0], ends[0][4], color="#d5dae0", lw=7, zorder=1)
        ax.hlines(rows, ends[1][0], ends[1][4], color=SKY, lw=4, zorder=2)
        ax.hlines(rows, ends[1][1], ends[1][3], color=BLUE, lw=4, zorder=3)
        ax.plot(ends[1][2], rows, "o", color="white", mec=INK, ms=4, zorder=4)
        if truth is not None:
            ax.plot(np.log(truth / low) / np.log(high / low), rows, "|", color=RED, ms=11, mew=2, zorder=5)
        ax.set(ylim=(len(rows) - 0.4, -0.6), xlim=(-0.02, 1.02), yticks=rows)
        ax.set_yticklabels(names, fontsize=8)
        ax.set_xticks([0, 1], ["lower bound", "upper bound"])
        first, last = ax.get_xticklabels()
        first.set_horizontalalignment("left")
        last.set_horizontalalignment("right")
        handles = [
            Line2D([], [], color="#d5dae0", lw=7, label="prior 95 %"),
            Line2D([], [], color=SKY, lw=4, label="posterior 95 %"),
            Line2D([], [], color=BLUE, lw=4, label="50 %"),
            *([] if truth is None else [Line2D([], [], color=RED, marker="|", ls="", ms=11, label="truth")]),
        ]
        _legend(figure, handles, width)
    return figure


def alt_parameter_widths(prior: Array, posterior: Array) -> str:
    """The figure of `parameter_widths` in words: which parameters the data say most and least of."""
    spans = [np.ptp(np.quantile(np.log(v), (0.025, 0.975), axis=0), axis=0) for v in (prior, posterior)]
    share = spans[1] / spans[0]
    order = np.argsort(share)
    named = [f"{PARAMETERS[i].name.replace('_', ' ')} {100 * share[i]:.0f} %" for i in order]
    return (
        "Prior and posterior 95 % ranges of 28 parameters. Narrowest against the prior: "
        f"{', '.join(named[:3])}; widest: {', '.join(named[-3:])}."
    )


def regional_assumptions(
    table: pd.DataFrame, region: str, variable: str, width: Width = "wide"
) -> Figure | None:
    """Total of a region under every assumption on dependence: median, 50 and 95 % limits, and the mean as a line.

    table : from `talik.fusion.regional.regional_table`, of one period.
    """
    rows = table[(table["region"] == region) & (table["variable"] == variable) & table["mean"].notna()]
    if rows.empty:
        return None
    at = np.arange(len(rows))
    with look():
        figure = Figure(figsize=(INCHES[width], 1.1 + 0.29 * len(rows)), layout="constrained")
        ax = figure.subplots()
        quiet(ax)
        colours = [_METHOD_COLOURS[method] for method in rows["method"]]
        for (low, high), lw in ((_OUTER, 2.0), (_INNER, 5.0)):
            ax.hlines(at, rows[low], rows[high], color=colours, lw=lw, zorder=2)
        ax.plot(rows["q50"], at, "|", color=INK, ms=9, mew=1.2, zorder=4)
        ax.axvline(rows["mean"].iloc[0], color=INK, lw=0.8, ls=":", zorder=1)
        if rows[_OUTER[0]].min() < 0 < rows[_OUTER[1]].max():
            zero_line(ax)
        ax.set(ylim=(len(rows) - 0.4, -0.6), yticks=at)
        ax.set_yticklabels([_assumption(row) for _, row in rows.iterrows()], fontsize=8.5)
        ax.set_xlabel(f"{NAMES.get(variable, variable)} of {region}, Tg C year⁻¹")
    return figure


def alt_regional_assumptions(table: pd.DataFrame, region: str, variable: str) -> str:
    """The figure of `regional_assumptions` in words."""
    rows = table[(table["region"] == region) & (table["variable"] == variable) & table["mean"].notna()]
    told = "; ".join(
        f"{_assumption(row)} {row['q2.5']:.3g} to {row['q97.5']:.3g}" for _, row in rows.iterrows()
    )
    return f"95 % limits of {NAMES.get(variable, variable)} of {region} in Tg C a year: {told}."


def calibration_bands(ranks: Mapping[str, Array], width: Width = "wide") -> Figure | None:
    """ECDF of the ranks of each quantity less the diagonal, with the 95 % simultaneous band; red where it leaves it.

    ranks : quantity to (replicate,) ranks in 0..1, all of the same number of replicates. Above 0 the truth lies low
    in the posterior, below 0 high; steep ends are a posterior that is too narrow.
    """
    if not ranks:
        return None
    columns = 6 if width == "wide" else 3
    lines = math.ceil(len(ranks) / columns)
    at, low, high = ecdf_band(next(iter(ranks.values())).size)
    with look():
        figure = Figure(figsize=(INCHES[width], 0.5 + 1.25 * lines), layout="constrained")
        axes = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).ravel()
        for i, (ax, (name, values)) in enumerate(zip(axes, ranks.items(), strict=False)):
            curve = ecdf(values, at)
            outside = ((curve < low - 1e-12) | (curve > high + 1e-12)).any()
            ax.fill_between(at, low - at, high - at, color="#d5dae0", lw=0)
            ax.plot(at, curve - at, color=RED if outside else BLUE, lw=1.2)
            ax.axhline(0, color=INK, lw=0.5)
            ax.set_title(_short(name), fontsize=7.5, fontweight="normal")
            ax.tick_params(labelsize=7, labelbottom=i + columns >= len(ranks))
            ax.set_xticks([0, 0.5, 1], ["0", "½", "1"])
        for ax in axes[len(ranks) :]:
            ax.set_visible(False)
    return figure


def alt_calibration_bands(ranks: Mapping[str, Array]) -> str:
    """The figure of `calibration_bands` in words."""
    size = next(iter(ranks.values())).size
    at, low, high = ecdf_band(size)
    curves = {name: ecdf(values, at) for name, values in ranks.items()}
    out = [n for n, c in curves.items() if ((c < low - 1e-12) | (c > high + 1e-12)).any()]
    told = f"{len(out)} leave it: {', '.join(map(_short, out))}" if out else "all stay inside"
    return (
        f"Ranks of the truth in {size} posteriors, of {len(ranks)} quantities, against the 95 % band: {told}."
    )


def sampler_agreement(table: pd.DataFrame, width: Width = "wide") -> Figure | None:
    """Posterior of each output by each sampler: median, 50 and 95 % limits, side by side.

    table : columns output, sampler, q2.5, q25, q50, q75, q97.5, units, and truth (NaN where there is none).
    """
    outputs = list(dict.fromkeys(table["output"]))
    samplers = list(dict.fromkeys(table["sampler"]))
    if not outputs:
        return None
    columns = min(len(outputs), 3 if width == "wide" else 1)
    lines = math.ceil(len(outputs) / columns)
    height = 0.5 + lines * (0.9 + 0.24 * len(samplers))
    with look():
        figure = Figure(figsize=(INCHES[width], height), layout="constrained")
        axes = figure.subplots(lines, columns, squeeze=False)
        for i, (ax, name) in enumerate(zip(axes.ravel(), outputs, strict=False)):
            _agreement(ax, table[table["output"] == name], samplers, name, labels=i % columns == 0)
        for ax in axes.ravel()[len(outputs) :]:
            ax.set_visible(False)
        if table["truth"].notna().any():
            _legend(figure, [Line2D([], [], color=RED, label="truth")], width)
    return figure


def alt_sampler_agreement(table: pd.DataFrame) -> str:
    """The figure of `sampler_agreement` in words: medians by sampler."""
    told = []
    for name, rows in table.groupby("output", sort=False):
        medians = ", ".join(f"{s} {m:.3g}" for s, m in zip(rows["sampler"], rows["q50"], strict=True))
        told.append(f"{NAMES.get(str(name), name)} {medians}")
    return f"Posterior of outputs by sampler, medians: {'; '.join(told)}."


_METHOD_COLOURS = {
    "common quantile": GREY,
    "independent": ORANGE,
    "kernel copula": BLUE,
    "hierarchical": PURPLE,
}


def _assumption(row: pd.Series) -> str:
    if row["method"] != "kernel copula":
        return str(row["method"])
    return f"{row['length_km']:.0f} km, α = {row['alpha']:g}"


def _agreement(ax: Axes, rows: pd.DataFrame, samplers: Sequence[str], name: str, *, labels: bool) -> None:
    quiet(ax)
    for _, row in rows.iterrows():
        at = samplers.index(row["sampler"])
        colour = _SAMPLERS[at % len(_SAMPLERS)]
        for (low, high), lw in ((_OUTER, 1.8), (_INNER, 4.5)):
            ax.plot([row[low], row[high]], [at, at], color=colour, lw=lw, solid_capstyle="butt", zorder=2)
        ax.plot(row["q50"], at, "o", color="white", mec=INK, ms=4, zorder=4)
    truth = rows["truth"].dropna()
    if len(truth):
        ax.axvline(truth.iloc[0], color=RED, lw=1.0, zorder=3)
    ax.set(ylim=(len(samplers) - 0.5, -0.5), yticks=range(len(samplers)))
    ax.set_yticklabels(samplers if labels else [""] * len(samplers), fontsize=8.5)
    ax.set_title(NAMES.get(name, name), fontsize=9)
    ax.set_xlabel(_units(rows), fontsize=8.5)


def _units(rows: pd.DataFrame) -> str:
    units = str(rows["units"].iloc[0])
    return "" if units == "1" else units


def _short(name: str) -> str:
    return NAMES.get(name, name).replace("_", " ")


def _legend(figure: Figure, handles: Sequence[Any], width: Width) -> None:
    columns = len(handles) if width == "wide" else 2
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=8.5)
