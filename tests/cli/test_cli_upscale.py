"""`talik upscale` as a user meets it: tables in, scores, a model, its explanation; and what bad input says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from talik.cli import app

runner = CliRunner()
QUICK = ["--set", "trees=30"]


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four sites with three years each in the generic schema; the flux follows temperature and light."""
    rng = np.random.default_rng(0)
    rows = []
    for k in range(24):
        lat, lon, own = rng.uniform(56, 74), rng.uniform(-170, 170), rng.normal(0, 3)
        for year in (2010, 2011, 2012):
            for month in range(1, 13):
                season = -np.cos((month - 0.5) / 12 * 2 * np.pi)
                temperature = 272 + 15 * season - 0.4 * (lat - 60) + rng.normal(0, 1)
                light = max(5.0, 150 + 140 * season + rng.normal(0, 10))
                nee = own + 8 - 0.25 * max(0.0, light - 60) * (temperature > 273) + rng.normal(0, 4)
                rows.append(
                    {
                        "site_id": f"S{k:02d}",
                        "lat": round(lat, 3),
                        "lon": round(lon, 3),
                        "biome": "Boreal" if lat < 65 else "Tundra",
                        "flux_method": "EC",
                        "year": year,
                        "month": month,
                        "nee": round(nee, 3),
                        "srad [W m-2]": round(light, 2),
                        "soil_temperature [degC]": round(temperature - 273.15, 3),
                        "disturbance": "Fire" if k == 3 else "No",
                    }
                )
    path = tmp_path_factory.mktemp("sites") / "sites.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def run(*args: object, code: int = 0) -> str:
    result = runner.invoke(app, ["upscale", *map(str, args)])
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.stderr


def test_evaluate_json_holds_what_the_contract_says(sites: Path) -> None:
    found = json.loads(run("evaluate", sites, "--flux", "nee", "--json", *QUICK))
    assert found["n_rows"] == 24 * 36
    assert found["n_sites"] == 24
    assert {"r2_cor", "nse", "rmse", "mae", "mbe"} <= set(found["pooled"])
    assert {"r2_cor", "rmse"} <= set(found["fold_mean"])
    assert {"month", "biome", "disturbance", "flux_method"} <= set(found["groups"])
    assert set(found["groups"]["disturbance"]) == {"Fire", "none"}
    assert found["pooled"]["r2_cor"] > 0.7
    assert found["coverage"]["0.8"]["all"]["sites"] == pytest.approx(0.8, abs=0.12)
    assert found["seconds"] > 0
    assert any("soil_temperature: degC to K" in note for note in found["notes"])


def test_threads_and_repeats_give_the_same_numbers(sites: Path) -> None:
    one, two = (
        json.loads(run("evaluate", sites, "--flux", "nee", "--json", "--threads", n, *QUICK)) for n in (1, 2)
    )
    for key in ("pooled", "fold_mean", "groups", "coverage", "skill"):
        assert one[key] == two[key]


@pytest.mark.parametrize("cv", ["cluster", "knndm", "year", "forward"])
def test_every_design(sites: Path, cv: str) -> None:
    found = json.loads(
        run(
            "evaluate",
            sites,
            "--flux",
            "nee",
            "--cv",
            cv,
            "--folds",
            3,
            "--distance-km",
            300,
            "--json",
            *QUICK,
        )
    )
    assert found["design"] == cv
    assert found["design_note"]
    assert found["n_rows"] == (24 * 24 if cv == "forward" else 24 * 36)


@pytest.mark.parametrize(
    "learner", ["extra-trees", "quantile-forest", "boosting", "gaussian-process", "stack"]
)
def test_every_learner(sites: Path, learner: str) -> None:
    settings = {
        "stack": [
            "--set",
            'forest={"trees": 20}',
            "--set",
            'extra_trees={"trees": 20}',
            "--set",
            "inner_trees=10",
        ],
        "boosting": ["--set", "rounds=50"],
        "gaussian-process": [],
    }.get(learner, QUICK)
    found = json.loads(
        run(
            "evaluate",
            sites,
            "--flux",
            "nee",
            "--learner",
            learner,
            "--cv",
            "knndm",
            "--folds",
            4,
            "--json",
            *settings,
        )
    )
    assert found["learner"] == learner
    assert found["pooled"]["nse"] > 0.6


