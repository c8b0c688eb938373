"""Likelihood and prior against the test vector, scipy, and slow versions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import linalg, stats
from tests.fusion import made_up, vector

from talik.fusion.dalec import simulate
from talik.fusion.likelihood import equivalents, log_likelihoods
from talik.fusion.observation_errors import NbeError, StreamError
from talik.fusion.observations import Observations, nbe_stream, stream
from talik.fusion.parameters import N_PARAMETERS, P, bounds_of
from talik.fusion.prior import draw_prior, inside, log_priors
from talik.fusion.switches import Switches
from talik.fusion.trajectory import Trajectory

NAN = np.nan
PIXELS, CHAINS = made_up.BATCH


@pytest.fixture(scope="module")
def table(shared: Path) -> pd.Series:
    return vector.read(shared)


@pytest.fixture(scope="module")
def run(table: pd.Series) -> tuple[np.ndarray, Trajectory]:
    theta = vector.theta_of(table)
    return theta, simulate(theta, vector.drivers_of(table, "B"), vector.switches_of("B"))


def dense(table: pd.Series, name: str) -> tuple[np.ndarray, np.ndarray]:
    out = []
    for column in (name, f"{name}_unc"):
        rows = table.loc[("B", "obs", column)]
        full = np.full((24, 1), NAN)
        full[rows.index.to_numpy() - 1, 0] = rows.to_numpy(float)
        out.append(full)
    return out[0], out[1]


@pytest.mark.parametrize("form", ["reference", "plain"])
def test_vector_likelihood(table: pd.Series, run: tuple[np.ndarray, Trajectory], form: str) -> None:
    nbe = nbe_stream(*dense(table, "nbe"), vector.YEARS, vector.MONTHS, form)
    observed = Observations(
        lai=stream("lai", *dense(table, "lai")), wood=stream("wood", *dense(table, "wood")), nbe=nbe
    )
    got = log_likelihoods(*run, observed)
    group = {"reference": "loglik_ref", "plain": "loglik_plain"}[form]
    expected = {"nbe": float(table[("B", group, "nbe", 0)])}
    expected |= {name: float(table[("B", "loglik_ref", name, 0)]) for name in ("lai", "wood")}
    assert set(got) == set(expected)
    for name, value in expected.items():
        assert float(got[name][0, 0]) == pytest.approx(value, rel=3e-6)


def test_vector_prior(table: pd.Series) -> None:
    mean, sd = (np.array([float(x)]) for x in table[("B", "prior", "p23_mean_sd", 0)].split(";"))
    ra_gpp = tuple(float(x) for x in table[("B", "prior", "p02_mean_sd", 0)].split(";"))
    got = log_priors(
        vector.theta_of(table), Switches(ra_gpp=ra_gpp), Observations(soc=stream("soc", mean, sd))
    )
    expected = float(table[("B", "logprior_gauss", "p02+p23", 0)])
    assert float((got["f_a"] + got["c_som"])[0, 0]) == pytest.approx(expected, rel=2e-6)


@pytest.fixture(scope="module")
def world() -> tuple[np.ndarray, Trajectory]:
    rng = np.random.default_rng(8)
    theta = draw_prior(rng, PIXELS * CHAINS, Switches()).reshape(-1, PIXELS, CHAINS)
    return theta, made_up.trajectory(rng, 31)


def gappy(rng: np.random.Generator, size: float, steps: int = 31) -> tuple[np.ndarray, np.ndarray]:
    value = size * rng.lognormal(0, 0.3, (steps, PIXELS))
    value[rng.random((steps, PIXELS)) < 0.3] = NAN
    value[:, 0][0] = size
    return value, size * rng.uniform(0.1, 0.4, (steps, PIXELS))


def test_streams_are_the_slow_sums(world: tuple[np.ndarray, Trajectory]) -> None:
    theta, trajectory = world
    rng = np.random.default_rng(9)
    given = {
        name: gappy(rng, size)
        for name, size in {"lai": 1.0, "wood": 3000, "biomass": 4000, "nee": 0.3, "gpp": 2}.items()
    }
    observed = {name: stream(name, *pair) for name, pair in given.items()}
    observed["lai"] = stream("lai", *given["lai"], StreamError(error="lognormal", factor=2.0))
    got = log_likelihoods(theta, trajectory, Observations(**observed))
    pools, flux = np.asarray(trajectory.pools), trajectory.fluxes
    for pixel, chain in ((0, 0), (1, 7), (1, 29)):
        at = (slice(None), pixel, chain)
        modelled = {
            "lai": (pools[:-1, 1] + pools[1:, 1])[at] / (2 * theta[P.LCMA, pixel, chain]),
            "wood": (pools[:-1, 3] + pools[1:, 3])[at] / 2,
            "biomass": sum(pools[t0, i] for t0 in (slice(-1), slice(1, None)) for i in range(4))[at] / 2,
            "nee": np.asarray(flux.ra + flux.rh_litter + flux.rh_som - flux.gpp)[at],
            "gpp": np.asarray(flux.gpp)[at],
        }
        for name, (value, sd) in given.items():
            total = 0.0
            for t in range(31):
                if np.isnan(value[t, pixel]):
                    continue
                if name == "lai":
                    total += (np.log(modelled[name][t] / value[t, pixel]) / np.log(2)) ** 2
                else:
                    total += ((modelled[name][t] - value[t, pixel]) / sd[t, pixel]) ** 2
            assert float(got[name][pixel, chain]) == pytest.approx(-total / 2, rel=1e-12)


def nbe_loglik(
    residual: np.ndarray, sd: np.ndarray, number: np.ndarray, form: str, **more: object
) -> np.ndarray:
    """Log-likelihood (draw,) of residuals (time, draw) of one pixel, by the package; NaN: not observed."""
    seen = np.isfinite(residual[:, 0])
    flux = jnp.asarray(np.where(seen[:, None], residual, 99.0))[:, None]  # (time, 1, draw)
    zero = jnp.zeros_like(flux)
    bare = made_up.trajectory(np.random.default_rng(0), len(residual), disturbed=False).fluxes
    fluxes = bare._replace(gpp=zero, ra=zero, rh_litter=flux, rh_som=zero)
    observed = nbe_stream(
        np.where(seen, 0.0, NAN)[:, None], sd[:, None], number // 12, number % 12 + 1, form, **more
    )
    trajectory = Trajectory(jnp.ones((len(residual) + 1, 6, 1, residual.shape[1])), fluxes)
    theta = jnp.ones((N_PARAMETERS, 1, residual.shape[1]))
    return np.asarray(log_likelihoods(theta, trajectory, Observations(nbe=observed))["nbe"][0])


def case_of_nbe() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Residuals of two draws and their sds in three years: from May, with gaps, until the second month."""
    rng = np.random.default_rng(12)
    number = 12 * 2001 + 4 + np.arange(22)
    residual = rng.normal(size=(22, 2))
    residual[[1, 2, 9, 13, 14, 15]] = NAN
    return residual, rng.uniform(0.5, 1.5, 22), number


