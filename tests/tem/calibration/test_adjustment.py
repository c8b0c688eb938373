"""Adjustment to a region: the solver against a formula, soil carbon against the model, depths by interpolation."""

from __future__ import annotations

import calendar
import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from talik.errors import ConfigError, InputError
from talik.jax64 import keep_compiled
from talik.tem import phases
from talik.tem.calibration.adjustment import (
    LOWEST,
    Settled,
    Trial,
    adjusted_parameters,
    attenuation_for,
    factor_for,
    respired_by_attenuation,
    settle,
    trial,
)
from talik.tem.communities import COMMUNITIES, TABLE
from talik.tem.diagnose.region import factorial_run
from talik.tem.inputs import Climate, Columns, parameters_of
from talik.tem.run import model_settings
from talik.tem.settings import TemSettings

_spec = importlib.util.spec_from_file_location("sites_world", Path(__file__).with_name("sites_world.py"))
world = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(world)

KDA_SHARE = 0.3
KDB = {name: v for row in TABLE if row.name == "kdb" for name, v in zip(COMMUNITIES, row.values, strict=True)}


def one_pool(factor: float, stock: float = 12.0) -> Trial:
    """Soil carbon where a share of decomposition does not know the factor."""
    return Trial(factor, stock / (KDA_SHARE + (1.0 - KDA_SHARE) * factor), {}, 1.0)


@settings(deadline=None)
@given(st.floats(0.04, 30.0), st.floats(1.0, 60.0))
def test_the_factor_is_that_of_the_formula(factor: float, stock: float) -> None:
    target = one_pool(factor, stock).mean
    tried = factor_for(lambda f: one_pool(f, stock), target, within=1e-4)
    assert tried[0].factor == 1.0
    np.testing.assert_allclose(tried[-1].mean, target, rtol=1e-4)
    exact = (stock / target - KDA_SHARE) / (1.0 - KDA_SHARE)
    # 1e-4 of the stock is that many of the factor
    np.testing.assert_allclose(tried[-1].factor, exact, rtol=1.1e-4 * (1.0 + KDA_SHARE / 0.7 / factor))
    assert len(tried) <= 12


def test_carbon_that_is_right_already_needs_no_factor() -> None:
    assert [t.factor for t in factor_for(one_pool, 12.0, 0.01)] == [1.0]


