"""What each step of a fusion run does: from the files of steps before it to its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talik.files import read_json, write_json, write_text
from talik.fusion.settings import Files, FusionSettings, InferOptions, Regions
from talik.records import json_rows
from talik.workflow.unit import Job

if TYPE_CHECKING:
    import pandas as pd

    from talik.fusion.run import Infer
    from talik.fusion.summary import Fill
    from talik.fusion.switches import Switches

BLOCKS, MERGED, FLUXES, CHECK = "fusion-blocks", "fusion", "fusion-fluxes", "fusion-check"
SCORES, FIGURES = "fusion-scores", "fusion-figures"
TOTALS, POSTS, TABLE = "fusion-regions", "fusion-posts", "fusion-table"
"""Names of the steps."""
RESULT, FLUX_FILE, CHECK_FILE = "fusion.nc", "fusion-fluxes.nc", "fusion-check.json"
SCORES_FILE = "fusion-scores.csv"
TOTALS_FILE, TABLE_FILE, POSTS_FILE = "fusion-regions.json", "fusion-regions.csv", "fusion-posts.yaml"


def write_block(
    job: Job,
    settings: FusionSettings,
    files: Files,
    ranges: Mapping[str, tuple[int, int]],
    options: InferOptions,
    infer: Infer | None,
) -> None:
    """The summary of the pixels of a unit; `infer` samples them, the posterior of DALEC if None."""
    from talik.fusion.run import run_block

    run_block(job.out, settings, files, range(*ranges[job.unit]), options, infer or dalec())


def dalec() -> Infer:
    """What samples the posterior of DALEC."""
    from talik.fusion.infer import infer_block

    return infer_block


def write_result(job: Job, title: str, key: str, inputs: dict[str, Path], made: dict[str, Any]) -> None:
    """All blocks as one file."""
    from talik.fusion.run import merge

    parts = [job.needs[BLOCKS][name] for name in sorted(job.needs[BLOCKS])]
    merge(parts, job.out, title=title, key=key, inputs=inputs, made=made)


def write_check(job: Job) -> None:
    """What the result says of itself, as JSON."""
    from talik.fusion.check import report

    told = report(job.needs[MERGED]["result"])
    write_json(job.out, told)


def write_fluxes(job: Job, fill: Fill, title: str, key: str) -> None:
    """The flux dataset of the result."""
    from talik.flux.io import write_netcdf
    from talik.fusion.run import open_result
    from talik.fusion.summary import flux_dataset

    summary = open_result(job.needs[MERGED]["result"])
    made = flux_dataset(summary, fill=fill, title=title).assign_attrs(
        talik_inputs=summary.attrs["talik_inputs"], talik_fusion=summary.attrs["talik_fusion"], fill=fill
    )
    write_netcdf(made, job.out, step=FLUXES, config_key=key)


def write_scores(job: Job) -> None:
    """The result against observations, as CSV."""
    from talik.fusion.run import open_result
    from talik.fusion.validation import scores

    table = scores(open_result(job.needs[MERGED]["result"]))
    write_text(job.out, table.to_csv(index=False, lineterminator="\n"))


def write_figure(job: Job, pixels: dict[str, str]) -> None:
    """The months of a pixel as PNG or SVG, by the ending of the unit."""
    from talik.fusion.figures import pixel_series
    from talik.fusion.run import open_result
    from talik.fusion.validation import months_of
    from talik.report.style import nothing_to_draw, png, svg

    name = pixels[job.unit]
    figure = pixel_series(months_of(open_result(job.needs[MERGED]["result"]), name))
    figure = figure or nothing_to_draw(name, "nothing was observed month by month")
    job.out.write_bytes(png(figure) if job.unit.endswith("png") else svg(figure).encode())


def write_totals(
    job: Job, wanted: Regions, regions: tuple[str, ...], fill: Fill, seed: int, switches: Switches
) -> None:
    """Totals of regions under every assumption, as JSON."""
    from talik.fusion.regional import Assumptions, pixel_areas, pixel_grid, regional_table
    from talik.fusion.run import open_result
    from talik.fusion.shared import shared_parameters
    from talik.fusion.summary import unknown_in

    summary = open_result(job.needs[MERGED]["result"])
    shared = shared_parameters(switches, wanted.shared) if wanted.hierarchical else ()
    areas = pixel_areas(summary, pixel_grid(summary, wanted.cell_degrees), regions or None)
    table = regional_table(
        summary,
        areas,
        periods=wanted.periods,
        assumptions=Assumptions(wanted.lengths_km, wanted.alphas, wanted.draws, seed, shared=shared),
        fill=fill,
        min_coverage=wanted.least_coverage,
    )
    told = {
        "rows": json_rows(table),
        "area_mkm2": dict(zip(areas.regions, (areas.region_m2 * 1e-12).tolist(), strict=True)),
        "members": summary.sizes["member"],
        "hierarchical": table.attrs["hierarchical"],
        "unknown": list(unknown_in(summary)),
    }
    write_json(job.out, told)


def write_posts_file(job: Job, region: str | None, label: str) -> None:
    """Budget posts of a region (the first if None) and the first period, as YAML."""
    from talik.fusion.posts import fusion_posts, write_posts

    told, table = _read_totals(job)
    name = str(table["region"].iloc[0]) if region is None else region
    first = table[["first_year", "last_year"]].eq(table[["first_year", "last_year"]].iloc[0]).all(axis=1)
    area = told["area_mkm2"].get(name)
    posts = fusion_posts(
        table[first], name, label=label, area_mkm2=area, members=told["members"], unknown=told["unknown"]
    )
    write_posts(posts, job.out)


def write_table(job: Job) -> None:
    """Totals of regions as CSV."""
    _, table = _read_totals(job)
    write_text(job.out, table.to_csv(index=False, lineterminator="\n"))


def _read_totals(job: Job) -> tuple[dict[str, Any], pd.DataFrame]:
    import pandas as pd

    told = read_json(job.needs[TOTALS]["totals"])
    return told, pd.DataFrame(told["rows"])
