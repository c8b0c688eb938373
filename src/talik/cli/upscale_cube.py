"""`talik upscale predict` and `talik upscale products`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from talik.cli.text import years_of
from talik.cli.upscale_text import print_products
from talik.workflow.conventions import (
    JsonOption,
    ResumeOption,
    SchedulerOption,
    WorkersOption,
    bad_input_exits,
    exit_for,
    print_json,
    show,
)
from talik.workflow.progress import progress


class Holes(StrEnum):
    """What happens to pixels that have a predictor in some months only."""

    fail = "fail"
    drop = "drop"


class Device(StrEnum):
    """Where forests run."""

    cpu = "cpu"
    gpu = "gpu"


class Kind(StrEnum):
    """How fluxes are stored."""

    float32 = "float32"
    int16 = "int16"


RegionsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--regions",
        help="sectors, bands, bands:49,60,90, FILE.geojson[:PROPERTY] or FILE.nc:VARIABLE (classes); may be repeated.",
    ),
]


def predict(
    models: Annotated[list[Path], typer.Argument(metavar="MODEL...", help="Model files, one for each flux.")],
    grid: Annotated[
        list[Path],
        typer.Option(
            "--grid", metavar="CUBE", help="NetCDF file or Zarr store with predictors; may be repeated."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="STORE", help="The Zarr store to write.")],
    years: Annotated[
        str | None, typer.Option("--years", metavar="FIRST-LAST", help="Not given: all that the cube has.")
    ] = None,
    regions: RegionsOption = None,
    members: Annotated[
        int | None, typer.Option("--members", min=0, help="Bootstrap members; not given: all in the models.")
    ] = None,
    influence: Annotated[
        bool,
        typer.Option("--influence", help="Also how much every site counts in the budget of every region."),
    ] = False,
    holes: Annotated[
        Holes, typer.Option("--holes", help="Pixels with a predictor in some months only.")
    ] = Holes.fail,
    land_fraction: Annotated[
        str | None,
        typer.Option(
            "--land-fraction", metavar="FILE:VAR", help="Land share of the cells, for areas (8-km grids)."
        ),
    ] = None,
    stand_in: Annotated[
        list[str] | None,
        typer.Option("--stand-in", metavar="YEAR=YEAR", help="Annual predictors: read one year for another."),
    ] = None,
    dtype: Annotated[
        Kind, typer.Option("--dtype", help="int16 rounds to 0.02 g m-2 a month.")
    ] = Kind.float32,
    tile: Annotated[
        int | None,
        typer.Option("--tile", min=8, help="Edge of a tile in cells; not given: by the size of the grid."),
    ] = None,
    memory: Annotated[
        str, typer.Option("--memory", help="For all workers of this machine together.")
    ] = "4GiB",
    device: Annotated[
        Device, typer.Option("--device", help="gpu needs JAX with a GPU; results do not depend on it.")
    ] = Device.cpu,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    resume: ResumeOption = False,
    same_cube: Annotated[
        bool, typer.Option("--same-cube", help="Files of the cube changed, but only by a repair or a copy.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Predict every pixel and month of a cube of predictors, tile by tile; interrupted, it goes on where it stopped.

    The cube is found by name: variables are called as the model's predictors, with units. STORE becomes a flux
    dataset (Zarr v3), with the sums by region beside it. Exit codes: 0 done, 1 some tiles failed (the others are kept).
    """
    with bad_input_exits():
        from talik.upscaling.cube.plan import parse_memory
        from talik.upscaling.cube.run import prepare

        prediction = prepare(
            models,
            grid,
            out,
            years=parse_years(years),
            stand_in_years=[_pair(text) for text in stand_in or []],
            regions=regions or [],
            members=members,
            holes=holes.value,
            influence=influence,
            dtype=dtype.value,
            tile=tile,
            workers=workers or 1,
            memory=parse_memory(memory),
            scheduler=scheduler,
            resume=resume,
            dry_run=dry_run,
            same_cube=same_cube,
            land_fraction=land_fraction,
            device=device.value,
        )
        sys.stderr.write(prediction.plan.text(prediction.done))
        if dry_run:
            return
        with progress(len(prediction.plan.tiles)) as listen:
            outcomes = prediction.run(prediction.plan.workers, scheduler, listen)
        exit_for([o for o in outcomes if o.status == "failed"])
        facts = prediction.facts()
        if as_json:
            print_json(facts)
            return
        dropped = f", {facts['dropped_pixels']:,} dropped for holes" if facts["dropped_pixels"] else ""
        typer.echo(
            f"{out}: {facts['pixels']:,} pixels{dropped}, {facts['months']} months, {facts['seconds']:.0f} s of work "
            f"(planned {facts['planned_seconds']:.0f}), at most {facts['peak_bytes'] / 2**30:.2f} GiB a process "
            f"(planned {facts['planned_bytes'] / 2**30:.2f})"
        )


def parse_years(text: str | None) -> tuple[int, int] | None:
    return None if text is None else years_of("--years", text, "2001-2020", or_one=True)


def _pair(text: str) -> tuple[int, int]:
    from talik.errors import ConfigError

    year, sep, other = text.partition("=")
    if not sep or not year.strip().isdigit() or not other.strip().isdigit():
        raise ConfigError(f"--stand-in {text!r}: expected YEAR=YEAR, such as 2000=1999")
    return int(year), int(other)


def products(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="A store of `talik upscale predict`.")],
    regions: RegionsOption = None,
    years: Annotated[
        str | None, typer.Option("--years", metavar="FIRST-LAST", help="Not given: all whole years.")
    ] = None,
    fire: Annotated[
        Path | None, typer.Option("--fire", help="Flux dataset with fFire (NetCDF), for NEE + fire.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for numbers.csv, numbers.json, yearly.csv, maps.nc, map_*.png."),
    ] = None,
    annual: Annotated[
        bool,
        typer.Option("--annual", help="With --out: also annual and summer sums of every pixel, for trends."),
    ] = False,
    monthly: Annotated[
        bool, typer.Option("--monthly", help="With --out: also the monthly fluxes as one CF NetCDF file.")
    ] = False,
    lonlat: Annotated[
        float | None,
        typer.Option(
            "--lonlat",
            metavar="DEGREES",
            min=0.05,
            max=10,
            help="With --out: also on latitude and longitude (ILAMB).",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Regional budgets, seasons, indicators, NEE + fire, member spread and influence of sites, from a whole store."""
    with bad_input_exits():
        from talik.errors import ConfigError
        from talik.products.store import make_products, write_products

        if (annual or monthly or lonlat) and out is None:
            raise ConfigError("--annual, --monthly and --lonlat write files; say where with --out FOLDER")
        found = make_products(store, regions or [], years=parse_years(years), fire=fire)
        if out is not None:
            from talik.report.flux_maps import write_flux_maps

            files = write_products(
                store, found, out, years=parse_years(years), annual=annual, monthly=monthly, lonlat=lonlat
            )
            for path in [*files, *write_flux_maps(out / "maps.nc", out)]:
                sys.stderr.write(f"{path}\n")
        if as_json:
            print_json(found.as_dict())
        else:
            show(lambda console: print_products(console, found))
