"""`talik thaw` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import xarray as xr
from typer.testing import CliRunner

from talik.cli import app

runner = CliRunner()
FEW = ("--draws", "100", "--to", "2100")


def invoke(*args: object, code: int = 0) -> str:
    result = runner.invoke(app, [*map(str, args)])
    assert result.exit_code == code, result.output
    return result.output


def test_table_on_the_screen() -> None:
    told = invoke("thaw", "run", *FEW, "--forcing")
    assert (
        "Abrupt thaw, RCP8.5: all states, Tg C yr-1, positive to the atmosphere; 95 % limits of 100 draws"
        in told
    )
    assert "hillslopes" in told
    assert "19.3 (" in told
    assert "31.3 (" in told
    assert "radiative forcing of CH4 since 2000, end of 2099" in told
    assert "RCP4.5 were not published" in invoke("thaw", "run", *FEW, "--scenario", "rcp45")


def test_files(tmp_path: Path) -> None:
    out = tmp_path / "out"
    told = invoke("thaw", "run", *FEW, "--out", out, "--seed", 3, "--scope", "features")
    assert told.rstrip().endswith("thaw.nc, thaw-posts.csv, thaw.json")
    assert sorted(p.name for p in out.iterdir()) == ["thaw-posts.csv", "thaw.json", "thaw.nc"]
    with xr.open_dataset(out / "thaw.nc") as ds:
        assert ds["time"].dt.year.values[[0, -1]].tolist() == [1900, 2099]
        assert ds["time"].attrs["bounds"] == "time_bnds"
        assert ds.attrs["history"].count("talik thaw run") == 1
        assert ds["area"].attrs["units"] == "km2"
    found = json.loads((out / "thaw.json").read_text())
    assert (found["seed"], found["scope"], found["positive"]) == (3, "features", "up")
    budget = json.loads(invoke("budget", out / "thaw-posts.csv", "--json"))
    assert "inventory.abrupt_thaw_wetlands" in json.dumps(budget)


def test_same_seed_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    for name in ("a", "b"):
        invoke("thaw", "run", *FEW, "--out", tmp_path / name)
    for file in ("thaw.nc", "thaw-posts.csv", "thaw.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_json() -> None:
    found = json.loads(invoke("thaw", "run", *FEW, "--json", "--balance", "without_reburial", "--forcing"))
    organic = found["terrains"]["organic_lowlands"]
    assert organic["mean"]["2000-2020"]["ch4"]["mean"] == pytest.approx(19.05, abs=0.005)
    assert organic["area_km2"] == pytest.approx(1_415_300)
    assert organic["states_km2"]["boreal"]["young_lake"]["2020"] == pytest.approx(78_210, abs=0.5)
    assert len(found["posts"]) == 6
    assert set(found["forcing_w_m2"]) == {"co2", "ch4"}
    assert set(found["total"]) == {"2000-2020", "2000-2100"}


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(invoke("thaw", "table"))
    found = json.loads(invoke("thaw", "run", *FEW, "--terrains", path, "--json"))
    assert found["total"]["2000-2020"]["co2"]["mean"] == pytest.approx(31.30, abs=0.005)
    assert found["provenance"]["inputs"]["terrains"]["bytes"] == path.stat().st_size
    path.write_text(path.read_text().replace("area_km2: 896350", "area_km2: -1"))
    told = invoke("thaw", "run", "--terrains", path, code=2)
    assert "terrains.hillslopes.parts.hillslopes.states.undisturbed.area_km2" in told


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--scenario", "rcp26"), "scenario 'rcp26' is not in the table"),
        (("--to", "2001"), "expected a year from 2020 to 3000"),
        (("--draws", "5"), "5 draws are too few"),
        (("--balance", "x"), "balance 'x' is in no terrain"),
        (("--terrains", "nowhere.yaml"), "nowhere.yaml: no such file"),
    ],
)
def test_bad_input(args: tuple[str, ...], told: str) -> None:
    assert told in invoke("thaw", "run", *args, code=2)
