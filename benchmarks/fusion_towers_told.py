"""Tables and figures of `benchmarks.fusion_towers`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmarks.fusion_towers_judged import Case, fits, flux_shares, limits, parameter_shares, pooled
from talik.fusion.check import report
from talik.fusion.figures import parameter_widths, pixel_series
from talik.fusion.validation import months_of
from talik.fusion.works import RESULT
from talik.report.style import BLUE, GREEN, INCHES, INK, ORANGE, SKY, look, png, quiet, zero_line

DRAWN = {"FI-Hyy": "hyytiala", "RU-Cok": "kytalyk"}
"""Sites whose months are drawn; parameters of the first one too."""
COLOURS = {"data-free": "#c3cad2", "factor-0.5": SKY, "factor-1": BLUE, "factor-2": GREEN}
MAIN, PRIOR = "factor-1", "data-free"


def convergence(folder: Path, cases: Mapping[str, Case]) -> None:
    """How far the sampler came, by case, and by site for the first one."""
    print(
        "| case | converged | good enough for a map | unconverged | failed | largest R-hat | least ESS bulk, tail |"
    )
    print("|---|---|---|---|---|---|---|")
    told = {name: report(folder / name / RESULT) for name in cases}
    for name, of in told.items():
        table = pd.DataFrame(of["pixels"])
        worst = table[["rhat_parameters", "rhat_outputs"]].max().max()
        least = f"{table['ess_bulk'].min():.0f}, {table['ess_tail'].min():.0f}"
        print(f"| {name} | {' | '.join(str(n) for n in of['counts'].values())} | {worst:.3f} | {least} |")
    print(f"\n{MAIN}:")
    print(
        "| site | quality | R-hat | of outputs | slowest | ESS bulk | tail | divergent | kept | Kish | Pareto k |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for row in told[MAIN]["pixels"]:
        cells = [row["pixel"], row["quality"].replace("_", " ")]
        cells += [_number(row[n], ".3f") for n in ("rhat_parameters", "rhat_outputs")]
        cells += [row["slowest"] or "-"]
        cells += [_number(row[n], ".0f") for n in ("ess_bulk", "ess_tail")]
        cells += [_number(row["divergences"], ".2%")]
        cells += [_number(row[n], ".2f") for n in ("kept", "kish", "pareto_k")]
        print(f"| {' | '.join(cells)} |")
    for row in told[MAIN]["pixels"]:
        print(f"  {row['pixel']}: {row['reason']}")


def _number(value: float | None, form: str) -> str:
    """A number, or a dash where there is none: the sampler was lost, or hardly a draw keeps the constraints."""
    return "-" if value is None else format(value, form)


def site_fits(table: pd.DataFrame) -> None:
    """Each site and stream, calibration -> validation."""
    print("| site | stream | n | RMSE | bias | r | inside 50 % | inside 95 % | model alone 95 % |")
    print("|---|---|---|---|---|---|---|---|---|")
    for (site, stream), of in table.groupby(["site", "stream"], sort=False):
        pair = [of[of["half"] == half].iloc[0] for half in ("calibration", "validation")]
        cells = [
            " → ".join(format(row[name], form) for row in pair)
            for name, form in (("n", ".0f"), ("rmse", ".2f"), ("bias", "+.2f"), ("r", ".2f"))
        ]
        cells += [
            " → ".join(f"{100 * row[name]:.0f}" for row in pair) for name in ("in_50", "in_95", "model_95")
        ]
        print(f"| {site} | {stream.upper()} | {' | '.join(cells)} |")


def all_fits(found: Mapping[str, pd.DataFrame]) -> None:
    """All sites together by case."""
    print(
        "| case, sites | stream | half | n | RMSE | bias | 50 % | 95 % | model 50 % | model 95 % | RMSE, climate of n |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for name, table in found.items():
        for _, row in pooled(table).iterrows():
            shares = " | ".join(f"{100 * row[c]:.0f}" for c in ("in_50", "in_95", "model_50", "model_95"))
            climate = f"{row['median_rmse']:.2f}, {row['climate_rmse']:.2f} of {row['climate_n']:.0f}"
            print(
                f"| {name}, {table['site'].nunique()} | {row['stream'].upper()} | {row['half']} | "
                f"{row['n']:.0f} | {row['rmse']:.2f} | "
                f"{row['bias']:+.2f} | {shares} | {climate} |"
            )


def fluxes(cases: Mapping[str, Case]) -> None:
    """NEE, CUE and residence time of each site and case: median and 95 % limits."""
    sites = next(iter(cases.values())).sites
    for name, digits in (("NEE", 0), ("GPP", 0), ("CUE", 2), ("MRT", 0)):
        print(f"\n{name}\n| site | {' | '.join(cases)} |\n|---{'|---' * len(cases)}|")
        ends = {case: limits(of.members[name]) for case, of in cases.items()}
        for k, site in enumerate(sites):
            cells = [
                f"{e[1, k]:.{digits}f} ({e[0, k]:.{digits}f} to {e[2, k]:.{digits}f})" for e in ends.values()
            ]
            print(f"| {site} | {' | '.join(cells)} |")
        widths = {case: np.nanmedian(e[2] - e[0]) for case, e in ends.items()}
        print("median width: " + ", ".join(f"{case} {w:.{digits}f}" for case, w in widths.items()))


def constraints(prior: Case, cases: Mapping[str, Case]) -> None:
    """Widths against the data-free case: fluxes of each site, parameters over the sites."""
    main = flux_shares(prior, cases[MAIN])
    print(
        f"\nwidth / data-free width, {MAIN}, %\n| site | {' | '.join(main.columns)} |\n|---{'|---' * main.shape[1]}|"
    )
    for site, row in main.iterrows():
        print(f"| {site} | {' | '.join(f'{100 * x:.0f}' for x in row)} |")
    for name, case in cases.items():
        median = flux_shares(prior, case).median()
        print(f"| median, {name} | {' | '.join(f'{100 * x:.0f}' for x in median)} |")
    shares = {name: parameter_shares(prior, case) for name, case in cases.items()}
    order = shares[MAIN].median().sort_values().index
    print(
        f"\n| parameter | {' | '.join(shares)} | narrowest, widest of {MAIN} |\n|---{'|---' * len(shares)}|---|"
    )
    for name in order:
        medians = " | ".join(f"{100 * of[name].median():.0f}" for of in shares.values())
        ends = f"{100 * shares[MAIN][name].min():.0f} to {100 * shares[MAIN][name].max():.0f}"
        print(f"| {name} | {medians} | {ends} |")


def validation_figure(case: Case) -> Figure:
    """Months that were left out, observed against modelled, with 95 % limits of the prediction."""
    error = case.settings.observations.tower_error
    low_places = ("RU-Cok", "US-Atq", "RU-Che", "US-Ivo", "FI-Lom")
    with look():
        figure = Figure(figsize=(INCHES["wide"], 4.4), layout="constrained")
        for ax, (stream, sd_of) in zip(
            figure.subplots(1, 2), (("nee", error.nee_sd), ("gpp", error.gpp_sd)), strict=True
        ):
            for open_land, colour, label in ((True, ORANGE, "tundra, wetland"), (False, GREEN, "forest")):
                points = []
                for k, site in enumerate(case.sites):
                    if (site in low_places) != open_land:
                        continue
                    obs = case.inputs.streams[stream].held_out[:, k]
                    at = np.flatnonzero(np.isfinite(obs))
                    model = case.members[stream][at, k]
                    points.append(np.stack([obs[at], np.median(model, axis=1), np.std(model, axis=1)]))
                observed, median, spread = np.concatenate(points, axis=1)
                bars = 1.96 * np.hypot(spread, sd_of(observed))
                ax.errorbar(
                    observed, median, bars, fmt="o", ms=2.8, lw=0.5, color=colour, alpha=0.75, label=label
                )
            ends = ax.get_xlim()
            ax.plot(ends, ends, color=INK, lw=0.8)
            ax.set(xlabel=f"{stream.upper()} observed, g C m⁻² d⁻¹", ylabel="modelled")
            ax.set_title(f"{stream.upper()} of months left out", fontsize=9.5)
            ax.grid(color="#e6e9ed", lw=0.6)
        figure.axes[0].legend(frameon=False, fontsize=8.5)
    return figure


def annual_figure(cases: Mapping[str, Case]) -> Figure:
    """NEE of each site without data and under the three errors: median, 50 and 95 %."""
    shown = [name for name in COLOURS if name in cases]
    sites = cases[MAIN].sites
    with look():
        figure = Figure(figsize=(INCHES["wide"], 0.9 + 0.42 * len(sites)), layout="constrained")
        ax = figure.subplots()
        quiet(ax)
        for j, name in enumerate(shown):
            ends = np.quantile(cases[name].members["NEE"], (0.025, 0.25, 0.5, 0.75, 0.975), axis=1)
            rows = np.arange(len(sites)) + 0.2 * (j - (len(shown) - 1) / 2)
            ax.hlines(rows, ends[0], ends[4], color=COLOURS[name], lw=1.6)
            ax.hlines(rows, ends[1], ends[3], color=COLOURS[name], lw=4.0, label=name.replace("-", " ", 1))
            ax.plot(ends[2], rows, "|", color=INK, ms=6)
        zero_line(ax)
        ax.set(
            yticks=range(len(sites)), ylim=(len(sites) - 0.4, -0.6), xlabel="NEE, g C m⁻² year⁻¹, up positive"
        )
        ax.set_yticklabels(sites)
        figure.legend(frameon=False, fontsize=8.5, loc="outside lower center", ncols=len(shown))
    return figure


def draw(cases: Mapping[str, Case], folder: Path) -> None:
    """The figures of the page as PNG."""
    made: dict[str, Figure | None] = {}
    main = cases[MAIN]
    for site, place in DRAWN.items():
        made[place] = pixel_series(months_of(main.result, site))
    made["validation"] = validation_figure(main)
    made["annual"] = annual_figure(cases)
    if PRIOR in cases:
        k = main.sites.index(next(iter(DRAWN)))
        made["parameters"] = parameter_widths(
            *(case.result["parameters"].values[k] for case in (cases[PRIOR], main))
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in made.items():
        if figure is not None:
            (folder / f"fusion-towers-{name}.png").write_bytes(png(figure, dpi=110))


def summary(folder: Path, names: list[str], figures: Path | None) -> None:
    """Everything, from the cases that are done."""
    cases = {name: case for name in names if (case := Case.open(folder, name)) is not None}
    print(f"{len(cases)} of {len(names)} cases are done: {', '.join(cases) or 'none'}")
    if MAIN not in cases:
        print(f"{MAIN} is not done: no tables.")
        return
    convergence(folder, cases)
    data = {name: case for name, case in cases.items() if name != PRIOR}
    found = {name: fits(case) for name, case in data.items()}
    print()
    site_fits(found[MAIN])
    print()
    all_fits(found)
    fluxes(cases)
    if PRIOR in cases:
        constraints(cases[PRIOR], data)
    if figures is not None:
        draw(cases, figures)
