"""The phases of a run: when soil and pools stand still, and which years each phase is made of."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from talik.tem import model, phases
from talik.tem.inputs import Climate, Columns, equilibrium_climate, parameters_of, read_columns, read_run
from talik.tem.run import model_settings
from talik.tem.section import files_of
from talik.tem.settings import Equilibrium, SoilHeat, SpinUp, TemSettings
from talik.workflow.project import load_project

_spec = importlib.util.spec_from_file_location("tem_world", Path(__file__).with_name("world.py"))
world = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(world)

LONG = {"soil_heat": SoilHeat(years=300), "equilibrium": Equilibrium(years=3000), "spin_up": SpinUp(years=0)}


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> tuple[TemSettings, Columns, Climate]:
    """Settings, the three southern columns, and their climate."""
    project = load_project(world.project(world.files(tmp_path_factory.mktemp("phases"))))
    settings = project.sections["tem"]
    files = files_of(project, settings)
    columns = read_columns(settings, files.paths("land")).part(range(3))
    climate = read_run(settings, files, columns)
    return settings, columns, climate


def spin(three: Any, **changes: Any) -> tuple[Any, ...]:
    """State, report, parameters and settings of the model after the spin-up."""
    wanted, columns, climate = three
    wanted = wanted.model_copy(update=changes)
    first = equilibrium_climate(wanted, climate)
    parameters = parameters_of(columns, wanted, first)
    settings = model_settings(wanted, float(first.co2[0]))
    state, report = phases.spin(climate, parameters, wanted, settings)
    return state, report, parameters, settings


def same(one: Any, other: Any) -> bool:
    return all(
        np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    )


@pytest.fixture(scope="module")
def settled(three: Any) -> tuple[Any, ...]:
    return spin(three, **LONG)


def test_soil_heat_and_pools_come_to_a_stand(three: Any, settled: tuple[Any, ...]) -> None:
    state, report, parameters, settings = settled
    assert report.soil_still.all()
    assert report.equilibrium_still.all()
    assert (report.soil_years < 300).all()
    assert (report.equilibrium_years < 3000).all()
    forcing = three[2].window((2001, 2001), "x").mean().forcing(2001)
    drift = []
    moved = state
    for _ in range(11):
        moved, now = model.soil_step(moved, forcing, parameters, settings.with_baseline(True))
        drift.append(np.asarray(now.tsoil.mean(axis=0)))
    assert np.abs(drift[10] - drift[0]).max() / 10 < 0.01
    assert drift[0].max() < 0  # a cold climate: permafrost all the way down


def test_pools_stand_still_for_twenty_more_years(three: Any, settled: tuple[Any, ...]) -> None:
    """Year by year with plain steps of the biogeochemistry, under the soil climate of the balance."""
    state, _, parameters, settings = settled
    steady = settings.with_baseline(True)
    forcing = three[2].window((2001, 2001), "x").mean().forcing(2001)
    _, soil = model.soil_step(state, forcing, parameters, steady)
    for _ in range(20):
        after, _ = model.biogeochemistry_step(state, forcing, soil, parameters, steady)
        change = {n: float(np.abs(a - b).max()) for n, a, b in
                  zip(after.pools._fields, after.pools, state.pools, strict=True)}  # fmt: skip
        assert max(change["C_V"], change["C_S"]) < 0.1
        assert max(change[n] for n in ("N_VS", "N_VL", "N_S", "N_A")) < 0.002
        state = after


def test_columns_that_do_not_stand_still_are_reported(three: Any) -> None:
    _, report, _, _ = spin(three)
    np.testing.assert_array_equal(report.soil_years, 20)
    assert not report.soil_still.any()
    np.testing.assert_array_equal(report.equilibrium_years, 50)


def test_a_column_does_not_wait_for_its_neighbours(three: Any, settled: tuple[Any, ...]) -> None:
    """Limits that only some columns meet early: each has the years that it needs, and keeps its state from then on."""
    loose = Equilibrium(years=3000, carbon_g_m2=1.0, nitrogen_g_m2=0.02)
    state, report, _, _ = spin(three, **{**LONG, "equilibrium": loose})
    assert (report.equilibrium_years <= settled[1].equilibrium_years).all()
    early = int(np.argmin(report.equilibrium_years))
    shorter = loose.model_copy(update={"years": int(report.equilibrium_years[early])})
    stopped, _, _, _ = spin(three, **{**LONG, "equilibrium": shorter})
    np.testing.assert_array_equal(stopped.pools.C_S[early], state.pools.C_S[early])


def test_the_equilibrium_is_that_of_the_stated_years(three: Any) -> None:
    """The other years do not matter, and the mean of the stated ones is what is repeated."""
    wanted, columns, climate = three
    stated = {"equilibrium": Equilibrium(years=50, climate=(2003, 2004)), "spin_up": SpinUp(years=0)}
    found, _, _, settings = spin(three, **stated)
    assert settings.biogeochemistry.co2_reference == 375.0
    others = np.array([y not in (2003, 2004) for y in climate.years])
    spoiled = replace(climate, tair=np.where(others[:, None, None], climate.tair + 9.0, climate.tair))
    again, _, _, _ = spin((wanted, columns, spoiled), **stated)
    assert same(found, again)
    tair, precip, irradiance, par = (
        np.stack([(a[2] + a[3]) / 2]) for a in (climate.tair, climate.precip, climate.irradiance, climate.par)
    )
    one = Climate(2003, tair, precip, irradiance, par, climate.co2[2:3])
    parameters = parameters_of(columns, wanted, climate.window((2003, 2004), "x"))
    short = wanted.model_copy(update={"spin_up": SpinUp(years=0)})
    by_hand, _ = phases.spin(one, parameters, short, settings)
    assert same(found, by_hand)
    assert not same(found, spin(three, spin_up=SpinUp(years=0))[0])


def test_the_spin_up_loops_over_the_stated_years(three: Any) -> None:
    """Against plain steps: 2002, 2003, 2002, with December and January of the loop."""
    climate = three[2]
    looped = {"spin_up": SpinUp(years=3, climate=(2002, 2003))}
    found, _, _, _ = spin(three, **looped)
    state, _, parameters, settings = spin(three, spin_up=SpinUp(years=0))
    for year, other in ((2002, 2003), (2003, 2002), (2002, 2003)):
        i, j = year - 2001, other - 2001
        tair = np.concatenate([climate.tair[j, 11:], climate.tair[i], climate.tair[j, :1]])
        forcing = model.Forcing(
            *map(
                jax.numpy.asarray,
                (tair, climate.precip[i], climate.irradiance[i], climate.par[i], climate.co2[i]),
            )
        )
        state, _ = model.step(state, forcing, parameters, settings)
    assert same(found, state)


def test_lines_say_how_far_it_is(three: Any) -> None:
    wanted, columns, climate = three
    lines: list[str] = []
    parameters = parameters_of(columns, wanted, climate)
    settings = model_settings(wanted, float(climate.co2[0]))
    state, _ = phases.spin(climate, parameters, wanted, settings, lines.append)
    years = [y for y, _, _ in phases.transient(state, climate, parameters, settings, tell=lines.append)]
    assert years == list(range(2001, 2007))
    assert [line.split(":")[0] for line in lines] == [
        "soil heat", "equilibrium", "spin-up", "year 2001 of 2001..2006"
    ]  # fmt: skip
