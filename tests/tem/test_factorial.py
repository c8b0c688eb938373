"""Whole factorial runs: against a plain run, against themselves, and what the files hold."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from talik.tem.factorial.annual import VARIABLES
from talik.workflow import run_project
from talik.workflow.project import load_project
from talik.workflow.run import plan_project

_spec = importlib.util.spec_from_file_location("tem_scenarios", Path(__file__).with_name("scenarios.py"))
scenarios = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(scenarios)
world = scenarios.world

BOTH = ("tem-history.nc", "tem-experiments.nc", "tem-experiments-audit.json")
FEW = scenarios.factorial(
    scenarios={"warm": {"climate": ["warm.nc"], "co2": "high"}},
    experiments={"S_Trans": {}, "S_PF": {"permafrost": "fixed"}},
)
"""Two experiments under one scenario."""
MONTHLY = ("gpp", "npp", "ra", "rh", "rhPermafrost", "nep", "fNup", "evspsbl", "mrro", "tsl20")
SINCE = slice(scenarios.REFERENCE + 1, None)


@pytest.fixture(scope="module", autouse=True)
def reproducible(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A fixed date, and compiled functions in a folder of the test session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        patch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scenarios.files(tmp_path_factory.mktemp("experiments"))


def run(project: Path, *steps: str, **options: Any) -> Path:
    loaded = load_project(project)
    result = run_project(loaded, only=steps, **options)
    assert result.failed == []
    return loaded.output


@pytest.fixture(scope="module")
def whole(folder: Path) -> Path:
    """Thirteen experiments under two scenarios in blocks of three columns."""
    project = scenarios.project(folder, "whole", factorial=scenarios.factorial(monthly=MONTHLY))
    return run(project, "tem-factorial")


@pytest.fixture(scope="module")
def experiments(whole: Path) -> xr.Dataset:
    return xr.load_dataset(whole / "tem-experiments.nc")


@pytest.fixture(scope="module")
def few(folder: Path) -> Path:
    """Two experiments in blocks of three columns, and the files of the spin-up."""
    project = scenarios.project(folder, "few", factorial=FEW)
    return run(project, "tem-factorial", "tem-spinup")


@pytest.fixture(scope="module")
def joined(folder: Path) -> Path:
    """A plain run over history and warm scenario."""
    project = scenarios.project(folder, "joined", climate={"files": ["joined.nc"]}, factorial=None)
    return run(project, "tem", "tem-spinup")


def seconds(years: xr.DataArray) -> xr.DataArray:
    """Length of calendar years."""
    leap = (years % 4 == 0) & ((years % 100 != 0) | (years % 400 == 0))
    return 86400.0 * (365.0 + leap)


def of_cells(values: xr.DataArray) -> np.ndarray:
    """(..., cell) of a variable on the grid, without ice, in the order of the land file."""
    found: np.ndarray = values.transpose(..., "lat", "lon").to_numpy()
    return found[..., world.TYPES != 1]


def test_the_reference_is_a_plain_run_over_history_and_scenario(
    whole: Path, experiments: xr.Dataset, joined: Path
) -> None:
    """The same numbers from `talik tem run`, whose January after the history is that of the warm scenario."""
    reference = experiments.sel(scenario="warm", experiment="S_Trans")
    with xr.open_dataset(whole / "tem-history.nc") as history:
        found = {n: np.concatenate([history[n], reference[n]]) for n in history.data_vars if n in VARIABLES}
    years = xr.DataArray(np.arange(2001, scenarios.LAST + 1), dims="year")
    with xr.open_dataset(joined / "tem-fluxes.nc") as fluxes, xr.open_dataset(joined / "tem-land.nc") as land:
        month = (fluxes["time_bnds"][:, 1] - fluxes["time_bnds"][:, 0]) / np.timedelta64(1, "s")
        for ds, name in (*((fluxes, n) for n in ("gpp", "npp", "ra", "rh", "nep")), (land, "rhPermafrost")):
            sums = (ds[name] * month).groupby("time.year").sum(min_count=12) / seconds(years)
            expected = of_cells(sums)
            limit = 3e-7 * np.abs(expected).max()
            np.testing.assert_allclose(found[name], expected, rtol=3e-7, atol=limit, err_msg=name)
        for ours, theirs in (
            ("cVeg", "cVeg"),
            ("cSoilActive", "cSoil"),
            ("nVeg", "nVeg"),
            ("nSoil", "nSoil"),
        ):
            np.testing.assert_array_equal(found[ours], of_cells(land[theirs])[11::12], err_msg=ours)
    with xr.open_dataset(joined / "tem-annual.nc") as annual:
        np.testing.assert_array_equal(found["activeLayerThickness"], of_cells(annual["activeLayerThickness"]))
        frozen = annual["cSoilPermafrost"].sel(year=slice(scenarios.REFERENCE, None))
        np.testing.assert_array_equal(reference["cSoilPermafrost"].sel(year=frozen["year"]), of_cells(frozen))
    assert float(reference["rhPermafrost"].max()) > 0


def test_the_other_scenario_is_another_world_from_its_first_year_on(experiments: xr.Dataset) -> None:
    warm, mild = (experiments.sel(scenario=name, experiment="S_Trans") for name in ("warm", "mild"))
    assert float(np.abs(warm["gpp"] - mild["gpp"]).sel(year=2004).max()) > 0  # its carbon dioxide
    assert float((warm["tsl20"] - mild["tsl20"]).sel(year=2010).min()) > 0.3


def test_identical_experiments_are_equal_in_every_variable(experiments: xr.Dataset) -> None:
    one, other = (experiments.sel(experiment=name, drop=True) for name in ("S_Trans", "the same"))
    xr.testing.assert_equal(one, other)
    with pytest.raises(AssertionError):
        xr.testing.assert_equal(one, experiments.sel(experiment="wide C:N", drop=True))


def test_fixed_permafrost_exposes_nothing_under_the_same_climate(experiments: xr.Dataset) -> None:
    fixed, free = (experiments.sel(experiment=name) for name in ("S_PF", "S_Trans"))
    for name in ("rhPermafrost", "thawedCarbon", "thawedNitrogen", "fNupThaw", "thawedCarbonByDepth"):
        assert float(np.abs(fixed[name]).max()) == 0.0
        assert float(free[name].max()) > 0.0
    frozen = fixed["cSoilPermafrost"]
    assert bool((frozen == frozen.isel(year=0)).all())


def test_experiments_that_share_a_climate_share_water_and_soil_heat(experiments: xr.Dataset) -> None:
    shared = ("evspsbl", "mrro", "tsl20", "activeLayerThickness", "tsl20Monthly")
    kept = [n for n in scenarios.DESIGN if "Temp" not in n]
    for group in (kept, ["S_Temp", "S_CO2&Temp"]):
        for name in shared:
            values = experiments[name].sel(experiment=group)
            assert bool((values == values.isel(experiment=0)).all()), name
    cold = experiments["tsl20"].sel(scenario="warm", year=SINCE)
    assert bool((cold.sel(experiment="S_Temp") < cold.sel(experiment="S_Trans")).sel(year=2010).all())


def test_up_to_the_reference_year_experiments_are_one(experiments: xr.Dataset) -> None:
    early = experiments.sel(year=slice(None, scenarios.REFERENCE))
    other = ("C:N without CO2",)  # whose plants differ in the history already
    for name in ("gpp", "rh", "cVeg", "cSoilActive", "tsl20", "evspsbl", "thawedCarbon"):
        values = early[name].sel(experiment=[n for n in scenarios.DESIGN if n not in other])
        assert bool((values == values.isel(experiment=0)).all()), name
    assert float(early["thawedCarbon"].max()) == 0.0
    departed = early["cVeg"].sel(experiment="C:N without CO2") - early["cVeg"].sel(experiment="S_Trans")
    assert float(np.abs(departed).max()) > 0.0


def test_frozen_carbon_is_there_before_the_reference_year(whole: Path, experiments: xr.Dataset) -> None:
    """It does not change before it; in the history it is not known, because each scenario has its reference year."""
    early = experiments["cSoilPermafrost"].sel(year=slice(None, scenarios.REFERENCE))
    assert bool((early == early.isel(year=-1)).all())
    assert float(early.min()) > 1.0
    with xr.open_dataset(whole / "tem-history.nc") as history:
        assert "cSoilPermafrost" not in history
        assert set(VARIABLES) - {"cSoilPermafrost"} <= set(history.data_vars)


def test_permafrost_carbon_is_that_of_the_reference_year_less_what_was_respired(
    experiments: xr.Dataset,
) -> None:
    since = experiments.sel(year=SINCE)
    respired = (since["rhPermafrost"].astype(float) * seconds(since["year"])).cumsum("year")
    start = experiments["cSoilPermafrost"].sel(year=scenarios.REFERENCE, drop=True).astype(float)
    expected = (start - respired).transpose(*since["cSoilPermafrost"].dims)
    np.testing.assert_allclose(since["cSoilPermafrost"], expected, rtol=3e-7)
    assert float(respired.isel(year=-1).max()) > 0.1


def test_the_ecosystem_gains_what_it_takes_up(experiments: xr.Dataset) -> None:
    """Change of plants, active layer and permafrost from one year's end to the next, against NEP of the year."""
    pools = sum(experiments[n].astype(float) for n in ("cVeg", "cSoilActive", "cSoilPermafrost"))
    change = pools.diff("year").sel(year=SINCE)
    nep = experiments["nep"].astype(float).sel(year=SINCE)
    np.testing.assert_allclose(change, nep * seconds(nep["year"]), atol=2e-5)  # float32 of 100 kg m-2
    assert float(np.abs(change).max()) > 0.01
    rest = experiments["npp"].astype(float) - experiments["rh"]
    np.testing.assert_allclose(experiments["nep"], rest, atol=3e-7 * float(experiments["npp"].max()))


