"""Diagnostics of a factorial run of twenty cells whose every sum can be done by hand."""

from __future__ import annotations

import calendar
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from pyproj import Geod
from shapely import box, segmentize
from typer.testing import CliRunner

from talik.cli.tem_diagnose import diagnose as command
from talik.errors import GridError, InputError, UnitsError
from talik.report.style import png
from talik.sources.permafrost_maps import Sites
from talik.tem.diagnose.diagnostics import Diagnostics, diagnose
from talik.tem.diagnose.figures import depth_bars, effect_bars, map_fields, maps, on_grid, time_series
from talik.tem.diagnose.findings import STATEMENTS, statements
from talik.tem.diagnose.observed import areas, at_cells, compare, region_of, site_pairs
from talik.tem.diagnose.observed_figures import difference_map, scatter
from talik.tem.diagnose.published import ROWS, table, table_csv
from talik.tem.diagnose.region import factorial_run, open_run, permafrost, regional_sums, weights

RUNS = ("Trans", "PF", "CO2", "Temp", "Prec", "PF&CO2", "PF&Prec", "CO2&Temp", "CO2&Prec", "Temp&Prec")
SCENARIOS = ("ssp126", "ssp585")
YEARS, CELLS = np.arange(2015, 2101), 20
RH_EFFECT = {"PF": 0.1, "CO2": 1.0, "Temp": 4.0, "Prec": 2.0}
NPP_EFFECT = {"PF": 0.05, "CO2": 3.0, "Temp": 1.0, "Prec": 0.5}
"""Effect on the flux of every year, g m-2 yr-1."""
THAWED = np.array([1.0, 5.0, 4.0, 3.0, 2.0, 1.0])
"""kg m-2 by metre of depth in 2100, SSP126; twice as much in SSP585."""
DECOMPOSED = np.array([0.5, 0.9, 0.4, 0.2, 0.05, 0.01])
LOSS = {"ssp126": 2, "ssp585": 4}
"""Cells that lose their permafrost in 2080."""


def held(run: str) -> list[str]:
    return [] if run == "Trans" else run.split("&")


def per_year(grams: np.ndarray) -> np.ndarray:
    """kg m-2 s-1 of g m-2 yr-1 along the last axis, in calendar years."""
    days = np.array([366 if calendar.isleap(int(y)) else 365 for y in YEARS])
    return grams * 1e-3 / (days * 86_400.0)


def spread(
    of_run: Callable[[str, str], np.ndarray], units: str
) -> tuple[tuple[str, ...], np.ndarray, dict[str, str]]:
    """(scenario, experiment, year, cell): the same in all cells, of a function of scenario and run."""
    values = np.array([[of_run(s, r) + np.zeros(YEARS.size) for r in RUNS] for s in SCENARIOS])
    whole = np.repeat(values[..., None], CELLS, axis=-1).astype(np.float32)
    return ("scenario", "experiment", "year", "cell"), whole, {"units": units}


def flux(base: float, effects: dict[str, float]) -> tuple[tuple[str, ...], np.ndarray, dict[str, str]]:
    total = base + sum(effects.values())
    return spread(
        lambda s, r: per_year(np.full(YEARS.size, total - sum(effects.get(f, 0.0) for f in held(r)))),
        "kg m-2 s-1",
    )


