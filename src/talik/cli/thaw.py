"""`talik thaw`: the state model of abrupt thaw."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from talik.workflow.conventions import JsonOption, bad_input_exits, print_json, show

if TYPE_CHECKING:
    from rich.console import Console

    from talik.inventory.limits import Limited
    from talik.inventory.thaw.result import Run, Span

app = typer.Typer(no_args_is_help=True, help="Abrupt thaw: areas that change state, and their carbon.")


class ScopeChoice(StrEnum):
    """Which states are counted."""

    terrain = "terrain"
    features = "features"


@app.command("run")
def thaw_run(
    scenario: Annotated[
        str, typer.Option("--scenario", metavar="NAME", help="rcp45, rcp85, or one of your table.")
    ] = "rcp85",
    to: Annotated[int, typer.Option("--to", help="The run ends on 1 January of this year.")] = 2300,
    scope: Annotated[
        ScopeChoice, typer.Option("--scope", help="All states, or only those made by abrupt thaw.")
    ] = ScopeChoice.terrain,
    terrains: Annotated[
        Path | None,
        typer.Option(
            "--terrains", metavar="FILE", help="Your table of terrains (.yaml); see `talik thaw table`."
        ),
    ] = None,
    balance: Annotated[
        str | None,
        typer.Option(
            "--balance", metavar="NAME", help="Another carbon balance: without_reburial (hillslopes)."
        ),
    ] = None,
    draws: Annotated[int, typer.Option("--draws", help="Monte Carlo draws behind the limits.")] = 2000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the draws.")] = 0,
    forcing: Annotated[bool, typer.Option("--forcing", help="Add radiative forcing.")] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Write thaw.nc, thaw-posts.csv and thaw.json there."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Areas, CO2, CH4 and carbon balance of terrains that thaw abruptly, 1900 to 2300, with 95 % limits.

    Positive is to the atmosphere; numbers are mass of carbon.
    """
    with bad_input_exits():
        from talik.inventory.thaw.output import to_dict
        from talik.inventory.thaw.read import read_table
        from talik.inventory.thaw.result import Settings, run
        from talik.provenance import describe

        table = read_table(terrains)
        settings = Settings(
            scenario=scenario,
            to=to,
            scope="features" if scope is ScopeChoice.features else "terrain",
            balance=balance,
            draws=draws,
            seed=seed,
        )
        done = run(table, settings)
        inputs = {"terrains": terrains} if terrains is not None else {}
        told = {**to_dict(done, forcing), "provenance": describe(inputs, table.key())}
        if out is not None:
            from talik.files import whole_file, write_json
            from talik.inventory.thaw.output import dataset
            from talik.inventory.thaw.posts import posts, write_posts
            from talik.provenance import stamp

            ds = stamp(dataset(done, forcing), "thaw run", f"{table.key()}-{settings.key()}", inputs)
            with whole_file(out / "thaw.nc") as part:
                ds.to_netcdf(part, engine="netcdf4")
            write_posts(posts(done), out / "thaw-posts.csv")
            write_json(out / "thaw.json", told)
        if as_json:
            print_json(told)
            return
        show(lambda console: _print(console, done, told.get("forcing_w_m2")))
        if out is not None:
            typer.echo(f"{out}: thaw.nc, thaw-posts.csv, thaw.json")


@app.command("table")
def thaw_table() -> None:
    """Print the published table of terrains as YAML, to change and give back with `--terrains`."""
    with bad_input_exits():
        from talik.inventory.thaw.read import published_text

        typer.echo(published_text(), nl=False)


def _print(console: Console, done: Run, forcing: dict[str, dict[str, float]] | None) -> None:
    from rich.table import Table

    from talik.inventory.thaw.output import feature_area, span_name, whole_area
    from talik.inventory.thaw.simulate import KINDS

    table, s = done.table, done.settings
    counted = "all states" if s.scope == "terrain" else "states made by abrupt thaw"
    console.print(
        f"Abrupt thaw, {table.scenarios[s.scenario]}: {counted}, Tg C yr-1, positive to the atmosphere; "
        f"95 % limits of {s.draws} draws"
    )
    years = sorted({year for span in done.spans for year in span})
    areas = Table(box=None, pad_edge=False, title="area made by abrupt thaw, Mkm2", title_justify="left")
    for heading in ("terrain", "whole", *map(str, years)):
        areas.add_column(heading, justify="left" if heading == "terrain" else "right")
    for key, found in done.terrains.items():
        features = [_mkm2(feature_area(found, year)) for year in years]
        areas.add_row(table.terrains[key].label, _mkm2(whole_area(found)), *features)
    everything = list(done.terrains.values())
    sums = [_mkm2(sum(feature_area(t, year) for t in everything)) for year in years]
    areas.add_row("all", _mkm2(sum(whole_area(t) for t in everything)), *sums)
    console.print(areas)
    for span in done.spans:
        title = f"mean {span_name(span)}, Tg C yr-1"
        means = Table(box=None, pad_edge=False, title=title, title_justify="left")
        for heading in ("terrain", "CO2", "CH4", "carbon balance"):
            means.add_column(heading, justify="left" if heading == "terrain" else "right", no_wrap=True)
        means.add_column("cumulative, Pg C", justify="right", no_wrap=True)
        means.add_column("what varies the balance most")
        for key, found in done.terrains.items():
            cells = [_limits(found.means[kind, span]) for kind in KINDS]
            means.add_row(
                table.terrains[key].label,
                *cells,
                _cumulative(found.means["balance", span], span),
                _first(found.influence["balance", span]),
            )
        totals = [_limits(done.totals[kind, span]) for kind in KINDS]
        means.add_row("all", *totals, _cumulative(done.totals["balance", span], span), "")
        console.print(means)
    for kind, by_terrain in (forcing or {}).items():
        console.print(
            f"radiative forcing of {kind.upper()} since {table.scenario_year}, end of {s.to - 1}: "
            f"{1000 * sum(by_terrain.values()):.2f} mW m-2"
        )
    for note in done.notes:
        console.print(f"note: {note}")


def _first(influence: Mapping[str, float]) -> str:
    """What varies a result most, with its share of the variance."""
    return next((f"{name} {100 * share:.0f} %" for name, share in influence.items()), "-")


def _mkm2(km2: float) -> str:
    return f"{km2 / 1e6:.3f}"


def _limits(number: Limited) -> str:
    return f"{number.mean:.1f} ({number.low:.1f}, {number.high:.1f})"


def _cumulative(mean: Limited, span: Span) -> str:
    return _limits(mean.times((span[1] - span[0]) / 1000))