def test_depths_add_up_and_thaw_is_never_undone(experiments: xr.Dataset) -> None:
    assert experiments["decade"].values.tolist() == [2010]
    np.testing.assert_array_equal(experiments["top"], np.arange(6.0))
    at = experiments.sel(year=2010)
    for whole, parts in (
        ("thawedCarbon", "thawedCarbonByDepth"),
        ("thawedNitrogen", "thawedNitrogenByDepth"),
    ):
        total = experiments[parts].sel(decade=2010).astype(float).sum("depth_interval")
        np.testing.assert_allclose(total, at[whole], rtol=3e-7)
        assert float(experiments[whole].diff("year").min()) >= 0.0
    respired = experiments["rhPermafrost"].astype(float) * seconds(experiments["year"])
    by_depth = experiments["rhPermafrostByDepth"].sel(decade=2010).astype(float).sum("depth_interval")
    np.testing.assert_allclose(
        by_depth, respired.sel(year=slice(None, 2010)).sum("year"), rtol=1e-6, atol=1e-9
    )
    upper = experiments["thawedCarbonByDepth"].isel(depth_interval=slice(2))
    assert float(upper.sum()) > 0.9 * float(experiments["thawedCarbonByDepth"].sum())  # thaw is less than 2 m


def test_months_make_the_year(experiments: xr.Dataset, whole: Path) -> None:
    with xr.open_dataset(whole / "tem-history.nc") as history:
        for ds in (experiments, history):
            for name in MONTHLY:
                months = ds[f"{name}Monthly"].astype(float)
                days = (
                    months["time"].dt.days_in_month
                    if name != "tsl20"
                    else xr.ones_like(months["time"], float)
                )
                year = (months * days).groupby("time.year").sum() / days.groupby("time.year").sum()
                limit = 3e-7 * float(np.abs(ds[name]).max())
                np.testing.assert_allclose(
                    year.transpose(*ds[name].dims), ds[name], rtol=3e-7, atol=limit, err_msg=name
                )