def experiments() -> xr.Dataset:
    """Twenty cells of a million km2: sixteen whole, two half and two not of permafrost."""
    ds = xr.Dataset(
        coords={
            "scenario": list(SCENARIOS),
            "experiment": [f"S_{r}" for r in RUNS],
            "year": YEARS,
            "lat": ("cell", np.linspace(50.25, 79.75, CELLS)),
            "lon": ("cell", np.linspace(-170.25, 169.75, CELLS)),
            "decade": np.arange(2020, 2101, 10),
            "top": ("depth_interval", np.arange(6.0)),
            "bottom": ("depth_interval", np.arange(1.0, 7.0)),
        },
        attrs={
            "reference": "S_Trans",
            "reference_year": 2015,
            "factors": json.dumps({f"S_{r}": held(r) for r in RUNS}),
        },
    )
    ds["cell_area"] = ("cell", np.full(CELLS, 1e12), {"units": "m2"})
    ds["observed_share"] = ("cell", np.full(CELLS, 0.25), {"units": "1"})
    ramp = (YEARS - 2015.0) / 85.0
    ds["rh"], ds["npp"] = flux(100.0, RH_EFFECT), flux(101.0, NPP_EFFECT)
    ds["nep"] = ds["npp"] - ds["rh"]
    ds["nep"].attrs["units"] = "kg m-2 s-1"
    ds["rhPermafrost"] = flux(0.0, {"PF": 0.1})
    ds["cVeg"] = spread(lambda s, r: 5.0 + (0.5 * ramp if "CO2" not in held(r) else 0.0), "kg m-2")
    ds["cSoilActive"] = spread(lambda s, r: 30.0 + (0.2 * ramp if "CO2" not in held(r) else 0.0), "kg m-2")
    ds["cSoilPermafrost"] = spread(lambda s, r: 40.0 - (0.7 * ramp if "PF" not in held(r) else 0.0), "kg m-2")
    factor = {"ssp126": 1.0, "ssp585": 2.0}
    ds["thawedCarbon"] = spread(
        lambda s, r: 16.0 * factor[s] * ramp if "PF" not in held(r) else 0.0 * ramp, "kg m-2"
    )
    fraction = np.array([1.0] * 16 + [0.5] * 2 + [0.0] * 2)
    shape = (2, len(RUNS), YEARS.size, CELLS)
    shares = np.broadcast_to(fraction, shape).copy()
    for k, scenario in enumerate(SCENARIOS):
        shares[k, :, YEARS >= 2080, : LOSS[scenario]] = 0.0
    thickness = np.where(shares > 0.0, (1.0 + ramp)[:, None], np.nan)
    full = ("scenario", "experiment", "year", "cell")
    ds["permafrostFraction"] = (full, shares.astype(np.float32), {"units": "1"})
    ds["activeLayerThickness"] = (full, thickness.astype(np.float32), {"units": "m"})
    ds["permafrost_fraction_observed"] = ("cell", np.array([0.5] * 18 + [np.nan] * 2), {"units": "1"})
    decades = (ds["decade"].values - 2010.0) / 90.0
    for name, profile in (("thawedCarbonByDepth", THAWED), ("rhPermafrostByDepth", DECOMPOSED)):
        values = np.zeros((2, len(RUNS), decades.size, 6, CELLS))
        values += decades[:, None, None] * profile[:, None] * np.array([1.0, 2.0])[:, None, None, None, None]
        dims = ("scenario", "experiment", "decade", "depth_interval", "cell")
        ds[name] = (dims, values.astype(np.float32), {"units": "kg m-2"})
    return ds


def history() -> xr.Dataset:
    """1850-2014 as the experiments start: cVeg 4.9, permafrost of cell 18 until 2012."""
    years = np.arange(1850, 2015)
    now = experiments()
    shares = np.broadcast_to(now["permafrostFraction"].values[0, 0, 0], (years.size, CELLS)).copy()
    shares[years <= 2012, 18] = 1.0
    ds = xr.Dataset(coords={"year": years, "lat": now["lat"], "lon": now["lon"]})
    ds["cVeg"] = (("year", "cell"), np.full(shares.shape, 4.9, np.float32), {"units": "kg m-2"})
    ds["permafrostFraction"] = (("year", "cell"), shares, {"units": "1"})
    ds["activeLayerThickness"] = (("year", "cell"), np.where(shares > 0.0, 0.9, np.nan), {"units": "m"})
    return ds


@pytest.fixture(scope="module")
def whole() -> Diagnostics:
    return diagnose(factorial_run(experiments(), history()))


def test_all_pools_of_the_ecosystem_gain_from_where_they_are_known(whole: Diagnostics) -> None:
    """The history has vegetation carbon, 4.9 kg m-2, and no soil carbon: what is frozen depends on the scenario."""
    parts = {name: whole.gain(name, "ssp585") for name in ("cVeg", "cSoilActive", "cSoilPermafrost")}
    plants = whole.reference("cVeg", "ssp585")
    assert parts["cVeg"] == float(plants.sel(year=2100) - plants.sel(year=2014))
    assert float(plants.sel(year=2014)) == pytest.approx(18 * 4.9, rel=1e-6)
    assert whole.gain("ecoC", "ssp585") == pytest.approx(sum(parts.values()), abs=1e-12)
    soil = parts["cSoilActive"] + parts["cSoilPermafrost"]
    assert whole.gain("cSoil", "ssp585") == pytest.approx(soil, abs=1e-12)


def test_sums_are_those_by_hand(whole: Diagnostics) -> None:
    """Eighteen cells of 1e12 m2 are in the region; 100 g m-2 yr-1 are 1.8 Pg yr-1, in leap years too."""
    rh = whole.values("rh", "ssp126").sel(experiment="S_Trans")
    np.testing.assert_allclose(rh, 18 * 0.1071, rtol=1e-6)
    np.testing.assert_allclose(whole.values("cVeg", "ssp585").sel(experiment="S_CO2"), 90.0, rtol=1e-6)
    assert whole.series["cVeg"].attrs == {"units": "Pg", "species": "C", "coverage": 1.0}
    end = whole.values("thawedCarbon", "ssp585").sel(experiment="S_Trans", year=2100)
    np.testing.assert_allclose(end, 18 * 32.0, rtol=1e-6)
    ecosystem = whole.values("ecoC", "ssp126").sel(experiment="S_Trans", year=2100)
    np.testing.assert_allclose(ecosystem, 18 * (5.5 + 30.2 + 39.3), rtol=1e-6)
    assert whole.missing == (
        "gpp",
        "ra",
        *("fNup", "fNnetmin", "fNnetminPermafrost", "fNupThaw"),
        *("nVeg", "nSoil", "nMineral", "thawedNitrogen", "evspsbl", "mrro"),
    )


