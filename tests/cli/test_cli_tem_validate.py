"""`talik tem validate` on a made-up calibration of a real tower."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from talik.cli.tem import app
from talik.tem.calibration import ground
from talik.tem.calibration.validation import scores_by_site

runner = CliRunner()


def calibrated(folder: Path, shared: Path) -> Path:
    """A project, and what a calibration of Atqasuk could have left."""
    data = shared / "data"
    tables = [
        str(data / "fluxnet2015-cardamom/site_months.parquet"),
        str(data / "abcflux-v2-apr2024/site_months.parquet"),
    ]
    section = {
        "data": {
            "drivers": tables[0],
            "air": tables[1],
            "soil": str(data / "hwsd-topsoil-05deg/hwsd_topsoil_40-90N_0.5deg.nc"),
            "years": [2001, 2016],
            "tables": tables,
        },
        "sites": ["US-Atq"],
    }
    path = folder / "towers.yaml"
    path.write_text(yaml.safe_dump({"talik": 1, "name": "towers", "output": "out", "calibration": section}))
    observed = np.array([-20.0, -40.0, -30.0, -5.0, 8.0, -22.0, -37.0, -33.0])
    months = pd.DataFrame(
        {
            "site_id": "US-Atq",
            "year": [2004] * 5 + [2007] * 3,
            "month": [5, 6, 7, 8, 9, 6, 7, 8],
            "variable": "nee",
            "depth_m": np.nan,
            "value": observed,
            "sigma": 5.0,
            "source": "made",
            "use": ["calibration"] * 5 + ["left_out"] * 3,
            "before": 2.0 * observed,
            "after": observed + 1.0,
        }
    )
    out = folder / "out"
    out.mkdir()
    months.to_csv(out / "calibration-months.csv", index=False)
    community = {"parameters": {}, "organic_soil": {}, "stages": [], "notes": ["US-Atq: made up"]}
    held = {"wet_tundra": {**community, "scores": scores_by_site(months.to_csv(index=False))}}
    (out / "calibration.json").write_text(json.dumps(held), encoding="utf-8")
    (out / "calibrated.yaml").write_text("parameters: {}\norganic_soil: {}\n", encoding="utf-8")
    return path


def test_a_calibration_becomes_a_page_scores_and_figures(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the model itself is tested elsewhere; compiling it takes minutes
    monkeypatch.setattr(
        ground, "with_model", lambda rows, *_: rows.assign(before=0.5, after=0.4)[list(ground.COLUMNS)]
    )
    path = calibrated(tmp_path, shared)
    folder = shared / "data/permafrost-cci-validation"
    result = runner.invoke(app, ["validate", str(path), "--observed", str(folder), "--json"])
    assert result.exit_code == 0, result.output
    told, out = json.loads(result.stdout), tmp_path / "out/validation"
    assert {Path(p).relative_to(out).as_posix() for p in told["written"]} == {
        *("validation.html", "validation.json", "scores.csv", "ground.csv"),
        *(f"figures/{name}.{kind}" for name in ("taylor", "season-US-Atq") for kind in ("png", "svg")),
    }
    assert [row["reached"] for row in told["levels"]] == [True, True]
    assert any("air temperature measured in 109 of 192 months" in note for note in told["notes"]["US-Atq"])
    assert "made up" in told["notes"]["US-Atq"]
    assert json.loads((out / "validation.json").read_text("utf-8"))["scores"] == told["scores"]
    scores = pd.read_csv(out / "scores.csv").set_index(["variable", "use", "run"])
    assert scores.loc[("nep", "left_out", "after"), "mean_bias"] == -1.0
    beside = pd.read_csv(out / "ground.csv")
    assert (set(beside["site_id"]), set(beside["variable"])) == ({"US-Atq"}, {"active_layer"})
    bias = scores.loc[("active_layer", "ground", "after"), "mean_bias"]
    assert bias == pytest.approx(0.4 - beside["value"].mean(), rel=1e-4)
    assert "U3" in (out / "validation.html").read_text("utf-8")


def test_without_a_calibration_it_says_what_to_run(shared: Path, tmp_path: Path) -> None:
    path = calibrated(tmp_path, shared)
    (tmp_path / "out/calibration.json").unlink()
    result = runner.invoke(app, ["validate", str(path)])
    assert result.exit_code == 2
    assert "no calibration.json. Run `talik tem calibrate`" in result.stderr.replace("\n", " ")


def test_months_of_other_towers_are_refused(shared: Path, tmp_path: Path) -> None:
    path = calibrated(tmp_path, shared)
    path.write_text(path.read_text().replace("- US-Atq", "- US-Ivo"))
    result = runner.invoke(app, ["validate", str(path)])
    assert result.exit_code == 2
    assert "has months of US-Atq, which the project does not name" in result.stderr.replace("\n", " ")


def test_a_project_without_the_section_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bare.yaml"
    path.write_text("talik: 1\nname: bare\noutput: out\n")
    result = runner.invoke(app, ["validate", str(path)])
    assert result.exit_code == 2
    assert "has no section calibration" in result.stderr
