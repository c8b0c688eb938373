"""The page of a validation: one HTML file that opens offline, from its scores, figures and notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from talik.report.html import picture, provenance_rows, template
from talik.tem.calibration.figures import NAMES, UNITS, seasons, soil_scatter, taylor, taylor_points
from talik.tem.calibration.summary import (
    ARROW,
    Row,
    change,
    number,
    parameter_rows,
    sentences,
    share_inside,
    words,
)
from talik.tem.calibration.validation import GROUND, RUNS, USES, Calibration

SCORES = {"r2": ".2f", "slope": ".2f", "rmse": ".3g", "mean_bias": ".2g", "nash_sutcliffe": ".2f"}
"""Scores of a table, and their forms."""


@dataclass(frozen=True)
class Validation:
    """Everything that a page shows.

    rows : `score_rows` of months and ground. levels : `levels_reached`. ground : ground.csv, None if there were no
    observations of it. ground_notes : what is missing there. notes : of each tower or community, by its name.
    """

    found: Calibration
    rows: Sequence[Row]
    levels: Sequence[Row]
    ground: pd.DataFrame | None
    ground_notes: Sequence[str]
    notes: Mapping[str, Sequence[str]]

    @property
    def sentences(self) -> list[str]:
        """The validation in a few sentences."""
        return sentences(self.rows, self.levels, self.found.community_of())


def render(validation: Validation, title: str, provenance: Mapping[str, Any]) -> str:
    """The HTML text of the page; the same validation gives the same text."""
    v = validation
    months = v.found.months
    return template("validation.html.j2").render(
        title=title,
        lede=_lede(v),
        arrow=ARROW,
        sentences=v.sentences,
        levels=[_level(row) for row in v.levels],
        towers=_towers(v),
        scores=_scores(v.rows),
        ground=None if v.ground is None else {"rows": _stations(v.ground), "notes": v.ground_notes},
        taylor=picture("taylor", "Months left out", *_taylor_words(v.rows), lambda w: taylor(v.rows, w)),
        seasons=_seasons(v),
        scatter=picture(
            "soil-temperature",
            "Monthly soil temperature",
            *_soil_words(v.rows),
            lambda w: soil_scatter(months, w),
        ),
        communities=[_community(name, held) for name, held in v.found.communities.items()],
        notes=[{"name": words(name), "told": told} for name, told in v.notes.items() if told],
        provenance=provenance,
        provenance_rows=provenance_rows(provenance),
    )


def _lede(v: Validation) -> str:
    towers = v.found.community_of()
    counts = {use: int((v.found.months["use"] == use).sum()) for use in ("calibration", "left_out")}
    kinds = len(set(towers.values()))
    return (
        f"{len(towers)} {'tower' if len(towers) == 1 else 'towers'} of {kinds} "
        f"{'community' if kinds == 1 else 'communities'}. {counts['calibration']} monthly observations were fitted, "
        f"{counts['left_out']} left out to judge the fit."
    )


def _level(row: Row) -> dict[str, Any]:
    return {
        "site": row["site_id"],
        "use": USES[row["use"]],
        "variable": NAMES[row["variable"]],
        "level": row["level"],
        **{run: number(row[run]) for run in RUNS},
        "reached": row["reached"],
    }


def _towers(v: Validation) -> dict[str, Any]:
    """R2 of every variable, a row for each tower and use of its years."""
    months = v.found.months
    columns = [name for name in NAMES if any(r["variable"] == name and r["use"] != GROUND for r in v.rows)]
    out = []
    for site, community in v.found.community_of().items():
        for use in USES:
            here = {r["variable"]: r for r in v.rows if (r["site_id"], r["use"]) == (site, use)}
            mine = months[(months["site_id"] == site) & (months["use"] == use)]
            if mine.empty:
                continue
            out.append(
                {
                    "site": site,
                    "community": words(community),
                    "use": USES[use],
                    "period": _span(mine["year"]),
                    "months": len(mine[["year", "month"]].drop_duplicates()),
                    "cells": [change(here[name], "r2") if name in here else "–" for name in columns],
                    "inside": _share(list(here.values())),
                }
            )
    return {"columns": [_head(name) for name in columns], "rows": out}


def _scores(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A table for each variable."""
    out = []
    for name in NAMES:
        mine = [
            {
                "site": row["site_id"],
                "use": USES[row["use"]],
                "n": row["after"]["n"],
                "cells": [change(row, score, form) for score, form in SCORES.items()],
                "inside": _share([row]),
            }
            for row in rows
            if row["variable"] == name
        ]
        if mine:
            out.append({"name": _head(name), "unit": UNITS[name], "rows": mine})
    return out