def test_observed_and_fallback_cells_are_summed_apart_and_add_up(whole: Diagnostics) -> None:
    stocks = [
        float(whole.values("cVeg", "ssp126", s).isel(year=0, experiment=0)) for s in ("observed", "fallback")
    ]
    np.testing.assert_allclose(stocks, [22.5, 67.5], rtol=1e-6)
    row = whole.coverage[1]
    assert row["cells"] == 20
    assert row["cells_in_region"] == 18
    assert (row["area_million_km2"], row["observed_million_km2"]) == (18.0, 4.5)


def test_permafrost_area_and_mean_active_layer(whole: Diagnostics) -> None:
    area = whole.reference("area", "ssp585")
    np.testing.assert_allclose(area.sel(year=[2000, 2013, 2015, 2079, 2080, 2100]), [18, 17, 17, 17, 13, 13])
    np.testing.assert_allclose(whole.values("area_observed", "ssp585").sel(year=2015), 8.5)
    np.testing.assert_allclose(whole.reference("alt", "ssp585").sel(year=[2014, 2015]), [0.9, 1.0], rtol=1e-6)
    end = {"experiment": "S_Trans", "year": 2100}
    np.testing.assert_allclose(whole.values("alt", "ssp585").sel(end), (13 * 2.0 + 4 * 10.0) / 17, rtol=1e-6)
    np.testing.assert_allclose(whole.values("alt_remaining", "ssp585").sel(end), 2.0, rtol=1e-6)


def test_half_lost_and_very_deep_cells_count_by_their_part() -> None:
    """A cell that loses half its permafrost counts half as 10 m; 30 m of active layer count as 10."""
    ds = experiments()
    ds["permafrostFraction"][:, :, -1, 0] = 0.5
    ds["activeLayerThickness"][:, :, -1, 1] = 30.0
    found = permafrost(ds, factorial_run(ds)).sel(scenario="ssp126", experiment="S_Trans", year=2100)
    np.testing.assert_allclose(
        found["area"], 15.5
    )  # cell 1 had lost its permafrost in 2080, and still has none
    ds["permafrostFraction"][:, :, -1, 1] = 1.0
    found = permafrost(ds, factorial_run(ds)).sel(scenario="ssp126", experiment="S_Trans", year=2100)
    ds["activeLayerThickness"][:, :, -1, 0] = 2.0
    found = permafrost(ds, factorial_run(ds)).sel(scenario="ssp126", experiment="S_Trans", year=2100)
    np.testing.assert_allclose(found["alt"], (0.5 * 2 + 0.5 * 10 + 10 + 15 * 2.0) / 17, rtol=1e-6)
    np.testing.assert_allclose(found["alt_remaining"], (0.5 * 2 + 30 + 15 * 2.0) / 16.5, rtol=1e-6)


def test_carbon_outside_the_region_does_not_count() -> None:
    ds = experiments()
    run = factorial_run(ds)
    before = regional_sums(ds[["thawedCarbon"]], weights(run))
    ds["thawedCarbon"][..., 18:] = 1e6
    xr.testing.assert_identical(before, regional_sums(ds[["thawedCarbon"]], weights(run)))


def test_a_hole_is_counted_and_told() -> None:
    ds = experiments()
    ds["rh"][0, 3, 40, :9] = np.nan
    found = diagnose(factorial_run(ds))
    assert found.series["rh"].attrs["coverage"] == 0.5
    assert any("rh: only 50.00 % of the region's area" in note for note in found.notes())


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(CELLS)), st.integers(1, 20))
def test_sums_do_not_depend_on_the_order_or_the_blocks_of_cells(order: list[int], block: int) -> None:
    rng = np.random.default_rng(1)
    ds = experiments()[["cVeg", "permafrostFraction", "cell_area", "observed_share"]].isel(year=slice(0, 2))
    ds["cVeg"] = ds["cVeg"].copy(data=rng.gamma(2.0, 3.0, ds["cVeg"].shape))
    ds["cell_area"] = ds["cell_area"].copy(data=rng.uniform(1e8, 3e9, CELLS))
    mixed = ds.isel(cell=list(order)).chunk(cell=block)
    one, other = (regional_sums(d, weights(factorial_run(d))) for d in (ds, mixed))
    xr.testing.assert_allclose(one, other, rtol=1e-12)
    slow = 0.0
    for cell, frozen in itertools.product(range(CELLS), [ds["permafrostFraction"].values[0, 0, 0]]):
        slow += float(ds["cVeg"][0, 0, 0, cell] * ds["cell_area"][cell]) * (frozen[cell] > 0) / 1e12
    np.testing.assert_allclose(one["cVeg"].values[0, 0, 0, 0], slow, rtol=1e-12)


