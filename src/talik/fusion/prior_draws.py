"""Draws of the prior with its constraints, by importance: no sampler, no gradient, none of its coordinates.

Constraints on how inputs and outputs of pools change leave 1e-6 or less of the prior, too little for rejection. Here
pools are proposed near the cycle that the other parameters would keep, and proposals that keep all constraints are
weighed by how much rarer the proposal is than the prior. What samplers make of no observations can be checked against
it.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from talik.convergence import kish_share
from talik.fusion.coordinates import CIRCULAR, seasonal_cycle
from talik.fusion.parameters import INITIAL, P
from talik.fusion.phenology import YEAR
from talik.fusion.posterior import BlockData, judge_parameters
from talik.fusion.prior import gaussians
from talik.fusion.switches import Switches, bounds
from talik.rng import named_rng

Array = jax.Array
Floats = NDArray[np.float64]

NARROW = {P.C_FOL: 0.5, P.C_LAB: 0.2, P.C_ROO: 0.2, P.C_WOO: 0.6, P.C_LIT: 0.2, P.C_SOM: 0.6}
WIDE = {P.C_FOL: 0.7, P.C_LAB: 0.3, P.C_ROO: 0.7, P.C_WOO: 0.8, P.C_LIT: 0.4, P.C_SOM: 0.7}
"""How far pools are proposed from the seasonal cycle, in ln units, times draws of Student's t: where changes of the
balance are constrained, and where not."""
TAILS = 2.0
"""Degrees of freedom of that t: with more, single draws far from the cycle outweigh all others."""
LEVELS = 5
"""Steps to the leaf area at which a seasonal cycle keeps the leaf carbon per area that was drawn."""
BATCH = 512
"""Proposals that are simulated at once."""
AT_ONCE = 64 * BATCH
"""Proposals between looks at what they are worth."""


class WeightedPrior(NamedTuple):
    """Draws of one pixel that keep all constraints, and what each counts.

    theta : (28, draw).     weights : (draw,), largest 1.     proposals : of which these were kept.
    """

    theta: Floats
    weights: Floats
    proposals: int

    @property
    def effective(self) -> float:
        """Independent draws that these are worth (Kish, 1965)."""
        share = kish_share(np.log(self.weights)) if self.weights.size else np.zeros(())
        return float(share * self.weights.size)


def weighted_prior(
    data: BlockData, switches: Switches, seed: int, effective: float, proposals: int
) -> WeightedPrior:
    """Weighted draws of the prior of the one pixel of `data`, whose observations do not count.

    The base measure is flat in the logarithms of the parameters and in the days of one cycle; the Gaussians of the
    prior and all hard constraints count. Ends when the draws are worth `effective` independent ones, or when there
    were `proposals`.
    """
    rng = named_rng(seed, "weighted prior")
    theta, logs, made = [], [], 0
    while made < proposals:
        boxes = _boxes(rng, data, switches, AT_ONCE)
        away = rng.standard_t(TAILS, (len(NARROW), AT_ONCE))
        for start in range(0, AT_ONCE, BATCH):
            part = slice(start, start + BATCH)
            tried, passes, weight = _propose(boxes[:, None, part], away[:, None, part], data, switches)
            kept = np.asarray(passes)[0]
            theta.append(np.asarray(tried)[:, 0, kept])
            logs.append(np.asarray(weight)[0, kept])
        made += AT_ONCE
        found = _weighted(np.concatenate(theta, axis=1), np.concatenate(logs), made)
        if found.effective >= effective:
            break
    return found


def _weighted(theta: Floats, logs: Floats, made: int) -> WeightedPrior:
    return WeightedPrior(theta, np.exp(logs - logs.max(initial=-np.inf)) if logs.size else logs, made)


def _boxes(rng: np.random.Generator, data: BlockData, switches: Switches, count: int) -> Floats:
    """Draws (28, count) that keep the constraints on parameters alone, with the Gaussians; pools come later.

    These constraints tie parameters of a group to each other, never two groups, so each group is drawn by itself.
    """
    low, high = bounds(switches)
    out = np.empty((len(P), count))
    warm = float(np.asarray(data.mean_temperature)[0, 0])
    tied = switches.constraints != "none"
    for names, keep in _GROUPS:
        rows, done = list(names), 0
        while done < count:
            x = low[rows, None] * (high / low)[rows, None] ** rng.random((len(rows), count))
            theta = np.ones((len(P), count))
            theta[rows] = x
            good = keep(theta, warm) if tied else np.ones(count, bool)
            for p, (mean, sd) in gaussians(switches):
                if p in names:
                    good &= rng.random(count) < np.exp(-0.5 * ((theta[p] - mean) / sd) ** 2)
            part = x[:, good][:, : count - done]
            out[rows, done : done + part.shape[1]] = part
            done += part.shape[1]
    for day in CIRCULAR:
        out[day] = YEAR * (1.0 + rng.random(count))
    return out


def _rates(x: Floats, warm: float) -> NDArray[np.bool_]:
    slow = (x[P.K_S] <= x[P.K_L]) & (x[P.K_S] <= x[P.K_LS]) & (x[P.K_W] * YEAR * x[P.L_F] <= 1.0)
    return np.asarray(slow & (x[P.K_S] * np.exp(x[P.THETA] * warm) <= x[P.K_R]))


def _shares(x: Floats, warm: float) -> NDArray[np.bool_]:
    leaves = x[P.F_F] + (1.0 - x[P.F_F]) * x[P.F_L]
    roots = (1.0 - leaves) * x[P.F_R]
    return np.asarray((leaves <= 5.0 * roots) & (roots <= 5.0 * leaves))


def _burning(x: Floats, warm: float) -> NDArray[np.bool_]:
    living = x[P.CC_LIV]
    return np.asarray((living <= x[P.CC_FOL]) & (living <= x[P.CC_LIT]) & (x[P.CC_SOM] <= living))


def _free(x: Floats, warm: float) -> NDArray[np.bool_]:
    return np.ones(x.shape[1], bool)


_GROUPS = (
    ((P.K_LS, P.K_L, P.K_S, P.K_R, P.K_W, P.L_F, P.THETA), _rates),
    ((P.F_F, P.F_L, P.F_R), _shares),
    ((P.CC_SOM, P.CC_LIV, P.CC_FOL, P.CC_LIT), _burning),
    ((P.F_A,), _free),
    ((P.C_EFF,), _free),
    ((P.W_ON, P.W_OFF, P.LCMA, P.RHO, *INITIAL), _free),
)
"""Parameters that constraints tie together, and whether draws of them keep these constraints."""


@partial(jax.jit, static_argnames="switches")
def _propose(boxes: Array, away: Array, data: BlockData, switches: Switches) -> tuple[Array, Array, Array]:
    """Parameters (28, 1, draw) with pools near their cycle, whether they pass, and ln of the weight (1, draw)."""
    rows = {p: boxes[p] for p in P}
    level = jnp.zeros(boxes.shape[1:])
    for _ in range(LEVELS):
        cycle = seasonal_cycle(rows, level, data.year, switches)
        level = level - jnp.log(rows[P.LCMA] * cycle.area_per_carbon)
    spreads = WIDE if switches.steady == "none" else NARROW
    away_by_pool = dict(zip(spreads, away, strict=True))
    # the other pools follow the leaf area that is proposed: a stand that is still growing is small in all its pools
    level = level + spreads[P.C_FOL] * away_by_pool[P.C_FOL]
    cycle = seasonal_cycle(rows, level, data.year, switches)
    rows[P.C_FOL] = rows[P.LCMA] * jnp.exp(level) * cycle.first_share
    for p, start in cycle.starts.items():
        rows[p] = start * jnp.exp(spreads[p] * away_by_pool[p])
    weight = 0.5 * (TAILS + 1.0) * jnp.log1p(away**2 / TAILS).sum(axis=0)
    theta = jnp.stack([rows[p] for p in P])
    return theta, judge_parameters(theta, data, switches)[1].passes, weight
