"""Gap filling against dense normal equations, day-by-day averages, NumPy percentiles and planted additive fields."""

from __future__ import annotations

import calendar
import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talik.errors import InputError
from talik.rng import named_rng
from talik.upscaling import gapfill
from talik.upscaling.gapfill import (
    composite_days,
    fill_ndvi,
    fill_temperature,
    lst_usable,
    monthly_means,
    ndvi_weights,
    whittaker,
)


def dense(y: np.ndarray, w: np.ndarray, smoothness: float) -> np.ndarray:
    """The minimiser from the normal equations, written with full matrices."""
    second_difference = np.diff(np.eye(y.size), n=2, axis=0)
    matrix = np.diag(w) + smoothness * second_difference.T @ second_difference
    return np.linalg.solve(matrix, w * np.where(w > 0, y, 0.0))


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(2, 60),
    seed=st.integers(0, 10_000),
    smoothness=st.sampled_from([0.1, 1.0, 100.0, 1e4]),
    share_missing=st.floats(0, 0.7),
)
def test_whittaker_solves_the_normal_equations(
    n: int, seed: int, smoothness: float, share_missing: float
) -> None:
    rng = named_rng(seed, "whittaker")
    y = rng.normal(size=(n, 5))
    w = rng.choice([0.0, 0.5, 1.0], size=(n, 5))
    y[rng.random((n, 5)) < share_missing] = np.nan
    w[np.isnan(y)] = 0.0
    got = whittaker(y, w, smoothness)
    for pixel in range(5):
        count = np.count_nonzero(w[:, pixel])
        if count >= 2:
            expected = dense(y[:, pixel], w[:, pixel], smoothness)
            np.testing.assert_allclose(got[:, pixel], expected, rtol=1e-6, atol=1e-7 * np.abs(expected).max())
        elif count == 1:
            np.testing.assert_array_equal(got[:, pixel], y[w[:, pixel] > 0, pixel][0])
        else:
            assert np.isnan(got[:, pixel]).all()


def test_a_straight_line_is_its_own_smooth_even_across_a_year_without_data() -> None:
    line = 0.2 + 0.003 * np.arange(460.0)
    y = np.stack([line, line, line], axis=1)
    y[100:130, 1] = np.nan
    y[2:, 2] = np.nan
    np.testing.assert_allclose(whittaker(y, np.ones_like(y), 100.0), np.stack([line] * 3, axis=1), atol=1e-6)


def test_more_smoothness_means_less_curvature_and_none_means_the_data() -> None:
    y = named_rng(1, "rough").normal(size=(80, 1))
    w = np.ones_like(y)
    bends = [float(np.abs(np.diff(whittaker(y, w, s), n=2, axis=0)).sum()) for s in (1e-9, 1.0, 1e2, 1e4)]
    assert bends == sorted(bends, reverse=True)
    np.testing.assert_allclose(whittaker(y, w, 1e-9), y, atol=1e-6)
    # a free constant and a free slope: residuals sum to zero and are orthogonal to time
    rest = y - whittaker(y, w, 100.0)
    assert abs(rest.sum()) < 1e-9
    assert abs((rest[:, 0] * np.arange(80)).sum()) < 1e-7


@pytest.mark.parametrize("smoothness", [1.0, 100.0])
@pytest.mark.parametrize("period", [6, 23, 46])
def test_a_wave_keeps_the_share_that_theory_says(smoothness: float, period: int) -> None:
    """Far from the ends the smoother is a filter with gain 1 / (1 + lambda (2 - 2 cos w)^2)."""
    angle = 2 * np.pi / period
    wave = np.cos(angle * np.arange(40 * period))[:, None]
    got = whittaker(wave, np.ones_like(wave), smoothness)
    gain = 1 / (1 + smoothness * (2 - 2 * np.cos(angle)) ** 2)
    middle = slice(15 * period, 25 * period)
    np.testing.assert_allclose(got[middle], gain * wave[middle], atol=1e-6)
    if (smoothness, period) == (100.0, 23):  # what the default leaves of a year of 16-day composites
        assert round(gain, 2) == 0.65


def test_each_pixel_is_solved_alone() -> None:
    rng = named_rng(2, "alone")
    y, w = rng.normal(size=(50, 40)), rng.choice([0.0, 0.5, 1.0], size=(50, 40))
    whole = whittaker(y, w)
    parts = np.concatenate([whittaker(y[:, k : k + 7], w[:, k : k + 7]) for k in range(0, 40, 7)], axis=1)
    assert whole.tobytes() == parts.tobytes()


