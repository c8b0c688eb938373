"""The page of a comparison: one HTML file that opens offline; every number of its matrix leads to its inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from talik.compare.figures import agreement_map, matrix, ranking, region_panels, taylor_diagram
from talik.compare.page_tables import anchor, details, differences, published, skill, statistics
from talik.compare.result import synthesis_of
from talik.compare.scores import Taylor
from talik.report.html import picture, provenance_rows, raster_picture, template
from talik.report.page_tables import percent, shown, table

NAMES = {"nee": "NEE", "fch4": "CH₄"}
UNIT = {"nee": "g C m⁻² yr⁻¹", "fch4": "g CH₄-C m⁻² yr⁻¹"}
_ALL = 0.995


def render(found: Mapping[str, Any], maps: Path | None, title: str, provenance: Mapping[str, Any]) -> str:
    """The HTML text; the same result gives the same text. maps : the agreement, as a file."""
    synthesis = synthesis_of(found)
    unit = UNIT[found["variable"]]
    return template("compare.html.j2").render(
        title=title,
        lede=lede(found),
        sentences=sentences(found),
        matrix=_matrix(found, unit),
        panels=picture(
            "regions",
            "Regions",
            f"Means of {found['period']}, {unit}. Bars are one spatial standard deviation to either side (towers: "
            "between sites); the line is the median of approaches.",
            _matrix_words(found),
            lambda w: region_panels(synthesis, w, units=unit),
        ),
        statistics=statistics(found),
        agreement=_agreement(found, maps),
        skill=skill(found),
        taylor=picture(
            "taylor",
            "Annual sums at towers",
            "The angle is the correlation over towers, the distance from zero the standard deviation over that "
            "observed; dotted circles are the centred error.",
            _taylor_words(found),
            lambda w: taylor_diagram(taylor_points(found), w),
        ),
        differences=differences(found),
        details=details(found),
        published=published(found),
        notes=found["notes"],
        provenance=provenance,
        provenance_rows=provenance_rows(provenance),
    )


def figures(found: Mapping[str, Any], maps: Path | None) -> dict[str, Callable[[], Figure | None]]:
    """What draws each figure, by name."""
    synthesis, unit = synthesis_of(found), UNIT[found["variable"]]
    out: dict[str, Callable[[], Figure | None]] = {
        "matrix": lambda: matrix(synthesis, units=unit),
        "regions": lambda: region_panels(synthesis, units=unit),
        "taylor": lambda: taylor_diagram(taylor_points(found)),
    }
    if found["ranking"]:
        out["ranking"] = lambda: ranking(pd.DataFrame(found["ranking"]))
    if maps is not None:
        out["agreement"] = lambda: agreement_map(_loaded(maps))
    return out


def lede(found: Mapping[str, Any]) -> str:
    """What is compared, in one sentence."""
    approaches = list(dict.fromkeys(s["approach"] for s in found["sources"]))
    models = sum(1 for _ in {(r["approach"], r["model"]) for r in found["rows"]})
    return (
        f"{NAMES[found['variable']]} of {len(approaches)} approaches with {models} models in {len(found['regions'])} "
        f"regions, {found['period']}. Each approach counts once, however many models it has."
    )


def sentences(found: Mapping[str, Any]) -> list[str]:
    """What was found, for the head of the page and the terminal."""
    unit = UNIT[found["variable"]]
    rows = [r for r in found["by_region"] if r["median"] is not None]
    out = []
    if rows:
        low, high = (pick(rows, key=lambda r: r["median"]) for pick in (min, max))
        out.append(
            f"Medians of approaches run from {shown(low['median'])} ({low['region']}) to "
            f"{shown(high['median'])} {unit} ({high['region']})."
        )
    spread = [r for r in rows if (r["n"] or 0) > 1 and r["range"] is not None]
    if spread:
        mean = sum(r["range"] for r in spread) / len(spread)
        least, most = (pick(spread, key=lambda r: r["range"]) for pick in (min, max))
        out.append(
            f"Approaches lie {shown(mean)} {unit} apart on average: least in {least['region']} "
            f"({shown(least['range'])}), most in {most['region']} ({shown(most['range'])})."
        )
    if (anova := found["anova"]) is not None:
        out.append(
            f"Regions {'differ' if anova['p'] < 0.05 else 'do not differ'}: "
            f"F({anova['df_between']}, {anova['df_within']}) = {anova['f']:.2f}, p = {anova['p']:.2g}."
        )
    gridded = {s["approach"] for s in found["sources"] if s["kind"] != "insitu"}
    for row in found["agreement"]:
        if len(gridded) > 1 and row["coverage"] and (side := _majority(row)):
            out.append(f"{row['region']}: {side}.")
    if found["ranking"]:
        best = found["ranking"][0]
        out.append(
            f"Nearest to the towers is {best['model']} (score {best['overall']:.2f}, 90 % {best['low']:.2f} to "
            f"{best['high']:.2f}; best in {100 * best['first']:.0f} % of resampled sets of {best['n_sites']} towers)."
        )
    return out


def _majority(row: Mapping[str, Any]) -> str:
    shares = {s: row[f"area_{s}"] or 0.0 for s in ("sink", "source", "neutral")}
    side = max(shares, key=lambda s: shares[s])
    if shares[side] <= 0.0:
        return ""
    holds = "" if row["coverage"] > _ALL else f" with data ({100 * row['coverage']:.0f} % of it)"
    return f"most models agree on {side} over {100 * shares[side]:.0f} % of the land{holds}"


def _matrix(found: Mapping[str, Any], unit: str) -> dict[str, Any]:
    held = {(row["region"], row["approach"]): row for row in found["matrix"]}
    approaches = list(dict.fromkeys(row["approach"] for row in found["matrix"]))
    largest = max((abs(r["mean"]) for r in found["matrix"] if r["mean"] is not None), default=1.0) or 1.0
    rows = []
    for summary in found["by_region"]:
        region = summary["region"]
        cells = []
        for approach in approaches:
            mean = held[region, approach]["mean"]
            side = "" if mean is None else "s" if mean < 0 else "r"
            cells.append(
                {
                    "text": shown(mean),
                    "side": side,
                    "share": 0 if mean is None else round(45 * abs(mean) / largest),
                    "link": "" if mean is None else anchor(found, region, approach),
                }
            )
        rows.append(
            {
                "region": region,
                "cells": cells,
                "median": shown(summary["median"]),
                "range": shown(summary["range"]),
            }
        )
    told = (
        f"{NAMES[found['variable']]}, {unit}, mean of {found['period']}, negative is uptake. Area means over the cells "
        "of a region, then over years, then over the models of an approach; towers are means of sites."
    )
    return {"approaches": approaches, "rows": rows, "told": told}


def _matrix_words(found: Mapping[str, Any]) -> str:
    parts = []
    for region in found["regions"]:
        cells = [
            f"{r['approach']} {shown(r['mean'])}"
            for r in found["matrix"]
            if r["region"] == region and r["mean"] is not None
        ]
        parts.append(f"{region}: {', '.join(cells) or 'no value'}")
    return "; ".join(parts) + "."


def _agreement(found: Mapping[str, Any], maps: Path | None) -> dict[str, Any] | None:
    if maps is None:
        return None
    rows = [
        [
            r["region"],
            *(shown(r[s]) for s in ("sink", "neutral", "source")),
            *(
                percent(r[f"area_{s}"])
                for s in ("sink", "neutral", "source", "no_majority")
                if f"area_{s}" in r
            ),
            percent(r["coverage"]),
        ]
        for r in found["agreement"]
    ]
    return {
        "figure": raster_picture(
            "agreement",
            "Sink or source",
            f"Share of models, approaches with equal weight. Within {found['neutral']:g} g m⁻² yr⁻¹ of zero "
            "a cell is neutral.",
            "Polar maps of the share of models that are sink and source. "
            + "; ".join(
                f"{r['region']}: sink {shown(r['sink'])} %, source {shown(r['source'])} %"
                for r in found["agreement"]
            ),
            lambda width: agreement_map(_loaded(maps), width=width),
        ),
        "table": table(
            "Agreement by region",
            [
                "Region",
                *(f"#{s}, % of models" for s in ("Sink", "Neutral", "Source")),
                *(f"#{s}, of area" for s in ("Sink", "Neutral", "Source", "No majority")),
                "#Area with a value",
            ],
            rows,
        ),
    }


def taylor_points(found: Mapping[str, Any]) -> dict[str, Taylor]:
    out = {}
    for row in found["skill"]:
        ratio, r, error = (
            math.nan if row[f"spatial_{k}"] is None else float(row[f"spatial_{k}"])
            for k in ("sd_ratio", "r", "error")
        )
        out[f"{row['approach']}: {row['model']}"] = Taylor(ratio, r, error, int(row["spatial_n"]))
    return out


def _taylor_words(found: Mapping[str, Any]) -> str:
    parts = [
        f"{name} correlation {shown(t.r, 2)}, ratio {shown(t.sd_ratio, 2)}"
        for name, t in taylor_points(found).items()
    ]
    return f"Taylor diagram over towers. {'; '.join(parts)}."


def _loaded(maps: Path) -> xr.Dataset:
    with xr.open_dataset(maps, engine="netcdf4") as ds:
        return ds.load()
