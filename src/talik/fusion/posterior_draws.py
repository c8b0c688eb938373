"""What draws of the coordinates say: parameters, outputs, and whether they keep the hard constraints."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from talik.fusion.axis import TimeAxis
from talik.fusion.coordinates import CIRCULAR
from talik.fusion.outputs import Outputs, period_outputs
from talik.fusion.parameters import PARAMETERS, POOLS, P
from talik.fusion.phenology import YEAR
from talik.fusion.posterior import BlockData, judge_parameters, judge_states
from talik.fusion.switches import Switches

Floats = NDArray[np.float64]

ANNUAL = ("gpp", "npp", "rh", "nee", "fire", "nbe", "mrt", "cue")
ENDS = {"wood_end": "wood", "som_end": "som"}
OUTPUTS = (*ANNUAL, *ENDS)
"""Outputs that must converge beside the parameters: means of the run, and two pools after its last step."""
NAMES = (*(p.name for p in PARAMETERS), *OUTPUTS)
AT_ONCE = 4096
"""States, of all pixels together, that are simulated at once."""


class Seen(NamedTuple):
    """Of draws (pixel, chain, draw): values of `NAMES` (..., name), hard verdicts, softness (see `Verdicts`), score."""

    values: Floats
    passes: NDArray[np.bool_]
    softness: Floats
    score: Floats

    @property
    def theta(self) -> Floats:
        """Parameters (pixel, chain, draw, 28)."""
        return self.values[..., : len(P)]


def examine(
    u: Floats, data: BlockData, axis: TimeAxis, switches: Switches, *, coordinates: bool = True
) -> Seen:
    """What draws u (pixel, chain, draw, 28) say; if not `coordinates`, they are parameters."""
    pixels, chains, draws, n = u.shape
    flat = np.moveaxis(u.reshape(pixels, chains * draws, n), 1, 2)
    at_once = max(1, min(AT_ONCE // pixels, chains * draws))
    parts = []
    for start in range(0, flat.shape[2], at_once):
        piece = flat[:, :, start : start + at_once]
        # every piece has the same shape, so that one compilation serves all
        padded = np.concatenate(
            [piece, np.repeat(piece[:, :, -1:], at_once - piece.shape[2], axis=2)], axis=2
        )
        found = _examine(jnp.asarray(padded), data, tuple(axis.years.tolist()), switches, coordinates)
        parts.append([np.asarray(x)[..., : piece.shape[2]] for x in found])
    values, passes, softness, score = (np.concatenate(x, axis=-1) for x in zip(*parts, strict=True))
    shape = (pixels, chains, draws)
    values = np.moveaxis(values, 0, -1).reshape(*shape, len(NAMES))
    return Seen(values, passes.reshape(shape), softness.reshape(shape), score.reshape(shape))


def together(parts: Sequence[Seen]) -> Seen:
    """Draws of rounds one after another.

    Days of phenology are turned to within half a year of the circular mean of their pixel, so that a season at the turn
    of the year does not look like two.
    """
    values, passes, softness, score = (np.concatenate(x, axis=2) for x in zip(*parts, strict=True))
    for p in CIRCULAR:
        values[..., p] = _turned(values[..., p])
    return Seen(values, passes, softness, score)


@partial(jax.jit, static_argnums=(2, 3, 4))
def _examine(
    u: jax.Array, data: BlockData, years: tuple[int, ...], switches: Switches, coordinates: bool
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    if coordinates:
        theta, trajectory, verdicts = judge_states(u, data, switches)
    else:
        theta = jnp.moveaxis(u, 1, 0)
        trajectory, verdicts = judge_parameters(theta, data, switches)
    found: Outputs = period_outputs(trajectory, data.drivers.dt, np.array(years))
    ends = [trajectory.pools[-1, POOLS.index(pool)] for pool in ENDS.values()]
    values = jnp.concatenate([theta, jnp.stack([*(getattr(found, name) for name in ANNUAL), *ends])])
    return values, verdicts.passes, verdicts.softness, verdicts.score


def _turned(days: Floats) -> Floats:
    """Days (pixel, chain, draw) within half a year of their circular mean, which lies in the second year."""
    angle = days * (2.0 * np.pi / YEAR)
    mean = np.arctan2(np.sin(angle).mean(axis=(1, 2)), np.cos(angle).mean(axis=(1, 2)))[:, None, None]
    centre = np.mod(mean, 2.0 * np.pi)
    turned = np.mod(angle - centre + np.pi, 2.0 * np.pi) - np.pi + centre
    return np.asarray(YEAR + turned * (YEAR / (2.0 * np.pi)))


def hard_chains(values: Floats, log_weights: Floats) -> Floats:
    """Draws (chain, draw, name) of one pixel taken again within each chain by their weights (chain, draw), in order.

    What comes back are chains of the posterior with hard constraints: a draw of large weight stands several times in a
    row, and R-hat and effective sizes feel it. NaN in a chain without any weight.
    """
    draws = values.shape[1]
    out = np.full_like(values, np.nan)
    ticks = (np.arange(draws) + 0.5) / draws
    for chain, logs in enumerate(log_weights):
        if np.isfinite(logs).any():
            total = np.cumsum(np.exp(logs - logs.max()))
            out[chain] = values[chain, np.minimum(np.searchsorted(total, ticks * total[-1]), draws - 1)]
    return out