def test_whittaker_refuses_what_it_cannot_weigh() -> None:
    y = np.zeros((5, 2))
    with pytest.raises(InputError, match=r"shape \(5, 2\) but weights \(5, 1\)"):
        whittaker(y, np.ones((5, 1)))
    with pytest.raises(InputError, match="smoothness is 0"):
        whittaker(y, np.ones_like(y), 0)
    with pytest.raises(InputError, match="finite and >= 0"):
        whittaker(y, -np.ones_like(y))
    with pytest.raises(InputError, match=r"expected \(time, pixel\)"):
        whittaker(np.zeros(5), np.zeros(5))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 5.0, 37.5, 100.0]))
def test_floor_is_the_percentile_of_numpy(seed: int, percent: float) -> None:
    rng = named_rng(seed, "floor")
    y = rng.normal(size=(30, 6))
    counts = rng.random((30, 6)) < 0.4
    counts[:, 0] = False
    got = gapfill._percentile(y, counts, percent)
    for pixel in range(6):
        chosen = y[counts[:, pixel], pixel]
        expected = np.percentile(chosen, percent) if chosen.size else np.nan
        np.testing.assert_allclose(got[pixel], expected, rtol=1e-12, atol=1e-15)


def test_snow_does_not_pull_spring_down() -> None:
    day = np.arange(69) % 23
    true = 0.3 + 0.5 * np.exp(-(((day - 12) / 4.0) ** 2))
    snow = (day < 6) | (day > 18)
    seen = np.where(snow, -0.1, true)[:, None]
    weights = np.where(snow, 0.5, 1.0)[:, None]
    floor = np.percentile(true[~snow], 5)
    filled = fill_ndvi(seen, weights, snow[:, None], smoothness=0.5)
    assert filled.min() >= floor - 1e-12
    shoulder = (day == 6) | (day == 18)
    error = np.abs(filled[shoulder, 0] - true[shoulder]).max()
    assert error < 0.03
    assert np.abs(whittaker(seen, weights, 0.5)[shoulder, 0] - true[shoulder]).max() > 5 * error


def test_ndvi_pixels_without_snow_flags_without_bare_ground_and_without_data() -> None:
    rng = named_rng(3, "ndvi")
    y = rng.uniform(0, 1, size=(40, 3))
    y[:, 2] = np.nan
    weights = np.ones_like(y)
    everywhere = np.ones_like(y, dtype=bool)
    for snow in (None, everywhere):
        filled = fill_ndvi(y, weights, snow, floor_percentile=50)
        assert np.isnan(filled[:, 2]).all()
        np.testing.assert_array_less(np.median(y[:, :2], axis=0) - 1e-12, filled[:, :2].min(axis=0))
    with pytest.raises(InputError, match="snow has shape"):
        fill_ndvi(y, weights, [True])
    with pytest.raises(InputError, match="floor_percentile is 105"):
        fill_ndvi(y, weights, floor_percentile=105)


def test_modis_quality_codes() -> None:
    weights, snow = ndvi_weights([-1, 0, 1, 2, 3, 255])
    assert weights.tolist() == [0, 1, 0.5, 0.5, 0, 0]
    assert snow.tolist() == [False, False, False, True, False, False]
    # lowest two bits: 00 good, 01 other quality, 10 cloud, 11 not produced; higher bits say how good
    assert lst_usable(np.array([0b0, 0b01000001, 0b10, 0b11, 0b11000001], np.uint8)).tolist() == [
        True,
        True,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("length", "year_end"), [(16, "run over"), (8, "cut"), (16, "cut"), (30, "run over")]
)
def test_monthly_means_are_means_over_days(length: int, year_end: str) -> None:
    start, end = composite_days(2003, 2005, length, year_end=year_end)  # type: ignore[arg-type]
    y = named_rng(4, "days").normal(size=(start.size, 2))
    y[20:24, 1] = np.nan
    months = np.arange("2003-01", "2006-01", dtype="datetime64[M]")
    got = monthly_means(y, start, end, months)
    for row, (year, month) in enumerate((y_, m) for y_ in (2003, 2004, 2005) for m in range(1, 13)):
        daily: list[np.ndarray] = []
        for day in range(1, calendar.monthrange(year, month)[1] + 1):
            date = np.datetime64(dt.date(year, month, day))
            daily += [y[k] for k in range(start.size) if start[k] <= date < end[k]]
        table = np.array(daily)
        for pixel in range(2):
            seen = table[~np.isnan(table[:, pixel]), pixel]
            expected = seen.mean() if seen.size else np.nan
            np.testing.assert_allclose(got[row, pixel], expected, rtol=1e-12)


