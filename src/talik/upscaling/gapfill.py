"""Gap-free monthly satellite predictors: a Whittaker smoother for NDVI, climatology plus anomaly for temperature.

Arrays have time along axis 0 and pixels along axis 1; NaN is missing. Climate reanalyses are never filled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numba
import numpy as np
import numpy.typing as npt
from scipy import sparse

from talik.errors import InputError

Array = npt.NDArray[np.float64]
Days = npt.NDArray[np.datetime64]

SMOOTHNESS = 100.0
"""Penalty lambda for 16-day composites; it leaves 65 % of the amplitude of a yearly sine wave (`whittaker`)."""
FLOOR_PERCENTILE = 5.0
SWEEPS = 20

OBSERVED, ANOMALY, CLIMATOLOGY, MISSING = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class Filled:
    """Filled series (time, pixel), and where each value comes from (int8, same shape).

    `origin` is `OBSERVED`, `ANOMALY` (month climatology of the pixel + anomaly of its region), `CLIMATOLOGY` (alone:
    nothing was observed in the region that month) or `MISSING`.
    """

    values: Array
    origin: npt.NDArray[np.int8]


def ndvi_weights(reliability: npt.ArrayLike) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Weights {0, 0.5, 1} and snow flags from the pixel reliability layer of MOD13 (any shape).

    0 good: 1; 1 marginal: 0.5; 2 snow or ice: 0.5 and flagged; 3 cloudy and fill: 0. Source: MOD13 user's guide,
    collection 6; the weights are our choice.
    """
    code = np.asarray(reliability)
    weights = np.select([code == 0, (code == 1) | (code == 2)], [1.0, 0.5], 0.0)
    return weights, code == 2


