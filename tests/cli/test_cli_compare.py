"""`talik compare`: approaches side by side, from files to the page; what stops it, and what survives a kill."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from side_by_side import SEASON, field, write_world
from typer.testing import CliRunner

from talik.cli import app
from talik.compare.result import require_once
from talik.errors import ConfigError
from talik.workflow.project import load_project
from talik.workflow.run import run_project


def call(*args: str | Path):
    return CliRunner().invoke(app, [str(a) for a in args])


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """A project that was compared, and what `--json` said."""
    path = write_world(tmp_path_factory.mktemp("world"), title="<b>Side & side</b>")
    result = call("compare", path, "--json")
    assert result.exit_code == 0, result.stderr
    return path, json.loads(result.stdout)


def cell(found: dict, region: str, approach: str) -> dict:
    return next(r for r in found["matrix"] if (r["region"], r["approach"]) == (region, approach))


def test_each_approach_counts_once(done: tuple[Path, dict]):
    _, found = done
    models = cell(found, "canada", "models")
    assert models["mean"] == pytest.approx(-25.0, rel=1e-5)
    assert models["models"] == 2
    means = [cell(found, "canada", a)["mean"] for a in ("towers", "upscaling", "inversions", "models")]
    held = next(r for r in found["by_region"] if r["region"] == "canada")
    assert held["median"] == pytest.approx(float(np.median(means)))
    assert held["range"] == pytest.approx(max(means) - min(means))
    assert (found["anova"]["df_between"], found["anova"]["df_within"]) == (3, 12)


def test_towers_are_means_of_whole_years(done: tuple[Path, dict]):
    _, found = done
    siberia = [r for r in found["rows"] if r["approach"] == "towers" and r["region"] == "siberia"]
    assert [r["n_sites"] for r in siberia] == [1]
    # RU-A, the fifth site, in two years that differ by half a gram a month; RU-S has three months a year
    year = 8.0 * 1.4 * SEASON.sum()
    assert siberia[0]["mean"] == pytest.approx(year + 0.25 * 12)


def test_fire_is_taken_off_inversions(done: tuple[Path, dict]):
    """The inversions take up nothing and emit 1 g m-2 of cell; without the 10 g m-2 of fires they are sinks."""
    _, found = done
    for region in found["regions"]:
        assert -10.0 < cell(found, region, "inversions")["mean"] < 0.0


def test_the_best_model_at_the_towers_is_the_one_with_their_season(done: tuple[Path, dict]):
    _, found = done
    assert found["ranking"][0]["model"] == "upscaling: forest"
    assert found["ranking"][0]["n_sites"] == 5
    row = next(r for r in found["skill"] if r["model"] == "forest")
    assert row["phase_shift"] == 0.0
    assert row["cycle_r"] == pytest.approx(1.0, abs=1e-3)
    assert row["without"] == 1


def test_agreement_counts_signs_beyond_the_neutral_band(done: tuple[Path, dict]):
    path, found = done
    canada = next(r for r in found["agreement"] if r["region"] == "canada")
    assert canada["sink"] + canada["neutral"] + canada["source"] == pytest.approx(100.0)
    with xr.open_dataset(path.parent / "output" / "compare-agreement.nc") as ds:
        assert set(ds["approach"].values) == {"upscaling", "inversions", "models"}
        share = ds["approach_share"].sel(approach="models", sign="sink")
        assert float(share.min()) == 100.0


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.targets: set[str] = set()
        self.links: set[str] = set()
        self.images: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if found.get("id"):
            self.targets.add(str(found["id"]))
        if tag == "a" and str(found.get("href")).startswith("#"):
            self.links.add(str(found["href"])[1:])
        if tag == "img":
            self.images.append(str(found.get("alt") or ""))


def test_every_number_of_the_page_leads_to_its_inputs(done: tuple[Path, dict]):
    path, _ = done
    text = (path.parent / "output" / "compare.html").read_text()
    page = _Links()
    page.feed(text)
    assert page.links <= page.targets
    assert len([link for link in page.links if link.startswith("in-")]) == 4 * 4
    assert all(page.images)
    assert "<script" not in text
    assert not re.search(r"https?://", text.replace("http://www.w3.org", ""))
    assert "ORCHIDEE_S3_gpp.nc" in text
    assert "upscaled.nc" in text
    told = json.loads((path.parent / "output" / "compare.json").read_text())
    (towers,) = (s for s in told["sources"] if s["kind"] == "insitu")
    assert list(towers["inputs"].values()) == [
        hashlib.sha256((path.parent / "towers.csv").read_bytes()).hexdigest()
    ]
    for name in ("matrix", "regions", "agreement", "taylor", "ranking"):
        assert (path.parent / "output" / "compare-figures" / f"{name}.png").stat().st_size > 2000


def test_what_a_user_wrote_is_escaped(done: tuple[Path, dict]):
    text = (done[0].parent / "output" / "compare.html").read_text()
    assert "<b>Side" not in text
    assert "&lt;b&gt;Side &amp; side" in text


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"period": None}, "Give the project a period"),
        ({"compare": {"regions": ["eight"]}}, "tundra and the region eight go together"),
        ({"compare": {"approaches": {"a": {"sites": "towers.csv"}}}}, "at least 2 items"),
        (
            {"compare": {"approaches": {"a": {"sites": "towers.csv"}, "b": {"members": ["CMIP6"]}}}},
            "'CMIP6' is no member and no project of section ensemble; known are ORCHIDEE",
        ),
        (
            {"compare": {"approaches": {"a": {"sites": "towers.csv"}, "b": {"fluxes": {"c": "gone.nc"}}}}},
            "compare-sources: gone.nc = ",
        ),
        ({"compare": {"approaches": {"a": {}, "b": {}}}}, "give either sites, or fluxes and members"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, change: dict, says: str):
    result = call("compare", write_world(tmp_path, **change))
    assert result.exit_code == 2
    assert says in result.stderr
    assert not (tmp_path / "output").exists()


def test_an_inversion_without_fires_is_refused(tmp_path: Path):
    result = call("compare", write_world(tmp_path, ensemble={"fire": None}))
    assert result.exit_code == 1
    assert "is the land flux of an inversion, which holds fire" in result.stderr


@pytest.mark.science
def test_killed_and_run_again_gives_the_same_bytes(tmp_path: Path, done: tuple[Path, dict], wait_for):
    """Killed after the first unit, then run with two workers."""
    world = write_world(tmp_path, compare={"figures": False})
    command = [sys.executable, "-m", "talik", "compare", str(world)]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    work = tmp_path / "output" / "work"
    wait_for(lambda: running.poll() is not None or any(work.glob("ensemble-members-*/*.nc")))
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not (tmp_path / "output" / "compare.json").exists()
    result = call("compare", world, "--workers", "2", "--json")
    assert result.exit_code == 0, result.stderr
    again, before = json.loads(result.stdout), done[1]
    for key in ("matrix", "rows", "ranking", "agreement", "differences"):
        assert again[key] == before[key]


def test_the_eight_regions_stand_beside_what_was_published(tmp_path: Path):
    """North of 66 N is tundra here; towers go by country, biome and longitude of their table."""
    field(tmp_path, "strong", "nee", -60.0)
    field(tmp_path, "weak", "nee", -10.0)
    lat = np.arange(45.5, 90.0)
    share = np.where(lat[:, None] > 66.0, 1.0, 0.0) + np.zeros((1, 360))
    coords = {"lat": lat, "lon": np.arange(-179.5, 180.0)}
    xr.Dataset({"tundra": (("lat", "lon"), share)}, coords).to_netcdf(tmp_path / "biomes.nc")
    world = write_world(
        tmp_path,
        ensemble=None,
        compare={
            "regions": ["eight"],
            "tundra": "biomes.nc:tundra",
            "figures": False,
            "grid_degrees": 5.0,
            "approaches": {
                "towers": {"sites": "towers.csv"},
                "strong": {"fluxes": {"s": "strong.nc"}},
                "weak": {"fluxes": {"w": "weak.nc"}},
            },
        },
    )
    result = call("compare", world, "--out", tmp_path / "elsewhere", "--json")
    assert result.exit_code == 0, result.stderr
    assert not (tmp_path / "output").exists()
    found = json.loads(result.stdout)
    assert len(found["regions"]) == 8
    assert cell(found, "Western Siberia", "towers")["mean"] is None
    assert cell(found, "Western Siberia", "strong")["mean"] == pytest.approx(-60.0, rel=1e-6)
    median = next(r["median"] for r in found["by_region"] if r["region"] == "Western Siberia")
    assert median == pytest.approx(-35.0, rel=1e-6)
    published = {r["quantity"]: r for r in found["published_numbers"]}
    row = published["median NEE over approaches, Western Siberia"]
    assert (row["published"], row["here"]) == (-41.0, pytest.approx(-35.0, rel=1e-6))
    assert "Published" in (tmp_path / "elsewhere" / "compare.html").read_text()


def test_towers_without_a_position_are_left_out_and_counted_once(tmp_path: Path):
    path = write_world(tmp_path, title="Lost towers")
    towers = pd.read_csv(tmp_path / "towers.csv")
    lost = towers["site_id"] == "RU-A"
    assert lost.any()
    towers.loc[lost, ["lat", "lon"]] = np.nan
    towers.to_csv(tmp_path / "towers.csv", index=False)
    made = load_project(path)
    done = run_project(made, only=["compare"])
    assert not done.failed, done.failed
    found = json.loads((made.output / "compare.json").read_text())
    told = [note for note in found["notes"] if "no position" in note]
    n = towers["site_id"].nunique()
    assert told == [f"towers.csv: 1 of {n} sites have no position; they have no score at towers."]
    towers.drop(columns=["lat", "lon"]).to_csv(tmp_path / "towers.csv", index=False)
    failed = run_project(load_project(path), only=["compare-sources"]).failed
    assert any("the site table has no column lat, lon" in one.error for one in failed)


def test_methane_is_compared_as_carbon(tmp_path: Path):
    field(tmp_path, "wet", "fch4", 6.0)
    field(tmp_path, "dry", "fch4", 2.0)
    world = write_world(
        tmp_path,
        ensemble=None,
        compare={
            "variable": "fch4",
            "figures": False,
            "approaches": {"wet": {"fluxes": {"w": "wet.nc"}}, "dry": {"fluxes": {"d": "dry.nc"}}},
        },
    )
    result = call("compare", world)
    assert result.exit_code == 0, result.stderr
    assert "fch4, g CH₄-C m⁻² yr⁻¹" in result.stdout
    found = json.loads((tmp_path / "output" / "compare.json").read_text())
    assert cell(found, "europe", "wet")["mean"] == pytest.approx(6.0, rel=1e-6)
    assert found["species"] == "C"


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.mark.chromium
@pytest.mark.skipif(
    CHROMIUM is None and os.environ.get("CI") != "true",
    reason="no Chromium on this machine (Debian: apt-get install chromium)",
)
def test_the_page_opens_quietly_and_fits_a_phone(done: tuple[Path, dict]):
    from playwright.sync_api import sync_playwright

    assert CHROMIUM, "CI must have Chromium: .ci/run installs it"
    path = done[0].parent / "output" / "compare.html"
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for width in (390, 1280):
            page = browser.new_page(viewport={"width": width, "height": 900})
            seen: list[str] = []
            page.on("request", lambda r, seen=seen: seen.append(r.url))
            page.on("console", lambda m, seen=seen: seen.append(m.text))
            page.goto(path.as_uri())
            assert [s for s in seen if not s.startswith("data:") and not s.endswith("compare.html")] == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            link = page.locator("#matrix td a").first
            link.click()
            assert page.url.rpartition("#")[2].startswith("in-")
        browser.close()


def test_one_system_in_two_places_and_an_approach_without_values(tmp_path: Path):
    """A package that holds a system given by itself too is refused; an approach without data keeps its column."""
    field(tmp_path, "good", "nee", -20.0)
    field(tmp_path, "none", "nee", float("nan"))
    approaches = {
        "good": {"fluxes": {"a": "good.nc"}},
        "none": {"fluxes": {"b": "none.nc"}},
    }
    options = {"figures": False, "approaches": approaches}
    world = write_world(tmp_path, ensemble=None, compare=options)
    result = call("compare", world, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert cell(found, "canada", "none")["mean"] is None
    assert next(r["range"] for r in found["by_region"] if r["region"] == "canada") is None
    assert any(note.startswith("none, b: no value in any region") for note in found["notes"])
    assert found["anova"] is None
    page = (tmp_path / "output" / "compare.html").read_text()
    assert "most models agree" not in page
    found = json.loads((tmp_path / "output" / "compare.json").read_text())
    rows = [{**r, "approach": "x", "model": m} for r in found["rows"][:1] for m in ("GCB/CTE", "CTE")]
    with pytest.raises(ConfigError, match="GCB/CTE and CTE are one system by their names"):
        require_once(pd.DataFrame(rows))


def test_groups_count_once_and_satellite_runs_stand_aside(tmp_path: Path):
    """ORCHIDEE takes up 30; two submissions of one group take up 20 each: -25, not -23."""
    world = write_world(tmp_path, compare={"figures": False})
    content = yaml.safe_load(world.read_text())
    ensemble, compare = content["ensemble"], content["compare"]
    ensemble["models"]["JULES"]["group"] = "Exeter"
    second = {**ensemble["models"]["JULES"], "files": list(ensemble["models"]["JULES"]["files"])}
    ensemble["models"]["JULES-b"] = second
    cte = ensemble["inversions"].pop("CTE")
    ensemble["inversions"] = {
        "CTE": cte,
        "CTE-sat": {**cte, "files": list(cte["files"]), "satellite_of": "CTE"},
    }
    compare["approaches"] = {"inversions": {"members": ["inversions"]}, "models": {"members": ["TRENDY"]}}
    world.write_text(yaml.safe_dump(content))
    result = call("compare", world, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    models = cell(found, "canada", "models")
    assert models["mean"] == pytest.approx(-25.0, rel=1e-5)
    assert models["models"] == 3
    assert cell(found, "canada", "inversions")["models"] == 1
    with xr.open_dataset(tmp_path / "output" / "compare-agreement.nc") as ds:
        assert int(ds["n_models"].sel(approach="models").max()) == 2