def test_settings_change_what_they_should(experiments: xr.Dataset) -> None:
    last = {
        name: experiments.sel(experiment=name, scenario="warm").isel(year=-1) for name in scenarios.DESIGN
    }
    deep = {n: float(of["rhPermafrost"].sum()) for n, of in last.items()}
    thawed = {n: float(of["thawedCarbon"].sum()) for n, of in last.items()}
    assert deep["attenuation 2 m"] > 1.5 * deep["S_Trans"]
    assert 0 < deep["refrozen is still"] < deep["S_Trans"]
    assert 0 < thawed["largest thaw"] < thawed["S_Trans"]
    assert 0 < deep["dry below roots"] <= deep["S_Trans"]  # equal where nothing thaws below the roots
    for name in (
        "attenuation 2 m",
        "refrozen is still",
        "dry below roots",
        "out of reach",
        "wide C:N",
        "C:N without CO2",
    ):
        assert thawed[name] == thawed["S_Trans"]
    assert float(last["wide C:N"]["thawedNitrogen"].sum()) < float(last["S_Trans"]["thawedNitrogen"].sum())
    assert float(last["S_CO2"]["gpp"].sum()) < float(last["S_Trans"]["gpp"].sum())


def test_nitrogen_out_of_reach_feeds_no_plants(experiments: xr.Dataset) -> None:
    away, reference = (experiments.sel(experiment=n) for n in ("out of reach", "S_Trans"))
    assert float(away["fNupThaw"].max()) == 0.0
    assert float(away["nToRootsByDepth"].max()) == 0.0
    assert float(reference["nToRootsByDepth"].max()) > 0.0
    first = scenarios.REFERENCE + 1
    np.testing.assert_allclose(
        away["rhPermafrost"].sel(year=first), reference["rhPermafrost"].sel(year=first), rtol=1e-3
    )
    grown = reference["cVeg"].sel(scenario="warm") - away["cVeg"].sel(scenario="warm")
    assert float(grown.isel(year=-1).min()) > 0.0
    np.testing.assert_array_equal(
        away["cVeg"].isel(year=-1), experiments["cVeg"].sel(experiment="S_PF").isel(year=-1)
    )


