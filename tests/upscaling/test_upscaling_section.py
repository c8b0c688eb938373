"""Section `upscaling`: against the commands, slow sums and covariances, in pieces, resumed, and with wrong input."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import yaml
from cube_world import UNITS, cube, small_grid, training_table
from typer.testing import CliRunner

from talik.budget.files import read_posts
from talik.cli import app
from talik.errors import ConfigError, CoverageError, InputError
from talik.flux.dataset import validate
from talik.flux.io import open_flux, open_store
from talik.products.store import open_sums
from talik.regions import LatLonGrid, sectors
from talik.upscaling import regional
from talik.upscaling.cube.blocks import Domain
from talik.upscaling.cube.predictors import Tile, TileReader
from talik.upscaling.cube.tile import Spec
from talik.upscaling.distances import arc_km, unit_vectors
from talik.upscaling.error_model import PARTS, REGIONAL, ErrorModel
from talik.upscaling.inputs import read_training
from talik.upscaling.model import Model
from talik.upscaling.training_file import read_held_out, read_training_file
from talik.workflow import make_project, run_project
from talik.workflow.plan import make_plan

pytestmark = pytest.mark.filterwarnings("ignore:.*Zarr.*:UserWarning", "ignore:.*unclosed.*:ResourceWarning")
FLUXES = ("nee", "gpp")
FILES = ("upscaling-fluxes.nc", "upscaling.json", "upscaling-budgets.csv", "upscaling-posts.yaml")
TREES, MEMBERS, FOLDS = 12, 3, 3


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """A site table with positions, and a cube on cells of 2 by 4 degrees."""
    folder = tmp_path_factory.mktemp("section")
    table = training_table(20)
    rng = np.random.default_rng(7)
    at = {s: (rng.uniform(52, 78), rng.uniform(-170, 170)) for s in table["site_id"].unique()}
    table.insert(1, "lat", [at[s][0] for s in table["site_id"]])
    table.insert(2, "lon", [at[s][1] for s in table["site_id"]])
    table["ch4"] = 0.01 * table["reco"]
    table.rename(columns={k: f"{k} [{u}]" for k, u in UNITS.items()}).to_csv(
        folder / "sites.csv", index=False
    )
    cube(small_grid()).to_netcdf(folder / "cube.nc")
    return folder


@pytest.fixture(autouse=True)
def same_time(monkeypatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


def project(world: Path, out: str = "output", **changes: Any):
    section = {
        "sites": "sites.csv",
        "fluxes": list(FLUXES),
        "grids": ["cube.nc"],
        "settings": {"trees": TREES},
        "cv": {"design": "knndm", "folds": FOLDS},
        "members": MEMBERS,
        "regions": ["bands:50,60,80"],
        "years_a_unit": 1,
        "members_a_unit": 2,
        **changes,
    }
    period = {"first_year": 2001, "last_year": 2002}
    return make_project(
        {"talik": 1, "name": "up", "seed": 5, "period": period, "output": out, "upscaling": section}, world
    )


@pytest.fixture(scope="module")
def run(world, tmp_path_factory) -> Path:
    """The output folder of a run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        found = run_project(project(world))
    assert not found.failed, found.failed
    return world / "output"


@pytest.fixture(scope="module")
def result(run) -> dict[str, Any]:
    return json.loads((run / "upscaling.json").read_text())


def work(world: Path, step: str, unit: str) -> Path:
    """The result of a unit of the first run."""
    made = project(world)
    return make_plan(made.steps(), made.output)[step].path(unit)


def digests(output: Path) -> Mapping[str, str]:
    published = [output / name for name in FILES] + sorted((output / "upscaling-models").glob("*"))
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in published}


@pytest.fixture(scope="module")
def commands(world, run) -> Path:
    """Models with members by `talik upscale train`, and the store of `talik upscale predict`."""
    folder = world / "commands"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        for flux in FLUXES:
            told = f"upscale train {world}/sites.csv --flux {flux} --set trees={TREES} --cv knndm --folds {FOLDS}"
            told += f" --seed 5 --threads 1 -o {folder}/{flux}.talik"
            for more in ("", f" --bootstrap sites --members {MEMBERS}"):
                line = told.replace(".talik", ".all.talik") + more if more else told
                done = CliRunner().invoke(app, line.split())
                assert done.exit_code == 0, done.output
        models = " ".join(f"{folder}/{flux}.all.talik" for flux in FLUXES)
        line = (
            f"upscale predict {models} --grid {world}/cube.nc --out {folder}/store --regions bands:50,60,80"
        )
        done = CliRunner().invoke(app, line.split())
        assert done.exit_code == 0, done.output
    return folder


