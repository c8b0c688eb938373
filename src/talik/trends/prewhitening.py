"""Trends of one series each, compiled: plain Theil-Sen, Zhang, Yue-Pilon and conservative prewhitening.

y holds n values at times 1..n, NaN for missing. A method fills `out`, one float64 a column of `COLUMNS`; all but
n_valid stay NaN if the trend is undefined. Sources: Zhang et al. (2000), Wang and Swail (2001), Yue et al. (2002), in
the arithmetic order of zyp 0.11.
"""

from __future__ import annotations

import numba
import numpy as np

from talik.trends.kernels import (
    lag_one,
    limits,
    mann_kendall,
    median,
    pairwise_slopes,
    residual_lag_one,
    theil_sen,
)

COLUMNS = (
    "slope",
    "intercept",
    "low",
    "high",
    "tau",
    "p",
    "nruns",
    "autocor",
    "converged",
    "valid_frac",
    "s",
    "var_s",
    "n_valid",
)
NONE, ZHANG, YUE_PILON, CONSERVATIVE = 0, 1, 2, 3
MAX_RUNS = 500
CONSERVATIVE_MOST = 0.9
SLOPE_CHANGE, AUTOCOR_CHANGE, AUTOCOR_LEAST = 0.001, 1e-4, 0.05

_jit = numba.njit(cache=True, nogil=True, error_model="numpy")


@_jit
def _present(y, n, w, tau):  # type: ignore[no-untyped-def]
    """The values of y that are there, with their times; returns how many."""
    m = 0
    for i in range(n):
        if y[i] == y[i]:
            w[m] = y[i]
            tau[m] = i + 1.0
            m += 1
    return m


@_jit
def _whitened(y, n, c, divisor, w, tau):  # type: ignore[no-untyped-def]
    """w = (y_{i+1} - c y_i)/divisor at times i = 1..n-1 where both are there; returns how many."""
    m = 0
    for i in range(n - 1):
        value = (y[i + 1] - c * y[i]) / divisor
        if np.isfinite(value):
            w[m] = value
            tau[m] = i + 1.0
            m += 1
    return m


@_jit
def _too_little(w, m, n):  # type: ignore[no-untyped-def]
    """At most 3 values, fewer than 3 that are not zero, or less than a tenth of the series."""
    nonzero = 0
    for i in range(m):
        nonzero += w[i] != 0.0
    return m <= 3 or nonzero < 3 or m < 0.1 * n


@_jit
def _describe(w, tau, m, n, z, b, total, slopes, x, out):  # type: ignore[no-untyped-def]
    """Intercept, limits and Mann-Kendall of the tested series w, whose `total` slopes have the median b."""
    s, var, tau_b, p = mann_kendall(w, m)
    low, high = limits(slopes, total, var, z)
    for i in range(m):
        x[i] = w[i] - b * tau[i]
    out[0], out[1], out[2], out[3], out[4], out[5] = b, median(x, m), low, high, tau_b, p
    out[9], out[10], out[11] = m / n, s, var


@_jit
def _none(y, n, z, w, tau, slopes, x, out):  # type: ignore[no-untyped-def]
    m = _present(y, n, w, tau)
    if m <= 3:
        return
    total = pairwise_slopes(w, tau, m, slopes)
    b = median(slopes, total)
    out[7] = residual_lag_one(y, b, n, x)
    out[6], out[8] = 1.0, 1.0
    _describe(w, tau, m, n, z, b, total, slopes, x, out)


