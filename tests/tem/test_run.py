"""Whole runs: what the files hold, restart, workers, kill, and that cells do not see each other."""

from __future__ import annotations

import hashlib
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

from talik.errors import InputError
from talik.flux.io import open_flux
from talik.flux.table import FLUXES
from talik.tem import model, phases
from talik.tem.inputs import Columns, check_run, equilibrium_climate, parameters_of, read_columns, read_run
from talik.tem.output import ANNUAL, LAND, Collected, keep_worst
from talik.tem.run import model_settings, open_restart
from talik.tem.section import files_of
from talik.workflow import run_project
from talik.workflow.project import load_project

_spec = importlib.util.spec_from_file_location("tem_world", Path(__file__).with_name("world.py"))
world = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(world)

CARBON = ("gpp", "npp", "ra", "rh", "reco", "nep", "nee")


@pytest.fixture(scope="module", autouse=True)
def reproducible(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A fixed date, and compiled functions in a folder of the test session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        patch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world.files(tmp_path_factory.mktemp("runs"))


def run(project: Path, **options: Any) -> Path:
    loaded = load_project(project)
    assert run_project(loaded, **options).failed == []
    return loaded.output


@pytest.fixture(scope="module")
def whole(folder: Path) -> Path:
    """Every cell, 2001 to 2006, in blocks of three columns."""
    return run(world.project(folder, "whole"))


@pytest.fixture(scope="module")
def by_hand(folder: Path) -> tuple[Columns, list[model.Outputs]]:
    """The three columns of the middle row, which are two cells, by plain steps of the model."""
    project = load_project(world.project(folder, "by-hand"))
    wanted = project.sections["tem"]
    files = files_of(project, wanted)
    columns = read_columns(wanted, files.paths("land")).part(range(3, 5))
    climate = read_run(wanted, files, columns)
    parameters = parameters_of(columns, wanted, equilibrium_climate(wanted, climate))
    settings = model_settings(wanted, float(climate.co2[0]))
    state, _ = phases.spin(climate, parameters, wanted, settings)
    years = []
    for year in climate.years:
        state, outputs = model.step(state, climate.forcing(year), parameters, settings)
        years.append(outputs)
    return columns, years


def content(out: Path) -> dict[str, str]:
    return {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in world.FIVE}


def monthly_grams(ds: xr.Dataset, name: str) -> xr.DataArray:
    """A flux as the sum of each month, g m-2, by the time bounds of the file."""
    length = (ds["time_bnds"][:, 1] - ds["time_bnds"][:, 0]) / np.timedelta64(1, "s")
    return ds[name] * length * 1000.0


def test_the_flux_file_is_a_flux_dataset(whole: Path) -> None:
    with open_flux(whole / "tem-fluxes.nc") as ds:
        assert set(CARBON) == {n for n in ds.data_vars if n in FLUXES}
        assert ds.attrs["approach"] == "process"
        assert dict(ds.sizes) == {"time": 72, "lat": 3, "lon": 3, "bnds": 2}
        np.testing.assert_array_equal(ds["lat"], world.LAT)
        np.testing.assert_array_equal(ds["lon"], world.LON)
        starts = np.arange("2001-01", "2007-02", dtype="datetime64[M]").astype("datetime64[ns]")
        np.testing.assert_array_equal(ds["time_bnds"], np.stack([starts[:-1], starts[1:]], axis=1))
        for name in CARBON:
            assert ds[name].attrs["units"] == "kg m-2 s-1"
            assert {**ds[name].attrs, **FLUXES[name].attributes} == ds[name].attrs
            np.testing.assert_array_equal(ds[name].isnull().any("time"), world.TYPES == 1)
        np.testing.assert_array_equal(ds["coverage"], world.TYPES != 1)
        np.testing.assert_allclose(ds["nee"], ds["reco"] - ds["gpp"], atol=1e-18, rtol=1e-12)
        np.testing.assert_array_equal(ds["nee"], -ds["nep"])
        np.testing.assert_allclose(ds["nep"], ds["npp"] - ds["rh"], atol=1e-18, rtol=1e-12)
        assert float(ds["gpp"].max()) > 0
        assert float(ds["gpp"].where(ds["time"].dt.month == 1).max()) == 0


def test_monthly_sums_are_those_of_the_model(
    whole: Path, by_hand: tuple[Columns, list[model.Outputs]]
) -> None:
    """g m-2 from the file against g month-1 of plain steps; the cell of TEM type 6 is the mean of its columns."""
    columns, years = by_hand
    assert columns.community == ("boreal_forest", "wet_tundra", "boreal_forest")
    gpp, rh, nep = (
        np.concatenate([np.asarray(getattr(y.fluxes, n)) for y in years]) for n in ("gpp", "rh", "nep")
    )
    with open_flux(whole / "tem-fluxes.nc") as ds:
        for name, values in (("gpp", gpp), ("rh", rh), ("nep", nep)):
            found = monthly_grams(ds, name).sel(lat=66.75)
            np.testing.assert_allclose(found.sel(lon=-149.75), values[:, 2], rtol=1e-12, atol=1e-12)
            both = 0.5 * values[:, 0] + 0.5 * values[:, 1]
            np.testing.assert_allclose(found.sel(lon=-150.25), both, rtol=1e-12, atol=1e-12)
    assert np.abs(gpp[:, 0] - gpp[:, 1]).max() > 1  # its communities do differ
    with xr.open_dataset(whole / "tem-land.nc") as land, xr.open_dataset(whole / "tem-annual.nc") as annual:
        at = {"lat": 66.75, "lon": -149.75}
        carbon = np.concatenate([np.asarray(y.fluxes.pools.C_V)[:, 2] for y in years])
        np.testing.assert_allclose(land["cVeg"].sel(at), carbon / 1000, rtol=1e-6)
        water = np.concatenate([np.asarray(y.fluxes.aet)[:, 2] for y in years])
        seconds = land["time"].dt.days_in_month * 86400.0
        np.testing.assert_allclose(land["evspsbl"].sel(at) * seconds, water, rtol=1e-6, atol=1e-5)
        soil = np.concatenate([np.asarray(y.tsoil)[..., 2] for y in years])
        np.testing.assert_allclose(land["tsl"].sel(at).transpose("time", "depth"), soil, rtol=1e-6, atol=1e-5)
        alt = [float(y.alt[2]) for y in years]
        np.testing.assert_allclose(annual["activeLayerThickness"].sel(at), alt, rtol=1e-6)


def test_every_variable_says_what_it_is(whole: Path) -> None:
    for name, table in (("tem-land.nc", LAND), ("tem-annual.nc", ANNUAL)):
        with xr.open_dataset(whole / name) as ds:
            written = set(table) - {"rhPermafrost", "cSoilPermafrost", "cSoilFrozen"}
            assert written <= set(ds.data_vars)
            for variable in written:
                assert ds[variable].attrs["units"] == table[variable].units
                assert ds[variable].attrs["long_name"]
                assert ds[variable].dtype == np.float32
            assert set(ds["cell_area"].values.ravel()[[0, 8]]) == {1.2e9}
            assert ds["lat"].attrs["units"] == "degrees_north"
    with xr.open_dataset(whole / "tem-land.nc") as ds:
        assert ds["depth"].attrs["positive"] == "down"
        assert ds["depth"].values.tolist() == [0.05, 0.1, 0.2, 0.5, 1.0, 2.0]
        assert float(ds["tsl"].max()) < 30
        assert 0 <= float(ds["thawedDays"].min()) < float(ds["thawedDays"].max()) == 1


def test_provenance(folder: Path, whole: Path) -> None:
    hashes = {
        n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in ("climate.nc", "co2.csv", "land.nc")
    }
    for name in world.FIVE:
        if name.endswith(".json"):
            continue
        with xr.open_dataset(whole / name) as ds:
            assert json.loads(ds.attrs["talik_inputs"]) == hashes
            assert "audit" not in ds.attrs
            newest = ds.attrs["history"].splitlines()[0]
            assert newest.startswith("2023-11-14T22:13:20+00:00 talik tem code=")
            assert len(newest.partition(" config=")[2]) == 12


def test_permafrost_of_a_cell_that_is_half_without(folder: Path) -> None:
    """Its thickness is that of the half that has some, and the share says so."""
    columns = Columns(
        *np.zeros((3, 1)), np.zeros(2, int), ("wet_tundra",) * 2, np.full(2, 0.5), *np.zeros((4, 2))
    )
    collected = Collected(columns)
    found = collected._permafrost(np.array([0.6, 50.0]), np.array([0.0, 3.0]))
    assert {name: v.tolist() for name, v in found.items()} == {
        "activeLayerThickness": [0.6], "permafrostFraction": [0.5], "talikThickness": [1.5]
    }  # fmt: skip
    assert np.isnan(collected._permafrost(np.full(2, 50.0), np.zeros(2))["activeLayerThickness"]).all()


def test_budgets_that_do_not_close_stop_a_run(by_hand: tuple[Columns, list[model.Outputs]]) -> None:
    columns, years = by_hand
    residual = np.zeros((4, 3))
    residual[2, 1] = 2e-10
    with pytest.raises(
        InputError, match=r"water of wet_tundra at 66\.75, -150\.25 is off by 2\.0e-10 in 2005"
    ):
        keep_worst(np.zeros(4), residual, columns, 2005)
    residual[2, 1] = np.nan
    with pytest.raises(InputError, match=r"is off by nan in 2005 \(1 of 3 columns\)"):
        keep_worst(np.zeros(4), residual, columns, 2005)
    assert float(np.abs(np.asarray(years[0].residual)).max()) < 1e-10


def test_two_parts_are_the_whole_bit_for_bit(folder: Path, whole: Path) -> None:
    run(world.project(folder, "part-1", period=[2001, 2003]))
    last = run(world.project(folder, "part-2", period=[2004, 2006], restart="part-1/tem-restart.nc"))
    for name in ("tem-fluxes.nc", "tem-land.nc", "tem-annual.nc"):
        parts = [xr.load_dataset(folder / p / name) for p in ("part-1", "part-2")]
        with xr.open_dataset(whole / name) as expected:
            for variable in expected.data_vars:
                found = [p[variable] for p in parts]
                along = next((d for d in ("time", "year") if d in expected[variable].dims), None)
                joined = xr.concat(found, along) if along else found[0]
                np.testing.assert_array_equal(joined, expected[variable], err_msg=variable)
    held, expected = (xr.load_dataset(out / "tem-restart.nc") for out in (last, whole))
    xr.testing.assert_equal(held, expected)
    assert held.attrs["year"] == 2006
    assert "spin_up" not in json.loads((last / "tem-audit.json").read_text())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"period": [2003, 2004]}, "ends with 2006, the run begins with 2003; expected the year after"),
        (
            {"land": {"files": ["land.nc"], "community": "grassland"}},
            "holds no state of 9 of 9 columns, first grassland",
        ),
    ],
)
def test_a_restart_file_that_does_not_fit(
    folder: Path, whole: Path, changes: dict[str, Any], says: str
) -> None:
    project = load_project(
        world.project(folder, "bad", **{"period": [2007, 2007], "restart": "whole/tem-restart.nc", **changes})
    )
    settings = project.sections["tem"]
    files = files_of(project, settings)
    columns = read_columns(settings, files.paths("land"))
    climate = check_run(settings, files, columns)
    with pytest.raises(InputError, match=says):
        open_restart(whole / "tem-restart.nc", columns, climate)


