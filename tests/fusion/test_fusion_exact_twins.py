"""Observations of exact twins have the errors that the likelihood assumes: residuals are standard normal."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from benchmarks.fusion_calibration import joined
from scipy.stats import chi2, kstest

from talik.fusion.axis import TimeAxis
from talik.fusion.dalec import simulate
from talik.fusion.likelihood import log_likelihoods, squared_misfits
from talik.fusion.observations import Observations
from talik.fusion.parameters import P
from talik.fusion.switches import BEST
from talik.fusion.twin import REFERENCE, Climate, Noise, climate_drivers, observe_exactly, without_values

PIXELS = 300
AXIS = TimeAxis.of_years(2001, 2003)


def exact(form: str, seed: int = 5):
    """Many observations of the reference forest, with little LAI, so that errors go below 0."""
    theta = np.repeat(REFERENCE[:, None, None], PIXELS, axis=1)
    theta[P.LCMA] = 180.0
    drivers = climate_drivers(AXIS, [Climate()], 4)
    switches = replace(BEST, nbe=form)
    return observe_exactly(AXIS, drivers, jnp.asarray(theta), switches, Noise(), seed)


def squares(twin) -> dict[str, np.ndarray]:
    found = log_likelihoods(twin.theta, twin.trajectory, twin.observations)
    out = {name: -2.0 * np.asarray(x)[:, 0] for name, x in found.items()}
    out["soc"] = np.asarray(squared_misfits(twin.theta[P.C_SOM], twin.observations.soc))[:, 0]
    return out


@pytest.mark.parametrize("form", ["plain", "two-scale", "reference"])
def test_misfits_of_the_truth_have_the_distribution_that_is_assumed(form: str):
    twin = exact(form)
    numbers = {"lai": 21, "wood": 2, "nbe": 36, "soc": 1}
    for name, found in squares(twin).items():
        assert kstest(found, chi2(numbers[name]).cdf).pvalue > 1e-3, name
    assert (np.asarray(twin.observations.lai.value) < 0).any()  # nothing is cut off


def test_annual_means_and_months_of_two_scale_errors():
    """AR(1) with 0.3 and 1.04 a month: sd of a mean of 12 from its formula."""
    twin = exact("two-scale")
    lags = np.arange(1, 12)
    of_mean = 1.04 * np.sqrt((1 + 2 * ((1 - lags / 12) * 0.3**lags).sum()) / 12)
    errors = np.asarray(twin.observations.nbe.value) - np.asarray(twin.trajectory.fluxes.nbe)[..., 0].reshape(
        3, 12, -1
    )
    n = 3 * PIXELS
    assert abs(errors.mean(axis=1).std() / of_mean - 1) < 4 / np.sqrt(2 * n)
    assert abs(errors.std() / 1.04 - 1) < 0.05


@pytest.mark.parametrize(("form", "sd_factor"), [("two-scale", 1.0), ("plain", 0.5)])
def test_two_sets_of_observations_say_as_one_what_they_say_apart(form: str, sd_factor: float):
    """Of two states the difference of the log likelihoods; errors assumed half as large count four times."""
    first, second = exact(form, 5), exact(form, 6)
    other = first.theta.at[P.C_WOO].multiply(1.2).at[P.C_SOM].multiply(0.9).at[P.C_FOL].multiply(1.3)
    trajectory = jax.jit(simulate, static_argnames="switches")(other, first.drivers, switches=BEST)

    def gained(seen: Observations) -> dict[str, np.ndarray]:
        here = log_likelihoods(first.theta, first.trajectory, seen)
        there = log_likelihoods(other, trajectory, seen)
        out = {name: np.asarray(there[name] - here[name]) for name in here}
        soc = (np.asarray(squared_misfits(theta[P.C_SOM], seen.soc)) for theta in (other, first.theta))
        return out | {"soc": np.subtract(*soc)}

    apart, new = gained(first.observations), gained(second.observations)
    as_one = gained(joined(first.observations, second.observations, sd_factor))
    for name, found in as_one.items():
        assert np.abs(found).max() > 0.1, name
        np.testing.assert_allclose(found, apart[name] + new[name] / sd_factor**2, rtol=1e-6, atol=1e-6)


def test_without_values_nothing_is_said_and_shapes_stay():
    twin = exact("two-scale")
    blank = without_values(twin.observations)
    found = log_likelihoods(twin.theta, twin.trajectory, blank)
    assert all(not np.asarray(x).any() for x in found.values())
    assert not np.asarray(squared_misfits(twin.theta[P.C_SOM], blank.soc)).any()
    assert blank.nbe.value.shape == twin.observations.nbe.value.shape
    assert blank.lcma is None
