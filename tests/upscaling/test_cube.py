"""Prediction over cubes: against a table and `Model.predict`, in every layout, killed, damaged and resumed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from cube_world import cube, make_model, slow_prediction, small_grid
from typer.testing import CliRunner

from talik.cli import app
from talik.errors import ConfigError, GridError, InputError, UnitsError
from talik.flux.dataset import validate
from talik.flux.io import open_store
from talik.products.store import open_sums
from talik.upscaling.cube import run, store
from talik.upscaling.cube.plan import parse_memory, tile_edge
from talik.upscaling.cube.run import prepare, verify_store
from talik.upscaling.influence import Bags
from talik.upscaling.model import Model

pytestmark = pytest.mark.filterwarnings("ignore:.*Zarr.*:UserWarning", "ignore:.*unclosed.*:ResourceWarning")


ALL = ("nee", "gpp", "reco")


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """nee, gpp and reco models with 3 members, and a cube, in one folder."""
    folder = tmp_path_factory.mktemp("world")
    for flux in ("nee", "gpp", "reco"):
        make_model(flux, folder / f"{flux}.model", members=3)
    cube().to_netcdf(folder / "cube.nc")
    return folder


@pytest.fixture(autouse=True)
def same_time(monkeypatch) -> None:
    """Outputs of equal runs then differ in nothing."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


def models(world: Path, *fluxes: str) -> list[Path]:
    return [world / f"{f}.model" for f in fluxes or ("nee", "gpp", "reco")]


def predict(
    world: Path, out: Path, *, grid: list[Path] | None = None, workers: int = 1, fluxes=ALL, **settings
):
    settings.setdefault("tile", 32)
    prediction = prepare(
        models(world, *fluxes), grid or [world / "cube.nc"], out, workers=workers, **settings
    )
    return prediction, prediction.run(workers)


def failures(outcomes) -> list[str]:
    return [o.error for o in outcomes if o.status == "failed"]


def content(out: Path) -> dict[str, str]:
    """Hash of every file of a store, and the numbers of its sums."""
    held = {
        p.relative_to(out).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(out.rglob("*"))
        if p.is_file()
    }
    with open_sums(out) as sums:
        for name, values in sums.data_vars.items():
            held[str(name)] = hashlib.sha256(np.ascontiguousarray(values.values).tobytes()).hexdigest()
    return held


def seconds_of(time_axis) -> np.ndarray:
    stamps = pd.DatetimeIndex(time_axis.values).to_period("M")
    return stamps.days_in_month.to_numpy() * 86400.0


@pytest.fixture(scope="module")
def product(world) -> Path:
    """The whole product, made once."""
    os.environ["SOURCE_DATE_EPOCH"] = "1700000000"
    out = world / "fluxes.zarr"
    _, outcomes = predict(world, out, regions=["sectors", "bands:49,80,85,90"], influence=True)
    assert failures(outcomes) == []
    return out


def test_every_pixel_and_month_is_what_the_model_says(world, product) -> None:
    ds = xr.open_dataset(world / "cube.nc")
    made = open_store(product)
    validate(made)
    length = seconds_of(ds["time"])
    for flux in ("nee", "gpp", "reco"):
        model = Model.load(world / f"{flux}.model")
        for step in (0, 6, 13, 23):
            wanted = (slow_prediction(model, ds, step) * (1e-3 / length[step])).astype(np.float32)
            assert np.array_equal(made[flux].values[step], wanted, equal_nan=True)
    covered = np.isfinite(made["nee"].values)
    assert (covered == (made["coverage"].values == 1)[None]).all()  # one mask for all months
    assert float(made["cell_area"][0, 0]) == 50_000.0**2
    assert list(pd.DatetimeIndex(made["time_bnds"].values[:, 0])) == list(pd.DatetimeIndex(ds["time"].values))


def test_sums_by_region(world, product) -> None:
    ds, sums, made = xr.open_dataset(world / "cube.nc"), open_sums(product), open_store(product)
    model = Model.load(world / "gpp.model")
    length = seconds_of(ds["time"])
    exact = np.nansum(slow_prediction(model, ds, 7)) * 50_000.0**2 * 1e-3 / length[7]
    assert np.isclose(float(sums["gpp"].sel(region="domain")[7]), exact, rtol=1e-12)
    valid = made["coverage"].values == 1
    assert float(sums["area"].sel(region="domain")) == valid.sum() * 50_000.0**2
    assert int(sums["pixels"]) == valid.sum()
    named = [str(r) for r in sums["region"].values]
    assert named == ["domain", "alaska", "canada", "europe", "siberia", "49-80N", "80-85N", ">85N"]
    by_band = sums["gpp"].sel(region=["49-80N", "80-85N", ">85N"]).sum("region")
    assert np.allclose(by_band, sums["gpp"].sel(region="domain"), rtol=1e-9)  # the bands cover the domain