def test_models_are_those_of_the_command(run, commands) -> None:
    for flux in FLUXES:
        ours, theirs = run / f"upscaling-models/{flux}.talik", commands / f"{flux}.talik"
        assert ours.read_bytes() == theirs.read_bytes()


def test_fluxes_and_spread_are_those_of_the_command(run, commands, result) -> None:
    with open_flux(run / "upscaling-fluxes.nc") as ours, open_store(commands / "store") as theirs:
        validate(ours)
        assert ours.attrs["approach"] == "upscaling"
        assert dict(ours["nee"].sizes) == {"time": 24, "lat": 15, "lon": 90}
        for name in FLUXES:
            np.testing.assert_array_equal(ours[name].values, theirs[name].values)
            np.testing.assert_allclose(
                ours[f"{name}_member_sd"].values, theirs[f"{name}_member_sd"].values, rtol=1e-5
            )
        np.testing.assert_array_equal(ours["time_bnds"].values, theirs["time_bnds"].values)
        np.testing.assert_array_equal(ours["coverage"].values, theirs["coverage"].values)
    with open_sums(commands / "store") as sums:
        seconds = (sums["time_bnds"].diff("bnds").isel(bnds=0) / np.timedelta64(1, "s")).values
        for name in FLUXES:
            mass = (sums[f"{name}_members"].values * seconds * 1e-9).sum(-1) / 2
            for r, region in enumerate(map(str, sums["region"].values)):
                found = result["fluxes"][name]["regions"][region]["sd"]["site bootstrap"]
                assert found == pytest.approx(mass[:, r].std(ddof=1), rel=1e-9)


def test_totals_against_a_slow_sum(run, result) -> None:
    """Cell by cell from the published file, with the areas of the grid and the days of the calendar."""
    with open_flux(run / "upscaling-fluxes.nc") as ds:
        nee, area = ds["nee"].values.astype(float), ds["cell_area"].values
        days = np.array([(b - a) / np.timedelta64(1, "D") for a, b in ds["time_bnds"].values])
    assert days.tolist() == [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] * 2
    assert area[:, 0] == pytest.approx(small_grid().row_area_m2)
    yearly = []
    for first in (0, 12):
        total = 0.0
        for t in range(first, first + 12):
            for row, cell in zip(nee[t], area[:, 0], strict=True):
                total += row[np.isfinite(row)].sum() * cell * days[t] * 86400
        yearly.append(total * 1e-9)
    found = result["fluxes"]["nee"]["regions"]["domain"]
    assert [a["value"] for a in found["annual"]] == pytest.approx(yearly, rel=1e-6)
    assert found["mean"] == pytest.approx(np.mean(yearly), rel=1e-6)
    assert found["coverage"] == 1


def test_regions_weigh_cells_by_their_land(run, result) -> None:
    from talik.regions.named import named_weights

    weights = named_weights(["bands:50,60,80"], small_grid())
    with open_flux(run / "upscaling-fluxes.nc") as ds:
        gpp, area = ds["gpp"].values.astype(float), ds["cell_area"].values
        seconds = np.array([(b - a) / np.timedelta64(1, "s") for a, b in ds["time_bnds"].values])
    valid = np.isfinite(gpp).all(axis=0)
    for r, region in enumerate(map(str, weights["region"].values)):
        share = weights.values[r] * area
        mass = sum(
            gpp[t, j, i] * share[j, i] * seconds[t]
            for t in range(24)
            for j, i in np.argwhere(valid & (share > 0))
        )
        found = result["fluxes"]["gpp"]["regions"][region]
        assert found["mean"] == pytest.approx(mass * 1e-9 / 2, rel=1e-6)
        assert found["area_km2"] == pytest.approx(share[valid].sum() * 1e-6, rel=1e-9)
        assert 0 < found["coverage"] < 1
        assert found["per_area_g_m2_yr"] == pytest.approx(found["mean"] * 1e6 / found["area_km2"], rel=1e-9)


