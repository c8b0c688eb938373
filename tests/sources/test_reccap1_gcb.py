"""RECCAP-1 budgets and the Global Carbon Budget: they add up as printed, and what does not is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from talik.errors import InputError, UnitsError
from talik.sources.reccap1_gcb import read_gcb_budget, read_gcb_land_sink, read_reccap1

FOLDER = "data/reccap1-gcb"
REGIONAL = "reccap1_regional_budgets_2000s.tsv"


@pytest.fixture(scope="module")
def folder(shared):
    return shared / FOLDER


def test_regions_add_up_to_the_globe(folder):
    table = read_reccap1(folder / REGIONAL)
    wide = table.pivot(index="term", columns="region", values="value")
    assert wide.shape == (15, 10)
    added = wide.drop(columns="Globe").sum(axis=1)
    off = (added - wide["Globe"]).abs()
    assert off.pop("Bedrock C export to rivers") == 6.0  # printed 64, the regions make 70
    assert off.max() < 2.5  # regions are printed to 1 Tg


def test_signs_and_limits_of_the_regional_table(folder):
    table = read_reccap1(folder / REGIONAL).set_index(["region", "term"])
    assert table.loc[("Russia", "NPP"), "value"] == -5109.0  # uptake is negative: positive is up
    assert table.loc[("Russia", "NPP"), "positive"] == "up"
    assert table.loc[("Russia", "Fire emissions"), ["value", "uncertainty"]].tolist() == [114.0, 75.0]
    assert table.loc[("Russia", "River export to ocean"), "positive"] == "out of the region"
    assert table.loc[("South Asia", "Wood export"), "uncertainty"] == 0.4  # printed 0,4
    assert table.loc[("Australia", "Wood export"), "value"] == -0.3
    assert set(table["units"]) == {"Tg year-1"}


def test_labels_that_contradict_their_sign_are_told(folder):
    notes = read_reccap1(folder / REGIONAL).attrs["notes"]
    assert notes == (
        "South Asia: NEE is called source but is -86",
        "SouthEast Asia: NEE is called source but is -97",
        "South America: NEE is called sink but is 11",
        "Africa: NEE is called sink but is 12",
    )


@pytest.mark.parametrize(
    ("name", "models", "last", "sink"), [("gcb2019", 16, 2018, 3.469), ("gcb2023", 20, 2022, 3.780)]
)
def test_the_land_sink_of_the_models(folder, name, models, last, sink):
    table = read_gcb_land_sink(folder / f"{name}_terrestrial-sink.csv")
    assert table["model"].nunique() == models
    assert (table["year"].min(), table["year"].max()) == (1959, last)
    assert table.loc[table["year"] == last, "value"].mean() == pytest.approx(sink, abs=5e-4)
    assert table.attrs["positive"] == {"land_sink": "down"}
    assert "nbp" not in set(table["variable"])


def test_the_budget_of_2023_closes(folder):
    table = read_gcb_budget(folder / "gcb2023_global-carbon-budget.csv").pivot(
        index="year", columns="term", values="value"
    )
    sinks = table[["ocean sink", "land sink", "cement carbonation sink"]].sum(axis=1)
    emitted = table["fossil emissions excluding carbonation"] + table["land-use change emissions"]
    np.testing.assert_allclose(
        emitted - table["atmospheric growth"] - sinks, table["budget imbalance"], atol=1e-6
    )


def test_a_flipped_sink_does_not_close(folder, tmp_path):
    table = pd.read_csv(folder / "gcb2023_global-carbon-budget.csv")
    path = tmp_path / "flipped.csv"
    table.assign(**{"land sink": -table["land sink"]}).to_csv(path, index=False)
    with pytest.raises(UnitsError, match="differ from the printed imbalance"):
        read_gcb_budget(path)
    table.drop(columns="ocean sink").to_csv(path, index=False)
    with pytest.raises(InputError, match="no column ocean sink"):
        read_gcb_budget(path)


def test_a_model_in_other_units_is_caught(folder, tmp_path):
    table = pd.read_csv(folder / "gcb2023_terrestrial-sink.csv")
    path = tmp_path / "sink.csv"
    table.assign(**{"CLM5.0": table["CLM5.0"] * 3.664}).to_csv(path, index=False)
    with pytest.raises(UnitsError, match="the models' mean differs from column 'Multi-model mean'"):
        read_gcb_land_sink(path)
    table[["year", "GCB"]].to_csv(path, index=False)
    with pytest.raises(InputError, match="expected year and one column a model"):
        read_gcb_land_sink(path)


def test_numbers_that_are_none(folder, tmp_path):
    text = (folder / REGIONAL).read_text(encoding="utf-8")
    path = tmp_path / "regional.tsv"
    path.write_text(text.replace("\t1809\t", "\t18o9\t", 1), encoding="utf-8")
    with pytest.raises(InputError, match=r"row 2: Mean is '18o9'; expected a number"):
        read_reccap1(path)
