"""`talik tem calibrate`: what it will fit, what it refuses, and a short calibration to its end."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from talik.cli.tem import app
from talik.tem.calibration.members import read_draws

runner = CliRunner()


def project(folder: Path, shared: Path, **changes: Any) -> Path:
    data = shared / "data"
    tables = [
        str(data / "fluxnet2015-cardamom/site_months.parquet"),
        str(data / "abcflux-v2-apr2024/site_months.parquet"),
    ]
    section = {
        "data": {
            "drivers": tables[0],
            "air": tables[1],
            "climatology": str(data / "climatology-biome4-05deg/biome4_climatology_40-90N_0.5deg.nc"),
            "soil": str(data / "hwsd-topsoil-05deg/hwsd_topsoil_40-90N_0.5deg.nc"),
            "years": [2001, 2016],
            "tables": tables,
        },
        **changes,
    }
    path = folder / "towers.yaml"
    path.write_text(yaml.safe_dump({"talik": 1, "name": "towers", "output": "out", "calibration": section}))
    return path


def test_a_dry_run_says_what_is_fitted_to_what_and_writes_nothing(shared: Path, tmp_path: Path) -> None:
    path = project(tmp_path, shared)
    result = runner.invoke(app, ["calibrate", str(path), "--sites", "US-Atq", "--dry-run", "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["towers"], told["communities"]) == (["US-Atq"], ["wet_tundra"])
    assert told["months"] == {"US-Atq gpp": 14, "US-Atq reco": 14, "US-Atq nee": 20, "US-Atq tsoil": 36}
    assert [row["units"] for row in told["plan"]] == [1, 4]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "options", "match"),
    [
        ({}, ["--sites", "US-Xyz"], "no tower US-Xyz; choose from: US-Prr"),
        ({}, ["--sites", "US-Ivo, CN-Dan"], "none of US-Ivo, CN-Dan has years to calibrate on"),
        (
            {"stages": [{"name": "a", "free": {"cmx": {}}, "variables": ["gpp"]}]},
            [],
            "wet_tundra.cmx: no such parameter|boreal_forest.cmx: no such parameter",
        ),
        ({"stages": [{"name": "a", "free": {"cmax": {}}}]}, [], "compares with nothing"),
        (
            {"stages": [{"name": "a", "free": {"cmax": {}}, "balance": {"leaf": 0.1}}]},
            [],
            "'leaf' is unknown",
        ),
        (
            {"stages": [{"name": "a", "free": {"cmax": {"limits": [1.0, 2.0]}}, "variables": ["gpp"]}]},
            [],
            "outside its limits 1..2",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(
    shared: Path, tmp_path: Path, changes: dict[str, Any], options: list[str], match: str
) -> None:
    result = runner.invoke(app, ["calibrate", str(project(tmp_path, shared, **changes)), *options])
    assert result.exit_code == 2
    assert re.search(match, result.stderr.replace("\n", " ")), result.stderr
    assert not (tmp_path / "out").exists()


SHORT = {
    "stages": [
        {
            "name": "plants",
            "free": {"cmax": {}, "krb": {}},
            "variables": ["gpp", "nee"],
            "balance": {"C_V": 0.5},
        }
    ],
    "model": {"spin_up": {"years": 4}, "soil_heat": {"years": 100}},
    "starts": 2,
    "search": {"iterations": 3},
    "sampler": {"chains": 2, "warmup": 5, "draws": 6},
    "draws": 12,
}
COMMAND = ("--sites", "US-Atq", "--workers", "1")


@pytest.mark.science
def test_a_tower_from_tables_to_parameters_draws_and_scores(shared: Path, tmp_path: Path) -> None:
    path = project(tmp_path, shared, **SHORT)
    result = runner.invoke(app, ["calibrate", str(path), *COMMAND, "--method", "nuts"])
    assert result.exit_code == 0, result.output
    out = tmp_path / "out"
    keys = yaml.safe_load((out / "calibrated.yaml").read_text())
    told = json.loads((out / "calibration.json").read_text())["wet_tundra"]
    stage = told["stages"][0]
    assert keys["parameters"]["wet_tundra"]["krb"] == stage["found"]["wet_tundra.krb"]
    best = min(one["sum_of_squares"] for one in stage["starts"])
    before = float(re.search(r"sum of squares ([\d.]+) to", stage["told"])[1])
    assert best < 0.7 * before
    assert {row["name"] for row in stage["nuts"]["coordinates"]} >= {"wet_tundra.cmax", "ln scale of nee"}
    assert not stage["nuts"]["trusted"]  # six draws cannot be
    months = pd.read_csv(out / "calibration-months.csv")
    assert set(months["use"]) == {"calibration", "left_out"}
    assert (months["low"] < months["high"]).all()
    assert np.isfinite(months[["before", "after"]].to_numpy()).all()
    # soil temperature is that of the same ground
    soil = months[months["variable"] == "tsoil"]
    np.testing.assert_allclose(soil["before"], soil["after"])
    draws = read_draws(out / "calibration-draws.csv")
    assert draws.shape == (12, 2)
    held = {name: (out / name).read_bytes() for name in ("calibrated.yaml", "calibration-months.csv")}
    again = runner.invoke(app, ["calibrate", str(path), *COMMAND, "--method", "nuts", "--resume"])
    assert again.exit_code == 0, again.output
    assert held == {name: (out / name).read_bytes() for name in held}


@pytest.mark.science
def test_a_run_that_cannot_be_leaves_nothing_half_written(shared: Path, tmp_path: Path) -> None:
    """Plants that lose all they have every month find no equilibrium."""
    changes = {**SHORT["model"], "parameters": {"wet_tundra": {"cfall": 50.0}}}
    path = project(tmp_path, shared, **{**SHORT, "model": changes})
    result = runner.invoke(app, ["calibrate", str(path), *COMMAND])
    assert result.exit_code == 1
    assert "no equilibrium" in result.stderr.replace("\n", " ")
    assert not list((tmp_path / "out").glob("calibr*"))
