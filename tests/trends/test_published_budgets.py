"""The table of trends in docs/science/trends.md, recomputed from the published 8-km budgets."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from talik.trends.method import Method, run_array
from talik.trends.prewhitening import COLUMNS

DOCS = Path(__file__).parents[2] / "docs" / "science" / "trends.md"
ROW = re.compile(r"^\| (NEE|GPP|Reco) \| (\w+) \| (-?\d.*) \|$", re.MULTILINE)


def test_the_printed_table_is_what_the_data_give(shared: Path) -> None:
    data = pd.read_csv(shared / "data" / "abcflux-v1-budgets" / "annual_budgets_1990-2016.csv")
    budgets = {key: g.sort_values("year") for key, g in data.groupby(["variable", "region"])}
    printed = ROW.findall(DOCS.read_text(encoding="utf-8"))
    assert len(printed) == len(budgets) == 33
    for variable, region, cells in printed:
        series = budgets[variable, region]
        assert series["year"].tolist() == list(range(1990, 2017))
        numbers = [float(v) for v in re.findall(r"-?\d+\.?\d*(?:e-\d+)?", cells)]
        for name, told in (("zhang", numbers[:4]), ("none", numbers[4:])):
            found = run_array(series["budget_TgC_yr"].to_numpy(float), Method.of(name))
            values = dict(zip(COLUMNS, found, strict=True))
            assert [values[k] for k in ("slope", "low", "high")] == pytest.approx(told[:3], abs=5.1e-4)
            assert values["p"] == pytest.approx(told[3], rel=0.051)
