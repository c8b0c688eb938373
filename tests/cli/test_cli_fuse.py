"""`talik fuse`: a project from drivers to results, what stops it, what survives, and what it says of itself.

The sampler is replaced by one that only looks at the drivers, `fusion_world.look`.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from tests.fusion.fusion_world import SLOW, UNITS, grid, look, site_months
from typer.testing import CliRunner

from talik.cli import app
from talik.flux import open_flux
from talik.fusion import section, works
from talik.fusion.section import SECTION, files_of, settings_of, steps
from talik.fusion.works import BLOCKS
from talik.posts.rows import post_of
from talik.workflow.plan import make_plan
from talik.workflow.project import load_project
from talik.workflow.run import plan_project, run_plan
from talik.workflow.unit import Outcome

SITES = ("one", "two", "three", "four", "five")


def call(*args: str | Path):
    return CliRunner().invoke(app, [str(a) for a in args])


def project(folder: Path, table: pd.DataFrame, **fusion: object) -> Path:
    table.to_csv(folder / "sites.csv", index=False)
    content = {
        "drivers": {"files": ["sites.csv"], "units": UNITS, "without": ["burned", "loss"]},
        "observations": {"nee": {"units": "g m-2 d-1"}, "assimilate": "calibration"},
        "sampler": {"members": 20},
        "block": 2,
        **fusion,
    }
    path = folder / "project.yaml"
    path.write_text(yaml.safe_dump({"talik": 1, "name": "towers", "output": "out", "fusion": content}))
    return path


def broken_at(site: str, table: pd.DataFrame) -> pd.DataFrame:
    out = table.copy()
    out.loc[out.site == site, "sw"] /= 0.0864
    return out


@pytest.fixture(autouse=True)
def no_sampling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(works, "dalec", lambda: look)


def test_a_project_runs_and_every_pixel_has_a_result(tmp_path: Path):
    path = project(tmp_path, site_months(SITES))
    done = call("fuse", "run", path, "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["counts"] == {"converged": 5, "map_quality": 0, "unconverged": 0, "failed": 0}
    assert {Path(p).name for p in told["published"]} == {
        "fusion.nc",
        "fusion-fluxes.nc",
        "fusion-check.json",
        "fusion-scores.csv",
    }
    with xr.open_dataset(tmp_path / "out" / "fusion.nc") as found:
        assert found["pixel"].values.tolist() == list(SITES)
        assert found["assimilated"].sel(stream="nee").values.tolist() == [12] * 5
        assert found["held_out"].sel(stream="nee").values.tolist() == [10] * 5
        assert found.sizes["member"] == 20
        assert "talik_inputs" in found.attrs
        median = found["gpp"].sel(quantile=0.5).isel(cell=4).values
    light = site_months(("one",) * 1)["sw"].to_numpy()
    np.testing.assert_allclose(median / median[6], light / light[6], rtol=1e-5)
    fluxes = open_flux(tmp_path / "out" / "fusion-fluxes.nc")
    assert fluxes.attrs["approach"] == "fusion"
    assert fluxes.attrs["unknown_disturbance"] == "burned, loss"
    assert "nee" in fluxes
    assert not {"fFire", "nbp"} & set(fluxes)
    fluxes.close()
    scores = pd.read_csv(tmp_path / "out" / "fusion-scores.csv")
    assert scores["predicted_95"].notna().all()  # of both halves
    assert (scores["predicted_95"] >= scores["inside_95"]).all()
    again = call("fuse", "run", path, "--resume", "--json")
    assert again.exit_code == 0
    assert json.loads(again.stdout) == told
    shown = call("fuse", "check", tmp_path / "out")
    assert shown.exit_code == 0
    assert "5 pixels: 5 converged. 100% pass." in shown.stdout


def test_a_broken_pixel_is_named_and_the_others_have_results(tmp_path: Path):
    path = project(tmp_path, broken_at("two", site_months(SITES)))
    done = call("fuse", "run", path)
    assert done.exit_code == 1, done.stderr
    assert "error: two: sw: 214.12 MJ m-2 d-1 in 2003-07" in done.stderr
    assert "1 of 5 pixels do not run; the others do." in done.stderr
    told = json.loads(call("fuse", "check", tmp_path / "out", "--json").stdout)
    assert told["counts"]["failed"] == 1
    assert told["bad_input"] == 1
    assert told["passed"] == 0.8
    assert told["passed_of_run"] == 1.0
    row = next(r for r in told["pixels"] if r["pixel"] == "two")
    assert row["reason"].startswith("bad input: sw: 214.12")
    assert row["rhat_parameters"] is None
    assert [p["pixel"] for p in told["problems"]] == ["two"]

    alone = project(tmp_path, site_months(SITES))
    assert call("fuse", "run", alone, "--json").exit_code == 0
    with xr.open_dataset(tmp_path / "out" / "fusion.nc") as whole:
        sound = whole.load()
    project(tmp_path, broken_at("two", site_months(SITES)))
    call("fuse", "run", path)
    with xr.open_dataset(tmp_path / "out" / "fusion.nc") as found:
        others = [0, 2, 3, 4]
        xr.testing.assert_equal(found["gpp"].isel(cell=others), sound["gpp"].isel(cell=others))
        assert np.isnan(found["gpp"].isel(cell=1)).all()


def test_a_block_without_any_good_pixel_joins_the_others(tmp_path: Path):
    path = project(tmp_path, broken_at("two", broken_at("one", site_months(SITES))))
    assert call("fuse", "run", path).exit_code == 1
    with xr.open_dataset(tmp_path / "out" / "fusion.nc") as found:
        assert found["quality"].values.tolist() == [3, 3, 0, 0, 0]
        assert np.isfinite(found["rhat_gpp"].values).tolist() == [False, False, True, True, True]


def test_input_that_no_pixel_can_use_is_bad_input(tmp_path: Path):
    table = site_months(("one", "two"))
    table["sw"] /= 0.0864
    done = call("fuse", "run", project(tmp_path, table))
    assert done.exit_code == 2
    assert "none of 2 pixels has input that can be used" in done.stderr
    assert not (tmp_path / "out").exists()


def test_pixels_that_did_not_converge_are_flagged_and_left_out(tmp_path: Path):
    path = project(tmp_path, site_months(("one", SLOW, "three")))
    done = call("fuse", "run", path)
    assert done.exit_code == 0, done.stderr
    assert "3 pixels: 2 converged, 1 unconverged. 67% pass." in done.stdout
    fluxes = open_flux(tmp_path / "out" / "fusion-fluxes.nc")
    assert fluxes["coverage"].sum() == 2
    fluxes.close()
    found = call("fuse", "check", tmp_path / "out" / "fusion.nc")
    assert found.exit_code == 1
    assert "R-hat of leaf_life" in found.stdout


def test_a_run_in_which_no_pixel_converges_ends_with_its_report(tmp_path: Path):
    path = project(tmp_path, site_months((SLOW,)), observations={})
    done = call("fuse", "run", path)
    assert done.exit_code == 0, done.stderr
    assert "no observations: the prior with its constraints is sampled" in done.stderr
    assert "1 block of 1 pixel at most, up to" in done.stderr
    assert "1 pixel: 1 unconverged" in done.stdout
    assert "fluxes and totals are empty. Take more rounds" in done.stdout
    assert "fill: flagged in the section fusion" in done.stdout
    with xr.open_dataset(tmp_path / "out" / "fusion.nc") as found:
        made = json.loads(found.attrs["talik_fusion"])
    assert (made["sampler"]["method"], made["seed"], made["not_simulated"]) == ("hmc", 0, ["burned", "loss"])
    with xr.open_dataset(tmp_path / "out" / "fusion-fluxes.nc", mask_and_scale=False) as found:
        assert found["quality"].dtype == np.int8
        assert found["coverage"].sum() == 0.0
        assert found.attrs["fill"] == "none"
    content = {"approaches": {name: {"fluxes": {name: "out/fusion-fluxes.nc"}} for name in ("a", "b")}}
    compared = tmp_path / "compare.yaml"
    period = {"first_year": 2003, "last_year": 2004}
    compared.write_text(
        yaml.safe_dump({"talik": 1, "name": "c", "output": "c", "period": period, "compare": content})
    )
    refused = call("compare", compared)
    assert refused.exit_code == 2
    assert "holds a list of 1 cells, as of towers" in refused.stderr
    assert not (tmp_path / "c").exists()


def test_a_plan_for_more_memory_than_there_is_warns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.import_module("talik.cli.fuse"), "memory_of_machine", lambda: 5e8)
    done = call("fuse", "run", project(tmp_path, site_months()), "--dry-run", "--sampler", "de")
    assert "this machine has 0.5 GB" in done.stderr
    assert "how long this sampler takes is not known" in done.stderr


def test_more_draws_take_more_time(tmp_path: Path):
    seconds = [
        json.loads(
            call(
                "fuse", "run", project(tmp_path, site_months(), sampler={"rounds": n}), "--dry-run", "--json"
            ).stdout
        )["plan"][0]["seconds"]
        for n in (10, 100)
    ]
    assert seconds[1] > 2 * seconds[0]


def test_a_dry_run_says_what_is_wrong_and_writes_nothing(tmp_path: Path):
    path = project(tmp_path, broken_at("two", site_months(SITES)))
    done = call("fuse", "run", path, "--dry-run", "--json")
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert (told["pixels"], told["good"], told["years"]) == (5, 4, [2003, 2004])
    assert told["assimilated"] == {"nee": 48}  # of pixels that run
    assert told["unknown"] == ["burned", "loss"]
    assert [p["variable"] for p in told["problems"]] == ["sw"]
    blocks = next(row for row in told["plan"] if row["step"] == BLOCKS)
    assert blocks["units"] == 3
    assert blocks["memory_bytes"] > 1e9
    assert not (tmp_path / "out").exists()


def test_a_misspelt_key_is_bad_input(tmp_path: Path):
    done = call("fuse", "run", project(tmp_path, site_months(), preset="besst"))
    assert done.exit_code == 2
    assert "fusion.preset" in done.stderr


def test_the_sampler_of_the_command_is_that_of_the_run(tmp_path: Path):
    path = project(tmp_path, site_months())
    plans = [
        json.loads(call("fuse", "run", path, "--dry-run", "--json", *more).stdout)["plan"][0]["key"]
        for more in ((), ("--sampler", "hmc"), ("--sampler", "de"))
    ]
    assert plans[0] == plans[1] != plans[2]


def test_results_do_not_depend_on_workers(tmp_path: Path):
    path = project(tmp_path, site_months(SITES))
    loaded = load_project(path)
    made = steps(loaded, settings_of(loaded), look)
    found = []
    for workers in (1, 2):
        folder = tmp_path / f"workers{workers}"
        plan = make_plan(made[:2], folder)
        result = run_plan(loaded.with_output(folder), plan, workers=workers)
        assert not result.failed, result.failed
        found.append({p.name: p.read_bytes() for p in plan[BLOCKS].folder.glob("*.nc")})
    assert len(found[0]) == 3
    assert found[0] == found[1]


def test_dask_gives_the_same_bytes_even_if_a_worker_is_killed(
    tmp_path: Path,
    dask_cluster: Callable[[], tuple[str, list[subprocess.Popen[bytes]]]],
    monkeypatch: pytest.MonkeyPatch,
):
    """The first of two workers is killed when the first block is done."""
    root = Path(__file__).parents[2]
    monkeypatch.setenv(
        "PYTHONPATH", f"{root}{os.pathsep}{root / 'src'}"
    )  # workers import `look`, and this talik
    path = project(tmp_path, site_months(SITES))
    loaded = load_project(path)
    made = steps(loaded, settings_of(loaded), look)
    address, workers = dask_cluster()
    seen: list[str] = []

    def listen(outcome: Outcome) -> None:
        seen.append(outcome.step)
        if seen.count(BLOCKS) == 1 and workers[0].poll() is None:
            workers[0].kill()

    found = []
    for name, how in (("alone", {"workers": 1}), ("dask", {"scheduler": address, "listen": listen})):
        folder = tmp_path / name
        plan = make_plan(made[:2], folder)
        result = run_plan(loaded.with_output(folder), plan, **how)
        assert not result.failed, result.failed
        found.append({p.name: p.read_bytes() for p in plan[BLOCKS].folder.glob("*.nc")})
    assert seen.count(BLOCKS) == 3
    assert workers[0].poll() is not None
    assert workers[1].poll() is None
    assert len(found[0]) == 3
    assert found[0] == found[1]


def test_blocks_differ_by_one_pixel_at_most(tmp_path: Path):
    path = project(tmp_path, site_months(tuple(f"s{k}" for k in range(11))), block=4)
    loaded = load_project(path)
    settings = settings_of(loaded)
    blocks = section.blocks_of(settings, section_reader(loaded))
    assert [b - a for a, b in blocks.ranges.values()] == [3, 4, 4]
    assert SECTION.name == "fusion"


def section_reader(loaded):
    from talik.fusion.inputs import Reader

    settings = settings_of(loaded)
    return Reader(settings, files_of(loaded, settings))


def test_totals_of_a_grid_become_posts(tmp_path: Path):
    grid().to_netcdf(tmp_path / "drivers.nc")
    pd.DataFrame({"year": [2003, 2004], "co2_ppm": [375.0, 377.0]}).to_csv(tmp_path / "co2.csv", index=False)
    drivers = {
        "files": ["drivers.nc"],
        "variables": {"tmin": "tasmin", "tmax": "tasmax", "sw": "rsds", "burned": "burnt"},
        "without": ["loss"],
        "co2": {"files": ["co2.csv"]},
    }
    regions = {"cell_degrees": 0.5, "draws": 1000}
    path = project(tmp_path, site_months(), drivers=drivers, observations={}, block=6, regions=regions)
    done = call("fuse", "run", path)
    assert done.exit_code == 0, done.stderr
    table = pd.read_csv(tmp_path / "out" / "fusion-regions.csv")
    assert set(table["method"]) == {"common quantile", "independent", "kernel copula", "hierarchical"}
    nee = table[table.variable == "nee"].set_index("method")
    widths = nee["q97.5"] - nee["q2.5"]
    assert widths["independent"] < widths["kernel copula"].min()
    rows = yaml.safe_load((tmp_path / "out" / "fusion-posts.yaml").read_text())["posts"]
    posts = {row["id"]: post_of({k: v for k, v in row.items() if k != "sum_of"}, "here") for row in rows}
    assert posts["fusion.nee"].mean == pytest.approx(nee["mean"].iloc[0])
    content = yaml.safe_load(path.read_text()) | {"budget": {"posts": "fusion", "draws": 1000}}
    path.write_text(yaml.safe_dump(content))
    loaded = load_project(path)
    plan = plan_project(loaded, ["budget"])
    assert not run_plan(loaded, plan).failed
    made = json.loads((tmp_path / "out" / "budget.json").read_text())
    assert "fusion.nee_fire" in json.dumps(made)


def test_talik_check_looks_into_the_input_of_a_project(tmp_path: Path):
    path = project(tmp_path, broken_at("two", site_months(SITES)))
    done = call("check", path, "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)[str(path)]
    assert found["format"] == "fusion project"
    assert found["n_sites"] == 5
    problems = [(p["severity"], p["column"]) for p in found["problems"]]
    assert problems == [("error", "two: sw"), ("note", "plan")]
    project(tmp_path, site_months(SITES))
    assert call("check", path).exit_code == 0


def test_a_file_that_is_no_result_is_refused(tmp_path: Path):
    grid().to_netcdf(tmp_path / "drivers.nc")
    done = call("fuse", "check", tmp_path / "drivers.nc")
    assert done.exit_code == 2
    assert "expected the fusion.nc that talik fuse run writes" in done.stderr
    assert call("fuse", "check", tmp_path / "none.nc").exit_code == 2


def test_the_project_of_the_guide_is_read(tmp_path: Path, shared: Path):
    guide = Path(__file__).parents[2] / "docs" / "guide" / "fusion.md"
    block = re.search(r"```yaml\n(.*?)```", guide.read_text(encoding="utf-8"), re.S)
    assert block is not None
    (tmp_path / "site_months.parquet").symlink_to(
        shared / "data" / "fluxnet2015-cardamom" / "site_months.parquet"
    )
    (tmp_path / "towers.yaml").write_text(block[1], encoding="utf-8")
    done = call("fuse", "run", tmp_path / "towers.yaml", "--dry-run", "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["pixels"], told["good"], told["years"]) == (3, 3, [2001, 2016])
    assert told["held_out"]["nee"] > 100


def test_observations_are_compared_apart_by_use(tmp_path: Path):
    observations = {
        "nee": {"units": "g m-2 d-1"},
        "gpp": {"units": "g m-2 d-1", "sd": 0.5},
        "assimilate": "calibration",
    }
    path = project(tmp_path, site_months(), observations=observations, figures=["one"])
    done = call("fuse", "run", path)
    assert done.exit_code == 0, done.stderr
    table = pd.read_csv(tmp_path / "out" / "fusion-scores.csv").set_index(["pixel", "stream", "use"])
    assert table["n"].unstack("use").loc[("one", "gpp")].to_dict() == {"assimilated": 12, "left_out": 10}
    site = site_months(("two",))
    with xr.open_dataset(tmp_path / "out" / "fusion.nc") as found:
        ours = found.isel(cell=1)
        per_day = 8.64e7  # g m-2 d-1 in kg m-2 s-1
        modelled = ours["gpp"].sel(quantile=0.5).values * per_day
        low, high = (ours["nee"].sel(quantile=q).values * per_day for q in (0.025, 0.975))
        used = (site["role"] == "validation").to_numpy()
        np.testing.assert_array_equal(np.isfinite(ours["held_out_gpp"]), used)
        np.testing.assert_allclose(ours["sd_gpp"][np.isfinite(ours["observed_gpp"])] * per_day, 0.5)
    row = table.loc[("two", "gpp", "left_out")]
    error = modelled[used] - site["gpp"].to_numpy()[used]
    assert row["bias"] == pytest.approx(error.mean(), rel=1e-5)
    assert row["rmse"] == pytest.approx(np.sqrt((error**2).mean()), rel=1e-5)
    nee = site["nee"].to_numpy()[used]
    inside = (nee >= low[used]) & (nee <= high[used])
    assert table.loc[("two", "nee", "left_out"), "inside_95"] == pytest.approx(inside.mean())
    assert (tmp_path / "out" / "fusion-figures" / "one.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"figures": ["nine"]}, "fusion.figures: no pixel nine in the run"),
        ({"regions": {"cell_degrees": 0.5}}, "is no centre of"),
        ({"regions": {"cell_degrees": 2.0, "budget_region": "siberia"}}, "siberia' is none of the regions"),
        ({"regions": {"cell_degrees": 0.5, "names": ["atlantis"]}}, "atlantis': no file"),
        ({"period": [2003, 2004], "north_of": 89}, "no pixel is left"),
    ],
)
def test_what_would_stop_the_end_of_a_run_stops_its_start(more: dict, match: str, tmp_path: Path):
    table = site_months()
    table["lat"], table["lon"] = 2 * table["lat"] - 59, 2 * table["lon"] - 25  # centres of cells of 2 degrees
    done = call("fuse", "run", project(tmp_path, table, **more))
    assert done.exit_code == 2
    assert match in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_project_is_no_table_of_posts(tmp_path: Path):
    done = call("budget", project(tmp_path, site_months()))
    assert done.exit_code == 2
    assert "is a project file, no table of posts. Use talik report" in " ".join(done.stderr.split())


def test_what_several_variables_share_is_told_once(tmp_path: Path):
    table = site_months()
    table.loc[(table.site == "two") & (table.month == 8), ["tmin", "tmax"]] = np.nan
    done = call("fuse", "run", project(tmp_path, table), "--dry-run")
    assert "error: two: tmin, tmax: 2003-08, 2004-08 missing" in done.stderr