def test_limits_hold_both_kinds_of_error(result) -> None:
    for flux in FLUXES:
        of = result["fluxes"][flux]
        assert of["limits"]["contain"] == ["site bootstrap", "unseen places"]
        assert "instruments" in of["limits"]["not"]
        for region in of["regions"].values():
            sd = region["sd"]
            assert sd["total"] == pytest.approx(math.hypot(sd["site bootstrap"], sd["unseen places"]))
            assert region["high"] - region["mean"] == pytest.approx(1.959963984540054 * sd["total"])
            assert region["mean"] - region["low"] == pytest.approx(1.959963984540054 * sd["total"])
            for one in region["annual"]:  # one year is never surer than the mean of two
                assert one["high"] - one["low"] >= 0.7 * (region["high"] - region["low"])


def test_error_of_places_against_pairs_of_cells() -> None:
    """The variance of a regional mean, summed over all pairs of cells and months from the definition."""
    grid = LatLonGrid.regular((1.0, 2.0), lat=(58, 68), lon=(20, 60))
    rows = np.arange(0, grid.size, 1)
    areas = np.repeat(grid.row_area_m2, grid.shape[1])
    inside = np.column_stack([areas, np.where(rows % grid.shape[1] < 10, areas, 0.0)])
    domain = Domain(
        (Tile(0, grid.shape[0], 0, grid.shape[1]),), np.array([grid.size]), rows, np.ones(grid.size), inside,
        ("domain", "west"), np.ones(2), 0,
    )  # fmt: skip
    shares = dict(zip(PARTS, (0.1, 0.05, 0.2, 0.2, 0.1, 0.25, 0.1), strict=True))
    model = ErrorModel(**shares, range_km=600.0, range_months=3.0, sd=tuple(range(5, 17)))
    cells = regional.error_cells(domain, grid, 1e5)
    own = regional.own_squares(domain, None)
    mean, year = regional.place_spread(model, cells, own, (2001, 2002))

    lat, lon = np.meshgrid(grid.y, grid.x, indexing="ij")
    at = unit_vectors(lat.ravel(), lon.ravel())
    chord = np.linalg.norm(at[:, None] - at[None], axis=-1)
    near = np.exp(-arc_km(np.minimum(chord, 2.0)) / 600.0)
    for months, weight, found in ((24, 0.5, mean), (12, 1.0, year)):
        t = np.arange(months)
        sd = np.arange(5, 17)[t % 12]
        seasons = np.array(model.season)[t % 12]
        for r in range(2):
            total = 0.0
            for part, share in shares.items():
                kind = part if part == "nugget" else part.partition("_")[2]
                gap = np.abs(t[:, None] - t)
                time = {
                    "": np.ones((months, months)),
                    "season": (seasons[:, None] == seasons).astype(float),
                    "time": np.exp(-gap / 3.0),
                    "nugget": (gap == 0).astype(float),
                }[kind]
                a = inside[:, r]
                space = a @ near @ a if part in REGIONAL else (a**2).sum()
                total += share * (sd @ time @ sd) * space * weight**2
            assert found[r] == pytest.approx(math.sqrt(total) * 1e-12, rel=0.02)


def test_members_alone_are_narrower_and_said_so(world, run, result) -> None:
    found = run_project(
        project(world, limits={"contain": "members"}, cv={"design": "none"}), only=["upscaling"]
    )
    assert not found.failed, found.failed
    told = json.loads((world / "output" / "upscaling.json").read_text())["fluxes"]["nee"]
    assert told["limits"]["contain"] == ["site bootstrap"]
    assert "what the predictors do not say of a place" in told["limits"]["not"]
    assert told["cv"] is None
    assert told["error_of_places"] is None
    wide = result["fluxes"]["nee"]["regions"]["domain"]
    narrow = told["regions"]["domain"]
    assert narrow["high"] - narrow["low"] < wide["high"] - wide["low"]
    run_project(project(world))  # the other tests read the first result


def test_careful_limits_take_the_largest_regional_error(world, run, result) -> None:
    again = run_project(project(world, limits={"contain": "careful"}), only=["upscaling"])
    assert {o.step for o in again.outcomes if o.status == "done"} == {
        "upscaling"
    }  # nothing is predicted again
    told = json.loads((world / "output" / "upscaling.json").read_text())["fluxes"]["nee"]
    expected = result["fluxes"]["nee"]["error_of_places"]["sd_with_largest_regional_share"]
    for region, of in told["regions"].items():
        assert of["sd"]["unseen places"] == pytest.approx(expected[region])
    run_project(project(world))


