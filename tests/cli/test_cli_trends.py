"""`talik trends` as a user meets it: tables, grids, JSON, files, and what bad input says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

from talik.cli import app
from talik.trends import gridded
from talik.trends.labelled import trend

runner = CliRunner()
KEYS = {
    "id",
    "n",
    "slope",
    "intercept",
    "low",
    "high",
    "tau",
    "p",
    "nruns",
    "autocor",
    "converged",
    "n_valid",
}
A = [
    -402,
    -455,
    -390,
    -480,
    -510,
    -467,
    -530,
    -498,
    -560,
    -533,
    -585,
    -541,
    -602,
    -575,
    -640,
    -611,
    -655,
    -690,
    -671,
    -809,
]
F = [12, None, 15, 14, 18, 17, None, 21, 20, 24, 22, 27, 25, None, 29, 28, 33, 31, 35, 36]  # fmt: skip


def run(*args: object, code: int = 0) -> str:
    result = runner.invoke(app, ["trends", *map(str, args)])
    assert result.exit_code == code, result.output
    if code == 2:
        assert result.stdout == ""
        assert result.stderr.count("\n") == 1, "one line"
    return result.stdout if code == 0 else result.stderr


def rows_of(*args: object) -> list[dict[str, object]]:
    return json.loads(run(*args, "--json"), parse_constant=lambda name: pytest.fail(f"{name} in JSON"))[
        "rows"
    ]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Series z (vector A), a (vector F, with a year left out, an NA and a blank), 007 (constant), in mixed order."""
    lines = [f"z,{2001 + k},{v}" for k, v in enumerate(A)]
    lines += [f"a,{2001 + k},{v}" for k, v in enumerate(F) if v is not None] + ["a,2007,NA", "a,2014,"]
    lines += [f"007,{2001 + k},3" for k in range(20)]
    order = np.random.default_rng(0).permutation(len(lines))
    first = [k for k in order if lines[k].startswith("z")][:1]
    path = tmp_path / "series.csv"
    path.write_text(
        "\n".join(["id,t,y", *(lines[k] for k in [*first, *(k for k in order if k != first[0])])]) + "\n"
    )
    return path


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(20, 6, 8)).cumsum(axis=0) + np.arange(20)[:, None, None]
    y[:, 0, 0] = np.nan
    time = pd.date_range("2001-01-01", periods=20, freq="YS")
    coords = {"time": time, "lat": 50 + 5.0 * np.arange(6), "lon": 10.0 * np.arange(8)}
    attrs = {"units": "g m-2 yr-1", "long_name": "net ecosystem exchange"}
    da = xr.DataArray(y, dims=("time", "lat", "lon"), coords=coords, name="nee", attrs=attrs)
    path = tmp_path / "nee.nc"
    da.to_netcdf(path)
    return path


def test_json_of_a_table(table: Path) -> None:
    rows = rows_of(table)
    assert rows[0]["id"] == "z"
    assert sorted(str(r["id"]) for r in rows) == ["007", "a", "z"]
    by = {r["id"]: r for r in rows}
    assert all(set(r) == KEYS for r in rows)
    assert by["z"]["slope"] == pytest.approx(-14.99621991, rel=1e-9)
    assert by["z"]["intercept"] == pytest.approx(-406.2819779, rel=1e-9)
    assert (by["z"]["n"], by["z"]["nruns"], by["z"]["converged"]) == (20, 5, True)
    assert isinstance(by["z"]["nruns"], int)
    assert by["a"]["slope"] == pytest.approx(1.239508588, rel=1e-9)
    assert (by["a"]["n"], by["a"]["n_valid"], by["a"]["tau"]) == (20, 17, 1.0)
    nothing = KEYS - {"id", "n", "n_valid"}
    assert all(by["007"][key] is None for key in nothing)
    assert by["007"]["n"] == 20


@pytest.mark.parametrize("method", ["none", "zhang", "yue-pilon", "conservative"])
def test_methods_and_settings(table: Path, method: str) -> None:
    rows = {r["id"]: r for r in rows_of(table, "--method", method)}
    want = trend(np.array(A), method)
    for key in ("slope", "intercept", "low", "high", "tau", "p", "autocor"):
        assert rows["z"][key] == float(want[key])
    half = {r["id"]: r for r in rows_of(table, "--method", method, "--confidence", 0.5)}
    assert half["z"]["low"] > rows["z"]["low"]
    assert run(table, "--method", method, "--json") == run(
        table, "--method", method, "--json", "--threads", 2
    )


def test_preserve_changes_the_first_pass_alone(table: Path) -> None:
    on, off = (
        next(r for r in rows_of(table, flag) if r["id"] == "z") for flag in ("--preserve", "--no-preserve")
    )
    assert on["slope"] == pytest.approx(off["slope"], rel=1e-3)
    assert on["nruns"] != off["nruns"]