def test_effects_interactions_and_attribution_as_rows(whole: Diagnostics) -> None:
    rows = whole.effect_rows(["rh", "ecoC", "mrro"])
    assert not [r for r in rows if r["variable"] == "mrro"]
    rh = [r for r in rows if (r["variable"], r["scenario"]) == ("rh", "ssp126")]
    found = {r["factors"]: r["value"] for r in rh if r["kind"] == "effect"}
    assert list(found) == [
        "PF",
        "CO2",
        "Temp",
        "Prec",
        "PF&CO2",
        "PF&Prec",
        "CO2&Temp",
        "CO2&Prec",
        "Temp&Prec",
    ]
    for name, value in found.items():
        expected = sum(RH_EFFECT[f] for f in str(name).split("&")) * 86 * 18e-3
        np.testing.assert_allclose(value, expected, rtol=1e-4)
    assert all(abs(float(r["value"] or 0)) < 1e-3 for r in rh if r["kind"] == "interaction")
    ranks = {r["factors"]: r["rank"] for r in rh if r["kind"] == "contribution"}
    assert ranks == {"Temp": 1, "Prec": 2, "CO2": 3, "PF": 4}
    eco = {r["factors"]: r for r in rows if (r["variable"], r["kind"]) == ("ecoC", "contribution")}
    np.testing.assert_allclose(eco["CO2"]["value"], 18 * 0.7, rtol=1e-5)
    np.testing.assert_allclose(eco["PF"]["value"], -18 * 0.7, rtol=1e-5)


def test_table_holds_every_published_row_beside_the_hand_computed_values(whole: Diagnostics) -> None:
    rows = {(r["quantity"], r["scenario"]): r for r in table(whole)}
    assert len(rows) == 2 * len(ROWS)
    by_hand = {
        ("permafrost area, 2010-2015", "ssp126"): (18 + 18 + 18 + 17 + 17 + 17) / 6,
        ("permafrost area lost", "ssp585"): 17.5 - 13,
        ("increase of mean active-layer thickness", "ssp585"): 66 / 17 - 1,
        ("vegetation carbon, 2015", "ssp126"): 90.0,
        ("thawed carbon, 0-6 m", "ssp126"): 288.0,
        ("thawed carbon, 0-3 m", "ssp585"): 18 * 20.0,
        ("share of thawed carbon from 1-3 m", "ssp126"): 100 * 9 / 16,
        ("share of permafrost respiration from 1-2 m", "ssp585"): 100 * 0.9 / 2.06,
        ("change of permafrost carbon by decomposition", "ssp126"): -86 * 18e-4,
        ("decomposed share of the thawed carbon", "ssp126"): 100 * 86 * 1e-4 / 16,
        ("permafrost effect on RH", "ssp585"): 86 * 18e-4,
        ("permafrost effect on NPP", "ssp585"): 86 * 9e-4,
        ("permafrost effect on ecosystem carbon", "ssp585"): -18 * 0.7,
        ("permafrost effect on NEP, 2090s", "ssp126"): -9e-4,
        ("NEP without permafrost respiration, 2090s", "ssp585"): 18e-3 * (101 + 4.55 - 100 - 7.1 + 0.1),
        ("CO2 effect on ecosystem carbon", "ssp126"): 18 * 0.7,
        ("permafrost effect on RH of the active layer", "ssp126"): 0.0,
        ("thawed carbon per permafrost area", "ssp126"): 288 / 17.5,
    }
    for key, value in by_hand.items():
        np.testing.assert_allclose(rows[key]["value"], value, rtol=2e-4, atol=2e-3, err_msg=str(key))
    one = rows["permafrost area lost", "ssp585"]
    assert (one["sign"], one["order"], one["grade"], one["within"]) == (True, True, "30 %", False)
    np.testing.assert_allclose(one["ratio"], 4.5 / 2.57, rtol=1e-6)
    assert rows["permafrost area, 2010-2015", "ssp126"]["within"] is True
    assert rows["permafrost area, 2010-2015", "ssp126"]["order"] is None
    assert rows["thawed nitrogen", "ssp126"]["missing"] == "needs thawedNitrogen"
    assert rows["share of permafrost respiration in RH, 2090s", "ssp126"]["published"] is None
    assert table_csv(table(whole)).count("\n") == 1 + 2 * len(ROWS)


def test_published_numbers_close_as_their_authors_say() -> None:
    """RH less permafrost RH, NPP less vegetation, and soil carbon, to the rounding of 0.05 Pg (Liu et al. 2024)."""
    value = {row.quantity: np.array([row.low, row.high]) for row in ROWS}
    effect = {
        k.removeprefix("permafrost effect on "): v
        for k, v in value.items()
        if k.startswith("permafrost effect")
    }
    decay = value["change of permafrost carbon by decomposition"]
    soil = effect["soil carbon of the active layer"]
    closures = [
        effect["RH"] + decay - effect["RH of the active layer"],
        effect["NPP"] - effect["vegetation carbon"] - effect["litter"],
        effect["litter"] - effect["RH of the active layer"] - soil,
        soil + decay - effect["all soil carbon"],
        effect["NPP"] - effect["RH"] - effect["ecosystem carbon"],
    ]
    np.testing.assert_allclose(closures, 0.0, atol=0.05)
    density = value["thawed carbon, 0-6 m"] / value["permafrost area, 2010-2015"]
    np.testing.assert_allclose(density, value["thawed carbon per permafrost area"], atol=0.05)


