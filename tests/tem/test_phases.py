"""The phases of a run: when soil and pools stand still, and which years each phase is made of."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest
import xarray as xr

from talik.cli.tem import audit_text
from talik.tem import acceleration, model, phases
from talik.tem.inputs import (
    Climate,
    Columns,
    equilibrium_climate,
    parameters_of,
    read_columns,
    read_run,
    spin_up_climate,
)
from talik.tem.merge import audit
from talik.tem.model import CLOSURES
from talik.tem.output import audit_of, spin_audit
from talik.tem.run import model_settings
from talik.tem.section import files_of
from talik.tem.settings import Equilibrium, SoilHeat, SpinUp, TemSettings
from talik.tem.thermal.freezing import phase
from talik.tem.thermal.year import Heat
from talik.workflow.project import load_project

_spec = importlib.util.spec_from_file_location("tem_world", Path(__file__).with_name("world.py"))
world = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(world)

SOIL = {"soil_heat": SoilHeat(years=300), "spin_up": SpinUp(years=0)}
LONG = {**SOIL, "equilibrium": Equilibrium(years=3000)}


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> tuple[TemSettings, Columns, Climate]:
    """Settings, the three southern columns, and their climate."""
    project = load_project(world.project(world.files(tmp_path_factory.mktemp("phases"))))
    settings = project.sections["tem"]
    files = files_of(project, settings)
    columns = read_columns(settings, files.paths("land")).part(range(3))
    climate = read_run(settings, files, columns)
    return settings, columns, climate


def ready(three: Any, **changes: Any) -> tuple[Any, ...]:
    """Settings of the project, the years of the equilibrium, parameters, and settings of the model."""
    wanted, columns, climate = three
    wanted = wanted.model_copy(update=changes)
    first = equilibrium_climate(wanted, climate)
    parameters = parameters_of(columns, wanted, first)
    return wanted, first, parameters, model_settings(wanted, float(first.co2[0]))


def spin(three: Any, warm: Any = None, **changes: Any) -> tuple[Any, ...]:
    """State, report, parameters and settings of the model after the spin-up, whose soil heat may be known."""
    wanted, _, parameters, settings = ready(three, **changes)
    with pytest.MonkeyPatch.context() as patch:
        if warm is not None:
            patch.setattr(phases, "settled_soil", lambda *_: warm)
        state, report = phases.spin(three[2], parameters, wanted, settings)
    return state, report, parameters, settings


def same(one: Any, other: Any) -> bool:
    return all(
        np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    )


@pytest.fixture(scope="module")
def warm(three: Any) -> tuple[Any, ...]:
    """Soil heat of `SOIL` in balance, which the equilibrium does not change."""
    wanted, first, parameters, settings = ready(three, **SOIL)
    return phases.settled_soil(first.mean().forcing(first.first_year), parameters, wanted, settings)


@pytest.fixture(scope="module")
def settled(three: Any, warm: Any) -> tuple[Any, ...]:
    return spin(three, warm, **LONG)


@pytest.fixture(scope="module")
def plain(three: Any, warm: Any) -> tuple[Any, ...]:
    """The plain method, which stops where `settled` had to arrive."""
    return spin(three, warm, **{**SOIL, "equilibrium": Equilibrium(method="plain")})


def test_soil_heat_and_pools_come_to_a_stand(three: Any, settled: tuple[Any, ...]) -> None:
    state, report, parameters, settings = settled
    assert report.soil_still.all()
    assert report.equilibrium_still.all()
    assert (report.soil_years < 300).all()
    assert (report.equilibrium_years == 200).all()
    assert ((report.newton_steps > 1) & (report.newton_steps < 12)).all()
    assert not report.fell_back.any()
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
    np.testing.assert_array_equal(report.equilibrium_years, 50)  # too few to accelerate anything
    np.testing.assert_array_equal(report.newton_steps, 0)
    assert not report.equilibrium_still.any()


def test_a_column_does_not_wait_for_its_neighbours(three: Any, warm: Any, plain: tuple[Any, ...]) -> None:
    """Limits that only some columns meet early: each has the years that it needs, and keeps its state from then on."""
    loose = Equilibrium(method="plain", years=3000, carbon_g_m2=1.0, nitrogen_g_m2=0.02)
    state, report, _, _ = spin(three, warm, **{**LONG, "equilibrium": loose})
    assert (report.equilibrium_years < plain[1].equilibrium_years).any()
    assert (report.equilibrium_years <= plain[1].equilibrium_years).all()
    early = int(np.argmin(report.equilibrium_years))
    shorter = loose.model_copy(update={"years": int(report.equilibrium_years[early])})
    stopped, _, _, _ = spin(three, warm, **{**LONG, "equilibrium": shorter})
    np.testing.assert_array_equal(stopped.pools.C_S[early], state.pools.C_S[early])


def test_the_accelerated_equilibrium_is_that_of_3000_plain_years(
    three: Any, warm: Any, settled: tuple[Any, ...]
) -> None:
    """Pools and the fluxes of a year within 0.5 %, the limit that no year reaches keeping the plain method going."""
    never = Equilibrium(method="plain", carbon_g_m2=1e-300, nitrogen_g_m2=1e-300)
    brute, report, parameters, settings = spin(three, warm, **{**SOIL, "equilibrium": never})
    np.testing.assert_array_equal(report.equilibrium_years, 3000)
    forcing = three[2].window((2001, 2001), "x").mean().forcing(2001)
    steady = settings.with_baseline(True)
    _, soil = model.soil_step(brute, forcing, parameters, steady)
    found = [model.biogeochemistry_step(s, forcing, soil, parameters, steady) for s in (settled[0], brute)]
    for name in ("C_V", "C_S", "N_S", "N_VS"):
        one, other = (np.asarray(getattr(state.pools, name)) for state, _ in found)
        np.testing.assert_allclose(one, other, rtol=5e-3, err_msg=name)
    for name in ("gpp", "npp", "rh", "uptake"):
        one, other = (np.asarray(getattr(fluxes, name).sum(axis=0)) for _, fluxes in found)
        np.testing.assert_allclose(one, other, rtol=5e-3, err_msg=name)
    assert not np.array_equal(settled[0].pools.C_S, brute.pools.C_S)


def test_columns_where_newton_fails_run_plainly(
    three: Any,
    warm: Any,
    settled: tuple[Any, ...],
    plain: tuple[Any, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All when no step is allowed; else those alone, and the others do not notice."""
    state, report, _, _ = spin(three, warm, **{**SOIL, "equilibrium": Equilibrium(newton_steps=0)})
    assert report.fell_back.all()
    assert same(state, plain[0])
    np.testing.assert_array_equal(report.equilibrium_years, 200 + plain[1].equilibrium_years)
    solve = acceleration.solve

    def misled(*args: Any, **kwargs: Any) -> acceleration.Solved:
        solved = solve(*args, **kwargs)
        pools = solved.state.pools
        return solved._replace(
            state=solved.state._replace(pools=pools._replace(C_S=pools.C_S.at[1].multiply(1.5)))
        )

    monkeypatch.setattr(acceleration, "solve", misled)  # the second column does not pass the hundred years
    state, report, _, _ = spin(three, warm, **LONG)
    assert report.fell_back.tolist() == [False, True, False]
    assert report.equilibrium_still.all()
    for column, expected in ((0, settled), (1, plain), (2, settled)):
        # a column that runs by itself is compiled for another width: round-off
        jax.tree.map(
            lambda a, b, at=column: np.testing.assert_allclose(
                a[..., at], b[..., at], rtol=1e-11, atol=1e-12
            ),
            state,
            expected[0],
        )


