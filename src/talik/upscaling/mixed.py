"""Linear mixed model with a random intercept and slope by group, fitted by (restricted) maximum likelihood.

Everything comes from a few sums per group, so the cost of an evaluation does not depend on the number of rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import optimize, stats

from talik.errors import InputError

Array = npt.NDArray[np.float64]
Method = Literal["REML", "ML"]

STARTS = ((0.0, 0.0, 0.0), (-2.0, 0.0, -2.0), (2.0, 0.0, 0.0), (0.0, 0.0, -3.0))
"""Log-Cholesky start values of Psi / sigma2 for x scaled to unit variance."""
LOG_LIMIT = 10.0
"""Bound on the logarithm of a Cholesky diagonal. A fit that ends there has not converged: groups would differ by
more than 20 000 times the noise, beyond what sums of squares in double precision can tell."""
GRADIENT = 1e-4
"""Largest derivative of the deviance, per unit of a log-Cholesky parameter, that counts as converged."""
SINGULAR = 1e-6
"""Psi is singular if setting its smallest eigenvalue to zero raises the deviance by less than this."""


@dataclass(frozen=True, slots=True)
class MixedFit:
    """A fitted mixed model; pairs are in the order intercept, slope.

    beta: (2,) fixed effects.  cov_beta: (2, 2) their covariance, (sum X' V^-1 X)^-1.  psi: (2, 2) covariance of the
    random effects, with a zero slope row and column where the random slope was dropped.  sigma2: residual variance.
    df, p: (2,) containment degrees of freedom and two-sided t probabilities (NaN where df < 1).  loglik: as
    nlme reports it.  singular: Psi had a zero eigenvalue, or no group has the three rows that tell a slope from
    noise; the random slope was dropped.  loglik_lost: the log-likelihood this gave up, 0 if nothing was dropped or
    compared; above about 2, slopes do differ between groups (with a perfect correlation) and the standard error of
    the slope is too small.  groups: (group,) sorted labels.  random_effects: (group, 2) best linear unbiased
    predictions.
    """

    beta: Array
    cov_beta: Array
    psi: Array
    sigma2: float
    df: Array
    p: Array
    loglik: float
    converged: bool
    singular: bool
    loglik_lost: float
    groups: npt.NDArray[Any]
    random_effects: Array
    rows: int


@dataclass(frozen=True, slots=True)
class _Sums:
    """Sums per group for Z = X = (1, x): s = Z'Z (group, 2, 2), r = Z'y (group, 2), and y'y over all rows."""

    s: Array
    adj_s: Array
    det_s: Array
    r: Array
    yy: float
    rows: int
    lost: int
    """Degrees of freedom taken by the fixed effects in the likelihood: 2 for REML, 0 for ML."""


@dataclass(frozen=True, slots=True)
class _Profile:
    """The deviance at one relative covariance D = Psi / sigma2, with beta and sigma2 at their best values."""

    deviance: float
    gradient: Array
    beta: Array
    cov: Array
    sigma2: float
    score: Array


def fit_mixed(
    y: npt.ArrayLike, x: npt.ArrayLike, group: npt.ArrayLike, *, method: Method = "REML", slope: bool = True
) -> MixedFit:
    """The fit of y = b0 + b1 x + u0_s + u1_s x + e with (u0, u1) ~ N(0, Psi) per group s and e ~ N(0, sigma2).

    y, x, group: (row,); groups may have one row. Psi is unstructured; ``slope=False`` leaves u1 out. beta and sigma2
    are profiled out, Psi / sigma2 = L L' is optimised over (log L11, L21, log L22) with the exact gradient from
    several starts.

    Degrees of freedom follow ``lme`` of nlme: with x varying inside at least one group, rows - groups - 1 for the
    slope and max(groups - 1, rows - groups - 1) for the intercept; with x constant inside every group, groups - 2
    for the slope and max(groups - 2, rows - groups) for the intercept. For ML, ``summary`` of nlme prints
    standard errors with sigma2 x rows / (rows - 2); `cov_beta` and `p` here use sigma2 as it is.
    InputError: not finite, unequal lengths, fewer than two groups or four rows, no group with two rows, constant x, y
    that is an exact line.
    Source: Pinheiro & Bates (2000), sections 2.2 to 2.4; Laird & Ware (1982).
    """
    yv, xv, labels, codes = _checked(y, x, group)
    centre, scale, level = float(xv.mean()), float(xv.std()), float(yv.mean())
    sums = _sums(yv - level, (xv - centre) / scale, codes, labels.size, 2 if method == "REML" else 0)
    enough = bool(np.bincount(codes).max() > 2)
    singular, compared = slope and not enough, None
    if slope and enough:
        factor, converged = _maximise(sums, slope=True)
        singular = _is_singular(sums, factor, rank=1)
        compared = _profile(sums, factor).deviance
    if singular or not slope:
        factor, converged = _maximise(sums, slope=False)
        if _is_singular(sums, factor, rank=0):
            factor, converged = np.zeros((2, 2)), True
    best = _profile(sums, factor)
    back = np.array([[1.0, -centre / scale], [0.0, 1.0 / scale]])
    relative = factor @ factor.T
    beta = back @ best.beta + np.array([level, 0.0])
    cov = back @ best.cov @ back.T
    df = _containment_df(xv, codes, labels.size)
    n = sums.rows - sums.lost
    return MixedFit(
        beta=beta,
        cov_beta=cov,
        psi=best.sigma2 * (back @ relative @ back.T),
        sigma2=best.sigma2,
        df=df,
        p=_two_sided(beta / np.sqrt(np.diag(cov)), df),
        loglik=-0.5 * (best.deviance + n * (1 + math.log(2 * math.pi / n)))
        - (math.log(scale) if sums.lost else 0.0),
        converged=converged,
        singular=singular,
        loglik_lost=0.5 * (best.deviance - compared) if singular and compared is not None else 0.0,
        groups=labels,
        random_effects=best.score @ (back @ relative).T,
        rows=sums.rows,
    )


def _checked(
    y: npt.ArrayLike, x: npt.ArrayLike, group: npt.ArrayLike
) -> tuple[Array, Array, npt.NDArray[Any], npt.NDArray[np.int64]]:
    """y and x as floats, the sorted group labels, and the group number of every row."""
    yv, xv = np.asarray(y, dtype=float), np.asarray(x, dtype=float)
    codes, labels = pd.factorize(np.asarray(group), sort=True)
    if not (yv.ndim == 1 and yv.shape == xv.shape == codes.shape):
        raise InputError(
            f"mixed model: y, x and group must be vectors of one length; found {yv.shape}, {xv.shape}, {codes.shape}."
        )
    if not (np.isfinite(yv).all() and np.isfinite(xv).all() and (codes >= 0).all()):
        raise InputError("mixed model: y, x or group has missing values. Drop these rows first.")
    if yv.size < 4 or labels.size < 2 or np.bincount(codes).max() < 2:
        raise InputError(
            f"mixed model: {yv.size} rows in {labels.size} groups; at least 4 rows, 2 groups and one group with 2 "
            "rows are needed to tell groups from noise."
        )
    if not np.ptp(xv) > 0:
        raise InputError(f"mixed model: x is {xv[0]:g} in every row; a slope needs two values.")
    residual = yv - np.polynomial.Polynomial.fit(xv, yv, 1)(xv)
    if not float(np.abs(residual).max()) > 1e-12 * float(np.abs(yv).max()):
        raise InputError("mixed model: y is an exact line in x, so there is no variance to share out.")
    return yv, xv, np.asarray(labels), codes.astype(np.int64)


def _sums(y: Array, x: Array, codes: npt.NDArray[np.int64], groups: int, lost: int) -> _Sums:
    n = np.bincount(codes, minlength=groups).astype(float)
    sx, sxx, sy, sxy = (np.bincount(codes, weights=w, minlength=groups) for w in (x, x * x, y, x * y))
    within = np.bincount(codes, weights=(x - (sx / n)[codes]) ** 2, minlength=groups)
    s = np.stack([np.stack([n, sx], axis=-1), np.stack([sx, sxx], axis=-1)], axis=-2)
    return _Sums(s, _adjugate(s), n * within, np.stack([sy, sxy], axis=-1), float(y @ y), y.size, lost)


def _profile(sums: _Sums, factor: Array) -> _Profile:
    """The deviance -2 l (without constants) at D = factor factor', and its derivative by D, (2, 2) symmetric.

    With S = Z'Z: |V| = |1 + S D| = 1 + tr(S D) + |S| |D| per group, W = Z' V^-1 Z = (S + |S| adj D) / |V| and
    K = D (1 + S D)^-1 = (D + |D| adj S) / |V|, forms without cancellation for any D. With A = sum W:
    beta = A^-1 sum Z' V^-1 y, and d deviance / dD = A - sum W A^-1 W (REML only) - score' score / sigma2,
    where score = Z' V^-1 (y - X beta).
    """
    d = factor @ factor.T
    det_d = float(factor[0, 0] * factor[1, 1] - factor[0, 1] * factor[1, 0]) ** 2
    det_v = 1 + np.einsum("gij,ij->g", sums.s, d) + sums.det_s * det_d
    w = (sums.s + sums.det_s[:, None, None] * _adjugate(d)) / det_v[:, None, None]
    k = (d + det_d * sums.adj_s) / det_v[:, None, None]
    t = sums.r - np.einsum("gij,gjk,gk->gi", sums.s, k, sums.r)
    information = w.sum(axis=0)
    det_information = float(information[0, 0] * information[1, 1] - information[0, 1] ** 2)
    cov = _adjugate(information) / det_information
    beta = cov @ t.sum(axis=0)
    score = t - w @ beta
    z_residual = sums.r - sums.s @ beta
    squares = sums.yy - beta @ (sums.r + z_residual).sum(axis=0)
    n = sums.rows - sums.lost
    rss = float(squares - np.einsum("gi,gij,gj->", z_residual, k, z_residual))
    sigma2 = max(rss, 1e-14 * sums.yy) / n
    deviance = n * math.log(n * sigma2) + float(np.log(det_v).sum())
    gradient = information - score.T @ score / sigma2
    if sums.lost:
        deviance += math.log(det_information)
        gradient = gradient - np.einsum("gij,jk,gkl->il", w, cov, w)
    return _Profile(deviance, gradient, beta, sigma2 * cov, sigma2, score)


def _adjugate(m: Array) -> Array:
    """The adjugate of symmetric 2 x 2 matrices (..., 2, 2): inverse times determinant."""
    out = -m
    out[..., 0, 0], out[..., 1, 1] = m[..., 1, 1], m[..., 0, 0]
    return out


def _maximise(sums: _Sums, *, slope: bool) -> tuple[Array, bool]:
    """The Cholesky factor of Psi / sigma2 with the highest likelihood, (2, 2), and whether the search converged."""

    def objective(theta: npt.NDArray[Any]) -> tuple[float, Array]:
        factor = _factor(theta)
        at = _profile(sums, factor)
        by_factor = 2 * at.gradient @ factor
        full = np.array([by_factor[0, 0] * factor[0, 0], by_factor[1, 0], by_factor[1, 1] * factor[1, 1]])
        return at.deviance, full[: theta.size]

    size = 3 if slope else 1
    limit = np.array([LOG_LIMIT, np.inf, LOG_LIMIT])[:size]
    bounds = optimize.Bounds(-limit, limit)
    results = [
        optimize.minimize(
            objective,
            np.array(start[:size]),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"ftol": 1e-14, "gtol": 1e-7, "maxiter": 500},
        )
        for start in STARTS
    ]
    best = min(results, key=lambda found: float(found.fun))
    flat = bool(np.abs(objective(best.x)[1]).max() < GRADIENT)
    return _factor(best.x), flat and not bool(np.any(best.x[::2] >= LOG_LIMIT))