def test_any_table_with_named_columns(sites: Path, tmp_path: Path) -> None:
    table = pd.read_csv(sites).rename(columns={"nee": "flux", "site_id": "tower", "srad [W m-2]": "light"})
    table[["tower", "month", "flux", "light"]].to_parquet(tmp_path / "mine.parquet")
    text = run(
        "evaluate", tmp_path / "mine.parquet", "--target", "flux", "--group", "tower", "--predictors", "light,month",
        "--out", tmp_path / "out", *QUICK,
    )  # fmt: skip
    assert "flux" in text
    assert "24 sites" in text
    held = pd.read_parquet(tmp_path / "out" / "held_out.parquet")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    rmse = float(np.sqrt(np.mean((held.predicted - held.observed) ** 2)))
    assert summary["pooled"]["rmse"] == pytest.approx(rmse)


def test_train_predict_explain(sites: Path, tmp_path: Path) -> None:
    from talik.upscaling.model import Model

    model = tmp_path / "nee.talik"
    run("train", sites, "--flux", "nee", "-o", model, "--members", 2, "--bootstrap", "rows", *QUICK)
    made = Model.load(model)
    assert [p.name for p in tmp_path.iterdir()] == ["nee.talik"]
    assert made.facts["metrics"]["pooled"]["r2_cor"] > 0.7
    table = pd.DataFrame(
        {"month": [7, 1], "srad": [280.0, 8.0], "soil_temperature": [284.0, 258.0], "biome": "Boreal"}
    )
    found = made.intervals(table)
    assert found["predicted"].iloc[0] < -20 < found["predicted"].iloc[1]
    assert (found["low_80"] < found["predicted"]).all()
    assert made.predict_members(table).shape == (2, 2)
    assert made.where(table)["inside"].all()
    explained = json.loads(
        run("explain", model, "--repeats", 3, "--sample", 20, "--json", "--out", tmp_path / "figures")
    )
    assert set(explained["importance"]) == {"month", "srad", "soil_temperature"}
    assert next(iter(explained["importance"])) != "month"
    assert (tmp_path / "figures" / "importance.png").stat().st_size > 5000
    assert "RMSE increase" in run("explain", model, "--repeats", 2, "--sample", 10)


def test_tuning_reports_what_it_tried(sites: Path) -> None:
    found = json.loads(run("evaluate", sites, "--flux", "nee", "--mtry", "tune", "--fast", "--json", *QUICK))
    assert [t["mtry"] for t in found["mtry_tried"]] == [2, 3]
    best = min(found["mtry_tried"], key=lambda t: t["fold_mean"])
    assert found["settings"]["mtry"] == best["mtry"]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--flux", "nee", "--learner", "oracle"], "choose one of forest"),
        (["--flux", "gpp"], "the table has nee"),
        ([], "name what to learn"),
        (["--flux", "nee", "--mtry", "99"], "at most that"),
        (["--flux", "nee", "--mtry", "few"], "whole number or tune"),
        (["--flux", "nee", "--set", "tree=5"], "trees, mtry"),
        (["--flux", "nee", "--filter", "nonsense"], "choose one of published"),
        (["--target", "nee"], "needs --group"),
        (["--target", "nee", "--group", "site_id", "--predictors", "heat"], "heat not found"),
        (["--flux", "nee", "--learner", "boosting", "--fast"], "fast route"),
        (["--flux", "nee", "--grid", "nothing.nc:tas"], "nothing.nc"),
        (["--flux", "nee", "--cv", "none"], "evaluates nothing"),
    ],
)
def test_bad_input_says_what_to_do(sites: Path, args: list[str], says: str) -> None:
    message = run("evaluate", sites, *args, code=2)
    assert says in message
    assert "Traceback" not in message


def test_a_file_that_is_no_model(sites: Path, tmp_path: Path) -> None:
    assert "not a whole talik model file" in run("explain", sites, code=2)
    model = tmp_path / "m.talik"
    run("train", sites, "--flux", "nee", "--cv", "none", "--without-rows", "-o", model, *QUICK)
    assert "without its training rows" in run("explain", model, code=2)
    model.write_bytes(model.read_bytes()[:-200])
    assert "not a whole talik model file" in run("explain", model, code=2)
