"""What `talik upscale` prints on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from talik.products.store import Products
    from talik.upscaling.training import Schema

SHOWN = ("annual", "JJA", "SepMay")
"""Seasons of which regional numbers are printed; the others are in the files."""


def print_summary(console: Console, summary: dict[str, Any], schema: Schema) -> None:
    """Scores of a validation as a table."""
    from rich.markup import escape
    from rich.table import Table

    units = schema.units
    console.print(
        escape(
            f"{schema.target} ({units}), {summary['learner']}, {summary['design']}: "
            f"{summary['n_rows']} rows, {summary['n_sites']} sites"
        )
    )
    for reason, count in summary["dropped"].items():
        console.print(escape(f"  {count} rows left out: {reason}"))
    for note in summary["notes"]:
        console.print(escape(f"  {note}"))
    if summary["design_note"]:
        console.print(escape(f"  {summary['design_note']}"))
    table = Table(box=None, pad_edge=False)
    for heading in ("", "n", "R2 (cor)", "NSE", "RMSE", "MAE", "MBE", "slope"):
        table.add_column(heading, justify="left" if not heading else "right")
    table.add_row("pooled", *_cells(summary["pooled"]))
    for name, classes in summary["groups"].items():
        table.add_row(f"[bold]{escape(name)}[/]")
        for label, scores in classes.items():
            table.add_row(f"  {escape(label)}", *_cells(scores))
    console.print(table)
    fold = summary["fold_mean"]
    defined = (
        f"{fold['r2_cor']:.3f} over {fold['n_r2']} folds" if fold["r2_cor"] is not None else "not defined"
    )
    console.print(f"mean over {fold['n_folds']} folds: RMSE {fold['rmse']:.2f}, R2 {defined}")
    for name, part in summary["skill"].items():
        nse = "not defined" if part["nse"] is None else f"{part['nse']:.3f}"
        share = 0.0 if part["share"] is None else part["share"]
        console.print(f"  {name.replace('_', ' ')}: {100 * share:.0f} % of the variance, NSE {nse}")
    coverage = summary["coverage"]
    biomes = list(next(iter(coverage.values())))
    covered = Table(box=None, pad_edge=False)
    covered.add_column("share of left-out sites' months inside intervals of")
    for level in coverage:
        covered.add_column(f"{100 * float(level):g} %", justify="right")
    for biome in biomes:
        n_sites = next(iter(coverage.values()))[biome]["n_sites"]
        shares = [f"{100 * classes[biome]['sites']:.1f} %" for classes in coverage.values()]
        covered.add_row(escape(f"  {biome} ({n_sites} sites)"), *shares)
    console.print(covered)
    if "mtry_tried" in summary:
        told = ", ".join(f"{t['mtry']:g}: {t['fold_mean']:.2f}" for t in summary["mtry_tried"])
        console.print(f"mtry tried (mean of fold RMSE) {told}; chosen {summary['settings']['mtry']}")
    console.print(f"{summary['seconds']:.1f} s, {summary['cpu_seconds']:.1f} CPU s, seed {summary['seed']}")


def _cells(scores: dict[str, Any]) -> list[str]:
    formats = {"n": "{:d}", "r2_cor": "{:.3f}", "nse": "{:.3f}", "slope": "{:.2f}"}
    order = ("n", "r2_cor", "nse", "rmse", "mae", "mbe", "slope")
    return ["-" if scores[k] is None else formats.get(k, "{:.2f}").format(scores[k]) for k in order]


def print_explanation(console: Console, found: dict[str, Any]) -> None:
    """Importance, interactions and range of application as text."""
    from rich.markup import escape
    from rich.table import Table

    console.print(
        escape(
            f"{found['target']} ({found['units']}), {found['learner']}: {found['n_rows']} rows, "
            f"{found['n_sites']} sites, RMSE in training {found['rmse_in_training']:.2f}"
        )
    )
    table = Table(box=None, pad_edge=False)
    for heading in ("predictor", "RMSE increase when shuffled", "quartiles", "mean |Shapley value|"):
        table.add_column(heading, justify="left" if heading == "predictor" else "right")
    shapley = found["shapley_mean_abs"]
    for name, box in found["importance"].items():
        value = "-" if shapley is None else f"{shapley[name]:.2f}"
        quartiles = f"{box['hinge_low']:.2f}..{box['hinge_high']:.2f}"
        table.add_row(escape(name), f"{box['mean']:.2f}", quartiles, value)
    console.print(table)
    for pair in sorted(found["interactions"], key=lambda p: -p["departure"])[:5]:
        names = " and ".join(pair["pair"])
        console.print(
            escape(f"  {names}: interaction {pair['departure']:.2f} {found['units']}, H2 {pair['h2']:.2f}")
        )
    line = found["calibration"]
    if line is not None:
        console.print(
            f"observed on predicted at left-out sites: slope {line['slope']:.2f} +- {line['slope_se']:.2f} "
            f"(1 is unbiased, p {line['p_slope_is_1']:.2g}), intercept {line['intercept']:.2f}"
        )
    area = found["applicability"]
    if area is not None:
        console.print(f"area of applicability: dissimilarity up to {area['threshold']:.3f}")


def print_products(console: Console, found: Products) -> None:
    """Regional numbers: annual ones by region, indicators, and the sites that count most."""
    from rich.markup import escape
    from rich.table import Table

    rows = found.summary.table
    rows = rows[rows["season"].isin(SHOWN) & ~rows["quantity"].isin(("area", "decadal_shift"))]
    held = [r for r in rows["region"].unique() if rows.loc[rows["region"] == r, "value"].notna().any()]
    missing = [r for r in rows["region"].unique() if r not in held]
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for region in held:
        table.add_column(escape(str(region)), justify="right")
    table.add_column("units")
    for (variable, quantity, season), part in rows.groupby(["variable", "quantity", "season"], sort=False):
        cells = {row["region"]: _with_spread(row) for row in part.to_dict("records")}
        what = f"{variable} {str(quantity).replace('_', ' ')}" + (f" {season}" if season != "annual" else "")
        table.add_row(escape(what), *(cells.get(r, "") for r in held), escape(str(part["units"].iloc[0])))
    console.print(table)
    periods = ", ".join(dict.fromkeys(rows["period"]))
    console.print(escape(f"{periods}; \u00b1 standard deviation of years; in brackets, of bootstrap members"))
    if missing:
        console.print(escape(f"no data in {', '.join(map(str, missing))}"))
    for flux, regions in found.influence.items():
        for region, held in regions.items():
            first = ", ".join(f"{s['site']} {100 * s['share']:.0f} %" for s in held["sites"][:5])
            console.print(
                escape(f"{flux} {region}: {held['effective_sites']:.1f} sites count in effect; most {first}")
            )
    for note in found.summary.notes:
        console.print(escape(f"note: {note}"))


def _with_spread(row: Any) -> str:
    """Value, spread over years and over members, as far as they are known."""
    value, years, members = (row[k] for k in ("value", "sd_interannual", "sd_member"))
    if value != value:
        return ""
    text = f"{value:.4g}"
    text += f" \u00b1 {years:.2g}" if years == years else ""
    return text + (f" ({members:.2g})" if members == members else "")
