"""`talik tem forcing` as a user meets it: files that the model's readers read, with the values they must have."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import typer
import xarray as xr
from scipy.integrate import simpson
from typer.testing import CliRunner

from talik.cli.forcing import forcing
from talik.forcing.climate import scaled_months
from talik.forcing.land import permafrost_cells, read_land
from talik.forcing.patterns import Scaled
from talik.forcing.section import files_of
from talik.forcing.settings import ForcingSettings
from talik.sources.climate import read_climate
from talik.sources.co2 import read_co2
from talik.sources.land_static import read_static

_spec = importlib.util.spec_from_file_location("forcing_world", Path(__file__).with_name("world.py"))
world = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(world)
app = typer.Typer()
app.command()(forcing)
runner = CliRunner()
FILES = ("land.nc", "climate-historical.nc", "climate-ssp126.nc", "climate-ssp585.nc", "forcing.json")
TAS_STEP, PR_STEP = 2.0**-10, 2.0**-7
"""What the files resolve: three and two decimal digits, as powers of two."""


def half_degree_m2(lat: np.ndarray) -> np.ndarray:
    """Area of cells of half a degree on WGS84: its radii of curvature integrated over latitude by Simpson's rule."""
    phi = np.deg2rad(lat[:, None] + np.linspace(-0.25, 0.25, 41))
    e2 = 0.00669437999014
    density = 6378137.0**2 * (1 - e2) * np.cos(phi) / (1 - e2 * np.sin(phi) ** 2) ** 2
    return np.asarray(np.deg2rad(0.5) * simpson(density, x=phi))


