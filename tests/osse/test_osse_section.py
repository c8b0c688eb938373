"""The `world` section in a small project that is the demo's: the process model runs once for the whole module."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

import talik
from talik.cli import app
from talik.errors import InputError
from talik.flux import open_flux
from talik.inventory.areas import cover_areas
from talik.osse.demo import RECIPES
from talik.osse.geography import make_land
from talik.osse.models import PROFILE, file_names
from talik.osse.nature import TRUTH, joined, model_land, read_nature
from talik.osse.settings import WorldSettings
from talik.osse.world import (
    CELLS,
    FILES,
    FOLDER,
    MODELS,
    NATURE,
    files_of_nature,
    files_of_settings,
)
from talik.sources.bawld import read_bawld
from talik.sources.doctor import diagnose
from talik.sources.inversions import read_inversion
from talik.sources.model_output import read_model
from talik.sources.site_table import read_sites
from talik.workflow import load_project, plan_project, verify

WORLD: dict[str, Any] = {
    "first_year": 1996,
    "period": [2002, 2005],
    "grid": {"lat_step": 9.0, "lon_step": 45.0},
    "ensemble": {"models": 2, "lat_step": 18.0, "lon_step": 60.0},
    "inversions": {"systems": 2},
    "towers": {"count": 24},
    "pixels": {"years": 3},
}
"""25 cells, and 8 of each model."""
pytestmark = pytest.mark.science


def project_of(world: dict[str, Any]) -> dict[str, Any]:
    """The demo's project file on another world."""
    template = resources.files("talik.osse").joinpath("data", "project.yaml").read_text(encoding="utf-8")
    models = "\n".join(
        f'    model-{i}: {{profile: TRENDY, files: ["world/models/model-{i}_*.nc"], soil_carbon: bulk}}'
        for i in (1, 2)
    )
    land = make_land(WorldSettings.model_validate({**world, "seed": 5}))
    area = float(land.land_area_m2[~land.ice].sum()) / 1e12
    project = yaml.safe_load(template.format(seed=5, block=9, area=area, models=models))
    first, last = world["period"]
    project["period"] = {"first_year": first, "last_year": last}
    project["world"] = world
    project["tem"] |= {"period": [world["first_year"], last]}
    for phase in ("equilibrium", "spin_up"):
        project["tem"][phase]["climate"] = [world["first_year"], world["first_year"] + 9]
    project["fusion"]["period"] = [last - 2, last]
    project["inventory"]["period"] = f"{first}-{last}"
    project["ensemble"]["decades"] = [{"first_year": first, "last_year": last}]
    return dict(json.loads(json.dumps(project)))  # no YAML alias


def write(folder: Path, project: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    recipes = resources.files("talik.osse").joinpath("data", RECIPES).read_text(encoding="utf-8")
    (folder / RECIPES).write_text(recipes, encoding="utf-8")
    path = folder / "project.yaml"
    path.write_text(yaml.safe_dump(project))
    return path


def run(folder: Path, cache: Path, *options: str) -> dict[str, Any]:
    """`talik run --only world` in a process of its own; what it says as JSON."""
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(cache),
        "SOURCE_DATE_EPOCH": "1",  # the truth says when it was made
        "PYTHONPATH": str(Path(talik.__file__).parents[1]),
    }
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "talik",
            "run",
            str(folder / "project.yaml"),
            "--only",
            "world",
            "--json",
            *options,
        ],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def contents(folder: Path) -> dict[str, bytes]:
    """Bytes of every published file."""
    root = folder / FOLDER
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is compiled stays for the module."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    folder = tmp_path_factory.mktemp("world") / "made"
    write(folder, project_of(WORLD))
    run(folder, cache, "--workers", "1")
    return folder


@pytest.fixture(scope="module")
def settings(made: Path) -> WorldSettings:
    return WorldSettings.model_validate({**WORLD, "seed": 5})


def unit_of(folder: Path, step: str, unit: str) -> Path:
    planned = plan_project(load_project(folder / "project.yaml"), [step])[step]
    return planned.path(unit)


def test_every_file_is_there_and_named_in_the_manifest(made):
    expected = {*files_of_settings(), *(name for _, files in files_of_nature().values() for name in files)}
    models = {
        f"models/model-{i}_{name}.nc"
        for i in (1, 2)
        for name in ("S3_gpp", "S3_npp", "S3_ra", "S3_rh", "S3_nbp", "S3_cVeg", "S3_cSoil", "landFrac")
    }
    assert set(contents(made)) == expected | models
    assert verify(made) == []


def test_two_workers_make_the_same_bytes(made, cache, tmp_path):
    write(tmp_path, project_of(WORLD))
    run(tmp_path, cache, "--workers", "2")
    other = contents(tmp_path)
    assert [name for name, held in contents(made).items() if other[name] != held] == []


def test_units_that_are_lost_are_made_again_alone_and_the_same(made, cache, tmp_path):
    shutil.copytree(made, tmp_path / "again")
    folder, before = tmp_path / "again", contents(made)
    lost = {
        (CELLS, "cells-1"),
        (NATURE, "nature"),
        ("world-towers", "sites.csv"),
        (MODELS, "model-2_S3_gpp.nc"),
    }
    for step, unit in lost:
        path = unit_of(folder, step, unit)
        for part in path.parent.glob(f"{path.name}*"):
            part.unlink()
    (folder / FOLDER / "land.nc").unlink()
    told = run(folder, cache, "--workers", "1", "--resume")
    assert {(o["step"], o["unit"]) for o in told["outcomes"] if o["status"] == "done"} == lost
    assert {o["status"] for o in told["outcomes"]} == {"done", "cached"}
    assert contents(folder) == before
    assert verify(folder) == []


