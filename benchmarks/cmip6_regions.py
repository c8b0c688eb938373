"""The CMIP6 regional set by region and scenario, as the tables and figures of docs/science/ensembles.md.

`python -m benchmarks.cmip6_regions [FOLDER]` needs the real data (TALIK_SHARED or ../shared), which are never part of
the repository. FOLDER is where the figures go (docs/science/figures by default).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pandas as pd

from talik.ensembles.closure import closure
from talik.ensembles.series import MEAN, annual_spread
from talik.ensembles.statistics import EnsembleSummary, summarise_members
from talik.report.member_figures import class_boxes, series_panels
from talik.report.style import png
from talik.sources.reccap2_cmip6 import (
    cmip6_members,
    implied_areas,
    map_areas,
    read_reccap2_cmip6,
    to_totals,
)

REGIONS = ("Permafrost", "North_Asia", "North_America", "Europe", "Global")
VARIABLES = (
    "gpp",
    "npp",
    "ra",
    "rh",
    "nep",
    "nbp",
    "nbp_fire",
    "fFire",
    "cVeg",
    "soil_litter_c",
    "cue",
    "mrt",
)
LABELS = {
    "mrt": "mean residence time",
    "soil_litter_c": "soil and litter carbon",
    "npp": "NPP",
    "gpp": "GPP",
    "ra": "autotrophic respiration",
    "cue": "carbon use efficiency",
    "nep": "NEP",
    "nbp": "NBP as reported",
}


def ensemble_table(summary: EnsembleSummary) -> list[str]:
    """Ensemble mean, limits and number of members, one row a region, scenario and variable."""
    lines = [
        "| region | scenario | variable | n | mean (2.5 %, 97.5 %) | median | families equal |",
        "|---" * 7 + "|",
    ]
    rows = summary.by_region.set_index(["region", "scenario", "variable"])
    for region in REGIONS:
        for scenario in ("historical", "ssp126", "ssp370"):
            for variable in VARIABLES:
                if (region, scenario, variable) not in rows.index:
                    continue
                r = rows.loc[(region, scenario, variable)]
                lines.append(
                    f"| {region} | {scenario} | {variable}, {r['units']} | {r['n_members']} | "
                    f"{r['mean']:.3g} ({r['low']:.3g}, {r['high']:.3g}) | {r['median']:.3g} | {r['family_mean']:.3g} |"
                )
    return lines


def contrast_table(summary: EnsembleSummary) -> list[str]:
    """Layered against bulk, and with against without fire."""
    lines = ["| region | split | variable | n | medians | p | least p | effect | shift |", "|---" * 9 + "|"]
    past = summary.tests[summary.tests["scenario"] == "historical"]
    for region in REGIONS:
        here = past[past["region"] == region]
        for row in here[here["variable"].isin(LABELS)].sort_values("split").to_dict("records"):
            lines.append(
                f"| {region} | {row['split']} | {row['variable']} | {row['n_first']}, {row['n_second']} | "
                f"{row['median_first']:.3g}, {row['median_second']:.3g} | {row['p']:.3g} | {row['least_p']:.2g} | "
                f"{row['effect']:.2f} | {row['shift']:.3g} |"
            )
    return lines


def trend_table(summary: EnsembleSummary) -> list[str]:
    """Trend of the ensemble mean, and how many members rise or fall significantly."""
    lines = [
        "| region | scenario | variable | slope a year (95 %) | p | members up, down |",
        "|---" * 6 + "|",
    ]
    keys = ["region", "scenario", "variable"]
    for key, rows in summary.trends.groupby(keys):
        if key[2] not in ("nbp", "npp", "mrt", "fFire"):
            continue
        mean = rows[rows["member"] == MEAN].iloc[0]
        members = rows[(rows["member"] != MEAN) & rows["significant"]]
        up, down = int((members["slope"] > 0).sum()), int((members["slope"] < 0).sum())
        lines.append(
            f"| {' | '.join(map(str, key))} | {mean['slope']:.3g} ({mean['low']:.3g}, {mean['high']:.3g}) | "
            f"{mean['p']:.2g} | {up}, {down} of {len(rows) - 1} |"
        )
    return lines


def closure_table(checked: pd.DataFrame) -> list[str]:
    """Runs that do not close, and how many do."""
    lines = ["| region | closes | does not | cannot be checked |", "|---" * 4 + "|"]
    counts = checked.groupby(["region", "verdict"]).size().unstack(fill_value=0)
    for region in REGIONS:
        found = counts.loc[region]
        lines.append(
            f"| {region} | {found['closes']} | {found['does not close']} | {found['cannot be checked']} |"
        )
    lines += [
        "",
        "| model | region | scenario | stored | NBP | misfit | relative | r | reason |",
        "|---" * 9 + "|",
    ]
    lines += [
        f"| {r['model']} | {r['region']} | {r['scenario']} | {r['stored']:.3f} | {r['nbp']:.3f} | {r['misfit']:.3f} | "
        f"{r['relative']:.2f} | {r['r']:.2f} | {r['reason']} |"
        for r in checked[checked["verdict"] == "does not close"].to_dict("records")
    ]
    return lines


def main(data: Path, figures: Path) -> None:
    """Print the tables and write the figures."""
    folder = data / "reccap2-cmip6-regions"
    raw = read_reccap2_cmip6(folder / "cmip6_region_annual.parquet")
    areas = implied_areas(raw)
    on_map = map_areas(folder / "reccap2_region_mask_1deg.nc")
    print(
        "| region | area implied by nbp, 10^12 m2 (least, most) | on the map, ellipsoid | models |",
        "|---" * 4 + "|",
        sep="\n",
    )
    for region, rows in areas.groupby("region"):
        a = rows["area_m2"] / 1e12
        print(
            f"| {region} | {a.median():.3f} ({a.min():.3f}, {a.max():.3f}) | {on_map[region] / 1e12:.3f} | "
            f"{len(rows)} |"
        )
    table, members = to_totals(raw), cmip6_members()
    summary = summarise_members(table, members, variables=list(VARIABLES))
    checked = closure(table)
    for lines in (ensemble_table, contrast_table, trend_table):
        print("", *lines(summary), sep="\n")
    print("", *closure_table(checked), sep="\n")
    print("", "notes:", *summary.notes, sep="\n")
    families = summary.families
    wanted = families[(families["region"] == "Permafrost") & families["variable"].isin(["mrt", "nbp", "npp"])]
    largest = wanted.loc[wanted.groupby(["scenario", "variable"])["change"].apply(lambda c: c.abs().idxmax())]
    print("", largest.to_string(index=False), sep="\n")

    recent = table[table["year"] >= 1950]
    panels = series_panels(
        annual_spread(recent, members, ["nbp"]), "NBP as reported (uptake positive)", regions=REGIONS
    )
    one = {
        name: getattr(summary, name).query("region == 'Permafrost' and scenario == 'historical'")
        for name in ("boxes", "tests", "members")
    }
    boxes = class_boxes(one["boxes"], one["tests"], one["members"], LABELS)
    figures.mkdir(parents=True, exist_ok=True)
    for name, figure in (("ensemble-series", panels), ("ensemble-boxes", boxes)):
        (figures / f"{name}.png").write_bytes(png(figure, dpi=110))


if __name__ == "__main__":
    shared = Path(os.environ.get("TALIK_SHARED", Path(__file__).parents[2] / "shared"))
    here = Path(__file__).parents[1] / "docs" / "science" / "figures"
    main(shared / "data", Path(sys.argv[1]) if len(sys.argv) > 1 else here)