def test_statements_hold_where_they_should(whole: Diagnostics) -> None:
    found = {(r["statement"], r["scenario"]): r["holds"] for r in statements(whole)}
    text = [s.text for s in STATEMENTS]
    expected = {
        (text[0], "ssp126"): True,
        (text[1], "ssp126"): True,
        (text[1], "ssp585"): False,  # effects add up here, so the pair is above CO2 alone
        (text[2], "ssp126"): True,
        (text[3], "ssp585"): True,
        (text[4], "ssp585"): True,
        (text[5], "ssp585"): True,
        (text[6], "ssp126"): True,
        (text[7], "ssp126"): True,
    }
    assert {k: found[k] for k in expected} == expected
    assert (text[4], "ssp126") not in found


def test_statements_fail_when_the_run_says_otherwise() -> None:
    ds = experiments()
    text = [s.text for s in STATEMENTS]
    ds["rh"].loc[{"experiment": "S_Temp&Prec"}] = ds["rh"].sel(experiment="S_Trans")
    ds["cSoilActive"].loc[{"experiment": "S_Temp"}] = 20.0
    ds["thawedCarbonByDepth"][:, :, :, 3] = 50.0
    ds["rhPermafrostByDepth"][:, :, :, 5] = 2.0
    found = {(r["statement"], r["scenario"]): r["holds"] for r in statements(diagnose(factorial_run(ds)))}
    for k in (0, 2, 3, 6, 7):
        assert found[text[k], "ssp126"] is False, text[k]


def test_few_variables_give_few_answers_and_say_what_is_missing() -> None:
    ds = experiments()[["rh", "cell_area", "activeLayerThickness"]].sel(experiment=["S_Trans", "S_CO2"])
    found = diagnose(factorial_run(ds))
    rows = {(r["quantity"], r["scenario"]): r for r in table(found)}
    assert rows["permafrost area lost", "ssp126"]["missing"] == "needs area"
    assert rows["permafrost effect on RH", "ssp126"]["missing"] == "needs the run S_PF"
    told = {(r["statement"], r["scenario"]): r["missing"] for r in statements(found)}
    assert told[STATEMENTS[6].text, "ssp126"] == "needs thawedCarbonByDepth"
    assert "no history" in " ".join(found.notes())
    assert [r["kind"] for r in found.effect_rows(["rh"])] == ["effect", "contribution", "unexplained"] * 2


def test_a_run_that_ends_early_says_so() -> None:
    found = diagnose(factorial_run(experiments().sel(year=slice(2015, 2060))))
    told = {(r["statement"], r["scenario"]): r for r in statements(found)}
    for k in (4, 5):
        row = told[STATEMENTS[k].text, "ssp585"]
        assert (row["holds"], row["missing"]) == (None, "needs years before and after 2060")
    assert "the last year is 2060; the published numbers are for 2100" in found.notes()


