"""Searches on the process model side by side, and searches that cannot end well."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import least_squares

from talik.jax64 import keep_compiled
from talik.tem.calibration import gml
from talik.tem.calibration.differences import finite_differences
from talik.tem.calibration.forward import prepare
from talik.tem.calibration.free import Free, FreeParameters, free_parameters
from talik.tem.calibration.site_model import BALANCE, BalanceTargets, SiteModel, Targets
from talik.tem.inputs import Climate
from talik.tem.thermal.grid import SOIL_THICKNESS_M

_spec = importlib.util.spec_from_file_location("sites_world", Path(__file__).with_name("sites_world.py"))
world = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(world)
BATCH, SITES = 4, 2
POOLS = ("C_V", "C_S", "N_VS", "uptake")


@dataclass(frozen=True)
class Two:
    """Two sites of wet tundra; residuals of targets (m,) of all that the model gives there, in batches of one size.

    Rows are months of GPP and Reco of the first site, of the second, then pools of the first, of the second.
    """

    everything: SiteModel
    value: np.ndarray
    sigma: np.ndarray
    rows: np.ndarray

    @property
    def free(self) -> FreeParameters:
        return self.everything.free

    def residuals(self, x: np.ndarray) -> np.ndarray:
        found = np.concatenate([self.everything.residuals(part)[:kept] for part, kept in batches(x)])
        return (self.value + found[:, self.rows]) / self.sigma

    def with_jacobian(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found, slopes = self.everything.with_jacobian(batches(x)[0][0])
        kept = len(x)
        residuals = (self.value + found[:kept, self.rows]) / self.sigma
        return residuals, slopes[:kept, self.rows] / self.sigma[:, None]

    def observing(self, value: np.ndarray, sigma: np.ndarray, rows: np.ndarray) -> Two:
        return Two(self.everything, value, sigma, rows)


def batches(x: np.ndarray) -> list[tuple[np.ndarray, int]]:
    parts = [x[i : i + BATCH] for i in range(0, len(x), BATCH)]
    return [(np.resize(p, (BATCH, x.shape[1])), len(p)) for p in parts]


def made() -> Two:
    """Two of the made sites, both wet tundra, and the values at the project's parameters."""
    keep_compiled()
    air = world.climate()
    columns = replace(world.columns().part(range(1, 3)), community=("wet_tundra",) * SITES)
    climate = Climate(
        air.first_year,
        air.tair[..., 1:],
        air.precip[..., 1:],
        air.irradiance[..., 1:],
        air.par[..., 1:],
        air.co2,
    )
    sites = prepare(columns, climate, world.settings(soil_heat={"years": 100}))
    wide = {"cmax": (1e-3, 1e6), "kdb": (1e-9, 1e3)}
    names = ("cmax", "kdb", "krb", "nmax", "nupb")
    free = free_parameters({"wet_tundra": {n: Free(limits=wide.get(n)) for n in names}}, {}, {})
    site, variable, year, month = (a.ravel() for a in np.indices((SITES, 2, world.YEARS, 12)))
    none, one_each = np.zeros(site.size), np.ones(site.size)
    months = Targets(
        none, one_each, variable, year, month, site, np.zeros((site.size, SOIL_THICKNESS_M.size))
    )
    which = np.tile([BALANCE.index(name) for name in POOLS], SITES)
    pools = BalanceTargets(
        np.zeros(which.size), np.ones(which.size), which, np.repeat(np.arange(SITES), len(POOLS))
    )
    everything = SiteModel(sites, free, months, pools)
    rows = np.arange(site.size + which.size)
    return Two(everything, np.zeros(rows.size), np.ones(rows.size), rows)


@pytest.fixture(scope="module")
def two() -> Two:
    return made()


def start_and_limits(two: Two) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The project's values, and limits around them."""
    start = two.free.start
    return start, start - 1.0, start + 1.0


def at_months(site: int) -> np.ndarray:
    """Rows of GPP and Reco of a site."""
    return np.arange(2 * world.YEARS * 12) + site * 2 * world.YEARS * 12


def at_pools(site: int) -> np.ndarray:
    """Rows of the pools of a site."""
    return SITES * 2 * world.YEARS * 12 + site * len(POOLS) + np.arange(len(POOLS))


