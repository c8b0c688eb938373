"""Trends of the published 8-km annual budgets, as the Markdown table of docs/science/trends.md.

`python -m benchmarks.published_trends` needs the real data (TALIK_SHARED or ../shared), which are never part of the
repository.
"""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from talik.trends.method import Method
from talik.trends.table import Series, series_trends

FILE = "abcflux-v1-budgets/annual_budgets_1990-2016.csv"
HEADER = "| variable | region | zhang: slope (95 % limits) | p | none: slope (95 % limits) | p |"


def table(data: Path) -> list[str]:
    """Lines of the table, one a variable and region, in the order of the file."""
    rows = pd.read_csv(data / FILE)
    groups = dict(list(rows.groupby(["variable", "region"], sort=False)))
    parts = [g.sort_values("year") for g in groups.values()]
    years = parts[0]["year"].to_numpy(float)
    if not all((p["year"].to_numpy(float) == years).all() for p in parts):
        raise SystemExit(f"{FILE}: the series do not have the same years")
    n = len(years)
    y = pd.concat(parts)["budget_TgC_yr"].to_numpy(float)
    offset = pd.RangeIndex(0, len(y) + 1, n).to_numpy()
    series = Series(
        [" | ".join(map(str, key)) for key in groups], y, offset, years[:1].repeat(len(parts)), 1.0, 0
    )
    both = zip(*(series_trends(series, Method.of(name)) for name in ("zhang", "none")), strict=True)
    return [f"| {zhang['id']} | {_cells(zhang)} | {_cells(none)} |" for zhang, none in both]


def _cells(row: dict[str, float]) -> str:
    return f"{row['slope']:.3f} ({row['low']:.3f}, {row['high']:.3f}) | {row['p']:.2g}"


if __name__ == "__main__":
    shared = Path(os.environ.get("TALIK_SHARED", Path(__file__).parents[2] / "shared"))
    print(HEADER, "|---" * 6 + "|", *table(shared / "data"), sep="\n")
