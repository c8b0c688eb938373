"""The correlated error of budgets: closed forms, brute force over pixels, and fields drawn with known parameters."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from talik.errors import ConfigError, GridError, InputError
from talik.regions import EqualAreaGrid, LatLonGrid, latitude_bands
from talik.upscaling.distances import arc_km, unit_vectors
from talik.upscaling.error_budget import (
    ErrorBudget,
    budget_error,
    error_grid,
    factor_covariance,
    linear_covariance,
    sample_covariance,
)
from talik.upscaling.error_fit import Solver, design, fit_error_model, largest_share
from talik.upscaling.error_model import FOUR_SEASONS, ONE_SEASON, PARTS, ErrorModel, with_shares, years_months
from talik.upscaling.error_pairs import ErrorSettings, pair_moments

ALL = {
    "region": 0.15, "region_season": 0.1, "region_time": 0.2, "place": 0.2, "place_season": 0.1,
    "place_time": 0.05, "nugget": 0.2,
}  # fmt: skip
SD = tuple(np.linspace(2.0, 9.0, 12))
WINDOW = {"x": (0.0, 800e3), "y": (-2400e3, -1600e3)}


def regions_on(grid: EqualAreaGrid, seed: int = 0) -> xr.DataArray:
    """Two regions that share cells and leave some empty."""
    rng = np.random.default_rng(seed)
    first = np.clip(rng.uniform(-0.4, 1.0, grid.shape), 0, 1)
    second = np.clip(rng.uniform(-0.4, 1.0, grid.shape), 0, 1) * (1 - first)
    return xr.concat([grid.wrap(first), grid.wrap(second)], "region").assign_coords(region=["a", "b"])


def whole(grid: EqualAreaGrid) -> xr.DataArray:
    return grid.wrap(np.ones(grid.shape)).expand_dims(region=["all"])


def network(seed: int, n_sites: int, n_months: int, *, spread_deg: float = 8.0) -> pd.DataFrame:
    """Sites in groups of four, near and far, each with a run of months of its own."""
    rng = np.random.default_rng(seed)
    centre = np.column_stack([rng.uniform(52, 72, n_sites // 4), rng.uniform(-170, 170, n_sites // 4)])
    at = np.repeat(centre, 4, axis=0) + rng.uniform(-1, 1, (n_sites // 4 * 4, 2)) * [
        spread_deg / 4,
        spread_deg,
    ]
    rows = []
    for k, (lat, lon) in enumerate(at):
        first = 2000 * 12 + int(rng.integers(0, 48))
        months = np.arange(first, first + n_months)
        rows.append(
            pd.DataFrame(
                {
                    "site_id": f"s{k:03d}",
                    "lat": lat,
                    "lon": lon,
                    "year": months // 12,
                    "month": months % 12 + 1,
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def draws(model: ErrorModel, table: pd.DataFrame, seed: int, n: int) -> np.ndarray:
    """(n, rows) fields of the model."""
    c = model.covariance(
        table.lat.to_numpy(),
        table.lon.to_numpy(),
        table.site_id.to_numpy(),
        (table.year * 12 + table.month - 1).to_numpy(),
    )
    root = np.linalg.cholesky(c + 1e-10 * np.trace(c) / len(c) * np.eye(len(c)))
    return np.random.default_rng(seed).standard_normal((n, len(c))) @ root.T


# the covariance itself


def test_covariance_of_one_pair_by_hand() -> None:
    model = ErrorModel(**ALL, range_km=700.0, range_months=5.0, sd=SD)
    got = model.covariance(
        [60, 65, 60], [10, 40, 10], ["p", "q", "p"], [24006, 24013, 24013]
    )  # July, February twice
    d = float(arc_km(np.linalg.norm(unit_vectors([60], [10]) - unit_vectors([65], [40]))))
    near, fading = np.exp(-d / 700), np.exp(-7 / 5)
    assert got[0, 1] == pytest.approx(SD[6] * SD[1] * near * (0.15 + 0.2 * fading), rel=1e-12)
    assert got[1, 2] == pytest.approx(SD[1] ** 2 * near * (0.15 + 0.1 + 0.2), rel=1e-12)
    assert got[0, 2] == pytest.approx(SD[6] * SD[1] * (0.35 + 0.25 * fading), rel=1e-12)
    np.testing.assert_allclose(np.diag(got), np.array(SD)[[6, 1, 1]] ** 2 * model.sill)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("range_km", [30.0, 20_000.0])
def test_every_part_is_positive_semidefinite_around_the_globe(part: str, range_km: float) -> None:
    rng = np.random.default_rng(1)
    lat, lon = np.degrees(np.arcsin(rng.uniform(-1, 1, 60))), rng.uniform(-180, 180, 60)
    place = rng.integers(0, 60, 240)
    model = ErrorModel(**{part: 1.0}, range_km=range_km, range_months=9.0, sd=SD)
    c = model.covariance(lat[place], lon[place], place, rng.integers(0, 100, 240))
    assert np.linalg.eigvalsh(c).min() > -1e-9 * np.trace(c)


def test_months_are_summed_as_the_closed_form_says() -> None:
    """Sum over i, j < n of q^|i-j| = n (1+q)/(1-q) - 2 q (1-q^n)/(1-q)^2; n; n^2; by season sums of squares."""
    months, weights = years_months(2001, 2003)
    model = ErrorModel(**dict.fromkeys(PARTS, 1.0), range_months=4.0)
    got = {p: float(np.ones(3) @ k @ np.ones(3)) for p, k in model.over_time(months, weights).items()}
    n, q = 36, np.exp(-1 / 4)
    fading = n * (1 + q) / (1 - q) - 2 * q * (1 - q**n) / (1 - q) ** 2
    season = sum((3 * FOUR_SEASONS.count(k)) ** 2 for k in range(4))
    want = {"": n**2, "season": season, "time": fading, "nugget": n}
    for part, value in got.items():
        assert value == pytest.approx(want[part if part == "nugget" else part.partition("_")[2]], rel=1e-12)


# budgets


def test_single_cell_fully_dependent_and_independent_limits() -> None:
    grid = EqualAreaGrid.epsg6931(100e3, **WINDOW)
    cells = error_grid(whole(grid))
    area = grid.size * 1e10
    wide = budget_error(ErrorModel(region=1, range_km=1e9, sd=SD), cells, (2001, 2010))
    assert wide.year()[0, 0] == pytest.approx((1e-12 * area * sum(SD)) ** 2, rel=1e-4)
    assert np.sqrt(wide.year()[0, 0]) == pytest.approx(wide.bounds()["fully dependent"][0], rel=1e-4)
    assert wide.mean()[0, 0] == pytest.approx(wide.year()[0, 0], rel=1e-12)  # persistent: years do not help
    narrow = budget_error(ErrorModel(region=1, range_km=1e-3, sd=SD), cells, (2001, 2010))
    assert narrow.year()[0, 0] == pytest.approx(grid.size * (1e-12 * 1e10 * sum(SD)) ** 2, rel=1e-12)
    assert narrow.notes  # below the cell: said
    noise = budget_error(ErrorModel(nugget=1, sd=SD), cells, (2001, 2010))
    assert np.sqrt(noise.year()[0, 0]) == pytest.approx(noise.bounds()["independent"][0], rel=1e-12)
    assert noise.mean()[0, 0] == pytest.approx(noise.year()[0, 0] / 10, rel=1e-12)
    assert noise.year()[0, 0] == pytest.approx(
        area / 1e6 * (1e-12 * 1e6) ** 2 * sum(s**2 for s in SD), rel=1e-12
    )
    small = EqualAreaGrid.epsg6931(50e3, x=(0, 1e5), y=(-2e6, -1.9e6))
    one = error_grid(whole(small))
    single = budget_error(ErrorModel(region=0.7, range_km=50, sd=SD), one, (2001, 2001))
    assert single.year()[0, 0] == pytest.approx(0.7 * (1e-12 * 1e10 * sum(SD)) ** 2, rel=1e-12)
    assert single.effective_number()[["pixels", "patches"]].to_numpy()[0] == pytest.approx([1e4, 1])


def test_budgets_equal_the_double_sum_over_all_pixels_and_months() -> None:
    grid = EqualAreaGrid.epsg6931(100e3, **WINDOW)
    weights = regions_on(grid)
    model = ErrorModel(**ALL, range_km=400.0, range_months=7.0, sd=SD)
    cells = error_grid(weights)
    got = budget_error(model, cells, (2001, 2002), pixel_m=100e3)
    lon, lat = (v.values.ravel() for v in grid.lonlat())
    area = weights.values.reshape(2, -1) * 1e10
    kept = area.sum(axis=0) > 0
    lat, lon, area = lat[kept], lon[kept], area[:, kept]
    months = np.arange(2001 * 12, 2003 * 12)
    want = np.zeros((2, 2))
    for i, m in enumerate(
        months
    ):  # errors of a place here: the regional parts only, place by its own sum below
        for n in months[: i + 1]:
            regional = with_shares(model, {p: ALL[p] for p in PARTS[:3]})
            c = regional.covariance(
                np.tile(lat, 2), np.tile(lon, 2), np.arange(2 * lat.size), np.repeat([m, n], lat.size)
            )[: lat.size, lat.size :]
            own = with_shares(model, {p: ALL[p] for p in PARTS[3:]}).covariance(
                [60, 60], [0, 0], ["p", "p"], [m, n]
            )[0, 1]
            term = area @ c @ area.T + own * np.diag(area.sum(axis=1) * 1e10)
            want += term if m == n else term + term.T
    np.testing.assert_allclose(got.combination([1, 1]), want * 1e-24, rtol=1e-9)
    np.testing.assert_allclose(got.mean(), want * 1e-24 / 4, rtol=1e-9)


def test_sums_of_regions_are_consistent_and_covariances_are_positive() -> None:
    grid = EqualAreaGrid.epsg6931(100e3, **WINDOW)
    weights = regions_on(grid)
    joined = weights.sum("region").expand_dims(region=["both"])
    model = ErrorModel(**ALL, range_km=300.0, sd=SD)
    parts = budget_error(model, error_grid(weights), (2001, 2005)).with_sums({"both": ["a", "b"]})
    direct = budget_error(model, error_grid(joined), (2001, 2005))
    for kind in ("mean", "year", "trend"):
        c = getattr(parts, kind)()
        assert c[2, 2] == pytest.approx(getattr(direct, kind)()[0, 0], rel=1e-12)
        assert c[2, 2] == pytest.approx(c[:2, :2].sum(), rel=1e-12)
        np.testing.assert_allclose(c[2, :2], c[:2, :2].sum(axis=0), rtol=1e-12)
        assert np.linalg.eigvalsh(c).min() > -1e-12 * np.trace(c)
    assert 0 < parts.year()[0, 1] < np.sqrt(parts.year()[0, 0] * parts.year()[1, 1])
    low, high = parts.bounds().values()
    assert (low < np.sqrt(np.diag(parts.year()))).all()
    assert (np.sqrt(np.diag(parts.year())) < high).all()


def test_trend_feels_only_what_changes() -> None:
    cells = error_grid(whole(EqualAreaGrid.epsg6931(100e3, **WINDOW)))
    still = budget_error(ErrorModel(region=1, region_season=1, place=1, sd=SD), cells, (2001, 2010))
    scale = still.year()[0, 0]
    assert still.trend()[0, 0] < 1e-15 * scale
    noise = budget_error(ErrorModel(nugget=1, sd=SD), cells, (2001, 2010))
    assert noise.trend()[0, 0] == pytest.approx(noise.year()[0, 0] / 82.5, rel=1e-12)  # sum of (t - mean)^2


def test_variance_of_drawn_budgets_is_the_computed_one() -> None:
    """4000 fields on 16 cells, 24 months: an SD has 1.1 % Monte-Carlo error, a covariance is tested at 4 SE."""
    grid = EqualAreaGrid.epsg6931(200e3, x=(0, 8e5), y=(-2.4e6, -1.6e6))
    weights = regions_on(grid, 3)
    cells = error_grid(weights, coarse_m=200e3)
    model = ErrorModel(region=0.3, region_season=0.2, region_time=0.4, range_km=500, range_months=3, sd=SD)
    months = np.arange(24000, 24024)
    n = len(cells.lat)
    table = pd.DataFrame({
        "site_id": np.tile(np.arange(n), 24), "lat": np.tile(cells.lat, 24), "lon": np.tile(cells.lon, 24),
        "year": np.repeat(months, n) // 12, "month": np.repeat(months, n) % 12 + 1,
    })  # fmt: skip
    fields = draws(model, table, 5, 4000).reshape(4000, 24, n)
    budgets = fields.sum(axis=1) / 2 @ cells.area.T * 1e-12
    want = budget_error(model, cells, (2000, 2001), pixel_m=1.0).mean()
    error = np.sqrt((want**2 + np.outer(np.diag(want), np.diag(want))) / 4000)
    assert (np.abs(sample_covariance(budgets) - want) < 4 * error).all()


def test_coarse_cells_converge() -> None:
    """From one 25-km mask with a ragged shore: 100 km and 50 km within 2 % in SD for ranges of 150 km and more."""
    grid = EqualAreaGrid.epsg6931(25e3, x=(0, 2e6), y=(-3e6, -1e6))
    x, y = np.meshgrid(grid.x, grid.y)
    land = (np.hypot(x - 1e6, y + 2e6) < 8e5 + 1e5 * np.sin(9 * np.arctan2(y + 2e6, x - 1e6))).astype(float)
    weights = grid.wrap(land).expand_dims(region=["land"])
    for range_km in (150.0, 500.0, 2000.0):
        model = ErrorModel(region=1, range_km=range_km)
        sd = [
            float(np.sqrt(budget_error(model, error_grid(weights, coarse_m=m), (2001, 2001)).year()[0, 0]))
            for m in (1e5, 5e4, 2.5e4)
        ]
        assert sd[0] == pytest.approx(sd[1], rel=0.02)
        assert abs(sd[1] - sd[2]) < abs(sd[0] - sd[2])


def test_error_grid_keeps_area_on_any_grid() -> None:
    bands = latitude_bands(LatLonGrid.regular(0.5, lat=(40, 90)))
    cells = error_grid(bands)
    np.testing.assert_allclose(cells.area.sum(axis=1), bands["region_area"].values, rtol=1e-9)
    equal = error_grid(latitude_bands(EqualAreaGrid.epsg6931(100e3, x=(-5.4e6, 5.4e6), y=(-5.4e6, 5.4e6))))
    model = ErrorModel(region=1, range_km=600)
    a, b = (np.sqrt(np.diag(budget_error(model, c, (2001, 2001)).year())) for c in (cells, equal))
    np.testing.assert_allclose(a, b, rtol=0.01)


def test_what_the_grid_refuses() -> None:
    grid = EqualAreaGrid.epsg6931(100e3, **WINDOW)
    twice = xr.concat([whole(grid), whole(grid).assign_coords(region=["again"])], "region")
    with pytest.raises(GridError, match=r"all, again overlap.*2\.000.*with_sums"):
        error_grid(twice)
    with pytest.raises(GridError, match=r"50000.*coarse_m"):
        error_grid(whole(grid), coarse_m=5e4)
    with pytest.raises(GridError, match="no area"):
        error_grid(whole(grid) * 0)
    with pytest.raises(GridError, match="'region' dimension"):
        error_grid(whole(grid).isel(region=0))
    cells = error_grid(whole(grid))
    with pytest.raises(ConfigError, match="pixel_m"):
        budget_error(ErrorModel(place=1), cells, (2001, 2002), pixel_m=2e5)
    with pytest.raises(ConfigError, match=r"2002\.\.2001"):
        budget_error(ErrorModel(place=1), cells, (2002, 2001))
    with pytest.raises(ConfigError, match="land"):
        budget_error(ErrorModel(place=1), cells, (2001, 2002)).with_sums({"sum": ["land"]})


# the fit


def test_fit_recovers_what_was_drawn() -> None:
    """120 sites, 24 months, 8 fields. Means of the estimates within 3 standard errors of the truth; one fit finds the
    shares to 0.2, the range to a factor of 3."""
    truth = ErrorModel(
        region_time=0.35,
        place=0.35,
        nugget=0.3,
        range_km=500,
        range_months=6,
        sd=(5.0,) * 12,
        season=ONE_SEASON,
    )
    table = network(7, 120, 24)
    settings = ErrorSettings(parts=("region_time", "place", "nugget"), season=ONE_SEASON, site_power=0)
    found = []
    for residual in draws(truth, table, 11, 8):
        fit = fit_error_model(table.assign(residual=residual), settings)
        m, s2 = fit.model, fit.model.sd[0] ** 2
        found.append(
            [m.region_time * s2, m.place * s2, m.nugget * s2, np.log(m.range_km), np.log(m.range_months)]
        )
    found = np.array(found)
    want = np.array([0.35 * 25, 0.35 * 25, 0.3 * 25, np.log(500), np.log(6)])
    error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    assert (np.abs(found.mean(axis=0) - want) < 3 * error + 0.02 * np.abs(want)).all()
    assert (np.abs(found[:, :3] - want[:3]) < 0.2 * 25).all()
    assert (np.abs(found[:, 3] - want[3]) < np.log(3)).all()


def test_fit_to_exact_moments_is_exact() -> None:
    """Moments replaced by those of the model give the model back."""
    truth = np.array([ALL[p] for p in PARTS])
    table = network(3, 80, 40)
    noise = np.random.default_rng(0).standard_normal(len(table))
    table = fit_error_model(table.assign(residual=noise)).table
    table["covariance"] = design(table, 600.0, 8.0) @ truth
    solver = Solver(table, ErrorSettings())
    ranges = solver.best(PARTS)
    np.testing.assert_allclose(ranges, [600, 8], rtol=1e-3)
    np.testing.assert_allclose(solver.shares(PARTS, *ranges)[0], truth, atol=1e-3)


def test_taking_off_the_mean_does_not_bias_the_shares() -> None:
    """A regional error that few sites sample, and sites whose errors differ tenfold in size: the mean over 200 fields
    of each share, at the true ranges, is within 3.5 standard errors."""
    truth = ErrorModel(region=0.4, place=0.3, nugget=0.3, range_km=1500, sd=(1.0,) * 12)
    table = network(9, 40, 6)
    size = np.random.default_rng(0).choice([0.2, 2.0], 40)
    codes, _ = pd.factorize(table.site_id)
    place, month = codes.astype(np.int64), (table.year * 12 + table.month - 1).to_numpy()
    at = unit_vectors(*table.drop_duplicates("site_id")[["lat", "lon"]].to_numpy().T)
    regional, own = with_shares(truth, {"region": 0.4}), with_shares(truth, {"place": 0.3, "nugget": 0.3})
    settings, weight, found = ErrorSettings(), np.ones(len(table)), []
    for a, b in zip(draws(regional, table, 1, 200), draws(own, table, 2, 200), strict=True):
        z = a + b * size[codes]
        moments = pair_moments(z - z.mean(), place, at, month, weight, settings)
        found.append(Solver(moments, settings).shares(["region", "place", "nugget"], 1500, 6)[0])
    error = np.std(found, axis=0, ddof=1) / np.sqrt(200)
    want = np.array([0.4, *[0.3 * float(np.mean(size[codes] ** 2))] * 2])
    assert (np.abs(np.mean(found, axis=0) - want) < 3.5 * error).all()


def test_moments_are_those_of_all_pairs() -> None:
    table = network(2, 8, 15).assign(residual=np.random.default_rng(4).normal(3, 2, 120))
    settings = ErrorSettings(season=ONE_SEASON, site_power=0, least_sites=1)
    fit = fit_error_model(table, settings)
    z = (table.residual - table.residual.mean()) / table.residual.std(ddof=0)
    month = (table.year * 12 + table.month).to_numpy()
    i, j = np.tril_indices(120, -1)
    one = (table.site_id.to_numpy()[i] == table.site_id.to_numpy()[j]) & (np.abs(month[i] - month[j]) == 2)
    row = fit.table[fit.table.same_place & (fit.table.lag_low == 2)].iloc[0]
    assert row.n_pairs == one.sum() == 8 * 13
    assert row.semivariance == pytest.approx(
        0.5 * ((z.to_numpy()[i] - z.to_numpy()[j]) ** 2)[one].mean(), rel=1e-12
    )
    product = z.to_numpy()[i] * z.to_numpy()[j]
    assert row.covariance == pytest.approx(product[one].mean(), rel=1e-12)
    assert row.n_effective == pytest.approx(8)
    assert fit.table.n_pairs.sum() == 120 * 119 / 2 + 120
    assert fit.table.covariance[0] == pytest.approx(1)
    assert np.average(fit.table.covariance, weights=fit.table.weight) == pytest.approx(0, abs=1e-12)
    assert np.average(fit.table.fitted, weights=fit.table.weight) == pytest.approx(0, abs=1e-12)
    assert fit.bias == pytest.approx(table.residual.mean())
    assert fit.model.sd == pytest.approx([table.residual.std(ddof=0)] * 12)
    again = fit_error_model(table.sample(frac=1, random_state=1), settings)
    assert again.model.shares == pytest.approx(fit.model.shares, abs=1e-6)  # order of rows does not matter


def test_bias_is_kept_apart() -> None:
    table = network(2, 16, 24)
    noise = np.random.default_rng(4).normal(0, 2, len(table))
    low, high = (fit_error_model(table.assign(residual=noise + b)) for b in (0, 100))
    assert high.bias - low.bias == pytest.approx(100)
    assert high.model.shares == pytest.approx(low.model.shares, abs=1e-9)


def test_largest_share_of_an_error_that_is_not_there() -> None:
    table = network(3, 80, 24)
    fit = fit_error_model(table.assign(residual=np.random.default_rng(0).standard_normal(len(table))))
    share, model = largest_share(fit, "region", 1000.0)
    assert fit.model.region <= share < 0.2
    assert model.region == share
    assert model.range_km == 1000
    assert model.sill == pytest.approx(fit.model.sill, abs=0.1)
    few = table[table.site_id < "s020"]
    less = fit_error_model(few.assign(residual=np.random.default_rng(0).standard_normal(len(few))))
    assert largest_share(less, "region", 1000.0)[0] > share


def test_one_site_is_taken_as_regional_with_the_largest_range() -> None:
    rng = np.random.default_rng(0)
    e = np.zeros(240)
    for k in range(1, 240):
        e[k] = 0.8 * e[k - 1] + rng.standard_normal()
    table = pd.DataFrame({"site_id": "only", "lat": 60.0, "lon": 10.0, "year": 2000 + np.arange(240) // 12,
                          "month": np.arange(240) % 12 + 1, "residual": e})  # fmt: skip
    fit = fit_error_model(table)
    assert fit.model.range_km == 5000
    assert fit.model.region_time > 0.5
    assert fit.model.place == fit.model.place_time == fit.model.region == 0
    assert any(f.startswith("one site") for f in fit.flags)
    assert any(f.startswith("region: no pair of rows shows it") for f in fit.flags)
    assert any(f.startswith("range_km: any value fits") for f in fit.flags)


def test_ranges_that_data_do_not_give_are_flagged() -> None:
    table = network(5, 24, 24)
    noise = fit_error_model(
        table.assign(residual=np.random.default_rng(1).standard_normal(len(table))),
        ErrorSettings(parts=("nugget",)),
    )
    assert noise.model.nugget == pytest.approx(1, abs=0.05)
    assert sum("no error of this kind" in f for f in noise.flags) == 2
    one_month = table[(table.month == 7)].drop_duplicates("site_id")
    rng = np.random.default_rng(2)
    fit = fit_error_model(one_month.assign(year=2001, residual=rng.standard_normal(len(one_month))))
    assert fit.model.nugget == fit.model.region_time == 0  # told from nothing: the persistent kind is kept
    assert any("nugget: cannot be told from place" in f for f in fit.flags)
    assert any("0 rows; the SD of all months" in f for f in fit.flags)
    far = pd.DataFrame({"site_id": ["a", "b", "c"] * 12, "lat": 60.0, "lon": [0.0, 90.0, 180.0] * 12, "year": 2001,
                        "month": np.repeat(np.arange(1, 13), 3), "residual": rng.standard_normal(36)})  # fmt: skip
    assert (fit_error_model(far).table.n_pairs > 0).all()  # classes without pairs are not there


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.drop(columns="lat"), "column lat missing"),
        (lambda t: t.assign(residual=np.nan), "96 of 96 rows"),
        (lambda t: t.assign(residual="x"), "text where numbers"),
        (lambda t: t.assign(residual=1.0), "all 96 are 1"),
        (lambda t: t.assign(month=13), "months 1..12"),
        (lambda t: pd.concat([t, t]), "96 rows repeat"),
        (lambda t: t[:0], "at least one row"),
        (lambda t: t.drop_duplicates("site_id")[:2].assign(residual=[0.0, 1.0]), "no usable class"),
    ],
)
def test_bad_residuals_are_refused(change, told: str) -> None:
    table = network(5, 4, 24).assign(residual=np.arange(96.0))
    with pytest.raises(InputError, match=told):
        fit_error_model(change(table))


# all kinds of error


def test_fire_factor_and_coefficients() -> None:
    fire = np.array([60.0, 20.0])
    one = factor_covariance(fire, 0.2)
    assert np.sqrt(one.sum()) == pytest.approx(16)
    assert np.sqrt(factor_covariance(fire, 0.2, correlation=0).sum()) == pytest.approx(np.hypot(12, 4))
    np.testing.assert_allclose(factor_covariance(fire, [0.2, 0.5], correlation=0.5), [[144, 60], [60, 100]])
    with pytest.raises(ConfigError, match=r"correlation 0\.\.1"):
        factor_covariance(fire, 0.2, correlation=1.5)
    got = linear_covariance([[1, 2], [0, 1]], [[4, 1], [1, 9]])
    np.testing.assert_allclose(got, [[44, 19], [19, 9]])
    with pytest.raises(InputError, match=r"\(regions, k\)"):
        linear_covariance([1, 2], [[1]])


def test_error_budget_reports_every_term_and_sums_them_once() -> None:
    rng = np.random.default_rng(0)
    boot = sample_covariance(rng.normal(0, [30, 40], (200, 2)))
    terms = {
        "site bootstrap": boot,
        "fire": factor_covariance([60, 20], 0.2),
        "residual": np.diag([900.0, 400.0]),
    }
    budget = ErrorBudget.of(
        ["a", "b"], terms, {"pixels independent": [0.1, 0.1], "pixels fully dependent": [1e3, 2e3]}
    )
    table = budget.table()
    a = table[table.region == "a"].set_index("term")
    assert a.loc["total", "variance"] == pytest.approx(boot[0, 0] + 144 + 900)
    assert a[a.kind == "term"].share.sum() == pytest.approx(1)
    assert a[a.kind == "wrong bound"].share.isna().all()
    assert a.loc["pixels independent", "sd"] == 0.1
    assert budget.sum_sd(["a", "b"]) == pytest.approx(np.sqrt(boot.sum() + 256 + 1300))
    with pytest.raises(InputError, match="eigenvalue"):
        ErrorBudget.of(["a", "b"], {"x": [[1, 2], [2, 1]]})
    with pytest.raises(InputError, match="not SDs"):
        ErrorBudget.of(["a", "b"], {"x": [1, 2]})
    with pytest.raises(InputError, match="at least one term"):
        ErrorBudget.of(["a"], {})
    with pytest.raises(InputError, match="members >= 2"):
        sample_covariance([[1.0, 2.0]])
