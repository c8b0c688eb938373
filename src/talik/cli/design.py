"""`talik design`: where the next towers would reduce the uncertainty of a regional budget most."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from talik.cli.upscale_cube import RegionsOption, parse_years
from talik.workflow.conventions import JsonOption, bad_input_exits, print_json, show

if TYPE_CHECKING:
    from rich.console import Console

    from talik.upscaling.network import NetworkDesign


class CriterionChoice(StrEnum):
    """What a tower is judged by."""

    variance = "variance"
    dissimilarity = "dissimilarity"
    influence = "influence"


def design(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model file of `talik upscale train`.")],
    grid: Annotated[
        list[Path],
        typer.Option(
            "--grid", metavar="CUBE", help="NetCDF file or Zarr store with predictors; may be repeated."
        ),
    ],
    towers: Annotated[int, typer.Option("--towers", min=1, max=1000, help="How many to propose.")] = 5,
    criterion: Annotated[
        CriterionChoice,
        typer.Option(
            "--criterion",
            help="Unlikeness of the region to the towers; expected variance of the budget; leaning on few towers.",
        ),
    ] = CriterionChoice.dissimilarity,
    regions: RegionsOption = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--for", metavar="REGION", help="The region whose budget counts; not given: all together."
        ),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            "--where",
            metavar="FILE.nc:VARIABLE|FILE.csv",
            help="Where a tower may stand: cells that are neither 0 nor missing, or a table with lat, lon.",
        ),
    ] = None,
    years: Annotated[
        str | None,
        typer.Option(
            "--years", metavar="FIRST-LAST", help="Mean predictors of these years; not given: the last."
        ),
    ] = None,
    tower_years: Annotated[
        float, typer.Option("--tower-years", min=0.1, help="Length of the record of a new tower.")
    ] = 3.0,
    instrument_sd: Annotated[
        float,
        typer.Option("--instrument-sd", min=0, help="Further lasting error of a new tower, g m-2 yr-1."),
    ] = 0.0,
    land_fraction: Annotated[
        str | None,
        typer.Option("--land-fraction", metavar="FILE:VAR", help="Land share of the cells, for areas."),
    ] = None,
    cells: Annotated[
        int, typer.Option("--cells", min=50, max=20_000, help="Cells that the cube is reduced to.")
    ] = 3000,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FOLDER",
            help="Write proposed.csv, existing.csv, network.nc, network.json and figures.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Propose places for new towers, one after the other, and say what each is expected to bring.

    In worlds with a known flux the default criterion did best. The model must carry its rows; for expected variances it
    must have been validated (`--cv cluster` is best), and they are only as good as what held-out residuals tell.
    """
    with bad_input_exits():
        from talik.upscaling.model import Model
        from talik.upscaling.network import design_network
        from talik.upscaling.network_choice import NetworkSettings

        settings = NetworkSettings(
            towers=towers,
            criterion=criterion.value,
            target=target,
            tower_years=tower_years,
            instrument_sd=instrument_sd,
            max_cells=cells,
        )
        found = design_network(
            Model.load(model, members=False),
            grid,
            settings,
            years=parse_years(years),
            regions=regions or [],
            where=where,
            land_fraction=land_fraction,
        )
        if out is not None:
            for path in _write(found, model, out):
                sys.stderr.write(f"{path}\n")
        if as_json:
            print_json(found.facts())
        else:
            show(lambda console: _print(console, found))


def _write(found: NetworkDesign, model: Path, out: Path) -> list[Path]:
    from talik.files import whole_file, write_json, write_text
    from talik.provenance import describe, stamp
    from talik.report.network_figures import gain_curve, network_map
    from talik.report.style import write_figures

    out.mkdir(parents=True, exist_ok=True)
    key, inputs = found.settings.key(), {"model": model}
    written = [
        write_text(out / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))
        for name, table in (("proposed", found.proposed), ("existing", found.existing))
    ]
    facts = {**found.facts(), "provenance": describe(inputs, key)}
    written.append(write_json(out / "network.json", facts))
    with whole_file(out / "network.nc") as part:
        stamp(found.maps, "design", key, inputs).to_netcdf(part, engine="netcdf4")
    figures = [
        (
            "network-map",
            network_map(found.maps, found.existing, found.proposed, found.settings.criterion),
        ),
        ("network-gain", gain_curve(found.curve)),
    ]
    return [*written, out / "network.nc", *write_figures(figures, out)]


def _print(console: Console, found: NetworkDesign) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in (
        "",
        "lat",
        "lon",
        "variance removed",
        "left",
        "dissimilarity",
        "leaning",
        "nearest tower, km",
    ):
        table.add_column(heading, justify="right")
    for row in found.proposed.itertuples():
        table.add_row(
            str(row.rank),
            f"{row.lat:.2f}",
            f"{row.lon:.2f}",
            _percent(row.variance_removed),
            _percent(row.variance_left),
            f"{row.dissimilarity:.2f}",
            _percent(row.leaning),
            f"{row.nearest_km:.0f}",
        )
    console.print(
        escape(
            f"{found.target}: {len(found.existing)} towers, {len(found.proposed)} more by criterion "
            f"{found.settings.criterion}; expected, each after those above it"
        )
    )
    console.print(table)
    unit = "Tg yr-1" if found.units == "g m-2 month-1" else f"{found.units} m2 yr-1"
    for region, sd in found.sd.items():
        console.print(
            escape(
                f"{region}: lasting error of the mean annual budget, SD {sd['existing']:.3g} {unit} with the existing "
                f"towers, {sd['proposed']:.3g} expected with the proposed ones"
            )
        )
    for note in found.notes:
        console.print(escape(f"note: {note}"))


def _percent(share: object) -> str:
    value = float(str(share))
    return "-" if value != value else f"{100 * value:.1f} %"
