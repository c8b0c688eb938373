"""Compiled parts of every trend method: median by selection, pairwise slopes, Mann-Kendall, lag-1 autocorrelation.

Arrays are float64 and one-dimensional; a missing value is NaN. Work arrays are handed in, so nothing is allocated in a
loop. Ties are exact equality of float64.
"""

from __future__ import annotations

import math

import numba
import numpy as np

_jit = numba.njit(cache=True, nogil=True, error_model="numpy")
FLAT = 1e-12
"""A series that varies by less than this share of its largest value has no scatter, only rounding."""


@_jit
def nth(a, count, k):  # type: ignore[no-untyped-def]
    """The k-th smallest (from 0) of a[:count]; afterwards a[:k] <= a[k] <= a[k+1:count]. Hoare's FIND."""
    low, high = 0, count - 1
    while high - low > 10:
        middle = (low + high) >> 1
        first, pivot, last = a[low], a[middle], a[high]
        if first > pivot:
            first, pivot = pivot, first
        if pivot > last:
            pivot = max(first, last)
        i, j = low, high
        while i <= j:
            while a[i] < pivot:
                i += 1
            while a[j] > pivot:
                j -= 1
            if i <= j:
                a[i], a[j] = a[j], a[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            return a[k]
    for i in range(low + 1, high + 1):
        value = a[i]
        j = i
        while j > low and a[j - 1] > value:
            a[j] = a[j - 1]
            j -= 1
        a[j] = value
    return a[k]


@_jit
def median(a, count):  # type: ignore[no-untyped-def]
    """Median of a[:count] (mean of the middle two if even), which it reorders; NaN if count is 0."""
    if count == 0:
        return np.nan
    upper = nth(a, count, count >> 1)
    if count & 1:
        return upper
    lower = a[0]
    for i in range(1, count >> 1):
        lower = max(lower, a[i])
    return 0.5 * (lower + upper)


@_jit
def pairwise_slopes(w, tau, count, slopes):  # type: ignore[no-untyped-def]
    """Fill `slopes` with (w_j - w_i)/(tau_j - tau_i), i < j, of the first `count` points; returns how many.

    tau ascends strictly, so every slope of finite values is finite.
    """
    k = 0
    for i in range(count - 1):
        left, at = w[i], tau[i]
        for j in range(count - 1 - i):
            slopes[k + j] = (w[i + 1 + j] - left) / (tau[i + 1 + j] - at)
        k += count - 1 - i
    return k


@_jit
def theil_sen(w, tau, count, slopes):  # type: ignore[no-untyped-def]
    """Median of the pairwise slopes (Theil 1950, Sen 1968)."""
    return median(slopes, pairwise_slopes(w, tau, count, slopes))


@_jit
def mann_kendall(w, count):  # type: ignore[no-untyped-def]
    """(S, variance of S, tau-b, two-sided p) of w[:count] in the order of time (Mann 1945, Kendall 1975).

    varS = [n(n-1)(2n+5) - sum_g t_g(t_g-1)(2 t_g+5)]/18 over groups of t_g tied values; tau-b = S / sqrt(D (D - ties)),
    D = n(n-1)/2; p from the normal distribution with z = (S - sign S)/sqrt(varS). All values equal: S = 0, p = 1, tau
    undefined.
    """
    s, tied_pairs, tied_sum = 0, 0, 0
    for i in range(count):
        here = w[i]
        equal = 0
        for j in range(i + 1, count):
            s += (w[j] > here) - (w[j] < here)
            equal += w[j] == here
        tied_pairs += equal
        if equal > 0:
            # the pairs of a group of t have equal = t-1, t-2, ..., 0; the increments below add up to t(t-1)(2t+5)
            tied_sum += 6 * equal * equal + 12 * equal
    n = float(count)
    var = (n * (n - 1.0) * (2.0 * n + 5.0) - tied_sum) / 18.0
    pairs = 0.5 * n * (n - 1.0)
    if count < 2 or tied_pairs >= pairs:
        return 0.0, var, np.nan, 1.0
    z = 0.0
    if s != 0:
        z = (s - 1.0 if s > 0 else s + 1.0) / math.sqrt(var)
    return float(s), var, s / math.sqrt(pairs * (pairs - tied_pairs)), math.erfc(abs(z) / math.sqrt(2.0))


@_jit
def lag_one(x, length):  # type: ignore[no-untyped-def]
    """Lag-1 autocorrelation of x[:length] with NaN for missing, not corrected for bias; NaN if undefined.

    c0 = mean of (x - m)^2 over values, c1 = sum over neighbours both present, divided by their number + 1; c1/c0.
    Without missing values this is the plain ratio of sums. Undefined: no scatter (see FLAT), or no two neighbours.
    """
    total, there, largest = 0.0, 0, 0.0
    smallest, greatest = np.inf, -np.inf
    for i in range(length):
        value = x[i]
        if value == value:
            total += value
            there += 1
            smallest = min(smallest, value)
            greatest = max(greatest, value)
    if there < 2:
        return np.nan
    largest = max(abs(smallest), abs(greatest))
    if greatest - smallest <= FLAT * largest:
        return np.nan
    mean = total / there
    squares, products, pairs = 0.0, 0.0, 0
    before = np.nan
    for i in range(length):
        here = x[i] - mean
        if here == here:
            squares += here * here
            if before == before:
                products += before * here
                pairs += 1
        before = here
    if pairs == 0 or squares == 0.0:
        return np.nan
    return (products / (pairs + 1)) / (squares / there)


@_jit
def residual_lag_one(y, b, length, x):  # type: ignore[no-untyped-def]
    """Lag-1 autocorrelation of y - b t, t = 1..length; 0 where what the line leaves is rounding. `x` is work space."""
    largest, smallest, greatest = 0.0, np.inf, -np.inf
    for i in range(length):
        value = y[i] - b * (i + 1.0)
        x[i] = value
        if value == value:
            largest = max(largest, abs(y[i]))
            smallest = min(smallest, value)
            greatest = max(greatest, value)
    if greatest - smallest <= FLAT * largest:
        return 0.0
    c = lag_one(x, length)
    return c if c == c else 0.0


@_jit
def limits(slopes, total, var, z):  # type: ignore[no-untyped-def]
    """Confidence limits of a Theil-Sen slope: slopes at 1-based ranks round((N -/+ z sqrt(varS))/2), halves to even.

    NaN both if a rank lies outside 1..N. Reorders `slopes`.
    """
    half = z * math.sqrt(var)
    low = int(np.rint((total - half) / 2.0))
    high = int(np.rint((total + half) / 2.0))
    if low < 1 or high > total:
        return np.nan, np.nan
    return nth(slopes, total, low - 1), nth(slopes, total, high - 1)
