"""A block from data to members: short chains, which must say that they are too short."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from talik.fusion.axis import Pixels
from talik.fusion.ensemble import Ensemble
from talik.fusion.infer import infer_block
from talik.fusion.posterior import block_data
from talik.fusion.settings import InferOptions, Sampler
from talik.fusion.switches import BEST
from talik.fusion.twin import Twin, passing, reference_twin

pytestmark = pytest.mark.science  # most of a minute is compiling

SHORT = Sampler(chains=4, draws=20, rounds=1, particles=32, members=25)
PIXELS = Pixels(("one", "lost"), np.array([62.0, 62.0]), np.array([100.0, 101.0]))


@pytest.fixture(scope="module")
def twin() -> Twin:
    """Two pixels of one truth; the drivers of the second are broken."""
    one = reference_twin(3, BEST)
    drivers = jax.tree.map(lambda x: jnp.repeat(jnp.asarray(x), 2, axis=-2), one.drivers)
    drivers = dataclasses.replace(drivers, tmax=drivers.tmax.at[5, 1].set(jnp.nan))
    observations = jax.tree.map(lambda x: np.repeat(np.asarray(x), 2, axis=-1), one.observations)
    return one._replace(drivers=drivers, observations=observations)


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def found(twin: Twin, told: list[str]) -> Ensemble:
    options = InferOptions(SHORT, BEST, 7)
    return infer_block(twin.drivers, twin.observations, twin.axis, PIXELS, options, told.append)


def test_short_chains_are_flagged_with_the_reason(found: Ensemble, told: list[str]):
    assert not found.diagnostics["converged"].any()
    assert "R-hat " in found.reason[0] or "ESS" in found.reason[0]
    assert np.isfinite(found.diagnostics["rhat_parameters"][0])
    assert told[-1].startswith("round 1 of 1 at most: 0 of 2 pixels have converged")


def test_a_lost_pixel_is_empty_and_leaves_the_other_alone(found: Ensemble):
    assert found.failed.tolist() == [False, True]
    assert "did not reach" in found.reason[1]
    assert np.isfinite(found.parameters[0]).all()
    assert np.isnan(found.parameters[1]).all()


def test_members_keep_the_hard_constraints(found: Ensemble, twin: Twin):
    data = block_data(twin.drivers, twin.observations).pixel(0)
    theta = jnp.asarray(np.moveaxis(found.parameters[:1], -1, 0))
    assert bool(passing(theta, data, BEST).all())


def test_members_are_what_the_model_makes_of_them(found: Ensemble):
    """Carbon of the pools is that of the fluxes, and outputs are those of the members."""
    days = np.diff(np.arange("2001-01", "2004-02", dtype="datetime64[M]").astype("datetime64[D]")).astype(
        float
    )
    kept = np.einsum("tm,t->m", -found.fluxes["nbe"][:, 0], days)
    grown = found.pools[-1, :, 0].sum(axis=0) - found.pools[0, :, 0].sum(axis=0)
    np.testing.assert_allclose(kept, grown, rtol=1e-6, atol=1e-6)
    npp, gpp = (np.einsum("tm,t->m", found.fluxes[name][:, 0], days) for name in ("npp", "gpp"))
    np.testing.assert_allclose(found.cue[0], npp / gpp, rtol=1e-9)


def test_tempered_runs_alone_are_judged_as_chains(twin: Twin):
    """Each run is a chain of its own particles: many of each give members, and few say that they are few."""
    sampler = Sampler(method="smc", chains=3, particles=32, members=25)
    told: list[str] = []
    found = infer_block(
        twin.drivers, twin.observations, twin.axis, PIXELS, InferOptions(sampler, BEST, 7), told.append
    )
    assert [line.split(":")[0] for line in told[1:]] == [f"tempered run {k} of 3" for k in (1, 2, 3)]
    assert found.failed.tolist() == [False, True]
    assert "did not reach" in found.reason[1]
    assert not found.diagnostics["converged"].any()
    assert "ESS" in found.reason[0]
    assert 0.0 < found.diagnostics["ess_bulk"][0] < 96.0 * 1.5
    assert np.unique(found.parameters[0], axis=0).shape[0] > 3
    data = block_data(twin.drivers, twin.observations).pixel(0)
    assert bool(passing(jnp.asarray(np.moveaxis(found.parameters[:1], -1, 0)), data, BEST).all())