def test_the_audit_names_columns_where_newton_failed(three: Any) -> None:
    columns = three[1]
    ones, good = np.ones(3, int), np.ones(3, bool)
    away = np.array([False, True, False])
    report = phases.SpinReport(110 * ones, good, 400 * ones, 7 * ones, good, away, 22 * ones, away)
    told = audit_of(columns, range(2001, 2002), np.zeros(4), spin_audit(report, columns), ())
    where = f"{columns.community[1]} at 66.25, -150.25"
    assert told["spin_up"]["fell_back"] == [where]
    assert told["spin_up"]["newton_steps"] == 7
    assert told["spin_up"]["loop_soil_still"] == 1
    text = audit_text(told)
    assert f"Newton's method failed in 1 columns, which ran plainly\n    {where}" in text
    assert "soil heat of the loop was periodic in 1 of 3 columns, after up to 22 years" in text


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


def test_the_audits_of_blocks_are_joined(tmp_path: Path) -> None:
    """The most years, the sum of columns that stand still, and every column where Newton's method failed."""
    blocks = [
        ("a.nc", 200, 3, []),
        ("b.nc", 1150, 2, ["wet_tundra at 70, 20"]),
        ("c.nc", 800, 4, ["x at 1, 2"]),
    ]
    for name, years, still, away in blocks:
        spun = {"equilibrium_years": years, "equilibrium_still": still, "fell_back": away}
        closure = dict.fromkeys(CLOSURES, 1e-15)
        told = {"columns": 4, "years": [1, 2], "closure": closure, "notes": [], "spin_up": spun}
        xr.Dataset(attrs={"audit": json.dumps(told)}).to_netcdf(tmp_path / name)
    joined = audit([tmp_path / name for name, *_ in blocks])
    assert joined["spin_up"] == {
        "equilibrium_years": 1150,
        "equilibrium_still": 9,
        "fell_back": ["wet_tundra at 70, 20", "x at 1, 2"],
    }


