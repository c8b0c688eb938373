"""The real CMIP6 regional set: what the publication found of layered soil carbon, and carbon that closes."""

from __future__ import annotations

import pytest

from talik.ensembles.closure import closure, require_signs
from talik.ensembles.derived import joined
from talik.ensembles.statistics import summarise_members
from talik.errors import UnitsError
from talik.sources.reccap2_cmip6 import cmip6_members, read_reccap2_cmip6, to_totals

FILE = "data/reccap2-cmip6-regions/cmip6_region_annual.parquet"


@pytest.fixture(scope="module")
def table(shared):
    return to_totals(read_reccap2_cmip6(shared / FILE))


@pytest.fixture(scope="module")
def permafrost(table):
    return summarise_members(
        table,
        cmip6_members(),
        regions=["Permafrost"],
        scenarios=["historical"],
        variables=["mrt", "soil_litter_c", "npp", "gpp", "ra", "cue"],
    )


def test_layered_soil_carbon_differs_in_residence_time_only(permafrost):
    tests = permafrost.tests[permafrost.tests["split"] == "layered - bulk"].set_index("variable")
    assert tests["significant"].to_dict() == {
        "mrt": True,
        "soil_litter_c": True,
        "npp": False,
        "gpp": False,
        "ra": False,
        "cue": False,
    }
    # wholly apart: no smaller p can be reached by three members against ten
    assert tests.loc["mrt", "p"] == pytest.approx(tests.loc["mrt", "least_p"])
    boxes = permafrost.boxes[permafrost.boxes["variable"] == "mrt"].set_index("class")
    # published means of another ensemble of 15 and 37 runs: 247 and 85 years
    assert boxes.loc["layered", "mean"] == pytest.approx(247, rel=0.1)
    assert boxes.loc["bulk", "mean"] == pytest.approx(85, rel=0.35)


def test_who_counts(permafrost):
    row = permafrost.by_region.set_index("variable").loc["npp"]
    assert (row["n_models"], row["n_members"], row["n_families"]) == (16, 14, 11)
    flagged = permafrost.flagged
    assert set(flagged.loc[flagged["variable"] == "mrt", "member"]) == {"NCAR", "NCC"}
    assert not flagged["dropped"].any()


def test_fire_needs_areas_first(shared):
    raw = read_reccap2_cmip6(shared / FILE)
    with pytest.raises(UnitsError, match="to_totals"):
        summarise_members(raw, cmip6_members(), regions=["North_Asia"], scenarios=["historical"])


def test_the_decade_across_the_end_of_the_historical_run(table):
    found = summarise_members(
        joined(table, "ssp126"),
        cmip6_members().assign(group=lambda m: m["model"]),  # the authors average models, not groups
        period=(2010, 2019),
        regions=["Permafrost"],
        variables=["gpp", "nbp"],
    ).by_region.set_index("variable")
    assert found.loc["gpp", "mean"] == pytest.approx(9.11, abs=0.005)
    assert found.loc["nbp", "mean"] == pytest.approx(0.34, abs=0.005)
    assert (found["n_members"] == 16).all()


def test_signs_of_the_real_runs_and_of_a_flipped_one(table):
    checked = closure(table)
    require_signs(checked)
    able = checked[checked["verdict"] != "cannot be checked"]
    assert len(able) == 210
    assert (able["verdict"] == "closes").mean() > 0.8
    assert set(checked.loc[checked["verdict"] == "cannot be checked", "model"]) == {
        "CMCC-ESM2",
        "INM-CM4-8",
        "INM-CM5-0",
    }
    for model in ("UKESM1-0-LL", "TaiESM1", "EC-Earth3-Veg"):  # one that closes best, two that do not
        flipped = table.copy()
        mine = (flipped["model"] == model) & (flipped["variable"] == "nbp")
        flipped.loc[mine, "value"] *= -1.0
        again = closure(flipped[flipped["model"] == model])
        assert len(again) == 15
        assert set(again["reason"]) == {"sign: nbp is positive up"}
        with pytest.raises(UnitsError, match=f"{model}, .*sign: nbp is positive up"):
            require_signs(again)
