"""Experiments: the published design, what becomes of a driver, and which of them share a climate."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from talik.errors import ConfigError
from talik.tem.factorial.design import (
    Change,
    Experiment,
    climate_of,
    experiments_of,
    reference_of,
)
from talik.tem.factorial.run import Plan
from talik.tem.inputs import Climate
from talik.tem.model import Settings
from talik.tem.settings import Factorial, PermafrostCarbon, Scenario

FIRST, REFERENCE, LAST = 2014, 2015, 2020
ARRAYS = {
    "temperature": ("tair",),
    "precipitation": ("precip",),
    "radiation": ("irradiance", "par"),
    "co2": ("co2",),
}
"""Drivers and what they change."""
ALL = tuple(name for names in ARRAYS.values() for name in names)


def climate() -> Climate:
    """Seven years of three columns, every value another."""
    rng = np.random.default_rng(3)
    shape = (LAST - FIRST + 1, 12, 3)
    return Climate(
        FIRST,
        rng.normal(-5, 10, shape),
        rng.uniform(0, 80, shape),
        rng.uniform(0, 300, shape),
        rng.uniform(0, 150, shape),
        rng.uniform(380, 500, shape[0]),
        january=rng.normal(-20, 2, 3),
    )


def same(one: Climate, other: Climate) -> bool:
    """Whether every driver is the same in every month, that after the last year too."""
    last = [c.forcing(c.years[-1]).tair[-1] for c in (one, other)]
    return np.array_equal(*last) and all(np.array_equal(getattr(one, n), getattr(other, n)) for n in ALL)


DRIVERS = st.none() | st.just("fixed") | st.builds(
    Change,
    fixed=st.none() | st.integers(FIRST, LAST),
    scale=st.sampled_from([0.0, 0.5, 1.0, 1.3]),
    add=st.sampled_from([-4.0, 0.0, 2.5]),
)  # fmt: skip
EXPERIMENTS = st.builds(
    Experiment,
    temperature=DRIVERS,
    precipitation=DRIVERS,
    radiation=DRIVERS,
    co2=DRIVERS,
    permafrost=st.sampled_from([None, "fixed"]),
    co2_changes_cn=st.sampled_from([None, True, False]),
)


def test_the_published_design() -> None:
    """Table 2 of Liu et al. (2024): ten runs, what each holds fixed, and four climates."""
    expected = {
        "S_Trans": [],
        "S_PF": ["permafrost"],
        "S_CO2": ["co2"],
        "S_Temp": ["temperature"],
        "S_Prec": ["precipitation"],
        "S_PF&CO2": ["permafrost", "co2"],
        "S_PF&Prec": ["permafrost", "precipitation"],
        "S_CO2&Temp": ["co2", "temperature"],
        "S_CO2&Prec": ["co2", "precipitation"],
        "S_Temp&Prec": ["temperature", "precipitation"],
    }
    designed = experiments_of("published")
    assert list(designed) == list(expected)
    for name, experiment in designed.items():
        assert sorted(experiment.factors()) == sorted(expected[name])
        assert experiment.radiation is None
    assert reference_of(designed) == "S_Trans"
    shared = {}
    for name, experiment in designed.items():
        shared.setdefault(experiment.climate_key(), []).append(name)
    assert sorted(shared.values()) == [
        ["S_Prec", "S_PF&Prec", "S_CO2&Prec"],
        ["S_Temp", "S_CO2&Temp"],
        ["S_Temp&Prec"],
        ["S_Trans", "S_PF", "S_CO2", "S_PF&CO2"],
    ]
    assert len({e.history_key() for e in designed.values()}) == 1


def test_the_sensitivities_change_one_thing_each() -> None:
    designed = experiments_of("sensitivities")
    assert reference_of(designed) == "S_Trans"
    changed = [experiment.factors() for name, experiment in designed.items() if name != "S_Trans"]
    assert {len(factors) for factors in changed} == {1}
    assert {factors[0].split("=")[0] for factors in changed} == {
        "attenuation_m", "deep_wetness", "cn", "thawed_years", "nitrogen_in_reach", "refreeze_stop", "co2_changes_cn"
    }  # fmt: skip
    assert len({e.climate_key() for e in designed.values()}) == 1
    assert designed["largest thaw 2006-2015"].thawed_years == (2006, 2015)


def test_settings_of_an_experiment_replace_those_of_the_project_and_no_others() -> None:
    wanted = PermafrostCarbon(reference_year=2015, attenuation_m=0.7, inorganic_share=0.1)
    factorial = Factorial(scenarios={"any": Scenario(climate=("any.nc",))}, experiments="sensitivities")
    plan = Plan(factorial, wanted, Settings())
    for experiment in plan.experiments.values():
        changed = {name: value for name, value in experiment if value is not None}
        own, cycles = plan.permafrost_of(experiment), plan.settings_of(experiment).biogeochemistry
        for name in PermafrostCarbon.model_fields:
            assert getattr(own, name) == changed.get(name, getattr(wanted, name))
        assert cycles.refreeze_stop == changed.get("refreeze_stop", False)
        assert cycles.co2_cn == changed.get("co2_changes_cn", True)
        assert plan.settings_of(experiment).geothermal == plan.settings.geothermal


@pytest.mark.parametrize("driver", ARRAYS)
def test_fixed_repeats_the_months_of_the_reference_year(driver: str) -> None:
    given_climate = climate()
    held = climate_of(Experiment.model_validate({driver: "fixed"}), given_climate, REFERENCE)
    for name in ARRAYS[driver]:
        before, after = getattr(given_climate, name), getattr(held, name)
        np.testing.assert_array_equal(after[:2], before[:2])
        for year in range(2, 7):
            np.testing.assert_array_equal(after[year], before[1])
    assert same(given_climate, climate())  # the climate that came in is as it was


def test_the_january_after_the_last_year_follows_the_temperature() -> None:
    before = climate()
    held = climate_of(Experiment(temperature="fixed"), before, REFERENCE)
    np.testing.assert_array_equal(held.forcing(LAST).tair[-1], before.tair[1, 0])
    np.testing.assert_array_equal(held.forcing(REFERENCE).tair[-1], before.tair[1, 0])
    other = climate_of(Experiment(precipitation="fixed"), before, REFERENCE)
    np.testing.assert_array_equal(other.forcing(LAST).tair[-1], before.january)


def test_changes_are_scaled_then_added_to() -> None:
    before = climate()
    warm = climate_of(Experiment(temperature=Change(add=2.0)), before, REFERENCE)
    np.testing.assert_array_equal(warm.tair[2:], before.tair[2:] + 2.0)
    np.testing.assert_array_equal(warm.tair[:2], before.tair[:2])
    dry = climate_of(Experiment(precipitation=Change(scale=0.5, add=-5.0)), before, REFERENCE)
    np.testing.assert_array_equal(dry.precip[2:], np.maximum(before.precip[2:] * 0.5 - 5.0, 0.0))
    assert dry.precip.min() == 0.0
    dark = climate_of(Experiment(radiation=Change(fixed=2014, scale=0.9)), before, REFERENCE)
    for name in ("irradiance", "par"):
        found, first = getattr(dark, name), getattr(before, name)[0]
        np.testing.assert_array_equal(found[2:], np.broadcast_to(first * 0.9, found[2:].shape))
    rich = climate_of(Experiment(co2=Change(fixed=2018, add=100.0)), before, REFERENCE)
    np.testing.assert_array_equal(rich.co2[2:], np.full(5, before.co2[4] + 100.0))


@given(driver=st.sampled_from(sorted(ARRAYS)), rule=DRIVERS)
def test_one_driver_leaves_the_others_alone(driver: str, rule: Change | str | None) -> None:
    before = climate()
    after = climate_of(Experiment.model_validate({driver: rule}), before, REFERENCE)
    for name in ALL:
        if name not in ARRAYS[driver]:
            np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
        np.testing.assert_array_equal(getattr(after, name)[:2], getattr(before, name)[:2])
    assert after.first_year == before.first_year


@given(one=EXPERIMENTS, other=EXPERIMENTS)
def test_experiments_share_a_climate_by_their_key(one: Experiment, other: Experiment) -> None:
    """The same key is the same weather. The reverse holds where no rule is a long way to say another."""
    first, second = (
        climate_of(e.model_copy(update={"co2": None}), climate(), REFERENCE) for e in (one, other)
    )
    if one.climate_key() == other.climate_key():
        assert same(first, second)
    drivers = ("temperature", "precipitation", "radiation")
    equal = all(getattr(one, name) == getattr(other, name) for name in drivers)
    assert (one.climate_key() == other.climate_key()) == equal
    assert (one.history_key() == other.history_key()) == (one.co2_changes_cn == other.co2_changes_cn)


def test_published_experiments_of_different_keys_have_different_climates() -> None:
    made = {
        e.climate_key(): climate_of(e.model_copy(update={"co2": None}), climate(), REFERENCE)
        for e in experiments_of("published").values()
    }
    assert len(made) == 4
    assert not any(same(one, other) for one, other in combinations(made.values(), 2))


def test_factors_say_what_is_changed_and_how() -> None:
    assert Experiment().factors() == []
    changed = Experiment(temperature=Change(add=2.0), co2="fixed", refreeze_stop=False)
    assert changed.factors() == [
        'temperature={"fixed": null, "scale": 1.0, "add": 2.0}', "co2", "refreeze_stop=false"
    ]  # fmt: skip


def test_designs_that_cannot_be_compared() -> None:
    with pytest.raises(ConfigError, match="'publisht' is unknown; choose one of: published, sensitivities"):
        experiments_of("publisht")
    with pytest.raises(ConfigError, match=r"every experiment changes something; .* Add `S_Trans: \{\}`"):
        experiments_of({"S_PF": Experiment(permafrost="fixed")})
    named = {"S_PF": Experiment(permafrost="fixed"), "mine": Experiment(), "twin": Experiment()}
    assert reference_of(experiments_of(named)) == "mine"


@pytest.mark.parametrize("year", [FIRST - 1, LAST + 1])
def test_a_year_that_the_scenario_does_not_hold(year: int) -> None:
    experiment = Experiment(precipitation=Change(fixed=year))
    with pytest.raises(ConfigError, match=rf"precipitation fixed at {year}; the scenario holds 2014\.\.2020"):
        climate_of(experiment, climate(), REFERENCE)


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": "frozen"},
        {"temperature": {"scale": -1}},
        {"permafrost": {"fixed": 2015}},
        {"attenuation_m": 0},
        {"deep_wetness": 1.1},
        {"nitrogen_in_reach": -0.1},
        {"cn": [11, 0]},
        {"cn": [11]},
        {"wind": "fixed"},
    ],
)
def test_experiments_that_mean_nothing(wrong: dict[str, object]) -> None:
    key = next(iter(wrong))
    with pytest.raises(ValidationError, match=key):
        Experiment.model_validate_json(json.dumps(wrong))
