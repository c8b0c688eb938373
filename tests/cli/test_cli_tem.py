"""`talik tem run` as a user meets it: bad forcing is named and nothing is written; a good run says what it did."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from talik.cli import app

_spec = importlib.util.spec_from_file_location("tem_world", Path(__file__).parents[1] / "tem" / "world.py")
world = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(world)
runner = CliRunner()


@pytest.fixture(scope="module", autouse=True)
def compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compiled functions go to a folder of the test session, not to the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        yield


def run(project: Path, *options: str, code: int = 0) -> Any:
    result = runner.invoke(app, ["tem", "run", str(project), *options])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A run of every cell, and what it printed."""
    folder = world.files(tmp_path_factory.mktemp("good"))
    project = world.project(folder)
    return project, run(project)


def hot(folder: Path) -> None:
    world.climate(folder / "climate.nc", units={"tas": "degC"})


def negative(folder: Path) -> None:
    values = world.fields(84)
    values["pr"][17, 1, 1] *= -1
    world.climate(folder / "climate.nc", values=values)


def gap(folder: Path) -> None:
    dates = world.months()
    del dates[28]
    world.climate(folder / "climate.nc", dates=dates)


def short_year(folder: Path) -> None:
    world.climate(folder / "climate.nc", dates=world.months(calendar="360_day"))


def hole(folder: Path) -> None:
    values = world.fields(84)
    values["rsds"][40, 2, 2] = np.nan
    world.climate(folder / "climate.nc", values=values)


def swapped(folder: Path) -> None:
    world.climate(folder / "climate.nc", lat=world.LON, lon=world.LAT)


def texture(folder: Path) -> None:
    world.land(folder / "land.nc", clay=29.0)


def unitless(folder: Path) -> None:
    world.climate(folder / "climate.nc", units={"pr": ""})


