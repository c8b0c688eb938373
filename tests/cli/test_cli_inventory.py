"""`talik inventory run` as a user meets it: plan, table, files, a budget and a page, errors before anything."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from talik.cli import app

runner = CliRunner()


def project(folder: Path, **inventory: Any) -> Path:
    path = folder / "p.yaml"
    held = {"talik": 1, "name": "inv", "output": "out", "inventory": {"draws": 1000, **inventory}}
    held |= {"budget": {"posts": "inventory", "draws": 1000}, "report": {"figures": False}}
    path.write_text(yaml.safe_dump(held))
    return path


def talik(*words: str, code: int = 0) -> Any:
    result = runner.invoke(app, list(words))
    assert result.exit_code == code, result.output
    return result


def test_the_published_inventory_is_a_table_three_files_and_a_budget(tmp_path: Path) -> None:
    path = project(tmp_path, beside={"CH4": {"again": ["published"]}})
    shown = talik("inventory", "run", str(path))
    assert "northern permafrost region, 2000-2020" in shown.stdout
    assert "permafrost bog" in shown.stdout
    assert "-270 (-540, -0.9)" in shown.stdout
    assert "sum, linear" in shown.stdout
    assert "again" in shown.stdout
    with (tmp_path / "out" / "inventory-classes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5 * 4
    assert {row["estimate"] for row in rows} == {"project", "again"}
    bog = next(row for row in rows if (row["class"], row["gas"]) == ("permafrost_bog", "N2O"))
    assert (bog["flux_tg_yr_mean"], bog["area_mkm2_mean"]) == ("0.1", "0.86")
    posts = str(tmp_path / "out" / "inventory-posts.yaml")
    told = json.loads(talik("budget", posts, "--json").stdout)
    natural = next(p for p in told["posts"] if (p["id"], p["gas"]) == ("bottom_up.natural", "CH4"))
    assert abs(natural["mean"] - 39) < 0.6
    told = talik("audit", posts).stdout
    assert "18 printed numbers recomputed, 2 do not follow" in told
    assert "mass of CH4" in told


def test_json_is_everything_and_a_second_run_gives_the_same_bytes(tmp_path: Path) -> None:
    path = project(tmp_path)
    told = json.loads(talik("inventory", "run", str(path), "--json").stdout)
    assert [name.rpartition("/")[2] for name in told["published"]] == [
        "inventory.json",
        "inventory-posts.yaml",
        "inventory-classes.csv",
    ]
    assert len(told["posts"]) == 21
    first = (tmp_path / "out" / "inventory.json").read_bytes()
    other = tmp_path / "other"
    other.mkdir()
    talik("inventory", "run", str(project(other)))
    assert (other / "out" / "inventory.json").read_bytes() == first


def test_a_project_makes_its_budget_and_page_from_its_inventory(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    talik("report", str(project(tmp_path)), "--out", str(page))
    assert "printed total over printed area" in page.read_text()
    held = json.loads((tmp_path / "out" / "budget.json").read_text())
    bog = next(p for p in held["posts"] if (p["id"], p["gas"]) == ("inventory.permafrost_bog", "CH4"))
    assert bog["part_of"] == "inventory.wetlands"
    assert str(tmp_path) not in json.dumps(held)


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    shown = talik("inventory", "run", str(project(tmp_path)), "--dry-run")
    assert "inventory: 1 units, 0 done" in shown.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("inventory", "match"),
    [
        ({"area_mkm2": 10.0}, "classes add up to 18.4"),
        ({"densities": {"CH4": ["printed growing season"]}}, "no source has permafrost-free wetland"),
        ({"densities": {"CH4": [{"table": "none.csv"}]}}, "1 input file of the plan not found"),
        ({"densities": {"N2O": [{"months": "p.yaml"}]}}, "site tables have CO2 and CH4"),
        ({"densities": {"CO2": [{"growing_season": "p.yaml"}]}}, "growing_season is a table of CH4"),
        ({"areas": {"classes": {"dry_tundra": [-1, -2, 0]}}}, "area of dry_tundra is -1 (-2, 0)"),
        ({"areas": {"classes": {"taiga": [1, 1, 1]}}}, "land-cover class 'taiga' is unknown"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, inventory: dict[str, Any], match: str
) -> None:
    result = talik("inventory", "run", str(project(tmp_path, **inventory)), code=2)
    assert match in result.stderr.replace("\n", " ")
    assert not (tmp_path / "out").exists()


def test_a_project_without_the_section_is_told(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("talik: 1\nname: x\nbudget: {}\n")
    assert "has no section inventory" in talik("inventory", "run", str(path), code=2).stderr
