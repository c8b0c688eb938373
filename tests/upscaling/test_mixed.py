"""The mixed model against nlme's published output, statsmodels, closed forms and the dense likelihood."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from talik.errors import InputError
from talik.upscaling.mixed import MixedFit, fit_mixed

# Potthoff & Roy (1964): jaw distance (mm) of 16 boys and 11 girls at ages 8, 10, 12 and 14 (Orthodont of nlme)
DISTANCE = """
26 25 29 31  21.5 22.5 23 26.5  23 22.5 24 27.5  25.5 27.5 26.5 27  20 23.5 22.5 26  24.5 25.5 27 28.5
22 22 24.5 26.5  24 21.5 24.5 25.5  23 20.5 31 26  27.5 28 31 31.5  23 23 23.5 25  21.5 23.5 24 28
17 24.5 26 29.5  22.5 25.5 25.5 26  23 24.5 26 30  22 21.5 23.5 25
21 20 21.5 23  21 21.5 24 25.5  20.5 24 24.5 26  23.5 24.5 25 26.5  21.5 23 22.5 23.5  20 21 21 22.5
21.5 22.5 23 25  23 23 23.5 24  20 21 22 21.5  16.5 19 19 19.5  24.5 25 28 28
"""


def orthodont() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    y = np.array(DISTANCE.split(), dtype=float)
    return y, np.tile([8.0, 10.0, 12.0, 14.0], 27), np.repeat(np.arange(27), 4)


def simulate(seed: int, sizes: list[int], psi: list[list[float]], sigma: float, beta=(5.0, -0.7)):
    rng = np.random.default_rng(seed)
    group = np.repeat([f"s{i:02d}" for i in range(len(sizes))], sizes)
    x = rng.integers(0, 19, group.size).astype(float)
    u = rng.multivariate_normal([0.0, 0.0], psi, len(sizes))[np.repeat(np.arange(len(sizes)), sizes)]
    y = beta[0] + u[:, 0] + (beta[1] + u[:, 1]) * x + sigma * rng.standard_normal(x.size)
    return y, x, group


def dense(y, x, group, psi, sigma2, *, reml):
    """Log-likelihood, GLS coefficients, covariance and predicted effects from the full n x n covariance matrix."""
    labels = np.unique(group)
    z = np.column_stack([np.ones_like(x), x])
    v = sigma2 * np.eye(y.size)
    for label in labels:
        at = np.flatnonzero(group == label)
        v[np.ix_(at, at)] += z[at] @ psi @ z[at].T
    vi = np.linalg.inv(v)
    cov = np.linalg.inv(z.T @ vi @ z)
    beta = cov @ z.T @ vi @ y
    e = y - z @ beta
    n = y.size - (2 if reml else 0)
    loglik = -0.5 * (n * np.log(2 * np.pi) + np.linalg.slogdet(v)[1] + e @ vi @ e)
    if reml:
        loglik += 0.5 * np.linalg.slogdet(cov)[1]
    effects = np.array([psi @ (z * (group == label)[:, None]).T @ vi @ e for label in labels])
    return loglik, beta, cov, effects


def test_orthodont_as_published_for_nlme() -> None:
    """summary(lme(distance ~ age, Orthodont, random = ~ age | Subject)) and, for ML, with method = "ML"."""
    reml = fit_mixed(*orthodont())
    np.testing.assert_allclose(reml.beta, [16.761111, 0.660185], atol=5e-7)
    np.testing.assert_allclose(np.sqrt(np.diag(reml.cov_beta)), [0.7752460, 0.0712533], atol=5e-7)
    np.testing.assert_allclose(np.sqrt(np.diag(reml.psi)), [2.3270341, 0.2264278], atol=5e-6)
    assert reml.psi[0, 1] / np.sqrt(reml.psi[0, 0] * reml.psi[1, 1]) == pytest.approx(-0.609, abs=5e-4)
    assert np.sqrt(reml.sigma2) == pytest.approx(1.3100397, abs=1e-6)
    assert reml.loglik == pytest.approx(-221.3183, abs=5e-5)
    np.testing.assert_array_equal(reml.df, [80, 80])
    np.testing.assert_allclose(stats.t.isf(reml.p / 2, 80), [21.620377, 9.265333], rtol=1e-5)
    assert reml.converged
    assert not reml.singular

    ml = fit_mixed(*orthodont(), method="ML")
    np.testing.assert_allclose(np.sqrt(np.diag(ml.psi)), [2.1941, 0.2149], atol=5e-5)
    assert ml.loglik == pytest.approx(-219.6, abs=0.05)
    printed = np.sqrt(np.diag(ml.cov_beta) * 108 / 106)  # nlme's summary rescales sigma2 for ML
    np.testing.assert_allclose(printed, [0.7679, 0.0706], atol=5e-5)


def test_orthodont_random_intercept_as_published_and_by_analysis_of_variance() -> None:
    y, x, group = orthodont()
    fit = fit_mixed(y, x, group, slope=False)
    np.testing.assert_allclose(np.sqrt(np.diag(fit.cov_beta)), [0.8023952, 0.0616059], atol=5e-7)
    assert np.sqrt(fit.psi[0, 0]) == pytest.approx(2.114724, abs=1e-6)
    assert np.sqrt(fit.sigma2) == pytest.approx(1.431592, abs=1e-6)
    assert fit.loglik == pytest.approx(-223.5013, abs=5e-5)
    # balanced data: REML is the table of mean squares
    table, age = y.reshape(27, 4), np.array([8.0, 10.0, 12.0, 14.0]) - 11
    slope = (table @ age).sum() / (27 * age @ age)
    within = table - table.mean(axis=1, keepdims=True) - slope * age
    ms_within = (within**2).sum() / (108 - 27 - 1)
    ms_between = 4 * table.mean(axis=1).var(ddof=1)
    assert fit.sigma2 == pytest.approx(ms_within, rel=1e-7)
    assert fit.psi[0, 0] == pytest.approx((ms_between - ms_within) / 4, rel=1e-7)
    assert not fit.singular
    np.testing.assert_array_equal(fit.psi[1], 0.0)


SHAPES = {
    "balanced": ([8] * 15, [[9.0, -0.3], [-0.3, 0.09]], 2.0),
    "one-row groups": ([1, 1, 1, 2, 3, 5, 9, 14, 20, 7, 6, 4, 11, 8, 1, 12], [[16.0, 0.4], [0.4, 0.16]], 3.0),
    "weak groups": ([10] * 30, [[0.6, 0.0], [0.0, 0.02]], 3.0),
    "large groups": ([60, 90, 120, 40, 75, 100], [[100.0, -5.0], [-5.0, 1.0]], 10.0),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_agrees_with_statsmodels(shape: str) -> None:
    """Standard errors are compared at statsmodels' Psi: its own `bse_fe` inverts the Hessian of all parameters."""
    sizes, psi, sigma = SHAPES[shape]
    y, x, group = simulate(11, sizes, psi, sigma)
    x = x - round(x.mean())  # statsmodels fails to converge with a strong correlation of level and slope
    fit = fit_mixed(y, x, group)
    assert fit.converged
    assert not fit.singular
    frame = pd.DataFrame({"y": y, "x": x, "group": group})
    model = smf.mixedlm("y ~ x", frame, groups="group", re_formula="~x")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of its searches fail, and say so
        oracle = max(
            (model.fit(reml=True, method=[m], gtol=1e-9) for m in ("lbfgs", "bfgs", "cg")),
            key=lambda f: f.llf,
        )
        effects = np.array([oracle.random_effects[label] for label in fit.groups])
    _, beta, cov, _ = dense(y, x, group, np.asarray(oracle.cov_re), oracle.scale, reml=True)
    np.testing.assert_allclose(fit.beta, oracle.fe_params, rtol=1e-4)
    np.testing.assert_allclose(fit.beta, beta, rtol=1e-4)
    np.testing.assert_allclose(np.sqrt(np.diag(fit.cov_beta)), np.sqrt(np.diag(cov)), rtol=1e-4)
    np.testing.assert_allclose(fit.psi, oracle.cov_re, rtol=1e-4, atol=1e-4 * psi[1][1])
    assert fit.sigma2 == pytest.approx(oracle.scale, rel=1e-4)
    assert fit.loglik == pytest.approx(oracle.llf, abs=1e-5)
    np.testing.assert_allclose(fit.random_effects, effects, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_likelihood_and_effects_agree_with_the_dense_matrix(method) -> None:
    y, x, group = simulate(4, [1, 4, 6, 9, 2, 7, 5, 8], [[4.0, 0.1], [0.1, 0.3]], 1.0)
    fit = fit_mixed(y, x, group, method=method)
    assert not fit.singular
    loglik, beta, cov, effects = dense(y, x, group, fit.psi, fit.sigma2, reml=method == "REML")
    assert fit.loglik == pytest.approx(loglik, abs=1e-9)
    np.testing.assert_allclose(fit.beta, beta, rtol=1e-10)
    np.testing.assert_allclose(fit.cov_beta, cov, rtol=1e-9)
    np.testing.assert_allclose(fit.random_effects, effects, rtol=1e-8, atol=1e-10)
    # no neighbour is more likely
    for change in ([[1, 0], [0, 0]], [[0, 1], [1, 0]], [[0, 0], [0, 1]]):
        for step in (-0.02, 0.02):
            nearby = fit.psi * (1 + step * np.array(change))
            assert dense(y, x, group, nearby, fit.sigma2, reml=method == "REML")[0] < loglik
        for factor in (0.98, 1.02):
            assert dense(y, x, group, fit.psi, factor * fit.sigma2, reml=method == "REML")[0] < loglik


def equal_fits(a: MixedFit, b: MixedFit, shift: float, scale: float) -> None:
    """b is the fit of x' = (x - shift) / scale: same likelihood, transformed coefficients."""
    np.testing.assert_allclose(
        b.beta, [a.beta[0] + shift * a.beta[1], scale * a.beta[1]], rtol=1e-6, atol=1e-6
    )
    assert b.loglik - np.log(scale) == pytest.approx(a.loglik, abs=1e-6)
    np.testing.assert_allclose(b.p[1], a.p[1], rtol=1e-6)
    assert b.sigma2 == pytest.approx(a.sigma2, rel=1e-6)


@settings(max_examples=15, deadline=None)
@given(shift=st.floats(-50, 50), scale=st.floats(0.02, 50), seed=st.integers(0, 5))
def test_units_and_row_order_do_not_matter(shift: float, scale: float, seed: int) -> None:
    y, x, group = simulate(seed, [6, 8, 3, 5, 9, 1, 7, 6], [[4.0, 0.0], [0.0, 0.2]], 1.0)
    order = np.random.default_rng(seed).permutation(y.size)
    first = fit_mixed(y, x, group)
    equal_fits(first, fit_mixed(y[order], ((x - shift) / scale)[order], group[order]), shift, scale)


def test_singular_covariance_drops_the_random_slope() -> None:
    y, x, group = simulate(2, [10] * 12, [[4.0, 0.0], [0.0, 0.0]], 2.0)
    slope = np.concatenate(
        [np.full(10, np.polyfit(x[group == g], y[group == g], 1)[0]) for g in np.unique(group)]
    )
    y = y - (slope - slope.mean()) * (x - x.mean())  # slopes more alike than chance allows
    fit = fit_mixed(y, x, group)
    assert fit.singular
    assert fit.converged
    np.testing.assert_array_equal(fit.psi[1], 0.0)
    np.testing.assert_array_equal(fit.random_effects[:, 1], 0.0)
    plain = fit_mixed(y, x, group, slope=False)
    assert fit.loglik == plain.loglik
    assert not plain.singular
    assert plain.loglik_lost == 0


def test_dropping_a_slope_that_matters_is_told() -> None:
    """With few groups a perfect correlation is likely even if slopes differ; a search over the dense matrix agrees."""
    y, x, group = simulate(3, [1, 4, 6, 9, 2, 7, 5, 8], [[4.0, 0.1], [0.1, 0.3]], 1.0)
    fit = fit_mixed(y, x, group)

    def loss(q) -> float:
        root = np.array([[q[0], 0.0], [q[1], q[2]]])
        return -dense(y, x, group, root @ root.T, np.exp(q[3]), reml=True)[0]

    options = {"maxiter": 3000, "xatol": 1e-7, "fatol": 1e-9}
    free = optimize.minimize(loss, [2.0, 0.0, 0.5, 0.0], method="Nelder-Mead", options=options)
    assert abs(free.x[0] * free.x[2]) < 1e-4
    assert fit.singular
    assert fit.loglik_lost == pytest.approx(-free.fun - fit.loglik, abs=1e-4)
    assert fit.loglik_lost > 2


def test_lines_without_noise_are_reported_as_not_converged() -> None:
    group, x = np.repeat([0, 1, 2, 3], 5), np.tile(np.arange(5.0), 4)
    y = np.array([1.0, -2.0, 0.5, 4.0])[group] + np.array([0.3, -0.4, 0.1, 1.0])[group] * x
    assert not fit_mixed(y, x, group).converged


def test_no_variance_between_groups_is_ordinary_least_squares() -> None:
    rng = np.random.default_rng(0)
    x, group = np.tile(np.arange(6.0), 10), np.repeat(np.arange(10), 6)
    noise = rng.standard_normal((10, 6))
    y = 3 - 0.5 * x + (noise - noise.mean(axis=1, keepdims=True)).ravel()
    fit = fit_mixed(y, x, group, slope=False)
    ols = stats.linregress(x, y)
    np.testing.assert_allclose(fit.beta, [ols.intercept, ols.slope], rtol=1e-9)
    np.testing.assert_allclose(np.sqrt(np.diag(fit.cov_beta)), [ols.intercept_stderr, ols.stderr], rtol=1e-9)
    np.testing.assert_array_equal(fit.psi, 0.0)


def test_degrees_of_freedom_follow_the_stratum_of_the_covariate() -> None:
    """lme(distance ~ age + Sex): 80 df for age and 25 for Sex, which is constant within each of 27 subjects."""
    y, _, group = orthodont()
    girl = (group >= 16).astype(float)
    np.testing.assert_array_equal(fit_mixed(y, girl, group, slope=False).df, [81, 25])


def test_too_few_rows_for_a_probability_give_nan() -> None:
    rng = np.random.default_rng(1)
    group = np.array([0, 0, 1, 2, 3])
    fit = fit_mixed(rng.standard_normal(5), np.arange(5.0), group)
    np.testing.assert_array_equal(fit.df, [3, 0])
    assert np.isfinite(fit.p[0])
    assert np.isnan(fit.p[1])
    assert fit.singular


@pytest.mark.parametrize(
    ("y", "x", "group", "message"),
    [
        ([1, 2, 3, 4], [1, 2, 3], [0, 0, 1, 1], "one length"),
        ([1, np.nan, 3, 4], [1, 2, 3, 4], [0, 0, 1, 1], "missing values"),
        ([1, 3, 2, 4], [1, 2, 3, 4], [0, 1, 2, 3], "tell groups from noise"),
        ([1, 3, 2, 4], [1, 2, 3, 4], [0, 0, 0, 0], "2 groups"),
        ([1, 3, 2, 4], [5, 5, 5, 5], [0, 0, 1, 1], "x is 5 in every row"),
        ([1, 2, 3, 4], [1, 2, 3, 4], [0, 0, 1, 1], "exact line"),
    ],
)
def test_refuses_what_it_cannot_fit(y, x, group, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit_mixed(y, x, group)
