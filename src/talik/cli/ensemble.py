"""`talik ensemble`: process models and inversions, harmonised and summarised."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from talik.cli.text import three_digits
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

app = typer.Typer(no_args_is_help=True, help="Ensembles of process models and of inversions.")


@app.command()
def summarise(
    project: Annotated[
        Path, typer.Argument(metavar="PROJECT.yaml", help="A project file with a section ensemble.")
    ],
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    resume: ResumeOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Harmonise process models and inversions, and summarise them by region: means, limits, tests, families, trends.

    Each member is a unit of work that is kept. Writes ensemble.json, tables as CSV, and ensemble-posts.yaml, which
    `talik budget` and `talik audit` read.
    """
    with bad_input_exits():
        from talik.ensembles.section import RESULT, settings_of, steps
        from talik.workflow.project import load_project

        loaded = load_project(project)
        settings = settings_of(loaded)
        result = plan_and_run(
            loaded,
            [step.name for step in steps(loaded, settings)],
            workers=workers,
            scheduler=scheduler,
            resume=resume,
            dry_run=dry_run,
            as_json=as_json,
        )
        if result is None:
            return
        found = read_json(loaded.output / RESULT)
        if as_json:
            print_json({**found, "published": [str(path) for path in result.published]})
            return
        show(lambda console: print_ensemble(found, console))
        typer.echo("\n".join(str(path) for path in result.published))


@app.command()
def formats(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A format; all by default.")] = None,
    profiles: Annotated[
        Path | None, typer.Option("--profiles", metavar="FILE", help="Your own formats of process models.")
    ] = None,
) -> None:
    """What is known of each format: names, units, signs, and which facts were checked or are taken on trust."""
    with bad_input_exits():
        from talik.errors import ConfigError
        from talik.sources.inversion_layouts import INVERSION_LAYOUTS, describe_layout
        from talik.sources.model_profiles import describe_format, profile_names

        models = profile_names(profiles)
        if name is None:
            typer.echo("process models: " + ", ".join(models))
            typer.echo("inversions: " + ", ".join(INVERSION_LAYOUTS))
            typer.echo("talik ensemble formats NAME says what is known of one.")
        elif name in models:
            typer.echo(describe_format(name, profiles))
        elif name in INVERSION_LAYOUTS:
            typer.echo(describe_layout(name))
        else:
            raise ConfigError(
                f"format {name!r} is unknown; choose one of: {', '.join([*models, *INVERSION_LAYOUTS])}."
            )


SHOWN = ("nep", "nbp_fire", "nbp", "gpp", "npp", "rh", "fFire", "fch4", "soil_litter_c", "cue", "mrt")
"""Quantities of process models in the terminal; the files have all."""
MOST_ROWS = 60
"""A longer table is cut to the region of the budget."""


def print_ensemble(found: dict[str, Any], console: Console) -> None:
    """Means and limits by region, tests, runs that do not close, and notes."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    def table(title: str, columns: tuple[str, ...]) -> Table:
        made = Table(box=SIMPLE_HEAD, title=escape(title), title_justify="left", pad_edge=False)
        for k, name in enumerate(columns):
            made.add_column(name, justify="left" if k < 2 else "right")
        return made

    here = found["budget_region"]
    for name, held in found["ensembles"].items():
        rows = [row for row in held["by_region"] if row["variable"] in SHOWN]
        more = len(rows) > MOST_ROWS
        shown = table(
            f"{name}: mean (2.5 and 97.5 % of members){', ' + here if more else ''}",
            ("region", "quantity", "scenario", "years", "units", "members", "mean", "median", "limits"),
        )
        for row in rows:
            if not more or row["region"] == here:
                shown.add_row(
                    *(escape(str(row[k])) for k in ("region", "variable", "scenario")),
                    f"{row['first_year']}-{row['last_year']}",
                    *(escape(str(row[k])) for k in ("units", "n_members")),
                    three_digits(row["mean"]),
                    three_digits(row["median"]),
                    f"({three_digits(row['low'])}, {three_digits(row['high'])})",
                )
        console.print(shown)
        if more:
            console.print("  other regions are in ensemble-regions.csv", style="dim")
        for row in held["tests"]:
            if row["significant"] and row["region"] == here:
                console.print(
                    f"  {row['variable']}, {row['scenario']}: {row['split'].replace(' - ', ' and ')} differ, "
                    f"p = {row['p']:.2g}",
                    highlight=False,
                )
    for variable, held in found["inversions"].items():
        shown = table(f"inversions, {variable}, Tg yr-1", ("region", "period", "groups", "mean", "95 %"))
        for row in held["summary"]:
            shown.add_row(
                escape(row["region"]),
                row["period"],
                str(row["n"]),
                three_digits(row["mean"]),
                f"({three_digits(row['low'])}, {three_digits(row['high'])})",
            )
        console.print(shown)
    open_runs = [row for row in found["closure"] if row["verdict"] == "does not close"]
    for row in open_runs:
        if row["region"] == here:
            console.print(
                f"  {escape(row['model'])}, {escape(row['scenario'])}: land carbon does not close. {row['reason']}",
                highlight=False,
                soft_wrap=True,
            )
    checked = [row for row in found["closure"] if row["verdict"] != "cannot be checked"]
    if checked:
        console.print(
            f"  land carbon against NBP: {len(checked) - len(open_runs)} of {len(checked)} runs and regions close, "
            f"{len(found['closure']) - len(checked)} cannot be checked; all are in ensemble.json",
            highlight=False,
            soft_wrap=True,
        )
    notes = [n for held in found["ensembles"].values() for n in held["notes"]]
    notes += [f"{variable}: {n}" for variable, held in found["inversions"].items() for n in held["notes"]]
    for note in dict.fromkeys([*found["notes"], *notes]):
        console.print(f"  note: {escape(note)}", highlight=False, soft_wrap=True, style="dim")
