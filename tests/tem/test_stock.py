"""Carbon that is frozen at the start, against integrals, an optimiser and slow loops written from the formulas."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

from talik.errors import ConfigError, InputError
from talik.sources.land_static import read_static
from talik.sources.soil_carbon import EDGES_M, read_soil_carbon
from talik.tem.permafrost import stock
from talik.tem.permafrost.hyperbola import B_RANGE_M, INTERVAL_EDGES_M, fit_hyperbola

Array = npt.NDArray[np.float64]
LAYERS_M = [0.0, *(k / 10 for k in range(1, 11)), *(1 + k / 5 for k in range(1, 11)), 3.5, 4.0, 4.5, 5.0, 6.0]
"""Edges of the carbon layers: ten of 0.1 m, ten of 0.2 m, four of 0.5 m, one of 1 m."""
PROFILES = st.lists(
    st.lists(st.floats(0.0, 60.0).map(lambda v: round(v, 3)), min_size=4, max_size=4), min_size=1, max_size=12
).map(lambda rows: np.array(rows).T)


def integrals(a: float, b: float, edges: Sequence[float]) -> list[float]:
    """Carbon of a / (z + b) between depths, by quadrature."""
    return [quad(lambda z: a / (z + b), top, end)[0] for top, end in pairwise(edges)]


def misfit(stocks: Array, b: float) -> float:
    """Squared error of mean density times thickness, summed over four intervals, with the best a >= 0."""
    thickness = np.array([0.3, 0.7, 1.0, 1.0])
    density = np.log((np.array([0.3, 1, 2, 3]) + b) / (np.array([0.0, 0.3, 1, 2]) + b)) / thickness
    root = np.sqrt(thickness)
    a = np.linalg.lstsq((root * density)[:, None], root * stocks / thickness, rcond=None)[0][0]
    return float((thickness * (stocks / thickness - max(a, 0.0) * density) ** 2).sum())


def best_b(stocks: Array) -> tuple[float, float]:
    """b of the least error that an optimiser finds in eight parts of its range, and that error."""
    ends = np.linspace(*np.log(B_RANGE_M), 9)
    found = [
        minimize_scalar(
            lambda x: misfit(stocks, float(np.exp(x))), bounds=part, method="bounded", options={"xatol": 1e-9}
        )
        for part in pairwise(ends)
    ]
    best = min(found, key=lambda r: r.fun)
    return float(np.exp(best.x)), float(best.fun)


def test_the_layers_are_those_of_the_paper() -> None:
    np.testing.assert_array_equal(INTERVAL_EDGES_M, EDGES_M)
    shares = stock.frozen_share(np.array(LAYERS_M[:-1]))
    np.testing.assert_allclose(shares, np.tril(np.ones((25, 25))), atol=1e-9)


@given(PROFILES)
@settings(deadline=None, max_examples=60)
def test_no_carbon_is_lost_or_made_above_three_metres(stocks: Array) -> None:
    layers = stock.layer_carbon(stocks)
    edges = np.array(LAYERS_M)
    for i, (top, end) in enumerate(((0.0, 0.3), (0.3, 1.0), (1.0, 2.0), (2.0, 3.0))):
        inside = (edges[:-1] >= top) & (edges[1:] <= end)
        np.testing.assert_allclose(layers[inside].sum(axis=0), 1000 * stocks[i], rtol=1e-12, atol=1e-9)
        density = layers[inside] / np.diff(edges)[inside, None]
        np.testing.assert_allclose(density, density[:1] * np.ones_like(density), rtol=1e-12)


@given(PROFILES, st.randoms(use_true_random=False), st.floats(0.01, 100.0))
@settings(deadline=None, max_examples=60)
def test_cells_are_alone_and_carbon_is_never_negative(stocks: Array, random: object, factor: float) -> None:
    order = list(range(stocks.shape[1]))
    random.shuffle(order)  # type: ignore[attr-defined]
    for smooth in (False, True):
        layers = stock.layer_carbon(stocks, smooth=smooth)
        assert (layers >= 0.0).all()
        shuffled = stock.layer_carbon(stocks[:, order], smooth=smooth)
        np.testing.assert_allclose(shuffled, layers[:, order], rtol=1e-6, atol=1e-9)
        deep = layers[20:] / np.diff(LAYERS_M)[20:, None]
        assert (
            np.diff(deep, axis=0) <= 1e-9 * deep[:-1] + 1e-12
        ).all()  # density falls, or stands, with depth
        most = (stocks / np.array([0.3, 0.7, 1.0, 1.0])[:, None]).max(axis=0)
        assert (deep <= 1000 * most * (1 + 1e-9)).all()  # the best curve is not above all that was observed


@pytest.mark.parametrize(("a", "b"), [(10.0, 0.02), (24.6, 0.7), (46.0, 1.43), (3.0, 5.0), (400.0, 30.0)])
def test_a_hyperbola_is_found_again(a: float, b: float) -> None:
    stocks = np.array(integrals(a, b, [0.0, 0.3, 1.0, 2.0, 3.0]))[:, None]
    fitted = fit_hyperbola(stocks)
    assert fitted.b.item() == pytest.approx(b, rel=1e-5)
    assert fitted.a.item() == pytest.approx(a, rel=1e-5)
    assert np.isnan(fitted.flat.item())
    layers = 1000 * np.array(integrals(a, b, LAYERS_M))
    np.testing.assert_allclose(stock.layer_carbon(stocks)[20:, 0], layers[20:], rtol=1e-6)
    np.testing.assert_allclose(stock.layer_carbon(stocks, smooth=True)[:, 0], layers, rtol=1e-6)


def compare_with_optimiser(stocks: Array) -> int:
    """How many profiles ran to the upper limit; none may be fitted worse than the optimiser does."""
    fitted = fit_hyperbola(stocks)
    for i in range(stocks.shape[1]):
        b, least = best_b(stocks[:, i])
        scale = float((stocks[:, i] ** 2 / [0.3, 0.7, 1.0, 1.0]).sum())
        if np.isnan(fitted.flat[i]):
            assert misfit(stocks[:, i], float(fitted.b[i])) <= least * (1 + 1e-6) + 1e-14 * scale
        else:
            assert b > 0.9 * B_RANGE_M[1]
    return int(np.isfinite(fitted.flat).sum())


def test_no_optimiser_does_better() -> None:
    rng = np.random.default_rng(7)
    falling = rng.uniform(2.0, 50.0, 60) / (
        np.array([0.15, 0.65, 1.5, 2.5])[:, None] + rng.uniform(0.02, 8, 60)
    )
    stocks = np.array([0.3, 0.7, 1.0, 1.0])[:, None] * falling * rng.uniform(0.6, 1.6, (4, 60))
    flat = compare_with_optimiser(stocks)
    assert 0 < flat < 30
    compare_with_optimiser(rng.uniform(0.0, 30.0, (4, 30)))
    steep = np.array([[10.0, 0.1, 0.02, 0.01], [5.0, 0.0, 0.0, 0.001]]).T
    assert compare_with_optimiser(steep) == 0
    np.testing.assert_allclose(fit_hyperbola(steep).b, B_RANGE_M[0])


def test_profiles_that_do_not_fall() -> None:
    even = [3.0, 7.0, 10.0, 10.0]
    rising = [1.5, 7.0, 20.0, 40.0]
    humped = [0.1, 10.0, 40.0, 12.0]
    layers = stock.layer_carbon(np.array([even, rising, humped]).T)
    widths = np.diff(LAYERS_M)[20:]
    np.testing.assert_allclose(layers[20:, 0], 10_000 * widths, rtol=1e-9)
    np.testing.assert_allclose(layers[20:, 1], 1000 * 68.5 / 3 * widths)  # the mean is less than the last
    np.testing.assert_allclose(layers[20:, 2], 12_000 * widths)  # the last is less than the mean
    smooth = stock.layer_carbon(np.array([even]).T, smooth=True)
    np.testing.assert_allclose(smooth[:, 0], 10_000 * np.diff(LAYERS_M), rtol=1e-9)


def test_nothing_below_where_the_last_interval_is_empty() -> None:
    stocks = np.array([[10.0, 8.0, 5.0, 0.0], [0.0, 0.0, 0.0, 0.0], [np.nan] * 4, [10.0, 8.0, 5.0, 2.0]]).T
    for smooth in (False, True):
        layers = stock.layer_carbon(stocks, smooth=smooth)
        assert (layers[20:, 0] == 0.0).all()
        assert (layers[:20, 0] > 0.0).all() or not smooth
        assert (layers[:, 1] == 0.0).all()
        assert np.isnan(layers[:, 2]).all()
        assert (layers[:, 3] > 0.0).all()


def test_more_cells_than_are_fitted_at_once() -> None:
    rng = np.random.default_rng(3)
    stocks = np.sort(rng.uniform(0, 20, (4, 5000)), axis=0)[::-1] * np.array([0.3, 0.7, 1.0, 1.0])[:, None]
    every = fit_hyperbola(stocks)
    for part in (slice(0, 50), slice(4070, 4120), slice(4990, 5000)):
        some = fit_hyperbola(stocks[:, part])
        np.testing.assert_allclose(every.b[part], some.b, rtol=1e-6)
        np.testing.assert_array_equal(every.flat[part], some.flat)


def test_frozen_share_by_a_slow_loop() -> None:
    alt = np.concatenate(
        [[0.0, 0.05, 0.1, 2.9999, 5.5, 6.0, 7.3, 9.999, 10.0, 50.0, np.nan], np.linspace(0, 6.5, 41)]
    )
    share = stock.frozen_share(alt)
    for i, thaw in enumerate(alt):
        for k, (top, end) in enumerate(pairwise(LAYERS_M)):
            frozen = 0.0 if not thaw < 10.0 else max(0.0, end - max(top, thaw)) / (end - top)
            assert share[k, i] == pytest.approx(frozen, abs=1e-9)
    assert ((share >= 0.0) & (share <= 1.0)).all()


def test_carbon_to_nitrogen_by_depth() -> None:
    ratio = stock.carbon_to_nitrogen()
    assert (ratio[:15] == 11.0).all()
    assert (ratio[20:] == 8.0).all()
    np.testing.assert_allclose(ratio[15:20], [10.7, 10.1, 9.5, 8.9, 8.3])  # midpoints 2.1, 2.3 ... 2.9 m
    np.testing.assert_allclose(stock.carbon_to_nitrogen((22.0, 12.0))[[0, 17, 24]], [22.0, 17.0, 12.0])
    with pytest.raises(ConfigError, match=r"C:N of permafrost is \(11.0, 0.0\); expected two values above 0"):
        stock.carbon_to_nitrogen((11.0, 0.0))


def world(nitrogen: bool = False) -> tuple[xr.Dataset, tuple[str, ...], npt.NDArray[np.int64], Array]:
    """Four cells, the third unobserved; six columns, the first cell and the third shared by two communities."""
    carbon = np.array(
        [[9.0, 14.0, 12.0, 8.0], [6.0, 9.0, 7.0, 4.0], [np.nan] * 4, [12.0, 15.0, 16.0, 14.0]]
    ).T
    held = {"carbon": (("interval", "cell"), carbon)}
    if nitrogen:
        held["nitrogen"] = (("interval", "cell"), carbon / np.array([20.0, 16.0, 14.0, 12.0])[:, None])
    edges = np.array(EDGES_M)
    observed = xr.Dataset(held, {"top": ("interval", edges[:-1]), "bottom": ("interval", edges[1:])})
    names = ("boreal_forest", "wet_tundra", "wet_tundra", "wet_tundra", "grassland", "boreal_forest")
    cell = np.array([0, 0, 1, 2, 2, 3])
    weights = np.array([0.5, 0.5, 2.0, 0.75, 0.75, 1.0])
    return observed, names, cell, weights


def test_columns_without_observation_have_the_mean_of_their_community() -> None:
    observed, names, cell, weights = world()
    start = stock.initial_stock(observed, names, cell, weights)
    assert start.source.tolist() == ["observed", "observed", "observed", "community", "all", "observed"]
    carbon = observed["carbon"].values
    own = stock.layer_carbon(carbon)
    for column in (0, 1, 2, 5):
        np.testing.assert_array_equal(start.carbon[:, column], own[:, cell[column]])
    wet = (0.5 * carbon[:, 0] + 2.0 * carbon[:, 1]) / 2.5
    every = (carbon[:, 0] + 2.0 * carbon[:, 1] + carbon[:, 3]) / 4.0  # the first cell by both of its halves
    for column, mean in ((3, wet), (4, every)):
        b, _ = best_b(mean)
        shape = np.array(integrals(1.0, b, [0.0, 0.3, 1.0, 2.0, 3.0]))
        w = 1 / np.array([0.3, 0.7, 1.0, 1.0])
        a = (w * mean * shape).sum() / (w * shape**2).sum()
        np.testing.assert_allclose(
            start.carbon[:, column], 1000 * np.array(integrals(a, b, LAYERS_M)), rtol=1e-5
        )
    np.testing.assert_allclose(start.nitrogen, start.carbon / stock.carbon_to_nitrogen()[:, None])
    assert start.notes == (
        "soil carbon: 1 of 6 columns have the mean profile of their community (wet_tundra)",
        "soil carbon: 1 of 6 columns have that of all (grassland)",
    )


def test_observed_nitrogen_is_treated_like_carbon() -> None:
    observed, names, cell, weights = world(nitrogen=True)
    start = stock.initial_stock(observed, names, cell, weights)
    ratio = start.carbon / start.nitrogen
    for k, expected in ((1, 20.0), (5, 16.0), (12, 14.0), (17, 12.0)):
        np.testing.assert_allclose(ratio[k, [0, 1, 2, 5]], expected)
    assert (ratio[20:, :3] < 14.0).all()
    as_carbon = observed.assign(carbon=observed["nitrogen"]).drop_vars("nitrogen")
    same = stock.initial_stock(as_carbon, names, cell, weights).carbon
    np.testing.assert_array_equal(start.nitrogen, same)


def test_nitrogen_that_is_observed_in_part() -> None:
    observed, names, cell, weights = world(nitrogen=True)
    observed["nitrogen"][:, :2] = np.nan  # left in the last cell alone, which is boreal forest
    start = stock.initial_stock(observed, names, cell, weights, carbon_nitrogen=(15.0, 9.0))
    ratio = start.carbon / start.nitrogen
    default = stock.carbon_to_nitrogen((15.0, 9.0))
    for column in range(4):
        np.testing.assert_allclose(ratio[:, column], default)
    np.testing.assert_allclose(ratio[[1, 5, 12, 17], 5], [20.0, 16.0, 14.0, 12.0])
    observed["nitrogen"][:] = np.nan
    none = stock.initial_stock(observed, names, cell, weights)
    np.testing.assert_allclose(none.nitrogen, none.carbon / stock.carbon_to_nitrogen()[:, None])


def test_areas_are_needed_only_to_fill() -> None:
    observed, names, cell, weights = world()
    missing = np.full_like(weights, np.nan)
    seen = np.array([0, 1, 2, 5])
    start = stock.initial_stock(observed, [names[i] for i in seen], cell[seen], missing[seen])
    assert set(start.source.tolist()) == {"observed"}
    assert start.notes == ()
    with pytest.raises(InputError, match=r"4 of 6 columns are observed, with weights nan.*cell areas"):
        stock.initial_stock(observed, names, cell, missing)


def test_what_cannot_be_filled() -> None:
    observed, names, cell, weights = world()
    with pytest.raises(InputError, match=r"no soil-carbon file; expected stocks of 0-3 m"):
        stock.initial_stock(None, names, cell, weights)
    nothing = observed.assign(carbon=observed["carbon"] * np.nan)
    with pytest.raises(InputError, match=r"0 of 6 columns are observed"):
        stock.initial_stock(nothing, names, cell, weights)
    other = observed.assign_coords(bottom=("interval", [0.3, 1.0, 2.0, 4.0]))
    with pytest.raises(InputError, match=r"edges 0, 0.3, 1, 2, 4 m; expected 0, 0.3, 1, 2 and 3 m"):
        stock.initial_stock(other, names, cell, weights)


def test_pooled_profiles_by_a_slow_loop() -> None:
    rng = np.random.default_rng(11)
    stocks = rng.uniform(5.0, 15.0, (4, 40)) * np.array([0.6, 1.0, 1.0, 0.6])[:, None]
    stocks[:, rng.random(40) < 0.3] = np.nan
    names = [["a", "b", "c"][k] for k in rng.integers(0, 3, 40)]
    weights = rng.uniform(0.1, 3.0, 40)
    means = stock.pooled_stocks(stocks, names, weights)
    profiles = stock.pooled_profiles(stocks, names, weights)
    assert list(means) == list(profiles)
    for name in ("a", "b", "c"):
        total, mass = 0.0, np.zeros(4)
        for i in range(40):
            if names[i] == name and np.isfinite(stocks[0, i]):
                total += weights[i]
                mass += weights[i] * stocks[:, i]
        np.testing.assert_allclose(means[name], mass / total)
        np.testing.assert_array_equal(
            profiles[name], stock.layer_carbon(means[name][:, None], smooth=True)[:, 0]
        )


def test_the_band_from_65_to_70_north(shared: Path) -> None:
    path = shared / "data" / "tem-65-70n" / "tem_static_65-70N_0.5deg.nc"
    land = read_static(path)
    observed = read_soil_carbon(path, cells=list(zip(land["lat"].values, land["lon"].values, strict=True)))
    carbon = observed["carbon"].values
    seen = np.isfinite(carbon).all(axis=0)
    area = land["area"].values
    layers = stock.layer_carbon(carbon[:, seen])
    assert (layers[:20] * area[seen]).sum() / 1e15 == pytest.approx(247, abs=0.5)  # Pg, stated with the data
    compare_with_optimiser(carbon[:, seen][:, ::150])
    names = np.where(land["vegetation"].values == 3, "wet_tundra", "other").tolist()
    cell = np.arange(area.size)
    start = stock.initial_stock(observed, names, cell, area)
    assert (start.source == "community").sum() == 995
    assert np.isfinite(start.carbon).all()
    assert np.isfinite(start.nitrogen).all()
    assert (start.nitrogen[:20, seen] * area[seen]).sum() / 1e15 == pytest.approx(16.3, abs=0.05)
