"""What approaches cover, and the part of a difference that is coverage, against worlds built to have a known one."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from talik.compare import components_of, coverage_table, explain_differences
from talik.errors import ConfigError, CoverageError, FluxError

_spec = importlib.util.spec_from_file_location("compare_worlds", Path(__file__).with_name("worlds.py"))
worlds = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(worlds)
annual, halves, COARSE, FINE = worlds.annual, worlds.halves, worlds.COARSE, worlds.FINE


def test_components_by_approach_and_by_word():
    net = annual(-1.0, approach="inversion")
    assert components_of(net) == dict.fromkeys(
        ("fire", "inland_waters", "land_use", "disturbance", "lateral"), "yes"
    )
    clean = components_of(net.assign_attrs(fire_removed="GFED4.1s"), {"lateral": "no"})
    assert clean["fire"] == clean["lateral"] == "no"
    assert clean["inland_waters"] == "yes"
    assert set(components_of(net.assign_attrs(approach="lateral")).values()) == {"unknown"}
    with pytest.raises(ConfigError, match="component lakes: 'yes'; expected one of fire, inland_waters"):
        components_of(net, {"lakes": "yes"})
    with pytest.raises(ConfigError, match="component fire: 'maybe'"):
        components_of(net, {"fire": "maybe"})


def test_shares_of_area_years_and_months():
    values = np.full((3, *COARSE.shape), -10.0)
    values[1, :, COARSE.x < -90] = np.nan
    short = annual(values).isel(time=slice(0, 30))  # 2001, 2002 and half of 2003
    table = coverage_table(
        {"CMIP6": {"a": short, "b": annual(-1.0, FINE, first=2002)}},
        halves,
        (2001, 2004),
        components={"CMIP6": {"land_use": "no"}},
    ).set_index(["model", "region"])
    np.testing.assert_allclose(table["area_share"].unstack("region").loc["a", ["west", "east"]], [0.5, 1.0])
    np.testing.assert_allclose(table.loc["a", "year_share"], 2 / 4)
    np.testing.assert_allclose(table.loc["a", "month_share"], 30 / 48)
    np.testing.assert_allclose(
        table.loc["b", ["area_share", "year_share", "month_share"]], [[1, 0.25, 0.25]] * 2
    )
    assert set(table["land_use"]) == {"no"}
    early = coverage_table({"CMIP6": {"a": short}}, halves, (1990, 1995))
    assert (early[["area_share", "year_share"]] == 0).all().all()
    with pytest.raises(CoverageError, match="expected first and last year"):
        coverage_table({"A": {"a": short}}, halves, (2002, 2001))
    with pytest.raises(CoverageError, match="at least one dataset"):
        coverage_table({"A": {}}, halves, (2001, 2001))
    with pytest.raises(FluxError, match="'fire_removed'"):
        coverage_table({"A": {"a": annual(1.0, approach="inversion")}}, halves, (2001, 2001))


def yearly(values: np.ndarray, first: int = 2001) -> xr.DataArray:
    """Annual fluxes (year, rows, columns) on the coarse grid."""
    years = np.arange(first, first + len(values))
    data = np.broadcast_to(values, (len(values), *COARSE.shape))
    return xr.DataArray(
        data,
        dims=("year", *COARSE.dims),
        coords={"year": years, **COARSE.coords()},
        attrs={"units": "g m-2 year-1", "area_basis": "land"},
    )


def test_a_difference_that_is_all_coverage():
    """One field, one trend: the first lacks the far west and has 2001-2002, the second 2002-2003."""
    place = np.where(COARSE.x < -90, -40.0, -10.0)[None, None, :] + np.zeros((3, COARSE.shape[0], 1))
    trend = np.array([0.0, 6.0, 12.0])[:, None, None]
    truth = place + trend
    first = truth[:2].copy()
    first[:, :, COARSE.x < -90] = np.nan
    rows, without = explain_differences(
        {"A": [yearly(first)], "B": [yearly(truth[1:], 2002)]}, halves, COARSE
    )
    assert without == []
    table = rows.set_index("region")
    assert set(table["years"]) == {1}
    np.testing.assert_allclose(table["common"], 0.0, atol=1e-9)
    np.testing.assert_allclose(
        table.loc["west", ["own", "by_years", "by_cells"]].astype(float), [9.0, -6.0, 15.0]
    )
    np.testing.assert_allclose(
        table.loc["east", ["own", "by_years", "by_cells"]].astype(float), [-6.0, -6.0, 0.0], atol=1e-9
    )
    np.testing.assert_allclose(table["own"], table["by_years"] + table["by_cells"] + table["common"])
    np.testing.assert_allclose(table["share_common"].loc[["west", "east"]], [0.5, 1.0])


def test_models_of_an_approach_count_once_each_whatever_their_years():
    """-10 for thirteen years and -50 for two are -30, as in the matrix; constant fields owe nothing to years."""
    long, short = yearly(np.full((13, 1, 1), -10.0), 2002), yearly(np.full((2, 1, 1), -50.0), 2002)
    rows, _ = explain_differences(
        {"models": [long, short], "upscaling": [yearly(np.zeros((13, 1, 1)), 2002)]}, halves, COARSE
    )
    np.testing.assert_allclose(rows["own"], -30.0)
    np.testing.assert_allclose(rows["by_years"], 0.0, atol=1e-12)
    np.testing.assert_allclose(rows["common"], -30.0)
    assert set(rows["years"]) == {2}


def test_without_common_years_there_is_nothing_to_explain():
    rows, without = explain_differences(
        {"A": [yearly(np.zeros((2, 1, 1)))], "B": [yearly(np.zeros((2, 1, 1)), 1990)]}, halves, COARSE
    )
    assert rows.empty
    assert without == ["A and B have no whole year that all their models share"]
