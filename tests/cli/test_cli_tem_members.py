"""`talik tem members` and `talik tem adjust` as a user meets them, on the small world."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import yaml
from typer.testing import CliRunner

from talik.cli import app
from talik.tem.communities import COMMUNITIES, TABLE

_spec = importlib.util.spec_from_file_location("tem_world", Path(__file__).parents[1] / "tem" / "world.py")
world = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(world)
runner = CliRunner()

KDB = {name: v for row in TABLE if row.name == "kdb" for name, v in zip(COMMUNITIES, row.values, strict=True)}
DRAWS = 4


@pytest.fixture(scope="module", autouse=True)
def compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compiled functions go to a folder of the test session, not to the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = world.files(tmp_path_factory.mktemp("members"))
    rows = [
        f"{d},{name},kdb,{KDB[name] * (1.0 + d)}"
        for d in range(DRAWS)
        for name in ("wet_tundra", "boreal_forest")
    ]
    (made / "draws.csv").write_text("\n".join(["draw,community,parameter,value", *rows]) + "\n")
    return made


def tem(command: str, project: Path, *options: str, code: int = 0) -> Any:
    result = runner.invoke(app, ["tem", command, str(project), *options])
    assert result.exit_code == code, result.output
    return result


def two_cells(folder: Path, name: str, **changes: Any) -> Path:
    """A project of wet tundra and of forest with wet tundra, in one block of three columns."""
    given = {"cells": [[66.25, -150.75], [66.75, -150.25]], **changes}
    return world.project(folder, name, **given)


@pytest.fixture(scope="module")
def made(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Two members of four draws, and what the command printed."""
    project = two_cells(folder, "made")
    options = ("--draws", str(folder / "draws.csv"), "--count", "2", "--json")
    return project, json.loads(tem("members", project, *options).stdout)


def test_a_dry_run_says_what_would_run_and_writes_nothing(folder: Path) -> None:
    project = two_cells(folder, "dry")
    options = ("--draws", str(folder / "draws.csv"), "--dry-run", "--json")
    told = json.loads(tem("members", project, *options).stdout)
    assert [(row["member"], row["draw"]) for row in told["members"]] == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert sorted(told["drawn"]) == ["boreal_forest", "wet_tundra"]
    assert told["not_drawn"] == []
    assert not (folder / "dry").exists()


def test_members_differ_and_the_sums_are_those_of_their_files(folder: Path, made: tuple[Path, Any]) -> None:
    out = folder / "made"
    with xr.open_dataset(out / "tem-members.nc") as sums:
        assert sums["draw"].to_numpy().tolist() == [0, 2]
        for i in range(2):
            of = out / "members" / f"{i:03d}"
            with xr.open_dataset(of / "tem-fluxes.nc") as fluxes, xr.open_dataset(of / "tem-land.nc") as land:
                length = np.diff(fluxes["time_bnds"].to_numpy(), axis=1)[:, 0] / np.timedelta64(1, "s")
                kg = (fluxes["rh"].to_numpy() * length[:, None] * land["cell_area"].to_numpy()).sum(axis=1)
                np.testing.assert_allclose(sums["rh"][i], kg.reshape(-1, 12).sum(axis=1) * 1e-12, rtol=1e-6)
                december = (land["cSoil"].to_numpy() * land["cell_area"].to_numpy()).sum(axis=1)[11::12]
                np.testing.assert_allclose(sums["cSoilActive"][i], december * 1e-12, rtol=1e-6)
        # three times the rate of decomposition leaves less carbon in the soil
        assert (sums["cSoilActive"][1] < 0.95 * sums["cSoilActive"][0]).all()
        assert sums["rh"].attrs["positive"] == "up"
        assert sums["rh"].attrs["coverage"] == 1.0
    _, told = made
    assert told["found"]["sums"]["rh"]["units"] == "Pg yr-1"
    assert json.loads((out / "tem-members.json").read_text()) == told["found"]


def test_a_member_is_the_run_with_its_parameters(folder: Path, made: tuple[Path, Any]) -> None:
    drawn = {name: {"kdb": KDB[name] * 3.0} for name in ("wet_tundra", "boreal_forest")}
    tem("run", two_cells(folder, "by-hand", parameters=drawn))
    for name in ("tem-fluxes.nc", "tem-land.nc"):
        with (
            xr.open_dataset(folder / "by-hand" / name) as one,
            xr.open_dataset(folder / "made" / "members" / "001" / name) as other,
        ):
            xr.testing.assert_equal(one, other)