def _stations(ground: pd.DataFrame) -> list[dict[str, Any]]:
    """A row for each tower, station, variable and depth, with means over its years."""
    keys = ["site_id", "station", "distance_km", "variable", "depth_m"]
    out = []
    for _, rows in ground.groupby(keys, sort=False, dropna=False):
        first = rows.iloc[0]
        means = {name: number(float(rows[name].mean())) for name in ("value", *RUNS)}
        variable = str(first["variable"])
        out.append(
            {
                "site": first["site_id"],
                "station": first["station"],
                "distance": number(float(first["distance_km"]), ".1f"),
                "variable": f"{NAMES[variable]}, {UNITS[variable]}",
                "depth": number(float(first["depth_m"])),
                "years": _span(rows["year"]),
                "n": len(rows),
                "observed": means["value"],
                **{run: means[run] for run in RUNS},
            }
        )
    return out


def _community(name: str, held: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of a community as cells, and what its stages say."""
    rows = parameter_rows(name, held["stages"])
    told = []
    for stage in held["stages"]:
        told.append(f"Stage {stage['name']}: {stage['told']}.")
        if (nuts := stage.get("nuts")) is not None:
            verdict = (
                "The sampler is to be trusted" if nuts["trusted"] else "The sampler is not to be trusted"
            )
            told.append(f"Stage {stage['name']}: {nuts['divergences']} divergent transitions. {verdict}.")
            told += [f"Stage {stage['name']}: {why}." for why in nuts["reasons"]]
        told += [f"Stage {stage['name']}: {note}" for note in stage.get("laplace", {}).get("notes", ())]
    cells = [
        {
            **{key: row[key] for key in ("stage", "name", "limit")},
            "start": number(row["start"], ".4g"),
            "found": number(row["found"], ".4g"),
            "interval": "–"
            if row["low"] is None
            else f"{number(row['low'], '.3g')} to {number(row['high'], '.3g')}",
            "identifiable": number(row["identifiable"]),
            "rhat": number(row["rhat"], ".3f"),
            "ess": number(row["ess"], ".0f"),
        }
        for row in rows
    ]
    sampled = any(row["rhat"] is not None for row in rows)
    return {"name": _capital(words(name)), "rows": cells, "told": told, "sampled": sampled}


def _seasons(v: Validation) -> list[dict[str, str]]:
    pictures = [_season(v, site, community) for site, community in v.found.community_of().items()]
    return [p for p in pictures if p is not None]


def _season(v: Validation, site: str, community: str) -> dict[str, str] | None:
    caption = (
        "Means of calendar months that were observed; bars are standard deviations between years, the band is the mean "
        "90 % interval."
    )
    alt = f"Seasonal course at {site}: observed, model before and after. {_told(v.rows, site)}"
    title = f"{site}, {words(community)}"
    return picture(f"season-{site}", title, caption, alt, lambda w: seasons(v.found.months, site, w))


def _told(rows: Sequence[Row], site: str) -> str:
    """RMSE of every variable of a tower, for who does not see its figure."""
    parts = [
        f"{NAMES[r['variable']]} {USES[r['use']]}: RMSE {change(r, 'rmse', '.3g')} {UNITS[r['variable']]}"
        for r in rows
        if r["site_id"] == site and r["use"] != GROUND
    ]
    return "; ".join(parts) + "."


def _taylor_words(rows: Sequence[Row]) -> tuple[str, str]:
    """Caption and alternative text."""
    points = taylor_points(rows)
    parts = [
        f"{p['site_id']} {NAMES[p['variable']]} correlation {number(p['before'][1])} {ARROW} {number(p['after'][1])}, "
        f"ratio {number(p['before'][0])} {ARROW} {number(p['after'][0])}"
        for p in points
    ]
    caption = (
        "The angle is the correlation, the distance from zero the standard deviation over that observed. Open "
        "points are the model before calibration, filled ones after. The star is a perfect model; dotted circles "
        "around it are the centred error in units of the observed standard deviation. Points beyond 3 are drawn at 3."
    )
    return caption, f"Taylor diagram of months left out. {'; '.join(parts)}."


def _soil_words(rows: Sequence[Row]) -> tuple[str, str]:
    """Caption and alternative text."""
    parts = [
        f"{r['site_id']} {USES[r['use']]}: R² {change(r, 'r2')}, bias {change(r, 'mean_bias')} °C"
        for r in rows
        if r["variable"] == "tsoil"
    ]
    caption = "All depths together. Open points are the model before calibration, filled ones after; the line is 1:1."
    return caption, f"Soil temperature of the model against that observed. {'; '.join(parts)}."


def _share(rows: Sequence[Row]) -> str:
    inside = share_inside(rows)
    return "–" if inside is None else f"{100 * inside[0]:.0f} %"


def _span(years: pd.Series) -> str:
    first, last = int(years.min()), int(years.max())
    return str(first) if first == last else f"{first}–{last}"


def _head(name: str) -> str:
    return _capital(NAMES[name])


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
