"""`talik compare`: approaches side by side, region by region."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from talik.files import read_json
from talik.workflow.conventions import (
    DryRunOption,
    JsonOption,
    ResumeOption,
    SchedulerOption,
    WorkersOption,
    bad_input_exits,
    plan_and_run,
    print_json,
    show,
)

if TYPE_CHECKING:
    from rich.console import Console


def compare(
    project: Annotated[
        Path, typer.Argument(metavar="PROJECT.yaml", help="A project file with a section compare.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder for the results; by default the project's."),
    ] = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    resume: ResumeOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare approaches by region: towers, upscaling, inversions and process models, each with equal weight.

    Writes compare.html, compare.json, the map of agreement and figures. Each dataset is a unit of work that is kept.
    """
    with bad_input_exits():
        from talik.compare.section import FILES, RESULT, inputs_of, require_grids, steps
        from talik.compare.settings import CompareSettings
        from talik.errors import ConfigError
        from talik.workflow.project import load_project

        loaded = load_project(project)
        if out is not None:
            loaded = loaded.with_output(out)
        settings = loaded.sections.get("compare")
        if not isinstance(settings, CompareSettings):
            raise ConfigError(
                f"{project}: has no section compare. Add one; see the guide on comparing approaches."
            )

        def check() -> tuple[dict[str, Any], str]:
            require_grids(inputs_of(loaded, settings))
            return {}, ""

        result = plan_and_run(
            loaded,
            [step.name for step in steps(loaded, settings)],
            workers=workers,
            scheduler=scheduler,
            resume=resume,
            dry_run=dry_run,
            as_json=as_json,
            check=check,
        )
        if result is None:
            return
        found = read_json(loaded.output / FILES[RESULT])
        if as_json:
            print_json({**found, "published": [str(path) for path in result.published]})
            return
        show(lambda console: print_comparison(found, console))
        typer.echo("\n".join(str(path) for path in result.published))


def print_comparison(found: dict[str, Any], console: Console) -> None:
    """The matrix of approach by region, what was found, and notes."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    from talik.compare.page import UNIT, sentences
    from talik.report.numbers import plain

    approaches = list(dict.fromkeys(row["approach"] for row in found["matrix"]))
    held = {(row["region"], row["approach"]): row["mean"] for row in found["matrix"]}
    table = Table(
        box=SIMPLE_HEAD,
        title=escape(
            f"{found['variable']}, {UNIT[found['variable']]}, {found['period']}, negative is uptake"
        ),
        title_justify="left",
        pad_edge=False,
    )
    for name in ("region", *approaches, "median", "range"):
        table.add_column(escape(name), justify="left" if name == "region" else "right")
    for row in found["by_region"]:
        cells = [held[row["region"], a] for a in approaches]
        table.add_row(escape(row["region"]), *(_short(v) for v in (*cells, row["median"], row["range"])))
    console.print(table)
    for text in sentences(found):
        console.print(f"  {escape(plain(text))}", soft_wrap=True, highlight=False)
    for note in found["notes"]:
        console.print(f"  note: {escape(note)}", soft_wrap=True, highlight=False, style="dim")


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