@pytest.mark.parametrize(
    ("target", "match"),
    [
        (45.0, r"45 kg m-2 is not reached: kdb times 0.02 gives 38.22 kg m-2"),
        (0.2, r"0.2 kg m-2 is not reached: kdb times 50 gives 0.3399 kg m-2"),
        (0.0, "expected a stock above 0"),
        (float("nan"), "expected a stock above 0"),
    ],
)
def test_a_target_out_of_reach_is_told_with_what_was_reached(target: float, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        factor_for(one_pool, target, 0.01)


def test_a_target_that_carbon_jumps_over_ends_after_some_trials() -> None:
    def jump(factor: float) -> Trial:
        return Trial(factor, 10.0 if factor > 0.5 else 20.0, {}, 1.0)

    with pytest.raises(ConfigError, match="after 20 trials"):
        factor_for(jump, 15.0, 0.01)


def test_the_parameters_of_the_project_stay_beside_the_factor() -> None:
    own = {"wet_tundra": {"kdb": 0.002, "krb": -4.0}, "grassland": {"krb": -3.0}}
    found = adjusted_parameters(own, ["wet_tundra", "boreal_forest", "wet_tundra"], 0.5)
    assert found["wet_tundra"] == {"kdb": 0.001, "krb": -4.0}
    assert found["boreal_forest"] == {"kdb": 0.5 * KDB["boreal_forest"]}
    assert found["grassland"] == {"krb": -3.0}
    assert own["wet_tundra"]["kdb"] == 0.002


@pytest.fixture(scope="module")
def wanted() -> TemSettings:
    return world.settings(soil_heat={"years": 20}, equilibrium={"years": 50}, spin_up={"years": 0})


@pytest.fixture(scope="module")
def climate() -> Climate:
    """The third site is too warm for permafrost."""
    made: Climate = world.climate()
    return replace(made, tair=made.tair + np.array([0.0, 0.0, 12.0]))


@pytest.fixture(scope="module")
def columns() -> Columns:
    """The second site is half of a cell of twice the land; the other half is the third site's."""
    made: Columns = world.columns()
    return replace(made, area_m2=np.array([1e9, 4e9, 1e9]), share=np.array([1.0, 0.5, 1.0]))


@pytest.fixture(scope="module")
def block(columns: Columns, climate: Climate, wanted: TemSettings) -> Settled:
    keep_compiled()
    return settle(columns, climate, wanted)


def test_cells_are_weighted_with_their_land_and_those_without_permafrost_left_out(
    block: Settled, wanted: TemSettings
) -> None:
    assert block.permafrost.tolist() == [True, True, False]
    found = trial([block], wanted, 1.0)
    polar, wet = (found.by_community[name] for name in world.COMMUNITIES[:2])
    np.testing.assert_allclose(found.mean, (polar + 2.0 * wet) / 3.0)
    assert len(found.by_community) == 2
    np.testing.assert_allclose(trial([block, block], wanted, 1.0).mean, found.mean)
    with pytest.raises(InputError, match="none of 3 columns lies in a cell with permafrost"):
        trial([replace(block, permafrost=np.zeros(3, bool))], wanted, 1.0)


def test_a_cell_counts_whole_if_one_of_its_columns_has_permafrost(
    columns: Columns, climate: Climate, wanted: TemSettings, block: Settled
) -> None:
    mixed = replace(columns, cell=np.array([0, 1, 1]), lat=columns.lat[:2], lon=columns.lon[:2])
    mixed = replace(mixed, area_m2=np.array([1e9, 4e9]), share=np.array([1.0, 0.5, 0.5]))
    settled = settle(mixed, climate, wanted)
    assert settled.permafrost.all()
    np.testing.assert_allclose(settled.weight, [1e9, 2e9, 2e9])


def test_adjusted_parameters_give_the_target_in_the_model_itself(
    block: Settled, columns: Columns, climate: Climate, wanted: TemSettings
) -> None:
    target = 1.1 * trial([block], wanted, 1.0).mean
    tried = factor_for(lambda f: trial([block], wanted, f), target, 0.001)
    kdb = adjusted_parameters({}, world.COMMUNITIES, tried[-1].factor)
    changed = wanted.model_copy(update={"parameters": kdb})
    parameters = parameters_of(columns, changed, climate.window((2001, 2001), "-"))
    state, _ = phases.spin(climate, parameters, changed, model_settings(changed, float(climate.co2[0])))
    polar, wet = np.asarray(state.pools.C_S)[:2] * 1e-3
    np.testing.assert_allclose((polar + 2.0 * wet) / 3.0, target, rtol=0.001)
    np.testing.assert_allclose((polar + 2.0 * wet) / 3.0, tried[-1].mean, rtol=1e-9)
    assert LOWEST < tried[-1].factor < 1.0


def test_land_without_area_is_told(columns: Columns, climate: Climate, wanted: TemSettings) -> None:
    with pytest.raises(InputError, match="no cell_area"):
        settle(replace(columns, area_m2=None), climate, wanted)


@settings(deadline=None)
@given(st.floats(0.3, 2.5), st.floats(0.1, 10.0), st.floats(0.0, 1.0))
def test_between_experiments_a_power_law_is_met_exactly(power: float, scale: float, share: float) -> None:
    depths = np.array([0.25, 0.5, 1.0, 2.0])
    depth = 0.25 * 8.0**share
    target = np.clip(scale * depth**power, *(scale * depths[[0, -1]] ** power))
    found = attenuation_for(depths, scale * depths**power, float(target), "ssp585")
    np.testing.assert_allclose(found, depth, rtol=1e-9)


@pytest.mark.parametrize(
    ("carbon", "error", "match"),
    [
        (
            [1.0, 4.0],
            ConfigError,
            r"ssp585: 5 Pg; the experiments give 1\.\.4 Pg with attenuation_m 0\.5\.\.2 m",
        ),
        ([6.0, 8.0], ConfigError, r"the experiments give 6\.\.8 Pg"),
        ([4.0, 3.0], InputError, "expected it to rise with attenuation_m"),
        ([0.0, 3.0], InputError, "expected it to rise with attenuation_m"),
        ([1.0, float("nan")], InputError, "expected it to rise"),
    ],
)
def test_targets_out_of_range_are_told(carbon: list[float], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        attenuation_for([0.5, 2.0], carbon, 5.0, "ssp585")


YEARS = np.arange(2015, 2021)


def factorial(factors: dict[str, list[str]]) -> xr.Dataset:
    """Two cells of 1e12 m2, one of them without permafrost; experiment k respires k + 1 g C m-2 yr-1, in SSP5-8.5 twice
    as much, and in the reference year far more."""
    days = np.array([366 if calendar.isleap(int(y)) else 365 for y in YEARS])
    grams = np.where(YEARS == 2015, 1000.0, 1.0) / days / 86_400.0
    number = np.arange(1.0, len(factors) + 1)
    rate = np.array([1.0, 2.0])[:, None, None, None] * number[:, None, None] * grams[:, None] * np.ones(2)
    dims = ("scenario", "experiment", "year", "cell")
    frozen = np.ones_like(rate) * np.array([1.0, 0.0])
    return xr.Dataset(
        {
            "cell_area": ("cell", [1e12, 1e12], {"units": "m2"}),
            "rhPermafrost": (dims, rate * 1e-3, {"units": "kg m-2 s-1"}),
            "permafrostFraction": (dims, frozen, {"units": "1"}),
        },
        coords={
            "scenario": ["ssp126", "ssp585"],
            "experiment": list(factors),
            "year": YEARS,
            "lat": ("cell", [60.0, 61.0]),
            "lon": ("cell", [0.0, 0.0]),
        },
        attrs={"reference": "S_Trans", "reference_year": 2015, "factors": json.dumps(factors)},
    )


def test_respiration_of_the_region_by_attenuation_is_that_by_hand() -> None:
    factors = {
        "S_Trans": [],
        "dry": ["deep_wetness=0.0"],
        "2 m": ["attenuation_m=2.0"],
        "0.25 m": ["attenuation_m=0.25"],
        "1 m and dry": ["attenuation_m=1.0", "deep_wetness=0.0"],
    }
    found = respired_by_attenuation(factorial_run(factorial(factors)), 0.5)
    assert found["attenuation"].to_numpy().tolist() == [0.25, 0.5, 2.0]
    # g m-2 yr-1 times 1e12 m2 and five years: the fourth, first and third experiment
    np.testing.assert_allclose(found.sel(scenario="ssp126"), np.array([4.0, 1.0, 3.0]) * 5e-3, rtol=1e-12)
    np.testing.assert_allclose(found.sel(scenario="ssp585"), np.array([8.0, 2.0, 6.0]) * 5e-3, rtol=1e-12)
    assert found.attrs == {"units": "Pg", "species": "C", "coverage": 1.0}


@pytest.mark.parametrize("factors", [{"S_Trans": []}, {"S_Trans": [], "same": ["attenuation_m=0.5"]}])
def test_a_run_with_one_attenuation_is_told(factors: dict[str, list[str]]) -> None:
    with pytest.raises(InputError, match=r"S_Trans \(0.5 m\).*expected two or more"):
        respired_by_attenuation(factorial_run(factorial(factors)), 0.5)