def _factor(theta: Array) -> Array:
    """The Cholesky factor from (log L11, L21, log L22), or from (log L11,) with a zero slope row."""
    if theta.size == 1:
        return np.array([[math.exp(theta[0]), 0.0], [0.0, 0.0]])
    return np.array([[math.exp(theta[0]), 0.0], [theta[1], math.exp(theta[2])]])


def _is_singular(sums: _Sums, factor: Array, rank: int) -> bool:
    """Whether the likelihood loses nothing when all but the `rank` largest eigenvalues of factor factor' are zero."""
    left, values, _ = np.linalg.svd(factor)
    values[rank:] = 0.0
    return _profile(sums, left * values).deviance < _profile(sums, factor).deviance + SINGULAR


def _containment_df(x: Array, codes: npt.NDArray[np.int64], groups: int) -> Array:
    """Degrees of freedom of intercept and slope, by the rule of nlme's lme (docstring of `fit_mixed`)."""
    low, high = np.full(groups, np.inf), np.full(groups, -np.inf)
    np.minimum.at(low, codes, x)
    np.maximum.at(high, codes, x)
    rows = x.size
    if np.any(high > low):
        return np.array([max(groups - 1, rows - groups - 1), rows - groups - 1], dtype=float)
    return np.array([max(groups - 2, rows - groups), groups - 2], dtype=float)


def _two_sided(t: Array, df: Array) -> Array:
    usable = df >= 1
    return np.where(usable, 2 * stats.t.sf(np.abs(t), np.where(usable, df, 1.0)), np.nan)