def test_members_are_accumulated(world, product) -> None:
    ds, made, sums = xr.open_dataset(world / "cube.nc"), open_store(product), open_sums(product)
    model = Model.load(world / "nee.model")
    length = seconds_of(ds["time"])
    first, second = ds["soc_stock"].shape
    total = np.zeros((3, first, second))
    for member in range(3):
        alone = Model(model.learner, _Alone(model, member), model.schema, model.facts)
        for step in range(24):
            total[member] += slow_prediction(alone, ds, step) * 1e-3
        rate = total[member] / length.sum()
        got = (sums["nee_members"].sel(region="domain")[member] * length).sum() / length.sum()
        assert np.isclose(float(got), np.nansum(rate) * 50_000.0**2, rtol=1e-10)
    wanted = (total / length.sum()).std(0, ddof=1)
    assert np.allclose(made["nee_member_sd"].values, wanted, rtol=1e-5, atol=1e-16, equal_nan=True)
    assert np.allclose(
        made["nee_member_mean"].values, total.mean(0) / length.sum(), rtol=1e-5, equal_nan=True
    )


class _Alone:
    """One bootstrap member behind the interface of a fitted learner."""

    def __init__(self, model: Model, member: int) -> None:
        self.own = model.members[member]

    def predict(self, x, threads: int = 1):
        return self.own.predict(x, threads)


def test_influence_adds_up_and_leaves_a_site_out(world, product) -> None:
    ds, sums = xr.open_dataset(world / "cube.nc"), open_sums(product)
    length = seconds_of(ds["time"])
    total = (sums["nee"] * length).sum("time")
    assert np.allclose(sums["nee_linear_total"], total, rtol=1e-10, atol=1e-6 * float(abs(total[0])))
    share = sums["nee_influence"].sel(region="domain")
    assert np.allclose(share.sum(), 1)
    assert share.size == 24
    assert np.isclose(
        float(sums["nee_effective_sites"].sel(region="domain")), 1 / (share**2).sum(), rtol=1e-12
    )
    # the same from the definition, row by row, for one site
    model = Model.load(world / "nee.model")
    trees, bags = model.fitted.trees, Bags.of(model)
    parent = np.full(trees.n_nodes, -1)
    for k in np.flatnonzero(trees.feature >= 0):
        parent[trees.left[k]] = parent[trees.left[k] + 1] = k
    gone, change = 3, 0.0
    for step in (0, 1):
        x = _encoded(model, ds, step)
        leaves = trees.leaves(x)
        value = {}
        for t in range(trees.n_trees):
            for leaf in np.unique(leaves[:, t]):
                node, own = int(leaf), bags.leaf[t]
                while True:
                    inside = np.array([_below(parent, int(k), node) for k in own])
                    keep = inside & (bags.groups != gone)
                    if (bags.weight[t] * keep).sum() > 0 or parent[node] < 0:
                        break
                    node = int(parent[node])
                touched = (inside & (bags.groups == gone) & (bags.weight[t] > 0)).any()
                w = bags.weight[t] * keep
                value[t, int(leaf)] = (w @ bags.y / w.sum() - trees.value[leaf]) if touched else 0.0
        change += sum(value[t, int(k)] for t in range(trees.n_trees) for k in leaves[:, t]) / trees.n_trees
    two = _two_months(world)
    assert np.isclose(
        float(two["nee_without"].sel(region="domain")[gone]), change * 50_000.0**2 * 1e-3, rtol=1e-8
    )


def _two_months(world: Path) -> xr.Dataset:
    out = world / "two.zarr"
    if not out.exists():
        ds = xr.open_dataset(world / "cube.nc").isel(time=slice(0, 2))
        ds.to_netcdf(world / "two.nc")
        _, outcomes = predict(world, out, grid=[world / "two.nc"], fluxes=("nee",), members=0, influence=True)
        assert failures(outcomes) == []
    return open_sums(out)