@pytest.mark.science
def test_exact_derivatives_finite_differences_and_scipy_end_at_one_optimum(two: Two) -> None:
    """Noisy months of one site and its pools, five parameters."""
    start, low, high = start_and_limits(two)
    rows = np.concatenate([at_months(0), at_pools(0)])
    truth = -two.residuals(start[None] + np.array([[0.2, 0.3, -0.2, 0.25, -0.3]]))[0, rows]
    sigma = np.maximum(0.1 * np.abs(truth), 1.0)
    value = truth + sigma * np.random.default_rng(11).standard_normal(rows.size)
    model = two.observing(value, sigma, rows)
    starts = gml.latin_hypercube(BATCH, low, high, 1, start)
    settings = gml.Settings(least_reduction=1e-6, least_change=1e-4)
    differences = finite_differences(model.residuals, low, high, two.free.log)
    exact = gml.search(model, starts, low, high, two.free.log, settings)
    plain = gml.search(differences, starts, low, high, two.free.log, settings)
    oracle = least_squares(
        lambda x: model.residuals(x[None])[0],
        start,
        lambda x: model.with_jacobian(x[None])[1][0],
        (low, high),
        method="trf",
        xtol=1e-6,
        ftol=1e-8,
    )
    best, other = exact.x[exact.best], plain.x[plain.best]
    assert exact.phi[exact.best] == pytest.approx(2.0 * oracle.cost, rel=1e-3)
    assert plain.phi[plain.best] == pytest.approx(2.0 * oracle.cost, rel=1e-3)
    np.testing.assert_allclose(best, oracle.x, atol=1e-2)
    np.testing.assert_allclose(other, oracle.x, atol=1e-2)
    # of noise alone the sum of squares is that of chi-square: 124 less five parameters, four standard deviations
    assert abs(2.0 * oracle.cost - (rows.size - 5)) < 4.0 * np.sqrt(2.0 * rows.size)


@pytest.mark.science
def test_targets_that_contradict_each_other_end_with_a_high_sum_of_squares(two: Two) -> None:
    """One community at two sites, at one three times the production of the model, at the other a third of it."""
    start, low, high = start_and_limits(two)
    rows = np.concatenate([at_months(0), at_months(1)])
    held = -two.residuals(start[None])[0, rows]
    value = held * np.repeat([3.0, 1.0 / 3.0], rows.size // 2)
    model = two.observing(value, np.maximum(0.1 * np.abs(value), 1.0), rows)
    starts = gml.latin_hypercube(BATCH, low, high, 1, start)
    found = gml.search(model, starts, low, high, two.free.log, gml.Settings())
    assert np.isfinite(found.x).all()
    assert np.isfinite(found.phi).all()
    assert ((found.x >= low) & (found.x <= high)).all()
    assert all((np.diff(history) <= 0.0).all() for history in found.history)
    assert set(found.stopped) <= {"reduction", "change", "stationary"}
    assert found.phi.min() > 5.0 * rows.size


@pytest.mark.science
def test_a_start_at_which_the_model_cannot_run_disturbs_no_other(two: Two) -> None:
    low, high = two.free.low, two.free.high
    near, _, _ = start_and_limits(two)
    rows = np.concatenate([at_months(0), at_pools(0)])
    value = -two.residuals(near[None] + 0.2)[0, rows]
    model = two.observing(value, np.maximum(0.1 * np.abs(value), 1.0), rows)
    starts = near + np.array([0.0, 0.3, -0.3, 0.1])[:, None]
    bad = starts.copy()
    bad[2, 1] = np.log(500.0)  # a decomposition rate that empties the soil in a month
    settings = gml.Settings(iterations=4)
    alone = gml.search(model, starts, low, high, two.free.log, settings)
    found = gml.search(model, bad, low, high, two.free.log, settings)
    assert found.stopped[2] == "failed"
    assert "not finite" in found.reason[2]
    assert np.isnan(found.phi[2])
    np.testing.assert_array_equal(found.x[2], bad[2])
    others = [0, 1, 3]
    np.testing.assert_allclose(found.x[others], alone.x[others], rtol=1e-9)
    np.testing.assert_allclose(found.phi[others], alone.phi[others], rtol=1e-9)
    assert found.best in others
