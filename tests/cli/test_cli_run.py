"""`talik run`, and `talik check` of a project, as a user meets them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from test_cli_check import BAD, GOOD
from typer.testing import CliRunner, Result

from talik.cli import app
from talik.workflow import load_project, plan_project

POSTS = """posts:
  - {id: lakes, gas: CH4, mean: 9.4, low: 4.5, high: 13.1, unit: Tg CH4-C yr-1, region: here, period: 2000-2020,
     approach: inventory, source: Table 1}
"""
BUDGET = "talik: 1\nname: small\nbudget: {draws: 1000}\nreport: {figures: false}\n"
INVENTORY = """talik: 1
name: chain
inventory:
  draws: 1000
  densities: {CO2: [published], CH4: [published], N2O: [published]}
"""


def call(*args: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in args], env={"NO_COLOR": "1", "COLUMNS": "130"})


@pytest.fixture
def project(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "project.yaml"
        path.write_text(text)
        return path

    return write


# talik run


def test_the_plan_comes_first_and_a_dry_run_writes_nothing(project, tmp_path):
    done = call("run", project(BUDGET), "--dry-run")
    assert done.exit_code == 0, done.output
    assert "  budget: 1 units, 0 done, about 0 s of work" in done.stderr
    assert (
        "total: 2 steps, 3 units, 0 done, about 24 s of work, 0.6 GB memory a worker at most, 9.0 MB to write"
        in done.stderr
    )
    assert done.stdout == ""
    told = json.loads(call("run", project(BUDGET), "--dry-run", "--json").stdout)
    assert [row["step"] for row in told["plan"]] == ["budget", "report"]
    assert (told["total"]["todo"], told["waiting"]) == (3, [])
    assert not (tmp_path / "output").exists()


def test_a_run_says_what_it_made_and_is_read_by_machines(project, tmp_path):
    done = call("run", project(BUDGET))
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].split()[:2] == ["budget", str(tmp_path / "output" / "budget.json")]
    assert lines[1].split()[0::3] == ["report", "MB"]
    assert lines[2].split()[1].endswith("report.ipynb")
    assert lines[3].startswith("3 files, ")
    assert lines[4] == f"manifest: {tmp_path / 'output' / 'manifest.json'}"
    assert "[3/3] report/report.ipynb done" in done.stderr
    assert "(step 2 of 2, " in done.stderr
    assert ", about " in done.stderr.split("[1/3]")[1].split("\n")[0]
    again = call("run", project(BUDGET), "--resume", "--json")
    told = json.loads(again.stdout)
    assert {o["status"] for o in told["outcomes"]} == {"cached"}
    assert [Path(p["path"]).name for p in told["published"]] == ["budget.json", "report.html", "report.ipynb"]
    assert told["published"][0]["bytes"] == (tmp_path / "output" / "budget.json").stat().st_size
    assert told["manifest"] == str(tmp_path / "output" / "manifest.json")


def test_only_takes_sections_and_steps_and_says_what_there_is(project):
    path = project(INVENTORY + "budget: {posts: inventory, draws: 1000}\n")

    def steps(*only: str) -> list[str]:
        told = json.loads(
            call("run", path, "--dry-run", "--json", *(a for n in only for a in ("--only", n))).stdout
        )
        return [row["step"] for row in told["plan"]]

    assert steps("inventory") == ["inventory", "inventory-posts", "inventory-classes"]
    assert steps("inventory-posts") == ["inventory", "inventory-posts"]
    assert steps("budget") == ["inventory", "inventory-posts", "budget"]
    assert steps("budget", "inventory-classes") == [
        "inventory",
        "inventory-posts",
        "budget",
        "inventory-classes",
    ]
    done = call("run", path, "--only", "inventry")
    assert done.exit_code == 2
    assert (
        "--only inventry: the project has no such section or step. Did you mean 'inventory'?" in done.stderr
    )


def work_folders(path: Path) -> set[str]:
    return {p.name for p in (path.parent / "output" / "work").iterdir()}


def test_a_command_of_a_section_finds_what_run_made(project):
    path = project(INVENTORY)
    assert call("run", path, "--only", "inventory").exit_code == 0
    made = work_folders(path)
    own = call("inventory", "run", path)
    assert own.exit_code == 0, own.output
    assert own.stderr.count(" cached ") == 3
    assert " done 0" not in own.stderr
    assert work_folders(path) == made


COMPARE = """talik: 1
name: x
period: {first_year: 2001, last_year: 2002}
compare: {approaches: {towers: {sites: c.csv}, others: {sites: d.csv}}, regions: [bands], figures: false}
"""


def test_run_finds_what_a_command_of_a_section_made(project, tmp_path):
    for name in ("c.csv", "d.csv"):
        (tmp_path / name).write_text(GOOD)
    path = project(COMPARE)
    done = call("compare", path)
    assert done.exit_code == 0, done.output
    made = work_folders(path)
    told = json.loads(call("run", path, "--only", "compare", "--json").stdout)
    assert {o["status"] for o in told["outcomes"]} == {"cached"}
    assert work_folders(path) == made


def test_a_published_file_is_an_input_of_another_section(project, tmp_path):
    path = project(
        INVENTORY + "budget: {posts: output/inventory-posts.yaml, draws: 1000}\nreport: {figures: false}\n"
    )
    done = call("run", path, "--only", "report")
    assert done.exit_code == 0, done.output
    manifest = json.loads((tmp_path / "output" / "manifest.json").read_text())
    assert [s["step"] for s in manifest["steps"]] == ["inventory", "inventory-posts", "budget", "report"]
    made = manifest["steps"][2]["inputs"]["output/inventory-posts.yaml"]["made_by"]
    assert made == {"step": "inventory-posts", "unit": "posts"}


def test_failed_units_are_exit_code_1_and_all_is_told(project, tmp_path):
    (tmp_path / "posts.yaml").write_text(POSTS.replace("low: 4.5", "low: 45"))
    path = project("talik: 1\nname: bad\nbudget: {posts: posts.yaml}\nreport: {figures: false}\n")
    done = call("run", path, "--json")
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert [(o["step"], o["status"]) for o in told["outcomes"]] == [
        ("budget", "failed"),
        ("report", "failed"),
        ("report", "failed"),
    ]
    assert told["published"] == []
    assert "talik: 3 units failed" in done.stderr


def test_no_such_project_is_exit_code_2(tmp_path):
    assert call("run", tmp_path / "none.yaml").exit_code == 2


# talik check PROJECT


def test_a_good_project_has_a_plan_and_no_errors(project):
    done = call("check", project(BUDGET))
    assert done.exit_code == 0, done.output
    assert "budget, report project" in done.stdout
    assert "total" not in done.stderr
    assert "2 steps, 3 units, 0 done" in " ".join(done.stdout.split())


def test_every_missing_file_is_named(project):
    path = project(
        "talik: 1\nname: x\nperiod: {first_year: 2001, last_year: 2002}\nbudget: {posts: a.yaml, recipes: b.yaml}\n"
        "compare: {approaches: {towers: {sites: c.csv}, others: {sites: d.csv}}, regions: [bands], figures: false}\n"
    )
    done = call("check", path, "--json")
    assert done.exit_code == 1
    told = json.loads(done.stdout)[str(path)]
    lost = {p["column"] for p in told["problems"] if "no such file" in p["found"]}
    assert lost == {"budget: a.yaml", "budget: b.yaml", "compare: c.csv", "compare: d.csv"}


@pytest.mark.parametrize(("table", "code"), [(GOOD, 0), (BAD, 1)])
def test_site_tables_of_a_project_are_looked_into(project, tmp_path, table, code):
    (tmp_path / "c.csv").write_text(table)
    (tmp_path / "d.csv").write_text(GOOD)
    path = project(COMPARE)
    done = call("check", path, "--json")
    assert done.exit_code == code, done.output
    told = json.loads(done.stdout)
    assert told[str(tmp_path / "c.csv")]["n_sites"] == 1
    columns = {p["column"] for p in told[str(tmp_path / "c.csv")]["problems"] if p["severity"] == "error"}
    assert columns == (set() if code == 0 else {"month", "nee"})


def test_posts_of_a_project_and_alone_are_read(project, tmp_path):
    posts = tmp_path / "posts.yaml"
    path = project("talik: 1\nname: x\nbudget: {posts: posts.yaml}\n")
    posts.write_text(POSTS)
    assert call("check", path, posts).exit_code == 0
    assert "posts, 1 row" in call("check", posts).stdout
    posts.write_text(POSTS.replace("unit: Tg CH4-C yr-1", "unit: Gt CH4-C yr-1"))
    for asked in (path, posts):
        done = call("check", asked)
        assert done.exit_code == 1
        assert "Gt CH4-C yr-1" in " ".join(done.stdout.split())


def test_a_project_that_cannot_be_read_is_one_error(project):
    done = call("check", project("talik: 1\nname: x\nbudgt: {}\n"))
    assert done.exit_code == 1
    assert "did you mean 'budget'" in " ".join(done.stdout.split())


def test_files_that_the_project_makes_are_not_missed(project):
    done = call("check", project(INVENTORY + "budget: {posts: output/inventory-posts.yaml}\n"))
    assert done.exit_code == 0, done.output
    assert "which this project makes" in " ".join(done.stdout.split())


def test_tables_that_a_section_reads_in_its_own_way_are_no_bad_site_tables(project, tmp_path):
    (tmp_path / "own.csv").write_text(
        "class,gas,season,mean,low,high,units,source\nlakes,CO2,year,1,0,2,g m-2 yr-1,us\n"
    )
    path = project(INVENTORY.replace("CO2: [published]", "CO2: [{table: own.csv}, published]"))
    told = json.loads(call("check", path, "--json").stdout)
    assert str(tmp_path / "own.csv") not in told
    (tmp_path / "own.csv").write_text("class,gas\nlakes,CO2\n")
    done = call("check", path, "--json")
    assert done.exit_code == 1
    problems = json.loads(done.stdout)[str(path)]["problems"]
    assert [p["column"] for p in problems if p["severity"] == "error"] == ["inventory"]


def upscaling_project(tmp_path: Path, project, settings: str = "") -> Path:
    rng = np.random.default_rng(0)
    season = 10.0 - np.cos((np.arange(24) % 12 + 0.5) / 6 * np.pi)
    warm = 270.0 + season[:, None, None] + rng.normal(0, 1, (24, 3, 4))
    axes = {"time": pd.date_range("2001-01-01", periods=24, freq="MS"), "lat": [60.0, 64.0, 68.0]}
    data = {"soil_temperature": (("time", "lat", "lon"), warm, {"units": "K"})}
    xr.Dataset(data, {**axes, "lon": [10.0, 20.0, 30.0, 40.0]}).to_netcdf(tmp_path / "cube.nc")
    rows = [
        f"S{i},{60 + 4 * (i % 3)},{10 * (1 + i % 4)},2001,{month},{rng.normal():.2f}"
        for i in range(12)
        for month in range(1, 13)
    ]
    (tmp_path / "sites.csv").write_text("\n".join(["site_id,lat,lon,year,month,nee", *rows]))
    own = settings or 'at_sites: ["cube.nc:soil_temperature"]'
    return project(
        "talik: 1\nname: x\nperiod: {first_year: 2001, last_year: 2002}\n"
        f"upscaling: {{sites: sites.csv, fluxes: [nee], grids: [cube.nc], {own}}}\n"
    )


def test_rows_and_cube_of_section_upscaling_are_read(project, tmp_path):
    done = call("check", upscaling_project(tmp_path, project))
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("filters: []", "at_sites"),
        ('years: [2001, 2004], at_sites: ["cube.nc:soil_temperature"]', "soil_temperature has no 2003-01"),
        ('at_sites: ["cube.nc:srad"]', "srad"),
        ('at_sites: ["cube.nc:soil_temperature"], land_fraction: "cube.nc:land"', "no variable 'land'"),
    ],
)
def test_what_would_stop_section_upscaling_is_found_before(project, tmp_path, settings, said):
    path = upscaling_project(tmp_path, project, settings)
    done = call("check", path, "--json")
    assert done.exit_code == 1
    (found,) = (p for p in json.loads(done.stdout)[str(path)]["problems"] if p["severity"] == "error")
    assert found["column"] == "upscaling: nee"
    assert said in found["found"]


@pytest.mark.parametrize("accepted", [False, True])
def test_errors_of_a_table_are_those_of_the_project_unless_accepted(project, tmp_path, accepted):
    own = f'at_sites: ["cube.nc:soil_temperature"], accept_errors: {str(accepted).lower()}'
    path = upscaling_project(tmp_path, project, own)
    table = tmp_path / "sites.csv"
    table.write_text(table.read_text().replace("S3,60,40", "S3,0,0"))
    done = call("check", path, "--json")
    told = json.loads(done.stdout)
    errors = {
        Path(name).name: [p["column"] for p in of["problems"] if p["severity"] == "error"]
        for name, of in told.items()
        if not name.endswith(".nc")
    }
    if accepted:
        assert done.exit_code == 0
        assert errors == {path.name: [], "sites.csv": []}
    else:
        assert done.exit_code == 1
        assert errors == {path.name: ["upscaling: nee"], "sites.csv": ["lat, lon"]}


def test_accepted_errors_are_a_note_and_those_of_grids_are_not_accepted(project, tmp_path):
    own = 'at_sites: ["cube.nc:soil_temperature"], accept_errors: true'
    path = upscaling_project(tmp_path, project, own)
    table = tmp_path / "sites.csv"
    table.write_text(table.read_text().replace("S3,60,40", "S3,0,0"))
    told = json.loads(call("check", path, "--json").stdout)
    notes = [p["found"] for p in told[str(path)]["problems"] if p["column"] == "upscaling"]
    assert notes == ["1 error in sites.csv, see below"]
    with xr.open_dataset(tmp_path / "cube.nc") as ds:
        ds.isel(time=slice(None, None, -1)).to_netcdf(tmp_path / "back.nc")
    path.write_text(path.read_text().replace("grids: [cube.nc]", "grids: [back.nc]"))
    done = call("check", path, "--json")
    assert done.exit_code == 1
    grid = json.loads(done.stdout)[str(tmp_path / "back.nc")]["problems"]
    assert any(p["severity"] == "error" and "ascend" in p["found"] for p in grid)


def test_settings_of_a_learner_are_told_with_the_other_problems(project, tmp_path):
    path = upscaling_project(tmp_path, project, "member: 2, settings: {tree: 100}")
    (told,) = json.loads(call("check", path, "--json").stdout)[str(path)]["problems"]
    assert f"{path}: 2 problems" in told["found"]
    assert "upscaling.member: unknown key; did you mean 'members'?" in told["found"]
    assert "upscaling.settings: " in told["found"]
    assert "no setting 'tree' (did you mean 'trees'?)" in told["found"]


def test_a_moved_project_has_the_same_keys(project, tmp_path):
    path = upscaling_project(tmp_path, project)
    moved = tmp_path / "moved"
    moved.mkdir()
    for file in (path, tmp_path / "sites.csv", tmp_path / "cube.nc"):
        shutil.copyfile(file, moved / file.name)
    here, there = (plan_project(load_project(p)).rows() for p in (path, moved / path.name))
    assert len(here) > 5
    assert [row["key"] for row in here] == [row["key"] for row in there]
