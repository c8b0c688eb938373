"""Cell-wise ensemble statistics against a plain recomputation, in any chunking, and within a bound on memory."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import tracemalloc
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from talik.ensembles.cell_kernels import Running, spread
from talik.ensembles.gridded import plan_cells, summarise_cells
from talik.errors import ConfigError, CoverageError, FluxError, GridError
from talik.flux import make_flux_dataset, open_flux, write_netcdf
from talik.products import annual_sums, period_mean
from talik.regions import EqualAreaGrid, LatLonGrid, grid_of, regional_total
from talik.regions.grid import Grid
from talik.regions.masks import latitude_bands

GRID = LatLonGrid.regular(10.0, lat=(50, 90))
YEARS = range(2001, 2004)
DAYS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


def rates(seed: int, steps: int = 36, grid: Grid = GRID) -> np.ndarray:
    """(time, rows, columns), kg m-2 s-1: 0 +- 20 g m-2 a year, another mean in each cell, with seasons."""
    rng = np.random.default_rng(seed)
    level = rng.normal(size=grid.shape) * 20e-3 / 3.15e7
    season = np.cos(np.arange(steps) * 2 * np.pi / 12)[:, None, None] * 1e-9
    return (level + season + rng.normal(size=(steps, *grid.shape)) * 1e-10).astype(np.float32)


def dataset(
    values: Any,
    calendar: str = "standard",
    grid: LatLonGrid = GRID,
    freq: str = "MS",
    name: str = "nee",
) -> xr.Dataset:
    cftime = calendar != "standard"
    time = xr.date_range("2001-01-01", periods=len(values), freq=freq, calendar=calendar, use_cftime=cftime)
    flux = xr.DataArray(
        values,
        dims=("time", *grid.dims),
        coords={"time": time, **grid.coords()},
        attrs={"units": "kg m-2 s-1"},
    )
    return make_flux_dataset({name: flux}, approach="process", source="made here", coverage=1.0)


def days_of(calendar: str) -> np.ndarray:
    """(years, months) days, from the rules of the calendars."""
    if calendar == "360_day":
        return np.full((3, 12), 30)
    return np.tile(DAYS, (3, 1))  # no leap year in 2001-2003


def annual_by_hand(values: np.ndarray, calendar: str = "standard") -> tuple[np.ndarray, np.ndarray]:
    """Mean annual sum and mean of each month, g m-2, written from the definition."""
    amount = values.astype(float).reshape(3, 12, *values.shape[1:]) * 1000.0
    amount = amount * (days_of(calendar) * 86400.0)[:, :, None, None]
    return amount.sum(axis=1).mean(axis=0), amount.mean(axis=0)


CALENDARS = {"a": "standard", "b": "noleap", "c": "360_day", "d": "standard", "e": "noleap"}


def world() -> tuple[dict[str, xr.Dataset], dict[str, np.ndarray]]:
    """Five members on three calendars; b has no data in one row, c none in one month of one cell."""
    raw = {name: rates(k) for k, name in enumerate(CALENDARS)}
    raw["b"][:, 1] = np.nan
    raw["c"][5, 2, 3] = np.nan
    for name in "abde":
        raw[name][7, 3, 7] = np.nan  # one member is left there
    return {n: dataset(v, CALENDARS[n]) for n, v in raw.items()}, raw


def same_bytes(one: xr.Dataset, two: xr.Dataset) -> None:
    assert set(one) == set(two)
    for name in one:
        assert one[name].dims == two[name].dims
        assert one[name].values.tobytes() == two[name].values.tobytes(), name


def test_statistics_are_those_of_a_plain_recomputation() -> None:
    members, raw = world()
    found = summarise_cells(members, "nee")
    hand = [annual_by_hand(raw[n], CALENDARS[n]) for n in CALENDARS]
    annual, months = (np.stack([h[k] for h in hand]) for k in (0, 1))
    n = (~np.isnan(annual)).sum(axis=0)
    assert found["n_members"].values.tolist() == found["n_groups"].values.tolist() == n.tolist()
    assert n[1].max() == 4
    assert n[2, 3] == 4
    assert n[3, 7] == 1
    enough = n >= 2
    for i, j in np.ndindex(*GRID.shape):
        held = annual[~np.isnan(annual[:, i, j]), i, j]
        cycle = months[~np.isnan(annual[:, i, j])][:, :, i, j]
        here = found.isel(lat=i, lon=j)
        if not enough[i, j]:
            for name in ("mean", "sd", "quantiles", "share_sink", "month_mean", "month_sd"):
                assert np.isnan(here[name]).all(), name
            continue
        wanted = {
            "mean": held.mean(),
            "sd": held.std(ddof=1),
            "quantiles": np.quantile(held, [0.025, 0.25, 0.5, 0.75, 0.975]),
            "share_sink": (held < -5).mean(),
            "share_source": (held > 5).mean(),
            "share_neutral": (abs(held) <= 5).mean(),
            "month_mean": cycle.mean(axis=0),
            "month_sd": cycle.std(axis=0, ddof=1),
        }
        for name, value in wanted.items():
            np.testing.assert_allclose(here[name], value, rtol=1e-9, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(found["month_mean"].sum("month", skipna=False), found["mean"], rtol=1e-9)
    assert found["mean"].attrs["units"] == "g m-2 year-1"
    assert found["mean"].attrs["positive"] == "up"
    assert found.attrs["period"] == "2001-2003"
    # the seasons are in all of the shares' cells
    assert 0 < float(found["share_sink"].mean()) < 1


def test_a_year_of_360_days_holds_less_than_one_of_365() -> None:
    rate = np.full((36, *GRID.shape), 1e-9)
    members = {"short": dataset(rate, "360_day"), "long": dataset(rate, "noleap")}
    found = summarise_cells(members, "nee", quantiles=(0.0, 1.0))
    year = 1e-9 * 1000 * 86400
    np.testing.assert_allclose(found["quantiles"].isel(lat=0, lon=0), [360 * year, 365 * year], rtol=1e-12)


@pytest.mark.parametrize(
    "chunks",
    [
        {"time": 1},
        {"time": 7, "lat": 1, "lon": 5},
        {"time": -1, "lat": -1, "lon": -1},
        {"time": 36, "lat": 3},
    ],
)
@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_dask_gives_the_bytes_of_numpy(chunks: dict[str, int], scheduler: str) -> None:
    members, _ = world()
    lazy = {n: ds.chunk(chunks) for n, ds in members.items()}
    with dask.config.set(scheduler=scheduler):
        same_bytes(summarise_cells(lazy, "nee"), summarise_cells(members, "nee"))


def test_memory_blocks_and_order_of_members_change_no_byte() -> None:
    members, _ = world()
    whole = summarise_cells(members, "nee")
    tight = 0
    for bound in (75_000, 100_000, 150_000, 1_000_000):
        plan = plan_cells(members, "nee", memory_bytes=bound)
        assert plan.peak_bytes <= bound
        tight = max(tight, len(plan.blocks))
        same_bytes(summarise_cells(members, "nee", memory_bytes=bound), whole)
    assert tight > 1
    assert min(plan_cells(members, "nee", memory_bytes=75_000).steps.values()) < 36
    turned = {n: members[n] for n in reversed(members)}
    same_bytes(summarise_cells(turned, "nee"), whole)


def test_storage_conventions_change_no_byte(tmp_path: Path) -> None:
    members, _ = world()
    whole = summarise_cells(members, "nee")
    other = {}
    for n, ds in members.items():
        ds = ds.isel(lat=slice(None, None, -1))
        ds = ds.assign_coords(lon=ds["lon"] % 360.0).sortby("lon")
        other[n] = open_flux(write_netcdf(ds, tmp_path / f"{n}.nc"))
    same_bytes(summarise_cells(other, "nee"), whole)
    lazy = {n: ds.chunk(time=5) for n, ds in other.items()}
    same_bytes(summarise_cells(lazy, "nee", memory_bytes=250_000), whole)
    for ds in other.values():
        ds.close()


@given(seed=st.integers(0, 2**32 - 1), members=st.integers(2, 9), missing=st.floats(0, 0.6))
@settings(max_examples=60)
def test_kernels_agree_with_numpy_and_with_one_cell_alone(seed: int, members: int, missing: float) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(members, 3, 4)) * 10
    values[rng.random(values.shape) < missing] = np.nan
    values[0] = np.where(np.isnan(values).all(axis=0), 1.0, values[0])  # NumPy warns on empty cells
    quantiles = (0.0, 0.025, 0.5, 0.9, 1.0)
    found = spread(values.copy(), quantiles, 5.0, 1)
    np.testing.assert_allclose(
        found.quantiles, np.nanquantile(values, quantiles, axis=0), rtol=1e-12, atol=1e-12
    )
    np.testing.assert_allclose(found.mean, np.nanmean(values, axis=0), rtol=1e-10, atol=1e-12)
    many = found.n > 1
    assert np.isnan(found.sd[~many]).all()
    one = spread(values[:, 1:2, 2:3].copy(), quantiles, 5.0, 1)
    assert one.mean.tobytes() == found.mean[1:2, 2:3].tobytes()
    assert one.sd.tobytes() == found.sd[1:2, 2:3].tobytes()
    np.testing.assert_allclose(found.below + found.within + found.above, 1.0)
    cycle = Running.empty((12, 3, 4))
    for row in values:
        cycle.push(np.broadcast_to(row, (12, 3, 4)))
    mean, sd = cycle.results(1)
    np.testing.assert_allclose(mean[0], found.mean, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(sd[3][many], found.sd[many], rtol=1e-9, atol=1e-12)
    assert (cycle.n == found.n).all()


def test_groups_are_averaged_first() -> None:
    level = {"m1": 1.0, "m2": 3.0, "other": 10.0}
    members = {n: dataset(np.full((36, *GRID.shape), v * 1e-9)) for n, v in level.items()}
    members["m2"]["nee"][:, 0] = np.nan
    found = summarise_cells(members, "nee", groups={"m1": "M", "m2": "M"}, quantiles=(0.5,))
    year = 1e-9 * 1000 * 365 * 86400
    np.testing.assert_allclose(found["mean"].isel(lat=1), year * (2.0 + 10.0) / 2, rtol=1e-12)
    np.testing.assert_allclose(found["mean"].isel(lat=0), year * (1.0 + 10.0) / 2, rtol=1e-12)
    assert (found["n_groups"] == 2).all()
    assert (found["n_members"].isel(lat=0) == 2).all()
    assert (found["n_members"].isel(lat=1) == 3).all()
    np.testing.assert_allclose(found["month_mean"].sum("month"), found["mean"], rtol=1e-12)


def test_a_sink_is_a_sink_in_either_direction() -> None:
    down = [1.0, 0.1, -2.0, 3.0]  # 31.5, 3.2, -63, 95 g m-2 a year into the land
    nbp = {f"m{k}": dataset(np.full((36, *GRID.shape), v * 1e-9), name="nbp") for k, v in enumerate(down)}
    nee = {f"m{k}": dataset(np.full((36, *GRID.shape), -v * 1e-9)) for k, v in enumerate(down)}
    for found in (summarise_cells(nbp, "nbp"), summarise_cells(nee, "nee")):
        shares = [float(found[f"share_{s}"].mean()) for s in ("sink", "neutral", "source")]
        assert shares == [0.5, 0.25, 0.25]
    wide = summarise_cells(nee, "nee", neutral_band=70.0)
    assert float(wide["share_neutral"].max()) == 0.75
    gpp = {n: dataset(np.full((36, *GRID.shape), 1e-9), name="gpp") for n in "ab"}
    assert "share_sink" not in summarise_cells(gpp, "gpp")


def test_annual_steps_have_no_seasons_and_count_in_the_mean() -> None:
    rate = np.full((36, *GRID.shape), 1e-9)
    members = {"m": dataset(rate), "n": dataset(rate), "y": dataset(rate[:3], freq="YS")}
    found = summarise_cells(members, "nee")
    assert (found["n_members"] == 3).all()
    np.testing.assert_allclose(found["mean"], 1e-9 * 1000 * 365 * 86400, rtol=1e-12)
    np.testing.assert_allclose(found["month_mean"].sum("month"), found["mean"], rtol=1e-12)
    assert found.attrs["notes"] == ["steps longer than a month, not in month_mean and month_sd: y"]


def test_days_make_the_months_and_years_that_months_make() -> None:
    raw = rates(3).astype(float)
    days = xr.date_range("2001-01-01", periods=1096, freq="D", calendar="noleap", use_cftime=True)
    stamps = xr.DataArray(days[:1095], dims="time", coords={"time": days[:1095]})
    bounds = xr.DataArray(
        np.stack([days[:-1], days[1:]], axis=1), dims=("time", "bnds"), coords={"time": days[:1095]}
    )
    daily = xr.DataArray(
        np.repeat(raw, np.tile(DAYS, 3), axis=0),
        dims=("time", *GRID.dims),
        coords={"time": stamps, **GRID.coords()},
        attrs={"units": "kg m-2 s-1"},
    )
    ds = make_flux_dataset(
        {"nee": daily}, approach="process", source="made here", coverage=1.0, time_bounds=bounds
    )
    by_day = summarise_cells({"m": ds}, "nee", min_members=1)
    by_month = summarise_cells({"m": dataset(raw, "noleap")}, "nee", min_members=1)
    for name in ("mean", "month_mean"):
        np.testing.assert_allclose(by_day[name], by_month[name], rtol=1e-9, atol=1e-9)


def test_one_member_is_the_period_mean_of_the_product() -> None:
    members, _ = world()
    alone = summarise_cells({"a": members["a"]}, "nee", min_members=1, period=(2002, 2003))
    wanted = period_mean(annual_sums(members["a"], "nee"), (2002, 2003))
    np.testing.assert_allclose(alone["mean"], wanted, rtol=1e-12)
    assert np.isnan(alone["sd"]).all()


def test_files_opened_for_a_reading_are_closed_after_it(tmp_path: Path) -> None:
    members, _ = world()
    paths = {n: write_netcdf(ds, tmp_path / f"{n}.nc") for n, ds in members.items()}
    most = 0

    def count(_done: int, _every: int) -> None:
        nonlocal most
        most = max(most, sum(str(tmp_path) in str(p.resolve()) for p in Path("/proc/self/fd").iterdir()))

    if not Path("/proc/self/fd").exists():
        pytest.skip("open files are counted in /proc")
    found = summarise_cells({n: partial(open_flux, p) for n, p in paths.items()}, "nee", listen=count)
    same_bytes(found, summarise_cells(members, "nee"))
    count(0, 0)
    assert most == 0


def test_infinite_values_are_named() -> None:
    members, _ = world()
    members["d"]["nee"][4, 1, 2] = np.inf
    with pytest.raises(FluxError, match="member 'd': nee is infinite in 1 cells; expected numbers, or NaN"):
        summarise_cells(members, "nee")


def test_members_on_other_grids_are_regridded_with_their_mass() -> None:
    fine, coarse = LatLonGrid.regular(5.0, lat=(50, 90)), GRID
    members = {"fine": dataset(rates(1, grid=fine), grid=fine), "coarse": dataset(rates(2))}
    with pytest.raises(
        GridError, match=r"different grids: 'coarse' on .* Bring them to one with talik.regions.regrid"
    ):
        summarise_cells(members, "nee")
    found = summarise_cells(members, "nee", grid=coarse, min_members=1)
    alone = summarise_cells({"fine": members["fine"]}, "nee", min_members=1)
    rate = {
        name: (ds["mean"] / (1000 * 365 * 86400))
        .rename("nee")
        .assign_attrs(units="kg m-2 s-1", area_basis="cell")
        for name, ds in (("fine", alone), ("both", found))
    }
    other = summarise_cells({"coarse": members["coarse"]}, "nee", min_members=1)
    rate["coarse"] = rate["both"].copy(data=other["mean"].values / (1000 * 365 * 86400))
    total = {
        name: float(
            regional_total(da, latitude_bands(fine if name == "fine" else coarse, [50, 90]))["nee"].sum()
        )
        for name, da in rate.items()
    }
    assert total["both"] == pytest.approx((total["fine"] + total["coarse"]) / 2, rel=1e-9)
    assert found.attrs["notes"] == [
        "regridded by the whole area of cells with data, data on at least 0.5 of a cell: fine"
    ]
    same_bytes(summarise_cells(members, "nee", grid=coarse, min_members=1, memory_bytes=700_000), found)


def test_a_regridded_shore_counts_by_its_land() -> None:
    fine = LatLonGrid.regular(5.0, lat=(50, 90))
    values = np.full((36, *fine.shape), 1e-9)
    values[:, :, ::2] = 3e-9
    land = fine.wrap(np.where(np.arange(fine.shape[1]) % 2 == 0, 0.25, 0.75) * np.ones(fine.shape))
    found = summarise_cells(
        {"m": dataset(values, grid=fine)}, "nee", grid=GRID, land_fraction=lambda _: land, min_members=1
    )
    wanted = (3.0 * 0.25 + 1.0 * 0.75) * 1e-9 * 1000 * 365 * 86400
    np.testing.assert_allclose(found["mean"], wanted, rtol=1e-9)


def test_checks_come_before_any_reading(
    computing_nothing: Callable[[], AbstractContextManager[object]],
) -> None:
    members, _ = world()
    lazy = {n: ds.assign(nee=ds["nee"].chunk(time=6)) for n, ds in members.items()}
    with computing_nothing():
        plan = plan_cells(lazy, "nee")
        assert plan.years == (2001, 2002, 2003)
        with pytest.raises(
            CoverageError, match=r"member 'a': expected every year .* 2004 missing .* 2001-2003"
        ):
            summarise_cells(lazy, "nee", period=(2002, 2004))
        with pytest.raises(ConfigError, match="memory_bytes = 1,000 is too little: the result takes"):
            summarise_cells(lazy, "nee", memory_bytes=1000)
        with pytest.raises(ConfigError, match="'z', which are no members"):
            summarise_cells(lazy, "nee", groups={"z": "Z"})
        with pytest.raises(ConfigError, match="group 'b' has the name of a member outside it"):
            summarise_cells(lazy, "nee", groups={"a": "b"})
        with pytest.raises(FluxError, match="member 'a': expected flux variable 'gpp'; found nee"):
            summarise_cells(lazy, "gpp")
        with pytest.raises(ConfigError, match="neutral_band of at least 0"):
            summarise_cells(lazy, "nee", neutral_band=-1.0)
        with pytest.raises(ConfigError, match="needs members; found none"):
            summarise_cells({}, "nee")


def test_years_are_those_that_all_members_have() -> None:
    members, _ = world()
    members["a"] = members["a"].isel(time=slice(0, 30))  # half of 2003
    assert plan_cells(members, "nee").years == (2001, 2002)
    only = {"a": members["a"], "b": members["b"].isel(time=slice(24, 36))}
    with pytest.raises(
        CoverageError, match=r"no calendar year is whole in all 2 members \(a 2001-2002; b 2003\)"
    ):
        summarise_cells(only, "nee")


def test_progress_counts_to_its_end() -> None:
    members, _ = world()
    told: list[tuple[int, int]] = []
    summarise_cells(
        members, "nee", memory_bytes=100_000, listen=lambda done, every: told.append((done, every))
    )
    every = 5 * len(plan_cells(members, "nee", memory_bytes=100_000).blocks)
    assert every > 5
    assert told == [(k + 1, every) for k in range(every)]


SMALL = """
    import sys
    from functools import partial
    from pathlib import Path
    from talik.ensembles.gridded import summarise_cells
    from talik.flux import open_flux
    from talik.upscaling.cube.tile import peak_bytes
    folder, bound = Path(sys.argv[1]), int(sys.argv[2])
    members = {p.stem: partial(open_flux, p) for p in sorted(folder.glob("m*.nc"))}
    with open_flux(folder / "m000.nc") as ds:
        tiny = ds.isel(time=slice(0, 12), lat=slice(0, 2)).load()
    summarise_cells({"one": tiny}, "nee", min_members=1)  # libraries are in now
    before = peak_bytes()
    summarise_cells(members, "nee", memory_bytes=bound)
    print(peak_bytes() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_memory_stays_below_its_bound_with_files_many_times_larger(tmp_path: Path) -> None:
    grid = LatLonGrid.regular(1.5, lat=(45, 90))
    base = rates(0, 240, grid)
    for k in range(12):
        ds = dataset(base + np.float32(k * 1e-10), ("noleap", "360_day")[k % 2], grid)
        clock = {"units": "days since 2001-01-01", "dtype": "float64"}
        nee = {"_FillValue": np.float32(1e20), "chunksizes": (12, *grid.shape)}
        ds.to_netcdf(tmp_path / f"m{k:03d}.nc", encoding={"nee": nee, "time": clock, "time_bnds": clock})
    bound = 2**24
    libraries = 2**23  # what the allocator and HDF5 hold beside arrays and chunks
    assert 12 * base.nbytes > 3 * (bound + libraries)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SMALL), str(tmp_path), str(bound)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    grown = int(done.stdout)
    assert grown < bound + libraries


