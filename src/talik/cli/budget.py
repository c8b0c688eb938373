"""`talik budget` and `talik audit`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from talik.workflow.conventions import JsonOption, bad_input_exits, print_json, show


class Combine(StrEnum):
    """How limits combine."""

    linear = "linear"
    independent = "independent"
    correlated = "correlated"


SourceArgument = Annotated[
    str, typer.Argument(metavar="reccap2|FILE", help="The published budget, or a posts file (.yaml, .csv).")
]


def budget(
    source: SourceArgument,
    combine: Annotated[Combine, typer.Option(help="Assumption behind the headline limits.")] = Combine.linear,
    horizon: Annotated[int, typer.Option(metavar="20|100|500", help="Years of the warming potential.")] = 100,
    ch4_gwp: Annotated[
        float | None, typer.Option(help="One warming potential for all CH4 (e.g. 29.8).")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the Monte Carlo draws.")] = 0,
    draws: Annotated[
        int | None,
        typer.Option(help="Monte Carlo draws; fewer are quicker and coarser. A million by default."),
    ] = None,
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with full precision.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    as_latex: Annotated[bool, typer.Option("--latex", help="Print a LaTeX table.")] = False,
) -> None:
    """Compute a budget: derived posts with limits under all three assumptions, and CO2 equivalents.

    A posts file holds posts (id, gas, mean, low, high, unit, region, period, approach, source) and, in YAML,
    recipes; see the guide "Make a budget".
    """
    with bad_input_exits():
        from talik.budget.compute import compute
        from talik.budget.result import provenance, to_dict
        from talik.budget.settings import settings_from
        from talik.errors import ConfigError
        from talik.report import tables
        from talik.yamlio import load_yaml

        if as_json + as_csv + as_markdown + as_latex > 1:
            raise ConfigError("choose one of --json, --csv, --markdown, --latex.")
        path = Path(source)
        if path.suffix in (".yaml", ".yml") and path.is_file() and "talik" in (load_yaml(path) or {}):
            raise ConfigError(
                f"{source}: is a project file, no table of posts. Use talik report {source}, which makes its budget."
            )
        asked = {} if draws is None else {"draws": draws}
        settings = settings_from(
            posts=source, combine=combine.value, horizon=horizon, ch4_gwp=ch4_gwp, seed=seed, **asked
        )
        result = compute(source, settings)
        if as_json:
            print_json(to_dict(result, provenance(source, settings)))
        elif as_csv:
            typer.echo(tables.to_csv(result), nl=False)
        elif as_markdown:
            typer.echo(tables.to_markdown(result), nl=False)
        elif as_latex:
            typer.echo(tables.to_latex(result), nl=False)
        else:
            show(lambda console: tables.print_table(result, console))


def audit(source: SourceArgument, as_json: JsonOption = False) -> None:
    """Recompute every derived number of a printed budget and list what rounding cannot explain.

    In a posts file, the printed totals are the posts with `sum_of`.
    """
    with bad_input_exits():
        from talik.budget.audit import audit as run_audit
        from talik.budget.compute import load
        from talik.errors import PostError

        content = load(source)
        if not content.claims:
            raise PostError(
                f"{source}: holds no printed totals. Mark them with sum_of (the posts they are the sum of)."
            )
        result = run_audit(content.posts, content.claims)
        if as_json:
            print_json(result.to_dict())
            return
        from talik.report.tables import print_audit

        show(lambda console: print_audit(result, console))
