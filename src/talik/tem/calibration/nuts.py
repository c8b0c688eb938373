"""The posterior of a calibration by the No-U-Turn Sampler, and whether its chains can be trusted."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from numpyro.infer import MCMC, NUTS  # type: ignore[import-untyped]
from pydantic import Field

from talik.config import Frozen
from talik.convergence import bulk_ess, rhat, tail_ess
from talik.errors import InputError
from talik.tem.calibration.laplace import Laplace
from talik.tem.calibration.posterior import Array, Posterior, Prior

MASS_DRAWS = 1000
"""Draws of the Laplace approximation from which the first mass matrix is estimated."""
INSIDE = 1e-6
"""A chain starts at least this share of a coordinate's range away from its limits."""
TELL_SECONDS = 60.0
"""Between signs of life."""
SPARE_STARTS = 10
"""Points tried per chain when looking for starts where the model gives a finite answer."""


class Settings(Frozen):
    """How long to sample, and when to believe it (limits after Vehtari et al., 2021)."""

    chains: Annotated[int, Field(ge=1)] = 4
    """Chains side by side."""
    warmup: Annotated[int, Field(ge=1)] = 300
    """Draws of each chain that only tune the sampler and are thrown away."""
    draws: Annotated[int, Field(ge=4)] = 500
    """Per chain, after the warm-up; hundreds make sense."""
    target_acceptance: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """Closer to 1 means smaller steps: try 0.95 where transitions diverge."""
    max_tree_depth: Annotated[int, Field(ge=1, le=15)] = 8
    """A draw costs at most 2^depth - 1 gradients."""
    seed: Annotated[int, Field(ge=0)] = 0
    """The same seed gives the same draws."""
    rhat_below: Annotated[float, Field(gt=1)] = 1.01
    """Draws are trusted where R-hat is below this."""
    ess_above: Annotated[float, Field(ge=0)] = 400.0
    """Draws are trusted where they are worth more independent ones than this."""


@dataclass(frozen=True)
class Verdict:
    """Whether draws can be trusted, and in words why not; `advice` does not bear on trust."""

    trusted: bool
    reasons: tuple[str, ...]
    advice: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Chains:
    """Draws by chain, and how they were made.

    draws : (chain, draw, n) coordinates.     diverging : (chain, draw), the integration failed.     acceptance :
    (chain, draw) mean probability of the trajectory.     steps : (chain, draw) gradients of the trajectory.
    """

    names: tuple[str, ...]
    draws: Array
    diverging: NDArray[np.bool_]
    acceptance: Array
    steps: NDArray[np.int64]
    settings: Settings

    @property
    def together(self) -> Array:
        """All draws in one (chain x draw, n)."""
        return self.draws.reshape(-1, self.draws.shape[-1])

    @cached_property
    def rhat(self) -> Array:
        """Rank-normalised split R-hat of each coordinate (n,); see `talik.convergence.rhat`."""
        return rhat(self.draws)

    @cached_property
    def bulk_ess(self) -> Array:
        """Effective sample size for the middle of each coordinate (n,)."""
        return bulk_ess(self.draws)

    @cached_property
    def tail_ess(self) -> Array:
        """Effective sample size for the 5 % and 95 % quantiles of each coordinate (n,), the smaller."""
        return tail_ess(self.draws)

    @property
    def tree_depth(self) -> NDArray[np.int64]:
        """Doublings of each trajectory (chain, draw)."""
        return np.ceil(np.log2(self.steps + 1)).astype(np.int64)

    def verdict(self) -> Verdict:
        """Trusted if R-hat and effective sample sizes keep the limits of the settings and no transition diverged."""
        want, reasons, advice = self.settings, [], []
        for i, name in enumerate(self.names):
            if not self.rhat[i] < want.rhat_below:
                reasons.append(
                    f"{name}: R-hat is {self.rhat[i]:.3f}, not below {want.rhat_below:g}: the chains tell different "
                    "stories; run longer, or look for several optima"
                )
            smallest = min(self.bulk_ess[i], self.tail_ess[i])
            if not smallest > want.ess_above:
                reasons.append(
                    f"{name}: the draws are worth {smallest:.0f} independent ones, not more than {want.ess_above:g}; "
                    "run longer"
                )
        if diverged := int(self.diverging.sum()):
            reasons.append(
                f"{diverged} of {self.diverging.size} transitions diverged: part of the posterior is not reached; "
                "raise target_acceptance, or look where the model fails"
            )
        if full := int(np.sum(self.tree_depth >= want.max_tree_depth)):
            advice.append(
                f"{full} of {self.steps.size} trajectories were cut short at max_tree_depth; raise it"
            )
        return Verdict(not reasons, tuple(reasons), tuple(advice))

    def to_dict(self) -> dict[str, Any]:
        """For JSON: moments and diagnostics of each coordinate, the sampler's record and the verdict, no draws."""
        quantiles = np.quantile(self.together, [0.05, 0.5, 0.95], axis=0)
        columns = {
            "mean": self.together.mean(axis=0),
            "sd": self.together.std(axis=0, ddof=1),
            "q05": quantiles[0],
            "median": quantiles[1],
            "q95": quantiles[2],
            "rhat": self.rhat,
            "bulk_ess": self.bulk_ess,
            "tail_ess": self.tail_ess,
        }
        verdict = self.verdict()
        return {
            "coordinates": [
                {"name": name, **{key: _number(v[i]) for key, v in columns.items()}}
                for i, name in enumerate(self.names)
            ],
            "chains": self.draws.shape[0],
            "draws_per_chain": self.draws.shape[1],
            "divergences": int(self.diverging.sum()),
            "acceptance": float(self.acceptance.mean()),
            "gradients": int(self.steps.sum()),
            "largest_tree_depth": int(self.tree_depth.max()),
            "trusted": verdict.trusted,
            "reasons": list(verdict.reasons),
            "advice": list(verdict.advice),
        }