def test_scores_and_applicability(world, run, result) -> None:
    held, told = read_held_out(run / "upscaling-held-out/nee.parquet")
    training = read_training_file(work(world, "upscaling-training", "nee"))
    error = held.predicted - training.data.y[held.rows]
    pooled = result["fluxes"]["nee"]["cv"]["pooled"]
    assert pooled["rmse"] == pytest.approx(math.sqrt((error**2).mean()))
    assert told["design"] == "knndm"
    assert len(np.unique(held.fold)) <= FOLDS
    with open_flux(run / "upscaling-fluxes.nc") as ds:
        area, inside = ds["cell_area"].values, ds["nee_applicability"].values
    valid = np.isfinite(inside)
    share = (inside * area)[valid].sum() / area[valid].sum()
    assert result["fluxes"]["nee"]["applicability"]["share"] == pytest.approx(share, rel=1e-5)
    assert 0 < share <= 1


def test_every_file_that_a_result_was_made_from_is_told(world, result) -> None:
    assert {name: told["sha256"] for name, told in result["inputs"].items()} == {
        name: hashlib.sha256((world / name).read_bytes()).hexdigest() for name in ("sites.csv", "cube.nc")
    }


def test_table_and_posts(run, result) -> None:
    with (run / "upscaling-budgets.csv").open() as file:
        rows = list(csv.DictReader(file))
    row = next(r for r in rows if (r["flux"], r["region"], r["period"]) == ("gpp", "domain", "2002"))
    assert float(row["value"]) == pytest.approx(
        result["fluxes"]["gpp"]["regions"]["domain"]["annual"][1]["value"]
    )
    assert row["positive"] == "down"
    assert row["units"] == "Tg C yr-1"
    held = read_posts(run / "upscaling-posts.yaml")
    (post,) = held.posts
    nee = result["fluxes"]["nee"]["regions"]["domain"]
    assert (post.id, post.gas, post.approach, post.period) == (
        "upscaling.nee",
        "CO2",
        "upscaling",
        "2001-2002",
    )
    assert (post.mean, post.low, post.high) == (nee["mean"], nee["low"], nee["high"])
    assert post.area_mkm2 == pytest.approx(nee["area_km2"] / 1e6)


def test_a_budget_takes_the_posts(world, run) -> None:
    data = yaml.safe_load((run / "upscaling-posts.yaml").read_text())
    assert data["recipes"] == [{"id": "total.upscaling", "gas": "CO2", "sum": ["upscaling.nee"]}]
    both = make_project(
        {**project(world).base.model_dump(), "upscaling": project(world).sections["upscaling"].model_dump(mode="json"),
         "budget": {"posts": "upscaling", "draws": 1000}}, world
    )  # fmt: skip
    found = run_project(both, only=["budget"])
    assert not found.failed, found.failed
    assert "total.upscaling" in (world / "output" / "budget.json").read_text()


def test_methane_is_a_post_of_its_own(world) -> None:
    options = {"fluxes": ["ch4"], "limits": {"contain": "members"}, "cv": {"design": "none"}, "regions": []}
    found = run_project(project(world, "methane", applicability=False, **options))
    assert not found.failed, found.failed
    with open_flux(world / "methane" / "upscaling-fluxes.nc") as ds:
        assert set(ds.data_vars) >= {"fch4", "fch4_member_sd"}
        assert "fch4_applicability" not in ds
    (post,) = read_posts(world / "methane" / "upscaling-posts.yaml").posts
    assert (post.id, post.gas) == ("upscaling.ch4", "CH4")
    assert post.mean > 0


def test_pieces_workers_and_resuming_change_no_byte(world, run) -> None:
    expected = digests(run)
    other = project(world, "other", years_a_unit=2, members_a_unit=3)
    for workers, last in (
        (1, "upscaling-domain"),
        (2, "upscaling-years"),
        (2, "upscaling-members"),
        (1, None),
    ):
        cut = run_project(other, workers=workers, only=[last] if last else None)
        assert not cut.failed, cut.failed
    assert digests(world / "other") == expected
    lost = {
        "upscaling-members": "nee-0002-0002",
        "upscaling-years": "years-2002-2002",
        "upscaling-fluxes": "fluxes",
        "upscaling": "upscaling",
    }
    for step, unit in lost.items():
        work(world, step, unit).unlink()
    again = run_project(project(world), resume=True)
    assert {o.unit for o in again.outcomes if o.status == "done"} == set(lost.values())
    assert digests(run) == expected


