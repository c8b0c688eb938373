"""`talik tem calibrate` before anything runs: what it will fit, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from talik.cli.tem import app

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