def test_columns_of_a_restart_file_are_found_in_any_order(folder: Path, whole: Path) -> None:
    project = load_project(
        world.project(folder, "order", period=[2007, 2007], cells=[[67.25, -150.25], [66.75, -150.25]])
    )
    settings = project.sections["tem"]
    files = files_of(project, settings)
    columns = read_columns(settings, files.paths("land"))
    climate = read_run(settings, files, columns)
    held = open_restart(whole / "tem-restart.nc", columns, climate)
    assert held["lat"].values.tolist() == [67.25, 66.75, 66.75]
    assert held["community"].values.tolist() == ["wet_tundra", "boreal_forest", "wet_tundra"]
    everything = xr.load_dataset(whole / "tem-restart.nc")
    np.testing.assert_array_equal(held["pools_C_S"], everything["pools_C_S"].values[[7, 3, 4]])


def test_a_cell_does_not_see_the_others(folder: Path, whole: Path) -> None:
    """One cell alone in a block of its own, against blocks of three columns."""
    alone = run(world.project(folder, "alone", cells=[[67.25, -149.75]], block=128))
    for name in ("tem-fluxes.nc", "tem-land.nc", "tem-annual.nc"):
        with xr.open_dataset(alone / name) as one, xr.open_dataset(whole / name) as all_of_them:
            assert one.sizes["cell"] == 1
            for variable in (*CARBON, *LAND, *ANNUAL):
                if variable in one:
                    expected = all_of_them[variable].sel(lat=67.25, lon=-149.75)
                    found = one[variable].isel(cell=0)
                    scale = float(np.abs(expected).max())
                    limit = 1e-9 if name == "tem-fluxes.nc" else 2e-7  # the others are float32
                    np.testing.assert_allclose(
                        found, expected, rtol=limit, atol=limit * scale, err_msg=variable
                    )