def test_other_formats_and_steps(table: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(table, dtype={"id": str}, na_values=["NA"])
    frame.to_csv(tmp_path / "s.csv.gz", index=False)
    frame.to_parquet(tmp_path / "s.parquet")
    want = rows_of(table)
    assert rows_of(tmp_path / "s.csv.gz") == want
    assert rows_of(tmp_path / "s.parquet") == want
    frame.assign(t=frame.t * 0.1, id=frame.id.replace("z", "NA")).to_csv(tmp_path / "tenths.csv", index=False)
    tenths = rows_of(tmp_path / "tenths.csv")
    assert [r["id"] for r in tenths if r["id"] != "007"] == ["NA", "a"]
    for one, two in zip(want, tenths, strict=True):
        if one["slope"] is not None:
            assert two["slope"] == pytest.approx(10 * one["slope"])  # type: ignore[operator]
            assert (two["p"], two["n"]) == (one["p"], one["n"])
    frame[frame.id == "z"].assign(t=lambda f: 10 * f.t).to_csv(tmp_path / "decades.csv", index=False)
    assert rows_of(tmp_path / "decades.csv")[0]["slope"] == pytest.approx(-1.499621991)
    (tmp_path / "one.csv").write_text("id,t,y\na,2001,3\nb,2001,\n")
    assert [r["n_valid"] for r in rows_of(tmp_path / "one.csv")] == [1, 0]


def test_text_and_files_of_a_table(table: Path, tmp_path: Path) -> None:
    text = run(table)
    assert "Zhang" in text
    assert "17 of 20" in text
    assert "***" in text
    assert "2 of 3 series have a trend; p < 0.05 in 2, false discovery rate 0.1 in 2" in text
    assert "missing values: 1 step without a row" in text
    want = rows_of(table)
    for name in ("t.csv", "t.csv.gz", "t.parquet"):
        assert "3 series" in run(table, "--out", tmp_path / "new" / name)
        path = tmp_path / "new" / name
        back = pd.read_parquet(path) if name.endswith("parquet") else pd.read_csv(path, dtype={"id": str})
        assert list(back.columns) == list(want[0])
        assert back["id"].tolist() == [r["id"] for r in want]
        np.testing.assert_array_equal(back["slope"].to_numpy(float), [r["slope"] or np.nan for r in want])
    assert "3 series" in run(table, "--out", tmp_path / "t.csv")
    assert "as .csv, .csv.gz or .parquet" in run(table, "--out", tmp_path / "t.xlsx", code=2)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,t,y\na,2001,1\na,2002,2\na,2001,3\n", "id 'a' has t = 2001 more than once"),
        ("id,t,y\na,2001,1\na,2002,x\n", "row 3: column y holds 'x'; expected a number, or blank or NA"),
        ("id,t,y\na,2001,1\na,2002,inf\n", "row 3: column y holds"),
        ("id,t,y\na,2001,1\na,,2\n", "row 3: column t is blank"),
        (
            "id,t,y\na,2001-05,1\na,2002,2\n",
            "row 2: column t holds '2001-05'; expected a number, such as a year",
        ),
        ("id,t,y\n,2001,1\na,2002,2\n", "row 2: column id is blank"),
        ("site,t,y\na,2001,1\n", "no column 'id'; found site, t, y"),
        ("id,year,y\na,2001,1\n", "no column 't'"),
        (
            "id,t,y\na,1,1\na,2,1\na,3.5,1\n",
            "id 'a': t = 3.5 is no whole number of steps of 1 after its first t = 1",
        ),
        ("id,t,y\na,1,1\na,2,1\na,20240101,1\n", "spans 20240101 steps of 1; expected at most 5000"),
        ("id,t,y\n", "nothing to read"),
    ],
)
def test_bad_tables(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(content)
    told = run(path, "--json", code=2)
    assert message in told
    assert str(path) in told


def test_dates_in_a_parquet_file_are_refused(table: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(table, dtype={"id": str}, na_values=["NA"])
    frame.assign(t=pd.to_datetime(frame.t.astype(str))).to_parquet(tmp_path / "dates.parquet")
    assert "column t holds datetime64" in run(tmp_path / "dates.parquet", code=2)


def test_bad_settings(table: Path, grid: Path, tmp_path: Path) -> None:
    assert "no such file" in run(tmp_path / "gone.csv", code=2)
    assert "choose one" in run(table, "--json", "--out", tmp_path / "x.csv", code=2)
    assert "--alpha-fdr 2.0" in run(table, "--alpha-fdr", 2, code=2)
    assert "confidence is 0.0" in run(table, "--confidence", 0, code=2)
    assert "only zhang and yue-pilon" in run(table, "--method", "none", "--preserve", code=2)
    assert "--var is for grids" in run(table, "--var", "y", code=2)
    assert "as .nc (NetCDF) or .zarr" in run(grid, "--out", tmp_path / "x.csv", code=2)


def test_json_of_a_grid(grid: Path) -> None:
    rows = rows_of(grid, "--var", "nee")
    assert len(rows) == 48
    assert all(set(r) == KEYS for r in rows)
    assert rows[0]["id"] == "50.0,0.0"
    assert rows[0]["slope"] is None
    with xr.open_dataset(grid) as ds:
        want = trend(ds["nee"].load())
    assert rows[9]["id"] == "55.0,10.0"
    assert rows[9]["slope"] == float(want["slope"][1, 1])
    assert rows[9]["converged"] in (True, False)


def test_too_many_series_for_json(grid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gridded, "MOST_ROWS", 47)
    assert "48 series are too many for --json (at most 47). Write a grid: --out" in run(
        grid, "--json", code=2
    )


def test_a_grid_is_written_in_blocks(grid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(grid, "--out", tmp_path / "whole.nc")
    assert "share of area" in whole
    assert "cosine of lat" in whole
    monkeypatch.setattr(gridded, "BLOCK_VALUES", 100)
    _, blocks = gridded.open_variable(grid, None, "time")
    assert blocks.data.numblocks == (1, 6, 2)
    assert run(grid, "--out", tmp_path / "blocks.nc").splitlines()[1:] == whole.splitlines()[1:]
    with xr.open_dataset(tmp_path / "whole.nc") as one, xr.open_dataset(tmp_path / "blocks.nc") as two:
        assert one.drop_attrs().identical(two.drop_attrs())
        assert one.attrs["Conventions"].startswith("CF-")
        assert one["slope"].attrs["units"] == "g m-2 yr-1 year-1"
        assert set(np.unique(one["significant_fdr"])) == {0, 1}
        assert one["significant_fdr"].values[0, 0] == 0
    assert not list(tmp_path.glob(".*"))


def test_zarr_in_and_out(grid: Path, tmp_path: Path) -> None:
    with xr.open_dataset(grid) as ds:
        ds.chunk(lat=3).to_zarr(tmp_path / "in.zarr", consolidated=False)
    assert "nee, 2001 to 2020" in run(tmp_path / "in.zarr")
    for _ in range(2):
        run(tmp_path / "in.zarr", "--out", tmp_path / "out.zarr")
    run(grid, "--out", tmp_path / "out.nc")
    with (
        xr.open_zarr(tmp_path / "out.zarr", consolidated=False) as one,
        xr.open_dataset(tmp_path / "out.nc") as two,
    ):
        for name in two:
            np.testing.assert_array_equal(one[name], two[name])
    (tmp_path / "mine.zarr").mkdir()
    assert "exists and is no Zarr store" in run(grid, "--out", tmp_path / "mine.zarr", code=2)
    assert "not readable as a Zarr store" in run(tmp_path, code=2)


def test_summary_of_a_grid_and_its_area(grid: Path, tmp_path: Path) -> None:
    assert "47 of 48 series have a trend" in run(grid)
    with xr.open_dataset(grid) as ds:
        ds = ds.load()
    ds["cell_area"] = ds["nee"].isel(time=0, drop=True) * 0 + 1
    ds.isel(time=[k for k in range(20) if k != 4]).to_netcdf(tmp_path / "area.nc")
    text = run(tmp_path / "area.nc", "--var", "nee", "--method", "none")
    assert "area: cell_area" in text
    assert "(20 years, 1 of them missing)" in text


def test_grids_that_cannot_be_used(grid: Path, tmp_path: Path) -> None:
    with xr.open_dataset(grid) as ds:
        ds = ds.load()
    assert "no variable 'gpp'; found nee" in run(grid, "--var", "gpp", code=2)
    assert "no variable has a dimension 'year'" in run(grid, "--dim", "year", code=2)
    assert "expected one named 'time'" in run(grid, "--var", "lat", code=2)
    ds.assign(gpp=ds["nee"]).to_netcdf(tmp_path / "two.nc")
    assert "2 variables have 'time': nee, gpp. Choose one with --var" in run(tmp_path / "two.nc", code=2)
    ds.assign_coords(time=pd.date_range("2001-01-01", periods=20, freq="MS")).to_netcdf(
        tmp_path / "monthly.nc"
    )
    assert "one calendar month first" in run(tmp_path / "monthly.nc", code=2)
    (tmp_path / "half.nc").write_bytes(grid.read_bytes()[:300])
    assert "not readable as NetCDF" in run(tmp_path / "half.nc", code=2)
    regional = ds["nee"].isel(lat=0, drop=True).rename(lon="region").assign_coords(region=list("ABCDEFGH"))
    regional.to_netcdf(tmp_path / "regions.nc")
    assert [r["id"] for r in rows_of(tmp_path / "regions.nc")] == list("ABCDEFGH")