def _below(parent, node: int, top: int) -> bool:
    while node >= 0 and node != top:
        node = parent[node]
    return node == top


def _encoded(model: Model, ds: xr.Dataset, step: int):
    held = {}

    class Spy:
        def predict(self, x, threads: int = 1):
            held["x"] = x
            return np.zeros(len(x))

    slow_prediction(Model(model.learner, Spy(), model.schema, model.facts), ds, step)
    return held["x"]


LAYOUTS = {
    "descending rows": lambda ds: ds.isel(lat=slice(None, None, -1)),
    "0 to 360": lambda ds: ds.assign_coords(lon=ds["lon"] % 360).sortby("lon"),
    "columns first": lambda ds: ds.transpose("lon", "lat", ...),
    "other names": lambda ds: ds.rename(lat="latitude", lon="longitude"),
    "degrees Celsius": lambda ds: ds.assign(
        soil_temperature=(ds["soil_temperature"].astype("f8") - 273.15).assign_attrs(units="degC")
    ),
}


@pytest.fixture(scope="module")
def plain(world) -> np.ndarray:
    cube(small_grid()).to_netcdf(world / "latlon.nc")
    _, outcomes = predict(
        world, world / "latlon.zarr", grid=[world / "latlon.nc"], fluxes=("gpp",), members=0
    )
    assert failures(outcomes) == []
    return open_store(world / "latlon.zarr")["gpp"].values


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout_of_the_same_cube_gives_the_same(world, plain, layout, tmp_path) -> None:
    LAYOUTS[layout](cube(small_grid())).to_netcdf(tmp_path / "cube.nc")
    _, outcomes = predict(world, tmp_path / "f.zarr", grid=[tmp_path / "cube.nc"], fluxes=("gpp",), members=0)
    assert failures(outcomes) == []
    got = open_store(tmp_path / "f.zarr")["gpp"].values
    if layout == "degrees Celsius":  # float32 kelvin, float64 Celsius: a threshold may lie between the two
        assert np.mean(~np.isclose(got, plain, equal_nan=True)) < 1e-3
    else:
        assert np.array_equal(got, plain, equal_nan=True)


def test_a_cube_of_several_files_and_zarr(world, plain, tmp_path) -> None:
    ds = cube(small_grid())
    ds[["soil_temperature", "srad", "crs"]].to_zarr(tmp_path / "a.zarr", consolidated=False)
    ds[["co2"]].to_netcdf(tmp_path / "b.nc")
    ds[["vegetation_type", "soc_stock", "tree_cover", "crs"]].to_netcdf(tmp_path / "c.nc")
    files = [tmp_path / n for n in ("a.zarr", "b.nc", "c.nc")]
    _, outcomes = predict(world, tmp_path / "f.zarr", grid=files, fluxes=("gpp",), members=0)
    assert failures(outcomes) == []
    assert np.array_equal(open_store(tmp_path / "f.zarr")["gpp"].values, plain, equal_nan=True)


def refused(world: Path, ds: xr.Dataset, tmp_path: Path, **settings) -> str:
    """The message for a cube that cannot be predicted from; nothing is left behind."""
    path = tmp_path / f"bad{len(list(tmp_path.iterdir()))}.nc"
    ds.to_netcdf(path)
    with pytest.raises((InputError, GridError, UnitsError)) as told:
        prepare(models(world, "gpp"), [path], tmp_path / "f.zarr", members=0, **settings)
    assert not (tmp_path / "f.zarr").exists()
    return str(told.value)