def looped(three: Any, settled: tuple[Any, ...], **spin_up: Any) -> tuple[Any, np.ndarray, np.ndarray]:
    """The second phase from the end of the first: state, years of soil heat, and whether it repeats itself."""
    wanted = three[0].model_copy(update={"spin_up": SpinUp(climate=(2002, 2004), **spin_up)})
    state, _, parameters, settings = settled
    loop = spin_up_climate(wanted, three[2])
    return phases._loop(state, loop, parameters, wanted, settings, lambda _line: None)


def test_soil_that_repeats_itself_is_not_run_again(three: Any, settled: tuple[Any, ...]) -> None:
    """Against soil heat in every year: temperatures of all layers, pools, and the year of the loop they end with."""

    def temperature(state: Any) -> np.ndarray:
        layers = model.layers_of(state.heat.saturation, settled[2].ground)
        return np.asarray(phase(state.heat.heat, layers, None).temperature)

    full, years, periodic = looped(three, settled, years=61, soil="every-year")
    np.testing.assert_array_equal(years, 61)
    assert not periodic.any()
    state, years, periodic = looped(three, settled, years=61, soil_drift_k=0.02)
    assert periodic.all()
    assert ((years >= 6) & (years < 61)).all()
    assert (years % 3 == 0).all()
    np.testing.assert_allclose(temperature(state), temperature(full), atol=0.15)
    for name in ("C_V", "C_S", "N_S"):
        np.testing.assert_allclose(getattr(state.pools, name), getattr(full.pools, name), rtol=2e-3)
    other, _, _ = looped(three, settled, years=60, soil_drift_k=0.02)
    assert np.abs(temperature(other) - temperature(full)).max() > 1.0  # a year off


def test_a_column_whose_soil_repeats_itself_does_not_wait(three: Any, settled: tuple[Any, ...]) -> None:
    """It keeps the heat that it has where the phase ends with its own soil years."""
    _, years, _ = looped(three, settled, years=60, soil_drift_k=0.02)
    assert years.min() < years.max()  # else nothing waits
    first = int(np.argmin(years))
    stopped, _, _ = looped(three, settled, years=int(years.min()), soil_drift_k=0.02)
    after, _, _ = looped(three, settled, years=int(years.max()), soil_drift_k=0.02)
    np.testing.assert_array_equal(after.heat.heat[:, first], stopped.heat.heat[:, first])


def test_five_hundred_years_are_45_loops_and_five_years(three: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a model that only tells which year it was given: soil heat in two loops, and the heat of the fifth year."""
    years = np.arange(1850.0, 1861.0)
    flat = np.zeros((11, 12, 3))
    climate = Climate(1850, flat, flat, flat, flat, years)
    full: list[float] = []
    reused: list[tuple[float, float]] = []

    def step(state: Any, forcing: Any, *_: Any) -> Any:
        year = float(forcing.co2)
        full.append(year)
        heat = Heat(np.full((43, 3), year), *state.heat[1:])
        soil = SimpleNamespace(tsoil=np.full((12, 42, 3), year), year=year)
        return state._replace(heat=heat), SimpleNamespace(soil=soil)

    def biogeochemistry_step(state: Any, forcing: Any, soil: Any, *_: Any) -> Any:
        reused.append((float(forcing.co2), soil.year))
        return state, None

    monkeypatch.setattr(model, "step", step)
    monkeypatch.setattr(model, "biogeochemistry_step", biogeochemistry_step)
    state = model.State(Heat(*[np.zeros((43, 3))] * 3), None, None, np.zeros((12, 3)))
    after, soil_years, periodic = phases._loop(
        state, climate, None, three[0].model_copy(update={"spin_up": SpinUp()}), None, lambda _line: None
    )
    assert full == [*years, *years]
    assert reused == [(y, y) for y in [*np.tile(years, 43), *years[:5]]]
    assert soil_years.tolist() == [22, 22, 22]
    assert periodic.all()
    assert (after.heat.heat == 1854.0).all()


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
