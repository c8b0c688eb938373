"""Draws of a sampler by pixel, and whether they can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from talik.config import Frozen
from talik.convergence import bulk_ess, rhat, tail_ess
from talik.errors import InputError
from talik.fusion.hmc import Round

Array = NDArray[np.float64]
Trust = Literal["converged", "map", "failed"]
"""All limits kept; good enough for a map that shows the flag; not to be used."""


@dataclass(frozen=True, eq=False)
class Draws:
    """Draws of the pixels of a block.

    u : (pixel, chain, draw, n) coordinates of the sampler.     log_density : (pixel, chain, draw).     acceptance :
    (pixel,), mean.     divergent : (pixel,), share of trajectories that failed; 0 for samplers without.     gradients :
    (pixel,), evaluations of all chains, of the density where the sampler takes no gradient.     seconds : of the block.
    """

    u: Array
    log_density: Array
    acceptance: Array
    divergent: Array
    gradients: Array
    seconds: float

    @property
    def together(self) -> Array:
        """All draws of each pixel (pixel, chain x draw, n)."""
        return self.u.reshape(self.u.shape[0], -1, self.u.shape[-1])


class Limits(Frozen):
    """When draws are believed (Vehtari et al., 2021)."""

    rhat: Annotated[float, Field(gt=1)] = 1.01
    """Of every parameter and output, below this: converged."""
    rhat_map: Annotated[float, Field(gt=1)] = 1.05
    """Below this, with the other limits of a map: flagged on a map."""
    ess: Annotated[float, Field(ge=0)] = 400.0
    """Bulk and tail, above this."""
    ess_map: Annotated[float, Field(ge=0)] = 100.0
    """Above this for a map."""
    divergent: Annotated[float, Field(ge=0, le=1)] = 0.005
    """Share of trajectories that failed, below this, for a map too."""


@dataclass(frozen=True)
class Verdict:
    """Whether the draws of one pixel can be trusted, the worst numbers, and in words why not."""

    trust: Trust
    rhat: float
    bulk_ess: float
    tail_ess: float
    divergent: float
    reasons: tuple[str, ...]


def of_rounds(rounds: Sequence[Round], seconds: float, spent: int = 0) -> Draws:
    """Draws of rounds one after another; `spent` are gradients of every chain before them (particles, warm-up)."""
    u = np.concatenate([np.asarray(one.u) for one in rounds], axis=2)
    trajectories = sum(one.trajectories for one in rounds)
    evaluations = spent + u.shape[1] * sum(one.gradients for one in rounds)
    return Draws(
        u,
        np.concatenate([np.asarray(one.log_density) for one in rounds], axis=2),
        np.mean([np.asarray(one.acceptance) for one in rounds], axis=0),
        np.sum([np.asarray(one.divergent) for one in rounds], axis=0) / trajectories,
        np.full(len(u), float(evaluations)),
        seconds,
    )


def judge(
    names: Sequence[str], values: ArrayLike, divergent: ArrayLike, limits: Limits | None = None
) -> list[Verdict]:
    """A verdict of each pixel on `values` (pixel, chain, draw, name): parameters and outputs together.

    divergent : (pixel,) share of failed trajectories. For a map R-hat and effective sizes are held to wider limits;
    trajectories are not. A value that is the same in every draw of every chain (fire
    where nothing burns) is known and passes. A missing value fails its pixel. R-hat and effective sample sizes are of
    `talik.convergence`.
    """
    found, share, want = np.asarray(values, np.float64), np.asarray(divergent, np.float64), limits or Limits()
    if found.ndim != 4 or found.shape[3] != len(names):
        raise InputError(
            f"judge: values have shape {found.shape}, expected (pixel, chain, draw, {len(names)}) for the names "
            f"{', '.join(names)}."
        )
    return [_verdict(names, one, float(d), want) for one, d in zip(found, share, strict=True)]


def _verdict(names: Sequence[str], values: Array, divergent: float, want: Limits) -> Verdict:
    """Of values (chain, draw, name)."""
    missing = ~np.all(np.isfinite(values), axis=(0, 1))
    known = ~missing & (values.max(axis=(0, 1)) == values.min(axis=(0, 1)))
    reasons = []
    if missing.any():
        reasons.append(
            f"{_and_others(names[int(np.argmax(missing))], int(missing.sum()))} with draws missing or infinite"
        )
    told = np.flatnonzero(~missing & ~known)
    r, bulk, tail = (f(values[..., told]) for f in (rhat, bulk_ess, tail_ess))
    shown_names = [names[i] for i in told.tolist()]
    if np.isnan([r, bulk, tail]).any():
        reasons.append("too few draws to judge")
    for kind, form, numbers, limit in (
        ("R-hat", ".3f", r, want.rhat),
        ("bulk ESS", ".0f", -bulk, -want.ess),
        ("tail ESS", ".0f", -tail, -want.ess),
    ):
        over = np.flatnonzero(numbers >= limit)
        if over.size:
            worst = int(over[np.argmax(numbers[over])])
            told_worst = _and_others(f"{kind} {abs(numbers[worst]):{form}} ({shown_names[worst]})", over.size)
            reasons.append(f"{told_worst} {'above' if limit > 0 else 'below'} {abs(limit):g}")
    if not divergent < want.divergent:
        reasons.append(f"{divergent:.2%} of the trajectories failed, not below {want.divergent:.2%}")
    highest = float(r.max(initial=1.0))
    trust: Trust = "converged"
    if reasons:
        fewest = min(bulk.min(initial=np.inf), tail.min(initial=np.inf))
        shown = not missing.any() and highest < want.rhat_map and fewest > want.ess_map
        shown = shown and divergent < want.divergent
        trust = "map" if shown else "failed"
    return Verdict(
        trust,
        highest,
        float(bulk.min(initial=np.inf)),
        float(tail.min(initial=np.inf)),
        divergent,
        tuple(reasons),
    )


def _and_others(first: str, count: int) -> str:
    """The first of several, and how many there are beside it."""
    return first if count == 1 else f"{first} and {count - 1} other{'s' * (count > 2)}"