def test_bad_cubes_are_refused_before_anything_is_written(world, tmp_path) -> None:
    good = cube()
    hole = good.sel(time=good["time"] != np.datetime64("2002-03-01"))
    for name in ("co2",):
        hole[name] = good[name].sel(time=hole["time"])
    assert "has no 2002-03 (1 months of the run are missing)" in refused(world, hole, tmp_path)
    assert "has no 2003-01" in refused(world, good, tmp_path, years=(2001, 2003))
    other = good.copy()
    other["crs"].attrs["longitude_of_projection_origin"] = 180.0
    assert "expected EPSG:6931" in refused(world, other, tmp_path)
    unnamed = good.drop_vars("crs")
    for v in unnamed.data_vars.values():
        v.attrs.pop("grid_mapping", None)
    for axis in ("x", "y"):
        unnamed[axis].attrs.pop("crs", None)
    assert "does not name its projection" in refused(world, unnamed, tmp_path)
    lost = refused(world, good.drop_vars("srad"), tmp_path)
    assert "no variable srad" in lost
    assert "Rename" in lost
    bare = good.copy()
    del bare["srad"].attrs["units"]
    assert "'srad' has no units" in refused(world, bare, tmp_path)
    wrong = good.copy()
    wrong["srad"].attrs["units"] = "kg"
    assert "cannot become 'W m-2'" in refused(world, wrong, tmp_path)
    scaled = good.assign(soil_temperature=(good["soil_temperature"] * 100).assign_attrs(units="K"))
    assert "soil_temperature runs" in refused(world, scaled, tmp_path)
    sea = good.assign(soc_stock=good["soc_stock"] * np.nan)
    sea["soc_stock"].attrs = good["soc_stock"].attrs
    assert "no pixel of the cube" in refused(world, sea, tmp_path)
    late = good.drop_sel(year=2002)
    assert "tree_cover has no 2002" in refused(world, late, tmp_path)


def test_a_year_stands_in_for_another(world, tmp_path) -> None:
    cube().drop_sel(year=2002).to_netcdf(tmp_path / "cube.nc")
    prediction = prepare(
        models(world, "gpp"), [tmp_path / "cube.nc"], tmp_path / "f.zarr", members=0,
        stand_in_years=[(2002, 2001)],
    )  # fmt: skip
    assert failures(prediction.run()) == []


def test_two_grids_are_refused(world, tmp_path) -> None:
    ds = cube()
    ds.drop_vars("soc_stock").to_netcdf(tmp_path / "a.nc")
    ds[["soc_stock", "crs"]].isel(x=slice(1, None)).to_netcdf(tmp_path / "b.nc")
    with pytest.raises(GridError, match="all predictors must share their cells"):
        prepare(models(world, "gpp"), [tmp_path / "a.nc", tmp_path / "b.nc"], tmp_path / "f.zarr", members=0)


def test_holes_stop_their_tile_and_no_other(world, tmp_path) -> None:
    cube(holes=True).to_netcdf(tmp_path / "cube.nc")
    prediction, outcomes = predict(
        world, tmp_path / "f.zarr", grid=[tmp_path / "cube.nc"], fluxes=("gpp",), members=0
    )
    (message,) = failures(outcomes)
    assert "12 of" in message
    assert "srad in 12 pixels (2001-06)" in message
    assert "--holes drop" in message
    assert len(prediction.done) == len(prediction.plan.tiles) - 1
    with pytest.raises(InputError, match="not complete"):
        open_store(tmp_path / "f.zarr")
    kept = open_store(tmp_path / "f.zarr", partial_too=True)["gpp"].values
    assert np.isfinite(kept).sum() > 0
    _, outcomes = predict(
        world, tmp_path / "g.zarr", grid=[tmp_path / "cube.nc"], fluxes=("gpp",), members=0, holes="drop"
    )
    assert failures(outcomes) == []
    made = open_store(tmp_path / "g.zarr")
    assert np.isnan(made["gpp"].values[:, -3:, -4:]).all()
    count = np.isfinite(made["gpp"].values).sum(axis=(1, 2))
    assert (count == count[0]).all()


def test_an_unknown_class_names_the_tile(world, tmp_path) -> None:
    ds = cube()
    ds["vegetation_type"][-1, -1] = 33
    ds.to_netcdf(tmp_path / "cube.nc")
    with pytest.raises(
        InputError, match=r"class 33, which the model has not learnt \(known: 31, 60, 70, 160\)"
    ):
        prepare(models(world, "gpp"), [tmp_path / "cube.nc"], tmp_path / "f.zarr", members=0)