def run(project: Path, *options: str, code: int = 0) -> Any:
    result = runner.invoke(app, [str(project), *options])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a run with two workers."""
    folder = world.files(tmp_path_factory.mktemp("made"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        run(world.project(folder), "--workers", "2")
    return folder / "forcing"


def test_land_is_read_with_its_sources(made: Path) -> None:
    land = read_static(made / "land.nc")
    places = list(zip(land["lat"].values.tolist(), land["lon"].values.tolist(), strict=True))
    assert places == [(lat, lon) for lat in (60.75, 61.25) for lon in (-0.75, -0.25, 0.25, 0.75)]
    # ice; wet tundra; Dfd twice, the second from its neighbour; TEM's own; ET where no month is warm
    assert land["vegetation"].values.tolist() == [1, 3, 6, 6, 7, 7, 7, 2]
    assert land["sand"].values.tolist() == [50.0] * 4 + [20.0] * 4
    assert land["elevation"].values.tolist() == [400.0] * 4 + [600.0] * 4
    with xr.open_dataset(made / "land.nc") as held:
        assert held["vegetation_source"].values.tolist() == [1, 1, 1, 2, 0, 0, 0, 1]
        assert held["texture_source"].values.tolist() == [1] * 4 + [0] * 4
        np.testing.assert_allclose(held["permafrost_fraction"], [0.15] + [0.8] * 7)
    np.testing.assert_allclose(land["area"], 0.5 * half_degree_m2(land["lat"].to_numpy()), rtol=1e-9)
    assert any(
        "left out: 1 with no climate, 1 with no land, 1 with no texture" in n for n in land.attrs["notes"]
    )


@pytest.mark.parametrize("scenario", ["ssp126", "ssp585"])
def test_climate_is_read_with_the_values_of_the_formula(made: Path, scenario: str) -> None:
    cells = [(61.25, 0.75), (60.75, -0.25)]
    files = [made / "climate-historical.nc", made / f"climate-{scenario}.nc"]
    climate = read_climate(files, cells=cells)
    assert climate.sizes == {"time": 12 * 251, "cell": 2, "bnds": 2}
    assert set(climate.data_vars) == {"tas", "pr", "clt"}
    assert any(n.startswith("pattern-scaled: no year-to-year variability") for n in climate.attrs["notes"])
    shares = np.repeat([world.SEASONAL[s] / 40 for s in ("DJF", "MAM", "JJA", "SON")], 3)
    ratio = np.roll(shares, -1)  # December leads its season
    for year in (1850, 1900, 1990, 2005, 2008, 2014, 2015, 2050, 2100):
        change = world.relative_to_climatology(year, scenario)
        months = climate.sel(time=str(year))
        for i, (lat, row) in enumerate(((61.25, 2), (60.75, 1))):
            tas = world.climatology_tas()[:, row, 1] + world.pattern(np.arange(12), np.array(lat)) * change
            np.testing.assert_allclose(months["tas"].values[:, i], tas, atol=TAS_STEP)
            pr = world.climatology_pr()[:, row, 1] * (1 + ratio * change)
            np.testing.assert_allclose(months["pr"].values[:, i], pr, atol=PR_STEP)
    np.testing.assert_allclose(climate["clt"], 0.7, atol=TAS_STEP)
    normal = climate["tas"].sel(time=slice("1961", "1990"))
    np.testing.assert_allclose(
        normal.groupby("time.month").mean().values[:, 0], world.climatology_tas()[:, 2, 3], atol=TAS_STEP
    )


def test_what_was_done_is_told(made: Path) -> None:
    told = json.loads((made / "forcing.json").read_text())
    cells = told["cells"]
    assert (cells["candidates"], cells["kept"]) == (11, 8)
    assert cells["left_out"] == {
        "no climate": 1,
        "no precipitation": 0,
        "no land": 1,
        "no texture": 1,
        "no vegetation": 0,
    }
    assert cells["sources"]["vegetation"] == {"tem_static": 3, "koeppen": 4, "koeppen_nearby": 1}
    assert cells["temveg"] == {"1": 1, "2": 1, "3": 1, "6": 2, "7": 3}
    with xr.open_dataset(made / "land.nc") as land:
        area = land["cell_area"].to_numpy() / 1e12
    assert cells["land_million_km2"] == pytest.approx(area.sum(), abs=5e-5)
    # all but the first cell have 0.8
    assert cells["permafrost_million_km2"] == pytest.approx(0.15 * area[0] + 0.8 * area[1:].sum(), abs=5e-5)
    series = told["climate"]["ssp585"]["warming_k"]
    assert series["2100"] == pytest.approx(world.relative_to_climatology(2100, "ssp585"), abs=5e-5)
    assert told["climate"]["ssp585"]["precipitation_set_to_zero"] == 0
    assert told["climate"]["ssp585"]["ratios_limited"] == 0
    assert told["co2_ppm"]["ssp585"] == {"1850": 301.0, "2014": 383.0, "2100": 426.0}
    co2 = read_co2(made.parent / "co2.csv", years=(1850, 2100), scenario="ssp585")
    assert float(co2.sel(year=2100)) == 426.0


def test_the_same_bytes_twice_with_any_workers(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    run(world.project(world.files(tmp_path)))
    for name in FILES:
        assert (tmp_path / "forcing" / name).read_bytes() == (made / name).read_bytes(), name


def test_a_dry_run_writes_nothing_and_resume_continues(tmp_path: Path) -> None:
    project = world.project(world.files(tmp_path), last_year=2020)
    told = json.loads(run(project, "--dry-run", "--json").stdout)
    assert told["cells"]["kept"] == 8
    assert told["years"]["ssp126"] == [2015, 2020]
    assert not (tmp_path / "forcing").exists()
    assert "holds no run of this project" in run(project, "--resume", code=2).stderr
    audit = json.loads(run(project, "--json").stdout)
    assert {Path(p).name for p in audit["published"]} == set(FILES)
    assert "8 of 11 permafrost cells" in run(project, "--resume").stderr


def test_a_shorter_past_needs_co2_of_its_own_years(tmp_path: Path) -> None:
    folder = world.files(tmp_path)
    world.write_run(folder / "historical.nc", 1901, 2014, 0.01)
    header, *rows = (folder / "co2.csv").read_text().splitlines()
    later = [r for r in rows if int(r.split(",")[1]) >= 1901]
    (folder / "co2.csv").write_text("\n".join([header, *later]) + "\n")
    told = json.loads(run(world.project(folder), "--dry-run", "--json").stdout)
    assert told["years"]["historical"] == [1901, 2014]
    assert told["co2_ppm"]["ssp126"] == {"1901": 325.5, "2014": 382.0, "2100": 425.0}
    (folder / "co2.csv").write_text("\n".join([header, *later[1:]]) + "\n")
    assert "no CO2 for 1 of 200 years" in run(world.project(folder), "--dry-run", code=2).stderr


def test_the_process_model_takes_the_files(made: Path) -> None:
    from talik.tem.inputs import check_run, read_columns
    from talik.tem.settings import Files, TemSettings

    settings = TemSettings.model_validate(
        {
            "climate": {"files": ["a"]},
            "co2": {"files": ["c"], "scenario": "ssp126"},
            "land": {"files": ["b"]},
        }
    )
    climates = tuple(str(made / f"climate-{name}.nc") for name in ("historical", "ssp126"))
    files = Files(
        climate=climates,
        co2=(str(made.parent / "co2.csv"),),
        land=(str(made / "land.nc"),),
        restart=None,
        period=(1850, 2100),
        scenarios={},
    )
    columns = read_columns(settings, files.paths("land"))
    # ice has none; a woodland cell has two
    assert (columns.lat.size, columns.cell.size) == (7, 9)
    climate = check_run(settings, files, columns)
    assert climate.tair.shape == (251, 12, 9)
    assert any("8 of 11 permafrost cells" in n for n in climate.notes)
    assert any(n.startswith("pattern-scaled") for n in climate.notes)


def test_cells_come_in_chunks_and_lists_are_read_by_place(made: Path, tmp_path: Path) -> None:
    with xr.open_dataset(made / "climate-historical.nc") as ds:
        assert ds["tas"].encoding["chunksizes"] == (12 * 165, 8)
        whole = ds["tas"].load()
    scattered = read_climate(
        made / "climate-historical.nc", cells=[(60.75, 0.75), (61.25, -0.75), (60.75, -0.75)]
    )
    np.testing.assert_array_equal(scattered["tas"].values, whole.values[:, [3, 4, 0]])


@pytest.mark.parametrize("relative", [True, False])
def test_precipitation_stops_at_zero_and_is_counted(relative: bool) -> None:
    ones = np.ones((12, 2))
    change = np.array([0.0, 2.0, 5.0])
    per_k = -0.3 * ones if relative else -6.0 * ones
    scaled = Scaled(-10 * ones, 20 * ones, 0.5 * ones, 2 * ones, per_k, relative, 0)
    tas, pr, below = scaled_months(scaled, change)
    np.testing.assert_allclose(tas[:, 0], np.repeat([-10.0, -6.0, 0.0], 12))
    np.testing.assert_allclose(pr[:, 1], np.repeat([20.0, 8.0, 0.0], 12))
    assert below == 24


def swap(key: str, **values: Any) -> dict[str, Any]:
    return {key: {**world.section()[key], **values}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (swap("cells", smallest_fraction=0.9), "no cell has a permafrost_fraction_median above 0.9"),
        (swap("land", vegetation={"EF": 14}), "Köppen class EF stands for type 14; expected one of"),
        (swap("land", vegetation={"Dfd": 99}), "Köppen class Dfd stands for type 99; expected one of"),
        (swap("land", vegetation={"Xyz": 3}), "Xyz are no classes of"),
        (swap("warming", scenarios=["ssp370"]), "holds no 'ssp370'"),
        (swap("warming", runs={"ssp126": "a.nc"}), "expected one of assessed and runs"),
        (swap("climatology", period=[1990, 1961]), "runs backwards"),
        (swap("land", koeppen="soil.nc"), "expected koeppen by lat and lon"),
        (swap("land", soil="tem.nc"), "expected land_fraction by lat and lon"),
        (swap("cells", permafrost="soil.nc"), "expected permafrost_fraction or permafrost_fraction_median"),
        ({"last_year": 2014}, "last_year is 2014, but the historical run ends in 2014"),
        ({"last_year": 2105}, r"co2.csv.*no CO2 for 5 of 256 years"),
    ],
)
def test_bad_settings_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    project = world.project(world.files(tmp_path), **changes)
    told = " ".join(run(project, "--dry-run", code=2).stderr.split())
    assert re.search(message, told), told


def few_scenarios(folder: Path) -> None:
    rows = (folder / "co2.csv").read_text().splitlines()
    (folder / "co2.csv").write_text("\n".join(r for r in rows if not r.startswith("ssp585")) + "\n")


def tropical(folder: Path) -> None:
    with xr.open_dataset(folder / "koeppen.nc", mask_and_scale=False) as ds:
        held = ds.load()
    held["koeppen"][1, 1] = 5
    held.to_netcdf(folder / "koeppen.nc")


def beyond(folder: Path) -> None:
    with xr.open_dataset(folder / "permafrost.nc") as ds:
        held = ds.load()
    held["permafrost_fraction_median"].attrs["units"] = "1"
    held.to_netcdf(folder / "permafrost.nc")


def unitless(folder: Path) -> None:
    with xr.open_dataset(folder / "permafrost.nc") as ds:
        held = ds.load()
    del held["permafrost_fraction_median"].attrs["units"]
    held.to_netcdf(folder / "permafrost.nc")


def one_row(folder: Path) -> None:
    with xr.open_dataset(folder / "permafrost.nc") as ds:
        held = ds.load()
    held.isel(lat=[1]).to_netcdf(folder / "permafrost.nc")


def elsewhere(folder: Path) -> None:
    with xr.open_dataset(folder / "soil.nc") as ds:
        held = ds.load()
    held.assign_coords(lat=held["lat"] + 0.1).to_netcdf(folder / "soil.nc")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (few_scenarios, "scenario is 'ssp585'; choose one of: ssp126"),
        (tropical, "Köppen class Af stands for type None; expected one of"),
        (beyond, "permafrost_fraction_median runs 15..80 of 1; expected 0..1"),
        (unitless, "permafrost.nc: 'permafrost_fraction_median' has no units"),
        (one_row, "permafrost.nc: permafrost_fraction_median: lat has 1 value"),
        (elsewhere, "none of 11 permafrost cells has climate, land, texture and vegetation"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, spoil: Callable[[Path], None], message: str) -> None:
    spoil(world.files(tmp_path))
    told = " ".join(run(world.project(tmp_path), "--dry-run", code=2).stderr.split())
    assert message in told


@pytest.fixture
def real(shared: Path, tmp_path: Path) -> ForcingSettings:
    """The real maps for a window of permafrost around Yakutsk and the lower Lena."""
    data = shared / "data"
    permafrost = data / "permafrost-cci-validation/permafrost_cci_grid_0.5deg.nc"
    with xr.open_dataset(permafrost) as ds:
        ds.sel(lat=slice(61, 67), lon=slice(127, 132)).to_netcdf(tmp_path / "window.nc")
    ipsl = data / "ipsl-cm6a-lr-coarse/tas_ann_IPSL-CM6A-LR_historical_r1i1p1f1_r20x20.nc"
    return ForcingSettings.model_validate(
        {
            "climatology": {
                "file": str(data / "climatology-biome4-05deg/biome4_climatology_40-90N_0.5deg.nc")
            },
            "patterns": {"files": [str(data / "cmip5-patterns/patterns_GFDL-ESM2M_40-90N.nc")]},
            "warming": {
                "historical": str(ipsl),
                "assessed": str(data / "ssp-concentrations/ar6_ch4_assessed_gsat.csv"),
                "scenarios": ["ssp585"],
            },
            "cells": {"permafrost": str(tmp_path / "window.nc")},
            "land": {
                "soil": str(data / "hwsd-topsoil-05deg/hwsd_topsoil_40-90N_0.5deg.nc"),
                "koeppen": str(data / "koeppen-05deg/koeppen_40-90N_0.5deg.nc"),
                "tem_static": str(data / "tem-65-70n/tem_static_65-70N_0.5deg.nc"),
            },
            "co2": {"file": str(data / "ssp-concentrations/ssp_concentrations_annual.csv")},
        }
    )


def test_real_maps_around_yakutsk(real: ForcingSettings, shared: Path, tmp_path: Path) -> None:
    project = tmp_path / "yakutsk.yaml"
    project.write_text(
        json.dumps({"talik": 1, "name": "yakutsk", "output": "out", "forcing": real.model_dump(mode="json")})
    )
    told = json.loads(run(project, "--json").stdout)
    assert told["co2_ppm"]["ssp585"]["2100"] == 1135.2
    assert told["cells"]["kept"] == 120
    files = [tmp_path / "out" / f"climate-{n}.nc" for n in ("historical", "ssp585")]
    climate = read_climate(files, cells=[(62.25, 129.75)])
    january = climate["tas"].isel(cell=0, time=slice(0, None, 12))
    assert float(january.sel(time=slice("1961", "1990")).mean()) == pytest.approx(-43.2, abs=0.001)
    # later months follow the pattern, here as xarray interpolates it, times the warming since then
    end = float(
        january.sel(time=slice("2081", "2100")).mean() - january.sel(time=slice("1995", "2014")).mean()
    )
    with xr.open_dataset(shared / "data/cmip5-patterns/patterns_GFDL-ESM2M_40-90N.nc") as patterns:
        pattern = float(patterns["tas_pattern"].sel(month=1).astype(float).interp(lat=62.25, lon=129.75))
    told = json.loads((tmp_path / "out" / "forcing.json").read_text())["climate"]
    future, past = (told[name]["warming_k"] for name in ("ssp585", "historical"))
    warming = np.mean([future[str(y)] for y in range(2081, 2101)]) - np.mean(
        [past[str(y)] for y in range(1995, 2015)]
    )
    assert pattern > 1.0  # the interior of Siberia warms faster than the globe
    assert end == pytest.approx(pattern * warming, abs=TAS_STEP)


def test_areas_are_those_of_tem(real: ForcingSettings, shared: Path) -> None:
    paths = {name: Path(name) for name in files_of(real)}
    land = read_land(real, paths.__getitem__)
    tem = shared / "data/tem-65-70n/tem_static_65-70N_0.5deg.nc"
    soil = shared / "data/hwsd-topsoil-05deg/hwsd_topsoil_40-90N_0.5deg.nc"
    north = land.isel(cell=(land["lat"] > 65).to_numpy())
    with xr.open_dataset(tem) as one, xr.open_dataset(soil) as other:
        at = {n: xr.DataArray(north[n].to_numpy(), dims="cell") for n in ("lat", "lon")}
        known = (one["cell_area"].sel(at) * 1e6 * other["land_fraction"].sel(at)).to_numpy()
    lat = north["lat"].to_numpy()
    sphere = (
        6371229.0**2 * np.deg2rad(0.5) * (np.sin(np.deg2rad(lat + 0.25)) - np.sin(np.deg2rad(lat - 0.25)))
    )
    # TEM's cells are those of a sphere, with radii that scatter by 1.4 km
    np.testing.assert_allclose(north["cell_area"], known * half_degree_m2(lat) / sphere, rtol=5e-4)


def test_the_cells_of_the_region_are_those_of_the_map(shared: Path) -> None:
    path = shared / "data/permafrost-cci-validation/permafrost_cci_grid_0.5deg.nc"
    lat, lon, fraction, area = permafrost_cells(path, 0.2)
    with netCDF4.Dataset(path) as file:
        held = np.ma.filled(file["permafrost_fraction_median"][:].astype(float), 0.0) / 100
        axes = [file[n][:].tolist() for n in ("lat", "lon")]
    expected = {
        (y, x): held[j, i] for j, y in enumerate(axes[0]) for i, x in enumerate(axes[1]) if held[j, i] > 0.2
    }
    assert len(expected) == 17461
    assert list(zip(lat.tolist(), lon.tolist(), strict=True)) == sorted(expected)
    np.testing.assert_allclose(fraction, [expected[k] for k in sorted(expected)], rtol=1e-6)
    np.testing.assert_allclose(area, half_degree_m2(lat), rtol=1e-9)


@pytest.mark.parametrize("turn", [{"lat": slice(None, None, -1)}, {"lon": [2, 3, 0, 1]}])
def test_rows_and_columns_may_stand_in_any_order(tmp_path: Path, turn: dict[str, Any]) -> None:
    world.files(tmp_path)
    with xr.open_dataset(tmp_path / "permafrost.nc") as ds:
        turned = ds.isel(turn)
        turned.assign_coords(lon=turned["lon"] % 360).to_netcdf(tmp_path / "turned.nc")
    for one, other in zip(
        permafrost_cells(tmp_path / "permafrost.nc", 0.0),
        permafrost_cells(tmp_path / "turned.nc", 0.0),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-12)
