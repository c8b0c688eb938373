"""Totals of regions: units and areas by hand, holes told, rows side by side, and posts that a budget takes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from tests.fusion.products import half_degree, made_up
from typer.testing import CliRunner

from talik.budget.files import read_posts
from talik.cli import app
from talik.errors import CoverageError, GridError, InputError, PostError
from talik.fusion.dependence import Kernel
from talik.fusion.posts import fusion_posts, write_posts
from talik.fusion.regional import (
    METHODS,
    Areas,
    Assumptions,
    pixel_areas,
    pixel_grid,
    regional_table,
)
from talik.fusion.summary import flux_dataset, summarise
from talik.regions import LatLonGrid, regional_total
from talik.regions.named import domain_weights

QUICK = Assumptions(lengths_km=(300.0, 1000.0), alphas=(0.0, 0.25), draws=2000)


@pytest.fixture(scope="module")
def summary() -> xr.Dataset:
    return summarise(made_up(*half_degree(3, 4), members=300))


@pytest.fixture(scope="module")
def holed() -> xr.Dataset:
    return summarise(made_up(*half_degree(3, 4), members=41, failed=(5,), unconverged=(6,), map_only=(7,)))


@pytest.fixture(scope="module")
def areas(summary: xr.Dataset) -> Areas:
    return pixel_areas(summary, pixel_grid(summary, 0.5))


@pytest.fixture(scope="module")
def table(summary: xr.Dataset, areas: Areas) -> pd.DataFrame:
    return regional_table(summary, areas, assumptions=QUICK)


def test_mean_is_area_times_rate_over_a_year_of_365_25_days(
    summary: xr.Dataset, areas: Areas, table: pd.DataFrame
):
    """Areas of a sphere of the same area as the Earth, to 1 %."""
    lat = np.radians(summary["lat"].values)
    by_hand = (
        6371.0072e3**2 * np.radians(0.5) * (np.sin(lat + np.radians(0.25)) - np.sin(lat - np.radians(0.25)))
    )
    np.testing.assert_allclose(areas.land_m2[0], by_hand, rtol=0.01)
    rate = summary["gpp_annual"].mean(("member", "year")).values
    expected = (areas.land_m2[0] * rate).sum() * 365.25 * 86_400 / 1e9
    np.testing.assert_allclose(table[table["variable"] == "gpp"]["mean"], expected, rtol=1e-6)


def test_totals_are_those_of_the_room_of_regions(summary: xr.Dataset, areas: Areas, table: pd.DataFrame):
    """Rh is constant in time, so the median of its years is that of its months."""
    grid = LatLonGrid.regular(0.5, lat=(62.0, 63.5), lon=(110.0, 112.0))
    median = flux_dataset(summary)["rh"].sel(quantile=0.5).isel(time=3)
    total = float(regional_total(median, domain_weights(grid))["rh"][0])
    row = table[(table["variable"] == "rh") & (table["method"] == "common quantile")].iloc[0]
    assert row["q50"] == pytest.approx(total * 365.25 * 86_400 / 1e9, rel=1e-4)


def test_every_assumption_has_its_row_and_the_widths_are_in_order(table: pd.DataFrame):
    nbp = table[table["variable"] == "nbp"].assign(width=lambda t: t["q97.5"] - t["q2.5"])
    assert nbp["method"].tolist() == [METHODS[0], METHODS[1], *[METHODS[2]] * 4]
    width = nbp.set_index(["method", "length_km", "alpha"])["width"]
    common, independent = (float(nbp[nbp["method"] == m]["width"].iloc[0]) for m in METHODS[:2])
    copulas = width["kernel copula"]
    assert independent < copulas.min()
    assert copulas.max() <= common * 1.001
    assert copulas[300.0, 0.0] < copulas[1000.0, 0.25]
    assert nbp["mean"].nunique() == 1
    assert nbp.loc[nbp["method"] != METHODS[0], "error"].gt(0).all()
    assert table.attrs["hierarchical"] is None
    assert (table["units"] == "Tg year-1").all()


def test_means_of_components_add_up_and_limits_do_not(table: pd.DataFrame):
    one = table[table["method"] == METHODS[0]].set_index("variable")
    assert one["mean"]["nbp"] == pytest.approx(-one["mean"]["nee"] - one["mean"]["fFire"])
    assert one["q97.5"]["nbp"] != pytest.approx(-one["q2.5"]["nee"] - one["q2.5"]["fFire"], rel=1e-6)


def test_the_same_table_whatever_variables_and_periods_are_asked_beside(summary: xr.Dataset, areas: Areas):
    alone = regional_table(summary, areas, variables=["rh"], periods=[(2002, 2002)], assumptions=QUICK)
    both = regional_table(
        summary, areas, variables=["gpp", "rh"], periods=[(2001, 2001), (2002, 2002)], assumptions=QUICK
    )
    chosen = both[(both["variable"] == "rh") & (both["first_year"] == 2002)].reset_index(drop=True)
    pd.testing.assert_frame_equal(chosen, alone)


def test_pixels_that_are_left_out_are_a_hole_with_names(holed: xr.Dataset):
    areas = pixel_areas(holed, pixel_grid(holed, 0.5))
    few = {"variables": ["nee"], "assumptions": QUICK}
    table = regional_table(holed, areas, **few)
    row = table.iloc[0]
    share = 1 - areas.land_m2[0, [5, 6]].sum() / areas.land_m2.sum()
    assert row["coverage"] == pytest.approx(share)
    assert (row["pixels"], row["unconverged"], row["failed"]) == (10, 1, 1)
    assert row["holes"] == "p5 (failed), p6 (unconverged)"
    assert table[["mean", "q2.5", "q50", "q97.5"]].isna().all(axis=None)
    with pytest.raises(
        CoverageError, match=r"of pixels; expected at least 99 %\. Left out: p5 \(failed\), p6"
    ):
        regional_table(holed, areas, **few, on_hole="error")
    partial = regional_table(holed, areas, **few, min_coverage=0.8)
    with_flagged = regional_table(holed, areas, **few, min_coverage=0.8, fill="flagged")
    rate = holed["nee_annual"].mean(("member", "year")).values
    for found, used in (
        (partial, np.delete(np.arange(12), [5, 6])),
        (with_flagged, np.delete(np.arange(12), 5)),
    ):
        expected = (areas.land_m2[0] * rate)[used].sum() * 365.25 * 86_400 / 1e9
        assert found["mean"].iloc[0] == pytest.approx(expected, rel=1e-6)
    assert with_flagged["unconverged"].iloc[0] == 1
    assert with_flagged["holes"].iloc[0] == "p5 (failed)"


def test_land_of_a_region_without_a_pixel_counts_as_missing(summary: xr.Dataset):
    grid = LatLonGrid.regular(0.5, lat=(61.0, 65.0), lon=(110.0, 112.0))
    found = pixel_areas(summary, grid, domain_weights(grid))
    table = regional_table(summary, found, variables=["rh"], assumptions=QUICK, min_coverage=0.3)
    assert found.regions == ("domain",)
    assert table["coverage"].iloc[0] == pytest.approx(found.land_m2.sum() / float(grid.cell_area().sum()))
    assert 0.36 < table["coverage"].iloc[0] < 0.39  # 12 of 32 cells
    assert table["holes"].iloc[0] == ""


def test_a_region_of_names_is_weighted_by_its_land(summary: xr.Dataset):
    found = pixel_areas(summary, pixel_grid(summary, 0.5), "sectors")
    assert found.regions == ("alaska", "canada", "europe", "siberia")
    np.testing.assert_array_equal(found.land_m2[:3], 0.0)
    table = regional_table(summary, found, variables=["nee"], assumptions=QUICK)
    assert table[table["region"] == "siberia"]["coverage"].iloc[0] < 0.01
    assert table[table["region"] == "canada"]["pixels"].iloc[0] == 0
    assert table["mean"].isna().all()


def test_pixels_need_cells_of_their_own(summary: xr.Dataset):
    with pytest.raises(GridError, match=r"pixel p0 at 62\.25, 110\.25 is no centre"):
        pixel_grid(summary, 1.0)
    towers = summarise(made_up(np.array([68.62, 63.91]), np.array([-149.3, 20.13]), years=1))
    with pytest.raises(GridError, match="towers have no area"):
        pixel_grid(towers, 0.5)
    twice = summarise(made_up(np.array([62.25, 62.25]), np.array([20.25, 20.25]), years=1))
    with pytest.raises(GridError, match="pixel p1 stands in a cell that another has"):
        pixel_grid(twice, 0.5)


def test_what_the_summary_has_not_is_named(summary: xr.Dataset, areas: Areas):
    with pytest.raises(InputError, match="period 2002-2003; the summary has whole years 2001-2002"):
        regional_table(summary, areas, periods=[(2002, 2003)])
    with pytest.raises(InputError, match="no variable 'nbe'; choose from gpp"):
        regional_table(summary, areas, variables=["nbe"])
    with pytest.raises(InputError, match="areas of 12 pixels, a summary of 5"):
        regional_table(summary.isel(cell=slice(0, 5)), areas)
    with pytest.raises(InputError, match="at least 1000 are needed"):
        Assumptions(draws=100)


def test_posts_have_the_signs_of_the_budget(table: pd.DataFrame):
    both, nee, fire = fusion_posts(table, "pixels", label="twin region")
    assert (both.id, nee.id, fire.id) == ("fusion.nee_fire", "fusion.nee", "fusion.fire")
    assert both.mean == pytest.approx(nee.mean + fire.mean)
    assert nee.mean < 0 < fire.mean
    of_kernel = table[
        (table["variable"] == "nbp") & (table["length_km"] == 1000) & (table["alpha"] == 0.25)
    ].iloc[0]
    assert both.high == pytest.approx(-of_kernel["q2.5"], abs=10 * of_kernel["error"])
    assert both.low == pytest.approx(-of_kernel["q97.5"], abs=10 * of_kernel["error"])
    assert both.period == "2001-2002"
    assert both.covers == {"vegetation_soil", "winter", "fire"}
    assert fire.part_of == "fusion.nee_fire"
    assert "0.25 + 0.75 exp(-distance/1000 km), which is assumed" in both.note
    assert "common quantile (" in both.note
    assert "100.0 % of the land" in both.note


def test_notes_of_posts_tell_quality_and_what_the_kernel_is_worth():
    summary = summarise(made_up(*half_degree(3, 4), members=41, unconverged=(6,), map_only=(7, 8)))
    areas = pixel_areas(summary, pixel_grid(summary, 0.5))
    default = Assumptions(lengths_km=(300.0, 1000.0), alphas=(0.0, 0.25), draws=1000)
    few = {"assumptions": default, "min_coverage": 0.8}
    plain = fusion_posts(regional_table(summary, areas, **few), "pixels")[0].note
    assert "11 pixels (9 converged, 2 for maps only)" in plain
    assert "Left out: p6 (unconverged)" in plain
    assert "82 % where half of them is shared" in plain
    assert "NBE of inversions is smooth" in plain
    table = regional_table(summary, areas, **few, fill="flagged")
    assert "12 pixels (9 converged, 2 for maps only, 1 unconverged)" in fusion_posts(table, "pixels")[1].note
    other = fusion_posts(table, "pixels", kernel=Kernel(300.0, 0.0))[0].note
    assert "made up" not in other


def test_without_knowledge_of_fire_there_is_one_post_and_it_covers_none(tmp_path: Path):
    summary = summarise(made_up(*half_degree(3, 4), members=41), unknown=("burned", "loss"))
    areas = pixel_areas(summary, pixel_grid(summary, 0.5))
    table = regional_table(summary, areas, assumptions=QUICK)
    assert set(table["variable"]) == {"gpp", "npp", "ra", "rh", "nee"}
    with pytest.raises(InputError, match="nbp: nothing is known of fire"):
        regional_table(summary, areas, variables=["nbp"], assumptions=QUICK)
    posts = fusion_posts(table, "pixels", unknown=("burned", "loss"))
    assert [post.id for post in posts] == ["fusion.nee"]
    assert "fire" not in posts[0].covers
    assert "Nothing is known of fire and forest loss: not simulated." in posts[0].note
    found = read_posts(write_posts(posts, tmp_path / "fusion.yaml")).posts
    assert [post.id for post in found] == ["fusion.nee"]


def test_a_budget_and_an_audit_take_the_file(table: pd.DataFrame, tmp_path: Path):
    posts = fusion_posts(table, "pixels", members=41)
    path = write_posts(posts, tmp_path / "fusion.yaml")
    found = read_posts(path).posts
    assert sorted(found, key=lambda post: post.id) == sorted(posts, key=lambda post: post.id)
    done = CliRunner().invoke(app, ["budget", str(path), "--json"])
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(app, ["audit", str(path), "--json"])
    assert done.exit_code == 0, done.output
    findings = json.loads(done.stdout)["findings"]
    assert {one["part"] for one in findings} <= {"low", "high"}


def test_no_post_of_a_hole_or_of_what_was_not_assumed(holed: xr.Dataset, table: pd.DataFrame):
    areas = pixel_areas(holed, pixel_grid(holed, 0.5))
    with pytest.raises(PostError, match=r"no post; left out: p5 \(failed\)"):
        fusion_posts(regional_table(holed, areas, assumptions=QUICK), "pixels")
    with pytest.raises(PostError, match="no copula of 700 km and alpha"):
        fusion_posts(table, "pixels", kernel=Kernel(700.0, 0.1))
    with pytest.raises(PostError, match="no region 'alaska'; the table has pixels"):
        fusion_posts(table, "alaska")
    with pytest.raises(PostError, match="has no nbp; make it with all variables"):
        fusion_posts(table[table["variable"] == "nee"], "pixels")