def test_arrays_stay_below_the_bound() -> None:
    """Members that exist nowhere as a whole: Dask makes each chunk when it is asked for."""
    grid = LatLonGrid.regular(1.5, lat=(45, 90))
    shape = (120, *grid.shape)
    members = {}
    for k in range(12):
        made = da.full(shape, np.float32(k * 1e-10), chunks=(20, -1, -1))
        members[f"m{k}"] = dataset(made, grid=grid)
    bound = 12_000_000
    assert 12 * 4 * np.prod(shape) > 3 * bound
    with dask.config.set(scheduler="synchronous"):
        summarise_cells({"m0": members["m0"]}, "nee", min_members=1)  # imports
        tracemalloc.start()
        found = summarise_cells(members, "nee", memory_bytes=bound)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < bound
    np.testing.assert_allclose(found["mean"], 5.5e-10 * 1000 * 86400 * 3652 / 10, rtol=1e-6)


def test_equal_area_grids_are_summarised_and_latitude_longitude_comes_to_them() -> None:
    equal = EqualAreaGrid.epsg6931(500_000.0)
    raw = rates(4, grid=equal)
    time = dataset(rates(0)).indexes["time"]
    flux = xr.DataArray(
        raw,
        dims=("time", "y", "x"),
        coords={"time": time, **equal.coords()},
        attrs={"units": "kg m-2 s-1", "crs": "EPSG:6931"},
    )
    ds = make_flux_dataset({"nee": flux}, approach="upscaling", source="made here", coverage=1.0)
    alone = summarise_cells({"m": ds.isel(y=slice(None, None, -1))}, "nee", min_members=1)
    np.testing.assert_allclose(alone["mean"], annual_by_hand(raw)[0], rtol=1e-9)
    assert grid_of(alone["mean"]) == equal
    flat = dataset(np.full((36, *GRID.shape), 1e-9))
    both = summarise_cells({"m": ds, "n": flat}, "nee", grid=equal, min_valid=1.0, min_members=1)
    pole = both.sel(x=slice(-1.1e6, 1.1e6), y=slice(-1.1e6, 1.1e6))
    assert (pole["n_members"] == 2).all()
    year = 1e-9 * 1000 * 365 * 86400
    np.testing.assert_allclose(
        pole["mean"], (alone["mean"].sel(x=pole["x"], y=pole["y"]) + year) / 2, rtol=1e-9
    )
