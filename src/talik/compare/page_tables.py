"""Tables of the page of a comparison, from its JSON value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from talik.compare.coverage import COMPONENTS
from talik.report.page_tables import Table, percent, shown, table

PARTS = (
    "Pair",
    "Region",
    "#Difference",
    "#By grid",
    "#By years",
    "#By cells",
    "#Left",
    "#Common years",
    "#Common land",
)
"""Columns of the table of differences."""


def statistics(found: Mapping[str, Any]) -> list[Table]:
    columns = ("mean", "median", "low", "high", "range", "sd", "n")
    out = [
        table(
            "Regions over approaches",
            ["Region", *(f"#{c.capitalize() if c != 'sd' else 'SD'}" for c in columns)],
            [
                [r["region"], *(shown(r[c], 0 if c == "n" else 1) for c in columns)]
                for r in found["by_region"]
            ],
        )
    ]
    if found["cv"]:
        out.append(
            table(
                "Coefficient of variation",
                ["Region", "#CV over approaches", "#n"],
                [[r["region"], shown(r["cv"], 2), shown(r["n"], 0)] for r in found["cv"]],
                "Standard deviation (n − 1) over the mean of approaches.",
            )
        )
    tests = []
    if (a := found["anova"]) is not None:
        tests.append(
            [
                "Analysis of variance",
                f"F({a['df_between']}, {a['df_within']}) = {a['f']:.2f}",
                f"{a['p']:.2g}",
            ]
        )
    if (k := found["kruskal"]) is not None:
        tests.append(["Kruskal-Wallis", f"H({k['df']}) = {k['h']:.2f}", f"{k['p']:.2g}"])
    tests += [
        [
            f"without {r['left_out']}",
            "–" if r["f"] is None else f"F = {r['f']:.2f}",
            "–" if r["p"] is None else f"{r['p']:.2g}",
        ]
        for r in found["without"]
    ]
    if tests:
        out.append(table("Do regions differ?", ["Test", "#Statistic", "#p"], tests))
    return out


def skill(found: Mapping[str, Any]) -> list[Table]:
    if not found["skill"]:
        return []
    columns = {
        "n_sites": ("Towers", 0),
        "without": ("Without", 0),
        "bias": ("Bias, year", 0),
        "rmse": ("RMSE, month", 1),
        "cycle_r": ("r of season", 2),
        "amplitude_ratio": ("Amplitude ratio", 2),
        "phase_shift": ("Shift, months", 1),
        "iav_ratio": ("Variability ratio", 2),
        "r_years": ("r of years", 2),
        "spatial_r": ("r over towers", 2),
    }
    out = [
        table(
            "Means over towers",
            ["Model", *(f"#{name}" for name, _ in columns.values())],
            [
                [f"{r['approach']}: {r['model']}", *(shown(r.get(c), d) for c, (_, d) in columns.items())]
                for r in found["skill"]
            ],
            "Means over towers with a whole seasonal cycle in common; “without” are towers that have none. Bias and "
            "RMSE in g m⁻², model less tower.",
        )
    ]
    if found["ranking"]:
        scores = ("bias", "rmse", "phase", "iav", "spatial", "overall")
        out.append(
            table(
                "Scores and ranking",
                [
                    "Model",
                    *(f"#{s.upper() if s in ('rmse', 'iav') else s.capitalize()}" for s in scores),
                    "#90 %",
                    "#Best",
                    "#Beats next",
                ],
                [
                    [
                        r["model"],
                        *(shown(r[s], 2) for s in scores),
                        f"{shown(r['low'], 2)} to {shown(r['high'], 2)}",
                        percent(r["first"]),
                        percent(r["beats_next"]),
                    ]
                    for r in found["ranking"]
                ],
                "Scores run from 0 to 1 (Collier et al. 2018; formulas in the documentation). Towers are resampled for "
                "the interval and for how often a model is best, or better than the next.",
            )
        )
    return out


def differences(found: Mapping[str, Any]) -> list[Table]:
    out = []
    if found["coverage"]:
        out.append(
            table(
                "What each approach covers",
                [
                    "Approach",
                    "Region",
                    "#Land",
                    "#Years",
                    "#Months",
                    *(c.replace("_", " ").capitalize() for c in COMPONENTS),
                ],
                [
                    [
                        r["approach"],
                        r["region"],
                        *(percent(r[k]) for k in ("area_share", "year_share", "month_share")),
                        *(r[c] for c in COMPONENTS),
                    ]
                    for r in found["coverage"]
                ],
                "Shares of the region’s land, of the years and of the months of the period with data, means over "
                "models; and what the flux holds.",
            )
        )
    if found["differences"]:
        out.append(
            table(
                "Differences and coverage",
                PARTS,
                [
                    [
                        f"{r['first']} − {r['second']}",
                        r["region"],
                        *(shown(r[k]) for k in ("difference", "by_grid", "by_years", "by_cells", "common")),
                        shown(r["years"], 0),
                        percent(r["share_common"]),
                    ]
                    for r in found["differences"]
                ],
                "Difference of two approaches in the table above; what of it comes from bringing all to one grid; "
                "what goes when every model is averaged over the years that all models of both have, then over the "
                "cells that all have; and what is left. The parts add up to the difference.",
            )
        )
    return out


def details(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For each number of the matrix the models, years and files it is made of."""
    rows = pd.DataFrame(found["rows"])
    files = {(s["approach"], s["model"]): s for s in found["sources"]}
    out = []
    for cell in found["matrix"]:
        if cell["mean"] is None:
            continue
        mine = rows[(rows["region"] == cell["region"]) & (rows["approach"] == cell["approach"])]
        body = []
        for model, part in mine.groupby("model", sort=False):
            held = part[part["mean"].notna()]
            source = files.get((cell["approach"], str(model).partition("/")[0]), {})
            years = held["year"].dropna()
            told = (
                f"{int(held['n_sites'].iloc[0])} sites, {int(held['n_site_years'].iloc[0])} site-years"
                if "n_sites" in held and len(held) and pd.notna(held["n_sites"].iloc[0])
                else f"{int(years.min())}–{int(years.max())}, {len(years)} years"
                if len(years)
                else "no year"
            )
            body.append(
                [
                    str(model),
                    shown(None if held.empty else float(held["mean"].mean())),
                    shown(None if held.empty else float(held["sd"].mean())),
                    told,
                    percent(None if held["coverage"].isna().all() else float(held["coverage"].mean())),
                    source.get("file", ""),
                    ", ".join(f"{n} {h[:12]}" for n, h in source.get("inputs", {}).items()),
                ]
            )
        out.append(
            {
                "id": anchor(found, cell["region"], cell["approach"]),
                "title": f"{cell['region']}, {cell['approach']}: {shown(cell['mean'])}",
                "table": table(
                    f"{cell['region']}, {cell['approach']}",
                    [
                        "Model",
                        "#Mean",
                        "#SD over cells",
                        "Years",
                        "#Land with data",
                        "File",
                        "Made from (SHA-256)",
                    ],
                    body,
                ),
            }
        )
    return out


def published(found: Mapping[str, Any]) -> Table | None:
    if not found.get("published_numbers"):
        return None
    return table(
        "Published numbers beside these",
        ["Quantity", "#Published", "#Here", "Source"],
        [[r["quantity"], r["published"], r["here"], r["source"]] for r in found["published_numbers"]],
    )


def anchor(found: Mapping[str, Any], region: str, approach: str) -> str:
    """The place on the page of a number of the matrix; by count, because names may share their letters."""
    approaches = list(dict.fromkeys(row["approach"] for row in found["matrix"]))
    return f"in-{found['regions'].index(region) + 1}-{approaches.index(approach) + 1}"