def test_the_file_says_what_was_run(folder: Path, whole: Path, experiments: xr.Dataset) -> None:
    assert experiments["experiment"].values.tolist() == list(scenarios.DESIGN)
    assert experiments["scenario"].values.tolist() == ["warm", "mild"]
    assert experiments.attrs["reference"] == "S_Trans"
    assert experiments.attrs["reference_year"] == scenarios.REFERENCE
    factors = json.loads(experiments.attrs["factors"])
    assert factors["S_CO2&Temp"] == ["temperature", "co2"]
    assert factors["largest thaw"] == ["thawed_years=[2002, 2005]"]
    assert set(json.loads(experiments.attrs["talik_inputs"])) == {
        "carbon.nc", "co2.csv", "history.nc", "land.nc", "mild.nc", "warm.nc"
    }  # fmt: skip
    for name, variable in VARIABLES.items():
        assert experiments[name].attrs["units"] == variable.units
        assert experiments[name].dtype == np.float32
        assert bool(experiments[name].notnull().all())
    gap = (experiments["lat"] == world.LAT[scenarios.GAP[0]]) & (
        experiments["lon"] == world.LON[scenarios.GAP[1]]
    )
    np.testing.assert_array_equal(experiments["observed_share"], ~gap)
    audit = json.loads((whole / "tem-experiments-audit.json").read_text())
    assert audit["years"] == [2001, scenarios.LAST]
    assert audit["without_permafrost"] == {"warm": 0, "mild": 0}
    assert max(audit["closure"].values()) < 1e-10
    notes = "; ".join(audit["notes"])
    assert (
        "soil_carbon lacks some depths in 1 of 8 cells, first (66.25, -149.75): taken as not observed"
        in notes
    )
    assert "soil carbon: 1 of 9 columns have the mean profile of their community (wet_tundra)" in notes


@pytest.mark.parametrize("block", [3, pytest.param(9, marks=pytest.mark.science)])
def test_neither_order_of_cells_nor_blocks_nor_where_the_spin_up_is_from_matter(
    folder: Path, few: Path, block: int
) -> None:
    """From the last cell to the first, from the file of a spin-up: bit for bit in blocks of as many columns.

    Sums are taken in another order where more columns run together, so there only round-off of float64 is left, which
    float32 may round to its next number.
    """
    places = [
        [float(lat), float(lon)]
        for lat, row in zip(world.LAT, world.TYPES, strict=True)
        for lon, kind in zip(world.LON, row, strict=True)
        if kind != 1
    ]
    changes = {"block": block, "cells": places[::-1], "restart": "few/tem-spinup.nc"}
    out = run(scenarios.project(folder, f"turned-{block}", factorial=FEW, **changes), "tem-factorial")
    for name in BOTH[:2]:
        with xr.open_dataset(out / name) as turned, xr.open_dataset(few / name) as expected:
            assert "tem-spinup.nc" in json.loads(turned.attrs["talik_inputs"])
            turned = turned.isel(cell=slice(None, None, -1))
            if block == 3:
                xr.testing.assert_equal(turned, expected)
                continue
            for variable, values in expected.data_vars.items():
                limit = 1e-9 * float(np.abs(values).max())
                np.testing.assert_allclose(
                    turned[variable], values, rtol=1.2e-7, atol=limit, err_msg=str(variable)
                )