def test_composites_of_the_two_modis_products() -> None:
    start, end = composite_days(2003, 2004, 16, year_end="run over")
    assert start.size == 46
    assert str(start[22]) == "2003-12-19"
    assert str(end[22]) == "2004-01-04"
    start, end = composite_days(2003, 2004, 8, year_end="cut")
    assert start.size == 92
    lengths = (end - start).astype(int)
    assert lengths[45] == 5
    assert lengths[91] == 6  # 2004 is a leap year
    assert lengths.sum() == 731
    with pytest.raises(InputError, match="length_days is 365"):
        composite_days(2003, 2004, 365, year_end="cut")
    with pytest.raises(InputError, match="first_year 2005 is after"):
        composite_days(2005, 2004, 8, year_end="cut")


def test_a_month_without_a_valid_composite_is_missing() -> None:
    start, end = composite_days(2003, 2003, 8, year_end="cut")
    y = np.ones((46, 1))
    y[:4] = np.nan  # 1 January to 1 February
    got = monthly_means(y, start, end, np.array(["2003-01", "2003-02", "2010-05"], "datetime64[M]"))
    np.testing.assert_array_equal(got, [[np.nan], [1.0], [np.nan]])
    with pytest.raises(InputError, match="46 composites"):
        monthly_means(y, start[:3], end[:3], np.array(["2003-01"], "datetime64[M]"))
    with pytest.raises(InputError, match="ends before it starts"):
        monthly_means(y, end, start, np.array(["2003-01"], "datetime64[M]"))


def test_additive_temperature_is_recovered() -> None:
    rng = named_rng(5, "lst")
    n_years, n_pixels = 15, 60
    month = np.tile(np.arange(1, 13), n_years)
    region = np.arange(n_pixels) % 3
    climatology = rng.normal(270, 15, size=(12, n_pixels))
    anomaly = rng.normal(0, 3, size=(12 * n_years, 3))
    true = climatology[month - 1] + anomaly[:, region]
    seen = true.copy()
    seen[rng.random(true.shape) < 0.35] = np.nan
    filled = fill_temperature(seen, month, region)
    gaps = np.isnan(seen)
    np.testing.assert_allclose(filled.values, true, atol=1e-3)
    np.testing.assert_array_equal(filled.values[~gaps], seen[~gaps])
    assert (filled.origin[gaps] == gapfill.ANOMALY).all()
    assert (filled.origin[~gaps] == gapfill.OBSERVED).all()
    once = fill_temperature(seen, month, region, sweeps=1).values
    assert np.abs(once - true).max() > 0.5  # one sweep mixes climatology and anomaly


def test_one_sweep_is_climatology_plus_mean_anomaly() -> None:
    nan = np.nan
    seen = np.array([[10.0, 20.0], [12.0, nan], [nan, 26.0], [nan, nan]])
    filled = fill_temperature(seen, [7, 7, 7, 7], sweeps=1)
    # climatologies 11 and 23; anomalies -2, 1, 3, none
    np.testing.assert_allclose(filled.values, [[10, 20], [12, 24], [14, 26], [11, 23]])
    assert filled.origin.tolist() == [[0, 0], [0, 1], [1, 0], [2, 2]]


def test_what_was_never_seen_stays_missing() -> None:
    seen = np.array([[270.0, np.nan], [280.0, np.nan], [272.0, np.nan], [np.nan, np.nan]])
    filled = fill_temperature(seen, [1, 7, 1, 12])
    assert np.isnan(filled.values).tolist() == [[False, True], [False, True], [False, True], [True, True]]
    assert filled.origin.tolist() == [[0, 3], [0, 3], [0, 3], [3, 3]]
    with pytest.raises(InputError, match="month_of_year needs 4 numbers"):
        fill_temperature(seen, [1, 7, 13, 12])
    with pytest.raises(InputError, match="region needs 2 whole numbers"):
        fill_temperature(seen, [1, 7, 1, 12], [0, -1])
    with pytest.raises(InputError, match="sweeps is 0"):
        fill_temperature(seen, [1, 7, 1, 12], sweeps=0)