def test_worlds_that_differ_in_what_is_observed_share_the_process_model(tmp_path):
    def keys(name: str, **changes: Any) -> dict[str, str]:
        path = write(tmp_path / name, project_of({**WORLD, **changes}))
        groups = [f"world-{group}" for group in files_of_nature()]
        plan = plan_project(load_project(path), [*groups, FILES, MODELS])
        return {p.step.name: p.key for p in plan.steps}

    plain = keys("plain")
    for name, changes, anew in (
        ("towers", {"towers": {"count": 40}}, {"world-towers", "world-pixels"}),
        ("inversions", {"inversions": {"systems": 3}}, {"world-inversions"}),
        ("maps", {"maps": {"cover_sd": 0.3}}, {"world-maps", "world-towers"}),
        ("pixels", {"pixels": {"years": 2}}, {"world-pixels"}),
    ):
        other = keys(name, **changes)
        assert {step for step, key in plain.items() if other[step] != key} == anew, name
    for name, changes in (("seed", {"seed": 6}), ("climate", {"climate": {"rain_sd": 0.1}})):
        other = keys(name, **changes)
        assert all(other[step] != key for step, key in plain.items()), name


def test_the_truth_is_a_carbon_budget(made, settings):
    """Of the process model, after fire as before: nee = reco - gpp = ra + rh - gpp; plants gain more than they lose."""
    nature = read_nature(unit_of(made, NATURE, "nature"), settings)
    months = nature.months
    largest = float(months["gpp"].max())
    assert largest > 0
    for left, right in (
        (months["nee"], months["reco"] - months["gpp"]),
        (months["reco"], months["ra"] + months["rh"]),
        (months["nep"], -months["nee"]),
        (months["npp"], months["gpp"] - months["ra"]),
    ):
        np.testing.assert_allclose(left.values, right.values, atol=1e-6 * largest)
    grows = np.array(nature.community) != "alpine_tundra_polar_desert"
    gpp, ra = (months[name].values.sum(axis=0) for name in ("gpp", "ra"))
    assert (gpp >= 0).all()
    assert (gpp[grows] > 0).all()
    assert (ra[grows] < 0.9 * gpp[grows]).all()
    assert (months["fFire"] >= 0).all()
    assert np.isfinite(months["nee"].values).all()
    assert months.sizes["time"] == 48


def test_a_truth_of_another_world_is_refused(made, settings):
    path = unit_of(made, NATURE, "nature")
    for other in (
        settings.model_copy(update={"period": (2001, 2005)}),
        settings.model_copy(update={"grid": settings.grid.model_copy(update={"lon_step": 30.0})}),
    ):
        with pytest.raises(InputError, match="Make the world again"):
            read_nature(path, other)


def test_blocks_are_joined_in_the_order_of_the_land(made, settings):
    blocks = sorted((unit_of(made, CELLS, "cells-0").parent).glob("cells-*.nc"))
    truth, land = joined(blocks, TRUTH), read_nature(unit_of(made, NATURE, "nature"), settings).land
    assert truth.sizes["cell"] == land.size
    for name in ("model-1", "model-2"):
        assert joined(blocks, name).sizes["cell"] == model_land(settings).size
    # gross production before and after what burns is the same: the file of the truth has the cells in this order
    read = read_nature(unit_of(made, NATURE, "nature"), settings).months
    np.testing.assert_array_equal(truth["gpp"].values, read["gpp"].values)


def test_each_file_is_read_by_its_reader(made, settings, tmp_path):
    world = made / FOLDER
    with open_flux(world / "truth.nc") as truth:
        assert set(truth.data_vars) >= {"nee", "gpp", "reco", "rh", "fFire", "fch4", "nbe"}
        assert truth.sizes["time"] == 48
    with open_flux(world / "fire.nc") as fire:
        assert float(fire["fFire"].min()) == 0.0
    parts = pd.read_csv(world / "truth.csv")
    assert set(parts["year"]) == {2002, 2003, 2004, 2005}
    assert not read_sites(world / "sites.csv").dropped
    assert {p.severity for p in diagnose(world / "sites.csv").problems} <= {"note", "warning"}
    land = read_nature(unit_of(made, NATURE, "nature"), settings).land
    areas = cover_areas(read_bawld(world / "cover.csv.gz"))
    assert sum(a.mean for a in areas.values()) == pytest.approx(land.land_area_m2.sum() / 1e12, rel=1e-4)
    inversions = read_inversion(world / "inversions.nc", "gcb", check_total=False)
    assert inversions.sizes["time"] == 48
    for name in ("model-1", "model-2"):
        model = read_model([world / "models" / file for file in file_names(name)], PROFILE)
        assert model.fluxes.sizes["time"] == 48
    assert len(pd.read_csv(world / "co2.csv")) == 10


def test_the_project_of_the_demo_finds_nothing_wrong_with_any_file(made):
    """Each section reads its files as it will: sites, cube, drivers of process model and pixels, cover, members."""
    done = CliRunner().invoke(app, ["check", str(made / "project.yaml")])
    assert done.exit_code == 0, done.output