def little_co2(folder: Path) -> None:
    world.co2(folder / "co2.csv", last=2003)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (hot, ["climate.nc", "Are these K under the label degC?"]),
        (negative, ["climate.nc", "1 of 576 values below 0", "Precipitation cannot be negative"]),
        (gap, ["climate.nc", "2003-05 missing"]),
        (short_year, ["climate.nc", "360_day", "calendar: as-is"]),
        (hole, ["climate.nc", "missing in 1 cell", "(67.25, -149.75)"]),
        (swapped, ["climate.nc", "lat"]),
        (texture, ["land.nc", "sand + silt + clay", "expected 100 +- 1 %", "109"]),
        (unitless, ["climate.nc", "'pr' has no units"]),
        (little_co2, ["co2.csv", "no CO2 for 3 of 6 years, first 2004"]),
    ],
)
def test_bad_forcing_is_named_and_nothing_is_written(
    tmp_path: Path, spoil: Callable[[Path], None], says: list[str]
) -> None:
    world.files(tmp_path)
    spoil(tmp_path)
    before = sorted(p.name for p in tmp_path.iterdir())
    project = world.project(tmp_path)
    result = run(project, code=2)
    assert [part for part in says if part not in result.stderr] == [], result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.output
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*before, "run.yaml"])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"spinup": {"years": 3}}, "tem.spinup: unknown key; did you mean 'spin_up'?"),
        ({"equilibrium": {"year": 50}}, "did you mean 'years'?"),
        ({"land": {"files": ["land.nc"], "community": "wet_tundre"}}, "did you mean 'wet_tundra'?"),
        ({"parameters": {"tundra": {"cfall": 0.01}}}, "tem.parameters: 'tundra' is unknown"),
        ({"parameters": {"wet_tundra": {"c_fall": 0.01}}}, "did you mean 'cfall'?"),
        ({"parameters": {"wet_tundra": {"cfall": "much"}}}, "tem.parameters.wet_tundra.cfall"),
        ({"organic_soil": {"wet_tundra": {"moss": 0.1}}}, "did you mean 'moss_m'?"),
        ({"organic_soil": {"wet_tundra": {"moss_m": -0.1}}}, "moss_m is -0.1"),
        (
            {"organic_soil": {"wet_tundra": {"moss_m": 0.1}}, "soil_heat": {"layers": "legacy"}},
            "legacy layers have thicknesses of their own",
        ),
        ({"period": [2001, 2020]}, "asked for 2001..2020, but the files hold 2001-01..2007-12"),
        ({"period": [2006, 2001]}, "runs backwards"),
        ({"equilibrium": {"climate": [1990, 1999]}}, "tem.equilibrium.climate: years 1990..1999"),
        ({"spin_up": {"climate": [2005, 2009]}}, "tem.spin_up.climate: years 2005..2009"),
        ({"cells": [[-150.25, 66.75]]}, "tem.cells.0.0"),
        ({"cells": [[66.75, -120.25]]}, "outside the grid"),
        ({"cells": [[66.75, -150.75]]}, "all are ice"),
        ({"climate": {"files": ["missing-*.nc"]}}, "no file fits 'missing-*.nc'"),
        ({"climate": {"files": ["missing.nc"]}}, "missing.nc"),
        ({"restart": "run/tem-restart.nc"}, "is the file that this run writes"),
        ({"restart": "land.nc"}, "is no restart file"),
        ({"restart": "co2.csv"}, "not readable as NetCDF"),
        ({"block": 0}, "tem.block"),
    ],
)
def test_bad_settings_are_named_and_nothing_is_written(
    tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    project = world.project(world.files(tmp_path), **changes)
    result = run(project, code=2)
    assert says in result.stderr
    assert "Traceback" not in result.output
    assert not (tmp_path / "run").exists()


def test_a_project_without_the_section(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("talik: 1\nname: nothing\nbudget: {posts: reccap2}\n")
    assert "has no section tem" in run(tmp_path / "p.yaml", code=2).stderr


def test_what_can_be_handled_is_told(tmp_path: Path) -> None:
    """A 360-day calendar that is wanted, longitudes 0..360 and latitudes that descend."""
    world.files(tmp_path)
    world.land(tmp_path / "land.nc", lat=world.LAT[::-1], lon=world.LON + 360, types=world.TYPES[::-1])
    world.climate(tmp_path / "climate.nc", dates=world.months(calendar="360_day"), lon=world.LON + 360)
    project = world.project(tmp_path, climate={"files": ["climate.nc"], "calendar": "as-is"})
    told = json.loads(run(project, "--dry-run", "--json").stdout)
    notes = "; ".join(told["notes"])
    assert "360-day calendar: its 12 monthly means are taken as months" in notes
    assert "1 of 9 cells are ice and are left out" in notes
    assert "lon 0..360 turned to -180..180" in notes
    assert "lat descends: turned" in notes
    assert not (tmp_path / "run").exists()


def test_a_dry_run_shows_the_plan_and_writes_nothing(tmp_path: Path) -> None:
    project = world.project(world.files(tmp_path))
    result = run(project, "--dry-run")
    assert "8 cells in 9 columns, 2001..2006" in result.stderr
    assert "tem-cells: 3 units, 0 done, about" in result.stderr
    assert "tas: K to degC" in result.stderr
    told = json.loads(run(project, "--dry-run", "--json").stdout)
    assert (told["cells"], told["columns"], told["years"]) == (8, 9, [2001, 2006])
    assert [row["step"] for row in told["plan"]] == ["tem-spinup-cells", "tem-cells", "tem"]
    assert not (tmp_path / "run").exists()


def test_a_good_run_writes_five_files_and_prints_its_audit(good: tuple[Path, Any]) -> None:
    project, result = good
    out = project.parent / "run"
    assert sorted(p.name for p in out.iterdir()) == sorted([*world.FIVE, "manifest.json", "work"])
    for name in world.FIVE:
        assert str(out / name) in result.stdout
    audit = json.loads((out / "tem-audit.json").read_text())
    assert audit["columns"] == 9
    assert audit["years"] == [2001, 2006]
    assert set(audit["closure"]) == {"carbon", "nitrogen", "water", "heat"}
    for name, value in audit["closure"].items():
        assert 0 <= value < 1e-10
        assert f"{name:9s} {value:.1e}" in result.stdout
    assert "soil heat stood still in 0 of 9 columns, after up to 20 years" in result.stdout
    assert "pools stood still in" in result.stdout


def test_progress_and_signs_of_life(good: tuple[Path, Any]) -> None:
    lines = good[1].stderr.splitlines()
    assert sum(line.startswith("[") for line in lines) == 11
    assert any(line.startswith("[11/11] tem/") for line in lines)
    for said in ("soil heat: 0 of 3 columns still", "equilibrium:", "spin-up: year 1 of 2", "year 2001 of"):
        assert sum(said in line for line in lines) == 3


def test_json_is_one_document_and_a_second_run_makes_nothing(good: tuple[Path, Any]) -> None:
    project, _ = good
    result = run(project, "--json")
    told = json.loads(result.stdout)
    assert told["audit"] == json.loads((project.parent / "run" / "tem-audit.json").read_text())
    assert sorted(Path(p).name for p in told["published"]) == sorted(world.FIVE)
    assert "1 of 9 cells are ice and are left out" in told["notes"]
    assert "[11/11] tem/audit cached" in result.stderr


def test_results_that_are_no_numbers_fail_the_run(tmp_path: Path) -> None:
    project = world.project(world.files(tmp_path), parameters={"boreal_forest": {"cfall": -1e3}})
    result = run(project, code=1)
    assert "units failed" in result.stderr
    assert "boreal_forest at " in result.stderr
    assert "Check the climate and the parameters" in result.stderr
    assert [p.name for p in (tmp_path / "run").glob("tem-*")] == []
