"""`talik demo`: the published budget, and a whole project on a made-up world."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import talik as package
from talik.cli import app
from talik.files import read_json
from talik.osse.demo import told, write_project
from talik.workflow import load_project, plan_project, verify


def here(*args: str) -> Result:
    """In this process: quick, for what needs no process of its own."""
    return CliRunner().invoke(app, list(args))


def talik(*args: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    held = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-m", "talik", *args],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**held, "NO_COLOR": "1", "PYTHONPATH": str(Path(package.__file__).parents[1]), **environment},
        check=False,
        timeout=1800,
    )


def test_the_published_budget_and_reports(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = talik("demo", "--published", "--out", "a", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "-29 (-708, 455)" in first.stdout
    assert (tmp_path / "a/figures/budget_bars.png").stat().st_size > 10_000
    assert "done" in first.stderr
    assert not (tmp_path / "a/project.yaml").exists()
    assert "budget/budget cached" in here("demo", "--published", "--out", "a").stderr
    page = here("report", "a/budget.json", "--out", "b.html")
    assert page.exit_code == 0, page.output
    assert (tmp_path / "b.html").stat().st_size > 100_000
    (tmp_path / "p.yaml").write_text(
        "talik: 1\nname: p\nbudget: {horizon: 20, draws: 2000}\nreport: {figures: false}\n"
    )
    project = here("report", "p.yaml", "--out", "c.html")
    assert project.exit_code == 0, project.output
    assert "GWP-20" in (tmp_path / "c.html").read_text()
    assert here("report", "p.yaml", "--out", "c.html", "--resume").exit_code == 0


def test_another_seed_in_the_same_folder_is_refused_before_anything_runs(tmp_path):
    write_project(tmp_path, 1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(before) == {"project.yaml", "recipes.yaml"}
    done = here("demo", "--out", str(tmp_path), "--seed", "2")
    assert done.exit_code == 2
    assert "is not the demo with seed 2" in done.stderr
    assert f"talik run {tmp_path / 'project.yaml'}" in " ".join(done.stderr.split())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_project_file_of_the_demo_is_one(tmp_path):
    project = load_project(write_project(tmp_path, 7))
    assert project.base.seed == 7
    assert list(project.sections)[:2] == ["world", "upscaling"]
    assert {
        "tem",
        "fusion",
        "inventory",
        "ensemble",
        "compare",
        "budget",
        "trends",
        "truth",
        "report",
    } <= set(project.sections)


ROW = {
    "approach": "upscaling", "name": "nee", "region": "48-84N", "variable": "nee", "mean": -810.2, "low": -1200.4,
    "high": -400.6, "truth": -777.0, "note": "", "error": -33.2, "inside": True,
}  # fmt: skip
POST = {
    "post": "bottom_up.natural", "gas": "CH4", "approach": "derived", "mean": 21.3, "low": 15.0, "high": 17.0,
    "truth": 20.0, "whole": 20.0, "error": 1.3, "inside": False, "covers": [],
}  # fmt: skip
PIXEL = {
    "approach": "fusion", "pixel": "wet_tundra", "quantity": "nee", "units": "g m-2 year-1", "mean": -31.0,
    "low": -50.0, "high": -10.0, "truth": -20.0, "inside": True, "converged": False, "quality": "map_quality",
}  # fmt: skip


def test_the_end_says_where_each_approach_stands(tmp_path):
    truth = {
        "main_region": "48-84N",
        "variable": "nee",
        "period": [2001, 2015],
        "approaches": [
            ROW,
            {**ROW, "approach": "process", "name": "TEM", "low": None, "high": None, "inside": None},
            {**ROW, "approach": "towers", "name": "towers", "inside": False},
            {**ROW, "region": "alaska", "mean": 12345.0},
            {**ROW, "variable": "gpp", "mean": 54321.0},
        ],
        "posts": [{**POST, "post": "inventory.all", "inside": True}],
        "budget": [POST, {**POST, "post": "total.natural", "mean": 77777.0}],
        "pixels": [PIXEL],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    text = told(tmp_path)
    assert text.isascii()
    lines = [line.split() for line in text.splitlines()]
    assert ["upscaling", "-810", "(-1200,", "-401)", "-777", "yes"] in lines
    assert ["process,", "TEM", "-810", "none", "-777", "-"] in lines
    assert ["towers", "-810", "(-1200,", "-401)", "-777", "NO"] in lines
    assert ["wet_tundra", "nee", "(map", "quality)", "-31", "(-50,", "-10)", "-20", "yes"] in lines
    assert ["inventory.all", "CH4", "21", "(15,", "17)", "20", "yes"] in lines
    assert ["bottom_up.natural", "CH4", "21", "(15,", "17)", "20", "NO"] in lines
    assert "A made-up Arctic, 2001-2015, 48-84N" in text
    for other in ("12345", "54321", "77777"):
        assert other not in text
    truth |= {"posts": [], "budget": [], "pixels": []}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    assert "Budget" not in told(tmp_path)
    assert "pixels" not in told(tmp_path)


@pytest.fixture
def finished_demo() -> Path:
    """The folder of a finished `talik demo`, which .ci/run makes from the wheel."""
    if (folder := os.environ.get("TALIK_DEMO")) is None:
        assert os.environ.get("CI") != "true", "TALIK_DEMO is not set: .ci/run sets it after its demo"
        pytest.skip("set TALIK_DEMO to the folder of a finished `talik demo`; .ci/run does")
    return Path(folder)


@pytest.mark.science
def test_a_project_has_the_same_keys_wherever_it_lies(finished_demo, tmp_path):
    """Else a moved project ran again, and its page, which tells the keys, had other bytes."""
    beside = shutil.ignore_patterns("work")
    elsewhere = tmp_path / "moved"
    shutil.copytree(
        finished_demo, elsewhere, ignore=beside, copy_function=shutil.copyfile
    )  # with other times
    keys = [
        {step.step.name: step.key for step in plan_project(load_project(folder / "project.yaml")).steps}
        for folder in (finished_demo, elsewhere)
    ]
    assert len(keys[0]) > 40
    assert keys[0] == keys[1]


@pytest.mark.science
def test_the_whole_demo_holds_what_it_says(finished_demo):
    """One world says nothing of coverage."""
    out = finished_demo
    # every file that the run says it published
    manifest = read_json(out / "manifest.json")
    units = [unit for step in manifest["steps"] for unit in step["units"]]
    assert {unit["status"] for unit in units} <= {"done", "cached"}
    assert verify(out) == []
    for name in (
        "project.yaml", "recipes.yaml", "report.html", "report.ipynb", "truth.json", "budget.json", "compare.json",
        "upscaling.json", "upscaling-fluxes.nc", "tem-fluxes.nc", "trends.json", "world/truth.nc", "world/truth.csv",
    ):  # fmt: skip
        assert (out / name).stat().st_size > 0, name

    truth = read_json(out / "truth.json")
    rows = [row for row in truth["approaches"] if row["variable"] == "nee"]
    count = {
        region: len({r["approach"] for r in rows if r["region"] == region}) for region in truth["regions"]
    }
    main = [row for row in rows if count[row["region"]] == max(count.values())]
    assert {row["approach"] for row in main} == {"towers", "upscaling", "process", "inversions"}
    for row in truth["approaches"]:
        assert math.isfinite(row["mean"])
        assert math.isfinite(row["truth"])
        if row["low"] is not None:
            assert row["low"] <= row["mean"] <= row["high"]
            assert row["inside"] == (row["low"] <= row["truth"] <= row["high"])
    assert {row["gas"] for row in truth["budget"]} >= {"CO2", "CH4"}
    assert len(truth["summary"]) >= 4
    assert len(truth["pixels"]) == 6

    page = (out / "report.html").read_text(encoding="utf-8")
    headings = " ".join(
        re.sub("<[^>]+>", "", h).lower() for h in re.findall(r"<h[123][^>]*>(.*?)</h[123]>", page, re.S)
    )
    for word in (
        "in short", "maps", "trends", "against the truth", "bottom-up against top-down", "validation", "upscaling",
        "fusion", "process model", "audit",
    ):  # fmt: skip
        assert word in headings, headings
