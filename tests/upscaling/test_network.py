"""Planned networks: exact Gaussian conditioning, scikit-learn as a second opinion, cells of a cube, known worlds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from benchmarks.network_design import World, one_world, summary, synthetic_world, trained
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern
from typer.testing import CliRunner

from talik.cli import app
from talik.errors import ConfigError, InputError
from talik.regions import EqualAreaGrid, LatLonGrid, grid_of
from talik.upscaling.distances import RADIUS_KM, unit_vectors
from talik.upscaling.model import Model
from talik.upscaling.network import NetworkDesign, design_network
from talik.upscaling.network_cells import _coarse, _pixel_of, read_cells
from talik.upscaling.network_choice import NetworkSettings
from talik.upscaling.network_field import LastingError, fit_field
from talik.upscaling.network_gain import (
    Places,
    best,
    condition,
    cover,
    dissimilarity,
    distance_km,
    field_covariance,
)
from talik.upscaling.network_influence import Leaning

RANGES = {"variance": 3.0, "range_km": 800.0, "range_predictors": 0.7}


def places(n: int, rng: np.random.Generator, d: int = 3) -> Places:
    return Places(unit_vectors(rng.uniform(50, 85, n), rng.uniform(-180, 180, n)), rng.normal(size=(n, d)))


def kernel(a: Places, b: Places) -> np.ndarray:
    return field_covariance(a, b, **RANGES)


def slow_kernel(a: Places, b: Places) -> np.ndarray:
    """The same, a pair at a time, with the haversine's arc from the dot product."""
    out = np.zeros((len(a), len(b)))
    for i in range(len(a)):
        for j in range(len(b)):
            km = RADIUS_KM * np.arctan2(np.linalg.norm(np.cross(a.at[i], b.at[j])), a.at[i] @ b.at[j])
            unlike = np.sqrt(((a.predictors[i] - b.predictors[j]) ** 2).sum())
            out[i, j] = RANGES["variance"] * np.exp(-km / 800.0) * np.exp(-unlike / 0.7)
    return out


def stacked(*parts: Places) -> Places:
    return Places(np.vstack([p.at for p in parts]), np.vstack([p.predictors for p in parts]))


def brute(cells: Places, area: np.ndarray, towers: Places, noise: np.ndarray) -> np.ndarray:
    """(R, R) covariance of the sums given towers, from the joint covariance of all cells and its inverse."""
    prior = area @ slow_kernel(cells, cells) @ area.T
    if not len(towers):
        return prior
    seen = slow_kernel(towers, towers) + np.diag(noise)
    cross = area @ slow_kernel(cells, towers)
    return prior - cross @ np.linalg.inv(seen) @ cross.T


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(0, 6), st.integers(1, 4))
def test_removed_variance_is_that_of_full_matrices(seed: int, n_towers: int, more: int):
    rng = np.random.default_rng(seed)
    cells, towers, spots = places(17, rng), places(n_towers, rng), places(8, rng)
    area, noise = rng.uniform(0, 2, (2, 17)), rng.uniform(0.05, 2, n_towers)
    state = condition(kernel, cells, area, towers, noise, spots)
    np.testing.assert_allclose(state.sums, brute(cells, area, towers, noise), rtol=1e-9, atol=1e-9)
    for step in range(more):
        expected = np.diag(brute(cells, area, towers, noise))
        off = state.removed(0.4)
        for j in range(len(spots)):
            one_more = stacked(towers, spots.take(slice(j, j + 1)))
            after = np.diag(brute(cells, area, one_more, np.append(noise, 0.4)))
            np.testing.assert_allclose(off[j], expected - after, rtol=1e-6, atol=1e-9)
        j = best(off[:, 0], [])
        state = state.with_tower(j, 0.4)
        towers, noise = stacked(towers, spots.take(slice(j, j + 1))), np.append(noise, 0.4)
        whole = brute(cells, area, towers, noise)
        np.testing.assert_allclose(state.sums, whole, rtol=1e-7, atol=1e-8), step


