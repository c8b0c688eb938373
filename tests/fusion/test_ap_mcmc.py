"""The reference sampler: its steps, its quirks one by one, and its draws where it can converge."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from talik.convergence import bulk_ess
from talik.errors import InputError
from talik.fusion.ap_mcmc import ApMcmcSettings, Walk, agreeing, ap_mcmc, gelman_rubin, proposal_step

SHORT = ApMcmcSettings(iterations=20_000, kept=1000, every=50, chains=4, drop=False, search=500, attempts=20)


def close(z: Any, data: Any) -> Any:
    """A normal of correlation 0.8 in the middle of the unit square, as wide as the data say."""
    width, _ = data
    x, y = (z[:, 0] - 0.5) / width[:, None], (z[:, 1] - 0.5) / width[:, None]
    return -0.5 * (x**2 - 1.6 * x * y + y**2) / (1 - 0.8**2)


def corner(z: Any, data: Any) -> Any:
    """Two constraints: away from the left and from the lower edge."""
    _, edge = data
    return -5.0 * jnp.sum((z < edge[:, None, None]).astype(float), axis=1)


def flat(z: Any, data: Any) -> Any:
    return close(z, data) / 10.0


WALK = Walk(2, close, corner, flat)


def test_steps_of_the_reference_are_too_short_by_the_root_of_the_dimension():
    """Q3: 0.45 of the optimal length for 28 parameters."""
    kept, fixed = (proposal_step(ApMcmcSettings(long_steps=on), 28) for on in (True, False))
    assert kept == pytest.approx(0.95 * 2.38**2 / 28)
    assert kept / fixed == pytest.approx(2.38 / np.sqrt(28)) == pytest.approx(0.45, abs=0.001)


def test_draws_where_it_converges():
    """Two pixels of other width: quantiles within four Monte Carlo errors; a third whose constraints cannot hold."""
    width = jnp.array([0.05, 0.1, 0.1])
    data = (width, jnp.array([0.3, 0.0, 1.1]))
    found = ap_mcmc(WALK, data, [3, 4, 5], 1, SHORT)
    draws = found.draws
    assert draws.u.shape == (3, 4, 800, 2)
    assert found.started.all(axis=1).tolist() == [True, True, False]
    assert found.chains.all(axis=1).tolist() == [True, True, False]
    assert found.ensemble(2).shape == (0, 2)
    assert found.ensemble(0, 100).shape == (400, 2)
    np.testing.assert_array_equal(found.ensemble(1, 100)[:100], draws.u[1, 0, -100:])
    np.testing.assert_allclose(draws.log_density[:, 0, -1], close(draws.u[:, 0, -1, :, None], data)[:, 0])
    late = draws.u[:, :, 200:]
    for p in range(2):
        for i in range(2):
            values = late[p, :, :, i]
            for share in (0.1, 0.5, 0.9):
                below = (values < 0.5 + stats.norm.ppf(share) * width[p]).astype(float)[..., None]
                assert abs(below.mean() - share) < 4 * np.sqrt(share * (1 - share) / bulk_ess(below)[0])


def test_the_covariance_is_unlocked_by_the_warm_up():
    """Q13: without a warm-up the reference walks by 0.001 for ever."""
    data = (jnp.array([0.1]), jnp.zeros(1))
    without = SHORT.model_copy(update={"warmup": 0.0, "iterations": 8000})
    stuck = ap_mcmc(WALK, data, [3], 1, without).draws
    free = ap_mcmc(WALK, data, [3], 1, without.model_copy(update={"isotropic_warmup": False})).draws
    spread = [np.abs(np.diff(d.u[0, :, -500:], axis=1)).mean() for d in (stuck, free)]
    assert spread[0] < 0.005
    assert spread[1] > 4 * spread[0]


def test_chains_are_dropped_until_the_others_agree():
    rng = np.random.default_rng(1)
    density = rng.standard_normal((4, 200))
    density[2] -= 50
    kept, found = agreeing(density, 1.2, True)
    assert kept.tolist() == [True, True, False, True]
    assert found < 1.2
    assert agreeing(density, 1.2, False)[0].all()
    apart = density + 100 * np.arange(4)[:, None]
    kept, found = agreeing(apart, 1.2, True)
    assert kept.sum() == 2
    assert found > 1.2


def test_gelman_rubin_by_hand():
    """Two chains of three draws: within 1, between means 0.5 (Gelman and Rubin, 1992)."""
    assert gelman_rubin(np.array([[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]])) == pytest.approx(np.sqrt(2 / 3 + 0.5))


def test_chains_that_are_given_starts_say_whether_the_constraints_hold_there():
    data = (jnp.array([0.1]), jnp.array([0.3]))
    starts = jnp.array([[[0.6, 0.1, 0.6, 0.6], [0.6, 0.6, 0.6, 0.2]]])
    found = ap_mcmc(WALK, data, [3], 1, SHORT.model_copy(update={"iterations": 1000}), starts)
    assert found.started.tolist() == [[True, False, True, False]]
    with pytest.raises(InputError, match=r"starts have shape \(1, 2, 3\); expected .*\(1, 2, 4\)"):
        ap_mcmc(WALK, data, [3], 1, SHORT, starts[..., :3])
