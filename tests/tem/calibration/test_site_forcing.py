"""Forcing of towers: units by hand, the correction of temperature, soil, and that the process model reads it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from talik.errors import ConfigError, InputError
from talik.sources.climate import read_climate
from talik.sources.co2 import read_co2
from talik.sources.land_static import read_static
from talik.sources.site_table import SiteTable, read_sites
from talik.tem.calibration.site_forcing import (
    SiteFiles,
    corrected,
    site_climate,
    site_co2,
    site_land,
    write_site_forcing,
)
from talik.tem.calibration.towers import PUBLISHED_TOWERS, Tower
from talik.tem.inputs import read_columns, read_run
from talik.tem.settings import Files, TemSettings

BOG = Tower(site="XX-Bog", lat=65.1, lon=25.1, community="wet_tundra", texture=(40, 40, 20))
FEN = Tower(
    site="XX-Fen", lat=66.1, lon=25.1, community="boreal_forest", elevation_m=600.0, texture=(30, 40, 30)
)
YEARS = (2001, 2016)
TOWER = {t.site: i for i, t in enumerate(PUBLISHED_TOWERS)}


def drivers(**changed: object) -> SiteTable:
    """Two years of climate of one tower."""
    month = np.tile(np.arange(1, 13), 2)
    rows = pd.DataFrame(
        {
            "site_id": "XX-Bog",
            "year": np.repeat([2001, 2002], 12),
            "month": month,
            "tair": 5.0 - 20.0 * np.cos(2 * np.pi * (month - 1) / 12),
            "precip": 30.0,
            "srad": 100.0,
            "co2": 371.0,
        }
    )
    return SiteTable(rows.assign(**changed), "made", (), ())


@pytest.fixture(scope="module")
def data(shared: Path) -> dict[str, Path]:
    folder = shared / "data"
    return {
        "drivers": folder / "fluxnet2015-cardamom/site_months.parquet",
        "air": folder / "abcflux-v2-apr2024/site_months.parquet",
        "climatology": folder / "climatology-biome4-05deg/biome4_climatology_40-90N_0.5deg.nc",
        "soil": folder / "hwsd-topsoil-05deg/hwsd_topsoil_40-90N_0.5deg.nc",
    }


@pytest.fixture(scope="module")
def published(data: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> SiteFiles:
    """The forcing of the published towers, written."""
    return write_site_forcing(tmp_path_factory.mktemp("sites"), PUBLISHED_TOWERS, years=YEARS, **data)


@pytest.fixture(scope="module")
def climate(published: SiteFiles) -> xr.Dataset:
    """The same as the process model reads it."""
    return read_climate(published.climate, cells=[(t.lat, t.lon) for t in PUBLISHED_TOWERS])


def test_one_month_by_hand(data: dict[str, Path]) -> None:
    raw = pd.read_parquet(data["drivers"]).set_index(["site", "year", "month"]).loc[("US-Atq", 2005, 2)]
    atq = PUBLISHED_TOWERS[TOWER["US-Atq"]]
    found = site_climate([atq], read_sites(data["drivers"]), years=(2005, 2005)).isel(time=1, cell=0)
    assert float(found["tas"]) == pytest.approx((raw["tmin"] + raw["tmax"]) / 2)
    assert float(found["pr"]) == pytest.approx(28 * raw["precip"])
    assert float(found["rsds"]) == pytest.approx(raw["ssrd"] * 1e6 / (24 * 3600))


def test_the_file_is_what_was_made(data: dict[str, Path], climate: xr.Dataset) -> None:
    tables = (read_sites(data["drivers"]), read_sites(data["air"]))
    made = site_climate(
        PUBLISHED_TOWERS, tables[0], air=tables[1], climatology=data["climatology"], years=YEARS
    )
    for name in ("tas", "pr", "rsds"):
        np.testing.assert_allclose(climate[name].values, made[name].values, rtol=1e-12)
    assert climate.sizes == {"time": 192, "cell": 6, "bnds": 2}
    assert "RU-SkP: precipitation and sunshine of the climatology biome4" in climate.attrs["notes"][0]
    assert made["site"].values.tolist() == list(TOWER)


def test_towers_without_measured_temperature_keep_their_drivers(
    data: dict[str, Path], climate: xr.Dataset
) -> None:
    raw = pd.read_parquet(data["drivers"])
    raw = raw[raw["site"] == "CN-Dan"].sort_values(["year", "month"])
    np.testing.assert_allclose(
        climate["tas"].isel(cell=TOWER["CN-Dan"]), (raw["tmin"] + raw["tmax"]) / 2, rtol=1e-12
    )


def test_measured_months_are_as_measured_and_means_of_a_climatology_are_the_towers(
    data: dict[str, Path], climate: xr.Dataset, published: SiteFiles
) -> None:
    raw = pd.read_parquet(data["air"])
    raw = raw[(raw["site_reference"] == "RU-SkP") & raw["tair"].notna()]
    assert len(raw) == 30
    tas = climate["tas"].isel(cell=TOWER["RU-SkP"])
    for row in raw.itertuples():
        assert float(tas.sel(time=f"{row.year}-{row.month:02d}-01")) == pytest.approx(row.tair)
    by_month = tas.groupby("time.month").mean()
    measured = raw.groupby("month")["tair"].mean()
    assert measured.index.tolist() == [5, 6, 7, 8, 9]
    np.testing.assert_allclose(by_month.sel(month=measured.index), measured, atol=1e-9)
    with xr.open_dataset(data["climatology"]) as ds:
        cell = ds.sel(lat=62.25, lon=129.25)
        base, pr = cell["tas"].values.astype(float), cell["pr"].values.astype(float)
    shift = (measured - base[measured.index - 1]).mean()
    others = [1, 2, 3, 4, 10, 11, 12]
    np.testing.assert_allclose(by_month.sel(month=others), base[np.array(others) - 1] + shift, atol=1e-6)
    np.testing.assert_allclose(
        climate["pr"].isel(cell=TOWER["RU-SkP"]).values.reshape(16, 12), np.tile(pr, (16, 1)), rtol=1e-6
    )
    with xr.open_dataset(published.climate) as ds:
        told = json.loads(ds.attrs["talik_audit"])["RU-SkP"]
    assert told["measured_months"] == 30
    assert told["never_measured"] == others


def test_radiation_of_a_climatology_is_the_line_of_tem(data: dict[str, Path], climate: xr.Dataset) -> None:
    with xr.open_dataset(data["climatology"]) as ds:
        sun = ds["sunshine"].sel(lat=62.25, lon=129.25).values.astype(float) / 100
    phi = math.radians(62.255)
    july = []
    for day in range(182, 213):
        delta = math.radians(-23.4856 * math.cos(2 * math.pi * (day + 10) / 365.25))
        r = 1 - 0.016729 * math.cos(math.radians(0.9856 * (day - 4)))
        total = 0.0
        for hour in range(1, 25):
            height = math.sin(phi) * math.sin(delta) + math.cos(phi) * math.cos(delta) * math.cos(
                math.radians(15 * (hour - 12))
            )
            total += max(0.0, 1368 * 3600 / 41860 * height / r**2)
        july.append(total)
    expected = np.mean(july) * (0.251 + 0.509 * sun[6]) * 41868 / 86400
    found = climate["rsds"].isel(cell=TOWER["RU-SkP"]).sel(time="2007-07-01")
    assert float(found) == pytest.approx(expected, rel=1e-6)
    assert 150 < expected < 250


def test_co2_is_that_of_mauna_loa(published: SiteFiles) -> None:
    found = read_co2(published.co2, years=YEARS).to_numpy()
    noaa = {2004: 377.70, 2010: 390.10, 2014: 398.81}  # annual means of Mauna Loa, NOAA GML
    for year, ppm in noaa.items():
        assert found[year - YEARS[0]] == pytest.approx(ppm, abs=0.5)
    assert (np.diff(found) > 0).all()


def test_the_process_model_reads_soil_and_community(data: dict[str, Path], published: SiteFiles) -> None:
    land = read_static(published.land)
    with xr.open_dataset(data["soil"]) as ds:
        soil = ds[["sand", "silt", "clay"]].stack(cell=("lat", "lon")).dropna("cell")
        lat, lon = np.radians(soil["lat"].values), np.radians(soil["lon"].values)
        for tower, i in ((t, TOWER[t.site]) for t in PUBLISHED_TOWERS if t.texture is None):
            a, b = math.radians(tower.lat), math.radians(tower.lon)
            cosine = np.sin(a) * np.sin(lat) + np.cos(a) * np.cos(lat) * np.cos(lon - b)
            nearest = soil.isel(cell=int(np.argmax(cosine)))
            for name in ("sand", "silt", "clay"):
                assert float(land[name][i]) == pytest.approx(float(nearest[name]), abs=1e-4)
    settings = TemSettings.model_validate(
        {
            "climate": {"files": [str(published.climate)]},
            "co2": {"files": [str(published.co2)]},
            "land": {"files": [str(published.land)]},
        }
    )
    columns = read_columns(settings, [published.land])
    assert columns.community == tuple(t.community for t in PUBLISHED_TOWERS)
    assert columns.elevation.tolist() == [t.elevation_m for t in PUBLISHED_TOWERS]
    names = {n: (str(getattr(published, n)),) for n in ("climate", "co2", "land")}
    run = read_run(settings, Files(**names, restart=None, period=(2004, 2006)), columns)
    raw = pd.read_parquet(data["air"])
    raw = raw[(raw["site_reference"] == "US-Atq") & (raw["year"] == 2005)].drop_duplicates("month")
    np.testing.assert_allclose(run.tair[1, :, TOWER["US-Atq"]], raw.sort_values("month")["tair"])
    assert run.january is not None
    assert run.years == range(2004, 2007)


temperatures = arrays(np.float64, (3, 12), elements=st.floats(-50, 30))


@settings(deadline=None)
@given(base=temperatures, measured=temperatures, there=arrays(np.bool_, (3, 12)))
def test_correction_against_a_loop(base: np.ndarray, measured: np.ndarray, there: np.ndarray) -> None:
    seen = np.where(there, measured, np.nan)
    out, shift = corrected(base, seen)
    known = {
        m: np.mean([seen[y, m] - base[y, m] for y in range(3) if there[y, m]])
        for m in range(12)
        if there[:, m].any()
    }
    other = float(np.mean(list(known.values()))) if known else 0.0
    for m in range(12):
        assert shift[m] == pytest.approx(known.get(m, other), abs=1e-9)
        for y in range(3):
            expected = measured[y, m] if there[y, m] else base[y, m] + known.get(m, other)
            assert out[y, m] == pytest.approx(expected, abs=1e-9)


def test_drivers_with_gaps_or_repeats_are_refused() -> None:
    table = drivers()
    gap = SiteTable(table.rows.drop(index=[3, 15]), "made", (), ())
    with pytest.raises(InputError, match=r"XX-Bog \(made\): tair is missing in 2001-04, 2002-04"):
        site_climate([BOG], gap, years=(2001, 2002))
    twice = SiteTable(pd.concat([table.rows, table.rows.iloc[[5]]]), "made", (), ())
    with pytest.raises(InputError, match=r"tair has 1 months twice, first 2001-06"):
        site_climate([BOG], twice, years=(2001, 2002))
    with pytest.raises(InputError, match=r"XX-Bog.*tair is missing in 2003-01"):
        site_climate([BOG], table, years=(2001, 2003))
    with pytest.raises(InputError, match=r"Precipitation cannot be negative"):
        site_climate([BOG], drivers(precip=-3.0), years=(2001, 2002))


def test_a_tower_without_drivers_needs_a_climatology_and_air_temperature(data: dict[str, Path]) -> None:
    path = data["climatology"]
    with pytest.raises(InputError, match=r"XX-Fen: no tair, precip, srad .* and no climatology"):
        site_climate([FEN], drivers(), years=(2001, 2002))
    with pytest.raises(InputError, match=r"XX-Fen: .*no air temperature in 2001\.\.2002"):
        site_climate([FEN], drivers(), air=drivers(), climatology=path, years=(2001, 2002))
    air = drivers(site_id="XX-Sea")
    sea = Tower(site="XX-Sea", lat=85.0, lon=0.0, community="wet_tundra")
    with pytest.raises(InputError, match=r"no climate at \(85\.25, 0\.25\), the cell of XX-Sea"):
        site_climate(
            [sea],
            SiteTable(air.rows.drop(columns="srad"), "made", (), ()),
            air=air,
            climatology=path,
            years=(2001, 2002),
        )


def test_towers_stand_at_places_of_their_own_and_years_run_forwards() -> None:
    twin = BOG.model_copy(update={"site": "XX-Two"})
    with pytest.raises(ConfigError, match="XX-Bog and XX-Two stand at one place"):
        site_climate([BOG, twin], drivers(), years=(2001, 2002))
    with pytest.raises(ConfigError, match="none given"):
        site_climate([], drivers(), years=(2001, 2002))
    with pytest.raises(ConfigError, match="run backwards"):
        site_climate([BOG], drivers(), years=(2002, 2001))


def test_co2_needs_whole_years() -> None:
    table = drivers()
    assert site_co2(table, (2001, 2002))["co2_ppm"].tolist() == [371.0, 371.0]
    with pytest.raises(InputError, match=r"no column co2"):
        site_co2(SiteTable(table.rows.drop(columns="co2"), "made", (), ()), (2001, 2002))
    with pytest.raises(InputError, match=r"no whole year in 2002, 2003 \(2 years\)"):
        site_co2(SiteTable(table.rows.drop(index=20), "made", (), ()), (2001, 2003))


def test_soil_of_a_tower(data: dict[str, Path]) -> None:
    land = site_land([BOG, FEN])
    assert land["elevation"].values.tolist() == [100.0, 600.0]
    assert land["sand"].values.tolist() == [40.0, 30.0]
    assert "XX-Bog: elevation taken as 100 m" in land.attrs["talik_note"]
    bare = BOG.model_copy(update={"texture": None})
    with pytest.raises(InputError, match="XX-Bog: no texture and no soil map"):
        site_land([bare])
    far = bare.model_copy(update={"lat": 30.5, "lon": 91.1})
    with pytest.raises(
        InputError, match=r"XX-Bog: the nearest soil .* lies \d+ km away .* expected at most 100 km"
    ):
        site_land([far], data["soil"])


def test_nothing_is_written_when_something_is_missing(data: dict[str, Path], tmp_path: Path) -> None:
    bare = [t.model_copy(update={"texture": None}) for t in PUBLISHED_TOWERS]
    with pytest.raises(InputError, match="CN-Dan: the nearest soil"):
        write_site_forcing(tmp_path / "out", bare, years=YEARS, **data)
    assert not (tmp_path / "out").exists()
