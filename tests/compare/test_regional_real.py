"""The regional comparison on real site-months and real held-out predictions, beside plain pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from talik.compare import Pairs, site_region_means, site_skill, spatial_skill
from talik.compare.skill import USED
from talik.regions import EIGHT, site_regions
from talik.sources.site_table import read_sites


@pytest.fixture(scope="module")
def table(shared):
    rows = read_sites(shared / "data" / "abcflux-v2-apr2024" / "site_months.parquet").rows
    rows = rows[rows["flux_method"] != "Diffusion"]
    return rows.join(site_regions(rows))


def test_every_site_of_the_database_is_in_a_region_or_has_a_reason(table):
    assert set(table["region"].dropna()) <= set(EIGHT)
    without = table[table["region"].isna()]
    left = {why: set(part["country"]) for why, part in without.groupby("why_none")}
    assert left == {
        "Asia outside Russia, east of 60 E": {"Mongolia"},
        "Greenland": {"Greenland"},
        "Iceland": {"Iceland"},
        "Svalbard and Jan Mayen": {"Norway"},
    }
    canada = table[(table["country"] == "Canada") & (table["biome"] == "Boreal")]
    np.testing.assert_array_equal(canada["region"] == "Eastern Canada", canada["lon"] >= -90)


def test_site_means_are_those_of_plain_pandas_and_western_siberia_has_none(table):
    """Published: 39 of 40 cells (8 regions, 5 approaches). Here towers leave Western Siberia empty."""
    found = site_region_means(table, units="g m-2 month-1", years=(2002, 2014)).set_index("region")
    assert set(EIGHT) - set(found.index) == {"Western Siberia"}
    alaska = table[(table["country"].isin(["USA", "US"])) & table["nee"].notna()]
    alaska = alaska[alaska["year"].between(2002, 2014) & (alaska["lat"] > 50)]
    whole = alaska.groupby(["site_id", "year"])["nee"].agg(["sum", "count"]).query("count == 12")["sum"]
    means = whole.groupby("site_id").mean()
    assert found.loc["Alaska", "mean"] == pytest.approx(means.mean())
    assert found.loc["Alaska", "sd"] == pytest.approx(means.std())
    assert found.loc["Alaska", "n_site_years"] == len(whole) == 94


def test_skill_of_held_out_predictions(shared):
    """Pooled RMSE is that of the data's own README (26.2 over all rows); spatial r of annual NEE is that of pandas."""
    raw = pd.read_csv(shared / "data" / "abcflux-v1-ml" / "nee_1km.csv.gz")
    assert np.sqrt(((raw["svm_loso_pred"] - raw["nee_obs"]) ** 2).mean()) == pytest.approx(26.2, abs=0.05)
    rows = raw.dropna(subset=["year", "month"]).rename(
        columns={"site": "site_id", "nee_obs": "observed", "svm_loso_pred": "modelled"}
    )
    rows = rows.astype({"site_id": str, "year": int, "month": int})
    listed = pd.DataFrame({"site_id": sorted(set(rows["site_id"])), "status": USED[0]})
    skill = site_skill(Pairs(rows, listed))
    assert len(skill) == rows["site_id"].nunique()
    squares = (rows["modelled"] - rows["observed"]) ** 2
    sizes = rows.groupby("site_id").size().reindex(skill["site_id"]).to_numpy()
    assert (skill["rmse"] ** 2 * sizes).sum() == pytest.approx(squares.sum())
    cycles = rows.groupby(["site_id", "month"])[["observed", "modelled"]].mean()
    whole = cycles.groupby("site_id").filter(lambda g: len(g) == 12).groupby("site_id").sum()
    assert spatial_skill(skill).n == len(whole)
    assert spatial_skill(skill).r == pytest.approx(whole.corr().iloc[0, 1])
    assert (skill["status"] == USED[0]).sum() == len(whole)
