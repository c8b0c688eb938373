"""`talik inventory run`: class areas times fluxes, and what is added to them, as budget posts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from talik.cli.text import three_digits
from talik.files import read_json
from talik.workflow.conventions import (
    DryRunOption,
    JsonOption,
    bad_input_exits,
    plan_and_run,
    print_json,
    show,
)

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(
    no_args_is_help=True, help="Inventories: land cover, water, fire, lateral and human fluxes."
)


@app.command()
def run(
    project: Annotated[
        Path, typer.Argument(metavar="PROJECT.yaml", help="A project file with a section inventory.")
    ],
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make the inventory of a project: areas, flux densities and fluxes of classes, with limits, and budget posts.

    All input is read and checked before anything is written. Writes inventory.json, inventory-classes.csv and
    inventory-posts.yaml, which `talik budget` reads, into the output folder; with a cover grid also flux datasets.
    """
    with bad_input_exits():
        from talik.errors import ConfigError
        from talik.inventory.run import check
        from talik.inventory.section import RESULT, files_in, steps
        from talik.inventory.settings import InventorySettings
        from talik.inventory.settings_base import lookup
        from talik.workflow.project import load_project

        loaded = load_project(project)
        settings = loaded.sections.get("inventory")
        if not isinstance(settings, InventorySettings):
            raise ConfigError(f"{project}: has no section inventory. Add one; see the guide on inventories.")

        def checked() -> tuple[dict[str, Any], str]:
            check(settings, lookup(files_in(loaded, settings)), loaded.base.seed)
            return {}, ""

        result = plan_and_run(
            loaded,
            [step.name for step in steps(loaded, settings)],
            workers=None,
            scheduler=None,
            resume=False,
            dry_run=dry_run,
            as_json=as_json,
            check=checked,
        )
        if result is None:
            return
        found = read_json(loaded.output / RESULT)
        if as_json:
            print_json({**found, "published": [str(path) for path in result.published]})
            return
        show(lambda console: print_inventory(found, console))
        typer.echo("\n".join(str(path) for path in result.published))


def print_inventory(found: dict[str, Any], console: Console) -> None:
    """A table of classes for each gas, other estimates beside, and what was assumed."""
    from rich.table import Table

    share = 100 * found["area_share"]
    console.print(
        f"{found['region']}, {found['period']}: {found['area_mkm2']:.4g} million km2, {share:.0f} % classed"
    )
    for gas, held in found["gases"].items():
        table = Table(title=f"{gas}, {held['total']['unit']}, up positive", title_justify="left")
        for name in ("class", "area, million km2", "g m-2 yr-1", "flux", "sites", *held.get("beside", {})):
            table.add_column(name, justify="left" if name == "class" else "right")
        others = [{r["class"]: r for r in of["classes"]} for of in held.get("beside", {}).values()]
        for row in held["classes"]:
            table.add_row(
                row["class"].replace("_", " "),
                limited(row["area_mkm2"]),
                limited(row["density_g_m2_yr"]),
                limited(row["flux_tg_yr"]),
                str(row["sites"] or ""),
                *(limited(other[row["class"]]["flux_tg_yr"]) for other in others),
            )
        totals = [held["total"], *(of["total"] for of in held.get("beside", {}).values())]
        table.add_section()
        for name in ("linear", "independent", "correlated"):
            cells = [limited(_with(total, name)) if name in total else "-" for total in totals]
            table.add_row(f"sum, {name}", "", "", cells[0], "", *cells[1:])
        console.print(table)
        for note in dict.fromkeys(note for row in held["classes"] for note in row["notes"]):
            console.print(f"  {note}", soft_wrap=True)
    if found["added"]["posts"]:
        table = Table(title="beside land cover, Tg yr-1, up positive", title_justify="left")
        for name in ("post", "gas", "flux", "area, million km2", "source"):
            table.add_column(name, justify="right" if name in ("flux", "area, million km2") else "left")
        for post in found["added"]["posts"]:
            area = post.get("area_mkm2")
            table.add_row(
                post["id"],
                post["gas"],
                limited(post),
                "" if area is None else three_digits(area),
                post["source"],
            )
        console.print(table)
    if found["synthesis"] is not None:
        for name, of in found["synthesis"].items():
            for unit in ("rows", "sites"):
                analysis = of[unit]["analysis"]
                term = analysis["terms"][0]
                console.print(
                    f"  CH4 of wetland classes, {name.replace('_', ' ')}, {analysis['values']} values over {unit}: "
                    f"F({term['df']}, {analysis['residual_df']}) = {term['f']:.1f}, p = {term['p']:.2g}"
                )
    for gas, rows in found["sampling"].items():
        for row in rows if gas != "climate" else []:
            console.print(
                f"  {row['land'].replace('_', ' ')}: {row['sites']} {gas} sites at {row['mean_latitude']:.0f} N on "
                f"average, the southernmost at {row['southernmost']:.0f} N; {100 * row['permafrost_share']:.0f} % "
                "report permafrost",
                soft_wrap=True,
            )
    for row in found["sampling"].get("climate", []):
        console.print(
            f"  {row['land'].replace('_', ' ')}: CH4 sites are {row['difference_K']:+.1f} K from the mean of the "
            f"class's area ({row['area_degC']:.1f} degC); {100 * row['area_within_sites']:.0f} % of it lies within "
            "their range",
            soft_wrap=True,
        )


def _with(total: dict[str, Any], name: str) -> dict[str, float]:
    return {"mean": total["mean"], "low": total[name][0], "high": total[name][1]}


def limited(number: dict[str, float]) -> str:
    """A number with its limits; without them where it has none."""
    mean, low, high = number["mean"], number["low"], number["high"]
    return (
        three_digits(mean)
        if low == high
        else f"{three_digits(mean)} ({three_digits(low)}, {three_digits(high)})"
    )
