"""The No-U-Turn Sampler of numpyro on one pixel: an implementation that is not ours, to check against."""

from __future__ import annotations

import time
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer import MCMC, NUTS  # type: ignore[import-untyped]
from pydantic import Field

from talik.config import Frozen
from talik.fusion.draws import Draws
from talik.fusion.target import Array, Target


class NutsSettings(Frozen):
    """How long to sample."""

    warmup: Annotated[int, Field(ge=1)] = 300
    """Draws of each chain that only tune and are thrown away."""
    draws: Annotated[int, Field(ge=4)] = 500
    """Kept of each chain."""
    acceptance: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """Steps are set for this mean acceptance."""
    tree_depth: Annotated[int, Field(ge=1, le=15)] = 8
    """A draw costs at most 2^depth - 1 gradients."""


def nuts(
    target: Target, data: Any, u: Array, factor: Array, seed: int, settings: NutsSettings | None = None
) -> Draws:
    """Draws of one pixel by the No-U-Turn Sampler (Hoffman and Gelman, 2014), chains side by side.

    data : of that pixel alone.     u : (1, n, chain), starts of at least 2 chains.     factor : (1, n, n), first
    Cholesky factor of the covariance, adapted in the warm-up.
    """
    want = settings or NutsSettings()
    begun = time.monotonic()

    def potential(x: Array) -> Array:
        return -target.log_density(x[None, :, None], data)[0, 0]

    kernel = NUTS(
        potential_fn=potential,
        dense_mass=True,
        inverse_mass_matrix=factor[0] @ factor[0].T,
        target_accept_prob=want.acceptance,
        max_tree_depth=want.tree_depth,
    )
    chains = MCMC(
        kernel,
        num_warmup=want.warmup,
        num_samples=want.draws,
        num_chains=u.shape[2],
        chain_method="vectorized",
        progress_bar=False,
    )
    chains.run(
        jax.random.key(seed),
        init_params=jnp.asarray(u[0].T),
        extra_fields=("diverging", "accept_prob", "num_steps", "potential_energy"),
    )
    made = {key: np.asarray(a) for key, a in chains.get_extra_fields(group_by_chain=True).items()}
    return Draws(
        np.asarray(chains.get_samples(group_by_chain=True))[None],
        -made["potential_energy"][None],
        made["accept_prob"].mean(keepdims=True)[0],
        made["diverging"].mean(keepdims=True)[0],
        made["num_steps"].sum(keepdims=True)[0].astype(np.float64),
        time.monotonic() - begun,
    )