def test_a_damaged_chunk_is_named_and_repaired_by_a_copy(world, tmp_path) -> None:
    folder = tmp_path / "cube.zarr"
    ds = cube()
    ds.to_zarr(
        folder, consolidated=False, encoding={"srad": {"chunks": (1, 21, 25)}, "vegetation_type": {"chunks": (21, 25)}}
    )  # fmt: skip
    good = tmp_path / "good.zarr"
    shutil.copytree(folder, good)
    chunk = folder / "srad" / "c" / "9" / "1" / "1"
    before = chunk.stat()
    chunk.write_bytes(b"\0" + chunk.read_bytes()[1:-40] + b"\xff" * 40)
    os.utime(chunk, ns=(before.st_atime_ns, before.st_mtime_ns))
    prediction, outcomes = predict(
        world, tmp_path / "f.zarr", grid=[folder], fluxes=("gpp",), members=0, tile=16
    )
    told = failures(outcomes)
    assert told
    assert all("srad, 2001-10, tile" in m and "copy it again" in m for m in told)
    kept = len(prediction.done)
    assert kept == len(prediction.plan.tiles) - len(told) > 0
    shutil.copyfile(good / "srad" / "c" / "9" / "1" / "1", chunk)
    again = {"grid": [folder], "fluxes": ("gpp",), "members": 0, "tile": 16, "resume": True}
    with pytest.raises(ConfigError, match="say --same-cube"):
        predict(world, tmp_path / "f.zarr", **again)
    _, outcomes = predict(world, tmp_path / "f.zarr", **again, same_cube=True)
    assert failures(outcomes) == []
    assert sum(o.status == "cached" for o in outcomes) == kept


def test_a_full_disk_loses_nothing(world, tmp_path, monkeypatch) -> None:
    whole = tmp_path / "whole.zarr"
    predict(world, whole, fluxes=("gpp",))
    left, real = [5], store.write_months

    def full(*args, **kw) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path))
        real(*args, **kw)

    monkeypatch.setattr(store, "write_months", full)
    prediction, outcomes = predict(world, tmp_path / "f.zarr", fluxes=("gpp",))
    told = failures(outcomes)
    assert told
    assert all("No space left on device" in m for m in told)
    assert len(prediction.done) == 2
    monkeypatch.setattr(store, "write_months", real)
    _, outcomes = predict(world, tmp_path / "f.zarr", fluxes=("gpp",), resume=True)
    assert failures(outcomes) == []
    assert content(tmp_path / "f.zarr") == content(whole)


@pytest.mark.science
def test_two_workers_that_were_killed_and_one_that_goes_on_give_the_same_bytes(world, tmp_path) -> None:
    """SIGKILL to the group of two workers when two tiles of twelve are done, then the rest with one."""
    cube(_fine_grid()).to_netcdf(tmp_path / "cube.nc")
    grid = [tmp_path / "cube.nc"]
    _, outcomes = predict(world, tmp_path / "one.zarr", grid=grid, regions=["sectors"], fluxes=("gpp",))
    assert failures(outcomes) == []
    out = tmp_path / "killed.zarr"
    command = [
        sys.executable, "-m", "talik", "upscale", "predict", *map(str, models(world, "gpp")), "--grid", str(grid[0]),
        "--out", str(out), "--regions", "sectors", "--tile", "32", "--workers", "2",
    ]  # fmt: skip
    results = out.with_name("killed.zarr.work") / "tiles"
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    while len(list(results.glob("*.npz"))) < 2 and process.poll() is None:
        time.sleep(0.01)
    assert process.poll() is None, "it finished before it could be killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    seen = len(list(results.glob("*.npz")))
    _, outcomes = predict(world, out, grid=grid, regions=["sectors"], fluxes=("gpp",), resume=True)
    assert failures(outcomes) == []
    assert 2 <= sum(o.status == "cached" for o in outcomes) == seen < len(outcomes)
    assert content(out) == content(tmp_path / "one.zarr")


def _fine_grid():
    from talik.regions import EqualAreaGrid

    return EqualAreaGrid.epsg6931(25_000.0, x=(-1.5e6, 1.0e6), y=(-1.2e6, 0.9e6))


@pytest.mark.science
def test_a_dask_cluster_that_loses_a_worker_gives_the_same_bytes(
    world, product, dask_cluster, tmp_path
) -> None:
    address, workers = dask_cluster()
    settings = {"tile": 16, "regions": ["sectors", "bands:49,80,85,90"], "influence": True}
    prediction = prepare(
        models(world, "nee"), [world / "cube.nc"], tmp_path / "f.zarr", scheduler=address, **settings
    )
    seen = []

    def listen(outcome) -> None:
        seen.append(outcome)
        if len(seen) == 2:
            workers[0].kill()

    assert failures(prediction.run(scheduler=address, listen=listen)) == []
    local, outcomes = predict(world, tmp_path / "l.zarr", fluxes=("nee",), **settings)
    assert failures(outcomes) == []
    assert content(tmp_path / "f.zarr") == content(tmp_path / "l.zarr")
    other = open_store(product)
    assert np.array_equal(open_store(local.spec.out)["nee"].values, other["nee"].values, equal_nan=True)


