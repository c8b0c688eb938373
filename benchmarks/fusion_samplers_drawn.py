"""Figures of docs/science/fusion-samplers.md: one posterior by every sampler, and a region against its truth.

`python -m benchmarks.fusion_samplers_drawn SAMPLERS REPRODUCTION REGION FIGURES`, the folders of
`benchmarks.fusion_samplers`, `fusion_reproduction` and `fusion_region`, and where to put the figures.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.fusion_region import LEVELS as ENDS
from benchmarks.fusion_region import SHOWN, blocks
from benchmarks.fusion_samplers import BASE, load
from talik.fusion.agreement import LEVELS, quantiles
from talik.fusion.posterior import block_data
from talik.fusion.posterior_draws import NAMES, examine
from talik.fusion.twin import reference_twin
from talik.report.style import BLUE, GREEN, GREY, INCHES, INK, ORANGE, RED, look, png, quiet

UNITS = {"hmc-5": ("HMC", BLUE), "nuts-5": ("NUTS", GREEN), "de-5": ("differential evolution", ORANGE)}
REFERENCE = ("AP-MCMC, the reference", RED)
PANELS = {
    "nee": "NEE, g C m⁻² year⁻¹, up positive",
    "gpp": "GPP, g C m⁻² year⁻¹",
    "rh": "Rh, g C m⁻² year⁻¹",
    "mrt": "residence time, years",
}
REGIONAL = {"nee": "NEE, up positive", "gpp": "GPP", "rh": "Rh"}


def bar(ax: Axes, row: float, ends: np.ndarray, colour: str) -> None:
    """95 % thin, 50 % thick, the median as a tick, of five quantiles."""
    ax.hlines(row, ends[0], ends[4], color=colour, lw=1.3)
    ax.hlines(row, ends[1], ends[3], color=colour, lw=3.6)
    ax.plot(ends[2], row, "|", color=INK, ms=7)


def intervals(samplers: Path, reproduction: Path) -> list[tuple[str, str, dict[str, np.ndarray]]]:
    """Label, colour and quantiles of outputs of every copy of every sampler, all under the hard constraints."""
    rows = []
    for unit, (label, colour) in UNITS.items():
        if (held := load(samplers, unit)) is None:
            continue
        values, weights = (held[1][name].astype(float) for name in ("values", "log_weights"))
        for one, w in zip(values, weights, strict=True):
            rows.append(
                (label, colour, {o: quantiles(one[..., NAMES.index(o)], LEVELS, w).values for o in PANELS})
            )
    if (held := load(reproduction, "base")) is not None:
        for one, kept in zip(held[1]["values"].astype(float), held[1]["chains"], strict=True):
            rows.append(
                (*REFERENCE, {o: np.quantile(one[kept][..., NAMES.index(o)], LEVELS) for o in PANELS})
            )
    return rows


def samplers_figure(samplers: Path, reproduction: Path) -> Figure:
    """The same four outputs by each copy of each sampler; the truth as a line."""
    rows = intervals(samplers, reproduction)
    twin = reference_twin(5, BASE)
    theta = np.asarray(twin.theta).transpose(1, 2, 0)[:, None]
    data = block_data(twin.drivers, twin.observations)
    truth = examine(theta, data, twin.axis, BASE, coordinates=False).values[0, 0, 0]
    with look():
        figure = Figure(figsize=(INCHES["wide"], 1.0 + 0.24 * 2 * len(rows)), layout="constrained")
        for ax, (output, title) in zip(figure.subplots(2, 2).ravel(), PANELS.items(), strict=True):
            quiet(ax)
            for row, (_, colour, found) in enumerate(rows):
                bar(ax, row, found[output], colour)
            ax.axvline(truth[NAMES.index(output)], color=INK, lw=0.9, ls="--")
            ax.set(yticks=[], ylim=(len(rows) - 0.3, -0.7), xlabel=title)
        colours = {label: colour for label, colour, _ in rows}
        handles = [Line2D([], [], color=colour, lw=3.6, label=label) for label, colour in colours.items()]
        handles.append(Line2D([], [], color=INK, lw=0.9, ls="--", label="truth"))
        figure.legend(
            handles=handles, frameon=False, fontsize=8.5, loc="outside lower center", ncols=len(handles)
        )
    return figure


def region_figure(folder: Path) -> Figure:
    """Limits of each pixel of the region against its truth, coloured by quality."""
    members, truth, converged, kept = (
        np.concatenate([arrays[name] for _, arrays in blocks(folder).values()], axis=axis)
        for name, axis in (("members", 1), ("truth", 1), ("converged", 0), ("map_quality", 0))
    )
    with look():
        figure = Figure(figsize=(INCHES["wide"], 3.4), layout="constrained")
        for ax, (name, label) in zip(figure.subplots(1, 3), REGIONAL.items(), strict=True):
            k = SHOWN.index(name)
            low, middle, high = np.quantile(members[k], ENDS, axis=1)
            for mask, colour, text in (
                (converged, BLUE, "converged"),
                (kept & ~converged, ORANGE, "good enough for a map"),
                (~kept & ~converged, GREY, "flagged as unconverged"),
            ):
                if mask.any():
                    ends = np.stack([middle - low, high - middle])[:, mask]
                    ax.errorbar(
                        truth[k][mask], middle[mask], ends, fmt="o", ms=3, lw=0.9, color=colour, label=text
                    )
            ends = (truth[k].min(), truth[k].max())
            ax.plot(ends, ends, color=INK, lw=0.9)
            ax.set(xlabel=f"{label}, truth, g C m⁻² year⁻¹", ylabel="posterior")
            ax.grid(color="#e6e9ed", lw=0.6)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, frameon=False, fontsize=8.5, loc="outside lower center", ncols=3)
    return figure


def main() -> None:
    samplers, reproduction, region, figures = map(Path, sys.argv[1:])
    figures.mkdir(parents=True, exist_ok=True)
    made = {"samplers": samplers_figure(samplers, reproduction), "region": region_figure(region)}
    for name, figure in made.items():
        (figures / f"fusion-{name}.png").write_bytes(png(figure, dpi=110))


if __name__ == "__main__":
    main()
