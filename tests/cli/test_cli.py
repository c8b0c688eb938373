"""The command line as a user meets it: names, exit codes, clean streams."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner, Result

from talik.cli import app
from talik.posts.published import components

FIELDS = {
    "id",
    "gas",
    "mean",
    "low",
    "high",
    "unit",
    "region",
    "period",
    "approach",
    "part_of",
    "recipe",
    "source",
}
POSTS = """posts:
  - {id: wetlands, gas: CH4, mean: 25, low: 17, high: 32, unit: Tg CH4-C yr-1, region: R, period: 2000-2020,
     approach: inventory, source: s}
  - {id: lakes, gas: CH4, mean: 9.4, low: 4.5, high: 13.1, unit: Tg CH4-C yr-1, region: R, period: 2000-2020,
     approach: inventory, source: s}
"""


def talik(*args: str, cwd=None, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "talik", *args],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1", **environment},
        check=False,
    )


def here(*args: str) -> Result:
    """The same in this process, where everything is imported already."""
    return CliRunner().invoke(app, list(args), env={"NO_COLOR": "1", "COLUMNS": "300"})


@pytest.fixture(scope="module")
def reccap2() -> dict:
    done = talik("budget", "reccap2", "--ch4-gwp", "29.8", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_json_is_the_contract(reccap2):
    assert {"posts", "settings", "provenance"} <= set(reccap2)
    assert all(set(post) >= FIELDS for post in reccap2["posts"])
    by_key = {(p["id"], p["gas"]): p for p in reccap2["posts"]}
    for post_id in (
        "bottom_up.inventory_land",
        "bottom_up.process_land",
        "bottom_up.vegetated_land",
        "bottom_up.natural",
        "bottom_up.with_anthropogenic",
        "top_down.natural",
        "top_down.with_anthropogenic",
    ):
        assert (post_id, "CO2") in by_key
    assert by_key["stock_change.bottom_up", "C"]["unit"] == "Tg C yr-1"
    co2e = by_key["bottom_up.natural", "CO2e"]
    assert co2e["unit"] == "Tg CO2-C eq yr-1"
    assert by_key["bottom_up.natural", "CO2"]["mean"] == pytest.approx(-29, abs=1)
    assert set(co2e["limits"]) == {"linear", "independent", "correlated"}
    assert reccap2["settings"]["ch4_gwp"] == 29.8
    assert reccap2["settings"]["gwp"]["N2O"]["source"].startswith("IPCC AR6")
    assert len(by_key["bottom_up.natural", "CO2"]["inputs"]) == 6
    inputs = reccap2["provenance"]["inputs"]
    assert all(len(i["sha256"]) == 64 for i in inputs.values())


def test_options_reach_the_result():
    done = talik(
        "budget",
        "reccap2",
        "--combine",
        "independent",
        "--horizon",
        "20",
        "--seed",
        "5",
        "--draws",
        "20000",
        "--json",
    )
    result = json.loads(done.stdout)
    assert result["settings"]["horizon"] == 20
    assert (result["settings"]["seed"], result["settings"]["draws"]) == (5, 20_000)
    post = next(p for p in result["posts"] if (p["id"], p["gas"]) == ("bottom_up.natural", "CO2"))
    assert post["low"] == post["limits"]["independent"]["low"] > post["limits"]["linear"]["low"]


def test_tables(tmp_path):
    (tmp_path / "p.yaml").write_text(POSTS)
    rows = list(csv.DictReader(io.StringIO(talik("budget", "p.yaml", "--csv", cwd=tmp_path).stdout)))
    assert rows[0]["id"] == "total.inventory"
    assert float(rows[0]["mean"]) == pytest.approx(34.4)
    assert (
        "| Inventory, total | CH4 | 34 | (22, 45)"
        in talik("budget", "p.yaml", "--markdown", cwd=tmp_path).stdout
    )
    latex = talik("budget", "p.yaml", "--latex", cwd=tmp_path).stdout
    assert latex.startswith("\\begin{tabular}{llrrrrl}\n\\toprule")
    plain = talik("budget", "p.yaml", cwd=tmp_path)
    assert "Inventory, total" in plain.stdout
    assert plain.returncode == 0


def test_audit():
    done = talik("audit", "reccap2", "--json")
    findings = json.loads(done.stdout)["findings"]
    assert done.returncode == 0
    assert all(
        {"id", "printed", "recomputed_low", "recomputed_high", "miss", "where"} <= set(f) for f in findings
    )
    assert any(f["id"] == "inventory.fires" for f in findings)
    text = talik("audit", "reccap2").stdout
    assert "mass of CH4, not of CH4-C" in " ".join(text.split())


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["budget", "gone.yaml"], "gone.yaml: no such file"),
        (["budget", "bad.yaml"], "key 'low' appears twice"),
        (["budget", "reccap2", "--horizon", "50"], "--horizon: Input should be 20, 100 or 500; found 50"),
        (["budget", "reccap2", "--ch4-gwp", "-1"], "--ch4-gwp: Input should be greater than 0"),
        (["budget", "reccap2", "--json", "--csv"], "choose one of --json, --csv"),
        (["budget", "reccap2", "--combine", "both"], "'both' is not one of"),
        (["audit", "good.yaml"], "holds no printed totals"),
        (["report", "good.yaml", "--out", "page.txt"], "name it like report.html"),
        (["report", "gone.yaml", "--out", "page.html"], "gone.yaml: no such file"),
        (["report", "other.yaml", "--out", "page.html"], "neither a project file"),
        (
            ["report", "project.yaml", "--out", "page.html"],
            "budget.horizn: unknown key; did you mean 'horizon'?",
        ),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.yaml").write_text(POSTS)
    (tmp_path / "bad.yaml").write_text(POSTS.replace("low: 17", "low: 17, low: 18"))
    (tmp_path / "other.yaml").write_text("a: 1\n")
    (tmp_path / "project.yaml").write_text("talik: 1\nname: p\nbudget: {horizn: 20}\nreport: {}\n")
    done = here(*args)
    assert done.exit_code == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_output_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "good.yaml").write_text(POSTS)
    (tmp_path / "file").write_text("in the way")
    done = talik("report", "good.yaml", "--out", "file/page.html", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("talik: ")
    assert "Check the path and its permissions" in done.stderr


def test_a_reader_that_stops_early_is_no_error(tmp_path):
    (tmp_path / "good.yaml").write_text(POSTS)
    for option in ("--markdown", "--json", "--csv"):
        with subprocess.Popen(
            [sys.executable, "-m", "talik", "budget", "good.yaml", option],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            process.stdout.close()
            assert process.stderr.read() == b""
            assert process.wait() == 0


def test_a_terminal_without_unicode_keeps_every_sign():
    done = talik("budget", "reccap2", "--draws", "20000", "--markdown", PYTHONIOENCODING="ascii", LC_ALL="C")
    assert done.returncode == 0, done.stderr
    assert "| -29 | (-708, 455) |" in done.stdout
    assert "?" not in done.stdout


def test_help_is_light():
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom talik.cli import app\n"
        "result = CliRunner().invoke(app, ['--help'])\nassert result.exit_code == 0\n"
        "print([m for m in ('numpy','scipy','xarray','matplotlib','dask','shapely','pyproj') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    for command in ("demo", "budget", "audit", "report"):
        assert talik(command, "--help").returncode == 0
    assert talik("--version").stdout.startswith("0.")


def test_components_can_be_written_out_and_read_back(tmp_path, reccap2):
    """The CSV of the package is itself a valid posts file."""
    from importlib.resources import files

    text = (files("talik.posts") / "data" / "reccap2_posts.csv").read_text()
    (tmp_path / "copy.csv").write_text(text)
    done = talik("budget", "copy.csv", "--json", cwd=tmp_path)
    assert done.returncode == 2  # inversions of several periods cannot be summed without a recipe
    assert "is for period" in done.stderr
    assert len([p for p in reccap2["posts"] if p["recipe"] is None]) == len(components())