def test_what_is_complete_is_not_run_again(folder: Path, made: tuple[Path, Any]) -> None:
    project, first = made
    options = ("--draws", str(folder / "draws.csv"), "--count", "2", "--json")
    kept = folder / "made" / "members" / "000" / "tem-audit.json"
    cells = next((folder / "made" / "members" / "001" / "work").glob("tem-cells-*")).glob("*.nc")
    for path in cells:
        path.unlink()
    before = {p: p.stat().st_mtime_ns for p in (kept.parent / "work").rglob("*.nc")}
    again = json.loads(tem("members", project, *options, "--resume").stdout)
    assert [row["todo"] for row in again["members"]] == [0, 1]
    assert again["found"] == first["found"]
    assert before == {p: p.stat().st_mtime_ns for p in (kept.parent / "work").rglob("*.nc")}
    shown = tem("members", project, *options[:-1])
    assert "2 members, 2 complete, about 0 s of work" in shown.stderr
    assert "2 members: median (5 % to 95 %)\ngpp, Pg yr-1 of C, 100 % of the area" in shown.stdout


def test_a_member_that_fails_leaves_the_others_and_no_sums(folder: Path) -> None:
    rows = [
        "draw,community,parameter,value",
        "0,wet_tundra,kdb,1e300",
        f"1,wet_tundra,kdb,{KDB['wet_tundra']}",
    ]
    (folder / "huge.csv").write_text("\n".join(rows) + "\n")
    result = tem("members", two_cells(folder, "failing"), "--draws", str(folder / "huge.csv"), code=1)
    assert "failed tem-cells/cells-000000-000001" in result.stderr
    assert not (folder / "failing" / "members" / "000" / "tem-land.nc").exists()
    assert (folder / "failing" / "members" / "001" / "tem-land.nc").exists()
    assert not list((folder / "failing").glob("tem-members*"))


def test_resume_begins_nothing(folder: Path) -> None:
    options = ("--draws", str(folder / "draws.csv"), "--resume")
    assert "holds no run" in tem("members", two_cells(folder, "new"), *options, code=2).stderr


@pytest.mark.parametrize(
    ("changes", "options", "match"),
    [
        ({}, ["--count", "5"], "5 members of 4 draws"),
        ({}, ["--period", "2005"], "expected FIRST-LAST"),
        ({}, ["--period", "1990-2005"], "period 1990-2005: the run is 2001..2006"),
        ({"restart": "other.nc"}, [], "Leave restart out"),
        ({"land": {"files": ["land.nc"], "community": "grassland"}}, [], "the run has grassland"),
        (
            {"soil_heat": {"layers": "legacy"}, "organic_soil": {"wet_tundra": {"moss_m": 0.1}}},
            [],
            "legacy layers",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(
    folder: Path, changes: dict[str, Any], options: list[str], match: str
) -> None:
    project = two_cells(folder, "refused", **changes)
    result = tem("members", project, "--draws", str(folder / "draws.csv"), *options, code=2)
    assert match in result.stderr.replace("\n", " ")
    assert not (folder / "refused").exists()


def test_a_draw_that_the_project_cannot_take_is_named(folder: Path) -> None:
    rows = ["draw,community,parameter,value", "0,wet_tundra,moss_m,0.1", "1,wet_tundra,moss_m,-0.1"]
    (folder / "negative.csv").write_text("\n".join(rows) + "\n")
    result = tem("members", two_cells(folder, "refused"), "--draws", str(folder / "negative.csv"), code=2)
    assert "negative.csv: draw 1: tem.organic_soil.wet_tundra.moss_m is -0.1" in result.stderr


def test_adjust_writes_parameters_with_which_the_equilibrium_has_the_carbon(folder: Path) -> None:
    project = two_cells(folder, "adjusted")
    told = json.loads(tem("adjust", project, "--soil-carbon", "9.0", "--within", "0.001", "--json").stdout)
    np.testing.assert_allclose(told["after"], 9.0, rtol=1e-3)
    held = yaml.safe_load((folder / "adjusted" / "adjusted.yaml").read_text())
    assert set(held) == {"parameters"}
    for name in ("wet_tundra", "boreal_forest"):
        np.testing.assert_allclose(held["parameters"][name]["kdb"], KDB[name] * told["factor"])
    again = two_cells(folder, "again", parameters=held["parameters"])
    found = json.loads(tem("adjust", again, "--soil-carbon", "9.0", "--within", "0.001", "--json").stdout)
    np.testing.assert_allclose(found["before"], told["after"], rtol=1e-9)
    assert found["factor"] == 1.0


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ([], "give --soil-carbon alone, or --from with --respired"),
        (["--soil-carbon", "9", "--from", "."], "give --soil-carbon alone"),
        (["--respired", "warm=5"], "give --soil-carbon alone"),
        (["--from", ".", "--respired", "warm"], "expected SCENARIO=PG"),
        (["--from", ".", "--respired", "warm=-1"], "expected SCENARIO=PG"),
        (["--from", ".", "--respired", "warm=1"], "has no section permafrost"),
        (["--soil-carbon", "-1"], "expected a stock above 0"),
        (["--soil-carbon", "9", "--within", "2"], "expected a stock above 0 and a share between 0 and 1"),
    ],
)
def test_targets_that_cannot_be_are_refused(folder: Path, options: list[str], match: str) -> None:
    result = tem("adjust", two_cells(folder, "refused"), *options, code=2)
    assert match in result.stderr.replace("\n", " ")