def test_two_points_by_hand():
    """One cell of area A, a tower at correlation r: the variance of the sum is A^2 s (1 - r^2 s / (s + t))."""
    at = unit_vectors([70.0, 70.0], [0.0, 10.0])
    both = Places(at, np.array([[0.0], [0.3]]))
    cell, tower = both.take(slice(0, 1)), both.take(slice(1, 2))
    half_chord = np.cos(np.radians(70)) * np.sin(np.radians(5))  # haversine at one latitude
    r = np.exp(-2 * RADIUS_KM * np.arcsin(half_chord) / 800 - 0.3 / 0.7)
    state = condition(kernel, cell, np.array([[5.0]]), tower.take(slice(0)), np.ones(0), tower)
    assert state.sums[0, 0] == pytest.approx(25 * 3)
    assert state.removed(1.5)[0, 0] == pytest.approx(25 * 3 * r**2 * 3 / (3 + 1.5), rel=1e-12)
    assert state.with_tower(0, 1.5).sums[0, 0] == pytest.approx(25 * 3 * (1 - r**2 * 3 / 4.5), rel=1e-12)


def test_scikit_learn_agrees():
    """The posterior covariance of scikit-learn's process (exponential in predictors, no geography), summed."""
    rng = np.random.default_rng(5)
    cells, towers, spots = places(30, rng), places(9, rng), places(6, rng)
    here = [Places(np.tile(cells.at[:1], (len(p), 1)), p.predictors) for p in (cells, towers, spots)]
    area = rng.uniform(0, 1, (1, 30))
    state = condition(kernel, here[0], area, here[1], np.full(9, 0.6), here[2])
    shape = ConstantKernel(3.0, "fixed") * Matern(0.7, "fixed", nu=0.5)
    for j in range(6):
        x = np.vstack([towers.predictors, spots.predictors[j]])
        process = GaussianProcessRegressor(shape, alpha=0.6, optimizer=None).fit(x, np.zeros(len(x)))
        posterior = process.predict(cells.predictors, return_cov=True)[1]
        assert state.with_tower(j, 0.6).sums[0, 0] == pytest.approx(
            (area @ posterior @ area.T).item(), rel=1e-8
        )


def test_gains_of_a_sequence_add_up_to_what_was_lost():
    rng = np.random.default_rng(0)
    cells, towers = places(40, rng), places(5, rng)
    start = state = condition(kernel, cells, np.ones((1, 40)), towers, np.full(5, 0.3), cells)
    gains: list[float] = []
    for _ in range(12):
        off = state.removed(0.3)[:, 0]
        gains.append(float(off.max()))
        state = state.with_tower(best(off, []), 0.3)
    assert min(gains) > 0
    assert gains[-1] < gains[0]
    assert start.sums[0, 0] - sum(gains) == pytest.approx(state.sums[0, 0], rel=1e-10)
    again = brute(cells, np.ones((1, 40)), towers, np.full(5, 0.3))[0, 0]
    assert 0 < state.sums[0, 0] < again


def test_equal_places_have_distance_zero_and_infinite_precision_is_refused():
    rng = np.random.default_rng(1)
    some = places(50, rng, d=200)
    np.testing.assert_array_equal(np.diag(dissimilarity(some, some)), 0.0)
    np.testing.assert_array_equal(np.diag(distance_km(some, some)), 0.0)
    with pytest.raises(InputError, match="noise variances above 0"):
        condition(kernel, some, np.ones((1, 50)), some, np.zeros(50), some)


def test_dissimilarity_removed_is_that_of_a_second_count():
    rng = np.random.default_rng(3)
    cells, towers, spots = places(60, rng), places(4, rng), places(20, rng)
    weight = rng.uniform(0, 1, 60)
    state = cover(cells, weight, towers, spots)
    away = np.linalg.norm(cells.predictors[:, None] - towers.predictors[None], axis=2).min(axis=1)
    for j in range(20):
        own = np.linalg.norm(cells.predictors - spots.predictors[j], axis=1)
        expected = (weight * (away - np.minimum(away, own))).sum()
        assert state.removed()[j] == pytest.approx(expected, rel=1e-5, abs=1e-6)
        assert state.total() - state.with_tower(j).total() == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_no_place_left_is_an_error():
    with pytest.raises(InputError, match="more places than towers"):
        best(np.array([1.0, 2.0]), [0, 1])
    assert best(np.array([1.0, 2.0, 2.0]), [1]) == 2