@pytest.mark.science
def test_two_workers_that_were_killed_and_one_that_goes_on_give_the_same_bytes(
    folder: Path, whole: Path, wait_for: Callable[[Callable[[], bool]], None]
) -> None:
    """SIGKILL to the group of two workers when one block of three is done, then the rest with one."""
    killed = world.project(folder, "killed")
    only_spin_up = shutil.ignore_patterns("tem-[!s]*")
    shutil.copytree(whole / "work", folder / "killed" / "work", ignore=only_spin_up)
    process = subprocess.Popen(
        [sys.executable, "-m", "talik", "tem", "run", str(killed), "--workers", "2"],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    work = folder / "killed" / "work"
    wait_for(lambda: len(list(work.glob("tem-cells-*/*.nc"))) >= 1 or process.poll() is not None)
    assert process.poll() is None, "it finished before it could be killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = len(list(work.glob("tem-cells-*/*.nc")))
    assert 1 <= done < 3
    assert list((folder / "killed").glob("tem-*")) == []
    loaded = load_project(killed)
    result = run_project(loaded, workers=1)
    assert result.failed == []
    cached = [(o.step, o.unit) for o in result.outcomes if o.status == "cached"]
    assert sum(step == "tem-cells" for step, _ in cached) == done
    assert sum(step == "tem-spinup-cells" for step, _ in cached) == 3
    assert content(loaded.output) == content(whole)
    assert not list(loaded.output.rglob("*.part"))