def test_two_scales_are_the_density_of_the_annual_mean_and_of_contrasts() -> None:
    residual, sd, number = case_of_nbe()
    annual, rho = np.array([[0.3], [0.02], [0.5]]), 0.6
    more = {"annual_sd": annual, "error": NbeError(rho=rho, annual_floor=0.1)}
    got = nbe_loglik(residual, sd, number, "two-scale", **more)
    expected = np.zeros(2)
    for i, year in enumerate((2001, 2002, 2003)):
        used = (number // 12 == year) & np.isfinite(residual[:, 0])
        r, s, month = residual[used], sd[used], number[used]
        covariance = np.outer(s, s) * rho ** np.abs(month[:, None] - month)
        expected += stats.norm.logpdf(r.mean(axis=0), scale=max(annual[i, 0], 0.1))
        contrasts = linalg.null_space(np.ones((1, len(r))))  # (n, n - 1), orthonormal
        if len(r) > 1:
            law = stats.multivariate_normal(np.zeros(len(r) - 1), contrasts.T @ covariance @ contrasts)
            expected += law.logpdf((contrasts.T @ r).T)
    assert got[0] - got[1] == pytest.approx(expected[0] - expected[1], rel=1e-9)


def test_reference_form_is_its_formula() -> None:
    residual, sd, number = case_of_nbe()
    got = nbe_loglik(residual, sd, number, "reference")
    expected = np.zeros(2)
    for year in (2001, 2002, 2003):
        used = (number // 12 == year) & np.isfinite(residual[:, 0])
        r, u = residual[used], np.sqrt((sd[used] ** 2).sum()) / used.sum()
        mean = r.mean(axis=0)
        expected += -0.5 * (mean**2 + ((r - mean) ** 2).sum(axis=0)) / u**2
    np.testing.assert_allclose(got, expected, rtol=1e-10)


def test_forms_agree_where_they_must() -> None:
    rng = np.random.default_rng(2)
    number, sd = 12 * 2001 + np.arange(24), np.full(24, 0.8)
    residual = rng.normal(size=(24, 3))
    plain = nbe_loglik(residual, sd, number, "plain")
    independent = {"annual_sd": np.full((2, 1), 0.8 / np.sqrt(12)), "error": NbeError(rho=0.0)}
    np.testing.assert_allclose(plain, -0.5 * ((residual / 0.8) ** 2).sum(axis=0), rtol=1e-12)
    np.testing.assert_allclose(
        nbe_loglik(residual, sd, number, "two-scale", **independent), plain, rtol=1e-10
    )
    anomaly = residual - residual.reshape(2, 12, 3).mean(axis=1).repeat(12, axis=0)
    np.testing.assert_allclose(
        nbe_loglik(anomaly, sd, number, "reference"),
        12 * nbe_loglik(anomaly, sd, number, "plain"),
        rtol=1e-10,
    )


def test_without_an_annual_error_it_is_that_of_the_monthly_errors() -> None:
    number, sd, rho = 12 * 2001 + np.arange(12), np.linspace(0.5, 1.6, 12), 0.6
    error = NbeError(rho=rho, annual_floor=1e-3)
    shift = nbe_loglik(np.full((12, 1), 0.7), sd, number, "two-scale", error=error)
    rng = np.random.default_rng(5)
    errors = np.empty((12, 200_000))
    errors[0] = rng.normal(size=200_000)
    for t in range(1, 12):
        errors[t] = rho * errors[t - 1] + np.sqrt(1 - rho**2) * rng.normal(size=200_000)
    variance = (errors * sd[:, None]).mean(axis=0).var()
    assert float(shift[0]) == pytest.approx(-0.5 * 0.49 / variance, rel=0.02)


def test_scaling_divides_each_pixel_by_its_own_number(world: tuple[np.ndarray, Trajectory]) -> None:
    value, sd = gappy(np.random.default_rng(1), 2.0)
    value[:, 1] = NAN
    observed = Observations(gpp=stream("gpp", value, sd))
    full = np.asarray(log_likelihoods(*world, observed)["gpp"])
    n = np.isfinite(value[:, 0]).sum()
    assert (full[0] < 0).all()
    assert (full[1] == 0).all()
    for scaling, divisor in (("n", n), ("root", np.sqrt(n)), ("log", 1 + np.log(n))):
        got = np.asarray(log_likelihoods(*world, observed, scaling)["gpp"])
        np.testing.assert_allclose(got[0], full[0] / divisor, rtol=1e-12)
        assert (got[1] == 0).all()


def test_missing_values_leave_gradients_finite(world: tuple[np.ndarray, Trajectory]) -> None:
    theta, trajectory = world
    rng = np.random.default_rng(3)
    number = 12 * 2001 + np.arange(31)
    value, sd = gappy(rng, 1.0)
    observed = Observations(
        lai=stream("lai", value, sd, StreamError(error="lognormal")),
        nbe=nbe_stream(value, sd, number // 12, number % 12 + 1, "two-scale"),
    )

    def total(gpp: jax.Array) -> jax.Array:
        moved = trajectory._replace(fluxes=trajectory.fluxes._replace(gpp=gpp))
        return sum(x.sum() for x in log_likelihoods(theta, moved, observed).values())

    slope = np.asarray(jax.grad(total)(trajectory.fluxes.gpp))
    assert np.isfinite(slope).all()
    unseen = np.isnan(value)
    np.testing.assert_allclose(slope[unseen], 0.0, atol=1e-12)
    assert (np.abs(slope[~unseen]).max(axis=1) > 0).all()


def test_equivalents_are_means_over_the_step(world: tuple[np.ndarray, Trajectory]) -> None:
    theta, trajectory = world
    found = equivalents(theta, trajectory)
    assert {a.shape for a in found.values()} == {(31, PIXELS, CHAINS)}
    assert float(found["wood"][4, 1, 2]) == pytest.approx(float(trajectory.pools[4:6, 3, 1, 2].mean()))


def test_priors_are_gaussians_in_the_logarithm_of_the_parameter() -> None:
    rng = np.random.default_rng(6)
    theta = draw_prior(rng, 6, Switches(bounds="acm2")).reshape(-1, 2, 3)
    observed = Observations(
        soc=stream(
            "soc", np.array([9000.0, 30000.0]), np.array([2000.0, 7000.0]), StreamError(error="lognormal")
        ),
        lcma=stream("lcma", np.array([80.0, NAN]), np.array([20.0, NAN])),
    )
    laws = {
        "f_a": stats.norm(0.54, 0.12).logpdf(theta[P.F_A]),
        "c_eff": stats.norm(21.1491, 8.534).logpdf(theta[P.C_EFF]),
        "cc_som": stats.norm(0.01, 0.05).logpdf(theta[P.CC_SOM]),
        "c_som": stats.norm(0, np.array([2 / 9, 7 / 30])[:, None]).logpdf(
            np.log(theta[P.C_SOM] / np.array([[9000.0], [30000.0]]))
        ),
        "lcma": stats.norm(80, 20).logpdf(theta[P.LCMA]) * [[1.0], [0.0]],
    }
    for switches, names in (
        (Switches(photosynthesis="acm2", som_burnt="profile"), set(laws)),
        (Switches(photosynthesis="acm2"), set(laws) - {"cc_som"}),
        (Switches(photosynthesis="acm2", ra_gpp=None), set(laws) - {"f_a", "cc_som"}),
    ):
        got = log_priors(theta, switches, observed)
        pure = log_priors(theta, switches, observed, pure=True)
        assert set(got) == names
        for name in names:
            change = laws[name] - laws[name][:, :1]
            np.testing.assert_allclose(got[name] - got[name][:, :1], change, atol=1e-10)
            # a Gaussian in ln x is the density of x as it is
            more = 0.0 if name == "c_som" else np.log(theta[P[name.upper()]])
            np.testing.assert_allclose(pure[name] - got[name], more, rtol=1e-10)
    acm1 = log_priors(theta, replace(Switches(), photosynthesis="acm1"), Observations())
    np.testing.assert_allclose(acm1["c_eff"], -0.5 * ((theta[P.C_EFF] - 16.9) / 7.502) ** 2)


def test_draws_fill_the_box() -> None:
    for which, burnt in (("c1", "profile"), ("c1", "surface"), ("acm2", "surface"), ("b15", "profile")):
        switches = Switches(bounds=which, som_burnt=burnt)
        low, high = bounds_of(which)
        if burnt == "surface":
            low[P.CC_SOM], high[P.CC_SOM] = 0.001, 0.2
        for one_cycle in (True, False):
            theta = draw_prior(np.random.default_rng(1), 2000, switches, one_cycle=one_cycle)
            assert bool(inside(jnp.asarray(theta), switches).all())
            for p in P:
                cyclic = one_cycle and p in (P.D_ON, P.D_OFF)
                law = (
                    stats.uniform(365.25, 365.25)
                    if cyclic
                    else stats.uniform(np.log(low[p]), np.log(high[p] / low[p]))
                )
                x = theta[p] if cyclic else np.log(theta[p])
                assert stats.kstest(x, law.cdf).pvalue > 1e-4


def test_outside_is_outside() -> None:
    low, high = bounds_of("c1")
    middle = np.sqrt(low * high)
    theta = np.repeat(middle[:, None], 3, axis=1)
    theta[P.K_S, 1], theta[P.LCMA, 2] = high[P.K_S] * 1.001, low[P.LCMA] * 0.999
    np.testing.assert_array_equal(inside(theta, Switches()), [True, False, False])


def test_days_have_no_bounds_because_they_count_modulo_a_cycle() -> None:
    """A chain that walks past the turn of the year is where it would be a year later, and keeps its verdict."""
    low, high = bounds_of("c1")
    theta = np.repeat(np.sqrt(low * high)[:, None], 3, axis=1)
    theta[P.D_ON], theta[P.D_OFF, 2] = [300.0, 300.0 + 4 * 365.25, 300.0], np.nan
    np.testing.assert_array_equal(inside(theta, Switches()), [True, True, False])
