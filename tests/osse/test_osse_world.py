"""The made-up world itself: land, fields, weather, fires, methane, waters, totals, against independent numbers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import integrate
from tests.osse import tiny_world

from talik.flux import open_flux
from talik.osse import nature as natures
from talik.osse.components import components, write_components
from talik.osse.ecosystem import communities_of
from talik.osse.fields import smooth_fields, smooth_series
from talik.osse.geography import make_land, world_grid
from talik.osse.nature import Nature, fires, methane, truth_dataset, water_carbon, without_burnt, write_truth
from talik.osse.settings import WorldSettings
from talik.osse.weather import (
    carbon_dioxide,
    make_weather,
    normal_radiation,
    normal_temperature,
    persistent,
    saturation_kpa,
)
from talik.regions import LatLonGrid, land_fraction, regional_total, sectors
from talik.regions.named import domain_weights
from talik.tem.output import month_seconds


@pytest.fixture(scope="module")
def world() -> Nature:
    return tiny_world.nature()


# settings


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"period": (2001, 2003)}, "four years at least"),
        ({"first_year": 1997}, "five years before 2001"),
        ({"first_year": 1996, "period": (2001, 2004), "pixels": {"years": 3}}, "first ten years of climate"),
        ({"grid": {"south": 30.0}}, "greater than or equal to 40"),
        ({"towers": {"counts": 4}}, "Extra inputs"),
    ],
)
def test_worlds_that_cannot_be_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        tiny_world.settings(**changes)


# land


def test_the_land_is_that_of_natural_earth_in_the_cells_that_are_kept():
    wanted = tiny_world.settings()
    land = make_land(wanted)
    assert len(set(zip(land.row.tolist(), land.column.tolist(), strict=True))) == land.size
    # fine cells nested in the coarse ones, a calculation of its own
    fine = LatLonGrid.regular((1.0, 1.0), lat=(48.0, 84.0))
    area = land_fraction(fine).to_numpy() * fine.cell_area().to_numpy()
    coarse = area.reshape(6, 6, 24, 15).sum(axis=(1, 3))
    np.testing.assert_allclose(land.land_area_m2, coarse[land.row, land.column], rtol=1e-9)
    whole = fine.cell_area().to_numpy().reshape(6, 6, 24, 15).sum(axis=(1, 3))
    kept = np.zeros(coarse.shape, bool)
    kept[land.row, land.column] = True
    np.testing.assert_array_equal(kept, coarse / whole >= wanted.grid.least_land)
    np.testing.assert_allclose(land.land_share, (coarse / whole)[land.row, land.column], rtol=1e-9)
    assert land.on_grid(land.lat).shape == (6, 24)
    assert np.isnan(land.on_grid(land.lat)[~kept]).all()


def test_soils_and_shares_are_shares(world):
    land = make_land(world.settings)
    np.testing.assert_allclose(land.sand + land.silt + land.clay, 100.0)
    for values in (land.sand, land.silt, land.clay, land.wetland, land.lake):
        assert (values >= 0.0).all()
    assert (land.wetland + land.lake <= 0.97 + 1e-12).all()
    assert ((land.continentality >= 0.0) & (land.continentality <= 1.0)).all()
    # the ice is Greenland's, and a cell inland is far from the sea
    assert land.ice.any()
    assert ((land.lon[land.ice] > -75.0) & (land.lon[land.ice] < -10.0)).all()


def test_a_grid_ends_below_the_pole_in_whole_rows():
    wanted = WorldSettings.model_validate({"grid": {"lat_step": 5.0, "lon_step": 30.0, "south": 50.0}})
    assert world_grid(wanted).y_edges[-1] == 80.0
    assert world_grid(wanted, 4.25, 30.0).y_edges[-1] == 84.0


# random fields


def test_fields_have_the_covariance_that_is_stated():
    """Over many seeds: mean 0, variance 1, exp(-d2 / (2 length2)) of the chord, none between names."""
    lat, lon = np.array([70.0, 70.0, 62.0, 50.0]), np.array([0.0, 20.0, 10.0, 180.0])
    x, y, z = (
        6371.0 * f
        for f in (
            np.cos(np.radians(lat)) * np.cos(np.radians(lon)),
            np.cos(np.radians(lat)) * np.sin(np.radians(lon)),
            np.sin(np.radians(lat)),
        )
    )
    chord2 = sum((v[:, None] - v[None, :]) ** 2 for v in (x, y, z))
    expected = np.exp(-chord2 / (2 * 900.0**2))
    assert 0.2 < expected[0, 1] < 0.9
    n = 1500
    held = [smooth_fields(seed, ("a", "b"), lat, lon, length_km=900.0) for seed in range(n)]
    a, b = (np.stack([h[name] for h in held]) for name in ("a", "b"))
    assert np.abs(a.mean(axis=0)).max() < 4.5 / np.sqrt(n)
    sd = np.sqrt((1.0 + expected**2) / n)
    assert (np.abs(a.T @ a / n - expected) < 4.5 * sd + 0.01).all()
    assert np.abs(a.T @ b / n).max() < 4.5 / np.sqrt(n)


def test_a_place_has_the_same_value_among_other_places():
    lat, lon = np.array([70.0, 60.0, 51.0]), np.array([0.0, 100.0, -120.0])
    whole = smooth_fields(7, ("a", "b"), lat, lon, length_km=500.0)
    alone = smooth_fields(7, ("b",), lat[1:2], lon[1:2] - 360.0, length_km=500.0)
    np.testing.assert_allclose(alone["b"], whole["b"][1:2], rtol=0, atol=1e-9)
    series = smooth_series(7, "s", lat, lon, steps=5, length_km=500.0)
    np.testing.assert_allclose(
        smooth_series(7, "s", lat[::-1], lon[::-1], steps=5, length_km=500.0), series[:, ::-1], atol=1e-12
    )
    months = smooth_series(7, "s", lat, lon, steps=4000, length_km=500.0)[:, 0]
    assert abs(np.corrcoef(months[1:], months[:-1])[0, 1]) < 4.5 / np.sqrt(4000)


def test_land_and_weather_of_a_place_are_the_same_on_another_grid():
    """A coarse cell with a fine one at its very centre: three times as fine."""
    wide = tiny_world.settings(grid={"lat_step": 6.0, "lon_step": 15.0})
    fine = tiny_world.settings(grid={"lat_step": 2.0, "lon_step": 5.0})
    a, b = make_land(wide), make_land(fine)
    where = {(round(la, 6), round(lo, 6)): i for i, (la, lo) in enumerate(zip(b.lat, b.lon, strict=True))}
    pairs = [
        (i, where[place])
        for i, place in enumerate((round(la, 6), round(lo, 6)) for la, lo in zip(a.lat, a.lon, strict=True))
        if place in where
    ]
    assert len(pairs) > 30
    i, j = np.array(pairs).T
    for name in ("elevation", "sand", "clay", "wetland", "lake", "latent", "continentality", "from_sea_km"):
        np.testing.assert_allclose(getattr(a, name)[i], getattr(b, name)[j], atol=1e-9, err_msg=name)
    for name in ("tas", "pr", "rsds", "vpd"):
        left, right = (
            getattr(make_weather(wide, a.where(i)), name),
            getattr(make_weather(fine, b.where(j)), name),
        )
        np.testing.assert_allclose(left, right, atol=1e-9, err_msg=name)


# weather


def daily_insolation(lat: float, declination: float) -> float:
    """Mean over the day of the sun above the air, at its mean distance, W m-2: the cosine of its angle, summed up."""
    phi, delta = math.radians(lat), math.radians(declination)

    def height(hour: float) -> float:
        return max(0.0, math.sin(phi) * math.sin(delta) + math.cos(phi) * math.cos(delta) * math.cos(hour))

    edge = -math.tan(phi) * math.tan(delta)
    points = [math.acos(edge)] if -1.0 < edge < 1.0 else None
    return 1361.0 / math.pi * integrate.quad(height, 0.0, math.pi, points=points)[0]


# declination in the middle of months (Klein 1977 recommends days whose declination is this), degrees
DECLINATION = [-20.9, -13.0, -2.4, 9.4, 18.8, 23.1, 21.2, 13.5, 2.2, -9.6, -18.9, -23.0]
# distance of the sun on these days: (mean over actual) squared
NEARER = [1.032, 1.023, 1.010, 0.993, 0.977, 0.968, 0.967, 0.975, 0.990, 1.006, 1.022, 1.032]


def test_the_sun_is_where_it_should_be(world):
    land = world.land
    above = normal_radiation(land) / (0.42 + 0.10 * land.continentality)
    for cell in range(0, land.size, 7):
        expected = [
            daily_insolation(float(land.lat[cell]), d) * f for d, f in zip(DECLINATION, NEARER, strict=True)
        ]
        np.testing.assert_allclose(above[:, cell], expected, atol=12.0)
    # 65 N in June: 477 W m-2 is what is published for the day of the solstice; the month is a little less
    rows, first = np.unique(land.lat, return_index=True)
    june = np.interp(65.0, rows, above[5][first])
    assert june == pytest.approx(477.0, abs=8.0)
    north = land.lat > 75.0
    assert (above[[0, 11]][:, north] == 0.0).all()


@pytest.mark.parametrize(
    ("celsius", "kpa", "within"),
    # World Meteorological Organization (2008, guide no. 8): over water 0, 10, 20, 30; over ice -10, -20, -40
    [(0.0, 0.6112, 2e-3), (10.0, 1.2272, 2e-3), (20.0, 2.3369, 2e-3), (30.0, 4.2430, 2e-3),
     (-10.0, 0.25987, 3e-3), (-20.0, 0.10324, 3e-3), (-40.0, 0.012839, 6e-3)],
)  # fmt: skip
def test_saturation_is_what_tables_say(celsius, kpa, within):
    assert float(saturation_kpa(np.array(celsius))) == pytest.approx(kpa, rel=within)


def test_carbon_dioxide_is_as_observed():
    """Annual means of the globe, NOAA: 1991, 2001, 2010, 2020."""
    np.testing.assert_allclose(
        carbon_dioxide([1991, 2001, 2010, 2020]), [354.1, 370.1, 388.8, 412.4], atol=2.5
    )


def test_months_remember_the_month_before():
    steps = np.random.default_rng(1).normal(size=(20_000, 3))
    out = persistent(steps)
    np.testing.assert_allclose(out.std(axis=0), 1.0, atol=0.03)
    for lag in (1, 2, 3):
        found = [np.corrcoef(out[lag:, i], out[:-lag, i])[0, 1] for i in range(3)]
        np.testing.assert_allclose(found, 0.35**lag, atol=0.03)


def test_years_differ_as_is_set():
    """No warming, hundred and fifty years: standard deviations of winter, summer, rain."""
    flat = WorldSettings.model_validate(
        {"first_year": 1900, "period": (1910, 2050), "grid": {"lat_step": 12.0, "lon_step": 60.0},
         "climate": {"warming_k_per_decade": 0.0}}
    )  # fmt: skip
    land = make_land(flat)
    weather = make_weather(flat, land)
    tas = weather.tas.reshape(-1, 12, land.size)
    np.testing.assert_allclose(tas.mean(axis=0), normal_temperature(land), atol=0.9)
    spread = np.sqrt(tas.var(axis=0).mean(axis=1))
    assert spread[0] == pytest.approx(2.0, rel=0.12)
    assert spread[6] == pytest.approx(0.8, rel=0.12)
    rain = np.log(weather.pr.reshape(-1, 12, land.size))
    assert np.sqrt(rain.var(axis=0).mean()) == pytest.approx(0.25, rel=0.1)
    assert (weather.vpd > 0).all()
    assert (weather.rsds >= 0).all()


def test_it_warms_as_is_set():
    """The difference between a world that warms and the same one that does not is the trend alone: no noise."""

    def world(rate: float):
        wanted = WorldSettings.model_validate({"grid": {"lat_step": 6.0, "lon_step": 30.0},
                                               "climate": {"warming_k_per_decade": rate}})  # fmt: skip
        land = make_land(wanted)
        return land, make_weather(wanted, land).tas.reshape(-1, 12, land.size)

    land, warm = world(0.6)
    _, still = world(0.0)
    apart = warm - still
    per_decade = 10.0 * (apart[-1] - apart[0]) / (len(apart) - 1)
    of_row = {float(lat): per_decade[:, land.lat == lat].mean() for lat in np.unique(land.lat)}
    assert np.interp(65.0, list(of_row), list(of_row.values())) == pytest.approx(0.6, rel=1e-3)
    assert (per_decade[0] > per_decade[6]).all()  # winters warm more
    assert per_decade[:, land.lat > 75].mean() > per_decade[:, land.lat < 55].mean()
    assert np.abs(apart.mean(axis=(0, 1))).max() < 0.06  # nothing is added to the mean but half a year of it


def test_communities_follow_july_and_rain(world):
    every = make_weather(world.settings, world.land)
    held = np.array(communities_of(every, world.land))
    long_july = every.tas[6::12].mean(axis=0)
    assert (long_july[held == "alpine_tundra_polar_desert"] < 5.0).all()
    assert ((long_july[held == "wet_tundra"] >= 5.0) & (long_july[held == "wet_tundra"] < 10.5)).all()
    assert (long_july[(held == "boreal_forest") | (held == "grassland")] >= 10.5).all()
    dry = 12.0 * every.pr.mean(axis=0) < 430.0
    np.testing.assert_array_equal(held == "grassland", dry & (long_july > 17.0))
    assert set(held) >= {"alpine_tundra_polar_desert", "wet_tundra", "boreal_forest"}


# fire


def made(world: Nature, seed: int) -> Nature:
    """The same cells and weather under another seed, which only what is drawn beside them sees."""
    wanted = world.settings.model_copy(update={"seed": seed})
    return Nature(wanted, world.land, world.weather, world.community, world.months)


def test_fire_is_on_the_mean_what_is_expected_of_it(world):
    seconds = np.concatenate([month_seconds(year) for year in world.weather.years])[:, None]
    sums, n = [], 600
    for seed in range(n):
        flux, expected = fires(made(world, seed).settings, world.land, world.weather, world.community)
        sums.append((flux * seconds).sum(axis=0) / len(world.weather.years))
    a_year = np.stack(sums) / (365.25 * 86400.0)
    burns = expected > 0
    ratio = a_year[:, burns].mean(axis=0) / expected[burns]
    # a year's factor has the variance exp(1.1**2) - 1; six years a seed, and places of one region alike
    sd = np.sqrt((np.exp(1.1**2) - 1.0) / (6 * n))
    assert abs(ratio.mean() - 1.0) < 4.0 * sd
    assert np.abs(ratio - 1.0).max() < 6.0 * sd
    # boreal forest: 3 kg C m-2 in 180 years
    boreal = np.array(world.community) == "boreal_forest"
    np.testing.assert_allclose(expected[boreal] * 365.25 * 86400.0, 3.0 / 180.0)


def test_fire_is_of_summer_and_not_of_polar_desert(world):
    flux, _ = fires(world.settings, world.land, world.weather, world.community)
    months = flux.reshape(-1, 12, world.land.size)
    assert (flux >= 0.0).all()
    assert (months[:, [0, 1, 2, 3, 4, 8, 9, 10, 11]] == 0.0).all()
    desert = np.array(world.community) == "alpine_tundra_polar_desert"
    assert desert.any()
    assert (flux[:, desert] == 0.0).all()
    assert (months[:, 5:8][:, :, ~desert] > 0.0).all()


def test_what_is_not_respired_is_what_burns(world):
    months = world.months
    _, expected = fires(world.settings, world.land, world.weather, world.community)
    out = without_burnt(months, expected)
    np.testing.assert_allclose(out["nee"], out["reco"] - out["gpp"], atol=1e-20)
    np.testing.assert_allclose(out["nep"], -out["nee"], atol=1e-20)
    np.testing.assert_allclose(out["reco"] - out["ra"], out["rh"], atol=1e-20)
    for name in ("gpp", "ra", "npp", "cVeg", "cSoil", "tsl"):
        xr.testing.assert_identical(out[name], months[name])
    less = (months["rh"] - out["rh"]).values.mean(axis=0)
    mean = months["rh"].values.mean(axis=0)
    kept = expected <= 0.5 * mean
    assert kept.mean() > 0.9
    np.testing.assert_allclose(less[kept], expected[kept], rtol=1e-9, atol=1e-20)
    np.testing.assert_allclose(less[~kept], 0.5 * mean[~kept], rtol=1e-9, atol=1e-20)
    share = (out["rh"] / months["rh"]).values
    np.testing.assert_allclose(share, np.broadcast_to(share[:1], share.shape), rtol=1e-9)
    # half of all respiration at most, and nothing where nothing is respired
    held = without_burnt(months, 10.0 * mean)
    np.testing.assert_allclose(held["rh"], 0.5 * months["rh"], rtol=1e-12)
    dead = without_burnt(months.assign(rh=0.0 * months["rh"]), expected)
    assert np.isfinite(dead["nee"]).all()
    xr.testing.assert_identical(dead["nee"], months["nee"])


# methane and waters


def test_methane_of_a_cell_by_hand(world):
    """One cell, month by month, with the standard library alone but for the two random numbers."""
    wanted, land = world.settings, world.land
    rate = 2.4 * math.exp(
        natures.named_rng(wanted.seed, "osse/truth/methane").normal(0.0, 0.25)
    )  # g C m-2 month-1
    cell = int(np.argmax(land.wetland * land.lake))
    place = smooth_fields(wanted.seed, ("methane",), land.lat[cell : cell + 1], land.lon[cell : cell + 1],
                          length_km=900.0)  # fmt: skip
    found, month = methane(wanted, land, world.months)[:, cell], 365.25 * 86400.0 / 12.0
    wet, lake = float(land.wetland[cell]), float(land.lake[cell])
    expected = []
    for soil in world.months["tsl"].values[:, :3, cell].tolist():
        t = sum(soil) / 3.0
        liquid = min(max(t + 0.5, 0.02), 1.0)
        wetland = rate * math.exp(0.3 * float(place["methane"][0])) * 2.8 ** ((t - 10.0) / 10.0) * liquid
        dry = -0.01 if t > 2.0 else 0.0
        expected.append(wet * wetland + (0.7 * lake if t > 0.0 else 0.0) + (1.0 - wet - lake) * dry)
    np.testing.assert_allclose(found * month * 1e3, expected, rtol=1e-9)
    assert max(expected) > 0


def test_waters_of_a_cell_by_hand(world):
    wanted, land = world.settings, world.land
    rate = math.exp(natures.named_rng(wanted.seed, "osse/truth/waters").normal(0.0, 0.2))
    found = water_carbon(wanted, land, world.weather)
    cell = int(np.argmax(land.lake))
    expected = []
    for tas in world.weather.tas[:, cell].tolist():
        free = min(max((tas + 1.0) / 4.0, 0.0), 1.0)
        expected.append(free * rate * (8.0 * float(land.lake[cell]) + 140.0 * 0.004))
    np.testing.assert_allclose(
        found[:, cell] * 365.25 * 86400.0 / 12.0 * 1e3, expected, rtol=1e-9, atol=1e-12
    )
    assert (found >= 0.0).all()


# totals


def test_components_are_those_of_a_slow_loop(world):
    table = components(world).set_index(["region", "gas", "process", "year"])["tg"]
    land, months = world.land, world.months
    densities = natures.methane_densities(world.settings, land, months)
    by_hand: dict[tuple[str, str], float] = {}
    days = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    for cell in range(land.size):
        lakes = float(land.lake[cell])
        rates = {
            ("CO2", "vegetation_soil"): months["nee"].values[:12, cell],
            ("CO2", "fire"): months["fFire"].values[:12, cell],
            ("CO2", "inland_waters"): months["water"].values[:12, cell],
            ("CH4", "vegetation_soil"): months["fch4"].values[:12, cell]
            - lakes * densities["lake"][:12, cell],
            ("CH4", "inland_waters"): lakes * densities["lake"][:12, cell],
        }
        for (gas, process), rate in rates.items():
            tg = (
                sum(float(r) * d * 86400.0 for r, d in zip(rate, days, strict=True))
                * land.land_area_m2[cell]
                * 1e-9
            )
            by_hand[gas, process] = by_hand.get((gas, process), 0.0) + tg
    assert len(by_hand) == 5
    for (gas, process), tg in by_hand.items():
        assert table["domain", gas, process, 2001] == pytest.approx(tg, rel=1e-9), (gas, process)


def test_sectors_add_up_to_the_domain_where_they_cover_the_land(world):
    """Land north of 49 is in a sector; a world that begins at 54 has nothing else."""
    north = tiny_world.nature(grid={**tiny_world.GRID, "south": 54.0})
    table = components(north)
    sums = table.pivot_table(index=["gas", "process", "year"], columns="region", values="tg")
    parts = sums[["alaska", "canada", "europe", "siberia"]].sum(axis=1)
    np.testing.assert_allclose(parts, sums["domain"], rtol=1e-6)


def test_the_truth_is_a_flux_dataset(world, tmp_path: Path):
    write_truth(tmp_path / "truth.nc", world)
    write_components(tmp_path / "truth.csv", world)
    land, months = world.land, world.months
    with open_flux(tmp_path / "truth.nc") as truth:
        ds = truth.load()
    assert {"nee", "gpp", "reco", "rh", "fFire", "fch4", "nbe"} <= set(ds.data_vars)
    for name in ("nee", "fFire", "fch4"):
        np.testing.assert_allclose(ds[name].values[:, land.row, land.column], months[name].values, rtol=1e-6)
    # per area of the cell, and with fire and waters
    area = land.grid.cell_area().values
    net = sum(months[name].values for name in ("nee", "fFire", "water"))
    total = (ds["nbe"].fillna(0.0).values * area).sum(axis=(1, 2))
    np.testing.assert_allclose(total, net @ land.land_area_m2, rtol=1e-6, atol=1e-6 * np.abs(total).max())
    assert ds["nbe"].attrs["area_basis"] == "cell"
    assert ds["nee"].attrs["area_basis"] == "land"
    whole = make_land(world.settings)
    ice = whole.where(whole.ice)
    assert ice.size > 0
    assert (ds["nee"].values[:, ice.row, ice.column] == 0.0).all()
    assert int(np.isfinite(ds["nee"].isel(time=0)).sum()) == whole.size
    table = pd.read_csv(tmp_path / "truth.csv")
    everywhere = (domain_weights(land.grid) * land_fraction(land.grid)).assign_attrs(covers="land")
    rate = regional_total(ds["nee"].sel(time="2003"), everywhere, min_coverage=0.5)["nee"].isel(region=0)
    tg = float((rate.values * month_seconds(2003)).sum()) * 1e-9
    assert nee_of(table, "domain") == pytest.approx(tg, rel=1e-5)


def test_the_truth_of_a_sector_is_its_regional_total(world):
    land, table = world.land, components(world)
    rates = regional_total(
        truth_dataset(world)["nee"].sel(time="2003"), sectors(land.grid), min_coverage=0.5, on_hole="nan"
    )["nee"]
    for region in ("alaska", "canada", "europe", "siberia"):
        tg = float((rates.sel(region=region).values * month_seconds(2003)).sum()) * 1e-9
        assert nee_of(table, region) == pytest.approx(tg, rel=1e-5), region


def nee_of(table: pd.DataFrame, region: str, year: int = 2003) -> float:
    rows = table[
        (table["region"] == region) & (table["process"] == "vegetation_soil") & (table["year"] == year)
    ]
    return float(rows[rows["gas"] == "CO2"]["tg"].iloc[0])


def test_errors_are_not_in_the_truth(world):
    """The truth dataset is the same for any network."""
    xr.testing.assert_identical(
        truth_dataset(world).drop_attrs(), truth_dataset(tiny_world.with_towers(world, count=9)).drop_attrs()
    )


# blocks


@pytest.mark.parametrize("sizes", [{"truth": 35, "model-1": 8, "model-2": 8}, {"truth": 7, "model-1": 1},
                                   {"truth": 30, "model-1": 10}])  # fmt: skip
def test_blocks_hold_each_cell_once_and_have_one_size(sizes):
    blocks = natures._blocks(sizes)
    size = -(-sizes["truth"] // 3)
    in_order = [(name, int(i)) for block in blocks for name, cells in block for i in cells]
    assert in_order == [(name, i) for name, count in sizes.items() for i in range(count)]
    for block in blocks:
        filled = natures._filled(block, size)
        assert sum(cells.size for _, cells in filled) == size
        assert filled[: len(block)] == list(block)


def test_cells_are_joined_in_order(tmp_path: Path):
    """Files as `write_block` leaves them; a run may be spread over two of them."""
    rng = np.random.default_rng(2)
    values = rng.normal(size=(4, 7))
    run = np.array(["truth"] * 5 + ["model-1"] * 2)
    paths = []
    for i, part in enumerate((slice(0, 3), slice(3, 6), slice(6, 7))):
        ds = xr.Dataset(
            {"gpp": (("time", "cell"), values[:, part]), "run": ("cell", run[part])}, {"time": range(4)}
        )
        paths.append(tmp_path / f"cells-{i}.nc")
        ds.to_netcdf(paths[-1], engine="netcdf4")
    np.testing.assert_array_equal(natures.joined(paths, "truth")["gpp"], values[:, :5])
    np.testing.assert_array_equal(natures.joined(paths, "model-1")["gpp"], values[:, 5:])