def test_other_scenarios_have_values_without_published_ones() -> None:
    ds = experiments().assign_coords(scenario=["ssp370", "ssp585"])
    rows = {(r["quantity"], r["scenario"]): r for r in table(diagnose(factorial_run(ds)))}
    row = rows["permafrost area lost", "ssp370"]
    assert (row["published"], row["sign"], row["order"]) == (None, None, None)
    np.testing.assert_allclose(row["value"], 2.0)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda ds: ds.drop_dims("scenario"), InputError, "expected a dimension 'scenario'"),
        (lambda ds: ds.drop_vars("cell_area"), InputError, "no variable 'cell_area'"),
        (
            lambda ds: ds.drop_vars(["permafrostFraction", "activeLayerThickness"]),
            InputError,
            "'permafrostFraction'",
        ),
        (lambda ds: ds.assign_attrs(reference_year=1900), InputError, "reference year 1900 is not among"),
        (
            lambda ds: ds.assign(permafrostFraction=ds.permafrostFraction.drop_attrs()),
            UnitsError,
            "has units None",
        ),
        (
            lambda ds: ds.assign(permafrostFraction=(ds.permafrostFraction * 0).assign_attrs(units="1")),
            InputError,
            "no cell has permafrost in 2015",
        ),
        (lambda ds: ds.assign(rh=ds.rh.assign_attrs(units="g m-2")), UnitsError, "'rh' has units 'g m-2'"),
        (
            lambda ds: ds.assign(observed_share=(ds.observed_share * 8).assign_attrs(units="1")),
            InputError,
            r"'observed_share' must lie in 0\.\.1",
        ),
    ],
)
def test_bad_files_are_told(
    change: Callable[[xr.Dataset], xr.Dataset], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        diagnose(factorial_run(change(experiments())))


def test_files_are_opened_and_give_what_the_datasets_give(tmp_path: Path, whole: Diagnostics) -> None:
    with pytest.raises(InputError, match="Run the experiments first"), open_run(tmp_path):
        pass
    experiments().to_netcdf(tmp_path / "tem-experiments.nc", engine="netcdf4")
    history().to_netcdf(tmp_path / "tem-history.nc", engine="netcdf4")
    with open_run(tmp_path) as run:
        found = diagnose(run)
    xr.testing.assert_allclose(found.series, whole.series, rtol=1e-6)
    xr.testing.assert_allclose(found.frozen, whole.frozen, rtol=1e-6)
    history().isel(cell=slice(3)).to_netcdf(tmp_path / "tem-history.nc", engine="netcdf4")
    with pytest.raises(GridError, match="holds 3 cells"), open_run(tmp_path):
        pass
    (tmp_path / "tem-experiments.nc").write_text("no")
    with pytest.raises(InputError, match="not readable as NetCDF"), open_run(tmp_path):
        pass


def bars(ax: Axes) -> list[float]:
    return [float(patch.get_width()) for patch in ax.patches]  # type: ignore[attr-defined]


def test_figures_show_the_numbers(whole: Diagnostics) -> None:
    drawn = effect_bars(whole)
    assert drawn is not None
    assert [ax.get_title(loc="left") for ax in drawn.axes] == [
        "NPP, summed",
        "RH, summed",
        "NEP, summed",
        "Ecosystem carbon",
    ]
    rows = [r for r in whole.effect_rows(["rh"]) if r["kind"] == "effect"]
    np.testing.assert_allclose(bars(drawn.axes[1]), [r["value"] for r in rows])
    depth = depth_bars(whole)
    assert depth is not None
    np.testing.assert_allclose(bars(depth.axes[1])[:6], 100 * DECOMPOSED / THAWED, rtol=1e-6)
    series = time_series(whole)
    assert series is not None
    area = series.axes[0].lines
    np.testing.assert_allclose(area[1].get_ydata()[-1], 15.0)
    np.testing.assert_allclose(area[3].get_ydata()[-1], 13.0)


def test_maps_show_the_cells_of_the_region(whole: Diagnostics) -> None:
    fields = map_fields(factorial_run(experiments()), 2100)
    at_end = fields.sel(scenario="ssp585")
    np.testing.assert_allclose(at_end["decomposed"][:18], 86 * 1e-4, rtol=1e-5)
    assert bool(at_end["decomposed"][18:].isnull().all())
    np.testing.assert_allclose(at_end["permafrostLoss"][:18], [1.0] * 4 + [0.0] * 14)
    image = on_grid(at_end["alt"])
    assert image is not None
    assert image.shape == (20, 20)
    np.testing.assert_allclose(np.diag(image)[:18], 1.0, rtol=1e-6)
    assert on_grid(at_end["alt"].isel(cell=[0, 1, 2]).assign_coords(lat=("cell", [50.0, 51.0, 52.7]))) is None
    first, second = maps(fields, "ssp585"), maps(fields, "ssp585")
    assert first is not None
    assert second is not None
    assert png(first, 40) == png(second, 40)


def test_places_lie_in_the_regions_of_a_map() -> None:
    places = {
        "Alaska": (71.3, -156.8),  # Utqiagvik
        "Canada": (68.7, -133.5),  # Mackenzie delta
        "Greenland, Svalbard, northern Europe": (78.2, 15.6),  # Longyearbyen
        "West Siberia": (66.5, 76.7),  # Novy Urengoy
        "East Siberia": (66.0, -171.0),  # Chukotka beyond the date line
        "Central Asia": (51.3, 100.2),  # Khovsgol
        "elsewhere": (46.0, 7.5),  # the Alps
    }
    lat, lon = np.array(list(places.values())).T
    assert list(region_of(lat, lon)) == list(places)
    assert region_of(np.array([69.2, 74.5]), np.array([-53.5, -20.5])).tolist() == [list(places)[2]] * 2
    assert region_of(np.array([83.0]), np.array([-70.0])).tolist() == [list(places)[2]]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(55_000_000, 69_999_999), st.integers(-10_000_000, 9_999_999)),
        min_size=1,
        max_size=10,
    )
)
def test_points_find_the_cell_they_lie_in(millionths: list[tuple[int, int]]) -> None:
    """Whole millionths of a degree, so that whole numbers find the cell; an edge belongs to the cell above it."""
    axes = {"lat": np.arange(55.25, 70.0, 0.5), "lon": np.arange(-9.75, 10.0, 0.5)}
    field = xr.DataArray(np.arange(1200.0).reshape(30, 40), dims=("lat", "lon"), coords=axes)
    lat, lon = np.array(millionths).T / 1e6
    slow = [float(field[(a - 55_000_000) // 500_000, (o + 10_000_000) // 500_000]) for a, o in millionths]
    np.testing.assert_array_equal(at_cells(field, lat, lon), slow)
    assert np.isnan(at_cells(field, lat + 30.0, lon)).all()


def test_sites_take_the_nearest_cell_and_the_others_are_counted() -> None:
    table = pd.DataFrame(
        {
            "code": list("ABC"),
            "lat": [60.1, 60.6, 10.0],
            "lon": [179.9, -179.6, 0.0],
            "value": [0.5, 0.6, 0.7],
        }
    )
    sites = Sites(table, "m", 3, {})
    found = site_pairs(sites, np.array([1.5, np.nan]), np.array([60.25, 60.75]), np.array([-179.75, -179.75]))
    np.testing.assert_array_equal(found.model - found.observed, [1.0])
    assert found.left_out == {
        "sites farther than 60 km from every cell": 1,
        "sites in cells without a value in the model": 1,
    }


def observations(folder: Path, run: xr.Dataset) -> None:
    """A grid that is 0.2 m shallower than the model in the reference year, three sites, and no temperatures."""
    lat, lon = np.arange(50.25, 80.0, 0.5), np.arange(-179.75, 180.0, 0.5)
    fraction = np.full((lat.size, lon.size), np.nan)
    rows, columns = np.floor((run.lat - 50) / 0.5).astype(int), np.floor((run.lon + 180) / 0.5).astype(int)
    fraction[rows, columns] = 100.0
    fraction[rows[:3], columns[:3]] = 20.0
    xr.Dataset(
        {
            "permafrost_fraction_median": (("lat", "lon"), fraction, {"units": "%"}),
            "n_permafrost": (("lat", "lon"), np.full(fraction.shape, 99)),
            "active_layer_thickness_median": (("lat", "lon"), fraction * 0 + 0.8, {"units": "m"}),
        },
        {"lat": lat, "lon": lon},
    ).to_netcdf(folder / "permafrost_cci_grid_0.5deg.nc", engine="netcdf4")
    rows_of_sites = [f"S{k},2015,{50 + 10 * k},{run.lat[k].item()},{run.lon[k].item()}" for k in range(3)]
    text = "\n".join(["code,year,alt_cm,lat,lon", *rows_of_sites, "far,2015,50,-60,0", "deep,2015,900,60,0"])
    (folder / "alt_insitu_made.csv").write_text(text + "\n")


def test_comparison_with_observations_by_hand(tmp_path: Path) -> None:
    ds = experiments()
    observations(tmp_path, ds)
    found = compare(factorial_run(ds), tmp_path)
    assert found.area["model_cells"] == 18.0
    assert (found.told()["years"], found.told()["area_years"]) == ([2006, 2015], [2010, 2015])
    assert found.area["model_weighted"] == 17.0
    assert (found.area["both"], found.area["model_only"], found.area["observed_only"]) == (15.0, 3.0, 2.0)
    grid = found.pairs["active layer, grid"]
    np.testing.assert_allclose(grid.model - grid.observed, 0.2, rtol=1e-6)
    assert grid.left_out["cells without permafrost in the model"] == 2
    sites = found.pairs["active layer, sites"]
    np.testing.assert_allclose(sites.model - sites.observed, [0.5, 0.4, 0.3], rtol=1e-6)
    assert sites.left_out["thicker than 300 cm"] == 1
    assert sites.left_out["sites farther than 60 km from every cell"] == 1
    told = " ".join(found.notes)
    assert "no ground temperatures" in told
    assert "activeLayerThickness: 1 of the 10 years are in the run" in told
    both = compare(factorial_run(ds, history()), tmp_path)
    model = both.pairs["active layer, sites"].model
    np.testing.assert_allclose(model, (9 * 0.9 + 1.0) / 10, rtol=1e-6)
    assert scatter(both) is not None
    assert difference_map(both) is not None
    with pytest.raises(InputError, match="holds none of"):
        compare(factorial_run(ds), tmp_path / "nothing")


def permafrost_grid(shares: list[list[float]], south: float, west: float) -> xr.Dataset:
    """A grid of two by two half-degree cells whose south-western corner is (south, west)."""
    axes = {"lat": south + np.array([0.25, 0.75]), "lon": west + np.array([0.25, 0.75])}
    return xr.Dataset({"permafrostFraction": (("lat", "lon"), shares, {"units": "1"})}, axes)


def test_areas_inland_are_fraction_times_area_and_there_is_none_at_sea() -> None:
    """On the Vilyuy all is land, cells have the area that pyproj says; in the Kara Sea there is nothing to freeze."""
    none = np.array([])
    inland = areas(permafrost_grid([[1.0, 0.5], [0.25, np.nan]], 64.0, 120.0), None, none, none, none)
    south, north = (
        1e-12 * Geod(ellps="WGS84").geometry_area_perimeter(segmentize(box(120, y, 120.5, y + 0.5), 0.001))[0]
        for y in (64.0, 64.5)
    )
    np.testing.assert_allclose(inland["observed_weighted"], 1.5 * south + 0.25 * north, rtol=1e-6)
    np.testing.assert_allclose(inland["observed_cells"], 2.0 * south, rtol=1e-6)
    at_sea = areas(permafrost_grid([[1.0, 1.0], [1.0, 1.0]], 72.5, 65.0), None, none, none, none)
    assert at_sea == {"observed_cells": 0.0, "observed_weighted": 0.0}


def test_real_observations_compared_with_themselves(shared: Path) -> None:
    """A run that is the grid plus 0.1 m has that bias and a correlation of one in every region."""
    folder = shared / "data" / "permafrost-cci-validation"
    cci = xr.open_dataset(folder / "permafrost_cci_grid_0.5deg.nc").load().stack(cell=("lat", "lon"))
    cci = cci.dropna("cell", subset=["active_layer_thickness_median"]).isel(cell=slice(None, None, 40))
    cells = cci.sizes["cell"]
    ds = experiments().isel(cell=np.zeros(cells, int), year=slice(0, 1)).drop_dims("decade")
    ds = ds.assign_coords(lat=("cell", cci["lat"].values), lon=("cell", cci["lon"].values))
    ds["activeLayerThickness"][:] = cci["active_layer_thickness_median"].values + 0.1
    found = compare(factorial_run(ds), folder)
    by_region = found.pairs["active layer, grid"].by_region()
    assert by_region["all"].n == cells
    for told in by_region.values():
        np.testing.assert_allclose(told.mean_bias, 0.1, atol=1e-6)
        np.testing.assert_allclose([told.r2, told.slope], 1.0, rtol=1e-5)
    assert found.pairs["active layer, sites"].by_region()["Alaska"].n > 0


@pytest.fixture
def project(tmp_path: Path) -> Path:
    out = tmp_path / "output"
    out.mkdir()
    experiments().sel(scenario=["ssp585"]).to_netcdf(out / "tem-experiments.nc", engine="netcdf4")
    history().to_netcdf(out / "tem-history.nc", engine="netcdf4")
    observations(tmp_path, experiments())
    path = tmp_path / "project.yaml"
    path.write_text("talik: 1\nname: made\n")
    return path


def run_command(*arguments: str) -> tuple[int, str, str]:
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def test_the_command_writes_every_file_and_says_what_it_found(project: Path) -> None:
    code, told, notes = run_command(str(project), "--observed", str(project.parent))
    assert code == 0, notes
    out = project.parent / "output" / "diagnostics"
    names = {p.name for p in out.rglob("*") if p.is_file()}
    figures = ("series", "depth", "effects", "maps-ssp585", "observed-scatter", "observed-map")
    assert names == {
        *(
            "diagnostics.json",
            "observed.json",
            "table.csv",
            "findings.csv",
            "effects.csv",
            "stocks.csv",
            "series.nc",
        ),
        *(f"{name}.{kind}" for name in figures for kind in ("png", "svg")),
    }
    assert "thawed carbon, 0-6 m, Pg C" in told
    assert "yes ssp585: soil carbon falls after 2060" in told
    assert "no run for 1 pair of factors (PF&Temp):" in notes
    found = json.loads((out / "diagnostics.json").read_text())
    assert len(found["table"]) == len(ROWS)
    stocks = {(r["stock"], r["scenario"]): r["thawedCarbon"] for r in found["stocks"]}
    np.testing.assert_allclose(
        [stocks[s, "ssp585"] for s in ("all", "observed", "fallback")], [576.0, 144.0, 432.0], rtol=1e-6
    )
    effects = pd.read_csv(out / "effects.csv")
    assert set(effects["kind"]) == {"effect", "interaction", "contribution", "unexplained"}
    with xr.open_dataset(out / "series.nc") as series:
        assert series["rh"].attrs["units"] == "Pg yr-1"
        np.testing.assert_allclose(series["area_history"].sel(history_year=2000), 18.0)


def test_the_command_prints_json_or_one_line_of_error(project: Path, tmp_path: Path) -> None:
    few = experiments()[["rh", "cell_area", "permafrostFraction"]].sel(scenario=["ssp126"])
    few.to_netcdf(project.parent / "output" / "tem-experiments.nc", engine="netcdf4")
    code, told, _ = run_command(str(project), "--json", "--out", str(tmp_path / "elsewhere"))
    assert code == 0
    assert json.loads(told)["observed"] is None
    assert (tmp_path / "elsewhere" / "table.csv").is_file()
    code, _, error = run_command(str(project), "--observed", str(tmp_path / "none"))
    assert code == 2
    assert "no such folder" in error
    (tmp_path / "output" / "tem-experiments.nc").unlink()
    code, _, error = run_command(str(project))
    assert code == 2
    assert "Run the experiments first" in error
