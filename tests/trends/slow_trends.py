"""Trend methods once more, slowly and in plain Python, from the steps of zyp 0.11.

Shares no code with talik; None is a missing value.
"""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from statistics import NormalDist, median

Series = list[float | None]
KEYS = ("slope", "intercept", "low", "high", "tau", "p", "nruns", "autocor", "converged", "valid_frac")
UNDEFINED: dict[str, object] = dict.fromkeys(KEYS)


def lag_one(x: Series) -> float | None:
    there = [v for v in x if v is not None]
    if len(there) < 2 or len(set(there)) == 1:
        return None
    m = math.fsum(there) / len(there)
    pairs = [(a - m) * (b - m) for a, b in pairwise(x) if a is not None and b is not None]
    if not pairs:
        return None
    c0 = math.fsum((v - m) ** 2 for v in there) / len(there)
    return math.fsum(pairs) / (len(pairs) + 1) / c0


def sorted_slopes(w: list[float], tau: list[int]) -> list[float]:
    n = len(w)
    return sorted((w[j] - w[i]) / (tau[j] - tau[i]) for i in range(n) for j in range(i + 1, n))


def sen(w: list[float], tau: list[int]) -> float:
    return median(sorted_slopes(w, tau))


def kendall(w: list[float]) -> tuple[int, float, float | None, float]:
    """S, its variance, tau-b, p."""
    n = len(w)
    s = sum((w[j] > w[i]) - (w[j] < w[i]) for i in range(n) for j in range(i + 1, n))
    groups = [w.count(v) for v in set(w)]
    var = (n * (n - 1) * (2 * n + 5) - sum(g * (g - 1) * (2 * g + 5) for g in groups)) / 18
    d = n * (n - 1) / 2
    untied = d - sum(g * (g - 1) / 2 for g in groups)
    if untied == 0:
        return s, var, None, 1.0
    z = (s - (s > 0) + (s < 0)) / math.sqrt(var)
    return s, var, s / math.sqrt(d * untied), 2 * NormalDist().cdf(-abs(z))


def described(w: list[float], tau: list[int], n: int) -> dict[str, object]:
    """Step 8 and 9, from the series that is tested."""
    slopes = sorted_slopes(w, tau)
    b = median(slopes)
    _, var, tau_b, p = kendall(w)
    half = 1.959963984540054 * math.sqrt(var)
    low, high = round((len(slopes) - half) / 2), round((len(slopes) + half) / 2)
    inside = low >= 1 and high <= len(slopes)
    return {
        "slope": b,
        "intercept": median(v - b * t for v, t in zip(w, tau, strict=True)),
        "low": slopes[low - 1] if inside else None,
        "high": slopes[high - 1] if inside else None,
        "tau": tau_b,
        "p": p,
        "valid_frac": len(w) / n,
    }


def whitened(y: Series, c: float, divide: bool) -> tuple[list[float], list[int]]:
    w, tau = [], []
    for i in range(len(y) - 1):
        now, then = y[i], y[i + 1]
        if now is not None and then is not None:
            w.append((then - c * now) / (1 - c) if divide else then - c * now)
            tau.append(i + 1)
    return w, tau


def too_little(w: list[float], n: int) -> bool:
    return len(w) <= 3 or sum(v != 0 for v in w) < 3 or len(w) / n < 0.1


def zhang(y: Series, preserve: bool = False) -> dict[str, object]:
    n = len(y)
    c = lag_one(y)
    if c is None:
        return dict(UNDEFINED)
    if c < 0.05:
        w = [v for v in y if v is not None]
        tau = [i + 1 for i, v in enumerate(y) if v is not None]
    else:
        w, tau = whitened(y, c, preserve)
    if too_little(w, n):
        return dict(UNDEFINED)
    k, c_prev, converged = 1, c, True
    if c >= 0.05:
        b = b_prev = sen(w, tau)
        converged = False
        while k < 500:
            x: Series = [None if v is None else v - b * (i + 1) for i, v in enumerate(y)]
            c = lag_one(x) or 0.0
            if c < 0.05 and abs(c - c_prev) <= 1e-4:
                converged = True
                break
            w, tau = whitened(y, c, True)
            b = sen(w, tau)
            k += 1
            if b != 0 and abs((b - b_prev) / b) <= 0.001 and abs(c - c_prev) <= 1e-4:
                converged = True
                break
            b_prev, c_prev = b, c
    return {**described(w, tau, n), "nruns": k, "autocor": c_prev, "converged": converged}


def yue_pilon(y: Series, preserve: bool = True) -> dict[str, object]:
    """In rational numbers, so that a tie is a tie."""
    n = len(y)
    if lag_one(y) is None:
        return dict(UNDEFINED)
    exact = [None if v is None else Fraction(v) for v in y]
    there = [(v, i + 1) for i, v in enumerate(exact) if v is not None]
    b = sen([v for v, _ in there], [t for _, t in there])
    x = [None if v is None else v - b * (i + 1) for i, v in enumerate(exact)]
    a = rational_lag_one(x)
    v, tau = whitened(x, a, preserve)
    v = [u + b * t for u, t in zip(v, tau, strict=True)]
    if too_little(v, n):
        return dict(UNDEFINED)
    return {**described(v, tau, n), "nruns": 1, "autocor": a, "converged": True}


def rational_lag_one(x: list[Fraction | None]) -> Fraction:
    there = [v for v in x if v is not None]
    m = sum(there) / len(there)
    pairs = [(a - m) * (b - m) for a, b in pairwise(x) if a is not None and b is not None]
    c0 = sum((v - m) ** 2 for v in there) / len(there)
    return sum(pairs) / (len(pairs) + 1) / c0 if c0 else Fraction(0)
