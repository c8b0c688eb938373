"""`talik tem diagnose`: what a factorial run says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from talik.workflow.conventions import JsonOption, bad_input_exits, print_json


def diagnose(
    project: Annotated[
        Path, typer.Argument(metavar="PROJECT.yaml", help="The project file of the factorial run.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="Folder for the results; diagnostics/ beside the run by default."
        ),
    ] = None,
    observed: Annotated[
        Path | None,
        typer.Option(
            "--observed", metavar="FOLDER", help="Observed permafrost to compare with: a grid, sites."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Effects of the factors, regional series and maps of a factorial run, beside the published results.

    Reads tem-experiments.nc and tem-history.nc in the project's output folder. Writes diagnostics.json, table.csv,
    findings.csv, effects.csv, stocks.csv, series.nc and figures/ (PNG and SVG).
    """
    with bad_input_exits():
        from talik.errors import InputError
        from talik.tem.diagnose.write import write_diagnostics
        from talik.workflow.project import load_project

        if observed is not None and not observed.is_dir():
            raise InputError(
                f"--observed {observed}: no such folder. Name the folder that holds the observations."
            )
        source = load_project(project).output
        told = write_diagnostics(source, source / "diagnostics" if out is None else out, observed)
        if as_json:
            print_json(told)
            return
        for note in told["notes"]:
            sys.stderr.write(f"  note: {note}\n")
        typer.echo(text_of(told))
        typer.echo("\n".join(told["written"]))


def text_of(told: dict[str, Any]) -> str:
    """The table, the findings and the comparison with observations as text for a terminal."""
    lines = [f"{'quantity':52s} {'scenario':9s} {'published':>10s} {'this run':>10s}  sign order magnitude"]
    for row in told["table"]:
        if row["value"] is None and row["published"] is None:
            continue
        within = f"{_mark(row['within'])} ({row['grade']})" if row["grade"] else "-"
        marks = f"{_mark(row['sign']):4s} {_mark(row['order']):5s} {within}"
        what = f"{row['quantity']}, {row['unit']}"
        line = f"{what:52s} {row['scenario']:9s} {_number(row['published'])} {_number(row['value'])}  {marks}"
        lines.append(f"{line.rstrip()}  {row['missing']}".rstrip())
    lines.append("")
    for row in told["findings"]:
        because = f" ({row['missing']})" if row["missing"] else ""
        lines.append(f"{_mark(row['holds']):3s} {row['scenario']}: {row['statement']}{because}")
    if told["observed"] is not None:
        lines += ["", *_observed_text(told["observed"])]
    return "\n".join(lines)


def _observed_text(observed: dict[str, Any]) -> list[str]:
    lines = [
        f"permafrost, 10^6 km2: {', '.join(f'{k} {v:.2f}' for k, v in observed['area_million_km2'].items())}"
    ]
    for name, comparison in observed["comparisons"].items():
        for region, s in comparison["scores"].items():
            told = f"{name}, {region}: n {s['n']}"
            for key, label in (("median_bias", "median bias"), ("mean_bias", "mean bias"), ("r2", "R2")):
                if s[key] is not None:
                    told += f", {label} {s[key]:.2f}"
            lines.append(told)
    return lines + [f"note: {note}" for note in observed["notes"]]


def _mark(value: bool | None) -> str:
    return "-" if value is None else "yes" if value else "no"


def _number(value: float | None) -> str:
    return f"{'-' if value is None else format(value, '.4g'):>10s}"