def test_what_was_begun_with_other_settings_is_not_continued(world, product, tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"begun with other settings \(influence: True -> False"):
        prepare(
            models(world), [world / "cube.nc"], product, regions=["sectors", "bands:49,80,85,90"], tile=32
        )
    with pytest.raises(ConfigError, match="holds no earlier run"):
        prepare(models(world), [world / "cube.nc"], tmp_path / "new.zarr", resume=True)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="exists and is no run"):
        prepare(models(world), [world / "cube.nc"], tmp_path / "there")
    assert (tmp_path / "there" / "thesis.txt").read_text() == "mine"


def test_what_does_not_fit_is_refused(world, tmp_path, monkeypatch) -> None:
    with pytest.raises(ConfigError, match="one worker needs"):
        prepare(models(world), [world / "cube.nc"], tmp_path / "f.zarr", memory=parse_memory("300 MB"))
    plan = prepare(
        models(world), [world / "cube.nc"], tmp_path / "f.zarr", memory=parse_memory("1GiB"), workers=8, dry_run=True
    ).plan  # fmt: skip
    assert plan.workers < 8
    assert any("workers do not fit" in note for note in plan.notes)
    assert plan.bytes <= 2**30
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 1000))
    with pytest.raises(ConfigError, match="are free"):
        prepare(models(world), [world / "cube.nc"], tmp_path / "f.zarr")
    assert not (tmp_path / "f.zarr").exists()


@pytest.mark.parametrize(
    ("text", "size"), [("4GiB", 4 * 2**30), ("500 MB", 5e8), ("2e9", 2e9), ("1.5gb", 1.5e9)]
)
def test_sizes(text, size) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "4 parsecs", "-1GB", "0"])
def test_sizes_that_are_none(text) -> None:
    with pytest.raises(ConfigError, match="--memory"):
        parse_memory(text)


def test_damaged_output_is_found_and_cannot_be_read(world, tmp_path) -> None:
    out = tmp_path / "f.zarr"
    predict(world, out, fluxes=("gpp",), members=0)
    assert verify_store(out) == []
    chunk = out / "gpp" / "c" / "0" / "1" / "1"
    content_before = chunk.read_bytes()
    chunk.write_bytes(content_before[:-1] + bytes([content_before[-1] ^ 1]))
    assert verify_store(out) == ["y000032_x000032"]
    with pytest.raises(Exception, match=r"(?i)checksum"):
        open_store(out)["gpp"].values  # noqa: B018
    (out / "coverage" / "c" / "1" / "1").unlink()
    _, outcomes = predict(world, out, fluxes=("gpp",), members=0, resume=True)
    assert [o.unit for o in outcomes if o.status == "done"] == ["y000032_x000032"]
    assert verify_store(out) == []


def test_integers_hold_what_they_promise(world, plain, tmp_path) -> None:
    out = tmp_path / "f.zarr"
    predict(world, out, grid=[world / "latlon.nc"], fluxes=("gpp",), members=0, dtype="int16")
    made = open_store(out)
    validate(made)
    away = np.abs(made["gpp"].values - plain)
    assert np.nanmax(away) <= 0.51 * store.PACKED_STEP
    assert (np.isnan(made["gpp"].values) == np.isnan(plain)).all()


def test_jax_devices_give_the_same_bytes(world, product, tmp_path, monkeypatch) -> None:
    """The way over a GPU, with JAX's processor standing in for one."""
    import jax

    with pytest.raises(ConfigError, match="JAX sees no GPU"):
        prepare(models(world), [world / "cube.nc"], tmp_path / "f.zarr", device="gpu")
    monkeypatch.setattr("talik.upscaling.cube.forests.gpu", lambda: jax.devices("cpu")[0])
    _, outcomes = predict(
        world, tmp_path / "f.zarr", device="gpu", fluxes=("gpp",), members=0, influence=True
    )
    assert failures(outcomes) == []
    made, wanted = open_store(tmp_path / "f.zarr"), open_store(product)
    assert np.array_equal(made["gpp"].values, wanted["gpp"].values, equal_nan=True)
    shares = open_sums(tmp_path / "f.zarr")["gpp_influence"].sel(region="domain")
    assert np.allclose(shares, open_sums(product)["gpp_influence"].sel(region="domain"), rtol=1e-12)


