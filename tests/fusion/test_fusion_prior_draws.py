"""Draws of the prior by importance: what is proposed, what is kept, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import ks_2samp

from talik.fusion import prior_draws as module
from talik.fusion.axis import TimeAxis
from talik.fusion.constraints import hard_pass, margins
from talik.fusion.dalec import simulate
from talik.fusion.observations import Observations
from talik.fusion.parameters import INITIAL, P
from talik.fusion.posterior import block_data, judge_parameters
from talik.fusion.prior import draw_prior, inside, log_priors
from talik.fusion.prior_draws import weighted_prior
from talik.fusion.switches import BEST
from talik.fusion.twin import Climate, climate_drivers

DATA = block_data(climate_drivers(TimeAxis.of_years(2001, 2002), [Climate(mean=-1.0)], 3), Observations())


def test_boxes_are_those_that_rejection_from_the_prior_gives():
    """Draws of the whole box, the Gaussians by acceptance, and constraints by `margins`: none of it by groups."""
    rng = np.random.default_rng(1)
    theta = draw_prior(rng, 40_000, BEST)
    score = sum(np.asarray(x)[0] for x in log_priors(theta[:, None], BEST, Observations()).values())
    theta = theta[:, rng.random(score.size) < np.exp(score)]
    trajectory = jax.jit(simulate, static_argnames="switches")(theta[:, None], DATA.drivers, switches=BEST)
    found = margins(jnp.asarray(theta[:, None]), trajectory, DATA.drivers, BEST)
    slow = theta[:, (np.asarray(found.static) <= 0).all(axis=0)[0]]
    fast = module._boxes(np.random.default_rng(2), DATA, BEST, 20_000)
    assert slow.shape[1] > 1000
    for p in P:
        if p not in INITIAL:
            assert ks_2samp(slow[p], fast[p]).pvalue > 1e-3, p.name
    # parameters of different groups, which rejection leaves independent as well
    for p, q in ((P.F_A, P.K_S), (P.L_F, P.F_F), (P.CC_SOM, P.THETA)):
        assert abs(np.corrcoef(np.log(slow[[p, q]]))[0, 1]) < 4 / np.sqrt(slow.shape[1])


@pytest.mark.science
def test_draws_keep_all_constraints_and_come_again():
    """Judged anew; the seed decides all."""
    switches = replace(BEST, steady_tolerance=0.5)
    found = weighted_prior(DATA, switches, 1, 40, module.AT_ONCE)
    assert 0 < found.effective <= found.weights.size
    trajectory, verdicts = judge_parameters(jnp.asarray(found.theta[:, None]), DATA, switches)
    assert bool(verdicts.passes.all())
    assert bool(inside(jnp.asarray(found.theta), BEST).all())
    assert bool(
        hard_pass(margins(jnp.asarray(found.theta[:, None]), trajectory, DATA.drivers, switches)).all()
    )
    again = weighted_prior(DATA, switches, 1, 40, module.AT_ONCE)
    np.testing.assert_array_equal(again.theta, found.theta)