def test_predictors_from_grids_at_the_sites(world) -> None:
    """The rows of the table without their own predictors, which the cube gives."""
    import pandas as pd

    table = pd.read_csv(world / "sites.csv")
    table[["site_id", "lat", "lon", "year", "month", "nee"]].to_csv(world / "bare.csv", index=False)
    options = {"sites": "bare.csv", "fluxes": ["nee"], "at_sites": ["cube.nc:soil_temperature,soc_stock"]}
    found = run_project(project(world, "bare", **options, members=0, regions=[], applicability=False))
    assert not found.failed, found.failed
    model = Model.load(world / "bare" / "upscaling-models" / "nee.talik")
    assert set(model.schema.names) == {"month", "soil_temperature", "soc_stock"}
    told = json.loads((world / "bare" / "upscaling.json").read_text())["fluxes"]["nee"]
    assert told["limits"]["contain"] == ["unseen places"]
    assert told["members"] == 0


def test_a_table_with_errors_is_refused_or_its_errors_are_told(world) -> None:
    import pandas as pd

    table = pd.read_csv(world / "sites.csv")
    assert "nee" in table.columns
    table.loc[[6, 9], "lat"] = 97.0
    table.to_csv(world / "wrong.csv", index=False)
    options = {"sites": "wrong.csv", "fluxes": ["nee"], "members": 0, "regions": [], "applicability": False}
    (failed,) = run_project(project(world, "wrong", **options), only=["upscaling-training"]).failed
    assert "wrong.csv: 1 error in the table. lat, lon: outside -90..90, -180..360 (2 rows;" in failed.error
    assert "(rows 7, 10). Correct the position." in failed.error
    assert "accept_errors: true" in failed.error
    taken = run_project(project(world, "wrong", **options, accept_errors=True), only=["upscaling-training"])
    assert not taken.failed
    made = project(world, "wrong", **options, accept_errors=True)
    path = make_plan(made.steps(), made.output)["upscaling-training"].path("nee")
    assert any("accepted error: lat, lon: outside" in note for note in read_training_file(path).notes)


def test_rows_without_a_date_or_a_position_are_left_out(world) -> None:
    import pandas as pd

    table = pd.read_csv(world / "sites.csv")[["site_id", "lat", "lon", "year", "month", "nee"]]
    table = table.astype({"year": float})
    table.loc[[0, 1, 2], "year"] = np.nan
    table.loc[[3], "lat"] = np.nan
    table.to_csv(world / "undated.csv", index=False)
    sites, grid = world / "undated.csv", f"{world / 'cube.nc'}:soil_temperature"
    found = read_training(sites, flux="nee", grids=[grid], located=True)
    assert dict(found.dropped)["no year or month"] == 3
    assert dict(found.dropped)["no position"] == 1
    table.drop(columns="lat").to_csv(sites, index=False)
    with pytest.raises(
        InputError, match=r"column lat missing\. Designs cluster and knndm .*\{contain: members\}"
    ):
        read_training(sites, flux="nee", located=True)


def test_land_share_and_holes(world) -> None:
    ds = cube(small_grid(), holes=True)
    ds.to_netcdf(world / "holed.nc")
    options = {"grids": ["holed.nc"], "fluxes": ["nee"], "members": 0, "regions": [], "applicability": False}
    failed = run_project(project(world, "holed", **options)).failed
    assert "12 of" in failed[0].error
    assert "in some months only" in failed[0].error
    land = xr.DataArray(np.full(small_grid().shape, 0.25), dims=("lat", "lon"), coords=small_grid().coords())
    land.to_dataset(name="share").to_netcdf(world / "land.nc")
    found = run_project(project(world, "holed", holes="drop", land_fraction="land.nc:share", **options))
    assert not found.failed, found.failed
    told = json.loads((world / "holed" / "upscaling.json").read_text())
    assert told["domain"]["dropped_cells"] == 12
    with open_flux(world / "holed" / "upscaling-fluxes.nc") as out:
        valid = out["coverage"].values > 0
        assert told["domain"]["cells"] == valid.sum()
        assert (out["land_fraction"].values[valid] == 0.25).all()
        area = 0.25 * out["cell_area"].values[valid].sum()
    assert told["fluxes"]["nee"]["regions"]["domain"]["area_km2"] == pytest.approx(area / 1e6)


