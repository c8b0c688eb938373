"""Global warming by year against slow loops, straight lines and the assessment of AR6."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from talik.errors import ConfigError, InputError, UnitsError
from talik.forcing.settings import Warming
from talik.forcing.warming import Series, continued, global_mean, read_warming, running_mean

_spec = importlib.util.spec_from_file_location("forcing_world", Path(__file__).with_name("world.py"))
world = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(world)

PERIOD = (1961, 1990)


def read(folder: Path, last: int = 2100, **changes: object) -> dict[str, Series]:
    told = {**world.section()["warming"], **changes}
    how = Warming.model_validate(told)
    names = [how.historical, *([how.assessed] if how.assessed else []), *how.runs.values()]
    return read_warming(how, {n: folder / n for n in names}, PERIOD, last)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-5, 5), min_size=1, max_size=60).map(np.array),
    st.integers(1, 30),
)
def test_running_mean_is_the_slow_one(values: np.ndarray, width: int) -> None:
    slow = [
        np.mean([values[j] for j in range(i - width // 2, i - width // 2 + width) if 0 <= j < values.size])
        for i in range(values.size)
    ]
    np.testing.assert_allclose(running_mean(values, width), slow, rtol=0, atol=1e-12)


def test_mean_of_the_globe_weights_with_area(tmp_path: Path) -> None:
    lat, lon = np.arange(-85.5, 90, 9.0), np.arange(9.0, 360, 18.0)
    field = 250.0 + 40 * np.cos(np.deg2rad(lat))[:, None] + np.zeros((1, lon.size))
    xr.Dataset(
        {"tas": (("time", "lat", "lon"), field[None], {"units": "K"})},
        {"time": np.array(["2001-07-01"], "datetime64[ns]"), "lat": lat, "lon": lon},
    ).to_netcdf(tmp_path / "run.nc")
    # over n bands of d degrees the cosines sum to 1 / sin(d / 2), their squares to n / 2; without weights: 275.5
    mean = 250 + 40 * 10 * np.sin(np.deg2rad(4.5)) - 273.15
    assert global_mean(tmp_path / "run.nc").values[0] == pytest.approx(mean, abs=1e-9)


@pytest.mark.parametrize("scenario", ["ssp126", "ssp585"])
def test_past_line_and_future_join(tmp_path: Path, scenario: str) -> None:
    world.files(tmp_path)
    out = read(tmp_path)
    past, future = out["historical"], out[scenario]
    assert (past.years[0], past.years[-1], future.years[0], future.years[-1]) == (1850, 2014, 2015, 2100)
    for series in (past, future):
        expected = [world.relative_to_climatology(int(y), scenario) for y in series.years]
        np.testing.assert_allclose(series.values, expected, rtol=0, atol=1e-9)
    assert past.mean(PERIOD, "") == pytest.approx(0, abs=1e-12)
    # 2014 is nine years of the mean scenario after 2005, 2015 ten of this one
    step = future.values[0] - past.values[-1]
    assert step == pytest.approx(10 * world.SLOPES[scenario] - 9 * 0.03, abs=1e-9)


def test_one_scenario_joins_without_a_jump_in_its_own_table(tmp_path: Path) -> None:
    world.files(tmp_path)
    rows = (tmp_path / "gsat.csv").read_text().splitlines()
    (tmp_path / "gsat.csv").write_text("\n".join([rows[0], *(r for r in rows if r.startswith("ssp585"))]))
    out = read(tmp_path, scenarios=["ssp585"])
    whole = np.concatenate([out["historical"].values, out["ssp585"].values])
    np.testing.assert_allclose(np.diff(whole[2006 - 1850 :]), 0.04, atol=1e-9)


def test_quantile_and_smoothing(tmp_path: Path) -> None:
    world.files(tmp_path)
    low, high = (read(tmp_path, quantile=q)["ssp585"].values[-1] for q in ("low", "high"))
    assert high - low == pytest.approx(1.5 * 0.04 * 95, abs=1e-6)
    raw = read(tmp_path, smoothing_years=1)["historical"]
    np.testing.assert_allclose(np.diff(raw.values), 0.01, atol=1e-9)


def test_runs_of_scenarios_are_smoothed_with_the_past(tmp_path: Path) -> None:
    world.files(tmp_path)
    for name, slope in world.SLOPES.items():
        world.write_run(tmp_path / f"{name}.nc", 2015, 2100, slope, start=280 + 0.01 * 165)
    out = read(tmp_path, assessed=None, runs={n: f"{n}.nc" for n in world.SLOPES})

    def value(year: int, slope: float) -> float:
        return 0.01 * (year - 1850) if year < 2015 else 1.65 + slope * (year - 2015)

    def slow(year: int, slope: float) -> float:
        # label 2091 is the last whose window ends with the run; then its slope over ten years goes on
        if year > 2091:
            end, before = slow(2091, slope), slow(2081, slope)
            return end + (year - 2091) * (end - before) / 10
        window = [y for y in range(year - 10, year + 10) if y >= 1850]
        return float(np.mean([value(y, slope) for y in window]))

    zero = np.mean([slow(y, 0.03) for y in range(1961, 1991)])
    expected = [slow(y, 0.03) - zero for y in range(1850, 2015)]
    np.testing.assert_allclose(out["historical"].values, expected, atol=1e-9)
    for name, slope in world.SLOPES.items():
        expected = [slow(y, slope) - zero for y in range(2015, 2101)]
        np.testing.assert_allclose(out[name].values, expected, atol=1e-9)


def test_a_line_goes_on(tmp_path: Path) -> None:
    series = continued(Series(2010, 0.1 * np.arange(20.0) ** 2), 2032, "table")
    slope = (0.1 * 19**2 - 0.1 * 9**2) / 10
    np.testing.assert_allclose(series.values[-3:], 36.1 + slope * np.array([1, 2, 3]))
    assert continued(series, 2030, "table").years[-1] == 2030


def test_bad_series_are_named(tmp_path: Path) -> None:
    world.files(tmp_path)
    with pytest.raises(ConfigError, match=r"no 'ssp370'; choose among ssp126, ssp585"):
        read(tmp_path, scenarios=["ssp370"])
    with pytest.raises(InputError, match=r"ssp126.*warming runs 2010..2091; expected .* up to 2100"):
        read(tmp_path, last=2120)
    world.write_run(tmp_path / "ssp126.nc", 2016, 2100, 0.02)
    with pytest.raises(InputError, match=r"ssp126.nc: begins in 2016; expected 2015"):
        read(tmp_path, scenarios=["ssp126"], assessed=None, runs={"ssp126": "ssp126.nc"})
    world.write_run(tmp_path / "historical.nc", 1850, 2000, 0.01)
    with pytest.raises(
        ConfigError, match=r"reference period is 1995..2014, but the historical run holds 1850..2000"
    ):
        read(tmp_path)
    world.write_run(tmp_path / "historical.nc", 1970, 2014, 0.01)
    with pytest.raises(ConfigError, match=r"climatology.period is 1961..1990"):
        read(tmp_path)


def test_runs_without_what_is_needed_are_named(tmp_path: Path) -> None:
    path = tmp_path / "run.nc"
    world.write_run(path, 1990, 2014, 0.01)
    with xr.open_dataset(path) as ds:
        held = ds.load()
    held.isel(lat=[2, 3]).to_netcdf(tmp_path / "north.nc")
    with pytest.raises(InputError, match=r"lat runs 22.5..67.5 in 2 steps; expected the globe"):
        global_mean(tmp_path / "north.nc")
    held.isel(lon=[0, 1, 2]).to_netcdf(tmp_path / "three.nc")
    with pytest.raises(InputError, match=r"lon runs 0..180 in 3 steps; expected the globe"):
        global_mean(tmp_path / "three.nc")
    again = held.isel(lon=[0]).assign_coords(lon=[360.0])
    xr.concat([held, again], "lon").to_netcdf(tmp_path / "cyclic.nc")
    with pytest.raises(InputError, match=r"lon runs 0..360 in 5 steps; expected the globe"):
        global_mean(tmp_path / "cyclic.nc")
    held.where(held["lon"] > 0).to_netcdf(tmp_path / "land.nc")
    with pytest.raises(InputError, match=r"land.nc: tas lacks 100 of 400 values"):
        global_mean(tmp_path / "land.nc")
    held.drop_sel(time="2000-07-01").to_netcdf(tmp_path / "gap.nc")
    with pytest.raises(InputError, match=r"24 values in 1990..2014.*one value a year without a gap"):
        global_mean(tmp_path / "gap.nc")
    held.assign(tas=held["tas"].assign_attrs(units="mm")).to_netcdf(tmp_path / "mm.nc")
    with pytest.raises(UnitsError, match=r"mm.nc: 'tas' is in 'mm'"):
        global_mean(tmp_path / "mm.nc")
    held.rename(tas="ts").to_netcdf(tmp_path / "ts.nc")
    with pytest.raises(InputError, match=r"expected annual means tas by time, lat and lon; found ts"):
        global_mean(tmp_path / "ts.nc")
    (tmp_path / "gsat.csv").write_text("scenario,year,gsat\nssp126,2010,0.1\n")
    world.write_run(tmp_path / "historical.nc", 1850, 2014, 0.01)
    with pytest.raises(InputError, match=r"holds scenario, year, gsat; expected gsat_central too"):
        read(tmp_path)


def test_assessed_warming_is_that_of_ar6(shared: Path) -> None:
    run = shared / "data/ipsl-cm6a-lr-coarse/tas_ann_IPSL-CM6A-LR_historical_r1i1p1f1_r20x20.nc"
    table = shared / "data/ssp-concentrations/ar6_ch4_assessed_gsat.csv"
    how = Warming(historical="run", assessed="table", scenarios=("ssp126", "ssp585"))
    out = read_warming(how, {"run": run, "table": table}, (1995, 2014), 2100)
    # AR6 WG1 table 4.5: 2081-2100 relative to 1995-2014, central 3.5 and 0.9 K; label 2091 is that mean
    zero = out["historical"].values[2005 - 1850]
    assert round(out["ssp585"].values[2091 - 2015] - zero, 1) == 3.5
    assert round(out["ssp126"].values[2091 - 2015] - zero, 1) == 0.9
    for name in how.scenarios:
        whole = np.concatenate([out["historical"].values, out[name].values])
        steps = np.diff(whole[2004 - 1850 :])
        join = steps[2014 - 2004]
        assert 0 < join < 1.5 * np.abs(steps[:20]).max()