@_jit
def _zhang(y, n, preserve, z, w, tau, slopes, x, out):  # type: ignore[no-untyped-def]
    """Zhang's iteration as in zyp 0.11.

    The loop is a map of (b, c_prev) onto itself, so a state that comes back bit for bit has gone round a cycle that
    will never stop; whole rounds of it are skipped (Brent 1980), which changes no result.
    """
    c = lag_one(y, n)
    if np.isnan(c):
        return
    m = (
        _present(y, n, w, tau)
        if c < AUTOCOR_LEAST
        else _whitened(y, n, c, 1.0 - c if preserve else 1.0, w, tau)
    )
    if _too_little(w, m, n):
        return
    total = pairwise_slopes(w, tau, m, slopes)
    b = median(slopes, total)
    k, c_prev, converged = 1, c, 1.0
    if c >= AUTOCOR_LEAST:
        converged = 0.0
        b_prev, b_seen, c_seen, k_seen = b, np.nan, np.nan, 2
        while k < MAX_RUNS:
            c = residual_lag_one(y, b, n, x)
            if c < AUTOCOR_LEAST and abs(c - c_prev) <= AUTOCOR_CHANGE:
                converged = 1.0
                break
            m = _whitened(y, n, c, 1.0 - c, w, tau)
            total = pairwise_slopes(w, tau, m, slopes)
            b = median(slopes, total)
            k += 1
            if b != 0.0 and abs((b - b_prev) / b) <= SLOPE_CHANGE and abs(c - c_prev) <= AUTOCOR_CHANGE:
                converged = 1.0
                break
            b_prev, c_prev = b, c
            if b == b_seen and c == c_seen:
                k += (MAX_RUNS - k) // (k - k_seen) * (k - k_seen)
                b_seen = np.nan
            elif k >= 2 * k_seen:
                b_seen, c_seen, k_seen = b, c, k
    out[6], out[7], out[8] = k, c_prev, converged
    _describe(w, tau, m, n, z, b, total, slopes, x, out)


@_jit
def _yue_pilon(y, n, preserve, z, w, tau, slopes, x, out):  # type: ignore[no-untyped-def]
    if np.isnan(lag_one(y, n)):
        return
    m = _present(y, n, w, tau)
    b = theil_sen(w, tau, m, slopes)
    a = residual_lag_one(y, b, n, x)
    # v_i + b i with x = y - b t put in: for d = 1 - a the line drops out but for a constant, so that values tied in
    # exact arithmetic stay tied
    d = 1.0 - a if preserve else 1.0
    m = _whitened(y, n, a, d, w, tau)
    for i in range(m):
        w[i] = w[i] - b / d if preserve else w[i] + (b * (a * tau[i]) - b)
    if _too_little(w, m, n):
        return
    total = pairwise_slopes(w, tau, m, slopes)
    out[6], out[7], out[8] = 1.0, a, 1.0
    _describe(w, tau, m, n, z, median(slopes, total), total, slopes, x, out)


@_jit
def _conservative(y, n, z, w, tau, slopes, x, out):  # type: ignore[no-untyped-def]
    """Theil-Sen of y; only if its residuals' r1 is positive, once more on y prewhitened with r1 corrected for bias.

    c = min((m r1 + 2)/(m - 4), 0.9) for m values (r1 of a detrended series is too low by about (2 + 4 rho)/m).
    """
    m = _present(y, n, w, tau)
    if m <= 3:
        return
    total = pairwise_slopes(w, tau, m, slopes)
    b = median(slopes, total)
    c = residual_lag_one(y, b, n, x)
    if c > 0.0:
        c = min((m * c + 2.0) / (m - 4.0), CONSERVATIVE_MOST)
        m = _whitened(y, n, c, 1.0 - c, w, tau)
        if m <= 3:
            return
        total = pairwise_slopes(w, tau, m, slopes)
        b = median(slopes, total)
    out[6], out[7], out[8] = 1.0, c, 1.0
    _describe(w, tau, m, n, z, b, total, slopes, x, out)


@_jit
def run(y, offset, method, preserve, z, out):  # type: ignore[no-untyped-def]
    """Series k is y[offset[k]:offset[k+1]]; row k of `out` (series, len(COLUMNS)) is filled, NaN where undefined."""
    longest = 0
    for k in range(len(offset) - 1):
        longest = max(longest, offset[k + 1] - offset[k])
    w, tau, x = np.empty(longest), np.empty(longest), np.empty(longest)
    slopes = np.empty(longest * (longest - 1) // 2)
    for k in range(len(offset) - 1):
        n = offset[k + 1] - offset[k]
        here, row = y[offset[k] : offset[k + 1]], out[k]
        row[:] = np.nan
        there = 0
        for i in range(n):
            there += here[i] == here[i]
        row[12] = there
        if method == NONE:
            _none(here, n, z, w, tau, slopes, x, row)
        elif method == ZHANG:
            _zhang(here, n, preserve, z, w, tau, slopes, x, row)
        elif method == YUE_PILON:
            _yue_pilon(here, n, preserve, z, w, tau, slopes, x, row)
        else:
            _conservative(here, n, z, w, tau, slopes, x, row)
