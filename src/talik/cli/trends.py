"""`talik trends`."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from talik.workflow.conventions import JsonOption, bad_input_exits, show

if TYPE_CHECKING:
    from rich.console import Console

    from talik.trends.method import Method

MOST_SHOWN = 60
"""Rows of a table on the screen."""


class MethodChoice(StrEnum):
    """How serial correlation is met."""

    none = "none"
    zhang = "zhang"
    yue_pilon = "yue-pilon"
    conservative = "conservative"


def trends(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Table with columns id, t, y (CSV, CSV.gz, Parquet), or NetCDF file, or Zarr store.",
        ),
    ],
    var: Annotated[
        str | None, typer.Option("--var", help="Variable of a grid; not given: the only one there is.")
    ] = None,
    method: Annotated[
        MethodChoice, typer.Option("--method", help="How serial correlation is removed before the test.")
    ] = MethodChoice.zhang,
    preserve: Annotated[
        bool | None,
        typer.Option(
            "--preserve/--no-preserve",
            help="Re-inflate in the first prewhitening; default: off for zhang, on for yue-pilon.",
            show_default=False,
        ),
    ] = None,
    confidence: Annotated[float, typer.Option("--confidence", help="Level of the limits of a slope.")] = 0.95,
    alpha_fdr: Annotated[
        float, typer.Option("--alpha-fdr", help="False discovery rate for many series together.")
    ] = 0.10,
    dim: Annotated[str, typer.Option("--dim", help="Time dimension of a grid.")] = "time",
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write CSV or Parquet for a table, NetCDF or Zarr for a grid."),
    ] = None,
    threads: Annotated[
        int, typer.Option("--threads", min=1, help="For tables; results do not depend on it.")
    ] = 1,
    as_json: JsonOption = False,
) -> None:
    """Trends of annual series: Theil-Sen slope, its limits, Mann-Kendall significance, with prewhitening."""
    with bad_input_exits():
        from talik.errors import ConfigError, InputError
        from talik.trends.gridded import is_grid
        from talik.trends.method import Method

        if as_json and out is not None:
            raise ConfigError("--json and --out were both given; choose one")
        if not 0.0 < alpha_fdr < 1.0:
            raise ConfigError(f"--alpha-fdr {alpha_fdr}: expected a share between 0 and 1, such as 0.10")
        if not file.exists():
            raise InputError(f"{file}: no such file. Check the path.")
        chosen = Method.of(method.value, preserve, confidence)
        if is_grid(file):
            _grid(file, var, dim, chosen, preserve, alpha_fdr, out, as_json)
        elif var is not None:
            raise ConfigError(f"{file}: --var is for grids; a table has its values in column y")
        else:
            _table(file, chosen, alpha_fdr, out, threads, as_json)


def _table(
    file: Path, method: Method, alpha_fdr: float, out: Path | None, threads: int, as_json: bool
) -> None:
    from talik.trends.table import read_series, series_trends, write_rows

    series = read_series(file)
    rows = series_trends(series, method, threads)
    if as_json:
        typer.echo(_json(rows))
    elif out is not None:
        write_rows(rows, out)
        typer.echo(f"{out}: trends of {len(rows)} series")
    else:
        show(lambda console: _print_rows(console, rows, method, alpha_fdr, series.inserted))


def _grid(
    file: Path,
    var: str | None,
    dim: str,
    method: Method,
    preserve: bool | None,
    alpha_fdr: float,
    out: Path | None,
    as_json: bool,
) -> None:
    from talik.trends import gridded

    source, da = gridded.open_variable(file, var, dim)
    with source:
        found = gridded.grid_trends(
            da, dim, alpha_fdr, method=method.name, preserve=preserve, confidence=method.confidence
        )
        if as_json:
            typer.echo(_json(gridded.rows(found)))
            return
        if out is not None:
            with gridded.write_grid(found, out, alpha_fdr) as written:
                told = gridded.summary(written, source, alpha_fdr)
            typer.echo(f"{out}: trends of {told['n_series']} series")
        else:
            told = gridded.summary(found[["slope", "p"]].compute(), source, alpha_fdr)
        attrs = found.attrs
        show(lambda console: _print_summary(console, told, attrs))


def _json(rows: list[dict[str, Any]]) -> str:
    return json.dumps({"rows": rows}, allow_nan=False)


def _print_rows(
    console: Console, rows: list[dict[str, Any]], method: Method, alpha_fdr: float, inserted: int
) -> None:
    import numpy as np
    from rich.markup import escape
    from rich.table import Table

    from talik.sources.problem import counted
    from talik.trends.field import false_discovery, stars

    console.print(f"{method.told}")
    table = Table(box=None, pad_edge=False)
    level = f"{100 * method.confidence:g} %"
    for heading in ("id", "n", "slope", f"{level} limits", "tau", "p", "", "runs"):
        table.add_column(heading, justify="left" if heading in ("id", "") else "right", overflow="fold")
    for row in rows[:MOST_SHOWN]:
        p = row["p"]
        table.add_row(
            escape(row["id"]),
            str(row["n"]) if row["n"] == row["n_valid"] else f"{row['n_valid']} of {row['n']}",
            _short(row["slope"]),
            "-" if row["low"] is None else f"{_short(row['low'])} .. {_short(row['high'])}",
            "-" if row["tau"] is None else f"{row['tau']:.2f}",
            "-" if p is None else f"{p:.2g}",
            "" if p is None else str(stars(p)),
            "-" if row["nruns"] is None else f"{row['nruns']}{'' if row['converged'] else ' !'}",
        )
    console.print(table)
    if len(rows) > MOST_SHOWN:
        console.print(f"... and {len(rows) - MOST_SHOWN} more series; --json or --out gives all")
    tested = np.array([np.nan if r["p"] is None else r["p"] for r in rows])
    holds, _ = false_discovery(tested, alpha_fdr)
    console.print(
        f"{int((~np.isnan(tested)).sum())} of {len(rows)} series have a trend; p < 0.05 in "
        f"{int((tested < 0.05).sum())}, false discovery rate {alpha_fdr:g} in {int(holds.sum())}"
    )
    if inserted:
        console.print(f"missing values: {counted(inserted, 'step')} without a row")
    if any(r["converged"] is False for r in rows):
        console.print("! no convergence in 500 runs; values are those of the last")


def _print_summary(console: Console, told: dict[str, Any], attrs: dict[str, Any]) -> None:
    from rich.table import Table

    years = f"{attrs['first_year']} to {attrs['last_year']}"
    added = f", {attrs['years_inserted']} of them missing" if attrs["years_inserted"] else ""
    console.print(f"{attrs['variable']}, {years} ({attrs['series_length']} years{added}): {attrs['method']}")
    console.print(f"{told['n_tests']} of {told['n_series']} series have a trend; area: {told['area']}")
    table = Table(box=None, pad_edge=False)
    for heading in ("share of area", "increase", "decrease"):
        table.add_column(heading, justify="left" if heading == "share of area" else "right")
    for kind, name in (("raw", "p < 0.05"), ("fdr", f"false discovery rate {told['alpha_fdr']:g}")):
        table.add_row(name, *(f"{100 * told[f'{side}_{kind}']:.1f} %" for side in ("increase", "decrease")))
    console.print(table)


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