def test_no_total_over_a_hole(world, run) -> None:
    out = run_project(
        project(world, "output", least_coverage=1.0, budget_region="nowhere"), only=["upscaling-posts"]
    )
    told = json.loads((world / "output" / "upscaling.json").read_text())["fluxes"]["nee"]["regions"]
    bands = [name for name, of in told.items() if of["coverage"] < 0.99]
    assert len(bands) == 1  # the sea in the corner of the world
    assert told[bands[0]]["mean"] is None
    assert told[bands[0]]["annual"][0] == {"year": 2001, "value": None, "low": None, "high": None}
    assert told["domain"]["mean"] is not None
    (failed,) = out.failed
    assert "no region 'nowhere'" in failed.error
    from talik.upscaling.posts import upscaling_posts

    result = json.loads((world / "output" / "upscaling.json").read_text())
    with pytest.raises(CoverageError, match="a hole is no post"):
        upscaling_posts(result, bands[0], "somewhere")
    run_project(project(world))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"cv": {"design": "year"}}, "leaves no place out"),
        ({"members": 1}, "limits need 2 or more"),
        ({"members": 0, "limits": {"contain": "members"}}, "limits need 2 or more"),
        ({"fluxes": ["nee", "nee"]}, "named twice"),
        ({"fluxes": ["n2o"]}, "upscaling.fluxes"),
        ({"at_sites": ["cube.nc"]}, "FILE:VARIABLE"),
        ({"land_fraction": "land.nc"}, "FILE:VARIABLE"),
        ({"years": [2002, 2001]}, "lies before"),
        ({"tune": True, "cv": {"design": "none"}, "limits": {"contain": "members"}}, "tune needs"),
        ({"sitez": "x"}, "did you mean 'sites'"),
    ],
)
def test_settings_that_cannot_work(world, changes, told) -> None:
    with pytest.raises(ConfigError, match=told):
        project(world, **changes)


def test_the_plan_opens_no_file(tmp_path) -> None:
    """Files that an earlier step would make are not there yet when the steps are made."""
    made = project(
        tmp_path, grids=["output/cube.nc"], sites="output/sites.csv", land_fraction="output/land.nc:a"
    )
    names = [step.name for step in made.steps()]
    assert names[0] == "upscaling-training"
    assert names[-1] == "upscaling-posts"
    with pytest.raises(InputError, match="not found"):
        make_plan(made.steps(), made.output)


def test_the_plan_refuses_what_is_wrong_before_it_runs(world, tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"no setting 'tree' \(did you mean 'trees'\?\)"):
        project(world, settings={"tree": 10}).steps()
    with pytest.raises(InputError, match="no file"):
        project(world, regions=["nowhere.geojson"]).steps()
    base = {"talik": 1, "name": "up", "upscaling": {"sites": "s.csv", "fluxes": ["nee"], "grids": ["c.nc"]}}
    with pytest.raises(ConfigError, match="which years"):
        make_project(base, tmp_path).steps()


def test_a_predictor_on_another_scale_is_refused(world) -> None:
    ds = cube(small_grid())
    ds["soc_stock"] = ds["soc_stock"] * 1000
    ds["soc_stock"].attrs["units"] = "t ha-1"
    ds.to_netcdf(world / "scaled.nc")
    failed = run_project(project(world, "scaled", grids=["scaled.nc"], fluxes=["nee"], members=0)).failed
    assert "soc_stock" in failed[0].error
    assert "1000 times too large" in failed[0].error


def test_training_that_was_changed_is_refused(world, run, tmp_path) -> None:
    import pandas as pd

    path = shutil.copy(work(world, "upscaling-training", "nee"), tmp_path / "t.parquet")
    rows = pd.read_parquet(path)
    kept = dict(rows.attrs)
    rows.loc[0, "nee"] += 1
    rows.attrs = kept
    rows.to_parquet(path)
    with pytest.raises(InputError, match="not those that were written"):
        read_training_file(path)
    rows.attrs = {}
    rows.to_parquet(path)
    with pytest.raises(InputError, match="not training data"):
        read_training_file(path)


def test_small_predictors_are_read_at_once(world, commands, monkeypatch) -> None:
    """One reading of all months gives what single readings give."""
    spec = Spec.read(commands / "store.work" / "spec.json")
    opened = spec.open_cube()
    tile = Tile(3, 12, 5, 40)
    quick, slow = TileReader(opened, tile, 2.0**28), TileReader(opened, tile, 0.0)
    for k in range(len(opened.features)):
        for step in (0, 7, 23):
            np.testing.assert_array_equal(quick.read(k, step), slow.read(k, step))
    monkeypatch.setattr(type(opened), "read", None)
    assert quick.read(1, 13).shape == tile.shape or quick.read(1, 13).shape == ()


