"""The posterior of the parameters of DALEC: smoothed for gradients, and hard for the verdict."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from talik.fusion.ap_mcmc import Walk
from talik.fusion.constraints import (
    ROUNDING,
    Margins,
    Scales,
    hard_pass,
    log_penalty,
    margins,
    n_failed,
)
from talik.fusion.coordinates import WIDEST, draw_reference, log_reference, mean_year, to_parameters, wrap
from talik.fusion.dalec import simulate
from talik.fusion.drivers import Drivers
from talik.fusion.likelihood import Scaling, log_likelihoods
from talik.fusion.observations import Observations
from talik.fusion.parameters import N_PARAMETERS
from talik.fusion.prior import inside, log_priors
from talik.fusion.switches import Switches, bounds
from talik.fusion.target import Target
from talik.fusion.trajectory import Trajectory

Array = jax.Array

SCALES = Scales()
"""Softness of the constraints that the gradient samplers see."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class BlockData:
    """Everything that the posterior of the pixels of a block depends on.

    drivers : (time, pixel, 1).     year : the mean year of the coordinates, 12 steps.     mean_temperature :
    (pixel, 1), degC, of the run.     observations : (time, pixel) and (pixel,).
    """

    drivers: Drivers
    year: Drivers
    mean_temperature: Array
    observations: Observations

    def pixel(self, k: int) -> BlockData:
        """The data of one pixel."""
        one = slice(k, k + 1)

        def of_drivers(x: Array) -> Array:  # pixel before the axis of chains
            return x if x.shape[-2] == 1 else x[..., one, :]

        return BlockData(
            jax.tree.map(of_drivers, self.drivers),
            jax.tree.map(of_drivers, self.year),
            of_drivers(self.mean_temperature),
            jax.tree.map(lambda x: x[..., one], self.observations),
        )


def block_data(drivers: Drivers, observations: Observations) -> BlockData:
    """The data of a block; drivers (time, pixel, 1) begin with a whole year."""
    mean = jnp.asarray(drivers.mean_temperature).mean(axis=0)
    return BlockData(drivers, mean_year(drivers), mean, observations)


def smoothed(u: Array, data: BlockData, switches: Switches, scales: Scales = SCALES) -> Array:
    """Log posterior (pixel, chain) at coordinates u (pixel, 28, chain), with smoothed constraints and bounds."""
    placed = to_parameters(u, data.year, data.mean_temperature, switches)
    trajectory = simulate(placed.theta, data.drivers, switches)
    found = margins(placed.theta, trajectory, data.drivers, switches, rounding=ROUNDING)
    total = placed.log_jacobian + placed.edge + log_penalty(_of_trajectory(found), scales)
    return total + log_score(placed.theta, trajectory, data.observations, switches)


def log_score(
    theta: Array,
    trajectory: Trajectory,
    observations: Observations,
    switches: Switches,
    scaling: Scaling = "none",
) -> Array:
    """Log-likelihood of all streams and Gaussians of the prior (pixel, chain), as the reference scores a state."""
    total = jnp.zeros(theta.shape[1:])
    for part in log_likelihoods(theta, trajectory, observations, scaling).values():
        total += part
    for part in log_priors(theta, switches, observations).values():
        total += part
    return total


def _of_trajectory(found: Margins) -> Margins:
    """Without the constraints on parameters, which the coordinates keep exactly."""
    return replace(found, static=found.static[:0], static_names=())


class Verdicts(NamedTuple):
    """Of states (pixel, chain): the score of the reference, whether all constraints hold, and what smoothing gave.

    softness : log of what the smoothed posterior takes off for constraints and bounds; draws of it that pass weigh
    exp(-softness).
    """

    score: Array
    passes: Array
    softness: Array


def judge_states(
    u: Array, data: BlockData, switches: Switches, scales: Scales = SCALES
) -> tuple[Array, Trajectory, Verdicts]:
    """Parameters (28, pixel, chain), trajectory and verdicts at coordinates u (pixel, 28, chain)."""
    placed = to_parameters(u, data.year, data.mean_temperature, switches)
    trajectory, found = judge_parameters(placed.theta, data, switches)
    rounded = margins(placed.theta, trajectory, data.drivers, switches, rounding=ROUNDING)
    softness = placed.edge + log_penalty(_of_trajectory(rounded), scales)
    return placed.theta, trajectory, found._replace(softness=softness)


def judge_parameters(theta: Array, data: BlockData, switches: Switches) -> tuple[Trajectory, Verdicts]:
    """Trajectory and hard verdicts of parameters (28, pixel, chain); their softness is 0."""
    trajectory = simulate(theta, data.drivers, switches)
    exact = margins(theta, trajectory, data.drivers, switches)
    # bounds are crossed by rounding where a coordinate lies far out
    passes = hard_pass(exact) & inside(theta, switches)
    score = log_score(theta, trajectory, data.observations, switches)
    return trajectory, Verdicts(score, passes, jnp.zeros(theta.shape[1:]))


@lru_cache(maxsize=16)
def smoothed_target(switches: Switches) -> Target:
    """What the gradient samplers sample; one for each choice of switches, so that what is compiled is used again."""

    def density(u: Array, data: BlockData) -> Array:
        return smoothed(u, data, switches)

    def reference(u: Array, data: Any) -> Array:
        return log_reference(u)

    def draw(keys: Array, data: Any, chains: int) -> Array:
        return draw_reference(keys, chains)

    def turn(u: Array, data: Any) -> Array:
        return wrap(u)

    return Target(N_PARAMETERS, density, reference, draw, turn, WIDEST)


@partial(jax.jit, static_argnums=2)
def simulate_members(theta: Array, data: BlockData, switches: Switches) -> tuple[Array, tuple[Array, ...]]:
    """Pools (time + 1, 6, pixel, member) and gpp, ra, rh, fire (time, pixel, member) of members (28, pixel, member)."""
    trajectory = simulate(theta, data.drivers, switches)
    flux = trajectory.fluxes
    return trajectory.pools, (flux.gpp, flux.ra, flux.rh, flux.fire)


def parameters_of_walk(z: NDArray[np.float64], switches: Switches) -> NDArray[np.float64]:
    """Parameters of states z (..., 28) in [0, 1] of the reference's walk, even in ln x."""
    low, high = bounds(switches)
    return np.asarray(low * (high / low) ** z)


@lru_cache(maxsize=16)
def reference_walk(switches: Switches) -> Walk:
    """The posterior with hard constraints on the unit cube, as the reference samples it."""
    lows, highs = (b[:, None, None] for b in bounds(switches))

    def run(z: Array, data: BlockData) -> tuple[Array, Trajectory, Margins]:
        theta = jnp.asarray(lows) * jnp.asarray(highs / lows) ** jnp.moveaxis(z, 1, 0)
        trajectory = simulate(theta, data.drivers, switches)
        return theta, trajectory, margins(theta, trajectory, data.drivers, switches)

    def scored(z: Array, data: BlockData, scaling: Scaling) -> Array:
        theta, trajectory, found = run(z, data)
        score = log_score(theta, trajectory, data.observations, switches, scaling)
        return jnp.where(hard_pass(found), score, -jnp.inf)

    def density(z: Array, data: BlockData) -> Array:
        return scored(z, data, "none")

    def warm(z: Array, data: BlockData) -> Array:
        return scored(z, data, "n")

    def start(z: Array, data: BlockData) -> Array:
        return -5.0 * n_failed(run(z, data)[2])

    return Walk(N_PARAMETERS, density, start, warm)
