"""What is measured and modelled in a world: files that talik's own readers take, with errors as they are set."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr
from scipy.stats import binomtest, chisquare
from tests.osse.tiny_world import ecosystem, nature, with_settings, with_towers

from talik.errors import ConfigError, InputError
from talik.flux.io import open_flux
from talik.flux.units import amount_from_rate
from talik.inventory.areas import cover_areas
from talik.osse import cover, inversions, models, predictors, towers
from talik.osse.geography import make_land, world_grid
from talik.osse.nature import Nature, methane, methane_densities
from talik.osse.weather import make_weather
from talik.regions.masks import SECTORS, sector_polygons
from talik.sources.bawld import read_bawld
from talik.sources.doctor import diagnose
from talik.sources.inversions import read_inversion
from talik.sources.model_output import read_model
from talik.sources.predictors import PREDICTORS, VEGETATION
from talik.sources.site_table import read_sites
from talik.tem.output import month_seconds
from talik.upscaling.cube.opening import open_cube
from talik.upscaling.cube.predictors import Tile
from talik.upscaling.training import Feature

WRITERS: dict[str, Callable[[Path, Nature], None]] = {
    "sites.csv": towers.write_towers,
    "predictors.nc": predictors.write_predictors,
    "inversions.nc": inversions.write_inversions,
    "cover.csv.gz": cover.write_cover,
    "fire.nc": cover.write_fire,
}
FLAWLESS = {"random_error": 0.0, "relative_error": 0.0, "site_sd": 0.0, "night_bias": 0.0}
NO_GAPS = {"winter_gap": 0.0, "summer_gap": 0.0}


@pytest.fixture(scope="module")
def world() -> Nature:
    return nature()


@pytest.fixture(scope="module")
def files(world: Nature, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    for name, write in WRITERS.items():
        write(folder / name, world)
    return folder


def everywhere(world: Nature, **changes: object) -> list[towers.Place]:
    """A tower in the middle of every cell, all months, on dry ground."""
    land, size = world.land, world.months.sizes["time"]
    return [
        dataclasses.replace(
            towers.Place(f"cell-{i}", float(lat), float(lon), 0, size, wetland=False, methane=True), **changes
        )
        for i, (lat, lon) in enumerate(zip(land.lat, land.lon, strict=True))
    ]


def monthly(world: Nature, name: str) -> np.ndarray:
    """(time, cell) of the truth, g C m-2 month-1."""
    rate = world.months[name].assign_attrs(units="kg m-2 s-1")
    return amount_from_rate(rate, "g m-2 month-1").to_numpy()


def of_cells(table: pd.DataFrame, name: str) -> np.ndarray:
    """(time, cell) of a table of `everywhere` without gaps."""
    return table[name].to_numpy().reshape(table["site_id"].nunique(), -1).T


# towers


def test_the_site_table_is_read_without_an_error_or_a_warning_of_its_values(files: Path) -> None:
    table = read_sites(files / "sites.csv")
    assert table.format == "generic"
    assert not table.dropped
    assert {p.severity for p in diagnose(files / "sites.csv").problems} <= {"note", "warning"}
    rows = table.rows
    assert (rows["nee"] - (rows["reco"] - rows["gpp"])).abs().max() < 2e-3  # six digits in the file
    assert rows["lat"].between(48, 84).all()
    assert not rows.duplicated(["site_id", "year", "month"]).any()


def test_a_tower_without_errors_reports_its_cell(world: Nature) -> None:
    flat = with_towers(world, **FLAWLESS, **NO_GAPS, wetland_gpp=1.0, wetland_reco=1.0)
    table = towers.sample(flat, everywhere(flat))
    for name in ("nee", "gpp", "reco"):
        assert np.allclose(of_cells(table, name), monthly(world, name), rtol=1e-9, atol=1e-9)
    assert np.allclose(of_cells(table, "tair"), world.weather.tas)


def test_errors_have_the_standard_deviations_that_are_set(world: Nature) -> None:
    seen = with_towers(world, **NO_GAPS, random_error=4.0, relative_error=0.0, site_sd=0.0, night_bias=0.0)
    flat = {"wetland_gpp": 1.0, "wetland_reco": 1.0}
    table = towers.sample(with_towers(seen, **flat), everywhere(world))
    error = of_cells(table, "nee") - monthly(world, "nee")
    n = error.size
    assert abs(error.mean()) < 4 * 4.0 / np.sqrt(n)
    assert error.std() == pytest.approx(4.0, rel=4 / np.sqrt(2 * n))
    assert np.allclose(of_cells(table, "gpp"), monthly(world, "gpp"))

    sites = with_towers(world, **NO_GAPS, **flat, **{**FLAWLESS, "site_sd": 0.3})
    gpp = of_cells(towers.sample(sites, everywhere(world)), "gpp").sum(axis=0)
    ratio = np.log(gpp / monthly(world, "gpp").sum(axis=0))
    cells = ratio.size
    assert ratio.std() == pytest.approx(0.3, rel=4 / np.sqrt(2 * cells))
    assert ratio.mean() == pytest.approx(-0.5 * 0.3**2, abs=4 * 0.3 / np.sqrt(cells))  # mean factor 1

    nights = with_towers(world, **NO_GAPS, **flat, **{**FLAWLESS, "night_bias": 0.2})
    held = towers.sample(nights, everywhere(world))
    lost = 1.0 - of_cells(held, "reco").sum(axis=0) / monthly(world, "reco").sum(axis=0)
    assert lost.std() == pytest.approx(0.2, rel=4 / np.sqrt(2 * cells))


def test_wetland_and_the_rest_of_a_cell_make_the_cell(world: Nature) -> None:
    flat = with_towers(world, **FLAWLESS, **NO_GAPS, wetland_gpp=0.8, wetland_reco=0.5, ch4_error=0.0)
    wet = towers.sample(flat, everywhere(flat, wetland=True))
    dry = towers.sample(flat, everywhere(flat))
    share = world.land.wetland
    for name in ("nee", "gpp", "reco"):
        both = share * of_cells(wet, name) + (1.0 - share) * of_cells(dry, name)
        assert np.allclose(both, monthly(world, name), atol=1e-9)
    assert np.allclose(of_cells(wet, "reco") / of_cells(dry, "reco"), 0.5)
    assert set(wet["vegetation"]) <= {"wet tundra", "permafrost bog", "bog", "fen"}
    assert set(dry["vegetation"]) <= {"dry tundra", "boreal forest"}


def test_methane_of_a_wetland_site_is_that_of_wetland(world: Nature) -> None:
    flat = with_towers(world, **FLAWLESS, **NO_GAPS, ch4_error=0.0)
    wet = of_cells(towers.sample(flat, everywhere(flat, wetland=True)), "ch4")
    parts = methane_densities(world.settings, world.land, world.months)
    truth = world.months.assign(fch4=(("time", "cell"), parts["wetland"]))
    expected = monthly(dataclasses.replace(world, months=truth), "fch4")
    assert (wet - expected).std() == pytest.approx(0.02, rel=0.05)
    assert abs((wet - expected).mean()) < 2e-3
    land = world.land
    whole = land.wetland * parts["wetland"] + land.lake * parts["lake"]
    whole = whole + (1.0 - land.wetland - land.lake) * parts["dry"]
    assert np.allclose(methane(world.settings, land, world.months), whole)


def test_gaps_are_as_frequent_as_set(world: Nature) -> None:
    seen = with_towers(world, winter_gap=0.4, summer_gap=0.1)
    table = towers.sample(seen, everywhere(world))
    winter = table["month"].isin(towers.WINTER)
    cells, years = world.land.size, world.months.sizes["time"] // 12
    for rows, months, gap in ((winter, 7, 0.4), (~winter, 5, 0.1)):
        assert binomtest(int(rows.sum()), cells * years * months, 1.0 - gap).pvalue > 1e-3


def test_records_begin_and_last_as_set() -> None:
    world = nature(
        first_year=1990, period=(1996, 2015), towers={"mean_years": 4.0, "first_years": (2000, 2002)}
    )
    places = towers.place_towers(world, 200, "random")
    start = np.array([p.start for p in places])
    assert start.min() >= 12 * 4
    assert start.max() < 12 * 7
    assert all(p.start + p.months <= world.months.sizes["time"] for p in places)
    # the end of the world cuts the longest ones
    assert 3.2 < np.mean([p.months for p in places]) / 12 < 4.5


def test_random_places_go_by_area_and_accessible_ones_by_the_real_network(world: Nature) -> None:
    land, count = world.land, 400
    sectors = np.array([g.partition("/")[0] for g in towers.strata(world)])
    area = pd.Series(land.land_area_m2).groupby(sectors).sum()
    found = {}
    for placement in ("random", "accessible"):
        places = towers.place_towers(world, count, placement)
        cells = [towers.cell_of(world, p.lat, p.lon) for p in places]
        found[placement] = pd.Series(sectors[cells]).value_counts().reindex(area.index, fill_value=0)
    expected = area / area.sum() * count
    assert chisquare(found["random"], expected).pvalue > 1e-3
    assert chisquare(found["accessible"], expected).pvalue < 1e-12
    real = pd.Series({s: sum(n for (a, _), n in towers.SITES.items() if a == s) for s in area.index})
    groups = set(towers.strata(world))
    assert all("/".join(group) in groups for group in towers.SITES)
    assert chisquare(found["accessible"], real / real.sum() * count).pvalue > 1e-3
    assert found["accessible"]["alaska"] > 3 * found["random"]["alaska"]


def test_accessible_places_are_milder_and_more_often_on_wetland(world: Nature) -> None:
    places = {how: towers.place_towers(world, 300, how) for how in ("random", "accessible")}
    groups, reach = towers.strata(world), towers.access(world)
    cells = {
        how: np.array([towers.cell_of(world, p.lat, p.lon) for p in held]) for how, held in places.items()
    }
    siberia = {how: held[groups[held] == "siberia/Boreal"] for how, held in cells.items()}
    assert reach[siberia["accessible"]].mean() > 1.3 * reach[siberia["random"]].mean()
    wet = {how: np.mean([p.wetland for p in held]) for how, held in places.items()}
    assert wet["accessible"] > 2 * wet["random"]


def test_towers_stand_on_the_land_of_their_cell(world: Nature) -> None:
    for place in towers.place_towers(world, 60):
        cell = towers.cell_of(world, place.lat, place.lon)
        assert abs(place.lat - world.land.lat[cell]) <= 3.0
        assert abs(place.lon - world.land.lon[cell]) <= 7.5
    with pytest.raises(InputError, match="this world has no land there"):
        towers.place_at(world, "sea", 75.0, 0.0)
    with pytest.raises(InputError, match="the same site_id"):
        towers.sample(world, [towers.place_at(world, "one", world.land.lat[0], world.land.lon[0])] * 2)
    with pytest.raises(ConfigError, match="first_years is 1990"):
        towers.place_towers(with_towers(world, first_years=(1990, 1992)), 4)


def test_one_tower_more_changes_no_other(world: Nature) -> None:
    few, more = towers.place_towers(world, 20), towers.place_towers(world, 24)
    assert more[:20] == few
    extra = towers.place_at(world, "new", float(world.land.lat[5]), float(world.land.lon[5]))
    before = towers.sample(world, few)
    after = towers.sample(world, [extra, *reversed(more)])
    kept = after[after["site_id"].isin(before["site_id"])].sort_values(["site_id", "year", "month"])
    columns = [c for c in before if c in kept]
    assert len(columns) == before.shape[1]
    pd.testing.assert_frame_equal(kept[columns].reset_index(drop=True), before, check_dtype=False)


def test_the_numbers_of_the_network_are_those_of_abcflux(shared: Path) -> None:
    rows = pd.read_parquet(shared / "data/abcflux-v2-apr2024/site_months_mean.parquet")
    rows = rows[
        (rows["flux_method"] == "EC") & (rows["latitude"] >= 49) & (rows["nee"].notna() | rows["gpp"].notna())
    ]
    sites = rows.groupby("site_no").first()
    places = shapely.points(sites["longitude"].to_numpy(float), sites["latitude"].to_numpy(float))
    shapes = sector_polygons(60.0, 49.0)
    apart = np.stack([shapely.distance(shapes[name], places) for name in SECTORS])
    sector = np.array(SECTORS)[apart.argmin(axis=0)]
    counted = pd.Series(1, index=pd.MultiIndex.from_arrays([sector, sites["biome"].astype(str)])).groupby(
        level=[0, 1]
    )
    assert counted.sum().to_dict() == dict(towers.SITES)
    known = sites.dropna(subset=["biome", "land_cover_bawld_norm"])["land_cover_bawld_norm"].astype(str)
    wet = known.isin(["Bog", "Fen", "Permafrost Bog", "Tundra Wetland"])
    share = wet.groupby(sites["biome"].astype(str).loc[known.index]).mean()
    assert len(known) == 80
    assert share.round(2).to_dict() == dict(towers.ON_WETLAND)
    months = 12 * rows["year"] + rows["month"]
    span = months.groupby(rows["site_no"]).agg(lambda m: m.max() - m.min() + 1) / 12
    assert (span.mean() / span.std()) ** 2 == pytest.approx(towers.RECORD_SHAPE, rel=0.1)


# predictors


def test_the_cube_of_predictors_opens_and_agrees_with_the_site_table(files: Path, world: Nature) -> None:
    assert not [p for p in diagnose(files / "predictors.nc").problems if p.severity != "note"]
    with xr.open_dataset(files / "predictors.nc") as held:
        names = [str(n) for n in held.data_vars if n in PREDICTORS]
        assert set(names) == set(PREDICTORS) - {"month"}
        codes = tuple(str(int(c)) for c in np.unique(held["vegetation_type"].values) if np.isfinite(c))
        finite = np.isfinite(held["ndvi"].isel(time=0).values)
    assert set(map(int, codes)) <= set(VEGETATION)
    assert finite.sum() == world.land.size
    assert finite[world.land.row, world.land.column].all()
    classes = Feature(name="vegetation_type", levels=codes)
    features = [
        classes if n == "vegetation_type" else Feature(name=n, units=PREDICTORS[n].units) for n in names
    ]
    cube = open_cube([files / "predictors.nc"], features)
    assert cube.months.size == world.months.sizes["time"]
    row = read_sites(files / "sites.csv").rows.iloc[100]
    cell = towers.cell_of(world, row["lat"], row["lon"])
    j, i = int(world.land.row[cell]), int(world.land.column[cell])
    step = int(np.flatnonzero((cube.year == row["year"]) & (cube.month == row["month"]))[0])
    for k, name in enumerate(names):
        value = float(np.squeeze(cube.read(k, step, Tile(j, j + 1, i, i + 1))))
        if name == "vegetation_type":
            value = float(codes[int(value)])
        assert value == pytest.approx(float(row[name]), rel=1e-5, abs=1e-5), name


def test_predictors_are_plausible_and_greenness_is_no_copy_of_growth(world: Nature) -> None:
    found = predictors.predictor_values(world)
    for name, values in found.items():
        assert np.isfinite(values).all(), name
        assert values.min() >= PREDICTORS[name].low, name
    together = found["tree_cover"] + found["non_tree_vegetation"] + found["non_vegetated"]
    assert np.allclose(together, 100.0)
    summer = slice(6, None, 12)
    gpp, ndvi = world.months["gpp"].to_numpy()[summer].mean(axis=0), found["ndvi"][summer].mean(axis=0)
    r = np.corrcoef(gpp, ndvi)[0, 1]
    assert 0.5 < r < 0.98
    carbon = np.log(found["soc_stock"] / (10.0 * world.months["cSoil"].to_numpy().mean(axis=0)))
    assert 0.1 < carbon.std() < 0.5


# inversions


def test_the_kernel_keeps_totals_and_constants(world: Nature) -> None:
    land = world.land
    matrix = inversions.kernel(land, 800.0)
    assert np.allclose(land.land_area_m2 @ matrix, land.land_area_m2, rtol=1e-11)
    assert np.allclose(matrix.sum(axis=1), 1.0, rtol=1e-11)
    flux = world.months["nee"].isel(time=6).to_numpy()
    assert (matrix @ flux).std() < 0.8 * flux.std()
    assert np.allclose(inversions.kernel(land, 1.0), np.eye(land.size))


def test_inversions_are_read_and_without_errors_their_total_is_the_true_one(
    world: Nature, tmp_path: Path
) -> None:
    bare = with_settings(world, inversions={"prior_sd": 0.0, "transport_sd": 0.0, "systems": 2})
    inversions.write_inversions(tmp_path / "inversions.nc", bare)
    assert not [p for p in diagnose(tmp_path / "inversions.nc").problems if p.severity != "note"]
    read = read_inversion(tmp_path / "inversions.nc", "gcb", check_total=False)
    assert list(read["member"].values) == ["inversion-1", "inversion-2"]
    parts = world.months["nee"] + world.months["fFire"] + world.months["water"]
    true = parts.to_numpy() @ world.land.land_area_m2
    for name in ("nbe", "nbe_prior"):
        total = (read[name] * read["cell_area"]).sum(("lat", "lon")).transpose("time", "member")
        assert np.allclose(total.to_numpy(), true[:, None], rtol=1e-9, atol=1e-9 * np.abs(true).max())


def test_errors_of_inversions_are_as_set(world: Nature) -> None:
    area, gpp = world.land.land_area_m2, world.months["gpp"].to_numpy()
    parts = (world.months["nee"] + world.months["fFire"] + world.months["water"]).to_numpy()
    wrong = with_settings(world, inversions={"prior_sd": 0.0, "prior_bias": 0.1, "transport_sd": 0.0})
    posterior, prior = inversions.invert(wrong, "inversion-1")
    assert ((prior - parts) @ area).sum() == pytest.approx(0.1 * (gpp @ area).sum())
    share = ((posterior - parts) @ area).sum() / ((prior - parts) @ area).sum()
    weight = inversions.prior_weight(world)
    assert weight.min() < share < weight.max()
    spread = with_settings(world, inversions={"prior_sd": 0.05})
    errors = np.stack([inversions.prior_error(spread, f"s{k}") for k in range(300)])
    assert errors.std() == pytest.approx(0.05, rel=0.15)
    assert abs(errors.mean()) < 0.01
    noisy = with_settings(world, inversions={"prior_sd": 0.0, "transport_sd": 0.2})
    still = with_settings(world, inversions={"prior_sd": 0.0, "transport_sd": 0.0})
    seen = inversions.invert(still, "a")[0]
    error = inversions.invert(noisy, "a")[0] - seen
    swing = np.ptp(seen.reshape(-1, 12, area.size).mean(axis=0), axis=0) / 2
    assert (error / swing).std() == pytest.approx(0.2, rel=0.15)
    assert np.corrcoef((error / swing)[:-1].ravel(), (error / swing)[1:].ravel())[0, 1] == pytest.approx(
        0.35, abs=0.1
    )


def test_the_prior_weighs_more_where_nobody_measures_the_air(world: Nature) -> None:
    weight, land = inversions.prior_weight(world), world.land
    europe = (land.lon > 0) & (land.lon < 40)
    siberia = (land.lon > 95) & (land.lon < 180)
    arctic_canada = (land.lon > -120) & (land.lon < -70) & (land.lat > 66)
    assert weight[siberia].mean() > 1.3 * weight[europe].mean()
    assert weight[arctic_canada].mean() > weight[europe].mean()
    assert 0.25 < np.average(weight, weights=land.land_area_m2) < 0.55
    all_prior = with_settings(world, inversions={"prior_weight": 1.0})
    assert (inversions.prior_weight(all_prior) == 1.0).all()


# process models


def test_model_files_are_read_as_trendy_and_keep_their_mass(world: Nature, tmp_path: Path) -> None:
    wanted = world.settings
    land = make_land(wanted, world_grid(wanted, wanted.ensemble.lat_step, wanted.ensemble.lon_step))
    land = land.where(~land.ice)
    weather = make_weather(wanted, land).of_years(*wanted.period)
    run = ecosystem(land, weather)
    for variable in models.VARIABLES:
        models.write_model_variable(
            tmp_path / models.file_name("model-1", variable), land, run, variable, "model-1"
        )
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(models.file_names("model-1"))
    read = read_model([tmp_path / name for name in models.file_names("model-1")], models.PROFILE)
    assert read.fluxes.attrs["basis"] == "land"
    assert read.fluxes.attrs["stored_basis"] == "cell"
    bounds = read.fluxes["time_bnds"]
    seconds = ((bounds[:, 1] - bounds[:, 0]) / np.timedelta64(1, "s")).to_numpy().astype(float)
    actual = np.concatenate([month_seconds(year) for year in weather.years])
    area = read.fluxes["cell_area"] * read.fluxes["land_fraction"]
    for name, own, sign in (("gpp", "gpp", 1), ("nbp", "nee", -1), ("rh", "rh", 1), ("ra", "ra", 1)):
        total = (read.fluxes[name] * area).sum(("lat", "lon")).to_numpy() * seconds
        true = sign * (run[own].to_numpy() @ land.land_area_m2) * actual
        assert np.allclose(total, true, rtol=1e-6, atol=1e-6 * np.abs(true).max()), name
    assert read.stocks is not None
    assert read.stocks["cVeg"].sizes["time"] == 6
    held = (read.stocks["cVeg"] * area).sum(("lat", "lon")).to_numpy()
    assert np.allclose(held, run["cVeg"].to_numpy()[11::12] @ land.land_area_m2, rtol=1e-6)
    with pytest.raises(ConfigError, match="no variable 'fFire'"):
        models.file_name("model-1", "fFire")


# land cover and fire


def test_land_cover_is_read_as_bawld_and_fills_the_land(files: Path, world: Nature) -> None:
    read = read_bawld(files / "cover.csv.gz")
    area = world.land.land_area_m2
    assert float(read["cell_area"].sum()) == pytest.approx(area.sum(), rel=1e-4)
    held = cover_areas(read)
    assert sum(a.mean for a in held.values()) == pytest.approx(area.sum() / 1e12, rel=1e-4)
    assert held["boreal_forest"].low < held["boreal_forest"].mean < held["boreal_forest"].high
    assert np.allclose(read["tair_annual"], read["tair"].mean("month"), atol=0.02)


def test_classes_without_error_are_those_of_the_land(world: Nature, tmp_path: Path) -> None:
    exact = with_settings(world, maps={"cover_sd": 0.0})
    cover.write_cover(tmp_path / "cover.csv.gz", exact)
    read = read_bawld(tmp_path / "cover.csv.gz")
    land = world.land
    share = read["fraction"] * read["cell_area"] / land.land_area_m2.sum()
    found = share.sum("cell").to_series()
    wetland = found[["PEB", "WTU", "MAR", "BOG", "FEN"]].sum()
    assert wetland == pytest.approx(np.average(land.wetland, weights=land.land_area_m2), rel=1e-3)
    lakes = found[list(cover.LAKES)].sum()
    assert lakes == pytest.approx(np.average(land.lake, weights=land.land_area_m2), rel=1e-3)
    off = np.stack(list(cover.mapped_cover(world).values())) - np.stack(
        list(cover.true_cover(world).values())
    )
    assert np.abs(off).max() > 0.01
    assert np.allclose(off.sum(axis=0), 0.0)


def test_the_fire_product_has_one_error_a_sector_and_year(world: Nature, files: Path, tmp_path: Path) -> None:
    exact = with_settings(world, maps={"fire_sd": 0.0})
    cover.write_fire(tmp_path / "fire.nc", exact)
    true = world.months["fFire"].to_numpy() @ world.land.land_area_m2
    with open_flux(tmp_path / "fire.nc") as ds:
        assert not np.isnan(ds["fFire"]).any()
        held = ds["fFire"].to_numpy()[:, world.land.row, world.land.column]
        assert np.allclose(held @ world.land.land_area_m2, true)
    with open_flux(files / "fire.nc") as ds:
        seen = ds["fFire"].to_numpy()[:, world.land.row, world.land.column]
    truth = world.months["fFire"].to_numpy()
    burns = truth > 0.0
    ratio = np.log(np.where(burns, seen, 1.0) / np.where(burns, truth, 1.0))
    sectors = np.array([g.partition("/")[0] for g in towers.strata(world)])
    year = np.repeat(np.arange(6), 12)
    cut = [(year[:, None] == y) & (sectors == s) & burns for s in np.unique(sectors) for y in range(6)]
    factors = [ratio[here] for here in cut if here.any()]
    assert max(np.ptp(f) for f in factors) < 1e-9
    assert 0.1 < np.std([f[0] for f in factors]) < 0.35


# all of them


@pytest.mark.parametrize("name", WRITERS)
def test_the_same_seed_gives_the_same_bytes_and_another_one_others(
    name: str, files: Path, tmp_path: Path
) -> None:
    WRITERS[name](tmp_path / "again", nature())
    WRITERS[name](tmp_path / "other", nature(seed=4))
    assert (tmp_path / "again").read_bytes() == (files / name).read_bytes()
    assert (tmp_path / "other").read_bytes() != (files / name).read_bytes()


def test_one_inversion_more_changes_no_other(world: Nature) -> None:
    more = with_settings(world, inversions={"systems": 6})
    assert inversions.system_names(more)[:4] == inversions.system_names(world)
    assert np.array_equal(
        inversions.invert(more, "inversion-2")[0], inversions.invert(world, "inversion-2")[0]
    )