def test_sectors_of_coarse_cells() -> None:
    """Regions of a grid coarser than the cells of errors keep their area."""
    grid = LatLonGrid.regular((3.0, 6.0), lat=(54, 78), lon=(-180, 180))
    weights = sectors(grid)
    area = np.broadcast_to(grid.row_area_m2[:, None], grid.shape)
    inside = (np.nan_to_num(weights.values) * area).reshape(len(weights), -1).T
    n = grid.size
    domain = Domain(
        (Tile(0, grid.shape[0], 0, grid.shape[1]),), np.array([n]), np.arange(n), np.ones(n), inside,
        tuple(map(str, weights["region"].values)), np.ones(len(weights)), 0,
    )  # fmt: skip
    cells = regional.error_cells(domain, grid, 1e5)
    for one, a in zip(cells, inside.sum(axis=0), strict=True):
        assert one is not None
        assert one.area.sum() == pytest.approx(a, rel=1e-6)
        assert one.cell_m == 1e5
        assert len(one.lat) > 20


@pytest.mark.parametrize("changes", [{"members": 5}, {"fluxes": ["nee"]}, {"fluxes": ["gpp", "nee"]}])
def test_another_number_of_members_or_fluxes_is_another_result(world, changes) -> None:
    """The numbers of the steps before are other units of the same steps; what is made of them is made anew."""
    plans = [make_plan(p.steps(), p.output) for p in (project(world), project(world, **changes))]
    old, new = ({s.step.name: s.key for s in plan.steps} for plan in plans)
    anew = {name for name in new if new[name] != old[name]}
    assert {"upscaling-fluxes", "upscaling", "upscaling-budgets", "upscaling-posts"} <= anew
    assert ("upscaling-years" in anew) == ("fluxes" in changes)  # one file holds all fluxes
    assert "upscaling-training" not in anew


def test_a_table_without_positions_is_told_what_asks_for_them(world) -> None:
    import pandas as pd

    table = pd.read_csv(world / "sites.csv")[["site_id", "year", "month", "nee"]]
    table.to_csv(world / "nowhere.csv", index=False)
    with pytest.raises(InputError, match=r"nowhere\.csv: column lat, lon missing.*upscaling\.at_sites"):
        read_training(world / "nowhere.csv", flux="nee", grids=[f"{world / 'cube.nc'}:soil_temperature"])


def test_dates_are_not_cut_to_whole_numbers(world) -> None:
    """A table of any columns too: the year 2001.5 is neither 2001 nor left out in silence."""
    import pandas as pd

    table = pd.read_csv(world / "sites.csv")[["site_id", "lat", "lon", "year", "month", "nee"]]
    table = table.astype({"year": float})
    table.loc[[3, 5], "year"] = 2001.5
    table.to_csv(world / "half.csv", index=False)
    grid = f"{world / 'cube.nc'}:soil_temperature"
    told = r"half\.csv: year is 2001\.5 in rows 4, 6 \(2 rows\); expected a whole number\. Correct it"
    with pytest.raises(InputError, match=told):
        read_training(world / "half.csv", flux="nee", grids=[grid])
    with pytest.raises(InputError, match=told):
        read_training(
            world / "half.csv", target="nee", group="site_id", predictors=["soil_temperature"], grids=[grid]
        )


def test_advice_names_the_settings_of_a_project(world) -> None:
    import pandas as pd

    table = pd.read_csv(world / "sites.csv")
    table["other"] = np.arange(len(table)) % 7.0
    table.to_csv(world / "other.csv", index=False)
    options = {
        "sites": "other.csv",
        "fluxes": ["nee"],
        "members": 0,
        "regions": [],
        "predictors": ["month", "other"],
    }
    failed = run_project(project(world, "other", **options), only=["upscaling-domain"]).failed[0]
    assert "no variable other" in failed.error
    assert "upscaling.grids" in failed.error
    assert "upscaling.predictors" in failed.error
    with pytest.raises(ConfigError, match=r"is in the site table already; .*upscaling\.at_sites"):
        read_training(world / "sites.csv", flux="nee", grids=[f"{world / 'cube.nc'}:soil_temperature"])