def lst_usable(quality: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Whether MOD11 produced a temperature: "good" or "other quality" in the lowest two bits of its QC layer."""
    usable: npt.NDArray[np.bool_] = (np.asarray(quality, dtype=np.int64) & 0b11) <= 1
    return usable


def whittaker(values: npt.ArrayLike, weights: npt.ArrayLike, smoothness: float = SMOOTHNESS) -> Array:
    """The smooth z (time, pixel) that minimises ``sum w (y - z)^2 + smoothness * sum (second difference of z)^2``.

    values : (time, pixel), equally spaced composites; NaN has weight 0.     weights : same shape, >= 0.
    A pixel without any weighted value stays NaN; one with a single value gets that value throughout (the equations
    leave its slope open). Beyond the first and last value z goes on as a straight line. A wave of n composites keeps
    1 / (1 + smoothness * (2 - 2 cos(2 pi / n))^2) of its amplitude, far from gaps and ends.
    Source: Whittaker 1923, order 2; Eilers 2003, Anal. Chem. 75, 3631. InputError: shapes, negative weights, or a
    smoothness that is not a positive number.
    """
    y, w = _series(values, "values"), np.array(_series(weights, "weights"))
    if y.shape != w.shape:
        raise InputError(f"values have shape {y.shape} but weights {w.shape}; each value needs its weight.")
    if not (np.isfinite(smoothness) and smoothness > 0):
        raise InputError(
            f"smoothness is {smoothness}; it must be a positive number (default {SMOOTHNESS:g})."
        )
    w[~np.isfinite(y)] = 0.0
    if not (np.isfinite(w).all() and (w >= 0).all()):
        raise InputError("weights must be finite and >= 0; use 0 for a value that must not count.")
    return _smooth_all(y, w, float(smoothness))


def fill_ndvi(
    values: npt.ArrayLike,
    weights: npt.ArrayLike,
    snow: npt.ArrayLike | None = None,
    *,
    smoothness: float = SMOOTHNESS,
    floor_percentile: float = FLOOR_PERCENTILE,
) -> Array:
    """NDVI composites (time, pixel) smoothed and filled, never below the pixel's snow-season floor.

    The floor is the `floor_percentile` percentile of the pixel's weighted values outside snow (of all of them, where
    every one is under snow or `snow` is not given). Values under snow are lifted to it before smoothing, so that snow
    does not pull spring and autumn down, and the result is lifted to it after. A pixel without any value stays NaN.
    """
    y, w = np.array(_series(values, "values")), _series(weights, "weights")
    if y.shape != w.shape:
        raise InputError(f"values have shape {y.shape} but weights {w.shape}; each value needs its weight.")
    if not 0 <= floor_percentile <= 100:
        raise InputError(f"floor_percentile is {floor_percentile}; expected 0..100.")
    under_snow = np.zeros(y.shape, dtype=bool) if snow is None else np.asarray(snow, dtype=bool)
    if under_snow.shape != y.shape:
        raise InputError(
            f"snow has shape {under_snow.shape} but values {y.shape}; each value needs its flag."
        )
    counts = (w > 0) & np.isfinite(y)
    bare = counts & ~under_snow
    floor = _percentile(y, np.where(bare.any(axis=0), bare, counts), floor_percentile)
    y = np.where(under_snow & (y < floor), floor, y)
    return np.maximum(whittaker(y, w, smoothness), floor)


def composite_days(
    first_year: int, last_year: int, length_days: int, *, year_end: Literal["cut", "run over"]
) -> tuple[Days, Days]:
    """First day of each composite and the day after its last, where composites begin anew each 1 January.

    The last composite of a year is shortened to 31 December (``"cut"``: MOD11A2, 8 days) or keeps its length into
    January (``"run over"``: MOD13, 16 days). 16 days give 23 composites a year, 8 days give 46.
    """
    if not 1 <= length_days <= 31:
        raise InputError(f"length_days is {length_days}; a composite must be 1..31 days to resolve months.")
    if first_year > last_year:
        raise InputError(f"first_year {first_year} is after last_year {last_year}.")
    starts, ends = [], []
    for year in range(first_year, last_year + 1):
        new_year, next_year = np.datetime64(f"{year}-01-01"), np.datetime64(f"{year + 1}-01-01")
        first = np.arange(new_year, next_year, np.timedelta64(length_days, "D"))
        end = first + np.timedelta64(length_days, "D")
        starts.append(first)
        ends.append(np.minimum(end, next_year) if year_end == "cut" else end)
    return np.concatenate(starts), np.concatenate(ends)


def monthly_means(values: npt.ArrayLike, start: Days, end: Days, months: Days) -> Array:
    """Mean of composites by month, (month, pixel): each weighted by the days it shares with the month.

    start, end : (time,) first day of each composite and the day after its last.     months : (month,) any day of each
    month wanted. NaN composites do not count; a month that no valid composite touches is NaN.
    InputError: shapes, or a composite that does not end after it starts.
    """
    y = _series(values, "values")
    begin, stop = np.asarray(start, "datetime64[D]"), np.asarray(end, "datetime64[D]")
    if not begin.shape == stop.shape == y.shape[:1]:
        raise InputError(
            f"values have {y.shape[0]} composites, but start {begin.shape} and end {stop.shape} do not match; "
            "one start and one end for each composite (composite_days makes them)."
        )
    if not (stop > begin).all():
        raise InputError("a composite ends before it starts; `end` is the day after its last day.")
    month = np.asarray(months, "datetime64[M]")
    first, after = month.astype("datetime64[D]"), (month + 1).astype("datetime64[D]")
    days = np.minimum(stop, after[:, None]) - np.maximum(begin, first[:, None])
    shared = sparse.csr_array(np.maximum(days.astype(np.int64), 0).astype(np.float64))
    valid = np.isfinite(y)
    weight = shared @ valid.astype(np.float64)
    total = shared @ np.where(valid, y, 0.0)
    return np.divide(total, weight, out=np.full_like(total, np.nan), where=weight > 0)


def fill_temperature(
    values: npt.ArrayLike,
    month_of_year: npt.ArrayLike,
    region: npt.ArrayLike | None = None,
    *,
    sweeps: int = SWEEPS,
) -> Filled:
    """Monthly land surface temperature (time, pixel) with gaps filled by climatology plus regional anomaly.

    month_of_year : (time,) 1..12.     region : (pixel,) labels 0, 1, ...; one region if not given.
    A missing value becomes c + a: c of the pixel and calendar month, a of the region and time. Both are means of what
    is left of the observed values after taking the other away, repeated `sweeps` times: with one sweep c is the plain
    mean, which is too warm for a pixel seen only in warm years. Observed values are never changed. A calendar month
    that a pixel was never seen in stays NaN.
    InputError: shapes, months outside 1..12, negative labels.
    """
    y = _series(values, "values")
    month = np.asarray(month_of_year)
    if month.shape != y.shape[:1] or not np.isin(month, np.arange(1, 13)).all():
        raise InputError(f"month_of_year needs {y.shape[0]} numbers 1..12, one for each time step.")
    label = np.zeros(y.shape[1], dtype=np.int64) if region is None else np.asarray(region)
    if label.shape != y.shape[1:] or label.dtype.kind not in "iu" or (label < 0).any():
        raise InputError(f"region needs {y.shape[1]} whole numbers >= 0, one for each pixel.")
    if sweeps < 1:
        raise InputError(f"sweeps is {sweeps}; at least one is needed.")
    filled, origin = y.copy(), np.full(y.shape, MISSING, dtype=np.int8)
    for calendar_month in np.unique(month):
        at = month == calendar_month
        filled[at], origin[at] = _fill_one_month(y[at], label, sweeps)
    return Filled(filled, origin)


def _fill_one_month(
    y: Array, label: npt.NDArray[np.int64], sweeps: int
) -> tuple[Array, npt.NDArray[np.int8]]:
    """Fill the years (year, pixel) of one calendar month: an additive fit by alternating means."""
    valid = np.isfinite(y)
    years_seen = valid.sum(axis=0)
    pixels_seen = _sum_by_region(valid.astype(np.float64), label)
    anomaly = np.zeros_like(pixels_seen)
    climatology = np.zeros(y.shape[1])
    for _ in range(sweeps):
        rest = np.where(valid, y - anomaly[:, label], 0.0).sum(axis=0)
        climatology = np.divide(rest, years_seen, out=np.full(rest.shape, np.nan), where=years_seen > 0)
        rest = _sum_by_region(np.where(valid, y - climatology, 0.0), label)
        anomaly = np.divide(rest, pixels_seen, out=np.zeros_like(rest), where=pixels_seen > 0)
    filled = np.where(valid, y, climatology + anomaly[:, label])
    origin = np.where(pixels_seen[:, label] > 0, ANOMALY, CLIMATOLOGY)
    origin = np.where(np.isnan(filled), MISSING, np.where(valid, OBSERVED, origin))
    return filled, origin.astype(np.int8)


def _sum_by_region(values: Array, label: npt.NDArray[np.int64]) -> Array:
    """Sums (year, region) over the pixels (year, pixel) of each region."""
    n_regions = int(label.max(initial=-1)) + 1
    member = sparse.csr_array(
        (np.ones(label.size), (np.arange(label.size), label)), shape=(label.size, n_regions)
    )
    return np.asarray(values @ member, dtype=np.float64)


def _percentile(y: Array, counts: npt.NDArray[np.bool_], percent: float) -> Array:
    """Percentile (pixel,) of the values that count, linear between order statistics; NaN where none does."""
    ordered = np.sort(np.where(counts, y, np.inf), axis=0)
    last = np.maximum(counts.sum(axis=0) - 1, 0)
    place = last * (percent / 100.0)
    below = np.floor(place).astype(np.int64)
    low = np.take_along_axis(ordered, below[None], axis=0)[0]
    high = np.take_along_axis(ordered, np.minimum(below + 1, last)[None], axis=0)[0]
    some = counts.any(axis=0)
    low, high = np.where(some, low, np.nan), np.where(some, high, np.nan)
    percentile: Array = low + (place - below) * (high - low)
    return percentile


def _series(values: npt.ArrayLike, what: str) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or array.shape[0] == 0:
        raise InputError(
            f"{what} have shape {array.shape}; expected (time, pixel). Stack the map dimensions into one first."
        )
    return array


@numba.njit(cache=True, nogil=True)
def _smooth_all(y: Array, w: Array, smoothness: float) -> Array:
    z = np.empty_like(y)
    for pixel in range(y.shape[1]):
        z[:, pixel] = _smooth(y[:, pixel], w[:, pixel], smoothness)
    return z


@numba.njit(cache=True, nogil=True)
def _smooth(y: Array, w: Array, smoothness: float) -> Array:
    """One pixel: (W + smoothness D'D) z = W y, D the second difference, five bands, by factors L diag(d) L'."""
    n = y.size
    z = np.zeros(n)
    n_valid, single = 0, np.nan
    for i in range(n):
        if w[i] > 0:
            z[i] = w[i] * y[i]
            n_valid, single = n_valid + 1, y[i]
    if n_valid < 2:
        return np.full(n, single)
    d, first, second = np.empty(n), np.zeros(n), np.zeros(n)
    for i in range(n):
        # rows i, i-1, i-2 of D hold 1, -2, 1 in column i; those that exist make up row i of D'D
        starts, centres, ends = i <= n - 3, 1 <= i <= n - 2, i >= 2
        d[i] = w[i] + smoothness * (starts + 4 * centres + ends)
        beside = -2.0 * smoothness * (starts + centres)
        if i > 0:
            d[i] -= first[i - 1] ** 2 * d[i - 1]
            beside -= first[i - 1] * second[i - 1] * d[i - 1]
        if i > 1:
            d[i] -= second[i - 2] ** 2 * d[i - 2]
        first[i] = beside / d[i] if i < n - 1 else 0.0
        second[i] = smoothness / d[i] if starts else 0.0
    for i in range(1, n):
        z[i] -= first[i - 1] * z[i - 1]
        if i > 1:
            z[i] -= second[i - 2] * z[i - 2]
    z /= d
    for i in range(n - 2, -1, -1):
        z[i] -= first[i] * z[i + 1]
        if i < n - 2:
            z[i] -= second[i] * z[i + 2]
    return z