def test_experiments_do_not_see_each_other(few: Path, experiments: xr.Dataset) -> None:
    with xr.open_dataset(few / "tem-experiments.nc") as two:
        for name in VARIABLES:
            np.testing.assert_array_equal(
                two[name],
                experiments[name].sel(scenario=["warm"], experiment=list(FEW["experiments"])),
                err_msg=name,
            )


def test_runs_and_experiments_go_on_from_one_spin_up(folder: Path, few: Path) -> None:
    project = load_project(folder / "few.yaml")
    for step in ("tem", "tem-factorial"):
        rows = {row["step"]: row["todo"] for row in plan_project(project, [step]).rows()}
        assert rows["tem-spinup-cells"] == 0
        assert rows["tem-stock"] == 0
    assert rows["tem-factorial-cells"] == 0


def test_a_run_starts_from_the_file_of_a_spin_up(folder: Path, joined: Path) -> None:
    again = scenarios.project(
        folder,
        "joined-again",
        climate={"files": ["joined.nc"]},
        factorial=None,
        restart="joined/tem-spinup.nc",
    )
    out = run(again, "tem")
    for name in ("tem-fluxes.nc", "tem-land.nc", "tem-annual.nc"):
        with xr.open_dataset(out / name) as found, xr.open_dataset(joined / name) as expected:
            xr.testing.assert_equal(found, expected)


@pytest.mark.science
def test_two_workers_that_were_killed_and_one_that_goes_on_give_the_same_bytes(
    folder: Path, few: Path, wait_for: Callable[[Callable[[], bool]], None]
) -> None:
    """SIGKILL to the group of two workers when a block of three is done, then the rest with one."""
    project = scenarios.project(folder, "killed", factorial=FEW)
    shutil.copytree(few / "work", folder / "killed" / "work", ignore=shutil.ignore_patterns("tem-factorial*"))
    command = [sys.executable, "-m", "talik", "tem", "factorial", str(project)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([*command, "--workers", "2"], start_new_session=True, **quiet)  # type: ignore[call-overload]
    work = folder / "killed" / "work"
    wait_for(lambda: len(list(work.glob("tem-factorial-cells-*/*.nc"))) >= 1 or process.poll() is not None)
    assert process.poll() is None, "it finished before it could be killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = len(list(work.glob("tem-factorial-cells-*/*.nc")))
    assert 1 <= done < 3
    result = run_project(load_project(project), only=["tem-factorial"], workers=1, resume=True)
    assert result.failed == []
    cached = [o for o in result.outcomes if o.status == "cached" and o.step == "tem-factorial-cells"]
    assert len(cached) == done
    assert {n: (folder / "killed" / n).read_bytes() for n in BOTH} == {
        n: (few / n).read_bytes() for n in BOTH
    }


@pytest.mark.science
def test_dask_gives_the_same_bytes_even_if_a_worker_is_killed(
    folder: Path, few: Path, dask_cluster: Callable[[], tuple[str, list[subprocess.Popen[bytes]]]]
) -> None:
    """The first of two workers is killed when the first block of experiments is done."""
    address, workers = dask_cluster()
    project = load_project(scenarios.project(folder, "dask", factorial=FEW))
    seen: list[str] = []

    def listen(outcome: Any) -> None:
        seen.append(outcome.step)
        if seen.count("tem-factorial-cells") == 1 and workers[0].poll() is None:
            workers[0].kill()

    result = run_project(project, only=["tem-factorial"], scheduler=address, listen=listen)
    assert result.failed == []
    assert seen.count("tem-factorial-cells") == 3
    assert workers[0].poll() is not None
    assert workers[1].poll() is None
    assert {n: (folder / "dask" / n).read_bytes() for n in BOTH} == {n: (few / n).read_bytes() for n in BOTH}