def sample(
    posterior: Posterior, start: Laplace, settings: Settings, tell: Callable[[str], None] = lambda _line: None
) -> Chains:
    """Draws of the posterior by the No-U-Turn Sampler (Hoffman and Gelman, 2014), all chains side by side.

    The sampler moves logit((z - low)/(high - low)), whose Jacobian is in the density, so that no limit is crossed.
    Chains begin at draws of `start`, the Laplace approximation of this posterior, whose spread is also the first mass
    matrix (dense, adapted in the warm-up). Chains are starts of the model, which may hold while loops: gradients are by
    forward mode; `tell` hears every minute how many there were. The same seed gives the same draws on the same machine.
    InputError where `start` is of other coordinates, or the model is not finite at fewer than `chains` of the points
    tried.
    """
    prior = posterior.coordinates
    if start.coordinates.names != prior.names:
        raise InputError(
            f"sampler: the Laplace approximation is of {', '.join(start.coordinates.names)} but the posterior of "
            f"{', '.join(prior.names)}; make it with the same prior and noise."
        )
    spread = _to_line(start.draws(MASS_DRAWS, settings.seed), prior)
    kernel = NUTS(
        potential_fn=_potential(posterior, _Pulse(tell)),
        dense_mass=True,
        inverse_mass_matrix=jnp.atleast_2d(np.cov(spread.T)),
        target_accept_prob=settings.target_acceptance,
        max_tree_depth=settings.max_tree_depth,
    )
    chains = MCMC(
        kernel,
        num_warmup=settings.warmup,
        num_samples=settings.draws,
        num_chains=settings.chains,
        chain_method="vectorized",
        progress_bar=False,
    )
    first = _starts(posterior, spread, settings.chains)
    chains.run(
        jax.random.PRNGKey(settings.seed),
        init_params=jnp.asarray(first if settings.chains > 1 else first[0]),
        extra_fields=("diverging", "accept_prob", "num_steps"),
    )
    made = chains.get_extra_fields(group_by_chain=True)
    return Chains(
        prior.names,
        np.asarray(_from_line(chains.get_samples(group_by_chain=True), prior)),
        np.asarray(made["diverging"]),
        np.asarray(made["accept_prob"]),
        np.asarray(made["num_steps"], np.int64),
        settings,
    )


def _to_line(z: Array, prior: Prior) -> Array:
    """logit of where z (..., n) lies between its limits."""
    share = np.clip((z - prior.low) / (prior.high - prior.low), INSIDE, 1.0 - INSIDE)
    return np.asarray(np.log(share) - np.log1p(-share))


def _from_line(y: jax.Array, prior: Prior) -> jax.Array:
    return jnp.asarray(prior.low) + (prior.high - prior.low) * jax.nn.sigmoid(y)


class _Pulse:
    """Counts gradients and tells how many there were, at most once in `TELL_SECONDS`."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.tell, self.count, self.last = tell, 0, time.monotonic()

    def __call__(self) -> None:
        self.count += 1
        if time.monotonic() - self.last > TELL_SECONDS:
            self.last = time.monotonic()
            self.tell(f"sampler: {self.count} gradients of every chain")


def _potential(posterior: Posterior, pulse: Callable[[], None]) -> Callable[[jax.Array], jax.Array]:
    """Minus the logarithm of the density of y (n,), where z = low + (high - low)/(1 + exp(-y)).

    Chains side by side are one call of the posterior, and the gradient is its own.
    """
    prior = posterior.coordinates
    width = jnp.asarray(prior.high - prior.low)

    def chains(y: jax.Array) -> tuple[jax.Array, jax.Array]:
        jax.debug.callback(pulse)
        density, gradient = posterior.with_gradient(_from_line(y, prior))
        share = jax.nn.sigmoid(y)
        jacobian = jnp.sum(jax.nn.log_sigmoid(y) + jax.nn.log_sigmoid(-y), axis=1)
        return -density - jacobian, -gradient * width * share * (1.0 - share) - (1.0 - 2.0 * share)

    @jax.custom_batching.custom_vmap
    def both(y: jax.Array) -> tuple[jax.Array, jax.Array]:
        value, gradient = chains(y[None])
        return value[0], gradient[0]

    @both.def_vmap
    def _side_by_side(
        _size: int, _batched: list[bool], y: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array], tuple[bool, bool]]:
        return chains(y), (True, True)

    @jax.custom_jvp
    def potential(y: jax.Array) -> jax.Array:
        value: jax.Array = both(y)[0]
        return value

    @potential.defjvp
    def _along(at: tuple[jax.Array], tangent: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
        value, gradient = both(*at)
        return value, gradient @ tangent[0]

    return potential


def _starts(posterior: Posterior, spread: Array, chains: int) -> Array:
    """The first of the points y (draw, n) where the posterior is finite, one per chain (chain, n)."""
    tried: Array = spread[: SPARE_STARTS * chains]
    density = jax.jit(posterior.log_density)(_from_line(jnp.asarray(tried), posterior.coordinates))
    finite = np.flatnonzero(np.isfinite(density))
    if finite.size < chains:
        raise InputError(
            f"sampler: the model is finite at {finite.size} of {len(tried)} points drawn around the optimum, and "
            f"{chains} chains need a start each; narrow the limits to where the model runs."
        )
    return np.asarray(tried[finite[:chains]])


def _number(value: float) -> float | None:
    """JSON has no NaN and no infinity."""
    return float(value) if np.isfinite(value) else None