def test_a_learner_that_is_no_forest(world, tmp_path) -> None:
    model = make_model("nee", tmp_path / "gp.model", learner="gaussian-process")
    prediction = prepare([tmp_path / "gp.model"], [world / "cube.nc"], tmp_path / "f.zarr")
    assert failures(prediction.run()) == []
    ds = xr.open_dataset(world / "cube.nc")
    wanted = slow_prediction(model, ds, 4) * 1e-3 / (31 * 86400)
    assert np.allclose(open_store(tmp_path / "f.zarr")["nee"].values[4], wanted, rtol=1e-5, equal_nan=True)
    with pytest.raises(ConfigError, match="forests only"):
        prepare([tmp_path / "gp.model"], [world / "cube.nc"], tmp_path / "g.zarr", influence=True)


def test_the_same_place_again_in_one_session(world, tmp_path) -> None:
    """Deleted and predicted anew with other models: nothing of the first run is left in the process."""
    out = tmp_path / "f.zarr"
    predict(world, out, fluxes=("gpp",), members=0)
    first = open_store(out)["gpp"].values
    shutil.rmtree(out)
    shutil.rmtree(tmp_path / "f.zarr.work")
    _, outcomes = predict(world, out, fluxes=("nee",), members=0)
    assert failures(outcomes) == []
    assert "gpp" not in open_store(out)
    assert not np.array_equal(open_store(out)["nee"].values, first, equal_nan=True)


def test_a_tile_without_a_valid_pixel(world, tmp_path) -> None:
    """Static predictors are there, a monthly one never is: outside the domain, no hole."""
    ds = cube()
    ds["srad"][:, :20, 34:] = np.nan
    ds.to_netcdf(tmp_path / "cube.nc")
    _, outcomes = predict(world, tmp_path / "f.zarr", grid=[tmp_path / "cube.nc"], fluxes=("gpp",), tile=16)
    assert failures(outcomes) == []
    made = open_store(tmp_path / "f.zarr")
    assert float(made["coverage"][:16, 48:].sum()) == 0
    assert verify_store(tmp_path / "f.zarr") == []


def test_models_that_do_not_go_together(world, tmp_path) -> None:
    with pytest.raises(ConfigError, match="two models predict nee"):
        prepare(models(world, "nee", "nee"), [world / "cube.nc"], tmp_path / "f.zarr")
    with pytest.raises(ConfigError, match="9 bootstrap members are asked for"):
        prepare(models(world), [world / "cube.nc"], tmp_path / "f.zarr", members=9)


def test_tiles_belong_to_the_grid() -> None:
    from talik.regions import EqualAreaGrid

    assert tile_edge(EqualAreaGrid.epsg6931(1000.0), None) == 512
    assert tile_edge(EqualAreaGrid.epsg6931(8000.0), None) == 512
    assert tile_edge(EqualAreaGrid.epsg6931(20_000.0), None) == 256
    assert tile_edge(small_grid(), None) == 128
    assert tile_edge(small_grid(), 100) == 100


def test_the_command(world, tmp_path) -> None:
    out = tmp_path / "f.zarr"
    arguments = ["upscale", "predict", *map(str, models(world, "gpp"))]
    arguments += ["--grid", str(world / "cube.nc"), "--out", str(out), "--members", "0", "--tile", "32"]
    told = CliRunner().invoke(app, [*arguments, "--dry-run"])
    assert told.exit_code == 0, told.output
    assert "46,560 rows through 1 models" in told.stderr
    assert not out.exists()
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert facts["pixels"] == 1940
    assert facts["peak_bytes"] > 0
    again = CliRunner().invoke(app, [*arguments, "--resume"])
    assert again.exit_code == 0
    assert "4 of 4 tiles are done already" in again.stderr
    bad = CliRunner().invoke(app, [*arguments, "--years", "soon"])
    assert bad.exit_code == 2
    assert "expected FIRST-LAST" in bad.stderr


def test_a_cube_that_changes_while_it_is_read_completes_nothing(world, tmp_path, monkeypatch) -> None:
    prints = iter(["a", "b", "c", "d"])
    monkeypatch.setattr(run, "fingerprint", lambda _paths: next(prints))
    prediction = prepare(models(world, "gpp"), [world / "cube.nc"], tmp_path / "f.zarr", members=0)
    with pytest.raises(InputError, match="changed while it was read"):
        prediction.run()
    with pytest.raises(InputError, match="not complete"):
        open_store(tmp_path / "f.zarr")
