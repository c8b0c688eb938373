"""`talik check` as a user meets it: tables, JSON, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from talik.cli.check import check

GOOD = "site_id,lat,lon,year,month,nee [g m-2 month-1]\n" + "".join(
    f"FI-Hyy,61.85,24.3,2001,{month},{10 - 3 * month % 7}\n" for month in range(1, 13)
)
BAD = GOOD.replace("2001,4,", "2001,14,").replace("2001,7,", "2001,7,lost")


def run(*args: str) -> Result:
    app = typer.Typer()
    app.command()(check)
    return CliRunner().invoke(app, list(args), env={"NO_COLOR": "1", "COLUMNS": "130"})


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    for name, text in (("good.csv", GOOD), ("bad.csv", BAD)):
        (tmp_path / name).write_text(text)
    return str(tmp_path / "good.csv"), str(tmp_path / "bad.csv")


def test_a_good_file(files):
    done = run(files[0])
    assert done.exit_code == 0, done.output
    assert f"{files[0]}: generic, 12 rows, 1 site" in done.stdout.replace("\n", "")
    assert "0 errors, 0 warnings, " in done.stdout
    assert done.stdout.rstrip().endswith("no errors")


def test_every_error_is_shown(files):
    done = run(*files)
    assert done.exit_code == 1
    assert "14 in 1 row; expected a whole number" in " ".join(done.stdout.split())
    assert "text in 1 row, first 'lost" in " ".join(done.stdout.split())
    assert "2 errors" in done.stdout
    assert done.stdout.rstrip().endswith("not fit for use yet")


def test_json(files):
    done = run("--json", *files)
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert list(told) == list(files)
    good, bad = (told[f] for f in files)
    assert (good["format"], good["n_rows"], good["n_sites"]) == ("generic", 12, 1)
    assert not [p for p in good["problems"] if p["severity"] == "error"]
    errors = {p["column"]: p for p in bad["problems"] if p["severity"] == "error"}
    assert set(errors) == {"month", "nee"}
    assert errors["month"]["rows"] == [4]
    assert errors["nee"]["count"] == 1
    assert set(errors["nee"]) == {"severity", "column", "found", "remedy", "count", "rows"}


def test_only_a_lost_file_is_bad_input(files, tmp_path):
    done = run(files[0], str(tmp_path / "none.csv"))
    assert done.exit_code == 2
    assert done.stdout == ""
    assert "none.csv: no such file" in done.stderr
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 broken")
    done = run("--json", str(tmp_path / "broken.parquet"))
    assert done.exit_code == 1
    problems = json.loads(done.stdout)[str(tmp_path / "broken.parquet")]["problems"]
    assert ["damaged Parquet file" in p["found"] for p in problems] == [True]


def test_markup_in_a_file_is_text(tmp_path):
    path = tmp_path / "own[bold].csv"
    path.write_text(GOOD.replace("[g m-2 month-1]", "[/red]"))
    done = run(str(path))
    assert done.exit_code == 1
    assert "[/red]" in done.stdout