def drawn_residuals(
    rng: np.random.Generator, n: int, truth: LastingError
) -> tuple[pd.DataFrame, Places, list[str]]:
    """Monthly residuals of sites drawn from a known lasting field; three years a site."""
    lat, lon = rng.uniform(55, 75, n), rng.uniform(-180, 180, n)
    at = Places(unit_vectors(lat, lon), rng.normal(0, 0.5, (n, 2)))
    covariance = truth.covariance(at, at) + truth.own * np.eye(n)
    lasting = rng.multivariate_normal(np.zeros(n), covariance)
    names = [f"s{k:03d}" for k in range(n)]
    month = np.arange(36)
    table = pd.DataFrame(
        {
            "site_id": np.repeat(names, 36),
            "lat": np.repeat(lat, 36),
            "lon": np.repeat(lon, 36),
            "year": np.tile(2010 + month // 12, n),
            "month": np.tile(month % 12 + 1, n),
            # noise of a year's sum: 12 months, each of variance noise / 12
            "residual": np.repeat(lasting / 12, 36) + rng.normal(0, np.sqrt(truth.noise / 12), 36 * n),
        }
    )
    return table, at, names


def test_a_known_field_is_found():
    """Means over three draws of 200 sites: variances within 40 %, ranges within a factor of two."""
    truth = LastingError(smooth=900.0, own=300.0, noise=600.0, range_km=1200.0, range_predictors=1.0)
    rng = np.random.default_rng(11)
    found = [fit_field(*drawn_residuals(rng, 200, truth)) for _ in range(3)]
    mean = {
        k: np.exp(np.mean([np.log(getattr(f.field, k)) for f in found])) for k in LastingError.model_fields
    }
    assert mean["smooth"] + mean["own"] == pytest.approx(1200, rel=0.3)
    assert mean["smooth"] == pytest.approx(900, rel=0.4)
    assert mean["noise"] == pytest.approx(600, rel=0.3)
    assert 600 < mean["range_km"] < 2400
    assert 0.5 < mean["range_predictors"] < 2.0
    assert not any(f.flags for f in found)


def test_errors_that_nothing_shares_are_flagged():
    truth = LastingError(smooth=1e-6, own=900.0, noise=300.0, range_km=500.0, range_predictors=0.5)
    rng = np.random.default_rng(2)
    found = [fit_field(*drawn_residuals(rng, 40, truth)) for _ in range(4)]
    assert sum(any("hardly seen" in flag for flag in f.flags) for f in found) >= 3
    table, at, names = drawn_residuals(rng, 9, truth)
    with pytest.raises(InputError, match="9 sites with held-out errors"):
        fit_field(table, at, names)


# A known world -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world() -> World:
    return synthetic_world(3, cell_m=250_000.0, sites=24)


@pytest.fixture(scope="module")
def model(world: World) -> Model:
    return trained(world, world.network, validate=True, trees=40, cv="loso")[1]


@pytest.fixture(scope="module")
def cube(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "cube.nc"
    world.predictors.to_netcdf(path, engine="netcdf4")
    return path


@pytest.fixture(scope="module")
def design(model: Model, cube: Path) -> NetworkDesign:
    return design_network(model, [cube], NetworkSettings(towers=3, criterion="variance"))


def test_the_design_is_consistent(design: NetworkDesign, world: World):
    proposed = design.proposed
    assert list(proposed["rank"]) == [1, 2, 3]
    np.testing.assert_allclose(
        1 - proposed["variance_removed"].cumsum(), proposed["variance_left"], rtol=1e-9
    )
    domain = design.sd["domain"]
    assert (domain["proposed"] / domain["existing"]) ** 2 == pytest.approx(proposed["variance_left"].iloc[-1])
    assert domain["no_tower"] > domain["existing"] > domain["proposed"] > 0
    assert design.existing["influence"].sum() == pytest.approx(1.0)
    assert design.existing["on_grid"].all()
    assert design.curve["random_mean"].iloc[-1] > proposed["variance_left"].iloc[-1]
    first = proposed.iloc[0]
    grid = grid_of(design.maps)
    assert float(design.maps["variance_removed"].max()) == pytest.approx(first["variance_removed"])
    _, lat = grid.lonlat()
    where = design.maps["variance_removed"].values == float(design.maps["variance_removed"].max())
    assert lat.values[where][0] == pytest.approx(first["lat"])
    assert np.isfinite(design.maps["dissimilarity"].values).sum() == np.isfinite(world.truth.values[0]).sum()
    assert json.dumps(design.facts(), allow_nan=False)


def test_the_variance_of_the_design_is_that_of_full_matrices(design: NetworkDesign, model: Model, cube: Path):
    """From the files alone, without the kernels: towers in their pixels, one more at the place proposed first."""
    assert design.field is not None
    error = design.field.field
    table = design.existing
    cells = read_cells(
        [cube], model.schema.features, lat=table["lat"].to_numpy(), lon=table["lon"].to_numpy()
    )
    area = model.applicability
    assert area is not None

    def flat(x: np.ndarray) -> np.ndarray:
        """Every predictor in units of its weight, month by month; month itself is the same everywhere."""
        weighted = (x[:, :, 1:] - area.centre[1:]) * area.factor[1:] / area.mean_distance
        return weighted.transpose(1, 0, 2).reshape(x.shape[1], -1) / np.sqrt(12)

    def covariance(a: tuple, b: tuple) -> np.ndarray:
        d = np.linalg.norm(a[1][:, None] - b[1][None], axis=2)
        cosine = np.clip(a[0] @ b[0].T, -1, 1)
        return error.smooth * np.exp(
            -RADIUS_KM * np.arccos(cosine) / error.range_km - d / error.range_predictors
        )

    pixels = (unit_vectors(cells.lat, cells.lon), flat(cells.x))
    towers = (unit_vectors(table["lat"], table["lon"]), flat(cells.towers))
    noise = error.own + 12 * error.noise / table["months"].to_numpy(float)
    sums = cells.area[0]
    seen, cross = covariance(towers, towers) + np.diag(noise), sums @ covariance(pixels, towers)
    prior = sums @ covariance(pixels, pixels) @ sums
    given_towers = prior - cross @ np.linalg.solve(seen, cross)
    assert np.sqrt(given_towers) * 1e-12 == pytest.approx(design.sd["domain"]["existing"], rel=1e-5)
    first = design.proposed.iloc[0]
    k = int(np.argmin(np.hypot(cells.lat - first["lat"], cells.lon - first["lon"])))
    more = (np.vstack([towers[0], pixels[0][k]]), np.vstack([towers[1], pixels[1][k]]))
    seen = covariance(more, more) + np.diag([*noise, error.own + error.noise / 3])
    cross = sums @ covariance(pixels, more)
    left = prior - cross @ np.linalg.solve(seen, cross)
    assert left / given_towers == pytest.approx(first["variance_left"], rel=1e-5)


def test_leaning_is_the_sum_over_towers_of_what_the_forest_listens_to(model: Model, cube: Path):
    """Weights of towers by turning one tower's responses up: the forest is linear in them."""
    cells = read_cells([cube], model.schema.features, lat=np.zeros(0), lon=np.zeros(0))
    found = Leaning.of(model, cells.x, cells.area[0])
    rows, fitted = model.rows, model.fitted
    assert rows is not None
    own = np.zeros((len(found.bags.sites), len(cells.index)))
    for g in range(len(own)):
        value = np.zeros(fitted.trees.n_nodes)
        for leaf, weight in zip(found.bags.leaf, found.bags.weight, strict=True):
            mine = rows.groups == g
            np.add.at(value, leaf[mine], weight[mine])
        trees = replace(fitted.trees, value=value / fitted.trees.cover)
        own[g] = trees.predict(cells.x.reshape(-1, cells.x.shape[2])).reshape(12, -1).mean(axis=0)
    np.testing.assert_allclose(own.sum(axis=0), 1.0, rtol=1e-9)
    share = own @ cells.area[0] / cells.area[0].sum()
    np.testing.assert_allclose(found.shares(), share, rtol=1e-9)
    np.testing.assert_allclose(found.of_cells(), share @ own, rtol=1e-9)
    leaning = found.of_cells()
    assert leaning @ cells.area[0] / cells.area[0].sum() == pytest.approx((share**2).sum())
    after = found.with_tower(int(np.argmax(leaning)), 2.0)
    assert after.shares().sum() == pytest.approx(1.0)
    assert after.shares()[-1] > 0
    assert 1 / (after.shares() ** 2).sum() > 1 / (share**2).sum()


@pytest.mark.parametrize("criterion", ["dissimilarity", "influence"])
def test_other_criteria_take_their_own_best(model: Model, cube: Path, criterion: str):
    found = design_network(model, [cube], NetworkSettings(towers=2, criterion=criterion))  # type: ignore[arg-type]
    name = {"dissimilarity": "dissimilarity_removed", "influence": "leaning"}[criterion]
    assert found.proposed[name].iloc[0] == pytest.approx(float(found.maps[name].max()), rel=1e-5)


def test_a_mask_and_a_table_restrict_the_places(model: Model, cube: Path, world: World, tmp_path: Path):
    mask = world.predictors[["wetness", "crs"]].copy()
    lon, lat = grid_of(world.predictors).lonlat()
    mask["open"] = xr.where((lat > 62) & (lon > 0) & (lon < 90), 1.0, 0.0).assign_attrs(grid_mapping="crs")
    mask.to_netcdf(tmp_path / "mask.nc", engine="netcdf4")
    found = design_network(
        model, [cube], NetworkSettings(towers=4, criterion="variance"), where=f"{tmp_path / 'mask.nc'}:open"
    )
    assert ((found.proposed["lat"] > 62) & found.proposed["lon"].between(0, 90)).all()
    pd.DataFrame({"lat": [68.0, 64.0], "lon": [120.0, -110.0]}).to_csv(tmp_path / "places.csv", index=False)
    two = design_network(
        model, [cube], NetworkSettings(towers=2, criterion="variance"), where=str(tmp_path / "places.csv")
    )
    assert sorted(round(v / 10) for v in two.proposed["lon"]) == [-11, 12]
    with pytest.raises(InputError, match="more places than towers"):
        design_network(
            model, [cube], NetworkSettings(towers=3, criterion="variance"), where=str(tmp_path / "places.csv")
        )


def test_the_target_decides(model: Model, cube: Path):
    """Towers for Canada stand nearer to Canada than towers for Siberia do, and do more for it."""
    found = {
        name: design_network(
            model, [cube], NetworkSettings(towers=2, target=name, criterion="variance"), regions=["sectors"]
        )
        for name in ("canada", "siberia")
    }
    for name, design in found.items():
        other = found[{"canada": "siberia", "siberia": "canada"}[name]]
        column = f"variance_removed_{name}"
        assert design.proposed[column].sum() > other.proposed[column].sum()
    with pytest.raises(ConfigError, match="no such region; choose one of domain, alaska"):
        design_network(
            model, [cube], NetworkSettings(target="mars", criterion="variance"), regions=["sectors"]
        )
    with pytest.raises(ConfigError, match="overlap"):
        design_network(model, [cube], regions=["sectors", "bands:55,90"])


def test_cells_hold_all_area_however_coarse(model: Model, cube: Path, world: World):
    grid = grid_of(world.predictors)
    nowhere = np.array([np.nan])
    fine = read_cells([cube], model.schema.features, lat=nowhere, lon=nowhere)
    coarse = read_cells(
        [cube], model.schema.features, lat=nowhere, lon=nowhere, max_cells=100, regions=["sectors"]
    )
    assert fine.grid == grid
    assert len(coarse.index) <= 100 < len(fine.index)
    assert coarse.area[0].sum() == pytest.approx(fine.area[0].sum())
    assert not coarse.on_grid.any()
    k = 7
    pixel = _pixel_of(grid, coarse.lat[k : k + 1], coarse.lon[k : k + 1])[0]
    assert coarse.x[6, k, 3] == pytest.approx(float(world.predictors["wetness"].values.ravel()[pixel]))
    assert coarse.x[6, k, 1] == pytest.approx(
        float(world.predictors["warmth"].values[6].ravel()[pixel]), rel=1e-6
    )


def test_pixels_and_blocks_of_longitude_grids():
    grid = LatLonGrid.regular(2.0, lat=(50.0, 80.0), lon=(0.0, 360.0))
    assert _pixel_of(grid, np.array([51.0, 51.0, 90.0]), np.array([-1.0, 359.0, 0.0])).tolist() == [
        179,
        179,
        -1,
    ]
    coarse, cell = _coarse(grid, np.ones(grid.shape, bool), 300)
    assert isinstance(coarse, LatLonGrid)
    assert coarse.size <= 300
    assert cell.max() + 1 == coarse.size
    assert coarse.row_area_m2.sum() * coarse.shape[1] == pytest.approx(grid.row_area_m2.sum() * grid.shape[1])
    odd, _ = _coarse(EqualAreaGrid.epsg6931(1e5, x=(0, 7e5), y=(0, 5e5)), np.ones((5, 7), bool), 10)
    assert odd.shape == (3, 4) or odd.size <= 12


def test_what_cannot_be_planned_says_why(model: Model, cube: Path, world: World):
    with pytest.raises(ConfigError, match="carries no training rows with positions"):
        design_network(replace(model, rows=replace(model.rows, at=None)), [cube])  # type: ignore[type-var]
    blind = trained(world, world.network, validate=False, trees=10, cv="loso")[1]
    with pytest.raises(ConfigError, match="no held-out residuals"):
        design_network(blind, [cube], NetworkSettings(criterion="variance"))
    found = design_network(blind, [cube], NetworkSettings(towers=1, criterion="dissimilarity"))
    assert found.proposed["variance_removed"].isna().all()
    assert any("variance of the budget is not known" in note for note in found.notes)
    assert model.rows is not None
    away = model.rows.at.copy()  # type: ignore[union-attr]
    away[:, :2] = -60.0, 0.0
    with pytest.raises(InputError, match="none of the 24 sites"):
        design_network(replace(model, rows=replace(model.rows, at=away)), [cube])


def test_the_command_writes_all_and_a_saved_model_keeps_positions(model: Model, cube: Path, tmp_path: Path):
    model.save(tmp_path / "nee.talik")
    out = tmp_path / "plan"
    line = [
        "design",
        str(tmp_path / "nee.talik"),
        "--grid",
        str(cube),
        "--towers",
        "2",
        "--criterion",
        "variance",
        "--out",
        str(out),
        "--json",
    ]
    done = CliRunner().invoke(app, line)
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert len(facts["proposed"]) == 2
    table = pd.read_csv(out / "proposed.csv")
    direct = design_network(model, [cube], NetworkSettings(towers=2, criterion="variance"))
    np.testing.assert_allclose(table["variance_left"], direct.proposed["variance_left"], rtol=1e-9)
    names = {p.name for p in out.iterdir()}
    assert {"existing.csv", "network.json", "network.nc", "network-map.png", "network-gain.svg"} <= names
    with xr.open_dataset(out / "network.nc") as maps:
        assert grid_of(maps) == grid_of(direct.maps)
    again = tmp_path / "again"
    CliRunner().invoke(app, [*line[:-2], str(again)])
    assert (again / "network-map.svg").read_bytes() == (out / "network-map.svg").read_bytes()
    shown = CliRunner().invoke(app, line[:-3])
    assert "variance removed" in shown.stdout
    bad = CliRunner().invoke(app, [*line[:4], "--where", "nothing"])
    assert bad.exit_code == 2
    assert "expected FILE.nc:VARIABLE or a table" in bad.stderr


def quick_world(seed: int) -> World:
    return synthetic_world(seed, cell_m=200_000.0, sites=24)


def test_proposed_towers_beat_random_ones():
    """Twelve worlds with a known truth.

    In 30 other such worlds (seeds 300 to 329) the paired difference was -6.6 for the budget and -5.1 for the map, with
    standard deviations of 8.2 and 6.3 between worlds: the mean of twelve is 2.8 standard errors below zero, that of
    three or four is not to be relied on. The benchmark has finer cells: `python -m benchmarks.network_design`.
    """
    found = [
        one_world(quick_world, seed, trees=40, random=4, criteria=("dissimilarity",))
        for seed in range(200, 212)
    ]
    table = summary(found).set_index("error of")
    assert len(found) == 12
    assert table.loc["budget", "proposed"] < table.loc["budget", "random"] < table.loc["budget", "before"]
    assert table.loc["budget", "difference"] < 0
    assert table.loc["map", "difference"] < 0
